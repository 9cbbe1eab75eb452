"""Drawings as SVG, one per file: a lossless writer, and a reader of SVG from any program.

Written: one `<path>` per stroke in the square of the simplified format, `viewBox="0 0 255 255"`, and the metadata in
`data-` attributes of the root; raw drawings keep their pixels, and their times as `data-t` of each path.

Read: paths and basic shapes with their transforms, `<use>` of local elements; filled shapes by their outlines. Strokes
are what a viewer shows: `svg_styles` computes what is painted and in which colour; pages and other backgrounds, frames
along the edges of the canvas and shapes outside a clip path are not ink. A shape that a clip path cuts is read whole.
Nothing is fetched or executed: external entities and files are rejected; scripts, text and pictures are ignored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import islice
from typing import Any
from xml.etree.ElementTree import Element
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
    parse_length,
    parse_numbers,
    parse_transform,
    too_many_points,
)
from sketchdata.formats.svg_styles import WHITE, Bounds, Paint, Style, StyleSheet

MAX_BYTES = 1 << 25
#: Maximum number of elements, including those that `<use>` creates.
MAX_ELEMENTS = 100_000
#: Tolerance of flattened curves: a quarter of a unit of the 0..255 square, as a share of the drawing's larger side.
TOLERANCE = 0.25 / 255

_MAX_DEPTH = 200
_MAX_TIME = 2**32 - 1
_MAX_PLACE = 1e9
_OFFICIAL_BOXES = ([0, 0, 255, 255], [0, 0, 256, 256])
#: Elements whose content is not drawn in place, or not as lines.
_PASSED_OVER = {
    *("defs", "clipPath", "mask", "marker", "pattern", "symbol", "script", "style", "text", "image", "foreignObject"),
    *("title", "desc", "metadata", "filter", "linearGradient", "radialGradient"),
}
_XLINK_HREF = "http://www.w3.org/1999/xlink href"
#: Limits of a document type declaration: number of declarations, their length, and total length of expanded references.
_MAX_DECLARATIONS, _MAX_VALUE, _MAX_EXPANDED = 64, 1000, 1 << 20
#: A filled shape is a background if it comes this close to all edges of the canvas, as a share of its sides, and
#: fills this share of it.
_EDGE, _COVERED = 0.01, 0.95
#: The line of a frame is this close to all edges.
_FRAME = 0.002
#: Number of preceding filled shapes on which a shape in the background's colour may be visible.
_NEAREST = 64
#: The canvas of a document without a size, as in CSS.
_NO_SIZE = complex(300, 150)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def dump(drawing: Drawing) -> bytes:
    """Return a drawing as an SVG document; `load` returns the same drawing.

    Raises:
        FormatError: The word has a character that XML cannot contain, or a raw coordinate is beyond ±10^9.
    """
    return drawing.svg().encode("utf-8")


def load(content: bytes, *, word: str | None = None, name: str | int = 0) -> Drawing:
    """Read an SVG document as one drawing.

    Each subpath and shape is a stroke. Curves are flattened, see TOLERANCE. If the viewBox is that of the 0..255
    square, points are only rounded; all other drawings are moved and scaled into the square like official simplified
    ones. Files that `dump` wrote give the original drawing; others get default metadata: `made_up_key_id`, no country,
    time 1970, recognized.

    Args:
        content: The whole document.
        word: The category, if the document does not have it; otherwise it must be this one.
        name: Distinguishes the document from equal ones, for example its file name; it is part of a made-up key_id.

    Raises:
        FormatError: The content is not an SVG document, has no strokes or no word, is too large, or needs external
            data.
    """
    if len(content) > MAX_BYTES:
        raise FormatError("SVG too large", f"{len(content):,} bytes, more than {MAX_BYTES:,}")
    root = _TreeBuilder(content).read()
    box = parse_numbers(root.attrib["viewBox"]) if "viewBox" in root.attrib else None
    shapes = _ink(_Painter(root, box))
    if not shapes:
        raise FormatError("empty drawing", "the SVG has no path and no shape that shows on its background")
    timed = [shape.times is not None for shape in shapes]
    if any(timed) and not all(timed):
        raise FormatError("unequal x and t", "some strokes have times, and some have none")
    strokes = _raw_strokes(shapes) if all(timed) else _simplified_strokes(shapes, keep=box in _OFFICIAL_BOXES)
    return _drawing(root.attrib, strokes, word, name)


# ---- the document ----------------------------------------------------------------------------------------------------


@dataclass
class _TreeBuilder:
    """Parses a document to a tree; a document type may declare default attributes and short text entities."""

    content: bytes
    root: Element | None = None
    _open: list[Element] = field(default_factory=list)
    _sheet: list[str] = field(default_factory=list)
    _count: int = 0
    _declared: int = 0
    _expanded: int = 0

    def read(self) -> Element:
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.StartElementHandler, parser.EndElementHandler = self._start, self._end
        parser.CharacterDataHandler, parser.EntityDeclHandler = self._text, self._entity
        parser.AttlistDeclHandler, parser.SkippedEntityHandler = self._attribute, self._unknown_entity
        try:
            parser.Parse(self.content, True)
        except (expat.ExpatError, UnicodeError, ValueError, LookupError) as error:
            raise FormatError("broken XML", str(error)) from error
        if self.root is None:  # expat raised an error
            raise FormatError("broken XML", "it has no element")
        return self.root

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        namespace, _, local = name.rpartition(" ")
        if self.root is None and name not in ("svg", f"{SVG_NAMESPACE} svg"):
            raise FormatError("not SVG", f"the document is of {name[:60]!r}")
        self._count += 1
        if self._count > MAX_ELEMENTS:
            raise FormatError("too many elements", f"more than {MAX_ELEMENTS:,} in one SVG")
        if len(self._open) >= _MAX_DEPTH:
            raise FormatError("SVG nested too deeply", f"more than {_MAX_DEPTH} elements")
        if _XLINK_HREF in attributes:
            attributes.setdefault("href", attributes[_XLINK_HREF])
        element = Element(local if namespace in ("", SVG_NAMESPACE) else f"{{{namespace}}}{local}", attributes)
        if self._open:
            self._open[-1].append(element)
        else:
            self.root = element
        self._open.append(element)

    def _text(self, data: str) -> None:
        if self._open[-1].tag == "style":
            self._sheet.append(data)

    def _end(self, _: str) -> None:
        element = self._open.pop()
        if element.tag == "style":
            element.text = "".join(self._sheet)
            self._sheet.clear()

    def _declare(self, length: int) -> None:
        self._declared += 1
        if self._declared > _MAX_DECLARATIONS or length > _MAX_VALUE or self._expanded > _MAX_EXPANDED:
            raise FormatError("SVG with declarations", "its document type declares too much: save it as a plain SVG")

    def _entity(self, name: str, parameter: int, value: str | None, *_: Any) -> None:
        if parameter or value is None or "&" in value:
            reason = "it declares an entity that is more than text: save it as a plain SVG"
            raise FormatError("SVG with declarations", reason)
        # In every encoding, the bytes of the name are these, except for zeros.
        self._expanded += self.content.replace(b"\0", b"").count(f"&{name};".encode()) * len(value)
        self._declare(len(value))

    def _attribute(self, element: str, name: str, kind: str, default: str | None, required: int) -> None:
        del element, name, kind, required
        if default is not None:
            self._declare(len(default))

    def _unknown_entity(self, *_: Any) -> None:
        raise FormatError("SVG with entities", "it refers to an entity that it does not declare")


# ---- what is drawn ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Shape:
    """One stroke of a document, in the coordinates of the root, and its fill and stroke paint."""

    outline: Outline
    times: list[int] | None
    fill: Paint
    stroke: Paint


@dataclass
class _Painter:
    """Collects the shapes of a document, in document order.

    Attributes:
        root: The document.
        box: Its viewBox, if it has one.
        shapes: Everything that is painted, including backgrounds.
        page: The paint of the page: the root's CSS background.
        canvas: x, y, width and height of the visible part of the document; None without a size.
        is_cut_off: Whether shapes off the canvas are invisible.
    """

    root: Element
    box: list[float] | None
    shapes: list[_Shape] = field(default_factory=list)
    page: Paint = None
    canvas: Bounds | None = None
    is_cut_off: bool = True
    _clip_bounds: dict[str, tuple[Bounds, ...] | None] = field(default_factory=dict)
    _clipping: bool = False
    _seen: int = 0
    _points: int = 0

    def __post_init__(self) -> None:
        self._sheet = StyleSheet(self.root)
        self._named = dict(reversed([(element.attrib.get("id"), element) for element in self.root.iter()]))
        attributes, size = self.root.attrib, _NO_SIZE
        if self.box is not None and len(self.box) == 4 and self.box[2] > 0 and self.box[3] > 0:
            size, self.canvas = complex(self.box[2], self.box[3]), (self.box[0], self.box[1], self.box[2], self.box[3])
        elif "%" not in attributes.get("width", "%") + attributes.get("height", "%"):
            size = complex(*(parse_length(attributes, name, size) for name in ("width", "height")))
            self.canvas = (0, 0, size.real, size.imag)
        self.page = self._sheet.page(self.root)
        overflow = self._sheet.declared(self.root).get("overflow", "hidden")
        # Drawings in official coordinates or with times are read unchanged.
        official = self.box in _OFFICIAL_BOXES or any("data-t" in element.attrib for element in self.root.iter())
        self.is_cut_off = overflow != "visible" and not official
        self._draw_children(self.root, Style(), Transform(), size, 0)

    def _draw_children(
        self, element: Element, outer: Style, transform: Transform, viewport: complex, depth: int
    ) -> None:
        style = self._sheet.style_of(element, outer)
        if style is None:
            return
        if element.tag != "svg" and style.transform:
            transform = transform @ parse_transform(style.transform)
        style = self._clipped(style, transform, viewport, depth)
        if element.tag in SHAPES:
            self._draw(element, style, transform, viewport)
        for child in _chosen(element) if element.tag == "switch" else element:
            self._draw_element(child, style, transform, viewport, depth + 1)

    def _draw_element(
        self, element: Element, outer: Style, transform: Transform, viewport: complex, depth: int
    ) -> None:
        self._seen += 1
        if depth > _MAX_DEPTH or self._seen > MAX_ELEMENTS:
            raise FormatError(
                "SVG nested too deeply", f"<use> makes more than {MAX_ELEMENTS:,} elements, or refers to itself"
            )
        if element.tag in _PASSED_OVER or element.tag.startswith("{"):
            return
        if element.tag == "svg":
            inner, size = _viewport(element.attrib, element.attrib, viewport)
            self._draw_children(element, outer, transform @ inner, size, depth)
        elif element.tag == "use":
            self._use(element, outer, transform, viewport, depth)
        else:
            self._draw_children(element, outer, transform, viewport, depth)

    def _use(self, element: Element, outer: Style, transform: Transform, viewport: complex, depth: int) -> None:
        href = element.attrib.get("href", "").strip()
        if href and not href.startswith("#"):
            raise FormatError("unsupported element", f"<use> of {href[:40]!r}, another file, and none is ever fetched")
        style, target = self._sheet.style_of(element, outer), self._named.get(href[1:]) if href else None
        if style is None or target is None:
            return
        if style.transform:
            transform = transform @ parse_transform(style.transform)
        style = self._clipped(style, transform, viewport, depth)
        x, y = (parse_length(element.attrib, name, viewport) for name in ("x", "y"))
        transform = transform @ Transform(e=x, f=y)
        if target.tag in ("symbol", "svg"):
            place = {name: value for name, value in target.attrib.items() if name not in ("x", "y")}
            place |= {name: element.attrib[name] for name in ("width", "height") if name in element.attrib}
            inner, viewport = _viewport(target.attrib, place, viewport)
            self._draw_children(target, style, transform @ inner, viewport, depth + 1)
        else:
            self._draw_element(target, style, transform, viewport, depth + 1)

    def _clipped(self, style: Style, transform: Transform, viewport: complex, depth: int) -> Style:
        """Add an element's clip path to those of its ancestors."""
        element = self._named.get(style.clip_path) if style.clip_path else None
        if element is None or element.tag != "clipPath":
            return style
        if style.clip_path not in self._clip_bounds:
            self._clip_bounds[style.clip_path] = None  # for a clip path that refers to itself
            self._clip_bounds[style.clip_path] = self._bounds_of_clip(element, viewport, depth)
        found = self._clip_bounds[style.clip_path]
        if found is None:
            return style
        if element.attrib.get("clipPathUnits") == "objectBoundingBox":
            # Relative to the element's bounding box.
            return style if _is_seen((0.0, 0.0, 1.0, 1.0), (found,)) else style._replace(clips=((),))
        corners = [[transform(complex(x, y)) for x in box[::2] for y in box[1::2]] for box in found]
        return style._replace(clips=(*style.clips, tuple(_bounds_of(places) for places in corners)))

    def _bounds_of_clip(self, element: Element, viewport: complex, depth: int) -> tuple[Bounds, ...] | None:
        """Return the bounds of the shapes of a clip path; None if they are unknown."""
        if any(inner.tag == "text" for inner in element.iter()):
            return None
        kept, self.shapes, clipping, self._clipping = self.shapes, [], self._clipping, True
        style = self._sheet.style_of(element, Style())
        if style is not None:
            inner = parse_transform(style.transform) if style.transform else Transform()
            style = self._clipped(style, inner, viewport, depth + 1)
            for child in element:
                self._draw_element(child, style, inner, viewport, depth + 1)
        found, self.shapes, self._clipping = [_bounds(shape) for shape in self.shapes], kept, clipping
        # A clip path without an area hides everything.
        return tuple(box for box in found if box[0] < box[2] and box[1] < box[3])

    def _draw(self, element: Element, style: Style, transform: Transform, viewport: complex) -> None:
        # Under a singular transform nothing is drawn, not even lines.
        painted = self._clipping or style.fill is not None or style.stroke is not None
        if not style.visible or not painted or transform.is_singular:
            return
        outlines = SHAPES[element.tag](element.attrib, viewport)
        times = _parse_times(element.attrib["data-t"]) if "data-t" in element.attrib else None
        for outline in outlines:
            self._points += len(outline.points)
            if transform != Transform():
                outline.points = [transform(place) for place in outline.points]
            shape = _Shape(outline, times, style.fill, style.stroke)
            if not style.clips or _is_seen(_bounds(shape), style.clips):
                self.shapes.append(shape)
        if self._points > MAX_POINTS:
            raise too_many_points()


