"""Stages at module level, as an engine needs them: each writes one small output and may misbehave on the way."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sketchdata.engine import EngineOptions, Task, TaskResult, run
from sketchdata.errors import FormatError
from sketchdata.storage.manifest import file_entry, replacing


def tasks_in(folder: Path, names: Sequence[str], **config: Any) -> list[Task]:
    """Describe one task per name; `runs` in the folder gets a line for every time that one runs."""
    settings = {"runs": str(folder / "runs"), **config}
    return [
        Task(id=name, output=folder / "out" / f"{name}.txt", inputs={name: f"hash of {name}"}, config=settings)
        for name in names
    ]


def shout(task: Task) -> TaskResult:
    """Write the task's id in capitals."""
    with Path(task.config["runs"]).open("a") as runs:
        runs.write(f"{task.id}\n")
    time.sleep(task.config.get("seconds", 0))
    text = task.id.upper() + task.config.get("mark", "")
    with replacing(task.output) as file:
        file.write(text.encode())
    entry = file_entry(task.output, task.output.parent, 1)
    return TaskResult(
        task_id=task.id, files=(entry,), counts={"letters": len(text)}, rejects={"none": 0}, facts={"text": text}
    )


def shout_in_another_way(task: Task) -> TaskResult:
    """Do the same under another name."""
    return shout(task)


def refuse_some(task: Task) -> TaskResult:
    """Meet a fault in the data of the tasks named by `bad`."""
    if task.id in task.config["bad"]:
        raise FormatError("bad letter", f"in {task.id}")
    return shout(task)


def miss_a_file(task: Task) -> TaskResult:
    """Meet an error of the system."""
    if task.id in task.config["bad"]:
        Path(task.config["runs"]).with_name("nowhere").read_bytes()
    return shout(task)


def hit_a_bug(task: Task) -> TaskResult:
    """Raise what no stage should."""
    raise ZeroDivisionError("a bug in a stage")


def die_once(task: Task) -> TaskResult:
    """Be killed the first time, for the tasks named by `bad`, and run through the second."""
    flag = task.output.with_name(f"{task.id}.died")
    if task.id in task.config["bad"] and not flag.exists():
        flag.parent.mkdir(parents=True, exist_ok=True)
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return shout(task)


def die_always(task: Task) -> TaskResult:
    """Be killed every time, for the tasks named by `bad`."""
    if task.id in task.config["bad"]:
        os.kill(os.getpid(), signal.SIGKILL)
    return shout(task)


def main(folder: str, seconds: str, *names: str) -> None:
    """Run `shout` with two workers in a process of its own, for tests that kill it."""
    run(shout, tasks_in(Path(folder), names, seconds=float(seconds)), EngineOptions(workers=2), title="Shouting")


if __name__ == "__main__":
    import sys

    # Under its importable name, as a command's stage would be.
    from tests.engine import stages

    stages.main(*sys.argv[1:])
