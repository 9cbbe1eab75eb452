"""`sketchdata edgemaps bench`."""

from __future__ import annotations

import click
import orjson
from rich.console import Console
from rich.table import Table

from sketchdata.boundaries.table import TITLES, Comparison, cells
from sketchdata.config import options
from sketchdata.engine import EngineOptions
from sketchdata.pipelines import edgemaps_bench as recipe


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON instead of a table.")
@options(config=recipe.Config, engine=EngineOptions)
def bench(as_json: bool, config: recipe.Config, engine: EngineOptions) -> None:
    """Compare edge detectors on the boundary benchmark of BSDS500.

    ODS, OIS and AP say how well a detector finds what people draw on the same photos, 1 being all of it and nothing
    else; the line `people` compares the people with each other. The 200 test photos take some minutes a detector. What
    was counted stays in --out, so that a run that was stopped goes on.

    Example: sketchdata edgemaps bench --bsds photos/bsds500 --detectors canny,tin --weights tin=TIN2.pth

    The edge maps of any other program, one a photo, are scored in the same way:

    Example: sketchdata edgemaps bench --bsds photos/bsds500 --predictions mine=results/maps
    """
    comparison = recipe.run(config, engine)
    if comparison is None:
        return
    if as_json:
        click.echo(orjson.dumps(comparison, option=orjson.OPT_INDENT_2))
        return
    _print(comparison)
    click.echo(f"{config.out}: {recipe.TABLE_FILE}, {recipe.RESULTS_FILE}")


def _print(comparison: Comparison) -> None:
    table = Table(title=f"{comparison.data} {comparison.split}, {comparison.photos:,} photos")
    table.add_column(TITLES[0], overflow="fold")
    for title in TITLES[1:]:
        table.add_column(title, justify="right", no_wrap=True)
    for line in comparison.lines:
        table.add_row(*cells(line))
    # Not straight to standard output: rich would turn a closed pipe (`| head`) into exit code 1.
    console = Console()
    with console.capture() as captured:
        console.print(table)
    click.echo(captured.get(), nl=False)
