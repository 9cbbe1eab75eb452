"""Lists name every drawing of the data set once, in its split, and go on after an interruption."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from sketchdata.engine import EngineOptions
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.formats.deephash import FILES, read_list
from sketchdata.pipelines import verify
from sketchdata.pipelines.exports import ExportListsConfig, export_lists
from sketchdata.storage.dataset import open_dataset
from sketchdata.storage.manifest import Manifest, hash_file
from tests.builds import CATEGORIES, IN_PROCESS, SIZES, small_dataset
from tests.exports import flip_a_bit, tree


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lists")
    small_dataset(folder)
    return folder / "dataset"


def export(data: Path, out: Path, engine: EngineOptions = IN_PROCESS, **options: Any) -> Manifest | None:
    return export_lists(data, ExportListsConfig(out=out, **options), engine)


def test_every_drawing_is_in_the_list_of_its_split_with_its_class(data: Path, tmp_path: Path) -> None:
    manifest = export(data, tmp_path / "lists")
    assert manifest is not None
    assert manifest.splits == {split: 3 * SIZES[split] for split in FILES}
    assert sorted(path.name for path in (tmp_path / "lists").iterdir()) == [
        "README.md",
        "database.txt",
        "manifest.json",
        "test.txt",
        "train.txt",
    ]
    dataset = open_dataset(data)
    folders = [word.replace(" ", "_") for word in CATEGORIES]
    for split, name in FILES.items():
        found = read_list((tmp_path / "lists" / name).read_text().splitlines())
        (batch,) = dataset.batches(split)
        assert found.labels.tolist() == batch.label.tolist()
        rows = zip(batch.key_id.tolist(), batch.label.tolist(), strict=True)
        assert found.paths == tuple(f"{folders[label]}/{key_id}.png" for key_id, label in rows)
        assert found.classes == 3
    assert verify.run(tmp_path / "lists").faults == []


@pytest.mark.slow
def test_the_bytes_do_not_depend_on_the_workers(data: Path, tmp_path: Path) -> None:
    export(data, tmp_path / "one")
    export(data, tmp_path / "two", EngineOptions(workers=2))
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_the_same_export_twice_changes_nothing(data: Path, tmp_path: Path) -> None:
    export(data, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    export(data, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_splits_without_drawings_have_no_list(tmp_path: Path) -> None:
    small_dataset(tmp_path, train=0)
    manifest = export(tmp_path / "dataset", tmp_path / "lists")
    assert manifest is not None
    assert list(manifest.splits) == ["gallery", "query"]
    assert not (tmp_path / "lists" / "train.txt").exists()


def test_classes_that_would_share_a_folder_are_refused(tmp_path: Path) -> None:
    # No official classes would; the class table of somebody else's drawings may.
    path = Path(small_dataset(tmp_path, categories="airplane,cat").write(tmp_path / "dataset"))
    path.write_bytes(path.read_bytes().replace(b'"airplane"', b'"hot dog"').replace(b'"cat"', b'"hot_dog"'))
    with pytest.raises(ConfigError, match="'hot dog' and 'hot_dog' would share the folder hot_dog"):
        export(tmp_path / "dataset", tmp_path / "lists")


def test_a_damaged_data_set_and_a_folder_in_it_are_refused(tmp_path: Path) -> None:
    small_dataset(tmp_path)
    data = tmp_path / "dataset"
    with pytest.raises(ConfigError, match="cannot lie in the data set"):
        export(data, data / "lists")
    flip_a_bit(next((data / "data").glob("query-*.parquet")))
    with pytest.raises(SketchDataError, match="is damaged, so nothing was exported"):
        export(data, tmp_path / "lists")


@pytest.mark.slow
def test_the_command_says_what_it_wrote(data: Path, tmp_path: Path) -> None:
    line = [sys.executable, "-m", "sketchdata", "export", "lists", str(data), "--out", str(tmp_path / "lists")]
    done = subprocess.run([*line, "--format", "hashnet", "--json"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    told = orjson.loads(done.stdout)
    assert told["splits"] == {"train": 60, "gallery": 18, "query": 9}
    assert told["folders"] == ["airplane", "cat", "The_Eiffel_Tower"]
    assert hash_file(tmp_path / "lists" / "train.txt", "sha256") in (tmp_path / "lists" / "manifest.json").read_text()
