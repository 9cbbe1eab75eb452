"""The elements of SVG that draw, as outlines; and their transforms. Source: SVG 2, chapters 8 and 10."""

from __future__ import annotations

import cmath
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sketchdata.errors import FormatError
from sketchdata.formats.svg_path import Outline, parse_numbers, parse_path

Attributes = Mapping[str, str]

_LENGTH = re.compile(r"\s*([^\s%a-df-zA-DF-Z]+)(?:px)?\s*")
_FUNCTION = re.compile(r"[\s,]*([a-zA-Z]+)\s*\(([^()]*)\)")


def _length(attributes: Attributes, name: str) -> float:
    text = attributes.get(name, "0")
    match = _LENGTH.fullmatch(text)
    numbers = parse_numbers(match[1]) if match else []
    if len(numbers) != 1:
        raise FormatError("bad length", f"{name}={text[:20]!r}; expected a number of pixels")
    return numbers[0]


def _line(attributes: Attributes) -> list[Outline]:
    outline = Outline([complex(_length(attributes, "x1"), _length(attributes, "y1"))])
    outline.line(complex(_length(attributes, "x2"), _length(attributes, "y2")))
    return [outline]


def _polyline(attributes: Attributes) -> list[Outline]:
    numbers = parse_numbers(attributes.get("points", ""))
    if len(numbers) % 2:
        raise FormatError("bad points", f"{len(numbers):,} numbers, which are no pairs")
    places = [complex(x, y) for x, y in zip(numbers[::2], numbers[1::2], strict=True)]
    return [Outline(places, [1] * (len(places) - 1))] if places else []


def _polygon(attributes: Attributes) -> list[Outline]:
    outlines = _polyline(attributes)
    for outline in outlines:
        outline.close()
    return outlines


def _rect(attributes: Attributes) -> list[Outline]:
    x, y, width, height = (_length(attributes, name) for name in ("x", "y", "width", "height"))
    if width <= 0 or height <= 0:
        return []
    # One radius given means both.
    radii = {name: _length(attributes, name) for name in ("rx", "ry") if attributes.get(name, "auto") != "auto"}
    rx, ry = (abs(radii.get(name, radii.get(other, 0.0))) for name, other in (("rx", "ry"), ("ry", "rx")))
    rx, ry = min(rx, width / 2), min(ry, height / 2)
    corners = [complex(x, y), complex(x + width, y), complex(x + width, y + height), complex(x, y + height)]
    # Clockwise from the top-left; each corner is left in the direction of the next side.
    steps = [complex(rx, 0), complex(0, ry), complex(-rx, 0), complex(0, -ry)]
    outline = Outline([corners[0] + steps[0]])
    for number, step in enumerate(steps):
        corner, after = corners[(number + 1) % 4], steps[(number + 1) % 4]
        outline.line(corner - step)
        if rx and ry:
            outline.arc(complex(rx, ry), 0, (False, True), corner + after)
    outline.close()
    return [outline]


def _ellipse(attributes: Attributes, names: tuple[str, str] = ("rx", "ry")) -> list[Outline]:
    cx, cy, rx, ry = (_length(attributes, name) for name in ("cx", "cy", *names))
    if rx <= 0 or ry <= 0:
        return []
    centre, radii = complex(cx, cy), complex(rx, ry)
    outline = Outline([centre + rx])
    for away in (complex(0, ry), complex(-rx, 0), complex(0, -ry), complex(rx, 0)):
        outline.arc(radii, 0, (False, True), centre + away)
    outline.close()
    return [outline]


#: {element: its outlines}
SHAPES: dict[str, Callable[[Attributes], list[Outline]]] = {
    "path": lambda attributes: parse_path(attributes.get("d", "")),
    "line": _line,
    "polyline": _polyline,
    "polygon": _polygon,
    "rect": _rect,
    "circle": lambda attributes: _ellipse(attributes, ("r", "r")),
    "ellipse": _ellipse,
}


@dataclass(frozen=True)
class Transform:
    """The affine map (x, y) → (a·x + c·y + e, b·x + d·y + f)."""

    a: float = 1.0
    b: float = 0.0
    c: float = 0.0
    d: float = 1.0
    e: float = 0.0
    f: float = 0.0

    def __call__(self, place: complex) -> complex:
        """Return where a place is mapped to."""
        x, y = place.real, place.imag
        return complex(self.a * x + self.c * y + self.e, self.b * x + self.d * y + self.f)

    def __matmul__(self, inner: Transform) -> Transform:
        """Return the map that does `inner` first."""
        origin = self(complex(inner.e, inner.f))
        one, other = self(complex(inner.a, inner.b)) - self(0j), self(complex(inner.c, inner.d)) - self(0j)
        return Transform(one.real, one.imag, other.real, other.imag, origin.real, origin.imag)


def _rotation(degrees: float, x: float = 0.0, y: float = 0.0) -> Transform:
    turn = cmath.rect(1, math.radians(degrees))
    about = Transform(e=x, f=y)
    return about @ Transform(turn.real, turn.imag, -turn.imag, turn.real) @ Transform(e=-x, f=-y)


#: {function: (how many numbers it may have, the transform that it means)}
_TRANSFORMS: dict[str, tuple[set[int], Callable[..., Transform]]] = {
    "matrix": ({6}, Transform),
    "translate": ({1, 2}, lambda x, y=0.0: Transform(e=x, f=y)),
    "scale": ({1, 2}, lambda x, y=None: Transform(a=x, d=x if y is None else y)),
    "rotate": ({1, 3}, _rotation),
    "skewX": ({1}, lambda degrees: Transform(c=math.tan(math.radians(degrees)))),
    "skewY": ({1}, lambda degrees: Transform(b=math.tan(math.radians(degrees)))),
}


def parse_transform(text: str) -> Transform:
    """Read a `transform` attribute: the functions matrix, translate, scale, rotate, skewX and skewY, in any number.

    Raises:
        FormatError: It is something else.
    """
    whole, at = Transform(), 0
    text = text.strip()
    while at < len(text):
        match = _FUNCTION.match(text, at)
        counts, function = _TRANSFORMS.get(match[1], (set(), Transform)) if match else (set(), Transform)
        values = parse_numbers(match[2]) if match else []
        if match is None or len(values) not in counts:
            raise FormatError("bad transform", f"{text[at : at + 40]!r}")
        whole = whole @ function(*values)
        at = match.end()
    return whole
