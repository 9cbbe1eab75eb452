"""Zero-shot methods with closed solutions: SAE and ESZSL; and the upper bound by class means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import linalg

from sketchdata.errors import ConfigError
from sketchdata.zero_shot.recogniser import Constants, Embedding, ZeroShotRecogniser, fitted
from sketchdata.zero_shot.training_set import (
    Features,
    Labels,
    Matrix,
    TrainingSet,
    check_all_drawn,
    check_classes,
    check_drawings,
)

# Both need the drawings' second moments and class means alone, so they cost F³ and not N. Features and vectors are
# centred on their means over the training set, and divided by one number each, so that their mean square is 1 and
# constants do not depend on units.

#: `to_features` embeds vectors among the drawings, `to_vectors` drawings among the vectors.
Direction = Literal["to_features", "to_vectors"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """The moments of a training set, of centred features x and vectors s whose mean square is 1.

    Attributes:
        squares: (F, F), the mean of x xᵀ over drawings.
        means: (C, F), the mean of x in each seen class.
        shares: (C,), the share of drawings in each seen class.
        scale: The divisor of centred features.
    """

    squares: Matrix
    means: Matrix
    shares: Matrix
    scale: float


def take_moments(data: TrainingSet) -> Moments:
    """Compute the moments of a training set, a block of drawings at a time.

    Raises:
        ConfigError: All features are the same, or the vectors of all seen classes are.
    """
    squares = np.zeros((data.width, data.width))
    for block, _ in data.blocks():
        block -= data.centre
        squares += block.T @ block
    squares /= len(data.rows)
    scale = float(np.sqrt(np.trace(squares) / data.width))
    if not scale:
        raise ConfigError("all features are the same, so classes cannot be separated")
    return Moments(
        squares=squares / scale**2,
        means=(data.means - data.centre) / scale,
        shares=data.counts / len(data.rows),
        scale=scale,
    )


@dataclass(frozen=True, kw_only=True)
class SemanticAutoencoder:
    """SAE: one matrix W maps features to vectors, and its transpose maps them back.

    min ‖X − Wᵀ S‖² + λ ‖W X − S‖², whose solution is that of S Sᵀ W + λ W X Xᵀ = (1 + λ) S Xᵀ. Drawings and classes are
    compared by cosines, in the space of `direction`. Source: Kodirov, Xiang and Gong, "Semantic autoencoder for
    zero-shot learning", CVPR 2017, section 3.
    """

    direction: Direction

    def __call__(self, data: TrainingSet, grid: Sequence[Constants]) -> Iterator[ZeroShotRecogniser]:
        """Learn with each λ, named `ridge`."""
        moments = take_moments(data)
        known = data.directions[data.seen]
        weighted = known * moments.shares[:, None]
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
                embed, prototypes = Embedding(offset=data.centre, matrix=weights.T / moments.scale), data.directions
            else:
                embed, prototypes = Embedding(offset=data.centre), data.directions @ weights
            yield fitted(data, constants, embed, prototypes, "cosine")


def learn_eszsl(data: TrainingSet, grid: Sequence[Constants]) -> Iterator[ZeroShotRecogniser]:
    """Learn V = (X Xᵀ + γ I)⁻¹ X Y Sᵀ (S Sᵀ + λ I)⁻¹, by which xᵀ V s scores a drawing for a class.

    Y is 1 where a drawing is of a class and −1 elsewhere. Source: Romera-Paredes and Torr, "An embarrassingly simple
    approach to zero-shot learning", ICML 2015, section 3. γ and λ, named `feature_ridge` and `vector_ridge`, are those
    of means over drawings and classes in the place of sums.
    """
    moments, known = take_moments(data), data.directions[data.seen]
    columns, right = linalg.eigh(moments.squares)
    # X Y over N, of Y = 2 · one-hot − 1: the second part vanishes, since features are centred.
    crossed = right.T @ (2 * (moments.means * moments.shares[:, None]).T @ known)
    rows, left = linalg.eigh(known.T @ known / len(data.seen))
    for constants in grid:
        below = np.maximum(columns, 0) + constants["feature_ridge"]
        beside = np.maximum(rows, 0) + constants["vector_ridge"]
        weights = right @ ((crossed / below[:, None]) @ left / beside) @ left.T / len(data.seen)
        embed = Embedding(offset=data.centre, matrix=weights / moments.scale)
        yield fitted(data, constants, embed, data.directions, "product")


def fit_upper_bound(
    features: Features, labels: npt.NDArray[np.integer[Any]], vectors: npt.NDArray[np.floating[Any]], seen: Labels
) -> ZeroShotRecogniser:
    """Use the mean of each class, of unseen ones as well, as its prototype, and compare by Euclidean distance.

    With squared errors, no prototype is better on average than the mean; so this bounds what prototypes of these
    features can reach. It learns from drawings of unseen classes, and is no zero-shot method.

    Args:
        features: (N, F), training drawings of all classes, not those that are recognised later.
        labels: (N,) places in the class table.
        vectors: (L, S); only the number of classes is used.
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
    data = TrainingSet(
        features=features,
        labels=labels.astype(np.int64),
        rows=np.arange(len(labels)),
        vectors=vectors.astype(np.float32),
        seen=every,
        seed=0,
        device="cpu",
    )
    return replace(fitted(data, {}, Embedding(), data.means), seen=chosen)
