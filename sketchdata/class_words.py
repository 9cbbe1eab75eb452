"""The words of classes: which entries of a list of words stand for a class."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from sketchdata.class_spellings import by_spelling, plain_names
from sketchdata.sampling import plain

Entry = TypeVar("Entry")

_ASCII_MARKS = bytes(code for code in range(128) if not chr(code).isalnum())
_BETWEEN = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class Match(Generic[Entry]):
    """The words that stand for a class, as their list spells them, and what it has for each."""

    words: tuple[str, ...]
    entries: tuple[Entry, ...]


class WordSearch(Generic[Entry]):
    """What a list has for the words of some classes, gathered as the list goes by.

    Args:
        classes: Their names.

    Raises:
        ConfigError: Two have one name but for the spelling.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        by_spelling(classes)
        self._spelled: dict[str, str] = {}
        for name in classes:
            for word in (name, *parts_of(name)):
                self._spelled.setdefault(plain(word), word)
        for name in classes:
            for key in plain_names(name):
                self._spelled.setdefault(key, key)
        self._quick = {before + key.encode() for key in self._spelled for before in (b"", b"the")}
        self._found: dict[str, tuple[int, str, Entry]] = {}

    def wants(self, word: bytes) -> bool:
        """Tell whether a word, in UTF-8, may stand for a class or a part of its name; made for millions of words."""
        if not word.isascii():
            try:
                return plain(word.decode()) in self._spelled
            except UnicodeDecodeError:
                return False
        return (word.lower().translate(None, _ASCII_MARKS) or word.decode().strip().encode()) in self._quick

    def offer(self, word: str, entry: Entry) -> None:
        """Keep what the list has for a word, unless it had a better spelling, or an equally good one, before."""
        key = plain(word)
        if key not in self._spelled:
            return
        distance = _distance(word, self._spelled[key])
        if key not in self._found or distance < self._found[key][0]:
            self._found[key] = (distance, word, entry)

    def find(self, name: str) -> Match[Entry] | None:
        """Return what stands for a class: one word for all of its name, or else one for each part; None for neither.

        `sea turtle` is `sea_turtle`, `Sea-Turtle` or `seaturtle` where there is one, otherwise `sea` and `turtle`.
        `motorbike` is `motorcycle` only where nothing is called `motorbike`.
        """
        for key in plain_names(name):
            if key in self._found:
                return self._match([key])
        parts = [plain(part) for part in parts_of(name)]
        return self._match(parts) if parts and all(part in self._found for part in parts) else None

    def _match(self, keys: Sequence[str]) -> Match[Entry]:
        found = [self._found[key] for key in keys]
        return Match(tuple(word for _, word, _ in found), tuple(entry for _, _, entry in found))


def parts_of(name: str) -> tuple[str, ...]:
    """Return the words of a name of several, without a `the` before them; nothing for a name of one word.

    >>> parts_of("The Great Wall of China"), parts_of("t-shirt"), parts_of("cat")
    (('Great', 'Wall', 'of', 'China'), ('t', 'shirt'), ())
    """
    words = [word for word in _BETWEEN.split(name) if word]
    if len(words) > 1 and words[0].casefold() == "the":
        words = words[1:]
    return tuple(words) if len(words) > 1 else ()


def _distance(word: str, spelled: str) -> int:
    """Return how far a spelling is from a class's own, of which only marks between words do not count.

    In a list that tells `Apple` from `apple`, the one is not the other's fruit.
    """
    joined, own = (_BETWEEN.sub("", each) for each in (word, spelled))
    if joined == own:
        return 0
    return 1 if joined == own.lower() else 2
