"""The trainer of our recipe: both stages can be killed, each kind of centres is fixed, and every branch reads along."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import torch
from click.testing import CliRunner

from sketchdata.classes.splits import draw_classes
from sketchdata.cli import train
from sketchdata.errors import ConfigError
from sketchdata.retrieval.code_evaluation import CodeValidation
from sketchdata.retrieval.hash_centers import hadamard_centers, random_centers, semantic_centers
from sketchdata.storage.tensors import read_tensors
from sketchdata.trainers.options import CENTERS
from sketchdata.trainers.sketchcode import Config, Network, run
from sketchdata.training.bitmaps import read_split
from sketchdata.training.encoder import read_encoder
from sketchdata.training.experiment import Experiment
from sketchdata.training.run_folder import METRICS, MODEL, REPORT, STAGES, read_lines
from tests.bitmap_folders import bitmap_folder
from tests.trainings import CLASSES, NETWORK, flags, generated_dataset, kill_in, loop

CLASSIFIER = "network.encoder.fusion.classifier.weight"
#: One batch an epoch, and checkpoints after it.
QUICK = {"batch_size": 120, "save_minutes": 9.0}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generated_dataset(tmp_path_factory.mktemp("sketchcode"))


def config(data: Path, out: Path, **others: Any) -> Config:
    return Config(data=data, out=out, **{"bits": "16", "proxy_epochs": 2, "code_epochs": 2, **others})


def small(**others: Any) -> Network:
    return Network(**{**NETWORK, "branch": "cnn", **others})


@pytest.fixture(scope="module")
def undisturbed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a training that nobody stopped."""
    out = tmp_path_factory.mktemp("undisturbed")
    run(config(data, out, augment=True), small(), loop())
    return out


def stage(out: Path, name: str) -> dict[str, torch.Tensor]:
    return read_tensors(out / STAGES / f"{name}.safetensors")[0]


def fixed(out: Path) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in stage(out, "hash-centers").items()}


# ---- stops -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_training_killed_in_each_stage_ends_with_the_same_network(
    data: Path, undisturbed: Path, tmp_path: Path
) -> None:
    for number, name in enumerate(("proxies", "codes")):
        options = config(data, tmp_path, augment=True), small(), loop(resume=number > 0)
        assert kill_in(tmp_path, name, run, *options) == -signal.SIGKILL
        assert not (tmp_path / REPORT).exists()
    run(config(data, tmp_path, augment=True), small(), loop(resume=True))
    assert (tmp_path / MODEL).read_bytes() == (undisturbed / MODEL).read_bytes()
    logs = [[{**line, "seconds": 0} for line in read_lines(out / METRICS)] for out in (tmp_path, undisturbed)]
    assert logs[0] == logs[1]
    assert [line["stage"] for line in logs[0] if line.get("epoch") == 1] == ["proxies", "codes"]


@pytest.mark.slow
def test_a_finished_training_is_not_done_again(data: Path, undisturbed: Path) -> None:
    before = (undisturbed / MODEL).stat().st_mtime_ns
    report = run(config(data, undisturbed, augment=True), small(), loop())
    assert report == orjson.loads((undisturbed / REPORT).read_bytes())
    assert (undisturbed / MODEL).stat().st_mtime_ns == before


# ---- what is learned -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_recipe_s_codes_tell_generated_drawings_apart(data: Path, tmp_path: Path) -> None:
    report = run(
        config(data, tmp_path, proxy_epochs=4, code_epochs=4), small(size=32), loop(batch_size=20, save_minutes=9.0)
    )
    chosen = report["stages"][-1]
    assert (report["trainer"], chosen["stage"]) == ("sketchcode", "codes")
    assert chosen["map"] > 0.8
    assert chosen["accuracy"] > 0.8
    trained = read_encoder(tmp_path)
    assert (trained.view.channels, trained.view.max_points, trained.threshold) == ("strokes", None, 0.0)
    found = CodeValidation(read_split(data, "val"), trained, trained.view, trained.threshold)()
    assert {name: chosen[name] for name in found} == pytest.approx(found)


