"""Readers of bounding boxes: PASCAL VOC, ImageNet, COCO, YOLO and Open Images.

Every reader yields an `Annotation` for each box that it can read and a `Fault` for each that it cannot; a file that is
damaged as a whole raises FormatError.
"""

from __future__ import annotations

import codecs
import csv
import io
import math
import re
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

import orjson
import yaml

from sketchdata.errors import FormatError
from sketchdata.formats.files import Fault
from sketchdata.photos.annotations.record import (
    Annotation,
    PhotoFolder,
    Reading,
    Size,
    TableRow,
    attempt,
    is_true,
    parse_number,
    pixel_box,
    read_bytes,
    read_table,
    read_text,
)


def _check_size(stated: tuple[object, object], size: Size) -> Size:
    """Return the photo's size after comparing it with that of its annotations, which some tools omit or write as 0."""
    width, height = (parse_number(given or own) for given, own in zip(stated, size, strict=True))
    if width != size.width or height != size.height:
        told = f"the boxes are for {width:g}×{height:g} pixels, and the photo has {size.width}×{size.height}"
        raise FormatError("photo of another size", told)
    return size


# XML of PASCAL VOC and of ImageNet, which has synsets as classes. Sources: the VOC 2012 development kit (pixels are
# counted from 1, the last one inclusive); image-net.org's bounding boxes, where `filename` has no suffix and is `%s` in
# some files.

#: Maximum size of a file in bytes; the largest real ones have a few hundred objects in 100 kB.
_MOST_XML_BYTES = 1 << 24
_EDGES = ("xmin", "ymin", "xmax", "ymax")
_FLAGS = ("difficult", "occluded", "truncated")


def read_voc(annotations: Path, photos: PhotoFolder) -> Iterator[Reading]:
    """Yield the boxes of every XML file below a folder, in the order of their paths; a damaged file is one fault.

    Raises:
        FormatError: There are no XML files.
    """
    paths = sorted(annotations.rglob("*.xml"))
    if not paths:
        raise FormatError("no annotations", f"{annotations} is not a folder with .xml files of PASCAL VOC or ImageNet")
    for path in paths:
        name = path.relative_to(annotations).as_posix()
        try:
            readings = _read_voc_file(path, photos, name)
        except FormatError as error:
            readings = [Fault(where=name, reason=error.reason, detail=error.detail)]
        yield from readings


def _read_voc_file(path: Path, photos: PhotoFolder, name: str) -> list[Reading]:
    root = parse_xml(path)
    if root.tag != "annotation":
        raise FormatError("not PASCAL VOC", f"{path} is of <{root.tag[:60]}> where <annotation> was expected")
    stated = root.findtext("filename", "")
    photo = photos.find(f"{root.findtext('folder', '')}/{stated}", stated, name.removesuffix(".xml"))
    width, height = (parse_number(root.findtext(f"size/{side}", "0")) for side in ("width", "height"))
    size = _check_size((width, height), photos.size(photo))
    places = ((f"{name}: object {number}", thing) for number, thing in enumerate(root.findall("object"), 1))
    return [attempt(where, partial(_read_object, thing, photo, size, where)) for where, thing in places]


def _read_object(thing: Element, photo: str, size: Size, where: str) -> Annotation:
    category = thing.findtext("name", "").strip()
    box = thing.find("bndbox")
    if not category:
        raise FormatError("no class", f"the object of {photo} has no <name>")
    if box is None:
        raise FormatError("no box", f"the object of {photo} has no <bndbox>")
    left, top, right, bottom = (parse_number(box.findtext(edge)) for edge in _EDGES)
    return Annotation(
        photo=photo,
        category=category,
        # Counted from 1 with the last pixel inclusive, so right and bottom are already exclusive.
        box=pixel_box((left - 1, top - 1, right, bottom), size),
        where=where,
        flags=frozenset(flag for flag in _FLAGS if is_true(thing.findtext(flag))),
    )


def parse_xml(path: Path) -> Element:
    """Parse XML without a document type, so that there are no entities that expand or load anything.

    Raises:
        FormatError: The file cannot be read, is too large, damaged, or has a document type.
    """

    def refuse(*_: object) -> NoReturn:
        raise FormatError("XML with declarations", f"{path}: no <!DOCTYPE> and no entities are read: remove them")

    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = builder.start, builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = parser.SkippedEntityHandler = refuse
    try:
        parser.Parse(read_bytes(path, _MOST_XML_BYTES), True)
    except (expat.ExpatError, UnicodeError, ValueError, LookupError) as error:
        raise FormatError("broken XML", f"{path}: {error}") from error
    return builder.close()


# COCO's JSON of object instances. Source: cocodataset.org, "Data format".

_ById = Mapping[int | str, Mapping[str, Any]]


