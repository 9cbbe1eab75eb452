"""What zero-shot methods end in: an embedding of drawings, a prototype of each class, and a way to compare the two."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from sketchdata.errors import ConfigError
from sketchdata.zero_shot.training_set import Features, Labels, Matrix, check_classes, check_finite

# How embedded drawings and prototypes are compared: by name, or by a network that is kept as arrays.

#: −‖e − p‖², cos(e, p) or e · p of an embedded drawing e and a prototype p.
Measure: TypeAlias = Literal["distance", "cosine", "product"]
Weights: TypeAlias = npt.NDArray[np.float32]

#: Numbers of the layer between, of a few drawings and one class: they stay in a core's own memory.
_CELLS_AT_ONCE = 1 << 16


@dataclass(frozen=True, kw_only=True, eq=False)
class RelationComparison:
    """The logit of a perceptron that sees a drawing and a class in one row: w · ReLU(W x / scale + c) + bias.

    What its first layer makes of each class, c, is known before any drawing comes.

    Attributes:
        of_drawings: W, (H, F) float32.
        of_classes: c, (L, H) float32, the bias of the first layer in it.
        last: w, (H,) float32.
        bias: Of the last layer.
        scale: What drawings are divided by.
    """

    of_drawings: Weights
    of_classes: Weights
    last: Weights
    bias: float
    scale: float

    def __call__(self, drawings: Matrix) -> Matrix:
        """Return logits of all pairs, (M, F) → (M, L)."""
        drawn = (drawings / self.scale).astype(np.float32) @ self.of_drawings.T
        found = np.empty((len(drawn), len(self.of_classes)))
        step = max(1, _CELLS_AT_ONCE // drawn.shape[1])
        between = np.empty((step, drawn.shape[1]), np.float32)
        for start in range(0, len(drawn), step):
            some = drawn[start : start + step]
            for place, of_class in enumerate(self.of_classes):
                np.add(some, of_class, out=between[: len(some)])
                np.maximum(between, 0, out=between)
                found[start : start + step, place] = between[: len(some)] @ self.last
        return found + self.bias


Comparison: TypeAlias = Measure | RelationComparison


def compared(embedded: Matrix, prototypes: Matrix, by: Comparison) -> Matrix:
    """Compare each embedded drawing with each prototype: (M, D), (L, D) → (M, L), higher is nearer."""
    if isinstance(by, RelationComparison):
        return by(embedded)
    if by == "cosine":
        return unit(embedded) @ unit(prototypes).T
    products = embedded @ prototypes.T
    if by == "product":
        return products
    squares = np.square(embedded).sum(axis=1)[:, None] + np.square(prototypes).sum(axis=1)
    return np.asarray(np.minimum(2 * products - squares, 0))


def unit(rows: Matrix) -> Matrix:
    """Return rows of length 1; a row of zeros stays one."""
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(1e-12))


# Where drawings go before they are compared: ways that are arrays alone, so that they can be kept in a file.


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


# Parts of a recogniser as arrays and plain values, by kind, and parts of these again.

Arrays: TypeAlias = dict[str, npt.NDArray[Any]]
_KIND = "kind"
_EMBEDDINGS: dict[str, type[AnyEmbedding]] = {
    "linear": Embedding,
    "perceptron": PerceptronEmbedding,
    "combination": CombinationEmbedding,
}
_COMPARISONS: dict[str, type[RelationComparison]] = {"relation": RelationComparison}


def take_apart(embed: AnyEmbedding, compare: Comparison) -> tuple[Arrays, dict[str, Any]]:
    """Return the arrays of a recogniser's two ways, by names that begin with `embed.` and `compare.`, and the rest."""
    arrays, of_embed = _taken_apart(embed, "embed", _EMBEDDINGS)
    if isinstance(compare, str):
        return arrays, {"embed": of_embed, "compare": {_KIND: compare}}
    others, of_compare = _taken_apart(compare, "compare", _COMPARISONS)
    return arrays | others, {"embed": of_embed, "compare": of_compare}


