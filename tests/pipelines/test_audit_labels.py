"""The audit of labels finds drawings that were planted under another class, writes only its own files, and resumes."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import orjson
import pyarrow.parquet as pq
import pytest

from sketchdata.curation.audit import read_record
from sketchdata.curation.labels import Recogniser
from sketchdata.engine import EngineOptions
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.pipelines import audit_labels as audit
from sketchdata.pipelines import verify
from sketchdata.storage.manifest import hash_file, read_manifest
from sketchdata.trainers import recognition
from sketchdata.training.encoder import embed, probabilities, read_encoder
from sketchdata.training.packed import read_packed
from sketchdata.training.run_folder import MODEL
from tests.audits import audit_files, build_in_shards, data_sha256
from tests.commands import sketchdata
from tests.quickdraw_builds import CATEGORIES, IN_PROCESS, key_ids, lines_of, write_lines
from tests.trainings import loop, network

PLANTED = 6


def plant(source: Path) -> None:
    """Exchange the drawings of some lines of each class with the next class's."""
    before = {word: [orjson.loads(line) for line in lines_of(source, word)] for word in CATEGORIES}
    for place, word in enumerate(CATEGORIES):
        other = before[CATEGORIES[place - 1]]
        records = [orjson.loads(line) for line in lines_of(source, word)]
        for number in range(PLANTED):
            records[7 * number]["drawing"] = other[7 * number]["drawing"]
            records[7 * number]["countrycode"] = "XX"
        write_lines(source, word, [orjson.dumps(each, option=orjson.OPT_APPEND_NEWLINE) for each in records])


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_in_shards(tmp_path_factory.mktemp("labels"), change=plant)


@pytest.fixture(scope="module")
def audited(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = Path(shutil.copytree(built, tmp_path_factory.mktemp("audited") / "out"))
    run(copy)
    return copy


@pytest.fixture
def dataset(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "out"))


def run(directory: Path, engine: EngineOptions = IN_PROCESS, **options: object) -> None:
    assert audit.audit_labels(directory, audit.Config(**options), engine) is not None


def planted(directory: Path) -> set[int]:
    """Return the key_ids of the planted drawings that the build took."""
    found: set[int] = set()
    for shard in sorted(directory.rglob("*.parquet")):
        if shard.parent.name != "audit":
            rows = pq.read_table(shard, columns=["key_id", "countrycode"]).to_pylist()
            found |= {row["key_id"] for row in rows if row["countrycode"] == "XX"}
    return found


@pytest.mark.slow
def test_planted_drawings_come_first_and_their_own_class_is_suggested(audited: Path) -> None:
    table = pq.read_table(audited / "audit" / "labels.parquet").to_pylist()
    wrong = planted(audited)
    assert len(wrong) > 5
    suspects = {row["key_id"] for row in table if row["flag"] == "suspect"}
    assert len(wrong & suspects) >= 0.8 * len(wrong)
    assert len(suspects) < 0.2 * len(table)
    first = sorted(table, key=lambda row: row["confidence"])[: len(wrong)]
    assert len({row["key_id"] for row in first} & wrong) >= 0.7 * len(wrong)
    classes = read_manifest(audited).classes
    right = [
        classes[row["suggested"]] == CATEGORIES[CATEGORIES.index(classes[row["label"]]) - 1]
        for row in table
        if row["key_id"] in wrong & suspects
    ]
    assert sum(right) >= 0.8 * len(right)


@pytest.mark.slow
def test_lists_and_counts_agree_with_the_table(audited: Path) -> None:
    record, table = read_record(audited, "labels"), pq.read_table(audited / "audit" / "labels.parquet")
    assert table.schema.equals(audit.LABELS_SCHEMA, check_metadata=False)
    rows = table.to_pylist()
    assert [row["key_id"] for row in rows] == [
        key_id for split in read_manifest(audited).splits for key_id in key_ids(audited, split)
    ]
    suspects = {row["key_id"]: row for row in rows if row["flag"] == "suspect"}
    assert all(row["suggested"] != row["label"] for row in rows)
    with (audited / "audit" / "suspects.csv").open(encoding="utf-8", newline="") as file:
        listed = list(csv.DictReader(file))
    assert {int(row["key_id"]) for row in listed} == set(suspects)
    confidences = [float(row["confidence"]) for row in listed]
    assert confidences == sorted(confidences)
    assert record.counts["drawings"] == len(rows)
    assert record.counts["suspects"] == len(suspects)
    with (audited / "audit" / "label_errors.csv").open(encoding="utf-8", newline="") as file:
        assert sum(int(row["suspects"]) for row in csv.DictReader(file)) == len(suspects)


@pytest.mark.slow
def test_the_data_set_stays_as_it_is_and_workers_change_no_byte(
    audited: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = data_sha256(dataset)
    # An interrupted audit continues from what is finished.
    with monkeypatch.context() as patch:
        patch.setattr(Recogniser, "probabilities", lambda *_: 1 / 0)
        with pytest.raises((SketchDataError, ZeroDivisionError)):
            run(dataset)
        patch.undo()
    monkeypatch.setattr(audit, "train_recogniser", lambda *_, **__: pytest.fail("trained again"))
    run(dataset)
    assert data_sha256(dataset) == before
    assert audit_files(dataset) == audit_files(audited)
    assert verify.run(dataset).faults == []


def test_a_data_set_of_one_class_is_refused(tmp_path: Path) -> None:
    directory = build_in_shards(tmp_path, categories="cat")
    with pytest.raises(ConfigError, match="between classes"):
        audit.audit_labels(directory, audit.Config(), IN_PROCESS)


@pytest.mark.slow
def test_the_command_prints_pairs_or_json(dataset: Path) -> None:
    told = sketchdata("audit", "labels", dataset, "--epochs", 2, "--workers", 1)
    assert told.returncode == 0, told.stderr
    assert "probably of another class" in told.stdout
    told = sketchdata("audit", "labels", dataset, "--epochs", 2, "--json")
    assert json.loads(told.stdout)["options"]["folds"] == 3


@pytest.mark.slow
def test_a_run_gives_the_probabilities(dataset: Path, tmp_path: Path) -> None:
    config = recognition.Config(data=dataset, out=tmp_path / "run", cnn_epochs=2, rnn_epochs=0, fusion_epochs=0)
    recognition.run(config, network(branch="cnn"), loop())
    run(dataset, run=config.out)
    trained, packed = read_encoder(config.out), read_packed(dataset, "gallery")
    expected = probabilities(trained, embed(trained, packed))
    rows = {row["key_id"]: row for row in pq.read_table(dataset / "audit" / "labels.parquet").to_pylist()}
    classes = read_manifest(dataset).classes
    for key_id, own in zip(packed.key_ids.numpy().view(np.uint64).tolist(), expected, strict=True):
        row = rows[key_id]
        by_word = dict(zip(trained.classes, own, strict=True))
        assert row["confidence"] == pytest.approx(by_word[classes[row["label"]]], abs=1e-5)
        assert row["suggested_confidence"] == pytest.approx(by_word[classes[row["suggested"]]], abs=1e-5)
    assert read_record(dataset, "labels").options == {"run": hash_file(config.out / MODEL, "sha256")}


def test_an_unfinished_run_is_refused(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(SketchDataError, match="its training did not finish"):
        run(dataset, run=tmp_path / "run")
