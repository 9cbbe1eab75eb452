"""The nearest codes by looking at every one: exact, and in one certain order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from sketchdata.codes import Packed

_WORD_BYTES = 8
#: Every so many codes are looked at for a first guess of how far the k-th nearest is: a prime, so that no pattern of
#: the codes falls in with it.
_SAMPLED = 97

Rows: TypeAlias = npt.NDArray[np.int64]
Words: TypeAlias = npt.NDArray[np.uint64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Neighbours:
    """The n codes found for one query, nearest first.

    Attributes:
        rows: (n,) int64, their rows in the index.
        distances: (n,) uint8, in how many bits they differ.
    """

    rows: Rows
    distances: npt.NDArray[np.uint8]


def to_words(packed: Packed) -> Words:
    """Lay packed codes out for counting: (N, B) uint8 → (⌈B / 8⌉, N) uint64, 0 in the bits beyond."""
    padded = np.zeros((len(packed), -(-packed.shape[1] // _WORD_BYTES) * _WORD_BYTES), np.uint8)
    padded[:, : packed.shape[1]] = packed
    return np.ascontiguousarray(padded.view("<u8").astype(np.uint64, copy=False).T)


def distances(words: Words, query: Words) -> npt.NDArray[np.uint8]:
    """Count in how many bits codes differ from one: (W, N), (W,) uint64 → (N,) uint8; codes have at most 248 bits."""
    found: npt.NDArray[np.uint8] = np.bitwise_count(words[0] ^ query[0])
    for word, own in zip(words[1:], query[1:], strict=True):
        found += np.bitwise_count(word ^ own)
    return found


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
