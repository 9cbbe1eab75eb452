"""Near duplicates among pictures: all pairs of similar perceptual hashes, and the pictures to keep.

Two pictures are near duplicates if their hashes differ in few bits and their thumbnails correlate; the second check is
needed because among billions of pairs, some hashes are similar by chance.
"""

from __future__ import annotations

from itertools import combinations, pairwise

import cv2
import numpy as np
import numpy.typing as npt

from sketchdata.errors import ConfigError
from sketchdata.photos.image import Photo

#: With more bits, different pictures of similar objects match, and the search becomes slow.
MOST_BITS = 10
#: Number of pixels of a thumbnail.
THUMBNAIL_BYTES = 256

_HASH_BITS = 64
_THUMBNAIL_SIDE = 16
#: Minimum correlation of thumbnails. Of 300 crops of real photos, 99 % have a higher correlation with copies that are
#: scaled to 0.4, recompressed at quality 30 or cropped by 2 %; two different chairs of one model have a lower one.
_LEAST_CORRELATION = 0.8

Hashes = npt.NDArray[np.uint64]
#: (N, 256) uint8.
Thumbnails = npt.NDArray[np.uint8]


def thumbnail(photo: Photo) -> bytes:
    """Return a picture as 16 × 16 grey values: (H, W, 3) uint8 of any size → 256 bytes."""
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    return bytes(cv2.resize(grey, (_THUMBNAIL_SIDE, _THUMBNAIL_SIDE), interpolation=cv2.INTER_AREA).tobytes())


def near_pairs(hashes: Hashes, bits: int) -> npt.NDArray[np.int64]:
    """Return all pairs of different hashes that differ in at most `bits` bits, each once.

    By the pigeonhole principle, at least two of bits + 2 blocks of a hash have no differing bit. So for each pair of
    blocks the hashes are sorted by these blocks, and only hashes with equal blocks are compared (Manku, Jain, Das
    Sarma: "Detecting near-duplicates for web crawling", WWW 2007). One of bits + 1 blocks would also do, but many more
        hashes
    are equal in one block.

    Args:
        hashes: (N,) distinct hashes; equal ones could give any number of pairs.
        bits: 0..10.

    Returns:
        (P, 2) int64 indices, the smaller first, sorted.

    Raises:
        ConfigError: `bits` is outside its range.
    """
    if not 0 <= bits <= MOST_BITS:
        raise ConfigError(f"near duplicates differ in 0 to {MOST_BITS} bits of their hashes, not {bits}")
    edges = [_HASH_BITS * block // (bits + 2) for block in range(bits + 3)]
    blocks = [(1 << stop) - (1 << start) for start, stop in pairwise(edges)]
    masks = [np.uint64(first | second) for first, second in combinations(blocks, 2)]
    # Each pair as one number; a pair is found once for each pair of equal blocks.
    pairs = np.unique(np.concatenate([_pairs_within(hashes, mask, bits) for mask in masks]))
    return np.stack(np.divmod(pairs, max(len(hashes), 1)), axis=1)


def _pairs_within(hashes: Hashes, mask: np.uint64, bits: int) -> npt.NDArray[np.int64]:
    """Return first × N + second for the near pairs among hashes that are equal under a mask."""
    keys = hashes & mask
    order = np.argsort(keys, kind="stable")
    keys, sorted_hashes = keys[order], hashes[order]
    # The end of the run of equal keys of each element.
    ends = np.searchsorted(keys, keys, side="right")
    found, step, active = [np.empty(0, np.int64)], 1, np.arange(len(hashes))
    while len(active := active[active + step < ends[active]]):
        near = np.bitwise_count(sorted_hashes[active] ^ sorted_hashes[active + step]) <= bits
        first, second = order[active[near]], order[active[near] + step]
        found.append(np.minimum(first, second) * len(hashes) + np.maximum(first, second))
        step += 1
    return np.concatenate(found)


def kept_of(hashes: Hashes, thumbnails: Thumbnails, bits: int) -> npt.NDArray[np.int64]:
    """Return for each picture the one that is kept: itself, or the preferred one of its near duplicates.

    Groups are stars: every removed picture is a near duplicate of the one that is kept. With chains, whose ends may be
    far apart, pictures would be removed without a similar one being kept.

    Args:
        hashes: (N,) hashes of the pictures, in order of preference.
        thumbnails: (N, 256) uint8.
        bits: Number of bits in which the hashes may differ, 0..10.

    Returns:
        (N,) int64 indices; pictures that are kept have their own.

    Raises:
        ConfigError: `bits` is outside its range.
    """
    kept = np.arange(len(hashes))
    # Blank pictures have no correlation, and their hash carries no information: thousands may have it.
    textured = np.flatnonzero((thumbnails != thumbnails[:, :1]).any(axis=1))
    neighbours, pictures = _Neighbourhoods(hashes[textured], bits), thumbnails[textured]
    for row in neighbours.not_alone.tolist():
        if kept[textured[row]] == textured[row]:
            others = neighbours.of_row(row)
            others = others[(others > row) & (kept[textured[others]] == textured[others])]
            others = others[_correlation(pictures[row], pictures[others]) >= _LEAST_CORRELATION]
            kept[textured[others]] = textured[row]
    return kept


def _correlation(one: npt.NDArray[np.uint8], others: Thumbnails) -> npt.NDArray[np.float64]:
    # Integers below 2^24 are exact in float32, and so are sums of 256 products of bytes, in any order: the result is
    # the # same on every machine.
    first, rest = one.astype(np.float32), others.astype(np.float32)
    products = (rest @ first).astype(np.float64)
    squares = np.einsum("kp,kp->k", rest, rest).astype(np.float64)
    sums, total, count = rest.sum(axis=1).astype(np.float64), float(first.sum()), len(one)
    deviation = np.sqrt(count * squares - sums**2) * np.sqrt(count * float(first @ first) - total**2)
    return np.asarray((count * products - sums * total) / deviation, np.float64)


class _Neighbourhoods:
    """The rows with similar hashes, without listing the pairs of equal ones.

    `value` (N,) is the index of each row's distinct hash; `starts` are the offsets of a distinct hash's rows in `rows`,
    and `near_starts` those of its similar distinct hashes in `near`. `not_alone` are the rows with a neighbour,
    ascending.
    """

    def __init__(self, hashes: Hashes, bits: int) -> None:
        distinct, self.value = np.unique(hashes, return_inverse=True)
        pairs = near_pairs(distinct, bits)
        pairs = np.concatenate([pairs, pairs[:, ::-1]])
        pairs = pairs[np.argsort(pairs[:, 0], kind="stable")]
        numbers = np.arange(len(distinct) + 1)
        self.rows = np.argsort(self.value, kind="stable")
        self.starts = np.searchsorted(self.value[self.rows], numbers)
        self.near, self.near_starts = pairs[:, 1], np.searchsorted(pairs[:, 0], numbers)
        alone = (np.diff(self.starts) == 1) & (np.diff(self.near_starts) == 0)
        self.not_alone = np.flatnonzero(~alone[self.value])

    def of_row(self, row: int) -> npt.NDArray[np.int64]:
        """Return the rows with a hash similar to a row's, including that row."""
        own = self.value[row]
        values = [own, *self.near[self.near_starts[own] : self.near_starts[own + 1]]]
        return np.concatenate([self.rows[self.starts[value] : self.starts[value + 1]] for value in values])
