"""Folders of labelled photos are understood as they are published, wherever in them photos, boxes and names are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sketchdata.errors import ConfigError, FormatError
from sketchdata.photos.annotations.layouts import (
    open_coco,
    open_folders,
    open_imagenet,
    open_open_images,
    open_voc,
    open_yolo,
)
from sketchdata.photos.annotations.record import Annotation, PixelBox
from tests.photos.labelled_photos import only, photo, reasons, voc, voc_object, write

CAT = voc_object("cat", (1, 1, 50, 60))
BOXES = (
    "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside\n"
)


def test_imagenets_synset_folders_with_boxes_beside_them(tmp_path: Path) -> None:
    photo(tmp_path / "ILSVRC" / "Data" / "train" / "n02123045", "n02123045_7.JPEG")
    thing = voc_object("n02123045", (1, 1, 50, 60))
    write(tmp_path / "ILSVRC" / "Annotations" / "n02123045" / "n02123045_7.xml", voc("%s", thing))
    opened = open_imagenet(tmp_path)
    found = only(list(opened.readings))
    assert (found.category, found.photo) == ("n02123045", "ILSVRC/Data/train/n02123045/n02123045_7.JPEG")


def test_imagenets_photos_without_a_box_are_whole_ones_of_their_synset(tmp_path: Path) -> None:
    for number in (7, 8):
        photo(tmp_path / "n02123045", f"n02123045_{number}.JPEG")
    assert [reading.box for reading in open_imagenet(tmp_path).readings] == [None, None]
    thing = voc_object("n02123045", (1, 1, 50, 60))
    write(tmp_path / "boxes" / "n02123045_7.xml", voc("n02123045_7", thing))
    boxed, whole = open_imagenet(tmp_path).readings
    assert (boxed.photo, boxed.box) == ("n02123045/n02123045_7.JPEG", PixelBox(0, 0, 50, 60))
    assert (whole.photo, whole.category, whole.box) == ("n02123045/n02123045_8.JPEG", "n02123045", None)


def test_folders_are_named_after_their_class(tmp_path: Path) -> None:
    photo(tmp_path, "cat/a.jpg")
    photo(tmp_path, "hot air balloon/more/b.png")
    photo(tmp_path, "stray.jpg")
    found = list(open_folders(tmp_path).readings)
    whole = [(each.photo, each.category, each.box) for each in found if isinstance(each, Annotation)]
    assert whole == [("cat/a.jpg", "cat", None), ("hot air balloon/more/b.png", "hot air balloon", None)]
    assert reasons(found) == [("stray.jpg", "no class folder")]


@pytest.mark.parametrize(("photos", "boxes"), [("JPEGImages", "Annotations"), ("images", "annotations"), (".", ".")])
def test_vocs_folders_by_their_usual_names_or_all_in_one(tmp_path: Path, photos: str, boxes: str) -> None:
    photo(tmp_path / photos, "a.jpg")
    write(tmp_path / boxes / "a.xml", voc("a.jpg", CAT))
    opened = open_voc(tmp_path)
    assert (only(list(opened.readings)).photo, opened.photos.root) == ("a.jpg", tmp_path / photos)


def test_vocs_masks_of_the_same_name_are_no_photos(tmp_path: Path) -> None:
    photo(tmp_path / "SegmentationClass", "a.png")
    photo(tmp_path / "JPEGImages", "a.jpg")
    write(tmp_path / "Annotations" / "a.xml", voc("a.jpg", CAT))
    assert only(list(open_voc(tmp_path).readings)).photo == "a.jpg"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("data.yaml", "path: .\nnames:\n  0: dog\n  1: cat\n"),
        ("config.yml", "names: [dog, cat]\n"),
        ("classes.txt", "dog\ncat\n"),
        ("labels/classes.txt", "dog\ncat\n"),
    ],
)
def test_yolos_names_are_found_where_tools_put_them(tmp_path: Path, name: str, content: str) -> None:
    photo(tmp_path / "images" / "train", "a.jpg")
    write(tmp_path / "labels" / "train" / "a.txt", "1 0.5 0.5 0.5 0.5\n")
    write(tmp_path / "another.yaml", "epochs: 100\n")
    write(tmp_path / name, content)
    found = only(list(open_yolo(tmp_path).readings))
    assert (found.category, found.photo, found.box) == ("cat", "train/a.jpg", PixelBox(50, 25, 150, 75))


def test_yolos_labels_may_lie_beside_the_photos(tmp_path: Path) -> None:
    photo(tmp_path, "a.jpg")
    write(tmp_path / "a.txt", "0 0.5 0.5 0.5 0.5\n")
    write(tmp_path / "classes.txt", "cat\n")
    assert only(list(open_yolo(tmp_path).readings)).photo == "a.jpg"


def test_yolo_without_names_is_refused(tmp_path: Path) -> None:
    photo(tmp_path / "images", "a.jpg")
    write(tmp_path / "labels" / "a.txt", "0 0.5 0.5 0.5 0.5\n")
    with pytest.raises(ConfigError, match=r"has no class names: expected a \.yaml with `names:`, or classes\.txt"):
        open_yolo(tmp_path)


def test_a_fault_in_yolos_names_is_said_and_not_passed_over(tmp_path: Path) -> None:
    photo(tmp_path / "images", "a.jpg")
    write(tmp_path / "data.yaml", "names:\n  0: cat\n  0: dog\n")
    write(tmp_path / "classes.txt", "cat\n")
    with pytest.raises(FormatError, match=r"data\.yaml"):
        open_yolo(tmp_path)


def test_cocos_file_and_folder(tmp_path: Path) -> None:
    photo(tmp_path / "val2017", "1.jpg")
    document = {
        "images": [{"id": 1, "file_name": "1.jpg", "width": 200, "height": 100}],
        "categories": [{"id": 17, "name": "cat"}],
        "annotations": [{"id": 5, "image_id": 1, "category_id": 17, "bbox": [10, 20, 30, 40], "iscrowd": 0}],
    }
    path = write(tmp_path / "instances.json", json.dumps(document))
    assert only(list(open_coco(path, tmp_path / "val2017").readings)).box == PixelBox(10, 20, 40, 60)


# ---- Open Images -----------------------------------------------------------------------------------------------------


def open_images(folder: Path, *, facts: bool = True) -> Path:
    """Write two of a table's three photos, in folders as the download tool leaves them."""
    photo(folder / "train", "aa.jpg")
    photo(folder / "train", "bb.jpg")
    rows = "".join(f"{image},xclick,/m/01yrx,1,0.1,0.5,0.2,0.8,0,0,0,1,0\n" for image in ("aa", "bb", "cc"))
    write(folder / "annotations" / "train-annotations-bbox.csv", BOXES + rows)
    write(folder / "class-descriptions-boxable.csv", "/m/01yrx,Cat\n")
    if facts:
        write(
            folder / "train-images-boxable-with-rotation.csv",
            "ImageID,Subset,OriginalURL,OriginalLandingURL,License,AuthorProfileURL,Author,Title\n"
            "aa,train,https://a.test/aa.jpg,https://a.test/aa,https://creativecommons.org/licenses/by/2.0/,,Ann,A cat\n"
            "bb,train,,,,,,\n",
        )
    return folder


