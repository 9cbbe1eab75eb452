"""Tars of drawings without a manifest: the classes and splits that are found, and the same batches as from Parquet."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
import torch

from sketchdata.drawings.sampling import PROPORTIONS
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.storage.dataset import LooseTars, open_dataset
from sketchdata.storage.manifest import MANIFEST_NAME, read_manifest
from sketchdata.training import packed as module
from sketchdata.training.bitmaps import identity
from sketchdata.training.loader import Order, PackedLoader, View
from sketchdata.training.packed import Augmentation, PackedSketches, read_packed
from tests.builds import CATEGORIES, official_line, small_dataset
from tests.exports import tars

SPLITS = ("train", "val")


@pytest.fixture(scope="module")
def parquet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("loose")
    small_dataset(folder)
    return folder / "dataset"


@pytest.fixture
def loose(parquet: Path, tmp_path: Path) -> Path:
    """The tars of an export, of which somebody copied nothing else."""
    tars(parquet, tmp_path / "tars", shard_rows=25, png=16)
    for path in (tmp_path / "tars").iterdir():
        if path.suffix != ".tar":
            path.unlink()
    return tmp_path / "tars"


def write_tar(path: Path, samples: Iterable[tuple[str, Mapping[str, Any]]], mode: str = "w") -> None:
    """Write samples: (key, {extension: bytes, or what becomes JSON})."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as tar:
        for key, members in samples:
            for extension, value in members.items():
                content = value if isinstance(value, bytes) else orjson.dumps(value)
                info = tarfile.TarInfo(f"{key}.{extension}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))


def record(word: str, number: int, *without: str) -> dict[str, Any]:
    values = orjson.loads(official_line(word, number))
    return {name: value for name, value in values.items() if name not in without}


def assert_same(one: PackedSketches, other: PackedSketches) -> None:
    assert one.classes == other.classes
    for name in ("points", "strokes", "sketches", "starts", "labels", "key_ids"):
        assert torch.equal(getattr(one, name), getattr(other, name)), name


def batches(packed: PackedSketches) -> list[torch.Tensor]:
    view = View(size=32, max_points=32, augment=Augmentation())
    loader = PackedLoader(packed=packed, order=Order(count=len(packed), batch_size=7), view=view)
    return [tensor for epoch in range(2) for batch in loader.batches(epoch) for tensor in vars(batch).values()]


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("in_memory", [0, 32 << 20])
def test_loose_tars_give_the_batches_of_the_parquet(
    split: str, in_memory: int, parquet: Path, loose: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    expected = read_packed(parquet, split)
    # With nothing kept in memory, all columns are mapped files.
    monkeypatch.setattr(module, "IN_MEMORY", in_memory)
    found = read_packed(loose, split, scratch=tmp_path)
    assert_same(found, expected)
    assert all(torch.equal(a, b) for a, b in zip(batches(found), batches(expected), strict=True))
    assert_same(found.of_classes(CATEGORIES[::2]), expected.of_classes(CATEGORIES[::2]))
    # The files have no names.
    assert [path.name for path in tmp_path.iterdir()] == ["tars"]


def test_tars_have_the_identity_of_their_content(loose: Path) -> None:
    classes, before = identity(loose)
    assert classes == CATEGORIES
    assert identity(loose) == (classes, before)
    names = sorted(loose.iterdir())
    names[-1].unlink()
    assert identity(loose)[1] != before


@pytest.mark.parametrize("name", ["given", "beside"])
def test_numbers_in_cls_index_a_class_table(name: str, parquet: Path, tmp_path: Path) -> None:
    folder, table = tmp_path / "tars", tmp_path / ("tars/classes.txt" if name == "beside" else "names.txt")
    for split in SPLITS:
        dataset = open_dataset(parquet)
        samples = [
            (f"sub/{drawing.key_id}", {"cls": str(CATEGORIES.index(drawing.word)).encode(), "json": line})
            for batch in dataset.batches(split)
            for drawing in batch.drawings(dataset.manifest.classes)
            for line in [{"drawing": [stroke.T.tolist() for stroke in drawing.strokes]}]
        ]
        write_tar(folder / split / "0.tar.gz", samples, "w:gz")
    if name == "given":
        with pytest.raises(SketchDataError, match=r"69|75|60 no class \(the first at train/0\.tar\.gz: sub/\d+: '"):
            read_packed(folder, "train")
    table.write_text("\n".join(CATEGORIES) + "\n", encoding="utf-8")
    given = table if name == "given" else None
    for split in SPLITS:
        # The key_id is in the member's name alone, behind a folder.
        found, expected = read_packed(folder, split, given), read_packed(parquet, split)
        assert torch.equal(found.points, expected.points)
        assert torch.equal(found.labels, expected.labels)
    with pytest.raises(ConfigError, match=r"--classes .*has its own classes"):
        identity(parquet, table)


def test_names_stand_in_cls_or_json_and_may_be_spelled_otherwise(tmp_path: Path) -> None:
    samples = [(f"a{n}", {"json": record("cat", n, "word", "key_id"), "cls": b"Cat\n"}) for n in range(20)]
    samples += [(f"b{n}", {"json": record("hot dog", n, "key_id") | {"word": "hot_dog"}}) for n in range(20)]
    for split in SPLITS:
        write_tar(tmp_path / "tars" / f"{split}-0.tar", samples)
    assert identity(tmp_path / "tars")[0] == ("Cat", "hot_dog")
    (tmp_path / "classes.txt").write_text("hot dog\ncat\n")
    found = read_packed(tmp_path / "tars", "train", tmp_path / "classes.txt")
    assert found.classes == ("hot dog", "cat")
    assert found.labels.tolist() == [1] * 20 + [0] * 20
    # Without numbers of their own, drawings are told apart by their names in the tar.
    assert len(found.key_ids.unique()) == 40


def test_tars_of_no_split_are_divided_by_key_id(tmp_path: Path) -> None:
    for part in range(2):
        samples = [(f"{part}x{n}", {"json": record("cat", 500 * part + n)}) for n in range(500)]
        write_tar(tmp_path / f"cats-{part}.tar", samples)
    counts = {split: len(list(_ids(tmp_path, split))) for split in PROPORTIONS}
    assert sum(counts.values()) == 1000
    assert len(set().union(*(_ids(tmp_path, split) for split in PROPORTIONS))) == 1000
    assert 770 < counts["train"] < 850
    dataset = open_dataset(tmp_path)
    assert isinstance(dataset, LooseTars)
    assert dataset.manifest.splits == counts


def _ids(folder: Path, split: str) -> list[int]:
    return [key_id for batch in open_dataset(folder).batches(split) for key_id in batch.key_id.tolist()]


def test_raw_drawings_in_tars_are_simplified(tmp_path: Path) -> None:
    lines = [orjson.loads(official_line("cat", number, raw=True)) for number in range(30)]
    write_tar(tmp_path / "train.tar", [(line["key_id"], {"json": line}) for line in lines])
    packed = read_packed(tmp_path, "train")
    assert len(packed) == 30
    assert int(packed.points.max()) == 255


def test_samples_that_are_no_drawings_are_told_with_the_commonest_reasons(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = [(f"g{n}", {"json": record("cat", n)}) for n in range(400)]
    bad = [("b0", {"json": b"{"}), ("b1", {"json": {"word": "cat"}}), ("b2", {"cls": b"0"})]
    write_tar(tmp_path / "train.tar", [*good, *bad])
    assert len(read_packed(tmp_path, "train")) == 400
    said = " ".join(capsys.readouterr().err.split())
    assert "3 of 403 samples are left out: 2 no drawing (the first at train.tar: b1" in said
    assert "1 broken JSON (train.tar: b0" in said
    write_tar(tmp_path / "train.tar", bad)
    with pytest.raises(SketchDataError, match=r"of the 3 samples in its tars 3 are not drawings .*2 no drawing"):
        read_packed(tmp_path, "train")
    (tmp_path / "train.tar").write_bytes(b"no tar" * 300)
    with pytest.raises(SketchDataError, match=r"train\.tar cannot be read as a tar of drawings"):
        read_packed(tmp_path, "train")


def test_an_export_that_did_not_finish_does_not_pass_for_tars_of_others(loose: Path) -> None:
    (loose / ".export").mkdir()
    with pytest.raises(SketchDataError, match=f"it has no {MANIFEST_NAME}, so its build did not finish"):
        open_dataset(loose)


def test_a_full_disk_is_told(parquet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IN_MEMORY", 0)
    with pytest.raises(SketchDataError, match=r"drawings cannot be packed in .*none: No such file"):
        read_packed(parquet, "train", scratch=tmp_path / "none")
    assert read_manifest(parquet).splits["train"] == len(read_packed(parquet, "train"))
