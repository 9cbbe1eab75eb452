"""All measures of one retrieval, from queries and a gallery, exact and with ties.

found = score_codes(queries, gallery)
print(found.definition)
print(found.values()["map"]["expected"])
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from sketchdata.errors import ConfigError
from sketchdata.formats.codes import Codes
from sketchdata.retrieval import metrics
from sketchdata.retrieval.hamming import count_distances, usable
from sketchdata.retrieval.metrics import (
    Bootstrap,
    Bound,
    Counts,
    Interval,
    Labels,
    TieGroups,
    Ties,
    Values,
    groups_of_scores,
)

#: Points of a curve per decade of ranks.
_POINTS = 10


@dataclass(frozen=True, kw_only=True)
class CurvePoints:
    """The points of a precision–recall curve.

    Attributes:
        name: `distance` or `rank`.
        at: (K,) int64 distances or ranks, ascending.
        sums: (3, K) float64, sums over queries at each point: recall over the queries with relevant items; precision
            over those that have any item up to the point; and their number. They can be added over parts of the
            queries.
    """

    name: str
    at: Counts
    sums: Callable[[TieGroups], Values]

    def curve(self, sums: Values) -> dict[str, list[float]]:
        """Divide the sums over all queries (3, K); points up to which no query has any item are omitted."""
        known = sums[2] > 0
        return {
            self.name: self.at[known].tolist(),
            "recall": (sums[0, known] / sums[2].max()).tolist(),
            "precision": (sums[1, known] / sums[2, known]).tolist(),
        }


def at_distances(bits: int) -> CurvePoints:
    """Return a point for each distance 0..D of codes of D bits, whose tie groups are distances."""

    def sums(groups: TieGroups) -> Values:
        known = groups.all_relevant > 0
        items = (groups.items_before + groups.items)[known]
        relevant = (groups.relevant_before + groups.relevant)[known]
        recall = relevant / groups.all_relevant[known, None]
        return np.stack([each.sum(axis=0) for each in (recall, relevant / np.maximum(items, 1), items > 0)])

    return CurvePoints(name="distance", at=np.arange(bits + 1), sums=sums)


def at_ranks(items: int) -> CurvePoints:
    """Return points at ranks 1..N, ten per decade, with expected values over random orders of ties."""
    steps = np.arange(0, _POINTS * np.log10(items))
    ranks = np.unique(np.append(np.rint(10 ** (steps / _POINTS)), items)).astype(np.int64)

    def sums(groups: TieGroups) -> Values:
        total = np.zeros((3, len(ranks)))
        items, relevant = np.cumsum(groups.items, axis=1), np.cumsum(groups.relevant, axis=1)
        for row in np.flatnonzero(groups.all_relevant):
            # In a group, the expected number of relevant items is linear in the rank.
            found = np.interp(ranks, np.append(0, items[row]), np.append(0, relevant[row]))
            total += np.stack([found / groups.all_relevant[row], found / ranks, np.ones(len(ranks))])
        return total

    return CurvePoints(name="rank", at=ranks, sums=sums)


#: A function like `hamming.count_distances`.
CountDistances = Callable[[Codes, Codes], TieGroups]
#: Returns the scores of a slice of queries: (Q', N) float, where a higher score is nearer.
ScoreQueries = Callable[[slice], npt.NDArray[np.floating[Any]]]
#: The keys of a measure in the values, such as ("map", "expected").
MeasurePath = tuple[str, ...]

#: Number of scores per block: 128 MB of float32.
_SCORES = 1 << 25


@dataclass(frozen=True, kw_only=True, eq=False)
class Retrieval:
    """The measures of one retrieval.

    Attributes:
        definition: A paragraph that defines the measures.
        bits: D for codes; None for other scores.
        gallery: N.
        k: Cutoff of the measures at k.
        classes: The class table.
        labels: (Q,) the queries' classes.
        chance: (Q,) float64, R / N; like all measures, NaN for queries without relevant items.
        measures: (Q,) float64 per measure, by its keys, such as `("map", "expected")`.
        intervals: Confidence intervals of the mean of `("map", "expected")`, resampling queries and resampling classes.
        curve: Precision and recall at each distance or rank.
        seconds: Wall-clock time.
    """

    definition: str
    bits: int | None
    gallery: int
    k: int
    classes: tuple[str, ...]
    labels: Labels
    chance: Values
    measures: Mapping[MeasurePath, Values]
    intervals: Mapping[Literal["query_interval", "class_interval"], Interval]
    curve: Mapping[str, list[float]]
    seconds: float

    @property
    def excluded(self) -> int:
        """The number of queries without relevant items, which are excluded from all means."""
        return int(np.isnan(self.chance).sum())

    def mean(self, *path: str) -> float:
        """Return the mean of a measure over the queries with relevant items: `mean("map", "expected")`."""
        return float(np.nanmean(self.measures[path]))

    def values(self) -> dict[str, Any]:
        """Return all measures as plain data for JSON, with the mAP of each class in `classes`."""
        found: dict[str, Any] = {
            "definition": self.definition,
            "bits": self.bits,
            "queries": len(self.labels),
            "gallery": self.gallery,
            "excluded": self.excluded,
            "chance": float(np.nanmean(self.chance)),
            "k": self.k,
        }
        for path in self.measures:
            place = found
            for step in path[:-1]:
                place = place.setdefault(step, {})
            place[path[-1]] = self.mean(*path)
        found["map"] |= {name: list(interval) for name, interval in self.intervals.items()}
        known = ~np.isnan(self.chance)
        labels = self.labels[known]
        queries = np.bincount(labels, minlength=len(self.classes))
        sums = np.bincount(labels, self.measures["map", "expected"][known], minlength=len(self.classes))
        classes = {
            self.classes[label]: {"queries": int(queries[label]), "map": float(sums[label] / queries[label])}
            for label in np.flatnonzero(queries)
        }
        return found | {"curve": dict(self.curve), "classes": classes, "seconds": self.seconds}


def score_codes(  # noqa: PLR0913 - each is an option of the command that evaluates
    queries: Codes,
    gallery: Codes,
    *,
    k: int = 200,
    radius: int = 2,
    precision_at: Sequence[int] = (),
    resamples: int = 1000,
    seed: int = 0,
    workers: int | None = None,
    count: CountDistances | None = None,
) -> Retrieval:
    """Rank a gallery of codes for each query by Hamming distance, and measure.

    Args:
        queries: Q codes of D bits.
        gallery: N codes of D bits, with the same class table. An item of the query's class is relevant.
        k: Cutoff of the measures at k.
        radius: Hamming radius of precision and recall.
        precision_at: Other k, for which only precision is measured.
        resamples: Number of bootstrap resamples.
        seed: Seed of the bootstrap.
        workers: Number of counting threads; None or 0 for one per usable processor.
        count: Another function that counts distances, such as `hamming.count_distances_on_device` for a GPU.

    Raises:
        ConfigError: Lengths or class tables differ, codes are missing, no query has relevant items, or an option is
            outside its range.
    """
    evaluation = _RetrievalEvaluation(
        ranking=f"by the Hamming distance of codes of {queries.bits} bits",
        bits=queries.bits,
        gallery=len(gallery),
        k=k,
        radius=radius,
        precision_at=tuple(precision_at),
        classes=queries.classes,
        labels=queries.labels,
        bootstrap=Bootstrap(resamples=resamples, seed=seed),
    )
    groups = (count or partial(count_distances, workers=workers))(queries, gallery)
    return evaluation.measure(groups.blocks(), at_distances(queries.bits))


def score_values(  # noqa: PLR0913 - each is an option of the command that evaluates
    scores: ScoreQueries,
    query_labels: Labels,
    gallery_labels: Labels,
    *,
    classes: tuple[str, ...],
    k: int = 200,
    precision_at: Sequence[int] = (),
    resamples: int = 1000,
    seed: int = 0,
    workers: int | None = None,
) -> Retrieval:
    """Rank a gallery for each query by real-valued scores, and measure.

    Args:
        scores: Function that returns the scores of a slice of queries, such as `inner_products(queries, gallery)`. It
            is called for consecutive slices of at most 2^25 scores (or one query).
        query_labels: (Q,) classes of the queries.
        gallery_labels: (N,) classes of the items. An item of the query's class is relevant.
        classes: The class table.
        k: Cutoff of the measures at k.
        precision_at: Other k, for which only precision is measured.
        resamples: Number of bootstrap resamples.
        seed: Seed of the bootstrap.
        workers: Number of sorting threads; None or 0 for one per usable processor.

    Raises:
        ConfigError: Scores are missing or NaN, no query has relevant items, or an option is outside its range.
    """
    evaluation = _RetrievalEvaluation(
        ranking="by scores that are real numbers",
        gallery=len(gallery_labels),
        k=k,
        precision_at=tuple(precision_at),
        classes=classes,
        labels=query_labels,
        bootstrap=Bootstrap(resamples=resamples, seed=seed),
    )
    threads, rows = usable(workers), max(1, _SCORES // len(gallery_labels))

    def blocks() -> Iterator[TieGroups]:
        for start in range(0, len(query_labels), rows):
            chosen = slice(start, min(start + rows, len(query_labels)))
            yield from groups_of_scores(scores(chosen), query_labels[chosen], gallery_labels, threads=threads).blocks()

    return evaluation.measure(blocks(), at_ranks(len(gallery_labels)))


def inner_products(queries: npt.NDArray[np.float32], gallery: npt.NDArray[np.float32]) -> ScoreQueries:
    """Score by inner products of features (Q, F) and (N, F); for unit vectors, these are cosines."""
    return lambda rows: queries[rows] @ gallery.T


def nearness(queries: npt.NDArray[np.float32], gallery: npt.NDArray[np.float32]) -> ScoreQueries:
    """Score by the Euclidean distance of features (Q, F) and (N, F), the smallest first."""
    # |q − g|² = |q|² − 2 q·g + |g|², and |q|² is the same for all items.
    half = np.einsum("nf,nf->n", gallery, gallery) / 2

    def scores(rows: slice) -> npt.NDArray[np.floating[Any]]:
        found = queries[rows] @ gallery.T
        found -= half
        return found

    return scores


@dataclass(frozen=True, kw_only=True, eq=False)
class _RetrievalEvaluation:
    """The parts of a retrieval, as in `Retrieval`; `ranking` describes the order of the items."""

    ranking: str
    gallery: int
    k: int
    classes: tuple[str, ...]
    labels: Labels
    bootstrap: Bootstrap
    bits: int | None = None
    radius: int | None = None
    precision_at: tuple[int, ...] = ()
    started: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        if not len(self.labels) or not self.gallery:
            raise ConfigError(
                f"a retrieval needs queries and a gallery, not {len(self.labels):,} queries and {self.gallery:,} items"
            )
        if self.k < 1 or (self.radius is not None and self.radius < 0):
            raise ConfigError(f"k is 1 or more and a radius 0 or more, not {self.k} and {self.radius}")

    def measure(self, blocks: Iterable[TieGroups], points: CurvePoints) -> Retrieval:
        measured, sums = [], np.zeros((3, len(points.at)))
        for groups in blocks:
            measured.append(_measure(groups, self.k, self.radius, self.precision_at))
            sums += points.sums(groups)
        measures = {path: np.concatenate([each[path] for each in measured]) for path in measured[0]}
        chance = measures.pop(("chance",))
        known = ~np.isnan(chance)
        if not known.any():
            raise ConfigError("no query has an item of its class in the gallery: both must come from one data set")
        values = measures["map", "expected"][known]
        return Retrieval(
            definition=self._definition(int(known.sum())),
            bits=self.bits,
            gallery=self.gallery,
            k=self.k,
            classes=self.classes,
            labels=self.labels,
            chance=chance,
            measures=measures,
            intervals={
                "query_interval": self.bootstrap.of_queries(values),
                "class_interval": self.bootstrap.of_classes(values, self.labels[known]),
            },
            curve=points.curve(sums),
            seconds=time.perf_counter() - self.started,
        )

    def _definition(self, known: int) -> str:
        k, bootstrap = self.k, self.bootstrap
        ball = f"Within radius {self.radius}, a query with nothing inside has precision 0. "
        return (
            f"Each of {len(self.labels):,} queries ranks the whole gallery of {self.gallery:,} items {self.ranking}; "
            f"relevant are the items of the query's class. All figures are means over the {known:,} queries that have "
            f"relevant items; {len(self.labels) - known:,} have none and are left out. Expected is the mean over all "
            "orders of tied items, each as probable as the others (McSherry and Najork 2008); pessimistic and "
            "optimistic are the lowest and the highest value over all those orders. mAP is the mean of AP over the "
            "whole ranking. Its threshold variant takes the precision at the end of each group of tied items, as "
            "scikit-learn does; its interpolated variants raise each precision to the highest one at the same or a "
            f"higher recall, as VOC 2010 does. At k = {k:,}, precision is divided by {k:,}, recall by the number R of "
            f"relevant items, and AP by min(R, {k:,}) (strict; interpolated as well, as SAKE and ZSE-SBIR do), by the "
            f"relevant items among the first {k:,} (lenient) or by R (classic). P@min({k:,}, R) is the precision at "
            f"that rank, as in ZSE-SBIR. {'' if self.radius is None else ball}A point of the curve has the mean "
            "recall, and the mean precision of the queries that have any item by then. "
            f"Intervals hold {bootstrap.level:.0%} of "
            f"{bootstrap.resamples:,} bootstrap means (seed {bootstrap.seed}), over other queries and other classes."
        )


def _measure(
    groups: TieGroups, k: int, radius: int | None, precision_at: Sequence[int] = ()
) -> dict[MeasurePath, Values]:
    found: dict[MeasurePath, Values] = {("chance",): metrics.chance(groups)}
    for ties in get_args(Ties):
        found["map", ties] = metrics.average_precision(groups, ties)
    found["map", "threshold"] = metrics.average_precision(groups, "threshold")
    nearest = groups.head(k)
    for bound in get_args(Bound):
        found["map", f"interpolated_{bound}"] = metrics.interpolated_average_precision(groups, bound)
        found["map_at_k", "lenient", bound] = metrics.average_precision_at(nearest, k, bound, "lenient")
        found["map_at_k", "interpolated", bound] = metrics.interpolated_average_precision(nearest, bound, k)
    for ties in get_args(Ties):
        found["map_at_k", "strict", ties] = metrics.average_precision_at(nearest, k, ties, "strict")
        found["map_at_k", "classic", ties] = metrics.average_precision_at(nearest, k, ties, "classic")
        found["precision_at_k", ties] = metrics.precision_at(nearest, k, ties)
        found["precision_at_min_k_r", ties] = metrics.precision_at_min(nearest, k, ties)
        found["recall_at_k", ties] = metrics.recall_at(nearest, k, ties)
        found["hit_at_k", ties] = metrics.hit_at(nearest, k, ties)
    for depth in precision_at:
        nearest = groups.head(depth)
        for ties in get_args(Ties):
            found["precision_at", str(depth), ties] = metrics.precision_at(nearest, depth, ties)
            found["precision_at_min_r", str(depth), ties] = metrics.precision_at_min(nearest, depth, ties)
    if radius is not None:
        found |= {("radius", str(radius), name): values for name, values in metrics.ball(groups, radius).items()}
    return found
