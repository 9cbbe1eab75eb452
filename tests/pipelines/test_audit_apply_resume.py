"""A curated data set has the same bytes with every engine and after interruptions."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from sketchdata.engine import EngineOptions
from sketchdata.errors import ConfigError, SketchDataError
from tests.audits import flip_a_byte
from tests.commands import sketchdata, start, stop
from tests.curations import (
    apply,
    assert_verifies,
    audited,
    dataset,
    decide,
    normal,
    short_shards,
    source_of,
    totals,
)
from tests.trees import tree_sha256

__all__ = ["audited", "dataset", "short_shards"]


@pytest.mark.slow
def test_any_number_of_workers_gives_the_same_bytes(dataset: Path, audited: Path, tmp_path: Path) -> None:
    decide(dataset, "drop", *normal(dataset)[:7])
    hashes = set()
    for workers in (0, 1, 3):
        out = tmp_path / f"out{workers}"
        apply(dataset, out, EngineOptions(workers=workers), refill=True, source=str(source_of(audited)))
        hashes.add(tree_sha256(out))
    assert len(hashes) == 1


@pytest.mark.slow
def test_shares_of_a_job_array_give_the_same_bytes(audited: Path, tmp_path: Path) -> None:
    apply(audited, tmp_path / "alone")
    out, command = tmp_path / "out", ["audit", "apply", audited, "--out", tmp_path / "out", "--workers", 0]
    for _ in range(3):  # one round a stage, since nobody waits
        for share in ("0/2", "1/2"):
            sketchdata(*command, "--engine", "slurm", "--task-range", share)
            assert not (out / "manifest.json").exists()
    # This process cuts shards of 100 rows, those ones of 100,000.
    sketchdata("audit", "apply", audited, "--out", tmp_path / "alone-too", "--workers", 0)
    sketchdata(*command)
    assert tree_sha256(out) == tree_sha256(tmp_path / "alone-too")


@pytest.mark.slow
def test_killed_midway_it_ends_with_the_same_tree(audited: Path, tmp_path: Path) -> None:
    out, more = tmp_path / "out", ["--refill", "--source", source_of(audited), "--workers", 1]
    sketchdata("audit", "apply", audited, "--out", tmp_path / "undisturbed", *more)
    process = start("audit", "apply", audited, "--out", out, *more)
    stop(process, signal.SIGKILL, lambda: list(out.rglob("*.done.json")))
    assert process.returncode == -signal.SIGKILL
    sketchdata("audit", "apply", audited, "--out", out, *more)
    assert tree_sha256(out) == tree_sha256(tmp_path / "undisturbed")


def test_a_run_that_was_stopped_goes_on_with_what_was_decided_meanwhile(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shard = dataset / "data" / "query-00000-of-00001.parquet"
    content = shard.read_bytes()
    flip_a_byte(shard)
    with pytest.raises(SketchDataError, match="is damaged"):
        apply(dataset, out)
    shard.write_bytes(content)
    decide(dataset, "drop", normal(dataset)[0])
    apply(dataset, out)
    apply(dataset, tmp_path / "afresh")
    assert tree_sha256(out) == tree_sha256(tmp_path / "afresh")


def test_what_is_there_already_is_not_made_again(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    apply(dataset, out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    apply(dataset, out)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    decide(dataset, "drop", normal(dataset)[0])
    with pytest.raises(ConfigError, match="made with other options"):
        apply(dataset, out)
    apply(dataset, out, overwrite=True)
    assert totals(out)["dropped"] == 1
    assert_verifies(out)
