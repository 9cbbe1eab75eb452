"""How well binary codes of `val` find one another, by which trainers of codes choose an epoch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from sketchdata.errors import ConfigError
from sketchdata.retrieval.scores import score_codes
from sketchdata.training.bitmaps import PackedSplit
from sketchdata.training.encoder import SketchEncoder, codes_of
from sketchdata.training.loader import View
from sketchdata.training.losses import class_centers

#: Every fifth drawing asks, and the others answer: none is found by itself.
_EVERY = 5
_BATCH = 512


class CodeValidation:
    """Measures a network on `val`: every process the whole of it, so that all of them choose the same epoch.

    Args:
        val: The drawings.
        encoder: The network.
        view: What it reads of a drawing, unchanged.
        threshold: From which value on a number is a 1.

    Raises:
        ConfigError: Of no drawing that asks is there another one that answers.
    """

    def __init__(self, val: PackedSplit, encoder: SketchEncoder, view: View, threshold: float) -> None:
        self.val, self.encoder, self.view, self.threshold = val, encoder, view, threshold
        self.asks = np.arange(len(val)) % _EVERY == 0
        labels = val.labels.cpu().numpy()
        if not np.isin(labels[self.asks], labels[~self.asks]).any():
            raise ConfigError(
                f"val has too few drawings, {len(val):,}, to choose an epoch by how well their codes find one another: "
                "a class needs two at least, and better ten"
            )

    @torch.no_grad()
    def __call__(self) -> dict[str, float]:
        """Return the mean average precision, ties in random order, and the share that the classifier recognises."""
        numbers, right = [], 0
        for f, scores, labels in answers(self.val, self.encoder, self.view):
            numbers.append(f.cpu().numpy())
            right += int((scores.argmax(1) == labels).sum())
        codes = codes_of(np.concatenate(numbers), self.threshold, self.val)
        asks, others = (codes.take(np.flatnonzero(rows)) for rows in (self.asks, ~self.asks))
        found = score_codes(asks, others, resamples=2)
        return {"map": float(found.values()["map"]["expected"]), "accuracy": right / len(codes)}


def answers(
    packed: PackedSplit, encoder: SketchEncoder, view: View, rows: Tensor | None = None
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield a network's numbers and scores and the labels of drawings, in their order: (B, D), (B, L), (B,).

    Args:
        packed: The drawings.
        encoder: The network.
        view: What it reads of a drawing.
        rows: (N,) int64, which drawings; None for all.
    """
    for indices in torch.split(torch.arange(len(packed)) if rows is None else rows, _BATCH):
        batch = view.batch(packed, indices)
        f, scores = encoder(batch)
        yield f, scores, batch.labels.to(f.device)


@torch.no_grad()
def class_means(packed: PackedSplit, encoder: SketchEncoder, view: View) -> Tensor:
    """Return the mean numbers of each class: (L, D) float32."""
    encoder.eval()
    return class_centers(((f, y) for f, _, y in answers(packed, encoder, view)), len(packed.classes))
