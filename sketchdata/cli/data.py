"""`sketchdata download`, `build`, `synth` and `convert`: data sets and where they come from."""

from __future__ import annotations

import time
from fractions import Fraction

import click
from rich.filesize import decimal

from sketchdata.cli.output import JSON, bytes_of, counted, echo_json, table_of
from sketchdata.config import options
from sketchdata.engine import EngineOptions
from sketchdata.pipelines import convert as convert_recipe
from sketchdata.pipelines import download as download_recipe
from sketchdata.pipelines import drawings as drawings_recipe
from sketchdata.pipelines import edgemap as edgemap_recipe
from sketchdata.pipelines import quickdraw as quickdraw_recipe
from sketchdata.pipelines import synth as synth_recipe
from sketchdata.progress import console


@click.command("quickdraw")
@options(config=download_recipe.Config)
@JSON
def download_quickdraw(config: download_recipe.Config, as_json: bool) -> None:
    """Download the official Quick, Draw! files, resumable and verified.

    Verified files are not downloaded again; an interrupted download resumes where it stopped, even after Ctrl-C. DEST
    is laid out like the bucket, so `sketchdata build quickdraw-3.8m --source DEST` reads it.

    Example: sketchdata download quickdraw --categories star,cat

    Example: sketchdata download quickdraw --format raw --dest raw-files --jobs 8
    """
    summary = download_recipe.run(config)
    if as_json:
        echo_json(summary.as_dict())
    else:
        table = table_of("", "files", "size")
        for status in ("downloaded", "resumed", "present", "planned", "failed"):
            if status != "planned" or summary.count(status):
                table.add_row(status, f"{summary.count(status):,}", decimal(summary.size(status)))
        console.print(table)
        rate = decimal(int(summary.received / max(summary.seconds, 1e-9)))
        text = f"{decimal(summary.received)} fetched in {summary.seconds:.1f} s, {rate}/s, to {summary.dest}"
        console.print(text, highlight=False, soft_wrap=True)
    if names := [file.path for file in summary.not_official]:
        more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
        text = f"warning: not the official content (by the published md5): {', '.join(names[:3])}{more}"
        console.print(text, highlight=False, soft_wrap=True)
    summary.check()


@click.command("quickdraw-3.8m")
@options(config=quickdraw_recipe.Config, engine=EngineOptions)
def build_quickdraw(config: quickdraw_recipe.Config, engine: EngineOptions) -> None:
    """Build QuickDraw-3.8M: 345 classes × 9,000/1,000/1,000/100 drawings, as Parquet.

    The split depends on key_ids and the seed alone, so it is the same from the ndjson, the raw and the binary files.
    The same command resumes an interrupted build.

    Example: sketchdata build quickdraw-3.8m --source data/quickdraw --out data/quickdraw-3.8m

    As a job array on a SLURM cluster; submit it again if it ended between the two stages, then run the command once
    without a range:

    Example: sbatch --array=0-7 --wrap "sketchdata build quickdraw-3.8m --engine slurm --wait 3600"
    """
    started = time.monotonic()
    manifest = quickdraw_recipe.run(config, engine)
    if manifest is None:
        return
    splits, official = manifest.splits, sum(source.official for source in manifest.sources)
    click.echo(
        f"{config.out}: {sum(splits.values()):,} drawings of {len(manifest.classes)} classes ({counted(splits)})"
    )
    click.echo(
        f"{bytes_of(manifest) / 1e6:,.1f} MB in {len(manifest.files)} files; refused records: "
        f"{sum(manifest.rejects.values()):,}; {official} of {len(manifest.sources)} sources are the official files; "
        f"{time.monotonic() - started:.1f} s"
    )
    click.echo(f"Check it with: sketchdata verify {config.out}")


@click.command("drawings")
@options(config=drawings_recipe.Config, engine=EngineOptions)
def build_drawings(config: drawings_recipe.Config, engine: EngineOptions) -> None:
    """Build a data set from a folder of your own drawings.

    A folder of .svg files is a class, and so is a .npz or .bin file; records of .ndjson and of Kaggle's .csv name their
    class. All but .npz may be gzipped. Raw drawings are simplified. Audits, exports, training and search work as for
    QuickDraw-3.8M. If a class has too few drawings, all of its splits shrink in proportion.

    Example: sketchdata build drawings --source tu-berlin --out data/tu-berlin --train 60 --val 5 --gallery 10 --query 5
    """
    started = time.monotonic()
    manifest = drawings_recipe.build(config, engine)
    if manifest is None:
        return
    splits, classes = manifest.splits, len(manifest.classes)
    click.echo(f"{config.out}: {sum(splits.values()):,} drawings of {classes:,} classes ({counted(splits)})")
    click.echo(
        f"{bytes_of(manifest) / 1e6:,.1f} MB in {len(manifest.files)} files, from {len(manifest.sources):,} files or "
        f"folders; {time.monotonic() - started:.1f} s"
    )
    for reason, count in manifest.rejects.items():
        click.echo(f"refused: {count:,} {reason}")
    click.echo(f"Check it with: sketchdata verify {config.out}")


