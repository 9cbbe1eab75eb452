"""What a conversion refuses, and that it then leaves nothing behind."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sketchdata.errors import ConfigError, FormatError, SketchDataError
from sketchdata.formats import binary, svg
from tests.conversions import BAD, command, go, lines_of, records
from tests.trees import tree


@pytest.fixture
def star(tmp_path: Path) -> Path:
    path = tmp_path / "star.ndjson"
    path.write_bytes(lines_of())
    return path


# ---- what is not good ------------------------------------------------------------------------------------------------


def test_bad_records_are_counted_listed_and_left_out(tmp_path: Path) -> None:
    lines = lines_of().splitlines(keepends=True)
    (tmp_path / "a.ndjson").write_bytes(b"".join([*BAD, *lines]))
    found = go(tmp_path / "a.ndjson", tmp_path / "b.ndjson", max_bad_fraction=0.2, rejects=tmp_path / "bad.jsonl")
    assert (tmp_path / "b.ndjson").read_bytes() == b"".join(lines)
    assert (found.drawings, found.rejects.total()) == (30, 4)
    listed = records((tmp_path / "bad.jsonl").read_bytes())
    assert [one["where"] for one in listed] == ["byte 0", "byte 8", "byte 11", "byte 27"]
    assert [one["reason"] for one in listed] == ["broken JSON", "not an object", "missing field", "missing field"]


def test_too_many_bad_records_fail_and_are_listed_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.ndjson").write_bytes(b"".join([*BAD, lines_of()]))
    with pytest.raises(SketchDataError, match=r"4 of 34 records of .* are bad \(11.76%; --max-bad-fraction"):
        go(tmp_path / "a.ndjson", tmp_path / "b.ndjson", rejects=tmp_path / "bad.jsonl")
    assert sorted(tree(tmp_path)) == ["a.ndjson", "bad.jsonl"]
    assert len(records((tmp_path / "bad.jsonl").read_bytes())) == 4


def test_svg_files_of_folders_below_are_named(tmp_path: Path) -> None:
    (tmp_path / "all" / "cat").mkdir(parents=True)
    (tmp_path / "all" / "cat" / "1.SVG").write_bytes(b"<svg/>")
    with pytest.raises(
        ConfigError, match=r"all holds no \.svg files: there are 1 in folders below it, such as cat/1\.SVG"
    ):
        go(tmp_path / "all", tmp_path / "b.ndjson")


def test_nothing_good_fails_whatever_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "a.ndjson").write_bytes(b"".join(BAD))
    with pytest.raises(SketchDataError, match="4 of 4 records"):
        go(tmp_path / "a.ndjson", tmp_path / "b.ndjson", max_bad_fraction=1)


@pytest.mark.parametrize("name", ["a.ndjson", "star.bin", "a.svg", "star.npz"])
def test_an_empty_file_fails(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(SketchDataError):
        go(tmp_path / name, tmp_path / "b.ndjson")
    assert sorted(tree(tmp_path)) == [name]


@pytest.mark.parametrize("suffix", ["ndjson", "bin"])
def test_a_record_that_is_cut_off_is_named_as_such(suffix: str, star: Path, tmp_path: Path) -> None:
    whole = star.read_bytes()
    if suffix == "bin":
        go(star, tmp_path / "whole.bin")
        whole = (tmp_path / "whole.bin").read_bytes()
    cut = tmp_path / f"star.cut.{suffix}"
    cut.write_bytes(whole[:-3])
    found = go(cut, tmp_path / "b.ndjson", max_bad_fraction=0.1)
    assert dict(found.rejects) == {"truncated last record": 1}
    assert found.drawings == 29


def test_a_last_line_without_its_end_is_good(star: Path, tmp_path: Path) -> None:
    star.write_bytes(star.read_bytes().rstrip(b"\n"))
    assert go(star, tmp_path / "b.ndjson").drawings == 30


def test_damaged_gzip_fails_and_leaves_nothing(star: Path, tmp_path: Path) -> None:
    (tmp_path / "a.ndjson.gz").write_bytes(gzip.compress(star.read_bytes())[:-20])
    with pytest.raises(FormatError, match="truncated gzip"):
        go(tmp_path / "a.ndjson.gz", tmp_path / "b.ndjson")
    assert sorted(tree(tmp_path)) == ["a.ndjson.gz", "star.ndjson"]


@pytest.mark.slow
def test_a_file_without_line_ends_does_not_fill_the_memory(tmp_path: Path) -> None:
    (tmp_path / "a.ndjson.gz").write_bytes(gzip.compress(bytes(80 << 20), 1))
    with pytest.raises(FormatError, match="line too long"):
        go(tmp_path / "a.ndjson.gz", tmp_path / "b.ndjson")


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-1", "256", "0.5", "null", "[]"])
def test_a_bad_coordinate_is_refused(value: str, star: Path, tmp_path: Path) -> None:
    line = star.read_bytes().splitlines()[0]
    record = json.loads(line)
    record["drawing"] = [["VALUE"], [1]]
    bad = json.dumps({**record, "drawing": [[["VALUE"], [1]]]}).replace('"VALUE"', value)
    star.write_bytes(star.read_bytes() + bad.encode() + b"\n")
    assert go(star, tmp_path / "b.ndjson", max_bad_fraction=0.1).rejects.total() == 1


def test_another_word_than_the_one_asked_for_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.ndjson").write_bytes(lines_of(9) + lines_of(1, word="cat"))
    found = go(tmp_path / "a.ndjson", tmp_path / "b.ndjson", word="star", max_bad_fraction=0.2)
    assert dict(found.rejects) == {"wrong word": 1}


def test_two_drawings_of_one_key_id_do_not_replace_each_other(star: Path, tmp_path: Path) -> None:
    star.write_bytes(star.read_bytes() + star.read_bytes().splitlines(keepends=True)[0])
    found = go(star, f"{tmp_path}/svgs/", max_bad_fraction=0.1)
    assert (found.drawings, dict(found.rejects)) == (30, {"duplicate key_id": 1})
    assert len(tree(tmp_path / "svgs")) == 30


def test_a_bad_svg_of_a_folder_is_named(star: Path, tmp_path: Path) -> None:
    go(star, f"{tmp_path}/svgs/")
    (tmp_path / "svgs" / "evil.svg").write_text('<!DOCTYPE svg [<!ENTITY e SYSTEM "e">]><svg>&e;</svg>')
    found = go(tmp_path / "svgs", tmp_path / "b.ndjson", max_bad_fraction=0.1)
    assert found.drawings == 30
    assert found.examples[0].startswith("evil.svg: SVG with declarations")


class Bomb:
    """What would run a program when unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return os.system, (f"touch '{self.trace}'",)


