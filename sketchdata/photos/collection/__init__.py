"""Photos and what they show: the folder that `sketchdata edgemaps collect` makes and that crops are cut from.

photos/ab/abcd….jpg   each photo under the sha256 of its bytes
photos.parquet        a row a photo asked for: where it comes from, whose it is, what became of it
boxes.parquet         a row an annotation: which class, where in the photo
rejects.jsonl         a line an annotation that could not be read
sources.csv           a row a source: how much it named, and what became of that
README.md, manifest.json
"""

from __future__ import annotations

from sketchdata.photos.collection.tables import (
    BOXES_FILE,
    NAME,
    PHOTOS_FILE,
    PHOTOS_FOLDER,
    BoxRecord,
    Collection,
    PhotoRecord,
    boxes_table,
    photos_table,
    read_collection,
    write_table,
)

__all__ = [
    "BOXES_FILE",
    "NAME",
    "PHOTOS_FILE",
    "PHOTOS_FOLDER",
    "BoxRecord",
    "Collection",
    "PhotoRecord",
    "boxes_table",
    "photos_table",
    "read_collection",
    "write_table",
]
