"""Lists of pictures: as HashNet's own code reads them, and files that are not such lists."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sketchdata.errors import ConfigError, FormatError
from sketchdata.formats.deephash import folder_names, lines, read_list

CLASSES = ("cat", "The Eiffel Tower", "star")


def text_of(key_ids: list[int], labels: list[int], classes: tuple[str, ...] = CLASSES) -> list[str]:
    found = lines(np.array(key_ids, np.uint64), np.array(labels, np.uint16), folder_names(classes))
    return b"".join(found).decode().splitlines(keepends=True)


def test_a_line_is_a_path_without_blanks_and_a_column_a_class() -> None:
    assert text_of([2**64 - 1, 5], [1, 0]) == ["The_Eiffel_Tower/18446744073709551615.png 0 1 0\n", "cat/5.png 1 0 0\n"]


def test_the_programs_that_lists_are_for_read_them() -> None:
    image_list = text_of([7, 8, 9], [1, 2, 0])
    # HashNet: pytorch/src/data_list.py, `make_dataset`; DeepHash-pytorch: utils/tools.py, `ImageList`.
    assert len(image_list[0].split()) > 2
    images = [(val.split()[0], np.array([int(la) for la in val.split()[1:]])) for val in image_list]
    assert [path for path, _ in images] == ["The_Eiffel_Tower/7.png", "star/8.png", "cat/9.png"]
    np.testing.assert_array_equal([label for _, label in images], np.eye(3, dtype=int)[[1, 2, 0]])


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 4)), min_size=1), st.integers(5, 9))
def test_lists_come_back_as_they_were(rows: list[tuple[int, int]], classes: int) -> None:
    words = tuple(f"class {n}" for n in range(classes))
    found = read_list(text_of([key_id for key_id, _ in rows], [label for _, label in rows], words))
    assert found.paths == tuple(f"class_{label}/{key_id}.png" for key_id, label in rows)
    assert (found.labels.tolist(), found.classes) == ([label for _, label in rows], classes)


def test_a_list_of_indices_is_read_as_hashnet_reads_it() -> None:
    found = read_list(["/data/amazon/images/back_pack/frame_0001.jpg 0\n", "\n", "b.jpg 30\n"])
    assert (found.labels.tolist(), found.classes) == ([0, 30], 31)
    assert found.labels.dtype == np.int64


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ([], "it is empty"),
        (["\n"], "it is empty"),
        (["a.png\n"], "line 1 has 0 columns after its path"),
        (["a.png 0 1\n", "b.png 1 0 0\n"], "line 2 has 3 columns after its path, not 2"),
        (["a.png 0 1\n", "b.png 1 1\n"], "line 2 has 2; pictures of several classes are not supported"),
        (["a.png 0 0\n"], "line 1 has 0; pictures of several classes"),
        (["a.png 0 1\n", "a b.png 1\n"], "not 0 or 1: line 2: 'b.png'"),
        (["a.png -1\n"], "not an index: line 1: '-1'"),
        (["a.png 12345678901234567890\n"], "not an index: line 1"),
    ],
)
def test_what_is_no_list_of_single_classes_is_refused_with_its_line(text: list[str], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read_list(text)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (("palm tree", "palm_tree"), "'palm tree' and 'palm_tree' would share the folder palm_tree"),
        (("a/b",), "'a/b' cannot name a folder"),
        (("..",), "cannot name a folder"),
        ((" ",), "cannot name a folder"),
        (("a\0",), "cannot name a folder"),
    ],
)
def test_classes_that_cannot_be_folders_are_refused(classes: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        folder_names(classes)


def test_no_rows_make_no_lines() -> None:
    empty: npt.NDArray[np.uint64] = np.empty(0, np.uint64)
    assert list(lines(empty, empty, CLASSES)) == []
