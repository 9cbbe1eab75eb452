"""Messiness: what each measure says of pictures that are known, and how ranks become the score."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sketchdata.curation.messiness import (
    MEASURES,
    SCORED,
    WORST,
    Ink,
    decode_map,
    drawing_distances,
    ink_of,
    measure,
    score,
    templates,
)
from sketchdata.errors import FormatError

SIDE = 224
FARTHEST = 20.0


def blank() -> Ink:
    return np.zeros((SIDE, SIDE), np.uint8)


def lines(*ends: tuple[int, int, int, int]) -> Ink:
    """Draw lines from (x, y) to (x, y)."""
    ink = blank()
    for x0, y0, x1, y1 in ends:
        cv2.line(ink, (x0, y0), (x1, y1), 1)
    return ink


def circle(radius: int = 90) -> Ink:
    return np.asarray(cv2.circle(blank(), (112, 112), radius, 1), np.uint8)


def measured(ink: Ink) -> dict[str, float]:
    return {name: float(column[0]) for name, column in measure([ink]).items()}


def png(picture: np.ndarray) -> bytes:
    encoded, content = cv2.imencode(".png", picture)
    assert encoded
    return bytes(content.tobytes())


# ---- ink ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("black", [True, False])
def test_ink_is_what_is_at_least_as_strong_as_wanted_on_either_ground(black: bool) -> None:
    strength = np.array([[0, 15, 16, 255]], np.uint8)
    assert ink_of(255 - strength if black else strength, black=black, weakest=16).tolist() == [[0, 0, 1, 1]]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_stored_map_is_decoded_to_one_channel(channels: int) -> None:
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    assert (decode_map(png(grey if channels == 1 else np.repeat(grey[:, :, None], 3, axis=2))) == grey).all()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"GIF89a" + b"\0" * 60,
        png(np.zeros((8, 9), np.uint8)),
        png(np.zeros((8, 8), np.uint16)),
        png(np.zeros((8, 8), np.uint8))[:40],
        png(np.zeros((8, 8), np.uint8))[:16] + b"\x7f\xff\xff\xff" * 2 + b"\0" * 60,
    ],
    ids=["nothing", "gif", "not square", "16 bits", "cut off", "claims to be vast"],
)
def test_what_is_no_edge_map_is_refused(content: bytes) -> None:
    with pytest.raises(FormatError, match="not an edge map"):
        decode_map(content)


# ---- the measures of one map ---------------------------------------------------------------------------------------


def test_an_empty_map_measures_nothing() -> None:
    assert set(measured(blank()).values()) == {0.0}
    assert list(measure([])) == [name for name in MEASURES if name != "distance"]


def test_density_and_entropy_are_those_of_the_pixels() -> None:
    ink = blank()
    ink[:, :28] = 1
    found = measured(ink)
    assert found["density"] == 1 / 8
    assert found["entropy"] == pytest.approx(-(np.log2(1 / 8) / 8 + np.log2(7 / 8) * 7 / 8))


def test_long_lines_are_no_fragments_and_specks_are() -> None:
    specks = lines(*((x, 112, x + 5, 112) for x in range(40, 180, 20)))
    assert measured(circle())["fragments"] == measured(circle())["loose"] == 0
    found = measured(np.maximum(circle(), specks))
    assert found["fragments"] == 7
    assert found["loose"] == pytest.approx(specks.sum() / (specks.sum() + circle().sum()))


def test_a_tangle_is_the_short_lines_that_it_consists_of_though_they_all_touch() -> None:
    grid = lines(*((x, 20, x, 200) for x in range(20, 201, 12)), *((20, y, 200, y) for y in range(20, 201, 12)))
    found = measured(grid)
    assert cv2.connectedComponents(grid)[0] - 1 == 1
    assert found["loose"] == 1
    # 15 by 16 pieces either way; the four corners join two pieces each.
    assert found["fragments"] == 2 * 15 * 16 - 4
    assert measured(lines((20, 112, 200, 112), (112, 20, 112, 200)))["fragments"] == 0


@pytest.mark.parametrize(
    ("ink", "places"),
    [
        (circle(), 4),
        (np.asarray(cv2.rectangle(blank(), (20, 40), (200, 180), 1), np.uint8), 1),
        (lines((20, 30, 200, 30), (20, 60, 200, 60), (20, 90, 200, 90), (20, 120, 200, 120)), 6),
    ],
    ids=["a circle touches each side once", "a rectangle is one line", "lines that leave end at the border"],
)
def test_the_border_counts_the_places_where_lines_touch_the_bounding_box(ink: Ink, places: int) -> None:
    assert measured(ink)["border"] == places


def test_maps_are_measured_each_by_itself() -> None:
    small = np.ones((8, 8), np.uint8)
    together = measure([circle(), blank(), small])
    for row, ink in enumerate((circle(), blank(), small)):
        assert {name: column[row] for name, column in together.items()} == measured(ink)


# ---- distance to drawings ------------------------------------------------------------------------------------------


def plain_distance(first: Ink, second: Ink) -> float:
    """Compute the distance of two pictures point by point, from its definition, at half the side."""
    halves = [each.reshape(SIDE // 2, 2, SIDE // 2, 2).max(axis=(1, 3)) for each in (first, second)]
    points = [np.argwhere(each) for each in halves]
    apart = np.sqrt(((points[0][:, None] - points[1][None]) ** 2).sum(axis=2))
    ways = [2 * np.minimum(apart.min(axis=axis), FARTHEST / 2).mean() for axis in (1, 0)]
    return float(max(ways))


def test_a_map_is_at_no_distance_from_itself_and_at_the_farthest_from_nothing() -> None:
    drawings = templates([circle(), lines((20, 20, 200, 200))])
    assert drawing_distances([circle()], drawings, nearest=1).tolist() == [0]
    assert drawing_distances([blank()], drawings, nearest=2).tolist() == [FARTHEST]


def test_distances_are_those_of_the_definition() -> None:
    others = [circle(60), lines((20, 20, 200, 200), (20, 60, 90, 200)), lines((112, 100, 112, 110))]
    expected = [plain_distance(circle(), other) for other in others]
    found = [drawing_distances([circle()], templates([other]), nearest=1)[0] for other in others]
    assert found == pytest.approx(expected, abs=0.13)  # an eighth of a pixel at half the side
    mean = drawing_distances([circle()], templates(others), nearest=2)[0]
    assert mean == pytest.approx(np.mean(sorted(found)[:2]))


def test_a_map_that_is_ink_all_over_is_like_no_drawing() -> None:
    drawings = templates([circle()])
    everywhere = np.ones((SIDE, SIDE), np.uint8)
    assert drawing_distances([everywhere], drawings, nearest=1)[0] > 10
    assert drawing_distances([circle(84)], drawings, nearest=1)[0] < 8


def test_the_same_distances_to_the_last_bit_however_maps_are_put_together() -> None:
    chance = np.random.default_rng(0)
    maps = [(chance.random((SIDE, SIDE)) < 0.05).astype(np.uint8) for _ in range(9)]
    drawings = templates([circle(radius) for radius in range(40, 100, 5)])
    together = drawing_distances(maps, drawings, nearest=3)
    assert [drawing_distances([each], drawings, nearest=3)[0] for each in maps] == together.tolist()


# ---- the score -------------------------------------------------------------------------------------------------------

TABLES = hnp.arrays(np.float64, st.tuples(st.just(len(SCORED)), st.integers(1, 12)), elements=st.integers(0, 5))


def score_of(table: np.ndarray, label: np.ndarray | None = None, beyond: np.ndarray | None = None) -> np.ndarray:
    n = table.shape[1]
    return score(
        dict(zip(SCORED, table, strict=True)),
        np.zeros(n, np.uint16) if label is None else label,
        np.zeros(n, np.bool_) if beyond is None else beyond,
    )


def test_the_score_is_the_mean_of_the_ranks() -> None:
    table = np.array([[1, 2, 3, 4], [4, 3, 2, 1], [1, 1, 1, 1], [1, 1, 2, 2], [9, 9, 9, 0]], np.float64)
    ranks = [[1, 3, 5, 7], [7, 5, 3, 1], [4, 4, 4, 4], [2, 2, 6, 6], [5, 5, 5, 1]]
    assert score_of(table).tolist() == pytest.approx((np.mean(ranks, axis=0) / 8).tolist())


@given(TABLES, st.data())
def test_more_of_a_measure_never_lowers_a_score(table: np.ndarray, data: st.DataObject) -> None:
    row, name = (data.draw(st.integers(0, size - 1)) for size in reversed(table.shape))
    more = table.copy()
    more[name, row] += data.draw(st.integers(0, 6))
    assert score_of(more)[row] >= score_of(table)[row] - 1e-12


@given(TABLES, st.randoms())
def test_the_order_of_the_maps_does_not_matter(table: np.ndarray, random: object) -> None:
    order = list(range(table.shape[1]))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert score_of(table[:, order]).tolist() == score_of(table)[order].tolist()


@given(TABLES, TABLES)
def test_classes_do_not_see_each_other(one: np.ndarray, other: np.ndarray) -> None:
    label = np.repeat(np.array([7, 3], np.uint16), [one.shape[1], other.shape[1]])
    found = score_of(np.concatenate([one, other], axis=1), label)
    assert found.tolist() == [*score_of(one), *score_of(other)]
    assert ((found > 0) & (found < WORST)).all()


def test_maps_beyond_the_limits_are_the_worst_and_the_others_are_not_ranked_by_them() -> None:
    table = np.tile(np.arange(6.0), (len(SCORED), 1))
    beyond = np.array([False, True, False, False, True, False])
    found = score_of(table, beyond=beyond)
    assert found[beyond].tolist() == [WORST, WORST]
    assert found[~beyond].tolist() == score_of(table[:, ~beyond]).tolist()


def test_a_measure_that_a_class_does_not_have_does_not_count_there() -> None:
    table = np.stack([np.arange(4.0)] * (len(SCORED) - 1) + [np.full(4, np.nan)])
    assert score_of(table).tolist() == [1 / 8, 3 / 8, 5 / 8, 7 / 8]
