"""The model table: published sizes, torchvision's names, weights of others, and a recurrent branch blind to padding."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from sketchdata.errors import ConfigError
from sketchdata.storage.tensors import read_state_dict
from sketchdata.training.backbones import MODELS, build
from sketchdata.training.encoder import FusionNetwork, RecurrentEncoder
from sketchdata.training.pretrained import load_weights

#: Parameters at 1,000 classes and three channels. Sources: torchvision's table of weights; for Inception V3 without its
#: auxiliary classifier; for MobileNet V1 the paper's 4.2 million; AlexNet of the paper, without grouped convolutions.
PUBLISHED = {
    "alexnet": 62_378_344,
    "alexnet-torchvision": 61_100_840,
    "densenet121": 7_978_856,
    "densenet161": 28_681_000,
    "densenet169": 14_149_480,
    "densenet201": 20_013_928,
    "inception_v3": 23_834_568,
    "mobilenet_v1": 4_231_976,
    "mobilenet_v2": 3_504_872,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet152": 60_192_808,
    "vgg11": 132_863_336,
    "vgg16": 138_357_544,
}
#: Some of torchvision's names and shapes, one of each kind of layer.
TORCHVISION = {
    "alexnet-torchvision": {"features.10.weight": (256, 256, 3, 3), "classifier.6.bias": (1000,)},
    "densenet121": {
        "features.conv0.weight": (64, 3, 7, 7),
        "features.denseblock3.denselayer24.conv2.weight": (32, 128, 3, 3),
        "features.denseblock1.denselayer1.norm1.running_mean": (64,),
        "features.transition2.conv.weight": (256, 512, 1, 1),
        "features.norm5.weight": (1024,),
        "classifier.weight": (1000, 1024),
    },
    "inception_v3": {
        "Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3),
        "Mixed_5b.branch5x5_2.conv.weight": (64, 48, 5, 5),
        "Mixed_6a.branch3x3dbl_3.bn.weight": (96,),
        "Mixed_6c.branch7x7dbl_5.conv.weight": (192, 160, 1, 7),
        "Mixed_7a.branch7x7x3_4.conv.weight": (192, 192, 3, 3),
        "Mixed_7c.branch3x3dbl_3b.conv.weight": (384, 384, 3, 1),
        "fc.weight": (1000, 2048),
    },
    "mobilenet_v2": {
        "features.0.0.weight": (32, 3, 3, 3),
        "features.1.conv.0.0.weight": (32, 1, 3, 3),
        "features.1.conv.1.weight": (16, 32, 1, 1),
        "features.17.conv.2.weight": (320, 960, 1, 1),
        "features.18.1.running_var": (1280,),
        "classifier.1.weight": (1000, 1280),
    },
    "resnet18": {"layer2.0.downsample.0.weight": (128, 64, 1, 1), "layer4.1.bn2.bias": (512,)},
    "resnet50": {
        "conv1.weight": (64, 3, 7, 7),
        "layer1.0.conv3.weight": (256, 64, 1, 1),
        "layer3.5.conv2.weight": (256, 256, 3, 3),
        "layer4.0.downsample.1.running_mean": (2048,),
        "fc.weight": (1000, 2048),
    },
    "vgg11": {"features.18.weight": (512, 512, 3, 3), "classifier.0.weight": (4096, 25088)},
    "vgg16": {"features.28.weight": (512, 512, 3, 3), "classifier.6.weight": (1000, 4096)},
}


def on_no_device(name: str, classes: int, channels: int = 3) -> torch.nn.Module:
    """Build a model's shapes without its numbers: VGG's would take half a gigabyte."""
    with torch.device("meta"):
        return build(name, classes, channels)


@pytest.mark.parametrize(("name", "parameters"), PUBLISHED.items())
def test_a_model_has_the_published_number_of_parameters(name: str, parameters: int) -> None:
    assert sum(each.numel() for each in on_no_device(name, 1000).parameters()) == parameters


@pytest.mark.parametrize("name", TORCHVISION)
def test_parameters_have_torchvisions_names_and_shapes(name: str) -> None:
    state = on_no_device(name, 1000).state_dict()
    assert {key: tuple(state[key].shape) for key in TORCHVISION[name]} == TORCHVISION[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_model_takes_its_least_size_and_gives_features_and_scores(name: str, channels: int) -> None:
    model = on_no_device(name, 7, channels).eval()
    images = torch.empty(2, channels, MODELS[name].least, MODELS[name].least, device="meta")
    assert model.extract(images).shape == (2, model.feature_size)
    assert model(images).shape == (2, 7)


@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet18", "sketch-a-net", "thin"])
def test_scores_are_the_classifiers_word_on_the_features(name: str) -> None:
    torch.manual_seed(0)
    model = build(name, 5, 1).eval()
    images = torch.rand(2, 1, 96, 96)
    *_, last = (layer for layer in model.modules() if isinstance(layer, torch.nn.Linear))
    torch.testing.assert_close(last(model.extract(images)), model(images))
    with torch.autocast("cpu", torch.bfloat16):
        assert model(images).isfinite().all()
    model(images.contiguous(memory_format=torch.channels_last)).sum().backward()
    assert all(each.grad is not None and each.grad.isfinite().all() for each in model.parameters())


def test_an_unknown_model_and_a_missing_library_are_named() -> None:
    with pytest.raises(ConfigError, match="resnet18"):
        build("resnet19", 5)
    with pytest.raises(ConfigError, match="pip install timm"):
        build("timm:resnet18", 5)


# ---- weights of others ----------------------------------------------------------------------------------------------


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    path = tmp_path / "resnet18.safetensors"
    save_file(build("resnet18", 10).state_dict(), path)
    return path


def test_weights_load_whole(trained: Path) -> None:
    model = build("resnet18", 10)
    assert load_weights(model, read_state_dict(trained), "file") == []
    again = read_state_dict(trained)
    assert all(torch.equal(value, again[name]) for name, value in model.state_dict().items())


def test_a_classifier_of_other_classes_is_left_out_and_three_channels_become_one(trained: Path) -> None:
    model = build("resnet18", 4, channels=1).eval()
    before = model.fc.weight.clone()
    assert load_weights(model, read_state_dict(trained), "file") == ["fc.bias", "fc.weight"]
    assert torch.equal(model.fc.weight, before)
    coloured = build("resnet18", 10).eval()
    load_weights(coloured, read_state_dict(trained), "file")
    grey = torch.rand(1, 1, 64, 64)
    expected = coloured.extract(grey.expand(-1, 3, -1, -1))
    torch.testing.assert_close(model.extract(grey), expected, atol=1e-4, rtol=1e-4)


def test_weights_of_torch_save_load_without_running_anything(tmp_path: Path, trained: Path) -> None:
    path = tmp_path / "resnet18.pth"
    torch.save({"state_dict": read_state_dict(trained)}, path)
    assert read_state_dict(path).keys() == read_state_dict(trained).keys()


class Hostile:
    """A pickle that would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_hostile_damaged_and_foreign_files_are_refused(tmp_path: Path, trained: Path) -> None:
    with pytest.raises(ConfigError, match="no weights"):
        read_state_dict(tmp_path / "absent.pth")
    hostile = tmp_path / "hostile.pth"
    hostile.write_bytes(pickle.dumps(Hostile(tmp_path / "broken in")))
    with pytest.raises(ConfigError, match="contains code, which is refused"):
        read_state_dict(hostile)
    assert not (tmp_path / "broken in").exists()
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ConfigError, match="named tensors"):
        read_state_dict(tmp_path / "list.pth")
    trained.write_bytes(trained.read_bytes()[:1000])
    with pytest.raises(ConfigError, match="safetensors"):
        read_state_dict(trained)


