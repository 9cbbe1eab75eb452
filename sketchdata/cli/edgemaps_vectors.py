"""`sketchdata edgemaps vectors`."""

from __future__ import annotations

import time
from pathlib import Path

import click
import orjson

from sketchdata.config import options
from sketchdata.pipelines import edgemaps_vectors as recipe

#: Of the classes that are left out, how many are named on the terminal.
_TOLD = 10


@click.command()
@click.argument("run", type=click.Path(file_okay=False, path_type=Path))
@click.argument("data", type=click.Path(file_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON on standard output.")
@options(config=recipe.Config)
def vectors(run: Path, data: Path, as_json: bool, config: recipe.Config) -> None:
    """Compute a vector of each class from its edge maps in DATA, by the classifier trained in the folder RUN.

    A class's vector is the mean of what the classifier's last layer reads of its edge maps: 1,280 numbers of MobileNet
    V2. Writes one Parquet file with word, count and vector, in the order of the class table, for zero-shot recognition.
    A file of that name is replaced; on the CPU, the same command gives the same bytes.

    Example: sketchdata edgemaps vectors runs/edgemap data/edgemap-345c --out edge-vectors.parquet
    """
    started = time.monotonic()
    found = recipe.run(run, data, config)
    if as_json:
        click.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2))
        return
    if found["missing"]:
        missing = found["missing"]
        more = f" and {len(missing) - _TOLD:,} others, which the file names" if len(missing) > _TOLD else ""
        told = f"{', '.join(missing[:_TOLD])}{more}"
        click.echo(f"left out, without an edge map, are {len(missing):,} classes: {told}", err=True)
    click.echo(
        f"{config.out}: {found['classes']:,} classes × {found['numbers']:,} numbers, means of "
        f"{found['edge_maps']:,} edge maps of {found['split']}; {time.monotonic() - started:.1f} s"
    )
