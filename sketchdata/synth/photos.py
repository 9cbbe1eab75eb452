"""Generates pictures that are to photographs what generated drawings are to people's. They show nothing real.

The subject has the shape of the category's prototype, which generated drawings have too, but it is a thing and not a
drawing: what the strokes enclose is a surface with a colour, bulges and a shadow; open strokes are rods; outlines are
lines of some width that fade here and there. It stands somewhere, turned, in front of a textured ground with other
things. So the edges that a detector finds are double in places, broken in others, and not the subject's
alone, as a photo's are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from sketchdata.errors import ConfigError
from sketchdata.synth import scenery
from sketchdata.synth.prototypes import find
from sketchdata.synth.prototypes.prototype import Prototype
from sketchdata.synth.randomness import Floats, bell, below, between, stream
from sketchdata.synth.scenery import SHIFT, Canvas, Colour, Weights, bounds, fixed, lay, share_of
from sketchdata.synth.shapes import Stroke

#: Sides of a photo in pixels.
LEAST_SIDE, MOST_SIDE = 64, 2048

#: Painted larger than it is exposed, so that its borders are smooth.
_SCALE = 1.5
#: Points along a stroke, in units of the prototype's canvas.
_SPACING = 2.0
#: The subject's longer side as a share of the photo's.
_EXTENT = 0.55, 0.88
_MIRRORED = 0.35
#: Parts of a subject that are smaller than this share of the picture are no surfaces.
_LEAST_PART = 0.0004
_JPEG_QUALITY = 78, 95


@dataclass(frozen=True)
class _Line:
    """One line of a subject: points (n, 2) in pixels of the painting, and whether it ends where it starts."""

    points: Floats
    closed: bool


@dataclass(frozen=True, kw_only=True)
class _Brush:
    """How a subject is painted: widths in pixels, how dark outlines are, and where the light comes from."""

    rod: int
    outline: int
    darkness: float
    sun: tuple[float, float]
    relief: float


def photograph(word: str, index: int, *, seed: int, side: int = 256) -> npt.NDArray[np.uint8]:
    """Generate a photo of a category: number `index`, which depends on (seed, word, index, side) alone.

    Args:
        word: The category's name; of names without a prototype it has the shape that is invented for drawings as well.
        index: Its number, from 0.
        seed: Which of many sets of photos.
        side: Pixels of width and height.

    Returns:
        (side, side, 3) uint8, RGB.

    Raises:
        ConfigError: The number is negative, or the side is out of range.
    """
    if index < 0 or not LEAST_SIDE <= side <= MOST_SIDE:
        raise ConfigError(
            f"photo {index} of {word!r} with a side of {side} was asked for: photos count from 0 and have a side of "
            f"{LEAST_SIDE} to {MOST_SIDE}"
        )
    rng, painted = stream("photos", seed, word, index), round(_SCALE * side)
    lines = _pose(rng, find(word), painted)
    place = scenery.set_scene(rng, painted)
    _paint(rng, lines, place)
    scenery.cross(rng, place.canvas)
    scenery.light(rng, place.canvas)
    return scenery.expose(rng, place.canvas, side)


def jpeg(word: str, index: int, *, seed: int, side: int = 256) -> bytes:
    """Generate a photo as `photograph` does, as the JPEG file of a camera that compresses more or less.

    Raises:
        ConfigError: As `photograph`.
    """
    low, high = _JPEG_QUALITY
    quality = int(between(stream("quality", seed, word, index), low, high, 1)[0])
    pixels = cv2.cvtColor(photograph(word, index, seed=seed, side=side), cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".jpg", pixels, (cv2.IMWRITE_JPEG_QUALITY, quality))
    return encoded.tobytes()


# ---- where the subject's lines are ---------------------------------------------------------------------------------


def _pose(rng: np.random.Generator, prototype: Prototype, side: int) -> list[_Line]:
    """Choose a variant, give it its own proportions, and put it somewhere into the picture, seen at an angle."""
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
    return [_Line(p, s.is_closed) for p, s in zip(np.split(points, offsets), strokes, strict=True)]


def _resampled(stroke: Stroke) -> Floats:
    """Return points (n, 2) at equal distances along a stroke, so that straight sides can be bent."""
    steps = np.hypot(*np.diff(stroke.points, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    at = np.linspace(0, along[-1], max(2, round(along[-1] / _SPACING) + 1))
    return np.stack([np.interp(at, along, stroke.points[:, axis]) for axis in (0, 1)], axis=1)


def _seen(rng: np.random.Generator, points: Floats, prototype: Prototype) -> Floats:
    """Bend, mirror, stretch, slant and turn points (n, 2) of −1 to 1, and look at them from an angle."""
    x, y = points.T
    (fx, fy), (px, py) = between(rng, 0.3, 0.8, 2), rng.random(2)
    x, y = (
        x + 0.03 * np.sin(2 * np.pi * (fx * y + px)),
        y + 0.03 * np.sin(2 * np.pi * (fy * x + py)),
    )
    if prototype.mirrors and rng.random() < _MIRRORED:
        x = -x
    stretch, slant, tilt_x, tilt_y = bell(rng, 4)
    x = x * (1 + prototype.stretch * stretch) + 0.08 * slant * y
    depth = 1 + 0.07 * tilt_x * x + 0.07 * tilt_y * y
    turn = np.radians(prototype.spin) * (2 * rng.random() - 1)
    c, s = np.cos(turn), np.sin(turn)
    return np.stack([(c * x - s * y) / depth, (s * x + c * y) / depth], axis=1)


# ---- what the subject looks like -----------------------------------------------------------------------------------


def _paint(rng: np.random.Generator, lines: Sequence[_Line], place: scenery.Place) -> None:
    """Put a subject into a scene: shadow, surfaces, rods and outlines."""
    side, base = len(place.canvas), scenery.unlike(rng, place.colour)
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
    grain = scenery.texture(rng, side, 23)
    for part in parts:
        hue, box = np.clip(base + 20 * bell(rng, 3), 0, 255), bounds(part)
        lay(place.canvas[box], _surface(hue, part[box], grain[box], brush, side), part[box])
    _add_lines(rng, place.canvas, lines, base, brush)


def _drawn(lines: Sequence[_Line], side: int, width: int) -> Weights:
    """Return where lines of some width are, (side, side)."""
    weights = np.zeros((side, side), np.uint8)
    for line in lines:
        cv2.polylines(weights, [fixed(line.points)], line.closed, 255, width, cv2.LINE_AA, SHIFT)
    return share_of(weights)


def _parts(lines: Sequence[_Line], side: int) -> list[Weights]:
    """Return what lines enclose, (side, side) a part, the largest first; small gaps let nothing out."""
    width = max(3, side // 72)
    free = (_drawn(lines, side, width) < 0.5).astype(np.uint8)
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(free, connectivity=4)
    # What reaches the border is the ground, or cut off by it.
    ground = {0, *np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])).tolist()}
    areas = statistics[:, cv2.CC_STAT_AREA].tolist()
    found = [k for k in range(len(areas)) if k not in ground and areas[k] >= _LEAST_PART * side * side]
    # Up to the middle of the lines around it, of which it lost half.
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width + 1, width + 1))
    wholes = (cv2.dilate((labels == k).astype(np.uint8), kernel) for k in sorted(found, key=lambda k: -areas[k]))
    return [np.asarray(cv2.GaussianBlur(whole.astype(np.float32), (0, 0), 0.8), np.float32) for whole in wholes]


def _cast_shadow(rng: np.random.Generator, canvas: Canvas, whole: Weights, brush: _Brush) -> None:
    """Cast the subject's soft shadow away from the light."""
    side = len(canvas)
    distance, depth = side * float(between(rng, 0.01, 0.05, 1)[0]), float(between(rng, 0.1, 0.45, 1)[0])
    move = np.array([[1, 0, -distance * brush.sun[0]], [0, 1, -distance * brush.sun[1]]], np.float32)
    cast = cv2.GaussianBlur(cv2.warpAffine(whole, move, (side, side)), (0, 0), max(1.0, 0.5 * distance))
    lay(canvas, np.zeros(3), np.asarray(depth * cast, np.float32))


