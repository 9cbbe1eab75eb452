"""`sketchdata export splits`."""

from __future__ import annotations

import click
import orjson

from sketchdata.config import options
from sketchdata.pipelines import export_splits as recipe
from sketchdata.split_options import SplitOptions


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON on standard output.")
@options(config=recipe.Config, split=SplitOptions)
def splits(as_json: bool, config: recipe.Config, split: SplitOptions) -> None:
    """Export a split of classes into seen and unseen ones, for zero-shot work.

    Classes are chosen by a keyed hash of their names, so the split depends on these and the seed alone; or they are
    those of a published split, or of a file. A share of the seen classes is kept aside, for choosing checkpoints and
    constants on; the format sake has no place for it, and has them among the seen.

    Example: sketchdata export splits --seen 200 --split-seed 0 --out split.txt

    Example: sketchdata export splits --class-split quickdraw-30 --classes data/quickdraw-3.8m --format sake --out lists
    """
    exported = recipe.run(config, split)
    sizes = {part: len(getattr(exported.split, part)) for part in ("seen", "validation", "unseen")}
    if as_json:
        told = {
            "out": str(config.out),
            **{part: getattr(exported.split, part) for part in sizes},
            "unknown": exported.unknown,
            "left_out": exported.left_out,
            "pictures": exported.pictures,
        }
        click.echo(orjson.dumps(told, option=orjson.OPT_INDENT_2))
        return
    click.echo(
        f"{config.out}: {sizes['seen']:,} seen classes, {sizes['validation']:,} of them for validation, "
        f"{sizes['unseen']:,} unseen"
    )
    for name, count in exported.pictures.items():
        click.echo(f"{name}: {count:,} drawings")
    if exported.left_out:
        click.echo(f"{len(exported.left_out):,} classes are in neither list and were left out")
    if exported.unknown:
        click.echo(
            f"{len(exported.unknown):,} names are no class here and were passed over: {', '.join(exported.unknown)}"
        )
