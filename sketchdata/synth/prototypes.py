"""How each category is drawn: by a hand-made prototype where a name has one, else by an invented one of its own.

Drawings made from these are generated, not from Quick, Draw!.
"""

from __future__ import annotations

from sketchdata.synth.invented import invent
from sketchdata.synth.shapes import (
    Prototype,
    Stroke,
    arc,
    around,
    blob,
    curve,
    dot,
    drawn,
    oval,
    polygon,
    polyline,
    rays,
    rectangle,
    regular,
    scallops,
    spiral,
    star_outline,
    star_polygon,
    wave,
    zigzag,
)


def find(word: str) -> Prototype:
    """Return a word's prototype: a designed one, or one invented from the name's hash."""
    return DESIGNED.get(word) or invent(word)


def _both(stroke: Stroke, x: float = 50.0) -> list[Stroke]:
    return [stroke, stroke.mirrored(x)]


def _arcs(*radii: float) -> list[Stroke]:
    return [arc(50, 75, r, 1.25 * r, start=180, stop=360) for r in radii]


def _steps(count: int) -> Stroke:
    rise = [
        v
        for k in range(count)
        for v in (5 + 90 * k / count, 90 - 80 * (k + 1) / count, 5 + 90 * (k + 1) / count, 90 - 80 * (k + 1) / count)
    ]
    return polyline(5, 90, *rise)


_BOLT = polygon(60, 5, 25, 52, 48, 52, 35, 95, 78, 40, 55, 40, 75, 5)
_RUNGS = [polyline(30, y, 70, y) for y in (14, 28, 42, 56, 70, 84)]
_CUP = polyline(18, 15, 24, 90, 66, 90, 72, 15)
_BULB = curve(40, 68, 36, 55, 22, 38, 32, 12, 50, 6, 68, 12, 78, 38, 64, 55, 60, 68)
_HEAD = oval(50, 50, 42, 45)
_SMILE = arc(50, 56, 22, 18, start=160, stop=20)
_NOSE = polyline(50, 42, 44, 58, 52, 58).maybe(0.7)
_WHISKERS = [polyline(x, 62 + d, x + s * 28, 60 + 3 * d) for s, x in ((-1, 34), (1, 66)) for d in (-4, 0, 4)]
_PETAL = blob(66, 40, 76, 32, 82, 40, 76, 48)
_STEM = curve(50, 52, 48, 75, 50, 98)
_SPIDER_LEG = [polyline(42, y, 20, y - 14 + d, 6, y + 4 + 2 * d) for y, d in ((44, -6), (49, 0), (54, 8), (59, 16))]
_CLOUD = scallops(oval(50, 50, 36, 20), 7, 0.28)
_CAR = polyline(4, 66, 6, 46, 26, 44, 36, 24, 66, 24, 76, 44, 94, 48, 96, 66)
_WHEELS = [oval(26, 68, 9), oval(74, 68, 9)]
_CONE = polyline(30, 46, 50, 97, 70, 46)
_SPRINKLES = [
    polyline(x, y, x + dx, y + dy).maybe(0.75)
    for x, y, dx, dy in (
        (30, 24, 4, 5), (52, 18, 6, 0), (72, 30, 3, 6), (80, 54, -2, 6),
        (66, 78, 5, -3), (40, 80, 6, 2), (20, 62, 2, 6), (18, 42, 5, -3),
    )
]  # fmt: skip

