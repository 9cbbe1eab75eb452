"""The official raster, with cairo: its bitmaps equal Google's 28×28 files bit for bit.

Source: github.com/googlecreativelab/quickdraw-dataset/issues/19: round, antialiased lines of width 16 in a square of
256 with padding of 16, the drawing centred, one `cairo_stroke` per stroke, so that crossing strokes are painted over
one another.

Here the drawings of a slice are one column on one surface. The first strokes of all drawings are one path, then the
second strokes, and so on. They do not overlap: a line extends 8 beyond its points, and a cell 24. Nor do they share a
row of pixels, where cairo's scan converter would combine their edges. So the pixels are those of drawings painted one
by one, in as many calls as the longest drawing has strokes.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from sketchdata.drawings.drawing import DrawingBatch, gather_ranges
from sketchdata.drawings.raster import Bitmaps, fit, over_slices
from sketchdata.errors import ConfigError, SketchDataError

#: The official side in pixels.
OFFICIAL_SIZE = 28
#: An 8-bit surface of cairo has at most 32,767 rows.
MAX_OFFICIAL_SIZE = 1024

_SQUARE = 256.0
_LINE_WIDTH = 16.0
_PADDING = 16.0
_MARGIN = _PADDING + _LINE_WIDTH / 2
_CELL = _SQUARE + 2 * _MARGIN
_SURFACE_ROWS = 32_767
_SLICE_ROWS = 128

#: One point in cairo's path data: a header of 16 bytes, then x and y.
_POINT = np.dtype([("type", np.int32), ("length", np.int32), ("unused", np.int64), ("xy", np.float64, 2)])
_MOVE_TO, _LINE_TO = 0, 1
_HEADER_AND_POINT = 2


def official_raster(batch: DrawingBatch, *, size: int = OFFICIAL_SIZE, threads: int | None = None) -> Bitmaps:
    """Rasterize the drawings of a batch like the official bitmaps.

    Args:
        batch: N drawings, simplified or raw; raw ones are scaled first, see `sketchdata.drawings.raster.fit`.
        size: The side S in pixels, 1..1024; the official files have 28.
        threads: Number of threads; the result does not depend on it. Default: one per usable core. Pipeline stages
            pass 1, because the engine already runs one of them per core.

    Returns:
        (N, S, S) uint8; the first row is the top one, ink is 255 and background 0.

    Raises:
        ConfigError: cairo is not installed, or `size` or `threads` is out of its range.
        FormatError: A raw coordinate is not a finite number.
    """
    if not 1 <= size <= MAX_OFFICIAL_SIZE:
        raise ConfigError(f"the official raster's size must be 1 to {MAX_OFFICIAL_SIZE} pixels, not {size}")
    cairo = load_cairo()
    points = fit(batch)
    bitmaps = np.zeros((len(batch), size, size), np.uint8)

    def draw(start: int, stop: int) -> None:
        part = batch.slice(start, stop)
        first, last = batch.points[batch.strokes[[start, stop]]]
        _draw_column(cairo, _rounds(part, points[first:last]), bitmaps[start:stop])

    over_slices(draw, len(batch), rows=min(_SLICE_ROWS, _SURFACE_ROWS // size), threads=threads)
    return bitmaps


def load_cairo() -> Any:
    """Return the module cairocffi.

    Raises:
        ConfigError: cairocffi or the system's cairo library is not installed.
    """
    try:
        return importlib.import_module("cairocffi")
    except ImportError as error:
        raise ConfigError(
            "the official raster needs the package cairocffi, which is not installed: pip install 'sketchdata[cairo]', "
            "or choose the fast raster"
        ) from error
    except OSError as error:
        # cairocffi loads the library at import.
        raise ConfigError(
            "the official raster needs the system's cairo library, libcairo.so.2, which cairocffi did not find: "
            "apt-get install libcairo2, dnf install cairo or brew install cairo, or choose the fast raster"
        ) from error


@dataclass(frozen=True, kw_only=True)
class _Rounds:
    """The strokes of some drawings as cairo's path data: the first strokes of all drawings, then the second ones.

    Attributes:
        path: (P,) of _POINT; the first point of a stroke occurs twice, to move to and to draw to.
        bounds: (R + 1,) int64, offsets of the R rounds in `path`.
    """

    path: npt.NDArray[np.void]
    bounds: npt.NDArray[np.int64]


def _rounds(batch: DrawingBatch, points: npt.NDArray[np.float64]) -> _Rounds:
    numbers = np.arange(len(batch.points) - 1) - np.repeat(batch.strokes[:-1], np.diff(batch.strokes))
    inked = np.flatnonzero(np.diff(batch.points))
    order = inked[np.argsort(numbers[inked], kind="stable")]
    offsets, index = gather_ranges(batch.points, order)
    path = np.empty(len(index) + len(order), _POINT)
    path["type"], path["length"] = _LINE_TO, _HEADER_AND_POINT
    starts = offsets[:-1] + np.arange(len(order))
    path["type"][starts] = _MOVE_TO
    path["xy"] = _in_column(batch, points)[np.insert(index, offsets[:-1], index[offsets[:-1]])]
    ends = np.append(starts, len(path))
    firsts = np.flatnonzero(np.diff(numbers[order], prepend=-1))
    return _Rounds(path=path, bounds=ends[np.append(firsts, len(order))])


def _in_column(batch: DrawingBatch, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Move every drawing to the centre of its cell in the column: (P, 2)."""
    bounds = batch.points[batch.strokes]
    inked = np.flatnonzero(np.diff(bounds))
    if len(inked) == 0:
        return points
    shift = (_SQUARE - np.maximum.reduceat(points, bounds[inked])) / 2
    shift[:, 1] += _CELL * inked
    return points + np.repeat(shift, np.diff(bounds)[inked], axis=0)


def _draw_column(cairo: Any, rounds: _Rounds, bitmaps: Bitmaps) -> None:
    count, size, _ = bitmaps.shape
    # All channels of the official ARGB surface are equal, so one is painted.
    surface = cairo.ImageSurface(cairo.FORMAT_A8, size, count * size)
    context = cairo.Context(surface)
    context.set_antialias(cairo.ANTIALIAS_BEST)
    context.set_line_cap(cairo.LINE_CAP_ROUND)
    context.set_line_join(cairo.LINE_JOIN_ROUND)
    context.set_line_width(_LINE_WIDTH)
    context.scale(size / _CELL, size / _CELL)
    context.translate(_MARGIN, _MARGIN)
    _stroke(cairo, context, rounds)
    surface.flush()
    rows = np.frombuffer(surface.get_data(), np.uint8).reshape(count * size, surface.get_stride())
    # A copy, because the surface owns the pixels.
    bitmaps[:] = rows[:, :size].reshape(count, size, size)


def _stroke(cairo: Any, context: Any, rounds: _Rounds) -> None:
    """Paint each round with one call, in which cffi releases the interpreter lock."""
    library, pointer = cairo.cairo, context._pointer
    data = cairo.ffi.cast("cairo_path_data_t *", rounds.path.ctypes.data)
    path = cairo.ffi.new("cairo_path_t *")
    # cairo counts a header and a point as one element each.
    for start, stop in pairwise((2 * rounds.bounds).tolist()):
        path.data, path.num_data = data + start, stop - start
        library.cairo_append_path(pointer, path)
        library.cairo_stroke(pointer)
    status = library.cairo_status(pointer)
    if status:
        reason = cairo.ffi.string(library.cairo_status_to_string(status)).decode()
        raise SketchDataError(f"cairo could not paint the drawings: {reason}")