def _viewport(attributes: dict[str, str], place: dict[str, str], outer: complex) -> tuple[Transform, complex]:
    """Return the transform and the size of a nested canvas. Source: SVG 2, chapter 8.

    Args:
        attributes: viewBox and preserveAspectRatio of the nested element.
        place: Its x, y, width and height in the outer canvas.
        outer: Width and height of the outer canvas.
    """
    x, y, width, height = (parse_length({"width": "100%", "height": "100%", **place}, name, outer) for name in _PLACE)
    box = parse_numbers(attributes.get("viewBox", ""))
    if len(box) != 4 or box[2] <= 0 or box[3] <= 0:
        return Transform(e=x, f=y), complex(width, height)
    aspect = attributes.get("preserveAspectRatio", "xMidYMid meet")
    across, down = width / box[2], height / box[3]
    if "none" not in aspect:
        across = down = max(across, down) if "slice" in aspect else min(across, down)
    shares = {"Min": 0.0, "Mid": 0.5, "Max": 1.0}
    right, below = (shares.get(aspect.strip()[at : at + 3], 0.5) for at in (1, 5))
    left = x + (width - across * box[2]) * right - across * box[0]
    top = y + (height - down * box[3]) * below - down * box[1]
    return Transform(a=across, d=down, e=left, f=top), complex(box[2], box[3])


