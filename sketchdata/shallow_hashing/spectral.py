"""Hashing by waves: eigenfunctions of a box (spectral hashing), and random ones (shift-invariant kernels)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import pdist

from sketchdata.shallow_hashing.hasher import Features, Matrix, Sample, mapped
from sketchdata.shallow_hashing.projections import Projection, principal_components

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
