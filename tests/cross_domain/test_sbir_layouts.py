"""Names of published data sets, and which classes ImageNet has, too."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from sketchdata.classes.spellings import find, plain
from sketchdata.cross_domain.layouts import class_name, imagenet_classes, key_ids_of, photo_stem, root_of
from sketchdata.errors import ConfigError
from sketchdata.storage.catalog import manifest_path, read_classes
from tests.published_layouts import SKETCHY, TU_BERLIN


@pytest.mark.parametrize(("folder", "place"), [("256x256/sketch/tx_000000000000", "drawings"), ("images", "photos")])
def test_a_folder_of_classes_is_found_below_or_is_the_one_given(tmp_path: Path, folder: str, place: str) -> None:
    layout = "sketchy" if place == "drawings" else "tu-berlin"
    (tmp_path / folder / "zebra").mkdir(parents=True)
    assert root_of(layout, place, tmp_path) == tmp_path / folder
    assert root_of(layout, place, tmp_path / folder) == tmp_path / folder
    assert root_of("folders", place, tmp_path) == tmp_path


def test_folders_of_tu_berlins_photos_name_its_classes() -> None:
    by_plain = {plain(word): word for word in TU_BERLIN}
    assert {find(class_name("tu-berlin", folder), by_plain): folder for folder in TU_BERLIN.values()} == TU_BERLIN
    assert class_name("sketchy", "mouse") == "mouse"


def test_drawings_of_sketchy_are_named_after_their_photo() -> None:
    assert photo_stem("cat/n02121620_10151-12.png") == "n02121620_10151"
    assert photo_stem("cat/ext_12.png") is None
    assert photo_stem("n02121620_10151.png") is None


def test_key_ids_are_names_of_files() -> None:
    assert key_ids_of(["sketches/cat/5147947173937152.png", "17.png"]) == [5147947173937152, 17]
    for wrong in ("cat/first.png", f"{2**64}.png", "-3.png"):
        with pytest.raises(ConfigError, match="named after their key_id"):
            key_ids_of([wrong])


class TestImageNet:
    def test_known_classes(self) -> None:
        assert imagenet_classes(SKETCHY) == SKETCHY
        assert imagenet_classes(("songbird", "window", "mouse (animal)", "computer-mouse", "unicorn")) == (
            "songbird",
            "computer-mouse",
        )

    def test_quickdraws_are_those_of_its_table_of_photos(self) -> None:
        names = read_classes(manifest_path("quickdraw-categories.txt"))
        assert len(imagenet_classes(names)) == 178

    def test_the_list_has_synsets_of_the_thousand_and_no_name_twice(self) -> None:
        tables = {}
        for name in ("imagenet-1k.csv", "imagenet-overlap.csv", "edgemap-345c.csv"):
            with manifest_path(name).open(encoding="utf-8", newline="") as file:
                tables[name] = list(csv.DictReader(file))
        synsets = {row["wnid"]: row["words"] for row in tables["imagenet-1k.csv"]}
        ours = tables["imagenet-overlap.csv"]
        assert all(synsets[row["wnid"]] == row["imagenet_words"] for row in ours if row["wnid"])
        names = [plain(row["word"]) for row in ours]
        assert len(set(names)) == len(names)
        assert not set(names) & {plain(row["word"]) for row in tables["edgemap-345c.csv"]}
