"""Lists of classes and pictures in the layout of SAKE and ZSE-SBIR, which most zero-shot retrieval programs read.

    cname_cid.txt               the seen classes, one per line: name, space, id; ids count from 0
    cname_cid_zero.txt          the unseen classes; their ids also count from 0
    *_filelist_{part}.txt       pictures, one per line: path, space, id. The parts `train` and `test` have seen
                                classes, `zero` has unseen ones. ZSE-SBIR also has sketch_{part}.txt,
                                photo_{part}.txt and all_photo_{part}.txt

Names and paths may contain spaces; the id follows the last one. Source: the files and readers of
github.com/qliu24/SAKE and github.com/buptLinfy/ZSE-SBIR.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from sketchdata.classes.spellings import plain
from sketchdata.errors import ConfigError, FormatError
from sketchdata.files import regular
from sketchdata.formats.deephash import PictureList

if TYPE_CHECKING:
    import pandas as pd

SEEN_FILE, UNSEEN_FILE = "cname_cid.txt", "cname_cid_zero.txt"
#: The part with the pictures of unseen classes.
ZERO = "zero"
PARTS = ("train", "test", ZERO)
#: The columns of the table of all pictures.
TABLE_COLUMNS = ("list", "part", "path", "word", "label")

_PICTURES = re.compile(r"(?:.+_filelist|(?:.+_)?(?:sketch|photo))_(train|test|zero)\.txt")
_LINE = re.compile(r"\s*(\S|\S.*\S)\s+(\d{1,9})\s*")
_Read = TypeVar("_Read")


@dataclass(frozen=True, kw_only=True)
class ClassLists:
    """The classes of a folder of lists, in the order of their ids, and {file name: pictures}.

    Labels of pictures index `unseen` if the file's name ends in `zero`, and `seen` otherwise. `others` are the names of
    other text files, which are not read.
    """

    seen: tuple[str, ...]
    unseen: tuple[str, ...]
    pictures: Mapping[str, PictureList] = field(default_factory=dict)
    others: tuple[str, ...] = ()

    def table(self) -> pd.DataFrame:
        """Return one row per picture: its `list`, `part`, `path`, `word`, and `label` as in the list."""
        # Imported here so that `--help` does not import pandas.
        import pandas as pd

        frames = []
        for name, own in self.pictures.items():
            part = part_of(name)
            words = np.array(self.unseen if part == ZERO else self.seen)[own.labels]
            columns = {"list": name, "part": part, "path": own.paths, "word": words, "label": own.labels}
            frames.append(pd.DataFrame(columns))
        empty = pd.DataFrame(columns=list(TABLE_COLUMNS))
        found: pd.DataFrame = pd.concat(frames, ignore_index=True) if frames else empty
        return found


def read_folder(folder: Path) -> ClassLists:
    """Read the lists of a folder: both lists of classes, and all lists of pictures.

    Raises:
        ConfigError: The folder does not exist.
        FormatError: A list of classes is missing, a list is damaged, or a class is both seen and unseen.
    """
    if not folder.is_dir():
        raise ConfigError(f"there is no folder {folder}: give the one that has {SEEN_FILE} and {UNSEEN_FILE}")
    missing = [name for name in (SEEN_FILE, UNSEEN_FILE) if not (folder / name).is_file()]
    if missing:
        raise FormatError("a list of classes is missing", f"{folder} has no {' and no '.join(missing)}")
    seen = _read(folder / SEEN_FILE, parse_classes)
    unseen = _read(folder / UNSEEN_FILE, parse_classes)
    both = {plain(name) for name in seen} & {plain(name) for name in unseen}
    if both:
        told = ", ".join(repr(name) for name in unseen if plain(name) in both)
        raise FormatError("classes that are both seen and unseen", f"{told} of {folder}")
    pictures, others = {}, []
    for path in sorted(folder.glob("*.txt")):
        part = part_of(path.name)
        if part is not None:
            count = len(unseen if part == ZERO else seen)
            pictures[path.name] = _read(path, partial(parse_pictures, classes=count))
        elif path.name not in (SEEN_FILE, UNSEEN_FILE):
            others.append(path.name)
    return ClassLists(seen=seen, unseen=unseen, pictures=pictures, others=tuple(others))


def _read(path: Path, parse: Callable[[Iterable[str]], _Read]) -> _Read:
    try:
        with regular(path).open(encoding="utf-8-sig") as lines:
            return parse(lines)
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError("a list that cannot be read", f"{path}: {error}") from error
    except FormatError as error:
        raise FormatError(error.reason, f"{path}, {error.detail}") from error


def part_of(name: str) -> str | None:
    """Return the part of a list of pictures, from its file's name; None for other files."""
    found = None if name == UNSEEN_FILE else _PICTURES.fullmatch(name)
    return found[1] if found else None


