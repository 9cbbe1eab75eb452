"""`sketchdata edgemaps generate`."""

from __future__ import annotations

import click

from sketchdata.config import options
from sketchdata.engine import EngineOptions
from sketchdata.pipelines import edgemaps_generate as recipe


@click.command()
@options(config=recipe.Config, engine=EngineOptions)
def generate(config: recipe.Config, engine: EngineOptions) -> None:
    """Generate photos of the 345 classes, for trying the way to edge maps out without a download.

    Each class has the shape that `sketchdata synth` draws, as a thing with surfaces, shadow and outlines in front of a
    ground with other things. Each class gets a folder, as `sketchdata edgemaps collect --folders` reads them. The
    photos show nothing real, and a note in the folder says so. On one machine, the same options give the same bytes.

    Example: sketchdata edgemaps generate --out generated --photos 40 --categories star,house,cat
    """
    generated = recipe.run(config, engine)
    if generated is not None:
        click.echo(
            f"{config.out}: {generated.photos:,} generated photos of {generated.classes:,} classes, "
            f"{generated.bytes / 1e6:,.1f} MB (they show nothing real)"
        )
        click.echo(f"Next: sketchdata edgemaps collect --folders {config.out} --out photos")
