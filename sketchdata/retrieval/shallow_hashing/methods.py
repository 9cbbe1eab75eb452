"""Hashing by linear projections: random ones, principal components as they are, rotated, and ITQ; CCA for labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from sketchdata.errors import ConfigError
from sketchdata.shallow_hashing.hasher import Features, Matrix, Sample, blocks, mapped

#: Iterations of ITQ in the paper.
ITERATIONS = 50
#: A direction whose variance is below this share of the largest has none but for rounding.
_FLAT = 1e-12
#: The share of the mean variance that is added to each in CCA. The authors' code adds 0.0001 itself, which only for
#: features of unit variance means the same.
_RIDGE = 1e-4


@dataclass(frozen=True, kw_only=True, eq=False)
class Projection:
    """Scores that say on which side of a plane a feature is, and how far from it: x · w − t.

    Attributes:
        directions: (F, D) float64.
        thresholds: (D,) float64.
    """

    directions: Matrix
    thresholds: Matrix

    def __call__(self, rows: Matrix) -> Matrix:
        """Return the scores, (M, F) → (M, D)."""
        return rows @ self.directions - self.thresholds

    def rotated(self, rotation: Matrix) -> Projection:
        """Return the projection whose scores are this one's, multiplied by (D, D)."""
        return Projection(directions=self.directions @ rotation, thresholds=self.thresholds @ rotation)


def learn_lsh(sample: Sample) -> Projection:
    """Project on random directions, from the mean of the features.

    Source: Charikar, Similarity Estimation Techniques from Rounding Algorithms, STOC 2002. Two features at an angle of
    θ, seen from the mean, differ in each bit with probability θ / π.
    """
    directions = sample.random.standard_normal((sample.features.shape[1], sample.bits))
    return _from(mean_of(sample.features), directions)


def learn_pcah(sample: Sample) -> Projection:
    """Project on the principal components.

    Source: Wang, Kumar and Chang, Semi-Supervised Hashing for Large-Scale Search, TPAMI 2012, without supervision.

    Raises:
        ConfigError: The features vary in fewer directions than there are to be bits.
    """
    components = principal_components(sample.features, sample.bits)
    found = components.directions.shape[1]
    if found < sample.bits:
        raise ConfigError(
            f"{sample.bits} bits of principal components need features that vary in as many directions, and these vary "
            f"in {found} of {sample.features.shape[1]}: take fewer bits, or lsh, sh, sklsh, dsh_density or sdh"
        )
    return components


def learn_pca_rr(sample: Sample) -> Projection:
    """Project on the principal components, rotated by chance: what ITQ starts from.

    Source: Gong and Lazebnik, Iterative Quantization, CVPR 2011, where it is called PCA-RR.
    """
    return learn_pcah(sample).rotated(random_rotation(sample.bits, sample.random))


def learn_pca_itq(sample: Sample) -> Projection:
    """Project on the principal components, rotated so that they come near to the corners of a cube.

    Source: Gong and Lazebnik, Iterative Quantization: A Procrustean Approach to Learning Binary Codes, CVPR 2011.
    """
    return _rotated_by_itq(learn_pcah(sample), sample)


