import numpy as np
import pytest

from sketchdata.storage.catalog import manifest_path, read_classes
from sketchdata.synth import shapes
from sketchdata.synth.prototypes import DESIGNED, find
from sketchdata.synth.shapes import pack

WORDS = read_classes(manifest_path("quickdraw-categories.txt"))


def test_every_designed_prototype_is_of_an_official_category():
    assert set(DESIGNED) <= set(WORDS)
    assert len(DESIGNED) >= 45


@pytest.mark.parametrize("word", WORDS)
def test_every_variant_has_strokes_that_can_be_drawn(word):
    for variant in find(word).variants:
        assert len(variant) > 0
        for stroke in variant:
            assert stroke.points.shape[0] >= 2
            assert stroke.points.shape[1] == 2
            assert np.isfinite(stroke.points).all()
            assert 0 < stroke.chance <= 1
            assert np.abs(stroke.points - 50).max() < 75


def test_invented_prototypes_differ_by_name_and_stay_the_same():
    words = [word for word in WORDS if word not in DESIGNED]
    seen = {np.concatenate([s.points for s in find(word).variants[0]]).tobytes() for word in words}
    assert len(seen) == len(words)
    again = np.concatenate([s.points for s in find(words[0]).variants[0]]).tobytes()
    assert again in seen


def test_a_rectangle_is_closed_and_keeps_its_corners():
    stroke = shapes.rectangle(10, 20, 60, 40)
    corners = {(10, 20), (10, 60), (70, 60), (70, 20)}
    assert stroke.is_closed
    assert corners <= {(float(x), float(y)) for x, y in stroke.points}


def test_an_oval_lies_on_its_ellipse():
    x, y = shapes.oval(50, 40, 30, 10).points.T
    assert np.abs(((x - 50) / 30) ** 2 + ((y - 40) / 10) ** 2 - 1).max() < 1e-5


def test_a_curve_runs_through_its_points():
    points = {(float(x), float(y)) for x, y in shapes.curve(0, 0, 30, 50, 90, 10, 60, 70).points}
    assert {(0, 0), (30, 50), (90, 10), (60, 70)} <= points


def test_a_pentagram_crosses_itself_and_a_star_outline_does_not():
    assert len(shapes.star_polygon(5, 2, 50, 50, 45).points) > len(shapes.regular(5, 50, 50, 10).points)
    radii = np.hypot(*(shapes.star_outline(5, 50, 50, 40, 16).points - 50).T)
    assert radii.max() == pytest.approx(40)
    assert radii.min() >= 16 * 0.8


def test_turning_by_a_full_circle_and_mirroring_twice_change_nothing():
    stroke = shapes.curve(10, 20, 40, 60, 90, 30)
    assert np.allclose(stroke.turned(360).points, stroke.points, atol=1e-5)
    assert np.allclose(stroke.mirrored().mirrored().points, stroke.points, atol=1e-5)


def test_a_table_holds_the_strokes_side_by_side():
    strokes = [shapes.polyline(0, 0, 10, 0), shapes.oval(50, 50, 20, 10).maybe(0.5)]
    table = pack(strokes)
    assert len(table) == 2
    assert table.closed.tolist() == [False, True]
    assert table.chance.tolist() == [1.0, 0.5]
    assert table.extent == pytest.approx([10, 40], abs=0.5)
    assert table.centre[:, 1] == pytest.approx([50, 50], abs=0.5)
    assert np.array_equal(np.stack([table.x, table.y], 1)[table.offsets[1] :], strokes[1].points)


def test_joined_tables_keep_both():
    one, two = pack([shapes.oval(50, 50, 20)]), pack([shapes.polyline(0, 0, 5, 5), shapes.dot(3, 3)])
    both = one.joined(two)
    assert len(both) == 3
    assert np.diff(both.offsets).tolist() == np.diff(one.offsets).tolist() + np.diff(two.offsets).tolist()
