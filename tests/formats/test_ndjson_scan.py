"""Lines and key_ids are found without parsing, however the file is written and wherever its blocks are cut."""

from __future__ import annotations

import codecs
import json
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sketchdata.drawings.drawing import DrawingBatch
from sketchdata.formats import ndjson
from sketchdata.formats import ndjson as ndjson_scan
from sketchdata.formats.records import RecordBlock
from tests.strategies import assert_same, batches, cut

RECORD = {
    "word": "star",
    "countrycode": "US",
    "timestamp": "2017-03-01 20:41:36.70725 UTC",
    "recognized": True,
    "key_id": "5891796615823360",
    "drawing": [[[0, 255], [3, 4]]],
}


def line_of(**changes: object) -> bytes:
    return json.dumps({**RECORD, **changes}, separators=(",", ":")).encode()


def found_lines(blocks: Sequence[RecordBlock]) -> list[tuple[int, bytes, int, bool]]:
    """Give every record's place in the file, bytes, key_id, and whether that was found."""
    return [
        (block.position + int(block.starts[i]), block.record(i), int(block.key_ids[i]), bool(block.found[i]))
        for block in blocks
        for i in range(len(block))
    ]


def scan_one(line: bytes) -> tuple[int, bool]:
    ((_, _, key_id, found),) = found_lines(list(ndjson_scan.scan([line + b"\n"])))
    return key_id, found


@pytest.mark.slow
@given(batches(), st.lists(st.integers(0, 10_000), max_size=6), st.sampled_from([b"\n", b"\r\n", b"\n\n", b"\n\r\n"]))
def test_dumped_drawings_are_scanned_and_parsed_back_from_any_blocks(
    batch: DrawingBatch, places: list[int], line_end: bytes
) -> None:
    data = ndjson.dump(batch, "star").replace(b"\n", line_end)
    lines = found_lines(list(ndjson_scan.scan(cut(data, places))))
    assert all(data.startswith(line, position) for position, line, *_ in lines)
    assert len({position for position, *_ in lines}) == len(batch)
    parsed = ndjson.parse([line for _, line, *_ in lines], word="star", label=0)
    assert not parsed.faults
    assert_same(parsed.batch, batch)
    for (_, _, key_id, found), expected in zip(lines, batch.key_id.tolist(), strict=True):
        # Twenty digits may overflow 64 bits and are left to the parser.
        assert (key_id, found) == ((expected, True) if expected < 10**19 else (0, False))


@pytest.mark.slow
@given(batches(), st.integers(1, 80))
def test_every_block_size_gives_the_same_records(batch: DrawingBatch, size: int) -> None:
    data = ndjson.dump(batch, "star")
    blocks = [data[start : start + size] for start in range(0, len(data), size)]
    assert found_lines(list(ndjson_scan.scan(blocks))) == found_lines(list(ndjson_scan.scan([data])))


def test_a_last_line_without_its_end_is_a_record_and_its_block_is_not_complete() -> None:
    first, last = list(ndjson_scan.scan([line_of() + b"\n" + line_of(key_id="7")]))
    assert (first.complete, last.complete) == (True, False)
    assert found_lines([first, last])[1] == (len(line_of()) + 1, line_of(key_id="7"), 7, True)


@pytest.mark.parametrize("data", [b"", b"\n", b"\r\n", b"\n\n\n", b"\r\n\n", b"\r", b"  "])
@pytest.mark.parametrize("size", [1, 100])
def test_blank_lines_give_no_block(data: bytes, size: int) -> None:
    assert not list(ndjson_scan.scan([data[start : start + size] for start in range(0, len(data), size)]))


@pytest.mark.parametrize("data", [b"}\n", b"x", b"\x00\n", b"{}\n"])
def test_a_line_of_one_or_two_stray_bytes_is_not_swallowed(data: bytes) -> None:
    ((_, line, _, found),) = found_lines(list(ndjson_scan.scan([data])))
    assert line == data.rstrip(b"\n")
    assert not found


@pytest.mark.parametrize(
    "line",
    [
        json.dumps(RECORD).encode(),
        json.dumps({"key_id": "5891796615823360", **RECORD}).encode(),
        json.dumps(dict(reversed(RECORD.items()))).encode(),
        line_of().replace(b'"key_id":', b'"key_id"  :  '),
        line_of(word='a "key_id":"1" star'),
        line_of(word='\\"key_id\\":\\"1\\"'),
        line_of(word="Ünïcode ★"),
    ],
)
def test_the_key_id_is_found_however_the_line_is_written(line: bytes) -> None:
    assert scan_one(line) == (5891796615823360, True)


