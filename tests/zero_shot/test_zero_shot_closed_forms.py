"""SAE and ESZSL against the equations of their papers, and ConSE against its sum."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import linalg

from sketchdata.errors import ConfigError
from sketchdata.zero_shot import ZERO_SHOT_METHODS
from sketchdata.zero_shot.closed_form import SemanticAutoencoder, learn_eszsl
from sketchdata.zero_shot.recogniser import combine_vectors
from sketchdata.zero_shot.training_set import make_training_set
from tests.zero_shot_toys import SEEN, Toy, make_toy

#: Drawings of classes are unequally many, so that weights of classes matter.
TOY = make_toy(drawings=9)
KEPT = TOY.of_seen & (np.random.default_rng(1).random(len(TOY.labels)) < TOY.labels / 40 + 0.1)
KEPT |= TOY.of_seen & (np.cumsum(np.eye(36)[TOY.labels], axis=0)[np.arange(len(TOY.labels)), TOY.labels] == 1)


def centred() -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Return X (F, N), S (S, N), all vectors (L, S) and what X was divided by, as the papers write them."""
    features = TOY.features[KEPT].astype(np.float64)
    features -= features.mean(axis=0)
    scale = float(np.sqrt(np.square(features).mean()))
    known = TOY.vectors[SEEN].astype(np.float64)
    vectors = (TOY.vectors - known.mean(axis=0)) / np.sqrt(np.square(known - known.mean(axis=0)).mean())
    return features.T / scale, vectors[TOY.labels[KEPT]].T, vectors, scale


def fitted(learn: Callable[..., object], *constants: dict[str, float]) -> list[object]:
    data = make_training_set(TOY.features[KEPT], TOY.labels[KEPT], TOY.vectors, SEEN)
    return list(learn(data, constants))


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    products = one @ other.T
    return products / np.linalg.norm(one, axis=1)[:, None] / np.linalg.norm(other, axis=1)


@pytest.mark.parametrize("ridge", [0.01, 1.0, 30.0])
def test_the_autoencoder_solves_the_sylvester_equation(ridge: float) -> None:
    x, s, vectors, scale = centred()
    weights = linalg.solve_sylvester(s @ s.T, ridge * x @ x.T, (1 + ridge) * s @ x.T)
    asked = TOY.features[:40] - TOY.features[KEPT].mean(axis=0, dtype=np.float64)

    (there,) = fitted(SemanticAutoencoder(direction="to_features"), {"ridge": ridge})
    assert there.prototypes == pytest.approx(vectors @ weights, rel=1e-6, abs=1e-8)
    assert there.scores(TOY.features[:40]) == pytest.approx(cosines(asked, vectors @ weights), abs=1e-5)
    (back,) = fitted(SemanticAutoencoder(direction="to_vectors"), {"ridge": ridge})
    assert back.scores(TOY.features[:40]) == pytest.approx(cosines(asked @ weights.T / scale, vectors), abs=1e-5)


def test_no_other_matrix_has_a_lower_autoencoder_loss() -> None:
    x, s, vectors, _ = centred()

    def loss(weights: np.ndarray) -> float:
        return float(np.square(x - weights.T @ s).sum() + 0.3 * np.square(weights @ x - s).sum())

    (found,) = fitted(SemanticAutoencoder(direction="to_features"), {"ridge": 0.3})
    weights = np.linalg.lstsq(vectors, found.prototypes, rcond=None)[0]
    random = np.random.default_rng(0)
    steps = [size * random.normal(size=weights.shape) for size in (1e-3, 1e-2, 0.1) for _ in range(50)]
    assert loss(weights) < min(loss(weights + step) for step in steps)


def test_eszsl_is_its_formula_for_all_constants_of_one_pass() -> None:
    x, _, vectors, scale = centred()
    known = vectors[SEEN].T
    signs = np.where(TOY.labels[KEPT][:, None] == SEEN, 1.0, -1.0)
    grid = [{"feature_ridge": one, "vector_ridge": other} for one in (0.01, 1.0) for other in (0.1, 2.0)]
    asked = (TOY.features[:40] - TOY.features[KEPT].mean(axis=0, dtype=np.float64)) / scale
    for constants, found in zip(grid, fitted(learn_eszsl, *grid), strict=True):
        left = x @ x.T + constants["feature_ridge"] * x.shape[1] * np.eye(len(x))
        right = known @ known.T + constants["vector_ridge"] * known.shape[1] * np.eye(len(known))
        weights = np.linalg.solve(left, x @ signs @ known.T) @ np.linalg.inv(right)
        assert found.constants == constants
        assert found.scores(TOY.features[:40]) == pytest.approx(asked @ weights @ vectors.T, rel=1e-4, abs=1e-5)


def test_features_of_which_some_numbers_never_change_are_learnt_from() -> None:
    features = TOY.features[KEPT].copy()
    features[:, :5] = 3
    for name in ("sae", "sae_reversed", "eszsl"):
        recogniser = ZERO_SHOT_METHODS[name].fit(features, TOY.labels[KEPT], TOY.vectors, SEEN)
        assert np.isfinite(recogniser.scores(features)).all()


def test_vectors_are_combined_as_in_the_sum() -> None:
    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.ones(7), size=20)
    known = random.normal(size=(7, 3))
    for top in (1, 3, 7, 100):
        found = combine_vectors(probabilities, known, top)
        for row, given in zip(found, probabilities, strict=True):
            first = sorted(range(7), key=lambda place: -given[place])[:top]
            expected = sum(given[place] * known[place] for place in first) / sum(given[place] for place in first)
            assert row == pytest.approx(expected)


@pytest.mark.parametrize(("shape", "top"), [((4, 3), 0), ((4, 4), 1), ((3,), 1)])
def test_probabilities_that_do_not_fit_are_refused(shape: tuple[int, ...], top: int) -> None:
    with pytest.raises(ConfigError, match="a column for each class"):
        combine_vectors(np.ones(shape), np.ones((3, 2)), top)


def test_the_toy_has_classes_of_different_sizes() -> None:
    toy: Toy = TOY
    sizes = np.bincount(toy.labels[KEPT], minlength=36)[SEEN]
    assert sizes.min() >= 1
    assert sizes.max() > 3 * sizes.min()
