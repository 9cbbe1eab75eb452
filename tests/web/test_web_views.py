"""What the pages are given to show: every drawing once, in order, with its own strokes."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sketchdata.curation.audit import Audit
from sketchdata.drawings.drawing import DrawingBatch, concatenate, empty_batch, offsets_of
from sketchdata.errors import SketchDataError
from sketchdata.web import views
from sketchdata.web.exhibit import DrawingPictures, encode_strokes, exhibit_drawings
from sketchdata.web.items import Items, audited_drawings, pack, wire_columns
from sketchdata.web.pages import write_report
from tests.audits import rows_of


@pytest.fixture(scope="module")
def items(audit: Audit) -> Items:
    return audited_drawings(audit)


@pytest.fixture(scope="module")
def drawings(audited: Path) -> DrawingBatch:
    return concatenate([batch for _, batch in rows_of(audited)])


def batch_of(strokes: list[np.ndarray]) -> DrawingBatch:
    """Return one simplified drawing with these (n, 2) strokes."""
    xy = np.concatenate(strokes)
    one = empty_batch()
    return DrawingBatch(
        key_id=np.zeros(1, np.uint64),
        label=np.zeros(1, np.uint16),
        countrycode=np.zeros(1, one.countrycode.dtype),
        timestamp=np.zeros(1, np.int64),
        recognized=np.zeros(1, np.bool_),
        strokes=np.array([0, len(strokes)]),
        points=offsets_of(np.array([len(stroke) for stroke in strokes])),
        x=xy[:, 0],
        y=xy[:, 1],
    )


def decode_strokes(data: bytes) -> list[np.ndarray]:
    """Read what `encode_strokes` wrote, as `pictures.js` does: one (n, 2) uint8 array a stroke."""
    strokes, at = [], 0
    while at < len(data):
        points = shift = 0
        while True:
            byte, at = data[at], at + 1
            points += (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        strokes.append(np.frombuffer(data, np.uint8, 2 * points, at).reshape(2, points).T)
        at += 2 * points
    return strokes


@pytest.mark.slow
@given(
    st.lists(st.integers(1, 300).flatmap(lambda n: hnp.arrays(np.uint8, (n, 2))), min_size=1, max_size=6),
)
def test_a_drawings_strokes_come_back_from_their_bytes(strokes: list[np.ndarray]) -> None:
    found = decode_strokes(encode_strokes(batch_of(strokes))[0])
    assert [stroke.tolist() for stroke in found] == [stroke.tolist() for stroke in strokes]


def test_raw_drawings_are_fitted_and_rounded_and_lose_the_points_that_do_not_move() -> None:
    points = np.array([[10, 20], [10.01, 20], [520, 20], [520, 275]], np.float32)
    simplified = batch_of([points.astype(np.uint8)])
    raw = DrawingBatch(**{**vars(simplified), "x": points[:, 0], "y": points[:, 1], "t": np.arange(4, dtype=np.uint32)})
    assert decode_strokes(encode_strokes(raw)[0])[0].tolist() == [[0, 0], [255, 0], [255, 128]]


def test_items_are_every_drawing_once_by_class_and_rising_score_with_their_own_facts(
    audit: Audit, items: Items, drawings: DrawingBatch
) -> None:
    assert sorted(items.row.tolist()) == list(range(len(audit)))
    for label in range(len(audit.classes)):
        rows = items.row[items.group(label)]
        assert (audit.label[rows] == label).all()
        assert (np.diff(audit.entropy[rows]) >= 0).all()
    assert (items.id == drawings.key_id[items.row]).all()
    told = {fact.name: np.array(fact.values)[fact.index] for fact in items.facts}
    assert list(told) == ["split", "recognized", "country"]
    assert (told["split"] == np.array(audit.splits)[audit.split[items.row]]).all()
    assert ((told["recognized"] == "yes") == drawings.recognized[items.row]).all()
    assert told["country"].tolist() == [code.decode() or "unknown" for code in drawings.countrycode[items.row]]
    assert (items.reference == (told["split"] == "train")).all()


def test_the_page_is_sent_a_class_as_columns_of_24_bytes_an_item(items: Items) -> None:
    rows, data, at = items.group(2), pack(items, 2), 0
    count = rows.stop - rows.start
    assert len(data) == 24 * count
    for _, kind, values in wire_columns(items):
        column = np.frombuffer(data, kind, count, at)
        assert (column == values[rows]).all()
        at += column.nbytes


def test_pictures_are_those_of_the_rows_asked_for_in_that_order(audit: Audit, drawings: DrawingBatch) -> None:
    rows = [401, 3, 3, 250, 0, 443]
    expected = encode_strokes(drawings.take(np.array(rows)))
    pictures = DrawingPictures(audit)
    assert [base64.b64decode(each["data"]) for each in pictures.read(rows)] == expected
    assert pictures.read(rows, small=True) == pictures.read(rows)


def test_the_overview_counts_every_drawing_of_a_class_and_repeats_the_audits_limits(audit: Audit, items: Items) -> None:
    rows = views.overview(audit, items)["classes"]
    assert [row["word"] for row in rows] == list(audit.classes)
    for label, row in enumerate(rows):
        own = audit.label == label
        assert row["count"] == sum(row["bins"]) == own.sum()
        assert (row["low"], row["high"]) == (audit.p_low[label], audit.p_high[label])
        assert row["noise"] == round(float(audit.noise[own].mean()), 6)
        assert row["axis"][0] <= row["low"] < row["high"] <= row["axis"][1]


def test_scores_beyond_the_axis_are_counted_in_the_outermost_bars() -> None:
    assert views.histogram(np.array([0.0, 0.11, 0.19, 0.9]), [0.1, 0.2], bins=2) == [2, 2]


def test_a_class_without_limits_has_an_axis_of_its_scores_and_no_line() -> None:
    left, right = views.score_axis(np.array([0.1, 0.3]), None, None)
    assert left < 0.1 < 0.3 < right
    assert views.score_axis(np.array([]), None, None) == [0.0, 1.0]


def test_examples_stand_along_the_axis_and_none_is_shown_twice(audit: Audit, items: Items) -> None:
    for label in range(len(audit.classes)):
        found = list(views.example_positions(audit, items, label))
        positions = [position for _, position in found]
        assert positions == sorted(set(positions))
        assert [place for place, _ in items.subject.places if place in dict(found)] == list(dict(found))
        low, high = audit.p_low[label], audit.p_high[label]
        scores = {place: [items.score[p] for each, p in found if each == place] for place, _ in found}
        assert min(scores["lowest"]) < low < high < max(scores["highest"])


def test_data_of_another_origin_says_so(audit: Audit) -> None:
    assert "may be generated" in views.origin(audit)


def test_the_report_has_the_same_bytes_when_it_is_made_again(dataset: Path) -> None:
    first = (dataset / "audit/report.html").read_bytes()
    assert write_report(exhibit_drawings(dataset)).read_bytes() == first


def test_shards_that_are_not_those_of_the_audit_are_noticed(audit: Audit, dataset: Path) -> None:
    shards = sorted((dataset / "data").glob("train-*.parquet"))
    shards[0].write_bytes(shards[1].read_bytes())
    moved = Audit(**{**vars(audit), "directory": dataset})
    with pytest.raises(SketchDataError, match=r"other drawings than its audit from row 0 on: run `sketchdata audit"):
        audited_drawings(moved)
