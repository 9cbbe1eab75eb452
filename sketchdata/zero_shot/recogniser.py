"""Recognisers that zero-shot methods fit: an embedding of drawings, prototypes, and a comparison; and their files."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypedDict, get_args

import numpy as np
import numpy.typing as npt
import torch

from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.storage.tensors import SUFFIX, read_tensors, write_tensors
from sketchdata.zero_shot.training_set import Features, Labels, Matrix, TrainingSet, check_classes, check_finite

#: −‖e − p‖², cos(e, p) or e · p of an embedded drawing e and a prototype p.
Measure: TypeAlias = Literal["distance", "cosine", "product"]
Weights: TypeAlias = npt.NDArray[np.float32]

#: Values of the hidden layer, of a few drawings and one class: they stay in a core's own memory.
_HIDDEN_AT_ONCE = 1 << 16


@dataclass(frozen=True, kw_only=True, eq=False)
class RelationComparison:
    """The logit of a perceptron that sees a drawing and a class in one row: w · ReLU(W x / scale + c) + bias.

    Attributes:
        of_drawings: W, (H, F) float32.
        of_classes: c, the output of the first layer for each class, its bias included: (L, H) float32.
        last: w, (H,) float32.
        bias: Of the last layer.
        scale: The divisor of drawings.
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
        step = max(1, _HIDDEN_AT_ONCE // drawn.shape[1])
        between = np.empty((step, drawn.shape[1]), np.float32)
        for start in range(0, len(drawn), step):
            some = drawn[start : start + step]
            for place, of_class in enumerate(self.of_classes):
                np.add(some, of_class, out=between[: len(some)])
                np.maximum(between, 0, out=between)
                found[start : start + step, place] = between[: len(some)] @ self.last
        return found + self.bias


AnyComparison: TypeAlias = Measure | RelationComparison


def compared(embedded: Matrix, prototypes: Matrix, by: AnyComparison) -> Matrix:
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
    """Return rows divided by their lengths; a row of zeros stays one."""
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(1e-12))


@dataclass(frozen=True, kw_only=True, eq=False)
class Embedding:
    """(x − offset) matrix, with an (F,) offset and an (F, D) matrix where given; `unit` divides it by its length."""

    offset: Matrix | None = None
    matrix: Matrix | None = None
    unit: bool = False

    def __call__(self, rows: Matrix) -> Matrix:
        """Embed drawings, (M, F) → (M, D)."""
        moved = rows if self.offset is None else rows - self.offset
        turned = moved if self.matrix is None else moved @ self.matrix
        return unit(turned) if self.unit else turned


@dataclass(frozen=True, kw_only=True, eq=False)
class PerceptronEmbedding:
    """Fully connected layers of x / scale with ReLU between them, in single precision as they were learned.

    Each layer has (outputs, inputs) weights and (outputs,) biases; `last_relu` puts ReLU after the last one as well.
    """

    weights: tuple[Weights, ...]
    biases: tuple[Weights, ...]
    last_relu: bool
    scale: float

    def __call__(self, rows: Matrix) -> Matrix:
        """Embed drawings, (M, F) → (M, D)."""
        values = (rows / self.scale).astype(np.float32)
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True), 1):
            values = values @ weight.T + bias
            if layer < len(self.weights) or self.last_relu:
                values = np.maximum(values, 0)
        return values.astype(np.float64)


@dataclass(frozen=True, kw_only=True, eq=False)
class CombinationEmbedding:
    """The mean of the vectors of the classes that a linear softmax classifier finds most likely (ConSE).

    Attributes:
        weight: Of the classifier of (x − offset) / scale, (C, F) float32.
        bias: (C,) float32.
        offset: (F,) float64.
        scale: The divisor of drawings.
        known: (C, S) float64, the vectors of its classes.
        top: How many classes count.
    """

    weight: Weights
    bias: Weights
    offset: Matrix
    scale: float
    known: Matrix
    top: int

    def __call__(self, rows: Matrix) -> Matrix:
        """Embed drawings, (M, F) → (M, S)."""
        logits = ((rows - self.offset) / self.scale).astype(np.float32) @ self.weight.T + self.bias
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return combine_vectors((powers / powers.sum(axis=1, keepdims=True)).astype(np.float64), self.known, self.top)


AnyEmbedding: TypeAlias = Embedding | PerceptronEmbedding | CombinationEmbedding


