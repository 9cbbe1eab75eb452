"""A manifest is read as it was written, is there whole or not at all, and a folder is never built over."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.manifest import (
    MANIFEST_NAME,
    FileEntry,
    Manifest,
    SourceEntry,
    claim_folder,
    file_entry,
    hash_file,
    read_manifest,
    replacing,
)
from sketchdata.version import SCHEMA_VERSION, __version__

SHA = "0" * 64
OWN = {MANIFEST_NAME, "data", "README.md"}


def shard(path: str) -> FileEntry:
    return FileEntry(path=path, bytes=5, sha256=SHA, records=1)


MANIFEST = Manifest(
    name="quickdraw-3.8m",
    config={"seed": 2**64 - 1, "train": 9000, "recognized_only": False, "max_bad_fraction": 0.001, "categories": None},
    classes=("The Eiffel Tower", "star", "ünïcode"),
    counts={"train": {"star": 3, "The Eiffel Tower": 4}, "query": {"star": 1, "The Eiffel Tower": 0}},
    rejects={"broken JSON": 2},
    sources=(SourceEntry(path="full/simplified/star.ndjson", bytes=9, md5="1" * 32, records=4, official=True),),
    files=(
        shard("README.md"),
        shard("data/query-00000-of-00001.parquet"),
        shard("data/train-00000-of-00002.parquet"),
        shard("data/train-00001-of-00002.parquet"),
        shard("data/training-notes.parquet"),
        shard("data/train-lines.txt"),
    ),
)


def test_a_manifest_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert MANIFEST.write(tmp_path) == tmp_path / MANIFEST_NAME
    assert read_manifest(tmp_path) == MANIFEST
    assert (MANIFEST.version, MANIFEST.tool) == (SCHEMA_VERSION, f"sketchdata {__version__}")
    assert [path.name for path in tmp_path.iterdir()] == [MANIFEST_NAME]


def test_the_same_manifest_has_the_same_bytes(tmp_path: Path) -> None:
    first, second = MANIFEST.write(tmp_path / "a").read_bytes(), MANIFEST.write(tmp_path / "b").read_bytes()
    assert first == second
    assert first.endswith(b"}\n")


def test_splits_are_summed_and_their_shards_listed_in_order() -> None:
    assert MANIFEST.splits == {"train": 7, "query": 1}
    assert [f.path for f in MANIFEST.shards("train")] == [f"data/train-0000{i}-of-00002.parquet" for i in (0, 1)]
    assert not MANIFEST.shards("val")


def test_a_missing_manifest_says_whether_the_folder_is_there(tmp_path: Path) -> None:
    with pytest.raises(SketchDataError, match=r"is not a finished data set: it has no manifest\.json.*did not finish"):
        read_manifest(tmp_path)
    with pytest.raises(SketchDataError, match=r"nowhere is not a finished data set: it does not exist"):
        read_manifest(tmp_path / "nowhere")


def test_another_layout_version_is_refused_with_both_versions(tmp_path: Path) -> None:
    replace(MANIFEST, version=SCHEMA_VERSION + 1).write(tmp_path)
    with pytest.raises(SketchDataError, match=rf"version {SCHEMA_VERSION + 1}.*reads version {SCHEMA_VERSION}"):
        read_manifest(tmp_path)


def without(name: str) -> bytes:
    values = orjson.loads(orjson.dumps(MANIFEST))
    del values[name]
    return orjson.dumps(values)


def having(**values: object) -> bytes:
    return orjson.dumps({**orjson.loads(orjson.dumps(MANIFEST)), **values})


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"null",
        b'"text"',
        b"7",
        b"{}",
        b'{"version": 1}',
        *(without(name) for name in ("version", "name", "classes", "counts", "files", "sources", "config")),
        having(unknown=1),
        having(files=None),
        having(files=[1]),
        having(files=[{"path": "x"}]),
        having(sources=[{"path": "x", "more": 1}]),
        having(classes=7),
    ],
)
def test_anything_else_in_its_place_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / MANIFEST_NAME).write_bytes(content)
    with pytest.raises(SketchDataError, match=r"manifest\.json is not a manifest of sketchdata"):
        read_manifest(tmp_path)


def test_a_file_is_described_by_path_size_and_hash(tmp_path: Path) -> None:
    path, content = tmp_path / "data" / "x.bin", bytes(range(256)) * 10_000
    path.parent.mkdir()
    path.write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    assert file_entry(path, tmp_path, 3) == FileEntry(path="data/x.bin", bytes=len(content), sha256=sha256, records=3)
    assert hash_file(path, "md5") == hashlib.md5(content, usedforsecurity=False).hexdigest()


def test_a_replaced_file_appears_with_its_folders_only_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "x.txt"
    with replacing(path) as file:
        file.write(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert [p.name for p in path.parent.iterdir()] == ["x.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes(b"old")

    def fail() -> None:
        with replacing(path) as file:
            file.write(b"half")
            raise error

    with pytest.raises(error):
        fail()
    assert [p.name for p in tmp_path.iterdir()] == ["x.txt"]
    assert path.read_bytes() == b"old"


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    # As two jobs of an array do that have the same process number on two machines.
    path = tmp_path / "x.txt"
    with replacing(path) as one:
        one.write(b"one")
        with replacing(path) as other:
            other.write(b"other")
        assert path.read_bytes() == b"other"
    assert path.read_bytes() == b"one"
    assert [p.name for p in tmp_path.iterdir()] == ["x.txt"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_new_an_empty_and_a_begun_folder_may_be_built_in(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "begun" / "data").mkdir(parents=True)
    (tmp_path / "begun" / "data" / "shard").write_bytes(b"kept")
    for name in ("new", "empty", "begun"):
        claim_folder(tmp_path / name, own=OWN, overwrite=overwrite)
    assert (tmp_path / "begun" / "data" / "shard").read_bytes() == b"kept"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_with_other_things_or_a_file_is_refused_and_left_alone(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    (tmp_path / "data").mkdir()
    with pytest.raises(ConfigError, match=r"is not empty, it holds thesis\.tex: choose another --out"):
        claim_folder(tmp_path, own=OWN, overwrite=overwrite)
    with pytest.raises(ConfigError, match=r"thesis\.tex is a file: choose another --out"):
        claim_folder(tmp_path / "thesis.tex", own=OWN, overwrite=overwrite)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "thesis.tex"]


def finished(folder: Path) -> None:
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "shard").write_bytes(b"x")
    (folder / "README.md").write_text("x")
    MANIFEST.write(folder)


def test_overwriting_a_finished_data_set_removes_it(tmp_path: Path) -> None:
    finished(tmp_path)
    claim_folder(tmp_path, own=OWN, overwrite=True)
    assert not list(tmp_path.iterdir())


def test_overwriting_removes_nothing_when_there_are_other_things_too(tmp_path: Path) -> None:
    finished(tmp_path)
    (tmp_path / "thesis.tex").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ConfigError, match=r"holds thesis\.tex"):
        claim_folder(tmp_path, own=OWN, overwrite=True)
    assert sorted(tmp_path.rglob("*")) == before
