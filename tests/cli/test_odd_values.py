"""Every command is handed odd values for each of its options and paths, and answers each in words and an exit code.

The table is made from the commands themselves, so that a new command or option is walked without a line here.
"""

from __future__ import annotations

import contextlib
import os
import resource
import secrets
import shutil
import signal
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import click
import orjson
import pytest
import torch

from sketchdata.pipelines import imports
from sketchdata.training.backbones import build as build_network
from tests.cli.test_commands import CONTEXTS
from tests.commands import sketchdata
from tests.quickdraw_builds import build, generate
from tests.spaces import make_classifier_run, make_space
from tests.two_domains import make_two_domains, write_random_words

# Some twelve thousand calls in all.
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
#: {name in the folder below: minor number} of character devices of their own, so that a fault costs the machine none.
DEVICES = {"null": 3, "zero": 5, "full": 7}
SPECIAL = ("loop", "fifo", "socket", "to-null", *DEVICES)
#: As inputs and as outputs; `{}` is the folder below.
PATHS = (
    *("{}/absent", "{}/empty", "{}/file", "{}/binary", "{}/loop/x", "{}/file/x", *(f"{{}}/{name}" for name in SPECIAL)),
    *("", ".", "/proc/x", "{}/" + "x" * 300, "\udcff", *(f"{{}}/{name}" for name in ODD_NAMES)),
)
#: Parameters that name what is written.
OUTPUTS = {"dest", "out", "output", "cache", "rejects", "picture", "pictures", "sheet", "maps", "filters", "invert"}
#: Inputs of other commands.
OTHERS = ("{}/set", *(f"{{}}/space/{name}" for name in ("data", "run", "classifier", "vectors", "index")))
#: Keep what a command does short, where it comes to doing it.
SMALL = {"source": "{}/source", "categories": "cat,star", "workers": "0", "drawings": "4", "photos": "1"}
SMALL |= dict.fromkeys(("train", "val", "gallery", "query"), "1")
#: Trainings of one step, of real data, so that options come to be used.
TRAINING = {"data": "{}/set", "vectors": "{}/words.parquet", "backbone": "small", "size": "16", "hidden": "4"}
TRAINING |= {"layers": "1", "max_points": "8", "batch_size": "8", "width": "4", "device": "cpu", "seen": "1"}
TRAINING |= dict.fromkeys(("cnn_epochs", "rnn_epochs", "fusion_epochs", "center_epochs"), "0")
TRAINING |= dict.fromkeys(("code_epochs", "proxy_epochs", "steps", "epochs"), "1")
#: The same of drawings and photos.
PHOTOS = {"data": "{}/pairs", "words": "{}/pairs.parquet", "backbone": "small", "size": "16", "width": "4"}
PHOTOS |= {"epochs": "1", "batch_size": "8", "kron_width": "2", "graph_width": "4", "draws": "1", "device": "cpu"}
COMPARED = PHOTOS | {"weights": "{}/small.pth", "trunk": "frozen", "seen": "6", "validation_share": "0.34"}
COMPARED |= {"out": "{}/out/compared"}
RUN = {"run": "{}/space/run", "device": "cpu"}
CLASSIFIER = {"run": "{}/space/classifier", "device": "cpu"}
#: {command: what it is given besides, so that it comes to use its options}.
GIVEN = {
    "train sbir": PHOTOS,
    "train zsih": PHOTOS,
    "train dsf": PHOTOS,
    "bench hashing": TRAINING | {"rows": "lsh-hog", "bits": "16", "seeds": "1", "out": "{}/out/compared"},
    "bench sbir": COMPARED | {"rows": "frozen,siamese"},
    "bench zsih": COMPARED | {"rows": "itq,zsih", "bits": "16"},
    "bench dsf": PHOTOS | {"rows": "s", "folds": "1/3", "out": "{}/out/compared"},
    "evaluate": RUN | {"examples": "1"},
    "encode": RUN | {"data": "{}/space/data"},
    "explain": CLASSIFIER | {"file": "{}/house.svg"},
    "recognise": CLASSIFIER | {"files": "{}/house.svg"},
    "index build": {"codes": "{}/space/vectors"},
    "search": RUN | {"index": "{}/space/index", "queries": "{}/house.svg"},
    "serve": RUN | {"index": "{}/space/index"},
}
#: Two validation classes, as are needed to choose an epoch.
PAIRS = {"seen": ("cat", "house", "star", "airplane"), "validation": ("fish", "sun"), "unseen": ("apple", "ice cream")}
#: Seconds within which an odd value is answered, and bytes that it may take.
PATIENCE, MEMORY = 20, 6 << 30


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
    for name, minor in DEVICES.items():
        if os.geteuid() == 0:
            os.mknod(folder / name, stat.S_IFCHR | 0o666, os.makedev(1, minor))
        else:
            # Only root can do harm to what this leads to.
            (folder / name).symlink_to(f"/dev/{name}")
    (folder / "to-null").symlink_to("null")
    (folder / "glove.txt").write_text("cat 1 0 0\nstar 0 1 0\n")
    (folder / "classes.txt").write_text("cat\nstar\n")
    words = imports.ImportVectorsConfig(out=folder / "words.parquet", classes=str(folder / "classes.txt"))
    imports.import_vectors(folder / "glove.txt", words)
    for name in ODD_NAMES:
        (folder / name).mkdir()
    make_space(folder / "space")
    make_classifier_run(folder / "space" / "classifier", folder / "space" / "data")
    make_two_domains(folder / "pairs", PAIRS, drawings=3, photos=2)
    write_random_words(folder / "pairs.parquet", PAIRS)
    torch.save(build_network("small", classes=4, channels=3).state_dict(), folder / "small.pth")
    (folder / "house.svg").write_text(
        '<svg viewBox="0 0 9 9"><path d="M1 8V4L4 1L8 4V8Z" fill="none" stroke="red"/></svg>'
    )
    return folder


