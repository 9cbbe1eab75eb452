"""`sketchdata import codes` and `sketchdata import lists`: what other hashing programs wrote."""

from __future__ import annotations

from pathlib import Path

import click
import orjson

from sketchdata.config import options
from sketchdata.pipelines import import_codes as recipe
from sketchdata.pipelines import import_lists as lists_recipe


@click.command()
@click.argument("directory", metavar="FOLDER", type=click.Path(file_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON on standard output.")
@options(config=recipe.Config)
def codes(directory: Path, as_json: bool, config: recipe.Config) -> None:
    """Import the binary codes in FOLDER, of any program, so that they are measured exactly as ours are.

    FOLDER has the arrays of DeepHash-pytorch: {trn,tst}_binary.npy, rows of 1 and −1 or of 1 and 0, and
    {trn,tst}_label.npy, a column a class or indices; trn is the gallery, tst the queries. Rows of several classes are
    refused. Nothing is unpickled.

    Example: sketchdata import codes save/DPSH/cifar10-1_48bits_0.7731 --out codes
    """
    manifest = recipe.run(directory, config)
    splits, bits = manifest.splits, manifest.config["bits"]
    if as_json:
        told = {
            "out": str(config.out),
            "bits": bits,
            "ids": manifest.config["ids"],
            "splits": splits,
            "classes": len(manifest.classes),
        }
        click.echo(orjson.dumps(told, option=orjson.OPT_INDENT_2))
        return
    counts = ", ".join(f"{split} {count:,}" for split, count in splits.items())
    click.echo(
        f"{config.out}: {sum(splits.values()):,} codes of {bits} bits, of {len(manifest.classes):,} classes ({counts})"
    )


@click.command()
@click.argument("directory", metavar="FOLDER", type=click.Path(file_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON on standard output.")
@options(config=lists_recipe.Config)
def lists(directory: Path, as_json: bool, config: lists_recipe.Config) -> None:
    """Import the lists in FOLDER, train.txt, database.txt and test.txt of HashNet, as tables.

    A line of a list is a picture's path and a column a class, 1 in its own. Out come train.csv, gallery.csv and
    query.csv: path, key_id where the file's name is one, and class. Pictures of several classes are refused.

    Example: sketchdata import lists HashNet/data/cifar10 --out lists
    """
    counts = lists_recipe.run(directory, config)
    if as_json:
        click.echo(orjson.dumps({"out": str(config.out), "splits": counts}, option=orjson.OPT_INDENT_2))
        return
    told = ", ".join(f"{split} {count:,}" for split, count in counts.items())
    click.echo(f"{config.out}: {sum(counts.values()):,} pictures ({told})")
