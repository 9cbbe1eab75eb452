"""The set of edge maps: every map that stays is there once, unchanged, with its photo's name, where the index says."""

from __future__ import annotations

import json
import math
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from sketchdata.errors import SketchDataError
from sketchdata.pipelines import verify
from sketchdata.storage.manifest import read_manifest
from tests.commands import sketchdata
from tests.edge_map_builds import (
    MAPS_PER_SHARD,
    build,
    build_command,
    curate,
    decide,
    index,
    key_ids,
    rows_of,
    samples,
    stored,
)
from tests.edge_map_sets import CLASSES, EDGE_MAPS, EdgeMapSet, make_edge_maps
from tests.quickdraw_builds import plain_rank, plain_splitmix64

SPLITS = ("train", "val")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> EdgeMapSet:
    """Edge maps that nobody has audited."""
    return make_edge_maps(tmp_path_factory.mktemp("edge-maps"))


@pytest.fixture(scope="module")
def built(source: EdgeMapSet) -> Path:
    """All of them as a data set."""
    build(source.edges, source.edges.parent / "built")
    return source.edges.parent / "built"


@pytest.fixture(scope="module")
def audited(source: EdgeMapSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy that was audited for messiness; nobody has decided anything."""
    edges = Path(shutil.copytree(source.edges, tmp_path_factory.mktemp("audited") / "edges"))
    curate(edges)
    return edges


@pytest.fixture
def edges(audited: Path, tmp_path: Path) -> Path:
    """A copy of that, to decide about."""
    return Path(shutil.copytree(audited, tmp_path / "edges"))


# ---- what is written -------------------------------------------------------------------------------------------------


def test_every_map_is_there_once_with_its_bytes_unchanged(source: EdgeMapSet, built: Path) -> None:
    expected = {str(row["key_id"]): row["image"] for row in stored(source.edges)}
    found = [sample for split in SPLITS for sample in samples(built, split)]
    assert len(found) == len(expected) == sum(EDGE_MAPS.values())
    assert {sample["key"]: sample["png"] for sample in found} == expected


def test_a_sample_says_what_its_map_shows_and_where_it_is_from(source: EdgeMapSet, built: Path) -> None:
    rows = {str(row["key_id"]): row for row in stored(source.edges)}
    for sample in samples(built, "val"):
        row, told = rows[sample["key"]], sample["json"]
        assert told == {
            "key_id": sample["key"],
            "word": row["word"],
            "label": CLASSES.index(row["word"]),
            "detector": "canny",
            "box": f"{row['x0']},{row['y0']},{row['x1']},{row['y1']}",
            "phash": f"{row['phash']:016x}",
            **{name: row[name] for name in ("category", "source", "photo", "page", "author", "title", "photo_sha256")},
            "licence": row["licence"] or "",
            "fetched": "2024-05-06",
            "scores": {},
        }


def test_tars_of_a_split_are_equal_contiguous_parts_of_its_index(built: Path) -> None:
    manifest = read_manifest(built)
    for split, maps in manifest.splits.items():
        tars = [file for file in manifest.files if file.path.startswith(f"shards/{split}-")]
        assert len(tars) == math.ceil(maps / MAPS_PER_SHARD)
        assert max(file.records for file in tars) - min(file.records for file in tars) <= 1
        rows = index(built, split)
        assert [row["tar"] for row in rows] == [file.path for file in tars for _ in range(file.records)]
        assert [str(row["key_id"]) for row in rows] == [sample["key"] for sample in samples(built, split)]


def test_the_index_finds_each_png_in_its_tar(source: EdgeMapSet, built: Path) -> None:
    expected = {row["key_id"]: row["image"] for row in stored(source.edges)}
    for split in SPLITS:
        for row in index(built, split):
            with (built / row["tar"]).open("rb") as file:
                file.seek(row["offset"])
                assert file.read(row["bytes"]) == expected[row["key_id"]]


def test_the_index_has_the_provenance_of_the_edge_maps(source: EdgeMapSet, built: Path) -> None:
    dropped = ("image", "width", "height")
    expected = {row["key_id"]: {k: v for k, v in row.items() if k not in dropped} for row in stored(source.edges)}
    for split in SPLITS:
        for row in index(built, split):
            assert {name: row[name] for name in expected[row["key_id"]]} == expected[row["key_id"]]


def test_the_split_and_the_order_are_those_of_the_definition(source: EdgeMapSet, built: Path) -> None:
    """The rules again in plain Python: rank of the photo under a quarter of 2^64, rows by place in the class."""
    split_of: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    for row in stored(source.edges):
        rank = plain_rank(int(row["photo_sha256"][:16], 16))
        split_of["val" if rank * 4 < 2**64 else "train"].append(row)
    for split, rows in split_of.items():
        by_rank = sorted(rows, key=lambda row: plain_rank(row["key_id"]))
        seen: Counter[int] = Counter()
        places = {}
        for row in by_rank:
            places[row["key_id"]] = seen[row["label"]]
            seen[row["label"]] += 1
        ordered = sorted(rows, key=lambda r: (places[r["key_id"]], plain_splitmix64(plain_rank(r["key_id"]))))
        assert [row["key_id"] for row in ordered] == [row["key_id"] for row in index(built, split)]


def test_no_photo_has_maps_in_both_splits(source: EdgeMapSet, built: Path) -> None:
    photos = {split: {row["photo_sha256"] for row in index(built, split)} for split in SPLITS}
    assert not photos["train"] & photos["val"]
    crops = Counter(row["photo_sha256"] for row in stored(source.edges))
    assert max(crops.values()) > 1, "no photo has two crops, so this test shows nothing"


def test_another_seed_splits_otherwise_and_a_share_of_0_or_1_leaves_one_split(
    source: EdgeMapSet, built: Path, tmp_path: Path
) -> None:
    build(source.edges, tmp_path / "seed", seed=1)
    assert {row["key_id"] for row in index(tmp_path / "seed", "val")} != {row["key_id"] for row in index(built, "val")}
    for share, splits in (("0", ("train",)), ("1", ("val",))):
        manifest = build(source.edges, tmp_path / share, val_share=share)
        assert {split for split, maps in manifest.splits.items() if maps} == set(splits)
        assert verify.run(tmp_path / share).faults == []
        assert len(key_ids(tmp_path / share)) == sum(EDGE_MAPS.values())


def test_attribution_names_every_photo_once(source: EdgeMapSet, built: Path) -> None:
    rows = rows_of(built / "ATTRIBUTION.csv")
    maps = Counter(row["photo"] for row in stored(source.edges))
    assert {row["photo"]: int(row["maps"]) for row in rows} == maps
    by_photo = {row["photo"]: row for row in stored(source.edges)}
    for row in rows:
        expected = by_photo[row["photo"]]
        for name in ("page", "author", "licence", "title", "source"):
            assert row[name] == (expected[name] or "")
        assert row["sha256"] == expected["photo_sha256"]
    assert [(row["source"], row["photo"]) for row in rows] == sorted((row["source"], row["photo"]) for row in rows)


def test_classes_are_all_345_also_those_without_maps(built: Path) -> None:
    rows = rows_of(built / "classes.csv")
    assert [(row["label"], row["word"]) for row in rows] == [(str(i), word) for i, word in enumerate(CLASSES)]
    found = {row["word"]: int(row["train"]) + int(row["val"]) for row in rows}
    assert found == {word: EDGE_MAPS.get(word, 0) for word in CLASSES}


def test_the_manifest_names_the_parent_the_options_and_every_file(source: EdgeMapSet, built: Path) -> None:
    manifest = read_manifest(built)
    assert manifest.parent is not None
    assert manifest.parent.name == source.manifest.name
    assert manifest.config == {
        "val_share": "1/4",
        "seed": 0,
        "maps_per_shard": MAPS_PER_SHARD,
        "curation": None,
        "edges": source.manifest.config,
    }
    files = {path.relative_to(built).as_posix() for path in built.rglob("*") if path.is_file()}
    assert {file.path for file in manifest.files} | {"manifest.json"} == files
    assert verify.run(built).faults == []


def test_the_card_tells_counts_licences_and_limits(built: Path) -> None:
    card = (built / "README.md").read_text(encoding="utf-8")
    assert "path: shards/train-*.tar" in card
    assert f"{sum(EDGE_MAPS.values())} edge maps of 224 × 224 pixels" in card
    assert "of 3 of the 345 classes" in card
    assert "ATTRIBUTION.csv" in card
    assert "To cite" in card
    assert "weights of the detector" not in card
    assert max(len(line) for line in card.splitlines() if not line.startswith("samples")) <= 120


def test_the_card_says_what_limits_the_weights_of_a_learned_detector(tmp_path: Path) -> None:
    made = make_edge_maps(tmp_path, {"apple": 4})
    values = orjson.loads((made.edges / "manifest.json").read_bytes())
    values["config"]["detector"] = "pidinet"
    (made.edges / "manifest.json").write_bytes(orjson.dumps(values))
    build(made.edges, tmp_path / "out")
    card = " ".join((tmp_path / "out" / "README.md").read_text(encoding="utf-8").split())
    assert "The weights of the detector `pidinet` were published for research only" in card


# ---- curation --------------------------------------------------------------------------------------------------------


def flagged(edges: Path) -> set[int]:
    from sketchdata.curation.audit import read_audit

    audit = read_audit(edges, "messiness")
    return set(audit.key_id[audit.noise].tolist())


def test_what_the_audit_flags_is_removed(edges: Path, tmp_path: Path) -> None:
    noise = flagged(edges)
    build(edges, tmp_path / "out", no_curation=False)
    everything = {row["key_id"] for row in stored(edges)}
    assert 0 < len(noise) < len(everything)
    assert set(key_ids(tmp_path / "out")) == everything - noise
    assert verify.run(tmp_path / "out").faults == []


def test_decisions_win_over_flags(edges: Path, tmp_path: Path) -> None:
    noise = flagged(edges)
    everything = {row["key_id"] for row in stored(edges)}
    kept, dropped = min(noise), min(everything - noise)
    decide(edges, "keep", kept)
    decide(edges, "drop", dropped)
    build(edges, tmp_path / "out", no_curation=False)
    assert set(key_ids(tmp_path / "out")) == everything - noise - {dropped} | {kept}
    build(edges, tmp_path / "decided", no_curation=False, no_noise=True)
    assert set(key_ids(tmp_path / "decided")) == everything - {dropped}


def test_the_list_of_the_curation_adds_up_in_every_class(edges: Path, tmp_path: Path) -> None:
    noise = flagged(edges)
    decide(edges, "keep", min(noise))
    decide(edges, "drop", *sorted({row["key_id"] for row in stored(edges)} - noise)[:3])
    build(edges, tmp_path / "out", no_curation=False)
    rows = rows_of(tmp_path / "out" / "curation.csv")
    totals = {name: sum(int(row[name]) for row in rows) for name in rows[0] if name not in ("label", "word")}
    for row in rows:
        left = int(row["train"]) + int(row["val"])
        assert int(row["found"]) == EDGE_MAPS.get(row["word"], 0)
        assert int(row["found"]) == int(row["refused"]) + int(row["noise"]) + int(row["dropped"]) + left
    assert (totals["noise"], totals["dropped"], totals["kept"]) == (len(noise) - 1, 3, 1)


def test_scores_go_into_the_index_and_complete_ones_into_the_samples(edges: Path, tmp_path: Path) -> None:
    from sketchdata.curation.audit import read_audit

    audit = read_audit(edges, "messiness")
    build(edges, tmp_path / "out", no_curation=False)
    expected = dict(zip(audit.key_id.tolist(), audit.score.tolist(), strict=True))
    for split in SPLITS:
        for row, sample in zip(index(tmp_path / "out", split), samples(tmp_path / "out", split), strict=True):
            assert row["messiness"] == np.float32(expected[row["key_id"]])
            assert sample["json"]["scores"]["messiness"] == pytest.approx(expected[row["key_id"]], abs=1e-6)
            # There were no drawings to compare with.
            assert "distance" not in row
            assert set(sample["json"]["scores"]) == {"messiness", "density", "entropy", "fragments", "loose", "border"}
    curation = read_manifest(tmp_path / "out").config["curation"]
    assert curation["audit"] == dict(audit.record.options)


# ---- pictures that cannot be used ------------------------------------------------------------------------------------


def test_what_is_no_whole_map_is_refused_counted_and_listed(tmp_path: Path) -> None:
    made = make_edge_maps(tmp_path, {"apple": 12, "star": 6})
    spoilt = spoil(made.edges)
    manifest = build(made.edges, tmp_path / "out")
    assert manifest.rejects == {"another size": 1, "not a PNG": 1, "truncated picture": 1}
    lines = [orjson.loads(line) for line in (tmp_path / "out" / "rejects.jsonl").read_bytes().splitlines()]
    assert {int(line["key_id"]): line["reason"] for line in lines} == spoilt
    assert set(key_ids(tmp_path / "out")) == {row["key_id"] for row in stored(made.edges)} - set(spoilt)
    refused = {row["word"]: int(row["refused"]) for row in rows_of(tmp_path / "out" / "curation.csv")}
    assert sum(refused.values()) == 3
    assert verify.run(tmp_path / "out").faults == []


def test_when_no_map_can_be_read_the_reasons_are_told_and_listed(tmp_path: Path) -> None:
    edges = make_edge_maps(tmp_path / "maps").edges
    for path in (edges / "data").glob("*.parquet"):
        spoil(edges, path, repeat=1000)
    with pytest.raises(
        SketchDataError,
        match=r"no edge map can be read: \d+ (not a PNG|another size|truncated picture) \(the first at .*, key_id \d+",
    ):
        build(edges, tmp_path / "out")
    listed = (tmp_path / "out" / "rejects.jsonl").read_bytes().splitlines()
    assert len(listed) == len(stored(edges))


def spoil(edges: Path, path: Path | None = None, repeat: int = 1) -> dict[int, str]:
    """Spoil three maps of the first shard, or all of one, and list it as it is then; return {key_id: reason}."""
    import cv2
    import pyarrow as pa
    import pyarrow.parquet as pq

    from sketchdata.storage import pictures
    from tests.audits import relist

    path = path or next((edges / "data").glob("*.parquet"))
    table = pq.read_table(path, partitioning=None)
    images = pictures.image_bytes(table)
    small = cv2.imencode(".png", np.zeros((20, 30), np.uint8))[1].tobytes()
    photo = cv2.imencode(".jpg", np.zeros((224, 224), np.uint8))[1].tobytes()
    reasons = ("truncated picture", "another size", "not a PNG")
    images[: 3 * repeat] = ([images[0][:-40], small, photo] * repeat)[: max(len(images), 3)]
    struct = pa.StructArray.from_arrays(
        [pa.array(images, pa.binary()), pa.nulls(len(images), pa.string())], ["bytes", "path"]
    )
    spoilt = table.set_column(table.column_names.index("image"), table.schema.field("image"), struct)
    pictures.write_shard(path, spoilt, {})
    relist(edges, path.relative_to(edges).as_posix(), len(table))
    return dict(zip(table.column("key_id").to_pylist(), reasons, strict=False))


# ---- the command -----------------------------------------------------------------------------------------------------


def test_the_command_says_what_came_out(source: EdgeMapSet, built: Path, tmp_path: Path) -> None:
    line = build_command(source.edges, tmp_path / "out", "--workers", 0)
    said = sketchdata(*line).stdout
    splits = read_manifest(built).splits
    assert f"78 edge maps of 3 classes (train {splits['train']}, val {splits['val']})" in said
    assert f"val has {splits['val'] / 78:.2%} of the maps; expected are 25.00%, the share of the photos" in said
    told = json.loads(sketchdata(*line, "--overwrite", "--json").stdout)
    assert (told["edge_maps"], told["splits"], told["classes"]) == (78, splits, 3)
    again = sketchdata(*line)
    assert "finished already" in " ".join(again.stderr.split())
