"""Verifying: every kind of fault is found, named by its first case, and ends with exit code 1."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sketchdata.drawings.drawing import DrawingBatch, concatenate
from sketchdata.drawings.sampling import ranks, row_order
from sketchdata.errors import SketchDataError
from sketchdata.pipelines import verify
from sketchdata.storage import parquet
from sketchdata.storage.manifest import MANIFEST_NAME, hash_file, read_manifest
from tests.commands import sketchdata
from tests.quickdraw_builds import CATEGORIES, build, generate
from tests.trees import tree_sha256

TRAIN, VAL, QUERY = (f"data/{split}-00000-of-00001.parquet" for split in ("train", "val", "query"))
CAT, STAR = CATEGORIES.index("cat"), CATEGORIES.index("star")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verify")
    build(generate(folder / "source"), folder / "out")
    return folder / "out"


@pytest.fixture
def out(built: Path, tmp_path: Path) -> Path:
    """A copy of the data set, to be spoiled."""
    shutil.copytree(built, tmp_path / "out")
    return tmp_path / "out"


def faults(out: Path) -> dict[str, str]:
    """Return {kind: its first case}."""
    return {fault.kind: fault.first for fault in verify.run(out).faults}


# ---- spoiling so that the hashes agree, and only the check in question can find it ----------------------------------


def edit_manifest(out: Path, change: Callable[[dict[str, Any]], None]) -> None:
    values = orjson.loads((out / MANIFEST_NAME).read_bytes())
    change(values)
    (out / MANIFEST_NAME).write_bytes(orjson.dumps(values))


def list_again(out: Path) -> None:
    """Put every file's present size and hash into the manifest."""
    manifest = read_manifest(out)
    files = []
    for entry in manifest.files:
        content = (out / entry.path).read_bytes()
        files.append(dataclasses.replace(entry, bytes=len(content), sha256=hash_file(out / entry.path, "sha256")))
    dataclasses.replace(manifest, files=tuple(files)).write(out)


def rewrite(
    out: Path, split: str, change: Callable[[DrawingBatch], DrawingBatch], facts: dict[str, object] | None = None
) -> None:
    """Change a split's rows, with its list of key_ids and the manifest following."""
    path = out / f"data/{split}-00000-of-00001.parquet"
    _, told = parquet.read_facts(path)
    batch = change(parquet.read_shard(path))
    parquet.write_shard(path, batch, CATEGORIES, {**told, **(facts or {})})
    (out / "key_ids" / f"{split}.txt").write_text("".join(f"{key_id}\n" for key_id in batch.key_id.tolist()))
    list_again(out)


def rewrite_table(out: Path, path: str, change: Callable[[pa.Table], pa.Table]) -> None:
    table = pq.read_table(out / path, partitioning=None)
    changed = change(table)
    pq.write_table(changed.replace_schema_metadata(table.schema.metadata), out / path)
    list_again(out)


def ordered(batch: DrawingBatch) -> DrawingBatch:
    """Put rows into the order that their ranks ask for."""
    own = ranks(batch.key_id, 0)
    places = [int(np.sum((batch.label == batch.label[i]) & (own < own[i]))) for i in range(len(batch))]
    return batch.take(row_order(np.array(places), own))


def rows_of(batch: DrawingBatch, label: int) -> list[int]:
    """Return a class's row numbers by rising rank."""
    return sorted(np.flatnonzero(batch.label == label).tolist(), key=lambda row: ranks(batch.key_id, 0)[row])


def replaced(batch: DrawingBatch, row: int, other: DrawingBatch, other_row: int) -> DrawingBatch:
    joined = concatenate([batch, other])
    rows = np.arange(len(batch))
    rows[row] = len(batch) + other_row
    return ordered(joined.take(rows))


def with_column(table: pa.Table, name: str, values: Any) -> pa.Table:
    at = table.column_names.index(name)
    return table.set_column(at, table.schema.field(name), pa.array(values, table.schema.field(name).type))


def labels_with(table: pa.Table, changes: dict[int, int]) -> pa.Table:
    labels = table.column("label").to_pylist()
    for row, label in changes.items():
        labels[row] = label
    return with_column(table, "label", labels)


# ---- a good data set ------------------------------------------------------------------------------------------------


def test_a_good_data_set_has_no_fault_and_is_left_as_it_is(built: Path) -> None:
    before = tree_sha256(built)
    verification = verify.run(built)
    assert verification.faults == []
    assert (verification.files, verification.records) == (len(read_manifest(built).files), 444)
    assert len(verification.checks) == len(set(verification.checks)) >= 14
    assert tree_sha256(built) == before


def test_rewriting_without_a_change_is_no_fault(out: Path) -> None:
    rewrite(out, "train", ordered)
    rewrite_table(out, VAL, lambda table: table)
    assert faults(out) == {}


# ---- files ----------------------------------------------------------------------------------------------------------


