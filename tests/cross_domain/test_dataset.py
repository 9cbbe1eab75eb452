"""Reading a data set of two domains."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sketchdata.classes.splits import ClassSplit
from sketchdata.cross_domain.dataset import (
    DOMAINS,
    DrawingPictures,
    PhotoPictures,
    TwoDomains,
    class_split,
    read_group,
    squeeze,
)
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.photos.image import decode
from sketchdata.storage import pictures
from sketchdata.storage.manifest import read_manifest
from sketchdata.training.packed import Augmentation, read_packed
from tests.builds import small_source
from tests.two_domains import GROUP_CLASSES, make_two_domains

SIZE = 32


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("two") / "vectors"
    make_two_domains(out)
    return out


@pytest.fixture(scope="module")
def pixels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("two") / "pixels"
    make_two_domains(out, kind="pixels")
    return out


def ids(read: TwoDomains) -> set[int]:
    return {*read.drawings.key_ids.tolist(), *read.photos.key_ids.tolist()}


class TestReadGroup:
    def test_groups_have_their_own_classes_alone(self, data: Path) -> None:
        for group, words in GROUP_CLASSES.items():
            read = read_group(data, group, size=SIZE)
            assert read.classes == read.drawings.classes == read.photos.classes == tuple(sorted(words))
            assert (len(read.drawings), len(read.photos)) == (8 * len(words), 5 * len(words))
            assert read.drawings.labels.bincount().tolist() == [8] * len(words)
            assert read.photos.labels.bincount().tolist() == [5] * len(words)

    def test_seen_classes_are_read_without_the_files_of_others(self, data: Path, tmp_path: Path) -> None:
        whole = make_two_domains(tmp_path)
        for split in whole.counts:
            if not split.startswith("seen"):
                for shard in whole.shards(split):
                    (tmp_path / shard.path).unlink()
        assert ids(read_group(tmp_path, "seen", size=SIZE)) == ids(read_group(data, "seen", size=SIZE))
        with pytest.raises(SketchDataError, match="unseen"):
            read_group(tmp_path, "unseen", size=SIZE)

    def test_another_split_takes_classes_from_every_group(self, data: Path) -> None:
        words = ("apple", "cat")
        split = ClassSplit(seen=("airplane", "star", "house"), validation=(), unseen=words)
        read = read_group(data, "unseen", size=SIZE, split=split)
        assert read.classes == words
        own = [read_group(data, group, size=SIZE) for group in ("seen", "unseen")]
        expected = set()
        for each, word in zip(own, ("cat", "apple"), strict=True):
            expected |= set(each.drawings.of_classes([word]).key_ids.tolist())
            expected |= set(each.photos.of_classes([word]).key_ids.tolist())
        assert ids(read) == expected

    def test_the_split_of_the_build_can_be_read(self, data: Path) -> None:
        split = class_split(read_manifest(data))
        assert split.learned == tuple(sorted(GROUP_CLASSES["seen"]))
        assert split.validation == GROUP_CLASSES["validation"]

    @pytest.mark.parametrize(
        ("group", "split", "told"),
        [
            ("test", None, "no group 'test'"),
            ("validation", ClassSplit(seen=("cat", "star"), validation=(), unseen=("apple",)), "no validation classes"),
            ("unseen", ClassSplit(seen=("cat", "star"), validation=(), unseen=("zebra",)), "no class 'zebra'"),
        ],
    )
    def test_refuses(self, data: Path, group: str, split: ClassSplit | None, told: str) -> None:
        with pytest.raises(ConfigError, match=told):
            read_group(data, group, size=SIZE, split=split)

    def test_refuses_another_data_set(self, tmp_path: Path) -> None:
        with pytest.raises(SketchDataError, match="not a finished data set"):
            read_group(small_source(tmp_path), "seen", size=SIZE)


class TestPictures:
    def test_drawings_are_black_on_white(self, data: Path) -> None:
        drawings = read_group(data, "seen", size=SIZE).drawings
        assert isinstance(drawings, DrawingPictures)
        found = drawings.pictures(torch.tensor([3, 0, 3]), SIZE)
        ink = read_packed(data, "seen-drawings").raster(torch.tensor([3, 0, 3]), SIZE)
        assert found.shape == (3, 3, SIZE, SIZE)
        assert found.dtype == torch.uint8
        assert torch.equal(found, (255 - ink).expand(-1, 3, -1, -1))
        broad = read_group(data, "seen", size=SIZE, line_width=3).drawings.pictures(torch.tensor([0]), SIZE)
        assert (broad == 0).sum() > (found[1] == 0).sum()

    def test_photos_are_the_stored_ones_squeezed(self, data: Path) -> None:
        photos = read_group(data, "unseen", size=SIZE).photos
        assert isinstance(photos, PhotoPictures)
        assert photos.table is not None
        (shard,) = read_manifest(data).shards("unseen-photos")
        images = [image for table in pictures.read_shard(data / shard.path) for image in pictures.image_bytes(table)]
        for size in (SIZE, 100):
            expected = np.stack([squeeze(decode(images[row]), size) for row in (9, 2)])
            found = photos.pictures(torch.tensor([9, 2]), size)
            assert torch.equal(found, torch.from_numpy(expected).permute(0, 3, 1, 2))
        assert photos.table.column("licence").to_pylist() == ["CC0"] * 10
        assert photos.of_classes(["ice cream"]).table.column("word").to_pylist() == ["ice cream"] * 5  # type: ignore[union-attr]

    def test_drawings_of_pixels_are_those_of_vectors(self, data: Path, pixels: Path) -> None:
        drawn, stored = (read_group(each, "unseen", size=64).drawings for each in (data, pixels))
        rows = torch.arange(len(drawn))
        assert torch.equal(drawn.pictures(rows, 64), stored.pictures(rows, 64))

    def test_augmentation_is_repeatable_and_keeps_the_ground(self, data: Path, pixels: Path) -> None:
        rows = torch.arange(6)
        far = Augmentation(rotate=20, stretch=0.2, shift=0.2, mirror=0.5)
        for place in (data, pixels):
            read = read_group(place, "seen", size=SIZE)
            for each in (read.drawings, read.photos):
                one, same, other = (each.pictures(rows, 64, far, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
                assert torch.equal(one, same)
                assert not torch.equal(one, other)
                assert one.shape == (6, 3, 64, 64)
                with pytest.raises(ConfigError, match="random generator"):
                    each.pictures(rows, 64, far)
        moved = read_group(pixels, "seen", size=SIZE).drawings.pictures(rows, 64, far, torch.Generator().manual_seed(3))
        assert ((moved == 255).float().mean((1, 2, 3)) > 0.6).all()

    def test_a_damaged_photo_is_named(self) -> None:
        made = PhotoPictures.of_encoded([b"no photo"], np.zeros(1, np.int64), np.array([77], np.uint64), ["cat"])
        with pytest.raises(SketchDataError, match=r"picture 77 .*JPEG"):
            made.pictures(torch.tensor([0]), SIZE)


class TestCache:
    def test_same_pictures_written_once(self, pixels: Path, tmp_path: Path) -> None:
        cache = tmp_path / "cache"
        plain = read_group(pixels, "seen", size=SIZE)
        for _ in range(2):
            kept = read_group(pixels, "seen", size=SIZE, cache=cache)
            for domain in DOMAINS:
                one, other = getattr(plain, domain), getattr(kept, domain)
                rows = torch.randperm(len(one), generator=torch.Generator().manual_seed(0))
                assert torch.equal(one.pictures(rows, SIZE), other.pictures(rows, SIZE))
                chosen = other.of_classes(["star"])
                assert torch.equal(
                    chosen.pictures(torch.tensor([1]), SIZE), one.of_classes(["star"]).pictures(torch.tensor([1]), SIZE)
                )
            files = {path: path.stat().st_mtime_ns for path in cache.iterdir()}
            assert len(files) == 2
        read_group(pixels, "seen", size=SIZE, cache=cache)
        assert files == {path: path.stat().st_mtime_ns for path in cache.iterdir()}
        with pytest.raises(ConfigError, match=r"32 pixels, not of 64"):
            kept.photos.pictures(torch.tensor([0]), 64)
        assert kept.photos.pictures(torch.tensor([0, 2]), SIZE // 2).shape == (2, 3, SIZE // 2, SIZE // 2)

    def test_a_cut_off_file_and_another_data_set_are_not_taken(self, pixels: Path, data: Path, tmp_path: Path) -> None:
        photos = read_group(pixels, "seen", size=SIZE, cache=tmp_path).photos
        (path,) = tmp_path.glob("*-seen-photos-32.npy")
        path.write_bytes(path.read_bytes()[:-1])
        again = read_group(pixels, "seen", size=SIZE, cache=tmp_path).photos
        rows = torch.arange(len(photos))
        assert torch.equal(
            again.pictures(rows, SIZE), read_group(pixels, "seen", size=SIZE).photos.pictures(rows, SIZE)
        )
        read_group(data, "seen", size=SIZE, cache=tmp_path)
        assert len(list(tmp_path.glob("*-seen-photos-32.npy"))) == 2

    def test_without_room_pictures_are_decoded_each_time(
        self, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr("sketchdata.cross_domain.dataset._RESERVE", 1 << 60)
        photos = read_group(data, "seen", size=SIZE, cache=tmp_path / "cache").photos
        assert not list((tmp_path / "cache").iterdir())
        assert "has room for" in capsys.readouterr().err
        assert photos.pictures(torch.tensor([0]), SIZE).shape == (1, 3, SIZE, SIZE)

    def test_another_split_maps_several_files(self, data: Path, tmp_path: Path) -> None:
        split = ClassSplit(seen=("airplane", "star", "house"), validation=(), unseen=("apple", "cat"))
        plain, kept = (read_group(data, "unseen", size=SIZE, split=split, cache=each) for each in (None, tmp_path))
        rows = torch.arange(len(plain.photos))
        assert torch.equal(plain.photos.pictures(rows, SIZE), kept.photos.pictures(rows, SIZE))
