"""The official QuickDraw files: the path of each format in the bucket, and the published sizes and md5 sums."""

from __future__ import annotations

import csv
import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_plus

from sketchdata.errors import ConfigError
from sketchdata.files import regular
from sketchdata.names import did_you_mean, names_in

#: The bucket over HTTPS. Source: github.com/googlecreativelab/quickdraw-dataset, CC BY 4.0.
BUCKET = "https://storage.googleapis.com/quickdraw_dataset"

#: {format: (folder in the bucket, suffix)}; a file has the name of its category, with spaces and capitals.
FORMATS = {
    "simplified": ("full/simplified", ".ndjson"),
    "raw": ("full/raw", ".ndjson"),
    "binary": ("full/binary", ".bin"),
    "numpy_bitmap": ("full/numpy_bitmap", ".npy"),
    "sketchrnn": ("sketchrnn", ".npz"),
}


#: The name of the official class table for --classes.
QUICKDRAW = "quickdraw"


def manifest_path(name: str) -> Path:
    """Return the path of a file of `manifests/`, such as `quickdraw-files.csv`."""
    return Path(__file__).parents[1] / "manifests" / name


@dataclass(frozen=True, kw_only=True)
class OfficialFile:
    """One published file: its path in the bucket, size and md5 (hexadecimal)."""

    path: str
    bytes: int
    md5: str


def official_path(format_name: str, category: str) -> str:
    """Return a category's path in the bucket, such as `full/simplified/aircraft carrier.ndjson`."""
    folder, suffix = FORMATS[format_name]
    return f"{folder}/{category}{suffix}"


@functools.cache
def category_of(name: str) -> str:
    """Return the category in a file's name, as written by any download program.

    >>> [category_of(name) for name in ("full_simplified_hot%20dog.ndjson", "sketchrnn_cat.full.npz", "big+ben.bin.gz")]
    ['hot dog', 'cat', 'big ben']
    """
    stem = unquote_plus(name).rpartition("/")[2].partition(".")[0]
    return re.sub(r"^(full_(simplified|raw|binary|numpy_bitmap)_|sketchrnn_)", "", stem)


@functools.lru_cache(maxsize=4)
def read_official_files(path: Path) -> Mapping[str, OfficialFile]:
    """Read a list of files with the columns path, bytes, md5, keyed by path; cached per process.

    Raises:
        ConfigError: The file cannot be read or has other columns.
    """
    try:
        with regular(path).open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
            return {r["path"]: OfficialFile(path=r["path"], bytes=int(r["bytes"]), md5=r["md5"].lower()) for r in rows}
    except (OSError, UnicodeDecodeError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} is not a list of files with the columns path, bytes, md5: {error!r}") from error


def read_classes(path: Path) -> tuple[str, ...]:
    """Read a class table: one name per line; a label is the line's number from 0."""
    return tuple(regular(path).read_text(encoding="utf-8-sig").splitlines())


def read_class_table(name: str | Path) -> tuple[str, ...]:
    """Read the class table of --classes: `quickdraw`, or a file with one name per line.

    Raises:
        ConfigError: The file cannot be read, has an empty line, or is empty.
    """
    path = manifest_path("quickdraw-categories.txt") if name == QUICKDRAW else Path(name)
    try:
        names = read_classes(path)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--classes {path} cannot be read as a class table, one name per line: {error}") from error
    empty = [number for number, name in enumerate(names, 1) if not name.strip()]
    if empty or not names:
        raise ConfigError(f"--classes {path}: line {(empty or [1])[0]:,} is empty, and every line names a class")
    return names


def choose_classes(classes: Sequence[str], wanted: str | None) -> tuple[str, ...]:
    """Return the classes named in a comma-separated list, in the order of the class table; all for None.

    Raises:
        ConfigError: A name is not in the table; the message offers the nearest ones.
    """
    if wanted is None:
        return tuple(classes)
    names = set(names_in(wanted))
    for name in sorted(names - set(classes)):
        hint = did_you_mean(name, classes)
        raise ConfigError(f"there is no category {name!r}{hint and f'; {hint}'}")
    if not names:
        raise ConfigError("--categories names no category")
    return tuple(name for name in classes if name in names)
