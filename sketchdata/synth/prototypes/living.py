"""Prototypes of faces, animals and plants. Drawings made from them are generated, not from Quick, Draw!."""

from __future__ import annotations

from sketchdata.synth.prototypes.prototype import Prototype, drawn
from sketchdata.synth.shapes import (
    Stroke,
    arc,
    around,
    blob,
    curve,
    dot,
    oval,
    polygon,
    polyline,
    scallops,
    wave,
    zigzag,
)


def _both(stroke: Stroke, x: float = 50.0) -> list[Stroke]:
    return [stroke, stroke.mirrored(x)]


_HEAD = oval(50, 50, 42, 45)
_SMILE = arc(50, 56, 22, 18, start=160, stop=20)
_NOSE = polyline(50, 42, 44, 58, 52, 58).maybe(0.7)
_WHISKERS = [polyline(x, 62 + d, x + s * 28, 60 + 3 * d) for s, x in ((-1, 34), (1, 66)) for d in (-4, 0, 4)]
_PETAL = blob(66, 40, 76, 32, 82, 40, 76, 48)
_STEM = curve(50, 52, 48, 75, 50, 98)
_SPIDER_LEG = [polyline(42, y, 20, y - 14 + d, 6, y + 4 + 2 * d) for y, d in ((44, -6), (49, 0), (54, 8), (59, 16))]

