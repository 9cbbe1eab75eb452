"""The official one-drawing-per-line JSON, parsed and written in batches.

A record is `{"word", "countrycode", "timestamp", "recognized", "key_id", "drawing"}` with `drawing` a list of strokes,
each `[[x…], [y…]]` (simplified) or `[[x…], [y…], [t…]]` (raw: pixels as real numbers, milliseconds). Source: the README
of github.com/googlecreativelab/quickdraw-dataset.
"""

from __future__ import annotations

import codecs
import dataclasses
import gc
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, pairwise, repeat
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from sketchdata.drawings.drawing import MAX_COORDINATE, DrawingBatch, Parsed, concatenate, empty_batch, offsets_of
from sketchdata.errors import FormatError
from sketchdata.formats.records import RecordBlock

# Selecting needs nothing of a drawing but its key_id, and 12 of 13 lines are never chosen. So lines are found, and
# their key_ids read, by whole-block array operations at the speed at which md5 reads; `parse` is for what was chosen.

_NEWLINE, _RETURN, _QUOTE, _ZERO = ord("\n"), ord("\r"), ord('"'), ord("0")
_MARK = b'"key_id"'
_MARK_WORD = np.frombuffer(_MARK, np.uint64)[0]
#: A key_id up to the first digit of its value, a string.
_KEY_ID = re.compile(_MARK + rb' {0,6}: {0,6}"')
#: A 64-bit integer has at most 20 digits; numbers with 20 may overflow and are left to the parser.
_MAX_DIGITS = 19
#: Padding after a block, so that reads beyond its end are safe.
_PADDING = bytes(64)
#: Recommended block size for `scan`: smaller blocks cost more time, larger ones more memory.
BLOCK_BYTES = 1 << 21


def scan(blocks: Iterable[bytes]) -> Iterator[RecordBlock]:
    """Find every line and its key_id in a stream of bytes, without parsing; blank lines are skipped.

    Args:
        blocks: The file's content in blocks of any size.

    Yields:
        Blocks of at least one record; the last one is not `complete` if the file does not end with a line end.
    """
    tail, position = b"", 0
    for block in blocks:
        cut = block.rfind(b"\n") + 1
        if cut == 0:
            tail += block
            continue
        # The only copy of the bytes.
        lines = _scan_lines(b"".join((tail, memoryview(block)[:cut], _PADDING)), position)
        if len(lines):
            yield lines
        position += len(tail) + cut
        tail = block[cut:]
    if (tail.removeprefix(codecs.BOM_UTF8) if position == 0 else tail).strip():
        yield _scan_lines(b"".join((tail, b"\n", _PADDING)), position, terminated=False)


def _scan_lines(data: bytes, position: int, *, terminated: bool = True) -> RecordBlock:
    array = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(array == _NEWLINE)
    starts = np.empty_like(ends)
    # A byte order mark is not part of the first line.
    starts[0] = len(codecs.BOM_UTF8) if position == 0 and data.startswith(codecs.BOM_UTF8) else 0
    starts[1:] = ends[:-1] + 1
    # This drops only "\n" and "\r\n": a line of one other byte is a bad record.
    filled = (ends - starts > 1) | ((ends > starts) & (array[starts] != _RETURN))
    if not filled.all():
        starts, ends = starts[filled], ends[filled]
    digits = _find_digits(data, starts, ends)
    key_ids, found = _read_digits(array, digits)
    return RecordBlock(data, position, starts, ends, key_ids, found, terminated)


