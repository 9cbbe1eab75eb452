"""A built data set on disk, read split by split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sketchdata import collection
from sketchdata.catalog import choose_classes
from sketchdata.drawing import DrawingBatch, concatenate, empty_batch
from sketchdata.edgemaps import open_edgemaps
from sketchdata.errors import ConfigError
from sketchdata.manifest import Manifest, read_manifest
from sketchdata.photos import Photo, decode
from sketchdata.sampling import mix_classes
from sketchdata.shards import parquet, pictures


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


@dataclass(frozen=True, kw_only=True)
class PictureSample:
    """N pictures: (H, W, 3) uint8 each, of any sizes; (N,) labels; (N,) key_ids."""

    pictures: list[Photo]
    label: npt.NDArray[np.uint16]
    key_id: npt.NDArray[np.uint64]


def first_pictures(directory: Path, manifest: Manifest, split: str, count: int, word: str | None) -> PictureSample:
    """Return crops or edge maps of a split, of one class or of all: a random sample, the same always.

    key_ids are hashes, so the smallest ones of each class are a random sample; classes are mixed.

    Raises:
        ConfigError: There is no such split or class, or the data set holds no pictures of classes.
        SketchDataError: A file is missing or damaged.
    """
    if split not in manifest.counts:
        raise ConfigError(f"there is no split {split!r}; {directory} has {', '.join(manifest.counts)}")
    label = None if word is None else manifest.classes.index(choose_classes(manifest.classes, word)[0])
    if is_edgemaps(manifest):
        maps = open_edgemaps(directory, channels=3)
        entries = maps.entries(split, None if label is None else [label])
        found = maps.read(entries.take(np.arange(min(count, len(entries)))))
        shown = [np.moveaxis(image, 0, 2) for image in found.images]
        return PictureSample(pictures=shown, label=found.labels, key_id=found.key_ids)
    if not holds_pictures(manifest):
        raise ConfigError(f"{directory} holds {manifest.name}, which has no pictures of classes to show")
    return _first_of_shards(directory, [shard.path for shard in manifest.shards(split)], count, label)


def _first_of_shards(directory: Path, shards: Sequence[str], count: int, wanted: int | None) -> PictureSample:
    columns = ["key_id", "label"]
    tables = [pa.concat_tables(pictures.read_shard(directory / path, columns=columns)) for path in shards]
    label, key_id = (
        np.concatenate([table.column(name).to_numpy() for table in tables]) for name in ("label", "key_id")
    )
    order = mix_classes(label, key_id)
    chosen = (order if wanted is None else order[label[order] == wanted])[:count]
    ends = np.cumsum([len(table) for table in tables])
    shown: dict[int, Photo] = {}
    for shard in np.unique(np.searchsorted(ends, chosen, side="right")).tolist():
        start = int(ends[shard]) - len(tables[shard])
        rows = np.sort(chosen[(chosen >= start) & (chosen < ends[shard])])
        whole = pa.concat_tables(pictures.read_shard(directory / shards[shard], columns=["image"]))
        contents = pictures.image_bytes(whole.take(pa.array(rows - start)))
        shown |= {row: decode(content) for row, content in zip(rows.tolist(), contents, strict=True)}
    return PictureSample(pictures=[shown[row] for row in chosen.tolist()], label=label[chosen], key_id=key_id[chosen])


def is_edgemaps(manifest: Manifest) -> bool:
    """Tell whether a data set is a finished set of edge maps, in tars with an index."""
    return "edges" in manifest.config


def holds_pictures(manifest: Manifest) -> bool:
    """Tell whether a data set holds crops of photos or edge maps in Parquet shards."""
    return tuple(manifest.counts) == (pictures.UNDIVIDED,) and bool(manifest.shards(pictures.UNDIVIDED))


def noun_of(manifest: Manifest) -> str:
    """Return what people call that which a data set's `counts` count."""
    if manifest.name == collection.NAME:
        return "annotations"
    if is_edgemaps(manifest) or "detector" in manifest.config:
        return "edge maps"
    return "crops" if holds_pictures(manifest) else "drawings"


def open_dataset(directory: Path) -> Dataset:
    """Open a data set that `sketchdata build` made.

    Raises:
        SketchDataError: It is not there, not finished, or of another layout version.
    """
    return Dataset(directory=directory, manifest=read_manifest(directory))
