"""`sketchdata audit report` and `audit serve`: the audit to look at, and to act on."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sketchdata.errors import ConfigError

if TYPE_CHECKING:
    from sketchdata.web.exhibit import Exhibit

Command = TypeVar("Command", bound=Callable[..., Any])

_DIRECTORY = click.argument("directory", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))


@click.command()
@_DIRECTORY
def report(directory: Path) -> None:
    """Write DIR/audit/report.html: classes, histograms and example drawings, one file that opens offline.

    Run `sketchdata audit entropy` first.

    Example: sketchdata audit report data/quickdraw-3.8m
    """
    from sketchdata.pipelines import audit_report as recipe

    path = recipe.run(directory)
    click.echo(f"{path}: {path.stat().st_size / 1e6:.1f} MB; open it in a browser")


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


@click.command()
@_DIRECTORY
@serving_options
def serve(directory: Path, **settings: Any) -> None:
    """Serve the curation page: move the percentiles, look at noise and borders, keep and drop drawings.

    Decisions go to DIR/audit/decisions.jsonl as they are taken. It needs the extra `web`.

    Example: sketchdata audit serve data/quickdraw-3.8m --who ada
    """
    from sketchdata.web.exhibit import exhibit_drawings

    run_server(directory, exhibit_drawings, **settings)


def run_server(directory: Path, exhibit: Callable[[Path], Exhibit], *, who: str | None, **settings: Any) -> None:
    """Serve a curation page with what `serving_options` gave.

    Raises:
        ConfigError: The extra `web` is not installed, or nobody says whose decisions they are.
    """
    try:
        from sketchdata.web.server import serve as run
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the curation page needs {error.name}, which is not installed: pip install 'sketchdata[web]'"
        ) from error
    run(directory, exhibit, who=who or _user(), **settings)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError) as error:
        raise ConfigError("this machine does not say who you are: give your name with --who") from error
