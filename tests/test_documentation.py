"""The pages tell the truth: their commands parse, their links lead somewhere, and the reference has every command."""

from __future__ import annotations

import ast
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import click
import pytest

import sketchdata
from sketchdata.cli import root
from tests.command_lines import commands_in, parse

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "docs").glob("[!_]*/**/*.md")])
SCRIPTS = sorted((ROOT / "examples").glob("*.sh"))
SHELLS = {"bash", "sh", "shell", "console"}

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
every_page_and_script = pytest.mark.parametrize("page", [*PAGES, *SCRIPTS], ids=lambda page: page.name)


def fences(markdown: str) -> list[tuple[str, str]]:
    """Return (language, text) of every fenced block."""
    return re.findall(r"^ *```(\w*)[^\n]*\n(.*?)^ *```", markdown, flags=re.MULTILINE | re.DOTALL)


def shell_of(page: Path) -> str:
    """Return the shell text of a page: its shell blocks, or all of a script; of a console block what follows `$`."""
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".sh":
        return text
    blocks = [(language, block) for language, block in fences(text) if language in SHELLS]
    return "\n".join(
        "\n".join(re.findall(r"^ *\$ ((?:.*\\\n)*.*)", block, flags=re.MULTILINE)) if language == "console" else block
        for language, block in blocks
    )


def prose_of(page: Path) -> str:
    """Return a page without its fenced blocks and code spans, where brackets are no links."""
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", "", text)


def links(prose: str) -> list[str]:
    """Return where links and pictures lead, in Markdown and in HTML."""
    return re.findall(r"\]\(\s*<?([^)\s>]+)", prose) + re.findall(r"(?:src|href|srcset)=\"([^\"]+)\"", prose)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as Markdown's renderers make them."""
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ +(.+?) *$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_pages_are_found() -> None:
    assert {"README.md", "index.md", "clusters.md", "dataset.md"} <= {page.name for page in PAGES}


@every_page_and_script
def test_every_command_line_of_a_page_parses(page: Path) -> None:
    for arguments in commands_in(shell_of(page)):
        try:
            parse(arguments)
        except click.UsageError as error:
            pytest.fail(f"sketchdata {' '.join(arguments)}: {error.format_message()}")


def test_the_pages_and_the_demonstration_show_every_command_and_group() -> None:
    # So that the test above cannot pass by finding none.
    shown = {arguments[0] for page in [*PAGES, *SCRIPTS] for arguments in commands_in(shell_of(page))}
    assert shown == set(root.list_commands(click.Context(root)))
    assert len(list(commands_in(shell_of(ROOT / "examples/demo.sh")))) > 30


@pytest.mark.parametrize(
    ("shell", "expected"),
    [
        ("sketchdata synth --out a | head -1 && sketchdata info b > c", [["synth", "--out", "a"], ["info", "b"]]),
        ("sketchdata build \\\n  quickdraw-3.8m", [["build", "quickdraw-3.8m"]]),
        ("A=1 python -m sketchdata verify a  # sketchdata b", [["verify", "a"]]),
        ('sbatch --wrap "sketchdata verify a"', [["verify", "a"]]),
        ("for i in 0 1; do sketchdata verify $i; done", [["verify", "$i"]]),
        ("pip install sketchdata\ngit clone https://example.org/sketchdata\ncd sketchdata", []),
    ],
)
def test_command_lines_are_found_where_people_write_them(shell: str, expected: list[list[str]]) -> None:
    assert list(commands_in(shell)) == expected


@every_page
def test_every_relative_link_and_picture_exists(page: Path) -> None:
    for link in links(prose_of(page)):
        place, _, anchor = unquote(link).partition("#")
        if re.match(r"[a-z]+:", place):
            continue
        target = page.parent / place if place else page
        assert target.resolve().is_relative_to(ROOT), f"{link} leads out of the project"
        assert target.exists(), f"{link} leads nowhere"
        assert not anchor or target.suffix != ".md" or anchor in anchors(target), f"{link}: no such heading"


@every_page
def test_every_path_that_is_named_in_code_and_looks_like_ours_exists(page: Path) -> None:
    folders = "sketchdata|pipelines|trainers|manifests|tests|docs|benchmarks"
    named = re.findall(rf"`((?:{folders})/[\w./-]+)`", page.read_text(encoding="utf-8"))
    assert [path for path in named if not (ROOT / path).exists()] == []


