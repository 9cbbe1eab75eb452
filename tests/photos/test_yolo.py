from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sketchdata.errors import FormatError
from sketchdata.formats.files import Fault
from sketchdata.photos.annotations.boxes import read_yolo, read_yolo_names, read_yolo_points
from sketchdata.photos.annotations.record import Annotation, PhotoFolder, PixelBox, Size
from tests.photos.labelled_photos import only, photo, reasons, write

NAMES = {0: "person", 15: "cat"}


def test_parts_become_pixels(tmp_path: Path) -> None:
    photos = photo(tmp_path / "images", "train/a.jpg")
    write(tmp_path / "labels/train/a.txt", "15 0.5 0.5 0.5 0.2\n\n")
    expected = Annotation(
        photo="train/a.jpg", category="cat", box=PixelBox(50, 40, 150, 60), where="train/a.txt: line 1"
    )
    assert only(list(read_yolo(tmp_path / "labels", photos, NAMES))) == expected


def test_parts_are_of_the_upright_photo(tmp_path: Path) -> None:
    photos = photo(tmp_path / "images", "a.jpg", (200, 100), orientation=6)
    write(tmp_path / "labels/a.txt", "0 0.5 0.5 1 1")
    assert only(list(read_yolo(tmp_path / "labels", photos, NAMES))).box == PixelBox(0, 0, 100, 200)


@pytest.mark.parametrize(
    ("line", "box"),
    [
        ("0 0.5 0.5 0.5 0.5 0.93", PixelBox(50, 25, 150, 75)),
        ("0 0.1 0.1 0.9 0.2 0.5 0.8", PixelBox(20, 10, 180, 80)),
        ("0 0.9 0.5 0.4 0.5", PixelBox(140, 25, 200, 75)),
    ],
)
def test_confidence_outlines_and_overhanging_boxes_are_understood(tmp_path: Path, line: str, box: PixelBox) -> None:
    photos = photo(tmp_path / "images", "a.jpg")
    write(tmp_path / "labels/a.txt", line)
    assert only(list(read_yolo(tmp_path / "labels", photos, NAMES))).box == box


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("7 0.5 0.5 0.1 0.1", "unknown class"),
        ("cat 0.5 0.5 0.1 0.1", "unknown class"),
        ("-1 0.5 0.5 0.1 0.1", "unknown class"),
        ("1" * 5000 + " 0.5 0.5 0.1 0.1", "unknown class"),
        ("0 0.5 0.5 0.1", "broken line"),
        ("0,0.5,0.5,0.2,0.4", "broken line"),
        ("0, 0.5, 0.5, 0.2, 0.4", "broken line"),
        ("0 0,5 0,5 0,2 0,4", "broken line"),
        ("0.5 0.5 0.5 0.1 0.1", "unknown class"),
        ("nan 0.5 0.5 0.1 0.1", "unknown class"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.3 0.4", "broken line"),
        ("0 0.5 0.5 x 0.1", "not a number"),
        ("0 120 80 40 40", "parts not from 0 to 1"),
        ("0 nan 0.5 0.1 0.1", "parts not from 0 to 1"),
        ("0 0.5 0.5 0 0.1", "box without area"),
    ],
)
def test_an_unusable_line_is_a_fault_and_the_others_stay(tmp_path: Path, line: str, reason: str) -> None:
    photos = photo(tmp_path / "images", "a.jpg")
    write(tmp_path / "labels/a.txt", f"{line}\n0 0.5 0.5 1 1\n")
    readings = list(read_yolo(tmp_path / "labels", photos, NAMES))
    assert reasons(readings) == [("a.txt: line 1", reason)]
    assert only(readings[1:]).box == PixelBox(0, 0, 200, 100)


