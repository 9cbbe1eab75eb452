"""Where drawings go before they are compared: ways that are arrays alone, so that they can be kept in a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from sketchdata.errors import ConfigError
from sketchdata.zero_shot.comparison import Weights, unit
from sketchdata.zero_shot.lesson import Matrix


@dataclass(frozen=True, kw_only=True, eq=False)
class Embedding:
    """(x − offset) matrix, and of length 1 if so wished; without either, x itself.

    Attributes:
        offset: (F,) float64.
        matrix: (F, D) float64.
        unit: Whether lengths are made 1.
    """

    offset: Matrix | None = None
    matrix: Matrix | None = None
    unit: bool = False

    def __call__(self, rows: Matrix) -> Matrix:
        """Return embedded drawings, (M, F) → (M, D)."""
        moved = rows if self.offset is None else rows - self.offset
        turned = moved if self.matrix is None else moved @ self.matrix
        return unit(turned) if self.unit else turned


@dataclass(frozen=True, kw_only=True, eq=False)
class PerceptronEmbedding:
    """Fully connected layers of x / scale with ReLU between them, in single precision as they were learnt.

    Attributes:
        weights: Of each layer, (outputs, inputs) float32.
        biases: Of each layer, (outputs,) float32.
        last_relu: Whether ReLU follows the last layer as well.
        scale: What drawings are divided by.
    """

    weights: tuple[Weights, ...]
    biases: tuple[Weights, ...]
    last_relu: bool
    scale: float

    def __call__(self, rows: Matrix) -> Matrix:
        """Return embedded drawings, (M, F) → (M, D)."""
        values = (rows / self.scale).astype(np.float32)
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True), 1):
            values = values @ weight.T + bias
            if layer < len(self.weights) or self.last_relu:
                values = np.maximum(values, 0)
        return values.astype(np.float64)


@dataclass(frozen=True, kw_only=True, eq=False)
class CombinationEmbedding:
    """The mean of the vectors of the classes that a linear softmax classifier finds likeliest (ConSE).

    Attributes:
        weight: Of the classifier of (x − offset) / scale, (C, F) float32.
        bias: (C,) float32.
        offset: (F,) float64.
        scale: A number.
        known: (C, S) float64, the vectors of its classes.
        top: How many of them are taken.
    """

    weight: Weights
    bias: Weights
    offset: Matrix
    scale: float
    known: Matrix
    top: int

    def __call__(self, rows: Matrix) -> Matrix:
        """Return embedded drawings, (M, F) → (M, S)."""
        logits = ((rows - self.offset) / self.scale).astype(np.float32) @ self.weight.T + self.bias
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return combine_vectors((powers / powers.sum(axis=1, keepdims=True)).astype(np.float64), self.known, self.top)


AnyEmbedding: TypeAlias = Embedding | PerceptronEmbedding | CombinationEmbedding


def combine_vectors(probabilities: Matrix, known: Matrix, top: int) -> Matrix:
    """Return the mean of the vectors of the likeliest seen classes, weighted by their probabilities.

    Args:
        probabilities: (M, C) of the seen classes.
        known: (C, S), their vectors.
        top: T, how many classes are taken; all C where there are no more.

    Returns:
        (M, S).

    Raises:
        ConfigError: `top` is below 1, or the arrays do not fit one another.
    """
    if top < 1 or probabilities.ndim != 2 or probabilities.shape[1] != len(known):
        raise ConfigError(
            f"the {top} likeliest of {len(known)} classes are to be taken, by probabilities of shape "
            f"{probabilities.shape}: there must be a column for each class, and 1 class or more to take"
        )
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    kept = np.zeros_like(probabilities)
    np.put_along_axis(kept, order, np.take_along_axis(probabilities, order, axis=1), axis=1)
    return np.asarray(kept / kept.sum(axis=1, keepdims=True).clip(1e-300) @ known)
