"""Generates any number of drawings of any category, reproducible by a seed. They are not from Quick, Draw!.

A chunk of drawings is generated at once, with arrays over all strokes and points: variants of the category's prototype
are chosen, `hand` draws them with the errors of a hand, and `simplify` converts them to the official simplified form.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from sketchdata.drawings.drawing import MAX_COORDINATE, DrawingBatch, concatenate, gather_ranges, offsets_of
from sketchdata.errors import ConfigError
from sketchdata.synth.hand import Ink, draw, plan
from sketchdata.synth.prototypes import find
from sketchdata.synth.shapes import (
    Floats,
    Indices,
    Prototype,
    Stroke,
    StrokeTable,
    arc,
    bell,
    below,
    between,
    cosine,
    curve,
    dot,
    pack,
    pack_open,
    polyline,
    sine,
    stable_hash,
    stream,
)

#: Drawings generated at once. The random numbers depend on it, so another size gives other drawings.
CHUNK = 1000

#: Bounds of a category's share of scribbles, and of its share of over-simple drawings.
_NOISE_SHARE = 0.02, 0.06
#: Bounds of the share of recognized drawings among those of a category that are not noise.
_RECOGNIZED_SHARE = 0.965, 1.0
_NOISE_RECOGNIZED = 0.25
#: Share of the over-simple drawings that have only the first stroke of the category.
_UNFINISHED = 0.5
_SHADED = 0.07

#: Bits of a key_id's source that count a category's drawings; the label lies above them.
INDEX_BITS = 32
_MAX_DRAWINGS = 1 << INDEX_BITS
_MAX_LABEL = int(np.iinfo(np.uint16).max)


@dataclass(frozen=True, kw_only=True)
class _Category:
    """How a category is drawn: its variants, then the over-simple ones, as ranges of rows of a table of strokes."""

    table: StrokeTable
    variants: Indices
    prototype: Prototype
    scribbles: float
    simple: float
    recognized: float


def generate(word: str, count: int, *, seed: int, start: int = 0, label: int = 0) -> DrawingBatch:
    """Generate the drawings start … start + count − 1 of a category.

    Drawing i depends only on (seed, word, i), so a range can be generated in any number of calls; its key_id depends on
    (seed, label, i). A word without a designed prototype gets one that is derived from the name's hash.

    Args:
        word: The category's name, such as one of the 345 official ones.
        count: Number of drawings.
        seed: Seed of the data set.
        start: Number of the first drawing.
        label: Index of the word in the class table. key_ids are unique if different words have different labels.

    Returns:
        Simplified drawings: uint8 coordinates, each drawing aligned to the top-left with a larger side of 255.

    Raises:
        ConfigError: The count, start or label is out of range.
    """
    if count < 0 or start < 0 or start + count > _MAX_DRAWINGS:
        raise ConfigError(f"drawings {start} to {start + count} of {word!r}: expected 0 to {_MAX_DRAWINGS}")
    if not 0 <= label <= _MAX_LABEL:
        raise ConfigError(f"expected a label of {word!r} in 0..{_MAX_LABEL}, got {label}")
    stop = start + count
    batches = [
        _chunk(word, seed, label, chunk).slice(max(start - chunk * CHUNK, 0), min(stop - chunk * CHUNK, CHUNK))
        for chunk in range(start // CHUNK, max(-(-stop // CHUNK), start // CHUNK + 1))
    ]
    return concatenate(batches)


def _chunk(word: str, seed: int, label: int, chunk: int) -> DrawingBatch:
    category = _category(word)
    rng = stream("drawings", seed, word, chunk)
    table, drawing, stroke, is_noise = _choose_strokes(rng, category)
    strokes, points, x, y = simplify(draw(rng, table, plan(rng, table, drawing, stroke), category.prototype))
    index = np.arange(chunk * CHUNK, (chunk + 1) * CHUNK)
    return DrawingBatch(
        key_id=key_ids(index, label=label, seed=seed),
        label=np.full(CHUNK, label, np.uint16),
        countrycode=countries(rng, CHUNK),
        timestamp=timestamps(rng, CHUNK),
        recognized=rng.random(CHUNK) < np.where(is_noise, _NOISE_RECOGNIZED, category.recognized),
        strokes=strokes,
        points=points,
        x=x,
        y=y,
    )


@lru_cache(maxsize=512)
def _category(word: str) -> _Category:
    prototype = find(word)
    variants = prototype.variants + SIMPLE
    (low, high), (least, most) = _NOISE_SHARE, _RECOGNIZED_SHARE
    scribbles, simple, recognized = stream("habits", word).random(3).tolist()
    return _Category(
        table=pack([stroke for variant in variants for stroke in variant]),
        variants=np.cumsum([0] + [len(variant) for variant in variants], dtype=np.int64),
        prototype=prototype,
        scribbles=low + (high - low) * scribbles,
        simple=low + (high - low) * simple,
        recognized=least + (most - least) * recognized,
    )


def _choose_strokes(
    rng: np.random.Generator, category: _Category
) -> tuple[StrokeTable, Indices, Indices, npt.NDArray[np.bool_]]:
    """Choose each drawing's strokes.

    Returns:
        The table of strokes, including this chunk's scribbles and shading; the drawing of each stroke (S,), ascending;
        the row of each stroke in the table (S,); and which drawings are noise (CHUNK,).
    """
    lot, second = rng.random((2, CHUNK))
    scribbled = lot < category.scribbles
    over_simple = ~scribbled & (lot < category.scribbles + category.simple)
    unfinished, simple = over_simple & (second < _UNFINISHED), over_simple & (second >= _UNFINISHED)
    usual = len(category.prototype.variants)
    variant = below(rng, usual, CHUNK)
    variant[simple] = usual + below(rng, len(SIMPLE), int(simple.sum()))
    offsets, stroke = gather_ranges(category.variants, variant)
    drawing = np.repeat(np.arange(CHUNK), np.diff(offsets))
    is_first = np.arange(len(stroke)) == offsets[drawing]
    keep = ~scribbled[drawing] & (is_first | ~unfinished[drawing])

    table, drawings, strokes = category.table, [drawing[keep]], [stroke[keep]]
    shaded = ~scribbled & ~over_simple & (second < _SHADED)
    for scrawls in (scribble(rng, np.flatnonzero(scribbled)), shade(rng, np.flatnonzero(shaded))):
        if len(scrawls.owner):
            drawings.append(scrawls.owner)
            strokes.append(len(table) + np.arange(len(scrawls.owner)))
            table = table.joined(pack_open(scrawls.lengths, scrawls.x, scrawls.y))
    drawing, stroke = np.concatenate(drawings), np.concatenate(strokes)
    order = np.argsort(drawing, kind="stable")
    return table, drawing[order], stroke[order], scribbled | over_simple


#: Over-simple drawings, as of people who give up at once.
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
    """Random strokes: drawing `owner` (S,) and number of points `lengths` (S,) of each, flat points x, y (P,)."""

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
    """Fill a small area with strokes to and fro, as people do when time is left."""
    owner = np.repeat(owners, 1 + below(rng, 3, len(owners)))
    lengths = 5 + np.floor(32 * rng.random(len(owner)) ** 2).astype(np.int64)
    centre = 50 + 16 * bell(rng, 2, len(owner))
    return _scrawl(rng, owner, lengths, centre, between(rng, 4, 14, len(owner)))


def _scrawl(rng: np.random.Generator, owner: Indices, lengths: Indices, centre: Floats, radius: Floats) -> Scrawls:
    """Return random strokes around centres (2, S): steps of half a turn give hatching, shorter steps give curls."""
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
    # Without this offset, all lines of a hatching would cross in one point.
    off = 0.25 * hatching[of] * radius[of] * bell(rng, 2, len(of))
    x = centre[0][of] + off[0] + drift[0][of] * u + r * cosine(turn)
    y = centre[1][of] + off[1] + drift[1][of] * u + r * flat[of] * sine(turn)
    return Scrawls(owner=owner, lengths=lengths, x=x, y=y)


#: Official identifiers lie in [2**52, 1.5 · 2**52).
KEY_BITS = 51
_KEY_MASK = np.uint64((1 << KEY_BITS) - 1)
_KEY_BASE = np.uint64(1 << 52)
#: Odd, so that multiplying modulo 2**51 can be undone. Source: splitmix64's constants.
_MULTIPLIERS = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)

#: {country: drawings}: the 45 most frequent countries among 33,552 drawings of the official files.
_COUNTRIES = {
    "US": 14617, "GB": 2410, "CA": 1243, "DE": 1007, "RU": 786, "AU": 757, "BR": 613, "FI": 583, "SE": 578,
    "CZ": 547, "FR": 515, "IT": 494, "PL": 479, "KR": 473, "TH": 444, "PH": 425, "SA": 421, "HU": 396,
    "NL": 388, "ID": 297, "RO": 268, "SK": 265, "IN": 265, "VN": 247, "JP": 231, "AE": 217, "TW": 216,
    "UA": 207, "NO": 188, "MY": 182, "NZ": 167, "HR": 162, "TR": 160, "HK": 150, "IE": 143, "AT": 142,
    "MX": 141, "RS": 136, "BG": 129, "PT": 128, "DK": 121, "ES": 115, "CH": 113, "SG": 101, "IL": 97,
}  # fmt: skip
_NAMES = np.array(list(_COUNTRIES), "S2")
_CUMULATIVE = np.cumsum(list(_COUNTRIES.values())) / sum(_COUNTRIES.values())

_FIRST_DAY, _LAST_DAY = (datetime(2017, month, day, tzinfo=timezone.utc) for month, day in ((1, 23), (4, 1)))
#: Most official times have five decimals.
_TICK_US = 10


def key_ids(indices: npt.NDArray[np.int64], *, label: int, seed: int) -> npt.NDArray[np.uint64]:
    """Return key_ids that are unique among all (label, index) pairs of a seed.

    Args:
        indices: (N,) below 2**32.
        label: Below 2**16.
        seed: Seed of the data set.

    Returns:
        (N,) uint64 in [2**52, 2**52 + 2**51): 16 digits, as official ones have. Each step is a bijection of 51 bits.
    """
    mixed = (np.uint64(label << INDEX_BITS) | indices.astype(np.uint64)) ^ (
        np.uint64(stable_hash("keys", seed) & int(_KEY_MASK))
    )
    for multiplier in _MULTIPLIERS:
        mixed = (mixed * multiplier) & _KEY_MASK
        mixed ^= mixed >> np.uint64(26)
    return mixed + _KEY_BASE


def countries(rng: np.random.Generator, count: int) -> npt.NDArray[np.bytes_]:
    """Sample countries in the proportions of the official files, (N,) S2."""
    row = np.minimum(np.searchsorted(_CUMULATIVE, rng.random(count), side="right"), len(_NAMES) - 1)
    chosen: npt.NDArray[np.bytes_] = _NAMES[row]
    return chosen


def timestamps(rng: np.random.Generator, count: int) -> npt.NDArray[np.int64]:
    """Sample times from 23 January to 31 March 2017, (N,) int64 microseconds since 1970 in UTC."""
    first, last = (int(day.timestamp()) * 1_000_000 for day in (_FIRST_DAY, _LAST_DAY))
    ticks = np.floor(rng.random(count) * ((last - first) // _TICK_US)).astype(np.int64)
    return first + ticks * _TICK_US


#: Tolerance in pixels of the 256 × 256 frame: less than the official ε of 2, since errors of several passes add up.
_EPSILON = 1.4
#: Each pass may drop every other point.
_PASSES = 3


def simplify(ink: Ink) -> tuple[Indices, Indices, npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Align, scale, simplify and round drawings: strokes, points, x and y as in DrawingBatch.

    Each of several passes drops those of every other point that are within 1.4 pixels of the line through their
    neighbours: a vectorised replacement of Ramer-Douglas-Peucker for points that are sparse already.
    """
    first_stroke = np.flatnonzero(np.diff(ink.drawing, prepend=-1))
    strokes = np.append(first_stroke, len(ink.drawing))
    lengths, x, y = ink.lengths, *_fit(strokes, ink.lengths, ink.x, ink.y)
    for turn in range(_PASSES):
        lengths, x, y = _keep(lengths, _far_from_chord(lengths, x, y, turn % 2), x, y)
    x, y = (np.rint(v) for v in _fit(strokes, lengths, x, y))
    lengths, x, y = _keep(lengths, _moving(lengths, x, y), x, y)
    return strokes, offsets_of(lengths), x.astype(np.uint8), y.astype(np.uint8)


