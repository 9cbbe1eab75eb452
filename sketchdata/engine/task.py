"""Tasks, their results, and the options of engines: a stage turns a Task into one output and a TaskResult."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

import click
import orjson

from sketchdata import __version__
from sketchdata.config import option
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.storage.manifest import SCHEMA_VERSION, FileEntry, replacing
from sketchdata.storage.records import decode

ENGINES = ("local", "slurm", "dask")


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """Where and how tasks run; these options do not affect the bytes written."""

    engine: str = option("local", help="Engine that runs the tasks.", record=False, type=click.Choice(ENGINES))
    workers: int | None = option(
        None,
        help="Worker processes on this machine; 0 runs everything in the main process. Default: the usable processors.",
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
        help="Seconds that a share waits for the others between two stages; afterwards, a later call does the rest.",
        record=False,
        type=click.FloatRange(0, 31_536_000),
    )
    retries: int = option(2, help="Retries of a task whose worker died.", record=False, type=click.IntRange(0, 100))

    def processes(self) -> int:
        """Return the number of worker processes on this machine."""
        if self.workers is not None:
            return self.workers
        allotted = os.environ.get("SLURM_CPUS_PER_TASK", "")
        return int(allotted) if self.engine == "slurm" and allotted.isdigit() else len(os.sched_getaffinity(0))

    def share(self) -> tuple[int, int]:
        """Return (i, n): this call runs every n-th task from the i-th on; (0, 1) for all tasks.

        Raises:
            ConfigError: The range is invalid, or given for another engine than slurm.
        """
        if self.engine != "slurm":
            if self.task_range is not None:
                raise ConfigError("--task-range is for --engine slurm")
            return 0, 1
        if self.task_range is not None:
            i, _, n = self.task_range.partition("/")
            if not (i.isdecimal() and n.isdecimal() and int(i) < int(n)):
                raise ConfigError(f"--task-range must be i/n with 0 ≤ i < n, such as 3/8, not {self.task_range!r}")
            return int(i), int(n)
        if "SLURM_ARRAY_TASK_ID" not in os.environ:
            return 0, 1
        # Such as --array=0-7, --array=1-8 or --array=0-14:2.
        settings = {name: os.environ.get(f"SLURM_ARRAY_TASK_{name}", "") for name in ("ID", "MIN", "STEP", "COUNT")}
        try:
            first, step, count = int(settings["MIN"] or 0), int(settings["STEP"] or 1), int(settings["COUNT"])
            index, rest = divmod(int(settings["ID"]) - first, step)
        except (ValueError, ZeroDivisionError):
            index, rest, count = 0, 0, 0
        if rest or not 0 <= index < count:
            found = ", ".join(f"SLURM_ARRAY_TASK_{name}={value}" for name, value in settings.items())
            raise ConfigError(
                f"{found} do not come from a regular job array such as --array=0-7: give --task-range i/n"
            )
        return index, count


@dataclass(frozen=True, kw_only=True)
class Task:
    """One unit of work, which makes one output.

    Attributes:
        id: Unique in its stage, and derived from the input, never from a position or rank: adding tasks or workers must
            not change the ids of finished tasks.
        output: The file that the task writes; it may write others beside it.
        inputs: {name: hash or other identity} of everything that it reads.
        config: The options of the stage; plain data, since they are pickled and hashed into the fingerprint.
        markers: Folder of the done-marker. Default: beside the output.
    """

    id: str
    output: Path
    inputs: Mapping[str, str]
    config: Mapping[str, Any]
    markers: Path | None = None

    def fingerprint(self, stage: str) -> str:
        """Return a hash of everything that affects the output: inputs, config, stage, layout and tool version."""
        parts = [stage, SCHEMA_VERSION, __version__, self.id, sorted(self.inputs.items()), self.config]
        encoded = orjson.dumps(parts, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS, default=str)
        return hashlib.sha256(encoded).hexdigest()

    @property
    def marker(self) -> Path:
        """The path of the done-marker."""
        return (self.markers or self.output.parent) / f"{self.output.name}.done.json"


@dataclass(frozen=True, kw_only=True)
class TaskResult:
    """The result of a task.

    Attributes:
        task_id: The task's id.
        files: The files written, with paths relative to the output's folder.
        counts: Numbers for the manifest, such as lines read.
        rejects: {reason: number of rejected records}.
        facts: Other data that a later stage or the manifest needs; plain JSON data, the same in every run.
        seconds: The time the task took; never part of a data set.
    """

    task_id: str
    files: tuple[FileEntry, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    rejects: Mapping[str, int] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


#: A module-level function, pure except for its output.
Stage = Callable[[Task], TaskResult]


@dataclass(frozen=True, kw_only=True)
class TaskOutcome:
    """The outcome of a task: a result, or an error message."""

    task_id: str
    result: TaskResult | None = None
    error: str = ""


def stage_name(stage: Stage) -> str:
    """Return the stage's name, which does not depend on how its module was imported."""
    return f"{stage.__module__.rpartition('.')[2]}.{stage.__qualname__}"


def execute(stage: Stage, task: Task) -> TaskOutcome:
    """Run one task in a worker of an engine, and mark it as done."""
    started = time.perf_counter()
    try:
        result = stage(task)
    except (SketchDataError, OSError) as error:
        # Known errors are returned as text: they are final, and the user sees no traceback of a worker.
        return TaskOutcome(task_id=task.id, error=str(error) or type(error).__name__)
    result = dataclasses.replace(result, seconds=time.perf_counter() - started)
    write_marker(task, stage_name(stage), result)
    return TaskOutcome(task_id=task.id, result=result)


def write_marker(task: Task, stage: str, result: TaskResult) -> None:
    """Record that a task is done. This comes last: a valid marker means that the output is complete."""
    content = {"fingerprint": task.fingerprint(stage), "result": dataclasses.asdict(result)}
    with replacing(task.marker) as file:
        file.write(orjson.dumps(content))


class _Marker(TypedDict):
    fingerprint: str
    result: TaskResult


def read_marker(task: Task, stage: str) -> TaskResult | None:
    """Return a finished task's result, or None if the task must run (again)."""
    try:
        marker = decode(task.marker.read_bytes(), _Marker, task.marker)
        result = marker["result"]
        whole = all((task.output.parent / f.path).stat().st_size == f.bytes for f in result.files)
    except (OSError, SketchDataError):
        return None
    return result if whole and marker["fingerprint"] == task.fingerprint(stage) else None
