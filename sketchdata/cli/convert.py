"""`sketchdata convert`."""

from __future__ import annotations

import click

from sketchdata.config import options
from sketchdata.pipelines import convert as recipe


@click.command()
@click.argument("source", metavar="IN")
@click.argument("out", metavar="OUT")
@options(config=recipe.Config)
def convert(source: str, out: str, config: recipe.Config) -> None:
    """Convert drawings between formats, which IN's and OUT's suffixes tell.

    .ndjson, .ndjson.gz (official text, simplified or raw), .bin (official binary), .npz (sketch-rnn's stroke-3) and
    .svg are read and written, .npy (official 28×28 bitmaps) is written. IN may be a folder of SVG files, OUT a folder
    for them, one a drawing, when it exists or its name ends in a slash. A hyphen is standard input or output.

    Records that cannot be read are refused, counted and shown; OUT appears only when it is whole.

    Example: sketchdata convert star.bin star.ndjson.gz

    Example: sketchdata convert cat.full.npz cats/ --word cat

    Example: sketchdata convert sketches/ sketches.ndjson --word star

    Example: sketchdata convert raw/star.ndjson star.npz --simplify

    Example: gunzip -c star.ndjson.gz | sketchdata convert - star.npy --from ndjson
    """
    converted = recipe.run(source, out, config)
    refused = converted.rejects.total()
    click.echo(f"{out}: {converted.drawings:,} drawings, {refused:,} records refused", err=True)
    for reason, count in converted.rejects.most_common():
        click.echo(f"  {count:,} {reason}", err=True)
    for example in converted.examples:
        click.echo(f"  {example}", err=True)
