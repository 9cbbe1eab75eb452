"""Searches of one domain by another: every measure against loops over full rankings, the generalised forms, faults."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sketchdata.cross_domain.dataset import DRAWINGS, PHOTOS
from sketchdata.cross_domain.evaluation import (
    GENERALISED,
    NAMED_MEASURES,
    Compare,
    EmbeddedPictures,
    joined,
    search_codes,
    search_generalised,
    search_vectors,
)
from sketchdata.errors import ConfigError, SketchDataError

SEEN, UNSEEN = (
    ("ant", "bee", "cat", "dog", "eel", "fox", "gnu", "hen", "ibis", "jay"),
    ("pear", "saw", "tree", "window"),
)


def embedded(
    domain: str, classes: tuple[str, ...], each: int, *, width: int = 8, seed: int = 0, ties: bool = False
) -> EmbeddedPictures:
    """Return pictures of which those of a class are near one another, in no order; with `ties`, on a coarse grid."""
    random = np.random.default_rng([seed, len(domain), each])
    centres = np.random.default_rng(len(classes)).normal(size=(len(classes), width))
    labels = random.permutation(np.repeat(np.arange(len(classes)), each))
    vectors = centres[labels] + random.normal(size=(len(labels), width))
    vectors = np.round(vectors) if ties else vectors
    return EmbeddedPictures(domain=domain, vectors=vectors.astype(np.float32), labels=labels, classes=classes)


def orders_of(scores: np.ndarray, own: np.ndarray) -> list[list[bool]]:
    """Return the rankings of a query with ties at random: many orders, each as probable."""
    random = np.random.default_rng(0)
    return [list(own[np.lexsort((random.random(len(own)), -scores))]) for _ in range(400)]


def average_precision(ranking: list[bool], among: int | None = None, over: str = "relevant") -> float:
    """Return AP by its definition, over all ranks or the first `among`."""
    cut = ranking if among is None else ranking[:among]
    hits = [sum(cut[: rank + 1]) / (rank + 1) for rank, relevant in enumerate(cut) if relevant]
    below = {"relevant": sum(ranking), "strict": min(sum(ranking), len(cut)), "lenient": max(sum(cut), 1)}[over]
    return sum(hits) / below


@pytest.mark.parametrize("compare", ["distance", "product"])
def test_measures_without_ties_are_those_of_full_rankings(compare: Compare) -> None:
    queries, gallery = embedded(DRAWINGS, UNSEEN, 7), embedded(PHOTOS, UNSEEN, 9)
    found = search_vectors(queries, gallery, compare=compare, k=20, resamples=2)
    values, expected = found.values(), list[dict[str, float]]()
    nearest = np.zeros((4, 4))
    for vector, label in zip(queries.vectors.astype(np.float64), queries.labels, strict=True):
        items = gallery.vectors.astype(np.float64)
        scores = items @ vector if compare == "product" else -np.square(items - vector).sum(axis=1)
        order = np.argsort(-scores)
        ranking = (gallery.labels[order] == label).tolist()
        nearest[label, gallery.labels[order[0]]] += 1
        envelope = [max(sum(ranking[: j + 1]) / (j + 1) for j in range(i, 36)) for i in range(36)]
        expected.append(
            {
                "map": average_precision(ranking),
                "strict": average_precision(ranking, 20, "strict"),
                "lenient": average_precision(ranking, 20, "lenient"),
                "interpolated": float(np.mean([e for e, own in zip(envelope, ranking, strict=True) if own])),
                "precision": sum(ranking[:20]) / 20,
                "one": float(ranking[0]),
                "min": sum(ranking[:9]) / 9,
            }
        )
    means = {name: np.mean([each[name] for each in expected]) for name in expected[0]}
    assert values["map"]["expected"] == pytest.approx(means["map"])
    assert values["map"]["interpolated_pessimistic"] == pytest.approx(means["interpolated"])
    assert values["map_at_k"]["strict"]["expected"] == pytest.approx(means["strict"])
    assert values["map_at_k"]["lenient"]["optimistic"] == pytest.approx(means["lenient"])
    assert values["precision_at_k"]["expected"] == pytest.approx(means["precision"])
    assert values["precision_at"]["1"]["expected"] == pytest.approx(means["one"])
    assert values["precision_at_min_k_r"]["expected"] == pytest.approx(means["min"])
    assert values["chance"] == 0.25
    np.testing.assert_array_equal(found.nearest, nearest)
    for word, row in zip(UNSEEN, nearest, strict=True):
        assert values["classes"][word]["nearest"] == pytest.approx(row[UNSEEN.index(word)] / 7)
        assert values["classes"][word]["items"] == 9
    worst = values["confused"][0]
    assert worst["queries"] == (nearest - np.diag(np.diag(nearest))).max()
    assert nearest[UNSEEN.index(worst["class"]), UNSEEN.index(worst["found"])] == worst["queries"]


def test_ties_count_as_the_mean_over_orders_and_share_the_nearest() -> None:
    queries = embedded(DRAWINGS, UNSEEN, 4, width=2, ties=True)
    gallery = embedded(PHOTOS, UNSEEN, 6, width=2, ties=True)
    found = search_vectors(queries, gallery, k=5, resamples=2)
    values, expected, nearest = found.values(), list[float](), np.zeros((4, 4))
    for vector, label in zip(queries.vectors, queries.labels, strict=True):
        scores = -np.square(gallery.vectors - vector).sum(axis=1)
        expected.append(np.mean([average_precision(each) for each in orders_of(scores, gallery.labels == label)]))
        first = gallery.labels[scores == scores.max()]
        np.add.at(nearest, (label, first), 1 / len(first))
    assert values["map"]["expected"] == pytest.approx(np.mean(expected), abs=0.01)
    assert values["map"]["pessimistic"] < values["map"]["expected"] < values["map"]["optimistic"]
    np.testing.assert_allclose(found.nearest, nearest)
    assert found.nearest.sum() == pytest.approx(16)


def test_other_domain_and_other_order_of_the_gallery_change_nothing_else() -> None:
    queries, gallery = embedded(DRAWINGS, UNSEEN, 7), embedded(PHOTOS, UNSEEN, 9)
    shuffled = gallery.take(np.random.default_rng(5).permutation(len(gallery)))
    one, two = (search_vectors(queries, each, resamples=2).values() for each in (gallery, shuffled))
    assert one["map"]["expected"] == pytest.approx(two["map"]["expected"], abs=1e-12)
    assert one["confused"] == two["confused"]
    back = search_vectors(gallery, queries, resamples=2).values()
    assert (back["queries"], back["gallery"]) == (36, 28)


def test_blocks_of_queries_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, gallery = embedded(DRAWINGS, UNSEEN, 7, ties=True), embedded(PHOTOS, UNSEEN, 9, ties=True)
    whole = search_vectors(queries, gallery, resamples=2)
    monkeypatch.setattr("sketchdata.retrieval.scores._SCORES", 100)
    parts = search_vectors(queries, gallery, resamples=2)
    for path, values in whole.retrieval.measures.items():
        np.testing.assert_array_equal(values, parts.retrieval.measures[path])
    np.testing.assert_allclose(whole.nearest, parts.nearest)


def test_codes_are_found_as_well_as_their_vectors_or_worse() -> None:
    queries, gallery = embedded(DRAWINGS, UNSEEN, 7, width=16), embedded(PHOTOS, UNSEEN, 9, width=16)
    learned = embedded(PHOTOS, SEEN, 20, width=16)
    vectors = search_vectors(queries, gallery, resamples=2).retrieval.mean("map", "expected")
    codes = search_codes(queries, gallery, learned, bits=8)
    assert codes.bits == 8
    assert 0.25 < codes.mean("map", "expected") <= vectors + 0.05
    assert codes.measures["precision_at", "100", "expected"].shape == (28,)
    with pytest.raises(ConfigError, match="bits"):
        search_codes(queries, gallery, learned, bits=17)


def test_every_named_measure_is_there() -> None:
    values = search_vectors(embedded(DRAWINGS, UNSEEN, 3), embedded(PHOTOS, UNSEEN, 3), resamples=2).values()
    for _, _, paths in NAMED_MEASURES:
        for path in paths:
            place: Any = values
            for step in path:
                place = place[step]
            assert 0 <= place <= 1


def test_each_generalised_form_adds_what_its_source_does() -> None:
    unseen = {domain: embedded(domain, UNSEEN, 20) for domain in (DRAWINGS, PHOTOS)}
    seen = {domain: embedded(domain, SEEN, 11) for domain in (DRAWINGS, PHOTOS)}
    found = search_generalised(unseen, seen)
    assert set(found) == set(GENERALISED)
    assert (found["all-seen"]["gallery"], found["all-seen"]["queries"]) == (80 + 110, {"unseen": 80, "seen": 0})
    sample = found["sem-pcyc"]
    assert (sample["gallery"], sum(sample["queries"].values()) + sample["excluded"]) == (80 + 16, 80 + 16)
    assert sample["excluded"] > 0, "some seen drawings have no photo of their class among 16"
    assert (found["ocean"]["classes"], found["ocean"]["gallery"]) == (4 + 1, 80 + 11)
    assert (found["dr-clip"]["classes"], found["dr-clip"]["gallery"]) == (4 + 2, 80 + 22)
    plain = search_vectors(unseen[DRAWINGS], unseen[PHOTOS], resamples=2).retrieval.mean("map", "expected")
    for name, form in found.items():
        own = form["map"]
        assert own["unseen"] <= plain + 1e-12, "more items that are not relevant cannot help"
        assert (own["seen"] is None) == (name == "all-seen")
        if own["seen"] is not None:
            assert own["harmonic"] == pytest.approx(2 * own["unseen"] * own["seen"] / (own["unseen"] + own["seen"]))
            counts = form["queries"]
            every = (own["unseen"] * counts["unseen"] + own["seen"] * counts["seen"]) / sum(counts.values())
            assert own["every"] == pytest.approx(every)
    assert search_generalised(unseen, seen) == found
    assert search_generalised(unseen, seen, seed=1)["sem-pcyc"]["map"] != found["sem-pcyc"]["map"]
    back = search_generalised(unseen, seen, queries=PHOTOS)
    assert back["all-seen"]["gallery"] == 190


def test_joined_parts_keep_their_classes() -> None:
    one, two = embedded(PHOTOS, ("pear", "saw"), 2), embedded(PHOTOS, ("saw", "ant"), 3)
    both = joined(one, two)
    words = [both.classes[label] for label in both.labels]
    assert words == [part.classes[label] for part in (one, two) for label in part.labels]


GOOD = embedded(DRAWINGS, UNSEEN, 3)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: search_vectors(GOOD, embedded(PHOTOS, UNSEEN, 3, width=9)), "8 values cannot search vectors of 9"),
        (lambda: search_vectors(GOOD, embedded(PHOTOS, SEEN, 3)), "no query has an item of its class"),
        (lambda: search_vectors(GOOD.take(np.empty(0, int)), GOOD), "not 0 queries"),
        (lambda: search_vectors(GOOD, GOOD.take(np.empty(0, int))), "0 items"),
    ],
)
def test_what_cannot_be_searched_is_refused(ask: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ask()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_vectors_that_are_no_numbers_are_refused(value: float) -> None:
    vectors = np.ones((3, 2), np.float32)
    vectors[1, 1] = value
    with pytest.raises(SketchDataError, match="1 of 3 vectors of photos have values that are not finite"):
        EmbeddedPictures(domain=PHOTOS, vectors=vectors, labels=np.zeros(3, int), classes=("ant",))
