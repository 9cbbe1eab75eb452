"""Drawings to compare with: the first recognized ones of each class, of a built data set or of official files."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.pipelines.edgemaps_curate import sample_drawings
from tests.audits import build_in_shards, rows_of
from tests.quickdraw_builds import generate, lines_of, source_file


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate(tmp_path_factory.mktemp("samples") / "source", ("cat", "star"))


def test_official_files_give_their_first_recognized_drawings(source: Path) -> None:
    sample = sample_drawings(source, ("star", "cat"), 20)
    assert (sample.origin, list(sample.classes)) == ("ndjson", ["star", "cat"])
    recognized = [line for line in lines_of(source, "star") if b'"recognized":true' in line.replace(b" ", b"")]
    expected = [int(line.split(b'"key_id":')[1].split(b'"')[1]) for line in recognized[:20]]
    assert sample.classes["star"].key_id.tolist() == expected


def test_a_gzipped_file_gives_the_same_drawings(source: Path, tmp_path: Path) -> None:
    content = source_file(source, "cat").read_bytes()
    (tmp_path / "cat.ndjson.gz").write_bytes(gzip.compress(content))
    assert sample_drawings(tmp_path, ["cat"], 20).sha256 == sample_drawings(source, ["cat"], 20).sha256


def test_a_built_data_set_gives_the_first_recognized_rows_of_its_first_split(tmp_path: Path) -> None:
    directory = build_in_shards(tmp_path)
    sample = sample_drawings(directory, ("aircraft carrier", "star"), 30)
    train = [batch for split, batch in rows_of(directory) if split == "train"]
    rows = [int(key) for batch in train for key in batch.key_id[(batch.label == 3) & batch.recognized]]
    assert sample.classes["star"].key_id.tolist() == rows[:30]
    assert sample.origin == "quickdraw-3.8m"


def test_a_class_with_fewer_drawings_gives_what_it_has_and_one_without_is_left_out(source: Path) -> None:
    sample = sample_drawings(source, ("cat", "house"), 10_000)
    assert list(sample.classes) == ["cat"]
    assert sample.classes["cat"].recognized.all()
    assert 200 < len(sample.classes["cat"]) < 300


def test_the_hash_tells_other_drawings_apart(source: Path) -> None:
    sample = sample_drawings(source, ["cat"], 20)
    assert sample.sha256 == sample_drawings(source, ["cat"], 20).sha256
    assert sample.sha256 != sample_drawings(source, ["cat"], 21).sha256
    assert sample.sha256 != sample_drawings(source, ["star"], 20).sha256
    sample.classes["cat"] = sample.classes["cat"].take(np.arange(20)[::-1])
    assert sample.sha256 != sample_drawings(source, ["cat"], 20).sha256


def test_a_folder_that_has_none_of_the_classes_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no drawings of house: give a data set"):
        sample_drawings(source, ["house"], 20)
    with pytest.raises(ConfigError, match="is not a folder"):
        sample_drawings(tmp_path / "nothing", ["cat"], 20)
    (tmp_path / "cat.ndjson.gz").write_bytes(b"no gzip")
    with pytest.raises(SketchDataError, match="gzip"):
        sample_drawings(tmp_path, ["cat"], 20)
