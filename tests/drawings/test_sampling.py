"""The keyed hash is splitmix64, the k smallest are the k smallest, and rows of a shard are found without the others."""

from __future__ import annotations

import itertools
from fractions import Fraction
from itertools import chain

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sketchdata.drawings.sampling import (
    BottomK,
    below_share,
    first_of_each,
    mix_classes,
    places_of_rows,
    ranks,
    row_order,
    rows_before,
    scale_to_fit,
    splitmix64,
)
from sketchdata.errors import ConfigError

MASK = 2**64 - 1
GAMMA = 0x9E3779B97F4A7C15
words = st.integers(0, MASK)


def mix(state: int) -> int:
    """Give splitmix64's output for the state before its step, in plain integers."""
    z = (state + GAMMA) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def test_splitmix64_gives_the_published_sequence() -> None:
    # Output of Vigna's splitmix64.c for the seed 1234567; the generator adds the gamma to its state at every call.
    states = np.array([(1234567 + i * GAMMA) & MASK for i in range(5)], np.uint64)
    assert splitmix64(states).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


def test_splitmix64_sends_different_numbers_to_different_numbers() -> None:
    sample = np.concatenate([np.arange(200_000, dtype=np.uint64), np.arange(200_000, dtype=np.uint64) << np.uint64(44)])
    sample = np.unique(sample)
    assert len(np.unique(splitmix64(sample))) == len(sample)


@given(st.lists(words, max_size=20), words)
@example([0, 1, MASK, 5891796615823360], 0)
def test_ranks_are_the_hash_of_key_id_xor_the_hashed_seed(key_ids: list[int], seed: int) -> None:
    found = ranks(np.array(key_ids, np.uint64), seed)
    assert found.dtype == np.uint64
    assert found.tolist() == [mix(key_id ^ mix(seed)) for key_id in key_ids]


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_of_more_than_64_bits_is_refused(seed: int) -> None:
    with pytest.raises(ConfigError, match="--seed must lie in"):
        ranks(np.zeros(1, np.uint64), seed)


@given(st.lists(st.one_of(words, st.integers(0, 9)), max_size=200), st.integers(0, 20), st.lists(st.integers(0, 200)))
def test_bottom_k_holds_what_sorting_everything_would_give(values: list[int], k: int, cuts: list[int]) -> None:
    held = BottomK(k)
    edges = [0, *sorted(c % (len(values) + 1) for c in cuts), len(values)]
    for start, stop in itertools.pairwise(edges):
        block = values[start:stop]
        held.add(
            np.array(block, np.uint64),
            np.arange(start, stop),
            lambda rows, s=start: [str(s + i).encode() for i in rows],
        )
    found, records = held.sorted()
    # sorted() is stable: equal ranks keep the order of arrival.
    expected = sorted(range(len(values)), key=values.__getitem__)[:k]
    assert found.tolist() == [values[i] for i in expected]
    assert records == [(i, str(i).encode()) for i in expected]
    assert held.dropped == (len(values) > k)


def test_bottom_k_reads_few_records_of_a_long_stream() -> None:
    held, reads = BottomK(10), 0

    def read(rows: np.ndarray) -> list[bytes]:
        nonlocal reads
        reads += len(rows)
        return [b""] * len(rows)

    for start in range(0, 100_000, 1000):
        held.add(splitmix64(np.arange(start, start + 1000, dtype=np.uint64)), np.arange(1000), read)
    assert len(held.sorted()[0]) == 10
    assert reads < 1200  # the whole first block, and then hardly any


sizes = st.fixed_dictionaries({name: st.integers(0, 10_000) for name in ("train", "val", "gallery", "query")})


@given(sizes, st.integers(0, 50_000))
def test_scaled_splits_use_every_drawing_and_stay_within_one_of_the_proportion(
    splits: dict[str, int], have: int
) -> None:
    scaled, need = scale_to_fit(splits, have), sum(splits.values())
    assert list(scaled) == list(splits)
    assert sum(scaled.values()) == min(have, need)
    for name, size in splits.items():
        exact = size * min(have, need) / need if need else 0
        assert abs(scaled[name] - exact) < 1
        assert scaled[name] <= size


