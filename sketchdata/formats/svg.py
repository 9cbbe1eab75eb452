"""Drawings as SVG, one a file: written so that everything comes back, and read from whatever program drew it.

Written: a `<path>` a stroke in the simplified format's square, `viewBox="0 0 255 255"`, and the metadata in `data-`
attributes of the root; raw drawings keep their pixels, and their times as `data-t` of each path.

Read: paths and basic shapes with their transforms; filled shapes by their outlines. Nothing is ever fetched or run:
document types with declarations, entities and `<use>` are refused, scripts, styles, text and pictures are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any
from xml.parsers import expat

import numpy as np
import numpy.typing as npt

from sketchdata.drawings.drawing import SVG_NAMESPACE, Drawing, Stroke
from sketchdata.errors import FormatError
from sketchdata.formats.records import made_up_key_id, to_square
from sketchdata.formats.svg_shapes import (
    MAX_POINTS,
    SHAPES,
    Outline,
    Transform,
    flatten,
    parse_numbers,
    parse_transform,
    too_many_points,
)

MAX_BYTES = 1 << 25
#: Flattened curves stay within a quarter of a unit of the 0..255 square, here as a part of the drawing's larger side.
TOLERANCE = 0.25 / 255

_MAX_DEPTH = 200
_MAX_TIME = 2**32 - 1
_MAX_PLACE = 1e9
_OFFICIAL_BOXES = ([0, 0, 255, 255], [0, 0, 256, 256])
#: Elements whose content is not drawn where it stands, or not as lines.
_PASSED_OVER = {
    *("defs", "clipPath", "mask", "marker", "pattern", "symbol", "script", "style", "text", "image", "foreignObject"),
    *("title", "desc", "metadata", "filter", "linearGradient", "radialGradient"),
}
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def dump(drawing: Drawing) -> bytes:
    """Write a drawing as an SVG document; `load` gives back the very same drawing.

    Raises:
        FormatError: Its word has a character that XML cannot hold, or a raw point lies beyond ±10^9.
    """
    return drawing.svg().encode("utf-8")


def load(content: bytes, *, word: str | None = None) -> Drawing:
    """Read an SVG document as one drawing.

    Each subpath and shape is a stroke. Curves are flattened, see TOLERANCE. Where the viewBox is that of the 0..255
    square, points stay where they are, rounded; all other drawings are moved and scaled into the square as official
    simplified ones are. Files that `dump` wrote come back exactly; of others, the metadata are made up:
    `made_up_key_id`, no country, time 1970, recognized.

    Args:
        content: The whole document.
        word: The category, where the document does not name it; else it must name this one.

    Raises:
        FormatError: It is no SVG document, has no strokes or no word, is too large, or asks for what is never done.
    """
    if len(content) > MAX_BYTES:
        raise FormatError("SVG too large", f"{len(content):,} bytes, and {MAX_BYTES:,} are read at most")
    reader = _Reader()
    reader.read(content)
    if not reader.outlines:
        raise FormatError("empty drawing", "the SVG has no path and no shape that draws a line")
    timed = [outline.times is not None for outline in reader.outlines]
    if any(timed) and not all(timed):
        raise FormatError("unequal x and t", "some strokes have times, and some have none")
    strokes = _raw_strokes(reader.outlines) if all(timed) else _simplified_strokes(reader)
    return _drawing(reader.data, strokes, word)


@dataclass(frozen=True)
class _Drawn:
    """One stroke of a document."""

    outline: Outline
    times: list[int] | None


@dataclass
class _Reader:
    """Collects a document's strokes and the root's data."""

    outlines: list[_Drawn] = field(default_factory=list)
    data: dict[str, str] = field(default_factory=dict)
    view_box: list[float] | None = None
    transforms: list[Transform] = field(default_factory=list)
    skipping: int = 0
    points: int = 0

    def read(self, content: bytes) -> None:
        """Read the document."""
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.StartElementHandler, parser.EndElementHandler = self._start, self._end
        parser.StartDoctypeDeclHandler = _refuse_declarations
        parser.EntityDeclHandler = parser.SkippedEntityHandler = _refuse_entity
        try:
            parser.Parse(content, True)
        except expat.ExpatError as error:
            raise FormatError("broken XML", str(error)) from error
        except (UnicodeError, ValueError, LookupError) as error:
            raise FormatError("broken XML", f"{error}") from error

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        namespace, _, element = name.rpartition(" ")
        if not self.transforms and not self.skipping:
            self._start_root(name, attributes)
        elif element in ("svg", "use") and not self.skipping:
            raise FormatError("unsupported element", f"<{element}> within a drawing: save it as a plain SVG without")
        if self.skipping or _is_hidden(attributes) or element in _PASSED_OVER or namespace not in ("", SVG_NAMESPACE):
            self.skipping += 1
            return
        outer = self.transforms[-1] if self.transforms else Transform()
        transform = outer @ parse_transform(attributes.get("transform", ""))
        self.transforms.append(transform)
        if len(self.transforms) > _MAX_DEPTH:
            raise FormatError("SVG nested too deeply", f"more than {_MAX_DEPTH} elements")
        if element in SHAPES:
            self._draw(SHAPES[element](attributes), attributes, transform)

    def _start_root(self, name: str, attributes: dict[str, str]) -> None:
        if name not in ("svg", f"{SVG_NAMESPACE} svg"):
            raise FormatError("not SVG", f"the document is of {name[:60]!r}")
        self.view_box = parse_numbers(attributes["viewBox"]) if "viewBox" in attributes else None
        self.data = {name: value for name, value in attributes.items() if name.startswith("data-")}

    def _end(self, name: str) -> None:
        del name
        if self.skipping:
            self.skipping -= 1
        else:
            self.transforms.pop()

    def _draw(self, outlines: list[Outline], attributes: dict[str, str], transform: Transform) -> None:
        times = _parse_times(attributes["data-t"]) if "data-t" in attributes else None
        for outline in outlines:
            self.points += len(outline.points)
            if transform != Transform():
                outline.points = [transform(place) for place in outline.points]
            self.outlines.append(_Drawn(outline, times))
        if self.points > MAX_POINTS:
            raise too_many_points()


def _is_hidden(attributes: dict[str, str]) -> bool:
    return attributes.get("display") == "none" or "display:none" in attributes.get("style", "").replace(" ", "")


def _parse_times(text: str) -> list[int]:
    parts = text.split()
    if not all(part.isascii() and part.isdigit() and len(part) <= 10 and int(part) <= _MAX_TIME for part in parts):
        raise FormatError("bad time", f"{text[:40]!r}; expected whole milliseconds")
    return list(map(int, parts))


def _refuse_declarations(name: str, system: str | None, public: str | None, internal: int) -> None:
    del name, system, public
    if internal:
        raise FormatError(
            "SVG with declarations", "its document type declares entities or more: save it as a plain SVG"
        )


def _refuse_entity(*_: Any) -> None:
    raise FormatError("SVG with entities", "it refers to an entity, which is never looked up: save it as a plain SVG")


def _raw_strokes(drawn: Sequence[_Drawn]) -> list[Stroke]:
    strokes: list[Stroke] = []
    for one in drawn:
        xy, times = one.outline.points, one.times or []
        if len(times) != len(xy) or not set(one.outline.degrees) <= {1}:
            raise FormatError("unequal x and t", f"a stroke has {len(xy):,} points and {len(times):,} times")
        strokes.append(np.array([[place.real, place.imag, time] for place, time in zip(xy, times, strict=True)]))
    return strokes


def _simplified_strokes(reader: _Reader) -> list[Stroke]:
    places = np.array([place for one in reader.outlines for place in one.outline.points], np.complex128)
    xy = np.stack([places.real, places.imag], axis=1)
    # Written so that not-a-number fails too.
    if not np.abs(xy).max() <= _MAX_PLACE:
        raise FormatError("bad coordinate", "a point lies beyond ±10^9")
    tolerance = max(float(np.ptp(xy, axis=0).max()), 1e-9) * TOLERANCE
    flat = list(_flattened(reader.outlines, tolerance))
    points = to_square(np.concatenate(flat), keep=reader.view_box in _OFFICIAL_BOXES)
    return list(np.split(points, np.cumsum([len(stroke) for stroke in flat])[:-1]))


def _flattened(drawn: Sequence[_Drawn], tolerance: float) -> Iterator[npt.NDArray[np.float64]]:
    count = 0
    for one in drawn:
        points = flatten(one.outline, tolerance)
        count += len(points)
        if count > MAX_POINTS:
            raise too_many_points()
        yield points


def _drawing(data: dict[str, str], strokes: Sequence[Stroke], word: str | None) -> Drawing:
    named = data.get("data-word", word)
    if not named:
        raise FormatError("no word", "the SVG does not name its category: give one with --word")
    if word is not None and named != word:
        raise FormatError("wrong word", f"{named!r} and not {word!r}")
    key_id, country = data.get("data-key-id"), data.get("data-countrycode") or None
    if key_id is not None and not (re.fullmatch(r"[0-9]{1,20}", key_id) and int(key_id) < 2**64):
        raise FormatError("bad key_id", repr(key_id[:40]))
    if country is not None and not re.fullmatch(r"[\x01-\x7f]{1,2}", country):
        raise FormatError("bad countrycode", repr(country[:40]))
    recognized = data.get("data-recognized", "true")
    if recognized not in ("true", "false"):
        raise FormatError("bad recognized", repr(recognized[:40]))
    return Drawing(
        key_id=made_up_key_id(strokes, named, 0) if key_id is None else int(key_id),
        word=named,
        strokes=tuple(strokes),
        recognized=recognized == "true",
        countrycode=country,
        timestamp=_timestamp(data.get("data-timestamp")),
    )


def _timestamp(text: str | None) -> datetime:
    if text is None:
        return _EPOCH
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(timezone.utc) if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    except (ValueError, OverflowError) as error:
        raise FormatError("bad timestamp", repr(text[:40])) from error
