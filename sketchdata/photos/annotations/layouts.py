"""Folders of photos with labels as they are found on disk: where in them the photos, the boxes and the names are."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path, PurePosixPath

from sketchdata.errors import ConfigError, FormatError
from sketchdata.formats.files import Fault
from sketchdata.photos.annotations.boxes import (
    PhotoFacts,
    read_coco,
    read_open_images,
    read_open_images_facts,
    read_open_images_names,
    read_voc,
    read_yolo,
    read_yolo_names,
)
from sketchdata.photos.annotations.record import Annotation, PhotoFolder, Reading

_VOC_PHOTOS, _VOC_BOXES = ("JPEGImages", "images"), ("Annotations", "annotations")
_YOLO_PHOTOS, _YOLO_BOXES = ("images",), ("labels",)
_YOLO_LISTS = ("classes.txt", "labels.txt", "obj.names", "labels/classes.txt", "labels/labels.txt")


@dataclass(frozen=True, kw_only=True)
class LabelledPhotos:
    """Photos of one folder, and what is read about them as it is asked for."""

    photos: PhotoFolder
    readings: Iterator[Reading]


def open_folders(folder: Path) -> LabelledPhotos:
    """Open a folder of folders, each named after the class of all photos in it, at whatever depth.

    Raises:
        ConfigError: There are no photos.
    """
    photos = PhotoFolder(folder)
    return LabelledPhotos(photos=photos, readings=(_of_folder(photo, photo.partition("/")[0]) for photo in photos))


def open_imagenet(folder: Path) -> LabelledPhotos:
    """Open a folder of synset folders with photos and, anywhere below it, the XML files of the boxes that there are.

    Of most of ImageNet's photos there are none; such a photo as a whole shows what its folder is named after.

    Raises:
        ConfigError: There are no photos.
    """
    photos = PhotoFolder(folder)
    return LabelledPhotos(photos=photos, readings=_boxes_or_wholes(folder, photos))


def open_voc(folder: Path) -> LabelledPhotos:
    """Open a folder of PASCAL VOC's: `JPEGImages` or `images`, and `Annotations`; or both kinds of files together.

    Raises:
        ConfigError: There are no photos.
    """
    # The development kit has masks of the same names in other folders.
    photos = PhotoFolder(_inner(folder, _VOC_PHOTOS))
    return LabelledPhotos(photos=photos, readings=read_voc(_inner(folder, _VOC_BOXES), photos))


def open_yolo(folder: Path) -> LabelledPhotos:
    """Open a folder of YOLO's: `images`, `labels` laid out alike, and the names in a `.yaml` or in `classes.txt`.

    Raises:
        ConfigError: There are no photos, or no class names.
    """
    photos = PhotoFolder(_inner(folder, _YOLO_PHOTOS))
    return LabelledPhotos(photos=photos, readings=read_yolo(_inner(folder, _YOLO_BOXES), photos, _yolo_names(folder)))


def open_coco(annotations: Path, folder: Path) -> LabelledPhotos:
    """Open COCO's JSON of instances and the folder of its photos.

    Raises:
        ConfigError: There are no photos.
    """
    photos = PhotoFolder(folder)
    return LabelledPhotos(photos=photos, readings=read_coco(annotations, photos))


def open_open_images(folder: Path) -> LabelledPhotos:
    """Open a folder of Open Images' tables as they are published, and of some of its photos.

    Tables are known by their columns: those of boxes, of class names, and, if there are any, of authors and licences.

    Raises:
        ConfigError: There are no photos, no boxes or no class names.
        FormatError: A table cannot be read.
    """
    photos, tables = PhotoFolder(folder), [(path, _header(path)) for path in sorted(folder.rglob("*.csv"))]
    boxes = [path for path, columns in tables if {"ImageID", "LabelName", "XMin"} <= columns]
    facts = [path for path, columns in tables if {"ImageID", "License"} <= columns]
    names = [path for path, _ in tables if "class-descriptions" in path.name]
    if not boxes or not names:
        missing = "class-descriptions-boxable.csv" if boxes else "train-annotations-bbox.csv"
        raise ConfigError(f"{folder} is no folder of Open Images: a table such as {missing} was expected in it")
    labels = {label: name for path in names for label, name in read_open_images_names(path).items()}
    known = {image: found for path in facts for image, found in read_open_images_facts(path, photos.stems()).items()}
    readings = chain.from_iterable(read_open_images(path, photos, labels) for path in boxes)
    return LabelledPhotos(photos=photos, readings=_with_facts(readings, known))


def _boxes_or_wholes(folder: Path, photos: PhotoFolder) -> Iterator[Reading]:
    boxed: set[str] = set()
    for reading in read_voc(folder, photos) if any(folder.rglob("*.xml")) else ():
        if isinstance(reading, Annotation):
            boxed.add(reading.photo)
        yield reading
    yield from (_of_folder(photo, PurePosixPath(photo).parent.name) for photo in photos if photo not in boxed)


def _of_folder(photo: str, category: str) -> Reading:
    """Return what a whole photo shows, by the name of its folder."""
    if not category or category == photo:
        return Fault(where=photo, reason="no class folder", detail="expected in a folder named after its class")
    return Annotation(photo=photo, category=category, box=None, where=photo)


def _inner(folder: Path, names: Sequence[str]) -> Path:
    """Return the first of some folders within a folder, else the folder itself."""
    return next((folder / name for name in names if (folder / name).is_dir()), folder)


def _yolo_names(folder: Path) -> dict[int, str]:
    configs = [path for path in sorted(folder.glob("*.y*ml")) if re.fullmatch(r"\.ya?ml", path.suffix)]
    lists = [path for path in map(folder.joinpath, _YOLO_LISTS) if path.is_file()]
    for path in [*configs, *lists]:
        try:
            return read_yolo_names(path)
        except FormatError as error:
            # Other .yaml files may lie there too; of one that has names, the fault is the user's to know.
            if error.reason != "no names":
                raise
    raise ConfigError(f"{folder} has no class names: expected a .yaml with `names:`, or classes.txt with one a line")


def _header(path: Path) -> set[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return set(next(csv.reader(file), []))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FormatError("unreadable file", f"{path}: {error}") from error


def _with_facts(readings: Iterator[Reading], known: dict[str, PhotoFacts]) -> Iterator[Reading]:
    for reading in readings:
        if isinstance(reading, Annotation) and (facts := known.get(PurePosixPath(reading.photo).stem)):
            yield replace(reading, **facts._asdict())
        else:
            yield reading
