"""Vectors of words: spellings, classes without one, and files that are refused without being unpickled."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from sketchdata.classes.vectors import read_class_vectors
from sketchdata.errors import ConfigError, SketchDataError

WORDS = ("wine_bottle", "The Eiffel Tower", "cat", "tree")
VECTORS = np.array([[2.0, 0, 0], [0, 3, 0], [0, 0, 1], [1, 1, 1]])


def files(folder: Path, vectors: npt.NDArray[Any] = VECTORS, words: tuple[str, ...] = WORDS) -> tuple[Path, Path]:
    np.save(folder / "vectors.npy", vectors)
    (folder / "words.txt").write_text("".join(f"{word}\n" for word in words), encoding="utf-8")
    return folder / "vectors.npy", folder / "words.txt"


def expected(row: int) -> npt.NDArray[np.float64]:
    centred = VECTORS[row] - VECTORS.mean(axis=0)
    return centred / np.sqrt((centred**2).sum())


def test_classes_find_their_words_by_any_spelling_and_in_their_own_order(tmp_path: Path) -> None:
    found, missing = read_class_vectors(*files(tmp_path), ("tree", "Wine Bottle", "eiffel-tower"))
    assert missing == []
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [expected(3), expected(0), expected(1)], atol=1e-6)


def test_a_class_without_a_vector_gets_a_direction_of_its_own_at_right_angles_to_all_others(tmp_path: Path) -> None:
    found, missing = read_class_vectors(*files(tmp_path), ("yoga", "cat", "zigzag", "tree"))
    assert missing == ["yoga", "zigzag"]
    assert found.shape == (4, 3 + 2)
    np.testing.assert_allclose((found**2).sum(axis=1), 1, atol=1e-6)
    angles = found @ found.T
    for row in (0, 2):
        assert np.count_nonzero(angles[row]) == 1
    assert angles[1, 3] == pytest.approx(expected(2) @ expected(3), abs=1e-6)


def test_whole_numbers_of_any_size_are_vectors_too(tmp_path: Path) -> None:
    path, words = files(tmp_path)
    np.save(path, (VECTORS * 10).astype(np.int16))
    found, _ = read_class_vectors(path, words, ("cat",))
    np.testing.assert_allclose(found, [expected(2)], atol=1e-6)


def test_no_class_at_all_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"words\.txt has none of the classes yoga, zigzag"):
        read_class_vectors(*files(tmp_path), ("yoga", "zigzag"))


@pytest.mark.parametrize(
    "array",
    [VECTORS[:3], VECTORS[0], VECTORS[None], np.array(1.0), VECTORS + np.nan, VECTORS - np.inf],
    ids=["fewer-rows", "one-axis", "three-axes", "number", "nan", "infinite"],
)
def test_arrays_of_other_shapes_and_numbers_that_are_none_are_refused(array: npt.NDArray[Any], tmp_path: Path) -> None:
    with pytest.raises(SketchDataError, match=r"expected a row of finite numbers for each of the 4 lines of .*words"):
        read_class_vectors(*files(tmp_path, array), ("cat",))


class _Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.path),)


def test_objects_are_refused_and_never_unpickled(tmp_path: Path) -> None:
    bomb = _Bomb(tmp_path / "boom")
    path, words = files(tmp_path, np.array([[bomb]] * 4, dtype=object))
    with pytest.raises(SketchDataError, match="cannot be read as vectors and their words: Object arrays"):
        read_class_vectors(path, words, ("cat",))
    path.write_bytes(pickle.dumps(bomb))
    with pytest.raises(SketchDataError, match="cannot be read as vectors"):
        read_class_vectors(path, words, ("cat",))
    assert not (tmp_path / "boom").exists()
    with pytest.raises(FileExistsError):  # the bomb is a real one
        pickle.loads(pickle.dumps(_Bomb(tmp_path)))


def _archive(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, vectors=VECTORS)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-8]),
        lambda path: path.write_bytes(b"PK\x03\x04 no archive"),
        _archive,
        lambda path: np.save(path, np.array([["a"]] * 4)),
        lambda path: np.save(path, VECTORS * 1j),
        lambda path: path.unlink(),
    ],
    ids=["empty", "cut-off", "no-archive", "archive", "words", "complex", "none"],
)
def test_other_files_are_refused(write: Callable[[Path], None], tmp_path: Path) -> None:
    path, words = files(tmp_path)
    write(path)
    with pytest.raises(SketchDataError, match=r"vectors\.npy and .*words\.txt cannot be read as vectors and their"):
        read_class_vectors(path, words, ("cat",))


def test_words_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path, words = files(tmp_path)
    words.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(SketchDataError, match="cannot be read as vectors and their words"):
        read_class_vectors(path, words, ("cat",))
