"""What zero-shot methods end in: an embedding of drawings, a prototype of each class, and a way to compare the two."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from sketchdata.errors import ConfigError
from sketchdata.zero_shot.checks import Features, Labels, check_finite
from sketchdata.zero_shot.lesson import Matrix

#: −‖e − p‖², cos(e, p) or e · p of an embedded drawing e and a prototype p.
Comparison: TypeAlias = Literal["distance", "cosine", "product"]
#: Constants that a method was fitted with, by name.
Constants: TypeAlias = Mapping[str, float]

_CELLS_AT_ONCE = 1 << 22


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
class Recogniser:
    """A fitted method: it scores drawings for all classes, those that it saw and those that it did not.

    Attributes:
        embed: (M, F) drawings → (M, D), both float64.
        prototypes: (L, D) float64, of all classes.
        compare: How (M, D) and (L, D) give (M, L), by name or as a function.
        seen: (C,) int64, the classes that were learnt from.
        width: F.
        gamma: What calibrated stacking takes off the scores of seen classes (Chao et al., ECCV 2016); 0 where no
            validation classes were kept back to choose it by.
        constants: What the method was fitted with.
    """

    embed: Callable[[Matrix], Matrix]
    prototypes: Matrix
    compare: Comparison | Callable[[Matrix, Matrix], Matrix]
    seen: Labels
    width: int
    gamma: float = 0.0
    constants: Constants = field(default_factory=dict)

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
        step = max(1, _CELLS_AT_ONCE // max(self.width, *self.prototypes.shape))
        for start in range(0, len(features), step):
            embedded = self.embed(features[start : start + step].astype(np.float64))
            found[start : start + step] = self._compared(embedded)
        if calibrated:
            found[:, self.seen] -= np.float32(self.gamma)
        return found

    def embedded(self, features: Features) -> npt.NDArray[np.float32]:
        """Return where drawings lie among the prototypes: (M, F) → (M, D) float32.

        Raises:
            ConfigError: As for `scores`.
        """
        self._check(features)
        step = max(1, _CELLS_AT_ONCE // self.width)
        parts = [self.embed(features[i : i + step].astype(np.float64)) for i in range(0, len(features), step)]
        return np.concatenate([np.zeros((0, self.prototypes.shape[1])), *parts]).astype(np.float32)

    def record(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """Return arrays and plain values of which `restore_recogniser` makes the same recogniser again.

        Raises:
            ConfigError: Drawings are embedded or compared by a network, which arrays do not describe.
        """
        if not isinstance(self.embed, Embedding) or not isinstance(self.compare, str):
            raise ConfigError("this recogniser embeds or compares drawings by a network and cannot be kept as arrays")
        arrays = {"prototypes": self.prototypes, "seen": self.seen}
        arrays |= {n: a for n, a in (("offset", self.embed.offset), ("matrix", self.embed.matrix)) if a is not None}
        facts = {"compare": self.compare, "unit": self.embed.unit, "width": self.width, "gamma": self.gamma}
        return arrays, {**facts, "constants": dict(self.constants)}

    def _check(self, features: Features) -> None:
        if features.ndim != 2 or features.shape[1] != self.width:
            raise ConfigError(
                f"this recogniser was fitted to (N, {self.width}) features, and is given {features.shape}"
            )
        check_finite(features)

    def _compared(self, embedded: Matrix) -> Matrix:
        if isinstance(self.compare, str):
            return compared(embedded, self.prototypes, self.compare)
        return self.compare(embedded, self.prototypes)


def restore_recogniser(arrays: Mapping[str, npt.NDArray[Any]], facts: Mapping[str, Any]) -> Recogniser:
    """Make the recogniser again of which `Recogniser.record` gave these.

    Raises:
        ConfigError: They are not of a recogniser.
    """
    if not {"prototypes", "seen"} <= set(arrays) or facts.get("compare") not in get_args(Comparison):
        raise ConfigError("these arrays are not of a recogniser: it has prototypes, seen classes and a comparison")
    return Recogniser(
        embed=Embedding(offset=arrays.get("offset"), matrix=arrays.get("matrix"), unit=bool(facts["unit"])),
        prototypes=arrays["prototypes"],
        compare=facts["compare"],
        seen=arrays["seen"],
        width=int(facts["width"]),
        gamma=float(facts["gamma"]),
        constants=facts["constants"],
    )


def compared(embedded: Matrix, prototypes: Matrix, by: Comparison) -> Matrix:
    """Compare each embedded drawing with each prototype: (M, D), (L, D) → (M, L), higher is nearer."""
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
