"""The dual-branch network: a picture branch and a recurrent branch, fused late into one code.

Source: Xu et al., section III-A and Figure 2. Of the 4,096 numbers of the picture and the 1,024 of the points one dense
layer makes D, through a sigmoid for codes and recognition, through a ReLU for zero-shot recognition; another dense
layer scores the classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from sketchdata.errors import ConfigError

Activation = Literal["sigmoid", "relu", "identity"]

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "relu": torch.relu,
    "identity": lambda x: x,
}


class FusionNetwork(nn.Module):
    """One or both branches, a layer of D numbers, and a classifier.

    Args:
        picture: A model of the table, of which `extract` is used; None for points alone.
        points: The recurrent encoder; None for pictures alone.
        width: D.
        classes: Number of classes L.
        activation: Of the D numbers.

    Raises:
        ConfigError: There is no branch.
    """

    def __init__(
        self,
        picture: Any,
        points: Any,
        *,
        width: int,
        classes: int,
        activation: Activation = "sigmoid",
    ) -> None:
        super().__init__()
        branches = [branch for branch in (picture, points) if branch is not None]
        if not branches:
            raise ConfigError("a network needs a picture branch, a point branch, or both")
        self.picture, self.points = picture, points
        self.fuse = nn.Linear(sum(int(branch.feature_size) for branch in branches), width)
        self.classifier = nn.Linear(width, classes)
        self.activation: str = activation
        if activation == "sigmoid":
            # Numbers in 0..1 of few dimensions would give scores so near one another that learning starts slowly.
            nn.init.normal_(self.classifier.weight, std=4 / math.sqrt(width))
            nn.init.zeros_(self.classifier.bias)

    def encode(self, raster: Tensor | None, sequence: Tensor | None, lengths: Tensor | None) -> Tensor:
        """Return the D numbers of each drawing.

        Args:
            raster: (B, channels, S, S) float32, for the picture branch.
            sequence: (B, L, 4) float32, for the point branch.
            lengths: (B,) int64 on the CPU.

        Returns:
            (B, D): in 0..1 for sigmoid, from 0 on for relu.
        """
        # Appending to a list would make `torch.compile` begin anew at every step: the list's method is new each time.
        picture = () if self.picture is None else (self.picture.extract(raster),)
        points = () if self.points is None else (self.points(sequence, lengths),)
        return _ACTIVATIONS[self.activation](self.fuse(torch.cat([*picture, *points], 1)))

    def forward(self, raster: Tensor | None, sequence: Tensor | None, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the D numbers and the scores: (B, D), (B, L)."""
        code = self.encode(raster, sequence, lengths)
        return code, self.classifier(code)
