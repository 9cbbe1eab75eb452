"""The losses of hashing and recognition: those of Xu et al., section III-B, and of the methods compared with them.

f, or u before a sign, is the (B, D) output of the code layer; scores are (B, L), y the (B,) int64 labels, and centres
(L, D). All losses are means over the batch; equations are those of the paper named beside them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sketchdata.training.options import SCL_WEIGHT

#: Between the two values of a bit: what a sigmoid gives at 0.
_THRESHOLD = 0.5


def sketch_center_loss(f: Tensor, y: Tensor, centers: Tensor) -> Tensor:
    """Return the squared distance of codes to the fixed centres of their classes: Eq. 2, (1/B) Σ ‖f_n − c_y‖²."""
    return (f - centers[y]).square().sum(1).mean()


def class_centers(batches: Iterable[tuple[Tensor, Tensor]], classes: int) -> Tensor:
    """Return the mean output of each class: Eq. 3.

    The drawings are those whose entropy lies within their class's 5th and 95th percentile, ends included, and the
    divisor is their number; the paper writes γ|K_y| with γ = 0.90, which is that number but for rounding.

    Args:
        batches: (f, y) of these drawings, batch by batch.
        classes: L.

    Returns:
        (L, D) float32 on the device of f; a class without drawings has the mean of all others.

    Raises:
        ValueError: There is no drawing.
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
    """Return the squared distance to binary codes b, which are fixed meanwhile: Eq. 6, (1/B) Σ ‖b_n − f_n‖²."""
    return (b - f).square().sum(1).mean()


class CenterLoss(nn.Module):
    """The common centre loss, whose centres follow the training; the paper's rows "+CL".

    Source: Wen, Zhang, Li and Qiao, "A discriminative feature learning approach for deep face recognition", ECCV 2016,
    equations 2 and 4, with the mean over the batch.

    Args:
        classes: L.
        width: D.
        rate: α, by which a centre moves towards its class's drawings at a step; Xu et al. do not give theirs.
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

    Algorithm 1 holds the codes b while the weights learn; without them they are those of the same step's outputs.

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

    def forward(
        self, f: Tensor, scores: Tensor, y: Tensor, b: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss, and its parts unweighted, by name; b are (B, D) held codes of 0 and 1."""
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


# The losses of other deep hashing methods, whose codes are the signs of u.

#: Weights as their papers give them, or their authors' code.
PAIR_QUANTISATION, GREEDY_PENALTY, CENTRAL_QUANTISATION, FACTOR_QUANTISATION = 0.01, 0.1, 1e-4, 0.01


def signs(u: Tensor) -> Tensor:
    """Return −1 and 1, 1 where u ≥ 0, in u's type. No gradient flows through."""
    return torch.where(u.detach() >= 0, 1.0, -1.0).to(u.dtype)


def straight_through(u: Tensor) -> Tensor:
    """Return the signs, with the gradient of u itself: Su et al., "Greedy hash", NeurIPS 2018, Eq. 7 and 8."""
    return u + (signs(u) - u).detach()


def pair_loss(u: Tensor, y: Tensor, margin: float) -> Tensor:
    """Return the contrastive loss over all pairs of a batch.

    Source: Liu et al., "Deep supervised hashing for fast image retrieval", CVPR 2016, Eq. 3, as a mean over pairs.

    Args:
        u: (B, D), drawn to −1 and 1.
        y: (B,).
        margin: m, the squared distance from which on a pair of different classes is far enough: 2 D in the paper.
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
    """DSH-Supervised: pairs of a class together, others apart by the margin 2 D."""

    def forward(self, u: Tensor, scores: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and its parts."""
        parts = {"pairs": pair_loss(u, y, 2.0 * u.shape[1]), "signs": sign_penalty(u)}
        return parts["pairs"] + PAIR_QUANTISATION * parts["signs"], parts


class FactorLoss(nn.Module):
    """DSH-Sketch, in its reduced form: a linear map takes the code to the vector of the drawing's word.

    Source: Liu et al., "Deep sketch hashing", CVPR 2017, Eq. 3, of which Xu et al., section IV-A, keep the semantic
    factorisation for one branch: ‖φ(y) − Vᵀ b‖². Here V is learned with the network, and gradients pass straight
    through b = sgn(u): of u itself, V would make the smallest differences large, and all signs could be equal.

    Args:
        vectors: (L, S) float32, the vector of each class.
        width: D.
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
    """GreedyHash: cross entropy of the signs, which the network's classifier scores, and a cubic penalty.

    Source: Su et al. 2018, Eq. 9.
    """

    def __init__(self, classifier: Any) -> None:
        super().__init__()
        # Not a child: its weights are the network's already.
        self.score = [classifier]

    def forward(self, u: Tensor, scores: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and its parts."""
        (score,) = self.score
        cel = functional.cross_entropy(score(straight_through(u)).float(), y)
        penalty = (u.abs() - 1).abs().pow(3).mean()
        return cel + GREEDY_PENALTY * penalty, {"cel": cel, "signs": penalty}


class CentralLoss(nn.Module):
    """CSQ: binary cross entropy to the bits of the class's centre, −1 and 1 (Yuan et al. 2020, Eq. 4 and 6)."""

    centers: Tensor

    def __init__(self, centers: Tensor) -> None:
        super().__init__()
        self.register_buffer("centers", centers)

    def forward(self, f: Tensor, scores: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and its parts, of outputs f in 0..1."""
        bits = (self.centers[y] + 1) / 2
        center = functional.binary_cross_entropy(f.clamp(1e-6, 1 - 1e-6), bits)
        parts = {"centers": center, "signs": sign_penalty(2 * f - 1)}
        return center + CENTRAL_QUANTISATION * parts["signs"], parts


class MarginLoss(nn.Module):
    """Cross entropy of scaled cosines, the own class's less a margin: Hoe et al., NeurIPS 2021, Eq. 4 ("OrthoCos+M").

    Args:
        scale: s, that of the classifier.
        margin: m.
        smoothing: Share of the target that is spread over all classes.
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
    """Return KL(teacher ‖ scores) of (B, L) and (B, L), the mean over drawings; the teacher gets no gradient."""
    return functional.kl_div(
        scores.log_softmax(1), teacher.detach().log_softmax(1), log_target=True, reduction="batchmean"
    )
