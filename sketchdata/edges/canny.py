"""Canny's detector with thresholds from the photo itself.

Source: Canny, "A computational approach to edge detection", PAMI 1986. The high threshold is Otsu's ("A threshold
selection method from gray-level histograms", 1979) and the low one half of it, as Fang, Yue and Yu have it ("The study
on an application of Otsu method in Canny operator", ISIP 2009, pp. 109–112); here Otsu sees the gradient's magnitudes,
which the thresholds are compared with. He parts edges from background whether edges are many, as in a street, or few,
as in a cut-out on white, where a fixed percentile would take in noise.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from sketchdata.edges.gradient import FINENESS, derivatives, steepness
from sketchdata.photos import Photo

#: Pixels of smoothing: Canny's usual √2.
SIGMA = math.sqrt(2)
#: Grey levels below which a step is sensor noise or compression, so that a blank photo has no edges.
LEAST_STEP = 6


def thresholds(magnitude: npt.NDArray[np.uint8]) -> tuple[float, float]:
    """Return the low and the high threshold, in grey levels, for (H, W) uint8 magnitudes."""
    otsu, _ = cv2.threshold(magnitude, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    high = max(float(otsu), LEAST_STEP)
    return high / 2, high


def canny(photo: Photo) -> npt.NDArray[np.uint8]:
    """Return the gradient's magnitude in grey levels where Canny finds an edge, 0 elsewhere.

    Args:
        photo: (H, W, 3) uint8 RGB.

    Returns:
        (H, W) uint8; edges are already thin.
    """
    dx, dy = derivatives(photo, SIGMA)
    magnitude = steepness(dx, dy)
    low, high = (FINENESS * threshold for threshold in thresholds(magnitude))
    # Of several channels OpenCV, too, follows the steepest.
    edges = cv2.Canny(dx, dy, low, high, L2gradient=True)
    return np.asarray(cv2.bitwise_and(magnitude, edges), np.uint8)
