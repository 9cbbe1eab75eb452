"""Zero-shot methods with closed solutions: SAE and ESZSL; and the upper bound by class means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import linalg

from sketchdata.errors import ConfigError
from sketchdata.zero_shot.recogniser import Constants, Embedding, Recogniser
from sketchdata.zero_shot.training_set import (
    Features,
    Labels,
    Lesson,
    Matrix,
    check_all_drawn,
    check_classes,
    check_drawings,
)

# Methods with closed solutions: the semantic autoencoder and ESZSL.
# Both need the drawings through their second moments and class means alone, so they cost F³ and not N. Features and
# vectors are centred on their means over what is learnt from, and divided by one number each, so that their mean
# square
# is 1 and constants do not depend on units.

#: `to_features` embeds vectors among the drawings, `to_vectors` drawings among the vectors.
Direction = Literal["to_features", "to_vectors"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """What closed solutions need of a lesson, of centred features x and vectors s whose mean square is 1.

    Attributes:
        squares: (F, F), the mean of x xᵀ over drawings.
        means: (C, F), the mean of x in each seen class.
        shares: (C,), the share of drawings in each seen class.
        vectors: (L, S), s of all classes.
        centre: (F,), what is taken off features, and `scale`, what they are divided by then.
        lesson: Whose they are.
    """

    squares: Matrix
    means: Matrix
    shares: Matrix
    vectors: Matrix
    centre: Matrix
    scale: float
    lesson: Lesson

    @property
    def known(self) -> Matrix:
        """(C, S), s of the seen classes."""
        return self.vectors[self.lesson.seen]

    def recogniser(self, matrix: Matrix | None, prototypes: Matrix, constants: Constants) -> Recogniser:
        """Return one that compares x, or x times an (F, S) matrix, with prototypes by their cosine."""
        turn = None if matrix is None else matrix / self.scale
        return Recogniser(
            embed=Embedding(offset=self.centre, matrix=turn),
            prototypes=prototypes,
            compare="cosine",
            seen=self.lesson.seen,
            width=self.lesson.width,
            constants=constants,
        )


def take_moments(lesson: Lesson) -> Moments:
    """Stream over a lesson's drawings.

    Raises:
        ConfigError: All features are the same, or the vectors of all seen classes are.
    """
    squares = np.zeros((lesson.width, lesson.width))
    for block, _ in lesson.blocks():
        block -= lesson.centre
        squares += block.T @ block
    squares /= len(lesson.rows)
    scale = float(np.sqrt(np.trace(squares) / lesson.width))
    if not scale:
        raise ConfigError("all features are the same: nothing tells classes apart")
    return Moments(
        squares=squares / scale**2,
        means=(lesson.means - lesson.centre) / scale,
        shares=lesson.counts / len(lesson.rows),
        vectors=lesson.directions,
        centre=lesson.centre,
        scale=scale,
        lesson=lesson,
    )


@dataclass(frozen=True, kw_only=True)
class SemanticAutoencoder:
    """SAE: one matrix W that takes features to vectors, and whose transpose takes them back.

    min ‖X − Wᵀ S‖² + λ ‖W X − S‖², of which the solution is that of S Sᵀ W + λ W X Xᵀ = (1 + λ) S Xᵀ. Source: Kodirov,
    Xiang and Gong, "Semantic autoencoder for zero-shot learning", CVPR 2017, section 3, and
    cosines to compare by.

    Attributes:
        direction: In which space drawings and classes are compared.
    """

    direction: Direction

    def __call__(self, lesson: Lesson, grid: Sequence[Constants]) -> Iterator[Recogniser]:
        """Learn with each λ, named `ridge`."""
        moments = take_moments(lesson)
        known, weighted = moments.known, moments.known * moments.shares[:, None]
        # Both sides of the equation are symmetric, so that two eigenproblems solve it for every λ; a general solver
        # would take Schur forms of F × F matrices for each.
        rows, left = linalg.eigh(known.T @ weighted)
        columns, right = linalg.eigh(moments.squares)
        crossed = left.T @ (weighted.T @ moments.means) @ right
        for constants in grid:
            ridge = constants["ridge"]
            below = np.maximum(rows[:, None], 0) + ridge * np.maximum(columns, 0)
            turned = np.divide((1 + ridge) * crossed, below, out=np.zeros_like(crossed), where=below > 1e-9)
            weights = left @ turned @ right.T
            if self.direction == "to_vectors":
                yield moments.recogniser(weights.T, moments.vectors, constants)
            else:
                yield moments.recogniser(None, moments.vectors @ weights, constants)


def learn_eszsl(lesson: Lesson, grid: Sequence[Constants]) -> Iterator[Recogniser]:
    """Learn V = (X Xᵀ + γ I)⁻¹ X Y Sᵀ (S Sᵀ + λ I)⁻¹, by which xᵀ V s scores a drawing for a class.

    Y is 1 where a drawing is of a class and −1 elsewhere. Source: Romera-Paredes and Torr, "An embarrassingly simple
    approach to zero-shot learning", ICML 2015, section 3. γ and λ, named `feature_ridge` and `vector_ridge`, are those
    of means over drawings and classes in the place of sums.
    """
    moments = take_moments(lesson)
    columns, right = linalg.eigh(moments.squares)
    # X Y over N, of Y = 2 · one-hot − 1: the second part vanishes, since features are centred.
    crossed = right.T @ (2 * (moments.means * moments.shares[:, None]).T @ moments.known)
    rows, left = linalg.eigh(moments.known.T @ moments.known / len(lesson.seen))
    for constants in grid:
        below = np.maximum(columns, 0) + constants["feature_ridge"]
        beside = np.maximum(rows, 0) + constants["vector_ridge"]
        weights = right @ ((crossed / below[:, None]) @ left / beside) @ left.T / len(lesson.seen)
        yield Recogniser(
            embed=Embedding(offset=moments.centre, matrix=weights / moments.scale),
            prototypes=moments.vectors,
            compare="product",
            seen=lesson.seen,
            width=lesson.width,
            constants=constants,
        )


# The oracle: nearest class means of drawings of all classes. It is no zero-shot method but what none can be above.


def fit_oracle(
    features: Features, labels: npt.NDArray[np.integer[Any]], vectors: npt.NDArray[np.floating[Any]], seen: Labels
) -> Recogniser:
    """Take the mean of each class, of unseen ones as well, for its prototype, and compare by Euclidean distance.

    With squared errors, no prototype does better on average than the mean; so this bounds what prototypes of these
    features can reach, and says nothing about recognition without drawings. Report it as the bound that it is.

    Args:
        features: (N, F), training drawings of all classes, not those that are recognised later.
        labels: (N,) places in the class table.
        vectors: (L, S), of which the number of classes alone is used.
        seen: The classes that other methods see.

    Raises:
        ConfigError: A class has no drawings, all classes are seen, a number is not finite, or arrays do not fit one
            another.
    """
    every, chosen = np.arange(len(vectors)), check_classes(seen, len(vectors), "seen")
    if len(chosen) == len(every):
        raise ConfigError(f"all {len(every):,} classes are seen ones: there is no unseen class to recognise")
    check_drawings(features, labels)
    check_all_drawn(labels, every)
    check_classes(np.unique(labels), len(vectors), "drawn")
    lesson = Lesson(
        features=features,
        labels=labels.astype(np.int64),
        rows=np.arange(len(labels)),
        vectors=vectors.astype(np.float32),
        seen=every,
        seed=0,
        device="cpu",
    )
    return Recogniser(
        embed=Embedding(),
        prototypes=lesson.means,
        compare="distance",
        seen=chosen,
        width=lesson.width,
    )
