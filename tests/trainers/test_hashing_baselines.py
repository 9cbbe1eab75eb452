"""The trainer of other hashing methods: each has its loss, its head and its classifier, and survives being killed."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import torch
from click.testing import CliRunner

from sketchdata.cli import train
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.retrieval.code_evaluation import CodeValidation
from sketchdata.retrieval.hash_centers import hadamard_centers, random_centers
from sketchdata.trainers import hashing
from sketchdata.trainers.hashing_baselines import METHODS, Config, run
from sketchdata.training.bitmaps import read_split
from sketchdata.training.encoder import SketchEncoder, embed, read_encoder
from sketchdata.training.run_folder import METRICS, MODEL, RECORD, REPORT, read_lines
from tests.bitmap_folders import bitmap_folder
from tests.trainings import CLASSES, EPOCHS, NETWORK, flags, generated_dataset, kill_in, loop, network

PARTS = {
    "dsh-pair": {"pairs", "signs"},
    "dsh-sketch": {"factors", "signs"},
    "greedyhash": {"cel", "signs"},
    "csq": {"centers", "signs"},
    "orthohash": {"margin"},
}
THRESHOLDS = {"dsh-pair": 0.0, "dsh-sketch": 0.0, "greedyhash": 0.0, "csq": 0.5, "orthohash": 0.0}
CNN = network(branch="cnn")
#: 120 drawings: the last batch of an epoch has a single one, which has no spread and no pairs.
LOOP = {"batch_size": 17, "save_minutes": 9.0}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a data set, vectors of its classes' words but one, and where methods are trained."""
    folder = tmp_path_factory.mktemp("baselines")
    generated_dataset(folder)
    np.save(folder / "vectors.npy", np.random.default_rng(0).normal(size=(5, 7)))
    (folder / "words.txt").write_text("cat\ndog\nstar\ntree\nbee\n")
    return folder


def config(place: Path, out: Path, **others: Any) -> Config:
    epochs = {"cnn_epochs": 1, "rnn_epochs": 1, "code_epochs": 2, "bits": "16"}
    words = {"vectors": place / "vectors.npy", "vector_words": place / "words.txt"}
    return Config(data=place / "dataset", out=out, **{**epochs, **words, **others})


@pytest.fixture(scope="module", params=list(METHODS))
def method(request: pytest.FixtureRequest, place: Path) -> str:
    """Return the name of a method that was trained in the folder of that name."""
    name: str = request.param
    run(config(place, place / name, method=name), CNN, loop(**LOOP))
    return name


def labels_of(place: Path, split: str) -> np.ndarray:
    return read_split(place / "dataset", split).labels.numpy()


def scores_of(trained: SketchEncoder, place: Path, split: str) -> torch.Tensor:
    packed = read_split(place / "dataset", split)
    with torch.no_grad():
        scores: torch.Tensor = trained(trained.view.batch(packed, torch.arange(len(packed))))[1]
    return scores


def test_a_method_is_trained_by_the_parts_of_its_own_loss(method: str, place: Path) -> None:
    lines = [line for line in read_lines(place / method / METRICS) if line["stage"] == "codes" and "loss" in line]
    assert all(
        set(line) - {"stage", "step", "loss", "gradient", "learning_rate", "seconds"} == PARTS[method] for line in lines
    )
    weight = {"greedyhash": 0.1, "csq": 1e-4}.get(method, 0.01)
    for line in lines:
        (first,) = PARTS[method] - {"signs"}
        assert line["loss"] == pytest.approx(line[first] + weight * line.get("signs", 0), rel=1e-4)


def test_the_report_tells_how_well_the_chosen_codes_of_val_find_one_another(method: str, place: Path) -> None:
    report = orjson.loads((place / method / REPORT).read_bytes())
    assert report["trainer"] == "hashing-baselines"
    assert [stage["stage"] for stage in report["stages"]] == ["cnn", "codes"]
    trained = read_encoder(place / method)
    assert (trained.threshold, trained.width) == (THRESHOLDS[method], 16)
    found = CodeValidation(read_split(place / "dataset", "val"), trained, trained.view, trained.threshold)()
    last = report["stages"][-1]
    assert last["map"] == pytest.approx(found["map"])
    maps = [
        line["map"] for line in read_lines(place / method / METRICS) if line["stage"] == "codes" and "epoch" in line
    ]
    assert len(maps) == 2
    assert last["map"] == max(maps)
    # DSH has a classifier only after its end.
    assert ("accuracy" in last) != method.startswith("dsh")
    if "accuracy" in last:
        assert last["accuracy"] == pytest.approx(found["accuracy"])


