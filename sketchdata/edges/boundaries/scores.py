"""The scores of a benchmark from its counts: ODS, OIS and AP.

Source: `edgesEvalDir` of Dollár's toolbox, which gives the numbers of BSDS500's `boundaryBench`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sketchdata.boundaries.counts import Counts

_Values = npt.NDArray[np.float64]
_EPS = np.finfo(np.float64).eps
#: Steps from one threshold to the next, ends included, in search of the best.
_STEPS = 100


@dataclass(frozen=True, kw_only=True)
class Scores:
    """How well a detector does over many photos; all are shares in 0..1.

    Attributes:
        ods: F = 2PR / (P + R) at the one threshold that is best for all photos (optimal dataset scale).
        ods_precision: P at that threshold: found pixels that somebody drew.
        ods_recall: R at that threshold: drawn pixels that were found.
        ods_threshold: That threshold.
        ois: F when each photo has the threshold that is best for it (optimal image scale).
        ois_precision: P with these.
        ois_recall: R with these.
        ap: The area under the curve of precision over recall, where it has points; None where there is no curve, but
            one threshold.
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
    """Return the scores over photos whose counts were taken at the same thresholds.

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
    ois_precision, ois_recall = _rates(_each_at_its_best(each))
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
    """Return 2PR / (P + R), 0 where both are; shapes broadcast."""
    p, r = np.asarray(precision, np.float64), np.asarray(recall, np.float64)
    f: _Values = 2 * p * r / np.maximum(_EPS, p + r)
    return f


def _rates(numbers: npt.NDArray[np.int64]) -> tuple[_Values, _Values]:
    """Return precision and recall of (4, …) counts, 0 where there is nothing to count."""
    found, found_matched, drawn, drawn_matched = numbers
    return found_matched / np.maximum(_EPS, found), drawn_matched / np.maximum(_EPS, drawn)


def _best(thresholds: _Values, precision: _Values, recall: _Values) -> tuple[float, float, float]:
    """Return the threshold of the highest F, and P and R there, each interpolated linearly between thresholds."""
    steps = np.linspace(0, 1, _STEPS)
    lines = (
        np.outer(1 - steps, v[:-1]) + np.outer(steps, v[1:]) if len(v) > 1 else v
        for v in (thresholds, precision, recall)
    )
    t, p, r = (line.T.ravel() for line in lines)
    at = int(np.argmax(f_measure(p, r)))
    return float(t[at]), float(p[at]), float(r[at])


def _each_at_its_best(each: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return (4,) sums of (N, 4, K) counts, of each photo at its own best threshold, not interpolated."""
    best = f_measure(*_rates(each.transpose(1, 0, 2))).argmax(axis=1)
    total: npt.NDArray[np.int64] = each[np.arange(len(each)), :, best].sum(axis=0)
    return total


def _average_precision(precision: _Values, recall: _Values) -> float:
    """Return the mean of the interpolated precision at recalls 0, 0.01 to 1; beyond the ends of the curve it is 0.

    The official code divides the sum of 101 values by 100, and says so; so do we, to be comparable.
    """
    rising, first = np.unique(recall, return_index=True)
    if len(rising) < 2:
        return 0.0
    at = np.linspace(0, 1, 101)
    return float(np.interp(at, rising, precision[first], left=0, right=0).sum() / 100)
