"""One drawing as a record, and many drawings as flat arrays.

`Drawing` is for people and for single records; `DrawingBatch` is what moves: the same drawings as a handful of numpy
arrays that Parquet, the rasters and the tensors share without a Python loop over points.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

import numpy as np
import numpy.typing as npt

from sketchdata.errors import FormatError

Stroke = npt.NDArray[np.generic]

#: Coordinates of the simplified format are whole numbers from 0 to 255.
MAX_COORDINATE = 255

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """One drawing with its official metadata.

    Attributes:
        key_id: The drawing's unsigned 64-bit identifier.
        word: Its category's name.
        strokes: One (n, 2) array of x, y a stroke, n ≥ 1; uint8 when simplified; (n, 3) float64 with t in ms when raw.
        recognized: Whether the game guessed it.
        countrycode: Two letters, or None.
        timestamp: UTC, to the microsecond.
    """

    key_id: int
    word: str
    strokes: tuple[Stroke, ...]
    recognized: bool
    countrycode: str | None
    timestamp: datetime


@dataclass(frozen=True, kw_only=True)
class DrawingBatch:
    """N drawings with S strokes and P points in all, as flat arrays; drawing i's word is `words[label[i]]`.

    Attributes:
        key_id: (N,) uint64.
        label: (N,) uint16, an index into the class table.
        countrycode: (N,) S2, empty where unknown.
        timestamp: (N,) int64, microseconds since 1970 in UTC.
        recognized: (N,) bool.
        strokes: (N + 1,) int64, offsets of each drawing's strokes.
        points: (S + 1,) int64, offsets of each stroke's points.
        x: (P,) uint8; when raw float32, or float64 where every digit of the text is wanted.
        y: (P,) as x.
        t: (P,) uint32 milliseconds when raw, else None.
    """

    key_id: npt.NDArray[np.uint64]
    label: npt.NDArray[np.uint16]
    countrycode: npt.NDArray[np.bytes_]
    timestamp: npt.NDArray[np.int64]
    recognized: npt.NDArray[np.bool_]
    strokes: npt.NDArray[np.int64]
    points: npt.NDArray[np.int64]
    x: npt.NDArray[np.generic]
    y: npt.NDArray[np.generic]
    t: npt.NDArray[np.uint32] | None = None

    def __len__(self) -> int:
        return len(self.key_id)

    @property
    def is_raw(self) -> bool:
        """Whether the points carry times, as in the raw format."""
        return self.t is not None

    def take(self, rows: npt.NDArray[np.integer]) -> DrawingBatch:
        """Return the drawings of the given row numbers, in that order."""
        strokes, stroke_index = gather_ranges(self.strokes, rows)
        points, point_index = gather_ranges(self.points, stroke_index)
        return DrawingBatch(
            key_id=self.key_id[rows],
            label=self.label[rows],
            countrycode=self.countrycode[rows],
            timestamp=self.timestamp[rows],
            recognized=self.recognized[rows],
            strokes=strokes,
            points=points,
            x=self.x[point_index],
            y=self.y[point_index],
            t=None if self.t is None else self.t[point_index],
        )

    def slice(self, start: int, stop: int) -> DrawingBatch:
        """Return rows start..stop as views: nothing but the offsets is copied."""
        first_stroke, last_stroke = int(self.strokes[start]), int(self.strokes[stop])
        first_point, last_point = int(self.points[first_stroke]), int(self.points[last_stroke])
        return DrawingBatch(
            key_id=self.key_id[start:stop],
            label=self.label[start:stop],
            countrycode=self.countrycode[start:stop],
            timestamp=self.timestamp[start:stop],
            recognized=self.recognized[start:stop],
            strokes=self.strokes[start : stop + 1] - first_stroke,
            points=self.points[first_stroke : last_stroke + 1] - first_point,
            x=self.x[first_point:last_point],
            y=self.y[first_point:last_point],
            t=None if self.t is None else self.t[first_point:last_point],
        )

    def drawings(self, words: Sequence[str]) -> Iterator[Drawing]:
        """Yield the drawings as records; `words` is the class table that the labels index."""
        columns = [self.x, self.y] if self.t is None else [self.x, self.y, self.t]
        points = np.stack(columns, axis=1)
        for row in range(len(self)):
            bounds = self.points[self.strokes[row] : self.strokes[row + 1] + 1].tolist()
            yield Drawing(
                key_id=int(self.key_id[row]),
                word=words[int(self.label[row])],
                strokes=tuple(points[a:b] for a, b in itertools.pairwise(bounds)),
                recognized=bool(self.recognized[row]),
                countrycode=self.countrycode[row].decode("ascii") or None,
                timestamp=_EPOCH + timedelta(microseconds=int(self.timestamp[row])),
            )


def gather_ranges(
    offsets: npt.NDArray[np.int64], rows: npt.NDArray[np.integer]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Select variable-length lists out of one flat array.

    Args:
        offsets: (N + 1,) where list i lies at offsets[i]:offsets[i + 1].
        rows: (M,) the lists wanted.

    Returns:
        (M + 1,) offsets of the wanted lists once they lie side by side, and the (total,) flat positions to take.
    """
    starts, lengths = offsets[rows], offsets[rows + 1] - offsets[rows]
    chosen = offsets_of(lengths)
    return chosen, np.repeat(starts - chosen[:-1], lengths) + np.arange(chosen[-1])


def offsets_of(lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the (N + 1,) offsets of N lists that lie side by side, from their (N,) lengths."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def empty_batch(*, raw: bool = False) -> DrawingBatch:
    """Return a batch of no drawings."""
    coordinate = np.float32 if raw else np.uint8
    return DrawingBatch(
        key_id=np.empty(0, np.uint64),
        label=np.empty(0, np.uint16),
        countrycode=np.empty(0, "S2"),
        timestamp=np.empty(0, np.int64),
        recognized=np.empty(0, np.bool_),
        strokes=np.zeros(1, np.int64),
        points=np.zeros(1, np.int64),
        x=np.empty(0, coordinate),
        y=np.empty(0, coordinate),
        t=np.empty(0, np.uint32) if raw else None,
    )


def concatenate(batches: Sequence[DrawingBatch]) -> DrawingBatch:
    """Put batches one after the other; all simplified or all raw."""
    raw = [b.t for b in batches if b.t is not None]
    return DrawingBatch(
        key_id=np.concatenate([b.key_id for b in batches]),
        label=np.concatenate([b.label for b in batches]),
        countrycode=np.concatenate([b.countrycode for b in batches]),
        timestamp=np.concatenate([b.timestamp for b in batches]),
        recognized=np.concatenate([b.recognized for b in batches]),
        strokes=_join_offsets([b.strokes for b in batches]),
        points=_join_offsets([b.points for b in batches]),
        x=np.concatenate([b.x for b in batches]),
        y=np.concatenate([b.y for b in batches]),
        t=np.concatenate(raw) if raw else None,
    )


def _join_offsets(offsets: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    lengths = np.concatenate([np.diff(o) for o in offsets])
    return offsets_of(lengths)


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """The good records of a batch, in their order, and what was wrong with the others.

    Attributes:
        batch: N good drawings.
        rows: (N,) the number of each among the records given.
        faults: (number, error) of every other record.
    """

    batch: DrawingBatch
    rows: npt.NDArray[np.int64]
    faults: list[tuple[int, FormatError]]
