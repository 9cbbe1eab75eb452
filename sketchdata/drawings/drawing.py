"""Drawings as records and as flat arrays.

A `Drawing` is one record. A `DrawingBatch` is many drawings as a few numpy arrays, which Parquet, the rasters and the
tensors share without a Python loop over points.
"""

from __future__ import annotations

import html
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

import numpy as np
import numpy.typing as npt

from sketchdata.errors import FormatError

Stroke = npt.NDArray[np.generic]

#: Coordinates of the simplified format are integers from 0 to 255.
MAX_COORDINATE = 255
SVG_NAMESPACE = "http://www.w3.org/2000/svg"

_MAX_WORDS = 1 << 16
_MAX_PLACE = 1e9
_UNPRINTABLE = re.compile("[^\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """One drawing with its official metadata. A notebook shows it as a picture.

    Attributes:
        key_id: The drawing's unsigned 64-bit identifier.
        word: Its category's name.
        strokes: One array per stroke, n ≥ 1: (n, 2) uint8 with x, y if simplified; (n, 3) float64 with x, y and t in ms
            if raw.
        recognized: Whether the game recognized the drawing.
        countrycode: Two letters, or None.
        timestamp: UTC, to the microsecond.

    Example:
        >>> drawing = sketchdata.load("data/quickdraw-3.8m", "train")[0]
        >>> drawing.word, len(drawing.strokes), drawing.image(64).shape
        ('cat', 9, (64, 64))
    """

    key_id: int
    word: str
    strokes: tuple[Stroke, ...]
    recognized: bool = True
    countrycode: str | None = None
    timestamp: datetime = _EPOCH

    def image(self, size: int = 224, *, line_width: int = 1, antialias: bool = False) -> npt.NDArray[np.uint8]:
        """Rasterize the drawing, see `sketchdata.drawings.raster.raster`.

        Args:
            size: The side S in pixels, 1..4096.
            line_width: Width in pixels, 1..64.
            antialias: Whether lines are antialiased; otherwise pixels are 0 or 255.

        Returns:
            (S, S) uint8; the first row is the top one, ink is 255 and background 0.

        Raises:
            ConfigError: `size` or `line_width` is out of its range.
            FormatError: A raw coordinate is not a finite number.
        """
        from sketchdata.drawings.raster import raster

        (image,) = raster(to_batch([self], Words()), size=size, line_width=line_width, antialias=antialias)
        return np.asarray(image)

    def svg(self) -> str:
        """Return the drawing as an SVG document: one path per stroke, the metadata in `data-` attributes of the root.

        Simplified drawings have the viewBox 0 0 255 255; raw ones keep their pixels and times. `sketchdata.read`
        returns the same drawing.

        Raises:
            FormatError: The word has a character that XML cannot contain, or a raw coordinate is beyond ±10^9.
        """
        if _UNPRINTABLE.search(self.word + (self.countrycode or "")):
            raise FormatError("no SVG form", f"{self.word!r} or its country has a character that XML cannot hold")
        data = {
            "key-id": self.key_id,
            "word": self.word,
            "recognized": str(self.recognized).lower(),
            "countrycode": self.countrycode or "",
            "timestamp": self.timestamp.isoformat(),
        }
        attributes = " ".join(f'data-{name}="{html.escape(str(value))}"' for name, value in data.items())
        view_box = "0 0 255 255"
        if self.strokes and self.strokes[0].shape[1] == 3:
            xy = np.concatenate(self.strokes)[:, :2].astype(np.float64)
            if not np.abs(xy).max() <= _MAX_PLACE:
                raise FormatError("no SVG form", f"drawing {self.key_id} has a point beyond ±10^9")
            low, side = xy.min(axis=0), np.maximum(np.ptp(xy, axis=0), 1)
            view_box = " ".join(f"{value:g}" for value in (*low.tolist(), *side.tolist()))
        head = (
            f'<svg xmlns="{SVG_NAMESPACE}" viewBox="{view_box}" overflow="visible" {attributes} fill="none" '
            f'stroke="black" stroke-width="2" stroke-linecap="round" stroke-linejoin="round">\n'
            f"<title>{html.escape(self.word)}</title>\n"
        )
        return "".join([head, *map(_path, self.strokes), "</svg>\n"])

    def _repr_svg_(self) -> str:
        # A white background, so that the lines are visible in a dark notebook.
        paper = '<svg width="160" height="160" style="background:white;padding:8px" '
        return self.svg().replace("<svg ", paper, 1)


def _path(stroke: Stroke) -> str:
    (x, y), *rest = [[str(value).removesuffix(".0") for value in place] for place in stroke[:, :2].tolist()]
    # A single point is closed, which draws a dot; a moveto alone draws nothing.
    lines = f"L{' '.join(f'{x} {y}' for x, y in rest)}" if rest else "Z"
    times = f' data-t="{" ".join(map(str, stroke[:, 2].astype(np.int64).tolist()))}"' if stroke.shape[1] == 3 else ""
    return f'<path d="M{x} {y}{lines}"{times}/>\n'


@dataclass(frozen=True, kw_only=True)
class DrawingBatch:
    """N drawings with S strokes and P points in total, as flat arrays; the word of drawing i is `words[label[i]]`.

    Attributes:
        key_id: (N,) uint64.
        label: (N,) uint16, an index into the class table.
        countrycode: (N,) S2, empty where unknown.
        timestamp: (N,) int64, microseconds since 1970 in UTC.
        recognized: (N,) bool.
        strokes: (N + 1,) int64, offsets of each drawing's strokes.
        points: (S + 1,) int64, offsets of each stroke's points.
        x: (P,) uint8 if simplified; if raw, float32, or float64 to keep every digit of the text.
        y: (P,), as x.
        t: (P,) uint32 in milliseconds if raw, else None.
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
        """Return rows start..stop as views; only the offsets are copied."""
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


class Words:
    """The class table of a file, which grows while the file is read."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._labels: dict[str, int] = {}

    def label(self, word: str) -> int:
        """Return a word's label, adding the word to the table if necessary.

        Raises:
            FormatError: There are more words than labels.
        """
        if word not in self._labels:
            if len(self.names) == _MAX_WORDS:
                raise FormatError("too many words", f"more than {_MAX_WORDS:,} different ones in one file")
            self._labels[word] = len(self.names)
            self.names.append(word)
        return self._labels[word]


def to_batch(drawings: Sequence[Drawing], words: Words) -> DrawingBatch:
    """Convert drawings, all simplified or all raw, to a batch.

    Raises:
        FormatError: Some are raw and others are not.
    """
    lines = list(itertools.chain.from_iterable(drawing.strokes for drawing in drawings))
    if not lines:
        return empty_batch()
    if len({line.shape[1] for line in lines}) > 1:
        raise FormatError("raw and simplified drawings together", "`sketchdata.simplify` the raw ones, with times")
    points = np.concatenate(lines)
    raw = points.shape[1] == 3
    coordinate = np.float64 if raw else np.uint8
    moments = [np.datetime64(drawing.timestamp.replace(tzinfo=None), "us") for drawing in drawings]
    return DrawingBatch(
        key_id=np.array([drawing.key_id for drawing in drawings], np.uint64),
        label=np.array([words.label(drawing.word) for drawing in drawings], np.uint16),
        countrycode=np.array([(drawing.countrycode or "").encode("ascii") for drawing in drawings], "S2"),
        timestamp=np.array(moments, "datetime64[us]").astype(np.int64),
        recognized=np.array([drawing.recognized for drawing in drawings], np.bool_),
        strokes=offsets_of(np.array([len(drawing.strokes) for drawing in drawings], np.int64)),
        points=offsets_of(np.array([len(line) for line in lines], np.int64)),
        x=points[:, 0].astype(coordinate),
        y=points[:, 1].astype(coordinate),
        t=points[:, 2].astype(np.uint32) if raw else None,
    )


def gather_ranges(
    offsets: npt.NDArray[np.int64], rows: npt.NDArray[np.integer]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Select variable-length lists from a flat array.

    Args:
        offsets: (N + 1,); list i is at offsets[i]:offsets[i + 1].
        rows: (M,) the selected lists.

    Returns:
        (M + 1,) offsets of the selected lists after concatenation, and their (total,) positions in the flat array.
    """
    starts, lengths = offsets[rows], offsets[rows + 1] - offsets[rows]
    chosen = offsets_of(lengths)
    return chosen, np.repeat(starts - chosen[:-1], lengths) + np.arange(chosen[-1])


def offsets_of(lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the (N + 1,) offsets of N concatenated lists from their (N,) lengths."""
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
    """Concatenate batches, all simplified or all raw."""
    raw = [b.t for b in batches if b.t is not None]
    return DrawingBatch(
        key_id=np.concatenate([b.key_id for b in batches]),
        label=np.concatenate([b.label for b in batches]),
        countrycode=np.concatenate([b.countrycode for b in batches]),
        timestamp=np.concatenate([b.timestamp for b in batches]),
        recognized=np.concatenate([b.recognized for b in batches]),
        strokes=offsets_of(np.concatenate([np.diff(b.strokes) for b in batches])),
        points=offsets_of(np.concatenate([np.diff(b.points) for b in batches])),
        x=np.concatenate([b.x for b in batches]),
        y=np.concatenate([b.y for b in batches]),
        t=np.concatenate(raw) if raw else None,
    )


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """The valid records of a batch, in their order, and the errors of the others.

    Attributes:
        batch: N valid drawings.
        rows: (N,) their positions among the given records.
        faults: (position, error) of every other record.
    """

    batch: DrawingBatch
    rows: npt.NDArray[np.int64]
    faults: list[tuple[int, FormatError]]
