"""Generates pictures that replace photographs in trials and tests. They show nothing real.

The subject has the shape of the category's prototype, as generated drawings do, but looks like an object: areas that
strokes enclose are coloured surfaces with shading and a shadow, open strokes are rods, and outlines are wide lines that
fade in places. It has a random position and view, in front of a textured background with other objects. As in photos,
a detector therefore finds double edges, broken edges, and edges of other objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from sketchdata.errors import ConfigError
from sketchdata.synth.prototypes import find
from sketchdata.synth.shapes import Floats, Prototype, Stroke, bell, below, between, stream

#: (H, W, 3) float32, 0 to 255.
Canvas = npt.NDArray[np.float32]
#: (H, W) float32, 0 to 1.
Weights = npt.NDArray[np.float32]
#: (3,) float64, 0 to 255.
Colour = npt.NDArray[np.float64]

#: Fractional bits of the integer coordinates that OpenCV takes.
SHIFT = 4
#: Cells along a side of the background's three layers of texture, and their shares.
_GRAIN = ((4, 0.6), (17, 0.28), (71, 0.12))
_RED_GREEN_BLUE = 3
#: Grey levels between a subject and its background.
_LEAST_CONTRAST = 55.0
#: Share of backgrounds with a horizon; shares of other objects that have corners and that are round, not sticks.
_OUTDOORS, _MANY_SIDED, _ROUNDED = 0.5, 0.4, 0.35
_MOST_THINGS, _MOST_TWIGS = 4, 2


@dataclass(frozen=True)
class Place:
    """A background for a subject: the picture (S, S, 3) and its mean colour."""

    canvas: Canvas
    colour: Colour


def fixed(points: npt.NDArray[np.float64]) -> npt.NDArray[np.int32]:
    """Convert points (n, 2) in pixels to OpenCV's fixed-point coordinates."""
    return np.rint(points * (1 << SHIFT)).astype(np.int32)


def texture(rng: np.random.Generator, side: int, cells: int) -> Weights:
    """Return smooth noise with a number of cells along a side, (side, side), 0 to 1."""
    coarse = rng.random((cells, cells)).astype(np.float32)
    return np.clip(np.asarray(cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC), np.float32), 0, 1)


def colour(rng: np.random.Generator) -> Colour:
    """Sample a colour; saturated ones are rare."""
    grey = between(rng, 30, 225, 1)
    return np.clip(grey + 28 * bell(rng, _RED_GREEN_BLUE), 0, 255)


def unlike(rng: np.random.Generator, other: Colour) -> Colour:
    """Sample a colour that is clearly darker or lighter than another, as subjects of photos are."""
    found = colour(rng)
    step = found.mean() - other.mean()
    if abs(step) < _LEAST_CONTRAST:
        found += np.copysign(_LEAST_CONTRAST, 255 / 2 - other.mean()) - step
    return np.clip(found, 5, 250)


def lay(canvas: Canvas, paint: Canvas | Colour, weights: Weights) -> None:
    """Blend paint, one colour or (H, W, 3), into a canvas by weights (H, W)."""
    box = bounds(weights)
    # Most painted areas are small, and moving pixels takes most of the time.
    change = np.asarray(paint, np.float32) - canvas[box] if paint.ndim == 1 else paint[box] - canvas[box]
    change *= weights[box][..., None]
    canvas[box] += change


def bounds(weights: Weights) -> tuple[slice, slice]:
    """Return the range of rows and of columns with weights, with a margin inside the picture."""
    x, y, width, height = cv2.boundingRect((weights > 0).astype(np.uint8))
    return slice(max(y - 2, 0), y + height + 2), slice(max(x - 2, 0), x + width + 2)


def share_of(mask: npt.NDArray[np.uint8]) -> Weights:
    """Return how much of each pixel is covered, 0 to 1, from a mask that OpenCV drew with the value 255."""
    return np.multiply(mask, 1 / 255, dtype=np.float32)


def set_scene(rng: np.random.Generator, side: int) -> Place:
    """Return a background, some with a horizon, with other objects out of focus."""
    near, far = colour(rng), colour(rng)
    grain = sum((share * texture(rng, side, cells) for cells, share in _GRAIN), np.zeros((side, side), np.float32))
    canvas: Canvas = np.empty((side, side, _RED_GREEN_BLUE), np.float32)
    canvas[:] = near
    lay(canvas, (near + far) / 2, np.asarray(grain, np.float32))
    horizon, lot = rng.random(2)
    if lot < _OUTDOORS:
        slope = 0.1 * bell(rng, 1) * np.linspace(-1, 1, side)
        lay(canvas, far, np.float32(0.5) * (np.arange(side)[:, None] / side < 0.3 + 0.4 * horizon + slope))
    usual = canvas.mean((0, 1)).astype(np.float64)
    for _ in range(int(below(rng, _MOST_THINGS + 1, 1)[0])):
        lay(canvas, usual + 26 * bell(rng, _RED_GREEN_BLUE), _thing(rng, side))
    blurred = cv2.GaussianBlur(canvas, (0, 0), side / 512 * float(between(rng, 0.8, 4.0, 1)[0]))
    return Place(canvas=np.asarray(blurred, np.float32), colour=usual)


