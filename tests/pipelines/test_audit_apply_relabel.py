"""Decisions to relabel: the drawing moves to its new class, in its split, and everything counts right."""

from __future__ import annotations

from pathlib import Path

import pytest

from sketchdata.drawings.drawing import concatenate
from sketchdata.errors import ConfigError
from sketchdata.storage.dataset import open_dataset
from tests.curations import (
    apply,
    assert_verifies,
    audited,
    dataset,
    decide,
    noise,
    normal,
    short_shards,
    source_of,
    table,
)
from tests.quickdraw_builds import key_ids, key_ids_of_class, plain_rank
from tests.strategies import assert_same

__all__ = ["audited", "dataset", "short_shards"]


def cats(directory: Path, split: str = "train") -> list[int]:
    return key_ids_of_class(directory, "cat")[split]


def test_relabelled_drawings_are_in_their_new_class_and_nowhere_else(dataset: Path, tmp_path: Path) -> None:
    fine = set(normal(dataset))
    moving = [key_id for key_id in cats(dataset) if key_id in fine][:3]
    flagged = next(key_id for key_id in noise(dataset) if key_id in cats(dataset))
    before = key_ids_of_class(dataset, "house")["train"]
    decide(dataset, "relabel", *moving, flagged, word="house")
    decide(dataset, "relabel", moving[2], word="star")
    decide(dataset, "undo", moving[2])
    out = tmp_path / "out"
    manifest = apply(dataset, out)
    found = key_ids_of_class(out, "house")["train"]
    assert set(found) == {key_id for key_id in before if key_id in fine} | {*moving, flagged}
    assert found == sorted(found, key=plain_rank)
    assert not set(cats(out)) & {*moving, flagged}
    assert manifest.config["curation"]["relabelled"] == 4
    assert manifest.counts["train"]["house"] == len(found)
    rows = {(row["word"], row["split"]): row for row in table(out)}
    assert rows["house", "train"]["relabelled_here"] == rows["cat", "train"]["relabelled_away"] == "4"
    assert {row["refilled"] for row in rows.values()} == {"0"}
    assert "ranks across splits" not in assert_verifies(out)
    assert "gave 4 drawings another class" in (out / "README.md").read_text(encoding="utf-8")


def test_the_drawing_itself_does_not_change(dataset: Path, tmp_path: Path) -> None:
    moving = cats(dataset)[0]
    decide(dataset, "relabel", moving, word="star")
    apply(dataset, tmp_path / "out", no_noise=True)
    batches = [concatenate([*open_dataset(d).batches("train")]) for d in (dataset, tmp_path / "out")]
    before, after = (batch.take((batch.key_id == moving).nonzero()[0]) for batch in batches)
    after.label[:] = before.label
    assert_same(before, after)


def test_a_new_label_equal_to_the_old_one_keeps_the_drawing(dataset: Path, tmp_path: Path) -> None:
    flagged = next(key_id for key_id in noise(dataset) if key_id in cats(dataset))
    decide(dataset, "relabel", flagged, word="cat")
    manifest = apply(dataset, tmp_path / "out")
    assert flagged in cats(tmp_path / "out")
    assert "relabelled" not in manifest.config["curation"]


def test_a_split_that_is_not_curated_keeps_its_labels(dataset: Path, tmp_path: Path) -> None:
    decide(dataset, "relabel", cats(dataset, "gallery")[0], word="star")
    manifest = apply(dataset, tmp_path / "out", splits="train")
    assert manifest.counts["gallery"] == dict.fromkeys(manifest.classes, 10)


def test_a_class_that_does_not_exist_is_refused(dataset: Path, tmp_path: Path) -> None:
    decide(dataset, "relabel", cats(dataset)[0], word="mug")
    with pytest.raises(ConfigError, match="'mug', which is not a class"):
        apply(dataset, tmp_path / "out")


@pytest.mark.slow
def test_a_refill_takes_the_place_in_the_old_class(audited: Path, dataset: Path, tmp_path: Path) -> None:
    moving = next(key_id for key_id in cats(dataset) if key_id in set(normal(dataset)))
    decide(dataset, "relabel", moving, word="house")
    out = tmp_path / "out"
    apply(dataset, out, refill=True, source=str(source_of(audited)), splits="train")
    before = {word: len(key_ids_of_class(dataset, word)["train"]) for word in ("cat", "house")}
    assert len(cats(out)) == before["cat"]
    assert len(key_ids_of_class(out, "house")["train"]) == before["house"] + 1
    assert len(set(key_ids(out, "train"))) == len(key_ids(out, "train"))
    assert_verifies(out)
