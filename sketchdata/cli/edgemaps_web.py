"""`sketchdata edgemaps report` and `edgemaps serve`: edge maps beside their photos, to look at and to decide on."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from sketchdata.cli.audit_web import run_server, serving_options

_EDGES = click.argument("edges", metavar="EDGES", type=click.Path(file_okay=False, path_type=Path))
_PHOTOS = click.option(
    "--photos",
    metavar="CROPS",
    type=click.Path(file_okay=False, path_type=Path),
    help="What `edgemaps crop` made. Default: a folder beside EDGES, if it is there.",
)


@click.command()
@_EDGES
@_PHOTOS
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to. Default: EDGES/audit/report.html.",
)
def report(edges: Path, photos: Path | None, output: Path | None) -> None:
    """Write a report on EDGES: classes, scores, edge maps from best to worst beside their photos, sources, licences.

    One HTML file that opens offline. Run `sketchdata edgemaps curate` first.

    Example: sketchdata edgemaps report data/edges
    """
    from sketchdata.pipelines import edgemaps_report as recipe

    path = recipe.run(edges, photos, output)
    click.echo(f"{path}: {path.stat().st_size / 1e6:.1f} MB; open it in a browser")


@click.command()
@_EDGES
@_PHOTOS
@serving_options
def serve(edges: Path, photos: Path | None, **settings: Any) -> None:
    """Serve the curation page of EDGES: look at messy edge maps beside their photos, keep and drop.

    Decisions go to EDGES/audit/decisions.jsonl as they are taken, and `sketchdata build edgemap-345c` applies them. Run
    `sketchdata edgemaps curate` first. It needs the extra `web`.

    Example: sketchdata edgemaps serve data/edges --who ada
    """
    from sketchdata.web.exhibit import exhibit_edge_maps

    run_server(edges, partial(exhibit_edge_maps, photos=photos), **settings)
