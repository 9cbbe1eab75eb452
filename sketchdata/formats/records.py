"""Common parts of the record formats: blocks of unparsed records with their key_ids, and drawings without metadata."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from sketchdata.drawings.drawing import MAX_COORDINATE, DrawingBatch, offsets_of


@dataclass(frozen=True)
class RecordBlock:
    """Unparsed records of a file.

    Attributes:
        data: The records' bytes, possibly with padding after them.
        position: The offset of `data` in the (decompressed) file.
        starts: (L,) int64, each record's first byte in `data`.
        ends: (L,) int64, one past each record's last byte, without a line end.
        key_ids: (L,) uint64, 0 if not found.
        found: (L,) bool, whether the key_id is at the place of official files. Other records must be parsed: they may
            be damaged or just formatted differently.
        complete: Whether the last record is complete; false only at the end of a file.
    """

    data: bytes
    position: int
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    key_ids: npt.NDArray[np.uint64]
    found: npt.NDArray[np.bool_]
    complete: bool = True

    def __len__(self) -> int:
        return len(self.starts)

    def record(self, index: int) -> bytes:
        """Return one record's bytes."""
        return self.data[self.starts[index] : self.ends[index]]

    def records(self, rows: npt.NDArray[np.int64]) -> list[bytes]:
        """Return some records' bytes."""
        data = self.data
        return [data[a:b] for a, b in zip(self.starts[rows].tolist(), self.ends[rows].tolist(), strict=True)]


Points = npt.NDArray[np.float64]


def to_square(points: Points, *, keep: bool) -> npt.NDArray[np.uint8]:
    """Return one drawing's points as integers from 0 to 255.

    With `keep`, points that are in the square after rounding are not moved, and points that fit into it are moved to
    its top-left corner. All others are moved there and scaled so that the larger side is 255, as in the official
    simplified drawings; a drawing whose points are all equal is moved to 0, 0. Halves are rounded up.

    Args:
        points: (P, 2) x and y, P ≥ 1, within ±1e15.
        keep: Whether the points are in the units of the square.

    Returns:
        (P, 2) uint8.
    """
    whole: Points = np.floor(points + 0.5)
    low, high = whole.min(axis=0), whole.max(axis=0)
    if keep and low.min() >= 0 and high.max() <= MAX_COORDINATE:
        return whole.astype(np.uint8)
    if keep and (high - low).max() <= MAX_COORDINATE:
        whole -= low
        return whole.astype(np.uint8)
    moved = points - points.min(axis=0)
    side = float(moved.max())
    whole = np.floor(moved * (MAX_COORDINATE / side if side > 0 else 0.0) + 0.5)
    return whole.astype(np.uint8)


def without_metadata(
    drawings: Sequence[Sequence[npt.NDArray[np.uint8]]], *, word: str, label: int, first: int = 0
) -> DrawingBatch:
    """Return drawings with the given strokes and default metadata: no country, time 1970, recognized, a made-up key_id.

    Args:
        drawings: Each drawing's strokes, (n, 2) uint8, n ≥ 1.
        word: Their category.
        label: Its label.
        first: The number of the first drawing in its file, so that equal drawings in a file get different key_ids.
    """
    strokes = [stroke for drawing in drawings for stroke in drawing]
    xy = np.concatenate([np.empty((0, 2), np.uint8), *strokes])
    count = len(drawings)
    return DrawingBatch(
        key_id=np.array([made_up_key_id(d, word, first + i) for i, d in enumerate(drawings)], np.uint64),
        label=np.full(count, label, np.uint16),
        countrycode=np.full(count, b"", "S2"),
        timestamp=np.zeros(count, np.int64),
        recognized=np.ones(count, np.bool_),
        strokes=offsets_of(np.array([len(drawing) for drawing in drawings], np.int64)),
        points=offsets_of(np.array([len(stroke) for stroke in strokes], np.int64)),
        x=np.ascontiguousarray(xy[:, 0]),
        y=np.ascontiguousarray(xy[:, 1]),
    )


def made_up_key_id(strokes: Sequence[npt.NDArray[np.generic]], word: str, number: int | str) -> int:
    """Return a key_id for a drawing without one: a hash of its word, its number or file name, and its points.

    It is at least 2^63, larger than every official one, and the same whenever the same file is read.
    """
    digest = blake2b(f"{word}\0{number}\0".encode(), digest_size=8)
    for stroke in strokes:
        digest.update(len(stroke).to_bytes(8, "little"))
        digest.update(np.ascontiguousarray(stroke).tobytes())
    return int.from_bytes(digest.digest(), "little") | 1 << 63
