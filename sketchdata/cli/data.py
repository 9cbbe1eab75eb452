"""`sketchdata download`, `build`, `synth` and `convert`: data sets and where they come from."""

from __future__ import annotations

import time
from fractions import Fraction
from pathlib import Path

import click
import orjson
from rich.filesize import decimal
from rich.table import Table

from sketchdata.cli.output import echo_json
from sketchdata.config import options
from sketchdata.engine import EngineOptions
from sketchdata.pipelines import convert as convert_recipe
from sketchdata.pipelines import download as download_recipe
from sketchdata.pipelines import edgemap as edgemap_recipe
from sketchdata.pipelines import quickdraw as quickdraw_recipe
from sketchdata.pipelines import synth as synth_recipe
from sketchdata.progress import console
from sketchdata.storage.manifest import Manifest


@click.command("quickdraw")
@options(config=download_recipe.Config)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON on standard output.")
def download_quickdraw(config: download_recipe.Config, as_json: bool) -> None:
    """Download the official Quick, Draw! files, resumable and verified.

    Files that are there and right are left alone; a broken download goes on where it stopped, even after Ctrl-C.
    DEST is laid out like the bucket, so `sketchdata build quickdraw-3.8m --source DEST` reads it.

    Example: sketchdata download quickdraw --categories star,cat

    Example: sketchdata download quickdraw --format raw --dest raw-files --jobs 8
    """
    summary = download_recipe.run(config)
    if as_json:
        click.echo(orjson.dumps(summary.as_dict(), default=str, option=orjson.OPT_INDENT_2).decode())
    else:
        console.print(_table(summary))
        rate = decimal(int(summary.received / max(summary.seconds, 1e-9)))
        text = f"{decimal(summary.received)} fetched in {summary.seconds:.1f} s, {rate}/s, to {summary.dest}"
        console.print(text, highlight=False, soft_wrap=True)
    if summary.not_official:
        console.print(_warning(summary), highlight=False, soft_wrap=True)
    summary.check()


def _table(summary: download_recipe.DownloadSummary) -> Table:
    table = Table("", "files", "size")
    for column in table.columns[1:]:
        column.justify = "right"
    for status in ("downloaded", "resumed", "present", "planned", "failed"):
        if status != "planned" or summary.count(status):
            table.add_row(status, f"{summary.count(status):,}", decimal(summary.size(status)))
    return table


def _warning(summary: download_recipe.DownloadSummary) -> str:
    names = [file.path for file in summary.not_official]
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    return f"warning: not the official content (by the published md5): {', '.join(names[:3])}{more}"


@click.command("quickdraw-3.8m")
@options(config=quickdraw_recipe.Config, engine=EngineOptions)
def build_quickdraw(config: quickdraw_recipe.Config, engine: EngineOptions) -> None:
    """Build QuickDraw-3.8M: 345 classes × 9,000/1,000/1,000/100 drawings, as Parquet.

    The split depends on key_ids and the seed alone, so it is the same from the ndjson, the raw and the binary files. A
    build that was stopped goes on where it was when the same command runs again.

    Example: sketchdata build quickdraw-3.8m --source data/quickdraw --out data/quickdraw-3.8m

    On a SLURM cluster (job array; run it again when both stages did not fit, then once without a range):

    Example: sbatch --array=0-7 --wrap "sketchdata build quickdraw-3.8m --engine slurm --wait 3600"
    """
    started = time.monotonic()
    manifest = quickdraw_recipe.run(config, engine)
    if manifest is None:
        return
    rows, size = sum(manifest.splits.values()), sum(file.bytes for file in manifest.files)
    splits = ", ".join(f"{split} {count:,}" for split, count in manifest.splits.items())
    official = sum(source.official for source in manifest.sources)
    click.echo(f"{config.out}: {rows:,} drawings of {len(manifest.classes)} classes ({splits})")
    click.echo(
        f"{size / 1e6:,.1f} MB in {len(manifest.files)} files; refused records: {sum(manifest.rejects.values()):,}; "
        f"{official} of {len(manifest.sources)} sources are the official files; {time.monotonic() - started:.1f} s"
    )
    click.echo(f"Check it with: sketchdata verify {config.out}")


@click.command("edgemap-345c")
@options(config=edgemap_recipe.Config, engine=EngineOptions)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of sentences.")
def build_edgemap(config: edgemap_recipe.Config, engine: EngineOptions, as_json: bool) -> None:
    """Build EdgeMap-345C: curated edge maps, split by photo, in WebDataset tars with an index.

    What the audit of `edgemaps curate` flags is left out, and what curators drop; what they keep stays. All maps of one
    photo fall into one split, by a keyed hash of the photo, and more photos move none. A build that was stopped goes on
    where it was when the same command runs again.

    Example: sketchdata build edgemap-345c --edges edges --out data/edgemap-345c

    Example: sketchdata build edgemap-345c --edges edges --out data/uncurated --no-curation --val-share 1/10
    """
    started = time.monotonic()
    manifest = edgemap_recipe.run(config, engine)
    if manifest is None:
        return
    if as_json:
        echo_json(_summary(config.out, manifest))
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


@click.command()
@options(config=synth_recipe.Config, engine=EngineOptions)
def synth(config: synth_recipe.Config, engine: EngineOptions) -> None:
    """Generate drawings in the official formats, for trying things out without a download.

    Over 100 of the 345 categories look like their names; the others have a fixed invented shape. A share of each
    category is scribbles and over-simple drawings. They are not from Quick, Draw!, and a note in the folder says so.

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
    """Convert drawings between formats, which IN's and OUT's suffixes tell.

    .ndjson, .ndjson.gz (official text, simplified or raw), .bin (official binary), .npz (sketch-rnn's stroke-3) and
    .svg are read and written, .npy (official 28×28 bitmaps) is written. IN may be a folder of SVG files, OUT a folder
    for them, one a drawing, when it exists or its name ends in a slash. A hyphen is standard input or output.

    Records that cannot be read are refused, counted and shown; OUT appears only when it is whole.

    Example: sketchdata convert star.bin star.ndjson.gz

    Example: sketchdata convert cat.full.npz cats/ --word cat

    Example: sketchdata convert sketches/ sketches.ndjson --word star

    Example: sketchdata convert raw/star.ndjson star.npz --simplify

    Example: gunzip -c star.ndjson.gz | sketchdata convert - star.npy --from ndjson
    """
    converted = convert_recipe.run(source, out, config)
    refused = converted.rejects.total()
    click.echo(f"{out}: {converted.drawings:,} drawings, {refused:,} records refused", err=True)
    for reason, count in converted.rejects.most_common():
        click.echo(f"  {count:,} {reason}", err=True)
    for example in converted.examples:
        click.echo(f"  {example}", err=True)
