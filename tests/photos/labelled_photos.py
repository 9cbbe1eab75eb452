"""Miniature folders of photos and of their annotations, written as the real tools write them."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from sketchdata.formats.files import Fault
from sketchdata.photos.annotations.record import Annotation, PhotoFolder, Reading


def photo(folder: Path, name: str, size: tuple[int, int] = (200, 100), *, orientation: int = 1) -> PhotoFolder:
    """Write a photo, and list its folder."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", size, "grey").save(path, exif=exif)
    return PhotoFolder(folder)


def write(path: Path, content: str | bytes) -> Path:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def voc(filename: str, *objects: str, size: tuple[int, int] = (200, 100)) -> str:
    """Return a PASCAL VOC file as labelImg writes it."""
    return (
        f"<annotation>\n\t<folder>images</folder>\n\t<filename>{filename}</filename>\n\t<size><width>{size[0]}</width>"
        f"<height>{size[1]}</height><depth>3</depth></size>\n{''.join(objects)}</annotation>\n"
    )


def voc_object(name: str, box: tuple[object, object, object, object], extra: str = "") -> str:
    """Return one object; the box is xmin, ymin, xmax, ymax."""
    edges = zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    inside = "".join(f"<{edge}>{value}</{edge}>" for edge, value in edges)
    return f"\t<object><name>{name}</name>{extra}<bndbox>{inside}</bndbox></object>\n"


def only(readings: list[Reading]) -> Annotation:
    """Return the one annotation that is all there is."""
    (reading,) = readings
    assert isinstance(reading, Annotation), reading
    return reading


def reasons(readings: list[Reading]) -> list[tuple[str, str]]:
    """Return where each fault is and why."""
    return [(reading.where, reading.reason) for reading in readings if isinstance(reading, Fault)]
