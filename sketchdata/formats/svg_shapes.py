"""SVG shapes as outlines of lines and cubic curves, and outlines as points.

Every curve is converted to a cubic one, whose control points can be transformed exactly. Source:
Scalable Vector Graphics 2, chapters 9 (paths) and B.2 (elliptical arcs), https://www.w3.org/TR/SVG2/paths.html.
"""

from __future__ import annotations

import cmath
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sketchdata.errors import FormatError

#: Maximum number of points of a drawing, before and after flattening; the longest official ones have about ten
#: thousand.
MAX_POINTS = 100_000

_NUMBER = re.compile(r"[\s,]*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4})?)")
_FLAG = re.compile(r"[\s,]*([01])")
_COMMAND = re.compile(r"[\s,]*([A-Za-z])")
_MAX_NUMBER = 1e9
#: An ellipse with a smaller radius is a line.
_MIN_RADIUS = 1e-9
_BLANK = re.compile(r"[\s,]*\Z")
_ARGUMENTS = {"M": 2, "L": 2, "H": 1, "V": 1, "Z": 0, "C": 6, "S": 4, "Q": 4, "T": 2, "A": 7}


@dataclass
class Outline:
    """One subpath, as complex numbers x + iy: its start, then one point for a line and three for a cubic curve.

    Attributes:
        points: Start, control points and ends.
        degrees: 1 for each line, 3 for each curve, in order.
        closed: Whether it was closed explicitly; the closing line is in `points`.
    """

    points: list[complex]
    degrees: list[int] = field(default_factory=list)
    closed: bool = False

    def line(self, end: complex) -> None:
        """Append a line."""
        self.points.append(end)
        self.degrees.append(1)

    def cubic(self, first: complex, second: complex, end: complex) -> None:
        """Append a cubic Bézier curve."""
        self.points += (first, second, end)
        self.degrees.append(3)

    def quadratic(self, control: complex, end: complex) -> None:
        """Append a quadratic Bézier curve as the equivalent cubic one."""
        start = self.points[-1]
        self.cubic(start + (control - start) * 2 / 3, end + (control - end) * 2 / 3, end)

    def arc(self, radii: complex, degrees: float, flags: tuple[bool, bool], end: complex) -> None:
        """Append an elliptical arc as cubic curves of at most a quarter, with an error of 0.03 % of the radius.

        Args:
            radii: The semi-axes of the ellipse.
            degrees: Its rotation.
            flags: The large-arc flag and the sweep flag (increasing angle).
            end: The end point.
        """
        for piece in _arc_pieces(self.points[-1], radii, degrees, flags, end):
            self.cubic(*piece)

    def close(self) -> None:
        """Close the outline, with a line to the start if necessary."""
        self.closed = True
        if self.points[-1] != self.points[0]:
            self.line(self.points[0])


def _arc_pieces(
    start: complex, radii: complex, degrees: float, flags: tuple[bool, bool], end: complex
) -> list[tuple[complex, complex, complex]]:
    rx, ry = abs(radii.real), abs(radii.imag)
    if start == end:
        return []
    if min(rx, ry) < _MIN_RADIUS:
        return [(start + (end - start) / 3, start + (end - start) * 2 / 3, end)]
    turn = cmath.rect(1, math.radians(degrees % 360))
    # In the coordinate system in which the ellipse is the unit circle.
    one, other = (_unscale(place / turn, rx, ry) for place in (start, end))
    half = (other - one) / 2
    reach = abs(half)
    if reach > 1:  # too small an ellipse is scaled up until it fits
        rx, ry, one, other, half = rx * reach, ry * reach, one / reach, other / reach, half / reach
    large, growing = flags
    away = math.sqrt(max(0.0, 1 / max(abs(half) ** 2, 1e-300) - 1))
    centre = (one + other) / 2 + half * 1j * away * (1 if large != growing else -1)
    from_angle, to_angle = cmath.phase(one - centre), cmath.phase(other - centre)
    sweep = (to_angle - from_angle) % math.tau if growing else -((from_angle - to_angle) % math.tau)
    count = max(1, math.ceil(abs(sweep) / (math.pi / 2) - 1e-9))
    step = sweep / count
    handle = 4 / 3 * math.tan(step / 4) * 1j
    pieces = []
    for number in range(count):
        a, b = (cmath.rect(1, from_angle + step * (number + i)) for i in (0, 1))
        circle = (a + a * handle, b - b * handle, b)
        first, second, last = (_scale(place + centre, rx, ry) * turn for place in circle)
        pieces.append((first, second, end if number == count - 1 else last))
    return pieces


