"""Bootstrap intervals: they cover the true mean about as often as they say, and whole classes count as one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from sketchdata.errors import ConfigError
from sketchdata.retrieval.metrics import Bootstrap


def test_intervals_over_queries_cover_the_true_mean_about_as_often_as_they_say() -> None:
    random = np.random.default_rng(11)
    covered = 0
    for seed in range(400):
        low, high = Bootstrap(resamples=300, seed=seed, level=0.9).of_queries(random.beta(0.5, 1.5, 150))
        covered += low <= 0.25 <= high
    # 0.9 of 400 give or take three standard deviations, and the percentile interval is known to be a little short.
    assert 335 <= covered <= 380


@pytest.mark.slow
def test_intervals_over_classes_cover_the_true_mean_where_those_over_queries_do_not() -> None:
    random = np.random.default_rng(12)
    covered = {"queries": 0, "classes": 0}
    labels = np.repeat(np.arange(60), 20)
    for seed in range(200):
        values = random.normal(0.5, 0.1, 60)[labels] + random.normal(0, 0.05, len(labels))
        bootstrap = Bootstrap(resamples=200, seed=seed)
        for name, (low, high) in {
            "queries": bootstrap.of_queries(values),
            "classes": bootstrap.of_classes(values, labels),
        }.items():
            covered[name] += low <= 0.5 <= high
    assert covered["classes"] >= 178
    assert covered["queries"] <= 120


def test_an_interval_is_about_as_wide_as_theory_says_and_the_same_every_time() -> None:
    values = np.random.default_rng(1).normal(3, 2, 5000)
    low, high = Bootstrap(seed=5).of_queries(values)
    assert high - low == pytest.approx(2 * 1.96 * 2 / 5000**0.5, rel=0.1)
    assert low < values.mean() < high
    assert Bootstrap(seed=5).of_queries(values) == (low, high) != Bootstrap(seed=6).of_queries(values)


def test_classes_that_each_have_one_query_are_queries() -> None:
    values = np.random.default_rng(1).random(50)
    assert Bootstrap().of_classes(values, np.arange(50)) == pytest.approx(Bootstrap().of_queries(values))


def test_many_values_are_drawn_in_parts() -> None:
    values = np.ones(300_000)
    assert Bootstrap(resamples=20).of_queries(values) == (1.0, 1.0)


def test_a_single_class_has_an_interval_of_its_mean() -> None:
    assert Bootstrap().of_classes(np.array([0.25, 0.5]), np.array([7, 7])) == (0.375, 0.375)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: Bootstrap(resamples=1), "2 resamples or more, not 1"),
        (lambda: Bootstrap(level=1.0), "between 0 and 1, not 1.0"),
        (lambda: Bootstrap().of_queries(np.empty(0)), "at least one value"),
    ],
)
def test_intervals_that_cannot_be_found_are_refused(ask: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ask()
