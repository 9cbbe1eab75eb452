"""Cross-modal hashing in closed form: methods that learn binary codes from features of two domains, in a table by name.

    hasher = CROSS_MODAL_HASHERS["scm_seq"].fit(drawings, photos, drawing_labels, photo_labels, bits=32, seed=0)
    codes = hasher.encode(drawings, "drawings")   # (N, 32) bool

They are baselines of Shen et al., "Zero-shot sketch-image hashing", CVPR 2018, Table 1. Features of each domain are
centred by the mean of the training features. A bit is 1 if its score is not negative.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import linalg
from scipy.sparse.linalg import aslinearoperator, svds

from sketchdata.errors import ConfigError
from sketchdata.retrieval.shallow_hashing import SHALLOW_HASHERS

Matrix = npt.NDArray[np.float64]
Scores = Callable[[Matrix], Matrix]
#: Regularisation: the share of the mean variance that is added to each variance, as in CCA-ITQ.
_RIDGE = 1e-4
#: CMFH's weights and rounds.
_LAMBDA, _MU, _GAMMA, _CMFH_ROUNDS = 0.5, 100.0, 0.01, 20


@dataclass(frozen=True, kw_only=True, eq=False)
class TwoViews:
    """The training data of a method: centred features of two domains.

    Attributes:
        drawings: (N, F).
        photos: (M, G).
        drawing_labels: (N,) integers, 0..L-1.
        photo_labels: (M,).
        bits: D.
        seed: Seed of the method's random numbers.
    """

    drawings: Matrix
    photos: Matrix
    drawing_labels: npt.NDArray[np.int64]
    photo_labels: npt.NDArray[np.int64]
    bits: int
    seed: int


@dataclass(frozen=True, kw_only=True, eq=False)
class CrossModalHasher:
    """A fitted method: {domain: mean to subtract} and {domain: map to scores}."""

    means: dict[str, Matrix]
    scores: dict[str, Scores]

    def encode(self, features: npt.NDArray[np.floating[Any]], domain: str) -> npt.NDArray[np.bool_]:
        """Return the codes of features of a domain: (N, F) → (N, D) bool."""
        found: npt.NDArray[np.bool_] = self.scores[domain](features.astype(np.float64) - self.means[domain]) >= 0
        return found


@dataclass(frozen=True, kw_only=True)
class CrossModalMethod:
    """An entry of the table: fits the maps of drawings and photos, as in the paper `source`."""

    learn: Callable[[TwoViews], tuple[Scores, Scores]]
    source: str

    def fit(
        self,
        drawings: npt.NDArray[np.floating[Any]],
        photos: npt.NDArray[np.floating[Any]],
        drawing_labels: npt.NDArray[np.integer[Any]],
        photo_labels: npt.NDArray[np.integer[Any]],
        *,
        bits: int,
        seed: int = 0,
    ) -> CrossModalHasher:
        """Learn a hasher of D bits; the same seed gives the same one.

        Args:
            drawings: (N, F).
            photos: (M, G).
            drawing_labels: (N,).
            photo_labels: (M,), of the same class table.
            bits: D.
            seed: Of the method's random numbers.

        Raises:
            ConfigError: A class has drawings but no photos, or there are more bits than features.
        """
        if missing := sorted(set(drawing_labels.tolist()) - set(photo_labels.tolist())):
            raise ConfigError(f"class {missing[0]} has drawings and no photo to learn from")
        if bits > min(drawings.shape[1], photos.shape[1]):
            raise ConfigError(f"{bits} bits need as many values, and features have {drawings.shape[1]}: use fewer bits")
        means = {"drawings": drawings.mean(0, dtype=np.float64), "photos": photos.mean(0, dtype=np.float64)}
        views = TwoViews(
            drawings=drawings - means["drawings"],
            photos=photos - means["photos"],
            drawing_labels=drawing_labels.astype(np.int64),
            photo_labels=photo_labels.astype(np.int64),
            bits=bits,
            seed=seed,
        )
        one, other = self.learn(views)
        return CrossModalHasher(means=means, scores={"drawings": one, "photos": other})


def _linear(directions: Matrix) -> Scores:
    return lambda rows: rows @ directions


def _whitening(rows: Matrix) -> Matrix:
    """Return W with Wᵀ C W = I of the covariance C with a ridge: (F, F)."""
    covariance = rows.T @ rows / len(rows)
    covariance[np.diag_indices_from(covariance)] += _RIDGE * np.trace(covariance) / len(covariance)
    values, vectors = linalg.eigh(covariance)
    found: Matrix = vectors / np.sqrt(values)
    return found


def _paired(views: TwoViews) -> Matrix:
    """Return a random photo of its class for each drawing: (N, G)."""
    random = np.random.default_rng(views.seed)
    rows = [random.choice(np.flatnonzero(views.photo_labels == label)) for label in views.drawing_labels]
    found: Matrix = views.photos[rows]
    return found


def _class_sums(rows: Matrix, labels: npt.NDArray[np.int64], classes: int) -> Matrix:
    found: Matrix = np.eye(classes)[labels].T @ rows
    return found


def learn_cca(views: TwoViews) -> tuple[Scores, Scores]:
    """Project on the canonical directions of pairs: each drawing with a random photo of its class.

    Source: Hotelling, Biometrika 1936; Thompson, "Canonical correlation analysis", 2005.
    """
    photos = _paired(views)
    one, other = _whitening(views.drawings), _whitening(photos - photos.mean(0))
    u, _, vt = linalg.svd(one.T @ views.drawings.T @ photos @ other)
    return _linear(one @ u[:, : views.bits]), _linear(other @ vt[: views.bits].T)


def learn_cvh(views: TwoViews) -> tuple[Scores, Scores]:
    """Bring the projections of all drawings and photos of each class together, at a total variance of 1 per direction.

    At most L directions separate classes, so codes of more bits have arbitrary further bits.

    Source: Kumar and Udupa, "Learning hash functions for cross-view similarity search", IJCAI 2011, equation 9. The
    similarity of two items, of the same domain or not, is 1 / n in a class of n items and 0 between classes.
    """
    x, y = views.drawings, views.photos
    one, other = _whitening(x) / np.sqrt(len(x)), _whitening(y) / np.sqrt(len(y))
    sizes = np.bincount(np.concatenate([views.drawing_labels, views.photo_labels]))
    sums = np.hstack(
        [
            _class_sums(x @ one, views.drawing_labels, len(sizes)),
            _class_sums(y @ other, views.photo_labels, len(sizes)),
        ]
    )
    vectors = linalg.svd(sums / np.sqrt(sizes.clip(1))[:, None])[2][: views.bits].T
    return _linear(one @ vectors[: x.shape[1]]), _linear(other @ vectors[x.shape[1] :])


@dataclass(frozen=True, kw_only=True, eq=False)
class Factorisation:
    """What collective matrix factorisation finds for pairs: codes V and, for each domain, matrices U and P.

    Attributes:
        codes: V, (N, D).
        factors: U of each domain, (D, F) and (D, G).
        maps: P of each domain, (F, D) and (G, D).
    """

    codes: Matrix
    factors: list[Matrix]
    maps: list[Matrix]


def factorise(pairs: Sequence[Matrix], bits: int, seed: int, rounds: int = _CMFH_ROUNDS) -> Factorisation:
    """Minimise λ Σ ‖X − V U‖² + μ Σ ‖V − X P‖² + γ (‖V‖² + Σ ‖U‖² + ‖P‖²), summed over the two domains.

    Each round minimises over U, then V, then P, each in closed form. λ = .5, μ = 100, γ = .01.

    Args:
        pairs: Features X of drawings, (N, F), and of their photos, (N, G).
        bits: D.
        seed: Seed of the initial V.
        rounds: Number of rounds.

    Source: Ding, Guo and Zhou, "Collective matrix factorization hashing for multimodal data", CVPR 2014, equation 7 and
    section 3.2.
    """
    codes = np.random.default_rng(seed).normal(size=(len(pairs[0]), bits))
    # (Xᵀ X + γ / μ I)⁻¹ Xᵀ of each domain does not change.
    solved = [linalg.solve(x.T @ x + _GAMMA / _MU * np.eye(x.shape[1]), x.T, assume_a="pos") for x in pairs]
    factors: list[Matrix] = []
    maps: list[Matrix] = [each @ codes for each in solved]
    for _ in range(rounds):
        square = codes.T @ codes + _GAMMA / _LAMBDA * np.eye(bits)
        factors = [linalg.solve(square, codes.T @ x, assume_a="pos") for x in pairs]
        right = np.zeros_like(codes)
        left = (2 * _MU + _GAMMA) * np.eye(bits)
        for x, u, p in zip(pairs, factors, maps, strict=True):
            right += _LAMBDA * x @ u.T + _MU * x @ p
            left += _LAMBDA * u @ u.T
        codes = linalg.solve(left, right.T, assume_a="pos").T
        maps = [each @ codes for each in solved]
    return Factorisation(codes=codes, factors=factors, maps=maps)


def learn_cmfh(views: TwoViews) -> tuple[Scores, Scores]:
    """Map both domains to the common factors of pairs, see `factorise`; the features have a mean square of 1.

    Source: Ding, Guo and Zhou, "Collective matrix factorization hashing for multimodal data", CVPR 2014.
    """
    given = views.drawings, _paired(views)
    scales = [float(np.sqrt(np.square(rows).mean())) for rows in given]
    found = factorise([rows / scale for rows, scale in zip(given, scales, strict=True)], views.bits, views.seed)
    one, other = (own / scale for own, scale in zip(found.maps, scales, strict=True))
    return _linear(one), _linear(other)


def learn_scm_seq(views: TwoViews) -> tuple[Scores, Scores]:
    """Maximise the semantic correlation bit by bit, where S is 1 within a class and −1 between classes.

    Each bit maximises uᵀ Xᵀ R Y v at unit variance of both projections, where R is D S minus the products of the signs
    of the previous bits. S and R, N × M, are not computed.

    Source: Zhang and Li, "Large-scale supervised multimodal hashing with semantic correlation maximization", AAAI 2014,
    Algorithm 1.
    """
    x, y = views.drawings, views.photos
    classes = int(max(views.drawing_labels.max(), views.photo_labels.max())) + 1
    by_class = [_class_sums(x, views.drawing_labels, classes), _class_sums(y, views.photo_labels, classes)]
    # S = 2 Z Zᵀ − 1 1ᵀ, and centred features sum to 0.
    correlation = views.bits * (2 * by_class[0].T @ by_class[1] - np.outer(x.sum(0), y.sum(0)))
    one, other = _whitening(x), _whitening(y)
    u, v = np.empty((x.shape[1], views.bits)), np.empty((y.shape[1], views.bits))
    for bit in range(views.bits):
        turned = aslinearoperator(one.T) @ aslinearoperator(correlation) @ aslinearoperator(other)
        left, _, right = svds(turned, k=1, v0=np.ones(min(turned.shape)))
        u[:, bit], v[:, bit] = one @ left[:, 0], other @ right[0]
        signs = [np.where(rows @ w >= 0, 1.0, -1.0) for rows, w in ((x, u[:, bit]), (y, v[:, bit]))]
        correlation -= np.outer(x.T @ signs[0], y.T @ signs[1])
    return _linear(u), _linear(v)


def _joint(name: str) -> Callable[[TwoViews], tuple[Scores, Scores]]:
    def learn(views: TwoViews) -> tuple[Scores, Scores]:
        both = np.concatenate([views.drawings, views.photos])
        scores = SHALLOW_HASHERS[name].fit(both, None, views.bits, views.seed).scores
        return scores, scores

    return learn


#: {name: method}. The last two use the same map for both domains, after centring each.
CROSS_MODAL_HASHERS: dict[str, CrossModalMethod] = {
    "cca": CrossModalMethod(learn=learn_cca, source="Thompson, Canonical correlation analysis, 2005"),
    "cvh": CrossModalMethod(learn=learn_cvh, source="Kumar and Udupa, IJCAI 2011"),
    "cmfh": CrossModalMethod(learn=learn_cmfh, source="Ding, Guo and Zhou, CVPR 2014"),
    "scm_seq": CrossModalMethod(learn=learn_scm_seq, source="Zhang and Li, AAAI 2014"),
    "pca": CrossModalMethod(learn=_joint("pcah"), source="Wang, Kumar and Chang, TPAMI 2012"),
    "itq": CrossModalMethod(learn=_joint("pca_itq"), source="Gong and Lazebnik, CVPR 2011"),
}
