"""The classifier of edge maps: it learns, survives being killed, knows its data, and says what does not fit."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import torch
from click.testing import CliRunner

from sketchdata.cli.train import edgemap as command
from sketchdata.edges.dataset import falls_into_val, open_edgemaps
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.storage.manifest import MANIFEST_NAME, hash_file
from sketchdata.storage.tensors import write_tensors
from sketchdata.trainers import edgemap
from sketchdata.trainers.edgemap import Config, run
from sketchdata.training import edgemap_classifier
from sketchdata.training.edgemap_classifier import (
    EdgeMapClassifier,
    new_classifier,
    read_classifier,
    read_edge_maps,
    to_input,
    write_classifier,
)
from sketchdata.training.encoder import read_encoder
from sketchdata.training.options import TrainingOptions
from sketchdata.training.run_folder import METRICS, MODEL, RECORD, REPORT, read_lines
from tests import edge_map_builds
from tests.edge_map_builds import VAL_SHARE, build, stored
from tests.edge_map_sets import make_edge_maps
from tests.trainings import flags, kill_in, loop

COUNTS = {"apple": 24, "ice cream": 24, "star": 24}
WORDS = tuple(COUNTS)


@pytest.fixture(scope="module")
def edges(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_edge_maps(tmp_path_factory.mktemp("edge-maps"), COUNTS).edges


@pytest.fixture(scope="module")
def data(edges: Path) -> Path:
    build(edges, edges.parent / "built")
    return edges.parent / "built"


def config(data: Path, out: Path, **others: Any) -> Config:
    return Config(data=data, out=out, **{"backbone": "small", "size": 16, "epochs": 2, **others})


@pytest.fixture(scope="module")
def learned(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a training that is long enough to learn something."""
    out = tmp_path_factory.mktemp("learned")
    # Running means of batch normalisation need some steps to arrive.
    run(config(data, out, epochs=16), loop(batch_size=8, learning_rate=0.003, save_minutes=9.0))
    return out


def accuracy(run_folder: Path, data: Path, split: str) -> float:
    classifier = read_classifier(run_folder)
    packed = read_edge_maps(open_edgemaps(data, size=classifier.size), split, classifier.classes)
    with torch.no_grad():
        scores = classifier.network(to_input(packed.images[:, None]))
    return float((scores.argmax(1) == packed.labels).double().mean())


# ---- learning --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_small_network_learns_edge_maps_in_seconds(data: Path, learned: Path) -> None:
    assert accuracy(learned, data, "train") > 0.8
    report = orjson.loads((learned / REPORT).read_bytes())
    assert report["chance"] == pytest.approx(1 / 3)
    assert accuracy(learned, data, "val") == pytest.approx(report["stages"][0]["accuracy"])
    assert report["stages"][0]["accuracy"] > 0.6


@pytest.mark.slow
def test_the_report_and_the_record_say_how_the_network_came_about(data: Path, learned: Path) -> None:
    report, record = (orjson.loads((learned / name).read_bytes()) for name in (REPORT, RECORD))
    assert report["trainer"] == record["trainer"] == "edgemap"
    assert record["classes"] == list(WORDS)
    assert record["manifest"] == hash_file(data / MANIFEST_NAME, "sha256")
    assert report["edge_maps"] == open_edgemaps(data).splits
    assert sum(report["edge_maps"].values()) == 72
    assert report["sha256"] == hash_file(learned / MODEL, "sha256")
    assert report["options"]["backbone"] == "small"
    assert not list((learned / "checkpoints").iterdir())


@pytest.mark.slow
def test_the_epoch_that_val_likes_best_is_kept(learned: Path) -> None:
    epochs = [line for line in read_lines(learned / METRICS) if "epoch" in line]
    [stage] = orjson.loads((learned / REPORT).read_bytes())["stages"]
    assert len(epochs) == 16
    assert stage["accuracy"] == max(line["accuracy"] for line in epochs)
    assert epochs[stage["best_epoch"] - 1]["accuracy"] == stage["accuracy"]


@pytest.mark.slow
def test_a_finished_training_is_not_done_again(data: Path, learned: Path) -> None:
    before = (learned / MODEL).stat().st_mtime_ns
    report = run(config(data, learned, epochs=16), loop(batch_size=8, learning_rate=0.003))
    assert report == orjson.loads((learned / REPORT).read_bytes())
    assert (learned / MODEL).stat().st_mtime_ns == before


