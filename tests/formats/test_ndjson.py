"""Official lines are read and written without a loss; a bad line is refused with its reason, and nothing else."""

from __future__ import annotations

import dataclasses
import gzip
import json
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sketchdata.drawings.drawing import DrawingBatch, Parsed, empty_batch
from sketchdata.formats import ndjson
from sketchdata.formats import ndjson as ndjson_scan
from sketchdata.formats.ndjson import parse
from tests.strategies import assert_same, batches, microseconds

SIMPLIFIED: dict[str, Any] = {
    "word": "star",
    "countrycode": "US",
    "timestamp": "2017-03-01 20:41:36.70725 UTC",
    "recognized": True,
    "key_id": "5891796615823360",
    "drawing": [[[0, 255, 3], [3, 4, 5]], [[9], [9]]],
}
RAW = {**SIMPLIFIED, "drawing": [[[0.5, -255, 3], [3, 4.25, 5], [0, 17, 2**32 - 1]], [[9.0], [9], [40]]]}
NAN, HUGE, DEEP = float("nan"), 10**400, "[" * 5000 + "]" * 5000


def line_of(record: object) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode()


def bad(drawing: object) -> bytes:
    return line_of({**SIMPLIFIED, "drawing": drawing})


def bad_raw(drawing: object) -> bytes:
    return line_of({**RAW, "drawing": drawing})


BAD_METADATA = [
    (b"", "broken JSON"),
    (b"not JSON", "broken JSON"),
    (b"\xff\xfe\x00", "broken JSON"),
    (line_of(SIMPLIFIED)[:-1], "broken JSON"),
    (line_of(SIMPLIFIED)[:40], "broken JSON"),
    (line_of(SIMPLIFIED) * 2, "broken JSON"),
    (DEEP.encode(), "broken JSON"),
    (b'{"word":"\\ud800"}', "broken JSON"),
    (b"[]", "not an object"),
    (b"17", "not an object"),
    (b"null", "not an object"),
    (b'"star"', "not an object"),
    (line_of([SIMPLIFIED]), "not an object"),
    (b"{}", "missing field"),
    *((line_of({k: v for k, v in SIMPLIFIED.items() if k != name}), "missing field") for name in SIMPLIFIED),
    *((line_of({**SIMPLIFIED, "word": word}), "wrong word") for word in ("cat", "Star", "", None, 5, ["star"], {})),
    *((line_of({**SIMPLIFIED, "recognized": r}), "bad recognized") for r in (1, 0, "true", None, [True])),
    *(
        (line_of({**SIMPLIFIED, "key_id": k}), "bad key_id")
        for k in (
            -5,
            2**64 - 1 + 0.0,
            "",
            "x",
            "-5",
            "5.0",
            "5 ",
            "٣",
            "²",
            None,
            ["5"],
            str(2**64),
            "9" * 5000,
            True,
            {},
        )
    ),
    *(
        (line_of({**SIMPLIFIED, "countrycode": c}), "bad countrycode")
        for c in ("USA", 5, True, ["US"], {}, "Ü", "A\0", "\0")
    ),
    *(
        (line_of({**SIMPLIFIED, "timestamp": t}), "bad timestamp")
        for t in (
            None,
            -5,
            10**15,
            1.5,
            {},
            "0000-12-31 23:59:59 UTC",
            "",
            "2017-03-01",
            "2017-03-01 20:41:36",
            "2017-03-01T20:41:36 UTC",
            "2017-03-01 20:41:36. UTC",
            "2017-03-01 20:41:36.1234567 UTC",
            "2017-03-01 20:41:36Z UTC",
            "2017-03-01 20:41:36+01:00 UTC",
            "2017-03-01 20:41:36  UTC",
            "2017-03-01 20:41:36 UTC\n",
            "2017-03-01 20            UTC",
            " 017-03-01 20:41:36 UTC",
            "-017-03-01 20:41:36 UTC",
            "2017-02-29 20:41:36 UTC",
            "2017-13-01 20:41:36 UTC",
            "2017-03-01 24:41:36 UTC",
            "2017-03-01 20:41:3٣ UTC",
            "NaT".ljust(30),
            ["2017-03-01 20:41:36 UTC"] * 23,
            {f"{i:02}": i for i in range(30)},
        )
    ),
]
BAD_DRAWINGS = [
    *((bad(drawing), "empty drawing") for drawing in ([], None, 5, "[]", "5", {}, {"a": [[1], [2]]}, True)),
    (bad("drawing"), "broken JSON"),
    *(
        (bad(drawing), "bad stroke")
        for drawing in (
            [[]],
            [[[1]]],
            [[[1], [2], [3]]],
            [5],
            [None],
            ["ab"],
            [{"x": [1], "y": [2]}],
            [[1, 2]],
            [[[1], 2]],
            [["1", "2"]],
            [[{"0": 1}, {"0": 2}]],
            [[[1], None]],
            [[[1], [2]], []],
            [[[1], [2]], [[1]], [[1], [2], [3]]],
        )
    ),
    *((bad(drawing), "empty stroke") for drawing in ([[[], []]], [[[1], [2]], [[], []]])),
    *((bad(drawing), "unequal x and y") for drawing in ([[[1], []]], [[[1, 2], [1]]], [[[1], [2]], [[1], [2, 3]]])),
    *((bad([[[1], [2]], [[7, v], [7, 7]]]), "bad coordinate") for v in (1.5, 0.5, True, False, None, "1", [1], {})),
    *((bad([[[7, 7], [v, 7]]]), "bad coordinate") for v in (1.5, True, None, "1", [])),
    *((bad([[[v], [7]]]), "coordinate outside 0..255") for v in (-1, 256, 2**31, 2**63, -(2**63), 2**64)),
    (bad([[[NAN], [7]]]), "broken JSON"),
    (bad([[[float("inf")], [7]]]), "broken JSON"),
    (bad([[[7], [1]]]).replace(b"[[[7]", b"[[[1e400]"), "broken JSON"),
    (bad([[[7], [1]]]).replace(b"[[[7]", b"[[[" + b"9" * 401 + b"]"), "broken JSON"),
]
BAD_RAW = [
    (bad_raw([[[1], [2]]]), "bad stroke"),
    (bad_raw([[[1], [2], [3], [4]]]), "bad stroke"),
    (bad_raw([[[1, 2], [2, 3], [3]]]), "unequal x and y"),
    (bad_raw([[[], [], []]]), "empty stroke"),
    *((bad_raw([[[v], [1], [0]]]), "bad coordinate") for v in (True, None, "1", [1], [1.0], {}, 1e300, -1e20, 1e9)),
    *((bad_raw([[[1, 2], [v, v], [0, 1]]]), "bad coordinate") for v in (True, None, "1", [1], [[1]], 1e39)),
    *((bad_raw([[[1], [1], [v]]]), "bad time") for v in (-1, 2**32, 2**64 - 1, 0.5, True, None, "1", [1], {})),
    (bad_raw([[[NAN], [1], [0]]]), "broken JSON"),
]


