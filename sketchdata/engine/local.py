"""The local engine: tasks run in spawned worker processes, or in this process with 0 workers."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
import traceback
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any

from sketchdata.engine.task import EngineOptions, Stage, Task, TaskOutcome, execute
from sketchdata.progress import ctrl_c_held_back

_SPAWN = multiprocessing.get_context("spawn")


def outcomes(stage: Stage, tasks: Sequence[Task], options: EngineOptions) -> Iterator[TaskOutcome]:
    """Yield each task's outcome as it completes."""
    processes = min(options.processes(), len(tasks))
    if processes == 0:
        yield from (execute(stage, task) for task in tasks)
        return
    todo, deaths = deque(tasks), Counter[str]()
    workers: list[_Worker] = []
    try:
        while todo or any(worker.task for worker in workers):
            _assign(stage, todo, workers, processes)
            ready = wait([worker.connection for worker in workers if worker.task is not None])
            for worker in [worker for worker in workers if worker.connection in ready]:
                task, outcome = worker.take_answer()
                if outcome is None:
                    workers.remove(worker)
                    deaths[task.id] += 1
                    if deaths[task.id] <= options.retries:
                        todo.append(task)
                        continue
                    outcome = TaskOutcome(task_id=task.id, error=f"its worker process died {deaths[task.id]} times")
                yield outcome
    finally:
        for worker in workers:
            worker.stop()
        for worker in workers:
            worker.process.join()


class _Worker:
    """A process and the pipe to it. It has one task at a time, so that a crash can be attributed to its task.

    A ProcessPoolExecutor would stop all workers when one dies, without naming the task.
    """

    def __init__(self, stage: Stage) -> None:
        self.task: Task | None = None
        self.connection, theirs = _SPAWN.Pipe()
        self.process = _SPAWN.Process(target=_work, args=(theirs, stage))
        self.process.start()
        # If this end stayed open here, the death of the worker would not be detected.
        theirs.close()

    def give(self, task: Task) -> None:
        self.task = task
        # A worker that has died does not answer, which is detected there.
        with contextlib.suppress(OSError):
            self.connection.send(task)

    def take_answer(self) -> tuple[Task, TaskOutcome | None]:
        """Return the task and its outcome, which is None if the process died."""
        task, self.task = self.task, None
        assert task is not None, "an idle worker has no answer"  # noqa: S101
        try:
            answer: TaskOutcome | str = self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            self.connection.close()
            return task, None
        if isinstance(answer, str):
            raise RuntimeError(f"task {task.id} failed because of a bug:\n{answer}")
        return task, answer

    def stop(self) -> None:
        """Stop the worker; an interrupted task leaves only a temporary file, and runs again next time."""
        if self.task is not None:
            self.process.terminate()
        self.connection.close()


def _assign(stage: Stage, todo: deque[Task], workers: list[_Worker], processes: int) -> None:
    """Assign tasks to idle workers, and to new ones up to a number of processes."""
    idle = [worker for worker in workers if worker.task is None]
    while todo and (idle or len(workers) < processes):
        if not idle:
            # With the first worker, multiprocessing starts its resource tracker and unblocks the signal.
            resource_tracker.ensure_running()
            with ctrl_c_held_back():
                workers.append(_Worker(stage))
            idle.append(workers[-1])
        idle.pop().give(todo.popleft())


def _work(connection: Connection[Any, Any], stage: Stage) -> None:
    """Run tasks until the parent closes the pipe."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_exit_with, args=(parent.sentinel,), daemon=True).start()
    while True:
        try:
            task = connection.recv()
        except (EOFError, OSError):
            return
        try:
            answer: TaskOutcome | str = execute(stage, task)
        except Exception:  # noqa: BLE001 - it is raised again where the run is
            answer = traceback.format_exc()
        connection.send(answer)


def _exit_with(parent: int) -> None:
    """Exit when the parent has died, even by kill -9, and not only after the current task."""
    wait([parent])
    os._exit(1)
