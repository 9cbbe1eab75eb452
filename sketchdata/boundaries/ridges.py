"""Non-maximum suppression as the boundary benchmark has it, before a soft edge map is compared at any threshold.

Edge maps of a data set go through `sketchdata.edges.thin`, whose lines are one pixel wide everywhere. What people
publish is of this one, under which a network's ODS comes out higher by half a hundredth.

Source: `edgesNms` of Dollár's Structured Edge Detection Toolbox with the settings under which HED and its successors
are evaluated: `E = convTri(E, 1)`, directions from `convTri(E, 4)`, `edgesNmsMex(E, O, 1, 5, 1.01)`.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Strength = npt.NDArray[np.uint8]
_Plane = npt.NDArray[np.float32]

#: A pixel stays if it is within 1 % of its neighbours across the edge.
_TOLERANCE = np.float32(1.01)
#: Pixels from the photo's border over which strength fades in: networks see edges there that are none.
_FADE = 5
#: Triangles of radius 1 and 4.
_FINE = np.array([1, 2, 1], np.float32) / np.float32(4)
_COARSE = np.array([1, 2, 3, 4, 5, 4, 3, 2, 1], np.float32) / np.float32(25)


def ridges(strength: Strength) -> Strength:
    """Keep the ridges of an edge map, nearly one pixel wide: (H, W) uint8 → (H, W) uint8, 0 elsewhere."""
    fine = _smoothed(strength.astype(np.float32), _FINE)
    dx, dy = _across(_smoothed(fine, _COARSE))
    height, width = fine.shape
    y, x = np.indices(fine.shape, dtype=np.float32, sparse=True)
    ahead, behind = (
        cv2.remap(fine, *_inside(x + side * dx, y + side * dy, width, height), cv2.INTER_LINEAR) for side in (1, -1)
    )
    kept = np.where(fine * _TOLERANCE >= np.maximum(ahead, behind), fine, np.float32(0))
    kept *= _fade(height)[:, None] * _fade(width)
    found: Strength = np.rint(kept).astype(np.uint8)
    return found


def _smoothed(plane: _Plane, kernel: _Plane) -> _Plane:
    return np.asarray(cv2.sepFilter2D(plane, -1, kernel, kernel, borderType=cv2.BORDER_REFLECT), np.float32)


def _across(smooth: _Plane) -> tuple[_Plane, _Plane]:
    """Return the unit vector across the edge at each pixel of an (H, W) map: (H, W) dx and dy."""
    if min(smooth.shape) < 2:
        # Too narrow for a derivative: the edge runs along it.
        along_x = np.float32(smooth.shape[0] > 1)
        return np.full_like(smooth, along_x), np.full_like(smooth, 1 - along_x)
    by_y, by_x = np.gradient(smooth)
    xx = np.gradient(by_x, axis=1)
    yy, xy = np.gradient(by_y)
    # The toolbox takes the arctangent of a quotient; which way along the direction one looks does not matter here. Its
    # sign of 0 is 0, which would leave exactly level lines as broad as they are; no photo has any.
    angle = np.arctan2(np.where(xy > 0, -yy, yy), xx + np.float32(1e-5))
    return np.cos(angle), np.sin(angle)


def _inside(x: _Plane, y: _Plane, width: int, height: int) -> tuple[_Plane, _Plane]:
    return np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)


def _fade(length: int) -> _Plane:
    """Return what strength is multiplied with along a side: 0 at its ends, 1 from five pixels on: (length,)."""
    at = np.arange(length)
    margin = max(min(_FADE, length // 2), 1)
    fade: _Plane = np.minimum(np.minimum(at, length - 1 - at) / margin, 1).astype(np.float32)
    return fade