def special_files(place: Path) -> dict[str, tuple[int, int, int]]:
    """Return what must be as it was after any command: the kind, device and inode of each special file."""
    found = {name: os.lstat(place / name) for name in SPECIAL}
    found |= {f"/dev/{name}": os.lstat(f"/dev/{name}") for name in DEVICES}
    return {name: (status.st_mode, status.st_rdev, status.st_ino) for name, status in found.items()}


@contextlib.contextmanager
def nothing_leaves() -> Iterator[None]:
    """Keep networks, browsers, devices, endless waits and endless memory out of reach."""

    def late(*_: object) -> None:
        raise AssertionError(f"no answer within {PATIENCE} s")

    def guarded(change: Callable[..., Any]) -> Callable[..., Any]:
        def call(*paths: Any, **options: Any) -> Any:
            if any(Path(os.fsdecode(path)).absolute().parent.resolve() == Path("/dev") for path in paths):
                raise AssertionError(f"{change.__name__} of {paths}")
            return change(*paths, **options)

        return call

    refuse = OSError("no network in this test")
    before = signal.signal(signal.SIGALRM, late)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, limits[1]))
    signal.alarm(PATIENCE)
    try:
        with (
            mock.patch("os.replace", guarded(os.replace)),
            mock.patch("os.rename", guarded(os.rename)),
            mock.patch("os.unlink", guarded(os.unlink)),
            mock.patch("os.remove", guarded(os.remove)),
            mock.patch.object(socket.socket, "connect", side_effect=refuse),
            mock.patch.object(socket, "getaddrinfo", side_effect=refuse),
            mock.patch("uvicorn.Server.run"),
            mock.patch("webbrowser.open"),
        ):
            yield
    finally:
        signal.alarm(0)
        resource.setrlimit(resource.RLIMIT_AS, limits)
        signal.signal(signal.SIGALRM, before)


