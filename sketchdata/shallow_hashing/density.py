"""Density sensitive hashing: bits that part neighbouring groups of features halfway between their centres."""

from __future__ import annotations

import math
import warnings

import numpy as np
import numpy.typing as npt
from scipy.cluster.vq import kmeans2
from scipy.spatial.distance import cdist

from sketchdata.errors import ConfigError
from sketchdata.shallow_hashing.hasher import Matrix, Sample
from sketchdata.shallow_hashing.projections import Projection

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