@pytest.mark.parametrize("key_id", ["0", "007", "9" * 19, str(10**19 - 1), "1"])
def test_key_ids_of_up_to_nineteen_digits_are_read(key_id: str) -> None:
    assert scan_one(line_of(key_id=key_id)) == (int(key_id), True)


@pytest.mark.parametrize(
    "line",
    [
        line_of(key_id=str(2**64 - 1)),
        line_of(key_id=str(10**19)),
        line_of(key_id=""),
        line_of(key_id=5891796615823360),
        line_of(key_id="-5"),
        line_of(key_id="5.0"),
        line_of(key_id="5 "),
        line_of(key_id=None),
        b'{"word":"star"}',
        b"not JSON at all",
        b'{"key_id":"589179',
        b'"key_id":"',
        b'"key_id"',
    ],
)
def test_what_is_no_plain_key_id_is_left_to_the_parser(line: bytes) -> None:
    assert scan_one(line) == (0, False)


@pytest.mark.parametrize("short", [b"{}", b'{"key_id":"3"}', b'{"key_id":"3'])
def test_a_short_line_does_not_take_its_neighbours_key_id(short: bytes) -> None:
    data = b"\n".join([line_of(key_id="1"), short, line_of(key_id="2"), short, short, line_of(key_id="4"), b""])
    key_ids = [key_id for _, _, key_id, _ in found_lines(list(ndjson_scan.scan([data])))]
    own = 3 if short.endswith(b"}") and b"key_id" in short else 0
    found = [found for *_, found in found_lines(list(ndjson_scan.scan([data])))]
    assert [k for k, f in zip(key_ids, found, strict=True) if f] == [k for k in (1, own, 2, own, own, 4) if k]


@given(st.lists(st.binary(max_size=40), max_size=10), st.lists(st.integers(0, 1000), max_size=5))
@example([codecs.BOM_UTF8], [])
@example([codecs.BOM_UTF8 + b"{}", codecs.BOM_UTF8], [2])
@example([codecs.BOM_UTF8 + b"\r", b"a"], [])
@example([codecs.BOM_UTF8 + b" "], [1])
def test_any_bytes_are_cut_into_their_lines(lines: list[bytes], places: list[int]) -> None:
    data = b"\n".join(lines)
    text = data.removeprefix(codecs.BOM_UTF8)  # a byte order mark belongs to no line
    expected = [line for line in text.split(b"\n") if line not in (b"", b"\r")]
    if expected and not text.endswith((b"\n", b"\n\r")) and not text.split(b"\n")[-1].strip():
        expected.pop()  # blanks behind the last line end
    assert [line for _, line, *_ in found_lines(list(ndjson_scan.scan(cut(data, places))))] == expected


@given(st.permutations(list(RECORD)), st.booleans(), st.integers(0, 2**64 - 1), st.text(max_size=10))
def test_a_found_key_id_is_the_parsers(order: list[str], spaced: bool, key_id: int, word: str) -> None:
    record = {**RECORD, "key_id": str(key_id), "word": word}
    separators = (", ", ": ") if spaced else (",", ":")
    line = json.dumps({name: record[name] for name in order}, separators=separators).encode()
    value, found = scan_one(line)
    assert found == (key_id < 10**19)
    assert value == (key_id if found else 0)


def test_a_block_of_a_thousand_lines_of_many_shapes_is_read_at_once() -> None:
    rng = np.random.default_rng(0)
    key_ids = rng.integers(1, 10**18, 1000)
    stamps = ["2017-03-01 20:41:36 UTC", "2017-03-01 20:41:36.7 UTC", "2017-03-01 20:41:36.70725 UTC"]
    lines = [
        line_of(key_id=str(k), timestamp=stamps[k % 3], recognized=bool(k % 2), countrycode=[None, "US"][k % 5 > 1])
        for k in key_ids.tolist()
    ]
    (block,) = ndjson_scan.scan([b"\n".join([*lines, b""])])
    assert block.found.all()
    assert block.key_ids.tolist() == key_ids.tolist()


@pytest.mark.parametrize("size", [1, 2, 7, 1 << 20])
def test_a_byte_order_mark_belongs_to_no_line(size: int) -> None:
    content = b"\xef\xbb\xbf" + line_of() + b"\n" + line_of(key_id="7") + b"\n"
    found = found_lines(list(ndjson_scan.scan(cut(content, range(0, len(content), size)))))
    first = 3 + len(line_of()) + 1
    assert found == [(3, line_of(), int(RECORD["key_id"]), True), (first, line_of(key_id="7"), 7, True)]
    assert list(ndjson_scan.scan([b"\xef\xbb\xbf\n"])) == []
