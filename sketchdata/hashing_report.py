"""The evaluation of binary codes as Markdown: each number beside its bounds and chance, and what it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Classes that are listed, those whose drawings are found worst.
_WORST = 10
_MEGA = 1e6

Values = Mapping[str, Any]


def hashing_sections(values: Values, picture: str, table: str) -> list[str]:
    """Return the lines of the sections on retrieval, zero-shot retrieval, spread and cost.

    Args:
        values: What `evaluate_codes` gave.
        picture: The file of the precision-recall picture.
        table: That of its numbers.
    """
    retrieval = values["retrieval"]
    lines = ["## Retrieval", "", *_retrieval(retrieval), ""]
    lines += [f"![precision over recall]({picture})", "", f"Its points are in [{table}]({table}).", ""]
    if "zero_shot" in values:
        lines += ["## Zero-shot retrieval", "", *_zero_shot(values["zero_shot"]), ""]
    return [*lines, "## Spread of the classes", "", *_spread(values["spread"]), "", *_cost(values["cost"])]


def _retrieval(found: Values) -> list[str]:
    whole, k = found["map"], found["k"]
    lines = [
        f"Codes of {found['bits']} bits: {found['queries']:,} queries, each against a gallery of {found['gallery']:,} "
        f"drawings; chance is {found['chance']:.4f}. {_excluded(found['excluded'])}",
        "",
        "| measure | expected | worst order of ties | best order of ties |",
        "|---|--:|--:|--:|",
        _row("**mAP**", whole),
        _row(f"**P@{k}**", found["precision_at_k"]),
        _row(f"R@{k}", found["recall_at_k"]),
        *(_row(f"mAP@{k}, {name}", found["map_at_k"][name]) for name in found["map_at_k"]),
        _row(
            "mAP, interpolated",
            {side: whole[f"interpolated_{side}"] for side in ("pessimistic", "optimistic")},
        ),
        f"| mAP, by thresholds | {whole['threshold']:.4f} | | |",
        "",
        f"95 % intervals of the mAP: {_interval(whole['query_interval'])} over queries, "
        f"{_interval(whole['class_interval'])} over classes.",
        "",
    ]
    lines += [
        f"Within distance {radius}: precision {own['precision']:.4f}, recall {own['recall']:.4f}; nothing there for "
        f"{own['empty']:.1%} of the queries."
        for radius, own in found["radius"].items()
    ]
    return [*lines, "", f"{found['definition']}", "", *_worst(found["classes"])]


def _row(name: str, bounds: Values) -> str:
    cells = (f"{bounds[side]:.4f}" if side in bounds else "" for side in ("expected", "pessimistic", "optimistic"))
    return f"| {name} | {' | '.join(cells)} |"


def _interval(bounds: Any) -> str:
    low, high = bounds
    return f"{low:.4f} to {high:.4f}"


def _excluded(count: int) -> str:
    return f"{count:,} queries that nothing is relevant to are not counted." if count else "Every query counts."


def _worst(classes: Values) -> list[str]:
    order = sorted(classes, key=lambda word: (classes[word]["map"], word))[:_WORST]
    lines = [f"| {word} | {classes[word]['queries']:,} | {classes[word]['map']:.4f} |" for word in order]
    return [f"The {len(order)} classes that are found worst:", "", "| class | queries | mAP |", "|---|--:|--:|", *lines]


def _zero_shot(found: Values) -> list[str]:
    words = found["unseen"]
    about = (
        f"Drawings of {len(words):,} classes of which the network has never seen one, as queries and as the gallery, "
        f"so that chance is about 1 in {len(words):,}; not to be compared with figures over other numbers of classes."
    )
    return [about, "", f"The classes: {', '.join(words)}.", "", *_retrieval(found)]


def _spread(found: Values) -> list[str]:
    ratio = "" if found["ratio"] is None else f"{found['ratio']:.4f}"
    return [
        "| d1, within classes | d2, between classes | d1 / d2 |",
        "|--:|--:|--:|",
        f"| {found['d1']:.4f} | {found['d2']:.4f} | {ratio} |",
        "",
        "d1: the mean squared Euclidean distance of a class's drawings to their mean, averaged over classes. d2: the "
        f"mean squared distance between the means of two classes. Both of the {found['numbers']} numbers, before they "
        f"become bits, of {found['drawings']:,} gallery drawings. The paper's Table VI names both and defines neither.",
    ]


def _cost(found: Values) -> list[str]:
    lines = [
        "## Cost of a search",
        "",
        "| | seconds a query | MB of codes | MB of all that is searched | peak MB of the process |",
        "|---|--:|--:|--:|--:|",
        f"| {found['gallery']:,} codes of {found['bits']} bits, the nearest {found['k']:,} | {found['seconds']:.6f} | "
        + " | ".join(f"{found[name] / _MEGA:,.2f}" for name in ("codes_bytes", "search_bytes", "peak_bytes"))
        + " |",
    ]
    if "paper" in found:
        paper = found["paper"]
        lines.append(f"| the paper's Table IV | {paper['seconds']:.3f} | | | {paper['megabytes']:,} |")
    return [*lines, "", f"{found['definition']} {found['queries']:,} queries were timed.", ""]
