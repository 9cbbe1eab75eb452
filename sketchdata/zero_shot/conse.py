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

from sketchdata.zero_shot.checks import Labels
from sketchdata.zero_shot.comparison import compared
from sketchdata.zero_shot.embeddings import CombinationEmbedding, combine_vectors
from sketchdata.zero_shot.eve import on_device
from sketchdata.zero_shot.lesson import Lesson
from sketchdata.zero_shot.recogniser import Constants, Recogniser
from sketchdata.zero_shot.relation import size_of
from sketchdata.zero_shot.steps import chance_of, layers_of, linear, make_optimiser, walk


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
        (weight,), (bias,) = layers_of(self._classifier(lesson))
        for constants in grid:
            yield Recogniser(
                embed=CombinationEmbedding(
                    weight=weight,
                    bias=bias,
                    offset=lesson.centre,
                    scale=size_of(lesson),
                    known=lesson.directions[lesson.seen],
                    top=int(constants["top"]),
                ),
                prototypes=lesson.directions,
                compare="cosine",
                seen=lesson.seen,
                width=lesson.width,
                constants=constants,
            )

    def _classifier(self, lesson: Lesson) -> nn.Module:
        """Return (M, F) → (M, C) logits, of drawings from their centre that are divided by their size."""
        chance = chance_of(lesson.seed)
        scale, middle = size_of(lesson), on_device(lesson.centre, lesson.device)
        network = linear(lesson.width, len(lesson.seen), chance).to(lesson.device)

        def loss() -> Tensor:
            drawn, places = lesson.batch(self.batch, chance)
            return nn.functional.cross_entropy(network((drawn - middle) / scale), places)

        optimiser = make_optimiser("adamw", network, self.rate, self.decay)
        list(walk(loss, optimiser, [self.steps], "ConSE's classifier"))
        return network


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
