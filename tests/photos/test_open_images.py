from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sketchdata.errors import FormatError
from sketchdata.photos.annotations.boxes import read_open_images, read_open_images_facts, read_open_images_names
from sketchdata.photos.annotations.record import Annotation, PhotoFolder, PixelBox
from sketchdata.photos.image import decode
from tests.photos.labelled_photos import only, photo, reasons, write

HEADER = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside"
DOG = "/m/0bt9lr"


def test_a_row_becomes_a_box_in_pixels_with_its_flags(tmp_path: Path) -> None:
    photos = photo(tmp_path / "train", "0001eeaf4aed83f9.jpg")
    path = write(tmp_path / "b.csv", f"{HEADER}\n0001eeaf4aed83f9,xclick,{DOG},1,0.1,0.5,0.2,0.8,1,-1,0,1,0\n")
    assert only(list(read_open_images(path, photos, {DOG: "Dog"}))) == Annotation(
        photo="0001eeaf4aed83f9.jpg",
        category="Dog",
        box=PixelBox(20, 20, 100, 80),
        where="b.csv: line 2",
        flags=frozenset({"occluded", "depiction"}),
    )


@pytest.mark.parametrize("flag", ["1", "1.0", "True", " true"])
def test_flags_are_read_as_programs_write_them(tmp_path: Path, flag: str) -> None:
    photos = photo(tmp_path / "train", "aa.jpg")
    path = write(tmp_path / "b.csv", f"{HEADER}\naa,xclick,{DOG},1,0,1,0,1,-1,0.0,{flag},False,\n")
    assert only(list(read_open_images(path, photos, {DOG: "Dog"}))).flags == {"group"}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_are_of_the_stored_pixels_and_stay_on_their_object_in_the_upright_photo(
    tmp_path: Path, orientation: int
) -> None:
    pixels = np.zeros((40, 80, 3), np.uint8)
    pixels[8:16, 8:24] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "train").mkdir()
    Image.fromarray(pixels).save(tmp_path / "train/aa.png", exif=exif)
    path = write(tmp_path / "b.csv", f"{HEADER}\naa,xclick,{DOG},1,0.1,0.3,0.2,0.4,0,0,0,0,0\n")
    x0, y0, x1, y1 = only(list(read_open_images(path, PhotoFolder(tmp_path / "train"), {DOG: "Dog"}))).box or (0,) * 4
    upright = decode((tmp_path / "train/aa.png").read_bytes())
    assert (upright[y0:y1, x0:x1] == 255).all()
    assert (upright > 0).sum() == 3 * (y1 - y0) * (x1 - x0)


@pytest.mark.parametrize(
    ("rotation", "orientation", "flags"),
    [
        ("90.0", 1, {"turn90"}),
        ("270", 1, {"turn270"}),
        ("180.0", 3, set()),
        ("90.0", 8, set()),
        ("0.0", 6, {"turn90"}),
        ("", 6, set()),
        ("nan", 1, set()),
        ("45", 1, set()),
    ],
)
def test_a_photo_is_turned_as_its_table_says_and_not_once_more_than_exif_does(
    tmp_path: Path, rotation: str, orientation: int, flags: set[str]
) -> None:
    photos = photo(tmp_path / "train", "aa.jpg", orientation=orientation)
    facts = write(tmp_path / "f.csv", f"ImageID,License,Author,Rotation\naa,http://l.test,Ann,{rotation}\nbb,,,\n")
    path = write(tmp_path / "b.csv", f"{HEADER}\naa,xclick,{DOG},1,0,1,0,1,0,0,0,0,0\n")
    known = read_open_images_facts(facts, photos.stems())
    found = only(list(read_open_images(path, photos, {DOG: "Dog"}, known)))
    assert (found.flags, found.author, found.licence, found.title) == (flags, "Ann", "http://l.test", None)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("aa,xclick,/m/none,1,0.1,0.5,0.2,0.8", "unknown class"),
        (f"bb,xclick,{DOG},1,0.1,0.5,0.2,0.8", "photo missing"),
        (f"aa,xclick,{DOG},1,0.5,0.1,0.2,0.8", "box without area"),
        (f"aa,xclick,{DOG},1,0.1,0.5", "not a number"),
        ("aa", "unknown class"),
    ],
)
def test_an_unusable_or_cut_row_is_a_fault(tmp_path: Path, row: str, reason: str) -> None:
    photos = photo(tmp_path / "train", "aa.jpg")
    path = write(tmp_path / "b.csv", f"{HEADER}\n{row}\naa,xclick,{DOG},1,0,1,0,1,0,0,0,0,0\n")
    readings = list(read_open_images(path, photos, {DOG: "Dog"}))
    assert reasons(readings) == [("b.csv: line 2", reason)]
    assert only(readings[1:]).box == PixelBox(0, 0, 200, 100)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "missing columns"),
        ("url,class\n", "missing columns"),
        (f'{HEADER}\naa,"xcl', "broken table"),
        (HEADER.encode() + b"\n\xff\xfe\n", "not UTF-8"),
    ],
)
def test_a_file_that_is_no_such_table_is_refused_with_its_path(
    tmp_path: Path, content: str | bytes, reason: str
) -> None:
    photos = photo(tmp_path / "train", "aa.jpg")
    path = write(tmp_path / "boxes.csv", content)
    with pytest.raises(FormatError, match=f"{reason}.*boxes.csv"):
        list(read_open_images(path, photos, {}))


@pytest.mark.parametrize("header", ["", "LabelName,DisplayName\n"])
def test_class_names_are_read_with_and_without_a_header(tmp_path: Path, header: str) -> None:
    path = write(tmp_path / "c.csv", f'{header}{DOG},Dog\n/m/0x,"Bow, arrow"\n')
    assert read_open_images_names(path) == {DOG: "Dog", "/m/0x": "Bow, arrow"}


@pytest.mark.parametrize("content", ["", "Dog\n", "1,Dog\n", f"{DOG},\n"])
def test_other_tables_are_not_taken_for_class_names(tmp_path: Path, content: str) -> None:
    with pytest.raises(FormatError, match=r"not class descriptions.*c\.csv"):
        read_open_images_names(write(tmp_path / "c.csv", content))