def _id(value: object) -> int | str | None:
    """Return a normalised id, 7 also for 7.0 and "7"; None if it is invalid."""
    if (isinstance(value, float) and value.is_integer()) or (isinstance(value, str) and f"{value}".isdecimal()):
        return int(value)
    return value if isinstance(value, int | str) and not isinstance(value, bool) else None


def read_coco(path: Path, photos: PhotoFolder) -> Iterator[Reading]:
    """Yield the boxes of one file, in its order; the whole file is held in memory.

    Raises:
        FormatError: It cannot be read, or is not such JSON.
    """
    try:
        document = orjson.loads(read_bytes(path).removeprefix(codecs.BOM_UTF8))
    except orjson.JSONDecodeError as error:
        raise FormatError("broken JSON", f"{path}: {error}") from error
    if not isinstance(document, dict):
        raise FormatError("not COCO", f"{path} holds a {type(document).__name__} where an object was expected")

    def entries(key: str) -> list[Mapping[str, Any]]:
        found = document.get(key)
        if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
            raise FormatError("not COCO", f"{path} has no list of objects under {key!r}")
        return found

    def by_id(key: str) -> _ById:
        found: dict[int | str, Mapping[str, Any]] = {}
        for entry in entries(key):
            if (number := _id(entry.get("id"))) is None:
                raise FormatError("not COCO", f"{path} has {key} without an 'id'")
            if found.setdefault(number, entry) != entry:
                raise FormatError("repeated id", f"{path}: two of the {key} have the id {number!r}: give each its own")
        return found

    tables = by_id("images"), by_id("categories"), by_id("licenses") if document.get("licenses") else {}
    for number, entry in enumerate(entries("annotations"), 1):
        where = f"{path.name}: annotation {number}"
        yield attempt(where, partial(_read_coco_entry, entry, photos, tables, where))


def _read_coco_entry(
    entry: Mapping[str, Any], photos: PhotoFolder, tables: tuple[_ById, _ById, _ById], where: str
) -> Annotation:
    def refer(key: str, table: _ById, reason: str) -> Mapping[str, Any]:
        number = _id(entry.get(key))
        if number is None or number not in table:
            raise FormatError(reason, f"{key} {entry.get(key)!r:.60} is not listed")
        return table[number]

    images, categories, licences = tables
    image = refer("image_id", images, "unknown photo")
    category = str(refer("category_id", categories, "unknown class").get("name") or "")
    if not category:
        raise FormatError("unknown class", f"category {entry['category_id']!r} has no name")
    photo = photos.find(str(image.get("file_name", "")))
    licence = licences.get(_id(image.get("license")) or 0, {})
    size, box = _check_size((image.get("width"), image.get("height")), photos.size(photo)), entry.get("bbox")
    if not isinstance(box, list) or len(box) != 4:
        raise FormatError("no box", f"bbox is {box!r:.60} where [x, y, width, height] was expected")
    x, y, width, height = map(parse_number, box)
    return Annotation(
        photo=photo,
        category=category,
        box=pixel_box((x, y, x + width, y + height), size),
        where=where,
        flags=frozenset({"group"}) if is_true(entry.get("iscrowd")) else frozenset(),
        page=str(image.get("flickr_url") or image.get("coco_url") or "") or None,
        licence=str(licence.get("name") or licence.get("url") or "") or None,
    )


# YOLO's label files: one line per box, `class centre-x centre-y width height`, as shares of the photo's width and
# height. The class names are in a config beside them, or in a plain list.
# Source: docs.ultralytics.com/datasets/detect (boxes, with a confidence after them in predictions),
# docs.ultralytics.com/datasets/segment (outlines, `class x1 y1 x2 y2 …`, whose bounding boxes are used) and
# docs.ultralytics.com/datasets/pose (a box followed by points, by `kpt_shape` of the config).

#: Files with class names that labelling tools write to the folder of labels.
_NOT_LABELS = frozenset({"classes.txt", "labels.txt", "train.txt", "val.txt", "test.txt"})
#: Tolerance for rounded coordinates outside the photo; pixel coordinates, a common mistake, are larger.
_SLACK = 0.01
#: Maximum size of a config; that of Objects365 has 20 KB.
_MOST_CONFIG_BYTES = 1 << 20


