"""A manifest is read as it was written, is there whole or not at all, and a folder is never built over."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from sketchdata import __version__
from sketchdata.errors import SketchDataError
from sketchdata.storage.manifest import (
    MANIFEST_NAME,
    SCHEMA_VERSION,
    FileEntry,
    Manifest,
    SourceEntry,
    file_entry,
    hash_file,
    read_manifest,
    replacing,
)

SHA = "0" * 64


def shard(path: str) -> FileEntry:
    return FileEntry(path=path, bytes=5, sha256=SHA, records=1)


MANIFEST = Manifest(
    name="quickdraw-3.8m",
    config={"seed": 2**64 - 1, "train": 9000, "recognized_only": False, "max_bad_fraction": 0.001, "categories": None},
    classes=("The Eiffel Tower", "star", "ünïcode"),
    counts={
        "train": {"star": 3, "The Eiffel Tower": 4, "ünïcode": 0},
        "query": {"star": 1, "The Eiffel Tower": 0, "ünïcode": 0},
    },
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
    (tmp_path / "train-000000.tar").write_bytes(b"")
    with pytest.raises(SketchDataError, match=r"train-000000\.tar is not a finished data set: it is a file; give the"):
        read_manifest(tmp_path / "train-000000.tar")


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
        having(files=None),
        having(files=[1]),
        having(files=[{"path": "x"}]),
        having(sources=[{"path": "x"}]),
        having(counts={"train": {"star": 1}}),
        having(classes=["star", "star"], counts={"train": {"star": 1}}),
        having(config={"seed": None}),
        having(config={"size": 0}),
        having(files=[dataclasses.asdict(shard("../x"))]),
        having(files=[dataclasses.asdict(shard("/etc/passwd"))]),
        having(classes=7),
    ],
)
def test_anything_else_in_its_place_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / MANIFEST_NAME).write_bytes(content)
    with pytest.raises(SketchDataError, match=r"manifest\.json: .*expected .*, found .*build the data set again"):
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
