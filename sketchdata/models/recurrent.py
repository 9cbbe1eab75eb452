"""The recurrent branch: a bidirectional GRU over the points of a drawing.

Source: Xu et al., section IV-A ("two-layer bidirectional GRU"); Cho et al., "Learning phrase representations using RNN
encoder-decoder", 2014.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence


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
