"""The published facts are whole and agree with each other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sketchdata.errors import ConfigError
from sketchdata.storage.catalog import (
    FORMATS,
    choose_classes,
    manifest_path,
    official_path,
    read_classes,
    read_official_files,
)

CLASSES = read_classes(manifest_path("quickdraw-categories.txt"))
OFFICIAL = read_official_files(manifest_path("quickdraw-files.csv"))


def test_there_are_345_different_categories_in_the_official_order() -> None:
    assert len(CLASSES) == len(set(CLASSES)) == 345
    assert (CLASSES[0], CLASSES[-1]) == ("aircraft carrier", "zigzag")


@pytest.mark.parametrize("format_name", ["simplified", "raw", "binary", "numpy_bitmap"])
def test_every_category_has_a_published_file_of_each_full_format(format_name: str) -> None:
    assert all(official_path(format_name, name) in OFFICIAL for name in CLASSES)


def test_the_list_holds_nothing_else_and_only_real_md5_sums() -> None:
    assert len(OFFICIAL) == 4 * 345
    assert all(re.fullmatch("[0-9a-f]{32}", f.md5) and f.bytes > 0 and f.path == path for path, f in OFFICIAL.items())


def test_the_bitmaps_count_the_published_number_of_drawings() -> None:
    # An .npy is a header of 80 bytes (128 by later writers) and 784 bytes per drawing.
    bitmaps = [f.bytes for path, f in OFFICIAL.items() if path.startswith("full/numpy_bitmap/")]
    assert sum(size // 784 for size in bitmaps) == 50_426_266


@pytest.mark.parametrize(
    ("format_name", "path"),
    [
        ("simplified", "full/simplified/The Eiffel Tower.ndjson"),
        ("raw", "full/raw/The Eiffel Tower.ndjson"),
        ("binary", "full/binary/The Eiffel Tower.bin"),
        ("numpy_bitmap", "full/numpy_bitmap/The Eiffel Tower.npy"),
        ("sketchrnn", "sketchrnn/The Eiffel Tower.npz"),
    ],
)
def test_paths_keep_spaces_and_capitals(format_name: str, path: str) -> None:
    assert format_name in FORMATS
    assert official_path(format_name, "The Eiffel Tower") == path


def test_chosen_categories_come_in_the_order_of_the_class_table() -> None:
    assert choose_classes(CLASSES, " zebra, ant,zebra ,") == ("ant", "zebra")
    assert choose_classes(CLASSES, None) == CLASSES


def test_an_unknown_category_is_answered_with_near_ones() -> None:
    with pytest.raises(ConfigError, match=r"'eifel tower'.*The Eiffel Tower"):
        choose_classes(CLASSES, "cat,eifel tower")


def test_no_category_at_all_is_an_error() -> None:
    with pytest.raises(ConfigError, match="names no category"):
        choose_classes(CLASSES, " , ")


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "path,bytes,md5\nx,many,0\n", "path,bytes,md5\nx,1\n", "\xff\xfe"])
def test_a_list_of_another_form_is_refused_with_its_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"list\.csv is not a list of files"):
        read_official_files(path)
