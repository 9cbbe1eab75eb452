"""Pages as single HTML files: their assets, the audit's report and the results of a search."""

from __future__ import annotations

import base64
import html
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import orjson

from sketchdata.drawings.drawing import Drawing
from sketchdata.storage.manifest import AUDIT_FOLDER, replacing
from sketchdata.web import views
from sketchdata.web.exhibit import Exhibit

_HERE = Path(__file__).parent
#: The page loads nothing from the network, even if the data contain HTML.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline' data:; img-src data:"
#: Hits and misses differ by more than their colour.
_MARKS = {True: ("hit", "✓"), False: ("miss", "✗"), None: ("", "")}


def read_assets() -> dict[str, str]:
    """Return the style sheet and the JavaScript modules: {file name: text}."""
    return {path.name: path.read_text(encoding="utf-8") for path in sorted((_HERE / "static").iterdir())}


def page(*, title: str, head: str, import_map: str, body: str) -> str:
    """Fill the template.

    Args:
        title: Plain text.
        head: HTML for the head, such as the style sheet.
        import_map: JSON that maps names `sketchdata/….js`, by which modules import one another, to addresses.
        body: HTML of the data and of the first module.
    """
    template = Template((_HERE / "templates" / "page.html").read_text(encoding="utf-8"))
    return template.substitute(title=html.escape(title), head=head, import_map=import_map, body=body)


def write_report(exhibit: Exhibit, path: Path | None = None) -> Path:
    """Write the report of an audit as one HTML file that opens offline, and return its path.

    Args:
        exhibit: The audit.
        path: The file. Default: `audit/report.html` in the data set.

    Raises:
        SketchDataError: A shard cannot be read.
    """
    path = path or exhibit.audit.directory / AUDIT_FOLDER / "report.html"
    content = render_report(exhibit)
    with replacing(path) as file:
        file.write(content)
    return path


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
    files = read_assets()
    # The map contains the modules as data URLs, so that the page needs no other file.
    modules = {
        f"sketchdata/{name}": f"data:text/javascript;charset=utf-8;base64,{base64.b64encode(text.encode()).decode()}"
        for name, text in files.items()
        if name.endswith(".js")
    }
    # A class called </script> must not end the script.
    embedded = orjson.dumps(data).decode().replace("<", "\\u003c")
    text = page(
        title=f"Audit of {exhibit.audit.manifest.name}",
        head=f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n<style>{files["style.css"]}</style>',
        import_map=orjson.dumps({"imports": modules}).decode(),
        body=f'<script type="application/json" id="data">{embedded}</script>\n'
        '<script type="module">import "sketchdata/report.js";</script>',
    )
    return text.encode("utf-8")


def _examples(exhibit: Exhibit, labels: Sequence[int]) -> dict[int, dict[str, list[list[Any]]]]:
    """Return each class's {place: [[id, score, picture], …]}."""
    items = exhibit.items
    chosen = [
        (label, place, position)
        for label in labels
        for place, position in views.example_positions(exhibit.audit, items, label)
    ]
    pictures = exhibit.pictures.read([int(items.row[position]) for _, _, position in chosen], small=True)
    found: dict[int, dict[str, list[list[Any]]]] = {label: {} for label in labels}
    for (label, place, position), picture in zip(chosen, pictures, strict=True):
        # Ids are strings, since JavaScript's numbers have 53 bits.
        example = [str(items.id[position]), round(float(items.score[position]), 6), picture["data"]]
        found[label].setdefault(place, []).append(example)
    return found


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """One of the nearest drawings or photos.

    Attributes:
        drawing: Its strokes, or a JPEG or PNG file.
        word: Its class.
        distance: Distance from the query: a number of bits, or a real number.
        hit: Whether it is of the query's class; None if the query's class is unknown.
        title: Tooltip. Default: the drawing's key_id.
        credit: Author and licence of the photo.
        page: Address of the page that the photo comes from.
    """

    drawing: Drawing | bytes
    word: str
    distance: float
    hit: bool | None
    title: str = ""
    credit: str = ""
    page: str | None = None


@dataclass(frozen=True, kw_only=True)
class SheetRow:
    """A query, its name and class, and the drawings or photos nearest to it: {name of a run: results}."""

    name: str
    word: str | None
    drawing: Drawing | bytes
    runs: Mapping[str, Sequence[Neighbour]]
    note: str | None = None


#: The meaning of the number below a result.
BITS = "the number of bits in which its code differs from the query's"


