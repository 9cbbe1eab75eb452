"""What a prototype is, and the flat table of its strokes that many drawings are traced from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sketchdata.synth.shapes import Points, Stroke


@dataclass(frozen=True, kw_only=True)
class Prototype:
    """How people draw a category.

    Attributes:
        variants: Ways of drawing it; each a tuple of strokes in their usual order.
        spin: A drawing is turned by up to this many degrees either way.
        stretch: Standard deviation of the aspect ratio.
        mirrors: Whether some drawings face the other way.
    """

    variants: tuple[tuple[Stroke, ...], ...]
    spin: float
    stretch: float
    mirrors: bool


def drawn(*variants: Iterable[Stroke], spin: float = 7.0, stretch: float = 0.11, mirrors: bool = True) -> Prototype:
    """Describe a category by the ways in which people draw it."""
    return Prototype(variants=tuple(tuple(v) for v in variants), spin=spin, stretch=stretch, mirrors=mirrors)


@dataclass(frozen=True, kw_only=True)
class StrokeTable:
    """S strokes as flat arrays.

    Attributes:
        offsets: (S + 1,) int64, stroke s is points offsets[s]:offsets[s + 1].
        x: (P,) float64, units of the canvas.
        y: (P,) float64.
        closed: (S,) bool.
        chance: (S,) float64, the share of drawings that have the stroke.
        centre: (2, S) float64, the middle of the stroke's bounds.
        extent: (S,) float64, the larger side of the stroke's bounds.
    """

    offsets: npt.NDArray[np.int64]
    x: Points
    y: Points
    closed: npt.NDArray[np.bool_]
    chance: Points
    centre: Points
    extent: Points

    def __len__(self) -> int:
        return len(self.closed)

    def joined(self, other: StrokeTable) -> StrokeTable:
        """Append another table's strokes."""
        return StrokeTable(
            offsets=np.concatenate([self.offsets, self.offsets[-1] + other.offsets[1:]]),
            x=np.concatenate([self.x, other.x]),
            y=np.concatenate([self.y, other.y]),
            closed=np.concatenate([self.closed, other.closed]),
            chance=np.concatenate([self.chance, other.chance]),
            centre=np.concatenate([self.centre, other.centre], axis=1),
            extent=np.concatenate([self.extent, other.extent]),
        )


def pack(strokes: Sequence[Stroke]) -> StrokeTable:
    """Lay strokes side by side."""
    x, y = np.concatenate([s.points for s in strokes]).T
    table = pack_open(np.array([len(s.points) for s in strokes]), np.ascontiguousarray(x), np.ascontiguousarray(y))
    closed = np.array([s.is_closed for s in strokes])
    return replace(table, closed=closed, chance=np.array([s.chance for s in strokes]))


def pack_open(lengths: npt.NDArray[np.int64], x: Points, y: Points) -> StrokeTable:
    """Make a table of strokes that are open and sure to be drawn: points of each (S,), and flat coordinates (P,)."""
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    low, high = (np.stack([bound.reduceat(v, offsets[:-1]) for v in (x, y)]) for bound in (np.minimum, np.maximum))
    return StrokeTable(
        offsets=offsets,
        x=x,
        y=y,
        closed=np.zeros(len(lengths), np.bool_),
        chance=np.ones(len(lengths)),
        centre=(low + high) / 2,
        extent=(high - low).max(axis=0),
    )
