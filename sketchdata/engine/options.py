"""The options that every command over tasks shares: none of them changes a byte of what is written."""

from __future__ import annotations

import os
from dataclasses import dataclass

import click

from sketchdata.config import option
from sketchdata.errors import ConfigError

ENGINES = ("local", "slurm", "dask")


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """Where and how tasks run."""

    engine: str = option("local", help="Who runs the tasks.", record=False, type=click.Choice(ENGINES))
    workers: int | None = option(
        None,
        help="Processes on this machine; 0 runs everything in this one. Default: the processors this process may use.",
        record=False,
        type=click.IntRange(0, 1024),
    )
    scheduler: str | None = option(
        None, help="Address of the Dask scheduler, such as tcp://host:8786.", record=False, metavar="ADDRESS"
    )
    task_range: str | None = option(
        None,
        help="This job's share of a job array: i/n with i from 0. Default: SLURM's own variables.",
        record=False,
        metavar="I/N",
    )
    wait: float = option(
        0.0,
        help="Seconds that a share waits for the others between two stages, before it leaves the rest to a later call.",
        record=False,
        type=click.FloatRange(0),
    )
    retries: int = option(
        2, help="How often a task is tried again when its worker died.", record=False, type=click.IntRange(0, 100)
    )

    def processes(self) -> int:
        """Return the number of worker processes on this machine."""
        if self.workers is not None:
            return self.workers
        allotted = os.environ.get("SLURM_CPUS_PER_TASK", "")
        return int(allotted) if self.engine == "slurm" and allotted.isdigit() else len(os.sched_getaffinity(0))

    def share(self) -> tuple[int, int]:
        """Return (i, n): this call does every n-th task from the i-th on; (0, 1) is all of them.

        Raises:
            ConfigError: The range cannot be understood, or is given to another engine than slurm.
        """
        if self.engine != "slurm":
            if self.task_range is not None:
                raise ConfigError("--task-range is for --engine slurm")
            return 0, 1
        if self.task_range is not None:
            text = self.task_range
        elif "SLURM_ARRAY_TASK_ID" in os.environ:
            first = int(os.environ.get("SLURM_ARRAY_TASK_MIN", "0"))
            text = f"{int(os.environ['SLURM_ARRAY_TASK_ID']) - first}/{os.environ.get('SLURM_ARRAY_TASK_COUNT', '')}"
        else:
            return 0, 1
        i, _, n = text.partition("/")
        if not (i.isdigit() and n.isdigit() and int(i) < int(n)):
            raise ConfigError(f"--task-range must be i/n with 0 ≤ i < n, such as 3/8, not {text!r}")
        return int(i), int(n)
