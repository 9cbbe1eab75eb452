"""The exports: the same bytes whatever happens on the way, and nothing of another owner touched."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import os
import shutil
import signal
import tarfile
from pathlib import Path

import orjson
import pyarrow.parquet as pq
import pytest

from sketchdata.engine import EngineOptions
from sketchdata.formats import ndjson
from sketchdata.pipelines import quickdraw, verify
from sketchdata.storage import parquet
from sketchdata.storage.dataset import open_dataset
from sketchdata.storage.manifest import file_entry, read_manifest
from tests.builds import CATEGORIES, IN_PROCESS, SIZES, small_dataset
from tests.commands import start, stop
from tests.exports import EXPORTS, Export, command, flip_a_bit, tars, text, tree
from tests.strategies import assert_same


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set that no test changes."""
    folder = tmp_path_factory.mktemp("built")
    small_dataset(folder)
    return folder / "dataset"


@pytest.fixture
def own(built: Path, tmp_path: Path) -> Path:
    """A data set that a test may damage."""
    return shutil.copytree(built, tmp_path / "own")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


# ---- what is written -------------------------------------------------------------------------------------------------


def test_tars_are_equal_contiguous_parts_of_their_split(built: Path, out: Path) -> None:
    manifest = tars(built, out, shard_rows=25)
    assert manifest is not None
    names = {entry.path: entry.records for entry in manifest.files if entry.path.endswith(".tar")}
    train = {f"train-{n:06d}.tar": 20 for n in range(3)}
    assert names == {**train, "val-000000.tar": 15, "gallery-000000.tar": 18, "query-000000.tar": 9}
    for split, size in SIZES.items():
        stems: list[str] = []
        for path in sorted(out.glob(f"{split}-*.tar")):
            with tarfile.open(path) as file:
                stems += [Path(name).stem for name in file.getnames() if name.endswith(".json")]
        assert stems == (built / "key_ids" / f"{split}.txt").read_text().split()
        assert len(stems) == size * len(CATEGORIES)


def test_a_tar_may_take_its_rows_from_several_shards_and_row_groups(own: Path, built: Path, out: Path) -> None:
    recut(own, "train", rows=17, group_rows=5)
    tars(own, out / "recut", shard_rows=25)
    tars(built, out / "whole", shard_rows=25)
    names = [f"train-{n:06d}.tar" for n in range(3)]
    assert [tree(out / "recut")[n] for n in names] == [tree(out / "whole")[n] for n in names]


def test_text_may_come_from_several_shards(own: Path, built: Path, out: Path) -> None:
    recut(own, "train", rows=17, group_rows=5)
    text(own, out / "recut")
    text(built, out / "whole")
    names = [f"train/{word}.ndjson" for word in CATEGORIES]
    assert [tree(out / "recut")[n] for n in names] == [tree(out / "whole")[n] for n in names]


def recut(directory: Path, split: str, *, rows: int, group_rows: int) -> None:
    """Cut a split's one shard into several, with small row groups, as a large data set has them."""
    manifest = read_manifest(directory)
    (old,) = manifest.shards(split)
    table = pq.read_table(directory / old.path, partitioning=None)
    (directory / old.path).unlink()
    parts = [table.slice(start, rows) for start in range(0, len(table), rows)]
    entries = [entry for entry in manifest.files if entry != old]
    for number, part in enumerate(parts):
        path = directory / "data" / f"{split}-{number:05d}-of-{len(parts):05d}.parquet"
        pq.write_table(part, path, row_group_size=group_rows)
        entries.append(file_entry(path, directory, len(part)))
    entries.sort(key=lambda entry: entry.path)
    dataclasses.replace(manifest, files=tuple(entries)).write(directory)


def test_only_the_chosen_splits_are_exported(built: Path, out: Path) -> None:
    manifest = tars(built, out, splits="query, val")
    assert manifest is not None
    assert manifest.splits == {"val": 15, "query": 9}
    assert sorted(p.name for p in out.iterdir()) == [
        "README.md",
        "manifest.json",
        "query-000000.tar",
        "val-000000.tar",
    ]


