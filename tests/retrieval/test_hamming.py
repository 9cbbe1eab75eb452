"""Counts of Hamming distances: against all distances of all pairs, by every way and for codes of every length."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sketchdata.errors import ConfigError
from sketchdata.formats.codes import Codes, pack_bits, unpack_bits
from sketchdata.retrieval import hamming
from sketchdata.retrieval.hamming import count_distances, distance_histograms, distances
from sketchdata.retrieval.metrics import TieGroups
from tests.binary_codes import clustered_codes

LENGTHS = (1, 7, 8, 12, 16, 17, 20, 21, 24, 32, 33, 48, 64, 65, 128, 200, 248)
of_every_length = pytest.mark.parametrize("bits", LENGTHS)


def plain_distances(queries: Codes, gallery: Codes) -> np.ndarray:
    ours, theirs = (unpack_bits(codes.packed, codes.bits) for codes in (queries, gallery))
    return np.array([(own != theirs).sum(axis=1) for own in ours]).reshape(len(queries), len(gallery))


def plain_counts(queries: Codes, gallery: Codes) -> TieGroups:
    every = plain_distances(queries, gallery)
    own = queries.labels[:, None] == gallery.labels
    at = [every == distance for distance in range(queries.bits + 1)]
    return TieGroups(
        items=np.stack([each.sum(axis=1) for each in at], axis=1),
        relevant=np.stack([(each & own).sum(axis=1) for each in at], axis=1),
    )


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile the loop for every number of distances."""
    pytest.importorskip("numba")
    monkeypatch.setattr(hamming, "COMPILE_FROM", 0)


def assert_same(found: TieGroups, expected: TieGroups) -> None:
    np.testing.assert_array_equal(found.items, expected.items)
    np.testing.assert_array_equal(found.relevant, expected.relevant)


@of_every_length
def test_counts_are_those_of_all_pairs(bits: int) -> None:
    queries, gallery = clustered_codes(40, bits=bits, seed=1), clustered_codes(700, bits=bits, seed=2)
    assert_same(count_distances(queries, gallery), plain_counts(queries, gallery))


@of_every_length
@pytest.mark.usefixtures("compiled")
def test_the_compiled_loop_computes_the_same_distances(bits: int) -> None:
    queries, gallery = clustered_codes(40, bits=bits, seed=1), clustered_codes(700, bits=bits, seed=2)
    left, right = (hamming.to_words(codes.packed) for codes in (queries, gallery))
    compute = hamming.distance_function(1)
    assert compute is not hamming.word_distances
    np.testing.assert_array_equal(compute(left, right), plain_distances(queries, gallery), strict=False)
    assert compute(left[:, ::3], right[:, 5:]).tolist() == hamming.word_distances(left[:, ::3], right[:, 5:]).tolist()
    assert_same(count_distances(queries, gallery), plain_counts(queries, gallery))


def test_without_numba_numpy_computes_distances(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hamming, "COMPILE_FROM", 0)
    monkeypatch.setitem(sys.modules, "numba", None)
    hamming._compiled_loop.cache_clear()
    try:
        assert hamming.distance_function(1) is hamming.word_distances
    finally:
        hamming._compiled_loop.cache_clear()


@of_every_length
def test_codes_at_the_greatest_distance_are_counted(bits: int) -> None:
    nothing, everything = np.zeros((3, bits), bool), np.ones((3, bits), bool)
    found = distance_histograms(pack_bits(nothing), pack_bits(everything), bits)
    assert found[:, bits].tolist() == [3, 3, 3]
    assert found.sum() == 9


@of_every_length
def test_distances_are_those_of_single_bits(bits: int) -> None:
    queries, gallery = clustered_codes(5, bits=bits, seed=3), clustered_codes(50, bits=bits, seed=4)
    found = distances(queries.packed, gallery.packed)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, plain_distances(queries, gallery))


@settings(max_examples=30)
@given(
    bits=st.integers(1, 248),
    sizes=st.tuples(st.integers(0, 9), st.integers(0, 40)),
    noise=st.sampled_from([0.0, 0.1, 0.5]),
    seed=st.integers(0, 999),
)
def test_counts_are_exact_for_codes_of_any_length(bits: int, sizes: tuple[int, int], noise: float, seed: int) -> None:
    queries, gallery = (clustered_codes(size, bits=bits, noise=noise, seed=seed + i) for i, size in enumerate(sizes))
    if len(queries):
        assert_same(count_distances(queries, gallery), plain_counts(queries, gallery))


