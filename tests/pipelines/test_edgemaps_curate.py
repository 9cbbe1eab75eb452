"""Curating edge maps: what the messiness audit writes is what the pictures say, by any number of workers."""

from __future__ import annotations

import csv
import json
import math
import os
import shutil
import signal
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sketchdata.curation.audit import Audit, read_audit
from sketchdata.curation.messiness import FEW, decode_map, ink_of, measure, score
from sketchdata.edges import centre
from sketchdata.edges.filters import canny
from sketchdata.engine import EngineOptions
from sketchdata.errors import ConfigError, FormatError, SketchDataError, TasksFailedError
from sketchdata.photos.image import crop, decode
from sketchdata.pipelines import edgemaps_curate
from sketchdata.pipelines.edgemaps_curate import Config
from sketchdata.storage import pictures
from sketchdata.storage.manifest import read_manifest
from tests.audits import audit_files, data_sha256, flip_a_byte, relist
from tests.commands import sketchdata, start, stop
from tests.edge_map_sets import CLASSES, EDGE_MAPS, EdgeMapSet, make_edge_maps, messy_lines
from tests.quickdraw_builds import IN_PROCESS, generate
from tests.trees import tree

SOURCE_CLASSES = ("apple", "ice cream", "star")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> EdgeMapSet:
    return make_edge_maps(tmp_path_factory.mktemp("edges"))


@pytest.fixture(scope="module")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Official files of two of the three classes, of other drawings than the edge maps."""
    return generate(tmp_path_factory.mktemp("drawings") / "source", SOURCE_CLASSES[:2], seed=9)


@pytest.fixture
def edges(made: EdgeMapSet, tmp_path: Path) -> Path:
    """A copy to audit or to damage."""
    return Path(shutil.copytree(made.edges, tmp_path / "edges"))


@pytest.fixture(scope="module")
def audited(made: EdgeMapSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = Path(shutil.copytree(made.edges, tmp_path_factory.mktemp("audited") / "edges"))
    run(copy)
    return copy


@pytest.fixture(scope="module")
def compared(made: EdgeMapSet, drawings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, compared with drawings."""
    copy = Path(shutil.copytree(made.edges, tmp_path_factory.mktemp("compared") / "edges"))
    run(copy, drawings=drawings, drawings_per_class=40)
    return copy


def run(directory: Path, engine: EngineOptions = IN_PROCESS, **options: object) -> None:
    assert edgemaps_curate.run(directory, Config(**options), engine) is not None


def table_of(directory: Path) -> pa.Table:
    """Return the pictures in the order of the rows."""
    manifest = read_manifest(directory)
    return pa.concat_tables(
        table for shard in manifest.shards("all") for table in pictures.read_shard(directory / shard.path)
    )