def _scale(place: complex, rx: float, ry: float) -> complex:
    return complex(place.real * rx, place.imag * ry)


def _unscale(place: complex, rx: float, ry: float) -> complex:
    return complex(place.real / rx, place.imag / ry)


def parse_numbers(text: str) -> list[float]:
    """Parse numbers that are separated by white space or commas, as in `points` and `viewBox`.

    Raises:
        FormatError: There is something else, or more than 2 · MAX_POINTS numbers.
    """
    values, at = [], 0
    while not _BLANK.match(text, at):
        match = _NUMBER.match(text, at)
        if match is None:
            raise FormatError("bad number", f"{text[at : at + 20]!r}")
        values.append(_bounded(match[1]))
        at = match.end()
        if len(values) > 2 * MAX_POINTS:
            raise too_many_points()
    return values


def too_many_points() -> FormatError:
    """Return the error for a drawing with more than MAX_POINTS points."""
    return FormatError("too many points", f"more than {MAX_POINTS:,} in one drawing: simplify it first")


def _bounded(text: str) -> float:
    value = float(text)
    if abs(value) > _MAX_NUMBER:
        raise FormatError("bad coordinate", f"{text[:20]} is beyond ±10^9")
    return value


def parse_path(text: str) -> list[Outline]:
    """Parse path data with all commands of SVG, absolute and relative; subpaths of a single moveto draw nothing.

    Raises:
        FormatError: The text is not path data, or has more than MAX_POINTS points.
    """
    reader = _PathReader(text)
    reader.read()
    return [outline for outline in reader.outlines if outline.degrees or outline.closed]