@pytest.mark.parametrize("shape", ["[2, 2]", "[2, 3]", "\n- 2\n- 3"])
def test_points_behind_a_box_are_no_outline(tmp_path: Path, shape: str) -> None:
    config = write(tmp_path / "data.yaml", f"names: [tiger]\nkpt_shape: {shape}\n")
    points = read_yolo_points(config)
    line = f"0 0.6 0.5 0.2 0.6 {' '.join(['0.9 0.1 2', '0.1 0.9 0'] if points == 6 else ['0.9 0.1', '0.1 0.9'])}\n"
    photos = photo(tmp_path / "images", "a.jpg")
    write(tmp_path / "labels/a.txt", f"{line}0 0.5 0.5 1 1\n0 0.6 0.5 0.2 0.6 0.9 0.1\n")
    first, second, third = read_yolo(tmp_path / "labels", photos, {0: "tiger"}, points)
    assert [each.box for each in (first, second) if isinstance(each, Annotation)] == [
        (100, 20, 140, 80),
        (0, 0, 200, 100),
    ]
    assert reasons([third]) == [("a.txt: line 3", "broken line")]


@pytest.mark.parametrize("shape", ["17", "[17]", "[a, b]", "{a: 1}", "[-1, 2]"])
def test_a_shape_of_points_that_is_none_is_refused_with_its_line(tmp_path: Path, shape: str) -> None:
    with pytest.raises(FormatError, match=r"data\.yaml: line 2"):
        read_yolo_points(write(tmp_path / "data.yaml", f"names: [a]\nkpt_shape: {shape}\n"))


@pytest.mark.parametrize("number", ["15.0", "1.5e1", "15.000000000000000000e+00", "+15"])
def test_a_class_number_may_be_written_as_a_whole_decimal(tmp_path: Path, number: str) -> None:
    photos = photo(tmp_path / "images", "a.jpg")
    write(tmp_path / "labels/a.txt", f"{number} 5.0e-01 0.5 1 1\n")
    assert only(list(read_yolo(tmp_path / "labels", photos, NAMES))).category == "cat"


def test_files_without_a_readable_photo_or_text_are_one_fault_each(tmp_path: Path) -> None:
    write(tmp_path / "images/b.jpg", "<html>no photo</html>")
    photos = photo(tmp_path / "images", "c.jpg")
    for name in ("a.txt", "b.txt"):
        write(tmp_path / "labels" / name, "0 0.5 0.5 1 1\n0 0.5 0.5 1 1\n")
    write(tmp_path / "labels/c.txt", b"\xff\xfe0")
    write(tmp_path / "labels/classes.txt", "person\n")
    expected = [("a.txt", "photo missing"), ("b.txt", "photo not readable"), ("c.txt", "unreadable file")]
    assert reasons(list(read_yolo(tmp_path / "labels", photos, NAMES))) == expected


def test_a_file_name_in_two_folders_is_not_guessed(tmp_path: Path) -> None:
    photo(tmp_path / "images", "train/a.jpg")
    photos = photo(tmp_path / "images", "val/a.jpg")
    write(tmp_path / "labels/a.txt", "0 0.5 0.5 1 1\n")
    assert reasons(list(read_yolo(tmp_path / "labels", photos, NAMES))) == [("a.txt", "photo not clear")]


@st.composite
def boxes(draw: st.DrawFn) -> tuple[Size, PixelBox]:
    size = Size(draw(st.integers(1, 400)), draw(st.integers(1, 400)))
    x0, y0 = draw(st.integers(0, size.width - 1)), draw(st.integers(0, size.height - 1))
    return size, PixelBox(x0, y0, draw(st.integers(x0 + 1, size.width)), draw(st.integers(y0 + 1, size.height)))


@given(boxes())
def test_a_box_written_with_six_digits_comes_back_to_the_pixel(drawn: tuple[Size, PixelBox]) -> None:
    size, box = drawn
    x, width = (box.x0 + box.x1) / 2 / size.width, (box.x1 - box.x0) / size.width
    y, height = (box.y0 + box.y1) / 2 / size.height, (box.y1 - box.y0) / size.height
    with TemporaryDirectory() as folder:
        photos = photo(Path(folder), "a.png", size)
        write(Path(folder) / "a.txt", f"0 {x:.6f} {y:.6f} {width:.6f} {height:.6f}\n")
        assert only(list(read_yolo(Path(folder), photos, NAMES))).box == box


