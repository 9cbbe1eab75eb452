"""Shallow hashing: classic methods that learn binary codes from features, in a table by name.

    hasher = SHALLOW_HASHERS["pca_itq"].fit(features, None, bits=32, seed=0)
    codes = hasher.encode(features)   # (N, 32) bool

They are the competitors of Table III of Xu et al., On Learning Semantic Representations for Million-Scale Free-Hand
Sketches, and PCA-RR. `dsh_density` is DSH in that table; the suffix distinguishes it from two deep methods named DSH.

A method is a function from a sample to a map, (M, F) features → (M, D) scores; bit d is 1 if score d is not negative.
Features are float32; sums over many rows are computed in float64, some thousand rows at a time.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse
from scipy.cluster.vq import kmeans2
from scipy.spatial.distance import cdist, pdist

from sketchdata.errors import ConfigError, SketchDataError

Features: TypeAlias = npt.NDArray[np.float32]
Matrix: TypeAlias = npt.NDArray[np.float64]
#: (M, F) float64 features → (M, D) scores.
Map: TypeAlias = Callable[[Matrix], Matrix]

#: Maximum number of training rows. The published figures use all rows, in 100 to 200 GB of memory.
MOST_ROWS = 100_000
#: Rows per block of float64: a few megabytes of features.
_ROWS_AT_ONCE = 4096


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """The training data of a method.

    Attributes:
        features: (N, F) float32, finite, not all rows equal.
        labels: (N,) int64, 0..C-1, each of which occurs; all 0 for unsupervised methods.
        bits: D, at most N.
        random: Generator of the method's random numbers.
    """

    features: Features
    labels: npt.NDArray[np.int64]
    bits: int
    random: np.random.Generator

    def __len__(self) -> int:
        return len(self.features)


@dataclass(frozen=True, kw_only=True, eq=False)
class Hasher:
    """A fitted method with D bits for features of width F, fitted to `fitted_on` rows."""

    bits: int
    width: int
    fitted_on: int
    scores: Map

    def encode(self, features: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.bool_]:
        """Return the codes of features, (M, F) → (M, D) bool, 1 if the score is not negative.

        Raises:
            ConfigError: The features have another width.
            SketchDataError: A feature is not a finite number.
        """
        if features.ndim != 2 or features.shape[1] != self.width:
            raise ConfigError(f"this hasher was fitted to (N, {self.width}) features, and is given {features.shape}")
        codes = np.empty((len(features), self.bits), np.bool_)
        start = 0
        for (block,) in blocks(features):
            _check_finite(block, start)
            codes[start : start + len(block)] = self.scores(block) >= 0
            start += len(block)
        return codes


@dataclass(frozen=True, kw_only=True)
class ShallowMethod:
    """An entry of the table: fits a map to a sample, with labels if it is supervised, as in the paper `source`."""

    learn: Callable[[Sample], Map]
    supervised: bool
    source: str

    def fit(
        self,
        features: npt.NDArray[np.floating[Any]],
        labels: npt.NDArray[np.integer[Any]] | None,
        bits: int,
        seed: int,
        *,
        most: int = MOST_ROWS,
    ) -> Hasher:
        """Learn a hasher of D bits; the same seed gives the same one.

        Args:
            features: (N, F), converted to float32.
            labels: (N,) integers of any values; unsupervised methods ignore them.
            bits: D.
            seed: Seed, 0 or more, for drawing rows if there are more than `most`, and for the method.
            most: Maximum number of training rows.

        Raises:
            ConfigError: The shapes of the arrays do not match, or there are too few rows or features for the bits.
            SketchDataError: A feature is not a finite number, or all rows are equal.
        """
        if not self.supervised:
            labels = np.zeros(len(features), np.int64)
        elif labels is None:
            raise ConfigError("a supervised method needs a label for each feature, and has none")
        sample = _draw_sample(features, labels, bits, seed, most)
        if self.supervised and not sample.labels.any():
            raise ConfigError("a supervised method learns to separate classes, and there is only one class")
        return Hasher(bits=bits, width=sample.features.shape[1], fitted_on=len(sample), scores=self.learn(sample))


def _draw_sample(
    features: npt.NDArray[np.floating[Any]], labels: npt.NDArray[np.integer[Any]], bits: int, seed: int, most: int
) -> Sample:
    if features.ndim != 2 or labels.shape != features.shape[:1]:
        raise ConfigError(f"(N, F) features with (N,) labels are needed, not {features.shape} with {labels.shape}")
    if bits < 1 or seed < 0:
        raise ConfigError(f"bits are counted from 1 and seeds from 0: not {bits} bits with seed {seed}")
    random = np.random.default_rng(seed)
    if len(features) > most:
        rows = np.sort(random.choice(len(features), most, replace=False))
        features, labels = features[rows], labels[rows]
    chosen = np.ascontiguousarray(features, np.float32)
    if len(chosen) < max(bits, 2):
        raise ConfigError(f"{bits} bits need {max(bits, 2)} rows or more to learn from, and there are {len(chosen)}")
    _check_finite(chosen, 0)
    if not np.ptp(chosen, axis=0).any():
        raise SketchDataError(f"all {len(chosen):,} features are equal, so they cannot be told apart")
    return Sample(features=chosen, labels=np.unique(labels, return_inverse=True)[1], bits=bits, random=random)


def _check_finite(rows: npt.NDArray[np.floating[Any]], first: int) -> None:
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        row = first + int(np.argmin(finite))
        raise SketchDataError(f"features should be finite numbers, and row {row:,} (from 0) has others")


def blocks(*arrays: npt.NDArray[Any]) -> Iterator[tuple[Matrix, ...]]:
    """Yield the rows of arrays of equal length as float64, some thousand rows at a time."""
    for start in range(0, len(arrays[0]), _ROWS_AT_ONCE):
        yield tuple(array[start : start + _ROWS_AT_ONCE].astype(np.float64) for array in arrays)


def mapped(function: Map, rows: npt.NDArray[Any], kind: npt.DTypeLike = np.float64) -> npt.NDArray[Any]:
    """Apply a map to N ≥ 1 rows, block by block: (N, …) → (N, …) of a float type."""
    return np.concatenate([function(block).astype(kind, copy=False) for (block,) in blocks(rows)])


# Hashing by linear projections: random ones, principal components, randomly rotated ones, ITQ, and CCA with labels.

#: Iterations of ITQ in the paper.
ITQ_ITERATIONS = 50
#: A direction with a variance below this share of the largest has no variance, up to rounding.
_FLAT = 1e-12
#: Regularisation of CCA: the share of the mean variance that is added to each variance. The authors' code adds 0.0001,
#: which is equivalent only for features of unit variance.
_RIDGE = 1e-4


@dataclass(frozen=True, kw_only=True, eq=False)
class Projection:
    """The signed distances of features from D planes, x · w − t, with (F, D) directions w and (D,) thresholds t."""

    directions: Matrix
    thresholds: Matrix

    def __call__(self, rows: Matrix) -> Matrix:
        """Return the scores, (M, F) → (M, D)."""
        return rows @ self.directions - self.thresholds

    def rotated(self, rotation: Matrix) -> Projection:
        """Return the projection whose scores are this one's times a (D, D) rotation."""
        return Projection(directions=self.directions @ rotation, thresholds=self.thresholds @ rotation)


