"""Batches for training: every drawing once an epoch, shared out among ranks, the same again from any step on."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sketchdata.drawings.drawing import DrawingBatch
from sketchdata.training.loader import Batch, Order, PackedLoader, View, generator
from sketchdata.training.packed import Augmentation, pack
from tests.batches import batch_of

CLASSES = ("a", "b", "c")
SMALL = View(size=32, max_points=16, augment=Augmentation(drop_strokes=0.2))


def drawings(count: int) -> DrawingBatch:
    return batch_of(
        *([[(each, 0), (255, each)], [(each, each)]] for each in range(count)), labels=[i % 3 for i in range(count)]
    )


def same(one: Batch, other: Batch) -> bool:
    names = ("indices", "labels", "raster", "sequence", "lengths")
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in names)


@given(
    count=st.integers(1, 200),
    batch_size=st.integers(1, 50),
    world=st.integers(1, 4),
    shuffle=st.booleans(),
    epoch=st.integers(0, 3),
)
def test_the_ranks_together_see_every_item_once(
    count: int, batch_size: int, world: int, shuffle: bool, epoch: int
) -> None:
    orders = [
        Order(count=count, batch_size=batch_size, shuffle=shuffle, rank=rank, world_size=world) for rank in range(world)
    ]
    parts = [list(order.indices(epoch)) for order in orders]
    assert {len(part) for part in parts} == {orders[0].steps}
    seen = sorted(int(item) for part in parts for batch in part for item in batch)
    left_out = count - len(seen)
    assert len(set(seen)) == len(seen)
    # Only of the last batch, and only when a rank would have had nothing of it; or when every batch is so small.
    assert left_out in (0, count % batch_size) or batch_size < world


def test_epochs_and_seeds_differ_and_repeat() -> None:
    order = Order(count=100, batch_size=100, seed=3)
    assert torch.equal(next(order.indices(1)), next(order.indices(1)))
    assert not torch.equal(next(order.indices(1)), next(order.indices(2)))
    assert not torch.equal(next(order.indices(1)), next(dataclasses.replace(order, seed=4).indices(1)))
    assert torch.equal(torch.cat(list(order.indices(5))).sort().values, torch.arange(100))


def test_places_of_a_run_have_streams_of_their_own() -> None:
    places = [(seed, *path) for seed in (0, 1) for path in ((), (0,), (1,), (0, 0), (0, 1), (1, 0))]
    drawn = {float(torch.rand(1, generator=generator(*place), dtype=torch.float64)) for place in places}
    assert len(drawn) == len(places)


def test_an_epoch_goes_on_from_any_step_with_the_same_batches() -> None:
    loader = PackedLoader(packed=pack([drawings(50)], CLASSES), order=Order(count=50, batch_size=8), view=SMALL)
    whole = list(loader.batches(2))
    assert len(whole) == loader.steps == 7
    for start in range(8):
        rest = list(loader.batches(2, start))
        assert len(rest) == 7 - start
        assert all(same(one, other) for one, other in zip(rest, whole[start:], strict=True))


def test_bitmap_and_sequence_are_changed_alike() -> None:
    mirrored = View(size=64, max_points=16, augment=Augmentation(rotate=40, mirror=1.0))
    packed = pack([batch_of([[(0, 0), (255, 0), (255, 255)]])], CLASSES)
    batch = mirrored.batch(packed, torch.tensor([0]), 0, 0, 0)
    assert batch.raster is not None
    assert batch.sequence is not None
    rows, columns = torch.nonzero(batch.raster[0, 0], as_tuple=True)
    ways = batch.sequence[0, :, :2].cumsum(0) * 63 / 255
    assert float(columns.max() - columns.min()) == pytest.approx(float(ways[:, 0].max() - ways[:, 0].min()), abs=1)
    assert float(rows.max() - rows.min()) == pytest.approx(float(ways[:, 1].max() - ways[:, 1].min()), abs=1)


def test_a_view_makes_only_what_is_wanted() -> None:
    packed = pack([drawings(4)], CLASSES)
    pictures = View(max_points=None).batch(packed, torch.tensor([1, 2]), 0)
    assert pictures.raster is not None
    assert pictures.raster.shape == (2, 1, 224, 224)
    assert pictures.sequence is pictures.lengths is None
    assert View(size=None).batch(packed, torch.tensor([1]), 0).raster is None
    assert pictures.labels.tolist() == [1, 2]
