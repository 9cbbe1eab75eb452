from __future__ import annotations

import os
from pathlib import Path

import pytest

from sketchdata.errors import FormatError
from sketchdata.photos.annotations.boxes import parse_xml, read_voc
from sketchdata.photos.annotations.record import Annotation, PhotoFolder, PixelBox
from tests.photos.labelled_photos import only, photo, reasons, voc, voc_object, write

BILLION_LAUGHS = """<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<annotation><filename>&b;</filename></annotation>"""
EXTERNAL_ENTITY = """<?xml version="1.0"?><!DOCTYPE annotation [<!ENTITY x SYSTEM "file:///etc/passwd">]>
<annotation><filename>&x;</filename></annotation>"""


def test_a_box_counted_from_1_with_its_last_pixel_becomes_half_open(tmp_path: Path) -> None:
    photos = photo(tmp_path / "images", "a.jpg")
    write(tmp_path / "xml/a.xml", voc("a.jpg", voc_object("cat", (1, 11, 200, 20), "<difficult>1</difficult>")))
    expected = Annotation(
        photo="a.jpg",
        category="cat",
        box=PixelBox(0, 10, 200, 20),
        where="a.xml: object 1",
        flags=frozenset({"difficult"}),
    )
    assert only(list(read_voc(tmp_path / "xml", photos))) == expected


@pytest.mark.parametrize("stated", ["n02123045_7", "%s"])
def test_photos_of_imagenet_are_found_by_synset_and_number(tmp_path: Path, stated: str) -> None:
    photos = photo(tmp_path / "images", "n02123045/n02123045_7.JPEG")
    content = voc(stated, voc_object("n02123045", (1, 1, 50, 50)), size=(0, 0))
    write(tmp_path / "xml/n02123045/n02123045_7.xml", content)
    annotation = only(list(read_voc(tmp_path / "xml", photos)))
    assert (annotation.photo, annotation.category) == ("n02123045/n02123045_7.JPEG", "n02123045")


@pytest.mark.parametrize(
    ("thing", "reason"),
    [
        (voc_object("cat", (20, 1, 10, 50)), "box without area"),
        (voc_object("cat", (300, 1, 400, 50)), "box outside the photo"),
        (voc_object("cat", ("nan", 1, 400, 50)), "box not finite"),
        (voc_object("cat", ("left", 1, 400, 50)), "not a number"),
        (voc_object(" ", (1, 1, 40, 50)), "no class"),
        ("<object><name>cat</name></object>", "no box"),
    ],
)
def test_an_unusable_object_is_a_fault_and_the_others_stay(tmp_path: Path, thing: str, reason: str) -> None:
    photos = photo(tmp_path / "images", "a.jpg")
    write(tmp_path / "xml/a.xml", voc("a.jpg", thing, voc_object("dog", (-5, 1, 999, 50))))
    readings = list(read_voc(tmp_path / "xml", photos))
    assert reasons(readings) == [("a.xml: object 1", reason)]
    assert only(readings[1:]).box == PixelBox(0, 0, 200, 50)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (BILLION_LAUGHS, "XML with declarations"),
        (EXTERNAL_ENTITY, "XML with declarations"),
        ("<annotation><filename>&x;</filename></annotation>", "broken XML"),
        (voc("a.jpg", voc_object("cat", (1, 1, 9, 9)))[:-40], "broken XML"),
        (b"\xff\xd8\xff\xe0", "broken XML"),
        ("<?xml version='1.0' encoding='martian'?><annotation/>", "broken XML"),
        ("", "broken XML"),
        ("<a>" * 200_000, "broken XML"),
        ("<a>" * 200_000 + "</a>" * 200_000, "not PASCAL VOC"),
        (" " * ((1 << 24) + 1), "file too large"),
        ("<svg/>", "not PASCAL VOC"),
        (voc("b.jpg", voc_object("cat", (1, 1, 9, 9))), None),
        (voc("a.jpg", size=(100, 200)), "photo of another size"),
    ],
    ids=range(13),
)
def test_a_broken_or_hostile_file_is_one_fault(tmp_path: Path, content: str | bytes, reason: str | None) -> None:
    photos = photo(tmp_path / "images", "a.jpg")
    write(tmp_path / "xml/a.xml", content)
    readings = list(read_voc(tmp_path / "xml", photos))
    # A wrong file name alone is no fault: the XML's own name still leads to the photo.
    assert reasons(readings) == ([("a.xml", reason)] if reason else [])
    assert len(readings) == 1


def test_broken_xml_is_named_with_its_path(tmp_path: Path) -> None:
    path = write(tmp_path / "a.xml", EXTERNAL_ENTITY)
    with pytest.raises(FormatError, match=r"a\.xml"):
        parse_xml(path)


def test_a_name_that_leads_out_of_the_folder_finds_nothing(tmp_path: Path) -> None:
    photo(tmp_path, "secret.jpg")
    photos = photo(tmp_path / "images", "a.jpg")
    write(tmp_path / "xml/b.xml", voc("../secret.jpg", voc_object("cat", (1, 1, 9, 9))))
    assert reasons(list(read_voc(tmp_path / "xml", photos))) == [("b.xml", "photo missing")]


def test_a_folder_without_xml_is_refused(tmp_path: Path) -> None:
    photos = photo(tmp_path / "images", "a.jpg")
    with pytest.raises(FormatError, match="no annotations"):
        list(read_voc(tmp_path / "images", photos))


@pytest.mark.skipif("SKETCHDATA_REAL_DATA" not in os.environ, reason="SKETCHDATA_REAL_DATA names no folder of photos")
def test_every_box_of_the_real_raccoons_is_read() -> None:
    folder = Path(os.environ["SKETCHDATA_REAL_DATA"]) / "photos" / "raccoon"
    readings = list(read_voc(folder / "Annotations", PhotoFolder(folder / "JPEGImages")))
    assert reasons(readings) == []
    assert len(readings) == 217
    annotations = [reading for reading in readings if isinstance(reading, Annotation)]
    assert len({annotation.photo for annotation in annotations}) == 200
    assert {annotation.category for annotation in annotations} == {"raccoon"}
    assert annotations[0].box == PixelBox(80, 87, 522, 408)
