"""Edges one pixel wide: non-maximum suppression across the edge, then thinning of what is still broad."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt
from skimage.morphology import skeletonize

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
