"""Strokes from a picture of a drawing: ink told from paper, thinned to lines of one pixel, and walked as a pen would.

What comes out is a drawing as the simplified ones are, so that every network can read it. In which order and which way
round its strokes were drawn, a picture does not show: they come in reading order of where they begin, and each goes on
straight where lines meet. Areas of ink become the line along their middle.
"""

from __future__ import annotations

import dataclasses
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from sketchdata.drawings.drawing import Drawing, empty_batch, offsets_of
from sketchdata.drawings.simplify import simplify
from sketchdata.errors import FormatError
from sketchdata.formats.records import made_up_key_id

#: (H, W) bool.
Mask = npt.NDArray[np.bool_]
#: (P, 2) float64, x and y of the pixels of thinned lines.
Pixels = npt.NDArray[np.float64]

#: Pixels of the longer side in which lines are followed: twice the square of the drawings.
LONGEST_SIDE = 512
#: What has more strokes is a photo, or a page full of things.
MAX_STROKES = 300
#: Shades, of 256, between the darkest and the lightest pixel; a picture with fewer is blank.
_LEAST_CONTRAST = 32
#: The light is even where so large a share of the pixels is within so many shades.
_GROUND, _SAME_SHADE = 0.5, 17
#: Of thin lines, no larger share of a picture is ink.
_MUCH_INK = 0.2
#: Pixels of the longer side of the picture in which the ground is looked for, how far around each that is done, and the
#: shade that the ground gets.
_GROUND_SIDE, _REACH_OF_LIGHT, _PAPER = 128, 16, 200
#: In parts of the picture's sides: the widest pen, how deep dark edges and the rim of frames may be, how far from the
#: lines dots may lie.
_WIDEST_PEN, _DEEPEST, _RIM, _AROUND = 0.03, 0.15, 0.08, 0.03
#: The share of a row that is ink within a dark edge.
_COVERED = 0.6
_MOST_DOTS = 12
#: Lines do not fill so large a share of a picture when it is shrunk and any ink counts.
_TEXTURE = 0.7
#: Pixels behind and ahead that determine a line's direction.
_REACH = 6
#: Where lines meet, the pen goes on at most 60° aside.
_LEAST_COSINE = 0.5
#: To the right, below, and the two diagonals below.
_STEPS = ((0, 1), (1, 0), (1, 1), (1, -1))


def trace(photo: npt.NDArray[np.uint8], word: str = "") -> Drawing:
    """Turn a picture of a drawing into strokes.

    Args:
        photo: (H, W, 3) uint8, dark on light or light on dark.
        word: The drawing's category, where it is known.

    Returns:
        A simplified drawing: moved to the corner of the 0..255 square, its larger side 255, thinned out as the official
        ones are. Its metadata are made up: `made_up_key_id`, no country, time 1970, recognized.

    Raises:
        FormatError: `empty drawing`: nothing stands out from the ground; `not a drawing`: more than MAX_STROKES.
    """
    lines = list(lines_of(ink_of(photo)))
    if len(lines) > MAX_STROKES:
        raise FormatError(
            "not a drawing",
            f"{len(lines):,} strokes, where {MAX_STROKES} are read at most: crop the picture to the drawing, and see "
            "that its lines stand out from the paper",
        )
    strokes = _simplified(lines)
    return Drawing(key_id=made_up_key_id(strokes, word, 0), word=word, strokes=tuple(strokes))


def ink_of(photo: npt.NDArray[np.uint8]) -> Mask:
    """Return which pixels are ink, cropped to it, the longer side shrunk to LONGEST_SIDE if it is longer.

    Uneven light is divided out. Otsu's threshold parts dark from light, and the rarer of the two is ink. Specks, frames
    around the picture and dark edges of scans are none.

    Raises:
        FormatError: `empty drawing`: nothing stands out from the ground.
    """
    grey = np.asarray(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), np.uint8)
    if int(grey.max()) - int(grey.min()) < _LEAST_CONTRAST:
        raise FormatError("empty drawing", "the picture is of one shade")
    counts = np.convolve(np.bincount(grey.ravel(), minlength=256), np.ones(_SAME_SHADE), "same")
    ink = _rarer(grey) if counts.max() >= _GROUND * grey.size else None
    if ink is None or np.count_nonzero(ink) > _MUCH_INK * ink.size:
        evenly_lit = _rarer(_evenly_lit(grey))
        # Of much ink, the light's shadow may be most.
        if ink is None or (evenly_lit is not None and 4 * np.count_nonzero(evenly_lit) < np.count_nonzero(ink)):
            ink = evenly_lit
    if ink is None:
        raise FormatError("empty drawing", "nothing in the picture stands out from its ground")
    # Of a photo of many pixels, a smaller one tells pens from specks as well.
    ink = _cleaned(_shrunk(ink, 4 * LONGEST_SIDE))
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    ink = np.pad(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 1)
    return _shrunk(ink, LONGEST_SIDE)