def threshold_rows(directory: Path) -> list[dict[str, str]]:
    with (directory / "audit/thresholds.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def separation(audit: Audit, values: np.ndarray, messy: frozenset[int], label: int) -> float:
    """Return how often a messy map of a class has a larger value than a clean one: the area under the ROC curve."""
    own = audit.label == label
    is_messy = np.isin(audit.key_id, np.array(sorted(messy), np.uint64))
    high, low = values[own & is_messy][:, None], values[own & ~is_messy]
    return float((high > low).mean() + (high == low).mean() / 2)


def replace_pictures(directory: Path, contents: dict[int, bytes]) -> None:
    """Put other pictures, {row: content}, into the first shard, as if they had been extracted."""
    shard = read_manifest(directory).shards("all")[0]
    table = pq.read_table(directory / shard.path, partitioning=None)
    columns = {name: table.column(name) for name in table.column_names if name not in ("word", "image")}
    images = pictures.image_bytes(table)
    for row, content in contents.items():
        images[row] = content
    changed = pictures.to_table({**columns, "image": images}, CLASSES)
    pictures.write_shard(directory / shard.path, changed, {})
    relist(directory, shard.path, shard.records)


def png(picture: np.ndarray) -> bytes:
    encoded, content = cv2.imencode(".png", picture)
    assert encoded
    return bytes(content.tobytes())


# ---- what it says ----------------------------------------------------------------------------------------------------


def test_every_edge_map_has_its_measures_and_its_score_in_the_order_of_the_rows(audited: Path) -> None:
    rows, found = table_of(audited), pq.read_table(audited / "audit/messiness.parquet")
    assert found.schema.equals(edgemaps_curate.SCHEMA)
    for name in ("key_id", "label"):
        assert found.column(name).to_pylist() == rows.column(name).to_pylist()
    maps = [ink_of(decode_map(content), black=True, weakest=16) for content in pictures.image_bytes(rows)]
    measures = measure(maps)
    for name, expected in measures.items():
        assert found.column(name).to_numpy().tolist() == expected.tolist()
    assert found.column("distance").null_count == len(maps)
    label = rows.column("label").to_numpy()
    scores = score({**measures, "distance": np.full(len(maps), math.nan)}, label, np.zeros(len(maps), np.bool_))
    assert found.column("score").to_numpy().tolist() == scores.tolist()


def test_limits_are_the_percentiles_of_the_class_and_a_class_with_few_has_none(audited: Path) -> None:
    audit, rows = read_audit(audited, "messiness"), threshold_rows(audited)
    assert len(rows) == len(CLASSES) == 345
    for word, count in EDGE_MAPS.items():
        label = CLASSES.index(word)
        own, row = audit.label == label, rows[label]
        assert (row["word"], int(row["pictures"])) == (word, count)
        if count < FEW:
            assert (row["p_high"], row["noise"], row["n"]) == ("", "0", "0")
            assert not audit.judged[own].any()
            assert not audit.noise[own].any()
            continue
        assert float(row["p_high"]) == np.percentile(audit.score[own], 90)
        assert float(row["p_median"]) == np.percentile(audit.score[own], 50)
        assert (audit.noise[own] == (audit.score[own] > float(row["p_high"]))).all()
        assert int(row["noise"]) == audit.noise[own].sum() > 0
    assert np.isnan(audit.p_low).all()
    assert audit.limits(0, 75)[CLASSES.index("apple"), 1] == np.percentile(audit.score[audit.label == 8], 75)


def test_messy_maps_are_told_from_clean_ones(made: EdgeMapSet, audited: Path, compared: Path) -> None:
    for directory in (audited, compared):
        audit = read_audit(directory, "messiness")
        for word in EDGE_MAPS:
            assert separation(audit, audit.score, made.messy, CLASSES.index(word)) > 0.98
        assert not audit.noise[~np.isin(audit.key_id, np.array(sorted(made.messy), np.uint64))].any()


def test_drawings_of_the_class_tell_them_too_and_a_class_without_drawings_does_without(
    made: EdgeMapSet, compared: Path
) -> None:
    audit = read_audit(compared, "messiness")
    distance = audit.measures["distance"]
    for word in SOURCE_CLASSES[:2]:
        assert separation(audit, distance, made.messy, CLASSES.index(word)) > 0.9
        assert 0 < np.median(distance[audit.label == CLASSES.index(word)]) < 10
    assert np.isnan(distance[audit.label == CLASSES.index("star")]).all()
    named = audit.record.options["drawings"]
    assert (named["name"], named["classes"], len(named["sha256"])) == ("ndjson", 2, 64)
    assert audit.record.counts["classes_without_distance"] == 1


def test_maps_beyond_the_absolute_limits_are_noise_in_every_class(made: EdgeMapSet, edges: Path) -> None:
    words = table_of(edges).slice(0, 32).column("word").to_pylist()
    assert words[0] == "apple"
    black, white = np.zeros((224, 224), np.uint8), np.full((224, 224), 255, np.uint8)
    replace_pictures(edges, {0: png(white), 1: png(black)})
    run(edges, high=100.0)
    audit = read_audit(edges, "messiness")
    assert audit.noise.nonzero()[0].tolist() == [0, 1]
    assert audit.score[:2].tolist() == [1, 1]
    counts = audit.record.counts
    assert (counts["empty"], counts["dense"], counts["messy"], counts["noise"]) == (1, 1, 0, 2)
    # The limit is that of the others: those beyond do not move it.
    others = audit.score[(audit.label == 8) & (audit.score < 1)]
    assert (len(others), audit.p_high[8]) == (EDGE_MAPS["apple"] - 2, others.max())
    assert not audit.reference[:2].any()


def test_white_ink_says_the_same(edges: Path, audited: Path) -> None:
    for shard in read_manifest(edges).shards("all"):
        table = pq.read_table(edges / shard.path, partitioning=None)
        columns = {name: table.column(name) for name in table.column_names if name not in ("word", "image")}
        images = [png(255 - decode_map(content)) for content in pictures.image_bytes(table)]
        pictures.write_shard(edges / shard.path, pictures.to_table({**columns, "image": images}, CLASSES), {})
        relist(edges, shard.path, shard.records)
    manifest = read_manifest(edges)
    manifest.config["ink"] = "white"
    manifest.write(edges)
    run(edges)
    assert read_audit(edges, "messiness").score.tolist() == read_audit(audited, "messiness").score.tolist()


# ---- the same bytes, and nothing else --------------------------------------------------------------------------------


@pytest.mark.slow
def test_workers_and_shares_of_a_job_array_write_the_same_bytes(
    compared: Path, edges: Path, drawings: Path, tmp_path: Path
) -> None:
    expected, options = audit_files(compared), {"drawings": drawings, "drawings_per_class": 40}
    assert sorted(expected) == ["messiness.json", "messiness.parquet", "thresholds.csv"]
    shares = Path(shutil.copytree(edges, tmp_path / "shares"))
    run(edges, EngineOptions(workers=2), **options)
    assert audit_files(edges) == expected
    for share in ("1/2", "0/2", "1/2"):
        engine = EngineOptions(engine="slurm", task_range=share, workers=0)
        assert edgemaps_curate.run(shares, Config(**options), engine) is None
        assert not (shares / "audit/messiness.json").exists()
    run(shares, **options)
    assert audit_files(shares) == expected


@pytest.mark.slow
def test_killed_midway_it_ends_with_the_same_files(compared: Path, edges: Path, drawings: Path) -> None:
    command = ["edgemaps", "curate", edges, "--drawings", drawings, "--drawings-per-class", "40", "--workers", "0"]
    stop(start(*command), signal.SIGKILL, lambda: list(edges.glob("audit/.work/**/*.done.json")))
    assert not (edges / "audit/messiness.json").exists()
    assert "78 edge maps of 3 classes" in sketchdata(*command).stdout
    assert audit_files(edges) == audit_files(compared)


def test_an_audit_changes_nothing_of_the_data_nor_of_the_curators_work(made: EdgeMapSet, edges: Path) -> None:
    decisions = edges / "audit/decisions.jsonl"
    decisions.parent.mkdir()
    decisions.write_text("a curator's work\n")
    run(edges)
    assert data_sha256(edges) == data_sha256(made.edges)
    assert decisions.read_text() == "a curator's work\n"


def test_a_finished_audit_is_not_made_again_and_one_with_other_options_replaces_it(
    edges: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(edges)
    times = {path: path.stat().st_mtime_ns for path in (edges / "audit").iterdir()}
    run(edges)
    assert "has this messiness audit already" in " ".join(capsys.readouterr().err.split())
    assert {path: path.stat().st_mtime_ns for path in (edges / "audit").iterdir()} == times
    before = read_audit(edges, "messiness").noise.sum()
    run(edges, high=50.0)
    assert read_audit(edges, "messiness").noise.sum() > 3 * before


# ---- bad input -------------------------------------------------------------------------------------------------------


def test_only_edge_maps_are_curated(made: EdgeMapSet, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no edge maps: curate what `sketchdata edgemaps extract` made"):
        run(made.crops)
    failed = sketchdata("edgemaps", "curate", tmp_path, expect=1)
    assert f"{tmp_path} is not a finished data set" in " ".join(failed.stderr.split())


def test_a_damaged_shard_is_named_and_the_command_line_shows_no_traceback(edges: Path) -> None:
    damaged = sorted((edges / "data").iterdir())[1]
    flip_a_byte(damaged)
    failed = sketchdata("edgemaps", "curate", edges, "--workers", "0", expect=1)
    assert f"{damaged} is damaged: it has sha256" in " ".join(failed.stderr.split())
    assert not (edges / "audit/messiness.json").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"no picture", "is not an edge map"), (png(np.zeros((64, 64), np.uint8)), "has a side of 64 pixels")],
    ids=["no picture", "another size"],
)
def test_a_picture_that_is_no_edge_map_is_named(edges: Path, content: bytes, said: str) -> None:
    key_id = table_of(edges).column("key_id")[5].as_py()
    replace_pictures(edges, {5: content})
    with pytest.raises(TasksFailedError, match=f"the picture {key_id} {said}"):
        run(edges)