def test_open_images_tables_are_known_by_their_columns_and_give_authors_too(tmp_path: Path) -> None:
    readings = list(open_open_images(open_images(tmp_path)).readings)
    first, second = (reading for reading in readings if isinstance(reading, Annotation))
    assert (first.photo, first.category, first.box) == ("train/aa.jpg", "Cat", PixelBox(20, 20, 100, 80))
    assert (first.page, first.author, first.title) == ("https://a.test/aa", "Ann", "A cat")
    assert first.licence == "https://creativecommons.org/licenses/by/2.0/"
    assert (second.page, second.author, second.licence, second.title) == (None,) * 4
    assert reasons(readings) == [("train-annotations-bbox.csv: line 4", "photo missing")]


def test_open_images_do_without_the_table_of_authors(tmp_path: Path) -> None:
    readings = list(open_open_images(open_images(tmp_path, facts=False)).readings)
    assert [reading.author for reading in readings if isinstance(reading, Annotation)] == [None, None]


@pytest.mark.parametrize("missing", ["annotations/train-annotations-bbox.csv", "class-descriptions-boxable.csv"])
def test_open_images_without_a_needed_table_are_refused(tmp_path: Path, missing: str) -> None:
    (open_images(tmp_path) / missing).unlink()
    with pytest.raises(ConfigError, match=rf"is not a folder of Open Images: a table such as {Path(missing).name}"):
        open_open_images(tmp_path)


def test_a_table_that_is_no_text_is_refused(tmp_path: Path) -> None:
    write(open_images(tmp_path) / "broken.csv", b"\xff\xfe\x00")
    with pytest.raises(FormatError, match=r"broken\.csv"):
        open_open_images(tmp_path)


def test_a_folder_without_photos_is_refused_by_each(tmp_path: Path) -> None:
    for opening in (open_imagenet, open_voc, open_yolo, open_open_images):
        with pytest.raises(ConfigError, match="is not a folder with photos"):
            opening(tmp_path)


def test_files_passed_over_are_faults_of_the_folder(tmp_path: Path) -> None:
    photo(tmp_path, "cat/a.jpg")
    write(tmp_path / "cat/b.heic", b"\0\0\0\x18ftypheic")
    readings = list(open_folders(tmp_path).readings)
    assert reasons(readings) == [("cat/b.heic", "not a photo")]
    assert only(readings[1:]).photo == "cat/a.jpg"


def test_points_of_a_pose_are_read_by_the_config_of_the_names(tmp_path: Path) -> None:
    photo(tmp_path, "images/a.jpg")
    write(tmp_path / "data.yaml", "kpt_shape: [1, 2]\nnames:\n  0: cat\n")
    write(tmp_path / "labels/a.txt", "0 0.5 0.5 0.5 0.5 0.9 0.9\n")
    assert only(list(open_yolo(tmp_path).readings)).box == PixelBox(50, 25, 150, 75)


def test_what_tables_of_open_images_say_is_put_together(tmp_path: Path) -> None:
    photo(tmp_path, "train/aa.jpg")
    write(tmp_path / "train-annotations-bbox.csv", f"{BOXES}aa,xclick,/m/0,1,0,1,0,1,0,0,0,0,0\n")
    write(tmp_path / "class-descriptions-boxable.csv", "/m/0,Cat\n")
    write(tmp_path / "images-with-rotation.csv", "ImageID,Rotation\naa,90.0\n")
    write(tmp_path / "images.csv", "ImageID,License,Author\naa,http://l.test,Ann\n")
    found = only(list(open_open_images(tmp_path).readings))
    assert (found.flags, found.author, found.licence) == ({"turn90"}, "Ann", "http://l.test")
