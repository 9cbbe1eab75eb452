"""Duplicates among drawings: the normal form in which they are compared, its hash, and pairs of near duplicates.

Two drawings are equal if they have the same strokes in the same order, each with the same points. Consecutive equal
points count once, since they draw nothing; so do the two equal points that are a dot in the simplified format. Class,
country, time and the times of raw points are ignored.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
import numpy.typing as npt

from sketchdata.drawings.drawing import DrawingBatch, offsets_of
from sketchdata.drawings.raster import raster

_LABEL_BITS = 16


def normal_forms(batch: DrawingBatch) -> Iterator[bytes]:
    """Yield each drawing as bytes that are equal if and only if the drawings are.

    They are the number of strokes, the number of points of each stroke (little-endian int32), then x and y of all
    points.
    """
    # The points that start a stroke or differ from the previous one.
    kept = np.ones(len(batch.x), np.bool_)
    kept[1:] = (batch.x[1:] != batch.x[:-1]) | (batch.y[1:] != batch.y[:-1])
    firsts = batch.points[:-1]
    kept[firsts[firsts < len(kept)]] = True
    up_to = np.concatenate([[0], np.cumsum(kept, dtype=np.int64)])
    lengths = np.diff(up_to[batch.points]).astype("<i4")
    # The number of strokes comes first: without it, lengths could be read as points.
    head = np.insert(lengths, batch.strokes[:-1], np.diff(batch.strokes).astype("<i4"))
    # Adding 0 turns −0, which equals 0, into the same bytes.
    body = np.stack([batch.x[kept], batch.y[kept]], axis=1) + batch.x.dtype.type(0)
    head_ends = (batch.strokes + np.arange(len(batch) + 1)) * head.itemsize
    body_ends = offsets_of(np.diff(up_to[batch.points[batch.strokes]])) * 2 * body.itemsize
    heads, bodies = head.tobytes(), body.tobytes()
    for (a, b), (c, d) in zip(pairwise(head_ends.tolist()), pairwise(body_ends.tolist()), strict=True):
        yield heads[a:b] + bodies[c:d]


def digests(batch: DrawingBatch) -> npt.NDArray[np.uint64]:
    """Return the 64-bit BLAKE2b hash of each drawing's normal form, (N,) uint64.

    Equal drawings have equal hashes. Different ones almost never do; compare the forms to be certain.
    """
    return np.frombuffer(b"".join(hashlib.blake2b(form, digest_size=8).digest() for form in normal_forms(batch)), "<u8")


def repeated(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Return the values that occur more than once, in ascending order."""
    ordered = np.sort(values)
    found: npt.NDArray[np.uint64] = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    return found


@dataclass(frozen=True, kw_only=True)
class Members:
    """M drawings that have a duplicate, in the order of the data set's rows.

    Attributes:
        group: (M,) uint32; duplicates have the same group, and groups are numbered in the order of their first drawing.
        key_id: (M,) uint64.
        split: (M,) uint8, an index into the splits.
        label: (M,) uint16.
    """

    group: npt.NDArray[np.uint32]
    key_id: npt.NDArray[np.uint64]
    split: npt.NDArray[np.uint8]
    label: npt.NDArray[np.uint16]

    def __len__(self) -> int:
        return len(self.group)


@dataclass(frozen=True, kw_only=True)
class Leakage:
    """The drawings of the split `into` that have a duplicate in an earlier split, `source`.

    A drawing with duplicates in its own class and in others counts as `same_class` and as `other_class`.
    """

    source: str
    into: str
    drawings: int
    same_class: int
    other_class: int


def leakage(members: Members, splits: Sequence[str]) -> list[Leakage]:
    """Return the leakage between each pair of splits."""
    pairs, found = _group_and_label(members), []
    for source, into in combinations(range(len(splits)), 2):
        inside, pairs_inside = np.unique(pairs[members.split == source]), pairs[members.split == into]
        groups, classes = np.unique(inside >> _LABEL_BITS, return_counts=True)
        # The number of classes in the source split that have this drawing.
        at = np.searchsorted(groups, pairs_inside >> _LABEL_BITS)
        known = np.append(groups, -1)[at] == pairs_inside >> _LABEL_BITS
        count = np.where(known, np.append(classes, 0)[at], 0)
        same = np.isin(pairs_inside, inside)
        found.append(
            Leakage(
                source=splits[source],
                into=splits[into],
                drawings=int(known.sum()),
                same_class=int(same.sum()),
                other_class=int((count > same).sum()),
            )
        )
    return found