def cross(rng: np.random.Generator, canvas: Canvas) -> None:
    """Draw some twigs or wires over the picture and its subject."""
    side = len(canvas)
    for _ in range(int(below(rng, _MOST_TWIGS + 1, 1)[0])):
        width = max(1, round(side * float(between(rng, 0.003, 0.01, 1)[0])))
        lay(canvas, colour(rng), np.float32(0.7) * _stick(rng, side, width))


def light(rng: np.random.Generator, canvas: Canvas) -> None:
    """Light the picture from one side, and darken its corners."""
    x, y = np.meshgrid(*[np.linspace(-1, 1, len(canvas), dtype=np.float32)] * 2)
    (across, down), exposure = 0.16 * bell(rng, 2), 1 + 0.08 * bell(rng, 1)
    lit = (1 + across * x + down * y - 0.08 * (x * x + y * y)) * exposure
    canvas *= lit[..., None].astype(np.float32)


def expose(rng: np.random.Generator, canvas: Canvas, side: int) -> npt.NDArray[np.uint8]:
    """Blur the picture slightly, resize it to side × side pixels and add sensor noise, (side, side, 3) uint8."""
    sensed = cv2.resize(canvas, (side, side), interpolation=cv2.INTER_AREA)
    sensed = cv2.GaussianBlur(sensed, (0, 0), side / 256 * float(between(rng, 0.3, 1.1, 1)[0]))
    noise = float(between(rng, 1.5, 6.0, 1)[0]) * bell(rng, *sensed.shape)
    return np.clip(np.rint(sensed + noise), 0, 255).astype(np.uint8)


