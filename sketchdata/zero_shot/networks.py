"""Zero-shot methods that learn by gradient steps: EVE and DEM, relation network, our recipe, ConSE."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.zero_shot.closed_form import Direction
from sketchdata.zero_shot.recogniser import (
    AnyEmbedding,
    CombinationEmbedding,
    Constants,
    Embedding,
    PerceptronEmbedding,
    Recogniser,
    RelationComparison,
    Weights,
    combine_vectors,
    compared,
)
from sketchdata.zero_shot.training_set import Labels, Lesson, Matrix, root_mean_square

# Networks of zero-shot methods, and the steps by which they learn. All chance comes from generators of their own.

OPTIMISERS = ("adamw", "adam", "rmsprop")


def walk(
    loss: Callable[[], Tensor], optimiser: torch.optim.Optimizer, marks: Sequence[int], name: str
) -> Iterator[int]:
    """Take steps down a loss, and stop for a look after each number of them in `marks`, which is yielded.

    Raises:
        SketchDataError: The loss is no longer a finite number.
    """
    for step in range(1, max(marks) + 1):
        optimiser.zero_grad()
        found = loss()
        found.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if step in marks:
            if not math.isfinite(float(found.detach())):
                raise SketchDataError(
                    f"the loss of {name} is not finite after {step:,} steps: lower its learning rate or its decay"
                )
            yield step


def by_decay(grid: Sequence[Constants]) -> Iterator[tuple[float, list[int]]]:
    """Yield each `decay` of a grid with its numbers of `steps`, so that one walk serves all of these.

    Raises:
        ConfigError: A number of steps is below 1.
    """
    pairs = sorted({(constants["decay"], int(constants["steps"])) for constants in grid})
    if min(steps for _, steps in pairs) < 1:
        raise ConfigError("a network learns in 1 step or more")
    for decay, group in groupby(pairs, key=lambda pair: pair[0]):
        yield decay, [steps for _, steps in group]


def make_optimiser(name: str, network: nn.Module, rate: float, decay: float) -> torch.optim.Optimizer:
    """Return an optimiser whose decay is the λ of λ ‖Θ‖².

    AdamW decays weights beside the gradient; the others have it in the gradient, where torch's factor stands for λ/2.

    Raises:
        ConfigError: There is none of that name.
    """
    if name == "adamw":
        return torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=decay)
    if name == "adam":
        return torch.optim.Adam(network.parameters(), lr=rate, weight_decay=2 * decay)
    if name == "rmsprop":
        return torch.optim.RMSprop(network.parameters(), lr=rate, weight_decay=2 * decay)
    raise ConfigError(f"optimisers are {', '.join(OPTIMISERS)}, and {name!r} is none")


def chance_of(seed: int, member: int = 0) -> torch.Generator:
    """Return a generator on the CPU, for all devices draw the same numbers then."""
    return torch.Generator().manual_seed((seed * 1_000_003 + member) % (1 << 63))


def linear(inputs: int, outputs: int, chance: torch.Generator, *, gain: float = 1.0) -> nn.Linear:
    """Return a layer with torch's usual first weights, drawn from `chance` rather than from the generator of all.

    Args:
        inputs: Numbers that it takes.
        outputs: Numbers that it gives.
        chance: Where first weights come from.
        gain: What the usual weights are multiplied by: √3 makes their variance 1 / inputs.
    """
    layer: nn.Linear = nn.utils.skip_init(nn.Linear, inputs, outputs)  # type: ignore[no-untyped-call]
    reach = 1 / math.sqrt(inputs)
    with torch.no_grad():
        layer.weight.uniform_(-gain * reach, gain * reach, generator=chance)
        layer.bias.uniform_(-reach, reach, generator=chance)
    return layer


def perceptron(sizes: Sequence[int], chance: torch.Generator, *, last_relu: bool, gain: float = 1.0) -> nn.Sequential:
    """Return fully connected layers with ReLU between them, and after the last one if so wished."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [linear(inputs, outputs, chance, gain=gain), nn.ReLU()]
    return nn.Sequential(*(layers if last_relu else layers[:-1]))


def as_matrix(values: Tensor) -> Matrix:
    """Return a tensor's numbers in double, on the CPU."""
    return values.detach().cpu().numpy().astype(np.float64)


def layers_of(network: nn.Module) -> tuple[tuple[Weights, ...], tuple[Weights, ...]]:
    """Return weights and biases of a network's fully connected layers in their order, which later steps do not change.

    Each is (outputs, inputs) and (outputs,), float32.
    """
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    return (
        tuple(layer.weight.detach().cpu().numpy().astype(np.float32) for layer in layers),
        tuple(layer.bias.detach().cpu().numpy().astype(np.float32) for layer in layers),
    )


# EVE, the encoding of edge-map vectors: a perceptron that places classes among drawings. DEM is the same of words.
# Source: Xu et al., "On learning semantic representations for million-scale free-hand sketches", section III-C, Eq. 8
# and
# 9; Zhang, Xiang and Gong, "Learning a deep embedding model for zero-shot learning", CVPR 2017, section 3.


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


# Relation network: a perceptron looks at a drawing and at a class, and tells whether they belong together.

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


# Our own method: prototypes that are learnt to be told apart, for drawings of classes that hide now and then.


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


# ConSE: a drawing lies between the vectors of those seen classes that a classifier takes it for.
# Source: Norouzi et al., "Zero-shot learning by convex combination of semantic embeddings", ICLR 2014, section 3.


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