def learn_lsh(sample: Sample) -> Projection:
    """Project the centred features on random directions.

    Source: Charikar, Similarity Estimation Techniques from Rounding Algorithms, STOC 2002. Two centred features with an
    angle of θ differ in each bit with probability θ / π.
    """
    directions = sample.random.standard_normal((sample.features.shape[1], sample.bits))
    return _from(mean_of(sample.features), directions)


def learn_pcah(sample: Sample) -> Projection:
    """Project on the principal components.

    Source: Wang, Kumar and Chang, Semi-Supervised Hashing for Large-Scale Search, TPAMI 2012, without supervision.

    Raises:
        ConfigError: The features vary in fewer than D directions.
    """
    components = principal_components(sample.features, sample.bits)
    found = components.directions.shape[1]
    if found < sample.bits:
        raise ConfigError(
            f"{sample.bits} bits of principal components need features that vary in as many directions, and these vary "
            f"in {found} of {sample.features.shape[1]}: use fewer bits, or lsh, sh, sklsh, dsh_density or sdh"
        )
    return components


def learn_pca_rr(sample: Sample) -> Projection:
    """Project on the principal components, rotated at random: the initialisation of ITQ.

    Source: Gong and Lazebnik, Iterative Quantization, CVPR 2011, where it is called PCA-RR.
    """
    return learn_pcah(sample).rotated(random_rotation(sample.bits, sample.random))


