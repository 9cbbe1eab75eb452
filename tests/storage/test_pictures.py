"""Shards of pictures: the same bytes for the same rows, what `datasets` sees in them, and what is refused."""

from __future__ import annotations

import datetime
import io
from pathlib import Path
from typing import Any

import cv2
import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sketchdata.errors import SketchDataError
from sketchdata.storage import pictures
from sketchdata.storage.manifest import hash_file

CLASSES = ("star", "cat", "bat")
SHA256 = "ab" * 32


def png(grey: int) -> bytes:
    encoded, content = cv2.imencode(".png", np.full((8, 12), grey, np.uint8))
    assert encoded
    return content.tobytes()


def columns(rows: int) -> dict[str, Any]:
    return {
        "key_id": np.arange(rows, dtype=np.uint64) + (1 << 63),
        "label": np.arange(rows) % 3,
        "image": [png(each % 256) for each in range(rows)],
        "width": np.full(rows, 12),
        "height": np.full(rows, 8),
        "photo": [f"https://photos.example/{each}.jpg" for each in range(rows)],
        "photo_sha256": [SHA256] * rows,
        "phash": np.full(rows, 2**64 - 1, np.uint64),
        "category": ["n02139199"] * rows,
        "source": ["imagenet"] * rows,
        **{
            edge: [each if row % 2 else None for row in range(rows)]
            for each, edge in enumerate(("x0", "y0", "x1", "y1"))
        },
        **{text: [None] * rows for text in ("page", "author", "licence", "title")},
        "fetched": [datetime.date(2024, 5, 6)] * rows,
    }


def test_the_same_pictures_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "other"):
        pictures.write_shard(tmp_path / name, pictures.to_table(columns(200), CLASSES), {"name": "bats"})
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    table = pictures.to_table(columns(150), CLASSES)
    pictures.write_shard(tmp_path / "a.parquet", table, {})
    groups = list(pictures.read_shard(tmp_path / "a.parquet", hash_file(tmp_path / "a.parquet", "sha256")))
    assert [group.num_rows for group in groups] == [64, 64, 22]
    again = pa.concat_tables(groups).replace_schema_metadata(None)
    assert again.to_pylist() == table.to_pylist()
    assert pictures.image_bytes(again)[:2] == [png(0), png(1)]
    assert pictures.boxes(again)[:2] == [None, (0, 1, 2, 3)]


def test_datasets_sees_images(tmp_path: Path) -> None:
    pictures.write_shard(tmp_path / "a.parquet", pictures.to_table(columns(3), CLASSES), {})
    rows = datasets.load_dataset(
        "parquet", data_files=str(tmp_path / "a.parquet"), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert rows[2]["word"] == "bat"
    assert np.asarray(rows[2]["image"]).tolist() == np.full((8, 12), 2).tolist()


def test_pictures_are_not_compressed_twice(tmp_path: Path) -> None:
    pictures.write_shard(tmp_path / "a.parquet", pictures.to_table(columns(3), CLASSES), {})
    group = pq.read_metadata(tmp_path / "a.parquet").row_group(0)
    found = {group.column(each).path_in_schema: group.column(each).compression for each in range(group.num_columns)}
    assert found["image.bytes"] == "UNCOMPRESSED"
    assert found["photo"] == "ZSTD"


def test_an_id_tells_apart_photos_boxes_and_classes() -> None:
    ids = {
        pictures.picture_id(SHA256, None, "bat"),
        pictures.picture_id("cd" * 32, None, "bat"),
        pictures.picture_id(SHA256, (0, 1, 2, 3), "bat"),
        pictures.picture_id(SHA256, (0, 1, 2, 30), "bat"),
        pictures.picture_id(SHA256, None, "cat"),
    }
    assert len(ids) == 5
    # Published key_ids must never change.
    assert pictures.picture_id(SHA256, None, "bat") == 0xD5B2895082FC0682


@pytest.mark.parametrize(("rows", "shards"), [(0, 0), (1, 1), (512, 1), (513, 2), (2000, 4)])
def test_shards_share_the_rows_out_evenly(rows: int, shards: int) -> None:
    spans = pictures.shard_spans(rows)
    assert len(spans) == shards
    assert [row for start, stop in spans for row in range(start, stop)] == list(range(rows))
    assert all(stop - start <= pictures.SHARD_ROWS for start, stop in spans)


def test_damage_and_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    with pytest.raises(SketchDataError, match="missing"):
        list(pictures.read_shard(path))
    pictures.write_shard(path, pictures.to_table(columns(3), CLASSES), {})
    with pytest.raises(SketchDataError, match="damaged"):
        list(pictures.read_shard(path, "00" * 32))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(SketchDataError, match="cannot be read"):
        list(pictures.read_shard(path))
    buffer = io.BytesIO()
    pq.write_table(pa.table({"key_id": [1]}), buffer)
    path.write_bytes(buffer.getvalue())
    with pytest.raises(SketchDataError, match="no column"):
        list(pictures.read_shard(path))


def test_values_of_another_type_are_refused() -> None:
    with pytest.raises(SketchDataError, match="not the columns"):
        pictures.to_table({**columns(2), "width": ["wide", "wider"]}, CLASSES)
    with pytest.raises(SketchDataError, match="photo"):
        pictures.to_table({name: values for name, values in columns(2).items() if name != "photo"}, CLASSES)


def test_rows_stand_by_class_and_then_by_key_id() -> None:
    order = pictures.row_numbers(np.array([1, 0, 1, 0]), np.array([5, 9, 2, 3], np.uint64))
    assert order.tolist() == [3, 1, 2, 0]
    assert pictures.repeated([3, 1, 3, 2, 1]) == [1, 3]
