"""Rows by their number, over several shards: those asked for, each row group read once, and a bound on what is kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sketchdata.errors import SketchDataError
from sketchdata.storage.parquet import RowGroups

SHARDS, ROWS, GROUP = 3, 25, 10


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Three shards of 25 rows, numbered throughout, in row groups of 10."""
    found = []
    for shard in range(SHARDS):
        numbers = range(shard * ROWS, (shard + 1) * ROWS)
        table = pa.table({"number": list(numbers), "text": [f"row {number}" for number in numbers]})
        found.append(tmp_path / f"{shard}.parquet")
        pq.write_table(table, found[-1], row_group_size=GROUP)
    return found


def taken(groups: RowGroups, rows: list[int], *, keep: bool = True) -> list[int]:
    found = [-1] * len(rows)
    for places, table in groups.take(np.array(rows, np.int64), keep=keep):
        for place, number in zip(places, table.column("number").to_pylist(), strict=True):
            found[place] = number
    return found


@pytest.mark.parametrize("keep", [True, False])
def test_rows_come_to_the_places_where_they_were_asked_for(paths: list[Path], keep: bool) -> None:
    rows = [74, 0, 25, 24, 0, 49, 50, 3]
    groups = RowGroups(paths, ["number"])
    assert taken(groups, rows, keep=keep) == rows
    assert taken(groups, rows, keep=keep) == rows
    assert taken(groups, [], keep=keep) == []
    assert taken(RowGroups([]), []) == []


def test_each_row_group_is_read_once_and_only_the_columns_asked_for(paths: list[Path]) -> None:
    pieces = list(RowGroups(paths, ["number"]).take(np.arange(SHARDS * ROWS)[::-1].copy(), keep=False))
    assert [len(places) for places, _ in pieces] == [10, 10, 5] * SHARDS
    assert {tuple(table.column_names) for _, table in pieces} == {("number",)}


def test_no_more_is_kept_than_the_bound(paths: list[Path]) -> None:
    groups = RowGroups(paths)
    taken(groups, [0])
    bound = 2 * groups.kept_bytes
    groups = RowGroups(paths, most_bytes=bound)
    assert taken(groups, list(range(SHARDS * ROWS))) == list(range(SHARDS * ROWS))
    assert 0 < groups.kept_bytes <= bound
    assert taken(groups, [3, 70], keep=False) == [3, 70]


def test_a_shard_that_cannot_be_read_is_named(paths: list[Path]) -> None:
    groups = RowGroups(paths)
    paths[1].write_bytes(b"PAR1 and nothing else")
    with pytest.raises(SketchDataError, match=r"1\.parquet cannot be read as a shard"):
        taken(groups, [30])
    with pytest.raises(SketchDataError, match=r"1\.parquet cannot be read as a shard"):
        RowGroups(paths)
