"""Prototypes of sky, landscape, buildings and vehicles. The drawings are generated, not from Quick, Draw!."""

from __future__ import annotations

from sketchdata.synth.prototypes.prototype import Prototype, drawn
from sketchdata.synth.shapes import (
    Stroke,
    arc,
    curve,
    dot,
    oval,
    polygon,
    polyline,
    rays,
    rectangle,
    scallops,
    wave,
    zigzag,
)

_CLOUD = scallops(oval(50, 50, 36, 20), 7, 0.28)
_CAR = polyline(4, 66, 6, 46, 26, 44, 36, 24, 66, 24, 76, 44, 94, 48, 96, 66)
_WHEELS = [oval(26, 68, 9), oval(74, 68, 9)]


def _arcs(*radii: float) -> list[Stroke]:
    return [arc(50, 75, r, 1.25 * r, start=180, stop=360) for r in radii]


def _steps(count: int) -> Stroke:
    rise = [
        v
        for k in range(count)
        for v in (5 + 90 * k / count, 90 - 80 * (k + 1) / count, 5 + 90 * (k + 1) / count, 90 - 80 * (k + 1) / count)
    ]
    return polyline(5, 90, *rise)


PROTOTYPES: dict[str, Prototype] = {
    "sun": drawn(
        [oval(50, 50, 22), *[r.maybe(0.97) for r in rays(8, 50, 50, inner=28, outer=46)]],
        [oval(50, 50, 25), *[r.maybe(0.97) for r in rays(11, 50, 50, inner=30, outer=45)]],
        [oval(50, 50, 20), *rays(6, 50, 50, inner=20, outer=44)],
        [
            oval(50, 50, 26),
            *rays(9, 50, 50, inner=30, outer=46),
            dot(42, 44),
            dot(58, 44),
            arc(50, 52, 11, 9, start=165, stop=15),
        ],
    ),
    "moon": drawn(
        [curve(62, 6, 28, 14, 12, 50, 28, 86, 62, 95) + curve(62, 95, 42, 76, 36, 50, 42, 26, 62, 6)],
        [curve(70, 4, 30, 10, 8, 48, 26, 88, 74, 92), curve(70, 4, 46, 22, 38, 50, 48, 76, 74, 92)],
        [oval(50, 50, 44), oval(36, 38, 8).maybe(0.8), oval(62, 60, 10).maybe(0.8), oval(64, 30, 5).maybe(0.6)],
        spin=15,
    ),
    "cloud": drawn(
        [_CLOUD],
        [scallops(oval(50, 50, 36, 22), 9, 0.24)],
        [
            curve(16, 70, 4, 58, 14, 44, 24, 46)
            + curve(24, 46, 28, 22, 54, 20, 60, 38)
            + curve(60, 38, 82, 28, 92, 48, 82, 54)
            + curve(82, 54, 98, 62, 88, 74, 76, 71)
            + polyline(16, 70)
        ],
    ),
    "rain": drawn(
        [
            _CLOUD.scaled(0.95, 0.9).moved(0, -22),
            *[
                polyline(x, y, x - 4, y + 14).maybe(0.9)
                for x, y in ((24, 58), (40, 60), (56, 58), (72, 60), (32, 80), (50, 82), (66, 80))
            ],
        ],
        [polyline(x, y, x - 5, y + 14).maybe(0.9) for x in (12, 34, 56, 78) for y in (8, 38, 68)],
    ),
    "rainbow": drawn(
        _arcs(45, 36, 27),
        _arcs(46, 40, 33, 26),
        _arcs(46, 41, 36, 31, 26, 21),
        [*_arcs(44, 28), polyline(6, 75, 22, 75), polyline(78, 75, 94, 75)],
    ),
    "mountain": drawn(
        [polyline(4, 85, 34, 25, 52, 60, 70, 32, 96, 85)],
        [polyline(4, 90, 45, 10, 96, 90), zigzag(33, 58, top=28, bottom=36, teeth=3).maybe(0.6)],
        [polyline(4, 85, 30, 30, 48, 66), polyline(36, 82, 64, 14, 96, 85)],
        [polyline(4, 85, 22, 48, 34, 62, 52, 18, 70, 60, 80, 46, 96, 85)],
        stretch=0.2,
    ),
    "river": drawn(
        [curve(30, 4, 46, 24, 22, 48, 38, 72, 26, 96), curve(58, 4, 74, 24, 50, 48, 68, 72, 60, 96)],
        [
            curve(4, 30, 30, 44, 60, 22, 96, 36),
            curve(4, 64, 30, 78, 60, 56, 96, 70),
            *[wave(x, x + 16, y, height=2, periods=1).maybe(0.7) for x, y in ((18, 52), (46, 46), (70, 50))],
        ],
    ),
    "ocean": drawn(
        [wave(4, 96, y, height=5, periods=4) for y in (35, 50, 65)],
        [wave(4, 96, 40, height=8, periods=3.5), wave(4, 96, 60, height=6, periods=3).maybe(0.7)],
    ),
    "house": drawn(
        [rectangle(15, 45, 70, 50), polyline(10, 45, 50, 8, 90, 45), rectangle(42, 68, 16, 27)],
        [
            rectangle(18, 42, 64, 53),
            polygon(12, 42, 50, 5, 88, 42),
            polyline(44, 95, 44, 70, 58, 70, 58, 95),
            rectangle(26, 52, 12, 12).maybe(0.7),
            rectangle(62, 52, 12, 12).maybe(0.7),
        ],
        [polyline(18, 45, 18, 95, 82, 95, 82, 45), polygon(50, 8, 10, 45, 90, 45), dot(55, 82).maybe(0.5)],
        [
            polygon(20, 95, 20, 45, 50, 12, 80, 45, 80, 95),
            polyline(20, 45, 80, 45),
            polyline(43, 95, 43, 68, 57, 68, 57, 95).maybe(0.8),
            polyline(66, 30, 66, 14, 74, 14, 74, 38).maybe(0.5),
        ],
        spin=4,
    ),
    "tent": drawn(
        [polygon(50, 15, 8, 88, 92, 88), polyline(50, 15, 40, 88), polyline(50, 15, 60, 88)],
        [polygon(30, 20, 6, 84, 54, 84), polyline(30, 20, 74, 16, 96, 74, 54, 84), polyline(30, 20, 30, 84).maybe(0.6)],
    ),
    "fence": drawn(
        [*[polyline(x, 25, x, 85) for x in (10, 26, 42, 58, 74, 90)], polyline(4, 42, 96, 42), polyline(4, 66, 96, 66)],
        [
            *[polyline(x, 88, x, 30, x + 8, 18, x + 16, 30, x + 16, 88) for x in (6, 30, 54, 78)],
            polyline(2, 45, 98, 45),
            polyline(2, 70, 98, 70),
        ],
        spin=4,
    ),
    "stairs": drawn([_steps(4)], [_steps(5)], [_steps(3)], [_steps(6)], spin=5, stretch=0.2),
    "The Eiffel Tower": drawn(
        [
            curve(50, 4, 46, 40, 34, 72, 14, 96),
            curve(50, 4, 54, 40, 66, 72, 86, 96),
            polyline(37, 66, 63, 66),
            polyline(43, 44, 57, 44),
            arc(50, 96, 18, 18, start=180, stop=360),
            polyline(40, 60, 60, 50).maybe(0.5),
            polyline(60, 60, 40, 50).maybe(0.5),
        ],
        [
            polygon(50, 4, 20, 96, 80, 96),
            polyline(41, 34, 59, 34),
            polyline(32, 62, 68, 62),
            *[zigzag(36, 64, top=38, bottom=58, teeth=2).maybe(0.6)],
        ],
    ),
    "car": drawn(
        [_CAR + polyline(4, 66), *_WHEELS],
        [
            polyline(4, 66, 6, 46, 26, 44, 36, 24, 66, 24, 76, 44, 94, 48, 96, 66),
            *_WHEELS,
            polyline(17, 68, 4, 66),
            polyline(35, 68, 65, 68),
            polyline(83, 68, 96, 66),
            polygon(32, 44, 40, 30, 50, 30, 50, 44).maybe(0.7),
            polygon(54, 44, 54, 30, 63, 30, 70, 44).maybe(0.7),
        ],
        [
            curve(4, 64, 4, 46, 24, 42, 38, 24, 64, 24, 78, 42, 95, 46, 96, 64) + polyline(4, 64),
            *_WHEELS,
            oval(26, 68, 4).maybe(0.5),
            oval(74, 68, 4).maybe(0.5),
            polyline(28, 44, 74, 44).maybe(0.4),
        ],
        spin=4,
    ),
    "bicycle": drawn(
        [
            oval(22, 66, 18),
            oval(78, 66, 18),
            polyline(22, 66, 40, 38, 68, 38, 50, 66, 22, 66),
            polyline(50, 66, 36, 30),
            polyline(30, 30, 42, 30),
            polyline(78, 66, 66, 28, 58, 25),
        ],
        [
            oval(20, 65, 17),
            oval(80, 65, 17),
            polyline(20, 65, 46, 62, 70, 36),
            polyline(80, 65, 68, 26),
            polyline(46, 62, 38, 32),
            polyline(32, 32, 46, 32),
            curve(68, 26, 74, 20, 78, 28).maybe(0.8),
            polyline(39, 38, 70, 36).maybe(0.7),
        ],
        spin=4,
    ),
    "sailboat": drawn(
        [polyline(10, 70, 24, 92, 76, 92, 90, 70, 10, 70), polyline(50, 70, 50, 6), polyline(50, 8, 82, 60, 50, 60)],
        [
            curve(6, 70, 24, 90, 50, 94, 76, 90, 94, 70) + polyline(6, 70),
            polyline(48, 70, 48, 4),
            polygon(52, 10, 52, 60, 84, 60),
            polygon(44, 18, 44, 60, 18, 60).maybe(0.8),
            wave(2, 98, 98, height=2, periods=5).maybe(0.2),
        ],
    ),
    "hot air balloon": drawn(
        [
            curve(40, 66, 14, 40, 22, 12, 50, 3, 78, 12, 86, 40, 60, 66) + polyline(40, 66),
            polyline(40, 66, 43, 84),
            polyline(60, 66, 57, 84),
            rectangle(41, 84, 18, 13),
            curve(50, 3, 40, 34, 46, 66).maybe(0.5),
            curve(50, 3, 60, 34, 54, 66).maybe(0.5),
        ],
    ),
    "snowman": drawn(
        [oval(50, 76, 26, 21), oval(50, 40, 18, 16), oval(50, 14, 11)],
        [
            oval(50, 15, 12),
            oval(50, 42, 17, 15),
            oval(50, 76, 24, 20),
            dot(46, 12),
            dot(54, 12),
            polyline(50, 16, 60, 18).maybe(0.8),
            polyline(33, 40, 12, 28),
            polyline(67, 40, 88, 28),
            *[dot(50, y).maybe(0.8) for y in (36, 44)],
        ],
        [
            oval(50, 70, 28, 26),
            oval(50, 28, 18, 17),
            dot(44, 24),
            dot(56, 24),
            polyline(32, 12, 68, 12).maybe(0.7),
            polyline(40, 12, 40, -4, 60, -4, 60, 12).maybe(0.7),
            arc(50, 30, 9, 7, start=160, stop=20).maybe(0.7),
        ],
    ),
    "campfire": drawn(
        [
            curve(30, 74, 18, 50, 34, 40, 36, 24, 48, 36, 54, 6, 66, 32, 72, 24, 80, 54, 70, 74),
            polyline(10, 94, 90, 78),
            polyline(10, 78, 90, 94),
        ],
        [
            zigzag(26, 74, top=20, bottom=46, teeth=3),
            polyline(26, 46, 30, 76),
            polyline(74, 46, 70, 76),
            rectangle(10, 78, 80, 8),
            polyline(16, 96, 84, 74),
        ],
    ),
}
