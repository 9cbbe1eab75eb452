"""Spectral hashing and hashing by shift-invariant kernels, against what the papers prove of them."""

from __future__ import annotations

import numpy as np
import pytest

from sketchdata.retrieval.shallow_hashing import SHALLOW_HASHERS, Sample, learn_sh, learn_sklsh, median_distance
from tests.digit_codes import digits, quality, quality_of


def sample(features: np.ndarray, bits: int, seed: int = 0) -> Sample:
    labels = np.zeros(len(features), np.int64)
    return Sample(features=features.astype(np.float32), labels=labels, bits=bits, random=np.random.default_rng(seed))


def box(width: float, height: float, steps: int = 41) -> np.ndarray:
    return np.stack(np.meshgrid(np.linspace(0, width, steps), np.linspace(0, height, steps)), axis=-1).reshape(-1, 2)


def test_waves_of_a_box_come_by_their_length() -> None:
    modes = learn_sh(sample(box(4, 1.5), 4))
    # π/4, 2π/4 and 3π/4 along the long side; π/1.5 along the short one comes third.
    assert modes.axis.tolist() == [0, 0, 1, 0]
    assert modes.frequency == pytest.approx(np.pi * np.array([1 / 4, 2 / 4, 1 / 1.5, 3 / 4]), rel=1e-6)


def test_bits_of_a_box_are_signs_of_cosines() -> None:
    grid = box(4, 1.5)
    x, y = grid.T.astype(np.float32)
    expected = np.stack(
        [np.cos(x * np.pi / 4), np.cos(x * np.pi / 2), np.cos(y * np.pi / 1.5), np.cos(x * 3 * np.pi / 4)]
    )
    codes = SHALLOW_HASHERS["sh"].fit(grid.astype(np.float32), None, 4, 0).encode(grid.astype(np.float32)).T
    for bit, wave in zip(codes, expected, strict=True):
        clear = np.abs(wave) > 1e-4
        agreement = (bit == (wave >= 0))[clear].mean()
        # The solver may see a side from either end, which turns odd waves over.
        assert agreement in (0, 1)


def test_waves_part_a_uniform_box_evenly_and_do_not_correlate() -> None:
    # Weiss et al.: eigenfunctions are balanced and uncorrelated; their signs are balanced still.
    features = np.random.default_rng(0).random((20_000, 3)) * [4, 3, 2]
    values = learn_sh(sample(features, 6))(features)
    assert values.T @ values / len(values) == pytest.approx(np.eye(6) / 2, abs=0.03)
    assert (values >= 0).mean(axis=0) == pytest.approx(np.full(6, 0.5), abs=0.03)


def test_bits_of_random_waves_differ_as_often_as_the_paper_says() -> None:
    # Raginsky and Lazebnik: in the mean it is (8/π²) Σ (1 − K(m(x − y))) / (4m² − 1) over m = 1, 2 ….
    features = digits()[1][0][:40]
    sigma, bits = 30.0, 40_000
    codes = learn_sklsh(sample(features, bits), sigma)(features.astype(np.float64)) >= 0
    share = (codes[:, None] != codes[None]).mean(axis=2)
    squares = np.square(features[:, None] - features[None]).sum(axis=2, dtype=np.float64)
    terms = [(1 - np.exp(-(m**2) * squares / (2 * sigma**2))) / (4 * m**2 - 1) for m in range(1, 400)]
    expected = 8 / np.pi**2 * np.sum(terms, axis=0)
    assert np.abs(share - expected).max() < 5 * 0.5 / np.sqrt(bits)
    assert share.max() > 0.25


def test_a_bandwidth_that_is_far_too_small_finds_hardly_more_than_chance() -> None:
    gallery, labels = digits()[1]
    chance = np.bincount(labels).max() / len(labels)
    poor = learn_sklsh(sample(gallery, 32), median_distance(gallery, np.random.default_rng(0)) / 30)
    found = quality(lambda rows: poor(rows.astype(np.float64)) >= 0)
    assert found < chance + 0.03
    assert quality_of("sklsh", 32, 0) > found + 0.1


def test_the_median_distance_is_that_of_the_pairs() -> None:
    rows = np.array([[0, 0], [3, 4], [0, 0], [6, 8]], np.float32)
    # Between different places: 5, 10, 5, 5 and 10.
    assert median_distance(rows, np.random.default_rng(0)) == 5


def test_the_median_distance_of_many_is_near_that_of_all() -> None:
    rows = np.random.default_rng(0).standard_normal((5000, 50)).astype(np.float32)
    assert median_distance(rows, np.random.default_rng(1)) == pytest.approx(np.sqrt(2 * 50), rel=0.02)
