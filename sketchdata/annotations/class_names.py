"""Which of our classes a source's class name stands for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sketchdata.annotations.table import read_table
from sketchdata.errors import ConfigError, FormatError
from sketchdata.names import did_you_mean
from sketchdata.photo_classes import PhotoClass, words_by

#: The classes of PASCAL VOC that COCO spells otherwise. Source: the VOC 2012 development kit, section 3.
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
    """The names by which sources call our classes.

    Capitals do not count, nor whether there is a space, a dash or an underscore, nor what stands in parentheses behind
    a name, as in Open Images.

    Args:
        classes: Our classes.
        own: {a source's name: our word} that the user adds; these win.
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
        """Return what finds the word of one source's class name; that gives None when there is none."""
        words = {**self._by_source.get(source, self._others), **self._own}
        known: dict[str, str | None] = {}

        def find(category: str) -> str | None:
            # A source has few names and many annotations.
            if category not in known:
                known[category] = words.get(_key(category)) or words.get(_key(_without_parentheses(category)))
            return known[category]

        return find


def _by_key(words: Mapping[str, str]) -> dict[str, str]:
    """Return the words by their names' keys; a name that is whole wins over one without its parentheses."""
    shortened = {_key(_without_parentheses(name)): word for name, word in words.items()}
    return {**shortened, **{_key(name): word for name, word in words.items()}}


def _key(name: str) -> str:
    return re.sub(r"[-_\s]+", " ", name).strip().casefold()


def _without_parentheses(name: str) -> str:
    return re.sub(r"\s*\([^()]*\)\s*$", "", name)


def read_class_names(path: Path, words: Sequence[str]) -> dict[str, str]:
    """Read {a source's name: our word} from a CSV file with the columns category and word.

    Raises:
        ConfigError: It cannot be read, has other columns, or names a word that is not in the class table.
    """
    own: dict[str, str] = {}
    try:
        for line, row in read_table(path, needed=[_CATEGORY, _WORD]):
            category = next((row[column].strip() for column in _CATEGORY if row.get(column)), "")
            word = row.get("word", "").strip()
            if not category or word not in words:
                hint = did_you_mean(word, words)
                raise ConfigError(
                    f"{path}, line {line}: {category!r} → {word!r} names no class of ours{hint and f'; {hint}'}"
                )
            own[category] = word
    except FormatError as error:
        raise ConfigError(f"{error}; a table with the columns category,word was expected") from error
    return own
