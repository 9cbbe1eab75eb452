"""How far apart drawings of one class lie, and how far apart the classes do.

Source: Xu et al., "On Learning Semantic Representations for Million-Scale Free-Hand Sketches", Table VI, which names
the distances and does not define them. Its d2 of 17.6 at 64 bits is more than the 8 that two points of a unit cube of
64 dimensions are apart at most, so distances are squared.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def class_spread(numbers: npt.NDArray[np.floating[Any]], labels: npt.NDArray[np.integer[Any]]) -> tuple[float, float]:
    """Return the mean squared distance within classes, d1, and that between the classes' means, d2.

    d1 is the mean over classes of the mean squared Euclidean distance of a class's drawings to their mean; d2 is the
    mean squared Euclidean distance between the means of two different classes, over all pairs. Classes count alike,
    however many drawings they have; those without any do not count.

    Args:
        numbers: (N, D), what the code layer gives for each drawing.
        labels: (N,) their classes.

    Returns:
        d1 and d2.

    Raises:
        ValueError: The drawings are of fewer than two classes.
    """
    present, rows, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if len(present) < 2:
        raise ValueError(f"a distance between classes needs two of them, and there are {len(present)}")
    values = numbers.astype(np.float64)
    means = np.zeros((len(present), numbers.shape[1]))
    np.add.at(means, rows, values)
    means /= counts[:, None]
    within = np.bincount(rows, np.square(values - means[rows]).sum(1)) / counts
    # Over all pairs Σ ‖a − b‖² is 2 L Σ ‖a − mean‖².
    between = 2 * np.square(means - means.mean(0)).sum() / (len(present) - 1)
    return float(within.mean()), float(between)
