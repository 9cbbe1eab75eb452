"""Hash centers, the target codes of classes in training: random, from a Hadamard matrix, or from learned proxies.

Sources: Yuan et al., "Central similarity quantization for efficient image and video retrieval", CVPR 2020, algorithm 1
(Hadamard, otherwise random). Centers from proxies are our own method: similar classes have similar codes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.linalg import hadamard

from sketchdata.retrieval.shallow_hashing import itq_rotation

Matrix = npt.NDArray[np.float64]
#: Minimum share of differing bits between the codes of two classes, if enough codes exist.
LEAST_SHARE = 1 / 8
_ITERATIONS = 50


def random_centers(classes: int, bits: int, seed: int) -> Matrix:
    """Return random codes, (L, D) of −1 and 1, at least D / 8 apart."""
    values = np.random.default_rng(seed).normal(size=(classes, bits))
    return _apart(np.where(values >= 0, 1.0, -1.0), np.abs(values))


def hadamard_centers(classes: int, bits: int, seed: int) -> Matrix:
    """Return Hadamard rows and their negatives, at least D / 2 apart, or random codes: (L, D) of −1 and 1."""
    if bits & (bits - 1) or classes > 2 * bits:
        return random_centers(classes, bits, seed)
    rows: Matrix = hadamard(bits).astype(np.float64)
    return np.concatenate([rows, -rows])[:classes]


def semantic_centers(proxies: npt.NDArray[np.floating]) -> tuple[Matrix, Matrix]:
    """Rotate (L, D) learned directions of classes for a minimum quantisation error, and return their signs.

    Returns:
        (L, D) of −1 and 1, at least D / 8 apart if possible; (D, D), the rotation, which must also be applied to the
        network's embeddings.
    """
    directions = proxies / np.linalg.norm(proxies, axis=1, keepdims=True).clip(1e-12)
    rotation, _ = itq_rotation(directions.astype(np.float64), np.eye(proxies.shape[1]), _ITERATIONS)
    turned = directions @ rotation
    return _apart(np.where(turned >= 0, 1.0, -1.0), np.abs(turned)), rotation


def _apart(centers: Matrix, certainty: Matrix) -> Matrix:
    """Flip the bits of smallest magnitude in the nearest codes until all are far enough apart, or no flip helps."""
    centers, (classes, bits) = centers.copy(), centers.shape
    least = max(int(bits * LEAST_SHARE), 1)
    for _ in range(classes * bits):
        apart = (bits - centers @ centers.T) / 2
        np.fill_diagonal(apart, bits)
        first, second = divmod(int(apart.argmin()), classes)
        if apart[first, second] >= least:
            break
        equal = np.flatnonzero(centers[first] == centers[second])
        pairs = certainty[[first, second]][:, equal]
        row, place = np.unravel_index(int(pairs.argmin()), pairs.shape)
        chosen = (first, second)[row]
        centers[chosen, equal[place]] *= -1
        # Each bit is flipped at most once, so that the loop ends.
        certainty[chosen, equal[place]] = np.inf
    return centers
