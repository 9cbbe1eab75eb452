"""`sketchdata bench …`."""

from __future__ import annotations

from typing import Any

import click
import orjson

from sketchdata.config import options
from sketchdata.errors import ConfigError

try:
    from sketchdata.encoder import NetworkOptions
    from sketchdata.hashing_rows import all_rows
    from sketchdata.recipes.trainers import hashing_bench as recipe
    from sketchdata.training import TrainingOptions
except ModuleNotFoundError as error:
    raise ConfigError(
        f"comparing methods needs {error.name}, which is not installed: pip install 'sketchdata[train]'"
    ) from error


def _list_rows(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if not wanted:
        return
    shown = {row.name.removesuffix(f"-{row.bits}"): row for row in all_rows((64,), 32, 20)}
    for name, row in shown.items():
        click.echo(f"{name:<24} {row.title} (table {row.table})" if row.table != "ours" else f"{name:<24} {row.title}")
    context.exit()


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON on standard output.")
@click.option(
    "--list-rows", is_flag=True, is_eager=True, expose_value=False, callback=_list_rows, help="Name all rows, and stop."
)
@options(config=recipe.Config, network=NetworkOptions, training=TrainingOptions)
def hashing(as_json: bool, config: recipe.Config, network: NetworkOptions, training: TrainingOptions) -> None:
    """Train or fit hashing methods on the same data, and put them beside the paper's tables II, III, V, VI and VII.

    Every row is a training, or a fit on features. What is finished stays in --out: after a stop the same command goes
    on, and two commands with different --rows can share the folder. hashing.md has the tables, with chance and the
    bounds that the order of ties allows; hashing.json has all measures.

    Example: sketchdata bench hashing --data data/quickdraw-3.8m --out bench --augment

    Example: sketchdata bench hashing --data small --rows dlbhc,sketchcode --bits 16 --backbone small --size 32
    """
    results: dict[str, Any] = recipe.run(config, network, training)
    if as_json:
        click.echo(orjson.dumps(results, option=orjson.OPT_INDENT_2))
        return
    for row in results["rows"]:
        found = row.get("retrieval")
        what = f"top-1 {row['accuracy']:.4f}" if found is None else f"mAP {found['map']['expected']:.4f}"
        click.echo(f"{row['name']}: {what}")
    click.echo(f"{config.out}: {recipe.TABLE_FILE}, {recipe.RESULTS_FILE}")
