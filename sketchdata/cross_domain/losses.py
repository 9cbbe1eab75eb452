"""The losses of Doodle to Search, and of the methods compared with it.

Source: Dey et al., "Doodle to search: practical zero-shot sketch-based image retrieval", CVPR 2019, section 3.
Embeddings are (N, D): a of drawings, p of photos of the same classes, n of photos of other classes. Every loss is a
mean over the batch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

#: λ_d rises from 0 to 1 within 20 steps, after the first 5; the paper does not define a step.
RAMP_START, RAMP_LENGTH = 5, 20
#: Weight of the gradient reversal for photos of other classes in the semantic loss.
SEMANTIC_REVERSAL = 0.5
#: Widths of the domain classifier, and of the map to words.
_DOMAIN_HIDDEN, _SEMANTIC_HIDDEN = 64, 300
#: Smaller distances have the gradient of this distance.
_LEAST_SQUARE = 1e-12


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: float) -> Tensor:
        ctx.weight = weight
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.weight * gradients[0], None


def reverse_gradient(x: Tensor, weight: float) -> Tensor:
    """Return x, and multiply its gradient by −weight: R_λ.

    Source: Ganin and Lempitsky, "Unsupervised domain adaptation by backpropagation", ICML 2015.
    """
    found: Tensor = _Reversal.apply(x, weight)  # type: ignore[no-untyped-call]
    return found


def domain_ramp(step: int) -> float:
    """Return λ_d of a step i: (i − 5) / 20 within 0..1."""
    return min(max((step - RAMP_START) / RAMP_LENGTH, 0.0), 1.0)


def distance(x: Tensor, y: Tensor) -> Tensor:
    """Return the Euclidean distance of each pair: (N, D), (N, D) → (N,)."""
    return (x - y).square().sum(1).clamp(min=_LEAST_SQUARE).sqrt()


def triplet_loss(a: Tensor, p: Tensor, n: Tensor, margin: float = 1.0) -> Tensor:
    """Return the mean of max(0, μ + δ(a, p) − δ(a, n)), where δ is the Euclidean distance."""
    return (margin + distance(a, p) - distance(a, n)).clamp(min=0).mean()


def contrastive_loss(a: Tensor, p: Tensor, n: Tensor, margin: float = 1.0) -> Tensor:
    """Return the mean of (δ(a, p)² + max(0, m − δ(a, n))²) / 2 over pairs of one class and pairs of two classes.

    Source: Hadsell, Chopra and LeCun, "Dimensionality reduction by learning an invariant mapping", CVPR 2006.
    """
    return (distance(a, p).square().mean() + (margin - distance(a, n)).clamp(min=0).square().mean()) / 2


class DomainLoss(nn.Module):
    """The loss L_d of a domain classifier behind a gradient reversal, by which encoders learn to hide the domain.

    Args:
        width: D.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.classifier = nn.Sequential(
            nn.Linear(width, _DOMAIN_HIDDEN),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(_DOMAIN_HIDDEN, _DOMAIN_HIDDEN),
            nn.ReLU(),
            nn.Linear(_DOMAIN_HIDDEN, 1),
        )

    def forward(self, a: Tensor, p: Tensor, n: Tensor, reversal: float) -> Tensor:
        """Return the binary cross entropy of R_λ(e) over all 3 N embeddings, where a drawing is 0 and a photo 1."""
        scores = self.classifier(reverse_gradient(torch.cat([a, p, n]), reversal)).flatten().float()
        truth = torch.cat([torch.zeros(len(a)), torch.ones(len(p) + len(n))]).to(scores.device)
        return functional.binary_cross_entropy_with_logits(scores, truth)


class SemanticLoss(nn.Module):
    """The loss L_s: it moves embeddings towards the anchor's word vector, and photos of other classes away from it.

    The paper has three dense layers with ReLUs. Here the ReLUs are between the layers, so that the output can be any
    vector.

    Args:
        vectors: (L, S) float32, the vector of each class's word.
        width: D.
    """

    vectors: Tensor

    def __init__(self, vectors: Tensor, width: int) -> None:
        super().__init__()
        self.register_buffer("vectors", vectors)
        self.map = nn.Sequential(
            nn.Linear(width, _SEMANTIC_HIDDEN),
            nn.ReLU(),
            nn.Linear(_SEMANTIC_HIDDEN, _SEMANTIC_HIDDEN),
            nn.ReLU(),
            nn.Linear(_SEMANTIC_HIDDEN, vectors.shape[1]),
        )

    def forward(self, a: Tensor, p: Tensor, n: Tensor, y: Tensor) -> Tensor:
        """Return (1 / 3N) Σ l_c(a, s) + l_c(p, s) + l_c(R_λ(n), s), with l_c = (1 − cos) / 2 and s that of y.

        Args:
            a: (N, D).
            p: (N, D).
            n: (N, D).
            y: (N,) int64, the anchors' classes.
        """
        embedded = self.map(torch.cat([a, p, reverse_gradient(n, SEMANTIC_REVERSAL)])).float()
        cosines = functional.cosine_similarity(embedded, self.vectors[y].repeat(3, 1))
        return ((1 - cosines) / 2).mean()


def soft_cross_entropy(scores: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean cross entropy between scores and a teacher's scores, both (B, M)."""
    return -(teacher.detach().softmax(1) * scores.log_softmax(1)).sum(1).mean()


def own_shares(vectors: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Return how clearly each item is of its class by all others: Σ_own exp(s) / Σ exp(s), without itself.

    Args:
        vectors: (M, D) float32 of length 1.
        labels: (M,) int64.
        temperature: Of the similarities.

    Returns:
        (M,) float32 in 0..1; 0 for the only item of a class.
    """
    scores = vectors @ vectors.T / temperature
    scores.fill_diagonal_(-torch.inf)
    own = scores.masked_fill(labels[:, None] != labels[None], -torch.inf)
    return (own.logsumexp(1) - scores.logsumexp(1)).exp()


def bank_loss(scores: Tensor, labels: Tensor, bank: Tensor, margins: Tensor | None = None) -> Tensor:
    """Return the mean of −log Σ_p exp(s_p) / Σ exp(s), where p goes over all items of the own class in the bank.

    Source: Wu, Efros and Yu, "Improving generalization via scalable neighborhood component analysis", ECCV 2018, eq. 4.

    Args:
        scores: (B, M) float32, similarities to M items over a temperature.
        labels: (B,) int64, classes of the rows; each has an item in the bank.
        bank: (M,) int64, classes of the items.
        margins: (M,) float32, taken from an item's score where it is of the own class, as in Wang et al., "CosFace:
            large margin cosine loss for deep face recognition", CVPR 2018, eq. 4; None for none.
    """
    if margins is not None:
        scores = scores - margins * (labels[:, None] == bank[None])
    own = scores.masked_fill(labels[:, None] != bank[None], -torch.inf)
    return (scores.logsumexp(1) - own.logsumexp(1)).mean()
