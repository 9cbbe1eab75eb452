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
from typing import Any
from unittest import mock

import click
import pytest

from sketchdata.config import Integer, Real
from tests.cli.test_commands import CONTEXTS
from tests.commands import sketchdata
from tests.quickdraw_builds import build, generate

COMMANDS = [context for context in CONTEXTS if not isinstance(context.command, click.Group)]
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
#: Keep what a command does short, where it comes to doing it.
SMALL = {"source": "{}/source", "categories": "cat,star", "workers": "0", "drawings": "4", "photos": "1"}
SMALL |= {split: "1" for split in ("train", "val", "gallery", "query")}
#: Seconds within which an odd value is refused, or the command has done its work on what is small.
PATIENCE = 20


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with things that are no good as an input or an output, and a small data set that is."""
    folder = tmp_path_factory.mktemp("odd")
    build(generate(folder / "source", ["cat", "star"], drawings=40), folder / "set", **SIZES)
    (folder / "empty").mkdir()
    (folder / "file").write_bytes(b"")
    (folder / "binary").write_bytes(bytes(range(256)) * 16)
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "fifo")
    os.mknod(folder / "socket", stat.S_IFSOCK | 0o600)
    for name in ODD_NAMES:
        (folder / name).mkdir()
    return folder


SIZES: dict[str, Any] = {"categories": "cat,star", "train": 8, "val": 2, "gallery": 4, "query": 2}
ODD_NAMES = (os.fsdecode(b"\xff"), "a\nb", "[red]", "\u202e[", "-")
#: As inputs and as outputs; `{}` is the folder above.
PATHS = (
    *("{}/absent", "{}/empty", "{}/file", "{}/binary", "{}/loop", "{}/loop/x", "{}/fifo", "{}/socket", "{}/file/x"),
    *("", "/", ".", "{}/" + "x" * 300, "\udcff"),
    *(f"{{}}/{name}" for name in ODD_NAMES),
)


@contextlib.contextmanager
def nothing_leaves() -> Iterator[None]:
    """Keep the network, servers and endless waits out of reach."""

    def late(*_: object) -> None:
        raise TimeoutError(f"took more than {PATIENCE} s")

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network in this test")

    before = signal.signal(signal.SIGALRM, late)
    try:
        with (
            mock.patch.object(socket.socket, "connect", refuse),
            mock.patch.object(socket, "getaddrinfo", refuse),
            mock.patch("uvicorn.Server.run", lambda *_, **__: None),
            mock.patch("webbrowser.open"),
        ):
            yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def base(command: click.Command, place: Path) -> dict[str, str]:
    """Return a value for each parameter that is required: the data set for a folder, a new path for an output."""
    values = {}
    for parameter in command.params:
        if parameter.required or isinstance(parameter, click.Argument):
            is_output = parameter.name in ("out", "output")
            kind = parameter.type
            if is_output:
                values[parameter.name or ""] = str(place / "out" / "new.png")
            elif isinstance(kind, click.Path) and not kind.file_okay:
                values[parameter.name or ""] = str(place / "set")
            else:
                values[parameter.name or ""] = str(place / "file")
        elif parameter.name in SMALL:
            values[parameter.name] = SMALL[parameter.name].format(place)
    return values


def line(context: click.Context, values: dict[str, str]) -> list[str]:
    """Return the words of the command with a value for some of its parameters."""
    words = context.command_path.split()[1:]
    arguments = []
    for parameter in context.command.params:
        if parameter.name in values:
            if isinstance(parameter, click.Option):
                words += (
                    [f"{max(parameter.opts, key=len)}={values[parameter.name]}"]
                    if max(parameter.opts, key=len).startswith("--")
                    else [parameter.opts[0], values[parameter.name]]
                )
            else:
                arguments.append(values[parameter.name])
    return [*words, "--", *arguments] if arguments else words


def odd_values(parameter: click.Parameter, place: Path) -> Iterator[str]:
    if isinstance(parameter.type, click.types._NumberRangeBase):
        yield from NUMBERS
    elif isinstance(parameter.type, click.Path):
        yield from (each.format(place) for each in PATHS)
    elif not (isinstance(parameter, click.Option) and parameter.is_flag):
        yield from TEXTS
        yield from (each.format(place) for each in PATHS)


@pytest.mark.parametrize("context", COMMANDS, ids=lambda context: context.command_path)
def test_odd_values_are_answered_in_words(context: click.Context, place: Path) -> None:
    faults = []
    for parameter in context.command.params:
        for value in odd_values(parameter, place):
            words = line(context, base(context.command, place) | {parameter.name or "": value})
            try:
                with nothing_leaves():
                    signal.alarm(PATIENCE)
                    done = sketchdata(*words, expect=None, cwd=place)
                if done.returncode not in (0, 1, 2):
                    faults.append(f"{parameter.name} = {value[:60]!r}: exit {done.returncode}")
            except Exception as error:
                faults.append(f"{parameter.name} = {value[:60]!r}: {type(error).__name__}: {error}"[:300])
    assert faults == []


@pytest.mark.parametrize("context", COMMANDS, ids=lambda context: context.command_path)
def test_every_number_has_two_bounds(context: click.Context) -> None:
    for parameter in context.command.params:
        if isinstance(parameter.type, (click.IntRange, click.FloatRange)):
            assert parameter.type.min is not None
            assert parameter.type.max is not None
            assert isinstance(parameter.type, (Integer, Real)) or isinstance(parameter.type, click.IntRange)
        else:
            assert parameter.type not in (click.INT, click.FLOAT), parameter.name
