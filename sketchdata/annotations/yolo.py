"""YOLO's label files: a line a box, `class centre-x centre-y width height`, as parts of the photo's width and height.

Source: docs.ultralytics.com/datasets/detect (boxes, and a confidence behind them in predictions) and
docs.ultralytics.com/datasets/segment (outlines, `class x1 y1 x2 y2 …`, of which the bounds are taken).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from sketchdata.annotations.photo_folder import PhotoFolder
from sketchdata.annotations.record import Annotation, Reading, Size, attempt, parse_number, pixel_box
from sketchdata.errors import FormatError
from sketchdata.formats.files import Fault

#: Files of class names that labelling tools put among the labels.
_NOT_LABELS = frozenset({"classes.txt", "labels.txt", "train.txt", "val.txt", "test.txt"})
#: How far rounded parts may lie outside the photo; pixels, the common mistake, lie further.
_SLACK = 0.01


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