def test_a_hostile_npz_runs_nothing(tmp_path: Path) -> None:
    trace, array = tmp_path / "ran", np.empty(1, object)
    array[0] = Bomb(trace)
    np.savez(tmp_path / "star.npz", allow_pickle=True, train=array)
    with pytest.raises(FormatError, match="nothing of it was run"):
        go(tmp_path / "star.npz", tmp_path / "b.ndjson")
    assert sorted(tree(tmp_path)) == ["star.npz"]
    with zipfile.ZipFile(tmp_path / "star.npz") as archive:
        pickle.loads(archive.read("train.npy")[128:])
    assert trace.exists()


# ---- names, words, folders -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("star.bin", "star"),
        ("star.simplified.bin", "star"),
        ("sketchrnn_star.bin", "star"),
        ("full_binary_star.bin", "star"),
        ("full_binary_hot%20dog.bin", "hot dog"),
        ("hot+dog.bin", "hot dog"),
    ],
)
def test_an_official_files_name_gives_the_word(name: str, word: str, star: Path, tmp_path: Path) -> None:
    go(star, tmp_path / name)
    go(tmp_path / name, tmp_path / "b.ndjson")
    assert {record["word"] for record in records((tmp_path / "b.ndjson").read_bytes())} == {word}


def test_kaggles_csv_gives_the_very_records_back(star: Path, tmp_path: Path) -> None:
    go(star, tmp_path / "a.csv")
    head, first, *_ = (tmp_path / "a.csv").read_text().splitlines()
    assert head == "countrycode,drawing,key_id,recognized,timestamp,word"
    assert first.endswith(",star")
    assert " UTC" not in first
    go(tmp_path / "a.csv", tmp_path / "b.ndjson")
    go(star, tmp_path / "c.ndjson")
    assert (tmp_path / "b.ndjson").read_bytes() == (tmp_path / "c.ndjson").read_bytes()


def test_kaggles_csv_may_lack_columns_and_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    rows = ["key_id,drawing", '5,"[[[0, 9], [3, 4]]]"', '6,"[[[0, 9], [3]]]"', "7,oops"]
    (tmp_path / "a.csv").write_text("\ufeff" + "\r\n".join(rows))
    converted = go(tmp_path / "a.csv", tmp_path / "b.ndjson", word="cat", max_bad_fraction=0.9)
    assert (converted.drawings, converted.rejects.total()) == (1, 2)
    assert [example.partition(":")[0] for example in converted.examples] == ["row 3", "row 4"]
    (record,) = records((tmp_path / "b.ndjson").read_bytes())
    assert (record["word"], record["key_id"], record["countrycode"], record["recognized"]) == ("cat", "5", None, True)


