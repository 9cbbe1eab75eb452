"""The duplicates audit finds the equal drawings that were planted, and those only, wherever they ended up."""

from __future__ import annotations

import itertools
import json
import shutil
from collections import defaultdict
from pathlib import Path

import orjson
import pyarrow.parquet as pq
import pytest

from sketchdata.curation.audit import read_record
from sketchdata.engine import EngineOptions
from sketchdata.errors import SketchDataError, TasksFailedError
from sketchdata.pipelines import audit, verify
from tests.audits import audit_files, build_in_shards, data_sha256, flip_a_byte, rows_of
from tests.builds import small_dataset
from tests.commands import sketchdata
from tests.quickdraw_builds import CATEGORIES, IN_PROCESS, lines_of, write_lines

SPLITS = ("train", "val", "gallery", "query")
#: In each category, so many lines get the drawing of the category's first line.
COPIES = 40


def plant(source: Path) -> None:
    """Make every seventh drawing of each class equal to its first, and some cats to that of the first house.

    Half of the copies have points that stand twice in a row.
    """
    firsts = {word: orjson.loads(lines_of(source, word)[0])["drawing"] for word in CATEGORIES}
    for word in CATEGORIES:
        lines = lines_of(source, word)
        for number in range(COPIES):
            origin = "house" if word == "cat" and number % 3 == 0 else word
            record = orjson.loads(lines[7 * number])
            doubled = number % 2
            record["drawing"] = [[axis[:1] * doubled + axis for axis in stroke] for stroke in firsts[origin]]
            lines[7 * number] = orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
        write_lines(source, word, lines)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_in_shards(tmp_path_factory.mktemp("duplicates"), change=plant)


@pytest.fixture
def dataset(built: Path, tmp_path: Path) -> Path:
    return shutil.copytree(built, tmp_path / "out")


