"""Exact duplicates among drawings: the normal form in which they are compared, and its hash.

Two drawings are equal if they have the same strokes in the same order, each with the same points. Consecutive equal
points count once, since they draw nothing; so do the two equal points that are a dot in the simplified format. Class,
country, time and the times of raw points are ignored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
import numpy.typing as npt

from sketchdata.drawings.drawing import DrawingBatch, offsets_of

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
