"""The finished set of edge maps as trainers read it: by its own reader, by webdataset and by datasets."""

from __future__ import annotations

import gc
import pickle
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import webdataset

from sketchdata.edges.dataset import EdgeMapBatch, open_edgemaps
from sketchdata.errors import ConfigError, SketchDataError
from tests.edge_map_builds import build, curate, index, key_ids, stored
from tests.edge_map_sets import CLASSES, make_edge_maps

# webdataset leaves the files that it has read to the garbage collector instead of closing them.
pytestmark = pytest.mark.filterwarnings(r"ignore:unclosed file <_io\.BufferedReader name='.*\.tar'>:ResourceWarning")

SPLITS = ("train", "val")


@pytest.fixture(scope="module")
def edges(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = make_edge_maps(tmp_path_factory.mktemp("edge-maps")).edges
    curate(made)
    return made


@pytest.fixture(scope="module")
def built(edges: Path) -> Path:
    """A curated set, so that samples have scores."""
    build(edges, edges.parent / "built", no_curation=False)
    return edges.parent / "built"


@pytest.fixture
def own(built: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(built, tmp_path / "own"))


@pytest.fixture(scope="module")
def pixels(edges: Path) -> dict[int, np.ndarray]:
    """{key_id: (224, 224, 3) as the edge maps' own PNG has it}."""
    return {
        row["key_id"]: cv2.imdecode(np.frombuffer(row["image"], np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
        for row in stored(edges)
    }


def joined(batches: Any) -> EdgeMapBatch:
    parts = list(batches)
    columns = {name: np.concatenate([getattr(b, name) for b in parts]) for name in ("images", "labels", "key_ids")}
    return EdgeMapBatch(**columns)


# ---- its own reader --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("channels", [1, 3])
def test_batches_hold_a_split_in_its_order_pixel_by_pixel(
    split: str, channels: int, built: Path, pixels: dict[int, np.ndarray]
) -> None:
    found = joined(open_edgemaps(built, channels=channels).batches(split, batch_size=7))
    assert found.key_ids.tolist() == key_ids(built, [split])
    assert found.labels.tolist() == [row["label"] for row in index(built, split)]
    assert found.images.shape == (len(found), channels, 224, 224)
    for image, key_id in zip(found.images, found.key_ids.tolist(), strict=True):
        np.testing.assert_array_equal(image, np.moveaxis(pixels[key_id], 2, 0)[:channels])


def test_it_tells_classes_splits_and_ink(built: Path) -> None:
    maps = open_edgemaps(str(built))
    assert maps.classes == CLASSES
    assert maps.splits == {split: len(index(built, split)) for split in SPLITS}
    assert (maps.ink, maps.size, maps.channels) == ("black", 224, 1)


@pytest.mark.parametrize(("batch_size", "sizes"), [(10_000, 1), (1, None), (16, None)])
def test_batches_have_the_size_asked_for_and_the_last_what_is_left(
    batch_size: int, sizes: int | None, built: Path
) -> None:
    count = len(index(built, "train"))
    lengths = [len(batch) for batch in open_edgemaps(built, size=8).batches("train", batch_size=batch_size)]
    assert sum(lengths) == count
    assert len(lengths) == (sizes or -(-count // batch_size))
    assert set(lengths[:-1]) <= {batch_size}


def test_a_seed_shuffles_the_same_way_every_time_and_loses_nothing(built: Path) -> None:
    maps = open_edgemaps(built, size=8)
    one, again, other = (joined(maps.batches("train", seed=seed)).key_ids.tolist() for seed in (1, 1, 2))
    in_order = key_ids(built, ["train"])
    assert one == again
    assert one != other
    assert one != in_order
    assert sorted(one) == sorted(other) == sorted(in_order)


def test_the_number_of_threads_changes_nothing(built: Path) -> None:
    one, four = (joined(open_edgemaps(built, threads=n).batches("train", batch_size=5, seed=3)) for n in (1, 4))
    np.testing.assert_array_equal(one.images, four.images)
    assert one.key_ids.tolist() == four.key_ids.tolist()


def test_classes_can_be_chosen_by_name(built: Path) -> None:
    maps = open_edgemaps(built, size=8)
    labels = maps.labels_of("star, ice cream")
    assert [CLASSES[label] for label in labels] == ["ice cream", "star"]
    found = joined(maps.batches("train", labels=labels, seed=0))
    assert set(found.labels.tolist()) == set(labels)
    assert len(found) == sum(row["label"] in labels for row in index(built, "train"))
    with pytest.raises(ConfigError, match="did you mean star"):
        maps.labels_of("stra")


def test_other_sizes_are_averaged_over_areas(built: Path, pixels: dict[int, np.ndarray]) -> None:
    found = joined(open_edgemaps(built, size=56).batches("val"))
    for image, key_id in zip(found.images, found.key_ids.tolist(), strict=True):
        mean = pixels[key_id][:, :, 0].reshape(56, 4, 56, 4).mean(axis=(1, 3))
        np.testing.assert_allclose(image[0], mean, atol=0.5)


def test_any_maps_can_be_read_by_themselves(built: Path, pixels: dict[int, np.ndarray]) -> None:
    maps = open_edgemaps(built)
    chosen = maps.entries("train").take(np.array([50, 3, 3]))
    found = maps.read(chosen)
    assert found.key_ids.tolist() == [key_ids(built, ["train"])[row] for row in (50, 3, 3)]
    np.testing.assert_array_equal(found.images[1, 0], pixels[int(found.key_ids[1])][:, :, 0])


def test_the_reader_travels_to_other_processes(built: Path) -> None:
    maps = pickle.loads(pickle.dumps(open_edgemaps(built, size=8)))
    assert len(joined(maps.batches("val"))) == maps.splits["val"]


def test_reading_may_stop_early(built: Path) -> None:
    batches = open_edgemaps(built, size=8).batches("train", batch_size=2)
    assert len(next(batches)) == 2
    batches.close()


def test_an_empty_split_has_no_batches(edges: Path, tmp_path: Path) -> None:
    build(edges, tmp_path / "out", val_share="0")
    assert list(open_edgemaps(tmp_path / "out").batches("val")) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [({"size": 0}, "sides of 1 to"), ({"channels": 2}, "1 or 3 channels"), ({"threads": 0}, "at least 1 thread")],
)
def test_options_out_of_their_range_are_refused(options: dict[str, int], message: str, built: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        open_edgemaps(built, **options)


def test_what_is_not_there_is_named(built: Path, edges: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no split 'test'"):
        next(open_edgemaps(built).batches("test"))
    with pytest.raises(ConfigError, match="at least 1 edge map"):
        next(open_edgemaps(built).batches("train", batch_size=0))
    with pytest.raises(SketchDataError, match="a set of edge maps was expected"):
        open_edgemaps(edges)
    with pytest.raises(SketchDataError, match="not a finished data set"):
        open_edgemaps(tmp_path)


@pytest.mark.parametrize("kept", [0, 700, 20_000])
def test_a_tar_that_was_cut_off_is_named(kept: int, own: Path) -> None:
    path = own / "shards" / "train-000000.tar"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(SketchDataError, match=r"train-000000\.tar: \d+\.png is cut off"):
        joined(open_edgemaps(own).batches("train"))


def test_a_png_that_was_overwritten_is_named(own: Path) -> None:
    place = index(own, "train")[0]
    with (own / place["tar"]).open("r+b") as file:
        file.seek(place["offset"])
        file.write(bytes(place["bytes"]))
    with pytest.raises(SketchDataError, match=f"{place['key_id']}.png cannot be decoded"):
        joined(open_edgemaps(own).batches("train"))


def test_a_tar_that_is_missing_is_named(own: Path) -> None:
    (own / "shards" / "val-000000.tar").unlink()
    with pytest.raises(SketchDataError, match=r"val-000000\.tar cannot be read: No such file"):
        joined(open_edgemaps(own).batches("val"))
    (own / "index" / "val.parquet").unlink()
    with pytest.raises(SketchDataError, match=r"val\.parquet is missing"):
        joined(open_edgemaps(own).batches("val"))


# ---- other people's readers ------------------------------------------------------------------------------------------


def tars_of(built: Path, split: str) -> list[str]:
    return [str(path) for path in sorted((built / "shards").glob(f"{split}-*.tar"))]


def scores_of(built: Path, split: str) -> list[float]:
    return [row["messiness"] for row in index(built, split)]


@pytest.mark.slow
@pytest.mark.parametrize("split", SPLITS)
def test_webdataset_decodes_the_tars(split: str, built: Path, pixels: dict[int, np.ndarray]) -> None:
    samples = list(webdataset.WebDataset(tars_of(built, split), shardshuffle=False).decode("rgb8"))
    # Here and now, so that its unclosed files warn in this module and in no other.
    gc.collect()
    assert [int(sample["__key__"]) for sample in samples] == key_ids(built, [split])
    assert [sample["json"]["label"] for sample in samples] == [row["label"] for row in index(built, split)]
    assert [sample["json"]["scores"]["messiness"] for sample in samples] == pytest.approx(
        scores_of(built, split), abs=1e-6
    )
    for sample in samples:
        np.testing.assert_array_equal(sample["png"], pixels[int(sample["__key__"])])


@pytest.mark.slow
def test_webdataset_reads_the_tars_by_the_address_in_the_card(built: Path) -> None:
    card = (built / "README.md").read_text(encoding="utf-8")
    address = card.partition('WebDataset("')[2].partition('"')[0]
    assert address == f"shards/train-{{000000..{len(tars_of(built, 'train')) - 1:06d}}}.tar"
    samples = list(webdataset.WebDataset(f"{built}/{address}", shardshuffle=False).decode("l8"))
    gc.collect()
    assert [int(sample["__key__"]) for sample in samples] == key_ids(built, ["train"])


def test_datasets_reads_the_tars(built: Path, pixels: dict[int, np.ndarray], load_dataset: Any) -> None:
    loaded = load_dataset("webdataset", data_files={split: f"{built}/shards/{split}-*.tar" for split in SPLITS})
    for split in SPLITS:
        rows = index(built, split)
        assert [int(row["json"]["key_id"]) for row in loaded[split]] == [row["key_id"] for row in rows]
        assert [row["json"]["licence"] for row in loaded[split]] == [row["licence"] or "" for row in rows]
        for row in loaded[split]:
            np.testing.assert_array_equal(np.asarray(row["png"]), pixels[int(row["json"]["key_id"])])


def test_datasets_finds_the_splits_through_the_card(built: Path, load_dataset: Any) -> None:
    loaded = load_dataset(str(built))
    assert {split: len(rows) for split, rows in loaded.items()} == open_edgemaps(built).splits
