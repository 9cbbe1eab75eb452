"""Messiness of edge maps: how much an edge map differs from a drawing, by measures that are ranked within its class.

A clean map has a few long lines; a messy one has many short ones, isolated or tangled, and background lines that end at
the border. No absolute scale of these fits bats as well as bicycles, so a measure counts by its rank in the class. The
score only orders the edge maps of a class for inspection.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from sketchdata.curation.entropy import entropies
from sketchdata.errors import FormatError

#: (H, W) uint8, 1 where there is ink.
Ink = npt.NDArray[np.uint8]
Column = npt.NDArray[np.float64]

#: The measures of an edge map, all of which increase with messiness; see `measure` and `drawing_distances`.
MEASURES = ("density", "entropy", "fragments", "loose", "border", "distance")
#: The measures in the score. Up to density 0.5, entropy has the same order as density, which would count twice.
SCORED = ("density", "fragments", "loose", "border", "distance")
#: The score of a map beyond the absolute limits; scores from ranks are lower.
WORST = 1.0
#: Smaller classes have no limit: with 19 maps, the 90th percentile is between the two messiest and says little.
FEW = 20

_PNG = b"\x89PNG\r\n\x1a\n"
#: Signature, header and end of the smallest PNG, and the largest side of an edge map that makes sense.
_LEAST_PNG, _LARGEST = 45, 4096
#: The eight neighbours of a pixel, clockwise from the upper left, each as one bit.
_NEIGHBOURS = np.array([[1, 2, 4], [128, 0, 8], [64, 32, 16]], np.float32)
#: For each combination of neighbours with ink, whether three or more lines meet in the pixel. Source: the crossing
#: number, Rutovitz, Pattern Recognition, Journal of the Royal Statistical Society A 129, 1966.
_MEETS = np.array([(bits & ~(bits << 1 | bits >> 7)).bit_count() > 2 for bits in range(256)], np.uint8)
#: A fragment is shorter than this share of the side: 22 pixels of 224.
_FRAGMENT = 0.1
#: The width of the ring inside the bounding box, as a share of the side: 3 pixels of 224. Detectors leave the outermost
#: pixels of a photo blank, so lines that leave the photo end just before the box.
_RING = 1 / 75
#: Distances are clipped at this share of the side, 20 pixels of 224, beyond which all lines are equally wrong.
_FARTHEST = 1 / 11.2
#: Distances are computed on pictures of half the side, in steps of 1/8 pixel.
_HALF, _STEPS = 2, 8


def ink_of(picture: npt.NDArray[np.uint8], *, black: bool, weakest: int) -> Ink:
    """Return the ink of a stored edge map, (H, W) uint8, as (H, W) uint8 of 0 and 1.

    Args:
        picture: The edge map.
        black: Whether ink is black on white, else white on black.
        weakest: The minimum strength of an edge, 1..255.
    """
    return ((picture <= 255 - weakest) if black else (picture >= weakest)).astype(np.uint8)


def decode_map(content: bytes) -> npt.NDArray[np.uint8]:
    """Decode a stored edge map, a square PNG of 8 bits, grey or of equal channels: (S, S) uint8.

    Raises:
        FormatError: `not an edge map`: the bytes are something else, or damaged.
    """
    if not content.startswith(_PNG) or content[16:20] != content[20:24] or len(content) < _LEAST_PNG:
        raise FormatError("not an edge map", f"bytes that begin with {content[:8]!r}, where a square PNG was expected")
    if (side := int.from_bytes(content[16:20], "big")) > _LARGEST:
        raise FormatError("not an edge map", f"{side:,} pixels wide, where at most {_LARGEST:,} were expected")
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if picture is None or picture.dtype != np.uint8:
        raise FormatError("not an edge map", f"a PNG of {len(content):,} bytes that is damaged or not of 8 bits")
    return np.asarray(picture if picture.ndim == 2 else picture[:, :, 0], np.uint8)


def measure(maps: Iterable[Ink]) -> dict[str, Column]:
    """Measure N edge maps, (H, W) uint8 of 0 and 1, each independently.

    Returns:
        {name: (N,) float64}:
        `density`: share of the pixels that are ink;
        `entropy`: of the picture's pixels in bits, see `sketchdata.entropy`;
        `fragments`: number of lines shorter than a tenth of the side. Lines end where they meet, so that texture counts
        as many short lines;
        `loose`: share of the ink that is not in a longer line;
        `border`: number of separate places where ink touches or follows the sides of its bounding box. The picture is
        cropped to its edges, so an isolated object touches each side about once, while objects cut off by the photo's
        frame and background lines end there.
    """
    rows = [(ink.size, int(np.count_nonzero(ink)), *_fragments(ink), _border_places(ink)) for ink in maps]
    pixels, inked, fragments, loose, border = np.array(rows, np.int64).reshape(-1, 5).T
    entropy = np.empty(len(rows), np.float64)
    for each in np.unique(pixels).tolist():
        entropy[pixels == each] = entropies(inked[pixels == each], pixels=each)
    return {
        "density": inked / pixels,
        "entropy": entropy,
        "fragments": fragments.astype(np.float64),
        "loose": loose / np.maximum(inked, 1),
        "border": border.astype(np.float64),
    }


def _fragments(ink: Ink) -> tuple[int, int]:
    """Return the number of fragments of (H, W) ink, and of its pixels that are not in a longer line."""
    neighbours = cv2.filter2D(ink, cv2.CV_8U, _NEIGHBOURS, borderType=cv2.BORDER_CONSTANT)
    meetings = np.asarray(cv2.LUT(neighbours, _MEETS), np.uint8) & ink
    # Remove neighbours too: otherwise the lines that meet there would still touch at the corners.
    lines = ink & (1 - np.asarray(cv2.dilate(meetings, np.ones((3, 3), np.uint8)), np.uint8))
    _, _, statistics, _ = cv2.connectedComponentsWithStats(lines, connectivity=8)
    lengths = statistics[1:, cv2.CC_STAT_AREA]
    long = lengths >= _FRAGMENT * max(ink.shape)
    return int((~long).sum()), int(np.count_nonzero(ink)) - int(lengths[long].sum())


def _border_places(ink: Ink) -> int:
    """Count the 8-connected pieces of (H, W) ink within the ring along its bounding box."""
    left, top, width, height = cv2.boundingRect(ink)
    if not width:
        return 0
    box, ring = ink[top : top + height, left : left + width].copy(), max(round(_RING * max(ink.shape)), 1)
    box[ring : max(height - ring, 0), ring : max(width - ring, 0)] = 0
    return int(cv2.connectedComponents(box, connectivity=8)[0]) - 1


@dataclass(frozen=True, kw_only=True)
class Templates:
    """M pictures to compare others with, with P pixels each, at half the side.

    Attributes:
        ink: (M, P) uint8 of 0 and 1.
        distance: (M, P) uint8, from each pixel to the nearest ink, in eighths of a pixel, clipped.
        side: Side of the full pictures, in pixels.
    """

    ink: Ink
    distance: npt.NDArray[np.uint8]
    side: int


def templates(maps: Sequence[Ink]) -> Templates:
    """Prepare (H, W) pictures of one size, with ink centred and scaled in the same way, for comparison."""
    halves = [_half(ink) for ink in maps]
    side = max(maps[0].shape)
    return Templates(
        ink=np.stack(halves).reshape(len(maps), -1),
        distance=np.stack([_distance(half, side) for half in halves]).reshape(len(maps), -1),
        side=side,
    )


def drawing_distances(maps: Sequence[Ink], drawings: Templates, *, nearest: int) -> Column:
    """Return the distances of N edge maps to the most similar drawings: (N,) float64, in pixels.

    The distance of two pictures is the larger of the two chamfer distances: the mean over the ink of one picture of the
    distance to the nearest ink of the other, in pixels, clipped at 20 of 224. With the mean of the two, a picture full
    of ink would be similar to everything, since every line has ink next to it there. A picture without ink has the
    maximum distance to every other.

    Sources: Barrow, Tenenbaum, Bolles, Wolf, Parametric Correspondence and Chamfer Matching, IJCAI 1977; Borgefors,
    Hierarchical Chamfer Matching, PAMI 1988; the larger of the two: Dubuisson and Jain, A Modified Hausdorff Distance
    for Object Matching, ICPR 1994. Distances to the nearest ink are exact (Euclidean), then rounded.

    Args:
        maps: (H, W) uint8, of the size of the drawings.
        drawings: M drawings of the maps' class.
        nearest: The number of nearest drawings to average over; all if there are fewer.
    """
    own = templates(maps)
    there = _mean_distances(own.ink, drawings.distance, own.side)
    back = _mean_distances(drawings.ink, own.distance, own.side).T
    likest = np.sort(np.maximum(there, back), axis=1)[:, :nearest]
    distances: Column = likest.mean(axis=1) * (_HALF / _STEPS)
    return distances


def _mean_distances(ink: Ink, distance: npt.NDArray[np.uint8], side: int) -> Column:
    """Return the means of B distance maps, (B, P), over the ink of A pictures, (A, P): (A, B), in steps."""
    # Integers with sums below 2^24 are exact in float32, in any order of addition, so that the matrix product is the
    # same # on every machine and with any number of threads.
    sums = (ink.astype(np.float32) @ distance.astype(np.float32).T).astype(np.float64)
    counts = np.count_nonzero(ink, axis=1)[:, None]
    return np.where(counts, sums / np.maximum(counts, 1), _farthest(side))


def _half(ink: Ink) -> Ink:
    """Return (H, W) ink at half the side, rounded up; a pixel has ink if one of its four pixels has."""
    height, width = (-(-length // _HALF) * _HALF for length in ink.shape)
    padded = np.zeros((height, width), np.uint8)
    padded[: ink.shape[0], : ink.shape[1]] = ink
    half: Ink = padded.reshape(height // _HALF, _HALF, width // _HALF, _HALF).max(axis=(1, 3))
    return half


def _distance(half: Ink, side: int) -> npt.NDArray[np.uint8]:
    farthest = _farthest(side)
    if not half.any():
        return np.full(half.shape, farthest, np.uint8)
    exact = np.asarray(cv2.distanceTransform(1 - half, cv2.DIST_L2, cv2.DIST_MASK_PRECISE))
    steps: npt.NDArray[np.uint8] = np.minimum(np.rint(_STEPS * exact), farthest).astype(np.uint8)
    return steps


def _farthest(side: int) -> int:
    return min(round(_STEPS * _FARTHEST * side / _HALF), 255)


def score(
    measures: Mapping[str, Column], label: npt.NDArray[np.uint16], beyond: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """Return the messiness of N edge maps, the mean of their ranks within their classes: (N,) float64, 0..1.

    The rank of a map by a measure is the share of the class's maps below it, where equal ones count half: between 0 and
    1, and 0.5 for the median map. The score is the mean of the ranks over the available measures of `SCORED`, so it
    never decreases when a measure increases. Maps beyond the absolute limits have score 1 and do not affect the ranks
    of the others.

    Args:
        measures: {name: (N,) float64} of SCORED; NaN for all maps of a class without that measure.
        label: (N,) uint16, the class.
        beyond: (N,) bool, whether a map is beyond the absolute limits.
    """
    found = np.full(len(label), WORST)
    within = np.flatnonzero(~beyond)
    rows = within[np.argsort(label[within], kind="stable")]
    bounds = np.searchsorted(label[rows], np.unique(label[rows]))
    for own in np.split(rows, bounds[1:]):
        columns = [measures[name][own] for name in SCORED]
        found[own] = np.mean([_ranks(column) for column in columns if not np.isnan(column).any()], axis=0)
    return found


def _ranks(values: Column) -> Column:
    _, index, equal = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Column = ((np.cumsum(equal) - equal / 2) / len(values))[index]
    return ranks
