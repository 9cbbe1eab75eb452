"""Class vectors in Parquet: they come back to the bit, say where they come from, and other files are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sketchdata.classes.vectors import read_source, read_vectors, write_vectors
from sketchdata.errors import SketchDataError

WORDS = ("apple", "The Eiffel Tower", "zigzag")
VECTORS = np.array([[0.5, -2], [1e-30, 3], [4, 0]], np.float32)
COUNTS = np.array([3, 1, 2**40], np.int64)
SOURCE = {"kind": "edge maps", "run": "ab" * 32, "data": "cd" * 32, "missing": ["yoga"]}
FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_vectors(tmp_path / "vectors.parquet", WORDS, VECTORS, COUNTS, SOURCE)
    return tmp_path / "vectors.parquet"


@settings(max_examples=30)
@given(data=st.data(), words=st.lists(st.text(min_size=1), min_size=1, max_size=5, unique=True))
def test_whatever_is_written_comes_back_to_the_bit(
    data: st.DataObject, words: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    vectors = data.draw(arrays(np.float32, (len(words), data.draw(st.integers(1, 4))), elements=FINITE))
    counts = data.draw(arrays(np.int64, len(words)))
    path = tmp_path_factory.mktemp("round") / "vectors.parquet"
    write_vectors(path, words, vectors, counts, SOURCE)
    found = read_vectors(path)
    assert found[0] == tuple(words)
    assert (found[1].dtype, found[2].dtype) == (np.float32, np.int64)
    assert found[1].tobytes() == vectors.tobytes()
    np.testing.assert_array_equal(found[2], counts)


def test_the_columns_are_those_that_other_programs_are_told_of(path: Path) -> None:
    table = pq.read_table(path)
    assert [field.name for field in table.schema] == ["word", "count", "vector"]
    assert [str(field.type) for field in table.schema] == ["string", "int64", "fixed_size_list<element: float>[2]"]
    assert table.column("vector").to_pylist() == VECTORS.tolist()
    assert read_source(path) == SOURCE


def test_the_same_values_give_the_same_bytes_whatever_the_order_of_the_facts(path: Path) -> None:
    other = path.with_name("other.parquet")
    write_vectors(other, WORDS, VECTORS, COUNTS, dict(reversed(SOURCE.items())))
    assert other.read_bytes() == path.read_bytes()


def test_a_file_is_replaced_as_a_whole_and_one_that_cannot_be_written_is_named(path: Path) -> None:
    write_vectors(path, WORDS[:1], VECTORS[:1], COUNTS[:1], {})
    assert read_vectors(path)[0] == WORDS[:1]
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    with pytest.raises(SketchDataError, match=r"vectors\.parquet/inner cannot be written"):
        write_vectors(path / "inner", WORDS, VECTORS, COUNTS, {})


def table_of(**columns: Any) -> pa.Table:
    """Return a whole table with some columns changed, or left out where they are None."""
    whole = {
        "word": pa.array(WORDS),
        "count": pa.array(COUNTS),
        "vector": pa.array(VECTORS.tolist(), pa.list_(pa.float32(), 2)),
    }
    return pa.table({name: column for name, column in {**whole, **columns}.items() if column is not None})


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"vector": None}, "expected the columns word string, count int64 and vector.*found word string, count int64"),
        ({"vector": pa.array(VECTORS.tolist())}, "found .* vector list<element: double>"),
        ({"vector": pa.array(VECTORS.tolist(), pa.list_(pa.float64(), 2))}, "is not a file of class vectors"),
        ({"count": pa.array([1, 2, 3], pa.int32())}, "count int32"),
        ({"word": pa.array([1, 2, 3])}, "word int64"),
        ({"word": pa.array(["a", "b", "a"])}, "each class once"),
        ({"word": pa.array(["a", None, "b"])}, "nothing empty"),
        ({"count": pa.array([1, None, 3])}, "nothing empty"),
        ({"vector": pa.array([[1, 2], None, [3, 4]], pa.list_(pa.float32(), 2))}, "nothing empty"),
        ({"vector": pa.array([[1, 2], [None, 2], [3, 4]], pa.list_(pa.float32(), 2))}, "vectors that are not finite"),
        ({"vector": pa.array([[1, 2], [np.inf, 2], [3, 4]], pa.list_(pa.float32(), 2))}, "vectors that are not finite"),
    ],
    ids=["without", "ragged", "doubles", "counts", "words", "twice", "word", "count", "vector", "number", "infinite"],
)
def test_tables_of_something_else_are_refused(columns: dict[str, Any], message: str, path: Path) -> None:
    pq.write_table(table_of(**columns), path)
    with pytest.raises(SketchDataError, match=message):
        read_vectors(path)


def test_a_table_that_another_program_wrote_is_read_and_one_without_rows_is_not(path: Path) -> None:
    pq.write_table(table_of(), path)
    np.testing.assert_array_equal(read_vectors(path)[1], VECTORS)
    with pytest.raises(SketchDataError, match="does not say where its class vectors come from"):
        read_source(path)
    pq.write_table(table_of().slice(0, 0), path)
    with pytest.raises(SketchDataError, match="has 0 rows; expected each class once"):
        read_vectors(path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-10]),
        lambda path: path.write_bytes(b"\x80\x04N."),
    ],
    ids=["none", "empty", "cut-off", "pickle"],
)
def test_damaged_files_are_refused(damage: Callable[[Path], Any], path: Path) -> None:
    damage(path)
    with pytest.raises(SketchDataError, match=r"vectors\.parquet cannot be read as Parquet"):
        read_vectors(path)
    with pytest.raises(SketchDataError, match=r"vectors\.parquet does not say where"):
        read_source(path)
