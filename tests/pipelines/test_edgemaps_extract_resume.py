"""Extracting may be stopped at any moment, in any way, and by any number of workers it gives the same bytes."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from sketchdata.engine import EngineOptions
from sketchdata.pipelines import edgemaps_extract as recipe
from sketchdata.storage.manifest import Manifest
from tests.commands import sketchdata, start, stop
from tests.crop_sets import make_crops
from tests.trees import tree_sha256

#: Slow enough that there is something to interrupt.
DETECTOR = "slow_edges:find"
SLOW = """
import time
from sketchdata.edges import EDGE_DETECTORS

def find(photo):
    time.sleep(0.01)
    return EDGE_DETECTORS["xdog"](photo)
"""
FIRST_MARKER = ".export/done/all-00000-of-00012.parquet.done.json"


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Crops in twelve shards, beside a slow detector."""
    folder = tmp_path_factory.mktemp("resume") / "crops"
    make_crops(folder, {"apple": 48, "star": 48})
    (folder.parent / "slow_edges.py").write_text(SLOW)
    return folder


@pytest.fixture(autouse=True)
def _slow_detector(crops: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(crops.parent)


@pytest.fixture(scope="module")
def undisturbed(crops: Path) -> str:
    """The tree's hash."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(crops.parent)
        extract(crops, crops.parent / "edges")
    return tree_sha256(crops.parent / "edges")


def extract(crops: Path, out: Path, **engine: Any) -> Manifest | None:
    return recipe.run(crops, recipe.Config(out=out, detector=DETECTOR), EngineOptions(**{"workers": 0, **engine}))


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_stopped_midway_the_same_command_goes_on_to_the_same_tree(
    crops: Path, undisturbed: str, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    out = tmp_path / "edges"
    command = ["edgemaps", "extract", crops, "--out", out, "--workers", 2, "--detector", DETECTOR]
    process = start(*command, env={**os.environ, "PYTHONPATH": str(crops.parent)})
    printed = stop(process, number, (out / FIRST_MARKER).exists)
    assert process.returncode == code, printed
    assert ("the same command resumes" in printed) == (number == signal.SIGINT)
    assert not (out / "manifest.json").exists()
    kept = (out / "data" / "all-00000-of-00012.parquet").stat().st_mtime_ns
    sketchdata(*command)
    assert tree_sha256(out) == undisturbed
    assert (out / "data" / "all-00000-of-00012.parquet").stat().st_mtime_ns == kept


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 3])
def test_any_number_of_workers_gives_the_same_bytes(
    crops: Path, undisturbed: str, tmp_path: Path, workers: int
) -> None:
    assert extract(crops, tmp_path / "edges", workers=workers) is not None
    assert tree_sha256(tmp_path / "edges") == undisturbed


@pytest.mark.slow
def test_a_job_array_gives_the_same_bytes(crops: Path, undisturbed: str, tmp_path: Path) -> None:
    for share in ("0/2", "1/2"):
        assert extract(crops, tmp_path / "edges", engine="slurm", task_range=share) is None
        assert not (tmp_path / "edges" / "manifest.json").exists()
    assert extract(crops, tmp_path / "edges") is not None
    assert tree_sha256(tmp_path / "edges") == undisturbed
