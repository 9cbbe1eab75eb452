"""The comparison of zero-shot methods: the published figures and the tables in Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sketchdata.errors import ConfigError

# Published figures. Source: Xu et al., "On Learning Semantic Representations for Million-Scale Free-Hand Sketches",
# Tables IX and X, on QuickDraw-3.8M. The paper's GZSL is the accuracy among all classes on drawings of unseen ones,
# without subtracting γ from the scores of seen classes.

#: Ranks k of hit@k.
RANKS = (1, 5, 10, 20)
#: Numbers of seen and unseen classes of the published experiment, and of drawings of unseen classes.
SEEN, UNSEEN, DRAWINGS = 200, 145, 145_000

VectorKind = Literal["words", "edge maps"]
Hits = tuple[float, float, float, float]


@dataclass(frozen=True)
class PublishedRow:
    """A row of the paper's tables.

    Attributes:
        title: Title in the paper.
        features: Network of the features: CNN, RNN, or CR for both.
        kind: Kind of the class vectors.
        method: Name of the method in `train zsl`; None if it is not implemented.
        zsl: hit@1, 5, 10 and 20 among unseen classes.
        gzsl: The same among all classes.
    """

    title: str
    features: str
    kind: VectorKind
    method: str | None
    zsl: Hits
    gzsl: Hits


_FULL_MODEL = PublishedRow(
    "Full SZSR model", "CR", "edge maps", "eve", (0.2148, 0.5031, 0.6363, 0.7589), (0.0756, 0.336, 0.4831, 0.6416)
)

#: Comparison with methods for photos. The arrow points from the embedded side to the space that it is embedded in.
TABLE_IX = (
    PublishedRow(
        "SAE (sketch → word vector)",
        "CR",
        "words",
        "sae_reversed",
        (0.0817, 0.2278, 0.3413, 0.5013),
        (0.0011, 0.047, 0.1105, 0.2314),
    ),
    PublishedRow(
        "SAE (sketch ← word vector)",
        "CR",
        "words",
        "sae",
        (0.1056, 0.2751, 0.394, 0.5471),
        (0.0085, 0.1387, 0.2555, 0.3986),
    ),
    PublishedRow("DEM", "CR", "words", "dem", (0.1224, 0.2818, 0.3951, 0.5347), (0.0312, 0.215, 0.3398, 0.4953)),
    PublishedRow(
        "DEM (sketch → word vector)",
        "CR",
        "words",
        "dem_reversed",
        (0.0198, 0.0601, 0.1233, 0.2314),
        (0.0058, 0.0292, 0.0548, 0.1069),
    ),
    PublishedRow(
        "RELATION NET", "CR", "words", "relation", (0.0968, 0.2828, 0.4076, 0.5654), (0.007, 0.1185, 0.2184, 0.3562)
    ),
    PublishedRow("AREN", "CR", "words", None, (0.0156, 0.0781, 0.1328, 0.2188), (0.0025, 0.0175, 0.0199, 0.043)),
    _FULL_MODEL,
)

#: The contribution of each part of the full model.
TABLE_X = (
    PublishedRow(
        "CNN, sketch → edge map",
        "CNN",
        "edge maps",
        "eve_reversed",
        (0.0405, 0.0845, 0.1312, 0.2215),
        (0.0049, 0.0477, 0.0898, 0.1281),
    ),
    PublishedRow(
        "RNN, sketch → edge map",
        "RNN",
        "edge maps",
        "eve_reversed",
        (0.0384, 0.1195, 0.1903, 0.3003),
        (0.0087, 0.0637, 0.1043, 0.1691),
    ),
    PublishedRow(
        "CR, sketch → edge map",
        "CR",
        "edge maps",
        "eve_reversed",
        (0.0435, 0.1361, 0.2198, 0.3408),
        (0.0097, 0.0668, 0.1169, 0.1932),
    ),
    PublishedRow(
        "CNN, sketch ← edge map",
        "CNN",
        "edge maps",
        "eve",
        (0.1919, 0.4732, 0.6062, 0.7395),
        (0.0638, 0.2947, 0.4441, 0.5936),
    ),
    PublishedRow(
        "RNN, sketch ← edge map",
        "RNN",
        "edge maps",
        "eve",
        (0.1815, 0.4516, 0.5969, 0.7483),
        (0.0554, 0.2632, 0.404, 0.5664),
    ),
    _FULL_MODEL,
)


_NONE = "–"
#: The methods of Table X.
_ABLATED = ("eve", "eve_reversed")
_NOTE = (
    f"The paper's figures are of its own data, QuickDraw-3.8M: {SEEN} seen classes, {UNSEEN} unseen ones that it does "
    f"not name, and {DRAWINGS:,} drawings of these. With another number of classes, other classes or other drawings "
    "they are not comparable."
)


def summarise(evaluations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the mean and the sample deviation of each number over evaluations of the same structure.

    Args:
        evaluations: Nested dictionaries of numbers, one for each draw of classes. Other values, and dictionaries
            without numbers, are left out.

    Returns:
        The same dictionaries with `mean`, `sd` and `count` in place of each number. `sd` is the sample deviation
        (n − 1), None for a single value; `count` is the number of evaluations that have this number, since a class is
        not unseen in every draw.

    Raises:
        ConfigError: There is no evaluation, or a name has a number in one and a dictionary in another.
    """
    if not evaluations:
        raise ConfigError("there is no evaluation to summarise: expected at least one")
    found: dict[str, Any] = {}
    for name in dict.fromkeys(name for each in evaluations for name in each):
        values = [each[name] for each in evaluations if name in each]
        named = [value for value in values if isinstance(value, Mapping)]
        numbers = [float(value) for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
        if named and numbers:
            raise ConfigError(
                f"{name!r} is a number in one evaluation and a dictionary in another: they cannot be combined"
            )
        if numbers:
            deviation = statistics.stdev(numbers) if len(numbers) > 1 else None
            found[name] = {"mean": statistics.fmean(numbers), "sd": deviation, "count": len(numbers)}
        elif named and (below := summarise(named)):
            found[name] = below
    return found


@dataclass(frozen=True, kw_only=True)
class ZeroShotRow:
    """The results of a method on the features of one network with one source of class vectors."""

    features: str
    source: str
    method: str
    summary: Mapping[str, Any]


def markdown(rows: Sequence[ZeroShotRow], *, words: Sequence[str] = (), edge_maps: Sequence[str] = ()) -> str:
    """Return Tables IX and X of the paper with our results; published rows appear even if they were not measured.

    Rows of the single branches CNN and RNN are only in Table X, which has the paper's method on vectors of edge maps;
    all others are in Table IX. Without rows of CR, as for bitmaps, which have no points, Table IX has those of CNN.

    Args:
        rows: The rows, in order.
        words: Sources that are word vectors. The paper's competitors used these, so their published figures are
            shown only beside rows with word vectors.
        edge_maps: Sources that are vectors of edge maps.

    Raises:
        ConfigError: Rows have different numbers of classes, so their hit rates cannot be compared.
    """
    kinds: dict[str, VectorKind] = {**dict.fromkeys(words, "words"), **dict.fromkeys(edge_maps, "edge maps")}
    ablated = [row for row in rows if row.method in _ABLATED and kinds.get(row.source) == "edge maps"]
    chance = _chance(rows)
    alone = {"CNN", "RNN"} if any(row.features == "CR" for row in rows) else {"RNN"}
    counts = sorted({row.summary["zsl"]["hit@1"]["count"] for row in rows})
    lines = ["# Zero-shot recognition compared", ""]
    if counts:
        of = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        lines.append(
            f"Mean ± sample deviation of {of} evaluations. ZSL: among unseen classes; GZSL: among all of them."
        )
    lines += [
        "U, S and H: class-averaged accuracy on unseen and seen classes among all, and their harmonic mean, with γ."
    ]
    lines += ["", _NOTE, ""]
    for title, own, published in (
        ("Methods compared (Table IX)", [row for row in rows if row.features not in alone], TABLE_IX),
        ("Features and directions (Table X)", ablated, TABLE_X),
    ):
        lines += [f"## {title}", "", *_table(_beside(own, published, kinds), chance), ""]
    return "\n".join(lines)


def _chance(rows: Sequence[ZeroShotRow]) -> dict[str, dict[str, float]]:
    found = [
        {
            # The mean of equal numbers may differ from them in the last place.
            part: {name: round(value["mean"], 12) for name, value in row.summary[part]["chance"].items()}
            for part in ("zsl", "gzsl")
        }
        for row in rows
    ]
    if any(other != found[0] for other in found):
        raise ConfigError("these rows have different numbers of classes, so their hit rates cannot be compared")
    return found[0] if found else {"zsl": {}, "gzsl": {}}


def _beside(
    rows: Sequence[ZeroShotRow], published: Sequence[PublishedRow], kinds: Mapping[str, VectorKind]
) -> list[tuple[ZeroShotRow | None, PublishedRow | None]]:
    pairs, left = list[tuple[ZeroShotRow | None, PublishedRow | None]](), list(rows)
    for each in published:
        wanted = (each.features, each.kind, each.method)
        own = [row for row in left if (row.features, kinds.get(row.source), row.method) == wanted]
        left = [row for row in left if row not in own]
        pairs += [(row, each) for row in own] or [(None, each)]
    return [*pairs, *((row, None) for row in left)]


def _table(
    pairs: Sequence[tuple[ZeroShotRow | None, PublishedRow | None]], chance: Mapping[str, Mapping[str, float]]
) -> Iterator[str]:
    parts = [(part, title, k) for part, title in (("zsl", "ZSL"), ("gzsl", "GZSL")) for k in RANKS]
    sides = ("unseen", "seen", "harmonic")
    ranks = "/".join(map(str, RANKS))
    about = f"hit@{ranks} (QuickDraw-3.8M, {SEEN}/{UNSEEN} classes)"
    heads = ["method", "features", "class vectors", *(f"{title} hit@{k}" for _, title, k in parts), "U", "S", "H"]
    heads += [f"paper's ZSL {about}", f"paper's GZSL {about}"]
    yield f"| {' | '.join(heads)} |"
    yield f"|---|---|---|{'--:|' * (len(heads) - 3)}"
    among, every = [chance[part].get(f"hit@{k}") for part, _, k in parts], chance["gzsl"].get("hit@1")
    levels = [_joined([k / candidates for k in RANKS]) for candidates in (UNSEEN, SEEN + UNSEEN)]
    yield f"| *chance* | | | {' | '.join([*map(_number, [*among, every, every, every]), *levels])} |"
    for row, published in pairs:
        paper = [_joined(published.zsl), _joined(published.gzsl)] if published else [_NONE, _NONE]
        if row is not None:
            title = row.method if published is None else f"{row.method}: {published.title}"
            names, found = [title, row.features, row.source.replace("|", r"\|")], row.summary
            harmonic = found.get("harmonic_calibrated", {})
            values = [_spread(found[part].get(f"hit@{k}")) for part, _, k in parts]
            values += [_spread(harmonic.get(side)) for side in sides]
        elif published is not None:
            names = [f"{published.title}; from the paper alone", published.features, published.kind]
            values = [_NONE] * (len(parts) + len(sides))
        yield f"| {' | '.join([*names, *values, *paper])} |"


def _spread(value: Mapping[str, Any] | None) -> str:
    if value is None:
        return _NONE
    return _number(value["mean"]) + ("" if value["sd"] is None else f" ± {value['sd']:.4f}")


def _joined(values: Sequence[float]) -> str:
    return " / ".join(map(_number, values))


def _number(value: float | None) -> str:
    return _NONE if value is None else f"{value:.4f}"
