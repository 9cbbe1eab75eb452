"""Statistics of a data set's drawings per class: strokes, points, countries, share of recognized drawings.

They are computed from tallies: the number of drawings per class and value of an integer measure, such as points or ink
pixels. A tally is small for any number of drawings, can be summed over shards in any order, and gives exact medians and
percentiles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sketchdata.drawings.drawing import DrawingBatch

#: The tallied measures; a country is its two letters read as a number, or 0.
MEASURES = ("strokes", "points", "country", "recognized")

_VALUE_BITS = 47


@dataclass(frozen=True, kw_only=True)
class ValueTally:
    """M distinct pairs of a label and a value, ascending, and the number of drawings of each pair.

    Attributes:
        label: (M,) uint16.
        value: (M,) int64, 0 ≤ value < 2**47.
        drawings: (M,) int64, 1 and more.
    """

    label: npt.NDArray[np.uint16]
    value: npt.NDArray[np.int64]
    drawings: npt.NDArray[np.int64]

    def of(self, label: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the values of a class, ascending, and the number of drawings with each."""
        first, last = np.searchsorted(self.label, [label, label + 1])
        return self.value[first:last], self.drawings[first:last]


def tally(
    label: npt.NDArray[np.uint16], value: npt.NDArray[np.integer], drawings: npt.NDArray[np.int64] | None = None
) -> ValueTally:
    """Count drawings by label and value.

    Args:
        label: (N,) labels.
        value: (N,) values of a measure, 0 ≤ value < 2**47.
        drawings: (N,) the number of drawings for each pair; 1 by default.
    """
    keys, index = np.unique((label.astype(np.int64) << _VALUE_BITS) | value.astype(np.int64), return_inverse=True)
    counts = np.zeros(len(keys), np.int64)
    np.add.at(counts, index, 1 if drawings is None else drawings)
    values = keys & ((1 << _VALUE_BITS) - 1)
    return ValueTally(label=(keys >> _VALUE_BITS).astype(np.uint16), value=values, drawings=counts)


def add(tallies: Sequence[ValueTally]) -> ValueTally:
    """Return the sum of tallies."""
    return tally(
        np.concatenate([np.empty(0, np.uint16), *(each.label for each in tallies)]),
        np.concatenate([np.empty(0, np.int64), *(each.value for each in tallies)]),
        np.concatenate([np.empty(0, np.int64), *(each.drawings for each in tallies)]),
    )


def mean(value: npt.NDArray[np.int64], drawings: npt.NDArray[np.int64]) -> float:
    """Return the mean of a measure over at least one drawing."""
    return int(value @ drawings) / int(drawings.sum())


def median(value: npt.NDArray[np.int64], drawings: npt.NDArray[np.int64]) -> float:
    """Return the median of a measure over at least one drawing, given ascending values."""
    up_to = np.cumsum(drawings)
    middle = [(up_to[-1] - 1) // 2, up_to[-1] // 2]
    lower, upper = (int(each) for each in value[np.searchsorted(up_to, middle, side="right")])
    return (lower + upper) / 2


@dataclass(frozen=True, kw_only=True)
class ClassStatistics:
    """Statistics of a class's drawings in some splits; without drawings, values are None.

    Attributes:
        drawings: The number of drawings.
        recognized: The share of drawings that the game recognized.
        countries: The number of distinct countries.
        top_country: The most frequent country; of several, the alphabetically first.
        top_country_share: Its share of the drawings.
        no_country: The number of drawings without a country.
        strokes_mean: Mean number of strokes per drawing; the other fields alike.
    """

    drawings: int
    recognized: float | None
    countries: int
    top_country: str | None
    top_country_share: float | None
    no_country: int
    strokes_mean: float | None
    strokes_median: float | None
    strokes_max: int | None
    points_mean: float | None
    points_median: float | None
    points_max: int | None


def measure(batch: DrawingBatch) -> dict[str, ValueTally]:
    """Tally a batch: {measure: tally}."""
    countries = np.ascontiguousarray(batch.countrycode.astype("S2")).view(np.dtype(">u2"))
    values: dict[str, npt.NDArray[np.integer]] = {
        "strokes": np.diff(batch.strokes),
        "points": np.diff(batch.points[batch.strokes]),
        "country": countries,
        "recognized": batch.recognized.astype(np.uint8),
    }
    return {name: tally(batch.label, values[name]) for name in MEASURES}


def describe(tallies: Mapping[str, ValueTally], label: int | None = None) -> ClassStatistics:
    """Return the statistics of one class, or of all classes together, from {measure: tally}."""
    values = {name: _values(tallies[name], label) for name in MEASURES}
    value, counts = values["country"]
    known, (no_country, drawings) = value > 0, (int(counts[value == 0].sum()), int(counts.sum()))
    top = int(counts[known].argmax()) if known.any() else None
    recognized = mean(*values["recognized"]) if drawings else None
    strokes, points = _of_values(*values["strokes"]), _of_values(*values["points"])
    return ClassStatistics(
        drawings=drawings,
        recognized=recognized,
        countries=int(known.sum()),
        top_country=None if top is None else int(value[known][top]).to_bytes(2, "big").decode("ascii"),
        top_country_share=None if top is None else int(counts[known][top]) / drawings,
        no_country=no_country,
        strokes_mean=strokes[0],
        strokes_median=strokes[1],
        strokes_max=strokes[2],
        points_mean=points[0],
        points_median=points[1],
        points_max=points[2],
    )


def _values(counted: ValueTally, label: int | None) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    if label is not None:
        return counted.of(label)
    every = tally(np.zeros_like(counted.label), counted.value, counted.drawings)
    return every.value, every.drawings


def _of_values(
    value: npt.NDArray[np.int64], drawings: npt.NDArray[np.int64]
) -> tuple[float, float, int] | tuple[None, None, None]:
    if not len(value):
        return None, None, None
    return mean(value, drawings), median(value, drawings), int(value[-1])
