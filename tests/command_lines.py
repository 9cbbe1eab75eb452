"""Command lines as people write them, in help, pages and scripts: found, and parsed by the commands themselves."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click

from sketchdata.cli import root

#: Words that may stand before a command without changing what it is; `run` is the one that examples/demo.sh defines.
_PREFIX = re.compile(r"do|then|else|time|srun|nohup|exec|run|\$|\w+=.*")


def commands_in(shell: str) -> Iterator[list[str]]:
    """Yield the arguments of every `sketchdata` command in shell text, quoted ones (`sbatch --wrap "…"`) included."""
    for line in shell.replace("\\\n", " ").splitlines():
        for words in _simple_commands(line):
            while words and _PREFIX.fullmatch(words[0]):
                words.pop(0)
            if words[:1] == ["sketchdata"]:
                yield words[1:]
            elif "sketchdata" in words and words[words.index("sketchdata") - 1] == "-m":
                # Of python, and of torchrun with options of its own.
                yield words[words.index("sketchdata") + 1 :]
            for word in words:
                if "sketchdata " in word and word != line:
                    yield from commands_in(word)


def _simple_commands(line: str) -> Iterator[list[str]]:
    """Split a line at pipes, semicolons and redirections."""
    if "sketchdata" not in line:
        return
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    for word in lexer:
        if set(word) <= set("();<>|&"):
            yield words
            words = []
        else:
            words.append(word)
    yield words


def parse(arguments: list[str]) -> None:
    """Parse a command line as if it were run, and run nothing.

    Raises:
        click.UsageError: The command or option does not exist, a value is of the wrong type, or one is missing.
    """
    command: click.Command = root
    context = click.Context(root, info_name="sketchdata", **root.context_settings)
    try:
        while isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
            name, found, arguments = command.resolve_command(context, list(arguments))
            command = found or command
            context = click.Context(command, info_name=name, parent=context)
        command.make_context(context.info_name, list(arguments), parent=context.parent)
    except click.exceptions.Exit:
        return  # --help and --version