@EXPORTS
def test_the_manifest_names_the_parent_and_every_file(export: Export, built: Path, out: Path) -> None:
    manifest = export(built, out)
    assert manifest == read_manifest(out)
    assert manifest is not None
    assert manifest.parent is not None
    assert manifest.parent.sha256 == hashlib.sha256((built / "manifest.json").read_bytes()).hexdigest()
    assert manifest.classes == CATEGORIES
    assert {e.path: e.sha256 for e in manifest.files} == {k: v for k, v in tree(out).items() if k != "manifest.json"}
    assert verify.run(out).faults == []


@EXPORTS
def test_verify_finds_a_changed_file_of_an_export(export: Export, built: Path, out: Path) -> None:
    manifest = export(built, out)
    assert manifest is not None
    flip_a_bit(out / manifest.files[-1].path)
    assert [fault.kind for fault in verify.run(out).faults] == ["sha256"]


def test_text_lines_are_the_official_lines_byte_for_byte(built: Path, out: Path) -> None:
    text(built, out)
    for word in CATEGORIES:
        official = (built.parent / "source" / "full" / "simplified" / f"{word}.ndjson").read_bytes().splitlines()
        for split, size in SIZES.items():
            lines = (out / split / f"{word}.ndjson").read_bytes().splitlines()
            assert len(set(lines)) == size
            assert set(lines) <= set(official)


@pytest.mark.parametrize("packed", [False, True])
def test_a_build_from_the_merged_text_gives_the_same_splits(
    packed: bool, built: Path, out: Path, tmp_path: Path
) -> None:
    text(built, out, merge=True, gzip=packed)
    config = quickdraw.Config(source=str(out), out=tmp_path / "again", categories=",".join(CATEGORIES), **SIZES)
    assert quickdraw.run(config, IN_PROCESS) is not None
    for split in SIZES:
        lists = [(folder / "key_ids" / f"{split}.txt").read_bytes() for folder in (built, tmp_path / "again")]
        assert lists[0] == lists[1]
        assert len(lists[0].split()) == SIZES[split] * len(CATEGORIES)
    shards = [tree(folder / "data") for folder in (built, tmp_path / "again")]
    assert shards[0] == shards[1]


def test_raw_drawings_keep_their_times_and_pixels(tmp_path: Path, out: Path) -> None:
    small_dataset(tmp_path, input_format="raw", keep_raw=True)
    text(tmp_path / "dataset", out / "text", merge=True)
    tars(tmp_path / "dataset", out / "tars", png=16)
    dataset = open_dataset(tmp_path / "dataset")
    for label, word in enumerate(CATEGORIES):
        lines = (out / "text" / "full" / "raw" / f"{word}.ndjson").read_bytes().splitlines()
        parsed = ndjson.parse(lines, word=word, label=label, raw=True)
        assert parsed.faults == []
        assert_same(parsed.batch.slice(0, SIZES["train"]), dataset.first("train", SIZES["train"], word))
    with tarfile.open(out / "tars" / "query-000000.tar") as file:
        name = next(name for name in file.getnames() if name.endswith(".json"))
        first = orjson.loads(member.read()) if (member := file.extractfile(name)) else None
    expected = next(dataset.first("query", 1).drawings(CATEGORIES))
    assert first is not None
    assert first["drawing"] == [stroke.T.tolist() for stroke in expected.strokes]


def test_gzipped_text_holds_the_same_lines_and_no_time_or_name(built: Path, out: Path) -> None:
    text(built, out / "plain")
    text(built, out / "packed", gzip=True)
    for path in (out / "plain" / "val").iterdir():
        packed = (out / "packed" / "val" / f"{path.name}.gz").read_bytes()
        assert gzip.decompress(packed) == path.read_bytes()
        assert packed[3:8] == bytes(5)


def test_a_category_without_drawings_in_a_split_has_no_file_there(tmp_path: Path, out: Path) -> None:
    small_dataset(tmp_path, scale_to_fit=True, train=20, val=0, gallery=0, query=0)
    text(tmp_path / "dataset", out)
    assert sorted(p.name for p in out.iterdir()) == ["README.md", "manifest.json", "train"]


# ---- the same bytes, whatever happens --------------------------------------------------------------------------------