@pytest.mark.parametrize(
    "config",
    [
        "names:\n  0: person\n  1: traffic light # red\n  2: 'men''s #1' # x\n",
        'nc: 3\nnames:\n- person\n- traffic light\n\n# more\n- "men\'s #1"\nval: images\n',
        "names: [person, 'traffic light', \"men's #1\"]\n",
        "names: [ person,  # a\n  'traffic light',\n  'men''s #1', ]\ntrain: x\n",
        'names: {0: person, 1: traffic light, 2: "men\'s #1"}\n',
        'x: &names\n  0: person\n  1: traffic light\n  2: "men\'s #1"\nnames: *names\ndownload: |\n  names: []\n',
    ],
)
def test_class_names_are_read_as_the_yaml_of_configs_has_them(tmp_path: Path, config: str) -> None:
    path = write(tmp_path / "data.yaml", config)
    assert read_yolo_names(path) == {0: "person", 1: "traffic light", 2: "men's #1"}


def test_class_names_are_texts_whatever_yaml_takes_them_for(tmp_path: Path) -> None:
    path = write(tmp_path / "data.yaml", "names: [no, 1, 2020-01-01, ~, 0x10, .inf]\n")
    assert list(read_yolo_names(path).values()) == ["no", "1", "2020-01-01", "~", "0x10", ".inf"]


def test_aliases_of_aliases_cost_nothing(tmp_path: Path) -> None:
    bomb = "".join(f"k{n}: &k{n} [{', '.join([f'*k{n - 1}'] * 9)}]\n" for n in range(1, 60))
    merge = "".join(f"m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 9)}]}}\n" for n in range(1, 60))
    path = write(tmp_path / "data.yaml", f"k0: &k0 a\n{bomb}m0: &m0 {{a: b}}\n{merge}names: [a]\n")
    assert read_yolo_names(path) == {0: "a"}
    path.write_text(path.read_text().replace("names: [a]", "names: *k59"))
    with pytest.raises(FormatError, match=r"data\.yaml"):
        read_yolo_names(path)


def test_class_names_are_read_from_a_plain_list(tmp_path: Path) -> None:
    assert read_yolo_names(write(tmp_path / "coco.names", "person\nhot dog\n")) == {0: "person", 1: "hot dog"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    [
        "path: .\n",
        "names:\ntrain: x\n",
        "names: [a, b",
        "names:\n  0: a\n  0: b\n",
        "names:\n  a: {b: c\n",
        "names: coco",
        "names: [a, [b]]",
        "names: [a, ]\n--- more",
        "names: [a, '']",
        "names: {1.5: a}",
        "names: {-1: a}",
        "names: {[0]: a}",
        "names: !!python/object/apply:os.getcwd []",
        "names: [a\x00]",
        "[" * 100_000,
        "names: [a]\n#" + "x" * (1 << 20),
    ],
)
def test_a_config_without_readable_names_is_refused_with_its_path(tmp_path: Path, config: str) -> None:
    path = write(tmp_path / "data.yaml", config)
    with pytest.raises(FormatError, match=r"data\.yaml"):
        read_yolo_names(path)


@pytest.mark.skipif("SKETCHDATA_REAL_DATA" not in os.environ, reason="SKETCHDATA_REAL_DATA names no folder of photos")
def test_every_box_of_the_real_coco128_is_read() -> None:
    folder = Path(os.environ["SKETCHDATA_REAL_DATA"]) / "photos" / "coco128"
    names = read_yolo_names(folder / "config.yaml")
    readings = list(read_yolo(folder / "labels", PhotoFolder(folder / "images"), names))
    assert len(names) == 80
    # Two label files lack their photo; what they hold is the rest of the 1,839 boxes.
    faults = [reading for reading in readings if isinstance(reading, Fault)]
    assert {fault.reason for fault in faults} == {"photo missing"}
    lost = sum(len((folder / "labels" / fault.where).read_text().splitlines()) for fault in faults)
    assert (len(faults), lost, len(readings) - len(faults) + lost) == (2, 12, 1839)