@pytest.mark.parametrize(
    ("changed", "parts"),
    [
        ({"quantisation": 0.5, "distillation": 0.25}, {"margin": 1, "angle": 0.5, "teacher": 1, "distillation": 0.25}),
        ({"quantisation": 0.0, "distillation": 0.0, "margin": 0.0, "smoothing": 0.0}, {"margin": 1, "angle": 0}),
    ],
)
def test_the_loss_adds_up_its_parts(
    changed: dict[str, float], parts: dict[str, float], data: Path, tmp_path: Path
) -> None:
    report = run(config(data, tmp_path, **changed), small(), loop(**QUICK, log_every=1))
    lines = [line for line in read_lines(tmp_path / METRICS) if "loss" in line]
    assert [line["stage"] for line in lines] == ["proxies", "proxies", "codes", "codes"]
    for line in lines:
        assert set(line) & {"margin", "angle", "teacher", "distillation"} == set(parts)
        assert line["loss"] == pytest.approx(sum(weight * line[part] for part, weight in parts.items()), rel=1e-4)
    # The network alone is counted, not what taught it.
    encoder = read_encoder(tmp_path)
    assert report["parameters"] < sum(each.numel() for each in encoder.parameters())
    assert not any("teacher" in name for name in encoder.state_dict())


def test_a_margin_makes_the_task_harder(data: Path, tmp_path: Path) -> None:
    losses = []
    for margin in (0.0, 0.4):
        out = tmp_path / str(margin)
        run(config(data, out, margin=margin, proxy_epochs=1, code_epochs=0), small(), loop(**QUICK, log_every=1))
        losses += [line["margin"] for line in read_lines(out / METRICS) if "margin" in line]
    assert losses[1] > losses[0] + 0.5


# ---- centres ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", CENTERS)
def test_each_kind_of_centres_is_fixed_before_the_second_stage(kind: str, data: Path, tmp_path: Path) -> None:
    run(config(data, tmp_path, centers=kind, bits="32"), small(), loop(**QUICK, seed=3))
    proxies, last = stage(tmp_path, "proxies"), stage(tmp_path, "codes")[CLASSIFIER].numpy()
    np.testing.assert_array_equal(read_encoder(tmp_path).fusion.classifier.weight.detach().numpy(), last)
    if kind == "learned":
        assert not (tmp_path / STAGES / "hash-centers.safetensors").exists()
        assert np.abs(last - proxies[CLASSIFIER].numpy()).max() > 1e-5
        return
    found = fixed(tmp_path)
    np.testing.assert_array_equal(last, found["centers"])
    if kind == "semantic":
        centers, rotation = semantic_centers(proxies[CLASSIFIER].double().numpy())
        np.testing.assert_allclose(rotation, found["rotation"], atol=1e-6)
        np.testing.assert_array_equal(last, centers)
    else:
        make = hadamard_centers if kind == "hadamard" else random_centers
        np.testing.assert_array_equal(last, make(3, 32, 3))
        np.testing.assert_array_equal(found["rotation"], np.eye(32))


def test_the_second_stage_begins_with_the_layer_turned_towards_the_centres(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: dict[str, Any] = {}
    fit = Experiment.fit

    def watched(self: Any, name: str, epochs: int, objective: Any, *rest: Any, **others: Any) -> Any:
        fusion = objective.encoder.fusion
        begun[name] = fusion.fuse.weight.detach().double().numpy().copy()
        trained = {each for each, value in objective.named_parameters() if value.requires_grad}
        begun[f"{name}-trained"] = trained
        begun[f"{name}-smoothing"] = objective.margin.smoothing
        return fit(self, name, epochs, objective, *rest, **others)

    monkeypatch.setattr(Experiment, "fit", watched)
    run(config(data, tmp_path), small(), loop(**QUICK))
    before = stage(tmp_path, "proxies")["network.encoder.fusion.fuse.weight"].double().numpy()
    rotation = fixed(tmp_path)["rotation"]
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(16), atol=1e-5)
    # Numbers are rows u = x Wᵀ; turned ones are u R.
    features = np.random.default_rng(0).normal(size=(5, before.shape[1]))
    np.testing.assert_allclose(features @ begun["codes"].T, features @ before.T @ rotation, atol=1e-4)
    assert not np.allclose(begun["codes"], before, atol=1e-2)
    weight = CLASSIFIER.removeprefix("network.")
    assert weight in begun["proxies-trained"]
    assert begun["proxies-trained"] - begun["codes-trained"] == {weight}
    assert (begun["proxies-smoothing"], begun["codes-smoothing"]) == (0.1, 0.0)


