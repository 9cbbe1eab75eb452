"""Drawings grouped by class in one Arrow file, from which each class can be read without the others.

A data set's rows are mixed over the classes, so a file a class would mean reading everything once a class. Grouping
each shard once makes every class one record batch, which is found by its number.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from sketchdata.drawing import DrawingBatch
from sketchdata.errors import SketchDataError
from sketchdata.manifest import replacing
from sketchdata.shards.parquet import from_table, to_table


def write_grouped(path: Path, batch: DrawingBatch, classes: Sequence[str]) -> None:
    """Write drawings as one record batch a class, in the class table's order, rows within a class in their own."""
    order = np.argsort(batch.label, kind="stable")
    table = to_table(batch.take(order), classes)
    bounds = np.searchsorted(batch.label[order], np.arange(len(classes) + 1)).tolist()
    with replacing(path) as file, pa.ipc.new_file(file, table.schema) as writer:
        for first, last in zip(bounds[:-1], bounds[1:], strict=True):
            # combine_chunks is free here; a class without rows must still be a record batch, or the numbers shift.
            part = table.slice(first, last - first).combine_chunks().to_batches()
            writer.write_batch(part[0] if part else pa.RecordBatch.from_pylist([], table.schema))


def read_class(path: Path, label: int) -> DrawingBatch:
    """Read one class's drawings out of a file of `write_grouped`; nothing else of it is read.

    Raises:
        SketchDataError: The file cannot be read.
    """
    try:
        with pa.memory_map(str(path)) as file, pa.ipc.open_file(file) as reader:
            return from_table(pa.Table.from_batches([reader.get_batch(label)]))
    except (pa.ArrowException, OSError) as error:
        raise SketchDataError(f"{path} cannot be read: {error}; remove its folder and run the command again") from error
