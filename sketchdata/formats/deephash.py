"""Codes in the layout of DeepHash-pytorch: four arrays in a folder, of a gallery (`trn`) and of queries (`tst`).

    {trn,tst}_binary.npy    (N, D) float32, −1 and 1, the signs of a network's output
    {trn,tst}_label.npy     (N, L), 1 in the column of the class and 0 elsewhere

The reader also accepts 0 and 1 as bits, other numeric types, (N,) or (N, 1) indices as labels, and names with a prefix,
such as `cifar10-1_48bits-trn_binary.npy`. The writer adds `{trn,tst}_key_id.npy`, (N,) uint64. Nothing is unpickled.
Source: `validate` in utils/tools.py of github.com/swuxyj/DeepHash-pytorch, and its loaders for the labels.
"""

from __future__ import annotations

import re
import tokenize
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
import numpy.typing as npt

from sketchdata.errors import ConfigError, FormatError
from sketchdata.files import regular
from sketchdata.formats.codes import MAX_BITS, Codes, Packed, pack_bits, unpack_bits

#: {split: prefix of its files}; DeepHash-pytorch does not store the training set.
PARTS = {"gallery": "trn", "query": "tst"}
MAX_CLASSES = 1 << 16

_BINARY, _LABEL, _KEY_ID = "binary.npy", "label.npy", "key_id.npy"
#: Rows that are read or written at a time: 45 MB of labels in 8 bytes for 345 classes.
_ROWS_AT_ONCE = 1 << 14
#: Errors that numpy raises for invalid files; headers are parsed as Python literals.
_READ_ERRORS = (OSError, ValueError, EOFError, MemoryError, OverflowError, TypeError, SyntaxError, tokenize.TokenError)

_Array: TypeAlias = npt.NDArray[Any]
_Labels: TypeAlias = npt.NDArray[np.uint16]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Part:
    """The gallery, or the queries, before the class table is known.

    Attributes:
        bits: D.
        packed: As returned by `pack_bits`.
        labels: (N,) uint16.
        key_ids: (N,) uint64; None without a file of key_ids.
        width: L for labels in columns; None for indices.
    """

    bits: int
    packed: Packed
    labels: _Labels
    key_ids: npt.NDArray[np.uint64] | None
    width: int | None


@dataclass(frozen=True, kw_only=True, eq=False)
class DeepHashCodes:
    """The codes of a folder.

    Attributes:
        gallery: N codes.
        query: M codes with the same number of bits and the same class table.
        has_key_ids: Whether the folder has key_ids; otherwise they are the row numbers.
    """

    gallery: Codes
    query: Codes
    has_key_ids: bool


def read_folder(folder: Path, classes: Sequence[str] | None = None) -> DeepHashCodes:
    """Read a folder's codes.

    Args:
        folder: The folder with the arrays.
        classes: The class table; None names the classes `class 0` and so on, for the columns of the labels, or up to
            the largest index.

    Raises:
        ConfigError: The folder does not exist, or the class table does not match the labels.
        FormatError: A file is missing or is not a numeric array, or a row is not a code or not of exactly one class.
    """
    places = _find(folder)
    gallery, query = (_read_part(places[split]) for split in PARTS)
    if gallery.bits != query.bits:
        raise FormatError("codes of two lengths", f"{gallery.bits} bits in the gallery, {query.bits} in the queries")
    if gallery.width is not None and query.width is not None and gallery.width != query.width:
        raise FormatError(
            "labels of two widths", f"{gallery.width} columns in the gallery, {query.width} in the queries"
        )
    table = _class_table([gallery, query], classes)
    known = gallery.key_ids is not None and query.key_ids is not None
    return DeepHashCodes(gallery=_codes(gallery, table, known), query=_codes(query, table, known), has_key_ids=known)


def files_of(folder: Path) -> list[Path]:
    """Return the files that `read_folder` reads.

    Raises:
        ConfigError: The folder does not exist.
        FormatError: A file is missing, or there are several sets of files.
    """
    paths = [Path(place + kind) for place in _find(folder).values() for kind in (_BINARY, _LABEL, _KEY_ID)]
    return [path for path in paths if path.is_file()]


def _codes(part: _Part, classes: tuple[str, ...], known: bool) -> Codes:
    numbers = np.arange(len(part.labels), dtype=np.uint64)
    key_ids = part.key_ids if known and part.key_ids is not None else numbers
    return Codes(bits=part.bits, packed=part.packed, labels=part.labels, key_ids=key_ids, classes=classes)


