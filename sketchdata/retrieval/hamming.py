"""Exact Hamming distances between every query and every item of a gallery, counted and never stored.

A ranking by distance needs for each query only how many items lie at each of the D + 1 distances, and how many of those
are relevant. Two ways lead there, and the cheaper one is taken:

- over all pairs of different codes: exclusive or, count of ones, and OpenCV's histogram, which counts bytes as bytes,
  where np.bincount first widens them eightfold;
- for short codes over all 2^D possible codes at once, bit by bit: if f(x, d) items differ from x in d of the first j
  bits and in none of the others, then f(x, d) + f(x with bit j flipped, d − 1) do so for the first j + 1 bits.

Nothing is sorted by distance, and no table of queries by items is made.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from sketchdata.drawings.raster import over_slices
from sketchdata.errors import ConfigError
from sketchdata.formats.codes import Codes, Packed
from sketchdata.retrieval.metrics import Counts, TieGroups

#: (P, N): N codes as P words each, a word's array for itself.
Words = npt.NDArray[np.unsignedinteger[Any]]
#: (query codes, gallery codes, bits) → (Q, D + 1) int64, the items at each distance.
Histograms = Callable[[Packed, Packed, int], Counts]

#: Codes up to this length are read as words of 16 bits, whose ones numpy counts several times as fast.
_SHORT = 32
#: Distances at a time: their words fit into a processor's cache, and float32 holds their counts.
_CHUNK = 1 << 18
#: What starting on another array costs, in distances.
_START = 1 << 13
#: The longest codes of which a table of all is made: 21 · 2^20 numbers.
_LONGEST_TABLE = 20


def count_distances(queries: Codes, gallery: Codes, *, workers: int | None = None) -> TieGroups:
    """Count for each query the items at each distance 0..D, and the relevant ones: those of its class.

    Args:
        queries: Q codes of D bits.
        gallery: N codes of D bits, with the same class table.
        workers: Threads; None or 0 for as many as this process has processors.

    Returns:
        (Q, D + 1) groups, nearest first.

    Raises:
        ConfigError: Lengths or class tables differ, bits beyond D are set, or `workers` is negative.
    """
    threads = usable(workers)
    return count_by(partial(distance_histograms, threads=threads), queries, gallery)


def count_by(histograms: Histograms, queries: Codes, gallery: Codes) -> TieGroups:
    """Count as `count_distances` does, by any function that counts the items at each distance.

    Raises:
        ConfigError: Lengths or class tables differ, or bits beyond D are set.
    """
    _check(queries, gallery)
    order = np.argsort(gallery.labels, kind="stable")
    labels, packed = gallery.labels[order], gallery.packed[order]
    items = histograms(queries.packed, packed, queries.bits)
    relevant = np.zeros_like(items)
    for label in np.unique(queries.labels):
        rows = np.flatnonzero(queries.labels == label)
        first, last = np.searchsorted(labels, label, side="left"), np.searchsorted(labels, label, side="right")
        relevant[rows] = histograms(queries.packed[rows], packed[first:last], queries.bits)
    return TieGroups(items=items, relevant=relevant)


def distances(queries: Packed, gallery: Packed) -> npt.NDArray[np.uint8]:
    """Return the distances between a few queries and all items: (Q, B), (N, B) uint8 codes → (Q, N) uint8.

    Codes have 248 bits at most, so that a byte holds every distance.
    """
    return word_distances(to_words(queries), to_words(gallery))


def distance_histograms(queries: Packed, gallery: Packed, bits: int, *, threads: int | None = None) -> Counts:
    """Count the items at each distance from each query.

    Args:
        queries: (Q, B) uint8, codes of D bits.
        gallery: (N, B) uint8.
        bits: D.
        threads: As for `raster`.

    Returns:
        (Q, D + 1) int64.
    """
    distinct, places, _ = _distinct(queries)
    # A table takes about D² / 2 additions, twice, for each code that is possible.
    if bits <= _LONGEST_TABLE and bits**2 << bits <= len(distinct) * len(gallery):
        counts = _from_table(distinct, gallery, bits)
    else:
        counts = _over_pairs(distinct, gallery, bits, threads)
    return counts[places]


def _from_table(queries: Packed, gallery: Packed, bits: int) -> Counts:
    """Count by the table of all 2^D codes: O(D² 2^D), however many queries and items there are."""
    table = np.zeros((bits + 1, 1 << bits), np.int64 if len(gallery) >> 31 else np.int32)
    table[0] = np.bincount(_numbers(gallery), minlength=1 << bits)
    for bit in range(bits):
        # So far no distance is above `bit`. The right side is read whole before anything is written.
        halves = table[: bit + 2].reshape(bit + 2, -1, 2, 1 << bit)
        halves[1:] += halves[:-1, :, ::-1]
    return table[:, _numbers(queries)].T.astype(np.int64)


def _numbers(packed: Packed) -> npt.NDArray[np.intp]:
    """Read codes of at most 32 bits as numbers, (N,)."""
    return _padded(packed, 4).view("<u4")[:, 0].astype(np.intp)


def _over_pairs(queries: Packed, gallery: Packed, bits: int, threads: int | None) -> Counts:
    """Count by looking at every query and every item."""
    counts = np.zeros((len(queries), bits + 1), np.int64)
    asked, levels = to_words(queries), [(level.weight, to_words(level.packed)) for level in _levels(gallery)]

    def count(start: int, stop: int) -> None:
        for weight, words in levels:
            counts[start:stop] += weight * _histograms(asked[:, start:stop], words, bits)

    # A slice is a fraction of a second's work: Ctrl-C waits for those in progress.
    rows = max(1, (1 << 26) // max(1, len(gallery)))
    over_slices(count, len(queries), rows=rows, threads=threads)
    return counts


@dataclass(frozen=True, kw_only=True)
class _Level:
    """Codes that are each counted `weight` times."""

    weight: int
    packed: Packed


def _levels(gallery: Packed) -> list[_Level]:
    """Write how often each code occurs as a sum of powers of two: a code that occurs 5 times is in levels 1 and 4.

    So equal codes are looked at once or a few times, and the histogram needs no weights. Where that saves nothing,
    there is one level.
    """
    plain = [_Level(weight=1, packed=gallery)]
    if len(gallery) < _START:
        return plain
    distinct, _, times = _distinct(gallery)
    levels = [
        _Level(weight=1 << power, packed=distinct[(times >> power) & 1 == 1])
        for power in range(int(times.max()).bit_length())
    ]
    cost = sum(len(level.packed) + _START for level in levels)
    return levels if cost < len(gallery) else plain


def _histograms(queries: Words, gallery: Words, bits: int) -> Counts:
    """Count the distances of (P, Q) and (P, N) words, (Q, D + 1), a chunk of the gallery after the other."""
    counts = np.zeros((queries.shape[1], bits + 1), np.int64)
    for start in range(0, gallery.shape[1], _CHUNK):
        chunk = gallery[:, start : start + _CHUNK]
        rows = _CHUNK // chunk.shape[1]
        for first in range(0, len(counts), rows):
            found = word_distances(queries[:, first : first + rows], chunk)
            for place, row in enumerate(found, start=first):
                counts[place] += _histogram(row, bits)
    return counts


def word_distances(queries: Words, gallery: Words) -> npt.NDArray[np.uint8]:
    """Compute the distances of (P, Q) and (P, N) words, (Q, N) uint8: the ones of all words' differences."""
    found: npt.NDArray[np.uint8] = np.bitwise_count(queries[0][:, None] ^ gallery[0])
    for own, theirs in zip(queries[1:], gallery[1:], strict=True):
        found += np.bitwise_count(own[:, None] ^ theirs)
    return found


