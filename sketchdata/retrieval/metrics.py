"""Exact measures of rankings with ties.

Every function takes `TieGroups` of Q queries and returns (Q,) float64, NaN for queries without relevant items: these
are excluded from means, and counted. With ties, a measure has no single value: it has an expected value over uniformly
random orders of tied items, and a minimum and a maximum over all orders (`pessimistic` and `optimistic`).

Symbols: group d has n_d items, r_d of them relevant; N_d items, R_d of them relevant, are nearer; in total there are N
items, R of them relevant; H(m) = 1 + 1/2 + … + 1/m.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from sketchdata.drawings.raster import over_slices
from sketchdata.errors import ConfigError

# Binary codes of D bits have only D + 1 distances, so hundreds of thousands of items are tied. All measures of a
# ranking # are functions of the counts of tied items.

Counts = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]
Labels = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class TieGroups:
    """The rankings of Q queries, as groups of equally near items, the nearest group first.

    A group may be empty, so rows with fewer groups are padded with zeros.

    Attributes:
        items: (Q, G) int64, n_d.
        relevant: (Q, G) int64, r_d, 0..n_d.

    Raises:
        ConfigError: The shapes of the arrays do not match.
    """

    items: Counts
    relevant: Counts

    def __post_init__(self) -> None:
        if self.items.ndim != 2 or self.items.shape != self.relevant.shape:
            raise ConfigError(
                f"items and relevant items of Q queries in G groups are two arrays (Q, G), not {self.items.shape} "
                f"and {self.relevant.shape}"
            )
        if (self.relevant < 0).any() or (self.relevant > self.items).any():
            raise ConfigError("a group of tied items has more relevant items than items, or a negative number of them")

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def items_before(self) -> Counts:
        """N_d: (Q, G) int64."""
        return np.cumsum(self.items, axis=1) - self.items

    @cached_property
    def relevant_before(self) -> Counts:
        """R_d: (Q, G) int64."""
        return np.cumsum(self.relevant, axis=1) - self.relevant

    @cached_property
    def all_items(self) -> Counts:
        """N: (Q,) int64."""
        return np.asarray(self.items.sum(axis=1))

    @cached_property
    def all_relevant(self) -> Counts:
        """R: (Q,) int64."""
        return np.asarray(self.relevant.sum(axis=1))

    def head(self, k: int) -> TieGroups:
        """Return the rankings with all groups beyond rank k merged, which does not change measures at k."""
        places = int((self.items_before.min(axis=0, initial=k) < k).sum())
        if places + 1 >= self.items.shape[1]:
            return self
        items, relevant = (
            np.column_stack([each[:, :places], each[:, places:].sum(axis=1)]) for each in (self.items, self.relevant)
        )
        return TieGroups(items=items, relevant=relevant)

    def blocks(self, cells: int = 1 << 18) -> Iterator[TieGroups]:
        """Yield all queries in order, in blocks of at most `cells` groups, to limit the memory of measures."""
        rows = max(1, cells // max(1, self.items.shape[1]))
        for start in range(0, len(self), rows):
            chosen = slice(start, start + rows)
            yield TieGroups(items=self.items[chosen], relevant=self.relevant[chosen])


def groups_of_scores(
    scores: npt.NDArray[np.floating[Any]], query_labels: Labels, gallery_labels: Labels, *, threads: int | None = None
) -> TieGroups:
    """Group the items of some queries by equal scores, the highest score first.

    Only the scores of relevant items are distinguished: all items between two of them are one group without relevant
    items, since their order does not affect measures. So two sorts are enough, without an argsort.

    Args:
        scores: (Q, N) similarity of each item to each query; more is nearer.
        query_labels: (Q,) classes of the queries.
        gallery_labels: (N,) classes of the items; an item of the query's class is relevant.
        threads: As for `raster`.

    Raises:
        ConfigError: A score is NaN, or the shapes of the arrays do not match.
    """
    if scores.shape != (len(query_labels), len(gallery_labels)):
        raise ConfigError(f"scores are {(len(query_labels), len(gallery_labels))}, by the labels, not {scores.shape}")
    if np.isnan(scores).any():
        raise ConfigError("some scores are not numbers (nan), so nothing can be ranked by them")
    order = np.argsort(gallery_labels, kind="stable")
    classes = gallery_labels[order]
    starts = np.searchsorted(classes, query_labels, side="left")
    stops = np.searchsorted(classes, query_labels, side="right")
    groups = int((stops - starts).max(initial=0))
    items, relevant = np.zeros((2, len(scores), 2 * groups + 1), np.int64)

    def group(first: int, last: int) -> None:
        for row in range(first, last):
            _group_row(scores[row], order[starts[row] : stops[row]], items[row], relevant[row])

    over_slices(group, len(scores), rows=16, threads=threads)
    return TieGroups(items=items, relevant=relevant)


def _group_row(scores: npt.NDArray[np.floating[Any]], own: Counts, items: Counts, relevant: Counts) -> None:
    """Write one query's groups: those with relevant items at odd positions, the items between them at even ones."""
    values, counts = np.unique(scores[own], return_counts=True)
    values, counts = values[::-1], counts[::-1]
    rising = np.sort(scores)
    ahead = len(scores) - np.searchsorted(rising, values, side="right")
    through = len(scores) - np.searchsorted(rising, values, side="left")
    places = slice(1, 2 * len(values), 2)
    items[places], relevant[places] = through - ahead, counts
    items[0 : 2 * len(values) + 1 : 2] = np.append(ahead, len(scores)) - np.append(0, through)


