"""Export a built data set as bitmaps: one .npy a category, laid out and, by default, drawn like the official ones.

Two stages, as for the text: Parquet shards are grouped by class, then each category's file is drawn from the groups.
No task holds more than a slice of its bitmaps.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from sketchdata.config import option, recorded
from sketchdata.drawings.drawing import DrawingBatch
from sketchdata.drawings.raster import MAX_LINE_WIDTH, Bitmaps
from sketchdata.drawings.raster import raster as fast_raster
from sketchdata.drawings.raster_cairo import MAX_OFFICIAL_SIZE, OFFICIAL_SIZE, load_cairo, official_raster
from sketchdata.engine import EngineOptions, Task, TaskResult, run_final
from sketchdata.engine.exports import Parent, group_by_class, grouped_file, open_parent
from sketchdata.engine.output_folder import OutputFolder, publish
from sketchdata.errors import ConfigError
from sketchdata.formats import npy
from sketchdata.storage import parquet
from sketchdata.storage.cards import bitmaps_card
from sketchdata.storage.catalog import official_path
from sketchdata.storage.manifest import Manifest, file_entry, replacing

#: Pixels drawn at once: 16 MB, whatever the size.
_PIXELS_AT_ONCE = 1 << 24


@dataclass(frozen=True, kw_only=True)
class Config:
    """How bitmaps are drawn, and where they go."""

    out: Path = option(help="Folder of the export.", record=False, type=click.Path(file_okay=False, path_type=Path))
    splits: str | None = option(
        None, help="Comma-separated names. Default: all that have drawings.", record=False, metavar="A,B,…"
    )
    raster: str = option(
        "official",
        help="Which raster: official is cairo's, as published, fast is OpenCV's.",
        type=click.Choice(["official", "fast"]),
    )
    size: int = option(
        OFFICIAL_SIZE, help="Pixels a side; the published ones have 28.", type=click.IntRange(1, MAX_OFFICIAL_SIZE)
    )
    line_width: int = option(1, help="Of the fast raster, in pixels.", type=click.IntRange(1, MAX_LINE_WIDTH))
    antialias: bool = option(False, help="Smooth the lines of the fast raster.")
    overwrite: bool = option(False, help="Replace another export in the folder.", record=False)

    def check(self) -> None:
        """See that bitmaps can be drawn as asked.

        Raises:
            ConfigError: cairo is needed and not installed, or an option has no effect.
        """
        if self.raster == "fast":
            return
        if self.line_width != 1 or self.antialias:
            raise ConfigError("--line-width and --antialias are for --raster fast; the official raster has its own")
        load_cairo()


def run(directory: Path, config: Config, engine: EngineOptions) -> Manifest | None:
    """Write a data set's bitmaps and return the export's manifest; None in an unfinished share of a job.

    Raises:
        SketchDataError: The data set is missing or damaged, cairo is, the folder is not free, or tasks failed.
    """
    config.check()
    parent = open_parent(directory, config.splits, config.out)
    plan = parent.plan("bitmaps", recorded(config))
    folder = OutputFolder(out=config.out, plan=plan, names=frozenset({"full"}))
    if (finished := folder.begin(overwrite=config.overwrite, check=parent.check_files)) is not None:
        return finished
    if not group_by_class(parent, folder, engine):
        return None
    tasks = _tasks(parent, folder, config)
    if (results := run_final(write_bitmaps, tasks, engine, title="Drawing bitmaps")) is None:
        return None
    entries = [
        dataclasses.replace(entry, path=task.id)
        for task, result in zip(tasks, results, strict=True)
        for entry in result.files
    ]
    return folder.finish(entries, bitmaps_card)


def _tasks(parent: Parent, folder: OutputFolder, config: Config) -> list[Task]:
    counts = parent.manifest.counts
    rows = {word: sum(counts[split].get(word, 0) for split in parent.splits) for word in parent.manifest.classes}
    return [_task(parent, folder, config, word, count) for word, count in rows.items() if count]


def _task(parent: Parent, folder: OutputFolder, config: Config, word: str, rows: int) -> Task:
    shards = [shard for split in parent.splits for shard in parent.manifest.shards(split)]
    path = official_path("numpy_bitmap", word)
    return Task(
        id=path,
        output=folder.out / path,
        # The groups follow from the shards alone.
        inputs={shard.path: shard.sha256 for shard in shards},
        config={
            "grouped": [str(grouped_file(folder, shard)) for shard in shards],
            "label": parent.manifest.classes.index(word),
            "rows": rows,
            "written": str(folder.work / path),
            "draw": recorded(config),
        },
        markers=folder.work / "done",
    )


def write_bitmaps(task: Task) -> TaskResult:
    """Draw one category's drawings of some splits, in the order of the splits' rows."""
    written, size, rows = Path(task.config["written"]), task.config["draw"]["size"], 0
    draw = _drawer(**task.config["draw"])
    at_once = max(1, _PIXELS_AT_ONCE // size**2)
    with replacing(written) as file:
        file.write(_header(task.config["rows"], size))
        for grouped in task.config["grouped"]:
            batch = parquet.read_class(Path(grouped), task.config["label"])
            for start in range(0, len(batch), at_once):
                file.write(draw(batch.slice(start, min(start + at_once, len(batch)))).data)
            rows += len(batch)
    publish(written, task.output)
    return TaskResult(task_id=task.id, files=(file_entry(task.output, task.output.parent, rows),))


def _drawer(*, raster: str, size: int, line_width: int, antialias: bool) -> Callable[[DrawingBatch], Bitmaps]:
    # One thread, since the engine keeps every core busy with other categories.
    if raster == "official":
        return lambda batch: official_raster(batch, size=size, threads=1)
    return lambda batch: fast_raster(batch, size=size, line_width=line_width, antialias=antialias, threads=1)


def _header(rows: int, size: int) -> bytes:
    if size == npy.SIDE:
        return npy.header(rows)
    file = io.BytesIO()
    # numpy's annotations leave this function out.
    write: Any = np.lib.format.write_array_header_1_0
    write(file, {"descr": "|u1", "fortran_order": False, "shape": (rows, size * size)})
    return file.getvalue()
