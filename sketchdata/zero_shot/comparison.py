"""How embedded drawings and prototypes are compared: by name, or by a network that is kept as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from sketchdata.zero_shot.lesson import Matrix

#: −‖e − p‖², cos(e, p) or e · p of an embedded drawing e and a prototype p.
Measure: TypeAlias = Literal["distance", "cosine", "product"]
Weights: TypeAlias = npt.NDArray[np.float32]

#: Numbers of the layer between, of a few drawings and one class: they stay in a core's own memory.
_CELLS_AT_ONCE = 1 << 16


@dataclass(frozen=True, kw_only=True, eq=False)
class RelationComparison:
    """The logit of a perceptron that sees a drawing and a class in one row: w · ReLU(W x / scale + c) + bias.

    What its first layer makes of each class, c, is known before any drawing comes.

    Attributes:
        of_drawings: W, (H, F) float32.
        of_classes: c, (L, H) float32, the bias of the first layer in it.
        last: w, (H,) float32.
        bias: Of the last layer.
        scale: What drawings are divided by.
    """

    of_drawings: Weights
    of_classes: Weights
    last: Weights
    bias: float
    scale: float

    def __call__(self, drawings: Matrix) -> Matrix:
        """Return logits of all pairs, (M, F) → (M, L)."""
        drawn = (drawings / self.scale).astype(np.float32) @ self.of_drawings.T
        found = np.empty((len(drawn), len(self.of_classes)))
        step = max(1, _CELLS_AT_ONCE // drawn.shape[1])
        between = np.empty((step, drawn.shape[1]), np.float32)
        for start in range(0, len(drawn), step):
            some = drawn[start : start + step]
            for place, of_class in enumerate(self.of_classes):
                np.add(some, of_class, out=between[: len(some)])
                np.maximum(between, 0, out=between)
                found[start : start + step, place] = between[: len(some)] @ self.last
        return found + self.bias


Comparison: TypeAlias = Measure | RelationComparison


def compared(embedded: Matrix, prototypes: Matrix, by: Comparison) -> Matrix:
    """Compare each embedded drawing with each prototype: (M, D), (L, D) → (M, L), higher is nearer."""
    if isinstance(by, RelationComparison):
        return by(embedded)
    if by == "cosine":
        return unit(embedded) @ unit(prototypes).T
    products = embedded @ prototypes.T
    if by == "product":
        return products
    squares = np.square(embedded).sum(axis=1)[:, None] + np.square(prototypes).sum(axis=1)
    return np.asarray(np.minimum(2 * products - squares, 0))


def unit(rows: Matrix) -> Matrix:
    """Return rows of length 1; a row of zeros stays one."""
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(1e-12))
