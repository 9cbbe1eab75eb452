"""The card of a collection: a README that says what is in the folder, from where, and under which licences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sketchdata.version import __version__

_LISTED = 30


def collection_card(counts: Mapping[str, Any]) -> str:
    """Return the card: Markdown.

    Args:
        counts: As from `summary.summarise`.
    """
    photos, sources = counts["photos"], counts["sources"]
    rows = [
        (f"{each['source']}: {each['name']}", *(each[key] for key in ("photos", "ok", "failed", "refused", "boxes")))
        for each in sources
    ]
    return f"""# {counts["name"]}

{photos["ok"]:,} photos of {photos["asked"]:,} that were asked for, with {counts["boxes"]:,} annotations of
{counts["classes"]:,} of {counts["class_table"]:,} classes, collected by sketchdata {__version__}.

{_table(("source", "photos", "there", "failed", "refused", "annotations"), rows)}

`photos.parquet` has a row for each photo asked for: its address or name, source, web page, author, licence and title,
what became of it, and its sha256, perceptual hash, size and day. `boxes.parquet` has a row for each annotation: the
class (`word`), the source's own name for it, and the box in pixels of the upright photo, left and top included, right
and bottom not; without a box the whole photo is meant. `photos/` holds each photo once, under the sha256 of its bytes.

## Licences

{_table(("licence", "photos"), list(counts["licences"].items())[:_LISTED])}

They are as the sources state them, photo by photo, and nobody has checked them: look at `page` before a photo is given
on, and name the author where the licence asks for it. The rights of people and of trademarks shown are not the subject
of such licences.

## What is not there

Photos of the web are fetched slowly and under the tool's own name. robots.txt and the header X-Robots-Tag (`noindex`,
`none`, `noai`, `noimageai`) are obeyed: such photos are not kept, and stand in `photos.parquet` as refused
(`robots.txt`, `opt-out`).

{_table(("why not", "photos"), list(counts["errors"].items()))}

{counts["rejected"]:,} annotations could not be read; `rejects.jsonl` lists them.
"""


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    if not rows:
        return "None."
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *([_cell(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: object) -> str:
    """Return a cell whose text, which strangers may have written, cannot be taken for Markdown or HTML."""
    if isinstance(value, int):
        return f"{value:,}"
    text = "".join(f"\\{letter}" if letter in "\\`*_[]<>|&#!" else letter for letter in str(value))
    return " ".join(text.split())
