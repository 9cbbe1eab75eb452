"""What commands share: how they print tables and JSON, and how they serve a page."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import orjson
from rich.console import Console
from rich.table import Table

from sketchdata.errors import ConfigError, needs_extra

if TYPE_CHECKING:
    from sketchdata.web.exhibit import Exhibit

Command = TypeVar("Command", bound=Callable[..., Any])


def print_tables(*tables: Table | None) -> None:
    """Print tables, one below the other, on standard output."""
    # Not straight to it: rich would turn a closed pipe (`| head`) into exit code 1.
    console = Console()
    with console.capture() as captured:
        for table in tables:
            if table is not None:
                console.print(table)
    click.echo(captured.get(), nl=False)


def echo_json(values: Any) -> None:
    """Print values as indented JSON on standard output."""
    click.echo(orjson.dumps(values, option=orjson.OPT_INDENT_2))


def serving_options(command: Command) -> Command:
    """Give a command the options of a page that is served: host, port, open_browser, who."""
    for add in (
        click.option(
            "--who", metavar="NAME", help="Whose decisions they are. Default: the user's name on this machine."
        ),
        click.option(
            "--open/--no-open", "open_browser", default=True, show_default=True, help="Show the page in a browser."
        ),
        click.option(
            "--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="Port; 0 takes a free one."
        ),
        click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on."),
    ):
        command = add(command)
    return command


def run_server(directory: Path, exhibit: Callable[[Path], Exhibit], *, who: str | None, **settings: Any) -> None:
    """Serve a curation page with what `serving_options` gave.

    Raises:
        ConfigError: The extra `web` is not installed, or nobody says whose decisions they are.
    """
    with needs_extra("the curation page", "web"):
        from sketchdata.web.server import serve as run
    run(directory, exhibit, who=who or _user(), **settings)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError) as error:
        raise ConfigError("this machine does not say who you are: give your name with --who") from error
