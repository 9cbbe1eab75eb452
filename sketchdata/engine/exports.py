"""The built data set that an export is made from: opened, its splits chosen, its shards checked before any work."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from sketchdata.engine import EngineOptions, Task, TaskResult
from sketchdata.engine import run as run_stage
from sketchdata.engine.output_folder import OutputFolder
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.names import names_in
from sketchdata.storage import parquet
from sketchdata.storage import parquet as classwise
from sketchdata.storage.manifest import (
    MANIFEST_NAME,
    FileEntry,
    Manifest,
    ParentEntry,
    file_entry,
    hash_file,
    read_manifest,
)

_HASHES_AT_ONCE = 4


@dataclass(frozen=True, kw_only=True)
class Parent:
    """A built data set that is exported, with the splits that are wanted of it."""

    directory: Path
    manifest: Manifest
    sha256: str
    splits: tuple[str, ...]

    @property
    def entry(self) -> ParentEntry:
        """What an export's manifest says about it."""
        return ParentEntry(name=self.manifest.name, sha256=self.sha256)

    @property
    def is_raw(self) -> bool:
        """Whether its drawings are raw ones, with times."""
        return self.manifest.is_raw

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
        """See that every shard is there and is the one that the manifest lists.

        Raises:
            SketchDataError: Some are not; all of them are named.
        """
        # Zstandard frames of Parquet carry no checksum: without this, a flipped bit would become a wrong drawing.
        shards = [shard for split in self.splits for shard in self.manifest.shards(split)]
        with ThreadPoolExecutor(_HASHES_AT_ONCE) as pool:
            faults = [fault for fault in pool.map(self._fault, shards) if fault is not None]
        if faults:
            lines = "\n".join(f"  {fault}" for fault in faults)
            raise SketchDataError(f"{self.directory} is damaged, so nothing was exported; build it again:\n{lines}")

    def _fault(self, shard: FileEntry) -> str | None:
        path = self.directory / shard.path
        if not path.is_file():
            return f"{shard.path} is missing"
        if path.stat().st_size != shard.bytes:
            return f"{shard.path} has {path.stat().st_size:,} bytes instead of {shard.bytes:,}"
        sha256 = hash_file(path, "sha256")
        return None if sha256 == shard.sha256 else f"{shard.path} has sha256 {sha256} instead of {shard.sha256}"


def open_parent(directory: Path, splits: str | None, out: Path) -> Parent:
    """Open a built data set to export some of its splits.

    Args:
        directory: Where it is.
        splits: Comma-separated names; None for all that have drawings.
        out: Where the export goes.

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


# The first stage of exports that have a file a category: a data set's shards, each grouped by class.


def group_by_class(parent: Parent, folder: OutputFolder, engine: EngineOptions) -> bool:
    """Group every shard of the chosen splits; return False in an unfinished share of a job.

    Raises:
        TasksFailedError: A shard cannot be read.
    """
    tasks = [_task(parent, folder, shard) for split in parent.splits for shard in parent.manifest.shards(split)]
    return run_stage(group_shard, tasks, engine, title="Grouping by class") is not None


def grouped_file(folder: OutputFolder, shard: FileEntry) -> Path:
    """Return where a shard's drawings lie once they are grouped, to be read by `classwise.read_class`."""
    return folder.work / "grouped" / f"{PurePosixPath(shard.path).stem}.arrow"


def _task(parent: Parent, folder: OutputFolder, shard: FileEntry) -> Task:
    return Task(
        id=shard.path,
        output=grouped_file(folder, shard),
        inputs={shard.path: shard.sha256},
        config={"shard": str(parent.directory / shard.path), "classes": list(parent.manifest.classes)},
    )


def group_shard(task: Task) -> TaskResult:
    """Put one Parquet shard's drawings together by class."""
    batch = parquet.read_shard(Path(task.config["shard"]))
    classwise.write_grouped(task.output, batch, task.config["classes"])
    return TaskResult(task_id=task.id, files=(file_entry(task.output, task.output.parent, len(batch)),))
