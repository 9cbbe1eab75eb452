"""Prototypes of geometric figures and signs. Drawings made from them are generated, not from Quick, Draw!."""

from __future__ import annotations

from sketchdata.synth.prototypes.prototype import Prototype, drawn
from sketchdata.synth.shapes import (
    arc,
    curve,
    dot,
    oval,
    polygon,
    polyline,
    rectangle,
    regular,
    spiral,
    star_outline,
    star_polygon,
    wave,
    zigzag,
)

_BOLT = polygon(60, 5, 25, 52, 48, 52, 35, 95, 78, 40, 55, 40, 75, 5)

PROTOTYPES: dict[str, Prototype] = {
    "circle": drawn([oval(50, 50, 45)], [oval(50, 50, 45)], [arc(50, 50, 45, 45, start=200, stop=570)]),
    "square": drawn(
        [rectangle(8, 8, 84, 84)],
        [polygon(8, 8, 92, 8, 92, 92, 8, 92)],
        [polyline(8, 8, 8, 92, 92, 92), polyline(8, 8, 92, 8, 92, 92)],
        stretch=0.07,
    ),
    "triangle": drawn(
        [polygon(50, 10, 8, 90, 92, 90)],
        [polygon(8, 90, 50, 10, 92, 90)],
        [polyline(50, 10, 8, 90), polyline(50, 10, 92, 90), polyline(8, 90, 92, 90)],
        stretch=0.18,
    ),
    "hexagon": drawn(
        [regular(6, 50, 50, 46)],
        [regular(6, 50, 50, 46, turn=0)],
        [polyline(30, 10, 8, 50, 30, 90, 70, 90), polyline(30, 10, 70, 10, 92, 50, 70, 90)],
    ),
    "octagon": drawn([regular(8, 50, 50, 46, turn=-67.5)], [regular(8, 50, 50, 46, turn=-112.5)]),
    "diamond": drawn(
        [polygon(50, 5, 15, 50, 50, 95, 85, 50)],
        [
            polygon(25, 15, 75, 15, 95, 40, 50, 92, 5, 40),
            polyline(5, 40, 95, 40),
            zigzag(25, 75, top=15, bottom=40, teeth=2),
        ],
        [polygon(25, 15, 75, 15, 95, 40, 50, 92, 5, 40), polyline(5, 40, 30, 40, 50, 92, 70, 40, 95, 40)],
    ),
    "star": drawn(
        [star_polygon(5, 2, 50, 52, 46, turn=126)],
        [star_polygon(5, 2, 50, 52, 46)],
        [star_outline(5, 50, 52, 46, 20)],
        [star_outline(5, 50, 52, 46, 18)],
        [polygon(50, 5, 10, 72, 90, 72).maybe(0.99), polygon(10, 25, 90, 25, 50, 95)],
        spin=14,
    ),
    "line": drawn(
        [polyline(4, 50, 96, 50)],
        [polyline(4, 50, 96, 52)],
        [polyline(4, 92, 94, 8)],
        [curve(4, 50, 50, 46, 96, 50)],
        spin=14,
    ),
    "zigzag": drawn(
        [zigzag(4, 96, top=30, bottom=70, teeth=3)],
        [zigzag(4, 96, top=30, bottom=70, teeth=5)],
        [zigzag(4, 96, top=15, bottom=85, teeth=2)],
        [zigzag(4, 96, top=20, bottom=80, teeth=4).turned(50)],
        spin=25,
    ),
    "squiggle": drawn(
        [wave(4, 96, 50, height=22, periods=2.5)],
        [wave(4, 96, 50, height=14, periods=4)],
        [curve(5, 30, 40, 12, 60, 40, 30, 60, 22, 40, 60, 45, 92, 70, 60, 92, 45, 75)],
        [curve(5, 60, 30, 20, 50, 60, 38, 85, 30, 60, 60, 30, 80, 65, 68, 88, 62, 60, 95, 35)],
        spin=40,
    ),
    "lightning": drawn(
        [_BOLT],
        [polyline(60, 4, 28, 48, 66, 48, 32, 96)],
        [polyline(70, 4, 30, 40, 62, 44, 28, 72, 55, 74, 30, 96)],
        spin=12,
    ),
    "stop sign": drawn(
        [regular(8, 50, 32, 30, turn=-67.5), polyline(50, 62, 50, 98)],
        [
            regular(8, 50, 32, 30, turn=-67.5),
            polyline(46, 62, 46, 98, 54, 98, 54, 62),
            curve(36, 26, 29, 26, 29, 32, 35, 34, 34, 40, 27, 39).maybe(0.8),
            polyline(38, 27, 46, 27).maybe(0.8),
            polyline(42, 27, 42, 39).maybe(0.8),
            oval(52, 33, 4, 6).maybe(0.8),
            (polyline(61, 40, 61, 27) + curve(61, 27, 68, 29, 61, 34)).maybe(0.8),
        ],
        mirrors=False,
    ),
    "traffic light": drawn(
        [rectangle(30, 4, 40, 90), oval(50, 20, 11), oval(50, 49, 11), oval(50, 78, 11)],
        [rectangle(34, 4, 32, 64), oval(50, 15, 7), oval(50, 36, 7), oval(50, 57, 7), polyline(50, 68, 50, 98)],
    ),
    "hurricane": drawn(
        [spiral(50, 50, 45, turns=3)],
        [
            spiral(50, 50, 30, turns=2),
            arc(50, 50, 45, 42, start=20, stop=150),
            arc(50, 50, 45, 42, start=200, stop=330),
        ],
    ),
    "wheel": drawn(
        [oval(50, 50, 45), oval(50, 50, 8), *[polyline(50, 42, 50, 5).turned(a) for a in (0, 60, 120, 180, 240, 300)]],
        [
            oval(50, 50, 45),
            oval(50, 50, 36),
            oval(50, 50, 7),
            *[polyline(14, 50, 86, 50).turned(a) for a in (0, 45, 90, 135)],
        ],
    ),
    "map": drawn(
        [
            polygon(5, 25, 35, 15, 65, 25, 95, 15, 95, 78, 65, 88, 35, 78, 5, 88),
            polyline(35, 15, 35, 78),
            polyline(65, 25, 65, 88),
            curve(12, 70, 25, 50, 45, 60, 60, 40, 78, 45).maybe(0.7),
            polyline(76, 42, 86, 54).maybe(0.6),
            polyline(86, 42, 76, 54).maybe(0.6),
        ],
        [
            rectangle(5, 15, 90, 70),
            curve(15, 40, 30, 25, 45, 35, 38, 55, 20, 60, 15, 40),
            curve(60, 30, 78, 28, 85, 45, 70, 70, 60, 55, 60, 30),
            dot(30, 42),
        ],
    ),
}
