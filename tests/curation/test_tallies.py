"""Tallies count what a Counter counts, add up in any order, and give the statistics of the numbers themselves."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sketchdata.curation.statistics import ValueTally, add, mean, median, tally

pairs = st.lists(st.tuples(st.integers(0, 2**16 - 1), st.integers(0, 2**47 - 1)) | st.tuples(st.just(1), st.just(2)))


def tally_of(counted: list[tuple[int, int]]) -> ValueTally:
    labels, values = zip(*counted, strict=True) if counted else ((), ())
    return tally(np.array(labels, np.uint16), np.array(values, np.int64))


def as_counter(found: ValueTally) -> Counter[tuple[int, int]]:
    rows = zip(found.label.tolist(), found.value.tolist(), found.drawings.tolist(), strict=True)
    return Counter({(label, value): drawings for label, value, drawings in rows})


@given(pairs)
def test_a_tally_counts_pairs_and_is_sorted(counted: list[tuple[int, int]]) -> None:
    found = tally_of(counted)
    assert as_counter(found) == Counter(counted)
    keys = list(zip(found.label.tolist(), found.value.tolist(), strict=True))
    assert keys == sorted(set(keys))


@given(pairs, st.lists(pairs, max_size=3))
def test_tallies_of_parts_add_up_to_that_of_the_whole(first: list[tuple[int, int]], more: list[list]) -> None:
    whole = [pair for part in [first, *more] for pair in part]
    assert as_counter(add([tally_of(part) for part in [first, *more]])) == Counter(whole)


def test_nothing_adds_up_to_nothing() -> None:
    assert as_counter(add([])) == Counter()


def test_a_class_is_found_among_others() -> None:
    value, drawings = tally_of([(3, 7), (4, 9), (4, 8), (4, 8), (65535, 1)]).of(4)
    assert (value.tolist(), drawings.tolist()) == ([8, 9], [2, 1])
    assert tally_of([(3, 7)]).of(4)[0].tolist() == []


@given(st.lists(st.integers(0, 10**6), min_size=1))
def test_mean_and_median_are_those_of_the_numbers(values: list[int]) -> None:
    counted = tally_of([(0, value) for value in values])
    assert median(*counted.of(0)) == np.median(values)
    assert mean(*counted.of(0)) == sum(values) / len(values)
