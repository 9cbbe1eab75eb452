"""Codes on disk come back as they were, and what is not as it was is refused in words."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.formats.codes import Codes
from sketchdata.retrieval.code_folder import code_folder, open_codes, read_codes, write_codes, write_split
from tests.exports import flip_a_bit, tree
from tests.retrievals import codes_like_drawings, list_again, origin, write


def equal(one: Codes, other: Codes) -> bool:
    arrays = all((getattr(one, name) == getattr(other, name)).all() for name in ("packed", "labels", "key_ids"))
    return arrays and (one.bits, one.classes) == (other.bits, other.classes)


@given(st.integers(1, 248), st.integers(1, 70))
@settings(max_examples=25)
def test_codes_of_every_length_come_back(bits: int, count: int) -> None:
    codes = codes_like_drawings(count, bits=bits)
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), gallery=codes)
        found = read_codes(Path(folder), "gallery")
        assert equal(found, codes)
        assert all(array.flags.writeable for array in (found.packed, found.labels, found.key_ids))


def test_the_manifest_says_what_the_codes_are_of(tmp_path: Path) -> None:
    codes = codes_like_drawings(50)
    write(tmp_path, gallery=codes, query=codes.take(np.arange(7)))
    folder = open_codes(tmp_path)
    assert (folder.bits, folder.model) == (16, "e" * 64)
    assert folder.manifest.splits == {"gallery": 50, "query": 7}
    assert list(folder.manifest.counts["gallery"].values()) == np.bincount(codes.labels, minlength=4).tolist()
    assert (folder.manifest.name, folder.manifest.config["ids"]) == ("drawings-codes", "key_id")


def test_the_same_codes_give_the_same_bytes(tmp_path: Path) -> None:
    codes = codes_like_drawings(300)
    for name in ("one", "two"):
        write(tmp_path / name, gallery=codes)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_codes_longer_than_a_byte_can_count_are_refused(tmp_path: Path) -> None:
    wide = origin(codes_like_drawings(3))
    with pytest.raises(ConfigError, match="1 to 248 bits, not 256"):
        code_folder(tmp_path, type(wide)(data=wide.data, bits=256, classes=wide.classes, model=None), ["gallery"])


def test_a_stopped_try_goes_on_with_the_splits_that_are_missing(tmp_path: Path) -> None:
    codes, asked = codes_like_drawings(20), list[str]()

    def give(split: str, *, stop: bool = False) -> Callable[[], Codes]:
        def ask() -> Codes:
            asked.append(split)
            if stop:
                raise KeyboardInterrupt
            return codes

        return ask

    folder = code_folder(tmp_path, origin(codes), ["gallery", "query"])
    with pytest.raises(KeyboardInterrupt):
        write_codes(folder, {"gallery": give("gallery"), "query": give("query", stop=True)}, overwrite=False)
    assert not (tmp_path / "manifest.json").exists()
    for _ in range(2):
        write_codes(folder, {"gallery": give("gallery"), "query": give("query")}, overwrite=False)
    assert asked == ["gallery", "query", "query"]
    assert equal(read_codes(tmp_path, "query"), codes)


def test_other_codes_are_replaced_only_when_told_to_and_other_folders_never(tmp_path: Path) -> None:
    one, two = codes_like_drawings(20), codes_like_drawings(30, bits=24)
    write(tmp_path / "codes", gallery=one)
    with pytest.raises(ConfigError, match="made with other options"):
        write(tmp_path / "codes", gallery=two)
    write_codes(code_folder(tmp_path / "codes", origin(two), ["query"]), {"query": lambda: two}, overwrite=True)
    assert sorted(path.name for path in (tmp_path / "codes").iterdir()) == [
        "README.md",
        "manifest.json",
        "query.parquet",
    ]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    for overwrite in (False, True):
        with pytest.raises(ConfigError, match=r"not empty, it holds notes\.txt"):
            write_codes(code_folder(tmp_path / "mine", origin(one), ["gallery"]), {}, overwrite=overwrite)


def test_what_is_missing_damaged_or_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SketchDataError, match="is not a finished data set"):
        read_codes(tmp_path, "gallery")
    write(tmp_path, gallery=codes_like_drawings(200))
    with pytest.raises(ConfigError, match=r"no split 'train'; .* has gallery"):
        read_codes(tmp_path, "train")
    flip_a_bit(tmp_path / "gallery.parquet")
    with pytest.raises(SketchDataError, match=r"gallery\.parquet is damaged"):
        read_codes(tmp_path, "gallery")
    (tmp_path / "gallery.parquet").unlink()
    with pytest.raises(SketchDataError, match=r"gallery\.parquet is missing"):
        read_codes(tmp_path, "gallery")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bits": 24}, "does not hold codes of 24 bits"),
        ({"bits": 13}, "bits beyond the first 13"),
        ({"classes": ["apple", "bee"]}, "counts.gallery: expected a number for each of the classes"),
        ({"name": "other", "config": {}}, "other, which is not a folder of codes"),
    ],
)
def test_codes_of_another_length_or_class_table_are_refused(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    write(tmp_path, gallery=codes_like_drawings(200))
    values = orjson.loads((tmp_path / "manifest.json").read_bytes())
    values["config"] |= {name: value for name, value in changes.items() if name == "bits"}
    values |= {name: value for name, value in changes.items() if name != "bits"}
    (tmp_path / "manifest.json").write_bytes(orjson.dumps(values))
    with pytest.raises(SketchDataError, match=message):
        read_codes(tmp_path, "gallery")


def test_a_file_of_another_kind_or_length_is_refused_even_if_it_is_listed(tmp_path: Path) -> None:
    write(tmp_path, gallery=codes_like_drawings(20))
    write_split(tmp_path / "gallery.parquet", codes_like_drawings(19))
    list_again(tmp_path, "gallery.parquet")
    with pytest.raises(SketchDataError, match="holds 19 codes, and the manifest says 20"):
        read_codes(tmp_path, "gallery")
    (tmp_path / "gallery.parquet").write_bytes(b"PAR1 this is not")
    list_again(tmp_path, "gallery.parquet")
    with pytest.raises(SketchDataError, match="cannot be read"):
        read_codes(tmp_path, "gallery")