def only_fault(parsed: Parsed) -> tuple[int, str]:
    ((row, error),) = parsed.faults
    return row, error.reason


@pytest.mark.parametrize(("line", "reason"), BAD_METADATA + BAD_DRAWINGS)
def test_a_bad_simplified_line_is_refused_with_its_reason(line: bytes, reason: str) -> None:
    parsed = parse([line], word="star", label=0)
    assert only_fault(parsed) == (0, reason)
    assert_same(parsed.batch, empty_batch())


@pytest.mark.parametrize(("line", "reason"), BAD_METADATA + BAD_RAW)
def test_a_bad_raw_line_is_refused_with_its_reason(line: bytes, reason: str) -> None:
    parsed = parse([line], word="star", label=0, raw=True)
    assert only_fault(parsed) == (0, reason)
    assert_same(parsed.batch, empty_batch(raw=True))


@pytest.mark.parametrize("raw", [False, True])
def test_good_lines_are_the_same_beside_a_bad_one(raw: bool) -> None:
    record = RAW if raw else SIMPLIFIED
    good = [line_of({**record, "key_id": str(k), "recognized": k % 2 == 0}) for k in range(5)]
    alone = parse(good, word="star", label=3, raw=raw)
    assert not alone.faults
    for line, reason in BAD_METADATA[:20] + (BAD_RAW if raw else BAD_DRAWINGS):
        beside = parse([*good[:2], line, *good[2:]], word="star", label=3, raw=raw)
        assert only_fault(beside) == (2, reason)
        assert beside.rows.tolist() == [0, 1, 3, 4, 5]
        assert_same(beside.batch, alone.batch)


def test_raw_pixels_beyond_any_screen_are_refused_and_never_written_as_integers_that_json_lacks() -> None:
    values = [10**9, 2**63, 2**64 - 1, -(2**63), 2**70]
    parsed = parse([bad_raw([[[v, 0.5], [1, v], [0, 1]]]) for v in values], word="star", label=0, raw=True)
    assert [error.reason for _, error in parsed.faults] == ["bad coordinate"] * 5
    batch = parse([line_of(RAW)], word="star", label=0, raw=True).batch
    far = dataclasses.replace(batch, x=np.full(len(batch.x), 1e20))
    assert orjson.loads(ndjson.dump(far, "star"))["drawing"][0][0][0] == 1e20


