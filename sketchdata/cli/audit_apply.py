"""`sketchdata audit apply`."""

from __future__ import annotations

import time
from pathlib import Path

import click

from sketchdata.config import options
from sketchdata.curation import read_totals
from sketchdata.engine import EngineOptions
from sketchdata.pipelines import audit_apply as recipe


@click.command("apply")
@click.argument("directory", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@options(config=recipe.Config, engine=EngineOptions)
def apply(directory: Path, config: recipe.Config, engine: EngineOptions) -> None:
    """Make a curated data set from the one in DIR, without the noise of its audit and the drawings that were dropped.

    What the audit flags goes, unless the last decision about a drawing keeps it; what the last decision drops goes too.
    With --refill, the next drawings of the class take the places. The bytes depend neither on the workers nor on
    interruptions; the same command goes on after one. DIR stays as it is.

    Example: sketchdata audit apply data/quickdraw-3.8m --out data/curated

    Example: sketchdata audit apply data/quickdraw-3.8m --out data/refilled --splits train --refill
    """
    started = time.monotonic()
    manifest = recipe.run(directory, config, engine)
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
