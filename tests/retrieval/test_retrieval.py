"""Whole retrievals: codes against the same distances as scores, against plain rankings, in any order and any parts."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from sketchdata.errors import ConfigError
from sketchdata.formats.codes import Codes
from sketchdata.retrieval import scores as retrieval
from sketchdata.retrieval.hamming import distances
from sketchdata.retrieval.scores import Retrieval, inner_products, nearness, score_codes, score_values
from tests.binary_codes import clustered_codes

QUERIES, GALLERY = clustered_codes(60, bits=12, seed=1), clustered_codes(500, bits=12, seed=2)
#: Numbers that need no radius, and the same ones of a retrieval by scores.
SHARED = ("chance", "excluded", "map", "map_at_k", "precision_at_k", "recall_at_k", "hit_at_k", "classes")


def by_scores(queries: Codes, gallery: Codes, **options: Any) -> Retrieval:
    """Measure the same retrieval by negative distances as scores."""
    return score_values(
        lambda rows: -distances(queries.packed[rows], gallery.packed).astype(np.float32),
        queries.labels,
        gallery.labels,
        classes=queries.classes,
        **options,
    )


def numbers(value: Any) -> list[float]:
    """Return all numbers of nested values, in order."""
    if isinstance(value, dict):
        return [number for each in value.values() for number in numbers(each)]
    if isinstance(value, list):
        return [number for each in value for number in numbers(each)]
    return [value]


@pytest.mark.parametrize("k", [1, 40, 1000])
def test_codes_and_their_distances_as_scores_measure_the_same(k: int) -> None:
    codes, scores = (score(QUERIES, GALLERY, k=k).values() for score in (score_codes, by_scores))
    for name in SHARED:
        assert numbers(codes[name]) == pytest.approx(numbers(scores[name]), abs=1e-12), name


def test_values_are_those_of_scikit_learn_where_it_has_them() -> None:
    values = score_codes(QUERIES, GALLERY, k=20, radius=3).values()
    every = distances(QUERIES.packed, GALLERY.packed).astype(int)
    own = QUERIES.labels[:, None] == GALLERY.labels
    expected = [average_precision_score(row, -near) for row, near in zip(own, every, strict=True)]
    assert values["map"]["threshold"] == pytest.approx(np.mean(expected))
    inside = every <= 3
    precision = (inside & own).sum(axis=1) / np.maximum(inside.sum(axis=1), 1)
    assert values["radius"]["3"]["precision"] == pytest.approx(precision.mean())
    assert values["radius"]["3"]["empty"] == pytest.approx((inside.sum(axis=1) == 0).mean())
    assert values["chance"] == pytest.approx(own.mean())


@pytest.mark.slow
def test_the_expected_value_is_the_mean_of_shuffled_rankings() -> None:
    found = score_codes(QUERIES, GALLERY, k=20).values()
    random, every = np.random.default_rng(0), distances(QUERIES.packed, GALLERY.packed)
    own, aps, firsts = QUERIES.labels[:, None] == GALLERY.labels, [], []
    ranks = np.arange(1, len(GALLERY) + 1)
    for _ in range(200):
        order = np.lexsort((random.random(every.shape), every), axis=1)
        relevant = np.take_along_axis(own, order, axis=1)
        aps.append(((relevant.cumsum(axis=1) / ranks) * relevant).sum(axis=1) / own.sum(axis=1))
        firsts.append(relevant[:, :20].mean(axis=1))
    assert found["map"]["expected"] == pytest.approx(np.mean(aps), abs=2e-3)
    assert found["precision_at_k"]["expected"] == pytest.approx(np.mean(firsts), abs=4e-3)
    assert found["map"]["pessimistic"] < np.mean(aps, axis=1).min()
    assert found["map"]["optimistic"] > np.mean(aps, axis=1).max()


def test_values_are_plain_json_with_the_agreed_names() -> None:
    values = json.loads(json.dumps(score_codes(QUERIES, GALLERY).values(), allow_nan=False))
    assert (values["bits"], values["queries"], values["gallery"], values["excluded"], values["k"]) == (
        12,
        60,
        500,
        0,
        200,
    )
    three, two = {"expected", "pessimistic", "optimistic"}, {"pessimistic", "optimistic"}
    variants = {"threshold", "interpolated_pessimistic", "interpolated_optimistic"}
    assert set(values["map"]) == three | variants | {"query_interval", "class_interval"}
    assert {name: set(each) for name, each in values["map_at_k"].items()} == {
        "strict": three,
        "lenient": two,
        "classic": three,
        "interpolated": two,
    }
    assert set(values["precision_at_min_k_r"]) == three
    assert set(values["precision_at_k"]) == set(values["recall_at_k"]) == three
    assert set(values["radius"]["2"]) == {"precision", "recall", "empty"}
    assert set(values["curve"]) == {"distance", "recall", "precision"}
    assert values["classes"].keys() <= set(QUERIES.classes)
    assert sum(each["queries"] for each in values["classes"].values()) == 60
    low, high = values["map"]["query_interval"]
    assert low < values["map"]["expected"] < high


def test_the_curves_end_with_everything_found_and_the_precision_of_chance() -> None:
    for found, last in ((score_codes(QUERIES, GALLERY), 12), (by_scores(QUERIES, GALLERY), 500)):
        values = found.values()
        curve = values["curve"]
        assert (curve["recall"] == np.sort(curve["recall"])).all()
        assert curve["recall"][-1] == pytest.approx(1)
        assert curve["precision"][-1] == pytest.approx(values["chance"])
        assert curve.get("distance", curve.get("rank"))[-1] == last


def test_a_curve_over_ranks_has_the_expected_precision_and_recall_at_each() -> None:
    curve = by_scores(QUERIES, GALLERY).values()["curve"]
    for rank, recall, precision in zip(curve["rank"], curve["recall"], curve["precision"], strict=True):
        found = score_codes(QUERIES, GALLERY, k=rank)
        assert found.mean("recall_at_k", "expected") == pytest.approx(recall)
        assert found.mean("precision_at_k", "expected") == pytest.approx(precision)


def test_points_by_which_no_query_has_any_item_are_left_out_of_the_curve() -> None:
    far = Codes(
        **{**vars(GALLERY), "packed": QUERIES.packed[:1] ^ np.full((500, 1), 255, np.uint8) ^ np.uint8([0, 240])}
    )
    curve = score_codes(QUERIES.take(np.zeros(1, int)), far).values()["curve"]
    assert curve["distance"] == [12]


def test_shuffling_queries_and_gallery_changes_no_number() -> None:
    random = np.random.default_rng(0)
    one = score_codes(QUERIES, GALLERY)
    order = random.permutation(60)
    other = score_codes(QUERIES.take(order), GALLERY.take(random.permutation(500)))
    for path, values in one.measures.items():
        assert values[order].tolist() == other.measures[path].tolist(), path
    classes, others = one.values()["classes"], other.values()["classes"]
    assert {word: each["map"] for word, each in classes.items()} == pytest.approx(
        {word: each["map"] for word, each in others.items()}
    )


def test_threads_chunks_and_repetition_change_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def told(found: Retrieval) -> dict[str, Any]:
        return {**found.values(), "seconds": 0}

    expected = told(score_codes(QUERIES, GALLERY))
    assert told(score_codes(QUERIES, GALLERY, workers=3)) == expected
    whole = told(by_scores(QUERIES, GALLERY, workers=1))
    monkeypatch.setattr(retrieval, "_SCORES", 7 * 500)
    parts = told(by_scores(QUERIES, GALLERY, workers=3))
    assert numbers({**parts, "definition": 0}) == pytest.approx(numbers({**whole, "definition": 0}), abs=1e-12)


def test_scores_are_asked_for_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def scores(rows: slice) -> np.ndarray:
        asked.append((rows.start, rows.stop))
        return np.random.default_rng(rows.start).random((rows.stop - rows.start, 500))

    monkeypatch.setattr(retrieval, "_SCORES", 25 * 500)
    found = score_values(scores, QUERIES.labels, GALLERY.labels, classes=QUERIES.classes)
    assert asked == [(0, 25), (25, 50), (50, 60)]
    assert found.values()["bits"] is None
    assert "radius" not in found.values()


def test_queries_without_relevant_items_are_left_out_and_counted() -> None:
    gallery = GALLERY.take(np.flatnonzero(GALLERY.labels != 2))
    found = score_codes(QUERIES, gallery)
    known = np.flatnonzero(QUERIES.labels != 2)
    values = found.values()
    assert values["excluded"] == found.excluded == 60 - len(known) > 0
    assert values["queries"] == 60
    alone = score_codes(QUERIES.take(known), gallery).values()
    for name in ("map", "map_at_k", "precision_at_k", "radius", "curve", "classes", "chance"):
        assert numbers(values[name]) == pytest.approx(numbers(alone[name])), name
    assert QUERIES.classes[2] not in values["classes"]
    assert f"{60 - len(known)} have none" in found.definition


def test_the_definition_names_sizes_ties_divisors_and_intervals() -> None:
    text = score_codes(QUERIES, GALLERY, k=30, radius=1, resamples=50, seed=7).definition
    for part in ("60 queries", "500 items", "12 bits", "McSherry", "min(R, 30)", "radius 1", "50 bootstrap", "seed 7"):
        assert part in text
    assert "radius" not in by_scores(QUERIES, GALLERY).definition


def test_features_are_ranked_by_inner_product_or_by_distance() -> None:
    random = np.random.default_rng(0)
    queries, gallery = random.normal(size=(9, 5)).astype(np.float32), random.normal(size=(30, 5)).astype(np.float32)
    squares = ((queries[:, None] - gallery) ** 2).sum(axis=2)
    rows = slice(2, 9)
    np.testing.assert_array_equal(nearness(queries, gallery)(rows).argsort(axis=1), (-squares[rows]).argsort(axis=1))
    np.testing.assert_allclose(inner_products(queries, gallery)(rows), queries[rows] @ gallery.T)


NOTHING = np.empty(0, int)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: score_codes(QUERIES, clustered_codes(9, bits=13)), "codes of 12 bits"),
        (lambda: score_codes(QUERIES, clustered_codes(9, bits=12, classes=3)), "classes"),
        (lambda: score_codes(QUERIES.take(NOTHING), GALLERY), "not 0 queries and 500 items"),
        (lambda: score_codes(QUERIES, GALLERY.take(NOTHING)), "not 60 queries and 0 items"),
        (lambda: score_codes(QUERIES, GALLERY, k=0), "k is 1 or more"),
        (lambda: score_codes(QUERIES, GALLERY, radius=-1), "a radius 0 or more"),
        (lambda: score_codes(QUERIES, GALLERY, resamples=0), "2 resamples or more"),
        (lambda: score_codes(QUERIES, GALLERY, workers=-2), "workers"),
        (
            lambda: score_codes(
                QUERIES.take(np.flatnonzero(QUERIES.labels == 1)), GALLERY.take(np.flatnonzero(GALLERY.labels == 2))
            ),
            "no query has an item of its class",
        ),
    ],
)
def test_retrievals_that_cannot_be_measured_are_refused(ask: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ask()
