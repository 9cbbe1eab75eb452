"""The fast raster: draws a whole batch at a time with OpenCV's lines."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from sketchdata.drawings.drawing import MAX_COORDINATE, DrawingBatch
from sketchdata.errors import ConfigError, FormatError

Bitmaps = npt.NDArray[np.uint8]

#: Default side in pixels, for image entropy and for the input of image networks.
DEFAULT_SIZE = 224
MAX_SIZE = 4096
MAX_LINE_WIDTH = 64

_INK = 255
#: Bitmaps drawn per call: few enough for the processor's cache, enough to amortise the call.
_SLICE_BYTES = 6 << 20
_SLICE_ROWS = 256


def raster(
    batch: DrawingBatch,
    *,
    size: int = DEFAULT_SIZE,
    line_width: int = 1,
    antialias: bool = False,
    threads: int | None = None,
    out: Bitmaps | None = None,
) -> Bitmaps:
    """Rasterize the drawings of a batch, one bitmap per drawing.

    Coordinates 0..255 are multiplied by (size − 1) / 255 and rounded to the nearest pixel. Integer coordinates have no
    ties: 2·v·(size − 1) is even, and 255·(2k + 1) is odd. Raw drawings are scaled first, see `fit`. The bitmaps equal
    those of OpenCV's `polylines`: 8-connected (LINE_8), or with `antialias` LINE_AA.

    Args:
        batch: N drawings, simplified or raw.
        size: The side S in pixels, 1..4096.
        line_width: Width in pixels, 1..64; the part beyond the square's edge is cut off.
        antialias: Whether lines are antialiased; otherwise pixels are 0 or 255.
        threads: Number of threads; the result does not depend on it. Default: one per usable core. Pipeline stages
            pass 1, because the engine already runs one of them per core.
        out: (N, S, S) uint8, contiguous, to draw in; at 224 pixels, allocating takes as long as drawing.

    Returns:
        (N, S, S) uint8; the first row is the top one, ink is 255 and background 0. This takes N·S² bytes, so pass
        millions of drawings in slices.

    Raises:
        ConfigError: `size`, `line_width` or `threads` is out of its range, or `out` does not fit.
        FormatError: A raw coordinate is not a finite number.
    """
    if out is not None and (
        out.shape != (len(batch), size, size) or out.dtype != np.uint8 or not out.flags.c_contiguous
    ):
        raise ConfigError(
            f"to draw in, contiguous uint8 of shape {(len(batch), size, size)} is needed, not "
            f"{'' if out.flags.c_contiguous else 'scattered '}{out.dtype} of shape {out.shape}"
        )
    pixels = _pixels(batch, size)
    bitmaps = np.empty((len(batch), size, size), np.uint8) if out is None else out
    return paint(batch, pixels, bitmaps, line_width=line_width, antialias=antialias, threads=threads)


def ink_counts(
    batch: DrawingBatch, *, size: int = DEFAULT_SIZE, line_width: int = 1, threads: int | None = None
) -> npt.NDArray[np.int64]:
    """Count the ink pixels that `raster` would draw, with few bitmaps in memory at a time.

    Args:
        batch: N drawings, simplified or raw.
        size: The side S in pixels, 1..4096.
        line_width: Width in pixels, 1..64.
        threads: As for `raster`.

    Returns:
        (N,) int64, 0..S².

    Raises:
        ConfigError: `size`, `line_width` or `threads` is out of its range.
        FormatError: A raw coordinate is not a finite number.
    """
    pixels = _pixels(batch, size)
    _check_line_width(line_width)
    counts = np.zeros(len(batch), np.int64)

    def count(start: int, stop: int) -> None:
        bitmaps = np.empty((stop - start, size, size), np.uint8)
        part = batch.slice(start, stop)
        _draw(bitmaps, part, _pixels_of(batch, pixels, start, stop), ink=1, line_width=line_width, antialias=False)
        # With ink 1 the count is a sum, and one call sums all bitmaps: half the time of a countNonZero per bitmap.
        sums = cv2.reduce(bitmaps.reshape(stop - start, -1), 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S)
        counts[start:stop] = sums[:, 0]

    over_slices(count, len(batch), rows=slice_rows(size), threads=threads)
    return counts


def _pixels(batch: DrawingBatch, size: int) -> npt.NDArray[np.int32]:
    if not 1 <= size <= MAX_SIZE:
        raise ConfigError(f"the raster's size must be 1 to {MAX_SIZE} pixels, not {size}")
    scale = (size - 1) / MAX_COORDINATE
    if batch.x.dtype != np.uint8:
        return to_pixels(fit(batch), scale=scale)
    # A table of the 256 coordinates gives the same result and makes the raster a tenth faster.
    return to_pixels(np.arange(MAX_COORDINATE + 1.0), scale=scale)[np.stack([batch.x, batch.y], axis=1)]


def fit(batch: DrawingBatch) -> npt.NDArray[np.float64]:
    """Return the points of a batch in the 0..255 square of the simplified format.

    Simplified points (uint8) are unchanged. Each raw drawing is moved to the top-left corner and scaled so that its
    larger side is 255; a drawing whose points are all equal is moved to 0, 0. Nothing is rounded.

    Returns:
        (P, 2) float64, x and y.

    Raises:
        FormatError: A raw coordinate is not a finite number.
    """
    xy = np.stack([batch.x, batch.y], axis=1).astype(np.float64)
    if batch.x.dtype == np.uint8:
        return xy
    bounds = batch.points[batch.strokes]
    finite = np.isfinite(xy).all(axis=1)
    if not finite.all():
        point = int(np.argmin(finite))
        row = int(np.searchsorted(bounds, point, side="right")) - 1
        place = f"x, y = {xy[point].tolist()} in drawing {row}, key_id {batch.key_id[row]}"
        raise FormatError("a coordinate is not a finite number", place)
    # For a drawing without points, reduceat would return the corner of the next drawing.
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
    out: Bitmaps,
    *,
    line_width: int = 1,
    antialias: bool = False,
    threads: int | None = None,
) -> Bitmaps:
    """Draw the strokes of a batch, given its points in pixels.

    Args:
        batch: The drawings; only their offsets are used, not their coordinates.
        pixels: (P, 2) int32, x and y of each point, all inside the square.
        out: (N, S, S) uint8, contiguous; it is overwritten with ink 255 on background 0, and returned.
        line_width: Width in pixels, 1..64.
        antialias: Whether lines are antialiased.
        threads: As for `raster`.

    Raises:
        ConfigError: `line_width` or `threads` is out of its range.
        FormatError: A point is outside the square.
    """
    _check_line_width(line_width)

    def draw(start: int, stop: int) -> None:
        part, points = batch.slice(start, stop), _pixels_of(batch, pixels, start, stop)
        _draw(out[start:stop], part, points, ink=_INK, line_width=line_width, antialias=antialias)

    over_slices(draw, len(batch), rows=slice_rows(out.shape[1]), threads=threads)
    return out


def slice_rows(size: int) -> int:
    """Return how many bitmaps of a size to draw at a time."""
    return min(_SLICE_ROWS, max(1, _SLICE_BYTES // size**2))


def over_slices(work: Callable[[int, int], None], count: int, *, rows: int, threads: int | None) -> None:
    """Call `work(start, stop)` in threads for every slice of `rows` rows of `count`; the first exception ends it.

    Raises:
        ConfigError: `threads` is less than 1.
    """
    if threads is not None and threads < 1:
        raise ConfigError(f"rasters need at least 1 thread, not {threads}")
    starts = range(0, count, rows)
    workers = min(len(starts), threads or len(os.sched_getaffinity(0)))
    stops = [min(start + rows, count) for start in starts]
    if workers <= 1:
        for start, stop in zip(starts, stops, strict=True):
            work(start, stop)
        return
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(work, starts, stops):
            pass


def _check_line_width(line_width: int) -> None:
    if not 1 <= line_width <= MAX_LINE_WIDTH:
        raise ConfigError(f"the line width must be 1 to {MAX_LINE_WIDTH} pixels, not {line_width}")


def _pixels_of(batch: DrawingBatch, pixels: npt.NDArray[np.int32], start: int, stop: int) -> npt.NDArray[np.int32]:
    return pixels[batch.points[batch.strokes[start]] : batch.points[batch.strokes[stop]]]


def _draw(
    bitmaps: Bitmaps, batch: DrawingBatch, pixels: npt.NDArray[np.int32], *, ink: int, line_width: int, antialias: bool
) -> None:
    count, size, _ = bitmaps.shape
    # Cleared per slice, so that the pixels are still in the cache when lines are drawn on them.
    bitmaps.fill(0)
    if len(pixels) and not 0 <= pixels.min() <= pixels.max() < size:
        raise FormatError("a point lies outside of the raster", f"pixels {pixels.min()}..{pixels.max()} of {size}")
    line_type = cv2.LINE_AA if antialias else cv2.LINE_8
    if line_width == 1 and not antialias:
        # These lines stay inside their squares, so one call draws on all bitmaps as on one tall picture.
        lengths = np.diff(batch.points[batch.strokes])
        lowered = pixels.copy()
        lowered[:, 1] += np.repeat(np.arange(0, count * size, size, np.int32), lengths)
        strokes = _split_strokes(lowered, batch.points)
        cv2.polylines(bitmaps.reshape(count * size, size), strokes, False, ink, line_width, line_type)
        return
    strokes = _split_strokes(pixels, batch.points)
    for bitmap, (first, last) in zip(bitmaps, pairwise(batch.strokes.tolist()), strict=True):
        cv2.polylines(bitmap, strokes[first:last], False, ink, line_width, line_type)
    if antialias and line_width == 1:
        _paint_dots(bitmaps, pixels, batch)


def _split_strokes(pixels: npt.NDArray[np.int32], points: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int32]]:
    """Return one (n, 2) array per stroke, n ≥ 2: OpenCV draws nothing for a single point, so it is repeated."""
    single = np.diff(points) == 1
    if single.any():
        lone = points[:-1][single]
        pixels = np.insert(pixels, lone, pixels[lone], axis=0)
        points = points + np.concatenate([[0], np.cumsum(single)])
    return [pixels[a:b] for a, b in pairwise(points.tolist())]


def _paint_dots(bitmaps: Bitmaps, pixels: npt.NDArray[np.int32], batch: DrawingBatch) -> None:
    """Paint the strokes that stay on one pixel, which an antialiased line of OpenCV leaves at 2 of 255, invisible."""
    # travelled[p] counts the moves up to point p: equal counts at both ends mean that a stroke stays on one pixel.
    travelled = np.concatenate([[0], np.cumsum((np.diff(pixels, axis=0) != 0).any(axis=1))])
    filled = np.flatnonzero(np.diff(batch.points))
    first, last = batch.points[filled], batch.points[filled + 1] - 1
    still = travelled[first] == travelled[last]
    x, y = pixels[first[still]].T
    drawing = np.searchsorted(batch.strokes, filled[still], side="right") - 1
    bitmaps[drawing, y, x] = 255
