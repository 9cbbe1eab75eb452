"""Tasks on this machine: in a pool of spawned processes, or in this very process with 0 workers."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from sketchdata.engine.options import EngineOptions
from sketchdata.engine.task import Outcome, Stage, Task, execute


def outcomes(stage: Stage, tasks: Sequence[Task], options: EngineOptions) -> Iterator[Outcome]:
    """Yield each task's outcome as it completes."""
    processes = min(options.processes(), len(tasks))
    if processes == 0:
        yield from (execute(stage, task) for task in tasks)
        return
    todo, deaths = deque(tasks), Counter[str]()
    while todo:
        # A worker that dies (out of memory, kill -9) takes its whole pool along: begin again with a new one.
        for outcome, task in _run_pool(stage, todo, processes):
            if outcome is not None:
                yield outcome
            elif deaths[task.id] < options.retries:
                deaths[task.id] += 1
                todo.append(task)
            else:
                yield Outcome(task_id=task.id, error=f"its worker process died {deaths[task.id] + 1} times")


def _run_pool(stage: Stage, todo: deque[Task], processes: int) -> Iterator[tuple[Outcome | None, Task]]:
    """Take tasks from `todo` until it is empty or the pool breaks; (None, task) is one that was in a broken pool."""
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), initializer=_begin_worker)
    flying: dict[Future[Outcome], Task] = {}
    try:
        while todo or flying:
            # Few tasks wait in the pool, so that a death costs few of them a try.
            while todo and len(flying) < 2 * processes:
                task = todo.popleft()
                flying[pool.submit(execute, stage, task)] = task
            for future in wait(flying, return_when=FIRST_COMPLETED).done:
                task = flying.pop(future)
                yield future.result(), task
    except BrokenProcessPool:
        yield None, task
        for task in flying.values():
            yield None, task
    finally:
        _stop(pool)


def _stop(pool: ProcessPoolExecutor) -> None:
    """End the workers now: a task that is cut off leaves nothing but a temporary file and runs again next time."""
    workers = list((pool._processes or {}).values())
    busy = any(worker.is_alive() for worker in workers) and bool(pool._pending_work_items)
    pool.shutdown(wait=not busy, cancel_futures=True)
    if busy:
        for worker in workers:
            worker.terminate()
            worker.join()


def _begin_worker() -> None:
    # Ctrl-C reaches the whole process group: the parent alone decides what to do about it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent.sentinel,), daemon=True).start()


def _follow(parent: int) -> None:
    """Leave when the parent is gone, even by kill -9: an orphan would wait for work for ever."""
    multiprocessing.connection.wait([parent])
    os._exit(1)