def _group_and_label(members: Members) -> npt.NDArray[np.int64]:
    return (members.group.astype(np.int64) << _LABEL_BITS) | members.label


def mixed_groups(members: Members) -> int:
    """Count the groups with drawings of more than one class."""
    _, classes = np.unique(np.unique(_group_and_label(members)) >> _LABEL_BITS, return_counts=True)
    return int((classes > 1).sum())


def within(members: Members, split: int) -> int:
    """Count the drawings of a split that have a duplicate in the same split."""
    _, index, counts = np.unique(members.group[members.split == split], return_inverse=True, return_counts=True)
    return int((counts[index] > 1).sum())


# ---- near duplicates -------------------------------------------------------------------------------------------------

_INK_SIZE, _INK_ROWS = 256, 256


def ink_digests(batch: DrawingBatch) -> npt.NDArray[np.uint64]:
    """Hash the ink of each drawing on a raster of 256 pixels, moved to the top left: (N,) uint64.

    Equal for drawings that differ in a shift, in the order of the strokes or in points that do not change the lines.
    """
    if len(batch) and batch.x.dtype == np.uint8:
        bounds = batch.points[batch.strokes]
        inked = np.flatnonzero(np.diff(bounds))
        lengths = np.diff(bounds)[inked]
        moved = {name: getattr(batch, name).copy() for name in ("x", "y")}
        for values in moved.values():
            if len(inked):
                values -= np.repeat(np.minimum.reduceat(values, bounds[inked]), lengths)
        batch = dataclasses.replace(batch, **moved)
    found = []
    for start in range(0, len(batch), _INK_ROWS):
        bitmaps = raster(batch.slice(start, min(start + _INK_ROWS, len(batch))), size=_INK_SIZE, threads=1)
        packed = np.packbits(bitmaps.reshape(len(bitmaps), -1) > 0, axis=1)
        found += [hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in packed]
    return np.frombuffer(b"".join(found), "<u8")


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """P pairs of near duplicates.

    Attributes:
        first: (P,) int64, the row of the drawing that comes first in the data set.
        second: (P,) int64, the row of the other.
        distance: (P,) float32, 1 − cosine of their features.
    """

    first: npt.NDArray[np.int64]
    second: npt.NDArray[np.int64]
    distance: npt.NDArray[np.float32]


def near_pairs(
    features: npt.NDArray[np.uint8], split: npt.NDArray[np.integer], distance: float, *, rows: int = 1024
) -> Pairs:
    """Pair each drawing with the nearest one before it in its own split, and in each earlier split.

    Args:
        features: (N, D) of one class, in the order of the rows.
        split: (N,) their splits, which never decrease.
        distance: The largest distance of a pair, 1 − cosine.
        rows: Drawings compared at a time.

    Returns:
        Pairs of positions in `features`.
    """
    unit = features.astype(np.float32)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    bounds = np.searchsorted(split, np.arange(int(split.max(initial=-1)) + 2)).tolist()
    found = []
    for start in range(0, len(unit), rows):
        stop = min(start + rows, len(unit))
        similar = unit[start:stop] @ unit[:stop].T
        similar[np.triu(np.ones((stop - start, stop), np.bool_), start)] = -2
        for low, high in pairwise(bounds):
            if low >= min(high, stop):
                continue
            nearest = similar[:, low:high].argmax(axis=1) + low
            gap = 1 - similar[np.arange(stop - start), nearest]
            near = np.flatnonzero(gap <= distance)
            found.append((nearest[near], near + start, np.maximum(gap[near], 0)))
    first, second, gaps = (np.concatenate([part[place] for part in found] or [np.empty(0)]) for place in range(3))
    order = np.lexsort((first, second))
    return Pairs(
        first=first[order].astype(np.int64),
        second=second[order].astype(np.int64),
        distance=gaps[order].astype(np.float32),
    )
