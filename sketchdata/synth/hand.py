"""Draws prototypes with the errors of a hand: it varies the strokes, their order, their direction and their points.

All drawings of a chunk are flat arrays, over N drawings, S strokes and P points, without loops over drawings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sketchdata.synth.shapes import Floats, Indices, Prototype, StrokeTable, bell, below, between, cosine, sine

#: Shares of strokes that are drawn twice, in two parts, and backwards; and of drawings in an unusual order.
_DOUBLED, _SPLIT, _BACKWARDS, _REORDERED = 0.025, 0.10, 0.2, 0.35
#: Share of mirrored drawings.
_MIRRORED = 0.35
#: Closed strokes: the share that ends before the start, and the share above which they end beyond it.
_GAPING, _OVERSHOOTING = 0.12, 0.75
#: Strokes with fewer points are not drawn in two parts.
_SPLITTABLE = 5


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The strokes to draw, sorted by drawing.

    Attributes:
        drawing: (S,) drawing of each stroke, ascending.
        stroke: (S,) row in the table of strokes.
        first: (S,) first point within that row.
        count: (S,) number of points; a closed stroke continues from its start.
        backwards: (S,) bool.
    """

    drawing: Indices
    stroke: Indices
    first: Indices
    count: Indices
    backwards: npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Ink:
    """Drawn points: `drawing` (S,) and number of points `lengths` (S,) of each stroke, x, y (P,) on the canvas."""

    drawing: Indices
    lengths: Indices
    x: Floats
    y: Floats


def plan(rng: np.random.Generator, table: StrokeTable, drawing: Indices, stroke: Indices) -> Plan:
    """Decide which of the drawings' usual strokes are drawn, and how.

    Args:
        rng: The chunk's random numbers.
        table: The strokes.
        drawing: (S,) ascending.
        stroke: (S,) rows of the table, in each drawing's usual order.
    """
    # The first stroke of a drawing is never left out.
    keep = rng.random(len(stroke)) < table.chance[stroke]
    keep[0] = True
    keep[1:] |= drawing[1:] != drawing[:-1]
    drawing, stroke = drawing[keep], stroke[keep]
    again = 1 + (rng.random(len(stroke)) < _DOUBLED)
    drawing, stroke = np.repeat(drawing, again), np.repeat(stroke, again)
    first, count = _around(rng, table, stroke)

    cut = (rng.random(len(stroke)) < _SPLIT) & (count >= _SPLITTABLE)
    head = 2 + below(rng, np.maximum(count - 3, 1), len(stroke))
    source = np.repeat(np.arange(len(stroke)), 1 + cut)
    tail = np.zeros(len(source), np.bool_)
    tail[1:] = source[1:] == source[:-1]
    is_head = cut[source] & ~tail
    first = first[source] + np.where(tail, head[source] - 1, 0)
    count = np.where(is_head, head[source], np.where(tail, count[source] - head[source] + 1, count[source]))

    order = _order(rng, drawing[source])
    return Plan(
        drawing=drawing[source][order],
        stroke=stroke[source][order],
        first=first[order],
        count=count[order],
        backwards=rng.random(len(order)) < _BACKWARDS,
    )


def _around(rng: np.random.Generator, table: StrokeTable, stroke: Indices) -> tuple[Indices, Indices]:
    """Choose where closed strokes start, and how far before or beyond their start they end."""
    length = np.diff(table.offsets)[stroke]
    closed = table.closed[stroke]
    lot, u = rng.random((2, len(stroke)))
    first = np.where(closed, np.floor(u * u * u * (length - 1)), 0).astype(np.int64)
    extra = (lot > _OVERSHOOTING).astype(np.int64) - (lot < _GAPING)
    return first, length + np.where(closed, extra, 0)


def _order(rng: np.random.Generator, drawing: Indices) -> Indices:
    """Return the order of strokes within drawings: the usual one, or one in which neighbours are swapped."""
    unsteady = 2.5 * (rng.random(int(drawing[-1]) + 1) < _REORDERED)
    place = np.arange(len(drawing)) + unsteady[drawing] * rng.random(len(drawing))
    order: Indices = np.lexsort((place, drawing))
    return order


