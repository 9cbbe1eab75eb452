"""Drawings that are none: scrawls, and single lines where a picture was asked for. Generated, not from Quick, Draw!."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sketchdata.synth.randomness import Floats, Indices, bell, below, between, cosine, sine
from sketchdata.synth.shapes import Stroke, arc, curve, dot, polyline

#: What people leave behind when they give up at once.
SIMPLE: tuple[tuple[Stroke, ...], ...] = (
    (polyline(10, 50, 90, 45),),
    (polyline(20, 10, 70, 90),),
    (curve(10, 60, 40, 30, 90, 40),),
    (polyline(15, 20, 20, 80, 85, 78),),
    (arc(50, 50, 40, 30, start=160, stop=380),),
    (polyline(10, 30, 80, 30), polyline(20, 60, 90, 65)),
    (polyline(50, 10, 45, 90), polyline(10, 45, 88, 50)),
    (curve(20, 80, 30, 20, 60, 30, 80, 75), dot(50, 60)),
)


@dataclass(frozen=True, kw_only=True)
class Scrawls:
    """Random strokes: `owner` (S,) says whose, `lengths` (S,) how many of the flat points x, y (P,) are each one's."""

    owner: Indices
    lengths: Indices
    x: Floats
    y: Floats


def scribble(rng: np.random.Generator, owners: Indices) -> Scrawls:
    """Cover the canvas with one to three long chaotic strokes for each owner."""
    owner = np.repeat(owners, 1 + below(rng, 3, len(owners)))
    lengths = 14 + np.floor(100 * rng.random(len(owner)) ** 2).astype(np.int64)
    centre = 50 + 11 * bell(rng, 2, len(owner))
    return _scrawl(rng, owner, lengths, centre, between(rng, 22, 48, len(owner)))


def shade(rng: np.random.Generator, owners: Indices) -> Scrawls:
    """Fill a small area with a stroke to and fro, as people do who have time left."""
    owner = np.repeat(owners, 1 + below(rng, 3, len(owners)))
    lengths = 5 + np.floor(32 * rng.random(len(owner)) ** 2).astype(np.int64)
    centre = 50 + 16 * bell(rng, 2, len(owner))
    return _scrawl(rng, owner, lengths, centre, between(rng, 4, 14, len(owner)))


def _scrawl(rng: np.random.Generator, owner: Indices, lengths: Indices, centre: Floats, radius: Floats) -> Scrawls:
    """Wander around a centre (2, S): steps of half a turn hatch, shorter ones curl."""
    count = len(owner)
    hatching = rng.random(count) < 0.6
    step = np.where(hatching, between(rng, 0.495, 0.505, count), between(rng, 0.06, 0.2, count))
    flat = np.where(hatching, 1.0, between(rng, 0.4, 1.0, count))
    phase, drift = rng.random(count), radius * bell(rng, 2, count)

    of = np.repeat(np.arange(count), lengths)
    k = np.arange(len(of)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    turn = phase[of] + step[of] * k + 0.02 * bell(rng, len(of))
    r = radius[of] * (0.55 + 0.45 * rng.random(len(of)))
    u = k / lengths[of] - 0.5
    # Without this all lines of a hatching would cross in one place, as in an asterisk.
    off = 0.25 * hatching[of] * radius[of] * bell(rng, 2, len(of))
    x = centre[0][of] + off[0] + drift[0][of] * u + r * cosine(turn)
    y = centre[1][of] + off[1] + drift[1][of] * u + r * flat[of] * sine(turn)
    return Scrawls(owner=owner, lengths=lengths, x=x, y=y)
