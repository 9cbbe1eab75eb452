"""The one loop around every stage, whatever engine does the mapping."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence

from sketchdata.engine.options import EngineOptions
from sketchdata.engine.task import Outcome, Stage, Task, TaskResult, read_marker, stage_name
from sketchdata.errors import TasksFailedError
from sketchdata.progress import console, task_bar

Engine = Callable[[Stage, Sequence[Task], EngineOptions], Iterator[Outcome]]

_POLL_SECONDS = 0.5
_FAILURES_SHOWN = 20


def run(stage: Stage, tasks: Sequence[Task], options: EngineOptions, *, title: str) -> list[TaskResult] | None:
    """Bring every task to its end and return the results in the tasks' order.

    Tasks whose done-marker is valid do not run again. What finished stays, whatever happens to the others.

    Args:
        stage: A module-level function.
        tasks: All of them, for every call alike: a share is cut from this list.
        options: Engine, workers, share.
        title: What the progress bar says.

    Returns:
        One result a task; None when this call was a share of a job array and other shares are not finished.

    Raises:
        TasksFailedError: Some tasks failed for good, or kept killing their workers.
    """
    name = stage_name(stage)
    done = _finished(tasks, name)
    index, count = options.share()
    todo = [task for task in tasks[index::count] if task.id not in done]
    failures: list[Outcome] = []
    with task_bar() as bar:
        row = bar.add_task(title, total=len(tasks), completed=len(done))
        for outcome in _engine(options)(stage, todo, options):
            if outcome.result is None:
                failures.append(outcome)
            else:
                done[outcome.task_id] = outcome.result
            bar.advance(row)
    if failures:
        raise TasksFailedError(_describe(title, failures, len(tasks)))
    if len(done) < len(tasks):
        done = _await_others(tasks, name, options.wait)
    if len(done) < len(tasks):
        console.print(f"{title}: share {index}/{count} is done; {len(tasks) - len(done)} tasks of other shares are not")
        return None
    return [done[task.id] for task in tasks]


def run_final(stage: Stage, tasks: Sequence[Task], options: EngineOptions, *, title: str) -> list[TaskResult] | None:
    """Run the stage after which an output folder is finished; None when this call is a share of a job array.

    A share never finishes the folder: two that did so at once would clear the work folder away under each other.

    Raises:
        TasksFailedError: As for `run`.
    """
    if options.share()[1] == 1:
        return run(stage, tasks, options, title=title)
    if run(stage, tasks, dataclasses.replace(options, wait=0.0), title=title) is not None:
        console.print(f"{title}: all tasks are done; the same command without a task range finishes the work")
    return None


def _engine(options: EngineOptions) -> Engine:
    if options.engine == "dask":
        from sketchdata.engine import dask

        return dask.outcomes
    # A job of an array is a local run over its share.
    from sketchdata.engine import local

    return local.outcomes


def _finished(tasks: Sequence[Task], name: str) -> dict[str, TaskResult]:
    markers = ((task.id, read_marker(task, name)) for task in tasks)
    return {task_id: result for task_id, result in markers if result is not None}


def _await_others(tasks: Sequence[Task], name: str, seconds: float) -> dict[str, TaskResult]:
    deadline = time.monotonic() + seconds
    while True:
        done = _finished(tasks, name)
        if len(done) == len(tasks) or time.monotonic() >= deadline:
            return done
        time.sleep(_POLL_SECONDS)


def _describe(title: str, failures: Sequence[Outcome], total: int) -> str:
    lines = [f"  {outcome.task_id}: {outcome.error}" for outcome in failures[:_FAILURES_SHOWN]]
    more = len(failures) - len(lines)
    lines += [f"  and {more} more"] if more else []
    head = f"{title}: {len(failures)} of {total} tasks failed; what is finished is kept, and the same command goes on:"
    return "\n".join([head, *lines])
