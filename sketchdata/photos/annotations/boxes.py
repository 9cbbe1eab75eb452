"""YOLO's label files: a line a box, `class centre-x centre-y width height`, as parts of the photo's width and height.

The names of the classes are in a config beside them, or in a plain list.

Source: docs.ultralytics.com/datasets/detect (boxes, and a confidence behind them in predictions) and
docs.ultralytics.com/datasets/segment (outlines, `class x1 y1 x2 y2 …`, of which the bounds are taken).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import yaml

from sketchdata.annotations.photo_folder import PhotoFolder
from sketchdata.annotations.record import Annotation, Reading, Size, attempt, parse_number, pixel_box
from sketchdata.errors import FormatError
from sketchdata.formats.files import Fault

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
