"""Shards hold every drawing exactly, have the same bytes every time, and say so when they are broken."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sketchdata.drawings.drawing import DrawingBatch, concatenate, empty_batch
from sketchdata.errors import SketchDataError
from sketchdata.storage.parquet import (
    ROW_GROUP_ROWS,
    from_table,
    map_arrow,
    read_facts,
    read_row_groups,
    read_shard,
    schema,
    to_table,
    write_arrow,
    write_shard,
)
from tests.batches import batch_of
from tests.strategies import assert_same, batches

CLASSES = ["star", "cat", "The Eiffel Tower"]
FACTS = {"seed": 0, "name": "quickdraw-3.8m", "split": "train"}
any_batch = st.booleans().flatmap(lambda raw: batches(raw=raw, labels=len(CLASSES)))


def many(count: int) -> DrawingBatch:
    return batch_of(*([[(n % 256, 1), (2, 3)], [(n % 7, n % 5)]] for n in range(count)))


@pytest.mark.slow
@given(any_batch)
def test_drawings_survive_both_kinds_of_file(batch: DrawingBatch) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_shard(folder / "x.parquet", batch, CLASSES, FACTS)
        write_arrow(folder / "x.arrow", batch, CLASSES)
        assert_same(read_shard(folder / "x.parquet"), batch)
        assert_same(map_arrow(folder / "x.arrow"), batch)


@pytest.mark.slow
@given(any_batch)
def test_a_table_says_in_plain_values_what_the_drawings_are(batch: DrawingBatch) -> None:
    table = to_table(batch, CLASSES)
    assert table.schema == schema(raw=batch.is_raw)
    for row, drawing in zip(table.to_pylist(), batch.drawings(CLASSES), strict=True):
        assert (row["key_id"], row["word"], row["recognized"]) == (drawing.key_id, drawing.word, drawing.recognized)
        assert (row["countrycode"], row["timestamp"]) == (drawing.countrycode, drawing.timestamp)
        assert CLASSES[row["label"]] == drawing.word
        points = [[list(point.values()) for point in stroke] for stroke in row["drawing"]]
        assert points == [stroke.tolist() for stroke in drawing.strokes]


@pytest.mark.slow
@given(any_batch, st.integers(0, 8), st.integers(0, 8))
def test_a_part_of_a_table_is_that_part_of_the_drawings(batch: DrawingBatch, one: int, other: int) -> None:
    start, stop = sorted((min(one, len(batch)), min(other, len(batch))))
    assert_same(from_table(to_table(batch, CLASSES).slice(start, stop - start)), batch.slice(start, stop))


def test_a_table_in_many_chunks_is_one_batch() -> None:
    parts = [many(3), many(1), empty_batch(), many(5)]
    table = pa.concat_tables([to_table(part, CLASSES) for part in parts])
    assert_same(from_table(table), concatenate(parts))


def test_the_same_drawings_have_the_same_bytes_wherever_their_memory_lies(tmp_path: Path) -> None:
    batch = many(ROW_GROUP_ROWS + 10)
    write_shard(tmp_path / "a.parquet", batch, CLASSES, FACTS)
    write_shard(tmp_path / "b.parquet", batch.take(np.arange(len(batch))), CLASSES, dict(reversed(FACTS.items())))
    sliced = concatenate([many(5), batch]).slice(5, 5 + len(batch))
    write_shard(tmp_path / "c.parquet", sliced, CLASSES, FACTS)
    assert len({(tmp_path / f"{name}.parquet").read_bytes() for name in "abc"}) == 1


@pytest.mark.slow
def test_row_groups_are_read_one_by_one_and_by_column(tmp_path: Path) -> None:
    batch, path = many(2 * ROW_GROUP_ROWS + 1), tmp_path / "x.parquet"
    write_shard(path, batch, CLASSES, FACTS)
    assert [table.num_rows for table in read_row_groups(path)] == [ROW_GROUP_ROWS, ROW_GROUP_ROWS, 1]
    tables = list(read_row_groups(path, ["key_id"]))
    assert tables[0].column_names == ["key_id"]
    assert pa.concat_tables(tables).column("key_id").to_pylist() == batch.key_id.tolist()
    assert_same(concatenate([from_table(table) for table in read_row_groups(path)]), batch)


def test_facts_and_columns_are_kept_beside_the_rows(tmp_path: Path) -> None:
    write_shard(tmp_path / "x.parquet", many(2), CLASSES, FACTS)
    assert read_facts(tmp_path / "x.parquet") == (schema(), FACTS)
    write_shard(tmp_path / "raw.parquet", batch_of([[(0.5, 1)]], raw=True), CLASSES, FACTS)
    assert read_facts(tmp_path / "raw.parquet") == (schema(raw=True), FACTS)


def test_other_readers_find_plain_values(tmp_path: Path) -> None:
    write_shard(tmp_path / "x.parquet", many(3), CLASSES, FACTS)
    frame = pq.read_table(tmp_path / "x.parquet").to_pandas()
    assert frame["word"].tolist() == ["star"] * 3
    assert str(frame["timestamp"].dtype) == "datetime64[us, UTC]"
    assert frame["drawing"][0][1][0] == {"x": 0, "y": 0}


def test_a_mapped_file_is_read_without_a_copy(tmp_path: Path) -> None:
    batch = many(10_000)
    write_arrow(tmp_path / "x.arrow", batch, CLASSES)
    before = pa.total_allocated_bytes()
    mapped = map_arrow(tmp_path / "x.arrow")
    assert pa.total_allocated_bytes() - before < 20_000 < mapped.x.nbytes
    for name in ("key_id", "label", "timestamp", "x", "y"):
        array = getattr(mapped, name)
        assert not array.flags.owndata, name
        assert not array.flags.writeable, name
    assert_same(mapped.slice(400, 410), batch.slice(400, 410))


def test_a_mapped_file_outlives_its_name(tmp_path: Path) -> None:
    batch = many(50)
    write_arrow(tmp_path / "x.arrow", batch, CLASSES)
    mapped = map_arrow(tmp_path / "x.arrow")
    (tmp_path / "x.arrow").unlink()
    assert_same(mapped, batch)


def test_a_missing_file_and_a_folder_are_faults_with_their_name(tmp_path: Path) -> None:
    for read in (read_shard, map_arrow, read_facts, lambda path: list(read_row_groups(path))):
        for path in (tmp_path / "nowhere.parquet", tmp_path):
            with pytest.raises(SketchDataError, match=rf"{path.name} cannot be read as a shard"):
                read(path)


@pytest.mark.parametrize("kept", [0, 1, 3, 4, 8, 100, 0.5, 0.9, -1, -8])
def test_a_truncated_file_is_a_fault_with_its_name(tmp_path: Path, kept: float) -> None:
    write_shard(tmp_path / "x.parquet", many(200), CLASSES, FACTS)
    write_arrow(tmp_path / "x.arrow", many(200), CLASSES)
    for path, read in ((tmp_path / "x.parquet", read_shard), (tmp_path / "x.arrow", map_arrow)):
        data = path.read_bytes()
        path.write_bytes(data[: int(kept * len(data)) if isinstance(kept, float) else kept])
        with pytest.raises(SketchDataError, match=rf"{path.name} cannot be read as a shard of sketchdata"):
            read(path)


@pytest.mark.slow
@given(st.data())
def test_flipped_bytes_are_a_fault_or_go_unnoticed_but_nothing_else(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "x.parquet"
        write_shard(path, many(50), CLASSES, FACTS)
        content = bytearray(path.read_bytes())
        for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=5)):
            content[place] ^= data.draw(st.integers(1, 255))
        path.write_bytes(content)
        with contextlib.suppress(SketchDataError):  # any other exception fails the test
            read_shard(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.drop_columns(["drawing"]),
        lambda table: table.drop_columns(["key_id", "label"]),
        lambda table: table.set_column(6, "drawing", pa.array(["a"] * len(table))),
        lambda table: table.set_column(6, "drawing", pa.array([1] * len(table))),
        lambda table: table.set_column(6, "drawing", pa.array([[1]] * len(table))),
        lambda table: table.set_column(6, "drawing", pa.array([[[1]]] * len(table))),
        lambda table: table.set_column(3, "countrycode", pa.array(["US"] * len(table))),
        lambda table: table.set_column(4, "timestamp", pa.array(["today"] * len(table))),
    ],
)
def test_a_file_with_other_columns_is_a_fault_with_its_name(tmp_path: Path, change: object) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(change(to_table(many(3), CLASSES)), path)  # type: ignore[operator]
    with pytest.raises(SketchDataError, match=r"x\.parquet cannot be read as a shard of sketchdata"):
        read_shard(path)


def test_a_parquet_file_of_someone_else_has_no_facts(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "x.parquet")
    with pytest.raises(SketchDataError, match=r"x\.parquet cannot be read as a shard of sketchdata"):
        read_facts(tmp_path / "x.parquet")


def test_a_fault_while_writing_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    write_shard(path, many(3), CLASSES, FACTS)
    with pytest.raises(pa.ArrowException):  # a label beyond the class table
        write_shard(path, batch_of([[(1, 1)]], labels=[7]), CLASSES, FACTS)
    assert_same(read_shard(path), many(3))
    assert [p.name for p in tmp_path.iterdir()] == ["x.parquet"]
