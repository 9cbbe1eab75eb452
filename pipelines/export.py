"""Export a built data set: to tar shards for WebDataset, or back to the official one-drawing-a-line text.

Tar shards are one stage: each takes its rows out of the Parquet shards. Text is two: the Parquet shards, in which all
classes are mixed, are grouped by class, then each category's file is put together from the groups. So nothing is read
twice, and no task holds more than one shard.
"""

from __future__ import annotations

import dataclasses
import gzip
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import click

from sketchdata.config import option, recorded
from sketchdata.drawings.raster import MAX_LINE_WIDTH, MAX_SIZE
from sketchdata.engine import EngineOptions, Task, TaskResult, run_final
from sketchdata.engine.exports import Parent, group_by_class, grouped_file, open_parent
from sketchdata.engine.output_folder import OutputFolder, publish
from sketchdata.errors import ConfigError
from sketchdata.formats import ndjson
from sketchdata.storage import parquet
from sketchdata.storage.cards import ndjson_card, webdataset_card
from sketchdata.storage.catalog import official_path
from sketchdata.storage.manifest import Manifest, file_entry, replacing
from sketchdata.storage.parquet import overlapping, read_rows
from sketchdata.storage.tars import Picture, write_tar

_GZIP_LEVEL = 6
_SPLITS = "Comma-separated names. Default: all that have drawings."


@dataclass(frozen=True, kw_only=True)
class WebDatasetConfig:
    """What goes into the tar shards, and where they go."""

    out: Path = option(help="Folder of the export.", record=False, type=click.Path(file_okay=False, path_type=Path))
    splits: str | None = option(None, help=_SPLITS, record=False, metavar="A,B,…")
    shard_rows: int = option(
        10_000, help="Drawings in a tar at most; all of a split are equal.", type=click.IntRange(1)
    )
    png: int | None = option(
        None, help="Add a picture of so many pixels a side.", type=click.IntRange(1, MAX_SIZE), metavar="SIZE"
    )
    line_width: int = option(1, help="Width of the pictures' lines in pixels.", type=click.IntRange(1, MAX_LINE_WIDTH))
    white_on_black: bool = option(False, help="Draw white ink on black instead of black ink on white.")
    overwrite: bool = option(False, help="Replace another export in the folder.", record=False)

    def picture(self) -> Picture | None:
        """Return how pictures are drawn, None for none.

        Raises:
            ConfigError: There are options for pictures, but no pictures.
        """
        if self.png is not None:
            return Picture(size=self.png, line_width=self.line_width, white_on_black=self.white_on_black)
        if self.line_width != 1 or self.white_on_black:
            raise ConfigError("--line-width and --white-on-black are for pictures: give --png SIZE as well")
        return None


@dataclass(frozen=True, kw_only=True)
class NdjsonConfig:
    """How the text is laid out, and where it goes."""

    out: Path = option(help="Folder of the export.", record=False, type=click.Path(file_okay=False, path_type=Path))
    splits: str | None = option(None, help=_SPLITS, record=False, metavar="A,B,…")
    merge: bool = option(False, help="One file a category with all splits, laid out like the official bucket.")
    gzip: bool = option(False, help="Compress each file.")
    overwrite: bool = option(False, help="Replace another export in the folder.", record=False)


# ---- tar shards ------------------------------------------------------------------------------------------------------


def export_webdataset(directory: Path, config: WebDatasetConfig, engine: EngineOptions) -> Manifest | None:
    """Write a data set's splits as tar shards and return the export's manifest; None in an unfinished share of a job.

    Raises:
        SketchDataError: The data set is missing or damaged, the folder is not free, or tasks failed.
    """
    picture = config.picture()
    parent = open_parent(directory, config.splits, config.out)
    plan = parent.plan("webdataset", recorded(config))
    spans = [span for split in parent.splits for span in _tar_spans(parent, split, config.shard_rows)]
    folder = OutputFolder(out=config.out, plan=plan, names=frozenset(name for name, *_ in spans))
    if (finished := folder.begin(overwrite=config.overwrite, check=parent.check_files)) is not None:
        return finished
    tasks = [_tar_task(parent, folder, span, picture) for span in spans]
    if (results := run_final(write_tar_shard, tasks, engine, title="Writing tars")) is None:
        return None
    return folder.finish([file for result in results for file in result.files], webdataset_card)


_Span = tuple[str, str, int, int]


