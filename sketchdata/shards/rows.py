"""Rows of a split by their number, wherever in its Parquet shards they lie."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from sketchdata.drawing import DrawingBatch
from sketchdata.errors import SketchDataError
from sketchdata.shards.parquet import from_table


def overlapping(rows: Sequence[int], start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Yield (part, start, stop) for every part that holds some of the rows start..stop, counted within the part.

    Args:
        rows: The number of rows of each part, in order.
        start: The first row wanted.
        stop: One past the last row wanted.
    """
    before = 0
    for part, count in enumerate(rows):
        first, last = max(start - before, 0), min(stop - before, count)
        if first < last:
            yield part, first, last
        before += count


def read_rows(path: Path, start: int, stop: int) -> Iterator[DrawingBatch]:
    """Yield rows start..stop of one Parquet shard, a row group at a time; others are not read.

    Raises:
        SketchDataError: The file cannot be read, or has other columns or fewer rows.
    """
    try:
        with pq.ParquetFile(path) as file:
            if file.metadata.num_rows < stop:
                raise SketchDataError(f"{path} has {file.metadata.num_rows:,} rows, and row {stop:,} was asked for")
            counts = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
            for group, first, last in overlapping(counts, start, stop):
                yield from_table(file.read_row_group(group).slice(first, last - first))
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise SketchDataError(f"{path} cannot be read as a shard of sketchdata: {error}") from error