@pytest.mark.parametrize("bits", [1, 5, 8, 11, 16])
def test_the_table_of_all_codes_and_the_pairs_give_the_same(bits: int) -> None:
    queries, gallery = clustered_codes(30, bits=bits, seed=5), clustered_codes(300, bits=bits, seed=6)
    table = hamming._from_table(queries.packed, gallery.packed, bits)
    np.testing.assert_array_equal(table, hamming._over_pairs(queries.packed, gallery.packed, bits, 1))
    np.testing.assert_array_equal(table, plain_counts(queries, gallery).items)


def test_short_codes_are_counted_by_the_table_when_there_are_many_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, gallery = (clustered_codes(size, bits=12, noise=0.5, seed=size) for size in (400, 3000))
    expected = distance_histograms(queries.packed, gallery.packed, 12)
    monkeypatch.delattr(hamming, "_over_pairs")
    np.testing.assert_array_equal(distance_histograms(queries.packed, gallery.packed, 12), expected)
    np.testing.assert_array_equal(expected, plain_counts(queries, gallery).items)


@pytest.mark.slow
@pytest.mark.parametrize("bits", [24, 64, 100])
def test_equal_codes_of_a_gallery_are_looked_at_once_or_a_few_times(bits: int) -> None:
    few = clustered_codes(90, bits=bits, seed=7)
    random = np.random.default_rng(8)
    gallery = few.take(np.repeat(np.arange(90), random.integers(1, 2500, 90)))
    levels = hamming._levels(gallery.packed)
    assert sum(weight * len(packed) for weight, packed in levels) == len(gallery)
    assert len(levels) > 1
    assert sum(len(packed) for _, packed in levels) <= 90 * 12
    queries = clustered_codes(20, bits=bits, seed=9)
    found = distance_histograms(queries.packed, gallery.packed, bits)
    np.testing.assert_array_equal(found, plain_counts(queries, gallery).items)


def test_different_codes_of_a_gallery_are_taken_as_they_are() -> None:
    gallery = clustered_codes(20_000, bits=64, noise=0.5)
    assert [(weight, len(packed)) for weight, packed in hamming._levels(gallery.packed)] == [(1, 20_000)]


@pytest.mark.parametrize("bits", [16, 24, 64, 130])
def test_chunks_slices_and_threads_change_nothing(bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    queries, gallery = clustered_codes(57, bits=bits, seed=1), clustered_codes(1001, bits=bits, seed=2)
    expected = count_distances(queries, gallery, workers=1)
    assert_same(count_distances(queries, gallery, workers=3), expected)
    monkeypatch.setattr(hamming, "_CHUNK", 100)
    assert_same(count_distances(queries, gallery, workers=0), expected)


@pytest.mark.slow
def test_a_large_gallery_is_counted_in_chunks() -> None:
    queries, gallery = clustered_codes(3, bits=40, seed=1), clustered_codes(hamming._CHUNK + 5, bits=40, seed=2)
    assert_same(count_distances(queries, gallery), plain_counts(queries, gallery))


def test_shuffling_the_gallery_changes_nothing() -> None:
    queries, gallery = clustered_codes(30, bits=33, seed=1), clustered_codes(500, bits=33, seed=2)
    shuffled = gallery.take(np.random.default_rng(0).permutation(500))
    assert_same(count_distances(queries, shuffled), count_distances(queries, gallery))


def test_a_class_that_the_gallery_lacks_has_no_relevant_items() -> None:
    queries, gallery = clustered_codes(40, bits=9, seed=1), clustered_codes(200, bits=9, seed=2)
    found = count_distances(queries, gallery.take(np.flatnonzero(gallery.labels != 2)))
    assert set(found.all_relevant[queries.labels == 2].tolist()) == {0}
    assert (found.all_relevant[queries.labels != 2] > 0).all()


CODES = clustered_codes(10, bits=12)


def beyond_the_last_bit() -> Codes:
    return Codes(**{**vars(CODES), "packed": CODES.packed | np.uint8([0, 16])})


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: count_distances(CODES, clustered_codes(10, bits=13)), "codes of 12 bits .* codes of 13"),
        (lambda: count_distances(CODES, clustered_codes(10, bits=12, classes=3)), "4 classes .*3 "),
        (lambda: count_distances(CODES, CODES, workers=-1), "workers must be 1 or more"),
        (lambda: count_distances(beyond_the_last_bit(), CODES), "bits beyond the last"),
        (lambda: count_distances(CODES, beyond_the_last_bit()), "bits beyond the last"),
    ],
)
def test_codes_that_do_not_fit_are_refused(ask: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ask()