@click.command("edgemap-345c")
@options(config=edgemap_recipe.Config, engine=EngineOptions)
@JSON
def build_edgemap(config: edgemap_recipe.Config, engine: EngineOptions, as_json: bool) -> None:
    """Build EdgeMap-345C: curated edge maps, split by photo, in WebDataset tars with an index.

    Edge maps that `edgemaps curate` flags and that no curator keeps are left out, and so are those that curators drop.
    All maps of one photo fall into one split, by a keyed hash of the photo; adding photos changes no photo's split. The
    same command resumes an interrupted build.

    Example: sketchdata build edgemap-345c --edges edges --out data/edgemap-345c

    Example: sketchdata build edgemap-345c --edges edges --out data/uncurated --no-curation --val-share 1/10
    """
    started = time.monotonic()
    manifest = edgemap_recipe.run(config, engine)
    if manifest is None:
        return
    splits, maps = manifest.splits, sum(manifest.splits.values())
    share = splits["val"] / maps
    classes = len({word for counts in manifest.counts.values() for word, count in counts.items() if count})
    if as_json:
        echo_json(
            {
                "out": str(config.out),
                "name": manifest.name,
                "edge_maps": maps,
                "splits": splits,
                "val_share": share,
                "classes": classes,
                "rejects": manifest.rejects,
                "bytes": bytes_of(manifest),
                "config": manifest.config,
            }
        )
        return
    click.echo(f"{config.out}: {maps:,} edge maps of {classes:,} classes ({counted(splits)})")
    click.echo(
        f"val has {share:.2%} of the maps; expected are {float(Fraction(manifest.config['val_share'])):.2%}, the "
        "share of the photos"
    )
    click.echo(
        f"{bytes_of(manifest) / 1e6:,.1f} MB in {len(manifest.files):,} files; refused maps: "
        f"{sum(manifest.rejects.values()):,}; {time.monotonic() - started:.1f} s"
    )
    click.echo(f"Check it with: sketchdata verify {config.out}")


@click.command()
@options(config=synth_recipe.Config, engine=EngineOptions)
def synth(config: synth_recipe.Config, engine: EngineOptions) -> None:
    """Generate drawings in the official formats, to try the other commands without a download.

    Over 100 of the 345 categories look like their names; the others have a fixed invented shape. A share of each
    category is scribbles and drawings that are too simple. They are not from Quick, Draw!, and a note in the folder
    says so.

    Example: sketchdata synth --out data/generated --drawings 1000 --categories star,house,cat
    """
    generated = synth_recipe.run(config, engine)
    if generated is not None:
        click.echo(
            f"{config.out}: {generated.drawings:,} generated drawings in {generated.files:,} files, "
            f"{generated.bytes / 1e6:,.1f} MB (not from Quick, Draw!)"
        )


@click.command()
@click.argument("source", metavar="IN")
@click.argument("out", metavar="OUT")
@options(config=convert_recipe.Config)
def convert(source: str, out: str, config: convert_recipe.Config) -> None:
    """Convert drawings between formats, by the suffixes of IN and OUT.

    .ndjson, .ndjson.gz (official text, simplified or raw), .csv (Kaggle's), .bin (official binary), .npz (sketch-rnn's
    stroke-3) and .svg are read and written, .npy (official 28×28 bitmaps) is written. IN may be a folder of SVG files;
    OUT is a folder for SVG files, one per drawing, when it exists or its name ends in a slash. IN may be a picture of a
    drawing, .png, .jpg, .webp, .gif, .bmp, .avif or .tif, whose lines are traced. A hyphen is standard input or
    output.

    Records that cannot be read are left out, counted and shown. OUT appears only when it is complete.

    Example: sketchdata convert star.bin star.ndjson.gz

    Example: sketchdata convert cat.full.npz cats/ --word cat

    Example: sketchdata convert sketches/ sketches.ndjson --word star

    Example: sketchdata convert raw/star.ndjson star.npz --simplify

    Example: gunzip -c star.ndjson.gz | sketchdata convert - star.npy --from ndjson
    """
    converted = convert_recipe.run(source, out, config)
    refused = converted.rejects.total()
    click.echo(f"{out}: {converted.drawings:,} drawings, {refused:,} records refused", err=True)
    for note in converted.notes:
        click.echo(f"  {note}", err=True)
    for reason, count in converted.rejects.most_common():
        click.echo(f"  {count:,} {reason}", err=True)
    for example in converted.examples:
        click.echo(f"  {example}", err=True)
