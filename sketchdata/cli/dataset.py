"""`sketchdata verify`, `info` and `show`: looking at a built data set."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from sketchdata.cli.output import echo_json, print_tables
from sketchdata.storage.manifest import Manifest, read_manifest

_DIRECTORY = click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


@click.command()
@_DIRECTORY
@_JSON
def verify(directory: Path, as_json: bool) -> None:
    """Check a data set: files and hashes, columns, classes, splits, ranks and lists.

    Photos, crops and edge maps are checked as well, picture by picture, and tars against their index. The first fault
    of each kind is named, and the exit code is 1 when there is any.

    Example: sketchdata verify data/quickdraw-3.8m
    """
    from sketchdata.pipelines import verify as recipe

    verification = recipe.run(directory)
    faults = verification.faults
    if as_json:
        report = {
            "ok": not faults,
            "files": verification.files,
            _key(verification.noun): verification.records,
            "checks": verification.checks,
            "faults": [dataclasses.asdict(fault) for fault in faults],
        }
        echo_json(report)
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
@_JSON
@click.option("--classes", is_flag=True, help="List every class with its drawings in each split.")
def info(directory: Path, as_json: bool, classes: bool) -> None:
    """Describe a data set from its manifest: splits, classes, options, sources.

    Example: sketchdata info data/quickdraw-3.8m --classes
    """
    manifest = read_manifest(directory)
    if as_json:
        echo_json(_summary(manifest))
        return
    print_tables(_facts_table(manifest), _classes_table(manifest) if classes else _splits_table(manifest))


def _key(noun: str) -> str:
    """Return what a noun is called in JSON."""
    return noun.replace(" ", "_")


def _summary(manifest: Manifest) -> dict[str, object]:
    from sketchdata.edges.dataset import noun_of

    return {
        "name": manifest.name,
        "version": manifest.version,
        "tool": manifest.tool,
        "config": manifest.config,
        _key(noun_of(manifest)): sum(manifest.splits.values()),
        "splits": manifest.splits,
        "counts": manifest.counts,
        "classes": manifest.classes,
        "bytes": sum(file.bytes for file in manifest.files),
        "files": len(manifest.files),
        "sources": len(manifest.sources),
        "official_sources": sum(source.official for source in manifest.sources),
        "source_records": sum(source.records for source in manifest.sources),
        "rejects": manifest.rejects,
    }


def _facts_table(manifest: Manifest) -> Table:
    from sketchdata.edges.dataset import noun_of

    table = Table(title=manifest.name, title_justify="left", show_header=False, box=None, pad_edge=False)
    official = sum(source.official for source in manifest.sources)
    records = sum(source.records for source in manifest.sources)
    rows = {
        "made by": f"{manifest.tool}, layout version {manifest.version}",
        "classes": f"{len(manifest.classes):,}",
        noun_of(manifest): f"{sum(manifest.splits.values()):,}",
        "size": f"{sum(file.bytes for file in manifest.files) / 1e6:,.1f} MB in {len(manifest.files):,} files",
        "sources": f"{len(manifest.sources):,} files with {records:,} records; {official:,} are the official ones"
        if manifest.sources
        else "",
        "refused": ", ".join(f"{count:,} {reason}" for reason, count in manifest.rejects.items()) or "nothing",
        "options": _options(manifest.config),
    }
    if manifest.parent is not None:
        rows["made from"] = f"{manifest.parent.name}, manifest sha256 {manifest.parent.sha256[:16]}…"
    for name, text in rows.items():
        if text:
            table.add_row(name, text)
    return table


def _options(config: dict[str, Any]) -> str:
    flat = [
        (n, v)
        for name, value in config.items()
        for n, v in (value.items() if isinstance(value, dict) else [(name, value)])
    ]
    return ", ".join(f"{name} {value}" for name, value in flat)


def _splits_table(manifest: Manifest) -> Table:
    from sketchdata.edges.dataset import noun_of, tars_of

    table = Table("split")
    for title in (noun_of(manifest), "a class", "shards", "MB"):
        table.add_column(title, justify="right")
    for split, rows in manifest.splits.items():
        sizes, shards = set(manifest.counts[split].values()), manifest.shards(split) or tars_of(manifest, split)
        each = f"{min(sizes):,}" if len(sizes) == 1 else f"{min(sizes):,} to {max(sizes):,}"
        table.add_row(split, f"{rows:,}", each, f"{len(shards):,}", f"{sum(s.bytes for s in shards) / 1e6:,.1f}")
    return table


def _classes_table(manifest: Manifest) -> Table:
    table = Table("label", "class")
    for split in manifest.counts:
        table.add_column(split, justify="right")
    for label, word in enumerate(manifest.classes):
        table.add_row(str(label), word, *(f"{manifest.counts[split][word]:,}" for split in manifest.counts))
    return table


@click.command()
@_DIRECTORY
@click.option("--category", help="Class to draw. Default: all of them, mixed.")
@click.option("--split", help="Split to draw from. Default: train, or the only one.")
@click.option("-n", "count", type=click.IntRange(1, 10_000), default=64, show_default=True, help="How many.")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The PNG to write."
)
@click.option("--columns", type=click.IntRange(1), help="Drawings side by side. Default: a sheet of about 4:3.")
@click.option("--cell", type=int, default=112, show_default=True, help="Side of a drawing's square in pixels.")
@click.option(
    "--line-width",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Width of lines in pixels. Pictures have lines of their own.",
)
def show(directory: Path, category: str | None, split: str | None, count: int, output: Path, **layout: int) -> None:
    """Draw a contact sheet of a split's first drawings, which are a random sample; or of crops, or edge maps.

    Example: sketchdata show data/quickdraw-3.8m --category star --split train -n 64 -o stars.png

    Example: sketchdata show data/edgemap-345c --category star -n 64 -o stars.png
    """
    from sketchdata.display.contact_sheet import write_png
    from sketchdata.edges.dataset import noun_of

    manifest = read_manifest(directory)
    split = split or ("train" if "train" in manifest.counts else next(iter(manifest.counts), "train"))
    draw = _drawn if noun_of(manifest) == "drawings" else _pictured
    sheet, shown, classes = draw(directory, manifest, split, category, count, **layout)
    write_png(sheet, output)
    click.echo(f"{output}: {shown:,} {noun_of(manifest)} of {category or f'{classes} classes'} ({split})")


def _drawn(
    directory: Path, manifest: Manifest, split: str, category: str | None, count: int, **layout: Any
) -> tuple[Any, int, int]:
    """Return a sheet, how many drawings are on it, and how many classes were drawn from."""
    from sketchdata.display.contact_sheet import contact_sheet
    from sketchdata.storage.dataset import open_dataset

    batch = open_dataset(directory).first(split, count, category)
    return contact_sheet(batch, manifest.classes, **layout), len(batch), len(manifest.classes)


def _pictured(
    directory: Path, manifest: Manifest, split: str, category: str | None, count: int, **layout: Any
) -> tuple[Any, int, int]:
    """Return a sheet, how many pictures are on it, and of how many classes."""
    from sketchdata.display.contact_sheet import captions_of, picture_sheet
    from sketchdata.edges.dataset import first_pictures, noun_of

    del layout["line_width"]
    sample = first_pictures(directory, manifest, split, count, category)
    titles = captions_of(sample.label, sample.key_id, manifest.classes)
    classes = len(set(sample.label.tolist()))
    legend = f"{len(titles):,} {noun_of(manifest)} of {category or f'{classes} categories'}"
    return picture_sheet(sample.pictures, titles, legend, **layout), len(titles), classes
