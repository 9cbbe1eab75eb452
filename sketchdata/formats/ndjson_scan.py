"""Finding lines and key_ids in official ndjson without parsing it, at the speed at which md5 reads.

Selecting needs nothing of a drawing but its key_id, and 12 of 13 lines are never chosen. So lines are found, and their
key_ids read, by whole-block array operations; `formats.ndjson` parses what was chosen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from sketchdata.formats.records import RecordBlock

_NEWLINE, _RETURN, _QUOTE, _ZERO = ord("\n"), ord("\r"), ord('"'), ord("0")
_MARK = b'"key_id"'
_MARK_WORD = np.frombuffer(_MARK, np.uint64)[0]
#: A 64-bit integer has at most 20 digits; those with 20 may overflow, so they are left to the parser.
_MAX_DIGITS = 19
#: Bytes after a block that may be looked at without belonging to it.
_PADDING = bytes(64)
#: What readers should hand to `scan` at a time: below it the cost of a block weighs, above it memory.
BLOCK_BYTES = 1 << 21


def scan(blocks: Iterable[bytes]) -> Iterator[RecordBlock]:
    """Find every line and its key_id in a stream of bytes, without parsing; blank lines are left out.

    Args:
        blocks: The file's content in pieces of any size.

    Yields:
        Blocks of at least one record; the last one is not `complete` when the file does not end in a line end.
    """
    tail, position = b"", 0
    for block in blocks:
        cut = block.rfind(b"\n") + 1
        if cut == 0:
            tail += block
            continue
        # The one copy of the bytes on the whole way.
        lines = _scan_lines(b"".join((tail, memoryview(block)[:cut], _PADDING)), position)
        if len(lines):
            yield lines
        position += len(tail) + cut
        tail = block[cut:]
    if tail.strip():
        yield _scan_lines(b"".join((tail, b"\n", _PADDING)), position, terminated=False)


def _scan_lines(data: bytes, position: int, *, terminated: bool = True) -> RecordBlock:
    array = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(array == _NEWLINE)
    starts = np.empty_like(ends)
    starts[0], starts[1:] = 0, ends[:-1] + 1
    # This drops "\n" and "\r\n" and nothing else: a line of one stray byte is a bad record.
    filled = (ends - starts > 1) | ((ends > starts) & (array[starts] != _RETURN))
    if not filled.all():
        starts, ends = starts[filled], ends[filled]
    digits = _find_digits(data, starts, ends)
    key_ids, found = _read_digits(array, digits)
    return RecordBlock(data, position, starts, ends, key_ids, found, terminated)


def _find_digits(data: bytes, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return where each line's key_id digits begin, -1 where unknown.

    The part of a line before its key_id has few different lengths (digits of the second's fraction, true or false, a
    country or none). So the place is searched in one line, tried on all the others at once, and so on with the rest.
    """
    words: npt.NDArray[np.uint64] = np.ndarray((len(data) - 7,), np.uint64, data, 0, (1,))
    array = np.frombuffer(data, np.uint8)
    found = np.full(len(starts), -1, np.int64)
    todo: npt.NDArray[np.int64] = np.arange(len(starts))
    while len(todo):  # one turn for each different length, about a dozen in the official files
        first = todo[0]
        mark = data.find(_MARK, starts[first], ends[first])
        digits = _value_start(data, mark)
        if mark < 0 or digits < 0:
            todo = todo[1:]
            continue
        to_mark, gap = mark - starts[first], digits - mark
        marks = np.minimum(starts[todo] + to_mark, len(words) - len(_PADDING))
        hit = words[marks] == _MARK_WORD
        # Between mark and digits only `:` and blanks and `"` may stand, as in the line just searched.
        for step in range(len(_MARK), gap):
            hit &= array[marks + step] == data[mark + step]
        found[todo[hit]] = marks[hit] + gap
        todo = todo[~hit]
    return np.where(found < ends, found, -1)


def _value_start(data: bytes, mark: int) -> int:
    """Return where the string value after a `"key_id"` begins, -1 when no string follows closely."""
    after = data[mark + len(_MARK) : mark + len(_MARK) + 8]
    text = after.lstrip(b" ")
    if not text.startswith(b":"):
        return -1
    text = text[1:].lstrip(b" ")
    if not text.startswith(b'"'):
        return -1
    return mark + len(_MARK) + len(after) - len(text) + 1


def _read_digits(
    array: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.bool_]]:
    """Read decimal numbers that end in a quote; (L,) values, and whether each is one."""
    known = starts >= 0
    places = np.where(known, starts, 0)
    values: npt.NDArray[np.uint64] = np.zeros(len(starts), np.uint64)
    open_ = known.copy()
    found = np.zeros(len(starts), np.bool_)
    for step in range(_MAX_DIGITS + 1):
        byte = array[places + step]
        found |= open_ & (byte == _QUOTE) & (step > 0)
        digit = byte - np.uint8(_ZERO)
        open_ &= digit < 10
        if not open_.any():
            break
        values = np.where(open_, values * np.uint64(10) + digit, values)
    return np.where(found, values, np.uint64(0)), found
