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
    RelationComparison,
    Weights,
    ZeroShotRecogniser,
    fitted,
)
from sketchdata.zero_shot.training_set import Matrix, TrainingSet, root_mean_square

# Networks draw all random numbers from generators of their own.

OPTIMISERS = ("adamw", "adam", "rmsprop")


def train_steps(
    loss: Callable[[], Tensor], optimiser: torch.optim.Optimizer, marks: Sequence[int], name: str
) -> Iterator[int]:
    """Train for max(marks) steps, and yield each number of steps in `marks` when it is reached.

    Raises:
        SketchDataError: The loss of the network `name` is not finite.
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
    """Yield each `decay` of a grid with its numbers of `steps`: one training serves all of these.

    Raises:
        ConfigError: A number of steps is below 1.
    """
    pairs = sorted({(constants["decay"], int(constants["steps"])) for constants in grid})
    if min(steps for _, steps in pairs) < 1:
        raise ConfigError("a network learns in 1 step or more")
    for decay, group in groupby(pairs, key=lambda pair: pair[0]):
        yield decay, [steps for _, steps in group]


def make_optimiser(name: str, network: nn.Module, rate: float, decay: float) -> torch.optim.Optimizer:
    """Return an optimiser with λ ‖Θ‖² as decay.

    AdamW decays weights beside the gradient; the others have the decay in the gradient, where torch's factor is λ/2.

    Raises:
        ConfigError: There is no optimiser of that name.
    """
    if name == "adamw":
        return torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=decay)
    if name == "adam":
        return torch.optim.Adam(network.parameters(), lr=rate, weight_decay=2 * decay)
    if name == "rmsprop":
        return torch.optim.RMSprop(network.parameters(), lr=rate, weight_decay=2 * decay)
    raise ConfigError(f"unknown optimiser {name!r}: choose one of {', '.join(OPTIMISERS)}")


def generator_of(seed: int, member: int = 0) -> torch.Generator:
    """Return a generator on the CPU, so that all devices draw the same numbers."""
    return torch.Generator().manual_seed((seed * 1_000_003 + member) % (1 << 63))


def linear(inputs: int, outputs: int, generator: torch.Generator, *, gain: float = 1.0) -> nn.Linear:
    """Return a layer with torch's usual first weights times `gain`, drawn from a generator of its own.

    √3 as gain makes their variance 1 / inputs.
    """
    layer: nn.Linear = nn.utils.skip_init(nn.Linear, inputs, outputs)  # type: ignore[no-untyped-call]
    reach = 1 / math.sqrt(inputs)
    with torch.no_grad():
        layer.weight.uniform_(-gain * reach, gain * reach, generator=generator)
        layer.bias.uniform_(-reach, reach, generator=generator)
    return layer


def perceptron(
    sizes: Sequence[int], generator: torch.Generator, *, last_relu: bool, gain: float = 1.0
) -> nn.Sequential:
    """Return fully connected layers with ReLU between them, and after the last one if `last_relu`."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [linear(inputs, outputs, generator, gain=gain), nn.ReLU()]
    return nn.Sequential(*(layers if last_relu else layers[:-1]))


def as_matrix(values: Tensor) -> Matrix:
    """Return a tensor as float64 on the CPU."""
    return values.detach().cpu().numpy().astype(np.float64)


def layers_of(network: nn.Module) -> tuple[tuple[Weights, ...], tuple[Weights, ...]]:
    """Return copies of a network's fully connected layers in order: (outputs, inputs) weights and (outputs,) biases."""
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    return (
        tuple(layer.weight.detach().cpu().numpy().astype(np.float32) for layer in layers),
        tuple(layer.bias.detach().cpu().numpy().astype(np.float32) for layer in layers),
    )


# EVE, the encoding of edge-map vectors: a perceptron that embeds classes among drawings. DEM is the same of words.
# Sources: Xu et al., "On learning semantic representations for million-scale free-hand sketches", section III-C, Eq. 8
# and 9; Zhang, Xiang and Gong, "Learning a deep embedding model for zero-shot learning", CVPR 2017, section 3.


