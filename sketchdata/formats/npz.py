"""sketch-rnn's .npz: stroke-3 arrays in three splits, train, valid and test.

Each split is a one-dimensional array of (n, 3) int16 arrays, which numpy stores as a pickle. Unpickling may execute
arbitrary code, so this module has its own interpreter of pickles: it supports only the opcodes of numeric arrays, has
only plain data, and calls nothing; it recognises the four names in numpy's pickles and checks their use.

Source: the README of github.com/googlecreativelab/quickdraw-dataset ("sketch-rnn QuickDraw Dataset");
`models/sketch_rnn/sketch_rnn_train.py` of github.com/magenta/magenta, whose loader is
`np.load(file, allow_pickle=True, encoding='latin1')`; `pickletools` in Python's library for what the instructions mean,
and `ndarray.__reduce__` for what numpy writes (protocols 2 to 4, Python 2 and 3, numpy 1 and 2).
"""

from __future__ import annotations

import math
import pickle
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from sketchdata.errors import FormatError
from sketchdata.formats.strokes import Stroke3, from_stroke5, has_start

NumericArray = npt.NDArray[np.number[Any]]

SPLITS = ("train", "valid", "test")
#: Maximum decompressed size of a file in bytes, about four times the largest official one.
MAX_BYTES = 1 << 29

_MAX_MEMBERS = 1000
_MAX_POINTS = MAX_BYTES // 6
#: The official splits are 70,000, 2,500 and 2,500.
_VALID_SHARE = _TEST_SHARE = 30
#: The only form of .npy headers that numpy writes.
_HEADER = re.compile(
    rb"\{'descr': '[|]?([<>=]?(?:O|[iu][1248]|f[248]))', 'fortran_order': (True|False), "
    rb"'shape': \(((?:\d{1,12}L?,? ?){0,4})\),? ?\} *\n"
)
_MAGIC = b"\x93NUMPY"
# A constant time, so that the same drawings give the same bytes.
_FIRST_TIME = (1980, 1, 1, 0, 0, 0)


