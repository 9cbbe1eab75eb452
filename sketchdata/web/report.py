"""The audit's report: one HTML file that opens offline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from sketchdata.web import assets, views
from sketchdata.web.exhibit import Exhibit

#: Nothing from the network, whatever might be written into the data.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline' data:; img-src data:"


def render_report(exhibit: Exhibit) -> bytes:
    """Return the report of an audit as HTML; the same audit gives the same bytes.

    Raises:
        SketchDataError: A shard cannot be read.
    """
    subject = exhibit.items.subject
    data = views.overview(exhibit.audit, exhibit.items) | {"places": subject.places, "caption": subject.caption}
    examples = _examples(exhibit, [row["label"] for row in data["classes"]])
    for row in data["classes"]:
        row["examples"] = examples[row["label"]]
    files = assets.read_assets()
    text = assets.page(
        title=f"Audit of {exhibit.audit.manifest.name}",
        head=f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n<style>{files["style.css"]}</style>',
        import_map=assets.inline_import_map(files),
        body=f'<script type="application/json" id="data">{_embed(data)}</script>\n'
        '<script type="module">import "sketchdata/report.js";</script>',
    )
    return text.encode("utf-8")


def _examples(exhibit: Exhibit, labels: Sequence[int]) -> dict[int, dict[str, list[list[Any]]]]:
    """Return of each class {place: [[id, score, picture], …]}."""
    items = exhibit.items
    chosen = [
        (label, place, position)
        for label in labels
        for place, position in views.example_positions(exhibit.audit, items, label)
    ]
    pictures = exhibit.pictures.read_all([int(items.row[position]) for _, _, position in chosen])
    found: dict[int, dict[str, list[list[Any]]]] = {label: {} for label in labels}
    for (label, place, position), picture in zip(chosen, pictures, strict=True):
        # An id as text: JavaScript's numbers hold 53 bits.
        example = [str(items.id[position]), round(float(items.score[position]), 6), picture["data"]]
        found[label].setdefault(place, []).append(example)
    return found


def _embed(data: dict[str, Any]) -> str:
    # A class called </script> must not end the script.
    return orjson.dumps(data).decode().replace("<", "\\u003c")