@pytest.mark.slow
def test_who_takes_it_for_a_network_of_drawings_is_told(learned: Path) -> None:
    with pytest.raises(SketchDataError, match="a training of another kind: its network does not read drawings"):
        read_encoder(learned)


@pytest.mark.slow
def test_a_training_that_was_killed_ends_with_the_same_bytes(data: Path, tmp_path: Path) -> None:
    plain, killed = (config(data, tmp_path / name, epochs=4, augment=True) for name in ("plain", "killed"))
    run(plain, loop())
    assert kill_in(killed.out, edgemap.STAGE, run, killed, loop()) == -signal.SIGKILL
    assert not (killed.out / REPORT).exists()
    with pytest.raises(ConfigError, match="holds a training that was stopped: use --resume"):
        run(killed, loop())
    run(killed, loop(resume=True))
    assert (killed.out / MODEL).read_bytes() == (plain.out / MODEL).read_bytes()
    logs = [[{**line, "seconds": 0} for line in read_lines(each.out / METRICS)] for each in (plain, killed)]
    assert logs[0] == logs[1]


@pytest.mark.slow
def test_changes_of_the_edge_maps_change_what_is_learned(data: Path, tmp_path: Path) -> None:
    for name in ("plain", "changed"):
        run(config(data, tmp_path / name, epochs=1, augment=name == "changed"), loop())
    assert (tmp_path / "plain" / MODEL).read_bytes() != (tmp_path / "changed" / MODEL).read_bytes()


@pytest.mark.slow
def test_the_papers_network_learns_and_comes_back(data: Path, tmp_path: Path) -> None:
    report = run(config(data, tmp_path, backbone="mobilenet_v2", size=32, epochs=1), loop(batch_size=20))
    network = read_classifier(tmp_path).network
    assert network.feature_size == 1280
    assert report["parameters"] == sum(each.numel() for each in network.parameters())


def test_the_command_trains_and_prints_its_report(data: Path, tmp_path: Path) -> None:
    options = {"backbone": "small", "size": 16, "epochs": 1, "device": "cpu", "batch_size": 16, "augment": True}
    arguments = ["--data", str(data), "--out", str(tmp_path / "run"), *flags(**options)]
    done = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "edgemap: best epoch 1 of 1: accuracy" in done.output
    assert f"{open_edgemaps(data).splits['train']} edge maps of 3 classes" in done.output
    done = CliRunner().invoke(command, [*arguments, "--json"], catch_exceptions=False)
    assert orjson.loads(done.stdout) == orjson.loads((tmp_path / "run" / REPORT).read_bytes())


# ---- classes without edge maps ---------------------------------------------------------------------------------------


def test_a_class_that_val_alone_has_is_left_out_and_counted(tmp_path: Path) -> None:
    edges = make_edge_maps(tmp_path, {"apple": 10, "star": 10, "zigzag": 1}).edges
    [photo] = [row["photo_sha256"] for row in stored(edges) if row["category"] == "zigzag"]
    share = edge_map_builds.edgemap.Config(edges=edges, out=tmp_path, val_share=VAL_SHARE).share()
    seed = next(seed for seed in range(100) if falls_into_val([photo], seed, share)[0])
    build(edges, tmp_path / "built", seed=seed)
    report = run(config(tmp_path / "built", tmp_path / "run", epochs=1), loop(batch_size=8))
    assert (report["classes"], report["val_left_out"]) == (2, 1)
    assert sum(report["edge_maps"].values()) == 20
    assert read_classifier(tmp_path / "run").classes == ("apple", "star")


@pytest.mark.parametrize(
    ("counts", "share", "message"),
    [
        ({"apple": 9}, VAL_SHARE, "edge maps in train of 1 classes: at least 2 are needed"),
        ({"apple": 6, "star": 6}, "0", "no edge map in val to choose an epoch by"),
    ],
)
def test_data_of_which_nothing_can_be_learned_is_refused(
    counts: dict[str, int], share: str, message: str, tmp_path: Path
) -> None:
    build(make_edge_maps(tmp_path, counts).edges, tmp_path / "built", val_share=share)
    with pytest.raises(ConfigError, match=message):
        run(config(tmp_path / "built", tmp_path / "run"), loop())
    assert not (tmp_path / "run").exists()


