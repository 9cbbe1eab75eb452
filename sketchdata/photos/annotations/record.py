"""One annotation as a record: a photo, what it shows, the box around it, and where that is written."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

from sketchdata.errors import FormatError
from sketchdata.formats.files import Fault


class Size(NamedTuple):
    """Width and height of an upright photo in pixels."""

    width: int
    height: int


class Box(NamedTuple):
    """A half-open box in pixels of the upright photo: columns x0 to x1 - 1, rows y0 to y1 - 1, counted from 0."""

    x0: int
    y0: int
    x1: int
    y1: int


@dataclass(frozen=True, kw_only=True)
class Annotation:
    """One thing that a photo shows.

    Attributes:
        photo: The photo's path within its folder, with forward slashes; in URL lists its address.
        category: The class under the source's own name, such as `teddy bear` or `n02084071`.
        box: Where it is, clipped to the photo where its size is known; None where only the whole photo is named.
        where: Where this stands in its source, such as `dogs/a.xml: object 2`.
        flags: Of `group` (a box around many), `depiction` (a drawing or toy of it), `inside` (seen from within),
            `occluded`, `truncated`, `difficult`, those that the source states.
        page: The web page that the photo is shown on.
        author: Who made the photo.
        licence: Its name or address.
        title: What its author calls the photo.
    """

    photo: str
    category: str
    box: Box | None
    where: str
    flags: frozenset[str] = frozenset()
    page: str | None = None
    author: str | None = None
    licence: str | None = None
    title: str | None = None


Reading: TypeAlias = Annotation | Fault


def attempt(where: str, read: Callable[[], Annotation]) -> Reading:
    """Return an annotation, or as a fault the reason why there is none."""
    try:
        return read()
    except FormatError as error:
        return Fault(where=where, reason=error.reason, detail=error.detail)


def separate(readings: Iterable[Reading], report: Callable[[Fault], object]) -> Iterator[Annotation]:
    """Yield the annotations, and hand each fault to `report`, such as a list's append."""
    for reading in readings:
        if isinstance(reading, Fault):
            report(reading)
        else:
            yield reading


def with_classes(readings: Iterable[Reading], classes: Mapping[str, str]) -> Iterator[Reading]:
    """Give each category the name that `classes` has for it; one that it lacks becomes an `unknown class` fault."""
    for reading in readings:
        if isinstance(reading, Fault):
            yield reading
        elif reading.category in classes:
            yield replace(reading, category=classes[reading.category])
        else:
            yield Fault(where=reading.where, reason="unknown class", detail=repr(reading.category))


def pixel_box(edges: tuple[float, float, float, float], size: Size | None) -> Box:
    """Round edges to the nearest pixel border and clip them to the photo.

    Args:
        edges: Left, top, right and bottom in pixels, 0 being the photo's outer border.
        size: The photo's; None where it is not known yet, and then only the left and the top are clipped.

    Raises:
        FormatError: An edge is not a finite number, or nothing is left of the box.
    """
    if not all(map(math.isfinite, edges)):
        raise FormatError("box not finite", f"{edges}")
    x0, y0, x1, y1 = (math.floor(edge + 0.5) for edge in edges)
    if x1 <= x0 or y1 <= y0:
        raise FormatError("box without area", f"left, top, right, bottom are {edges}")
    box = Box(max(x0, 0), max(y0, 0), x1, y1)
    if size is not None:
        box = Box(box.x0, box.y0, min(x1, size.width), min(y1, size.height))
    if box.x1 <= box.x0 or box.y1 <= box.y0:
        frame = "the photo" if size is None else f"{size.width}×{size.height}"
        raise FormatError("box outside the photo", f"left, top, right, bottom are {edges}, of {frame}")
    return box


def parse_number(value: object) -> float:
    """Return a number that is one already or is written as one.

    Raises:
        FormatError: It is neither.
    """
    try:
        if isinstance(value, int | float | str) and not isinstance(value, bool):
            return float(value)
    except (ValueError, OverflowError):
        pass
    raise FormatError("not a number", f"{value!r:.60}")
