"""Stroke-3 and stroke-5, the sequence formats of sketch-rnn and related models.

Stroke-3 has one row per point: dx, dy from the previous point (from 0, 0 for the first point, which keeps its
position), and 1 if the pen is lifted after the point, else 0. Stroke-5 replaces the last column by three, one of which
is 1: pen down after the point, pen lifted after it, end of the drawing. It starts with the start token (0, 0, 1, 0, 0),
and rows of (0, 0, 0, 0, 1) follow the last point. Source: Ha and Eck, "A Neural Representation of Sketch Drawings",
arXiv:1704.03477, section 3.1, and `models/sketch_rnn/utils.py` of github.com/magenta/magenta.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from sketchdata.drawings.drawing import MAX_COORDINATE, DrawingBatch, Parsed
from sketchdata.errors import FormatError
from sketchdata.formats.records import to_square, without_metadata

Stroke3 = npt.NDArray[np.int16]
#: Offsets of any numeric type, as other programs write them.
Offsets = npt.NDArray[np.number[Any]]

_START = (0, 0, 1, 0, 0)
_INT16 = np.iinfo(np.int16)
#: Larger than any screen, and small enough for exact sums in float64.
_MAX_STEP = 1e9


def to_stroke3(batch: DrawingBatch) -> list[Stroke3]:
    """Return each drawing's (n, 3) int16 stroke-3 array; raw pixels are rounded, and times are dropped.

    Raises:
        FormatError: An offset between two points exceeds int16, which only happens in raw drawings.
    """
    places = np.floor(np.stack([batch.x, batch.y], axis=1).astype(np.float64) + 0.5)
    bounds = batch.points[batch.strokes]
    rows = np.zeros((len(places), 3), np.float64)
    rows[1:, :2] = np.diff(places, axis=0)
    starts = bounds[:-1][np.diff(bounds) > 0]
    rows[starts, :2] = places[starts]
    rows[batch.points[1:][np.diff(batch.points) > 0] - 1, 2] = 1
    if len(rows) and not _INT16.min <= rows.min() <= rows.max() <= _INT16.max:
        raise FormatError("no stroke-3 form", "two points of a raw drawing are more than 32,767 pixels apart")
    whole = rows.astype(np.int16)
    return [whole[a:b] for a, b in pairwise(bounds.tolist())]


def fit_square(arrays: Sequence[Offsets]) -> bool:
    """Return whether stroke-3 arrays are in the units of the 0..255 square: integers, and no larger than it.

    Invalid arrays are ignored.
    """
    for array in arrays:
        try:
            steps, _ = _steps_of(array)
        except FormatError:
            continue
        if not (steps == np.floor(steps)).all() or np.ptp(steps.cumsum(axis=0), axis=0).max() > MAX_COORDINATE:
            return False
    return True


def from_stroke3(
    arrays: Sequence[Offsets], *, word: str, label: int = 0, first: int = 0, keep: bool | None = None
) -> Parsed:
    """Convert stroke-3 arrays to simplified drawings, with metadata by `without_metadata`.

    Args:
        arrays: (n, 3) each, integers or floats. The last row ends its stroke even if it does not lift the pen.
        word: The drawings' category.
        label: Its label.
        first: The number of the first array in its file.
        keep: Whether the arrays are in the units of the 0..255 square: then drawings are moved into it if necessary,
            and larger ones are rejected. Otherwise each is scaled so that its larger side is 255. Default: the result
            of `fit_square`, so that all arrays have the same scale.
    """
    keep = fit_square(arrays) if keep is None else keep
    good, rows, faults = [], [], []
    for row, array in enumerate(arrays):
        try:
            good.append(_strokes_of(array, keep=keep))
            rows.append(row)
        except FormatError as error:
            faults.append((row, error))
    batch = without_metadata(good, word=word, label=label, first=first)
    return Parsed(batch=batch, rows=np.array(rows, np.int64), faults=faults)


def _steps_of(array: Offsets) -> tuple[npt.NDArray[np.float64], Offsets]:
    if array.ndim != 2 or array.shape[1] != 3:
        raise FormatError("not stroke-3", f"an array of shape {array.shape} and not (n, 3)")
    if not len(array):
        raise FormatError("empty drawing")
    steps, pen = array[:, :2].astype(np.float64), array[:, 2]
    # Written so that not-a-number fails too.
    if not np.abs(steps).max() <= _MAX_STEP:
        raise FormatError("bad coordinate", "a step that is not a number, or is larger than 10^9")
    if not ((pen == 0) | (pen == 1)).all():
        raise FormatError("bad pen state", f"{pen[(pen != 0) & (pen != 1)][0]} and not 0 or 1")
    return steps, pen


def _strokes_of(array: Offsets, *, keep: bool) -> list[npt.NDArray[np.uint8]]:
    steps, pen = _steps_of(array)
    places = steps.cumsum(axis=0)
    side = float(np.ptp(np.floor(places + 0.5), axis=0).max())
    if keep and side > MAX_COORDINATE:
        raise FormatError("larger than the square", f"a side of {side:,.0f} units, and there are 0..{MAX_COORDINATE}")
    points = to_square(places, keep=keep)
    lifts = np.flatnonzero(pen[:-1]) + 1
    return np.split(points, lifts)


def to_stroke5(stroke3: Offsets, *, length: int | None = None, start: bool = True) -> Offsets:
    """Convert a drawing's stroke-3 array to padded stroke-5.

    Args:
        stroke3: (n, 3).
        length: The number L of rows; default: n, and one row for the end.
        start: Whether to add the start token.

    Returns:
        (L, 5), or (L + 1, 5) with the start token, of the same type as `stroke3`.

    Raises:
        FormatError: The array is not stroke-3, or has more than `length` points.
    """
    if stroke3.ndim != 2 or stroke3.shape[1] != 3:
        raise FormatError("not stroke-3", f"an array of shape {stroke3.shape} and not (n, 3)")
    count = len(stroke3)
    room = count + 1 if length is None else length
    if count > room:
        raise FormatError("drawing too long", f"{count} points, and there is room for {room}: give a larger length")
    before = int(start)
    stroke5 = np.zeros((before + room, 5), stroke3.dtype)
    stroke5[:before] = _START
    points = stroke5[before : before + count]
    points[:, :2] = stroke3[:, :2]
    points[:, 2] = 1 - stroke3[:, 2]
    points[:, 3] = stroke3[:, 2]
    stroke5[before + count :, 4] = 1
    return stroke5


def from_stroke5(stroke5: Offsets, *, start: bool = True) -> Offsets:
    """Convert a drawing's stroke-5 array to stroke-3, without start token and padding.

    Args:
        stroke5: (L, 5).
        start: Whether it starts with the start token.

    Returns:
        (n, 3) of the same type, up to the first row that ends the drawing.

    Raises:
        FormatError: The array is not stroke-5, or does not start with the expected start token.
    """
    if stroke5.ndim != 2 or stroke5.shape[1] != 5:
        raise FormatError("not stroke-5", f"an array of shape {stroke5.shape} and not (n, 5)")
    if start and not has_start(stroke5):
        raise FormatError("no start token", "the first row is not 0, 0, 1, 0, 0: read it with start=False")
    rows = stroke5[int(start) :]
    pens = rows[:, 2:]
    if not (((pens == 0) | (pens == 1)).all() and (pens.sum(axis=1) == 1).all()):
        raise FormatError("bad pen state", "of the last three columns of stroke-5, one is 1 and the others are 0")
    ends = np.flatnonzero(rows[:, 4])
    rows = rows[: ends[0]] if len(ends) else rows
    return np.concatenate([rows[:, :2], rows[:, 3:4]], axis=1)


def has_start(stroke5: Offsets) -> bool:
    """Return whether the first row of a stroke-5 array equals the start token."""
    return len(stroke5) > 0 and tuple(stroke5[0].tolist()) == _START
