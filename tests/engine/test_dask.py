"""Tasks on a real Dask cluster of processes on this machine."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sketchdata.engine import EngineOptions, run
from sketchdata.errors import ConfigError, TasksFailedError
from tests.dask_clusters import Cluster, dask_cluster
from tests.engine import stages
from tests.engine.stages import tasks_in

pytest.importorskip("distributed")

NAMES = ["pear", "fig", "apple", "quince", "plum", "kiwi", "lime", "date"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with dask_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


def runs_of(folder: Path) -> list[str]:
    return (folder / "runs").read_text().splitlines()


@pytest.mark.slow
def test_results_are_those_of_a_local_run_and_done_tasks_do_not_run_again(tmp_path: Path, cluster: Cluster) -> None:
    tasks = tasks_in(tmp_path, NAMES)
    results = run(stages.shout, tasks, cluster.options, title="Shouting")
    assert results is not None
    assert [(result.task_id, result.facts["text"]) for result in results] == [(n, n.upper()) for n in NAMES]
    assert run(stages.shout, tasks, cluster.options, title="Shouting") == results
    assert run(stages.shout, tasks, EngineOptions(workers=0), title="Shouting") == results
    assert sorted(runs_of(tmp_path)) == sorted(NAMES)


@pytest.mark.slow
def test_faults_and_bugs_are_named_and_the_others_are_kept(tmp_path: Path, cluster: Cluster) -> None:
    tasks = tasks_in(tmp_path, NAMES, bad=["fig"])
    with pytest.raises(TasksFailedError, match=r"1 of 8 tasks failed.*\n  fig: bad letter: in fig"):
        run(stages.refuse_some, tasks, cluster.options, title="Shouting")
    assert sorted(runs_of(tmp_path)) == sorted(set(NAMES) - {"fig"})
    with pytest.raises(TasksFailedError, match=r"fig: .*a bug in a stage"):
        run(stages.hit_a_bug, tasks[1:2], cluster.options, title="Shouting")


@pytest.mark.slow
def test_another_stage_over_the_same_tasks_is_another_run(tmp_path: Path, cluster: Cluster) -> None:
    tasks = tasks_in(tmp_path, NAMES[:2])
    run(stages.shout, tasks, cluster.options, title="Shouting")
    run(stages.shout_in_another_way, tasks, cluster.options, title="Shouting")
    assert sorted(runs_of(tmp_path)) == sorted(NAMES[:2] * 2)


@pytest.mark.slow
def test_the_tasks_of_a_killed_worker_are_finished_by_the_other(tmp_path: Path) -> None:
    with dask_cluster(tmp_path / "cluster") as cluster:
        tasks = tasks_in(tmp_path, NAMES, seconds=0.3)
        killed = threading.Thread(target=_kill_after_the_first_task, args=(tmp_path, cluster.workers[0]))
        killed.start()
        results = run(stages.shout, tasks, cluster.options, title="Shouting")
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
    with dask_cluster(tmp_path / "cluster") as cluster:
        tasks = tasks_in(tmp_path, NAMES, seconds=0.3)
        killed = threading.Thread(target=_kill_after_the_first_task, args=(tmp_path, cluster.scheduler))
        killed.start()
        with pytest.raises(TasksFailedError, match=r"of 8 tasks failed(.*\n)+.*the Dask scheduler went away"):
            run(stages.shout, tasks, cluster.options, title="Shouting")
        killed.join()
    assert any(task.marker.exists() for task in tasks)