@pytest.fixture(scope="module")
def audited(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = shutil.copytree(built, tmp_path_factory.mktemp("audited") / "out")
    run(copy)
    return copy


def run(directory: Path, engine: EngineOptions = IN_PROCESS) -> None:
    assert audit.audit_duplicates(directory, engine) is not None


def plain_groups(directory: Path) -> list[list[tuple[int, str, int]]]:
    """Group the data set's drawings by their strokes, in plain Python: [[(key_id, split, label) …] …]."""
    groups: dict[object, list[tuple[int, str, int]]] = defaultdict(list)
    for split, batch in rows_of(directory):
        for label, drawing in zip(batch.label.tolist(), batch.drawings(CATEGORIES), strict=True):
            strokes = tuple(tuple(p for p, _ in itertools.groupby(map(tuple, s.tolist()))) for s in drawing.strokes)
            groups[strokes].append((drawing.key_id, split, label))
    return [group for group in groups.values() if len(group) > 1]


def table_groups(directory: Path) -> list[list[tuple[int, str, int]]]:
    rows = pq.read_table(directory / "audit/duplicates.parquet").to_pylist()
    grouped = itertools.groupby(rows, key=lambda row: row["group"])
    found = [(group, [(row["key_id"], row["split"], row["label"]) for row in rows]) for group, rows in grouped]
    assert [group for group, _ in found] == list(range(len(found)))
    return [rows for _, rows in found]


def test_the_groups_are_those_of_a_plain_comparison_in_the_order_of_the_rows(audited: Path) -> None:
    expected = plain_groups(audited)
    assert len(expected) >= 4
    assert table_groups(audited) == expected
    schema = pq.read_schema(audited / "audit/duplicates.parquet")
    assert schema.equals(audit.DUPLICATES_SCHEMA)


def test_counts_are_those_of_the_groups(audited: Path) -> None:
    counts, groups = read_record(audited, "duplicates").counts, plain_groups(audited)
    assert counts["groups"] == len(groups)
    assert counts["drawings"] == sum(map(len, groups))
    assert counts["surplus"] == sum(len(group) - 1 for group in groups)
    assert counts["groups_of_several_classes"] == sum(len({row[2] for row in group}) > 1 for group in groups) == 1
    splits = [[split for _, split, _ in group] for group in groups]
    assert counts["within"] == {
        split: sum(group.count(split) for group in splits if group.count(split) > 1) for split in SPLITS
    }


def test_leakage_from_train_is_told_for_the_same_and_for_other_classes(audited: Path) -> None:
    found = {(each["source"], each["into"]): each for each in read_record(audited, "duplicates").counts["leakage"]}
    assert set(found) == set(itertools.combinations(SPLITS, 2))
    for (source, into), each in found.items():
        numbers = [0, 0, 0]
        for group in plain_groups(audited):
            there = [label for _, split, label in group if split == source]
            for label in (label for _, split, label in group if split == into):
                numbers[0] += bool(there)
                numbers[1] += label in there
                numbers[2] += bool(set(there) - {label})
        assert [each["drawings"], each["same_class"], each["other_class"]] == numbers
    assert found["train", "gallery"]["same_class"] > 0
    assert found["train", "gallery"]["other_class"] > 0


@pytest.mark.slow
def test_workers_and_shares_of_a_job_array_write_the_same_bytes(audited: Path, dataset: Path, tmp_path: Path) -> None:
    expected = audit_files(audited)
    assert sorted(expected) == ["duplicates.json", "duplicates.parquet"]
    shares = shutil.copytree(dataset, tmp_path / "shares")
    run(dataset, EngineOptions(workers=2))
    assert audit_files(dataset) == expected
    for share in ("0/2", "1/2", "0/2"):
        engine = EngineOptions(engine="slurm", task_range=share, workers=0)
        assert audit.audit_duplicates(shares, engine) is None
    run(shares)
    assert audit_files(shares) == expected


def test_many_duplicates_are_compared_a_part_at_a_time(
    audited: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "AT_ONCE", 10)
    run(dataset)
    assert audit_files(dataset) == audit_files(audited)


def test_drawings_of_one_hash_that_differ_make_no_group(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # One bit of the hash: nearly every drawing shares its hash with hundreds of others.
    digests = audit.digests
    monkeypatch.setattr(audit, "digests", lambda batch: digests(batch) & digests(batch).dtype.type(1))
    run(dataset)
    assert table_groups(dataset) == plain_groups(dataset)


def test_an_audit_changes_nothing_of_the_data_and_verify_still_passes(built: Path, audited: Path) -> None:
    assert data_sha256(audited) == data_sha256(built)
    assert verify.run(audited).faults == []


def test_a_data_set_without_duplicates_has_an_empty_table(tmp_path: Path) -> None:
    small_dataset(tmp_path)
    assert plain_groups(tmp_path / "dataset") == []
    run(tmp_path / "dataset")
    assert table_groups(tmp_path / "dataset") == []
    assert read_record(tmp_path / "dataset", "duplicates").counts["drawings"] == 0


def test_raw_drawings_are_compared_without_their_times(tmp_path: Path) -> None:
    small_dataset(tmp_path, input_format="raw", keep_raw=True)
    run(tmp_path / "dataset")
    assert read_record(tmp_path / "dataset", "duplicates").counts["groups"] == 0


def test_a_damaged_shard_is_named(dataset: Path) -> None:
    damaged = sorted((dataset / "data").glob("train-*"))[0]
    flip_a_byte(damaged)
    with pytest.raises(TasksFailedError, match=f"{damaged.name} is damaged"):
        run(dataset)


def test_a_folder_without_a_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SketchDataError, match="is not a finished data set"):
        run(tmp_path)


def test_the_command_prints_tables_or_json(audited: Path) -> None:
    shown = " ".join(sketchdata("audit", "duplicates", audited).stdout.split())
    counts = read_record(audited, "duplicates").counts
    assert f"{counts['drawings']} drawings have an equal one, in {counts['groups']} groups, 1 of them" in shown
    assert "same class" in shown
    told = json.loads(sketchdata("audit", "duplicates", audited, "--json").stdout)
    assert told["leakage"] == counts["leakage"]
