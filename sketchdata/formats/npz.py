"""sketch-rnn's .npz: stroke-3 arrays in three splits, train, valid and test.

Each split is a one-dimensional array of (n, 3) int16 arrays, which numpy stores as a pickle; nothing is unpickled here,
see `formats.pickled_arrays`. Source: the README of github.com/googlecreativelab/quickdraw-dataset ("sketch-rnn
QuickDraw Dataset") and `models/sketch_rnn/sketch_rnn_train.py` of github.com/magenta/magenta, whose loader is
`np.load(file, allow_pickle=True, encoding='latin1')`.
"""

from __future__ import annotations

import math
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np

from sketchdata.errors import FormatError
from sketchdata.formats import pickled_arrays
from sketchdata.formats.pickled_arrays import NumericArray
from sketchdata.formats.strokes import Stroke3, from_stroke5, has_start

SPLITS = ("train", "valid", "test")
#: A file's content may be so large, unpacked; the largest official one is about a quarter of it.
MAX_BYTES = 1 << 29

_MAX_MEMBERS = 1000
_MAX_POINTS = MAX_BYTES // 6
#: The official splits are 70,000, 2,500 and 2,500.
_VALID_SHARE = _TEST_SHARE = 30
#: The only form in which numpy writes the header of a .npy file.
_HEADER = re.compile(
    rb"\{'descr': '[|]?([<>=]?(?:O|[iu][1248]|f[248]))', 'fortran_order': (True|False), "
    rb"'shape': \(((?:\d{1,12}L?,? ?){0,4})\),? ?\} *\n"
)
_MAGIC = b"\x93NUMPY"
# Without a time of writing, the same drawings give the same bytes.
_FIRST_TIME = (1980, 1, 1, 0, 0, 0)


