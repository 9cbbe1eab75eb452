"""Precision over recall, a point for each Hamming distance: as a table, and as a picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 480, 360
_LEFT, _TOP, _RIGHT, _BOTTOM = 56, 44, 20, 52
_TICKS = (0, 0.2, 0.4, 0.6, 0.8, 1)
_LEGEND_STEP = 18

#: Colours by name, and not at each line, so that the reader's own preference decides.
_STYLE = """
svg { --ground: #fff; --ink: #222; --grid: #ddd; --first: #2f6690; --second: #b3541e; }
@media (prefers-color-scheme: dark) {
  svg { --ground: #16181c; --ink: #ddd; --grid: #3a3f47; --first: #7fb2d9; --second: #e39a6b; }
}
.ground { fill: var(--ground); } text { fill: var(--ink); } .grid { stroke: var(--grid); }
.frame { fill: none; stroke: var(--ink); } .curve { fill: none; stroke-width: 2; }
.chance { stroke-width: 1; stroke-dasharray: 4 3; }
.first { stroke: var(--first); } .second { stroke: var(--second); }
circle.first { fill: var(--first); } circle.second { fill: var(--second); }
"""
_CLASSES = ("first", "second")


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Precision and recall of what lies within each Hamming distance of a query.

    Attributes:
        distance: The distances, rising.
        recall: Within each of them.
        precision: Within each of them.
        chance: The precision of a random order.
    """

    distance: Sequence[int]
    recall: Sequence[float]
    precision: Sequence[float]
    chance: float


def curves_csv(curves: Mapping[str, Curve]) -> str:
    """Return one or more named curves as CSV: a line for each distance of each."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["classes", "distance", "recall", "precision"])
    for name, curve in curves.items():
        for row in zip(curve.distance, curve.recall, curve.precision, strict=True):
            writer.writerow([name, *row])
    return file.getvalue()


def curves_svg(curves: Mapping[str, Curve], title: str) -> str:
    """Return one or two named curves as SVG, light or dark as the reader prefers; dashes show chance."""
    lines = [
        line
        for style, (name, curve) in zip(_CLASSES, curves.items(), strict=False)
        for line in _curve(curve, name, style)
    ]
    legend = [
        line
        for place, (style, name) in enumerate(zip(_CLASSES, curves, strict=False))
        for line in _key(place, name, style)
    ]
    whole_width, whole_height = _LEFT + _WIDTH + _RIGHT, _TOP + _HEIGHT + _BOTTOM
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {whole_width} {whole_height}" width="{whole_width}" '
        f'height="{whole_height}" role="img" font-family="sans-serif" font-size="12">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n"
        f'<rect class="ground" width="{whole_width}" height="{whole_height}"/>\n'
        f'<g transform="translate({_LEFT} {_TOP})">\n'
        + "\n".join([*_grid(), *lines, *legend])
        + f'\n<rect class="frame" width="{_WIDTH}" height="{_HEIGHT}"/>\n'
        f'<text x="{_WIDTH / 2}" y="-16" text-anchor="middle" font-size="14">{escape(title)}</text>\n'
        f'<text x="{_WIDTH / 2}" y="{_HEIGHT + 38}" text-anchor="middle">recall</text>\n'
        f'<text transform="translate(-38 {_HEIGHT / 2}) rotate(-90)" text-anchor="middle">precision</text>\n'
        "</g>\n</svg>\n"
    )


def _place(recall: float, precision: float) -> tuple[str, str]:
    return f"{recall * _WIDTH:.1f}", f"{(1 - precision) * _HEIGHT:.1f}"


def _grid() -> list[str]:
    lines = []
    for share in _TICKS:
        x, y = _place(share, share)
        lines += [
            f'<path class="grid" d="M{x} 0V{_HEIGHT}M0 {y}H{_WIDTH}"/>',
            f'<text x="{x}" y="{_HEIGHT + 18}" text-anchor="middle">{share:g}</text>',
            f'<text x="-8" y="{float(y) + 4:.1f}" text-anchor="end">{share:g}</text>',
        ]
    return lines


def _curve(curve: Curve, name: str, style: str) -> list[str]:
    """Return a curve, what chance gives, and a dot for each distance that says its numbers when pointed at."""
    points = list(zip(curve.recall, curve.precision, strict=True))
    path = " ".join(",".join(_place(*point)) for point in points)
    _, level = _place(0, curve.chance)
    lines = [
        f'<path class="chance {style}" d="M0 {level}H{_WIDTH}"><title>chance {curve.chance:.4f}</title></path>',
        f'<polyline class="curve {style}" points="{path}"/>',
    ]
    for distance, point in zip(curve.distance, points, strict=True):
        x, y = _place(*point)
        about = f"{name}, distance {distance}: recall {point[0]:.4f}, precision {point[1]:.4f}"
        lines.append(f'<circle class="{style}" cx="{x}" cy="{y}" r="2.5"><title>{escape(about)}</title></circle>')
    return lines


def _key(place: int, name: str, style: str) -> list[str]:
    # Where no curve of a network that learned anything comes.
    y = 0.7 * _HEIGHT + place * _LEGEND_STEP
    return [
        f'<path class="curve {style}" d="M12 {y:.1f}H28"/>',
        f'<text x="36" y="{y + 4:.1f}">{escape(name)}</text>',
    ]