def test_what_pandas_makes_of_a_line_is_the_same_drawing() -> None:
    milliseconds = {**SIMPLIFIED, "timestamp": 1488400896707, "key_id": int(SIMPLIFIED["key_id"])}
    fractions = [[[float(value) for value in axis] for axis in stroke] for stroke in SIMPLIFIED["drawing"]]
    expected = parse([line_of({**SIMPLIFIED, "timestamp": "2017-03-01 20:41:36.707 UTC"})], word="star", label=0).batch
    for drawing in (fractions, json.dumps(SIMPLIFIED["drawing"]), json.dumps(fractions)):
        assert_same(parse([line_of({**milliseconds, "drawing": drawing})], word="star", label=0).batch, expected)
    raw = parse([line_of({**RAW, "drawing": json.dumps(RAW["drawing"])})], word="star", label=0, raw=True).batch
    assert_same(raw, parse([line_of(RAW)], word="star", label=0, raw=True).batch)


def test_faults_and_rows_keep_their_numbers_over_many_chunks() -> None:
    lines = [line_of({**SIMPLIFIED, "key_id": str(k)}) for k in range(3500)]
    for row in (0, 999, 1000, 2500, 3499):
        lines[row] = b"{"
    parsed = parse(lines, word="star", label=0)
    assert [row for row, _ in parsed.faults] == [0, 999, 1000, 2500, 3499]
    assert parsed.rows.tolist() == parsed.batch.key_id.tolist()
    assert len(parsed.rows) == 3495


def test_no_lines_give_no_drawings() -> None:
    assert_same(parse([], word="star", label=0).batch, empty_batch())


@pytest.mark.parametrize(
    "line",
    [
        json.dumps(SIMPLIFIED).encode(),
        json.dumps(SIMPLIFIED, indent=1).replace("\n", " ").encode() + b"\r\n",
        line_of(dict(reversed(SIMPLIFIED.items()))),
        line_of({**SIMPLIFIED, "extra": {"nested": [None, 1.5]}}),
        line_of({**SIMPLIFIED, "remark": "neither true nor false"}),
        line_of(SIMPLIFIED).replace(b"star", b"\\u0073tar"),
    ],
)
def test_a_line_in_another_style_is_the_same_drawing(line: bytes) -> None:
    assert_same(parse([line], word="star", label=0).batch, parse([line_of(SIMPLIFIED)], word="star", label=0).batch)


@pytest.mark.parametrize("word", ["The Eiffel Tower", "true", 'quote " and \\ backslash', "ünïcode ★"])
def test_words_of_any_text_are_written_and_read(word: str) -> None:
    batch = parse([line_of({**SIMPLIFIED, "word": word})], word=word, label=0).batch
    assert len(batch) == 1
    assert orjson.loads(ndjson.dump(batch, word))["word"] == word
    assert_same(parse([ndjson.dump(batch, word)], word=word, label=0).batch, batch)


@pytest.mark.parametrize(
    ("text", "microsecond"),
    [("", 0), (".7", 700000), (".70", 700000), (".70725", 707250), (".000001", 1), (".123456", 123456)],
)
def test_times_have_none_to_six_digits_of_a_second(text: str, microsecond: int) -> None:
    line = line_of({**SIMPLIFIED, "timestamp": f"2017-03-01 20:41:36{text} UTC"})
    (drawing,) = parse([line], word="star", label=0).batch.drawings(["star"])
    assert drawing.timestamp == datetime(2017, 3, 1, 20, 41, 36, microsecond, timezone.utc)


@given(microseconds)
def test_a_written_time_is_read_back(moment: int) -> None:
    (text,) = ndjson.format_timestamps(np.array([moment], np.int64))
    assert not text.removesuffix(" UTC").partition(".")[2].endswith("0")
    line = line_of({**SIMPLIFIED, "timestamp": text})
    assert parse([line], word="star", label=0).batch.timestamp.tolist() == [moment]


@pytest.mark.parametrize(("code", "expected"), [(None, None), ("", None), ("US", "US"), ("X", "X")])
def test_an_unknown_country_is_none(code: str | None, expected: str | None) -> None:
    (drawing,) = parse([line_of({**SIMPLIFIED, "countrycode": code})], word="star", label=0).batch.drawings(["star"])
    assert drawing.countrycode == expected


@pytest.mark.slow
@given(batches())
def test_simplified_drawings_survive_a_round_trip(batch: DrawingBatch) -> None:
    parsed = parse(ndjson.dump(batch, "star").splitlines(), word="star", label=0)
    assert not parsed.faults
    assert_same(parsed.batch, batch)


@pytest.mark.slow
@given(batches(raw=True))
def test_raw_drawings_survive_a_round_trip(batch: DrawingBatch) -> None:
    parsed = parse(ndjson.dump(batch, "star").splitlines(), word="star", label=0, raw=True)
    assert not parsed.faults
    assert_same(parsed.batch, batch)