def _surface(hue: Colour, part: Weights, grain: Weights, brush: _Brush, side: int) -> Canvas:
    """Return a part's colours (H, W, 3): it bulges, so that it is lighter towards the light, and has some grain."""
    height = cv2.distanceTransform((part > 0.5).astype(np.uint8), cv2.DIST_L2, 3)
    height = cv2.GaussianBlur(np.sqrt(height * side) / 4, (0, 0), side / 60)
    slope_x, slope_y = (cv2.Sobel(height, cv2.CV_32F, *axis, ksize=3, scale=0.25) for axis in ((1, 0), (0, 1)))
    facing = -(slope_x * brush.sun[0] + slope_y * brush.sun[1])
    lit = 1 + brush.relief * np.tanh(facing) + 0.12 * (grain - 0.5)
    shaded: Canvas = np.clip(lit[..., None].astype(np.float32) * hue.astype(np.float32), 0, 255)
    return shaded


def _add_lines(rng: np.random.Generator, canvas: Canvas, lines: Sequence[_Line], base: Colour, brush: _Brush) -> None:
    """Add rods and outlines; outlines fade here and there."""
    side, dark = len(canvas), 0.3 * base
    rods = [line for line in lines if not line.closed]
    core, wider = (_drawn(rods, side, brush.rod + more) for more in (0, 2 * brush.outline))
    outline = _drawn([line for line in lines if line.closed], side, brush.outline)
    fading = np.float32(brush.darkness) * np.clip(3.2 * scenery.texture(rng, side, 9) - 0.5, 0, 1)
    lay(canvas, dark, fading * (wider - core))
    lay(canvas, np.clip(base + 14 * bell(rng, 3), 0, 255), core)
    lay(canvas, dark, fading * outline)