@dataclass(frozen=True, kw_only=True)
class Regression:
    """A perceptron that learns by squared error, and nearest prototypes by Euclidean distance (Eq. 8 and 9).

    From vectors to features, drawings are fixed and the perceptron sees their classes' vectors alone: the error of the
    drawings is that of their class means, weighted by counts, and the spread within classes, a constant. So it learns
    from class means. In the other direction it sees each drawing, and learns from random batches.

    Inputs and targets are divided by the root of their mean square, so that one learning rate serves all kinds.

    Attributes:
        direction: `to_features` in Eq. 8; `to_vectors` is the other direction of Table X.
        hidden: Width of the hidden layer, 2,048 in the paper; 0 for a linear map.
        last_relu: Whether ReLU follows the last layer, as in the paper; None: where no target is negative, since
            ReLU cannot reach others.
        optimiser: `rmsprop` is the paper's; of `adam` too, λ ‖Θ‖² is a term of the loss.
        rate: Its learning rate.
        batch: Drawings per batch, `to_vectors`.
    """

    direction: Direction = "to_features"
    hidden: int = 2048
    last_relu: bool | None = None
    optimiser: str = "adam"
    rate: float = 1e-4
    batch: int = 256

    def __call__(self, data: TrainingSet, grid: Sequence[Constants]) -> Iterator[ZeroShotRecogniser]:
        """Learn with each `decay` (λ) and number of `steps`."""
        for decay, marks in by_decay(grid):
            generator = generator_of(data.seed)
            network = self.network(data, generator).to(data.device)
            optimiser = make_optimiser(self.optimiser, network, self.rate, decay)
            loss = self._loss(data, network, generator)
            for steps in train_steps(loss, optimiser, marks, "the perceptron"):
                constants = {"decay": decay, "steps": steps}
                yield self._recogniser(data, network, constants)

    def network(self, data: TrainingSet, generator: torch.Generator) -> nn.Sequential:
        """Return the perceptron before its first step."""
        sizes, targets = [data.vectors.shape[1], data.width], data.means
        if self.direction == "to_vectors":
            sizes, targets = sizes[::-1], data.vectors[data.seen].astype(np.float64)
        relu = bool(targets.min() >= 0) if self.last_relu is None else self.last_relu
        if not self.hidden:
            return perceptron(sizes, generator, last_relu=False)
        return perceptron([sizes[0], self.hidden, sizes[1]], generator, last_relu=relu)

    def _loss(self, data: TrainingSet, network: nn.Module, generator: torch.Generator) -> Any:
        scales = scales_of(data)
        known = on_device(data.vectors[data.seen] / scales[1], data.device)
        if self.direction == "to_features":
            means = on_device(data.means / scales[0], data.device)
            shares = on_device(data.counts / len(data.rows), data.device)
            return lambda: embedding_loss(network(known), means, shares)

        def of_batch() -> Tensor:
            drawn, places = data.batch(self.batch, generator)
            error: Tensor = (network(drawn / scales[0]) - known[places]).square().sum(1).mean()
            return error

        return of_batch

    def _recogniser(self, data: TrainingSet, network: nn.Sequential, constants: Constants) -> ZeroShotRecogniser:
        of_features, of_vectors = scales_of(data)
        embed: AnyEmbedding = Embedding()
        if self.direction == "to_features":
            with torch.no_grad():
                prototypes = as_matrix(network(on_device(data.vectors / of_vectors, data.device))) * of_features
        else:
            weights, biases = layers_of(network)
            relu = isinstance(network[-1], nn.ReLU)
            embed = PerceptronEmbedding(weights=weights, biases=biases, last_relu=relu, scale=of_features)
            prototypes = data.vectors / np.float64(of_vectors)
        return fitted(data, constants, embed, prototypes)


def embedding_loss(embedded: Tensor, means: Tensor, shares: Tensor) -> Tensor:
    """Return Eq. 8 on class means, without its constant part: Σ (n_c / N) ‖m_c − F(v_c)‖².

    The mean of ‖x − F(v_y)‖² over the drawings is this and the mean of ‖x − m_y‖².

    Args:
        embedded: F(v), (C, F).
        means: m, (C, F).
        shares: n / N, (C,).
    """
    return ((means - embedded).square().sum(1) * shares).sum()


