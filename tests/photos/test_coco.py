from __future__ import annotations

import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sketchdata.errors import FormatError
from sketchdata.formats.files import Fault
from sketchdata.photos.annotations.boxes import read_coco
from sketchdata.photos.annotations.record import Annotation, PhotoFolder, PixelBox, Size, pixel_box
from tests.photos.labelled_photos import only, photo, reasons, write


def document(**changes: Any) -> dict[str, Any]:
    annotation = {"id": 9, "image_id": 3, "category_id": 88, "bbox": [10.4, 20.0, 30.0, 40.2], "iscrowd": 0}
    image = {"id": 3, "file_name": "a.jpg", "width": 200, "height": 100, "license": 1, "flickr_url": "http://f.test/3"}
    return {
        "info": {"year": 2017},
        "licenses": [{"id": 1, "name": "Attribution License", "url": "http://l.test"}],
        "images": [image],
        "categories": [{"supercategory": "indoor", "id": 88, "name": "teddy bear"}],
        "annotations": [{**annotation, **changes}],
    }


@pytest.fixture
def photos(tmp_path: Path) -> PhotoFolder:
    return photo(tmp_path / "images", "a.jpg")


def test_a_box_is_read_with_where_it_is_from(tmp_path: Path, photos: PhotoFolder) -> None:
    path = write(tmp_path / "instances.json", json.dumps(document()))
    assert only(list(read_coco(path, photos))) == Annotation(
        photo="a.jpg",
        category="teddy bear",
        box=PixelBox(10, 20, 40, 60),
        where="instances.json: annotation 1",
        page="http://f.test/3",
        licence="Attribution License",
    )


def test_a_crowd_is_flagged_as_a_group(tmp_path: Path, photos: PhotoFolder) -> None:
    path = write(tmp_path / "instances.json", json.dumps(document(iscrowd=1)))
    assert only(list(read_coco(path, photos))).flags == {"group"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"bbox": [10, 10, 0, 5]}, "box without area"),
        ({"bbox": [10, 10, -4, 5]}, "box without area"),
        ({"bbox": [200, 10, 4, 5]}, "box outside the photo"),
        ({"bbox": [10, 10, 5]}, "no box"),
        ({"bbox": None}, "no box"),
        ({"bbox": [10, "ten", [], 5]}, "not a number"),
        ({"category_id": 1}, "unknown class"),
        ({"image_id": 4}, "unknown photo"),
        ({"image_id": [3]}, "unknown photo"),
    ],
)
def test_an_unusable_annotation_is_a_fault(
    tmp_path: Path, photos: PhotoFolder, changes: dict[str, Any], reason: str
) -> None:
    content = document(**changes)
    content["annotations"].append(document()["annotations"][0])
    readings = list(read_coco(write(tmp_path / "i.json", json.dumps(content)), photos))
    assert reasons(readings) == [("i.json: annotation 1", reason)]
    assert only(readings[1:]).category == "teddy bear"


def test_boxes_for_a_photo_of_another_size_are_faults(tmp_path: Path, photos: PhotoFolder) -> None:
    content = document()
    content["images"][0]["width"] = 640
    readings = list(read_coco(write(tmp_path / "i.json", json.dumps(content)), photos))
    assert reasons(readings) == [("i.json: annotation 1", "photo of another size")]
    (fault,) = readings
    assert isinstance(fault, Fault)
    assert re.fullmatch(r"the boxes are for 640×\d+ pixels, and the photo has \d+×\d+", fault.detail)


def test_two_photos_with_one_id_are_refused_with_that_id(tmp_path: Path, photos: PhotoFolder) -> None:
    content = document()
    content["images"].append({**content["images"][0], "file_name": "b.jpg"})
    path = write(tmp_path / "i.json", json.dumps(content))
    with pytest.raises(FormatError, match=r"repeated id: .*i\.json: two of the images have the id 3"):
        list(read_coco(path, photos))
    content["images"][1] = content["images"][0]
    assert only(list(read_coco(write(path, json.dumps(content)), photos))).photo == "a.jpg"


def test_numbers_may_be_texts_and_ids_decimals(tmp_path: Path, photos: PhotoFolder) -> None:
    content = document(image_id="3", category_id=88.0, bbox=["10.4", "20", "30", "40.2"], iscrowd="0")
    content["images"][0].update(width="200", height="100")
    found = only(list(read_coco(write(tmp_path / "i.json", json.dumps(content)), photos)))
    assert (found.box, found.flags) == (PixelBox(10, 20, 40, 60), frozenset())


def test_a_byte_order_mark_costs_nothing(tmp_path: Path, photos: PhotoFolder) -> None:
    path = write(tmp_path / "i.json", b"\xef\xbb\xbf" + json.dumps(document()).encode())
    assert only(list(read_coco(path, photos))).category == "teddy bear"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (json.dumps(document())[:-9], "broken JSON"),
        ("", "broken JSON"),
        ("[1, 2]", "not COCO"),
        ("{}", "not COCO"),
        ('{"images": [], "categories": [], "annotations": [1]}', "not COCO"),
        ('{"images": [{}], "categories": [], "annotations": []}', "not COCO"),
    ],
)
def test_a_file_that_is_not_coco_is_refused_with_its_path(
    tmp_path: Path, photos: PhotoFolder, content: str, reason: str
) -> None:
    path = write(tmp_path / "instances.json", content)
    with pytest.raises(FormatError, match=f"{reason}.*instances.json"):
        list(read_coco(path, photos))


def test_a_missing_file_is_refused(tmp_path: Path, photos: PhotoFolder) -> None:
    with pytest.raises(FormatError, match="unreadable file"):
        list(read_coco(tmp_path / "none.json", photos))


edges = st.floats(-1e4, 1e4)


@given(edges, edges, edges, edges, st.builds(Size, st.integers(1, 5000), st.integers(1, 5000)))
def test_a_box_is_always_within_the_photo_and_never_empty(
    x0: float, y0: float, x1: float, y1: float, size: Size
) -> None:
    clipped = min(x1, size.width) - max(x0, 0), min(y1, size.height) - max(y0, 0)
    try:
        box = pixel_box((x0, y0, x1, y1), size)
    except FormatError:
        box = None
    # What has a whole pixel is never refused.
    assert box is not None or min(clipped) < 1
    if box is not None:
        assert 0 <= box.x0 < box.x1 <= size.width
        assert 0 <= box.y0 < box.y1 <= size.height
        assert abs(box.x0 - max(x0, 0)) <= 0.5 + 1e-9
        assert abs(box.y1 - min(y1, size.height)) <= 0.5 + 1e-9


@given(st.integers(0, 300), st.integers(0, 300), st.integers(1, 300), st.integers(1, 300))
def test_whole_pixels_of_coco_come_through_unchanged(x: int, y: int, width: int, height: int) -> None:
    with TemporaryDirectory() as folder:
        photos = photo(Path(folder), "a.jpg", (600, 600))
        content = document(bbox=[x, y, width, height])
        content["images"][0].update(width=600, height=600)
        path = write(Path(folder) / "i.json", json.dumps(content))
        assert only(list(read_coco(path, photos))).box == PixelBox(x, y, x + width, y + height)
