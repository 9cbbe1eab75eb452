"""Histograms of oriented gradients: what a picture was described by before there were learnt features.

By OpenCV's descriptor rather than scikit-image's: both are HOG, but OpenCV shares each pixel among the neighbouring
cells as the paper does, and is twenty times as fast on 28 × 28 pixels.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from sketchdata.errors import ConfigError

#: Cells a side: 4 pixels each of the official 28 × 28 bitmaps, 32 each of 224 × 224.
CELLS = 7
#: Bins over 180°, and cells a side of a block, as in the paper.
ORIENTATIONS = 9
BLOCK = 2


def hog_width(cells: int = CELLS) -> int:
    """Return F, the numbers in a feature: blocks × cells of a block × orientations; 1,296 by default."""
    return (cells - BLOCK + 1) ** 2 * BLOCK**2 * ORIENTATIONS


def hog_features(bitmaps: npt.NDArray[np.uint8], *, cells: int = CELLS) -> npt.NDArray[np.float32]:
    """Return the histograms of oriented gradients of bitmaps.

    Unsigned gradients in 9 bins over 180°, weighted by their length and shared among the two nearest bins and the four
    nearest cells; blocks of 2 × 2 cells that overlap by one, each weighted towards its middle and normalised by L2-Hys
    with its clip at 0.2. The values of a picture without ink are 0. A feature takes 5 kB, so describe many bitmaps some
    thousands at a time.

    Source: Dalal and Triggs, Histograms of Oriented Gradients for Human Detection, CVPR 2005; OpenCV's
    `cv::HOGDescriptor`. The paper on sketches gives no parameters.

    Args:
        bitmaps: (N, S, S) uint8.
        cells: Cells a side, at least 2; S is to be a multiple.

    Returns:
        (N, F) float32, 0..1, with F from `hog_width`.

    Raises:
        ConfigError: The bitmaps are not squares of bytes, or their side is no multiple of `cells`.
    """
    if bitmaps.ndim != 3 or bitmaps.shape[1] != bitmaps.shape[2] or bitmaps.dtype != np.uint8:
        raise ConfigError(f"bitmaps of (N, S, S) uint8 are needed, not {bitmaps.dtype} of shape {bitmaps.shape}")
    side = bitmaps.shape[1]
    if cells < BLOCK or side < cells or side % cells:
        raise ConfigError(
            f"{side} pixels do not divide into {cells} cells a side: take a multiple of the cells, from 2"
        )
    descriptor = _descriptor(side, side // cells)
    features = np.empty((len(bitmaps), hog_width(cells)), np.float32)
    for row, bitmap in enumerate(bitmaps):
        features[row] = descriptor.compute(np.ascontiguousarray(bitmap)).ravel()
    return features


def _descriptor(side: int, cell: int) -> Any:
    block = BLOCK * cell
    sides = (side, side), (block, block), (cell, cell), (cell, cell)
    # In order: aperture, sigma (its own choice), norm (L2-Hys) and its clip, and no square roots of the values.
    return cv2.HOGDescriptor(*sides, ORIENTATIONS, 1, -1, 0, 0.2, False)
