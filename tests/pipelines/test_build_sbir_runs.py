"""A data set of two domains has the same bytes with every engine and after interruptions."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest

from sketchdata.classes.splits import SplitOptions
from sketchdata.engine import EngineOptions
from sketchdata.errors import SketchDataError
from sketchdata.pipelines import sbir
from sketchdata.storage.manifest import Manifest
from tests.builds import IN_PROCESS, small_source
from tests.commands import sketchdata, start, stop
from tests.dask_clusters import dask_cluster
from tests.published_layouts import put
from tests.trees import tree, tree_sha256

CLASSES = ("airplane", "cat", "ice cream", "star", "zebra")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sbir")
    small_source(folder / "drawings", categories=CLASSES, lines=30)
    for word in CLASSES:
        for number in range(20):
            put(folder / "photos" / word / f"{number}.jpg")
    put(folder / "photos" / "cat" / "bad.jpg", b"no photo")
    return folder


def build(source: Path, out: Path, engine: EngineOptions = IN_PROCESS, **options: object) -> Manifest | None:
    settings = {"drawings": source / "drawings", "photos": source / "photos", "max_bad_fraction": 0.05, **options}
    return sbir.build(sbir.Config(out=out, **settings), SplitOptions(seen=3), engine)


def command(source: Path, out: Path) -> list[object]:
    places = ["--drawings", source / "drawings", "--photos", source / "photos", "--out", out]
    return ["build", "sbir", *places, "--seen", 3, "--max-bad-fraction", 0.05]


@pytest.fixture(scope="module")
def undisturbed(source: Path) -> str:
    assert build(source, source / "out") is not None
    return tree_sha256(source / "out")


@pytest.mark.slow
def test_any_number_of_workers_gives_the_same_bytes(source: Path, undisturbed: str, tmp_path: Path) -> None:
    for workers in (1, 2):
        build(source, tmp_path / f"{workers}", EngineOptions(workers=workers))
        assert tree_sha256(tmp_path / f"{workers}") == undisturbed


def test_shares_of_a_job_array_give_the_same_bytes(source: Path, undisturbed: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for share in ("0/2", "1/2", "0/2", "1/2"):
        assert build(source, out, EngineOptions(engine="slurm", task_range=share, workers=0)) is None
    assert not (out / "manifest.json").exists()
    build(source, out)
    assert tree_sha256(out) == undisturbed


@pytest.mark.slow
def test_a_dask_cluster_gives_the_same_bytes(source: Path, undisturbed: str, tmp_path: Path) -> None:
    with dask_cluster(tmp_path / "cluster") as cluster:
        build(source, tmp_path / "out", cluster.options)
    assert tree_sha256(tmp_path / "out") == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("moment", [".build/read/*.done.json", ".build/select/*.done.json", "data/*-photos-*.parquet"])
def test_killed_midway_it_ends_with_the_same_tree(source: Path, undisturbed: str, tmp_path: Path, moment: str) -> None:
    out = tmp_path / "out"
    process = start(*command(source, out), "--workers", 1)
    stop(process, signal.SIGKILL, lambda: list(out.glob(moment)))
    if process.returncode == -signal.SIGKILL:
        assert not (out / "manifest.json").exists()
    sketchdata(*command(source, out), "--workers", 0)
    assert tree_sha256(out) == undisturbed


@pytest.mark.parametrize(
    "leftover",
    [
        ".manifest.json.4711.tmp",
        "rejects.jsonl",
        "data/.seen-photos-00000-of-00001.parquet.4711.tmp",
        "data/seen-photos-00001-of-00002.parquet",
        "key_ids/unseen-photos.txt",
        ".build/written/seen-photos-00000-of-00001.parquet",
        "pairs/unseen.csv",
    ],
)
def test_whatever_a_kill_leaves_is_gone_in_the_end(
    source: Path, undisturbed: str, tmp_path: Path, leftover: str
) -> None:
    put(tmp_path / "out" / leftover, b"half-writ")
    build(source, tmp_path / "out")
    assert tree_sha256(tmp_path / "out") == undisturbed


def test_what_was_read_before_a_fault_is_not_read_again(
    source: Path, undisturbed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    with pytest.raises(SketchDataError, match="are bad"):
        build(source, out, max_bad_fraction=0.0)
    monkeypatch.setattr("sketchdata.pipelines.sbir_pictures.decode", None)
    build(source, out)
    monkeypatch.undo()
    assert tree_sha256(out) == undisturbed


def test_a_photo_that_changed_is_read_again(source: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(source / "photos", moved / "photos")
    (moved / "drawings").symlink_to(source / "drawings")
    with pytest.raises(SketchDataError, match="are bad"):
        build(moved, tmp_path / "out", max_bad_fraction=0.0)
    put(moved / "photos" / "star" / "3.jpg", (source / "photos" / "star" / "4.jpg").read_bytes() + b"\0")
    build(moved, tmp_path / "out")
    build(moved, tmp_path / "afresh")
    assert tree(tmp_path / "out") == tree(tmp_path / "afresh")
