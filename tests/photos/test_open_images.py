from __future__ import annotations

from pathlib import Path

import pytest

from sketchdata.errors import FormatError
from sketchdata.photos.annotations.boxes import read_open_images, read_open_images_names
from sketchdata.photos.annotations.record import Annotation, PixelBox
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
