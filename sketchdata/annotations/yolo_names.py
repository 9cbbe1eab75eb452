"""The class names of a YOLO data set, from its config or from a plain list."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from sketchdata.errors import FormatError

_KEY = re.compile(r"names\s*:(.*)")
_QUOTED = r"""'(?:[^']|'')*'|"(?:[^"\\]|\\.)*\""""
#: In brackets a plain name ends at a comma, a bracket or a comment; in a line of its own at a comment alone.
_LINE_ENTRY = re.compile(rf"\s*(?:-|(\d{{1,9}})\s*:)\s+({_QUOTED}|[^\s#'\"].*?)\s*(?:\s#.*)?")
_BRACKET_ENTRY = re.compile(rf"(?:(\d{{1,9}})\s*:\s*)?({_QUOTED}|[^\s,'\"\[\]{{}}#](?:[^,\[\]{{}}#\n]|(?<=\S)#)*)")
_GAP = re.compile(r"(?:\s|,|(?<!\S)#.*)*")


def read_yolo_names(path: Path) -> dict[int, str]:
    """Read {number: class} from the `names` of a config (.yaml, .yml), or from a list of one name a line.

    Of YAML this knows what such configs hold: a list or a mapping from numbers, in lines or in brackets, of plain or
    quoted names; comments; and nothing else of the config is looked at.

    Raises:
        FormatError: It cannot be read, or has no names.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError("unreadable file", f"{path}: {error}") from error
    try:
        pairs = list(_config(lines)) if path.suffix.lower() in (".yaml", ".yml") else _plain(lines)
    except FormatError as error:
        raise FormatError(error.reason, f"{path}: {error.detail}") from error
    names = dict(pairs)
    if not names or len(names) < len(pairs):
        fault = "two classes with one number" if names else "no names"
        raise FormatError(fault, f"{path}: `names:` with one entry a class was expected")
    return names


def _plain(lines: Iterable[str]) -> list[tuple[int, str]]:
    return list(enumerate(line.strip() for line in lines if line.strip()))


def _config(lines: list[str]) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(lines):
        if match := _KEY.fullmatch(line):
            first = match[1].strip()
            rest = lines[number + 1 :]
            return _brackets([first, *rest]) if first.startswith(("[", "{")) else _block(rest)
    raise FormatError("no names", "it has no line `names:`")


def _block(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Yield the entries of the lines below the key, up to the next key."""
    entries = (line for line in lines if line.strip() and not line.lstrip().startswith("#"))
    for count, line in enumerate(itertools.takewhile(lambda line: line[0] in " \t-", entries)):
        match = _LINE_ENTRY.fullmatch(line)
        if match is None:
            raise FormatError("unreadable name", f"{line!r:.60}")
        yield int(match[1] or count), _unquote(match[2])


def _brackets(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Yield the entries in brackets, which may go over many lines."""
    text, place = "\n".join(lines), 1
    closing = "]" if text[0] == "[" else "}"
    for count in itertools.count():
        place = _GAP.match(text, place).end()  # type: ignore[union-attr]  # it matches nothing, too
        if text.startswith(closing, place):
            return
        match = _BRACKET_ENTRY.match(text, place)
        if match is None:
            raise FormatError("unreadable name", f"{text[place : place + 60]!r} where a name or {closing} was expected")
        yield int(match[1] or count), _unquote(match[2].strip())
        place = match.end()


def _unquote(scalar: str) -> str:
    if scalar[0] == "'":
        return scalar[1:-1].replace("''", "'")
    return re.sub(r"\\(.)", r"\1", scalar[1:-1]) if scalar[0] == '"' else scalar.strip()
