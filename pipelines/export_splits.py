"""Export a split of classes: as one list of names, or as the lists of SAKE and ZSE-SBIR."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import click
import numpy as np

from sketchdata.classes import lists as class_lists
from sketchdata.classes import splits
from sketchdata.classes.splits import ClassSplit, SplitOptions
from sketchdata.config import option
from sketchdata.errors import ConfigError
from sketchdata.storage.catalog import manifest_path, read_class_table
from sketchdata.storage.dataset import Dataset, open_dataset
from sketchdata.storage.manifest import replacing
from sketchdata.storage.parquet import read_row_groups

QUICKDRAW = "quickdraw"
FORMATS = ("names", "sake")
#: The folder in the paths of exported lists of drawings, as in ZSE-SBIR's.
SKETCHES = "sketches"
#: {part of the lists: the split whose drawings it has}. As in the paper, unseen classes are measured on `val`.
_SPLITS = {"train": "train", "test": "val", class_lists.ZERO: "val"}


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is split, and how it is written."""

    out: Path = option(
        help="The file to write, of the format names; otherwise the folder.", type=click.Path(path_type=Path)
    )
    classes: str = option(
        QUICKDRAW, help="Class table: quickdraw, a data set's folder, or a file, a name a line.", metavar="DATA|FILE"
    )
    format: str = option(
        FORMATS[0], help="A list of names, or the lists of SAKE and ZSE-SBIR.", type=click.Choice(FORMATS)
    )
    drawings: bool = option(False, help="Of the format sake: list the drawings of the data set as well.")
    overwrite: bool = option(False, help="Replace files of these names.")


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written.

    Attributes:
        split: The split.
        unknown: Names of the chosen lists that are no class of the table.
        left_out: Classes of the table that are neither seen nor unseen.
        pictures: {list of drawings: how many}.
    """

    split: ClassSplit
    unknown: tuple[str, ...]
    left_out: tuple[str, ...]
    pictures: dict[str, int] = field(default_factory=dict)


def run(config: Config, options: SplitOptions) -> Exported:
    """Split a class table and write the split.

    Raises:
        ConfigError: The table or the lists cannot be read, the split cannot be, or there are such files already.
        SketchDataError: The data set is not finished or is damaged.
    """
    data = _dataset(config)
    classes = _table(config.classes) if data is None else data.manifest.classes
    split, unknown = options.choose(classes, manifest_path("splits"))
    chosen = {*split.seen, *split.unseen}
    left_out = tuple(word for word in classes if word not in chosen)
    pictures = {}
    if config.format == "names":
        _claim([config.out], config)
        _write(config.out, [splits.dump(split, _head(split, options, config))])
    else:
        pictures = _export_lists(split, config, data if config.drawings else None)
    return Exported(split=split, unknown=unknown, left_out=left_out, pictures=pictures)


def _dataset(config: Config) -> Dataset | None:
    """Return the data set that is split, or None for a class table alone."""
    if config.drawings and config.format != "sake":
        raise ConfigError("--drawings goes with --format sake: a list of names has no drawings")
    if Path(config.classes).is_dir():
        return open_dataset(Path(config.classes))
    if config.drawings:
        raise ConfigError(
            f"--drawings lists those of a built data set: give its folder as --classes, not {config.classes}"
        )
    return None


def _table(name: str) -> tuple[str, ...]:
    return read_class_table(manifest_path("quickdraw-categories.txt") if name == QUICKDRAW else Path(name))


def _head(split: ClassSplit, options: SplitOptions, config: Config) -> list[str]:
    # Files' names alone, as folders mean nothing elsewhere.
    lists = "".join(f" --class-split {Path(name).name}" for name in options.class_split)
    chosen = lists or f" --seen {len(split.seen)}"
    return [
        f"{len(split.seen):,} seen classes, {len(split.validation):,} of them for validation, and "
        f"{len(split.unseen):,} unseen ones. From the class table {Path(config.classes).name}, by",
        f"sketchdata export splits{chosen} --split-seed {options.split_seed} "
        f"--validation-share {options.validation_share:g}",
    ]


def _claim(paths: Iterable[Path], config: Config) -> None:
    """See to it that files can be written.

    Raises:
        ConfigError: One is there already and may not be replaced, or is a folder.
    """
    for path in paths:
        if path.is_dir():
            raise ConfigError(f"{path} is a folder, and a file is to be written: choose another --out")
        if path.exists() and not config.overwrite:
            raise ConfigError(f"{path} is there already: choose another --out, or --overwrite it")


def _write(path: Path, text: Iterable[str]) -> int:
    """Write lines, whole or not at all; return how many pieces there were."""
    pieces = 0
    with replacing(path) as file:
        for piece in text:
            file.write(piece.encode())
            pieces += 1
    return pieces


# ---- the lists of SAKE -----------------------------------------------------------------------------------------------


def _export_lists(split: ClassSplit, config: Config, data: Dataset | None) -> dict[str, int]:
    """Write both lists of classes and, of a data set, those of its drawings; return how many each of these has."""
    if config.out.is_file():
        raise ConfigError(f"{config.out} is a file, and lists go to a folder: choose another --out")
    tables = {class_lists.UNSEEN_FILE: split.unseen, class_lists.SEEN_FILE: split.seen}
    lists = {} if data is None else {f"{SKETCHES}_filelist_{part}.txt": part for part in _SPLITS}
    _claim([config.out / name for name in (*tables, *lists)], config)
    counts = {}
    if data is not None:
        for name, part in lists.items():
            words = split.unseen if part == class_lists.ZERO else split.seen
            counts[name] = _write(config.out / name, _drawings(data, _SPLITS[part], words))
    for name, words in tables.items():
        _write(config.out / name, class_lists.class_lines(words))
    return counts


def _drawings(data: Dataset, split: str, words: tuple[str, ...]) -> Iterator[str]:
    """Yield the lines of a split's drawings of some classes, in the order of its rows.

    Raises:
        ConfigError: The data set has no such split, or a class cannot name a folder.
        SketchDataError: A shard is missing or damaged.
    """
    if split not in data.manifest.counts:
        raise ConfigError(f"{data.directory} has no split {split}, whose drawings are to be listed")
    folders = [class_lists.folder_of(SKETCHES, word) for word in words]
    ids = np.full(len(data.manifest.classes), -1, np.int64)
    ids[[data.manifest.classes.index(word) for word in words]] = np.arange(len(words))
    for shard in data.manifest.shards(split):
        for table in read_row_groups(data.directory / shard.path, ["key_id", "label"]):
            label = ids[table.column("label").to_numpy()]
            rows = np.flatnonzero(label >= 0)
            yield from class_lists.picture_lines(table.column("key_id").to_numpy()[rows], label[rows], folders)