_PLACE = ("x", "y", "width", "height")


def _chosen(switch: Element) -> list[Element]:
    """Return the child of a `<switch>` that is drawn: the first without extensions and for English."""
    fitting = (
        child
        for child in switch
        if child.tag not in _PASSED_OVER
        and not child.attrib.get("requiredExtensions")
        and any(
            tongue.strip().lower().startswith("en") for tongue in child.attrib.get("systemLanguage", "en").split(",")
        )
    )
    return list(islice(fitting, 1))


def _seen_part(root: Element, canvas: Bounds) -> Bounds:
    """Return left, top, right and bottom of the visible part: the canvas, enlarged to the viewport's aspect ratio."""
    x, y, width, height = canvas
    attributes = root.attrib
    if "%" in attributes.get("width", "%") + attributes.get("height", "%"):
        return x, y, x + width, y + height
    inner, _ = _viewport(attributes, {**attributes, "x": "0", "y": "0"}, complex(width, height))
    if inner.a <= 0 or inner.d <= 0:
        return x, y, x + width, y + height
    size = [parse_length(attributes, name, complex(width, height)) for name in ("width", "height")]
    return -inner.e / inner.a, -inner.f / inner.d, (size[0] - inner.e) / inner.a, (size[1] - inner.f) / inner.d


