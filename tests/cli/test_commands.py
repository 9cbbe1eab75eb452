"""Every command explains itself, starts fast, needs no torch, and ends with the exit code that it promises."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import click
import pytest

from sketchdata import __version__
from sketchdata.cli import example_of, paragraphs, root
from tests.command_lines import commands_in, parse
from tests.commands import sketchdata

SKETCHDATA = [sys.executable, "-m", "sketchdata"]
HEAVY = ("cv2", "httpx", "numpy", "pandas", "pyarrow", "rich", "scipy", "skimage", "torch", "webdataset")


def walk(command: click.Command, context: click.Context) -> Iterator[click.Context]:
    yield context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None, f"{context.command_path} lists {name}, and has no such command"
            yield from walk(inner, command_context(inner, name, context))


def command_context(command: click.Command, name: str, parent: click.Context | None = None) -> click.Context:
    return command.context_class(command, info_name=name, parent=parent, **command.context_settings)


CONTEXTS = list(walk(root, command_context(root, "sketchdata")))
every_command = pytest.mark.parametrize("context", CONTEXTS, ids=lambda context: context.command_path)


def run(*arguments: str | Path, cwd: Path | None = None, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the real command in a new process, with `path` first on the PYTHONPATH."""
    known = [str(path)] if path else []
    known += [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(known)}
    return subprocess.run(
        [*SKETCHDATA, *map(str, arguments)], cwd=cwd, env=environment, capture_output=True, text=True, timeout=120
    )


def test_the_tree_holds_the_documented_commands() -> None:
    paths = {context.command_path.removeprefix("sketchdata ") for context in CONTEXTS}
    assert {"download quickdraw", "synth", "build quickdraw-3.8m", "verify", "info", "show"} <= paths
    assert {"export webdataset", "export ndjson"} <= paths


@every_command
def test_help_opens_with_an_imperative_sentence(context: click.Context) -> None:
    first = paragraphs(context.command.help or "")[0]
    assert re.match(r"[A-Z][a-z]+,? ", first)
    assert first.endswith(".")
    assert not re.match(r"(A|An|The|This|It|\w+(ing|ed|[^s]s)) ", first)


@every_command
def test_every_example_parses(context: click.Context) -> None:
    examples = [example for text in paragraphs(context.command.help or "") if (example := example_of(text))]
    lines = [arguments for example in examples for arguments in commands_in(example)]
    assert examples
    assert len(lines) == len(examples)
    path = context.command_path.removeprefix("sketchdata").split()
    for arguments in lines:
        assert arguments[: len(path)] == path
        parse(arguments)


@pytest.mark.parametrize("line", ["synth", "synth --out x --frobnicate", "bild", "build quickdraw-3.8m --workers many"])
def test_a_wrong_example_would_be_noticed(line: str) -> None:
    with pytest.raises(click.UsageError):
        parse(line.split())


@every_command
def test_every_option_has_help_that_is_a_sentence(context: click.Context) -> None:
    for option in context.command.params:
        if isinstance(option, click.Option):
            text = option.help or ""
            assert re.match(r"[A-Z`\d]", text), f"{option.opts[0]}: {text!r}"
            assert text.endswith("."), f"{option.opts[0]}: {text!r}"


