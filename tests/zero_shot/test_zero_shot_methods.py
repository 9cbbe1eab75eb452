"""Zero-shot methods together: they find known prototypes, see nothing of unseen classes, and refuse bad input."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.zero_shot import (
    ZERO_SHOT_METHODS,
    Embedding,
    Regression,
    ZeroShotRecogniser,
    fit_upper_bound,
    restore_recogniser,
    training_set,
)
from sketchdata.zero_shot.method import hold_out
from sketchdata.zero_shot.training_set import make_training_set
from tests.zero_shot_toys import CLASSES, SEEN, UNSEEN, make_toy, small

VALIDATION = SEEN[::4]
every_method = pytest.mark.parametrize("name", ZERO_SHOT_METHODS)
#: Methods without networks, which are quick.
CLOSED = ("sae", "sae_reversed", "eszsl")


def hit_of_unseen(recogniser: ZeroShotRecogniser, toy: Any) -> float:
    asked = ~toy.of_seen
    scores = recogniser.scores(toy.features[asked])[:, UNSEEN]
    return float((UNSEEN[scores.argmax(axis=1)] == toy.labels[asked]).mean())


@every_method
def test_unseen_classes_are_recognised_where_vectors_tell_where_drawings_lie(name: str) -> None:
    toy = make_toy()
    recogniser = small(name).fit(*toy.seen())
    # Chance is 0.125.
    assert hit_of_unseen(recogniser, toy) > 0.6
    assert recogniser.unseen.tolist() == UNSEEN.tolist()
    scores = recogniser.scores(toy.features[:5])
    assert (scores.shape, scores.dtype) == ((5, CLASSES), np.float32)


def test_the_prototypes_of_eve_are_the_known_ones() -> None:
    toy = make_toy(noise=0.05)
    method = replace(small("eve"), learn=Regression(hidden=0, rate=1e-2), constants={"decay": 0.0, "steps": 1000})
    found = method.fit(*toy.seen()).prototypes
    assert np.abs(found - toy.means).max() < 0.1 < np.abs(toy.means - toy.means.mean(axis=0)).mean()


@pytest.mark.slow
@every_method
def test_constants_and_gamma_are_chosen_on_validation_classes_and_the_same_seed_chooses_the_same(name: str) -> None:
    toy, state = make_toy(), torch.random.get_rng_state()
    method = small(name)
    first, again = (method.fit(*toy.seen(), VALIDATION, 3) for _ in range(2))
    assert first.constants in method.grid
    assert first.constants == again.constants
    assert first.gamma == again.gamma != 0
    assert (first.scores(toy.features) == again.scores(toy.features)).all()
    assert first.prototypes.shape[0] == CLASSES
    assert torch.equal(torch.random.get_rng_state(), state)
    lowered = first.scores(toy.features) - first.scores(toy.features, calibrated=True)
    assert lowered[:, UNSEEN] == pytest.approx(0)
    assert lowered[:, SEEN] == pytest.approx(first.gamma, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("name", ["eve", "relation", "recipe", "conse"])
def test_another_seed_gives_other_networks(name: str) -> None:
    toy = make_toy()
    one, other = (small(name).fit(*toy.seen(), seed=seed).scores(toy.features[:9]) for seed in (0, 1))
    assert (one != other).any()


# The leak tests: a method is to know nothing of unseen classes but their vectors, and these only when it is asked.


@every_method
def test_a_drawing_of_an_unseen_class_is_refused(name: str) -> None:
    toy = make_toy()
    features, labels, vectors, seen = toy.seen()
    slipped_in = np.flatnonzero(~toy.of_seen)[0]
    features = np.concatenate([features, toy.features[slipped_in, None]])
    labels = np.append(labels, toy.labels[slipped_in])
    with pytest.raises(ConfigError, match="1 drawings are of unseen classes"):
        ZERO_SHOT_METHODS[name].fit(features, labels, vectors, seen)


@pytest.mark.slow
@every_method
def test_what_is_learnt_does_not_depend_on_unseen_classes(name: str) -> None:
    toy, method = make_toy(), small(name)
    vectors = toy.vectors.copy()
    vectors[UNSEEN] = np.random.default_rng(9).normal(5, 3, vectors[UNSEEN].shape)
    features = toy.features.copy()
    features[~toy.of_seen] = 1e6
    as_it_is = method.fit(*toy.seen(), VALIDATION)
    other = method.fit(features[toy.of_seen], toy.labels[toy.of_seen], vectors, SEEN, VALIDATION)
    assert (as_it_is.gamma, as_it_is.constants) == (other.gamma, other.constants)
    mine, theirs = (each.scores(toy.features) for each in (as_it_is, other))
    # Products of other shapes may be added up in another order.
    assert mine[:, SEEN] == pytest.approx(theirs[:, SEEN], rel=1e-4, abs=1e-4)
    assert np.abs(mine[:, UNSEEN] - theirs[:, UNSEEN]).max() > 1e-2


def test_validation_classes_are_not_learnt_from_while_choices_are_made() -> None:
    toy = make_toy(drawings=130)
    whole = make_training_set(*toy.seen())
    known, validation_set = hold_out(whole, VALIDATION)
    learnt = toy.labels[toy.of_seen][known.rows]
    assert np.unique(learnt).tolist() == known.seen.tolist() == np.setdiff1d(SEEN, VALIDATION).tolist()
    asked = {row.tobytes() for row in validation_set.features}
    assert asked.isdisjoint(row.tobytes() for row in whole.features[known.rows])
    counts = np.bincount(validation_set.labels, minlength=CLASSES)
    assert (counts[VALIDATION] == 100).all()
    assert (counts[known.seen] == 26).all()
    assert (counts[UNSEEN] == 0).all()


def test_a_class_of_one_drawing_is_learnt_from_and_not_asked() -> None:
    toy = make_toy(drawings=1)
    known, validation_set = hold_out(make_training_set(*toy.seen()), VALIDATION)
    assert np.unique(validation_set.labels).tolist() == VALIDATION.tolist()
    assert len(known.rows) == len(SEEN) - len(VALIDATION)
    assert small("sae").fit(*toy.seen(), VALIDATION).gamma == 0


def test_the_upper_bound_takes_the_means_of_all_classes() -> None:
    toy = make_toy()
    half = np.arange(len(toy.labels)) % 2 == 0
    upper_bound = fit_upper_bound(toy.features[half], toy.labels[half], toy.vectors, SEEN)
    expected = [toy.features[half & (toy.labels == place)].mean(axis=0) for place in range(CLASSES)]
    assert upper_bound.prototypes == pytest.approx(np.array(expected), abs=1e-5)
    others = toy.features[~half]
    apart = np.square(others[:, None].astype(np.float64) - upper_bound.prototypes).sum(axis=2)
    assert upper_bound.scores(others) == pytest.approx(-apart, rel=1e-4, abs=1e-4)
    with pytest.raises(ConfigError, match="none of places 0, 4, 8"):
        fit_upper_bound(*toy.seen())
    with pytest.raises(ConfigError, match="no unseen class"):
        fit_upper_bound(toy.features, toy.labels, toy.vectors, np.arange(CLASSES))


FITTED = small("sae").fit(*make_toy().seen())


def wrong(**changes: Any) -> Callable[[], object]:
    features, labels, vectors, seen = make_toy().seen()
    given = {"features": features, "labels": labels, "vectors": vectors, "seen": seen, **changes}
    return lambda: ZERO_SHOT_METHODS["sae"].fit(**given)


def changed(array: np.ndarray, place: Any, value: float) -> np.ndarray:
    array = array.copy()
    array[place] = value
    return array


FEATURES, LABELS, VECTORS, _ = make_toy().seen()


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (wrong(features=changed(FEATURES, (7, 2), np.nan)), r"row 7 \(from 0\)"),
        (wrong(features=changed(FEATURES, (7, 2), np.inf)), r"row 7 \(from 0\)"),
        (wrong(features=FEATURES[:9]), "are needed"),
        (wrong(features=FEATURES[0]), "are needed"),
        (wrong(labels=LABELS.astype(float)), "labels are whole numbers"),
        (wrong(labels=changed(LABELS, 3, -1)), "unseen classes: places -1"),
        (wrong(features=FEATURES[LABELS != 5], labels=LABELS[LABELS != 5]), "none of places 5"),
        (wrong(features=np.ones_like(FEATURES)), "all features are the same"),
        (wrong(vectors=changed(VECTORS, 4, np.nan)), "1 classes have no vector.* places 4; leave"),
        (wrong(vectors=changed(VECTORS, [4, 5], 0)), "2 classes have no vector.* places 4, 5; leave"),
        (wrong(vectors=np.ones_like(VECTORS)), "vectors of all seen classes are the same"),
        (wrong(vectors=VECTORS[:30]), "seen classes are different places in 0..29"),
        (wrong(vectors=VECTORS[0]), r"\(L, S\)"),
        (wrong(seen=np.arange(CLASSES)), "no unseen class"),
        (wrong(seen=[1]), "at least two seen classes, not 1"),
        (wrong(seen=[]), "at least two seen classes, not 0"),
        (wrong(seen=[1, 1, 2]), "different places"),
        (wrong(seen=[1, CLASSES]), "different places"),
        (wrong(seed=-1), "seeds are counted from 0"),
        (wrong(validation=[1, int(UNSEEN[0])]), "some of these are not seen"),
        (wrong(validation=[1]), "two validation classes and two others"),
        (wrong(validation=SEEN[1:]), "not 27 and 1"),
        (lambda: FITTED.scores(np.ones((2, 5))), r"\(N, 24\) features, and is given \(2, 5\)"),
        (lambda: FITTED.scores(np.full((2, 24), np.nan)), "row 0"),
        (lambda: FITTED.embedded(np.ones(24)), "is given"),
        (lambda: restore_recogniser({}, {}), "do not belong to a recogniser"),
        (
            lambda: small("eve").learn(make_training_set(*make_toy().seen()), [{"decay": 0, "steps": 0}]).__next__(),
            "1 step",
        ),
        (
            lambda: replace(small("eve"), learn=Regression(optimiser="newton")).fit(*make_toy().seen()),
            "choose one of adamw, adam, rmsprop",
        ),
    ],
)
def test_what_cannot_be_learnt_from_or_recognised_is_refused(ask: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ask()


def test_a_network_that_runs_away_is_told() -> None:
    method = replace(small("eve"), learn=Regression(hidden=8, rate=1e30), constants={"decay": 0, "steps": 9})
    with pytest.raises(SketchDataError, match="not finite after 9 steps: lower its learning rate"):
        method.fit(*make_toy().seen())


@every_method
def test_a_recogniser_is_the_same_after_it_was_kept(name: str) -> None:
    toy = make_toy()
    recogniser = small(name).fit(*toy.seen(), VALIDATION)
    again = restore_recogniser(*recogniser.record())
    assert (again.scores(toy.features, calibrated=True) == recogniser.scores(toy.features, calibrated=True)).all()
    assert again.constants == recogniser.constants
    assert again.validation_hit == recogniser.validation_hit is not None


def test_drawings_and_prototypes_lie_in_one_space() -> None:
    toy = make_toy()
    for name in ("sae_reversed", "eve_reversed", "conse", "recipe"):
        recogniser = small(name).fit(*toy.seen())
        embedded = recogniser.embedded(toy.features[:7])
        assert embedded.shape == (7, recogniser.prototypes.shape[1])
        if name == "eve_reversed":
            apart = np.square(embedded[:, None] - recogniser.prototypes).sum(axis=2)
            assert recogniser.scores(toy.features[:7]) == pytest.approx(-apart, rel=1e-4, abs=1e-4)
    assert recogniser.embedded(toy.features[:0]).shape == (0, 24)
    assert recogniser.scores(toy.features[:0]).shape == (0, CLASSES)


@pytest.mark.slow
def test_rows_in_blocks_give_the_same_as_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    toy = make_toy()
    whole = [small(name).fit(*toy.seen()).scores(toy.features) for name in CLOSED]
    monkeypatch.setattr(training_set, "CELLS_AT_ONCE", 1000)
    monkeypatch.setattr("sketchdata.zero_shot.recogniser._CELLS_AT_ONCE", 1000)
    parts = [small(name).fit(*toy.seen()).scores(toy.features) for name in CLOSED]
    assert np.array(parts) == pytest.approx(np.array(whole), rel=1e-4, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sae", "eszsl", "eve", "conse", "recipe"])
def test_features_are_not_copied(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    file = np.memmap(tmp_path / "features", np.float32, "w+", shape=(40_000, 128))
    file[:] = random.random(file.shape, np.float32)
    labels = np.arange(len(file)) % 10
    for module in (training_set, training_set):
        monkeypatch.setattr(module, "CELLS_AT_ONCE", 1 << 17)
    method = small(name)
    vectors = random.normal(size=(12, 6)).astype(np.float32)
    tracemalloc.start()
    method.fit(file, labels, vectors, np.arange(10))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < file.nbytes / 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is at hand")
@pytest.mark.parametrize("name", ["eve", "eve_reversed", "recipe", "relation", "conse"])
def test_a_gpu_recognises_as_well_as_the_cpu(name: str) -> None:
    toy = make_toy()
    assert hit_of_unseen(small(name).on("cuda").fit(*toy.seen()), toy) > 0.6


def test_an_embedding_moves_turns_and_scales() -> None:
    rows = np.array([[3.0, 4.0], [1.0, 1.0]])
    assert Embedding()(rows) is rows
    assert Embedding(unit=True)(rows)[0] == pytest.approx([0.6, 0.8])
    turned = Embedding(offset=np.ones(2), matrix=np.array([[0.0], [2.0]]))(rows)
    assert turned.tolist() == [[6.0], [0.0]]
