"""`sketchdata evaluate`."""

from __future__ import annotations

from pathlib import Path

import click
import orjson

from sketchdata.errors import ConfigError

_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.argument("run", type=_FOLDER)
@click.option(
    "--data", type=click.Path(path_type=Path), help="Data set or bitmaps. Default: what the network learned from."
)
@click.option("--split", default="gallery", show_default=True, help="Split to recognise.")
@click.option("--batch-size", type=click.IntRange(1), default=512, show_default=True, help="Drawings at a time.")
@click.option("--device", default="auto", show_default=True, help="Where to compute: auto, cpu, cuda, cuda:1.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON on standard output.")
def evaluate(run: Path, data: Path | None, split: str, batch_size: int, device: str, as_json: bool) -> None:
    """Measure how well a trained network recognises drawings.

    Writes into the run's folder evaluation.json, evaluation.md (accuracies beside chance, the most confused classes,
    a table of all classes) and reliability.svg. The split is `gallery`, as in the paper; no training looks at it.

    Example: sketchdata evaluate runs/recognition
    """
    try:
        from sketchdata.evaluation import TABLE_FILE, evaluate_run
        from sketchdata.ranks import device_of
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"evaluating needs {error.name}, which is not installed: pip install 'sketchdata[train]'"
        ) from error

    found = evaluate_run(run, data, split, device=str(device_of(device)), batch_size=batch_size)
    if as_json:
        click.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2))
        return
    click.echo(f"{found['drawings']:,} drawings of {len(found['classes']):,} classes ({split})")
    click.echo(f"top-1 {found['top1']:.4f} (chance {found['top1_chance']:.4f})")
    click.echo(f"top-5 {found['top5']:.4f} (chance {found['top5_chance']:.4f})")
    click.echo(f"expected calibration error {found['ece']:.4f}; see {run / TABLE_FILE}")
