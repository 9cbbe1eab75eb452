"""The crops of some photos, on disk until it is known which of them stay: an Arrow file and a list of rejects."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from sketchdata.crops.photo import Crop, Reject, content_hash
from sketchdata.errors import SketchDataError
from sketchdata.manifest import replacing
from sketchdata.near_duplicates import THUMBNAIL_BYTES
from sketchdata.shards import pictures

#: What a shard does not have: it serves to find duplicates.
MEASURES = {"area": pa.uint32(), "content": pa.uint64(), "thumbnail": pa.binary(THUMBNAIL_BYTES)}
#: Leading digits of a photo's sha256 that say which chunk it belongs to: 256 chunks, so that one of a full-sized data
#: set has some 1,200 photos. It depends on no other photo.
PREFIX_DIGITS = 2

_ROWS_AT_ONCE = 64
_EDGES = ("x0", "y0", "x1", "y1")
#: Columns of a photo that its crops keep under the same name.
_OF_PHOTO = ("photo", "source", "page", "author", "licence", "title", "fetched")


def annotations_of(photos: pa.Table, boxes: pa.Table) -> pa.Table:
    """Return the annotations with the columns of their photos and `prefix`, of their sha256.

    Photos that were not collected leave the columns null, but for those that say why.
    """
    rows = pc.index_in(boxes["photo"], value_set=photos["photo"].combine_chunks())
    joined = boxes
    for name in photos.column_names:
        if name not in boxes.column_names:
            joined = joined.append_column(name, photos[name].take(rows))
    # A photo that failed may have the hash of what was refused.
    sha256 = pc.if_else(pc.equal(joined["status"], "ok"), joined["sha256"], pa.scalar(None, pa.string()))
    return joined.append_column("prefix", pc.utf8_slice_codeunits(sha256, 0, PREFIX_DIGITS))


def schema() -> pa.Schema:
    """Return the columns of a chunk."""
    return pa.schema([*pictures.schema(), *(pa.field(name, kind, nullable=False) for name, kind in MEASURES.items())])


class ChunkWriter:
    """Writes crops as they come, so that no more than a few are in memory."""

    def __init__(self, file: Any, classes: Sequence[str]) -> None:
        self._writer = pa.ipc.new_file(file, schema())
        self._classes = list(classes)
        self._labels = {word: label for label, word in enumerate(classes)}
        self._waiting: list[Crop] = []
        self.rows = 0

    def add(self, crop: Crop) -> None:
        """Add a crop.

        Raises:
            SketchDataError: Its class is not in the class table.
        """
        if crop.annotation["word"] not in self._labels:
            raise SketchDataError(f"{crop.annotation['word']!r} is no class of the photos' class table: collect again")
        self._waiting.append(crop)
        if len(self._waiting) == _ROWS_AT_ONCE:
            self._write()

    def close(self) -> None:
        """Write what is waiting, and the file's end."""
        if self._waiting:
            self._write()
        self._writer.close()

    def _write(self) -> None:
        table = pictures.to_table(self._columns(self._waiting), self._classes)
        measures: dict[str, list[Any]] = {
            "area": [crop.area for crop in self._waiting],
            "content": [content_hash(crop.image) for crop in self._waiting],
            "thumbnail": [crop.thumbnail for crop in self._waiting],
        }
        for name, values in measures.items():
            table = table.append_column(schema().field(name), pa.array(values, MEASURES[name]))
        self._writer.write_table(table)
        self.rows += len(self._waiting)
        self._waiting = []

    def _columns(self, crops: Sequence[Crop]) -> dict[str, list[Any]]:
        columns: dict[str, list[Any]] = {
            "key_id": [crop.key_id for crop in crops],
            "label": [self._labels[crop.annotation["word"]] for crop in crops],
            "image": [crop.image for crop in crops],
            "width": [crop.width for crop in crops],
            "height": [crop.height for crop in crops],
            "phash": [crop.phash for crop in crops],
            "photo_sha256": [crop.annotation["sha256"] for crop in crops],
            "category": [crop.annotation["category"] for crop in crops],
        }
        for place, name in enumerate(_EDGES):
            columns[name] = [None if crop.box is None else crop.box[place] for crop in crops]
        return {**columns, **{name: [crop.annotation[name] for crop in crops] for name in _OF_PHOTO}}


def write_rejects(path: Path, rejects: Iterable[Reject]) -> Path:
    """Write rejects, one a line, whole or not at all; return the path."""
    with replacing(path) as file:
        file.writelines(orjson.dumps(reject.line(), option=orjson.OPT_APPEND_NEWLINE) for reject in rejects)
    return path


def read_chunk(path: Path, columns: Sequence[str]) -> pa.Table:
    """Map some columns of a chunk into memory; nothing is read before it is used."""
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all().select(list(columns))
