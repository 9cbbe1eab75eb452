"""A crawl as its caller sees it: which URLs are to be asked for, and a process that does it, watched and restarted."""

from __future__ import annotations

import fcntl
import importlib.util
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sketchdata.collection.tables import WORK_FOLDER
from sketchdata.crawl.job import Job
from sketchdata.crawl.options import CrawlOptions
from sketchdata.crawl.outcomes import Outcome, OutcomeLog, digest_of, today
from sketchdata.crawl.process import run_job
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.progress import task_bar

_LOCK_FILE = "lock"
#: The process of a parent that was killed needs a moment to go, too.
_LOCK_SECONDS = 10.0
_POLL_SECONDS = 0.1
#: After so many processes in a row that ended without one more outcome, something is wrong.
_MOST_DEATHS = 3


def crawl(urls: Iterable[str], folder: Path, options: CrawlOptions) -> dict[str, Outcome]:
    """Fetch the photos of URLs into a collection, each URL once and for all.

    A URL that has an outcome is not asked for again, except a failed one when `options.retry_failed` is set. What is
    done is on disk at any time: the same call goes on after Ctrl-C, a kill, a crash or a power cut.

    Args:
        urls: Any number; equal ones count once.
        folder: The collection. Photos go to `photos/ab/abcd….jpg`, what is needed to go on to `.collect/`.
        options: How to crawl.

    Returns:
        {URL: its outcome} for all URLs asked for, in no particular order.

    Raises:
        ConfigError: Scrapy is not installed, or SOURCE_DATE_EPOCH is no number.
        InterruptedRunError: Ctrl-C; what was under way was given a moment to end.
        SketchDataError: Another process crawls into this folder, the disk is full, or the crawl dies again and again.
    """
    if importlib.util.find_spec("scrapy") is None:
        raise ConfigError("fetching photos needs the extra: pip install 'sketchdata[crawl]'")
    today()  # a fault of the surroundings should show before the first request
    with _claimed(folder) as lock:
        log = OutcomeLog(folder)
        asked, todo = _plan(urls, log, retry_failed=options.retry_failed)
        _crawl(todo, folder, options, lock)
        return {outcome.url: outcome for outcome in log.read() if digest_of(outcome.url) in asked}


def _plan(urls: Iterable[str], log: OutcomeLog, *, retry_failed: bool) -> tuple[set[bytes], list[str]]:
    """Return the digests of all URLs, and the URLs that are to be asked for, shuffled so that their hosts take turns.

    The order is that of the digests, and so the same for every call.
    """
    done: set[bytes] = set()
    for outcome in log.read():
        change = done.discard if retry_failed and outcome.status == "failed" else done.add
        change(digest_of(outcome.url))
    asked: set[bytes] = set()
    todo: list[tuple[bytes, str]] = []
    for url in urls:
        digest = digest_of(url)
        if digest not in asked:
            asked.add(digest)
            if digest not in done:
                todo.append((digest, url))
    return asked, [url for _, url in sorted(todo)]


def _crawl(todo: Sequence[str], folder: Path, options: CrawlOptions, lock: int) -> None:
    """Start processes until every URL has an outcome that it has not now."""
    log, deaths = OutcomeLog(folder), 0
    begun = log.size()
    with task_bar() as bar:
        row = bar.add_task("photos", total=len(todo))
        while todo and deaths < _MOST_DEATHS:
            before = log.size()
            message = run_job(Job.write(folder, options, todo), lock, on_outcomes=lambda n: bar.advance(row, n))
            deaths = deaths + 1 if log.size() == before else 0
            found = {digest_of(outcome.url) for outcome in log.read(begun)}
            todo = [url for url in todo if digest_of(url) not in found]
    if todo:
        raise SketchDataError(
            f"the crawl into {folder} died {deaths} times in a row with {len(todo):,} photos to go; its last words: "
            f"{message or 'none'}"
        )


@contextmanager
def _claimed(folder: Path) -> Iterator[int]:
    """Lock a collection, and yield the lock's file descriptor; a process that has it holds the lock, too.

    Raises:
        SketchDataError: Another process has it.
    """
    (folder / WORK_FOLDER).mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + _LOCK_SECONDS
    with (folder / WORK_FOLDER / _LOCK_FILE).open("ab") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise SketchDataError(f"another process fetches photos into {folder}: wait for it") from error
                time.sleep(_POLL_SECONDS)
        yield file.fileno()
