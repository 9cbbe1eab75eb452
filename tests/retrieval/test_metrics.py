"""Measures of rankings with ties: against every order of the tied items, against scikit-learn, against long sums."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, precision_recall_curve

from sketchdata.errors import ConfigError
from sketchdata.retrieval import metrics
from sketchdata.retrieval.metrics import TieGroups, Ties, groups_of_scores
from tests.rankings import Order, Ranking, orders, rankings, tie_groups

#: One that three queries share: ties at every place, and 37,800 orders.
KNOWN: Ranking = [(4, 2), (0, 0), (5, 1), (6, 3), (5, 0), (7, 2)]


def precisions(order: Order) -> list[float]:
    """Return the precision at the rank of each relevant item."""
    found = itertools.accumulate(order)
    return [count / rank for rank, (relevant, count) in enumerate(zip(order, found, strict=True), 1) if relevant]


def plain_ap(order: Order, k: int) -> float:
    return sum(precisions(order)) / sum(order)


def plain_interpolated(order: Order, k: int) -> float:
    at = precisions(order)
    return sum(max(at[i:]) for i in range(len(at))) / len(at)


def plain_strict(order: Order, k: int) -> float:
    return sum(precisions(order[:k])) / min(sum(order), k)


def plain_classic(order: Order, k: int) -> float:
    return sum(precisions(order[:k])) / sum(order)


def plain_lenient(order: Order, k: int) -> float:
    return sum(precisions(order[:k])) / max(sum(order[:k]), 1)


def plain_precision(order: Order, k: int) -> float:
    return sum(order[:k]) / k


def plain_interpolated_at(order: Order, k: int) -> float:
    at = precisions(order[:k])
    return sum(max(at[i:]) for i in range(len(at))) / min(sum(order), k)


def plain_precision_at_min(order: Order, k: int) -> float:
    depth = min(sum(order), k)
    return sum(order[:depth]) / depth


def plain_recall(order: Order, k: int) -> float:
    return sum(order[:k]) / sum(order)


def plain_hit(order: Order, k: int) -> float:
    return float(any(order[:k]))


Measure = Callable[[TieGroups, int, Ties], np.ndarray]
#: What is measured, and the same of one order.
MEASURES: dict[str, tuple[Measure, Callable[[Order, int], float]]] = {
    "ap": (lambda groups, k, ties: metrics.average_precision(groups, ties), plain_ap),
    "strict": (lambda groups, k, ties: metrics.average_precision_at(groups, k, ties), plain_strict),
    "classic": (lambda groups, k, ties: metrics.average_precision_at(groups, k, ties, "classic"), plain_classic),
    "precision": (metrics.precision_at, plain_precision),
    "precision at min(k, R)": (metrics.precision_at_min, plain_precision_at_min),
    "recall": (metrics.recall_at, plain_recall),
    "hit": (metrics.hit_at, plain_hit),
}
#: Those without a closed expected value.
BOUNDED: dict[str, tuple[Measure, Callable[[Order, int], float]]] = {
    "lenient": (lambda groups, k, ties: metrics.average_precision_at(groups, k, ties, "lenient"), plain_lenient),
    "interpolated": (
        lambda groups, k, ties: metrics.interpolated_average_precision(groups, ties),
        plain_interpolated,
    ),
    "interpolated at k": (
        lambda groups, k, ties: metrics.interpolated_average_precision(groups, ties, k),
        plain_interpolated_at,
    ),
}


@given(ranking=rankings(), k=st.integers(1, 14))
def test_the_expected_value_is_the_mean_over_every_order_of_tied_items(ranking: Ranking, k: int) -> None:
    every, groups = list(orders(ranking)), tie_groups(ranking)
    found = {name: measure(groups, k, "expected").tolist() for name, (measure, _) in MEASURES.items()}
    plain = {name: [statistics.fmean(plain(order, k) for order in every)] for name, (_, plain) in MEASURES.items()}
    assert found == {name: pytest.approx(values, abs=1e-13) for name, values in plain.items()}


@given(ranking=rankings(), k=st.integers(1, 14))
def test_the_bounds_are_the_lowest_and_the_highest_value_of_every_order(ranking: Ranking, k: int) -> None:
    every, groups = list(orders(ranking)), tie_groups(ranking)
    found, bounds = {}, {}
    for name, (measure, plain) in (MEASURES | BOUNDED).items():
        values = [plain(order, k) for order in every]
        bounds[name] = pytest.approx([min(values), max(values)], abs=1e-13)
        found[name] = [measure(groups, k, ties).item() for ties in ("pessimistic", "optimistic")]
    assert found == bounds


@pytest.mark.parametrize("name", MEASURES)
def test_every_permutation_of_tied_items_gives_the_same_mean_as_every_arrangement(name: str) -> None:
    measure, plain = MEASURES[name]
    ranking = [(3, 1), (4, 2), (2, 1)]
    items = [[i < relevant for i in range(size)] for size, relevant in ranking]
    permutations = itertools.product(*map(itertools.permutations, items))
    every = [tuple(itertools.chain.from_iterable(parts)) for parts in permutations]
    for k in (1, 2, 4, 5, 9, 20):
        expected = statistics.fmean(plain(order, k) for order in every)
        assert float(measure(tie_groups(ranking), k, "expected")[0]) == pytest.approx(expected, abs=1e-14)


@pytest.mark.slow
@given(st.lists(rankings(most=30), min_size=1, max_size=5), st.integers(1, 40))
def test_expected_values_lie_between_the_bounds_for_queries_of_any_lengths(rows: list[Ranking], k: int) -> None:
    groups = tie_groups(*rows)
    for measure, _ in MEASURES.values():
        low, middle, high = (measure(groups, k, ties) for ties in ("pessimistic", "expected", "optimistic"))
        assert (low <= middle + 1e-12).all()
        assert (middle <= high + 1e-12).all()
        alone = [measure(tie_groups(row), k, "expected")[0] for row in rows]
        assert middle.tolist() == pytest.approx(alone, abs=1e-14)


def test_the_lenient_bounds_hold_where_relevant_items_first_is_not_the_best_order() -> None:
    # One relevant item at rank 1, then a group that may put another one at rank 3: 1 alone is better than 1 and 2/3.
    ranking = [(1, 1), (1, 0), (5, 1)]
    every = [plain_lenient(order, 3) for order in orders(ranking)]
    groups = tie_groups(ranking)
    assert max(every) == metrics.average_precision_at(groups, 3, "optimistic", "lenient")[0] == 1.0
    assert min(every) == pytest.approx(metrics.average_precision_at(groups, 3, "pessimistic", "lenient")[0])
    assert min(every) == pytest.approx((1 + 2 / 3) / 2)


@pytest.mark.parametrize("k", [1, 7, 20, 40])
def test_many_tied_items_agree_with_every_order_of_them(k: int) -> None:
    every = list(orders(KNOWN))
    assert len(every) == 6 * 5 * 20 * 21
    groups = tie_groups(KNOWN, KNOWN[:1], KNOWN)
    for measure, plain in MEASURES.values():
        found = measure(groups, k, "expected")
        assert float(found[0]) == pytest.approx(statistics.fmean(plain(order, k) for order in every), abs=1e-13)
        assert found[0] == found[2]
    for measure, plain in BOUNDED.values():
        values = [plain(order, k) for order in every]
        assert float(measure(groups, k, "pessimistic")[0]) == pytest.approx(min(values), abs=1e-13)
        assert float(measure(groups, k, "optimistic")[0]) == pytest.approx(max(values), abs=1e-13)


scored = st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=1, max_size=60).filter(
    lambda pairs: any(relevant for _, relevant in pairs)
)


@pytest.mark.slow
@given(scored)
def test_threshold_average_precision_is_that_of_scikit_learn(pairs: list[tuple[int, bool]]) -> None:
    scores, relevant = np.array(pairs).T
    groups = groups_of_scores(scores[None].astype(np.float64), np.array([1]), relevant)
    expected = average_precision_score(relevant, scores)
    assert float(metrics.average_precision(groups, "threshold")[0]) == pytest.approx(expected, abs=1e-13)


@pytest.mark.slow
@given(scored)
def test_the_pessimistic_envelope_is_that_of_scikit_learns_thresholds(pairs: list[tuple[int, bool]]) -> None:
    scores, relevant = np.array(pairs).T
    groups = groups_of_scores(scores[None].astype(np.float64), np.array([1]), relevant)
    # By rising thresholds, that is, by falling recall.
    precision, recall, _ = precision_recall_curve(relevant, scores)
    expected = -np.diff(recall) @ np.maximum.accumulate(precision[:-1])
    expected_of_envelope = -np.diff(recall) @ np.array([precision[: i + 1].max() for i in range(len(recall) - 1)])
    assert expected == pytest.approx(expected_of_envelope)
    assert float(metrics.interpolated_average_precision(groups)[0]) == pytest.approx(expected, abs=1e-13)


def test_envelopes_are_never_below_the_average_precision_of_the_same_order() -> None:
    groups = tie_groups(KNOWN, [(3, 0), (4, 4)], [(5, 1), (5, 4)])
    for ties in ("pessimistic", "optimistic"):
        envelope = metrics.interpolated_average_precision(groups, ties)
        assert (envelope >= metrics.average_precision(groups, ties)).all()


def test_a_long_ranking_without_ties_keeps_its_digits() -> None:
    # 345,000 items, of which 1,000 are relevant, most of them far down: the differences of H are small there.
    random = np.random.default_rng(3)
    ranks = np.sort(random.choice(np.arange(200_000, 345_001), 1000, replace=False))
    items = np.diff(ranks, prepend=0)
    groups = tie_groups([pair for gap in items.tolist() for pair in ((gap - 1, 0), (1, 1))])
    expected = math.fsum(i / rank for i, rank in enumerate(ranks.tolist(), 1)) / 1000
    for ties in ("expected", "optimistic", "pessimistic", "threshold"):
        assert float(metrics.average_precision(groups, ties)[0]) == pytest.approx(expected, rel=1e-12)


def test_one_group_of_everything_is_expected_to_have_the_precision_of_a_random_order() -> None:
    groups = tie_groups([(345_000, 1000)])
    assert float(metrics.precision_at(groups, 200)[0]) == pytest.approx(float(metrics.chance(groups)[0]))
    # A random order's AP: the first item is relevant with R / N, and each later one has (R − 1) / (N − 1) beside it.
    harmonic = math.fsum(1 / i for i in range(1, 345_001))
    slope = 999 / 344_999
    assert float(metrics.average_precision(groups)[0]) == pytest.approx(
        (harmonic + slope * (345_000 - harmonic)) / 345_000, rel=1e-13
    )


@given(st.lists(st.booleans(), min_size=1, max_size=40).filter(any))
def test_the_map_of_chance_is_that_of_one_group_of_everything(relevant: list[bool]) -> None:
    groups = tie_groups([(len(relevant), sum(relevant))])
    by_chance = metrics.chance_of_map(float(metrics.chance(groups)[0]), len(relevant))
    assert by_chance == pytest.approx(float(metrics.average_precision(groups)[0]))


def test_the_map_of_chance_of_several_queries_needs_their_mean_share_alone() -> None:
    groups = tie_groups(*([(40, relevant)] for relevant in (3, 8, 21)))
    found = metrics.chance_of_map(float(metrics.chance(groups).mean()), 40)
    assert found == pytest.approx(float(metrics.average_precision(groups).mean()))
    assert metrics.chance_of_map(6 / 72, 72) == pytest.approx(0.1332, abs=1e-4)


def test_queries_without_relevant_items_have_no_value() -> None:
    groups = tie_groups([(3, 0), (2, 0)], [(3, 1), (2, 0)])
    measures = [measure(groups, 2, "optimistic") for measure, _ in (MEASURES | BOUNDED).values()]
    ball = metrics.ball(groups)
    for values in [*measures, metrics.chance(groups), *ball.values()]:
        assert np.isnan(values).tolist() == [True, False]


def test_a_ball_counts_what_is_within_the_radius_and_an_empty_one_has_precision_0() -> None:
    groups = tie_groups([(0, 0), (2, 1), (2, 2), (9, 1)], [(0, 0), (0, 0), (0, 0), (5, 5)], [(4, 1), (0, 0), (6, 0)])
    found = metrics.ball(groups, 2)
    assert found["precision"].tolist() == [3 / 4, 0, 1 / 10]
    assert found["recall"].tolist() == [3 / 4, 0, 1]
    assert found["empty"].tolist() == [0, 1, 0]
    assert metrics.ball(groups, 0)["empty"].tolist() == [1, 1, 0]
    assert metrics.ball(groups, 99)["recall"].tolist() == [1, 1, 1]


def test_the_variants_of_sake_and_zse_sbir_are_the_area_under_raised_precision_and_the_precision_at_rank_r() -> None:
    # Relevant at ranks 2, 3 and 6 of eight different distances, and once more at rank 8.
    order = [False, True, True, False, False, True, False, True]
    groups = tie_groups([(1, int(relevant)) for relevant in order])
    # Recall rises by a quarter at ranks 2, 3 and 6; precisions 1/2, 2/3 and 1/2 are raised to 2/3, 2/3 and 1/2.
    assert metrics.interpolated_average_precision(groups, k=6)[0] == pytest.approx((2 / 3 + 2 / 3 + 1 / 2) / 4)
    # Two of the first two are to be found, and one is.
    assert metrics.interpolated_average_precision(groups, k=2)[0] == pytest.approx(1 / 2 / 2)
    assert metrics.precision_at_min(groups, 200)[0] == 2 / 4
    assert metrics.precision_at_min(groups, 3)[0] == 2 / 3
    assert metrics.precision_at(groups, 200)[0] == 4 / 200


def test_strict_is_never_above_precision_where_enough_items_are_relevant_and_lenient_may_be() -> None:
    groups = tie_groups([(1, 1), (3, 0), (9, 4)])
    precision = metrics.precision_at(groups, 4)[0]
    assert metrics.average_precision_at(groups, 4)[0] <= precision
    assert metrics.average_precision_at(groups, 4, "pessimistic", "lenient")[0] == 1.0 > precision == 0.25


@given(scored, st.integers(0, 2**31), st.sampled_from([np.float16, np.float32, np.float64]))
def test_shuffling_the_gallery_changes_nothing(pairs: list[tuple[int, bool]], seed: int, kind: type) -> None:
    scores, relevant = np.array(pairs).T
    order = np.random.default_rng(seed).permutation(len(scores))
    one, other = (
        groups_of_scores(scores[None, rows].astype(kind), np.array([1]), relevant[rows])
        for rows in (np.arange(len(scores)), order)
    )
    np.testing.assert_array_equal(one.items, other.items)
    np.testing.assert_array_equal(one.relevant, other.relevant)


@pytest.mark.slow
@given(scored)
def test_groups_of_scores_measure_as_the_groups_of_all_different_scores_do(pairs: list[tuple[int, bool]]) -> None:
    scores, relevant = np.array(pairs).T
    found = groups_of_scores(scores[None].astype(np.float32), np.array([1]), relevant)
    plain = tie_groups([((scores == s).sum(), relevant[scores == s].sum()) for s in np.unique(scores)[::-1]])
    assert found.all_items.tolist() == [len(scores)]
    for k in (1, 5, 30):
        for measure, _ in (MEASURES | BOUNDED).values():
            for ties in ("pessimistic", "optimistic"):
                assert measure(found, k, ties).tolist() == pytest.approx(measure(plain, k, ties).tolist(), abs=1e-13)
        for measure, _ in MEASURES.values():
            expected = measure(plain, k, "expected").tolist()
            assert measure(found, k, "expected").tolist() == pytest.approx(expected, abs=1e-13)


@given(st.lists(rankings(), min_size=1, max_size=4), st.integers(1, 15))
def test_what_lies_beyond_rank_k_can_be_one_group(rows: list[Ranking], k: int) -> None:
    whole = tie_groups(*rows)
    head = whole.head(k)
    assert head.items.shape[1] <= whole.items.shape[1]
    np.testing.assert_array_equal(head.all_items, whole.all_items)
    np.testing.assert_array_equal(head.all_relevant, whole.all_relevant)
    for name in {*MEASURES, *BOUNDED} - {"ap", "interpolated"}:
        measure, _ = (MEASURES | BOUNDED)[name]
        bounds: tuple[Ties, ...] = ("pessimistic", "optimistic")
        for ties in (*bounds, "expected") if name in MEASURES else bounds:
            np.testing.assert_allclose(measure(head, k, ties), measure(whole, k, ties), atol=1e-15)


def test_blocks_of_queries_are_all_queries_in_order() -> None:
    groups = tie_groups(*[[(i + 1, 1), (2, 0)] for i in range(7)])
    blocks = list(groups.blocks(cells=5))
    assert [len(block) for block in blocks] == [2, 2, 2, 1]
    np.testing.assert_array_equal(np.concatenate([block.items for block in blocks]), groups.items)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: metrics.precision_at(tie_groups([(2, 1)]), 0), "k of 1 or more, not 0"),
        (lambda: metrics.hit_at(tie_groups([(2, 1)]), 0), "k of 1 or more, not 0"),
        (lambda: metrics.precision_at_min(tie_groups([(2, 1)]), 0), "k of 1 or more, not 0"),
        (lambda: metrics.interpolated_average_precision(tie_groups([(2, 1)]), k=0), "k of 1 or more, not 0"),
        (lambda: metrics.average_precision_at(tie_groups([(2, 1)]), -1), "k of 1 or more, not -1"),
        (
            lambda: metrics.average_precision_at(tie_groups([(2, 1)]), 1, "expected", "lenient"),
            "no expected value in closed form",
        ),
        (lambda: metrics.ball(tie_groups([(2, 1)]), -1), "a radius is 0 or more, not -1"),
        (lambda: tie_groups([(2, 3)]), "more relevant items than items"),
        (lambda: tie_groups([(2, -1)]), "a negative number"),
        (lambda: TieGroups(items=np.ones((2, 3), int), relevant=np.ones((2, 2), int)), r"\(2, 3\) and \(2, 2\)"),
        (lambda: groups_of_scores(np.array([[np.nan]]), np.array([0]), np.array([0])), "nan"),
        (lambda: groups_of_scores(np.ones((2, 2)), np.array([0]), np.array([0])), r"scores are \(1, 1\)"),
    ],
)
def test_what_cannot_be_measured_is_refused(ask: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ask()
