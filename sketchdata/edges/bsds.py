"""The folder of BSDS500: photos, and for each photo a MATLAB file with the drawings of four to nine people.

    images/{train,val,test}/NAME.jpg         200, 100 and 200 photos of 481 × 321 or 321 × 481
    groundTruth/{train,val,test}/NAME.mat    `groundTruth`: one cell per person, a struct of two (H, W) arrays:
                                             `Segmentation` uint16, the numbers of the segments, and `Boundaries`
                                             uint8, 1 on the lines between them

Source: https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/resources.html.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from sketchdata.edges.boundaries import Mask
from sketchdata.errors import ConfigError, FormatError, SketchDataError
from sketchdata.photos.image import Photo, decode

# SciPy reads more kinds, but damaged files crash it (a segmentation fault, seen with 1.15).
# Source: "MAT-File Format", The MathWorks, chapter 1, Level 5.

#: A cell array is a list of its elements, a struct array a list of dicts, both column by column.
Value: TypeAlias = "npt.NDArray[np.generic] | list[Value] | list[dict[str, Value]]"

_HEAD_BYTES = 128
#: Version 1.0, little-endian, as all current machines write it.
_VERSION = b"\x00\x01IM"
#: Types of data elements (table 1-1) and classes of arrays (table 1-3).
_MATRIX, _COMPRESSED = 14, 15
_CELL, _STRUCT = 1, 2
#: double, single, and integers of 8 to 64 bits.
_NUMERIC_CLASSES = range(6, 16)
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
#: The flag of complex arrays, which have a second part; the lowest byte of the flags is the class.
_COMPLEX = 0x0800
#: Maximum size of a variable when decompressed, in bytes; those of BSDS500 take 4 MB.
_MOST_BYTES = 256 << 20


def read_variable(data: bytes, name: str) -> Value:
    """Return one variable of a file; the others may have any class.

    Raises:
        ValueError: The data is not a MAT-file of level 5, is truncated or damaged, or has no such variable of cells,
            structs and real numbers.
    """
    if data[124:_HEAD_BYTES] != _VERSION:
        raise ValueError("not a MAT-file of level 5, such as MATLAB writes by save -v7")
    try:
        for kind, content in _elements(data[_HEAD_BYTES:]):
            for inner_kind, matrix in _elements(_inflated(content)) if kind == _COMPRESSED else [(kind, content)]:
                if inner_kind == _MATRIX:
                    _, _, (_, own_name), *_ = _elements(matrix)
                    if own_name == name.encode():
                        return _value(matrix)
    except (LookupError, TypeError, ArithmeticError, RecursionError, MemoryError, struct.error, zlib.error) as error:
        raise ValueError(f"a damaged MAT-file: {type(error).__name__}: {error}") from error
    raise ValueError(f"a MAT-file without a variable {name}")


def _inflated(content: bytes) -> bytes:
    inflating = zlib.decompressobj()
    inflated = inflating.decompress(content, _MOST_BYTES)
    if not inflating.eof:
        raise ValueError(f"compressed data that is cut off, or longer than {_MOST_BYTES:,} bytes")
    return inflated


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        kind, size = struct.unpack_from("<II", data, at)
        # An element of at most four bytes has its size in the upper half of its type, and its data in place of the
        # size.
        small = kind >> 16
        begin, end = (at + 4, at + 4 + small) if small else (at + 8, at + 8 + size)
        if end > len(data) or small > 4:
            raise ValueError(f"an element of {size:,} bytes where {len(data) - at:,} are left")
        yield kind & 0xFFFF, data[begin:end]
        # Elements start at multiples of eight bytes, except after compressed ones.
        at = end if kind == _COMPRESSED else end + -end % 8


def _value(matrix: bytes) -> Value:
    if not matrix:
        return np.empty((0, 0))
    (_, flags), (_, sides), _, *parts = _elements(matrix)
    (flag_bits,) = struct.unpack_from("<I", flags)
    shape = struct.unpack(f"<{len(sides) // 4}i", sides)
    kind = flag_bits & 0xFF
    if kind == _CELL:
        return [_value(content) for _, content in parts]
    if kind == _STRUCT:
        return _structs(parts)
    if flag_bits & _COMPLEX or kind not in _NUMERIC_CLASSES:
        raise ValueError(f"an array of class {kind} where cells, structs or real numbers were expected")
    stored, content = parts[0]
    return np.frombuffer(content, f"<{_NUMBERS[stored]}").reshape(shape, order="F")


def _structs(parts: list[tuple[int, bytes]]) -> list[dict[str, Value]]:
    """Return the structs of an array: names of equal length, then all fields of the first struct, and so on."""
    (_, width), (_, names), *values = parts
    (step,) = struct.unpack_from("<i", width)
    fields = [names[i : i + step].split(b"\0")[0].decode("ascii") for i in range(0, len(names), step)]
    if len(values) % len(fields):
        raise ValueError(f"{len(values)} values for structs of {len(fields)} fields")
    rows = (values[i : i + len(fields)] for i in range(0, len(values), len(fields)))
    return [{field: _value(content) for field, (_, content) in zip(fields, row, strict=True)} for row in rows]


_NPY_MAGIC = b"\x93NUMPY"


def read_map(data: bytes) -> npt.NDArray[np.uint8]:
    """Return edge strength, (H, W) uint8, from the bytes of a picture, white on black, or of a .npy of uint8 or 0..1.

    Raises:
        FormatError: `not an edge map`, or an error of `decode`.
    """
    if not data.startswith(_NPY_MAGIC):
        return np.asarray(cv2.cvtColor(decode(data), cv2.COLOR_RGB2GRAY), np.uint8)
    try:
        found = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, OSError, EOFError, SyntaxError, MemoryError) as error:
        raise FormatError("not an edge map", f"an array that cannot be read: {error}") from error
    if found.ndim != 2 or not found.size:
        raise FormatError("not an edge map", f"an array of {found.shape} where (H, W) was expected")
    if found.dtype == np.uint8:
        return np.asarray(found, np.uint8)
    if found.dtype.kind != "f" or not ((found >= 0) & (found <= 1)).all():
        raise FormatError("not an edge map", f"{found.dtype} where uint8, or 0 to 1 in floating point, was expected")
    strength: npt.NDArray[np.uint8] = np.rint(255 * found.astype(np.float64)).astype(np.uint8)
    return strength


SPLITS = ("train", "val", "test")

_PHOTOS, _DRAWINGS = "images", "groundTruth"

Content = TypeVar("Content")
Segments = npt.NDArray[np.uint16]


@dataclass(frozen=True, kw_only=True)
class DrawnPhoto:
    """The paths of a photo of the data set and of its drawings."""

    name: str
    photo: Path
    drawings: Path


@dataclass(frozen=True, kw_only=True)
class SegmentedPhoto:
    """A photo, (H, W, 3) uint8 RGB, and its segments as each person numbered them, (H, W) uint16."""

    photo: Photo
    segments: tuple[Segments, ...]


def drawn_photos(directory: Path, split: str) -> list[DrawnPhoto]:
    """Return a split's photos in the order of their names.

    Raises:
        ConfigError: The folder has no photos of that split, or some of them have no drawings.
    """
    photos = sorted((directory / _PHOTOS / split).glob("*.jpg"), key=lambda path: path.stem)
    if not photos:
        raise ConfigError(
            f"{directory} is not the folder of BSDS500: {directory / _PHOTOS / split} has no .jpg photos; "
            "give the folder that holds images/ and groundTruth/"
        )
    found = [
        DrawnPhoto(name=path.stem, photo=path, drawings=directory / _DRAWINGS / split / f"{path.stem}.mat")
        for path in photos
    ]
    missing = [each.drawings.name for each in found if not each.drawings.is_file()]
    if missing:
        raise ConfigError(
            f"{directory / _DRAWINGS / split} lacks the drawings of {len(missing):,} of {len(found):,} photos, "
            f"{', '.join(missing[:5])} among them: fetch BSDS500 again"
        )
    return found


def read_split(directory: Path, split: str) -> list[SegmentedPhoto]:
    """Read all photos of a split (train, val or test) and their segments, in the order of their names.

    Raises:
        ConfigError: The folder has no photos of that split, or some of them have no drawings.
        SketchDataError: A photo or its drawings are damaged, or their sizes differ.
    """
    found = []
    for drawn in drawn_photos(directory, split):
        photo, segments = read_file(drawn.photo, decode), read_file(drawn.drawings, read_segments)
        if segments[0].shape != photo.shape[:2]:
            raise SketchDataError(
                f"{drawn.drawings}: expected drawings of {photo.shape[:2]}, as {drawn.photo} is, and found "
                f"{segments[0].shape}; fetch BSDS500 again"
            )
        found.append(SegmentedPhoto(photo=photo, segments=tuple(segments)))
    return found


def read_file(path: Path, reader: Callable[[bytes], Content]) -> Content:
    """Read a file, given a function that parses its bytes.

    Raises:
        SketchDataError: The file cannot be read, or is damaged; the message names it.
    """
    try:
        return reader(path.read_bytes())
    except (FormatError, OSError) as error:
        raise SketchDataError(f"{path}: {error}; fetch it again") from error


def read_drawings(data: bytes) -> list[Mask]:
    """Parse the boundaries that each person drew on a photo: (H, W) bool, all of the same shape.

    Raises:
        FormatError: `damaged drawings` or `no drawings`.
    """
    return [np.not_equal(drawing, 0) for drawing in _people(data, "Boundaries")]


def read_segments(data: bytes) -> list[Segments]:
    """Parse the segments that each person saw in a photo: (H, W) uint16, all of the same shape.

    Raises:
        FormatError: `damaged drawings` or `no drawings`.
    """
    people = _people(data, "Segmentation")
    if kinds := sorted({str(each.dtype) for each in people if each.dtype.kind not in "iu"}):
        raise FormatError("damaged drawings", f"segments of {', '.join(kinds)} where whole numbers were expected")
    return [segments.astype(np.uint16) for segments in people]


def boundaries_between(segments: Segments) -> npt.NDArray[np.uint8]:
    """Return (H, W) uint8, 1 where the pixel to the right or below is in another of the (H, W) segments."""
    found = np.zeros(segments.shape, np.uint8)
    found[:, :-1] |= segments[:, :-1] != segments[:, 1:]
    found[:-1] |= segments[:-1] != segments[1:]
    return found


def _people(data: bytes, field: str) -> list[npt.NDArray[np.generic]]:
    try:
        people = read_variable(data, "groundTruth")
        found = []
        for person in people if isinstance(people, list) else [people]:
            fields = person[0] if isinstance(person, list) and len(person) == 1 else None
            value = fields.get(field) if isinstance(fields, dict) else None
            if not isinstance(value, np.ndarray) or value.ndim != 2:
                raise ValueError(f"a person's cell without a struct of two-dimensional {field}")
            found.append(value)
    except ValueError as error:
        raise FormatError("damaged drawings", f"{error}, where BSDS500's groundTruth was expected") from error
    if not found or not found[0].size:
        raise FormatError("no drawings", "where those of at least one person were expected")
    if len({each.shape for each in found}) > 1:
        raise FormatError("damaged drawings", f"of several shapes, {sorted({each.shape for each in found})}")
    return found
