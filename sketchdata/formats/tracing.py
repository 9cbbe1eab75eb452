"""Tracing: strokes from a picture of a drawing. Ink is segmented, thinned to one pixel, and followed like a pen.

The result is a simplified drawing, which every network can read. A picture does not show the order and direction of
strokes: they are in reading order of their first points, and go straight ahead where lines meet. Areas of ink become
their centre lines.
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
#: (P, 2) float64, x and y of pixels of thinned lines.
Pixels = npt.NDArray[np.float64]

#: Longer side in pixels for following lines: twice the square of simplified drawings.
LONGEST_SIDE = 512
#: Maximum number of strokes; a photo, or a page of many objects, has more.
MAX_STROKES = 300
#: Minimum difference between the darkest and the lightest pixel, of 255; otherwise a picture is blank.
_LEAST_CONTRAST = 32
#: The light is even if at least this share of the pixels is within this range of grey levels.
_GROUND, _SAME_SHADE = 0.5, 17
#: Maximum share of ink in a picture of thin lines.
_MUCH_INK = 0.2
#: For the background: longer side of the reduced picture in pixels, size of the neighbourhood, and the resulting grey
#: level.
_GROUND_SIDE, _REACH_OF_LIGHT, _PAPER = 128, 16, 200
#: As shares of the picture's sides: maximum width of a pen, of dark edges and of frames, and maximum distance of dots
#: from lines.
_WIDEST_PEN, _DEEPEST, _RIM, _AROUND = 0.03, 0.15, 0.08, 0.03
#: Minimum share of ink in a row of a dark edge.
_COVERED = 0.6
#: Lines of frames, as shares of the picture's sides: maximum distance from the edge, and that of a line along one edge
#: only; maximum deviation from a straight line; minimum length of solid and of dashed lines; maximum gap in dashes.
_INSET, _INSET_ALONE, _STRAIGHT, _SOLID, _DASHED, _GAP = 0.06, 0.01, 0.004, 0.8, 0.4, 0.08
#: Maximum slope of frames, minimum side of a picture that may have one, and number of candidate lines.
_SLOPE, _LEAST_SIDE, _TRIALS = 0.04, 24, 96
_MOST_DOTS = 12
#: Maximum share of ink of a line drawing in the reduced picture.
_TEXTURE = 0.7
#: Number of pixels behind and ahead that determine a line's direction.
_REACH = 6
#: Where lines meet, the pen turns by at most 60°.
_LEAST_COSINE = 0.5
#: Offsets to the right, below, and both diagonals below.
_STEPS = ((0, 1), (1, 0), (1, 1), (1, -1))


def trace(photo: npt.NDArray[np.uint8], word: str = "") -> Drawing:
    """Trace a picture of a drawing.

    Args:
        photo: (H, W, 3) uint8, dark on light or light on dark.
        word: The drawing's category, if known.

    Returns:
        A simplified drawing: moved to the corner of the 0..255 square, with larger side 255, simplified like the
        official ones, with default metadata: `made_up_key_id`, no country, time 1970, recognized.

    Raises:
        FormatError: `empty drawing`: there is no ink; `not a drawing`: there are more than MAX_STROKES strokes.
    """
    lines = list(lines_of(ink_of(photo)))
    if len(lines) > MAX_STROKES:
        raise FormatError(
            "not a drawing",
            f"{len(lines):,} strokes, more than {MAX_STROKES}: crop the picture to the drawing, and see "
            "that its lines stand out from the paper",
        )
    strokes = _simplified(lines)
    return Drawing(key_id=made_up_key_id(strokes, word, 0), word=word, strokes=tuple(strokes))


def ink_of(photo: npt.NDArray[np.uint8]) -> Mask:
    """Return the mask of ink, cropped to it and reduced to LONGEST_SIDE if it is longer.

    Uneven light is normalised. Otsu's threshold separates dark and light, and the rarer of the two is ink. Specks,
    frames around the picture and dark edges of scans are removed.

    Raises:
        FormatError: `empty drawing`: there is no ink.
    """
    grey = np.asarray(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), np.uint8)
    if int(grey.max()) - int(grey.min()) < _LEAST_CONTRAST:
        raise FormatError("empty drawing", "the picture is of one shade")
    counts = np.convolve(np.bincount(grey.ravel(), minlength=256), np.ones(_SAME_SHADE), "same")
    ink = _rarer(grey) if counts.max() >= _GROUND * grey.size else None
    if ink is None or np.count_nonzero(ink) > _MUCH_INK * ink.size:
        evenly_lit = _rarer(_evenly_lit(grey))
        # With much ink, most of it may be a shadow of uneven light.
        if ink is None or (evenly_lit is not None and 4 * np.count_nonzero(evenly_lit) < np.count_nonzero(ink)):
            ink = evenly_lit
    if ink is None:
        raise FormatError("empty drawing", "nothing in the picture stands out from its ground")
    # In a large photo, a smaller version is enough to tell pens from specks.
    ink = _cleaned(_shrunk(ink, 4 * LONGEST_SIDE))
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    ink = np.pad(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 1)
    return _shrunk(ink, LONGEST_SIDE)


def _shrunk(ink: Mask, longest: int) -> Mask:
    scale = longest / max(ink.shape)
    if scale >= 1:
        return ink
    height, width = (max(round(side * scale), 1) for side in ink.shape)
    # A pixel with any ink is ink: averaging and thresholding would lose fine lines.
    small = np.asarray(cv2.resize(ink.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)) > 0
    # In a narrow strip, a few lines may exceed the share.
    if min(small.shape) > 32 and small.mean() > max(_TEXTURE, 1.3 * float(ink.mean())):
        raise FormatError("not a drawing", "a texture of dots or short lines: crop the picture to the drawing")
    return small


def _rarer(grey: npt.NDArray[np.uint8]) -> Mask | None:
    """Separate dark from light and return the mask of the rarer; None if they hardly differ."""
    threshold, _ = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    dark = grey <= threshold
    if not dark.any() or dark.all() or grey[~dark].mean() - grey[dark].mean() < _LEAST_CONTRAST:
        return None
    return np.asarray(dark if 2 * np.count_nonzero(dark) <= dark.size else ~dark)


def _evenly_lit(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    scale = min(_GROUND_SIDE / max(grey.shape), 1)
    height, width = (max(round(side * scale), 1) for side in grey.shape)
    small = np.asarray(cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA), np.int16)
    # Extrapolate the light beyond the edges.
    reach = min(_REACH_OF_LIGHT, height - 1, width - 1)
    wide = np.pad(small, reach, mode="reflect", reflect_type="odd").clip(0, 255).astype(np.uint8)
    inner = slice(reach, -reach or None)
    median = np.asarray(cv2.medianBlur(wide, 2 * _REACH_OF_LIGHT + 1), np.uint8)[inner, inner]
    difference = small - median
    # The 1 % of the pixels that differ most are ink.
    ink_is_light = np.percentile(difference, 99) > -np.percentile(difference, 1)
    ground = cv2.resize(median, grey.shape[::-1], interpolation=cv2.INTER_LINEAR)
    light, ground = (255 - grey, 255 - ground) if ink_is_light else (grey, ground)
    lit = np.asarray(cv2.divide(light, np.maximum(ground, 1), scale=_PAPER), np.uint8)
    return 255 - lit if ink_is_light else lit


def _cleaned(ink: Mask) -> Mask:
    """Remove dark edges, frames and specks from the ink, unless nothing would remain."""
    ink = _without_frame_lines(_without_dark_edges(ink, _pen(ink)))
    pen = _pen(ink)
    count, components, found, _ = cv2.connectedComponentsWithStats(ink.astype(np.uint8), connectivity=8)
    labels = np.asarray(components, np.int32)
    left, top, width, height, area = (found[1:, column] for column in range(5))
    right, bottom = left + width, top + height
    on_edge = (left == 0) | (top == 0) | (right == ink.shape[1]) | (bottom == ink.shape[0])
    large = np.maximum(width, height) > 2 * pen + 1
    framing = large & _is_framing(labels, count)
    # If the rest touches the edges, too, the picture is cropped to the drawing.
    if framing.any() and (large & ~framing).any() and not (large & ~framing & on_edge).any():
        # Repeated, because the pen's width changes without them.
        return _cleaned(ink & np.append(True, ~framing)[labels])
    if not large.any():
        return ink
    # Dots, such as eyes, are close to lines; dust is anywhere, and there is much of it.
    slack = _AROUND * max(ink.shape)
    among = (left[large].min() - slack <= left) & (right <= right[large].max() + slack)
    among &= (top[large].min() - slack <= top) & (bottom <= bottom[large].max() + slack)
    dots = ~large & ~on_edge & among & (area >= pen * pen / 2)
    kept = large | (dots if np.count_nonzero(dots) <= _MOST_DOTS else np.zeros_like(dots))
    return np.asarray(np.append(False, kept)[labels])


def _pen(ink: Mask) -> float:
    """Return the width of the lines, at least 1 pixel, from the depth of their centre lines, where areas count less."""
    depths = _depths(ink)
    middle = ink & (depths >= np.asarray(cv2.dilate(depths, np.ones((3, 3), np.uint8))))
    return min(2 * float(np.median(depths[middle])) - 1, max(_WIDEST_PEN * max(ink.shape), 1.0))


def _without_dark_edges(ink: Mask, pen: float) -> Mask:
    cleaned = ink.copy()
    for turn in range(4):
        # A view in which the edge is the first row.
        side = np.rot90(cleaned, turn)
        covered = np.rot90(ink, turn).mean(axis=1)
        deep = int(np.argmin(np.append(covered >= _COVERED, False)))
        if 1.5 * pen + 1 < deep <= _DEEPEST * len(side):
            deep += int(np.argmin(np.append(covered[deep:] >= _COVERED / 4, False)))
            side[:deep] = False
    return cleaned if cleaned.any() else ink


def _without_frame_lines(ink: Mask) -> Mask:
    """Remove straight lines along all four edges, or exactly on one edge; strokes that touch or cross them stay."""
    sides = [_frame_line(np.rot90(ink, turn)) for turn in range(4)]
    whole = all(side is not None for side in sides)
    cleaned = ink.copy()
    for turn, side in enumerate(sides):
        if side is not None and (whole or side.alone):
            view = np.rot90(cleaned, turn)
            view &= ~_band(np.rot90(ink, turn), side)
    if whole:
        # Remains in the corners are those of the frame.
        rows, columns = (max(round(_RIM * side), 1) for side in ink.shape)
        count, components, found, _ = cv2.connectedComponentsWithStats(cleaned.astype(np.uint8), connectivity=8)
        left, top, width, height = (found[:, column] for column in range(4))
        across = (left + width <= columns) | (left >= ink.shape[1] - columns)
        corner = across & ((top + height <= rows) | (top >= ink.shape[0] - rows))
        corner[0] = False
        cleaned &= ~corner[np.asarray(components, np.int32)] if count > 1 else True
    if np.array_equal(cleaned, ink):
        return ink
    # A rectangle with hardly anything inside is the drawing.
    rest = np.argwhere(cleaned)
    if not len(rest) or np.ptp(rest, axis=0).max() < _DEEPEST * max(ink.shape):
        return ink
    return _without_frame_lines(cleaned) if whole else cleaned


@dataclass(frozen=True)
class _FrameLine:
    """A straight line along the first row of a picture.

    Attributes:
        row: The line begins at row + slope · column.
        slope: See `row`.
        thickness: Number of rows, including the deviation from a straight line.
        columns: First column, and the column after the last.
        alone: Whether the line is a frame without lines along the other edges.
    """

    row: float
    slope: float
    thickness: int
    columns: tuple[int, int]
    alone: bool


def _frame_line(side: Mask) -> _FrameLine | None:
    """Return the line along the first row, if there is one."""
    height, width = side.shape
    if min(height, width) < _LEAST_SIDE:
        return None
    rim = max(round(_INSET * height), 2)
    begins = side[:rim] & ~np.pad(side[: rim - 1], ((1, 0), (0, 0)))
    tops, columns = np.nonzero(begins)
    left, right = (np.flatnonzero(there) for there in (3 * columns < width, 3 * columns >= 2 * width))
    if not len(left) or not len(right):
        return None
    # Candidates go through two places where ink begins; the one with the most ink along it counts.
    rng, across = np.random.default_rng(0), np.arange(width)
    one, other = rng.choice(left, _TRIALS), rng.choice(right, _TRIALS)
    slopes = (tops[other] - tops[one]) / (columns[other] - columns[one])
    rows = tops[one] - slopes * columns[one]
    slack = max(_STRAIGHT * height, 1.0)
    places = np.rint(rows[:, None] + slopes[:, None] * across).astype(int)
    inked = np.zeros((_TRIALS, width), np.bool_)
    for beside in (-1, 0, 1):
        inked |= side[np.clip(places + beside, 0, height - 1), across]
    best = int(np.argmax(np.where(np.abs(slopes) <= _SLOPE, np.count_nonzero(inked, axis=1), 0)))
    slope, covered = float(slopes[best]), np.flatnonzero(inked[best])
    on = np.abs(tops - rows[best] - slope * columns) <= slack
    there, top = columns[on], tops[on]
    row = float(np.median(top - slope * there))
    deepest = round(_DEEPEST * height)
    runs = side[np.minimum(top + np.arange(deepest)[:, None], height - 1), there].argmin(axis=0)
    # Zero if the ink continues. Strokes that meet the line are deeper in some columns only.
    thickness = int(np.median(np.where(runs == 0, deepest, runs)))
    solid = len(covered) >= _SOLID * width
    dashed = len(covered) >= _DASHED * width and np.diff(covered).max() <= _GAP * width
    if abs(slope) > _SLOPE or thickness > max(_RIM * height, 2) or not (solid or dashed):
        return None
    if covered[-1] - covered[0] < _SOLID * width:
        return None
    alone = solid and row + max(slope * width, 0) <= max(_INSET_ALONE * height, 1)
    return _FrameLine(row, slope, thickness + round(slack), (int(covered[0]), int(covered[-1]) + 1), alone)


def _band(side: Mask, line: _FrameLine) -> Mask:
    """Return the pixels of a frame's line, except where strokes cross it."""
    height, width = side.shape
    column = np.arange(width)
    top = line.row + line.slope * column
    depth = np.arange(height)[:, None] - top
    # One row of slack above.
    band = (depth > -2) & (depth < line.thickness)
    band &= (line.columns[0] - line.thickness <= column) & (column < line.columns[1] + line.thickness)
    above = (side & (depth <= -2) & (depth > -4)).any(axis=0)
    below = (side & (depth >= line.thickness) & (depth < line.thickness + 2)).any(axis=0)
    near = np.ones((1, 2 * line.thickness + 1))
    crossed = [cv2.dilate(np.atleast_2d(rows).astype(np.uint8), near)[0] > 0 for rows in (above, below)]
    return np.asarray(band & ~(crossed[0] & crossed[1]))


