"""Shallow hashing methods: projections (LSH, PCA, ITQ, CCA-ITQ), spectral, density sensitive and discrete ones."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse
from scipy.cluster.vq import kmeans2
from scipy.spatial.distance import cdist, pdist

from sketchdata.errors import ConfigError
from sketchdata.retrieval.shallow_hashing.hasher import Features, Matrix, Sample, blocks, mapped

# Hashing by linear projections: random ones, principal components as they are, rotated, and ITQ; CCA for labels.

#: Iterations of ITQ in the paper.
ITERATIONS_PROJECTIONS = 50
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


def itq_rotation(
    projected: Matrix, rotation: Matrix, iterations: int = ITERATIONS_PROJECTIONS
) -> tuple[Matrix, list[float]]:
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


# Density sensitive hashing: bits that part neighbouring groups of features halfway between their centres.

#: Groups a bit (α), iterations of k-means (p), and neighbours of a group (r), as in the paper.
GROUPS_PER_BIT = 1.5
ITERATIONS = 3
NEIGHBOURS = 3


def learn_dsh_density(sample: Sample) -> Projection:
    """Put planes midway between groups that are neighbours, and keep those that part the features most evenly.

    Source: Jin, Li, Lin and Cai, Density Sensitive Hashing, IEEE Transactions on Cybernetics 2014: α = 1.5, p = 3,
    r = 3. The groups count as a whole to the side of their centre, each with the number of its features.

    Raises:
        ConfigError: There are fewer rows than groups, or too few groups that differ.
    """
    groups = math.ceil(GROUPS_PER_BIT * sample.bits)
    if len(sample) < groups:
        raise ConfigError(f"{sample.bits} bits by density need at least {groups} rows, and there are {len(sample)}")
    centres, members = _groups(sample, groups)
    first, second = neighbours(centres, min(NEIGHBOURS, groups - 1))
    if len(first) < sample.bits:
        raise ConfigError(
            f"{sample.bits} bits by density need as many pairs of neighbouring groups, and the features fall into "
            f"groups with {len(first)}: take fewer bits"
        )
    directions = (centres[first] - centres[second]).T
    middles = (np.square(centres[first]).sum(axis=1) - np.square(centres[second]).sum(axis=1)) / 2
    share = members @ (centres @ directions >= middles) / len(sample)
    # The entropy of a bit grows with the share on its smaller side.
    evenest = np.argsort(-np.minimum(share, 1 - share), kind="stable")[: sample.bits]
    return Projection(directions=directions[:, evenest], thresholds=middles[evenest])


def _groups(sample: Sample, groups: int) -> tuple[Matrix, Matrix]:
    """Return the centres of groups after a few steps of k-means, (K, F), and how many features each has, (K,)."""
    rows = sample.features.astype(np.float64)
    start = rows[np.sort(sample.random.choice(len(rows), groups, replace=False))]
    with warnings.catch_warnings():
        # A group that loses all its features stays where it was, and counts for nothing.
        warnings.filterwarnings("ignore", message="One of the clusters is empty")
        centres, label = kmeans2(rows, start, iter=ITERATIONS, minit="matrix", check_finite=False)
    return centres, np.bincount(label, minlength=groups).astype(np.float64)


def neighbours(centres: Matrix, count: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the pairs of which one is among the `count` nearest of the other, without those in the same place.

    Args:
        centres: (K, F).
        count: 1..K-1.

    Returns:
        (P,) and (P,), the first lower than the second; in order.
    """
    apart = cdist(centres, centres)
    np.fill_diagonal(apart, np.inf)
    near = np.zeros(apart.shape, np.bool_)
    np.put_along_axis(near, np.argsort(apart, axis=1, kind="stable")[:, :count], True, axis=1)
    first, second = np.nonzero(np.triu((near | near.T) & (apart > 0)))
    return first, second


# Hashing by waves: eigenfunctions of a box (spectral hashing), and random ones (shift-invariant kernels).

