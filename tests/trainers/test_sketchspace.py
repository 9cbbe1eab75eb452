"""Sketchspace: drawings learn to lie where a pretrained network has the photos of their classes."""

from __future__ import annotations

import dataclasses
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sketchdata.classes.vectors import write_vectors
from sketchdata.cross_domain.dataset import DRAWINGS, PHOTOS, SEEN, read_group
from sketchdata.cross_domain.encoder import SpaceArchitecture, SpaceEncoder, read_space
from sketchdata.cross_domain.layouts import imagenet_labels
from sketchdata.cross_domain.losses import bank_loss, own_shares
from sketchdata.cross_domain.networks import TransferBranch
from sketchdata.cross_domain.options import SpaceTraining
from sketchdata.edges import detector
from sketchdata.errors import ConfigError
from sketchdata.pipelines import quickdraw, synth
from sketchdata.trainers import sketchspace
from sketchdata.trainers.options import SbirConfig
from sketchdata.training.backbones import build
from sketchdata.training.run_folder import METRICS, MODEL, REPORT, read_lines
from tests.builds import IN_PROCESS
from tests.trainings import kill_in
from tests.two_domains import make_two_domains

GROUPS = {"seen": ("cat", "house", "star"), "validation": ("airplane", "fish"), "unseen": ("apple", "ice cream")}
NETWORK: dict[str, Any] = {"method": "sketchspace", "backbone": "small", "size": 16, "epochs": 2, "trunk": "frozen"}
LOOP: dict[str, Any] = {"batch_size": 8, "device": "cpu", "save_minutes": 0.0, "log_every": 1}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sketchspace") / "data"
    make_two_domains(out, GROUPS, drawings=6, photos=3)
    return out


@pytest.fixture(scope="module")
def words(data: Path) -> Path:
    names = sorted(word for own in GROUPS.values() for word in own)
    rows = np.random.default_rng(0).normal(size=(len(names), 5)).astype(np.float32)
    write_vectors(data.parent / "words.parquet", names, rows, np.ones(len(names), np.int64), {})
    return data.parent / "words.parquet"


