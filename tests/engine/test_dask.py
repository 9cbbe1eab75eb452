"""Tasks on a real Dask cluster of processes on this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sketchdata.engine import EngineOptions, run
from sketchdata.errors import ConfigError, TasksFailedError
from tests.engine import stages
from tests.engine.stages import tasks_in

pytest.importorskip("distributed")

ROOT = Path(__file__).parents[2]
NAMES = ["pear", "fig", "apple", "quince", "plum", "kiwi", "lime", "date"]


class Cluster:
    """A scheduler and its workers, each a process of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-show", "--no-dashboard")
        self.address = self._read_address()
        self.workers = [self._start_worker(number) for number in range(2)]

    def _start(self, kind: str, *settings: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "distributed.cli.dask_" + kind, *settings]
        if kind == "scheduler":
            command += ["--scheduler-file", str(self._folder / "scheduler.json")]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
        with (self._folder / "log").open("ab") as log:
            process = subprocess.Popen(command, env=environment, cwd=self._folder, stdout=log, stderr=log)
        self._processes.append(process)
        return process

    def _start_worker(self, number: int) -> subprocess.Popen[bytes]:
        local = str(self._folder / f"worker-{number}")
        settings = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", local)
        return self._start("worker", self.address, *settings)

    def _read_address(self) -> str:
        path, deadline = self._folder / "scheduler.json", time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                return str(json.loads(path.read_text())["address"])
            except (OSError, ValueError):
                time.sleep(0.05)
        raise AssertionError((self._folder / "log").read_text())

    def stop(self) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()


@contextmanager
def running(folder: Path) -> Iterator[Cluster]:
    folder.mkdir(exist_ok=True)
    cluster = Cluster(folder)
    try:
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


def on(cluster: Cluster) -> EngineOptions:
    return EngineOptions(engine="dask", scheduler=cluster.address)


def runs_of(folder: Path) -> list[str]:
    return (folder / "runs").read_text().splitlines()


@pytest.mark.slow
def test_results_are_those_of_a_local_run_and_done_tasks_do_not_run_again(tmp_path: Path, cluster: Cluster) -> None:
    tasks = tasks_in(tmp_path, NAMES)
    results = run(stages.shout, tasks, on(cluster), title="Shouting")
    assert results is not None
    assert [(result.task_id, result.facts["text"]) for result in results] == [(n, n.upper()) for n in NAMES]
    assert run(stages.shout, tasks, on(cluster), title="Shouting") == results
    assert run(stages.shout, tasks, EngineOptions(workers=0), title="Shouting") == results
    assert sorted(runs_of(tmp_path)) == sorted(NAMES)


@pytest.mark.slow
def test_faults_and_bugs_are_named_and_the_others_are_kept(tmp_path: Path, cluster: Cluster) -> None:
    tasks = tasks_in(tmp_path, NAMES, bad=["fig"])
    with pytest.raises(TasksFailedError, match=r"1 of 8 tasks failed.*\n  fig: bad letter: in fig"):
        run(stages.refuse_some, tasks, on(cluster), title="Shouting")
    assert sorted(runs_of(tmp_path)) == sorted(set(NAMES) - {"fig"})
    with pytest.raises(TasksFailedError, match=r"fig: .*a bug in a stage"):
        run(stages.hit_a_bug, tasks[1:2], on(cluster), title="Shouting")


@pytest.mark.slow
def test_another_stage_over_the_same_tasks_is_another_run(tmp_path: Path, cluster: Cluster) -> None:
    tasks = tasks_in(tmp_path, NAMES[:2])
    run(stages.shout, tasks, on(cluster), title="Shouting")
    run(stages.shout_in_another_way, tasks, on(cluster), title="Shouting")
    assert sorted(runs_of(tmp_path)) == sorted(NAMES[:2] * 2)


@pytest.mark.slow
def test_the_tasks_of_a_killed_worker_are_finished_by_the_other(tmp_path: Path) -> None:
    with running(tmp_path / "cluster") as cluster:
        tasks = tasks_in(tmp_path, NAMES, seconds=0.3)
        killed = threading.Thread(target=_kill_after_the_first_task, args=(tmp_path, cluster.workers[0]))
        killed.start()
        results = run(stages.shout, tasks, on(cluster), title="Shouting")
        killed.join()
        assert cluster.workers[0].wait(5) == -signal.SIGKILL
    assert results is not None
    assert [result.facts["text"] for result in results] == [name.upper() for name in NAMES]


def _kill_after_the_first_task(folder: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while not any((folder / "out").glob("*.done.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()


@pytest.mark.slow
def test_no_scheduler_named_or_there_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[run.__module__], "_CONNECT_SECONDS", 1)
    tasks = tasks_in(tmp_path, NAMES)
    for scheduler in (None, "nonsense://x", "http://127.0.0.1:8786"):
        with pytest.raises(ConfigError, match="--engine dask needs --scheduler"):
            run(stages.shout, tasks, EngineOptions(engine="dask", scheduler=scheduler), title="Shouting")
    for address in ("tcp://127.0.0.1:1", "127.0.0.1:99999"):
        with pytest.raises(ConfigError, match="no Dask scheduler answers at"):
            run(stages.shout, tasks, EngineOptions(engine="dask", scheduler=address), title="Shouting")


def test_nothing_to_do_needs_no_scheduler(tmp_path: Path) -> None:
    tasks = tasks_in(tmp_path, NAMES[:1])
    run(stages.shout, tasks, EngineOptions(workers=0), title="Shouting")
    nowhere = EngineOptions(engine="dask", scheduler="tcp://127.0.0.1:1")
    assert len(run(stages.shout, tasks, nowhere, title="Shouting") or []) == 1


@pytest.mark.slow
def test_a_scheduler_that_goes_away_ends_the_run_with_what_is_done(tmp_path: Path) -> None:
    with running(tmp_path / "cluster") as cluster:
        tasks = tasks_in(tmp_path, NAMES, seconds=0.3)
        killed = threading.Thread(target=_kill_after_the_first_task, args=(tmp_path, cluster.scheduler))
        killed.start()
        with pytest.raises(TasksFailedError, match=r"of 8 tasks failed(.*\n)+.*the Dask scheduler went away"):
            run(stages.shout, tasks, on(cluster), title="Shouting")
        killed.join()
    assert any(task.marker.exists() for task in tasks)
