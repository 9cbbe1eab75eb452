"""What the exports refuse: folders that are not free, data sets that are damaged, options that cannot work."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sketchdata.engine import EngineOptions
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.storage.manifest import file_entry, read_manifest
from tests.builds import small_dataset
from tests.exports import EXPORTS, Export, command, flip_a_bit, tars, text, tree


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


# ---- folders that are not free ---------------------------------------------------------------------------------------


def test_other_options_need_overwrite_and_leave_nothing_of_the_old_export(
    built: Path, out: Path, tmp_path: Path
) -> None:
    tars(built, out, shard_rows=5)
    before = tree(out)
    with pytest.raises(ConfigError, match="other options"):
        tars(built, out, shard_rows=50)
    assert tree(out) == before
    tars(built, out, shard_rows=50, overwrite=True)
    tars(built, tmp_path / "fresh", shard_rows=50)
    assert tree(out) == tree(tmp_path / "fresh")


def test_an_export_can_be_overwritten_by_one_of_another_kind(built: Path, out: Path, tmp_path: Path) -> None:
    tars(built, out)
    with pytest.raises(ConfigError, match=r"quickdraw-3\.8m-webdataset"):
        text(built, out)
    text(built, out, overwrite=True)
    text(built, tmp_path / "fresh")
    assert tree(out) == tree(tmp_path / "fresh")


def test_an_unfinished_export_is_not_mixed_with_one_of_other_options(built: Path, out: Path, tmp_path: Path) -> None:
    engine = EngineOptions(engine="slurm", workers=0, task_range="0/2")
    assert tars(built, out, engine, shard_rows=5) is None
    with pytest.raises(ConfigError, match="unfinished export made with other options"):
        tars(built, out, shard_rows=50)
    tars(built, out, shard_rows=50, overwrite=True)
    tars(built, tmp_path / "fresh", shard_rows=50)
    assert tree(out) == tree(tmp_path / "fresh")


def test_another_parent_is_another_export(built: Path, out: Path, tmp_path: Path) -> None:
    text(built, out)
    small_dataset(tmp_path, seed=7)
    with pytest.raises(ConfigError, match="another data set"):
        text(tmp_path / "dataset", out)


@EXPORTS
@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["train-000000.tar", "train/cat.ndjson", "README.md", ".build/select/cat.arrow"])
def test_a_folder_of_something_else_is_refused_and_kept(
    name: str, overwrite: bool, export: Export, built: Path, out: Path
) -> None:
    (out / name).parent.mkdir(parents=True)
    (out / name).write_bytes(b"someone's")
    with pytest.raises(ConfigError, match=f"not empty, it holds {re.escape(name.split('/')[0])}"):
        export(built, out, overwrite=overwrite)
    assert tree(out) == {name: hashlib.sha256(b"someone's").hexdigest()}


@EXPORTS
def test_a_built_data_set_is_never_overwritten_by_an_export(export: Export, built: Path, own: Path) -> None:
    before = tree(own)
    with pytest.raises(ConfigError, match="expected: export"):
        export(built, own, overwrite=True)
    for inside in (own, own / "exports"):
        with pytest.raises(ConfigError, match="cannot lie in the data set"):
            export(own, inside, overwrite=True)
    assert tree(own) == before


def test_overwriting_removes_nothing_outside_of_the_folder(built: Path, out: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    tars(built, out)
    manifest = read_manifest(out)
    stray = dataclasses.replace(manifest.files[0], path="../precious")
    dataclasses.replace(manifest, files=(*manifest.files, stray)).write(out)
    with pytest.raises(SketchDataError, match="expected a path inside the folder"):
        tars(built, out, overwrite=True)
    assert (tmp_path / "precious").read_text() == "mine"
    assert (out / "train-000000.tar").exists()


# ---- data sets that cannot be exported -------------------------------------------------------------------------------


def remove_manifest(directory: Path) -> None:
    (directory / "manifest.json").unlink()


def remove_shard(directory: Path) -> None:
    (directory / "data" / "val-00000-of-00001.parquet").unlink()


def cut_shard(directory: Path) -> None:
    path = directory / "data" / "val-00000-of-00001.parquet"
    path.write_bytes(path.read_bytes()[:-100])


def corrupt_shard(directory: Path) -> None:
    flip_a_bit(directory / "data" / "val-00000-of-00001.parquet")


@pytest.mark.parametrize("name", ["webdataset", "ndjson"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove_manifest, "has no manifest.json"),
        (remove_shard, "data/val-00000-of-00001.parquet is missing"),
        (cut_shard, "bytes instead of"),
        (corrupt_shard, "data/val-00000-of-00001.parquet has sha256"),
    ],
)
def test_a_damaged_data_set_is_named_and_nothing_is_written(
    name: str, damage: Callable[[Path], None], message: str, own: Path, out: Path
) -> None:
    damage(own)
    ended = command(name, own, "--out", out, "--workers", 0)
    assert ended.returncode == 1
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not out.exists()


def test_a_damaged_data_set_does_not_cost_the_earlier_export(own: Path, out: Path) -> None:
    tars(own, out)
    before = tree(out)
    corrupt_shard(own)
    with pytest.raises(SketchDataError, match="is damaged"):
        tars(own, out, overwrite=True)
    assert tree(out) == before


def test_a_shard_of_other_columns_fails_its_tasks_and_leaves_no_manifest(own: Path, out: Path) -> None:
    manifest = read_manifest(own)
    (shard,) = manifest.shards("val")
    pq.write_table(pa.table({"nothing": [1] * shard.records}), own / shard.path)
    entries = tuple(file_entry(own / e.path, own, e.records) if e == shard else e for e in manifest.files)
    dataclasses.replace(manifest, files=entries).write(own)
    for name in ("webdataset", "ndjson"):
        ended = command(name, own, "--out", out / name, "--workers", 0)
        assert ended.returncode == 1
        assert f"{shard.path} cannot be read as a shard" in ended.stderr
        assert "Traceback" not in ended.stderr
        assert not (out / name / "manifest.json").exists()
        assert not (out / name / "val-000000.tar").exists()
        assert not (out / name / "val").exists()


def test_an_export_cannot_be_exported(built: Path, out: Path) -> None:
    tars(built, out / "tars")
    with pytest.raises(SketchDataError, match="no Parquet shards"):
        text(out / "tars", out / "text")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--splits", "train,test"), "there is no split test"),
        (("--splits", ","), "nothing to export"),
        (("--line-width", 3), "give --png"),
        (("--white-on-black",), "give --png"),
    ],
)
def test_options_that_cannot_work_are_explained(
    options: tuple[object, ...], message: str, built: Path, out: Path
) -> None:
    ended = command("webdataset", built, "--out", out, *options)
    assert ended.returncode == 1
    assert message in ended.stderr
    assert not out.exists()
