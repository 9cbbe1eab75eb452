"""Boxes of objects in photos, read from PASCAL VOC, ImageNet, COCO, YOLO and Open Images."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

import orjson
import yaml

from sketchdata.errors import FormatError
from sketchdata.formats.files import Fault
from sketchdata.photos.annotations.record import (
    Annotation,
    Box,
    PhotoFolder,
    Reading,
    Row,
    Size,
    attempt,
    parse_number,
    pixel_box,
    read_table,
)

# PASCAL VOC's XML and ImageNet's, which is the same with synsets for classes.
# Sources: the VOC 2012 development kit (pixels counted from 1, the last one included); image-net.org's bounding boxes,
# where `filename` has no suffix and is `%s` in some files.

#: The largest real files have a few hundred objects in 100 kB.
_MAX_BYTES = 1 << 24
_EDGES = ("xmin", "ymin", "xmax", "ymax")
_FLAGS = ("difficult", "occluded", "truncated")


def read_voc(annotations: Path, photos: PhotoFolder) -> Iterator[Reading]:
    """Yield the boxes of every XML file below a folder, in the order of their paths; a broken file is one fault.

    Raises:
        FormatError: There is no XML file.
    """
    paths = sorted(annotations.rglob("*.xml"))
    if not paths:
        raise FormatError("no annotations", f"{annotations} is no folder with .xml files of PASCAL VOC or ImageNet")
    for path in paths:
        name = path.relative_to(annotations).as_posix()
        try:
            readings = read_voc_file(path, photos, name=name)
        except FormatError as error:
            readings = [Fault(where=name, reason=error.reason, detail=error.detail)]
        yield from readings


def read_voc_file(path: Path, photos: PhotoFolder, *, name: str) -> list[Reading]:
    """Read one photo's boxes.

    Args:
        path: The file.
        photos: Where the photo is, under the name that the file states or under the file's own.
        name: The file's path within its folder.

    Raises:
        FormatError: It cannot be read, is not such XML, declares entities, or its photo is missing or of another size.
    """
    root = parse_xml(path)
    if root.tag != "annotation":
        raise FormatError("not PASCAL VOC", f"{path} is of <{root.tag[:60]}> where <annotation> was expected")
    stated = root.findtext("filename", "")
    photo = photos.find(f"{root.findtext('folder', '')}/{stated}", stated, name.removesuffix(".xml"))
    size = _checked_size(root, photos.size(photo), path)
    places = ((f"{name}: object {number}", thing) for number, thing in enumerate(root.findall("object"), 1))
    return [attempt(where, partial(_read_object, thing, photo, size, where)) for where, thing in places]


def _checked_size(root: Element, size: Size, path: Path) -> Size:
    """Return the photo's real size, once it is that of the file; some tools write 0×0."""
    stated = root.findtext("size/width", "0"), root.findtext("size/height", "0")
    width, height = map(parse_number, stated)
    if (width, height) not in ((0, 0), size):
        raise FormatError("photo of another size", f"{path} is for {width:g}×{height:g}, and the photo has {size}")
    return size


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
        # Counted from 1 with the last pixel included: the right and the bottom are half-open as they stand.
        box=pixel_box((left - 1, top - 1, right, bottom), size),
        where=where,
        flags=frozenset(flag for flag in _FLAGS if thing.findtext(flag, "").strip() in ("1", "true", "True")),
    )


def parse_xml(path: Path) -> Element:
    """Parse XML that declares no document type, and so no entity that could grow or fetch anything.

    Raises:
        FormatError: It cannot be read, is too large, broken, or has a document type.
    """
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = builder.start, builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = parser.SkippedEntityHandler = _refuse_declarations
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise FormatError("XML too large", f"{path} has more than {_MAX_BYTES:,} bytes")
        parser.Parse(path.read_bytes(), True)
    except FormatError as error:
        raise FormatError(error.reason, f"{path}: {error.detail}") from error
    except (expat.ExpatError, UnicodeError, ValueError, LookupError) as error:
        raise FormatError("broken XML", f"{path}: {error}") from error
    except OSError as error:
        raise FormatError("unreadable file", f"{path}: {error.strerror}") from error
    return builder.close()


def _refuse_declarations(*_: object) -> NoReturn:
    raise FormatError("XML with declarations", "no <!DOCTYPE> and no entities are read: remove them")


# COCO's JSON of object instances. Source: cocodataset.org, "Data format".

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
        box=_read_box(entry.get("bbox"), _checked_size_coco(image, photos.size(photo))),
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


def _checked_size_coco(image: Mapping[str, Any], size: Size) -> Size:
    stated: tuple[object, object] = image.get("width") or size.width, image.get("height") or size.height
    if stated != size:
        raise FormatError("photo of another size", f"the boxes are for {stated}, and the photo has {size}")
    return size


def _read_box(box: object, size: Size) -> Box:
    if not isinstance(box, list) or len(box) != 4:
        raise FormatError("no box", f"bbox is {box!r:.60} where [x, y, width, height] was expected")
    x, y, width, height = map(parse_number, box)
    return pixel_box((x, y, x + width, y + height), size)


