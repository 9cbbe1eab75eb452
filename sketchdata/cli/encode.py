"""`sketchdata encode`."""

from __future__ import annotations

import time
from pathlib import Path

import click
import orjson

from sketchdata.config import options
from sketchdata.pipelines import encode as recipe


@click.command()
@click.argument("run", type=click.Path(file_okay=False, path_type=Path))
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON on standard output.")
@options(config=recipe.Config)
def encode(run: Path, data: Path, as_json: bool, config: recipe.Config) -> None:
    """Turn the drawings in DATA into binary codes, by the trained network in the folder RUN.

    DATA is a built data set or bitmaps, of any classes. Writes a Parquet file a split with key_id, label and code, and
    a manifest. Bitmaps have no key_ids: the number of the row in its split stands for it. The same command goes on
    after an interruption; on the CPU, it gives the same bytes.

    Example: sketchdata encode runs/hashing data/quickdraw-3.8m --out codes
    """
    started = time.monotonic()
    manifest = recipe.run(run, data, config)
    bits, splits = manifest.config["bits"], manifest.splits
    if as_json:
        told = {
            "out": str(config.out),
            "bits": bits,
            "model": manifest.config["model"],
            "ids": manifest.config["ids"],
            "splits": splits,
            "classes": len(manifest.classes),
            "bytes": sum(file.bytes for file in manifest.files),
        }
        click.echo(orjson.dumps(told, option=orjson.OPT_INDENT_2))
        return
    counts = ", ".join(f"{split} {count:,}" for split, count in splits.items())
    size = sum(file.bytes for file in manifest.files) / 1e6
    click.echo(f"{config.out}: {sum(splits.values()):,} codes of {bits} bits ({counts})")
    click.echo(f"{size:,.1f} MB; {time.monotonic() - started:.1f} s")
    click.echo(f"Search them with: sketchdata index build {config.out} --out INDEX")
