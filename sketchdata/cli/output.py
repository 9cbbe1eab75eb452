"""What commands share: arguments, tables, JSON, an audit's record, and the curation page."""

from __future__ import annotations

import getpass
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import orjson
from rich.console import Console
from rich.table import Table

from sketchdata.errors import ConfigError, needs_extra
from sketchdata.names import printable

if TYPE_CHECKING:
    from sketchdata.curation.audit import AuditRecord
    from sketchdata.retrieval.query import Unreadable
    from sketchdata.storage.manifest import Manifest
    from sketchdata.web.exhibit import Exhibit

Command = TypeVar("Command", bound=Callable[..., Any])

JSON = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on standard output.")


def print_tables(*tables: Table) -> None:
    """Print tables, one below the other, on standard output."""
    # Not straight to it: rich would turn a closed pipe (`| head`) into exit code 1.
    console = Console(markup=False, emoji=False)
    with console.capture() as captured:
        for table in tables:
            console.print(table)
    click.echo(captured.get(), nl=False)


def end_with(unreadable: Sequence[Unreadable]) -> None:
    """End a command whose other files were answered: name those that could not be read, and exit with 1."""
    for one in unreadable:
        click.echo(printable(f"error: {one.reason}"), err=True)
    if unreadable:
        click.get_current_context().exit(1)


class PlainTable(Table):
    """A table that shows text as it is, and � for characters that cannot be printed."""

    def add_row(self, *cells: Any, **settings: Any) -> None:
        """Add a row of texts."""
        super().add_row(*map(printable, cells), **settings)


def table_of(*titles: str, fold: bool = False, **settings: Any) -> PlainTable:
    """Return an empty table: names on the left, numbers on the right.

    On a narrow terminal the titles of numbers take several lines or, with `fold`, the names do.
    """
    table = PlainTable(**settings)
    for place, title in enumerate(titles):
        table.add_column(title, justify="right" if place else "left", no_wrap=fold == bool(place), overflow="fold")
    return table


def echo_json(values: Any) -> None:
    """Print values as indented JSON on standard output."""
    try:
        click.echo(orjson.dumps(values, default=str, option=orjson.OPT_INDENT_2))
    except TypeError:  # a name that is not UTF-8
        click.echo(json.dumps(values, default=str, indent=2))


def counted(splits: Mapping[str, int]) -> str:
    """Return `train 9,000, val 1,000`."""
    return ", ".join(f"{split} {count:,}" for split, count in splits.items())


def bytes_of(manifest: Manifest) -> int:
    """Return the bytes of a folder's files."""
    return sum(file.bytes for file in manifest.files)


def report_audit(
    directory: Path, record: AuditRecord | None, started: float, as_json: bool, show: Callable[[Any], None]
) -> None:
    """Print an audit's record: as JSON, or by `show`, which gets its counts; nothing of an unfinished share."""
    from sketchdata.curation.audit import record_path

    if record is None:
        return
    if as_json:
        echo_json({"kind": record.kind, "name": record.name, "options": record.options, **record.counts})
        return
    show(record.counts)
    path = record_path(directory, record.kind)
    names = [*(file.path for file in record.files), path.name]
    click.echo(f"{path.parent}: {', '.join(names)}; {time.monotonic() - started:.1f} s")


def serving_options(command: Command) -> Command:
    """Give a command the options of a page that is served: host, port, open_browser, who."""
    for add in (
        click.option(
            "--who", metavar="NAME", help="Name of the curator in the log. Default: the user's name on this machine."
        ),
        click.option(
            "--open/--no-open", "open_browser", default=True, show_default=True, help="Show the page in a browser."
        ),
        click.option(
            "--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="Port; 0 is any free one."
        ),
        click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on."),
    ):
        command = add(command)
    return command


def run_server(directory: Path, exhibit: Callable[[Path], Exhibit], *, who: str | None, **settings: Any) -> None:
    """Serve a curation page with the values of `serving_options`.

    Raises:
        ConfigError: The extra `web` is not installed, or there is no name for the curator.
    """
    with needs_extra("the curation page", "web"):
        from sketchdata.web.server import serve as run
    try:
        who = who or getpass.getuser()
    except (OSError, KeyError) as error:
        raise ConfigError("this machine has no name for you: give one with --who") from error
    run(directory, exhibit, who=who, **settings)
