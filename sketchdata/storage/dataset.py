"""Data sets on disk: opening, reading split by split, checking, and choosing the splits of an export."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from sketchdata.drawings.drawing import DrawingBatch, concatenate, empty_batch
from sketchdata.drawings.sampling import PROPORTIONS, in_split, ranks
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.names import names_in
from sketchdata.progress import console
from sketchdata.storage import parquet
from sketchdata.storage.catalog import choose_classes, read_class_table
from sketchdata.storage.manifest import (
    MANIFEST_NAME,
    FileEntry,
    Manifest,
    ParentEntry,
    file_entry,
    file_fault,
    hash_file,
    read_manifest,
)
from sketchdata.storage.tars import SampleReader, find_tars, read_tar

_HASHES_AT_ONCE = 4


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A finished data set: its folder and its manifest."""

    directory: Path
    manifest: Manifest

    def batches(self, split: str) -> Iterator[DrawingBatch]:
        """Yield a split's drawings in the order of its rows, one row group, or one tar of an export, at a time.

        Raises:
            ConfigError: The split does not exist.
            SketchDataError: A shard is missing or cannot be read.
        """
        if split not in self.manifest.counts:
            raise ConfigError(f"there is no split {split!r}; {self.directory} has {', '.join(self.manifest.counts)}")
        for tar in self.manifest.tars(split):
            count = 0
            for batch in read_tar(self.directory / tar.path, self.manifest.classes):
                count += len(batch)
                yield batch
            if count != tar.records:
                raise SketchDataError(
                    f"{self.directory / tar.path} has {count:,} drawings where its manifest says {tar.records:,}: "
                    "export it again"
                )
        for shard in self.manifest.shards(split):
            for table in parquet.read_row_groups(self.directory / shard.path):
                yield parquet.from_table(table)

    def fingerprint(self) -> str:
        """Return a sha256 that identifies the content of the data set."""
        return hash_file(self.directory / MANIFEST_NAME, "sha256")

    def first(self, split: str, count: int, word: str | None = None) -> DrawingBatch:
        """Return a split's first drawings, of one class or of all; by the order of the rows, they are a random sample.

        Raises:
            ConfigError: The split or class does not exist.
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


def open_dataset(directory: Path, table: Path | None = None) -> Dataset:
    """Open a data set that `sketchdata build` or `sketchdata export webdataset` made, or tars that others made.

    Args:
        directory: Its folder.
        table: The class table of tars without a manifest; None for classes.txt beside them, or the words in their JSON.

    Raises:
        ConfigError: A class `table` is given although there is a manifest, or cannot be read.
        SketchDataError: The data set does not exist, is not finished, or has another layout version; or too few of the
            tars' samples are drawings of a class.
    """
    if (directory / MANIFEST_NAME).exists() or not (tars := find_tars(directory)):
        check_needed(directory, table)
        return Dataset(directory=directory, manifest=read_manifest(directory))
    beside = directory / _CLASSES
    table = table or (beside if beside.is_file() else None)
    state = tuple((path.stat().st_size, path.stat().st_mtime_ns) for path in tars)
    return _scan(directory, tars, None if table is None else read_class_table(table), state)


def check_needed(directory: Path, table: Path | None) -> None:
    """Raise a ConfigError for a class table if the data has its own."""
    if table is not None:
        raise ConfigError(
            f"--classes {table} is for tars without a {MANIFEST_NAME}, and {directory} has its own classes"
        )


#: The class table beside tars, and the names of our splits in other programs.
_CLASSES, _SPLITS = "classes.txt", {"valid": "val", "validation": "val", "dev": "val", "training": "train"}
_SPLIT_NAME = re.compile(r"(train|training|val|valid|validation|dev|test|gallery|query)(?![a-z])", re.IGNORECASE)
#: Maximum share of rejected samples in tars of other programs.
_MOST_REFUSED = 0.01


@dataclass(frozen=True, kw_only=True)
class LooseTars(Dataset):
    """Tars of drawings without a manifest; `manifest` is made from their content.

    Attributes:
        parts: {split: its tars}.
        divided: Whether the tars have no split, so that every split is a part of each tar, by key_id.
        tars: The reader.
    """

    parts: dict[str, tuple[Path, ...]]
    divided: bool
    tars: SampleReader

    def batches(self, split: str) -> Iterator[DrawingBatch]:
        """Yield a split's drawings in the order of its tars, some thousands at a time.

        Raises:
            ConfigError: The split does not exist.
            SketchDataError: A tar cannot be read.
        """
        if split not in self.parts:
            raise ConfigError(f"there is no split {split!r}; {self.directory} has {', '.join(self.parts)}")
        for path in self.parts[split]:
            for batch in self.tars.read(path):
                labelled = dataclasses.replace(batch, label=self.tars.labels(self.manifest.classes)[batch.label])
                yield (
                    labelled.take(np.flatnonzero(in_split(ranks(batch.key_id, 0), split))) if self.divided else labelled
                )

    def fingerprint(self) -> str:
        """Return a sha256 that identifies the tars and the class table."""
        return hashlib.sha256(orjson.dumps([self.manifest.classes, self.manifest.files])).hexdigest()


@functools.lru_cache(maxsize=4)
def _scan(directory: Path, tars: tuple[Path, ...], table: tuple[str, ...] | None, _state: object) -> LooseTars:
    """Read all tars once, for their classes and counts; `_state` identifies their content."""
    reader, counts, files = SampleReader(directory, table), Counter[tuple[str, int]](), []
    names = {path: _split_of(path.relative_to(directory)) for path in tars}
    divided = None in names.values()
    parts: dict[str, tuple[Path, ...]] = dict.fromkeys(PROPORTIONS, tars) if divided else {}
    for path, split in names.items():
        records = 0
        for batch in reader.read(path):
            records += len(batch)
            rank = ranks(batch.key_id, 0) if divided else None
            for own in PROPORTIONS if rank is not None else [str(split)]:
                chosen = batch.label if rank is None else batch.label[in_split(rank, own)]
                counts.update((own, label) for label in chosen.tolist())
        files.append(file_entry(path, directory, records))
        if not divided:
            parts[str(split)] = (*parts.get(str(split), ()), path)
    examined = sum(file.records for file in files) + (refused := reader.refused.counts.total())
    if refused > _MOST_REFUSED * examined or refused == examined:
        raise SketchDataError(
            f"{directory} has no {MANIFEST_NAME}, and of the {examined:,} samples in its tars {refused:,} are not "
            f"drawings of a class: {reader.refused or 'there are none'}"
        )
    if refused:
        note = f"{directory}: {refused:,} of {examined:,} samples are left out: {reader.refused}"
        console.print(note, markup=False, highlight=False, soft_wrap=True)
    classes = reader.classes()
    labels = reader.labels(classes)
    tallied = {split: dict.fromkeys(classes, 0) for split in parts}
    for (split, label), count in counts.items():
        tallied[split][classes[labels[label]]] += count
    manifest = Manifest(
        name=directory.resolve().name,
        config={},
        classes=classes,
        counts=tallied,
        rejects=dict(reader.refused.counts),
        sources=(),
        files=tuple(files),
    )
    return LooseTars(directory=directory, manifest=manifest, parts=parts, divided=divided, tars=reader)


def _split_of(path: Path) -> str | None:
    """Return the split that a tar's name, or a folder's on the way to it, begins with."""
    found = [match[1].lower() for part in reversed(path.parts) if (match := _SPLIT_NAME.match(part))]
    return _SPLITS.get(found[0], found[0]) if found else None


def file_faults(directory: Path, entries: Iterable[FileEntry]) -> Iterator[tuple[FileEntry, tuple[str, str] | None]]:
    """Yield each listed file of a folder with the result of `file_fault`; several are hashed in parallel."""

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
        """The entry in the output's manifest."""
        return ParentEntry(name=self.manifest.name, sha256=self.sha256)

    def plan(self, kind: str, config: dict[str, Any]) -> Manifest:
        """Return an export's manifest as far as it is known in advance."""
        return Manifest(
            name=f"{self.manifest.name}-{kind}",
            # Raw drawings have other types of columns.
            config={**config, "splits": list(self.splits), **({"keep_raw": True} if self.manifest.is_raw else {})},
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
            SketchDataError: Shards are missing or damaged; the message names all of them.
        """
        # Parquet's Zstandard frames have no checksum: without this check, a flipped bit would give a wrong drawing.
        manifest = self.manifest
        shards = [shard for split in self.splits for shard in manifest.shards(split) or manifest.tars(split)]
        faults = [f"  {shard.path} {fault[1]}" for shard, fault in file_faults(self.directory, shards) if fault]
        if faults:
            lines = "\n".join(faults)
            raise SketchDataError(f"{self.directory} is damaged, so nothing was exported; build it again:\n{lines}")


def open_parent(directory: Path, splits: str | None, out: Path, *, tars: bool = False) -> Parent:
    """Open a built data set, or with `tars` also an export, as the source of another output.

    `splits` are comma-separated names, None for all with drawings; `out` is the folder of the output.

    Raises:
        ConfigError: A split is unknown or no split has drawings, or the output would be inside the data set.
        SketchDataError: The data set does not exist.
    """
    manifest = read_manifest(directory)
    if directory.resolve() in (out.resolve(), *out.resolve().parents):
        raise ConfigError(
            f"an export cannot lie in the data set that it is made from, {directory}: choose another --out"
        )
    drawn = [split for split in manifest.counts if manifest.shards(split) or (tars and manifest.tars(split))]
    if not drawn:
        raise SketchDataError(
            f"{directory} ({manifest.name}) has no Parquet shards: export from what `sketchdata build` made"
        )
    names = set(manifest.counts) if splits is None else set(names_in(splits))
    unknown = sorted(names - set(manifest.counts))
    if unknown:
        raise ConfigError(f"there is no split {', '.join(unknown)}; {directory} has {', '.join(manifest.counts)}")
    chosen = tuple(split for split in drawn if split in names)
    if not chosen:
        raise ConfigError(
            f"the chosen splits of {directory} have no drawings, so there is nothing to export; {', '.join(drawn)} have"
        )
    sha256 = hash_file(directory / MANIFEST_NAME, "sha256")
    return Parent(directory=directory, manifest=manifest, sha256=sha256, splits=chosen)
