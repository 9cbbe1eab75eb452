"""No acknowledged decision is ever lost: not by kill -9, not by other writers, not by a full disk; and undo undoes."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sketchdata.curation.decisions import VERDICTS, Decision, DecisionLog, in_force, parse, parse_key_id
from sketchdata.errors import FormatError, SketchDataError

WHEN = datetime(2024, 5, 6, 7, 8, 9, 120, tzinfo=timezone.utc)
LINE = (
    b'{"who":"ada","when":"2024-05-06T07:08:09.000120Z","key_id":"5891796615823360",'
    b'"verdict":"drop","reason":"a word","batch":null}\n'
)


def decide(verdict: str = "drop", key_id: int = 1, **values: object) -> Decision:
    return Decision(**{"who": "ada", "key_id": key_id, "verdict": verdict, **values})


@pytest.fixture
def log(tmp_path: Path) -> DecisionLog:
    return DecisionLog(tmp_path / "audit" / "decisions.jsonl")


# ---- what is written is what is read --------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
decisions = st.builds(
    Decision,
    who=texts.filter(str.strip),
    key_id=st.integers(0, 2**64 - 1),
    verdict=st.sampled_from([verdict for verdict in VERDICTS if verdict != "relabel"]),
    reason=texts,
    batch=st.none() | texts,
    when=st.datetimes(datetime(1970, 1, 1), timezones=st.just(timezone.utc)),
)


relabellings = st.builds(
    Decision,
    who=texts.filter(str.strip),
    key_id=st.integers(0, 2**64 - 1),
    verdict=st.just("relabel"),
    word=texts.filter(bool),
    when=st.datetimes(datetime(1970, 1, 1), timezones=st.just(timezone.utc)),
)


@given(st.lists(decisions | relabellings))
def test_any_decisions_are_read_as_they_were_written(taken: list[Decision]) -> None:
    assert parse(b"".join(each.line() for each in taken), Path("log")) == taken


def test_a_decision_is_one_line_of_json(log: DecisionLog) -> None:
    log.append([decide(key_id=5891796615823360, reason="a word", when=WHEN)])
    assert log.path.read_bytes() == LINE == log.content()


def test_decisions_stay_in_the_order_in_which_they_were_taken(log: DecisionLog) -> None:
    first, second = [decide("keep", 7), decide("drop", 3)], [decide("undo", 7)]
    log.append(first)
    log.append(second)
    assert log.read() == DecisionLog(log.path).read() == first + second


def test_the_time_of_a_decision_is_now_in_utc() -> None:
    before = datetime.now(timezone.utc)
    assert before <= decide().when <= datetime.now(timezone.utc)


def test_a_log_that_does_not_exist_is_empty_and_stays_so(log: DecisionLog) -> None:
    log.append([])
    assert (log.read(), in_force(log.read()), log.read_from(0), log.content()) == ([], {}, ([], 0), b"")
    assert not log.path.exists()


# ---- undo -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ("", None),
        ("keep", "keep"),
        ("keep drop", "drop"),
        ("keep drop undo", "keep"),
        ("keep drop undo undo", None),
        ("undo", None),
        ("undo drop", "drop"),
        ("drop undo undo keep", "keep"),
        ("drop drop undo", "drop"),
        ("drop undo keep drop undo undo", None),
    ],
)
def test_undo_takes_back_the_latest_decision_that_still_stands(verdicts: str, expected: str | None) -> None:
    found = in_force(decide(verdict) for verdict in verdicts.split()).get(1)
    assert (found and found.verdict) == expected


def test_undo_takes_back_a_new_class(log: DecisionLog) -> None:
    log.append([decide("relabel", word="mug"), decide("relabel", word="cup"), decide("undo")])
    assert in_force(log.read())[1].word == "mug"
    log.append([decide("undo")])
    assert in_force(log.read()) == {}


@pytest.mark.parametrize(("verdict", "word"), [("relabel", None), ("relabel", ""), ("keep", "mug"), ("relabel", 7)])
def test_only_a_new_label_has_a_class(verdict: str, word: object) -> None:
    with pytest.raises(FormatError):
        decide(verdict, word=word)


def test_undo_changes_only_its_drawing_and_decisions_of_any_curator(log: DecisionLog) -> None:
    log.append([decide("drop", 1), decide("keep", 2), decide("undo", 1, who="bob")])
    assert {key_id: each.verdict for key_id, each in in_force(log.read()).items()} == {2: "keep"}


# ---- what cannot be -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"verdict": "delete"}, "unknown verdict: 'delete' is not one of keep, drop, relabel, undo"),
        ({"key_id": -1}, "not a key_id"),
        ({"key_id": 2**64}, "not a key_id"),
        ({"key_id": "1"}, "not a key_id"),
        ({"key_id": True}, "not a key_id"),
        ({"reason": "x" * 501}, "reason is too long: 501 characters instead of at most 500"),
        ({"reason": None}, "reason is not a text"),
        ({"reason": "\ud800"}, "reason is not a text: half of a character"),
        ({"who": ""}, "no curator"),
        ({"who": " \t"}, "no curator"),
        ({"who": "x" * 201}, "who is too long"),
        ({"batch": 7}, "batch is not a text"),
        ({"when": datetime(2024, 5, 6)}, "not a time in UTC"),
        ({"when": WHEN.astimezone(timezone(timedelta(hours=2)))}, "not a time in UTC"),
    ],
)
def test_a_decision_that_cannot_be_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        decide(**values)


def test_a_reason_of_500_characters_is_not_too_long() -> None:
    assert len(decide(reason="ü" * 500).reason) == 500


@pytest.mark.parametrize("text", ["", "-1", "1.0", "007", "１", "1 ", "18446744073709551616", "9" * 5000, 7, None])
def test_a_key_id_is_a_text_of_plain_digits(text: object) -> None:
    with pytest.raises(FormatError, match="not a key_id"):
        decide(key_id=parse_key_id(text))


def test_the_largest_key_id_is_one() -> None:
    assert parse_key_id("18446744073709551615") == 2**64 - 1


@pytest.mark.parametrize(
    ("junk", "message"),
    [
        (b"{", "is not a decision"),
        (b"", "is not a decision"),
        (b"\xff\xfe", "is not a decision"),
        (b"[1]", "other fields"),
        (LINE.strip().replace(b'"drop"', b'"burn"'), "unknown verdict"),
        (LINE.strip().replace(b'"5891796615823360"', b"5891796615823360"), "not a key_id"),
        (LINE.strip().replace(b"09.000120Z", b"09Z"), "not a time"),
        (LINE.strip().replace(b"-06T", b"-36T"), "not a time"),
        (LINE.strip().replace(b'"2024', b'2024, "x": "'), "is not a decision"),
        (LINE.strip().replace(b'"ada"', b'""'), "no curator"),
        (LINE.strip().replace(b'"batch":null', b'"colour":null'), "other fields"),
        (LINE.strip().replace(b'"who":"ada",', b""), "other fields"),
    ],
)
def test_a_line_that_is_no_decision_is_named_by_its_number(log: DecisionLog, junk: bytes, message: str) -> None:
    log.append([decide(), decide()])
    _, seen = log.read_from(0)
    with log.path.open("ab") as file:
        file.write(junk + b"\n")
    for read in (log.read, lambda: in_force(log.read()), lambda: log.read_from(seen)):
        with pytest.raises(SketchDataError, match=message) as error:
            read()
        assert str(error.value).startswith(f"{log.path}, line 3 is not a decision: ")


# ---- torn lines -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("torn", [LINE[:1], LINE[:60], LINE[:-1], b"\0" * 40])
@pytest.mark.parametrize("before", [0, 2])
def test_a_torn_last_line_is_ignored_and_then_cut_off_with_a_note(
    log: DecisionLog, capsys: pytest.CaptureFixture[str], torn: bytes, before: int
) -> None:
    taken = [decide(key_id=number) for number in range(before)]
    log.append(taken)
    log.path.parent.mkdir(exist_ok=True)
    with log.path.open("ab") as file:
        file.write(torn)
    again = DecisionLog(log.path)
    assert again.read() == taken
    assert again.read_from(0)[0] == taken
    note = " ".join(capsys.readouterr().err.split())
    assert f"{len(torn)} bytes of a torn line, at byte {before * len(decide().line()):,}" in note
    assert "is ignored" in note
    again.append([decide("keep", 9)])
    assert "was cut off" in " ".join(capsys.readouterr().err.split())
    assert [each.key_id for each in log.read()] == [*range(before), 9]
    assert torn not in log.path.read_bytes().split(b"\n")


def test_a_whole_log_is_opened_without_a_note(log: DecisionLog, capsys: pytest.CaptureFixture[str]) -> None:
    log.append([decide()])
    DecisionLog(log.path).append([decide()])
    assert capsys.readouterr().err == ""


# ---- the feed -------------------------------------------------------------------------------------------------------


def test_the_feed_gives_each_decision_once(log: DecisionLog) -> None:
    offset, seen = 0, []
    for number in range(5):
        log.append([decide(key_id=number, reason="é" * number), decide(key_id=number + 10)][: 1 + number % 2])
        news, offset = log.read_from(offset)
        assert len(news) == 1 + number % 2
        seen += news
        assert log.read_from(offset) == ([], offset)
    assert seen == log.read()
    assert offset == log.path.stat().st_size


def test_the_feed_waits_for_the_end_of_a_line(log: DecisionLog) -> None:
    log.append([decide()])
    _, offset = log.read_from(0)
    with log.path.open("ab") as file:
        file.write(LINE[:30])
        file.flush()
        assert log.read_from(offset) == ([], offset)
        file.write(LINE[30:])
    news, after = log.read_from(offset)
    assert ([each.reason for each in news], after) == (["a word"], offset + len(LINE))


@pytest.mark.parametrize("offset", [1, 50, 10_000])
def test_an_offset_that_the_log_never_gave_is_refused(log: DecisionLog, offset: int) -> None:
    with pytest.raises(SketchDataError, match="no line that begins at byte"):
        log.read_from(offset)
    log.append([decide()])
    with pytest.raises(SketchDataError, match="no line that begins at byte"):
        log.read_from(offset)


# ---- other processes, kill -9, full disks ---------------------------------------------------------------------------

APPEND = """
import sys
from pathlib import Path
from sketchdata.curation.decisions import Decision, DecisionLog

