"""What a zero-shot method may learn from: drawings of seen classes, and the semantic vectors of all classes.

A training set is checked once, when it is made: a drawing of an unseen class in it is an error, not an input. Features
stay where they are, in memory or in a file that is mapped to it; sums over them are taken in double, a block of rows at
a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor

from sketchdata.errors import ConfigError

Features: TypeAlias = npt.NDArray[np.floating[Any]]
Labels: TypeAlias = npt.NDArray[np.int64]

#: Numbers in double at a time: 64 MB.
CELLS_AT_ONCE = 1 << 23


def check_classes(chosen: Sequence[int] | Labels, classes: int, name: str) -> Labels:
    """Return places in the class table, ascending.

    Raises:
        ConfigError: A place occurs twice, or is outside the table.
    """
    places = np.sort(np.asarray(chosen, np.int64).reshape(-1))
    if len(np.unique(places)) < len(places) or (len(places) and not 0 <= places[0] <= places[-1] < classes):
        raise ConfigError(f"{name} classes are different places in 0..{classes - 1}, not {list_places(places)}")
    return places


def check_drawings(features: Features, labels: npt.NDArray[np.integer[Any]]) -> None:
    """Check features (N, F) and labels (N,).

    Raises:
        ConfigError: There are none, they do not fit one another, or a feature is not a finite number.
    """
    if features.ndim != 2 or labels.shape != features.shape[:1] or not features.size:
        raise ConfigError(f"(N, F) features with (N,) labels are needed, not {features.shape} with {labels.shape}")
    if not np.issubdtype(labels.dtype, np.integer):
        raise ConfigError(f"labels are whole numbers, places in the class table, not {labels.dtype}")
    check_finite(features)


def check_finite(features: Features) -> None:
    """Check features, some rows at a time.

    Raises:
        ConfigError: One of them is not a finite number.
    """
    step = max(1, CELLS_AT_ONCE // features.shape[1])
    for start in range(0, len(features), step):
        finite = np.isfinite(features[start : start + step]).all(axis=1)
        if not finite.all():
            row = start + int(np.argmin(finite))
            raise ConfigError(f"features should be finite numbers, and row {row:,} (from 0) has others")


def check_all_drawn(labels: npt.NDArray[np.integer[Any]], classes: Labels) -> None:
    """Check that each class has a drawing.

    Raises:
        ConfigError: A class has none.
    """
    empty = np.setdiff1d(classes, labels)
    if len(empty):
        raise ConfigError(f"each class to learn from needs drawings, and there are none of places {list_places(empty)}")


def list_places(places: Labels) -> str:
    """Return the first few places of the class table, for a message."""
    return ", ".join(map(str, places[:8].tolist())) + ("…" if len(places) > 8 else "")


Matrix: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingSet:
    """Some drawings of seen classes, and the vectors of all L classes.

    Attributes:
        features: (N, F) floats, finite.
        labels: (N,) int64, places in the class table.
        rows: (n,) int64, ascending: the drawings to learn from.
        vectors: (L, S) float32, finite and none of them zero.
        seen: (C,) int64, ascending: the classes to learn from, each of which has drawings among the rows.
        seed: Of all random numbers.
        device: Where networks learn.
    """

    features: Features
    labels: Labels
    rows: Labels
    vectors: npt.NDArray[np.float32]
    seen: Labels
    seed: int
    device: str

    @property
    def width(self) -> int:
        """F, the width of the features."""
        return int(self.features.shape[1])

    @cached_property
    def places(self) -> Labels:
        """(n,) int64, the place of each drawing's class among the seen ones, 0..C-1."""
        return np.searchsorted(self.seen, self.labels[self.rows])

    @cached_property
    def counts(self) -> Matrix:
        """(C,) float64, the drawings of each seen class."""
        return np.bincount(self.places, minlength=len(self.seen)).astype(np.float64)

    @cached_property
    def means(self) -> Matrix:
        """(C, F) float64, the mean feature of each seen class."""
        sums = np.zeros((len(self.seen), self.width))
        for block, places in self.blocks():
            sums += one_hot(places, len(self.seen)).T @ block
        return sums / self.counts[:, None]

    @cached_property
    def centre(self) -> Matrix:
        """(F,) float64, the mean feature of all drawings."""
        return np.asarray(self.counts @ self.means / len(self.rows))

    @cached_property
    def directions(self) -> Matrix:
        """(L, S) float64, vectors minus the mean of the seen classes', whose mean square is made 1.

        Raises:
            ConfigError: The vectors of all seen classes are the same.
        """
        known = self.vectors[self.seen].astype(np.float64)
        spread = root_mean_square(known - known.mean(axis=0))
        if not spread:
            raise ConfigError("the vectors of all seen classes are the same, so nothing can be learned from them")
        return np.asarray((self.vectors - known.mean(axis=0)) / spread)

    def blocks(self) -> Iterator[tuple[Matrix, Labels]]:
        """Yield features in double, (m, F), and the places of their classes, (m,), some rows at a time."""
        step = max(1, CELLS_AT_ONCE // self.width)
        for start in range(0, len(self.rows), step):
            chosen = slice(start, start + step)
            yield self.features[self.rows[chosen]].astype(np.float64), self.places[chosen]

    def batch(self, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw with replacement: (size, F) float32 features and (size,) places, on the set's device."""
        chosen = torch.randint(len(self.rows), (size,), generator=generator).numpy()
        drawn = self.features[self.rows[chosen]].astype(np.float32, copy=False)
        return torch.from_numpy(drawn).to(self.device), torch.from_numpy(self.places[chosen]).to(self.device)


def root_mean_square(rows: npt.NDArray[np.floating[Any]]) -> float:
    """Return the root mean square of an array."""
    return float(np.sqrt(np.square(rows, dtype=np.float64).mean()))


def one_hot(places: Labels, classes: int) -> Any:
    """Return a sparse (m, C) matrix with a one in each row."""
    return sparse.csr_array((np.ones(len(places)), (np.arange(len(places)), places)), shape=(len(places), classes))


def make_training_set(
    features: Features,
    labels: npt.NDArray[np.integer[Any]],
    vectors: npt.NDArray[np.floating[Any]],
    seen: Sequence[int] | Labels,
    seed: int = 0,
    device: str = "cpu",
) -> TrainingSet:
    """Return a training set of all the drawings given.

    Args:
        features: (N, F) floats.
        labels: (N,) integers, places in the class table; all of them seen classes.
        vectors: (L, S) floats, the semantic vectors of seen and unseen classes.
        seen: The classes to learn from.
        seed: From 0.
        device: Of torch.

    Raises:
        ConfigError: A drawing is of an unseen class, a class lacks drawings or a vector, a number is not finite, there
            is no unseen class or fewer than two seen ones, or arrays do not fit one another.
    """
    if seed < 0:
        raise ConfigError(f"seeds are counted from 0, and this one is {seed}")
    if vectors.ndim != 2 or not vectors.size:
        raise ConfigError(f"semantic vectors are (L, S), a row for each class, not {vectors.shape}")
    missing = np.flatnonzero(~(np.isfinite(vectors).all(axis=1) & vectors.any(axis=1)))
    if len(missing):
        raise ConfigError(
            f"{len(missing):,} classes have no vector, or one of zeros, or one with values that are not finite: places "
            f"{list_places(missing)}; leave these classes out, or take vectors that cover them"
        )
    chosen = check_classes(seen, len(vectors), "seen")
    if len(chosen) < 2:
        raise ConfigError(f"zero-shot methods need at least two seen classes, not {len(chosen)}")
    if len(chosen) == len(vectors):
        raise ConfigError(
            f"all {len(vectors):,} classes with a vector are seen ones: there is no unseen class to recognise"
        )
    check_drawings(features, labels)
    unseen = np.setdiff1d(labels, chosen)
    if len(unseen):
        raise ConfigError(
            f"{np.isin(labels, unseen).sum():,} drawings are of unseen classes: places {list_places(unseen)} of the "
            "class table; give a method the drawings of seen classes only"
        )
    check_all_drawn(labels, chosen)
    return TrainingSet(
        features=features,
        labels=labels.astype(np.int64),
        rows=np.arange(len(labels)),
        vectors=vectors.astype(np.float32),
        seen=chosen,
        seed=seed,
        device=device,
    )