def test_weights_of_another_model_are_refused(trained: Path) -> None:
    weights = read_state_dict(trained)
    with pytest.raises(ConfigError, match="of another model"):
        load_weights(build("mobilenet_v2", 10), weights, "file")
    weights["layer1.0.conv1.weight"] = torch.zeros(64, 64, 5, 5)
    with pytest.raises(ConfigError, match=r"layer1\.0\.conv1\.weight has shape"):
        load_weights(build("resnet18", 10), weights, "file")


# ---- the recurrent branch and the fusion ----------------------------------------------------------------------------


@pytest.fixture
def encoder() -> RecurrentEncoder:
    torch.manual_seed(2)
    return RecurrentEncoder(hidden=16).eval()


def test_padding_never_enters_the_state(encoder: RecurrentEncoder) -> None:
    drawings = [torch.rand(length, 4) for length in (9, 1, 5)]
    alone = torch.cat([encoder(each[None], torch.tensor([len(each)])) for each in drawings])
    lengths = torch.tensor([len(each) for each in drawings])
    for longest, padding in ((9, 0.0), (30, 0.0), (30, 1e9)):
        batch = torch.full((3, longest, 4), padding)
        for row, each in zip(batch, drawings, strict=True):
            row[: len(each)] = each
        torch.testing.assert_close(encoder(batch, lengths), alone, atol=1e-6, rtol=1e-5)


def test_the_feature_is_the_last_state_of_both_directions(encoder: RecurrentEncoder) -> None:
    sequence = torch.rand(1, 7, 4)
    outputs, _ = encoder.gru(sequence)
    expected = torch.cat([outputs[:, -1, :16], outputs[:, 0, 16:]], 1)
    torch.testing.assert_close(encoder(sequence, torch.tensor([7])), expected)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("activation", "least", "most"), [("sigmoid", 0, 1), ("relu", 0, 1e9), ("identity", -1e9, 1e9)]
)
@pytest.mark.parametrize("branches", ["both", "picture", "points"])
def test_the_network_works_with_one_branch_and_with_both(
    activation: str, least: float, most: float, branches: str
) -> None:
    torch.manual_seed(3)
    network = FusionNetwork(
        None if branches == "points" else build("resnet18", 1, 1),
        None if branches == "picture" else RecurrentEncoder(hidden=8),
        width=12,
        classes=6,
        activation=activation,
    ).eval()
    code, scores = network(torch.rand(3, 1, 32, 32), torch.rand(3, 5, 4), torch.tensor([5, 2, 1]))
    assert code.shape == (3, 12)
    assert scores.shape == (3, 6)
    assert least <= code.min() <= code.max() <= most
    assert network.fuse.in_features == {"both": 528, "picture": 512, "points": 16}[branches]


def test_a_network_without_branches_is_refused() -> None:
    with pytest.raises(ConfigError, match="branch"):
        FusionNetwork(None, None, width=4, classes=2)


def test_autocast_does_not_reach_the_gru() -> None:
    network, reached = RecurrentEncoder(hidden=8), []
    network.gru.register_forward_pre_hook(lambda *_: reached.append(torch.is_autocast_enabled("cpu")))
    with torch.autocast("cpu", torch.bfloat16):
        network(torch.randn(3, 5, 4), torch.tensor([5, 3, 1]))
        assert torch.is_autocast_enabled("cpu")
    assert reached == [False]
