"""TIN, the traditional method inspired network: gradients, enriched by dilated filters, summarised to edges.

Source: Wibisono and Hang, "Traditional method inspired deep neural network for edge detection", ICIP 2020. TIN1 has one
stage and 86,569 parameters, TIN2 a second one at half the resolution and 244,229. Published ODS on BSDS500 with three
scales averaged, which in the authors' code are 0.5, 1 and 1.5: .749 and .772. The weights are MIT-licensed; see
`PUBLISHED`. On black areas, TIN1 finds edges of strength 0.18 everywhere: use a higher threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from sketchdata.edges.networks import edge_finder, fill, load_state
from sketchdata.photos.image import Photo

#: {sha256: name} of the authors' files, in `weights/` of github.com/jannctu/TIN.
PUBLISHED = {
    "2b1811a4006f7072f45bac30b02227ce21f44ad43eb8ab45275febffd7f07287": "TIN1.pth",
    "d284a00d155de7c234fccc68bd01cbcbebb4c1338853a9c2f705673df5a32694": "TIN2.pth",
}

#: Channels of each stage's extractor, of the enrichment, and of the summariser's input.
_STAGES = (16, 64)
_ENRICHED, _REDUCED = 32, 8
#: Dilations of the enrichment, in pixels of its stage.
_DILATIONS = (4, 8, 12, 16)

#: Pixels of mirrored padding, beyond which zero padding makes no difference.
_MARGIN = 16


def load_tin(
    weights: Path, sha256: str | None = None, *, scales: Sequence[float] = (1.0,), device: str = "cpu"
) -> Callable[[Photo], npt.NDArray[np.uint8]]:
    """Return the detector of the authors' TIN1 or TIN2, depending on the file; see `edges.detector`.

    The published figures average three scales: 0.5, 1 and 1.5.
    """
    network = load_network(weights, sha256)
    return edge_finder(
        network, lambda photo: photo[:, :, ::-1], scales=scales, device=device, margin=_MARGIN, multiple=2
    )


def load_network(weights: Path, sha256: str | None = None) -> TIN:
    """Return the network with the weights of a file: (B, 3, H, W) float32 BGR in 0..255 → (B, 1, H, W) probabilities.

    Raises:
        ConfigError: The file does not exist, or is unknown, damaged or of another network.
    """
    state = load_state(weights, sha256, PUBLISHED)
    network = TIN(stages=2 if "conv2_1.weight" in state else 1)
    fill(network, state, weights)
    return network


class TIN(nn.Module):
    """The network, with one or two stages; its modules have the names of the published weights."""

    def __init__(self, stages: int) -> None:
        super().__init__()
        self.stages = stages
        for number, (before, channels) in enumerate(zip((3, *_STAGES), _STAGES[:stages], strict=False), start=1):
            self.add_module(f"conv{number}_1", nn.Conv2d(before, channels, 3, padding=1))
            self.add_module(f"conv{number}_2", nn.Conv2d(channels, channels, 3, padding=1))
            for half in (1, 2):
                self.add_module(f"em{number}_{half}", _Enrichment(channels))
                self.add_module(f"conv{number}_{half}_down", nn.Conv2d(_ENRICHED, _REDUCED, 1))
            self.add_module(f"score_stage{number}", nn.Conv2d(_REDUCED, 1, 1))
        if stages > 1:
            self.score_final = nn.Conv2d(stages, 1, 1)

    def forward(self, photos: Tensor) -> Tensor:
        """Map (B, 3, H, W) float32 BGR in 0..255 to (B, 1, H, W) float32 edge probabilities."""
        size, scores, seen = photos.shape[-2:], [], photos
        for number in range(1, self.stages + 1):
            if number > 1:
                seen = functional.max_pool2d(seen, 2, stride=2, ceil_mode=True)
            seen, score = self._stage(number, seen)
            # With aligned corners, as in training; without resizing nothing changes.
            scores.append(functional.interpolate(score, size, mode="bilinear", align_corners=True))
        fused: Tensor = scores[0] if self.stages == 1 else self.score_final(torch.cat(scores, dim=1))
        return torch.sigmoid(fused)

    def _stage(self, number: int, seen: Tensor) -> tuple[Tensor, Tensor]:
        part = self.get_submodule
        first = torch.relu(part(f"conv{number}_1")(seen))
        second = torch.relu(part(f"conv{number}_2")(first))
        reduced = [
            part(f"conv{number}_{half}_down")(part(f"em{number}_{half}")(features))
            for half, features in ((1, first), (2, second))
        ]
        return second, part(f"score_stage{number}")(reduced[0] + reduced[1])


class _Enrichment(nn.Module):
    """Parallel dilated filters, like the low-pass filters of several widths in the traditional method."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, _ENRICHED, 3, padding=1)
        for number, dilation in enumerate(_DILATIONS, start=1):
            filter_ = nn.Conv2d(_ENRICHED, _ENRICHED, 3, padding=dilation, dilation=dilation)
            self.add_module(f"conv{number}", filter_)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, h, w) → (B, 32, h, w)."""
        enriched = torch.relu(self.conv(features))
        dilated = (self.get_submodule(f"conv{number}") for number in range(1, len(_DILATIONS) + 1))
        total: Tensor = enriched + sum(torch.relu(filter_(enriched)) for filter_ in dilated)
        return total
