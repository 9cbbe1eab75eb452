from __future__ import annotations

from pathlib import Path

import pytest

from sketchdata.errors import ConfigError
from sketchdata.photos.classes import ClassNames, read_class_names, read_photo_classes
from sketchdata.storage.catalog import manifest_path
from tests.photos.labelled_photos import write

CLASSES = read_photo_classes(manifest_path("edgemap-345c.csv"))
WORDS = [photo_class.word for photo_class in CLASSES]
NAMES = ClassNames(CLASSES)


@pytest.mark.parametrize(
    ("source", "category", "word"),
    [
        ("imagenet", "n02690373", "airplane"),
        ("imagenet", "n99999999", None),
        ("coco", "dining table", "table"),
        ("coco", "person", None),
        ("yolo", "teddy bear", "teddy-bear"),
        ("yolo", "Teddy_Bear", "teddy-bear"),
        ("yolo", "raccoon", "raccoon"),
        ("voc", "aeroplane", "airplane"),
        ("voc", "tvmonitor", "television"),
        ("voc", "sofa", "couch"),
        ("open_images", "Drill (Tool)", "drill"),
        ("open_images", "Drill", "drill"),
        ("open_images", "Alarm clock", "alarm clock"),
        ("open_images", "Whiteboard", None),
        ("urls", "The Eiffel Tower", "The Eiffel Tower"),
        ("urls", "cat (animal)", "cat"),
        ("urls", "", None),
        ("urls", "()", None),
    ],
)
def test_a_sources_names_stand_for_our_classes(source: str, category: str, word: str | None) -> None:
    assert NAMES.of(source)(category) == word


@pytest.mark.parametrize("source", ["coco", "yolo", "voc", "urls"])
def test_every_class_goes_by_its_own_name(source: str) -> None:
    find = NAMES.of(source)
    assert [find(word) for word in WORDS] == WORDS


def test_every_name_of_the_table_leads_to_its_class() -> None:
    for source, column in (("imagenet", "wnid"), ("coco", "coco"), ("open_images", "open_images")):
        find = NAMES.of(source)
        named = [each for each in CLASSES if getattr(each, column) is not None]
        assert [find(getattr(each, column)) for each in named] == [each.word for each in named]


def test_the_users_names_win_over_ours() -> None:
    names = ClassNames(CLASSES, {"Kitty": "cat", "dog": "lion"})
    assert names.of("yolo")("kitty") == "cat"
    assert names.of("open_images")("Kitty") == "cat"
    assert names.of("coco")("dog") == "lion"


def test_a_table_of_names_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "map.csv", "category,word\nKitty,cat\n boat , sailboat \n")
    assert read_class_names(path, WORDS) == {"Kitty": "cat", "boat": "sailboat"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("category,word\nkitty,catt\n", r"line 2: 'kitty' → 'catt' is not one of our classes; did you mean .*cat"),
        ("category,word\nkitty,\n", "line 2"),
        ("category,word\n,cat\n", "line 2"),
        ("category,word\nkitty\n", "line 2"),
        ("theirs,ours\nkitty,cat\n", r"missing columns.*category,word was expected"),
        ("", "category,word was expected"),
    ],
)
def test_a_table_of_names_that_is_none_is_refused(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_class_names(write(tmp_path / "map.csv", content), WORDS)


def test_a_missing_table_of_names_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.csv"):
        read_class_names(tmp_path / "none.csv", WORDS)


def test_folders_go_by_our_words_cocos_and_synsets() -> None:
    find = ClassNames(CLASSES).of("folders")
    assert [find(name) for name in ("cat", "Airplane", "n02690373", "tv", "nothing")] == [
        "cat",
        "airplane",
        "airplane",
        "television",
        None,
    ]
