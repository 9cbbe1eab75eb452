"""A small edge detection network, whose weights are in the package.

It is trained by `trainers/edge_detector.py`; `learned.md` beside this file has its training data, scores and limits.

Sources: a combination of known parts. Side outputs, each with its own loss, and their learned sum: Xie and Tu,
"Holistically-nested edge detection", ICCV 2015. Coarse features added to finer ones on the way back: Lin et al.,
"Feature pyramid networks for object detection", CVPR 2017. Residual blocks of a depthwise and a pointwise convolution
without normalisation: Su et al., "Pixel difference networks for efficient edge detection", ICCV 2021.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from sketchdata.edges.filters import read_weights
from sketchdata.edges.networks import edge_finder, fill
from sketchdata.photos.image import Photo
from sketchdata.storage.tensors import read_state_dict

#: The weights in the package.
WEIGHTS = Path(__file__).with_suffix(".safetensors")
#: The threshold of strength with the best F of these weights, rounded.
THRESHOLD = 190
#: Channels at full, 1/2, 1/4, 1/8 and 1/16 resolution: few where there are many pixels.
WIDTHS = (8, 16, 32, 64, 80)
#: Residual blocks at 1/2 … 1/16, and their kernel sizes: a wide context distinguishes objects from texture.
BLOCKS = (1, 3, 4, 4)
WINDOWS = (3, 3, 5, 5)
#: Channels on the way back to full resolution.
DECODED = 24
#: Maximum product of input and output channels for a full 3 × 3 convolution.
_FEW = 512
#: Factor by which the coarsest features are smaller than the photo.
STRIDE = 16


def load_learned(
    weights: Path | None = None, sha256: str | None = None, *, scales: Sequence[float] = (1.0,), device: str = "cpu"
) -> Callable[[Photo], npt.NDArray[np.uint8]]:
    """Return the detector for weights of `sketchdata train edge-detector`, or of the package; see `edges.detector`."""
    network = load_network(WEIGHTS if weights is None else weights, sha256)
    return edge_finder(_Answer(network), lambda photo: photo, scales=scales, device=device)


def load_network(weights: Path, sha256: str | None = None) -> EdgeNetwork:
    """Return the network with the weights of a file, in evaluation mode.

    Raises:
        ConfigError: The file does not exist, does not match its hash, is damaged or of another network.
    """
    data, _ = read_weights(weights, sha256, f"no weights at {weights}; `sketchdata train edge-detector` makes them")
    network = EdgeNetwork()
    fill(network, read_state_dict(weights, data), weights)
    return network


class Residual(nn.Module):
    """(B, C, H, W) → (B, C, H, W): a depthwise and a pointwise convolution, added to the input."""

    def __init__(self, channels: int, window: int = 3) -> None:
        super().__init__()
        self.look = nn.Conv2d(channels, channels, window, padding=window // 2, groups=channels)
        # Blocks that start as the identity let a deep network train without normalisation.
        self.mix = _zeroed(nn.Conv2d(channels, channels, 1))

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, C, H, W) float32 to the same shape."""
        mixed: Tensor = self.mix(functional.relu(self.look(features)))
        return features + mixed


class Halving(nn.Sequential):
    """(B, C, H, W) → (B, D, H/2, W/2), with ReLU: one convolution for few channels, two cheaper ones for many."""

    def __init__(self, before: int, after: int) -> None:
        if before * after <= _FEW:
            layers: list[nn.Module] = [nn.Conv2d(before, after, 3, stride=2, padding=1)]
        else:
            layers = [nn.Conv2d(before, before, 5, stride=2, padding=2, groups=before), nn.Conv2d(before, after, 1)]
        super().__init__(*layers, nn.ReLU())


class EdgeNetwork(nn.Module):
    """Detects edges at five resolutions and combines them to one map.

    (B, 3, H, W) float32 RGB in 0..255, H and W multiples of STRIDE → six logits (B, 1, H, W): those at 1/16, 1/8, 1/4,
    1/2 and full resolution, and last their weighted sum, which is the result.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, WIDTHS[0], 3, padding=1), nn.ReLU())
        self.levels = nn.ModuleList(
            nn.Sequential(Halving(before, after), *(Residual(after, window) for _ in range(blocks)))
            for (before, after), blocks, window in zip(pairwise(WIDTHS), BLOCKS, WINDOWS, strict=True)
        )
        self.narrow = nn.ModuleList(nn.Conv2d(width, DECODED, 1) for width in reversed(WIDTHS[1:]))
        self.decode = nn.ModuleList(nn.Sequential(Residual(DECODED), Residual(DECODED)) for _ in WIDTHS[1:])
        self.sides = nn.ModuleList(nn.Conv2d(DECODED, 1, 1) for _ in WIDTHS[1:])
        self.last_fine = nn.Conv2d(WIDTHS[0], WIDTHS[0], 3, padding=1)
        self.last_coarse = nn.Conv2d(DECODED, WIDTHS[0], 1)
        self.last_side = nn.Conv2d(WIDTHS[0], 1, 3, padding=1)
        self.weigh = _zeroed(nn.Conv2d(len(WIDTHS), 1, 1))
        nn.init.constant_(self.weigh.weight, 1 / len(WIDTHS))

    def forward(self, photos: Tensor) -> list[Tensor]:
        """Map (B, 3, H, W) float32 to the logits described above."""
        fine = self.first(photos / 64 - 2)
        features = [fine]
        for level in self.levels:
            features.append(level(features[-1]))
        sides = []
        decoded: Tensor | None = None
        for narrow, decode, side, found in zip(self.narrow, self.decode, self.sides, features[:0:-1], strict=True):
            narrowed = narrow(found)
            decoded = decode(narrowed if decoded is None else narrowed + _enlarged(decoded, narrowed))
            sides.append(_enlarged(side(decoded), photos))
        last = functional.relu(self.last_fine(fine) + _enlarged(self.last_coarse(decoded), fine))
        sides.append(self.last_side(last))
        return [*sides, self.weigh(torch.cat(sides, dim=1))]


class _Answer(nn.Module):
    """(1, 3, H, W) float32 RGB in 0..255, of any size → (1, 1, H, W) float32, the result in 0..1."""

    def __init__(self, network: EdgeNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, photo: Tensor) -> Tensor:
        """Map one photo to its edges, of the same height and width."""
        height, width = photo.shape[-2:]
        # With its border replicated, a photo gets no edge there.
        whole = functional.pad(photo, (0, -width % STRIDE, 0, -height % STRIDE), mode="replicate")
        logits: Tensor = self.network(whole.contiguous(memory_format=torch.channels_last))[-1]
        return torch.sigmoid(logits[..., :height, :width])


def _zeroed(layer: nn.Conv2d) -> nn.Conv2d:
    for value in layer.parameters():
        nn.init.zeros_(value)
    return layer


def _enlarged(small: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(small, size=like.shape[-2:], mode="bilinear", align_corners=False)