def _tar_spans(parent: Parent, split: str, shard_rows: int) -> list[_Span]:
    """Return (tar's name, split, first row, last row + 1) of each tar of a split."""
    rows = sum(shard.records for shard in parent.manifest.shards(split))
    tars = math.ceil(rows / shard_rows)
    return [(f"{split}-{n:06d}.tar", split, rows * n // tars, rows * (n + 1) // tars) for n in range(tars)]


def _tar_task(parent: Parent, folder: OutputFolder, span: _Span, picture: Picture | None) -> Task:
    name, split, start, stop = span
    shards = parent.manifest.shards(split)
    parts = [(shards[i], first, last) for i, first, last in overlapping([s.records for s in shards], start, stop)]
    return Task(
        id=name,
        output=folder.out / name,
        inputs={shard.path: shard.sha256 for shard, _, _ in parts},
        config={
            "parts": [[str(parent.directory / shard.path), first, last] for shard, first, last in parts],
            "classes": list(parent.manifest.classes),
            "picture": None if picture is None else dataclasses.asdict(picture),
            "work": str(folder.work / "tars"),
        },
        markers=folder.work / "done",
    )


def write_tar_shard(task: Task) -> TaskResult:
    """Write rows of a split, which may lie in several Parquet shards, as one tar."""
    picture = task.config["picture"]
    batches = (batch for path, first, last in task.config["parts"] for batch in read_rows(Path(path), first, last))
    written = Path(task.config["work"]) / task.output.name
    rows = write_tar(written, batches, task.config["classes"], None if picture is None else Picture(**picture))
    publish(written, task.output)
    return TaskResult(task_id=task.id, files=(file_entry(task.output, task.output.parent, rows),))


# ---- official text: one task a Parquet shard, then one task a file ---------------------------------------------------


def export_ndjson(directory: Path, config: NdjsonConfig, engine: EngineOptions) -> Manifest | None:
    """Write a data set as official text and return the export's manifest; None in an unfinished share of a job.

    Raises:
        SketchDataError: The data set is missing or damaged, the folder is not free, or tasks failed.
    """
    parent = open_parent(directory, config.splits, config.out)
    plan = parent.plan("ndjson", recorded(config))
    files = _merged_files(parent) if config.merge else _split_files(parent)
    folder = OutputFolder(out=config.out, plan=plan, names=frozenset(file.path.parts[0] for file in files))
    if (finished := folder.begin(overwrite=config.overwrite, check=parent.check_files)) is not None:
        return finished
    if not group_by_class(parent, folder, engine):
        return None
    tasks = [_text_task(parent, folder, file, compress=config.gzip) for file in files]
    if (results := run_final(write_category, tasks, engine, title="Writing ndjson")) is None:
        return None
    places = [file.path.parent for file in files]
    entries = [
        dataclasses.replace(entry, path=(place / entry.path).as_posix())
        for place, result in zip(places, results, strict=True)
        for entry in result.files
    ]
    return folder.finish(entries, ndjson_card)


@dataclass(frozen=True, kw_only=True)
class _TextFile:
    """One file of the export: its path there, its category, and the splits of which it holds that category."""

    path: PurePosixPath
    word: str
    splits: tuple[str, ...]


def _split_files(parent: Parent) -> list[_TextFile]:
    counts = parent.manifest.counts
    return [
        _TextFile(path=PurePosixPath(split, f"{word}.ndjson"), word=word, splits=(split,))
        for split in parent.splits
        for word in parent.manifest.classes
        if counts[split].get(word)
    ]


def _merged_files(parent: Parent) -> list[_TextFile]:
    files = []
    for word in parent.manifest.classes:
        splits = tuple(split for split in parent.splits if parent.manifest.counts[split].get(word))
        path = PurePosixPath(official_path("raw" if parent.is_raw else "simplified", word))
        files += [_TextFile(path=path, word=word, splits=splits)] if splits else []
    return files


def _text_task(parent: Parent, folder: OutputFolder, file: _TextFile, *, compress: bool) -> Task:
    shards = [shard for split in file.splits for shard in parent.manifest.shards(split)]
    path = file.path.with_name(f"{file.path.name}.gz") if compress else file.path
    return Task(
        id=path.as_posix(),
        output=folder.out / path,
        # The groups follow from the shards alone.
        inputs={shard.path: shard.sha256 for shard in shards},
        config={
            "grouped": [str(grouped_file(folder, shard)) for shard in shards],
            "word": file.word,
            "label": parent.manifest.classes.index(file.word),
            "compress": compress,
            "written": str(folder.work / "text" / path),
        },
        markers=folder.work / "done" / path.parent,
    )


def write_category(task: Task) -> TaskResult:
    """Write one category's drawings of some splits as official lines, in the order of the splits' rows."""
    written, records = Path(task.config["written"]), 0
    with _text(written, compress=task.config["compress"]) as file:
        for grouped in task.config["grouped"]:
            batch = parquet.read_class(Path(grouped), task.config["label"])
            file.write(ndjson.dump(batch, task.config["word"]))
            records += len(batch)
    publish(written, task.output)
    return TaskResult(task_id=task.id, files=(file_entry(task.output, task.output.parent, records),))


@contextmanager
def _text(path: Path, *, compress: bool) -> Iterator[BinaryIO | gzip.GzipFile]:
    with replacing(path) as file:
        if not compress:
            yield file
            return
        # Without a name and a time, the same lines give the same bytes.
        with gzip.GzipFile("", "wb", _GZIP_LEVEL, file, mtime=0) as packed:
            yield packed
