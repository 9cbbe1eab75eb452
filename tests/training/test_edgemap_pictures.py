"""Edge maps on a device: the pixels and labels that lie in the tars, with their ink white, of the classes asked for."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from sketchdata.edges.dataset import EdgeMaps, open_edgemaps
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.training import edgemap_classifier
from sketchdata.training.edgemap_classifier import PackedEdgeMaps, free_bytes, place_for, read_edge_maps
from sketchdata.training.packed import Augmentation
from tests.edge_map_builds import build, samples
from tests.edge_map_sets import CLASSES, make_edge_maps

COUNTS = {"apple": 8, "ice cream": 7, "star": 6}
WORDS = tuple(COUNTS)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    build(make_edge_maps(folder, COUNTS).edges, folder / "built")
    return folder / "built"


@pytest.fixture(scope="module")
def maps(built: Path) -> EdgeMaps:
    return open_edgemaps(built, size=32)


@pytest.fixture(scope="module")
def packed(maps: EdgeMaps) -> PackedEdgeMaps:
    return read_edge_maps(maps, "train", WORDS)


def test_pixels_labels_and_ids_are_those_of_the_tars_in_their_order(built: Path, packed: PackedEdgeMaps) -> None:
    found = samples(built, "train")
    assert packed.key_ids.numpy().view(np.uint64).tolist() == [int(sample["key"]) for sample in found]
    assert [WORDS[label] for label in packed.labels] == [sample["json"]["category"] for sample in found]
    for image, sample in zip(packed.images.numpy(), found, strict=True):
        stored = cv2.imdecode(np.frombuffer(sample["png"], np.uint8), cv2.IMREAD_GRAYSCALE)
        np.testing.assert_array_equal(image, 255 - cv2.resize(stored, (32, 32), interpolation=cv2.INTER_AREA))


def test_the_ground_is_black_and_the_lines_are_white_whichever_way_they_are_stored(
    maps: EdgeMaps, packed: PackedEdgeMaps
) -> None:
    assert packed.images[:, 0].float().mean() < 30
    edges = {**maps.manifest.config["edges"], "ink": "white"}
    manifest = dataclasses.replace(maps.manifest, config={**maps.manifest.config, "edges": edges})
    other = read_edge_maps(dataclasses.replace(maps, manifest=manifest), "train", WORDS)
    assert torch.equal(other.images, 255 - packed.images)


def test_some_classes_become_the_class_table_in_any_order(maps: EdgeMaps, packed: PackedEdgeMaps) -> None:
    words = ("star", "apple")
    some = read_edge_maps(maps, "train", words)
    again = packed.of_classes(words)
    assert some.classes == again.classes == words
    assert set(some.labels.tolist()) == {0, 1}
    for name in ("images", "labels", "key_ids"):
        assert torch.equal(getattr(some, name), getattr(again, name))
    assert len(some) == int((packed.labels != WORDS.index("ice cream")).sum())


def test_batches_are_made_of_them_as_of_bitmaps(packed: PackedEdgeMaps) -> None:
    rows = torch.tensor([3, 0])
    assert torch.equal(packed.raster(rows, 32), packed.images[rows][:, None])
    assert packed.raster(rows, 16).shape == (2, 1, 16, 16)
    mirror = Augmentation(rotate=0, stretch=0, shift=0, mirror=1)
    mirrored = packed.raster(rows, 32, 1, mirror, torch.Generator().manual_seed(0))
    assert torch.equal(mirrored, packed.images[rows][:, None].flip(3))


def test_moving_them_keeps_everything(packed: PackedEdgeMaps) -> None:
    moved = packed.to("cpu")
    assert isinstance(moved, PackedEdgeMaps)
    assert torch.equal(moved.key_ids, packed.key_ids)
    assert moved.nbytes == len(packed) * (32 * 32 + 2 + 8)


def test_an_empty_choice_and_an_unknown_split_are_refused(maps: EdgeMaps) -> None:
    empty = next(word for word in CLASSES if word not in WORDS)
    with pytest.raises(ConfigError, match="has no edge map in train of the 1 classes"):
        read_edge_maps(maps, "train", [empty])
    with pytest.raises(ConfigError, match="there is no split 'gallery'"):
        read_edge_maps(maps, "gallery", WORDS)


def test_a_tar_that_was_cut_off_is_named(built: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(built, tmp_path / "own"))
    tar = sorted((own / "shards").glob("train-*.tar"))[0]
    tar.write_bytes(tar.read_bytes()[:2000])
    with pytest.raises(SketchDataError, match=r"train-000000\.tar: \d+\.png is cut off"):
        read_edge_maps(open_edgemaps(own, size=16), "train", WORDS)


def test_what_fits_lies_on_the_device_and_what_does_not_is_told_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert place_for(1, 16, CPU) == CPU
    monkeypatch.setattr(edgemap_classifier, "free_bytes", lambda: 8_000_000_000)
    with pytest.raises(ConfigError, match=r"290,281 .* 224 × 224 pixels need 14\.6 GB of memory, and 8\.0 GB are free"):
        place_for(290_281, 224, CPU)
    assert place_for(290_281, 112, CPU) == CPU


def test_a_gpu_keeps_half_of_its_memory_for_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (2000, 4000))
    assert [place_for(count, 10, gpu) for count in (10, 11)] == [gpu, CPU]
    monkeypatch.setattr(edgemap_classifier, "free_bytes", lambda: 1000)
    with pytest.raises(ConfigError, match="11 edge maps of 10 × 10 pixels"):
        place_for(11, 10, gpu)


def test_a_system_that_does_not_tell_its_memory_is_trusted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(edgemap_classifier, "_MEMORY", tmp_path / "meminfo")
    assert free_bytes() is None
    assert place_for(10**9, 1000, CPU) == CPU
    (tmp_path / "meminfo").write_text("MemTotal:  8 kB\nMemAvailable:       4 kB\n")
    assert free_bytes() == 4096
