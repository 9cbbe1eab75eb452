"""The losses of hashing and recognition: those of Xu et al., section III-B, and of methods in the comparison.

The output of the code layer is f, or u before a sign function, (B, D). Scores are (B, L), labels y (B,) int64, centres
(L, D). All losses are means over the batch. Equation numbers are those of the paper named with them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sketchdata.training.options import SCL_WEIGHT

#: Threshold between the two values of a bit, the sigmoid of 0.
_THRESHOLD = 0.5


def sketch_center_loss(f: Tensor, y: Tensor, centers: Tensor) -> Tensor:
    """Return the squared distance of codes to the fixed centres of their classes: Eq. 2, (1/B) Σ ‖f_n − c_y‖²."""
    return (f - centers[y]).square().sum(1).mean()


def class_centers(batches: Iterable[tuple[Tensor, Tensor]], classes: int) -> Tensor:
    """Return the mean output of each class: Eq. 3.

    The mean is over the drawings whose entropy is between the 5th and 95th percentile of their class, inclusive. The
    paper divides by γ|K_y| with γ = 0.90, which is their number up to rounding.

    Args:
        batches: (f, y) of these drawings, batch by batch.
        classes: Number of classes L.

    Returns:
        (L, D) float32 on the device of f; a class without drawings gets the mean of all others.

    Raises:
        ValueError: There are no drawings.
    """
    sums = counts = None
    for f, y in batches:
        if sums is None or counts is None:
            # Double precision, so that the result hardly depends on the order of three million drawings.
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
    """Return the binary codes (Eq. 5), (B, D) of 0 and 1 in the type of f, 1 for f ≥ 0.5, without gradient."""
    return (f.detach() >= _THRESHOLD).to(f.dtype)


def quantization_loss(f: Tensor, b: Tensor) -> Tensor:
    """Return the squared distance to fixed binary codes b (Eq. 6): (1/B) Σ ‖b_n − f_n‖²."""
    return (b - f).square().sum(1).mean()


class CenterLoss(nn.Module):
    """The common centre loss, whose centres are updated in training; rows "+CL" of the paper.

    Source: Wen, Zhang, Li and Qiao, "A discriminative feature learning approach for deep face recognition", ECCV 2016,
    equations 2 and 4, with the mean over the batch.

    Args:
        classes: Number of classes L.
        width: Number of values D of the code layer.
        rate: Step size α of a centre towards the drawings of its class; Xu et al. do not give theirs.
    """

    centers: Tensor

    def __init__(self, classes: int, width: int, rate: float = 0.5) -> None:
        super().__init__()
        self.rate = rate
        self.register_buffer("centers", torch.full((classes, width), _THRESHOLD))

    def forward(self, f: Tensor, y: Tensor) -> Tensor:
        """Return (1/2B) Σ ‖f_n − c_y‖², a scalar, for (B, D) outputs and (B,) labels."""
        return (f - self.centers[y]).square().sum(1).mean() / 2

    @torch.no_grad()
    def update(self, f: Tensor, y: Tensor) -> None:
        """Move the centres of the batch's classes: c −= α · Σ (c − f_n) / (1 + n), over the class's n drawings."""
        pull = torch.zeros_like(self.centers).index_add_(0, y, self.centers[y] - f.to(self.centers.dtype))
        counts = torch.bincount(y, minlength=len(self.centers))
        self.centers -= self.rate * pull / (1 + counts)[:, None]


class CodeLoss(nn.Module):
    """The total loss of codes (Eq. 7): L_cel + λ_scl L_scl + λ_ql L_ql with optional parts, or L_cel + λ L_cl.

    Algorithm 1 fixes the codes b while it trains the weights. Without given codes, they are computed at each step.

    Args:
        centers: (L, D) fixed centres, for the sketch centre loss; None leaves it out.
        common: The common centre loss; None leaves it out.
        center_weight: λ of the centre loss.
        code_weight: λ_ql; 0 leaves out the quantisation loss.
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

    def forward(
        self, f: Tensor, scores: Tensor, y: Tensor, b: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and its unweighted parts by name; b are (B, D) fixed codes of 0 and 1."""
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
            parts["ql"] = quantization_loss(f, codes(f) if b is None else b)
            loss = loss + self.code_weight * parts["ql"]
        return loss, {name: part.detach() for name, part in parts.items()}


# Losses of other deep hashing methods, whose codes are the signs of u.

#: Weights from the papers or from the authors' code.
PAIR_QUANTISATION, GREEDY_PENALTY, CENTRAL_QUANTISATION, FACTOR_QUANTISATION = 0.01, 0.1, 1e-4, 0.01


def signs(u: Tensor) -> Tensor:
    """Return −1 and 1, 1 for u ≥ 0, in the type of u, without gradient."""
    return torch.where(u.detach() >= 0, 1.0, -1.0).to(u.dtype)


def straight_through(u: Tensor) -> Tensor:
    """Return the signs, with the gradient of u itself: Su et al., "Greedy hash", NeurIPS 2018, Eq. 7 and 8."""
    return u + (signs(u) - u).detach()


def pair_loss(u: Tensor, y: Tensor, margin: float) -> Tensor:
    """Return the contrastive loss over all pairs of a batch.

    Source: Liu et al., "Deep supervised hashing for fast image retrieval", CVPR 2016, Eq. 3, as a mean over pairs.

    Args:
        u: (B, D), regularised towards −1 and 1.
        y: (B,).
        margin: Squared distance m beyond which a pair of different classes has no loss: 2 D in the paper.
    """
    apart = torch.cdist(u, u).square()
    same = y[:, None] == y[None, :]
    loss = torch.where(same, apart, (margin - apart).clamp(min=0)) / 2
    pairs = ~torch.eye(len(y), dtype=torch.bool, device=y.device)
    return loss[pairs].mean() if len(y) > 1 else loss.sum() * 0


def sign_penalty(u: Tensor) -> Tensor:
    """Return the distance to −1 and 1: the mean over drawings of Σ ||u| − 1| (Liu et al. 2016, Eq. 3)."""
    return (u.abs() - 1).abs().sum(1).mean()


class PairLoss(nn.Module):
    """DSH-Supervised: the contrastive loss with the margin 2 D."""

    def forward(self, u: Tensor, scores: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and its parts."""
        parts = {"pairs": pair_loss(u, y, 2.0 * u.shape[1]), "signs": sign_penalty(u)}
        return parts["pairs"] + PAIR_QUANTISATION * parts["signs"], parts


class FactorLoss(nn.Module):
    """DSH-Sketch in its reduced form: a linear map predicts the word vector of the class from the code.

    Source: Liu et al., "Deep sketch hashing", CVPR 2017, Eq. 3, of which Xu et al., section IV-A, keep the semantic
    factorisation for one branch: ‖φ(y) − Vᵀ b‖². Here V is trained with the network, and b = sgn(u) has a
    straight-through gradient: with u instead of b, V could amplify tiny differences while all signs are equal.

    Args:
        vectors: (L, S) float32, the vector of each class.
        width: Number of values D of the code layer.
    """

    vectors: Tensor

    def __init__(self, vectors: Tensor, width: int) -> None:
        super().__init__()
        self.register_buffer("vectors", vectors)
        self.map = nn.Linear(width, vectors.shape[1])

    def forward(self, u: Tensor, scores: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and its parts."""
        factors = (self.vectors[y] - self.map(straight_through(u))).square().sum(1).mean()
        parts = {"factors": factors, "signs": sign_penalty(u)}
        return factors + FACTOR_QUANTISATION * parts["signs"], parts


class GreedyLoss(nn.Module):
    """GreedyHash: cross entropy of the classifier's scores of the signs, and a cubic penalty.

    Source: Su et al. 2018, Eq. 9.
    """

    def __init__(self, classifier: Any) -> None:
        super().__init__()
        # Not registered as a submodule, since its weights belong to the network.
        self.score = [classifier]

    def forward(self, u: Tensor, scores: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and its parts."""
        (score,) = self.score
        cel = functional.cross_entropy(score(straight_through(u)).float(), y)
        penalty = (u.abs() - 1).abs().pow(3).mean()
        return cel + GREEDY_PENALTY * penalty, {"cel": cel, "signs": penalty}


class CentralLoss(nn.Module):
    """CSQ: binary cross entropy to the bits of the class centre, −1 and 1 (Yuan et al. 2020, Eq. 4 and 6)."""

    centers: Tensor

    def __init__(self, centers: Tensor) -> None:
        super().__init__()
        self.register_buffer("centers", centers)

    def forward(self, f: Tensor, scores: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and its parts for outputs f in 0..1."""
        bits = (self.centers[y] + 1) / 2
        center = functional.binary_cross_entropy(f.clamp(1e-6, 1 - 1e-6), bits)
        parts = {"centers": center, "signs": sign_penalty(2 * f - 1)}
        return center + CENTRAL_QUANTISATION * parts["signs"], parts


class MarginLoss(nn.Module):
    """Cross entropy of scaled cosines with a margin for the own class: Hoe et al., NeurIPS 2021, Eq. 4 ("OrthoCos+M").

    Args:
        scale: Scale s of the classifier.
        margin: Margin m.
        smoothing: Label smoothing.
    """

    def __init__(self, scale: float, margin: float, smoothing: float = 0.0) -> None:
        super().__init__()
        self.scale, self.margin, self.smoothing = scale, margin, smoothing

    def forward(self, u: Tensor, scores: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and its parts; scores are s · cos."""
        own = functional.one_hot(y, scores.shape[1]) * (self.scale * self.margin)
        loss = functional.cross_entropy(scores - own, y, label_smoothing=self.smoothing)
        return loss, {"margin": loss}


def quantisation_angle(u: Tensor) -> Tensor:
    """Return the mean of 1 − cos(u, sgn u)."""
    return (1 - functional.cosine_similarity(u, signs(u))).mean()


def distillation(scores: Tensor, teacher: Tensor) -> Tensor:
    """Return KL(teacher ‖ scores) of (B, L) and (B, L), averaged over drawings; the teacher gets no gradient."""
    return functional.kl_div(
        scores.log_softmax(1), teacher.detach().log_softmax(1), log_target=True, reduction="batchmean"
    )
