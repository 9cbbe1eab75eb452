"""Sobel's gradient magnitude, the simplest detector."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sketchdata.edges.gradient import derivatives, steepness
from sketchdata.photos import Photo

#: Pixels of smoothing, enough to hide the grain of a photo.
SIGMA = 1.0


def sobel(photo: Photo) -> npt.NDArray[np.uint8]:
    """Return the gradient's magnitude in grey levels: (H, W, 3) uint8 RGB → (H, W) uint8, not thinned.

    Source: Sobel and Feldman, "A 3×3 isotropic gradient operator for image processing", 1968.
    """
    return steepness(*derivatives(photo, SIGMA))
