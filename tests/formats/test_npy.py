"""Bitmaps are written as the official files are, whatever draws them."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest

from sketchdata.drawings.drawing import DrawingBatch
from sketchdata.errors import FormatError
from sketchdata.formats import npy
from tests.batches import batch_of, read_simplified

SQUARE = [[(0, 0), (255, 0), (255, 255), (0, 255), (0, 0)]]
DOT = [[(128, 128)]]


def dumped(*batches: DrawingBatch, draw: npy.Raster = npy.fast_raster) -> bytes:
    file = io.BytesIO()
    rows = npy.dump(batches, file, raster=draw)
    assert rows == sum(map(len, batches))
    return file.getvalue()


def test_rows_are_the_bitmaps_in_the_order_of_the_drawings_whatever_the_batches() -> None:
    content = dumped(batch_of(SQUARE, DOT), batch_of(DOT))
    found = np.load(io.BytesIO(content))
    assert (found.shape, found.dtype) == ((3, 784), np.uint8)
    np.testing.assert_array_equal(found.reshape(-1, 28, 28), npy.fast_raster(batch_of(SQUARE, DOT, DOT)))
    np.testing.assert_array_equal(found[1], found[2])


def test_the_fast_raster_centres_a_drawing_with_the_official_margins() -> None:
    square, dot, line = npy.fast_raster(batch_of(SQUARE, [[(0, 0)]], [[(0, 0), (255, 0)]])).astype(int)
    # The line reaches from 16 of 304 to 288, which is from 1.5 to 26.5 of 28 pixels.
    for ink in (square.any(axis=0), square.any(axis=1), line.any(axis=0)):
        assert np.flatnonzero(ink).tolist() == list(range(1, 27))
    assert np.flatnonzero(line.any(axis=1)).tolist() == [13, 14]
    assert np.flatnonzero(dot.any(axis=0)).tolist() == np.flatnonzero(dot.any(axis=1)).tolist() == [13, 14]


def test_a_batch_larger_than_a_slice_is_drawn_whole() -> None:
    bitmaps = npy.fast_raster(batch_of(*[DOT, SQUARE] * 150))
    assert (bitmaps[::2] == bitmaps[0]).all()
    assert (bitmaps[1::2] == bitmaps[1]).all()


def test_raw_drawings_are_fitted_first() -> None:
    shifted = [[(10 + 2 * x, 2 * y - 7) for x, y in SQUARE[0]]]
    np.testing.assert_array_equal(npy.fast_raster(batch_of(shifted, raw=True)), npy.fast_raster(batch_of(SQUARE)))


def test_any_raster_can_be_given() -> None:
    content = dumped(batch_of(DOT, DOT), draw=lambda batch: np.full((len(batch), 28, 28), 7, np.uint8))
    assert (np.load(io.BytesIO(content)) == 7).all()


def test_a_raster_of_another_shape_is_refused() -> None:
    with pytest.raises(FormatError, match="not 28×28"):
        dumped(batch_of(DOT), draw=lambda batch: np.zeros((len(batch), 784), np.uint8))


@pytest.mark.parametrize("rows", [0, 1, 137_619, 50_426_266])
def test_the_header_has_the_official_length_and_is_numpys(rows: int) -> None:
    header = npy.header(rows)
    assert len(header) == 80  # official: star.npy has 80 + 784 · 137,619 bytes
    file = io.BytesIO(header)
    assert np.lib.format.read_magic(file) == (1, 0)
    assert np.lib.format.read_array_header_1_0(file) == ((rows, 784), False, np.dtype(np.uint8))


def test_more_rows_than_the_header_has_digits_for_are_refused() -> None:
    with pytest.raises(FormatError, match="too many bitmaps"):
        npy.header(10**12)


def test_no_drawings_make_an_empty_file_that_numpy_reads() -> None:
    assert np.load(io.BytesIO(dumped())).shape == (0, 784)


def test_the_official_list_has_sizes_of_whole_rows_after_this_header() -> None:
    lines = (Path(__file__).parents[2] / "manifests" / "quickdraw-files.csv").read_text().splitlines()
    sizes = [int(line.split(",")[1]) for line in lines if ".npy" in line]
    assert len(sizes) == 345
    assert all((size - 80) % 784 == 0 for size in sizes)


@pytest.mark.skipif("SKETCHDATA_REAL_DATA" not in os.environ, reason="SKETCHDATA_REAL_DATA names no real files")
@pytest.mark.parametrize("word", ["bowtie", "eye"])
def test_the_fast_raster_is_near_the_official_one_on_real_drawings(word: str) -> None:
    folder = Path(os.environ["SKETCHDATA_REAL_DATA"]) / "quickdraw" / "full"
    official = np.load(folder / "numpy_bitmap" / f"{word}.npy").astype(int)
    batch = read_simplified([folder / "simplified" / f"{word}.ndjson"]).slice(0, len(official))
    found = np.load(io.BytesIO(dumped(batch))).astype(int)
    assert np.abs(found - official).mean() < 3
