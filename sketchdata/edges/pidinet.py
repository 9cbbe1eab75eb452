"""PiDiNet-tiny, the pixel difference network: convolutions over differences of neighbouring pixels.

Source: Su et al., "Pixel difference networks for efficient edge detection", ICCV 2021. Weights of the tiny network with
its attention and dilation modules (CSAM, CDCM) and without them ("tiny-l"); published ODS on BSDS500 at one scale .789
and .787. The weights are the authors', for research only; see `PUBLISHED`.

A pixel difference convolution is linear in the pixels and therefore equals a plain convolution with other weights, as
the paper shows. The weights are converted to plain convolutions when they are loaded.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from sketchdata.edges.networks import Pixels, edge_finder, fill, load_state
from sketchdata.photos.image import Photo

#: {sha256: name} of the authors' files, in `trained_models/` of github.com/hellozhuo/pidinet.
PUBLISHED = {
    "e32b23fff6c1cb9bd4385a1d615023346fc2e3f2f3a8db7f78cc4ce95a14730c": "table5_pidinet-tiny.pth",
    "21b5a975737017676f240dcb7158f6874340f5541ce06ccdb900d8b353a9ab93": "table5_pidinet-tiny-l.pth",
}

#: central (cd), angular (ad) or radial (rd) pixel differences, or a plain convolution (cv).
Difference = Literal["cd", "ad", "rd", "cv"]
_CYCLE: tuple[Difference, ...] = ("cd", "ad", "rd", "cv")
#: The first convolution of each layer, in order; their kinds of difference cycle through _CYCLE ("CARV").
_LAYERS = ("init_block", *(f"block{s}_{b}.conv1" for s in range(1, 5) for b in range(1, 5) if (s, b) != (1, 4)))
DIFFERENCES: dict[str, Difference] = dict(zip(_LAYERS, itertools.cycle(_CYCLE), strict=False))

#: Channels of the four stages, as multiples of the first; of the attention module; and the dilations of the dilation
#: module.
_WIDENING = (1, 2, 4, 4)
_ATTENDED = 4
_DILATIONS = (5, 7, 9, 11)
#: Mean and standard deviation of ImageNet's photos in 0..1, RGB.
_MEAN, _DEVIATION = (np.array(each, np.float32) for each in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))

#: The clockwise predecessor of each pixel in a 3 × 3 patch, in row-major order; the centre is its own.
_BEFORE = (3, 0, 1, 6, 4, 2, 7, 8, 5)
#: Positions of the eight neighbours in a 5 × 5 patch, in row-major order: on the outer ring and on the inner one.
_OUTER, _INNER = (0, 2, 4, 10, 14, 20, 22, 24), (6, 7, 8, 11, 13, 16, 17, 18)

#: Pixels of mirrored padding, beyond which zero padding makes little difference.
_MARGIN = 16


def load_pidinet(
    weights: Path, sha256: str | None = None, *, scales: Sequence[float] = (1.0,), device: str = "cpu"
) -> Callable[[Photo], npt.NDArray[np.uint8]]:
    """Return the detector of the authors' PiDiNet-tiny or tiny-l, depending on the file; see `edges.detector`.

    The published figures use one scale.
    """
    network = load_network(weights, sha256)

    def prepare(photo: Pixels) -> Pixels:
        prepared: Pixels = (photo / np.float32(255) - _MEAN) / _DEVIATION
        return prepared

    return edge_finder(network, prepare, scales=scales, device=device, margin=_MARGIN, multiple=8)


def load_network(weights: Path, sha256: str | None = None) -> PiDiNet:
    """Return the network with the weights of a file: (B, 3, H, W) float32, normalised → (B, 1, H, W) probabilities.

    Raises:
        ConfigError: The file does not exist, or is unknown, damaged or of another network.
    """
    state = load_state(weights, sha256, PUBLISHED)
    channels = len(state.get("init_block.weight", range(20)))
    dilated = state.get("dilations.0.conv1.weight")
    network = PiDiNet(channels, dilated=None if dilated is None else len(dilated))
    kinds = {f"{layer}.weight": kind for layer, kind in DIFFERENCES.items()}
    plain = {
        name: plain_kernel(weight, kinds.get(name, "cv")) if weight.shape[2:] == (3, 3) else weight
        for name, weight in state.items()
    }
    fill(network, plain, weights)
    return network


def plain_kernel(weight: Tensor, kind: Difference) -> Tensor:
    """Return the weights of the plain convolution that equals a pixel difference convolution.

    Args:
        weight: (O, I, 3, 3) float32.
        kind: The kind of difference. With x₀ the centre and xᵢ its neighbours, clockwise: central Σ wᵢ (xᵢ − x₀);
            angular Σ wᵢ (xᵢ − xᵢ₊₁); radial Σ wᵢ (x'ᵢ − xᵢ) with x'ᵢ in the same direction two pixels away.

    Returns:
        (O, I, 3, 3), and for radial differences (O, I, 5, 5).
    """
    flat = weight.flatten(2)
    if kind == "cd":
        plain = flat.clone()
        plain[:, :, 4] -= flat.sum(dim=2)
    elif kind == "ad":
        plain = flat - flat[:, :, _BEFORE]
    elif kind == "rd":
        plain = flat.new_zeros(*flat.shape[:2], 25)
        # The first of the nine weights is unused: radial differences do not include the centre.
        plain[:, :, _OUTER], plain[:, :, _INNER] = flat[:, :, 1:], -flat[:, :, 1:]
    else:
        plain = flat
    side = 5 if kind == "rd" else 3
    return plain.reshape(*flat.shape[:2], side, side)


class PiDiNet(nn.Module):
    """The network with plain convolutions; its modules have the names of the published weights."""

    def __init__(self, channels: int, dilated: int | None) -> None:
        super().__init__()
        self.init_block = _spatial("init_block", 3, channels)
        widths = [channels * factor for factor in _WIDENING]
        before = channels
        for stage, width in enumerate(widths, start=1):
            for number in range(2 if stage == 1 else 1, 5):
                name = f"block{stage}_{number if stage > 1 else number - 1}"
                self.add_module(name, _Block(name, before, width, halves=stage > 1 and number == 1))
                before = width
        if dilated is not None:
            self.dilations = nn.ModuleList(_Dilation(width, dilated) for width in widths)
            self.attentions = nn.ModuleList(_Attention(dilated) for _ in widths)
        self.refined = dilated is not None
        self.conv_reduces = nn.ModuleList(_Reduction(dilated or width) for width in widths)
        self.classifier = nn.Conv2d(len(widths), 1, 1)

    def forward(self, photos: Tensor) -> Tensor:
        """Map (B, 3, H, W) float32, normalised, to (B, 1, H, W) float32 edge probabilities."""
        seen, maps = self.init_block(photos), []
        for stage, reduce in enumerate(self.conv_reduces):
            for name, block in self.named_children():
                if name.startswith(f"block{stage + 1}_"):
                    seen = block(seen)
            refined = self.attentions[stage](self.dilations[stage](seen)) if self.refined else seen
            maps.append(functional.interpolate(reduce(refined), photos.shape[-2:], mode="bilinear"))
        return torch.sigmoid(self.classifier(torch.cat(maps, dim=1)))


def _spatial(layer: str, before: int, after: int, groups: int = 1) -> nn.Conv2d:
    side = 5 if DIFFERENCES[layer] == "rd" else 3
    return nn.Conv2d(before, after, side, padding=side // 2, groups=groups, bias=False)


class _Block(nn.Module):
    """A residual block of a depthwise difference and a pointwise convolution; the first of a stage halves the size."""

    def __init__(self, name: str, before: int, after: int, *, halves: bool) -> None:
        super().__init__()
        self.shortcut = nn.Conv2d(before, after, 1) if halves else None
        self.conv1 = _spatial(f"{name}.conv1", before, before, groups=before)
        self.conv2 = nn.Conv2d(before, after, 1, bias=False)

    def forward(self, seen: Tensor) -> Tensor:
        if self.shortcut is not None:
            seen = functional.max_pool2d(seen, 2)
        residual: Tensor = self.conv2(torch.relu(self.conv1(seen)))
        return residual + (seen if self.shortcut is None else self.shortcut(seen))


class _Dilation(nn.Module):
    """CDCM, the compact dilation convolution module."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 1)
        for number, dilation in enumerate(_DILATIONS, start=1):
            filter_ = nn.Conv2d(after, after, 3, padding=dilation, dilation=dilation, bias=False)
            self.add_module(f"conv2_{number}", filter_)

    def forward(self, seen: Tensor) -> Tensor:
        reduced = self.conv1(torch.relu(seen))
        filters = (self.get_submodule(f"conv2_{number}") for number in range(1, len(_DILATIONS) + 1))
        return torch.stack([filter_(reduced) for filter_ in filters]).sum(dim=0)


class _Attention(nn.Module):
    """CSAM, the compact spatial attention module."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, _ATTENDED, 1)
        self.conv2 = nn.Conv2d(_ATTENDED, 1, 3, padding=1, bias=False)

    def forward(self, seen: Tensor) -> Tensor:
        attention: Tensor = torch.sigmoid(self.conv2(self.conv1(torch.relu(seen))))
        return seen * attention


class _Reduction(nn.Module):
    """Reduces a stage's features to its edge map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 1, 1)

    def forward(self, seen: Tensor) -> Tensor:
        reduced: Tensor = self.conv(seen)
        return reduced
