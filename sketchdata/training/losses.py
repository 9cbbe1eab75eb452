"""The losses of hashing and recognition. Source: Xu et al., section III-B, whose equations are named at each.

f is the (B, D) output of the code layer, y the (B,) labels, c the (L, D) class centres. All are means over the batch.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from sketchdata.training_options import SCL_WEIGHT

#: Between the two values of a bit: what a sigmoid gives at 0.
_THRESHOLD = 0.5


def sketch_center_loss(f: Tensor, y: Tensor, centers: Tensor) -> Tensor:
    """Return how far codes lie from the fixed centres of their classes: Eq. 2, (1/B) Σ ‖f_n − c_y‖².

    Args:
        f: (B, D) float.
        y: (B,) int64.
        centers: (L, D) float, not trained.
    """
    return (f - centers[y]).square().sum(1).mean()


def class_centers(batches: Iterable[tuple[Tensor, Tensor]], classes: int) -> Tensor:
    """Return the mean output of each class: Eq. 3.

    The drawings are those whose entropy lies within their class's 5th and 95th percentile, ends included, and the
    divisor is their number; the paper writes γ|K_y| with γ = 0.90, which is that number but for rounding.

    Args:
        batches: (f, y) of the drawings that count, (B, D) and (B,), a batch after the other.
        classes: L.

    Returns:
        (L, D) float32 on the device of f; a class without drawings has the mean of all others, which pulls nowhere.

    Raises:
        ValueError: There is not one drawing.
    """
    sums = counts = None
    for f, y in batches:
        if sums is None or counts is None:
            # In double precision: the order of three million drawings must not show.
            sums = torch.zeros(classes, f.shape[1], dtype=torch.float64, device=f.device)
            counts = torch.zeros(classes, dtype=torch.float64, device=f.device)
        sums.index_add_(0, y, f.to(torch.float64))
        counts.index_add_(0, y, torch.ones_like(y, dtype=torch.float64))
    if sums is None or counts is None or not counts.any():
        raise ValueError("centres need at least one drawing")
    means = sums / counts.clamp(min=1)[:, None]
    means[counts == 0] = means[counts > 0].mean(0)
    return means.to(torch.float32)


def codes(f: Tensor) -> Tensor:
    """Return the binary codes, (B, D) of 0 and 1 in f's type, 1 where f ≥ 0.5: Eq. 5. No gradient flows through."""
    return (f.detach() >= _THRESHOLD).to(f.dtype)


def quantization_loss(f: Tensor, b: Tensor) -> Tensor:
    """Return how far outputs lie from binary codes: Eq. 6, (1/B) Σ ‖b_n − f_n‖².

    Args:
        f: (B, D) float.
        b: (B, D) of 0 and 1, which are fixed while the weights are trained.
    """
    return (b - f).square().sum(1).mean()


class CenterLoss(nn.Module):
    """The common centre loss, whose centres follow the training; the paper's rows "+CL".

    Source: Wen, Zhang, Li and Qiao, "A discriminative feature learning approach for deep face recognition", ECCV 2016,
    equations 2 and 4, with the mean over the batch.

    Args:
        classes: L.
        width: D.
        rate: α, the share of the way that a centre moves at a step. Xu et al. do not say theirs.
    """

    centers: Tensor

    def __init__(self, classes: int, width: int, rate: float = 0.5) -> None:
        super().__init__()
        self.rate = rate
        self.register_buffer("centers", torch.full((classes, width), _THRESHOLD))

    def forward(self, f: Tensor, y: Tensor) -> Tensor:
        """Return (1/2B) Σ ‖f_n − c_y‖², a scalar, of (B, D) outputs and (B,) labels."""
        return (f - self.centers[y]).square().sum(1).mean() / 2

    @torch.no_grad()
    def update(self, f: Tensor, y: Tensor) -> None:
        """Move the centres of the batch's classes: c −= α · Σ (c − f_n) / (1 + n), over the class's n drawings."""
        pull = torch.zeros_like(self.centers).index_add_(0, y, self.centers[y] - f.to(self.centers.dtype))
        counts = torch.bincount(y, minlength=len(self.centers))
        self.centers -= self.rate * pull / (1 + counts)[:, None]


class CodeLoss(nn.Module):
    """The total loss of codes, Eq. 7: L_cel + λ_scl L_scl + λ_ql L_ql, whose parts can be left out, or L_cel + λ L_cl.

    Codes b are taken from the outputs of the same step: as each drawing is seen once an epoch, that is the paper's
    alternation of fixed codes and fixed weights with an epoch for each.

    Args:
        centers: (L, D) fixed centres, for the sketch centre loss; None leaves it out.
        common: The common centre loss; None leaves it out.
        center_weight: λ of whichever centre loss there is.
        code_weight: λ_ql; 0 leaves the quantisation loss out.
    """

    centers: Tensor | None

    def __init__(
        self,
        centers: Tensor | None = None,
        common: CenterLoss | None = None,
        *,
        center_weight: float = SCL_WEIGHT,
        code_weight: float = 0.0,
    ) -> None:
        super().__init__()
        self.register_buffer("centers", centers)
        self.common, self.center_weight, self.code_weight = common, center_weight, code_weight

    def forward(self, f: Tensor, scores: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss, and its parts unweighted, by name.

        Args:
            f: (B, D) float32.
            scores: (B, L) float32.
            y: (B,) int64.
        """
        parts = {"cel": functional.cross_entropy(scores, y)}
        loss = parts["cel"]
        if self.centers is not None:
            parts["scl"] = sketch_center_loss(f, y, self.centers)
            loss = loss + self.center_weight * parts["scl"]
        if self.common is not None:
            parts["cl"] = self.common(f, y)
            loss = loss + self.center_weight * parts["cl"]
            if self.training:
                self.common.update(f, y)
        if self.code_weight:
            parts["ql"] = quantization_loss(f, codes(f))
            loss = loss + self.code_weight * parts["ql"]
        return loss, {name: part.detach() for name, part in parts.items()}
