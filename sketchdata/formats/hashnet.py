"""Lists of pictures as HashNet and DeepHash-pytorch read them: a line a picture, its path and its class.

    cat/5891796615823360.png 0 1 0

The class is a column a class, 1 in its own and 0 elsewhere; or, in HashNet alone, one index. Both programs split lines
at any blank, so a path has none. Source: `make_dataset` in pytorch/src/data_list.py of github.com/thuml/HashNet;
`ImageList` in utils/tools.py of github.com/swuxyj/DeepHash-pytorch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sketchdata.errors import ConfigError, FormatError

#: {split: its list}; there is none for validation.
FILES = {"train": "train.txt", "gallery": "database.txt", "query": "test.txt"}

_INDEX = re.compile(r"\d{1,9}")


@dataclass(frozen=True, kw_only=True, eq=False)
class PictureList:
    """N pictures of a list.

    Attributes:
        paths: Of the pictures, as they stand there.
        labels: (N,) int64.
        classes: L, the number of columns; of a list of indices, the largest and one.
    """

    paths: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    classes: int


def folder_names(classes: Sequence[str]) -> tuple[str, ...]:
    """Return the folder of each class: its name, with `_` for blanks, which would end a path.

    Raises:
        ConfigError: A name cannot be a folder's, or two classes would share one.
    """
    names = tuple("_".join(word.split()) for word in classes)
    for name, word in zip(names, classes, strict=True):
        if name in ("", ".", "..") or "/" in name or not name.isprintable():
            raise ConfigError(f"the class {word!r} cannot name a folder of pictures")
    for word, name in zip(classes, names, strict=True):
        if names.count(name) > 1:
            others = [other for other, own in zip(classes, names, strict=True) if own == name and other != word]
            raise ConfigError(f"the classes {word!r} and {(others or [word])[0]!r} would share the folder {name}")
    return names


def lines(
    key_ids: npt.NDArray[np.uint64], labels: npt.NDArray[np.integer[Any]], folders: Sequence[str]
) -> Iterator[bytes]:
    """Yield the line of each picture `{folder}/{key_id}.png`, in their order.

    Args:
        key_ids: (N,) uint64.
        labels: (N,) indices into `folders`.
        folders: Of the L classes, as `folder_names` gives them.
    """
    ends = [" ".join("01"[own == label] for own in range(len(folders))) for label in range(len(folders))]
    for key_id, label in zip(key_ids.tolist(), labels.tolist(), strict=True):
        yield f"{folders[label]}/{key_id}.png {ends[label]}\n".encode()


def read_list(text: Iterable[str]) -> PictureList:
    """Read a list, line by line; empty lines do not count.

    Raises:
        FormatError: A line is not a path and a class, has another number of columns than the first, or is of several
            classes or of none; or there are no pictures.
    """
    paths, labels, width = [], [], 0
    for number, line in enumerate(text, 1):
        path, *columns = line.split() or [""]
        if not path:
            continue
        width = width or len(columns)
        if not columns or len(columns) != width:
            raise FormatError(
                "not a list of pictures", f"line {number:,} has {len(columns)} columns after its path, not {width or 1}"
            )
        paths.append(path)
        labels.append(_label(columns, number))
    if not paths:
        raise FormatError("not a list of pictures", "it is empty")
    found = np.array(labels, np.int64)
    return PictureList(paths=tuple(paths), labels=found, classes=width if width > 1 else int(found.max()) + 1)


def _label(columns: Sequence[str], number: int) -> int:
    if len(columns) == 1:
        if not _INDEX.fullmatch(columns[0]):
            raise FormatError("a class that is no index", f"line {number:,}: {columns[0][:40]!r}")
        return int(columns[0])
    odd = [column for column in columns if column not in ("0", "1")]
    if odd:
        raise FormatError("columns that are not 0 or 1", f"line {number:,}: {odd[0][:40]!r}")
    if columns.count("1") != 1:
        raise FormatError(
            "pictures that are not of one class",
            f"line {number:,} has {columns.count('1')}; pictures of several classes are not supported",
        )
    return columns.index("1")