def scales_of(data: TrainingSet) -> tuple[float, float]:
    """Return the root mean squares of a training set's class means and of its seen classes' vectors."""
    return root_mean_square(data.means) or 1.0, root_mean_square(data.vectors[data.seen])


def on_device(values: npt.NDArray[Any], device: str) -> Tensor:
    """Return an array as a float32 tensor."""
    return torch.from_numpy(values.astype(np.float32)).to(device)


# Relation network: a perceptron sees a drawing and a class, and predicts whether they belong together.

#: The first logit of all pairs, a chance of 0.05: most pairs of a batch do not belong together. From 0.5, learning
#: first makes all of them unlikely, and then hardly moves for hundreds of steps.
_FIRST_LOGIT = -3.0
#: First weights of variance 1 / inputs. Torch's own shrink the part of the class from layer to layer, until the
#: relation sees the drawing alone, and learns nothing of wide features.
_GAIN = math.sqrt(3)


class Relation(nn.Module):
    """Two fully connected layers on a drawing and an embedded class, of F numbers each: a logit of how well they fit.

    The first layer acts on both as if they stood in one row, but its two halves are computed apart: that of a drawing
    is the same for each class.
    """

    def __init__(self, width: int, hidden: int, generator: torch.Generator) -> None:
        super().__init__()
        self.first, self.last = linear(2 * width, hidden, generator, gain=_GAIN), linear(hidden, 1, generator)
        nn.init.constant_(self.last.bias, _FIRST_LOGIT)

    def forward(self, drawings: Tensor, classes: Tensor) -> Tensor:
        """Return logits of all pairs: (M, F), (K, F) → (M, K)."""
        weight, width = self.first.weight, drawings.shape[1]
        of_class = nn.functional.linear(classes, weight[:, width:], self.first.bias)
        between = (drawings @ weight[:, :width].T)[:, None] + of_class
        logits: Tensor = self.last(between.relu()).squeeze(2)
        return logits

    def to_classes(self, classes: Matrix, scale: float) -> RelationComparison:
        """Return the relation, as it is now, of drawings divided by `scale` to some classes, (K, F)."""
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

    def __init__(self, sizes: tuple[int, int, int], relation_hidden: int, generator: torch.Generator) -> None:
        super().__init__()
        self.embed = perceptron(sizes, generator, last_relu=True, gain=_GAIN)
        self.relate = Relation(sizes[2], relation_hidden, generator)


@dataclass(frozen=True, kw_only=True)
class RelationNetwork:
    """RelationNet learns 1 for a drawing and its class, 0 for a drawing and another class of its batch.

    Source: Sung et al., "Learning to compare: relation network for few-shot learning", CVPR 2018, Eq. 1 and 2, section
    3.4 and figure 3: vector → 1,024 → F, ReLU; both in one row → 1,024 → 1, sigmoid; mean squared error. Theirs are
    batches of 32 and Adam with 1e-5 over 200,000 steps and more; here steps are larger and fewer. Scores are logits,
    which the sigmoid does not reorder; there are no ties among those of far-off classes.

    Attributes:
        hidden: Width of the hidden layers of both perceptrons.
        rate: Learning rate of AdamW; several times as much learns nothing of wide features.
        batch: Drawings per batch.
    """

    hidden: int = 1024
    rate: float = 2e-4
    batch: int = 64

    def __call__(self, data: TrainingSet, grid: Sequence[Constants]) -> Iterator[ZeroShotRecogniser]:
        """Learn with each `decay` and number of `steps`."""
        middle, scale = on_device(data.centre, data.device), size_of(data)
        known = on_device(data.directions[data.seen], data.device)
        for decay, marks in by_decay(grid):
            generator = generator_of(data.seed)
            pair = Pair((known.shape[1], self.hidden, data.width), self.hidden, generator).to(data.device)
            optimiser = make_optimiser("adamw", pair, self.rate, decay)

            def loss(pair: Pair = pair, generator: torch.Generator = generator) -> Tensor:
                drawn, places = data.batch(self.batch, generator)
                present, own = torch.unique(places, return_inverse=True)
                related = pair.relate((drawn - middle) / scale, pair.embed(known[present])).sigmoid()
                return nn.functional.mse_loss(related, nn.functional.one_hot(own, len(present)).to(related.dtype))

            for steps in train_steps(loss, optimiser, marks, "the relation network"):
                yield self._recogniser(data, pair, {"decay": decay, "steps": steps})

    def _recogniser(self, data: TrainingSet, pair: Pair, constants: Constants) -> ZeroShotRecogniser:
        with torch.no_grad():
            prototypes = as_matrix(pair.embed(on_device(data.directions, data.device)))
        compare = pair.relate.to_classes(prototypes, size_of(data))
        return fitted(data, constants, Embedding(offset=data.centre), prototypes, compare)


