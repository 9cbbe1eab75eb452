"""Sources of the photos of each class: an ImageNet synset or search words, and the class's name in other data sets."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sketchdata.errors import ConfigError, FormatError
from sketchdata.files import regular
from sketchdata.names import did_you_mean
from sketchdata.photos.annotations.record import read_table

CLASS_SOURCES = ("imagenet", "search")
CLASS_COLUMNS = ("word", "source", "wnid", "imagenet_words", "search_words", "coco", "open_images")

#: Columns in which names are unique, so that an annotation with that name has at most one class.
UNIQUE_COLUMNS = ("word", "wnid", "coco", "open_images")

_WNID = re.compile("n[0-9]{8}")


@dataclass(frozen=True, kw_only=True)
class PhotoClass:
    """One class and the sources of its photos; missing names are None.

    Attributes:
        word: The name in the class table.
        source: `imagenet` for classes with a synset, else `search`.
        wnid: The synset, one of the 1,000 of ILSVRC 2012, such as `n02690373`.
        imagenet_words: The first of the synset's names.
        search_words: An unambiguous search query for photos; every class has one, so that photos can be found without
            ImageNet.
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
    """Read a table of photo classes, in its order.

    Raises:
        ConfigError: The table cannot be read, has other columns, or a row is incomplete or repeats a name.
    """
    classes: list[PhotoClass] = []
    seen: dict[tuple[str, str], int] = {}
    try:
        with regular(path).open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            found = tuple(reader.fieldnames or ())
            if found != CLASS_COLUMNS:
                raise ConfigError(f"{path}: expected the columns {', '.join(CLASS_COLUMNS)}, found {', '.join(found)}")
            rows: list[tuple[int, dict[str, Any]]] = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path} cannot be read as a CSV file: {error}") from error
    for line, row in rows:
        if None in row or None in row.values():
            raise ConfigError(f"{path}, line {line}: expected {len(CLASS_COLUMNS)} values; quote those with a comma")
        if fault := _fault_of(row):
            raise ConfigError(f"{path}, line {line}: {fault}; correct the row {row['word']!r}")
        for column in UNIQUE_COLUMNS:
            first = seen.setdefault((column, row[column]), line) if row[column] else line
            if first != line:
                raise ConfigError(f"{path}, line {line}: {column} {row[column]!r} is already in line {first}")
        values: dict[str, Any] = {column: row[column] or None for column in CLASS_COLUMNS}
        classes.append(PhotoClass(**values))
    return tuple(classes)


def words_by(classes: Iterable[PhotoClass], name: Callable[[PhotoClass], str | None]) -> dict[str, str]:
    """Return {name in another data set: word}: `words_by(classes, lambda c: c.coco)["tv"]`."""
    return {key: photo_class.word for photo_class in classes if (key := name(photo_class)) is not None}


def _fault_of(row: Mapping[str, str]) -> str:
    if not row["word"]:
        return "the word is missing"
    if row["source"] not in CLASS_SOURCES:
        return f"source is {row['source']!r}, expected imagenet or search"
    if not row["search_words"]:
        return "search_words are missing"
    if row["source"] == "search":
        return "source is search, but there is a synset" if row["wnid"] or row["imagenet_words"] else ""
    if not _WNID.fullmatch(row["wnid"]):
        return f"wnid is {row['wnid']!r}, expected n and 8 digits, as source is imagenet"
    return "" if row["imagenet_words"] else "imagenet_words are missing"


# The mapping from a source's class names to our classes.

#: The classes of PASCAL VOC that are spelt differently in COCO. Source: the VOC 2012 development kit, section 3.
_VOC = {
    "aeroplane": "airplane",
    "diningtable": "dining table",
    "motorbike": "motorcycle",
    "pottedplant": "potted plant",
    "sofa": "couch",
    "tvmonitor": "tv",
}
_CATEGORY, _WORD = ("category", "class", "name"), ("word",)


class ClassNames:
    """The names of our classes in the sources.

    Case, spaces, dashes and underscores are ignored, and so is text in parentheses after a name, as in Open Images.

    Args:
        classes: Our classes.
        own: {a source's name: our word} from the user; these have precedence.
    """

    def __init__(self, classes: Sequence[PhotoClass], own: Mapping[str, str] | None = None) -> None:
        plain = {photo_class.word: photo_class.word for photo_class in classes}
        coco = words_by(classes, lambda each: each.coco)
        voc = {name: coco[coco_name] for name, coco_name in _VOC.items() if coco_name in coco}
        self._own = _by_key(own or {})
        self._others = _by_key({**voc, **coco, **plain})
        synsets = words_by(classes, lambda each: each.wnid)
        self._by_source = {
            "imagenet": _by_key(synsets),
            "folders": {**_by_key(synsets), **self._others},
            "open_images": _by_key(words_by(classes, lambda each: each.open_images)),
        }

    def of(self, source: str) -> Callable[[str], str | None]:
        """Return a function from the class names of one source to our words, or None."""
        words = {**self._by_source.get(source, self._others), **self._own}
        known: dict[str, str | None] = {}

        def find(category: str) -> str | None:
            # Cached: a source has few names and many annotations.
            if category not in known:
                known[category] = words.get(_key(category)) or words.get(_key(_without_parentheses(category)))
            return known[category]

        return find


def _by_key(words: Mapping[str, str]) -> dict[str, str]:
    """Return {normalised name: word}; a full name has precedence over one without its parentheses."""
    shortened = {_key(_without_parentheses(name)): word for name, word in words.items()}
    return {**shortened, **{_key(name): word for name, word in words.items()}}


def _key(name: str) -> str:
    return re.sub(r"[-_\s]+", " ", name).strip().casefold()


def _without_parentheses(name: str) -> str:
    return re.sub(r"\s*\([^()]*\)\s*$", "", name)


def read_class_names(path: Path, words: Sequence[str]) -> dict[str, str]:
    """Read {a source's name: our word} from a CSV file with the columns category and word.

    Raises:
        ConfigError: The file cannot be read, has other columns, or has a word that is not in the class table.
    """
    own: dict[str, str] = {}
    try:
        for line, row in read_table(path, needed=[_CATEGORY, _WORD]):
            category = next((row[column].strip() for column in _CATEGORY if row.get(column)), "")
            word = row.get("word", "").strip()
            if not category or word not in words:
                hint = did_you_mean(word, words)
                raise ConfigError(
                    f"{path}, line {line}: {category!r} → {word!r} is not one of our classes{hint and f'; {hint}'}"
                )
            own[category] = word
    except FormatError as error:
        raise ConfigError(f"{error}; a table with the columns category,word was expected") from error
    return own
