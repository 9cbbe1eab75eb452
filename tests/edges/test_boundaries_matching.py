"""Matching of boundary pixels against brute force, against SciPy's dense assignment, and on lines that are moved."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from sketchdata.edges import thin
from sketchdata.edges.boundaries import TOLERANCE, evaluate, even_thresholds, match
from sketchdata.edges.bsds import drawn_photos, read_drawings
from sketchdata.edges.filters import sobel
from sketchdata.photos.image import decode
from tests.drawn_photos import real_bsds

Mask = npt.NDArray[np.bool_]
#: As correspondPixels takes it, in tolerances.
OUTLIER = 100
LONGEST = TOLERANCE * math.hypot(321, 481)


def places(mask: Mask) -> npt.NDArray[np.float64]:
    return np.argwhere(mask).astype(np.float64)


def distances(first: Mask, second: Mask) -> npt.NDArray[np.float64]:
    """Return the distance of each pixel of one to each of the other: (M, N)."""
    return np.linalg.norm(places(first)[:, None] - places(second)[None], axis=2)


def most_pairs(near: Sequence[Sequence[int]], taken: frozenset[int] = frozenset()) -> int:
    """Return the size of the largest matching by trying all of them."""
    if not near:
        return 0
    with_first = [1 + most_pairs(near[1:], taken | {each}) for each in near[0] if each not in taken]
    return max([most_pairs(near[1:], taken), *with_first])


def least_cost(first: Mask, second: Mask, tolerance: float) -> tuple[int, int]:
    """Return pairs and cost of the least costly assignment, every pixel having an outlier of its own."""
    between = distances(first, second)
    m, n = between.shape
    forbidden, outlier = 10**9, math.ceil(100 * OUTLIER * tolerance)
    costs = np.full((m + n, m + n), forbidden)
    costs[:m, :n] = np.where(between <= tolerance, np.rint(100 * between), forbidden)
    costs[np.arange(m), n + np.arange(m)] = outlier
    costs[m + np.arange(n), np.arange(n)] = outlier
    costs[m:, n:] = 0
    row, column = linear_sum_assignment(costs)
    pairs = (row < m) & (column < n)
    return int(pairs.sum()), int(costs[row[pairs], column[pairs]].sum())


def masks(side: int, most: int) -> st.SearchStrategy[Mask]:
    cell = st.tuples(st.integers(0, side - 1), st.integers(0, side))

    def mask(cells: list[tuple[int, int]]) -> Mask:
        found = np.zeros((side, side + 1), np.bool_)
        for at in cells:
            found[at] = True
        return found

    return st.lists(cell, max_size=most).map(mask)


def line(row: int, shape: tuple[int, int] = (321, 481)) -> Mask:
    mask = np.zeros(shape, np.bool_)
    mask[row, 50:250] = True
    return mask


@given(masks(5, 6), masks(5, 6), st.sampled_from([0.5, 1.0, 1.5, 2.3]))
def test_as_many_pixels_are_matched_as_can_be(first: Mask, second: Mask, tolerance: float) -> None:
    near = [[int(column) for column in np.flatnonzero(row <= tolerance)] for row in distances(first, second)]
    one, other = match(first, second, tolerance)
    assert one.sum() == other.sum() == most_pairs(near)
    assert not (one & ~first).any()
    assert not (other & ~second).any()


@pytest.mark.slow
@settings(max_examples=200)
@given(masks(12, 60), masks(12, 60), st.sampled_from([1.0, 2.3, 4.34]))
def test_no_other_assignment_costs_less(first: Mask, second: Mask, tolerance: float) -> None:
    one, other = match(first, second, tolerance)
    pairs, cost = least_cost(first, second, tolerance)
    assert one.sum() == other.sum() == pairs
    # The pixels that were chosen can be paired among themselves at that cost, and so have been.
    assert least_cost(one, other, tolerance) == (pairs, cost)


@given(masks(8, 30), masks(8, 30))
def test_which_of_two_masks_comes_first_does_not_matter_for_the_number(first: Mask, second: Mask) -> None:
    assert match(first, second, 2.3)[0].sum() == match(second, first, 2.3)[0].sum()


@pytest.mark.parametrize("rows", [0, 3, 4])
def test_a_line_that_is_moved_a_little_is_matched_wholly(rows: int) -> None:
    one, other = match(line(100), line(100 + rows), LONGEST)
    assert one.tolist() == line(100).tolist()
    assert other.tolist() == line(100 + rows).tolist()


@pytest.mark.parametrize("rows", [5, 8])
def test_a_line_that_is_moved_too_far_is_not_matched_at_all(rows: int) -> None:
    assert not any(found.any() for found in match(line(100), line(100 + rows), LONGEST))


def test_a_broad_line_earns_no_more_than_a_thin_one() -> None:
    broad = line(99) | line(100) | line(101)
    one, other = match(broad, line(100), LONGEST)
    assert one.tolist() == line(100).tolist()
    assert other.tolist() == line(100).tolist()


@pytest.mark.parametrize("corner", [(0, 0), (0, 480), (320, 0), (320, 480)])
def test_pixels_at_the_border_have_neighbours_only_inside(corner: tuple[int, int]) -> None:
    # One row up or down on the other side of the picture lies next in memory.
    first, second = np.zeros((2, 321, 481), np.bool_)
    first[corner] = True
    second[:, 240] = True
    assert not match(first, second, LONGEST)[0].any()
    assert match(first, first, LONGEST)[0].tolist() == first.tolist()


def test_masks_of_two_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        match(np.zeros((3, 4), np.bool_), np.zeros((4, 3), np.bool_), 1.0)


@pytest.mark.slow
def test_on_photos_the_least_cost_has_as_many_pairs_as_any_matching() -> None:
    photo = drawn_photos(real_bsds(), "test")[100]
    found = thin(sobel(decode(photo.photo.read_bytes())), weakest=40) > 0
    for drawing in read_drawings(photo.drawings.read_bytes()):
        one, _ = match(found, drawing, LONGEST)
        assert one.sum() == largest_matching(found, drawing)
        assert one.sum() > 500


def largest_matching(first: Mask, second: Mask) -> int:
    """Return the most pairs within tolerance, by Hopcroft and Karp's algorithm over all of them."""
    from scipy.spatial import cKDTree

    near = cKDTree(places(first)).query_ball_tree(cKDTree(places(second)), LONGEST)
    starts = np.cumsum([0, *map(len, near)])
    columns = np.array([each for row in near for each in row], np.int32)
    graph = csr_array((np.ones(len(columns)), columns, starts), shape=(first.sum(), second.sum()))
    return int((maximum_bipartite_matching(graph, perm_type="column") >= 0).sum())


def test_a_third_of_the_official_thresholds_gives_counts_among_the_official_ones() -> None:
    # Every third of the 99, so that the counts at 33 are those of a coarser sweep and nothing else.
    strength = np.zeros((40, 60), np.uint8)
    strength[20, 5:55] = np.arange(50) * 5
    drawing = strength > 0
    many, few = evaluate(strength, [drawing], 99), evaluate(strength, [drawing], 33)
    at = [int(np.abs(many.thresholds - level).argmin()) for level in few.thresholds]
    assert np.abs(many.thresholds[at] - even_thresholds(33)).max() <= 0.005
    assert np.abs(many.found[at] - few.found).max() <= 1
