"""DeepHash-pytorch's arrays: read as its own code writes them, written so that its own code reads them."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sketchdata.errors import ConfigError, FormatError
from sketchdata.formats import deephash
from sketchdata.formats.codes import Codes, pack_bits, unpack_bits
from sketchdata.formats.deephash import arrays, dump, read_folder

CLASSES = ("cat", "The Eiffel Tower", "star")
BITS = np.array([[1, 0, 1], [0, 0, 1], [1, 1, 1], [0, 1, 0]], np.bool_)
LABELS = np.array([0, 2, 1, 2])


def save(folder: Path, before: str = "", **arrays: Any) -> Path:
    """Write arrays by numpy, as everybody does; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / f"{before}{name}.npy", array)
    return folder


def good(**others: Any) -> dict[str, Any]:
    signs, columns = np.where(BITS, 1, -1).astype(np.float32), np.eye(3, dtype=np.int64)[LABELS]
    return {"trn_binary": signs, "trn_label": columns, "tst_binary": signs[:2], "tst_label": columns[:2], **others}


def bits_of(codes: Codes) -> npt.NDArray[np.bool_]:
    return unpack_bits(codes.packed, codes.bits)


def write(folder: Path, splits: dict[str, Codes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, (codes, kind) in arrays(splits).items():
        with (folder / name).open("wb") as file:
            dump(codes, kind, file)
    return folder


# ---- what DeepHash-pytorch writes ------------------------------------------------------------------------------------


def test_what_a_training_of_deephash_saves_is_read(tmp_path: Path) -> None:
    # `compute_result` and `validate` in its utils/tools.py: the sign of a network's numbers, the labels of its lists.
    torch = pytest.importorskip("torch")
    numbers = torch.tensor([[0.3, -2.0, 1e-9], [-0.1, -0.2, 4.0], [7.0, 0.5, 0.01]])
    rows = ["a/1.jpg 0 1 0 0", "a/2.jpg 0 0 0 1", "b/3.jpg 1 0 0 0"]
    labels = torch.cat([torch.from_numpy(np.array([int(la) for la in row.split()[1:]]))[None] for row in rows])
    place = tmp_path / "save" / "DPSH" / "imagenet_3bits_0.8824931967229359"
    place.mkdir(parents=True)
    trn_binary, tst_binary = torch.cat([numbers]).sign(), torch.cat([numbers[:1]]).sign()
    np.save(place / "tst_label.npy", labels[:1].numpy())
    np.save(place / "tst_binary.npy", tst_binary.numpy())
    np.save(place / "trn_binary.npy", trn_binary.numpy())
    np.save(place / "trn_label.npy", labels.numpy())
    torch.save({}, place / "model.pt")

    found = read_folder(place)
    gallery, query = found.gallery, found.query
    np.testing.assert_array_equal(bits_of(gallery), [[1, 0, 1], [0, 0, 1], [1, 1, 1]])
    assert (gallery.labels.tolist(), query.labels.tolist()) == ([1, 3, 0], [1])
    assert gallery.classes == query.classes == ("class 0", "class 1", "class 2", "class 3")
    assert (found.has_key_ids, gallery.key_ids.tolist(), query.key_ids.tolist()) == (False, [0, 1, 2], [0])


def test_names_of_older_versions_are_known(tmp_path: Path) -> None:
    folder = save(tmp_path, "cifar10-10.7731-", **good())
    assert len(read_folder(folder, CLASSES).gallery) == 4


def test_deephashs_own_measure_gives_the_same_for_what_is_written(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    splits = {split: random_codes(random, count) for split, count in (("gallery", 50), ("query", 7))}
    place = write(tmp_path, splits)
    trn_binary, tst_binary = (np.load(place / f"{part}_binary.npy") for part in ("trn", "tst"))
    trn_label, tst_label = (np.load(place / f"{part}_label.npy") for part in ("trn", "tst"))
    # `CalcHammingDist` and the relevance of `CalcTopMap` there.
    distances = 0.5 * (tst_binary.shape[1] - np.dot(tst_binary, trn_binary.transpose()))
    relevant = np.dot(tst_label, trn_label.transpose()) > 0
    own = bits_of(splits["query"])[:, None] ^ bits_of(splits["gallery"])
    np.testing.assert_array_equal(distances, own.sum(2))
    np.testing.assert_array_equal(relevant, splits["query"].labels[:, None] == splits["gallery"].labels)


def random_codes(random: np.random.Generator, count: int, bits: int = 21) -> Codes:
    return Codes(
        bits=bits,
        packed=pack_bits(random.random((count, bits)) < 0.5),
        labels=random.integers(0, len(CLASSES), count).astype(np.uint16),
        key_ids=random.integers(0, 2**64, count, np.uint64),
        classes=CLASSES,
    )


@given(counts=st.tuples(st.integers(1, 20), st.integers(1, 20)), bits=st.integers(1, 248), seed=st.integers(0, 99))
@settings(max_examples=40)
def test_codes_come_back_as_they_were(
    counts: tuple[int, int], bits: int, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    random = np.random.default_rng(seed)
    splits = {name: random_codes(random, count, bits) for name, count in zip(("gallery", "query"), counts, strict=True)}
    found = read_folder(write(tmp_path_factory.mktemp("codes"), splits), CLASSES)
    assert found.has_key_ids
    for own, codes in ((found.gallery, splits["gallery"]), (found.query, splits["query"])):
        assert (own.bits, own.classes) == (bits, CLASSES)
        for name in ("packed", "labels", "key_ids"):
            np.testing.assert_array_equal(getattr(own, name), getattr(codes, name))


def test_rows_beyond_a_block_are_written_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(4)
    splits = {split: random_codes(random, count) for split, count in (("gallery", 23), ("query", 8))}
    whole = write(tmp_path / "whole", splits)
    monkeypatch.setattr(deephash, "_ROWS_AT_ONCE", 4)
    pieces = write(tmp_path / "pieces", splits)
    for path in whole.iterdir():
        assert path.read_bytes() == (pieces / path.name).read_bytes()
        # As numpy itself would write it.
        file = io.BytesIO()
        np.save(file, np.load(path))
        assert file.getvalue() == path.read_bytes()
    np.testing.assert_array_equal(read_folder(pieces, CLASSES).gallery.packed, splits["gallery"].packed)


@pytest.mark.parametrize(
    "others",
    [
        {"trn_binary": BITS},
        {"trn_binary": BITS.astype(np.uint8), "tst_binary": BITS[:2].astype(np.float64)},
        {"trn_binary": np.where(BITS, 1, -1).astype(np.int8)},
        {"trn_label": LABELS, "tst_label": LABELS[:2].astype(np.float32)},
        {"trn_label": LABELS[:, None]},
        {"trn_label": np.eye(3, dtype=np.float32)[LABELS]},
        {"trn_label": np.eye(3, dtype=np.bool_)[LABELS]},
        {"trn_binary": np.asfortranarray(np.where(BITS, 1, -1))},
    ],
    ids=str,
)
def test_other_types_of_numbers_say_the_same(others: dict[str, Any], tmp_path: Path) -> None:
    found = read_folder(save(tmp_path, **good(**others)), CLASSES)
    for codes, rows in ((found.gallery, 4), (found.query, 2)):
        np.testing.assert_array_equal(bits_of(codes), BITS[:rows])
        np.testing.assert_array_equal(codes.labels, LABELS[:rows])


# ---- what is refused -------------------------------------------------------------------------------------------------


SIGNS = np.where(BITS, 1.0, -1.0)


def changed(array: npt.NDArray[Any], row: int, value: Any) -> npt.NDArray[Any]:
    array = array.copy()
    array[row, 1] = value
    return array


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"trn_binary": changed(SIGNS, 3, 0.5)}, r"not bits: trn_binary.npy has 0.5 in row 3, column 1"),
        ({"trn_binary": changed(SIGNS, 3, np.nan)}, "trn_binary.npy has nan in row 3"),
        ({"trn_binary": changed(SIGNS, 2, 0)}, "−1 in row 0 and 0 in row 2: write 1 and −1"),
        ({"tst_binary": SIGNS[:2, :2]}, "two lengths: 3 bits in the gallery, 2 in the queries"),
        ({"trn_binary": np.ones((4, 249))}, r"shape \(4, 249\); expected one row or more of 1 to 248 bits"),
        ({"trn_binary": np.ones((4, 0))}, r"shape \(4, 0\)"),
        ({"trn_binary": np.ones(4)}, r"shape \(4,\)"),
        ({"trn_binary": np.ones((0, 3)), "trn_label": np.ones((0, 3))}, "not "),
        ({"trn_label": np.eye(3)[LABELS[:3]]}, "different lengths: trn_binary.npy 4 rows, trn_label.npy 3"),
        ({"trn_label": changed(np.eye(3)[LABELS], 3, 1)}, "has 2 classes in row 3; codes of several classes are not"),
        ({"trn_label": np.zeros((4, 3))}, "has 0 classes in row 0"),
        ({"trn_label": changed(np.eye(3)[LABELS], 1, 0.7)}, "not 0 or 1: trn_label.npy has 0.7 in row 1"),
        ({"tst_label": np.eye(4)[:2]}, "two widths: 3 columns in the gallery, 4 in the queries"),
        ({"trn_label": LABELS - 1}, "not indices: trn_label.npy has -1 in row 0"),
        ({"trn_label": LABELS + 0.5}, "has 0.5 in row 0"),
        ({"trn_label": LABELS + 70_000}, "has 70000 in row 0; 0 to 65,535 are"),
        ({"trn_label": np.ones((4, 3, 1))}, r"not labels: trn_label.npy has the shape \(4, 3, 1\)"),
        ({"trn_binary": np.array([["a"]])}, "not an array of numbers: .* holds <U1"),
        ({"trn_key_id": np.arange(4)}, r"not key_ids: trn_key_id.npy holds int64"),
        ({"trn_key_id": np.arange(3, dtype=np.uint64)}, "trn_key_id.npy 3"),
    ],
    ids=str,
)
def test_what_is_no_code_or_no_class_is_refused_with_its_place(
    others: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(FormatError, match=message):
        read_folder(save(tmp_path, **good(**others)))


def test_missing_arrays_are_named(tmp_path: Path) -> None:
    # What older versions of DeepHash-pytorch save.
    save(tmp_path, "imagenet0.88-", trn_binary=SIGNS)
    with pytest.raises(FormatError, match=r"no imagenet0.88-trn_label.npy, imagenet0.88-tst_binary.npy, imagenet"):
        read_folder(tmp_path)
    with pytest.raises(FormatError, match=r"has no trn_binary.npy, trn_label.npy, tst_binary.npy, tst_label.npy"):
        read_folder(save(tmp_path / "empty"))
    with pytest.raises(ConfigError, match=r"there is no folder .*nowhere"):
        read_folder(tmp_path / "nowhere")


def test_several_sets_of_codes_in_a_folder_are_refused(tmp_path: Path) -> None:
    for before in ("a-", "b-"):
        save(tmp_path, before, **good())
    with pytest.raises(FormatError, match=r"several sets of codes: .* a-trn_binary.npy, b-trn_binary.npy"):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["cat"], "has 1 names, and the labels have 3 classes"),
        ([*CLASSES, "dog"], "has 4 names, and the labels have 3"),
        (["cat", "star", "cat"], "names a class twice"),
    ],
)
def test_a_class_table_that_does_not_fit_is_refused(classes: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        read_folder(save(tmp_path, **good()), classes)


def test_a_class_table_may_be_larger_than_the_indices(tmp_path: Path) -> None:
    folder = save(tmp_path, **good(trn_label=LABELS, tst_label=LABELS[:2]))
    assert read_folder(folder, [*CLASSES, "dog"]).query.classes == (*CLASSES, "dog")


def test_a_pickle_is_never_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (Path(tmp_path / "sprung").touch, ())

    trap = np.empty((4, 3), object)
    trap[:] = Trap()
    save(tmp_path, **good())
    np.save(tmp_path / "trn_binary.npy", trap, allow_pickle=True)
    with pytest.raises(FormatError, match="not an array of numbers"):
        read_folder(tmp_path)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.slow
@given(chance=st.data())
@settings(max_examples=150)
def test_damaged_files_are_refused_and_nothing_else_happens(
    chance: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = save(tmp_path_factory.getbasetemp() / "damaged", **good())
    path = folder / "trn_binary.npy"
    content = bytearray(path.read_bytes())
    for _ in range(chance.draw(st.integers(1, 4))):
        content[chance.draw(st.integers(0, len(content) - 1))] = chance.draw(st.integers(0, 255))
    path.write_bytes(bytes(content[: chance.draw(st.integers(0, len(content)))]))
    try:
        found = read_folder(folder)
    except FormatError:
        return
    assert len(found.gallery) == 4


def test_a_header_that_promises_more_than_the_file_has_takes_no_memory(tmp_path: Path) -> None:
    text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (9000000000000, 64), }".ljust(117) + b"\n"
    save(tmp_path, **good())
    (tmp_path / "trn_binary.npy").write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text)
    with pytest.raises(FormatError, match="not an array of numbers"):
        read_folder(tmp_path)
