"""Tasks on this machine end the same with any number of workers, and survive faults, kills and Ctrl-C."""

from __future__ import annotations

import dataclasses
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from sketchdata.engine import EngineOptions, Stage, Task, TaskResult, run
from sketchdata.errors import TasksFailedError
from tests.engine import stages
from tests.engine.stages import tasks_in

ROOT = Path(__file__).parents[2]
NAMES = ["pear", "fig", "apple", "quince", "plum", "kiwi"]
WORKERS = pytest.mark.parametrize("workers", [0, 1, 2])


def go(stage: Stage, tasks: Sequence[Task], workers: int = 0, retries: int = 2) -> list[TaskResult]:
    results = run(stage, tasks, EngineOptions(workers=workers, retries=retries), title="Working")
    assert results is not None
    return results


def runs_of(folder: Path) -> list[str]:
    path = folder / "runs"
    return path.read_text().splitlines() if path.exists() else []


def without_seconds(results: Sequence[TaskResult]) -> list[TaskResult]:
    return [dataclasses.replace(result, seconds=0) for result in results]


def wait_until(happened: object, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not happened():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


@WORKERS
def test_results_and_files_are_the_same_with_any_number_of_workers(tmp_path: Path, workers: int) -> None:
    results = go(stages.shout, tasks_in(tmp_path, NAMES), workers)
    assert [result.task_id for result in results] == NAMES
    assert [result.facts["text"] for result in results] == [name.upper() for name in NAMES]
    assert [(tmp_path / "out" / f"{name}.txt").read_text() for name in NAMES] == [name.upper() for name in NAMES]
    assert sorted(runs_of(tmp_path)) == sorted(NAMES)
    assert not list((tmp_path / "out").glob(".*"))


@pytest.mark.slow
@WORKERS
def test_done_tasks_do_not_run_again_and_give_the_same_results(tmp_path: Path, workers: int) -> None:
    tasks = tasks_in(tmp_path, NAMES)
    first = go(stages.shout, tasks, workers)
    assert go(stages.shout, tasks, workers) == first
    assert len(runs_of(tmp_path)) == len(NAMES)


def test_no_tasks_have_no_results(tmp_path: Path) -> None:
    assert go(stages.shout, [], 2) == []


def test_a_task_runs_again_when_anything_that_decides_its_output_changed(tmp_path: Path) -> None:
    (task,) = tasks_in(tmp_path, ["fig"])
    changed = [
        (stages.shout, dataclasses.replace(task, inputs={"fig": "another hash"})),
        (stages.shout, dataclasses.replace(task, inputs={**task.inputs, "more": "x"})),
        (stages.shout, dataclasses.replace(task, config={**task.config, "mark": "!"})),
        (stages.shout, dataclasses.replace(task, id="raisin")),
        (stages.shout_in_another_way, task),
    ]
    for count, (stage, other) in enumerate(changed):
        go(stages.shout, [task])
        assert len(runs_of(tmp_path)) == 2 * count + 1
        go(stage, [other])
        assert len(runs_of(tmp_path)) == 2 * count + 2


def test_adding_tasks_runs_only_the_new_ones(tmp_path: Path) -> None:
    go(stages.shout, tasks_in(tmp_path, NAMES[:3]))
    go(stages.shout, tasks_in(tmp_path, list(reversed(NAMES))))
    assert runs_of(tmp_path) == [*NAMES[:3], *reversed(NAMES[3:])]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b'{"fingerprint": "x"}', b'"text"', b"\xff", b'{"fingerprint":1,"result":2}']
)
def test_a_broken_marker_means_that_the_task_runs_again(tmp_path: Path, content: bytes) -> None:
    (task,) = tasks_in(tmp_path, ["fig"])
    go(stages.shout, [task])
    task.marker.write_bytes(content)
    go(stages.shout, [task])
    assert runs_of(tmp_path) == ["fig", "fig"]


@pytest.mark.parametrize("damage", ["missing", "longer", "empty"])
def test_a_damaged_output_is_made_again(tmp_path: Path, damage: str) -> None:
    (task,) = tasks_in(tmp_path, ["fig"])
    go(stages.shout, [task])
    task.output.unlink() if damage == "missing" else task.output.write_text("" if damage == "empty" else "FIGS")
    go(stages.shout, [task])
    assert task.output.read_text() == "FIG"


def test_markers_may_lie_in_a_folder_of_their_own(tmp_path: Path) -> None:
    tasks = [dataclasses.replace(task, markers=tmp_path / "markers") for task in tasks_in(tmp_path, NAMES)]
    go(stages.shout, tasks)
    assert len(list((tmp_path / "markers").iterdir())) == len(list((tmp_path / "out").iterdir())) == len(NAMES)


@pytest.mark.slow
@WORKERS
def test_a_fault_names_its_task_and_the_others_are_kept(tmp_path: Path, workers: int) -> None:
    tasks = tasks_in(tmp_path, NAMES, bad=["fig", "plum"])
    with pytest.raises(TasksFailedError) as caught:
        go(stages.refuse_some, tasks, workers)
    assert "Working: 2 of 6 tasks failed" in str(caught.value)
    assert "fig: bad letter: in fig" in str(caught.value)
    assert "plum: bad letter: in plum" in str(caught.value)
    good = [name for name in NAMES if name not in ("fig", "plum")]
    assert sorted(runs_of(tmp_path)) == sorted(good)
    with pytest.raises(TasksFailedError):
        go(stages.refuse_some, tasks, workers)
    assert sorted(runs_of(tmp_path)) == sorted(good)  # faults are tried again, what is done is not


