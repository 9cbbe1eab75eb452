"""`sketchdata audit …`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from sketchdata.cli.output import (
    JSON,
    counted,
    echo_json,
    print_tables,
    report_audit,
    run_server,
    serving_options,
    table_of,
)
from sketchdata.config import FOLDER, options
from sketchdata.curation.plan import read_totals
from sketchdata.engine import EngineOptions
from sketchdata.pipelines import audit as recipe
from sketchdata.pipelines import audit_apply as audit_apply_recipe
from sketchdata.pipelines import audit_labels as audit_labels_recipe
from sketchdata.pipelines import audit_near as audit_near_recipe
from sketchdata.pipelines import select as select_recipe

_DIRECTORY = click.argument("directory", metavar="DIR", type=FOLDER)


@click.command()
@_DIRECTORY
@JSON
@options(config=recipe.EntropyConfig, engine=EngineOptions)
def entropy(directory: Path, as_json: bool, config: recipe.EntropyConfig, engine: EngineOptions) -> None:
    """Find the drawings in DIR that have too little or too much ink for their class.

    The image entropy of every drawing is compared with the percentiles of its class in one split; drawings beyond them
    are flagged as noise. Writes DIR/audit/entropy.parquet, percentiles.csv and audit.json, and changes nothing else.

    Example: sketchdata audit entropy data/quickdraw-3.8m

    Example: sketchdata audit entropy data/quickdraw-3.8m --low 2.5 --high 97.5 --by-split train
    """

    def show(counts: Any) -> None:
        table = table_of("split", "drawings", "normal", "too little ink", "too much", "noise")
        for name, found in {**counts["splits"], "all": counts}.items():
            judged = found["normal"] + found["noise"]
            share = f"{found['noise'] / judged:.2%}" if judged else "–"
            table.add_row(name, *(f"{found[key]:,}" for key in ("drawings", "normal", "low", "high")), share)
        print_tables(table)
        if none := counts["classes_without_reference"]:
            click.echo(
                f"{none:,} classes have no drawings in {config.by_split}: their {counts['unjudged']:,} drawings have "
                "an entropy, but no percentile or flag",
                err=True,
            )
        if few := counts["classes_with_few"]:
            click.echo(
                f"{few:,} classes have fewer than {recipe.FEW} drawings in {config.by_split}: their limits are not "
                "reliable",
                err=True,
            )

    started = time.monotonic()
    report_audit(directory, recipe.audit_entropy(directory, config, engine), started, as_json, show)


@click.command()
@_DIRECTORY
@JSON
@options(engine=EngineOptions)
def duplicates(directory: Path, as_json: bool, engine: EngineOptions) -> None:
    """Find exactly equal drawings in DIR, within and across splits.

    Two drawings are equal when their strokes are the same lists of points in the same order; points that are repeated
    in a row count once. Writes DIR/audit/duplicates.parquet and duplicates.json, and changes nothing else.

    Example: sketchdata audit duplicates data/quickdraw-3.8m
    """

    def show(counts: Any) -> None:
        click.echo(
            f"{counts['drawings']:,} drawings have an equal one, in {counts['groups']:,} groups, "
            f"{counts['groups_of_several_classes']:,} of them of several classes; keeping one of each group would "
            f"remove {counts['surplus']:,}"
        )
        inside = table_of("split", "with an equal one in it")
        for split, drawings in counts["within"].items():
            inside.add_row(split, f"{drawings:,}")
        across = table_of("of", "also in", "drawings", "same class", "another class")
        for each in counts["leakage"]:
            numbers = (f"{each[key]:,}" for key in ("drawings", "same_class", "other_class"))
            across.add_row(each["into"], each["source"], *numbers)
        print_tables(inside, across)

    started = time.monotonic()
    report_audit(directory, recipe.audit_duplicates(directory, engine), started, as_json, show)


@click.command()
@_DIRECTORY
@JSON
@options(config=audit_labels_recipe.Config, engine=EngineOptions)
def labels(directory: Path, as_json: bool, config: audit_labels_recipe.Config, engine: EngineOptions) -> None:
    """Find the drawings in DIR that are probably of another class.

    A small network is trained on the CPU for each fold of the drawings, and judges the fold that it did not see.
    Confident learning then lists the labels that it contradicts. Writes DIR/audit/labels.parquet, suspects.csv,
    label_errors.csv and labels.json, and changes nothing else.

    Example: sketchdata audit labels data/quickdraw-3.8m

    Example: sketchdata audit labels data/quickdraw-3.8m --run runs/recognition --json
    """

    def show(counts: Any) -> None:
        drawings = max(counts["drawings"], 1)
        click.echo(
            f"{counts['suspects']:,} of {counts['drawings']:,} drawings ({counts['suspects'] / drawings:.2%}) are "
            f"probably of another class; {counts['estimated_errors']:,.0f} labels are estimated to be wrong; the class "
            f"of {counts['recognised']:.1%} is the most probable one"
        )
        if counts["pairs"]:
            table = table_of("drawn as", "looks like", "drawings", "estimated errors", fold=True)
            for pair in counts["pairs"]:
                numbers = f"{pair['suspects']:,}", f"{pair['estimated_errors']:,.1f}"
                table.add_row(pair["word"], pair["suggested"], *numbers)
            print_tables(table)

    started = time.monotonic()
    report_audit(directory, audit_labels_recipe.audit_labels(directory, config, engine), started, as_json, show)


@click.command()
@_DIRECTORY
@JSON
@options(config=audit_near_recipe.Config, engine=EngineOptions)
def near(directory: Path, as_json: bool, config: audit_near_recipe.Config, engine: EngineOptions) -> None:
    """Find near duplicates in DIR, within and across splits.

    Drawings of the same ink differ in a shift or in the order of strokes; near ones are similar drawings of one class.
    Each drawing is paired with the nearest earlier one of each split. Writes DIR/audit/near_duplicates.parquet,
    near_duplicates.html, which shows the nearest pairs on each other, and near.json, and changes nothing else.

    Example: sketchdata audit near data/quickdraw-3.8m --distance 0.02
    """

    def show(counts: Any) -> None:
        pairs = ", ".join(f"{count:,} {kind}" for kind, count in counts["pairs"].items())
        click.echo(f"{counts['drawings']:,} drawings are in a pair: {pairs}")
        across = table_of("of", "near one in", *audit_near_recipe.KINDS)
        for each in counts["leakage"]:
            across.add_row(each["into"], each["source"], *(f"{each[kind]:,}" for kind in audit_near_recipe.KINDS))
        print_tables(across)

    started = time.monotonic()
    report_audit(directory, audit_near_recipe.audit_near(directory, config, engine), started, as_json, show)


@click.command()
@_DIRECTORY
@JSON
@click.option("--classes", is_flag=True, help="List every class too, with all of its splits together.")
@options(engine=EngineOptions)
def summary(directory: Path, as_json: bool, classes: bool, engine: EngineOptions) -> None:
    """Count strokes, points, countries and recognized drawings in DIR, by class and split.

    Writes DIR/audit/summary.csv and summary.json, and changes nothing else.

    Example: sketchdata audit summary data/quickdraw-3.8m --classes
    """

    def show(counts: Any) -> None:
        for title, key in (("split", "splits"), ("class", "classes"))[: 1 + classes]:
            table = table_of(title, "drawings", "recognized", "countries", "commonest", "strokes", "points")
            for name, found in counts[key].items():
                if not found["drawings"] or found["recognized"] is None:
                    table.add_row(name, f"{found['drawings']:,}")
                    continue
                top, share = found["top_country"], found["top_country_share"] or 0
                table.add_row(
                    name,
                    f"{found['drawings']:,}",
                    f"{found['recognized']:.1%}",
                    f"{found['countries']:,}",
                    "–" if top is None else f"{top} {share:.0%}",
                    f"{found['strokes_mean'] or 0:.2f}",
                    f"{found['points_mean'] or 0:.1f}",
                )
            print_tables(table)

    started = time.monotonic()
    report_audit(directory, recipe.audit_summary(directory, engine), started, as_json, show)


@click.command()
@_DIRECTORY
@options(config=audit_apply_recipe.Config, engine=EngineOptions)
def apply(directory: Path, config: audit_apply_recipe.Config, engine: EngineOptions) -> None:
    """Build a curated data set from DIR, without the audit's noise and the drawings that curators dropped.

    Flagged drawings are removed, unless the latest decision keeps them; drawings that the latest decision drops are
    removed too, and those that it relabels move to their new class. With --refill, the next drawings of the class take
    their places. The bytes do not depend on the workers nor on interruptions; the same command resumes an interrupted
    run. DIR stays as it is.

    Example: sketchdata audit apply data/quickdraw-3.8m --out data/curated

    Example: sketchdata audit apply data/quickdraw-3.8m --out data/refilled --splits train --refill
    """
    started = time.monotonic()
    manifest = audit_apply_recipe.run(directory, config, engine)
    if manifest is None:
        return
    totals = read_totals(config.out)
    click.echo(f"{config.out}: {totals['drawings']:,} of {totals['parent']:,} drawings ({counted(manifest.splits)})")
    click.echo(
        f"removed: {totals['noise']:,} noise, {totals['dropped']:,} by decision; kept by decision: {totals['kept']:,}; "
        f"relabelled: {totals['relabelled_here']:,}; added: {totals['refilled']:,}; {time.monotonic() - started:.1f} s"
    )
    click.echo(f"Check it with: sketchdata verify {config.out}")


@click.command()
@_DIRECTORY
def report(directory: Path) -> None:
    """Write DIR/audit/report.html: classes, histograms and example drawings, one file that opens offline.

    Run `sketchdata audit entropy` first.

    Example: sketchdata audit report data/quickdraw-3.8m
    """
    from sketchdata.web.exhibit import exhibit_drawings
    from sketchdata.web.pages import write_report

    path = write_report(exhibit_drawings(directory))
    click.echo(f"{path}: {path.stat().st_size / 1e6:.1f} MB; open it in a browser")


@click.command()
@_DIRECTORY
@serving_options
def serve(directory: Path, **settings: Any) -> None:
    """Serve the curation page: move the percentiles, look at the noise, keep, drop and relabel drawings.

    Decisions are written to DIR/audit/decisions.jsonl at once. It needs the extra `web`.

    Example: sketchdata audit serve data/quickdraw-3.8m --who ada
    """
    from sketchdata.web.exhibit import exhibit_drawings

    run_server(directory, exhibit_drawings, **settings)


@click.command()
@_DIRECTORY
@JSON
@options(config=select_recipe.Config)
def select(directory: Path, as_json: bool, config: select_recipe.Config) -> None:
    """Choose few drawings of each class in DIR, and list their key_ids.

    Diversity takes drawings that represent all others, by facility location; typicality those nearest to the class's
    mean; difficulty those that a small network of the other drawings recognises least. The list is a CSV file, in the
    order of the choice, so that its first lines of a class are a smaller selection.

    Example: sketchdata select data/quickdraw-3.8m --per-class 100 --by diversity --out chosen.csv
    """
    started = time.monotonic()
    counts = select_recipe.select(directory, config)
    if as_json:
        echo_json({"drawings": sum(counts.values()), "classes": counts})
        return
    chosen = f"{sum(counts.values()):,} drawings of {sum(map(bool, counts.values())):,} classes"
    click.echo(f"{config.out}: {chosen}, by {config.by}; {time.monotonic() - started:.1f} s")
    if few := [word for word, count in counts.items() if count < config.per_class]:
        click.echo(f"{len(few):,} classes have fewer than {config.per_class:,} drawings, such as {few[0]}", err=True)
