"""Encoding: what the network says of every drawing, in the order of the rows, the same each time."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.pipelines import encode, verify
from sketchdata.retrieval.code_folder import open_codes, read_codes
from sketchdata.storage.dataset import open_dataset
from sketchdata.storage.manifest import hash_file
from sketchdata.training.bitmaps import read_split
from sketchdata.training.encoder import embed, read_encoder
from sketchdata.training.run_folder import MODEL
from tests.bitmap_folders import CLASSES, bitmap_folder
from tests.exports import flip_a_bit, tars, tree
from tests.retrievals import Place, make_place


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return make_place(tmp_path_factory.mktemp("encode"))


def config(out: Path, **options: object) -> encode.Config:
    return encode.Config(**{"out": out, "device": "cpu", **options})


@pytest.mark.slow
def test_codes_are_the_networks_numbers_above_the_threshold_row_by_row(place: Place) -> None:
    trained = read_encoder(place.run)
    for split in ("gallery", "query"):
        codes, drawings = read_codes(place.codes, split), list(open_dataset(place.data).batches(split))
        assert codes.key_ids.tolist() == [key_id for batch in drawings for key_id in batch.key_id.tolist()]
        assert codes.labels.tolist() == [label for batch in drawings for label in batch.label.tolist()]
        ones = embed(trained, read_split(place.data, split)) >= 0.5
        assert (np.unpackbits(codes.packed, axis=1, bitorder="little") == ones).all()
        assert 0 < ones.mean() < 1


@pytest.mark.slow
def test_the_manifest_names_the_network_and_the_data_set(place: Place) -> None:
    manifest = open_codes(place.codes).manifest
    assert manifest.config["model"] == hash_file(place.run / MODEL, "sha256")
    assert manifest.parent is not None
    assert (manifest.parent.name, manifest.parent.sha256) == (
        "quickdraw-3.8m",
        hash_file(place.data / "manifest.json", "sha256"),
    )
    assert manifest.counts == {split: open_dataset(place.data).manifest.counts[split] for split in ("gallery", "query")}
    checked = verify.run(place.codes)
    assert (checked.faults, checked.records) == ([], 36 + 12)


@pytest.mark.slow
def test_the_same_bytes_come_out_for_other_batches_and_a_second_time(place: Place, tmp_path: Path) -> None:
    encode.run(place.run, place.data, config(tmp_path / "codes", batch_size=5))
    assert tree(tmp_path / "codes") == tree(place.codes)
    before = (place.codes / "gallery.parquet").stat().st_mtime_ns
    encode.run(place.run, place.data, config(place.codes))
    assert (place.codes / "gallery.parquet").stat().st_mtime_ns == before


@pytest.mark.slow
def test_all_splits_or_some_are_encoded(place: Place, tmp_path: Path) -> None:
    every = encode.run(place.run, place.data, config(tmp_path / "all", splits="all"))
    assert every.splits == {"train": 120, "val": 36, "gallery": 36, "query": 12}
    one = encode.run(place.run, place.data, config(tmp_path / "one", splits="val"))
    assert list(one.counts) == ["val"]
    with pytest.raises(ConfigError, match="no split test"):
        encode.run(place.run, place.data, config(tmp_path / "none", splits="test"))


@pytest.mark.slow
def test_tars_have_the_codes_of_the_data_set_that_they_were_exported_from(place: Place, tmp_path: Path) -> None:
    tars(place.data, tmp_path / "tars", shard_rows=20)
    encode.run(place.run, tmp_path / "tars", config(tmp_path / "codes"))
    assert (tmp_path / "codes" / "gallery.parquet").read_bytes() == (place.codes / "gallery.parquet").read_bytes()
    next((tmp_path / "tars").glob("query-*")).unlink()
    with pytest.raises(SketchDataError, match=r"query-000000\.tar is missing"):
        encode.run(place.run, tmp_path / "tars", config(tmp_path / "others"))


@pytest.mark.slow
def test_bitmaps_are_known_by_the_number_of_their_row(place: Place, tmp_path: Path) -> None:
    data = bitmap_folder(tmp_path / "bitmaps", 400)
    manifest = encode.run(place.run, data, config(tmp_path / "codes", splits="all"))
    gallery = read_codes(tmp_path / "codes", "gallery")
    assert gallery.key_ids.tolist() == list(range(len(read_split(data, "gallery"))))
    assert (manifest.config["ids"], gallery.classes) == ("row", CLASSES)
    assert sum(manifest.splits.values()) == 1200
    with pytest.raises(ConfigError, match="no split test; bitmaps are split into train"):
        encode.run(place.run, data, config(tmp_path / "none", splits="test"))


@pytest.mark.slow
def test_foreign_folders_and_other_codes_are_left_alone(place: Place, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    for overwrite in (False, True):
        with pytest.raises(ConfigError, match=r"not empty, it holds mine\.txt"):
            encode.run(place.run, place.data, config(tmp_path, overwrite=overwrite))
    with pytest.raises(ConfigError, match="cannot lie in the data set"):
        encode.run(place.run, place.data, config(place.data / "codes"))
    shutil.copytree(place.codes, tmp_path / "codes")
    with pytest.raises(ConfigError, match="made with other options"):
        encode.run(place.run, place.data, config(tmp_path / "codes", splits="val"))
    encode.run(place.run, place.data, config(tmp_path / "codes", splits="val", overwrite=True))
    assert list(open_codes(tmp_path / "codes").manifest.counts) == ["val"]


@pytest.mark.slow
def test_a_damaged_data_set_costs_no_codes_and_an_unfinished_training_has_none(place: Place, tmp_path: Path) -> None:
    data, codes = shutil.copytree(place.data, tmp_path / "data"), shutil.copytree(place.codes, tmp_path / "codes")
    flip_a_bit(next((data / "data").glob("gallery-*.parquet")))
    with pytest.raises(SketchDataError, match="is damaged"):
        encode.run(place.run, data, config(codes, overwrite=True))
    assert tree(codes) == tree(place.codes)
    run = shutil.copytree(place.run, tmp_path / "run")
    (run / MODEL).unlink()
    with pytest.raises(SketchDataError, match="its training did not finish"):
        encode.run(run, place.data, config(tmp_path / "other"))
