"""Histograms of oriented gradients: of lines whose direction is known, and as good as those of scikit-image."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage.feature import hog
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from sketchdata.errors import ConfigError
from sketchdata.retrieval.shallow_hashing import ORIENTATIONS, hog_features, hog_width


def line(degrees: float, side: int = 56) -> np.ndarray:
    """A broad line through the middle, so many degrees from the horizontal."""
    picture = np.zeros((side, side), np.uint8)
    way = np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))]) * side
    middle = np.full(2, side / 2)
    cv2.line(picture, *(tuple((middle + sign * way).astype(int).tolist()) for sign in (-1, 1)), 255, 3, cv2.LINE_AA)
    return picture


@pytest.mark.parametrize(("side", "cells", "width"), [(28, 7, 1296), (224, 7, 1296), (64, 8, 1764), (8, 2, 36)])
def test_a_feature_has_so_many_numbers(side: int, cells: int, width: int) -> None:
    features = hog_features(np.random.default_rng(0).integers(0, 256, (3, side, side), np.uint8), cells=cells)
    assert (features.shape, features.dtype) == ((3, width), np.float32)
    assert hog_width(cells) == width
    assert features.min() >= 0
    assert features.max() <= 1


@pytest.mark.parametrize("degrees", [0, 30, 60, 90, 120, 150])
def test_the_strongest_orientation_is_across_the_line(degrees: int) -> None:
    strength = hog_features(line(degrees)[None]).reshape(-1, ORIENTATIONS).sum(axis=0)
    centres = (np.arange(ORIENTATIONS) + 0.5) * 180 / ORIENTATIONS
    apart = np.abs((centres[strength.argmax()] - (degrees + 90) + 90) % 180 - 90)
    assert apart <= 180 / ORIENTATIONS


def test_a_picture_without_ink_has_no_gradients() -> None:
    assert not hog_features(np.zeros((2, 28, 28), np.uint8)).any()


def test_ink_on_white_is_described_as_ink_on_black() -> None:
    pictures = np.stack([line(20), line(75)])
    assert hog_features(255 - pictures) == pytest.approx(hog_features(pictures), abs=1e-6)


def test_each_picture_is_described_for_itself() -> None:
    pictures = np.stack([line(degrees) for degrees in range(0, 180, 20)])
    alone = np.concatenate([hog_features(picture[None]) for picture in pictures])
    # As a view that is turned over and not contiguous, too.
    assert (hog_features(pictures[::-1])[::-1] == alone).all()
    assert hog_features(pictures[:0]).shape == (0, 1296)


@pytest.mark.slow
def test_digits_are_told_apart_as_well_as_by_scikit_image() -> None:
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))[:600]
    grey = (digits.images[order] * 15.9).astype(np.uint8)
    pictures = np.stack([cv2.resize(each, (28, 28), interpolation=cv2.INTER_LINEAR) for each in grey])
    options = {"orientations": 9, "pixels_per_cell": (4, 4), "cells_per_block": (2, 2), "block_norm": "L2-Hys"}
    theirs = np.stack([hog(picture, **options) for picture in pictures])
    right = []
    for features in (hog_features(pictures), theirs):
        judge = KNeighborsClassifier(1).fit(features[:400], digits.target[order[:400]])
        right.append(judge.score(features[400:], digits.target[order[400:]]))
    assert right[0] > right[1] - 0.02
    assert right[0] > 0.9


@pytest.mark.parametrize(
    ("pictures", "cells", "message"),
    [
        (np.zeros((2, 28, 30), np.uint8), 7, r"not uint8 of shape \(2, 28, 30\)"),
        (np.zeros((28, 28), np.uint8), 7, r"not uint8 of shape \(28, 28\)"),
        (np.zeros((2, 28, 28), np.float32), 7, "not float32 of shape"),
        (np.zeros((2, 28, 28), np.uint8), 8, "28 pixels do not divide into 8 cells"),
        (np.zeros((2, 28, 28), np.uint8), 1, "28 pixels do not divide into 1 cells"),
        (np.zeros((2, 0, 0), np.uint8), 7, "0 pixels do not divide into 7 cells"),
    ],
)
def test_other_bitmaps_are_refused(pictures: np.ndarray, cells: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        hog_features(pictures, cells=cells)