def test_a_tie_of_remainders_goes_to_the_earlier_split() -> None:
    assert scale_to_fit({"a": 1, "b": 1, "c": 1, "d": 1}, 2) == {"a": 1, "b": 1, "c": 0, "d": 0}


counts_of_classes = st.lists(st.integers(0, 7), max_size=8)


def ordered_places(counts: list[int]) -> list[int]:
    """Give the place of every row of a split, row by row, the slow way."""
    return sorted(place for count in counts for place in range(count))


@given(counts_of_classes, st.integers(0, 9))
def test_rows_before_a_place_are_those_of_smaller_places(counts: list[int], place: int) -> None:
    assert rows_before(np.array(counts, np.int64), place) == sum(p < place for p in ordered_places(counts))


@given(counts_of_classes.filter(any), st.data())
def test_places_of_rows_are_those_that_the_rows_touch(counts: list[int], data: st.DataObject) -> None:
    places = ordered_places(counts)
    start = data.draw(st.integers(0, len(places) - 1))
    stop = data.draw(st.integers(start + 1, len(places)))
    assert places_of_rows(np.array(counts, np.int64), start, stop) == (places[start], places[stop - 1] + 1)


@given(counts_of_classes, words)
def test_rows_are_ordered_by_place_and_mixed_within_it(counts: list[int], seed: int) -> None:
    places = np.array([place for count in counts for place in range(count)], np.int64)
    hashes = ranks(np.arange(len(places), dtype=np.uint64), seed)
    expected = sorted(range(len(places)), key=lambda i: (places[i], mix(int(hashes[i]))))
    assert row_order(places, hashes).tolist() == expected


def test_every_prefix_of_the_rows_has_equal_classes() -> None:
    # Three times as many drawings of one class make its smallest ranks three times smaller, and must not matter.
    rng = np.random.default_rng(0)
    hashes = [np.sort(rng.integers(0, 2**63, many, np.uint64))[:100] for many in (1000, 3000, 9000)]
    order = row_order(np.tile(np.arange(100), 3), np.concatenate(hashes))
    labels = np.repeat([0, 1, 2], 100)[order]
    assert all(np.bincount(labels[: 3 * n], minlength=3).tolist() == [n, n, n] for n in range(1, 101))


# ---- shares and mixed classes ----------------------------------------------------------------------------------------


@given(found=st.lists(words, max_size=20), share=st.fractions(0, 1))
@example(found=[0, 2**63 - 1, 2**63, MASK], share=Fraction(1, 2))
@example(found=[0, MASK], share=Fraction(1))
@example(found=[0], share=Fraction(0))
@example(found=[0, 1], share=Fraction(1, 2**64))
def test_below_a_share_are_the_ranks_under_that_share_of_their_range(found: list[int], share: Fraction) -> None:
    chosen = below_share(np.array(found, np.uint64), share)
    assert chosen.tolist() == [rank < share * 2**64 for rank in found]


@given(rows=st.lists(st.tuples(st.integers(0, 4), words), max_size=40, unique_by=lambda row: row[1]))
def test_classes_are_mixed_place_by_place(rows: list[tuple[int, int]]) -> None:
    labels = np.array([label for label, _ in rows], np.uint16)
    order = mix_classes(labels, np.array([rank for _, rank in rows], np.uint64)).tolist()
    place = {row: sum(r[0] == row[0] and r[1] < row[1] for r in rows) for row in rows}
    assert [rows[i] for i in order] == sorted(rows, key=lambda row: (place[row], mix(row[1])))


@given(
    rows=st.lists(st.tuples(st.integers(0, 4), words), max_size=40, unique_by=lambda row: row[1]),
    count=st.integers(0, 5),
)
def test_the_first_items_of_each_class_are_those_of_the_smallest_order(rows: list[tuple[int, int]], count: int) -> None:
    labels, order = np.array([label for label, _ in rows], np.int64), np.array([rank for _, rank in rows], np.uint64)
    by_class = [sorted(row for row in rows if row[0] == label)[:count] for label in range(5)]
    assert [rows[row] for row in first_of_each(labels, count, order)] == list(chain.from_iterable(by_class))
    in_place = [[row for row in range(len(rows)) if labels[row] == label][:count] for label in range(5)]
    assert first_of_each(labels, count).tolist() == list(chain.from_iterable(in_place))