#: {category: its ways of being drawn}, each variant a list of strokes on the canvas of 100 × 100 units.
# fmt: off
DESIGNED: dict[str, Prototype] = {
    # Geometric figures and signs.
    "circle": drawn([oval(50, 50, 45)], [oval(50, 50, 45)], [arc(50, 50, 45, 45, start=200, stop=570)]),
    "square": drawn(
        [rectangle(8, 8, 84, 84)],
        [polygon(8, 8, 92, 8, 92, 92, 8, 92)],
        [polyline(8, 8, 8, 92, 92, 92), polyline(8, 8, 92, 8, 92, 92)], stretch=0.07),
    "triangle": drawn(
        [polygon(50, 10, 8, 90, 92, 90)],
        [polygon(8, 90, 50, 10, 92, 90)],
        [polyline(50, 10, 8, 90), polyline(50, 10, 92, 90), polyline(8, 90, 92, 90)], stretch=0.18),
    "hexagon": drawn(
        [regular(6, 50, 50, 46)],
        [regular(6, 50, 50, 46, turn=0)],
        [polyline(30, 10, 8, 50, 30, 90, 70, 90), polyline(30, 10, 70, 10, 92, 50, 70, 90)]),
    "octagon": drawn([regular(8, 50, 50, 46, turn=-67.5)], [regular(8, 50, 50, 46, turn=-112.5)]),
    "diamond": drawn(
        [polygon(50, 5, 15, 50, 50, 95, 85, 50)],
        [polygon(25, 15, 75, 15, 95, 40, 50, 92, 5, 40), polyline(5, 40, 95, 40),
         zigzag(25, 75, top=15, bottom=40, teeth=2)],
        [polygon(25, 15, 75, 15, 95, 40, 50, 92, 5, 40), polyline(5, 40, 30, 40, 50, 92, 70, 40, 95, 40)]),
    "star": drawn(
        [star_polygon(5, 2, 50, 52, 46, turn=126)],
        [star_polygon(5, 2, 50, 52, 46)],
        [star_outline(5, 50, 52, 46, 20)],
        [star_outline(5, 50, 52, 46, 18)],
        [polygon(50, 5, 10, 72, 90, 72).maybe(0.99), polygon(10, 25, 90, 25, 50, 95)], spin=14),
    "line": drawn(
        [polyline(4, 50, 96, 50)],
        [polyline(4, 50, 96, 52)],
        [polyline(4, 92, 94, 8)],
        [curve(4, 50, 50, 46, 96, 50)], spin=14),
    "zigzag": drawn(
        [zigzag(4, 96, top=30, bottom=70, teeth=3)],
        [zigzag(4, 96, top=30, bottom=70, teeth=5)],
        [zigzag(4, 96, top=15, bottom=85, teeth=2)],
        [zigzag(4, 96, top=20, bottom=80, teeth=4).turned(50)], spin=25),
    "squiggle": drawn(
        [wave(4, 96, 50, height=22, periods=2.5)],
        [wave(4, 96, 50, height=14, periods=4)],
        [curve(5, 30, 40, 12, 60, 40, 30, 60, 22, 40, 60, 45, 92, 70, 60, 92, 45, 75)],
        [curve(5, 60, 30, 20, 50, 60, 38, 85, 30, 60, 60, 30, 80, 65, 68, 88, 62, 60, 95, 35)], spin=40),
    "lightning": drawn(
        [_BOLT],
        [polyline(60, 4, 28, 48, 66, 48, 32, 96)],
        [polyline(70, 4, 30, 40, 62, 44, 28, 72, 55, 74, 30, 96)], spin=12),
    "stop sign": drawn(
        [regular(8, 50, 32, 30, turn=-67.5), polyline(50, 62, 50, 98)],
        [regular(8, 50, 32, 30, turn=-67.5), polyline(46, 62, 46, 98, 54, 98, 54, 62),
         curve(36, 26, 29, 26, 29, 32, 35, 34, 34, 40, 27, 39).maybe(0.8), polyline(38, 27, 46, 27).maybe(0.8),
         polyline(42, 27, 42, 39).maybe(0.8), oval(52, 33, 4, 6).maybe(0.8),
         (polyline(61, 40, 61, 27) + curve(61, 27, 68, 29, 61, 34)).maybe(0.8)], mirrors=False),
    "traffic light": drawn(
        [rectangle(30, 4, 40, 90), oval(50, 20, 11), oval(50, 49, 11), oval(50, 78, 11)],
        [rectangle(34, 4, 32, 64), oval(50, 15, 7), oval(50, 36, 7), oval(50, 57, 7), polyline(50, 68, 50, 98)]),
    "hurricane": drawn(
        [spiral(50, 50, 45, turns=3)],
        [spiral(50, 50, 30, turns=2), arc(50, 50, 45, 42, start=20, stop=150),
         arc(50, 50, 45, 42, start=200, stop=330)]),
    "wheel": drawn(
        [oval(50, 50, 45), oval(50, 50, 8), *[polyline(50, 42, 50, 5).turned(a) for a in (0, 60, 120, 180, 240, 300)]],
        [oval(50, 50, 45), oval(50, 50, 36), oval(50, 50, 7),
         *[polyline(14, 50, 86, 50).turned(a) for a in (0, 45, 90, 135)]]),
    "map": drawn(
        [polygon(5, 25, 35, 15, 65, 25, 95, 15, 95, 78, 65, 88, 35, 78, 5, 88), polyline(35, 15, 35, 78),
         polyline(65, 25, 65, 88), curve(12, 70, 25, 50, 45, 60, 60, 40, 78, 45).maybe(0.7),
         polyline(76, 42, 86, 54).maybe(0.6), polyline(86, 42, 76, 54).maybe(0.6)],
        [rectangle(5, 15, 90, 70), curve(15, 40, 30, 25, 45, 35, 38, 55, 20, 60, 15, 40),
         curve(60, 30, 78, 28, 85, 45, 70, 70, 60, 55, 60, 30), dot(30, 42)]),
    # Things found in a home.
    "clock": drawn(
        [oval(50, 50, 45), polyline(50, 50, 50, 18), polyline(50, 50, 72, 58)],
        [oval(50, 50, 45), polyline(50, 22, 50, 50, 74, 50)],
        [oval(50, 50, 45), *rays(12, 50, 50, inner=37, outer=43), polyline(50, 50, 50, 20), polyline(50, 50, 66, 40)],
        [oval(50, 50, 45), *rays(4, 50, 50, inner=35, outer=42), polyline(50, 50, 40, 20), polyline(50, 50, 66, 60)]),
    "candle": drawn(
        [rectangle(36, 40, 28, 56), polyline(50, 40, 50, 30), blob(50, 4, 42, 20, 50, 31, 58, 20)],
        [polyline(38, 96, 38, 36, 62, 36, 62, 96, 38, 96), blob(50, 6, 43, 22, 50, 34, 57, 22)],
        [rectangle(38, 38, 24, 48), polyline(50, 38, 50, 28), blob(50, 4, 43, 18, 50, 28, 57, 18),
         oval(50, 88, 34, 8)]),
    "ladder": drawn(
        [polyline(30, 4, 30, 96), polyline(70, 4, 70, 96), *_RUNGS[:5], _RUNGS[5].maybe(0.6)],
        [polyline(34, 4, 26, 96), polyline(66, 4, 74, 96), *_RUNGS[1:5]],
        [polyline(30, 4, 30, 96), polyline(70, 4, 70, 96), *[r.maybe(0.85) for r in _RUNGS]], spin=12),
    "key": drawn(
        [oval(20, 50, 16), polyline(36, 50, 95, 50), polyline(90, 50, 90, 64), polyline(80, 50, 80, 62),
         oval(16, 50, 5).maybe(0.3)],
        [oval(20, 50, 17), polyline(36, 45, 95, 45, 95, 66, 86, 66, 86, 55, 78, 55, 78, 64, 70, 64, 70, 55, 36, 55),
         oval(15, 50, 5).maybe(0.6)], spin=80),
    "eyeglasses": drawn(
        [oval(25, 45, 19, 17), oval(75, 45, 19, 17), arc(50, 44, 7, 6, start=190, stop=350)],
        [oval(28, 55, 17), oval(68, 55, 17), polyline(45, 52, 51, 52), curve(11, 50, 4, 36, 14, 28),
         curve(85, 50, 96, 36, 88, 26)],
        [rectangle(6, 38, 36, 24), rectangle(58, 38, 36, 24), polyline(42, 44, 58, 44),
         polyline(6, 42, 2, 28).maybe(0.5)]),
    "envelope": drawn(
        [rectangle(5, 20, 90, 60), polyline(5, 20, 50, 52, 95, 20)],
        [polygon(5, 20, 95, 20, 95, 80, 5, 80), polyline(5, 20, 50, 56, 95, 20), polyline(5, 80, 38, 48).maybe(0.4),
         polyline(95, 80, 62, 48).maybe(0.4)],
        [rectangle(5, 22, 90, 56), polyline(5, 22, 50, 48), polyline(50, 48, 95, 22)]),
    "umbrella": drawn(
        [arc(50, 50, 45, 40, start=180, stop=360),
         curve(5, 50, 17, 42, 28, 50) + curve(28, 50, 39, 42, 50, 50) + curve(50, 50, 61, 42, 72, 50)
         + curve(72, 50, 83, 42, 95, 50),
         polyline(50, 50, 50, 88) + arc(43, 88, 7, 8, start=0, stop=180)],
        [arc(50, 48, 45, 40, start=180, stop=360) + polyline(95, 48, 5, 48),
         polyline(50, 48, 50, 90) + arc(57, 90, 7, 7, start=180, stop=0)],
        [arc(50, 50, 45, 42, start=180, stop=360), polyline(5, 50, 95, 50), curve(50, 8, 36, 28, 32, 50).maybe(0.8),
         curve(50, 8, 64, 28, 68, 50).maybe(0.8), polyline(50, 50, 50, 88) + curve(50, 88, 46, 96, 38, 90)]),
    "sword": drawn(
        [polyline(44, 66, 44, 18, 50, 4, 56, 18, 56, 66), rectangle(28, 66, 44, 7), rectangle(45, 73, 10, 23)],
        [polyline(50, 4, 50, 96), polyline(32, 70, 68, 70)],
        [polygon(44, 70, 46, 16, 50, 4, 54, 16, 56, 70), polyline(28, 70, 72, 70),
         polyline(46, 70, 46, 94, 54, 94, 54, 70), polyline(50, 12, 50, 66).maybe(0.4)], spin=50),
    "table": drawn(
        [polyline(5, 30, 95, 30), polyline(14, 30, 14, 85), polyline(86, 30, 86, 85)],
        [polygon(22, 20, 4, 45, 80, 45, 96, 20), polyline(6, 45, 6, 92), polyline(79, 45, 79, 92),
         polyline(94, 22, 94, 68), polyline(24, 45, 24, 66).maybe(0.6)],
        [rectangle(4, 28, 92, 9), polyline(12, 37, 12, 86), polyline(88, 37, 88, 86)],
        [oval(50, 28, 46, 12), polyline(14, 34, 14, 88), polyline(86, 34, 86, 88), polyline(38, 40, 38, 92).maybe(0.7),
         polyline(62, 40, 62, 92).maybe(0.7)]),
    "chair": drawn(
        [polyline(25, 5, 25, 95), polyline(25, 52, 72, 52, 72, 95)],
        [polygon(28, 50, 14, 64, 60, 64, 74, 50), polyline(28, 50, 28, 5, 74, 5, 74, 50), polyline(14, 64, 14, 96),
         polyline(60, 64, 60, 96), polyline(74, 50, 74, 82), polyline(28, 64, 28, 80).maybe(0.6)],
        [polyline(30, 4, 30, 55, 70, 55), polyline(30, 55, 28, 96), polyline(70, 55, 72, 96)]),
    "bed": drawn(
        [polyline(6, 30, 6, 85), polyline(6, 62, 94, 62, 94, 85), polyline(6, 75, 94, 75), oval(20, 54, 12, 7)],
        [polygon(30, 25, 70, 25, 92, 88, 8, 88), polyline(20, 52, 80, 52), rectangle(36, 30, 12, 10),
         rectangle(53, 30, 12, 10)],
        [rectangle(8, 55, 86, 22), polyline(8, 28, 8, 92), polyline(94, 45, 94, 92), rectangle(12, 44, 22, 11)]),
    "door": drawn(
        [rectangle(25, 4, 50, 92), oval(66, 52, 3)],
        [rectangle(25, 4, 50, 92), oval(34, 52, 3), rectangle(34, 12, 32, 28), rectangle(34, 60, 32, 28).maybe(0.8)],
        [polyline(25, 96, 25, 4, 75, 4, 75, 96), polyline(25, 96, 75, 96), dot(66, 52)]),
    "television": drawn(
        [rectangle(8, 22, 84, 58), rectangle(15, 29, 70, 44), polyline(50, 22, 32, 4), polyline(50, 22, 68, 4)],
        [rectangle(5, 15, 90, 60), polyline(35, 85, 65, 85), polyline(50, 75, 50, 85)],
        [rectangle(8, 25, 84, 60), rectangle(14, 31, 54, 48), oval(80, 42, 5), oval(80, 60, 5), polyline(48, 25, 34, 6),
         polyline(48, 25, 64, 6)]),
    "cell phone": drawn(
        [rectangle(28, 4, 44, 92), rectangle(33, 14, 34, 64), oval(50, 87, 4)],
        [rectangle(28, 4, 44, 92), polyline(28, 16, 72, 16), polyline(28, 80, 72, 80), oval(50, 88, 4),
         polyline(44, 10, 56, 10).maybe(0.6)],
        [rectangle(28, 14, 44, 84), rectangle(34, 20, 32, 26),
         *[oval(x, y, 3) for y in (56, 68, 80) for x in (38, 50, 62)], polyline(34, 14, 34, 2)]),
    "book": drawn(
        [polyline(50, 25, 50, 85), curve(50, 25, 30, 15, 6, 22) + polyline(6, 82) + curve(6, 82, 30, 75, 50, 85),
         curve(50, 25, 70, 15, 94, 22) + polyline(94, 82) + curve(94, 82, 70, 75, 50, 85)],
        [rectangle(20, 8, 60, 84), polyline(28, 8, 28, 92), polyline(40, 28, 70, 28).maybe(0.6),
         polyline(40, 38, 66, 38).maybe(0.5)],
        [polygon(10, 15, 60, 10, 90, 20, 90, 85, 60, 80, 10, 85), polyline(60, 10, 60, 80),
         *[polyline(18, y, 52, y - 2).maybe(0.6) for y in (30, 42, 54)]]),
    "cup": drawn(
        [_CUP, oval(45, 15, 27, 7), arc(70, 50, 20, 22, start=-80, stop=100)],
        [_CUP + polyline(18, 15)],
        [polygon(18, 15, 24, 90, 66, 90, 72, 15), curve(70, 30, 92, 34, 88, 62, 67, 68)]),
    "mug": drawn(
        [oval(42, 15, 32, 9), polyline(10, 15, 10, 90, 74, 90, 74, 15), curve(74, 32, 95, 34, 95, 66, 74, 70),
         curve(74, 42, 86, 44, 86, 58, 74, 60).maybe(0.5)],
        [rectangle(10, 12, 62, 78), arc(72, 50, 20, 22, start=-90, stop=90)]),
    "light bulb": drawn(
        [_BULB, rectangle(40, 68, 20, 20), polyline(40, 75, 60, 75), polyline(40, 82, 60, 82),
         arc(50, 88, 8, 7, start=0, stop=180).maybe(0.6)],
        [_BULB + polyline(40, 68), polyline(40, 68, 42, 92, 58, 92, 60, 68),
         curve(44, 66, 42, 42, 50, 50, 58, 42, 56, 66).maybe(0.7)],
        [oval(50, 36, 30), polyline(42, 64, 42, 90, 58, 90, 58, 64), polyline(42, 76, 58, 76),
         *rays(3, 50, 36, inner=36, outer=46, turn=-150)[:2]]),
    "hourglass": drawn(
        [polyline(22, 6, 78, 6, 22, 94, 78, 94, 22, 6)],
        [polyline(18, 5, 82, 5), polyline(18, 95, 82, 95), curve(24, 5, 28, 32, 48, 50, 28, 68, 24, 95),
         curve(76, 5, 72, 32, 52, 50, 72, 68, 76, 95), dot(50, 70).maybe(0.5), dot(48, 82).maybe(0.5)], stretch=0.16),
    "crown": drawn(
        [polygon(8, 85, 5, 22, 28, 55, 50, 12, 72, 55, 95, 22, 92, 85)],
        [polyline(8, 85, 5, 30, 28, 58, 50, 20, 72, 58, 95, 30, 92, 85), polyline(8, 85, 92, 85),
         polyline(8, 74, 92, 74).maybe(0.7), *[oval(x, y, 4).maybe(0.8) for x, y in ((5, 25), (50, 15), (95, 25))]],
        [polyline(6, 85) + zigzag(6, 94, top=20, bottom=55, teeth=4) + polyline(94, 85, 6, 85)]),
    "hat": drawn(
        [polyline(5, 78, 95, 78), polyline(26, 78, 26, 22, 74, 22, 74, 78), polyline(26, 66, 74, 66).maybe(0.6)],
        [oval(50, 76, 45, 10), curve(26, 72, 28, 32, 50, 20, 72, 32, 74, 72), curve(27, 62, 50, 68, 73, 62).maybe(0.5)],
        [arc(50, 70, 32, 42, start=180, stop=360), curve(4, 78, 30, 68, 50, 70, 70, 68, 96, 78, 50, 86, 4, 78)]),
    "t-shirt": drawn(
        [polyline(36, 10, 8, 24, 16, 46, 28, 38, 28, 94, 72, 94, 72, 38, 84, 46, 92, 24, 64, 10),
         arc(50, 10, 14, 12, start=180, stop=0)],
        [curve(36, 8, 50, 20, 64, 8) + polyline(92, 22, 86, 44, 72, 36, 72, 94, 28, 94, 28, 36, 14, 44, 8, 22, 36, 8)]),
    "pants": drawn(
        [polygon(25, 5, 75, 5, 85, 95, 60, 95, 50, 35, 40, 95, 15, 95)],
        [polyline(25, 5, 15, 95, 40, 95, 50, 32, 60, 95, 85, 95, 75, 5), polyline(25, 5, 75, 5),
         polyline(25, 14, 75, 14).maybe(0.5)]),
    "bowtie": drawn(
        [polygon(6, 22, 6, 78, 44, 54, 44, 46), polygon(94, 22, 94, 78, 56, 54, 56, 46), rectangle(44, 42, 12, 16)],
        [polygon(6, 22, 6, 78, 94, 22, 94, 78), oval(50, 50, 8).maybe(0.5)],
        [curve(44, 46, 24, 32, 6, 26, 8, 50, 6, 74, 24, 68, 44, 54),
         curve(56, 46, 76, 32, 94, 26, 92, 50, 94, 74, 76, 68, 56, 54), oval(50, 50, 7, 9)]),
    "wine glass": drawn(
        [curve(26, 6, 26, 40, 50, 52, 74, 40, 74, 6), polyline(26, 6, 74, 6), polyline(50, 52, 50, 92),
         polyline(30, 94, 70, 94)],
        [oval(50, 8, 24, 5), curve(26, 8, 28, 42, 50, 54, 72, 42, 74, 8), polyline(50, 54, 50, 90), oval(50, 93, 22, 4),
         curve(28, 28, 50, 33, 72, 28).maybe(0.7)]),
    "wine bottle": drawn(
        [polyline(44, 4, 44, 32) + curve(44, 32, 32, 44, 30, 56) + polyline(30, 96, 70, 96, 70, 56)
         + curve(70, 56, 68, 44, 56, 32) + polyline(56, 4, 44, 4),
         rectangle(30, 62, 40, 20).maybe(0.7)],
        [polyline(44, 4, 44, 34, 32, 48, 32, 96, 68, 96, 68, 48, 56, 34, 56, 4), polyline(42, 4, 58, 4),
         polyline(32, 62, 68, 62).maybe(0.7), polyline(32, 80, 68, 80).maybe(0.7)]),
    # Faces, animals and plants.
    "face": drawn(
        [_HEAD, *_both(oval(34, 38, 6, 5)), _NOSE, _SMILE],
        [_HEAD, *_both(oval(34, 38, 8, 5)), *_both(dot(34, 38)), _NOSE, arc(50, 70, 16, 6),
         *_both(curve(24, 28, 34, 23, 42, 28).maybe(0.6))],
        [_HEAD, *_both(dot(35, 38)), polyline(50, 44, 50, 56), polyline(36, 72, 64, 72),
         *_both(curve(8, 44, 0, 50, 9, 60).maybe(0.5))],
        [_HEAD, *_both(oval(34, 40, 6)), curve(48, 44, 44, 58, 54, 58), _SMILE,
         *[curve(x, 10, x - 3, 2, x - 8, -4).maybe(0.7) for x in (30, 40, 50, 60, 70)]]),
    "smiley face": drawn(
        [oval(50, 50, 45), *_both(oval(35, 36, 5, 7)), arc(50, 54, 27, 24, start=170, stop=10)],
        [oval(50, 50, 45), *_both(polyline(36, 28, 36, 44)), arc(50, 52, 28, 26, start=175, stop=5)],
        [oval(50, 50, 45).maybe(0.8), *_both(dot(35, 36)), arc(50, 56, 26, 20, start=180, stop=0) + polyline(24, 56)]),
    "eye": drawn(
        [curve(4, 52, 28, 26, 52, 22, 76, 30, 96, 52), curve(4, 52, 28, 74, 52, 78, 76, 70, 96, 52), oval(50, 50, 20),
         oval(50, 50, 8)],
        [blob(4, 50, 28, 72, 52, 77, 76, 68, 96, 50, 76, 30, 50, 24, 26, 30), oval(50, 50, 17),
         oval(50, 50, 6).maybe(0.8)],
        [arc(50, 60, 46, 38, start=190, stop=350) + arc(50, 48, 46, 30, start=10, stop=170), oval(50, 52, 20),
         oval(50, 52, 7),
         *[polyline(50 + dx, 22 + dx * dx / 100, 50 + 1.4 * dx, 8 + dx * dx / 70).maybe(0.85)
         for dx in (-34, -22, -11, 0, 11, 22, 34)]]),
    "mouth": drawn(
        [curve(4, 48, 30, 28, 50, 36, 70, 28, 96, 48), curve(4, 48, 30, 72, 50, 76, 70, 72, 96, 48),
         curve(4, 48, 30, 50, 50, 54, 70, 50, 96, 48)],
        [arc(50, 30, 44, 46, start=180, stop=0) + polyline(6, 30),
         *[polyline(x, 30, x, 44).maybe(0.7) for x in (26, 38, 50, 62, 74)]],
        [oval(50, 50, 45, 24), polyline(6, 50, 94, 50),
         *[polyline(x, 32, x, 68).maybe(0.8) for x in (24, 37, 50, 63, 76)]]),
    "moustache": drawn(
        [curve(50, 42, 34, 32, 20, 44, 4, 38, 12, 58, 34, 62, 50, 52),
         curve(50, 42, 66, 32, 80, 44, 96, 38, 88, 58, 66, 62, 50, 52)],
        [blob(50, 40, 30, 34, 16, 50, 4, 46, 18, 64, 40, 60, 50, 52, 60, 60, 82, 64, 96, 46, 84, 50, 70, 34)]),
    "cat": drawn(
        [oval(50, 56, 36, 34), polyline(22, 34, 20, 6, 42, 24), polyline(58, 24, 80, 6, 78, 34),
         *_both(oval(36, 48, 5)), polygon(46, 60, 54, 60, 50, 66), curve(40, 72, 46, 76, 50, 68, 54, 76, 60, 72),
         *[w.maybe(0.85) for w in _WHISKERS]],
        [curve(18, 60, 16, 40, 20, 8) + polyline(38, 26, 62, 26, 80, 8)
         + curve(80, 8, 84, 40, 82, 60, 70, 84, 50, 90, 30, 84, 18, 60),
         *_both(dot(36, 50)), dot(50, 62), *_WHISKERS[1:5]],
        [oval(24, 32, 17, 15), polyline(12, 22, 12, 6, 22, 17), polyline(27, 17, 36, 6, 37, 23), dot(19, 30),
         dot(29, 30), blob(34, 42, 60, 38, 82, 46, 82, 66, 56, 70, 36, 66),
         *[polyline(x, 67, x - 1, 92) for x in (40, 48, 70, 78)], curve(82, 48, 92, 40, 90, 24, 97, 16),
         polyline(24, 37, 40, 36).maybe(0.5), polyline(24, 37, 8, 38).maybe(0.5)]),
    "fish": drawn(
        [curve(70, 50, 45, 28, 20, 34, 6, 50, 20, 66, 45, 72, 70, 50, 94, 30) + polyline(94, 70)
         + curve(94, 70, 82, 60, 70, 50),
         dot(20, 46)],
        [curve(96, 28, 72, 54, 42, 72, 16, 66, 4, 50, 16, 34, 42, 28, 72, 46, 96, 72) + polyline(96, 28),
         oval(20, 44, 3), arc(22, 50, 12, 14, start=-60, stop=60).maybe(0.5)],
        [oval(40, 50, 34, 20), polygon(73, 50, 95, 32, 95, 68), oval(18, 45, 3),
         curve(34, 31, 44, 18, 54, 33).maybe(0.6), curve(8, 54, 14, 58, 18, 56).maybe(0.6)]),
    "spider": drawn(
        [oval(50, 52, 14), *[leg for side in _SPIDER_LEG for leg in _both(side)], dot(45, 48).maybe(0.6),
         dot(55, 48).maybe(0.6)],
        [oval(50, 58, 17), oval(50, 34, 9), *[leg.maybe(0.95) for side in _SPIDER_LEG for leg in _both(side)],
         polyline(50, 25, 50, 0).maybe(0.3)]),
    "snail": drawn(
        [arc(46, 50, 8, 8, start=0, stop=320) + arc(46, 48, 18, 18, start=0, stop=360)
         + arc(46, 46, 30, 28, start=10, stop=380),
         curve(4, 82, 40, 76, 76, 80, 86, 62, 88, 44, 95, 44, 94, 66, 84, 86, 40, 88, 4, 82), polyline(88, 44, 84, 30),
         polyline(94, 44, 98, 30)]),
    "snake": drawn(
        [wave(4, 90, 50, height=20, periods=2), oval(93, 48, 5, 4), polyline(97, 48, 104, 46).maybe(0.6)],
        [curve(4, 60, 20, 36, 38, 44, 50, 66, 68, 62, 78, 38, 94, 34, 96, 44, 84, 48, 76, 72, 52, 78, 40, 56, 24, 48,
               4, 60),
         dot(90, 38)], spin=15),
    "butterfly": drawn(
        [oval(50, 52, 5, 30), *_both(curve(46, 45, 24, 10, 6, 16, 8, 44, 46, 52)),
         *_both(curve(46, 54, 16, 58, 12, 84, 34, 86, 47, 64)), *_both(curve(49, 24, 44, 12, 38, 6))],
        [polyline(50, 25, 50, 80), *_both(blob(50, 48, 30, 14, 8, 20, 14, 46)),
         *_both(blob(50, 54, 20, 54, 14, 78, 36, 80)), *_both(polyline(50, 25, 42, 8))]),
    "bird": drawn(
        [curve(4, 30, 16, 22, 32, 24, 50, 45) + curve(50, 45, 66, 24, 84, 22, 96, 30)],
        [oval(26, 34, 14), polyline(13, 32, 2, 38, 14, 40),
         curve(34, 46, 50, 40, 74, 52, 96, 50, 78, 68, 52, 76, 32, 66, 30, 47), dot(22, 31),
         curve(48, 54, 62, 48, 68, 62, 52, 64).maybe(0.8), polyline(50, 76, 50, 92), polyline(60, 75, 60, 91)]),
    "flower": drawn(
        [oval(50, 40, 10), *[p.maybe(0.98) for p in around(6, lambda: _PETAL, 50, 40)], _STEM,
         curve(50, 80, 64, 66, 70, 74, 50, 84).maybe(0.5)],
        [oval(50, 34, 9), scallops(oval(50, 34, 17), 6, 0.55), _STEM.moved(0, 2),
         curve(50, 80, 34, 66, 30, 76, 50, 84).maybe(0.6), curve(50, 84, 66, 70, 70, 80, 50, 88).maybe(0.6)],
        [oval(50, 50, 12), *around(5, lambda: blob(60, 44, 78, 34, 92, 48, 78, 64, 61, 56), 50, 50)]),
    "tree": drawn(
        [scallops(oval(50, 34, 30, 24), 8, 0.3), polyline(42, 60, 41, 96), polyline(58, 60, 59, 96)],
        [polyline(40, 96, 42, 60) + arc(50, 34, 38, 30, start=110, stop=430) + polyline(58, 60, 60, 96)],
        [polygon(50, 4, 22, 40, 78, 40), polygon(50, 26, 14, 74, 86, 74), polyline(44, 74, 44, 96, 56, 96, 56, 74)],
        [scallops(oval(50, 32, 34, 22), 10, 0.28), polyline(44, 56, 42, 96, 58, 96, 56, 56),
         polyline(50, 60, 50, 44).maybe(0.3)]),
    "palm tree": drawn(
        [curve(46, 96, 44, 60, 52, 30), curve(56, 96, 54, 60, 58, 30),
         *[curve(54, 28, 54 + dx, 28 + dy, 54 + 2 * dx, 34 + 3 * dy)
         for dx, dy in ((-20, -8), (-16, -2), (18, -8), (18, -2), (-6, -10))],
         oval(50, 33, 3).maybe(0.6), oval(58, 34, 3).maybe(0.6)],
        [polyline(47, 96, 48, 32), polyline(55, 96, 53, 32),
         *[blob(50, 30, 50 + dx, 22 + dy, 50 + 2 * dx, 30 + 2 * dy, 50 + dx, 30 + dy)
         for dx, dy in ((-20, -4), (20, -4), (-16, 6), (16, 6))]]),
    "cactus": drawn(
        [polyline(42, 96, 42, 20) + arc(50, 18, 8, 10, start=180, stop=360) + polyline(58, 96),
         curve(42, 66, 20, 66, 18, 50, 18, 36, 25, 32, 31, 40, 32, 52, 42, 54),
         curve(58, 56, 80, 56, 84, 42, 84, 28, 77, 24, 71, 32, 70, 44, 58, 45),
         *[polyline(46, y, 50, y - 3).maybe(0.6) for y in (32, 48, 64, 80)]]),
    "mushroom": drawn(
        [arc(50, 50, 44, 42, start=180, stop=360) + polyline(6, 50), polyline(38, 50, 36, 94, 64, 94, 62, 50)],
        [blob(50, 8, 18, 22, 4, 48, 26, 56, 50, 54, 74, 56, 96, 48, 82, 22),
         curve(40, 55, 42, 74, 36, 92, 50, 96, 64, 92, 58, 74, 60, 55),
         *[oval(x, y, 5).maybe(0.5) for x, y in ((34, 34), (52, 22), (68, 38))]]),
    "leaf": drawn(
        [curve(10, 90, 8, 50, 30, 20, 88, 10, 82, 60, 55, 88, 18, 82), polyline(4, 98, 80, 20),
         *[polyline(x, 100 - x, x + dx, 82 - x - dx).maybe(0.6) for x, dx in ((30, 2), (45, 2), (60, 2))]],
        [blob(50, 4, 26, 34, 28, 66, 50, 84, 72, 66, 74, 34), polyline(50, 98, 50, 14),
         *[s for y in (34, 48, 62) for s in _both(polyline(50, y + 8, 35, y).maybe(0.6))]], spin=35),
    "apple": drawn(
        [blob(50, 26, 30, 18, 10, 34, 12, 62, 30, 90, 50, 86, 70, 90, 88, 62, 90, 34, 70, 18),
         curve(50, 28, 50, 14, 57, 4), curve(53, 14, 66, 2, 78, 6, 68, 16, 53, 14).maybe(0.5)],
        [curve(50, 24, 28, 18, 8, 36, 14, 70, 34, 94, 52, 88), curve(50, 24, 72, 18, 92, 36, 86, 70, 66, 94, 50, 88),
         polyline(50, 24, 52, 6)]),
    "pear": drawn(
        [blob(50, 12, 38, 22, 36, 44, 20, 66, 30, 90, 50, 95, 70, 90, 80, 66, 64, 44, 62, 22),
         curve(50, 13, 50, 6, 55, 0), curve(52, 8, 64, 0, 72, 4, 62, 11, 52, 8).maybe(0.4)]),
    "banana": drawn(
        [curve(10, 20, 16, 62, 50, 84, 92, 74, 94, 66, 58, 62, 30, 44, 20, 16) + polyline(10, 20),
         curve(16, 24, 28, 56, 90, 70).maybe(0.5)], spin=25),
    "carrot": drawn(
        [curve(36, 30, 40, 62, 50, 97, 60, 62, 64, 30, 50, 24, 36, 30),
         *[curve(50, 26, 50 + dx, 14, 50 + 2 * dx, 4) for dx in (-8, 0, 8)],
         *[polyline(40, y, 50, y + 1).maybe(0.6) for y in (42, 54, 66)]],
        [polygon(34, 32, 50, 97, 66, 32), zigzag(36, 64, top=6, bottom=30, teeth=3)], spin=40),
    "skull": drawn(
        [curve(32, 68, 14, 56, 10, 34, 26, 12, 50, 6, 74, 12, 90, 34, 86, 56, 68, 68)
         + polyline(68, 92, 32, 92, 32, 68),
         *_both(oval(34, 42, 10)), polygon(50, 56, 45, 66, 55, 66),
         *[polyline(x, 76, x, 92) for x in (41, 50, 59)]], spin=5),
    "bear": drawn(
        [oval(50, 54, 36), *_both(oval(22, 24, 11)), *_both(dot(38, 46)), oval(50, 66, 14, 11), oval(50, 60, 4, 3),
         polyline(50, 64, 50, 72).maybe(0.8)]),
    "hedgehog": drawn(
        [polyline(10, 74) + zigzag(18, 82, top=28, bottom=48, teeth=6) + polyline(90, 74),
         curve(10, 74, 2, 68, 12, 58, 18, 48), dot(12, 64), polyline(6, 76, 92, 76),
         *[polyline(x, 96, x, 76) for x in (30, 70)],
         *[polyline(x, y, x + 6, y - 6).maybe(0.8) for x, y in ((34, 60), (48, 56), (62, 62))]]),
    # Sky, landscape, buildings and vehicles.
    "sun": drawn(
        [oval(50, 50, 22), *[r.maybe(0.97) for r in rays(8, 50, 50, inner=28, outer=46)]],
        [oval(50, 50, 25), *[r.maybe(0.97) for r in rays(11, 50, 50, inner=30, outer=45)]],
        [oval(50, 50, 20), *rays(6, 50, 50, inner=20, outer=44)],
        [oval(50, 50, 26), *rays(9, 50, 50, inner=30, outer=46), dot(42, 44), dot(58, 44),
         arc(50, 52, 11, 9, start=165, stop=15)]),
    "moon": drawn(
        [curve(62, 6, 28, 14, 12, 50, 28, 86, 62, 95) + curve(62, 95, 42, 76, 36, 50, 42, 26, 62, 6)],
        [curve(70, 4, 30, 10, 8, 48, 26, 88, 74, 92), curve(70, 4, 46, 22, 38, 50, 48, 76, 74, 92)],
        [oval(50, 50, 44), oval(36, 38, 8).maybe(0.8), oval(62, 60, 10).maybe(0.8),
         oval(64, 30, 5).maybe(0.6)], spin=15),
    "cloud": drawn(
        [_CLOUD],
        [scallops(oval(50, 50, 36, 22), 9, 0.24)],
        [curve(16, 70, 4, 58, 14, 44, 24, 46) + curve(24, 46, 28, 22, 54, 20, 60, 38)
         + curve(60, 38, 82, 28, 92, 48, 82, 54) + curve(82, 54, 98, 62, 88, 74, 76, 71) + polyline(16, 70)]),
    "rain": drawn(
        [_CLOUD.scaled(0.95, 0.9).moved(0, -22),
         *[polyline(x, y, x - 4, y + 14).maybe(0.9)
         for x, y in ((24, 58), (40, 60), (56, 58), (72, 60), (32, 80), (50, 82), (66, 80))]],
        [polyline(x, y, x - 5, y + 14).maybe(0.9) for x in (12, 34, 56, 78) for y in (8, 38, 68)]),
    "rainbow": drawn(
        _arcs(45, 36, 27),
        _arcs(46, 40, 33, 26),
        _arcs(46, 41, 36, 31, 26, 21),
        [*_arcs(44, 28), polyline(6, 75, 22, 75), polyline(78, 75, 94, 75)]),
    "mountain": drawn(
        [polyline(4, 85, 34, 25, 52, 60, 70, 32, 96, 85)],
        [polyline(4, 90, 45, 10, 96, 90), zigzag(33, 58, top=28, bottom=36, teeth=3).maybe(0.6)],
        [polyline(4, 85, 30, 30, 48, 66), polyline(36, 82, 64, 14, 96, 85)],
        [polyline(4, 85, 22, 48, 34, 62, 52, 18, 70, 60, 80, 46, 96, 85)], stretch=0.2),
    "river": drawn(
        [curve(30, 4, 46, 24, 22, 48, 38, 72, 26, 96), curve(58, 4, 74, 24, 50, 48, 68, 72, 60, 96)],
        [curve(4, 30, 30, 44, 60, 22, 96, 36), curve(4, 64, 30, 78, 60, 56, 96, 70),
         *[wave(x, x + 16, y, height=2, periods=1).maybe(0.7) for x, y in ((18, 52), (46, 46), (70, 50))]]),
    "ocean": drawn(
        [wave(4, 96, y, height=5, periods=4) for y in (35, 50, 65)],
        [wave(4, 96, 40, height=8, periods=3.5), wave(4, 96, 60, height=6, periods=3).maybe(0.7)]),
    "house": drawn(
        [rectangle(15, 45, 70, 50), polyline(10, 45, 50, 8, 90, 45), rectangle(42, 68, 16, 27)],
        [rectangle(18, 42, 64, 53), polygon(12, 42, 50, 5, 88, 42), polyline(44, 95, 44, 70, 58, 70, 58, 95),
         rectangle(26, 52, 12, 12).maybe(0.7), rectangle(62, 52, 12, 12).maybe(0.7)],
        [polyline(18, 45, 18, 95, 82, 95, 82, 45), polygon(50, 8, 10, 45, 90, 45), dot(55, 82).maybe(0.5)],
        [polygon(20, 95, 20, 45, 50, 12, 80, 45, 80, 95), polyline(20, 45, 80, 45),
         polyline(43, 95, 43, 68, 57, 68, 57, 95).maybe(0.8),
         polyline(66, 30, 66, 14, 74, 14, 74, 38).maybe(0.5)], spin=4),
    "tent": drawn(
        [polygon(50, 15, 8, 88, 92, 88), polyline(50, 15, 40, 88), polyline(50, 15, 60, 88)],
        [polygon(30, 20, 6, 84, 54, 84), polyline(30, 20, 74, 16, 96, 74, 54, 84),
         polyline(30, 20, 30, 84).maybe(0.6)]),
    "fence": drawn(
        [*[polyline(x, 25, x, 85) for x in (10, 26, 42, 58, 74, 90)], polyline(4, 42, 96, 42), polyline(4, 66, 96, 66)],
        [*[polyline(x, 88, x, 30, x + 8, 18, x + 16, 30, x + 16, 88) for x in (6, 30, 54, 78)], polyline(2, 45, 98, 45),
         polyline(2, 70, 98, 70)], spin=4),
    "stairs": drawn([_steps(4)], [_steps(5)], [_steps(3)], [_steps(6)], spin=5, stretch=0.2),
    "The Eiffel Tower": drawn(
        [curve(50, 4, 46, 40, 34, 72, 14, 96), curve(50, 4, 54, 40, 66, 72, 86, 96), polyline(37, 66, 63, 66),
         polyline(43, 44, 57, 44), arc(50, 96, 18, 18, start=180, stop=360), polyline(40, 60, 60, 50).maybe(0.5),
         polyline(60, 60, 40, 50).maybe(0.5)],
        [polygon(50, 4, 20, 96, 80, 96), polyline(41, 34, 59, 34), polyline(32, 62, 68, 62),
         *[zigzag(36, 64, top=38, bottom=58, teeth=2).maybe(0.6)]]),
    "car": drawn(
        [_CAR + polyline(4, 66), *_WHEELS],
        [polyline(4, 66, 6, 46, 26, 44, 36, 24, 66, 24, 76, 44, 94, 48, 96, 66), *_WHEELS, polyline(17, 68, 4, 66),
         polyline(35, 68, 65, 68), polyline(83, 68, 96, 66), polygon(32, 44, 40, 30, 50, 30, 50, 44).maybe(0.7),
         polygon(54, 44, 54, 30, 63, 30, 70, 44).maybe(0.7)],
        [curve(4, 64, 4, 46, 24, 42, 38, 24, 64, 24, 78, 42, 95, 46, 96, 64) + polyline(4, 64), *_WHEELS,
         oval(26, 68, 4).maybe(0.5), oval(74, 68, 4).maybe(0.5), polyline(28, 44, 74, 44).maybe(0.4)], spin=4),
    "bicycle": drawn(
        [oval(22, 66, 18), oval(78, 66, 18), polyline(22, 66, 40, 38, 68, 38, 50, 66, 22, 66), polyline(50, 66, 36, 30),
         polyline(30, 30, 42, 30), polyline(78, 66, 66, 28, 58, 25)],
        [oval(20, 65, 17), oval(80, 65, 17), polyline(20, 65, 46, 62, 70, 36), polyline(80, 65, 68, 26),
         polyline(46, 62, 38, 32), polyline(32, 32, 46, 32), curve(68, 26, 74, 20, 78, 28).maybe(0.8),
         polyline(39, 38, 70, 36).maybe(0.7)], spin=4),
    "sailboat": drawn(
        [polyline(10, 70, 24, 92, 76, 92, 90, 70, 10, 70), polyline(50, 70, 50, 6), polyline(50, 8, 82, 60, 50, 60)],
        [curve(6, 70, 24, 90, 50, 94, 76, 90, 94, 70) + polyline(6, 70), polyline(48, 70, 48, 4),
         polygon(52, 10, 52, 60, 84, 60), polygon(44, 18, 44, 60, 18, 60).maybe(0.8),
         wave(2, 98, 98, height=2, periods=5).maybe(0.2)]),
    "hot air balloon": drawn(
        [curve(40, 66, 14, 40, 22, 12, 50, 3, 78, 12, 86, 40, 60, 66) + polyline(40, 66), polyline(40, 66, 43, 84),
         polyline(60, 66, 57, 84), rectangle(41, 84, 18, 13), curve(50, 3, 40, 34, 46, 66).maybe(0.5),
         curve(50, 3, 60, 34, 54, 66).maybe(0.5)]),
    "snowman": drawn(
        [oval(50, 76, 26, 21), oval(50, 40, 18, 16), oval(50, 14, 11)],
        [oval(50, 15, 12), oval(50, 42, 17, 15), oval(50, 76, 24, 20), dot(46, 12), dot(54, 12),
         polyline(50, 16, 60, 18).maybe(0.8), polyline(33, 40, 12, 28), polyline(67, 40, 88, 28),
         *[dot(50, y).maybe(0.8) for y in (36, 44)]],
        [oval(50, 70, 28, 26), oval(50, 28, 18, 17), dot(44, 24), dot(56, 24), polyline(32, 12, 68, 12).maybe(0.7),
         polyline(40, 12, 40, -4, 60, -4, 60, 12).maybe(0.7), arc(50, 30, 9, 7, start=160, stop=20).maybe(0.7)]),
    "campfire": drawn(
        [curve(30, 74, 18, 50, 34, 40, 36, 24, 48, 36, 54, 6, 66, 32, 72, 24, 80, 54, 70, 74), polyline(10, 94, 90, 78),
         polyline(10, 78, 90, 94)],
        [zigzag(26, 74, top=20, bottom=46, teeth=3), polyline(26, 46, 30, 76), polyline(74, 46, 70, 76),
         rectangle(10, 78, 80, 8), polyline(16, 96, 84, 74)]),
    # Food, tools and other small things.
    "ice cream": drawn(
        [arc(50, 42, 22, 32, start=175, stop=365), polyline(26, 44, 74, 44), _CONE],
        [scallops(oval(50, 30, 22, 18), 5, 0.3), _CONE, polyline(36, 58, 62, 70).maybe(0.6),
         polyline(64, 58, 42, 72).maybe(0.6)],
        [oval(50, 32, 24, 22), polygon(28, 44, 50, 97, 72, 44), oval(50, 6, 4).maybe(0.3)],
        [oval(36, 34, 16), oval(64, 34, 16), oval(50, 14, 14), _CONE + polyline(30, 46)]),
    "lollipop": drawn(
        [oval(50, 28, 25), polyline(50, 53, 50, 98)],
        [spiral(50, 28, 24, turns=2.5), oval(50, 28, 26), polyline(50, 54, 50, 98)],
        [oval(50, 28, 25), polyline(48, 53, 48, 98, 53, 98, 53, 53),
         curve(40, 28, 46, 18, 58, 22, 60, 34, 48, 38).maybe(0.6)], spin=20),
    "bread": drawn(
        [curve(20, 45, 6, 34, 14, 14, 50, 10, 86, 14, 94, 34, 80, 45) + polyline(80, 92, 20, 92, 20, 45)],
        [blob(8, 60, 10, 36, 34, 26, 66, 26, 90, 36, 94, 60, 84, 74, 50, 76, 16, 74),
         *[polyline(x, 34, x + 8, 50).maybe(0.8) for x in (28, 46, 64)]]),
    "pizza": drawn(
        [polygon(8, 20, 92, 20, 50, 96), curve(6, 20, 28, 6, 50, 4, 72, 6, 94, 20),
         *[oval(x, y, 6).maybe(0.85) for x, y in ((36, 34), (62, 36), (48, 60))]],
        [oval(50, 50, 45), *[polyline(5, 50, 95, 50).turned(a) for a in (0, 60, 120)],
         *[oval(x, y, 4).maybe(0.5) for x, y in ((30, 32), (64, 28), (74, 60), (40, 74))]],
        [oval(50, 50, 46), oval(50, 50, 38), polyline(50, 4, 50, 96), polyline(4, 50, 96, 50),
         *[oval(x, y, 5).maybe(0.8) for x, y in ((34, 34), (66, 34), (66, 66), (34, 66))]]),
    "donut": drawn(
        [oval(50, 50, 45), oval(50, 50, 15)],
        [oval(50, 50, 45, 40), oval(50, 50, 14), *_SPRINKLES],
        [oval(50, 50, 45), oval(50, 48, 16, 12), scallops(oval(50, 50, 34), 8, 0.12).maybe(0.8)]),
    "cookie": drawn(
        [oval(50, 50, 45),
         *[oval(x, y, 5).maybe(0.85) for x, y in ((32, 32), (62, 28), (72, 56), (46, 52), (30, 68), (58, 76))]]),
    "hamburger": drawn(
        [arc(50, 42, 44, 34, start=180, stop=360) + polyline(6, 42), polyline(6, 56, 94, 56).maybe(0.9),
         zigzag(6, 94, top=48, bottom=54, teeth=5).maybe(0.5),
         curve(6, 64, 10, 84, 50, 88, 90, 84, 94, 64) + polyline(6, 64),
         *[dot(x, y).maybe(0.5) for x, y in ((34, 24), (50, 18), (66, 24))]]),
    "popsicle": drawn(
        [polyline(30, 70, 30, 22) + arc(50, 22, 20, 18, start=180, stop=360) + polyline(70, 70, 30, 70),
         polyline(45, 70, 45, 97, 55, 97, 55, 70), polyline(42, 26, 42, 58).maybe(0.6),
         polyline(58, 26, 58, 58).maybe(0.6)], spin=20),
    "birthday cake": drawn(
        [rectangle(10, 52, 80, 42), *[polyline(x, 52, x, 32) for x in (26, 42, 58, 74)],
         *[oval(x, 25, 3, 5).maybe(0.85) for x in (26, 42, 58, 74)],
         zigzag(10, 90, top=60, bottom=66, teeth=5).maybe(0.6)],
        [oval(50, 46, 40, 12), polyline(10, 46, 10, 84), polyline(90, 46, 90, 84), curve(10, 84, 50, 98, 90, 84),
         *[polyline(x, 44, x, 22) for x in (34, 50, 66)], *[dot(x, 17) for x in (34, 50, 66)]]),
    "fork": drawn(
        [polyline(50, 96, 50, 44), curve(36, 4, 36, 34, 50, 44, 64, 34, 64, 4), polyline(45, 4, 45, 38),
         polyline(55, 4, 55, 38).maybe(0.7)], spin=40),
    "spoon": drawn(
        [oval(50, 20, 14, 17), polyline(50, 37, 50, 97)],
        [oval(50, 20, 15, 18), polyline(47, 38, 46, 97, 54, 97, 53, 38)], spin=50),
    "hammer": drawn(
        [rectangle(20, 8, 60, 22), rectangle(44, 30, 12, 66)],
        [polygon(18, 8, 70, 8, 92, 22, 70, 28, 18, 28), polyline(44, 28, 44, 96, 55, 96, 55, 28)], spin=40),
    "axe": drawn(
        [polyline(44, 97, 46, 6, 54, 6, 54, 97, 44, 97),
         curve(54, 12, 76, 4, 86, 2, 92, 24, 86, 46, 76, 38, 54, 34)], spin=30),
    "pencil": drawn(
        [polygon(4, 44, 72, 44, 94, 54, 72, 64, 4, 64), polyline(72, 44, 72, 64), polyline(14, 44, 14, 64).maybe(0.8),
         polyline(86, 50, 86, 58).maybe(0.5)], spin=60, stretch=0.06),
    "paper clip": drawn(
        [curve(70, 22, 70, 80, 58, 94, 44, 80, 44, 16, 34, 4, 24, 16, 24, 76)],
        [curve(62, 30, 62, 76, 50, 84, 40, 76, 40, 16, 54, 6, 72, 16, 72, 84, 54, 97, 30, 84, 30, 30)], spin=40),
    "flip flops": drawn(
        [blob(26, 4, 10, 20, 14, 50, 12, 80, 26, 96, 40, 80, 36, 50, 42, 20), polyline(14, 44, 26, 22, 38, 44),
         blob(74, 4, 58, 20, 64, 50, 60, 80, 74, 96, 88, 80, 86, 50, 90, 20), polyline(62, 44, 74, 22, 86, 44)]),
    "calendar": drawn(
        [rectangle(10, 12, 80, 80), polyline(10, 30, 90, 30), *[polyline(x, 30, x, 92) for x in (30, 50, 70)],
         *[polyline(10, y, 90, y) for y in (46, 62, 78)], polyline(30, 4, 30, 18).maybe(0.5),
         polyline(70, 4, 70, 18).maybe(0.5)], spin=4),
    "dumbbell": drawn(
        [oval(16, 50, 13, 16), oval(84, 50, 13, 16), polyline(29, 46, 71, 46), polyline(29, 54, 71, 54)],
        [rectangle(4, 30, 14, 40), rectangle(82, 30, 14, 40), polyline(18, 50, 82, 50)], spin=15),
    "headphones": drawn(
        [arc(50, 50, 40, 42, start=180, stop=360), oval(12, 62, 10, 15), oval(88, 62, 10, 15)],
        [arc(50, 52, 44, 46, start=175, stop=365), arc(50, 52, 36, 38, start=180, stop=360), rectangle(2, 52, 16, 30),
         rectangle(82, 52, 16, 30)]),
}
# fmt: on
