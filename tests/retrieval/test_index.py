"""The flat index is exact to the last tie, the others near it; and no file is parsed that is not as it was listed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.formats.codes import Codes
from sketchdata.pipelines import index as recipe
from sketchdata.pipelines import verify
from sketchdata.retrieval.index import KINDS, Index, Neighbours, make_index, open_index
from tests.exports import flip_a_bit, tree
from tests.retrievals import build_index, codes_like_drawings, list_again, plain_order, write

APPROXIMATE = [kind for kind in KINDS if kind != "flat"]
FILES = ["codes.npy", "index.faiss", "key_ids.npy", "labels.npy"]


def listed(index: Index, found: Neighbours) -> list[tuple[int, int]]:
    """Return (distance, key_id) of what was found."""
    return list(zip(found.distances.tolist(), index.key_ids[found.rows].tolist(), strict=True))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 3,000 codes, and 40 to ask for."""
    out = tmp_path_factory.mktemp("index") / "codes"
    write(out, gallery=codes_like_drawings(3000, bits=32), query=codes_like_drawings(40, bits=32, seed=1))
    return out


@pytest.mark.slow
@given(st.data())
@settings(max_examples=120)
def test_the_flat_index_gives_the_nearest_and_orders_ties_by_key_id_also_at_the_cut(data: st.DataObject) -> None:
    # Short codes: nearly all distances are equal to many others.
    codes = codes_like_drawings(
        data.draw(st.integers(1, 400)), bits=data.draw(st.sampled_from([1, 3, 8, 20, 64, 65, 130, 248]))
    )
    query = codes_like_drawings(1, bits=codes.bits, seed=data.draw(st.integers(1, 5))).packed
    k = data.draw(st.integers(1, len(codes)))
    index = make_index(codes, "flat")
    (found,) = index.search(query, k)
    assert listed(index, found) == plain_order(codes, query[0])[:k]


def test_codes_that_are_all_equal_come_by_key_id(folder: Path) -> None:
    codes = codes_like_drawings(500)
    index = make_index(Codes(**{**vars(codes), "packed": np.repeat(codes.packed[:1], 500, axis=0)}), "flat")
    (found,) = index.search(codes.packed[:1], 40)
    assert index.key_ids[found.rows].tolist() == sorted(codes.key_ids.tolist())[:40]
    assert not found.distances.any()


@pytest.mark.parametrize("kind", APPROXIMATE)
def test_approximate_kinds_find_most_and_put_it_into_the_exact_order(folder: Path, tmp_path: Path, kind: str) -> None:
    index = open_index(build_index(folder, tmp_path / "index", kind=kind))
    flat = open_index(build_index(folder, tmp_path / "flat"))
    asked = codes_like_drawings(40, bits=32, seed=1).packed
    near = 0
    for query, found, exact in zip(asked, index.search(asked, 20), flat.search(asked, 20), strict=True):
        order = {key_id: distance for distance, key_id in plain_order(codes_like_drawings(3000, bits=32), query)}
        given_ = listed(index, found)
        assert given_ == sorted(given_)
        assert all(order[key_id] == distance for distance, key_id in given_)
        assert len({key_id for _, key_id in given_}) == len(given_) <= 20
        near += int((found.distances <= exact.distances[-1]).sum())
    assert near >= 0.9 * 20 * len(asked)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_codes_give_the_same_bytes_in_any_order(folder: Path, tmp_path: Path, kind: str) -> None:
    codes = codes_like_drawings(3000, bits=32)
    write(tmp_path / "turned", gallery=codes.take(np.arange(len(codes))[::-1]))
    paths = [
        build_index(source, tmp_path / source.name / "index", kind=kind) for source in (folder, tmp_path / "turned")
    ]
    one, two = ({name: hash_ for name, hash_ in tree(path).items() if name in FILES} for path in paths)
    assert one == two
    assert ("index.faiss" in one) == (kind != "flat")


