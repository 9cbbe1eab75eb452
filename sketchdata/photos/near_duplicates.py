"""Pictures that show nearly the same: all pairs of near perceptual hashes, and which picture of them stays.

Two pictures are near duplicates when their hashes differ in few bits and, as a second check, their thumbnails
correlate: among billions of pairs, some hashes are near by chance.
"""

from __future__ import annotations

from itertools import combinations, pairwise

import cv2
import numpy as np
import numpy.typing as npt

from sketchdata.errors import ConfigError
from sketchdata.photos.image import Photo

#: Beyond it, different pictures of like things have near hashes, and the search becomes slow.
MOST_BITS = 10
#: Pixels of a thumbnail.
THUMBNAIL_BYTES = 256

_HASH_BITS = 64
_THUMBNAIL_SIDE = 16
#: The least correlation of thumbnails. Of 300 crops of real photos, 99 % correlate more with their copies shrunk to
#: 0.4, recompressed at quality 30 or cut by 2 %; two different chairs of one make do less.
_LEAST_CORRELATION = 0.8

Hashes = npt.NDArray[np.uint64]
#: (N, 256) uint8.
Thumbnails = npt.NDArray[np.uint8]


def thumbnail(photo: Photo) -> bytes:
    """Return a picture as 16 × 16 grey values, whatever its shape. (H, W, 3) uint8 → 256 bytes."""
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    return bytes(cv2.resize(grey, (_THUMBNAIL_SIDE, _THUMBNAIL_SIDE), interpolation=cv2.INTER_AREA).tobytes())


def near_pairs(hashes: Hashes, bits: int) -> npt.NDArray[np.int64]:
    """Return all pairs of different hashes that differ in at most `bits` bits, each once.

    By the pigeonhole principle: of bits + 2 blocks of a hash, at least two have no differing bit. So for every two
    blocks the hashes are sorted by what they have there, and only those with the same are compared (Manku, Jain, Das
    Sarma: "Detecting near-duplicates for web crawling", WWW 2007). One block of bits + 1 would do as well, but many
    more hashes have the same bits in it.

    Args:
        hashes: (N,) distinct ones; equal ones would make as many pairs as they like.
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
    # Each pair as one number, which is found once for every two blocks that its hashes have in common.
    pairs = np.unique(np.concatenate([_pairs_within(hashes, mask, bits) for mask in masks]))
    return np.stack(np.divmod(pairs, max(len(hashes), 1)), axis=1)


def _pairs_within(hashes: Hashes, mask: np.uint64, bits: int) -> npt.NDArray[np.int64]:
    """Return first × N + second of the near pairs among hashes that are the same under a mask."""
    keys = hashes & mask
    order = np.argsort(keys, kind="stable")
    keys, sorted_hashes = keys[order], hashes[order]
    # Where the run of equal keys ends that each stands in.
    ends = np.searchsorted(keys, keys, side="right")
    found, step, active = [np.empty(0, np.int64)], 1, np.arange(len(hashes))
    while len(active := active[active + step < ends[active]]):
        near = np.bitwise_count(sorted_hashes[active] ^ sorted_hashes[active + step]) <= bits
        first, second = order[active[near]], order[active[near] + step]
        found.append(np.minimum(first, second) * len(hashes) + np.maximum(first, second))
        step += 1
    return np.concatenate(found)


def kept_of(hashes: Hashes, thumbnails: Thumbnails, bits: int) -> npt.NDArray[np.int64]:
    """Return for each picture which one stays for it: itself, or the best of those that it nearly equals.

    Groups are stars: everything that goes nearly equals the one that stays. Joining chains instead, of which each
    link is near and the ends are far apart, would throw away pictures that nothing like them stays for.

    Args:
        hashes: (N,) hashes of the pictures, those to prefer first.
        thumbnails: (N, 256) uint8.
        bits: Number of bits in which the hashes may differ, 0..10.

    Returns:
        (N,) int64 indices; those that stay have their own.

    Raises:
        ConfigError: `bits` is outside its range.
    """
    kept = np.arange(len(hashes))
    # A blank picture correlates with nothing, and its hash says nothing: thousands may have it.
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
    # Whole numbers below 2^24 are exact in float32, and so are all sums of 256 products of bytes, in any order: the
    # result is the same on every machine.
    first, rest = one.astype(np.float32), others.astype(np.float32)
    products = (rest @ first).astype(np.float64)
    squares = np.einsum("kp,kp->k", rest, rest).astype(np.float64)
    sums, total, count = rest.sum(axis=1).astype(np.float64), float(first.sum()), len(one)
    deviation = np.sqrt(count * squares - sums**2) * np.sqrt(count * float(first @ first) - total**2)
    return np.asarray((count * products - sums * total) / deviation, np.float64)


class _Neighbourhoods:
    """Which of N rows have near hashes, without listing the pairs of equal ones.

    Of `value` (N,), the distinct hash of each row, `starts` says where its rows begin in `rows`, and `near_starts`
    where its near distinct hashes begin in `near`. `not_alone` are the rows with a neighbour, rising.
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
        """Return the rows whose hash is near a row's, that row among them."""
        own = self.value[row]
        values = [own, *self.near[self.near_starts[own] : self.near_starts[own + 1]]]
        return np.concatenate([self.rows[self.starts[value] : self.starts[value + 1]] for value in values])