#: How tied items are ordered: at random, relevant ones first, relevant ones last.
Ties = Literal["expected", "optimistic", "pessimistic"]
Bound = Literal["optimistic", "pessimistic"]
#: The divisor of AP@k: min(R, k); the number of relevant items among the first k; R.
Divisor = Literal["strict", "lenient", "classic"]

#: H(m) is stored as an integer multiple of 2^-58, whose differences are exact; those of float64 lose half of the
#: digits.
_HARMONIC_BITS = 58


def average_precision(groups: TieGroups, ties: Ties | Literal["threshold"] = "expected") -> Values:
    """Compute AP over the whole ranking: the mean over the relevant items of the precision at their ranks.

    `expected` is that of McSherry and Najork, "Computing information retrieval performance measures efficiently in the
    presence of tied scores", ECIR 2008. `threshold` uses the precision at the end of each group for all of its relevant
    items, as scikit-learn's `average_precision_score` does.
    """
    if ties == "threshold":
        ends = _ratio(groups.relevant_before + groups.relevant, groups.items_before + groups.items)
        return _share((groups.relevant * ends).sum(axis=1), groups.all_relevant, groups)
    return _share(_summed_precisions(groups, ties), groups.all_relevant, groups)


def interpolated_average_precision(groups: TieGroups, ties: Bound = "pessimistic", k: int | None = None) -> Values:
    """Compute AP with each precision replaced by the maximum at the same or a higher recall, as in VOC since 2010.

    With k, only the first k items count, and the sum is divided by min(R, k): the mAP@k of SAKE (Liu et al., ICCV 2019)
    and of ZSE-SBIR (Lin et al., CVPR 2023). Their papers state no formula; their code does: `eval_AP_inner` and `VOCap`
    in src/test_cse_resnet_tuberlin_zeroshot.py of https://github.com/qliu24/SAKE, `voc_eval` in utils/ap.py of
    https://github.com/buptLinfy/ZSE-SBIR.

    The expected value has no closed form, since a maximum over ranks is not a sum. With `threshold`, the value equals
    that with relevant items last, since the last relevant item of a group is then at the group's end.

    Raises:
        ConfigError: `k` is below 1.
    """
    relevant, ranks = groups.relevant, groups.items_before + groups.relevant
    if ties == "pessimistic":
        ranks = groups.items_before + groups.items
    if k is not None:
        _check(k)
        inside = np.clip(k - groups.items_before, 0, groups.items)
        if ties == "pessimistic":
            relevant = np.maximum(inside - (groups.items - groups.relevant), 0)
            ranks = groups.items_before + inside
        else:
            relevant = np.minimum(groups.relevant, inside)
            ranks = groups.items_before + relevant
    # In a group, precision increases with each relevant item, so the last one has the maximum.
    last = np.where(relevant > 0, _ratio(groups.relevant_before + relevant, ranks), 0)
    envelope = np.maximum.accumulate(last[:, ::-1], axis=1)[:, ::-1]
    most = groups.all_relevant if k is None else np.minimum(groups.all_relevant, k)
    return _share((relevant * envelope).sum(axis=1), most, groups)


