"""Packed drawings: the device raster equals OpenCV's, sequences follow the points, augmented drawings stay inside."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sketchdata.drawings.drawing import DrawingBatch
from sketchdata.drawings.raster import raster
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.training import packed as module
from sketchdata.training.packed import Augmentation, PackedSketches, draw_by_scattering, draw_segments, pack
from tests.batches import batch_of, read_simplified
from tests.strategies import batches

REAL = Path(os.environ.get("SKETCHDATA_REAL_DATA", "")) / "quickdraw" / "full" / "simplified"
needs_real = pytest.mark.skipif(
    not REAL.is_absolute() or not REAL.is_dir(), reason="SKETCHDATA_REAL_DATA has no drawings"
)

HOUSE = [[(10, 200), (10, 100), (90, 20), (170, 100), (170, 200), (10, 200)], [(60, 60)]]
LINE = [[(0, 0), (255, 255)]]


def everyone(packed: PackedSketches) -> torch.Tensor:
    return torch.arange(len(packed))


def generator(seed: int = 7) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def scattered(packed: PackedSketches, indices: torch.Tensor, size: int) -> torch.Tensor:
    """Draw by the device's way, on the CPU."""
    chosen = packed._chosen(indices, None, None)
    return draw_by_scattering(chosen, module._to_pixels(chosen.xy, size), size)


@pytest.fixture(scope="module")
def real() -> DrawingBatch:
    return read_simplified(sorted(REAL.glob("*.ndjson"))[:60]).slice(0, 2000)


def test_segments_of_all_directions_equal_those_of_opencv() -> None:
    random = np.random.default_rng(1)
    ends = random.integers(0, 40, (3000, 4))
    ends[:100, 2:] = ends[:100, :2]
    found = draw_segments(torch.from_numpy(ends), torch.arange(3000), 3000, 40).numpy()
    for own, (x0, y0, x1, y1) in zip(found, ends.tolist(), strict=True):
        expected = cv2.line(np.zeros((40, 40), np.uint8), (x0, y0), (x1, y1), 255, 1, cv2.LINE_8)
        np.testing.assert_array_equal(own, expected)


@pytest.mark.slow
@needs_real
@pytest.mark.parametrize("size", [224, 96, 64])
def test_the_device_raster_equals_the_fast_one_on_two_thousand_real_drawings(real: DrawingBatch, size: int) -> None:
    packed = pack([real], ("anything",))
    assert len(packed) == 2000
    found = torch.cat([scattered(packed, rows, size) for rows in everyone(packed).split(500)])
    np.testing.assert_array_equal(found.numpy(), raster(real, size=size))


@pytest.mark.slow
@settings(max_examples=40)
@given(batch=batches(), size=st.sampled_from([1, 2, 28, 224]))
def test_both_ways_to_draw_equal_the_fast_raster(batch: DrawingBatch, size: int) -> None:
    packed = pack([batch], ("a",))
    expected = raster(batch, size=size)
    np.testing.assert_array_equal(packed.raster(everyone(packed), size)[:, 0].numpy(), expected)
    np.testing.assert_array_equal(scattered(packed, everyone(packed), size).numpy(), expected)


def test_any_drawings_in_any_order_are_drawn() -> None:
    batch = batch_of(HOUSE, LINE, [[(9, 9)]])
    packed = pack([batch.slice(0, 1), batch.slice(1, 3)], ("a",))
    wanted = [2, 0, 2, 1]
    np.testing.assert_array_equal(
        packed.raster(torch.tensor(wanted), 64)[:, 0].numpy(), raster(batch.take(np.array(wanted)), size=64)
    )


@pytest.mark.parametrize("line_width", [2, 3, 5])
def test_broad_lines_are_thin_ones_dilated_by_a_disc(line_width: int) -> None:
    packed = pack([batch_of(HOUSE)], ("a",))
    thin, broad = (packed.raster(torch.tensor([0]), 96, width)[0, 0].numpy() > 0 for width in (1, line_width))
    # Twice the coordinates; the disc of an even width is centred between pixels.
    shift = 1 - line_width % 2
    ink = 2 * np.argwhere(thin)
    distance = np.sqrt(((2 * np.argwhere(np.ones_like(thin)) + shift)[:, None] - ink[None]) ** 2 @ [1, 1]).min(axis=1)
    np.testing.assert_array_equal(broad.ravel(), distance <= line_width)