def test_drawings_of_other_classes_alone_are_refused(edges: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no drawings of apple, ice cream, star"):
        run(edges, drawings=generate(tmp_path / "cats", ["cat"]))
    assert not (edges / "audit").exists()


def test_an_audit_of_other_edge_maps_is_stale(audited: Path, tmp_path: Path) -> None:
    other = make_edge_maps(tmp_path, {"apple": 25}, seed=3).edges
    shutil.copytree(audited / "audit", other / "audit")
    with pytest.raises(SketchDataError, match=r"is stale.*run `sketchdata edgemaps curate"):
        read_audit(other, "messiness")


# ---- the command line ------------------------------------------------------------------------------------------------


def test_the_command_prints_a_summary_or_json(edges: Path) -> None:
    shown = sketchdata("edgemaps", "curate", edges, "--workers", "0")
    assert "78 edge maps of 3 classes: 63 normal, 7 noise" in shown.stdout
    assert "messiness.parquet, thresholds.csv, messiness.json" in shown.stdout
    assert "1 classes have fewer than 20 edge maps: their 8 edge maps have a score and no flag" in shown.stderr
    told = json.loads(sketchdata("edgemaps", "curate", edges, "--json").stdout)
    assert (told["kind"], told["edge_maps"], told["noise"]) == ("messiness", 78, 7)
    assert "--high" in sketchdata("edgemaps", "curate", edges, "--high", "101", expect=2).stderr


# ---- real photos -----------------------------------------------------------------------------------------------------


def test_mess_over_real_edge_maps_raises_their_scores() -> None:
    real = os.environ.get("SKETCHDATA_REAL_DATA")
    if not real:
        pytest.skip("SKETCHDATA_REAL_DATA names no folder with real photos")
    paths = sorted((Path(real) / "photos/raccoon/JPEGImages").glob("*.jpg"))[:24]
    clean = []
    for path in paths:
        photo = decode(path.read_bytes())
        try:
            clean.append(centre(canny(crop(photo, (0, 0, *photo.shape[1::-1]))), ink="white", channels=1))
        except FormatError:
            continue
    chance = np.random.default_rng(0)
    messy = [np.maximum(each, messy_lines(each.shape, chance)) for each in clean]
    maps = [ink_of(each, black=False, weakest=16) for each in [*clean, *messy]]
    measures = {**measure(maps), "distance": np.full(len(maps), math.nan)}
    scores = score(measures, np.zeros(len(maps), np.uint16), np.zeros(len(maps), np.bool_))
    assert len(clean) > 20
    assert (scores[len(clean) :] > scores[: len(clean)]).mean() > 0.8


def test_nothing_is_left_of_the_work(audited: Path) -> None:
    assert sorted(tree(audited / "audit")) == ["messiness.json", "messiness.parquet", "thresholds.csv"]
