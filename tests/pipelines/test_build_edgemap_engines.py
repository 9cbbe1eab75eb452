"""The set of edge maps has the same bytes with any engine, any number of workers, and however often it was killed."""

from __future__ import annotations

import dataclasses
import shutil
import signal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sketchdata.engine import EngineOptions
from sketchdata.pipelines import edgemap
from sketchdata.storage import pictures
from sketchdata.storage.manifest import file_entry, read_manifest
from tests.commands import start, stop
from tests.edge_map_builds import MAPS_PER_SHARD, VAL_SHARE, build, build_command
from tests.edge_map_sets import make_edge_maps
from tests.trees import tree, tree_sha256


@pytest.fixture(scope="module")
def edges(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_edge_maps(tmp_path_factory.mktemp("engines")).edges


@pytest.fixture(scope="module")
def expected(edges: Path) -> str:
    """The tree's hash, built in this process."""
    build(edges, edges.parent / "out")
    return tree_sha256(edges.parent / "out")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1, 2])
def test_any_number_of_workers_gives_the_same_tree(edges: Path, expected: str, tmp_path: Path, workers: int) -> None:
    build(edges, tmp_path / "out", EngineOptions(workers=workers))
    assert tree_sha256(tmp_path / "out") == expected


def test_how_the_edge_maps_were_sharded_shows_only_in_the_manifest(edges: Path, tmp_path: Path) -> None:
    cut = Path(shutil.copytree(edges, tmp_path / "cut"))
    recut(cut, rows=7)
    build(edges, tmp_path / "whole")
    build(cut, tmp_path / "out")
    whole, found = tree(tmp_path / "whole"), tree(tmp_path / "out")
    # These name the manifest of the edge maps, which lists their shards.
    assert {name for name in whole if whole[name] != found[name]} == {"README.md", "manifest.json"}
    assert whole.keys() == found.keys()


def recut(edges: Path, *, rows: int) -> None:
    """Cut the shards of edge maps again."""
    manifest, old = read_manifest(edges), sorted((edges / "data").glob("*.parquet"))
    table = pa.concat_tables(pq.read_table(path, partitioning=None) for path in old).unify_dictionaries()
    for path in old:
        path.unlink()
    files = [file for file in manifest.files if not file.path.startswith("data/")]
    shards = -(-len(table) // rows)
    for shard in range(shards):
        path = edges / pictures.shard_name(pictures.UNDIVIDED, shard, shards)
        pictures.write_shard(path, table.slice(shard * rows, rows), {})
        files.append(file_entry(path, edges, min(rows, len(table) - shard * rows)))
    files.sort(key=lambda file: file.path)
    dataclasses.replace(manifest, files=tuple(files)).write(edges)


def test_shares_of_a_job_array_and_a_last_call_give_the_same_tree(edges: Path, expected: str, tmp_path: Path) -> None:
    config = edgemap.Config(
        edges=edges, out=tmp_path / "out", val_share=VAL_SHARE, maps_per_shard=MAPS_PER_SHARD, no_curation=True
    )
    # Twice round, since there are two stages.
    for share in ("0/3", "1/3", "2/3", "0/3", "1/3", "2/3"):
        assert edgemap.run(config, EngineOptions(engine="slurm", workers=0, task_range=share)) is None
        assert not (tmp_path / "out" / "manifest.json").exists()
    tars = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "shards").iterdir()}
    assert edgemap.run(config, EngineOptions(engine="slurm", workers=0, task_range="0/1")) is not None
    assert tree_sha256(tmp_path / "out") == expected
    assert {path: path.stat().st_mtime_ns for path in tars} == tars


# The last one comes when the data set is finished but for the removal of the work folder.
@pytest.mark.slow
@pytest.mark.parametrize("moment", [".export/plan.arrow", "manifest.json"])
def test_killed_it_ends_with_the_same_tree(edges: Path, expected: str, tmp_path: Path, moment: str) -> None:
    out = tmp_path / "out"
    stop(start(*build_command(edges, out, "--workers", 1)), signal.SIGKILL, (out / moment).exists)
    build(edges, out)
    assert tree_sha256(out) == expected


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_done_and_says_so(edges: Path, expected: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = start(*build_command(edges, out, "--workers", 1))
    printed = stop(process, signal.SIGINT, (out / ".export" / "examined").exists)
    assert process.returncode == 130
    assert "the same command resumes" in printed
    build(edges, out)
    assert tree_sha256(out) == expected


@pytest.mark.parametrize(
    "leftover",
    [
        ".export/examined/all-00000-of-00003.arrow",
        ".export/plan.arrow",
        ".export/index/.train-000000.arrow.4711.tmp",
        ".export/done/train-000000.tar.done.json",
        "shards/train-000099.tar",
        "index/val.parquet",
    ],
)
def test_whatever_a_kill_leaves_is_made_again_or_gone(
    edges: Path, expected: str, leftover: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    config = edgemap.Config(edges=edges, out=out, val_share=VAL_SHARE, maps_per_shard=MAPS_PER_SHARD, no_curation=True)
    assert edgemap.run(config, EngineOptions(engine="slurm", workers=0, task_range="0/2")) is None
    (out / leftover).parent.mkdir(parents=True, exist_ok=True)
    (out / leftover).write_bytes(b"half-writ")
    build(edges, out)
    assert tree_sha256(out) == expected