class _PathReader:
    """A parser of path data; the current point is the last point of the last outline."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0
        self.outlines: list[Outline] = []
        #: The command and the last control point of the previous curve, which S and T reflect.
        self.last_curve: tuple[str, complex] | None = None
        self.count = 0

    def read(self) -> None:
        """Parse the path data."""
        text = self.text
        while not _BLANK.match(text, self.at):
            match = _COMMAND.match(text, self.at)
            letter = match[1].upper() if match else ""
            if match is None or letter not in _ARGUMENTS or (not self.outlines and letter != "M"):
                raise self._fault("no command")
            self.at = match.end()
            relative = match[1].islower()
            self._draw(letter, relative)
            # More numbers repeat the command, and after a moveto they are linetos.
            letter = "L" if letter == "M" else letter
            while letter != "Z" and _NUMBER.match(text, self.at):
                self._draw(letter, relative)

    def _draw(self, letter: str, relative: bool) -> None:
        values = self._arc_values() if letter == "A" else [self._number() for _ in range(_ARGUMENTS[letter])]
        self.count += 1 + (letter not in "MLHVZ") * 2
        if self.count > MAX_POINTS:
            raise too_many_points()
        if letter == "M":
            place = complex(*values) + (self.outlines[-1].points[-1] if relative and self.outlines else 0)
            self.outlines.append(Outline([place]))
            self.last_curve = None
            return
        outline = self.outlines[-1]
        if letter == "Z":
            outline.close()
        else:
            if outline.closed:  # after a closepath, the next subpath starts at the same point
                outline = Outline([outline.points[0]])
                self.outlines.append(outline)
            self._extend(outline, letter, values, outline.points[-1] if relative else 0j)
        if letter not in "CSQT":
            self.last_curve = None

    def _extend(self, outline: Outline, letter: str, values: Sequence[float], origin: complex) -> None:
        pen = outline.points[-1]
        if letter == "H":
            outline.line(complex(values[0] + origin.real, pen.imag))
        elif letter == "V":
            outline.line(complex(pen.real, values[0] + origin.imag))
        elif letter == "A":
            end = complex(values[5], values[6]) + origin
            outline.arc(complex(values[0], values[1]), values[2], (bool(values[3]), bool(values[4])), end)
        else:
            places = [complex(x, y) + origin for x, y in zip(values[::2], values[1::2], strict=True)]
            self._curve(outline, letter, places)

    def _curve(self, outline: Outline, letter: str, places: list[complex]) -> None:
        if letter == "L":
            outline.line(places[0])
            return
        if letter in "ST":
            pen, kin = outline.points[-1], ("C", "S") if letter == "S" else ("Q", "T")
            follows = self.last_curve is not None and self.last_curve[0] in kin
            places = [2 * pen - self.last_curve[1] if self.last_curve and follows else pen, *places]
        self.last_curve = letter, places[-2]
        if len(places) == 3:
            outline.cubic(*places)
        else:
            outline.quadratic(*places)

    def _arc_values(self) -> list[float]:
        # Nothing need separate the flags from each other and from the next number.
        radii = [self._number() for _ in range(3)]
        flags = [self._number(_FLAG) for _ in range(2)]
        return [*radii, *flags, self._number(), self._number()]

    def _number(self, pattern: re.Pattern[str] = _NUMBER) -> float:
        match = pattern.match(self.text, self.at)
        if match is None:
            raise self._fault("no number")
        self.at = match.end()
        return _bounded(match[1])

    def _fault(self, what: str) -> FormatError:
        return FormatError("bad path", f"{what} at character {self.at}: {self.text[self.at : self.at + 20]!r}")


def flatten(outline: Outline, tolerance: float) -> npt.NDArray[np.float64]:
    """Flatten an outline to points, with a maximum distance between curve and polyline.

    The number of pieces of a cubic is Wang's bound, from the largest second difference of its control points.

    Returns:
        (n, 2) x and y, including the start and the end of every line and curve.
    """
    points, out, at = outline.points, [outline.points[:1]], 0
    for degree in outline.degrees:
        if degree == 1:
            out.append([points[at + 1]])
        else:
            out.append(_cubic_points(*points[at : at + 4], tolerance=tolerance))
        at += degree
    flat = np.array([place for places in out for place in places], np.complex128)
    return np.stack([flat.real, flat.imag], axis=1)


def _cubic_points(a: complex, b: complex, c: complex, d: complex, *, tolerance: float) -> list[complex]:
    bend = max(abs(a - 2 * b + c), abs(b - 2 * c + d))
    pieces = min(MAX_POINTS, max(1, math.ceil(math.sqrt(0.75 * bend / tolerance))))
    inner = []
    for number in range(1, pieces):
        t = number / pieces
        s = 1 - t
        inner.append(s * s * s * a + 3 * s * s * t * b + 3 * s * t * t * c + t * t * t * d)
    return [*inner, d]


# ---- elements that draw, and their transforms: SVG 2, chapters 8 and 10 ----------------------------------------------

Attributes = Mapping[str, str]

_LENGTH = re.compile(r"\s*([+-]?[\d.]{1,40}(?:[eE][+-]?\d{1,4})?)\s*([a-zA-Z]{0,3}|%)\s*")
#: {unit: pixels}; `em` and `ex` for the default font size of browsers.
_UNITS = {"": 1.0, "px": 1.0, "pt": 4 / 3, "pc": 16.0, "mm": 96 / 25.4, "cm": 96 / 2.54, "q": 96 / 101.6, "in": 96.0}
_UNITS |= {"em": 16.0, "rem": 16.0, "ex": 8.0}
_FUNCTION = re.compile(r"[\s,]*([a-zA-Z]+)\s*\(([^()]*)\)")


def parse_length(attributes: Attributes, name: str, viewport: complex) -> float:
    """Parse a length to pixels, 0 if it is missing; percentages are of the viewport's width, height or diagonal.

    Raises:
        FormatError: The text is not a length.
    """
    text = attributes.get(name, "0")
    match = _LENGTH.fullmatch(text)
    numbers = parse_numbers(match[1]) if match else []
    if match is None or len(numbers) != 1 or match[2].lower() not in {*_UNITS, "%"}:
        raise FormatError(
            "bad length", f"{name}={text[:20]!r}; expected a number, alone or with a unit such as px or %"
        )
    if match[2] != "%":
        return numbers[0] * _UNITS[match[2].lower()]
    whole = abs(viewport) / math.sqrt(2)
    if name in ("x", "x1", "x2", "cx", "rx", "width"):
        whole = viewport.real
    elif name in ("y", "y1", "y2", "cy", "ry", "height"):
        whole = viewport.imag
    return numbers[0] / 100 * whole


def _line(attributes: Attributes, viewport: complex) -> list[Outline]:
    x1, y1, x2, y2 = (parse_length(attributes, name, viewport) for name in ("x1", "y1", "x2", "y2"))
    outline = Outline([complex(x1, y1)])
    outline.line(complex(x2, y2))
    return [outline]


def _polyline(attributes: Attributes, _: complex) -> list[Outline]:
    numbers = parse_numbers(attributes.get("points", ""))
    if len(numbers) % 2:
        raise FormatError("bad points", f"{len(numbers):,} numbers, which are not pairs")
    places = [complex(x, y) for x, y in zip(numbers[::2], numbers[1::2], strict=True)]
    return [Outline(places, [1] * (len(places) - 1))] if places else []


def _polygon(attributes: Attributes, viewport: complex) -> list[Outline]:
    outlines = _polyline(attributes, viewport)
    for outline in outlines:
        outline.close()
    return outlines


def _rect(attributes: Attributes, viewport: complex) -> list[Outline]:
    x, y, width, height = (parse_length(attributes, name, viewport) for name in ("x", "y", "width", "height"))
    if width <= 0 or height <= 0:
        return []
    # One given radius applies to both axes.
    given = [name for name in ("rx", "ry") if attributes.get(name, "auto") != "auto"]
    radii = {name: parse_length(attributes, name, viewport) for name in given}
    rx, ry = (abs(radii.get(name, radii.get(other, 0.0))) for name, other in (("rx", "ry"), ("ry", "rx")))
    rx, ry = min(rx, width / 2), min(ry, height / 2)
    corners = [complex(x, y), complex(x + width, y), complex(x + width, y + height), complex(x, y + height)]
    # Clockwise from the top left.
    steps = [complex(rx, 0), complex(0, ry), complex(-rx, 0), complex(0, -ry)]
    outline = Outline([corners[0] + steps[0]])
    for number, step in enumerate(steps):
        corner, after = corners[(number + 1) % 4], steps[(number + 1) % 4]
        outline.line(corner - step)
        if rx and ry:
            outline.arc(complex(rx, ry), 0, (False, True), corner + after)
    outline.close()
    return [outline]


def _ellipse(attributes: Attributes, viewport: complex, names: tuple[str, str] = ("rx", "ry")) -> list[Outline]:
    cx, cy, rx, ry = (parse_length(attributes, name, viewport) for name in ("cx", "cy", *names))
    if rx <= 0 or ry <= 0:
        return []
    centre, radii = complex(cx, cy), complex(rx, ry)
    outline = Outline([centre + rx])
    for away in (complex(0, ry), complex(-rx, 0), complex(0, -ry), complex(rx, 0)):
        outline.arc(radii, 0, (False, True), centre + away)
    outline.close()
    return [outline]


#: {element: function that returns its outlines from its attributes and the width and height for percentages}
SHAPES: dict[str, Callable[[Attributes, complex], list[Outline]]] = {
    "path": lambda attributes, _: parse_path(attributes.get("d", "")),
    "line": _line,
    "polyline": _polyline,
    "polygon": _polygon,
    "rect": _rect,
    "circle": lambda attributes, viewport: _ellipse(attributes, viewport, ("r", "r")),
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
        """Return the image of a point."""
        x, y = place.real, place.imag
        return complex(self.a * x + self.c * y + self.e, self.b * x + self.d * y + self.f)

    @property
    def is_singular(self) -> bool:
        """Whether the map is not invertible."""
        return self.a * self.d == self.b * self.c

    def __matmul__(self, inner: Transform) -> Transform:
        """Return the composition that applies `inner` first."""
        origin = self(complex(inner.e, inner.f))
        one, other = self(complex(inner.a, inner.b)) - self(0j), self(complex(inner.c, inner.d)) - self(0j)
        return Transform(one.real, one.imag, other.real, other.imag, origin.real, origin.imag)


def _rotation(degrees: float, x: float = 0.0, y: float = 0.0) -> Transform:
    turn = cmath.rect(1, math.radians(degrees))
    about = Transform(e=x, f=y)
    return about @ Transform(turn.real, turn.imag, -turn.imag, turn.real) @ Transform(e=-x, f=-y)


#: {function: (allowed numbers of arguments, function that returns the transform)}
_TRANSFORMS: dict[str, tuple[set[int], Callable[..., Transform]]] = {
    "matrix": ({6}, Transform),
    "translate": ({1, 2}, lambda x, y=0.0: Transform(e=x, f=y)),
    "translateX": ({1}, lambda x: Transform(e=x)),
    "translateY": ({1}, lambda y: Transform(f=y)),
    "scale": ({1, 2}, lambda x, y=None: Transform(a=x, d=x if y is None else y)),
    "scaleX": ({1}, lambda x: Transform(a=x)),
    "scaleY": ({1}, lambda y: Transform(d=y)),
    "rotate": ({1, 3}, _rotation),
    "skewX": ({1}, lambda degrees: Transform(c=math.tan(math.radians(degrees)))),
    "skewY": ({1}, lambda degrees: Transform(b=math.tan(math.radians(degrees)))),
}


def parse_transform(text: str) -> Transform:
    """Parse a `transform` attribute: any number of matrix, translate, scale, rotate, skewX and skewY.

    Raises:
        FormatError: The text is not a transform.
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
