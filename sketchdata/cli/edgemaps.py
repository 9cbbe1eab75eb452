"""`sketchdata edgemaps …`: from photos to edge maps."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich import box
from rich.table import Table

from sketchdata.cli.output import echo_json, print_tables, run_server, serving_options
from sketchdata.config import options
from sketchdata.curation.audit import record_path
from sketchdata.engine import EngineOptions
from sketchdata.photos.crawl import CrawlOptions
from sketchdata.pipelines import edgemaps_bench as edgemaps_bench_recipe
from sketchdata.pipelines import edgemaps_collect as edgemaps_collect_recipe
from sketchdata.pipelines import edgemaps_crop as edgemaps_crop_recipe
from sketchdata.pipelines import edgemaps_curate as edgemaps_curate_recipe
from sketchdata.pipelines import edgemaps_extract as edgemaps_extract_recipe
from sketchdata.pipelines import edgemaps_generate as edgemaps_generate_recipe
from sketchdata.pipelines import edgemaps_vectors as edgemaps_vectors_recipe
from sketchdata.pipelines.edgemaps_bench import TITLES, Comparison, cells
from sketchdata.storage.manifest import AUDIT_FOLDER, Manifest
from sketchdata.storage.pictures import UNDIVIDED

_NAMES_SHOWN = 8


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON instead of tables.")
@options(config=edgemaps_collect_recipe.Config, crawl=CrawlOptions, engine=EngineOptions)
def collect(as_json: bool, config: edgemaps_collect_recipe.Config, crawl: CrawlOptions, engine: EngineOptions) -> None:
    """Collect photos of the 345 classes from folders with boxes, lists of addresses, and searches of the web.

    Sources can be repeated and combined; a photo that several of them name is there once, with all its annotations.
    Local photos are copied and checked; those of the web are fetched slowly, with respect for robots.txt and
    X-Robots-Tag, and with author and licence where the source tells. The same command goes on after an interruption.

    Example: sketchdata edgemaps collect --yolo photos/coco128 --voc photos/raccoon --out photos

    Example: sketchdata edgemaps collect --openverse --categories cat,teddy-bear --per-class 20 --contact me@example.org
    --out photos
    """
    started = time.monotonic()
    collected = edgemaps_collect_recipe.run(config, crawl, engine)
    if collected is None:
        return
    if as_json:
        echo_json(collected.counts)
        return
    print_tables(_source_table(collected.counts), _error_table(collected.counts))
    _say_unmatched(collected.unmatched)
    counts = collected.counts
    click.echo(
        f"{config.out}: {counts['photos']['ok']:,} photos with {counts['boxes']:,} annotations of "
        f"{counts['classes']:,} classes; {time.monotonic() - started:.1f} s"
    )


def _source_table(counts: Mapping[str, Any]) -> Table:
    keys = ("photos", "ok", "failed", "refused", "boxes", "left_out", "rejects")
    table = Table("source", "photos", "there", "failed", "refused", "boxes", "left out", "rejects", box=box.SIMPLE_HEAD)
    # Where the terminal is narrow, it is the names that go over several lines.
    table.columns[0].overflow = "fold"
    for column in table.columns[1:]:
        column.justify, column.no_wrap = "right", True
    for row in counts["sources"]:
        name = row["source"] if row["source"] == row["name"] else f"{row['source']} {row['name']}"
        # Names of folders are the user's, and no markup of rich's.
        table.add_row(name.replace("[", "\\["), *(f"{row[key]:,}" for key in keys))
    return table


def _error_table(counts: Mapping[str, Any]) -> Table | None:
    if not counts["errors"]:
        return None
    table = Table("why a photo is not there", "photos", box=box.SIMPLE_HEAD)
    table.columns[1].justify = "right"
    for error, photos in counts["errors"].items():
        table.add_row(error, f"{photos:,}")
    return table


def _say_unmatched(names: Mapping[str, int]) -> None:
    if not names:
        return
    shown = ", ".join(f"{name} {count:,}" for name, count in list(names.items())[:_NAMES_SHOWN])
    more = len(names) - _NAMES_SHOWN
    click.echo(
        f"left out, as they match none of the wanted classes: {shown}"
        f"{f' and {more:,} more names' if more > 0 else ''} (--map FILE gives names a class)",
        err=True,
    )


@click.command()
@options(config=edgemaps_generate_recipe.Config, engine=EngineOptions)
def generate(config: edgemaps_generate_recipe.Config, engine: EngineOptions) -> None:
    """Generate photos of the 345 classes, for trying the way to edge maps out without a download.

    Each class has the shape that `sketchdata synth` draws, as a thing with surfaces, shadow and outlines in front of a
    ground with other things. Each class gets a folder, as `sketchdata edgemaps collect --folders` reads them. The
    photos show nothing real, and a note in the folder says so. On one machine, the same options give the same bytes.

    Example: sketchdata edgemaps generate --out generated --photos 40 --categories star,house,cat
    """
    generated = edgemaps_generate_recipe.run(config, engine)
    if generated is not None:
        click.echo(
            f"{config.out}: {generated.photos:,} generated photos of {generated.classes:,} classes, "
            f"{generated.bytes / 1e6:,.1f} MB (they show nothing real)"
        )
        click.echo(f"Next: sketchdata edgemaps collect --folders {config.out} --out photos")


@click.command("crop")
@click.argument("directory", metavar="PHOTOS", type=click.Path(file_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON instead of a table.")
@options(config=edgemaps_crop_recipe.Config, engine=EngineOptions)
def crop(directory: Path, as_json: bool, config: edgemaps_crop_recipe.Config, engine: EngineOptions) -> None:
    """Crop every annotated object out of the photos in PHOTOS, and remove duplicates.

    Each box becomes a picture of its class, upright and with a margin; photos without a box are taken whole, or cropped
    to what stands out. Of equal and nearly equal crops, whatever their classes, one stays. Every annotation ends as a
    crop, in duplicates.csv or in rejects.jsonl. The bytes depend neither on the workers nor on interruptions; the same
    command goes on after one. PHOTOS stays as it is.

    Example: sketchdata edgemaps crop photos --out crops

    Example: sketchdata edgemaps crop photos --out crops --no-box saliency --near none --skip-flags group,occluded
    """
    started = time.monotonic()
    manifest = edgemaps_crop_recipe.run(directory, config, engine)
    if manifest is None:
        return
    summary = edgemaps_crop_recipe.summarise(config.out, manifest)
    if as_json:
        echo_json(_counts(manifest, summary))
        return
    print_tables(_table(summary))
    filled, across = sum(map(bool, manifest.counts[UNDIVIDED].values())), summary.duplicates.across_classes
    click.echo(f"{config.out}: {summary.crops:,} crops of {filled:,} classes; {time.monotonic() - started:.1f} s")
    click.echo(f"Of the duplicates, {across:,} went for a crop of another class")
    click.echo(f"Next: sketchdata edgemaps extract {config.out} --out edges")


def _counts(manifest: Manifest, summary: edgemaps_crop_recipe.Summary) -> dict[str, object]:
    return {
        "name": manifest.name,
        "options": manifest.config,
        "annotations": summary.annotations,
        "crops": summary.crops,
        "duplicates": dataclasses.asdict(summary.duplicates),
        "rejects": summary.rejects,
        "classes": {word: count for word, count in manifest.counts[UNDIVIDED].items() if count},
    }


def _table(summary: edgemaps_crop_recipe.Summary) -> Table:
    table = Table()
    table.add_column("what became of them", no_wrap=True)
    table.add_column("annotations", justify="right")
    rows = {
        "crops": summary.crops,
        "exact duplicates": summary.duplicates.exact,
        "near duplicates": summary.duplicates.near,
        **{f"rejected: {reason}": count for reason, count in summary.rejects.items()},
    }
    for what, count in rows.items():
        table.add_row(what, f"{count:,}")
    table.add_section()
    table.add_row("all", f"{summary.annotations:,}")
    return table


@click.command()
@click.argument("directory", metavar="CROPS", type=click.Path(file_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print what was made as JSON instead of a sentence.")
@options(config=edgemaps_extract_recipe.Config, engine=EngineOptions)
def extract(directory: Path, as_json: bool, config: edgemaps_extract_recipe.Config, engine: EngineOptions) -> None:
    """Find the edges of CROPS, which `sketchdata edgemaps crop` made, and draw them as centred edge maps.

    canny, sobel and xdog need nothing more; learned is a small network that comes with the package; structured, tin and
    pidinet read a file of weights, or fetch it once from its address, given its sha256. Edges are thinned to lines one
    pixel wide, whose longer side takes nine tenths of the picture. Crops without edges are listed in rejects.jsonl. A
    run that was stopped goes on where it was when the same command runs again; the bytes depend neither on the workers
    nor on interruptions.

    Example: sketchdata edgemaps extract crops --out edges

    Example: sketchdata edgemaps extract crops --out edges --detector tin --weights TIN2.pth --scales 0.5,1,1.5

    Example: sketchdata edgemaps extract crops --out edges --detector structured --weights model.yml.gz
    """
    started = time.monotonic()
    manifest = edgemaps_extract_recipe.run(directory, config, engine)
    if manifest is None:
        return
    if as_json:
        echo_json(_numbers(manifest))
        return
    numbers = _numbers(manifest)
    size = sum(file.bytes for file in manifest.files)
    refused = ", ".join(f"{count:,} {reason}" for reason, count in manifest.rejects.items()) or "none"
    click.echo(f"{config.out}: {numbers['edge_maps']:,} edge maps of {numbers['classes']} classes by {config.detector}")
    click.echo(f"{size / 1e6:,.1f} MB; refused crops: {refused}; {time.monotonic() - started:.1f} s")
    click.echo(f"Curate them with: sketchdata edgemaps curate {config.out}")


def _numbers(manifest: Manifest) -> dict[str, object]:
    counts = [count for classes in manifest.counts.values() for count in classes.values()]
    return {
        "edge_maps": sum(counts),
        "classes": sum(map(bool, counts)),
        "rejects": manifest.rejects,
        "options": manifest.config,
    }


@click.command()
@click.argument("edges", metavar="EDGES", type=click.Path(file_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the audit's record as JSON instead of a summary.")
@options(config=edgemaps_curate_recipe.Config, engine=EngineOptions)
def curate(edges: Path, as_json: bool, config: edgemaps_curate_recipe.Config, engine: EngineOptions) -> None:
    """Score the messiness of every edge map in EDGES within its class, and flag the worst as noise.

    The score is the mean of an edge map's ranks by its ink, its short fragments, lines that end at its border and, with
    --drawings, its distance from drawings of the class. Writes EDGES/audit/messiness.parquet, thresholds.csv and
    messiness.json, and changes nothing else.

    Example: sketchdata edgemaps curate data/edges

    Example: sketchdata edgemaps curate data/edges --drawings data/quickdraw-3.8m --high 85
    """
    started = time.monotonic()
    record = edgemaps_curate_recipe.run(edges, config, engine)
    if record is None:
        return
    counts = record.counts
    if as_json:
        named = {"kind": record.kind, "name": record.name, "options": record.options}
        echo_json({**named, **counts})
        return
    click.echo(
        f"{counts['edge_maps']:,} edge maps of {counts['classes']:,} classes: {counts['normal']:,} normal, "
        f"{counts['noise']:,} noise ({counts['messy']:,} above percentile {config.high:g} of their class, "
        f"{counts['dense']:,} with too much ink, {counts['empty']:,} empty)"
    )
    if counts["classes_with_few"]:
        click.echo(
            f"{counts['classes_with_few']:,} classes have fewer than {record.options['few']} edge maps: their "
            f"{counts['unjudged']:,} edge maps have a score and no flag",
            err=True,
        )
    names = [file.path for file in record.files] + [record_path(edges, record.kind).name]
    click.echo(f"{edges / AUDIT_FOLDER}: {', '.join(names)}; {time.monotonic() - started:.1f} s")
    click.echo(f"Look at them with: sketchdata edgemaps serve {edges}")


_EDGES = click.argument("edges", metavar="EDGES", type=click.Path(file_okay=False, path_type=Path))
_PHOTOS = click.option(
    "--photos",
    metavar="CROPS",
    type=click.Path(file_okay=False, path_type=Path),
    help="What `edgemaps crop` made. Default: a folder beside EDGES, if it is there.",
)


@click.command()
@_EDGES
@_PHOTOS
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to. Default: EDGES/audit/report.html.",
)
def report(edges: Path, photos: Path | None, output: Path | None) -> None:
    """Write a report on EDGES: classes, scores, edge maps from best to worst beside their photos, sources, licences.

    One HTML file that opens offline. Run `sketchdata edgemaps curate` first.

    Example: sketchdata edgemaps report data/edges
    """
    from sketchdata.pipelines import edgemaps_report as recipe

    path = recipe.run(edges, photos, output)
    click.echo(f"{path}: {path.stat().st_size / 1e6:.1f} MB; open it in a browser")


@click.command()
@_EDGES
@_PHOTOS
@serving_options
def serve(edges: Path, photos: Path | None, **settings: Any) -> None:
    """Serve the curation page of EDGES: look at messy edge maps beside their photos, keep and drop.

    Decisions go to EDGES/audit/decisions.jsonl as they are taken, and `sketchdata build edgemap-345c` applies them. Run
    `sketchdata edgemaps curate` first. It needs the extra `web`.

    Example: sketchdata edgemaps serve data/edges --who ada
    """
    from sketchdata.web.exhibit import exhibit_edge_maps

    run_server(edges, partial(exhibit_edge_maps, photos=photos), **settings)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON instead of a table.")
@options(config=edgemaps_bench_recipe.Config, engine=EngineOptions)
def bench(as_json: bool, config: edgemaps_bench_recipe.Config, engine: EngineOptions) -> None:
    """Compare edge detectors on the boundary benchmark of BSDS500.

    ODS, OIS and AP say how well a detector finds what people draw on the same photos, 1 being all of it and nothing
    else; the line `people` compares the people with each other. The 200 test photos take some minutes a detector. What
    was counted stays in --out, so that a run that was stopped goes on.

    Example: sketchdata edgemaps bench --bsds photos/bsds500 --detectors canny,tin --weights tin=TIN2.pth

    The edge maps of any other program, one a photo, are scored in the same way:

    Example: sketchdata edgemaps bench --bsds photos/bsds500 --predictions mine=results/maps
    """
    comparison = edgemaps_bench_recipe.run(config, engine)
    if comparison is None:
        return
    if as_json:
        echo_json(comparison)
        return
    _bench_print(comparison)
    click.echo(f"{config.out}: {edgemaps_bench_recipe.TABLE_FILE}, {edgemaps_bench_recipe.RESULTS_FILE}")


def _bench_print(comparison: Comparison) -> None:
    table = Table(title=f"{comparison.data} {comparison.split}, {comparison.photos:,} photos")
    table.add_column(TITLES[0], overflow="fold")
    for title in TITLES[1:]:
        table.add_column(title, justify="right", no_wrap=True)
    for line in comparison.lines:
        table.add_row(*cells(line))
    print_tables(table)


#: Of the classes that are left out, how many are named on the terminal.
_TOLD = 10


@click.command()
@click.argument("run", type=click.Path(file_okay=False, path_type=Path))
@click.argument("data", type=click.Path(file_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON on standard output.")
@options(config=edgemaps_vectors_recipe.Config)
def vectors(run: Path, data: Path, as_json: bool, config: edgemaps_vectors_recipe.Config) -> None:
    """Compute a vector of each class from its edge maps in DATA, by the classifier trained in the folder RUN.

    A class's vector is the mean of what the classifier's last layer reads of its edge maps: 1,280 numbers of MobileNet
    V2. Writes one Parquet file with word, count and vector, in the order of the class table, for zero-shot recognition.
    A file of that name is replaced; on the CPU, the same command gives the same bytes.

    Example: sketchdata edgemaps vectors runs/edgemap data/edgemap-345c --out edge-vectors.parquet
    """
    started = time.monotonic()
    found = edgemaps_vectors_recipe.run(run, data, config)
    if as_json:
        echo_json(found)
        return
    if found["missing"]:
        missing = found["missing"]
        more = f" and {len(missing) - _TOLD:,} others, which the file names" if len(missing) > _TOLD else ""
        told = f"{', '.join(missing[:_TOLD])}{more}"
        click.echo(f"left out, without an edge map, are {len(missing):,} classes: {told}", err=True)
    click.echo(
        f"{config.out}: {found['classes']:,} classes × {found['numbers']:,} numbers, means of "
        f"{found['edge_maps']:,} edge maps of {found['split']}; {time.monotonic() - started:.1f} s"
    )