@WORKERS
def test_an_error_of_the_system_is_a_failure_of_its_task(tmp_path: Path, workers: int) -> None:
    with pytest.raises(TasksFailedError, match=r"1 of 6 tasks failed.*\n.*kiwi: .*No such file"):
        go(stages.miss_a_file, tasks_in(tmp_path, NAMES, bad=["kiwi"]), workers)


def test_only_the_first_of_very_many_failures_are_listed(tmp_path: Path) -> None:
    names = [f"task-{number:03}" for number in range(50)]
    with pytest.raises(TasksFailedError, match=r"50 of 50 tasks failed") as caught:
        go(stages.refuse_some, tasks_in(tmp_path, names, bad=names))
    assert str(caught.value).endswith("and 30 more")


def test_a_bug_in_a_stage_is_shown_as_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        go(stages.hit_a_bug, tasks_in(tmp_path, ["fig"]), workers=0)
    with pytest.raises(RuntimeError, match=r"(?s)task fig .*ZeroDivisionError: a bug in a stage"):
        go(stages.hit_a_bug, tasks_in(tmp_path, ["fig"]), workers=1)
    assert not psutil.Process().children(recursive=True) or all(
        "resource_tracker" in " ".join(child.cmdline()) for child in psutil.Process().children(recursive=True)
    )


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_task_whose_worker_is_killed_is_tried_again(tmp_path: Path, workers: int) -> None:
    results = go(stages.die_once, tasks_in(tmp_path, NAMES, bad=["fig", "kiwi"]), workers)
    assert [result.task_id for result in results] == NAMES
    assert sorted(runs_of(tmp_path)) == sorted(NAMES)  # none of the others ran twice


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("retries", [0, 1])
def test_a_task_that_always_kills_its_worker_fails_alone(tmp_path: Path, workers: int, retries: int) -> None:
    with pytest.raises(TasksFailedError) as caught:
        go(stages.die_always, tasks_in(tmp_path, NAMES, bad=["fig"]), workers, retries)
    assert "1 of 6 tasks failed" in str(caught.value)
    assert f"fig: its worker process died {retries + 1} times" in str(caught.value)
    assert sorted(runs_of(tmp_path)) == sorted(set(NAMES) - {"fig"})


def start(folder: Path, seconds: float, names: Sequence[str]) -> subprocess.Popen[str]:
    """Start a run of tasks that take so long, in a process group of its own."""
    command = [sys.executable, "-m", "tests.engine.stages", str(folder), str(seconds), *names]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


@pytest.fixture
def started(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a run of long tasks."""
    process = start(tmp_path, 0.7, NAMES)
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def first_is_done(folder: Path) -> bool:
    return any((folder / "out").glob("*.done.json"))


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return [p for p in psutil.Process(process.pid).children(recursive=True) if "spawn_main" in " ".join(p.cmdline())]


@pytest.mark.slow
def test_no_worker_outlives_a_killed_parent(tmp_path: Path, started: subprocess.Popen[str]) -> None:
    wait_until(lambda: first_is_done(tmp_path))
    workers = workers_of(started)
    assert len(workers) == 2
    started.kill()
    started.wait()
    assert not psutil.wait_procs(workers, timeout=5)[1]
    tasks = tasks_in(tmp_path, NAMES, seconds=0.7)
    done = [task.id for task in tasks if task.marker.exists()]
    runs = len(runs_of(tmp_path))
    assert len(go(stages.shout, tasks, 2)) == len(NAMES)
    assert sorted(runs_of(tmp_path)[runs:]) == sorted(set(NAMES) - set(done))


@pytest.mark.slow
def test_killed_again_and_again_it_ends_with_the_files_of_an_undisturbed_run(tmp_path: Path) -> None:
    names, chance = [f"{name} {n}" for name in NAMES for n in range(6)], random.Random(20170301)
    for folder in ("killed", "whole"):
        (tmp_path / folder).mkdir()
    tasks = tasks_in(tmp_path / "killed", names, seconds=0.2)
    done = set[str]()
    for _ in range(5):
        process = start(tmp_path / "killed", 0.2, names)
        wait_until(lambda: {task.id for task in tasks if task.marker.exists()} > done)  # noqa: B023
        time.sleep(chance.uniform(0, 0.2))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        done = {task.id for task in tasks if task.marker.exists()}
    runs = len(runs_of(tmp_path / "killed"))
    results = go(stages.shout, tasks, 2)
    assert sorted(runs_of(tmp_path / "killed")[runs:]) == sorted(set(names) - done)
    expected = go(stages.shout, tasks_in(tmp_path / "whole", names))
    assert without_seconds(results) == without_seconds(expected)
    assert [task.output.read_bytes() for task in tasks] == [name.upper().encode() for name in names]


@pytest.mark.slow
def test_ctrl_c_ends_everything_at_once_and_keeps_what_is_done(tmp_path: Path, started: subprocess.Popen[str]) -> None:
    wait_until(lambda: first_is_done(tmp_path))
    workers = workers_of(started)
    before = time.monotonic()
    os.killpg(started.pid, signal.SIGINT)
    _, errors = started.communicate(timeout=10)
    assert time.monotonic() - before < 3
    assert not psutil.wait_procs(workers, timeout=1)[1]
    assert errors.count("Traceback") == 1  # the parent's own, which the command line turns into a sentence
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert first_is_done(tmp_path)


@pytest.mark.parametrize("seconds", [0, 0.03, 0.06, 0.1])
def test_ctrl_c_while_workers_start_shows_nothing_of_them(
    tmp_path: Path, started: subprocess.Popen[str], seconds: float
) -> None:
    wait_until(lambda: workers_of(started))
    time.sleep(seconds)
    os.killpg(started.pid, signal.SIGINT)
    _, errors = started.communicate(timeout=10)
    assert errors.count("Traceback") == 1
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert "spawn_main" not in errors
