"""Prototypes of food, tools and other small things. Drawings made from them are generated, not from Quick, Draw!."""

from __future__ import annotations

from sketchdata.synth.prototypes.prototype import Prototype, drawn
from sketchdata.synth.shapes import arc, blob, curve, dot, oval, polygon, polyline, rectangle, scallops, spiral, zigzag

_CONE = polyline(30, 46, 50, 97, 70, 46)
_SPRINKLES = [
    polyline(x, y, x + dx, y + dy).maybe(0.75)
    for x, y, dx, dy in (
        (30, 24, 4, 5),
        (52, 18, 6, 0),
        (72, 30, 3, 6),
        (80, 54, -2, 6),
        (66, 78, 5, -3),
        (40, 80, 6, 2),
        (20, 62, 2, 6),
        (18, 42, 5, -3),
    )
]

PROTOTYPES: dict[str, Prototype] = {
    "ice cream": drawn(
        [arc(50, 42, 22, 32, start=175, stop=365), polyline(26, 44, 74, 44), _CONE],
        [
            scallops(oval(50, 30, 22, 18), 5, 0.3),
            _CONE,
            polyline(36, 58, 62, 70).maybe(0.6),
            polyline(64, 58, 42, 72).maybe(0.6),
        ],
        [oval(50, 32, 24, 22), polygon(28, 44, 50, 97, 72, 44), oval(50, 6, 4).maybe(0.3)],
        [oval(36, 34, 16), oval(64, 34, 16), oval(50, 14, 14), _CONE + polyline(30, 46)],
    ),
    "lollipop": drawn(
        [oval(50, 28, 25), polyline(50, 53, 50, 98)],
        [spiral(50, 28, 24, turns=2.5), oval(50, 28, 26), polyline(50, 54, 50, 98)],
        [
            oval(50, 28, 25),
            polyline(48, 53, 48, 98, 53, 98, 53, 53),
            curve(40, 28, 46, 18, 58, 22, 60, 34, 48, 38).maybe(0.6),
        ],
        spin=20,
    ),
    "bread": drawn(
        [curve(20, 45, 6, 34, 14, 14, 50, 10, 86, 14, 94, 34, 80, 45) + polyline(80, 92, 20, 92, 20, 45)],
        [
            blob(8, 60, 10, 36, 34, 26, 66, 26, 90, 36, 94, 60, 84, 74, 50, 76, 16, 74),
            *[polyline(x, 34, x + 8, 50).maybe(0.8) for x in (28, 46, 64)],
        ],
    ),
    "pizza": drawn(
        [
            polygon(8, 20, 92, 20, 50, 96),
            curve(6, 20, 28, 6, 50, 4, 72, 6, 94, 20),
            *[oval(x, y, 6).maybe(0.85) for x, y in ((36, 34), (62, 36), (48, 60))],
        ],
        [
            oval(50, 50, 45),
            *[polyline(5, 50, 95, 50).turned(a) for a in (0, 60, 120)],
            *[oval(x, y, 4).maybe(0.5) for x, y in ((30, 32), (64, 28), (74, 60), (40, 74))],
        ],
        [
            oval(50, 50, 46),
            oval(50, 50, 38),
            polyline(50, 4, 50, 96),
            polyline(4, 50, 96, 50),
            *[oval(x, y, 5).maybe(0.8) for x, y in ((34, 34), (66, 34), (66, 66), (34, 66))],
        ],
    ),
    "donut": drawn(
        [oval(50, 50, 45), oval(50, 50, 15)],
        [oval(50, 50, 45, 40), oval(50, 50, 14), *_SPRINKLES],
        [oval(50, 50, 45), oval(50, 48, 16, 12), scallops(oval(50, 50, 34), 8, 0.12).maybe(0.8)],
    ),
    "cookie": drawn(
        [
            oval(50, 50, 45),
            *[oval(x, y, 5).maybe(0.85) for x, y in ((32, 32), (62, 28), (72, 56), (46, 52), (30, 68), (58, 76))],
        ]
    ),
    "hamburger": drawn(
        [
            arc(50, 42, 44, 34, start=180, stop=360) + polyline(6, 42),
            polyline(6, 56, 94, 56).maybe(0.9),
            zigzag(6, 94, top=48, bottom=54, teeth=5).maybe(0.5),
            curve(6, 64, 10, 84, 50, 88, 90, 84, 94, 64) + polyline(6, 64),
            *[dot(x, y).maybe(0.5) for x, y in ((34, 24), (50, 18), (66, 24))],
        ],
    ),
    "popsicle": drawn(
        [
            polyline(30, 70, 30, 22) + arc(50, 22, 20, 18, start=180, stop=360) + polyline(70, 70, 30, 70),
            polyline(45, 70, 45, 97, 55, 97, 55, 70),
            polyline(42, 26, 42, 58).maybe(0.6),
            polyline(58, 26, 58, 58).maybe(0.6),
        ],
        spin=20,
    ),
    "birthday cake": drawn(
        [
            rectangle(10, 52, 80, 42),
            *[polyline(x, 52, x, 32) for x in (26, 42, 58, 74)],
            *[oval(x, 25, 3, 5).maybe(0.85) for x in (26, 42, 58, 74)],
            zigzag(10, 90, top=60, bottom=66, teeth=5).maybe(0.6),
        ],
        [
            oval(50, 46, 40, 12),
            polyline(10, 46, 10, 84),
            polyline(90, 46, 90, 84),
            curve(10, 84, 50, 98, 90, 84),
            *[polyline(x, 44, x, 22) for x in (34, 50, 66)],
            *[dot(x, 17) for x in (34, 50, 66)],
        ],
    ),
    "fork": drawn(
        [
            polyline(50, 96, 50, 44),
            curve(36, 4, 36, 34, 50, 44, 64, 34, 64, 4),
            polyline(45, 4, 45, 38),
            polyline(55, 4, 55, 38).maybe(0.7),
        ],
        spin=40,
    ),
    "spoon": drawn(
        [oval(50, 20, 14, 17), polyline(50, 37, 50, 97)],
        [oval(50, 20, 15, 18), polyline(47, 38, 46, 97, 54, 97, 53, 38)],
        spin=50,
    ),
    "hammer": drawn(
        [rectangle(20, 8, 60, 22), rectangle(44, 30, 12, 66)],
        [polygon(18, 8, 70, 8, 92, 22, 70, 28, 18, 28), polyline(44, 28, 44, 96, 55, 96, 55, 28)],
        spin=40,
    ),
    "axe": drawn(
        [polyline(44, 97, 46, 6, 54, 6, 54, 97, 44, 97), curve(54, 12, 76, 4, 86, 2, 92, 24, 86, 46, 76, 38, 54, 34)],
        spin=30,
    ),
    "pencil": drawn(
        [
            polygon(4, 44, 72, 44, 94, 54, 72, 64, 4, 64),
            polyline(72, 44, 72, 64),
            polyline(14, 44, 14, 64).maybe(0.8),
            polyline(86, 50, 86, 58).maybe(0.5),
        ],
        spin=60,
        stretch=0.06,
    ),
    "paper clip": drawn(
        [curve(70, 22, 70, 80, 58, 94, 44, 80, 44, 16, 34, 4, 24, 16, 24, 76)],
        [curve(62, 30, 62, 76, 50, 84, 40, 76, 40, 16, 54, 6, 72, 16, 72, 84, 54, 97, 30, 84, 30, 30)],
        spin=40,
    ),
    "flip flops": drawn(
        [
            blob(26, 4, 10, 20, 14, 50, 12, 80, 26, 96, 40, 80, 36, 50, 42, 20),
            polyline(14, 44, 26, 22, 38, 44),
            blob(74, 4, 58, 20, 64, 50, 60, 80, 74, 96, 88, 80, 86, 50, 90, 20),
            polyline(62, 44, 74, 22, 86, 44),
        ],
    ),
    "calendar": drawn(
        [
            rectangle(10, 12, 80, 80),
            polyline(10, 30, 90, 30),
            *[polyline(x, 30, x, 92) for x in (30, 50, 70)],
            *[polyline(10, y, 90, y) for y in (46, 62, 78)],
            polyline(30, 4, 30, 18).maybe(0.5),
            polyline(70, 4, 70, 18).maybe(0.5),
        ],
        spin=4,
    ),
    "dumbbell": drawn(
        [oval(16, 50, 13, 16), oval(84, 50, 13, 16), polyline(29, 46, 71, 46), polyline(29, 54, 71, 54)],
        [rectangle(4, 30, 14, 40), rectangle(82, 30, 14, 40), polyline(18, 50, 82, 50)],
        spin=15,
    ),
    "headphones": drawn(
        [arc(50, 50, 40, 42, start=180, stop=360), oval(12, 62, 10, 15), oval(88, 62, 10, 15)],
        [
            arc(50, 52, 44, 46, start=175, stop=365),
            arc(50, 52, 36, 38, start=180, stop=360),
            rectangle(2, 52, 16, 30),
            rectangle(82, 52, 16, 30),
        ],
    ),
}
