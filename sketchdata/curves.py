"""Precision–recall curves of many queries: sums over parts of the queries, which add up to those over all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from sketchdata.tie_groups import Counts, TieGroups, Values

#: Points of a curve over ranks, between one rank and its tenfold.
_POINTS = 10


@dataclass(frozen=True, kw_only=True)
class Points:
    """Where the points of a curve lie.

    Attributes:
        name: What they are, `distance` or `rank`.
        at: (K,) int64 distances or ranks, rising.
        sums: Gives of some queries (3, K) float64: up to each point, recall summed over the queries with relevant
            items; precision summed over those of them that have any item by then; their number.
    """

    name: str
    at: Counts
    sums: Callable[[TieGroups], Values]

    def curve(self, sums: Values) -> dict[str, list[float]]:
        """Divide the sums over all queries (3, K); points by which no query has any item are left out."""
        known = sums[2] > 0
        return {
            self.name: self.at[known].tolist(),
            "recall": (sums[0, known] / sums[2].max()).tolist(),
            "precision": (sums[1, known] / sums[2, known]).tolist(),
        }


def at_distances(bits: int) -> Points:
    """Return a point for each distance 0..D of codes of D bits, whose tie groups are distances."""
    return Points(name="distance", at=np.arange(bits + 1), sums=_distance_sums)


def at_ranks(items: int) -> Points:
    """Return points at ranks 1..N, ten between a rank and its tenfold, with what is expected to be found by them."""
    steps = np.arange(0, _POINTS * np.log10(items))
    ranks = np.unique(np.append(np.rint(10 ** (steps / _POINTS)), items)).astype(np.int64)
    return Points(name="rank", at=ranks, sums=partial(_rank_sums, ranks=ranks))


def _distance_sums(groups: TieGroups) -> Values:
    known = groups.all_relevant > 0
    items = (groups.items_before + groups.items)[known]
    relevant = (groups.relevant_before + groups.relevant)[known]
    recall = relevant / groups.all_relevant[known, None]
    return np.stack([each.sum(axis=0) for each in (recall, relevant / np.maximum(items, 1), items > 0)])


def _rank_sums(groups: TieGroups, ranks: Counts) -> Values:
    sums = np.zeros((3, len(ranks)))
    items = np.cumsum(groups.items, axis=1)
    relevant = np.cumsum(groups.relevant, axis=1)
    for row in np.flatnonzero(groups.all_relevant):
        # Within a group the expected number of relevant items rises evenly from rank to rank.
        found = np.interp(ranks, np.append(0, items[row]), np.append(0, relevant[row]))
        sums += np.stack([found / groups.all_relevant[row], found / ranks, np.ones(len(ranks))])
    return sums