def test_a_missing_file_is_named(out: Path) -> None:
    (out / VAL).unlink()
    assert faults(out) == {"missing file": f"{VAL} is missing"}


def test_a_folder_in_a_files_place_is_a_missing_file(out: Path) -> None:
    (out / "README.md").unlink()
    (out / "README.md").mkdir()
    assert faults(out) == {"missing file": "README.md is missing"}


def test_a_file_of_another_size_is_named_with_both_sizes(out: Path) -> None:
    size = (out / "classes.csv").stat().st_size
    with (out / "classes.csv").open("a") as file:
        file.write("x")
    assert faults(out) == {"size": f"classes.csv has {size + 1} bytes instead of {size}"}


@pytest.mark.parametrize("path", [TRAIN, "README.md", "key_ids/val.txt", "classes.csv"])
def test_a_flipped_bit_is_found(out: Path, path: str) -> None:
    content = bytearray((out / path).read_bytes())
    content[len(content) // 2] ^= 1
    (out / path).write_bytes(content)
    assert faults(out)["sha256"].startswith(f"{path} has sha256 ")


@pytest.mark.parametrize("name", ["notes.txt", "data/.train.tmp", "data/train-00001-of-00002.parquet", ".build/x"])
def test_a_file_that_is_not_listed_is_named(out: Path, name: str) -> None:
    (out / name).parent.mkdir(exist_ok=True)
    (out / name).write_text("x")
    assert faults(out) == {"unlisted file": f"{name} is not in the manifest"}


def test_the_first_of_a_kind_is_named_and_the_others_are_counted(out: Path) -> None:
    for name in ("a", "b", "c"):
        (out / f"{name}.txt").write_text("x")
    (out / VAL).unlink()
    found = {fault.kind: fault for fault in verify.run(out).faults}
    assert (found["unlisted file"].first, found["unlisted file"].count) == ("a.txt is not in the manifest", 3)
    assert (found["missing file"].first, found["missing file"].count) == (f"{VAL} is missing", 1)


# ---- shards ---------------------------------------------------------------------------------------------------------


def test_a_shard_that_is_no_parquet_is_named(out: Path) -> None:
    (out / TRAIN).write_bytes(b"PAR1 is not enough" * 50)
    list_again(out)
    found = faults(out)
    assert list(found) == ["unreadable shard"]
    assert "train-00000-of-00001.parquet cannot be read" in found["unreadable shard"]


def test_a_shard_with_other_columns_is_named(out: Path) -> None:
    rewrite_table(out, VAL, lambda table: table.drop_columns(["recognized"]))
    assert faults(out)["schema"].startswith(f"{VAL} has other columns")


def test_a_shard_with_a_column_of_another_type_is_named(out: Path) -> None:
    rewrite_table(out, VAL, lambda t: t.set_column(2, "label", t.column("label").cast(pa.int32())))
    assert faults(out)["schema"].startswith(f"{VAL} has other columns")


@pytest.mark.parametrize("facts", [{"seed": 9}, {"split": "train"}, {"version": 0}, {"tool": "0.0.0"}])
def test_a_shard_of_another_build_is_named(out: Path, facts: dict[str, object]) -> None:
    rewrite(out, "val", lambda batch: batch, facts)
    found = faults(out)
    assert list(found) == ["metadata"]
    assert f"{next(iter(facts))} is" in found["metadata"]


def test_a_shard_with_a_row_too_few_is_named(out: Path) -> None:
    rewrite(out, "val", lambda batch: batch.slice(0, len(batch) - 1))
    found = faults(out)
    assert found["rows"] == f"{VAL} has 39 rows instead of 40"
    assert set(found) == {"rows", "class balance"}


def test_a_word_that_is_not_its_labels_is_named(out: Path) -> None:
    rewrite_table(out, VAL, lambda table: labels_with(table, dict(enumerate(table.column("label").to_pylist()[1::-1]))))
    assert "has label" in faults(out)["word and label"]


@pytest.mark.parametrize("label", [len(CATEGORIES), 65535])
def test_a_label_beyond_the_class_table_is_named(out: Path, label: int) -> None:
    rewrite_table(out, VAL, lambda table: labels_with(table, {3: label}))
    found = faults(out)
    assert f"has label {label}" in found["word and label"]
    assert "class balance" in found


def test_a_drawing_without_strokes_is_named(out: Path) -> None:
    rewrite_table(out, VAL, lambda t: with_column(t, "drawing", [[], *t.column("drawing").to_pylist()[1:]]))
    assert set(faults(out)) == {"empty drawing"}


def test_a_stroke_without_points_is_named(out: Path) -> None:
    rewrite_table(out, VAL, lambda t: with_column(t, "drawing", [[[]], *t.column("drawing").to_pylist()[1:]]))
    assert set(faults(out)) == {"empty drawing"}


# ---- the split ------------------------------------------------------------------------------------------------------


def test_a_class_with_another_number_of_drawings_is_named(out: Path) -> None:
    def relabel(batch: DrawingBatch) -> DrawingBatch:
        label = batch.label.copy()
        label[rows_of(batch, CAT)[-1]] = STAR
        return ordered(dataclasses.replace(batch, label=label))

    rewrite(out, "query", relabel)
    found = {fault.kind: fault for fault in verify.run(out).faults}
    assert found["class balance"].first == "query has 0 drawings of cat instead of 1"
    assert found["class balance"].count == 2


def test_counts_that_are_not_those_of_the_shards_are_named(out: Path) -> None:
    edit_manifest(out, lambda values: values["counts"]["train"].update(star=91))
    assert faults(out) == {"class balance": "train has 90 drawings of star instead of 91"}


def test_a_split_whose_shards_are_gone_from_the_list_too_is_named(out: Path) -> None:
    (out / QUERY).unlink()
    edit_manifest(out, lambda v: v.update(files=[file for file in v["files"] if file["path"] != QUERY]))
    assert list(faults(out)) == ["no shards"]


def test_rows_in_another_order_are_named(out: Path) -> None:
    rewrite(out, "train", lambda batch: batch.take(np.array([1, 0, *range(2, len(batch))])))
    found = faults(out)
    assert list(found) == ["order of rows"]
    assert "train: row 0" in found["order of rows"]


def test_rows_by_rank_alone_are_not_the_order_either(out: Path) -> None:
    rewrite(out, "train", lambda batch: batch.take(np.argsort(ranks(batch.key_id, 0))))
    assert list(faults(out)) == ["order of rows"]


def test_a_key_id_in_two_splits_is_named(out: Path) -> None:
    train = parquet.read_shard(out / TRAIN)
    last = rows_of(train, STAR)[-1]
    # The drawing next to the border: no other rule is broken.
    rewrite(out, "val", lambda batch: replaced(batch, rows_of(batch, STAR)[0], train, last))
    assert faults(out) == {"key_id twice": f"key_id {train.key_id[last]} is in train and in val"}


def test_drawings_exchanged_between_splits_are_named(out: Path) -> None:
    train, val = parquet.read_shard(out / TRAIN), parquet.read_shard(out / VAL)
    one, other = rows_of(train, STAR)[4], rows_of(val, STAR)[4]
    rewrite(out, "train", lambda batch: replaced(batch, one, val, other))
    rewrite(out, "val", lambda batch: replaced(batch, other, train, one))
    assert faults(out) == {"ranks across splits": "star: a drawing of val has a smaller rank than one of train"}


def test_a_list_of_key_ids_that_differs_is_named_by_its_line(out: Path) -> None:
    path = out / "key_ids" / "train.txt"
    lines = path.read_text().splitlines()
    lines[6], lines[7] = lines[7], lines[6]
    path.write_text("\n".join([*lines, ""]))
    list_again(out)
    assert faults(out) == {"key_id list": "key_ids/train.txt differs from the shards in line 7"}


def test_a_list_of_key_ids_that_is_too_short_is_named(out: Path) -> None:
    path = out / "key_ids" / "val.txt"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    list_again(out)
    assert faults(out) == {"key_id list": "key_ids/val.txt differs from the shards in line 40"}


def test_faults_of_several_kinds_are_all_found(out: Path) -> None:
    rewrite(out, "train", lambda batch: batch.take(np.array([1, 0, *range(2, len(batch))])))
    (out / "README.md").unlink()
    (out / "notes.txt").write_text("x")
    assert set(faults(out)) == {"missing file", "unlisted file", "order of rows"}


# ---- the command ----------------------------------------------------------------------------------------------------


def test_the_command_says_what_is_wrong_and_exits_1(out: Path) -> None:
    assert "all right" in sketchdata("verify", out).stdout
    (out / VAL).unlink()
    done = sketchdata("verify", out, expect=1)
    assert f"fault: missing file: {VAL} is missing" in done.stdout
    assert "1 kinds of fault" in done.stdout or "1 kind of fault" in done.stdout


def test_the_command_reports_as_json(out: Path) -> None:
    report = json.loads(sketchdata("verify", out, "--json").stdout)
    assert (report["ok"], report["drawings"], report["faults"]) == (True, 444, [])
    (out / "notes.txt").write_text("x")
    report = json.loads(sketchdata("verify", out, "--json", expect=1).stdout)
    assert not report["ok"]
    assert report["faults"] == [{"kind": "unlisted file", "first": "notes.txt is not in the manifest", "count": 1}]


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b'{"version": 1}', b'{"version": 99}', b'"text"'])
def test_a_folder_without_a_usable_manifest_is_refused_in_words(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / MANIFEST_NAME).write_bytes(content)
    assert str(tmp_path) in sketchdata("verify", tmp_path, expect=1).stderr


def test_a_manifest_without_the_options_of_a_build_is_refused(out: Path) -> None:
    edit_manifest(out, lambda values: values["config"].pop("seed"))
    with pytest.raises(SketchDataError, match="seed"):
        verify.run(out)