def combine_vectors(probabilities: Matrix, known: Matrix, top: int) -> Matrix:
    """Return the mean of the vectors of the most likely seen classes, weighted by their probabilities: (M, S).

    Args:
        probabilities: (M, C) of the seen classes.
        known: (C, S), their vectors.
        top: How many classes count; all C where there are no more.

    Raises:
        ConfigError: `top` is below 1, or the arrays do not fit one another.
    """
    if top < 1 or probabilities.ndim != 2 or probabilities.shape[1] != len(known):
        raise ConfigError(
            f"the {top} most likely of {len(known)} classes need probabilities with a column for each class and a top "
            f"of 1 or more, not probabilities of shape {probabilities.shape}"
        )
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    kept = np.zeros_like(probabilities)
    np.put_along_axis(kept, order, np.take_along_axis(probabilities, order, axis=1), axis=1)
    return np.asarray(kept / kept.sum(axis=1, keepdims=True).clip(1e-300) @ known)


Arrays: TypeAlias = dict[str, npt.NDArray[Any]]
#: {part of a recogniser: {name of a kind: its class}}.
_KINDS: dict[str, dict[str, type[Any]]] = {
    "embed": {"linear": Embedding, "perceptron": PerceptronEmbedding, "combination": CombinationEmbedding},
    "compare": {"relation": RelationComparison},
}


def _taken_apart(part: Any, name: str) -> tuple[Arrays, dict[str, Any]]:
    """Return the arrays of a part of a recogniser, named `{name}.…`, and its plain values."""
    if isinstance(part, str):
        return {}, {"kind": part}
    arrays, facts = Arrays(), {"kind": next(kind for kind, own in _KINDS[name].items() if type(part) is own)}
    for own in dataclasses.fields(part):
        value = getattr(part, own.name)
        if isinstance(value, tuple):
            arrays |= {f"{name}.{own.name}.{place}": each for place, each in enumerate(value)}
        elif isinstance(value, np.ndarray):
            arrays[f"{name}.{own.name}"] = value
        elif value is not None:
            facts[own.name] = value
    return arrays, facts


def _put_together(arrays: Mapping[str, npt.NDArray[Any]], facts: Any, name: str) -> Any:
    """Return the part that `_taken_apart` gave; whether its arrays fit one another is not checked."""
    kind, kinds = facts.get("kind") if isinstance(facts, Mapping) else None, _KINDS[name]
    if name == "compare" and kind in get_args(Measure):
        return kind
    if not isinstance(kind, str) or kind not in kinds:
        raise ConfigError(
            f"these arrays do not belong to a recogniser: kinds of {name} are {', '.join(kinds)}, not {kind!r}"
        )
    values: dict[str, Any] = {key: value for key, value in facts.items() if key != "kind"}
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
        raise ConfigError(f"these arrays do not belong to a recogniser: {error}") from error


#: Constants that a method was fitted with, by name.
Constants: TypeAlias = Mapping[str, float]

_CELLS_AT_ONCE = 1 << 22
#: More than the width of any network's features.
_MOST_WIDE = 1 << 20