def average_precision_at(groups: TieGroups, k: int, ties: Ties = "expected", divisor: Divisor = "strict") -> Values:
    """Compute AP@k: the sum of the precisions at the ranks of the relevant items among the first k, over a divisor.

    Args:
        groups: The rankings.
        k: 1 or more.
        ties: How tied items are ordered.
        divisor: `strict` divides by min(R, k), so that the maximum is 1, and at most P@k if R ≥ k. `classic` divides by
            R. `lenient` divides by the number of relevant items among the first k (0 without any): a single relevant
            item at rank 1 gives 1. Its expected value has no closed form.

    Raises:
        ConfigError: `k` is below 1, or `ties` is `expected` with a lenient divisor.
    """
    _check(k)
    if divisor == "lenient":
        if ties == "expected":
            raise ConfigError(
                "AP@k over the relevant items among the first k has bounds, but no expected value in closed form"
            )
        return _share(_lenient(groups, k, ties), np.ones_like(groups.all_relevant), groups)
    most = groups.all_relevant if divisor == "classic" else np.minimum(groups.all_relevant, k)
    return _share(_summed_precisions(groups, ties, k), most, groups)


def precision_at(groups: TieGroups, k: int, ties: Ties = "expected") -> Values:
    """Compute P@k: the number of relevant items among the first k, over k, even if there are fewer than k items.

    Raises:
        ConfigError: `k` is below 1.
    """
    _check(k)
    return _share(_found(groups, k, ties), np.full_like(groups.all_relevant, k), groups)


def precision_at_min(groups: TieGroups, k: int, ties: Ties = "expected") -> Values:
    """Compute P@min(k, R): the share of relevant items among the first min(k, R), whose maximum is 1.

    This is the P@k of ZSE-SBIR (Lin et al., CVPR 2023): `precision_eval` in utils/ap.py of its code. SAKE divides by k
    (`eval_precision`), as `precision_at` does.

    Raises:
        ConfigError: `k` is below 1.
    """
    _check(k)
    depth = np.minimum(groups.all_relevant, k)
    return _share(_found(groups, depth[:, None], ties), depth, groups)


def recall_at(groups: TieGroups, k: int, ties: Ties = "expected") -> Values:
    """Compute R@k: the number of relevant items among the first k, over R.

    Raises:
        ConfigError: `k` is below 1.
    """
    _check(k)
    return _share(_found(groups, k, ties), groups.all_relevant, groups)


def hit_at(groups: TieGroups, k: int, ties: Ties = "expected") -> Values:
    """Compute hit@k: whether a relevant item is among the first k; `expected` is its probability.

    Raises:
        ConfigError: `k` is below 1.
    """
    _check(k)
    if ties != "expected":
        return _share((_found(groups, k, ties) > 0).astype(np.float64), np.ones_like(groups.all_relevant), groups)
    edge = _Edge.of(groups, k)
    missed = np.where(edge.relevant_before > 0, 0.0, 1.0)
    # Without replacement: the probability that the i-th drawn item is not relevant, either.
    for i in range(int(edge.drawn.max(initial=0))):
        still = np.maximum(edge.items - edge.relevant - i, 0) / np.maximum(edge.items - i, 1)
        missed *= np.where(i < edge.drawn, still, 1.0)
    return _share(1 - missed, np.ones_like(groups.all_relevant), groups)


def chance(groups: TieGroups) -> Values:
    """Compute R / N: the expected precision of a random order at every rank."""
    return _share(groups.all_relevant.astype(np.float64), groups.all_items, groups)


