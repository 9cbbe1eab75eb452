"""Stroke-3 and stroke-5 say what sketch-rnn's own code says, and come back without a loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sketchdata.drawings.drawing import DrawingBatch, Parsed
from sketchdata.errors import FormatError
from sketchdata.formats.strokes import from_stroke3, from_stroke5, to_stroke3, to_stroke5
from tests.batches import batch_of
from tests.strategies import batches

TWO_STROKES = [[10, 20, 0], [5, -5, 1], [-15, 0, 1]]


def read(*arrays: Any, first: int = 0, keep: bool | None = None) -> Parsed:
    return from_stroke3([np.array(array) for array in arrays], word="star", label=3, first=first, keep=keep)


def strokes_of(batch: DrawingBatch, row: int = 0) -> list[list[list[int]]]:
    drawing = list(batch.drawings(["", "", "", "star"]))[row]
    return [stroke.tolist() for stroke in drawing.strokes]


def all_strokes_of(batch: DrawingBatch) -> list[list[list[list[int]]]]:
    return [strokes_of(batch, row) for row in range(len(batch))]


def lines_of(stroke3: np.ndarray) -> list[list[list[float]]]:
    """Add up offsets as the documentation of stroke-3 says."""
    x = y = 0.0
    lines: list[list[list[float]]] = [[]]
    for dx, dy, lifted in stroke3.tolist():
        x, y = x + dx, y + dy
        lines[-1].append([x, y])
        if lifted:
            lines.append([])
    return lines[:-1]


def test_offsets_begin_at_the_origin_and_the_last_point_of_a_stroke_lifts_the_pen() -> None:
    (stroke3,) = to_stroke3(batch_of([[(10, 20), (15, 15)], [(0, 15)]]))
    assert stroke3.dtype == np.int16
    assert stroke3.tolist() == TWO_STROKES


@pytest.mark.slow
@given(batches())
def test_stroke3_adds_up_to_the_drawing_and_reads_back_to_it(batch: DrawingBatch) -> None:
    arrays = to_stroke3(batch)
    found = from_stroke3(arrays, word="star")
    assert found.faults == []
    for name in ("strokes", "points", "x", "y"):
        np.testing.assert_array_equal(getattr(found.batch, name), getattr(batch, name))
    for array, drawing in zip(arrays, batch.drawings(["star"]), strict=True):
        assert lines_of(array) == [stroke.tolist() for stroke in drawing.strokes]


def test_raw_pixels_are_rounded_where_they_are_and_not_step_by_step() -> None:
    (stroke3,) = to_stroke3(batch_of([[(0.4 * i, 0) for i in range(6)]], raw=True))
    assert stroke3[:, 0].cumsum().tolist() == [0, 0, 1, 1, 2, 2]


def test_a_step_that_int16_cannot_hold_is_refused() -> None:
    with pytest.raises(FormatError, match="32,767"):
        to_stroke3(batch_of([[(-20_000, 0), (20_000, 0)]], raw=True))


def test_no_drawings_make_no_arrays() -> None:
    assert to_stroke3(batch_of()) == []
    assert len(read().batch) == 0


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (TWO_STROKES, [[[10, 20], [15, 15]], [[0, 15]]]),
        # Beyond the square: moved to its corner.
        ([[-10, 3, 0], [200, 4, 1]], [[[0, 0], [200, 4]]]),
        ([[300, 3, 0], [10, 4, 1]], [[[0, 0], [10, 4]]]),
        # Larger than the square: scaled.
        ([[0, 0, 0], [510, 102, 1]], [[[0, 0], [255, 51]]]),
        # Fractions are normalised offsets, whose unit nobody knows.
        ([[0.5, 0.5, 0], [1.5, 0.75, 1]], [[[0, 0], [255, 128]]]),
        ([[0.5, 0.5, 1.0]], [[[0, 0]]]),
        # The pen is up at the end, whatever the last row says.
        ([[1, 1, 0], [1, 1, 0]], [[[1, 1], [2, 2]]]),
    ],
)
def test_drawings_come_to_lie_in_the_square(array: Any, expected: list[list[list[int]]]) -> None:
    assert strokes_of(read(array).batch) == expected


def test_all_drawings_of_a_file_have_one_scale() -> None:
    small, large, fractions = [[0, 0, 0], [100, 20, 1]], [[0, 0, 0], [510, 102, 1]], [[0, 0, 0], [1.5, 0, 1]]
    scaled = [[[0, 0], [255, 51]]]
    assert all_strokes_of(read(small, small).batch) == [[[[0, 0], [100, 20]]]] * 2
    assert all_strokes_of(read(small, large).batch) == [scaled, scaled]
    assert all_strokes_of(read(small, fractions).batch) == [scaled, [[[0, 0], [255, 0]]]]
    # What is refused has no say.
    assert strokes_of(read(small, [[np.nan, 2, 1]]).batch) == [[[0, 0], [100, 20]]]


def test_the_scale_can_be_forced() -> None:
    small, large = [[0, 0, 0], [100, 20, 1]], [[0, 0, 0], [510, 102, 1]]
    assert strokes_of(read(small, keep=False).batch) == [[[0, 0], [255, 51]]]
    kept = read(small, large, keep=True)
    assert strokes_of(kept.batch) == [[[0, 0], [100, 20]]]
    assert [(row, str(error)) for row, error in kept.faults] == [
        (1, "larger than the square: a side of 510 units, and there are 0..255")
    ]


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        ([1, 2, 3], "not stroke-3"),
        ([[1, 2, 0, 1]], "not stroke-3"),
        (np.zeros((0, 3)), "empty drawing"),
        ([[np.nan, 2, 1]], "bad coordinate"),
        ([[np.inf, 2, 1]], "bad coordinate"),
        ([[1e300, 2, 1]], "bad coordinate"),
        ([[1, 2, 2]], "bad pen state"),
        ([[1, 2, np.nan]], "bad pen state"),
        ([[1, 2, 0.5]], "bad pen state"),
    ],
)
def test_a_bad_array_is_refused_and_its_neighbours_are_kept(array: Any, reason: str) -> None:
    parsed = read(TWO_STROKES, array, TWO_STROKES)
    assert [(row, error.reason) for row, error in parsed.faults] == [(1, reason)]
    assert parsed.rows.tolist() == [0, 2]
    assert strokes_of(parsed.batch, 1) == strokes_of(parsed.batch, 0)


def test_made_up_key_ids_are_beyond_the_official_ones_repeatable_and_different() -> None:
    ids = read(TWO_STROKES, TWO_STROKES).batch.key_id.tolist()
    assert ids == read(TWO_STROKES, TWO_STROKES).batch.key_id.tolist()
    assert len({*ids, *read(TWO_STROKES, first=2).batch.key_id.tolist()}) == 3
    assert all(key_id >= 2**63 for key_id in ids)


def test_what_stroke3_lacks_is_filled_in_as_documented() -> None:
    (drawing,) = read(TWO_STROKES).batch.drawings(["", "", "", "star"])
    assert (drawing.word, drawing.countrycode, drawing.recognized) == ("star", None, True)
    assert drawing.timestamp.isoformat() == "1970-01-01T00:00:00+00:00"


def test_stroke5_is_that_of_the_paper() -> None:
    expected = [[0, 0, 1, 0, 0], [10, 20, 1, 0, 0], [5, -5, 0, 1, 0], [-15, 0, 0, 1, 0], [0, 0, 0, 0, 1]]
    stroke3 = np.array(TWO_STROKES, np.int16)
    assert to_stroke5(stroke3).tolist() == expected
    assert to_stroke5(stroke3, start=False).tolist() == expected[1:]
    assert to_stroke5(stroke3, length=5).tolist() == [*expected, expected[-1]]
    assert to_stroke5(stroke3, length=3).tolist() == expected[:-1]
    assert to_stroke5(stroke3).dtype == np.int16


@pytest.mark.slow
@given(batches(), st.integers(0, 9), st.booleans())
def test_stroke5_reads_back_to_stroke3(batch: DrawingBatch, padding: int, start: bool) -> None:
    for stroke3 in to_stroke3(batch):
        stroke5 = to_stroke5(stroke3, length=len(stroke3) + padding, start=start)
        found = from_stroke5(stroke5, start=start)
        assert found.dtype == stroke3.dtype
        np.testing.assert_array_equal(found, stroke3)


def test_a_drawing_longer_than_its_room_is_refused() -> None:
    with pytest.raises(FormatError, match="3 points, and there is room for 2"):
        to_stroke5(np.array(TWO_STROKES), length=2)


@pytest.mark.parametrize(
    ("stroke5", "reason"),
    [
        ([[0, 0, 1]], "not stroke-5"),
        ([[0, 0, 0, 1, 0]], "no start token"),
        (np.zeros((0, 5)), "no start token"),
        ([[0, 0, 1, 0, 0], [1, 1, 1, 1, 0]], "bad pen state"),
        ([[0, 0, 1, 0, 0], [1, 1, 0, 0, 0]], "bad pen state"),
        ([[0, 0, 1, 0, 0], [1, 1, 2, -1, 0]], "bad pen state"),
        ([[0, 0, 1, 0, 0], [1, 1, np.nan, 1, 0]], "bad pen state"),
    ],
)
def test_what_is_no_stroke5_is_refused(stroke5: Any, reason: str) -> None:
    with pytest.raises(FormatError) as caught:
        from_stroke5(np.array(stroke5))
    assert caught.value.reason == reason