@pytest.mark.parametrize("kind", ["flat", "hnsw"])
def test_an_index_is_whole_by_its_manifest_until_something_in_it_changes(
    folder: Path, tmp_path: Path, kind: str
) -> None:
    out = build_index(folder, tmp_path / "index", kind=kind)
    checked = verify.run(out)
    assert (checked.faults, checked.records) == ([], 3000)
    for name in FILES if kind == "hnsw" else [name for name in FILES if name != "index.faiss"]:
        content = (out / name).read_bytes()
        flip_a_bit(out / name)
        with pytest.raises(SketchDataError, match=rf"{name} is damaged"):
            open_index(out)
        (out / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(SketchDataError, match=rf"{name} is damaged"):
            open_index(out)
        (out / name).unlink()
        with pytest.raises(SketchDataError, match=rf"{name} is missing"):
            open_index(out)
        (out / name).write_bytes(content)
    assert len(open_index(out)) == 3000


def test_files_that_are_listed_and_yet_no_index_are_refused(folder: Path, tmp_path: Path) -> None:
    out = build_index(folder, tmp_path / "index", kind="ivf")
    good = {name: (out / name).read_bytes() for name in FILES}
    key_ids = np.load(out / "key_ids.npy")
    hostile = {
        "index.faiss": [(b"IBwF garbage", "cannot be read by faiss"), (b"", "cannot be read by faiss")],
        "codes.npy": [(b"\x93NUMPY", "cannot be read as an array"), (good["labels.npy"], "holds uint16 of shape")],
        "key_ids.npy": [(_saved(key_ids[::-1]), "do not rise"), (_saved(key_ids[:-1]), "is damaged")],
        "labels.npy": [(_saved(np.full(3000, 9, np.uint16)), "beyond its class table")],
    }
    for name, contents in hostile.items():
        for content, message in contents:
            (out / name).write_bytes(content)
            list_again(out, name)
            with pytest.raises(SketchDataError, match=message):
                open_index(out)
        (out / name).write_bytes(good[name])
        list_again(out, name)
    other = build_index(_few(tmp_path), tmp_path / "few-index", kind="ivf")
    (out / "index.faiss").write_bytes((other / "index.faiss").read_bytes())
    list_again(out, "index.faiss")
    with pytest.raises(SketchDataError, match="holds 50 codes of 32 bits, and the index 3,000"):
        open_index(out)


def _saved(array: np.ndarray) -> bytes:
    import io

    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _few(tmp_path: Path) -> Path:
    write(tmp_path / "few", gallery=codes_like_drawings(50, bits=32))
    return tmp_path / "few"


def test_pickled_objects_are_never_loaded(folder: Path, tmp_path: Path) -> None:
    out = build_index(folder, tmp_path / "index")
    np.save(out / "labels.npy", np.array([print], object), allow_pickle=True)
    list_again(out, "labels.npy")
    with pytest.raises(SketchDataError, match="allow_pickle"):
        open_index(out)


def test_wrong_numbers_lengths_and_folders_are_refused_in_words(folder: Path, tmp_path: Path) -> None:
    index = make_index(codes_like_drawings(10), "flat")
    for k in (0, -1, 11):
        with pytest.raises(ConfigError, match=f"k is 1 to 10, not {k}"):
            index.search(codes_like_drawings(1).packed, k)
    with pytest.raises(ConfigError, match="codes of 16 bits, and the query has 3 bytes"):
        index.search(codes_like_drawings(1, bits=24).packed, 1)
    with pytest.raises(ConfigError, match="no kind of index 'tree': choose one of flat, ivf"):
        make_index(codes_like_drawings(10), "tree")
    with pytest.raises(SketchDataError, match="is not an index"):
        open_index(folder)
    with pytest.raises(SketchDataError, match="is not a finished data set"):
        open_index(tmp_path / "absent")
    with pytest.raises(ConfigError, match="no split 'train'"):
        build_index(folder, tmp_path / "train", split="train")


def test_another_index_is_replaced_only_when_told_to(folder: Path, tmp_path: Path) -> None:
    out = build_index(folder, tmp_path / "index", kind="multihash")
    with pytest.raises(ConfigError, match="made with other options"):
        build_index(folder, out)
    recipe.run(folder, recipe.Config(out=out, overwrite=True))
    assert sorted(path.name for path in out.iterdir()) == [
        "README.md",
        "codes.npy",
        "key_ids.npy",
        "labels.npy",
        "manifest.json",
    ]


def test_rows_are_found_by_key_id_with_their_codes() -> None:
    codes = codes_like_drawings(100, bits=70)
    index = make_index(codes, "flat")
    for number in (0, 50, 99):
        row = index.row_of(int(codes.key_ids[number]))
        assert row is not None
        assert (index.code(row) == codes.packed[number]).all()
    assert index.row_of(1) is index.row_of(2**64 - 1) is None
