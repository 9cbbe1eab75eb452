"""Export a built data set as tars, official text, bitmaps or lists; codes as arrays; and a split of classes as lists.

Tars and lists take one stage. Text and bitmaps have one file per category and take two: the Parquet shards, which mix
all classes, are grouped by class, then the file of each category is assembled from the groups. So nothing is read
twice, and no task holds more than one shard.
"""

from __future__ import annotations

import dataclasses
import gzip
import io
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import click
import numpy as np

from sketchdata.classes import lists as class_lists
from sketchdata.classes import splits
from sketchdata.classes.splits import ClassSplit, SplitOptions
from sketchdata.config import FOLDER, PATH, option, recorded
from sketchdata.drawings.drawing import DrawingBatch
from sketchdata.drawings.raster import MAX_LINE_WIDTH, MAX_SIZE, Bitmaps
from sketchdata.drawings.raster import raster as fast_raster
from sketchdata.drawings.raster_cairo import MAX_OFFICIAL_SIZE, OFFICIAL_SIZE, load_cairo, official_raster
from sketchdata.engine import EngineOptions, Stage, Task, TaskResult, run, run_final
from sketchdata.engine.output_folder import OutputFolder, publish
from sketchdata.errors import ConfigError
from sketchdata.formats import deephash, ndjson, npy
from sketchdata.retrieval.code_folder import open_codes
from sketchdata.storage import parquet
from sketchdata.storage.cards import bitmaps_card, deephash_card, lists_card, ndjson_card, webdataset_card
from sketchdata.storage.catalog import QUICKDRAW, manifest_path, official_path, read_class_table
from sketchdata.storage.dataset import Dataset, Parent, open_dataset, open_parent
from sketchdata.storage.manifest import FileEntry, Manifest, file_entry, replacing
from sketchdata.storage.tars import Picture, write_tar

_GZIP_LEVEL = 6
#: Pixels drawn at a time: 16 MB for any size.
_PIXELS_AT_ONCE = 1 << 24
#: File of the class table in an export of codes, one name per line.
CLASSES_FILE = "classes.txt"
#: Folder in the paths of exported lists of drawings, as in the lists of ZSE-SBIR.
SKETCHES = "sketches"
#: {part of the lists: split of its drawings}. As in the paper, unseen classes are evaluated on `val`.
_PART_SPLITS = {"train": "train", "test": "val", class_lists.ZERO: "val"}


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """Options of any export."""

    out: Path = option(help="Folder of the export.", record=False, type=FOLDER)
    overwrite: bool = option(False, help="Replace another export in the folder.", record=False)


@dataclass(frozen=True, kw_only=True)
class ExportDrawingsConfig(ExportConfig):
    """Options of an export of drawings."""

    splits: str | None = option(
        None, help="Comma-separated names. Default: all that have drawings.", record=False, metavar="A,B,…"
    )


@dataclass(frozen=True, kw_only=True)
class WebDatasetConfig(ExportDrawingsConfig):
    """Options of an export to tar shards."""

    shard_rows: int = option(
        10_000,
        help="Maximum number of drawings in a tar; all tars of a split have equally many.",
        type=click.IntRange(1),
    )
    png: int | None = option(
        None, help="Add a picture with this side in pixels.", type=click.IntRange(1, MAX_SIZE), metavar="SIZE"
    )
    line_width: int = option(1, help="Width of the pictures' lines in pixels.", type=click.IntRange(1, MAX_LINE_WIDTH))
    white_on_black: bool = option(False, help="Draw white ink on black instead of black ink on white.")


@dataclass(frozen=True, kw_only=True)
class NdjsonConfig(ExportDrawingsConfig):
    """Options of an export to official text."""

    merge: bool = option(False, help="One file per category with all splits, laid out like the official bucket.")
    gzip: bool = option(False, help="Compress each file.")