def size_of(data: TrainingSet) -> float:
    """Return the root mean square of a training set's class means from the mean of all; 1 where they are the same."""
    return root_mean_square(data.means - data.centre) or 1.0


# Our own method: softmax over prototypes, with some classes hidden in each step.


class Encoder(nn.Module):
    """Vectors → prototypes of length 1: LayerNorm, dropout, Linear, GELU, Linear; `sizes` are S, hidden, F."""

    def __init__(self, sizes: tuple[int, int, int], dropout: float, generator: torch.Generator) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(sizes[0])
        self.between, self.last = linear(sizes[0], sizes[1], generator), linear(sizes[1], sizes[2], generator)
        self.dropout, self.generator = dropout, generator

    def forward(self, vectors: Tensor) -> Tensor:
        """Return prototypes: (K, S) → (K, F)."""
        normal = self.norm(vectors)
        if self.training and self.dropout:
            kept = torch.rand(normal.shape, generator=self.generator) >= self.dropout
            normal = normal * kept.to(normal.device) / (1 - self.dropout)
        return functional.normalize(self.last(functional.gelu(self.between(normal))), dim=1)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Softmax over prototypes: cross entropy of s cos(z, E(v)) of a drawing z, among the seen classes.

    In each step, for half of its drawings, some classes are hidden: they are not candidates, unless they are a
    drawing's own class. So prototypes are not pushed away from drawings of all other classes, as those of unseen
    classes will not have been. And for some pairs of classes a class between the two is made up, with vectors and
    drawings mixed in one proportion, and distinguished from all others: the encoder learns to go straight between
    classes.

    Several encoders learn, each from its own first weights; the mean of their cosines is a product with the mean of
    their prototypes. The mean of all drawings is subtracted from each, whose length is then made 1.

    Attributes:
        hidden: Width of the hidden layer.
        scale: s.
        share_hidden: Share of the seen classes hidden from half of a step's drawings.
        dropout: Share of a vector that a step leaves out.
        mixed: Share of a step's drawings that are also mixed with others.
        members: Encoders.
        batch: Drawings per batch.
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

    def __call__(self, data: TrainingSet, grid: Sequence[Constants]) -> Iterator[ZeroShotRecogniser]:
        """Learn with each `decay` and number of `steps`."""
        for decay, marks in by_decay(grid):
            walks = [self._prototypes(data, decay, marks, member) for member in range(self.members)]
            for steps, prototypes in zip(marks, zip(*walks, strict=True), strict=True):
                embed = Embedding(offset=data.centre, unit=True)
                constants = {"decay": decay, "steps": steps}
                yield fitted(data, constants, embed, np.mean(prototypes, axis=0), "product")

    def _prototypes(self, data: TrainingSet, decay: float, marks: list[int], member: int) -> Iterator[Matrix]:
        generator = generator_of(data.seed, member)
        vectors = on_device(data.directions, data.device)
        sizes = (vectors.shape[1], self.hidden, data.width)
        encoder = Encoder(sizes, self.dropout, generator).to(data.device)
        known, centre = vectors[torch.from_numpy(data.seen)], on_device(data.centre, data.device)

        def loss() -> Tensor:
            drawn, places = data.batch(self.batch, generator)
            return self.loss(encoder, known, functional.normalize(drawn - centre, dim=1), places)

        optimiser = make_optimiser("adamw", encoder, self.rate, decay)
        for _ in train_steps(loss, optimiser, marks, "an encoder"):
            encoder.eval()
            with torch.no_grad():
                prototypes = as_matrix(encoder(vectors))
            encoder.train()
            yield prototypes

    def loss(self, encoder: Encoder, known: Tensor, drawn: Tensor, places: Tensor) -> Tensor:
        """Return a step's loss, of plain and of mixed drawings.

        Args:
            encoder: Encoder of the prototypes.
            known: (C, S), vectors of the seen classes.
            drawn: z, (B, F), of length 1.
            places: (B,) 0..C-1.
        """
        prototypes = encoder(known)
        cosines = drawn @ prototypes.T
        hidden = self.hide(places, len(known), encoder.generator)
        plain = functional.cross_entropy((self.scale * cosines).masked_fill(hidden, -torch.inf), places)
        count = int(self.mixed * len(drawn))
        if not count:
            return plain
        partner = torch.randint(len(drawn), (count,), generator=encoder.generator).to(places.device)
        amounts = (0.3 + 0.4 * torch.rand((count, 1), generator=encoder.generator)).to(drawn.device)
        between = functional.normalize(torch.lerp(drawn[:count], drawn[partner], amounts), dim=1)
        made_up = encoder(torch.lerp(known[places[:count]], known[places[partner]], amounts))
        scores = self.scale * between @ torch.cat([made_up, prototypes]).T
        return plain + self.mixed * functional.cross_entropy(scores, torch.arange(count, device=places.device))

    def hide(self, places: Tensor, classes: int, generator: torch.Generator) -> Tensor:
        """Choose the classes hidden from each drawing, never its own one: (B, C) bool."""
        count = min(max(1, round(self.share_hidden * classes)), classes - 2) if self.share_hidden else 0
        chosen = torch.randperm(classes, generator=generator)[: max(count, 0)]
        hidden = torch.zeros(len(places), classes, dtype=torch.bool)
        hidden[: len(places) // 2, chosen] = True
        hidden[torch.arange(len(places)), places.cpu()] = False
        return hidden.to(places.device)


# ConSE: a drawing lies between the vectors of the seen classes that a classifier predicts.
# Source: Norouzi et al., "Zero-shot learning by convex combination of semantic embeddings", ICLR 2014, section 3.


@dataclass(frozen=True, kw_only=True)
class ConvexCombination:
    """ConSE with a linear softmax classifier of the features; vectors have the mean of the seen classes' subtracted.

    Attributes:
        steps: Of the classifier, which learns from random batches.
        batch: Drawings per batch.
        rate: Learning rate of AdamW.
        decay: Of the classifier's weights.
    """

    steps: int = 1000
    batch: int = 256
    rate: float = 2e-3
    decay: float = 1e-2

    def __call__(self, data: TrainingSet, grid: Sequence[Constants]) -> Iterator[ZeroShotRecogniser]:
        """Train one classifier, and use the vectors of its `top` most likely classes."""
        (weight,), (bias,) = layers_of(self._classifier(data))
        for constants in grid:
            embed = CombinationEmbedding(
                weight=weight,
                bias=bias,
                offset=data.centre,
                scale=size_of(data),
                known=data.directions[data.seen],
                top=int(constants["top"]),
            )
            yield fitted(data, constants, embed, data.directions, "cosine")

    def _classifier(self, data: TrainingSet) -> nn.Module:
        generator = generator_of(data.seed)
        scale, middle = size_of(data), on_device(data.centre, data.device)
        network = linear(data.width, len(data.seen), generator).to(data.device)

        def loss() -> Tensor:
            drawn, places = data.batch(self.batch, generator)
            return nn.functional.cross_entropy(network((drawn - middle) / scale), places)

        optimiser = make_optimiser("adamw", network, self.rate, self.decay)
        list(train_steps(loss, optimiser, [self.steps], "ConSE's classifier"))
        return network
