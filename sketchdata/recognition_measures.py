"""Measures of recognition: top-k accuracy with ties, and generalised zero-shot accuracy.

Generalised zero-shot: the network chooses among seen and unseen classes together. Source: Xian, Lampert, Schiele and
Akata, "Zero-shot learning – a comprehensive evaluation of the good, the bad and the ugly", TPAMI 2019, section 4.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from sketchdata.errors import ConfigError
from sketchdata.metrics import Ties
from sketchdata.tie_groups import Labels as AnyLabels


def top_k_accuracy(
    scores: npt.NDArray[np.floating[Any]], labels: AnyLabels, k: int = 1, ties: Ties = "expected"
) -> float:
    """Compute the share of drawings whose class is among the k with the highest scores.

    Args:
        scores: (N, L) of N drawings for L classes.
        labels: (N,) their classes, 0..L - 1.
        k: How many classes are looked at, 1 or more.
        ties: Whether a class with the same score as others comes at random, before or after them.

    Raises:
        ConfigError: `k` is below 1, there are no drawings, scores are no numbers, or arrays do not fit.
    """
    if k < 1:
        raise ConfigError(f"top-k accuracy needs k of 1 or more, not {k}")
    if scores.ndim != 2 or len(scores) != len(labels) or not len(labels):
        raise ConfigError(f"top-k accuracy needs a row of scores a drawing, not {scores.shape} for {len(labels):,}")
    if np.isnan(scores).any():
        raise ConfigError("some scores are no numbers (nan), so classes cannot be ranked by them")
    own = scores[np.arange(len(labels)), labels][:, None]
    higher, equal = (scores > own).sum(axis=1), (scores == own).sum(axis=1)
    places = {"expected": (k - higher) / equal, "optimistic": k - higher, "pessimistic": k - higher - equal + 1}
    return float(np.clip(places[ties], 0, 1).mean())


@dataclass(frozen=True, kw_only=True)
class GeneralisedZeroShot:
    """Accuracy on drawings of unseen classes (U) and of seen ones (S), and their harmonic mean.

    Attributes:
        unseen: U.
        seen: S.
    """

    unseen: float
    seen: float

    @property
    def harmonic(self) -> float:
        """H = 2 U S / (U + S); 0 where both are 0."""
        total = self.unseen + self.seen
        return 2 * self.unseen * self.seen / total if total else 0.0


def generalised_zero_shot(
    predicted: AnyLabels, labels: AnyLabels, unseen: Collection[int], average: Literal["class", "sample"] = "class"
) -> GeneralisedZeroShot:
    """Compute U, S and H of predictions among all classes.

    Args:
        predicted: (N,) the classes that drawings were taken for.
        labels: (N,) their classes.
        unseen: The classes that training did not see.
        average: `class` gives each class that has drawings the same weight, `sample` each drawing.

    Raises:
        ConfigError: There are no drawings of unseen or of seen classes, or the arrays do not fit one another.
    """
    if predicted.shape != labels.shape:
        raise ConfigError(f"predictions {predicted.shape} and labels {labels.shape} must be of the same drawings")
    of_unseen = np.isin(labels, list(unseen))
    if of_unseen.all() or not of_unseen.any():
        missing = "seen" if of_unseen.any() else "unseen"
        raise ConfigError(f"U, S and H need drawings of seen and of unseen classes; there are none of {missing} ones")
    right = predicted == labels
    accuracy = _of_classes if average == "class" else lambda right, _: float(right.mean())
    return GeneralisedZeroShot(
        unseen=accuracy(right[of_unseen], labels[of_unseen]), seen=accuracy(right[~of_unseen], labels[~of_unseen])
    )


def _of_classes(right: npt.NDArray[np.bool_], labels: AnyLabels) -> float:
    _, places = np.unique(labels, return_inverse=True)
    return float((np.bincount(places, right) / np.bincount(places)).mean())
