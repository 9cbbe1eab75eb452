"""Confident learning follows its formulas, and the recogniser behind it learns and judges only what it did not see."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from cleanlab import count, rank
from hypothesis import given
from hypothesis import strategies as st

from sketchdata.curation import labels
from sketchdata.drawings.drawing import DrawingBatch, concatenate, empty_batch
from sketchdata.synth import generate

CLASSES = 4


def guesses(seed: int, count: int = 120) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return labels, of which some are wrong, and probabilities that mostly know the true class."""
    random = np.random.default_rng(seed)
    true = random.integers(0, CLASSES, count)
    scores = random.normal(size=(count, CLASSES)) + 2.5 * np.eye(CLASSES)[true]
    given = np.where(random.random(count) < 0.15, random.integers(0, CLASSES, count), true)
    given[:CLASSES] = range(CLASSES)
    return given, np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)


def plain_joint(label: npt.NDArray[np.int64], found: npt.NDArray[np.float64]) -> list[list[int]]:
    """Count Eq. 1 of the paper drawing by drawing."""
    means = [sum(p[j] for p in found[label == j]) / sum(label == j) for j in range(CLASSES)]
    joint = [[0] * CLASSES for _ in range(CLASSES)]
    for each, p in zip(label.tolist(), found.tolist(), strict=True):
        if above := [j for j in range(CLASSES) if p[j] >= means[j]]:
            joint[each][max(above, key=lambda j: p[j])] += 1
    return [[max(n, int(i == j)) for j, n in enumerate(row)] for i, row in enumerate(joint)]


def our_joint(label: npt.NDArray[np.int64], found: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    thresholds = labels.class_thresholds(labels.self_confidence(found, label), label, CLASSES)
    return labels.confident_joint(label, labels.confident_class(found, thresholds), CLASSES)


@given(st.integers(0, 10_000))
def test_the_joint_is_that_of_the_paper(seed: int) -> None:
    label, found = guesses(seed)
    assert our_joint(label, found).tolist() == plain_joint(label, found)


@pytest.mark.parametrize("seed", range(5))
def test_joint_and_ranking_are_those_of_cleanlab(seed: int) -> None:
    label, found = guesses(seed)
    joint, suspects = count.compute_confident_joint(label, found, calibrate=False, return_indices_of_off_diagonals=True)
    ours = our_joint(label, found)
    assert ours.tolist() == joint.tolist()
    thresholds = labels.class_thresholds(labels.self_confidence(found, label), label, CLASSES)
    confident = labels.confident_class(found, thresholds)
    assert np.flatnonzero((confident >= 0) & (confident != label)).tolist() == list(suspects)
    margin = rank.get_label_quality_scores(label, found, method="normalized_margin")
    np.testing.assert_allclose(labels.normalised_margin(found, label), margin)
    calibrated = count.calibrate_confident_joint(joint, label)
    np.testing.assert_allclose(labels.calibrated_joint(ours, label), calibrated, atol=1)


def test_the_calibrated_joint_has_as_many_drawings_per_class_as_the_data() -> None:
    label, found = guesses(7)
    calibrated = labels.calibrated_joint(our_joint(label, found), label)
    np.testing.assert_allclose(calibrated.sum(axis=1), np.bincount(label))


def test_nothing_is_confidently_of_a_class_without_drawings() -> None:
    label, found = guesses(1)
    label[label == 3] = 0
    thresholds = labels.class_thresholds(labels.self_confidence(found, label), label, CLASSES)
    assert thresholds[3] == np.inf
    assert 3 not in labels.confident_class(found, thresholds)


def drawings_of(*words: str, count: int, start: int = 0) -> DrawingBatch:
    return concatenate([generate(word, count, seed=0, start=start, label=n) for n, word in enumerate(words)])


def test_the_recogniser_learns_classes_and_the_same_seed_gives_the_same_weights() -> None:
    seen, other = (drawings_of("cat", "star", "house", count=40, start=start) for start in (0, 40))
    trained = [labels.train_recogniser(labels.line_features(seen), seen.label, 3, epochs=15, seed=1) for _ in range(2)]
    found = trained[0].probabilities(labels.line_features(other))
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    assert (found.argmax(axis=1) == other.label).mean() > 0.8
    assert all((a == b).all() for a, b in zip(*(each.weights for each in trained), strict=True))


def test_features_do_not_depend_on_neighbours_or_the_direction_of_a_stroke() -> None:
    batch = drawings_of("cat", "star", count=5)
    together = labels.line_features(batch)
    alone = np.concatenate([labels.line_features(batch.slice(row, row + 1)) for row in range(len(batch))])
    np.testing.assert_array_equal(together, alone)
    assert labels.line_features(empty_batch()).shape == (0, labels.FEATURES)


@given(st.integers(2, 20), st.integers(0, 2**64 - 1))
def test_a_fold_depends_on_the_key_id_alone(folds: int, seed: int) -> None:
    key_id = np.arange(500, dtype=np.uint64)
    found = labels.folds_of(key_id, folds, seed)
    assert found.max() < folds
    np.testing.assert_array_equal(found[100:200], labels.folds_of(key_id[100:200], folds, seed))
