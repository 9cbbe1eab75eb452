"""What is written loads in the tools that people use: datasets, DuckDB, polars, webdataset, each one's own reader.

Every loader's rows are brought into one plain form and compared with what sketchdata itself reads.
"""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars
import pytest
import webdataset

from sketchdata.drawings.drawing import Drawing
from sketchdata.drawings.raster import raster
from sketchdata.pipelines.exports import NdjsonConfig, WebDatasetConfig, export_ndjson, export_webdataset
from sketchdata.storage import parquet
from sketchdata.storage.dataset import open_dataset
from sketchdata.storage.manifest import file_entry, read_manifest
from tests.builds import IN_PROCESS, SIZES, small_dataset

# webdataset leaves the files that it has read to the garbage collector instead of closing them.
pytestmark = pytest.mark.filterwarnings(r"ignore:unclosed file <_io\.BufferedReader name='.*\.tar'>:ResourceWarning")

PNG = 32
Row = tuple[int, str, int, str | None, datetime, bool, list[list[list[int]]]]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("loaders")
    small_dataset(folder)
    return folder / "dataset"


@pytest.fixture(scope="module")
def tars(dataset: Path) -> Path:
    """The data set as tars of at most 25 drawings, with pictures."""
    out = dataset.parent / "tars"
    export_webdataset(dataset, WebDatasetConfig(out=out, shard_rows=25, png=PNG), IN_PROCESS)
    return out


def own_rows(dataset: Path, split: str) -> list[Row]:
    """A split's rows as sketchdata reads them."""
    opened = open_dataset(dataset)
    classes = opened.manifest.classes
    return [_row(d, classes.index(d.word)) for batch in opened.batches(split) for d in batch.drawings(classes)]


def _row(drawing: Drawing, label: int) -> Row:
    strokes = [stroke.T.tolist() for stroke in drawing.strokes]
    country, when = drawing.countrycode, drawing.timestamp
    return drawing.key_id, drawing.word, label, country, when, drawing.recognized, strokes


def parquet_row(row: Mapping[str, Any]) -> Row:
    """A row of the Parquet columns, in which a stroke is a list of points {x, y}."""
    strokes = [[[point["x"] for point in stroke], [point["y"] for point in stroke]] for stroke in row["drawing"]]
    return (
        row["key_id"],
        row["word"],
        row["label"],
        row["countrycode"],
        row["timestamp"].astimezone(timezone.utc),
        row["recognized"],
        strokes,
    )


def sample_row(sample: Mapping[str, Any]) -> Row:
    """A sample's JSON, in which a stroke is [[x…], [y…]] and key_id and time are strings as in the official files."""
    form = "%Y-%m-%d %H:%M:%S.%f %Z" if "." in sample["timestamp"] else "%Y-%m-%d %H:%M:%S %Z"
    when = datetime.strptime(sample["timestamp"], form).replace(tzinfo=timezone.utc)
    return (
        int(sample["key_id"]),
        sample["word"],
        sample["label"],
        sample["countrycode"],
        when,
        sample["recognized"],
        sample["drawing"],
    )


def read_tars(urls: str | list[str]) -> list[dict[str, Any]]:
    """Every sample as webdataset decodes it, JSON to plain data and PNG to an RGB array."""
    samples = list(webdataset.WebDataset(urls, shardshuffle=False).decode("rgb8"))
    # Here and now, so that its unclosed files warn in this module and in no other.
    gc.collect()
    return samples


def assert_pictures(found: Iterable[Any], dataset: Path, split: str) -> None:
    """Compare grey or RGB pictures with sketchdata's own raster: black ink on white."""
    batches = list(open_dataset(dataset).batches(split))
    expected = np.concatenate([255 - raster(batch, size=PNG) for batch in batches])
    images = np.stack([np.asarray(image) for image in found])
    np.testing.assert_array_equal(images if images.ndim == 3 else images[..., 0], expected)


@pytest.mark.parametrize("split", SIZES)
def test_datasets_finds_every_split_through_the_card(split: str, dataset: Path, load_dataset: Any) -> None:
    loaded = load_dataset(str(dataset))
    assert list(loaded) == list(SIZES)
    assert [parquet_row(row) for row in loaded[split]] == own_rows(dataset, split)


def test_the_card_declares_the_labels_as_classes(dataset: Path, tars: Path, load_dataset: Any) -> None:
    classes = list(open_dataset(dataset).manifest.classes)
    assert load_dataset(str(dataset))["train"].features["label"].names == classes
    assert load_dataset(str(tars))["train"].features["cls"].names == classes


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_mlcroissant_reads_every_split(dataset: Path, caplog: pytest.LogCaptureFixture) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    described = mlcroissant.Dataset(jsonld=str(dataset / "croissant.json"))
    assert not described.metadata.ctx.issues.errors
    assert "@context" not in caplog.text
    classes = tuple(row["classes/name"] for row in described.records("classes"))
    assert classes == open_dataset(dataset).manifest.classes
    for split in SIZES:
        names = [f"{split}/{name}" for name in ("key_id", "word", "label")]
        rows = [tuple(row[name] for name in names) for row in described.records(split)]
        expected = [(key_id, word.encode(), label) for key_id, word, label, *_ in own_rows(dataset, split)]
        assert rows == expected


@pytest.mark.parametrize("split", SIZES)
def test_duckdb_reads_the_parquet_shards(split: str, dataset: Path) -> None:
    query = f"SELECT * FROM read_parquet('{dataset}/data/{split}-*.parquet')"
    with duckdb.connect() as connection:
        table = connection.sql(query).to_arrow_table()
    assert [parquet_row(row) for row in table.to_pylist()] == own_rows(dataset, split)


