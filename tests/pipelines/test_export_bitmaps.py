"""Bitmaps of a data set: the official layout, the rows of the text export, the same bytes whatever happens."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sketchdata.drawings.raster import raster
from sketchdata.drawings.raster_cairo import load_cairo, official_raster
from sketchdata.engine import EngineOptions
from sketchdata.errors import ConfigError
from sketchdata.formats import ndjson
from sketchdata.pipelines import exports, verify
from sketchdata.storage.manifest import Manifest, read_manifest
from tests.builds import CATEGORIES, IN_PROCESS, SIZES, small_dataset
from tests.exports import command, text, tree

try:
    load_cairo()
    without_cairo = ""
except ConfigError as error:
    without_cairo = str(error)
needs_cairo = pytest.mark.skipif(bool(without_cairo), reason=without_cairo)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set that no test changes."""
    folder = tmp_path_factory.mktemp("built")
    small_dataset(folder)
    return folder / "dataset"


def bitmaps(directory: Path, out: Path, engine: EngineOptions = IN_PROCESS, **options: Any) -> Manifest | None:
    return exports.export_bitmaps(directory, exports.BitmapsConfig(out=out, **options), engine)


def fast(directory: Path, out: Path, engine: EngineOptions = IN_PROCESS, **options: Any) -> Manifest | None:
    return bitmaps(directory, out, engine, raster="fast", **options)


def lines_of(text_export: Path, word: str, *, raw: bool = False) -> Any:
    """Return a category's drawings as the merged text export orders them."""
    path = text_export / "full" / ("raw" if raw else "simplified") / f"{word}.ndjson"
    parsed = ndjson.parse(path.read_bytes().splitlines(), word=word, label=0, raw=raw)
    assert parsed.faults == []
    return parsed.batch


def read(out: Path, word: str) -> np.ndarray:
    return np.load(out / "full" / "numpy_bitmap" / f"{word}.npy")


@needs_cairo
def test_row_i_is_the_official_bitmap_of_line_i_of_the_merged_text(built: Path, tmp_path: Path) -> None:
    bitmaps(built, tmp_path / "bitmaps")
    text(built, tmp_path / "text", merge=True)
    for word in CATEGORIES:
        expected = official_raster(lines_of(tmp_path / "text", word)).reshape(-1, 784)
        assert len(expected) == sum(SIZES.values())
        np.testing.assert_array_equal(read(tmp_path / "bitmaps", word), expected)


def test_the_fast_raster_takes_any_size_width_and_smoothness(built: Path, tmp_path: Path) -> None:
    fast(built, tmp_path / "bitmaps", size=40, line_width=2, antialias=True)
    text(built, tmp_path / "text", merge=True)
    for word in CATEGORIES:
        batch = lines_of(tmp_path / "text", word)
        expected = raster(batch, size=40, line_width=2, antialias=True).reshape(-1, 1600)
        np.testing.assert_array_equal(read(tmp_path / "bitmaps", word), expected)


def test_files_have_the_official_header_and_length(built: Path, tmp_path: Path) -> None:
    fast(built, tmp_path, size=28)
    content = (tmp_path / "full" / "numpy_bitmap" / "The Eiffel Tower.npy").read_bytes()
    rows = sum(SIZES.values())
    # Each of the 345 published sizes is 80 + 784·N.
    assert len(content) == 80 + 784 * rows
    assert f"'shape': ({rows}, 784)".encode() in content[:80]


def test_only_the_chosen_splits_are_drawn(built: Path, tmp_path: Path) -> None:
    manifest = fast(built, tmp_path / "some", splits="val,query")
    fast(built, tmp_path / "all")
    assert manifest is not None
    assert manifest.splits == {"val": 15, "query": 9}
    whole, some = read(tmp_path / "all", "cat"), read(tmp_path / "some", "cat")
    np.testing.assert_array_equal(some, np.concatenate([whole[20:25], whole[31:34]]))


def test_raw_drawings_are_fitted_and_drawn(tmp_path: Path) -> None:
    small_dataset(tmp_path, input_format="raw", keep_raw=True)
    fast(tmp_path / "dataset", tmp_path / "bitmaps")
    text(tmp_path / "dataset", tmp_path / "text", merge=True)
    expected = raster(lines_of(tmp_path / "text", "cat", raw=True), size=28)
    np.testing.assert_array_equal(read(tmp_path / "bitmaps", "cat"), expected.reshape(-1, 784))


def test_the_manifest_lists_every_file_and_verify_agrees(built: Path, tmp_path: Path) -> None:
    manifest = fast(built, tmp_path)
    assert manifest == read_manifest(tmp_path)
    assert manifest is not None
    assert {e.path: e.sha256 for e in manifest.files} == {
        k: v for k, v in tree(tmp_path).items() if k != "manifest.json"
    }
    assert {e.path: e.records for e in manifest.files if e.path.endswith(".npy")} == {
        f"full/numpy_bitmap/{word}.npy": sum(SIZES.values()) for word in CATEGORIES
    }
    assert verify.run(tmp_path).faults == []


@pytest.mark.slow
def test_workers_and_shares_of_a_job_give_the_same_bytes(built: Path, tmp_path: Path) -> None:
    for workers in (0, 2):
        fast(built, tmp_path / str(workers), EngineOptions(workers=workers))
    finished = []
    # Twice round, since there are two stages; the last call finds nothing to do and writes the manifest.
    for share in ("0/2", "1/2", "0/2", "1/2", "0/1"):
        engine = EngineOptions(engine="slurm", workers=0, task_range=share)
        finished.append(fast(built, tmp_path / "shares", engine))
    assert finished[0] is None
    assert finished[-1] is not None
    assert tree(tmp_path / "0") == tree(tmp_path / "2") == tree(tmp_path / "shares")


def test_the_same_export_again_does_nothing_and_another_needs_overwrite(built: Path, tmp_path: Path) -> None:
    fast(built, tmp_path)
    times = {path: (tmp_path / path).stat().st_mtime_ns for path in tree(tmp_path)}
    fast(built, tmp_path)
    assert {path: (tmp_path / path).stat().st_mtime_ns for path in tree(tmp_path)} == times
    with pytest.raises(ConfigError, match="other options"):
        fast(built, tmp_path, size=32)
    fast(built, tmp_path, size=32, overwrite=True)
    assert read(tmp_path, "cat").shape == (34, 1024)


def test_options_of_the_fast_raster_are_refused_for_the_official_one(built: Path, tmp_path: Path) -> None:
    for options in ({"line_width": 2}, {"antialias": True}):
        with pytest.raises(ConfigError, match="--raster fast"):
            bitmaps(built, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_without_cairo_nothing_is_begun_and_the_extra_is_named(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cairocffi", None)
    with pytest.raises(ConfigError, match=r"pip install 'sketchdata\[cairo\]'"):
        bitmaps(built, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command_says_what_it_wrote(built: Path, tmp_path: Path) -> None:
    ended = command("bitmaps", built, "--out", tmp_path / "out", "--raster", "fast", "--workers", 0)
    assert ended.returncode == 0, ended.stderr
    assert "102 drawings (train 60, val 15, gallery 18, query 9)" in ended.stdout
    assert ended.stderr.strip() == ""