path, who, batches, size, start = Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:])
log = DecisionLog(path)
print("ready", flush=True)
sys.stdin.readline()
for number in range(batches):
    first = start + number * size
    log.append(
        [Decision(who=who, key_id=first + i, verdict="drop", reason="x" * 400, batch=str(number)) for i in range(size)]
    )
    print(first, flush=True)
"""


def writer(log: DecisionLog, who: str, *numbers: int) -> subprocess.Popen[str]:
    """Start a process that appends batches and prints each one's first key_id once it is acknowledged."""
    command = [sys.executable, "-c", APPEND, str(log.path), who, *map(str, numbers)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def let_go(processes: Sequence[subprocess.Popen[str]]) -> None:
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()


def test_processes_that_append_at_once_lose_nothing_of_each_other(log: DecisionLog) -> None:
    names, batches, size = ("ada", "bob", "eve", "kim"), 50, 3
    processes = [writer(log, who, batches, size, 1000 * number) for number, who in enumerate(names)]
    let_go(processes)
    offset, seen = 0, []
    while any(process.poll() is None for process in processes):
        news, offset = log.read_from(offset)
        seen += news
    assert [process.communicate()[0].count("\n") for process in processes] == [batches] * len(names)
    seen += log.read_from(offset)[0]
    assert seen == log.read()
    for number, who in enumerate(names):
        own = [each.key_id for each in seen if each.who == who]
        assert own == [1000 * number + i for i in range(batches * size)]
    # A batch is never mixed with another one.
    batch_of_three = [seen[i : i + size] for i in range(0, len(seen), size)]
    assert all(len({(each.who, each.batch) for each in three}) == 1 for three in batch_of_three)


@pytest.mark.slow
def test_kill_9_loses_no_acknowledged_decision(log: DecisionLog) -> None:
    chance, acknowledged, size = random.Random(20170301), set(), 400
    for number in range(12):
        process = writer(log, "ada", 10_000, size, number * 10_000_000)
        let_go([process])
        time.sleep(chance.uniform(0.0, 0.15))
        process.send_signal(signal.SIGKILL)
        printed, _ = process.communicate()
        assert process.returncode == -signal.SIGKILL
        # Of the last line, the kill may have left a part: then it was not told to anybody.
        told = [int(line) for line in printed.splitlines(keepends=True) if line.endswith("\n")]
        acknowledged |= {first + i for first in told for i in range(size)}
        assert acknowledged <= {each.key_id for each in DecisionLog(log.path).read()}
    assert len(acknowledged) > 12 * size
    log.append([decide("keep", 7)])
    assert log.read()[-1].key_id == 7


FILL = """
import resource, sys
from pathlib import Path
from sketchdata.curation.decisions import Decision, DecisionLog

log = DecisionLog(Path(sys.argv[1]))
size = log.path.stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 1000, size + 1000))
try:
    log.append([Decision(who="ada", key_id=i, verdict="drop") for i in range(100)])
except OSError as error:
    print("refused:", error)
"""


def test_what_did_not_fit_on_the_disk_is_refused_and_leaves_nothing(log: DecisionLog) -> None:
    log.append([decide(key_id=5)])
    before = log.path.read_bytes()
    done = subprocess.run([sys.executable, "-c", FILL, str(log.path)], capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("refused: only 1,000 of "), done.stderr
    assert log.path.read_bytes() == before


def test_the_log_of_another_program_that_reads_json_lines(log: DecisionLog) -> None:
    log.append([decide("keep", 2**64 - 1, reason='"quoted"\n', batch="b1")])
    values = [orjson.loads(line) for line in log.path.read_bytes().splitlines()]
    assert values[0]["key_id"] == "18446744073709551615"
    assert (values[0]["reason"], values[0]["batch"]) == ('"quoted"\n', "b1")
