"""Write the report on edge maps: one HTML file that opens offline, of every class the best to the worst."""

from __future__ import annotations

from pathlib import Path

from sketchdata.storage.manifest import AUDIT_FOLDER, replacing
from sketchdata.web.exhibit import exhibit_edge_maps
from sketchdata.web.pages import render_report

REPORT_FILE = "report.html"


def run(directory: Path, photos: Path | None = None, output: Path | None = None) -> Path:
    """Write a report of what `sketchdata edgemaps curate` found; return its path.

    Args:
        directory: The edge maps.
        photos: The crops that they were made from. Default: a folder beside them, if it is there.
        output: The file. Default: `audit/report.html` in their folder.

    Raises:
        SketchDataError: There is no finished audit of the edge maps, or a shard cannot be read.
        ConfigError: `photos` holds other crops.
    """
    content = render_report(exhibit_edge_maps(directory, photos))
    path = directory / AUDIT_FOLDER / REPORT_FILE if output is None else output
    with replacing(path) as file:
        file.write(content)
    return path
