"""`sketchdata edgemaps …`: from photos to edge maps."""

from __future__ import annotations

import dataclasses
import time
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich import box

from sketchdata.cli.output import (
    JSON,
    bytes_of,
    echo_json,
    print_tables,
    report_audit,
    run_server,
    serving_options,
    table_of,
)
from sketchdata.config import FILE, FOLDER, options
from sketchdata.curation.messiness import FEW
from sketchdata.engine import EngineOptions
from sketchdata.photos.crawl import CrawlOptions
from sketchdata.pipelines import edgemaps_bench as edgemaps_bench_recipe
from sketchdata.pipelines import edgemaps_collect as edgemaps_collect_recipe
from sketchdata.pipelines import edgemaps_crop as edgemaps_crop_recipe
from sketchdata.pipelines import edgemaps_curate as edgemaps_curate_recipe
from sketchdata.pipelines import edgemaps_extract as edgemaps_extract_recipe
from sketchdata.pipelines import edgemaps_generate as edgemaps_generate_recipe
from sketchdata.pipelines import edgemaps_vectors as edgemaps_vectors_recipe
from sketchdata.pipelines.edgemaps_bench import TITLES, cells
from sketchdata.storage.pictures import UNDIVIDED

_NAMES_SHOWN = 8


@click.command()
@JSON
@options(config=edgemaps_collect_recipe.Config, crawl=CrawlOptions, engine=EngineOptions)
def collect(as_json: bool, config: edgemaps_collect_recipe.Config, crawl: CrawlOptions, engine: EngineOptions) -> None:
    """Collect photos of the 345 classes from folders with boxes, lists of addresses, and searches of the web.

    Sources can be repeated and combined; a photo that several of them name is stored once, with all its annotations.
    Local photos are copied and checked; photos of the web are fetched slowly, as robots.txt and opt-outs allow, with
    author and licence where the source states them. The same command resumes an interrupted run.

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
    counts = collected.counts
    titles = ("source", "photos", "there", "failed", "refused", "boxes", "left out", "rejects")
    table = table_of(*titles, fold=True, box=box.SIMPLE_HEAD)
    for row in counts["sources"]:
        name = row["source"] if row["source"] == row["name"] else f"{row['source']} {row['name']}"
        keys = ("photos", "ok", "failed", "refused", "boxes", "left_out", "rejects")
        table.add_row(name, *(f"{row[key]:,}" for key in keys))
    print_tables(table)
    if counts["errors"]:
        errors = table_of("why a photo is missing", "photos", fold=True, box=box.SIMPLE_HEAD)
        for error, photos in counts["errors"].items():
            errors.add_row(error, f"{photos:,}")
        print_tables(errors)
    if unmatched := collected.unmatched:
        shown = ", ".join(f"{name} {count:,}" for name, count in list(unmatched.items())[:_NAMES_SHOWN])
        more = f" and {len(unmatched) - _NAMES_SHOWN:,} more names" if len(unmatched) > _NAMES_SHOWN else ""
        click.echo(f"left out, as no class matches them: {shown}{more} (--map FILE gives names per class)", err=True)
    click.echo(
        f"{config.out}: {counts['photos']['ok']:,} photos with {counts['boxes']:,} annotations of "
        f"{counts['classes']:,} classes; {time.monotonic() - started:.1f} s"
    )


@click.command()
@options(config=edgemaps_generate_recipe.Config, engine=EngineOptions)
def generate(config: edgemaps_generate_recipe.Config, engine: EngineOptions) -> None:
    """Generate photos of the 345 classes, to try the other commands without a download.

    Each class has the shape that `sketchdata synth` draws, as an object with surfaces, shadow and outlines in front of
    a background with other objects. Each class gets a folder, as `sketchdata edgemaps collect --folders` reads them.
    The photos show nothing real, and a note in the folder says so. On one machine, the same options give the same
    bytes.

    Example: sketchdata edgemaps generate --out generated --photos 40 --categories star,house,cat
    """
    generated = edgemaps_generate_recipe.run(config, engine)
    if generated is not None:
        click.echo(
            f"{config.out}: {generated.photos:,} generated photos of {generated.classes:,} classes, "
            f"{generated.bytes / 1e6:,.1f} MB (they show nothing real)"
        )
        click.echo(f"Next: sketchdata edgemaps collect --folders {config.out} --out PHOTOS")


@click.command()
@click.argument("directory", metavar="PHOTOS", type=FOLDER)
@JSON
@options(config=edgemaps_crop_recipe.Config, engine=EngineOptions)
def crop(directory: Path, as_json: bool, config: edgemaps_crop_recipe.Config, engine: EngineOptions) -> None:
    """Crop every annotated object out of the photos in PHOTOS, and remove duplicates.

    Each box becomes a picture of its class, upright and with a margin; photos without a box are taken whole, or cropped
    to their salient region. One of several equal or nearly equal crops is kept, over all classes. Every annotation
    becomes a crop or is listed in duplicates.csv or rejects.jsonl. The bytes do not depend on workers or interruptions;
    the same command resumes an interrupted run. PHOTOS stays as it is.

    Example: sketchdata edgemaps crop photos --out crops

    Example: sketchdata edgemaps crop photos --out crops --no-box saliency --near none --skip-flags group,occluded
    """
    started = time.monotonic()
    manifest = edgemaps_crop_recipe.run(directory, config, engine)
    if manifest is None:
        return
    summary = edgemaps_crop_recipe.summarise(config.out, manifest)
    filled = {word: count for word, count in manifest.counts[UNDIVIDED].items() if count}
    if as_json:
        echo_json(
            {
                "name": manifest.name,
                "config": manifest.config,
                "annotations": summary.annotations,
                "crops": summary.crops,
                "duplicates": dataclasses.asdict(summary.duplicates),
                "rejects": summary.rejects,
                "classes": filled,
            }
        )
        return
    table = table_of("result", "annotations")
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
    print_tables(table)
    click.echo(f"{config.out}: {summary.crops:,} crops of {len(filled):,} classes; {time.monotonic() - started:.1f} s")
    click.echo(f"{summary.duplicates.across_classes:,} of the duplicates equal a crop of another class")
    click.echo(f"Next: sketchdata edgemaps extract {config.out} --out EDGES")


@click.command()
@click.argument("directory", metavar="CROPS", type=FOLDER)
@JSON
@options(config=edgemaps_extract_recipe.Config, engine=EngineOptions)
def extract(directory: Path, as_json: bool, config: edgemaps_extract_recipe.Config, engine: EngineOptions) -> None:
    """Extract centred edge maps from CROPS, the folder that `sketchdata edgemaps crop` made.

    canny, sobel and xdog need nothing more; learned is a small network that comes with the package; structured, tin and
    pidinet read a file of weights, or fetch it once from its address, given its sha256. Edges are thinned to lines one
    pixel wide, whose longer side takes nine tenths of the picture. Crops without edges are listed in rejects.jsonl. The
    same command resumes an interrupted run; the bytes depend neither on the workers nor on interruptions.

    Example: sketchdata edgemaps extract crops --out edges

    Example: sketchdata edgemaps extract crops --out edges --detector tin --weights TIN2.pth --scales 0.5,1,1.5

    Example: sketchdata edgemaps extract crops --out edges --detector structured --weights model.yml.gz
    """
    started = time.monotonic()
    manifest = edgemaps_extract_recipe.run(directory, config, engine)
    if manifest is None:
        return
    counts = [count for classes in manifest.counts.values() for count in classes.values()]
    maps, classes = sum(counts), sum(map(bool, counts))
    if as_json:
        echo_json({"edge_maps": maps, "classes": classes, "rejects": manifest.rejects, "config": manifest.config})
        return
    refused = ", ".join(f"{count:,} {reason}" for reason, count in manifest.rejects.items()) or "none"
    click.echo(f"{config.out}: {maps:,} edge maps of {classes} classes by {config.detector}")
    click.echo(f"{bytes_of(manifest) / 1e6:,.1f} MB; refused crops: {refused}; {time.monotonic() - started:.1f} s")
    click.echo(f"Curate them with: sketchdata edgemaps curate {config.out}")


_EDGES = click.argument("edges", metavar="EDGES", type=FOLDER)
_PHOTOS = click.option(
    "--photos",
    metavar="CROPS",
    type=FOLDER,
    help="Folder that `edgemaps crop` made. Default: the one beside EDGES, if it is there.",
)


@click.command()
@_EDGES
@JSON
@options(config=edgemaps_curate_recipe.Config, engine=EngineOptions)
def curate(edges: Path, as_json: bool, config: edgemaps_curate_recipe.Config, engine: EngineOptions) -> None:
    """Score the messiness of every edge map in EDGES within its class, and flag the worst as noise.

    The score is the mean of an edge map's ranks by its ink, its short fragments, lines that end at its border and, with
    --drawings, its distance from drawings of the class. Writes EDGES/audit/messiness.parquet, thresholds.csv and
    messiness.json, and changes nothing else.

    Example: sketchdata edgemaps curate data/edges

    Example: sketchdata edgemaps curate data/edges --drawings data/quickdraw-3.8m --high 85
    """

    def show(counts: Any) -> None:
        click.echo(
            f"{counts['edge_maps']:,} edge maps of {counts['classes']:,} classes: {counts['normal']:,} normal, "
            f"{counts['noise']:,} noise ({counts['messy']:,} above percentile {config.high:g} of their class, "
            f"{counts['dense']:,} with too much ink, {counts['empty']:,} empty)"
        )
        if counts["classes_with_few"]:
            click.echo(
                f"{counts['classes_with_few']:,} classes have fewer than {FEW} edge maps: their "
                f"{counts['unjudged']:,} edge maps have a score and no flag",
                err=True,
            )

    started = time.monotonic()
    record = edgemaps_curate_recipe.run(edges, config, engine)
    report_audit(edges, record, started, as_json, show)
    if record is not None and not as_json:
        click.echo(f"Look at them with: sketchdata edgemaps serve {edges}")


@click.command()
@_EDGES
@_PHOTOS
@click.option("-o", "--output", metavar="FILE", type=FILE, help="File to write. Default: EDGES/audit/report.html.")
def report(edges: Path, photos: Path | None, output: Path | None) -> None:
    """Write a report on EDGES: classes, scores, edge maps from best to worst beside their photos, sources, licences.

    It is one HTML file that opens offline. Run `sketchdata edgemaps curate` first.

    Example: sketchdata edgemaps report data/edges
    """
    from sketchdata.web.exhibit import exhibit_edge_maps
    from sketchdata.web.pages import write_report

    path = write_report(exhibit_edge_maps(edges, photos), output)
    click.echo(f"{path}: {path.stat().st_size / 1e6:.1f} MB; open it in a browser")


@click.command()
@_EDGES
@_PHOTOS
@serving_options
def serve(edges: Path, photos: Path | None, **settings: Any) -> None:
    """Serve the curation page of EDGES: look at messy edge maps beside their photos, keep and drop.

    Decisions are written to EDGES/audit/decisions.jsonl at once, and `sketchdata build edgemap-345c` applies them. Run
    `sketchdata edgemaps curate` first. It needs the extra `web`.

    Example: sketchdata edgemaps serve data/edges --who ada
    """
    from sketchdata.web.exhibit import exhibit_edge_maps

    run_server(edges, partial(exhibit_edge_maps, photos=photos), **settings)


@click.command()
@JSON
@options(config=edgemaps_bench_recipe.Config, engine=EngineOptions)
def bench(as_json: bool, config: edgemaps_bench_recipe.Config, engine: EngineOptions) -> None:
    """Compare edge detectors on the boundary benchmark of BSDS500.

    ODS, OIS and AP measure how well a detector finds the boundaries that people draw on the same photos, from 0 to 1;
    the row `people` compares the people with each other. The 200 test photos take some minutes per detector. Counts
    stay in --out, and the same command resumes an interrupted run.

    Example: sketchdata edgemaps bench --bsds photos/bsds500 --detectors canny,tin --weights tin=TIN2.pth

    The edge maps of any other program, one per photo, are scored in the same way:

    Example: sketchdata edgemaps bench --bsds photos/bsds500 --predictions mine=results/maps
    """
    comparison = edgemaps_bench_recipe.run(config, engine)
    if comparison is None:
        return
    if as_json:
        echo_json(comparison)
        return
    title = f"{comparison.data} {comparison.split}, {comparison.photos:,} photos"
    table = table_of(*TITLES, fold=True, title=title)
    for line in comparison.lines:
        table.add_row(*cells(line))
    print_tables(table)
    click.echo(f"{config.out}: {edgemaps_bench_recipe.TABLE_FILE}, {edgemaps_bench_recipe.RESULTS_FILE}")


@click.command()
@click.argument("run", type=FOLDER)
@click.argument("data", type=FOLDER)
@JSON
@options(config=edgemaps_vectors_recipe.Config)
def vectors(run: Path, data: Path, as_json: bool, config: edgemaps_vectors_recipe.Config) -> None:
    """Compute a vector of each class from its edge maps in DATA, by the classifier trained in the folder RUN.

    A class's vector is the mean of its edge maps' embeddings, the input of the classifier's last layer: 1,280 values of
    MobileNet V2. Writes one Parquet file with word, count and vector, in the order of the class table, for zero-shot
    recognition. A file of that name is replaced; on the CPU, the same command gives the same bytes.

    Example: sketchdata edgemaps vectors runs/edgemap data/edgemap-345c --out edge-vectors.parquet
    """
    started = time.monotonic()
    found = edgemaps_vectors_recipe.run(run, data, config)
    if as_json:
        echo_json(found)
        return
    if missing := found["missing"]:
        more = (
            f" and {len(missing) - _NAMES_SHOWN:,} others, which the file names" if len(missing) > _NAMES_SHOWN else ""
        )
        shown = f"{', '.join(missing[:_NAMES_SHOWN])}{more}"
        click.echo(f"left out {len(missing):,} classes without an edge map: {shown}", err=True)
    click.echo(
        f"{config.out}: {found['classes']:,} classes × {found['width']:,} values, means of "
        f"{found['edge_maps']:,} edge maps of {found['split']}; {time.monotonic() - started:.1f} s"
    )
