"""Pictures of items, small enough to send many of them: {kind, data}, for the renderer of that kind in the page."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sketchdata.curation.audit import Audit
from sketchdata.drawings.drawing import DrawingBatch
from sketchdata.drawings.raster import fit
from sketchdata.storage.parquet import RowGroups, from_table
from sketchdata.web.items import shard_paths

#: {"kind": a renderer of `pictures.js`, "data": what it takes}
Picture = Mapping[str, Any]


class Pictures(Protocol):
    """Where the pages get their items' pictures from."""

    def read(self, rows: Sequence[int]) -> list[Picture]:
        """Return the pictures of some items, by their `row`, in the order asked for."""

    def read_all(self, rows: Sequence[int]) -> list[Picture]:
        """Return the pictures of very many items, as small as they can be, for a file that holds them all."""


def encode_strokes(batch: DrawingBatch) -> list[bytes]:
    """Write each drawing as bytes: of every stroke the number of points (LEB128), all x, then all y, a byte each.

    Raw drawings are fitted into the 0..255 square and rounded, and points that stay where they are left out; simplified
    ones lose nothing.

    Raises:
        FormatError: A raw coordinate is not a finite number.
    """
    xy = np.rint(fit(batch)).astype(np.uint8) if batch.is_raw else np.stack([batch.x, batch.y], axis=1)
    strokes = [_encode_stroke(xy[a:b], thin=batch.is_raw) for a, b in itertools.pairwise(batch.points.tolist())]
    return [b"".join(strokes[a:b]) for a, b in itertools.pairwise(batch.strokes.tolist())]


def _encode_stroke(xy: npt.NDArray[np.uint8], *, thin: bool) -> bytes:
    if thin:
        xy = xy[np.concatenate([[True], (np.diff(xy.astype(np.int16), axis=0) != 0).any(axis=1)])]
    return _leb128(len(xy)) + xy.T.tobytes()


def decode_strokes(data: bytes) -> list[npt.NDArray[np.uint8]]:
    """Read what `encode_strokes` wrote: one (n, 2) uint8 array a stroke."""
    strokes: list[npt.NDArray[np.uint8]] = []
    at = 0
    while at < len(data):
        points = shift = 0
        while True:
            byte, at = data[at], at + 1
            points += (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        strokes.append(np.frombuffer(data, np.uint8, 2 * points, at).reshape(2, points).T)
        at += 2 * points
    return strokes


def _leb128(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def stroke_pictures(batch: DrawingBatch) -> list[Picture]:
    """Return a batch's drawings as pictures."""
    return [{"kind": "strokes", "data": base64.b64encode(data).decode("ascii")} for data in encode_strokes(batch)]


class DrawingPictures:
    """Pictures of a data set's drawings, read by their row from the Parquet shards when they are asked for.

    Args:
        audit: The data set and the order of its rows.

    Raises:
        SketchDataError: A shard cannot be read.
    """

    def __init__(self, audit: Audit) -> None:
        self.rows = RowGroups(shard_paths(audit))

    def read(self, rows: Sequence[int]) -> list[Picture]:
        """Return the pictures of some rows of the audit, in the order asked for.

        Raises:
            SketchDataError: A shard cannot be read.
        """
        return self._read(rows, keep=True)

    def read_all(self, rows: Sequence[int]) -> list[Picture]:
        """Return the pictures of very many rows, in the order asked for.

        Raises:
            SketchDataError: A shard cannot be read.
        """
        return self._read(rows, keep=False)

    def _read(self, rows: Sequence[int], *, keep: bool) -> list[Picture]:
        found: list[Picture] = [{}] * len(rows)
        for places, table in self.rows.take(np.asarray(rows, np.int64), keep=keep):
            for place, picture in zip(places, stroke_pictures(from_table(table)), strict=True):
                found[place] = picture
        return found