def _ink(painter: _Painter) -> list[_Shape]:
    """Return the visible shapes, without backgrounds, frames, and shapes in the colour of the background."""
    canvas = painter.canvas
    if canvas is not None and painter.is_cut_off:
        # If everything lies off the canvas, its size is wrong.
        clip = (_seen_part(painter.root, canvas),)
        painter.shapes = [shape for shape in painter.shapes if _is_seen(_bounds(shape), (clip,))] or painter.shapes
    is_frame = [
        shape.stroke is not None and _covers(shape, canvas, _FRAME) and _is_upright(shape) for shape in painter.shapes
    ]
    if canvas is None and len(painter.shapes) > 1:
        # The canvas of a document without a size is the bounding box of its shapes.
        bounds = np.array([_bounds(shape) for shape in painter.shapes])
        (left, top), (right, bottom) = bounds[:, :2].min(axis=0).tolist(), bounds[:, 2:].max(axis=0).tolist()
        canvas = left, top, right - left, bottom - top
    is_ground = [
        it_is or (shape.stroke is None and _covers(shape, canvas))
        for shape, it_is in zip(painter.shapes, is_frame, strict=True)
    ]
    grounds = [shape for shape, it_is in zip(painter.shapes, is_ground, strict=True) if it_is]
    shapes = [shape for shape, it_is in zip(painter.shapes, is_ground, strict=True) if not it_is]
    # A pattern, such as a grid, is on top of a colour.
    plain = [shape.fill for shape in grounds if shape.fill is not None and shape.fill.rgb is not None]
    ground = plain[-1] if plain else painter.page or WHITE
    shown, filled = list[_Shape](), list[Bounds]()
    for shape in shapes:
        if any(paint is not None and paint.differs_from(ground) for paint in (shape.fill, shape.stroke)):
            shown.append(shape)
            filled += [_bounds(shape)] if shape.fill is not None and shape.fill.differs_from(ground) else []
        elif shape.stroke is None and any(_lies_in(_bounds(shape), other) for other in filled[-_NEAREST:]):
            # A shape in the background's colour is visible on top of another shape.
            shown.append(shape)
    frames = [shape for shape, it_is in zip(painter.shapes, is_frame, strict=True) if it_is]
    if shown or frames:
        # A document with only one rectangle is a drawing of it.
        return shown or [shape for shape in frames if shape.stroke is not None and shape.stroke.differs_from(ground)]
    if not grounds:
        # White ink on a transparent canvas, which may be shown on any colour.
        return shapes
    return grounds if not shapes and ground != WHITE else []


