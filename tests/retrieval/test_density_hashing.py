"""Density sensitive hashing: which groups are neighbours, and which planes between them are taken."""

from __future__ import annotations

import numpy as np
import pytest

from sketchdata.errors import ConfigError
from sketchdata.retrieval.shallow_hashing import SHALLOW_HASHERS, Sample, learn_dsh_density, neighbours
from tests.digit_codes import digits

LINE = np.array([[0.0], [1.0], [10.0], [12.0]])


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, [(0, 1), (2, 3)]),
        # 1's two nearest are 0 and 2; those of 2 are 3 and 1; those of 0 are 1 and 2; those of 3 are 2 and 1.
        (2, [(0, 1), (0, 2), (1, 2), (1, 3), (2, 3)]),
        (3, [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]),
    ],
)
def test_neighbours_are_near_from_one_side_at_least(count: int, expected: list[tuple[int, int]]) -> None:
    assert list(zip(*(side.tolist() for side in neighbours(LINE, count)), strict=True)) == expected


def test_groups_in_the_same_place_are_no_neighbours() -> None:
    assert [side.tolist() for side in neighbours(np.array([[0.0], [0.0], [5.0]]), 2)] == [[0, 1], [2, 2]]


def planes(bits: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    features, labels = digits()[1]
    chosen = Sample(features=features, labels=labels, bits=bits, random=np.random.default_rng(0))
    learnt = learn_dsh_density(chosen)
    return learnt(features.astype(np.float64)), learnt.directions, learnt.thresholds


def test_planes_are_different_and_part_the_features_evenly() -> None:
    scores, directions, _ = planes(16)
    assert len(np.unique(directions, axis=1).T) == 16
    shares = (scores >= 0).mean(axis=0)
    assert (np.minimum(shares, 1 - shares) > 0.25).all()


def test_the_evenest_plane_of_four_unequal_groups_is_taken() -> None:
    # At most two groups for one bit: whichever two centres k-means ends in, the plane is midway between them.
    features = np.repeat(np.array([[0.0, 0.0], [0.0, 10.0]], np.float32), [50, 50], axis=0)
    features += np.random.default_rng(0).normal(0, 0.01, features.shape).astype(np.float32)
    codes = SHALLOW_HASHERS["dsh_density"].fit(features, None, 1, 0).encode(features)[:, 0]
    assert codes.mean() == 0.5
    high = np.array([[0, 5.5]], np.float32)
    low = np.array([[0, 4.5]], np.float32)
    hasher = SHALLOW_HASHERS["dsh_density"].fit(features, None, 1, 0)
    assert hasher.encode(high) != hasher.encode(low)


def test_too_few_different_groups_are_told() -> None:
    features = np.repeat(np.eye(3, dtype=np.float32), 100, axis=0)
    with pytest.raises(ConfigError, match="16 bits by density need as many pairs"):
        SHALLOW_HASHERS["dsh_density"].fit(features, None, 16, 0)


def test_rows_fewer_than_groups_are_told() -> None:
    features = np.random.default_rng(0).random((20, 4), np.float32)
    with pytest.raises(ConfigError, match="16 bits by density need at least 24 rows, and there are 20"):
        SHALLOW_HASHERS["dsh_density"].fit(features, None, 16, 0)
