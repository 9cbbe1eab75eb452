"""Values of the report and the curation page for JSON: the overview, histograms, examples."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from sketchdata.curation.audit import Audit
from sketchdata.curation.messiness import SCORED
from sketchdata.web.items import Items

#: Limits of a histogram's number of bars, which is twice the square root of the number of items.
_LEAST_BINS, _MOST_BINS = 12, 60
#: The axis extends at most this many times the distance between the two limits beyond them; scores outside are counted
#: in the outermost bars. Scribbles have up to ten times the ink of drawings, so that a full axis would leave a few bars
#: to all other drawings.
_AXIS_REACH = 0.6
_AXIS_ROOM = 0.01
_EXAMPLES_A_PLACE = 4

#: Names of the measures of messiness within a sentence.
_MEASURED = {
    "density": "ink",
    "fragments": "number of short fragments",
    "loose": "share of ink in fragments",
    "border": "number of lines that end at its border",
    "distance": "distance from the most similar drawings",
}


def overview(audit: Audit, items: Items) -> dict[str, Any]:
    """Return the description of the data set and its classes, without the items."""
    options, subject = audit.record.options, items.subject
    tallies = []
    for fact in items.facts:
        if fact.words is not None and not fact.shares:
            counts = np.bincount(fact.index, minlength=len(fact.values)).tolist()
            rows = sorted(zip(fact.values, counts, strict=True), key=lambda row: -row[1])
            tallies.append({"title": fact.title, "rows": [row for row in rows if row[1]]})
    return {
        "name": audit.manifest.name,
        "kind": subject.kind,
        "nouns": [subject.noun, subject.nouns],
        "score": dict(zip(("name", "unit", "word"), subject.score, strict=True)),
        "low": options["low"] if subject.low else None,
        "high": options["high"],
        "zones": subject.zones,
        "words": list(audit.classes) if subject.relabels else [],
        "filters": [
            {name: getattr(fact, name) for name in ("name", "title", "values", "words", "shares")}
            for fact in items.facts
        ],
        "lead": _lead(audit, items),
        "tallies": tallies,
        "facts": _facts(audit, items),
        "classes": [_class_row(audit, items, label) for label in np.flatnonzero(np.diff(items.offsets)).tolist()],
    }


def _lead(audit: Audit, items: Items) -> str:
    options, (name, unit, _) = audit.record.options, items.subject.score
    if items.subject.low:
        return (
            f"{name} in {unit}. A drawing is normal between the percentiles {options['low']:g} and {options['high']:g} "
            f"of its class in {options['by_split']}, and noise beyond. {origin(audit)}"
        )
    measured = [_MEASURED[measure] for measure in SCORED if not np.isnan(audit.measures[measure]).all()]
    return (
        f"{name}, from 0 to 1: the mean of an edge map's ranks within its class by {', '.join(measured[:-1])} and "
        f"{measured[-1]}. An edge map is noise above the percentile {options['high']:g} of its class, if that has at "
        f"least {options['few']} edge maps, and in any class when it is empty or more than {options['most_ink']:.0%} "
        "of it is ink."
    )


def origin(audit: Audit) -> str:
    """Return a sentence on whether the drawings come from the published files."""
    sources = audit.manifest.sources
    official = sum(source.official for source in sources)
    if official == len(sources):
        return f"The drawings come from the {official:,} official files."
    if not official:
        return "None of the source files is an official one: the drawings may be generated."
    return f"{official:,} of the {len(sources):,} source files are the official ones."


def _facts(audit: Audit, items: Items) -> dict[str, str]:
    manifest, options = audit.manifest, audit.record.options
    empty = int((np.diff(items.offsets) == 0).sum())
    nouns = items.subject.nouns
    without = {f"Without {nouns}": f"{empty:,} of the {len(audit.classes):,} classes"} if empty else {}
    return {
        "Data set": manifest.name,
        nouns.capitalize(): ", ".join(f"{count:,} {split}" for split, count in manifest.splits.items()),
        **without,
        "Built with": ", ".join(f"{name} {value}" for name, value in manifest.config.items()),
        "Audit": ", ".join(f"{name} {_said(value)}" for name, value in options.items()),
        "Manifest sha256": audit.record.manifest,
        "Tool": audit.record.tool,
    }


def _said(value: Any) -> str:
    # The option `drawings` is recorded as a mapping.
    if isinstance(value, Mapping):
        return " ".join(map(str, value.values()))
    return "none" if value is None else str(value)


def _class_row(audit: Audit, items: Items, label: int) -> dict[str, Any]:
    rows = items.group(label)
    scores = items.score[rows]
    limits = [float(column[label]) for column in (audit.p_low, audit.p_median, audit.p_high)]
    low, median, high = (None if math.isnan(limit) else limit for limit in limits)
    axis = score_axis(scores, low, high)
    shares = {fact.name: _share(fact.index[rows] == 0) for fact in items.facts if fact.shares}
    return {
        "label": label,
        "word": audit.classes[label],
        "count": len(scores),
        "low": low,
        "median": median,
        "high": high,
        "noise": _share(items.noise[rows]) if high is not None or items.certain[rows].any() else None,
        **shares,
        "axis": axis,
        "bins": histogram(scores, axis, bins=min(max(_LEAST_BINS, math.isqrt(4 * len(scores))), _MOST_BINS)),
    }


def score_axis(scores: npt.NDArray[np.float64], low: float | None, high: float | None) -> list[float]:
    """Return the two ends of a histogram's axis for (M,) ascending scores; the axis includes the limits."""
    if not len(scores):
        return [0.0, 1.0]
    left, right = float(scores[0]), float(scores[-1])
    if low is not None and high is not None:
        reach = _AXIS_REACH * (high - low)
        left, right = max(left, low - reach), min(right, high + reach)
    room = _AXIS_ROOM * (right - left) or _AXIS_ROOM
    return [round(max(0.0, left - room), 6), round(right + room, 6)]


