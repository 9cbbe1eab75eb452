"""The options' tables of names are those of what they choose from, and help loads nothing but options."""

from __future__ import annotations

import importlib
import subprocess
import sys
from typing import Any

import pytest
from click.testing import CliRunner

from sketchdata.cli import train
from sketchdata.drawings.raster import MAX_SIZE as LARGEST_RASTER
from sketchdata.trainers.hashing_baselines import METHODS
from sketchdata.trainers.options import BASELINES, PAPER_EDGES, PAPER_SKETCHCODE, SBIR_BASELINES
from sketchdata.trainers.sbir_baselines import METHODS as SBIR
from sketchdata.training import backbones
from sketchdata.training.backbones import MODELS
from sketchdata.training.loop import OPTIMISERS
from sketchdata.training.options import (
    BACKBONES,
    MAX_SIZE,
    OPTIMISER_NAMES,
    TRANSFORMERS,
    ZERO_SHOT_NAMES,
    NetworkOptions,
)
from sketchdata.zero_shot import ZERO_SHOT_METHODS

#: Prints which modules the command line had imported when it ended.
PROGRAM = """
import sys
from sketchdata.cli import main
try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)
"""
TRAINERS = ("edge-detector", "edgemap", "hashing", "hashing-baselines", "recognition", "sbir", "sketchcode", "zsl")


def test_names_in_options_are_the_names_in_the_tables() -> None:
    assert {name: entry.least for name, entry in MODELS.items()} == BACKBONES
    assert backbones.TRANSFORMERS == TRANSFORMERS
    assert tuple(ZERO_SHOT_METHODS) == ZERO_SHOT_NAMES
    assert tuple(OPTIMISERS) == OPTIMISER_NAMES
    assert tuple(METHODS) == BASELINES
    assert tuple(SBIR) == SBIR_BASELINES
    assert MAX_SIZE == LARGEST_RASTER


def test_a_picture_is_as_large_as_its_backbone_was_made_for() -> None:
    assert NetworkOptions().size == 224
    assert NetworkOptions(backbone="sketch-a-net").size == MODELS["sketch-a-net"].size == 225
    assert NetworkOptions(backbone="sketch-a-net", size=96).size == 96


@pytest.mark.parametrize("name", ["recognition", "hashing", "hashing_baselines", "edgemap", "zsl"])
def test_a_preset_s_values_are_taken_by_their_options(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    command, found = getattr(train, name), {}
    trainer = importlib.import_module(f"sketchdata.trainers.{name}")
    monkeypatch.setattr(
        trainer, "run", lambda *given: found.update(vars(given[-1])) or {"stages": [], "recognisers": []}
    )
    flags = ["--data", "d", "--out", "o", "--preset", "paper", "--json"]
    flags += ["--vectors", "v.parquet"] if name == "zsl" else []
    done = CliRunner().invoke(command, flags)
    assert done.exception is None, done.output
    assert found["optimizer"] == ("rmsprop" if name in ("edgemap", "zsl") else "adam")
    assert found["weight_decay"] == 0.0


@pytest.mark.parametrize("name", ["edge_detector", "sketchcode"])
def test_our_own_trainers_take_the_length_of_a_paper_s(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, Any]] = []
    trainer = importlib.import_module(f"sketchdata.trainers.{name}")
    monkeypatch.setattr(
        trainer, "run", lambda *parts: given.append({k: v for part in parts for k, v in vars(part).items()})
    )
    flags = ["--data", "d", "--out", "o", "--preset", "paper", "--json"]
    done = CliRunner().invoke(getattr(train, name), flags)
    assert done.exception is None, done.output
    wanted = {"edge_detector": PAPER_EDGES, "sketchcode": PAPER_SKETCHCODE}[name]["paper"]
    assert wanted.items() <= given[0].items()


@pytest.mark.parametrize("trainer", TRAINERS)
def test_a_trainers_help_imports_neither_torch_nor_any_trainer(trainer: str) -> None:
    command = [sys.executable, "-c", PROGRAM, "train", trainer, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    imported = set(done.stderr.split())
    assert done.returncode == 0
    assert done.stdout.startswith(f"Usage: sketchdata train {trainer}")
    assert "torch" not in imported
    trainers = {name for name in imported if name.startswith("sketchdata.trainers.")}
    assert trainers == {"sketchdata.trainers.options"}
