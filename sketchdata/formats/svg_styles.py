"""What of an SVG document is painted, and in which colours: attributes, `style` and the rules of `<style>`.

Of CSS, selectors of elements, classes and ids are understood, and what lies within or directly below them; rules with
others do not apply, nor do those within `@media` and its like. Source: SVG 2, chapters 6 (styling) and 13 (painting).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from PIL import ImageColor

from sketchdata.errors import FormatError

#: What is less opaque is not seen, and colours that differ by no more in every channel are the same.
_LEAST_OPACITY, _SAME = 0.01, 8
#: So many rules are looked at, and so often is one tried on an element.
_MAX_RULES, _MAX_TRIES, _ANCESTORS = 2_000, 1_000_000, 50
#: Longer texts of colours are not read.
_LONGEST_COLOUR = 100
#: The units of CSS transforms that SVG's own numbers mean.
_PIXELS_AND_DEGREES = re.compile(r"(?<=[\d.])(?:px|deg)\b")
_PROPERTIES = {
    *("display", "visibility", "opacity", "color", "fill", "stroke", "fill-opacity", "stroke-opacity", "stroke-width"),
    *("transform", "background", "background-color"),
}
_NUMBER = re.compile(r"\s*([+-]?(?:\d{1,9}\.?\d{0,9}|\.\d{1,9}))(?:[eE][+-]?\d{1,2})?\s*(%?)[a-zA-Z]*\s*")
_RGB = re.compile(r"rgba?\(([^()]{0,80})\)")
_COMPOUND = re.compile(r"([a-zA-Z][\w-]*|\*)?((?:[.#][\w-]+)*)")


@dataclass(slots=True)
class Element:
    """An element of a document; `name` is empty where it is none of SVG."""

    name: str
    attributes: dict[str, str]
    parent: Element | None
    children: list[Element] = field(default_factory=list)
    text: list[str] = field(default_factory=list)

    def all(self) -> Iterator[Element]:
        """Yield it and all below it, in the document's order."""
        waiting = [self]
        while waiting:
            element = waiting.pop()
            yield element
            waiting += reversed(element.children)


class Colour(NamedTuple):
    """Red, green and blue, 0 to 255; None of paint whose colours are not known, such as a gradient's."""

    rgb: tuple[int, int, int] | None

    def differs_from(self, other: Colour | None) -> bool:
        """Tell whether one is seen on the other."""
        if self.rgb is None or other is None or other.rgb is None:
            return True
        return max(abs(one - two) for one, two in zip(self.rgb, other.rgb, strict=True)) > _SAME


#: None where nothing is painted.
Paint = Colour | None
BLACK, WHITE, _UNKNOWN = Colour((0, 0, 0)), Colour((255, 255, 255)), Colour(None)


class Style(NamedTuple):
    """What an element inherits and hands down, and its own transform."""

    fill: Paint = BLACK
    stroke: Paint = None
    color: Paint = BLACK
    fill_opacity: float = 1.0
    stroke_opacity: float = 1.0
    stroke_width: float = 1.0
    visible: bool = True
    transform: str = ""
    # The paints as declared: an opacity of 0 hides them where it stands, and not what is within.
    own_fill: Paint = BLACK
    own_stroke: Paint = None


