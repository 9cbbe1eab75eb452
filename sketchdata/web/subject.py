"""What the pages are about, and how they speak of it: drawings by image entropy, or edge maps by messiness."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Subject:
    """The words of the pages for one sort of items, and which parts of an axis they show.

    Attributes:
        kind: The pictures' kind, a renderer of `pictures.js`.
        noun: One item.
        nouns: Several.
        score: Name and unit of the score, as headings and axes have them, and its word within a sentence.
        low: Whether there is a lower limit; the upper one is always there.
        zones: (name, title) of the parts of a class that one decides in, see `items.js`.
        places: (name, title) of the places on the axis from which the report shows examples.
        caption: Beneath the report's histograms.
    """

    kind: str
    noun: str
    nouns: str
    score: tuple[str, str, str]
    low: bool
    zones: tuple[tuple[str, str], ...]
    places: tuple[tuple[str, str], ...]
    caption: str


DRAWINGS = Subject(
    kind="strokes",
    noun="drawing",
    nouns="drawings",
    score=("Image entropy", "bits", "entropy"),
    low=True,
    zones=(
        ("low", "Low noise"),
        ("border-low", "Lower border"),
        ("normal", "Normal"),
        ("border-high", "Upper border"),
        ("high", "High noise"),
        ("all", "All"),
        ("decided", "Decided"),
    ),
    places=(
        ("lowest", "Low noise"),
        ("low", "At the lower line"),
        ("median", "At the median"),
        ("high", "At the upper line"),
        ("highest", "High noise"),
    ),
    caption="How many drawings have which entropy; noise lies beyond the two lines. Below, drawings from the left end "
    "of the axis to the right.",
)

EDGE_MAPS = Subject(
    kind="edgemap",
    noun="edge map",
    nouns="edge maps",
    score=("Messiness", "mean rank within the class", "messiness"),
    low=False,
    zones=(
        ("normal", "Normal"),
        ("border-high", "Border"),
        ("high", "Noise"),
        ("all", "All"),
        ("decided", "Decided"),
    ),
    places=(
        ("best", "Best"),
        ("better", "Better than three quarters"),
        ("median", "At the median"),
        ("high", "At the line"),
        ("worst", "Worst"),
    ),
    caption="How many edge maps have which messiness; noise lies beyond the line. Below, edge maps from the left end "
    "of the axis to the right.",
)
