"""`sketchdata synth`."""

from __future__ import annotations

import click

from sketchdata.config import options
from sketchdata.engine import EngineOptions
from sketchdata.pipelines import synth as recipe


@click.command()
@options(config=recipe.Config, engine=EngineOptions)
def synth(config: recipe.Config, engine: EngineOptions) -> None:
    """Generate drawings in the official formats, for trying things out without a download.

    Over 100 of the 345 categories look like their names; the others have a fixed invented shape. A share of each
    category is scribbles and over-simple drawings. They are not from Quick, Draw!, and a note in the folder says so.

    Example: sketchdata synth --out data/generated --drawings 1000 --categories star,house,cat
    """
    generated = recipe.run(config, engine)
    if generated is not None:
        click.echo(
            f"{config.out}: {generated.drawings:,} generated drawings in {generated.files:,} files, "
            f"{generated.bytes / 1e6:,.1f} MB (not from Quick, Draw!)"
        )
