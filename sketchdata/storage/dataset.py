"""A built data set on disk: opened, read split by split, checked, and chosen from for exports."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sketchdata.drawings.drawing import DrawingBatch, concatenate, empty_batch
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.names import names_in
from sketchdata.storage import parquet
from sketchdata.storage.catalog import choose_classes
from sketchdata.storage.manifest import (
    MANIFEST_NAME,
    FileEntry,
    Manifest,
    ParentEntry,
    file_fault,
    hash_file,
    read_manifest,
)
from sketchdata.storage.tars import read_tar

_HASHES_AT_ONCE = 4


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A finished data set: its folder and its manifest."""

    directory: Path
    manifest: Manifest

    def batches(self, split: str) -> Iterator[DrawingBatch]:
        """Yield a split's drawings in the order of its rows, one row group, or one tar of an export, at a time.

        Raises:
            ConfigError: There is no such split.
            SketchDataError: A shard is missing or cannot be read.
        """
        if split not in self.manifest.counts:
            raise ConfigError(f"there is no split {split!r}; {self.directory} has {', '.join(self.manifest.counts)}")
        for tar in self.manifest.tars(split):
            batches = list(read_tar(self.directory / tar.path, self.manifest.classes))
            if (count := sum(map(len, batches))) != tar.records:
                raise SketchDataError(
                    f"{self.directory / tar.path} has {count:,} drawings where its manifest says {tar.records:,}: "
                    "export it again"
                )
            yield from batches
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
    """Open a data set that `sketchdata build` or `sketchdata export webdataset` made.

    Raises:
        SketchDataError: It is not there, not finished, or of another layout version.
    """
    return Dataset(directory=directory, manifest=read_manifest(directory))


def file_faults(directory: Path, entries: Iterable[FileEntry]) -> Iterator[tuple[FileEntry, tuple[str, str] | None]]:
    """Yield each listed file of a folder with what `file_fault` finds; several are hashed at once."""

    def look(entry: FileEntry) -> tuple[FileEntry, tuple[str, str] | None]:
        return entry, file_fault(directory / entry.path, size=entry.bytes, sha256=entry.sha256)

    with ThreadPoolExecutor(_HASHES_AT_ONCE) as pool:
        yield from pool.map(look, entries)


@dataclass(frozen=True, kw_only=True)
class Parent(Dataset):
    """A data set that another output is made from: the sha256 of its manifest, and the splits that are used."""

    sha256: str
    splits: tuple[str, ...]

    @property
    def entry(self) -> ParentEntry:
        """What the output's manifest says about it."""
        return ParentEntry(name=self.manifest.name, sha256=self.sha256)

    def plan(self, kind: str, config: dict[str, Any]) -> Manifest:
        """Return an export's manifest as far as it is known beforehand."""
        return Manifest(
            name=f"{self.manifest.name}-{kind}",
            config={**config, "splits": list(self.splits)},
            classes=self.manifest.classes,
            counts={split: self.manifest.counts[split] for split in self.splits},
            rejects={},
            sources=self.manifest.sources,
            files=(),
            parent=self.entry,
        )

    def check_files(self) -> None:
        """Check every shard of the splits against the manifest.

        Raises:
            SketchDataError: Shards are missing or damaged; all of them are named.
        """
        # Zstandard frames of Parquet carry no checksum: without this, a flipped bit would become a wrong drawing.
        shards = [shard for split in self.splits for shard in self.manifest.shards(split)]
        faults = [f"  {shard.path} {fault[1]}" for shard, fault in file_faults(self.directory, shards) if fault]
        if faults:
            lines = "\n".join(faults)
            raise SketchDataError(f"{self.directory} is damaged, so nothing was exported; build it again:\n{lines}")


def open_parent(directory: Path, splits: str | None, out: Path) -> Parent:
    """Open a built data set to export some of its splits.

    `splits` are comma-separated names, None all that have drawings; `out` is where the export goes.

    Raises:
        ConfigError: A split is unknown or none has drawings, or the export would lie in the data set.
        SketchDataError: There is no built data set.
    """
    manifest = read_manifest(directory)
    if directory.resolve() in (out.resolve(), *out.resolve().parents):
        raise ConfigError(
            f"an export cannot lie in the data set that it is made from, {directory}: choose another --out"
        )
    if not any(manifest.shards(split) for split in manifest.counts):
        raise SketchDataError(
            f"{directory} ({manifest.name}) has no Parquet shards: export from what `sketchdata build` made"
        )
    names = set(manifest.counts) if splits is None else set(names_in(splits))
    unknown = sorted(names - set(manifest.counts))
    if unknown:
        raise ConfigError(f"there is no split {', '.join(unknown)}; {directory} has {', '.join(manifest.counts)}")
    chosen = tuple(split for split in manifest.counts if split in names and manifest.shards(split))
    if not chosen:
        raise ConfigError(f"the chosen splits of {directory} have no drawings, so there is nothing to export")
    sha256 = hash_file(directory / MANIFEST_NAME, "sha256")
    return Parent(directory=directory, manifest=manifest, sha256=sha256, splits=chosen)
