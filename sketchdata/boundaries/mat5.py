"""MATLAB's MAT-files of level 5, as far as drawings need them: cells, structs and arrays of numbers.

SciPy reads many more, and damaged ones end the process (a segmentation fault, seen with 1.15): these come from afar.
Source: "MAT-File Format", The MathWorks, chapter 1, Level 5.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

#: A cell is a list of what it holds, by columns; a struct array a list of dicts, by columns.
Value: TypeAlias = "npt.NDArray[np.generic] | list[Value] | list[dict[str, Value]]"

_HEAD_BYTES = 128
#: Version 1.0, lowest byte first, as all machines of today write it.
_VERSION = b"\x00\x01IM"
#: Types of data elements (table 1-1) and classes of arrays (table 1-3).
_MATRIX, _COMPRESSED = 14, 15
_CELL, _STRUCT = 1, 2
#: double, single, and whole numbers of 8 to 64 bits.
_NUMERIC_CLASSES = range(6, 16)
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
#: Of an array's flags, of which the least byte is the class; complex arrays have a second part.
_COMPLEX = 0x0800
#: A variable of BSDS500 takes 4 MB; above this it is a trap.
_MOST_BYTES = 256 << 20


def read_variable(data: bytes, name: str) -> Value:
    """Return one variable of a file; the others may be of any class.

    Raises:
        ValueError: It is no MAT-file of level 5, is cut off or damaged, or has no such variable of cells, structs and
            real numbers.
    """
    if data[124:_HEAD_BYTES] != _VERSION:
        raise ValueError("no MAT-file of level 5, such as MATLAB writes by save -v7")
    try:
        for matrix in _matrices(data[_HEAD_BYTES:]):
            _, _, (_, own_name), *_ = _elements(matrix)
            if own_name == name.encode():
                return _value(matrix)
    except (LookupError, TypeError, ArithmeticError, RecursionError, MemoryError, struct.error, zlib.error) as error:
        raise ValueError(f"a damaged MAT-file: {type(error).__name__}: {error}") from error
    raise ValueError(f"a MAT-file without a variable {name}")


def _matrices(data: bytes) -> Iterator[bytes]:
    """Yield the content of each variable's element, inflated where it is compressed."""
    for kind, content in _elements(data):
        inner = _elements(_inflated(content)) if kind == _COMPRESSED else iter([(kind, content)])
        yield from (matrix for each, matrix in inner if each == _MATRIX)


def _inflated(content: bytes) -> bytes:
    inflating = zlib.decompressobj()
    inflated = inflating.decompress(content, _MOST_BYTES)
    if not inflating.eof:
        raise ValueError(f"compressed data that is cut off, or longer than {_MOST_BYTES:,} bytes")
    return inflated


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (type, content) of the data elements that stand one after the other."""
    at = 0
    while at < len(data):
        kind, size = struct.unpack_from("<II", data, at)
        # An element of at most four bytes has its size in the upper half of its type, and itself in place of the size.
        small = kind >> 16
        begin, end = (at + 4, at + 4 + small) if small else (at + 8, at + 8 + size)
        if end > len(data) or small > 4:
            raise ValueError(f"an element of {size:,} bytes where {len(data) - at:,} are left")
        yield kind & 0xFFFF, data[begin:end]
        # They begin at multiples of eight bytes, but for what follows compressed ones.
        at = end if kind == _COMPRESSED else end + -end % 8


def _value(matrix: bytes) -> Value:
    """Return the value of an array, given the content of its element."""
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
