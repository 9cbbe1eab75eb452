"""Our own method: prototypes that are learnt to be told apart, for drawings of classes that hide now and then."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sketchdata.zero_shot.embeddings import Embedding
from sketchdata.zero_shot.eve import on_device
from sketchdata.zero_shot.lesson import Lesson, Matrix
from sketchdata.zero_shot.recogniser import Constants, Recogniser
from sketchdata.zero_shot.steps import as_matrix, by_decay, chance_of, linear, make_optimiser, walk


class Encoder(nn.Module):
    """Vectors of classes → unit prototypes: LayerNorm, dropout, Linear, GELU, Linear, length 1.

    Args:
        sizes: S, the layer between, F.
        dropout: Share of a vector's numbers that a step leaves out.
        chance: Where first weights and what is left out come from.
    """

    def __init__(self, sizes: tuple[int, int, int], dropout: float, chance: torch.Generator) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(sizes[0])
        self.between, self.last = linear(sizes[0], sizes[1], chance), linear(sizes[1], sizes[2], chance)
        self.dropout, self.chance = dropout, chance

    def forward(self, vectors: Tensor) -> Tensor:
        """Return prototypes: (K, S) → (K, F)."""
        normal = self.norm(vectors)
        if self.training and self.dropout:
            kept = torch.rand(normal.shape, generator=self.chance) >= self.dropout
            normal = normal * kept.to(normal.device) / (1 - self.dropout)
        return functional.normalize(self.last(functional.gelu(self.between(normal))), dim=1)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Softmax over prototypes: cross entropy of s cos(z, E(v)) of a drawing z, among the seen classes.

    Each step, for half of its drawings, some classes are hidden: they are not among the classes that a drawing is told
    from, unless they are its own. So prototypes are not pushed away from drawings of all others, as those of unseen
    classes will not have been. And for some pairs of classes a class between the two is made up, with vectors and
    drawings mixed in one proportion, and told from all others: the encoder is to go straight between classes.

    Several encoders learn, each from its own first weights; the mean of their cosines is a product with the mean of
    their prototypes. Drawings are taken from the mean of all, and made of length 1.

    Attributes:
        hidden: Width of the layer between.
        scale: s.
        share_hidden: Of the seen classes, hidden from half of a step's drawings.
        dropout: Share of a vector's numbers left out in a step.
        mixed: Share of a step's drawings that are mixed with others besides.
        members: Encoders.
        batch: Drawings of a step.
        rate: Learning rate of AdamW.
    """

    hidden: int = 1024
    scale: float = 16.0
    share_hidden: float = 0.1
    dropout: float = 0.5
    mixed: float = 0.25
    members: int = 3
    batch: int = 256
    rate: float = 1e-3

    def __call__(self, lesson: Lesson, grid: Sequence[Constants]) -> Iterator[Recogniser]:
        """Learn with each `decay` and number of `steps`."""
        for decay, marks in by_decay(grid):
            walks = [self._prototypes(lesson, decay, marks, member) for member in range(self.members)]
            for steps, prototypes in zip(marks, zip(*walks, strict=True), strict=True):
                yield Recogniser(
                    embed=Embedding(offset=lesson.centre, unit=True),
                    prototypes=np.mean(prototypes, axis=0),
                    compare="product",
                    seen=lesson.seen,
                    width=lesson.width,
                    constants={"decay": decay, "steps": steps},
                )

    def _prototypes(self, lesson: Lesson, decay: float, marks: list[int], member: int) -> Iterator[Matrix]:
        """Yield one encoder's prototypes of all classes after each number of steps."""
        chance = chance_of(lesson.seed, member)
        vectors = on_device(lesson.directions, lesson.device)
        sizes = (vectors.shape[1], self.hidden, lesson.width)
        encoder = Encoder(sizes, self.dropout, chance).to(lesson.device)
        known, centre = vectors[torch.from_numpy(lesson.seen)], on_device(lesson.centre, lesson.device)

        def loss() -> Tensor:
            drawn, places = lesson.batch(self.batch, chance)
            return self.loss(encoder, known, functional.normalize(drawn - centre, dim=1), places)

        optimiser = make_optimiser("adamw", encoder, self.rate, decay)
        for _ in walk(loss, optimiser, marks, "an encoder"):
            encoder.eval()
            with torch.no_grad():
                prototypes = as_matrix(encoder(vectors))
            encoder.train()
            yield prototypes

    def loss(self, encoder: Encoder, known: Tensor, drawn: Tensor, places: Tensor) -> Tensor:
        """Return a step's loss, of the drawings as they are and of mixed ones.

        Args:
            encoder: Whose prototypes are compared.
            known: (C, S), vectors of the seen classes.
            drawn: z, (B, F), of length 1.
            places: (B,) 0..C-1.
        """
        prototypes = encoder(known)
        cosines = drawn @ prototypes.T
        hidden = self.hide(places, len(known), encoder.chance)
        plain = functional.cross_entropy((self.scale * cosines).masked_fill(hidden, -torch.inf), places)
        count = int(self.mixed * len(drawn))
        if not count:
            return plain
        partner = torch.randint(len(drawn), (count,), generator=encoder.chance).to(places.device)
        amounts = (0.3 + 0.4 * torch.rand((count, 1), generator=encoder.chance)).to(drawn.device)
        between = functional.normalize(torch.lerp(drawn[:count], drawn[partner], amounts), dim=1)
        made_up = encoder(torch.lerp(known[places[:count]], known[places[partner]], amounts))
        scores = self.scale * between @ torch.cat([made_up, prototypes]).T
        return plain + self.mixed * functional.cross_entropy(scores, torch.arange(count, device=places.device))

    def hide(self, places: Tensor, classes: int, chance: torch.Generator) -> Tensor:
        """Return which classes are hidden from which drawings: (B, C) bool, never a drawing's own one."""
        count = min(max(1, round(self.share_hidden * classes)), classes - 2) if self.share_hidden else 0
        chosen = torch.randperm(classes, generator=chance)[: max(count, 0)]
        hidden = torch.zeros(len(places), classes, dtype=torch.bool)
        hidden[: len(places) // 2, chosen] = True
        hidden[torch.arange(len(places)), places.cpu()] = False
        return hidden.to(places.device)
