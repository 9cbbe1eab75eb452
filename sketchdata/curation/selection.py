"""Choosing few drawings of a class out of many: diverse, typical, difficult or random ones, by their features."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sketchdata.curation.labels import folds_of, train_recogniser
from sketchdata.drawings.sampling import ranks

#: The ways to choose.
WAYS = ("diversity", "typicality", "difficulty", "random")
#: Diversity compares so many drawings of a class with each other, those of the smallest ranks.
MOST_COMPARED = 4000

Features = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.int64]


def unit_rows(features: Features) -> npt.NDArray[np.float32]:
    """Return (N, D) features scaled to unit length."""
    found = features.astype(np.float32)
    found /= np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
    return found


def diverse(features: Features, count: int) -> Rows:
    """Return `count` rows that represent all (N, D) best, the most useful first: greedy facility location.

    The value of a selection is Σ_i max_j s_ij over all drawings i and selected j, with the cosine s of their features.
    The greedy choice reaches at least 1 − 1/e of the best value (Nemhauser, Wolsey and Fisher, Mathematical Programming
    14, 1978).
    """
    unit = unit_rows(features)
    similar = unit @ unit.T
    best = np.zeros(len(unit), np.float32)
    # Gains only fall as the selection grows, so an old gain is a bound: few of them are computed again per choice.
    gains = np.maximum(similar, 0).sum(axis=1)
    taken: list[int] = []
    for _ in range(min(count, len(unit))):
        current = np.zeros(len(unit), np.bool_)
        while not current[row := int(gains.argmax())]:
            gains[row], current[row] = np.maximum(similar[row] - best, 0).sum(), True
        taken.append(row)
        gains[row] = -1
        best = np.maximum(best, similar[row])
    return np.array(taken, np.int64)


def typical(features: Features) -> Rows:
    """Return all rows of (N, D) features, the one most similar to the mean first."""
    unit = unit_rows(features)
    found: Rows = np.argsort(-(unit @ unit.mean(axis=0)), kind="stable").astype(np.int64)
    return found


def out_of_fold_confidence(
    features: Features, label: npt.NDArray[np.integer], key_id: npt.NDArray[np.uint64], classes: int, *, seed: int
) -> npt.NDArray[np.float64]:
    """Return each drawing's probability of its own label by a network of the other folds: (N,) float64."""
    fold, found = folds_of(key_id, 3, seed), np.zeros(len(label))
    for number in range(3):
        own = fold == number
        if own.all() or not own.any():
            continue
        network = train_recogniser(features[~own], label[~own], classes, epochs=20, seed=seed % 2**32 + number)
        found[own] = network.probabilities(features[own])[np.arange(own.sum()), label[own]]
    return found


def choose(
    by: str, features: Features, label: npt.NDArray[np.integer], key_id: npt.NDArray[np.uint64], count: int, seed: int
) -> Rows:
    """Return the rows of the chosen drawings, class by class, the first choice of a class first: (M,) int64.

    Args:
        by: One of WAYS: `diversity` by facility location, `typicality` nearest to the class's mean, `difficulty` with
            the lowest probability of their label, out of fold, `random` by a keyed hash of the key_id.
        features: (N, D) uint8, such as `line_features`.
        label: (N,) indices of classes.
        key_id: (N,) uint64.
        count: Drawings to choose of each class; all, if there are fewer.
        seed: Of the hash and the networks.
    """
    order = ranks(key_id, seed)
    chosen: list[Rows] = [np.empty(0, np.int64)]
    classes = int(label.max()) + 1 if len(label) else 0
    hard = out_of_fold_confidence(features, label, key_id, classes, seed=seed) if by == "difficulty" else None
    for each in range(classes):
        own: Rows = np.flatnonzero(label == each).astype(np.int64)
        own = own[np.argsort(order[own])]
        if by == "diversity":
            own = own[:MOST_COMPARED]
            own = own[diverse(features[own], count)]
        elif by == "typicality":
            own = own[typical(features[own])] if len(own) else own
        elif hard is not None:
            own = own[np.argsort(hard[own], kind="stable")]
        chosen.append(own[:count])
    return np.concatenate(chosen)
