"""When and which way each pixel of a drawing was drawn, as one number a pixel and as channels of a picture.

A number holds the order in its upper byte, so that the largest number is the latest, and the direction below.
"""

from __future__ import annotations

import torch
from torch import Tensor

#: Ink, order, and the two parts of the direction.
CHANNELS = 4
_INK, _LAST = 255, 255
_MIDDLE, _REACH = 128, 127


def numbered(ways: Tensor, order: Tensor) -> Tensor:
    """Return a number for each way from point to point.

    Args:
        ways: (K, 2) float32, x and y; no way at all, a dot, has no direction.
        order: (K,) float32, 0 for the first way of its drawing, 1 for the last.

    Returns:
        (K,) int32, at least 65,536.
    """
    unit = ways / ways.norm(dim=1, keepdim=True).clamp(min=1e-6)
    x, y = (_MIDDLE + _REACH * unit).round().to(torch.int32).unbind(1)
    numbers: Tensor = ((1 + order * (_LAST - 1)).round().to(torch.int32) << 16) | (x << 8) | y
    return numbers


def stroke_channels(numbers: Tensor) -> Tensor:
    """Return numbers as channels: (B, 1, S, S) int32, 0 on the background → (B, 4, S, S) uint8."""
    parts = [(numbers > 0) * _INK, numbers >> 16, (numbers >> 8) & 255, numbers & 255]
    return torch.cat(parts, 1).to(torch.uint8)


def to_floats(channels: Tensor) -> Tensor:
    """Return channels as networks take them, 0 on the background: (B, 4, S, S) uint8 → float32.

    Ink and order are in 0..1, the parts of the direction in −1..1.
    """
    values = channels.float()
    ink = values[:, :1] / _INK
    return torch.cat([ink, values[:, 1:2] / _LAST, (values[:, 2:] - _MIDDLE) / _REACH * ink], 1)
