"""The answers of a search as one HTML file, after Figure 6 of Xu et al.: each query, and the drawings nearest to it."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

from sketchdata.drawing import Drawing, Stroke
from sketchdata.web.assets import read_assets

_TEMPLATE = Path(__file__).parent / "templates" / "search.html"
#: Not by colour alone.
_MARKS = {True: ("hit", "✓"), False: ("miss", "✗"), None: ("", "")}


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """One of the nearest drawings: what it is, and whether it is of the query's class, None where that is not known."""

    drawing: Drawing
    word: str
    distance: int
    hit: bool | None


@dataclass(frozen=True, kw_only=True)
class SheetRow:
    """A query, what it is called and said to show, and the drawings nearest to it."""

    name: str
    word: str | None
    drawing: Drawing
    neighbours: Sequence[Neighbour]
    note: str | None = None


def render_search(rows: Sequence[SheetRow], *, index: str, version: str) -> bytes:
    """Return the page: one file without scripts that loads nothing from elsewhere; the same answers, the same bytes.

    Args:
        rows: The answers.
        index: What was searched, in a few words.
        version: Of sketchdata, for the foot.
    """
    files = read_assets()
    page = Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        title="Nearest drawings",
        style=files["style.css"] + files["search.css"],
        lead=html.escape(
            f"{_count(len(rows), 'query', 'queries')} in {index}, the nearest first. The number below a drawing "
            "is in how many bits its code differs from the query's. ✓ marks drawings of the query's class, ✗ others."
        ),
        body="\n".join(map(_answer, rows)),
        foot=html.escape(f"sketchdata {version}"),
    )
    return page.encode("utf-8")


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _answer(row: SheetRow) -> str:
    lines = [row.name if row.word else ""]
    judged = [neighbour.hit for neighbour in row.neighbours if neighbour.hit is not None]
    if judged:
        lines.append(f"{sum(judged)} of {len(judged)} are hits")
    lines.append(row.note or "")
    told = "".join(f"<p>{html.escape(line)}</p>" for line in lines if line)
    title = html.escape(row.word or row.name)
    picture = _picture(row.drawing, f"query: {row.word or row.name}")
    results = "\n".join(map(_neighbour, row.neighbours))
    return (
        f'<section class="answer"><div class="query">{picture}<h2>{title}</h2>{told}</div>\n'
        f'<ol class="results">\n{results}\n</ol></section>'
    )


def _neighbour(neighbour: Neighbour) -> str:
    kind, mark = _MARKS[neighbour.hit]
    said = ", ".join(filter(None, [neighbour.word, f"distance {neighbour.distance}", kind]))
    shown = f'<span class="mark" aria-hidden="true">{mark}</span> ' if mark else ""
    return (
        f'<li class="result {kind}" title="{neighbour.drawing.key_id}">{_picture(neighbour.drawing, said)}'
        f'<span class="word">{html.escape(neighbour.word)}</span>'
        f'<span class="distance">{shown}{neighbour.distance}</span></li>'
    )


def _picture(drawing: Drawing, said: str) -> str:
    """Return a drawing in the 0..255 square, in the middle of it, with room for the width of its lines."""
    right, bottom = (int(max(stroke[:, axis].max() for stroke in drawing.strokes)) for axis in (0, 1))
    left, top = (int(min(stroke[:, axis].min() for stroke in drawing.strokes)) for axis in (0, 1))
    side = max(right - left, bottom - top, 1) + 8
    box = f"{(left + right - side) / 2:g} {(top + bottom - side) / 2:g} {side} {side}"
    path = "".join(map(_path, drawing.strokes))
    return f'<svg class="picture" viewBox="{box}" role="img" aria-label="{html.escape(said)}"><path d="{path}"/></svg>'


def _path(stroke: Stroke) -> str:
    """Return a stroke as SVG has it, in steps from point to point, which are shorter than places."""
    (x, y), *rest = stroke[:, :2].tolist()
    steps, at = [], (x, y)
    for point in rest:
        steps.append(f"{point[0] - at[0]} {point[1] - at[1]}")
        at = (point[0], point[1])
    # A stroke of one place is drawn as a dot.
    return f"M{x} {y}l{' '.join(steps)}" if any(step != "0 0" for step in steps) else f"M{x} {y}h.01"
