"""The losses of Doodle to Search, against their equations in float64 numpy, and where their gradients go."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from sketchdata.cross_domain.losses import (
    DomainLoss,
    SemanticLoss,
    contrastive_loss,
    distance,
    domain_ramp,
    reverse_gradient,
    soft_cross_entropy,
    triplet_loss,
)

N, D, S, L = 6, 5, 4, 3


def embeddings() -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(7)
    a, p, n = torch.randn(3, N, D, generator=random, dtype=torch.float64) / 2
    return a.requires_grad_(), p.requires_grad_(), n.requires_grad_()


def arrays(*tensors: Tensor) -> list[npt.NDArray[np.float64]]:
    return [each.detach().numpy() for each in tensors]


def dense(x: npt.NDArray[np.float64], network: torch.nn.Sequential) -> npt.NDArray[np.float64]:
    """Compute a network of dense layers and ReLUs; dropout does nothing."""
    for layer in network:
        if isinstance(layer, torch.nn.Linear):
            weight, bias = arrays(layer.weight, layer.bias)
            x = x @ weight.T + bias
        elif isinstance(layer, torch.nn.ReLU):
            x = np.maximum(x, 0)
    return x


def test_a_reversed_gradient_is_minus_its_weight_times_the_gradient() -> None:
    x = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    found = reverse_gradient(x, 0.3)
    assert torch.equal(found, x)
    upstream = torch.randn(4, 3, dtype=torch.float64)
    (found * upstream).sum().backward()
    torch.testing.assert_close(x.grad, -0.3 * upstream)


def test_the_reversal_begins_after_five_steps_and_is_whole_after_twenty_more() -> None:
    assert [domain_ramp(step) for step in (0, 5, 6, 15, 25, 26, 400)] == [0, 0, 0.05, 0.5, 1, 1, 1]


def test_the_triplet_loss_is_its_equation() -> None:
    a, p, n = embeddings()
    x, y, z = arrays(a, p, n)
    near, far = np.sqrt(((x - y) ** 2).sum(1)), np.sqrt(((x - z) ** 2).sum(1))
    hinge = np.maximum(0, 0.4 + near - far)
    assert 0 < (hinge > 0).sum() < N, "some triplets are apart by the margin and some are not"
    np.testing.assert_allclose(triplet_loss(a, p, n, 0.4).item(), hinge.mean(), rtol=1e-12)


def test_the_contrastive_loss_is_its_equation() -> None:
    a, p, n = embeddings()
    x, y, z = arrays(a, p, n)
    near, far = ((x - y) ** 2).sum(1), np.maximum(0, 1.5 - np.sqrt(((x - z) ** 2).sum(1))) ** 2
    np.testing.assert_allclose(contrastive_loss(a, p, n, 1.5).item(), (near.mean() + far.mean()) / 2, rtol=1e-12)


def test_the_gradient_of_equal_points_is_finite() -> None:
    x = torch.ones(2, 3, requires_grad=True)
    distance(x, torch.ones(2, 3)).sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


def test_the_domain_loss_is_the_cross_entropy_of_drawings_0_and_photos_1() -> None:
    torch.manual_seed(0)
    loss, (a, p, n) = DomainLoss(D).double().eval(), embeddings()
    scores = dense(np.concatenate(arrays(a, p, n)), loss.classifier)[:, 0]
    chance = 1 / (1 + np.exp(-scores))
    truth = np.repeat([0.0, 1.0, 1.0], N)
    expected = -(truth * np.log(chance) + (1 - truth) * np.log(1 - chance)).sum() / (3 * N)
    np.testing.assert_allclose(loss(a, p, n, 0.7).item(), expected, rtol=1e-6)
    assert [m.out_features for m in loss.classifier if isinstance(m, torch.nn.Linear)] == [64, 64, 1]


def test_the_domain_loss_teaches_its_classifier_and_the_embeddings_the_opposite() -> None:
    torch.manual_seed(0)
    loss, (a, p, n) = DomainLoss(D).double().eval(), embeddings()
    straight = torch.autograd.grad(
        functional.binary_cross_entropy_with_logits(
            loss.classifier(torch.cat([a, p, n])).flatten(),
            torch.tensor([0.0, 1.0, 1.0]).double().repeat_interleave(N),
        ),
        [a, p, n, *loss.parameters()],
    )
    found = torch.autograd.grad(loss(a, p, n, 0.25), [a, p, n, *loss.parameters()])
    for place, (own, other) in enumerate(zip(found, straight, strict=True)):
        torch.testing.assert_close(own, (-0.25 if place < 3 else 1) * other, rtol=1e-5, atol=1e-8)


def test_without_reversal_the_domain_loss_leaves_embeddings_untouched() -> None:
    loss, (a, p, n) = DomainLoss(D).double(), embeddings()
    loss(a, p, n, 0.0).backward()
    for each in (a, p, n):
        assert each.grad is not None
        assert not each.grad.any()
    assert all(each.grad is not None and each.grad.any() for each in loss.classifier[5].parameters())


def test_the_semantic_loss_is_its_equation_and_drives_others_away() -> None:
    torch.manual_seed(0)
    vectors, y = torch.randn(L, S, dtype=torch.float64), torch.tensor([0, 1, 2, 2, 1, 0])
    loss, (a, p, n) = SemanticLoss(vectors, D).double(), embeddings()
    value = loss(a, p, n, y)
    total = 0.0
    for x in arrays(a, p, n):
        found, (own,) = dense(x, loss.map), arrays(vectors[y])
        cosine = (found * own).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(own, axis=1)
        total += ((1 - cosine) / 2).sum()
    np.testing.assert_allclose(value.item(), total / (3 * N), rtol=1e-6)
    assert sum(isinstance(layer, torch.nn.Linear) for layer in loss.map) == 3
    towards = torch.autograd.grad(loss(n, n, n.detach(), y), n)[0] / 2
    torch.testing.assert_close(torch.autograd.grad(value, n)[0], -0.5 * towards, rtol=1e-5, atol=1e-9)


def test_the_cross_entropy_to_a_teacher_is_its_equation_and_teaches_the_teacher_nothing() -> None:
    scores, teacher = torch.randn(2, 5, 4, dtype=torch.float64)
    teacher.requires_grad_()
    x, t = arrays(scores, teacher)
    log = x - np.log(np.exp(x).sum(1, keepdims=True))
    share = np.exp(t) / np.exp(t).sum(1, keepdims=True)
    found = soft_cross_entropy(scores, teacher)
    np.testing.assert_allclose(found.item(), -(share * log).sum(1).mean(), rtol=1e-12)
    assert not found.requires_grad
