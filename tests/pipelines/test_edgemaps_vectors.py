"""`sketchdata edgemaps vectors`: means of features, in the order of the class table, of every class or with a word."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import orjson
import pytest
import torch
from click.testing import CliRunner

from sketchdata.classes.vectors import read_source, read_vectors
from sketchdata.cli.edgemaps import vectors as command
from sketchdata.edges import dataset
from sketchdata.edges.dataset import open_edgemaps
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.pipelines.edgemaps_vectors import KIND, Config, run
from sketchdata.storage.manifest import MANIFEST_NAME, hash_file
from sketchdata.training.edgemap_classifier import mean_features, new_classifier, read_classifier, write_classifier
from sketchdata.training.run_folder import MODEL
from tests import edge_map_sets
from tests.edge_map_builds import build, index, samples

COUNTS = {"star": 6, "apple": 9, "ice cream": 7}
TABLE = ("apple", "ice cream", "star")
SIZE = 16


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run folder; what its network has learned does not matter here, and it knows other classes."""
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    write_classifier(folder, new_classifier("small", SIZE, ("cat", "dog")))
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data set of which each class has edge maps."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(edge_map_sets, "CLASSES", TABLE)
        build(edge_map_sets.make_edge_maps(folder, COUNTS).edges, folder / "built")
    return folder / "built"


