"""`sketchdata audit report` and `audit serve`: the audit to look at, and to act on."""

from __future__ import annotations

import getpass
from pathlib import Path

import click

from sketchdata.errors import ConfigError

_DIRECTORY = click.argument("directory", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))


@click.command()
@_DIRECTORY
def report(directory: Path) -> None:
    """Write DIR/audit/report.html: classes, histograms and example drawings, one file that opens offline.

    Run `sketchdata audit entropy` first.

    Example: sketchdata audit report data/quickdraw-3.8m
    """
    from sketchdata.recipes.pipelines import audit_report as recipe

    path = recipe.run(directory)
    click.echo(f"{path}: {path.stat().st_size / 1e6:.1f} MB; open it in a browser")


@click.command()
@_DIRECTORY
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="Port; 0 takes a free one."
)
@click.option("--open/--no-open", "open_browser", default=True, show_default=True, help="Show the page in a browser.")
@click.option("--who", metavar="NAME", help="Whose decisions they are. Default: the user's name on this machine.")
def serve(directory: Path, host: str, port: int, open_browser: bool, who: str | None) -> None:
    """Serve the curation page: move the percentiles, look at noise and borders, keep and drop drawings.

    Decisions go to DIR/audit/decisions.jsonl as they are taken. It needs the extra `web`.

    Example: sketchdata audit serve data/quickdraw-3.8m --who ada
    """
    try:
        from sketchdata.web.server import serve as run
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the curation page needs {error.name}, which is not installed: pip install 'sketchdata[web]'"
        ) from error
    run(directory, host=host, port=port, who=who or _user(), open_browser=open_browser)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError) as error:
        raise ConfigError("this machine does not say who you are: give your name with --who") from error
