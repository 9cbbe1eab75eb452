"""What drawings amount to: points, strokes and bytes a line, to compare generated ones with real ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import orjson

from sketchdata.drawings.drawing import DrawingBatch

Counts = npt.NDArray[np.int64]

#: A line of the official files without its varying parts.
_FRAME = len(
    '{"word":,"countrycode":"","timestamp":"2017-03-01 20:41:36 UTC","recognized":,"key_id":"","drawing":[]}\n'
)
_POWERS_OF_TEN = np.array([10**k for k in range(1, 20)], np.uint64)
_PERCENTILES = (5, 25, 50, 75, 95)


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Counts of each drawing, (N,) int64 each: its points, its strokes, the bytes of its official ndjson line."""

    points: Counts
    strokes: Counts
    line_bytes: Counts


def statistics(batch: DrawingBatch, words: Sequence[str]) -> Statistics:
    """Count points, strokes and bytes of simplified drawings; `words` is the class table that the labels index."""
    strokes = np.diff(batch.strokes)
    points = np.diff(batch.points[batch.strokes])
    # "[[…],[…]]" a stroke, one comma between two strokes, and one between two coordinates.
    punctuation = 7 * strokes + (strokes - 1) + 2 * (points - strokes)
    return Statistics(
        points=points, strokes=strokes, line_bytes=_metadata_bytes(batch, words) + punctuation + _digits(batch)
    )


def summary(values: Counts) -> dict[str, float]:
    """Describe counts in a row of a table: their mean and percentiles."""
    percentiles = np.percentile(values, _PERCENTILES)
    return {"mean": float(values.mean()), **{f"p{q}": float(v) for q, v in zip(_PERCENTILES, percentiles, strict=True)}}


def _metadata_bytes(batch: DrawingBatch, words: Sequence[str]) -> Counts:
    """Return the bytes of each line's fields but the drawing (N,)."""
    names = np.array([len(orjson.dumps(word)) for word in words], np.int64)[batch.label]
    country = np.char.str_len(batch.countrycode)
    # An unknown country is written null, without the frame's quotes.
    country = np.where(country == 0, len("null") - len('""'), country)
    boolean = np.where(batch.recognized, len("true"), len("false"))
    key = 1 + np.searchsorted(_POWERS_OF_TEN, batch.key_id, side="right")
    total: Counts = _FRAME + names + country + _fraction_bytes(batch.timestamp) + boolean + key
    return total


def _fraction_bytes(microseconds: Counts) -> Counts:
    """Return the bytes of a second's fraction with its point and without trailing zeros (N,)."""
    zeros = (microseconds[:, None] % _POWERS_OF_TEN[:6].astype(np.int64) == 0).sum(axis=1)
    return np.where(zeros == 6, 0, 7 - zeros)


def _digits(batch: DrawingBatch) -> Counts:
    """Return the digits of each drawing's coordinates (N,)."""
    total = np.zeros(len(batch.x) + 1, np.int64)
    for axis in (batch.x, batch.y):
        values = axis.astype(np.int64)
        total[1:] += 1 + (values >= 10) + (values >= 100)
    digits: Counts = np.diff(np.cumsum(total)[batch.points[batch.strokes]])
    return digits
