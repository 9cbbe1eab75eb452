"""Image entropy: how much ink a drawing has, in bits a pixel, and which drawings of a class are normal.

Source: Xu et al., On Learning Semantic Representations for Million-Scale Free-Hand Sketches, Eq. 4 and Figure 3. A
raster of black and white has two values, so the entropy follows from the number of ink pixels alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from sketchdata.drawings.drawing import DrawingBatch
from sketchdata.drawings.raster import DEFAULT_SIZE, ink_counts

Entropies = npt.NDArray[np.float64]

#: What a drawing is by its class's limits: below the lower one, between them (or on one), above the upper one, or
#: nothing of these, when the class has no drawings to be judged by.
LOW, NORMAL, HIGH, UNJUDGED = range(4)
VERDICTS = 4


def drawing_entropies(
    batch: DrawingBatch, *, size: int = DEFAULT_SIZE, line_width: int = 1, threads: int | None = None
) -> Entropies:
    """Return the image entropy of every drawing of a batch.

    Args:
        batch: N drawings; raw ones are fitted into the square first.
        size: Side of the raster in pixels.
        line_width: In pixels.
        threads: How many raster at once. Default: one a usable core.

    Returns:
        (N,) float64, bits a pixel, 0..1.

    Raises:
        ConfigError: `size`, `line_width` or `threads` is out of its range.
        FormatError: A raw coordinate is not a finite number.
    """
    ink = ink_counts(batch, size=size, line_width=line_width, threads=threads)
    return entropies(ink, pixels=size * size)


def entropies(ink: npt.NDArray[np.int64], *, pixels: int) -> Entropies:
    """Return H = −Σ p_i log2 p_i over the two pixel values, for drawings of which `ink` of the `pixels` are drawn.

    Equal shares of ink give the very same number, and so do a share and its complement.

    Args:
        ink: (N,) integers, 0..pixels.
        pixels: Pixels of the raster.

    Returns:
        (N,) float64, bits a pixel, 0..1.
    """
    values, index = np.unique(np.minimum(ink, pixels - ink), return_inverse=True)
    # A table of the few counts that occur, by the C library's logarithm: numpy's differs between processors.
    table = np.array([_binary_entropy(value / pixels) for value in values.tolist()], np.float64)
    return table[index]


def _binary_entropy(p: float) -> float:
    return 0.0 if p == 0 else -(p * math.log2(p) + (1 - p) * math.log2(1 - p))


@dataclass(frozen=True, kw_only=True)
class Reference:
    """The entropies of a class's drawings in the reference split, by which all of its drawings are judged.

    Attributes:
        values: (M,) float64, the entropies that occur, rising.
        below: (M + 1,) int64, how many drawings lie below each of them, and at last how many there are.
    """

    values: Entropies
    below: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return int(self.below[-1])

    def percentiles(self, *percents: float) -> tuple[float, ...]:
        """Return the entropies below which such percents of the drawings lie, NaN for a class without drawings.

        Exact, not from a histogram: between two neighbouring drawings it interpolates linearly, as `numpy.percentile`
        does by default (definition 7 of Hyndman and Fan, Sample Quantiles in Statistical Packages, 1996).
        """
        if not len(self):
            return (math.nan,) * len(percents)
        drawings = np.repeat(self.values, np.diff(self.below))
        return tuple(np.percentile(drawings, percents).tolist())

    def ranks(self, found: Entropies) -> npt.NDArray[np.float32]:
        """Return the percentile rank of some entropies: the percent of the drawings that lie below.

        Drawings of equal entropy count half (the mean rank; SciPy's `percentileofscore(kind="mean")`), so the median
        drawing has 50. NaN for a class without drawings.
        """
        if not len(self):
            return np.full(len(found), np.nan, np.float32)
        under = self.below[np.searchsorted(self.values, found, side="left")]
        up_to = self.below[np.searchsorted(self.values, found, side="right")]
        ranks: npt.NDArray[np.float32] = ((under + up_to) * (50 / len(self))).astype(np.float32)
        return ranks


def reference(found: Entropies, drawings: npt.NDArray[np.int64]) -> Reference:
    """Return the distribution of a class's entropies.

    Args:
        found: (M,) entropies, in any order, equal ones allowed.
        drawings: (M,) how many drawings have each.
    """
    values, index = np.unique(found, return_inverse=True)
    counts = np.zeros(len(values), np.int64)
    np.add.at(counts, index, drawings)
    return Reference(values=values, below=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))


@dataclass(frozen=True, kw_only=True)
class Judge:
    """The limits of C classes.

    Attributes:
        references: The C classes' drawings that give the limits.
        limits: (C, 3) float64: the lower limit, the median, the upper limit; NaN for a class without drawings.
    """

    references: tuple[Reference, ...]
    limits: Entropies

    def judge(
        self, label: npt.NDArray[np.uint16], found: Entropies
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int8]]:
        """Return the percentile rank of N drawings among their class's, and LOW, NORMAL, HIGH or UNJUDGED of each."""
        low, _, high = self.limits[label].T
        verdict = np.select([np.isnan(low), found < low, found > high], [UNJUDGED, LOW, HIGH], NORMAL).astype(np.int8)
        rank = np.empty(len(label), np.float32)
        order = np.argsort(label, kind="stable")
        bounds = np.searchsorted(label[order], np.arange(len(self.references) + 1)).tolist()
        for own, (first, last) in zip(self.references, pairwise(bounds), strict=True):
            rows = order[first:last]
            rank[rows] = own.ranks(found[rows])
        return rank, verdict


def judge_of(references: Sequence[Reference], *, low: float, high: float) -> Judge:
    """Return the judge whose limits are the classes' percentiles of `low` and `high` percent.

    The paper takes the middle 90 %: 5 and 95. A drawing whose entropy equals a limit is normal.
    """
    limits = [own.percentiles(low, 50, high) for own in references]
    return Judge(references=tuple(references), limits=np.array(limits, np.float64).reshape(-1, 3))
