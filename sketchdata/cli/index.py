"""`sketchdata index …`."""

from __future__ import annotations

import time
from pathlib import Path

import click
import orjson

from sketchdata.config import options
from sketchdata.pipelines import index as recipe


@click.command()
@click.argument("codes", type=click.Path(file_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON on standard output.")
@options(config=recipe.Config)
def build(codes: Path, as_json: bool, config: recipe.Config) -> None:
    """Build an index over the binary codes in the folder CODES, to be searched by `sketchdata search`.

    The kind `flat` looks at every code: exact, and fast enough for millions. `ivf`, `hnsw` and `multihash` are faiss',
    and approximate: they may miss some of the nearest. docs/how-to/retrieval.md has how fast and how good they are.

    Example: sketchdata index build codes --out index

    Example: sketchdata index build codes --out index-hnsw --kind hnsw
    """
    started = time.monotonic()
    manifest = recipe.run(codes, config)
    told = {
        "out": str(config.out),
        "kind": manifest.config["kind"],
        "split": manifest.config["split"],
        "bits": manifest.config["bits"],
        "model": manifest.config["model"],
        "codes": sum(manifest.splits.values()),
        "bytes": sum(file.bytes for file in manifest.files),
    }
    if as_json:
        click.echo(orjson.dumps(told, option=orjson.OPT_INDENT_2))
        return
    click.echo(f"{config.out}: {told['kind']} over {told['codes']:,} codes of {told['bits']} bits ({told['split']})")
    click.echo(f"{told['bytes'] / 1e6:,.1f} MB; {time.monotonic() - started:.1f} s")
