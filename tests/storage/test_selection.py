"""What is chosen is what sorting a whole parsed file by rank would give, however the file is cut, bad or short."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sketchdata import synth
from sketchdata.drawings.drawing import concatenate
from sketchdata.drawings.sampling import ranks
from sketchdata.formats import binary, ndjson
from sketchdata.storage.selection import RejectedRecord, Rules, Selection, cross_class_duplicates, select
from tests.batches import batch_of
from tests.strategies import assert_same, batches, cut

RULES = Rules(word="star", label=3, input_format="simplified", count=4, seed=0)
GOOD, NO_DRAWING, OUTSIDE, WORD, TRUNCATED, GARBAGE = "good", "no drawing", "outside", "word", "truncated", "garbage"
REASONS = {
    NO_DRAWING: "empty drawing",
    OUTSIDE: "coordinate outside 0..255",
    WORD: "wrong word",
    TRUNCATED: "broken JSON",
    GARBAGE: "broken JSON",
}


@dataclass(frozen=True)
class Line:
    """A line to be written, and what is wrong with it."""

    key_id: int
    kind: str = GOOD
    recognized: bool = True
    spaced: bool = False

    @property
    def has_plain_key_id(self) -> bool:
        return self.kind != GARBAGE and self.key_id < 10**19

    def write(self) -> bytes:
        if self.kind == GARBAGE:
            return b"<html>503</html>"
        record = {
            "word": "cat" if self.kind == WORD else "star",
            "countrycode": "US",
            "timestamp": f"2017-03-01 20:41:36{'' if self.key_id % 3 else '.5'} UTC",
            "recognized": self.recognized,
            "key_id": str(self.key_id),
            "drawing": [] if self.kind == NO_DRAWING else [[[self.key_id % 200, 256 * (self.kind == OUTSIDE)], [3, 4]]],
        }
        text = json.dumps(record, separators=None if self.spaced else (",", ":"))
        return (text[:-9] if self.kind == TRUNCATED else text).encode()


def write(lines: Iterable[Line]) -> bytes:
    return b"".join(line.write() + b"\n" for line in lines)


def rank(key_id: int, seed: int) -> int:
    return int(ranks(np.array([key_id], np.uint64), seed)[0])


@dataclass
class Expected:
    key_ids: list[int]
    rejects: dict[int, str]
    examined: int
    passed_over: int


def choose_slowly(lines: Sequence[Line], rules: Rules) -> Expected:
    """Walk over all lines by rising rank, one by one, until enough are good."""
    offsets = np.cumsum([0, *(len(line.write()) + 1 for line in lines)]).tolist()
    found, rejects = Expected([], {}, 0, 0), {}
    hidden = [i for i, line in enumerate(lines) if not line.has_plain_key_id and line.kind != GOOD]
    rejects |= {i: REASONS[lines[i].kind] for i in hidden}
    seen: set[int] = set()
    rest = [i for i in range(len(lines)) if i not in hidden]
    rest = [i for i in rest if rules.after is None or rank(lines[i].key_id, rules.seed) > rules.after]
    rest = [i for i in rest if lines[i].kind == GOOD] if rules.check_all else rest
    for i in sorted(rest, key=lambda i: (rank(lines[i].key_id, rules.seed), i)):
        if len(found.key_ids) == rules.count:
            break
        line, found.examined = lines[i], found.examined + 1
        if line.kind != GOOD:
            rejects[i] = REASONS[line.kind]
        elif line.key_id in seen or line.key_id in rules.taken:
            rejects[i] = "duplicate key_id"
        elif rules.recognized_only and not line.recognized:
            found.passed_over += 1
        else:
            found.key_ids.append(line.key_id)
        seen |= {line.key_id} if line.kind == GOOD else set()
    found.examined += len(hidden)
    if rules.check_all:
        good = [i for i, line in enumerate(lines) if line.kind == GOOD]
        first = {lines[i].key_id: i for i in reversed(good)}
        rejects |= {i: "duplicate key_id" for i in good if first[lines[i].key_id] != i}
        rejects |= {i: REASONS[line.kind] for i, line in enumerate(lines) if line.kind != GOOD}
        found.examined = len(lines)
    found.rejects = {offsets[i]: reason for i, reason in rejects.items()}
    return found


def reading(blocks: Sequence[bytes]) -> tuple[Callable[[], Iterable[bytes]], list[int]]:
    """Return a reader of a file, and a list that grows by one item every time that it is read."""
    times: list[int] = []

    def read() -> Iterable[bytes]:
        times.append(len(times))
        return iter(blocks)

    return read, times


def assert_chosen(selection: Selection, lines: Sequence[Line], rules: Rules) -> None:
    expected, data = choose_slowly(lines, rules), write(lines)
    assert selection.batch.key_id.tolist() == expected.key_ids
    assert selection.batch.x[::2].tolist() == [key_id % 200 for key_id in expected.key_ids]
    assert (selection.batch.label == rules.label).all()
    assert {reject.offset: reject.reason for reject in selection.rejects} == expected.rejects
    assert [reject.offset for reject in selection.rejects] == sorted(expected.rejects)
    assert (selection.records, selection.bytes) == (len(lines), len(data))
    assert (selection.examined, selection.passed_over) == (expected.examined, expected.passed_over)
    assert selection.md5 == hashlib.md5(data, usedforsecurity=False).hexdigest()


key_ids = st.one_of(st.integers(0, 12), st.integers(10**19, 10**19 + 3), st.just(2**64 - 1))
kinds = st.one_of(st.just(GOOD), st.sampled_from([GOOD, *REASONS]))
lines_of_a_file = st.lists(st.builds(Line, key_ids, kinds, st.booleans(), st.booleans()), max_size=30)
rules_to_choose_by = st.builds(
    Rules,
    word=st.just("star"),
    label=st.integers(0, 344),
    input_format=st.just("simplified"),
    count=st.integers(0, 12),
    seed=st.sampled_from([0, 1, 2**64 - 1]),
    recognized_only=st.booleans(),
    check_all=st.booleans(),
    after=st.none() | st.integers(0, 2**64 - 1),
    taken=st.dictionaries(key_ids, st.just("cat"), max_size=3),
)


@pytest.mark.slow
@given(lines_of_a_file, rules_to_choose_by, st.lists(st.integers(0, 10_000), max_size=5))
def test_the_choice_is_that_of_sorting_everything(lines: list[Line], rules: Rules, places: list[int]) -> None:
    read, _ = reading(cut(write(lines), places))
    assert_chosen(select(read, rules), lines, rules)


@pytest.mark.parametrize("recognized_only", [False, True])
@pytest.mark.parametrize("check_all", [False, True])
def test_every_block_size_gives_the_same_selection(recognized_only: bool, check_all: bool) -> None:
    kinds = [GOOD, GOOD, NO_DRAWING, GOOD, GARBAGE, TRUNCATED]
    lines = [Line(n % 50, kinds[n % 6], n % 3 > 0, n % 7 == 0) for n in range(60)]
    rules = replace(RULES, count=20, recognized_only=recognized_only, check_all=check_all)
    data = write(lines)
    for size in (1, 2, 7, 100, 1000, len(data)):
        read, _ = reading([data[start : start + size] for start in range(0, len(data), size)])
        assert_chosen(select(read, rules), lines, rules)


def test_a_bad_line_gives_its_place_to_the_next_rank() -> None:
    order = sorted(range(100), key=lambda key_id: rank(key_id, 0))
    lines = [Line(key_id, NO_DRAWING if key_id in (order[0], order[2]) else GOOD) for key_id in range(100)]
    selection = select(reading([write(lines)])[0], RULES)
    assert selection.batch.key_id.tolist() == [order[1], *order[3:6]]
    assert selection.examined == 6


@pytest.mark.parametrize("recognized_only", [False, True])
def test_more_bad_lines_than_are_held_in_reserve_make_it_read_again(recognized_only: bool) -> None:
    order = sorted(range(2000), key=lambda key_id: rank(key_id, 0))
    useless = set(order[:700])
    lines = [
        Line(key_id, GOOD if recognized_only or key_id not in useless else OUTSIDE, key_id not in useless)
        for key_id in range(2000)
    ]
    rules = replace(RULES, recognized_only=recognized_only)
    read, times = reading([write(lines)])
    assert_chosen(select(read, rules), lines, rules)
    assert len(times) == 3  # room for 68 or a few more, four times that, sixteen times that


def test_drawings_that_are_not_accepted_give_their_places_to_the_next_ranks() -> None:
    order = sorted(range(2000), key=lambda key_id: rank(key_id, 0))
    refused, asked = np.array(order[2:700], np.uint64), []

    def accept(batch: ndjson.DrawingBatch) -> np.ndarray:
        asked.extend(batch.key_id.tolist())
        return ~np.isin(batch.key_id, refused)

    read, times = reading([write(Line(key_id) for key_id in range(2000))])
    selection = select(read, RULES, accept=accept)
    assert selection.batch.key_id.tolist() == [order[0], order[1], order[700], order[701]]
    assert selection.passed_over == 698
    assert len(times) == 3
    assert asked[-selection.examined :] == order[: selection.examined]


def test_ranks_up_to_those_that_are_taken_do_not_count() -> None:
    order = sorted(range(100), key=lambda key_id: rank(key_id, 0))
    lines = [Line(key_id) for key_id in range(100)]
    selection = select(reading([write(lines)])[0], replace(RULES, after=rank(order[9], 0)))
    assert selection.batch.key_id.tolist() == order[10:14]
    assert not len(select(reading([write(lines)])[0], replace(RULES, after=rank(order[-1], 0))).batch)


def test_drawings_that_several_categories_chose_go_to_the_first() -> None:
    chosen = {"cat": [5, 1], "dog": [7, 2], "elk": [1, 7, 9]}
    found = cross_class_duplicates({word: np.array(ids, np.uint64) for word, ids in chosen.items()})
    assert found == {"elk": {1: "cat", 7: "dog"}}
    assert cross_class_duplicates({}) == {}


def test_a_good_file_is_read_once() -> None:
    lines = [Line(key_id) for key_id in range(2000)]
    read, times = reading([write(lines)])
    assert_chosen(select(read, RULES), lines, RULES)
    assert len(times) == 1


def test_a_file_that_is_too_short_gives_what_it_has_and_is_read_once() -> None:
    for lines in ([], [Line(5)], [Line(1), Line(2, WORD), Line(3)]):
        read, times = reading([write(lines)])
        assert_chosen(select(read, RULES), lines, RULES)
        assert len(times) == 1


def test_a_known_md5_is_taken_over() -> None:
    assert select(reading([write([Line(5)])])[0], RULES, md5="known").md5 == "known"


@pytest.mark.parametrize("data", [b"", b"\n", b"\r\n\n", b"\n" * 5])
def test_blank_lines_are_no_records(data: bytes) -> None:
    selection = select(reading([data[i : i + 1] for i in range(len(data))])[0], RULES)
    assert (selection.records, selection.bytes, len(selection.batch)) == (0, len(data), 0)
    assert not selection.rejects


def test_a_cut_off_last_line_is_called_truncated_and_one_that_only_lacks_its_end_is_good() -> None:
    whole, last = write([Line(1), Line(2)]), Line(3).write()
    selection = select(reading([whole + last])[0], RULES)
    assert sorted(selection.batch.key_id.tolist()) == [1, 2, 3]
    selection = select(reading([whole + last[:-1]])[0], RULES)
    assert sorted(selection.batch.key_id.tolist()) == [1, 2]
    assert [(r.offset, r.reason) for r in selection.rejects] == [(len(whole), "truncated last record")]
    assert (selection.records, selection.examined) == (3, 3)


@pytest.mark.parametrize("check_all", [False, True])
def test_a_line_that_names_two_key_ids_is_refused(check_all: bool) -> None:
    two = Line(7).write().replace(b'{"word"', b'{"key_id":"8","word"')
    selection = select(reading([write([Line(1)]) + two + b"\n"])[0], replace(RULES, check_all=check_all))
    assert selection.batch.key_id.tolist() == [1]
    assert [reject.reason for reject in selection.rejects] == ["ambiguous key_id"]


def test_a_duplicate_names_the_category_that_has_it_already() -> None:
    selection = select(reading([write([Line(1), Line(2)])])[0], replace(RULES, taken={2: "cat"}))
    assert selection.rejects == [
        RejectedRecord(offset=len(write([Line(1)])), reason="duplicate key_id", detail="2 is in cat too")
    ]


@pytest.mark.slow
@given(batches(whole_seconds=True, max_size=20), st.integers(0, 8), st.lists(st.integers(0, 10_000), max_size=4))
def test_packed_and_text_files_of_the_same_drawings_give_the_same_choice(
    batch: ndjson.DrawingBatch, count: int, places: list[int]
) -> None:
    text, packed = ndjson.dump(batch, "star"), binary.dump(batch)
    rules = replace(RULES, count=count)
    from_text = select(reading(cut(text, places))[0], rules)
    from_packed = select(reading(cut(packed, places))[0], replace(rules, input_format="binary"))
    assert_same(from_text.batch, from_packed.batch)
    assert [r.reason for r in from_text.rejects] == [r.reason for r in from_packed.rejects]
    assert (from_text.records, from_text.examined) == (from_packed.records, from_packed.examined)


def test_a_truncated_packed_file_keeps_what_came_before() -> None:
    batch = concatenate([batch_of([[(1, 2), (3, 4)]], [[(5, 6)]], [[(7, 8)], [(9, 9)]])])
    data = binary.dump(batch)
    selection = select(reading([data[:-1]])[0], replace(RULES, input_format="binary"))
    assert sorted(selection.batch.key_id.tolist()) == batch.key_id[:2].tolist()
    assert [reject.reason for reject in selection.rejects] == ["truncated last record"]
    assert selection.records == 3


def test_raw_files_are_chosen_from_alike() -> None:
    batch = batch_of(*([[(n, 0.5), (n, 1.5)]] for n in range(50)), raw=True)
    rules = replace(RULES, input_format="raw", keep_raw=True)
    selection = select(reading([ndjson.dump(batch, "star")])[0], rules)
    order = np.argsort(ranks(batch.key_id, 0))[: rules.count]
    expected = batch.take(order)
    assert_same(selection.batch, replace(expected, label=np.full(rules.count, 3, np.uint16)))


def test_raw_files_are_simplified_unless_told_otherwise() -> None:
    batch = batch_of(*([[(n, 0.5), (n + 2, 1.5)]] for n in range(50)), raw=True)
    selection = select(reading([ndjson.dump(batch, "star")])[0], replace(RULES, input_format="raw"))
    assert not selection.batch.is_raw
    assert selection.batch.x.tolist() == [0, 255] * RULES.count
    assert selection.batch.y.tolist() == [0, 128] * RULES.count


def test_a_raw_drawing_that_cannot_be_simplified_is_rejected() -> None:
    scribble = [(500 * (n % 2), n / 1000) for n in range(5000)]
    batch = batch_of(*([[(n, 0.5), (n + 2, 1.5)]] for n in range(50)), [scribble], raw=True)
    rules = replace(RULES, input_format="raw", count=51)
    selection = select(reading([ndjson.dump(batch, "star")])[0], rules)
    assert len(selection.batch) == 50
    assert [reject.reason for reject in selection.rejects] == ["stroke too long"]


@pytest.mark.skipif("SKETCHDATA_REAL_DATA" not in os.environ, reason="SKETCHDATA_REAL_DATA names no real files")
def test_real_files_are_chosen_from_by_rank() -> None:
    for word in ("star", "The Eiffel Tower"):
        for name, kind in ((f"simplified/{word}.ndjson", "simplified"), (f"raw/{word}.ndjson.gz", "raw")):
            data = (Path(os.environ["SKETCHDATA_REAL_DATA"]) / "quickdraw" / "full" / name).read_bytes()
            data = gzip.decompress(data) if kind == "raw" else data
            numbers = [int(json.loads(line)["key_id"]) for line in data.splitlines()]
            selection = select(reading([data])[0], replace(RULES, word=word, input_format=kind, count=10))
            assert not selection.rejects
            assert selection.batch.key_id.tolist() == sorted(numbers, key=lambda key_id: rank(key_id, 0))[:10]


@pytest.mark.parametrize("size", [1, 5_000, 60_000, 10**12])
def test_a_wrong_or_right_size_changes_nothing_but_the_work(size: int) -> None:
    lines = ndjson.dump(synth.generate("star", 400, seed=3), "star")
    rules = Rules(word="star", label=0, input_format="simplified", count=50, seed=0)
    blocks = [lines[at : at + 9_000] for at in range(0, len(lines), 9_000)]
    plain, told = select(lambda: blocks, rules), select(lambda: blocks, rules, size=size)
    assert told.batch.key_id.tolist() == plain.batch.key_id.tolist()
    assert len(told.batch) == 50
    assert (told.examined, told.records, told.md5) == (plain.examined, plain.records, plain.md5)
