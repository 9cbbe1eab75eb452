"""`sketchdata build sbir`: drawings and photos in one data set."""

from __future__ import annotations

import time

import click

from sketchdata.classes.splits import SplitOptions
from sketchdata.cli.output import JSON, bytes_of, echo_json, print_tables, table_of
from sketchdata.config import options
from sketchdata.cross_domain.layouts import DOMAINS, group_classes
from sketchdata.engine import EngineOptions
from sketchdata.pipelines import sbir as sbir_recipe


@click.command("sbir")
@options(config=sbir_recipe.Config, split=SplitOptions, engine=EngineOptions)
@JSON
def build_sbir(config: sbir_recipe.Config, split: SplitOptions, engine: EngineOptions, as_json: bool) -> None:
    """Build a data set of drawings and photos of the same classes, some seen and some unseen.

    The data set has the classes that have both drawings and photos; spelling does not matter. --class-split takes a
    published list or a file of names, --seen draws the seen classes at random, and with --layout sake the lists give
    the split. Seen, validation and unseen classes have files of their own. The same command resumes an interrupted
    build.

    Example: sketchdata build sbir --drawings sketches --photos photos --seen 26 --out data/sbir

    Example: sketchdata build sbir --layout sketchy --drawings Sketchy --photos Sketchy --class-split sketchy-21 --out
    data/sketchy

    Example: sketchdata build sbir --layout quickdraw-extended --drawings data/quickdraw --lists QuickDraw/zeroshot
    --photos QuickDraw_images_final --class-split quickdraw-30 --out data/quickdraw-extended
    """
    started = time.monotonic()
    manifest = sbir_recipe.build(config, split, engine)
    if manifest is None:
        return
    numbers = {
        group: {domain: manifest.splits[f"{group}-{domain}"] for domain in DOMAINS} | {"classes": len(classes)}
        for group, classes in group_classes(manifest).items()
    }
    if as_json:
        echo_json(
            {
                "out": str(config.out),
                "name": manifest.name,
                "classes": len(manifest.classes),
                "groups": numbers,
                "imagenet": manifest.config["imagenet"],
                "rejects": manifest.rejects,
                "bytes": bytes_of(manifest),
                "config": manifest.config,
            }
        )
        return
    table = table_of("classes", "number", "drawings", "photos")
    for group, own in numbers.items():
        table.add_row(group, *(f"{own[name]:,}" for name in ("classes", *DOMAINS)))
    print_tables(table)
    for reason, count in manifest.rejects.items():
        click.echo(f"left out: {count:,} {reason}")
    overlap, unseen = (set(manifest.config[name]) for name in ("imagenet", "unseen"))
    click.echo(
        f"ImageNet has {len(overlap):,} of the {len(manifest.classes):,} classes, {len(overlap & unseen):,} of them "
        "unseen"
    )
    click.echo(
        f"{config.out}: {bytes_of(manifest) / 1e6:,.1f} MB in {len(manifest.files):,} files; drawings are "
        f"{manifest.config['drawings']}; {time.monotonic() - started:.1f} s"
    )
    click.echo(f"Check it with: sketchdata verify {config.out}")