def _covers(shape: _Shape, canvas: Bounds | None, edge: float = _EDGE) -> bool:
    if canvas is None:
        return False
    x, y, width, height = canvas
    left, top, right, bottom = _bounds(shape)
    across, down = edge * width, edge * height
    if left > x + across or top > y + down or right < x + width - across or bottom < y + height - down:
        return False
    places = shape.outline.points
    twice = sum((one.conjugate() * other).imag for one, other in zip(places, [*places[1:], places[0]], strict=True))
    return abs(twice) / 2 >= _COVERED * (right - left) * (bottom - top)


def _is_upright(shape: _Shape) -> bool:
    """Return whether a shape is a closed, axis-parallel rectangle, which programs draw and hands do not."""
    left, top, right, bottom = _bounds(shape)
    corners = {complex(x, y) for x in (left, right) for y in (top, bottom)}
    return shape.outline.closed and corners == set(shape.outline.points)


def _is_seen(bounds: Bounds, clips: Sequence[Sequence[Bounds]]) -> bool:
    left, top, right, bottom = bounds
    return all(
        any(left <= box[2] and top <= box[3] and right >= box[0] and bottom >= box[1] for box in clip) for clip in clips
    )


def _lies_in(inner: Bounds, outer: Bounds) -> bool:
    return inner[0] >= outer[0] and inner[1] >= outer[1] and inner[2] <= outer[2] and inner[3] <= outer[3]