def _histogram(row: npt.NDArray[np.uint8], bits: int) -> Counts:
    # OpenCV 4 gives a column, 5 a row.
    counts = cv2.calcHist([row], [0], None, [bits + 1], [0, bits + 1])
    return counts.ravel().astype(np.int64)


def _distinct(packed: Packed) -> tuple[Packed, npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the different codes, which of them each code is, and how often each occurs."""
    padded = _padded(packed, 8)
    keys = padded.view(np.uint64 if padded.shape[1] == 8 else f"V{padded.shape[1]}")[:, 0]
    _, first, places, times = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    return packed[first], places, times


def to_words(packed: Packed) -> Words:
    """Lay codes out for counting: (N, B) uint8 → (P, N) words of 16 or 64 bits, zeros filling the last one up."""
    size = 2 if packed.shape[1] * 8 <= _SHORT else 8
    return np.ascontiguousarray(_padded(packed, size).view(f"u{size}").T)


def _padded(packed: Packed, size: int) -> Packed:
    """Fill codes up with zeros to a multiple of `size` bytes."""
    padded = np.zeros((len(packed), -(-packed.shape[1] // size) * size), np.uint8)
    padded[:, : packed.shape[1]] = packed
    return padded


def usable(workers: int | None) -> int:
    """Return how many threads are meant: None and 0 are as many as this process has processors.

    Raises:
        ConfigError: `workers` is negative.
    """
    if workers is not None and workers < 0:
        raise ConfigError(f"workers must be 1 or more, or 0 for one a processor, not {workers}")
    return workers or len(os.sched_getaffinity(0))


def _check(queries: Codes, gallery: Codes) -> None:
    if queries.bits != gallery.bits:
        raise ConfigError(
            f"codes of {queries.bits} bits cannot be looked up among codes of {gallery.bits}: encode both with one run"
        )
    if queries.classes != gallery.classes:
        raise ConfigError(
            f"the queries' labels index {len(queries.classes):,} classes ({', '.join(queries.classes[:3])}…), and the "
            f"gallery's {len(gallery.classes):,} ({', '.join(gallery.classes[:3])}…): take both from one data set"
        )
    spare = -queries.bits % 8
    for codes in (queries, gallery):
        if spare and (codes.packed[:, -1] >> (8 - spare)).any():
            raise ConfigError(f"some codes of {codes.bits} bits have bits beyond the last: pack them by pack_bits")