def words_of(context: click.Context, odd: click.Parameter, value: str, place: Path) -> list[str]:
    """Return a command line with an odd value for one parameter, and one that may do for each that is required."""
    words, arguments = context.command_path.split()[1:], []
    given = GIVEN.get(" ".join(words), TRAINING if words[0] == "train" else {})
    for parameter in context.command.params:
        name, kind, text = parameter.name or "", parameter.type, None
        if parameter is odd:
            text = value
        elif name in given:
            text = given[name].format(place)
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
    if isinstance(parameter.type, click.Path) and parameter.name not in OUTPUTS:
        yield from (path.format(place) for path in OTHERS)


@COMMANDS
def test_odd_values_are_answered_in_words(context: click.Context, place: Path) -> None:
    faults, before = [], special_files(place)
    for parameter in context.command.params:
        for value in odd_values(parameter, place):
            # A training goes on in no other's folder.
            shutil.rmtree(place / "out", ignore_errors=True)
            try:
                with nothing_leaves():
                    done = sketchdata(*words_of(context, parameter, value, place), expect=None, cwd=place)
                answer = f"exit code {done.returncode}" if done.returncode not in (0, 1, 2) else ""
            except Exception as error:  # noqa: BLE001 - each fault is listed
                answer = f"{type(error).__name__}: {error}"[:300]
            if answer:
                faults.append(f"{parameter.name} = {value[-60:]!r}: {answer}")
            if special_files(place) != before:
                faults.append(f"{parameter.name} = {value[-60:]!r}: a special file changed")
                before = special_files(place)
    assert faults == []


@pytest.mark.parametrize("name", ["recognition", "hashing", "hashing-baselines", "sketchcode"])
def test_the_walk_reaches_trainings(name: str, place: Path) -> None:
    shutil.rmtree(place / "out", ignore_errors=True)
    context = next(context for context in CONTEXTS if context.command_path == f"sketchdata train {name}")
    with nothing_leaves():
        done = sketchdata(*words_of(context, click.Option(["--none"]), "", place), expect=0, cwd=place)
    assert "8 drawings of 2 classes" in done.stdout.replace("16", "8")


@pytest.mark.parametrize("command", GIVEN)
def test_the_walk_reaches_what_commands_do(command: str, place: Path) -> None:
    shutil.rmtree(place / "out", ignore_errors=True)
    context = next(context for context in CONTEXTS if context.command_path == f"sketchdata {command}")
    with nothing_leaves():
        sketchdata(*words_of(context, click.Option(["--none"]), "", place), expect=0, cwd=place)


@pytest.mark.parametrize("out", ["/", ".", "./", "..", "null", "full", "zero", "fifo", "socket", "to-null"])
def test_convert_writes_to_odd_places_or_says_why_not(out: str, place: Path) -> None:
    key_id = secrets.randbits(62)
    record = {"word": "cat", "countrycode": "US", "timestamp": "2017-03-01 00:00:00 UTC", "recognized": True}
    record |= {"key_id": str(key_id), "drawing": [[[0, 255], [0, 255]]]}
    (place / "one.ndjson").write_bytes(orjson.dumps(record))
    before = special_files(place)
    work = place / "work" / "inner"
    work.mkdir(parents=True, exist_ok=True)
    target = str(place / out) if out in SPECIAL else out
    made = [folder / f"{key_id}.svg" for folder in (Path("/"), work, work.parent)]
    try:
        with nothing_leaves():
            done = sketchdata("convert", place / "one.ndjson", target, "--to", "svg", expect=None, cwd=work)
        written = [path for path in made if path.exists()]
    finally:
        for path in made:
            path.unlink(missing_ok=True)
    assert special_files(place) == before
    if done.returncode:
        assert done.stderr.startswith("error: ")
        assert written == []
    else:
        assert len(written) == 1
        assert written[0].parent == (work / out).resolve()


@COMMANDS
def test_every_number_has_two_bounds(context: click.Context) -> None:
    for parameter in context.command.params:
        kind = parameter.type
        assert kind not in (click.INT, click.FLOAT), parameter.name
        if isinstance(kind, (click.IntRange, click.FloatRange)):
            assert None not in (kind.min, kind.max), parameter.name
