"""`sketchdata export codes` and `sketchdata export lists`: for other hashing programs."""

from __future__ import annotations

from pathlib import Path

import click
import orjson

from sketchdata.config import options
from sketchdata.engine import EngineOptions
from sketchdata.manifest import Manifest
from sketchdata.pipelines import export_codes as codes_recipe
from sketchdata.pipelines import export_lists as lists_recipe

_JSON = click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON on standard output.")


@click.command()
@click.argument("directory", metavar="CODES", type=click.Path(file_okay=False, path_type=Path))
@_JSON
@options(config=codes_recipe.Config)
def codes(directory: Path, as_json: bool, config: codes_recipe.Config) -> None:
    """Export the binary codes in CODES to the arrays of DeepHash-pytorch.

    The gallery becomes trn_binary.npy, 1 and −1, and trn_label.npy, a column a class; the queries tst_binary.npy and
    tst_label.npy. Beside them are the key_ids and the class table.

    Example: sketchdata export codes codes --format deephash --out deephash
    """
    manifest = codes_recipe.run(directory, config)
    _say(manifest, config.out, "codes", as_json)
    if not as_json:
        table = config.out / codes_recipe.CLASSES_FILE
        click.echo(f"Read them back with: sketchdata import codes {config.out} --classes {table} --out CODES")


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@_JSON
@options(config=lists_recipe.Config, engine=EngineOptions)
def lists(directory: Path, as_json: bool, config: lists_recipe.Config, engine: EngineOptions) -> None:
    """Export the lists of the data set in DIR: train.txt, database.txt (the gallery) and test.txt (the queries).

    A line is class/key_id.png and a column a class, as HashNet and DeepHash-pytorch read it: they then train on the
    very drawings that we do. The pictures are not written.

    Example: sketchdata export lists data/quickdraw-3.8m --format hashnet --out lists
    """
    manifest = lists_recipe.run(directory, config, engine)
    if manifest is not None:
        _say(manifest, config.out, "pictures", as_json)


def _say(manifest: Manifest, out: Path, noun: str, as_json: bool) -> None:
    size, splits = sum(file.bytes for file in manifest.files), manifest.splits
    if as_json:
        told = {"out": str(out), **manifest.config, "splits": splits, "classes": len(manifest.classes), "bytes": size}
        click.echo(orjson.dumps(told, option=orjson.OPT_INDENT_2))
        return
    counts = ", ".join(f"{split} {count:,}" for split, count in splits.items())
    click.echo(f"{out}: {sum(splits.values()):,} {noun} of {len(manifest.classes):,} classes ({counts})")
    click.echo(f"{size / 1e6:,.1f} MB in {len(manifest.files):,} files")
