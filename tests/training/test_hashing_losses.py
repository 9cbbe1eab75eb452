"""The losses of other hashing methods against plain loops over small numbers, and their gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck
from torch.nn import functional

from sketchdata.training.losses import (
    CENTRAL_QUANTISATION,
    FACTOR_QUANTISATION,
    GREEDY_PENALTY,
    PAIR_QUANTISATION,
    CentralLoss,
    FactorLoss,
    GreedyLoss,
    MarginLoss,
    PairLoss,
    distillation,
    pair_loss,
    quantisation_angle,
    sign_penalty,
    signs,
    straight_through,
)

BATCH, WIDTH, CLASSES = 9, 6, 4


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def u() -> Tensor:
    return normal(BATCH, WIDTH, seed=1)


@pytest.fixture
def y() -> Tensor:
    return torch.tensor([0, 1, 2, 3, 0, 1, 2, 0, 0])


@pytest.fixture
def scores() -> Tensor:
    return 3 * normal(BATCH, CLASSES, seed=2)


def softmax(row: list[float]) -> list[float]:
    powers = [math.exp(value) for value in row]
    return [power / sum(powers) for power in powers]


def cross_entropy(scores: Tensor, y: Tensor) -> float:
    rows = zip(scores.tolist(), y.tolist(), strict=True)
    return float(np.mean([-math.log(softmax(row)[label]) for row, label in rows]))


def off_signs(u: Tensor) -> list[list[float]]:
    """Give how far each number is from its sign."""
    return [[abs(value - (1.0 if value >= 0 else -1.0)) for value in row] for row in u.tolist()]


# ---- signs -----------------------------------------------------------------------------------------------------------


def test_signs_are_minus_one_and_one_and_zero_counts_as_positive() -> None:
    found = signs(torch.tensor([-2.0, -0.0, 0.0, 1e-30, -1e-30], requires_grad=True))
    assert found.tolist() == [-1, 1, 1, 1, -1]
    assert not found.requires_grad
    assert signs(torch.zeros(1, dtype=torch.float64)).dtype == torch.float64


def test_signs_are_taken_straight_through_with_the_gradient_of_the_numbers(u: Tensor) -> None:
    u.requires_grad_()
    weights = normal(BATCH, WIDTH, seed=3)
    found = straight_through(u)
    torch.testing.assert_close(found, signs(u), atol=1e-12, rtol=0)
    (found * weights).sum().backward()
    assert torch.equal(u.grad, weights)


def test_the_penalty_is_the_mean_way_to_the_signs(u: Tensor) -> None:
    expected = np.mean([sum(row) for row in off_signs(u)])
    assert sign_penalty(u).item() == pytest.approx(expected, rel=1e-12)
    assert sign_penalty(signs(u)).item() == 0
    assert gradcheck(sign_penalty, u.requires_grad_())


# ---- pairs -----------------------------------------------------------------------------------------------------------


def test_the_pair_loss_draws_a_class_together_and_others_apart_up_to_the_margin(u: Tensor, y: Tensor) -> None:
    margin, rows, labels = 10.0, u.tolist(), y.tolist()
    terms, reached = [], 0
    for i in range(BATCH):
        for j in range(BATCH):
            if i == j:
                continue
            apart = sum((a - b) ** 2 for a, b in zip(rows[i], rows[j], strict=True))
            reached += labels[i] != labels[j] and apart > margin
            terms.append(apart / 2 if labels[i] == labels[j] else max(margin - apart, 0) / 2)
    assert 0 < reached < 50  # of 56 pairs; some pairs are far enough, and some are not
    assert pair_loss(u, y, margin).item() == pytest.approx(np.mean(terms), rel=1e-10)
    assert gradcheck(lambda each: pair_loss(each, y, margin), u.requires_grad_())


def test_a_single_drawing_has_no_pairs_and_its_loss_moves_nothing() -> None:
    u = torch.randn(1, WIDTH, requires_grad=True)
    loss = pair_loss(u, torch.tensor([2]), 2.0 * WIDTH)
    loss.backward()
    assert loss.item() == 0
    assert u.grad is not None
    assert u.grad.tolist() == [[0.0] * WIDTH]


def test_equal_drawings_have_a_finite_gradient() -> None:
    u = torch.ones(40, 64, requires_grad=True)
    loss = pair_loss(u, torch.arange(40) % 2, 128.0)
    loss.backward()
    assert loss.item() == pytest.approx(64 * 20 / 39)  # of 39 others 20 are of the other class, each 128 / 2 too near
    assert u.grad is not None
    assert u.grad.isfinite().all()


def test_dsh_adds_the_penalty_to_pairs_with_a_margin_of_twice_the_bits(u: Tensor, y: Tensor, scores: Tensor) -> None:
    loss, parts = PairLoss()(u, scores, y)
    assert parts["pairs"].item() == pytest.approx(pair_loss(u, y, 2 * WIDTH).item())
    assert loss.item() == pytest.approx(parts["pairs"].item() + PAIR_QUANTISATION * sign_penalty(u).item())


# ---- words, signs, centres -------------------------------------------------------------------------------------------


def test_factors_are_the_squared_way_from_what_the_map_makes_to_the_word(u: Tensor, y: Tensor, scores: Tensor) -> None:
    vectors = normal(CLASSES, 5, seed=4)
    torch.manual_seed(0)
    objective = FactorLoss(vectors, WIDTH).double()
    weight, bias = objective.map.weight.detach().numpy(), objective.map.bias.detach().numpy()
    made = np.where(u.numpy() >= 0, 1.0, -1.0) @ weight.T + bias
    expected = np.mean([((vectors[label].numpy() - own) ** 2).sum() for own, label in zip(made, y, strict=True)])
    loss, parts = objective(u, scores, y)
    assert parts["factors"].item() == pytest.approx(expected, rel=1e-12)
    assert loss.item() == pytest.approx(expected + FACTOR_QUANTISATION * sign_penalty(u).item())
    assert {name for name, _ in objective.named_parameters()} == {"map.weight", "map.bias"}
    u.requires_grad_()
    (gradient,) = torch.autograd.grad(objective(u, scores, y)[1]["factors"], u)
    straight = 2 * (made - vectors[y].numpy()) @ weight / len(y)
    np.testing.assert_allclose(gradient.numpy(), straight, rtol=1e-9)


def test_greedy_hash_scores_the_signs_and_punishes_cubes(u: Tensor, y: Tensor, scores: Tensor) -> None:
    torch.manual_seed(0)
    classifier = nn.Linear(WIDTH, CLASSES).double()
    objective = GreedyLoss(classifier)
    loss, parts = objective(u, scores, y)
    expected = cross_entropy(classifier(signs(u)), y)
    penalty = np.mean(np.array(off_signs(u)) ** 3)
    assert parts["cel"].item() == pytest.approx(expected, rel=1e-6)
    assert parts["signs"].item() == pytest.approx(penalty, rel=1e-10)
    assert loss.item() == pytest.approx(expected + GREEDY_PENALTY * penalty, rel=1e-6)
    assert list(objective.parameters()) == []  # the network has the classifier's already


def test_greedy_hash_gives_numbers_the_gradient_of_their_signs(u: Tensor, y: Tensor, scores: Tensor) -> None:
    torch.manual_seed(0)
    classifier = nn.Linear(WIDTH, CLASSES).double()
    code = signs(u).requires_grad_()
    functional.cross_entropy(classifier(code), y).backward()
    u.requires_grad_()
    GreedyLoss(classifier)(u, scores, y)[1]["cel"].backward()
    assert u.grad is not None
    torch.testing.assert_close(u.grad, code.grad)


def test_central_similarity_is_the_cross_entropy_of_every_bit(y: Tensor, scores: Tensor) -> None:
    centers = signs(normal(CLASSES, WIDTH, seed=5))
    f = torch.sigmoid(normal(BATCH, WIDTH, seed=6))
    objective = CentralLoss(centers)
    terms = [
        -math.log(value if center > 0 else 1 - value)
        for row, label in zip(f.tolist(), y.tolist(), strict=True)
        for value, center in zip(row, centers[label].tolist(), strict=True)
    ]
    penalty = np.mean([sum(1 - abs(2 * value - 1) for value in row) for row in f.tolist()])
    loss, parts = objective(f, scores, y)
    assert parts["centers"].item() == pytest.approx(np.mean(terms), rel=1e-10)
    assert parts["signs"].item() == pytest.approx(penalty, rel=1e-10)
    assert loss.item() == pytest.approx(np.mean(terms) + CENTRAL_QUANTISATION * penalty, rel=1e-10)
    assert gradcheck(lambda each: objective(each, scores, y)[0], f.requires_grad_())


def test_central_similarity_bears_outputs_that_are_all_the_way_on_the_wrong_side() -> None:
    f = torch.tensor([[0.0, 1.0]], requires_grad=True)
    loss, _ = CentralLoss(torch.tensor([[1.0, -1.0]]))(f, torch.zeros(1, 1), torch.tensor([0]))
    loss.backward()
    assert loss.item() == pytest.approx(-math.log(1e-6), rel=0.01)
    assert f.grad is not None
    assert f.grad.isfinite().all()


# ---- margins ---------------------------------------------------------------------------------------------------------


def test_the_margin_is_taken_off_the_own_class_alone(u: Tensor, y: Tensor, scores: Tensor) -> None:
    lower = scores.clone()
    for row, label in enumerate(y.tolist()):
        lower[row, label] -= 8.0 * 0.2
    objective = MarginLoss(scale=8.0, margin=0.2)
    loss, parts = objective(u, scores, y)
    assert loss.item() == parts["margin"].item() == pytest.approx(cross_entropy(lower, y), rel=1e-6)
    assert loss.item() > cross_entropy(scores, y)
    assert gradcheck(lambda each: objective(u, each, y)[0], scores.requires_grad_())


def test_without_a_margin_it_is_the_cross_entropy(u: Tensor, y: Tensor, scores: Tensor) -> None:
    loss, _ = MarginLoss(scale=8.0, margin=0.0)(u, scores, y)
    assert loss.item() == functional.cross_entropy(scores, y).item()


def test_smoothing_spreads_a_share_of_the_target_over_all_classes(u: Tensor, y: Tensor, scores: Tensor) -> None:
    smoothing = 0.1
    expected = np.mean(
        [
            -sum(
                ((1 - smoothing) * (label == each) + smoothing / CLASSES) * math.log(softmax(row)[each])
                for each in range(CLASSES)
            )
            for row, label in zip(scores.tolist(), y.tolist(), strict=True)
        ]
    )
    loss, _ = MarginLoss(scale=8.0, margin=0.0, smoothing=smoothing)(u, scores, y)
    assert loss.item() == pytest.approx(expected, rel=1e-10)


def test_the_angle_is_that_between_numbers_and_their_signs(u: Tensor) -> None:
    rows = u.numpy()
    cosines = np.abs(rows).sum(axis=1) / (np.linalg.norm(rows, axis=1) * math.sqrt(WIDTH))
    assert quantisation_angle(u).item() == pytest.approx(np.mean(1 - cosines), rel=1e-9)
    assert quantisation_angle(5 * signs(u)).item() == pytest.approx(0, abs=1e-12)
    assert gradcheck(quantisation_angle, u.requires_grad_())


def test_distillation_is_the_divergence_from_the_teacher_who_learns_nothing(scores: Tensor) -> None:
    teacher = (2 * normal(BATCH, CLASSES, seed=7)).requires_grad_()
    expected = np.mean(
        [
            sum(p * math.log(p / q) for p, q in zip(softmax(wanted), softmax(own), strict=True))
            for wanted, own in zip(teacher.tolist(), scores.tolist(), strict=True)
        ]
    )
    scores.requires_grad_()
    loss = distillation(scores, teacher)
    assert loss.item() == pytest.approx(expected, rel=1e-9)
    assert distillation(scores + 3, scores).item() == pytest.approx(0, abs=1e-12)
    loss.backward()
    assert teacher.grad is None
    assert scores.grad is not None
    assert scores.grad.abs().sum() > 0