def chance_of_map(share: float, items: int) -> float:
    """Compute the mAP of a random order, ((R − 1) / (N − 1) (N − H_N) + H_N) / N with H_N = 1 + 1/2 + … + 1/N.

    It is above R / N, much so in a small gallery: 0.133 with 6 of 72 items relevant, where R / N is 0.083.

    Args:
        share: R / N, or its mean over queries, as AP is linear in R.
        items: N, of the gallery.
    """
    harmonic = float((1 / np.arange(1, items + 1)).sum())
    others = (share * items - 1) / max(items - 1, 1)
    return (others * (items - harmonic) + harmonic) / items


def ball(groups: TieGroups, radius: int = 2) -> dict[str, Values]:
    """Measure the items within a Hamming radius: the first `radius` + 1 groups of `hamming.count_distances`.

    Returns:
        (Q,) float64 each: `precision`, 0 without items in the radius, `recall`, and `empty`, 1 without such items, else
        0.

    Raises:
        ConfigError: The radius is negative.
    """
    if radius < 0:
        raise ConfigError(f"a radius is 0 or more, not {radius}")
    inside, relevant = (each[:, : radius + 1].sum(axis=1) for each in (groups.items, groups.relevant))
    ones = np.ones_like(groups.all_relevant)
    return {
        "precision": _share(_ratio(relevant, inside), ones, groups),
        "recall": _share(relevant.astype(np.float64), groups.all_relevant, groups),
        "empty": _share((inside == 0).astype(np.float64), ones, groups),
    }


def _summed_precisions(groups: TieGroups, ties: Ties, depth: int | Counts | None = None) -> Values:
    """Sum the precisions at the ranks of the relevant items among the first `depth`, a number or (Q, 1)."""
    items, relevant = groups.items, groups.relevant
    before, relevant_before = groups.items_before, groups.relevant_before
    inside = items if depth is None else np.clip(depth - before, 0, items)
    if ties == "expected":
        # The probability of being relevant is the same at each position in a group, and so is that of another item
        # before.
        density = _ratio(relevant, items)
        others = (relevant - 1) / np.maximum(items - 1, 1)
        harmonic = _harmonic(before, before + inside)
        summed = density * (others * inside + (relevant_before + 1 - others * (before + 1)) * harmonic)
    elif ties == "optimistic":
        summed = _run(relevant_before, before, np.minimum(relevant, inside))
    else:
        start = before + items - relevant
        summed = _run(relevant_before, start, np.maximum(before + inside - start, 0))
    return np.asarray(summed.sum(axis=1))


def _run(relevant_before: Counts, before: Counts, length: Counts) -> Values:
    """Sum the precisions of a run of relevant items: (R + i) / (N + i) for i = 1..length."""
    return np.asarray(length + (relevant_before - before) * _harmonic(before, before + length))


def _lenient(groups: TieGroups, k: int, ties: Bound) -> Values:
    """Find the bound of AP@k over the relevant items among the first k.

    More relevant items among the first k may lower the value: one at rank 1 alone gives 1. So the minimum is searched
        over
    all possible numbers t of relevant items from the group at rank k. The maximum is at one of the two ends: increasing
    t appends increasing precisions, and a mean with increasing values appended first falls, then rises.
    """
    edge = _Edge.of(groups, k)
    nearer = _summed_precisions(groups, ties, edge.before[:, None])
    least, most = np.maximum(edge.drawn - (edge.items - edge.relevant), 0), np.minimum(edge.relevant, edge.drawn)

    def value(t: Counts) -> Values:
        start = edge.before if ties == "optimistic" else edge.before + edge.drawn - t
        return _ratio(nearer + _run(edge.relevant_before, start, t), edge.relevant_before + t)

    if ties == "optimistic":
        return np.maximum(value(least), value(most))
    lowest = value(least)
    for further in range(1, int((most - least).max(initial=0)) + 1):
        lowest = np.minimum(lowest, value(np.minimum(least + further, most)))
    return lowest


@dataclass(frozen=True, kw_only=True, eq=False)
class _Edge:
    """The group with rank k, or the last one: (Q,) each; `drawn` of its items are among the first k."""

    items: Counts
    relevant: Counts
    before: Counts
    relevant_before: Counts
    drawn: Counts

    @classmethod
    def of(cls, groups: TieGroups, k: int) -> _Edge:
        last = np.minimum(groups.all_items, k)
        place = ((groups.items_before + groups.items) >= last[:, None]).argmax(axis=1)
        of_place = (np.arange(len(groups)), place)
        before = groups.items_before[of_place]
        return cls(
            items=groups.items[of_place],
            relevant=groups.relevant[of_place],
            before=before,
            relevant_before=groups.relevant_before[of_place],
            drawn=last - before,
        )


