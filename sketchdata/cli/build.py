"""`sketchdata build …`."""

from __future__ import annotations

import time

import click

from sketchdata.config import options
from sketchdata.engine import EngineOptions
from sketchdata.pipelines import quickdraw as recipe


@click.command("quickdraw-3.8m")
@options(config=recipe.Config, engine=EngineOptions)
def quickdraw(config: recipe.Config, engine: EngineOptions) -> None:
    """Build QuickDraw-3.8M: 345 classes × 9,000/1,000/1,000/100 drawings, as Parquet.

    The split depends on key_ids and the seed alone, so it is the same from the ndjson, the raw and the binary files. A
    build that was stopped goes on where it was when the same command runs again.

    Example: sketchdata build quickdraw-3.8m --source data/quickdraw --out data/quickdraw-3.8m

    On a SLURM cluster (job array; run it again when both stages did not fit, then once without a range):

    Example: sbatch --array=0-7 --wrap "sketchdata build quickdraw-3.8m --engine slurm --wait 3600"
    """
    started = time.monotonic()
    manifest = recipe.run(config, engine)
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
