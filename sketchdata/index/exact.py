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
    """

    rows: Rows
    distances: npt.NDArray[np.uint8]


def nearest(found: npt.NDArray[np.uint8], k: int) -> Neighbours:
    """Return the k smallest of (N,) distances, 1 ≤ k ≤ N, by rising distance and, among equal ones, by rising row.

    The order is total, so codes as far away as the k-th are chosen by their rows too.
    """
    # A sample tells about how far the k-th is; what is not farther is few, and only these are put in order.
    sample = np.cumsum(np.bincount(found[::_SAMPLED]))
    limit = int(np.searchsorted(sample, -(-k * sample[-1] // len(found))))
    rows = np.flatnonzero(found <= limit)
    while len(rows) < k:
        limit += 1
        rows = np.flatnonzero(found <= limit)
    order = np.argsort(found[rows], kind="stable")[:k]
    return Neighbours(rows=rows[order], distances=found[rows[order]])
