"""A built data set on disk, read split by split."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sketchdata.drawings.drawing import DrawingBatch, concatenate, empty_batch
from sketchdata.errors import ConfigError
from sketchdata.storage import parquet
from sketchdata.storage.catalog import choose_classes
from sketchdata.storage.manifest import Manifest, read_manifest


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A finished data set: its folder and its manifest."""

    directory: Path
    manifest: Manifest

    def batches(self, split: str) -> Iterator[DrawingBatch]:
        """Yield a split's drawings in the order of its rows, one row group at a time.

        Raises:
            ConfigError: There is no such split.
            SketchDataError: A shard is missing or cannot be read.
        """
        if split not in self.manifest.counts:
            raise ConfigError(f"there is no split {split!r}; {self.directory} has {', '.join(self.manifest.counts)}")
        for shard in self.manifest.shards(split):
            for table in parquet.read_row_groups(self.directory / shard.path):
                yield parquet.from_table(table)

    def first(self, split: str, count: int, word: str | None = None) -> DrawingBatch:
        """Return a split's first drawings, of one class or of all: a random sample, by the order of the rows.

        Raises:
            ConfigError: There is no such split or class.
        """
        label = None if word is None else self.manifest.classes.index(choose_classes(self.manifest.classes, word)[0])
        found, missing = [empty_batch(raw=self.manifest.is_raw)], count
        for batch in self.batches(split):
            rows = np.arange(len(batch)) if label is None else np.flatnonzero(batch.label == label)
            found.append(batch.take(rows[:missing]))
            missing -= len(found[-1])
            if missing <= 0:
                break
        return concatenate(found)


def open_dataset(directory: Path) -> Dataset:
    """Open a data set that `sketchdata build` made.

    Raises:
        SketchDataError: It is not there, not finished, or of another layout version.
    """
    return Dataset(directory=directory, manifest=read_manifest(directory))
