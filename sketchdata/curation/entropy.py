"""Image entropy of drawings, in bits per pixel, and the limits between normal drawings of a class and noise.

Source: Xu et al., On Learning Semantic Representations for Million-Scale Free-Hand Sketches, Eq. 4 and Figure 3. A
black-and-white raster has two values, so its entropy is a function of the number of ink pixels.
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

#: Position of a drawing relative to the limits of its class: below the lower one, between them (inclusive), above the
#: upper one; UNJUDGED if the class has no limits.
LOW, NORMAL, HIGH, UNJUDGED = range(4)
VERDICTS = 4


def drawing_entropies(
    batch: DrawingBatch, *, size: int = DEFAULT_SIZE, line_width: int = 1, threads: int | None = None
) -> Entropies:
    """Return the image entropy of N drawings, (N,) float64 in bits per pixel, 0..1; raw ones are scaled to fit.

    Args:
        batch: The drawings.
        size: Side of the raster in pixels.
        line_width: Width in pixels.
        threads: Number of threads. Default: one per usable core.

    Raises:
        ConfigError: `size`, `line_width` or `threads` is out of its range.
        FormatError: A raw coordinate is not a finite number.
    """
    ink = ink_counts(batch, size=size, line_width=line_width, threads=threads)
    return entropies(ink, pixels=size * size)


def entropies(ink: npt.NDArray[np.int64], *, pixels: int) -> Entropies:
    """Return H = −Σ p_i log2 p_i over the two pixel values, given (N,) numbers of ink pixels, 0..pixels.

    Equal shares of ink give exactly equal entropies, and so do a share and its complement.

    Returns:
        (N,) float64, bits per pixel, 0..1.
    """
    values, index = np.unique(np.minimum(ink, pixels - ink), return_inverse=True)
    # A table of the distinct counts, with the C library's logarithm: numpy's differs between processors.
    shares = [value / pixels for value in values.tolist()]
    table = np.array([-(p * math.log2(p) + (1 - p) * math.log2(1 - p)) if p else 0.0 for p in shares], np.float64)
    return table[index]


@dataclass(frozen=True, kw_only=True)
class Reference:
    """The distribution of a class's entropies in the reference split.

    Attributes:
        values: (M,) float64, the distinct entropies, ascending.
        below: (M + 1,) int64, the number of drawings below each value; the last element is the number of all drawings.
    """

    values: Entropies
    below: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return int(self.below[-1])

    def percentiles(self, *percents: float) -> tuple[float, ...]:
        """Return exact percentiles, NaN for a class without drawings.

        Between neighbouring drawings, percentiles are interpolated linearly, as by default in `numpy.percentile`
        (definition 7 of Hyndman and Fan, Sample Quantiles in Statistical Packages, 1996).
        """
        if not len(self):
            return (math.nan,) * len(percents)
        drawings = np.repeat(self.values, np.diff(self.below))
        return tuple(np.percentile(drawings, percents).tolist())

    def ranks(self, found: Entropies) -> npt.NDArray[np.float32]:
        """Return the percentile rank of (M,) entropies, NaN for a class without drawings.

        The rank is the percentage of drawings below; drawings of equal entropy count half (the mean rank, as in SciPy's
        `percentileofscore(kind="mean")`), so the median drawing has rank 50.
        """
        if not len(self):
            return np.full(len(found), np.nan, np.float32)
        under = self.below[np.searchsorted(self.values, found, side="left")]
        up_to = self.below[np.searchsorted(self.values, found, side="right")]
        ranks: npt.NDArray[np.float32] = ((under + up_to) * (50 / len(self))).astype(np.float32)
        return ranks


def reference(found: Entropies, drawings: npt.NDArray[np.int64]) -> Reference:
    """Return the distribution of (M,) entropies, in any order, each with (M,) numbers of drawings."""
    values, index = np.unique(found, return_inverse=True)
    counts = np.zeros(len(values), np.int64)
    np.add.at(counts, index, drawings)
    return Reference(values=values, below=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))


@dataclass(frozen=True, kw_only=True)
class ClassLimits:
    """The limits of C classes.

    Attributes:
        references: The C distributions of which the limits are percentiles.
        bounds: (C, 3) float64: the lower limit, the median, the upper limit; NaN for a class without drawings.
    """

    references: tuple[Reference, ...]
    bounds: Entropies

    @classmethod
    def fit(cls, references: Sequence[Reference], *, low: float, high: float) -> ClassLimits:
        """Return the limits at the percentiles `low` and `high`; the paper keeps the middle 90 %: 5 and 95."""
        bounds = [own.percentiles(low, 50, high) for own in references]
        return cls(references=tuple(references), bounds=np.array(bounds, np.float64).reshape(-1, 3))

    def classify(
        self, label: npt.NDArray[np.uint16], found: Entropies
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int8]]:
        """Return the percentile ranks of N drawings in their classes, and LOW, NORMAL, HIGH or UNJUDGED for each."""
        low, _, high = self.bounds[label].T
        verdict = np.select([np.isnan(low), found < low, found > high], [UNJUDGED, LOW, HIGH], NORMAL).astype(np.int8)
        rank = np.empty(len(label), np.float32)
        order = np.argsort(label, kind="stable")
        bounds = np.searchsorted(label[order], np.arange(len(self.references) + 1)).tolist()
        for own, (first, last) in zip(self.references, pairwise(bounds), strict=True):
            rows = order[first:last]
            rank[rows] = own.ranks(found[rows])
        return rank, verdict
