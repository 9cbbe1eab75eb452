"""Write the audit's report: one HTML file that opens offline, of every class its histogram and example drawings."""

from __future__ import annotations

from pathlib import Path

from sketchdata.storage.manifest import AUDIT_FOLDER, replacing
from sketchdata.web.exhibit import exhibit_drawings
from sketchdata.web.pages import render_report

REPORT_FILE = "report.html"


def run(directory: Path) -> Path:
    """Write `audit/report.html` from what `sketchdata audit entropy` found; return its path.

    Raises:
        SketchDataError: There is no finished audit of this data set, or a shard cannot be read.
    """
    content = render_report(exhibit_drawings(directory))
    path = directory / AUDIT_FOLDER / REPORT_FILE
    with replacing(path) as file:
        file.write(content)
    return path
