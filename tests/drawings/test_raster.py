from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from batches import batch_of, read_simplified
from hypothesis import given
from hypothesis import strategies as st

from sketchdata.drawings.drawing import DrawingBatch
from sketchdata.drawings.raster import fit, ink_counts, paint, raster
from sketchdata.errors import ConfigError, FormatError

SIZES = [28, 64, 224, 300]

points = st.tuples(st.integers(0, 255), st.integers(0, 255))
drawings = st.lists(st.lists(points, min_size=1, max_size=12), max_size=6)


def random_batch(count: int, seed: int = 0) -> DrawingBatch:
    rng = np.random.default_rng(seed)
    lengths = [rng.integers(1, 20, rng.integers(1, 8)) for _ in range(count)]
    return batch_of(*([rng.integers(0, 256, (n, 2)).tolist() for n in strokes] for strokes in lengths))


def strokes_of(batch: DrawingBatch, row: int, size: int) -> list[np.ndarray]:
    """The strokes of one simplified drawing in pixels, computed one number at a time."""
    scaled = [[(2 * int(v) * (size - 1) + 255) // 510 for v in column] for column in (batch.x, batch.y)]
    xy = np.array(scaled, np.int32).T
    bounds = batch.points[batch.strokes[row] : batch.strokes[row + 1] + 1].tolist()
    return [xy[a:b] for a, b in pairwise(bounds)]


def reference(batch: DrawingBatch, size: int, line_width: int = 1, line_type: int = cv2.LINE_8) -> np.ndarray:
    """One cv2.polylines call a stroke."""
    bitmaps = np.zeros((len(batch), size, size), np.uint8)
    for row, bitmap in enumerate(bitmaps):
        for stroke in strokes_of(batch, row, size):
            line = stroke if len(stroke) > 1 else np.repeat(stroke, 2, axis=0)
            cv2.polylines(bitmap, [line], False, 255, line_width, line_type)
            if line_type == cv2.LINE_AA and line_width == 1 and (stroke == stroke[0]).all():
                bitmap[stroke[0, 1], stroke[0, 0]] = 255
    return bitmaps


def closed_form(batch: DrawingBatch, size: int) -> np.ndarray:
    """The 8-connected line as integer arithmetic, as any device can compute it."""
    bitmaps = np.zeros((len(batch), size, size), np.uint8)
    for row, bitmap in enumerate(bitmaps):
        for stroke in strokes_of(batch, row, size):
            for start, end in pairwise(np.concatenate([stroke[:1], stroke]).tolist()):
                (x0, y0), (x1, y1) = sorted([start, end], key=lambda point: point[0])
                width, height, down = x1 - x0, abs(y1 - y0), 1 if y1 >= y0 else -1
                longer, shorter = max(width, height), min(width, height)
                major = np.arange(longer + 1)
                minor = (2 * shorter * major + max(longer - 1, 0)) // max(2 * longer, 1)
                x, y = (major, minor) if width >= height else (minor, major)
                bitmap[y0 + down * y, x0 + x] = 255
    return bitmaps


@pytest.mark.parametrize("size", SIZES)
def test_random_drawings_are_bit_equal_to_one_polyline_a_stroke(size: int) -> None:
    batch = random_batch(60)
    np.testing.assert_array_equal(raster(batch, size=size), reference(batch, size))


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
@given(made=st.lists(drawings, max_size=4))
def test_any_drawings_are_bit_equal_to_one_polyline_a_stroke(
    size: int, made: list[list[list[tuple[int, int]]]]
) -> None:
    batch = batch_of(*made)
    np.testing.assert_array_equal(raster(batch, size=size), reference(batch, size))


@pytest.mark.slow
@given(made=st.lists(drawings, max_size=3))
def test_one_pixel_lines_follow_the_closed_form(made: list[list[list[tuple[int, int]]]]) -> None:
    batch = batch_of(*made)
    np.testing.assert_array_equal(raster(batch, size=224), closed_form(batch, 224))


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("line_width", [1, 2, 3, 7, 64])
@pytest.mark.parametrize("size", [28, 224])
def test_width_and_antialias_are_bit_equal_to_opencv(size: int, line_width: int, antialias: bool) -> None:
    batch = random_batch(20)
    line_type = cv2.LINE_AA if antialias else cv2.LINE_8
    drawn = raster(batch, size=size, line_width=line_width, antialias=antialias)
    np.testing.assert_array_equal(drawn, reference(batch, size, line_width, line_type))


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("stroke", [[(10, 200)], [(10, 200), (10, 200)]], ids=["one point", "two equal points"])
def test_a_drawing_of_one_place_paints_its_pixel(stroke: list[tuple[int, int]], antialias: bool) -> None:
    bitmap = raster(batch_of([stroke]), size=256, antialias=antialias)[0]
    assert bitmap[200, 10] == 255
    assert np.count_nonzero(bitmap > 2) == 1


def test_smooth_dots_land_in_their_own_drawing() -> None:
    batch = batch_of([[(0, 0), (255, 0)], [(9, 90)]], [[(30, 40), (30, 40)]], [], [[(255, 255)]])
    bitmaps = raster(batch, size=256, antialias=True)
    assert [bitmaps[0, 90, 9], bitmaps[1, 40, 30], bitmaps[3, 255, 255]] == [255, 255, 255]
    assert [np.count_nonzero(bitmap > 2) for bitmap in bitmaps[1:]] == [1, 0, 1]


def test_no_drawings_give_no_bitmaps() -> None:
    bitmaps = raster(batch_of(), size=64)
    assert (bitmaps.shape, bitmaps.dtype) == ((0, 64, 64), np.uint8)


def test_a_drawing_without_strokes_stays_blank_between_others() -> None:
    line = [[(0, 0), (255, 255)]]
    assert raster(batch_of(line, [], line)).any(axis=(1, 2)).tolist() == [True, False, True]


def test_corners_reach_the_edges_at_every_size() -> None:
    frame = batch_of([[(0, 0), (255, 0), (255, 255), (0, 255), (0, 0)]])
    for size in (1, 2, 28, 224, 4096):
        bitmap = raster(frame, size=size)[0]
        assert all((edge == 255).all() for edge in (bitmap[0], bitmap[-1], bitmap[:, 0], bitmap[:, -1]))


def test_rows_go_down_and_ink_is_255_on_0() -> None:
    bitmap = raster(batch_of([[(0, 255), (255, 255)]]), size=28)[0]
    assert (bitmap[-1] == 255).all()
    assert not bitmap[:-1].any()


def test_a_slice_gives_the_same_bitmaps_as_the_whole() -> None:
    batch = random_batch(12)
    np.testing.assert_array_equal(raster(batch.slice(5, 9)), raster(batch)[5:9])


def test_raw_drawings_are_fitted_to_the_square_each_by_itself() -> None:
    wide = [[(100.0, 50.0), (610.0, 305.0)]]
    small = [[(-1.0, -1.0), (-1.0, 0.5)], [(-0.5, 0.25)]]
    fitted = fit(batch_of(wide, [], small, raw=True))
    np.testing.assert_allclose(fitted, [[0, 0], [255, 127.5], [0, 0], [0, 255], [85, 212.5]])


def test_raw_and_simplified_points_give_the_same_bitmap() -> None:
    simplified = batch_of([[(0, 0), (255, 60), (31, 200)]])
    raw = batch_of([[(7, 9), (7 + 510, 9 + 120), (7 + 62, 9 + 400)]], raw=True)
    np.testing.assert_array_equal(raster(raw), raster(simplified))


def test_raw_drawings_of_one_place_or_none_are_drawn() -> None:
    assert raster(batch_of([[(400.0, 300.0)]], [], raw=True), size=8).sum(axis=(1, 2)).tolist() == [255, 0]
    assert not raster(batch_of([], [], raw=True), size=8).any()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_coordinate_that_is_no_number_is_refused_and_named(bad: float) -> None:
    batch = batch_of([[(0, 0), (1, 1)]], [], [[(5, 5), (6, bad)]], raw=True)
    for draw in (raster, ink_counts):
        with pytest.raises(FormatError, match=r"not a finite number: x, y = .* in drawing 2, key_id 5000000000000002"):
            draw(batch)


@pytest.mark.slow
@pytest.mark.parametrize(("line_width", "antialias"), [(1, False), (3, False), (1, True)])
def test_threads_change_nothing(line_width: int, antialias: bool) -> None:
    batch = random_batch(600)
    for size in (28, 224):
        alone, together = (
            raster(batch, size=size, line_width=line_width, antialias=antialias, threads=threads) for threads in (1, 3)
        )
        np.testing.assert_array_equal(alone, together)
        assert alone.any(axis=(1, 2)).all()


@pytest.mark.slow
def test_drawings_may_be_drawn_over_what_memory_held_before() -> None:
    batch = random_batch(300)
    memory = np.full((300, 64, 64), 7, np.uint8)
    assert raster(batch, size=64, out=memory) is memory
    np.testing.assert_array_equal(memory, raster(batch, size=64))


@pytest.mark.parametrize(
    "out",
    [
        np.zeros((3, 64, 64), np.uint8),
        np.zeros((2, 64, 63), np.uint8),
        np.zeros((2, 64, 64), np.int8),
        np.zeros((2, 64, 128), np.uint8)[:, :, ::2],
    ],
    ids=["rows", "size", "type", "scattered"],
)
def test_memory_that_does_not_fit_is_refused(out: np.ndarray) -> None:
    with pytest.raises(ConfigError, match=r"contiguous uint8 of shape \(2, 64, 64\) is needed"):
        raster(random_batch(2), size=64, out=out)


@pytest.mark.parametrize(("size", "line_width"), [(224, 1), (28, 1), (1, 1), (64, 5)])
def test_ink_counts_are_those_of_the_bitmaps(size: int, line_width: int) -> None:
    batch = random_batch(400)
    bitmaps = raster(batch, size=size, line_width=line_width)
    expected = np.count_nonzero(bitmaps, axis=(1, 2))
    for threads in (1, 3):
        counts = ink_counts(batch, size=size, line_width=line_width, threads=threads)
        assert counts.dtype == np.int64
        assert counts.tolist() == expected.tolist()


def test_drawings_without_points_have_no_ink() -> None:
    assert ink_counts(batch_of([], [[]], [[(4, 4)]], []), size=10).tolist() == [0, 0, 1, 0]
    assert len(ink_counts(batch_of())) == 0
    assert ink_counts(batch_of([[(0, 0), (255, 0), (255, 255), (0, 255), (0, 0)]]), size=4096).tolist() == [4 * 4095]


@pytest.mark.parametrize("antialias", [False, True])
def test_strokes_without_points_draw_nothing(antialias: bool) -> None:
    line = [(0, 0), (255, 255)]
    drawn = raster(batch_of([[], line, []], [[]], [line]), size=32, antialias=antialias)
    np.testing.assert_array_equal(drawn[0], drawn[2])
    assert not drawn[1].any()


def test_a_scribble_of_5000_points_is_drawn_beside_others() -> None:
    scribble = [np.random.default_rng(0).integers(0, 256, (5000, 2)).tolist()]
    batch = batch_of([[(0, 0), (9, 9)]], scribble, [[(3, 3)]])
    np.testing.assert_array_equal(raster(batch), reference(batch, 224))


@pytest.mark.parametrize(("x", "y"), [(-1, 0), (0, 32), (32, 0), (5, -7)])
def test_points_outside_of_the_square_are_refused_and_reach_no_other_drawing(x: int, y: int) -> None:
    batch = batch_of([[(0, 0)]], [[(0, 0)]])
    with pytest.raises(FormatError, match="outside of the raster"):
        paint(batch, np.array([[x, y], [1, 1]], np.int32), np.empty((1, 32, 32), np.uint8))


@pytest.mark.parametrize("threads", [0, -2])
def test_less_than_one_thread_is_refused(threads: int) -> None:
    for draw in (raster, ink_counts):
        with pytest.raises(ConfigError, match=f"at least 1 thread, not {threads}"):
            draw(batch_of([[(0, 0)]]), threads=threads)


@pytest.mark.parametrize("size", [0, -1, 4097])
def test_a_size_out_of_range_is_refused(size: int) -> None:
    with pytest.raises(ConfigError, match=f"1 to 4096 pixels, not {size}"):
        raster(batch_of(), size=size)


@pytest.mark.parametrize("line_width", [0, -3, 65])
def test_a_line_width_out_of_range_is_refused(line_width: int) -> None:
    with pytest.raises(ConfigError, match=f"1 to 64 pixels, not {line_width}"):
        raster(batch_of(), line_width=line_width)


@pytest.mark.slow
@pytest.mark.skipif(
    "SKETCHDATA_REAL_DATA" not in os.environ, reason="SKETCHDATA_REAL_DATA names no folder of real data"
)
def test_real_drawings_are_bit_equal_to_opencv_and_to_the_closed_form() -> None:
    folder = Path(os.environ["SKETCHDATA_REAL_DATA"]) / "quickdraw" / "pool"
    batch = read_simplified(sorted(folder.glob("*.ndjson"))[:8])
    assert len(batch) >= 1000
    drawn = raster(batch)
    for start in range(0, len(batch), 100):
        part = batch.slice(start, min(start + 100, len(batch)))
        np.testing.assert_array_equal(drawn[start : start + 100], reference(part, 224))
    np.testing.assert_array_equal(drawn[:200], closed_form(batch.slice(0, 200), 224))
