"""What zero-shot methods end in: an embedding of drawings, a prototype of each class, and a way to compare the two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from sketchdata.errors import ConfigError
from sketchdata.zero_shot.checks import Features, Labels, check_classes, check_finite
from sketchdata.zero_shot.comparison import Comparison, compared
from sketchdata.zero_shot.embeddings import AnyEmbedding
from sketchdata.zero_shot.lesson import Matrix
from sketchdata.zero_shot.parts import put_together, take_apart

#: Constants that a method was fitted with, by name.
Constants: TypeAlias = Mapping[str, float]

_CELLS_AT_ONCE = 1 << 22
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
        step = max(1, _CELLS_AT_ONCE // max(self.width, *self.prototypes.shape))
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
        step = max(1, _CELLS_AT_ONCE // self.width)
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