@pytest.fixture(scope="module")
def weights(data: Path) -> Path:
    torch.manual_seed(5)
    path = data.parent / "small.pth"
    torch.save(build("small", classes=4, channels=3).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def imagenet_weights(data: Path) -> Path:
    torch.manual_seed(5)
    path = data.parent / "imagenet.pth"
    torch.save(build("small", classes=1000, channels=3).state_dict(), path)
    return path


def drawings_of(folder: Path, *words: str) -> Path:
    """Build a data set of generated drawings; each word's are the same in every such data set."""
    categories, source, out = ",".join(words), folder / "source", folder / "drawings"
    synth.run(synth.Config(out=source, drawings=40, categories=categories), IN_PROCESS)
    sizes = {"train": 12, "val": 1, "gallery": 1, "query": 1}
    quickdraw.run(quickdraw.Config(source=str(source), out=out, categories=categories, **sizes), IN_PROCESS)
    return out


def config(data: Path, out: Path, weights: Path, **options: Any) -> SbirConfig:
    own = {**NETWORK, "edge_detector": "canny", "weights": str(weights), **options}
    return SbirConfig(data=data, out=out, **own)


def train(data: Path, out: Path, weights: Path, *, seed: int = 0, **options: Any) -> dict[str, Any]:
    return sketchspace.run(config(data, out, weights, **options), SpaceTraining(**LOOP, seed=seed))


def model(out: Path) -> bytes:
    return (out / MODEL).read_bytes()


def test_the_bank_loss_equals_its_formula() -> None:
    random = np.random.default_rng(0)
    scores, labels, bank = random.normal(size=(4, 7)), np.array([0, 2, 1, 0]), np.array([0, 0, 1, 2, 2, 1, 0])
    expected = -np.mean(
        [np.log(np.exp(row)[bank == y].sum() / np.exp(row).sum()) for row, y in zip(scores, labels, strict=True)]
    )
    found = bank_loss(torch.tensor(scores), torch.tensor(labels), torch.tensor(bank))
    assert float(found) == pytest.approx(expected)


def test_the_soft_margin_equals_its_formula() -> None:
    random = np.random.default_rng(1)
    rows, bank, labels = random.normal(size=(7, 5)), np.array([0, 0, 1, 2, 2, 1, 3]), np.array([0, 2])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    shares = np.zeros(7)
    for item, word in enumerate(bank):
        near = np.exp(rows @ rows[item] / 0.1)
        near[item] = 0
        shares[item] = near[bank == word].sum() / near.sum()
    found = own_shares(torch.tensor(rows), torch.tensor(bank), 0.1)
    np.testing.assert_allclose(found, shares, atol=1e-12)
    assert found[6] == 0
    scores = random.normal(size=(2, 7))
    lower = np.exp(scores - shares * (labels[:, None] == bank))
    expected = -np.mean(np.log((lower * (labels[:, None] == bank)).sum(1) / lower.sum(1)))
    loss = bank_loss(torch.tensor(scores), torch.tensor(labels), torch.tensor(bank), torch.tensor(shares))
    assert float(loss) == pytest.approx(expected)


@pytest.mark.parametrize("backbone", ["small", "resnet18", "efficientnet_lite0"])
def test_lower_and_upper_layers_together_are_the_trunk(backbone: str) -> None:
    torch.manual_seed(0)
    branch = TransferBranch(backbone).eval()
    images = torch.randn(2, 3, 32, 32)
    assert branch.gives_maps
    with torch.no_grad():
        torch.testing.assert_close(branch(images, PHOTOS), branch.trunk.extract(images))
    upper = {id(each) for layer in branch.trunk.upper_layers() for each in layer.parameters()}
    lower = {id(each) for each in branch.trunk_parameters}
    assert upper
    assert lower
    assert not upper & lower


def test_photos_keep_the_pretrained_features_and_only_upper_layers_of_drawings_learn(
    data: Path, weights: Path, tmp_path: Path
) -> None:
    train(data, tmp_path, weights)
    own, given = read_space(tmp_path), torch.load(weights)
    upper = [id(each) for layer in own.drawing.trunk.upper_layers() for each in layer.parameters()]
    changed = 0
    for name, value in own.photo.trunk.named_parameters():
        assert name.startswith("classifier") or torch.equal(value, given[name])
    for name, value in own.drawing.trunk.named_parameters():
        if id(value) in upper:
            changed += not torch.equal(value, given[name])
        else:
            assert name.startswith("classifier") or torch.equal(value, given[name])
    assert changed
    for name, value in own.drawing.trunk.named_buffers():
        assert torch.equal(value, given[name]), "a normalisation keeps the statistics of the pretrained network"
    # Standardised by the seen photos.
    photos = read_group(data, SEEN, size=16).photos
    with torch.no_grad():
        found = own.project(photos.pictures(torch.arange(len(photos)), 16), PHOTOS)
    torch.testing.assert_close(found.mean(0), torch.zeros(128), atol=2e-2, rtol=0)
    constant = own.photo.deviation <= sketchspace._LEAST_DEVIATION
    deviations = found[:, ~constant].std(0, correction=0)
    torch.testing.assert_close(deviations, torch.ones(len(deviations)), atol=2e-2, rtol=0)


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"edge_detector": "none"}, {"drawings"}),
        ({"edge_weight": 0.0}, {"drawings"}),
        ({}, {"drawings", "edges", "photo"}),
        ({"words": True}, {"drawings", "edges", "photo", "words"}),
        ({"words": True, "word_weight": 0.0, "trunk": "trained", "augment": True}, {"drawings", "edges", "photo"}),
    ],
)
def test_each_part_can_be_switched_off(
    options: dict[str, Any], parts: set[str], data: Path, words: Path, weights: Path, tmp_path: Path
) -> None:
    given = {**options, "words": words} if options.get("words") else options
    train(data, tmp_path, weights, epochs=1, **given)
    first = read_lines(tmp_path / METRICS)[0]
    assert first.keys() & {"drawings", "edges", "photo", "words"} == parts
    assert first["loss"] == pytest.approx(sum(first[name] for name in parts), rel=1e-5)


def test_classes_have_the_labels_of_imagenets_classifier() -> None:
    # Of torchvision's and timm's networks.
    assert imagenet_labels(("tiger", "church", "no such class")) == [292, 497, None]


def test_the_classifier_and_further_drawings_are_parts_of_the_loss(
    data: Path, words: Path, imagenet_weights: Path, tmp_path: Path
) -> None:
    further = drawings_of(tmp_path, "star", "car", "tiger")
    own = {"classifier_weight": 0.5, "further": further, "edge_detector": "none", "soft_margin": 0.1}
    train(data, tmp_path / "run", imagenet_weights, epochs=1, **own)
    first = read_lines(tmp_path / "run" / METRICS)[0]
    assert first.keys() & {"drawings", "edges", "words", "classifier"} == {"drawings", "classifier"}
    assert first["loss"] == pytest.approx(first["drawings"] + 0.5 * first["classifier"], rel=1e-5)


