"""`sketchdata download`: official files."""

from __future__ import annotations

import click
import orjson
from rich.filesize import decimal
from rich.table import Table

from sketchdata.config import options
from sketchdata.pipelines import download
from sketchdata.progress import console


@click.command()
@options(config=download.Config)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON on standard output.")
def quickdraw(config: download.Config, as_json: bool) -> None:
    """Download the official Quick, Draw! files, resumable and verified.

    Files that are there and right are left alone; a broken download goes on where it stopped, even after Ctrl-C.
    DEST is laid out like the bucket, so `sketchdata build quickdraw-3.8m --source DEST` reads it.

    Example: sketchdata download quickdraw --categories star,cat

    Example: sketchdata download quickdraw --format raw --dest raw-files --jobs 8
    """
    summary = download.run(config)
    if as_json:
        click.echo(orjson.dumps(summary.as_dict(), default=str, option=orjson.OPT_INDENT_2).decode())
    else:
        console.print(_table(summary))
        rate = decimal(int(summary.received / max(summary.seconds, 1e-9)))
        text = f"{decimal(summary.received)} fetched in {summary.seconds:.1f} s, {rate}/s, to {summary.dest}"
        console.print(text, highlight=False, soft_wrap=True)
    if summary.not_official:
        console.print(_warning(summary), highlight=False, soft_wrap=True)
    summary.check()


def _table(summary: download.DownloadSummary) -> Table:
    table = Table("", "files", "size")
    for column in table.columns[1:]:
        column.justify = "right"
    for status in ("downloaded", "resumed", "present", "planned", "failed"):
        if status != "planned" or summary.count(status):
            table.add_row(status, f"{summary.count(status):,}", decimal(summary.size(status)))
    return table


def _warning(summary: download.DownloadSummary) -> str:
    names = [file.path for file in summary.not_official]
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    return f"warning: not the official content (by the published md5): {', '.join(names[:3])}{more}"
