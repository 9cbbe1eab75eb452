"""A toy of zero-shot recognition whose right prototypes are known, and methods small enough to learn it quickly."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sketchdata.zero_shot import ZERO_SHOT_METHODS, ZeroShotMethod

#: Classes of the toy, and those of them that are unseen: a class is recognised by chance in one of eight times.
CLASSES, UNSEEN = 36, np.arange(0, 32, 4)
SEEN = np.setdiff1d(np.arange(CLASSES), UNSEEN)


@dataclass(frozen=True, kw_only=True)
class Toy:
    """Drawings around class means that are a linear function of the classes' vectors.

    Attributes:
        features: (N, 24) float32, of all classes.
        labels: (N,) int64.
        vectors: (36, 6) float32.
        means: (36, 24), where the drawings of each class lie around: the right prototypes.
    """

    features: np.ndarray
    labels: np.ndarray
    vectors: np.ndarray
    means: np.ndarray

    @property
    def of_seen(self) -> np.ndarray:
        return np.isin(self.labels, SEEN)

    def seen(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return what a method is fitted to."""
        return self.features[self.of_seen], self.labels[self.of_seen], self.vectors, SEEN


def make_toy(seed: int = 0, drawings: int = 20, noise: float = 0.3) -> Toy:
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(CLASSES, 6)).astype(np.float32)
    means = vectors @ random.normal(size=(6, 24)) / np.sqrt(6) + 1
    labels = random.permutation(np.repeat(np.arange(CLASSES), drawings))
    features = (means[labels] + noise * random.normal(size=(len(labels), 24))).astype(np.float32)
    return Toy(features=features, labels=labels, vectors=vectors, means=means)


def small(name: str) -> ZeroShotMethod:
    """Return a method of the table whose networks are narrow and learn in a few quick steps."""
    method = ZERO_SHOT_METHODS[name]
    changes = {
        "eve": {"hidden": 64, "rate": 1e-2},
        "dem": {"hidden": 64, "rate": 1e-2},
        "eve_reversed": {"hidden": 64, "rate": 1e-2, "batch": 64},
        "dem_reversed": {"hidden": 64, "rate": 1e-2, "batch": 64},
        "recipe": {"hidden": 64, "rate": 1e-2, "batch": 64, "members": 2, "dropout": 0.2},
        "relation": {"hidden": 64, "rate": 3e-3, "batch": 32},
        "conse": {"steps": 100, "rate": 3e-2, "batch": 64},
    }
    if name not in changes:
        return method
    learn = replace(method.learn, **changes[name])
    if name == "conse":
        return replace(method, learn=learn)
    steps = 40 if name == "recipe" else 80
    grid = ({"decay": 1e-4, "steps": steps // 2}, {"decay": 1e-4, "steps": steps})
    return replace(method, learn=learn, constants=grid[-1], grid=grid)