def test_a_sequence_holds_ways_and_pen_states() -> None:
    packed = pack([batch_of([[(10, 20), (13, 24)], [(0, 0)]], [[(5, 5)]])], ("a",))
    rows, lengths = packed.sequence(torch.tensor([0, 1]), scale=2.0)
    assert lengths.tolist() == [3, 1]
    assert rows.tolist() == [
        [[0, 0, 1, 0], [1.5, 2, 0, 1], [-6.5, -12, 0, 1]],
        [[0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]],
    ]


def test_a_long_sequence_is_cut_off() -> None:
    packed = pack([batch_of(HOUSE, LINE)], ("a",))
    whole, _ = packed.sequence(everyone(packed))
    rows, lengths = packed.sequence(everyone(packed), max_points=4)
    assert lengths.tolist() == [4, 2]
    assert rows.tolist() == whole[:, :4].tolist()


@pytest.mark.slow
@settings(max_examples=30)
@given(batch=batches())
def test_the_ways_of_a_sequence_lead_from_point_to_point(batch: DrawingBatch) -> None:
    packed = pack([batch], ("a",))
    if not len(packed):
        return
    rows, lengths = packed.sequence(everyone(packed), max_points=10_000)
    bounds = batch.points[batch.strokes]
    for own, length, first, last in zip(rows, lengths, bounds, bounds[1:], strict=False):
        xy = np.stack([batch.x, batch.y], 1)[first:last].astype(np.float32)
        np.testing.assert_array_equal(own[:length, :2].cumsum(0).numpy() + xy[:1], xy)


def test_the_scale_is_the_deviation_of_ways_within_drawings() -> None:
    packed = pack([batch_of([[(0, 0), (10, 0)]], [[(200, 200), (200, 206)], [(200, 200)]])], ("a",))
    assert packed.offset_scale() == pytest.approx(np.std([10, 0, 0, 6, 0, -6], ddof=1))
    assert pack([batch_of([[(1, 1)]])], ("a",)).offset_scale() == 1.0


def test_an_augmentation_of_nothing_changes_nothing() -> None:
    packed = pack([batch_of(HOUSE, LINE)], ("a",))
    none = Augmentation(rotate=0, stretch=0, shift=0, mirror=0)
    for size in (64, 224):
        changed = packed.raster(everyone(packed), size, augment=none, random=generator())
        assert torch.equal(changed, packed.raster(everyone(packed), size))


def test_a_mirrored_drawing_is_the_mirror_image() -> None:
    packed = pack([batch_of([[(0, 0), (255, 100)], [(0, 200), (255, 255)]])], ("a",))
    mirrored = Augmentation(rotate=0, stretch=0, shift=0, mirror=1)
    found = packed.sequence(torch.tensor([0]), augment=mirrored, random=generator())[0]
    plain = packed.sequence(torch.tensor([0]))[0]
    torch.testing.assert_close(found * torch.tensor([-1.0, 1, 1, 1]), plain, atol=1e-4, rtol=0)


def test_wild_changes_leave_drawings_inside_and_their_number_of_points() -> None:
    packed = pack([batch_of(HOUSE, LINE, [[(255, 0)]])], ("a",))
    wild = Augmentation(rotate=180, stretch=0.9, shift=1.0, mirror=0.5)
    for seed in range(50):
        chosen = packed._chosen(everyone(packed), wild, generator(seed))
        assert 0 <= chosen.xy.min() <= chosen.xy.max() <= 255
        assert chosen.lengths.tolist() == [7, 2, 1]