@pytest.mark.parametrize("split", SIZES)
def test_polars_reads_the_parquet_shards(split: str, dataset: Path) -> None:
    frame = polars.read_parquet(dataset / "data" / f"{split}-*.parquet")
    assert [parquet_row(row) for row in frame.to_dicts()] == own_rows(dataset, split)


@pytest.mark.slow
@pytest.mark.parametrize("split", SIZES)
def test_webdataset_decodes_the_tars(split: str, dataset: Path, tars: Path) -> None:
    urls = [str(path) for path in sorted(tars.glob(f"{split}-*.tar"))]
    samples = read_tars(urls)
    rows = [sample_row(sample["json"]) for sample in samples]
    assert rows == own_rows(dataset, split)
    assert [sample["__key__"] for sample in samples] == [str(row[0]) for row in rows]
    assert_pictures((sample["png"] for sample in samples), dataset, split)


@pytest.mark.slow
def test_webdataset_reads_the_tars_by_the_address_in_the_card(dataset: Path, tars: Path) -> None:
    card = (tars / "README.md").read_text(encoding="utf-8")
    assert 'WebDataset("train-{000000..000002}.tar"' in card
    samples = read_tars(f"{tars}/train-{{000000..000002}}.tar")
    assert [sample_row(sample["json"]) for sample in samples] == own_rows(dataset, "train")


@pytest.mark.parametrize("split", SIZES)
def test_datasets_reads_the_tars(split: str, dataset: Path, tars: Path, load_dataset: Any) -> None:
    files = {name: str(tars / f"{name}-*.tar") for name in SIZES}
    loaded = load_dataset("webdataset", data_files=files)[split]
    assert [sample_row(row["json"]) for row in loaded] == own_rows(dataset, split)
    assert_pictures((row["png"] for row in loaded), dataset, split)


def test_datasets_finds_the_tars_through_the_card(dataset: Path, tars: Path, load_dataset: Any) -> None:
    loaded = load_dataset(str(tars))
    assert {name: len(rows) for name, rows in loaded.items()} == open_dataset(dataset).manifest.splits


@pytest.fixture(scope="module")
def late_countries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set whose first drawings, more than loaders look at, are of unknown countries."""
    folder = tmp_path_factory.mktemp("countries")
    small_dataset(folder)
    (shard,) = (folder / "dataset" / "data").glob("train-*")
    batch = parquet.read_shard(shard)
    countries = np.where(np.arange(len(batch)) < len(batch) - 5, b"", b"DE")
    batch = dataclasses.replace(batch, countrycode=countries.astype("S2"))
    manifest = read_manifest(folder / "dataset")
    parquet.write_shard(shard, batch, manifest.classes, {})
    files = [file_entry(shard, folder / "dataset", f.records) if shard.name in f.path else f for f in manifest.files]
    dataclasses.replace(manifest, files=tuple(files)).write(folder / "dataset")
    return folder / "dataset"


def test_datasets_loads_tars_and_text_that_begin_without_countries(
    late_countries: Path, load_dataset: Any, tmp_path: Path
) -> None:
    export_webdataset(late_countries, WebDatasetConfig(out=tmp_path / "tars", shard_rows=20, png=PNG), IN_PROCESS)
    export_ndjson(late_countries, NdjsonConfig(out=tmp_path / "text"), IN_PROCESS)
    expected = {str(row[0]): row[3] for row in own_rows(late_countries, "train")}
    assert list(expected.values()).count("DE") == 5
    tars = load_dataset(str(tmp_path / "tars"))["train"]
    assert {row["json"]["key_id"]: row["json"]["countrycode"] for row in tars} == expected
    assert [row["cls"] for row in tars] == [row["json"]["label"] for row in tars]
    text = load_dataset(str(tmp_path / "text"))["train"]
    assert {row["key_id"]: row["countrycode"] for row in text} == expected


def test_datasets_loads_raw_drawings_of_tars_and_text(load_dataset: Any, tmp_path: Path) -> None:
    small_dataset(tmp_path, input_format="raw", keep_raw=True)
    raw = tmp_path / "dataset"
    export_webdataset(raw, WebDatasetConfig(out=tmp_path / "tars", shard_rows=25, png=PNG), IN_PROCESS)
    export_ndjson(raw, NdjsonConfig(out=tmp_path / "text"), IN_PROCESS)
    opened = open_dataset(raw)
    for split in SIZES:
        expected = {
            str(drawing.key_id): [stroke.T.tolist() for stroke in drawing.strokes]
            for batch in opened.batches(split)
            for drawing in batch.drawings(opened.manifest.classes)
        }
        assert all(len(stroke) == 3 for strokes in expected.values() for stroke in strokes)
        tars = load_dataset(str(tmp_path / "tars"))[split]
        assert {row["json"]["key_id"]: row["json"]["drawing"] for row in tars} == expected
        assert [row["cls"] for row in tars] == [row["json"]["label"] for row in tars]
        text = load_dataset(str(tmp_path / "text"))[split]
        assert {row["key_id"]: row["drawing"] for row in text} == expected


def test_datasets_finds_the_text_through_the_card(dataset: Path, load_dataset: Any, tmp_path: Path) -> None:
    export_ndjson(dataset, NdjsonConfig(out=tmp_path / "text"), IN_PROCESS)
    loaded = load_dataset(str(tmp_path / "text"))
    for split in SIZES:
        found = {row["key_id"]: (row["word"], row["drawing"]) for row in loaded[split]}
        assert found == {str(row[0]): (row[1], row[6]) for row in own_rows(dataset, split)}
