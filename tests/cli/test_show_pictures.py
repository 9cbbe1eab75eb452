"""`sketchdata show` on crops, edge maps and sets of edge maps: contact sheets that show the pictures themselves."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from sketchdata.display.contact_sheet import picture_sheet
from sketchdata.edges.dataset import first_pictures
from sketchdata.errors import ConfigError
from sketchdata.storage.manifest import read_manifest
from tests.commands import sketchdata
from tests.edge_map_builds import build, index, stored
from tests.edge_map_sets import CLASSES, EdgeMapSet, make_edge_maps

BORDER, CAPTION, LEGEND, MARGIN = 8, 18, 24, 2


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> EdgeMapSet:
    return make_edge_maps(tmp_path_factory.mktemp("edge-maps"), {"apple": 40, "star": 8})


@pytest.fixture(scope="module")
def built(source: EdgeMapSet) -> Path:
    build(source.edges, source.edges.parent / "built")
    return source.edges.parent / "built"


def sheet(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    assert image is not None
    return np.asarray(image[:, :, ::-1])


def decoded(content: bytes) -> np.ndarray:
    return np.asarray(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1])


# ---- the sheet -------------------------------------------------------------------------------------------------------


def test_a_picture_is_as_large_as_fits_and_in_the_middle() -> None:
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, :, 0] = 250
    found = picture_sheet([wide, wide], ["a", "b"], "two", columns=2, cell=64)
    assert found.shape == (BORDER + 64 + CAPTION + 1 + 1 + LEGEND, 240 + 2 * BORDER, 3)
    square = found[BORDER + 1 : BORDER + 65, BORDER + 1 : BORDER + 65]
    ys, xs = np.nonzero((square == [250, 0, 0]).all(axis=2))
    assert (xs.min(), xs.max()) == (MARGIN, 63 - MARGIN)
    assert (ys.min(), ys.max()) == (22, 41)


def test_captions_and_legend_are_grey_on_white_paper() -> None:
    found = picture_sheet([np.full((9, 9, 3), 255, np.uint8)], ["caption"], "the legend", cell=64)
    inked = found[(found < 200).any(axis=2)]
    assert len(inked) > 50
    assert (inked.max(axis=1) == inked.min(axis=1)).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [({"pictures": []}, "at least one"), ({"cell": 9}, "cell must be"), ({"columns": 0}, "at least 1 column")],
)
def test_a_sheet_that_cannot_be_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        picture_sheet(**{"pictures": [np.zeros((9, 9, 3), np.uint8)], "titles": ["a"], "legend": "", **options})


# ---- which pictures --------------------------------------------------------------------------------------------------


def test_classes_are_mixed_and_the_first_of_each_come_first(source: EdgeMapSet) -> None:
    sample = first_pictures(source.edges, source.manifest, "all", 6, None)
    assert sorted(sample.label.tolist()) == sorted([CLASSES.index("apple"), CLASSES.index("star")] * 3)
    rows = {row["key_id"]: row for row in stored(source.edges)}
    for picture, key_id in zip(sample.pictures, sample.key_id.tolist(), strict=True):
        np.testing.assert_array_equal(picture, decoded(rows[key_id]["image"]))
    smallest = sorted(row["key_id"] for row in rows.values() if row["word"] == "apple")[:3]
    assert {key_id for key_id in sample.key_id.tolist() if rows[key_id]["word"] == "apple"} == set(smallest)


def test_a_class_lies_in_several_shards(source: EdgeMapSet) -> None:
    sample = first_pictures(source.edges, source.manifest, "all", 1000, "apple")
    expected = [row["key_id"] for row in stored(source.edges) if row["word"] == "apple"]
    assert sample.key_id.tolist() == expected


def test_a_finished_set_is_shown_in_the_order_of_its_rows(built: Path) -> None:
    sample = first_pictures(built, read_manifest(built), "train", 10, "apple")
    assert sample.key_id.tolist() == [row["key_id"] for row in index(built, "train") if row["word"] == "apple"][:10]


# ---- the command -----------------------------------------------------------------------------------------------------


def test_show_draws_crops_edge_maps_and_sets(source: EdgeMapSet, built: Path, tmp_path: Path) -> None:
    said = sketchdata("show", source.crops, "-n", 8, "-o", tmp_path / "crops.png").stdout
    assert "8 crops of 2 classes (all)" in said
    colours = sheet(tmp_path / "crops.png").astype(int)
    assert (np.ptp(colours, axis=2) > 30).mean() > 0.1
    said = sketchdata("show", source.edges, "--category", "star", "-o", tmp_path / "edges.png").stdout
    assert "8 edge maps of star (all)" in said
    said = sketchdata("show", built, "-n", 4, "--columns", 4, "--cell", 228, "-o", tmp_path / "built.png").stdout
    assert "4 edge maps of 2 classes (train)" in said
    # At their own size, pictures are shown pixel by pixel.
    place = index(built, "train")[0]
    with (built / place["tar"]).open("rb") as file:
        file.seek(place["offset"])
        expected = decoded(file.read(place["bytes"]))
    top = left = BORDER + 1 + MARGIN
    np.testing.assert_array_equal(sheet(tmp_path / "built.png")[top : top + 224, left : left + 224], expected)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--category", "stra"], "did you mean star"),
        (["--category", "zebra"], "at least one drawing or picture"),
        (["--split", "test"], "there is no split 'test'"),
    ],
)
def test_show_refuses_what_is_not_there(
    more: list[str], message: str, source: EdgeMapSet, built: Path, tmp_path: Path
) -> None:
    for directory in (source.edges, built):
        failed = sketchdata("show", directory, *more, "-o", tmp_path / "sheet.png", expect=1)
        assert message in " ".join(failed.stderr.split())
        assert not (tmp_path / "sheet.png").exists()
