"""Photos of the web, fetched politely by Scrapy: from a list of URLs to files on disk and one outcome a URL.

Here is the caller's side: which URLs to request, and a process that does it (`spider`), watched and restarted.
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

# Not `python -m`, which would look for every module in the current folder first.
_START = "import sys; sys.path[:] = sys.argv[1:]; from sketchdata.photos.crawl.spider import main; main()"
_POLL_SECONDS = 0.1
#: How long requests in progress may take to end after Ctrl-C.
_STOP_SECONDS = 10.0
#: A crawling process whose parent was killed ends soon, and the lock with it.
_LOCK_SECONDS = 10.0
#: After so many processes in a row that ended without one more outcome, something is wrong.
_MOST_DEATHS = 3


def crawl(urls: Iterable[str], folder: Path, options: CrawlOptions) -> dict[str, PhotoOutcome]:
    """Fetch the photos of URLs into a collection, each URL once and for all.

    A URL that has an outcome is not requested again, except a failed one when `options.retry_failed` is set. What is
    done is on disk at any time: the same call goes on after Ctrl-C, a kill, a crash or a power cut.

    Args:
        urls: Any number; equal ones count once.
        folder: The collection. Photos go to `photos/ab/abcd….jpg`, what is needed to go on to `.collect/`.
        options: How to crawl.

    Returns:
        {URL: its outcome} for all of `urls`, in no particular order.

    Raises:
        ConfigError: Scrapy is not installed, or SOURCE_DATE_EPOCH is not a number.
        InterruptedRunError: Ctrl-C; requests in progress were given a moment to end.
        SketchDataError: Another process crawls into this folder, the disk is full, or the crawl dies again and again.
    """
    if importlib.util.find_spec("scrapy") is None:
        raise ConfigError("fetching photos needs the extra: pip install 'sketchdata[crawl]'")
    today()  # a wrong SOURCE_DATE_EPOCH is an error before the first request
    with _claimed(folder) as lock:
        log, done = OutcomeLog(folder), set[bytes]()
        for outcome in log.read():
            change = done.discard if options.retry_failed and outcome.status == "failed" else done.add
            change(digest_of(outcome.url))
        asked = {digest_of(url): url for url in urls}
        # In the order of digests: the same for every call, and so mixed that hosts take turns.
        _crawl([asked[digest] for digest in sorted(asked) if digest not in done], folder, options, lock)
        return {outcome.url: outcome for outcome in log.read() if digest_of(outcome.url) in asked}


def _crawl(todo: Sequence[str], folder: Path, options: CrawlOptions, lock: int) -> None:
    """Start processes until every URL has a new outcome."""
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
    """Lock a collection, and yield the lock's file descriptor; a process that inherits it holds the lock, too."""
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
        on_outcomes: Called with the number of new outcomes as they come.

    Returns:
        The last line of its messages about faults of the program; "" when there is none.

    Raises:
        InterruptedRunError: Ctrl-C. A second one does not wait for requests in progress.
        SketchDataError: It met something that must be fixed first.
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
            # Ctrl-C while it starts would leave an unknown process behind that holds the lock.
            with ctrl_c_held_back():
                process = stack.enter_context(
                    subprocess.Popen(
                        [sys.executable, "-c", _START, *sys.path],
                        stdin=subprocess.PIPE,
                        stdout=subprocess.DEVNULL,
                        stderr=file,
                        pass_fds=[lock],
                        start_new_session=True,  # so that Ctrl-C reaches this process alone
                    )
                )
            job = {"folder": str(folder), "options": asdict(options)}
            _tell(process.stdin, orjson.dumps(job, option=orjson.OPT_APPEND_NEWLINE))
            while process.poll() is None:
                follow()
                time.sleep(_POLL_SECONDS)
            follow()
        except KeyboardInterrupt:
            # Requests in progress may end, for a while; a second Ctrl-C cuts that short.
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
    # A process that died while it started is seen by its exit status.
    with contextlib.suppress(BrokenPipeError):
        pipe.write(line)
        pipe.flush()
