"""Simplified drawings equal those of a plain reference bit for bit, and the official ones but for the last bits."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import itertools
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sketchdata.drawings.drawing import DrawingBatch, Parsed, concatenate, empty_batch
from sketchdata.drawings.simplify import simplify, simplify_records
from sketchdata.errors import FormatError
from sketchdata.formats import ndjson
from tests.batches import Points, batch_of
from tests.strategies import assert_same, batches

Place = tuple[float, float]

# ---- the reference: one drawing, one stroke, one point at a time ----------------------------------------------------


def reference(drawing: Sequence[Sequence[Place]]) -> list[list[tuple[int, int]]]:
    left, top = (min(place[axis] for stroke in drawing for place in stroke) for axis in (0, 1))
    right, bottom = (max(place[axis] for stroke in drawing for place in stroke) for axis in (0, 1))
    side = max(right - left, bottom - top) or 1.0
    fitted = [[((x - left) * 255 / side, (y - top) * 255 / side) for x, y in stroke] for stroke in drawing]
    return [[(round(x), round(y)) for x, y in thin_out(resample(stroke))] for stroke in fitted]


def resample(stroke: Sequence[Place]) -> list[Place]:
    dense, walked, unit = [stroke[0]], 0.0, 1
    for (ax, ay), (bx, by) in itertools.pairwise(stroke):
        step = math.sqrt((bx - ax) * (bx - ax) + (by - ay) * (by - ay))
        while unit <= walked + step:
            share = (unit - walked) / step
            dense.append(((1 - share) * ax + share * bx, (1 - share) * ay + share * by))
            unit += 1
        walked += step
    return [*dense, stroke[-1]]


def thin_out(points: Sequence[Place], epsilon: float = 2.0) -> list[Place]:
    """Ramer-Douglas-Peucker as in the textbook, without recursion, which Python has too little of."""
    keep, pieces = {0, len(points) - 1}, [(0, len(points) - 1)]
    while pieces:
        first, last = pieces.pop()
        distances = [line_distance(points[i], points[first], points[last]) for i in range(first + 1, last)]
        if distances and max(distances) > epsilon:
            middle = first + 1 + distances.index(max(distances))
            keep.add(middle)
            pieces += [(first, middle), (middle, last)]
    return [points[i] for i in sorted(keep)]


def line_distance(point: Place, a: Place, b: Place) -> float:
    dx, dy, px, py = b[0] - a[0], b[1] - a[1], point[0] - a[0], point[1] - a[1]
    length = math.sqrt(dx * dx + dy * dy)
    return abs(dx * py - dy * px) / length if length else math.sqrt(px * px + py * py)


def strokes_of(batch: DrawingBatch) -> list[list[list[Any]]]:
    return [
        [list(map(tuple, stroke[:, :2].tolist())) for stroke in drawing.strokes] for drawing in batch.drawings(["star"])
    ]


def scribble(points: int, seed: int) -> list[Place]:
    walk = np.random.default_rng(seed).normal(0, 9, (points, 2)).cumsum(axis=0)
    return [(x, y) for x, y in walk.tolist()]


def simplified(*strokes: Points) -> list[list[tuple[int, int]]]:
    return strokes_of(simplify(batch_of(strokes, raw=True)))[0]


# ---- equal to the reference -----------------------------------------------------------------------------------------


@pytest.mark.slow
@given(batches(raw=True))
def test_any_drawing_is_simplified_as_by_the_reference(batch: DrawingBatch) -> None:
    assert strokes_of(simplify(batch)) == list(map(reference, strokes_of(batch)))


def test_scribbles_are_simplified_as_by_the_reference() -> None:
    batch = batch_of(*([scribble(n, n), scribble(n // 2, 1)] for n in (2, 3, 10, 40, 100, 300)), raw=True)
    assert strokes_of(simplify(batch)) == list(map(reference, strokes_of(batch)))


# Whole pixels make parallels, equal distances and halves, where the last bit decides.
grid = st.lists(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=8), min_size=1)


@pytest.mark.slow
@given(st.lists(grid, max_size=4))
def test_drawings_on_whole_pixels_are_simplified_as_by_the_reference(drawings: list[list[list[Place]]]) -> None:
    batch = batch_of(*drawings, raw=True)
    assert strokes_of(simplify(batch)) == list(map(reference, drawings))


@pytest.mark.slow
@given(batches(raw=True))
def test_a_drawing_does_not_depend_on_the_others_of_its_batch(batch: DrawingBatch) -> None:
    alone = [simplify(batch.slice(row, row + 1)) for row in range(len(batch))]
    assert_same(simplify(batch), concatenate([empty_batch(), *alone]))


def test_chunks_end_between_strokes_without_a_trace() -> None:
    # Some 20,000 points a stroke once resampled, so that every chunk holds a few strokes of several drawings.
    batch = batch_of(
        *([scribble(3000, seed), scribble(5, seed), scribble(3000, seed + 9)] for seed in (1, 2, 3)), raw=True
    )
    alone = [simplify(batch.slice(row, row + 1)) for row in range(3)]
    assert_same(simplify(batch), concatenate(alone))


@pytest.mark.slow
@given(batches(raw=True), st.sampled_from([0.25, 2.0, 1024.0]))
def test_size_does_not_matter(batch: DrawingBatch, factor: float) -> None:
    larger = dataclasses.replace(batch, x=batch.x.astype(np.float64) * factor, y=batch.y.astype(np.float64) * factor)
    assert_same(simplify(larger), simplify(batch))


# ---- the steps ------------------------------------------------------------------------------------------------------


def test_a_drawing_is_moved_to_the_top_left_and_its_larger_side_is_255() -> None:
    assert simplified([(30, 700), (130, 700)], [(30, 700), (30, 750)]) == [[(0, 0), (255, 0)], [(0, 0), (0, 128)]]


def test_halves_are_rounded_to_even() -> None:
    assert simplified([(0, 0), (510, 0)], [(1, 0), (3, 0)], [(5, 0), (7, 0)])[1:] == [
        [(0, 0), (2, 0)],
        [(2, 0), (4, 0)],
    ]


def test_the_middle_of_any_whole_side_is_a_half() -> None:
    # As a factor, 255 / side would put some of them at 127.49999999999999, and so at 127.
    for side in range(2, 1000, 2):
        assert simplified([(0, 0), (side, 0)], [(side // 2, 0)])[1] == [(128, 0), (128, 0)], side


def test_a_stroke_of_one_place_becomes_two_equal_points() -> None:
    assert simplified([(0, 0), (100, 0)], [(100, 0)], [(0, 0)] * 5)[1:] == [[(255, 0)] * 2, [(0, 0)] * 2]
    assert simplified([(7, 7)]) == [[(0, 0), (0, 0)]]


@pytest.mark.parametrize(("height", "corners"), [(2.0, 0), (2.001, 2)])
def test_only_what_is_farther_than_2_is_a_corner(height: float, corners: int) -> None:
    (stroke,) = simplified([(0, 0), (0, height), (255, height), (255, 0)])
    assert len(stroke) == 2 + corners


def test_distance_is_to_the_line_so_that_a_turn_upon_itself_is_lost() -> None:
    assert simplified([(0, 0), (255, 0), (100, 0)]) == [[(0, 0), (100, 0)]]


def test_in_a_closed_stroke_distance_is_to_the_place_where_it_starts_and_ends() -> None:
    square = [(0, 0), (255, 0), (255, 255), (0, 255), (0, 0)]
    assert simplified(square) == [square]


def test_everything_but_the_points_is_kept_and_the_input_is_left_alone() -> None:
    batch = batch_of(
        [scribble(50, 1)], [scribble(9, 2), scribble(9, 3)], labels=[3, 1], recognized=[True, False], raw=True
    )
    before = [batch.x.copy(), batch.y.copy(), batch.points.copy()]
    result = simplify(batch)
    for name in ("key_id", "label", "countrycode", "timestamp", "recognized", "strokes"):
        assert np.array_equal(getattr(result, name), getattr(batch, name)), name
    assert (result.is_raw, result.x.dtype, result.y.dtype) == (False, np.uint8, np.uint8)
    assert all(map(np.array_equal, before, [batch.x, batch.y, batch.points]))


# ---- bad and extreme input ------------------------------------------------------------------------------------------


def test_no_drawings_are_simplified_to_none() -> None:
    assert_same(simplify(empty_batch(raw=True)), empty_batch())


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_coordinate_that_is_no_finite_number_is_named(value: float) -> None:
    batch = batch_of([[(0, 0), (1, 1)]], [[(0, 0)], [(5, value)]], raw=True)
    with pytest.raises(
        FormatError, match=r"not a finite number: x, y = 5\.0, -?(nan|inf) in stroke 1 of drawing 1, key_id"
    ):
        simplify(batch)


def test_a_number_beyond_float32_is_refused_before_it_overflows() -> None:
    batch = dataclasses.replace(batch_of([[(0, 0), (1, 1)]], raw=True), x=np.array([0, 1e308]), y=np.array([0.0, 1]))
    with pytest.raises(FormatError, match="not a finite number"):
        simplify(batch)


def test_the_largest_pixels_are_simplified() -> None:
    huge = float(np.finfo(np.float32).max)
    assert simplified([(-huge, -huge), (huge, huge)]) == [[(0, 0), (255, 255)]]


def test_an_empty_drawing_and_an_empty_stroke_are_named() -> None:
    with pytest.raises(FormatError, match="empty drawing: drawing 1, key_id"):
        simplify(batch_of([[(0, 0)]], [], raw=True))
    with pytest.raises(FormatError, match="empty stroke: stroke 1 of drawing 0, key_id"):
        simplify(batch_of([[(0, 0)], []], raw=True))


def test_a_scribble_of_5000_points_is_simplified() -> None:
    places = np.random.default_rng(5).uniform(0, 500, (5000, 2)).tolist()
    (stroke,) = simplified([(x, y) for x, y in places])
    assert len(stroke) > 4000


def zigzag(points: int) -> list[Place]:
    return [(500 * (i % 2), i / 1000) for i in range(points)]


def test_a_path_that_would_take_minutes_is_refused() -> None:
    with pytest.raises(FormatError, match=r"stroke too long: 1,\d{3},\d{3} times .* in stroke 1 of drawing 0, key_id"):
        simplify(batch_of([[(0, 0)], zigzag(5000)], raw=True))


def test_records_that_cannot_be_simplified_become_faults_and_the_others_stay() -> None:
    batch = batch_of([scribble(9, 1)], [zigzag(5000)], [scribble(9, 2)], raw=True)
    known = (2, FormatError("broken JSON"))
    parsed = Parsed(batch=batch, rows=np.array([0, 1, 4]), faults=[known])
    result = simplify_records(parsed)
    assert result.rows.tolist() == [0, 4]
    assert [(row, error.reason) for row, error in result.faults] == [(1, "stroke too long"), (2, "broken JSON")]
    assert_same(result.batch, simplify(batch.take(np.array([0, 2]))))


def test_good_records_are_simplified_together() -> None:
    parsed = Parsed(batch=batch_of([scribble(9, 1)], raw=True), rows=np.array([3]), faults=[])
    result = simplify_records(parsed)
    assert (result.rows.tolist(), result.faults) == ([3], [])
    assert_same(result.batch, simplify(parsed.batch))


# ---- equal to the official files ------------------------------------------------------------------------------------


def held_out(key_id: int) -> bool:
    """Return whether a pair is of the half that the recipe was not found on."""
    return hashlib.sha256(str(key_id).encode()).digest()[0] % 2 == 1


def real_pairs(folder: Path) -> Iterator[tuple[DrawingBatch, dict[int, Any], list[Any]]]:
    """Yield a class's raw drawings, its official simplified ones by key_id, and the raw numbers before float32."""
    for path in sorted((folder / "full" / "raw").glob("*.ndjson.gz")):
        word = path.name.removesuffix(".ndjson.gz")
        lines = gzip.decompress(path.read_bytes()).splitlines()
        parsed = ndjson.parse(lines, word=word, label=0, raw=True)
        assert not parsed.faults
        simplified_lines = (folder / "full" / "simplified" / f"{word}.ndjson").read_bytes().splitlines()
        official = {int(r["key_id"]): r["drawing"] for r in map(orjson.loads, simplified_lines)}
        yield parsed.batch, official, [orjson.loads(line)["drawing"] for line in lines]