def _found(groups: TieGroups, depth: int | Counts, ties: Ties) -> Values:
    inside = np.clip(depth - groups.items_before, 0, groups.items)
    if ties == "expected":
        found = inside * _ratio(groups.relevant, groups.items)
    elif ties == "optimistic":
        found = np.minimum(groups.relevant, inside)
    else:
        found = np.maximum(inside - (groups.items - groups.relevant), 0)
    return np.asarray(found.sum(axis=1), np.float64)


def _check(k: int) -> None:
    if k < 1:
        raise ConfigError(f"a measure at k needs k of 1 or more, not {k}")


def _ratio(above: npt.NDArray[np.generic], below: Counts) -> Values:
    return np.asarray(above / np.maximum(below, 1))


def _share(above: Values, below: Counts, groups: TieGroups) -> Values:
    return np.where(groups.all_relevant > 0, _ratio(above, below), np.nan)


def _harmonic(start: Counts, stop: Counts) -> Values:
    table = _harmonic_table(int(stop.max(initial=0)).bit_length())
    return np.asarray((table[stop] - table[start]) * 2.0**-_HARMONIC_BITS)


@lru_cache(maxsize=1)
def _harmonic_table(bits: int) -> Counts:
    """Return H(0), …, H(2^bits − 1) as integer multiples of 2^-58; H is below 32 for any m that fits into memory."""
    terms = np.rint(2.0**_HARMONIC_BITS / np.arange(1, max(1 << bits, 2))).astype(np.int64)
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(terms)])


# Queries of one class are similar, so a mean varies much more over other classes than over other queries of the same
# classes.

Interval = tuple[float, float]

#: Number of random numbers per block.
_CELLS = 1 << 21


@dataclass(frozen=True, kw_only=True)
class Bootstrap:
    """Percentile intervals of a mean over queries.

    Source: Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7, 1979.

    Attributes:
        resamples: Number of resamples with replacement, 2 or more.
        seed: Seed of the random numbers.
        level: The confidence level: the share of the resampled means in the interval, with equal tails.

    Raises:
        ConfigError: A value is outside its range.
    """

    resamples: int = 1000
    seed: int = 0
    level: float = 0.95

    def __post_init__(self) -> None:
        if self.resamples < 2:
            raise ConfigError(f"a bootstrap needs 2 resamples or more, not {self.resamples}")
        if not 0 < self.level < 1:
            raise ConfigError(f"the level of an interval is between 0 and 1, not {self.level}")

    def of_queries(self, values: Values) -> Interval:
        """Return the interval of the mean of values (Q,), resampling queries.

        Raises:
            ConfigError: There are no values.
        """
        return self._interval(np.mean, values)

    def of_classes(self, values: Values, labels: Labels) -> Interval:
        """Return the interval of the mean of values (Q,), resampling whole classes; labels (Q,).

        Raises:
            ConfigError: There are no values.
        """

        def mean(sums: Values, counts: Counts, axis: int) -> Any:
            return sums.sum(axis=axis) / counts.sum(axis=axis)

        _, places = np.unique(labels, return_inverse=True)
        return self._interval(mean, np.bincount(places, values), np.bincount(places))

    def _interval(self, mean: Callable[..., Any], *samples: npt.NDArray[Any]) -> Interval:
        units = len(samples[0])
        if not units:
            raise ConfigError("an interval needs at least one value")
        if units == 1:
            return float(mean(*samples, axis=0)), float(mean(*samples, axis=0))
        # Imported here, because it takes most of a second.
        from scipy.stats import bootstrap

        low, high = bootstrap(
            samples,
            mean,
            paired=len(samples) > 1,
            vectorized=True,
            method="percentile",
            n_resamples=self.resamples,
            batch=max(1, _CELLS // units),
            confidence_level=self.level,
            rng=np.random.default_rng(self.seed),
        ).confidence_interval
        return float(low), float(high)
