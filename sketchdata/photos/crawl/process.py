"""The crawling process from its parent's side: started, followed by its log, stopped in good order, not left behind."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from sketchdata.crawl.child import FAULT_STATUS, STOP
from sketchdata.crawl.job import Job
from sketchdata.crawl.outcomes import OutcomeLog
from sketchdata.errors import InterruptedRunError, SketchDataError
from sketchdata.threads import ctrl_c_held_back

# Not `python -m`, which would look for every module in the current folder first.
_START = "import sys; sys.path[:] = sys.argv[1:]; from sketchdata.crawl.child import main; main()"
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