def learn_pca_itq(sample: Sample) -> Projection:
    """Project on the principal components, rotated towards the corners of a cube.

    Source: Gong and Lazebnik, Iterative Quantization: A Procrustean Approach to Learning Binary Codes, CVPR 2011.
    """
    return _rotated_by_itq(learn_pcah(sample), sample)


def learn_cca_itq(sample: Sample) -> Projection:
    """Project on the directions that correlate with the classes, rotated by ITQ.

    Each direction is scaled by its correlation, as in the authors' code. C classes have at most C − 1 such directions;
    any others have correlation and therefore length 0, and ITQ distributes the C − 1 over the D bits.

    Source: Gong and Lazebnik, CVPR 2011, and their `cca.m`. With one-hot labels, correlations depend only on the class
    means: S_b w = ρ² S_t w, with the between-class scatter S_b and the total scatter S_t.
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
    return Projection(directions=directions, thresholds=origin @ directions)


def _rotated_by_itq(projection: Projection, sample: Sample) -> Projection:
    start = random_rotation(sample.bits, sample.random)
    rotation, _ = itq_rotation(mapped(projection, sample.features), start)
    return projection.rotated(rotation)


def itq_rotation(projected: Matrix, rotation: Matrix, iterations: int = ITQ_ITERATIONS) -> tuple[Matrix, list[float]]:
    """Find the (D, D) rotation R of centred projections V, (N, D), that minimises ‖B − VR‖² for their signs B.

    Source: Gong and Lazebnik, CVPR 2011, Eq. 2: alternating signs and rotation, which solves a Procrustes problem.

    Returns:
        R, and ‖B − VR‖² at the start and after each iteration, which never increases.
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
    """Return a uniformly random (Haar) orthogonal (size, size) matrix."""
    unitary, upper = linalg.qr(random.standard_normal((size, size)))
    rotation: Matrix = unitary * np.sign(np.diagonal(upper))
    return rotation


def mean_of(features: Features) -> Matrix:
    """Return the mean of features, summed in float64: (N, F) → (F,)."""
    mean: Matrix = features.mean(axis=0, dtype=np.float64)
    return mean


def principal_components(features: Features, count: int) -> Projection:
    """Return the `count` directions of largest variance, in descending order, without those of no variance."""
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
    """Normalise the sign of each column, which depends on the solver, so that its largest entry is positive."""
    largest = np.abs(directions).argmax(axis=0)
    turned: Matrix = directions * np.where(directions[largest, np.arange(directions.shape[1])] < 0, -1.0, 1.0)
    return turned


# Density sensitive hashing: bits that separate neighbouring groups of features midway between their centres.

#: Groups per bit (α), iterations of k-means (p), and neighbours of a group (r), as in the paper.
GROUPS_PER_BIT = 1.5
K_MEANS_ITERATIONS = 3
NEIGHBOURS = 3


