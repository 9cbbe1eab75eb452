"""A picture of what drawings were taken for: each drawing, and beside it the likeliest classes as bars."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sketchdata.drawing import Drawing
from sketchdata.errors import ConfigError
from sketchdata.shapes import Box, Label, Line, Shape, printable, to_png, to_svg

#: One below the other.
MAX_PANELS = 12
SUFFIXES = (".svg", ".png")

_INK, _TEXT, _FAINT, _FRAME, _TRACK = "#1f2933", "#1f2933", "#5f6b76", "#d5dbe1", "#f0f3f6"
_SEEN, _UNSEEN, _UNSEEN_FILL, _RIGHT, _WRONG = "#2f6690", "#b3541e", "#fdeee4", "#1b7a43", "#a3262a"
_WIDTH, _EDGE, _SIDE, _PADDING = 900.0, 28.0, 250.0, 18.0
_ROW, _HEAD, _GAP = 25.0, 34.0, 30.0
_RANK, _NAME, _BARS, _BARS_END = 352.0, 364.0, 560.0, 800.0
_LETTERS = 13.0
_LONGEST_NAME, _LONGEST_TITLE, _LONGEST_LINE = 24, 30, 124


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A class that a drawing may be of.

    Attributes:
        rank: From 1.
        word: Its name.
        score: As people are to read it.
        share: The length of its bar, 0 to 1.
        unseen: Whether no drawing of it was learned from.
        own: Whether the drawing is of it, as far as is known.
    """

    rank: int
    word: str
    score: str
    share: float
    unseen: bool
    own: bool


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A drawing, and what it was taken for.

    Attributes:
        name: What it is called.
        drawing: Simplified.
        said: What is known of it: its class, and whether that was recognised.
        right: Whether it was; None where that is not known.
        bars: The likeliest class first.
    """

    name: str
    drawing: Drawing
    said: str
    right: bool | None
    bars: Sequence[Bar]


@dataclass(frozen=True, kw_only=True)
class Legend:
    """What holds for all panels.

    Attributes:
        title: Above the bars.
        lines: Below the last panel: by which method, and what bars and scores are.
        unseen: Whether there are unseen classes among the candidates.
    """

    title: str
    lines: Sequence[str]
    unseen: bool


def draw(panels: Sequence[Panel], legend: Legend, suffix: str) -> bytes:
    """Return the picture: SVG that loads nothing from elsewhere and holds its words as text, or PNG.

    Args:
        panels: 1 to 12.
        legend: What holds for all of them.
        suffix: `.svg` or `.png`.

    Raises:
        ConfigError: There are more panels, or it is another suffix.
    """
    if suffix not in SUFFIXES:
        raise ConfigError(
            f"a picture is written as {' or '.join(SUFFIXES)}, not as {suffix or 'a file without suffix'}"
        )
    if len(panels) > MAX_PANELS:
        raise ConfigError(
            f"a picture shows {MAX_PANELS} drawings at most, and these are {len(panels):,}: name fewer, as in "
            "FILE.ndjson#3"
        )
    shapes, top = list[Shape](), _EDGE
    for panel in panels:
        shapes += _panel(panel, legend.title, top)
        top += _height(panel) + _GAP
    shapes += _legend(legend, top, any(bar.own for panel in panels for bar in panel.bars))
    size = (_WIDTH, top + 32 + 19 * len(legend.lines) + _EDGE - 8)
    if suffix == ".png":
        return to_png(shapes, size)
    return to_svg(shapes, size, "; ".join(f"{panel.name}: {_first(panel)}" for panel in panels))


def _first(panel: Panel) -> str:
    return f"taken for {panel.bars[0].word}" if panel.bars else "taken for nothing"


def _height(panel: Panel) -> float:
    return max(_HEAD + _SIDE + 46, _HEAD + _ROW * len(panel.bars))


# ---- the drawing -----------------------------------------------------------------------------------------------------


def _panel(panel: Panel, title: str, top: float) -> Iterator[Shape]:
    base = top + 16
    yield Label(at=(_EDGE, base), text=printable(panel.name, _LONGEST_TITLE), colour=_TEXT, size=15, bold=True)
    yield Label(at=(_NAME, base), text=title, colour=_TEXT, size=15, bold=True)
    yield Box(at=(_EDGE, top + _HEAD), size=(_SIDE, _SIDE), fill="#ffffff", line=_FRAME)
    yield from _strokes(panel.drawing, _EDGE + _PADDING, top + _HEAD + _PADDING, _SIDE - 2 * _PADDING)
    at, colour = top + _HEAD + _SIDE + 24, _FAINT
    left = _EDGE
    if panel.right is not None:
        colour = _RIGHT if panel.right else _WRONG
        yield from (_tick if panel.right else _cross)(left + 2, at - 9, colour)
        left += 20
    for number, line in enumerate(panel.said.splitlines()):
        text = printable(line, 36)
        yield Label(at=(left, at + 18 * number), text=text, colour=colour if not number else _FAINT, size=_LETTERS)
    for place, bar in enumerate(panel.bars):
        yield from _row(bar, top + _HEAD + _ROW * place)


def _strokes(drawing: Drawing, left: float, top: float, side: float) -> Iterator[Line]:
    """Yield the strokes in the middle of a square."""
    points = np.concatenate(drawing.strokes)[:, :2].astype(np.float64)
    low, high = points.min(axis=0), points.max(axis=0)
    scale = side / max(float((high - low).max()), 1.0)
    start = np.array([left, top]) + (side - (high - low) * scale) / 2
    for stroke in drawing.strokes:
        placed = start + (stroke[:, :2].astype(np.float64) - low) * scale
        yield Line(points=[(x, y) for x, y in placed.tolist()], colour=_INK, width=2.6)


def _tick(left: float, top: float, colour: str) -> Iterator[Line]:
    yield Line(points=[(left, top + 5), (left + 4, top + 9), (left + 11, top)], colour=colour, width=2.2)


def _cross(left: float, top: float, colour: str) -> Iterator[Line]:
    yield Line(points=[(left, top), (left + 9, top + 9)], colour=colour, width=2.2)
    yield Line(points=[(left + 9, top), (left, top + 9)], colour=colour, width=2.2)


# ---- the bars --------------------------------------------------------------------------------------------------------


def _row(bar: Bar, top: float) -> Iterator[Shape]:
    base, high = top + 15.5, _ROW - 9
    if bar.own:
        yield from _tick(_RANK - 38, top + 6, _RIGHT)
    yield Label(at=(_RANK, base), text=f"{bar.rank}", colour=_FAINT, size=_LETTERS, from_right=True)
    name = printable(bar.word, _LONGEST_NAME)
    yield Label(at=(_NAME, base), text=name, colour=_UNSEEN if bar.unseen else _TEXT, size=_LETTERS, bold=bar.own)
    yield Box(at=(_BARS, top + 3), size=(_BARS_END - _BARS, high), fill=_TRACK)
    length = max(bar.share, 0.0) * (_BARS_END - _BARS)
    about = f"{bar.word}{' (unseen)' if bar.unseen else ''}: {bar.score}"
    if length >= 1:
        yield _swatch((_BARS, top + 3), (length, high), unseen=bar.unseen, about=about)
    yield Label(at=(_WIDTH - _EDGE, base), text=bar.score, colour=_FAINT, size=_LETTERS, from_right=True)


def _swatch(at: tuple[float, float], size: tuple[float, float], *, unseen: bool, about: str | None = None) -> Box:
    """Return a bar: full for seen classes and hollow for unseen ones, not by colour alone."""
    fill, line = (_UNSEEN_FILL, _UNSEEN) if unseen else (_SEEN, _SEEN)
    return Box(at=at, size=size, fill=fill, line=line, about=about)


def _legend(legend: Legend, top: float, own: bool) -> Iterator[Shape]:
    yield Line(points=[(_EDGE, top - 12), (_WIDTH - _EDGE, top - 12)], colour=_FRAME, width=1)
    entries: list[tuple[Callable[[float], Iterator[Shape]], str]] = []
    if legend.unseen:
        entries.append((lambda x: iter([_swatch((x, top + 5), (22, 11), unseen=False)]), "seen class"))
        entries.append(
            (
                lambda x: iter([_swatch((x, top + 5), (22, 11), unseen=True)]),
                "unseen class: no drawing of it was learned from",
            )
        )
    if own:
        entries.append((lambda x: _tick(x + 8, top + 5, _RIGHT), "the drawing's own class"))
    left = _EDGE
    for mark, text in entries:
        yield from mark(left)
        yield Label(at=(left + 30, top + 15), text=text, colour=_TEXT, size=12)
        left += 30 + 6.8 * len(text) + 24
    start = top + (44 if entries else 15)
    for number, line in enumerate(legend.lines):
        text = printable(line, _LONGEST_LINE)
        yield Label(at=(_EDGE, start + 19 * number), text=text, colour=_FAINT, size=12)