def draw(rng: np.random.Generator, table: StrokeTable, strokes: Plan, prototype: Prototype) -> Ink:
    """Draw the planned strokes with a hand's errors, as far as the prototype lets a drawing vary.

    Each drawing has its own neatness, proportions, slant and rotation; each stroke has small errors of place, size and
    direction, drifts (so that closed shapes have gaps or overlaps) and wobbles slowly.
    """
    sloppiness = between(rng, 0.4, 1.9, int(strokes.drawing[-1]) + 1)[strokes.drawing]
    of = np.repeat(np.arange(len(strokes.count)), strokes.count)
    k = np.arange(len(of)) - np.repeat(np.cumsum(strokes.count) - strokes.count, strokes.count)
    x, y = _misplace(rng, table, strokes.stroke, sloppiness)(of, *_trace(table, strokes, of, k))
    along = k / (strokes.count - 1)[of]
    error = sloppiness * (0.5 + 0.02 * table.extent[strokes.stroke])
    x += _waver(rng, error, of, along)
    y += _waver(rng, error, of, along)
    x, y = _bend(rng, strokes.drawing[of], x / 50 - 1, y / 50 - 1)
    x, y = _turn(rng, strokes.drawing[of], x, y, prototype)
    return Ink(drawing=strokes.drawing, lengths=strokes.count, x=x, y=y)


def _trace(table: StrokeTable, strokes: Plan, of: Indices, k: Indices) -> tuple[Floats, Floats]:
    """Look up the strokes' points in the order in which they are drawn: point k (P,) of stroke `of` (P,)."""
    k = np.where(strokes.backwards[of], (strokes.count - 1)[of] - k, k) + strokes.first[of]
    length = np.diff(table.offsets)[strokes.stroke]
    lap = np.where(table.closed[strokes.stroke], length - 1, length)[of]
    k = table.offsets[strokes.stroke][of] + np.where(k >= lap, k - lap, k)
    return table.x[k], table.y[k]


def _misplace(
    rng: np.random.Generator, table: StrokeTable, stroke: Indices, sloppiness: Floats
) -> Callable[[Indices, Floats, Floats], tuple[Floats, Floats]]:
    """Return a map of points that shifts, scales and turns each stroke a little about its own centre."""
    count = len(stroke)
    shift_x, shift_y = sloppiness * (0.5 + 0.025 * table.extent[stroke]) * bell(rng, 2, count)
    sx, sy = 1 + 0.05 * sloppiness * bell(rng, 2, count)
    turn = 0.04 * sloppiness * bell(rng, count)
    cx, cy = table.centre[:, stroke]
    to_x, to_y = cx + shift_x, cy + shift_y

    def move(of: Indices, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        dx, dy, angle = x - cx[of], y - cy[of], turn[of]
        return to_x[of] + sx[of] * dx - angle * dy, to_y[of] + sy[of] * dy + angle * dx

    return move


def _waver(rng: np.random.Generator, error: Floats, of: Indices, along: Floats) -> Floats:
    """Return each point's displacement along one axis: a drift to the stroke's end, a slow wave and a faster one."""
    count = len(error)
    drift = 1.3 * error * bell(rng, count)
    slow, fast = between(rng, 0.4, 1.6, count), between(rng, 1.6, 4.5, count)
    slow_phase, fast_phase = rng.random((2, count))
    wobble = error[of] * sine(slow[of] * along + slow_phase[of])
    wobble += (0.45 * error)[of] * sine(fast[of] * along + fast_phase[of])
    return wobble + drift[of] * along


def _bend(rng: np.random.Generator, drawing: Indices, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Change each drawing's proportions on a canvas of −1 … 1.

    x becomes x + (a + b·x)(1 − x²), which leaves the edges where they are, then tapers with y; and y likewise.
    """
    bulge_x, swell_x, taper_x, bulge_y, swell_y, taper_y = 0.07 * bell(rng, 6, int(drawing[-1]) + 1)
    x = (x + (bulge_x[drawing] + swell_x[drawing] * x) * (1 - x * x)) * (1 + taper_x[drawing] * y)
    y = (y + (bulge_y[drawing] + swell_y[drawing] * y) * (1 - y * y)) * (1 + taper_y[drawing] * x)
    return x, y


def _turn(
    rng: np.random.Generator, drawing: Indices, x: Floats, y: Floats, prototype: Prototype
) -> tuple[Floats, Floats]:
    count = int(drawing[-1]) + 1
    wide = np.maximum(1 + prototype.stretch * bell(rng, count), 0.4)
    wide = np.where(rng.random(count) < _MIRRORED * prototype.mirrors, -wide, wide)
    slant = 0.05 * bell(rng, count)
    turn = between(rng, -prototype.spin, prototype.spin, count) / 360
    c, s = cosine(turn), sine(turn)
    xx, xy, yx, yy = (m[drawing] for m in (c * wide, c * slant - s, s * wide, s * slant + c))
    return xx * x + xy * y, yx * x + yy * y
