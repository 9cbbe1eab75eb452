"""Bootstrap intervals of a mean over queries: how far it would move with other queries, or with other classes.

Source: Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7, 1979; percentile intervals.
Queries of one class are alike, so other classes move a mean much further than other queries of the same classes do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sketchdata.errors import ConfigError
from sketchdata.tie_groups import Labels, Values

Interval = tuple[float, float]

#: Random numbers at a time.
_CELLS = 1 << 21


@dataclass(frozen=True, kw_only=True)
class Bootstrap:
    """How intervals are found.

    Attributes:
        resamples: How often the sample is drawn again with replacement, 2 or more.
        seed: Of the random numbers.
        level: The share of the resampled means that lies inside, half of the rest being on each side.

    Raises:
        ConfigError: A value is outside its range.
    """

    resamples: int = 1000
    seed: int = 0
    level: float = 0.95

    def __post_init__(self) -> None:
        if self.resamples < 2:
            raise ConfigError(f"a bootstrap needs 2 resamples or more, not {self.resamples}")
        if not 0 < self.level < 1:
            raise ConfigError(f"the level of an interval is between 0 and 1, not {self.level}")

    def of_queries(self, values: Values) -> Interval:
        """Return the interval of the mean of values (Q,) over other queries.

        Raises:
            ConfigError: There are no values.
        """
        return self._interval(np.mean, values)

    def of_classes(self, values: Values, labels: Labels) -> Interval:
        """Return the interval of the mean of values (Q,) of classes (Q,) over other classes, whole classes being drawn.

        Raises:
            ConfigError: There are no values.
        """
        _, places = np.unique(labels, return_inverse=True)
        return self._interval(_mean_of_classes, np.bincount(places, values), np.bincount(places))

    def _interval(self, mean: Callable[..., Any], *samples: npt.NDArray[Any]) -> Interval:
        """Resample units, each of which has a place in every sample."""
        units = len(samples[0])
        if not units:
            raise ConfigError("there are no values to find an interval of the mean of")
        if units == 1:
            return float(mean(*samples, axis=0)), float(mean(*samples, axis=0))
        # It takes most of a second to import.
        from scipy.stats import bootstrap

        low, high = bootstrap(
            samples,
            mean,
            paired=len(samples) > 1,
            vectorized=True,
            method="percentile",
            n_resamples=self.resamples,
            batch=max(1, _CELLS // units),
            confidence_level=self.level,
            rng=np.random.default_rng(self.seed),
        ).confidence_interval
        return float(low), float(high)


def _mean_of_classes(sums: Values, counts: npt.NDArray[np.int64], axis: int) -> Any:
    return sums.sum(axis=axis) / counts.sum(axis=axis)