@pytest.mark.slow
def test_further_drawings_of_classes_of_the_data_are_left_out(
    data: Path, imagenet_weights: Path, tmp_path: Path
) -> None:
    own = {"classifier_weight": 1.0, "edge_detector": "none", "epochs": 1}
    for name, others in (("without", ()), ("with", ("apple", "airplane", "cat"))):
        further = drawings_of(tmp_path / name, "car", "tiger", *others)
        train(data, tmp_path / name / "run", imagenet_weights, further=further, **own)
    # Apple is unseen, and airplane a validation class.
    assert model(tmp_path / "with" / "run") == model(tmp_path / "without" / "run")
    with pytest.raises(ConfigError, match=r"has only classes that .* has, too"):
        train(data, tmp_path / "none", imagenet_weights, further=drawings_of(tmp_path / "own", "apple"), **own)


def test_further_drawings_and_the_classifier_need_what_they_learn_by(data: Path, weights: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--further needs --words or --classifier-weight"):
        train(data, tmp_path, weights, further=data)
    with pytest.raises(ConfigError, match="classifier of ImageNet's 1,000 classes, and --weights has one of 4"):
        train(data, tmp_path, weights, edge_detector="none", classifier_weight=1.0)


@pytest.mark.slow
def test_photos_of_another_size_are_read_in_it(data: Path, weights: Path, tmp_path: Path) -> None:
    train(data, tmp_path, weights, photo_size=32, epochs=1)
    own = read_space(tmp_path)
    assert (own.side(DRAWINGS), own.side(PHOTOS)) == (16, 32)
    photos = read_group(data, SEEN, size=32).photos
    with torch.no_grad():
        found = own.project(photos.pictures(torch.arange(len(photos)), 32), PHOTOS)
    torch.testing.assert_close(found.mean(0), torch.zeros(128), atol=2e-2, rtol=0)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes(data: Path, words: Path, weights: Path, tmp_path: Path) -> None:
    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        train(data, tmp_path / name, weights, words=words, augment=True, seed=seed)
    assert model(tmp_path / "one") == model(tmp_path / "two") != model(tmp_path / "three")


@pytest.mark.slow
def test_a_training_that_was_killed_ends_with_the_same_bytes(
    data: Path, words: Path, weights: Path, tmp_path: Path
) -> None:
    plain, killed = (
        config(data, tmp_path / name, weights, words=words, epochs=6, augment=True) for name in ("plain", "killed")
    )
    loop = SpaceTraining(**LOOP)
    sketchspace.run(plain, loop)
    assert kill_in(killed.out, "sketchspace", sketchspace.run, killed, loop) == -signal.SIGKILL
    assert not (killed.out / REPORT).exists()
    sketchspace.run(killed, dataclasses.replace(loop, resume=True))
    assert model(killed.out) == model(plain.out)


def test_edge_maps_are_black_on_white_and_a_photo_without_edges_is_white(data: Path) -> None:
    photos = read_group(data, SEEN, size=16).photos
    found = sketchspace.EdgePictures(photos=photos, find=detector("canny")).pictures(torch.arange(3), 32)
    assert (found.shape, found.dtype) == ((3, 3, 32, 32), torch.uint8)
    assert float((found == 255).float().mean()) > 0.5
    assert int(found.min()) < 200
    blank = sketchspace.EdgePictures(photos=photos, find=lambda photo: np.zeros(photo.shape[:2], np.uint8))
    assert bool((blank.pictures(torch.arange(2), 32) == 255).all())


@pytest.mark.slow
def test_an_encoder_of_transformers_learns_an_adapter() -> None:
    pytest.importorskip("transformers")
    settings = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    tiny = {"model_type": "clip_vision_model", **settings, "image_size": 16, "patch_size": 8, "projection_dim": 8}
    architecture = SpaceArchitecture(
        backbone="transformers", size=16, width=16, classes=("a",), branch="transfer", head=False, config=tiny
    )
    encoder = SpaceEncoder(architecture).eval()
    pictures = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    torch.testing.assert_close(encoder.project(pictures, DRAWINGS), encoder.features(pictures, DRAWINGS))
    encoder.project(pictures, DRAWINGS).sum().backward()
    assert encoder.drawing.adapter[2].weight.grad.abs().sum() > 0


def test_an_unknown_detector_and_missing_weights_are_refused(data: Path, weights: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no edge detector is named 'pencil'"):
        train(data, tmp_path, weights, edge_detector="pencil")
    with pytest.raises(ConfigError, match="--method sketchspace needs --weights"):
        sketchspace.run(SbirConfig(data=data, out=tmp_path, **{**NETWORK, "trunk": "trained"}), SpaceTraining(**LOOP))