def read_yolo(labels: Path, photos: PhotoFolder, names: Mapping[int, str], points: int = 0) -> Iterator[Reading]:
    """Yield the boxes of every label file below a folder, in the order of their paths; a damaged file is one fault.

    Args:
        labels: The folder of labels, with the layout of the photos: `labels/a/b.txt` for `images/a/b.jpg`.
        photos: The folder of photos, whose sizes convert shares to pixels.
        names: {number: class}, from `read_yolo_names`.
        points: Number of values after a box, from `read_yolo_points`.

    Raises:
        FormatError: There are no label files.
    """
    paths = [path for path in sorted(labels.rglob("*.txt")) if path.name not in _NOT_LABELS]
    if not paths:
        raise FormatError("no annotations", f"{labels} is not a folder with .txt files of YOLO")
    for path in paths:
        name = path.relative_to(labels).as_posix()
        try:
            lines = [line.split() for line in read_text(path).splitlines()]
            photo = photos.find(name.removesuffix(".txt"))
            size = photos.size(photo)
        except FormatError as error:
            yield Fault(where=name, reason=error.reason, detail=error.detail)
            continue
        for number, words in enumerate(lines, 1):
            if words:
                where = f"{name}: line {number}"
                yield attempt(where, partial(_read_yolo_line, words, (photo, size), names, points, where))


def _read_yolo_line(
    words: list[str], photo: tuple[str, Size], names: Mapping[int, str], points: int, where: str
) -> Annotation:
    if any("," in word for word in words):
        raise FormatError("broken line", f"{' '.join(words)!r:.80} where blanks between numbers were expected")
    try:
        number = parse_number(words[0])
    except FormatError:
        number = math.nan
    if not number.is_integer() or number not in names:
        raise FormatError("unknown class", f"{words[0]!r:.60} is not the number of one of the {len(names)} names")
    numbers = [parse_number(word) for word in words[1:]]
    # A box has 4 numbers, or 5 with its confidence; an outline has 6, 8, …; and points may follow a box.
    outline = len(numbers) > 5 and not points
    if len(numbers) not in (4, 5, 4 + points, 5 + points) and (not outline or len(numbers) % 2):
        raise FormatError("broken line", f"{len(numbers)} numbers after the class where {4 + points} were expected")
    if not all(-_SLACK <= part <= 1 + _SLACK for part in (numbers if outline else numbers[:4])):
        raise FormatError("parts not from 0 to 1", f"{numbers[:4]}: divide pixels by the photo's width and height")
    x, y, width, height = numbers[:4]
    left, top, right, bottom = x - width / 2, y - height / 2, x + width / 2, y + height / 2
    if outline:
        left, top, right, bottom = min(numbers[::2]), min(numbers[1::2]), max(numbers[::2]), max(numbers[1::2])
    name, size = photo
    return Annotation(
        photo=name,
        category=names[int(number)],
        box=pixel_box((left * size.width, top * size.height, right * size.width, bottom * size.height), size),
        where=where,
    )


def read_yolo_names(path: Path) -> dict[int, str]:
    """Read {number: class} from the `names` of a config (.yaml, .yml), or from a list of one name per line.

    Names are strings as written, including `no` and `1`, which have other types in YAML.

    Raises:
        FormatError: The file cannot be read, is larger than 1 MiB, or has no names; the message names the file.
    """
    if path.suffix.lower() in (".yaml", ".yml"):
        pairs = _named_entries(_config_value(path, "names"), path)
    else:
        lines = read_text(path, _MOST_CONFIG_BYTES).splitlines()
        pairs = list(enumerate(line.strip() for line in lines if line.strip()))
    names = dict(pairs)
    if not names or len(names) < len(pairs):
        fault = "two classes with one number" if names else "no names"
        raise FormatError(fault, f"{path}: `names:` with one entry per class was expected")
    return names


def read_yolo_points(path: Path) -> int:
    """Return the number of values after a box from a config's `kpt_shape: [points, values per point]`; 0 without one.

    Raises:
        FormatError: The file cannot be read, or its `kpt_shape` is invalid.
    """
    if path.suffix.lower() not in (".yaml", ".yml") or (shape := _config_value(path, "kpt_shape")) is None:
        return 0
    sides = shape.value if isinstance(shape, yaml.SequenceNode) else []
    if len(sides) != 2 or not all(re.fullmatch("[0-9]{1,4}", str(side.value)) for side in sides):
        where = shape.start_mark.line + 1
        raise FormatError("unreadable kpt_shape", f"{path}: line {where}: expected [points, numbers of each]")
    return int(sides[0].value) * int(sides[1].value)