def _find(folder: Path) -> dict[str, str]:
    """Return {split: the path of its files up to `trn_` or `tst_`}."""
    if not folder.is_dir():
        raise ConfigError(f"there is no folder {folder}: give the one that has the arrays")
    marks = sorted(folder.glob(f"*{PARTS['gallery']}_{_BINARY}"))
    if len(marks) > 1:
        raise FormatError(
            "several sets of codes", f"{folder} has {', '.join(p.name for p in marks[:3])}: put each in its own folder"
        )
    before = marks[0].name.removesuffix(f"{PARTS['gallery']}_{_BINARY}") if marks else ""
    places = {split: f"{folder}/{before}{part}_" for split, part in PARTS.items()}
    needed = [Path(place + kind) for place in places.values() for kind in (_BINARY, _LABEL)]
    missing = [path.name for path in needed if not path.is_file()]
    if missing:
        raise FormatError(
            "missing arrays", f"{folder} has no {', '.join(missing)}; codes are {', '.join(p.name for p in needed)}"
        )
    return places


def _read_part(place: str) -> _Part:
    binary, label, key_id = (Path(place + kind) for kind in (_BINARY, _LABEL, _KEY_ID))
    packed, bits = _read_bits(_load(binary), binary.name)
    labels, width = _read_labels(_load(label), label.name)
    key_ids = None
    if key_id.exists():
        found = _load(key_id)
        if found.ndim != 1 or found.dtype.kind != "u":
            kind = f"{found.dtype} of shape {found.shape}"
            raise FormatError("not key_ids", f"{key_id.name} holds {kind}, not (N,) uint64")
        key_ids = found.astype(np.uint64)
    for name, count in ((label.name, len(labels)), (key_id.name, len(packed) if key_ids is None else len(key_ids))):
        if count != len(packed):
            raise FormatError("arrays of different lengths", f"{binary.name} {len(packed):,} rows, {name} {count:,}")
    return _Part(bits=bits, packed=packed, labels=labels, key_ids=key_ids, width=width)


def _load(path: Path) -> _Array:
    try:
        found = np.load(regular(path), mmap_mode="r", allow_pickle=False)
    except _READ_ERRORS as error:
        raise FormatError("not an array of numbers", f"{path}: {error}") from error
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "biuf":
        kind = found.dtype if isinstance(found, np.ndarray) else type(found).__name__
        raise FormatError("not an array of numbers", f"{path} holds {kind}")
    return found


def _blocks(array: _Array) -> Iterator[tuple[int, _Array]]:
    """Yield (first row, rows) for blocks of rows."""
    return ((start, array[start : start + _ROWS_AT_ONCE]) for start in range(0, len(array), _ROWS_AT_ONCE))


def _read_bits(array: _Array, name: str) -> tuple[Packed, int]:
    if array.ndim != 2 or not array.shape[0] or not 1 <= array.shape[1] <= MAX_BITS:
        raise FormatError(
            "not codes", f"{name} has the shape {array.shape}; expected one row or more of 1 to {MAX_BITS} bits"
        )
    packed, first_row = [], dict.fromkeys((-1, 0))
    for start, block in _blocks(array):
        ones = block == 1
        lows = {value: block == value for value in first_row}
        bad = ~(ones | lows[-1] | lows[0])
        if bad.any():
            row, column = np.argwhere(bad)[0].tolist()
            raise FormatError(
                "values that are not bits",
                f"{name} has {block[row, column]} in row {start + row:,}, column {column}; expected 1 and −1, or 1, 0",
            )
        for value, low in lows.items():
            if first_row[value] is None and low.any():
                first_row[value] = start + int(np.flatnonzero(low.any(1))[0])
        packed.append(pack_bits(ones))
    if None not in first_row.values():
        # torch's sign of 0 is 0, which is not a bit.
        raise FormatError(
            "values that are not bits",
            f"{name} has −1 in row {first_row[-1]:,} and 0 in row {first_row[0]:,}: write 1 and −1, or 1 and 0, alone",
        )
    return np.concatenate(packed), int(array.shape[1])


def _read_labels(array: _Array, name: str) -> tuple[_Labels, int | None]:
    empty: _Labels = np.empty(0, np.uint16)
    if array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1):
        return np.concatenate([empty, *(_of_indices(b.reshape(-1), at, name) for at, b in _blocks(array))]), None
    if array.ndim != 2 or not 1 <= array.shape[1] <= MAX_CLASSES:
        raise FormatError(
            "not labels",
            f"{name} has the shape {array.shape}, not one column per class (at most {MAX_CLASSES:,}), or indices",
        )
    return np.concatenate([empty, *(_of_columns(b, at, name) for at, b in _blocks(array))]), int(array.shape[1])


def _of_indices(indices: _Array, start: int, name: str) -> _Labels:
    bad = ~((indices >= 0) & (indices < MAX_CLASSES) & (indices == np.floor(indices)))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise FormatError(
            "labels that are not indices",
            f"{name} has {indices[row]} in row {start + row:,}; 0 to {MAX_CLASSES - 1:,} are",
        )
    return indices.astype(np.uint16)