def learn_dsh_density(sample: Sample) -> Projection:
    """Place planes midway between neighbouring groups, and keep those that divide the features most evenly.

    Source: Jin, Li, Lin and Cai, Density Sensitive Hashing, IEEE Transactions on Cybernetics 2014: α = 1.5, p = 3,
    r = 3. All features of a group count on the side of its centre.

    Raises:
        ConfigError: There are fewer rows than groups, or too few distinct groups.
    """
    groups = math.ceil(GROUPS_PER_BIT * sample.bits)
    if len(sample) < groups:
        raise ConfigError(f"{sample.bits} bits by density need at least {groups} rows, and there are {len(sample)}")
    centres, members = _groups(sample, groups)
    first, second = neighbours(centres, min(NEIGHBOURS, groups - 1))
    if len(first) < sample.bits:
        raise ConfigError(
            f"{sample.bits} bits by density need as many pairs of neighbouring groups, and the features fall into "
            f"groups with {len(first)}: use fewer bits"
        )
    directions = (centres[first] - centres[second]).T
    middles = (np.square(centres[first]).sum(axis=1) - np.square(centres[second]).sum(axis=1)) / 2
    share = members @ (centres @ directions >= middles) / len(sample)
    # The entropy of a bit increases with the share on its smaller side.
    evenest = np.argsort(-np.minimum(share, 1 - share), kind="stable")[: sample.bits]
    return Projection(directions=directions[:, evenest], thresholds=middles[evenest])


def _groups(sample: Sample, groups: int) -> tuple[Matrix, Matrix]:
    rows = sample.features.astype(np.float64)
    start = rows[np.sort(sample.random.choice(len(rows), groups, replace=False))]
    with warnings.catch_warnings():
        # An empty group keeps its centre and has no weight.
        warnings.filterwarnings("ignore", message="One of the clusters is empty")
        centres, label = kmeans2(rows, start, iter=K_MEANS_ITERATIONS, minit="matrix", check_finite=False)
    return centres, np.bincount(label, minlength=groups).astype(np.float64)


