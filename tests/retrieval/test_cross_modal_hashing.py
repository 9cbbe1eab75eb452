"""Cross-modal hashing in closed form: its defining properties, and codes of two domains that agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import linalg

from sketchdata.errors import ConfigError
from sketchdata.retrieval.cross_modal_hashing import (
    CROSS_MODAL_HASHERS,
    TwoViews,
    factorise,
    learn_cca,
    learn_cvh,
    learn_scm_seq,
)

L, F, G, D = 6, 9, 8, 4


def views(seed: int = 0, noise: float = 0.3) -> tuple[Any, Any, Any, Any]:
    """Return drawings and photos that are two different maps of their classes' points, with noise."""
    random = np.random.default_rng(seed)
    points = random.normal(size=(L, 5))
    y, z = random.integers(0, L, 240), np.concatenate([np.arange(L), random.integers(0, L, 90)])
    first, second = random.normal(size=(5, F)), random.normal(size=(5, G))
    drawings = points[y] @ first + noise * random.normal(size=(len(y), F)) + 3
    photos = points[z] @ second + noise * random.normal(size=(len(z), G)) - 1
    return drawings, photos, y, z


def two_views(bits: int = D) -> TwoViews:
    x, p, y, z = views()
    return TwoViews(drawings=x - x.mean(0), photos=p - p.mean(0), drawing_labels=y, photo_labels=z, bits=bits, seed=0)


@pytest.mark.parametrize("name", ["cca", "cvh", "cmfh", "scm_seq"])
def test_codes_of_a_class_agree_between_domains(name: str) -> None:
    x, p, y, z = views()
    hasher = CROSS_MODAL_HASHERS[name].fit(x, p, y, z, bits=D, seed=3)
    codes = hasher.encode(x, "drawings"), hasher.encode(p, "photos")
    distances = (codes[0][:, None] != codes[1]).sum(2)
    same = y[:, None] == z
    assert distances[same].mean() < 0.5 * distances[~same].mean()
    again = CROSS_MODAL_HASHERS[name].fit(x, p, y, z, bits=D, seed=3)
    assert (again.encode(x, "drawings") == codes[0]).all()


def test_cca_finds_directions_of_unit_variance_whose_correlation_falls() -> None:
    given = two_views()
    random = np.random.default_rng(given.seed)
    rows = [random.choice(np.flatnonzero(given.photo_labels == label)) for label in given.drawing_labels]
    one, other = learn_cca(given)
    u, v = one(given.drawings), other(given.photos[rows])
    v = v - v.mean(0)
    np.testing.assert_allclose(u.T @ u / len(u), np.eye(D), atol=5e-3)
    np.testing.assert_allclose(v.T @ v / len(v), np.eye(D), atol=5e-3)
    cross = u.T @ v / len(u)
    np.testing.assert_allclose(cross, np.diag(np.diag(cross)), atol=5e-3)
    assert (np.diff(np.diag(cross)) <= 1e-9).all()


def test_cvh_solves_the_generalised_eigenproblem_of_the_similarities_between_all_items() -> None:
    given = two_views()
    one, other = learn_cvh(given)
    features = linalg.block_diag(given.drawings, given.photos)
    labels = np.concatenate([given.drawing_labels, given.photo_labels])
    same = labels[:, None] == labels
    similarity = same / same.sum(0)
    variance = features.T @ features
    best = linalg.eigh(features.T @ similarity @ features, variance, eigvals_only=True)[::-1][:D]
    found = np.concatenate([one(given.drawings), other(given.photos)])
    np.testing.assert_allclose(found.T @ found, np.eye(D), atol=5e-3)
    np.testing.assert_allclose(np.diag(found.T @ similarity @ found), best, rtol=5e-3)


def test_cmfh_ends_where_the_gradient_of_its_objective_vanishes() -> None:
    random = np.random.default_rng(0)
    pairs = [random.normal(size=(30, 6)), random.normal(size=(30, 5))]

    def objective(codes: Any, factors: Any, maps: Any) -> Any:
        total = 0.01 * (codes**2).sum()
        for x, u, p in zip(map(torch.from_numpy, pairs), factors, maps, strict=True):
            total = total + 0.5 * ((x - codes @ u) ** 2).sum() + 100 * ((codes - x @ p) ** 2).sum()
            total = total + 0.01 * ((u**2).sum() + (p**2).sum())
        return total

    values = []
    for rounds in (1, 5, 20, 1000):
        found = factorise(pairs, 3, seed=1, rounds=rounds)
        codes, *others = (
            torch.from_numpy(each).requires_grad_() for each in (found.codes, *found.factors, *found.maps)
        )
        values.append(objective(codes, others[:2], others[2:]))
    assert values == sorted(values, reverse=True)
    values[-1].backward()
    assert all(each.grad.abs().max() < 1e-3 for each in (codes, *others))


def test_scm_takes_the_best_direction_of_the_similarity_less_the_bits_before() -> None:
    given = two_views(bits=2)
    one, other = learn_scm_seq(given)
    x, p = given.drawings, given.photos
    similarity = 2 * np.where(given.drawing_labels[:, None] == given.photo_labels, 1.0, -1.0)
    u, v = one(x), other(p)

    def correlation(bit: int, first: Any, second: Any) -> float:
        left = similarity.copy()
        for before in range(bit):
            signs = (np.where(own[:, before] >= 0, 1.0, -1.0) for own in (u, v))
            left -= np.outer(*signs)
        return float(first @ left @ second)

    random = np.random.default_rng(1)
    for bit in range(2):
        best = correlation(bit, u[:, bit], v[:, bit])
        for _ in range(200):
            first, second = x @ random.normal(size=F), p @ random.normal(size=G)
            first, second = first / np.sqrt((first**2).mean()), second / np.sqrt((second**2).mean())
            assert abs(correlation(bit, first, second)) <= best * 1.01


def test_what_cannot_be_learned_is_told() -> None:
    x, p, y, z = views()
    with pytest.raises(ConfigError, match="class 5 has drawings and no photo"):
        CROSS_MODAL_HASHERS["cca"].fit(x, p[z < 5], y, z[z < 5], bits=2)
    with pytest.raises(ConfigError, match="10 bits need as many values"):
        CROSS_MODAL_HASHERS["pca"].fit(x, p, y, z, bits=10)
