"""A Click group that imports a command's module only when that command is asked for.

`sketchdata --help` then costs no numpy, no pyarrow and no torch.
"""

from __future__ import annotations

import importlib
from typing import Any

import click

from sketchdata.cli.help import HelpContext


class LazyGroup(click.Group):
    """A group whose commands are named as `module:attribute`, each with its line of help.

    Args:
        lazy: {command name: (import path, short help)}.
        **settings: Passed on to `click.Group`.
    """

    context_class = HelpContext

    def __init__(self, *, lazy: dict[str, tuple[str, str]], **settings: Any) -> None:
        super().__init__(**settings)
        self.lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order in which they are used, not the alphabet's."""
        return list(self.lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        if cmd_name not in self.lazy:
            return None
        module, _, attribute = self.lazy[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        # Here every command passes by, so none has to remember to ask for it.
        command.context_class = HelpContext
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self.lazy.items()])
