"""Drawings and edge maps from files: as SciPy reads them, and refused where they are damaged."""

from __future__ import annotations

import contextlib
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sketchdata.edges.bsds import drawn_photos, read_drawings, read_map, read_variable
from sketchdata.errors import ConfigError, FormatError
from tests.drawn_photos import SHAPE, mat_file, real_bsds, rectangle, small_bsds

NUMBERS = st.sampled_from([np.uint8, np.int8, np.uint16, np.int32, np.uint32, np.int64, np.float32, np.float64])


def saved(compressed: bool = False, **variables: Any) -> bytes:
    file = io.BytesIO()
    scipy.io.savemat(file, variables, do_compression=compressed)
    return file.getvalue()


def npy(array: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def drawings_file(folder: Path, *, compressed: bool = True) -> bytes:
    mat_file([rectangle(4, 5, 30, 40), rectangle(8, 9, 20, 60)], folder / "drawings.mat", compressed=compressed)
    return (folder / "drawings.mat").read_bytes()


# ---- drawings --------------------------------------------------------------------------------------------------------


@given(arrays.arrays(NUMBERS, arrays.array_shapes(min_dims=2, max_dims=3)), st.booleans())
def test_arrays_come_back_as_scipy_wrote_them(array: np.ndarray, compressed: bool) -> None:
    found = read_variable(saved(compressed, other="text", array=array), "array")
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("compressed", [True, False])
def test_every_person_has_a_drawing(tmp_path: Path, compressed: bool) -> None:
    one, other = read_drawings(drawings_file(tmp_path, compressed=compressed))
    assert one.tolist() == rectangle(4, 5, 30, 40).tolist()
    assert other.tolist() == rectangle(8, 9, 20, 60).tolist()


def test_real_drawings_are_those_that_scipy_reads() -> None:
    for photo in drawn_photos(real_bsds(), "test")[::20]:
        cells = scipy.io.loadmat(photo.drawings)["groundTruth"].ravel()
        found = read_drawings(photo.drawings.read_bytes())
        assert [each.tolist() for each in found] == [(cell["Boundaries"][0, 0] > 0).tolist() for cell in cells]


@given(data=st.data())
def test_damaged_drawings_are_refused_or_read_and_nothing_else_happens(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # SciPy's own reader ends the process on some of these.
    whole = drawings_file(tmp_path_factory.getbasetemp(), compressed=data.draw(st.booleans()))
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.one_of(st.integers(124, 700), st.integers(124, len(whole) - 1))) % len(whole)
        damaged[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.none(), st.integers(0, len(whole))))
    with contextlib.suppress(FormatError):
        found = read_drawings(bytes(damaged[:cut]))
        assert found
        assert all(drawing.ndim == 2 and drawing.dtype == np.bool_ for drawing in found)


PEOPLE = np.empty((1, 2), object)
PEOPLE[0, 0], PEOPLE[0, 1] = {"Boundaries": np.ones((3, 4))}, {"Boundaries": np.ones((4, 3))}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a MAT-file of level 5"),
        (b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"\x89HDF\r\n", "not a MAT-file of level 5"),
        (pickle.dumps({"groundTruth": []}), "not a MAT-file of level 5"),
        (saved(drawings=PEOPLE), "without a variable groundTruth"),
        (saved(groundTruth=np.eye(3)), "without a struct"),
        (saved(groundTruth="text"), "array of class 4"),
        (saved(groundTruth=np.empty((0, 0), object)), "no drawings"),
        (saved(groundTruth=PEOPLE), "several shapes"),
        (saved(groundTruth={"Boundaries": np.eye(3)}), "without a struct"),
    ],
)
def test_what_is_no_file_of_drawings_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read_drawings(data)


def test_photos_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    found = drawn_photos(small_bsds(tmp_path), "test")
    assert [photo.name for photo in found] == ["000", "001", "002"]
    assert all(photo.photo.is_file() and photo.drawings.is_file() for photo in found)


def test_a_folder_without_photos_or_drawings_is_refused(tmp_path: Path) -> None:
    small_bsds(tmp_path)
    with pytest.raises(ConfigError, match=r"is not the folder of BSDS500.*images.val"):
        drawn_photos(tmp_path, "val")
    (tmp_path / "groundTruth" / "test" / "001.mat").unlink()
    with pytest.raises(ConfigError, match=r"lacks the drawings of 1 of 3 photos, 001\.mat"):
        drawn_photos(tmp_path, "test")


# ---- edge maps of other programs -------------------------------------------------------------------------------------

STRENGTH = np.arange(SHAPE[0] * SHAPE[1], dtype=np.uint64).reshape(SHAPE).astype(np.uint8)


@pytest.mark.parametrize(
    "encode",
    [
        lambda: cv2.imencode(".png", STRENGTH)[1].tobytes(),
        lambda: cv2.imencode(".png", np.repeat(STRENGTH[:, :, None], 3, axis=2))[1].tobytes(),
        lambda: cv2.imencode(".png", STRENGTH.astype(np.uint16) * 257)[1].tobytes(),
        lambda: npy(STRENGTH),
        lambda: npy(STRENGTH / 255),
        lambda: npy((STRENGTH / 255).astype(np.float32)),
        lambda: npy(np.asfortranarray(STRENGTH)),
    ],
    ids=["grey", "colour", "16 bits", "npy bytes", "npy shares", "npy single", "npy by columns"],
)
def test_every_form_of_a_map_gives_the_same_strength(encode: Callable[[], bytes]) -> None:
    assert read_map(encode()).tolist() == STRENGTH.tolist()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (npy(np.array([[{}]]), allow_pickle=True), "Object arrays cannot be loaded"),
        (npy(STRENGTH)[:100], "cannot be read"),
        (npy(STRENGTH)[:1000], "cannot be read"),
        (npy(STRENGTH[None]), "where \\(H, W\\) was expected"),
        (npy(np.empty((0, 4))), "where \\(H, W\\) was expected"),
        (npy(STRENGTH.astype(np.int32)), "where uint8, or 0 to 1"),
        (npy(STRENGTH.astype(np.float64)), "where uint8, or 0 to 1"),
        (npy(np.full((3, 4), np.nan)), "where uint8, or 0 to 1"),
        (b"<html>not found</html>", "not a picture"),
    ],
)
def test_what_is_no_edge_map_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read_map(data)
