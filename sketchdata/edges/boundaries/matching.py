"""Pixels of two line drawings matched one to one, within a distance and at the least cost.

Source: `correspondPixels` of the BSDS500 benchmark (`match.cc`), after Martin, Fowlkes and Malik, PAMI 2004. As there,
a pair costs its distance, a pixel that stays alone much more, and costs are whole numbers. There each pixel has a few
outliers by chance, and CSA solves; here each has its own, so the least cost is always reached. Of several assignments
of the same cost, the two may choose different ones.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching
from skimage.morphology import thin as bwmorph_thin

# Non-maximum suppression as the boundary benchmark has it, before a soft edge map is compared at any threshold.
# Edge maps of a data set go through `sketchdata.edges.thin`, whose lines are one pixel wide everywhere. What people
# publish is of this one, under which a network's ODS comes out higher by half a hundredth.
# Source: `edgesNms` of Dollár's Structured Edge Detection Toolbox with the settings under which HED and its successors
# are evaluated: `E = convTri(E, 1)`, directions from `convTri(E, 4)`, `edgesNmsMex(E, O, 1, 5, 1.01)`.

Strength = npt.NDArray[np.uint8]
_Plane = npt.NDArray[np.float32]

#: A pixel stays if it is within 1 % of its neighbours across the edge.
_TOLERANCE = np.float32(1.01)
#: Pixels from the photo's border over which strength fades in: networks see edges there that are none.
_FADE = 5
#: Triangles of radius 1 and 4.
_FINE = np.array([1, 2, 1], np.float32) / np.float32(4)
_COARSE = np.array([1, 2, 3, 4, 5, 4, 3, 2, 1], np.float32) / np.float32(25)


def ridges(strength: Strength) -> Strength:
    """Keep the ridges of an edge map, nearly one pixel wide: (H, W) uint8 → (H, W) uint8, 0 elsewhere."""
    fine = _smoothed(strength.astype(np.float32), _FINE)
    dx, dy = _across(_smoothed(fine, _COARSE))
    height, width = fine.shape
    y, x = np.indices(fine.shape, dtype=np.float32, sparse=True)
    ahead, behind = (
        cv2.remap(fine, *_inside(x + side * dx, y + side * dy, width, height), cv2.INTER_LINEAR) for side in (1, -1)
    )
    kept = np.where(fine * _TOLERANCE >= np.maximum(ahead, behind), fine, np.float32(0))
    kept *= _fade(height)[:, None] * _fade(width)
    found: Strength = np.rint(kept).astype(np.uint8)
    return found


def _smoothed(plane: _Plane, kernel: _Plane) -> _Plane:
    return np.asarray(cv2.sepFilter2D(plane, -1, kernel, kernel, borderType=cv2.BORDER_REFLECT), np.float32)


def _across(smooth: _Plane) -> tuple[_Plane, _Plane]:
    """Return the unit vector across the edge at each pixel of an (H, W) map: (H, W) dx and dy."""
    if min(smooth.shape) < 2:
        # Too narrow for a derivative: the edge runs along it.
        along_x = np.float32(smooth.shape[0] > 1)
        return np.full_like(smooth, along_x), np.full_like(smooth, 1 - along_x)
    by_y, by_x = np.gradient(smooth)
    xx = np.gradient(by_x, axis=1)
    yy, xy = np.gradient(by_y)
    # The toolbox takes the arctangent of a quotient; which way along the direction one looks does not matter here. Its
    # sign of 0 is 0, which would leave exactly level lines as broad as they are; no photo has any.
    angle = np.arctan2(np.where(xy > 0, -yy, yy), xx + np.float32(1e-5))
    return np.cos(angle), np.sin(angle)


def _inside(x: _Plane, y: _Plane, width: int, height: int) -> tuple[_Plane, _Plane]:
    return np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)


def _fade(length: int) -> _Plane:
    """Return what strength is multiplied with along a side: 0 at its ends, 1 from five pixels on: (length,)."""
    at = np.arange(length)
    margin = max(min(_FADE, length // 2), 1)
    fade: _Plane = np.minimum(np.minimum(at, length - 1 - at) / margin, 1).astype(np.float32)
    return fade


Mask = npt.NDArray[np.bool_]
_Places = npt.NDArray[np.intp]
_Costs = npt.NDArray[np.float64]

#: What a pixel that stays alone costs, in tolerances: `outlierCost` of the official code.
_OUTLIER_TOLERANCES = 100
#: Costs are whole hundredths of a pixel: `multiplier` of the official code.
_FINENESS = 100


def match(first: Mask, second: Mask, tolerance: float) -> tuple[Mask, Mask]:
    """Match the pixels of two masks one to one, as many as can be, at the least sum of distances.

    Args:
        first: (H, W) bool.
        second: (H, W) bool.
        tolerance: The longest distance of a pair, in pixels.

    Returns:
        (H, W) bool twice: the matched pixels of the first mask and those of the second, equally many.

    Raises:
        ValueError: The masks differ in shape.
    """
    if first.shape != second.shape:
        raise ValueError(f"expected two masks of one shape, not {first.shape} and {second.shape}")
    if np.count_nonzero(first) > np.count_nonzero(second):
        return match(second, first, tolerance)[::-1]
    one, other, costs = _pairs(first, second, tolerance)
    chosen_one, chosen_other = _assigned(one, other, costs, math.ceil(_FINENESS * _OUTLIER_TOLERANCES * tolerance))
    return _mask(chosen_one, first.shape), _mask(chosen_other, first.shape)


def _mask(places: _Places, shape: tuple[int, ...]) -> Mask:
    mask = np.zeros(shape, np.bool_)
    mask.flat[places] = True
    return mask


@functools.lru_cache(maxsize=64)
def _disc(tolerance: float) -> tuple[_Places, _Places, _Costs]:
    """Return dy, dx and cost of each offset within reach, the nearest first: (D,) each."""
    reach = math.floor(tolerance)
    dy, dx = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    squared = dy * dy + dx * dx
    within = squared <= tolerance * tolerance
    order = np.argsort(squared[within], kind="stable")
    costs = np.rint(_FINENESS * np.sqrt(squared[within][order]))
    return dy[within][order], dx[within][order], costs


def _pairs(first: Mask, second: Mask, tolerance: float) -> tuple[_Places, _Places, _Costs]:
    """Return each pair of pixels that may be matched, as places in the flat pictures, and its cost: (P,) each."""
    width, reach = first.shape[1], math.floor(tolerance)
    dy, dx, costs = _disc(tolerance)
    # With a margin that no offset leaves.
    around = np.pad(second, reach)
    places = np.flatnonzero(first)
    at = (places // width + reach) * around.shape[1] + places % width + reach
    pair, offset = np.nonzero(around.ravel()[at[:, None] + (dy * around.shape[1] + dx)])
    one = places[pair]
    return one, one + dy[offset] * width + dx[offset], costs[offset]


def _assigned(one: _Places, other: _Places, costs: _Costs, outlier: int) -> tuple[_Places, _Places]:
    """Return the places of the least costly assignment, pair by pair."""
    # What has nobody within reach is in no pair, and stays alone in any assignment.
    rows, row = _numbered(one)
    columns, column = _numbered(other)
    if len(rows) > len(columns):
        # A row that finds no partner is what takes time: all that can be reached from it is tried. Of the fewer pixels,
        # fewer are left over; a noisy map takes a tenth of the time.
        return _assigned(other, one, costs, outlier)[::-1]
    if not len(rows):
        return one, other
    chosen_rows, chosen_columns = min_weight_full_bipartite_matching(_square(row, column, costs, outlier))
    matched = (chosen_rows < len(rows)) & (chosen_columns < len(columns))
    return rows[chosen_rows[matched]], columns[chosen_columns[matched]]


def _square(row: _Places, column: _Places, costs: _Costs, outlier: int) -> csr_array:
    """Return the costs of P pairs of R rows and C columns, and of staying alone, as a matrix of (R + C, C + R).

    Row i may take column C + i at the price of an outlier, and column j row R + j for nothing. Where i and j take each
    other, so do R + j and C + i. All rows and columns are then assigned; SciPy solves that in two thirds of the time
    that a matrix of (R, C + R) takes, since it prepares none but square ones.
    """
    rows, columns = int(row.max()) + 1, int(column.max()) + 1
    one, other = np.arange(rows), np.arange(columns)
    values = np.concatenate([costs, np.full(rows, outlier), np.zeros(columns + len(costs))])
    at_row = np.concatenate([row, one, rows + other, rows + column])
    at_column = np.concatenate([column, columns + one, other, columns + row])
    # One more for all, since a cost of 0 is no entry of a sparse matrix; each row pays it once, whatever it takes.
    return csr_array((values + 1, (at_row, at_column)), shape=(rows + columns, columns + rows))


def _numbered(places: _Places) -> tuple[_Places, _Places]:
    """Return the different places, rising, and the number of each of (P,) places among them."""
    present = np.zeros(places.max(initial=-1) + 1, np.bool_)
    present[places] = True
    different = np.flatnonzero(present)
    numbers = np.empty(len(present), np.intp)
    numbers[different] = np.arange(len(different))
    return different, numbers[places]


# How many pixels of an edge map people drew too, and how many of theirs it found, threshold by threshold.

#: The longest distance of a matched pair, as a share of the photo's diagonal: 4.3 pixels of 481 × 321. `maxDist`.
TOLERANCE = 0.0075
#: The official code takes 99; a third of them changes the scores by less than a thousandth.
DEFAULT_THRESHOLDS = 33

_Counts = npt.NDArray[np.int64]
#: scikit-image's form of MATLAB's bwmorph(…, 'thin', inf), which the official code calls; its skeletonize is four times
#: faster and keeps other pixels.
_thinned: Callable[[Mask], Mask] = bwmorph_thin


@dataclass(frozen=True, kw_only=True)
class Counts:
    """The counts of one photo, or of several, at K thresholds; the official names in brackets.

    Attributes:
        thresholds: (K,) float64 in 0..1, rising.
        found: (K,) int64, pixels of the edge map at the threshold, thinned [sumP].
        found_matched: (K,) int64, those of them that match a pixel of any drawing [cntP].
        drawn: (K,) int64, pixels of all drawings together [sumR].
        drawn_matched: (K,) int64, those of them that are matched, drawing by drawing [cntR].
    """

    thresholds: npt.NDArray[np.float64]
    found: _Counts
    found_matched: _Counts
    drawn: _Counts
    drawn_matched: _Counts


def even_thresholds(number: int) -> npt.NDArray[np.float64]:
    """Return K thresholds at even distances inside of 0..1, as `edgesEvalImg` takes them: (K,) float64."""
    return np.linspace(1 / (number + 1), 1 - 1 / (number + 1), number, dtype=np.float64)


def evaluate(
    strength: npt.NDArray[np.uint8] | npt.NDArray[np.floating],
    drawings: Sequence[npt.NDArray[np.generic]],
    thresholds: int | npt.NDArray[np.float64] = DEFAULT_THRESHOLDS,
    *,
    tolerance: float = TOLERANCE,
) -> Counts:
    """Compare an edge map with every drawing of its photo, at each threshold.

    Args:
        strength: (H, W), uint8 or 0..1 in floating point; its ridges alone, as `ridges` leaves them.
        drawings: (H, W) each, not 0 where a person drew a boundary.
        thresholds: Their number, or themselves.
        tolerance: The longest distance of a matched pair, as a share of the diagonal.

    Raises:
        ValueError: There is no drawing, or one has another shape than the map.

    Source: `edgesEvalImg`; at each threshold the map is thinned again.
    """
    soft = np.asarray(strength, np.float64) / (255 if strength.dtype == np.uint8 else 1)
    levels = even_thresholds(thresholds) if isinstance(thresholds, int) else thresholds
    drawn = [np.asarray(drawing, np.bool_) for drawing in drawings]
    if not drawn:
        raise ValueError("expected at least one drawing of the photo")
    # Not even a threshold of 0 takes what has no strength at all.
    least = np.maximum(levels, np.finfo(np.float64).eps)
    rows = [_compare(_thinned(soft >= level), drawn, tolerance) for level in least]
    found, found_matched, drawn_matched = np.array(rows, np.int64).reshape(-1, 3).T.copy()
    return Counts(
        thresholds=levels,
        found=found,
        found_matched=found_matched,
        drawn=np.full(len(levels), sum(np.count_nonzero(each) for each in drawn), np.int64),
        drawn_matched=drawn_matched,
    )


def agreement(drawings: Sequence[npt.NDArray[np.generic]], *, tolerance: float = TOLERANCE) -> Counts:
    """Compare each drawing of a photo with all others of it, as if it were an edge map: how well people agree.

    The result has one threshold, 1, and sums up all of them. With fewer than two drawings its counts are 0.
    """
    drawn = [np.asarray(drawing, np.bool_) for drawing in drawings]
    others = [[*drawn[:i], *drawn[i + 1 :]] for i in range(len(drawn))] if len(drawn) > 1 else []
    rows = [_compare(own, rest, tolerance) for own, rest in zip(drawn, others, strict=False)]
    found, found_matched, drawn_matched = np.array(rows, np.int64).reshape(-1, 3).sum(axis=0, keepdims=True).T
    total = sum(np.count_nonzero(each) for rest in others for each in rest)
    return Counts(
        thresholds=np.ones(1),
        found=found,
        found_matched=found_matched,
        drawn=np.array([total], np.int64),
        drawn_matched=drawn_matched,
    )


def _compare(found: Mask, drawings: Sequence[Mask], tolerance: float) -> tuple[int, int, int]:
    """Return the numbers of found pixels, of those that match any drawing, and of matched pixels of all drawings."""
    longest = tolerance * math.hypot(*found.shape)
    matched, recalled = np.zeros_like(found), 0
    for drawing in drawings:
        of_found, of_drawing = match(found, drawing, longest)
        matched |= of_found
        recalled += np.count_nonzero(of_drawing)
    return np.count_nonzero(found), np.count_nonzero(matched), recalled
