"""The official raster: Google's own bitmaps, bit for bit, and those of a plain cairo program for everything else."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sketchdata.drawings.drawing import DrawingBatch
from sketchdata.drawings.raster_cairo import load_cairo, official_raster
from sketchdata.errors import ConfigError, FormatError
from tests.batches import batch_of, read_simplified

try:
    cairo = load_cairo()
    without_cairo = ""
except ConfigError as error:
    without_cairo = str(error)
needs_cairo = pytest.mark.skipif(bool(without_cairo), reason=without_cairo)
needs_real_data = pytest.mark.skipif(
    "SKETCHDATA_REAL_DATA" not in os.environ, reason="SKETCHDATA_REAL_DATA names no folder of real data"
)

points = st.tuples(st.integers(0, 255), st.integers(0, 255))
drawings = st.lists(st.lists(points, min_size=1, max_size=8), min_size=1, max_size=6)


def one_at_a_time(batch: DrawingBatch, size: int = 28) -> np.ndarray:
    """The published recipe, written as its author wrote it: one surface, one call a point, one channel read."""
    surface = cairo.ImageSurface(cairo.FORMAT_ARGB32, size, size)
    context = cairo.Context(surface)
    context.set_antialias(cairo.ANTIALIAS_BEST)
    context.set_line_cap(cairo.LINE_CAP_ROUND)
    context.set_line_join(cairo.LINE_JOIN_ROUND)
    context.set_line_width(16)
    context.scale(size / (256 + 16 * 2 + 16), size / (256 + 16 * 2 + 16))
    context.translate(24, 24)
    bitmaps = []
    for drawing in batch.drawings(["drawing"]):
        context.set_source_rgb(0, 0, 0)
        context.paint()
        context.set_source_rgb(1, 1, 1)
        farthest = np.concatenate([*drawing.strokes, np.zeros((1, 2))]).max(axis=0)
        for stroke in drawing.strokes:
            moved = (stroke + (256 - farthest) / 2).tolist()
            context.move_to(*moved[0])
            for x, y in moved:
                context.line_to(x, y)
            context.stroke()
        surface.flush()
        pixels = np.frombuffer(surface.get_data(), np.uint8)[::4]
        bitmaps.append(pixels.reshape(size, size).copy())
    return np.stack(bitmaps)


def random_batch(count: int, seed: int = 0) -> DrawingBatch:
    rng = np.random.default_rng(seed)
    lengths = [rng.integers(1, 20, rng.integers(1, 8)) for _ in range(count)]
    return batch_of(*([rng.integers(0, 256, (n, 2)).tolist() for n in strokes] for strokes in lengths))


@pytest.mark.slow
@needs_cairo
@needs_real_data
@pytest.mark.parametrize("word", ["bowtie", "eye"])
def test_every_official_bitmap_is_equal_to_the_last_bit(word: str) -> None:
    folder = Path(os.environ["SKETCHDATA_REAL_DATA"]) / "quickdraw" / "full"
    official = np.load(folder / "numpy_bitmap" / f"{word}.npy")
    batch = read_simplified([folder / "simplified" / f"{word}.ndjson"])
    assert len(official) >= 250
    drawn = official_raster(batch.slice(0, len(official)))
    np.testing.assert_array_equal(drawn.reshape(-1, 784), official)


@pytest.mark.slow
@needs_cairo
@needs_real_data
def test_real_drawings_of_many_classes_are_equal_to_the_plain_program() -> None:
    folder = Path(os.environ["SKETCHDATA_REAL_DATA"]) / "quickdraw" / "full" / "simplified"
    batch = read_simplified(sorted(folder.glob("*.ndjson"))[::8])
    batch = batch.slice(0, min(len(batch), 1500))
    assert len(batch) >= 1000
    np.testing.assert_array_equal(official_raster(batch), one_at_a_time(batch))


@pytest.mark.slow
@needs_cairo
@pytest.mark.parametrize("size", [1, 28, 29, 224])
def test_random_drawings_are_equal_to_the_plain_program_at_any_size(size: int) -> None:
    batch = random_batch(150)
    np.testing.assert_array_equal(official_raster(batch, size=size), one_at_a_time(batch, size))


@pytest.mark.slow
@needs_cairo
@given(made=st.lists(drawings, min_size=1, max_size=5))
def test_any_drawings_are_equal_to_the_plain_program(made: list[list[list[tuple[int, int]]]]) -> None:
    batch = batch_of(*made)
    np.testing.assert_array_equal(official_raster(batch), one_at_a_time(batch))


@needs_cairo
def test_strokes_that_cross_are_painted_one_over_the_other() -> None:
    corner = [(0, 0), (255, 255)], [(0, 255), (255, 0)]
    crossed, united = official_raster(batch_of([*corner], [[*corner[0], *reversed(corner[1])]]))
    assert (crossed != united).any()
    np.testing.assert_array_equal(crossed, one_at_a_time(batch_of([*corner]))[0])


@pytest.mark.slow
@needs_cairo
def test_threads_and_slices_change_nothing() -> None:
    batch = random_batch(400)
    drawn = official_raster(batch, threads=1)
    np.testing.assert_array_equal(official_raster(batch, threads=3), drawn)
    np.testing.assert_array_equal(official_raster(batch.slice(130, 270)), drawn[130:270])


@needs_cairo
def test_raw_and_simplified_points_give_the_same_bitmap() -> None:
    simplified = batch_of([[(0, 0), (255, 60), (31, 200)]])
    raw = batch_of([[(7, 9), (7 + 510, 9 + 120), (7 + 62, 9 + 400)]], raw=True)
    np.testing.assert_array_equal(official_raster(raw), official_raster(simplified))


@needs_cairo
def test_drawings_without_points_stay_blank_and_one_point_is_a_dot() -> None:
    bitmaps = official_raster(batch_of([], [[(0, 0)]], [[]], [[], [(0, 0), (255, 255)]]))
    assert bitmaps.any(axis=(1, 2)).tolist() == [False, True, False, True]
    # In the middle: the dot of 1.5 pixels lies on the four pixels around the middle.
    assert np.argwhere(bitmaps[1]).tolist() == [[13, 13], [13, 14], [14, 13], [14, 14]]
    np.testing.assert_array_equal(bitmaps[3], official_raster(batch_of([[(0, 0), (255, 255)]]))[0])


@needs_cairo
def test_no_drawings_give_no_bitmaps() -> None:
    assert official_raster(batch_of()).shape == (0, 28, 28)
    assert official_raster(batch_of(), size=5).dtype == np.uint8


@needs_cairo
def test_scribbles_of_5000_points_and_of_1000_strokes_are_drawn() -> None:
    rng = np.random.default_rng(0)
    long = [rng.integers(0, 256, (5000, 2)).tolist()]
    many = [rng.integers(0, 256, (2, 2)).tolist() for _ in range(1000)]
    batch = batch_of(long, [[(5, 5), (9, 9)]], many)
    np.testing.assert_array_equal(official_raster(batch), one_at_a_time(batch))


@needs_cairo
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_coordinate_that_is_no_number_is_refused_and_named(bad: float) -> None:
    batch = batch_of([[(0, 0), (1, 1)]], [[(5, 5), (6, bad)]], raw=True)
    with pytest.raises(FormatError, match=r"not a finite number: .* in drawing 1, key_id 5000000000000001"):
        official_raster(batch)


@pytest.mark.parametrize("size", [0, -1, 1025])
def test_a_size_out_of_range_is_refused(size: int) -> None:
    with pytest.raises(ConfigError, match=f"1 to 1024 pixels, not {size}"):
        official_raster(batch_of(), size=size)


def test_without_cairocffi_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cairocffi", None)
    with pytest.raises(ConfigError, match=r"cairocffi.*pip install 'sketchdata\[cairo\]'"):
        official_raster(batch_of([[(0, 0)]]))


def test_without_the_system_library_the_error_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # cairocffi ends just so where there is no libcairo: a package that does the same stands in for such a machine.
    (tmp_path / "cairocffi.py").write_text("raise OSError('no library called \"cairo-2\" was found')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "cairocffi", raising=False)
    with pytest.raises(ConfigError, match=r"libcairo\.so\.2.*apt-get install libcairo2"):
        official_raster(batch_of([[(0, 0)]]))
