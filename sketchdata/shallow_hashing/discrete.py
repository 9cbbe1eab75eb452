"""Supervised discrete hashing: codes from which the classes can be regressed, and a kernel machine that gives them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse

from sketchdata.shallow_hashing.hasher import Features, Matrix, Sample, blocks, mapped
from sketchdata.shallow_hashing.spectral import median_distance

#: λ of the classifier, ν of the embedding, how often all is solved for, and the anchors, as in the paper.
CLASSIFIER_RIDGE = 1.0
EMBEDDING_WEIGHT = 1e-5
ROUNDS = 5
ANCHORS = 1000
#: What the authors' demonstration adds to the kernel features' squares, and its most sweeps over the bits.
KERNEL_RIDGE = 1e-2
SWEEPS = 10


@dataclass(frozen=True, kw_only=True, eq=False)
class KernelFeatures:
    """How near a feature is to some anchors, exp(−‖x − a‖² / 2σ²), and a 1 for the intercept.

    Attributes:
        anchors: (A, F) float64.
        bandwidth: σ.
    """

    anchors: Matrix
    bandwidth: float

    def __call__(self, rows: Matrix) -> Matrix:
        """Return the kernel features, (M, F) → (M, A + 1)."""
        # By a matrix product, as ‖x‖² − 2x · a + ‖a‖²: four times as fast as by differences, and in double as good.
        squares = np.square(rows).sum(axis=1)[:, None] + np.square(self.anchors).sum(axis=1)
        squares -= 2 * rows @ self.anchors.T
        return np.hstack([np.exp(squares / (-2 * self.bandwidth**2)), np.ones((len(rows), 1))])


@dataclass(frozen=True, kw_only=True, eq=False)
class KernelMachine:
    """A linear map of kernel features.

    Attributes:
        kernel: (M, F) → (M, A + 1).
        weights: (A + 1, D) float64.
    """

    kernel: KernelFeatures
    weights: Matrix

    def __call__(self, rows: Matrix) -> Matrix:
        """Return the scores, (M, F) → (M, D)."""
        return self.kernel(rows) @ self.weights


def learn_sdh(sample: Sample) -> KernelMachine:
    """Learn codes B that give the one-hot labels Y by regression, and a map F of kernel features that gives the codes.

    Source: Shen, Shen, Liu and Shen, Supervised Discrete Hashing, CVPR 2015, with the L2 loss, and the authors'
    code. Two things differ: σ is the median distance between features, for theirs, 0.4, is that of one data set; and
    each round's descent starts from the codes of the last one rather than from 0, so that no round makes it worse.
    """
    rows = sample.random.choice(len(sample), min(len(sample), ANCHORS), replace=False)
    bandwidth = median_distance(sample.features, sample.random)
    kernel = KernelFeatures(anchors=sample.features[np.sort(rows)].astype(np.float64), bandwidth=bandwidth)
    near = mapped(kernel, sample.features, np.float32)
    codes = np.where(sample.random.standard_normal((len(sample), sample.bits)) >= 0, 1.0, -1.0)
    weights, _ = discrete_regression(near, sample.labels, codes)
    return KernelMachine(kernel=kernel, weights=weights)


def discrete_regression(
    near: Features, labels: npt.NDArray[np.int64], codes: Matrix, rounds: int = ROUNDS
) -> tuple[Matrix, list[float]]:
    """Minimise ‖Y − BW‖² + λ‖W‖² + ν(‖B − ΦP‖² + δ‖P‖²) over W, P and the codes B in turn.

    Args:
        near: Φ, (N, A + 1) float32.
        labels: (N,) 0..C-1, which make Y.
        codes: B to start from, (N, D) of −1 and 1.
        rounds: How often to solve for each.

    Returns:
        P, (A + 1, D), and the minimum over W and P at the start and after each round, which never rises.
    """
    one_hot = sparse.csr_array((np.ones(len(labels)), (np.arange(len(labels)), labels)))
    squares = _added(near, near)
    factor = linalg.cho_factor(squares + KERNEL_RIDGE * np.eye(len(squares)), lower=True)
    ridge = CLASSIFIER_RIDGE * np.eye(codes.shape[1])
    losses = []
    for turn in range(rounds + 1):
        sums = (one_hot.T @ codes).T
        classifier = linalg.solve(codes.T @ codes + ridge, sums, assume_a="pos")
        crossed = _added(near, codes)
        weights = linalg.cho_solve(factor, crossed)
        # At its minimum, a ridge regression's loss is ‖target‖² − ⟨solution, crossed⟩.
        apart = codes.size - float((weights * crossed).sum())
        losses.append(len(codes) - float((classifier * sums).sum()) + EMBEDDING_WEIGHT * apart)
        if turn < rounds:
            embedded = np.concatenate([block @ weights for (block,) in blocks(near)])
            wanted = classifier.T[labels] + EMBEDDING_WEIGHT * embedded
            codes = cyclic_descent(codes, wanted, classifier @ classifier.T)
    return weights, losses


def cyclic_descent(codes: Matrix, wanted: Matrix, coupling: Matrix) -> Matrix:
    """Lower bᵀGb − 2bᵀq for each code b, one bit at a time with the others held, until none changes or ten sweeps.

    Source: Shen et al., CVPR 2015: discrete cyclic coordinate descent.

    Args:
        codes: (N, D) of −1 and 1.
        wanted: q, (N, D).
        coupling: G, (D, D), symmetric.

    Returns:
        (N, D) of −1 and 1.
    """
    others = coupling - np.diag(np.diagonal(coupling))
    return np.concatenate([_descended(block, aim, others) for block, aim in blocks(codes, wanted)])


def _descended(codes: Matrix, wanted: Matrix, others: Matrix) -> Matrix:
    codes = codes.T.copy()
    for _ in range(SWEEPS):
        before = codes.copy()
        for bit, aim in enumerate(wanted.T):
            codes[bit] = np.where(aim >= others[bit] @ codes, 1.0, -1.0)
        if (codes == before).all():
            break
    return codes.T


def _added(left: npt.NDArray[Any], right: npt.NDArray[Any]) -> Matrix:
    """Return leftᵀ right, (N, A) and (N, B) → (A, B), in double."""
    total = np.zeros((left.shape[1], right.shape[1]))
    for one, other in blocks(left, right):
        total += one.T @ other
    return total