@pytest.mark.skipif(
    "SKETCHDATA_REAL_DATA" not in os.environ, reason="SKETCHDATA_REAL_DATA names no folder with real drawings"
)
@pytest.mark.slow
def test_real_raw_drawings_become_the_official_simplified_ones() -> None:
    equal: dict[tuple[bool, str], list[bool]] = {(half, kind): [] for half in (False, True) for kind in ("f32", "f64")}
    for batch, official, drawings in real_pairs(Path(os.environ["SKETCHDATA_REAL_DATA"]) / "quickdraw"):
        x, y = (np.array([v for d in drawings for stroke in d for v in stroke[axis]], np.float64) for axis in (0, 1))
        for kind, raw in (("f32", batch), ("f64", dataclasses.replace(batch, x=x, y=y))):
            for record in ndjson.records(simplify(raw), itertools.repeat("star")):
                key_id = int(record["key_id"])
                if key_id in official:
                    equal[held_out(key_id), kind].append(record["drawing"] == official[key_id])
    share = {key: sum(flags) / len(flags) for key, flags in equal.items()}
    assert all(len(flags) > 1000 for flags in equal.values())
    assert share[False, "f64"] >= 0.999
    assert share[True, "f64"] >= 0.999
    assert share[True, "f32"] >= 0.99
