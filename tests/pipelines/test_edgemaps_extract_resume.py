"""Extracting may be stopped at any moment, in any way, and by any number of workers it gives the same bytes."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sketchdata.engine import EngineOptions
from sketchdata.pipelines import edgemaps_extract as recipe
from tests.crop_sets import make_crops
from tests.trees import tree_sha256

KILLS = 10
#: Slow enough that there is something to interrupt.
DETECTOR = "slow_edges:find"
SLOW = """
import time
from sketchdata.edges import EDGE_DETECTORS

def find(photo):
    time.sleep(0.01)
    return EDGE_DETECTORS["xdog"](photo)
"""
FIRST_MARKER = ".export/done/all-00000-of-00030.parquet.done.json"


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Crops in thirty shards, beside a slow detector."""
    folder = tmp_path_factory.mktemp("resume") / "crops"
    make_crops(folder, {"apple": 120, "star": 120})
    (folder.parent / "slow_edges.py").write_text(SLOW)
    return folder


@pytest.fixture(autouse=True)
def _slow_detector(crops: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(crops.parent)


def command(crops: Path, out: Path) -> list[str]:
    arguments = ["edgemaps", "extract", str(crops), "--out", str(out), "--workers", "2", "--detector", DETECTOR]
    return [sys.executable, "-m", "sketchdata", *arguments]


def start(crops: Path, out: Path) -> subprocess.Popen[str]:
    """Start the command as the leader of its own process group, as a shell does."""
    return subprocess.Popen(
        command(crops, out),
        env={**os.environ, "PYTHONPATH": str(crops.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(crops: Path, out: Path) -> None:
    """Let the command come to its end."""
    process = start(crops, out)
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 0, printed


@pytest.fixture(scope="module")
def undisturbed(crops: Path) -> tuple[str, float]:
    """The tree's hash and the seconds that the command takes."""
    started = time.monotonic()
    finish(crops, crops.parent / "edges")
    return tree_sha256(crops.parent / "edges"), time.monotonic() - started


def test_killed_at_ten_random_moments_it_ends_with_the_same_tree(
    crops: Path, undisturbed: tuple[str, float], tmp_path: Path
) -> None:
    expected, seconds = undisturbed
    out, chance, kills = tmp_path / "edges", random.Random(20210817), 0
    while kills < KILLS:
        process = start(crops, out)
        try:
            process.communicate(timeout=chance.uniform(0.3, 0.95) * seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            kills += 1
            continue
        # It came to its end between two kills: that counts too, and the rest begins afresh.
        assert (process.returncode, tree_sha256(out)) == (0, expected)
        shutil.rmtree(out)
    finish(crops, out)
    assert tree_sha256(out) == expected


def test_ctrl_c_says_so_in_words_and_the_same_command_goes_on(
    crops: Path, undisturbed: tuple[str, float], tmp_path: Path
) -> None:
    out = tmp_path / "edges"
    process = start(crops, out)
    while process.poll() is None and not (out / FIRST_MARKER).exists():
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGINT)
    printed, _ = process.communicate(timeout=30)
    assert process.returncode == 130, printed
    assert "Traceback" not in printed
    assert "the same command goes on" in printed
    assert not (out / "manifest.json").exists()
    kept = (out / "data" / "all-00000-of-00030.parquet").stat().st_mtime_ns
    finish(crops, out)
    assert tree_sha256(out) == undisturbed[0]
    assert (out / "data" / "all-00000-of-00030.parquet").stat().st_mtime_ns == kept


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_any_number_of_workers_gives_the_same_bytes(
    crops: Path, undisturbed: tuple[str, float], tmp_path: Path, workers: int
) -> None:
    config = recipe.Config(out=tmp_path / "edges", detector=DETECTOR)
    assert recipe.run(crops, config, EngineOptions(workers=workers)) is not None
    assert tree_sha256(tmp_path / "edges") == undisturbed[0]


def test_a_job_array_gives_the_same_bytes(crops: Path, undisturbed: tuple[str, float], tmp_path: Path) -> None:
    config = recipe.Config(out=tmp_path / "edges", detector=DETECTOR)
    for share in ("0/2", "1/2"):
        assert recipe.run(crops, config, EngineOptions(engine="slurm", task_range=share, workers=0)) is None
        assert not (tmp_path / "edges" / "manifest.json").exists()
    assert recipe.run(crops, config, EngineOptions(workers=0)) is not None
    assert tree_sha256(tmp_path / "edges") == undisturbed[0]
