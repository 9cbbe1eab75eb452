"""Near duplicates: the hash of ink, and pairs by distance, against a plain comparison."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sketchdata.curation.duplicates import digests, ink_digests, near_pairs
from sketchdata.drawings.drawing import DrawingBatch, empty_batch
from sketchdata.synth import generate


def moved(batch: DrawingBatch, x: int, y: int) -> DrawingBatch:
    return dataclasses.replace(batch, x=(batch.x // 2 + x).astype(np.uint8), y=(batch.y // 2 + y).astype(np.uint8))


def turned(batch: DrawingBatch) -> DrawingBatch:
    """Return one drawing with its strokes in reverse order."""
    strokes = [np.arange(a, b) for a, b in zip(batch.points[:-1], batch.points[1:], strict=True)][::-1]
    order = np.concatenate(strokes)
    points = np.concatenate([[0], np.cumsum([len(stroke) for stroke in strokes])]).astype(batch.points.dtype)
    return dataclasses.replace(batch, x=batch.x[order], y=batch.y[order], points=points)


@given(st.integers(0, 100), st.integers(0, 100))
def test_a_shift_does_not_change_the_ink(x: int, y: int) -> None:
    batch = generate("cat", 3, seed=0)
    assert ink_digests(moved(batch, x, y)).tolist() == ink_digests(moved(batch, 0, 0)).tolist()


def test_the_order_of_strokes_changes_the_drawing_but_not_its_ink() -> None:
    batch = generate("house", 8, seed=0)
    several = [batch.slice(row, row + 1) for row in np.flatnonzero(np.diff(batch.strokes) > 1)]
    assert several
    for each in several:
        assert digests(turned(each)) != digests(each)
        assert ink_digests(turned(each)) == ink_digests(each)


def test_different_drawings_have_different_ink_and_none_has_no_hash() -> None:
    assert len(set(ink_digests(generate("cat", 50, seed=0)).tolist())) == 50
    assert len(ink_digests(empty_batch())) == 0


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_each_drawing_is_paired_with_the_nearest_before_it_in_each_split(rows: int) -> None:
    random = np.random.default_rng(3)
    features = random.integers(0, 256, (40, 6)).astype(np.uint8)
    split = np.sort(random.integers(0, 4, 40))
    unit = features / np.linalg.norm(features.astype(float), axis=1, keepdims=True)
    expected = []
    for second in range(40):
        for each in range(4):
            before = [first for first in range(second) if split[first] == each]
            gaps = [1 - unit[first] @ unit[second] for first in before]
            if gaps and min(gaps) <= 0.1:
                expected.append((before[int(np.argmin(gaps))], second))
    found = near_pairs(features, split, 0.1, rows=rows)
    assert list(zip(found.first.tolist(), found.second.tolist(), strict=True)) == expected
    assert expected