@dataclass(frozen=True, kw_only=True)
class BitmapsConfig(ExportDrawingsConfig):
    """Options of an export to bitmaps."""

    raster: str = option(
        "official",
        help="Raster: official is cairo's, as published; fast is OpenCV's.",
        type=click.Choice(["official", "fast"]),
    )
    size: int = option(
        OFFICIAL_SIZE, help="Side in pixels; published bitmaps have 28.", type=click.IntRange(1, MAX_OFFICIAL_SIZE)
    )
    line_width: int = option(
        1, help="Width of the fast raster's lines in pixels.", type=click.IntRange(1, MAX_LINE_WIDTH)
    )
    antialias: bool = option(False, help="Smooth the lines of the fast raster.")


@dataclass(frozen=True, kw_only=True)
class ExportListsConfig(ExportConfig):
    """Options of an export to lists."""

    format: str = option("hashnet", help="Format of the export.", type=click.Choice(["hashnet"]))


@dataclass(frozen=True, kw_only=True)
class ExportCodesConfig(ExportConfig):
    """Options of an export of codes."""

    format: str = option("deephash", help="Format of the export.", type=click.Choice(["deephash"]))


@dataclass(frozen=True, kw_only=True)
class ExportSplitsConfig:
    """Options of an export of a class split."""

    out: Path = option(help="File to write or, with the format sake, folder.", type=PATH)
    classes: str = option(
        QUICKDRAW,
        help="Class table: quickdraw, a data set's folder, or a file, one name per line.",
        metavar="DATA|FILE",
    )
    format: str = option(
        "names", help="A list of names, or the lists of SAKE and ZSE-SBIR.", type=click.Choice(["names", "sake"])
    )
    drawings: bool = option(False, help="With the format sake: list the drawings of the data set as well.")
    overwrite: bool = option(False, help="Replace existing files.")


def _finish(
    folder: OutputFolder,
    stage: Stage,
    tasks: list[Task],
    engine: EngineOptions,
    title: str,
    card: Callable[[Manifest], str],
) -> Manifest | None:
    """Run the last stage, whose task ids are file paths, and finish the folder."""
    if (results := run_final(stage, tasks, engine, title=title)) is None:
        return None
    done = zip(tasks, results, strict=True)
    return folder.finish([dataclasses.replace(f, path=task.id) for task, result in done for f in result.files], card)


def _published(task: Task, records: int) -> TaskResult:
    """Move the file of a task into the folder of the export, and return its entry."""
    publish(Path(task.config["written"]), task.output)
    return TaskResult(task_id=task.id, files=(file_entry(task.output, task.output.parent, records),))


# ---- tar shards ------------------------------------------------------------------------------------------------------


