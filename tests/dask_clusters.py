"""A Dask cluster of real processes on the loopback interface."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sketchdata.engine import EngineOptions

ROOT = Path(__file__).parents[1]


class Cluster:
    """A scheduler and its two workers, each a process of its own that runs in the cluster's folder.

    Attributes:
        address: The scheduler's.
        options: To run stages there.
    """

    def __init__(self, folder: Path) -> None:
        pytest.importorskip("distributed", reason="the dask extra is not installed")
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-show", "--no-dashboard")
        self.address = self._read_address()
        self.options = EngineOptions(engine="dask", scheduler=self.address)
        self.workers = [self._start_worker(number) for number in range(2)]

    def _start(self, kind: str, *settings: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "distributed.cli.dask_" + kind, *settings]
        if kind == "scheduler":
            command += ["--scheduler-file", str(self._folder / "scheduler.json")]
        # Stages of tests are imported by the workers, which run in another folder than the command.
        paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        environment = {**os.environ, "PYTHONPATH": paths, "PYTHONWARNINGS": "ignore"}
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
def dask_cluster(folder: Path) -> Iterator[Cluster]:
    """Run a cluster until the block ends."""
    cluster = Cluster(folder)
    try:
        yield cluster
    finally:
        cluster.stop()