def _thing(rng: np.random.Generator, side: int) -> Weights:
    """Return the mask of another object: a polygon, a rounded shape, or a stick."""
    weights = np.zeros((side, side), np.uint8)
    kind, centre = rng.random(), side * rng.random(2)
    count = 3 + int(below(rng, 4, 1)[0])
    turns = 2 * np.pi * np.sort(rng.random(count))
    radius = side * between(rng, 0.04, 0.16, count)
    if kind < _MANY_SIDED:
        corners = centre + np.stack([radius * np.cos(turns), radius * np.sin(turns)], axis=1)
        cv2.fillPoly(weights, [fixed(corners)], 255, cv2.LINE_AA, SHIFT)
    elif kind < _MANY_SIDED + _ROUNDED:
        (x, y), (rx, ry) = fixed(centre).tolist(), fixed(radius[:2]).tolist()
        cv2.ellipse(weights, (x, y), (rx, ry), 360 * rng.random(), 0, 360, 255, cv2.FILLED, cv2.LINE_AA, SHIFT)
    else:
        return _stick(rng, side, max(1, side // 70))
    return share_of(weights)


def _stick(rng: np.random.Generator, side: int, width: int) -> Weights:
    """Return the mask of a straight line between two random points."""
    weights, ends = np.zeros((side, side), np.uint8), fixed(side * rng.random((2, 2)))
    cv2.polylines(weights, [ends], isClosed=False, color=255, thickness=width, lineType=cv2.LINE_AA, shift=SHIFT)
    return share_of(weights)


#: Sides of a photo in pixels.
LEAST_SIDE, MOST_SIDE = 64, 2048

#: The picture is painted larger than the photo, so that borders are smooth.
_SCALE = 1.5
#: Points along a stroke, in units of the prototype's canvas.
_SPACING = 2.0
#: The subject's longer side as a share of the photo's.
_EXTENT = 0.55, 0.88
_MIRRORED = 0.35
#: Enclosed areas below this share of the picture are not painted as surfaces.
_LEAST_PART = 0.0004
_JPEG_QUALITY = 78, 95


@dataclass(frozen=True)
class _DrawnLine:
    """A line of a subject: points (n, 2) in pixels of the painted picture, and whether it is closed."""

    points: Floats
    closed: bool


@dataclass(frozen=True, kw_only=True)
class _Brush:
    """How a subject is painted: widths in pixels, darkness of outlines, and direction of the light."""

    rod: int
    outline: int
    darkness: float
    sun: tuple[float, float]
    relief: float


def photograph(word: str, index: int, *, seed: int, side: int = 256) -> npt.NDArray[np.uint8]:
    """Generate photo number `index` of a category, which depends only on (seed, word, index, side).

    Args:
        word: Name of the category; names without a designed prototype get the one that generated drawings have.
        index: Number of the photo, from 0.
        seed: Seed of the set of photos.
        side: Width and height in pixels.

    Returns:
        (side, side, 3) uint8, RGB.

    Raises:
        ConfigError: The number is negative, or the side is out of range.
    """
    if index < 0 or not LEAST_SIDE <= side <= MOST_SIDE:
        raise ConfigError(
            f"photo {index} of {word!r} with a side of {side}: expected a number from 0 and a side of "
            f"{LEAST_SIDE} to {MOST_SIDE}"
        )
    rng, painted = stream("photos", seed, word, index), round(_SCALE * side)
    lines = _pose(rng, find(word), painted)
    place = set_scene(rng, painted)
    _paint(rng, lines, place)
    cross(rng, place.canvas)
    light(rng, place.canvas)
    return expose(rng, place.canvas, side)


def jpeg(word: str, index: int, *, seed: int, side: int = 256) -> bytes:
    """Generate a photo as `photograph` does, and encode it as JPEG with a random quality.

    Raises:
        ConfigError: As `photograph`.
    """
    low, high = _JPEG_QUALITY
    quality = int(between(stream("quality", seed, word, index), low, high, 1)[0])
    pixels = cv2.cvtColor(photograph(word, index, seed=seed, side=side), cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".jpg", pixels, (cv2.IMWRITE_JPEG_QUALITY, quality))
    return encoded.tobytes()


def _pose(rng: np.random.Generator, prototype: Prototype, side: int) -> list[_DrawnLine]:
    """Choose a variant, and its proportions, view and position in the picture."""
    variant = prototype.variants[int(below(rng, len(prototype.variants), 1)[0])]
    kept = [stroke for stroke, lot in zip(variant, rng.random(len(variant)), strict=True) if lot < stroke.chance]
    strokes = kept or [variant[0]]
    shapes = [_resampled(stroke) + 0.7 * bell(rng, 2) for stroke in strokes]
    offsets = np.cumsum([len(shape) for shape in shapes])[:-1]
    points = _seen(rng, np.concatenate(shapes) / 50 - 1, prototype)
    low, high = points.min(axis=0), points.max(axis=0)
    extent = side * float(between(rng, *_EXTENT, 1)[0])
    scale = extent / (high - low).max()
    room = side - scale * (high - low)
    points = (points - low) * scale + room * (0.5 + 0.15 * bell(rng, 2))
    return [_DrawnLine(p, s.is_closed) for p, s in zip(np.split(points, offsets), strokes, strict=True)]


def _resampled(stroke: Stroke) -> Floats:
    """Return points (n, 2) at equal distances along a stroke, so that straight sides can be bent."""
    steps = np.hypot(*np.diff(stroke.points, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    at = np.linspace(0, along[-1], max(2, round(along[-1] / _SPACING) + 1))
    return np.stack([np.interp(at, along, stroke.points[:, axis]) for axis in (0, 1)], axis=1)


def _seen(rng: np.random.Generator, points: Floats, prototype: Prototype) -> Floats:
    """Bend, mirror, stretch, slant and rotate points (n, 2) of −1 to 1, and apply a perspective view."""
    x, y = points.T
    (fx, fy), (px, py) = between(rng, 0.3, 0.8, 2), rng.random(2)
    x, y = (x + 0.03 * np.sin(2 * np.pi * (fx * y + px)), y + 0.03 * np.sin(2 * np.pi * (fy * x + py)))
    if prototype.mirrors and rng.random() < _MIRRORED:
        x = -x
    stretch, slant, tilt_x, tilt_y = bell(rng, 4)
    x = x * (1 + prototype.stretch * stretch) + 0.08 * slant * y
    depth = 1 + 0.07 * tilt_x * x + 0.07 * tilt_y * y
    turn = np.radians(prototype.spin) * (2 * rng.random() - 1)
    c, s = np.cos(turn), np.sin(turn)
    return np.stack([(c * x - s * y) / depth, (s * x + c * y) / depth], axis=1)


def _paint(rng: np.random.Generator, lines: Sequence[_DrawnLine], place: Place) -> None:
    side, base = len(place.canvas), unlike(rng, place.colour)
    angle = 2 * np.pi * rng.random()
    brush = _Brush(
        rod=max(3, round(side * float(between(rng, 0.012, 0.026, 1)[0]))),
        outline=max(2, round(side * float(between(rng, 0.006, 0.013, 1)[0]))),
        darkness=float(between(rng, 0.35, 0.9, 1)[0]),
        sun=(float(np.cos(angle)), float(np.sin(angle))),
        relief=float(between(rng, 0.15, 0.45, 1)[0]),
    )
    parts = _parts(lines, side)
    whole = np.maximum(_drawn(lines, side, brush.rod), (np.maximum.reduce(parts) if parts else np.float32(0)))
    _cast_shadow(rng, place.canvas, whole, brush)
    grain = texture(rng, side, 23)
    for part in parts:
        hue, box = np.clip(base + 20 * bell(rng, 3), 0, 255), bounds(part)
        lay(place.canvas[box], _surface(hue, part[box], grain[box], brush, side), part[box])
    _add_lines(rng, place.canvas, lines, base, brush)


def _drawn(lines: Sequence[_DrawnLine], side: int, width: int) -> Weights:
    """Return the mask of lines with a width, (side, side)."""
    weights = np.zeros((side, side), np.uint8)
    for line in lines:
        cv2.polylines(weights, [fixed(line.points)], line.closed, 255, width, cv2.LINE_AA, SHIFT)
    return share_of(weights)


def _parts(lines: Sequence[_DrawnLine], side: int) -> list[Weights]:
    """Return the masks (side, side) of the areas that lines enclose, largest first; small gaps are closed."""
    width = max(3, side // 72)
    free = (_drawn(lines, side, width) < 0.5).astype(np.uint8)
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(free, connectivity=4)
    # Areas that reach the border are background, or are cut off.
    ground = {0, *np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])).tolist()}
    areas = statistics[:, cv2.CC_STAT_AREA].tolist()
    found = [k for k in range(len(areas)) if k not in ground and areas[k] >= _LEAST_PART * side * side]
    # Extend the area to the middle of the lines around it.
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width + 1, width + 1))
    wholes = (cv2.dilate((labels == k).astype(np.uint8), kernel) for k in sorted(found, key=lambda k: -areas[k]))
    return [np.asarray(cv2.GaussianBlur(whole.astype(np.float32), (0, 0), 0.8), np.float32) for whole in wholes]