def _fit(strokes: Indices, lengths: Indices, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    starts = (np.cumsum(lengths) - lengths)[strokes[:-1]]
    points = np.diff(np.append(starts, len(x)))
    left, top = np.minimum.reduceat(x, starts), np.minimum.reduceat(y, starts)
    side = np.maximum(np.maximum.reduceat(x, starts) - left, np.maximum.reduceat(y, starts) - top)
    scale = np.repeat(MAX_COORDINATE / np.maximum(side, 1e-9), points)
    return (x - np.repeat(left, points)) * scale, (y - np.repeat(top, points)) * scale


def _far_from_chord(lengths: Indices, x: Floats, y: Floats, parity: int) -> npt.NDArray[np.bool_]:
    """Return which points to keep (P,): ends, every other point, and points far from the line of their neighbours."""
    ends = np.cumsum(lengths) - 1
    keep = np.ones(len(x), np.bool_)
    dx, dy = x[2:] - x[:-2], y[2:] - y[:-2]
    px, py = x[1:-1] - x[:-2], y[1:-1] - y[:-2]
    # A point beyond its neighbours is a turning point, however near it is to their line.
    dot, length2 = px * dx + py * dy, dx * dx + dy * dy
    cross = px * dy - py * dx
    keep[1:-1] = (cross * cross >= _EPSILON**2 * length2) | (dot < 0) | (dot > length2)
    keep[1 - parity :: 2] = True
    keep[ends] = keep[ends - lengths + 1] = True
    return keep


def _moving(lengths: Indices, x: Floats, y: Floats) -> npt.NDArray[np.bool_]:
    """Return which points to keep (P,): those that differ from the one before, and the two equal ones of a dot."""
    ends = np.cumsum(lengths) - 1
    keep = np.ones(len(x), np.bool_)
    keep[1:] = (x[1:] != x[:-1]) | (y[1:] != y[:-1])
    keep[ends - lengths + 1] = True
    still = np.add.reduceat(keep, ends - lengths + 1, dtype=np.int64) == 1
    keep[ends[still]] = True
    return keep


def _keep(lengths: Indices, keep: npt.NDArray[np.bool_], x: Floats, y: Floats) -> tuple[Indices, Floats, Floats]:
    starts = np.cumsum(lengths) - lengths
    return np.add.reduceat(keep, starts, dtype=np.int64), x[keep], y[keep]
