"""Numeric arrays in Python's pickle format, read by a small machine of our own that can build nothing else.

numpy stores an array of arrays as a pickle, and unpickling runs whatever the file says. This machine knows the
instructions that numeric arrays are made of, holds plain data only, and calls nothing: it recognises the four names
that numpy's pickles use and checks what is done with them. Source: `pickletools` in Python's library, for what the
instructions mean, and `ndarray.__reduce__`, for what numpy writes (protocols 2 to 4, Python 2 and 3, numpy 1 and 2).
"""

from __future__ import annotations

import math
import pickle
import re
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

from sketchdata.errors import FormatError

NumericArray = npt.NDArray[np.number[Any]]

_NUMERIC = re.compile(r"[iu][1248]|f[248]")
_OBJECT = re.compile(r"O[48]?")
_MAX_AXES = 3
_DAMAGED = "damaged pickle"


class _Name(Enum):
    """The four names, as values of the machine: they stand for nothing that could be called."""

    RECONSTRUCT = "numpy.core.multiarray _reconstruct"
    NDARRAY = "numpy ndarray"
    DTYPE = "numpy dtype"
    #: How Python 3 writes bytes for Python 2.
    ENCODE = "_codecs encode"


_KNOWN = {name.value: name for name in _Name} | {"numpy._core.multiarray _reconstruct": _Name.RECONSTRUCT}


@dataclass
class _Type:
    """A number's type; `code` is like `i2`, `order` is `<`, `>` or `|`."""

    code: str
    order: str = "|"


@dataclass
class _Array:
    """An array being made; `content` is the numbers, or a list of arrays."""

    content: NumericArray | list[Any] | None = None


def loads(data: bytes, start: int = 0) -> list[NumericArray]:
    """Read a pickled one-dimensional array of numeric arrays, such as a split of a sketch-rnn file.

    Args:
        data: The pickle, with `start` bytes before it.
        start: Where it begins.

    Returns:
        The arrays, read-only views of `data`.

    Raises:
        FormatError: It is damaged, or it asks for anything but numeric arrays, in which case nothing of it was done.
    """
    try:
        value = _Machine(data, start).run()
    except (IndexError, KeyError, TypeError, ValueError, struct.error) as error:
        raise FormatError(_DAMAGED, str(error) or type(error).__name__) from error
    content = value.content if isinstance(value, _Array) else None
    if not isinstance(content, list):
        raise FormatError("not an array of arrays", "the pickle holds something else")
    arrays = [item.content for item in content if isinstance(item, _Array) and isinstance(item.content, np.ndarray)]
    if len(arrays) != len(content):
        raise FormatError("not an array of arrays", "some of its items are no numeric arrays")
    return arrays


class _Machine:
    """The pickle machine, with the instructions of _INSTRUCTIONS and no others."""

    def __init__(self, data: bytes, start: int) -> None:
        self.data, self.at = data, start
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> object:
        """Follow the instructions up to STOP, and return what they made."""
        data, instructions, stop = self.data, _INSTRUCTIONS, pickle.STOP[0]
        while (code := data[self.at]) != stop:
            instruction = instructions.get(code)
            if instruction is None:
                raise FormatError("not an array of arrays", f"the pickle has an instruction {bytes([code])!r}")
            self.at += 1
            instruction(self)
        (value,) = self.stack
        return value

    def take(self, count: int) -> bytes:
        """Return the next bytes."""
        piece = self.data[self.at : self.at + count]
        if len(piece) != count:
            raise FormatError(_DAMAGED, "it ends too early")
        self.at += count
        return piece

    def number(self, layout: struct.Struct) -> int:
        """Return the next number."""
        (value,) = layout.unpack_from(self.data, self.at)
        self.at += layout.size
        return int(value)

    def line(self) -> str:
        """Return the text up to the next line end."""
        end = self.data.index(b"\n", self.at)
        text = self.data[self.at : end].decode("ascii", "replace")
        self.at = end + 1
        return text

    def pop_to_mark(self) -> list[Any]:
        """Return what was put on the stack since the last mark."""
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
        raise FormatError("not an array of arrays", "the pickle adds to what is no list")
    target.extend(items)


