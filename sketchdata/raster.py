"""Drawings as bitmaps, the fast way: OpenCV's lines, bit for bit, a whole batch at a time."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from sketchdata.drawing import MAX_COORDINATE, DrawingBatch
from sketchdata.errors import ConfigError, FormatError

Bitmaps = npt.NDArray[np.uint8]

#: The side at which image entropy is measured, and at which the image networks look.
DEFAULT_SIZE = 224
MAX_SIZE = 4096
MAX_LINE_WIDTH = 64

_INK = 255


def raster(batch: DrawingBatch, *, size: int = DEFAULT_SIZE, line_width: int = 1, antialias: bool = False) -> Bitmaps:
    """Draw every drawing of a batch on a square of its own.

    Coordinates 0..255 are multiplied by (size − 1) / 255 and rounded to the nearest pixel. For whole coordinates there
    are no ties to break: 2·v·(size − 1) is even, and 255·(2k + 1) is odd. Raw drawings are fitted first, see `fit`.
    The lines are those of OpenCV's `polylines`: 8-connected (LINE_8), or smooth with `antialias` (LINE_AA).

    Args:
        batch: N drawings, simplified or raw.
        size: The side S in pixels, 1..4096.
        line_width: In pixels, 1..64; whole strokes are drawn, the part beyond the square's edge is lost.
        antialias: Smooth the lines; without it the bitmap holds nothing but 0 and 255.

    Returns:
        (N, S, S) uint8, rows downwards, ink 255 on background 0: N·S² bytes, so hand in millions of drawings in slices.

    Raises:
        ConfigError: `size` or `line_width` is out of its range.
        FormatError: A raw coordinate is not a finite number.
    """
    if not 1 <= size <= MAX_SIZE:
        raise ConfigError(f"the raster's size must be 1 to {MAX_SIZE} pixels, not {size}")
    scale = (size - 1) / MAX_COORDINATE
    if batch.x.dtype == np.uint8:
        # The same as below, through a table of the 256 coordinates: a tenth faster in all.
        pixels = to_pixels(np.arange(MAX_COORDINATE + 1.0), scale=scale)[np.stack([batch.x, batch.y], axis=1)]
    else:
        pixels = to_pixels(fit(batch), scale=scale)
    return paint(batch, pixels, size=size, line_width=line_width, antialias=antialias)


def fit(batch: DrawingBatch) -> npt.NDArray[np.float64]:
    """Return every point of a batch in the 0..255 square of the simplified format.

    Simplified points (uint8) are there already. Raw ones are moved, drawing by drawing, to the top-left corner and
    scaled so that the larger side is 255; a drawing of one place comes to lie at 0, 0. Nothing is rounded.

    Returns:
        (P, 2) float64, x and y.

    Raises:
        FormatError: A raw coordinate is not a finite number.
    """
    xy = np.stack([batch.x, batch.y], axis=1).astype(np.float64)
    if batch.x.dtype == np.uint8:
        return xy
    _check_finite(batch, xy)
    bounds = batch.points[batch.strokes]
    # A drawing without points has no corner, and reduceat would give it that of the next drawing.
    inked = np.flatnonzero(np.diff(bounds))
    if len(inked) == 0:
        return xy
    lengths, starts = np.diff(bounds)[inked], bounds[inked]
    corner = np.minimum.reduceat(xy, starts)
    side = (np.maximum.reduceat(xy, starts) - corner).max(axis=1, keepdims=True)
    scale = np.divide(MAX_COORDINATE, side, out=np.ones_like(side), where=side > 0)
    xy -= np.repeat(corner, lengths, axis=0)
    xy *= np.repeat(scale, lengths, axis=0)
    return xy


def to_pixels(
    points: npt.NDArray[np.floating[Any]], *, scale: float, shift: npt.NDArray[np.floating[Any]] | float = 0.0
) -> npt.NDArray[np.int32]:
    """Scale and move points, and round them to the nearest pixel, halves up; int32 of the same shape."""
    pixels: npt.NDArray[np.floating[Any]] = np.floor(points * scale + shift + 0.5)
    return pixels.astype(np.int32)


def paint(
    batch: DrawingBatch,
    pixels: npt.NDArray[np.int32],
    *,
    size: int = DEFAULT_SIZE,
    line_width: int = 1,
    antialias: bool = False,
) -> Bitmaps:
    """Draw a batch's strokes whose points already are pixels.

    Args:
        batch: Where each drawing's strokes and each stroke's points begin; its coordinates are not looked at.
        pixels: (P, 2) int32, x and y of each point, all of them inside the square.
        size: The side S in pixels.
        line_width: In pixels, 1..64.
        antialias: Smooth the lines.

    Returns:
        (N, S, S) uint8, ink 255 on background 0.

    Raises:
        ConfigError: `line_width` is out of its range.
    """
    if not 1 <= line_width <= MAX_LINE_WIDTH:
        raise ConfigError(f"the line width must be 1 to {MAX_LINE_WIDTH} pixels, not {line_width}")
    bitmaps = np.zeros((len(batch), size, size), np.uint8)
    strokes = _split_strokes(pixels, batch.points)
    line_type = cv2.LINE_AA if antialias else cv2.LINE_8
    # One call a drawing: measured at 28 and 224 pixels, it beats computing all pixels of the batch with numpy.
    for bitmap, (first, last) in zip(bitmaps, pairwise(batch.strokes.tolist()), strict=True):
        cv2.polylines(bitmap, strokes[first:last], False, _INK, line_width, line_type)
    if antialias and line_width == 1:
        _paint_dots(bitmaps, pixels, batch)
    return bitmaps


def _split_strokes(pixels: npt.NDArray[np.int32], points: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int32]]:
    """Return one (n, 2) array a stroke, n ≥ 2: OpenCV draws nothing for an open line of one point, so it is doubled."""
    single = np.diff(points) == 1
    if single.any():
        lone = points[:-1][single]
        pixels = np.insert(pixels, lone, pixels[lone], axis=0)
        points = points + np.concatenate([[0], np.cumsum(single)])
    return [pixels[a:b] for a, b in pairwise(points.tolist())]


def _paint_dots(bitmaps: Bitmaps, pixels: npt.NDArray[np.int32], batch: DrawingBatch) -> None:
    """Paint the strokes that stay on one pixel, of which OpenCV's smooth 1-pixel line leaves 2 of 255: invisible."""
    # travelled[p] counts the moves up to point p, so a stroke stays where its first and last point have the same count.
    travelled = np.concatenate([[0], np.cumsum((np.diff(pixels, axis=0) != 0).any(axis=1))])
    filled = np.flatnonzero(np.diff(batch.points))
    first, last = batch.points[filled], batch.points[filled + 1] - 1
    still = travelled[first] == travelled[last]
    x, y = pixels[first[still]].T
    drawing = np.searchsorted(batch.strokes, filled[still], side="right") - 1
    bitmaps[drawing, y, x] = 255


def _check_finite(batch: DrawingBatch, xy: npt.NDArray[np.float64]) -> None:
    finite = np.isfinite(xy).all(axis=1)
    if finite.all():
        return
    point = int(np.argmin(finite))
    row = int(np.searchsorted(batch.points[batch.strokes], point, side="right")) - 1
    raise FormatError(
        "a coordinate is not a finite number",
        f"x, y = {xy[point].tolist()} in drawing {row}, key_id {batch.key_id[row]}",
    )
