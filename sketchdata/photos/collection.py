"""A collection of photos: the folder that `sketchdata edgemaps collect` writes, and the input of crops.

photos/ab/abcd….jpg   each photo, named by the sha256 of its bytes, so that equal photos are stored once
photos.parquet        one row per requested photo: source, author, licence, status
boxes.parquet         one row per annotation: class, and position in the photo
rejects.jsonl         one line per annotation that could not be read
sources.csv           one row per source: its numbers of annotations, and the statuses of its photos
README.md, manifest.json
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sketchdata.errors import SketchDataError
from sketchdata.photos.image import PhotoLimits, decode, perceptual_hash, sniff
from sketchdata.storage.manifest import Manifest, check_listed, read_manifest, replacing

#: A collection's name in its manifest.
NAME = "edgemap-photos"
PHOTOS_FOLDER = "photos"
PHOTOS_FILE, BOXES_FILE = "photos.parquet", "boxes.parquet"
REJECTS_FILE, SOURCES_FILE = "rejects.jsonl", "sources.csv"
#: The work folder; it is kept while failed photos can be requested again.
WORK_FOLDER = ".collect"

#: Kinds of source by precedence: a photo of several sources belongs to the first.
SOURCES = ("imagenet", "folders", "voc", "coco", "yolo", "open_images", "urls", "openverse", "wikimedia", "flickr")
#: `refused` is final: the owner's opt-out, or a limit. `failed` may succeed later.
OK, FAILED, REFUSED = STATUSES = ("ok", "failed", "refused")

PHOTOS_SCHEMA = pa.schema(
    [
        # Its URL; for local sources, the source's name and the photo's path in it.
        pa.field("photo", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("page", pa.string()),
        pa.field("author", pa.string()),
        pa.field("licence", pa.string()),
        pa.field("title", pa.string()),
        pa.field("status", pa.string(), nullable=False),
        # Why the photo is missing, in a few words so that reasons can be counted, and what was found.
        pa.field("error", pa.string()),
        pa.field("detail", pa.string()),
        pa.field("sha256", pa.string()),
        pa.field("phash", pa.uint64()),
        pa.field("bytes", pa.uint64()),
        # In pixels, after applying the EXIF orientation.
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
        # The class in the spelling of the source.
        pa.field("category", pa.string(), nullable=False),
        # In pixels of the upright photo, right and bottom exclusive; null for whole photos. Boxes of lists that were
        # written # without the photo's size may extend beyond the photo.
        pa.field("x0", pa.int32()),
        pa.field("y0", pa.int32()),
        pa.field("x1", pa.int32()),
        pa.field("y1", pa.int32()),
        # Sorted, see `annotations.record.Annotation`.
        pa.field("flags", pa.list_(pa.string()), nullable=False),
        pa.field("where", pa.string(), nullable=False),
    ]
)

#: Columns of a photo that are known only after it was fetched or read.
OUTCOME_COLUMNS = tuple(PHOTOS_SCHEMA.names[PHOTOS_SCHEMA.get_field_index("status") :])

_PHOTO_ORDER = ("source", "photo")
#: The last two order boxes that are otherwise equal, so that the order of rows does not depend on the order of reading.
#: Whole photos come after boxes.
_BOX_ORDER = ("photo", "word", "x0", "y0", "x1", "y1", "category", "where")
_REPEATED = ["source", "author", "licence", "status", "error", "detail", "format", "fetched", "word", "category"]
_ROW_GROUP_ROWS = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Collection:
    """A finished collection.

    Attributes:
        directory: Its folder.
        manifest: Its manifest; `counts` has the boxes of each class.
        photos: One row per requested photo, sorted by source and photo.
        boxes: One row per annotation, sorted by photo, class and box.
    """

    directory: Path
    manifest: Manifest
    photos: pa.Table
    boxes: pa.Table


def photos_table(columns: Mapping[str, Any]) -> pa.Table:
    """Return photos as a sorted table.

    Raises:
        SketchDataError: A column is missing, or a value has the wrong type.
    """
    return _table(columns, PHOTOS_SCHEMA, _PHOTO_ORDER)


def boxes_table(columns: Mapping[str, Any]) -> pa.Table:
    """Return annotations as a sorted table.

    Raises:
        SketchDataError: A column is missing, or a value has the wrong type.
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
    """Write one of the tables, whole or not at all; equal rows give equal bytes."""
    repeated = [name for name in _REPEATED if name in table.column_names]
    with replacing(path) as file:
        pq.write_table(
            # In one chunk each, because the number of chunks affects the bytes.
            table.combine_chunks(),
            file,
            row_group_size=_ROW_GROUP_ROWS,
            compression="zstd",
            use_dictionary=[*repeated, "flags.list.element"],
            write_statistics=["photo", "word"],
        )


