"""Small changes of drawings before they are rastered, and the channels that say how a drawing was drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sketchdata.drawings.drawing import MAX_COORDINATE

# When and which way each pixel of a drawing was drawn, as one number a pixel and as channels of a picture.
# A number holds the order in its upper byte, so that the largest number is the latest, and the direction below.

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


# Small changes of drawings, made on their points before they are rastered, so that lines stay as thin as they were.

_CENTRE = MAX_COORDINATE / 2


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How much drawings are changed; each drawing by its own amounts, drawn uniformly.

    Attributes:
        rotate: Degrees to either side.
        stretch: Largest share by which each axis grows or shrinks: 0.1 for 0.9 to 1.1.
        shift: Largest move to either side, as a share of the square's side.
        mirror: Probability of being mirrored left to right.
        drop_strokes: Probability of each stroke to be left out; a drawing keeps one at least.
    """

    rotate: float = 8.0
    stretch: float = 0.1
    shift: float = 0.05
    mirror: float = 0.5
    drop_strokes: float = 0.0

    def affine(self, count: int, random: torch.Generator) -> Tensor:
        """Return (B, 2, 3) float32 maps of the 0..255 square, about its centre, drawn on the CPU for any device."""
        amounts = torch.rand(count, 6, generator=random)
        between = 2 * amounts - 1
        angle = between[:, 0] * math.radians(self.rotate)
        stretch = 1 + between[:, 1:3] * self.stretch
        stretch[:, 0] *= torch.where(amounts[:, 3] < self.mirror, -1.0, 1.0)
        cos, sin = angle.cos(), angle.sin()
        turn = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
        linear = turn * stretch[:, None, :]
        shift = between[:, 4:6] * (self.shift * MAX_COORDINATE)
        moved = _CENTRE + shift - linear.sum(2) * _CENTRE
        return torch.cat([linear, moved[:, :, None]], 2)

    def kept_strokes(self, owner: Tensor, count: int, random: torch.Generator) -> Tensor:
        """Choose the strokes that stay: all by default, and of each drawing one at least.

        Args:
            owner: (S,) int64, the drawing of each stroke, 0..count - 1, rising.
            count: Number of drawings B.
            random: Draws on the CPU.

        Returns:
            (S,) bool.
        """
        amounts = torch.rand(len(owner), generator=random).to(owner.device)
        best = torch.full((count,), -1.0, device=owner.device).scatter_reduce(0, owner, amounts, "amax")
        return (amounts >= self.drop_strokes) | (amounts == best[owner])


def moved(points: Tensor, owner: Tensor, affine: Tensor) -> Tensor:
    """Map points, and bring each drawing that left the square back into it: moved, and shrunk only where it must be.

    Args:
        points: (P, 2) of any type, x and y in 0..255.
        owner: (P,) int64, the drawing of each point.
        affine: (B, 2, 3) float32.

    Returns:
        (P, 2) float32 in 0..255.
    """
    own = affine[owner]
    mapped = (own[:, :, :2] * points.to(torch.float32)[:, None, :]).sum(2) + own[:, :, 2]
    index = owner[:, None].expand(-1, 2)
    bounds = torch.zeros(len(affine), 2, device=mapped.device)
    low = bounds.scatter_reduce(0, index, mapped, "amin", include_self=False)
    high = bounds.scatter_reduce(0, index, mapped, "amax", include_self=False)
    shrink = (MAX_COORDINATE / (high - low).amax(1, keepdim=True).clamp(min=1e-6)).clamp(max=1)
    # Where the drawing lies once shrunk, pushed inside by as little as will do.
    start = (low * shrink + (1 - shrink) * _CENTRE).clamp(min=0)
    start = torch.minimum(start, MAX_COORDINATE - (high - low) * shrink)
    inside = (mapped - low[owner]) * shrink[owner] + start[owner]
    return inside.clamp_(0, MAX_COORDINATE)
