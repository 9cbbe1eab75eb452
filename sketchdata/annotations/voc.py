"""PASCAL VOC's XML and ImageNet's, which is the same with synsets for classes.

Sources: the VOC 2012 development kit (pixels counted from 1, the last one included); image-net.org's bounding boxes,
where `filename` has no suffix and is `%s` in some files.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from sketchdata.annotations.photo_folder import PhotoFolder
from sketchdata.annotations.record import Annotation, Reading, Size, attempt, parse_number, pixel_box
from sketchdata.errors import FormatError
from sketchdata.formats.files import Fault

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
