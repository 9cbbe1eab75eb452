"""Drawings as Parquet: the canonical format, which `datasets`, DuckDB, polars and pandas can load.

    key_id uint64 · word dictionary<string> · label uint16 · countrycode dictionary<string>, nullable
    timestamp timestamp[us, UTC] · recognized bool · drawing list<list<struct<x: uint8, y: uint8>>>

Raw drawings have struct<x: float32, y: float32, t: uint32>. The flat x, y and offsets are views of Arrow's memory.
"""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from sketchdata.drawings.drawing import DrawingBatch
from sketchdata.errors import FormatError, SketchDataError
from sketchdata.files import regular
from sketchdata.storage.manifest import replacing
from sketchdata.storage.records import decode_fields

#: Key in the file's metadata of seed, layout version and tool version.
METADATA_KEY = b"sketchdata"
ROW_GROUP_ROWS = 20_000

_ZSTD_LEVEL = 3
#: A uint8 takes 32 bits in Parquet, but 8 as an index into a dictionary of 256: smaller, and faster to read.
_DICTIONARY_COLUMNS = ["word", "label", "countrycode"] + [f"drawing.list.element.list.element.{axis}" for axis in "xy"]
_NAMES = pa.dictionary(pa.int16(), pa.string())


def schema(*, raw: bool = False) -> pa.Schema:
    """Return the columns of a shard."""
    points = (
        [("x", pa.float32()), ("y", pa.float32()), ("t", pa.uint32())]
        if raw
        else [("x", pa.uint8()), ("y", pa.uint8())]
    )
    point = pa.struct([pa.field(name, kind, nullable=False) for name, kind in points])
    stroke = pa.list_(pa.field("element", point, nullable=False))
    return pa.schema(
        [
            pa.field("key_id", pa.uint64(), nullable=False),
            pa.field("word", _NAMES, nullable=False),
            pa.field("label", pa.uint16(), nullable=False),
            pa.field("countrycode", _NAMES),
            pa.field("timestamp", pa.timestamp("us", tz="UTC"), nullable=False),
            pa.field("recognized", pa.bool_(), nullable=False),
            pa.field("drawing", pa.list_(pa.field("element", stroke, nullable=False)), nullable=False),
        ]
    )


def to_table(batch: DrawingBatch, classes: Sequence[str]) -> pa.Table:
    """Return drawings as an Arrow table over the batch's own buffers."""
    columns = schema(raw=batch.is_raw)
    axes = [batch.x, batch.y] if batch.t is None else [batch.x, batch.y, batch.t]
    stroke_type = columns.field("drawing").type.value_type
    points = pa.StructArray.from_arrays([pa.array(axis) for axis in axes], fields=list(stroke_type.value_type))
    strokes = pa.ListArray.from_arrays(pa.array(batch.points.astype(np.int32)), points, type=stroke_type)
    drawings = pa.ListArray.from_arrays(
        pa.array(batch.strokes.astype(np.int32)), strokes, type=columns.field("drawing").type
    )
    words = pa.DictionaryArray.from_arrays(pa.array(batch.label.astype(np.int16)), pa.array(list(classes), pa.string()))
    codes, index = np.unique(batch.countrycode, return_inverse=True)
    countries = pa.DictionaryArray.from_arrays(
        pa.array(index.astype(np.int16), mask=batch.countrycode == b""),
        pa.array([code.decode("ascii") for code in codes], pa.string()),
    )
    arrays = [
        pa.array(batch.key_id),
        words,
        pa.array(batch.label),
        countries,
        pa.array(batch.timestamp).cast(columns.field("timestamp").type),
        pa.array(batch.recognized),
        drawings,
    ]
    return pa.Table.from_arrays(arrays, schema=columns)


