"""Spellings of class names: matching the names of one class in two sources."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sketchdata.errors import ConfigError
from sketchdata.names import did_you_mean

Found = TypeVar("Found")

#: Plain names that differ in more than spelling between Sketchy or QuickDraw-Extended, and QuickDraw.
_SYNONYMS = {"crocodilian": "crocodile", "motorcycle": "motorbike"}
_OTHER_NAMES = _SYNONYMS | {theirs: own for own, theirs in _SYNONYMS.items()}


def plain(name: str) -> str:
    """Return a class's name in the form in which spellings are compared.

    Case, spaces, dashes, underscores and other marks are ignored, and so is a leading `the`.

    >>> [plain(name) for name in ("Wine_Bottle", "hot-air_balloon", "The Eiffel Tower")]
    ['winebottle', 'hotairballoon', 'eiffeltower']
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    # Keep letters, digits, and the marks that belong to letters.
    words = "".join(each if unicodedata.category(each)[0] in "LMN" else " " for each in folded).split()
    if len(words) > 1 and words[0] == "the":
        words = words[1:]
    # Names that consist of signs only, such as + and -, remain different.
    return unicodedata.normalize("NFKC", "".join(words)) or folded.strip()


def plain_names(name: str) -> tuple[str, ...]:
    """Return the plain names of a class: its own, and its synonym if it has one.

    >>> plain_names("Motorbike")
    ('motorbike', 'motorcycle')
    """
    key = plain(name)
    return (key, _OTHER_NAMES[key]) if key in _OTHER_NAMES else (key,)


def find(name: str, by_plain: Mapping[str, Found]) -> Found | None:
    """Look a class up by its plain name, or else by its synonym, in a table with plain names as keys.

    Returns None if neither is there. `motorcycle` finds `motorbike` only if the table does not have `motorcycle`.
    """
    key = plain(name)
    return by_plain.get(key, by_plain.get(_OTHER_NAMES.get(key, key)))


def by_spelling(classes: Sequence[str]) -> dict[str, str]:
    """Return {plain name: class}, in the order of the class table.

    Raises:
        ConfigError: The names of two classes differ only in spelling.
    """
    found: dict[str, str] = {}
    for name in classes:
        key = plain(name)
        if key in found:
            twice = f"{name!r} twice" if found[key] == name else f"{found[key]!r} and {name!r}, which are one name"
            raise ConfigError(f"the {len(classes):,} classes have {twice}: remove one of them")
        found[key] = name
    return found


@dataclass(frozen=True, kw_only=True)
class Matched:
    """The classes that a list names.

    Attributes:
        classes: As the class table spells them, in its order.
        unknown: The names that are not classes of the table, in the order of the list.
    """

    classes: tuple[str, ...]
    unknown: tuple[str, ...]


def match(names: Sequence[str], classes: Sequence[str], *, allow_unknown: bool = False) -> Matched:
    """Find the classes of a table that a list names, in any spelling.

    Raises:
        ConfigError: Some names are not classes, and that is not allowed; the message lists them with the nearest
        classes. Or a class occurs twice in the list or in the table.
    """
    table = by_spelling(classes)
    named: dict[str, str] = {}
    unknown = []
    for name in names:
        word = find(name, table)
        if word is None:
            unknown.append(name)
        elif word in named:
            raise ConfigError(f"{named[word]!r} and {name!r} both name the class {word!r}: remove one of them")
        else:
            named[word] = name
    if unknown and not allow_unknown:
        hints = {name: did_you_mean(plain(name), table) for name in unknown}
        told = ", ".join(f"{name!r} ({hint})" if hint else repr(name) for name, hint in hints.items())
        raise ConfigError(
            f"{len(unknown):,} of {len(names):,} names are not among the {len(classes):,} classes: {told}; "
            "correct them, or leave them out with --allow-unknown"
        )
    return Matched(classes=tuple(word for word in classes if word in named), unknown=tuple(unknown))
