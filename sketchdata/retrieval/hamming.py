"""Histograms of exact Hamming distances between queries and a gallery.

A ranking by distance is determined by the number of items at each of the D + 1 distances, and the number of relevant
ones among them. The cheaper of two ways of counting is used:

- over all pairs of distinct codes: exclusive or, count of ones, and OpenCV's histogram, which counts bytes without
  widening them to 64 bits as np.bincount does. With numba, the first two are one compiled loop;
- for short codes over all 2^D possible codes at once, bit by bit: if f(x, d) items differ from x in d of the first j
  bits and in none of the others, then f(x, d) + f(x with bit j flipped, d − 1) do so for the first j + 1 bits.

Items are not sorted, and the matrix of distances is not stored.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from sketchdata.drawings.raster import over_slices
from sketchdata.errors import ConfigError, needs_extra
from sketchdata.formats.codes import Codes, Packed, unpack_bits
from sketchdata.retrieval.metrics import Counts, TieGroups

#: (P, N): N codes as P words each.
CodeWords = npt.NDArray[np.unsignedinteger[Any]]
#: (Q, N): the number of different bits.
Distances = npt.NDArray[np.uint8]
#: (query codes, gallery codes, bits) → (Q, D + 1) int64, the number of items at each distance.
Histograms = Callable[[Packed, Packed, int], Counts]

#: Codes up to this length are split into 16-bit words, whose ones numpy counts several times as fast.
_SHORT = 32
#: Number of distances per block: few enough for the processor's cache, and for exact counts in float32.
_CHUNK = 1 << 18
#: The overhead of an array operation, in distances.
_START = 1 << 13
#: Number of distances whose computation by numpy takes longer than compiling the loop, about a second.
COMPILE_FROM = 1 << 30
#: Maximum code length for a table of all codes: 21 · 2^20 counts.
_LONGEST_TABLE = 20


def count_distances(queries: Codes, gallery: Codes, *, workers: int | None = None) -> TieGroups:
    """Count for each query the items at each distance 0..D, and the relevant ones: those of its class.

    Args:
        queries: Q codes of D bits.
        gallery: N codes of D bits, with the same class table.
        workers: Number of threads; None or 0 for one per usable processor.

    Returns:
        (Q, D + 1) groups, nearest first.

    Raises:
        ConfigError: Lengths or class tables differ, bits beyond D are set, or `workers` is negative.
    """
    threads = usable(workers)
    return count_by(partial(distance_histograms, threads=threads), queries, gallery)


def count_by(histograms: Histograms, queries: Codes, gallery: Codes) -> TieGroups:
    """Count as `count_distances` does, with another function that counts the items at each distance.

    Raises:
        ConfigError: Lengths or class tables differ, or bits beyond D are set.
    """
    if queries.bits != gallery.bits:
        raise ConfigError(
            f"codes of {queries.bits} bits cannot be looked up among codes of {gallery.bits}: encode both with one run"
        )
    if queries.classes != gallery.classes:
        raise ConfigError(
            f"the queries' labels index {len(queries.classes):,} classes ({', '.join(queries.classes[:3])}…), and the "
            f"gallery's {len(gallery.classes):,} ({', '.join(gallery.classes[:3])}…): use one data set for both"
        )
    for codes in (queries, gallery):
        if codes.bits % 8 and (codes.packed[:, -1] >> (codes.bits % 8)).any():
            raise ConfigError(f"some codes of {codes.bits} bits have bits beyond the last: pack them with pack_bits")
    order = np.argsort(gallery.labels, kind="stable")
    labels, packed = gallery.labels[order], gallery.packed[order]
    items = histograms(queries.packed, packed, queries.bits)
    relevant = np.zeros_like(items)
    for label in np.unique(queries.labels):
        rows = np.flatnonzero(queries.labels == label)
        first, last = np.searchsorted(labels, label, side="left"), np.searchsorted(labels, label, side="right")
        relevant[rows] = histograms(queries.packed[rows], packed[first:last], queries.bits)
    return TieGroups(items=items, relevant=relevant)


def distances(queries: Packed, gallery: Packed) -> Distances:
    """Return the distances between a few queries and all items, (Q, B) and (N, B) uint8 codes → (Q, N) uint8."""
    return word_distances(to_words(queries), to_words(gallery))


def distance_histograms(queries: Packed, gallery: Packed, bits: int, *, threads: int | None = None) -> Counts:
    """Count the items at each distance: (Q, B) and (N, B) uint8 codes of D bits → (Q, D + 1) int64."""
    distinct, places, _ = _distinct(queries)
    # A table takes about D² additions per possible code.
    if bits <= _LONGEST_TABLE and bits**2 << bits <= len(distinct) * len(gallery):
        counts = _from_table(distinct, gallery, bits)
    else:
        counts = _over_pairs(distinct, gallery, bits, threads)
    return counts[places]


def _from_table(queries: Packed, gallery: Packed, bits: int) -> Counts:
    """Count by the table of all 2^D codes: O(D² 2^D), independent of the numbers of queries and items."""
    table = np.zeros((bits + 1, 1 << bits), np.int64 if len(gallery) >> 31 else np.int32)
    table[0] = np.bincount(_numbers(gallery), minlength=1 << bits)
    for bit in range(bits):
        # So far no distance exceeds `bit`. The right side is evaluated before the assignment.
        halves = table[: bit + 2].reshape(bit + 2, -1, 2, 1 << bit)
        halves[1:] += halves[:-1, :, ::-1]
    return table[:, _numbers(queries)].T.astype(np.int64)


def _numbers(packed: Packed) -> npt.NDArray[np.intp]:
    return _padded(packed, 4).view("<u4")[:, 0].astype(np.intp)


def _over_pairs(queries: Packed, gallery: Packed, bits: int, threads: int | None) -> Counts:
    counts = np.zeros((len(queries), bits + 1), np.int64)
    left, levels = to_words(queries), [(weight, to_words(packed)) for weight, packed in _levels(gallery)]
    compute = distance_function(len(queries) * sum(words.shape[1] for _, words in levels))

    def count(start: int, stop: int) -> None:
        for weight, words in levels:
            counts[start:stop] += weight * _histograms(left[:, start:stop], words, bits, compute)

    # A slice takes a fraction of a second: Ctrl-C waits for slices in progress.
    rows = max(1, (1 << 26) // max(1, len(gallery)))
    over_slices(count, len(queries), rows=rows, threads=threads)
    return counts


def _levels(gallery: Packed) -> list[tuple[int, Packed]]:
    """Decompose the multiplicity of each code into powers of two: a code that occurs 5 times is in levels 1 and 4.

    So equal codes are compared only a few times, and the histogram needs no weights. If that saves nothing, there is
    one level.
    """
    plain = [(1, gallery)]
    if len(gallery) < _START:
        return plain
    distinct, _, times = _distinct(gallery)
    powers = range(int(times.max()).bit_length())
    levels = [(1 << power, distinct[(times >> power) & 1 == 1]) for power in powers]
    cost = sum(len(packed) + _START for _, packed in levels)
    return levels if cost < len(gallery) else plain


def _histograms(
    queries: CodeWords, gallery: CodeWords, bits: int, compute: Callable[[CodeWords, CodeWords], Distances]
) -> Counts:
    counts = np.zeros((queries.shape[1], bits + 1), np.int64)
    for start in range(0, gallery.shape[1], _CHUNK):
        chunk = gallery[:, start : start + _CHUNK]
        rows = _CHUNK // chunk.shape[1]
        for first in range(0, len(counts), rows):
            found = compute(queries[:, first : first + rows], chunk)
            for place, row in enumerate(found, start=first):
                # OpenCV 4 returns a column, OpenCV 5 a row.
                counts[place] += cv2.calcHist([row], [0], None, [bits + 1], [0, bits + 1]).ravel().astype(np.int64)
    return counts


def word_distances(queries: CodeWords, gallery: CodeWords) -> Distances:
    """Compute the distances of (P, Q) and (P, N) words: (Q, N) uint8."""
    found: Distances = np.bitwise_count(queries[0][:, None] ^ gallery[0])
    for own, theirs in zip(queries[1:], gallery[1:], strict=True):
        found += np.bitwise_count(own[:, None] ^ theirs)
    return found


def distance_function(count: int) -> Callable[[CodeWords, CodeWords], Distances]:
    """Return the fastest function like `word_distances` for computing `count` distances in all.

    It is compiled by numba if numba is installed and `count` repays the second that compiling takes.
    """
    return (_compiled_loop() if count >= COMPILE_FROM else None) or word_distances


@cache
def _compiled_loop() -> Callable[[CodeWords, CodeWords], Distances] | None:
    try:
        from numba import njit, types
        from numba.extending import intrinsic
    except ImportError:
        return None

    def count_ones(_context: Any, word: Any) -> Any:
        return word(word), lambda _target, builder, _signature, arguments: builder.ctpop(arguments[0])

    # Numba has no function for it. LLVM makes vector instructions of a loop over its instruction.
    ones: Any = intrinsic(count_ones)

    @njit(nogil=True)
    def fill(queries: Any, gallery: Any, found: Any) -> None:
        for row in range(found.shape[0]):
            for column in range(found.shape[1]):
                found[row, column] = ones(types.uint64(gallery[0, column] ^ queries[0, row]))
            for word in range(1, queries.shape[0]):
                query = queries[word, row]
                for column in range(found.shape[1]):
                    found[row, column] += ones(types.uint64(gallery[word, column] ^ query))

    def compute(queries: CodeWords, gallery: CodeWords) -> Distances:
        found: Distances = np.empty((queries.shape[1], gallery.shape[1]), np.uint8)
        fill(queries, gallery, found)
        return found

    return compute


def _distinct(packed: Packed) -> tuple[Packed, npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the distinct codes, the index of each code among them, and their multiplicities."""
    padded = _padded(packed, 8)
    keys = padded.view(np.uint64 if padded.shape[1] == 8 else f"V{padded.shape[1]}")[:, 0]
    _, first, places, times = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    return packed[first], places, times