def neighbours(centres: Matrix, count: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the pairs of (K, F) distinct centres of which one is among the `count` nearest of the other.

    Returns:
        (P,) and (P,), sorted, the first smaller than the second.
    """
    apart = cdist(centres, centres)
    np.fill_diagonal(apart, np.inf)
    near = np.zeros(apart.shape, np.bool_)
    np.put_along_axis(near, np.argsort(apart, axis=1, kind="stable")[:, :count], True, axis=1)
    first, second = np.nonzero(np.triu((near | near.T) & (apart > 0)))
    return first, second


# Hashing by waves: eigenfunctions of a box (spectral hashing), and random ones (shift-invariant kernels).

#: Number of rows for pairwise distances: half a million pairs.
_ROWS_FOR_DISTANCES = 1000


@dataclass(frozen=True, kw_only=True, eq=False)
class BoxModes:
    """Eigenfunctions of a box, one per bit: waves along one of its sides.

    Attributes:
        components: The principal components, (M, F) → (M, K).
        low: (K,) float64, the lower corner of the box.
        axis: (D,) the component along which the wave of a bit runs.
        frequency: (D,) float64, radians per unit.
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
    """Use the waves of longest wavelength in the bounding box of the principal components.

    On a side of length L the waves have kπ / L radians per unit, k = 1, 2 …; the lowest D over all sides are used.
    There may be more bits than features, since a long side has several waves.

    Source: Weiss, Torralba and Fergus, Spectral Hashing, NIPS 2008, and the authors' `trainSH.m`.
    """
    components = principal_components(sample.features, sample.bits)
    place = mapped(components, sample.features)
    low, high = place.min(axis=0), place.max(axis=0)
    frequencies = np.outer(np.arange(1, sample.bits + 1), np.pi / (high - low))
    lowest = np.argsort(frequencies, axis=None, kind="stable")[: sample.bits]
    return BoxModes(components=components, low=low, axis=lowest % len(low), frequency=frequencies.reshape(-1)[lowest])


def learn_sklsh(sample: Sample, bandwidth: float | None = None) -> Map:
    """Draw random waves cos(x · w + b) + t, whose bits differ more often for a smaller exp(−‖x − y‖² / 2σ²).

    Source: Raginsky and Lazebnik, Locality-Sensitive Binary Codes from Shift-Invariant Kernels, NIPS 2009,
    with the Gaussian kernel.

    Args:
        sample: The features.
        bandwidth: σ. Default: the median distance between two features. A σ that is far too small gives nearly random
            codes; the paper on sketches reports such figures, and does not state its σ.
    """
    sigma = median_distance(sample.features, sample.random) if bandwidth is None else bandwidth
    directions = sample.random.standard_normal((sample.features.shape[1], sample.bits)) / sigma
    phases = sample.random.uniform(0, 2 * np.pi, sample.bits)
    thresholds = sample.random.uniform(-1, 1, sample.bits)
    return lambda rows: np.cos(rows @ directions + phases) + thresholds


def median_distance(features: Features, random: np.random.Generator) -> float:
    """Return the median distance of two distinct rows, over the pairs of a thousand rows drawn at random."""
    rows = random.choice(len(features), min(len(features), _ROWS_FOR_DISTANCES), replace=False)
    distances = pdist(features[rows].astype(np.float64))
    apart = distances[distances > 0]
    # If nearly all rows are equal, the drawn ones may all be; by the definition of Sample, not all rows are.
    return float(np.median(apart)) if len(apart) else float(np.linalg.norm(np.ptp(features, axis=0)))


# Supervised discrete hashing: codes from which the classes can be regressed, and a kernel machine for the codes.

#: λ of the classifier, ν of the embedding, number of iterations, and number of anchors, as in the paper.
CLASSIFIER_RIDGE = 1.0
EMBEDDING_WEIGHT = 1e-5
ROUNDS = 5
ANCHORS = 1000
#: From the authors' demonstration: regularisation of the kernel features, and maximum number of sweeps over the bits.
KERNEL_RIDGE = 1e-2
SWEEPS = 10


def kernel_features(rows: Matrix, anchors: Matrix, bandwidth: float) -> Matrix:
    """Return exp(−‖x − a‖² / 2σ²) for some anchors a, and a 1 for the intercept: (M, F), (A, F) → (M, A + 1)."""
    # ‖x‖² − 2x · a + ‖a‖² by a matrix product: four times as fast as differences, and precise enough in float64.
    squares = np.square(rows).sum(axis=1)[:, None] + np.square(anchors).sum(axis=1)
    squares -= 2 * rows @ anchors.T
    return np.hstack([np.exp(squares / (-2 * bandwidth**2)), np.ones((len(rows), 1))])


def learn_sdh(sample: Sample) -> Map:
    """Learn codes B that give the one-hot labels Y by regression, and a map of kernel features that gives the codes.

    Source: Shen, Shen, Liu and Shen, Supervised Discrete Hashing, CVPR 2015, with the L2 loss, and the authors'
    code. Two things differ: σ is the median distance between features, since their 0.4 is for one data set; and the
    descent of each round starts from the codes of the previous one instead of 0, so that no round increases the loss.
    """
    rows = sample.random.choice(len(sample), min(len(sample), ANCHORS), replace=False)
    bandwidth = median_distance(sample.features, sample.random)
    anchors = sample.features[np.sort(rows)].astype(np.float64)
    near = mapped(lambda rows: kernel_features(rows, anchors, bandwidth), sample.features, np.float32)
    codes = np.where(sample.random.standard_normal((len(sample), sample.bits)) >= 0, 1.0, -1.0)
    weights, _ = discrete_regression(near, sample.labels, codes)
    return lambda rows: kernel_features(rows, anchors, bandwidth) @ weights


def discrete_regression(
    near: Features, labels: npt.NDArray[np.int64], codes: Matrix, rounds: int = ROUNDS
) -> tuple[Matrix, list[float]]:
    """Minimise ‖Y − BW‖² + λ‖W‖² + ν(‖B − ΦP‖² + δ‖P‖²) over W, P and the codes B in turn.

    Args:
        near: Φ, (N, A + 1) float32.
        labels: (N,) 0..C-1, from which Y is made.
        codes: Initial B, (N, D) of −1 and 1.
        rounds: Number of iterations.

    Returns:
        P, (A + 1, D), and the minimum over W and P at the start and after each round, which never increases.
    """
    one_hot = sparse.csr_array((np.ones(len(labels)), (np.arange(len(labels)), labels)))
    squares = _summed_products(near, near)
    factor = linalg.cho_factor(squares + KERNEL_RIDGE * np.eye(len(squares)), lower=True)
    ridge = CLASSIFIER_RIDGE * np.eye(codes.shape[1])
    losses = []
    for turn in range(rounds + 1):
        sums = (one_hot.T @ codes).T
        classifier = linalg.solve(codes.T @ codes + ridge, sums, assume_a="pos")
        crossed = _summed_products(near, codes)
        weights = linalg.cho_solve(factor, crossed)
        # The minimum of a ridge regression's loss is ‖target‖² − ⟨solution, crossed⟩.
        apart = codes.size - float((weights * crossed).sum())
        losses.append(len(codes) - float((classifier * sums).sum()) + EMBEDDING_WEIGHT * apart)
        if turn < rounds:
            embedded = np.concatenate([block @ weights for (block,) in blocks(near)])
            wanted = classifier.T[labels] + EMBEDDING_WEIGHT * embedded
            codes = cyclic_descent(codes, wanted, classifier @ classifier.T)
    return weights, losses


def cyclic_descent(codes: Matrix, wanted: Matrix, coupling: Matrix) -> Matrix:
    """Minimise bᵀGb − 2bᵀq for each code b, one bit at a time, until none changes or after ten sweeps.

    Source: Shen et al., CVPR 2015: discrete cyclic coordinate descent.

    Args:
        codes: (N, D) of −1 and 1.
        wanted: q, (N, D).
        coupling: G, (D, D), symmetric.

    Returns:
        (N, D) of −1 and 1.
    """
    others = coupling - np.diag(np.diagonal(coupling))
    lowered = []
    for block, aims in blocks(codes, wanted):
        bits = block.T.copy()
        for _ in range(SWEEPS):
            before = bits.copy()
            for bit, aim in enumerate(aims.T):
                bits[bit] = np.where(aim >= others[bit] @ bits, 1.0, -1.0)
            if (bits == before).all():
                break
        lowered.append(bits.T)
    return np.concatenate(lowered)


def _summed_products(left: npt.NDArray[Any], right: npt.NDArray[Any]) -> Matrix:
    total = np.zeros((left.shape[1], right.shape[1]))
    for one, other in blocks(left, right):
        total += one.T @ other
    return total


_ITQ = "Gong and Lazebnik, Iterative Quantization: A Procrustean Approach to Learning Binary Codes, CVPR 2011"

#: {name: method}, the unsupervised ones first.
SHALLOW_HASHERS: dict[str, ShallowMethod] = {
    "lsh": ShallowMethod(
        learn=learn_lsh,
        supervised=False,
        source="Charikar, Similarity Estimation Techniques from Rounding Algorithms, STOC 2002",
    ),
    "pcah": ShallowMethod(
        learn=learn_pcah,
        supervised=False,
        source="Wang, Kumar and Chang, Semi-Supervised Hashing for Large-Scale Search, TPAMI 2012",
    ),
    "pca_rr": ShallowMethod(learn=learn_pca_rr, supervised=False, source=_ITQ),
    "pca_itq": ShallowMethod(learn=learn_pca_itq, supervised=False, source=_ITQ),
    "sh": ShallowMethod(
        learn=learn_sh, supervised=False, source="Weiss, Torralba and Fergus, Spectral Hashing, NIPS 2008"
    ),
    "sklsh": ShallowMethod(
        learn=learn_sklsh,
        supervised=False,
        source="Raginsky and Lazebnik, Locality-Sensitive Binary Codes from Shift-Invariant Kernels, NIPS 2009",
    ),
    "dsh_density": ShallowMethod(
        learn=learn_dsh_density,
        supervised=False,
        source="Jin, Li, Lin and Cai, Density Sensitive Hashing, IEEE Transactions on Cybernetics 2014",
    ),
    "cca_itq": ShallowMethod(learn=learn_cca_itq, supervised=True, source=_ITQ),
    "sdh": ShallowMethod(
        learn=learn_sdh, supervised=True, source="Shen, Shen, Liu and Shen, Supervised Discrete Hashing, CVPR 2015"
    ),
}


# Histograms of oriented gradients, a picture descriptor without learning. OpenCV's implementation distributes each
# pixel # to the neighbouring cells as in the paper, unlike scikit-image's, and is twenty times as fast on 28 × 28
# pixels.

#: Cells per side: 4 pixels each of the official 28 × 28 bitmaps, 32 each of 224 × 224.
CELLS = 7
#: Bins over 180°, and cells per side of a block, as in the paper.
ORIENTATIONS = 9
BLOCK = 2


def hog_width(cells: int = CELLS) -> int:
    """Return F, the width of a feature: blocks × cells of a block × orientations; 1,296 by default."""
    return (cells - BLOCK + 1) ** 2 * BLOCK**2 * ORIENTATIONS


def hog_features(bitmaps: npt.NDArray[np.uint8], *, cells: int = CELLS) -> npt.NDArray[np.float32]:
    """Return the histograms of oriented gradients of bitmaps, 0..1: (N, S, S) uint8 → (N, `hog_width`) float32.

    Unsigned gradients in 9 bins over 180°, weighted by their length and distributed to the two nearest bins and the
    four nearest cells; blocks of 2 × 2 cells that overlap by one, each weighted towards its centre and normalised by
    L2-Hys with a clip at 0.2. The values of a picture without ink are 0. A feature takes 5 kB, so process some
    thousands of bitmaps at a time.

    Source: Dalal and Triggs, Histograms of Oriented Gradients for Human Detection, CVPR 2005; OpenCV's
    `cv::HOGDescriptor`. The paper on sketches gives no parameters.

    Args:
        bitmaps: Squares of a side S that is a multiple of `cells`.
        cells: Cells per side, 2 or more.

    Raises:
        ConfigError: The bitmaps are not squares of bytes, or their side is not a multiple of `cells`.
    """
    if bitmaps.ndim != 3 or bitmaps.shape[1] != bitmaps.shape[2] or bitmaps.dtype != np.uint8:
        raise ConfigError(f"bitmaps of (N, S, S) uint8 are needed, not {bitmaps.dtype} of shape {bitmaps.shape}")
    side = bitmaps.shape[1]
    if cells < BLOCK or side < cells or side % cells:
        raise ConfigError(
            f"{side} pixels do not divide into {cells} cells per side: take a multiple of the cells, from 2"
        )
    cell = side // cells
    sides = (side, side), (BLOCK * cell, BLOCK * cell), (cell, cell), (cell, cell)
    # In order: aperture, sigma (default), norm (L2-Hys) and its clip, and no gamma correction.
    descriptor: Any = cv2.HOGDescriptor(*sides, ORIENTATIONS, 1, -1, 0, 0.2, False)
    features = np.empty((len(bitmaps), hog_width(cells)), np.float32)
    for row, bitmap in enumerate(bitmaps):
        features[row] = descriptor.compute(np.ascontiguousarray(bitmap)).ravel()
    return features
