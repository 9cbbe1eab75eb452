"""Counts of Hamming distances by matrix products, for a GPU: the same numbers as `hamming`, to the last one.

With bits as ±1 the inner product of two codes of D bits at distance d is D − 2d. Its summands are ±1 and D is 248 at
most, so float16, whose whole numbers are exact up to 2048, loses nothing.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor

from sketchdata.formats.codes import Codes, Packed, unpack_bits
from sketchdata.retrieval.hamming import count_by
from sketchdata.retrieval.metrics import Counts, TieGroups
from sketchdata.training.distributed import device_of

#: Distances at a time: 2^27 take 1.5 GB of a GPU's memory with their products.
_CELLS = 1 << 27


def count_distances(queries: Codes, gallery: Codes, *, device: str = "cuda", cells: int = _CELLS) -> TieGroups:
    """Count for each query the items at each distance, and the relevant ones, as `hamming.count_distances` does.

    Args:
        queries: Q codes of D bits.
        gallery: N codes of D bits, with the same class table.
        device: Where to compute: `auto` for a GPU when there is one, or as torch names it.
        cells: Distances at a time.

    Returns:
        (Q, D + 1) groups, nearest first.

    Raises:
        ConfigError: There is no such device, lengths or class tables differ, or bits beyond D are set.
    """
    return count_by(partial(_histograms, device=device_of(device), cells=cells), queries, gallery)


def _histograms(queries: Packed, gallery: Packed, bits: int, *, device: torch.device, cells: int) -> Counts:
    """Count the distances: (Q, B), (N, B) uint8 → (Q, D + 1) int64."""
    counts = np.zeros((len(queries), bits + 1), np.int64)
    if not len(gallery):
        return counts
    asked, items = _signs(queries, bits, device), _signs(gallery, bits, device).T
    rows = max(1, cells // len(gallery))
    for start in range(0, len(queries), rows):
        distances = (bits - asked[start : start + rows] @ items).div_(2).to(torch.int32)
        # One histogram of all rows: each has D + 1 places of its own.
        distances += torch.arange(len(distances), device=device, dtype=torch.int32)[:, None] * (bits + 1)
        found = torch.bincount(distances.view(-1), minlength=len(distances) * (bits + 1))
        counts[start : start + rows] = found.view(-1, bits + 1).cpu().numpy()
    return counts


def _signs(packed: Packed, bits: int, device: torch.device) -> Tensor:
    """Return codes as ±1: (N, B) uint8 → (N, D) float16 on a GPU, where it is fast, else float32."""
    ones = torch.from_numpy(unpack_bits(packed, bits)).to(device)
    return ones.to(torch.float16 if device.type == "cuda" else torch.float32).mul_(2).sub_(1)