def _find(machine: _Machine, module: str, name: str) -> None:
    known = _KNOWN.get(f"{module} {name}")
    if known is None:
        raise FormatError("not an array of arrays", f"the pickle asks for {module}.{name}; nothing of it was run")
    machine.stack.append(known)


def _find_on_stack(machine: _Machine) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    _find(machine, str(module), str(name))


def _reduce(machine: _Machine) -> None:
    """Recognise a call for what it would make."""
    arguments, function = machine.stack.pop(), machine.stack.pop()
    made: object = None
    if function is _Name.RECONSTRUCT and arguments[0] is _Name.NDARRAY and arguments[1] == (0,):
        made = _Array()
    elif function is _Name.DTYPE:
        made = _Type(_text(arguments[0]))
    elif function is _Name.ENCODE and arguments[1] == "latin1":
        made = arguments[0].encode("latin1") if isinstance(arguments[0], str) else None
    if made is None:
        raise FormatError("not an array of arrays", "the pickle calls something in an unknown way; nothing was run")
    machine.stack.append(made)


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("ascii")
    if not isinstance(value, str):
        raise FormatError(_DAMAGED, "a name that is no text")
    return value


def _build(machine: _Machine) -> None:
    """Fill in a type's byte order, or an array's content."""
    state, target = machine.stack.pop(), machine.stack[-1]
    if isinstance(target, _Type) and state[2:5] == (None, None, None):
        target.order = _text(state[1])
    elif isinstance(target, _Array) and isinstance(state, tuple) and len(state) == 5:
        target.content = _content(*state[1:])
    else:
        raise FormatError("not an array of arrays", "the pickle fills in something unknown")


def _content(shape: object, kind: object, by_columns: object, content: object) -> NumericArray | list[Any]:
    if not (isinstance(shape, tuple) and len(shape) <= _MAX_AXES and isinstance(kind, _Type)):
        raise FormatError(_DAMAGED, "an array without a shape or a type")
    if not all(type(length) is int and length >= 0 for length in shape):
        raise FormatError(_DAMAGED, "an array whose shape is no numbers")
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
    # Python 2's text, which is bytes to everybody else.
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
    pickle.STACK_GLOBAL[0]: _find_on_stack,
    pickle.REDUCE[0]: _reduce,
    pickle.BUILD[0]: _build,
}


# ---- writing ---------------------------------------------------------------------------------------------------------

# Protocol 3 and numpy's old module name: what every numpy on Python 3 reads, the one beside an old TensorFlow as well.
# numpy 2 itself would write names that numpy before 1.26 does not have. `q` keeps a value under a number, `h` gets it.
_HEAD = (
    b"\x80\x03cnumpy.core.multiarray\n_reconstruct\nq\x00cnumpy\nndarray\nq\x01"
    b"K\x00\x85q\x02C\x01bq\x03\x87Rcnumpy\ndtype\nq\x04X\x02\x00\x00\x00O8K\x00K\x01\x87R"
    b"(K\x03X\x01\x00\x00\x00|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x3ftbq\x05"
    b"h\x04X\x02\x00\x00\x00i2K\x00K\x01\x87R(K\x03X\x01\x00\x00\x00<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tbq\x06"
    # The two types were made only to be kept under a number.
    b"00"
)
_EMPTY_ARRAY = b"h\x00h\x01h\x02h\x03\x87R"


def dumps(arrays: Iterable[npt.NDArray[np.int16]], count: int) -> Iterator[bytes]:
    """Write a one-dimensional array of `count` (n, 3) int16 arrays as a pickle, piece by piece.

    Any numpy on Python 3 reads it; the same arrays give the same bytes.
    """
    yield _HEAD + b"(K\x01J" + _I4.pack(count) + b"\x85h\x05\x89]("
    for array in arrays:
        content = array.astype("<i2", copy=False).tobytes()
        shape = b"J" + _I4.pack(array.shape[0]) + b"K" + _U1.pack(array.shape[1]) + b"\x86"
        yield b"".join((_EMPTY_ARRAY, b"(K\x01", shape, b"h\x06\x89B", _U4.pack(len(content)), content, b"tb"))
    yield b"etb."
