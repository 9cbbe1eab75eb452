"""1-pixel lines of many drawings at once, on any device: every pixel of every segment is computed and scattered.

Bit-equal to OpenCV's 8-connected line between whole points, and so to the fast raster: order the ends left to right; a
is the longer of their two ways and b the shorter; for i = 0..a the coordinate of the longer one moves by i and that of
the shorter one by (2·b·i + a − 1) // (2·a).
"""

from __future__ import annotations

import torch
from torch import Tensor


def draw_segments(ends: Tensor, sketch: Tensor, count: int, size: int) -> Tensor:
    """Draw segments on square bitmaps.

    Args:
        ends: (K, 4) integers x0, y0, x1, y1 in 0..size - 1; equal ends give a single pixel.
        sketch: (K,) integers, the bitmap that each segment belongs to, 0..count - 1.
        count: Number of bitmaps B.
        size: Their side S in pixels.

    Returns:
        (B, S, S) uint8 on the device of `ends`, rows downwards, ink 255 on background 0.
    """
    bitmaps = torch.zeros(count * size * size, dtype=torch.uint8, device=ends.device)
    places, _ = _pixels(ends, sketch, size)
    return bitmaps.index_fill_(0, places, 255).view(count, size, size)


def draw_numbered(ends: Tensor, sketch: Tensor, numbers: Tensor, count: int, size: int) -> Tensor:
    """Draw segments, each in a number of its own; where several cross, the largest number is seen.

    Args:
        ends: (K, 4) integers, as of `draw_segments`.
        sketch: (K,) integers, the bitmap that each segment belongs to.
        numbers: (K,) int32, from 1 on.
        count: Number of bitmaps B.
        size: Their side S in pixels.

    Returns:
        (B, S, S) int32 on the device of `ends`, 0 where nothing is drawn.
    """
    bitmaps = torch.zeros(count * size * size, dtype=torch.int32, device=ends.device)
    places, segment = _pixels(ends, sketch, size)
    return bitmaps.scatter_reduce_(0, places, numbers[segment], "amax").view(count, size, size)


def _pixels(ends: Tensor, sketch: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return where the pixels of all segments lie among the bitmaps', some repeatedly, and whose: (M,), (M,) int64."""
    x0, y0, x1, y1 = ends.to(torch.int32).unbind(1)
    leftwards = x1 < x0
    x0, x1 = torch.where(leftwards, x1, x0), torch.where(leftwards, x0, x1)
    y0, y1 = torch.where(leftwards, y1, y0), torch.where(leftwards, y0, y1)
    dx, dy = x1 - x0, y1 - y0
    flat = dx >= dy.abs()
    longer, shorter = torch.where(flat, dx, dy.abs()), torch.where(flat, dy.abs(), dx)
    # How far a pixel lies from the last one in memory, along the longer and along the shorter axis.
    down = torch.sign(dy) * size
    along, across = torch.where(flat, 1, down), torch.where(flat, down, 1)
    first = sketch.to(torch.int64) * (size * size) + (y0 * size + x0)

    lengths = longer.to(torch.int64) + 1
    segment = torch.repeat_interleave(lengths)
    starts = lengths.cumsum(0) - lengths
    i = torch.arange(len(segment), device=ends.device, dtype=torch.int32) - starts.to(torch.int32)[segment]
    longer, shorter = longer[segment], shorter[segment]
    # All but the divisor of a single pixel are positive, so cutting off is rounding down.
    minor = torch.div(2 * shorter * i + longer - 1, (2 * longer).clamp_(min=1), rounding_mode="trunc")
    return first[segment] + along[segment] * i + across[segment] * minor, segment
