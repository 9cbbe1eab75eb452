"""Drawings grouped by class in one Arrow file, from which each class can be read without the others.

A data set's rows are mixed over the classes, so writing a file a class would mean reading everything once a class.
Grouping each shard once makes every class one record batch, which is found by its number.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa

from sketchdata.drawing import DrawingBatch
from sketchdata.errors import SketchDataError
from sketchdata.manifest import replacing
from sketchdata.shards.parquet import from_table, to_table


def write_grouped(path: Path, batch: DrawingBatch, classes: Sequence[str]) -> None:
    """Write at least one drawing, as one record batch a class; rows within a class stay in their order."""
    order = np.argsort(batch.label, kind="stable")
    grouped = to_table(batch.take(order), classes).to_batches()[0]
    bounds = np.searchsorted(batch.label[order], np.arange(len(classes) + 1)).tolist()
    with replacing(path) as file, pa.ipc.new_file(file, grouped.schema) as writer:
        for first, last in pairwise(bounds):
            # A class without drawings is a record batch too: the label is the record batch's number.
            writer.write_batch(grouped.slice(first, last - first))


def read_class(path: Path, label: int) -> DrawingBatch:
    """Read one class's drawings from a file of `write_grouped`, and nothing else of it.

    Raises:
        SketchDataError: The file cannot be read.
    """
    try:
        with pa.memory_map(str(path)) as file, pa.ipc.open_file(file) as reader:
            return from_table(pa.Table.from_batches([reader.get_batch(label)]))
    except (pa.ArrowException, OSError) as error:
        raise SketchDataError(f"{path} cannot be read as drawings grouped by class: {error}") from error