def export_webdataset(directory: Path, config: WebDatasetConfig, engine: EngineOptions) -> Manifest | None:
    """Write the splits of a data set as tar shards and return the manifest; None in an unfinished share of a job array.

    Raises:
        ConfigError: Options for pictures are given without pictures.
        SketchDataError: The data set is missing or damaged, the folder is not empty, or tasks failed.
    """
    picture = None
    if config.png is not None:
        picture = Picture(size=config.png, line_width=config.line_width, white_on_black=config.white_on_black)
    elif config.line_width != 1 or config.white_on_black:
        raise ConfigError("--line-width and --white-on-black are for pictures: give --png SIZE as well")
    parent = open_parent(directory, config.splits, config.out)
    spans: dict[str, tuple[str, int, int]] = {}
    for split in parent.splits:
        rows = sum(shard.records for shard in parent.manifest.shards(split))
        tars = math.ceil(rows / config.shard_rows)
        for n in range(tars):
            spans[f"{split}-{n:06d}.tar"] = (split, rows * n // tars, rows * (n + 1) // tars)
    plan = parent.plan("webdataset", recorded(config))
    folder = OutputFolder(out=config.out, plan=plan, names=frozenset(spans))
    if (finished := folder.begin(overwrite=config.overwrite, check=parent.check_files)) is not None:
        return finished
    tasks = []
    for name, (split, start, stop) in spans.items():
        shards = parent.manifest.shards(split)
        overlaps = parquet.overlapping([shard.records for shard in shards], start, stop)
        parts = [(shards[i], first, last) for i, first, last in overlaps]
        settings = {
            "parts": [[str(parent.directory / shard.path), first, last] for shard, first, last in parts],
            "classes": list(parent.manifest.classes),
            "picture": None if picture is None else dataclasses.asdict(picture),
            "written": str(folder.work / "tars" / name),
        }
        inputs = {shard.path: shard.sha256 for shard, _, _ in parts}
        tasks.append(
            Task(id=name, output=folder.out / name, inputs=inputs, config=settings, markers=folder.work / "done")
        )
    return _finish(folder, write_tar_shard, tasks, engine, "Writing tars", webdataset_card)


def write_tar_shard(task: Task) -> TaskResult:
    """Write rows of a split, from one or several Parquet shards, as one tar."""
    parts, picture = task.config["parts"], task.config["picture"]
    batches = (batch for path, first, last in parts for batch in parquet.read_rows(Path(path), first, last))
    drawn = None if picture is None else Picture(**picture)
    return _published(task, write_tar(Path(task.config["written"]), batches, task.config["classes"], drawn))


# ---- one file per category: official text, and bitmaps ---------------------------------------------------------------


def _category_tasks(
    parent: Parent, folder: OutputFolder, files: dict[str, tuple[str, tuple[str, ...]]], config: dict[str, Any]
) -> list[Task]:
    """Return the tasks that assemble the files {path: (category, its splits)} from the shards grouped by class."""
    tasks = []
    for path, (word, own) in files.items():
        shards = [shard for split in own for shard in parent.manifest.shards(split)]
        settings = {
            **config,
            "grouped": [str(_grouped(folder, shard)) for shard in shards],
            "word": word,
            "label": parent.manifest.classes.index(word),
            "rows": sum(parent.manifest.counts[split][word] for split in own),
            "written": str(folder.work / "files" / path),
        }
        # The groups depend only on the shards.
        inputs = {shard.path: shard.sha256 for shard in shards}
        markers = (folder.work / "done" / path).parent
        tasks.append(Task(id=path, output=folder.out / path, inputs=inputs, config=settings, markers=markers))
    return tasks


def _splits_of(parent: Parent, word: str) -> tuple[str, ...]:
    return tuple(split for split in parent.splits if parent.manifest.counts[split].get(word))


def _group_by_class(parent: Parent, folder: OutputFolder, engine: EngineOptions) -> bool:
    """Group every shard of the chosen splits by class; return False in an unfinished share of a job array."""
    tasks = [
        Task(
            id=shard.path,
            output=_grouped(folder, shard),
            inputs={shard.path: shard.sha256},
            config={"shard": str(parent.directory / shard.path), "classes": list(parent.manifest.classes)},
        )
        for split in parent.splits
        for shard in parent.manifest.shards(split)
    ]
    return run(group_shard, tasks, engine, title="Grouping by class") is not None


def _grouped(folder: OutputFolder, shard: FileEntry) -> Path:
    return folder.work / "grouped" / f"{PurePosixPath(shard.path).stem}.arrow"


def group_shard(task: Task) -> TaskResult:
    """Group the drawings of one Parquet shard by class."""
    batch = parquet.read_shard(Path(task.config["shard"]))
    parquet.write_grouped(task.output, batch, task.config["classes"])
    return TaskResult(task_id=task.id, files=(file_entry(task.output, task.output.parent, len(batch)),))


def export_ndjson(directory: Path, config: NdjsonConfig, engine: EngineOptions) -> Manifest | None:
    """Write a data set as official text and return the manifest; None in an unfinished share of a job array.

    Raises:
        SketchDataError: The data set is missing or damaged, the folder is not free, or tasks failed.
    """
    parent = open_parent(directory, config.splits, config.out)
    present = {word: own for word in parent.manifest.classes if (own := _splits_of(parent, word))}
    if config.merge:
        layout = "raw" if parent.manifest.is_raw else "simplified"
        files = {official_path(layout, word): (word, own) for word, own in present.items()}
    else:
        files = {
            f"{split}/{word}.ndjson": (word, (split,))
            for split in parent.splits
            for word, own in present.items()
            if split in own
        }
    if config.gzip:
        files = {f"{path}.gz": file for path, file in files.items()}
    names = frozenset(path.split("/")[0] for path in files)
    folder = OutputFolder(out=config.out, plan=parent.plan("ndjson", recorded(config)), names=names)
    if (finished := folder.begin(overwrite=config.overwrite, check=parent.check_files)) is not None:
        return finished
    if not _group_by_class(parent, folder, engine):
        return None
    tasks = _category_tasks(parent, folder, files, {"compress": config.gzip})
    return _finish(folder, write_category, tasks, engine, "Writing ndjson", ndjson_card)


def write_category(task: Task) -> TaskResult:
    """Write the drawings of one category and some splits as official lines, in the order of the rows."""
    records = 0
    with _text(Path(task.config["written"]), compress=task.config["compress"]) as file:
        for grouped in task.config["grouped"]:
            batch = parquet.read_class(Path(grouped), task.config["label"])
            file.write(ndjson.dump(batch, task.config["word"]))
            records += len(batch)
    return _published(task, records)


@contextmanager
def _text(path: Path, *, compress: bool) -> Iterator[BinaryIO | gzip.GzipFile]:
    with replacing(path) as file:
        if not compress:
            yield file
            return
        # Without name and time in the gzip header, equal lines give equal bytes.
        with gzip.GzipFile("", "wb", _GZIP_LEVEL, file, mtime=0) as packed:
            yield packed


def export_bitmaps(directory: Path, config: BitmapsConfig, engine: EngineOptions) -> Manifest | None:
    """Write a data set as bitmaps and return the manifest; None in an unfinished share of a job array.

    Raises:
        ConfigError: cairo is required but not installed, or an option has no effect.
        SketchDataError: The data set is missing or damaged, cairo fails, the folder is not empty, or tasks failed.
    """
    if config.raster == "official":
        if config.line_width != 1 or config.antialias:
            raise ConfigError("--line-width and --antialias are for --raster fast; the official raster has its own")
        load_cairo()
    parent = open_parent(directory, config.splits, config.out)
    folder = OutputFolder(out=config.out, plan=parent.plan("bitmaps", recorded(config)), names=frozenset({"full"}))
    if (finished := folder.begin(overwrite=config.overwrite, check=parent.check_files)) is not None:
        return finished
    if not _group_by_class(parent, folder, engine):
        return None
    present = {word: own for word in parent.manifest.classes if (own := _splits_of(parent, word))}
    files = {official_path("numpy_bitmap", word): (word, own) for word, own in present.items()}
    tasks = _category_tasks(parent, folder, files, {"draw": recorded(config)})
    return _finish(folder, write_bitmaps, tasks, engine, "Drawing bitmaps", bitmaps_card)


def write_bitmaps(task: Task) -> TaskResult:
    """Draw the drawings of one category and some splits, in the order of the rows."""
    size, rows = task.config["draw"]["size"], 0
    draw = _drawer(**task.config["draw"])
    at_once = max(1, _PIXELS_AT_ONCE // size**2)
    with replacing(Path(task.config["written"])) as file:
        file.write(_bitmap_header(task.config["rows"], size))
        for grouped in task.config["grouped"]:
            batch = parquet.read_class(Path(grouped), task.config["label"])
            for start in range(0, len(batch), at_once):
                file.write(draw(batch.slice(start, min(start + at_once, len(batch)))).data)
            rows += len(batch)
    return _published(task, rows)


def _drawer(*, raster: str, size: int, line_width: int, antialias: bool) -> Callable[[DrawingBatch], Bitmaps]:
    # One thread, since the engine runs other categories on the other cores.
    if raster == "official":
        return lambda batch: official_raster(batch, size=size, threads=1)
    return lambda batch: fast_raster(batch, size=size, line_width=line_width, antialias=antialias, threads=1)


def _bitmap_header(rows: int, size: int) -> bytes:
    if size == npy.SIDE:
        return npy.header(rows)
    file = io.BytesIO()
    # numpy does not annotate this function.
    write: Any = np.lib.format.write_array_header_1_0
    write(file, {"descr": "|u1", "fortran_order": False, "shape": (rows, size * size)})
    return file.getvalue()


# ---- lists of pictures, and arrays of codes, for other hashing programs ----------------------------------------------


def export_lists(directory: Path, config: ExportListsConfig, engine: EngineOptions) -> Manifest | None:
    """Write the lists of a data set and return the manifest; None in an unfinished share of a job array.

    Raises:
        ConfigError: A class name cannot be a folder, or no split of the data set has a list.
        SketchDataError: The data set is missing or damaged, the folder is not free, or tasks failed.
    """
    parent = open_parent(directory, None, config.out)
    parent = dataclasses.replace(parent, splits=tuple(split for split in deephash.FILES if split in parent.splits))
    if not parent.splits:
        raise ConfigError(f"{directory} has no drawings in any of the splits {', '.join(deephash.FILES)}")
    folders = list(deephash.folder_names(parent.manifest.classes))
    plan = parent.plan("lists", {"format": config.format, "folders": folders})
    folder = OutputFolder(out=config.out, plan=plan, names=frozenset(deephash.FILES[split] for split in parent.splits))
    if (finished := folder.begin(overwrite=config.overwrite, check=parent.check_files)) is not None:
        return finished
    tasks = []
    for split in parent.splits:
        name, shards = deephash.FILES[split], parent.manifest.shards(split)
        inputs, paths = {shard.path: shard.sha256 for shard in shards}, [parent.directory / s.path for s in shards]
        settings = {"shards": list(map(str, paths)), "folders": folders, "written": str(folder.work / name)}
        tasks.append(
            Task(id=name, output=folder.out / name, inputs=inputs, config=settings, markers=folder.work / "done")
        )
    return _finish(folder, write_list, tasks, engine, "Writing lists", lists_card)


def write_list(task: Task) -> TaskResult:
    """Write the list of a split, in the order of its rows."""
    rows = 0
    with replacing(Path(task.config["written"])) as file:
        for shard in task.config["shards"]:
            for table in parquet.read_row_groups(Path(shard), ["key_id", "label"]):
                key_id, label = (table.column(name).to_numpy() for name in ("key_id", "label"))
                file.writelines(deephash.lines(key_id, label, task.config["folders"]))
                rows += len(table)
    return _published(task, rows)


def export_codes(directory: Path, config: ExportCodesConfig) -> Manifest:
    """Write the gallery and the queries of a folder of codes as arrays, and return the manifest.

    Raises:
        ConfigError: The codes have no gallery or no queries, or the folder is not empty.
        SketchDataError: The codes are missing or damaged.
    """
    codes = open_codes(directory)
    absent = [split for split in deephash.PARTS if split not in codes.manifest.counts]
    if absent:
        has = ", ".join(codes.manifest.counts)
        raise ConfigError(f"{directory} has the splits {has}, and DeepHash's arrays need {' and '.join(absent)} too")
    if directory.resolve() in (config.out.resolve(), *config.out.resolve().parents):
        raise ConfigError(f"an export cannot lie in {directory}, from which it is made: choose another --out")
    arrays = deephash.arrays({split: codes.read(split) for split in deephash.PARTS})
    plan = Manifest(
        name=f"{codes.manifest.name}-{config.format}",
        config={"format": config.format, "bits": codes.bits, "ids": codes.manifest.config["ids"]},
        classes=codes.manifest.classes,
        counts={split: codes.manifest.counts[split] for split in deephash.PARTS},
        rejects={},
        sources=(),
        files=(),
        parent=codes.entry,
    )
    folder = OutputFolder(out=config.out, plan=plan, names=frozenset({CLASSES_FILE, *arrays}))
    if (finished := folder.begin(overwrite=config.overwrite)) is not None:
        return finished
    table = "".join(f"{word}\n" for word in plan.classes).encode()
    files = [folder.put(CLASSES_FILE, table, len(plan.classes))]
    for name, (own, kind) in arrays.items():
        with replacing(folder.work / name) as file:
            deephash.dump(own, kind, file)
        files.append(folder.publish(name, len(own)))
    return folder.finish(files, deephash_card)


# ---- splits of classes -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ExportedSplit:
    """The written split.

    Attributes:
        split: The split.
        unknown: Names in the chosen lists that are not in the class table.
        left_out: Classes of the table that are neither seen nor unseen.
        pictures: {list of drawings: number of drawings}.
    """

    split: ClassSplit
    unknown: tuple[str, ...]
    left_out: tuple[str, ...]
    pictures: dict[str, int] = field(default_factory=dict)


def export_splits(config: ExportSplitsConfig, options: SplitOptions) -> ExportedSplit:
    """Split a class table and write the split.

    Raises:
        ConfigError: The table or the lists cannot be read, the split is invalid, or the files exist already.
        SketchDataError: The data set is unfinished or damaged.
    """
    if config.drawings and config.format != "sake":
        raise ConfigError("--drawings needs --format sake: a list of names has no drawings")
    is_folder = config.classes != QUICKDRAW and Path(config.classes).is_dir()
    data = open_dataset(Path(config.classes)) if is_folder else None
    if config.drawings and data is None:
        raise ConfigError(
            f"--drawings lists the drawings of a data set: give its folder as --classes, not {config.classes}"
        )
    classes = read_class_table(config.classes) if data is None else data.manifest.classes
    split, unknown = options.choose(classes, manifest_path("splits"))
    chosen = {*split.seen, *split.unseen}
    left_out = tuple(word for word in classes if word not in chosen)
    pictures = {}
    if config.format == "names":
        _check_free([config.out], config)
        # Only file names, since folders mean nothing elsewhere.
        lists = "".join(f" --class-split {Path(name).name}" for name in options.class_split)
        head = [
            f"{len(split.seen):,} seen classes, {len(split.validation):,} of them for validation, and "
            f"{len(split.unseen):,} unseen ones. From the class table {Path(config.classes).name}, by",
            f"sketchdata export splits{lists or f' --seen {len(split.seen)}'} --split-seed {options.split_seed} "
            f"--validation-share {options.validation_share:g}",
        ]
        _write_lines(config.out, [splits.dump(split, head)])
    else:
        pictures = _export_sake(split, config, data if config.drawings else None)
    return ExportedSplit(split=split, unknown=unknown, left_out=left_out, pictures=pictures)


def _check_free(paths: Iterable[Path], config: ExportSplitsConfig) -> None:
    for path in paths:
        if path.is_dir():
            raise ConfigError(f"{path} is a folder; expected a file: choose another --out")
        if path.exists() and not config.overwrite:
            raise ConfigError(f"{path} is there already: choose another --out, or --overwrite it")


def _write_lines(path: Path, lines: Iterable[str]) -> int:
    count = 0
    with replacing(path) as file:
        for line in lines:
            file.write(line.encode())
            count += 1
    return count


def _export_sake(split: ClassSplit, config: ExportSplitsConfig, data: Dataset | None) -> dict[str, int]:
    if config.out.is_file():
        raise ConfigError(f"{config.out} is a file, and lists go to a folder: choose another --out")
    tables = {class_lists.UNSEEN_FILE: split.unseen, class_lists.SEEN_FILE: split.seen}
    lists = {} if data is None else {f"{SKETCHES}_filelist_{part}.txt": part for part in _PART_SPLITS}
    _check_free([config.out / name for name in (*tables, *lists)], config)
    counts = {}
    if data is not None:
        for name, part in lists.items():
            words = split.unseen if part == class_lists.ZERO else split.seen
            counts[name] = _write_lines(config.out / name, _drawing_lines(data, _PART_SPLITS[part], words))
    for name, words in tables.items():
        _write_lines(config.out / name, class_lists.class_lines(words))
    return counts


def _drawing_lines(data: Dataset, split: str, words: tuple[str, ...]) -> Iterator[str]:
    """Yield the lines of the drawings of some classes of a split, in the order of its rows."""
    if split not in data.manifest.counts:
        raise ConfigError(f"{data.directory} has no split {split} to list drawings of")
    folders = [class_lists.folder_of(SKETCHES, word) for word in words]
    ids = np.full(len(data.manifest.classes), -1, np.int64)
    ids[[data.manifest.classes.index(word) for word in words]] = np.arange(len(words))
    for shard in data.manifest.shards(split):
        for table in parquet.read_row_groups(data.directory / shard.path, ["key_id", "label"]):
            label = ids[table.column("label").to_numpy()]
            rows = np.flatnonzero(label >= 0)
            yield from class_lists.picture_lines(table.column("key_id").to_numpy()[rows], label[rows], folders)