def load(content: bytes) -> dict[str, list[NumericArray]]:
    """Read a sketch-rnn file.

    Each member of the archive may be an array of (n, 3) arrays, as in the official files, a numeric (N, n, 3) array, or
    an (n, 3) array, which is one drawing; or the same with stroke-5, with or without start tokens.

    Args:
        content: The whole file.

    Returns:
        {split: (n, 3) arrays}, train, valid and test first, and other names in the archive's order.

    Raises:
        FormatError: The file is not an .npz file, is damaged, or has anything but numeric arrays.
    """
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            members = _members(archive)
            splits = {name: _read_split(archive.read(info), name) for name, info in members.items()}
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError, struct.error) as error:
        raise FormatError("damaged npz", f"{error}; it should be a zip archive of .npy files") from error
    if sum(len(array) for arrays in splits.values() for array in arrays) > _MAX_POINTS:
        # Several arrays may share one part of the pickle.
        raise FormatError("npz too large", f"it has more than {_MAX_POINTS:,} points")
    return splits


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return {split: member} after checking their decompressed sizes."""
    infos = archive.infolist()
    if not infos or len(infos) > _MAX_MEMBERS or not all(info.filename.endswith(".npy") for info in infos):
        raise FormatError("not a sketch-rnn file", f"an archive of {len(infos):,} files, not of train.npy and so on")
    if any(info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for info in infos):
        raise FormatError("not a sketch-rnn file", "it is compressed in another way than numpy compresses")
    size = sum(info.file_size for info in infos)
    if size > MAX_BYTES:
        raise FormatError("npz too large", f"unpacked it has {size:,} bytes, more than {MAX_BYTES:,}")
    found = {info.filename.removesuffix(".npy"): info for info in infos}
    return {name: found[name] for name in dict.fromkeys([*(split for split in SPLITS if split in found), *found])}


def _read_split(data: bytes, name: str) -> list[NumericArray]:
    array_type, by_columns, shape, start = _read_header(data)
    if array_type == "O":
        arrays = load_pickle(data, start)
        if shape != (len(arrays),):
            raise FormatError("damaged npz", f"{name} has {len(arrays):,} drawings and should have shape {shape}")
    else:
        dtype: np.dtype[Any] = np.dtype(array_type)
        if math.prod(shape) * dtype.itemsize != len(data) - start:
            raise FormatError("damaged npz", f"an array of shape {shape} with {len(data) - start:,} bytes")
        numbers: NumericArray = np.ndarray(shape, dtype, data, start, order="F" if by_columns else "C")
        if numbers.size and numbers.ndim not in (2, 3):
            raise FormatError("not a sketch-rnn file", f"an array of shape {shape}; expected (N, n, 3) or (n, 3)")
        arrays = [numbers] if numbers.size and numbers.ndim == 2 else list(numbers) if numbers.size else []
    # Stroke-5 becomes stroke-3; other arrays are rejected one by one by the reader of stroke-3.
    if not arrays or not all(array.ndim == 2 and array.shape[1] == 5 for array in arrays):
        return arrays
    with_start = all(map(has_start, arrays))
    return [from_stroke5(array, start=with_start) for array in arrays]


def _read_header(data: bytes) -> tuple[str, bool, tuple[int, ...], int]:
    """Return the type, whether the order is column-major, the shape, and the start of the data."""
    version = data[6:7]
    start = {b"\x01": 10, b"\x02": 12, b"\x03": 12}.get(version, 0)
    if not data.startswith(_MAGIC) or not start or len(data) < start:
        raise FormatError("not a sketch-rnn file", "a member is not a .npy file")
    (length,) = struct.unpack_from("<H" if start == 10 else "<I", data, 8)
    header = _HEADER.fullmatch(data[start : start + min(length, 10_000)])
    if header is None:
        raise FormatError("not a sketch-rnn file", "a member's header is not that of an array of numbers or arrays")
    shape = tuple(int(text.rstrip(b"L")) for text in re.findall(rb"\d+L?", header[3]))
    return header[1].decode("ascii"), header[2] == b"True", shape, start + length


def share_out(arrays: Sequence[Stroke3]) -> dict[str, Sequence[Stroke3]]:
    """Split drawings, in their order, into train, valid and test in the ratio 28 : 1 : 1 of the official files.

    With three or more drawings, no split is empty.
    """
    count = len(arrays)
    valid, test = (max(1, count // share) if count >= 3 else 0 for share in (_VALID_SHARE, _TEST_SHARE))
    train = count - valid - test
    return {"train": arrays[:train], "valid": arrays[train : train + valid], "test": arrays[train + valid :]}


def dump(splits: Mapping[str, Sequence[Stroke3]], file: BinaryIO) -> None:
    """Write a file that sketch-rnn's loader reads, with any numpy; equal arrays give equal bytes.

    Args:
        splits: {split: (n, 3) int16 arrays}.
        file: Open for writing; it need not be seekable.
    """
    with zipfile.ZipFile(file, "w") as archive:
        for name, arrays in splits.items():
            info = zipfile.ZipInfo(f"{name}.npy", _FIRST_TIME)
            info.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(info, "w", force_zip64=True) as member:
                text = f"{{'descr': '|O', 'fortran_order': False, 'shape': ({len(arrays)},), }}".encode("ascii")
                text = text.ljust(-(len(text) + 11) % 64 + len(text)) + b"\n"
                member.write(_MAGIC + b"\x01\x00" + struct.pack("<H", len(text)) + text)
                for piece in dump_pickle(arrays, len(arrays)):
                    member.write(piece)


# ---- numeric arrays in Python's pickle format ------------------------------------------------------------------------

_NUMERIC = re.compile(r"[iu][1248]|f[248]")
_OBJECT = re.compile(r"O[48]?")
_MAX_AXES = 3
_DAMAGED = "damaged pickle"
_NOT_ARRAYS = "not an array of arrays"


class _Name(Enum):
    """The four names, as values of the interpreter, which cannot be called."""

    RECONSTRUCT = "numpy.core.multiarray _reconstruct"
    NDARRAY = "numpy ndarray"
    DTYPE = "numpy dtype"
    #: The form in which Python 3 writes bytes for Python 2.
    ENCODE = "_codecs encode"


_KNOWN = {name.value: name for name in _Name} | {"numpy._core.multiarray _reconstruct": _Name.RECONSTRUCT}


@dataclass
class _Type:
    """A number's type; `code` is like `i2`, `order` is `<`, `>` or `|`."""

    code: str
    order: str = "|"


