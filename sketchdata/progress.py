"""Progress bars and messages on standard error, and the threads of a process."""

from __future__ import annotations

import queue
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, as_completed
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

#: Messages go to standard error, so that standard output has only results. Names are never parsed as markup.
console = Console(stderr=True, markup=False, emoji=False)


def task_bar() -> Progress:
    """Return a bar that counts finished items: tasks, shards, categories."""
    return _bar(MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())


def byte_bar() -> Progress:
    """Return a bar that counts bytes, with the rate."""
    return _bar(DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())


def _bar(*columns: ProgressColumn) -> Progress:
    shown = (TextColumn("{task.description}", markup=False), BarColumn(), *columns)
    return Progress(*shown, console=console, transient=True, disable=not console.is_terminal)


Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    jobs: int,
    stop: threading.Event,
    on_result: Callable[[Result], object],
) -> list[Result]:
    """Map over items with `jobs` threads; return the results in the items' order.

    The first exception of `work`, and Ctrl-C, end the map: `stop` is set, threads take no further item, and `work`
    should check `stop` where it can. A thread that waits for a server is abandoned; threads are daemons, unlike those
    of a pool, so that the process can end.

    Args:
        work: Called in a thread, with one item.
        items: The items.
        jobs: The number of threads.
        stop: Set by this function when the work is to end early.
        on_result: Called in the calling thread with each result as soon as it is ready.
    """
    futures: list[Future[Result]] = [Future() for _ in items]
    todo: queue.SimpleQueue[tuple[Item, Future[Result]]] = queue.SimpleQueue()
    for pair in zip(items, futures, strict=True):
        todo.put(pair)

    def serve() -> None:
        while not stop.is_set():
            try:
                item, future = todo.get_nowait()
            except queue.Empty:
                return
            try:
                future.set_result(work(item))
            except BaseException as error:  # noqa: BLE001 - raised again where the result is read
                future.set_exception(error)

    threads = [threading.Thread(target=serve, daemon=True) for _ in range(min(jobs, len(items)))]
    try:
        for thread in threads:
            thread.start()
        for future in as_completed(futures):
            on_result(future.result())
    except BaseException:
        stop.set()
        for thread in threads:
            thread.join(timeout=1 / len(threads))
        raise
    return [future.result() for future in futures]


@contextmanager
def one_opencv_thread() -> Iterator[None]:
    """Restrict OpenCV to one thread in this context, for work that already uses every core."""
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


@contextmanager
def ctrl_c_held_back() -> Iterator[None]:
    """Delay Ctrl-C until the end of the block, so that a process started in it is not left running.

    Ctrl-C reaches the whole process group, but only the parent handles it: a process that starts in the block inherits
    the blocked signal. In the parent, blocking is not enough, since the system delivers a signal that one thread blocks
    to another one, such as that of the progress bar.
    """
    pressed: list[int] = []
    in_main_thread = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number)) if in_main_thread else None
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        if in_main_thread:
            signal.signal(signal.SIGINT, handler)
    if pressed:
        signal.raise_signal(signal.SIGINT)
