"""The result of a comparison of detectors: a record, and the same as a table in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sketchdata.boundaries.published import Published
from sketchdata.boundaries.scores import Scores

TITLES = ("detector", "ODS", "OIS", "AP", "photos/s", "parameters", "published")
_NONE = "–"


@dataclass(frozen=True, kw_only=True)
class Line:
    """What was found of one detector.

    Attributes:
        name: The detector, with its file of weights where it has one.
        scores: None where it was not measured.
        rate: Photos a second of one core, from pixels to thin edges.
        parameters: Numbers that were learned; 0 for a detector that learns nothing, None where they are not known.
        scales: At which a network saw the photos.
        weights_sha256: Of its file of weights.
        needs: What it lacks to be measured.
        published: What its authors, or others, report.
    """

    name: str
    scores: Scores | None = None
    rate: float | None = None
    parameters: int | None = None
    scales: tuple[float, ...] = (1.0,)
    weights_sha256: str | None = None
    needs: str = ""
    published: Published | None = None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All lines, and all that one needs to know to compare them with those of others."""

    data: str
    split: str
    photos: int
    drawings: int
    thresholds: int
    tolerance: float
    tool: str
    machine: str
    versions: Mapping[str, str]
    lines: tuple[Line, ...]


def cells(line: Line) -> list[str]:
    """Return a line as text, a cell for each of TITLES."""
    name = f"{line.name} ({line.needs})" if line.needs else line.name
    return [
        name if line.scales == (1.0,) else f"{name}, scales {', '.join(f'{scale:g}' for scale in line.scales)}",
        *([_NONE] * 3 if line.scores is None else map(_share, (line.scores.ods, line.scores.ois, line.scores.ap))),
        _NONE if line.rate is None else f"{line.rate:,.3g}" if line.rate < 100 else f"{line.rate:,.0f}",
        _NONE if line.parameters is None else f"{line.parameters:,}",
        _share(None if line.published is None else line.published.ods),
    ]


def _share(value: float | None) -> str:
    return _NONE if value is None else f"{value:.3f}"


def markdown(comparison: Comparison) -> str:
    """Return the comparison as a table in Markdown, with what it was measured on below."""
    return "\n".join([*_table(comparison), "", *_notes(comparison), ""])


def _table(comparison: Comparison) -> Iterator[str]:
    yield _row(TITLES)
    yield _row(["---", *["--:"] * (len(TITLES) - 1)])
    yield from (_row(cells(line)) for line in comparison.lines)


def _row(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _notes(comparison: Comparison) -> Iterator[str]:
    versions = ", ".join(f"{name} {version}" for name, version in comparison.versions.items())
    yield (
        f"{comparison.data}, {comparison.photos:,} photos of {comparison.split}, {comparison.drawings:,} drawings; "
        f"{comparison.thresholds} thresholds; pixels match within {comparison.tolerance:g} of the diagonal."
    )
    yield f"Photos/s are of one core of {comparison.machine}, from pixels to thin edges. {comparison.tool}, {versions}."
    yield "Published ODS:"
    yield ""
    for line in comparison.lines:
        if line.published is not None:
            yield f"- {line.published.name}: {line.published.source}"