def _config_value(path: Path, key: str) -> yaml.Node | None:
    try:
        # Nodes instead of values: no objects are constructed, and nested aliases are not expanded.
        config = yaml.compose(read_text(path, _MOST_CONFIG_BYTES), yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        raise FormatError("unreadable file", f"{path}: {error}") from error
    entries = config.value if isinstance(config, yaml.MappingNode) else []
    return next((value for name, value in entries if name.value == key), None)


def _named_entries(node: yaml.Node | None, path: Path) -> list[tuple[int, str]]:
    match node:
        case yaml.SequenceNode(value=values):
            entries = [(str(number), value) for number, value in enumerate(values)]
        case yaml.MappingNode(value=values):
            entries = [(key.value, value) for key, value in values]
        case _:
            return []
    for number, name in entries:
        if not re.fullmatch("[0-9]{1,9}", str(number)) or not isinstance(name, yaml.ScalarNode) or not name.value:
            where = name.start_mark.line + 1
            raise FormatError("unreadable name", f"{path}: line {where}: a number and a name were expected")
    return [(int(number), name.value) for number, name in entries]


# Open Images' tables of boxes, of class names and of authors.
# Source: storage.googleapis.com/openimages/web/download_v7.html.

#: Columns in lower case, as `read_table` returns them.
_OPEN_IMAGES_COLUMNS = [("imageid",), ("labelname",), *((edge,) for edge in _EDGES)]
_ROTATIONS = {"0": 0, "90": 90, "180": 180, "270": 270}
#: {EXIF orientation: counter-clockwise rotation of the stored pixels in degrees}; the others also mirror.
_EXIF_TURNS = {3: 180, 6: 270, 8: 90}
_OPEN_IMAGES_FLAGS = {
    "isdepiction": "depiction",
    "isgroupof": "group",
    "isinside": "inside",
    "isoccluded": "occluded",
    "istruncated": "truncated",
}


class PhotoFacts(NamedTuple):
    """Open Images' metadata of a photo; missing values are None.

    `page` is the web page with the photo, `rotation` the counter-clockwise rotation of the stored pixels in degrees.
    """

    rotation: int | None = None
    page: str | None = None
    author: str | None = None
    licence: str | None = None
    title: str | None = None


def read_open_images(
    path: Path, photos: PhotoFolder, names: Mapping[str, str], facts: Mapping[str, PhotoFacts] | None = None
) -> Iterator[Reading]:
    """Yield the boxes of one table, in its order, in constant memory.

    Boxes are relative to the stored photo, regardless of its EXIF orientation.

    Args:
        path: The table, such as `train-annotations-bbox.csv`.
        photos: The folder of photos, with files named by ImageID.
        names: {`/m/0bt9lr`: `Dog`}, from `read_open_images_names`.
        facts: {ImageID: facts}, from `read_open_images_facts`.

    Raises:
        FormatError: The table cannot be read, or is of another kind.
    """
    for line, row in read_table(path, needed=_OPEN_IMAGES_COLUMNS):
        where = f"{path.name}: line {line}"
        yield attempt(where, partial(_read_open_images_row, row, photos, names, facts or {}, where))


def _read_open_images_row(
    row: TableRow, photos: PhotoFolder, names: Mapping[str, str], facts: Mapping[str, PhotoFacts], where: str
) -> Annotation:
    label = row.get("labelname", "")
    if label not in names:
        raise FormatError("unknown class", f"{label!r:.60} is not among the {len(names)} names")
    left, top, right, bottom = (parse_number(row.get(edge)) for edge in _EDGES)
    photo = photos.find(row.get("imageid", ""))
    stored = photos.stored_size(photo)
    width, height, orientation = stored
    box = pixel_box((left * width, top * height, right * width, bottom * height), Size(width, height))
    flags = {flag for column, flag in _OPEN_IMAGES_FLAGS.items() if is_true(row.get(column))}
    known = facts.get(PurePosixPath(photo).stem, PhotoFacts())
    if known.rotation is not None and (turn := (known.rotation - _EXIF_TURNS.get(orientation, 0)) % 360):
        flags.add(f"turn{turn}")
    return Annotation(
        photo=photo,
        category=names[label],
        box=stored.to_upright(box),
        where=where,
        flags=frozenset(flags),
        page=known.page,
        author=known.author,
        licence=known.licence,
        title=known.title,
    )


def read_open_images_facts(path: Path, photos: Collection[str]) -> dict[str, PhotoFacts]:
    """Read {ImageID: facts} of some photos from a table such as `train-images-boxable-with-rotation.csv`.

    Raises:
        FormatError: The table cannot be read, or is of another kind.
    """
    columns = ("originallandingurl", "author", "license", "title")
    return {
        row["imageid"]: PhotoFacts(
            _ROTATIONS.get(row.get("rotation", "").strip().removesuffix(".0")),
            *(row.get(column, "").strip() or None for column in columns),
        )
        for _, row in read_table(path, needed=[("imageid",)])
        if row.get("imageid") in photos
    }


def read_open_images_names(path: Path) -> dict[str, str]:
    """Read {label: name} from a table such as `class-descriptions-boxable.csv`, which has no header before version 7.

    Raises:
        FormatError: It cannot be read, or is not such a table.
    """
    try:
        lines = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
        rows = [row for row in lines if row and row[0] != "LabelName"]
    except csv.Error as error:
        raise FormatError("unreadable file", f"{path}: {error}") from error
    if not rows or not all(len(row) == 2 and row[0].startswith("/") and row[1] for row in rows):
        raise FormatError("not class descriptions", f"{path}: lines such as `/m/0bt9lr,Dog` were expected")
    return dict(rows)
