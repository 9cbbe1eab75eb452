"""The log of outcomes: what is written is read, and a torn line is never taken for one."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.photos.crawl import PhotoOutcome
from sketchdata.photos.crawl.outcomes import OutcomeLog, OutcomeWriter, today
from tests.photo_servers import read_outcomes

DAY = datetime.date(2024, 5, 6)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
OUTCOMES = st.builds(
    PhotoOutcome,
    url=TEXTS,
    status=st.sampled_from(["ok", "failed", "refused"]),
    error=st.none() | TEXTS,
    detail=st.none() | TEXTS,
    sha256=st.none() | st.text("0123456789abcdef", min_size=64, max_size=64),
    phash=st.none() | st.integers(0, 2**64 - 1),
    bytes=st.none() | st.integers(0, 2**40),
    width=st.none() | st.integers(1, 2**31),
    fetched=st.dates(),
    http_status=st.none() | st.integers(100, 599),
    final_url=st.none() | TEXTS,
)


def write(folder: Path, *outcomes: PhotoOutcome) -> Path:
    log = OutcomeLog(folder)
    writer = OutcomeWriter(log)
    for outcome in outcomes:
        writer.append(outcome)
    writer.close()
    return log.path


def outcome(url: str, **fields: Any) -> PhotoOutcome:
    return PhotoOutcome(**{"url": url, "status": "ok", "fetched": DAY, **fields})


@pytest.mark.slow
@settings(max_examples=30)
@given(outcomes=st.lists(OUTCOMES, max_size=5, unique_by=lambda each: each.url))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, outcomes: list[PhotoOutcome]) -> None:
    folder = tmp_path_factory.mktemp("log")
    write(folder, *outcomes)
    assert read_outcomes(folder) == {each.url: each for each in outcomes}


def test_no_crawl_is_no_outcomes(tmp_path: Path) -> None:
    assert read_outcomes(tmp_path / "nothing") == {}


def test_the_latest_outcome_of_a_url_counts(tmp_path: Path) -> None:
    write(tmp_path, outcome("a", status="failed"), outcome("b"), outcome("a"))
    assert read_outcomes(tmp_path) == {"a": outcome("a"), "b": outcome("b")}


@pytest.mark.parametrize("kept", [1, 10, 30, -1])
def test_a_torn_last_line_is_passed_over_and_then_cut_off(tmp_path: Path, kept: int) -> None:
    path = write(tmp_path, outcome("a"), outcome("b"))
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + second[:kept])
    assert list(read_outcomes(tmp_path)) == ["a"]
    write(tmp_path, outcome("c"))
    assert list(read_outcomes(tmp_path)) == ["a", "c"]


def test_a_log_that_is_one_torn_line_is_empty(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_bytes(b"x" * 3_000_000)
    assert read_outcomes(tmp_path) == {}
    write(tmp_path, outcome("a"))
    assert list(read_outcomes(tmp_path)) == ["a"]


@pytest.mark.parametrize("line", [b"nonsense\n", b"[]\n", b'{"url":"a"}\n', b'{"fetched":"2024-05-06","odd":1}\n'])
def test_a_line_that_is_no_outcome_is_a_clear_error(tmp_path: Path, line: bytes) -> None:
    with write(tmp_path, outcome("a")).open("ab") as file:
        file.write(line)
    with pytest.raises(SketchDataError, match=r"outcomes\.jsonl: .* is not an outcome .*remove that line"):
        read_outcomes(tmp_path)


def test_the_day_is_that_of_source_date_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1714953600")
    assert today() == DAY
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(ConfigError, match="SOURCE_DATE_EPOCH = 'yesterday'"):
        today()