# ---- what does not fit -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_another_data_set_and_other_options_are_refused(edges: Path, data: Path, learned: Path, tmp_path: Path) -> None:
    build(edges, tmp_path / "other", seed=1)
    before = (learned / REPORT).read_bytes()
    with pytest.raises(ConfigError, match="another data set of these classes"):
        run(config(tmp_path / "other", learned, epochs=16), loop(batch_size=8, learning_rate=0.003))
    with pytest.raises(ConfigError, match="holds a training with --size 16"):
        run(config(data, learned, size=32, epochs=16), loop(batch_size=8, learning_rate=0.003))
    assert (learned / REPORT).read_bytes() == before


@pytest.mark.parametrize(
    ("options", "training", "message"),
    [
        ({"backbone": "lenet"}, {}, "there is no model 'lenet'"),
        ({"backbone": "mobilenet_v2", "size": 16}, {}, "needs pictures of --size 32 at least, not 16"),
        ({}, {"batch_size": 1}, "gives a process a batch of one edge map"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_is_written(
    options: dict[str, Any], training: dict[str, Any], message: str, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        run(config(data, tmp_path / "run", **options), loop(**training))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("count", "batch_size", "world", "fits"),
    [(9, 8, 1, False), (10, 8, 1, True), (8, 8, 1, True), (1, 8, 1, False), (16, 8, 8, False), (9, 8, 4, True)],
)
def test_batches_of_one_are_found_among_several_processes(count: int, batch_size: int, world: int, fits: bool) -> None:
    network = new_classifier("small", 16, WORDS).network
    if fits:
        edgemap.check_batches(network, count, batch_size, world)
        return
    with pytest.raises(ConfigError, match="batch of one"):
        edgemap.check_batches(network, count, batch_size, world)


def test_a_network_without_batch_normalisation_may_have_batches_of_one() -> None:
    edgemap.check_batches(new_classifier("alexnet", 63, WORDS).network, 9, 8, 1)


def test_too_little_memory_is_said_with_what_is_needed(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edgemap_classifier, "free_bytes", lambda: 72 * 16 * 16)
    with pytest.raises(ConfigError, match=r"72 edge maps of 16 × 16 pixels need 0\.0 GB of memory.*smaller --size"):
        run(config(data, tmp_path / "run"), loop())
    assert not (tmp_path / "run").exists()


def test_edge_maps_that_were_not_built_are_refused(edges: Path, tmp_path: Path) -> None:
    with pytest.raises(SketchDataError, match=r"a set of edge maps was expected.*build edgemap-345c"):
        run(config(edges, tmp_path / "run"), loop())


# ---- the network's file ----------------------------------------------------------------------------------------------


def test_a_network_comes_back_from_its_file_to_the_bit(tmp_path: Path) -> None:
    torch.manual_seed(3)
    written = new_classifier("small", 16, WORDS)
    write_classifier(tmp_path, written)
    read = read_classifier(tmp_path)
    assert (read.backbone, read.size, read.classes) == ("small", 16, WORDS)
    for name, values in written.network.state_dict().items():
        np.testing.assert_array_equal(values.numpy(), read.network.state_dict()[name].numpy())
    assert not read.network.training


def _cut(folder: Path) -> None:
    write_classifier(folder, new_classifier("small", 16, WORDS))
    (folder / MODEL).write_bytes((folder / MODEL).read_bytes()[:-9])


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda folder: None, "has no model.safetensors: give the folder of a finished `train edgemap`"),
        (_cut, "is not a whole safetensors file"),
        (lambda folder: write_tensors(folder / MODEL, {}, {"architecture": {}}), "is not a classifier of edge maps"),
        (
            lambda folder: write_tensors(folder / MODEL, {}, {"edgemap": {"backbone": "small"}}),
            r"edgemap\.size: expected",
        ),
        (
            lambda folder: write_classifier(
                folder,
                EdgeMapClassifier(network=torch.nn.Linear(2, 2), backbone="small", size=16, classes=WORDS),
            ),
            "has weights that do not fit the network that it describes",
        ),
    ],
    ids=["none", "cut-off", "other-trainer", "half-a-record", "other-weights"],
)
def test_files_that_hold_no_classifier_are_refused(write: Any, message: str, tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(SketchDataError, match=message):
        read_classifier(tmp_path)


def test_the_defaults_are_the_papers_network_and_size(tmp_path: Path) -> None:
    plain = Config(data=tmp_path, out=tmp_path)
    assert (plain.backbone, plain.size, plain.augment) == ("mobilenet_v2", 224, False)
    assert TrainingOptions().resume is False