def histogram(scores: npt.NDArray[np.float64], axis: list[float], *, bins: int) -> list[int]:
    """Count scores in bars of equal width; scores outside the axis count in the outermost bars."""
    counts, _ = np.histogram(np.clip(scores, axis[0], axis[1]), bins=bins, range=(axis[0], axis[1]))
    found: list[int] = counts.tolist()
    return found


def example_positions(audit: Audit, items: Items, label: int) -> Iterator[tuple[str, int]]:
    """Yield (place, position in `items`) of a class's examples along the axis, each item once.

    Examples of drawings are in the middle of the noise at either end, so that typical noise is shown, and next to the
    limits and the median; examples of edge maps range from the best to the worst.
    """
    rows = items.group(label)
    scores = items.score[rows]
    centres = _centres(scores, audit, label)
    taken: set[int] = set()
    for place, centre in ((name, centres[name]) for name, _ in items.subject.places if name in centres):
        first = min(max(centre - _EXAMPLES_A_PLACE // 2, 0), max(len(scores) - _EXAMPLES_A_PLACE, 0))
        for position in range(first, min(first + _EXAMPLES_A_PLACE, len(scores))):
            if position not in taken:
                taken.add(position)
                yield place, rows.start + position


def _centres(scores: npt.NDArray[np.float64], audit: Audit, label: int) -> dict[str, int]:
    """Return the central position of each place's examples; limits that the class does not have are left out."""
    low, median, high = float(audit.p_low[label]), float(audit.p_median[label]), float(audit.p_high[label])
    count = len(scores)
    centres = {"best": 0, "better": count // 4, "median": count // 2, "worst": count}
    if not math.isnan(median):
        centres["median"] = int(np.searchsorted(scores, median))
    if not math.isnan(low):
        below = int(np.searchsorted(scores, low))
        centres |= {"lowest": below // 2, "low": below}
    if not math.isnan(high):
        above = int(np.searchsorted(scores, high, side="right"))
        centres |= {"high": above, "highest": (above + count) // 2}
    return centres


def _share(flags: npt.NDArray[np.bool_]) -> float | None:
    return round(float(flags.mean()), 6) if len(flags) else None