@pytest.mark.slow
@given(batches(), st.data())
def test_a_dumped_line_means_what_json_says(batch: DrawingBatch, data: st.DataObject) -> None:
    lines = ndjson.dump(batch, "star").splitlines()
    for line, drawing in zip(lines, batch.drawings(["star"]), strict=True):
        record = json.loads(line)
        assert list(record) == list(SIMPLIFIED)
        assert (record["word"], record["key_id"]) == ("star", str(drawing.key_id))
        assert (record["countrycode"], record["recognized"]) == (drawing.countrycode, drawing.recognized)
        assert record["drawing"] == [stroke.T.tolist() for stroke in drawing.strokes]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=3), children, max_size=4),
    max_leaves=12,
)
nearly_drawings = st.recursive(
    st.integers(-1, 256) | st.sampled_from([None, True, 1.5, "1", 2**63, 2**64 - 1, 1e300]),
    lambda children: st.lists(children, max_size=3) | st.lists(children, min_size=2, max_size=2),
    max_leaves=20,
)


def assert_accounted_for(lines: list[bytes], *, raw: bool) -> None:
    parsed = parse(lines, word="star", label=0, raw=raw)
    assert sorted([*parsed.rows.tolist(), *(row for row, _ in parsed.faults)]) == list(range(len(lines)))
    assert len(parsed.batch) == len(parsed.rows)
    # What was accepted is whole: it can be written, and is then read as the same.
    assert_same(
        parse(ndjson.dump(parsed.batch, "star").splitlines(), word="star", label=0, raw=raw).batch, parsed.batch
    )


@given(st.lists(st.binary(max_size=60) | json_values.map(line_of), max_size=4), st.booleans())
def test_any_bytes_and_any_json_are_faults_and_never_another_error(lines: list[bytes], raw: bool) -> None:
    assert_accounted_for([*lines, line_of(RAW if raw else SIMPLIFIED)], raw=raw)


@given(st.sampled_from(list(SIMPLIFIED)), json_values, st.booleans())
def test_any_value_in_any_field_is_accepted_or_a_fault(name: str, value: object, raw: bool) -> None:
    assert_accounted_for([line_of({**(RAW if raw else SIMPLIFIED), name: value})], raw=raw)


@given(st.lists(nearly_drawings, min_size=1, max_size=3), st.booleans())
def test_any_nesting_in_place_of_a_drawing_is_accepted_or_a_fault(drawings: list[object], raw: bool) -> None:
    lines = [bad(drawing) for drawing in drawings]
    assert_accounted_for(lines, raw=raw)
    together = parse(lines, word="star", label=0, raw=raw)
    each = [parse([line], word="star", label=0, raw=raw) for line in lines]
    assert together.rows.tolist() == [row for row, alone in enumerate(each) if len(alone.batch)]
    assert [error.reason for _, error in together.faults] == [e.reason for alone in each for _, e in alone.faults]


needs_real_data = pytest.mark.skipif(
    "SKETCHDATA_REAL_DATA" not in os.environ, reason="SKETCHDATA_REAL_DATA names no real files"
)


def real_files(folder: str, pattern: str) -> list[Path]:
    files = sorted((Path(os.environ["SKETCHDATA_REAL_DATA"]) / "quickdraw" / "full" / folder).glob(pattern))
    assert files
    return files


@pytest.mark.slow
@needs_real_data
def test_real_simplified_files_are_written_back_byte_for_byte() -> None:
    for path in real_files("simplified", "*.ndjson"):
        data = path.read_bytes()
        lines = [block.record(i) for block in ndjson_scan.scan([data]) for i in range(len(block))]
        parsed = parse(lines, word=path.stem, label=0)
        assert not parsed.faults, path.name
        assert ndjson.dump(parsed.batch, path.stem).rstrip(b"\n") == data.rstrip(b"\n"), path.name


@pytest.mark.slow
@needs_real_data
def test_real_raw_files_are_read_without_a_fault() -> None:
    for path in real_files("raw", "*.ndjson.gz"):
        lines = gzip.decompress(path.read_bytes()).splitlines()
        word = path.name.removesuffix(".ndjson.gz")
        parsed = parse(lines, word=word, label=0, raw=True)
        assert not parsed.faults, path.name
        drawings = [orjson.loads(line)["drawing"] for line in lines]
        for found, drawing in zip(parsed.batch.drawings([word]), drawings, strict=True):
            for points, stroke in zip(found.strokes, drawing, strict=True):
                # Pixels are kept as float32; some files print more digits than that.
                np.testing.assert_allclose(points.T, stroke, rtol=0, atol=1e-4, err_msg=path.name)
