"""`sketchdata build edgemap-345c`."""

from __future__ import annotations

import time
from fractions import Fraction
from pathlib import Path

import click
import orjson

from sketchdata.config import options
from sketchdata.engine import EngineOptions
from sketchdata.manifest import Manifest
from sketchdata.pipelines import edgemap as recipe


@click.command("edgemap-345c")
@options(config=recipe.Config, engine=EngineOptions)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of sentences.")
def edgemap(config: recipe.Config, engine: EngineOptions, as_json: bool) -> None:
    """Build EdgeMap-345C: curated edge maps, split by photo, in WebDataset tars with an index.

    What the audit of `edgemaps curate` flags is left out, and what curators drop; what they keep stays. All maps of one
    photo fall into one split, by a keyed hash of the photo, and more photos move none. A build that was stopped goes on
    where it was when the same command runs again.

    Example: sketchdata build edgemap-345c --edges edges --out data/edgemap-345c

    Example: sketchdata build edgemap-345c --edges edges --out data/uncurated --no-curation --val-share 1/10
    """
    started = time.monotonic()
    manifest = recipe.run(config, engine)
    if manifest is None:
        return
    if as_json:
        click.echo(orjson.dumps(_summary(config.out, manifest), option=orjson.OPT_INDENT_2))
        return
    splits, size = manifest.splits, sum(file.bytes for file in manifest.files)
    counts = ", ".join(f"{split} {count:,}" for split, count in splits.items())
    share = splits["val"] / sum(splits.values())
    click.echo(f"{config.out}: {sum(splits.values()):,} edge maps of {_present(manifest):,} classes ({counts})")
    click.echo(
        f"val has {share:.2%} of the maps; asked for were {float(Fraction(manifest.config['val_share'])):.2%} of the "
        "photos, which is met in expectation"
    )
    click.echo(
        f"{size / 1e6:,.1f} MB in {len(manifest.files):,} files; refused maps: {sum(manifest.rejects.values()):,}; "
        f"{time.monotonic() - started:.1f} s"
    )
    click.echo(f"Check it with: sketchdata verify {config.out}")


def _present(manifest: Manifest) -> int:
    """Return how many classes have maps."""
    return len({word for classes in manifest.counts.values() for word, maps in classes.items() if maps})


def _summary(out: Path, manifest: Manifest) -> dict[str, object]:
    splits = manifest.splits
    return {
        "out": str(out),
        "name": manifest.name,
        "edge_maps": sum(splits.values()),
        "splits": splits,
        "val_share": splits["val"] / sum(splits.values()),
        "classes": _present(manifest),
        "rejects": manifest.rejects,
        "bytes": sum(file.bytes for file in manifest.files),
        "config": manifest.config,
    }
