"""Edge-preserving resize of bitmap drawings: ink coordinates are mapped, and no pixel is interpolated.

Bilinear resizing blurs lines of one pixel, or breaks them after thresholding. Here each ink pixel maps to one pixel.

Source: Wang et al., "Deep sketch feature for cross-domain image retrieval", Neurocomputing 2016, section 3.1. The text
thins the drawing first, but the results are without thinning, says the caption of Figure 1. Both are supported.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from sketchdata.drawings.drawing import MAX_COORDINATE
from sketchdata.drawings.raster import MAX_SIZE, Bitmaps
from sketchdata.errors import ConfigError

#: Offsets (column, row) to half of a pixel's neighbours: right, below, and both diagonals below.
_NEIGHBOURS = ((1, 0), (0, 1), (1, 1), (-1, 1))


def resize_ink(
    bitmaps: Bitmaps, size: int, *, thinned: bool = False, affine: npt.NDArray[np.float32] | None = None
) -> Bitmaps:
    """Resize, and optionally rotate or mirror, bitmap drawings without interpolation.

    An ink pixel keeps its value; of several that map to one place, the strongest remains. Neighbours that are separated
    by an enlargement or a rotation are joined by a line. A picture that is not square is centred and keeps its aspect
    ratio. A drawing that `affine` moves out of the square is moved back, and scaled down only if necessary.

    Args:
        bitmaps: (N, H, W) uint8, ink above 0 on background 0.
        size: The side S of the results in pixels, 1..4096.
        thinned: Whether lines are first thinned to one pixel (Zhang and Suen, 1984).
        affine: (N, 2, 3), affine maps in the 0..255 square that spans the longer side; None for the identity.

    Returns:
        (N, S, S) uint8; a drawing without ink stays empty.

    Raises:
        ConfigError: `size` is out of its range, or `bitmaps` or `affine` has another shape.
    """
    if not 1 <= size <= MAX_SIZE:
        raise ConfigError(f"the size must be 1 to {MAX_SIZE} pixels, not {size}")
    if bitmaps.ndim != 3 or bitmaps.dtype != np.uint8 or not all(bitmaps.shape[1:]):
        raise ConfigError(f"pixel drawings are (N, H, W) uint8, not {bitmaps.dtype} of shape {bitmaps.shape}")
    if affine is not None and affine.shape != (len(bitmaps), 2, 3):
        raise ConfigError(f"{len(bitmaps):,} drawings need maps of shape ({len(bitmaps)}, 2, 3), not {affine.shape}")
    if thinned and bitmaps.any():
        # Imported here because it is slow to import and rarely needed.
        from skimage.morphology import skeletonize

        skeleton: Callable[[npt.NDArray[np.bool_]], npt.NDArray[np.bool_]] = skeletonize
        bitmaps = np.stack([np.where(skeleton(bitmap > 0), bitmap, np.uint8(0)) for bitmap in bitmaps])
    found = np.zeros((len(bitmaps), size, size), np.uint8)
    owner, rows, columns = np.nonzero(bitmaps)
    if not len(owner):
        return found
    height, width = bitmaps.shape[1:]
    longest = max(height, width)
    xy = np.stack([columns + (longest - width) / 2, rows + (longest - height) / 2], axis=1)
    xy *= MAX_COORDINATE / max(longest - 1, 1)
    if affine is not None:
        own = affine[owner].astype(np.float64)
        xy = _inside((own[:, :, :2] * xy[:, None, :]).sum(2) + own[:, :, 2], owner)
    pixels = np.clip(np.floor(xy * ((size - 1) / MAX_COORDINATE) + 0.5), 0, size - 1).astype(np.int64)
    values = bitmaps[owner, rows, columns]
    number = np.full((len(bitmaps), height + 1, width + 2), -1)
    number[owner, rows, columns + 1] = np.arange(len(owner))
    np.maximum.at(found, (owner, pixels[:, 1], pixels[:, 0]), values)
    for right, down in _NEIGHBOURS:
        other = number[owner, rows + down, columns + 1 + right]
        here = np.flatnonzero(other >= 0)
        there = other[here]
        steps = np.abs(pixels[there] - pixels[here]).max(axis=1)
        apart = steps > 1
        here, there, steps = here[apart], there[apart], steps[apart]
        # The pixels strictly between the two ends.
        pair = np.repeat(np.arange(len(here)), steps - 1)
        place = np.arange(len(pair)) - np.repeat(np.cumsum(steps - 1) - (steps - 1), steps - 1) + 1
        share = (place / steps[pair])[:, None]
        start = pixels[here][pair]
        between = np.floor(start + share * (pixels[there][pair] - start) + 0.5).astype(np.int64)
        fainter = np.minimum(values[here], values[there])[pair]
        np.maximum.at(found, (owner[here][pair], between[:, 1], between[:, 0]), fainter)
    return found


def _inside(xy: npt.NDArray[np.float64], owner: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Move each drawing that left the 0..255 square back, as `training.packed.moved` does for strokes."""
    starts = np.flatnonzero(np.diff(owner, prepend=-1))
    lengths = np.diff(starts, append=len(owner))
    low, high = np.minimum.reduceat(xy, starts), np.maximum.reduceat(xy, starts)
    shrink = np.minimum(MAX_COORDINATE / np.maximum((high - low).max(axis=1, keepdims=True), 1e-6), 1)
    start = np.maximum(low * shrink + (1 - shrink) * (MAX_COORDINATE / 2), 0)
    start = np.minimum(start, MAX_COORDINATE - (high - low) * shrink)
    low, shrink, start = (np.repeat(each, lengths, axis=0) for each in (low, shrink, start))
    inside: npt.NDArray[np.float64] = (xy - low) * shrink + start
    return inside
