"""The entropy audit: what it writes is what the drawings say, by any number of workers, and it touches nothing else."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from sketchdata.curation.audit import Audit, read_audit
from sketchdata.curation.entropy import drawing_entropies
from sketchdata.engine import EngineOptions
from sketchdata.errors import ConfigError, SketchDataError, TasksFailedError
from sketchdata.pipelines import verify
from sketchdata.pipelines.audit import ENTROPY_SCHEMA, EntropyConfig, audit_entropy
from sketchdata.storage import parquet
from sketchdata.storage.manifest import read_manifest
from tests.audits import audit_files, build_in_shards, data_sha256, flip_a_byte, relist, rows_of
from tests.builds import small_dataset
from tests.commands import sketchdata
from tests.quickdraw_builds import CATEGORIES, IN_PROCESS, build, generate, lines_of, write_lines


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_in_shards(tmp_path_factory.mktemp("entropy"))


@pytest.fixture
def dataset(built: Path, tmp_path: Path) -> Path:
    """Return a copy to audit or to damage."""
    return shutil.copytree(built, tmp_path / "out")


@pytest.fixture(scope="module")
def audited(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = shutil.copytree(built, tmp_path_factory.mktemp("audited") / "out")
    run(copy)
    return copy


def run(directory: Path, engine: EngineOptions = IN_PROCESS, **options: object) -> None:
    assert audit_entropy(directory, EntropyConfig(**options), engine) is not None


def percentile_rows(directory: Path) -> list[dict[str, str]]:
    with (directory / "audit/percentiles.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# ---- what it says ----------------------------------------------------------------------------------------------------


def test_every_drawing_has_its_entropy_in_the_order_of_the_rows(audited: Path) -> None:
    rows = list(rows_of(audited))
    table = pq.read_table(audited / "audit/entropy.parquet")
    assert table.schema.equals(ENTROPY_SCHEMA)
    assert table.column("key_id").to_pylist() == [k for _, batch in rows for k in batch.key_id.tolist()]
    assert table.column("label").to_pylist() == [label for _, batch in rows for label in batch.label.tolist()]
    assert table.column("split").to_pylist() == [split for split, batch in rows for _ in range(len(batch))]
    expected = np.concatenate([drawing_entropies(batch) for _, batch in rows])
    assert table.column("entropy").to_pylist() == expected.tolist()


def test_limits_are_numpys_percentiles_over_train_and_flags_follow_from_them(audited: Path) -> None:
    audit = read_audit(audited)
    train = audit.split == audit.splits.index("train")
    for label, row in enumerate(percentile_rows(audited)):
        own = audit.entropy[train & (audit.label == label)]
        expected = np.percentile(own, [5, 50, 95]).tolist()
        assert [float(row[name]) for name in ("p_low", "p_median", "p_high")] == expected
        of_class = audit.label == label
        noise = (audit.entropy < expected[0]) | (audit.entropy > expected[2])
        assert (audit.noise[of_class] == noise[of_class]).all()
        assert (row["label"], row["word"]) == (str(label), CATEGORIES[label])
        assert (int(row["n"]), int(row["drawings"])) == (len(own), of_class.sum())
        assert int(row["noise_low"]) == (audit.entropy < expected[0])[of_class].sum()
        assert int(row["noise_high"]) == (audit.entropy > expected[2])[of_class].sum()
        assert float(row["noise_share"]) == noise[of_class].mean()
    assert 0.05 < audit.noise.mean() < 0.2


def test_the_rank_says_where_in_its_class_a_drawing_stands(audited: Path) -> None:
    audit = read_audit(audited)
    train = audit.split == audit.splits.index("train")
    for row in range(0, len(audit), 17):
        own = audit.entropy[train & (audit.label == audit.label[row])]
        expected = 50 * (np.mean(own < audit.entropy[row]) + np.mean(own <= audit.entropy[row]))
        assert audit.rank[row] == pytest.approx(expected, rel=1e-6)


def test_options_change_size_width_limits_and_reference(audited: Path, dataset: Path) -> None:
    run(dataset, size=64, line_width=2, low=10.0, high=80.0, by_split="val")
    audit = read_audit(dataset)
    expected = np.concatenate([drawing_entropies(batch, size=64, line_width=2) for _, batch in rows_of(dataset)])
    assert audit.entropy.tolist() == expected.tolist()
    val = audit.entropy[audit.rows("val")][audit.label[audit.rows("val")] == 2]
    assert (audit.p_low[2], audit.p_high[2]) == tuple(np.percentile(val, [10, 80]))
    assert audit.record.options == {"size": 64, "line_width": 2, "low": 10.0, "high": 80.0, "by_split": "val"}


def test_the_record_counts_what_the_columns_hold(audited: Path) -> None:
    audit = read_audit(audited)
    counts = audit.record.counts
    assert (counts["drawings"], counts["noise"]) == (len(audit), int(audit.noise.sum()))
    assert counts["low"] + counts["high"] == counts["noise"] == counts["drawings"] - counts["normal"]
    for split in audit.splits:
        assert counts["splits"][split]["noise"] == int(audit.noise[audit.rows(split)].sum())
    assert {file.path: file.records for file in audit.record.files} == {"entropy.parquet": 444, "percentiles.csv": 4}


# ---- the same bytes, and nothing else --------------------------------------------------------------------------------


@pytest.mark.slow
def test_workers_and_shares_of_a_job_array_write_the_same_bytes(audited: Path, dataset: Path, tmp_path: Path) -> None:
    expected = audit_files(audited)
    assert sorted(expected) == ["audit.json", "entropy.parquet", "percentiles.csv"]
    shares = shutil.copytree(dataset, tmp_path / "shares")
    run(dataset, EngineOptions(workers=2))
    assert audit_files(dataset) == expected
    for share in ("1/2", "0/2"):
        engine = EngineOptions(engine="slurm", task_range=share, workers=0)
        assert audit_entropy(shares, EntropyConfig(), engine) is None
        assert not (shares / "audit/audit.json").exists()
    run(shares)
    assert audit_files(shares) == expected


def test_an_audit_changes_nothing_of_the_data_and_verify_still_passes(built: Path, audited: Path) -> None:
    assert data_sha256(audited) == data_sha256(built)
    assert verify.run(audited).faults == []


def test_a_finished_audit_is_not_made_again_and_one_with_other_options_replaces_it(dataset: Path) -> None:
    run(dataset)
    decisions = dataset / "audit/decisions.jsonl"
    decisions.write_text("a curator's work\n")
    times = {path: path.stat().st_mtime_ns for path in (dataset / "audit").iterdir()}
    run(dataset)
    assert {path: path.stat().st_mtime_ns for path in (dataset / "audit").iterdir()} == times
    run(dataset, high=90.0)
    assert read_audit(dataset).record.options["high"] == 90.0
    assert decisions.read_text() == "a curator's work\n"


def test_a_damaged_audit_is_made_again(audited: Path, dataset: Path) -> None:
    run(dataset)
    flip_a_byte(dataset / "audit/entropy.parquet")
    run(dataset)
    assert audit_files(dataset) == audit_files(audited)


def test_after_a_failure_only_what_is_missing_runs_again(audited: Path, dataset: Path) -> None:
    missing = {shard: shard.read_bytes() for shard in sorted((dataset / "data").glob("train-*"))[1:3]}
    finished: list[dict[Path, int]] = []
    for shard in missing:
        shard.unlink()
    for shard, content in missing.items():
        with pytest.raises(TasksFailedError, match="of 7 tasks failed"):
            run(dataset)
        finished.append({p: p.stat().st_mtime_ns for p in (dataset / "audit/.work/entropy").glob("*.arrow")})
        shard.write_bytes(content)
    assert [len(times) for times in finished] == [5, 6]
    assert finished[0].items() <= finished[1].items()
    run(dataset)
    assert audit_files(dataset) == audit_files(audited)


# ---- reading it back -------------------------------------------------------------------------------------------------


def test_an_audit_is_read_back_as_columns(audited: Path) -> None:
    audit = read_audit(audited)
    dtypes = {field.name: getattr(getattr(audit, field.name), "dtype", None) for field in dataclasses.fields(Audit)}
    named = ("key_id", "split", "label", "score", "rank", "noise", "judged")
    assert [str(dtypes[name]) for name in named] == [
        *("uint64", "uint8", "uint16", "float64", "float32", "bool", "bool")
    ]
    assert (audit.splits, audit.classes) == (("train", "val", "gallery", "query"), CATEGORIES)
    assert audit.judged.all()
    assert (audit.rows("train"), audit.rows("query")) == (slice(0, 360), slice(440, 444))


def test_limits_for_other_percents_come_without_another_audit(audited: Path, dataset: Path) -> None:
    run(dataset, low=20.0, high=70.0)
    audit, other = read_audit(audited), read_audit(dataset)
    assert audit.limits(5, 95).tolist() == np.stack([audit.p_low, audit.p_high], axis=1).tolist()
    assert audit.limits(20, 70).tolist() == np.stack([other.p_low, other.p_high], axis=1).tolist()


def test_an_audit_of_another_data_set_is_stale(audited: Path, tmp_path: Path) -> None:
    other = build_in_shards(tmp_path, seed=1)
    shutil.copytree(audited / "audit", other / "audit")
    with pytest.raises(SketchDataError, match=r"is stale.*run `sketchdata audit entropy"):
        read_audit(other)
    run(other)
    assert len(read_audit(other)) == 444


def test_what_is_missing_or_damaged_is_said(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(SketchDataError, match="has no finished entropy audit"):
        read_audit(dataset)
    with pytest.raises(SketchDataError, match="is not a finished data set"):
        read_audit(tmp_path)
    run(dataset)
    flip_a_byte(dataset / "audit/percentiles.csv")
    with pytest.raises(SketchDataError, match=r"percentiles\.csv is missing or is not the file"):
        read_audit(dataset)
    (dataset / "audit/audit.json").write_text("{}")
    with pytest.raises(SketchDataError, match="kind: expected a value, found none: run"):
        read_audit(dataset)


# ---- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_damaged_shard_is_named_and_the_command_line_shows_no_traceback(dataset: Path) -> None:
    damaged = sorted((dataset / "data").glob("train-*"))[2]
    flip_a_byte(damaged)
    failed = sketchdata("audit", "entropy", dataset, expect=1)
    assert f"{damaged} is damaged: it has sha256" in " ".join(failed.stderr.split())
    assert not (dataset / "audit/audit.json").exists()


def test_a_missing_shard_is_named(dataset: Path) -> None:
    missing = sorted((dataset / "data").glob("val-*"))[0]
    missing.unlink()
    with pytest.raises(TasksFailedError, match=f"{missing.name} is missing, and the manifest lists it"):
        run(dataset)


def test_a_shard_that_is_no_parquet_file_is_refused(dataset: Path) -> None:
    shard = sorted((dataset / "data").glob("val-*"))[0]
    shard.write_bytes(b"PAR1 and then nothing of the kind")
    relist(dataset, f"data/{shard.name}", 40)
    with pytest.raises(TasksFailedError, match="cannot be read as a shard of sketchdata"):
        run(dataset)


def test_raw_drawings_are_audited_once_they_are_fitted(tmp_path: Path) -> None:
    small_dataset(tmp_path, input_format="raw", keep_raw=True)
    run(tmp_path / "dataset")
    audit = read_audit(tmp_path / "dataset")
    expected = np.concatenate([drawing_entropies(batch) for _, batch in rows_of(tmp_path / "dataset")])
    assert audit.entropy.tolist() == expected.tolist()


def test_a_raw_coordinate_that_is_not_finite_is_named(tmp_path: Path) -> None:
    small_dataset(tmp_path, input_format="raw", keep_raw=True)
    directory = tmp_path / "dataset"
    shard = next((directory / "data").glob("val-*"))
    batch = parquet.read_shard(shard)
    x = batch.x.copy()
    x[3] = math.inf
    parquet.write_shard(shard, dataclasses.replace(batch, x=x), read_manifest(directory).classes, {})
    relist(directory, f"data/{shard.name}", len(batch))
    with pytest.raises(TasksFailedError, match=r"a coordinate is not a finite number.*key_id"):
        run(directory)


@pytest.mark.slow
def test_a_class_without_reference_drawings_is_neither_normal_nor_noise(tmp_path: Path) -> None:
    source = generate(tmp_path / "source")
    write_lines(source, "cat", lines_of(source, "cat")[:30])
    build(source, tmp_path / "out", scale_to_fit=True)
    done = sketchdata("audit", "entropy", tmp_path / "out", "--by-split", "query")
    audit, cat = read_audit(tmp_path / "out"), CATEGORIES.index("cat")
    assert np.isnan(audit.p_low).tolist() == [False, True, False, False]
    of_cat = audit.label == cat
    assert (audit.judged == ~of_cat).all()
    assert not audit.noise[of_cat].any()
    assert np.isnan(audit.rank[of_cat]).all()
    assert (audit.entropy[of_cat] > 0).all()
    assert percentile_rows(tmp_path / "out")[cat]["p_low"] == ""
    assert f"1 classes have no drawings in query: their {of_cat.sum()} drawings" in " ".join(done.stderr.split())
    assert "3 classes have fewer than 20 drawings in query" in done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"low": 95.0, "high": 5.0}, "--low must be smaller than --high"),
        ({"low": 50.0, "high": 50.0}, "--low must be smaller than --high"),
        ({"by_split": "test"}, "there are no drawings of that split.*has train, val, gallery, query"),
    ],
)
def test_options_that_cannot_work_are_refused(built: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        run(built, **options)
    assert not (built / "audit").exists()


def test_a_reference_split_that_is_empty_is_refused(tmp_path: Path) -> None:
    build(generate(tmp_path / "source"), tmp_path / "out", query=0)
    with pytest.raises(ConfigError, match="--by-split query: there are no drawings"):
        run(tmp_path / "out", by_split="query")


@pytest.mark.slow
def test_an_export_cannot_be_audited(built: Path, tmp_path: Path) -> None:
    sketchdata("export", "ndjson", built, "--out", tmp_path / "text")
    failed = sketchdata("audit", "entropy", tmp_path / "text", expect=1)
    assert "has no Parquet shards: audit what `sketchdata build` made" in " ".join(failed.stderr.split())


# ---- the command line ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_command_prints_a_table_or_json(dataset: Path) -> None:
    shown = sketchdata("audit", "entropy", dataset)
    assert all(split in shown.stdout for split in ("train", "val", "gallery", "query", "all"))
    assert "entropy.parquet, percentiles.csv, audit.json" in shown.stdout
    told = json.loads(sketchdata("audit", "entropy", dataset, "--json").stdout)
    assert (told["kind"], told["drawings"], told["options"]["by_split"]) == ("entropy", 444, "train")


def test_a_percentile_outside_of_its_range_is_wrong_usage(dataset: Path) -> None:
    assert "--high" in sketchdata("audit", "entropy", dataset, "--high", "101", expect=2).stderr


# ---- real drawings ---------------------------------------------------------------------------------------------------


def test_real_stars_have_limits_near_the_papers(tmp_path: Path) -> None:
    real = os.environ.get("SKETCHDATA_REAL_DATA")
    if not real:
        pytest.skip("SKETCHDATA_REAL_DATA names no folder with real drawings")
    source = Path(real) / "quickdraw"
    build(source, tmp_path / "out", categories="star", train=25, val=0, gallery=0, query=0)
    run(tmp_path / "out")
    audit = read_audit(tmp_path / "out")
    # 25 drawings; the paper's 9,000 give 0.1051 and 0.1721.
    assert audit.p_low[0] == pytest.approx(0.1051, abs=0.01)
    assert audit.p_high[0] == pytest.approx(0.1721, abs=0.04)
