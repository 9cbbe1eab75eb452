"""What an engine moves: a Task describes one output, a stage makes it, a TaskResult says what came of it."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from sketchdata.errors import SketchDataError
from sketchdata.storage.manifest import FileEntry, replacing
from sketchdata.version import SCHEMA_VERSION, __version__


@dataclass(frozen=True, kw_only=True)
class Task:
    """One unit of work, which makes one output.

    Attributes:
        id: Unique within its stage, and made from the input, never from a position or a rank: adding work or workers
            must not rename what is already done.
        output: The file it makes; others may lie beside it.
        inputs: {name: hash or other identity} of everything that it reads.
        config: What the stage needs to know; plain data, since it is pickled and put into the fingerprint.
        markers: Folder of the done-marker. Default: beside the output.
    """

    id: str
    output: Path
    inputs: Mapping[str, str]
    config: Mapping[str, Any]
    markers: Path | None = None

    def fingerprint(self, stage: str) -> str:
        """Hash all that decides the output: inputs, config, stage, layout and tool version."""
        parts = [stage, SCHEMA_VERSION, __version__, self.id, sorted(self.inputs.items()), self.config]
        encoded = orjson.dumps(parts, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS, default=str)
        return hashlib.sha256(encoded).hexdigest()

    @property
    def marker(self) -> Path:
        """The done-marker's path."""
        return (self.markers or self.output.parent) / f"{self.output.name}.done.json"


@dataclass(frozen=True, kw_only=True)
class TaskResult:
    """What a task made.

    Attributes:
        task_id: The task's id.
        files: The files written, paths relative to the output's folder.
        counts: Numbers for the manifest, such as lines read.
        rejects: {reason: records} refused.
        facts: Anything else that a later stage or the manifest needs; plain JSON data, the same on every run.
        seconds: How long it took; never part of a data set.
    """

    task_id: str
    files: tuple[FileEntry, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    rejects: Mapping[str, int] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


#: A module-level function, pure but for its one output.
Stage = Callable[[Task], TaskResult]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a task ended: with a result, or with an error for the user to read."""

    task_id: str
    result: TaskResult | None = None
    error: str = ""


def stage_name(stage: Stage) -> str:
    """Return a name that is the same however the stage's module was imported."""
    return f"{stage.__module__.rpartition('.')[2]}.{stage.__qualname__}"


def execute(stage: Stage, task: Task) -> Outcome:
    """Run one task where an engine put it, and mark it as done."""
    started = time.perf_counter()
    try:
        result = stage(task)
    except (SketchDataError, OSError) as error:
        # Known faults travel as text: they are final, and no traceback of a worker reaches the user.
        return Outcome(task_id=task.id, error=str(error) or type(error).__name__)
    result = dataclasses.replace(result, seconds=time.perf_counter() - started)
    write_marker(task, stage_name(stage), result)
    return Outcome(task_id=task.id, result=result)


def write_marker(task: Task, stage: str, result: TaskResult) -> None:
    """Record that a task is done. Comes last: with a valid marker the output is whole."""
    content = {"fingerprint": task.fingerprint(stage), "result": dataclasses.asdict(result)}
    with replacing(task.marker) as file:
        file.write(orjson.dumps(content))


def read_marker(task: Task, stage: str) -> TaskResult | None:
    """Return a finished task's result, or None when it must run (again)."""
    try:
        content = orjson.loads(task.marker.read_bytes())
        if content["fingerprint"] != task.fingerprint(stage):
            return None
        values = content["result"]
        values["files"] = tuple(FileEntry(**entry) for entry in values["files"])
        result = TaskResult(**values)
        whole = all((task.output.parent / f.path).stat().st_size == f.bytes for f in result.files)
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        return None
    return result if whole else None