@pytest.mark.slow
@EXPORTS
def test_any_number_of_workers_gives_the_same_bytes(export: Export, built: Path, tmp_path: Path) -> None:
    options = {"shard_rows": 9, "png": 32} if export is tars else {}
    for workers in (0, 1, 2):
        export(built, tmp_path / str(workers), EngineOptions(workers=workers), **options)
    trees = [tree(tmp_path / str(workers)) for workers in (0, 1, 2)]
    assert trees[0] == trees[1] == trees[2]
    assert len(trees[0]) > 10


@EXPORTS
def test_shares_of_a_job_array_give_the_same_bytes(export: Export, built: Path, tmp_path: Path) -> None:
    options = {"shard_rows": 9} if export is tars else {}
    export(built, tmp_path / "whole", **options)
    finished = []
    # Twice round, since the text has two stages; the last call finds nothing to do and writes the manifest.
    for share in ("0/3", "1/3", "2/3", "0/3", "1/3", "2/3", "0/1"):
        engine = EngineOptions(engine="slurm", workers=0, task_range=share)
        finished.append(export(built, tmp_path / "shares", engine, **options))
    assert finished[0] is None
    assert finished[-1] is not None
    assert tree(tmp_path / "shares") == tree(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options", "pattern"),
    [
        ("webdataset", ("--shard-rows", 1, "--png", 1500), "*.tar"),
        ("ndjson", (), ".export/grouped/*.arrow"),
    ],
)
def test_an_export_killed_midway_leaves_whole_files_and_goes_on(
    name: str, options: tuple[object, ...], pattern: str, built: Path, tmp_path: Path
) -> None:
    line = ["export", name, built, *options, "--workers", 1]
    assert command(*line[1:], "--out", tmp_path / "whole").returncode == 0
    process = start(*line, "--out", tmp_path / "killed")
    stop(process, signal.SIGKILL, lambda: len(list((tmp_path / "killed").glob(pattern))) >= 2)
    left, whole = tree(tmp_path / "killed"), tree(tmp_path / "whole")
    assert "manifest.json" not in left
    final = {path: sha256 for path, sha256 in left.items() if not path.startswith(".export/")}
    assert final.items() <= whole.items()
    times = {path: (tmp_path / "killed" / path).stat().st_mtime_ns for path in final if path.endswith(".tar")}
    assert command(*line[1:], "--out", tmp_path / "killed").returncode == 0
    assert tree(tmp_path / "killed") == whole
    marked = [path for path, when in times.items() if (tmp_path / "killed" / path).stat().st_mtime_ns == when]
    # The one that was written when the kill came may lack its done-marker.
    assert len(marked) >= len(times) - 1


@EXPORTS
def test_the_same_export_again_does_nothing(export: Export, built: Path, out: Path) -> None:
    export(built, out)
    times = {path: (out / path).stat().st_mtime_ns for path in tree(out)}
    assert export(built, out) == read_manifest(out)
    assert {path: (out / path).stat().st_mtime_ns for path in tree(out)} == times


def test_the_command_says_what_it_wrote(built: Path, out: Path) -> None:
    ended = command("webdataset", built, "--out", out, "--workers", 0, "--png", 28)
    assert ended.returncode == 0
    assert "102 drawings (train 60, val 15, gallery 18, query 9)" in ended.stdout
    assert ended.stderr.strip() == ""


def test_real_drawings_come_back_byte_for_byte(tmp_path: Path, out: Path) -> None:
    place = os.environ.get("SKETCHDATA_REAL_DATA")
    if place is None:
        pytest.skip("SKETCHDATA_REAL_DATA does not name a folder with real drawings")
    source = Path(place) / "quickdraw"
    sizes = {"train": 15, "val": 5, "gallery": 4, "query": 1}
    config = quickdraw.Config(source=str(source), out=tmp_path / "real", categories="cat,star,The Mona Lisa", **sizes)
    assert quickdraw.run(config, IN_PROCESS) is not None
    text(tmp_path / "real", out, merge=True)
    for path in (out / "full" / "simplified").iterdir():
        official = set((source / "full" / "simplified" / path.name).read_bytes().splitlines())
        lines = path.read_bytes().splitlines()
        assert len(lines) == sum(sizes.values())
        assert set(lines) <= official
    assert parquet.read_shard(next((tmp_path / "real" / "data").glob("train-*"))).key_id.size == 45