def put_together(arrays: Mapping[str, npt.NDArray[Any]], facts: Mapping[str, Any]) -> tuple[AnyEmbedding, Comparison]:
    """Return the two ways of which `take_apart` gave these; whether the arrays fit one another is not looked at.

    Raises:
        ConfigError: A kind is not known, or there are other arrays and values than those of its kind.
    """
    embed = _put_together(arrays, facts.get("embed"), "embed", _EMBEDDINGS)
    compare = facts.get("compare")
    if isinstance(compare, Mapping) and compare.get(_KIND) in get_args(Measure):
        return embed, compare[_KIND]
    return embed, _put_together(arrays, compare, "compare", _COMPARISONS)


def _taken_apart(part: Any, name: str, kinds: Mapping[str, type[Any]]) -> tuple[Arrays, dict[str, Any]]:
    arrays, facts = Arrays(), {_KIND: next(kind for kind, own in kinds.items() if type(part) is own)}
    for own in dataclasses.fields(part):
        value = getattr(part, own.name)
        if isinstance(value, tuple):
            arrays |= {f"{name}.{own.name}.{place}": each for place, each in enumerate(value)}
        elif isinstance(value, np.ndarray):
            arrays[f"{name}.{own.name}"] = value
        elif value is not None:
            facts[own.name] = value
    return arrays, facts


def _put_together(arrays: Mapping[str, npt.NDArray[Any]], facts: Any, name: str, kinds: Mapping[str, type[Any]]) -> Any:
    kind = facts.get(_KIND) if isinstance(facts, Mapping) else None
    if not isinstance(kind, str) or kind not in kinds:
        raise ConfigError(f"these arrays are not of a recogniser: ways to {name} are {', '.join(kinds)}, not {kind!r}")
    values: dict[str, Any] = {key: value for key, value in facts.items() if key != _KIND}
    layers: dict[str, list[npt.NDArray[Any]]] = {}
    for key in sorted(key for key in arrays if key.startswith(f"{name}.")):
        field, _, place = key.removeprefix(f"{name}.").partition(".")
        if place:
            layers.setdefault(field, []).append(arrays[key])
        else:
            values[field] = arrays[key]
    try:
        return kinds[kind](**values, **{field: tuple(each) for field, each in layers.items()})
    except TypeError as error:
        raise ConfigError(f"these arrays are not of a recogniser: {error}") from error


#: Constants that a method was fitted with, by name.
Constants: TypeAlias = Mapping[str, float]

_CELLS_AT_ONCE_RECOGNISER = 1 << 22
#: More numbers than any network gives for a drawing.
_MOST_WIDE = 1 << 20