@lru_cache(maxsize=1024)
def parse_paint(text: str, current: Paint = BLACK) -> Paint:
    """Read a colour or another paint; None for none, and for what is transparent.

    Raises:
        ValueError: It is no paint.
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
    if "(" in text and not text.startswith("hsl("):
        return _UNKNOWN
    rgb = ImageColor.getrgb(text)
    return None if len(rgb) == 4 and rgb[3] < 255 * _LEAST_OPACITY else Colour((rgb[0], rgb[1], rgb[2]))


def _number(text: str, default: float, *, whole: float = 1.0) -> float:
    match = _NUMBER.fullmatch(text[:80])
    if match is None:
        return default
    return float(match[1]) * whole / 100 if match[2] else float(match[1])


class _Rule(NamedTuple):
    """Where a rule applies, from the innermost part outwards, and what it declares."""

    parts: tuple[tuple[str, str, frozenset[str]], ...]
    weight: tuple[int, int, int, int]
    declared: dict[str, str]

    def fits(self, element: Element) -> bool:
        """Tell whether the rule applies to an element."""
        here: Element | None = element
        for place, (joint, name, marks) in enumerate(self.parts):
            while here is not None and not _has(here, name, marks):
                here = here.parent if place and joint == " " else None
            if here is None:
                return False
            here = here.parent
        return True


def _has(element: Element, name: str, marks: frozenset[str]) -> bool:
    return name in ("*", element.name) and (not marks or marks <= _marks(element))


def _marks(element: Element) -> set[str]:
    return {f".{word}" for word in element.attributes.get("class", "").split()} | {f"#{element.attributes.get('id')}"}


class StyleSheet:
    """The rules of a document's `<style>` elements, and the style of each of its elements."""

    def __init__(self, root: Element) -> None:
        self._rules: dict[str, list[_Rule]] = {}
        self._tries = 0
        count = 0
        for element in root.all():
            if element.name != "style":
                continue
            for selectors, declared in _blocks("".join(element.text)):
                for selector in selectors.split(","):
                    count += 1
                    if count > _MAX_RULES:
                        raise FormatError("SVG with too many styles", f"more than {_MAX_RULES:,} rules")
                    self._add(selector, declared, count)

    def _add(self, selector: str, declared: dict[str, str], count: int) -> None:
        parts = list[tuple[str, str, frozenset[str]]]()
        joint = " "
        words = selector.replace(">", " > ").split()
        for word in words:
            if word == ">":
                joint = ">"
                continue
            match = _COMPOUND.fullmatch(word)
            if match is None:
                return
            parts.append((joint, match[1] or "*", frozenset(re.findall(r"[.#][\w-]+", match[2]))))
            joint = " "
        if not parts or len(parts) > 8:
            return
        # A joint belongs to the part before it when parts are gone through from the innermost outwards.
        joints = [" ", *(joint for joint, *_ in reversed(parts))][: len(parts)]
        inside_out = tuple((joint, *part[1:]) for joint, part in zip(joints, reversed(parts), strict=True))
        marks = [mark for _, _, some in parts for mark in some]
        weight = (
            sum(mark.startswith("#") for mark in marks),
            sum(mark.startswith(".") for mark in marks),
            sum(name != "*" for _, name, _ in parts),
            count,
        )
        _, name, own = inside_out[0]
        self._rules.setdefault(min(own, default=name), []).append(_Rule(inside_out, weight, declared))

    def declared(self, element: Element) -> dict[str, str]:
        """Return what is declared of an element itself: {property: value}."""
        attributes = element.attributes
        found = {name: attributes[name].strip() for name in _PROPERTIES & attributes.keys()}
        marks = _marks(element) if self._rules else set()
        rules = [rule for key in ("*", element.name, *marks) for rule in self._rules.get(key, ())]
        # Those that go through an element's ancestors take as much longer.
        self._tries += sum(1 if len(rule.parts) == 1 else _ANCESTORS for rule in rules)
        if self._tries > _MAX_TRIES:
            raise FormatError("SVG with too many styles", "its rules apply to too many elements")
        fitting = sorted((rule for rule in rules if rule.fits(element)), key=lambda rule: rule.weight)
        layers = [rule.declared for rule in fitting] + [_declarations(attributes.get("style", ""))]
        important = dict[str, str]()
        for layer in layers:
            for name, value in layer.items():
                plain, mark, _ = value.partition("!")
                (important if mark else found)[name] = plain.strip()
        return found | important

    def page(self, root: Element) -> Paint:
        """Return the colour of a document's page, where CSS gives it one."""
        declared = self.declared(root)
        paint = _paint(declared.get("background-color", declared.get("background", "none")), None, None)
        return None if paint is None or paint.rgb is None else paint

    def style_of(self, element: Element, outer: Style) -> Style | None:
        """Return an element's style within an outer one; None where neither it nor anything within it is seen."""
        declared = self.declared(element)
        get = declared.get
        if get("display", "").lower() == "none" or _number(get("opacity", "1"), 1.0) < _LEAST_OPACITY:
            return None
        color = _paint(get("color", "inherit"), outer.color, outer.color)
        own_fill = _paint(get("fill", "inherit"), outer.own_fill, color)
        own_stroke = _paint(get("stroke", "inherit"), outer.own_stroke, color)
        fill_opacity = _number(get("fill-opacity", ""), outer.fill_opacity)
        stroke_opacity = _number(get("stroke-opacity", ""), outer.stroke_opacity)
        stroke_width = _number(get("stroke-width", ""), outer.stroke_width)
        visibility = get("visibility", "inherit").lower()
        return Style(
            fill=own_fill if fill_opacity >= _LEAST_OPACITY else None,
            stroke=own_stroke if stroke_opacity >= _LEAST_OPACITY and stroke_width > 0 else None,
            color=color,
            fill_opacity=fill_opacity,
            stroke_opacity=stroke_opacity,
            stroke_width=stroke_width,
            visible=outer.visible if visibility == "inherit" else visibility == "visible",
            transform="" if get("transform", "none") == "none" else _PIXELS_AND_DEGREES.sub("", declared["transform"]),
            own_fill=own_fill,
            own_stroke=own_stroke,
        )


def _paint(text: str, inherited: Paint, current: Paint) -> Paint:
    if len(text) > _LONGEST_COLOUR:
        return _UNKNOWN
    try:
        return inherited if text == "inherit" else parse_paint(text, current)
    except ValueError:
        # What cannot be read is as good as not declared.
        return inherited


def _declarations(text: str) -> dict[str, str]:
    pairs = (part.partition(":") for part in text.split(";"))
    named = ((name.strip().lower(), value.strip()) for name, _, value in pairs)
    return {name: value for name, value in named if name in _PROPERTIES and value}


def _blocks(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the selectors and the declarations of each rule; what begins with @ is left out, all of it."""
    pieces, at = [], 0
    while (start := text.find("/*", at)) >= 0:
        pieces.append(text[at:start])
        end = text.find("*/", start + 2)
        at = len(text) if end < 0 else end + 2
    text, at = "".join([*pieces, text[at:]]), 0
    while (opened := text.find("{", at)) >= 0:
        # Such as @import, which has no block.
        selectors = text[at:opened].rpartition(";")[2].strip()
        closed = text.find("}", opened)
        if selectors.startswith("@"):
            depth, closed = 1, opened
            for match in re.compile(r"[{}]").finditer(text, opened + 1):
                depth += 1 if match[0] == "{" else -1
                closed = match.start()
                if not depth:
                    break
        elif closed > 0:
            yield selectors, _declarations(text[opened + 1 : closed])
        if closed <= opened:
            return
        at = closed + 1