def parse_classes(lines: Iterable[str]) -> tuple[str, ...]:
    """Return the classes of a list in the order of their ids; empty lines are ignored.

    Raises:
        FormatError: A line is not a name and an id, an id or a name is repeated, ids have a gap or do not start at 0,
        or there are no classes.
    """
    by_id: dict[int, tuple[int, str]] = {}
    by_name: dict[str, int] = {}
    for number, name, label in _entries(lines, "a class name"):
        first = by_id.setdefault(label, (number, name))[0]
        if first != number:
            raise FormatError("an id with two classes", f"line {number:,}: {label} is already in line {first:,}")
        first = by_name.setdefault(plain(name), number)
        if first != number:
            raise FormatError("a repeated class", f"line {number:,}: {name!r} is already in line {first:,}")
    if not by_id:
        raise FormatError("not a list of classes", "line 1: it is empty")
    gap = next((label for label in range(len(by_id)) if label not in by_id), None)
    if gap is not None:
        above = min((label, number) for label, (number, _) in by_id.items() if label > gap)
        raise FormatError("ids with a gap", f"line {above[1]:,} has the id {above[0]:,}, and none has {gap:,}")
    return tuple(by_id[label][1] for label in range(len(by_id)))


def parse_pictures(lines: Iterable[str], classes: int) -> PictureList:
    """Return the pictures of a list, given the number of classes; empty lines are ignored.

    Raises:
        FormatError: A line is not a path and an id, a path leads out of the folder, an id does not belong to a class,
        or there are no pictures.
    """
    paths, labels = [], []
    for number, path, label in _entries(lines, "a path"):
        parts, fault = re.split(r"[/\\]", path), ""
        if parts[0] == "" or re.fullmatch("[A-Za-z]:", parts[0]):
            fault = "is not relative to the folder of pictures"
        elif ".." in parts:
            fault = "leads out of the folder of pictures"
        if fault:
            raise FormatError("an invalid path", f"line {number:,}: {path[:80]!r} {fault}")
        if label >= classes:
            raise FormatError("an id without a class", f"line {number:,}: {label:,}, and there are {classes:,} classes")
        paths.append(path)
        labels.append(label)
    if not paths:
        raise FormatError("not a list of pictures", "line 1: it is empty")
    return PictureList(paths=tuple(paths), labels=np.array(labels, np.int64), classes=classes)


def _entries(lines: Iterable[str], what: str) -> Iterator[tuple[int, str, int]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        found = _LINE.fullmatch(line)
        if found is None or not found[1].isprintable():
            raise FormatError(
                "a line that cannot be read", f"line {number:,}: {line[:80]!r}, not {what}, a blank, an id"
            )
        yield number, found[1], int(found[2])


def class_lines(classes: Sequence[str]) -> Iterator[str]:
    """Yield the lines of a list of classes; an id is the position in the list.

    Raises:
        ConfigError: A name cannot be written in a line.
    """
    for label, name in enumerate(classes):
        yield f"{_text(name)} {label}\n"


def picture_lines(
    key_ids: npt.NDArray[np.uint64], labels: npt.NDArray[np.integer[Any]], folders: Sequence[str]
) -> Iterator[str]:
    """Yield the line of each picture `{folder}/{key_id}.png`, given (N,) key_ids, (N,) labels and the L folders."""
    for key_id, label in zip(key_ids.tolist(), labels.tolist(), strict=True):
        yield f"{folders[label]}/{key_id}.png {label}\n"


def folder_of(parent: str, name: str) -> str:
    """Return the folder of a class's pictures: the class's name, with its spaces, in a parent folder.

    Raises:
        ConfigError: The name cannot be the name of a folder.
    """
    if name in (".", "..") or re.search(r"[/\\]", name):
        raise ConfigError(f"the class {name!r} cannot name a folder of pictures")
    return f"{parent}/{_text(name)}"


def _text(name: str) -> str:
    if not name or not name.isprintable() or name != name.strip():
        raise ConfigError(f"the class name {name!r} cannot be written to a list of classes")
    return name
