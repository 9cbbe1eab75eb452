"""The official packed binary format of simplified drawings.

Little-endian and unpadded: `<Q key_id> <2s country> <b recognized> <I unix seconds> <H strokes>`, then for each stroke
`<H n>`, n × uint8 x, n × uint8 y. Times have a resolution of one second. Source: the README and
`examples/binary_file_parser.py` of github.com/googlecreativelab/quickdraw-dataset.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from sketchdata.drawings.drawing import DrawingBatch, Parsed, empty_batch, offsets_of
from sketchdata.errors import FormatError
from sketchdata.formats.records import RecordBlock

_HEADER = struct.Struct("<Q2sbIH")
_COUNT = struct.Struct("<H")
_MICROSECONDS = 1_000_000
_MAX_COUNT = 2**16 - 1
_MAX_SECONDS = 2**32 - 1


def scan(blocks: Iterable[bytes]) -> Iterator[RecordBlock]:
    """Find every record and its key_id in a stream of bytes.

    If the file ends inside a record, the last block is not `complete`, and its last record is the incomplete one.

    Args:
        blocks: The file's content in blocks of any size.

    Yields:
        Blocks of at least one record.
    """
    tail, position = b"", 0
    for block in blocks:
        data = tail + block if tail else block
        bounds = _record_bounds(data)
        tail = data[bounds[-1] :]
        if len(bounds) > 1:
            yield _block(data, position, bounds)
        position += bounds[-1]
    if tail:
        yield _block(tail, position, [0, len(tail)], complete=False)


def _record_bounds(data: bytes) -> list[int]:
    """Return the start of each complete record, and the end of the last one."""
    bounds, end, size = [0], 0, len(data)
    while end + _HEADER.size <= size:
        end += _HEADER.size
        # Only lengths are read, in a Python loop: the start of a record depends on the previous one.
        for _ in range(data[end - 2] | data[end - 1] << 8):
            if end + 2 > size:
                return bounds
            end += 2 + 2 * (data[end] | data[end + 1] << 8)
        if end > size:
            return bounds
        bounds.append(end)
    return bounds


def _block(data: bytes, position: int, bounds: list[int], *, complete: bool = True) -> RecordBlock:
    edges = np.array(bounds, np.int64)
    starts = edges[:-1]
    key_ids: npt.NDArray[np.uint64] = np.zeros(len(starts), np.uint64)
    if complete:
        octets = np.frombuffer(data, np.uint8)[starts[:, None] + np.arange(8)]
        key_ids = octets.view("<u8")[:, 0].astype(np.uint64)
    found = np.full(len(starts), complete)
    return RecordBlock(data, position, starts, edges[1:], key_ids, found, complete)


def parse(records: Sequence[bytes], *, word: str, label: int, raw: bool = False) -> Parsed:
    """Parse complete records of one category's file.

    Args:
        records: The bytes of each record.
        word: Unused, since the format has no words; all formats have the same parameters.
        label: The label of the drawings.
        raw: Must be false: raw drawings have no binary format.
    """
    del word, raw
    good, faults = [], []
    for row, record in enumerate(records):
        try:
            good.append((row, *_check(record)))
        except FormatError as error:
            faults.append((row, error))
    rows = np.array([row for row, *_ in good], np.int64)
    return Parsed(batch=_assemble([rest for _, *rest in good], label), rows=rows, faults=faults)


def _check(record: bytes) -> tuple[tuple[int, bytes, int, int, int], list[int], list[bytes], list[bytes]]:
    bounds = _record_bounds(record)
    if bounds[-1] != len(record) or len(bounds) != 2:
        raise FormatError("truncated record", f"{len(record)} bytes")
    header = _HEADER.unpack_from(record)
    if header[2] not in (0, 1):
        raise FormatError("bad recognized", str(header[2]))
    if not header[1].isascii():
        raise FormatError("bad countrycode", repr(header[1]))
    if header[4] == 0:
        raise FormatError("empty drawing")
    lengths, xs, ys, at = [], [], [], _HEADER.size
    for number in range(header[4]):
        (n,) = _COUNT.unpack_from(record, at)
        if n == 0:
            raise FormatError("empty stroke", f"stroke {number}")
        lengths.append(n)
        xs.append(record[at + 2 : at + 2 + n])
        ys.append(record[at + 2 + n : at + 2 + 2 * n])
        at += 2 + 2 * n
    return header, lengths, xs, ys


def _assemble(good: Sequence[Sequence[object]], label: int) -> DrawingBatch:
    if not good:
        return empty_batch()
    headers, lengths, xs, ys = zip(*good, strict=True)
    key_ids, countries, recognized, seconds, strokes = zip(*headers, strict=True)
    return DrawingBatch(
        key_id=np.array(key_ids, np.uint64),
        label=np.full(len(good), label, np.uint16),
        countrycode=np.array([country.strip(b"\0 ") for country in countries], "S2"),
        timestamp=np.array(seconds, np.int64) * _MICROSECONDS,
        recognized=np.array(recognized, np.bool_),
        strokes=offsets_of(np.array(strokes, np.int64)),
        points=offsets_of(np.concatenate([np.array(n, np.int64) for n in lengths])),
        x=np.frombuffer(b"".join(b"".join(parts) for parts in xs), np.uint8),
        y=np.frombuffer(b"".join(b"".join(parts) for parts in ys), np.uint8),
    )


def dump(batch: DrawingBatch, word: str = "") -> bytes:
    """Return simplified drawings as official records; fractions of a second are lost.

    Raises:
        FormatError: The drawings are raw, a number of strokes or points exceeds 16 bits, or a time exceeds 32 bits.
    """
    del word
    if batch.is_raw:
        raise FormatError("no binary form", "the binary format holds simplified drawings only")
    x, y = batch.x.tobytes(), batch.y.tobytes()
    strokes, points = batch.strokes.tolist(), batch.points.tolist()
    if max(np.diff(batch.strokes).max(initial=0), np.diff(batch.points).max(initial=0)) > _MAX_COUNT:
        raise FormatError("no binary form", f"a drawing has more than {_MAX_COUNT} strokes or points in a stroke")
    seconds = (batch.timestamp // _MICROSECONDS).tolist()
    if seconds and not 0 <= min(seconds) <= max(seconds) <= _MAX_SECONDS:
        raise FormatError("no binary form", "a drawing's time is not between 1970 and 2106")
    parts = []
    for row, (key_id, country, recognized) in enumerate(
        zip(batch.key_id.tolist(), batch.countrycode.tolist(), batch.recognized.tolist(), strict=True)
    ):
        parts.append(_HEADER.pack(key_id, country, recognized, seconds[row], strokes[row + 1] - strokes[row]))
        for stroke in range(strokes[row], strokes[row + 1]):
            a, b = points[stroke], points[stroke + 1]
            parts += (_COUNT.pack(b - a), x[a:b], y[a:b])
    return b"".join(parts)
