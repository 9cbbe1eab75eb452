"""Prototypes of things found in a home. Drawings made from them are generated, not from Quick, Draw!."""

from __future__ import annotations

from sketchdata.synth.prototypes.prototype import Prototype, drawn
from sketchdata.synth.shapes import arc, blob, curve, dot, oval, polygon, polyline, rays, rectangle, zigzag

_RUNGS = [polyline(30, y, 70, y) for y in (14, 28, 42, 56, 70, 84)]
_CUP = polyline(18, 15, 24, 90, 66, 90, 72, 15)
_BULB = curve(40, 68, 36, 55, 22, 38, 32, 12, 50, 6, 68, 12, 78, 38, 64, 55, 60, 68)

PROTOTYPES: dict[str, Prototype] = {
    "clock": drawn(
        [oval(50, 50, 45), polyline(50, 50, 50, 18), polyline(50, 50, 72, 58)],
        [oval(50, 50, 45), polyline(50, 22, 50, 50, 74, 50)],
        [oval(50, 50, 45), *rays(12, 50, 50, inner=37, outer=43), polyline(50, 50, 50, 20), polyline(50, 50, 66, 40)],
        [oval(50, 50, 45), *rays(4, 50, 50, inner=35, outer=42), polyline(50, 50, 40, 20), polyline(50, 50, 66, 60)],
    ),
    "candle": drawn(
        [rectangle(36, 40, 28, 56), polyline(50, 40, 50, 30), blob(50, 4, 42, 20, 50, 31, 58, 20)],
        [polyline(38, 96, 38, 36, 62, 36, 62, 96, 38, 96), blob(50, 6, 43, 22, 50, 34, 57, 22)],
        [rectangle(38, 38, 24, 48), polyline(50, 38, 50, 28), blob(50, 4, 43, 18, 50, 28, 57, 18), oval(50, 88, 34, 8)],
    ),
    "ladder": drawn(
        [polyline(30, 4, 30, 96), polyline(70, 4, 70, 96), *_RUNGS[:5], _RUNGS[5].maybe(0.6)],
        [polyline(34, 4, 26, 96), polyline(66, 4, 74, 96), *_RUNGS[1:5]],
        [polyline(30, 4, 30, 96), polyline(70, 4, 70, 96), *[r.maybe(0.85) for r in _RUNGS]],
        spin=12,
    ),
    "key": drawn(
        [
            oval(20, 50, 16),
            polyline(36, 50, 95, 50),
            polyline(90, 50, 90, 64),
            polyline(80, 50, 80, 62),
            oval(16, 50, 5).maybe(0.3),
        ],
        [
            oval(20, 50, 17),
            polyline(36, 45, 95, 45, 95, 66, 86, 66, 86, 55, 78, 55, 78, 64, 70, 64, 70, 55, 36, 55),
            oval(15, 50, 5).maybe(0.6),
        ],
        spin=80,
    ),
    "eyeglasses": drawn(
        [oval(25, 45, 19, 17), oval(75, 45, 19, 17), arc(50, 44, 7, 6, start=190, stop=350)],
        [
            oval(28, 55, 17),
            oval(68, 55, 17),
            polyline(45, 52, 51, 52),
            curve(11, 50, 4, 36, 14, 28),
            curve(85, 50, 96, 36, 88, 26),
        ],
        [
            rectangle(6, 38, 36, 24),
            rectangle(58, 38, 36, 24),
            polyline(42, 44, 58, 44),
            polyline(6, 42, 2, 28).maybe(0.5),
        ],
    ),
    "envelope": drawn(
        [rectangle(5, 20, 90, 60), polyline(5, 20, 50, 52, 95, 20)],
        [
            polygon(5, 20, 95, 20, 95, 80, 5, 80),
            polyline(5, 20, 50, 56, 95, 20),
            polyline(5, 80, 38, 48).maybe(0.4),
            polyline(95, 80, 62, 48).maybe(0.4),
        ],
        [rectangle(5, 22, 90, 56), polyline(5, 22, 50, 48), polyline(50, 48, 95, 22)],
    ),
    "umbrella": drawn(
        [
            arc(50, 50, 45, 40, start=180, stop=360),
            curve(5, 50, 17, 42, 28, 50)
            + curve(28, 50, 39, 42, 50, 50)
            + curve(50, 50, 61, 42, 72, 50)
            + curve(72, 50, 83, 42, 95, 50),
            polyline(50, 50, 50, 88) + arc(43, 88, 7, 8, start=0, stop=180),
        ],
        [
            arc(50, 48, 45, 40, start=180, stop=360) + polyline(95, 48, 5, 48),
            polyline(50, 48, 50, 90) + arc(57, 90, 7, 7, start=180, stop=0),
        ],
        [
            arc(50, 50, 45, 42, start=180, stop=360),
            polyline(5, 50, 95, 50),
            curve(50, 8, 36, 28, 32, 50).maybe(0.8),
            curve(50, 8, 64, 28, 68, 50).maybe(0.8),
            polyline(50, 50, 50, 88) + curve(50, 88, 46, 96, 38, 90),
        ],
    ),
    "sword": drawn(
        [polyline(44, 66, 44, 18, 50, 4, 56, 18, 56, 66), rectangle(28, 66, 44, 7), rectangle(45, 73, 10, 23)],
        [polyline(50, 4, 50, 96), polyline(32, 70, 68, 70)],
        [
            polygon(44, 70, 46, 16, 50, 4, 54, 16, 56, 70),
            polyline(28, 70, 72, 70),
            polyline(46, 70, 46, 94, 54, 94, 54, 70),
            polyline(50, 12, 50, 66).maybe(0.4),
        ],
        spin=50,
    ),
    "table": drawn(
        [polyline(5, 30, 95, 30), polyline(14, 30, 14, 85), polyline(86, 30, 86, 85)],
        [
            polygon(22, 20, 4, 45, 80, 45, 96, 20),
            polyline(6, 45, 6, 92),
            polyline(79, 45, 79, 92),
            polyline(94, 22, 94, 68),
            polyline(24, 45, 24, 66).maybe(0.6),
        ],
        [rectangle(4, 28, 92, 9), polyline(12, 37, 12, 86), polyline(88, 37, 88, 86)],
        [
            oval(50, 28, 46, 12),
            polyline(14, 34, 14, 88),
            polyline(86, 34, 86, 88),
            polyline(38, 40, 38, 92).maybe(0.7),
            polyline(62, 40, 62, 92).maybe(0.7),
        ],
    ),
    "chair": drawn(
        [polyline(25, 5, 25, 95), polyline(25, 52, 72, 52, 72, 95)],
        [
            polygon(28, 50, 14, 64, 60, 64, 74, 50),
            polyline(28, 50, 28, 5, 74, 5, 74, 50),
            polyline(14, 64, 14, 96),
            polyline(60, 64, 60, 96),
            polyline(74, 50, 74, 82),
            polyline(28, 64, 28, 80).maybe(0.6),
        ],
        [polyline(30, 4, 30, 55, 70, 55), polyline(30, 55, 28, 96), polyline(70, 55, 72, 96)],
    ),
    "bed": drawn(
        [polyline(6, 30, 6, 85), polyline(6, 62, 94, 62, 94, 85), polyline(6, 75, 94, 75), oval(20, 54, 12, 7)],
        [
            polygon(30, 25, 70, 25, 92, 88, 8, 88),
            polyline(20, 52, 80, 52),
            rectangle(36, 30, 12, 10),
            rectangle(53, 30, 12, 10),
        ],
        [rectangle(8, 55, 86, 22), polyline(8, 28, 8, 92), polyline(94, 45, 94, 92), rectangle(12, 44, 22, 11)],
    ),
    "door": drawn(
        [rectangle(25, 4, 50, 92), oval(66, 52, 3)],
        [rectangle(25, 4, 50, 92), oval(34, 52, 3), rectangle(34, 12, 32, 28), rectangle(34, 60, 32, 28).maybe(0.8)],
        [polyline(25, 96, 25, 4, 75, 4, 75, 96), polyline(25, 96, 75, 96), dot(66, 52)],
    ),
    "television": drawn(
        [rectangle(8, 22, 84, 58), rectangle(15, 29, 70, 44), polyline(50, 22, 32, 4), polyline(50, 22, 68, 4)],
        [rectangle(5, 15, 90, 60), polyline(35, 85, 65, 85), polyline(50, 75, 50, 85)],
        [
            rectangle(8, 25, 84, 60),
            rectangle(14, 31, 54, 48),
            oval(80, 42, 5),
            oval(80, 60, 5),
            polyline(48, 25, 34, 6),
            polyline(48, 25, 64, 6),
        ],
    ),
    "cell phone": drawn(
        [rectangle(28, 4, 44, 92), rectangle(33, 14, 34, 64), oval(50, 87, 4)],
        [
            rectangle(28, 4, 44, 92),
            polyline(28, 16, 72, 16),
            polyline(28, 80, 72, 80),
            oval(50, 88, 4),
            polyline(44, 10, 56, 10).maybe(0.6),
        ],
        [
            rectangle(28, 14, 44, 84),
            rectangle(34, 20, 32, 26),
            *[oval(x, y, 3) for y in (56, 68, 80) for x in (38, 50, 62)],
            polyline(34, 14, 34, 2),
        ],
    ),
    "book": drawn(
        [
            polyline(50, 25, 50, 85),
            curve(50, 25, 30, 15, 6, 22) + polyline(6, 82) + curve(6, 82, 30, 75, 50, 85),
            curve(50, 25, 70, 15, 94, 22) + polyline(94, 82) + curve(94, 82, 70, 75, 50, 85),
        ],
        [
            rectangle(20, 8, 60, 84),
            polyline(28, 8, 28, 92),
            polyline(40, 28, 70, 28).maybe(0.6),
            polyline(40, 38, 66, 38).maybe(0.5),
        ],
        [
            polygon(10, 15, 60, 10, 90, 20, 90, 85, 60, 80, 10, 85),
            polyline(60, 10, 60, 80),
            *[polyline(18, y, 52, y - 2).maybe(0.6) for y in (30, 42, 54)],
        ],
    ),
    "cup": drawn(
        [_CUP, oval(45, 15, 27, 7), arc(70, 50, 20, 22, start=-80, stop=100)],
        [_CUP + polyline(18, 15)],
        [polygon(18, 15, 24, 90, 66, 90, 72, 15), curve(70, 30, 92, 34, 88, 62, 67, 68)],
    ),
    "mug": drawn(
        [
            oval(42, 15, 32, 9),
            polyline(10, 15, 10, 90, 74, 90, 74, 15),
            curve(74, 32, 95, 34, 95, 66, 74, 70),
            curve(74, 42, 86, 44, 86, 58, 74, 60).maybe(0.5),
        ],
        [rectangle(10, 12, 62, 78), arc(72, 50, 20, 22, start=-90, stop=90)],
    ),
    "light bulb": drawn(
        [
            _BULB,
            rectangle(40, 68, 20, 20),
            polyline(40, 75, 60, 75),
            polyline(40, 82, 60, 82),
            arc(50, 88, 8, 7, start=0, stop=180).maybe(0.6),
        ],
        [
            _BULB + polyline(40, 68),
            polyline(40, 68, 42, 92, 58, 92, 60, 68),
            curve(44, 66, 42, 42, 50, 50, 58, 42, 56, 66).maybe(0.7),
        ],
        [
            oval(50, 36, 30),
            polyline(42, 64, 42, 90, 58, 90, 58, 64),
            polyline(42, 76, 58, 76),
            *rays(3, 50, 36, inner=36, outer=46, turn=-150)[:2],
        ],
    ),
    "hourglass": drawn(
        [polyline(22, 6, 78, 6, 22, 94, 78, 94, 22, 6)],
        [
            polyline(18, 5, 82, 5),
            polyline(18, 95, 82, 95),
            curve(24, 5, 28, 32, 48, 50, 28, 68, 24, 95),
            curve(76, 5, 72, 32, 52, 50, 72, 68, 76, 95),
            dot(50, 70).maybe(0.5),
            dot(48, 82).maybe(0.5),
        ],
        stretch=0.16,
    ),
    "crown": drawn(
        [polygon(8, 85, 5, 22, 28, 55, 50, 12, 72, 55, 95, 22, 92, 85)],
        [
            polyline(8, 85, 5, 30, 28, 58, 50, 20, 72, 58, 95, 30, 92, 85),
            polyline(8, 85, 92, 85),
            polyline(8, 74, 92, 74).maybe(0.7),
            *[oval(x, y, 4).maybe(0.8) for x, y in ((5, 25), (50, 15), (95, 25))],
        ],
        [polyline(6, 85) + zigzag(6, 94, top=20, bottom=55, teeth=4) + polyline(94, 85, 6, 85)],
    ),
    "hat": drawn(
        [polyline(5, 78, 95, 78), polyline(26, 78, 26, 22, 74, 22, 74, 78), polyline(26, 66, 74, 66).maybe(0.6)],
        [oval(50, 76, 45, 10), curve(26, 72, 28, 32, 50, 20, 72, 32, 74, 72), curve(27, 62, 50, 68, 73, 62).maybe(0.5)],
        [arc(50, 70, 32, 42, start=180, stop=360), curve(4, 78, 30, 68, 50, 70, 70, 68, 96, 78, 50, 86, 4, 78)],
    ),
    "t-shirt": drawn(
        [
            polyline(36, 10, 8, 24, 16, 46, 28, 38, 28, 94, 72, 94, 72, 38, 84, 46, 92, 24, 64, 10),
            arc(50, 10, 14, 12, start=180, stop=0),
        ],
        [curve(36, 8, 50, 20, 64, 8) + polyline(92, 22, 86, 44, 72, 36, 72, 94, 28, 94, 28, 36, 14, 44, 8, 22, 36, 8)],
    ),
    "pants": drawn(
        [polygon(25, 5, 75, 5, 85, 95, 60, 95, 50, 35, 40, 95, 15, 95)],
        [
            polyline(25, 5, 15, 95, 40, 95, 50, 32, 60, 95, 85, 95, 75, 5),
            polyline(25, 5, 75, 5),
            polyline(25, 14, 75, 14).maybe(0.5),
        ],
    ),
    "bowtie": drawn(
        [polygon(6, 22, 6, 78, 44, 54, 44, 46), polygon(94, 22, 94, 78, 56, 54, 56, 46), rectangle(44, 42, 12, 16)],
        [polygon(6, 22, 6, 78, 94, 22, 94, 78), oval(50, 50, 8).maybe(0.5)],
        [
            curve(44, 46, 24, 32, 6, 26, 8, 50, 6, 74, 24, 68, 44, 54),
            curve(56, 46, 76, 32, 94, 26, 92, 50, 94, 74, 76, 68, 56, 54),
            oval(50, 50, 7, 9),
        ],
    ),
    "wine glass": drawn(
        [
            curve(26, 6, 26, 40, 50, 52, 74, 40, 74, 6),
            polyline(26, 6, 74, 6),
            polyline(50, 52, 50, 92),
            polyline(30, 94, 70, 94),
        ],
        [
            oval(50, 8, 24, 5),
            curve(26, 8, 28, 42, 50, 54, 72, 42, 74, 8),
            polyline(50, 54, 50, 90),
            oval(50, 93, 22, 4),
            curve(28, 28, 50, 33, 72, 28).maybe(0.7),
        ],
    ),
    "wine bottle": drawn(
        [
            polyline(44, 4, 44, 32)
            + curve(44, 32, 32, 44, 30, 56)
            + polyline(30, 96, 70, 96, 70, 56)
            + curve(70, 56, 68, 44, 56, 32)
            + polyline(56, 4, 44, 4),
            rectangle(30, 62, 40, 20).maybe(0.7),
        ],
        [
            polyline(44, 4, 44, 34, 32, 48, 32, 96, 68, 96, 68, 48, 56, 34, 56, 4),
            polyline(42, 4, 58, 4),
            polyline(32, 62, 68, 62).maybe(0.7),
            polyline(32, 80, 68, 80).maybe(0.7),
        ],
    ),
}
