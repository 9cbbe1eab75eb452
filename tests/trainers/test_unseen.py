"""Classes that are held out: a training that does not see them is the one on a data set without them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import torch

from sketchdata.classes.splits import draw_classes
from sketchdata.curation.plan import normal_rows
from sketchdata.errors import ConfigError
from sketchdata.pipelines import quickdraw, synth
from sketchdata.pipelines.audit import EntropyConfig, audit_entropy
from sketchdata.storage.tensors import read_tensors
from sketchdata.trainers import hashing, recognition
from sketchdata.trainers.recognition import Config, run
from sketchdata.training.bitmaps import read_bitmaps, read_split
from sketchdata.training.encoder import encode, read_encoder
from sketchdata.training.packed import read_packed
from sketchdata.training.run_folder import MODEL, RECORD, REPORT, STAGES
from tests.bitmap_folders import CLASSES as BITMAP_CLASSES
from tests.bitmap_folders import bitmap_folder
from tests.builds import IN_PROCESS
from tests.trainings import EPOCHS, loop, network

CLASSES = ("cat", "fish", "house", "star")
UNSEEN = draw_classes(CLASSES, 1)
SEEN = tuple(word for word in CLASSES if word not in UNSEEN)
ONE_EACH = dict.fromkeys(EPOCHS, 1)


def built(folder: Path, name: str, categories: tuple[str, ...]) -> Path:
    """Build a data set of some classes of the same generated drawings; return its folder."""
    sizes = {"train": 25, "val": 10, "gallery": 6, "query": 4}
    options = {"source": str(folder / "source"), "categories": ",".join(categories), "out": folder / name}
    quickdraw.run(quickdraw.Config(**options, **sizes), IN_PROCESS)
    return folder / name


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a data set of all classes, and one that has never heard of the one to be held out."""
    folder = tmp_path_factory.mktemp("unseen")
    synth.run(synth.Config(out=folder / "source", drawings=60, categories=",".join(CLASSES)), IN_PROCESS)
    built(folder, "all", CLASSES)
    built(folder, "seen", SEEN)
    return folder


def config(data: Path, out: Path, **others: Any) -> Config:
    return Config(data=data, out=out, **{**ONE_EACH, "width": 8, **others})


@pytest.fixture(scope="module")
def held(place: Path) -> Path:
    """Return the folder of a training on all classes but one."""
    run(config(place / "all", place / "held", unseen=1), network(), loop(batch_size=64))
    return place / "held"


def test_a_class_was_held_out_that_is_not_the_last_one() -> None:
    assert len(UNSEEN) == 1
    assert CLASSES[-1:] != UNSEEN  # labels beyond it are others then


def test_what_is_packed_for_learning_is_what_a_data_set_without_the_class_holds(place: Path) -> None:
    for split in ("train", "val"):
        found = read_packed(place / "all", split).of_classes(SEEN)
        expected = read_packed(place / "seen", split)
        assert found.classes == expected.classes == SEEN
        for name, tensor in expected._tensors().items():
            assert torch.equal(found._tensors()[name], tensor), (split, name)


@pytest.mark.slow
def test_the_network_is_that_of_a_data_set_without_the_class_to_the_bit(place: Path, held: Path) -> None:
    run(config(place / "seen", place / "plain"), network(), loop(batch_size=64))
    assert (held / MODEL).read_bytes() == (place / "plain" / MODEL).read_bytes()
    # The centres were computed of the normal drawings of the classes that are seen.
    centers = read_tensors(held / STAGES / "class-centers.safetensors")[0]["class-centers"]
    assert centers.shape == (len(SEEN), 8)
    everything = run(config(place / "all", place / "everything"), network(), loop(batch_size=64))
    assert everything["classes"] == len(CLASSES)
    assert (held / MODEL).read_bytes() != (place / "everything" / MODEL).read_bytes()


def test_the_records_name_the_classes_that_were_seen_and_those_that_were_not(held: Path) -> None:
    record = orjson.loads((held / RECORD).read_bytes())
    assert (record["classes"], record["unseen"], record["options"]["unseen"]) == (list(SEEN), list(UNSEEN), 1)
    report = orjson.loads((held / REPORT).read_bytes())
    assert (report["classes"], report["drawings"]) == (3, 3 * 25)
    assert read_encoder(held).classes == SEEN


def test_unseen_drawings_have_codes_under_the_labels_of_the_data_set(place: Path, held: Path) -> None:
    query = read_split(place / "all", "query").of_classes(UNSEEN)
    codes = encode(read_encoder(held), query)
    assert codes.classes == UNSEEN
    assert codes.labels.tolist() == [0] * 4
    whole = encode(read_encoder(held), read_split(place / "all", "query"))
    own = np.flatnonzero(whole.labels == CLASSES.index(UNSEEN[0]))
    assert set(codes.key_ids.tolist()) == set(whole.key_ids[own].tolist())


def test_a_training_with_another_number_of_unseen_classes_is_another_one(place: Path, held: Path) -> None:
    with pytest.raises(ConfigError, match="--unseen 1: use that"):
        run(config(place / "all", held), network(), loop(batch_size=64, resume=True))


def test_stages_of_a_training_on_all_classes_are_not_taken_over(place: Path, held: Path) -> None:
    with pytest.raises(ConfigError, match="none of its stages can be used here, since it has another --data, --unseen"):
        run(config(place / "all", place / "taken", pretrained=held), network(), loop(batch_size=64))
    assert not (place / "taken").exists()


@pytest.mark.parametrize("trainer", [recognition, hashing])
def test_too_many_unseen_classes_are_refused_before_anything_is_written(trainer: Any, place: Path) -> None:
    options = trainer.Config(data=place / "all", out=place / "none", unseen=3)
    with pytest.raises(ConfigError, match="2 of 4 classes can be held out, not 3: a training needs at least 2"):
        trainer.run(options, network(), loop())
    assert not (place / "none").exists()


def test_normal_drawings_are_judged_by_class_whichever_others_there_are(place: Path) -> None:
    data = place / "all"
    label = read_packed(data, "train").labels.numpy()
    for _ in range(2):  # by percentiles, and then by an audit
        everything = normal_rows(data, CLASSES)
        assert 0 < everything.sum() < len(everything)
        for words in (SEEN, SEEN[:1], CLASSES[::-1]):
            labels = [CLASSES.index(word) for word in words]
            np.testing.assert_array_equal(normal_rows(data, words), everything[np.isin(label, labels)])
        np.testing.assert_array_equal(normal_rows(place / "seen", SEEN), normal_rows(data, SEEN))
        for each in (data, place / "seen"):
            audit_entropy(each, EntropyConfig(), IN_PROCESS)


def test_bitmaps_of_a_class_can_be_held_out_too(tmp_path: Path) -> None:
    data = bitmap_folder(tmp_path / "data")
    out = tmp_path / "run"
    options = hashing.Config(data=data, out=out, bits="16", loss="cel", unseen=1, cnn_epochs=1, fusion_epochs=1)
    report = hashing.run(options, network(branch="cnn"), loop(batch_size=64))
    train, seen = read_bitmaps(data, "train"), read_encoder(out).classes
    assert seen == tuple(word for word in BITMAP_CLASSES if word not in draw_classes(BITMAP_CLASSES, 1))
    assert report["drawings"] == sum(BITMAP_CLASSES[label] in seen for label in train.labels.tolist()) < len(train)
