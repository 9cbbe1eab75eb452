"""Where photos of each class come from: an ImageNet synset or search words, and the class's name in other data sets."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sketchdata.errors import ConfigError

SOURCES = ("imagenet", "search")
COLUMNS = ("word", "source", "wnid", "imagenet_words", "search_words", "coco", "open_images")

#: Columns in which a name belongs to one class at most, so that an annotation of that name has one class to go to.
UNIQUE_COLUMNS = ("word", "wnid", "coco", "open_images")

_WNID = re.compile("n[0-9]{8}")


@dataclass(frozen=True, kw_only=True)
class PhotoClass:
    """One class and where its photos come from; a name that does not exist is None.

    Attributes:
        word: The name in the class table.
        source: `imagenet` for those with a synset, else `search`.
        wnid: The synset, one of the 1,000 of ILSVRC 2012, such as `n02690373`.
        imagenet_words: The first of the synset's names.
        search_words: What to search photos for, with the sense made plain; present for every class, so that photos can
            be had without ImageNet.
        coco: The COCO class with boxes, one of 80.
        open_images: The Open Images class with boxes, spelt as in version 5 and later.
    """

    word: str
    source: str
    wnid: str | None
    imagenet_words: str | None
    search_words: str
    coco: str | None
    open_images: str | None


def read_photo_classes(path: Path) -> tuple[PhotoClass, ...]:
    """Read a table of photo classes, in its own order.

    Raises:
        ConfigError: It cannot be read, has other columns, or a row is incomplete or repeats another's name.
    """
    classes: list[PhotoClass] = []
    seen: dict[tuple[str, str], int] = {}
    for line, row in _read_rows(path, COLUMNS):
        fault = _fault_of(row)
        if fault:
            raise ConfigError(f"{path}, line {line}: {fault}; correct the row {row['word']!r}")
        for column in UNIQUE_COLUMNS:
            first = seen.setdefault((column, row[column]), line) if row[column] else line
            if first != line:
                raise ConfigError(f"{path}, line {line}: {column} {row[column]!r} is that of line {first} already")
        classes.append(_photo_class(row))
    return tuple(classes)


def read_imagenet_classes(path: Path) -> dict[str, str]:
    """Read a list of synsets with the columns wnid, words.

    Raises:
        ConfigError: It cannot be read, has other columns, or a wnid is malformed or listed twice.
    """
    words: dict[str, str] = {}
    for line, row in _read_rows(path, ("wnid", "words")):
        wnid = row["wnid"]
        if not _WNID.fullmatch(wnid) or not row["words"]:
            raise ConfigError(f"{path}, line {line}: expected a wnid such as n02690373 and its words, found {row}")
        if wnid in words:
            raise ConfigError(f"{path}, line {line}: {wnid} is listed already, as {words[wnid]!r}")
        words[wnid] = row["words"]
    return words


def words_by(classes: Iterable[PhotoClass], name: Callable[[PhotoClass], str | None]) -> dict[str, str]:
    """Return which word an annotation's class name stands for: `words_by(classes, lambda c: c.coco)["tv"]`."""
    return {key: photo_class.word for photo_class in classes if (key := name(photo_class)) is not None}


def _photo_class(row: Mapping[str, str]) -> PhotoClass:
    return PhotoClass(
        word=row["word"],
        source=row["source"],
        wnid=row["wnid"] or None,
        imagenet_words=row["imagenet_words"] or None,
        search_words=row["search_words"],
        coco=row["coco"] or None,
        open_images=row["open_images"] or None,
    )


def _fault_of(row: Mapping[str, str]) -> str:
    """Return what is wrong with a row by itself; nothing for a good one."""
    if not row["word"]:
        return "the word is missing"
    if row["source"] not in SOURCES:
        return f"source is {row['source']!r}, expected imagenet or search"
    if not row["search_words"]:
        return "search_words are missing"
    if row["source"] == "search":
        return "source is search, but there is a synset" if row["wnid"] or row["imagenet_words"] else ""
    if not _WNID.fullmatch(row["wnid"]):
        return f"wnid is {row['wnid']!r}, expected n and 8 digits, as source is imagenet"
    return "" if row["imagenet_words"] else "imagenet_words are missing"


def _read_rows(path: Path, columns: tuple[str, ...]) -> list[tuple[int, dict[str, str]]]:
    """Read a CSV file's rows, each with the number of its last line in the file."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            found = tuple(reader.fieldnames or ())
            if found != columns:
                raise ConfigError(f"{path}: expected the columns {', '.join(columns)}, found {', '.join(found)}")
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path} cannot be read as a CSV file: {error}") from error
    for line, row in rows:
        if None in row or None in row.values():
            raise ConfigError(f"{path}, line {line}: expected {len(columns)} values; quote those that hold a comma")
    return rows