def _find_digits(data: bytes, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the start of each line's key_id digits, or -1.

    The part of a line before its key_id has few distinct lengths (digits of the second's fraction, true or false, a
    country or none). So the position is searched in one line and tried on all others at once, then again with the rest.
    """
    words: npt.NDArray[np.uint64] = np.ndarray((len(data) - 7,), np.uint64, data, 0, (1,))
    array = np.frombuffer(data, np.uint8)
    found = np.full(len(starts), -1, np.int64)
    todo: npt.NDArray[np.int64] = np.arange(len(starts))
    while len(todo):  # one iteration per distinct length, about a dozen in the official files
        first = todo[0]
        value = _KEY_ID.search(data, starts[first], ends[first])
        if value is None:
            todo = todo[1:]
            continue
        mark = value.start()
        to_mark, gap = mark - starts[first], value.end() - mark
        marks = np.minimum(starts[todo] + to_mark, len(words) - len(_PADDING))
        hit = words[marks] == _MARK_WORD
        # Between the key and the digits there may only be `:`, spaces and `"`, as in the line just searched.
        for step in range(len(_MARK), gap):
            hit &= array[marks + step] == data[mark + step]
        found[todo[hit]] = marks[hit] + gap
        todo = todo[~hit]
    return np.where(found < ends, found, -1)


def _read_digits(
    array: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.bool_]]:
    """Parse decimal numbers before a quote: (L,) values, and whether each is valid."""
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


_FIELDS = ("word", "countrycode", "timestamp", "recognized", "key_id", "drawing")
_get_fields = itemgetter(*_FIELDS)
_ZONE = " UTC"
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{1,6})? UTC", re.ASCII)
_MAX_KEY_ID = 2**64 - 1
_KEY_ID_DIGITS = re.compile(r"[0-9]{1,20}")
_MAX_TIME = 2**32 - 1
_FIRST_MOMENT = np.datetime64("0001-01-01", "us")
#: The last of the year 9999.
_MAX_MILLISECONDS = 253_402_300_799_999
#: Larger than any screen; larger numbers are not supported by the SVG writer and may exceed 64 bits.
_MAX_PIXEL = 1e9
#: Lines parsed at a time: few enough for their objects to stay in the processor's cache.
_CHUNK = 250


def parse(lines: Sequence[bytes], *, word: str, label: int, raw: bool = False, full_precision: bool = False) -> Parsed:
    """Parse lines of one category's file.

    Args:
        lines: Complete records, with or without line ends.
        word: The category that every line must have.
        label: The label of the drawings.
        raw: Whether strokes are [x, y, t] with pixels as real numbers, instead of [x, y] in 0..255.
        full_precision: Whether raw pixels are float64, for `simplify`, which needs every digit, instead of float32.
    """
    chunks = [lines[start : start + _CHUNK] for start in range(0, len(lines), _CHUNK)]
    # JSON has no reference cycles, and the garbage collector would take two thirds of the time.
    enabled = gc.isenabled()
    gc.disable()
    try:
        parts = [_parse_chunk(chunk, word=word, label=label, raw=raw) for chunk in chunks]
    finally:
        if enabled:
            gc.enable()
    batch = concatenate([empty_batch(raw=raw), *(part.batch for part in parts)])
    if raw and not full_precision:
        batch = dataclasses.replace(batch, x=batch.x.astype(np.float32), y=batch.y.astype(np.float32))
    return Parsed(
        batch=batch,
        rows=np.concatenate([np.empty(0, np.int64), *(part.rows + i * _CHUNK for i, part in enumerate(parts))]),
        faults=[(row + i * _CHUNK, error) for i, part in enumerate(parts) for row, error in part.faults],
    )


def _parse_chunk(lines: Sequence[bytes], *, word: str, label: int, raw: bool) -> Parsed:
    try:
        # Official files are valid, so a chunk is parsed at once, in C loops; line by line only if that fails.
        batch = _assemble(list(map(orjson.loads, lines)), lines, word=word, label=label, raw=raw)
        return Parsed(batch=batch, rows=np.arange(len(lines)), faults=[])
    except (FormatError, ValueError, TypeError, KeyError, OverflowError):
        pass
    good: list[dict[str, Any]] = []
    rows: list[int] = []
    faults: list[tuple[int, FormatError]] = []
    for row, line in enumerate(lines):
        try:
            good.append(check_record(line, word=word, raw=raw))
            rows.append(row)
        except FormatError as error:
            faults.append((row, error))
    batch = _assemble(good, (), word=word, label=label, raw=raw)
    return Parsed(batch=batch, rows=np.array(rows, np.int64), faults=faults)


def _assemble(records: list[Any], lines: Sequence[bytes], *, word: str, label: int, raw: bool) -> DrawingBatch:
    """Convert parsed records to flat arrays; an invalid record raises an error that does not identify it."""
    if not records:
        return empty_batch(raw=raw)
    words, countries, timestamps, recognized, key_ids, drawings = zip(*map(_get_fields, records), strict=True)
    if set(words) != {word} or set(map(type, recognized)) != {bool} or set(map(type, key_ids)) != {str}:
        raise FormatError("some line is bad")
    strokes = list(chain.from_iterable(drawings))
    columns = list(chain.from_iterable(strokes))
    per_stroke = 3 if raw else 2
    lengths = np.array(list(map(len, columns)), np.int64).reshape(-1, per_stroke)
    counts = np.array(list(map(len, drawings)), np.int64)
    shaped = set(map(len, strokes)) == {per_stroke} and set(map(type, columns)) == {list} and counts.min() > 0
    if not shaped or lengths.min() == 0 or (lengths != lengths[:, :1]).any():
        raise FormatError("some line is bad")
    # JSON's true would pass as 1 below; in a valid line it occurs once, as the value of "recognized".
    if any(line.count(b"true") + line.count(b"false") != 1 for line in lines):
        raise FormatError("some line is bad")
    digits = all(map(str.isdigit, key_ids)) and all(map(str.isascii, key_ids))
    if not digits or not all(map(_is_country, set(countries))):
        raise FormatError("some line is bad")
    x, y, t = _points(columns, raw=raw)
    return DrawingBatch(
        key_id=np.array(list(map(int, key_ids)), np.uint64),
        label=np.full(len(records), label, np.uint16),
        countrycode=np.array([code.encode() if code else b"" for code in countries], "S2"),
        timestamp=_microseconds(timestamps),
        recognized=np.array(recognized, np.bool_),
        strokes=offsets_of(counts),
        points=offsets_of(lengths[:, 0]),
        x=x,
        y=y,
        t=t,
    )


def _points(
    columns: list[list[Any]], *, raw: bool
) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.generic], npt.NDArray[np.uint32] | None]:
    if not raw:
        # bytes() of a list is the fastest check that all elements are integers in 0..255.
        x, y = (np.frombuffer(b"".join(map(bytes, columns[axis::2])), np.uint8) for axis in (0, 1))
        return x, y, None
    xs, ys, ts = (list(chain.from_iterable(columns[axis::3])) for axis in (0, 1, 2))
    if not {*map(type, xs), *map(type, ys)} <= {int, float} or set(map(type, ts)) != {int}:
        raise FormatError("some line is bad")
    pixels = np.array([xs, ys], np.float64)
    # Negated, so that NaN fails too.
    if not (np.abs(pixels).max() < _MAX_PIXEL and min(ts) >= 0 and max(ts) <= _MAX_TIME):
        raise FormatError("some line is bad")
    return pixels[0], pixels[1], np.array(ts, np.uint32)


def _is_country(code: object) -> bool:
    return code is None or (isinstance(code, str) and len(code) <= 2 and code.isascii() and "\0" not in code)


def _microseconds(texts: Sequence[str]) -> npt.NDArray[np.int64]:
    # numpy alone would accept other time zones, seven digits and spaces.
    if not all(map(_TIMESTAMP.fullmatch, texts)):
        raise FormatError("some line is bad")
    moments = np.array([text[: -len(_ZONE)] for text in texts], "datetime64[us]")
    # Python's datetime has no year 0.
    if moments.min() < _FIRST_MOMENT:
        raise FormatError("some line is bad")
    return moments.astype(np.int64)


def check_record(line: bytes, *, word: str, raw: bool = False) -> dict[str, Any]:
    """Parse one line, with a precise error if it is invalid.

    Variants that pandas and other programs write are also accepted: key_ids as numbers, times as milliseconds since
    1970, integer coordinates with a fraction of 0, and the drawing as a string of JSON.

    Returns:
        The record in the official form.

    Raises:
        FormatError: The line is invalid; the reason is one of a small fixed set, so that reasons can be counted.
    """
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise FormatError("broken JSON", str(error)) from error
    if not isinstance(record, dict):
        raise FormatError("not an object", type(record).__name__)
    missing = [name for name in _FIELDS if name not in record]
    if missing:
        raise FormatError("missing field", ", ".join(missing))
    if record["word"] != word:
        raise FormatError("wrong word", f"{record['word']!r} in the file of {word!r}")
    key_id, timestamp = record["key_id"], record["timestamp"]
    if type(key_id) is int:
        record["key_id"] = str(key_id)
    if type(timestamp) is int and 0 <= timestamp <= _MAX_MILLISECONDS:
        (record["timestamp"],) = format_timestamps(np.array([timestamp * 1000]))
    record["drawing"] = parse_drawing(record["drawing"])
    _check_metadata(record)
    _check_drawing(record["drawing"], raw=raw)
    return record


def parse_drawing(drawing: Any) -> Any:
    """Return a record's drawing, parsed if it is a string of JSON.

    Raises:
        FormatError: The string is not JSON.
    """
    try:
        return orjson.loads(drawing) if isinstance(drawing, str) else drawing
    except orjson.JSONDecodeError as error:
        raise FormatError("broken JSON", f"in the drawing: {error}") from error


def _check_metadata(record: dict[str, Any]) -> None:
    if not isinstance(record["recognized"], bool):
        raise FormatError("bad recognized", repr(record["recognized"]))
    key_id = record["key_id"]
    if not (isinstance(key_id, str) and _KEY_ID_DIGITS.fullmatch(key_id) and int(key_id) <= _MAX_KEY_ID):
        raise FormatError("bad key_id", repr(key_id))
    if not _is_country(record["countrycode"]):
        raise FormatError("bad countrycode", repr(record["countrycode"]))
    try:
        _microseconds([record["timestamp"]])
    except (FormatError, ValueError, TypeError) as error:
        raise FormatError("bad timestamp", repr(record["timestamp"])) from error


def _check_drawing(drawing: Any, *, raw: bool) -> None:
    if not isinstance(drawing, list) or not drawing:
        raise FormatError("empty drawing")
    for number, stroke in enumerate(drawing):
        columns = 3 if raw else 2
        if not (isinstance(stroke, list) and len(stroke) == columns and all(isinstance(c, list) for c in stroke)):
            raise FormatError("bad stroke", f"stroke {number} is not {columns} lists")
        lengths = [len(column) for column in stroke]
        if len(set(lengths)) > 1:
            raise FormatError("unequal x and y", f"stroke {number} has {' and '.join(map(str, lengths))} values")
        if not lengths[0]:
            raise FormatError("empty stroke", f"stroke {number}")
        _check_points(stroke, number, raw=raw)


def _check_points(stroke: list[list[Any]], number: int, *, raw: bool) -> None:
    whole = stroke[2:] if raw else stroke
    for column in whole:
        column[:] = [int(value) if isinstance(value, float) and value.is_integer() else value for value in column]
    for value in chain(*stroke[:2]):
        # In Python bool is an int, but it is not a coordinate.
        if isinstance(value, bool) or not isinstance(value, (int, float) if raw else int):
            raise FormatError("bad coordinate", f"{value!r} in stroke {number}")
        if not raw and not 0 <= value <= MAX_COORDINATE:
            raise FormatError("coordinate outside 0..255", f"{value} in stroke {number}")
        if raw and not abs(value) < _MAX_PIXEL:
            raise FormatError("bad coordinate", f"{value!r} in stroke {number}")
    for value in stroke[2] if raw else ():
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MAX_TIME:
            raise FormatError("bad time", f"{value!r} in stroke {number}")


def dump(batch: DrawingBatch, word: str) -> bytes:
    """Return drawings of one category as official lines with line ends, with keys in the official order."""
    lines = (orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE) for record in records(batch, repeat(word)))
    return b"".join(lines)


def records(batch: DrawingBatch, words: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield drawings as plain data, with fields in the official order; `words` has the category of each row."""
    columns = [batch.x.tolist(), batch.y.tolist()]
    if batch.t is not None:
        # The official raw files have integer pixels without a fraction.
        pixels = ([int(v) if v.is_integer() and abs(v) <= _MAX_PIXEL else v for v in column] for column in columns)
        columns = [*pixels, batch.t.tolist()]
    strokes, points = batch.strokes.tolist(), batch.points.tolist()
    countries, recognized = batch.countrycode.tolist(), batch.recognized.tolist()
    stamps = format_timestamps(batch.timestamp)
    for row, (key_id, word) in enumerate(zip(batch.key_id.tolist(), words, strict=False)):
        bounds = points[strokes[row] : strokes[row + 1] + 1]
        yield {
            "word": word,
            "countrycode": countries[row].decode("ascii") or None,
            "timestamp": stamps[row],
            "recognized": recognized[row],
            "key_id": str(key_id),
            "drawing": [[column[a:b] for column in columns] for a, b in pairwise(bounds)],
        }


def format_timestamps(microseconds: npt.NDArray[np.int64]) -> list[str]:
    """Format times as in the official files, without trailing zeros: `2017-03-01 20:41:36.70725 UTC`."""
    texts = np.datetime_as_string(microseconds.view("datetime64[us]"), unit="us").tolist()
    return [text.replace("T", " ").rstrip("0").rstrip(".") + _ZONE for text in texts]