def test_without_a_second_stage_the_directions_stay_learned(data: Path, tmp_path: Path) -> None:
    report = run(config(data, tmp_path, code_epochs=0), small(), loop(**QUICK))
    assert [each["stage"] for each in report["stages"]] == ["proxies"]
    assert not (tmp_path / STAGES / "hash-centers.safetensors").exists()
    learned = read_encoder(tmp_path).fusion.classifier.weight
    assert torch.equal(learned, stage(tmp_path, "proxies")[CLASSIFIER])


# ---- what is read ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("branch", "channels"), [("rnn", "strokes"), ("cr", "strokes"), ("cr", "ink"), ("cnn", "ink")])
def test_each_branch_reads_along(branch: str, channels: str, data: Path, tmp_path: Path) -> None:
    # The last batch of an epoch has one drawing.
    options = config(data, tmp_path, proxy_epochs=1, code_epochs=1, augment=True)
    report = run(options, small(branch=branch, channels=channels), loop(batch_size=17, save_minutes=9.0))
    assert [each["stage"] for each in report["stages"]] == ["proxies", "codes"]
    trained = read_encoder(tmp_path)
    fusion = trained.fusion
    assert (fusion.picture is None, fusion.points is None) == (branch == "rnn", branch == "cnn")
    if fusion.picture is not None:
        assert fusion.picture.features[0].in_channels == (4 if channels == "strokes" else 1)


def test_unseen_classes_have_no_centre(data: Path, tmp_path: Path) -> None:
    run(config(data, tmp_path, unseen=1), small(), loop(**QUICK))
    assert fixed(tmp_path)["centers"].shape == (2, 16)
    assert set(read_encoder(tmp_path).classes) == set(CLASSES) - set(draw_classes(CLASSES, 1))


@pytest.mark.slow
def test_bitmaps_are_read_as_ink_and_their_strokes_are_refused(tmp_path: Path) -> None:
    place = bitmap_folder(tmp_path / "data")
    with pytest.raises(ConfigError, match=r"when a pixel was drawn, for --channels strokes: use ink"):
        run(config(place, tmp_path / "none"), small(size=28), loop())
    assert not (tmp_path / "none").exists()
    report = run(
        config(place, tmp_path / "run", proxy_epochs=2),
        small(size=28, channels="ink"),
        loop(batch_size=32, save_minutes=9.0),
    )
    assert report["stages"][-1]["map"] > 0.8


def test_the_command_trains_and_tells_of_its_stages(data: Path, tmp_path: Path) -> None:
    own = {name: NETWORK[name] for name in ("backbone", "size")}
    options = {"data": data, "out": tmp_path, "bits": 24, "centers": "hadamard", "proxy_epochs": 1, "code_epochs": 1}
    line = flags(**own, **options, **QUICK, device="cpu")
    said = CliRunner().invoke(train.sketchcode, line, catch_exceptions=False)
    assert said.exit_code == 0
    report = orjson.loads((tmp_path / REPORT).read_bytes())
    assert f"codes: best epoch 1 of 1: map {report['stages'][1]['map']:.4f}" in said.stdout
    assert (report["options"]["bits"], report["options"]["channels"]) == ("24", "strokes")
    again = CliRunner().invoke(train.sketchcode, [*line, "--json"], catch_exceptions=False)
    assert orjson.loads(again.stdout) == report


def test_the_thin_backbone_is_the_one_that_is_taken(data: Path, tmp_path: Path) -> None:
    network = Network(size=16)
    assert (network.backbone, network.branch, network.channels) == ("thin", "cnn", "strokes")
    report = run(config(data, tmp_path, proxy_epochs=1, code_epochs=0), network, loop(**QUICK))
    assert report["options"]["backbone"] == "thin"
    state = read_encoder(tmp_path).fusion.picture.state_dict()
    assert state["features.0.weight"].shape[1] == 4
