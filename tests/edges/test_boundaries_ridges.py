"""Non-maximum suppression of the benchmark, on lines whose middle is known."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sketchdata.edges.boundaries import ridges


def soft_line(degrees: float, side: int = 101) -> npt.NDArray[np.uint8]:
    """Return a broad line through the middle, fading to both sides: (side, side)."""
    y, x = np.indices((side, side)) - side // 2
    off = x * np.sin(np.radians(degrees)) - y * np.cos(np.radians(degrees))
    return np.rint(240 * np.exp(-(off**2) / (2 * 3.0**2))).astype(np.uint8)


# Not at 45°: there the toolbox' direction on the flanks of a line runs exactly along it.
@pytest.mark.parametrize("degrees", [0, 10, 20, 30, 60, 70, 80, 90, 110, 120, 150, 170])
def test_of_a_broad_line_its_middle_is_left(degrees: int) -> None:
    # Where the line has faded to a few levels, equal neighbours are ridges, too; thresholds leave them out.
    inner = np.where(ridges(soft_line(degrees)) > 10, 255, 0)[10:91, 10:91]
    y, x = np.nonzero(inner)
    off = (x - 40) * np.sin(np.radians(degrees)) - (y - 40) * np.cos(np.radians(degrees))
    assert np.abs(off).max() <= 1.0
    # From side to side, and not much more than one pixel wide.
    assert max(inner.any(axis=0).sum(), inner.any(axis=1).sum()) >= 80
    assert 80 <= np.count_nonzero(inner) <= 2 * 81


def test_strength_fades_in_over_five_pixels_from_the_border() -> None:
    found = ridges(soft_line(0))[50].astype(int)
    assert found[:6].tolist() == pytest.approx([found[50] * n / 5 for n in range(6)], abs=1)
    assert found[::-1][:6].tolist() == found[:6].tolist()
    assert found[5:96].tolist() == [found[50]] * 91
    # The line itself is smoothed, so that its crest loses some of its 240 levels.
    assert found[50] > 220


def test_a_step_of_strength_is_no_ridge_but_a_crest_is() -> None:
    stairs = np.zeros((60, 60), np.uint8)
    stairs[:, 30:] = 200
    stairs[:, 45] = 250
    found = ridges(stairs)
    assert found[30, 45] > 150
    assert not found[30, 20:29].any()


@pytest.mark.slow
@given(arrays.arrays(np.uint8, arrays.array_shapes(min_dims=2, max_dims=2, max_side=20)))
def test_any_map_of_any_size_keeps_its_shape_and_gains_no_strength(strength: npt.NDArray[np.uint8]) -> None:
    found = ridges(strength)
    assert found.shape == strength.shape
    assert found.dtype == np.uint8
    assert (found <= cv2.dilate(strength, np.ones((3, 3), np.uint8))).all()


@given(st.integers(0, 255))
def test_a_map_without_edges_stays_without(level: int) -> None:
    # A level one counts as ridge everywhere but at the border, as in the toolbox.
    found = ridges(np.full((40, 50), level, np.uint8))
    assert (found[5:-5, 5:-5] == level).all()
    assert not found[[0, -1]].any()
    assert not found[:, [0, -1]].any()
