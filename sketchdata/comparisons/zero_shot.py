"""The comparison of zero-shot methods: the published figures and the tables in Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sketchdata.errors import ConfigError

# What Xu et al. published of zero-shot recognition on QuickDraw-3.8M, to be put beside what is measured here.
# Source: "On Learning Semantic Representations for Million-Scale Free-Hand Sketches", Tables IX and X. GZSL is there
# the
# share of drawings of unseen classes that are recognised among all classes, with nothing taken off the seen ones'
# scores.

#: Ranks k of hit@k, in the order of the figures.
RANKS = (1, 5, 10, 20)
#: Classes of the published experiment, and drawings of unseen ones that were recognised.
SEEN, UNSEEN, DRAWINGS = 200, 145, 145_000

#: Of class vectors: of words, as the competitors took, or of edge maps.
Kind = Literal["words", "edge maps"]


@dataclass(frozen=True, kw_only=True)
class Published:
    """A row of the paper.

    Attributes:
        title: As the paper names it.
        features: The network whose features were used: CNN, RNN, or CR for both.
        kind: Of the class vectors.
        method: Our name of the method; None for one that is not here.
        zsl: hit@1, 5, 10 and 20 among unseen classes.
        gzsl: The same among all classes.
    """

    title: str
    features: str
    kind: Kind
    method: str | None
    zsl: tuple[float, float, float, float]
    gzsl: tuple[float, float, float, float]


_FULL_MODEL = Published(
    title="Full SZSR model",
    features="CR",
    kind="edge maps",
    method="eve",
    zsl=(0.2148, 0.5031, 0.6363, 0.7589),
    gzsl=(0.0756, 0.3360, 0.4831, 0.6416),
)

#: Comparison with methods for photos. The arrow shows which of the two is embedded among the other.
TABLE_IX = (
    Published(
        title="SAE (sketch → word vector)",
        features="CR",
        kind="words",
        method="sae_reversed",
        zsl=(0.0817, 0.2278, 0.3413, 0.5013),
        gzsl=(0.0011, 0.0470, 0.1105, 0.2314),
    ),
    Published(
        title="SAE (sketch ← word vector)",
        features="CR",
        kind="words",
        method="sae",
        zsl=(0.1056, 0.2751, 0.3940, 0.5471),
        gzsl=(0.0085, 0.1387, 0.2555, 0.3986),
    ),
    Published(
        title="DEM",
        features="CR",
        kind="words",
        method="dem",
        zsl=(0.1224, 0.2818, 0.3951, 0.5347),
        gzsl=(0.0312, 0.2150, 0.3398, 0.4953),
    ),
    Published(
        title="DEM (sketch → word vector)",
        features="CR",
        kind="words",
        method="dem_reversed",
        zsl=(0.0198, 0.0601, 0.1233, 0.2314),
        gzsl=(0.0058, 0.0292, 0.0548, 0.1069),
    ),
    Published(
        title="RELATION NET",
        features="CR",
        kind="words",
        method="relation",
        zsl=(0.0968, 0.2828, 0.4076, 0.5654),
        gzsl=(0.0070, 0.1185, 0.2184, 0.3562),
    ),
    Published(
        title="AREN",
        features="CR",
        kind="words",
        method=None,
        zsl=(0.0156, 0.0781, 0.1328, 0.2188),
        gzsl=(0.0025, 0.0175, 0.0199, 0.0430),
    ),
    _FULL_MODEL,
)

#: What each part of the full model brings.
TABLE_X = (
    Published(
        title="CNN, sketch → edge map",
        features="CNN",
        kind="edge maps",
        method="eve_reversed",
        zsl=(0.0405, 0.0845, 0.1312, 0.2215),
        gzsl=(0.0049, 0.0477, 0.0898, 0.1281),
    ),
    Published(
        title="RNN, sketch → edge map",
        features="RNN",
        kind="edge maps",
        method="eve_reversed",
        zsl=(0.0384, 0.1195, 0.1903, 0.3003),
        gzsl=(0.0087, 0.0637, 0.1043, 0.1691),
    ),
    Published(
        title="CR, sketch → edge map",
        features="CR",
        kind="edge maps",
        method="eve_reversed",
        zsl=(0.0435, 0.1361, 0.2198, 0.3408),
        gzsl=(0.0097, 0.0668, 0.1169, 0.1932),
    ),
    Published(
        title="CNN, sketch ← edge map",
        features="CNN",
        kind="edge maps",
        method="eve",
        zsl=(0.1919, 0.4732, 0.6062, 0.7395),
        gzsl=(0.0638, 0.2947, 0.4441, 0.5936),
    ),
    Published(
        title="RNN, sketch ← edge map",
        features="RNN",
        kind="edge maps",
        method="eve",
        zsl=(0.1815, 0.4516, 0.5969, 0.7483),
        gzsl=(0.0554, 0.2632, 0.4040, 0.5664),
    ),
    _FULL_MODEL,
)


# Zero-shot recognition over several draws: mean and deviation, and Tables IX and X with the paper's figures beside.

_NONE = "–"
#: Of the first method of Table X and its reverse, which no other table of the paper has.
_ABLATED = ("eve", "eve_reversed")
_NOTE = (
    f"The paper's figures are of its own data, QuickDraw-3.8M: {SEEN} seen classes, {UNSEEN} unseen ones that it does "
    f"not name, and {DRAWINGS:,} drawings of these. With another number of classes, other classes or other drawings "
    "they are no yardstick: not to be compared."
)


def summarise(evaluations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the mean and the deviation of each number in several evaluations of the same form.

    Args:
        evaluations: Plain values, such as each draw of classes gave. What is neither a number nor named values is left
            out, and so is a name of which no evaluation has a number.

    Returns:
        The same names, each number replaced by `mean`, `sd` and `count`: the sample deviation (n − 1), None of a single
        value, and how many evaluations have this number, for not every class is unseen in every draw.

    Raises:
        ConfigError: There is no evaluation, or a name stands for a number in one and for named values in another.
    """
    if not evaluations:
        raise ConfigError("there is no evaluation to summarise: one at least is needed")
    found: dict[str, Any] = {}
    for name in dict.fromkeys(name for each in evaluations for name in each):
        values = [each[name] for each in evaluations if name in each]
        named = [value for value in values if isinstance(value, Mapping)]
        numbers = [float(value) for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
        if named and numbers:
            raise ConfigError(f"{name!r} is a number in one evaluation and named values in another: of other forms")
        if numbers:
            deviation = statistics.stdev(numbers) if len(numbers) > 1 else None
            found[name] = {"mean": statistics.fmean(numbers), "sd": deviation, "count": len(numbers)}
        elif named and (below := summarise(named)):
            found[name] = below
    return found


@dataclass(frozen=True, kw_only=True)
class Row:
    """What one method reached with some features and class vectors.

    Attributes:
        features: Of which network: CNN, RNN or CR.
        source: The name of the class vectors.
        method: By its name in the table of methods.
        summary: What `summarise` made of its evaluations.
    """

    features: str
    source: str
    method: str
    summary: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class _Line:
    """A row of a table: measured, published, or both."""

    row: Row | None
    published: Published | None


def markdown(rows: Sequence[Row], *, words: Sequence[str] = (), edge_maps: Sequence[str] = ()) -> str:
    """Return Tables IX and X of the paper with what was measured; published rows stand there measured or not.

    Rows of the branches alone, CNN and RNN, are in Table X only, which has the paper's method on vectors of edge maps;
    all others are in Table IX. Where no row is of CR, as with bitmaps, which have no points, Table IX has those of CNN.

    Args:
        rows: In the order that they are to stand in.
        words: Which sources are vectors of words, as the paper's competitors took; of others, no row is beside theirs.
        edge_maps: Which sources are vectors of edge maps.

    Raises:
        ConfigError: Rows are of different numbers of classes, so that their shares of hits do not compare.
    """
    kinds: dict[str, Kind] = {**dict.fromkeys(words, "words"), **dict.fromkeys(edge_maps, "edge maps")}
    ablated = [row for row in rows if row.method in _ABLATED and kinds.get(row.source) == "edge maps"]
    chance = _chance(rows)
    alone = {"CNN", "RNN"} if any(row.features == "CR" for row in rows) else {"RNN"}
    lines = ["# Zero-shot recognition compared", "", *_notes(rows), ""]
    for title, own, published in (
        ("Methods compared (Table IX)", [row for row in rows if row.features not in alone], TABLE_IX),
        ("Features and directions (Table X)", ablated, TABLE_X),
    ):
        lines += [f"## {title}", "", *_table(_beside(own, published, kinds), chance), ""]
    return "\n".join(lines)


def _notes(rows: Sequence[Row]) -> Iterator[str]:
    counts = sorted({row.summary["zsl"]["hit@1"]["count"] for row in rows})
    if counts:
        of = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        yield f"Mean ± sample deviation of {of} evaluations. ZSL: among unseen classes; GZSL: among all of them."
    yield "U, S and H: class-averaged accuracy on unseen and seen classes among all, and their harmonic mean, with γ."
    yield ""
    yield _NOTE


def _chance(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Return the chance levels that all rows have."""
    found = [
        {
            # The mean of equal numbers may differ from them in the last place.
            part: {name: round(value["mean"], 12) for name, value in row.summary[part]["chance"].items()}
            for part in ("zsl", "gzsl")
        }
        for row in rows
    ]
    if any(other != found[0] for other in found):
        raise ConfigError("these rows are of different numbers of classes, so their shares of hits do not compare")
    return found[0] if found else {"zsl": {}, "gzsl": {}}


def _beside(rows: Sequence[Row], published: Sequence[Published], kinds: Mapping[str, Kind]) -> list[_Line]:
    """Put what was measured beside what was published: the paper's rows in its order, then the others."""
    lines, left = list[_Line](), list(rows)
    for each in published:
        wanted = (each.features, each.kind, each.method)
        own = [row for row in left if (row.features, kinds.get(row.source), row.method) == wanted]
        left = [row for row in left if row not in own]
        lines += [_Line(row=row, published=each) for row in own] or [_Line(row=None, published=each)]
    return lines + [_Line(row=row, published=None) for row in left]


def _table(lines: Sequence[_Line], chance: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    columns = [
        *((f"{title} hit@{k}", _hit(part, k)) for part, title in (("zsl", "ZSL"), ("gzsl", "GZSL")) for k in RANKS),
        *((name[0].upper(), _share(name)) for name in ("unseen", "seen", "harmonic")),
    ]
    heads = ["method", "features", "class vectors", *(title for title, _ in columns), *_paper_heads()]
    yield f"| {' | '.join(heads)} |"
    yield f"|---|---|---|{'--:|' * (len(heads) - 3)}"
    among = [chance[part].get(f"hit@{k}") for part in ("zsl", "gzsl") for k in RANKS]
    every = chance["gzsl"].get("hit@1")
    cells = [*map(_number, [*among, every, every, every]), _joined(_levels(UNSEEN)), _joined(_levels(SEEN + UNSEEN))]
    yield f"| *chance* | | | {' | '.join(cells)} |"
    for line in lines:
        row, published = line.row, line.published
        paper = [_joined(published.zsl), _joined(published.gzsl)] if published else [_NONE, _NONE]
        values = [_NONE if row is None else cell(row.summary) for _, cell in columns]
        yield f"| {' | '.join([*_names(line), *values, *paper])} |"


def _paper_heads() -> list[str]:
    ranks = "/".join(map(str, RANKS))
    about = f"hit@{ranks} (QuickDraw-3.8M, {SEEN}/{UNSEEN} classes)"
    return [f"paper's ZSL {about}", f"paper's GZSL {about}"]


def _names(line: _Line) -> list[str]:
    row, published = line.row, line.published
    if row is None:
        assert published is not None  # noqa: S101 - a line is of one or the other
        return [f"{published.title}; from the paper alone", published.features, published.kind]
    source = row.source.replace("|", r"\|")
    return [row.method if published is None else f"{row.method}: {published.title}", row.features, source]


def _hit(part: str, k: int) -> Callable[[Mapping[str, Any]], str]:
    return lambda summary: _spread(summary[part].get(f"hit@{k}"))


def _share(name: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda summary: _spread(summary.get("harmonic_calibrated", {}).get(name))


def _spread(value: Mapping[str, Any] | None) -> str:
    if value is None:
        return _NONE
    return _number(value["mean"]) + ("" if value["sd"] is None else f" ± {value['sd']:.4f}")


def _levels(candidates: int) -> list[float]:
    return [k / candidates for k in RANKS]


def _joined(values: Sequence[float]) -> str:
    return " / ".join(map(_number, values))


def _number(value: float | None) -> str:
    return _NONE if value is None else f"{value:.4f}"