def test_without_a_known_name_the_word_must_be_given_where_it_is_needed(star: Path, tmp_path: Path) -> None:
    go(star, tmp_path / "mine.bin")
    with pytest.raises(ConfigError, match="--word"):
        go(tmp_path / "mine.bin", tmp_path / "b.ndjson")
    assert go(tmp_path / "mine.bin", tmp_path / "mine.npz").drawings == 30
    go(tmp_path / "mine.bin", tmp_path / "b.ndjson", word="my shape")
    assert {record["word"] for record in records((tmp_path / "b.ndjson").read_bytes())} == {"my shape"}


@pytest.mark.parametrize(
    ("source", "out", "options", "message"),
    [
        ("star.ndjson", "b.xyz", {}, "unknown format of"),
        ("star.ndjson", "b", {}, "its suffix should be one of .ndjson, .csv, .bin"),
        ("b.npy", "b.ndjson", {}, "only written"),
        ("absent.ndjson", "b.ndjson", {}, "does not exist"),
        ("star.ndjson", "star.ndjson", {}, "exists"),
        ("star.ndjson", "b.bin.gz", {}, "only .ndjson"),
        ("star.ndjson", "folder/", {"out_format": "bin"}, "only SVG files go into"),
        ("folder", "b.ndjson", {"in_format": "bin"}, "only SVG files are read"),
        ("folder", "b.ndjson", {}, "holds no .svg files"),
        ("-", "b.ndjson", {}, "--from ndjson"),
        ("-", "b.ndjson", {"in_format": "npz"}, "not text"),
        ("star.ndjson", "-", {}, "--to ndjson"),
        ("star.ndjson", "-", {"out_format": "npy"}, "not text"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_done(
    source: str, out: str, options: dict[str, Any], message: str, star: Path, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    before = tree(tmp_path)
    source, out = (name if name == "-" else f"{tmp_path}/{name}" for name in (source, out))
    with pytest.raises(ConfigError, match=message):
        go(source, out, **options)
    assert tree(tmp_path) == before


def test_formats_can_be_named_where_suffixes_do_not_tell(star: Path, tmp_path: Path) -> None:
    star.rename(tmp_path / "star")
    go(tmp_path / "star", tmp_path / "packed", in_format="ndjson", out_format="bin")
    blocks = list(binary.scan([(tmp_path / "packed").read_bytes()]))
    assert sum(map(len, blocks)) == 30


def test_an_existing_file_is_replaced_only_when_asked_for(star: Path, tmp_path: Path) -> None:
    out = tmp_path / "b.ndjson"
    out.write_text("mine")
    with pytest.raises(ConfigError, match="--overwrite"):
        go(star, out)
    assert out.read_text() == "mine"
    go(star, out, overwrite=True)
    assert out.read_bytes() == star.read_bytes()


def test_files_in_an_existing_folder_are_replaced_only_when_asked_for(star: Path, tmp_path: Path) -> None:
    go(star, f"{tmp_path}/svgs/")
    name = min(tree(tmp_path / "svgs"))
    (tmp_path / "svgs" / name).write_text("mine")
    (tmp_path / "svgs" / "note.txt").write_text("mine too")
    with pytest.raises(ConfigError, match="holds 30 of these files"):
        go(star, tmp_path / "svgs")
    assert (tmp_path / "svgs" / name).read_text() == "mine"
    go(star, tmp_path / "svgs", overwrite=True)
    assert svg.load((tmp_path / "svgs" / name).read_bytes()).word == "star"
    assert (tmp_path / "svgs" / "note.txt").read_text() == "mine too"


def test_one_svg_holds_one_drawing(star: Path, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="give a folder"):
        go(star, tmp_path / "star.svg")
    star.write_bytes(star.read_bytes().splitlines(keepends=True)[0])
    go(star, tmp_path / "star.svg")
    go(tmp_path / "star.svg", tmp_path / "b.ndjson")
    assert (tmp_path / "b.ndjson").read_bytes() == star.read_bytes()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["star.ndjson", "b.bin"], b"error: 4 of 34 records of star.ndjson are bad"),
        (["absent.bin", "b.ndjson", "--word", "x"], b"error: absent.bin does not exist"),
        (["star.ndjson", "star.npz/b.bin"], b"error: "),
    ],
)
def test_a_fault_is_one_message_and_exit_code_1(arguments: list[str], message: bytes, star: Path) -> None:
    star.write_bytes(star.read_bytes() + b"".join(BAD))
    done = command(*arguments, folder=star.parent)
    assert (done.returncode, done.stdout) == (1, b"")
    assert message in done.stderr
    assert b"Traceback" not in done.stderr