def learn_cca_itq(sample: Sample) -> Projection:
    """Project on the directions that correlate with the classes, rotated by ITQ.

    Each direction is scaled by its correlation, as in the authors' code. C classes have C − 1 such directions at most;
    any further ones have correlation 0 and thereby length 0, and ITQ spreads the C − 1 over the D bits.

    Source: Gong and Lazebnik, CVPR 2011, and their `cca.m`. With one-hot labels, correlations come from the class means
    alone: S_b w = ρ² S_t w, with the scatter S_b between classes and S_t in all.
    """
    mean = mean_of(sample.features)
    spread = _covariance(sample.features, mean)
    spread[np.diag_indices_from(spread)] += _RIDGE * np.trace(spread) / len(spread)
    counts = np.bincount(sample.labels)
    means = np.stack([mean_of(sample.features[sample.labels == label]) for label in range(len(counts))]) - mean
    root = linalg.cholesky(spread, lower=True)
    between = linalg.solve_triangular(root, (means * np.sqrt(counts / len(sample))[:, None]).T, lower=True)
    whitened, correlations, _ = linalg.svd(between, full_matrices=False)
    some = min(sample.bits, len(counts) - 1, len(spread))
    directions = np.zeros((len(spread), sample.bits))
    scaled = linalg.solve_triangular(root, whitened[:, :some], lower=True, trans="T") * correlations[:some]
    directions[:, :some] = _with_signs(scaled)
    return _rotated_by_itq(_from(mean, directions), sample)


def _from(origin: Matrix, directions: Matrix) -> Projection:
    """Return the projection of what differs from an origin, (F,), on directions, (F, D)."""
    return Projection(directions=directions, thresholds=origin @ directions)


def _rotated_by_itq(projection: Projection, sample: Sample) -> Projection:
    start = random_rotation(sample.bits, sample.random)
    rotation, _ = itq_rotation(mapped(projection, sample.features), start)
    return projection.rotated(rotation)


def itq_rotation(projected: Matrix, rotation: Matrix, iterations: int = ITERATIONS) -> tuple[Matrix, list[float]]:
    """Find a rotation R that brings projections V near to their own signs B, minimising ‖B − VR‖².

    Source: Gong and Lazebnik, CVPR 2011, Eq. 2: signs and rotation in turn; the rotation solves a Procrustes problem.

    Args:
        projected: (N, D), centred.
        rotation: (D, D), where to start.
        iterations: How many rotations to solve for.

    Returns:
        The rotation, (D, D), and ‖B − VR‖² at the start and after each iteration, which never rises.
    """
    losses = []
    for _ in range(iterations):
        signs, loss = _signs(projected @ rotation)
        losses.append(loss)
        left, _, right = linalg.svd(projected.T @ signs)
        rotation = left @ right
    return rotation, [*losses, _signs(projected @ rotation)[1]]


def _signs(rotated: Matrix) -> tuple[Matrix, float]:
    signs = np.where(rotated >= 0, 1.0, -1.0)
    return signs, float(np.square(signs - rotated).sum())


def random_rotation(size: int, random: np.random.Generator) -> Matrix:
    """Return an orthogonal matrix, all being equally likely (Haar): (size, size)."""
    unitary, upper = linalg.qr(random.standard_normal((size, size)))
    rotation: Matrix = unitary * np.sign(np.diagonal(upper))
    return rotation


def mean_of(features: Features) -> Matrix:
    """Return the mean of features, summed in double: (N, F) → (F,)."""
    mean: Matrix = features.mean(axis=0, dtype=np.float64)
    return mean


def principal_components(features: Features, count: int) -> Projection:
    """Return the directions of largest variance, largest first: `count`, or fewer where no more has any variance."""
    mean = mean_of(features)
    width = features.shape[1]
    variances, directions = linalg.eigh(_covariance(features, mean), subset_by_index=[max(width - count, 0), width - 1])
    varied = variances[::-1] > _FLAT * variances[-1]
    return _from(mean, _with_signs(directions[:, ::-1][:, varied]))


def _covariance(features: Features, mean: Matrix) -> Matrix:
    total = np.zeros((features.shape[1],) * 2)
    for (block,) in blocks(features):
        centred = block - mean
        total += centred.T @ centred
    return total / len(features)


def _with_signs(directions: Matrix) -> Matrix:
    """Turn each column so that its largest entry is positive: which way a solver turns it is its own affair."""
    largest = np.abs(directions).argmax(axis=0)
    turned: Matrix = directions * np.where(directions[largest, np.arange(directions.shape[1])] < 0, -1.0, 1.0)
    return turned
