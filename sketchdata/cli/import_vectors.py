"""`sketchdata import vectors`."""

from __future__ import annotations

import time
from pathlib import Path

import click
import orjson

from sketchdata.config import options
from sketchdata.pipelines import import_vectors as recipe


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON on standard output.")
@options(config=recipe.Config)
def vectors(file: Path, as_json: bool, config: recipe.Config) -> None:
    """Import the word vectors in FILE as vectors of classes, for zero-shot recognition.

    FILE is text of a word and its numbers a line, as of GloVe and fastText (.vec), a .bin of word2vec, either of them
    gzipped, or a .npy with --words. A class takes its word however it is spelled, `wine bottle` that of `Wine_Bottle`;
    a name of several words without one takes the mean of the words' vectors. Writes one Parquet file with word, count
    (of how many words the vector is the mean) and vector. A file of that name is replaced.

    Example: sketchdata import vectors glove.6B.300d.txt --out glove.parquet

    Example: sketchdata import vectors clip.npy --words names.txt --classes data/quickdraw-3.8m --out clip.parquet
    """
    started = time.monotonic()
    found = recipe.run(file, config)
    if as_json:
        click.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2))
        return
    if found["missing"]:
        click.echo(f"left out, without a word, are {len(found['missing']):,}: {', '.join(found['missing'])}", err=True)
    means = {name: words for name, words in found["stand_ins"].items() if len(words) > 1}
    if means:
        told = ", ".join(f"{name} ({', '.join(words)})" for name, words in means.items())
        click.echo(f"means of several words are {len(means):,}: {told}", err=True)
    click.echo(
        f"{config.out}: {found['classes']:,} classes × {found['numbers']:,} numbers; {time.monotonic() - started:.1f} s"
    )
