"""`sketchdata edgemaps collect`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import click
import orjson
from rich import box
from rich.console import Console
from rich.table import Table

from sketchdata.config import options
from sketchdata.crawl import CrawlOptions
from sketchdata.engine import EngineOptions
from sketchdata.pipelines import edgemaps_collect as recipe

_NAMES_SHOWN = 8


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON instead of tables.")
@options(config=recipe.Config, crawl=CrawlOptions, engine=EngineOptions)
def collect(as_json: bool, config: recipe.Config, crawl: CrawlOptions, engine: EngineOptions) -> None:
    """Collect photos of the 345 classes from folders with boxes, lists of addresses, and searches of the web.

    Sources can be repeated and combined; a photo that several of them name is there once, with all its annotations.
    Local photos are copied and checked; those of the web are fetched slowly, with respect for robots.txt and
    X-Robots-Tag, and with author and licence where the source tells. The same command goes on after an interruption.

    Example: sketchdata edgemaps collect --yolo photos/coco128 --voc photos/raccoon --out photos

    Example: sketchdata edgemaps collect --openverse --categories cat,teddy-bear --per-class 20 --contact me@example.org
    --out photos
    """
    started = time.monotonic()
    collected = recipe.run(config, crawl, engine)
    if collected is None:
        return
    if as_json:
        click.echo(orjson.dumps(collected.counts, option=orjson.OPT_INDENT_2))
        return
    _print(_source_table(collected.counts), _error_table(collected.counts))
    _say_strangers(collected.strangers)
    counts = collected.counts
    click.echo(
        f"{config.out}: {counts['photos']['ok']:,} photos with {counts['boxes']:,} annotations of "
        f"{counts['classes']:,} classes; {time.monotonic() - started:.1f} s"
    )


def _print(*tables: Table | None) -> None:
    # Not straight to standard output: rich would turn a closed pipe (`| head`) into exit code 1.
    console = Console()
    with console.capture() as captured:
        for table in tables:
            if table is not None:
                console.print(table)
    click.echo(captured.get(), nl=False)


def _source_table(counts: Mapping[str, Any]) -> Table:
    keys = ("photos", "ok", "failed", "refused", "boxes", "left_out", "rejects")
    table = Table("source", "photos", "there", "failed", "refused", "boxes", "left out", "rejects", box=box.SIMPLE_HEAD)
    # Where the terminal is narrow, it is the names that go over several lines.
    table.columns[0].overflow = "fold"
    for column in table.columns[1:]:
        column.justify, column.no_wrap = "right", True
    for row in counts["sources"]:
        name = row["source"] if row["source"] == row["name"] else f"{row['source']} {row['name']}"
        # Names of folders are the user's, and no markup of rich's.
        table.add_row(name.replace("[", "\\["), *(f"{row[key]:,}" for key in keys))
    return table


def _error_table(counts: Mapping[str, Any]) -> Table | None:
    if not counts["errors"]:
        return None
    table = Table("why a photo is not there", "photos", box=box.SIMPLE_HEAD)
    table.columns[1].justify = "right"
    for error, photos in counts["errors"].items():
        table.add_row(error, f"{photos:,}")
    return table


def _say_strangers(strangers: Mapping[str, int]) -> None:
    if not strangers:
        return
    shown = ", ".join(f"{name} {count:,}" for name, count in list(strangers.items())[:_NAMES_SHOWN])
    more = len(strangers) - _NAMES_SHOWN
    click.echo(
        f"left out, as they stand for none of the classes that are wanted: {shown}"
        f"{f' and {more:,} more names' if more > 0 else ''} (--map FILE gives names a class)",
        err=True,
    )