@dataclass
class _Array:
    """An array under construction; `content` is its data, or a list of arrays."""

    content: NumericArray | list[Any] | None = None


def load_pickle(data: bytes, start: int = 0) -> list[NumericArray]:
    """Read a pickled one-dimensional array of numeric arrays, such as a split of a sketch-rnn file.

    Args:
        data: The pickle, after `start` other bytes.
        start: Its offset in `data`.

    Returns:
        The arrays, read-only views of `data`.

    Raises:
        FormatError: The pickle is damaged, or has anything but numeric arrays; nothing in it is executed.
    """
    try:
        value = _Machine(data, start).run()
    except (IndexError, KeyError, TypeError, ValueError, struct.error) as error:
        raise FormatError(_DAMAGED, str(error) or type(error).__name__) from error
    content = value.content if isinstance(value, _Array) else None
    if not isinstance(content, list):
        raise FormatError(_NOT_ARRAYS, "the pickle holds something else")
    arrays = [item.content for item in content if isinstance(item, _Array) and isinstance(item.content, np.ndarray)]
    if len(arrays) != len(content):
        raise FormatError(_NOT_ARRAYS, "some of its items are not numeric arrays")
    return arrays


class _Machine:
    def __init__(self, data: bytes, start: int) -> None:
        self.data, self.at = data, start
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> object:
        data, instructions, stop = self.data, _INSTRUCTIONS, pickle.STOP[0]
        while (code := data[self.at]) != stop:
            instruction = instructions.get(code)
            if instruction is None:
                raise FormatError(_NOT_ARRAYS, f"the pickle has an instruction {bytes([code])!r}")
            self.at += 1
            instruction(self)
        (value,) = self.stack
        return value

    def take(self, count: int) -> bytes:
        piece = self.data[self.at : self.at + count]
        if len(piece) != count:
            raise FormatError(_DAMAGED, "it ends too early")
        self.at += count
        return piece

    def number(self, layout: struct.Struct) -> int:
        (value,) = layout.unpack_from(self.data, self.at)
        self.at += layout.size
        return int(value)

    def line(self) -> str:
        end = self.data.index(b"\n", self.at)
        text = self.data[self.at : end].decode("ascii", "replace")
        self.at = end + 1
        return text

    def pop_to_mark(self) -> list[Any]:
        mark = self.marks.pop()
        items = self.stack[mark:]
        del self.stack[mark:]
        return items


_U1, _U2, _U4, _U8, _I4 = (struct.Struct(layout) for layout in ("<B", "<H", "<I", "<Q", "<i"))


def _put(machine: _Machine, index: int) -> None:
    machine.memo[index] = machine.stack[-1]


def _tuple(machine: _Machine, count: int) -> None:
    items = tuple(machine.stack[len(machine.stack) - count :]) if count else ()
    if len(items) != count:
        raise FormatError(_DAMAGED, "a tuple of more items than there are")
    del machine.stack[len(machine.stack) - count :]
    machine.stack.append(items)


def _append(machine: _Machine, items: list[Any]) -> None:
    target = machine.stack[-1]
    if not isinstance(target, list):
        raise FormatError(_NOT_ARRAYS, "the pickle appends to something that is not a list")
    target.extend(items)


