"""The normal form of a drawing against its definition in plain Python; groups and leakage against counting by hand."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sketchdata.curation.duplicates import (
    Leakage,
    Members,
    digests,
    leakage,
    mixed_groups,
    normal_forms,
    repeated,
    within,
)
from sketchdata.drawings.drawing import DrawingBatch, concatenate, empty_batch
from tests.batches import batch_of
from tests.strategies import batches

#: Few places, so that equal drawings and repeated points come about.
_points = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=4)
_drawings = st.lists(st.lists(_points, min_size=1, max_size=3), min_size=1, max_size=12)


def plain_form(drawing: list) -> list:
    """Return each stroke's points without those that repeat the one before."""
    return [[point for point, _ in itertools.groupby(stroke)] for stroke in drawing]


@given(_drawings, st.booleans())
def test_forms_and_hashes_are_equal_exactly_when_the_drawings_are(drawings: list, raw: bool) -> None:
    batch = batch_of(*drawings, raw=raw)
    forms, hashes, plain = list(normal_forms(batch)), digests(batch).tolist(), [plain_form(d) for d in drawings]
    assert len(forms) == len(hashes) == len(drawings)
    for i, j in itertools.combinations(range(len(drawings)), 2):
        assert (forms[i] == forms[j]) == (hashes[i] == hashes[j]) == (plain[i] == plain[j])


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ([[(1, 2), (3, 4)]], [[(1, 2), (1, 2), (3, 4), (3, 4)]], True),
        ([[(1, 2)]], [[(1, 2), (1, 2)]], True),
        ([[(1, 2), (3, 4), (1, 2)]], [[(1, 2), (3, 4)]], False),
        ([[(1, 2), (3, 4)]], [[(3, 4), (1, 2)]], False),
        ([[(1, 2)], [(3, 4)]], [[(3, 4)], [(1, 2)]], False),
        ([[(1, 2)], [(3, 4)]], [[(1, 2), (3, 4)]], False),
        ([[(1, 2)], [(1, 2)]], [[(1, 2)]], False),
    ],
)
def test_what_makes_two_drawings_equal(one: list, other: list, equal: bool) -> None:
    first, second = normal_forms(batch_of(one, other))
    assert (first == second) is equal


def test_minus_zero_is_zero_and_raw_times_do_not_matter() -> None:
    batch = batch_of([[(0.0, 1.5)]], [[(-0.0, 1.5)]], raw=True)
    first, second = normal_forms(batch)
    assert first == second


@pytest.mark.slow
@given(batches(labels=3), batches(labels=3))
def test_a_form_depends_neither_on_metadata_nor_on_the_other_drawings(one: DrawingBatch, other: DrawingBatch) -> None:
    alone = list(normal_forms(one))
    elsewhere = concatenate([other, dataclasses.replace(one, recognized=~one.recognized)])
    assert list(normal_forms(elsewhere))[len(other) :] == alone
    assert list(normal_forms(elsewhere.slice(len(other), len(elsewhere)))) == alone


def test_no_drawings_have_no_forms() -> None:
    assert list(normal_forms(empty_batch())) == []
    assert digests(empty_batch()).shape == (0,)


@given(st.lists(st.integers(0, 9)))
def test_repeated_values_are_those_that_occur_twice(values: list[int]) -> None:
    expected = sorted({value for value in values if values.count(value) > 1})
    assert repeated(np.array(values, np.uint64)).tolist() == expected


# ---- leakage ---------------------------------------------------------------------------------------------------------

SPLITS = ("train", "gallery", "query")
_member = st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 2))


def members_of(rows: list[tuple[int, int, int]]) -> Members:
    """Make members of (group, split, label)."""
    group, split, label = zip(*rows, strict=True) if rows else ((), (), ())
    return Members(
        group=np.array(group, np.uint32),
        key_id=np.arange(len(rows), dtype=np.uint64),
        split=np.array(split, np.uint8),
        label=np.array(label, np.uint16),
    )


@given(st.lists(_member, max_size=20))
def test_leakage_counts_each_drawing_with_an_equal_one_in_an_earlier_split(rows: list[tuple[int, int, int]]) -> None:
    expected = []
    for source, into in itertools.combinations(range(3), 2):
        inside = [[(g, label) for g, split, label in rows if split == source and g == group] for group in range(4)]
        there = [(inside[group], label) for group, split, label in rows if split == into]
        expected.append(
            Leakage(
                source=SPLITS[source],
                into=SPLITS[into],
                drawings=sum(bool(equal) for equal, _ in there),
                same_class=sum(any(own == label for _, own in equal) for equal, label in there),
                other_class=sum(any(own != label for _, own in equal) for equal, label in there),
            )
        )
    assert leakage(members_of(rows), SPLITS) == expected


@given(st.lists(_member, max_size=20))
def test_groups_of_several_classes_and_equals_within_a_split_are_counted(rows: list[tuple[int, int, int]]) -> None:
    members = members_of(rows)
    classes = [{label for group, _, label in rows if group == each} for each in range(4)]
    assert mixed_groups(members) == sum(len(labels) > 1 for labels in classes)
    for split in range(3):
        groups = [group for group, own, _ in rows if own == split]
        assert within(members, split) == sum(groups.count(group) > 1 for group in groups)
