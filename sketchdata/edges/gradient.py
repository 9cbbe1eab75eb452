"""The smoothed gradient of a colour photo, in grey levels, on which canny and sobel stand."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from sketchdata.photos import Photo

Plane = npt.NDArray[np.float32]


def gradient(photo: Photo, sigma: float) -> tuple[Plane, Plane]:
    """Return (H, W) float32 ∂x and ∂y of each pixel's steepest channel, as in Canny's detector for colour.

    The scale is that of steps: over a straight step of c grey levels the magnitude peaks at about c, whatever sigma.

    Args:
        photo: (H, W, 3) uint8.
        sigma: Standard deviation in pixels of the Gaussian that smooths first.
    """
    smooth = cv2.GaussianBlur(photo.astype(np.float32), (0, 0), sigma)
    # Sobel's kernel of 3 × 3 gives four times the difference of the neighbours at ±1, which of a unit step smoothed by
    # sigma is erf(1 / (σ √2)).
    scale = 1 / (4 * math.erf(1 / (sigma * math.sqrt(2))))
    (dx, dy), *others = (_derivatives(channel, scale) for channel in cv2.split(smooth))
    steepest = dx * dx + dy * dy
    for other_dx, other_dy in others:
        squared = other_dx * other_dx + other_dy * other_dy
        steeper = squared > steepest
        for kept, other in ((dx, other_dx), (dy, other_dy), (steepest, squared)):
            np.copyto(kept, other, where=steeper)
    return dx, dy


def _derivatives(channel: cv2.typing.MatLike, scale: float) -> tuple[Plane, Plane]:
    """Return (H, W) float32 ∂x and ∂y of one channel."""
    dx, dy = (
        np.asarray(cv2.Sobel(channel, cv2.CV_32F, *order, ksize=3, scale=scale, borderType=cv2.BORDER_REFLECT))
        for order in ((1, 0), (0, 1))
    )
    return dx.astype(np.float32, copy=False), dy.astype(np.float32, copy=False)


def to_uint8(values: npt.ArrayLike) -> npt.NDArray[np.uint8]:
    """Round to 0..255, clipping. Shape kept."""
    rounded: npt.NDArray[np.uint8] = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return rounded
