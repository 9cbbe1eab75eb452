"""The comparison of hashing methods as tables in Markdown, what was measured beside what the paper published."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sketchdata.hashing_rows import Kind, Row
from sketchdata.published_hashing import ACCURACY, MAP, PRECISION, SPREAD, ZERO_SHOT, ZERO_SHOT_BITS

_NONE = "–"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A row and what was found of it.

    Attributes:
        row: What it is.
        values: `retrieval`, `spread`, `accuracy`, `seconds`, `parameters`, as far as they apply.
    """

    row: Row
    values: Mapping[str, Any]


def markdown(facts: Mapping[str, Any], measured: Sequence[Measured]) -> str:
    """Return all tables that have a row, with what one needs to know to read them."""
    lines = ["# Hashing methods compared", "", *_notes(facts, measured)]
    for title, table in (
        ("Deep methods (Tables II and VI of the paper)", "II"),
        ("What each part of our recipe brings", "ours"),
        ("Shallow methods (Table III)", "III"),
        ("Zero-shot hashing (Table VII)", "VII"),
    ):
        own = [each for each in measured if each.row.table == table]
        if own:
            lines += ["", f"## {title}", "", *_retrieval(own, table)]
    recognition = [each for each in measured if each.row.kind is Kind.RECOGNITION]
    if recognition:
        lines += ["", "## Recognition (Table V)", "", *_recognition(recognition, facts)]
    return "\n".join(lines) + "\n"


def _notes(facts: Mapping[str, Any], measured: Sequence[Measured]) -> Iterator[str]:
    drawings = facts["drawings"]
    yield (
        f"{facts['classes']:,} classes: {drawings['train']:,} drawings to learn from, {drawings['val']:,} of val to "
        f"choose epochs by; {drawings['query']:,} of query are looked for among {drawings['gallery']:,} of gallery, "
        "which no training saw. One seed each. The paper's figures are of its own data, 345 classes and 345,000 "
        "drawings, and are no yardstick for these."
    )
    found = [each.values["retrieval"] for each in measured if "retrieval" in each.values and not each.row.unseen]
    if found:
        yield ""
        yield f"Chance is a mean average precision of {found[0]['chance']:.4f}. {found[0]['definition']}"
    options = facts["options"]
    yield ""
    yield (
        f"Network of the paper's rows: {options['backbone']} at {options['size']} pixels, a GRU of "
        f"{options['layers']} layers, {options['hidden']} wide; sketchcode's: {options['recipe_backbone']} at "
        f"{options['recipe_size'] or options['size']} pixels. Seconds are those of training on {facts['device']}, "
        f"{facts['threads']} threads, shared branches included; torch {facts['torch']}; seed {options['seed']}."
    )


def _retrieval(measured: Sequence[Measured], table: str) -> Iterator[str]:
    """Yield a table of what was retrieved, the code lengths one after the other."""
    precision = next(each.values["retrieval"]["k"] for each in measured)
    columns: list[tuple[str, Callable[[Measured], str]]] = [
        ("method", lambda each: each.row.title),
        ("bits", lambda each: str(each.row.bits)),
        ("mAP", lambda each: _number(each.values["retrieval"]["map"]["expected"])),
        ("worst to best order of ties", _bounds),
        ("95 % over queries", _interval),
        (f"P@{precision}", lambda each: _number(each.values["retrieval"]["precision_at_k"]["expected"])),
    ]
    if table in ("II", "ours", "VII"):
        columns += [
            ("d1/d2", lambda each: _number(each.values["spread"]["ratio"], 3)),
            ("parameters", lambda each: f"{each.values['parameters']:,}"),
            ("seconds", lambda each: f"{each.values['seconds']:,.0f}"),
        ]
    if table in ("II", "ours"):
        columns.insert(6, ("top-1", lambda each: _number(each.values.get("accuracy"))))
    if table != "ours":
        columns += [("paper's mAP", _published)]
    if table == "II":
        columns += [
            ("paper's P@200", lambda each: _number(PRECISION.get(each.row.key, {}).get(each.row.bits))),
            (
                "paper's d1/d2",
                lambda each: _number((SPREAD.get(each.row.key, {}).get(each.row.bits) or (None,))[-1], 3),
            ),
        ]
    yield f"| {' | '.join(title for title, _ in columns)} |"
    yield f"|---|{'--:|' * (len(columns) - 1)}"
    for each in measured:
        yield f"| {' | '.join(cell(each) for _, cell in columns)} |"
    if table == "VII":
        first = measured[0]
        yield ""
        yield f"{first.row.unseen} classes that no training saw: chance is {first.values['retrieval']['chance']:.4f}."


def _recognition(measured: Sequence[Measured], facts: Mapping[str, Any]) -> Iterator[str]:
    yield "| network | top-1 of gallery | chance | parameters | seconds | paper's |"
    yield "|---|--:|--:|--:|--:|--:|"
    for each in measured:
        own = each.values
        yield (
            f"| {each.row.title} | {own['accuracy']:.4f} | {1 / facts['classes']:.4f} | {own['parameters']:,} | "
            f"{own['seconds']:,.0f} | {_number(ACCURACY.get(each.row.name))} |"
        )


def _published(measured: Measured) -> str:
    row = measured.row
    if row.unseen:
        return _number(ZERO_SHOT.get(row.key) if row.bits == ZERO_SHOT_BITS else None)
    return _number(MAP.get(row.key, {}).get(row.bits))


def _bounds(measured: Measured) -> str:
    own = measured.values["retrieval"]["map"]
    return f"{own['pessimistic']:.4f} – {own['optimistic']:.4f}"


def _interval(measured: Measured) -> str:
    low, high = measured.values["retrieval"]["map"]["query_interval"]
    return f"{low:.3f} – {high:.3f}"


def _number(value: float | None, digits: int = 4) -> str:
    return _NONE if value is None else f"{value:.{digits}f}"
