"""Spellings of class names: which names of two sources mean one class."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sketchdata.errors import ConfigError
from sketchdata.names import did_you_mean

Found = TypeVar("Found")

#: Plain names that differ in more than spelling: of Sketchy, and so of QuickDraw-Extended, and of QuickDraw.
_SYNONYMS = {"crocodilian": "crocodile", "motorcycle": "motorbike"}
_OTHER_NAMES = _SYNONYMS | {theirs: own for own, theirs in _SYNONYMS.items()}


def plain(name: str) -> str:
    """Return a class's name without what its spellings differ in.

    Capitals, blanks, dashes, underscores and other marks do not count, nor a `the` before the rest.

    >>> [plain(name) for name in ("Wine_Bottle", "hot-air_balloon", "The Eiffel Tower")]
    ['winebottle', 'hotairballoon', 'eiffeltower']
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    # Letters, digits and the marks that belong to letters.
    words = "".join(each if unicodedata.category(each)[0] in "LMN" else " " for each in folded).split()
    if len(words) > 1 and words[0] == "the":
        words = words[1:]
    # Names of signs alone, such as + and -, are as different as they look.
    return unicodedata.normalize("NFKC", "".join(words)) or folded.strip()


def plain_names(name: str) -> tuple[str, ...]:
    """Return the plain names that a class goes by: its own, and its other one if it has one.

    >>> plain_names("Motorbike")
    ('motorbike', 'motorcycle')
    """
    key = plain(name)
    return (key, _OTHER_NAMES[key]) if key in _OTHER_NAMES else (key,)


def find(name: str, by_plain: Mapping[str, Found]) -> Found | None:
    """Return the value of a class in a table by plain names: by its own name, else by its other one; None for neither.

    `motorcycle` finds `motorbike` only where nothing is called `motorcycle`.
    """
    key = plain(name)
    return by_plain.get(key, by_plain.get(_OTHER_NAMES.get(key, key)))


def by_spelling(classes: Sequence[str]) -> dict[str, str]:
    """Return {plain name: class}, in the order of the class table.

    Raises:
        ConfigError: Two classes have one name but for the spelling.
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
    """Find the classes of a table that a list names, however it spells them.

    Raises:
        ConfigError: Some names are not classes, and that is not allowed; the message lists them all, with the nearest
            classes. Or a class is named twice, or the table has one twice.
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
            f"{len(unknown):,} of {len(names):,} names are none of the {len(classes):,} classes: {told}; "
            "correct them, or leave them out with --allow-unknown"
        )
    return Matched(classes=tuple(word for word in classes if word in named), unknown=tuple(unknown))
