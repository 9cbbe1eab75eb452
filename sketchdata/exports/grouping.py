"""The first stage of exports that have a file a category: a data set's shards, each grouped by class."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from sketchdata.engine import EngineOptions, Task, TaskResult
from sketchdata.engine import run as run_stage
from sketchdata.exports.parent import Parent
from sketchdata.manifest import FileEntry, file_entry
from sketchdata.output_folder import OutputFolder
from sketchdata.shards import classwise, parquet


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
