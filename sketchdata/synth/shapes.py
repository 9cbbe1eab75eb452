"""Strokes, the prototypes that are made of them, and random numbers that are the same on every machine."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

# Seeded by a hash, and made of `Generator.random` alone.
# The uniform doubles of numpy's PCG64 have been the same bits since numpy 1.17. Its normal and other distributions may
# change between versions, and the last bit of a sine differs between processors, so neither is used for drawings.

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

_SINE_STEPS = 1024
_SINE: Floats = np.round(np.sin(2 * np.pi * np.arange(_SINE_STEPS) / _SINE_STEPS), 9)


def stream(*identity: str | int) -> np.random.Generator:
    """Return the generator that belongs to a name such as ("strokes", seed, word, 3), on every machine."""
    return np.random.Generator(np.random.PCG64(stable_hash(*identity)))


def stable_hash(*identity: str | int) -> int:
    """Hash a name to 128 bits; unlike `hash`, the same in every process."""
    encoded = "\x00".join(str(part) for part in identity).encode()
    return int.from_bytes(hashlib.sha256(encoded).digest()[:16], "little")


def bell(rng: np.random.Generator, *shape: int) -> Floats:
    """Draw from a bell of mean 0, standard deviation 1 and range ±3: a sum of three uniforms."""
    a, b, c = rng.random((3, *shape))
    bell_shaped: Floats = 2 * (a + b + c) - 3
    return bell_shaped


def between(rng: np.random.Generator, low: float, high: float, size: int) -> Floats:
    """Draw uniformly from [low, high)."""
    uniform: Floats = low + (high - low) * rng.random(size)
    return uniform


def below(rng: np.random.Generator, limits: Indices | int, size: int) -> Indices:
    """Draw whole numbers from [0, limit)."""
    return np.floor(rng.random(size) * limits).astype(np.int64)


def sine(turns: Floats) -> Floats:
    """Look up sin(2π · turns), to a 1024th of a turn."""
    values: Floats = _SINE[(turns * _SINE_STEPS).astype(np.int64) & (_SINE_STEPS - 1)]
    return values


def cosine(turns: Floats) -> Floats:
    """Look up cos(2π · turns), to a 1024th of a turn."""
    return sine(turns + 0.25)


# Lines, arcs and curves on a canvas of 100 × 100 units, y downwards.
# Points are spaced as a simplified drawing has them: corners, a point or two along a straight side so that a hand can
# bend it, and some twenty around a circle.

Points = npt.NDArray[np.float64]

#: A straight side gets one more point for each of these lengths, in units of the canvas.
_SIDE = 26.0
#: Points around a full ellipse.
_ROUND = 26
#: Points between two neighbours of a smooth curve.
_CURVE_STEPS = 5


@dataclass(frozen=True)
class Stroke:
    """One movement of the pen.

    Attributes:
        points: (n, 2) float64, n ≥ 2, on the canvas; closed when the first equals the last.
        chance: The share of drawings that have this stroke.
    """

    points: Points
    chance: float = 1.0

    def __add__(self, other: Stroke) -> Stroke:
        """Go on with another stroke without lifting the pen."""
        return replace(self, points=np.concatenate([self.points, other.points]))

    @property
    def is_closed(self) -> bool:
        """Whether the stroke ends where it started."""
        return len(self.points) > 3 and bool((self.points[0] == self.points[-1]).all())

    def maybe(self, chance: float) -> Stroke:
        """Leave the stroke out of some drawings."""
        return replace(self, chance=chance)

    def moved(self, dx: float, dy: float) -> Stroke:
        """Shift the stroke."""
        return replace(self, points=np.round(self.points + np.array([dx, dy]), 6))

    def mirrored(self, x: float = 50.0) -> Stroke:
        """Reflect the stroke at a vertical axis."""
        return replace(self, points=np.round(np.array([2 * x, 0]) + self.points * (-1, 1), 6))

    def scaled(self, sx: float, sy: float, x: float = 50.0, y: float = 50.0) -> Stroke:
        """Stretch the stroke about a point."""
        return replace(self, points=np.round((self.points - (x, y)) * (sx, sy) + (x, y), 6))

    def turned(self, degrees: float, x: float = 50.0, y: float = 50.0) -> Stroke:
        """Rotate the stroke clockwise about a point."""
        c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        dx, dy = (self.points - (x, y)).T
        return replace(self, points=np.round(np.stack([x + c * dx - s * dy, y + s * dx + c * dy], axis=1), 6))


def polyline(*xy: float) -> Stroke:
    """Draw straight sides through corners given as x, y pairs."""
    corners = np.array(xy, float).reshape(-1, 2)
    pieces = [corners[:1]]
    for start, end in pairwise(corners):
        steps = 1 + int(math.hypot(*(end - start)) / _SIDE)
        pieces.append(start + (end - start) * (np.arange(1, steps + 1) / steps)[:, None])
    return _stroke(np.concatenate(pieces))


def polygon(*xy: float) -> Stroke:
    """Draw straight sides through corners and back to the first."""
    return polyline(*xy, *xy[:2])


def rectangle(x: float, y: float, width: float, height: float) -> Stroke:
    """Draw a rectangle from its top-left corner, down first."""
    return polygon(x, y, x, y + height, x + width, y + height, x + width, y)


def arc(x: float, y: float, rx: float, ry: float, *, start: float = 0.0, stop: float = 360.0) -> Stroke:
    """Draw part of an ellipse about x, y; degrees clockwise from the right."""
    count = max(4, round(abs(stop - start) / 360 * _ROUND)) + 1
    angles = np.radians(np.linspace(start, stop, count))
    return _stroke(np.stack([x + rx * np.cos(angles), y + ry * np.sin(angles)], axis=1))


def oval(x: float, y: float, rx: float, ry: float | None = None) -> Stroke:
    """Draw a closed ellipse, counter-clockwise from the top as most people do."""
    return arc(x, y, rx, rx if ry is None else ry, start=270, stop=-90)


def polar(x: float, y: float, radii: Floats | float, angles: Floats) -> list[float]:
    """Return x, y of each place at a distance and an angle, clockwise from the right, from x, y."""
    return np.stack([x + radii * np.cos(angles), y + radii * np.sin(angles)], axis=1).ravel().tolist()


def regular(corners: int, x: float, y: float, r: float, *, turn: float = -90.0) -> Stroke:
    """Draw a regular polygon whose first corner lies at an angle of `turn` degrees."""
    return star_polygon(corners, 1, x, y, r, turn=turn)


def star_polygon(corners: int, step: int, x: float, y: float, r: float, *, turn: float = -90.0) -> Stroke:
    """Join every `step`-th of the corners of a regular polygon: (5, 2) is the pentagram."""
    angles = np.radians(turn + 360 * step / corners * np.arange(corners))
    return polygon(*polar(x, y, r, angles))


def star_outline(tips: int, x: float, y: float, r: float, inner: float) -> Stroke:
    """Draw a star's outline, the inner corners at the radius `inner`."""
    angles = np.radians(-90 + 180 / tips * np.arange(2 * tips))
    radii = np.where(np.arange(2 * tips) % 2, inner, r)
    return polygon(*polar(x, y, radii, angles))


