"""`sketchdata verify`, `info` and `show`: looking at a built data set."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import click

from sketchdata.cli.output import JSON, PlainTable, bytes_of, echo_json, print_tables, table_of
from sketchdata.config import FILE, FOLDER
from sketchdata.storage.manifest import read_manifest

_DIRECTORY = click.argument("directory", type=FOLDER)


@click.command()
@_DIRECTORY
@JSON
def verify(directory: Path, as_json: bool) -> None:
    """Check a data set: files and hashes, columns, classes, splits, ranks and lists.

    Photos, crops and edge maps are checked picture by picture, and tars against their index. The first fault of each
    kind is printed, and the exit code is 1 when there is one.

    Example: sketchdata verify data/quickdraw-3.8m
    """
    from sketchdata.pipelines import verify as recipe

    verification = recipe.run(directory)
    faults = verification.faults
    if as_json:
        echo_json(
            {
                "ok": not faults,
                "files": verification.files,
                verification.noun.replace(" ", "_"): verification.records,
                "checks": verification.checks,
                "faults": [dataclasses.asdict(fault) for fault in faults],
            }
        )
    else:
        for fault in faults:
            more = f" ({fault.count:,} of this kind)" if fault.count > 1 else ""
            click.echo(f"fault: {fault.kind}: {fault.first}{more}")
        rows = f"{verification.records:,} {verification.noun}"
        checked = f"{verification.files:,} files, {rows}, {len(verification.checks)} checks"
        click.echo(f"{directory}: {f'{len(faults)} kinds of fault' if faults else 'all right'} ({checked})")
    sys.exit(1 if faults else 0)


@click.command()
@_DIRECTORY
@JSON
@click.option("--classes", is_flag=True, help="List every class with its drawings in each split.")
def info(directory: Path, as_json: bool, classes: bool) -> None:
    """Describe a data set from its manifest: splits, classes, options, sources.

    Example: sketchdata info data/quickdraw-3.8m --classes
    """
    from sketchdata.cross_domain.layouts import is_two_domains
    from sketchdata.edges.dataset import noun_of, tars_of

    manifest = read_manifest(directory)
    noun = "pictures" if is_two_domains(manifest) else noun_of(manifest)
    splits, size = manifest.splits, bytes_of(manifest)
    official = sum(source.official for source in manifest.sources)
    records = sum(source.records for source in manifest.sources)
    if as_json:
        echo_json(
            {
                "name": manifest.name,
                "version": manifest.version,
                "tool": manifest.tool,
                "config": manifest.config,
                noun.replace(" ", "_"): sum(splits.values()),
                "splits": splits,
                "counts": manifest.counts,
                "classes": manifest.classes,
                "bytes": size,
                "files": len(manifest.files),
                "sources": len(manifest.sources),
                "official_sources": official,
                "source_records": records,
                "rejects": manifest.rejects,
            }
        )
        return
    facts = PlainTable(title=manifest.name, title_justify="left", show_header=False, box=None, pad_edge=False)
    configs = [value if isinstance(value, dict) else {name: value} for name, value in manifest.config.items()]
    rows = {
        "made by": f"{manifest.tool}, layout version {manifest.version}",
        "classes": f"{len(manifest.classes):,}",
        noun: f"{sum(splits.values()):,}",
        "size": f"{size / 1e6:,.1f} MB in {len(manifest.files):,} files",
        "sources": f"{len(manifest.sources):,} files with {records:,} records; {official:,} are the official ones"
        if manifest.sources
        else "",
        "refused": ", ".join(f"{count:,} {reason}" for reason, count in manifest.rejects.items()) or "nothing",
        "options": ", ".join(f"{name} {value}" for config in configs for name, value in config.items()),
        "made from": f"{manifest.parent.name}, manifest sha256 {manifest.parent.sha256[:16]}…"
        if manifest.parent is not None
        else "",
    }
    for name, text in rows.items():
        if text:
            facts.add_row(name, text)
    if classes:
        table = PlainTable("label", "class")
        for split in manifest.counts:
            table.add_column(split, justify="right")
        for label, word in enumerate(manifest.classes):
            table.add_row(str(label), word, *(f"{counts[word]:,}" for counts in manifest.counts.values()))
    else:
        table = table_of("split", noun, "per class", "shards", "MB")
        for split, count in splits.items():
            # Of two domains, each class is in the splits of one group alone.
            numbers = manifest.counts[split].values()
            sizes = {n for n in numbers if n or not is_two_domains(manifest)} or {0}
            shards = manifest.shards(split) or tars_of(manifest, split)
            each = f"{min(sizes):,}" if len(sizes) == 1 else f"{min(sizes):,} to {max(sizes):,}"
            table.add_row(split, f"{count:,}", each, f"{len(shards):,}", f"{sum(s.bytes for s in shards) / 1e6:,.1f}")
    print_tables(facts, table)


@click.command()
@_DIRECTORY
@click.option("--category", help="Class to show. Default: all classes, mixed.")
@click.option("--split", help="Split or group of classes to show. Default: train, or the first.")
@click.option(
    "-n",
    "count",
    type=click.IntRange(1, 10_000),
    default=64,
    show_default=True,
    help="Maximum number of drawings or pictures.",
)
@click.option("-o", "--output", type=FILE, required=True, help="PNG file to write.")
@click.option("--columns", type=click.IntRange(1, 10_000), help="Number of columns. Default: a sheet of about 4:3.")
@click.option(
    "--cell",
    type=click.IntRange(48, 1024),
    default=112,
    show_default=True,
    help="Side of a cell in pixels.",
)
@click.option(
    "--line-width",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Width of the drawings' lines in pixels.",
)
def show(directory: Path, category: str | None, split: str | None, count: int, output: Path, **layout: Any) -> None:
    """Draw a contact sheet of drawings, photos, crops or edge maps.

    The first drawings of a split are a random sample. Of a data set of drawings and photos, drawings stand beside
    photos, class by class, and --split is a group of classes: seen, validation or unseen.

    Example: sketchdata show data/quickdraw-3.8m --category star --split train -n 64 -o stars.png

    Example: sketchdata show data/edgemap-345c --category star -n 64 -o stars.png
    """
    from sketchdata.cross_domain.layouts import is_two_domains
    from sketchdata.display.contact_sheet import captions_of, contact_sheet, picture_sheet, write_png
    from sketchdata.edges.dataset import first_pictures, noun_of
    from sketchdata.storage.dataset import open_dataset

    manifest = read_manifest(directory)
    noun, classes = noun_of(manifest), len(manifest.classes)
    split = split or ("train" if "train" in manifest.counts else next(iter(manifest.counts), "train"))
    if is_two_domains(manifest):
        from sketchdata.cross_domain.overview import SIDE_BY_SIDE, side_by_side

        del layout["line_width"]
        split, noun = split.split("-")[0], "drawings and photos"
        photos, titles = side_by_side(directory, manifest, split, count, category)
        shown, classes = sum(map(bool, titles)), len({*titles} - {""})
        legend = f"{shown:,} {noun} of {category or f'{classes} categories'}"
        layout["columns"] = layout["columns"] or 2 * SIDE_BY_SIDE
        sheet = picture_sheet(photos, titles, legend, **layout)
    elif noun == "drawings":
        batch = open_dataset(directory).first(split, count, category)
        sheet, shown = contact_sheet(batch, manifest.classes, **layout), len(batch)
    else:
        del layout["line_width"]
        sample = first_pictures(directory, manifest, split, count, category)
        titles = captions_of(sample.label, sample.key_id, manifest.classes)
        shown, classes = len(titles), len(set(sample.label.tolist()))
        legend = f"{shown:,} {noun} of {category or f'{classes} categories'}"
        sheet = picture_sheet(sample.pictures, titles, legend, **layout)
    write_png(sheet, output)
    click.echo(f"{output}: {shown:,} {noun} of {category or f'{classes} classes'} ({split})")
