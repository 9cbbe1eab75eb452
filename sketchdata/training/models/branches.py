"""The recurrent branch, and the dual-branch network that fuses it with a picture branch into one code.

The recurrent branch is a bidirectional GRU over the points of a drawing. Source: Xu et al., section IV-A ("two-layer
bidirectional GRU"); Cho et al., "Learning phrase representations using RNN encoder-decoder", 2014.

Source of the fusion: Xu et al., section III-A and Figure 2. Of the 4,096 numbers of the picture and the 1,024 of the
points one dense layer makes D, through a sigmoid for codes and recognition, through a ReLU for zero-shot recognition;
another dense layer scores the classes.

The head `cosine` is that of later proxy methods instead: normalised numbers, and their cosine with a direction of each
class. Source: Hoe et al., "One loss for all: deep hashing with a single cosine similarity based learning objective",
NeurIPS 2021, equations 3 and 4.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence

from sketchdata.errors import ConfigError

Activation = Literal["sigmoid", "relu", "identity", "cosine"]

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "relu": torch.relu,
    "identity": lambda x: x,
    "cosine": lambda x: x,
}
#: From which value on a number is a 1 in a binary code.
THRESHOLDS: dict[str, float] = {"sigmoid": 0.5, "relu": 0.0, "identity": 0.0, "cosine": 0.0}


class RecurrentEncoder(nn.Module):
    """A GRU of some layers in both directions; its feature is the last state of each direction of the top layer.

    Args:
        hidden: Width of each direction's state.
        layers: Number of layers.
        columns: Numbers a point: Δx, Δy and the two states of the pen.
        dropout: Between layers.
    """

    def __init__(self, hidden: int = 512, layers: int = 2, columns: int = 4, dropout: float = 0.0) -> None:
        super().__init__()
        self.feature_size = 2 * hidden
        self.gru = nn.GRU(columns, hidden, num_layers=layers, batch_first=True, bidirectional=True, dropout=dropout)

    def forward(self, sequence: Tensor, lengths: Tensor) -> Tensor:
        """Return each drawing's feature; what stands beyond its length never enters it.

        Args:
            sequence: (B, L, 4) float32.
            lengths: (B,) int64 on the CPU, 1 to L.

        Returns:
            (B, 2 · hidden): the forward state after the last point, and the backward one after the first.
        """
        packed = pack_padded_sequence(sequence, lengths, batch_first=True, enforce_sorted=False)
        # Under autocast, torch computes a GRU on a GPU in float16, whatever was asked for; gradients would vanish.
        with _without_autocast(sequence.device.type):
            _, state = self.gru(packed)
        return torch.cat([state[-2], state[-1]], 1)


def _without_autocast(device_type: str) -> AbstractContextManager[None]:
    # A device of shapes alone, on which operations are counted, has none.
    if not torch.amp.is_autocast_available(device_type):
        return nullcontext()
    return torch.autocast(device_type, enabled=False)


class CosineClassifier(nn.Module):
    """Scores of classes by the angle between a drawing's numbers and a direction of each class.

    Args:
        width: D.
        classes: L.
        scale: s, what cosines are multiplied by; None takes max(8, 2 √D).
    """

    scale: Tensor

    def __init__(self, width: int, classes: int, scale: float | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, width))
        # Kept with the weights, so that a network that is read again gives the same scores.
        self.register_buffer("scale", torch.tensor(max(8.0, 2 * math.sqrt(width)) if scale is None else scale))

    def forward(self, u: Tensor) -> Tensor:
        """Return s · cos(u, c): (B, D) → (B, L)."""
        return self.scale * functional.linear(functional.normalize(u), functional.normalize(self.weight))


class BitNorm(nn.BatchNorm1d):
    """Normalises each number over the batch, so that each bit is 1 in about half of all drawings.

    Args:
        width: D.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width, affine=False)

    def forward(self, u: Tensor) -> Tensor:
        """Return (B, D) numbers; a batch of one drawing, which has no spread of its own, as those before it were."""
        if self.training and len(u) == 1:
            return functional.batch_norm(u, self.running_mean, self.running_var, eps=self.eps)
        return super().forward(u)


class FusionNetwork(nn.Module):
    """One or both branches, a layer of D numbers, and a classifier.

    Args:
        picture: A model of the table, of which `extract` is used; None for points alone.
        points: The recurrent encoder; None for pictures alone.
        width: D.
        classes: Number of classes L.
        activation: Of the D numbers; `cosine` normalises each over the batch and compares angles.

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
        self.feature_size = sum(int(branch.feature_size) for branch in branches)
        self.fuse = nn.Linear(self.feature_size, width, bias=activation != "cosine")
        self.norm = BitNorm(width) if activation == "cosine" else nn.Identity()
        self.activation: str = activation
        classifier: Any = CosineClassifier(width, classes) if activation == "cosine" else nn.Linear(width, classes)
        self.classifier = classifier
        if activation == "sigmoid":
            # Numbers in 0..1 of few dimensions would give scores so near one another that learning starts slowly.
            nn.init.normal_(classifier.weight, std=4 / math.sqrt(width))
            nn.init.zeros_(classifier.bias)

    def extract(self, raster: Tensor | None, sequence: Tensor | None, lengths: Tensor | None) -> Tensor:
        """Return what the branches see of each drawing, side by side.

        Args:
            raster: (B, channels, S, S) float32, for the picture branch.
            sequence: (B, L, 4) float32, for the point branch.
            lengths: (B,) int64 on the CPU.

        Returns:
            (B, feature_size).
        """
        # Appending to a list would make `torch.compile` begin anew at every step: the list's method is new each time.
        picture = () if self.picture is None else (self.picture.extract(raster),)
        points = () if self.points is None else (self.points(sequence, lengths),)
        return torch.cat([*picture, *points], 1)

    def numbers(self, features: Tensor) -> Tensor:
        """Return the D numbers: (B, feature_size) → (B, D), in 0..1 for sigmoid, from 0 on for relu."""
        numbers: Tensor = self.norm(self.fuse(features))
        return _ACTIVATIONS[self.activation](numbers)

    def encode(self, raster: Tensor | None, sequence: Tensor | None, lengths: Tensor | None) -> Tensor:
        """Return the D numbers of each drawing, as of `extract` and `numbers`."""
        return self.numbers(self.extract(raster, sequence, lengths))

    def forward(self, raster: Tensor | None, sequence: Tensor | None, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the D numbers and the scores: (B, D), (B, L)."""
        code = self.encode(raster, sequence, lengths)
        return code, self.classifier(code)