def _shrunk(ink: Mask, longest: int) -> Mask:
    scale = longest / max(ink.shape)
    if scale >= 1:
        return ink
    height, width = (max(round(side * scale), 1) for side in ink.shape)
    # Any ink counts: averaged and parted afterwards, fine lines would be gone.
    small = np.asarray(cv2.resize(ink.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)) > 0
    # A few lines fill a narrow strip.
    if min(small.shape) > 32 and small.mean() > max(_TEXTURE, 1.3 * float(ink.mean())):
        raise FormatError("not a drawing", "a texture of dots or short lines: crop the picture to the drawing")
    return small


def _rarer(grey: npt.NDArray[np.uint8]) -> Mask | None:
    """Part dark from light and return which pixels are of the rarer; None where the two hardly differ."""
    threshold, _ = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    dark = grey <= threshold
    if not dark.any() or dark.all() or grey[~dark].mean() - grey[dark].mean() < _LEAST_CONTRAST:
        return None
    return np.asarray(dark if 2 * np.count_nonzero(dark) <= dark.size else ~dark)


def _evenly_lit(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    scale = min(_GROUND_SIDE / max(grey.shape), 1)
    height, width = (max(round(side * scale), 1) for side in grey.shape)
    small = np.asarray(cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA), np.int16)
    # Beyond the edges the light goes on as it does before them.
    reach = min(_REACH_OF_LIGHT, height - 1, width - 1)
    wide = np.pad(small, reach, mode="reflect", reflect_type="odd").clip(0, 255).astype(np.uint8)
    inner = slice(reach, -reach or None)
    median = np.asarray(cv2.medianBlur(wide, 2 * _REACH_OF_LIGHT + 1), np.uint8)[inner, inner]
    difference = small - median
    # The hundredth of the pixels that differs most is ink.
    ink_is_light = np.percentile(difference, 99) > -np.percentile(difference, 1)
    ground = cv2.resize(median, grey.shape[::-1], interpolation=cv2.INTER_LINEAR)
    light, ground = (255 - grey, 255 - ground) if ink_is_light else (grey, ground)
    lit = np.asarray(cv2.divide(light, np.maximum(ground, 1), scale=_PAPER), np.uint8)
    return 255 - lit if ink_is_light else lit


def _cleaned(ink: Mask) -> Mask:
    """Leave out what no pen drew: dark edges, frames and specks; the ink as it is where nothing else would remain."""
    ink = _without_dark_edges(ink, _pen(ink))
    pen = _pen(ink)
    count, components, found, _ = cv2.connectedComponentsWithStats(ink.astype(np.uint8), connectivity=8)
    labels = np.asarray(components, np.int32)
    left, top, width, height, area = (found[1:, column] for column in range(5))
    right, bottom = left + width, top + height
    on_edge = (left == 0) | (top == 0) | (right == ink.shape[1]) | (bottom == ink.shape[0])
    large = np.maximum(width, height) > 2 * pen + 1
    framing = large & _is_framing(labels, count)
    # Where the rest reaches the edges too, the picture is cut off around the drawing.
    if framing.any() and (large & ~framing).any() and not (large & ~framing & on_edge).any():
        # Once more: without them, the pen's width is another.
        return _cleaned(ink & np.append(True, ~framing)[labels])
    if not large.any():
        return ink
    # Dots lie among the lines, as eyes do; dust lies anywhere, and much of it.
    slack = _AROUND * max(ink.shape)
    among = (left[large].min() - slack <= left) & (right <= right[large].max() + slack)
    among &= (top[large].min() - slack <= top) & (bottom <= bottom[large].max() + slack)
    dots = ~large & ~on_edge & among & (area >= pen * pen / 2)
    kept = large | (dots if np.count_nonzero(dots) <= _MOST_DOTS else np.zeros_like(dots))
    return np.asarray(np.append(False, kept)[labels])