def _find(machine: _Machine, module: str, name: str) -> None:
    known = _KNOWN.get(f"{module} {name}")
    if known is None:
        raise FormatError(_NOT_ARRAYS, f"the pickle asks for {module}.{name}; nothing of it was run")
    machine.stack.append(known)


def _reduce(machine: _Machine) -> None:
    arguments, function = machine.stack.pop(), machine.stack.pop()
    made: object = None
    if function is _Name.RECONSTRUCT and arguments[0] is _Name.NDARRAY and arguments[1] == (0,):
        made = _Array()
    elif function is _Name.DTYPE:
        made = _Type(_text(arguments[0]))
    elif function is _Name.ENCODE and arguments[1] == "latin1":
        made = arguments[0].encode("latin1") if isinstance(arguments[0], str) else None
    if made is None:
        raise FormatError(_NOT_ARRAYS, "the pickle calls something in an unknown way; nothing was run")
    machine.stack.append(made)


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("ascii")
    if not isinstance(value, str):
        raise FormatError(_DAMAGED, "a name that is not text")
    return value


def _build(machine: _Machine) -> None:
    state, target = machine.stack.pop(), machine.stack[-1]
    if isinstance(target, _Type) and state[2:5] == (None, None, None):
        target.order = _text(state[1])
    elif isinstance(target, _Array) and isinstance(state, tuple) and len(state) == 5:
        target.content = _content(*state[1:])
    else:
        raise FormatError(_NOT_ARRAYS, "the pickle fills in something unknown")


def _content(shape: object, kind: object, by_columns: object, content: object) -> NumericArray | list[Any]:
    if not (isinstance(shape, tuple) and len(shape) <= _MAX_AXES and isinstance(kind, _Type)):
        raise FormatError(_DAMAGED, "an array without a shape or a type")
    if not all(type(length) is int and length >= 0 for length in shape):
        raise FormatError(_DAMAGED, "an array whose shape is not numbers")
    if _OBJECT.fullmatch(kind.code) and isinstance(content, list) and shape == (len(content),):
        return content
    if not (_NUMERIC.fullmatch(kind.code) and kind.order in ("<", ">", "|", "=") and isinstance(content, bytes)):
        raise FormatError("not a numeric array", f"its type is {kind.code[:20]!r}, its shape {shape}")
    dtype = np.dtype(kind.order + kind.code)
    if math.prod(shape) * dtype.itemsize != len(content):
        raise FormatError(_DAMAGED, f"an array of shape {shape} with {len(content):,} bytes")
    return np.ndarray(shape, dtype, content, order="F" if by_columns else "C")


