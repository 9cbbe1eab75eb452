"""COCO's JSON of object instances. Source: cocodataset.org, "Data format"."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from sketchdata.annotations.photo_folder import PhotoFolder
from sketchdata.annotations.record import Annotation, Box, Reading, Size, attempt, parse_number, pixel_box
from sketchdata.errors import FormatError

Entries = Mapping[object, Mapping[str, Any]]


def read_coco(path: Path, photos: PhotoFolder) -> Iterator[Reading]:
    """Yield the boxes of one file, in its order; the whole file is held in memory.

    Raises:
        FormatError: It cannot be read, or is not such JSON.
    """
    document = _load(path)
    images, categories = _by_id(document, "images", path), _by_id(document, "categories", path)
    licences = _by_id(document, "licenses", path) if document.get("licenses") else {}
    read = partial(_read_annotation, photos=photos, images=images, categories=categories, licences=licences)
    for number, entry in enumerate(_entries(document, "annotations", path), 1):
        where = f"{path.name}: annotation {number}"
        yield attempt(where, partial(read, entry, where))


def _load(path: Path) -> dict[str, Any]:
    try:
        document = orjson.loads(path.read_bytes())
    except OSError as error:
        raise FormatError("unreadable file", f"{path}: {error.strerror}") from error
    except orjson.JSONDecodeError as error:
        raise FormatError("broken JSON", f"{path}: {error}") from error
    if not isinstance(document, dict):
        raise FormatError("not COCO", f"{path} holds a {type(document).__name__} where an object was expected")
    return document


def _entries(document: Mapping[str, Any], key: str, path: Path) -> list[Mapping[str, Any]]:
    entries = document.get(key)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise FormatError("not COCO", f"{path} has no list of objects under {key!r}")
    return entries


def _by_id(document: Mapping[str, Any], key: str, path: Path) -> Entries:
    entries = _entries(document, key, path)
    if not all(isinstance(entry.get("id"), int | str) for entry in entries):
        raise FormatError("not COCO", f"{path} has {key} without an 'id'")
    return {entry["id"]: entry for entry in entries}


def _read_annotation(
    entry: Mapping[str, Any],
    where: str,
    *,
    photos: PhotoFolder,
    images: Entries,
    categories: Entries,
    licences: Entries,
) -> Annotation:
    image = _refer(entry, "image_id", images, "unknown photo")
    category = str(_refer(entry, "category_id", categories, "unknown class").get("name") or "")
    if not category:
        raise FormatError("unknown class", f"category {entry['category_id']!r} has no name")
    photo = photos.find(str(image.get("file_name", "")))
    licence = licences.get(image["license"], {}) if isinstance(image.get("license"), int | str) else {}
    return Annotation(
        photo=photo,
        category=category,
        box=_read_box(entry.get("bbox"), _checked_size(image, photos.size(photo))),
        where=where,
        flags=frozenset({"group"}) if entry.get("iscrowd") else frozenset(),
        page=str(image.get("flickr_url") or image.get("coco_url") or "") or None,
        licence=str(licence.get("name") or licence.get("url") or "") or None,
    )


def _refer(entry: Mapping[str, Any], key: str, table: Entries, reason: str) -> Mapping[str, Any]:
    value = entry.get(key)
    if not isinstance(value, int | str) or value not in table:
        raise FormatError(reason, f"{key} {value!r:.60} is not listed")
    return table[value]


def _checked_size(image: Mapping[str, Any], size: Size) -> Size:
    stated: tuple[object, object] = image.get("width") or size.width, image.get("height") or size.height
    if stated != size:
        raise FormatError("photo of another size", f"the boxes are for {stated}, and the photo has {size}")
    return size


def _read_box(box: object, size: Size) -> Box:
    if not isinstance(box, list) or len(box) != 4:
        raise FormatError("no box", f"bbox is {box!r:.60} where [x, y, width, height] was expected")
    x, y, width, height = map(parse_number, box)
    return pixel_box((x, y, x + width, y + height), size)
