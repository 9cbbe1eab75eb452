"""Prototypes for names without a designed one: a different composition for each name. They are not from Quick, Draw!.

One or two bodies get parts that drawings of things have (legs, ears, windows, tails, stripes, handles), all chosen by
the name's hash. They distinguish categories; they do not look like them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sketchdata.synth.shapes import (
    Prototype,
    Stroke,
    blob,
    curve,
    drawn,
    oval,
    polar,
    polygon,
    polyline,
    rectangle,
    regular,
    scallops,
    stream,
    wave,
    zigzag,
)

#: Minimum and maximum number of parts of a composition.
_LEAST_PARTS, _MOST_PARTS = 2, 6


class _Dice:
    """The random numbers of a name."""

    def __init__(self, word: str) -> None:
        self._rng = stream("prototype", word)

    def number(self, low: float, high: float) -> float:
        return float(low + (high - low) * self._rng.random())

    def whole(self, low: int, high: int) -> int:
        return int(self.number(low, high + 1))

    def numbers(self, count: int, low: float, high: float) -> list[float]:
        return [self.number(low, high) for _ in range(count)]

    def ring(self, count: int, low: float, high: float) -> list[float]:
        """x, y of corners around the middle of the canvas, at random distances."""
        angles = 2 * np.pi * np.arange(count) / count
        radii = np.array(self.numbers(count, low, high))
        return polar(50, 50, radii, angles)


def invent(word: str) -> Prototype:
    """Compose the prototype of a name, which depends only on the name."""
    dice = _Dice(word)
    body = _BODIES[dice.whole(0, len(_BODIES) - 1)](dice)
    count = _LEAST_PARTS + round((_MOST_PARTS - _LEAST_PARTS) * dice.number(0, 1) ** 1.5)
    parts = [_PARTS[dice.whole(0, len(_PARTS) - 1)](dice) for _ in range(count)]
    chances = [dice.number(0.55, 1.1) for _ in parts]
    full = [*body, *[s.maybe(min(c, 1.0)) for part, c in zip(parts, chances, strict=True) for s in part]]
    plain = [*body, *[s for part in parts[: count // 2] for s in part]]
    leaning = [s.turned(dice.number(-12, 12)) for s in full]
    return drawn(full, full, leaning, plain, spin=dice.number(4, 16), stretch=dice.number(0.07, 0.16))


def _round_body(dice: _Dice) -> list[Stroke]:
    return [oval(50, 50, dice.number(22, 42), dice.number(16, 40))]


def _box_body(dice: _Dice) -> list[Stroke]:
    width, height = dice.number(30, 84), dice.number(24, 84)
    return [rectangle(50 - width / 2, 50 - height / 2, width, height)]


def _many_sided_body(dice: _Dice) -> list[Stroke]:
    body = regular(dice.whole(3, 7), 50, 50, dice.number(30, 44), turn=dice.number(-180, 180))
    return [body.scaled(1, dice.number(0.6, 1))]


def _lumpy_body(dice: _Dice) -> list[Stroke]:
    return [blob(*dice.ring(dice.whole(5, 9), 18, 44))]


def _bumpy_body(dice: _Dice) -> list[Stroke]:
    return [scallops(oval(50, 50, dice.number(22, 38), dice.number(16, 34)), dice.whole(5, 11), dice.number(0.15, 0.4))]


def _jagged_body(dice: _Dice) -> list[Stroke]:
    return [polygon(*dice.ring(dice.whole(6, 12), 16, 45))]


def _two_bodies(dice: _Dice) -> list[Stroke]:
    big, small, angle = dice.number(20, 30), dice.number(9, 18), dice.number(-np.pi, 0)
    reach = big + small - 2
    x, y = 50 + reach * np.cos(angle), 52 + 0.8 * reach * np.sin(angle)
    return [oval(50, 52, big, 0.8 * big), oval(float(x), float(y), small)]


def _long_body(dice: _Dice) -> list[Stroke]:
    half = dice.number(4, 12)
    body = polygon(4, 50 - half, 96, 50 - half * dice.number(0.2, 1.2), 96, 50 + half, 4, 50 + half)
    return [body.turned(dice.number(0, 180))]


def _open_body(dice: _Dice) -> list[Stroke]:
    count = dice.whole(3, 6)
    xs = np.linspace(6, 94, count)
    make = curve if dice.number(0, 1) < 0.6 else polyline
    return [make(*np.stack([xs, dice.numbers(count, 12, 88)], axis=1).ravel().tolist())]


def _pair(dice: _Dice) -> list[Stroke]:
    one = oval(50 - dice.number(8, 26), dice.number(18, 62), dice.number(3, 9), dice.number(3, 9))
    return [one, one.mirrored()]


def _legs(dice: _Dice) -> list[Stroke]:
    spread, top, bottom, count = dice.number(12, 34), dice.number(55, 76), dice.number(86, 98), dice.whole(2, 4)
    return [
        polyline(50 + spread * u, top, 50 + spread * u * dice.number(0.9, 1.3), bottom)
        for u in np.linspace(-1, 1, count).tolist()
    ]


def _ears(dice: _Dice) -> list[Stroke]:
    x, y, tip = dice.number(26, 40), dice.number(16, 36), dice.number(2, 12)
    one = polyline(x - 8, y + 6, x - dice.number(0, 8), tip, x + 8, y)
    return [one, one.mirrored()]


def _window(dice: _Dice) -> list[Stroke]:
    return [rectangle(dice.number(24, 58), dice.number(24, 58), dice.number(8, 26), dice.number(8, 26))]


def _spot(dice: _Dice) -> list[Stroke]:
    return [oval(dice.number(26, 74), dice.number(26, 74), dice.number(3, 13), dice.number(3, 13))]


def _stripes(dice: _Dice) -> list[Stroke]:
    length, top, gap, count = dice.number(10, 28), dice.number(22, 50), dice.number(6, 14), dice.whole(2, 5)
    turn = 90.0 * dice.whole(0, 1) + dice.number(-10, 10)
    return [polyline(50 - length, top + gap * k, 50 + length, top + gap * k).turned(turn) for k in range(count)]


def _tail(dice: _Dice) -> list[Stroke]:
    return [curve(80, 55, *dice.numbers(2, 60, 95), *dice.numbers(2, 30, 96), 97, dice.number(10, 90))]


def _handle(dice: _Dice) -> list[Stroke]:
    y, height = dice.number(28, 44), dice.number(14, 34)
    out, back = 74 + dice.number(12, 22), 74 + dice.number(12, 22)
    return [curve(74, y, out, y + 0.2 * height, back, y + 0.8 * height, 74, y + height)]


def _mast(dice: _Dice) -> list[Stroke]:
    x, tip = dice.number(38, 62), dice.number(-12, 8)
    return [polyline(x, 30, x + dice.number(-4, 4), tip)]


def _spikes(dice: _Dice) -> list[Stroke]:
    count, inner, outer, turn = dice.whole(3, 8), dice.number(28, 38), dice.number(42, 52), dice.number(0, 360)
    span = dice.number(120, 360)
    return [polyline(50 + inner, 50, 50 + outer, 50).turned(turn + span * k / count) for k in range(count)]


def _teeth(dice: _Dice) -> list[Stroke]:
    y, left, right = dice.number(30, 72), 50 - dice.number(12, 34), 50 + dice.number(12, 34)
    return [zigzag(left, right, top=y - dice.number(4, 12), bottom=y, teeth=dice.whole(2, 6))]


def _ripple(dice: _Dice) -> list[Stroke]:
    left, right, y = 50 - dice.number(12, 36), 50 + dice.number(12, 36), dice.number(25, 80)
    return [wave(left, right, y, height=dice.number(2, 7), periods=dice.whole(1, 4))]


_BODIES: tuple[Callable[[_Dice], list[Stroke]], ...] = (
    _round_body, _box_body, _many_sided_body, _lumpy_body, _bumpy_body, _jagged_body, _two_bodies, _long_body,
    _open_body,
)  # fmt: skip
_PARTS: tuple[Callable[[_Dice], list[Stroke]], ...] = (
    _pair, _legs, _ears, _window, _spot, _stripes, _tail, _handle, _mast, _spikes, _teeth, _ripple,
)  # fmt: skip
