"""`sketchdata audit …`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from sketchdata.cli.output import echo_json, print_tables, run_server, serving_options
from sketchdata.config import options
from sketchdata.curation.audit import AuditRecord, record_path
from sketchdata.curation.plan import read_totals
from sketchdata.engine import EngineOptions
from sketchdata.pipelines import audit_apply as audit_apply_recipe
from sketchdata.pipelines import audit_duplicates as audit_duplicates_recipe
from sketchdata.pipelines import audit_entropy as audit_entropy_recipe
from sketchdata.pipelines import audit_summary as audit_summary_recipe
from sketchdata.storage.manifest import AUDIT_FOLDER

_DIRECTORY = click.argument("directory", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
_JSON = click.option("--json", "as_json", is_flag=True, help="Print the audit's record as JSON instead of a table.")
_PLURALS = {"split": "splits", "class": "classes"}


@click.command()
@_DIRECTORY
@_JSON
@options(config=audit_entropy_recipe.Config, engine=EngineOptions)
def entropy(directory: Path, as_json: bool, config: audit_entropy_recipe.Config, engine: EngineOptions) -> None:
    """Find the drawings in DIR that have too little or too much ink for their class.

    The image entropy of every drawing is compared with its class's percentiles over one split; what lies outside is
    flagged as noise. Writes DIR/audit/entropy.parquet, percentiles.csv and audit.json, and changes nothing else.

    Example: sketchdata audit entropy data/quickdraw-3.8m

    Example: sketchdata audit entropy data/quickdraw-3.8m --low 2.5 --high 97.5 --by-split train
    """
    started = time.monotonic()
    record = audit_entropy_recipe.run(directory, config, engine)
    if record is None:
        return
    if as_json:
        _print_json(record)
        return
    print_tables(_entropy_table(record.counts))
    _warn_of_small_classes(record.counts, config.by_split)
    _say_where(directory, record, started)


@click.command()
@_DIRECTORY
@_JSON
@options(engine=EngineOptions)
def duplicates(directory: Path, as_json: bool, engine: EngineOptions) -> None:
    """Find exactly equal drawings in DIR, within and across splits.

    Two drawings are equal when their strokes are the same lists of points in the same order; points that stand twice in
    a row count once. Writes DIR/audit/duplicates.parquet and duplicates.json, and changes nothing else.

    Example: sketchdata audit duplicates data/quickdraw-3.8m
    """
    started = time.monotonic()
    record = audit_duplicates_recipe.run(directory, engine)
    if record is None:
        return
    if as_json:
        _print_json(record)
        return
    counts = record.counts
    click.echo(
        f"{counts['drawings']:,} drawings have an equal one, in {counts['groups']:,} groups, "
        f"{counts['groups_of_several_classes']:,} of them of several classes; {counts['surplus']:,} would go if one "
        "of each group stayed"
    )
    print_tables(*_duplicate_tables(counts))
    _say_where(directory, record, started)


@click.command()
@_DIRECTORY
@_JSON
@click.option("--classes", is_flag=True, help="List every class too, with all of its splits together.")
@options(engine=EngineOptions)
def summary(directory: Path, as_json: bool, classes: bool, engine: EngineOptions) -> None:
    """Count strokes, points, countries and recognized drawings in DIR, by class and split.

    Writes DIR/audit/summary.csv and summary.json, and changes nothing else.

    Example: sketchdata audit summary data/quickdraw-3.8m --classes
    """
    started = time.monotonic()
    record = audit_summary_recipe.run(directory, engine)
    if record is None:
        return
    if as_json:
        _print_json(record)
        return
    tables = ("split", "class") if classes else ("split",)
    print_tables(*(_statistics_table(title, record.counts[_PLURALS[title]]) for title in tables))
    _say_where(directory, record, started)


def _print_json(record: AuditRecord) -> None:
    counts = {"kind": record.kind, "name": record.name, "options": record.options, **record.counts}
    echo_json(counts)


def _table(*titles: str) -> Table:
    table = Table()
    table.add_column(titles[0], no_wrap=True)
    for title in titles[1:]:
        table.add_column(title, justify="right")
    return table


def _say_where(directory: Path, record: AuditRecord, started: float) -> None:
    names = [file.path for file in record.files] + [record_path(directory, record.kind).name]
    click.echo(f"{directory / AUDIT_FOLDER}: {', '.join(names)}; {time.monotonic() - started:.1f} s")


def _entropy_table(counts: Any) -> Table:
    table = _table("split", "drawings", "normal", "too little ink", "too much", "noise")
    for name, found in {**counts["splits"], "all": counts}.items():
        judged = found["normal"] + found["noise"]
        share = f"{found['noise'] / judged:.2%}" if judged else "–"
        table.add_row(name, *(f"{found[key]:,}" for key in ("drawings", "normal", "low", "high")), share)
    return table


def _warn_of_small_classes(counts: Any, split: str) -> None:
    none, few = counts["classes_without_reference"], counts["classes_with_few"]
    if none:
        click.echo(
            f"{none:,} classes have no drawings in {split}: their {counts['unjudged']:,} drawings have an entropy, "
            "and neither percentile nor flag",
            err=True,
        )
    if few:
        click.echo(
            f"{few:,} classes have fewer than {audit_entropy_recipe.FEW} drawings in {split}: their limits say little",
            err=True,
        )


def _duplicate_tables(counts: Any) -> list[Table]:
    inside = _table("split", "with an equal one in it")
    for split, drawings in counts["within"].items():
        inside.add_row(split, f"{drawings:,}")
    across = _table("of", "also in", "drawings", "same class", "another class")
    for each in counts["leakage"]:
        numbers = (f"{each[key]:,}" for key in ("drawings", "same_class", "other_class"))
        across.add_row(each["into"], each["source"], *numbers)
    return [inside, across]


def _statistics_table(title: str, rows: Any) -> Table:
    table = _table(title, "drawings", "recognized", "countries", "commonest", "strokes", "points")
    for name, found in rows.items():
        if not found["drawings"]:
            table.add_row(name, "0")
            continue
        commonest = "–" if found["top_country"] is None else f"{found['top_country']} {found['top_country_share']:.0%}"
        table.add_row(
            name,
            f"{found['drawings']:,}",
            f"{found['recognized']:.1%}",
            f"{found['countries']:,}",
            commonest,
            f"{found['strokes_mean']:.2f}",
            f"{found['points_mean']:.1f}",
        )
    return table


@click.command("apply")
@click.argument("directory", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@options(config=audit_apply_recipe.Config, engine=EngineOptions)
def apply(directory: Path, config: audit_apply_recipe.Config, engine: EngineOptions) -> None:
    """Make a curated data set from the one in DIR, without the noise of its audit and the drawings that were dropped.

    What the audit flags goes, unless the last decision about a drawing keeps it; what the last decision drops goes too.
    With --refill, the next drawings of the class take the places. The bytes depend neither on the workers nor on
    interruptions; the same command goes on after one. DIR stays as it is.

    Example: sketchdata audit apply data/quickdraw-3.8m --out data/curated

    Example: sketchdata audit apply data/quickdraw-3.8m --out data/refilled --splits train --refill
    """
    started = time.monotonic()
    manifest = audit_apply_recipe.run(directory, config, engine)
    if manifest is None:
        return
    totals = read_totals(config.out)
    splits = ", ".join(f"{split} {count:,}" for split, count in manifest.splits.items())
    click.echo(f"{config.out}: {totals['drawings']:,} of {totals['parent']:,} drawings ({splits})")
    click.echo(
        f"removed {totals['noise']:,} as noise and {totals['dropped']:,} by decision; {totals['kept']:,} kept though "
        f"noise; {totals['refilled']:,} new; {time.monotonic() - started:.1f} s"
    )
    click.echo(f"Check it with: sketchdata verify {config.out}")


@click.command()
@_DIRECTORY
def report(directory: Path) -> None:
    """Write DIR/audit/report.html: classes, histograms and example drawings, one file that opens offline.

    Run `sketchdata audit entropy` first.

    Example: sketchdata audit report data/quickdraw-3.8m
    """
    from sketchdata.pipelines import audit_report as recipe

    path = recipe.run(directory)
    click.echo(f"{path}: {path.stat().st_size / 1e6:.1f} MB; open it in a browser")


@click.command()
@_DIRECTORY
@serving_options
def serve(directory: Path, **settings: Any) -> None:
    """Serve the curation page: move the percentiles, look at noise and borders, keep and drop drawings.

    Decisions go to DIR/audit/decisions.jsonl as they are taken. It needs the extra `web`.

    Example: sketchdata audit serve data/quickdraw-3.8m --who ada
    """
    from sketchdata.web.exhibit import exhibit_drawings

    run_server(directory, exhibit_drawings, **settings)
