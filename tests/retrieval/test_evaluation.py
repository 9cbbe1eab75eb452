"""Evaluation: its numbers against a count by hand, and its pages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import orjson
import pytest
import torch
from torch import nn

from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.retrieval.evaluation import (
    JSON_FILE,
    PICTURE_FILE,
    RELIABILITY_BINS,
    TABLE_FILE,
    calibration,
    evaluate,
    evaluate_run,
)
from sketchdata.training.distributed import DistributedContext
from sketchdata.training.encoder import Architecture, SketchEncoder, read_encoder, write_encoder
from sketchdata.training.packed import read_packed
from sketchdata.training.run_folder import open_run
from tests.pictures import words_of
from tests.trainings import CLASSES, generated_dataset, network


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generated_dataset(tmp_path_factory.mktemp("evaluation"))


@pytest.fixture(scope="module")
def folder(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run folder with a network that nobody trained; it guesses, and sometimes rightly."""
    out = tmp_path_factory.mktemp("run")
    facts = {"trainer": "recognition", "options": {}, "classes": CLASSES, "manifest": "", "data": str(data)}
    open_run(out, facts, resume=False, context=DistributedContext(device=torch.device("cpu")))
    architecture = Architecture(network=network(), width=8, activation="sigmoid", scale=20.0, classes=CLASSES)
    torch.manual_seed(3)
    encoder = SketchEncoder(architecture)
    nn.init.normal_(encoder.fusion.fuse.weight, std=3)
    write_encoder(out, encoder)
    return out


def test_the_numbers_are_those_of_a_count_by_hand(data: Path, folder: Path) -> None:
    trained, packed = read_encoder(folder), read_packed(data, "gallery")
    found = evaluate(trained, packed, batch_size=7)
    with torch.no_grad():
        scores = trained(trained.view.batch(packed, torch.arange(len(packed))))[1].double().numpy()
    odds = np.exp(scores - scores.max(1, keepdims=True))
    odds /= odds.sum(1, keepdims=True)
    labels, guessed = packed.labels.numpy(), scores.argmax(1)
    assert found["drawings"] == len(labels)
    assert found["top1"] == pytest.approx(np.mean(guessed == labels))
    assert found["top5"] == found["top5_chance"] == 1.0
    assert found["top1_chance"] == pytest.approx(1 / 3)
    confused = {(pair["class"], pair["predicted"]): pair["drawings"] for pair in found["confused"]}
    for row, word in enumerate(CLASSES):
        counts = [np.count_nonzero((labels == row) & (guessed == column)) for column in range(3)]
        assert found["classes"][word]["top1"] == pytest.approx(counts[row] / sum(counts))
        assert all(confused.get((word, CLASSES[place]), 0) == counts[place] for place in range(3) if place != row)
    error, sure = 0.0, odds.max(1)
    for place in range(RELIABILITY_BINS):
        inside = (sure > place / RELIABILITY_BINS) & (sure <= (place + 1) / RELIABILITY_BINS)
        if inside.any():
            error += inside.mean() * abs((guessed == labels)[inside].mean() - sure[inside].mean())
    assert found["ece"] == pytest.approx(error, rel=1e-5)


def test_the_pairs_that_are_confused_most_come_first(data: Path, folder: Path) -> None:
    found = evaluate(read_encoder(folder), read_packed(data, "gallery"))
    counts = [pair["drawings"] for pair in found["confused"]]
    assert all(pair["class"] != pair["predicted"] for pair in found["confused"])
    assert counts == sorted(counts, reverse=True)
    right = sum(own["top1"] * own["drawings"] for own in found["classes"].values())
    assert sum(counts) == pytest.approx(found["drawings"] - right)


@pytest.mark.slow
def test_the_command_writes_its_pages_and_prints_json(data: Path, folder: Path) -> None:
    command = [sys.executable, "-m", "sketchdata", "evaluate", str(folder), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    values = orjson.loads(done.stdout)
    assert values == orjson.loads((folder / JSON_FILE).read_bytes())
    assert values["split"] == "gallery"
    page = (folder / TABLE_FILE).read_text(encoding="utf-8")
    assert f"| top-1 accuracy | {values['top1']:.4f} | 0.3333 |" in page
    assert all(f"| {word} | 12 |" in page for word in CLASSES)
    title = f"Expected calibration error {values['ece']:.4f} over 36 drawings"
    assert {title, "confidence", "accuracy"} <= set(words_of((folder / PICTURE_FILE).read_bytes()))


def test_perfect_calibration_has_no_error() -> None:
    sure = np.array([0.25, 0.75])
    error, rows = calibration(np.array([8, 4]), sure * [8, 4], np.array([2, 3]))
    assert error == 0
    assert [row["accuracy"] for row in rows] == [0.25, 0.75]


def test_drawings_of_other_classes_and_unfinished_trainings_are_refused(
    data: Path, folder: Path, tmp_path: Path
) -> None:
    trained, packed = read_encoder(folder), read_packed(data, "gallery")
    object.__setattr__(packed, "classes", ("cat", "house", "tree"))
    with pytest.raises(ConfigError, match=r"knows 3 classes .* are of 3 \(cat, house, tree…\)"):
        evaluate(trained, packed)
    with pytest.raises(SketchDataError, match=r"is not the folder of a training: it has no run\.json"):
        evaluate_run(tmp_path, None, "gallery", device="cpu", batch_size=8)
    with pytest.raises(SketchDataError, match="its training did not finish"):
        read_encoder(tmp_path)
    with pytest.raises(ConfigError, match="there is no split 'galery'"):
        evaluate_run(folder, None, "galery", device="cpu", batch_size=8)
