"""Bitmaps as a data set: the same pixels come back, equal ones stay together, and nothing is ever unpickled."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sketchdata.drawings.sampling import PROPORTIONS
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.training.bitmaps import (
    PackedBitmaps,
    classes_of,
    fingerprint,
    holds_bitmaps,
    identity,
    moved_pixels,
    read_bitmaps,
    read_split,
    split_ranks,
)
from sketchdata.training.encoder import view_of
from sketchdata.training.options import NetworkOptions
from sketchdata.training.packed import Augmentation, moved
from tests.bitmap_folders import CLASSES, bitmap_folder, generated_bitmaps

REAL = Path(os.environ.get("SKETCHDATA_REAL_DATA", "")) / "quickdraw" / "bitmaps28.npz"
STILL = {"rotate": 0.0, "stretch": 0.0, "shift": 0.0, "mirror": 0.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bitmap_folder(tmp_path_factory.mktemp("bitmaps") / "folder")


def rows_of(packed: PackedBitmaps) -> list[bytes]:
    return [bytes(row) for row in packed.images.numpy()]


def packed_of(bitmaps: npt.NDArray[np.uint8]) -> PackedBitmaps:
    images = torch.from_numpy(bitmaps.reshape(-1, 28, 28))
    return PackedBitmaps(images=images, labels=torch.zeros(len(images), dtype=torch.int16), classes=("bar",))


def split_has_any(folder: Path, split: str) -> bool:
    with suppress(ConfigError):
        return len(read_bitmaps(folder, split)) > 0
    return False


def everyone(packed: PackedBitmaps) -> torch.Tensor:
    return torch.arange(len(packed))


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)


# ---- from files to splits --------------------------------------------------------------------------------------------


def test_the_splits_together_hold_every_bitmap_once_with_its_class_and_in_the_order_of_the_files(folder: Path) -> None:
    splits = [read_bitmaps(folder, split) for split in PROPORTIONS]
    assert all(packed.classes == CLASSES == classes_of(folder) for packed in splits)
    assert all(packed.labels.tolist() == sorted(packed.labels.tolist()) for packed in splits)
    for label, name in enumerate(CLASSES):
        written = [bytes(row) for row in np.load(folder / f"{name}.npy")]
        found = [
            [row for row, own in zip(rows_of(packed), packed.labels.tolist(), strict=True) if own == label]
            for packed in splits
        ]
        assert sorted(row for rows in found for row in rows) == sorted(written)
        for rows in found:
            assert rows == [row for row in written if row in set(rows)]


def test_a_folder_the_official_layout_and_an_archive_give_the_same(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "full" / "numpy_bitmap")
    arrays_of = {name: np.load(folder / f"{name}.npy") for name in CLASSES}
    np.savez(tmp_path / "plain.npz", **arrays_of)
    np.savez_compressed(tmp_path / "small.npz", **arrays_of)
    expected = read_bitmaps(folder, "val")
    for place in (tmp_path, tmp_path / "plain.npz", tmp_path / "small.npz"):
        assert holds_bitmaps(place)
        found = read_split(place, "val")
        assert isinstance(found, PackedBitmaps)
        assert torch.equal(found.images, expected.images)
        assert torch.equal(found.labels, expected.labels)
        assert found.classes == expected.classes


@settings(max_examples=25)  # each writes and reads files
@given(st.lists(st.integers(0, 40), min_size=20, max_size=60))
def test_equal_bitmaps_are_in_one_split_whatever_their_class(tmp_path_factory: Any, chosen: list[int]) -> None:
    bitmaps = np.zeros((len(chosen), 784), np.uint8)
    bitmaps[:, 400] = chosen
    folder = tmp_path_factory.mktemp("equal") / "folder"
    bitmap_folder(folder, bar=bitmaps, slope=bitmaps[::-1])
    found: list[set[bytes]] = []
    for split in PROPORTIONS:
        with suppress(ConfigError):  # the split is empty
            found.append(set(rows_of(read_bitmaps(folder, split))))
    assert len(set.union(*found)) == sum(map(len, found)) == len(set(chosen))


def test_the_splits_have_the_papers_proportions(tmp_path: Path) -> None:
    count, total = 22_200, sum(PROPORTIONS.values())
    bitmaps = np.zeros((count, 784), np.uint8)
    bitmaps[:, 380:384] = np.arange(count, dtype="<u4")[:, None].view(np.uint8)
    folder = bitmap_folder(tmp_path / "many", bar=bitmaps)
    for split, part in PROPORTIONS.items():
        share = part / total
        # Five standard deviations.
        assert abs(len(read_bitmaps(folder, split)) - count * share) < 5 * np.sqrt(count * share * (1 - share))


@given(arrays(np.uint8, (3, 784)))
def test_ranks_are_those_of_splitmix64_word_by_word(bitmaps: npt.NDArray[np.uint8]) -> None:
    def mixed(value: int) -> int:
        value = (value + 0x9E3779B97F4A7C15) % 2**64
        value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        value = (value ^ value >> 27) * 0x94D049BB133111EB % 2**64
        return value ^ value >> 31

    for bitmap, rank in zip(bitmaps, split_ranks(bitmaps).tolist(), strict=True):
        state, content = int.from_bytes(b"bitmaps1"), bitmap.tobytes()
        for start in range(0, 784, 8):
            state = mixed(state ^ int.from_bytes(content[start : start + 8], "little"))
        assert rank == state


def test_a_bitmaps_split_does_not_depend_on_how_its_file_lies_in_memory(folder: Path, tmp_path: Path) -> None:
    bar = np.load(folder / "bar.npy")
    one, other = bitmap_folder(tmp_path / "c", bar=bar), bitmap_folder(tmp_path / "f", bar=np.asfortranarray(bar))
    assert rows_of(read_bitmaps(one, "train")) == rows_of(read_bitmaps(other, "train"))


def test_the_fingerprint_follows_names_and_contents(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    assert fingerprint(copy) == fingerprint(folder) == identity(folder)[1]
    (copy / "bar.npy").rename(copy / "car.npy")
    renamed = fingerprint(copy)
    bar = np.load(copy / "car.npy")
    bar[0, 0] ^= 1
    np.save(copy / "car.npy", bar)
    assert len({fingerprint(folder), renamed, fingerprint(copy)}) == 3


def test_the_bitmaps_of_some_classes_are_those_of_a_folder_without_the_others(folder: Path, tmp_path: Path) -> None:
    packed = read_bitmaps(folder, "train")
    for words in (("bar", "slope"), ("slope", "The Frame")):
        without = tmp_path / words[0]
        without.mkdir()
        for name in words:
            shutil.copy(folder / f"{name}.npy", without)
        found, expected = packed.of_classes(sorted(words)), read_bitmaps(without, "train")
        assert found.classes == expected.classes == tuple(sorted(words))
        assert torch.equal(found.images, expected.images)
        assert torch.equal(found.labels, expected.labels)
        assert found.labels.dtype == torch.int16


def test_bitmaps_follow_the_order_of_the_words_and_unknown_words_are_refused(folder: Path) -> None:
    packed = read_bitmaps(folder, "train")
    found = packed.of_classes(("slope", "bar"))
    own = packed.labels != CLASSES.index("The Frame")
    assert torch.equal(found.images, packed.images[own])
    assert [("slope", "bar")[label] for label in found.labels] == [CLASSES[label] for label in packed.labels[own]]
    with pytest.raises(ValueError, match="not in tuple"):
        packed.of_classes(("bar", "circle"))


# ---- what is refused -------------------------------------------------------------------------------------------------


class _Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.path),)


def test_pickles_are_refused_and_never_opened(tmp_path: Path) -> None:
    bombs = np.array([_Bomb(tmp_path / "boom")] * 3, dtype=object)
    objects, plain = bitmap_folder(tmp_path / "objects", cat=bombs), bitmap_folder(tmp_path / "plain", dog=bombs)
    (plain / "dog.npy").write_bytes(pickle.dumps(_Bomb(tmp_path / "boom")))
    np.savez(tmp_path / "objects.npz", cow=bombs)
    for place, name in ((objects, "cat"), (plain, "dog"), (tmp_path / "objects.npz", "cow")):
        with pytest.raises(
            SketchDataError, match=rf"class '{name}' should be an array of \(N, 784\) uint8, and cannot"
        ):
            read_bitmaps(place, "train")
    assert not (tmp_path / "boom").exists()
    with pytest.raises(FileExistsError):  # the bomb is a real one
        pickle.loads(pickle.dumps(_Bomb(tmp_path)))


@pytest.mark.parametrize(
    ("array", "found"),
    [
        (np.zeros((4, 784)), r"float64 of shape \(4, 784\)"),
        (np.zeros((4, 783), np.uint8), r"uint8 of shape \(4, 783\)"),
        (np.zeros((4, 28, 28), np.uint8), r"uint8 of shape \(4, 28, 28\)"),
        (np.zeros(784, np.uint8), r"uint8 of shape \(784,\)"),
        (np.zeros((), np.uint8), r"uint8 of shape \(\)"),
    ],
)
def test_other_arrays_are_refused_by_class(array: npt.NDArray[Any], found: str, folder: Path, tmp_path: Path) -> None:
    own = bitmap_folder(tmp_path / "own", bar=np.load(folder / "bar.npy"), cat=array)
    np.savez(tmp_path / "own.npz", cat=array)
    for place in (own, tmp_path / "own.npz"):
        with pytest.raises(SketchDataError, match=rf"'cat' should be an array of \(N, 784\) uint8, and is {found}"):
            read_bitmaps(place, "train")


def test_damaged_files_are_refused_by_class(folder: Path, tmp_path: Path) -> None:
    content = (folder / "bar.npy").read_bytes()
    for number, broken in enumerate((content[:-1], content[:20], b"", b"no array at all")):
        own = bitmap_folder(tmp_path / f"own{number}", cat=np.zeros(1))
        (own / "cat.npy").write_bytes(broken)
        with pytest.raises(SketchDataError, match=r"class 'cat' should be .*, and cannot be read"):
            read_bitmaps(own, "train")


def test_damaged_archives_are_refused(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "own.npz"
    np.savez(place, cat=np.load(folder / "bar.npy"))
    content = bytearray(place.read_bytes())
    place.write_bytes(content[:-30])
    with pytest.raises(SketchDataError, match=r"own\.npz should be an archive of arrays, and cannot be read"):
        read_bitmaps(place, "train")
    content[len(content) // 2] ^= 1
    place.write_bytes(content)
    with pytest.raises(SketchDataError, match=r"class 'cat' .* cannot be read: Bad CRC-32"):
        read_bitmaps(place, "train")
    with pytest.raises(SketchDataError, match=r"none\.npz should be an archive of arrays, .*No such file"):
        read_bitmaps(tmp_path / "none.npz", "train")


def test_places_without_bitmaps_are_refused(folder: Path, tmp_path: Path) -> None:
    assert not holds_bitmaps(tmp_path)
    with pytest.raises(ConfigError, match=r"should have a \.npy for each class, named after it, and has none"):
        read_bitmaps(tmp_path, "train")
    with pytest.raises(SketchDataError, match="is not a finished data set"):
        read_split(tmp_path, "train")
    np.savez(tmp_path / "empty.npz")
    with pytest.raises(ConfigError, match="and has none"):
        read_bitmaps(tmp_path / "empty.npz", "train")
    with pytest.raises(ConfigError, match="no split 'test': bitmaps are split into train, val, gallery, query"):
        read_bitmaps(folder, "test")


def test_an_empty_split_is_refused(tmp_path: Path) -> None:
    one = bitmap_folder(tmp_path / "one", bar=generated_bitmaps(1), cat=np.zeros((0, 784), np.uint8))
    (own,) = np.flatnonzero([split_has_any(one, split) for split in PROPORTIONS])
    for split in set(PROPORTIONS) - {list(PROPORTIONS)[own]}:
        with pytest.raises(ConfigError, match=f"by their hashes, none of them is in {split}"):
            read_bitmaps(one, split)


# ---- pictures --------------------------------------------------------------------------------------------------------


@given(arrays(np.uint8, (2, 784)))
def test_pixels_of_size_28_are_those_of_the_file(bitmaps: npt.NDArray[np.uint8]) -> None:
    packed = packed_of(bitmaps)
    found = packed.raster(torch.tensor([1, 0, 1]), 28)
    np.testing.assert_array_equal(found.numpy(), bitmaps.reshape(2, 1, 28, 28)[[1, 0, 1]])
    still = packed.raster(torch.tensor([1, 0, 1]), 28, augment=Augmentation(**STILL), random=generator())
    assert torch.equal(still, found)


@pytest.mark.parametrize("size", [16, 32, 56, 225])
def test_other_sizes_keep_the_ink_where_it_was(size: int) -> None:
    packed = packed_of(generated_bitmaps(20))
    found = packed.raster(everyone(packed), size)
    assert found.shape == (20, 1, size, size)
    assert found.dtype == torch.uint8
    before, after = packed.images.double(), found[:, 0].double()
    torch.testing.assert_close(after.mean((1, 2)), before.mean((1, 2)), rtol=0.05, atol=0.5)
    for axis in (1, 2):
        place, wide = (torch.linspace(0.5 / n, 1 - 0.5 / n, n, dtype=torch.float64) for n in (28, size))
        middle = (before.sum(axis) * place).sum(1) / before.sum((1, 2))
        torch.testing.assert_close((after.sum(axis) * wide).sum(1) / after.sum((1, 2)), middle, rtol=0, atol=0.01)


def test_doubling_the_size_interpolates_linearly() -> None:
    bitmap = np.zeros((1, 784), np.uint8)
    bitmap[0, 5 * 28 + 5] = 160
    found = packed_of(bitmap).raster(torch.tensor([0]), 56)[0, 0]
    expected = torch.tensor([[10, 30, 30, 10], [30, 90, 90, 30], [30, 90, 90, 30], [10, 30, 30, 10]], dtype=torch.uint8)
    assert torch.equal(found[9:13, 9:13], expected)
    assert int(found.int().sum()) == int(expected.int().sum())


def test_changed_pixels_go_where_changed_points_go() -> None:
    size = 51  # pixel (j, i) is at (5 i + 2.5, 5 j + 2.5) of the square of 255
    places = torch.tensor([[15, 20], [30, 12], [25, 25], [33, 35]])
    pixels = torch.zeros(len(places), 1, size, size)
    pixels[range(len(places)), 0, places[:, 1], places[:, 0]] = 255
    augment = Augmentation(rotate=40, stretch=0.1, shift=0.05, mirror=0.5)
    affine = augment.affine(len(places), generator())
    found = moved_pixels(pixels, affine)[:, 0]
    points = moved((places * 5 + 2.5), torch.arange(len(places)), affine)
    axis = torch.arange(size) * 5 + 2.5
    weight = found.sum((1, 2))
    middle = torch.stack([(found.sum(1) * axis).sum(1) / weight, (found.sum(2) * axis).sum(1) / weight], 1)
    assert float((points - (places * 5 + 2.5)).abs().max()) > 20
    # A fifth of a pixel is 1; linear interpolation of a lone pixel is no nearer.
    torch.testing.assert_close(middle, points, rtol=0, atol=1.5)


def test_an_augmentation_is_a_function_of_its_generator() -> None:
    packed = packed_of(generated_bitmaps(6))
    one, same = (
        packed.raster(everyone(packed), 32, augment=Augmentation(), random=generator().manual_seed(seed))
        for seed in (3, 3)
    )
    other = packed.raster(everyone(packed), 32, augment=Augmentation(), random=generator().manual_seed(4))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_what_bitmaps_cannot_give_is_refused() -> None:
    packed, first = packed_of(generated_bitmaps(2)), torch.tensor([0])
    with pytest.raises(ConfigError, match=r"no points .*: use --branch cnn"):
        view_of(NetworkOptions(branch="cr", size=28), packed.offset_scale()).batch(packed, first)
    with pytest.raises(ConfigError, match="use --line-width 1, not 2"):
        packed.raster(first, line_width=2)
    with pytest.raises(ConfigError, match="needs a random generator"):
        packed.raster(first, augment=Augmentation())
    with pytest.raises(ConfigError, match="no strokes to leave out"):
        packed.raster(first, augment=Augmentation(drop_strokes=0.1), random=generator())


def test_bitmaps_make_batches_of_pictures_alone(folder: Path) -> None:
    packed = read_bitmaps(folder, "val").to("cpu")
    batch = view_of(NetworkOptions(branch="cnn", size=32), packed.offset_scale()).batch(packed, everyone(packed))
    assert batch.raster is not None
    assert batch.raster.shape == (len(packed), 1, 32, 32)
    assert (batch.sequence, batch.lengths) == (None, None)
    assert batch.labels.tolist() == packed.labels.tolist()
    assert packed.nbytes == len(packed) * (784 + 2)


@pytest.mark.skipif(
    "SKETCHDATA_REAL_DATA" not in os.environ or not REAL.is_file(), reason="SKETCHDATA_REAL_DATA has no bitmaps28.npz"
)
def test_official_bitmaps_are_read() -> None:
    splits = {split: read_bitmaps(REAL, split) for split in ("val", "gallery")}
    assert all(packed.classes[:2] == ("aircraft carrier", "airplane") for packed in splits.values())
    assert all(int(packed.images.max()) == 255 for packed in splits.values())
    assert not set(rows_of(splits["val"])) & set(rows_of(splits["gallery"]))
    share = len(splits["gallery"]) / 45_000
    assert share == pytest.approx(1000 / 11_100, rel=0.1)
