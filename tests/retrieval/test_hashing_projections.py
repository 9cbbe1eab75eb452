"""Linear projections: against faiss where it has the same, against the formulas of the papers where it has not."""

from __future__ import annotations

import faiss
import numpy as np
import pytest
from scipy.linalg import expm, qr, svdvals

from sketchdata.retrieval.shallow_hashing import (
    SHALLOW_HASHERS,
    Sample,
    itq_rotation,
    learn_cca_itq,
    learn_lsh,
    learn_pca_rr,
    learn_pcah,
    principal_components,
    random_rotation,
)
from tests.digit_codes import digits, quality, quality_of

Array = np.ndarray


def sample(bits: int, seed: int = 0) -> Sample:
    features, labels = digits()[1]
    return Sample(features=features, labels=labels, bits=bits, random=np.random.default_rng(seed))


def pairwise_angles(rows: Array) -> Array:
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return np.arccos(np.clip(unit @ unit.T, -1, 1))


def test_bits_of_lsh_differ_as_often_as_angles_are_wide() -> None:
    chosen = sample(20_000)
    rows = chosen.features[:60].astype(np.float64)
    bits = learn_lsh(chosen)(rows) >= 0
    share = (bits[:, None] != bits[None]).mean(axis=2)
    angles = pairwise_angles(rows - chosen.features.mean(axis=0, dtype=np.float64))
    # Five standard deviations of a share of 20,000 bits.
    assert np.abs(share - angles / np.pi).max() < 5 * 0.5 / np.sqrt(20_000)


@pytest.mark.slow
def test_lsh_finds_as_much_as_that_of_faiss() -> None:
    gallery = digits()[1][0]
    index = faiss.IndexLSH(64, 64, True, False)
    mean = gallery.mean(axis=0)

    def encode(rows: Array) -> Array:
        return np.unpackbits(index.sa_encode(rows - mean), axis=1, bitorder="little").astype(bool)

    own = [quality(SHALLOW_HASHERS["lsh"].fit(gallery, None, 64, seed).encode) for seed in range(4)]
    # That of faiss has orthogonal directions, which at 64 of 64 gain it a little.
    assert np.mean(own) == pytest.approx(quality(encode), abs=0.06)


def test_principal_components_are_those_of_faiss() -> None:
    gallery = digits()[1][0]
    theirs = faiss.PCAMatrix(64, 16)
    theirs.train(gallery)
    directions = faiss.vector_to_array(theirs.A).reshape(-1, 64)[:16]
    own = learn_pcah(sample(16)).directions
    assert np.abs(directions @ own) == pytest.approx(np.eye(16), abs=2e-3)
    signs = np.sign(np.diagonal(directions @ own))
    codes = SHALLOW_HASHERS["pcah"].fit(gallery, None, 16, 0).encode(gallery)
    assert ((theirs.apply(gallery) * signs >= 0) == codes).mean() > 0.9999


def test_principal_components_are_largest_first_and_orthogonal() -> None:
    chosen = sample(10)
    components = principal_components(chosen.features, 10)
    scores = components(chosen.features.astype(np.float64))
    variances = scores.var(axis=0)
    assert (np.diff(variances) < 0).all()
    assert scores.mean(axis=0) == pytest.approx(np.zeros(10), abs=1e-10)
    assert np.cov(scores.T, bias=True) == pytest.approx(np.diag(variances), abs=1e-9)


def test_pca_rr_is_where_itq_starts() -> None:
    gallery = digits()[1][0]
    rotation = random_rotation(16, np.random.default_rng(3))
    unmoved, losses = itq_rotation(np.ones((4, 16)), rotation, iterations=0)
    assert (unmoved == rotation).all()
    assert len(losses) == 1
    components = learn_pcah(sample(16)).rotated(rotation)
    assert learn_pca_rr(sample(16, seed=3)).directions == pytest.approx(components.directions)
    assert gallery.shape[1] == len(components.directions)


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 2, 16])
def test_random_rotations_are_orthogonal_and_turn_to_all_sides(size: int) -> None:
    random = np.random.default_rng(0)
    rotations = np.stack([random_rotation(size, random) for _ in range(400)])
    assert rotations @ rotations.transpose(0, 2, 1) == pytest.approx(np.tile(np.eye(size), (400, 1, 1)), abs=1e-12)
    # Of an entry of a Haar matrix the mean is 0 and the mean square 1 / size.
    assert rotations.mean(axis=0) == pytest.approx(np.zeros((size, size)), abs=5 / np.sqrt(400 * size))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("bits", [2, 16, 32])
