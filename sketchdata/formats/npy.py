"""The official bitmaps: `.npy` of (N, 784) uint8, one row per drawing of 28×28 pixels, ink 255 on background 0.

Row i is line i of the ndjson file. Source: the README of github.com/googlecreativelab/quickdraw-dataset ("Numpy
bitmaps"); the header equals that of the official files, 80 bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from sketchdata.drawings.drawing import DrawingBatch
from sketchdata.errors import FormatError

SIDE = 28
Raster = Callable[[DrawingBatch], npt.NDArray[np.uint8]]

_MAGIC = b"\x93NUMPY\x01\x00"
_HEADER_BYTES = 80
#: The official canvas in units of the drawings: square, line width, side of the canvas, and margin around the square.
_SQUARE, _LINE_WIDTH, _CANVAS, _MARGIN = 256, 16, 304, 24
_FINE = 16
_AT_ONCE = 128


def fast_raster(batch: DrawingBatch) -> npt.NDArray[np.uint8]:
    """Draw 28×28 bitmaps in the layout of the official ones, with OpenCV at 16 times the size, averaged down.

    They approximate the official ones, which are drawn by cairo: the mean difference is 2 to 3 of 255.

    Returns:
        (N, 28, 28) uint8.

    Raises:
        FormatError: A raw coordinate is not a finite number.
    """
    # Imported here, because it is slow to import.
    import cv2

    from sketchdata.drawings.raster import fit, paint, to_pixels

    bitmaps = np.zeros((len(batch), SIDE, SIDE), np.uint8)
    for start in range(0, len(batch), _AT_ONCE):
        part = batch.slice(start, min(start + _AT_ONCE, len(batch)))
        points = fit(part)
        pixels = to_pixels(points + _margins(part, points), scale=_FINE * SIDE / _CANVAS, shift=-0.5)
        fine = np.empty((len(part), _FINE * SIDE, _FINE * SIDE), np.uint8)
        paint(part, pixels, fine, line_width=round(_FINE * SIDE * _LINE_WIDTH / _CANVAS))
        for row, bitmap in enumerate(fine, start):
            cv2.resize(bitmap, (SIDE, SIDE), dst=bitmaps[row], interpolation=cv2.INTER_AREA)
    return bitmaps


def _margins(batch: DrawingBatch, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return each point's offset that centres its drawing on the canvas, (P, 2)."""
    bounds = batch.points[batch.strokes]
    inked = np.diff(bounds) > 0
    if not inked.any():
        return np.zeros_like(points)
    largest = np.maximum.reduceat(points, bounds[:-1][inked])
    return np.repeat(_MARGIN + (_SQUARE - largest) / 2, np.diff(bounds)[inked], axis=0)


def dump(batches: Iterable[DrawingBatch], file: BinaryIO, *, raster: Raster = fast_raster) -> int:
    """Write bitmaps, batch by batch, and return their number.

    Args:
        batches: Drawings, simplified or raw.
        file: Open for writing, at its start, and seekable: the number of rows is in the header.
        raster: Draws a batch as (N, 28, 28) uint8.

    Raises:
        FormatError: The bitmaps have another shape.
    """
    file.write(bytes(_HEADER_BYTES))
    rows = 0
    for batch in batches:
        bitmaps = raster(batch)
        if bitmaps.shape != (len(batch), SIDE, SIDE) or bitmaps.dtype != np.uint8:
            raise FormatError("not 28×28 bitmaps", f"the raster made {bitmaps.dtype} of shape {bitmaps.shape}")
        file.write(np.ascontiguousarray(bitmaps).data)
        rows += len(batch)
    file.seek(0)
    file.write(header(rows))
    return rows


def header(rows: int) -> bytes:
    """Return the header of an official bitmap file."""
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({rows}, {SIDE * SIDE}), }}".encode("ascii")
    room = _HEADER_BYTES - len(_MAGIC) - 2
    if len(text) >= room:
        raise FormatError("too many bitmaps", f"{rows:,} rows do not fit into the official header")
    return _MAGIC + room.to_bytes(2, "little") + text.ljust(room - 1) + b"\n"
