"""Supervised discrete hashing: its loss, its descent, and the kernel machine that it ends in."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics.pairwise import rbf_kernel

from sketchdata.retrieval.shallow_hashing import (
    CLASSIFIER_RIDGE,
    EMBEDDING_WEIGHT,
    KERNEL_RIDGE,
    cyclic_descent,
    discrete_regression,
    kernel_features,
)
from tests.digit_codes import digits


def near_digits(count: int = 400) -> tuple[np.ndarray, np.ndarray]:
    features, labels = digits()[1]
    near = kernel_features(features[:count].astype(np.float64), features[:50].astype(np.float64), 40.0)
    return near.astype(np.float32), labels[:count]


def random_codes(count: int, bits: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).choice([-1.0, 1.0], (count, bits))


def test_kernel_features_are_those_of_scikit_learn_and_a_one() -> None:
    rows = digits()[1][0][:30].astype(np.float64)
    found = kernel_features(rows, rows[:7], 25.0)
    assert found[:, :-1] == pytest.approx(rbf_kernel(rows, rows[:7], gamma=1 / (2 * 25.0**2)), abs=1e-12)
    assert (found[:, -1] == 1).all()


def test_the_loss_is_that_of_the_paper() -> None:
    near, labels = near_digits()
    codes = random_codes(len(near), 8)
    weights, losses = discrete_regression(near, labels, codes, rounds=0)
    one_hot = np.eye(10)[labels]
    classifier = Ridge(alpha=CLASSIFIER_RIDGE, fit_intercept=False).fit(codes, one_hot).coef_.T
    expected = np.square(one_hot - codes @ classifier).sum() + CLASSIFIER_RIDGE * np.square(classifier).sum()
    embedded = np.square(codes - near @ weights).sum() + KERNEL_RIDGE * np.square(weights).sum()
    assert losses == pytest.approx([expected + EMBEDDING_WEIGHT * embedded], rel=1e-9)
    theirs = Ridge(alpha=KERNEL_RIDGE, fit_intercept=False, solver="cholesky").fit(near.astype(np.float64), codes)
    assert weights == pytest.approx(theirs.coef_.T, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("bits", [4, 16, 32])
def test_no_round_raises_the_loss(bits: int, seed: int) -> None:
    near, labels = near_digits()
    _, losses = discrete_regression(near, labels, random_codes(len(near), bits, seed), rounds=8)
    assert len(losses) == 9
    assert (np.diff(losses) <= 1e-9 * losses[0]).all()
    assert losses[-1] < 0.7 * losses[0]


def test_descent_ends_where_no_bit_is_better_the_other_way() -> None:
    random = np.random.default_rng(0)
    root = random.standard_normal((6, 6))
    coupling, wanted = root @ root.T, random.standard_normal((5000, 6)) * 4
    found = cyclic_descent(random_codes(5000, 6), wanted, coupling)
    losses = _losses(found, wanted, coupling)
    for bit in range(6):
        other = found.copy()
        other[:, bit] *= -1
        assert (_losses(other, wanted, coupling) >= losses - 1e-9).all()


def test_descent_finds_the_best_codes_where_bits_are_independent() -> None:
    random = np.random.default_rng(0)
    coupling, wanted = np.diag(random.random(5) + 0.1), random.standard_normal((200, 5))
    found = _losses(cyclic_descent(random_codes(200, 5), wanted, coupling), wanted, coupling)
    every = [_losses(np.tile(code, (200, 1)), wanted, coupling) for code in product([-1.0, 1.0], repeat=5)]
    assert found == pytest.approx(np.min(every, axis=0))


def test_descent_never_ends_above_its_start() -> None:
    random = np.random.default_rng(1)
    root = random.standard_normal((12, 12))
    coupling, wanted = root @ root.T, random.standard_normal((500, 12)) * 6
    start = random_codes(500, 12)
    assert (
        _losses(cyclic_descent(start, wanted, coupling), wanted, coupling) <= _losses(start, wanted, coupling)
    ).all()


def _losses(codes: np.ndarray, wanted: np.ndarray, coupling: np.ndarray) -> np.ndarray:
    return np.einsum("nd,de,ne->n", codes, coupling, codes) - 2 * (codes * wanted).sum(axis=1)