def _is_framing(labels: npt.NDArray[np.int32], count: int) -> npt.NDArray[np.bool_]:
    """Return which components lie only along the picture's edges, and along at least half of one: (count − 1,)."""
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
    """Return the distance of each pixel from the background, which includes everything outside the picture."""
    depths = cv2.distanceTransform(np.pad(ink, 1).astype(np.uint8), cv2.DIST_L2, 3)
    return np.asarray(depths, np.float32)[1:-1, 1:-1]


def lines_of(ink: Mask) -> Iterator[Pixels]:
    """Yield the lines in a mask of ink, each as the (n, 2) x and y of its pixels, n ≥ 1."""
    # Imported here, because it is slow to import.
    from skimage.morphology import skeletonize

    skeleton: Callable[[Mask], Mask] = skeletonize
    thin = skeleton(ink)
    # Twice the mean distance to the background along the lines.
    width = 2 * float(_depths(ink)[thin].mean())
    graph = _graph(thin, max(width, 2))
    seen: set[int] = set()
    for line in _walks(graph):
        # Thinning leaves hairs on thick lines, and fragments where lines meet.
        crumb = len(line) <= max(width, 3) and (line[0] in seen or line[-1] in seen)
        seen.update(line)
        if not crumb or len(line) == 1:
            yield np.array([[graph.places[pixel].real, graph.places[pixel].imag] for pixel in line])


