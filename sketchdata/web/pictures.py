"""Pictures of items, small enough to send many of them: {kind, data}, for the renderer of that kind in the page."""

from __future__ import annotations

import base64
import itertools
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sketchdata.audit_store import Audit
from sketchdata.drawing import DrawingBatch
from sketchdata.errors import SketchDataError
from sketchdata.raster import fit
from sketchdata.shards.parquet import from_table

Picture = Mapping[str, str]

#: Row groups kept in memory, about 2.5 MB each at full scale.
_CACHED_GROUPS = 64


class Pictures(Protocol):
    """Where the pages get their items' pictures from."""

    def read(self, rows: Sequence[int]) -> list[Picture]:
        """Return the pictures of some items, by their `row`, in the order asked for."""


def encode_strokes(batch: DrawingBatch) -> list[bytes]:
    """Write each drawing as bytes: of every stroke the number of points (LEB128), all x, then all y, a byte each.

    Raw drawings are fitted into the 0..255 square and rounded, and points that stay where they are left out; simplified
    ones lose nothing.

    Raises:
        FormatError: A raw coordinate is not a finite number.
    """
    xy = np.rint(fit(batch)).astype(np.uint8) if batch.is_raw else np.stack([batch.x, batch.y], axis=1)
    strokes = [_encode_stroke(xy[a:b], thin=batch.is_raw) for a, b in itertools.pairwise(batch.points.tolist())]
    return [b"".join(strokes[a:b]) for a, b in itertools.pairwise(batch.strokes.tolist())]


def _encode_stroke(xy: npt.NDArray[np.uint8], *, thin: bool) -> bytes:
    if thin:
        xy = xy[np.concatenate([[True], (np.diff(xy.astype(np.int16), axis=0) != 0).any(axis=1)])]
    return _leb128(len(xy)) + xy.T.tobytes()


def decode_strokes(data: bytes) -> list[npt.NDArray[np.uint8]]:
    """Read what `encode_strokes` wrote: one (n, 2) uint8 array a stroke."""
    strokes: list[npt.NDArray[np.uint8]] = []
    at = 0
    while at < len(data):
        points = shift = 0
        while True:
            byte, at = data[at], at + 1
            points += (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        strokes.append(np.frombuffer(data, np.uint8, 2 * points, at).reshape(2, points).T)
        at += 2 * points
    return strokes


def _leb128(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def stroke_pictures(batch: DrawingBatch) -> list[Picture]:
    """Return a batch's drawings as pictures."""
    return [{"kind": "strokes", "data": base64.b64encode(data).decode("ascii")} for data in encode_strokes(batch)]


class DrawingPictures:
    """Pictures of a data set's drawings, read by their row from the Parquet shards when they are asked for.

    Neighbouring drawings of a class lie in different row groups, so those that were decoded are kept, up to a bound.
    Safe to use from several threads.

    Args:
        audit: The data set and the order of its rows.
    """

    def __init__(self, audit: Audit) -> None:
        shards = [shard for split in audit.splits for shard in audit.manifest.shards(split)]
        self.paths = [audit.directory / shard.path for shard in shards]
        groups = [(place, group, rows) for place, path in enumerate(self.paths) for group, rows in _groups(path)]
        self.groups = [(place, group) for place, group, _ in groups]
        self.starts = np.cumsum([0, *(rows for _, _, rows in groups)])
        self._cache: OrderedDict[int, pa.Table] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, rows: Sequence[int]) -> list[Picture]:
        """Return the pictures of some rows of the audit, in the order asked for.

        Raises:
            SketchDataError: A shard cannot be read.
        """
        wanted = np.asarray(rows, np.int64)
        where = np.searchsorted(self.starts, wanted, side="right") - 1
        found: list[Picture] = [{}] * len(rows)
        for group in np.unique(where).tolist():
            chosen = np.flatnonzero(where == group)
            batch = from_table(self._table(group).take(wanted[chosen] - self.starts[group]))
            for place, picture in zip(chosen.tolist(), stroke_pictures(batch), strict=True):
                found[place] = picture
        return found

    def read_all(self, rows: Iterable[int]) -> list[Picture]:
        """Return the pictures of very many rows, in the order asked for: each row group is read once and let go."""
        wanted = np.fromiter(rows, np.int64)
        order = np.argsort(wanted, kind="stable")
        found: list[Picture] = [{}] * len(wanted)
        bounds = np.searchsorted(wanted[order], self.starts)
        for group, (first, last) in enumerate(itertools.pairwise(bounds.tolist())):
            if first == last:
                continue
            batch = from_table(self._load(group).take(wanted[order[first:last]] - self.starts[group]))
            for place, picture in zip(order[first:last].tolist(), stroke_pictures(batch), strict=True):
                found[place] = picture
        return found

    def _table(self, group: int) -> pa.Table:
        with self._lock:
            if group in self._cache:
                self._cache.move_to_end(group)
                return self._cache[group]
        # Not under the lock: two threads decode two row groups at once.
        table = self._load(group)
        with self._lock:
            self._cache[group] = table
            while len(self._cache) > _CACHED_GROUPS:
                self._cache.popitem(last=False)
        return table

    def _load(self, group: int) -> pa.Table:
        place, number = self.groups[group]
        path = self.paths[place]
        try:
            with pq.ParquetFile(path) as file:
                return file.read_row_group(number)
        except (pa.ArrowException, OSError, LookupError) as error:
            raise SketchDataError(f"{path} cannot be read as a shard of sketchdata: {error}") from error


def _groups(path: Path) -> list[tuple[int, int]]:
    try:
        with pq.ParquetFile(path) as file:
            return [(group, file.metadata.row_group(group).num_rows) for group in range(file.num_row_groups)]
    except (pa.ArrowException, OSError) as error:
        raise SketchDataError(f"{path} cannot be read as a shard of sketchdata: {error}") from error
