"""The nearest codes by looking at every one: exact, and in one certain order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

#: Every so many codes are looked at for a first guess of how far the k-th nearest is: a prime, so that no pattern of
#: the codes falls in with it.
_SAMPLED = 97

Rows: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Neighbours:
    """The n codes found for one query, nearest first.

    Attributes:
        rows: (n,) int64, their rows in the index.
        distances: (n,) uint8, in how many bits they differ.
        key_ids: (n,) uint64, of their drawings.
        labels: (n,) uint16, indices into the class table.
        classes: The class table.
    """

    rows: Rows
    distances: npt.NDArray[np.uint8]
    key_ids: npt.NDArray[np.uint64]
    labels: npt.NDArray[np.uint16]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def words(self) -> list[str]:
        """Their classes' names."""
        return [self.classes[label] for label in self.labels.tolist()]


def nearest(found: npt.NDArray[np.uint8], k: int) -> Rows:
    """Return the rows of the k smallest of (N,) distances, 1 ≤ k ≤ N, by rising distance, then by rising row.

    The order is total, so codes as far away as the k-th are chosen by their rows too.
    """
    # A sample tells about how far the k-th is; what is not farther is few, and only these are put in order.
    sample = np.cumsum(np.bincount(found[::_SAMPLED]))
    limit = int(np.searchsorted(sample, -(-k * sample[-1] // len(found))))
    rows = np.flatnonzero(found <= limit)
    while len(rows) < k:
        limit += 1
        rows = np.flatnonzero(found <= limit)
    return rows[np.argsort(found[rows], kind="stable")[:k]]
