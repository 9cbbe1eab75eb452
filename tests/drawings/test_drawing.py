"""Rows, slices and joins of a batch are those of its drawings, one by one."""

from __future__ import annotations

from datetime import datetime, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sketchdata.drawings.drawing import Drawing, DrawingBatch, concatenate, empty_batch, gather_ranges, offsets_of
from tests.batches import batch_of
from tests.strategies import assert_same, batches

WORDS = ["star", "cat", "The Eiffel Tower"]
any_batch = st.booleans().flatmap(lambda raw: batches(raw=raw, labels=len(WORDS)))


def plain(drawing: Drawing) -> tuple[object, ...]:
    strokes = [(stroke.dtype, stroke.tolist()) for stroke in drawing.strokes]
    return drawing.key_id, drawing.word, drawing.recognized, drawing.countrycode, drawing.timestamp, strokes


def records(batch: DrawingBatch) -> list[tuple[object, ...]]:
    return [plain(drawing) for drawing in batch.drawings(WORDS)]


def test_a_record_says_what_the_arrays_hold() -> None:
    batch = DrawingBatch(
        key_id=np.array([2**64 - 1, 5], np.uint64),
        label=np.array([2, 0], np.uint16),
        countrycode=np.array([b"DE", b""], "S2"),
        timestamp=np.array([1_488_400_896_707_250, 0], np.int64),
        recognized=np.array([True, False]),
        strokes=np.array([0, 2, 3]),
        points=np.array([0, 2, 3, 5]),
        x=np.array([0, 255, 7, 1, 2], np.uint8),
        y=np.array([3, 4, 8, 9, 9], np.uint8),
    )
    first, second = batch.drawings(WORDS)
    assert (first.key_id, first.word, first.recognized, first.countrycode) == (2**64 - 1, WORDS[2], True, "DE")
    assert first.timestamp == datetime(2017, 3, 1, 20, 41, 36, 707250, timezone.utc)
    assert [stroke.tolist() for stroke in first.strokes] == [[[0, 3], [255, 4]], [[7, 8]]]
    assert (second.word, second.countrycode, second.timestamp.year) == ("star", None, 1970)
    assert [stroke.tolist() for stroke in second.strokes] == [[[1, 9], [2, 9]]]
    assert all(stroke.dtype == np.uint8 for stroke in first.strokes)


def test_raw_points_carry_their_times_without_rounding() -> None:
    batch = DrawingBatch(
        **{**vars(batch_of([[(0.5, -3)]], raw=True)), "t": np.array([2**32 - 1], np.uint32)}  # more than float32 holds
    )
    (drawing,) = batch.drawings(WORDS)
    assert drawing.strokes[0].tolist() == [[0.5, -3.0, 2.0**32 - 1]]
    assert (batch.is_raw, batch_of([[(0, 0)]]).is_raw) == (True, False)


@pytest.mark.slow
@given(any_batch, st.data())
def test_taken_rows_are_the_drawings_of_those_rows(batch: DrawingBatch, data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.integers(0, len(batch) - 1), max_size=12) if len(batch) else st.just([]))
    taken, every = batch.take(np.array(rows, np.int64)), records(batch)
    assert records(taken) == [every[row] for row in rows]
    assert len(taken) == len(rows)


@pytest.mark.slow
@given(any_batch, st.integers(0, 8), st.integers(0, 8))
def test_a_slice_is_the_drawings_of_its_rows_over_the_same_memory(batch: DrawingBatch, one: int, other: int) -> None:
    start, stop = sorted((min(one, len(batch)), min(other, len(batch))))
    part = batch.slice(start, stop)
    assert records(part) == records(batch)[start:stop]
    assert_same(part, batch.take(np.arange(start, stop)))
    for name in ("key_id", "label", "countrycode", "timestamp", "recognized", "x", "y"):
        assert not getattr(part, name).size or np.shares_memory(getattr(part, name), getattr(batch, name))


@pytest.mark.slow
@given(st.booleans().flatmap(lambda raw: st.lists(batches(raw=raw, labels=3), min_size=1, max_size=4)))
def test_joined_batches_are_their_drawings_one_after_the_other(parts: list[DrawingBatch]) -> None:
    joined = concatenate(parts)
    assert records(joined) == [record for part in parts for record in records(part)]
    assert joined.is_raw == parts[0].is_raw


@pytest.mark.slow
@given(any_batch, st.integers(0, 8))
def test_slices_joined_again_are_the_whole(batch: DrawingBatch, middle: int) -> None:
    middle = min(middle, len(batch))
    assert_same(concatenate([batch.slice(0, middle), batch.slice(middle, len(batch))]), batch)


@pytest.mark.parametrize("raw", [False, True])
def test_an_empty_batch_changes_nothing_that_it_is_joined_to(raw: bool) -> None:
    batch = batch_of([[(1, 2)], [(3, 4), (5, 6)]], raw=raw)
    assert_same(concatenate([empty_batch(raw=raw), batch, empty_batch(raw=raw)]), batch)
    assert len(empty_batch(raw=raw)) == 0
    assert empty_batch(raw=raw).is_raw == raw
    assert not list(empty_batch(raw=raw).drawings(WORDS))


@given(st.lists(st.lists(st.integers(0, 99), max_size=5), min_size=1, max_size=6), st.data())
def test_ranges_are_gathered_as_lists_are(lists: list[list[int]], data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.integers(0, len(lists) - 1), max_size=10))
    flat = np.array([value for values in lists for value in values], np.int64)
    offsets, places = gather_ranges(offsets_of(np.array([len(v) for v in lists], np.int64)), np.array(rows, np.int64))
    expected = [lists[row] for row in rows]
    assert offsets.tolist() == np.cumsum([0, *map(len, expected)]).tolist()
    assert flat[places].tolist() == [value for values in expected for value in values]