@every_page_and_script
def test_no_page_names_a_place_on_somebodys_machine(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert re.findall(r"(?<![\w.:/~-])/(?:home|root|tmp|work|mnt|Users|opt|srv|var)/[\w./-]+", text) == []


def leaves(context: click.Context) -> Iterator[click.Context]:
    """Yield the context of every command that is not a group."""
    group = context.command
    if not isinstance(group, click.Group):
        yield context
        return
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield from leaves(click.Context(command, info_name=name, parent=context))


@pytest.mark.slow
def test_the_reference_page_has_every_command_and_option(tmp_path: Path) -> None:
    (tmp_path / "index.md").write_bytes((ROOT / "docs/reference/cli.md").read_bytes())
    settings = ["-q", "-W", "--keep-going", "-n", "-b", "html", "-c", ROOT / "docs"]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *settings, tmp_path, tmp_path / "site"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    page = (tmp_path / "site/index.html").read_text(encoding="utf-8")
    found = {re.sub(r"\W+", " ", name) for name in re.findall(r'id="([^"]+)"', page)}
    expected = set()
    for context in leaves(click.Context(root, info_name="sketchdata")):
        options = [param for param in context.command.params if isinstance(param, click.Option) and not param.hidden]
        names = [f"cmdoption {context.command_path} {option.opts[-1].lstrip('-')}" for option in options]
        expected |= {re.sub(r"\W+", " ", name) for name in [context.command_path, *names]}
    assert len(expected) > 400
    assert expected - found == set()


def defined_in(path: Path, name: str) -> bool:
    """Whether a module defines a function, a class, or a method as `Class.method`."""
    body: list[ast.stmt] = ast.parse(path.read_text(encoding="utf-8")).body
    for part in name.split("."):
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        found = [node for node in body if isinstance(node, kinds) and node.name == part]
        if not found:
            return False
        body = found[0].body
    return True


@every_page
def test_every_function_that_a_page_names_by_its_file_exists(page: Path) -> None:
    named = re.findall(r"`([\w/]+\.py):([\w.]+)`", page.read_text(encoding="utf-8"))
    assert [f"{path}:{name}" for path, name in named if not defined_in(ROOT / "sketchdata" / path, name)] == []
    assert len(named) > 25 or page != ROOT / "docs/design/index.md"


@every_page
def test_every_name_of_the_package_that_a_page_imports_or_mentions_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = {tuple(name.split(".")) for name in re.findall(r"`(sketchdata(?:\.\w+)+)[`(]", text)}
    for block in [block for language, block in fences(text) if language == "python"]:
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sketchdata"):
                named |= {(*(node.module or "").split("."), alias.name) for alias in node.names}
    for parts in named:
        pkgutil.resolve_name(".".join(parts))


def test_the_design_page_has_the_rooms_in_the_order_of_their_imports() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    section = (ROOT / "docs/design/index.md").read_text(encoding="utf-8").split("\n## ")[1]
    rows = [re.findall(r"`(\w+)`", line.split("|")[1]) for line in section.splitlines() if line.startswith("| `")]
    assert rows == [[name.strip().removeprefix("sketchdata.") for name in layer.split("|")] for layer in layers]


def test_the_reference_page_has_every_public_name() -> None:
    page = (ROOT / "docs/reference/api.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"^\.\. auto\w+:: sketchdata\.(\w+)$", page, flags=re.MULTILINE))
    assert shown == set(sketchdata.__all__) - {"__version__"}


def test_every_option_that_a_page_names_exists() -> None:
    commands = [context.command for context in leaves(click.Context(root, info_name="sketchdata"))]
    params = [param for command in commands for param in command.params]
    known = {"--help", *(name for param in params for name in (*param.opts, *param.secondary_opts))}
    spans = [(page, span) for page in PAGES for span in re.findall(r"`(--[^`\n]+)`", page.read_text(encoding="utf-8"))]
    named = {(page.name, name) for page, span in spans for name in re.findall(r"(?:^|\s)(--[a-z][\w-]*)", span)}
    assert len(named) > 100
    assert {(page, name) for page, name in named if name not in known} == set()
