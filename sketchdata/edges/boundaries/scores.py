"""The scores of a benchmark from its counts: ODS, OIS and AP.

Source: `edgesEvalDir` of Dollár's toolbox, which gives the numbers of BSDS500's `boundaryBench`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sketchdata.edges.boundaries.matching import Counts

_Values = npt.NDArray[np.float64]
_EPS = np.finfo(np.float64).eps
#: Steps from one threshold to the next, ends included, in search of the best.
_STEPS = 100


@dataclass(frozen=True, kw_only=True)
class Scores:
    """How well a detector does over many photos; all are shares in 0..1.

    Attributes:
        ods: F = 2PR / (P + R) at the one threshold that is best for all photos (optimal dataset scale).
        ods_precision: P at that threshold: found pixels that somebody drew.
        ods_recall: R at that threshold: drawn pixels that were found.
        ods_threshold: That threshold.
        ois: F when each photo has the threshold that is best for it (optimal image scale).
        ois_precision: P with these.
        ois_recall: R with these.
        ap: The area under the curve of precision over recall, where it has points; None where there is no curve, but
            one threshold.
    """

    ods: float
    ods_precision: float
    ods_recall: float
    ods_threshold: float
    ois: float
    ois_precision: float
    ois_recall: float
    ap: float | None


def summarise(counts: Sequence[Counts]) -> Scores:
    """Return the scores over photos whose counts were taken at the same thresholds.

    Raises:
        ValueError: There are no counts, or their thresholds differ.
    """
    if not counts:
        raise ValueError("expected the counts of at least one photo")
    thresholds = counts[0].thresholds
    if any(not np.array_equal(each.thresholds, thresholds) for each in counts):
        raise ValueError("expected counts at the same thresholds for every photo")
    each = np.array([[one.found, one.found_matched, one.drawn, one.drawn_matched] for one in counts])
    precision, recall = _rates(each.sum(axis=0))
    best_threshold, ods_precision, ods_recall = _best(thresholds, precision, recall)
    ois_precision, ois_recall = _rates(_each_at_its_best(each))
    return Scores(
        ods=float(f_measure(ods_precision, ods_recall)),
        ods_precision=ods_precision,
        ods_recall=ods_recall,
        ods_threshold=best_threshold,
        ois=float(f_measure(ois_precision, ois_recall)),
        ois_precision=float(ois_precision),
        ois_recall=float(ois_recall),
        ap=_average_precision(precision, recall) if len(thresholds) > 1 else None,
    )


def f_measure(precision: npt.ArrayLike, recall: npt.ArrayLike) -> _Values:
    """Return 2PR / (P + R), 0 where both are; shapes broadcast."""
    p, r = np.asarray(precision, np.float64), np.asarray(recall, np.float64)
    f: _Values = 2 * p * r / np.maximum(_EPS, p + r)
    return f


def _rates(numbers: npt.NDArray[np.int64]) -> tuple[_Values, _Values]:
    """Return precision and recall of (4, …) counts, 0 where there is nothing to count."""
    found, found_matched, drawn, drawn_matched = numbers
    return found_matched / np.maximum(_EPS, found), drawn_matched / np.maximum(_EPS, drawn)


def _best(thresholds: _Values, precision: _Values, recall: _Values) -> tuple[float, float, float]:
    """Return the threshold of the highest F, and P and R there, each interpolated linearly between thresholds."""
    steps = np.linspace(0, 1, _STEPS)
    lines = (
        np.outer(1 - steps, v[:-1]) + np.outer(steps, v[1:]) if len(v) > 1 else v
        for v in (thresholds, precision, recall)
    )
    t, p, r = (line.T.ravel() for line in lines)
    at = int(np.argmax(f_measure(p, r)))
    return float(t[at]), float(p[at]), float(r[at])


def _each_at_its_best(each: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return (4,) sums of (N, 4, K) counts, of each photo at its own best threshold, not interpolated."""
    best = f_measure(*_rates(each.transpose(1, 0, 2))).argmax(axis=1)
    total: npt.NDArray[np.int64] = each[np.arange(len(each)), :, best].sum(axis=0)
    return total


def _average_precision(precision: _Values, recall: _Values) -> float:
    """Return the mean of the interpolated precision at recalls 0, 0.01 to 1; beyond the ends of the curve it is 0.

    The official code divides the sum of 101 values by 100, and says so; so do we, to be comparable.
    """
    rising, first = np.unique(recall, return_index=True)
    if len(rising) < 2:
        return 0.0
    at = np.linspace(0, 1, 101)
    return float(np.interp(at, rising, precision[first], left=0, right=0).sum() / 100)


# What others published of detectors on the 200 test photos of BSDS500, to be put beside what is measured here.


@dataclass(frozen=True, kw_only=True)
class Published:
    """Figures of a paper; None where it gives none."""

    name: str
    ods: float
    ois: float | None = None
    ap: float | None = None
    source: str


#: Of the people who drew, each against the others.
HUMAN = Published(name="people", ods=0.803, ois=0.803, source="Arbeláez et al., PAMI 2011, as in HED's table 4")
#: By detector, and for those with several files of weights by the file's name without suffix.
PUBLISHED = {
    "canny": Published(name="Canny", ods=0.60, ois=0.63, ap=0.58, source="Arbeláez et al., PAMI 2011"),
    "structured": Published(
        name="Structured Edges", ods=0.746, ois=0.767, ap=0.803, source="Dollár and Zitnick, PAMI 2015, SE+MS+SH"
    ),
    "TIN1": Published(name="TIN1", ods=0.749, source="Wibisono and Hang, ICIP 2020"),
    "TIN2": Published(name="TIN2, three scales", ods=0.772, source="Wibisono and Hang, ICIP 2020"),
    "table5_pidinet-tiny": Published(name="PiDiNet-tiny", ods=0.789, ois=0.806, source="Su et al., ICCV 2021"),
    "table5_pidinet-tiny-l": Published(name="PiDiNet-tiny-l", ods=0.787, ois=0.804, source="Su et al., ICCV 2021"),
}
#: What the package has no detector for.
OTHERS = (Published(name="HED", ods=0.788, ois=0.808, ap=0.840, source="Xie and Tu, IJCV 2017"),)


# The result of a comparison of detectors: a record, and the same as a table in Markdown.

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
