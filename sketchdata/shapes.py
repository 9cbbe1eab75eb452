"""Boxes, lines and words on a white page, as SVG text or as PNG pixels: one description for both."""

from __future__ import annotations

import html
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from PIL import Image, ImageDraw, ImageFont

Point: TypeAlias = tuple[float, float]

#: Of a PNG: pixels a unit, and how many times as large it is painted before it is made smaller, which smooths edges.
_PIXELS, _FINER = 2, 2
#: Of most Linux machines, found by name wherever they keep it; else Pillow's own, which has little beyond ASCII.
_FONTS = {False: "DejaVuSans.ttf", True: "DejaVuSans-Bold.ttf"}
_SVG_FONTS = "'DejaVu Sans', Verdana, sans-serif"
_UNKNOWN = "\ufffd"


@dataclass(frozen=True, kw_only=True)
class Box:
    """A rectangle with round corners.

    Attributes:
        at: Left and top.
        size: Width and height.
        fill: Colour `#rrggbb`; None for none.
        line: Colour of its edge; None for none.
        about: What a pointer that rests on it is told; SVG alone.
    """

    at: Point
    size: Point
    fill: str | None = None
    line: str | None = None
    about: str | None = None


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line from point to point with round ends; of a single place, a dot."""

    points: Sequence[Point]
    colour: str
    width: float


@dataclass(frozen=True, kw_only=True)
class Label:
    """Words on one line.

    Attributes:
        at: Where they begin, or end where `from_right`, and their base line.
        text: Any; characters that cannot be shown are replaced.
        colour: `#rrggbb`.
        size: Of the letters.
        bold: Whether they are thick.
        from_right: Whether they end at `at`.
    """

    at: Point
    text: str
    colour: str
    size: float
    bold: bool = False
    from_right: bool = False


Shape: TypeAlias = Box | Line | Label


def printable(text: str, limit: int | None = None) -> str:
    """Return text without what no document can hold, cut to a number of characters."""
    shown = "".join(letter if letter.isprintable() else _UNKNOWN for letter in text)
    return shown if limit is None or len(shown) <= limit else f"{shown[: limit - 1].rstrip()}…"


# ---- SVG -------------------------------------------------------------------------------------------------------------


def to_svg(shapes: Sequence[Shape], size: Point, title: str) -> bytes:
    """Return a document that needs nothing from elsewhere, on white.

    Args:
        shapes: The first one lies below the others.
        size: Width and height.
        title: What it is to readers who do not see it.
    """
    width, height = (f"{side:g}" for side in size)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" font-family="{_SVG_FONTS}">\n<title>{_escape(title)}</title>\n'
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>\n'
    )
    return "".join([head, *map(_svg_of, shapes), "</svg>\n"]).encode("utf-8")


def _svg_of(shape: Shape) -> str:
    if isinstance(shape, Box):
        (x, y), (width, height) = shape.at, shape.size
        look = f'fill="{shape.fill or "none"}"' + (f' stroke="{shape.line}"' if shape.line else "")
        about = f"><title>{_escape(shape.about)}</title></rect>" if shape.about else "/>"
        return f'<rect x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}" rx="2" {look}{about}\n'
    if isinstance(shape, Line):
        path = "L".join(f"{x:.2f} {y:.2f}" for x, y in shape.points)
        # A line of one place would not be drawn, round ends or not.
        dot = "h.01" if len(set(shape.points)) == 1 else ""
        return (
            f'<path d="M{path}{dot}" fill="none" stroke="{shape.colour}" stroke-width="{shape.width:g}" '
            'stroke-linecap="round" stroke-linejoin="round"/>\n'
        )
    look = ' font-weight="bold"' * shape.bold + ' text-anchor="end"' * shape.from_right
    return (
        f'<text x="{shape.at[0]:.2f}" y="{shape.at[1]:.2f}" font-size="{shape.size:g}" fill="{shape.colour}"{look}>'
        f"{_escape(shape.text)}</text>\n"
    )


def _escape(text: str) -> str:
    return html.escape(printable(text))


# ---- PNG -------------------------------------------------------------------------------------------------------------


def to_png(shapes: Sequence[Shape], size: Point) -> bytes:
    """Return the picture in twice as many pixels a side as the page has units, with letters of the machine's font."""
    scale = _PIXELS * _FINER
    image = Image.new("RGB", (round(size[0] * scale), round(size[1] * scale)), "#ffffff")
    painter = ImageDraw.Draw(image)
    for shape in shapes:
        _PAINT[type(shape)](painter, shape, scale)
    file = io.BytesIO()
    image.reduce(_FINER).save(file, "PNG", optimize=True)
    return file.getvalue()


def _paint_box(painter: Any, box: Box, scale: int) -> None:
    (x, y), (width, height) = box.at, box.size
    if width * scale < 1:
        return
    corners = [x * scale, y * scale, (x + width) * scale - 1, (y + height) * scale - 1]
    painter.rounded_rectangle(corners, 2 * scale, fill=box.fill, outline=box.line, width=scale)


def _paint_line(painter: Any, line: Line, scale: int) -> None:
    points = [(x * scale, y * scale) for x, y in line.points]
    painter.line(points, fill=line.colour, width=round(line.width * scale), joint="curve")
    # A circle's edge lies on its radius, that of a line half a pixel within its width.
    reach = (line.width * scale - 1) / 2
    for x, y in points:
        painter.ellipse([x - reach, y - reach, x + reach, y + reach], fill=line.colour)


def _paint_label(painter: Any, label: Label, scale: int) -> None:
    at = (label.at[0] * scale, label.at[1] * scale)
    font = _font(label.size * scale, bold=label.bold)
    painter.text(at, printable(label.text), fill=label.colour, font=font, anchor="rs" if label.from_right else "ls")


_PAINT: dict[type[Any], Callable[[Any, Any, int], None]] = {Box: _paint_box, Line: _paint_line, Label: _paint_label}


def _font(size: float, *, bold: bool) -> Any:
    try:
        return ImageFont.truetype(_FONTS[bold], round(size))
    except OSError:
        return ImageFont.load_default(size)