def _cast_shadow(rng: np.random.Generator, canvas: Canvas, whole: Weights, brush: _Brush) -> None:
    side = len(canvas)
    distance, depth = side * float(between(rng, 0.01, 0.05, 1)[0]), float(between(rng, 0.1, 0.45, 1)[0])
    move = np.array([[1, 0, -distance * brush.sun[0]], [0, 1, -distance * brush.sun[1]]], np.float32)
    cast = cv2.GaussianBlur(cv2.warpAffine(whole, move, (side, side)), (0, 0), max(1.0, 0.5 * distance))
    lay(canvas, np.zeros(3), np.asarray(depth * cast, np.float32))


def _surface(hue: Colour, part: Weights, grain: Weights, brush: _Brush, side: int) -> Canvas:
    """Return the colours (H, W, 3) of a surface, lighter towards the light, with some grain."""
    height = cv2.distanceTransform((part > 0.5).astype(np.uint8), cv2.DIST_L2, 3)
    height = cv2.GaussianBlur(np.sqrt(height * side) / 4, (0, 0), side / 60)
    slope_x, slope_y = (cv2.Sobel(height, cv2.CV_32F, *axis, ksize=3, scale=0.25) for axis in ((1, 0), (0, 1)))
    facing = -(slope_x * brush.sun[0] + slope_y * brush.sun[1])
    lit = 1 + brush.relief * np.tanh(facing) + 0.12 * (grain - 0.5)
    shaded: Canvas = np.clip(lit[..., None].astype(np.float32) * hue.astype(np.float32), 0, 255)
    return shaded


def _add_lines(
    rng: np.random.Generator, canvas: Canvas, lines: Sequence[_DrawnLine], base: Colour, brush: _Brush
) -> None:
    side, dark = len(canvas), 0.3 * base
    rods = [line for line in lines if not line.closed]
    core, wider = (_drawn(rods, side, brush.rod + more) for more in (0, 2 * brush.outline))
    outline = _drawn([line for line in lines if line.closed], side, brush.outline)
    fading = np.float32(brush.darkness) * np.clip(3.2 * texture(rng, side, 9) - 0.5, 0, 1)
    lay(canvas, dark, fading * (wider - core))
    lay(canvas, np.clip(base + 14 * bell(rng, 3), 0, 255), core)
    lay(canvas, dark, fading * outline)
