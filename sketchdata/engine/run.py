"""The loop around every stage, for all engines: processes of this machine, or a Dask cluster."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Iterator, Sequence

from sketchdata.engine import local
from sketchdata.engine.task import EngineOptions, Stage, Task, TaskOutcome, TaskResult, execute, read_marker, stage_name
from sketchdata.errors import ConfigError, TasksFailedError
from sketchdata.progress import console, task_bar

_CONNECT_SECONDS = 30
_SCHEMES = ("tcp", "tls", "ucx", "ws", "wss")
_POLL_SECONDS = 0.5
_FAILURES_SHOWN = 20


def run(stage: Stage, tasks: Sequence[Task], options: EngineOptions, *, title: str) -> list[TaskResult] | None:
    """Run all tasks and return their results in the order of the tasks.

    Tasks with a valid done-marker do not run again. Finished tasks are kept, even if others fail. Every call gets all
    tasks; a share of a job array returns None while other shares are not finished.

    Raises:
        TasksFailedError: Some tasks failed after all retries, or repeatedly killed their workers.
    """
    name = stage_name(stage)
    done = _finished(tasks, name)
    index, count = options.share()
    todo = [task for task in tasks[index::count] if task.id not in done]
    failures: list[TaskOutcome] = []
    with task_bar() as bar:
        row = bar.add_task(title, total=len(tasks), completed=len(done))
        # A job of an array runs its share locally.
        outcomes = _dask_outcomes if options.engine == "dask" else local.outcomes
        for outcome in outcomes(stage, todo, options):
            if outcome.result is None:
                failures.append(outcome)
            else:
                done[outcome.task_id] = outcome.result
            bar.advance(row)
    if failures:
        lines = [f"  {outcome.task_id}: {outcome.error}" for outcome in failures[:_FAILURES_SHOWN]]
        lines += [f"  and {len(failures) - _FAILURES_SHOWN} more"] if len(failures) > _FAILURES_SHOWN else []
        head = f"{title}: {len(failures)} of {len(tasks)} tasks failed; what is finished is kept, and the same command"
        raise TasksFailedError("\n".join([f"{head} resumes:", *lines]))
    deadline = time.monotonic() + options.wait
    while len(done) < len(tasks):
        done = _finished(tasks, name)
        if time.monotonic() >= deadline:
            break
        time.sleep(_POLL_SECONDS)
    if len(done) < len(tasks):
        console.print(f"{title}: share {index}/{count} is done; {len(tasks) - len(done)} tasks of other shares are not")
        return None
    return [done[task.id] for task in tasks]


def run_final(stage: Stage, tasks: Sequence[Task], options: EngineOptions, *, title: str) -> list[TaskResult] | None:
    """Run the last stage before an output folder is finished; None in a share of a job array.

    A share never finishes the folder: two shares at the same time would delete each other's work folder.

    Raises:
        TasksFailedError: As for `run`.
    """
    if options.share()[1] == 1:
        return run(stage, tasks, options, title=title)
    if run(stage, tasks, dataclasses.replace(options, wait=0.0), title=title) is not None:
        console.print(f"{title}: all tasks are done; the same command without a task range finishes the work")
    return None


def _finished(tasks: Sequence[Task], name: str) -> dict[str, TaskResult]:
    markers = ((task.id, read_marker(task, name)) for task in tasks)
    return {task_id: result for task_id, result in markers if result is not None}


def _dask_outcomes(stage: Stage, tasks: Sequence[Task], options: EngineOptions) -> Iterator[TaskOutcome]:
    """Yield each task's outcome as it completes on a Dask cluster, which may use a SLURM or PBS queue."""
    scheme, separator, _ = (options.scheduler or "").partition("://")
    # Dask would search a minute for the plug-in of an unknown scheme.
    if options.scheduler is None or (separator and scheme not in _SCHEMES):
        raise ConfigError(f"--engine dask needs --scheduler tcp://host:port, not {options.scheduler}")
    try:
        from distributed import Client, as_completed
    except ImportError as error:
        raise ConfigError("--engine dask needs the extra: pip install 'sketchdata[dask]'") from error
    if not tasks:
        return
    try:
        client = Client(options.scheduler, timeout=_CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ConfigError(f"no Dask scheduler answers at {options.scheduler}: {error}") from error
    # Dask prints tracebacks when the scheduler disappears; the outcomes report it.
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
    with client:
        name = stage_name(stage)
        keys = {f"{task.id}-{task.fingerprint(name)}": task for task in tasks}
        # Dask moves the waiting tasks of a dead worker to others; `retries` is for the task that it was running.
        futures = [client.submit(execute, stage, task, key=key, retries=options.retries) for key, task in keys.items()]
        for future in as_completed(futures, loop=client.loop):
            task_id, reason = keys[future.key].id, future.status
            try:
                if future.status == "finished":
                    yield future.result()
                    continue
                if future.status == "error":
                    yield TaskOutcome(task_id=task_id, error=repr(future.exception()))
                    continue
            except OSError as error:
                reason = str(error)
            yield TaskOutcome(task_id=task_id, error=f"the Dask scheduler went away or dropped the task: {reason}")
