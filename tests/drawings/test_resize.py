"""Edge-preserving resize: ink goes to ink, nothing is interpolated, and odd pictures are refused or stay empty."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage.measure import label

from sketchdata.drawings.resize import resize_ink
from sketchdata.errors import ConfigError


def circle(size: int = 200, width: int = 1) -> np.ndarray:
    canvas = np.zeros((size, size), np.uint8)
    cv2.circle(canvas, (size // 2, size // 2), size // 3, 255, width)
    return canvas[None]


def turn(degrees: float, side: float = 1.0) -> np.ndarray:
    angle = np.radians(degrees)
    linear = np.array([[side * np.cos(angle), -np.sin(angle)], [side * np.sin(angle), np.cos(angle)]])
    return np.concatenate([linear, 127.5 - linear.sum(1, keepdims=True) * 127.5], axis=1)[None].astype(np.float32)


def test_the_same_size_changes_nothing() -> None:
    drawn = np.random.default_rng(0).integers(0, 256, (3, 28, 28)).astype(np.uint8)
    assert np.array_equal(resize_ink(drawn, 28), drawn)


def test_mirroring_is_exact() -> None:
    drawn = np.random.default_rng(1).integers(0, 256, (1, 28, 28)).astype(np.uint8)
    assert np.array_equal(resize_ink(drawn, 28, affine=turn(0, -1.0)), drawn[:, :, ::-1])


@pytest.mark.parametrize("size", [64, 100, 500])
@pytest.mark.parametrize("degrees", [0, 11.25, 45])
def test_a_line_stays_whole_and_as_dark_as_it_was(size: int, degrees: float) -> None:
    found = resize_ink(circle(), size, affine=turn(degrees))[0]
    assert set(np.unique(found)) == {0, 255}
    _, count = label(found > 0, connectivity=2, return_num=True)
    assert count == 1
    # It still parts its inside from its outside.
    assert label(found == 0, connectivity=1).max() == 2


def test_bilinear_resizing_does_not_keep_ink() -> None:
    blurred = cv2.resize(circle()[0], (64, 64), interpolation=cv2.INTER_LINEAR)
    assert len(np.unique(blurred)) > 2


def test_thinning_leaves_lines_of_one_pixel() -> None:
    broad = circle(width=9)
    thick, thin = resize_ink(broad, 100), resize_ink(broad, 100, thinned=True)
    assert 2 * np.count_nonzero(thin) < np.count_nonzero(thick)
    assert label(thin[0] == 0, connectivity=1).max() == 2


def test_a_drawing_that_leaves_the_square_is_moved_back() -> None:
    box = np.zeros((1, 50, 50), np.uint8)
    cv2.rectangle(box[0], (0, 0), (49, 49), 255, 1)
    found = resize_ink(box, 50, affine=turn(45))[0]
    assert label(found == 0, connectivity=1).max() == 5  # the inside and four corners


def test_a_picture_that_is_not_square_is_centred() -> None:
    found = resize_ink(np.full((1, 1, 5), 255, np.uint8), 5)[0]
    assert np.array_equal(np.flatnonzero(found.any(axis=1)), [2])
    assert found[2].all()


def test_one_pixel_and_no_ink() -> None:
    assert np.count_nonzero(resize_ink(np.full((1, 1, 1), 9, np.uint8), 32)) == 1
    for thinned in (False, True):
        assert not resize_ink(np.zeros((2, 7, 9), np.uint8), 32, thinned=thinned).any()


@pytest.mark.parametrize(
    ("shape", "size", "maps"), [((1, 4, 4), 0, None), ((4, 4), 8, None), ((1, 0, 4), 8, None), ((2, 4, 4), 8, 1)]
)
def test_what_does_not_fit_is_refused(shape: tuple[int, ...], size: int, maps: int | None) -> None:
    affine = None if maps is None else turn(0)
    with pytest.raises(ConfigError):
        resize_ink(np.zeros(shape, np.uint8), size, affine=affine)