@dataclass(frozen=True)
class _Graph:
    """The graph of the pixels of thinned lines, in reading order.

    Attributes:
        places: x + y · i of each pixel: for few numbers, Python's are several times faster than arrays.
        joined: For each pixel, the indices of its neighbours.
        forks: The indices of pixels with more than two neighbours, and their rows.
        span: Maximum distance of two forks that are parts of one crossing.
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
    """Connect neighbouring pixels; diagonal ones only if they have no common neighbour at the corner."""
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
    """Yield lines that together traverse every edge once: first from ends, then from crossings, then circles."""
    left = [set(others) for others in graph.joined]
    degrees = np.array([len(others) for others in graph.joined])
    yield from ([lone] for lone in np.flatnonzero(degrees == 0).tolist())
    for starts in (degrees == 1, degrees > 2, degrees == 2):
        for start in np.flatnonzero(starts).tolist():
            while left[start]:
                yield _walk(graph, left, start)


def _walk(graph: _Graph, left: list[set[int]], start: int) -> list[int]:
    """Follow a line until it ends, or turns too much where lines meet; remove its edges from `left`."""
    line = [start]
    while (step := _step(graph, left, line)) is not None:
        source, onward = step
        left[source].discard(onward)
        left[onward].discard(source)
        line += [onward] if source == line[-1] else [source, onward]
    return line


def _step(graph: _Graph, left: list[set[int]], line: Sequence[int]) -> tuple[int, int] | None:
    """Return the next edge of the line, from pixel to pixel; None at its end."""
    here = line[-1]
    if len(line) == 1 or len(graph.joined[here]) <= 2:
        return (here, min(left[here])) if left[here] else None
    # A thinned crossing has two forks with a bridge, which the other line may have used.
    return _straightest(graph, left, line, [here]) or _straightest(graph, left, line, graph.forks_near(here))


def _straightest(
    graph: _Graph, left: list[set[int]], line: Sequence[int], sources: Sequence[int]
) -> tuple[int, int] | None:
    """Return the step from one of some pixels that deviates least from a line's direction, if any does little."""
    here = graph.places[line[-1]]
    came = here - graph.places[line[max(len(line) - _REACH, 0)]]
    steps = [(source, onward) for source in sources for onward in sorted(left[source])]
    cosines = [_cosine(came, graph.places[_ahead(graph, *step)] - here) for step in steps]
    best = max(cosines, default=0.0)
    return steps[cosines.index(best)] if best >= _LEAST_COSINE else None


def _ahead(graph: _Graph, here: int, onward: int) -> int:
    """Return the pixel some steps further along a line, or the one where it meets others."""
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