_INSTRUCTIONS: dict[int, Callable[[_Machine], object]] = {
    pickle.PROTO[0]: lambda m: m.take(1),
    pickle.FRAME[0]: lambda m: m.take(8),
    pickle.NONE[0]: lambda m: m.stack.append(None),
    pickle.NEWTRUE[0]: lambda m: m.stack.append(True),
    pickle.NEWFALSE[0]: lambda m: m.stack.append(False),
    pickle.BININT[0]: lambda m: m.stack.append(m.number(_I4)),
    pickle.BININT1[0]: lambda m: m.stack.append(m.number(_U1)),
    pickle.BININT2[0]: lambda m: m.stack.append(m.number(_U2)),
    pickle.SHORT_BINBYTES[0]: lambda m: m.stack.append(m.take(m.number(_U1))),
    pickle.BINBYTES[0]: lambda m: m.stack.append(m.take(m.number(_U4))),
    pickle.BINBYTES8[0]: lambda m: m.stack.append(m.take(m.number(_U8))),
    # A str of Python 2, which is bytes.
    pickle.SHORT_BINSTRING[0]: lambda m: m.stack.append(m.take(m.number(_U1))),
    pickle.BINSTRING[0]: lambda m: m.stack.append(m.take(m.number(_U4))),
    pickle.SHORT_BINUNICODE[0]: lambda m: m.stack.append(m.take(m.number(_U1)).decode("utf-8")),
    pickle.BINUNICODE[0]: lambda m: m.stack.append(m.take(m.number(_U4)).decode("utf-8")),
    pickle.LONG1[0]: lambda m: m.stack.append(int.from_bytes(m.take(m.number(_U1)), "little", signed=True)),
    pickle.POP[0]: lambda m: m.stack.pop(),
    pickle.MARK[0]: lambda m: m.marks.append(len(m.stack)),
    pickle.EMPTY_TUPLE[0]: lambda m: m.stack.append(()),
    pickle.TUPLE1[0]: lambda m: _tuple(m, 1),
    pickle.TUPLE2[0]: lambda m: _tuple(m, 2),
    pickle.TUPLE3[0]: lambda m: _tuple(m, 3),
    pickle.TUPLE[0]: lambda m: m.stack.append(tuple(m.pop_to_mark())),
    pickle.EMPTY_LIST[0]: lambda m: m.stack.append([]),
    pickle.APPEND[0]: lambda m: _append(m, [m.stack.pop()]),
    pickle.APPENDS[0]: lambda m: _append(m, m.pop_to_mark()),
    pickle.BINPUT[0]: lambda m: _put(m, m.number(_U1)),
    pickle.LONG_BINPUT[0]: lambda m: _put(m, m.number(_U4)),
    pickle.MEMOIZE[0]: lambda m: _put(m, len(m.memo)),
    pickle.BINGET[0]: lambda m: m.stack.append(m.memo[m.number(_U1)]),
    pickle.LONG_BINGET[0]: lambda m: m.stack.append(m.memo[m.number(_U4)]),
    pickle.GLOBAL[0]: lambda m: _find(m, m.line(), m.line()),
    # The name is on the stack above its module.
    pickle.STACK_GLOBAL[0]: lambda m: _find(m, str(m.stack.pop(-2)), str(m.stack.pop())),
    pickle.REDUCE[0]: _reduce,
    pickle.BUILD[0]: _build,
}


# Protocol 3 and numpy's old module name, which every numpy on Python 3 reads; numpy 2 writes names that numpy before
# 1.26 does not have. `q` stores a value in the memo, `h` reads it.
_HEAD = (
    b"\x80\x03cnumpy.core.multiarray\n_reconstruct\nq\x00cnumpy\nndarray\nq\x01"
    b"K\x00\x85q\x02C\x01bq\x03\x87Rcnumpy\ndtype\nq\x04X\x02\x00\x00\x00O8K\x00K\x01\x87R"
    b"(K\x03X\x01\x00\x00\x00|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x3ftbq\x05"
    b"h\x04X\x02\x00\x00\x00i2K\x00K\x01\x87R(K\x03X\x01\x00\x00\x00<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tbq\x06"
    # The two types are only created to be stored in the memo.
    b"00"
)
_EMPTY_ARRAY = b"h\x00h\x01h\x02h\x03\x87R"


def dump_pickle(arrays: Iterable[npt.NDArray[np.int16]], count: int) -> Iterator[bytes]:
    """Yield a one-dimensional array of `count` (n, 3) int16 arrays as a pickle, piece by piece.

    Any numpy on Python 3 reads it; equal arrays give equal bytes.
    """
    yield _HEAD + b"(K\x01J" + _I4.pack(count) + b"\x85h\x05\x89]("
    for array in arrays:
        content = array.astype("<i2", copy=False).tobytes()
        shape = b"J" + _I4.pack(array.shape[0]) + b"K" + _U1.pack(array.shape[1]) + b"\x86"
        yield b"".join((_EMPTY_ARRAY, b"(K\x01", shape, b"h\x06\x89B", _U4.pack(len(content)), content, b"tb"))
    yield b"etb."