def test_the_classifier_is_what_the_method_says(method: str, place: Path) -> None:
    trained = read_encoder(place / method)
    classifier = trained.fusion.classifier
    weight = classifier.weight.detach().double().numpy()
    train = read_split(place / "dataset", "train")
    numbers = embed(trained, read_split(place / "dataset", "gallery")).astype(np.float64)
    scores = scores_of(trained, place, "gallery").double().numpy()
    if method.startswith("dsh"):
        learned, labels = embed(trained, train), train.labels.numpy()
        means = np.stack([learned[labels == label].mean(axis=0) for label in range(3)])
        apart = ((numbers[:, None] - means[None]) ** 2).sum(axis=2)
        assert scores.argmax(axis=1).tolist() == apart.argmin(axis=1).tolist()
        np.testing.assert_allclose(scores, (numbers**2).sum(axis=1, keepdims=True) - apart, atol=1e-3)
    elif method == "csq":
        np.testing.assert_array_equal(weight, hadamard_centers(3, 16, 0))
        # Without signs to add, a score is by how many bits a code agrees with the centre, less half of them.
        agree = (numbers - 0.5) @ weight.T
        np.testing.assert_allclose(scores, agree, atol=1e-4)
    elif method == "orthohash":
        np.testing.assert_array_equal(weight, random_centers(3, 16, 0))
        assert float(classifier.scale) == 4.0
    else:
        assert len(np.unique(weight)) == 3 * 16  # learned


@pytest.mark.slow
def test_a_training_killed_with_its_map_of_words_half_learned_ends_with_the_same_network(
    place: Path, tmp_path: Path
) -> None:
    whole = {"method": "dsh-sketch", "code_epochs": 3}
    run(config(place, tmp_path / "plain", **whole), CNN, loop())
    options = config(place, tmp_path / "killed", **whole)
    assert kill_in(tmp_path / "killed", "codes", run, options, CNN, loop()) == -signal.SIGKILL
    assert not (tmp_path / "killed" / MODEL).exists()
    run(options, CNN, loop(resume=True))
    assert (tmp_path / "killed" / MODEL).read_bytes() == (tmp_path / "plain" / MODEL).read_bytes()


def test_branches_of_another_training_are_taken_over(place: Path, tmp_path: Path) -> None:
    epochs = {**EPOCHS, "cnn_epochs": 1, "rnn_epochs": 1, "fusion_epochs": 0}
    data = place / "dataset"
    hashing.run(hashing.Config(data=data, out=tmp_path / "branches", loss="cel", **epochs), network(), loop(**LOOP))
    own = config(place, tmp_path / "csq", method="csq", pretrained=tmp_path / "branches")
    report = run(own, CNN, loop(**LOOP))
    assert "cnn" in report["pretrained"]
    assert {line["stage"] for line in read_lines(tmp_path / "csq" / METRICS)} == {"codes"}
    alone = place / "csq"
    if not (alone / MODEL).exists():
        run(config(place, alone, method="csq"), CNN, loop(**LOOP))
    assert (tmp_path / "csq" / MODEL).read_bytes() == (alone / MODEL).read_bytes()


def test_both_branches_learn_as_well(place: Path, tmp_path: Path) -> None:
    report = run(config(place, tmp_path, method="orthohash", code_epochs=1), network(), loop(**LOOP))
    assert [stage["stage"] for stage in report["stages"]] == ["cnn", "rnn", "codes"]
    assert report["classes"] == len(CLASSES)


@pytest.mark.parametrize("missing", ["vectors", "vector_words"])
def test_dsh_sketch_without_words_is_refused_before_anything_is_written(
    missing: str, place: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="needs word vectors: give --vectors and --vector-words"):
        run(config(place, tmp_path / "run", method="dsh-sketch", **{missing: None}), CNN, loop())
    assert not (tmp_path / "run").exists()


def test_words_that_cannot_be_read_are_refused(place: Path, tmp_path: Path) -> None:
    (tmp_path / "vectors.npy").write_bytes(b"none")
    own = config(place, tmp_path / "run", method="dsh-sketch", vectors=tmp_path / "vectors.npy")
    with pytest.raises(SketchDataError, match="cannot be read as vectors and their words"):
        run(own, CNN, loop(**LOOP))


def test_the_command_tells_what_it_found_and_refuses_what_does_not_fit(place: Path, tmp_path: Path) -> None:
    shared = {**NETWORK, "branch": "cnn", "data": place / "dataset", "device": "cpu", "batch_size": 60, "bits": 16}
    line = flags(**shared, out=tmp_path / "run", method="orthohash", cnn_epochs=0, code_epochs=1)
    said = CliRunner().invoke(train.hashing_baselines, line, catch_exceptions=False)
    assert said.exit_code == 0
    report = orjson.loads((tmp_path / "run" / REPORT).read_bytes())
    assert f"codes: best epoch 1 of 1: map {report['stages'][-1]['map']:.4f}" in said.stdout
    line = flags(**shared, out=tmp_path / "none", method="dsh-sketch")
    with pytest.raises(ConfigError, match="needs word vectors"):
        CliRunner().invoke(train.hashing_baselines, line, catch_exceptions=False)


@pytest.mark.slow
def test_bitmaps_get_codes_of_central_similarity(tmp_path: Path) -> None:
    data = bitmap_folder(tmp_path / "data")
    options = Config(data=data, out=tmp_path / "run", method="csq", bits="16", cnn_epochs=2, code_epochs=3)
    report = run(options, network(branch="cnn", size=28), loop(batch_size=32, save_minutes=9.0))
    last = report["stages"][-1]
    assert last["map"] > 0.7
    assert last["accuracy"] > 0.7
    assert orjson.loads((tmp_path / "run" / RECORD).read_bytes())["trainer"] == "hashing-baselines"
