"""Tallies: how many drawings of each class have each value of a whole-numbered measure, such as points or ink pixels.

They are small however many drawings there are, they add up over shards in any order, and medians and percentiles that
come from them are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_VALUE_BITS = 47


@dataclass(frozen=True, kw_only=True)
class Tally:
    """M different pairs of a label and a value, rising, and how many drawings have them.

    Attributes:
        label: (M,) uint16.
        value: (M,) int64, 0 ≤ value < 2**47.
        drawings: (M,) int64, 1 and more.
    """

    label: npt.NDArray[np.uint16]
    value: npt.NDArray[np.int64]
    drawings: npt.NDArray[np.int64]

    def of(self, label: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return a class's values, rising, and how many drawings have each."""
        first, last = np.searchsorted(self.label, [label, label + 1])
        return self.value[first:last], self.drawings[first:last]


def tally(label: npt.NDArray[np.uint16], value: npt.NDArray[np.integer]) -> Tally:
    """Count drawings by label and value.

    Args:
        label: (N,) the drawings' labels.
        value: (N,) a measure of each drawing, 0 ≤ value < 2**47.
    """
    keys, counts = np.unique(_keys(label, value), return_counts=True)
    return _tally(keys, counts.astype(np.int64))


def add(tallies: Sequence[Tally]) -> Tally:
    """Return the tally of all drawings of some tallies."""
    keys = np.concatenate([np.empty(0, np.int64), *(_keys(t.label, t.value) for t in tallies)])
    drawings = np.concatenate([np.empty(0, np.int64), *(t.drawings for t in tallies)])
    distinct, index = np.unique(keys, return_inverse=True)
    counts = np.zeros(len(distinct), np.int64)
    np.add.at(counts, index, drawings)
    return _tally(distinct, counts)


def mean(value: npt.NDArray[np.int64], drawings: npt.NDArray[np.int64]) -> float:
    """Return the mean of a measure over at least one drawing."""
    return int(value @ drawings) / int(drawings.sum())


def median(value: npt.NDArray[np.int64], drawings: npt.NDArray[np.int64]) -> float:
    """Return the median of a measure over at least one drawing, of rising values; the mean of the middle two."""
    up_to = np.cumsum(drawings)
    middle = [(up_to[-1] - 1) // 2, up_to[-1] // 2]
    lower, upper = (int(each) for each in value[np.searchsorted(up_to, middle, side="right")])
    return (lower + upper) / 2


def _keys(label: npt.NDArray[np.uint16], value: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    return (label.astype(np.int64) << _VALUE_BITS) | value.astype(np.int64)


def _tally(keys: npt.NDArray[np.int64], drawings: npt.NDArray[np.int64]) -> Tally:
    return Tally(
        label=(keys >> _VALUE_BITS).astype(np.uint16), value=keys & ((1 << _VALUE_BITS) - 1), drawings=drawings
    )