PROTOTYPES: dict[str, Prototype] = {
    "face": drawn(
        [_HEAD, *_both(oval(34, 38, 6, 5)), _NOSE, _SMILE],
        [
            _HEAD,
            *_both(oval(34, 38, 8, 5)),
            *_both(dot(34, 38)),
            _NOSE,
            arc(50, 70, 16, 6),
            *_both(curve(24, 28, 34, 23, 42, 28).maybe(0.6)),
        ],
        [
            _HEAD,
            *_both(dot(35, 38)),
            polyline(50, 44, 50, 56),
            polyline(36, 72, 64, 72),
            *_both(curve(8, 44, 0, 50, 9, 60).maybe(0.5)),
        ],
        [
            _HEAD,
            *_both(oval(34, 40, 6)),
            curve(48, 44, 44, 58, 54, 58),
            _SMILE,
            *[curve(x, 10, x - 3, 2, x - 8, -4).maybe(0.7) for x in (30, 40, 50, 60, 70)],
        ],
    ),
    "smiley face": drawn(
        [oval(50, 50, 45), *_both(oval(35, 36, 5, 7)), arc(50, 54, 27, 24, start=170, stop=10)],
        [oval(50, 50, 45), *_both(polyline(36, 28, 36, 44)), arc(50, 52, 28, 26, start=175, stop=5)],
        [oval(50, 50, 45).maybe(0.8), *_both(dot(35, 36)), arc(50, 56, 26, 20, start=180, stop=0) + polyline(24, 56)],
    ),
    "eye": drawn(
        [
            curve(4, 52, 28, 26, 52, 22, 76, 30, 96, 52),
            curve(4, 52, 28, 74, 52, 78, 76, 70, 96, 52),
            oval(50, 50, 20),
            oval(50, 50, 8),
        ],
        [
            blob(4, 50, 28, 72, 52, 77, 76, 68, 96, 50, 76, 30, 50, 24, 26, 30),
            oval(50, 50, 17),
            oval(50, 50, 6).maybe(0.8),
        ],
        [
            arc(50, 60, 46, 38, start=190, stop=350) + arc(50, 48, 46, 30, start=10, stop=170),
            oval(50, 52, 20),
            oval(50, 52, 7),
            *[
                polyline(50 + dx, 22 + dx * dx / 100, 50 + 1.4 * dx, 8 + dx * dx / 70).maybe(0.85)
                for dx in (-34, -22, -11, 0, 11, 22, 34)
            ],
        ],
    ),
    "mouth": drawn(
        [
            curve(4, 48, 30, 28, 50, 36, 70, 28, 96, 48),
            curve(4, 48, 30, 72, 50, 76, 70, 72, 96, 48),
            curve(4, 48, 30, 50, 50, 54, 70, 50, 96, 48),
        ],
        [
            arc(50, 30, 44, 46, start=180, stop=0) + polyline(6, 30),
            *[polyline(x, 30, x, 44).maybe(0.7) for x in (26, 38, 50, 62, 74)],
        ],
        [
            oval(50, 50, 45, 24),
            polyline(6, 50, 94, 50),
            *[polyline(x, 32, x, 68).maybe(0.8) for x in (24, 37, 50, 63, 76)],
        ],
    ),
    "moustache": drawn(
        [
            curve(50, 42, 34, 32, 20, 44, 4, 38, 12, 58, 34, 62, 50, 52),
            curve(50, 42, 66, 32, 80, 44, 96, 38, 88, 58, 66, 62, 50, 52),
        ],
        [blob(50, 40, 30, 34, 16, 50, 4, 46, 18, 64, 40, 60, 50, 52, 60, 60, 82, 64, 96, 46, 84, 50, 70, 34)],
    ),
    "cat": drawn(
        [
            oval(50, 56, 36, 34),
            polyline(22, 34, 20, 6, 42, 24),
            polyline(58, 24, 80, 6, 78, 34),
            *_both(oval(36, 48, 5)),
            polygon(46, 60, 54, 60, 50, 66),
            curve(40, 72, 46, 76, 50, 68, 54, 76, 60, 72),
            *[w.maybe(0.85) for w in _WHISKERS],
        ],
        [
            curve(18, 60, 16, 40, 20, 8)
            + polyline(38, 26, 62, 26, 80, 8)
            + curve(80, 8, 84, 40, 82, 60, 70, 84, 50, 90, 30, 84, 18, 60),
            *_both(dot(36, 50)),
            dot(50, 62),
            *_WHISKERS[1:5],
        ],
        [
            oval(24, 32, 17, 15),
            polyline(12, 22, 12, 6, 22, 17),
            polyline(27, 17, 36, 6, 37, 23),
            dot(19, 30),
            dot(29, 30),
            blob(34, 42, 60, 38, 82, 46, 82, 66, 56, 70, 36, 66),
            *[polyline(x, 67, x - 1, 92) for x in (40, 48, 70, 78)],
            curve(82, 48, 92, 40, 90, 24, 97, 16),
            polyline(24, 37, 40, 36).maybe(0.5),
            polyline(24, 37, 8, 38).maybe(0.5),
        ],
    ),
    "fish": drawn(
        [
            curve(70, 50, 45, 28, 20, 34, 6, 50, 20, 66, 45, 72, 70, 50, 94, 30)
            + polyline(94, 70)
            + curve(94, 70, 82, 60, 70, 50),
            dot(20, 46),
        ],
        [
            curve(96, 28, 72, 54, 42, 72, 16, 66, 4, 50, 16, 34, 42, 28, 72, 46, 96, 72) + polyline(96, 28),
            oval(20, 44, 3),
            arc(22, 50, 12, 14, start=-60, stop=60).maybe(0.5),
        ],
        [
            oval(40, 50, 34, 20),
            polygon(73, 50, 95, 32, 95, 68),
            oval(18, 45, 3),
            curve(34, 31, 44, 18, 54, 33).maybe(0.6),
            curve(8, 54, 14, 58, 18, 56).maybe(0.6),
        ],
    ),
    "spider": drawn(
        [
            oval(50, 52, 14),
            *[leg for side in _SPIDER_LEG for leg in _both(side)],
            dot(45, 48).maybe(0.6),
            dot(55, 48).maybe(0.6),
        ],
        [
            oval(50, 58, 17),
            oval(50, 34, 9),
            *[leg.maybe(0.95) for side in _SPIDER_LEG for leg in _both(side)],
            polyline(50, 25, 50, 0).maybe(0.3),
        ],
    ),
    "snail": drawn(
        [
            arc(46, 50, 8, 8, start=0, stop=320)
            + arc(46, 48, 18, 18, start=0, stop=360)
            + arc(46, 46, 30, 28, start=10, stop=380),
            curve(4, 82, 40, 76, 76, 80, 86, 62, 88, 44, 95, 44, 94, 66, 84, 86, 40, 88, 4, 82),
            polyline(88, 44, 84, 30),
            polyline(94, 44, 98, 30),
        ],
    ),
    "snake": drawn(
        [wave(4, 90, 50, height=20, periods=2), oval(93, 48, 5, 4), polyline(97, 48, 104, 46).maybe(0.6)],
        [
            curve(
                4,
                60,
                20,
                36,
                38,
                44,
                50,
                66,
                68,
                62,
                78,
                38,
                94,
                34,
                96,
                44,
                84,
                48,
                76,
                72,
                52,
                78,
                40,
                56,
                24,
                48,
                4,
                60,
            ),
            dot(90, 38),
        ],
        spin=15,
    ),
    "butterfly": drawn(
        [
            oval(50, 52, 5, 30),
            *_both(curve(46, 45, 24, 10, 6, 16, 8, 44, 46, 52)),
            *_both(curve(46, 54, 16, 58, 12, 84, 34, 86, 47, 64)),
            *_both(curve(49, 24, 44, 12, 38, 6)),
        ],
        [
            polyline(50, 25, 50, 80),
            *_both(blob(50, 48, 30, 14, 8, 20, 14, 46)),
            *_both(blob(50, 54, 20, 54, 14, 78, 36, 80)),
            *_both(polyline(50, 25, 42, 8)),
        ],
    ),
    "bird": drawn(
        [curve(4, 30, 16, 22, 32, 24, 50, 45) + curve(50, 45, 66, 24, 84, 22, 96, 30)],
        [
            oval(26, 34, 14),
            polyline(13, 32, 2, 38, 14, 40),
            curve(34, 46, 50, 40, 74, 52, 96, 50, 78, 68, 52, 76, 32, 66, 30, 47),
            dot(22, 31),
            curve(48, 54, 62, 48, 68, 62, 52, 64).maybe(0.8),
            polyline(50, 76, 50, 92),
            polyline(60, 75, 60, 91),
        ],
    ),
    "flower": drawn(
        [
            oval(50, 40, 10),
            *[p.maybe(0.98) for p in around(6, lambda: _PETAL, 50, 40)],
            _STEM,
            curve(50, 80, 64, 66, 70, 74, 50, 84).maybe(0.5),
        ],
        [
            oval(50, 34, 9),
            scallops(oval(50, 34, 17), 6, 0.55),
            _STEM.moved(0, 2),
            curve(50, 80, 34, 66, 30, 76, 50, 84).maybe(0.6),
            curve(50, 84, 66, 70, 70, 80, 50, 88).maybe(0.6),
        ],
        [oval(50, 50, 12), *around(5, lambda: blob(60, 44, 78, 34, 92, 48, 78, 64, 61, 56), 50, 50)],
    ),
    "tree": drawn(
        [scallops(oval(50, 34, 30, 24), 8, 0.3), polyline(42, 60, 41, 96), polyline(58, 60, 59, 96)],
        [polyline(40, 96, 42, 60) + arc(50, 34, 38, 30, start=110, stop=430) + polyline(58, 60, 60, 96)],
        [polygon(50, 4, 22, 40, 78, 40), polygon(50, 26, 14, 74, 86, 74), polyline(44, 74, 44, 96, 56, 96, 56, 74)],
        [
            scallops(oval(50, 32, 34, 22), 10, 0.28),
            polyline(44, 56, 42, 96, 58, 96, 56, 56),
            polyline(50, 60, 50, 44).maybe(0.3),
        ],
    ),
    "palm tree": drawn(
        [
            curve(46, 96, 44, 60, 52, 30),
            curve(56, 96, 54, 60, 58, 30),
            *[
                curve(54, 28, 54 + dx, 28 + dy, 54 + 2 * dx, 34 + 3 * dy)
                for dx, dy in ((-20, -8), (-16, -2), (18, -8), (18, -2), (-6, -10))
            ],
            oval(50, 33, 3).maybe(0.6),
            oval(58, 34, 3).maybe(0.6),
        ],
        [
            polyline(47, 96, 48, 32),
            polyline(55, 96, 53, 32),
            *[
                blob(50, 30, 50 + dx, 22 + dy, 50 + 2 * dx, 30 + 2 * dy, 50 + dx, 30 + dy)
                for dx, dy in ((-20, -4), (20, -4), (-16, 6), (16, 6))
            ],
        ],
    ),
    "cactus": drawn(
        [
            polyline(42, 96, 42, 20) + arc(50, 18, 8, 10, start=180, stop=360) + polyline(58, 96),
            curve(42, 66, 20, 66, 18, 50, 18, 36, 25, 32, 31, 40, 32, 52, 42, 54),
            curve(58, 56, 80, 56, 84, 42, 84, 28, 77, 24, 71, 32, 70, 44, 58, 45),
            *[polyline(46, y, 50, y - 3).maybe(0.6) for y in (32, 48, 64, 80)],
        ],
    ),
    "mushroom": drawn(
        [arc(50, 50, 44, 42, start=180, stop=360) + polyline(6, 50), polyline(38, 50, 36, 94, 64, 94, 62, 50)],
        [
            blob(50, 8, 18, 22, 4, 48, 26, 56, 50, 54, 74, 56, 96, 48, 82, 22),
            curve(40, 55, 42, 74, 36, 92, 50, 96, 64, 92, 58, 74, 60, 55),
            *[oval(x, y, 5).maybe(0.5) for x, y in ((34, 34), (52, 22), (68, 38))],
        ],
    ),
    "leaf": drawn(
        [
            curve(10, 90, 8, 50, 30, 20, 88, 10, 82, 60, 55, 88, 18, 82),
            polyline(4, 98, 80, 20),
            *[polyline(x, 100 - x, x + dx, 82 - x - dx).maybe(0.6) for x, dx in ((30, 2), (45, 2), (60, 2))],
        ],
        [
            blob(50, 4, 26, 34, 28, 66, 50, 84, 72, 66, 74, 34),
            polyline(50, 98, 50, 14),
            *[s for y in (34, 48, 62) for s in _both(polyline(50, y + 8, 35, y).maybe(0.6))],
        ],
        spin=35,
    ),
    "apple": drawn(
        [
            blob(50, 26, 30, 18, 10, 34, 12, 62, 30, 90, 50, 86, 70, 90, 88, 62, 90, 34, 70, 18),
            curve(50, 28, 50, 14, 57, 4),
            curve(53, 14, 66, 2, 78, 6, 68, 16, 53, 14).maybe(0.5),
        ],
        [
            curve(50, 24, 28, 18, 8, 36, 14, 70, 34, 94, 52, 88),
            curve(50, 24, 72, 18, 92, 36, 86, 70, 66, 94, 50, 88),
            polyline(50, 24, 52, 6),
        ],
    ),
    "pear": drawn(
        [
            blob(50, 12, 38, 22, 36, 44, 20, 66, 30, 90, 50, 95, 70, 90, 80, 66, 64, 44, 62, 22),
            curve(50, 13, 50, 6, 55, 0),
            curve(52, 8, 64, 0, 72, 4, 62, 11, 52, 8).maybe(0.4),
        ]
    ),
    "banana": drawn(
        [
            curve(10, 20, 16, 62, 50, 84, 92, 74, 94, 66, 58, 62, 30, 44, 20, 16) + polyline(10, 20),
            curve(16, 24, 28, 56, 90, 70).maybe(0.5),
        ],
        spin=25,
    ),
    "carrot": drawn(
        [
            curve(36, 30, 40, 62, 50, 97, 60, 62, 64, 30, 50, 24, 36, 30),
            *[curve(50, 26, 50 + dx, 14, 50 + 2 * dx, 4) for dx in (-8, 0, 8)],
            *[polyline(40, y, 50, y + 1).maybe(0.6) for y in (42, 54, 66)],
        ],
        [polygon(34, 32, 50, 97, 66, 32), zigzag(36, 64, top=6, bottom=30, teeth=3)],
        spin=40,
    ),
    "skull": drawn(
        [
            curve(32, 68, 14, 56, 10, 34, 26, 12, 50, 6, 74, 12, 90, 34, 86, 56, 68, 68)
            + polyline(68, 92, 32, 92, 32, 68),
            *_both(oval(34, 42, 10)),
            polygon(50, 56, 45, 66, 55, 66),
            *[polyline(x, 76, x, 92) for x in (41, 50, 59)],
        ],
        spin=5,
    ),
    "bear": drawn(
        [
            oval(50, 54, 36),
            *_both(oval(22, 24, 11)),
            *_both(dot(38, 46)),
            oval(50, 66, 14, 11),
            oval(50, 60, 4, 3),
            polyline(50, 64, 50, 72).maybe(0.8),
        ]
    ),
    "hedgehog": drawn(
        [
            polyline(10, 74) + zigzag(18, 82, top=28, bottom=48, teeth=6) + polyline(90, 74),
            curve(10, 74, 2, 68, 12, 58, 18, 48),
            dot(12, 64),
            polyline(6, 76, 92, 76),
            *[polyline(x, 96, x, 76) for x in (30, 70)],
            *[polyline(x, y, x + 6, y - 6).maybe(0.8) for x, y in ((34, 60), (48, 56), (62, 62))],
        ],
    ),
}
