"""Crawling photos with Scrapy: from a list of URLs to files on disk and one outcome per URL.

This module is the caller's side: it selects the URLs to request, and runs, monitors and restarts the process that
requests them (`spider`).
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO

import orjson

from sketchdata.errors import ConfigError, InterruptedRunError, SketchDataError
from sketchdata.photos.collection import WORK_FOLDER
from sketchdata.photos.crawl.options import CrawlOptions
from sketchdata.photos.crawl.outcomes import FAULT_STATUS, STOP, TODO_FILE, OutcomeLog, PhotoOutcome, digest_of, today
from sketchdata.progress import ctrl_c_held_back, task_bar
from sketchdata.storage.manifest import replacing

__all__ = ["CrawlOptions", "PhotoOutcome", "crawl"]

# Not `python -m`, which would first search modules in the current folder.
_START = "import sys; sys.path[:] = sys.argv[1:]; from sketchdata.photos.crawl.spider import main; main()"
_POLL_SECONDS = 0.1
#: Seconds for requests in progress to end after Ctrl-C.
_STOP_SECONDS = 10.0
#: Seconds to wait for a crawling process whose parent was killed, which ends soon and releases the lock.
_LOCK_SECONDS = 10.0
#: Maximum number of consecutive processes that end without a new outcome.
_MOST_DEATHS = 3


def crawl(urls: Iterable[str], folder: Path, options: CrawlOptions) -> dict[str, PhotoOutcome]:
    """Fetch the photos of URLs into a collection, each URL once.

    A URL that has an outcome is not requested again, except a failed one with `options.retry_failed`. All results are
    on disk at any time: the same call resumes after Ctrl-C, a kill, a crash or a power failure.

    Args:
        urls: The URLs; equal ones count once.
        folder: The collection. Photos are stored in `photos/ab/abcd….jpg`, the state in `.collect/`.
        options: How to crawl.

    Returns:
        {URL: its outcome} for all `urls`, in no particular order.

    Raises:
        ConfigError: Scrapy is not installed, or SOURCE_DATE_EPOCH is not a number.
        InterruptedRunError: Ctrl-C, after waiting briefly for requests in progress.
        SketchDataError: Another process crawls into this folder, the disk is full, or the crawl crashes repeatedly.
    """
    if importlib.util.find_spec("scrapy") is None:
        raise ConfigError("fetching photos needs the extra: pip install 'sketchdata[crawl]'")
    today()  # raises for an invalid SOURCE_DATE_EPOCH before the first request
    with _claimed(folder) as lock:
        log, done = OutcomeLog(folder), set[bytes]()
        for outcome in log.read():
            change = done.discard if options.retry_failed and outcome.status == "failed" else done.add
            change(digest_of(outcome.url))
        asked = {digest_of(url): url for url in urls}
        # In the order of digests: the same in every call, and shuffled so that hosts alternate.
        _crawl([asked[digest] for digest in sorted(asked) if digest not in done], folder, options, lock)
        return {outcome.url: outcome for outcome in log.read() if digest_of(outcome.url) in asked}


def _crawl(todo: Sequence[str], folder: Path, options: CrawlOptions, lock: int) -> None:
    """Run processes until every URL has a new outcome."""
    log, deaths = OutcomeLog(folder), 0
    begun = log.size()
    with task_bar() as bar:
        row = bar.add_task("photos", total=len(todo))
        while todo and deaths < _MOST_DEATHS:
            before = log.size()
            with replacing(folder / WORK_FOLDER / TODO_FILE) as file:
                file.writelines(orjson.dumps(url, option=orjson.OPT_APPEND_NEWLINE) for url in todo)
            message = _run_spider(folder, options, lock, on_outcomes=lambda n: bar.advance(row, n))
            deaths = deaths + 1 if log.size() == before else 0
            found = {digest_of(outcome.url) for outcome in log.read(begun)}
            todo = [url for url in todo if digest_of(url) not in found]
    if todo:
        raise SketchDataError(
            f"the crawl into {folder} died {deaths} times in a row with {len(todo):,} photos to go; its last message: "
            f"{message or 'none'}"
        )


@contextmanager
def _claimed(folder: Path) -> Iterator[int]:
    """Lock a collection and yield the lock's file descriptor; a process that inherits it also holds the lock."""
    (folder / WORK_FOLDER).mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + _LOCK_SECONDS
    with (folder / WORK_FOLDER / "lock").open("ab") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise SketchDataError(f"another process fetches photos into {folder}: wait for it") from error
                time.sleep(_POLL_SECONDS)
        yield file.fileno()


def _run_spider(folder: Path, options: CrawlOptions, lock: int, *, on_outcomes: Callable[[int], object]) -> str:
    """Run the crawling process to its end.

    Args:
        folder: The collection, with a list of URLs in its work folder.
        options: How to crawl.
        lock: A file descriptor that the process inherits.
        on_outcomes: Called with the number of new outcomes.

    Returns:
        The last line of its error messages, or "".

    Raises:
        InterruptedRunError: Ctrl-C. A second one does not wait for requests in progress.
        SketchDataError: The process found an error that the user must fix.
    """
    messages = folder / WORK_FOLDER / "messages.txt"
    log = OutcomeLog(folder)
    position = log.size()
    earlier = messages.stat().st_size if messages.exists() else 0

    def follow() -> None:
        nonlocal position
        if log.size() > position:
            with log.path.open("rb") as lines:
                lines.seek(position)
                new = lines.read()
            position += len(new)
            on_outcomes(new.count(b"\n"))

    with messages.open("ab") as file, contextlib.ExitStack() as stack:
        process: subprocess.Popen[bytes] | None = None
        try:
            # Ctrl-C during the start would leave a process that holds the lock.
            with ctrl_c_held_back():
                process = stack.enter_context(
                    subprocess.Popen(
                        [sys.executable, "-c", _START, *sys.path],
                        stdin=subprocess.PIPE,
                        stdout=subprocess.DEVNULL,
                        stderr=file,
                        pass_fds=[lock],
                        start_new_session=True,  # so that Ctrl-C reaches only this process
                    )
                )
            job = {"folder": str(folder), "options": asdict(options)}
            _tell(process.stdin, orjson.dumps(job, option=orjson.OPT_APPEND_NEWLINE))
            while process.poll() is None:
                follow()
                time.sleep(_POLL_SECONDS)
            follow()
        except KeyboardInterrupt:
            # Wait for requests in progress, until a second Ctrl-C.
            with contextlib.suppress(KeyboardInterrupt, subprocess.TimeoutExpired):
                if process is not None:
                    _tell(process.stdin, STOP)
                    process.wait(_STOP_SECONDS)
            raise InterruptedRunError(
                f"stopped; what was fetched is kept in {folder}, and the same command resumes from there"
            ) from None
        finally:
            if process is not None:
                process.kill()
    content = messages.read_bytes()
    last = [line.strip() for line in content[earlier:].decode("utf-8", "replace").strip().splitlines()][-1:]
    if process.returncode == FAULT_STATUS:
        raise SketchDataError(
            f"the crawl cannot go on: {''.join(last)}; fix that, and the same command resumes from there"
        )
    if not content:
        messages.unlink()
    return "".join(last) or (f"status {process.returncode}" if process.returncode else "")


def _tell(pipe: IO[bytes] | None, line: bytes) -> None:
    assert pipe is not None  # noqa: S101
    # The exit status shows whether a process died during its start.
    with contextlib.suppress(BrokenPipeError):
        pipe.write(line)
        pipe.flush()
