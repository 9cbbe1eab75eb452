"""The audit's report: one HTML file that opens offline."""

from __future__ import annotations

from typing import Any

import orjson

from sketchdata.audit_store import Audit
from sketchdata.web import assets, views
from sketchdata.web.items import Items, audited_drawings
from sketchdata.web.pictures import DrawingPictures

#: Nothing from the network, whatever might be written into the data.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline' data:; img-src data:"


def render_report(audit: Audit) -> bytes:
    """Return the report of an entropy audit as HTML; the same audit gives the same bytes.

    Raises:
        SketchDataError: A shard cannot be read, or has other drawings than the audit.
    """
    items = audited_drawings(audit)
    data = views.overview(audit, items) | {"kind": "strokes", "places": views.EXAMPLE_PLACES}
    for row, examples in zip(data["classes"], _examples(audit, items), strict=True):
        row["examples"] = examples
    files = assets.read_assets()
    text = assets.page(
        title=f"Audit of {audit.manifest.name}",
        head=f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n<style>{files["style.css"]}</style>',
        import_map=assets.inline_import_map(files),
        body=f'<script type="application/json" id="data">{_embed(data)}</script>\n'
        '<script type="module">import "sketchdata/report.js";</script>',
    )
    return text.encode("utf-8")


def _examples(audit: Audit, items: Items) -> list[dict[str, list[list[Any]]]]:
    """Return of each class {place: [[id, score, picture], …]}."""
    chosen = [
        (label, place, position)
        for label in range(len(audit.classes))
        for place, position in views.example_positions(audit, items, label)
    ]
    pictures = DrawingPictures(audit).read_all(int(items.row[position]) for _, _, position in chosen)
    found: list[dict[str, list[list[Any]]]] = [{} for _ in audit.classes]
    for (label, place, position), picture in zip(chosen, pictures, strict=True):
        # An id as text: JavaScript's numbers hold 53 bits.
        example = [str(items.id[position]), round(float(items.score[position]), 6), picture["data"]]
        found[label].setdefault(place, []).append(example)
    return found


def _embed(data: dict[str, Any]) -> str:
    # A class called </script> must not end the script.
    return orjson.dumps(data).decode().replace("<", "\\u003c")
