"""A picture of zero-shot recognition: drawings and prototypes of some unseen classes, projected onto a plane."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Matrix: TypeAlias = npt.NDArray[np.float64]
#: left, top, right, bottom.
_Box: TypeAlias = tuple[float, float, float, float]

#: Classes that are shown, and drawings of each, at most.
MOST_CLASSES, MOST_DRAWINGS = 10, 60

_SIDE, _EDGE, _TOP, _LEGEND = 620, 24, 56, 250
_LINE, _WRAP, _NAME = 17, 125, 22
_FONT, _LETTER = 14, 8.4
#: Paul Tol's muted scheme, which the colour-blind can tell apart, with a grey for the tenth; shapes help besides.
_COLOURS = (
    *("#332288", "#cc6677", "#117733", "#88ccee", "#aa4499"),
    *("#999933", "#882255", "#44aa99", "#ddcc77", "#555555"),
)
_SHAPES = (
    "M-1 0A1 1 0 1 0 1 0A1 1 0 1 0-1 0Z",
    "M-.9-.9H.9V.9H-.9Z",
    "M0-1.15L1.05.8H-1.05Z",
    "M0-1.25L1.1 0L0 1.25L-1.1 0Z",
    "M0 1.15L1.05-.8H-1.05Z",
)
_DOT, _MARK = 3.2, 9.0
#: Where a label may be put beside its mark, the best first.
_ANGLES = np.radians((0, 180, 270, 90, 315, 45, 225, 135))
_REACHES = (14.0, 30.0, 48.0, 68.0, 90.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Cloud:
    """A class as it is shown.

    Attributes:
        word: Its name.
        hit: The share of its drawings that are recognised.
        drawings: (n, D), where drawings lie, one at least.
        prototype: (D,), where drawings of the class were expected.
    """

    word: str
    hit: float
    drawings: Matrix
    prototype: Matrix


@dataclass(frozen=True, kw_only=True, eq=False)
class Plane:
    """The two directions along which drawings vary most.

    Attributes:
        centre: (D,), the mean of the drawings.
        axes: (2, D), of length 1 and at right angles; zeros where drawings vary in fewer directions.
        share: Of the drawings' variance, what the plane shows: 0 to 1.
    """

    centre: Matrix
    axes: Matrix
    share: float

    def project(self, rows: Matrix) -> Matrix:
        """Return rows on the plane: (N, D) → (N, 2)."""
        return np.asarray((rows - self.centre) @ self.axes.T)


def principal_plane(rows: Matrix) -> Plane:
    """Find the plane by principal components: (N, D).

    Of an axis and its opposite, that is taken whose largest number is positive, so that the picture is always the same.
    """
    centre = rows.mean(axis=0)
    _, sizes, directions = np.linalg.svd(rows - centre, full_matrices=False)
    axes = np.zeros((2, rows.shape[1]))
    axes[: len(directions)] = directions[:2]
    largest = axes[np.arange(2), np.abs(axes).argmax(axis=1)]
    total = float(np.square(sizes).sum())
    share = float(np.square(sizes[:2]).sum()) / total if total else 0.0
    return Plane(centre=centre, axes=axes * np.where(largest < 0, -1, 1)[:, None], share=share)


def spread_by_accuracy(hits: Mapping[str, float], most: int = MOST_CLASSES) -> list[str]:
    """Choose classes evenly from the one that is recognised best to the worst; equal ones stand as they are given."""
    order = sorted(hits, key=lambda word: -hits[word])
    return [
        order[place] for place in np.unique(np.linspace(0, len(order) - 1, min(most, len(order))).round()).astype(int)
    ]


def embeddings_svg(clouds: Sequence[Cloud], plane: Plane, title: str, caption: str) -> str:
    """Return classes on a plane as SVG: small marks for drawings, large ones with a name for prototypes.

    A line goes from each prototype to the mean of its class's drawings. Both ways have the same scale.

    Args:
        clouds: The classes, 10 at most.
        plane: Where to look from.
        title: Above the picture.
        caption: Below it.
    """
    lines = textwrap.wrap(caption, _WRAP)
    width, height = _SIDE + _LEGEND + 2 * _EDGE, _TOP + _SIDE + _EDGE + _LINE * (len(lines) + 1)
    below = "\n".join(
        f'<text x="{_EDGE}" y="{_TOP + _SIDE + _EDGE + _LINE * (place + 0.5):.0f}">{_escaped(line)}</text>'
        for place, line in enumerate(lines)
    )
    places = _Places(clouds, plane)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" font-family="sans-serif" font-size="13" fill="#222">\n<title>{_escaped(title)}</title>\n'
        f"<desc>{_escaped(caption)}</desc>\n"
        f'<rect width="{width}" height="{height}" fill="#fff"/>\n'
        f'<text x="{_EDGE}" y="34" font-size="17">{_escaped(title)}</text>\n'
        f'<g transform="translate({_EDGE} {_TOP})">\n'
        f'<rect width="{_SIDE}" height="{_SIDE}" fill="none" stroke="#bbb"/>\n'
        + "\n".join([*_dots(clouds, places), *_prototypes(places), *_labels(clouds, places), *_legend(clouds)])
        + f"\n</g>\n{below}\n</svg>\n"
    )


class _Places:
    """Where all of it lies in the picture, in pixels from the corner above on the left."""

    def __init__(self, clouds: Sequence[Cloud], plane: Plane) -> None:
        drawn = [plane.project(cloud.drawings) for cloud in clouds]
        expected = plane.project(np.stack([cloud.prototype for cloud in clouds]))
        every = np.concatenate([*drawn, expected])
        low, high = every.min(axis=0), every.max(axis=0)
        # Room at the edges, so that marks lie inside.
        scale = (_SIDE - 4 * _MARK) / (float((high - low).max()) or 1.0)

        def place(rows: Matrix) -> Matrix:
            moved = (rows - (low + high) / 2) * scale
            return np.stack([_SIDE / 2 + moved[:, 0], _SIDE / 2 - moved[:, 1]], axis=1)

        self.drawings: list[Matrix] = [place(rows) for rows in drawn]
        self.means: Matrix = np.stack([rows.mean(axis=0) for rows in self.drawings])
        self.prototypes: Matrix = place(expected)


def _mark(place: int, at: Any, size: float) -> str:
    """Return the path of a class's mark."""
    x, y = at
    return f'<path transform="translate({x:.1f} {y:.1f}) scale({size:.1f})" d="{_SHAPES[place % len(_SHAPES)]}"/>'


