"""Edge maps of crops: what is in them, what is refused and why, and weights from where they are."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import orjson
import pyarrow as pa
import pytest

from sketchdata.edges import centre
from sketchdata.edges.filters import canny
from sketchdata.engine import EngineOptions
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.photos.image import decode
from sketchdata.pipelines import edgemaps_extract as recipe
from sketchdata.storage import pictures
from sketchdata.storage.manifest import Manifest, hash_file, read_manifest
from tests.commands import sketchdata
from tests.crop_sets import CLASSES, CROPS, jpeg, make_crops
from tests.edge_models import FOREST, sha256_of, write_forest
from tests.servers import BucketServer
from tests.trees import tree, tree_sha256

IN_PROCESS = EngineOptions(workers=0)


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("extract") / "crops"
    make_crops(folder)
    return folder


def extract(crops: Path, out: Path, workers: int = 0, **options: Any) -> Manifest:
    manifest = recipe.run(crops, recipe.Config(out=out, **options), EngineOptions(workers=workers))
    assert manifest is not None
    return manifest


def rows_of(folder: Path) -> list[dict[str, Any]]:
    shards = read_manifest(folder).shards(pictures.UNDIVIDED)
    tables = [table for shard in shards for table in pictures.read_shard(folder / shard.path, shard.sha256)]
    found: list[dict[str, Any]] = pa.concat_tables(tables).to_pylist()
    return found


def rejects_of(folder: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in (folder / recipe.REJECTS_FILE).read_bytes().splitlines()]


def command(crops: Path, out: Path, *more: object) -> subprocess.CompletedProcess[str]:
    return sketchdata("edgemaps", "extract", crops, "--out", out, *more, expect=None)


# ---- what is made ----------------------------------------------------------------------------------------------------


def test_every_crop_becomes_the_edge_map_of_its_key_id_with_the_same_account_of_its_photo(
    crops: Path, tmp_path: Path
) -> None:
    manifest = extract(crops, tmp_path / "edges")
    before, after = rows_of(crops), rows_of(tmp_path / "edges")
    kept = [name for name in pictures.schema().names if name not in ("image", "width", "height")]
    assert [{name: row[name] for name in kept} for row in after] == [
        {name: row[name] for name in kept} for row in before
    ]
    for crop, edges in zip(before, after, strict=True):
        found = cv2.imdecode(np.frombuffer(edges["image"]["bytes"], np.uint8), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(found, centre(canny(decode(crop["image"]["bytes"]))))
        assert (edges["width"], edges["height"]) == (224, 224)
    assert {word: count for word, count in manifest.counts[pictures.UNDIVIDED].items() if count} == CROPS
    assert manifest.classes == CLASSES


def test_the_manifest_names_the_crops_the_options_and_every_file(crops: Path, tmp_path: Path) -> None:
    manifest = extract(crops, tmp_path / "edges", size=64, ink="white", channels=1)
    assert manifest == read_manifest(tmp_path / "edges")
    assert manifest.parent is not None
    assert manifest.parent.sha256 == hash_file(crops / "manifest.json", "sha256")
    assert (manifest.config["detector"], manifest.config["size"], manifest.config["weights_sha256"]) == (
        "canny",
        64,
        None,
    )
    listed = {entry.path: entry.sha256 for entry in manifest.files}
    assert {path: hash_file(tmp_path / "edges" / path, "sha256") for path in listed} == listed
    assert set(tree(tmp_path / "edges")) == {*listed, "manifest.json"}
    assert "18 edge maps of 3 of 345 classes" in (tmp_path / "edges" / "README.md").read_text()


def test_verify_finds_nothing_wrong(crops: Path, tmp_path: Path) -> None:
    extract(crops, tmp_path / "edges")
    sketchdata("verify", tmp_path / "edges")


def test_edge_maps_are_drawn_as_the_options_say(crops: Path, tmp_path: Path) -> None:
    extract(crops, tmp_path / "edges", size=60, fill=0.5, ink="white", channels=1, detector="sobel", threshold=60)
    for row in rows_of(tmp_path / "edges"):
        found = cv2.imdecode(np.frombuffer(row["image"]["bytes"], np.uint8), cv2.IMREAD_UNCHANGED)
        assert found.shape == (60, 60)
        assert max(np.ptp(axis) + 1 for axis in np.nonzero(found)) in (29, 30)
        assert found[found > 0].min() >= 60


@pytest.mark.parametrize("detector", ["canny", "sobel"])
def test_a_threshold_drops_weak_edges_of_thin_detectors_and_of_others(
    crops: Path, tmp_path: Path, detector: str
) -> None:
    weakest = {}
    for threshold in (None, 90):
        out = tmp_path / str(threshold)
        # Small, since a line that is enlarged fades at its ends.
        extract(crops, out, detector=detector, threshold=threshold, size=32, ink="white", channels=1)
        maps = [decode(row["image"]["bytes"])[:, :, 0] for row in rows_of(out)]
        weakest[threshold] = min(int(each[each > 0].min()) for each in maps)
    assert weakest[90] >= 90 > weakest[None]


@pytest.mark.slow
def test_ones_own_detector_is_used_by_every_worker(
    crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "steps.py").write_text(
        "import numpy as np\n\ndef red(photo):\n    return np.where(photo[:, :, 0] < 100, np.uint8(255), np.uint8(0))\n"
        "\ndef wrong(photo):\n    return photo\n\ndef broken(photo):\n    return photo[10**6]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert extract(crops, tmp_path / "edges", workers=2, detector="steps:red").splits == {"all": 18}
    for name, message in [("wrong", r"\(\d+, \d+, 3\) uint8, where an edge map"), ("broken", "failed .*IndexError")]:
        with pytest.raises(SketchDataError, match=message):
            extract(crops, tmp_path / name, detector=f"steps:{name}")


# ---- what is refused -------------------------------------------------------------------------------------------------


def test_crops_without_edges_and_damaged_ones_are_listed_and_the_others_made(tmp_path: Path) -> None:
    whole = jpeg(np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8))
    odd = {
        0: jpeg(np.full((50, 60, 3), 128, np.uint8)),
        3: whole[: len(whole) // 2],
        9: b"<html>no photo</html>",
        17: jpeg(np.full((1, 1, 3), 200, np.uint8)),
    }
    make_crops(tmp_path / "crops", odd=odd)
    manifest = extract(tmp_path / "crops", tmp_path / "edges")
    before = rows_of(tmp_path / "crops")
    assert manifest.rejects == {"no edges": 2, "not a picture": 1, "truncated picture": 1}
    listed = {reject["key_id"]: (reject["word"], reject["reason"]) for reject in rejects_of(tmp_path / "edges")}
    reasons = {0: "no edges", 3: "truncated picture", 9: "not a picture", 17: "no edges"}
    assert listed == {str(before[row]["key_id"]): (before[row]["word"], reason) for row, reason in reasons.items()}
    made = [row["key_id"] for row in rows_of(tmp_path / "edges")]
    assert made == [row["key_id"] for number, row in enumerate(before) if number not in odd]
    assert manifest.splits == {"all": len(before) - len(odd)}


def test_a_shard_may_be_left_empty(tmp_path: Path) -> None:
    blank = jpeg(np.full((50, 60, 3), 128, np.uint8))
    make_crops(tmp_path / "crops", odd=dict.fromkeys(range(8), blank))
    manifest = extract(tmp_path / "crops", tmp_path / "edges")
    assert [shard.records for shard in manifest.shards("all")] == [0, 8, 2]
    assert len(rows_of(tmp_path / "edges")) == 10


def test_when_no_crop_has_edges_that_is_an_error_and_no_data_set(tmp_path: Path) -> None:
    make_crops(tmp_path / "crops", {"star": 3}, odd=dict.fromkeys(range(3), jpeg(np.zeros((40, 40, 3), np.uint8))))
    with pytest.raises(SketchDataError, match="no crop gives an edge map: 3 no edges"):
        extract(tmp_path / "crops", tmp_path / "edges")
    assert not (tmp_path / "edges" / "manifest.json").exists()


def test_a_photo_of_a_very_thin_panorama_and_one_of_a_single_line_have_edges(tmp_path: Path) -> None:
    panorama = np.full((3, 900, 3), 210, np.uint8)
    panorama[:, 300:600] = 40
    line = np.full((90, 70, 3), 250, np.uint8)
    line[:, 30:32] = 0
    grey = np.repeat(np.tile(np.arange(0, 240, 30, dtype=np.uint8), (40, 10))[:, :, None], 3, axis=2)
    make_crops(tmp_path / "crops", {"star": 3}, odd={0: jpeg(panorama), 1: jpeg(line), 2: jpeg(grey)})
    assert extract(tmp_path / "crops", tmp_path / "edges").rejects == {}


def test_damaged_crops_are_named_and_what_is_made_is_kept(tmp_path: Path) -> None:
    make_crops(tmp_path / "crops")
    shard = tmp_path / "crops" / "data" / "all-00001-of-00003.parquet"
    content = shard.read_bytes()
    shard.write_bytes(content[:1000] + b"\0" + content[1001:])
    with pytest.raises(SketchDataError, match=r"1 of 3 tasks failed(?s:.*)all-00001-of-00003\.parquet is damaged"):
        extract(tmp_path / "crops", tmp_path / "edges")
    made = tmp_path / "edges" / "data" / "all-00000-of-00003.parquet"
    before = made.stat().st_mtime_ns
    shard.write_bytes(content)
    assert extract(tmp_path / "crops", tmp_path / "edges").splits == {"all": 18}
    assert made.stat().st_mtime_ns == before


def test_other_folders_than_crops_are_refused(crops: Path, tmp_path: Path) -> None:
    with pytest.raises(SketchDataError, match="not a finished data set"):
        extract(tmp_path / "nothing", tmp_path / "edges")
    extract(crops, tmp_path / "edges")
    with pytest.raises(ConfigError, match="holds edgemap-edges, and crops of photos were expected"):
        extract(tmp_path / "edges", tmp_path / "again")
    with pytest.raises(ConfigError, match="cannot lie in the data set"):
        extract(crops, crops / "edges")


# ---- again, and over what is there -----------------------------------------------------------------------------------


def test_a_finished_run_says_so_and_other_options_want_overwrite(
    crops: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "edges"
    first = extract(crops, out)
    assert extract(crops, out) == first
    assert "is finished already" in " ".join(capsys.readouterr().err.split())
    with pytest.raises(ConfigError, match="--overwrite"):
        extract(crops, out, size=64)
    assert extract(crops, out, size=64, overwrite=True).config["size"] == 64
    assert rows_of(out)[0]["width"] == 64


def test_a_curation_is_not_lost_to_overwrite(crops: Path, tmp_path: Path) -> None:
    out = tmp_path / "edges"
    extract(crops, out)
    (out / "audit").mkdir()
    (out / "audit" / "decisions.jsonl").write_text("{}\n")
    before = tree_sha256(out)
    with pytest.raises(ConfigError, match="move it away first"):
        extract(crops, out, size=64, overwrite=True)
    assert tree_sha256(out) == before
    assert extract(crops, out).config["size"] == 224


def test_a_detector_that_cannot_be_had_costs_nobody_what_is_there(crops: Path, tmp_path: Path) -> None:
    extract(crops, tmp_path / "edges")
    before = tree_sha256(tmp_path / "edges")
    with pytest.raises(ConfigError, match="no edge detector is named 'kanny'"):
        extract(crops, tmp_path / "edges", detector="kanny", overwrite=True)
    assert tree_sha256(tmp_path / "edges") == before


def test_a_folder_of_something_else_is_left_alone(crops: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis" / "data").mkdir(parents=True)
    (tmp_path / "thesis" / "data" / "all.csv").write_text("1,2\n")
    before = tree_sha256(tmp_path / "thesis")
    for overwrite in (False, True):
        with pytest.raises(ConfigError, match="not empty"):
            extract(crops, tmp_path / "thesis", overwrite=overwrite)
    assert tree_sha256(tmp_path / "thesis") == before


# ---- weights ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "sketchdata" / "weights"


def test_weights_are_hashed_into_the_manifest(crops: Path, tmp_path: Path) -> None:
    model = write_forest(tmp_path)
    # The miniature forest finds weak edges alone.
    settings = {"detector": "structured", "weights": str(model), "threshold": 1}
    manifest = extract(crops, tmp_path / "edges", **settings)
    assert manifest.config["weights_sha256"] == sha256_of(model)
    assert sha256_of(model) in (tmp_path / "edges" / "README.md").read_text()
    model.write_text(FOREST.replace("5.0e-02", "9.0e-02"))
    with pytest.raises(ConfigError, match="other options"):
        extract(crops, tmp_path / "edges", **settings)


def test_weights_are_fetched_once_from_their_address(crops: Path, tmp_path: Path, cache: Path) -> None:
    (tmp_path / "web").mkdir()
    model = write_forest(tmp_path / "web")
    settings: dict[str, Any] = {"detector": "structured", "weights_sha256": sha256_of(model).upper(), "threshold": 1}
    with BucketServer(tmp_path / "web") as server:
        settings["weights"] = f"{server.url}/model.yml"
        first = extract(crops, tmp_path / "one", **settings)
        assert server.gets() == ["model.yml"]
    # Nobody serves it any more.
    assert extract(crops, tmp_path / "other", **settings) == first
    assert (cache / sha256_of(model) / "model.yml").read_bytes() == model.read_bytes()
    (cache / sha256_of(model) / "model.yml").write_bytes(b"another")
    with pytest.raises(ConfigError, match="was expected, so it was thrown away"):
        extract(crops, tmp_path / "third", **settings)


def test_another_file_than_expected_is_not_kept(crops: Path, tmp_path: Path, cache: Path) -> None:
    (tmp_path / "web").mkdir()
    model = write_forest(tmp_path / "web")
    with (
        BucketServer(tmp_path / "web") as server,
        pytest.raises(ConfigError, match=rf"has sha256 {sha256_of(model)} where 0+ was expected"),
    ):
        extract(
            crops, tmp_path / "edges", detector="structured", weights=f"{server.url}/model.yml", weights_sha256="0" * 64
        )
    assert tree(cache) == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"detector": "structured"}, "needs a file of weights"),
        ({"detector": "structured", "weights": "absent.yml"}, "the file does not exist"),
        ({"detector": "structured", "weights": "https://models.example/model.yml"}, "--weights-sha256"),
        ({"detector": "canny", "weights": __file__}, "takes no file of weights"),
        ({"weights_sha256": "0" * 64}, "which is not given"),
        ({"channels": 2}, "must be 1 or 3"),
        ({"scales": "0.5,big"}, "--scales must be numbers"),
        ({"scales": "0.5,1"}, "are for networks"),
        ({"device": "cuda"}, "are for networks"),
        ({"detector": "tin", "weights": __file__}, "has an unknown sha256"),
    ],
)
def test_options_that_cannot_work_are_refused_before_anything_is_written(
    crops: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        extract(crops, tmp_path / "edges", **options)
    assert not (tmp_path / "edges").exists()


# ---- the command -----------------------------------------------------------------------------------------------------


def test_the_command_says_what_it_made_and_what_comes_next(crops: Path, tmp_path: Path) -> None:
    done = command(crops, tmp_path / "edges", "--workers", 0)
    assert done.returncode == 0, done.stderr
    assert "18 edge maps of 3 classes by canny" in done.stdout
    assert "refused crops: none" in done.stdout
    assert "sketchdata edgemaps curate" in done.stdout
    again = command(crops, tmp_path / "edges", "--json")
    assert orjson.loads(again.stdout)["edge_maps"] == 18


@pytest.mark.slow
def test_the_command_shows_no_traceback(crops: Path, tmp_path: Path) -> None:
    copied = tmp_path / "crops"
    shutil.copytree(crops, copied)
    (copied / "data" / "all-00002-of-00003.parquet").unlink()
    done = command(copied, tmp_path / "edges", "--workers", 1)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "all-00002-of-00003.parquet is missing" in done.stderr
    assert command(copied, tmp_path / "edges", "--ink", "red").returncode == 2
