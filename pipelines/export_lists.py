"""Export the lists of a built data set: which picture is in which split and of which class, for hashing programs.

One task a list. No task holds more than a row group of its split.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import click

from sketchdata.config import option
from sketchdata.engine import EngineOptions, Task, TaskResult, run_final
from sketchdata.engine.exports import Parent, open_parent
from sketchdata.engine.output_folder import OutputFolder, publish
from sketchdata.errors import ConfigError
from sketchdata.formats import deephash
from sketchdata.storage.cards import lists_card
from sketchdata.storage.manifest import Manifest, file_entry, replacing
from sketchdata.storage.parquet import read_row_groups


@dataclass(frozen=True, kw_only=True)
class Config:
    """How lists are written, and where they go."""

    out: Path = option(help="Folder of the export.", record=False, type=click.Path(file_okay=False, path_type=Path))
    format: str = option("hashnet", help="Of the lists.", type=click.Choice(["hashnet"]))
    overwrite: bool = option(False, help="Replace another export in the folder.", record=False)


def run(directory: Path, config: Config, engine: EngineOptions) -> Manifest | None:
    """Write a data set's lists and return the export's manifest; None in an unfinished share of a job.

    Raises:
        ConfigError: Class names cannot be folders, or no split of the data set has a list.
        SketchDataError: The data set is missing or damaged, the folder is not free, or tasks failed.
    """
    parent = open_parent(directory, None, config.out)
    parent = dataclasses.replace(parent, splits=tuple(split for split in deephash.FILES if split in parent.splits))
    if not parent.splits:
        raise ConfigError(f"{directory} has drawings in none of the splits {', '.join(deephash.FILES)}")
    folders = deephash.folder_names(parent.manifest.classes)
    plan = parent.plan("lists", {"format": config.format, "folders": list(folders)})
    folder = OutputFolder(out=config.out, plan=plan, names=frozenset(deephash.FILES[split] for split in parent.splits))
    if (finished := folder.begin(overwrite=config.overwrite, check=parent.check_files)) is not None:
        return finished
    tasks = [_task(parent, folder, split, folders) for split in parent.splits]
    if (results := run_final(write_list, tasks, engine, title="Writing lists")) is None:
        return None
    return folder.finish([file for result in results for file in result.files], lists_card)


def _task(parent: Parent, folder: OutputFolder, split: str, folders: tuple[str, ...]) -> Task:
    name, shards = deephash.FILES[split], parent.manifest.shards(split)
    return Task(
        id=name,
        output=folder.out / name,
        inputs={shard.path: shard.sha256 for shard in shards},
        config={
            "shards": [str(parent.directory / shard.path) for shard in shards],
            "folders": list(folders),
            "written": str(folder.work / name),
        },
        markers=folder.work / "done",
    )


def write_list(task: Task) -> TaskResult:
    """Write the list of a split, in the order of its rows."""
    written, rows = Path(task.config["written"]), 0
    with replacing(written) as file:
        for line in chain.from_iterable(_lines(Path(shard), task.config["folders"]) for shard in task.config["shards"]):
            file.write(line)
            rows += 1
    publish(written, task.output)
    return TaskResult(task_id=task.id, files=(file_entry(task.output, task.output.parent, rows),))


def _lines(shard: Path, folders: list[str]) -> Iterator[bytes]:
    for table in read_row_groups(shard, ["key_id", "label"]):
        yield from deephash.lines(table.column("key_id").to_numpy(), table.column("label").to_numpy(), folders)
