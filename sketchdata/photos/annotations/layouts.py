"""Layouts of folders of labelled photos: where photos, boxes and names are in each data set.

Every function raises a ConfigError for a folder without photos or without the files of its labels.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path, PurePosixPath

from sketchdata.errors import ConfigError, FormatError
from sketchdata.files import regular
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
    read_yolo_points,
)
from sketchdata.photos.annotations.record import Annotation, PhotoFolder, Reading

_YOLO_LISTS = ("classes.txt", "labels.txt", "obj.names", "labels/classes.txt", "labels/labels.txt")


class LabelledPhotos:
    """The photos of one folder, and an iterator that reads their annotations, after faults for skipped files."""

    def __init__(self, photos: PhotoFolder, readings: Iterable[Reading]) -> None:
        self.photos = photos
        self.readings: Iterator[Reading] = chain(photos.passed_over, readings)


def open_folders(folder: Path) -> LabelledPhotos:
    """Open a folder of folders, at any depth, each named by the class of the photos in it."""
    photos = PhotoFolder(folder)
    return LabelledPhotos(photos, (_of_folder(photo, photo.partition("/")[0]) for photo in photos))


def open_imagenet(folder: Path) -> LabelledPhotos:
    """Open a folder of synset folders with photos and, anywhere below it, XML files with boxes.

    Most of ImageNet's photos have no boxes; the class of the whole photo is then the name of its folder.
    """
    photos = PhotoFolder(folder)

    def readings() -> Iterator[Reading]:
        boxed: set[str] = set()
        for reading in read_voc(folder, photos) if any(folder.rglob("*.xml")) else ():
            if isinstance(reading, Annotation):
                boxed.add(reading.photo)
            yield reading
        yield from (_of_folder(photo, PurePosixPath(photo).parent.name) for photo in photos if photo not in boxed)

    return LabelledPhotos(photos, readings())


def open_voc(folder: Path) -> LabelledPhotos:
    """Open a folder of PASCAL VOC: `JPEGImages` or `images`, and `Annotations`; or photos and XML files together."""
    # The development kit has masks of the same names in other folders.
    photos = PhotoFolder(_inner(folder, "JPEGImages", "images"))
    return LabelledPhotos(photos, read_voc(_inner(folder, "Annotations", "annotations"), photos))


def open_yolo(folder: Path) -> LabelledPhotos:
    """Open a folder of YOLO: `images`, `labels` with the same layout, and names in a `.yaml` or in `classes.txt`."""
    photos = PhotoFolder(_inner(folder, "images"))
    configs = [path for path in sorted(folder.glob("*.y*ml")) if path.suffix in (".yaml", ".yml")]
    lists = [path for path in map(folder.joinpath, _YOLO_LISTS) if path.is_file()]
    for path in [*configs, *lists]:
        try:
            names, points = read_yolo_names(path), read_yolo_points(path)
            return LabelledPhotos(photos, read_yolo(_inner(folder, "labels"), photos, names, points))
        except FormatError as error:
            # There may be other .yaml files; an error in one that has names is reported.
            if error.reason != "no names":
                raise
    raise ConfigError(f"{folder} has no class names: expected a .yaml with `names:`, or classes.txt with one per line")


def open_coco(annotations: Path, folder: Path) -> LabelledPhotos:
    """Open COCO's JSON of instances and the folder of its photos."""
    photos = PhotoFolder(folder)
    return LabelledPhotos(photos, read_coco(annotations, photos))


def open_open_images(folder: Path) -> LabelledPhotos:
    """Open a folder with published tables of Open Images, and some of its photos.

    Tables are identified by their columns: boxes, class names, and optionally authors and licences.

    Raises:
        ConfigError: There are no photos, no boxes or no class names.
        FormatError: A table cannot be read.
    """
    photos, tables = PhotoFolder(folder), [(path, _header(path)) for path in sorted(folder.rglob("*.csv"))]
    boxes = [path for path, columns in tables if {"ImageID", "LabelName", "XMin"} <= columns]
    facts = [path for path, columns in tables if "ImageID" in columns and columns & {"License", "Rotation"}]
    names = [path for path, _ in tables if "class-descriptions" in path.name]
    if not boxes or not names:
        missing = "class-descriptions-boxable.csv" if boxes else "train-annotations-bbox.csv"
        raise ConfigError(f"{folder} is not a folder of Open Images: a table such as {missing} was expected in it")
    labels = {label: name for path in names for label, name in read_open_images_names(path).items()}
    known: dict[str, PhotoFacts] = {}
    for path in facts:
        for image, found in read_open_images_facts(path, photos.stems()).items():
            # Several tables may have the same photos with different columns.
            own = {name: value for name, value in found._asdict().items() if value is not None}
            known[image] = known.get(image, PhotoFacts())._replace(**own)
    readings = chain.from_iterable(read_open_images(path, photos, labels, known) for path in boxes)
    return LabelledPhotos(photos, readings)


def _of_folder(photo: str, category: str) -> Reading:
    """Return the annotation of a whole photo, with the name of its folder as the class."""
    if not category or category == photo:
        return Fault(where=photo, reason="no class folder", detail="expected in a folder named after its class")
    return Annotation(photo=photo, category=category, box=None, where=photo)


def _inner(folder: Path, *names: str) -> Path:
    return next((folder / name for name in names if (folder / name).is_dir()), folder)


def _header(path: Path) -> set[str]:
    try:
        with regular(path).open(encoding="utf-8-sig", newline="") as file:
            return set(next(csv.reader(file), []))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FormatError("unreadable file", f"{path}: {error}") from error
