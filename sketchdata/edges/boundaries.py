"""The boundary benchmark of BSDS500: compares soft edge maps with the boundaries that several people drew on a photo.

    counts = [evaluate(ridges(sobel(photo)), drawings) for photo, drawings in ...]
    scores = summarise(counts)
    scores.ods, scores.ois, scores.ap

Sources: Martin, Fowlkes and Malik, "Learning to detect natural image boundaries using local brightness, color, and
texture cues", PAMI 2004; Arbeláez, Maire, Fowlkes and Malik, "Contour detection and hierarchical image segmentation",
PAMI 2011. The measures are those of the official code of BSDS500 in the commonly reported form: `edgesEvalImg` and
`edgesEvalDir` of Dollár's Structured Edge Detection Toolbox 3.01.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Mask = npt.NDArray[np.bool_]
Strength = npt.NDArray[np.uint8]
_Plane = npt.NDArray[np.float32]
_Places = npt.NDArray[np.intp]
_Counts = npt.NDArray[np.int64]
_Values = npt.NDArray[np.float64]

#: Maximum distance of a matched pair, as a share of the photo's diagonal: 4.3 pixels for 481 × 321 (`maxDist`).
TOLERANCE = 0.0075
#: Number of thresholds. The official code uses 99; a third of them changes the scores by less than 0.001.
DEFAULT_THRESHOLDS = 33

# Edge maps of a data set are thinned by `sketchdata.edges.thin` to lines of one pixel. Published figures use the
# non-maximum suppression below, with which a network's ODS is higher by 0.005.

#: A pixel is kept if it is within 1 % of its neighbours across the edge.
_RIDGE_TOLERANCE = np.float32(1.01)
#: Distance from the photo's border in pixels within which strength is reduced: networks find false edges there.
_FADE = 5
#: Triangle filters of radius 1 and 4.
_FINE = np.array([1, 2, 1], np.float32) / np.float32(4)
_COARSE = np.array([1, 2, 3, 4, 5, 4, 3, 2, 1], np.float32) / np.float32(25)


def ridges(strength: Strength) -> Strength:
    """Keep the ridges of an edge map, nearly one pixel wide: (H, W) uint8 → (H, W) uint8, 0 elsewhere.

    Source: `edgesNms` of Dollár's toolbox with the settings for the evaluation of HED and its successors:
    `E = convTri(E, 1)`, directions from `convTri(E, 4)`, `edgesNmsMex(E, O, 1, 5, 1.01)`.
    """
    fine = _smoothed(strength.astype(np.float32), _FINE)
    dx, dy = _across(_smoothed(fine, _COARSE))
    height, width = fine.shape
    y, x = np.indices(fine.shape, dtype=np.float32, sparse=True)
    ahead, behind = (
        cv2.remap(fine, np.clip(x + side * dx, 0, width - 1), np.clip(y + side * dy, 0, height - 1), cv2.INTER_LINEAR)
        for side in (1, -1)
    )
    kept = np.where(fine * _RIDGE_TOLERANCE >= np.maximum(ahead, behind), fine, np.float32(0))
    kept *= _fade(height)[:, None] * _fade(width)
    found: Strength = np.rint(kept).astype(np.uint8)
    return found


def _smoothed(plane: _Plane, kernel: _Plane) -> _Plane:
    return np.asarray(cv2.sepFilter2D(plane, -1, kernel, kernel, borderType=cv2.BORDER_REFLECT), np.float32)


def _across(smooth: _Plane) -> tuple[_Plane, _Plane]:
    """Return the unit vector across the edge at each pixel of an (H, W) map: (H, W) dx and dy."""
    if min(smooth.shape) < 2:
        # The map is too narrow for a derivative: the edge runs along it.
        along_x = np.float32(smooth.shape[0] > 1)
        return np.full_like(smooth, along_x), np.full_like(smooth, 1 - along_x)
    by_y, by_x = np.gradient(smooth)
    xx = np.gradient(by_x, axis=1)
    yy, xy = np.gradient(by_y)
    # The toolbox computes the arctangent of a quotient; the sign of the direction does not matter here. Its sign of 0
    # is # 0, which would not thin exactly level lines; photos have none.
    angle = np.arctan2(np.where(xy > 0, -yy, yy), xx + np.float32(1e-5))
    return np.cos(angle), np.sin(angle)


def _fade(length: int) -> _Plane:
    """Return the factors of strength along a side, (length,): 0 at the ends, 1 from five pixels on."""
    at = np.arange(length)
    margin = max(min(_FADE, length // 2), 1)
    fade: _Plane = np.minimum(np.minimum(at, length - 1 - at) / margin, 1).astype(np.float32)
    return fade


#: Cost of an unmatched pixel, in tolerances: `outlierCost` of the official code.
_OUTLIER_TOLERANCES = 100
#: Costs are integers in hundredths of a pixel: `multiplier` of the official code.
_FINENESS = 100


def match(first: Mask, second: Mask, tolerance: float) -> tuple[Mask, Mask]:
    """Match the pixels of two (H, W) masks one to one: as many as possible, with the minimum sum of distances.

    Source: `correspondPixels` of the BSDS500 benchmark (`match.cc`). As there, a pair costs its distance, an unmatched
    pixel costs much more, and costs are integers. There each pixel has a few random outliers, and CSA is the solver;
    here each pixel has its own outlier, so that the minimum is always found. Of several assignments with the same cost,
    the two may choose different ones.

    Args:
        first: (H, W) bool.
        second: (H, W) bool.
        tolerance: Maximum distance of a pair, in pixels.

    Returns:
        The matched pixels of each mask, equally many: two (H, W) bool arrays.

    Raises:
        ValueError: The masks differ in shape.
    """
    if first.shape != second.shape:
        raise ValueError(f"expected two masks of one shape, not {first.shape} and {second.shape}")
    if np.count_nonzero(first) > np.count_nonzero(second):
        return match(second, first, tolerance)[::-1]
    # Each pair of pixels within the tolerance, as positions in the flat masks, padded so that offsets stay inside.
    width, reach = first.shape[1], math.floor(tolerance)
    dy, dx, offset_costs = _disc(tolerance)
    around = np.pad(second, reach)
    places = np.flatnonzero(first)
    at = (places // width + reach) * around.shape[1] + places % width + reach
    pair, offset = np.nonzero(around.ravel()[at[:, None] + (dy * around.shape[1] + dx)])
    one = places[pair]
    other, costs = one + dy[offset] * width + dx[offset], offset_costs[offset]
    masks = np.zeros_like(first), np.zeros_like(second)
    chosen = _assigned(one, other, costs, math.ceil(_FINENESS * _OUTLIER_TOLERANCES * tolerance))
    for mask, matched in zip(masks, chosen, strict=True):
        mask.flat[matched] = True
    return masks


@functools.lru_cache(maxsize=64)
def _disc(tolerance: float) -> tuple[_Places, _Places, _Values]:
    """Return dy, dx and cost of each offset within the tolerance, the nearest first: (D,) each."""
    reach = math.floor(tolerance)
    dy, dx = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    squared = dy * dy + dx * dx
    within = squared <= tolerance * tolerance
    order = np.argsort(squared[within], kind="stable")
    costs = np.rint(_FINENESS * np.sqrt(squared[within][order]))
    return dy[within][order], dx[within][order], costs


def _assigned(one: _Places, other: _Places, costs: _Values, outlier: int) -> tuple[_Places, _Places]:
    """Return the positions of the pairs in an assignment of minimum cost."""
    # Pixels without another one within the tolerance are in no pair.
    rows, row = _numbered(one)
    columns, column = _numbered(other)
    if len(rows) > len(columns):
        # Rows without a partner take the time, since everything reachable from them is tried. With the smaller mask as
        # rows there are fewer; a noisy map takes a tenth of the time.
        return _assigned(other, one, costs, outlier)[::-1]
    if not len(rows):
        return one, other
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    chosen_rows, chosen_columns = min_weight_full_bipartite_matching(_square(row, column, costs, outlier))
    matched = (chosen_rows < len(rows)) & (chosen_columns < len(columns))
    return rows[chosen_rows[matched]], columns[chosen_columns[matched]]


def _square(row: _Places, column: _Places, costs: _Values, outlier: int) -> csr_array:
    """Return the costs of P pairs of R rows and C columns, and of outliers, as a sparse (R + C, C + R) matrix.

    Row i may be paired with column C + i at the cost of an outlier, and column j with row R + j at no cost. If i and j
    are paired, so are R + j and C + i. Then all rows and columns are assigned, which SciPy solves in two thirds of the
    time of an (R, C + R) matrix, since it only preprocesses square ones.
    """
    rows, columns = int(row.max()) + 1, int(column.max()) + 1
    one, other = np.arange(rows), np.arange(columns)
    values = np.concatenate([costs, np.full(rows, outlier), np.zeros(columns + len(costs))])
    at_row = np.concatenate([row, one, rows + other, rows + column])
    at_column = np.concatenate([column, columns + one, other, columns + row])
    from scipy.sparse import csr_array

    # 1 is added to all costs, because a sparse matrix has no entries 0; it adds the same to every assignment.
    return csr_array((values + 1, (at_row, at_column)), shape=(rows + columns, columns + rows))


def _numbered(places: _Places) -> tuple[_Places, _Places]:
    """Return the distinct positions in ascending order, and the index of each of (P,) positions among them."""
    present = np.zeros(places.max(initial=-1) + 1, np.bool_)
    present[places] = True
    different = np.flatnonzero(present)
    numbers = np.empty(len(present), np.intp)
    numbers[different] = np.arange(len(different))
    return different, numbers[places]


@dataclass(frozen=True, kw_only=True)
class Counts:
    """The counts of one photo at K thresholds, with the official names in brackets.

    Attributes:
        thresholds: (K,) float64 in 0..1, ascending.
        found: (K,) int64, pixels of the thinned edge map at the threshold [sumP].
        found_matched: (K,) int64, found pixels that match a pixel of any drawing [cntP].
        drawn: (K,) int64, pixels of all drawings together [sumR].
        drawn_matched: (K,) int64, drawn pixels that are matched, drawing by drawing [cntR].
    """

    thresholds: _Values
    found: _Counts
    found_matched: _Counts
    drawn: _Counts
    drawn_matched: _Counts


def even_thresholds(number: int) -> _Values:
    """Return K equidistant thresholds inside 0..1, as in `edgesEvalImg`: (K,) float64."""
    return np.linspace(1 / (number + 1), 1 - 1 / (number + 1), number, dtype=np.float64)


def evaluate(
    strength: npt.NDArray[np.uint8] | npt.NDArray[np.floating],
    drawings: Sequence[npt.NDArray[np.generic]],
    thresholds: int | _Values = DEFAULT_THRESHOLDS,
    *,
    tolerance: float = TOLERANCE,
) -> Counts:
    """Compare an edge map with every drawing of its photo, at each threshold.

    Source: `edgesEvalImg`; at each threshold the map is thinned again.

    Args:
        strength: (H, W), uint8 or floating point in 0..1: ridges, as returned by `ridges`.
        drawings: (H, W) each, nonzero where a person drew a boundary.
        thresholds: Their number, or the thresholds.
        tolerance: Maximum distance of a matched pair, as a share of the diagonal.

    Raises:
        ValueError: There are no drawings, or their shape differs from that of the map.
    """
    soft = np.asarray(strength, np.float64) / (255 if strength.dtype == np.uint8 else 1)
    levels = even_thresholds(thresholds) if isinstance(thresholds, int) else thresholds
    drawn = [np.asarray(drawing, np.bool_) for drawing in drawings]
    if not drawn:
        raise ValueError("expected at least one drawing of the photo")
    # A threshold of 0 does not select pixels without strength.
    least = np.maximum(levels, np.finfo(np.float64).eps)
    # scikit-image's equivalent of MATLAB's bwmorph(…, 'thin', inf) in the official code; its skeletonize is four times
    # faster but keeps other pixels.
    from skimage.morphology import thin

    thinned: Callable[[Mask], Mask] = thin
    rows = [_compare(thinned(soft >= level), drawn, tolerance) for level in least]
    found, matched, drawn_matched = np.array(rows, np.int64).reshape(-1, 3).T.copy()
    total = np.full(len(levels), sum(np.count_nonzero(each) for each in drawn), np.int64)
    return Counts(thresholds=levels, found=found, found_matched=matched, drawn=total, drawn_matched=drawn_matched)


def agreement(drawings: Sequence[npt.NDArray[np.generic]], *, tolerance: float = TOLERANCE) -> Counts:
    """Compare each drawing of a photo with its other drawings, as if it were an edge map, to measure how people agree.

    The result has one threshold, 1, and sums over all drawings. With fewer than two drawings its counts are 0.
    """
    drawn = [np.asarray(drawing, np.bool_) for drawing in drawings]
    others = [[*drawn[:i], *drawn[i + 1 :]] for i in range(len(drawn))] if len(drawn) > 1 else []
    rows = [_compare(own, rest, tolerance) for own, rest in zip(drawn, others, strict=False)]
    found, matched, drawn_matched = np.array(rows, np.int64).reshape(-1, 3).sum(axis=0, keepdims=True).T
    total = np.array([sum(np.count_nonzero(each) for rest in others for each in rest)], np.int64)
    ones = np.ones(1)
    return Counts(thresholds=ones, found=found, found_matched=matched, drawn=total, drawn_matched=drawn_matched)


def _compare(found: Mask, drawings: Sequence[Mask], tolerance: float) -> tuple[int, int, int]:
    """Return the numbers of found pixels, of those that match any drawing, and of matched pixels of all drawings."""
    longest = tolerance * math.hypot(*found.shape)
    matched, recalled = np.zeros_like(found), 0
    for drawing in drawings:
        of_found, of_drawing = match(found, drawing, longest)
        matched |= of_found
        recalled += np.count_nonzero(of_drawing)
    return np.count_nonzero(found), np.count_nonzero(matched), recalled


_EPS = np.finfo(np.float64).eps
#: Number of interpolated thresholds from one threshold to the next, inclusive, in the search for the best one.
_STEPS = 100


@dataclass(frozen=True, kw_only=True)
class Scores:
    """The measures of a detector over many photos, all in 0..1.

    Attributes:
        ods: F = 2PR / (P + R) at the best common threshold of all photos (optimal dataset scale).
        ods_precision: P at that threshold: the share of found pixels that a person drew.
        ods_recall: R at that threshold: the share of drawn pixels that are found.
        ods_threshold: That threshold.
        ois: F at the best threshold of each photo (optimal image scale).
        ois_precision: P at these thresholds.
        ois_recall: R at these thresholds.
        ap: The area under the precision-recall curve; None with only one threshold.
    """

    ods: float
    ods_precision: float
    ods_recall: float
    ods_threshold: float
    ois: float
    ois_precision: float
    ois_recall: float
    ap: float | None


def summarise(counts: Sequence[Counts]) -> Scores:
    """Return the scores over photos with counts at the same K thresholds.

    Source: `edgesEvalDir` of Dollár's toolbox, which gives the figures of BSDS500's `boundaryBench`.

    Raises:
        ValueError: There are no counts, or their thresholds differ.
    """
    if not counts:
        raise ValueError("expected the counts of at least one photo")
    thresholds = counts[0].thresholds
    if any(not np.array_equal(each.thresholds, thresholds) for each in counts):
        raise ValueError("expected counts at the same thresholds for every photo")
    each = np.array([[one.found, one.found_matched, one.drawn, one.drawn_matched] for one in counts])
    precision, recall = _rates(each.sum(axis=0))
    best_threshold, ods_precision, ods_recall = _best(thresholds, precision, recall)
    best = f_measure(*_rates(each.transpose(1, 0, 2))).argmax(axis=1)
    ois_precision, ois_recall = _rates(each[np.arange(len(each)), :, best].sum(axis=0))
    return Scores(
        ods=float(f_measure(ods_precision, ods_recall)),
        ods_precision=ods_precision,
        ods_recall=ods_recall,
        ods_threshold=best_threshold,
        ois=float(f_measure(ois_precision, ois_recall)),
        ois_precision=float(ois_precision),
        ois_recall=float(ois_recall),
        ap=_average_precision(precision, recall) if len(thresholds) > 1 else None,
    )


def f_measure(precision: npt.ArrayLike, recall: npt.ArrayLike) -> _Values:
    """Return 2PR / (P + R), or 0 if both are 0; shapes are broadcast."""
    p, r = np.asarray(precision, np.float64), np.asarray(recall, np.float64)
    f: _Values = 2 * p * r / np.maximum(_EPS, p + r)
    return f


def _rates(numbers: _Counts) -> tuple[_Values, _Values]:
    found, found_matched, drawn, drawn_matched = numbers
    return found_matched / np.maximum(_EPS, found), drawn_matched / np.maximum(_EPS, drawn)


def _best(thresholds: _Values, precision: _Values, recall: _Values) -> tuple[float, float, float]:
    """Return the threshold of the maximum F, and P and R there, each interpolated linearly between thresholds."""
    steps = np.linspace(0, 1, _STEPS)
    lines = (
        np.outer(1 - steps, v[:-1]) + np.outer(steps, v[1:]) if len(v) > 1 else v
        for v in (thresholds, precision, recall)
    )
    t, p, r = (line.T.ravel() for line in lines)
    at = int(np.argmax(f_measure(p, r)))
    return float(t[at]), float(p[at]), float(r[at])


def _average_precision(precision: _Values, recall: _Values) -> float:
    """Return the mean of the interpolated precision at recalls 0, 0.01 to 1; it is 0 beyond the ends of the curve.

    The official code divides the sum of 101 values by 100, and documents this; so do we, to be comparable.
    """
    rising, first = np.unique(recall, return_index=True)
    if len(rising) < 2:
        return 0.0
    at = np.linspace(0, 1, 101)
    return float(np.interp(at, rising, precision[first], left=0, right=0).sum() / 100)