def load(content: bytes) -> dict[str, list[NumericArray]]:
    """Read a sketch-rnn file.

    Accepted are, for each name in the archive: an array of (n, 3) arrays, as in the official files; numeric (N, n, 3)
    and (n, 3) arrays, the latter as one drawing; and the same with stroke-5, with or without start tokens.

    Args:
        content: The whole file.

    Returns:
        {split: (n, 3) arrays}, train, valid and test first, and other names in the archive's order.

    Raises:
        FormatError: It is no such file, is damaged, or holds anything but numeric arrays.
    """
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            members = _members(archive)
            splits = {name: _read_split(archive.read(info), name) for name, info in members.items()}
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError, struct.error) as error:
        raise FormatError("damaged npz", f"{error}; it should be a zip archive of .npy files") from error
    if sum(len(array) for arrays in splits.values() for array in arrays) > _MAX_POINTS:
        # Many arrays may share one piece of the pickle.
        raise FormatError("npz too large", f"it has more than {_MAX_POINTS:,} points")
    return splits


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return {split: member} once it is known that all of them are small enough to be unpacked.

    Raises:
        FormatError: There are none or too many, or they are compressed in a way that numpy does not write.
    """
    infos = archive.infolist()
    if not infos or len(infos) > _MAX_MEMBERS or not all(info.filename.endswith(".npy") for info in infos):
        raise FormatError("not a sketch-rnn file", f"an archive of {len(infos):,} files, not of train.npy and so on")
    if any(info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for info in infos):
        raise FormatError("not a sketch-rnn file", "it is compressed in another way than numpy compresses")
    size = sum(info.file_size for info in infos)
    if size > MAX_BYTES:
        raise FormatError("npz too large", f"unpacked it has {size:,} bytes, and {MAX_BYTES:,} are read at most")
    found = {info.filename.removesuffix(".npy"): info for info in infos}
    return {name: found[name] for name in dict.fromkeys([*(split for split in SPLITS if split in found), *found])}


def _read_split(data: bytes, name: str) -> list[NumericArray]:
    array_type, by_columns, shape, start = _read_header(data)
    if array_type == "O":
        arrays = pickled_arrays.loads(data, start)
        if shape != (len(arrays),):
            raise FormatError("damaged npz", f"{name} has {len(arrays):,} drawings and should have shape {shape}")
    else:
        arrays = _split_numbers(_numbers(data, array_type, by_columns, shape, start))
    return _as_stroke3(arrays)


def _read_header(data: bytes) -> tuple[str, bool, tuple[int, ...], int]:
    """Return the type, whether it lies column by column, the shape, and where the data begin."""
    version = data[6:7]
    start = {b"\x01": 10, b"\x02": 12, b"\x03": 12}.get(version, 0)
    if not data.startswith(_MAGIC) or not start or len(data) < start:
        raise FormatError("not a sketch-rnn file", "a member is no .npy file")
    (length,) = struct.unpack_from("<H" if start == 10 else "<I", data, 8)
    header = _HEADER.fullmatch(data[start : start + min(length, 10_000)])
    if header is None:
        raise FormatError("not a sketch-rnn file", "a member's header is not that of an array of numbers or arrays")
    shape = tuple(int(text.rstrip(b"L")) for text in re.findall(rb"\d+L?", header[3]))
    return header[1].decode("ascii"), header[2] == b"True", shape, start + length


def _numbers(data: bytes, array_type: str, by_columns: bool, shape: tuple[int, ...], start: int) -> NumericArray:
    dtype: np.dtype[Any] = np.dtype(array_type)
    if math.prod(shape) * dtype.itemsize != len(data) - start:
        raise FormatError("damaged npz", f"an array of shape {shape} with {len(data) - start:,} bytes")
    return np.ndarray(shape, dtype, data, start, order="F" if by_columns else "C")


def _split_numbers(numbers: NumericArray) -> list[NumericArray]:
    if numbers.size == 0:
        return []
    if numbers.ndim == 2:
        return [numbers]
    if numbers.ndim != 3:
        raise FormatError("not a sketch-rnn file", f"an array of shape {numbers.shape}; expected (N, n, 3) or (n, 3)")
    return list(numbers)


def _as_stroke3(arrays: list[NumericArray]) -> list[NumericArray]:
    """Turn stroke-5 into stroke-3; what is neither is left for the reader of stroke-3 to refuse, one by one."""
    if not arrays or not all(array.ndim == 2 and array.shape[1] == 5 for array in arrays):
        return arrays
    start = all(map(has_start, arrays))
    return [from_stroke5(array, start=start) for array in arrays]


def share_out(arrays: Sequence[Stroke3]) -> dict[str, Sequence[Stroke3]]:
    """Split drawings, in their order, into train, valid and test as 28 to 1 to 1, like the official files.

    From three drawings on, no split is empty.
    """
    count = len(arrays)
    valid, test = (max(1, count // share) if count >= 3 else 0 for share in (_VALID_SHARE, _TEST_SHARE))
    train = count - valid - test
    return {"train": arrays[:train], "valid": arrays[train : train + valid], "test": arrays[train + valid :]}


def dump(splits: Mapping[str, Sequence[Stroke3]], file: BinaryIO) -> None:
    """Write a sketch-rnn file that sketch-rnn's own loader reads, with any numpy; the same arrays give the same bytes.

    Args:
        splits: {split: (n, 3) int16 arrays}.
        file: Open for writing; it need not be seekable.
    """
    with zipfile.ZipFile(file, "w") as archive:
        for name, arrays in splits.items():
            info = zipfile.ZipInfo(f"{name}.npy", _FIRST_TIME)
            info.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(info, "w", force_zip64=True) as member:
                member.write(_header(len(arrays)))
                for piece in pickled_arrays.dumps(arrays, len(arrays)):
                    member.write(piece)


def _header(count: int) -> bytes:
    text = f"{{'descr': '|O', 'fortran_order': False, 'shape': ({count},), }}".encode("ascii")
    text = text.ljust(-(len(text) + 11) % 64 + len(text)) + b"\n"
    return _MAGIC + b"\x01\x00" + struct.pack("<H", len(text)) + text