@pytest.fixture(scope="module")
def sparse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data set of 345 classes of which two have edge maps."""
    folder = tmp_path_factory.mktemp("sparse")
    build(edge_map_sets.make_edge_maps(folder, {"star": 4, "apple": 4}).edges, folder / "built", val_share="0")
    return folder / "built"


def config(out: Path, **others: Any) -> Config:
    return Config(out=out, device="cpu", **others)


@pytest.mark.parametrize("split", ["train", "val"])
def test_vectors_are_the_means_that_one_map_at_a_time_gives(
    split: str, trained: Path, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "vectors.parquet"
    found = run(trained, whole, config(out, split=split, allow_missing=split == "val"))
    words, vectors, counts = read_vectors(out)
    network = read_classifier(trained).network
    features: dict[str, list[Any]] = {word: [] for word in TABLE}
    for sample in samples(whole, split):
        stored = cv2.imdecode(np.frombuffer(sample["png"], np.uint8), cv2.IMREAD_GRAYSCALE)
        ink = 1 - cv2.resize(stored, (SIZE, SIZE), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        with torch.no_grad():
            features[sample["json"]["category"]].append(network.extract(torch.from_numpy(ink)[None, None])[0].numpy())
    assert words == tuple(word for word in TABLE if features[word])
    assert split == "val" or words == TABLE
    assert counts.tolist() == [len(features[word]) for word in words]
    assert (found["classes"], found["width"], found["edge_maps"]) == (len(words), 128, int(counts.sum()))
    means = [np.mean(features[word], axis=0, dtype=np.float64) for word in words]
    np.testing.assert_allclose(vectors, means, rtol=1e-4, atol=1e-6)


def test_the_same_command_gives_the_same_bytes(trained: Path, whole: Path, tmp_path: Path) -> None:
    for name in ("one", "other"):
        run(trained, whole, config(tmp_path / name))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_the_file_says_which_network_and_which_data_it_comes_from(trained: Path, whole: Path, tmp_path: Path) -> None:
    run(trained, whole, config(tmp_path / "vectors.parquet"))
    assert read_source(tmp_path / "vectors.parquet") == {
        "kind": KIND,
        "run": hash_file(trained / MODEL, "sha256"),
        "data": hash_file(whole / MANIFEST_NAME, "sha256"),
        "backbone": "small",
        "size": SIZE,
        "split": "train",
        "missing": [],
    }


def test_sums_are_taken_in_double_precision(whole: Path) -> None:
    class Large(torch.nn.Module):
        """Gives numbers of which float32 cannot add two without a loss."""

        feature_size = 1

        def extract(self, images: torch.Tensor) -> torch.Tensor:
            return torch.full((len(images), 1), 16_777_217.0 - 2) + torch.arange(len(images))[:, None] % 2

    classifier = dataclasses.replace(new_classifier("small", SIZE, TABLE), network=Large())
    means, counts = mean_features(classifier, open_edgemaps(whole, size=SIZE), "train", torch.device("cpu"))
    labels = [row["label"] for row in index(whole, "train")]
    odd = [sum(row % 2 for row, label in enumerate(labels) if label == each) for each in range(3)]
    np.testing.assert_array_equal(means[:, 0], (16_777_215 + np.array(odd) / counts).astype(np.float32))


# ---- classes without edge maps ---------------------------------------------------------------------------------------


def test_classes_without_an_edge_map_are_listed_and_nothing_is_written(
    trained: Path, sparse: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        run(trained, sparse, config(tmp_path / "vectors.parquet"))
    message = str(caught.value)
    assert "no edge map in train of 343 of its 345 classes: aircraft carrier, " in message
    assert "zebra, zigzag; collect photos of them, or leave them out with --allow-missing" in message
    assert ", star, " not in message
    assert not list(tmp_path.iterdir())


def test_missing_classes_are_left_out_with_a_word(trained: Path, sparse: Path, tmp_path: Path) -> None:
    out = tmp_path / "vectors.parquet"
    found = run(trained, sparse, config(out, allow_missing=True))
    words, vectors, counts = read_vectors(out)
    assert (words, counts.tolist(), vectors.shape) == (("apple", "star"), [4, 4], (2, 128))
    assert len(found["missing"]) == len(read_source(out)["missing"]) == 343


def test_a_split_without_edge_maps_and_an_unknown_one_are_refused(trained: Path, sparse: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has no edge map at all in val; it has 8 in train"):
        run(trained, sparse, config(tmp_path / "vectors.parquet", split="val", allow_missing=True))
    with pytest.raises(ConfigError, match="there is no split 'query'"):
        run(trained, sparse, config(tmp_path / "vectors.parquet", split="query"))


# ---- the command, and what is damaged --------------------------------------------------------------------------------


def test_the_command_says_what_was_written(trained: Path, sparse: Path, tmp_path: Path) -> None:
    out = tmp_path / "vectors.parquet"
    arguments = [str(trained), str(sparse), "--out", str(out), "--device", "cpu", "--allow-missing"]
    done = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert f"{out}: 2 classes × 128 values, means of 8 edge maps of train" in done.stdout
    assert "left out 343 classes without an edge map: aircraft carrier" in done.stderr
    done = CliRunner().invoke(command, [*arguments, "--json"], catch_exceptions=False)
    told = orjson.loads(done.stdout)
    assert {name: told[name] for name in read_source(out)} == read_source(out)
    assert told["edge_maps"] == 8


def test_a_run_without_a_network_and_a_folder_without_edge_maps_are_refused(
    trained: Path, whole: Path, tmp_path: Path
) -> None:
    with pytest.raises(SketchDataError, match=r"has no model\.safetensors"):
        run(tmp_path, whole, config(tmp_path / "vectors.parquet"))
    with pytest.raises(SketchDataError, match="a set of edge maps was expected"):
        run(trained, whole.parent / "edges", config(tmp_path / "vectors.parquet"))


def test_damaged_edge_maps_end_it_and_leave_no_file(trained: Path, whole: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(whole, tmp_path / "own"))
    tar = own / dataset.tar_name("train", 0)
    tar.write_bytes(tar.read_bytes()[:3000])
    with pytest.raises(SketchDataError, match=r"\.png is cut off: run `sketchdata verify"):
        run(trained, own, config(tmp_path / "vectors.parquet"))
    assert not (tmp_path / "vectors.parquet").exists()


def test_a_label_beyond_the_class_table_is_said_to_be_damage(trained: Path, whole: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(whole, tmp_path / "own"))
    path = own / dataset.index_name("train")
    table = dataset.read_index(path)
    place = table.schema.get_field_index("label")
    raised = table.column("label").to_numpy() + np.uint16(1)
    dataset.write_index(path, table.set_column(place, table.schema.field(place), [raised]), {"name": "edgemap-345c"})
    with pytest.raises(SketchDataError, match="edge maps with label 3, and 3 classes: run `sketchdata verify"):
        run(trained, own, config(tmp_path / "vectors.parquet", allow_missing=True))
