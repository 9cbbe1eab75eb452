"""Relation network: a perceptron looks at a drawing and at a class, and tells whether they belong together."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from sketchdata.zero_shot.comparison import RelationComparison
from sketchdata.zero_shot.embeddings import Embedding
from sketchdata.zero_shot.eve import on_device
from sketchdata.zero_shot.lesson import Lesson, Matrix, root_mean_square
from sketchdata.zero_shot.recogniser import Constants, Recogniser
from sketchdata.zero_shot.steps import (
    as_matrix,
    by_decay,
    chance_of,
    layers_of,
    linear,
    make_optimiser,
    perceptron,
    walk,
)

#: The logit that pairs start at, a chance of 0.05: most pairs of a batch do not belong together. From 0.5, learning
#: first makes all of them unlikely, and then hardly moves for hundreds of steps.
_FIRST_LOGIT = -3.0
#: First weights of variance 1 / inputs. Torch's own shrink what is said of the class from layer to layer, until the
#: relation sees the drawing alone, and of wide features nothing is learnt.
_GAIN = math.sqrt(3)


class Relation(nn.Module):
    """Two fully connected layers on a drawing and an embedded class: a logit of how well they go together.

    The first layer acts on both as if they stood in one row, but its two halves are worked out apart: what it makes of
    a drawing is the same for each class.

    Args:
        width: F, of the drawing and of the embedded class.
        hidden: Of the layer between.
        chance: Where first weights come from.
    """

    def __init__(self, width: int, hidden: int, chance: torch.Generator) -> None:
        super().__init__()
        self.first, self.last = linear(2 * width, hidden, chance, gain=_GAIN), linear(hidden, 1, chance)
        nn.init.constant_(self.last.bias, _FIRST_LOGIT)

    def forward(self, drawings: Tensor, classes: Tensor) -> Tensor:
        """Return logits of all pairs: (M, F), (K, F) → (M, K)."""
        weight, width = self.first.weight, drawings.shape[1]
        of_class = nn.functional.linear(classes, weight[:, width:], self.first.bias)
        between = (drawings @ weight[:, :width].T)[:, None] + of_class
        logits: Tensor = self.last(between.relu()).squeeze(2)
        return logits

    def to_classes(self, classes: Matrix, scale: float) -> RelationComparison:
        """Return the relation of drawings, which are divided by `scale`, to some classes as it is now: (K, F)."""
        (first, last), (bias, last_bias) = layers_of(self)
        width = classes.shape[1]
        return RelationComparison(
            of_drawings=np.ascontiguousarray(first[:, :width]),
            of_classes=classes.astype(np.float32) @ first[:, width:].T + bias,
            last=last[0],
            bias=float(last_bias[0]),
            scale=scale,
        )


class Pair(nn.Module):
    """The network that embeds vectors of classes, and the one that relates them to drawings."""

    def __init__(self, sizes: tuple[int, int, int], relation_hidden: int, chance: torch.Generator) -> None:
        super().__init__()
        self.embed = perceptron(sizes, chance, last_relu=True, gain=_GAIN)
        self.relate = Relation(sizes[2], relation_hidden, chance)


@dataclass(frozen=True, kw_only=True)
class RelationNetwork:
    """RelationNet: 1 is learnt for a drawing and its class, 0 for a drawing and another class of its batch.

    Source: Sung et al., "Learning to compare: relation network for few-shot learning", CVPR 2018, Eq. 1 and 2, section
    3.4 and figure 3: vector → 1,024 → F, ReLU; both in one row → 1,024 → 1, sigmoid; mean squared error. Theirs are
    batches of 32 and Adam with 1e-5 over 200,000 steps and more; here steps are larger and fewer. Scores are logits,
    which the sigmoid does not reorder; there are no ties among those of far-off classes.

    Attributes:
        hidden: Of both perceptrons.
        rate: Learning rate of AdamW; of wide features nothing is learnt with several times as much.
        batch: Drawings of a step.
    """

    hidden: int = 1024
    rate: float = 2e-4
    batch: int = 64

    def __call__(self, lesson: Lesson, grid: Sequence[Constants]) -> Iterator[Recogniser]:
        """Learn with each `decay` and number of `steps`."""
        middle, scale = on_device(lesson.centre, lesson.device), size_of(lesson)
        known = on_device(lesson.directions[lesson.seen], lesson.device)
        for decay, marks in by_decay(grid):
            chance = chance_of(lesson.seed)
            pair = Pair((known.shape[1], self.hidden, lesson.width), self.hidden, chance).to(lesson.device)
            optimiser = make_optimiser("adamw", pair, self.rate, decay)

            def loss(pair: Pair = pair, chance: torch.Generator = chance) -> Tensor:
                drawn, places = lesson.batch(self.batch, chance)
                present, own = torch.unique(places, return_inverse=True)
                related = pair.relate((drawn - middle) / scale, pair.embed(known[present])).sigmoid()
                return nn.functional.mse_loss(related, nn.functional.one_hot(own, len(present)).to(related.dtype))

            for steps in walk(loss, optimiser, marks, "the relation network"):
                yield self._recogniser(lesson, pair, {"decay": decay, "steps": steps})

    def _recogniser(self, lesson: Lesson, pair: Pair, constants: Constants) -> Recogniser:
        with torch.no_grad():
            prototypes = as_matrix(pair.embed(on_device(lesson.directions, lesson.device)))
        return Recogniser(
            embed=Embedding(offset=lesson.centre),
            prototypes=prototypes,
            compare=pair.relate.to_classes(prototypes, size_of(lesson)),
            seen=lesson.seen,
            width=lesson.width,
            constants=constants,
        )


def size_of(lesson: Lesson) -> float:
    """Return the root mean square of a lesson's class means from the mean of all; 1 where they are the same."""
    return root_mean_square(lesson.means - lesson.centre) or 1.0