def from_table(table: pa.Table) -> DrawingBatch:
    """Return a table's drawings as flat arrays, without a copy if the table has one chunk.

    Raises:
        FormatError: It has pictures, or anything else than drawings.
    """
    if missing := set(schema().names) - set(table.column_names):
        raise FormatError(
            f"expected drawings as strokes, found a table without {', '.join(sorted(missing))}: {table.column_names}"
        )
    table = table.combine_chunks()
    columns = {
        name: column.chunk(0) if column.num_chunks else pa.array([], column.type)
        for name, column in zip(table.column_names, table.columns, strict=True)
    }
    drawings = columns["drawing"]
    strokes = drawings.values
    points = strokes.values
    first, last = drawings.offsets[0].as_py(), drawings.offsets[-1].as_py()
    stroke_offsets = strokes.offsets.to_numpy()[first : last + 1].astype(np.int64)
    start, stop = (int(stroke_offsets[0]), int(stroke_offsets[-1])) if len(stroke_offsets) else (0, 0)
    axes = [points.field(i).to_numpy()[start:stop] for i in range(points.type.num_fields)]
    countries = columns["countrycode"]
    names = np.array([*[c.encode() for c in countries.dictionary.to_pylist()], b""], "S2")
    return DrawingBatch(
        key_id=columns["key_id"].to_numpy(),
        label=columns["label"].to_numpy(),
        countrycode=names[countries.indices.fill_null(len(names) - 1).to_numpy()],
        timestamp=columns["timestamp"].cast(pa.int64()).to_numpy(),
        recognized=columns["recognized"].to_numpy(zero_copy_only=False),
        strokes=drawings.offsets.to_numpy().astype(np.int64) - first,
        points=stroke_offsets - start if len(stroke_offsets) else np.zeros(1, np.int64),
        x=axes[0],
        y=axes[1],
        t=axes[2] if len(axes) > 2 else None,
    )


def write_shard(path: Path, batch: DrawingBatch, classes: Sequence[str], facts: Mapping[str, Any]) -> None:
    """Write one Parquet file, whole or not at all; equal drawings give equal bytes.

    `facts`, such as seed and layout version, are stored in the file's metadata as JSON.
    """
    table = to_table(batch, classes)
    table = table.replace_schema_metadata({METADATA_KEY: orjson.dumps(dict(facts), option=orjson.OPT_SORT_KEYS)})
    with replacing(path) as file:
        pq.write_table(
            table,
            file,
            row_group_size=ROW_GROUP_ROWS,
            compression="zstd",
            compression_level=_ZSTD_LEVEL,
            use_dictionary=_DICTIONARY_COLUMNS,
            write_statistics=["key_id", "label", "timestamp"],
        )


def read_shard(path: Path) -> DrawingBatch:
    """Read one Parquet file.

    Raises:
        SketchDataError: The file cannot be read, or has other columns.
    """
    with _readable(path):
        return from_table(pq.read_table(path, partitioning=None))