def test_the_same_seed_gives_the_same_changes_and_another_seed_others() -> None:
    packed = pack([batch_of(HOUSE)], ("a",))
    one, same, other = (
        packed.raster(torch.tensor([0]), augment=Augmentation(), random=generator(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    with pytest.raises(ConfigError, match="random generator"):
        packed.raster(torch.tensor([0]), augment=Augmentation())


def test_strokes_are_dropped_but_never_all() -> None:
    strokes = [[(row, 0), (row, 9)] for row in range(20)]
    packed = pack([batch_of(strokes, [[(1, 1), (2, 2)]])], ("a",))
    quiet = {"rotate": 0.0, "stretch": 0.0, "shift": 0.0, "mirror": 0.0}
    all_but_one = packed._chosen(everyone(packed), Augmentation(**quiet, drop_strokes=1.0), generator())
    assert all_but_one.lengths.tolist() == [2, 2]
    half = packed._chosen(everyone(packed), Augmentation(**quiet, drop_strokes=0.5), generator())
    assert 4 < half.lengths[0] < 36


def test_what_cannot_be_packed_is_refused() -> None:
    with pytest.raises(SketchDataError, match="raw drawings"):
        pack([batch_of([[(1.5, 2.5)]], raw=True)], ("a",))
    with pytest.raises(SketchDataError, match="a stroke of 32,768 points is longer"):
        pack([batch_of([[(1, 1)] * 32_768])], ("a",))


def test_moving_to_a_device_keeps_everything() -> None:
    packed = pack([batch_of(HOUSE, LINE)], ("a",))
    there = packed.to("cpu")
    assert len(there) == 2
    assert there.nbytes == packed.nbytes == 9 * 2 + 3 * 2 + 2 * 3 * 4 + 2 * 2 + 2 * 8


# ---- some classes ----------------------------------------------------------------------------------------------------

CLASSES = ("ant", "bee", "cat", "dog")


def only(batch: DrawingBatch, words: tuple[str, ...]) -> PackedSketches:
    """Pack the drawings of some classes alone, as if there were no others."""
    labels = [CLASSES.index(word) for word in words]
    rows = np.flatnonzero(np.isin(batch.label, labels))
    own = batch.take(rows)
    new = np.array([labels.index(label) for label in own.label.tolist()], np.uint16)
    return pack([dataclasses.replace(own, label=new)], words)


def assert_same_packed(found: PackedSketches, expected: PackedSketches) -> None:
    assert found.classes == expected.classes
    for name, tensor in expected._tensors().items():
        own = found._tensors()[name]
        assert own.dtype == tensor.dtype, name
        assert torch.equal(own, tensor), name


@settings(max_examples=40)
@given(batch=batches(labels=4, max_size=12), words=st.permutations(CLASSES), count=st.integers(1, 4))
def test_the_drawings_of_some_classes_are_packed_as_if_there_were_no_others(
    batch: DrawingBatch, words: list[str], count: int
) -> None:
    wanted = tuple(words[:count])
    packed = pack([batch], CLASSES)
    found, expected = packed.of_classes(wanted), only(batch, wanted)
    assert_same_packed(found, expected)
    everything = everyone(found)
    np.testing.assert_array_equal(found.raster(everything, 28).numpy(), expected.raster(everything, 28).numpy())


def test_all_classes_in_their_order_change_nothing_and_their_labels_follow_another_order() -> None:
    packed = pack([batch_of(HOUSE, LINE, [[(9, 9)]], labels=[2, 0, 2])], CLASSES)
    assert_same_packed(packed.of_classes(CLASSES), packed)
    assert packed.of_classes(CLASSES[::-1]).labels.tolist() == [1, 3, 1]


def test_classes_without_drawings_stay_in_the_table_and_unknown_ones_are_refused() -> None:
    packed = pack([batch_of(HOUSE, LINE, labels=[1, 2])], CLASSES)
    found = packed.of_classes(("dog", "cat"))
    assert (found.classes, found.labels.tolist(), found.key_ids.tolist()) == (
        ("dog", "cat"),
        [1],
        packed.key_ids[1:].tolist(),
    )
    assert len(packed.of_classes(("ant", "dog"))) == 0
    with pytest.raises(ValueError, match="not in tuple"):
        packed.of_classes(("ant", "elk"))
