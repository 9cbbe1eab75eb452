"""`sketchdata export …`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import click

from sketchdata.config import options
from sketchdata.engine import EngineOptions
from sketchdata.manifest import Manifest
from sketchdata.pipelines import export as recipe
from sketchdata.pipelines import export_bitmaps

_DIRECTORY = click.argument("directory", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))


@click.command()
@_DIRECTORY
@options(config=recipe.WebDatasetConfig, engine=EngineOptions)
def webdataset(directory: Path, config: recipe.WebDatasetConfig, engine: EngineOptions) -> None:
    """Export the data set in DIR as tar shards for webdataset.WebDataset and for datasets.load_dataset.

    Every drawing becomes {key_id}.json and, with --png, {key_id}.png, in tars of equal length, in the order of the data
    set's rows. The bytes depend neither on the workers nor on interruptions; the same command goes on after one.

    Example: sketchdata export webdataset data/quickdraw-3.8m --out tars

    Example: sketchdata export webdataset data/quickdraw-3.8m --out pictures --png 224 --splits train,val
    """
    _report(config.out, lambda: recipe.export_webdataset(directory, config, engine))


@click.command()
@_DIRECTORY
@options(config=recipe.NdjsonConfig, engine=EngineOptions)
def ndjson(directory: Path, config: recipe.NdjsonConfig, engine: EngineOptions) -> None:
    """Export the data set in DIR as the official one-drawing-a-line text, a file a category and split.

    With --merge, a category's splits become one file, laid out like the official bucket: the folder can then be built
    from again, with --source. The bytes depend neither on the workers nor on interruptions.

    Example: sketchdata export ndjson data/quickdraw-3.8m --out text

    Example: sketchdata export ndjson data/quickdraw-3.8m --out mirror --merge --gzip
    """
    _report(config.out, lambda: recipe.export_ndjson(directory, config, engine))


@click.command()
@_DIRECTORY
@options(config=export_bitmaps.Config, engine=EngineOptions)
def bitmaps(directory: Path, config: export_bitmaps.Config, engine: EngineOptions) -> None:
    """Export the data set in DIR as the official bitmaps: full/numpy_bitmap/{category}.npy, uint8 (N, 784).

    A category's splits follow one another in its file, in the order of the data set's rows; row i is line i of `export
    ndjson --merge`. The official raster is cairo's and equals Google's own files; it needs the extra `cairo`.

    Example: sketchdata export bitmaps data/quickdraw-3.8m --out bitmaps

    Example: sketchdata export bitmaps data/quickdraw-3.8m --out pixels --raster fast --size 64 --splits train
    """
    _report(config.out, lambda: export_bitmaps.run(directory, config, engine))


def _report(out: Path, export: Callable[[], Manifest | None]) -> None:
    started = time.monotonic()
    manifest = export()
    if manifest is None:
        return
    size, splits = sum(file.bytes for file in manifest.files), manifest.splits
    counts = ", ".join(f"{split} {count:,}" for split, count in splits.items())
    click.echo(f"{out}: {sum(splits.values()):,} drawings ({counts})")
    click.echo(f"{size / 1e6:,.1f} MB in {len(manifest.files):,} files; {time.monotonic() - started:.1f} s")
    click.echo(f"Check it with: sketchdata verify {out}")
