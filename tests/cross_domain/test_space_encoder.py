"""The network of two domains: its attention, its normalisation, its centres and its file."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from sketchdata.cross_domain.dataset import DRAWINGS, PHOTOS, PhotoPictures
from sketchdata.cross_domain.encoder import (
    SpaceArchitecture,
    SpaceEncoder,
    embed,
    holds_space,
    read_space,
    write_space,
)
from sketchdata.cross_domain.networks import SoftAttention, feature_width
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.storage.tensors import write_tensors
from sketchdata.training.backbones import MODELS, build
from sketchdata.training.run_folder import MODEL

SMALL = SpaceArchitecture(backbone="small", size=16, width=6, classes=("cat", "star"), attention=5)


def pictures(count: int, size: int = 16) -> Tensor:
    return torch.randint(0, 256, (count, 3, size, size), generator=torch.Generator().manual_seed(3), dtype=torch.uint8)


def test_attention_weighs_places_by_a_softmax_over_all_of_them() -> None:
    torch.manual_seed(0)
    attention, maps = SoftAttention(4, hidden=3).double(), torch.randn(2, 4, 3, 5, dtype=torch.float64)
    first, second = ((w.detach().numpy(), b.detach().numpy()) for w, b in ((m.weight, m.bias) for m in attention.score))
    x = maps.numpy()
    hidden = np.einsum("hc,bcij->bhij", first[0][:, :, 0, 0], x) + first[1][None, :, None, None]
    score = np.einsum("h,bhij->bij", second[0][0, :, 0, 0], hidden) + second[1]
    weight = np.exp(score)
    weight /= weight.sum((1, 2), keepdims=True)
    np.testing.assert_allclose(attention(maps).detach().numpy(), x + x * weight[:, None], rtol=1e-12)
    np.testing.assert_allclose(attention.weights(maps).sum((1, 2, 3)).detach().numpy(), 1, rtol=1e-12)


@pytest.mark.parametrize(
    "name",
    [
        "mobilenet_v2",
        "resnet18",
        "sketch-a-net",
        "small",
        "thin",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("alexnet", "densenet121", "inception_v3", "vgg11")),
    ],
)
def test_pooled_maps_are_the_features(name: str) -> None:
    torch.manual_seed(0)
    network = build(name, classes=2, channels=3).eval()
    images = torch.randn(1, 3, MODELS[name].least, MODELS[name].least)
    with torch.no_grad():
        maps = network.maps(images)
        assert maps.shape[:2] == (1, network.map_channels)
        assert torch.equal(network.pool(maps), network.extract(images))
        assert network.extract(images).shape == (1, network.feature_size)
    assert feature_width(name) == network.feature_size


def test_the_two_branches_have_weights_of_their_own_under_their_names() -> None:
    torch.manual_seed(0)
    encoder = SpaceEncoder(SMALL).eval()
    assert {name.split(".")[0] for name, _ in encoder.named_parameters()} == {"drawing", "photo"}
    found = {domain: encoder(pictures(3), domain) for domain in (DRAWINGS, PHOTOS)}
    assert found[DRAWINGS].shape == (3, 6)
    assert found[DRAWINGS].dtype == torch.float32
    assert not torch.allclose(found[DRAWINGS], found[PHOTOS])


def test_a_shared_branch_is_one_network() -> None:
    encoder = SpaceEncoder(dataclasses.replace(SMALL, shared=True)).eval()
    assert {name.split(".")[0] for name, _ in encoder.named_parameters()} == {"both"}
    assert torch.equal(encoder(pictures(3), DRAWINGS), encoder(pictures(3), PHOTOS))


def test_pictures_are_normalised_as_the_backbone_s_weights_expect() -> None:
    encoder = SpaceEncoder(SMALL).eval()
    mean, std = (np.array(each) for each in (MODELS["small"].mean, MODELS["small"].std))
    expected = (pictures(2).numpy() / 255 - mean[:, None, None]) / std[:, None, None]
    with torch.no_grad():
        own = encoder.photo(torch.from_numpy(expected).float(), PHOTOS)
        torch.testing.assert_close(encoder(pictures(2), PHOTOS), own, rtol=1e-4, atol=1e-5)


def test_the_domain_s_centre_is_subtracted_before_the_length_is_made_one() -> None:
    plain = SpaceEncoder(SMALL).eval()
    encoder = SpaceEncoder(dataclasses.replace(SMALL, normalise=True)).eval()
    encoder.load_state_dict(plain.state_dict())
    encoder.photo_centre.copy_(torch.arange(6.0))
    with torch.no_grad():
        raw = plain(pictures(3), PHOTOS) - torch.arange(6.0)
        torch.testing.assert_close(encoder(pictures(3), PHOTOS), raw / raw.norm(dim=1, keepdim=True))
        raw = plain(pictures(3), DRAWINGS)
        torch.testing.assert_close(encoder(pictures(3), DRAWINGS), raw / raw.norm(dim=1, keepdim=True))


def test_without_a_dense_layer_the_space_is_the_features() -> None:
    width = feature_width("small")
    encoder = SpaceEncoder(dataclasses.replace(SMALL, head=False, width=width, attention=0)).eval()
    features = encoder.features(pictures(2), PHOTOS)
    assert features.shape == (2, width)
    assert torch.equal(encoder.project(features, PHOTOS), features)


def test_a_written_space_reads_back_and_embeds_the_same(tmp_path: Path) -> None:
    torch.manual_seed(1)
    encoder = SpaceEncoder(SMALL).eval()
    encoder.drawing_centre.fill_(0.5)
    write_space(tmp_path, encoder)
    assert holds_space(tmp_path)
    again = read_space(tmp_path)
    assert again.architecture == SMALL
    images = [cv2.imencode(".png", each.permute(1, 2, 0).numpy()[..., ::-1])[1].tobytes() for each in pictures(5)]
    stored = PhotoPictures.of_encoded(images, np.zeros(5, np.int16), np.arange(5, dtype=np.uint64), ("cat",))
    found = embed(again, stored, DRAWINGS, batch_size=2)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, encoder(pictures(5), DRAWINGS).detach().numpy(), rtol=1e-5, atol=1e-6)


def test_a_folder_without_a_space_is_told_by_name(tmp_path: Path) -> None:
    assert not holds_space(tmp_path)
    with pytest.raises(SketchDataError, match="expected the folder of a finished `sketchdata train sbir`"):
        read_space(tmp_path)
    write_tensors(tmp_path / MODEL, {"a": torch.zeros(1)}, {"architecture": {}})
    assert not holds_space(tmp_path)
    with pytest.raises(SketchDataError, match="a training of another kind"):
        read_space(tmp_path)


def test_a_damaged_space_is_told(tmp_path: Path) -> None:
    facts = dataclasses.asdict(SMALL)
    write_tensors(tmp_path / MODEL, {"a": torch.zeros(1)}, {"space": facts})
    with pytest.raises(SketchDataError, match="has weights that do not fit the network that it describes"):
        read_space(tmp_path)
    write_tensors(tmp_path / MODEL, {"a": torch.zeros(1)}, {"space": {**facts, "branch": "odd"}})
    with pytest.raises(SketchDataError, match="odd"):
        read_space(tmp_path)
    (tmp_path / MODEL).write_bytes(b"no tensors")
    with pytest.raises(SketchDataError, match="not a whole safetensors file"):
        holds_space(tmp_path)


@pytest.mark.slow
def test_attention_needs_maps() -> None:
    config = {"model_type": "dinov2", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    config |= {"image_size": 28, "patch_size": 14, "mlp_ratio": 1}
    architecture = dataclasses.replace(SMALL, backbone="transformers", size=28, config=config)
    with pytest.raises(ConfigError, match="no maps for attention"):
        SpaceEncoder(architecture)
    encoder = SpaceEncoder(dataclasses.replace(architecture, attention=0)).eval()
    assert encoder(pictures(2, 28), PHOTOS).shape == (2, 6)
