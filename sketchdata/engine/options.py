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
        if self.task_range is None:
            return _share_of_array() if "SLURM_ARRAY_TASK_ID" in os.environ else (0, 1)
        i, _, n = self.task_range.partition("/")
        if not (i.isdecimal() and n.isdecimal() and int(i) < int(n)):
            raise ConfigError(f"--task-range must be i/n with 0 ≤ i < n, such as 3/8, not {self.task_range!r}")
        return int(i), int(n)


def _share_of_array() -> tuple[int, int]:
    """Return this job's (i, n) in SLURM's job array, such as --array=0-7, --array=1-8 or --array=0-14:2."""
    settings = {name: os.environ.get(f"SLURM_ARRAY_TASK_{name}", "") for name in ("ID", "MIN", "STEP", "COUNT")}
    try:
        number = int(settings["ID"]) - int(settings["MIN"] or 0)
        i, rest = divmod(number, int(settings["STEP"] or 1))
        n = int(settings["COUNT"])
    except (ValueError, ZeroDivisionError):
        i, rest, n = 0, 0, 0
    if rest or not 0 <= i < n:
        found = ", ".join(f"SLURM_ARRAY_TASK_{name}={value}" for name, value in settings.items())
        raise ConfigError(f"{found} are not those of an even job array such as --array=0-7: give --task-range i/n")
    return i, n
