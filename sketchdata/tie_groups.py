"""Rankings with ties: for each query, how many items are equally near, and how many of those are relevant.

Binary codes of D bits have only D + 1 distances, so hundreds of thousands of items share each rank. Which of them comes
first is decided by no distance; what can be said of a ranking is said from these counts alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from sketchdata.errors import ConfigError
from sketchdata.raster import over_slices

Counts = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]
Labels = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class TieGroups:
    """The rankings of Q queries, as groups of equally near items, the nearest group first.

    A group may be empty, so rows with fewer groups than others are filled up with zeros.

    Attributes:
        items: (Q, G) int64, n_d: the items of each group.
        relevant: (Q, G) int64, r_d: those of them that are relevant, 0..n_d.

    Raises:
        ConfigError: The arrays do not fit one another.
    """

    items: Counts
    relevant: Counts

    def __post_init__(self) -> None:
        if self.items.ndim != 2 or self.items.shape != self.relevant.shape:
            raise ConfigError(
                f"items and relevant items of Q queries in G groups are two arrays (Q, G), not {self.items.shape} "
                f"and {self.relevant.shape}"
            )
        if (self.relevant < 0).any() or (self.relevant > self.items).any():
            raise ConfigError("a group of tied items has more relevant items than items, or fewer than none")

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def items_before(self) -> Counts:
        """N_d: (Q, G) int64, the items of all nearer groups."""
        return np.cumsum(self.items, axis=1) - self.items

    @cached_property
    def relevant_before(self) -> Counts:
        """R_d: (Q, G) int64, the relevant items of all nearer groups."""
        return np.cumsum(self.relevant, axis=1) - self.relevant

    @cached_property
    def all_items(self) -> Counts:
        """N: (Q,) int64, the items that are ranked for each query."""
        return np.asarray(self.items.sum(axis=1))

    @cached_property
    def all_relevant(self) -> Counts:
        """R: (Q,) int64, the relevant ones of them."""
        return np.asarray(self.relevant.sum(axis=1))

    def blocks(self, cells: int = 1 << 18) -> Iterator[TieGroups]:
        """Yield all queries in order, some rows at a time: what is computed of them then needs little memory.

        Args:
            cells: The most groups of all rows of a block.
        """
        rows = max(1, cells // max(1, self.items.shape[1]))
        for start in range(0, len(self), rows):
            chosen = slice(start, start + rows)
            yield TieGroups(items=self.items[chosen], relevant=self.relevant[chosen])


def groups_of_scores(
    scores: npt.NDArray[np.floating[Any]], query_labels: Labels, gallery_labels: Labels, *, threads: int | None = None
) -> TieGroups:
    """Group the items of some queries by equal scores, the highest score first.

    Only scores that relevant items have are told apart: what lies between two of those is one group without relevant
    items, since its order changes no measure. So two sorts and no argsort are needed.

    Args:
        scores: (Q, N) how near each item is to each query; more is nearer.
        query_labels: (Q,) classes of the queries.
        gallery_labels: (N,) classes of the items; relevant are those of the query's class.
        threads: As for `raster`.

    Raises:
        ConfigError: A score is not a number, or the arrays do not fit one another.
    """
    if scores.shape != (len(query_labels), len(gallery_labels)):
        raise ConfigError(f"scores are {(len(query_labels), len(gallery_labels))}, by the labels, not {scores.shape}")
    if np.isnan(scores).any():
        raise ConfigError("some scores are no numbers (nan), so nothing can be ranked by them")
    order = np.argsort(gallery_labels, kind="stable")
    classes = gallery_labels[order]
    starts = np.searchsorted(classes, query_labels, side="left")
    stops = np.searchsorted(classes, query_labels, side="right")
    groups = int((stops - starts).max(initial=0))
    items, relevant = np.zeros((2, len(scores), 2 * groups + 1), np.int64)

    def group(first: int, last: int) -> None:
        for row in range(first, last):
            _group_row(scores[row], order[starts[row] : stops[row]], items[row], relevant[row])

    over_slices(group, len(scores), rows=16, threads=threads)
    return TieGroups(items=items, relevant=relevant)


def _group_row(scores: npt.NDArray[np.floating[Any]], own: Counts, items: Counts, relevant: Counts) -> None:
    """Write one query's groups: at odd places those with relevant items, at even places what lies between them."""
    values, counts = np.unique(scores[own], return_counts=True)
    values, counts = values[::-1], counts[::-1]
    rising = np.sort(scores)
    ahead = len(scores) - np.searchsorted(rising, values, side="right")
    through = len(scores) - np.searchsorted(rising, values, side="left")
    places = slice(1, 2 * len(values), 2)
    items[places], relevant[places] = through - ahead, counts
    items[0 : 2 * len(values) + 1 : 2] = np.append(ahead, len(scores)) - np.append(0, through)
