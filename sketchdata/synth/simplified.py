"""From ink to the official simplified form: top-left aligned, larger side 255, sparse points, whole numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sketchdata.drawing import MAX_COORDINATE
from sketchdata.synth.hand import Ink
from sketchdata.synth.randomness import Floats, Indices

#: Pixels of the 256 × 256 frame. Less than the official ε of 2, since the errors of several passes add up.
_EPSILON = 1.4
#: Each pass may drop every other point.
_PASSES = 3


@dataclass(frozen=True, kw_only=True)
class Simplified:
    """Simplified strokes as in DrawingBatch: strokes (N + 1,), points (S + 1,), x, y (P,) uint8."""

    strokes: Indices
    points: Indices
    x: npt.NDArray[np.uint8]
    y: npt.NDArray[np.uint8]


def simplify(ink: Ink) -> Simplified:
    """Align, scale, thin out and round drawings, all at once.

    Thinning drops every other point that lies within 1.4 pixels of the line through its neighbours, a few times over: a
    vectorised stand-in for Ramer-Douglas-Peucker, on points that are sparse already.
    """
    first_stroke = np.flatnonzero(np.diff(ink.drawing, prepend=-1))
    strokes = np.append(first_stroke, len(ink.drawing))
    lengths, x, y = ink.lengths, *_fit(strokes, ink.lengths, ink.x, ink.y)
    for turn in range(_PASSES):
        lengths, x, y = _keep(lengths, _far_from_chord(lengths, x, y, turn % 2), x, y)
    x, y = (np.rint(v) for v in _fit(strokes, lengths, x, y))
    lengths, x, y = _keep(lengths, _moving(lengths, x, y), x, y)
    points = np.concatenate([[0], np.cumsum(lengths)])
    return Simplified(strokes=strokes, points=points, x=x.astype(np.uint8), y=y.astype(np.uint8))


def _fit(strokes: Indices, lengths: Indices, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Move each drawing to the top-left corner and make its larger side 255."""
    starts = (np.cumsum(lengths) - lengths)[strokes[:-1]]
    points = np.diff(np.append(starts, len(x)))
    left, top = np.minimum.reduceat(x, starts), np.minimum.reduceat(y, starts)
    side = np.maximum(np.maximum.reduceat(x, starts) - left, np.maximum.reduceat(y, starts) - top)
    scale = np.repeat(MAX_COORDINATE / np.maximum(side, 1e-9), points)
    return (x - np.repeat(left, points)) * scale, (y - np.repeat(top, points)) * scale


def _far_from_chord(lengths: Indices, x: Floats, y: Floats, parity: int) -> npt.NDArray[np.bool_]:
    """Return which points to keep (P,): ends, every other point, and those off their neighbours' line."""
    ends = np.cumsum(lengths) - 1
    keep = np.ones(len(x), np.bool_)
    dx, dy = x[2:] - x[:-2], y[2:] - y[:-2]
    px, py = x[1:-1] - x[:-2], y[1:-1] - y[:-2]
    # A point beyond its neighbours is a turning point, however near it lies to their line.
    dot, length2 = px * dx + py * dy, dx * dx + dy * dy
    cross = px * dy - py * dx
    keep[1:-1] = (cross * cross >= _EPSILON**2 * length2) | (dot < 0) | (dot > length2)
    keep[1 - parity :: 2] = True
    keep[ends] = keep[ends - lengths + 1] = True
    return keep


def _moving(lengths: Indices, x: Floats, y: Floats) -> npt.NDArray[np.bool_]:
    """Return which points to keep (P,): those that differ from the one before, and the two equal ones of a dot."""
    ends = np.cumsum(lengths) - 1
    keep = np.ones(len(x), np.bool_)
    keep[1:] = (x[1:] != x[:-1]) | (y[1:] != y[:-1])
    keep[ends - lengths + 1] = True
    still = np.add.reduceat(keep, ends - lengths + 1, dtype=np.int64) == 1
    keep[ends[still]] = True
    return keep


def _keep(lengths: Indices, keep: npt.NDArray[np.bool_], x: Floats, y: Floats) -> tuple[Indices, Floats, Floats]:
    starts = np.cumsum(lengths) - lengths
    return np.add.reduceat(keep, starts, dtype=np.int64), x[keep], y[keep]
