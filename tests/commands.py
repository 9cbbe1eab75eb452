"""The command line, in this process or in one of its own."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from sketchdata.cli import main

#: What starts the command in a process of its own.
SKETCHDATA = (sys.executable, "-m", "sketchdata")


def sketchdata(*arguments: object, expect: int | None = 0, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run `sketchdata` in this process, from the reading of sys.argv to the exit code; the interpreter is not started.

    An exception that no user should see comes out as it is; no other traceback may be printed, either.

    Args:
        *arguments: The words of the command line.
        expect: The exit code; None for any.
        cwd: The folder to run it in.
    """
    words, code = [str(word) for word in arguments], 0
    with _capture() as (stdout, stderr), _inside(cwd), mock.patch.object(sys, "argv", ["sketchdata", *words]):
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
    return _checked(subprocess.CompletedProcess(words, code, _text(stdout), _text(stderr)), expect)


def sketchdata_process(*arguments: object, expect: int | None = 0, **settings: Any) -> subprocess.CompletedProcess[str]:
    """Run `sketchdata` in a process of its own; `settings` are those of subprocess.run."""
    words = [*SKETCHDATA, *map(str, arguments)]
    settings = {"capture_output": True, "text": True, "timeout": 300, "check": False, **settings}
    return _checked(subprocess.run(words, **settings), expect)


def start(*arguments: object, **settings: Any) -> subprocess.Popen[str]:
    """Start `sketchdata` as the leader of its own process group, as a shell does."""
    words = [*SKETCHDATA, *map(str, arguments)]
    settings = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, **settings}
    return subprocess.Popen(words, start_new_session=True, **settings)


def stop(process: subprocess.Popen[str], number: signal.Signals, moment: Callable[[], object]) -> str:
    """Send a signal to a process and all that it started once the moment has come; return what was printed."""
    deadline = time.monotonic() + 120
    while process.poll() is None and not moment():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.002)
    with contextlib.suppress(ProcessLookupError):  # it may have come to its end just before
        os.killpg(process.pid, number)
    printed = process.communicate(timeout=60)[0] or ""
    assert "Traceback" not in printed
    return printed


def _checked(done: subprocess.CompletedProcess[str], expect: int | None) -> subprocess.CompletedProcess[str]:
    assert "Traceback" not in done.stderr + done.stdout, done.stderr
    assert expect is None or done.returncode == expect, done.stderr
    return done


@contextlib.contextmanager
def _capture() -> Iterator[tuple[io.TextIOWrapper, io.TextIOWrapper]]:
    """Take what is printed, as text or as bytes, into memory."""
    streams = [io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2)]
    with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
        yield streams[0], streams[1]


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    assert isinstance(stream.buffer, io.BytesIO)
    return stream.buffer.getvalue().decode()


@contextlib.contextmanager
def _inside(folder: Path | None) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder or before)
    try:
        yield
    finally:
        os.chdir(before)