def render_search(
    rows: Sequence[SheetRow], *, index: str, version: str, nouns: str = "drawings", number: str = BITS
) -> bytes:
    """Return each query and the drawings or photos nearest to it as one HTML file, like Figure 6 of Xu et al.

    The file has no scripts and loads no other files; the same answers give the same bytes.

    Args:
        rows: The answers.
        index: Short description of the index.
        version: Version of sketchdata, for the footer.
        nouns: `drawings` or `photos`.
        number: Meaning of the number below each result.
    """
    files = read_assets()
    page = Template((_HERE / "templates" / "search.html").read_text(encoding="utf-8")).substitute(
        title=f"Nearest {nouns}",
        style=files["style.css"] + files["search.css"],
        lead=html.escape(
            f"{len(rows):,} {'query' if len(rows) == 1 else 'queries'} in {index}, the nearest first. The number below "
            f"a {nouns.removesuffix('s')} is {number}. ✓ marks {nouns} of the query's class, ✗ others."
        ),
        body="\n".join(map(_answer, rows)),
        foot=html.escape(f"sketchdata {version}"),
    )
    return page.encode("utf-8")


def _answer(row: SheetRow) -> str:
    told, results = [row.name if row.word else "", row.note or ""], []
    for name, neighbours in row.runs.items():
        judged = [neighbour.hit for neighbour in neighbours if neighbour.hit is not None]
        hits = f"{sum(judged)} of {len(judged)} are hits" if judged else ""
        shown = "\n".join(map(_neighbour, neighbours))
        head = ""
        if len(row.runs) > 1:
            head = f"<h3>{html.escape(name)}</h3><p>{hits}</p>"
        else:
            told.insert(1, hits)
        results.append(f'<div class="run">{head}<ol class="results">\n{shown}\n</ol></div>')
    about = "".join(f"<p>{html.escape(line)}</p>" for line in told if line)
    picture = _picture(row.drawing, f"query: {row.word or row.name}")
    title = html.escape(row.word or row.name)
    return (
        f'<section class="answer"><div class="query">{picture}<h2>{title}</h2>{about}</div>\n'
        f'<div class="runs">{"".join(results)}</div></section>'
    )


def _neighbour(neighbour: Neighbour) -> str:
    kind, mark = _MARKS[neighbour.hit]
    distance = f"{neighbour.distance:.3f}" if isinstance(neighbour.distance, float) else str(neighbour.distance)
    said = ", ".join(filter(None, [neighbour.word, f"distance {distance}", kind]))
    shown = f'<span class="mark" aria-hidden="true">{mark}</span> ' if mark else ""
    title = neighbour.title or ("" if isinstance(neighbour.drawing, bytes) else str(neighbour.drawing.key_id))
    return (
        f'<li class="result {kind}" title="{html.escape(title)}">{_picture(neighbour.drawing, said)}'
        f'<span class="word">{html.escape(neighbour.word)}</span>'
        f'<span class="distance">{shown}{distance}</span>{_credit(neighbour)}</li>'
    )


def _credit(neighbour: Neighbour) -> str:
    if not neighbour.credit:
        return ""
    credit = html.escape(neighbour.credit)
    if neighbour.page is None:
        return f'<span class="credit" title="{credit}">{credit}</span>'
    address = html.escape(neighbour.page)
    return f'<a class="credit" href="{address}" title="{credit}" rel="noreferrer">{credit}</a>'


def _picture(drawing: Drawing | bytes, said: str) -> str:
    """Return HTML of a picture file, or of a drawing centred in the 0..255 square, with a margin for its line width."""
    if isinstance(drawing, bytes):
        kind = "png" if drawing.startswith(b"\x89PNG") else "jpeg"
        data = base64.b64encode(drawing).decode()
        return f'<img class="picture" src="data:image/{kind};base64,{data}" alt="{html.escape(said)}">'
    right, bottom = (int(max(stroke[:, axis].max() for stroke in drawing.strokes)) for axis in (0, 1))
    left, top = (int(min(stroke[:, axis].min() for stroke in drawing.strokes)) for axis in (0, 1))
    side = max(right - left, bottom - top, 1) + 8
    box = f"{(left + right - side) / 2:g} {(top + bottom - side) / 2:g} {side} {side}"
    path = ""
    for stroke in drawing.strokes:
        points = stroke[:, :2].tolist()
        # Differences between points take fewer characters than coordinates.
        steps = [f"{x - a} {y - b}" for (a, b), (x, y) in itertools.pairwise(points)]
        path += f"M{points[0][0]} {points[0][1]}"
        # A stroke whose points are equal is drawn as a dot.
        path += f"l{' '.join(steps)}" if any(step != "0 0" for step in steps) else "h.01"
    return f'<svg class="picture" viewBox="{box}" role="img" aria-label="{html.escape(said)}"><path d="{path}"/></svg>'