# YOLO's label files: a line a box, `class centre-x centre-y width height`, as parts of the photo's width and height.
# The names of the classes are in a config beside them, or in a plain list.
# Source: docs.ultralytics.com/datasets/detect (boxes, and a confidence behind them in predictions) and
# docs.ultralytics.com/datasets/segment (outlines, `class x1 y1 x2 y2 …`, of which the bounds are taken).

#: Files of class names that labelling tools put among the labels.
_NOT_LABELS = frozenset({"classes.txt", "labels.txt", "train.txt", "val.txt", "test.txt"})
#: How far rounded parts may lie outside the photo; pixels, the common mistake, lie further.
_SLACK = 0.01
#: Of a config, that of Objects365 takes 20 KB.
_MOST_CONFIG_BYTES = 1 << 20


def read_yolo(labels: Path, photos: PhotoFolder, names: Mapping[int, str]) -> Iterator[Reading]:
    """Yield the boxes of every label file below a folder, in the order of their paths; a broken file is one fault.

    Args:
        labels: Laid out as the photos are: `labels/a/b.txt` for `images/a/b.jpg`.
        photos: Their folder, whose sizes turn parts into pixels.
        names: {number: class}, as from `read_yolo_names`.

    Raises:
        FormatError: There is no label file.
    """
    paths = [path for path in sorted(labels.rglob("*.txt")) if path.name not in _NOT_LABELS]
    if not paths:
        raise FormatError("no annotations", f"{labels} is no folder with .txt files of YOLO")
    for path in paths:
        name = path.relative_to(labels).as_posix()
        try:
            lines = [line.split() for line in path.read_text(encoding="utf-8-sig").splitlines()]
            photo = photos.find(name.removesuffix(".txt"))
            size = photos.size(photo)
        except FormatError as error:
            yield Fault(where=name, reason=error.reason, detail=error.detail)
            continue
        except (OSError, UnicodeDecodeError) as error:
            yield Fault(where=name, reason="unreadable file", detail=f"{path}: {error}")
            continue
        for number, words in enumerate(lines, 1):
            if words:
                where = f"{name}: line {number}"
                yield attempt(where, partial(_read_line, words, photo, size, names, where))


def _read_line(words: list[str], photo: str, size: Size, names: Mapping[int, str], where: str) -> Annotation:
    if not words[0].isascii() or not words[0].isdecimal() or int(words[0][:9]) not in names:
        raise FormatError("unknown class", f"{words[0]!r:.60} is not the number of one of the {len(names)} names")
    left, top, right, bottom = _parts([parse_number(word) for word in words[1:]])
    return Annotation(
        photo=photo,
        category=names[int(words[0])],
        box=pixel_box((left * size.width, top * size.height, right * size.width, bottom * size.height), size),
        where=where,
    )


def _parts(numbers: list[float]) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of a box (4 numbers, or 5 with its confidence) or of an outline (6, 8, …)."""
    if len(numbers) < 4 or (len(numbers) > 5 and len(numbers) % 2):
        raise FormatError("broken line", f"{len(numbers)} numbers after the class where 4 were expected")
    outline = len(numbers) > 5
    if not all(-_SLACK <= number <= 1 + _SLACK for number in (numbers if outline else numbers[:4])):
        raise FormatError("parts not from 0 to 1", f"{numbers[:4]}: divide pixels by the photo's width and height")
    if outline:
        return min(numbers[::2]), min(numbers[1::2]), max(numbers[::2]), max(numbers[1::2])
    x, y, width, height = numbers[:4]
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def read_yolo_names(path: Path) -> dict[int, str]:
    """Read {number: class} from the `names` of a config (.yaml, .yml), or from a list of one name a line.

    Names are texts as they are written: `no` and `1` too, which YAML takes for other things.

    Raises:
        FormatError: It cannot be read, is larger than 1 MiB, or has no names; the message names the file.
    """
    try:
        if path.stat().st_size > _MOST_CONFIG_BYTES:
            raise FormatError("unreadable file", f"{path} has more than {_MOST_CONFIG_BYTES:,} bytes")
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() in (".yaml", ".yml"):
            # Nodes and no values: nothing is constructed, and an alias of an alias costs nothing.
            pairs = _named(yaml.compose(text, yaml.SafeLoader), path)
        else:
            pairs = list(enumerate(line.strip() for line in text.splitlines() if line.strip()))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise FormatError("unreadable file", f"{path}: {error}") from error
    names = dict(pairs)
    if not names or len(names) < len(pairs):
        fault = "two classes with one number" if names else "no names"
        raise FormatError(fault, f"{path}: `names:` with one entry a class was expected")
    return names


def _named(config: yaml.Node | None, path: Path) -> list[tuple[int, str]]:
    keys = config.value if isinstance(config, yaml.MappingNode) else []
    match next((value for key, value in keys if key.value == "names"), None):
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

#: As `read_table` gives them, in small letters.
_NEEDED = [("imageid",), ("labelname",), *((edge,) for edge in _EDGES)]
_FLAGS_OPEN_IMAGES = {
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
        flags=frozenset(flag for column, flag in _FLAGS_OPEN_IMAGES.items() if row.get(column) == "1"),
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
