"""Write docs/cli.md, the reference of the command line, from the commands themselves.

`python docs/generate_cli.py` writes the page; with `--check` it exits 1 when the page is stale.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click

from sketchdata.cli import root
from sketchdata.cli.help import example_of, paragraphs

PAGE = Path(__file__).with_name("cli.md")

_INTRODUCTION = """\
# The command line

<!-- Written by docs/generate_cli.py from the commands' own help; change that and run it again. -->

Every command has `--help`, and `sketchdata --version` tells the version. Where a command has `--config`, a TOML file
can give any of its options by name; a flag on the command line wins over it.

Exit codes: 0 success, 1 a fault (the message says what was expected, what was found and what to do), 2 wrong usage,
130 stopped by Ctrl-C; what was finished is kept, and the same command goes on from there.
"""

_REQUIRED = "[required]"


def page() -> str:
    """Return the whole page as Markdown."""
    with click.Context(root, info_name="sketchdata") as context:
        contexts = list(_leaves(context))
    contents = "".join(f"| {_link(context)} | {paragraphs(context.command.help or '')[0]} |\n" for context in contexts)
    return "\n".join([f"{_INTRODUCTION}\n| command | what it does |\n|---|---|\n{contents}", *map(_section, contexts)])


def _leaves(context: click.Context) -> Iterator[click.Context]:
    """Yield the context of every command that is not a group, in the order of `--help`."""
    group = context.command
    if not isinstance(group, click.Group):
        yield context
        return
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None:
            raise LookupError(f"{context.command_path} lists {name}, and has no such command")
        yield from _leaves(click.Context(command, info_name=name, parent=context))


def _link(context: click.Context) -> str:
    # The anchor that Markdown's renderers make of the heading: letters, digits and hyphens.
    anchor = re.sub(r"[^a-z0-9 -]", "", context.command_path.lower()).replace(" ", "-")
    return f"[{context.command_path}](#{anchor})"


def _section(context: click.Context) -> str:
    command = context.command
    parts = [f"## {context.command_path}\n"]
    for paragraph in paragraphs(command.help or ""):
        example = example_of(paragraph)
        parts.append(f"{paragraph}\n" if example is None else _code(example))
    parts.append(_code(" ".join([context.command_path, *command.collect_usage_pieces(context)]), language="text"))
    options = [param for param in command.params if isinstance(param, click.Option) and not param.hidden]
    parts += ["| option | value | default | meaning |\n|---|---|---|---|", *map(_row, options)]
    return "\n".join(parts) + "\n"


def _code(line: str, language: str = "bash") -> str:
    return f"```{language}\n{line}\n```\n"


def _row(option: click.Option) -> str:
    meaning = (option.help or "").removesuffix(_REQUIRED).strip()
    cells = (", ".join(f"`{flag}`" for flag in option.opts), _value(option), _default(option), meaning)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _value(option: click.Option) -> str:
    kind = option.type
    if option.is_flag:
        return ""
    if isinstance(kind, click.Choice):
        return ", ".join(f"`{choice}`" for choice in kind.choices)
    if isinstance(kind, click.IntRange | click.FloatRange):
        noun = "integer" if isinstance(kind, click.IntRange) else "number"
        return f"{noun} {_bounds(kind.min, kind.max)}"
    if isinstance(kind, click.Path):
        return "folder" if not kind.file_okay else "file" if not kind.dir_okay else "path"
    return f"`{option.metavar}`" if option.metavar else kind.name


def _bounds(least: float | None, most: float | None) -> str:
    if most is None:
        return f"≥ {least:,}"
    return f"≤ {most:,}" if least is None else f"{least:,} to {most:,}"


def _default(option: click.Option) -> str:
    if option.required or (option.help or "").endswith(_REQUIRED):
        return "required"
    return f"`{option.default}`" if option.show_default and not option.is_flag else ""


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; exit 1 when the page is stale.")
def main(check: bool) -> None:
    """Write docs/cli.md."""
    wanted = page()
    found = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    if check and wanted != found:
        raise click.ClickException(f"{PAGE} is stale: run python docs/generate_cli.py")
    if not check:
        PAGE.write_text(wanted, encoding="utf-8")


if __name__ == "__main__":
    main()
