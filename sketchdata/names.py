"""Names that a user gives: lists of names in one option, and suggestions for unknown names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping


def names_in(text: str) -> tuple[str, ...]:
    """Return the distinct, non-empty names of a comma-separated list such as `A, B,A`, in their order."""
    return tuple(dict.fromkeys(name for part in text.split(",") if (name := part.strip())))


def did_you_mean(name: str, known: Mapping[str, str] | Iterable[str]) -> str:
    """Return `did you mean A or B?` with the known names most similar to an unknown one; "" if there are none.

    Args:
        name: The unknown name.
        known: The known names, or {text to compare `name` with: name to show}.
    """
    shown = known if isinstance(known, Mapping) else {each: each for each in known}
    near = difflib.get_close_matches(name, shown, n=3, cutoff=0.6)
    return f"did you mean {' or '.join(shown[each] for each in near)}?" if near else ""


def printable(text: str, limit: int | None = None) -> str:
    """Return text with � in place of unprintable characters, cut to a number of characters."""
    shown = "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
    return shown if limit is None or len(shown) <= limit else f"{shown[: limit - 1].rstrip()}…"


def cell_of(text: str) -> str:
    """Return a name as the text of a cell in a Markdown table, with markup escaped."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    return "".join(f"\\{letter}" if letter in r"\`*[]<>|&~" else letter for letter in plain)
