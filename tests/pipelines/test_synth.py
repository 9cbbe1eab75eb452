"""Generating sources: the same bytes for the same options, in the official layout, and never mistaken for real ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from sketchdata.drawings.drawing import DrawingBatch
from sketchdata.engine import EngineOptions
from sketchdata.errors import ConfigError
from sketchdata.formats import binary, ndjson
from sketchdata.formats import ndjson as ndjson_scan
from sketchdata.pipelines import synth
from tests.commands import sketchdata
from tests.quickdraw_builds import CATEGORIES, LINES, generate, lines_of, source_file
from tests.trees import tree, tree_sha256


def content(folder: Path) -> dict[str, bytes]:
    """Return the files that are the data: the done-markers beside them hold times."""
    return {name: data for name, data in tree(folder).items() if not name.startswith(".synth/")}


def read(source: Path, word: str, suffix: str) -> DrawingBatch:
    scan, parse = (binary.scan, binary.parse) if suffix == ".bin" else (ndjson_scan.scan, ndjson.parse)
    blocks = list(scan([source_file(source, word, suffix).read_bytes()]))
    parsed = parse([block.record(i) for block in blocks for i in range(len(block))], word=word, label=0)
    assert parsed.faults == []
    return parsed.batch


@pytest.mark.slow
def test_workers_give_the_same_files_as_none(tmp_path: Path) -> None:
    generate(tmp_path / "one")
    pool = synth.Config(out=tmp_path / "two", drawings=LINES, categories=",".join(CATEGORIES))
    generated = synth.run(pool, EngineOptions(workers=2))
    assert generated == synth.Generated(
        files=4,
        drawings=4 * LINES,
        bytes=sum(len(lines) for lines in content(tmp_path / "two").values()) - len(synth.NOTE),
    )
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_a_category_does_not_depend_on_the_others(tmp_path: Path) -> None:
    generate(tmp_path / "all")
    generate(tmp_path / "one", ["star"])
    assert lines_of(tmp_path / "one", "star") == lines_of(tmp_path / "all", "star")


def test_more_drawings_begin_with_the_same_ones(tmp_path: Path) -> None:
    generate(tmp_path / "few", ["star"])
    generate(tmp_path / "many", ["star"], drawings=5000)
    assert lines_of(tmp_path / "many", "star")[:LINES] == lines_of(tmp_path / "few", "star")
    assert len(lines_of(tmp_path / "many", "star")) == 5000


def test_another_seed_gives_other_drawings(tmp_path: Path) -> None:
    generate(tmp_path / "one", ["star"])
    generate(tmp_path / "two", ["star"], seed=1)
    assert not set(lines_of(tmp_path / "one", "star")) & set(lines_of(tmp_path / "two", "star"))


def test_spread_gives_categories_different_numbers(tmp_path: Path) -> None:
    generate(tmp_path, spread=2.0)
    counts = [len(lines_of(tmp_path, word)) for word in CATEGORIES]
    assert min(counts) >= LINES
    assert max(counts) <= 3 * LINES
    assert len(set(counts)) > 1


def test_binary_and_ndjson_hold_the_same_drawings(tmp_path: Path) -> None:
    generate(tmp_path, ["star"])
    generate(tmp_path, ["star"], format="binary")
    text, packed = read(tmp_path, "star", ".ndjson"), read(tmp_path, "star", ".bin")
    assert len(text) == LINES
    for column in ("key_id", "countrycode", "recognized", "strokes", "points", "x", "y"):
        assert (getattr(text, column) == getattr(packed, column)).all(), column
    assert (text.timestamp // 1_000_000 == packed.timestamp // 1_000_000).all()


def test_a_note_says_that_the_drawings_are_generated(tmp_path: Path) -> None:
    generate(tmp_path, ["star"])
    note = (tmp_path / "GENERATED.txt").read_text()
    assert "not from Quick, Draw!" in note
    assert "generated" in note


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "star.ndjson").write_text("real, perhaps")
    with pytest.raises(ConfigError, match="not made by"):
        generate(tmp_path)
    assert tree(tmp_path) == {"full/star.ndjson": b"real, perhaps"}


def test_a_second_call_writes_nothing_again(tmp_path: Path) -> None:
    generate(tmp_path)
    before = source_file(tmp_path, "star").stat().st_mtime_ns
    generate(tmp_path)
    assert source_file(tmp_path, "star").stat().st_mtime_ns == before


def test_a_file_that_was_cut_short_is_written_again(tmp_path: Path) -> None:
    generate(tmp_path)
    before = tree_sha256(tmp_path / "full")
    star = source_file(tmp_path, "star")
    star.write_bytes(star.read_bytes()[:100])
    generate(tmp_path)
    assert tree_sha256(tmp_path / "full") == before


def test_the_command_says_what_it_wrote(tmp_path: Path) -> None:
    done = sketchdata("synth", "--out", tmp_path / "s", "--categories", "star,cat", "--drawings", 10, "--workers", 0)
    assert "20 generated drawings in 2 files" in done.stdout
    assert "not from Quick, Draw!" in done.stdout


@pytest.mark.parametrize(
    ("more", "exit_code", "message"),
    [
        (["--categories", "sttar"], 1, "did you mean star"),
        (["--drawings", 0], 2, "--drawings"),
        (["--seed", 2**64], 2, "--seed"),
        (["--spread", -1], 2, "--spread"),
    ],
)
def test_wrong_options_are_refused_in_words(tmp_path: Path, more: list[object], exit_code: int, message: str) -> None:
    failed = sketchdata("synth", "--out", tmp_path / "s", "--categories", "star", *more, expect=exit_code)
    assert message in failed.stderr


def test_out_is_required() -> None:
    assert "--out" in sketchdata("synth", expect=2).stderr