@dataclass(frozen=True, kw_only=True, eq=False)
class Recogniser:
    """A fitted method: it scores drawings for all classes, those that it saw and those that it did not.

    Attributes:
        embed: (M, F) drawings → (M, D), both float64.
        prototypes: (L, D) float64, of all classes.
        compare: How (M, D) and (L, D) give (M, L), by name or by a network.
        seen: (C,) int64, the classes that were learnt from.
        width: F.
        gamma: What calibrated stacking takes off the scores of seen classes (Chao et al., ECCV 2016); 0 where no
            validation classes were kept back to choose it by.
        constants: What the method was fitted with.
        validation_hit: The share of drawings of validation classes that it recognised among these with the constants
            chosen, before it learnt from them as well; None where there were no validation classes.
    """

    embed: AnyEmbedding
    prototypes: Matrix
    compare: Comparison
    seen: Labels
    width: int
    gamma: float = 0.0
    constants: Constants = field(default_factory=dict)
    validation_hit: float | None = None

    @property
    def unseen(self) -> Labels:
        """The classes that were not learnt from: int64, ascending."""
        return np.setdiff1d(np.arange(len(self.prototypes)), self.seen)

    def scores(self, features: Features, *, calibrated: bool = False) -> npt.NDArray[np.float32]:
        """Score drawings for all classes: (M, F) → (M, L) float32, higher is likelier.

        Args:
            features: Of the same kind as those that were learnt from.
            calibrated: Whether γ is taken off the scores of seen classes.

        Raises:
            ConfigError: The features have another width, or a number is not finite.
        """
        self._check(features)
        found = np.empty((len(features), len(self.prototypes)), np.float32)
        step = max(1, _CELLS_AT_ONCE_RECOGNISER // max(self.width, *self.prototypes.shape))
        for start in range(0, len(features), step):
            embedded = self.embed(features[start : start + step].astype(np.float64))
            found[start : start + step] = compared(embedded, self.prototypes, self.compare)
        if calibrated:
            found[:, self.seen] -= np.float32(self.gamma)
        return found

    def embedded(self, features: Features) -> npt.NDArray[np.float32]:
        """Return where drawings lie among the prototypes: (M, F) → (M, D) float32.

        Raises:
            ConfigError: As for `scores`.
        """
        self._check(features)
        step = max(1, _CELLS_AT_ONCE_RECOGNISER // self.width)
        parts = [self.embed(features[i : i + step].astype(np.float64)) for i in range(0, len(features), step)]
        return np.concatenate([np.zeros((0, self.prototypes.shape[1])), *parts]).astype(np.float32)

    def record(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """Return arrays and plain values of which `restore_recogniser` makes the same recogniser again."""
        arrays, ways = take_apart(self.embed, self.compare)
        facts = {
            **ways,
            "width": self.width,
            "gamma": float(self.gamma),
            "constants": {
                name: value if isinstance(value, int) else float(value) for name, value in self.constants.items()
            },
            "validation_hit": None if self.validation_hit is None else float(self.validation_hit),
        }
        return {"prototypes": self.prototypes, "seen": self.seen, **arrays}, facts

    def _check(self, features: Features) -> None:
        if features.ndim != 2 or features.shape[1] != self.width:
            raise ConfigError(
                f"this recogniser was fitted to (N, {self.width}) features, and is given {features.shape}"
            )
        check_finite(features)


def restore_recogniser(arrays: Mapping[str, npt.NDArray[Any]], facts: Mapping[str, Any]) -> Recogniser:
    """Make the recogniser again of which `Recogniser.record` gave these.

    Raises:
        ConfigError: They are not of a recogniser, or do not fit one another.
    """
    _check_arrays(arrays)
    embed, compare = put_together(arrays, facts)
    try:
        validation_hit = facts["validation_hit"]
        recogniser = Recogniser(
            embed=embed,
            prototypes=arrays["prototypes"],
            compare=compare,
            seen=arrays["seen"],
            width=int(facts["width"]),
            gamma=float(facts["gamma"]),
            constants=dict(facts["constants"]),
            validation_hit=None if validation_hit is None else float(validation_hit),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"these values are not of a recogniser: {error!r}") from error
    _try_out(recogniser)
    return recogniser


def _check_arrays(arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    prototypes, seen = arrays.get("prototypes"), arrays.get("seen")
    if prototypes is None or seen is None or prototypes.ndim != 2 or not prototypes.size or seen.dtype != np.int64:
        raise ConfigError("these arrays are not of a recogniser: it has (L, D) prototypes and places of seen classes")
    check_classes(seen, len(prototypes), "seen")
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ConfigError(f"these arrays are not of a recogniser: {name} has numbers that are not finite")


def _try_out(recogniser: Recogniser) -> None:
    """Score a drawing of zeros: whether arrays fit one another, and numbers can be computed with, shows there."""
    if not 0 < recogniser.width <= _MOST_WIDE:
        raise ConfigError(f"these values are not of a recogniser: {recogniser.width:,} numbers in a feature")
    try:
        with np.errstate(all="ignore"):
            scores = recogniser.scores(np.zeros((1, recogniser.width)), calibrated=True)
    except (TypeError, ValueError, IndexError) as error:
        raise ConfigError(f"these arrays do not fit one another: {error}") from error
    if not np.isfinite(scores).all():
        raise ConfigError("these arrays are not of a recogniser: scores by it are not finite numbers")
