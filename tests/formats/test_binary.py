"""The packed form is read and written without a loss, and a file that ends inside a record says so."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sketchdata.drawings.drawing import DrawingBatch, Parsed, empty_batch
from sketchdata.errors import FormatError
from sketchdata.formats import binary
from sketchdata.formats.records import RecordBlock
from tests.batches import batch_of
from tests.strategies import assert_same, batches, cut

Stroke = tuple[list[int], list[int]]


def pack(
    *strokes: Stroke, key_id: int = 7, country: bytes = b"US", recognized: int = 1, seconds: int = 1_488_400_896
) -> bytes:
    """Write a record as the official `binary_file_parser.py` reads it."""
    parts = [struct.pack("<Q2sbIH", key_id, country, recognized, seconds, len(strokes))]
    parts += [struct.pack(f"<H{len(x)}B{len(y)}B", len(x), *x, *y) for x, y in strokes]
    return b"".join(parts)


def records_of(blocks: Sequence[RecordBlock]) -> list[tuple[int, bytes, int, bool]]:
    return [
        (block.position + int(block.starts[i]), block.record(i), int(block.key_ids[i]), bool(block.found[i]))
        for block in blocks
        for i in range(len(block))
    ]


def parse(*records: bytes) -> Parsed:
    return binary.parse(list(records), word="star", label=2)


def test_a_record_is_read_as_the_official_parser_reads_it() -> None:
    (drawing,) = parse(pack(([1, 255], [0, 3]), ([9], [8]), key_id=2**64 - 1)).batch.drawings(["a", "b", "star"])
    assert (drawing.key_id, drawing.word, drawing.countrycode, drawing.recognized) == (2**64 - 1, "star", "US", True)
    assert drawing.timestamp.isoformat() == "2017-03-01T20:41:36+00:00"
    assert [stroke.tolist() for stroke in drawing.strokes] == [[[1, 0], [255, 3]], [[9, 8]]]


@pytest.mark.slow
@given(batches(whole_seconds=True), st.lists(st.integers(0, 10_000), max_size=6))
def test_dumped_drawings_are_scanned_and_parsed_back_from_any_blocks(batch: DrawingBatch, places: list[int]) -> None:
    data = binary.dump(batch)
    blocks = list(binary.scan(cut(data, places)))
    records = records_of(blocks)
    assert b"".join(record for _, record, *_ in records) == data
    assert [position for position, *_ in records] == np.cumsum([0, *(len(r) for _, r, *_ in records)])[:-1].tolist()
    assert [key_id for *_, key_id, _ in records] == batch.key_id.tolist()
    assert all(found for *_, found in records)
    assert all(block.complete and len(block) for block in blocks)
    parsed = binary.parse([record for _, record, *_ in records], word="star", label=0)
    assert not parsed.faults
    assert_same(parsed.batch, batch)


@pytest.mark.slow
@given(batches(whole_seconds=True), st.integers(1, 9))
def test_every_block_size_gives_the_same_records(batch: DrawingBatch, size: int) -> None:
    data = binary.dump(batch)
    blocks = [data[start : start + size] for start in range(0, len(data), size)]
    assert records_of(list(binary.scan(blocks))) == records_of(list(binary.scan([data])))


def test_every_cut_inside_a_record_is_a_truncated_last_record() -> None:
    first, last = pack(([1, 2], [3, 4]), key_id=1), pack(([5], [6]), ([7, 8], [9, 9]), key_id=2)
    for size in range(1, len(last)):
        blocks = list(binary.scan([first + last[:size]]))
        assert [block.complete for block in blocks] == [True, False]
        assert records_of(blocks) == [(0, first, 1, True), (len(first), last[:size], 0, False)]
        parsed = parse(last[:size])
        assert [(row, error.reason) for row, error in parsed.faults] == [(0, "truncated record")]


def test_an_empty_file_has_no_records() -> None:
    assert not list(binary.scan([]))
    assert not list(binary.scan([b"", b""]))
    assert_same(parse().batch, empty_batch())


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b"", "truncated record"),
        (pack(([1], [1])) + b"\0", "truncated record"),
        (pack(([1], [1])) * 2, "truncated record"),
        (pack(([1], [1]), recognized=2), "bad recognized"),
        (pack(([1], [1]), recognized=-1), "bad recognized"),
        (pack(([1], [1]), country=b"\xff\xfe"), "bad countrycode"),
        (pack(), "empty drawing"),
        (pack(([], [])), "empty stroke"),
        (pack(([1], [1]), ([], [])), "empty stroke"),
    ],
)
def test_a_bad_record_is_refused_with_its_reason_and_its_neighbours_stay(record: bytes, reason: str) -> None:
    good = [pack(([1], [1]), key_id=1), pack(([2], [2]), key_id=2)]
    parsed = parse(good[0], record, good[1])
    assert [(row, error.reason) for row, error in parsed.faults] == [(1, reason)]
    assert parsed.rows.tolist() == [0, 2]
    assert_same(parsed.batch, parse(*good).batch)


@pytest.mark.parametrize("country", [b"\0\0", b"  ", b"\0 "])
def test_an_unknown_country_is_none(country: bytes) -> None:
    (drawing,) = parse(pack(([1], [1]), country=country)).batch.drawings(["a", "b", "star"])
    assert drawing.countrycode is None


def test_the_largest_stroke_that_sixteen_bits_count_is_kept() -> None:
    points = [(i % 256, i // 256) for i in range(2**16 - 1)]
    batch = batch_of([points], [[(0, 0)]])
    records = [record for _, record, *_ in records_of(list(binary.scan([binary.dump(batch)])))]
    assert_same(binary.parse(records, word="", label=0).batch, batch)


def test_what_the_packed_form_cannot_hold_is_refused() -> None:
    with pytest.raises(FormatError, match="simplified drawings only"):
        binary.dump(batch_of([[(0.5, 1)]], raw=True))
    with pytest.raises(FormatError, match="more than 65535 strokes or points"):
        binary.dump(batch_of([[(0, 0)] * 2**16]))
    with pytest.raises(FormatError, match="more than 65535 strokes or points"):
        binary.dump(batch_of([[(0, 0)]] * 2**16))
    for moment in (-1, 2**32 * 1_000_000):
        with pytest.raises(FormatError, match="between 1970 and 2106"):
            binary.dump(dataclasses.replace(batch_of([[(0, 0)]]), timestamp=np.array([moment], np.int64)))


@given(st.lists(st.binary(max_size=60), max_size=4), st.lists(st.integers(0, 300), max_size=4))
def test_any_bytes_are_records_or_faults_and_never_another_error(parts: list[bytes], places: list[int]) -> None:
    data = pack(([1], [1])) + b"".join(parts)
    records = [record for _, record, *_ in records_of(list(binary.scan(cut(data, places))))]
    assert b"".join(records) == data
    parsed = parse(*records)
    assert sorted([*parsed.rows.tolist(), *(row for row, _ in parsed.faults)]) == list(range(len(records)))
    assert len(parsed.batch) == len(parsed.rows) >= 1
