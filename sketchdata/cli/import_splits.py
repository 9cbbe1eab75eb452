"""`sketchdata import splits`."""

from __future__ import annotations

from pathlib import Path

import click
import orjson

from sketchdata.config import options
from sketchdata.pipelines import import_splits as recipe


@click.command()
@click.argument("directory", metavar="FOLDER", type=click.Path(file_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print what was read as JSON on standard output.")
@options(config=recipe.Config)
def splits(directory: Path, as_json: bool, config: recipe.Config) -> None:
    """Import the split of classes that FOLDER has in the lists of SAKE or ZSE-SBIR.

    FOLDER has cname_cid.txt, the seen classes, and cname_cid_zero.txt, the unseen ones. Lists of pictures beside them,
    such as sketch_zero.txt or all_photo_filelist_train.txt, are checked and counted. The file that is written is for
    --class-split.

    Example: sketchdata import splits zse-sbir/Sketchy/zeroshot1 --out sketchy.txt
    """
    imported = recipe.run(directory, config)
    seen, unseen = imported.names.seen or (), imported.names.unseen or ()
    if as_json:
        pictures = {name: {"pictures": count, "classes": own} for name, (count, own) in imported.pictures.items()}
        told = {"out": str(config.out), "seen": seen, "unseen": unseen, "pictures": pictures}
        click.echo(orjson.dumps(told, option=orjson.OPT_INDENT_2))
        return
    click.echo(f"{config.out}: {len(seen):,} seen classes, {len(unseen):,} unseen")
    for name, (count, own) in imported.pictures.items():
        click.echo(f"{name}: {count:,} pictures of {own:,} classes, checked")
