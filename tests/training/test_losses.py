"""Each loss against an independent computation in double precision, and its gradient against differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from sketchdata.training.losses import CenterLoss, CodeLoss, class_centers, codes, quantization_loss, sketch_center_loss

BATCH, WIDTH, CLASSES = 37, 16, 5


@pytest.fixture
def outputs() -> torch.Tensor:
    return torch.rand(BATCH, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def labels() -> torch.Tensor:
    return torch.randint(0, CLASSES, (BATCH,), generator=torch.Generator().manual_seed(2))


@pytest.fixture
def centers() -> torch.Tensor:
    return torch.rand(CLASSES, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


def test_the_sketch_centre_loss_is_the_mean_squared_distance(
    outputs: torch.Tensor, labels: torch.Tensor, centers: torch.Tensor
) -> None:
    expected = sum(
        sum((outputs[n, d].item() - centers[labels[n], d].item()) ** 2 for d in range(WIDTH)) for n in range(BATCH)
    )
    assert sketch_center_loss(outputs, labels, centers).item() == pytest.approx(expected / BATCH, rel=1e-12)
    assert gradcheck(lambda f: sketch_center_loss(f, labels, centers), outputs.requires_grad_())


def test_the_quantization_loss_is_the_mean_squared_distance_to_the_code(outputs: torch.Tensor) -> None:
    numbers = outputs.numpy()
    binary = np.where(numbers >= 0.5, 1.0, 0.0)
    expected = np.mean(np.sum((binary - numbers) ** 2, axis=1))
    assert quantization_loss(outputs, codes(outputs)).item() == pytest.approx(expected, rel=1e-12)
    fixed = codes(outputs)
    assert gradcheck(lambda f: quantization_loss(f, fixed), outputs.requires_grad_())


def test_a_half_becomes_a_one_and_codes_have_no_gradient() -> None:
    f = torch.tensor([[0.5, 0.4999, 0.0, 1.0]], requires_grad=True)
    assert codes(f).tolist() == [[1, 0, 0, 1]]
    assert not codes(f).requires_grad


def test_the_centres_are_the_means_of_the_drawings_that_count(outputs: torch.Tensor, labels: torch.Tensor) -> None:
    kept = torch.arange(BATCH) % 3 != 0
    parts = [(outputs[rows][kept[rows]], labels[rows][kept[rows]]) for rows in torch.arange(BATCH).split(10)]
    found = class_centers(parts, CLASSES).numpy()
    numbers, classes = outputs.numpy()[kept.numpy()], labels.numpy()[kept.numpy()]
    expected = np.stack([numbers[classes == label].mean(axis=0) for label in range(CLASSES)])
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_the_order_of_drawings_does_not_show_in_the_centres() -> None:
    f = torch.rand(20_000, 8, generator=torch.Generator().manual_seed(4))
    y = torch.arange(20_000) % 3
    order = torch.randperm(20_000, generator=torch.Generator().manual_seed(5))
    torch.testing.assert_close(class_centers([(f, y)], 3), class_centers([(f[order], y[order])], 3), rtol=0, atol=1e-7)


def test_a_class_without_drawings_gets_the_middle_of_the_others() -> None:
    found = class_centers([(torch.tensor([[0.0, 1.0], [1.0, 1.0]]), torch.tensor([0, 2]))], 3)
    assert found.tolist() == [[0, 1], [0.5, 1], [1, 1]]
    with pytest.raises(ValueError, match="at least one"):
        class_centers([], 3)


def test_the_common_centre_loss_follows_wen(outputs: torch.Tensor, labels: torch.Tensor) -> None:
    loss = CenterLoss(CLASSES, WIDTH, rate=0.3).double()
    centers = np.full((CLASSES, WIDTH), 0.5)
    numbers, classes = outputs.numpy(), labels.numpy()
    for _ in range(3):
        expected = 0.5 * np.mean(np.sum((numbers - centers[classes]) ** 2, axis=1))
        assert loss(outputs, labels).item() == pytest.approx(expected, rel=1e-12)
        loss.update(outputs, labels)
        for label in range(CLASSES):
            own = numbers[classes == label]
            centers[label] -= 0.3 * (centers[label] - own).sum(axis=0) / (1 + len(own))
        np.testing.assert_allclose(loss.centers.numpy(), centers, rtol=1e-12)
    assert gradcheck(lambda f: loss(f, labels), outputs.requires_grad_())


def test_the_total_adds_up_its_parts_by_their_weights(
    outputs: torch.Tensor, labels: torch.Tensor, centers: torch.Tensor
) -> None:
    scores = torch.randn(BATCH, CLASSES, dtype=torch.float64, generator=torch.Generator().manual_seed(6))
    numbers = scores.numpy()
    own = numbers[np.arange(BATCH), labels.numpy()]
    cel = np.mean(np.log(np.exp(numbers).sum(axis=1)) - own)
    scl = np.mean(np.sum((outputs.numpy() - centers.numpy()[labels.numpy()]) ** 2, axis=1))
    ql = np.mean(np.sum((np.where(outputs.numpy() >= 0.5, 1.0, 0.0) - outputs.numpy()) ** 2, axis=1))
    loss, parts = CodeLoss(centers, center_weight=0.01, code_weight=0.0001)(outputs, scores, labels)
    assert loss.item() == pytest.approx(cel + 0.01 * scl + 0.0001 * ql, rel=1e-12)
    assert {name: part.item() for name, part in parts.items()} == pytest.approx({"cel": cel, "scl": scl, "ql": ql})
    plain, parts = CodeLoss()(outputs, scores, labels)
    assert plain.item() == pytest.approx(cel, rel=1e-12)
    assert set(parts) == {"cel"}


def test_the_common_centres_move_while_training_alone(outputs: torch.Tensor, labels: torch.Tensor) -> None:
    common = CenterLoss(CLASSES, WIDTH).double()
    loss, scores = CodeLoss(common=common), torch.zeros(BATCH, CLASSES, dtype=torch.float64)
    before = common.centers.clone()
    loss.eval()(outputs, scores, labels)
    assert torch.equal(common.centers, before)
    loss.train()(outputs, scores, labels)
    assert not torch.equal(common.centers, before)
