"""The two tables of a collection of photos, and reading them back."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sketchdata.errors import SketchDataError
from sketchdata.storage.manifest import FileEntry, Manifest, check_listed, read_manifest, replacing

#: A collection's name in its manifest.
NAME = "edgemap-photos"
PHOTOS_FOLDER = "photos"
PHOTOS_FILE, BOXES_FILE = "photos.parquet", "boxes.parquet"
REJECTS_FILE, SOURCES_FILE = "rejects.jsonl", "sources.csv"
#: What is not finished; it stays after the end while failed photos may be asked for again.
WORK_FOLDER = ".collect"

#: Kinds of source, in the order in which a photo that several of them name is given to the first.
SOURCES = ("imagenet", "folders", "voc", "coco", "yolo", "open_images", "urls", "openverse", "wikimedia", "flickr")
#: `refused` is for good: against somebody's wish, or over a limit. `failed` may go well another time.
OK, FAILED, REFUSED = STATUSES = ("ok", "failed", "refused")

PHOTOS_SCHEMA = pa.schema(
    [
        pa.field("photo", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("page", pa.string()),
        pa.field("author", pa.string()),
        pa.field("licence", pa.string()),
        pa.field("title", pa.string()),
        pa.field("status", pa.string(), nullable=False),
        pa.field("error", pa.string()),
        pa.field("detail", pa.string()),
        pa.field("sha256", pa.string()),
        pa.field("phash", pa.uint64()),
        pa.field("bytes", pa.uint64()),
        pa.field("width", pa.uint32()),
        pa.field("height", pa.uint32()),
        pa.field("format", pa.string()),
        pa.field("path", pa.string()),
        pa.field("fetched", pa.date32()),
    ]
)
BOXES_SCHEMA = pa.schema(
    [
        pa.field("photo", pa.string(), nullable=False),
        pa.field("word", pa.string(), nullable=False),
        pa.field("category", pa.string(), nullable=False),
        pa.field("x0", pa.int32()),
        pa.field("y0", pa.int32()),
        pa.field("x1", pa.int32()),
        pa.field("y1", pa.int32()),
        pa.field("flags", pa.list_(pa.string()), nullable=False),
        pa.field("where", pa.string(), nullable=False),
    ]
)

#: What is known of a photo only once it was fetched or read.
OUTCOME_COLUMNS = tuple(PHOTOS_SCHEMA.names[PHOTOS_SCHEMA.get_field_index("status") :])

_PHOTO_ORDER = ("source", "photo")
#: The last two are for boxes that are equal otherwise, so that every order of reading gives one order of rows. Whole
#: photos come behind boxes.
_BOX_ORDER = ("photo", "word", "x0", "y0", "x1", "y1", "category", "where")
_REPEATED = ["source", "author", "licence", "status", "error", "detail", "format", "fetched", "word", "category"]
_ROW_GROUP_ROWS = 1 << 16


@dataclass(frozen=True, kw_only=True)
class PhotoRecord:
    """One row of photos.parquet.

    Attributes:
        photo: Its address; for local sources the source's name and the photo's path in it.
        source: One of SOURCES.
        page: The web page that it is shown on.
        author: Who made it.
        licence: Its name or address.
        title: What its author calls it.
        status: One of STATUSES.
        error: Why it is not there, in a few words fit for a table of counts.
        detail: What was found.
        sha256: Of the file, in hexadecimal.
        phash: Its perceptual hash (`photos.perceptual_hash`).
        bytes: The file's size.
        width: In pixels, upright as EXIF tells.
        height: In pixels, upright.
        format: JPEG, PNG, WEBP, BMP or GIF.
        path: Of the file within the collection.
        fetched: The UTC day.
    """

    photo: str
    source: str
    page: str | None
    author: str | None
    licence: str | None
    title: str | None
    status: str
    error: str | None
    detail: str | None
    sha256: str | None
    phash: int | None
    bytes: int | None
    width: int | None
    height: int | None
    format: str | None
    path: str | None
    fetched: datetime.date | None


@dataclass(frozen=True, kw_only=True)
class BoxRecord:
    """One row of boxes.parquet.

    Attributes:
        photo: As in photos.parquet.
        word: The class.
        category: The class under the source's own name.
        x0: Left in pixels of the upright photo; None, as all four, where only the whole photo is named.
        y0: Top.
        x1: Right, exclusive. Beyond the photo in lists that were written without knowing its size.
        y1: Bottom, exclusive.
        flags: Such as `group` and `depiction`, sorted (`annotations.record.Annotation`).
        where: Where this stands in its source.
    """

    photo: str
    word: str
    category: str
    x0: int | None
    y0: int | None
    x1: int | None
    y1: int | None
    flags: tuple[str, ...]
    where: str


@dataclass(frozen=True, kw_only=True)
class Collection:
    """A finished collection.

    Attributes:
        directory: Its folder.
        manifest: Its manifest; `counts` has the boxes of each class.
        photos: A row a photo asked for, by source and photo.
        boxes: A row an annotation, by photo, class and box.
    """

    directory: Path
    manifest: Manifest
    photos: pa.Table
    boxes: pa.Table

    def labelled(self) -> Iterator[tuple[PhotoRecord, tuple[BoxRecord, ...]]]:
        """Yield each photo that is there with its annotations, in the order of `photos`."""
        there = self.photos.filter(pc.equal(self.photos.column("status"), OK))
        names = self.boxes.column("photo").to_numpy()
        # Rows are in the order of UTF-8, which is that of Python's strings too.
        wanted = there.column("photo").to_numpy()
        starts, stops = (np.searchsorted(names, wanted, side=side) for side in ("left", "right"))
        for row, start, stop in zip(_rows(there), starts.tolist(), stops.tolist(), strict=True):
            boxes = self.boxes.slice(start, stop - start).to_pylist()
            yield PhotoRecord(**row), tuple(BoxRecord(**{**box, "flags": tuple(box["flags"])}) for box in boxes)

    def file(self, path: str) -> Path:
        """Return the file of a photo by its `path`."""
        return self.directory / path


def _rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    for batch in table.to_batches(max_chunksize=4096):
        yield from batch.to_pylist()


def photos_table(columns: Mapping[str, Any]) -> pa.Table:
    """Return photos as a table in its order.

    Raises:
        SketchDataError: A column is absent, or a value is not of its type.
    """
    return _table(columns, PHOTOS_SCHEMA, _PHOTO_ORDER)


def boxes_table(columns: Mapping[str, Any]) -> pa.Table:
    """Return annotations as a table in its order.

    Raises:
        SketchDataError: A column is absent, or a value is not of its type.
    """
    return _table(columns, BOXES_SCHEMA, _BOX_ORDER)


def _table(columns: Mapping[str, Any], schema: pa.Schema, order: tuple[str, ...]) -> pa.Table:
    try:
        table = pa.Table.from_arrays([pa.array(columns[field.name], field.type) for field in schema], schema=schema)
    except (KeyError, TypeError, UnicodeError, OverflowError, pa.ArrowException) as error:
        raise SketchDataError(f"these are not the columns of a collection of photos: {error}") from error
    keys = [(name, "ascending") for name in order]
    return table.take(pc.sort_indices(table, sort_keys=keys))


def write_table(path: Path, table: pa.Table) -> None:
    """Write one of the tables, whole or not at all; the same rows give the same bytes."""
    repeated = [name for name in _REPEATED if name in table.column_names]
    with replacing(path) as file:
        pq.write_table(
            # In one piece each, since the pieces' number would show in the file.
            table.combine_chunks(),
            file,
            row_group_size=_ROW_GROUP_ROWS,
            compression="zstd",
            use_dictionary=[*repeated, "flags.list.element"],
            write_statistics=["photo", "word"],
        )


def read_collection(directory: Path) -> Collection:
    """Read a finished collection; the photos themselves are not looked at.

    Raises:
        SketchDataError: There is none, its manifest is another data set's, or a table is missing or damaged.
    """
    manifest = read_manifest(directory)
    if manifest.name != NAME:
        raise SketchDataError(
            f"{directory} holds {manifest.name}, and a collection of photos was expected: give the folder that "
            "`sketchdata edgemaps collect` made"
        )
    entries = {entry.path: entry for entry in manifest.files}
    photos = _read_table(directory, entries.get(PHOTOS_FILE), PHOTOS_FILE, PHOTOS_SCHEMA)
    boxes = _read_table(directory, entries.get(BOXES_FILE), BOXES_FILE, BOXES_SCHEMA)
    return Collection(directory=directory, manifest=manifest, photos=photos, boxes=boxes)


def _read_table(directory: Path, entry: FileEntry | None, name: str, schema: pa.Schema) -> pa.Table:
    path = directory / name
    if entry is None:
        raise SketchDataError(f"{path} is missing, and the manifest does not list it: collect the photos again")
    check_listed(path, entry.sha256, "collect the photos again")
    try:
        table = pq.read_table(path, partitioning=None)
    except (pa.ArrowException, OSError) as error:
        raise SketchDataError(f"{path} cannot be read as Parquet: {error}") from error
    if table.schema.remove_metadata() != schema:
        raise SketchDataError(f"{path} has other columns than a collection of this version: collect the photos again")
    return table
