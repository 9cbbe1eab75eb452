"""Measures of zero-shot recognition against counting one by one, and γ against trying every value."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sketchdata.errors import ConfigError
from sketchdata.zero_shot.measures import (
    accuracy_by_class,
    chance_of_hit,
    confusion_pairs,
    generalised_zero_shot,
    hubness,
    measure_zero_shot,
    occurrences,
)
from sketchdata.zero_shot.method import choose_gamma

RANDOM = np.random.default_rng(0)
CLASSES, UNSEEN = 12, [1, 4, 7, 8, 11]
LABELS = RANDOM.choice(CLASSES, 300, p=RANDOM.dirichlet(np.ones(CLASSES)))
SCORES = (RANDOM.normal(size=(300, CLASSES)) + 1.5 * np.eye(CLASSES)[LABELS]).astype(np.float32)
SCORES[:, [c for c in range(CLASSES) if c not in UNSEEN]] += 1


def share_of_hits(k: int, candidates: list[int], gamma: float = 0) -> float:
    hits = []
    for scores, label in zip(SCORES.tolist(), LABELS.tolist(), strict=True):
        if label in UNSEEN:
            lowered = {c: scores[c] - (gamma if c not in UNSEEN else 0) for c in candidates}
            hits.append(label in sorted(candidates, key=lambda c: -lowered[c])[:k])
    return statistics.fmean(hits)


def test_hits_among_unseen_and_among_all_classes_are_those_of_counting() -> None:
    found = measure_zero_shot(SCORES, LABELS, UNSEEN, gamma=1.25, ranks=(1, 3, 5, 20))
    every = list(range(CLASSES))
    for k in (1, 3):
        assert found["zsl"][f"hit@{k}"] == pytest.approx(share_of_hits(k, UNSEEN))
        assert found["gzsl"][f"hit@{k}"] == pytest.approx(share_of_hits(k, every))
        assert found["calibrated"][f"hit@{k}"] == pytest.approx(share_of_hits(k, every, gamma=1.25))
        assert found["zsl"]["chance"][f"hit@{k}"] == pytest.approx(k / 5)
        assert found["gzsl"]["chance"][f"hit@{k}"] == pytest.approx(k / 12)
    # With five candidates, five hits are no merit.
    assert {"hit@5", "hit@20"}.isdisjoint(found["zsl"])
    assert "hit@5" in found["gzsl"]
    assert (found["zsl"]["candidates"], found["gzsl"]["candidates"]) == (5, 12)
    assert found["drawings"] == {
        "unseen": sum(label in UNSEEN for label in LABELS),
        "seen": sum(label not in UNSEEN for label in LABELS),
    }


@pytest.mark.parametrize(("name", "gamma"), [("harmonic", 0), ("harmonic_calibrated", 1.25)])
def test_harmonic_accuracies_are_those_of_counting(name: str, gamma: float) -> None:
    found = measure_zero_shot(SCORES, LABELS, UNSEEN, gamma=1.25)[name]
    right: dict[int, list[bool]] = defaultdict(list)
    for scores, label in zip(SCORES.tolist(), LABELS.tolist(), strict=True):
        lowered = [score - (gamma if c not in UNSEEN else 0) for c, score in enumerate(scores)]
        right[label].append(max(range(CLASSES), key=lambda c: lowered[c]) == label)
    parts = [
        statistics.fmean(statistics.fmean(answers) for label, answers in right.items() if (label in UNSEEN) == unseen)
        for unseen in (True, False)
    ]
    assert [found["unseen"], found["seen"]] == pytest.approx(parts)
    assert found["harmonic"] == pytest.approx(statistics.harmonic_mean(parts))


def test_classes_and_confusions_are_those_of_counting() -> None:
    found = measure_zero_shot(SCORES, LABELS, UNSEEN)
    pairs, sizes = Counter(), Counter()
    for scores, label in zip(SCORES.tolist(), LABELS.tolist(), strict=True):
        if label in UNSEEN:
            pairs[label, max(UNSEEN, key=lambda c: scores[c])] += 1
            sizes[label] += 1
    assert found["by_class"] == pytest.approx({label: pairs[label, label] / size for label, size in sizes.items()})
    expected = {pair: count for pair, count in pairs.items() if pair[0] != pair[1]}
    assert {(c["label"], c["predicted"]): c["count"] for c in found["confusions"]} == expected
    shares = [c["share"] for c in found["confusions"]]
    assert shares == sorted(shares, reverse=True)
    assert shares == pytest.approx([c["count"] / sizes[c["label"]] for c in found["confusions"]])


def test_nothing_is_confused_where_all_is_right() -> None:
    labels = np.array([2, 0, 2])
    assert confusion_pairs(labels, labels) == []
    assert accuracy_by_class(labels, labels) == {0: 1.0, 2: 1.0}
    assert len(confusion_pairs(np.array([1, 2, 3]), np.array([0, 0, 0]), most=2)) == 2


def test_occurrences_are_counted_and_their_skewness_is_that_of_scipy() -> None:
    for k in (1, 4):
        counts = Counter()
        for scores in SCORES.tolist():
            counts.update(sorted(range(CLASSES), key=lambda c: -scores[c])[:k])
        assert occurrences(SCORES, k).tolist() == [counts[c] for c in range(CLASSES)]
        assert hubness(SCORES, k) == pytest.approx(stats.skew([counts[c] for c in range(CLASSES)]))


def test_a_hub_is_seen_and_its_absence_too() -> None:
    near = np.zeros((100, 10))
    near[:, 3] = 1
    # One class has all and nine have none: the skewness of ten such numbers is 8 / 3.
    assert hubness(near) == pytest.approx(8 / 3)
    assert hubness(np.tile(np.eye(10), (5, 1))) == 0


def test_chance_is_the_share_of_candidates_that_are_looked_at() -> None:
    assert [chance_of_hit(k, 145) for k in (1, 20, 145, 200)] == pytest.approx([1 / 145, 20 / 145, 1, 1])


@pytest.mark.parametrize("k", [0, 13])
def test_more_classes_than_there_are_cannot_be_looked_at(k: int) -> None:
    with pytest.raises(ConfigError, match=f"the {k} most likely"):
        occurrences(SCORES, k)


def test_measures_without_drawings_of_unseen_classes_are_refused_and_without_seen_ones_shortened() -> None:
    seen = ~np.isin(LABELS, UNSEEN)
    with pytest.raises(ConfigError, match="there are none"):
        measure_zero_shot(SCORES[seen], LABELS[seen], UNSEEN)
    found = measure_zero_shot(SCORES[~seen], LABELS[~seen], UNSEEN)
    assert {"zsl", "gzsl", "calibrated"} <= set(found)
    assert {"harmonic", "harmonic_calibrated"}.isdisjoint(found)


drawings = st.lists(
    st.tuples(st.integers(0, 4), st.lists(st.integers(-6, 6), min_size=5, max_size=5)), min_size=2, max_size=15
)


@settings(max_examples=40)
@given(drawings.filter(lambda each: {label < 2 for label, _ in each} == {True, False}))
def test_no_gamma_has_a_higher_harmonic_mean_than_the_chosen_one(each: list[tuple[int, list[int]]]) -> None:
    labels, scores = np.array([label for label, _ in each]), np.array([row for _, row in each], np.float64)
    new = np.arange(5) < 2

    def harmonic(gamma: float) -> float:
        return generalised_zero_shot((scores - gamma * ~new).argmax(axis=1), labels, {0, 1})["harmonic"]

    # Differences of scores are whole numbers, so all that γ can bring about happens between them.
    best = max(harmonic(gamma) for gamma in np.arange(-14.5, 15))
    found = choose_gamma(scores, labels, new)
    assert harmonic(found) == pytest.approx(best) or (best == 0 and found == 0)


def test_drawings_that_change_sides_together_are_not_divided() -> None:
    # Both drawings prefer an old class by 1: whatever γ is, one of the two is wrong.
    scores = np.array([[1.0, 0.0, 2.0, 0.0], [1.0, 0.0, 2.0, 0.0]])
    assert choose_gamma(scores, np.array([0, 2]), np.array([True, True, False, False])) == 0
