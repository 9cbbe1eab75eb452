"""Generates drawings of any category, any number of them, the same for the same seed. Not from Quick, Draw!.

A chunk of drawings is made at once, with arrays over all their strokes and points: variants of the category's prototype
are chosen, a hand draws them (`hand`), and the ink is brought to the official simplified form (`simplified`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from sketchdata.drawing import DrawingBatch, concatenate, gather_ranges
from sketchdata.errors import ConfigError
from sketchdata.synth import noise, records
from sketchdata.synth.hand import draw, plan
from sketchdata.synth.prototypes import find
from sketchdata.synth.prototypes.prototype import Prototype, StrokeTable, pack, pack_open
from sketchdata.synth.randomness import Indices, below, stream
from sketchdata.synth.simplified import simplify

#: Drawings made at once. It decides the random numbers, so another size gives other drawings.
CHUNK = 1000

#: Each category has its own share of either kind of noise, within these bounds.
_NOISE_SHARE = 0.02, 0.06
#: The share of a category's proper drawings that the game would have guessed, within these bounds.
_RECOGNIZED_SHARE = 0.965, 1.0
_NOISE_RECOGNIZED = 0.25
#: Of the over-simple drawings, those that are the category's first stroke and no more.
_UNFINISHED = 0.5
_SHADED = 0.07

_MAX_DRAWINGS = 1 << records.INDEX_BITS
_MAX_LABEL = int(np.iinfo(np.uint16).max)


@dataclass(frozen=True, kw_only=True)
class _Category:
    """How a category is drawn: its variants, then the over-simple ones, as strokes of one table."""

    table: StrokeTable
    variants: Indices
    prototype: Prototype
    scribbles: float
    simple: float
    recognized: float


@dataclass(frozen=True, kw_only=True)
class _Kinds:
    """What is drawn, for each drawing of a chunk, (B,) each."""

    scribble: npt.NDArray[np.bool_]
    unfinished: npt.NDArray[np.bool_]
    simple: npt.NDArray[np.bool_]
    shaded: npt.NDArray[np.bool_]


def generate(word: str, count: int, *, seed: int, start: int = 0, label: int = 0) -> DrawingBatch:
    """Generate the drawings start … start + count − 1 of a category.

    Drawing i depends on (seed, word, i) alone, so a range is the same however it is cut into calls; its key_id depends
    on (seed, label, i). Words that nobody drew a prototype for get one of their own, invented from the name's hash.

    Args:
        word: The category's name, such as one of the 345 official ones.
        count: How many.
        seed: Which of many data sets.
        start: The first drawing's number.
        label: The word's index in the class table. Different words need different labels for key_ids to be unique.

    Returns:
        Simplified drawings: uint8 coordinates, each drawing aligned to the top-left with a larger side of 255.

    Raises:
        ConfigError: The count, start or label is out of range.
    """
    if count < 0 or start < 0 or start + count > _MAX_DRAWINGS:
        raise ConfigError(f"drawings {start} to {start + count} of {word!r} were asked for; 0 to {_MAX_DRAWINGS} exist")
    if not 0 <= label <= _MAX_LABEL:
        raise ConfigError(f"a label lies in 0..{_MAX_LABEL}, but {word!r} was given {label}")
    stop = start + count
    batches = [
        _chunk(word, seed, label, chunk).slice(max(start - chunk * CHUNK, 0), min(stop - chunk * CHUNK, CHUNK))
        for chunk in range(start // CHUNK, max(-(-stop // CHUNK), start // CHUNK + 1))
    ]
    return concatenate(batches)


def _chunk(word: str, seed: int, label: int, chunk: int) -> DrawingBatch:
    """Make one whole chunk."""
    category = _category(word)
    rng = stream("drawings", seed, word, chunk)
    kinds = _choose_kinds(rng, category)
    table, drawing, stroke = _choose_strokes(rng, category, kinds)
    ink = draw(rng, table, plan(rng, table, drawing, stroke), category.prototype)
    simplified = simplify(ink)
    is_noise = kinds.scribble | kinds.unfinished | kinds.simple
    index = np.arange(chunk * CHUNK, (chunk + 1) * CHUNK)
    return DrawingBatch(
        key_id=records.key_ids(index, label=label, seed=seed),
        label=np.full(CHUNK, label, np.uint16),
        countrycode=records.countries(rng, CHUNK),
        timestamp=records.timestamps(rng, CHUNK),
        recognized=rng.random(CHUNK) < np.where(is_noise, _NOISE_RECOGNIZED, category.recognized),
        strokes=simplified.strokes,
        points=simplified.points,
        x=simplified.x,
        y=simplified.y,
    )


@lru_cache(maxsize=512)
def _category(word: str) -> _Category:
    prototype = find(word)
    variants = prototype.variants + noise.SIMPLE
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


def _choose_kinds(rng: np.random.Generator, category: _Category) -> _Kinds:
    lot, second = rng.random((2, CHUNK))
    scribble = lot < category.scribbles
    over_simple = ~scribble & (lot < category.scribbles + category.simple)
    return _Kinds(
        scribble=scribble,
        unfinished=over_simple & (second < _UNFINISHED),
        simple=over_simple & (second >= _UNFINISHED),
        shaded=~scribble & ~over_simple & (second < _SHADED),
    )


def _choose_strokes(
    rng: np.random.Generator, category: _Category, kinds: _Kinds
) -> tuple[StrokeTable, Indices, Indices]:
    """Choose each drawing's strokes.

    Returns:
        The table of strokes with this chunk's scrawls added; the drawing (S,) ascending, and the row in the table (S,).
    """
    usual = len(category.prototype.variants)
    variant = below(rng, usual, CHUNK)
    variant[kinds.simple] = usual + below(rng, len(noise.SIMPLE), int(kinds.simple.sum()))
    offsets, stroke = gather_ranges(category.variants, variant)
    drawing = np.repeat(np.arange(CHUNK), np.diff(offsets))
    is_first = np.arange(len(stroke)) == offsets[drawing]
    keep = ~kinds.scribble[drawing] & (is_first | ~kinds.unfinished[drawing])

    scrawls = [
        noise.scribble(rng, np.flatnonzero(kinds.scribble)),
        noise.shade(rng, np.flatnonzero(kinds.shaded)),
    ]
    table, drawings, strokes = category.table, [drawing[keep]], [stroke[keep]]
    for scrawl in scrawls:
        if len(scrawl.owner):
            drawings.append(scrawl.owner)
            strokes.append(len(table) + np.arange(len(scrawl.owner)))
            table = table.joined(pack_open(scrawl.lengths, scrawl.x, scrawl.y))
    drawing, stroke = np.concatenate(drawings), np.concatenate(strokes)
    order = np.argsort(drawing, kind="stable")
    return table, drawing[order], stroke[order]
