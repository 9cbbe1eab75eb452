"""Edge maps that other programs made: pictures in which white is an edge, or arrays."""

from __future__ import annotations

import io

import cv2
import numpy as np
import numpy.typing as npt

from sketchdata.errors import FormatError
from sketchdata.photos import decode

_NPY_MAGIC = b"\x93NUMPY"


def read_map(data: bytes) -> npt.NDArray[np.uint8]:
    """Return edge strength, (H, W) uint8, from a picture's bytes or those of a .npy file, of uint8 or of 0 to 1.

    Raises:
        FormatError: `not an edge map`, or what `decode` raises of pictures.
    """
    if data.startswith(_NPY_MAGIC):
        return _array(data)
    return np.asarray(cv2.cvtColor(decode(data), cv2.COLOR_RGB2GRAY), np.uint8)


def _array(data: bytes) -> npt.NDArray[np.uint8]:
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
