"""The folder of an audit while it is being made: one task a shard, results beside them, the record last.

Nothing but `audit/` is touched, and in it nothing but this audit's own files: a curator's decisions lie there too.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sketchdata.curation.audit import AuditRecord, read_record, record_path
from sketchdata.drawings.drawing import DrawingBatch
from sketchdata.engine import Task, TaskResult
from sketchdata.errors import SketchDataError
from sketchdata.progress import console
from sketchdata.storage import parquet, pictures
from sketchdata.storage.manifest import (
    AUDIT_FOLDER,
    MANIFEST_NAME,
    FileEntry,
    Manifest,
    check_listed,
    file_entry,
    hash_file,
    read_manifest,
    replacing,
)

_WORK = ".work"
#: {kind of audit: what made the data sets that it is for}
_MAKERS = {"messiness": "sketchdata edgemaps extract"}


@dataclass(frozen=True, kw_only=True)
class AuditFolder:
    """A data set that is being audited.

    Attributes:
        directory: The data set's folder.
        kind: A key of `audit_store.RECORDS`.
        manifest: The data set's manifest.
        sha256: The manifest's hash.
        options: The audit's options that decide its bytes.
    """

    directory: Path
    kind: str
    manifest: Manifest
    sha256: str
    options: Mapping[str, Any]

    @property
    def path(self) -> Path:
        """The folder of all audits."""
        return self.directory / AUDIT_FOLDER

    @property
    def work(self) -> Path:
        """The folder for what is not finished; it goes away at the end."""
        return self.path / _WORK / self.kind

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that have rows, in order."""
        return tuple(split for split, rows in self.manifest.splits.items() if rows)

    def shards(self) -> list[tuple[str, FileEntry]]:
        """Return (split, shard) of the whole data set, in the order of its rows."""
        return [(split, shard) for split in self.splits for shard in self.manifest.shards(split)]

    def finished(self) -> AuditRecord | None:
        """Return the record of this very audit when it is whole already; None when there is something to do."""
        if not record_path(self.directory, self.kind).exists():
            return None
        with contextlib.suppress(SketchDataError):
            record = read_record(self.directory, self.kind)
            if self._record({}, ()).tool == record.tool and dict(record.options) == dict(self.options):
                console.print(f"{self.path} has this {self.kind} audit already, and its files are whole")
                return record
        # Damaged, stale or with other options: it is made again, which loses nothing that a person did.
        return None

    def task(self, shard: FileEntry, config: Mapping[str, Any], part: str = "") -> Task:
        """Return the task over one shard; its output goes to the work folder."""
        return Task(
            id=shard.path,
            output=self.output(shard, part),
            inputs={shard.path: shard.sha256},
            config={
                "shard": str(self.directory / shard.path),
                "sha256": shard.sha256,
                "classes": len(self.manifest.classes),
                **config,
            },
        )

    def output(self, shard: FileEntry, part: str = "") -> Path:
        """Return where the task over a shard writes; `part` keeps an audit's stages apart."""
        return self.work / part / f"{PurePosixPath(shard.path).stem}.arrow"

    def begin(self) -> None:
        """Withdraw an earlier audit of this kind before its files are replaced."""
        record_path(self.directory, self.kind).unlink(missing_ok=True)

    def finish(self, files: Mapping[str, int], counts: Mapping[str, Any]) -> AuditRecord:
        """Write the record of an audit whose files, {name: records}, are in place; clear the work folder away."""
        entries = tuple(file_entry(self.path / name, self.path, records) for name, records in files.items())
        record = self._record(counts, entries)
        record.write(self.directory)
        shutil.rmtree(self.work, ignore_errors=True)
        with contextlib.suppress(OSError):
            # It stays when another audit is at work.
            self.work.parent.rmdir()
        return record

    def _record(self, counts: Mapping[str, Any], files: tuple[FileEntry, ...]) -> AuditRecord:
        return AuditRecord(
            kind=self.kind,
            name=self.manifest.name,
            manifest=self.sha256,
            options=self.options,
            counts=counts,
            files=files,
        )


def open_audit(directory: Path, kind: str, options: Mapping[str, Any]) -> AuditFolder:
    """Open a built data set to audit it.

    Raises:
        SketchDataError: There is none, or it has no Parquet shards.
    """
    manifest = read_manifest(directory)
    if not any(manifest.shards(split) for split in manifest.counts):
        raise SketchDataError(
            f"{directory} ({manifest.name}) has no Parquet shards: audit what "
            f"`{_MAKERS.get(kind, 'sketchdata build')}` made, not an export"
        )
    sha256 = hash_file(directory / MANIFEST_NAME, "sha256")
    # Workers on other machines may start in other folders.
    return AuditFolder(directory=directory.absolute(), kind=kind, manifest=manifest, sha256=sha256, options=options)


def read_shard(task: Task) -> Iterator[DrawingBatch]:
    """Yield the drawings of a task's shard, a row group at a time, after seeing that it is the shard of the manifest.

    Raises:
        SketchDataError: It is missing, damaged or cannot be read, or a drawing has a label beyond the class table.
    """
    path, expected = Path(task.config["shard"]), task.config["sha256"]
    # Zstandard frames of Parquet carry no checksum: without this, a flipped bit would become a wrong drawing.
    check_listed(path, expected, "build the data set again")
    for table in parquet.read_row_groups(path):
        batch = parquet.from_table(table)
        _check_labels(path, batch.label, task.config["classes"])
        yield batch


def read_pictures(task: Task, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Yield some columns, `label` among them, of a task's shard of pictures, as `read_shard` does of drawings.

    Raises:
        SketchDataError: It is missing, damaged or no shard of pictures, or a label lies beyond the class table.
    """
    path = Path(task.config["shard"])
    for table in pictures.read_shard(path, task.config["sha256"], columns):
        _check_labels(path, table.column("label").to_numpy(), task.config["classes"])
        yield table


def _check_labels(path: Path, label: npt.NDArray[np.uint16], classes: int) -> None:
    if label.max(initial=0) >= classes:
        raise SketchDataError(f"{path} has label {label.max()}, beyond the data set's class table")


def write_columns(task: Task, columns: Mapping[str, Any]) -> TaskResult:
    """Write a task's columns as its output: an Arrow file, to be mapped into memory, whole or not at all."""
    table = pa.table(dict(columns))
    with replacing(task.output) as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    return TaskResult(task_id=task.id, files=(file_entry(task.output, task.output.parent, table.num_rows),))


def map_table(path: Path) -> pa.Table:
    """Map a file of `write_columns` into memory; what is not looked at is not read."""
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


def map_columns(path: Path, names: Sequence[str] | None = None) -> dict[str, npt.NDArray[Any]]:
    """Map columns of numbers of such a file, all of them by default, as numpy arrays."""
    table = map_table(path)
    return {name: table.column(name).to_numpy() for name in names or table.column_names}