def _pen(ink: Mask) -> float:
    """Return the width of the lines, at least 1 pixel, from how deep their middle is; areas have less of it."""
    depths = _depths(ink)
    middle = ink & (depths >= np.asarray(cv2.dilate(depths, np.ones((3, 3), np.uint8))))
    return min(2 * float(np.median(depths[middle])) - 1, max(_WIDEST_PEN * max(ink.shape), 1.0))


def _without_dark_edges(ink: Mask, pen: float) -> Mask:
    cleaned = ink.copy()
    for turn in range(4):
        # A view, of which the edge is the first row.
        side = np.rot90(cleaned, turn)
        covered = np.rot90(ink, turn).mean(axis=1)
        deep = int(np.argmin(np.append(covered >= _COVERED, False)))
        if 1.5 * pen + 1 < deep <= _DEEPEST * len(side):
            deep += int(np.argmin(np.append(covered[deep:] >= _COVERED / 4, False)))
            side[:deep] = False
    return cleaned if cleaned.any() else ink


def _is_framing(labels: npt.NDArray[np.int32], count: int) -> npt.NDArray[np.bool_]:
    """Return which components lie along the picture's edges alone, and along half of one at least: (count − 1,)."""
    rows, columns = (max(round(_RIM * side), 1) for side in labels.shape)
    inner = labels[rows:-rows, columns:-columns] if min(labels.shape) > 2 * max(rows, columns) else labels
    rim = np.ones(count, np.bool_)
    rim[np.unique(inner)] = False
    long = np.zeros(count, np.bool_)
    for number in np.flatnonzero(rim[1:]) + 1:
        places = np.argwhere(labels == number) if np.count_nonzero(rim) < _MOST_DOTS else np.zeros((1, 2))
        long[number] = bool((np.ptp(places, axis=0) >= np.array(labels.shape) / 2).any())
    return np.asarray((rim & long)[1:])


def _depths(ink: Mask) -> npt.NDArray[np.float32]:
    """Return how far each pixel is from the ground, which is all around the picture."""
    depths = cv2.distanceTransform(np.pad(ink, 1).astype(np.uint8), cv2.DIST_L2, 3)
    return np.asarray(depths, np.float32)[1:-1, 1:-1]


def lines_of(ink: Mask) -> Iterator[Pixels]:
    """Yield the lines in a mask of ink, each as the (n, 2) x and y of its pixels, n ≥ 1."""
    # Only those who trace pay for importing it.
    from skimage.morphology import skeletonize

    skeleton: Callable[[Mask], Mask] = skeletonize
    thin = skeleton(ink)
    # Twice the distance to the ground, on average along the lines.
    width = 2 * float(_depths(ink)[thin].mean())
    graph = _graph(thin, max(width, 2))
    seen: set[int] = set()
    for line in _walks(graph):
        # Thinning leaves hairs on broad lines, and crumbs where lines meet.
        crumb = len(line) <= max(width, 3) and (line[0] in seen or line[-1] in seen)
        seen.update(line)
        if not crumb or len(line) == 1:
            yield np.array([[graph.places[pixel].real, graph.places[pixel].imag] for pixel in line])


@dataclass(frozen=True)
class _Graph:
    """The pixels of thinned lines in reading order.

    Attributes:
        places: x + y · i of each: with a few numbers at a time, Python's own are several times faster than arrays.
        joined: For each, the numbers of those it is joined to.
        forks: The numbers of those joined to more than two, and their rows.
        span: How near two of these are that are parts of one crossing.
    """

    places: list[complex]
    joined: list[list[int]]
    forks: tuple[list[int], list[float]]
    span: float

    def forks_near(self, pixel: int) -> list[int]:
        """Return the forks of the same crossing as a pixel."""
        numbers, rows = self.forks
        here = self.places[pixel]
        some = numbers[bisect_left(rows, here.imag - self.span) : bisect_right(rows, here.imag + self.span)]
        return [fork for fork in some if abs(self.places[fork].real - here.real) <= self.span]


