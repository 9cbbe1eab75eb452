"""Pictures with classes as Parquet: crops of photos, and their edge maps, with provenance.

    key_id uint64 · word dictionary<string> · label uint16 · image struct<bytes, path> · width, height uint16
    photo, photo_sha256 string · phash uint64 · x0, y0, x1, y1 int32, nullable · category, source string
    page, author, licence, title string, nullable · fetched date32, nullable

`image` is an encoded file, which `datasets` reads as an image. A crop and its edge map have the same key_id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from sketchdata.errors import SketchDataError
from sketchdata.storage.manifest import check_listed, replacing
from sketchdata.storage.parquet import METADATA_KEY, read_row_groups

#: Maximum number of rows in a shard: about 25 MB of crops, seconds of work for a detector.
SHARD_ROWS = 512
#: Rows in a row group: few, since a page reads single pictures.
ROW_GROUP_ROWS = 64
#: The only split of pictures that are not divided yet.
UNDIVIDED = "all"

_NAMES = pa.dictionary(pa.int16(), pa.string())
_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_DICTIONARY_COLUMNS = ["word", "label", "category", "source", "author", "licence", "fetched"]
#: Metadata with which `datasets` recognises the image column. Source: huggingface.co/docs/datasets, "Image".
_HUGGING_FACE = {"info": {"features": {"image": {"_type": "Image"}}}}

#: Left, top, right, bottom in pixels of the upright photo; right and bottom are exclusive.
Box = tuple[int, int, int, int]


def schema() -> pa.Schema:
    """Return the columns of a shard."""
    needed = {
        "key_id": pa.uint64(),
        "word": _NAMES,
        "label": pa.uint16(),
        "width": pa.uint16(),
        "height": pa.uint16(),
        "photo": pa.string(),
        "photo_sha256": pa.string(),
        "phash": pa.uint64(),
        "category": pa.string(),
        "source": pa.string(),
    }
    edges = dict.fromkeys(("x0", "y0", "x1", "y1"), pa.int32())
    texts = dict.fromkeys(("page", "author", "licence", "title"), pa.string())
    optional = {**edges, **texts, "fetched": pa.date32()}
    fields = [pa.field(name, kind, nullable=False) for name, kind in needed.items()]
    # `datasets` requires exactly this type for an image, which is nullable.
    fields.insert(list(needed).index("width"), pa.field("image", _IMAGE))
    return pa.schema([*fields, *(pa.field(name, kind) for name, kind in optional.items())])


def picture_id(photo_sha256: str, box: Box | None, word: str) -> int:
    """Return the key_id of a box of a photo: 64 bits of a hash, so the same for every source of the photo.

    `photo_sha256` is in hexadecimal digits; `box` is None for the whole photo.
    """
    place = "whole" if box is None else ",".join(map(str, box))
    digest = hashlib.sha256(f"{photo_sha256}|{place}|{word}".encode()).digest()
    return int.from_bytes(digest[:8], "big")


def shard_name(split: str, shard: int, shards: int) -> str:
    """Return a shard's path in its data set."""
    return f"data/{split}-{shard:05d}-of-{shards:05d}.parquet"


def shard_spans(rows: int) -> list[tuple[int, int]]:
    """Return (start, stop) of the shards for a number of rows, all of about the same size."""
    shards = -(-rows // SHARD_ROWS)
    return [(rows * shard // shards, rows * (shard + 1) // shards) for shard in range(shards)]


def to_table(columns: Mapping[str, Any], classes: Sequence[str]) -> pa.Table:
    """Return rows as an Arrow table.

    `columns` are all but `word`, as numpy arrays, lists or Arrow arrays; `image` may be a list of bytes.

    Raises:
        SketchDataError: A column is missing, or a value has the wrong type.
    """
    label = np.asarray(columns["label"], np.uint16)
    words = pa.DictionaryArray.from_arrays(pa.array(label.astype(np.int16)), pa.array(list(classes), pa.string()))
    images = columns["image"]
    if not isinstance(images, pa.Array | pa.ChunkedArray):
        contents = pa.array(images, pa.binary())
        images = pa.StructArray.from_arrays([contents, pa.nulls(len(contents), pa.string())], fields=list(_IMAGE))
    found = {**columns, "word": words, "label": label, "image": images}
    arrays = []
    try:
        for field in schema():
            values = found[field.name]
            values = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
            is_array = isinstance(values, pa.Array)
            arrays.append(values.cast(field.type) if is_array else pa.array(values, field.type))
        return pa.Table.from_arrays(arrays, schema=schema())
    except (KeyError, pa.ArrowException) as error:
        raise SketchDataError(f"these are not the columns of pictures: {error}") from error


def write_shard(path: Path, table: pa.Table, facts: Mapping[str, Any]) -> None:
    """Write one Parquet file, whole or not at all; equal pictures give equal bytes.

    `facts`, such as name and layout version, are stored in the file's metadata as JSON.
    """
    metadata = {
        METADATA_KEY: orjson.dumps(dict(facts), option=orjson.OPT_SORT_KEYS),
        b"huggingface": orjson.dumps(_HUGGING_FACE),
    }
    # Encoded pictures are not compressible.
    leaves = ["image.bytes" if name == "image" else name for name in table.column_names]
    compression = {name: "none" if name == "image.bytes" else "zstd" for name in [*leaves, "image.path"]}
    with replacing(path) as file:
        pq.write_table(
            table.replace_schema_metadata(metadata),
            file,
            row_group_size=ROW_GROUP_ROWS,
            compression=compression,
            use_dictionary=_DICTIONARY_COLUMNS,
            write_statistics=["key_id", "label"],
        )


def read_shard(path: Path, sha256: str | None = None, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Yield some columns of a shard, one row group at a time.

    With `sha256`, the file is checked first.

    Raises:
        SketchDataError: The shard is missing or damaged, or has other columns.
    """
    check_listed(path, sha256, "make the data set again")
    expected = set(columns or schema().names)
    for table in read_row_groups(path, columns):
        if missing := sorted(expected - set(table.column_names)):
            raise SketchDataError(f"{path} holds no pictures of sketchdata: it has no column {', '.join(missing)}")
        yield table


def image_bytes(table: pa.Table) -> list[bytes]:
    """Return the encoded pictures of (N,) rows."""
    return [image["bytes"] for image in table.column("image").to_pylist()]


def boxes(table: pa.Table) -> list[Box | None]:
    """Return the annotated boxes of (N,) rows; None for whole photos."""
    edges = zip(*(table.column(name).to_pylist() for name in ("x0", "y0", "x1", "y1")), strict=True)
    return [None if None in edge else edge for edge in edges]


def row_numbers(label: npt.NDArray[np.integer[Any]], key_id: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Return the order of pictures in a data set, by class, then by key_id: (N,), (N,) → (N,) int64."""
    order: npt.NDArray[np.int64] = np.lexsort((key_id, label))
    return order


def repeated(key_ids: Iterable[int]) -> list[int]:
    """Return the key_ids that occur more than once, sorted."""
    ids, counts = np.unique(np.fromiter(key_ids, np.uint64), return_counts=True)
    found: list[int] = ids[counts > 1].tolist()
    return found
