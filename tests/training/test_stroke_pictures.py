"""Pictures of strokes: the same ink as the raster's, with when and which way each pixel was drawn."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sketchdata.drawings.drawing import DrawingBatch
from sketchdata.errors import ConfigError
from sketchdata.training.bitmaps import PackedBitmaps
from sketchdata.training.encoder import pictures_of, view_of
from sketchdata.training.loader import Batch, View
from sketchdata.training.options import NetworkOptions
from sketchdata.training.packed import (
    CHANNELS,
    Augmentation,
    PackedSketches,
    pack,
    segment_codes,
    stroke_channels,
    to_floats,
)
from tests.batches import Points, batch_of
from tests.strategies import batches

HOUSE = [[(10, 200), (10, 100), (90, 20), (170, 100), (170, 200), (10, 200)], [(60, 60)], [(30, 30), (200, 230)]]
#: The x and the y of a direction of nothing.
NOWHERE = 128


def packed_of(*drawings: list[Points]) -> PackedSketches:
    return pack([batch_of(*drawings)], ("a",))


def everyone(packed: PackedSketches) -> torch.Tensor:
    return torch.arange(len(packed))


def generator(seed: int = 7) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def whole(*drawing: Points) -> torch.Tensor:
    """Draw one drawing, a pixel for each of its whole numbers: (4, 256, 256), rows downwards."""
    return packed_of(list(drawing)).stroke_picture(torch.tensor([0]), 256)[0].to(torch.int64)


# ---- ink -------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@settings(max_examples=40)
@given(batch=batches(), size=st.sampled_from([1, 2, 28, 64, 224]), line_width=st.sampled_from([1, 2, 3]))
def test_ink_is_that_of_the_raster_and_nothing_is_drawn_beside_it(
    batch: DrawingBatch, size: int, line_width: int
) -> None:
    packed = pack([batch], ("a",))
    picture = packed.stroke_picture(everyone(packed), size, line_width)
    assert (picture.shape, picture.dtype) == ((len(packed), CHANNELS, size, size), torch.uint8)
    assert torch.equal(picture[:, :1], packed.raster(everyone(packed), size, line_width))
    background = (picture[:, :1] == 0).expand(-1, CHANNELS, -1, -1)
    assert not picture[background].any()
    assert picture[~background].all()


@pytest.mark.parametrize("augment", [Augmentation(), Augmentation(drop_strokes=0.5)])
def test_a_changed_drawing_has_the_ink_of_the_raster_that_is_changed_alike(augment: Augmentation) -> None:
    packed = packed_of(HOUSE, HOUSE, HOUSE[:1])
    for size, line_width in ((48, 1), (224, 3)):
        picture = packed.stroke_picture(everyone(packed), size, line_width, augment, generator())
        assert torch.equal(picture[:, :1], packed.raster(everyone(packed), size, line_width, augment, generator()))
        assert not torch.equal(picture[:, :1], packed.raster(everyone(packed), size, line_width))
    with pytest.raises(ConfigError, match="needs a random generator"):
        packed.stroke_picture(everyone(packed), 48, augment=augment)


def test_drawings_are_drawn_alike_in_any_company_and_order() -> None:
    packed = packed_of(HOUSE, [[(0, 0), (255, 255)]], [[(9, 9)]])
    together = packed.stroke_picture(torch.tensor([2, 0, 2, 1]), 64)
    alone = torch.cat([packed.stroke_picture(torch.tensor([place]), 64) for place in (2, 0, 2, 1)])
    assert torch.equal(together, alone)


# ---- order -----------------------------------------------------------------------------------------------------------


def test_order_rises_from_1_for_the_first_way_to_255_for_the_last() -> None:
    strokes = [[(x, 10) for x in range(0, 60, 20)], [(80, 10), (100, 10)], [(120, 10)], [(140, 10), (160, 10)]]
    order = whole(*strokes)[1, 10]
    # Five ways: two of the first stroke, the second stroke's, a dot, and the last stroke's.
    middles = [order[x].item() for x in (10, 30, 90, 120, 150)]
    assert middles == [round(1 + 254 * way / 4) for way in range(5)]
    assert (order[order > 0].diff() >= 0).all()


def test_a_dot_is_a_way_of_its_own_wherever_it_comes() -> None:
    assert [whole([(5, 5)], [(10, 9), (20, 9)])[1][row, column].item() for row, column in ((5, 5), (9, 15))] == [1, 255]
    assert [whole([(10, 9), (20, 9)], [(5, 5)])[1][row, column].item() for row, column in ((9, 15), (5, 5))] == [1, 255]
    dots = whole([(1, 1)], [(3, 3)], [(5, 5)])[1]
    assert [dots[place, place].item() for place in (1, 3, 5)] == [1, 128, 255]


@pytest.mark.parametrize("drawing", [[[(5, 5)]], [[(5, 5), (9, 9)]]])
def test_an_only_way_is_the_first_one(drawing: list[Points]) -> None:
    assert whole(*drawing)[1].unique().tolist() == [0, 1]


@pytest.mark.slow
@settings(max_examples=40)
@given(batch=batches())
def test_every_drawing_ends_in_the_latest_order(batch: DrawingBatch) -> None:
    packed = pack([batch], ("a",))
    ways = [sum(max(len(stroke) - 1, 1) for stroke in drawing) for drawing in strokes_of(batch)]
    order = packed.stroke_picture(everyone(packed), 256)[:, 1].flatten(1)
    assert order.amax(1).tolist() == [1 if many == 1 else 255 for many in ways]


def strokes_of(batch: DrawingBatch) -> list[list[np.ndarray]]:
    """Give the points of each stroke of each drawing, each stroke (n, 2)."""
    points = np.split(np.stack([batch.x, batch.y], 1), batch.points[1:-1])
    return [points[first:last] for first, last in zip(batch.strokes, batch.strokes[1:], strict=False)]


def test_the_later_way_is_seen_where_lines_cross() -> None:
    down, right = [(50, 0), (50, 100)], [(0, 50), (100, 50)]
    for first, second in ((down, right), (right, down)):
        picture = whole(first, second)
        alone = whole(second)
        assert picture[1, 50, 50] == 255
        assert picture[2:, 50, 50].tolist() == alone[2:, 50, 50].tolist()


def test_a_later_line_is_seen_where_broad_ones_overlap() -> None:
    drawing = [[(0, 50), (200, 50)], [(0, 52), (200, 52)]]
    order = packed_of(drawing).stroke_picture(torch.tensor([0]), 256, line_width=5)[0, 1, :, 100]
    assert order[47:56].tolist() == [0, 1, 1, 255, 255, 255, 255, 255, 0]


# ---- direction -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("way", "direction"),
    [
        ((60, 0), (255, NOWHERE)),
        ((-60, 0), (1, NOWHERE)),
        ((0, 60), (NOWHERE, 255)),
        ((0, -60), (NOWHERE, 1)),
        ((60, 60), (218, 218)),
        ((-60, -60), (38, 38)),
        ((60, 80), (round(128 + 127 * 0.6), round(128 + 127 * 0.8))),
        ((0, 0), (NOWHERE, NOWHERE)),
    ],
)
def test_a_way_has_the_direction_of_its_unit_vector(way: tuple[int, int], direction: tuple[int, int]) -> None:
    picture = whole([(100, 100), (100 + way[0], 100 + way[1])])
    lit = picture[0] > 0
    assert picture[2:, lit].unique(dim=1).T.tolist() == [list(direction)]


def test_each_way_of_a_polyline_has_its_own_direction() -> None:
    picture = whole([(10, 10), (90, 10), (90, 90), (10, 90), (10, 10)])
    sides = {"top": (10, 50), "right": (50, 90), "bottom": (90, 50), "left": (50, 10)}
    assert {name: picture[2:, row, column].tolist() for name, (row, column) in sides.items()} == {
        "top": [255, NOWHERE],
        "right": [NOWHERE, 255],
        "bottom": [1, NOWHERE],
        "left": [NOWHERE, 1],
    }


def test_a_mirrored_drawing_goes_the_other_way() -> None:
    packed = packed_of([[(20, 50), (220, 50)]])
    mirror = Augmentation(rotate=0, stretch=0, shift=0, mirror=1)
    picture = packed.stroke_picture(torch.tensor([0]), 64, augment=mirror, random=generator())[0]
    assert picture[2:, picture[0] > 0].unique(dim=1).T.tolist() == [[1, NOWHERE]]


@settings(max_examples=60)
@given(
    ways=st.lists(st.tuples(st.integers(-255, 255), st.integers(-255, 255)), min_size=1, max_size=20),
    order=st.floats(0, 1, width=32),
)
def test_numbers_keep_order_above_direction(ways: list[tuple[int, int]], order: float) -> None:
    found = segment_codes(torch.tensor(ways, dtype=torch.float32), torch.full((len(ways),), order))
    assert found.dtype == torch.int32
    assert 65_536 <= found.min() <= found.max() < 2**24
    ink, when, x, y = stroke_channels(found.view(-1, 1, 1, 1)).flatten(1).T.double()
    assert ink.unique().tolist() == [255]
    assert when.unique().tolist() == [round(float(np.float32(1) + np.float32(order) * np.float32(254)))]
    for (across, down), *seen in zip(ways, x.tolist(), y.tolist(), strict=True):
        length = math.hypot(across, down) or 1
        assert seen == pytest.approx([128 + 127 * across / length, 128 + 127 * down / length], abs=0.501)


# ---- what networks take ----------------------------------------------------------------------------------------------


def test_networks_see_ink_and_order_in_0_to_1_directions_in_minus_1_to_1_and_0_elsewhere() -> None:
    picture = packed_of(HOUSE).stroke_picture(torch.tensor([0]), 64)
    found = to_floats(picture)
    assert found.dtype == torch.float32
    lit = picture[:, 0] > 0
    ink, order, x, y = (each[lit] for each in found.unbind(1))
    assert ink.unique().tolist() == [1.0]
    assert order.min() == pytest.approx(1 / 255)
    assert order.max() == 1.0
    assert y.max() == 1.0
    assert (x.min(), y.min()) == (-1.0, -1.0)
    assert (x**2 + y**2).max() == pytest.approx(1, abs=0.01)
    assert not found.transpose(0, 1)[:, ~lit].any()


def test_a_batch_of_strokes_reaches_the_network_and_one_of_ink_as_before() -> None:
    packed = packed_of(HOUSE, [[(0, 0), (255, 255)]])
    strokes, ink = (
        view_of(NetworkOptions(branch="cnn", size=32, channels=channels), 1.0).batch(packed, everyone(packed))
        for channels in ("strokes", "ink")
    )
    assert strokes.raster is not None
    assert ink.raster is not None
    assert torch.equal(strokes.raster, packed.stroke_picture(everyone(packed), 32))
    assert torch.equal(ink.raster, packed.raster(everyone(packed), 32))
    four, one = (pictures_of(batch, torch.device("cpu")) for batch in (strokes, ink))
    assert four is not None
    assert one is not None
    assert torch.equal(four[:, :1], one)
    assert torch.equal(four, to_floats(strokes.raster))
    assert pictures_of(Batch(indices=everyone(packed), labels=everyone(packed)), torch.device("cpu")) is None


def test_picture_and_sequence_of_a_drawing_are_changed_alike() -> None:
    packed = packed_of([[(60, 128), (200, 128)]])
    turned = Augmentation(rotate=180, stretch=0, shift=0, mirror=0)
    batch = View(size=64, channels="strokes", augment=turned).batch(packed, torch.tensor([0]), 1, 2, 3)
    assert batch.raster is not None
    assert batch.sequence is not None
    picture = batch.raster[0].double()
    seen = (picture[2:, picture[0] > 0].mean(1) - 128) / 127
    way = batch.sequence[0, 1, :2].double()
    torch.testing.assert_close(seen, way / way.norm(), atol=0.01, rtol=0)
    assert abs(float(seen[1])) > 0.1  # it was turned


def test_bitmaps_refuse() -> None:
    packed = PackedBitmaps(
        images=torch.zeros(1, 28, 28, dtype=torch.uint8), labels=torch.zeros(1, dtype=torch.int16), classes=("bar",)
    )
    with pytest.raises(ConfigError, match="do not say when a pixel was drawn: use --channels ink"):
        packed.stroke_picture(torch.tensor([0]), 28)
    with pytest.raises(ConfigError, match="use --channels ink"):
        View(size=28, channels="strokes", max_points=None).batch(packed, torch.tensor([0]))
