"""Triplets: which classes are negative ones, how often, and that seed, epoch and step decide everything."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from sketchdata.cross_domain.sampling import TripletOrder, TripletRows, negative_probabilities
from sketchdata.errors import ConfigError

DRAWINGS = torch.tensor([0] * 7 + [1] * 5 + [2] * 6 + [3] * 6)
PHOTOS = torch.tensor([3, 0, 1, 2, 2, 1, 0, 0, 3, 2, 2])


def unit(count: int, size: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, size))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def order(negatives: np.ndarray | None = None, **others: int) -> TripletOrder:
    settings = {"batch_size": 5, "seed": 3, **others}
    chances = negative_probabilities(4) if negatives is None else negatives
    return TripletOrder(DRAWINGS, PHOTOS, chances, **settings)


def flat(rows: TripletRows) -> list[list[int]]:
    return [rows.anchors.tolist(), rows.positives.tolist(), rows.negatives.tolist()]


def test_negative_classes_are_drawn_by_the_distance_of_their_words() -> None:
    vectors = unit(5, 3)
    exact = vectors.astype(np.float64)
    for i, row in enumerate(negative_probabilities(5, vectors)):
        weights = [0 if j == i else np.exp(-((exact[i] - exact[j]) ** 2).sum() / 0.1) for j in range(5)]
        np.testing.assert_allclose(row, np.array(weights) / sum(weights), rtol=1e-9)


def test_without_words_all_other_classes_are_as_probable() -> None:
    np.testing.assert_array_equal(negative_probabilities(3), [[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])


def test_far_words_and_equal_words_still_have_probabilities() -> None:
    stored = 100 * unit(4, 3)
    stored[1] = stored[0]
    found = negative_probabilities(4, stored)
    np.testing.assert_allclose(found.sum(1), 1)
    assert found[0, 1] == found[1, 0] == 1, "two classes with one vector are each other's negative class"
    assert np.isfinite(found).all()


def test_one_class_has_no_negative_one() -> None:
    with pytest.raises(ConfigError, match="there are 1 classes: 2 are needed"):
        negative_probabilities(1)


def test_every_drawing_is_an_anchor_once_an_epoch() -> None:
    triplets = order()
    for epoch in (0, 1):
        batches = [rows.anchors for rows in triplets.rows(epoch)]
        assert len(batches) == triplets.steps == 5
        assert sorted(torch.cat(batches).tolist()) == list(range(24))
    first, second = (torch.cat([rows.anchors for rows in triplets.rows(epoch)]).tolist() for epoch in (0, 1))
    assert first != second


def test_positives_are_of_the_anchor_s_class_and_negatives_are_not() -> None:
    triplets = order()
    for epoch in range(20):
        for rows in triplets.rows(epoch):
            assert (PHOTOS[rows.positives] == DRAWINGS[rows.anchors]).all()
            assert (PHOTOS[rows.negatives] != DRAWINGS[rows.anchors]).all()


def test_negatives_and_positives_come_as_often_as_their_probabilities_say() -> None:
    chances = negative_probabilities(4, unit(4, 3, seed=2) / 3)
    triplets, epochs = order(chances, batch_size=24), 700
    counts, photos = np.zeros((4, 4)), np.zeros(len(PHOTOS))
    others = np.zeros(len(PHOTOS))
    for epoch in range(epochs):
        for rows in triplets.rows(epoch):
            np.add.at(counts, (DRAWINGS[rows.anchors].numpy(), PHOTOS[rows.negatives].numpy()), 1)
            np.add.at(photos, rows.positives.numpy(), 1)
            np.add.at(others, rows.negatives.numpy(), 1)
    totals = counts.sum(1, keepdims=True)
    deviation = np.sqrt(totals * chances * (1 - chances)) + 1e-9
    assert (np.abs(counts - totals * chances) < 4 * deviation + 1e-6).all()
    assert chances[0].max() > 2 * chances[0][chances[0] > 0].min(), "the probabilities differ at all"
    for own in (photos, others):
        for label in range(4):
            each = own[PHOTOS.numpy() == label]
            assert (np.abs(each - each.mean()) < 4 * np.sqrt(each.mean())).all()


def test_a_step_is_a_function_of_seed_epoch_and_step() -> None:
    whole = [flat(rows) for rows in order().rows(2)]
    assert [flat(rows) for rows in order().rows(2, start=3)] == whole[3:]
    assert [flat(rows) for rows in order().rows(2)] == whole
    assert [flat(rows) for rows in order(seed=4).rows(2)] != whole
    assert all(one != other for one, other in pairwise(whole))


def test_ranks_share_the_triplets_of_a_step() -> None:
    whole = list(order(batch_size=6).rows(1))
    parts = [list(order(batch_size=6, rank=rank, world_size=2).rows(1)) for rank in (0, 1)]
    for rows, zero, one in zip(whole, *parts, strict=True):
        for name in ("anchors", "positives", "negatives"):
            own = getattr(rows, name)
            assert getattr(zero, name).tolist() == own[::2].tolist()
            assert getattr(one, name).tolist() == own[1::2].tolist()


def test_a_last_batch_of_fewer_triplets_than_ranks_is_left_out() -> None:
    few = order(batch_size=23, rank=1, world_size=2)
    assert few.steps == len(list(few.rows(0))) == 1


def test_a_class_without_photos_is_told() -> None:
    with pytest.raises(ConfigError, match="class 3 has drawings and no photo"):
        TripletOrder(DRAWINGS, PHOTOS[PHOTOS < 3], negative_probabilities(4), batch_size=4)
