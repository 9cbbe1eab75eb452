"""Every command is handed odd values for each of its options and paths, and answers each in words and an exit code.

The table is made from the commands themselves, so that a new command or option is walked without a line here.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import click
import pytest

from tests.cli.test_commands import CONTEXTS
from tests.commands import sketchdata
from tests.quickdraw_builds import build, generate

# Ten thousand calls in all.
pytestmark = pytest.mark.slow

COMMANDS = pytest.mark.parametrize(
    "context",
    [context for context in CONTEXTS if not isinstance(context.command, click.Group)],
    ids=lambda context: context.command_path,
)
NUMBERS = ("nan", "inf", "-1", "1e400", "9" * 30, "9" * 5000, "", "-", "0.5", "\udcff")
TEXTS = (
    "",
    ",",
    "[/]",
    "\udcff",
    "a\nb",
    "\u202etxt.x",
    "nan",
    "-1",
    "..",
    "9" * 5000,
    "a=b",
    "=",
    "=/",
    "1/0",
    "meta",
)
ODD_NAMES = (os.fsdecode(b"\xff"), "a\nb", "[red]", "\u202e[", "-")
#: As inputs and as outputs; `{}` is the folder below. Devices are left out: a fault here must not cost the machine one.
PATHS = (
    *("{}/absent", "{}/empty", "{}/file", "{}/binary", "{}/loop", "{}/loop/x", "{}/fifo", "{}/socket", "{}/file/x"),
    *("", ".", "/proc/x", "{}/" + "x" * 300, "\udcff", *(f"{{}}/{name}" for name in ODD_NAMES)),
)
#: Keep what a command does short, where it comes to doing it.
SMALL = {"source": "{}/source", "categories": "cat,star", "workers": "0", "drawings": "4", "photos": "1"}
SMALL |= dict.fromkeys(("train", "val", "gallery", "query"), "1")
#: Seconds within which an odd value is answered.
PATIENCE = 20


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of things that are no good as an input or an output, and a small data set that is."""
    folder = tmp_path_factory.mktemp("odd")
    sizes = {"train": 8, "val": 2, "gallery": 4, "query": 2}
    build(generate(folder / "source", ["cat", "star"], drawings=40), folder / "set", categories="cat,star", **sizes)
    (folder / "empty").mkdir()
    (folder / "file").write_bytes(b"")
    (folder / "binary").write_bytes(bytes(range(256)) * 16)
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "fifo")
    os.mknod(folder / "socket", stat.S_IFSOCK | 0o600)
    for name in ODD_NAMES:
        (folder / name).mkdir()
    return folder


@contextlib.contextmanager
def nothing_leaves() -> Iterator[None]:
    """Keep networks, browsers and endless waits out of reach."""

    def late(*_: object) -> None:
        raise AssertionError(f"no answer within {PATIENCE} s")

    refuse = OSError("no network in this test")
    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(PATIENCE)
    try:
        with (
            mock.patch.object(socket.socket, "connect", side_effect=refuse),
            mock.patch.object(socket, "getaddrinfo", side_effect=refuse),
            mock.patch("uvicorn.Server.run"),
            mock.patch("webbrowser.open"),
        ):
            yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def words_of(context: click.Context, odd: click.Parameter, value: str, place: Path) -> list[str]:
    """Return a command line with an odd value for one parameter, and one that may do for each that is required."""
    words, arguments = context.command_path.split()[1:], []
    for parameter in context.command.params:
        name, kind, text = parameter.name or "", parameter.type, None
        if parameter is odd:
            text = value
        elif parameter.required or isinstance(parameter, click.Argument):
            folder = isinstance(kind, click.Path) and not kind.file_okay
            text = str(place / ("out/new.png" if name in ("out", "output") else "set" if folder else "file"))
        elif name in SMALL:
            text = SMALL[name].format(place)
        if text is not None and isinstance(parameter, click.Option):
            flag = max(parameter.opts, key=len)
            words += [f"{flag}={text}"] if flag.startswith("--") else [flag, text]
        elif text is not None:
            arguments.append(text)
    return [*words, "--", *arguments]


def odd_values(parameter: click.Parameter, place: Path) -> Iterator[str]:
    if isinstance(parameter.type, (click.IntRange, click.FloatRange)):
        yield from NUMBERS
    elif not (isinstance(parameter, click.Option) and parameter.is_flag):
        yield from () if isinstance(parameter.type, click.Path) else TEXTS
        yield from (path.format(place) for path in PATHS)


@COMMANDS
def test_odd_values_are_answered_in_words(context: click.Context, place: Path) -> None:
    faults = []
    for parameter in context.command.params:
        for value in odd_values(parameter, place):
            try:
                with nothing_leaves():
                    done = sketchdata(*words_of(context, parameter, value, place), expect=None, cwd=place)
                answer = f"exit code {done.returncode}" if done.returncode not in (0, 1, 2) else ""
            except Exception as error:  # noqa: BLE001 - each fault is listed
                answer = f"{type(error).__name__}: {error}"[:300]
            if answer:
                faults.append(f"{parameter.name} = {value[-60:]!r}: {answer}")
    assert faults == []


@COMMANDS
def test_every_number_has_two_bounds(context: click.Context) -> None:
    for parameter in context.command.params:
        kind = parameter.type
        assert kind not in (click.INT, click.FLOAT), parameter.name
        if isinstance(kind, (click.IntRange, click.FloatRange)):
            assert None not in (kind.min, kind.max), parameter.name
