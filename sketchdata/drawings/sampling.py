"""Sampling of drawings by keyed hash: a split does not depend on order, format or number of machines.

The rank of a drawing is `splitmix64(key_id XOR splitmix64(seed))`, and the splits of a category take the smallest
ranks. The ranks of a random bijection are a random permutation, and the k smallest of a union are among the k smallest
of its parts, so a category can be read in pieces, in any order.

Source of splitmix64: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014; constants of
Sebastiano Vigna's public-domain splitmix64.c.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from sketchdata.errors import ConfigError

Ranks = npt.NDArray[np.uint64]
#: Maps (R,) row numbers of a block to the bytes of the R records.
ReadRows = Callable[[npt.NDArray[np.int64]], list[bytes]]

#: The splits in the order in which they take the ranks.
SPLITS = ("train", "val", "gallery", "query")

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


#: Expected size of each split per 11,100 drawings that have no split, in the order of the ranks; in the paper these are
#: the sizes per class.
PROPORTIONS = {"train": 9000, "val": 1000, "gallery": 1000, "query": 100}


def splitmix64(values: npt.NDArray[np.uint64]) -> Ranks:
    """Mix 64-bit integers: a bijection on uint64 with pseudorandom output, of the same shape."""
    mixed = values.astype(np.uint64) + _GAMMA
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _MIX_1
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX_2
    return mixed ^ (mixed >> np.uint64(31))


def ranks(key_ids: npt.NDArray[np.uint64], seed: int) -> Ranks:
    """Return each drawing's rank for a seed, (N,) uint64; ranks are equal only for equal key_ids.

    Raises:
        ConfigError: The seed is not an unsigned 64-bit integer.
    """
    if not 0 <= seed < 2**64:
        raise ConfigError(f"--seed must lie in 0..2^64-1, not {seed}")
    return splitmix64(key_ids ^ splitmix64(np.array([seed], np.uint64)))


def below_share(ranks: Ranks, share: Fraction) -> npt.NDArray[np.bool_]:
    """Return which ranks are below a share of their range, that is, rank < share · 2^64, exactly. (N,) bool.

    The result for a rank does not depend on the other ranks, and a larger share selects a superset. The share is met in
    expectation: for N independent ranks, within about sqrt(share · (1 − share) / N).
    """
    limit = math.ceil(share * 2**64)
    return np.ones(len(ranks), np.bool_) if limit >= 2**64 else ranks < np.uint64(max(limit, 0))


def in_split(ranks: Ranks, split: str) -> npt.NDArray[np.bool_]:
    """Return which ranks belong to a split of PROPORTIONS, (N,) bool."""
    names, total = list(PROPORTIONS), sum(PROPORTIONS.values())
    before = Fraction(sum(PROPORTIONS[name] for name in names[: names.index(split)]), total)
    return below_share(ranks, before + Fraction(PROPORTIONS[split], total)) & ~below_share(ranks, before)


def scale_to_fit(sizes: Mapping[str, int], have: int) -> dict[str, int]:
    """Scale split sizes down to the available drawings, in the same proportions.

    Rounding is by largest remainder, so that all of `have` are used; a tie goes to the earlier split.

    >>> scale_to_fit({"train": 9000, "val": 1000, "gallery": 1000, "query": 100}, 25)
    {'train': 21, 'val': 2, 'gallery': 2, 'query': 0}
    """
    need = sum(sizes.values())
    if have >= need:
        return dict(sizes)
    shares = {split: size * have // need for split, size in sizes.items()}
    by_remainder = sorted(sizes, key=lambda split: -(sizes[split] * have % need))
    for split in by_remainder[: have - sum(shares.values())]:
        shares[split] += 1
    return shares


class BottomK:
    """The records with the k smallest ranks of a stream, with their bytes; all others are dropped.

    At most 2k records are in memory. Equal ranks, which are duplicates of one key_id, keep their order of arrival.
    """

    def __init__(self, k: int) -> None:
        self.k = k
        self._ranks: Ranks = np.empty(0, np.uint64)
        self._positions: npt.NDArray[np.int64] = np.empty(0, np.int64)
        # Only bytes, since tuples would trigger the garbage collector repeatedly.
        self._records: list[bytes] = []
        self._limit: np.uint64 | None = None
        self.dropped = False

    def expect(self, total: int) -> None:
        """From now on drop records that are unlikely to be among the k smallest of about `total` records.

        Ranks are uniform, so k of `total` are below k / total of their range. If fewer than k remain in the end
        although some were `dropped`, the estimate was wrong and the stream must be read again.
        """
        share = 1.1 * (self.k + 6 * math.sqrt(self.k)) / max(total, 1)
        if share < 1:
            self._limit = np.uint64(int(share * 2**64))

    def add(self, ranks: Ranks, positions: npt.NDArray[np.int64], read: ReadRows) -> None:
        """Offer a block of records.

        Args:
            ranks: (B,) the ranks.
            positions: (B,) position of each record in its file; rank and position give the order of the result.
            read: Returns the bytes of some of the records; called only for those that may be among the smallest.
        """
        wanted = np.arange(len(ranks)) if self._limit is None else np.flatnonzero(ranks <= self._limit)
        self.dropped |= len(wanted) < len(ranks)
        self._ranks = np.concatenate([self._ranks, ranks[wanted]])
        self._positions = np.concatenate([self._positions, positions[wanted]])
        self._records += read(wanted)
        if len(self._records) > 2 * self.k:
            self._prune()

    def sorted(self) -> tuple[Ranks, list[tuple[int, bytes]]]:
        """Return the k smallest ranks in order, each with its (position, bytes)."""
        self._prune()
        return self._ranks, list(zip(self._positions.tolist(), self._records, strict=True))

    def _prune(self) -> None:
        order = np.argsort(self._ranks, kind="stable")
        self.dropped |= len(order) > self.k
        order = order[: self.k]
        self._ranks, self._positions = self._ranks[order], self._positions[order]
        self._records = [self._records[i] for i in order.tolist()]
        if 0 < len(order) == self.k:
            self._limit = self._ranks[-1]


def row_order(places: npt.NDArray[np.int64], ranks: Ranks) -> npt.NDArray[np.int64]:
    """Return the order of a split's rows: by place in the class, shuffled within one place.

    The place of a drawing is its position by rank among the drawings of its class in the split. So the first C rows
    are the first drawing of each of C classes, the next C rows the second, and every prefix is a random sample with
    equal classes. The order by rank alone would not have this property: a class with three times as many drawings in
    the official file has ranks a third as large, so the split would be sorted by class size.

    Args:
        places: (N,) each row's position in its class, from 0.
        ranks: (N,) each row's rank.

    Returns:
        (N,) row numbers.
    """
    order: npt.NDArray[np.int64] = np.lexsort((splitmix64(ranks), places))
    return order


def mix_classes(label: npt.NDArray[np.integer[Any]], ranks: Ranks) -> npt.NDArray[np.int64]:
    """Return `row_order` of all rows of a split.

    Args:
        label: (N,) each row's class.
        ranks: (N,) each row's rank.

    Returns:
        (N,) row numbers.
    """
    by_class = np.lexsort((ranks, label))
    grouped = label[by_class]
    places = np.empty(len(label), np.int64)
    places[by_class] = np.arange(len(label)) - np.searchsorted(grouped, grouped, side="left")
    return row_order(places, ranks)


def rows_before(counts: npt.NDArray[np.int64], place: int) -> int:
    """Return how many rows of a split precede those of a place, if class c has counts[c] drawings."""
    return int(np.minimum(counts, place).sum())


def places_of_rows(counts: npt.NDArray[np.int64], start: int, stop: int) -> tuple[int, int]:
    """Return the half-open range of places in rows start..stop of a split."""
    before = np.array([rows_before(counts, place) for place in range(int(counts.max(initial=0)) + 1)])
    return int(np.searchsorted(before, start, side="right")) - 1, int(np.searchsorted(before, stop, side="left"))


def first_of_each(
    labels: npt.NDArray[np.integer], count: int, order: npt.NDArray[np.generic] | None = None
) -> npt.NDArray[np.int64]:
    """Return the rows of at most `count` items of each class, those that come first, class by class: (n,) int64.

    Args:
        labels: (N,) classes of the items.
        count: Largest number of items per class.
        order: (N,) values by which the items of a class are sorted; None for the order of the rows.
    """
    rows = np.argsort(labels, kind="stable") if order is None else np.lexsort((order, labels))
    found: npt.NDArray[np.int64] = rows[np.arange(len(rows)) - np.searchsorted(labels[rows], labels[rows]) < count]
    return found
