"""The crawling process from its parent's side: started, followed by its log, stopped in good order, not left behind."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from sketchdata.errors import ConfigError, InterruptedRunError, SketchDataError
from sketchdata.photos.collection.tables import WORK_FOLDER
from sketchdata.photos.crawl.child import FAULT_STATUS, STOP
from sketchdata.photos.crawl.job import Job
from sketchdata.photos.crawl.options import CrawlOptions
from sketchdata.photos.crawl.outcomes import Outcome, OutcomeLog, digest_of, today
from sketchdata.progress import ctrl_c_held_back, task_bar

# Not `python -m`, which would look for every module in the current folder first.
_START = "import sys; sys.path[:] = sys.argv[1:]; from sketchdata.photos.crawl.child import main; main()"
_MESSAGES_FILE = "messages.txt"
_POLL_SECONDS = 0.1
#: How long what is under way may take to end after Ctrl-C.
STOP_SECONDS = 10.0


def run_job(job: Job, lock: int, *, on_outcomes: Callable[[int], object]) -> str:
    """Run the crawling process to its end.

    Args:
        job: What it is to do.
        lock: A file descriptor that it is to have, too.
        on_outcomes: Called with the number of new outcomes as they come.

    Returns:
        The last line that it wrote about faults of the program; empty when it had nothing to say.

    Raises:
        InterruptedRunError: Ctrl-C. A second one does not wait for what is under way.
        SketchDataError: It met something that must be mended first.
    """
    messages = job.work / _MESSAGES_FILE
    tail = _Tail(OutcomeLog(job.folder), on_outcomes)
    earlier = messages.stat().st_size if messages.exists() else 0
    with messages.open("ab") as file, contextlib.ExitStack() as stack:
        process: subprocess.Popen[bytes] | None = None
        try:
            # Ctrl-C while it starts would leave a process behind that nobody knows, and that holds the lock.
            with ctrl_c_held_back():
                process = stack.enter_context(_started(lock, file))
            assert process.stdin is not None  # noqa: S101
            _tell(process.stdin, job.line())
            while process.poll() is None:
                tail.follow()
                time.sleep(_POLL_SECONDS)
            tail.follow()
        except KeyboardInterrupt:
            if process is not None:
                _stop(process)
            raise InterruptedRunError(
                f"stopped; what was fetched is kept in {job.folder}, and the same command goes on from there"
            ) from None
        finally:
            if process is not None:
                process.kill()
    return _last_words(process.returncode, messages, earlier)


def _started(lock: int, messages: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", _START, *sys.path],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=messages,
        pass_fds=[lock],
        start_new_session=True,  # so that Ctrl-C reaches this process alone
    )


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Let a process end what is under way, for a while; a second Ctrl-C cuts that short."""
    assert process.stdin is not None  # noqa: S101
    with contextlib.suppress(KeyboardInterrupt, subprocess.TimeoutExpired):
        _tell(process.stdin, STOP)
        process.wait(STOP_SECONDS)


def _tell(pipe: IO[bytes], line: bytes) -> None:
    # One that died while it started is seen by its exit status.
    with contextlib.suppress(BrokenPipeError):
        pipe.write(line)
        pipe.flush()


def _last_words(status: int, messages: Path, earlier: int) -> str:
    """Return the last line of a file after its first `earlier` bytes, which other processes have written."""
    content = messages.read_bytes()
    lines = content[earlier:].decode("utf-8", "replace").strip().splitlines()
    last = lines[-1].strip() if lines else ""
    if status == FAULT_STATUS:
        raise SketchDataError(f"the crawl cannot go on: {last}; mend that, and the same command goes on from there")
    if not content:
        messages.unlink()
    return last or (f"status {status}" if status else "")


class _Tail:
    """Follows a log as it grows, and counts its lines."""

    def __init__(self, log: OutcomeLog, on_outcomes: Callable[[int], object]) -> None:
        self._log, self._on_outcomes = log, on_outcomes
        self._position = log.size()

    def follow(self) -> None:
        """Report the lines that are new."""
        if self._log.size() <= self._position:
            return
        with self._log.path.open("rb") as file:
            file.seek(self._position)
            new = file.read()
        self._position += len(new)
        self._on_outcomes(new.count(b"\n"))


# A crawl as its caller sees it: which URLs are to be asked for, and a process that does it, watched and restarted.

_LOCK_FILE = "lock"
#: The process of a parent that was killed needs a moment to go, too.
_LOCK_SECONDS = 10.0
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
