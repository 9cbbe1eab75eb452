from __future__ import annotations

from pathlib import Path

import pytest

from sketchdata.errors import ConfigError, FormatError
from sketchdata.photos.annotations.record import PhotoFolder, Size
from tests.photos.labelled_photos import photo, write


@pytest.mark.parametrize("name", ["a/b.jpg", "a/b", "a/b.JPEG", "b", r"C:\photos\b.jpg", "/elsewhere/images/b.png"])
def test_a_photo_is_found_by_any_form_of_its_name(tmp_path: Path, name: str) -> None:
    assert photo(tmp_path, "a/b.jpg").find(name) == "a/b.jpg"


def test_the_first_name_with_a_photo_counts(tmp_path: Path) -> None:
    photo(tmp_path, "a.jpg")
    assert photo(tmp_path, "b.jpg").find("none", "b", "a") == "b.jpg"


def test_a_dot_within_a_name_is_not_taken_for_a_suffix(tmp_path: Path) -> None:
    photos = photo(tmp_path, "v1.2.jpg")
    assert photos.find("v1.2") == "v1.2.jpg"
    with pytest.raises(FormatError, match="photo missing"):
        photos.find("v1.3")


def test_the_size_is_of_the_upright_photo(tmp_path: Path) -> None:
    assert photo(tmp_path, "a.jpg", (30, 20), orientation=6).size("a.jpg") == Size(20, 30)
    assert photo(tmp_path, "b.jpg", (30, 20), orientation=3).size("b.jpg") == Size(30, 20)


def test_a_decompression_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    photos = photo(tmp_path, "a.bmp", (3, 2))
    path = tmp_path / "a.bmp"
    header = bytearray(path.read_bytes())
    header[18:26] = (60_000).to_bytes(4, "little") * 2
    write(path, bytes(header))
    with pytest.raises(FormatError, match=r"photo not readable.*a\.bmp"):
        photos.size("a.bmp")


def test_a_folder_without_photos_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(ConfigError, match="is not a folder with photos"):
            PhotoFolder(folder)


def test_photos_are_known_by_their_content_and_what_is_passed_over_is_named(tmp_path: Path) -> None:
    photo(tmp_path, "cat/a.jpg")
    content = (tmp_path / "cat/a.jpg").read_bytes()
    for name in ("b.jfif", "c.JPE", "n02121620_10", "e.tif", "f.original"):
        write(tmp_path / "cat" / name, content)
    write(tmp_path / "cat/d.heic", b"\0\0\0\x18ftypheic")
    write(tmp_path / "cat/g.psd", b"8BPS\0\1")
    write(tmp_path / "cat/empty", b"")
    write(tmp_path / "cat/.DS_Store", b"Bud1")
    write(tmp_path / "cat/a.xml", "<annotation/>")
    photos = PhotoFolder(tmp_path)
    assert list(photos) == [
        f"cat/{name}" for name in ("a.jpg", "b.jfif", "c.JPE", "e.tif", "f.original", "n02121620_10")
    ]
    assert [(fault.where, fault.reason, fault.detail) for fault in photos.passed_over] == [
        ("cat/d.heic", "not a photo", "HEIC"),
        ("cat/empty", "not a photo", "nothing"),
        ("cat/g.psd", "not a photo", "Photoshop's format"),
    ]
    assert photos.find("cat/c.jpg") == "cat/c.JPE"
    assert photos.find("e.jpg") == "cat/e.tif"


def test_a_folder_of_other_formats_alone_has_no_photo_and_names_them(tmp_path: Path) -> None:
    write(tmp_path / "d.heic", b"\0\0\0\x18ftypheic")
    photos = PhotoFolder(tmp_path)
    assert list(photos) == []
    assert [(fault.where, fault.detail) for fault in photos.passed_over] == [("d.heic", "HEIC")]
