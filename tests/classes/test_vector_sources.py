"""Several sources of class vectors: which classes all of them have, and their vectors side by side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sketchdata.classes.vectors import VectorSource, arranged, covered, read_sources, write_vectors
from sketchdata.errors import ConfigError, SketchDataError


def source(name: str, words: tuple[str, ...], width: int = 3, scale: float = 1.0) -> VectorSource:
    vectors = np.random.default_rng(len(words)).normal(5, scale, (len(words), width)).astype(np.float32)
    return VectorSource(name=name, sha256="0" * 64, words=words, vectors=vectors)


ALL = ("cat", "palm tree", "star", "wine bottle")


def test_vectors_are_found_whatever_the_spelling() -> None:
    own = source("edges", ("wine_bottle", "Palm-Tree", "star", "cat"))
    np.testing.assert_array_equal(own.of(ALL), own.vectors[[3, 1, 2, 0]])
    with pytest.raises(ConfigError, match="edges has no vector for dog"):
        own.of(("cat", "dog"))


def test_classes_that_one_source_lacks_are_listed_or_left_out() -> None:
    edges, words = source("edges", ALL), source("words", ("cat", "star", "palm tree"))
    with pytest.raises(ConfigError, match=r"1 of 4 classes .* wine bottle \(words\); .* --allow-missing"):
        covered(ALL, (edges, words), allow_missing=False)
    assert covered(ALL, (edges, words), allow_missing=True) == (("cat", "palm tree", "star"), ("wine bottle",))
    assert covered(ALL, (edges,), allow_missing=False) == (ALL, ())
    with pytest.raises(ConfigError, match="3 are needed"):
        covered(("cat", "star", "dog"), (edges,), allow_missing=True)


def test_one_source_stays_as_it_is() -> None:
    own = source("edges", ALL)
    (found,) = arranged((own,), ALL, [0, 1]).values()
    np.testing.assert_array_equal(found, own.vectors)


def test_side_by_side_each_source_counts_for_the_same() -> None:
    small, large = source("small", ALL, 3, 0.01), source("large", ALL, 50, 100.0)
    found = arranged((small, large), ALL, [0, 2, 3])
    assert list(found) == ["small", "large", "small+large"]
    joint = found["small+large"]
    assert joint.shape == (4, 53)
    for part in (joint[:, :3], joint[:, 3:]):
        np.testing.assert_allclose(part[[0, 2, 3]].mean(axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(np.square(part[[0, 2, 3]]).sum(axis=1).mean(), 1, rtol=1e-4)


def test_an_unseen_class_has_no_say_in_how_sources_are_joined() -> None:
    one, other = source("one", ALL), source("other", ALL, 5)
    before = arranged((one, other), ALL, [0, 2, 3])["one+other"]
    one.vectors[1] += 100
    after = arranged((one, other), ALL, [0, 2, 3])["one+other"]
    np.testing.assert_array_equal(after[[0, 2, 3]], before[[0, 2, 3]])
    assert not np.array_equal(after[1], before[1])


def test_equal_vectors_of_all_seen_classes_are_refused() -> None:
    flat = VectorSource(name="flat", sha256="0", words=ALL, vectors=np.ones((4, 2), np.float32))
    with pytest.raises(ConfigError, match="vectors of all seen classes are the same"):
        arranged((flat, source("other", ALL)), ALL, [0, 1])


def test_files_are_named_apart_and_safely(tmp_path: Path) -> None:
    write_vectors(tmp_path / "a.parquet", ALL, np.eye(4, dtype=np.float32), np.ones(4, np.int64), {})
    (found,) = read_sources([tmp_path / "a.parquet"])
    assert (found.name, found.words) == ("a", ALL)
    assert len(found.sha256) == 64
    with pytest.raises(ConfigError, match="two files of class vectors are called a"):
        read_sources([tmp_path / "a.parquet", tmp_path / "b" / "a.parquet"])
    with pytest.raises(ConfigError, match="use letters, digits"):
        read_sources([tmp_path / "a b.parquet"])
    with pytest.raises(ConfigError, match="shorter names"):
        read_sources([tmp_path / f"{letter * 60}.parquet" for letter in "ab"])
    with pytest.raises(ConfigError, match="say where the class vectors are"):
        read_sources([])
    with pytest.raises(SketchDataError, match="cannot be read as Parquet"):
        read_sources([tmp_path / "missing.parquet"])
