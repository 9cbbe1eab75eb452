"""Binary codes of classes: far enough apart, the same at every call, and near one another where classes are alike."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sketchdata.retrieval.hash_centers import hadamard_centers, random_centers, semantic_centers

LENGTHS = (16, 24, 32, 64)

Matrix = npt.NDArray[np.float64]


def distances(centers: Matrix) -> npt.NDArray[np.int64]:
    """Count the bits in which two codes differ, for all pairs of different classes."""
    first, second = np.triu_indices(len(centers), 1)
    return (centers[first] != centers[second]).sum(axis=1)


def assert_codes(centers: Matrix, classes: int, bits: int) -> None:
    assert centers.shape == (classes, bits)
    assert set(np.unique(centers).tolist()) <= {-1.0, 1.0}


@pytest.mark.parametrize("bits", LENGTHS)
def test_random_codes_of_345_classes_keep_an_eighth_of_their_bits_apart(bits: int) -> None:
    centers = random_centers(345, bits, seed=3)
    assert_codes(centers, 345, bits)
    assert distances(centers).min() >= bits // 8
    assert abs(float(centers.mean())) < 0.05


@settings(max_examples=25)
@given(classes=st.integers(1, 60), bits=st.sampled_from([*LENGTHS, 12, 48]), seed=st.integers(0, 2**32))
def test_codes_of_any_seed_are_apart_and_come_again(classes: int, bits: int, seed: int) -> None:
    centers = random_centers(classes, bits, seed)
    assert_codes(centers, classes, bits)
    assert distances(centers).min(initial=bits) >= bits // 8
    assert np.array_equal(centers, random_centers(classes, bits, seed))


def test_another_seed_gives_other_codes() -> None:
    assert not np.array_equal(random_centers(20, 32, 0), random_centers(20, 32, 1))


def test_codes_that_are_too_near_lose_few_bits() -> None:
    # 200 codes of 16 bits thrown like coins: about 200²/2 · 17/65536 = 5 pairs are nearer than 2.
    thrown = np.where(np.random.default_rng(5).normal(size=(200, 16)) >= 0, 1.0, -1.0)
    assert 0 < (distances(thrown) < 2).sum() < 20
    centers = random_centers(200, 16, seed=5)
    assert distances(centers).min() == 2
    assert 0 < (centers != thrown).sum() < 40


def test_more_classes_than_codes_end_nevertheless() -> None:
    assert_codes(random_centers(20, 2, 0), 20, 2)
    assert len(np.unique(random_centers(4, 2, 0), axis=0)) == 4


@pytest.mark.parametrize(("classes", "bits"), [(1, 16), (19, 16), (32, 16), (64, 32), (100, 64)])
def test_hadamard_rows_and_their_opposites_are_half_of_their_bits_apart(classes: int, bits: int) -> None:
    centers = hadamard_centers(classes, bits, seed=0)
    assert_codes(centers, classes, bits)
    assert set(distances(centers).tolist()) <= {bits // 2, bits}
    assert np.array_equal(centers, hadamard_centers(classes, bits, seed=9))


@pytest.mark.parametrize(("classes", "bits"), [(33, 16), (345, 64), (10, 24)])
def test_where_a_hadamard_matrix_has_too_few_rows_codes_are_thrown(classes: int, bits: int) -> None:
    assert np.array_equal(hadamard_centers(classes, bits, seed=4), random_centers(classes, bits, seed=4))


# ---- of learned directions -------------------------------------------------------------------------------------------


def alike_in_pairs(pairs: int, bits: int, seed: int = 0) -> Matrix:
    """Return directions of which two follow one another that differ little."""
    random = np.random.default_rng(seed)
    first = random.normal(size=(pairs, bits))
    second = first + 0.3 * random.normal(size=(pairs, bits))
    return np.stack([first, second], 1).reshape(2 * pairs, bits)


@pytest.mark.parametrize("bits", [16, 24, 64])
def test_alike_classes_get_nearer_codes_than_others_and_none_too_near(bits: int) -> None:
    proxies = alike_in_pairs(10, bits)
    centers, rotation = semantic_centers(proxies)
    assert_codes(centers, 20, bits)
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(bits), atol=1e-10)
    apart = (bits - centers @ centers.T) / 2
    own = np.array([apart[i, i + 1] for i in range(0, 20, 2)])
    others = np.array([apart[i, j] for i in range(20) for j in range(i) if i // 2 != j // 2])
    assert own.max() < others.mean() / 1.5
    assert own.mean() < others.min()
    assert min(own.min(), others.min()) >= bits // 8


def test_the_rotation_brings_directions_nearer_to_their_signs() -> None:
    proxies = alike_in_pairs(10, 32)
    directions = proxies / np.linalg.norm(proxies, axis=1, keepdims=True)
    centers, rotation = semantic_centers(proxies)
    turned = directions @ rotation

    def cosine(rows: Matrix) -> float:
        return float((rows * np.sign(rows)).sum(axis=1).mean() / np.sqrt(32))

    assert cosine(turned) > cosine(directions) + 0.02
    # Most bits are the signs of what was turned; only pairs that were too near differ.
    assert (centers == np.where(turned >= 0, 1.0, -1.0)).mean() > 0.95


def test_the_length_of_a_direction_does_not_matter_and_codes_come_again() -> None:
    proxies = alike_in_pairs(6, 16)
    # Powers of two leave every digit of a direction as it is.
    longer = proxies * 2.0 ** np.arange(len(proxies))[:, None]
    for again in (longer, proxies):
        for one, other in zip(semantic_centers(proxies), semantic_centers(again), strict=True):
            assert np.array_equal(one, other)


def test_equal_directions_get_different_codes_by_their_least_certain_bits() -> None:
    proxies = np.random.default_rng(1).normal(size=(8, 32))
    proxies[1] = proxies[0]
    centers, rotation = semantic_centers(proxies)
    assert (centers[0] != centers[1]).sum() == 4
    turned = np.abs(proxies[0] @ rotation)
    assert set(np.flatnonzero(centers[0] != centers[1]).tolist()) == set(np.argsort(turned)[:4].tolist())
