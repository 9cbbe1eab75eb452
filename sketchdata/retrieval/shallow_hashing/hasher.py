"""What all shallow hashing methods share: a checked sample to learn from, and the hasher that is learnt.

A method is a function from a sample to a map, (M, F) features → (M, D) scores; bit d is set where score d is not
negative. Features stay float32 as they came; sums over many rows are taken in double, some thousand rows at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from sketchdata.errors import ConfigError, SketchDataError

Features: TypeAlias = npt.NDArray[np.float32]
Matrix: TypeAlias = npt.NDArray[np.float64]
#: (M, F) features, in double → (M, D) scores.
Map: TypeAlias = Callable[[Matrix], Matrix]

#: Rows that a method learns from at most. The published numbers were learnt on all rows in 100 to 200 GB of memory.
MOST_ROWS = 100_000
#: Rows in double at a time: a few megabytes of features.
_ROWS_AT_ONCE = 4096


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """What a method learns from.

    Attributes:
        features: (N, F) float32, finite, not all rows equal.
        labels: (N,) int64, 0..C-1, each of which occurs; all 0 for a method that takes no labels.
        bits: D, at most N.
        random: Where the method takes its chances from.
    """

    features: Features
    labels: npt.NDArray[np.int64]
    bits: int
    random: np.random.Generator

    def __len__(self) -> int:
        return len(self.features)


@dataclass(frozen=True, kw_only=True, eq=False)
class Hasher:
    """A fitted method.

    Attributes:
        bits: D.
        width: F, the numbers in a feature.
        fitted_on: How many rows it was learnt from.
        scores: The map that was learnt.
    """

    bits: int
    width: int
    fitted_on: int
    scores: Map

    def encode(self, features: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.bool_]:
        """Return the codes of features: (M, F) → (M, D) bool, set where the score is not negative.

        Raises:
            ConfigError: The features have another width.
            SketchDataError: One of them is not a finite number.
        """
        if features.ndim != 2 or features.shape[1] != self.width:
            raise ConfigError(f"this hasher was fitted to (N, {self.width}) features, and is given {features.shape}")
        codes = np.empty((len(features), self.bits), np.bool_)
        start = 0
        for (block,) in blocks(features):
            _check_finite(block, start)
            codes[start : start + len(block)] = self.scores(block) >= 0
            start += len(block)
        return codes


@dataclass(frozen=True, kw_only=True)
class Method:
    """An entry of the table of methods.

    Attributes:
        learn: Makes a map of a sample.
        supervised: Whether it learns from labels.
        source: The paper.
    """

    learn: Callable[[Sample], Map]
    supervised: bool
    source: str

    def fit(
        self,
        features: npt.NDArray[np.floating[Any]],
        labels: npt.NDArray[np.integer[Any]] | None,
        bits: int,
        seed: int,
        *,
        most: int = MOST_ROWS,
    ) -> Hasher:
        """Learn a hasher; the same seed gives the same one.

        Args:
            features: (N, F), taken as float32.
            labels: (N,) integers of any values; only supervised methods look at them.
            bits: D.
            seed: Chooses the rows, where there are more than `most`, and what the method leaves to chance; from 0.
            most: Rows to learn from at most.

        Raises:
            ConfigError: The arrays do not fit one another, or do not suffice for so many bits.
            SketchDataError: A feature is not a finite number, or all rows are equal.
        """
        sample = _draw_sample(
            features, labels if self.supervised else np.zeros(len(features), np.int64), bits, seed, most
        )
        if self.supervised and not sample.labels.any():
            raise ConfigError("a supervised method learns what tells classes apart, and there is one class only")
        return Hasher(bits=bits, width=sample.features.shape[1], fitted_on=len(sample), scores=self.learn(sample))


def _draw_sample(
    features: npt.NDArray[np.floating[Any]],
    labels: npt.NDArray[np.integer[Any]] | None,
    bits: int,
    seed: int,
    most: int,
) -> Sample:
    if labels is None:
        raise ConfigError("a supervised method needs a label for each feature, and has none")
    if features.ndim != 2 or labels.shape != features.shape[:1]:
        raise ConfigError(f"(N, F) features with (N,) labels are needed, not {features.shape} with {labels.shape}")
    if bits < 1 or seed < 0:
        raise ConfigError(f"bits are counted from 1 and seeds from 0: not {bits} bits with seed {seed}")
    random = np.random.default_rng(seed)
    if len(features) > most:
        rows = np.sort(random.choice(len(features), most, replace=False))
        features, labels = features[rows], labels[rows]
    chosen = np.ascontiguousarray(features, np.float32)
    if len(chosen) < max(bits, 2):
        raise ConfigError(
            f"{bits} bits are to be learnt from at least {max(bits, 2)} rows, and there are {len(chosen)}"
        )
    _check_finite(chosen, 0)
    if not np.ptp(chosen, axis=0).any():
        raise SketchDataError(f"all {len(chosen):,} features are equal: there is nothing to tell them apart by")
    return Sample(features=chosen, labels=np.unique(labels, return_inverse=True)[1], bits=bits, random=random)


def _check_finite(rows: npt.NDArray[np.floating[Any]], first: int) -> None:
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        row = first + int(np.argmin(finite))
        raise SketchDataError(f"features should be finite numbers, and row {row:,} (from 0) has others")


def blocks(*arrays: npt.NDArray[Any]) -> Iterator[tuple[Matrix, ...]]:
    """Yield the rows of arrays of equal length in double, some thousand rows at a time."""
    for start in range(0, len(arrays[0]), _ROWS_AT_ONCE):
        yield tuple(array[start : start + _ROWS_AT_ONCE].astype(np.float64) for array in arrays)


def mapped(function: Map, rows: npt.NDArray[Any], kind: npt.DTypeLike = np.float64) -> npt.NDArray[Any]:
    """Return `function` of the rows, of which there is at least one: (N, …) → (N, …) of a kind of float."""
    return np.concatenate([function(block).astype(kind, copy=False) for (block,) in blocks(rows)])
