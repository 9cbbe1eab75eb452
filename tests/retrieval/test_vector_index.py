"""Vectors on disk and their index: exact to the last tie, and no file is parsed that is not as it was listed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from sketchdata.cross_domain.dataset import PHOTOS, UNSEEN, read_group
from sketchdata.cross_domain.encoder import embed, read_space
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.pipelines import encode, verify
from sketchdata.pipelines import index as recipe
from sketchdata.retrieval.index import open_index
from sketchdata.retrieval.vector_folder import PictureVectors, open_vectors
from sketchdata.retrieval.vector_index import (
    VECTOR_KINDS,
    make_vector_index,
    open_vector_index,
    write_vector_arrays,
)
from sketchdata.storage.manifest import hash_file
from tests.commands import sketchdata
from tests.exports import flip_a_bit, tree
from tests.spaces import Space, make_space


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Space:
    return make_space(tmp_path_factory.mktemp("space"))


def vectors_like_photos(count: int, width: int = 16, seed: int = 0) -> PictureVectors:
    random = np.random.default_rng(seed)
    return PictureVectors(
        rows=random.standard_normal((count, width)).astype(np.float32),
        labels=random.integers(0, 3, count).astype(np.uint16),
        key_ids=random.choice(np.arange(10 * count, dtype=np.uint64), count, replace=False),
        classes=("apple", "cat", "house"),
    )


def plain_order(vectors: PictureVectors, query: np.ndarray) -> list[int]:
    apart = np.square(vectors.rows.astype(np.float64) - query.astype(np.float64)).sum(axis=1)
    return vectors.key_ids[np.lexsort([vectors.key_ids, apart])].tolist()


@pytest.mark.parametrize("offset", [0, 1000], ids=["centred", "far from 0, where float32 loses digits"])
def test_the_flat_index_gives_the_nearest_as_brute_force_in_double_does(offset: int) -> None:
    vectors = vectors_like_photos(700)
    vectors = PictureVectors(**{**vars(vectors), "rows": vectors.rows + np.float32(offset)})
    index = make_vector_index(vectors, "flat")
    queries = vectors_like_photos(5, seed=1).rows + np.float32(offset)
    for query, found in zip(queries, index.search(queries, 40), strict=True):
        assert found.key_ids.tolist() == plain_order(vectors, query)[:40]
        assert (np.diff(found.distances) >= 0).all()


def test_equal_distances_come_by_key_id_also_at_the_cut() -> None:
    vectors = vectors_like_photos(300)
    vectors = PictureVectors(**{**vars(vectors), "rows": np.repeat(vectors.rows[:3], 100, axis=0)})
    (found,) = make_vector_index(vectors, "flat").search(vectors.rows[:1], 130)
    assert found.key_ids.tolist() == plain_order(vectors, vectors.rows[0])[:130]
    assert found.distances[:100].tolist() == [0] * 100


@pytest.mark.parametrize("kind", ["hnsw", "ivf-pq"])
def test_approximate_kinds_find_nearly_all_with_exact_distances(kind: str) -> None:
    pytest.importorskip("faiss")
    vectors = vectors_like_photos(2000)
    queries = vectors_like_photos(20, seed=1).rows
    exact, found = (make_vector_index(vectors, each).search(queries, 10) for each in ("flat", kind))
    hits = [len(set(a.key_ids.tolist()) & set(b.key_ids.tolist())) for a, b in zip(exact, found, strict=True)]
    assert np.mean(hits) > 8
    both = {int(key_id): float(d) for key_id, d in zip(exact[0].key_ids, exact[0].distances, strict=True)}
    for key_id, distance in zip(found[0].key_ids.tolist(), found[0].distances.tolist(), strict=True):
        assert both.get(key_id, distance) == distance


def test_codes_of_itq_find_mostly_what_the_vectors_find() -> None:
    random = np.random.default_rng(0)
    vectors = vectors_like_photos(600, 32)
    centres = random.standard_normal((3, 32)).astype(np.float32)
    rows = centres[vectors.labels] + 0.3 * vectors.rows
    vectors = PictureVectors(**{**vars(vectors), "rows": rows.astype(np.float32)})
    index = make_vector_index(vectors, "itq", bits=16)
    assert index.rows is None
    found = index.search(centres, 100)
    assert [set(each.labels.tolist()) for each in found] == [{0}, {1}, {2}]
    assert found[0].distances.dtype == np.uint8
    with pytest.raises(ConfigError, match="bits"):
        make_vector_index(vectors, "itq", bits=64)


@pytest.mark.parametrize("kind", VECTOR_KINDS)
def test_an_index_is_read_back_as_it_was_and_its_bytes_are_the_same(kind: str, space: Space, tmp_path: Path) -> None:
    if kind in ("hnsw", "ivf-pq"):
        pytest.importorskip("faiss")
    outs = [tmp_path / "a", tmp_path / "b"]
    for out in outs:
        options = {"bits": 4} if kind == "itq" else {}
        manifest = recipe.run(space.vectors, recipe.Config(out=out, kind=kind, **options))
    assert tree(outs[0]) == tree(outs[1])
    assert manifest.config["model"] == hash_file(space.run / "model.safetensors", "sha256")
    assert manifest.config["data"]["sha256"] == hash_file(space.data / "manifest.json", "sha256")
    assert verify.run(outs[0]).faults == []
    index = open_vector_index(outs[0])
    assert len(index) == 24
    query = open_vectors(space.vectors).read("unseen-drawings").rows[:1]
    parts = [open_vectors(space.vectors).read(split) for split in manifest.config["splits"]]
    joined = PictureVectors(
        rows=np.concatenate([part.rows for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        key_ids=np.concatenate([part.key_ids for part in parts]),
        classes=parts[0].classes,
    )
    (found,), plain = index.search(query, 8), plain_order(joined, query[0])[:8]
    if kind in ("flat", "hnsw"):
        assert found.key_ids.tolist() == plain
    for path in sorted(outs[0].glob("*.npy")) + sorted(outs[0].glob("*.faiss")):
        content = path.read_bytes()
        flip_a_bit(path)
        with pytest.raises(SketchDataError, match=path.name):
            open_vector_index(outs[0])
        path.write_bytes(content)
    with pytest.raises(SketchDataError, match="an index of vectors"):
        open_index(outs[0])


def test_vectors_are_those_of_the_network_row_by_row(space: Space) -> None:
    folder = open_vectors(space.vectors)
    pictures = read_group(space.data, UNSEEN, size=16)
    found = folder.read("unseen-photos")
    assert found.key_ids.tolist() == pictures.photos.key_ids.numpy().view(np.uint64).tolist()
    assert np.allclose(found.rows, embed(read_space(space.run), pictures.photos, PHOTOS), atol=1e-6)
    words = [pictures.classes[label] for label in pictures.photos.labels.tolist()]
    assert [found.classes[label] for label in found.labels.tolist()] == words
    assert verify.run(space.vectors).faults == []


def test_groups_and_splits_are_encoded_in_half_precision_and_a_stopped_run_goes_on(
    space: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = encode.Config(out=tmp_path / "v", splits="unseen,seen-photos", device="cpu", precision="float16")
    made = []
    own = encode.write_vectors

    def stop(folder: object, splits: dict, **options: object) -> object:
        first, *_ = splits
        broken = {name: (make if name == first else _fail) for name, make in splits.items()}
        made.append(first)
        return own(folder, broken, **options)

    monkeypatch.setattr(encode, "write_vectors", stop)
    with pytest.raises(KeyboardInterrupt):
        encode.run(space.run, space.data, config)
    assert [path.name for path in (tmp_path / "v" / ".export").glob("*.parquet")] == [f"{made[0]}.parquet"]
    monkeypatch.undo()
    manifest = encode.run(space.run, space.data, config)
    assert set(manifest.splits) == {"unseen-drawings", "unseen-photos", "seen-photos"}
    assert open_vectors(tmp_path / "v").read("seen-photos").rows.dtype == np.float16


def _fail() -> PictureVectors:
    raise KeyboardInterrupt


def test_bad_input_is_told_without_a_traceback(space: Space, tmp_path: Path) -> None:
    def fails(*arguments: object, says: str) -> None:
        found = sketchdata(*arguments, "--out", tmp_path / "out", expect=None)
        assert found.returncode != 0
        assert says in found.stderr.replace("\n", " ")
        assert "Traceback" not in found.stderr

    fails("encode", space.run, space.data, "--splits", "gallery", says="there is no split gallery")
    fails("index", "build", space.vectors, "--kind", "multihash", says="is for codes")
    fails("index", "build", space.vectors, "--bits", 8, says="--kind itq")
    fails("index", "build", space.vectors, "--split", "query", says="there is no split 'query'")
    damaged = shutil.copytree(space.vectors, tmp_path / "damaged")
    flip_a_bit(damaged / "unseen-photos.parquet")
    fails("index", "build", damaged, "--split", "unseen-photos", says="unseen-photos.parquet")
    (damaged / "unseen-photos.parquet").unlink()
    fails("index", "build", damaged, "--split", "unseen-photos", says="unseen-photos.parquet")


def test_a_vector_that_is_not_finite_is_refused() -> None:
    vectors = vectors_like_photos(4)
    vectors.rows[2, 0] = np.inf
    with pytest.raises(SketchDataError, match="1 of 4 vectors"):
        PictureVectors(**vars(vectors))
    with pytest.raises(ConfigError, match="no vectors"):
        make_vector_index(vectors_like_photos(4).take(np.arange(0)), "flat")


def test_the_commands_say_what_they_made(space: Space, tmp_path: Path) -> None:
    told = sketchdata("encode", space.run, space.data, "--splits", "unseen-photos", "--out", tmp_path / "v").stdout
    assert "8 vectors of 6 float32 values" in told
    told = sketchdata("index", "build", tmp_path / "v", "--kind", "itq", "--bits", 4, "--out", tmp_path / "i").stdout
    assert "itq over 8 codes of 4 bits (unseen-photos), learned from unseen-photos" in told
    again = json.loads(sketchdata("index", "build", space.vectors, "--json", "--out", tmp_path / "j").stdout)
    assert (again["vectors"], again["splits"]) == (24, ["seen-photos", "validation-photos", "unseen-photos"])
    assert write_vector_arrays(open_vector_index(tmp_path / "j"), tmp_path)[-1].name == "vectors.npy"
