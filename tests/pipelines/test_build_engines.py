"""Every engine, with any number of workers, builds the same bytes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands import sketchdata, start
from tests.dask_clusters import dask_cluster
from tests.quickdraw_builds import CATEGORIES, build, build_command, generate, source_file
from tests.servers import BucketServer
from tests.trees import tree, tree_sha256


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate(tmp_path_factory.mktemp("engines") / "source")


@pytest.fixture(scope="module")
def expected(source: Path) -> str:
    """The tree's hash, built in this process."""
    build(source, source.parent / "out")
    return tree_sha256(source.parent / "out")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1, 2])
def test_any_number_of_workers_gives_the_same_tree(source: Path, expected: str, tmp_path: Path, workers: int) -> None:
    sketchdata(*build_command(source, tmp_path / "out", "--workers", workers))
    assert tree_sha256(tmp_path / "out") == expected


# ---- a job array ----------------------------------------------------------------------------------------------------


def shares(source: Path, out: Path, *more: object, count: int = 3) -> list[str]:
    """Run a job array's shares at once, as separate processes; return what each printed."""
    commands = [
        build_command(source, out, "--engine", "slurm", "--task-range", f"{i}/{count}", "--workers", 1, *more)
        for i in range(count)
    ]
    started = [start(*command) for command in commands]
    printed = [process.communicate(timeout=100)[0] for process in started]
    assert [process.returncode for process in started] == [0] * count, printed
    assert not any("Traceback" in text for text in printed)
    return printed


@pytest.mark.slow
def test_waiting_shares_and_one_last_call_give_the_same_tree(source: Path, expected: str, tmp_path: Path) -> None:
    started = time.monotonic()
    printed = shares(source, tmp_path / "out", "--wait", 60)
    assert time.monotonic() - started < 50, "a share waited for something that never came"
    assert not (tmp_path / "out" / "manifest.json").exists()
    assert any("share" in text or "without a task range" in text for text in printed)
    before = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "out" / "data").iterdir()}
    sketchdata(*build_command(source, tmp_path / "out", "--engine", "slurm", "--workers", 0))
    assert {p.name: p.stat().st_mtime_ns for p in (tmp_path / "out" / "data").iterdir()} == before
    assert tree_sha256(tmp_path / "out") == expected


def test_shares_that_do_not_wait_are_run_once_more_for_the_second_stage(
    source: Path, expected: str, tmp_path: Path
) -> None:
    for i in range(3):
        share = ["--engine", "slurm", "--task-range", f"{i}/3", "--workers", 0]
        sketchdata(*build_command(source, tmp_path / "out", *share))
    for i in (2, 0, 1):
        share = ["--engine", "slurm", "--task-range", f"{i}/3", "--workers", 0]
        sketchdata(*build_command(source, tmp_path / "out", *share))
    assert not (tmp_path / "out" / "manifest.json").exists()
    sketchdata(*build_command(source, tmp_path / "out", "--engine", "slurm", "--workers", 0))
    assert tree_sha256(tmp_path / "out") == expected


def test_a_share_takes_its_number_from_slurm(
    source: Path, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An array of 5-6 has two tasks, and its numbers do not begin at 0.
    for number in (5, 6):
        array = {"SLURM_ARRAY_TASK_ID": number, "SLURM_ARRAY_TASK_COUNT": 2, "SLURM_ARRAY_TASK_MIN": 5}
        with monkeypatch.context() as patch:
            for name, value in array.items():
                patch.setenv(name, str(value))
            sketchdata(*build_command(source, tmp_path / "out", "--engine", "slurm", "--workers", 0))
        selected = len(list((tmp_path / "out" / ".build" / "select").glob("*.arrow")))
        assert selected == {5: 2, 6: 4}[number]
    sketchdata(*build_command(source, tmp_path / "out", "--engine", "slurm", "--workers", 0))
    assert tree_sha256(tmp_path / "out") == expected


def test_the_last_call_does_what_shares_left_undone(source: Path, expected: str, tmp_path: Path) -> None:
    sketchdata(*build_command(source, tmp_path / "out", "--engine", "slurm", "--task-range", "1/3", "--workers", 0))
    sketchdata(*build_command(source, tmp_path / "out", "--engine", "slurm", "--workers", 0))
    assert tree_sha256(tmp_path / "out") == expected


# ---- Dask -----------------------------------------------------------------------------------------------------------


def await_that(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


@pytest.mark.slow
def test_dask_gives_the_same_tree_although_a_worker_is_killed(source: Path, expected: str, tmp_path: Path) -> None:
    with BucketServer(source) as server, dask_cluster(tmp_path / "cluster") as cluster:
        for word in CATEGORIES:
            # Slow enough that the worker dies over a task of its own: about 0.7 s a category.
            path = source_file(source, word)
            server.fault(path.relative_to(source).as_posix(), rate=int(path.stat().st_size / 0.7))
        command = build_command(server.url, Path("out"), "--engine", "dask", "--scheduler", cluster.address)
        process = start(*command, cwd=tmp_path)
        await_that(lambda: len(server.gets()) >= 2)
        os.kill(cluster.workers[0].pid, signal.SIGKILL)
        printed, _ = process.communicate(timeout=100)
    assert process.returncode == 0, printed
    assert "Traceback" not in printed
    assert tree_sha256(tmp_path / "out") == expected
    assert not tree(tmp_path / "cluster").keys() & tree(tmp_path / "out").keys()
