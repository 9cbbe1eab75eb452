"""Small batches of drawings written out by hand, or read from real ndjson files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import orjson

from sketchdata.drawings.drawing import DrawingBatch

Points = Sequence[tuple[float, float]]


def batch_of(
    *drawings: Sequence[Points],
    labels: Sequence[int] | None = None,
    recognized: Sequence[bool] | None = None,
    raw: bool = False,
) -> DrawingBatch:
    """Make a batch out of drawings given as lists of strokes, each a list of (x, y)."""
    count = len(drawings)
    strokes = [stroke for drawing in drawings for stroke in drawing]
    xy = np.array([point for stroke in strokes for point in stroke], np.float64).reshape(-1, 2)
    coordinates = xy.astype(np.float32 if raw else np.uint8)
    return DrawingBatch(
        key_id=np.arange(count, dtype=np.uint64) + np.uint64(5_000_000_000_000_000),
        label=np.zeros(count, np.uint16) if labels is None else np.array(labels, np.uint16),
        countrycode=np.full(count, b"US", "S2"),
        timestamp=np.zeros(count, np.int64),
        recognized=np.ones(count, np.bool_) if recognized is None else np.array(recognized, np.bool_),
        strokes=_offsets(len(drawing) for drawing in drawings),
        points=_offsets(len(stroke) for stroke in strokes),
        x=coordinates[:, 0],
        y=coordinates[:, 1],
        t=np.arange(len(xy), dtype=np.uint32) if raw else None,
    )


def read_simplified(paths: Iterable[Path]) -> DrawingBatch:
    """Read whole ndjson files of the simplified format, all labelled 0."""
    lines = (line for path in paths for line in path.read_bytes().splitlines())
    return batch_of(*([list(zip(x, y, strict=True)) for x, y in orjson.loads(line)["drawing"]] for line in lines))


def _offsets(lengths: Iterable[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(list(lengths), dtype=np.int64)]).astype(np.int64)
