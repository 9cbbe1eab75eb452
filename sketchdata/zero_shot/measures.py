"""Measures of zero-shot recognition: top-k accuracy with ties, hit@k among unseen and all classes, U, S and H, hubs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from sketchdata.errors import ConfigError
from sketchdata.retrieval.metrics import Labels as AnyLabels
from sketchdata.retrieval.metrics import Ties
from sketchdata.zero_shot.training_set import Labels

# Generalised zero-shot: the network chooses among seen and unseen classes together. Source: Xian, Lampert, Schiele and
# Akata, "Zero-shot learning – a comprehensive evaluation of the good, the bad and the ugly", TPAMI 2019, section 4.

ScoreMatrix: TypeAlias = npt.NDArray[np.floating[Any]]
#: The ranks of the paper's tables.
RANKS = (1, 5, 10, 20)


def top_k_accuracy(scores: ScoreMatrix, labels: AnyLabels, k: int = 1, ties: Ties = "expected") -> float:
    """Compute the share of drawings whose class is among the k with the highest scores.

    Args:
        scores: (N, L) of N drawings for L classes.
        labels: (N,) their classes, 0..L - 1.
        k: 1 or more.
        ties: Whether a class with the same score as others comes at random, before or after them.

    Raises:
        ConfigError: `k` is below 1, there are no drawings, scores are no numbers, or arrays do not fit.
    """
    if k < 1:
        raise ConfigError(f"top-k accuracy needs k of 1 or more, not {k}")
    if scores.ndim != 2 or len(scores) != len(labels) or not len(labels):
        raise ConfigError(f"top-k accuracy needs a row of scores per drawing, not {scores.shape} for {len(labels):,}")
    if np.isnan(scores).any():
        raise ConfigError("some scores are not numbers (nan), so classes cannot be ranked by them")
    own = scores[np.arange(len(labels)), labels][:, None]
    higher, equal = (scores > own).sum(axis=1), (scores == own).sum(axis=1)
    places = {"expected": (k - higher) / equal, "optimistic": k - higher, "pessimistic": k - higher - equal + 1}
    return float(np.clip(places[ties], 0, 1).mean())


def generalised_zero_shot(predicted: AnyLabels, labels: AnyLabels, unseen: Collection[int]) -> dict[str, float]:
    """Compute U (`unseen`), S (`seen`) and their harmonic mean H (`harmonic`) of predictions among all classes.

    U and S are accuracies on drawings of unseen and of seen classes, averaged over classes; H is 0 where both are.

    Args:
        predicted: (N,) predicted classes.
        labels: (N,) the drawings' classes.
        unseen: The classes that training did not see.

    Raises:
        ConfigError: There are no drawings of unseen or of seen classes, or the arrays do not fit one another.
    """
    if predicted.shape != labels.shape:
        raise ConfigError(f"predictions {predicted.shape} and labels {labels.shape} must be of the same drawings")
    of_unseen = np.isin(labels, list(unseen))
    if of_unseen.all() or not of_unseen.any():
        missing = "seen" if of_unseen.any() else "unseen"
        raise ConfigError(f"U, S and H need drawings of seen and of unseen classes; there are none of {missing} ones")
    u, s = (
        float(np.mean(list(accuracy_by_class(predicted[rows], labels[rows]).values())))
        for rows in (of_unseen, ~of_unseen)
    )
    return {"unseen": u, "seen": s, "harmonic": 2 * u * s / (u + s) if u + s else 0.0}


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """Drawings of one class with another class predicted: how many, and their share of the drawings of their class."""

    label: int
    predicted: int
    count: int
    share: float


def chance_of_hit(k: int, candidates: int) -> float:
    """Return the share of hits among the first k of some candidates in random order."""
    return min(k / candidates, 1.0)


def accuracy_by_class(predicted: AnyLabels, labels: AnyLabels) -> dict[int, float]:
    """Return the accuracy on each class that has drawings."""
    classes, places = np.unique(labels, return_inverse=True)
    shares = np.bincount(places, predicted == labels) / np.bincount(places)
    return dict(zip(classes.tolist(), shares.tolist(), strict=True))


def confusion_pairs(predicted: Labels, labels: Labels, most: int = 20) -> list[Confusion]:
    """Return the most frequent confusions, by share of the class."""
    sizes = np.bincount(labels)
    wrong = predicted != labels
    pairs, counts = np.unique(np.stack([labels[wrong], predicted[wrong]], axis=1), axis=0, return_counts=True)
    shares = counts / sizes[pairs[:, 0]]
    order = np.lexsort([pairs[:, 1], pairs[:, 0], -counts, -shares])[:most]
    return [
        Confusion(label=int(pairs[i, 0]), predicted=int(pairs[i, 1]), count=int(counts[i]), share=float(shares[i]))
        for i in order
    ]


def occurrences(scores: ScoreMatrix, k: int) -> npt.NDArray[np.int64]:
    """Count N_k, for how many drawings each class is among the k most likely: (M, K) scores → (K,) int64.

    Equal scores come in the order of the class table.

    Raises:
        ConfigError: k is not in 1..K.
    """
    if scores.ndim != 2 or not 1 <= k <= scores.shape[1]:
        raise ConfigError(f"the {k} most likely of the classes are asked for, by scores of shape {scores.shape}")
    counts = np.zeros(scores.shape[1], np.int64)
    step = max(1, (1 << 22) // scores.shape[1])
    for start in range(0, len(scores), step):
        nearest = np.argsort(-scores[start : start + step], axis=1, kind="stable")[:, :k]
        counts += np.bincount(nearest.ravel(), minlength=len(counts))
    return counts


def hubness(scores: ScoreMatrix, k: int = 1) -> float:
    """Compute the skewness of N_k: high where a few classes are near to all drawings; 0 where all occur alike.

    Source: Radovanović, Nanopoulos and Ivanović, "Hubs in space", JMLR 2010: E[(N_k − μ)³] / σ³.

    Raises:
        ConfigError: As for `occurrences`.
    """
    counts = occurrences(scores, k).astype(np.float64)
    apart = counts - counts.mean()
    deviation = np.sqrt(np.square(apart).mean())
    return float((apart**3).mean() / deviation**3) if deviation else 0.0


def measure_zero_shot(
    scores: ScoreMatrix,
    labels: Labels,
    unseen: Sequence[int] | Labels,
    gamma: float = 0.0,
    ranks: Sequence[int] = RANKS,
) -> dict[str, Any]:
    """Measure scores of drawings outside the training set, of unseen and, where there are some, of seen classes.

    `zsl` and `gzsl` are the paper's: drawings of unseen classes, among the unseen ones or among all. `calibrated` is
    `gzsl` with γ subtracted from the scores of seen classes. `harmonic` and `harmonic_calibrated`, where there are
    drawings of seen classes, are U, S and H, averages of classes. Chance stands beside each share of hits.

    Args:
        scores: (M, L), uncalibrated.
        labels: (M,) places in the class table.
        unseen: The classes that the method did not learn from.
        gamma: γ.
        ranks: k of hit@k; those below the number of candidates are given.

    Returns:
        Plain values.

    Raises:
        ConfigError: There is no drawing of an unseen class, or as for `top_k_accuracy`.
    """
    places = np.unique(np.asarray(unseen, np.int64))
    new = np.isin(labels, places)
    if not new.any():
        raise ConfigError("zero-shot recognition is measured on drawings of unseen classes, and there are none")
    lowered = scores - gamma * ~np.isin(np.arange(scores.shape[1]), places)
    among = scores[new][:, places]
    predicted = places[among.argmax(axis=1)]
    values: dict[str, Any] = {
        "drawings": {"unseen": int(new.sum()), "seen": int((~new).sum())},
        "gamma": gamma,
        "zsl": _hits(among, np.searchsorted(places, labels[new]), ranks),
        "gzsl": _hits(scores[new], labels[new], ranks),
        "calibrated": _hits(lowered[new], labels[new], ranks),
        "by_class": accuracy_by_class(predicted, labels[new]),
        "confusions": [asdict(pair) for pair in confusion_pairs(predicted, labels[new])],
        "hubness": {f"N_{k}": hubness(among, k) for k in (1, 10) if k < len(places)},
    }
    if not new.all():
        for name, given in (("harmonic", scores), ("harmonic_calibrated", lowered)):
            values[name] = generalised_zero_shot(given.argmax(axis=1), labels, places.tolist())
    return values


def _hits(scores: ScoreMatrix, labels: Labels, ranks: Sequence[int]) -> dict[str, Any]:
    candidates = scores.shape[1]
    chosen = [k for k in ranks if k < candidates] or [1]
    return {
        "candidates": candidates,
        **{f"hit@{k}": top_k_accuracy(scores, labels, k) for k in chosen},
        "chance": {f"hit@{k}": chance_of_hit(k, candidates) for k in chosen},
    }
