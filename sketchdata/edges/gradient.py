"""The smoothed gradient of a colour photo, in grey levels, on which canny and sobel stand."""

from __future__ import annotations

import functools
import math

import cv2
import numpy as np
import numpy.typing as npt

from sketchdata.photos import Photo

#: Derivatives are whole numbers of this many parts of a grey level: fine enough, and four times as fast as float32.
FINENESS = 8

#: (H, W, 3) int16, in 1/FINENESS of a grey level.
Derivatives = npt.NDArray[np.int16]
_Kernel = npt.NDArray[np.float32]


def derivatives(photo: Photo, sigma: float) -> tuple[Derivatives, Derivatives]:
    """Return ∂x and ∂y of every channel, smoothed: (H, W, 3) int16 each, in 1/FINENESS of a grey level.

    The scale is that of steps: over a straight step of c grey levels the magnitude peaks at about c, whatever sigma.

    Args:
        photo: (H, W, 3) uint8.
        sigma: Standard deviation in pixels of the Gaussian that smooths first.
    """
    across, along = _kernels(sigma)
    dx = cv2.sepFilter2D(photo, cv2.CV_16S, across, along, borderType=cv2.BORDER_REFLECT)
    dy = cv2.sepFilter2D(photo, cv2.CV_16S, along, across, borderType=cv2.BORDER_REFLECT)
    return np.asarray(dx, np.int16), np.asarray(dy, np.int16)


@functools.cache
def _kernels(sigma: float) -> tuple[_Kernel, _Kernel]:
    """Return the filters across an edge and along it: a Gaussian of three deviations to either side, then Sobel's."""
    gaussian = np.asarray(cv2.getGaussianKernel(2 * round(3 * sigma) + 1, sigma), np.float64)[:, 0]
    # Sobel's kernel of 3 × 3 gives four times the difference of the neighbours at ±1, which of a unit step smoothed by
    # sigma is erf(1 / (σ √2)).
    scale = FINENESS / (4 * math.erf(1 / (sigma * math.sqrt(2))))
    across, along = np.convolve(gaussian, np.array([-scale, 0, scale])), np.convolve(gaussian, np.array([1.0, 2, 1]))
    return across.astype(np.float32), along.astype(np.float32)


def steepness(dx: Derivatives, dy: Derivatives) -> npt.NDArray[np.uint8]:
    """Return the magnitude of each pixel's steepest channel, as in Canny's detector for colour.

    Args:
        dx: ∂x, (H, W, 3) int16 in 1/FINENESS of a grey level.
        dy: ∂y, likewise.

    Returns:
        (H, W) uint8, in grey levels.
    """
    channels = zip(cv2.split(dx), cv2.split(dy), strict=True)
    steepest, *others = (cv2.magnitude(x.astype(np.float32), y.astype(np.float32)) for x, y in channels)
    for other in others:
        steepest = cv2.max(steepest, other)
    return np.asarray(cv2.convertScaleAbs(steepest, alpha=1 / FINENESS), np.uint8)


def to_uint8(values: npt.ArrayLike) -> npt.NDArray[np.uint8]:
    """Round to 0..255, clipping. Shape kept."""
    rounded: npt.NDArray[np.uint8] = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return rounded
