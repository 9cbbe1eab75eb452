"""What the pages show of classes, as plain values that go into JSON: the overview, histograms, examples."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from sketchdata.audit_store import Audit
from sketchdata.web.items import Items

#: Bars of a histogram: two for each unit of the root of the number of items, within limits.
LEAST_BINS, MOST_BINS = 12, 60
#: The axis reaches this many times the distance of the two limits beyond them, if there are scores; what lies further
#: out is counted in the outermost bars. Scribbles have up to ten times a drawing's ink, and would press all others into
#: a few bars.
_AXIS_REACH = 0.6
_AXIS_ROOM = 0.01

#: Where on a class's axis examples are taken: name and what they are.
EXAMPLE_PLACES = (
    ("lowest", "Low noise"),
    ("low", "At the lower line"),
    ("median", "At the median"),
    ("high", "At the upper line"),
    ("highest", "High noise"),
)
EXAMPLES_A_PLACE = 4


def overview(audit: Audit, items: Items) -> dict[str, Any]:
    """Return everything about the data set and its classes but the drawings."""
    options = audit.record.options
    return {
        "name": audit.manifest.name,
        "score": {"name": "Image entropy", "unit": "bits"},
        "low": options["low"],
        "high": options["high"],
        "reference": options["by_split"],
        "splits": list(items.splits),
        "countries": list(items.countries),
        "origin": origin(audit),
        "facts": facts(audit),
        "classes": [class_row(audit, items, label) for label in range(len(audit.classes))],
    }


def origin(audit: Audit) -> str:
    """Say whether the drawings come from the published files, in a sentence."""
    sources = audit.manifest.sources
    official = sum(source.official for source in sources)
    if official == len(sources):
        return f"The drawings come from the {official:,} official files."
    if not official:
        return "None of the source files is an official one: the drawings may be generated."
    return f"{official:,} of the {len(sources):,} source files are the official ones."


def facts(audit: Audit) -> dict[str, str]:
    """Return where a view's numbers come from, for its foot."""
    manifest, options = audit.manifest, audit.record.options
    return {
        "Data set": manifest.name,
        "Drawings": ", ".join(f"{count:,} {split}" for split, count in manifest.splits.items()),
        "Built with": ", ".join(f"{name} {value}" for name, value in manifest.config.items()),
        "Audit": ", ".join(f"{name} {value}" for name, value in options.items()),
        "Manifest sha256": audit.record.manifest,
        "Tool": audit.record.tool,
    }


def class_row(audit: Audit, items: Items, label: int) -> dict[str, Any]:
    """Return a class's numbers and its histograms."""
    rows = items.group(label)
    scores = items.score[rows]
    limits = [audit.p_low[label], audit.p_median[label], audit.p_high[label]]
    low, median, high = (_number(value) for value in limits)
    axis = score_axis(scores, low, high)
    return {
        "label": label,
        "word": audit.classes[label],
        "count": len(scores),
        "low": low,
        "median": median,
        "high": high,
        "noise": _share(items.noise[rows]) if low is not None else None,
        "recognized": _share(items.recognized[rows]),
        "axis": axis,
        "bins": histogram(scores, axis, bins=min(max(LEAST_BINS, math.isqrt(4 * len(scores))), MOST_BINS)),
    }


def score_axis(scores: npt.NDArray[np.float64], low: float | None, high: float | None) -> list[float]:
    """Return the two ends of a histogram's axis.

    Args:
        scores: (M,) in rising order.
        low: The lower limit, which then lies on the axis, or None.
        high: The upper one.
    """
    if not len(scores):
        return [0.0, 1.0]
    left, right = float(scores[0]), float(scores[-1])
    if low is not None and high is not None:
        reach = _AXIS_REACH * (high - low)
        left, right = max(left, low - reach), min(right, high + reach)
    room = _AXIS_ROOM * (right - left) or _AXIS_ROOM
    return [round(max(0.0, left - room), 6), round(right + room, 6)]


def histogram(scores: npt.NDArray[np.float64], axis: list[float], *, bins: int) -> list[int]:
    """Count scores in bars of equal width; those beyond the axis count in the outermost bars."""
    counts, _ = np.histogram(np.clip(scores, axis[0], axis[1]), bins=bins, range=(axis[0], axis[1]))
    found: list[int] = counts.tolist()
    return found


def example_positions(audit: Audit, items: Items, label: int) -> Iterator[tuple[str, int]]:
    """Yield (place, position among `items`) of a class's examples along the axis, no item twice.

    They are taken where they stand, not chosen by looks: at both ends' middle, so that the noise shown is the usual
    noise, and next to the lines and the median.
    """
    rows = items.group(label)
    scores = items.score[rows]
    taken: set[int] = set()
    for place, centre in _centres(scores, audit, label).items():
        first = min(max(centre - EXAMPLES_A_PLACE // 2, 0), max(len(scores) - EXAMPLES_A_PLACE, 0))
        for position in range(first, min(first + EXAMPLES_A_PLACE, len(scores))):
            if position not in taken:
                taken.add(position)
                yield place, rows.start + position


def _centres(scores: npt.NDArray[np.float64], audit: Audit, label: int) -> dict[str, int]:
    """Return the position on which each place's examples centre; only the median for a class without limits."""
    low, median, high = float(audit.p_low[label]), float(audit.p_median[label]), float(audit.p_high[label])
    if math.isnan(low):
        return {"median": len(scores) // 2}
    below, middle = int(np.searchsorted(scores, low)), int(np.searchsorted(scores, median))
    above = int(np.searchsorted(scores, high, side="right"))
    return {
        "lowest": below // 2,
        "low": below,
        "median": middle,
        "high": above,
        "highest": (above + len(scores)) // 2,
    }


def _share(flags: npt.NDArray[np.bool_]) -> float | None:
    return round(float(flags.mean()), 6) if len(flags) else None


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
