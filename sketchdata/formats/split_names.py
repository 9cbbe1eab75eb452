"""Splits of classes as text: a class a line, under `[seen]`, `[validation]` or `[unseen]`; `#` begins a comment line.

    # Sketchy-21, of Yelamarthi and others
    [unseen]
    bat
    cabin

Lines before any such heading are unseen classes, so a bare list of names is one of those.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from sketchdata.class_splits import ClassSplit, SplitNames
from sketchdata.errors import ConfigError, FormatError
from sketchdata.names import did_you_mean
from sketchdata.sampling import plain

PARTS = ("seen", "validation", "unseen")
SUFFIX = ".txt"
_HEADING = re.compile(r"\[(.*)\]")
_REASON = "not a split of classes"


def parse(lines: Iterable[str]) -> SplitNames:
    """Read a split, line by line.

    Raises:
        FormatError: A heading is unknown, a class stands twice, a validation class is none of those listed as seen, or
            there are no classes; with the number of the line.
    """
    found: dict[str, dict[str, tuple[int, str]]] = {}
    part = "unseen"
    for number, line in enumerate(lines, 1):
        text = line.strip()
        heading = _HEADING.fullmatch(text)
        if heading is not None:
            part = _part(heading[1].strip().casefold(), number)
            found.setdefault(part, {})
        elif text and not text.startswith("#"):
            own = found.setdefault(part, {})
            first = own.setdefault(plain(text), (number, text))[0]
            if first != number:
                raise FormatError(_REASON, f"line {number:,}: {text!r} stands in line {first:,} already")
    _check(found)
    names = {part: tuple(text for _, text in own.values()) for part, own in found.items()}
    return SplitNames(seen=names.get("seen"), validation=names.get("validation"), unseen=names.get("unseen"))


def _part(name: str, number: int) -> str:
    if name not in PARTS:
        raise FormatError(_REASON, f"line {number:,} begins [{name[:40]}], which is none of {', '.join(PARTS)}")
    return name


def _check(found: Mapping[str, Mapping[str, tuple[int, str]]]) -> None:
    seen, unseen = found.get("seen", {}), found.get("unseen", {})
    if not seen and not unseen:
        raise FormatError(_REASON, "it names neither seen nor unseen classes")
    for key, (number, text) in unseen.items():
        if key in seen:
            raise FormatError(_REASON, f"line {number:,}: {text!r} is unseen, and seen in line {seen[key][0]:,}")
    for key, (number, text) in found.get("validation", {}).items():
        if key in unseen or ("seen" in found and key not in seen):
            raise FormatError(_REASON, f"line {number:,}: {text!r} is for validation, and none of the seen classes")


def dump(split: SplitNames | ClassSplit, head: Sequence[str] = ()) -> str:
    """Write a split as text, which `parse` reads as it was.

    Args:
        split: What it says.
        head: Lines of a comment, to stand above.

    Raises:
        ConfigError: A name cannot stand in a line.
    """
    lines = [f"# {line}".rstrip() for line in head]
    for part in PARTS:
        own = getattr(split, part)
        if own is not None:
            lines += [f"[{part}]", *map(_line, own)]
    return "".join(f"{line}\n" for line in lines)


def _line(name: str) -> str:
    if not name.isprintable() or name != name.strip() or not name or name[0] == "#" or _HEADING.fullmatch(name):
        raise ConfigError(f"the class name {name!r} cannot stand in a list of names")
    return name


def read(path: Path) -> SplitNames:
    """Read a file of a split.

    Raises:
        ConfigError: It cannot be read, or is none.
    """
    try:
        with path.open(encoding="utf-8-sig") as lines:
            return parse(lines)
    except FormatError as error:
        raise ConfigError(f"{path} is {error.reason}: {error.detail}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as a split of classes, a name a line: {error}") from error


def read_all(names: Sequence[str], published: Path) -> SplitNames:
    """Read several files, each of which may say something about another part: one the seen, one the unseen classes.

    Args:
        names: Paths, or names of published lists, such as `sketchy-21`.
        published: The folder of these.

    Raises:
        ConfigError: There is no such file, or it is none; or two of them name classes of one part.
    """
    found: dict[str, tuple[str, ...]] = {}
    for name in names:
        read_names = read(path_of(name, published))
        parts = {part: getattr(read_names, part) for part in PARTS}
        told = {part: own for part, own in parts.items() if own is not None}
        twice = sorted(found.keys() & told)
        if twice:
            raise ConfigError(f"{', '.join(names)}: more than one names {twice[0]} classes, and {name} is the second")
        found |= told
    return SplitNames(seen=found.get("seen"), validation=found.get("validation"), unseen=found.get("unseen"))


def path_of(name: str, published: Path) -> Path:
    """Return the file of a published list, or the one at a path; a published list wins over a file of its name.

    Raises:
        ConfigError: There is neither.
    """
    known = sorted(path.stem for path in published.glob(f"*{SUFFIX}"))
    if name in known:
        return published / f"{name}{SUFFIX}"
    if Path(name).is_file():
        return Path(name)
    hint = did_you_mean(name, known) or f"there are {', '.join(known)}"
    raise ConfigError(f"{name} is neither a file nor a published list; {hint}")
