"""Measures of recognition: top-k accuracy against every order of ties, U, S and H against counting one by one."""

from __future__ import annotations

import itertools
import statistics
from collections import defaultdict
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import top_k_accuracy_score

from sketchdata.errors import ConfigError
from sketchdata.zero_shot.measures import generalised_zero_shot, top_k_accuracy


@pytest.mark.slow
@given(st.lists(st.integers(0, 3), min_size=5, max_size=5), st.integers(0, 4), st.integers(1, 6))
def test_top_k_accuracy_is_that_of_every_order_of_equal_scores(scores: list[int], label: int, k: int) -> None:
    every = []
    for order in itertools.permutations(range(5)):
        ranked = sorted(order, key=lambda c: -scores[c])
        every.append(label in ranked[:k])
    found = {
        ties: top_k_accuracy(np.array([scores], np.float32), np.array([label]), k, ties)
        for ties in ("expected", "optimistic", "pessimistic")
    }
    assert found["expected"] == pytest.approx(statistics.fmean(every))
    assert (found["optimistic"], found["pessimistic"]) == (max(every), min(every))


def test_top_k_accuracy_without_ties_is_that_of_scikit_learn() -> None:
    random = np.random.default_rng(0)
    scores, labels = random.random((300, 9)), random.integers(0, 9, 300)
    for k in (1, 2, 5):
        expected = top_k_accuracy_score(labels, scores, k=k, labels=np.arange(9))
        assert top_k_accuracy(scores, labels, k) == pytest.approx(expected)


pairs = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=40)


@given(pairs.filter(lambda each: {label < 2 for label, _ in each} == {True, False}))
def test_unseen_seen_and_harmonic_accuracy_are_those_of_counting(drawings: list[tuple[int, int]]) -> None:
    labels, predicted = np.array(drawings).T
    right = defaultdict(list)
    for label, answer in drawings:
        right[label].append(label == answer)
    parts = [[answers for label, answers in right.items() if (label < 2) == unseen] for unseen in (True, False)]
    by_class = [statistics.fmean(map(statistics.fmean, part)) for part in parts]
    found = generalised_zero_shot(predicted, labels, {0, 1})
    assert (found["unseen"], found["seen"]) == pytest.approx(by_class)
    assert found["harmonic"] == pytest.approx(statistics.harmonic_mean(by_class))


def test_classes_count_alike_however_many_drawings_they_have() -> None:
    labels, predicted = np.array([0, 0, 0, 1, 2]), np.array([0, 0, 0, 2, 2])
    found = generalised_zero_shot(predicted, labels, [0, 1])
    assert found == pytest.approx({"unseen": 0.5, "seen": 1.0, "harmonic": 2 / 3})
    assert generalised_zero_shot(1 - labels, labels, [1])["harmonic"] == 0.0


ONE = np.array([0])


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: generalised_zero_shot(ONE, ONE, {0}), "none of seen ones"),
        (lambda: generalised_zero_shot(ONE, ONE, set()), "none of unseen ones"),
        (lambda: generalised_zero_shot(ONE, np.array([0, 1]), {0}), "must be of the same drawings"),
        (lambda: top_k_accuracy(np.ones((1, 2)), ONE, 0), "k of 1 or more"),
        (lambda: top_k_accuracy(np.ones((2, 2)), ONE), "a row of scores per drawing"),
        (lambda: top_k_accuracy(np.ones((0, 2)), ONE[:0]), "a row of scores per drawing"),
        (lambda: top_k_accuracy(np.full((1, 2), np.nan), ONE), "nan"),
    ],
)
def test_what_cannot_be_measured_is_refused(ask: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ask()
