"""The comparison of methods that find photos by drawings: its rows, the published figures and the page in Markdown."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sketchdata.errors import ConfigError
from sketchdata.names import did_you_mean, names_in
from sketchdata.retrieval.metrics import chance_of_map

#: The data sets of published figures.
PUBLISHED_DATA = ("Sketchy, 21 unseen", "TU-Berlin, 30 unseen", "QuickDraw, 30 unseen")
#: mAP, mAP@200 and P@200 on each of PUBLISHED_DATA; None where a source has none.
Published = Sequence[tuple[float, float, float] | None]
#: Source of TABLE_2 and TABLE_3: Dey et al., "Doodle to search", CVPR 2019, Tables 2 and 3. The paper's CVAE lies below
#: chance, about 1/30, on TU-Berlin and QuickDraw.
TABLE_2: Mapping[str, Published] = {
    "CVAE": ((0.1959, 0.2250, 0.3330), (0.0050, 0.0090, 0.0030), (0.0030, 0.0060, 0.0030)),
    "doodle2search": ((0.3691, 0.4606, 0.3704), (0.1094, 0.1568, 0.1208), (0.0752, 0.0901, 0.0675)),
}
TABLE_3: Mapping[str, Published] = {
    "triplet": ((0.3020, 0.3890, 0.3091), (0.0590, 0.1040, 0.0682), (0.0354, 0.0546, 0.0454)),
    "d2s-attention": ((0.3207, 0.4150, 0.3342), (0.0729, 0.1141, 0.1002), (0.0456, 0.0635, 0.0496)),
    "d2s-attention-domain": ((0.3256, 0.4113, 0.3444), (0.0845, 0.1264, 0.1080), (0.0651, 0.0881, 0.0615)),
    "d2s-attention-semantic": ((0.3392, 0.4146, 0.3586), (0.1055, 0.1496, 0.1115), (0.0693, 0.0896, 0.0625)),
    "doodle2search": TABLE_2["doodle2search"],
}
#: mAP and P@100 on Sketchy, 25 unseen, and TU-Berlin, 30 unseen. Source: Shen et al., "Zero-shot sketch-image hashing",
#: CVPR 2018, Table 2.
ZSIH_TABLE_2: Mapping[str, tuple[tuple[float, float], tuple[float, float]]] = {
    "siamese": ((0.143, 0.183), (0.122, 0.153)),
    "gn-triplet": ((0.211, 0.310), (0.189, 0.241)),
    "ZSIH, 64 bits": ((0.254, 0.340), (0.220, 0.291)),
}


@dataclass(frozen=True, kw_only=True)
class SbirRow:
    """A method with options.

    Attributes:
        name: Of its files.
        title: For people.
        method: Of `train sbir`.
        changed: Options of the method that differ from its own defaults.
        needs_words: Whether it learns from words.
        needs_weights: Whether it is made of a pretrained network.
        transductive: Whether the centres are those of the unseen pictures themselves, queries and gallery.
    """

    name: str
    title: str
    method: str
    changed: Mapping[str, Any] = field(default_factory=dict)
    needs_words: bool = False
    needs_weights: bool = False
    transductive: bool = False


_TITLES = {
    "frozen": "features of the pretrained network",
    "centred": "the same, less the mean of each domain's seen pictures",
    "siamese": "Siamese: pairs",
    "triplet": "triplets alone",
    "gn-triplet": "GN-Triplet: triplets and a classifier",
    "softmax": "softmax: a classifier alone",
    "devise": "DeViSE: near the word's vector, for both domains",
    "dsh": "DSH, reduced: codes that are factors of words, for both domains",
    "sake": "SAKE, without similarities of WordNet",
    "doodle2search": "Doodle to Search",
    "sketchspace": "ours: only the upper layers of the drawings' network learn",
}
_PRETRAINED = frozenset({"frozen", "centred", "sake", "sketchspace"})
_OF_WORDS = frozenset({"doodle2search", "devise", "dsh"})
#: Row of the test set's own centres.
CENTRED_TRANSDUCTIVE = "centred-transductive"
#: What rows of the ablation lack of Doodle to Search, which are in no other table.
_ABLATIONS: Sequence[tuple[str, str, Mapping[str, Any], bool]] = (
    ("d2s-attention", "triplets, attention", {"domain_weight": 0.0, "semantic_weight": 0.0}, False),
    ("d2s-attention-domain", "triplets, attention, domain loss", {"semantic_weight": 0.0}, False),
    ("d2s-attention-semantic", "triplets, attention, semantic loss", {"domain_weight": 0.0}, True),
)
#: The rows that differences of each table are taken to.
_REFERENCE_2, _REFERENCE_3 = "doodle2search", "triplet"


def all_rows(methods: Sequence[str]) -> list[SbirRow]:
    """Return every row: a method each, the frozen features with the centres of the test set, and the ablation.

    Args:
        methods: Those of `train sbir`.
    """
    order = [*(name for name in _TITLES if name in methods), *(name for name in methods if name not in _TITLES)]
    rows = []
    for name in order:
        rows.append(
            SbirRow(
                name=name,
                title=_TITLES.get(name, name),
                method=name,
                needs_words=name in _OF_WORDS,
                needs_weights=name in _PRETRAINED,
            )
        )
        if name == "centred":
            title = "transductive: less the mean of each domain's *unseen* pictures, the test set itself"
            rows.append(
                SbirRow(name=CENTRED_TRANSDUCTIVE, title=title, method="frozen", needs_weights=True, transductive=True)
            )
    rows += [
        SbirRow(name=name, title=title, method="doodle2search", changed=changed, needs_words=words)
        for name, title, changed, words in _ABLATIONS
    ]
    return rows


def chosen_rows(names: str, methods: Sequence[str]) -> list[SbirRow]:
    """Return the rows that comma-separated names, or `all`, choose, in the order of the tables.

    Raises:
        ConfigError: There is no such row.
    """
    rows, wanted = all_rows(methods), names_in(names)
    known = [row.name for row in rows]
    for name in wanted:
        if name not in (*known, "all"):
            raise ConfigError(
                f"--rows: there is no row {name!r}; "
                f"{did_you_mean(name, known) or 'there are ' + ', '.join(known) + ', and all'}"
            )
    return [row for row in rows if row.name in wanted or "all" in wanted]


@dataclass(frozen=True, kw_only=True)
class MeasuredRow:
    """A row and its cells: {(draw, seed): values}, of which `retrieval` has all measures."""

    row: SbirRow
    cells: Mapping[tuple[int, int], Mapping[str, Any]]

    def by_draw(self, *path: str) -> dict[int, float]:
        """Return a number of each draw, the mean over its seeds: {draw: value}."""
        found: dict[int, list[float]] = {}
        for (draw, _), values in self.cells.items():
            place: Any = values
            for step in path:
                place = place[step]
            found.setdefault(draw, []).append(float(place))
        return {draw: statistics.fmean(own) for draw, own in found.items()}

    def show(self, *path: str, digits: int = 4) -> str:
        """Return the mean over the draws, with the sample deviation if there are several."""
        return _spread(list(self.by_draw(*path).values()), digits)

    def chance(self, *path: str) -> str:
        """Return the mAP of a random order, as `show` does, of the galleries of a retrieval."""
        shares, items = self.by_draw(*path, "chance"), self.by_draw(*path, "gallery")
        return _spread([chance_of_map(share, round(items[draw])) for draw, share in shares.items()], 4)


def difference(row: MeasuredRow, other: MeasuredRow) -> dict[str, Any] | None:
    """Return how much better the mAP of one row is than that of another, draw by draw.

    Returns:
        `mean` and `sd` of the differences over the draws that both have, and `told`: whether the mean is larger than
        the deviation. None of fewer than two draws, as there is no deviation.
    """
    own, others = (each.by_draw("retrieval", "map", "expected") for each in (row, other))
    found = [own[draw] - others[draw] for draw in own if draw in others]
    if len(found) < 2:
        return None
    mean, sd = statistics.fmean(found), statistics.stdev(found)
    return {"mean": mean, "sd": sd, "above_deviation": abs(mean) > sd}


_NONE = "–"
Measures = Sequence[tuple[str, str, Sequence[tuple[str, ...]]]]


def markdown(facts: Mapping[str, Any], measured: Sequence[MeasuredRow], measures: Measures) -> str:
    """Return the page: Tables 2 and 3 beside the published figures, all measures, and how to read them.

    Args:
        facts: `classes`, `draws`, `seeds`, `epochs`, `splits` and what else `sbir.json` has.
        measured: Rows with cells.
        measures: (title, whose figure, paths of the expected value or of its two bounds).
    """
    rows = {each.row.name: each for each in measured}
    ablated = [rows[name] for name in TABLE_3 if name in rows]
    only = {name for name, *_ in _ABLATIONS}
    lines = ["# Retrieval of photos by drawings, compared", "", *_notes(facts, measured), ""]
    compared = [each for each in measured if each.row.name not in only]
    if compared:
        lines += ["## Methods (Table 2)", "", *_table(compared, rows.get(_REFERENCE_2), TABLE_2), ""]
        lines += [*_published_alone(), ""]
    if ablated:
        lines += ["## Parts of Doodle to Search (Table 3)", "", *_table(ablated, rows.get(_REFERENCE_3), TABLE_3), ""]
        lines += ["The first row is `triplet` of the table above, and the last one `doodle2search`.", ""]
    lines += ["## All measures", "", *_all_measures(measured, measures), ""]
    generalised = [each for each in measured if all("generalised" in cell for cell in each.cells.values())]
    if generalised:
        lines += ["## Generalised: seen classes in the gallery", "", *_generalised(generalised)]
    return "\n".join(lines).rstrip("\n") + "\n"


def _notes(facts: Mapping[str, Any], measured: Sequence[MeasuredRow]) -> Iterator[str]:
    split = facts["splits"][0]
    cell = next(iter(measured[0].cells.values())) if measured else None
    yield (
        f"{facts['data']}: {facts['classes']:,} classes, of which {split['seen']:,} are seen ({split['validation']:,} "
        f"of these choose the epoch) and {split['unseen']:,} unseen, in {facts['draws']:,} "
        f"draw{'s' if facts['draws'] > 1 else ''} with {facts['seeds']:,} seed{'s' if facts['seeds'] > 1 else ''} "
        "each. Drawings of unseen classes search photos of unseen classes by Euclidean distance. Figures are means ± "
        f"sample deviation over draws. All trained rows have {facts['epochs']:,} epochs, the same data and the same "
        f"picture network: {facts['backbone']} at {facts['size']} pixels, {facts['trunk']}. Training seconds are of "
        f"{facts['device']}, {facts['threads']} thread{'s' if facts['threads'] > 1 else ''}, without reading the "
        f"pictures; torch {facts['torch']}."
    )
    if cell is not None:
        yield ""
        found = cell["retrieval"]
        yield (
            f"**A random order has a mAP of {measured[0].chance('retrieval')}** and a precision of "
            f"{measured[0].show('retrieval', 'chance')} at every rank. {found['definition']}"
        )
        if found["gallery"] < found["k"]:
            yield ""
            yield (
                f"The gallery has {found['gallery']:,} items, fewer than {found['k']:,}, so P@{found['k']} is the same "
                "for every row and the measures at that rank are those of the whole ranking: compare mAP and P@1."
            )
    yield ""
    yield (
        "A difference is of mAP, draw by draw, over the draws that both rows have; one whose mean is not larger than "
        "its deviation is reported as none. Published figures come from the papers' own data, networks and numbers of "
        "unseen classes, and cannot be compared with these."
    )


def _table(
    measured: Sequence[MeasuredRow], reference: MeasuredRow | None, published: Mapping[str, Published]
) -> Iterator[str]:
    against = "" if reference is None else f" to {reference.row.name}"
    heads = ["row", "what it is", "draws", "mAP", "P@1", "mAP@200, lenient", "P@200"]
    heads += ["difference" + against, "seconds"]
    heads += [f"paper's mAP / mAP@200 / P@200: {name}" for name in PUBLISHED_DATA]
    yield f"| {' | '.join(heads)} |"
    yield f"|---|---|{'--:|' * (len(heads) - 2)}"
    for each in measured:
        own = published.get(each.row.name, (None,) * len(PUBLISHED_DATA))
        cells = [
            f"`{each.row.name}`",
            each.row.title,
            str(len(each.by_draw("retrieval", "chance"))),
            each.show("retrieval", "map", "expected"),
            each.show("retrieval", "precision_at", "1", "expected"),
            each.show("retrieval", "map_at_k", "lenient", "optimistic"),
            each.show("retrieval", "precision_at_k", "expected"),
            _NONE if reference is None or reference is each else _told(difference(each, reference)),
            each.show("seconds", digits=1),
            *(_NONE if values is None else " / ".join(f"{value:.4f}" for value in values) for values in own),
        ]
        yield f"| {' | '.join(cells)} |"


def _told(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return _NONE
    spread = f"{found['mean']:+.4f} ± {found['sd']:.4f}"
    return spread if found["above_deviation"] else f"none ({spread})"


def _published_alone() -> Iterator[str]:
    told = [" / ".join(f"{value:.4f}" for value in values) for values in TABLE_2["CVAE"] if values is not None]
    yield (
        "Source of the paper's figures: Dey et al., CVPR 2019, Tables 2 and 3. Its CVAE, which is not built here, has "
        f"{'; '.join(f'{own} ({data})' for own, data in zip(told, PUBLISHED_DATA, strict=True))}. mAP and P@100 in "
        "Shen et al., CVPR 2018, Table 2, on Sketchy with 25 unseen classes and TU-Berlin with 30: "
        + "; ".join(f"{name} {a:.3f}, {b:.3f} and {c:.3f}, {d:.3f}" for name, ((a, b), (c, d)) in ZSIH_TABLE_2.items())
        + "."
    )


def _all_measures(measured: Sequence[MeasuredRow], measures: Measures) -> Iterator[str]:
    yield f"| row | {' | '.join(f'{title} ({source})' for title, source, _ in measures)} |"
    yield f"|---|{'--:|' * len(measures)}"
    for each in measured:
        cells = [" to ".join(each.show("retrieval", *path) for path in paths) for _, _, paths in measures]
        yield f"| `{each.row.name}` | {' | '.join(cells)} |"
    yield ""
    yield (
        "mAP@all, mAP@200 strict, mAP@200 lenient and the interpolated mAP@all and mAP@200 are five definitions that "
        "papers call mAP. Values are those that a random order of ties has on average; two values are those of the "
        "worst and the best order."
    )


def _generalised(measured: Sequence[MeasuredRow]) -> Iterator[str]:
    forms = next(iter(measured[0].cells.values()))["generalised"]
    levels = [measured[0].chance("generalised", name).split(" ")[0] for name in forms]
    heads = [f"{name} (chance {level})" for name, level in zip(forms, levels, strict=True)]
    yield "mAP of unseen queries in each published form."
    yield ""
    yield f"| row | {' | '.join(heads)} |"
    yield f"|---|{'--:|' * len(forms)}"
    for each in measured:
        yield f"| `{each.row.name}` | {' | '.join(each.show('generalised', name, 'map', 'unseen') for name in forms)} |"
    yield ""
    for name, form in forms.items():
        yield f"- {name}: {form['definition']}. Source: {form['source']}."


def table(measured: Sequence[MeasuredRow], measures: Measures) -> str:
    """Return the measures of each cell as CSV."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    names = [".".join(path) for _, _, paths in measures for path in paths]
    writer.writerow(["row", "method", "draw", "seed", "epochs", "seconds", "chance", *names])
    for each in measured:
        for (draw, seed), cell in each.cells.items():
            values = []
            for _, _, paths in measures:
                for path in paths:
                    place: Any = cell["retrieval"]
                    for step in path:
                        place = place[step]
                    values.append(place)
            facts = [each.row.name, each.row.method, draw, seed, cell["epochs"], cell["seconds"]]
            writer.writerow([*facts, cell["retrieval"]["chance"], *values])
    return file.getvalue()


def _spread(values: Sequence[float], digits: int) -> str:
    deviation = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):,.{digits}f}{deviation}"