def _bounds(shape: _Shape) -> Bounds:
    return _bounds_of(shape.outline.points)


def _bounds_of(places: Sequence[complex]) -> Bounds:
    xs, ys = [place.real for place in places], [place.imag for place in places]
    return min(xs), min(ys), max(xs), max(ys)


# ---- strokes and metadata --------------------------------------------------------------------------------------------


def _parse_times(text: str) -> list[int]:
    parts = text.split()
    if not all(part.isascii() and part.isdigit() and len(part) <= 10 and int(part) <= _MAX_TIME for part in parts):
        raise FormatError("bad time", f"{text[:40]!r}; expected whole milliseconds")
    return list(map(int, parts))


def _raw_strokes(shapes: Sequence[_Shape]) -> list[Stroke]:
    strokes: list[Stroke] = []
    for shape in shapes:
        xy, times = shape.outline.points, shape.times or []
        if len(times) != len(xy) or not set(shape.outline.degrees) <= {1}:
            raise FormatError("unequal x and t", f"a stroke has {len(xy):,} points and {len(times):,} times")
        strokes.append(np.array([[place.real, place.imag, time] for place, time in zip(xy, times, strict=True)]))
    return strokes


def _simplified_strokes(shapes: Sequence[_Shape], *, keep: bool) -> list[Stroke]:
    places = np.array([place for shape in shapes for place in shape.outline.points], np.complex128)
    xy = np.stack([places.real, places.imag], axis=1)
    # Negated, so that NaN fails too.
    if not np.abs(xy).max() <= _MAX_PLACE:
        raise FormatError("bad coordinate", "a point lies beyond ±10^9")
    tolerance = max(float(np.ptp(xy, axis=0).max()), 1e-9) * TOLERANCE

    def flattened() -> Iterator[npt.NDArray[np.float64]]:
        count = 0
        for shape in shapes:
            points = flatten(shape.outline, tolerance)
            count += len(points)
            if count > MAX_POINTS:
                raise too_many_points()
            yield points

    flat = list(flattened())
    points = to_square(np.concatenate(flat), keep=keep)
    return list(np.split(points, np.cumsum([len(stroke) for stroke in flat])[:-1]))


def _drawing(data: dict[str, str], strokes: Sequence[Stroke], word: str | None, name: str | int) -> Drawing:
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
    moment, text = _EPOCH, data.get("data-timestamp")
    if text is not None:
        try:
            moment = datetime.fromisoformat(text)
            moment = moment.astimezone(timezone.utc) if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
        except (ValueError, OverflowError) as error:
            raise FormatError("bad timestamp", repr(text[:40])) from error
    return Drawing(
        key_id=made_up_key_id(strokes, named, name) if key_id is None else int(key_id),
        word=named,
        strokes=tuple(strokes),
        recognized=recognized == "true",
        countrycode=country,
        timestamp=moment,
    )
