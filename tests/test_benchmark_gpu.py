"""The benchmark of a GPU, run small on the CPU as its users run it."""

from __future__ import annotations

import dataclasses
import importlib
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from sketchdata.trainers import hashing

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu.py"
TRAIN, VAL = 345 * 9000, 345 * 1000
NETWORKS = ("cnn", "rnn", "cr")
EPOCHS = {
    each.name.removesuffix("_epochs"): each.default
    for each in dataclasses.fields(hashing.Config)
    if each.name.endswith("_epochs")
}


def run(folder: Path, *flags: str, **environment: str) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """Run the script small on one thread; return what it printed, and its JSON."""
    written = folder / "gpu.json"
    command = [sys.executable, str(SCRIPT), "--device", "cpu", "--small", "--workers", "1", "--json", str(written)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    done = subprocess.run([*command, *flags], env=environment, capture_output=True, text=True, check=False)
    return done, json.loads(written.read_text()) if written.exists() else {}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gpu")


@pytest.fixture(scope="module")
def done(folder: Path) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    return run(folder, "--out", str(folder / "gpu.md"))


@pytest.fixture(scope="module")
def report(done: tuple[subprocess.CompletedProcess[str], dict[str, Any]]) -> dict[str, Any]:
    return done[1]


@pytest.mark.slow
def test_a_run_without_failures_exits_with_0_and_prints_what_it_writes(done, folder):
    process, report = done
    assert process.returncode == 0, process.stderr
    assert report["failed"] == []
    assert process.stdout == (folder / "gpu.md").read_text()


@pytest.mark.slow
def test_the_report_names_device_versions_and_sizes(report):
    assert report["device"]["type"] == "cpu"
    assert report["device"]["torch"] == torch.__version__
    assert report["device"]["threads"] == 1
    assert report["plan"]["network"]["size"] == 32
    assert report["memory"]["drawings"] == report["plan"]["classes"] * report["plan"]["drawings"]


@pytest.mark.slow
def test_every_rate_is_a_positive_finite_number_of_its_own(report):
    rates = [row["rate"] for part in ("making", "training") for row in report[part]]
    rates += [row["validation_rate"] for row in report["training"] if row["source"] == "packed drawings"]
    assert all(math.isfinite(rate) and rate > 0 for rate in [*rates, report["peak"]["flops"]])
    assert len(set(rates)) == len(rates)


@pytest.mark.slow
def test_batches_are_made_of_every_kind_and_size(report):
    found = {(row["what"], row["batch"]) for row in report["making"]}
    assert found == {(what, size) for what in ("raster", "sequence", "both") for size in report["plan"]["making"]}


@pytest.mark.slow
def test_every_network_is_trained_from_packed_drawings_and_from_files(report):
    packed = {(row["network"], row["batch"]) for row in report["training"] if row["source"] == "packed drawings"}
    files = {row["network"]: row["source"] for row in report["training"] if row["source"] != "packed drawings"}
    assert packed == {(network, size) for network in NETWORKS for size in report["plan"]["training"]}
    assert files == {"cnn": "PNG files", "rnn": "arrays", "cr": "PNG files, arrays"}
    assert all(math.isfinite(row["loss"]) for row in report["training"])


@pytest.mark.slow
def test_the_share_of_data_and_of_the_peak_follow_from_the_seconds_of_a_step(report):
    for row in report["training"]:
        assert row["rate"] == pytest.approx(row["batch"] / row["seconds"])
        reached = row["operations_a_drawing"] * row["rate"]
        assert row["peak_share"] == pytest.approx(reached / report["peak"]["flops"])
        if row["source"] == "packed drawings":
            assert row["data_share"] == pytest.approx(row["making_seconds"] / row["seconds"])


@pytest.mark.slow
def test_the_operations_of_a_gru_are_those_of_its_matrix_products(report):
    # Per point and direction 3 gates of 8 numbers from 4 numbers and 8 states, forwards and twice backwards, where
    # nothing flows into the 4 numbers themselves; then the classifier of 16 numbers, whose products are three as well.
    a_point = 2 * 2 * (3 * 3 * 8 * (4 + 8) - 3 * 8 * 4)
    classifier = 3 * 2 * 16 * 345
    row = next(row for row in report["training"] if row["network"] == "rnn")
    points = (row["operations_a_drawing"] - classifier) / a_point
    assert 4 < points <= report["plan"]["network"]["max_points"]


@pytest.mark.slow
def test_the_hours_are_those_of_the_trainers_defaults(report):
    rows = {(row["network"], row["batch"]): row for row in report["training"] if row["source"] == "packed drawings"}
    stages = {"cnn": ["cnn"], "rnn": ["rnn"], "cr": ["fusion", "center", "code"]}
    assert sorted(EPOCHS) == sorted(stage for each in stages.values() for stage in each)
    for way in report["schedule"]:
        seconds = TRAIN / rows["cr", way["batch"]]["validation_rate"]
        for network, names in stages.items():
            row, epochs = rows[network, way["batch"]], sum(EPOCHS[name] for name in names)
            seconds += epochs * (TRAIN / row["rate"] + VAL / row["validation_rate"])
        assert way["hours"] == pytest.approx(seconds / 3600)
        # Of zero-shot recognition, on 200 classes, no stage comes after the fusion.
        seconds = sum(
            EPOCHS[stage] * (TRAIN / row["rate"] + VAL / row["validation_rate"])
            for stage, network in (("cnn", "cnn"), ("rnn", "rnn"), ("fusion", "cr"))
            for row in [rows[network, way["batch"]]]
        )
        assert way["zero_shot_hours"] == pytest.approx(seconds * 200 / 345 / 3600)
    assert [way["batch"] for way in report["schedule"]] == report["plan"]["training"]


@pytest.mark.slow
def test_the_tables_show_what_the_report_holds(done):
    process, report = done
    lines = process.stdout.splitlines()
    for row in report["making"]:
        assert f"| {row['what']} | cpu | {row['batch']} | {row['rate']:,.0f} |" in lines
    for row in report["training"]:
        start = f"| {row['network']}, batch {row['batch']} | {row['source']} | {row['rate']:,.0f} |"
        assert sum(line.startswith(start) for line in lines) == 1
    for way in report["schedule"]:
        assert sum(line.startswith(f"| batch {way['batch']} |") for line in lines) == 1
    megabytes = report["memory"]["bytes_of_all"] / 1e6
    assert f"3,105,000 would take {megabytes:,.0f} MB" in process.stdout


def test_a_device_without_memory_is_listed_and_ends_with_1(monkeypatch, tmp_path, capsys):
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    gpu = importlib.import_module("gpu")
    why = "CUDA out of memory. Tried to allocate 2.00 GiB."

    def no_memory(*_arguments: object) -> None:
        raise torch.OutOfMemoryError(f"{why}\nGPU 0 has a total capacity of 1 GiB.")

    monkeypatch.setattr(gpu, "_row_of_packed", no_memory)
    monkeypatch.setattr(gpu, "_measure_files", no_files)
    written = tmp_path / "gpu.json"
    command = ["gpu.py", "--device", "cpu", "--small", "--drawings", "7", "--json", str(written)]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as end:
        gpu.main()
    assert end.value.code == 1
    report = json.loads(written.read_text())
    what = [f"{network}, {size}" for network in NETWORKS for size in report["plan"]["training"]]
    assert [each["what"] for each in report["failed"]] == what
    assert f"Not measured: training, {what[0]}: OutOfMemoryError: {why}\n" in capsys.readouterr().out
    assert report["making"]
    assert report["schedule"] == []
    assert report["memory"]["drawings"] == 7 * report["plan"]["classes"]


def no_files(*_arguments: object) -> None:
    """Stand in for the part that starts processes, which pytest's own threads should not see."""


@pytest.mark.slow
def test_a_module_that_is_missing_is_named_without_a_traceback(tmp_path):
    (tmp_path / "orjson.py").write_text("raise ModuleNotFoundError(\"No module named 'orjson'\", name='orjson')")
    process, _ = run(tmp_path, PYTHONPATH=str(tmp_path))
    assert process.returncode == 1
    assert process.stderr.strip() == "orjson is missing here: pip install 'sketchdata[train]'"