@every_command
@pytest.mark.parametrize("width", [80, 110])
def test_help_keeps_to_the_terminal_and_examples_can_be_pasted(context: click.Context, width: int) -> None:
    formatter = context.make_formatter()
    formatter.width = width - 2
    context.command.format_help(context, formatter)
    text = formatter.getvalue()
    pasted = re.sub(r" \\\n *", " ", text)
    assert all(len(line) <= width for line in text.splitlines())
    for paragraph in paragraphs(context.command.help or ""):
        assert example_of(paragraph) is None or f"  {paragraph}\n" in pasted


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["build", "--help"], []])
def test_looking_around_imports_nothing_heavy_and_takes_little(arguments: list[str]) -> None:
    program = (
        "import sys, time\n"
        "from sketchdata.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print('HEAVY', sorted(set(sys.modules) & {set(HEAVY)}), time.process_time(), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=60)
    found, seconds = done.stderr.rpartition("HEAVY ")[2].rsplit(maxsplit=1)
    assert done.stdout or "Usage" in done.stderr
    assert found == "[]"
    # It takes about 0.05 s of processor time; with numpy and pyarrow it would be several times the limit.
    assert float(seconds) < 0.5


def test_version_names_the_tool_and_its_version() -> None:
    assert run("--version").stdout == f"sketchdata, version {__version__}\n"


@pytest.fixture(scope="module")
def no_torch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that, on the PYTHONPATH, keeps torch from every process, spawned workers included."""
    folder = tmp_path_factory.mktemp("no-torch")
    (folder / "torch.py").write_text("raise ModuleNotFoundError('torch is blocked by the test', name='torch')\n")
    return folder


@pytest.fixture(scope="module")
def built(no_torch: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generate and build a small data set without torch; return the folder that holds `source` and `set`."""
    folder = tmp_path_factory.mktemp("commands")
    sizes = ["--train", "20", "--val", "4", "--gallery", "4", "--query", "2"]
    classes = ["--categories", "star,cat", "--workers", "2"]
    for command in (
        ["synth", "--out", "source", "--drawings", "40", *classes],
        ["build", "quickdraw-3.8m", "--source", "source", "--out", "set", *sizes, *classes],
    ):
        done = run(*command, cwd=folder, path=no_torch)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_torch_is_really_out_of_reach(no_torch: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(no_torch)}
    done = subprocess.run([sys.executable, "-c", "import torch"], env=environment, capture_output=True, text=True)
    assert "blocked by the test" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "line",
    [
        "download quickdraw --source source --dest copy --categories star",
        "verify set",
        "info set --classes",
        "show set --category cat -n 4 -o cats.png",
        "export webdataset set --out tars --png 28 --workers 2",
        "export ndjson set --out text --workers 2",
    ],
)
def test_the_data_commands_work_without_torch(line: str, built: Path, no_torch: Path) -> None:
    done = run(*line.split(), cwd=built, path=no_torch)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr


@pytest.mark.parametrize("line", ["--frobnicate", "bild", "synth", "build quickdraw-3.8m --workers many", "verify"])
def test_wrong_usage_exits_2_with_a_hint_and_no_traceback(line: str) -> None:
    done = run(*line.split())
    assert done.returncode == 2
    assert "Usage: sketchdata" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "line", ["verify absent", "info absent", "show absent -o x.png", "synth --out x --categories stra"]
)
def test_a_fault_exits_1_with_one_message(line: str, tmp_path: Path) -> None:
    done = run(*line.split(), cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError("Unable to allocate 728. TiB for an array"), "not enough memory: Unable to allocate 728. TiB"),
        (MemoryError(), "not enough memory: the sizes are too large"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "not enough memory: DefaultCPU"),
        (RuntimeError("Symlink loop from 'a'"), "Symlink loop from 'a': the links form a loop"),
        (TypeError("str is not valid UTF-8: surrogates not allowed"), "a path or a name is not UTF-8"),
        (UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates not allowed"), "a path or a name is not UTF-8"),
    ],
)
def test_what_memory_links_and_names_do_is_said_in_words(error: Exception, message: str) -> None:
    with mock.patch("sketchdata.cli.dataset.read_manifest", side_effect=error):
        assert sketchdata("info", "x", expect=1).stderr.startswith(f"error: {message}")


def test_a_fault_of_the_program_is_not_hidden() -> None:
    fault = mock.patch("sketchdata.cli.dataset.read_manifest", side_effect=RuntimeError("a fault"))
    with fault, pytest.raises(RuntimeError, match="a fault"):
        sketchdata("info", "x")


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", "1"])
def test_ctrl_c_exits_130_and_says_that_the_work_is_kept(workers: str, tmp_path: Path) -> None:
    command = [*SKETCHDATA, "synth", "--out", "many", "--drawings", "5000", "--workers", workers]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        wait_for(lambda: list(tmp_path.glob("many/full/simplified/*.ndjson")))
        # A terminal sends it to the whole group.
        os.killpg(process.pid, signal.SIGINT)
        _, message = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "resumes from there" in message
    assert "Traceback" not in message


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("line", ["--help", "--version", "info set --classes", "info set --json", "verify set"])
def test_a_closed_pipe_is_no_fault_and_no_noise(line: str, built: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run([*SKETCHDATA, *line.split()], cwd=built, stdout=writer, stderr=subprocess.PIPE)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr.strip()) == (0, b"")


def test_the_shell_is_given_completions() -> None:
    environment = {
        **os.environ,
        "_SKETCHDATA_COMPLETE": "bash_complete",
        "COMP_WORDS": "sketchdata ver",
        "COMP_CWORD": "1",
    }
    done = subprocess.run(SKETCHDATA, env=environment, capture_output=True, text=True, timeout=60)
    assert "verify" in done.stdout
