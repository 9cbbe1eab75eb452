"""A curated data set is what the audit and the decisions say, and a data set like any other."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import orjson
import pytest

from sketchdata.curation.decisions import DECISIONS_FILE
from sketchdata.drawings.drawing import concatenate
from sketchdata.drawings.sampling import SPLITS
from sketchdata.errors import ConfigError
from sketchdata.pipelines import verify
from sketchdata.storage.dataset import open_dataset
from sketchdata.storage.manifest import ParentEntry, read_manifest
from tests.audits import build_in_shards
from tests.builds import small_dataset
from tests.commands import sketchdata
from tests.curations import (
    apply,
    assert_verifies,
    audit,
    audited,
    dataset,
    decide,
    flags,
    noise,
    normal,
    short_shards,
    table,
    totals,
)
from tests.quickdraw_builds import CATEGORIES, SIZES, key_ids, key_ids_in, key_ids_of_class, plain_rank
from tests.strategies import assert_same

__all__ = ["audited", "dataset", "short_shards"]


# ---- what goes and what stays ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_what_the_audit_flags_is_removed_and_the_rest_stays_by_rank(audited: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    manifest = apply(audited, out)
    assert totals(out)["noise"] > 30
    for word in CATEGORIES:
        found, before = key_ids_of_class(out, word), key_ids_of_class(audited, word)
        for split in SPLITS:
            staying = [key_id for key_id in before[split] if flags(audited)[split][key_id] == "normal"]
            assert found[split] == sorted(staying, key=plain_rank)
            assert manifest.counts[split][word] == len(staying)
    assert "ranks across splits" in assert_verifies(out)


def test_drawings_that_stay_are_the_same_drawings(audited: Path, tmp_path: Path) -> None:
    apply(audited, tmp_path / "out")
    before, after = (
        concatenate([*open_dataset(directory).batches("train")]) for directory in (audited, tmp_path / "out")
    )
    place = {key_id: row for row, key_id in enumerate(before.key_id.tolist())}
    assert_same(after, before.take(np.array([place[key_id] for key_id in after.key_id.tolist()])))


def test_the_last_word_about_a_drawing_counts(dataset: Path, tmp_path: Path) -> None:
    flagged, fine = noise(dataset), normal(dataset)
    decide(dataset, "keep", flagged[0], flagged[1], fine[0])
    decide(dataset, "drop", fine[1], fine[2], flagged[2])
    decide(dataset, "drop", flagged[1])
    decide(dataset, "undo", fine[2], flagged[1])
    out = tmp_path / "out"
    apply(dataset, out)
    expected = (set(fine) - {fine[1]}) | {flagged[0], flagged[1]}
    assert set(key_ids(out, "train")) == expected
    found = totals(out)
    assert (found["dropped"], found["kept"]) == (2, 2)
    # A drawing that is flagged and dropped counts once, as dropped.
    every = sum(len(noise(dataset, split)) for split in SPLITS)
    assert found["noise"] == every - 3
    assert found["drawings"] == found["parent"] - found["noise"] - found["dropped"]
    assert_verifies(out)


def test_splits_that_were_not_chosen_stay_as_they_are(dataset: Path, tmp_path: Path) -> None:
    fine = {split: normal(dataset, split)[0] for split in SPLITS}
    decide(dataset, "drop", *fine.values())
    out = tmp_path / "out"
    manifest = apply(dataset, out, splits="gallery, val")
    assert manifest.config["curation"]["splits"] == ["val", "gallery"]
    for split in SPLITS:
        if split in ("train", "query"):
            assert key_ids(out, split) == key_ids(dataset, split)
        else:
            assert set(key_ids(out, split)) == set(normal(dataset, split)) - {fine[split]}
    assert_verifies(out)


def test_without_noise_the_decisions_alone_count(dataset: Path, tmp_path: Path) -> None:
    gone = [*normal(dataset)[:2], *noise(dataset)[:1]]
    decide(dataset, "drop", *gone)
    out = tmp_path / "out"
    manifest = apply(dataset, out, no_noise=True)
    assert manifest.config["curation"]["noise"] is False
    assert set(key_ids(dataset, "train")) - set(key_ids(out, "train")) == set(gone)
    assert totals(out) == {"parent": 444, "noise": 0, "dropped": 3, "kept": 0, "refilled": 0, "drawings": 441}


def test_a_class_without_limits_loses_nothing_but_what_is_dropped(tmp_path: Path) -> None:
    directory = build_in_shards(tmp_path, train=0, val=40, gallery=10, query=5)
    decide(directory, "drop", key_ids(directory, "val")[0])
    with pytest.raises(ConfigError, match="there are no drawings of that split"):
        audit(directory)
    audit(directory, by_split="query")
    manifest = apply(directory, tmp_path / "curated")
    assert manifest.splits["train"] == 0
    assert_verifies(tmp_path / "curated")


def test_a_whole_split_may_go(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    decide(dataset, "drop", *key_ids(dataset, "query"))
    out = tmp_path / "out"
    manifest = apply(dataset, out, no_noise=True)
    assert manifest.splits == {"train": 360, "val": 40, "gallery": 40, "query": 0}
    assert (out / "key_ids" / "query.txt").read_bytes() == b""
    assert "no drawing is left of aircraft carrier (query), cat (query)" in " ".join(capsys.readouterr().err.split())
    assert_verifies(out)


# ---- a data set like any other --------------------------------------------------------------------------------------


def test_the_manifest_names_parent_decisions_and_audit(dataset: Path, tmp_path: Path) -> None:
    decide(dataset, "drop", normal(dataset)[0])
    out = tmp_path / "out"
    manifest = apply(dataset, out)
    sha256 = hashlib.sha256((dataset / "manifest.json").read_bytes()).hexdigest()
    assert manifest == read_manifest(out)
    assert manifest.parent == ParentEntry(name="quickdraw-3.8m", sha256=sha256)
    assert manifest.name == "quickdraw-3.8m-curated"
    assert manifest.sources == read_manifest(dataset).sources
    curation = manifest.config.pop("curation")
    assert manifest.config == read_manifest(dataset).config
    assert curation == {
        "splits": list(SPLITS),
        "noise": True,
        "refill": False,
        "decisions": hashlib.sha256((dataset / "audit" / DECISIONS_FILE).read_bytes()).hexdigest(),
        "audit": {"size": 224, "line_width": 1, "low": 5.0, "high": 95.0, "by_split": "train"},
    }


def test_the_table_adds_up_for_every_class_and_split(dataset: Path, tmp_path: Path) -> None:
    decide(dataset, "keep", *noise(dataset)[:5])
    decide(dataset, "drop", *normal(dataset)[:5])
    out = tmp_path / "out"
    manifest = apply(dataset, out)
    rows = table(out)
    assert [(row["word"], row["split"]) for row in rows] == [(word, split) for word in CATEGORIES for split in SPLITS]
    for row in rows:
        parent, gone, dropped, now = (int(row[name]) for name in ("parent", "noise", "dropped", "drawings"))
        assert parent == SIZES[row["split"]]
        assert now == parent - gone - dropped == manifest.counts[row["split"]][row["word"]]
    assert (totals(out)["kept"], totals(out)["dropped"]) == (5, 5)


def test_the_card_says_what_was_done(audited: Path, tmp_path: Path) -> None:
    apply(audited, tmp_path / "out", splits="train")
    card = " ".join((tmp_path / "out" / "README.md").read_text(encoding="utf-8").split())
    assert "**Curated** from quickdraw-3.8m" in card
    assert "percentiles 5 to 95 of their class in train" in card
    assert "Removed from train: drawings whose image entropy" in card


@pytest.mark.slow
def test_the_other_commands_work_on_it(audited: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    printed = sketchdata("audit", "apply", audited, "--out", out, "--workers", 0)
    assert "removed" in printed.stdout
    assert f"{read_manifest(out).splits['train']} of" not in printed.stderr
    sketchdata("verify", out)
    assert orjson.loads(sketchdata("info", out, "--json").stdout)["name"] == "quickdraw-3.8m-curated"
    sketchdata("show", out, "-n", 4, "-o", tmp_path / "sheet.png")
    sketchdata("export", "webdataset", out, "--out", tmp_path / "tars", "--workers", 0)
    sketchdata("export", "ndjson", out, "--out", tmp_path / "text", "--workers", 0)
    sketchdata("verify", tmp_path / "tars")
    assert read_manifest(tmp_path / "text").parent == ParentEntry(
        name="quickdraw-3.8m-curated", sha256=hashlib.sha256((out / "manifest.json").read_bytes()).hexdigest()
    )
    lines = [line for path in (tmp_path / "text" / "train").glob("*.ndjson") for line in path.read_bytes().splitlines()]
    assert set(key_ids_in(lines)) == set(key_ids(out, "train"))


def test_a_damaged_curated_data_set_does_not_verify(audited: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    apply(audited, out)
    (out / "key_ids" / "train.txt").write_text("1\n", encoding="ascii")
    assert {"size", "key_id list"} <= {fault.kind for fault in verify.run(out).faults}


def test_a_curated_data_set_can_be_audited_and_curated_again(dataset: Path, tmp_path: Path) -> None:
    once, twice = tmp_path / "once", tmp_path / "twice"
    apply(dataset, once, splits="train")
    audit(once, low=10.0, high=90.0)
    assert_verifies(once)
    manifest = apply(once, twice)
    assert manifest.name == "quickdraw-3.8m-curated"
    assert set(key_ids(twice, "train")) == set(normal(once))
    assert_verifies(twice)
    with pytest.raises(ConfigError, match="is itself curated"):
        apply(once, tmp_path / "thrice", refill=True, source=str(tmp_path))


@pytest.mark.parametrize("refill", [False, True])
def test_raw_drawings_are_curated_too(tmp_path: Path, refill: bool) -> None:
    small_dataset(tmp_path, input_format="raw", keep_raw=True)
    directory, out = tmp_path / "dataset", tmp_path / "curated"
    audit(directory)
    more = {"refill": True, "source": str(tmp_path / "source")} if refill else {}
    apply(directory, out, **more)
    assert next(open_dataset(out).batches("train")).is_raw
    assert totals(out)["noise"] > 0
    assert (totals(out)["refilled"] > 0) == refill
    assert_verifies(out)
