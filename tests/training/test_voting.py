"""Voting over views: it equals the mean of single views, always the same, for strokes and for bitmaps."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch

from sketchdata.drawings.drawing import Drawing, Words, to_batch
from sketchdata.errors import ConfigError
from sketchdata.training.bitmaps import PackedBitmaps, PackedSplit
from sketchdata.training.encoder import Architecture, SketchEncoder
from sketchdata.training.options import VIEW_ANGLES
from sketchdata.training.packed import Augmentation, PackedSketches, pack
from sketchdata.training.voting import Views, vote, vote_all
from tests.trainings import CLASSES, network


@dataclasses.dataclass(frozen=True, kw_only=True)
class OneView(Augmentation):
    """A single map for every drawing."""

    only: torch.Tensor

    @property
    def resize(self) -> str:
        return "ink"

    def affine(self, count: int, random: torch.Generator) -> torch.Tensor:
        return self.only.expand(count, 2, 3)


def sketches() -> PackedSketches:
    random, words = np.random.default_rng(5), Words()
    drawn = [
        Drawing(
            key_id=key,
            word=word,
            strokes=tuple(random.integers(0, 256, (6, 2)).astype(np.uint8) for _ in range(3)),
        )
        for key, word in enumerate(CLASSES)
    ]
    return pack([to_batch(drawn, words)], CLASSES)


def bitmaps() -> PackedBitmaps:
    images = sketches().raster(torch.arange(3), 28)[:, 0]
    return PackedBitmaps(images=images, labels=torch.arange(3, dtype=torch.int16), classes=CLASSES)


def trained(branch: str) -> SketchEncoder:
    torch.manual_seed(2)
    architecture = Architecture(
        network=network(branch=branch), width=8, activation="sigmoid", scale=20.0, classes=CLASSES
    )
    return SketchEncoder(architecture).eval()


@pytest.mark.parametrize("count", [2, 10, 18])
def test_views_are_each_angle_and_its_mirror_image(count: int) -> None:
    maps = Views(count=count).affine(count, torch.Generator())
    angles = VIEW_ANGLES[count]
    assert len(maps) == count == 2 * len(angles)
    assert torch.equal(maps[angles.index(0.0)], torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
    corner = torch.tensor([255.0, 127.5, 1.0])
    found = torch.atan2(*(maps[: len(angles)] @ corner - 127.5).unbind(1)[::-1]).rad2deg()
    assert torch.allclose(found, torch.tensor(angles), atol=1e-4)
    upright = torch.tensor([127.5, 255.0, 1.0])
    assert torch.allclose(maps[: len(angles)] @ upright, maps[len(angles) :] @ upright, atol=1e-3)


@pytest.mark.parametrize(("split", "branch"), [(sketches, "cr"), (bitmaps, "cnn")])
def test_a_vote_is_the_mean_of_the_views(split: Callable[[], PackedSplit], branch: str) -> None:
    packed, encoder, rows = split(), trained(branch), torch.tensor([2, 0])
    changes = Views(count=18)
    mean = torch.zeros(2, 3)
    for each in changes.affine(18, torch.Generator()):
        view = dataclasses.replace(encoder.view, augment=OneView(only=each))
        with torch.no_grad():
            mean += encoder(view.batch(packed, rows, 0))[1].softmax(1) / 18
    voted = vote(encoder, packed, rows, 18)
    assert torch.allclose(voted.softmax(1), mean, atol=1e-5)
    assert torch.allclose(voted.exp().sum(1), torch.ones(2), atol=1e-5)


def test_votes_do_not_depend_on_the_batch_or_on_random_numbers() -> None:
    packed, encoder = sketches(), trained("cr")
    once = vote_all(encoder, packed, 18, batch_size=1)
    torch.manual_seed(99)
    assert np.allclose(once, vote_all(encoder, packed, 18, batch_size=3), atol=1e-6)
    assert np.array_equal(vote_all(encoder, packed, 18), vote_all(encoder, packed, 18))


@pytest.mark.parametrize("views", [0, 3, 19])
def test_other_numbers_of_views_are_refused(views: int) -> None:
    with pytest.raises(ConfigError, match="1, 2, 10, 18"):
        vote(trained("cnn"), sketches(), torch.tensor([0]), views)