def test_no_iteration_of_itq_raises_its_loss(bits: int, seed: int) -> None:
    projected = learn_pcah(sample(bits))(digits()[1][0].astype(np.float64))
    rotation, losses = itq_rotation(projected, random_rotation(bits, np.random.default_rng(seed)))
    assert len(losses) == 51
    assert (np.diff(losses) <= 1e-9 * losses[0]).all()
    assert losses[-1] < losses[0]
    assert rotation.T @ rotation == pytest.approx(np.eye(bits), abs=1e-10)


def test_itq_turns_the_corners_of_a_turned_cube_back() -> None:
    corners = np.random.default_rng(0).choice([-1.0, 1.0], (500, 4))
    turn = random_rotation(4, np.random.default_rng(7))
    skew = np.triu(np.random.default_rng(1).normal(0, 0.1, (4, 4)), 1)
    rotation, losses = itq_rotation(corners @ turn.T, turn @ expm(skew - skew.T))
    assert losses[0] > 1
    assert losses[-1] == pytest.approx(0, abs=1e-12)
    assert rotation == pytest.approx(turn)


@pytest.mark.slow
@pytest.mark.parametrize("bits", [16, 32])
def test_itq_is_no_worse_than_that_of_faiss(bits: int) -> None:
    components = learn_pcah(sample(bits))
    projected = components(digits()[1][0].astype(np.float64))
    theirs = faiss.ITQMatrix(bits)
    theirs.max_iter = 50
    theirs.train(projected.astype(np.float32))
    turn = faiss.vector_to_array(theirs.A).reshape(bits, bits).T.astype(np.float64)
    own = [itq_rotation(projected, random_rotation(bits, np.random.default_rng(seed)))[1][-1] for seed in range(3)]
    # Each start ends in another minimum, all of about the same height.
    assert np.mean(own) < 1.01 * itq_rotation(projected, turn, iterations=0)[1][0]

    def encode(rows: Array) -> Array:
        return components(rows.astype(np.float64)) @ turn >= 0

    found = [quality(SHALLOW_HASHERS["pca_itq"].fit(digits()[1][0], None, bits, seed).encode) for seed in range(3)]
    assert np.mean(found) > quality(encode) - 0.02


def test_scores_of_cca_correlate_with_the_classes_as_canonical_variables_do() -> None:
    random = np.random.default_rng(0)
    labels = np.sort(random.integers(0, 6, 900))
    features = (random.normal(size=(6, 10))[labels] + random.normal(size=(900, 10))).astype(np.float32)
    scores = learn_cca_itq(Sample(features=features, labels=labels, bits=8, random=random))(features.astype(np.float64))
    # Another way to the correlations: the singular values between orthonormal bases of both.
    one_hot = np.eye(6)[labels] - np.bincount(labels) / 900
    bases = qr(features - features.mean(axis=0), mode="economic")[0], qr(one_hot, mode="economic", pivoting=True)[0]
    correlations = svdvals(bases[0].T @ bases[1][:, :5])
    spread = svdvals(np.cov(scores.T, bias=True))
    # Five directions tell six classes apart; the eight bits are made of them. The ridge is felt a little.
    assert spread[:5] == pytest.approx(correlations**2, rel=1e-3)
    assert spread[5:] == pytest.approx(np.zeros(3), abs=1e-10)


def test_cca_sees_what_principal_components_do_not() -> None:
    random = np.random.default_rng(0)
    side = np.arange(400) % 2
    # What varies most says nothing; what says all varies least.
    features = np.stack([random.normal(0, 50, 400), side + random.normal(0, 0.05, 400)], axis=1).astype(np.float32)
    seen = {
        name: SHALLOW_HASHERS[name].fit(features, side, 1, 0).encode(features)[:, 0] for name in ("cca_itq", "pcah")
    }
    assert abs(np.mean(seen["cca_itq"] == side) - 0.5) == 0.5
    assert abs(np.mean(seen["pcah"] == side) - 0.5) < 0.1


def test_itq_gains_over_its_start() -> None:
    assert quality_of("pca_itq", 32, 0) > quality_of("pca_rr", 32, 0) + 0.05
