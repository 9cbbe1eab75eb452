"""`sketchdata bench …`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Protocol

import click

from sketchdata.cli.output import JSON, Command, echo_json
from sketchdata.config import FOLDER, options
from sketchdata.errors import needs_extra

with needs_extra("comparing methods", "train"):
    from sketchdata.classes.splits import SplitOptions
    from sketchdata.comparisons.dsf import ROWS as DSF_ROWS
    from sketchdata.comparisons.hashing import all_rows
    from sketchdata.comparisons.sbir import all_rows as all_sbir_rows
    from sketchdata.comparisons.zsih import ROWS as ZSIH_ROWS
    from sketchdata.cross_domain.options import PairTraining, PhotoOrderConfig, SpaceTraining
    from sketchdata.cross_domain.photo_order import compare_order
    from sketchdata.retrieval.metrics import chance_of_map
    from sketchdata.trainers import dsf_bench as dsf_recipe
    from sketchdata.trainers import edgemap_bench as edgemap_recipe
    from sketchdata.trainers import hashing_bench as recipe
    from sketchdata.trainers import sbir_bench as sbir_recipe
    from sketchdata.trainers import zsih_bench as zsih_recipe
    from sketchdata.trainers import zsl_bench as zsl_recipe
    from sketchdata.trainers.options import SBIR_METHODS
    from sketchdata.training.distributed import device_of
    from sketchdata.training.options import NetworkOptions, TrainingOptions


def _list_rows(lines: Callable[[], Iterable[str]], help: str) -> Callable[[Command], Command]:

    def callback(context: click.Context, _: click.Parameter, wanted: bool) -> None:
        if wanted:
            click.echo("\n".join(lines()))
            context.exit()

    return click.option("--list-rows", is_flag=True, is_eager=True, expose_value=False, callback=callback, help=help)


class _Row(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...


def _titles(rows: Iterable[_Row]) -> Iterable[str]:
    return (f"{row.name:<24} {row.title}" for row in rows)


def _hashing_rows() -> Iterable[str]:
    for name, row in {row.name.removesuffix(f"-{row.bits}"): row for row in all_rows((64,), 32, 20)}.items():
        yield f"{name:<24} {row.title}{'' if row.table == 'ours' else f' (table {row.table})'}"


@click.command()
@JSON
@_list_rows(_hashing_rows, "Print the names of all rows, and exit.")
@options(config=recipe.Config, network=NetworkOptions, training=TrainingOptions)
def hashing(as_json: bool, config: recipe.Config, network: NetworkOptions, training: TrainingOptions) -> None:
    """Train or fit hashing methods on the same data, and compare them with the paper's Tables II to VII.

    Every row is a training, or a fit on features. Finished rows stay in --out: the same command resumes an interrupted
    run, and two commands with different --rows can share the folder. hashing.md has the tables, with mean and deviation
    over --seeds, chance and the bounds that the order of ties allows; hashing.json has all measures, and
    precision-recall.svg the curves of all rows.

    Example: sketchdata bench hashing --data data/quickdraw-3.8m --out bench --augment

    Example: sketchdata bench hashing --data small --rows dlbhc,sketchcode --bits 16 --backbone small --size 32
    """
    results: dict[str, Any] = recipe.run(config, network, training)
    if as_json:
        echo_json(results)
        return
    for row in results["rows"]:
        if "retrieval" in row:
            name, values = "mAP", [each["retrieval"]["map"]["expected"] for each in row["seeds"]]
        else:
            name, values = "top-1", [each["accuracy"] for each in row["seeds"]]
        deviation = f" ± {stdev(values):.4f}" if len(values) > 1 else ""
        click.echo(f"{row['name']}: {name} {fmean(values):.4f}{deviation}")
    click.echo(f"{config.out}: {recipe.TABLE_FILE}, {recipe.RESULTS_FILE}")


def _edgemap_rows() -> Iterable[str]:
    for row in edgemap_recipe.all_rows():
        lacking = edgemap_recipe.lacking(row)
        published = "not in the paper" if row.published is None else f"the paper's: {row.published:.4f}"
        yield f"{row.name:<24} {row.title} ({published}){f'; left out: {lacking}' if lacking else ''}"


@click.command()
@JSON
@_list_rows(_edgemap_rows, "Print the names of all rows and which networks are not installed, and exit.")
@options(config=edgemap_recipe.Config, training=TrainingOptions)
def edgemap(as_json: bool, config: edgemap_recipe.Config, training: TrainingOptions) -> None:
    """Train networks from scratch to classify edge maps, and compare them with the paper's Table VIII.

    Every row is a training of one network; `val` chooses its epoch. Finished rows stay in --out: the same command
    resumes an interrupted run, and other options make new rows beside them. A network that is not installed is left
    out, with a message. edgemap.md has the table, with chance; edgemap.json has the options as well.

    Example: sketchdata bench edgemap --data data/edgemap-345c --out bench-edgemap

    Example: sketchdata bench edgemap --data data/small --rows mobilenet_v2,resnet18 --size 64 --epochs 10
    """
    results: dict[str, Any] = edgemap_recipe.run(config, training)
    if as_json:
        echo_json(results)
        return
    for row in results["rows"]:
        click.echo(f"{row['name']}: accuracy {row['accuracy']:.4f} of val, chance {row['chance']:.4f}")
    click.echo(f"{config.out}: {edgemap_recipe.TABLE_FILE}, {edgemap_recipe.RESULTS_FILE}")


@click.command()
@JSON
@options(config=zsl_recipe.Config, splits=SplitOptions, network=NetworkOptions, training=TrainingOptions)
def zsl(
    as_json: bool, config: zsl_recipe.Config, splits: SplitOptions, network: NetworkOptions, training: TrainingOptions
) -> None:
    """Compare methods of zero-shot recognition with one another and with the paper's Tables IX and X.

    For each of --splits draws of seen and unseen classes, each network is trained as by `train zsl`, and each method
    learns from each source of class vectors. Finished parts stay in --out: the same command resumes an interrupted run.
    zsl.md has the tables with mean and deviation over the draws and chance; zsl.json has all measures of each draw.

    Example: sketchdata bench zsl --data data/quickdraw-3.8m --vectors edges.parquet --vectors words.parquet --seen 200

    Example: sketchdata bench zsl --data small --vectors edges.parquet --seen 60 --splits 3 --networks cr,thin
    """
    results: dict[str, Any] = zsl_recipe.run(config, splits, network, training)
    if as_json:
        echo_json(results)
        return
    for row in results["rows"]:
        hit, chance = (row["summary"]["zsl"][name] for name in ("hit@1", "chance"))
        deviation = "" if hit["sd"] is None else f" ± {hit['sd']:.4f}"
        click.echo(
            f"{row['features']} {row['source']} {row['method']}: hit@1 {hit['mean']:.4f}{deviation} of unseen classes "
            f"(chance {chance['hit@1']['mean']:.4f})"
        )
    click.echo(f"{config.out}: {zsl_recipe.TABLE_FILE}, {zsl_recipe.RESULTS_FILE}")


@click.command()
@JSON
@_list_rows(lambda: _titles(all_sbir_rows(SBIR_METHODS)), "Print the names of all rows, and exit.")
@options(config=sbir_recipe.Config, splits=SplitOptions, training=SpaceTraining)
def sbir(as_json: bool, config: sbir_recipe.Config, splits: SplitOptions, training: SpaceTraining) -> None:
    """Compare methods of finding photos by drawings with one another and with Tables 2 and 3 of Doodle to Search.

    Every row is trained on the seen classes of each of --draws splits of one data set, for equally many epochs, and its
    drawings of unseen classes search the photos of unseen ones. Without --seen and --class-split the split is the data
    set's own. Finished cells stay in --out: the same command resumes an interrupted run, and other rows can be added.
    sbir.md has the tables with mean and deviation over the draws, chance and the published figures; sbir.csv has one
    line per cell, and sbir.json all measures.

    Example: sketchdata bench sbir --data data/sbir --words words.parquet --weights imagenet --trunk frozen --seen 26

    Example: sketchdata bench sbir --data data/sketchy --rows frozen,centred --weights imagenet --draws 1
    """
    results: dict[str, Any] = sbir_recipe.run(config, splits, training)
    if as_json:
        echo_json(results)
        return
    for row in results["rows"]:
        values = list(row["map"].values())
        deviation = f" ± {stdev(values):.4f}" if len(values) > 1 else ""
        galleries = [cell["retrieval"] for cell in row["cells"]]
        chance = fmean(chance_of_map(each["chance"], each["gallery"]) for each in galleries)
        click.echo(f"{row['name']}: mAP {fmean(values):.4f}{deviation} (chance {chance:.4f})")
    click.echo(f"{config.out}: {sbir_recipe.TABLE_FILE}, {sbir_recipe.RESULTS_FILE}, {sbir_recipe.CELLS_FILE}")


@click.command()
@JSON
@_list_rows(lambda: _titles(ZSIH_ROWS), "Print the names of all rows, and exit.")
@options(config=zsih_recipe.Config, splits=SplitOptions, training=PairTraining)
def zsih(as_json: bool, config: zsih_recipe.Config, splits: SplitOptions, training: PairTraining) -> None:
    """Compare binary codes of drawings and photos with one another and with Tables 1 to 3 of ZSIH.

    Every row is trained on the seen classes of each of --draws splits of one data set, for equally many epochs, or
    fitted to the features of the same pretrained network, and codes of unseen drawings search codes of unseen photos.
    Finished cells stay in --out: the same command resumes an interrupted run, and other rows can be added. zsih.md has
    the tables with chance and the published figures, and zsih.json the values of each cell.

    Example: sketchdata bench zsih --data data/sbir --words words.parquet --weights imagenet --trunk frozen --seen 26

    Example: sketchdata bench zsih --data data/sbir --words words.parquet --weights imagenet --rows zsih,itq
    --draws 1
    """
    results: dict[str, Any] = zsih_recipe.run(config, splits, training)
    if as_json:
        echo_json(results)
        return
    for row in results["rows"]:
        values = [cell["map"]["expected"] for cell in row["cells"]]
        chance = fmean(chance_of_map(cell["chance"], cell["gallery"]) for cell in row["cells"])
        click.echo(f"{row['name']}, {row['bits']} bits: mAP {fmean(values):.4f} (chance {chance:.4f})")
    click.echo(f"{config.out}: {zsih_recipe.TABLE_FILE}, {zsih_recipe.RESULTS_FILE}")


@click.command()
@JSON
@_list_rows(lambda: _titles(DSF_ROWS), "Print the names of all rows, and exit.")
@options(config=dsf_recipe.Config, training=TrainingOptions)
def dsf(as_json: bool, config: dsf_recipe.Config, training: TrainingOptions) -> None:
    """Compare mixes of drawings, photos and edge maps with Tables 1 to 3 of the deep sketch feature.

    Every row is a `train dsf` for equally many epochs; it recognises the drawings of the fold that was left out by one
    view and by --views, and these drawings search the photos. Rows of other ways of resizing need drawings that are
    pixels. Finished cells stay in --out: the same command resumes an interrupted run, and other rows can be added.
    dsf.md has the tables with mean and deviation over folds and --seeds, chance and the published figures; dsf.json has
    all measures.

    Example: sketchdata bench dsf --data data/tu-berlin --weights imagenet --out bench

    Example: sketchdata bench dsf --data data/small --rows s,s+e --folds 1/3 --seeds 3 --backbone small --size 64
    """
    results: dict[str, Any] = dsf_recipe.run(config, training)
    if as_json:
        echo_json(results)
        return
    for row in results["rows"]:
        one, many = (fmean(cell[name] for cell in row["cells"]) for name in ("one_view", "voting"))
        chance = fmean(cell["chance"] for cell in row["cells"])
        click.echo(
            f"{row['name']}: top-1 {one:.4f} by one view, {many:.4f} by {results['views']} views (chance {chance:.4f})"
        )
    click.echo(f"{config.out}: {dsf_recipe.TABLE_FILE}, {dsf_recipe.RESULTS_FILE}")


@click.command("photo-order")
@click.argument("run", type=FOLDER)
@click.argument("folder", type=FOLDER)
@JSON
@options(config=PhotoOrderConfig)
def photo_order(run: Path, folder: Path, as_json: bool, config: PhotoOrderConfig) -> None:
    """Compare the order of photos for drawings with the order that people gave them, by Kendall's τ_b.

    FOLDER has order.csv, with columns drawing, photo and rank: the first two are paths of pictures in FOLDER, and
    photos with lower ranks look more like the drawing. This is the measure of Eitz's benchmark of 31 drawings with 40
    photos each. RUN is the folder of a `sketchdata train dsf`; a random order has an expected τ_b of 0.

    Example: sketchdata bench photo-order runs/dsf eitz --layer fc6+fc7
    """
    found = compare_order(run, folder, layer=config.layer, device=str(device_of(config.device)))
    if as_json:
        echo_json(found)
        return
    for drawing, tau in found["drawings"].items():
        click.echo(f"{drawing}: {tau:.4f}")
    click.echo(f"mean τ_b {found['tau']:.4f} of {len(found['drawings']):,} drawings by {found['layer']} (chance 0)")
