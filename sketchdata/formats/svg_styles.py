"""Styles of an SVG document, from attributes, `style` and `<style>`: what is painted, and in which colours.

Source: SVG 2, chapters 6 (styling) and 13 (painting).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple
from xml.etree.ElementTree import Element

from PIL import ImageColor

#: Minimum opacity of visible paint, and maximum difference per channel of colours that count as equal.
_LEAST_OPACITY, _SAME = 0.01, 8
#: Maximum length of a colour's text.
_LONGEST_COLOUR = 100
#: The units of CSS transforms that are the default in SVG.
_PIXELS_AND_DEGREES = re.compile(r"(?<=[\d.])(?:px|deg)\b")
_PROPERTIES = {
    *("display", "visibility", "opacity", "color", "fill", "stroke", "fill-opacity", "stroke-opacity", "stroke-width"),
    *("transform", "background", "background-color", "clip-path", "overflow", "filter"),
}
_VALUE = r"[-+]?(?:[0-9]{0,9}\.)?[0-9]{1,9}"
#: {property of CSS alone, as attributes of these names have other meanings: its values in the plane}.
_MOVES = {
    "translate": re.compile(rf"{_VALUE}(?:px)?(?:\s+{_VALUE}(?:px)?)?"),
    "rotate": re.compile(rf"{_VALUE}deg"),
    "scale": re.compile(rf"{_VALUE}(?:\s+{_VALUE})?"),
}
_READ = _PROPERTIES | _MOVES.keys()
_FILTER_OPACITY = re.compile(r"opacity\(([^()]{0,40})\)", re.IGNORECASE)
_NUMBER = re.compile(r"\s*([+-]?(?:\d{1,9}\.?\d{0,9}|\.\d{1,9})(?:[eE][+-]?\d{1,2})?)\s*(%?)[a-zA-Z]*\s*")
_LOCAL = re.compile(r"url\(\s*[\"']?#([^\"')]{1,200})[\"']?\s*\)")
#: Values that mean that an element has no transform.
_NOTHING = {"none", "inherit", "initial", "unset", "revert"}
_RGB = re.compile(r"rgba?\(([^()]{0,80})\)")


class Colour(NamedTuple):
    """Red, green and blue, 0..255; None for paint with unknown colours, such as a gradient."""

    rgb: tuple[int, int, int] | None

    def differs_from(self, other: Colour | None) -> bool:
        """Return whether one is visible on the other."""
        if self.rgb is None or other is None or other.rgb is None:
            return True
        return max(abs(one - two) for one, two in zip(self.rgb, other.rgb, strict=True)) > _SAME


#: None for no paint.
Paint = Colour | None
BLACK, WHITE, _UNKNOWN = Colour((0, 0, 0)), Colour((255, 255, 255)), Colour(None)


#: Left, top, right and bottom.
Bounds = tuple[float, float, float, float]


class Style(NamedTuple):
    """The inherited properties of an element, and its own transform and clip path.

    `clips` are the clip paths of the element and its ancestors, each as the bounds of its shapes in document
    coordinates: anything outside all bounds of one clip path is invisible.
    """

    fill: Paint = BLACK
    stroke: Paint = None
    color: Paint = BLACK
    fill_opacity: float = 1.0
    stroke_opacity: float = 1.0
    stroke_width: float = 1.0
    visible: bool = True
    transform: str = ""
    clip_path: str = ""
    clips: tuple[tuple[Bounds, ...], ...] = ()
    # The declared paints: an opacity of 0 hides them in this element, but not in its children.
    own_fill: Paint = BLACK
    own_stroke: Paint = None


@lru_cache(maxsize=1024)
def parse_paint(text: str, current: Paint = BLACK) -> Paint:
    """Parse a colour or another paint; None for `none` and transparent colours.

    Raises:
        ValueError: The text is not a paint.
    """
    text = text.strip().lower()
    if text in ("none", "transparent", ""):
        return None
    if text == "currentcolor":
        return current
    match = _RGB.fullmatch(text)
    if match:
        parts = [number for number in re.split(r"[\s,/]+", match[1].strip()) if number]
        values = [_number(part, 0.0, whole=255 if place < 3 else 1) for place, part in enumerate(parts)]
        if len(values) not in (3, 4):
            raise ValueError(text)
        red, green, blue = (min(max(round(value), 0), 255) for value in values[:3])
        return None if len(values) == 4 and values[3] < _LEAST_OPACITY else Colour((red, green, blue))
    if "(" in text:
        return _parse_function(text)
    rgb = ImageColor.getrgb(text)
    return None if len(rgb) == 4 and rgb[3] < 255 * _LEAST_OPACITY else Colour((rgb[0], rgb[1], rgb[2]))


def _parse_function(text: str) -> Paint:
    """Read a colour such as `hsl(0 0% 100% / 50%)`."""
    from tinycss2 import color4

    colour = color4.parse_color(text)
    if colour is None or colour == "currentcolor":
        return _UNKNOWN
    if colour.alpha < _LEAST_OPACITY:
        return None
    try:
        red, green, blue = (min(max(round(255 * part), 0), 255) for part in colour.to("srgb").coordinates)
    except (NotImplementedError, TypeError, ValueError):  # of other spaces, and `none` in place of a number
        return _UNKNOWN
    return Colour((red, green, blue))


def _number(text: str, default: float, *, whole: float = 1.0) -> float:
    match = _NUMBER.fullmatch(text[:80])
    if match is None:
        return default
    return float(match[1]) * whole / 100 if match[2] else float(match[1])


class StyleSheet:
    """The style of each element of a document.

    Raises:
        FormatError: The document's style sheets are too large.
    """

    def __init__(self, root: Element) -> None:
        self._declarations = lru_cache(maxsize=4096)(_declarations)
        self._rules = None
        sheets = [element.text for element in root.iter("style") if element.text]
        if sheets:
            # Imported here, because it is slow to import.
            from sketchdata.formats.css import StyleRules

            self._rules = StyleRules(sheets, root)

    def declared(self, element: Element) -> dict[str, str]:
        """Return the declarations of an element: {property: value}."""
        attributes = element.attrib
        found = {name: attributes[name].strip() for name in _PROPERTIES & attributes.keys()}
        blocks = [*(self._rules.blocks(element) if self._rules else ()), attributes.get("style", "")]
        important = dict[str, str]()
        for block in blocks:
            for name, value in self._declarations(block).items():
                plain, mark, _ = value.partition("!")
                (important if mark else found)[name] = plain.strip()
        return found | important

    def page(self, root: Element) -> Paint:
        """Return the paint of a document's page, if CSS declares one."""
        declared = self.declared(root)
        paint = _paint(declared.get("background-color", declared.get("background", "none")), None, None)
        return None if paint is None or paint.rgb is None else paint

    def style_of(self, element: Element, outer: Style) -> Style | None:
        """Return an element's style, given its parent's; None if neither it nor its children are visible."""
        declared = self.declared(element)
        get = declared.get
        opacities = [get("opacity", "1"), *_FILTER_OPACITY.findall(get("filter", "")[:1000])]
        if get("display", "").lower() == "none" or min(_number(each, 1.0) for each in opacities) < _LEAST_OPACITY:
            return None
        color = _paint(get("color", "inherit"), outer.color, outer.color)
        own_fill = _paint(get("fill", "inherit"), outer.own_fill, color)
        own_stroke = _paint(get("stroke", "inherit"), outer.own_stroke, color)
        fill_opacity = _number(get("fill-opacity", ""), outer.fill_opacity)
        stroke_opacity = _number(get("stroke-opacity", ""), outer.stroke_opacity)
        stroke_width = _number(get("stroke-width", ""), outer.stroke_width)
        visibility = get("visibility", "inherit").lower()
        moves = "".join(f"{name}({get(name)})" for name, kind in _MOVES.items() if kind.fullmatch(get(name, "")[:100]))
        transform, clip = get("transform", "none"), _LOCAL.match(get("clip-path", "none")[:300])
        return Style(
            fill=own_fill if fill_opacity >= _LEAST_OPACITY else None,
            stroke=own_stroke if stroke_opacity >= _LEAST_OPACITY and stroke_width > 0 else None,
            color=color,
            fill_opacity=fill_opacity,
            stroke_opacity=stroke_opacity,
            stroke_width=stroke_width,
            visible=outer.visible if visibility == "inherit" else visibility == "visible",
            transform=_PIXELS_AND_DEGREES.sub("", moves + ("" if transform.lower() in _NOTHING else transform)),
            clip_path=clip[1].strip() if clip else "",
            clips=outer.clips,
            own_fill=own_fill,
            own_stroke=own_stroke,
        )


def _paint(text: str, inherited: Paint, current: Paint) -> Paint:
    if len(text) > _LONGEST_COLOUR:
        return _UNKNOWN
    try:
        return inherited if text == "inherit" else parse_paint(text, current)
    except ValueError:
        # An invalid value counts as not declared.
        return inherited


def _declarations(text: str) -> dict[str, str]:
    pairs = (part.partition(":") for part in text.split(";"))
    named = ((name.strip().lower(), value.strip()) for name, _, value in pairs)
    return {name: value for name, value in named if name in _READ and value}