def to_words(packed: Packed) -> CodeWords:
    """Convert codes for counting: (N, B) uint8 → (P, N) words of 16 or 64 bits, padded with zeros."""
    size = 2 if packed.shape[1] * 8 <= _SHORT else 8
    return np.ascontiguousarray(_padded(packed, size).view(f"u{size}").T)


def _padded(packed: Packed, size: int) -> Packed:
    padded = np.zeros((len(packed), -(-packed.shape[1] // size) * size), np.uint8)
    padded[:, : packed.shape[1]] = packed
    return padded


def usable(workers: int | None) -> int:
    """Return a number of threads: None and 0 mean one per usable processor.

    Raises:
        ConfigError: `workers` is negative.
    """
    if workers is not None and workers < 0:
        raise ConfigError(f"workers must be 1 or more, or 0 for one per processor, not {workers}")
    return workers or len(os.sched_getaffinity(0))


# The same counts by matrix products, for a GPU. With bits as ±1, the inner product of two codes of D bits at distance d
# is D − 2d. Its terms are ±1 and D is at most 248, so float16, in which integers up to 2048 are exact, is exact.

#: Number of distances per block: 2^27 take 1.5 GB of a GPU's memory with their products.
_DEVICE_CELLS = 1 << 27


def count_distances_on_device(
    queries: Codes, gallery: Codes, *, device: str = "cuda", cells: int = _DEVICE_CELLS
) -> TieGroups:
    """Count as `count_distances` does, on a GPU, `cells` distances at a time; `device` is `auto` or as torch names it.

    Raises:
        ConfigError: The device does not exist, lengths or class tables differ, or bits beyond D are set.
    """
    with needs_extra("counting distances on a GPU", "train"):
        import torch

        from sketchdata.training.distributed import device_of
    place = device_of(device)

    def signs(packed: Packed, bits: int) -> torch.Tensor:
        ones = torch.from_numpy(unpack_bits(packed, bits)).to(place)
        return ones.to(torch.float16 if place.type == "cuda" else torch.float32).mul_(2).sub_(1)

    def histograms(queries: Packed, gallery: Packed, bits: int) -> Counts:
        counts = np.zeros((len(queries), bits + 1), np.int64)
        if not len(gallery):
            return counts
        left, right = signs(queries, bits), signs(gallery, bits).T
        rows = max(1, cells // len(gallery))
        for start in range(0, len(queries), rows):
            distances = (bits - left[start : start + rows] @ right).div_(2).to(torch.int32)
            # One histogram for all rows, each with its own D + 1 bins.
            distances += torch.arange(len(distances), device=place, dtype=torch.int32)[:, None] * (bits + 1)
            found = torch.bincount(distances.view(-1), minlength=len(distances) * (bits + 1))
            counts[start : start + rows] = found.view(-1, bits + 1).cpu().numpy()
        return counts

    return count_by(histograms, queries, gallery)
