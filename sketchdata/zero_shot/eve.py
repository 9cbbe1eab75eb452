"""EVE, the encoding of edge-map vectors: a perceptron that places classes among drawings. DEM is the same of words.

Source: Xu et al., "On learning semantic representations for million-scale free-hand sketches", section III-C, Eq. 8 and
9; Zhang, Xiang and Gong, "Learning a deep embedding model for zero-shot learning", CVPR 2017, section 3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sketchdata.zero_shot.embeddings import AnyEmbedding, Embedding, PerceptronEmbedding
from sketchdata.zero_shot.lesson import Lesson, root_mean_square
from sketchdata.zero_shot.linear import Direction
from sketchdata.zero_shot.recogniser import Constants, Recogniser
from sketchdata.zero_shot.steps import (
    as_matrix,
    by_decay,
    chance_of,
    layers_of,
    make_optimiser,
    perceptron,
    walk,
)


@dataclass(frozen=True, kw_only=True)
class Regression:
    """A perceptron that learns by squared error, and nearest prototypes by Euclidean distance (Eq. 8 and 9).

    From vectors to features, drawings are fixed and their classes' vectors are all that the perceptron sees: the error
    of the drawings is that of their class means, weighted by counts, and the spread within classes, a constant. So it
    learns from class means. The other way round it sees each drawing, and learns from random batches.

    Inputs and targets are divided by the root of their mean square, so that one learning rate serves all kinds.

    Attributes:
        direction: Eq. 8 goes `to_features`; `to_vectors` is the other way of Table X.
        hidden: Width of the layer between, 2,048 in the paper; 0 for a linear map.
        last_relu: Whether ReLU follows the last layer, as in the paper; None: where no target is negative, since
            ReLU cannot reach others.
        optimiser: `rmsprop` is the paper's.
        rate: Its learning rate.
        batch: Drawings of a step, `to_vectors`.
    """

    direction: Direction = "to_features"
    hidden: int = 2048
    last_relu: bool | None = None
    optimiser: str = "adamw"
    rate: float = 1e-4
    batch: int = 256

    def __call__(self, lesson: Lesson, grid: Sequence[Constants]) -> Iterator[Recogniser]:
        """Learn with each `decay` (λ) and number of `steps`."""
        for decay, marks in by_decay(grid):
            chance = chance_of(lesson.seed)
            network = self.network(lesson, chance).to(lesson.device)
            optimiser = make_optimiser(self.optimiser, network, self.rate, decay)
            loss = self._loss(lesson, network, chance)
            for steps in walk(loss, optimiser, marks, "the perceptron"):
                constants = {"decay": decay, "steps": steps}
                yield self._recogniser(lesson, network, constants)

    def network(self, lesson: Lesson, chance: torch.Generator) -> nn.Sequential:
        """Return the perceptron before its first step."""
        sizes, targets = [lesson.vectors.shape[1], lesson.width], lesson.means
        if self.direction == "to_vectors":
            sizes, targets = sizes[::-1], lesson.vectors[lesson.seen].astype(np.float64)
        relu = bool(targets.min() >= 0) if self.last_relu is None else self.last_relu
        if not self.hidden:
            return perceptron(sizes, chance, last_relu=False)
        return perceptron([sizes[0], self.hidden, sizes[1]], chance, last_relu=relu)

    def _loss(self, lesson: Lesson, network: nn.Module, chance: torch.Generator) -> Any:
        scales = scales_of(lesson)
        known = on_device(lesson.vectors[lesson.seen] / scales[1], lesson.device)
        if self.direction == "to_features":
            means = on_device(lesson.means / scales[0], lesson.device)
            shares = on_device(lesson.counts / len(lesson.rows), lesson.device)
            return lambda: embedding_loss(network(known), means, shares)

        def of_batch() -> Tensor:
            drawn, places = lesson.batch(self.batch, chance)
            error: Tensor = (network(drawn / scales[0]) - known[places]).square().sum(1).mean()
            return error

        return of_batch

    def _recogniser(self, lesson: Lesson, network: nn.Sequential, constants: Constants) -> Recogniser:
        of_features, of_vectors = scales_of(lesson)
        embed: AnyEmbedding = Embedding()
        if self.direction == "to_features":
            with torch.no_grad():
                prototypes = as_matrix(network(on_device(lesson.vectors / of_vectors, lesson.device))) * of_features
        else:
            weights, biases = layers_of(network)
            relu = isinstance(network[-1], nn.ReLU)
            embed = PerceptronEmbedding(weights=weights, biases=biases, last_relu=relu, scale=of_features)
            prototypes = lesson.vectors / np.float64(of_vectors)
        return Recogniser(
            embed=embed,
            prototypes=prototypes,
            compare="distance",
            seen=lesson.seen,
            width=lesson.width,
            constants=constants,
        )


def embedding_loss(embedded: Tensor, means: Tensor, shares: Tensor) -> Tensor:
    """Return Eq. 8 on class means, without what does not depend on the network: Σ (n_c / N) ‖m_c − F(v_c)‖².

    The mean of ‖x − F(v_y)‖² over the drawings is this and the mean of ‖x − m_y‖².

    Args:
        embedded: F(v), (C, F).
        means: m, (C, F).
        shares: n / N, (C,).
    """
    return ((means - embedded).square().sum(1) * shares).sum()


def scales_of(lesson: Lesson) -> tuple[float, float]:
    """Return the root mean squares of a lesson's class means and of its seen classes' vectors."""
    return root_mean_square(lesson.means) or 1.0, root_mean_square(lesson.vectors[lesson.seen])


def on_device(values: npt.NDArray[Any], device: str) -> Tensor:
    """Return an array as a float32 tensor."""
    return torch.from_numpy(values.astype(np.float32)).to(device)
