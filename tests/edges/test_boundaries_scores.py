"""Counts and scores of the boundary benchmark on cases whose numbers are known beforehand."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from sketchdata.edges.boundaries import Counts, Scores, agreement, evaluate, even_thresholds, f_measure, summarise
from sketchdata.edges.bsds import drawn_photos, read_drawings
from tests.drawn_photos import real_bsds, rectangle

DRAWING = rectangle(8, 10, 40, 60, shape=(60, 90))
#: One pixel, on the five rows and nine columns of the case by hand.
ONE_PIXEL = 1 / math.hypot(5, 9)


def counts_of(precision: list[float], recall: list[float], thresholds: list[float]) -> Counts:
    """Return counts of a thousand pixels each, with given rates."""
    return Counts(
        thresholds=np.array(thresholds),
        found=np.full(len(precision), 1000),
        found_matched=np.array([round(1000 * p) for p in precision]),
        drawn=np.full(len(recall), 1000),
        drawn_matched=np.array([round(1000 * r) for r in recall]),
    )


def test_a_drawing_against_itself_is_perfect() -> None:
    scores = summarise([evaluate(DRAWING.astype(np.float32), [DRAWING])])
    assert scores.ods == scores.ois == scores.ods_precision == scores.ods_recall == 1


@pytest.mark.parametrize(("rows", "expected"), [(0, 1.0), (1, 1.0), (2, 0.0)])
def test_a_line_moved_within_the_tolerance_counts_and_beyond_it_does_not(rows: int, expected: float) -> None:
    # 0.0075 of the diagonal of 120 × 160 is 1.5 pixels.
    drawing, found = np.zeros((2, 120, 160), np.bool_)
    drawing[60, 20:140] = True
    found[60 + rows, 20:140] = True
    assert summarise([evaluate(found.astype(np.float64), [drawing])]).ods == pytest.approx(expected, abs=1e-12)


def test_an_empty_map_finds_nothing() -> None:
    counts = evaluate(np.zeros(DRAWING.shape, np.uint8), [DRAWING])
    assert not counts.found.any()
    assert not counts.drawn_matched.any()
    assert counts.drawn.tolist() == [DRAWING.sum()] * 33
    assert dataclasses.astuple(summarise([counts]))[:3] == (0, 0, 0)
    assert summarise([counts]).ap == 0


def test_a_map_that_is_an_edge_everywhere_is_thinned_to_next_to_nothing() -> None:
    counts = evaluate(np.full(DRAWING.shape, 255, np.uint8), [DRAWING])
    assert (counts.found <= max(DRAWING.shape)).all()
    assert (counts.found > 0).all()
    assert summarise([counts]).ods_recall < 0.2


def test_a_threshold_of_zero_does_not_take_what_has_no_strength() -> None:
    counts = evaluate(DRAWING.astype(np.float64), [DRAWING], np.zeros(1))
    assert counts.found.tolist() == [DRAWING.sum()]


def test_counts_are_those_worked_out_by_hand() -> None:
    """Two people drew along a line, one to its end; the map has two thirds of it, and a faint pixel elsewhere."""
    long, short, strength = np.zeros((5, 9)), np.zeros((5, 9)), np.zeros((5, 9))
    long[2, :], short[2, :4] = 1, 1
    strength[2, :6], strength[0, 8] = 1.0, 0.5
    counts = evaluate(strength, [long, short], np.array([0.25, 0.75]), tolerance=ONE_PIXEL)
    assert counts.found.tolist() == [7, 6]
    assert counts.found_matched.tolist() == [6, 6]
    assert counts.drawn.tolist() == [13, 13]
    # Six of the long line, all four of the short one.
    assert counts.drawn_matched.tolist() == [10, 10]
    scores = summarise([counts])
    assert (scores.ods, scores.ods_precision, scores.ods_recall) == pytest.approx((20 / 23, 1, 10 / 13))
    assert scores.ods_threshold == 0.75


def test_a_found_pixel_counts_once_however_many_people_drew_it() -> None:
    counts = evaluate(DRAWING.astype(np.float64), [DRAWING, DRAWING, np.zeros_like(DRAWING)], 1)
    assert counts.found_matched.tolist() == [DRAWING.sum()]
    assert counts.drawn.tolist() == counts.drawn_matched.tolist() == [2 * DRAWING.sum()]


def test_bytes_and_shares_give_the_same_counts() -> None:
    strength = np.random.default_rng(0).integers(0, 256, DRAWING.shape).astype(np.uint8) * DRAWING
    for one, other in zip(
        dataclasses.astuple(evaluate(strength, [DRAWING])),
        dataclasses.astuple(evaluate(strength / 255, [DRAWING])),
        strict=True,
    ):
        assert one.tolist() == other.tolist()


def test_thresholds_are_the_official_ones() -> None:
    assert even_thresholds(99) == pytest.approx(np.arange(1, 100) / 100)
    assert even_thresholds(1).tolist() == [0.5]


def test_people_who_drew_the_same_agree_and_one_alone_has_nobody_to_agree_with() -> None:
    assert summarise([agreement([DRAWING, DRAWING, DRAWING])]).ods == 1
    assert summarise([agreement([DRAWING])]) == Scores(
        ods=0, ods_precision=0, ods_recall=0, ods_threshold=1, ois=0, ois_precision=0, ois_recall=0, ap=None
    )


def test_agreement_compares_each_person_with_all_others() -> None:
    half = DRAWING.copy()
    half[:, :35] = False
    counts = agreement([DRAWING, DRAWING, half])
    whole, part = int(DRAWING.sum()), int(half.sum())
    assert counts.found.tolist() == [2 * whole + part]
    assert counts.found_matched.tolist() == [2 * whole + part]
    assert counts.drawn.tolist() == [4 * whole + 2 * part]
    # The whole ones find each other and the half; the half finds as much as it has of either.
    assert counts.drawn_matched.tolist() == [2 * (whole + part) + 2 * part]


def test_ods_is_interpolated_between_thresholds() -> None:
    precision, recall = [0.5, 0.8, 1.0], [1.0, 0.6, 0.2]
    scores = summarise([counts_of(precision, recall, [0.2, 0.4, 0.6])])
    at = np.linspace(0.2, 0.6, 100_001)
    curve = f_measure(np.interp(at, [0.2, 0.4, 0.6], precision), np.interp(at, [0.2, 0.4, 0.6], recall))
    assert scores.ods == pytest.approx(curve.max(), abs=1e-5)
    assert scores.ods > f_measure(0.8, 0.6)
    assert scores.ods_threshold == pytest.approx(at[curve.argmax()], abs=0.2 / 99)


def test_average_precision_is_the_official_sum() -> None:
    # Recalls 0.20 to 0.60: 41 values from 1 to 0.8, 0.9 on average; 0.61 to 1: 40 values 0.8 − 0.0075 k.
    scores = summarise([counts_of([0.5, 0.8, 1.0], [1.0, 0.6, 0.2], [0.2, 0.4, 0.6])])
    assert scores.ap == pytest.approx((41 * 0.9 + 40 * 0.8 - 0.0075 * 40 * 41 / 2) / 100)


def test_each_photo_may_have_its_own_threshold_for_ois() -> None:
    early = counts_of([1.0, 0.5], [1.0, 0.5], [0.3, 0.6])
    late = counts_of([0.5, 1.0], [0.5, 1.0], [0.3, 0.6])
    scores = summarise([early, late])
    assert (scores.ois, scores.ois_precision, scores.ois_recall) == (1, 1, 1)
    assert scores.ods == pytest.approx(0.75)


def test_what_cannot_be_evaluated_is_refused() -> None:
    counts = evaluate(DRAWING.astype(np.float64), [DRAWING], 3)
    with pytest.raises(ValueError, match="at least one drawing"):
        evaluate(DRAWING.astype(np.float64), [])
    with pytest.raises(ValueError, match="one shape"):
        evaluate(DRAWING.astype(np.float64), [DRAWING.T])
    with pytest.raises(ValueError, match="at least one photo"):
        summarise([])
    with pytest.raises(ValueError, match="same thresholds"):
        summarise([counts, evaluate(DRAWING.astype(np.float64), [DRAWING], 4)])


@pytest.mark.slow
def test_people_agree_on_real_photos_as_much_as_is_published() -> None:
    photos = drawn_photos(real_bsds(), "test")[::40]
    counts = [agreement(read_drawings(photo.drawings.read_bytes())) for photo in photos]
    assert summarise(counts).ods == pytest.approx(0.803, abs=0.05)


def test_summed_counts_weigh_photos_by_their_pixels() -> None:
    tiny = np.zeros_like(DRAWING)
    tiny[0, :5] = True
    good, bad = evaluate(DRAWING * 1.0, [DRAWING], 3), evaluate(np.zeros(DRAWING.shape), [tiny], 3)
    drawn = int(DRAWING.sum())
    assert summarise([good, bad]).ods_recall == pytest.approx(drawn / (drawn + 5))
