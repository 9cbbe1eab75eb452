"""What surrounds the subject of a generated photo: a textured ground, things that lie about, light and a lens."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from sketchdata.synth.randomness import bell, below, between

#: (H, W, 3) float32, 0 to 255.
Canvas = npt.NDArray[np.float32]
#: (H, W) float32, 0 to 1.
Weights = npt.NDArray[np.float32]
#: (3,) float64, 0 to 255.
Colour = npt.NDArray[np.float64]

#: Of OpenCV's coordinates, which are whole numbers of this fraction of a pixel.
SHIFT = 4
#: Cells along a side of the ground's three layers of texture, and their shares.
_GRAIN = ((4, 0.6), (17, 0.28), (71, 0.12))
_RED_GREEN_BLUE = 3
#: Grey levels between a subject and its ground.
_LEAST_CONTRAST = 55.0
#: Shares of grounds with an horizon, and of things that have corners and that are round; the others are sticks.
_OUTDOORS, _MANY_SIDED, _ROUNDED = 0.5, 0.4, 0.35
_MOST_THINGS, _MOST_TWIGS = 4, 2


@dataclass(frozen=True)
class Place:
    """Where a subject can be put: the picture of it (S, S, 3), and its mean colour."""

    canvas: Canvas
    colour: Colour


def fixed(points: npt.NDArray[np.float64]) -> npt.NDArray[np.int32]:
    """Return points (n, 2) in pixels as OpenCV takes them with `SHIFT`."""
    return np.rint(points * (1 << SHIFT)).astype(np.int32)


def texture(rng: np.random.Generator, side: int, cells: int) -> Weights:
    """Return smooth noise of so many cells along a side, (side, side), 0 to 1."""
    coarse = rng.random((cells, cells)).astype(np.float32)
    return np.clip(np.asarray(cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC), np.float32), 0, 1)


def colour(rng: np.random.Generator) -> Colour:
    """Draw a colour, seldom a strong one."""
    grey = between(rng, 30, 225, 1)
    return np.clip(grey + 28 * bell(rng, _RED_GREEN_BLUE), 0, 255)


def unlike(rng: np.random.Generator, other: Colour) -> Colour:
    """Draw a colour that is clearly darker or lighter than another, as things are that photos are taken of."""
    found = colour(rng)
    step = found.mean() - other.mean()
    if abs(step) < _LEAST_CONTRAST:
        found += np.copysign(_LEAST_CONTRAST, 255 / 2 - other.mean()) - step
    return np.clip(found, 5, 250)


def lay(canvas: Canvas, paint: Canvas | Colour, weights: Weights) -> None:
    """Lay paint, one colour or (H, W, 3), over a canvas, as much as weights (H, W) say."""
    box = bounds(weights)
    # Most of what is painted is small, and most of the time goes into moving pixels.
    change = np.asarray(paint, np.float32) - canvas[box] if paint.ndim == 1 else paint[box] - canvas[box]
    change *= weights[box][..., None]
    canvas[box] += change


def bounds(weights: Weights) -> tuple[slice, slice]:
    """Return the rows and columns that have weights, with a margin of pixels that have none if there are any."""
    x, y, width, height = cv2.boundingRect((weights > 0).astype(np.uint8))
    return slice(max(y - 2, 0), y + height + 2), slice(max(x - 2, 0), x + width + 2)


def share_of(mask: npt.NDArray[np.uint8]) -> Weights:
    """Return how much of each pixel is covered, from what OpenCV drew in 255."""
    return np.multiply(mask, 1 / 255, dtype=np.float32)


def set_scene(rng: np.random.Generator, side: int) -> Place:
    """Return a ground, perhaps with an horizon, and with things that lie about out of focus."""
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
    """Lay some twigs or wires over the picture, subject and all."""
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
    """Take the picture: out of focus a little, on a noisy sensor of side × side pixels, (side, side, 3) uint8."""
    sensed = cv2.resize(canvas, (side, side), interpolation=cv2.INTER_AREA)
    sensed = cv2.GaussianBlur(sensed, (0, 0), side / 256 * float(between(rng, 0.3, 1.1, 1)[0]))
    noise = float(between(rng, 1.5, 6.0, 1)[0]) * bell(rng, *sensed.shape)
    return np.clip(np.rint(sensed + noise), 0, 255).astype(np.uint8)


def _thing(rng: np.random.Generator, side: int) -> Weights:
    """Return where something lies: a many-sided thing, a rounded one, or a stick."""
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
    """Return where a straight line between any two points is."""
    weights, ends = np.zeros((side, side), np.uint8), fixed(side * rng.random((2, 2)))
    cv2.polylines(weights, [ends], isClosed=False, color=255, thickness=width, lineType=cv2.LINE_AA, shift=SHIFT)
    return share_of(weights)
