"""`sketchdata edgemaps extract`."""

from __future__ import annotations

import time
from pathlib import Path

import click
import orjson

from sketchdata.config import options
from sketchdata.engine import EngineOptions
from sketchdata.manifest import Manifest
from sketchdata.pipelines import edgemaps_extract as recipe


@click.command()
@click.argument("directory", metavar="CROPS", type=click.Path(file_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print what was made as JSON instead of a sentence.")
@options(config=recipe.Config, engine=EngineOptions)
def extract(directory: Path, as_json: bool, config: recipe.Config, engine: EngineOptions) -> None:
    """Find the edges of CROPS, which `sketchdata edgemaps crop` made, and draw them as centred edge maps.

    canny, sobel and xdog need nothing more; learned is a small network that comes with the package; structured, tin and
    pidinet read a file of weights, or fetch it once from its address, given its sha256. Edges are thinned to lines one
    pixel wide, whose longer side takes nine tenths of the picture. Crops without edges are listed in rejects.jsonl. A
    run that was stopped goes on where it was when the same command runs again; the bytes depend neither on the workers
    nor on interruptions.

    Example: sketchdata edgemaps extract crops --out edges

    Example: sketchdata edgemaps extract crops --out edges --detector tin --weights TIN2.pth --scales 0.5,1,1.5

    Example: sketchdata edgemaps extract crops --out edges --detector structured --weights model.yml.gz
    """
    started = time.monotonic()
    manifest = recipe.run(directory, config, engine)
    if manifest is None:
        return
    if as_json:
        click.echo(orjson.dumps(_numbers(manifest), option=orjson.OPT_INDENT_2))
        return
    numbers = _numbers(manifest)
    size = sum(file.bytes for file in manifest.files)
    refused = ", ".join(f"{count:,} {reason}" for reason, count in manifest.rejects.items()) or "none"
    click.echo(f"{config.out}: {numbers['edge_maps']:,} edge maps of {numbers['classes']} classes by {config.detector}")
    click.echo(f"{size / 1e6:,.1f} MB; refused crops: {refused}; {time.monotonic() - started:.1f} s")
    click.echo(f"Curate them with: sketchdata edgemaps curate {config.out}")


def _numbers(manifest: Manifest) -> dict[str, object]:
    counts = [count for classes in manifest.counts.values() for count in classes.values()]
    return {
        "edge_maps": sum(counts),
        "classes": sum(map(bool, counts)),
        "rejects": manifest.rejects,
        "options": manifest.config,
    }
