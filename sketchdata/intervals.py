"""Bootstrap intervals of a mean over queries: how far it would move with other queries, or with other classes.

Source: Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7, 1979; percentile intervals.
Queries of one class are alike, so other classes move a mean much further than other queries of the same classes do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sketchdata.errors import ConfigError
from sketchdata.tie_groups import Labels, Values

Interval = tuple[float, float]

#: Random numbers at a time.
_CELLS = 1 << 21


@dataclass(frozen=True, kw_only=True)
class Bootstrap:
    """How intervals are found.

    Attributes:
        resamples: How often the sample is drawn again with replacement, 1 or more.
        seed: Of the random numbers.
        level: The share of the resampled means that lies inside, half of the rest being on each side.

    Raises:
        ConfigError: A value is outside its range.
    """

    resamples: int = 1000
    seed: int = 0
    level: float = 0.95

    def __post_init__(self) -> None:
        if self.resamples < 1:
            raise ConfigError(f"a bootstrap needs 1 resample or more, not {self.resamples}")
        if not 0 < self.level < 1:
            raise ConfigError(f"the level of an interval is between 0 and 1, not {self.level}")

    def of_queries(self, values: Values) -> Interval:
        """Return the interval of the mean of values (Q,) over other queries.

        Raises:
            ConfigError: There are no values.
        """
        return self._interval(values, np.ones(len(values)))

    def of_classes(self, values: Values, labels: Labels) -> Interval:
        """Return the interval of the mean of values (Q,) of classes (Q,) over other classes, whole classes being drawn.

        Raises:
            ConfigError: There are no values.
        """
        _, places = np.unique(labels, return_inverse=True)
        return self._interval(np.bincount(places, values).astype(np.float64), np.bincount(places).astype(np.float64))

    def _interval(self, sums: Values, counts: Values) -> Interval:
        """Resample units of which each has a sum and a count; a mean is all sums over all counts."""
        if not len(sums):
            raise ConfigError("there are no values to find an interval of the mean of")
        means = np.empty(self.resamples)
        random = np.random.default_rng(self.seed)
        rows = max(1, _CELLS // len(sums))
        for start in range(0, self.resamples, rows):
            chosen = random.integers(0, len(sums), (min(rows, self.resamples - start), len(sums)))
            means[start : start + len(chosen)] = sums[chosen].sum(axis=1) / counts[chosen].sum(axis=1)
        tail = (1 - self.level) / 2
        low, high = np.quantile(means, [tail, 1 - tail]).tolist()
        return low, high
