"""Import the lists of HashNet: which picture is in which split and of which class, as tables of key_ids and classes."""

from __future__ import annotations

import csv
import io
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import click

from sketchdata.config import option
from sketchdata.engine.output_folder import claim_folder
from sketchdata.errors import ConfigError, FormatError
from sketchdata.formats import deephash
from sketchdata.formats.deephash import PictureList
from sketchdata.storage.catalog import read_classes
from sketchdata.storage.manifest import replacing

COLUMNS = ("path", "key_id", "class")
_KEY_ID = re.compile(r"\d{1,20}")


@dataclass(frozen=True, kw_only=True)
class Config:
    """What the classes are called, and where the tables go."""

    out: Path = option(help="Folder of the tables.", type=click.Path(file_okay=False, path_type=Path))
    classes: Path | None = option(
        None,
        help="Class table, a name a line. Default: the pictures' folders, or class 0, class 1 and so on.",
        type=click.Path(dir_okay=False, path_type=Path),
    )


def run(directory: Path, config: Config) -> dict[str, int]:
    """Write the lists of a folder as `{split}.csv`, and return how many pictures each has.

    Raises:
        ConfigError: There are no lists, the class table does not fit, or the folder is not free.
        FormatError: A list is damaged, or has another number of classes than the others.
    """
    lists = _read_lists(directory)
    names = _names(lists, config.classes)
    claim_folder(config.out, own=[f"{split}.csv" for split in deephash.FILES])
    for split, found in lists.items():
        with replacing(config.out / f"{split}.csv") as file:
            file.write(_table(found, names).encode())
    return {split: len(found.paths) for split, found in lists.items()}


def _read_lists(directory: Path) -> dict[str, PictureList]:
    files = {split: directory / name for split, name in deephash.FILES.items() if (directory / name).is_file()}
    if not files:
        raise ConfigError(f"{directory} has none of the lists {', '.join(deephash.FILES.values())}")
    lists: dict[str, PictureList] = {}
    for split, path in files.items():
        try:
            with path.open(encoding="utf-8") as text:
                lists[split] = deephash.read_list(text)
        except UnicodeDecodeError as error:
            raise FormatError("not a list of pictures", f"{path}: {error}") from error
        except FormatError as error:
            raise FormatError(error.reason, f"{path}: {error.detail}") from error
    return lists


def _names(lists: dict[str, PictureList], table: Path | None) -> tuple[str, ...]:
    """Return the classes' names: given, or those of the folders in which all pictures of a class are, or numbers."""
    count = max(found.classes for found in lists.values())
    if table is not None:
        names = tuple(read_classes(table))
        if len(names) < count:
            raise ConfigError(f"--classes {table} has {len(names):,} names, and the lists have {count:,} classes")
        return names
    folders: dict[int, set[str]] = defaultdict(set)
    for found in lists.values():
        for path, label in zip(found.paths, found.labels.tolist(), strict=True):
            folders[label].add(PurePosixPath(path).parent.name)
    own = {label: next(iter(names)) for label, names in folders.items() if len(names) == 1}
    distinct = len(set(own.values())) == len(own) == len(folders) and "" not in own.values()
    return tuple(own.get(label, f"class {label}") if distinct else f"class {label}" for label in range(count))


def _table(found: PictureList, names: tuple[str, ...]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for path, label in zip(found.paths, found.labels.tolist(), strict=True):
        stem = PurePosixPath(path).stem
        writer.writerow([path, stem if _KEY_ID.fullmatch(stem) else "", names[label]])
    return text.getvalue()