def _graph(thin: Mask, span: float) -> _Graph:
    """Join neighbouring pixels; diagonal ones only where no pixel beside both makes the corner."""
    padded = np.pad(thin, 1)
    number = np.cumsum(padded).reshape(padded.shape) - 1
    rows, columns = np.nonzero(padded)
    joined: list[list[int]] = [[] for _ in rows]
    for down, right in _STEPS:
        there = padded[rows + down, columns + right]
        if down and right:
            there &= ~padded[rows + down, columns] & ~padded[rows, columns + right]
        ends = number[rows[there] + down, columns[there] + right]
        for one, other in zip(np.flatnonzero(there).tolist(), ends.tolist(), strict=True):
            joined[one].append(other)
            joined[other].append(one)
    places = [complex(x - 1, y - 1) for x, y in zip(columns.tolist(), rows.tolist(), strict=True)]
    forks = [number for number, others in enumerate(joined) if len(others) > 2]
    return _Graph(places, joined, (forks, [places[fork].imag for fork in forks]), span)


def _walks(graph: _Graph) -> Iterator[list[int]]:
    """Yield lines that together go over every join once: first from loose ends, then from crossings, then circles."""
    left = [set(others) for others in graph.joined]
    degrees = np.array([len(others) for others in graph.joined])
    yield from ([lone] for lone in np.flatnonzero(degrees == 0).tolist())
    for starts in (degrees == 1, degrees > 2, degrees == 2):
        for start in np.flatnonzero(starts).tolist():
            while left[start]:
                yield _walk(graph, left, start)


def _walk(graph: _Graph, left: list[set[int]], start: int) -> list[int]:
    """Follow a line from one pixel until it ends, or bends too much where lines meet; take its joins out of `left`."""
    line = [start]
    while (step := _step(graph, left, line)) is not None:
        source, onward = step
        left[source].discard(onward)
        left[onward].discard(source)
        line += [onward] if source == line[-1] else [source, onward]
    return line


def _step(graph: _Graph, left: list[set[int]], line: Sequence[int]) -> tuple[int, int] | None:
    """Return from which pixel to which to go; None to end the line."""
    here = line[-1]
    if len(line) == 1 or len(graph.joined[here]) <= 2:
        return (here, min(left[here])) if left[here] else None
    # Thinned, a crossing becomes two forks with a bridge, which the other line may have gone over.
    return _straightest(graph, left, line, [here]) or _straightest(graph, left, line, graph.forks_near(here))


def _straightest(
    graph: _Graph, left: list[set[int]], line: Sequence[int], sources: Sequence[int]
) -> tuple[int, int] | None:
    """Return the step from one of some pixels that lies straightest ahead of a line, if any does."""
    here = graph.places[line[-1]]
    came = here - graph.places[line[max(len(line) - _REACH, 0)]]
    steps = [(source, onward) for source in sources for onward in sorted(left[source])]
    cosines = [_cosine(came, graph.places[_ahead(graph, *step)] - here) for step in steps]
    best = max(cosines, default=0.0)
    return steps[cosines.index(best)] if best >= _LEAST_COSINE else None


def _ahead(graph: _Graph, here: int, onward: int) -> int:
    """Return the pixel some steps further along a line, or that at which it meets others."""
    for _ in range(_REACH - 1):
        others = [pixel for pixel in graph.joined[onward] if pixel != here]
        if len(others) != 1:
            break
        here, onward = onward, others[0]
    return onward


def _cosine(one: complex, other: complex) -> float:
    length = abs(one) * abs(other)
    return (one * other.conjugate()).real / length if length else 0.0


def _simplified(lines: Sequence[Pixels]) -> list[npt.NDArray[np.uint8]]:
    points = np.concatenate(lines)
    one = np.zeros(1)
    raw = dataclasses.replace(
        empty_batch(),
        key_id=one.astype(np.uint64),
        label=one.astype(np.uint16),
        countrycode=np.zeros(1, "S2"),
        timestamp=one.astype(np.int64),
        recognized=one.astype(np.bool_),
        strokes=np.array([0, len(lines)], np.int64),
        points=offsets_of(np.array([len(line) for line in lines], np.int64)),
        x=points[:, 0],
        y=points[:, 1],
    )
    (drawing,) = simplify(raw).drawings([""])
    return [stroke.astype(np.uint8) for stroke in drawing.strokes]
