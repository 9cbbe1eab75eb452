"""Pixels of two line drawings matched one to one, within a distance and at the least cost.

Source: `correspondPixels` of the BSDS500 benchmark (`match.cc`), after Martin, Fowlkes and Malik, PAMI 2004. As there,
a pair costs its distance, a pixel that stays alone much more, and costs are whole numbers. There each pixel has a few
outliers by chance, and CSA solves; here each has its own, so the least cost is always reached. Of several assignments
of the same cost, the two may choose different ones.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

Mask = npt.NDArray[np.bool_]
_Places = npt.NDArray[np.intp]
_Costs = npt.NDArray[np.float64]

#: What a pixel that stays alone costs, in tolerances: `outlierCost` of the official code.
_OUTLIER_TOLERANCES = 100
#: Costs are whole hundredths of a pixel: `multiplier` of the official code.
_FINENESS = 100


def match(first: Mask, second: Mask, tolerance: float) -> tuple[Mask, Mask]:
    """Match the pixels of two masks one to one, as many as can be, at the least sum of distances.

    Args:
        first: (H, W) bool.
        second: (H, W) bool.
        tolerance: The longest distance of a pair, in pixels.

    Returns:
        (H, W) bool twice: the matched pixels of the first mask and those of the second, equally many.

    Raises:
        ValueError: The masks differ in shape.
    """
    if first.shape != second.shape:
        raise ValueError(f"expected two masks of one shape, not {first.shape} and {second.shape}")
    if np.count_nonzero(first) > np.count_nonzero(second):
        return match(second, first, tolerance)[::-1]
    one, other, costs = _pairs(first, second, tolerance)
    chosen_one, chosen_other = _assigned(one, other, costs, math.ceil(_FINENESS * _OUTLIER_TOLERANCES * tolerance))
    return _mask(chosen_one, first.shape), _mask(chosen_other, first.shape)


def _mask(places: _Places, shape: tuple[int, ...]) -> Mask:
    mask = np.zeros(shape, np.bool_)
    mask.flat[places] = True
    return mask


@functools.lru_cache(maxsize=64)
def _disc(tolerance: float) -> tuple[_Places, _Places, _Costs]:
    """Return dy, dx and cost of each offset within reach, the nearest first: (D,) each."""
    reach = math.floor(tolerance)
    dy, dx = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    squared = dy * dy + dx * dx
    within = squared <= tolerance * tolerance
    order = np.argsort(squared[within], kind="stable")
    costs = np.rint(_FINENESS * np.sqrt(squared[within][order]))
    return dy[within][order], dx[within][order], costs


def _pairs(first: Mask, second: Mask, tolerance: float) -> tuple[_Places, _Places, _Costs]:
    """Return each pair of pixels that may be matched, as places in the flat pictures, and its cost: (P,) each."""
    width, reach = first.shape[1], math.floor(tolerance)
    dy, dx, costs = _disc(tolerance)
    # With a margin that no offset leaves.
    around = np.pad(second, reach)
    places = np.flatnonzero(first)
    at = (places // width + reach) * around.shape[1] + places % width + reach
    pair, offset = np.nonzero(around.ravel()[at[:, None] + (dy * around.shape[1] + dx)])
    one = places[pair]
    return one, one + dy[offset] * width + dx[offset], costs[offset]


def _assigned(one: _Places, other: _Places, costs: _Costs, outlier: int) -> tuple[_Places, _Places]:
    """Return the places of the least costly assignment, pair by pair."""
    # What has nobody within reach is in no pair, and stays alone in any assignment.
    rows, row = _numbered(one)
    columns, column = _numbered(other)
    if len(rows) > len(columns):
        # A row that finds no partner is what takes time: all that can be reached from it is tried. Of the fewer pixels,
        # fewer are left over; a noisy map takes a tenth of the time.
        return _assigned(other, one, costs, outlier)[::-1]
    if not len(rows):
        return one, other
    chosen_rows, chosen_columns = min_weight_full_bipartite_matching(_square(row, column, costs, outlier))
    matched = (chosen_rows < len(rows)) & (chosen_columns < len(columns))
    return rows[chosen_rows[matched]], columns[chosen_columns[matched]]


def _square(row: _Places, column: _Places, costs: _Costs, outlier: int) -> csr_array:
    """Return the costs of P pairs of R rows and C columns, and of staying alone, as a matrix of (R + C, C + R).

    Row i may take column C + i at the price of an outlier, and column j row R + j for nothing. Where i and j take each
    other, so do R + j and C + i. All rows and columns are then assigned; SciPy solves that in two thirds of the time
    that a matrix of (R, C + R) takes, since it prepares none but square ones.
    """
    rows, columns = int(row.max()) + 1, int(column.max()) + 1
    one, other = np.arange(rows), np.arange(columns)
    values = np.concatenate([costs, np.full(rows, outlier), np.zeros(columns + len(costs))])
    at_row = np.concatenate([row, one, rows + other, rows + column])
    at_column = np.concatenate([column, columns + one, other, columns + row])
    # One more for all, since a cost of 0 is no entry of a sparse matrix; each row pays it once, whatever it takes.
    return csr_array((values + 1, (at_row, at_column)), shape=(rows + columns, columns + rows))


def _numbered(places: _Places) -> tuple[_Places, _Places]:
    """Return the different places, rising, and the number of each of (P,) places among them."""
    present = np.zeros(places.max(initial=-1) + 1, np.bool_)
    present[places] = True
    different = np.flatnonzero(present)
    numbers = np.empty(len(present), np.intp)
    numbers[different] = np.arange(len(different))
    return different, numbers[places]
