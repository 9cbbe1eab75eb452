"""Crops have the same bytes with every engine and after interruptions; what cannot be cropped is named."""

from __future__ import annotations

import dataclasses
import signal
from pathlib import Path

import numpy as np
import orjson
import pytest

from sketchdata.engine import EngineOptions
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.storage.manifest import read_manifest
from tests.commands import sketchdata, start, stop
from tests.photo_collections import Shot, crops_of, encoded, make_crops, make_photos, shot
from tests.trees import tree, tree_sha256


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some photos that no test changes; a few of them are there twice, or without a box."""
    folder = tmp_path_factory.mktemp("crop") / "photos"
    shots = {f"{word}/{n}.png": shot(word, n, boxed=n % 5 > 0) for word in ("apple", "cat", "zebra") for n in range(8)}
    make_photos(
        folder, {**shots, "again.png": shots["cat/3.png"], "gone.png": Shot(content=None, annotations=[("cat", None)])}
    )
    return folder


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """Photos that a test may damage."""
    make_photos(tmp_path / "photos", {f"{n}.png": shot("cat", n) for n in range(3)})
    return tmp_path / "photos"


# ---- the same bytes --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_any_number_of_workers_gives_the_same_bytes(photos: Path, tmp_path: Path) -> None:
    hashes = set()
    for workers in (0, 1, 3):
        crops_of(photos, tmp_path / f"{workers}", EngineOptions(workers=workers))
        hashes.add(tree_sha256(tmp_path / f"{workers}"))
    assert len(hashes) == 1


@pytest.mark.slow
def test_shares_of_a_job_array_give_the_same_bytes(photos: Path, tmp_path: Path) -> None:
    crops_of(photos, tmp_path / "alone")
    command = ["edgemaps", "crop", photos, "--out", tmp_path / "out", "--workers", 0]
    for share in ("0/2", "1/2"):
        sketchdata(*command, "--engine", "slurm", "--task-range", share)
    sketchdata(*command)
    assert tree_sha256(tmp_path / "out") == tree_sha256(tmp_path / "alone")


@pytest.mark.slow
def test_killed_midway_it_ends_with_the_same_tree(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    crops_of(photos, tmp_path / "undisturbed")
    process = start("edgemaps", "crop", photos, "--out", out, "--workers", 1)
    stop(process, signal.SIGKILL, lambda: list(out.glob(".export/crops/*.arrow")))
    assert process.returncode == -signal.SIGKILL
    sketchdata("edgemaps", "crop", photos, "--out", out, "--workers", 1)
    assert tree_sha256(out) == tree_sha256(tmp_path / "undisturbed")


def test_what_was_cropped_before_a_fault_is_not_cropped_again(few: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    [victim, *_] = sorted((few / "photos").rglob("*.png"))
    content = victim.read_bytes()
    victim.write_bytes(content[:-1])
    with pytest.raises(SketchDataError, match="is damaged"):
        crops_of(few, out)
    made = {path: path.stat().st_mtime_ns for path in (out / ".export" / "crops").glob("*.arrow")}
    assert len(made) == 2
    victim.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sketchdata.photos.crops.decode", _refuse_all_but(victim))
        crops_of(few, out)
    crops_of(few, tmp_path / "afresh")
    assert tree(out) == tree(tmp_path / "afresh")


def _refuse_all_but(victim: Path) -> object:
    from sketchdata.photos.image import decode

    def watched(data: bytes, *limits: object) -> object:
        assert data == victim.read_bytes(), "a photo was decoded again"
        return decode(data, *limits)

    return watched


# ---- what is there already ------------------------------------------------------------------------------------------


def test_finished_crops_are_not_made_again_unless_the_options_differ(few: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    crops_of(few, out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    crops_of(few, out)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    with pytest.raises(ConfigError, match="made with other options"):
        crops_of(few, out, context=0.3)
    crops_of(few, out, context=0.3, overwrite=True)
    crops_of(few, tmp_path / "afresh", context=0.3)
    assert tree(out) == tree(tmp_path / "afresh")


def test_other_photos_need_overwrite(few: Path, tmp_path: Path) -> None:
    crops_of(few, tmp_path / "out")
    make_photos(few, {f"{n}.png": shot("cat", n) for n in range(4)})
    with pytest.raises(ConfigError, match="from another data set"):
        crops_of(few, tmp_path / "out")
    assert crops_of(few, tmp_path / "out", overwrite=True).splits == {"all": 4}


def test_what_is_no_set_of_crops_is_not_overwritten(few: Path, tmp_path: Path) -> None:
    make_crops(tmp_path / "out", {"cat": 1})
    stranger = read_manifest(tmp_path / "out")
    dataclasses.replace(stranger, name="quickdraw-3.8m-curated").write(tmp_path / "out")
    with pytest.raises(ConfigError, match="expected: set of crops"):
        crops_of(few, tmp_path / "out", overwrite=True)


# ---- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["flipped", "missing"])
def test_damaged_and_missing_photos_are_named(few: Path, tmp_path: Path, damage: str) -> None:
    victims = sorted((few / "photos").rglob("*.png"))[:2]
    for victim in victims:
        content = bytearray(victim.read_bytes())
        content[len(content) // 2] ^= 1
        victim.unlink()
        if damage == "flipped":
            victim.write_bytes(content)
    failed = sketchdata("edgemaps", "crop", few, "--out", tmp_path / "out", "--workers", 0, expect=1)
    for victim in victims:
        assert victim.name in failed.stderr
    assert "collect them again" in failed.stderr
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_nothing_to_crop_is_an_error_that_says_why(tmp_path: Path) -> None:
    blank = Shot(content=encoded(np.zeros((20, 20, 3), np.uint8)), annotations=[("cat", None)])
    make_photos(tmp_path / "photos", {"a.png": blank})
    with pytest.raises(SketchDataError, match="1 box too small") as caught:
        crops_of(tmp_path / "photos", tmp_path / "out")
    listed = str(caught.value).rpartition("see ")[2]
    assert orjson.loads(Path(listed).read_bytes())["detail"] == "20 × 20 where 32 is the least"


def test_crops_cannot_lie_among_the_photos(few: Path) -> None:
    before = tree(few)
    with pytest.raises(ConfigError, match="choose another --out"):
        crops_of(few, few / "crops")
    assert tree(few) == before


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    make_crops(tmp_path / "crops", {"cat": 1})
    failed = sketchdata("edgemaps", "crop", tmp_path / "crops", "--out", tmp_path / "out", expect=1)
    assert "edgemaps collect" in failed.stderr


@pytest.mark.parametrize(
    "arguments", [("--skip-flags", "blurred"), ("--near", "11"), ("--near", "few"), ("--format", "gif")]
)
def test_options_that_cannot_work_are_refused(few: Path, tmp_path: Path, arguments: tuple[str, str]) -> None:
    expect = 1 if arguments[0] == "--skip-flags" else 2
    failed = sketchdata("edgemaps", "crop", few, "--out", tmp_path / "out", *arguments, expect=expect)
    assert arguments[1] in failed.stderr


# ---- the command -----------------------------------------------------------------------------------------------------


def test_the_command_prints_what_became_of_the_annotations(photos: Path, tmp_path: Path) -> None:
    line = ["edgemaps", "crop", photos, "--out", tmp_path / "out", "--near", "none", "--workers", 0]
    table = sketchdata(*line)
    for words in ("exact duplicates", "rejected: photo not collected", "24 crops of 3 classes"):
        assert words in table.stdout
    # The second call finds it finished, and tells the same.
    again = sketchdata(*line, "--json")
    assert "is finished already" in again.stderr
    counts = orjson.loads(again.stdout)
    assert counts["annotations"] == 26
    assert counts["crops"] == 24
    assert counts["duplicates"] == {"exact": 1, "near": 0, "across_classes": 0}
    assert counts["rejects"] == {"photo not collected": 1}
    assert counts["classes"] == {"apple": 8, "cat": 8, "zebra": 8}
    assert counts["config"]["near"] is None