def curve(*xy: float) -> Stroke:
    """Draw a smooth curve through points: a Catmull-Rom spline."""
    inner = np.array(xy, float).reshape(-1, 2)
    ends = 2 * inner[0] - inner[1], 2 * inner[-1] - inner[-2]
    return _stroke(_spline(np.concatenate([[ends[0]], inner, [ends[1]]])))


def blob(*xy: float) -> Stroke:
    """Draw a smooth closed curve through points."""
    ring = np.array(xy, float).reshape(-1, 2)
    return _stroke(_spline(np.concatenate([ring[-1:], ring, ring[:2]])))


def wave(x0: float, x1: float, y: float, *, height: float, periods: float) -> Stroke:
    """Draw a sine wave from left to right."""
    u = np.linspace(0, 1, round(periods * 10) + 1)
    return _stroke(np.stack([x0 + (x1 - x0) * u, y + height * np.sin(2 * np.pi * periods * u)], axis=1))


def zigzag(x0: float, x1: float, *, top: float, bottom: float, teeth: int) -> Stroke:
    """Draw straight teeth from left to right, starting at the bottom."""
    count = 2 * teeth + 1
    corners = np.stack([np.linspace(x0, x1, count), np.where(np.arange(count) % 2, top, bottom)], axis=1)
    return polyline(*corners.ravel().tolist())


def scallops(outline: Stroke, bumps: int, depth: float) -> Stroke:
    """Turn a closed outline into bumps that point outwards, as in a cloud."""
    ring, centre = outline.points[:-1], outline.points[:-1].mean(axis=0)
    u = np.arange(5 * bumps + 1) / (5 * bumps)
    at = np.stack([np.interp(u * len(ring), np.arange(len(ring) + 1), outline.points[:, k]) for k in (0, 1)], axis=1)
    swell = 1 + depth * np.abs(np.sin(np.pi * bumps * u))[:, None]
    closed = centre + (at - centre) * swell
    closed[-1] = closed[0]
    return _stroke(closed)


def spiral(x: float, y: float, r: float, *, turns: float) -> Stroke:
    """Draw a spiral outwards from x, y."""
    u = np.linspace(0.05, 1, round(turns * 16))
    angles = 2 * np.pi * turns * u
    return _stroke(np.stack([x + r * u * np.cos(angles), y + r * u * np.sin(angles)], axis=1))


def dot(x: float, y: float) -> Stroke:
    """Tap the pen."""
    return polyline(x, y, x + 1.0, y + 1.0)


def rays(count: int, x: float, y: float, *, inner: float, outer: float, turn: float = -90.0) -> list[Stroke]:
    """Draw lines outwards around x, y."""
    return around(count, lambda: polyline(x + inner, y, x + outer, y), x, y, turn=turn)


def around(count: int, make: Callable[[], Stroke], x: float, y: float, *, turn: float = 0.0) -> list[Stroke]:
    """Repeat a stroke around x, y."""
    return [make().turned(turn + 360 / count * k, x, y) for k in range(count)]


def _stroke(points: Points) -> Stroke:
    # Rounded, so that the last bit of a machine's sine does not reach the drawings.
    return Stroke(np.round(points, 6))


def _spline(points: Points) -> Points:
    """Run through all but the outermost points, (n + 2, 2) → (_CURVE_STEPS · (n − 1) + 1, 2)."""
    p0, p1, p2, p3 = (points[k : len(points) - 3 + k, None, :] for k in range(4))
    t = (np.arange(_CURVE_STEPS) / _CURVE_STEPS)[None, :, None]
    between = p1 + 0.5 * t * (p2 - p0 + t * (2 * p0 - 5 * p1 + 4 * p2 - p3 + t * (3 * (p1 - p2) + p3 - p0)))
    return np.concatenate([between.reshape(-1, 2), points[-2:-1]])


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