def _of_columns(rows: _Array, start: int, name: str) -> _Labels:
    ones = rows == 1
    odd = ~(ones | (rows == 0))
    if odd.any():
        row, column = np.argwhere(odd)[0].tolist()
        raise FormatError("labels that are not 0 or 1", f"{name} has {rows[row, column]} in row {start + row:,}")
    counts = ones.sum(1)
    if (counts != 1).any():
        row = int(np.flatnonzero(counts != 1)[0])
        raise FormatError(
            "rows that are not of one class",
            f"{name} has {counts[row]} classes in row {start + row:,}; codes of several classes are not supported",
        )
    labels: _Labels = ones.argmax(1).astype(np.uint16)
    return labels


def _class_table(parts: Sequence[_Part], classes: Sequence[str] | None) -> tuple[str, ...]:
    widths = [part.width for part in parts if part.width is not None]
    largest = max(int(part.labels.max()) for part in parts)
    count = max([*widths, largest + 1])
    if classes is None:
        return tuple(f"class {label}" for label in range(count))
    if len(set(classes)) != len(classes):
        raise ConfigError("the class table names a class twice")
    if len(classes) < count or (widths and len(classes) != count):
        raise ConfigError(f"the class table has {len(classes):,} names, and the labels have {count:,} classes")
    return tuple(classes)


def arrays(codes: Mapping[str, Codes]) -> dict[str, tuple[Codes, str]]:
    """Return {file name: (codes, kind of array)} for `dump`; `codes` has a gallery and queries."""
    kinds = (_BINARY, _LABEL, _KEY_ID)
    return {f"{part}_{kind}": (codes[split], kind) for split, part in PARTS.items() for kind in kinds}


def dump(codes: Codes, kind: str, file: BinaryIO) -> None:
    """Write one array like `numpy.save`, block by block.

    Args:
        codes: N codes.
        kind: `binary.npy`: (N, D) float32, −1 and 1; `label.npy`: (N, L) int8, 1 in the column of the class; or
            `key_id.npy`: (N,) uint64.
        file: Open for writing.
    """
    count, classes = len(codes), len(codes.classes)
    shape = {_BINARY: (count, codes.bits), _LABEL: (count, classes), _KEY_ID: (count,)}[kind]
    dtype = np.dtype({_BINARY: "<f4", _LABEL: "|i1", _KEY_ID: "<u8"}[kind])
    # numpy's type stubs do not have this function.
    write_header: Any = np.lib.format.write_array_header_1_0
    write_header(file, {"descr": dtype.str, "fortran_order": False, "shape": shape})
    for start in range(0, count, _ROWS_AT_ONCE):
        part = codes.take(np.arange(start, min(start + _ROWS_AT_ONCE, count)))
        if kind == _BINARY:
            rows: _Array = np.where(unpack_bits(part.packed, part.bits), 1.0, -1.0)
        elif kind == _LABEL:
            rows = part.labels[:, None] == np.arange(classes)
        else:
            rows = part.key_ids
        file.write(np.ascontiguousarray(rows, dtype).data)


# Lists for HashNet and DeepHash-pytorch have one line per picture with its path and its class: one column per class, 1
# for its own and 0 elsewhere, or, in HashNet only, one index. Both programs split lines at any white space, so a path
# must not contain any. Source: `make_dataset` in pytorch/src/data_list.py of github.com/thuml/HashNet; `ImageList` in
# utils/tools.py of github.com/swuxyj/DeepHash-pytorch.

#: {split: its list}; validation has no list.
FILES = {"train": "train.txt", "gallery": "database.txt", "query": "test.txt"}

_INDEX = re.compile(r"\d{1,9}")


@dataclass(frozen=True, kw_only=True, eq=False)
class PictureList:
    """N pictures of a list.

    Attributes:
        paths: Paths of the pictures, as listed.
        labels: (N,) int64.
        classes: L, the number of columns; for a list of indices, the largest index plus one.
    """

    paths: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    classes: int


def folder_names(classes: Sequence[str]) -> tuple[str, ...]:
    """Return the folder of each class: its name with `_` for spaces, which would end a path.

    Raises:
        ConfigError: A name cannot be the name of a folder, or two classes would have the same folder.
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
        folders: Folders of the L classes, from `folder_names`.
    """
    ends = [" ".join("01"[own == label] for own in range(len(folders))) for label in range(len(folders))]
    for key_id, label in zip(key_ids.tolist(), labels.tolist(), strict=True):
        yield f"{folders[label]}/{key_id}.png {ends[label]}\n".encode()


def read_list(text: Iterable[str]) -> PictureList:
    """Read a list, line by line; empty lines are ignored.

    Raises:
        FormatError: A line is not a path and a class, has another number of columns than the first line, or does not
            have exactly one class; or there are no pictures.
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
            raise FormatError("a class that is not an index", f"line {number:,}: {columns[0][:40]!r}")
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
