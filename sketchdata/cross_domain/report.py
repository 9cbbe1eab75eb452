"""Evaluation of a run that holds a space: measures, tables, charts and pictures in the run's folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sketchdata.classes.splits import ClassSplit
from sketchdata.cross_domain.dataset import (
    DRAWINGS,
    SEEN,
    UNSEEN,
    Pictures,
    TwoDomains,
    class_split,
    open_two_domains,
    read_group,
)
from sketchdata.cross_domain.encoder import read_space
from sketchdata.cross_domain.evaluation import (
    NAMED_MEASURES,
    MeasuredSpace,
    RankedQuery,
    SpaceMeasures,
    measure_space,
    typical_queries,
)
from sketchdata.display.charts import Curve, precision_recall, save
from sketchdata.display.contact_sheet import RankedPicture, ranking_sheet, write_png
from sketchdata.errors import ConfigError
from sketchdata.names import cell_of
from sketchdata.photos.image import Photo
from sketchdata.retrieval.metrics import chance_of_map
from sketchdata.retrieval.scores import MeasurePath
from sketchdata.storage.manifest import MANIFEST_NAME, hash_file, replacing
from sketchdata.training.run_folder import read_record, write_json

JSON_FILE, TABLE_FILE = "evaluation.json", "evaluation.md"
CURVE_FILE, CURVE_TABLE_FILE = "precision-recall.svg", "precision-recall.csv"
SHEET_FILE, PAGE_FILE = "nearest.png", "nearest.html"
#: The side of pictures on the sheet and the page, in pixels.
SIDE = 112
_NONE = "–"


@dataclass(frozen=True, kw_only=True, eq=False)
class ShownQuery:
    """A query with its picture and the pictures nearest to it.

    Attributes:
        query: The query and its results.
        key_id: key_id of the query.
        picture: (S, S, 3) uint8.
        found: (picture, key_id, class, Euclidean distance, whether it is a hit) of each result, nearest first.
    """

    query: RankedQuery
    key_id: int
    picture: Photo
    found: Sequence[tuple[Photo, int, str, float, bool]]


def evaluate_space(
    run: Path, data: Path | None, measures: SpaceMeasures, *, most: int = 12
) -> tuple[dict[str, Any], list[ShownQuery]]:
    """Evaluate the network of a run folder on unseen classes, and write JSON, Markdown, a chart and a sheet into it.

    Args:
        run: The folder.
        data: The data set; None for the one that the network learned from.
        measures: What to measure.
        most: Queries to show.

    Returns:
        The values in the JSON file, and the queries on the sheet.

    Raises:
        ConfigError: The data has no unseen classes, or those that the network learned, or options do not fit it.
        SketchDataError: The training is not complete, or a file is damaged.
    """
    record, encoder = read_record(run), read_space(run)
    place = Path(record["data"]) if data is None else data
    split, unseen = class_split(open_two_domains(place)), record.get("zero_shot") or {}
    manifest = hash_file(place / MANIFEST_NAME, "sha256")
    if manifest == record["manifest"] and unseen:
        split = ClassSplit(**{name: tuple(unseen[name]) for name in ("seen", "validation", "unseen")})
    if chose := sorted(set(unseen.get("validation", ())) & set(split.unseen)):
        raise ConfigError(
            f"{place} has {', '.join(chose[:3])} among its unseen classes, but the network's epoch was chosen on them: "
            "use the data set that it was trained on"
        )

    def read(group: str) -> TwoDomains:
        line_width = encoder.architecture.line_width
        return read_group(place, group, size=encoder.size, line_width=line_width, split=split)

    pictures = read(UNSEEN)
    measured = measure_space(encoder, pictures, read(SEEN) if measures.needs_seen else None, measures)
    shown = shown_queries(measured, pictures, typical_queries(measured, most=most))
    values = {
        "trainer": record["trainer"],
        "data": place.name,
        "manifest": manifest,
        "unseen": list(pictures.classes),
        "seen": len(encoder.classes),
        **measured.values,
    }
    _write(run, values, shown)
    return values, shown


def shown_queries(measured: MeasuredSpace, pictures: TwoDomains, chosen: Sequence[RankedQuery]) -> list[ShownQuery]:
    """Return queries with their pictures and those of their results."""
    of_queries, of_items = (
        (pictures.drawings, pictures.photos)
        if measured.queries.domain == DRAWINGS
        else (pictures.photos, pictures.drawings)
    )
    shown = []
    for query in chosen:
        rows = [row for row, _ in query.found]
        (picture,), found = _read_pictures(of_queries, [query.row]), _read_pictures(of_items, rows)
        words = [pictures.classes[int(of_items.labels[row])] for row in rows]
        shown.append(
            ShownQuery(
                query=query,
                key_id=_key_id(of_queries, query.row),
                picture=picture,
                found=[
                    (each, _key_id(of_items, row), word, distance, word == query.word)
                    for each, word, (row, distance) in zip(found, words, query.found, strict=True)
                ],
            )
        )
    return shown


def _read_pictures(pictures: Pictures, rows: Sequence[int]) -> list[Photo]:
    batch = pictures.pictures(torch.tensor(rows), SIDE).cpu().permute(0, 2, 3, 1)
    return list(np.ascontiguousarray(batch.numpy()))


def _key_id(pictures: Pictures, row: int) -> int:
    return int(pictures.key_ids[row]) % 2**64


def _write(run: Path, values: Mapping[str, Any], shown: Sequence[ShownQuery]) -> None:
    found = values["retrieval"]
    about = f"{values['trainer']}: mAP {found['map']['expected']:.4f} over {len(values['unseen'])} unseen classes"
    curves = {f"{values['queries']} → {values['gallery']}": _curve(found, "rank")}
    if "codes" in values:
        curves[f"codes of {values['codes']['bits']} bits"] = _curve(values["codes"], "distance")
    save(precision_recall(curves, about), run / CURVE_FILE)
    sheet = ranking_sheet(
        [(each.picture, each.query.word) for each in shown],
        [[RankedPicture(picture=p, word=word, hit=hit) for p, _, word, _, hit in each.found] for each in shown],
        f"{values['queries']} of unseen classes, and the nearest {values['gallery']}: green, solid for the same class; "
        "red, dashed for another",
        cell=SIDE,
    )
    write_png(sheet, run / SHEET_FILE)
    rows = [
        f"{name},{at},{recall!r},{precision!r}"
        for name, curve in curves.items()
        for at, recall, precision in zip(curve.distance, curve.recall, curve.precision, strict=True)
    ]
    write_json(run / JSON_FILE, values)
    for name, text in (
        (CURVE_TABLE_FILE, "\n".join(["curve,at,recall,precision", *rows])),
        (TABLE_FILE, markdown(values)),
    ):
        with replacing(run / name) as file:
            file.write(f"{text}\n".encode())


def _curve(found: Mapping[str, Any], name: str) -> Curve:
    curve = found["curve"]
    return Curve(distance=curve[name], recall=curve["recall"], precision=curve["precision"], chance=found["chance"])


# ---- the page --------------------------------------------------------------------------------------------------------


def markdown(values: Mapping[str, Any]) -> str:
    """Return the values of `evaluate_space` as a page in Markdown."""
    found, queries, gallery = values["retrieval"], values["queries"], values["gallery"]
    lines = [
        f"# {values['trainer']}: {queries} search {gallery}",
        "",
        f"{found['queries']:,} {queries} of {len(values['unseen']):,} unseen classes search {found['gallery']:,} "
        f"{gallery} by the {_distance(values)}. The network learned {values['seen']:,} "
        "other classes; no picture of an unseen class was used to learn or to choose anything. A random order has a "
        f"mAP of {chance_of_map(found['chance'], found['gallery']):.4f} and a precision of {found['chance']:.4f}.",
        "",
        *_measures(found),
        "",
        f"mAP as the mean over classes: {found['map']['class_mean']:.4f}. 95 % intervals of mAP@all: "
        f"{_interval(found['map']['query_interval'])} over queries, {_interval(found['map']['class_interval'])} over "
        "classes.",
        "",
        found["definition"],
        "",
        f"![precision over recall]({CURVE_FILE})",
        "",
        f"Its points are in [{CURVE_TABLE_FILE}]({CURVE_TABLE_FILE}).",
        "",
        f"![the nearest {gallery}]({SHEET_FILE})",
        "",
        f"The query of median average precision of some classes, evenly from the best class to the worst one, and the "
        f"nearest {gallery}; as a page with distances: [{PAGE_FILE}]({PAGE_FILE}).",
        "",
    ]
    if "generalised" in values:
        lines += ["## Generalised: seen classes in the gallery", "", *_generalised(values["generalised"]), ""]
    if "codes" in values:
        codes = values["codes"]
        lines += [
            f"## Codes of {codes['bits']} bits",
            "",
            "PCA-ITQ, fitted to pictures of seen classes; ranked by Hamming distance.",
            "",
            *_measures(codes),
            "",
        ]
    return "\n".join([*lines, "## Failures", "", *_failures(values), "", "## Classes", "", *_classes(values)])


def _distance(values: Mapping[str, Any]) -> str:
    kind, unit = ("Hamming", "bits") if values["hashed"] else ("Euclidean", "values")
    return f"{kind} distance of {values['width']} {unit}"


def _measures(found: Mapping[str, Any]) -> Iterator[str]:
    yield "| measure | whose figure | expected | over all orders of ties |"
    yield "|---|---|--:|--:|"
    for title, source, paths in NAMED_MEASURES:
        values = [_at(found, path) for path in paths]
        if len(values) == 1:
            bounds = [_at(found, (*paths[0][:-1], bound)) for bound in ("pessimistic", "optimistic")]
            yield f"| {title} | {source} | {values[0]:.4f} | {bounds[0]:.4f} – {bounds[1]:.4f} |"
        else:
            yield f"| {title} | {source} | {_NONE} | {values[0]:.4f} – {values[1]:.4f} |"


def _at(found: Mapping[str, Any], path: MeasurePath) -> float:
    place: Any = found
    for step in path:
        place = place[step]
    return float(place)


def _interval(bounds: Sequence[float]) -> str:
    return f"{bounds[0]:.4f} – {bounds[1]:.4f}"


def _generalised(forms: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    yield "| form | classes | gallery | chance | mAP, unseen queries | seen ones | harmonic | P@100, unseen | seen |"
    yield f"|---|{'--:|' * 8}"
    for name, form in forms.items():
        own, first = form["map"], form["precision_at_100"]
        cells = [own["unseen"], own["seen"], own["harmonic"], first["unseen"], first["seen"]]
        shown = " | ".join(_NONE if value is None else f"{value:.4f}" for value in cells)
        by_chance = chance_of_map(form["chance"], form["gallery"])
        yield f"| {name} | {form['classes']:,} | {form['gallery']:,} | {by_chance:.4f} | {shown} |"
    yield ""
    for name, form in forms.items():
        yield f"- {name}: {form['definition']}. Source: {form['source']}."
    yield ""
    yield (
        "Three protocols are published under the one name, so a figure without its form says little. Pictures of seen "
        "classes are those that the network learned from. Chance is the mAP of a random order, of unseen queries."
    )


def _failures(values: Mapping[str, Any]) -> Iterator[str]:
    found, gallery = values["retrieval"], values["gallery"]
    nearest = found["precision_at"]["1"]["expected"]
    yield (
        f"For {nearest:.1%} of the {values['queries']} the nearest of the {gallery} is of their class. The others find "
        "these instead, the most frequent first; where several are equally near, they share the query."
    )
    yield ""
    if not found["confused"]:
        yield "No query found another class."
        return
    yield "| class | found instead | queries | share of the class |"
    yield "|---|---|--:|--:|"
    for pair in found["confused"]:
        yield f"| {cell_of(pair['class'])} | {cell_of(pair['found'])} | {pair['queries']:,.4g} | {pair['share']:.3f} |"


def _classes(values: Mapping[str, Any]) -> Iterator[str]:
    yield f"| class | {values['queries']} | {values['gallery']} | mAP | nearest is right | most found instead | share |"
    yield "|---|--:|--:|--:|--:|---|--:|"
    classes = values["retrieval"]["classes"]
    for word in sorted(classes, key=lambda word: (classes[word]["map"], word)):
        own = classes[word]
        other = _NONE if own["instead"] is None else cell_of(own["instead"])
        yield (
            f"| {cell_of(word)} | {own['queries']:,} | {own['items']:,} | {own['map']:.4f} | {own['nearest']:.3f} | "
            f"{other} | {own['share']:.3f} |"
        )
