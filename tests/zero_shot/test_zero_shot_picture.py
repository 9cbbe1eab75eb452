"""The picture of embeddings: where things lie in it, what is shown, and that names stay names."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from sketchdata.zero_shot.picture import (
    MOST_CLASSES,
    Cloud,
    embeddings_svg,
    principal_plane,
    spread_by_accuracy,
)

SVG = "{http://www.w3.org/2000/svg}"
LABEL = f".//{SVG}text[@font-weight='bold'][@text-anchor='middle']"


def clouds(words: list[str], width: int = 5, apart: float = 3.0) -> list[Cloud]:
    random = np.random.default_rng(0)
    middles = apart * random.normal(size=(len(words), width))
    return [
        Cloud(word=word, hit=0.5, drawings=middle + random.normal(size=(8, width)), prototype=middle)
        for word, middle in zip(words, middles, strict=True)
    ]


def drawn(shown: list[Cloud], title: str = "t", caption: str = "c") -> ElementTree.Element:
    plane = principal_plane(np.concatenate([cloud.drawings for cloud in shown]))
    return ElementTree.fromstring(embeddings_svg(shown, plane, title, caption))


def positions(group: ElementTree.Element) -> np.ndarray:
    """Return where a group's marks are, in pixels: (n, 2)."""
    found = [re.match(r"translate\((\S+) (\S+)\)", path.get("transform", "")) for path in group.iter(f"{SVG}path")]
    return np.array([[float(each[1]), float(each[2])] for each in found if each is not None])


def test_the_plane_holds_the_share_of_variance_that_it_says() -> None:
    rows = np.random.default_rng(1).normal(size=(50, 6)) * [5, 3, 1, 1, 1, 0.5] + 7
    plane = principal_plane(rows)
    covariance = np.cov(rows.T)
    values = np.sort(np.linalg.eigvalsh(covariance))[::-1]
    assert plane.share == pytest.approx(values[:2].sum() / values.sum())
    assert plane.project(rows).var(axis=0, ddof=1) == pytest.approx(values[:2])
    assert plane.axes @ plane.axes.T == pytest.approx(np.eye(2), abs=1e-12)
    assert np.array_equal(principal_plane(rows).axes, plane.axes)


@pytest.mark.parametrize("rows", [np.ones((1, 3)), np.ones((4, 3)), np.arange(4.0)[:, None]])
def test_drawings_that_do_not_vary_in_two_directions_can_be_drawn(rows: np.ndarray) -> None:
    picture = drawn([Cloud(word="cat", hit=0.0, drawings=rows, prototype=rows[0])])
    assert len(picture.findall(LABEL)) == 1
    assert "nan" not in ElementTree.tostring(picture, encoding="unicode")


def test_distances_in_the_picture_are_those_in_the_plane_times_one_scale() -> None:
    shown = clouds(["cat", "fish", "sun"])
    plane = principal_plane(np.concatenate([cloud.drawings for cloud in shown]))
    groups = [group for group in drawn(shown).iter(f"{SVG}g") if group.find(f"{SVG}title") is not None]
    places = np.concatenate([positions(group) for group in groups])
    expected = plane.project(np.concatenate([cloud.drawings for cloud in shown]))
    apart = [np.linalg.norm(rows[:, None] - rows, axis=2) for rows in (places, expected)]
    scale = apart[0].max() / apart[1].max()
    assert apart[0] == pytest.approx(apart[1] * scale, abs=0.3)
    # Up in the plane is up in the picture, whose y goes down.
    assert np.corrcoef(places[:, 1], expected[:, 1])[0, 1] == pytest.approx(-1, abs=1e-3)


@pytest.mark.parametrize("apart", [0.02, 3.0])
def test_labels_lie_inside_and_not_on_one_another(apart: float) -> None:
    words = [f"class number {place}" for place in range(MOST_CLASSES)]
    labels = drawn(clouds(words, apart=apart)).findall(LABEL)
    assert [label.text for label in labels] == words
    boxes = [(float(label.get("x", "")), float(label.get("y", ""))) for label in labels]
    for place, (x, y) in enumerate(boxes):
        assert 0 < x < 620
        assert 0 < y < 620
        for other_x, other_y in boxes[:place]:
            assert abs(y - other_y) >= 14 or abs(x - other_x) >= 7 * len(words[0])


def test_classes_are_chosen_evenly_from_the_best_to_the_worst() -> None:
    hits = {f"c{place:02}": place / 40 for place in range(41)}
    assert spread_by_accuracy(hits, 5) == ["c40", "c30", "c20", "c10", "c00"]
    assert spread_by_accuracy({"b": 0.5, "a": 0.5, "c": 1.0}) == ["c", "b", "a"]
    assert len(spread_by_accuracy(hits)) == MOST_CLASSES


def test_names_and_captions_stay_text() -> None:
    words = ['<script>alert("1")</script>', "a & b\x00", "cat"]
    picture = drawn(clouds(words), title="<b>&", caption="a < b " * 40)
    texts = [text.text or "" for text in picture.iter(f"{SVG}text")]
    assert picture.find(f".//{SVG}script") is None
    assert '<script>alert("1")</s…' in [text[:22] for text in texts]
    assert "a & b : 0.500" in texts
    assert "<b>&" in texts
