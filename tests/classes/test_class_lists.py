"""Lists of SAKE and ZSE-SBIR: as their own code reads them, there and back, and what is refused by its line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sketchdata.classes.lists import (
    SEEN_FILE,
    UNSEEN_FILE,
    class_lines,
    folder_of,
    parse_classes,
    parse_pictures,
    part_of,
    picture_lines,
    read_folder,
)
from sketchdata.classes.spellings import plain
from sketchdata.errors import ConfigError, FormatError

names = st.text("ab é_-(#[]1", min_size=1, max_size=12).map(str.strip).filter(bool)


@given(st.lists(names, min_size=1, max_size=20, unique_by=plain), st.data())
def test_classes_come_back_in_the_order_of_their_ids_whatever_that_of_the_lines(
    words: list[str], data: st.DataObject
) -> None:
    assert parse_classes(data.draw(st.permutations(list(class_lines(words))))) == tuple(words)


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 4)), min_size=1))
def test_pictures_come_back_as_they_were(rows: list[tuple[int, int]]) -> None:
    folders = [folder_of("sketches", f"class {number}") for number in range(5)]
    key_ids, labels = np.array([row[0] for row in rows], np.uint64), np.array([row[1] for row in rows])
    found = parse_pictures(picture_lines(key_ids, labels, folders), classes=5)
    assert found.paths == tuple(f"sketches/class {label}/{key_id}.png" for key_id, label in rows)
    assert found.labels.tolist() == labels.tolist()
    assert found.classes == 5


def test_the_programs_that_lists_are_for_read_them() -> None:
    words = ["palm tree", "car_(sedan)", "apollo 13"]
    # ZSE-SBIR: load_para in data_utils/dataset.py; SAKE: the path is all before the last blank.
    assert [" ".join(line.strip().split()[:-1]) for line in class_lines(words)] == words
    lines = list(
        picture_lines(np.array([7], np.uint64), np.array([2]), [folder_of("sketches", word) for word in words])
    )
    assert [line.rsplit(" ", 1) for line in lines] == [["sketches/apollo 13/7.png", "2\n"]]


def test_names_with_blanks_digits_and_signs_are_read() -> None:
    lines = ["wrist-watch 0\n", "\n", "mouse (animal)  1\r\n", "apollo 13\t2"]
    assert parse_classes(lines) == ("wrist-watch", "mouse (animal)", "apollo 13")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a list of classes: line 1: it is empty"),
        ("cat 0\ndog\n", "line 2: 'dog\\\\n', not a class name, a blank, an id"),
        ("cat 0\n1\n", "line 2: '1\\\\n', not a class name"),
        ("cat -1", "line 1: 'cat -1', not a class name"),
        ("cat 0.0", "line 1: 'cat 0.0'"),
        ("cat 12345678901", "line 1: 'cat 12345678901'"),
        ("c\0t 0", "line 1: "),
        ("cat 0\ndog 0", "an id with two classes: line 2: 0 is already in line 1"),
        ("palm tree 0\nPalm_Tree 1", "a repeated class: line 2: 'Palm_Tree' is already in line 1"),
        ("cat 0\nbat 3\ndog 2", "ids with a gap: line 3 has the id 2, and none has 1"),
        ("cat 1\ndog 2", "ids with a gap: line 1 has the id 1, and none has 0"),
    ],
)
def test_lists_of_classes_that_are_none_are_refused_by_their_line(text: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        parse_classes(text.splitlines(keepends=True))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n", "not a list of pictures: line 1: it is empty"),
        ("a/b.png\n", "line 1: 'a/b.png\\\\n', not a path, a blank, an id"),
        ("a/b.png 0\na/c.png 3", "an id without a class: line 2: 3, and there are 3 classes"),
        ("/etc/passwd 0", "line 1: '/etc/passwd' is not relative to the folder of pictures"),
        ("C:/b.png 0", "line 1: 'C:/b.png' is not relative"),
        ("a/../../b.png 0", r"line 1: 'a/../../b.png' leads out of the folder of pictures"),
        ("a\\..\\..\\b.png 0", "leads out of the folder of pictures"),
        ("a.png 0\nb\x1b.png 0", "line 2: "),
    ],
)
def test_lists_of_pictures_that_are_none_are_refused_by_their_line(text: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        parse_pictures(text.splitlines(keepends=True), 3)


@pytest.mark.parametrize("name", ["", " cat", "a\nb", "a\u00a0b"])
def test_names_that_cannot_stand_in_a_line_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be written to a list of classes"):
        list(class_lines([name]))


@pytest.mark.parametrize("name", ["..", ".", "a/b", "a\\b"])
def test_names_that_are_no_folder_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot name a folder"):
        folder_of("sketches", name)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("all_photo_filelist_train.txt", "train"),
        ("tx_000000000000_ready_filelist_zero.txt", "zero"),
        ("png_ready_filelist_test.txt", "test"),
        ("sketch_zero.txt", "zero"),
        ("photo_train.txt", "train"),
        ("all_photo_zero.txt", "zero"),
        ("all_photo_train.txt", "train"),
        ("png_sketch_test.txt", "test"),
        ("_photo_zero.txt", None),
        ("photo_other.txt", None),
        (UNSEEN_FILE, None),
        (SEEN_FILE, None),
        ("README.txt", None),
        ("_filelist_zero.txt", None),
    ],
)
def test_lists_of_pictures_are_known_by_their_names(name: str, part: str | None) -> None:
    assert part_of(name) == part


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    return folder


GOOD = {"cname_cid": "cat 0\npalm tree 1\n", "cname_cid_zero": "bat 0\n"}


def test_a_folder_is_read_with_all_its_lists(tmp_path: Path) -> None:
    found = read_folder(
        write(
            tmp_path, **GOOD, sketch_zero="sketches/bat/1.png 0\n", p_filelist_train="a/palm tree/2.jpg 1\n", notes="?"
        )
    )
    assert found.others == ("notes.txt",)
    assert found.table().to_dict("records") == [
        {"list": "p_filelist_train.txt", "part": "train", "path": "a/palm tree/2.jpg", "word": "palm tree", "label": 1},
        {"list": "sketch_zero.txt", "part": "zero", "path": "sketches/bat/1.png", "word": "bat", "label": 0},
    ]
    assert (found.seen, found.unseen) == (("cat", "palm tree"), ("bat",))
    assert {name: (own.paths, own.labels.tolist()) for name, own in found.pictures.items()} == {
        "p_filelist_train.txt": (("a/palm tree/2.jpg",), [1]),
        "sketch_zero.txt": (("sketches/bat/1.png",), [0]),
    }


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"cname_cid": "cat 0"}, "has no cname_cid_zero.txt"),
        ({}, "has no cname_cid.txt and no cname_cid_zero.txt"),
        (GOOD | {"cname_cid_zero": "Palm_Tree 0"}, "both seen and unseen: 'Palm_Tree' of"),
        (GOOD | {"cname_cid": "cat 0\ncat 1"}, r"cname_cid\.txt, line 2: 'cat' is already in line 1"),
        (GOOD | {"sketch_zero": "a.png 1"}, r"sketch_zero\.txt, line 1: 1, and there are 1 classes"),
        (GOOD | {"sketch_train": "a.png 2"}, r"sketch_train\.txt, line 1: 2, and there are 2 classes"),
    ],
)
def test_folders_whose_lists_are_missing_or_damaged_are_refused(
    files: dict[str, str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(FormatError, match=message):
        read_folder(write(tmp_path, **files))


def test_files_that_are_no_text_and_folders_that_are_not_there_are_told(tmp_path: Path) -> None:
    write(tmp_path, **GOOD)
    (tmp_path / SEEN_FILE).write_bytes(b"\xff\xfe")
    with pytest.raises(FormatError, match=r"a list that cannot be read: .*cname_cid\.txt"):
        read_folder(tmp_path)
    with pytest.raises(ConfigError, match="there is no folder"):
        read_folder(tmp_path / "none")
