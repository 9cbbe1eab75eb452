"""Open Images' tables of boxes, of class names and of authors.

Source: storage.googleapis.com/openimages/web/download_v7.html.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from sketchdata.annotations.photo_folder import PhotoFolder
from sketchdata.annotations.record import Annotation, Reading, attempt, parse_number, pixel_box
from sketchdata.annotations.table import Row, read_table
from sketchdata.errors import FormatError

_EDGES = ("xmin", "ymin", "xmax", "ymax")
#: As `read_table` gives them, in small letters.
_NEEDED = [("imageid",), ("labelname",), *((edge,) for edge in _EDGES)]
_FLAGS = {
    "isdepiction": "depiction",
    "isgroupof": "group",
    "isinside": "inside",
    "isoccluded": "occluded",
    "istruncated": "truncated",
}


def read_open_images(path: Path, photos: PhotoFolder, names: Mapping[str, str]) -> Iterator[Reading]:
    """Yield the boxes of one table, in its order, in memory that does not grow with it.

    Args:
        path: Such as `train-annotations-bbox.csv`.
        photos: Their folder, with files named after ImageID.
        names: {`/m/0bt9lr`: `Dog`}, as from `read_open_images_names`.

    Raises:
        FormatError: It cannot be read, or is not such a table.
    """
    for line, row in read_table(path, needed=_NEEDED):
        where = f"{path.name}: line {line}"
        yield attempt(where, partial(_read_row, row, photos, names, where))


def _read_row(row: Row, photos: PhotoFolder, names: Mapping[str, str], where: str) -> Annotation:
    label = row.get("labelname", "")
    if label not in names:
        raise FormatError("unknown class", f"{label!r:.60} is not among the {len(names)} names")
    left, top, right, bottom = (parse_number(row.get(edge)) for edge in _EDGES)
    photo = photos.find(row.get("imageid", ""))
    size = photos.size(photo)
    return Annotation(
        photo=photo,
        category=names[label],
        box=pixel_box((left * size.width, top * size.height, right * size.width, bottom * size.height), size),
        where=where,
        # -1 stands for unknown.
        flags=frozenset(flag for column, flag in _FLAGS.items() if row.get(column) == "1"),
    )


class PhotoFacts(NamedTuple):
    """Whose a photo is: the web page that it is shown on, author, licence and title, None where it is not said."""

    page: str | None
    author: str | None
    licence: str | None
    title: str | None


def read_open_images_facts(path: Path, photos: Collection[str]) -> dict[str, PhotoFacts]:
    """Read {ImageID: facts} of some photos from a table such as `train-images-boxable-with-rotation.csv`.

    Raises:
        FormatError: It cannot be read, or is not such a table.
    """
    columns = ("originallandingurl", "author", "license", "title")
    return {
        row["imageid"]: PhotoFacts(*(row.get(column, "").strip() or None for column in columns))
        for _, row in read_table(path, needed=[("imageid",), ("license",)])
        if row.get("imageid") in photos
    }


def read_open_images_names(path: Path) -> dict[str, str]:
    """Read {label: name} from a table such as `class-descriptions-boxable.csv`, which has no header before version 7.

    Raises:
        FormatError: It cannot be read, or is not such a table.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [row for row in csv.reader(file, strict=True) if row and row[0] != "LabelName"]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FormatError("unreadable file", f"{path}: {error}") from error
    if not rows or not all(len(row) == 2 and row[0].startswith("/") and row[1] for row in rows):
        raise FormatError("not class descriptions", f"{path}: lines such as `/m/0bt9lr,Dog` were expected")
    return dict(rows)
