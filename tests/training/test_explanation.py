"""The weights of strokes, the maps of layers and inverted features."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sketchdata.drawings.drawing import Drawing
from sketchdata.errors import ConfigError
from sketchdata.training.encoder import Architecture, DrawingNetwork, SketchEncoder
from sketchdata.training.explanation import (
    PictureReader,
    filters_of,
    gradient_weights,
    ink_reader,
    invert,
    layer_names,
    layer_outputs,
    shown_convolutions,
    stroke_masks,
    strongest_maps,
    without_strokes,
)
from sketchdata.training.loader import Batch, View
from sketchdata.training.networks import AlexNet, SmallNetwork
from tests.trainings import network

CLASSES = ("a", "b", "c")
SIZE = 16


def stroke(*points: tuple[int, int]) -> np.ndarray:
    return np.array(points, np.uint8)


DRAWING = Drawing(
    key_id=1,
    word="a",
    strokes=(stroke((0, 0), (255, 0)), stroke((0, 0), (0, 255)), stroke((120, 120), (200, 180), (90, 255))),
)


class Linear(DrawingNetwork):
    """Scores that are linear in the ink, so that every weight is known."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.dense = nn.Linear(SIZE * SIZE, 3)

    @property
    def view(self) -> View:
        return View(size=SIZE, max_points=None)

    @property
    def classes(self) -> tuple[str, ...]:
        return CLASSES

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        assert batch.raster is not None
        flat = batch.raster.float().flatten(1) / 255
        return flat, self.dense(flat)


def test_the_weights_of_linear_scores_are_those_of_the_pixels_of_each_stroke() -> None:
    own = Linear()
    weights, score, blank = gradient_weights(own, DRAWING, 1, steps=4)
    with torch.no_grad():
        weight = (own.dense.weight[1] - own.dense.weight.mean(0)).view(SIZE, SIZE).double().numpy()
        bias = float(own.dense.bias[1] - own.dense.bias.mean())
    masks = stroke_masks(DRAWING, SIZE, 1)
    assert masks[0].sum() == masks[1].sum() == SIZE
    # The first two strokes share a corner, which counts for each by a half.
    shared = masks.sum(0)
    assert shared.max() == 2
    expected = [(weight * mask / np.maximum(shared, 1)).sum() for mask in masks]
    np.testing.assert_allclose(weights, expected, rtol=1e-4, atol=1e-6)
    assert blank == pytest.approx(bias, abs=1e-5)
    assert score - blank == pytest.approx(weights.sum(), abs=1e-5)


@pytest.mark.parametrize(("branch", "channels"), [("cnn", "ink"), ("cnn", "strokes"), ("rnn", "ink"), ("cr", "ink")])
def test_the_weights_sum_to_the_score_less_that_of_blank_paper(branch: str, channels: str) -> None:
    torch.manual_seed(1)
    options = network(branch=branch, channels=channels, max_points=6)
    encoder = SketchEncoder(Architecture(network=options, width=8, activation="sigmoid", scale=9.0, classes=CLASSES))
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.mul_(1.5)
    weights, score, blank = gradient_weights(encoder, DRAWING, 2, steps=400)
    assert weights.shape == (3,)
    assert abs(score - blank) > 1e-3
    assert weights.sum() == pytest.approx(score - blank, abs=2e-2 * max(1.0, float(np.abs(weights).max())))
    if branch == "rnn":
        # Of seven points six are read, so the last stroke still counts.
        assert weights.all()


def test_a_drawing_is_left_without_each_stroke() -> None:
    without = without_strokes(DRAWING)
    assert [len(each.strokes) for each in without] == [2, 2, 2]
    assert without[1].strokes == (DRAWING.strokes[0], DRAWING.strokes[2])
    assert without_strokes(without_strokes(without[0])[0]) == []


def colour_reader(trunk: Any, size: int) -> PictureReader:
    return PictureReader(trunk=trunk.eval(), size=size, read=lambda x: x, colours=True)


def test_maps_are_those_of_evenly_chosen_convolutions_and_of_the_same_channels() -> None:
    torch.manual_seed(0)
    reader = colour_reader(SmallNetwork(3), 16)
    assert list(shown_convolutions(reader.trunk)) == [f"conv {n} of 4" for n in (1, 2, 3, 4)]
    assert len(shown_convolutions(AlexNet(3, dense=8))) == 5
    pictures = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        outputs = layer_outputs(reader, pictures)
    assert list(outputs) == layer_names(reader) == [*shown_convolutions(reader.trunk), "fc6", "fc7"]
    first = reader.trunk.features[0](pictures).relu()
    assert torch.equal(outputs["conv 1 of 4"], first)
    found = strongest_maps(reader, pictures, 3)
    assert {name: own.shape for name, own in found.items()}["conv 2 of 4"] == (2, 3, 8, 8)
    assert all(own.min() >= 0 and own.max() == 1 for own in found.values())
    # The first channel shown responds most to both together.
    strength = first.detach().mean((2, 3)).clamp(min=1e-9).log().sum(0)
    best = first[:, int(strength.argmax())].detach()
    np.testing.assert_allclose(found["conv 1 of 4"][:, 0], best / best.amax((1, 2), keepdim=True), rtol=1e-5)


@pytest.mark.slow
def test_an_inverted_picture_looks_the_same_to_the_layer() -> None:
    torch.manual_seed(0)
    reader, picture = colour_reader(SmallNetwork(3), 16), torch.zeros(3, 16, 16)
    picture[:, 4:12, 4:12] = 1
    found = invert(reader, picture, "conv 1 of 4", steps=80)
    assert found.shape == picture.shape
    assert torch.equal(found, found.clamp(0, 1))
    with torch.no_grad():
        layers = layer_outputs(reader, torch.stack([picture, found, torch.full_like(picture, 0.5)]))["conv 1 of 4"]
    wanted, own, grey = layers.unbind(0)
    assert float((own - wanted).norm() / wanted.norm()) < 0.3 < float((grey - wanted).norm() / wanted.norm())
    few = invert(reader, picture, "conv 1 of 4", steps=3)
    assert torch.equal(few, invert(reader, picture, "conv 1 of 4", steps=3))


def test_filters_are_grey_at_their_mean_and_reach_0_or_1() -> None:
    weight = torch.randn(5, 3, 3, 3)
    found = filters_of(weight)
    assert found.shape == (5, 3, 3, 3)
    assert found.min() >= 0
    assert found.max() <= 1
    np.testing.assert_allclose(found.mean((1, 2, 3)), 0.5, atol=1e-6)
    assert np.maximum(found.max((1, 2, 3)), 1 - found.min((1, 2, 3))) == pytest.approx(1)
    assert filters_of(weight[:, :1]).shape == (5, 3, 3)


def test_networks_of_the_order_of_strokes_have_no_pictures() -> None:
    with pytest.raises(ConfigError, match="--channels strokes"):
        ink_reader(SmallNetwork(3, channels=4), 16)
    reader = ink_reader(SmallNetwork(3, channels=1), 16)
    assert reader.read(torch.ones(1, 3, 2, 2)).tolist() == [[[[0, 0], [0, 0]]]]
