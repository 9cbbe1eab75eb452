"""`sketchdata edgemaps crop`."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import click
import orjson
from rich.console import Console
from rich.table import Table

from sketchdata.config import options
from sketchdata.engine import EngineOptions
from sketchdata.manifest import Manifest
from sketchdata.pipelines import edgemaps_crop as recipe
from sketchdata.shards.pictures import UNDIVIDED


@click.command("crop")
@click.argument("directory", metavar="PHOTOS", type=click.Path(file_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON instead of a table.")
@options(config=recipe.Config, engine=EngineOptions)
def crop(directory: Path, as_json: bool, config: recipe.Config, engine: EngineOptions) -> None:
    """Crop every annotated object out of the photos in PHOTOS, and remove duplicates.

    Each box becomes a picture of its class, upright and with a margin; photos without a box are taken whole, or cropped
    to what stands out. Of equal and nearly equal crops, whatever their classes, one stays. Every annotation ends as a
    crop, in duplicates.csv or in rejects.jsonl. The bytes depend neither on the workers nor on interruptions; the same
    command goes on after one. PHOTOS stays as it is.

    Example: sketchdata edgemaps crop photos --out crops

    Example: sketchdata edgemaps crop photos --out crops --no-box saliency --near none --skip-flags group,occluded
    """
    started = time.monotonic()
    manifest = recipe.run(directory, config, engine)
    if manifest is None:
        return
    summary = recipe.summarise(config.out, manifest)
    if as_json:
        click.echo(orjson.dumps(_counts(manifest, summary), option=orjson.OPT_INDENT_2))
        return
    console = Console()
    with console.capture() as captured:
        console.print(_table(summary))
    # Not straight to standard output: rich would turn a closed pipe (`| head`) into exit code 1.
    click.echo(captured.get(), nl=False)
    filled, across = sum(map(bool, manifest.counts[UNDIVIDED].values())), summary.duplicates.across_classes
    click.echo(f"{config.out}: {summary.crops:,} crops of {filled:,} classes; {time.monotonic() - started:.1f} s")
    click.echo(f"Of the duplicates, {across:,} went for a crop of another class")
    click.echo(f"Next: sketchdata edgemaps extract {config.out} --out edges")


def _counts(manifest: Manifest, summary: recipe.Summary) -> dict[str, object]:
    return {
        "name": manifest.name,
        "options": manifest.config,
        "annotations": summary.annotations,
        "crops": summary.crops,
        "duplicates": dataclasses.asdict(summary.duplicates),
        "rejects": summary.rejects,
        "classes": {word: count for word, count in manifest.counts[UNDIVIDED].items() if count},
    }


def _table(summary: recipe.Summary) -> Table:
    table = Table()
    table.add_column("what became of them", no_wrap=True)
    table.add_column("annotations", justify="right")
    rows = {
        "crops": summary.crops,
        "exact duplicates": summary.duplicates.exact,
        "near duplicates": summary.duplicates.near,
        **{f"rejected: {reason}": count for reason, count in summary.rejects.items()},
    }
    for what, count in rows.items():
        table.add_row(what, f"{count:,}")
    table.add_section()
    table.add_row("all", f"{summary.annotations:,}")
    return table
