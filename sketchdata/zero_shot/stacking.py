"""Calibrated stacking: how much to take off the scores of seen classes, so that unseen ones get their turn."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sketchdata.zero_shot.checks import Labels
from sketchdata.zero_shot.lesson import Matrix


def choose_gamma(scores: npt.NDArray[np.floating[Any]], labels: Labels, new: npt.NDArray[np.bool_]) -> float:
    """Return the γ with the highest harmonic mean of the class-averaged accuracies on old and new classes.

    A drawing changes sides where γ passes the difference between its highest score of an old class and that of a new
    one; so all values that matter are tried, at the price of a sort. Source: Chao, Changpinyo, Gong and Sha, "An
    empirical study and analysis of generalized zero-shot learning for object recognition in the wild", ECCV 2016; the
    harmonic mean as criterion is that of Xian et al., TPAMI 2019.

    Args:
        scores: (M, K) of drawings for the candidates.
        labels: (M,) places among the candidates.
        new: (K,) bool, the candidates that stand for unseen classes, and were not learnt from.

    Returns:
        γ; 0 where no value gives a harmonic mean above 0. It may be negative.
    """
    old_best, old_place = _best(scores, ~new)
    new_best, new_place = _best(scores, new)
    edges = old_best - new_best
    weights = 1 / np.bincount(labels, minlength=len(new))[labels]
    of_new = new[labels]
    gained = np.where(of_new & (new_place == labels), weights, 0) / len(np.unique(labels[of_new]))
    lost = np.where(~of_new & (old_place == labels), weights, 0) / len(np.unique(labels[~of_new]))
    order = np.argsort(edges, kind="stable")
    edges = edges[order]
    # The i-th of M + 1 values of γ lies above the i smallest differences: those drawings go to new classes.
    unseen = np.concatenate([[0], np.cumsum(gained[order])])
    seen = lost.sum() - np.concatenate([[0], np.cumsum(lost[order])])
    harmonic = 2 * unseen * seen / np.maximum(unseen + seen, 1e-300)
    values = np.concatenate([[edges[0] - 1], (edges[:-1] + edges[1:]) / 2, [edges[-1] + 1]])
    # Between equal differences there is no room.
    harmonic[1:-1][edges[:-1] == edges[1:]] = 0
    best = int(harmonic.argmax())
    return float(values[best]) if harmonic[best] > 1e-12 else 0.0


def _best(scores: npt.NDArray[np.floating[Any]], chosen: npt.NDArray[np.bool_]) -> tuple[Matrix, Labels]:
    """Return the highest score among chosen candidates, and whose it is."""
    places = np.flatnonzero(chosen)
    part = scores[:, places].astype(np.float64)
    winners = part.argmax(axis=1)
    return part[np.arange(len(part)), winners], places[winners]
