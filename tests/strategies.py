"""Hypothesis strategies for batches of drawings as the official files may hold them, and equality of batches."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from sketchdata.drawings.drawing import DrawingBatch, offsets_of

#: 1970 to 2106: the range of the binary form.
MAX_SECONDS = 2**32 - 1

key_ids = st.one_of(
    st.integers(0, 2**64 - 1), st.integers(10**15, 10**17), st.integers(10**19 - 2, 10**19 + 2), st.just(2**64 - 1)
)
countries = st.sampled_from([b"", b"US", b"DE", b"GB"])
microseconds = st.one_of(
    st.integers(0, MAX_SECONDS * 1_000_000),
    st.integers(0, MAX_SECONDS).map(lambda second: second * 1_000_000),
    st.integers(0, 99_999).map(lambda fraction: 1_488_400_896_000_000 + 10 * fraction),
)
_places = st.integers(0, 255)
_pixels = st.floats(-1e6, 1e6, width=32)
_times = st.integers(0, 2**32 - 1)


def batches(
    *, raw: bool = False, labels: int = 1, whole_seconds: bool = False, max_size: int = 8
) -> st.SearchStrategy[DrawingBatch]:
    """Draw batches of up to `max_size` drawings, of 1 to 4 strokes of 1 to 5 points."""
    point = st.tuples(_pixels, _pixels, _times) if raw else st.tuples(_places, _places)
    drawing = st.lists(st.lists(point, min_size=1, max_size=5), min_size=1, max_size=4)
    moments = st.integers(0, MAX_SECONDS).map(lambda second: second * 1_000_000) if whole_seconds else microseconds
    record = st.tuples(key_ids, st.integers(0, labels - 1), countries, moments, st.booleans(), drawing)
    return st.lists(record, max_size=max_size).map(lambda records: _batch(records, raw=raw))


def _batch(records: Sequence[tuple[Any, ...]], *, raw: bool) -> DrawingBatch:
    key_id, label, country, moment, recognized, drawings = zip(*records, strict=True) if records else ((),) * 6
    strokes = [stroke for drawing in drawings for stroke in drawing]
    columns = list(zip(*(point for stroke in strokes for point in stroke), strict=True)) or [(), (), ()]
    coordinate = np.float32 if raw else np.uint8
    return DrawingBatch(
        key_id=np.array(key_id, np.uint64),
        label=np.array(label, np.uint16),
        countrycode=np.array(country, "S2"),
        timestamp=np.array(moment, np.int64),
        recognized=np.array(recognized, np.bool_),
        strokes=offsets_of(np.array([len(drawing) for drawing in drawings], np.int64)),
        points=offsets_of(np.array([len(stroke) for stroke in strokes], np.int64)),
        x=np.array(columns[0], coordinate),
        y=np.array(columns[1], coordinate),
        t=np.array(columns[2], np.uint32) if raw else None,
    )


def assert_same(found: DrawingBatch, expected: DrawingBatch) -> None:
    """Compare every array of two batches, types included."""
    for field in dataclasses.fields(DrawingBatch):
        one, other = getattr(found, field.name), getattr(expected, field.name)
        if one is None or other is None:
            assert one is other, field.name
        else:
            assert one.dtype == other.dtype, field.name
            np.testing.assert_array_equal(one, other, err_msg=field.name)


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    """Cut bytes into pieces at some places (taken modulo the length); pieces may be empty."""
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]
