"""`sketchdata info` and `show`: what a data set holds, in words, as JSON and as a picture."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from sketchdata import __version__
from tests.commands import sketchdata
from tests.quickdraw_builds import CATEGORIES, build, generate


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inspect")
    build(generate(folder / "source"), folder / "out", query=0)
    return folder / "out"


def ink(path: Path) -> np.ndarray:
    """Return which pixels are not the paper's colour."""
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert image is not None
    return image != np.bincount(image.ravel()).argmax()


def test_info_as_json_tells_splits_classes_options_and_sources(built: Path) -> None:
    told = json.loads(sketchdata("info", built, "--json").stdout)
    assert told["splits"] == {"train": 360, "val": 40, "gallery": 40, "query": 0}
    assert told["drawings"] == 440
    assert told["classes"] == list(CATEGORIES)
    assert told["counts"]["val"] == dict.fromkeys(CATEGORIES, 10)
    assert (told["config"]["seed"], told["sources"], told["source_records"]) == (0, 4, 1200)
    assert (told["official_sources"], told["rejects"]) == (0, {})
    assert told["tool"] == f"sketchdata {__version__}"
    assert told["bytes"] == sum(p.stat().st_size for p in built.rglob("*") if p.is_file() and p.name != "manifest.json")


def test_info_is_a_table_for_people(built: Path) -> None:
    shown = sketchdata("info", built).stdout
    assert all(split in shown for split in ("train", "val", "gallery", "query"))
    assert "360" in shown
    assert "aircraft carrier" not in shown
    listed = sketchdata("info", built, "--classes").stdout
    assert all(word in listed for word in CATEGORIES)


@pytest.mark.parametrize("command", [["info"], ["verify"], ["show", "-o", "x.png"]])
def test_a_folder_without_a_data_set_is_refused_in_words(tmp_path: Path, command: list[str]) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        failed = sketchdata(command[0], folder, *command[1:], expect=1)
        assert f"{folder} is not a finished data set" in " ".join(failed.stderr.split())


@pytest.mark.parametrize("category", ["star", "aircraft carrier"])
def test_show_draws_a_class(built: Path, tmp_path: Path, category: str) -> None:
    done = sketchdata("show", built, "--category", category, "-n", 12, "-o", tmp_path / "sheet.png")
    assert f"12 drawings of {category} (train)" in done.stdout
    assert 0.005 < ink(tmp_path / "sheet.png").mean() < 0.5


def test_show_draws_other_classes_differently(built: Path, tmp_path: Path) -> None:
    for category in ("star", "cat"):
        sketchdata("show", built, "--category", category, "-n", 4, "-o", tmp_path / f"{category}.png")
    assert (tmp_path / "star.png").read_bytes() != (tmp_path / "cat.png").read_bytes()


def test_show_mixes_all_classes_by_default(built: Path, tmp_path: Path) -> None:
    done = sketchdata("show", built, "--split", "val", "-n", 8, "--columns", 4, "--cell", 64, "-o", tmp_path / "s.png")
    assert "8 drawings of 4 classes (val)" in done.stdout
    assert ink(tmp_path / "s.png").shape[1] >= 4 * 64


def test_show_draws_as_many_as_there_are(built: Path, tmp_path: Path) -> None:
    done = sketchdata("show", built, "--category", "cat", "--split", "val", "-n", 64, "-o", tmp_path / "s.png")
    assert "10 drawings of cat (val)" in done.stdout


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--category", "stra"], "there is no category 'stra'; did you mean star"),
        (["--category", "zebra"], "there is no category 'zebra'"),
        (["--split", "test"], "there is no split 'test'"),
        (["--split", "query"], "needs at least one drawing"),
    ],
)
def test_show_refuses_what_is_not_there(built: Path, tmp_path: Path, more: list[str], message: str) -> None:
    failed = sketchdata("show", built, *more, "-o", tmp_path / "sheet.png", expect=1)
    assert message in " ".join(failed.stderr.split())
    assert not (tmp_path / "sheet.png").exists()


def test_show_refuses_a_cell_that_is_too_small(built: Path, tmp_path: Path) -> None:
    failed = sketchdata("show", built, "--cell", "47", "-o", tmp_path / "sheet.png", expect=2)
    assert "47 is not in the range 48<=x<=1024" in failed.stderr


def test_show_refuses_a_folder_as_its_output(built: Path, tmp_path: Path) -> None:
    assert str(tmp_path) in sketchdata("show", built, "-o", tmp_path, expect=2).stderr
    missing = tmp_path / "no" / "such" / "folder" / "sheet.png"
    done = sketchdata("show", built, "-n", 1, "-o", missing)
    assert done.returncode == 0
    assert missing.exists()


def test_show_draws_raw_drawings(tmp_path: Path) -> None:
    from tests.builds import small_dataset

    small_dataset(tmp_path, input_format="raw", keep_raw=True)
    sketchdata("show", tmp_path / "dataset", "-n", 9, "-o", tmp_path / "sheet.png")
    assert ink(tmp_path / "sheet.png").any()
