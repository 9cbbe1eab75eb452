"""Jobs of an array do disjoint shares of the same tasks, and the last call finds the whole."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from sketchdata.engine import EngineOptions, run
from sketchdata.errors import ConfigError, TasksFailedError
from tests.engine import stages
from tests.engine.stages import tasks_in

ROOT = Path(__file__).parents[2]
NAMES = ["pear", "fig", "apple", "quince", "plum", "kiwi", "lime"]
SCRIPT = """
import sys
from pathlib import Path
from sketchdata.engine import EngineOptions, run
from tests.engine import stages
folder, task_range, wait = Path(sys.argv[1]), sys.argv[2] or None, float(sys.argv[3])
options = EngineOptions(engine="slurm", workers=0, task_range=task_range, wait=wait)
results = run(stages.shout, stages.tasks_in(folder, sys.argv[4:], seconds=0.1), options, title="Shouting")
print("unfinished" if results is None else " ".join(result.facts["text"] for result in results))
"""
ARRAY = "SLURM_ARRAY_TASK_"


def start(
    folder: Path, task_range: str = "", *, wait: float = 0, settings: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, str(folder), task_range, str(wait), *NAMES]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **(settings or {})}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> str:
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return out.strip()


def runs_of(folder: Path) -> list[str]:
    return (folder / "runs").read_text().splitlines()


def share(**settings: str | None) -> tuple[int, int]:
    return EngineOptions(engine="slurm", **settings).share()  # type: ignore[arg-type]


@pytest.mark.slow
def test_shares_given_by_range_do_every_task_once(tmp_path: Path) -> None:
    said = [finish(process) for process in [start(tmp_path, f"{i}/3") for i in range(3)]]
    assert "unfinished" in said
    assert sorted(runs_of(tmp_path)) == sorted(NAMES)
    assert finish(start(tmp_path)) == " ".join(NAMES).upper()
    assert len(runs_of(tmp_path)) == len(NAMES)


@pytest.mark.slow
def test_shares_given_by_slurm_do_every_task_once(tmp_path: Path) -> None:
    array = [{f"{ARRAY}ID": str(i), f"{ARRAY}COUNT": "3", f"{ARRAY}MIN": "1"} for i in (1, 2, 3)]
    for process in [start(tmp_path, settings=settings) for settings in array]:
        finish(process)
    assert sorted(runs_of(tmp_path)) == sorted(NAMES)
    assert finish(start(tmp_path)) == " ".join(NAMES).upper()


@pytest.mark.slow
def test_a_share_that_waits_returns_the_whole(tmp_path: Path) -> None:
    processes = [start(tmp_path, f"{i}/2", wait=30) for i in range(2)]
    assert [finish(process) for process in processes] == [" ".join(NAMES).upper()] * 2


def test_a_share_does_its_tasks_and_says_what_is_missing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    options = EngineOptions(engine="slurm", workers=0, task_range="1/3", wait=0.1)
    assert run(stages.shout, tasks_in(tmp_path, NAMES), options, title="Shouting") is None
    assert runs_of(tmp_path) == NAMES[1::3]
    assert "share 1/3 is done; 5 tasks of other shares are not" in " ".join(capfd.readouterr().err.split())


def test_more_shares_than_tasks_leave_some_with_nothing_to_do(tmp_path: Path) -> None:
    options = EngineOptions(engine="slurm", workers=0, task_range="8/9")
    assert run(stages.shout, tasks_in(tmp_path, NAMES), options, title="Shouting") is None
    assert not (tmp_path / "runs").exists()


def test_a_fault_in_a_share_fails_that_share(tmp_path: Path) -> None:
    tasks = tasks_in(tmp_path, NAMES, bad=["fig"])
    run(stages.refuse_some, tasks, EngineOptions(engine="slurm", workers=0, task_range="0/2"), title="Shouting")
    with pytest.raises(TasksFailedError, match="fig: bad letter"):
        run(stages.refuse_some, tasks, EngineOptions(engine="slurm", workers=0, task_range="1/2"), title="Shouting")


@pytest.mark.parametrize("text", ["", "1", "3/3", "-1/3", "1/0", "a/b", "1/3/5", "1 /3", "1/", "/3", "²/3", "0.5/3"])
def test_a_range_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--task-range must be i/n"):
        share(task_range=text)


@pytest.mark.parametrize("engine", ["local", "dask"])
def test_a_range_is_for_slurm_alone(engine: str) -> None:
    with pytest.raises(ConfigError, match="--task-range is for --engine slurm"):
        EngineOptions(engine=engine, task_range="0/2").share()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, (0, 1)),
        ({"ID": "2", "COUNT": "8"}, (2, 8)),
        ({"ID": "8", "COUNT": "8", "MIN": "1", "MAX": "8", "STEP": "1"}, (7, 8)),
        ({"ID": "14", "COUNT": "8", "MIN": "0", "STEP": "2"}, (7, 8)),
        ({"ID": "13", "COUNT": "4", "MIN": "1", "STEP": "4"}, (3, 4)),
    ],
)
def test_slurms_variables_give_the_share(
    settings: dict[str, str], expected: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(ARRAY + name, value)
    assert share() == expected
    assert share(task_range="1/5") == (1, 5)
    assert EngineOptions(engine="local").share() == (0, 1)


@pytest.mark.parametrize(
    "settings",
    [
        {"ID": "2"},
        {"ID": "", "COUNT": "3"},
        {"ID": "x", "COUNT": "3"},
        {"ID": "3", "COUNT": "3"},
        {"ID": "0", "COUNT": "3", "MIN": "1"},
        {"ID": "9", "COUNT": "3", "MIN": "1", "STEP": "1"},  # --array=1,5,9
        {"ID": "3", "COUNT": "3", "MIN": "0", "STEP": "2"},
        {"ID": "3", "COUNT": "8", "STEP": "0"},
    ],
)
def test_an_array_with_gaps_asks_for_a_range(settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(ARRAY + name, value)
    with pytest.raises(ConfigError, match=r"SLURM_ARRAY_TASK_ID=.*give --task-range i/n"):
        share()
    assert share(task_range="1/5") == (1, 5)


def test_workers_default_to_what_the_machine_or_slurm_allots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "7")
    assert EngineOptions(engine="slurm").processes() == 7
    assert EngineOptions(engine="slurm", workers=3).processes() == 3
    assert EngineOptions().processes() == len(os.sched_getaffinity(0))