def read_collection(directory: Path) -> Collection:
    """Read the tables of a finished collection.

    Raises:
        SketchDataError: The collection does not exist, its manifest is of another kind, or a table is missing or
            damaged.
    """
    manifest = read_manifest(directory)
    if manifest.name != NAME:
        raise SketchDataError(
            f"{directory} holds {manifest.name}, and a collection of photos was expected: give the folder that "
            "`sketchdata edgemaps collect` made"
        )
    photos, boxes = (
        _read_table(manifest, directory / name, schema)
        for name, schema in ((PHOTOS_FILE, PHOTOS_SCHEMA), (BOXES_FILE, BOXES_SCHEMA))
    )
    return Collection(directory=directory, manifest=manifest, photos=photos, boxes=boxes)


def _read_table(manifest: Manifest, path: Path, schema: pa.Schema) -> pa.Table:
    entry = next((entry for entry in manifest.files if entry.path == path.name), None)
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


# The files of the photos.

_SUFFIXES = {
    "JPEG": ".jpg",
    "PNG": ".png",
    "WEBP": ".webp",
    "BMP": ".bmp",
    "GIF": ".gif",
    "AVIF": ".avif",
    "TIFF": ".tif",
}
#: {reason of `image.decode`: (status, error) in a collection}.
DECODING_FAULTS = {
    "too many bytes": (REFUSED, "too many bytes"),
    "too many pixels": (REFUSED, "too many pixels"),
    "not a picture": (REFUSED, "not a photo"),
    "truncated picture": (FAILED, "truncated photo"),
    "damaged picture": (FAILED, "damaged photo"),
}


@dataclass(frozen=True, kw_only=True)
class StoredPhoto:
    """A photo on disk; the fields are columns of photos.parquet."""

    sha256: str
    phash: int
    bytes: int
    width: int
    height: int
    format: str
    path: str


def examine_photo(body: bytes, limits: PhotoLimits) -> StoredPhoto:
    """Decode a photo's file, and return its columns of photos.parquet.

    Raises:
        FormatError: The photo is rejected; the reason is one of DECODING_FAULTS.
    """
    photo = decode(body, limits)
    kind = sniff(body) or ""
    sha256 = hashlib.sha256(body).hexdigest()
    height, width = photo.shape[:2]
    return StoredPhoto(
        sha256=sha256,
        phash=perceptual_hash(photo),
        bytes=len(body),
        width=width,
        height=height,
        format=kind,
        path=f"{PHOTOS_FOLDER}/{sha256[:2]}/{sha256}{_SUFFIXES[kind]}",
    )


def store_photo(body: bytes, folder: Path, limits: PhotoLimits) -> StoredPhoto:
    """Store a photo's file in a collection, once for all photos with the same bytes.

    Raises:
        FormatError: The photo is rejected; the reason is one of DECODING_FAULTS.
    """
    stored = examine_photo(body, limits)
    path = folder / stored.path
    # After a power failure, a file may exist without its content.
    if not path.exists() or path.stat().st_size != len(body):
        with replacing(path) as file:
            file.write(body)
    return stored


def remove_others(folder: Path, paths: set[str]) -> None:
    """Delete the photos that are not in `paths` (relative to the collection), which unfinished runs left."""
    for path in sorted((folder / PHOTOS_FOLDER).glob("*/*")):
        if path.relative_to(folder).as_posix() not in paths:
            path.unlink()
    for place in sorted((folder / PHOTOS_FOLDER).glob("*")):
        if not any(place.iterdir()):
            place.rmdir()
