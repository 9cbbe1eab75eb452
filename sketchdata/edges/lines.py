"""From edge strength to an edge map: thinning to lines one pixel wide, and centring on a square page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
from skimage.morphology import skeletonize

from sketchdata.errors import ConfigError, FormatError

# Edges one pixel wide: non-maximum suppression across the edge, then thinning of what is still broad.

#: Pixels of smoothing before an edge's direction is read: the deviation of the triangle of radius 4 that Structured
#: Edges takes.
_DIRECTION_SIGMA = 2.0
#: A pixel stays if it is within 1 % of its neighbours; the same as Structured Edges' `m`.
_TOLERANCE = 1.01
#: What is dropped by default is weaker: 5 % of 255.
WEAKEST = 13
#: scikit-image's, with the types that it does not state.
_skeleton: Callable[[npt.NDArray[np.bool_]], npt.NDArray[np.bool_]] = skeletonize


def thin(edges: npt.NDArray[np.uint8], weakest: int = WEAKEST) -> npt.NDArray[np.uint8]:
    """Keep the ridges of an edge map, one pixel wide, with their strength.

    Args:
        edges: (H, W) uint8 edge strength.
        weakest: Edges below it are dropped; by default 5 % of 255.

    Returns:
        (H, W) uint8, 0 where there is no edge.

    Source: non-maximum suppression as in Dollár and Zitnick's `edgesNms`, with the direction across the edge as that
    in which the smoothed map bends most, by its Hessian; Zhang and Suen's thinning (1984) for plateaus.
    """
    strength = edges.astype(np.float32)
    ridge = _is_ridge(strength) & (edges >= weakest)
    # OpenCV's thinning is four times slower and leaves out the outermost pixels.
    return np.where(_skeleton(ridge), edges, np.uint8(0))


def _is_ridge(strength: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Return where (H, W) strengths are not below those at distance 1 to either side across the edge."""
    dx, dy = cv2.polarToCart(np.ones_like(strength), _across(strength))
    y, x = np.indices(strength.shape, dtype=np.float32, sparse=True)
    one, other = (
        np.asarray(cv2.remap(strength, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
        for at in ((x + dx, y + dy), (x - dx, y - dy))
    )
    ridge: npt.NDArray[np.bool_] = strength * _TOLERANCE >= np.maximum(one, other)
    return ridge


def _across(strength: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the angle in radians, (H, W) float32, in which the strength bends most, up or down."""
    smooth = cv2.GaussianBlur(strength, (0, 0), _DIRECTION_SIGMA)
    xx, xy, yy = (np.asarray(cv2.Sobel(smooth, cv2.CV_32F, *order, ksize=3)) for order in ((2, 0), (1, 1), (0, 2)))
    # Half of the phase is the eigenvector of the larger eigenvalue, and the smaller one is further from 0 if their sum
    # is below 0: on a crest. At the foot of an edge the larger one is, where the smaller would point along the edge.
    turn = np.where(xx + yy < 0, np.float32(np.pi / 2), np.float32(0))
    double = np.asarray(cv2.phase(cv2.subtract(xx, yy), cv2.add(xy, xy)), np.float32)
    angle: npt.NDArray[np.float32] = double / 2 + turn
    return angle


# An edge map as a picture of the data set: cropped to its edges, centred, in ink on paper.

Ink = Literal["black", "white"]
EdgeMap = npt.NDArray[np.uint8]


def centre(
    edges: EdgeMap, size: int = 224, fill: float = 0.9, ink: Ink = "black", channels: Literal[1, 3] = 3
) -> EdgeMap:
    """Scale the edges' bounding box so that its longer side takes `fill` of a square picture, and centre it.

    Lines neither fade when the map is made smaller, since each pixel takes the strongest edge that falls on it, nor
    broaden when it is made larger, since it is thinned again.

    Args:
        edges: (H, W) uint8 edge strength, 0 where there is none: thinned, or the box is that of the noise.
        size: Side of the picture in pixels.
        fill: Share of the side, above 0 and at most 1. EdgeMap-345C: about 0.9.
        ink: black: on white paper, as drawings are; white: on black.
        channels: 3: three equal channels; 1: none but the one.

    Returns:
        (size, size, 3) or (size, size) uint8.

    Raises:
        FormatError: `no edges`.
        ConfigError: An argument is outside its range.
    """
    if size < 1 or not 0 < fill <= 1 or ink not in ("black", "white") or channels not in (1, 3):
        raise ConfigError(
            f"expected a size of at least 1, a fill in (0, 1], black or white ink and 1 or 3 channels, "
            f"not {size}, {fill}, {ink}, {channels}"
        )
    scaled = _scaled(_bounded(edges), max(round(fill * size), 1))
    height, width = scaled.shape
    top, left = (size - height) // 2, (size - width) // 2
    picture = np.zeros((size, size), np.uint8)
    picture[top : top + height, left : left + width] = scaled
    picture = picture if ink == "white" else 255 - picture
    return picture if channels == 1 else np.repeat(picture[:, :, None], 3, axis=2)


def _bounded(edges: EdgeMap) -> EdgeMap:
    """Return the part of (H, W) inside the edges' bounding box."""
    rows, columns = np.flatnonzero(edges.any(axis=1)), np.flatnonzero(edges.any(axis=0))
    if not len(rows):
        raise FormatError("no edges", f"on a picture of {edges.shape[1]} × {edges.shape[0]}")
    return edges[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _scaled(edges: EdgeMap, longer: int) -> EdgeMap:
    """Scale (H, W) so that the longer side has `longer` pixels; lines keep their width and strength."""
    height, width = edges.shape
    scale = longer / max(height, width)
    high, wide = max(round(height * scale), 1), max(round(width * scale), 1)
    if scale > 1:
        enlarged = np.asarray(cv2.resize(edges, (wide, high), interpolation=cv2.INTER_LINEAR), np.uint8)
        return thin(enlarged, weakest=1)
    scaled = np.zeros((high, wide), np.uint8)
    y, x = np.nonzero(edges)
    np.maximum.at(scaled, (y * high // height, x * wide // width), edges[y, x])
    return scaled
