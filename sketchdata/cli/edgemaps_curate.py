"""`sketchdata edgemaps curate`."""

from __future__ import annotations

import time
from pathlib import Path

import click
import orjson

from sketchdata.audit_store import record_path
from sketchdata.config import options
from sketchdata.engine import EngineOptions
from sketchdata.manifest import AUDIT_FOLDER
from sketchdata.pipelines import edgemaps_curate as recipe


@click.command()
@click.argument("edges", metavar="EDGES", type=click.Path(file_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the audit's record as JSON instead of a summary.")
@options(config=recipe.Config, engine=EngineOptions)
def curate(edges: Path, as_json: bool, config: recipe.Config, engine: EngineOptions) -> None:
    """Score the messiness of every edge map in EDGES within its class, and flag the worst as noise.

    The score is the mean of an edge map's ranks by its ink, its short fragments, lines that end at its border and, with
    --drawings, its distance from drawings of the class. Writes EDGES/audit/messiness.parquet, thresholds.csv and
    messiness.json, and changes nothing else.

    Example: sketchdata edgemaps curate data/edges

    Example: sketchdata edgemaps curate data/edges --drawings data/quickdraw-3.8m --high 85
    """
    started = time.monotonic()
    record = recipe.run(edges, config, engine)
    if record is None:
        return
    counts = record.counts
    if as_json:
        named = {"kind": record.kind, "name": record.name, "options": record.options}
        click.echo(orjson.dumps({**named, **counts}, option=orjson.OPT_INDENT_2))
        return
    click.echo(
        f"{counts['edge_maps']:,} edge maps of {counts['classes']:,} classes: {counts['normal']:,} normal, "
        f"{counts['noise']:,} noise ({counts['messy']:,} above percentile {config.high:g} of their class, "
        f"{counts['dense']:,} with too much ink, {counts['empty']:,} empty)"
    )
    if counts["classes_with_few"]:
        click.echo(
            f"{counts['classes_with_few']:,} classes have fewer than {record.options['few']} edge maps: their "
            f"{counts['unjudged']:,} edge maps have a score and no flag",
            err=True,
        )
    names = [file.path for file in record.files] + [record_path(edges, record.kind).name]
    click.echo(f"{edges / AUDIT_FOLDER}: {', '.join(names)}; {time.monotonic() - started:.1f} s")
    click.echo(f"Look at them with: sketchdata edgemaps serve {edges}")