def _dots(clouds: Sequence[Cloud], places: _Places) -> Iterator[str]:
    for place, (cloud, drawn) in enumerate(zip(clouds, places.drawings, strict=True)):
        about = f"{cloud.word}: {len(drawn):,} drawings"
        marks = "".join(_mark(place, at, _DOT) for at in drawn)
        yield f'<g fill="{_COLOURS[place]}" fill-opacity="0.65"><title>{_escaped(about)}</title>{marks}</g>'


def _prototypes(places: _Places) -> Iterator[str]:
    for place, (at, mean) in enumerate(zip(places.prototypes, places.means, strict=True)):
        way = f"M{at[0]:.1f} {at[1]:.1f}L{mean[0]:.1f} {mean[1]:.1f}"
        yield f'<path d="{way}" stroke="{_COLOURS[place]}" stroke-width="1.5" fill="none"/>'
    for place, at in enumerate(places.prototypes):
        mark = _mark(place, at, _MARK)
        # The width is multiplied by the size of the mark.
        yield f'<g fill="{_COLOURS[place]}" stroke="#222" stroke-width="0.25">{mark}</g>'


def _labels(clouds: Sequence[Cloud], places: _Places) -> Iterator[str]:
    """Yield names beside prototypes, moved away from one another where they would overlap."""
    taken: list[_Box] = [_around(at, _MARK) for at in places.prototypes]
    for cloud, at in zip(clouds, places.prototypes, strict=True):
        name = _short(cloud.word)
        box, reach = _free_box(at, len(name) * _LETTER, taken)
        taken.append(box)
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        if reach > _REACHES[0]:
            yield f'<path d="M{at[0]:.1f} {at[1]:.1f}L{x:.1f} {y:.1f}" stroke="#222" stroke-width="0.7"/>'
        yield (
            f'<text x="{x:.1f}" y="{y + 5:.1f}" text-anchor="middle" font-size="{_FONT}" font-weight="bold" '
            f'stroke="#fff" stroke-width="4" stroke-linejoin="round" paint-order="stroke">{_escaped(name)}</text>'
        )


def _free_box(at: Any, width: float, taken: Sequence[_Box]) -> tuple[_Box, float]:
    """Return where a label has room, as near as can be; that with the least overlap where there is none."""
    best: tuple[float, _Box, float] | None = None
    for reach in _REACHES:
        for angle in _ANGLES:
            x = at[0] + np.cos(angle) * (reach + width / 2)
            y = at[1] + np.sin(angle) * (reach + _FONT / 2)
            box = (x - width / 2, y - _FONT / 2 - 1, x + width / 2, y + _FONT / 2 + 1)
            outside = min(box[0], box[1], _SIDE - box[2], _SIDE - box[3]) < 0
            cost = sum(_overlap(box, other) for other in taken) + (1e6 if outside else 0)
            if not cost:
                return box, reach
            if best is None or cost < best[0]:
                best = (cost, box, reach)
    assert best is not None  # noqa: S101 - there are angles to try
    return best[1], best[2]


def _around(at: Any, reach: float) -> _Box:
    return (at[0] - reach, at[1] - reach, at[0] + reach, at[1] + reach)


def _overlap(one: _Box, other: _Box) -> float:
    wide, high = min(one[2], other[2]) - max(one[0], other[0]), min(one[3], other[3]) - max(one[1], other[1])
    return max(wide, 0) * max(high, 0)


def _legend(clouds: Sequence[Cloud]) -> Iterator[str]:
    yield f'<text x="{_SIDE + 16}" y="14" font-weight="bold">class, and its ZSL hit@1</text>'
    for place, cloud in enumerate(clouds):
        y = 40 + 24 * place
        yield f'<g fill="{_COLOURS[place]}">{_mark(place, (_SIDE + 24, y - 4), 6)}</g>'
        yield f'<text x="{_SIDE + 40}" y="{y}">{_escaped(_short(cloud.word))}: {cloud.hit:.3f}</text>'


def _short(name: str) -> str:
    return name if len(name) <= _NAME else f"{name[: _NAME - 1]}…"


def _escaped(text: str) -> str:
    """Return text for XML, which has no place for most control characters."""
    return escape("".join(letter if letter.isprintable() else " " for letter in text))