@dataclass(frozen=True, kw_only=True, eq=False)
class ZeroShotRecogniser:
    """A fitted method: it scores drawings for all classes, seen and unseen.

    Attributes:
        embed: (M, F) drawings → (M, D), both float64.
        prototypes: (L, D) float64, of all classes.
        compare: How (M, D) and (L, D) give (M, L), by name or by a network.
        seen: (C,) int64, the classes that the method learned from.
        width: F.
        gamma: γ of calibrated stacking, which is subtracted from the scores of seen classes (Chao et al., ECCV 2016); 0
            without validation classes to choose it by.
        constants: Of the method.
        validation_hit: The share of drawings of validation classes that it recognised among these with the constants
            chosen, before it learned from them as well; None without validation classes.
    """

    embed: AnyEmbedding
    prototypes: Matrix
    compare: AnyComparison
    seen: Labels
    width: int
    gamma: float = 0.0
    constants: Constants = field(default_factory=dict)
    validation_hit: float | None = None

    @property
    def unseen(self) -> Labels:
        """The other classes: int64, ascending."""
        return np.setdiff1d(np.arange(len(self.prototypes)), self.seen)

    def scores(self, features: Features, *, calibrated: bool = False) -> npt.NDArray[np.float32]:
        """Score drawings for all classes: (M, F) → (M, L) float32, higher is likelier; `calibrated` subtracts γ.

        Raises:
            ConfigError: The features have another width, or a number is not finite.
        """
        self._check(features)
        found = np.empty((len(features), len(self.prototypes)), np.float32)
        step = max(1, _CELLS_AT_ONCE // max(self.width, *self.prototypes.shape))
        for start in range(0, len(features), step):
            embedded = self.embed(features[start : start + step].astype(np.float64))
            found[start : start + step] = compared(embedded, self.prototypes, self.compare)
        if calibrated:
            found[:, self.seen] -= np.float32(self.gamma)
        return found

    def embedded(self, features: Features) -> npt.NDArray[np.float32]:
        """Embed drawings among the prototypes: (M, F) → (M, D) float32.

        Raises:
            ConfigError: As for `scores`.
        """
        self._check(features)
        step = max(1, _CELLS_AT_ONCE // self.width)
        parts = [self.embed(features[i : i + step].astype(np.float64)) for i in range(0, len(features), step)]
        return np.concatenate([np.zeros((0, self.prototypes.shape[1])), *parts]).astype(np.float32)

    def record(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """Return the arrays and plain values from which `restore_recogniser` makes the same recogniser."""
        embed, of_embed = _taken_apart(self.embed, "embed")
        compare, of_compare = _taken_apart(self.compare, "compare")
        facts = {
            "embed": of_embed,
            "compare": of_compare,
            "width": self.width,
            "gamma": float(self.gamma),
            "constants": {
                name: value if isinstance(value, int) else float(value) for name, value in self.constants.items()
            },
            "validation_hit": None if self.validation_hit is None else float(self.validation_hit),
        }
        return {"prototypes": self.prototypes, "seen": self.seen, **embed, **compare}, facts

    def _check(self, features: Features) -> None:
        if features.ndim != 2 or features.shape[1] != self.width:
            raise ConfigError(
                f"this recogniser was fitted to (N, {self.width}) features, and is given {features.shape}"
            )
        check_finite(features)


def restore_recogniser(arrays: Mapping[str, npt.NDArray[Any]], facts: Mapping[str, Any]) -> ZeroShotRecogniser:
    """Make a recogniser from the arrays and values of its `record`.

    Raises:
        ConfigError: They are not of a recogniser, or do not fit one another.
    """
    prototypes, seen = arrays.get("prototypes"), arrays.get("seen")
    if prototypes is None or seen is None or prototypes.ndim != 2 or not prototypes.size or seen.dtype != np.int64:
        raise ConfigError(
            "these arrays do not belong to a recogniser: it has (L, D) prototypes and places of seen classes"
        )
    check_classes(seen, len(prototypes), "seen")
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ConfigError(f"these arrays do not belong to a recogniser: {name} has numbers that are not finite")
    embed, compare = (_put_together(arrays, facts.get(name), name) for name in _KINDS)
    try:
        validation_hit = facts["validation_hit"]
        recogniser = ZeroShotRecogniser(
            embed=embed,
            prototypes=prototypes,
            compare=compare,
            seen=seen,
            width=int(facts["width"]),
            gamma=float(facts["gamma"]),
            constants=dict(facts["constants"]),
            validation_hit=None if validation_hit is None else float(validation_hit),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"these values do not belong to a recogniser: {error!r}") from error
    _try_out(recogniser)
    return recogniser


def fitted(
    data: TrainingSet,
    constants: Constants,
    embed: AnyEmbedding,
    prototypes: Matrix,
    compare: AnyComparison = "distance",
) -> ZeroShotRecogniser:
    """Return a recogniser that was fitted to a training set with some constants."""
    return ZeroShotRecogniser(
        embed=embed, prototypes=prototypes, compare=compare, seen=data.seen, width=data.width, constants=constants
    )


def _try_out(recogniser: ZeroShotRecogniser) -> None:
    """Score a drawing of zeros: this shows whether arrays fit one another and give finite scores."""
    if not 0 < recogniser.width <= _MOST_WIDE:
        raise ConfigError(f"these values do not belong to a recogniser: features of a width of {recogniser.width:,}")
    try:
        with np.errstate(all="ignore"):
            scores = recogniser.scores(np.zeros((1, recogniser.width)), calibrated=True)
    except (TypeError, ValueError, IndexError) as error:
        raise ConfigError(f"these arrays do not fit one another: {error}") from error
    if not np.isfinite(scores).all():
        raise ConfigError("these arrays do not belong to a recogniser: scores by it are not finite numbers")


# The folder `recognisers/` of a run has a file for each source of class vectors and each method, named
# `{source}.{method}.safetensors`: nothing in it is ever run. Its arrays are those of `ZeroShotRecogniser.record`; its
# facts say whose they are.

FOLDER = "recognisers"
_SOURCE, _METHOD = re.compile(r"[A-Za-z0-9_+-][A-Za-z0-9_.+-]{0,99}"), re.compile(r"[a-z][a-z0-9_]{0,49}")


@dataclass(frozen=True, kw_only=True, eq=False)
class KeptRecogniser:
    """A fitted recogniser in its run folder.

    Attributes:
        source: Of the class vectors: a file's stem, or `a+b` for those of two side by side.
        method: Its name in ZERO_SHOT_METHODS.
        classes: The L names, in the order of the prototypes.
        recogniser: The recogniser.
    """

    source: str
    method: str
    classes: tuple[str, ...]
    recogniser: ZeroShotRecogniser

    @property
    def name(self) -> str:
        """The name of its file, without the suffix."""
        return f"{self.source}.{self.method}"


def write_recogniser(folder: Path, kept: KeptRecogniser) -> Path:
    """Write a recogniser into a run folder, whole or not at all; the same one gives the same bytes. Return the file.

    Raises:
        ConfigError: The source or the method has a name that no file should have, or there is not one class per
            prototype.
        SketchDataError: It cannot be written.
    """
    if not _SOURCE.fullmatch(kept.source) or not _METHOD.fullmatch(kept.method):
        raise ConfigError(
            f"a recogniser's file is named by its vectors and its method, and {kept.name[:120]!r} is not a safe name: "
            "name the file of vectors by letters, digits and . _ + - alone, 100 at most and no . at the start"
        )
    _check_classes(kept.classes, kept.recogniser)
    path = recogniser_path(folder, kept.source, kept.method)
    arrays, facts = kept.recogniser.record()
    whose = {"source": kept.source, "method": kept.method, "classes": list(kept.classes)}
    write_tensors(path, {name: torch.from_numpy(array) for name, array in arrays.items()}, {**whose, FOLDER: facts})
    return path


def recogniser_path(folder: Path, source: str, method: str) -> Path:
    """Return the path of a recogniser's file, there or not."""
    return folder / FOLDER / f"{source}.{method}{SUFFIX}"


def read_recognisers(folder: Path) -> list[KeptRecogniser]:
    """Read all recognisers of a run folder, by source and method.

    Raises:
        SketchDataError: There are none, or one is damaged, is no recogniser, or has another one's name.
    """
    paths = sorted((folder / FOLDER).glob(f"*{SUFFIX}"))
    if not paths:
        raise SketchDataError(f"{folder} has no recognisers ({FOLDER}/*{SUFFIX}): `sketchdata train zsl` writes them")
    return sorted(map(_read, paths), key=lambda kept: (kept.source, kept.method))


def choose_recogniser(
    kept: Sequence[KeptRecogniser], source: str | None = None, method: str | None = None
) -> KeptRecogniser:
    """Return the first recogniser of a source and a method (None for any) with the best result on validation classes.

    Raises:
        ConfigError: None is of that source and method.
    """
    fitting = [one for one in kept if source in (None, one.source) and method in (None, one.method)]
    if not fitting:
        wanted = " ".join(filter(None, [source and f"vectors {source}", method and f"method {method}"]))
        there = ", ".join(f"{one.source} by {one.method}" for one in kept)
        raise ConfigError(f"there is no recogniser of {wanted or 'any kind'}; there are: {there or 'none'}")
    return max(
        fitting, key=lambda one: -1.0 if one.recogniser.validation_hit is None else one.recogniser.validation_hit
    )


class _RecogniserFacts(TypedDict):
    source: str
    method: str
    classes: list[str]
    recognisers: dict[str, Any]


def _read(path: Path) -> KeptRecogniser:
    tensors, facts = read_tensors(path, _RecogniserFacts)
    try:
        classes = tuple(facts["classes"])
        recogniser = restore_recogniser({name: tensor.numpy() for name, tensor in tensors.items()}, facts[FOLDER])
        _check_classes(classes, recogniser)
        kept = KeptRecogniser(
            source=str(facts["source"]), method=str(facts["method"]), classes=classes, recogniser=recogniser
        )
    except (ConfigError, KeyError, TypeError) as error:
        raise SketchDataError(
            f"{path} is damaged or holds no recogniser ({error}): remove it, or train again in another --out"
        ) from error
    if path.name != f"{kept.name}{SUFFIX}":
        raise SketchDataError(f"{path} holds the recogniser {kept.name}: name it {kept.name}{SUFFIX}, or remove it")
    return kept


def _check_classes(classes: tuple[str, ...], recogniser: ZeroShotRecogniser) -> None:
    if len(classes) != len(recogniser.prototypes) or len(set(classes)) < len(classes):
        raise ConfigError(
            f"{len(classes):,} classes, {len(set(classes)):,} of them different, do not fit "
            f"{len(recogniser.prototypes):,} prototypes"
        )