#: Rows among which distances are taken: half a million pairs.
_ROWS_FOR_DISTANCES = 1000


@dataclass(frozen=True, kw_only=True, eq=False)
class BoxModes:
    """Eigenfunctions of a box, one a bit: waves along one side of it.

    Attributes:
        components: The principal components, (M, F) → (M, K).
        low: (K,) float64, the box's lower corner.
        axis: (D,) which component a bit's wave runs along.
        frequency: (D,) float64, radians a unit.
    """

    components: Projection
    low: Matrix
    axis: npt.NDArray[np.int64]
    frequency: Matrix

    def __call__(self, rows: Matrix) -> Matrix:
        """Return the values of the eigenfunctions, (M, F) → (M, D)."""
        place = (self.components(rows) - self.low)[:, self.axis]
        return np.sin(np.pi / 2 + self.frequency * place)


def learn_sh(sample: Sample) -> BoxModes:
    """Take the waves of longest wavelength in the box that holds the principal components.

    On a side of length L the waves have kπ / L radians a unit, k = 1, 2 …; the lowest D over all sides are taken. There
    may be more bits than features, for a long side takes several waves.

    Source: Weiss, Torralba and Fergus, Spectral Hashing, NIPS 2008, and the authors' `trainSH.m`.
    """
    components = principal_components(sample.features, sample.bits)
    place = mapped(components, sample.features)
    low, high = place.min(axis=0), place.max(axis=0)
    frequencies = np.outer(np.arange(1, sample.bits + 1), np.pi / (high - low))
    lowest = np.argsort(frequencies, axis=None, kind="stable")[: sample.bits]
    return BoxModes(components=components, low=low, axis=lowest % len(low), frequency=frequencies.reshape(-1)[lowest])


@dataclass(frozen=True, kw_only=True, eq=False)
class RandomWaves:
    """Cosines of random directions and phases, with random thresholds: cos(x · w + b) + t.

    Attributes:
        directions: (F, D) float64, radians a unit.
        phases: (D,) float64, radians.
        thresholds: (D,) float64, −1..1.
    """

    directions: Matrix
    phases: Matrix
    thresholds: Matrix

    def __call__(self, rows: Matrix) -> Matrix:
        """Return the scores, (M, F) → (M, D)."""
        return np.cos(rows @ self.directions + self.phases) + self.thresholds


def learn_sklsh(sample: Sample, bandwidth: float | None = None) -> RandomWaves:
    """Draw waves whose bits differ the more often, the smaller exp(−‖x − y‖² / 2σ²) is.

    Source: Raginsky and Lazebnik, Locality-Sensitive Binary Codes from Shift-Invariant Kernels, NIPS 2009,
    with the Gaussian kernel.

    Args:
        sample: The features.
        bandwidth: σ. Default: the median distance between two features. One far too small makes all codes as good as
            random; the paper on sketches reports such numbers, and does not say what it took.
    """
    sigma = median_distance(sample.features, sample.random) if bandwidth is None else bandwidth
    return RandomWaves(
        directions=sample.random.standard_normal((sample.features.shape[1], sample.bits)) / sigma,
        phases=sample.random.uniform(0, 2 * np.pi, sample.bits),
        thresholds=sample.random.uniform(-1, 1, sample.bits),
    )


def median_distance(features: Features, random: np.random.Generator) -> float:
    """Return the median distance between two rows that differ, over the pairs among a thousand rows drawn by chance."""
    rows = random.choice(len(features), min(len(features), _ROWS_FOR_DISTANCES), replace=False)
    distances = pdist(features[rows].astype(np.float64))
    apart = distances[distances > 0]
    # Where nearly all rows are equal, those drawn may all be; the features as a whole are not, as Sample has it.
    return float(np.median(apart)) if len(apart) else float(np.linalg.norm(np.ptp(features, axis=0)))


# Supervised discrete hashing: codes from which the classes can be regressed, and a kernel machine that gives them.

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
