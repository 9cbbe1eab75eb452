"""An edge map as a picture of the data set: cropped to its edges, centred, in ink on paper."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from sketchdata.edges.thinning import thin
from sketchdata.errors import ConfigError, FormatError

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