def read_row_groups(path: Path, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Yield some columns of a Parquet file, one row group at a time.

    Raises:
        SketchDataError: The file cannot be read.
    """
    with _readable(path), pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            yield file.read_row_group(group, columns=None if columns is None else list(columns))


def read_facts(path: Path) -> tuple[pa.Schema, dict[str, Any]]:
    """Return a Parquet file's columns, and the facts that `write_shard` stored.

    Raises:
        SketchDataError: The file cannot be read, or was not written by sketchdata.
    """
    with _readable(path):
        found = pq.read_schema(path)
        return found.remove_metadata(), decode_fields((found.metadata or {})[METADATA_KEY], dict[str, Any], path)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        regular(path)
        yield
    except (pa.ArrowException, OSError, LookupError, ValueError, AttributeError, TypeError, FormatError) as error:
        # AttributeError, TypeError and some of the others are raised for columns of other types.
        raise SketchDataError(f"{path} cannot be read as a shard of sketchdata: {error}") from error


def write_arrow(path: Path, batch: DrawingBatch, classes: Sequence[str]) -> None:
    """Write drawings as an uncompressed Arrow file, for `map_arrow`."""
    table = to_table(batch, classes)
    with replacing(path) as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


def map_arrow(path: Path) -> DrawingBatch:
    """Memory-map a file of `write_arrow`: only accessed parts are read."""
    with _readable(path):
        return from_table(pa.ipc.open_file(pa.memory_map(str(path))).read_all())


# Access to rows by number, over several shards.


def overlapping(rows: Sequence[int], start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Yield (part, start, stop) for every part with some of the rows start..stop, relative to the part.

    `rows` are the numbers of rows of the parts.
    """
    before = 0
    for part, count in enumerate(rows):
        first, last = max(start - before, 0), min(stop - before, count)
        if first < last:
            yield part, first, last
        before += count


def read_rows(path: Path, start: int, stop: int) -> Iterator[DrawingBatch]:
    """Yield rows start..stop of one Parquet shard, one row group at a time; others are not read.

    Raises:
        SketchDataError: The file cannot be read, or has other columns or fewer rows.
    """
    with _readable(path), pq.ParquetFile(path) as file:
        if file.metadata.num_rows < stop:
            raise SketchDataError(f"{path} has {file.metadata.num_rows:,} rows, and row {stop:,} was asked for")
        counts = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        for group, first, last in overlapping(counts, start, stop):
            yield from_table(file.read_row_group(group).slice(first, last - first))


def write_grouped(path: Path, batch: DrawingBatch, classes: Sequence[str]) -> None:
    """Write at least one drawing as an Arrow file with one record batch per class, which can be read independently.

    The order of rows in a class is unchanged.
    """
    order = np.argsort(batch.label, kind="stable")
    grouped = to_table(batch.take(order), classes).to_batches()[0]
    bounds = np.searchsorted(batch.label[order], np.arange(len(classes) + 1)).tolist()
    with replacing(path) as file, pa.ipc.new_file(file, grouped.schema) as writer:
        for first, last in pairwise(bounds):
            # A class without drawings also has a record batch, since the label is its index.
            writer.write_batch(grouped.slice(first, last - first))


def read_class(path: Path, label: int) -> DrawingBatch:
    """Read the drawings of one class from a file of `write_grouped`.

    Raises:
        SketchDataError: The file cannot be read.
    """
    with _readable(path), pa.memory_map(str(path)) as file, pa.ipc.open_file(file) as reader:
        return from_table(pa.Table.from_batches([reader.get_batch(label)]))


#: Maximum size of the cache of row groups in bytes: in a full-sized data set, 64 of drawings, or about 30 of photos.
_KEPT_BYTES = 160 << 20


class RowGroups:
    """The rows of some shards, in the order of the shards.

    Decoded row groups are cached, since neighbours on a page are in different row groups. Thread-safe.

    Args:
        paths: The shards.
        columns: The columns to read; None for all.
        most_bytes: Maximum size of the cache.

    Raises:
        SketchDataError: A shard cannot be read.
    """

    def __init__(
        self, paths: Sequence[Path], columns: Sequence[str] | None = None, most_bytes: int = _KEPT_BYTES
    ) -> None:
        self.paths = paths
        self.most_bytes = most_bytes
        self.columns = None if columns is None else list(columns)
        self.groups: list[tuple[int, int]] = []
        rows = [0]
        for place, path in enumerate(paths):
            with _readable(path), pq.ParquetFile(path) as file:
                self.groups += [(place, group) for group in range(file.num_row_groups)]
                rows += [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        self.starts = np.cumsum(rows)
        self._kept: OrderedDict[int, pa.Table] = OrderedDict()
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        # A copy in another process has its own cache.
        return {**self.__dict__, "_kept": OrderedDict(), "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    def take(self, rows: npt.NDArray[np.int64], *, keep: bool) -> Iterator[tuple[list[int], pa.Table]]:
        """Yield (positions in `rows`, these rows), one row group at a time, each read once.

        Without `keep` nothing is cached, for reading very many rows.

        Raises:
            SketchDataError: A shard cannot be read.
        """
        order = np.argsort(rows, kind="stable")
        bounds = np.searchsorted(rows[order], self.starts).tolist()
        for group, (first, last) in enumerate(itertools.pairwise(bounds)):
            if first < last:
                chosen = order[first:last]
                table = self._kept_table(group) if keep else self._load(group)
                yield chosen.tolist(), table.take(rows[chosen] - self.starts[group])

    @property
    def kept_bytes(self) -> int:
        """The size of the cached row groups in bytes."""
        return sum(table.nbytes for table in self._kept.values())

    def _kept_table(self, group: int) -> pa.Table:
        with self._lock:
            if group in self._kept:
                self._kept.move_to_end(group)
                return self._kept[group]
        # Outside the lock, so that two threads can decode two row groups.
        table = self._load(group)
        with self._lock:
            self._kept[group] = table
            while self.kept_bytes > self.most_bytes:
                self._kept.popitem(last=False)
        return table

    def _load(self, group: int) -> pa.Table:
        place, number = self.groups[group]
        path = self.paths[place]
        with _readable(path), pq.ParquetFile(path, memory_map=True) as file:
            return file.read_row_group(number, columns=self.columns)
