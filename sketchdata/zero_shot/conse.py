"""ConSE: a drawing lies between the vectors of those seen classes that a classifier takes it for.

Source: Norouzi et al., "Zero-shot learning by convex combination of semantic embeddings", ICLR 2014, section 3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from sketchdata.errors import ConfigError
from sketchdata.zero_shot.checks import Labels
from sketchdata.zero_shot.eve import on_device
from sketchdata.zero_shot.lesson import Lesson, Matrix
from sketchdata.zero_shot.recogniser import Constants, Recogniser, compared
from sketchdata.zero_shot.relation import size_of
from sketchdata.zero_shot.steps import chance_of, frozen, linear, make_optimiser, walk


@dataclass(frozen=True, kw_only=True)
class ConvexCombination:
    """ConSE with a linear softmax classifier of the features; vectors are those from the mean of the seen classes'.

    Attributes:
        steps: Of the classifier, which learns from random batches.
        batch: Drawings of a step.
        rate: Learning rate of AdamW.
        decay: Of the classifier's weights.
    """

    steps: int = 1000
    batch: int = 256
    rate: float = 2e-3
    decay: float = 1e-2

    def __call__(self, lesson: Lesson, grid: Sequence[Constants]) -> Iterator[Recogniser]:
        """Learn one classifier, and take the vectors of the likeliest classes, as many as each `top` says."""
        classify = self._classifier(lesson)
        known = lesson.directions[lesson.seen]
        for constants in grid:
            top = int(constants["top"])

            def embed(rows: Matrix, top: int = top) -> Matrix:
                return combine_vectors(classify(rows), known, top)

            yield Recogniser(
                embed=embed,
                prototypes=lesson.directions,
                compare="cosine",
                seen=lesson.seen,
                width=lesson.width,
                constants=constants,
            )

    def _classifier(self, lesson: Lesson) -> Any:
        """Return (M, F) → (M, C) probabilities."""
        chance = chance_of(lesson.seed)
        centre, scale = lesson.centre, size_of(lesson)
        middle = on_device(centre, lesson.device)
        network = linear(lesson.width, len(lesson.seen), chance).to(lesson.device)

        def loss() -> Tensor:
            drawn, places = lesson.batch(self.batch, chance)
            return nn.functional.cross_entropy(network((drawn - middle) / scale), places)

        optimiser = make_optimiser("adamw", network, self.rate, self.decay)
        list(walk(loss, optimiser, [self.steps], "ConSE's classifier"))
        probabilities = frozen(nn.Sequential(network, nn.Softmax(dim=1)), lesson.device, scale)
        return lambda rows: probabilities(rows - centre)


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


def score_by_probabilities(
    probabilities: npt.NDArray[np.floating[Any]],
    vectors: npt.NDArray[np.floating[Any]],
    seen: Labels,
    top: int = 10,
) -> npt.NDArray[np.float32]:
    """Score drawings for all classes by the probabilities that a network of one's own gives the seen ones.

    Args:
        probabilities: (M, C), in the order of `seen`.
        vectors: (L, S) of all classes.
        seen: (C,) places in the class table.
        top: As for `combine_vectors`.

    Returns:
        (M, L) float32, cosines.

    Raises:
        ConfigError: As for `combine_vectors`.
    """
    directions = vectors.astype(np.float64) - vectors[seen].mean(axis=0, dtype=np.float64)
    combined = combine_vectors(probabilities.astype(np.float64), directions[seen], top)
    return compared(combined, directions, "cosine").astype(np.float32)
