"""How many pixels of an edge map people drew too, and how many of theirs it found, threshold by threshold."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from skimage.morphology import thin as bwmorph_thin

from sketchdata.boundaries.matching import Mask, match

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
