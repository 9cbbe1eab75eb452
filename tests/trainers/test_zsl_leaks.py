"""No drawing, label or vector of an unseen class has a say in what is learned or chosen: and these tests would tell.

Two questions are asked of a training. Which drawings did any stage, any choice of an epoch and any fit look at? And
what changes when every drawing and every vector of unseen classes is another one? Each is asked of the trainer as it
is, and of trainers into which one thing of an unseen class was slipped, so that what finds nothing is known to find
something.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sketchdata.classes.splits import ClassSplit
from sketchdata.classes.vectors import arranged, read_vectors, write_vectors
from sketchdata.trainers import zsl
from sketchdata.training.loader import Batch, View
from sketchdata.training.packed import PackedSketches, read_packed
from sketchdata.training.run_folder import MODEL, STAGES
from sketchdata.zero_shot.recogniser import read_recognisers
from tests.trainings import loop, network
from tests.zero_shot_trainings import CLASSES, SPLIT, SPLITS, built, config, generated_drawings, vectors_file

METHODS = "sae,sae_reversed,eve"
UNSEEN = [CLASSES.index(word) for word in SPLIT.unseen]
SEEN = [CLASSES.index(word) for word in SPLIT.seen]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a data set and vectors, and with others that differ in unseen classes alone."""
    folder = tmp_path_factory.mktemp("leaks")
    source, other = generated_drawings(folder / "source"), generated_drawings(folder / "other", seed=1)
    built(source, folder / "data")
    for word in SPLIT.unseen:
        (path,) = source.rglob(f"{word}.ndjson")
        shutil.copy(other / path.relative_to(source), path)
    built(source, folder / "changed")
    for name, seed in (("edges", 1), ("words", 2)):
        path = vectors_file(folder / f"{name}.parquet", seed=seed)
        words, vectors, counts = read_vectors(path)
        vectors[UNSEEN] = vectors[UNSEEN] * 3 + 7
        (folder / "other-vectors").mkdir(exist_ok=True)
        write_vectors(folder / "other-vectors" / path.name, words, vectors, counts, {})
    return folder


def train(data: Path, vectors: Path, out: Path, methods: str = "sae") -> Path:
    options = config(data, out, vectors / "edges.parquet", vectors / "words.parquet", methods=methods)
    zsl.run(options, SPLITS, network(), loop())
    return out


# ---- which drawings are looked at ------------------------------------------------------------------------------------


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """Return the key_ids of all drawings of which a batch was made, as they come."""
    found: set[int] = set()
    make = View.batch

    def batch(self: View, packed: PackedSketches, indices: torch.Tensor, *place: int) -> Batch:
        found.update(packed.key_ids[indices].tolist())
        return make(self, packed, indices, *place)

    monkeypatch.setattr(View, "batch", batch)
    return found


def key_ids(data: Path, words: tuple[str, ...], *splits: str) -> set[int]:
    return {key for split in splits for key in read_packed(data, split).of_classes(words).key_ids.tolist()}


EVERY = ("train", "val", "gallery", "query")


@pytest.mark.slow
def test_no_stage_and_no_choice_looks_at_a_drawing_of_an_unseen_class(
    place: Path, tmp_path: Path, looked_at: set[int]
) -> None:
    data = place / "data"
    unseen = key_ids(data, SPLIT.unseen, *EVERY)
    assert len(unseen) == 3 * 44
    train(data, place, tmp_path / "run")
    assert not looked_at & unseen
    assert not looked_at & key_ids(data, SPLIT.seen, "gallery", "query")
    # What it is to look at, it did.
    assert key_ids(data, SPLIT.learned, "train", "val") <= looked_at


def slip_a_drawing(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Give one drawing of an unseen class the label of a seen one, at a certain time that drawings are read."""
    choose: Callable[..., PackedSketches] = PackedSketches.of_classes
    times = iter(range(100))

    def of_classes(self: PackedSketches, words: tuple[str, ...]) -> PackedSketches:
        if next(times) == at:
            labels = self.labels.clone()
            (strange, *_) = torch.isin(labels, torch.tensor(UNSEEN)).nonzero()[:, 0].tolist()
            labels[strange] = self.classes.index(words[0])
            self = dataclasses.replace(self, labels=labels)
        return choose(self, words)

    monkeypatch.setattr(PackedSketches, "of_classes", of_classes)


@pytest.mark.slow
@pytest.mark.parametrize("at", [0, 1, 2], ids=["what stages learn", "what epochs are chosen by", "what is fitted"])
def test_one_drawing_that_is_slipped_in_is_found(
    place: Path, tmp_path: Path, looked_at: set[int], monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    unseen = key_ids(place / "data", SPLIT.unseen, *EVERY)
    slip_a_drawing(monkeypatch, at)
    train(place / "data", place, tmp_path / "run")
    assert len(looked_at & unseen) == 1


@pytest.mark.slow
def test_an_unseen_class_that_is_learned_is_found(
    place: Path, tmp_path: Path, looked_at: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    learned = ClassSplit.learned.fget
    assert learned is not None
    monkeypatch.setattr(ClassSplit, "learned", property(lambda self: (*learned(self), SPLIT.unseen[0])))
    train(place / "data", place, tmp_path / "run")
    assert looked_at & key_ids(place / "data", SPLIT.unseen, "train")


# ---- what depends on them --------------------------------------------------------------------------------------------


def learned_in(run: Path) -> dict[str, Any]:
    """Return all that was learned or chosen in a run, but for prototypes of unseen classes."""
    found: dict[str, Any] = {path.name: path.read_bytes() for path in sorted((run / STAGES).iterdir())}
    found["model"] = (run / MODEL).read_bytes()
    for kept in read_recognisers(run):
        arrays, facts = kept.recogniser.record()
        arrays["prototypes"] = arrays["prototypes"][SEEN]
        found[kept.name] = ({name: array.tobytes() for name, array in arrays.items()}, facts)
    return found


def differing(one: Path, other: Path) -> set[str]:
    before, after = learned_in(one), learned_in(other)
    assert before.keys() == after.keys()
    return {name for name in before if before[name] != after[name]}


@pytest.fixture(scope="module")
def whole(place: Path) -> Path:
    return train(place / "data", place, place / "run", METHODS)


@pytest.mark.slow
def test_other_drawings_of_unseen_classes_change_nothing(place: Path, whole: Path, tmp_path: Path) -> None:
    assert key_ids(place / "changed", SPLIT.unseen, *EVERY).isdisjoint(key_ids(place / "data", SPLIT.unseen, *EVERY))
    assert not differing(whole, train(place / "changed", place, tmp_path / "run", METHODS))


@pytest.mark.slow
def test_other_vectors_of_unseen_classes_change_their_prototypes_alone(
    place: Path, whole: Path, tmp_path: Path
) -> None:
    other = train(place / "data", place / "other-vectors", tmp_path / "run", METHODS)
    assert not differing(whole, other)
    for before, after in zip(read_recognisers(whole), read_recognisers(other), strict=True):
        assert not np.array_equal(before.recogniser.prototypes[UNSEEN], after.recogniser.prototypes[UNSEEN])


@pytest.mark.slow
def test_a_vector_that_is_slipped_in_is_found(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        zsl, "arranged", lambda sources, classes, seen: arranged(sources, classes, np.append(seen, UNSEEN[0]))
    )
    runs = [train(place / "data", place / vectors, tmp_path / f"run-{vectors}") for vectors in (".", "other-vectors")]
    assert {name.split(".")[0] for name in differing(*runs)} == {"edges+words"}
