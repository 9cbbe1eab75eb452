"""How a method is fitted: its constants are chosen on validation classes, then it learns from all seen ones.

Validation classes are seen classes that are held out at first. The method learns from the others with every constant of
its grid, and recognises drawings of the validation classes, as it will those of unseen ones. So no unseen class has a
part in any choice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from sketchdata.errors import ConfigError
from sketchdata.zero_shot.recogniser import Constants, ZeroShotRecogniser
from sketchdata.zero_shot.training_set import Features, Labels, Matrix, TrainingSet, check_classes, make_training_set


def choose_gamma(scores: npt.NDArray[np.floating[Any]], labels: Labels, new: npt.NDArray[np.bool_]) -> float:
    """Return γ of calibrated stacking, which is subtracted from the scores of seen classes.

    It is the γ with the highest harmonic mean of the class-averaged accuracies on old and new classes. A drawing
    changes sides where γ passes the difference between its highest score of an old class and that of a new one; so all
    values that matter are tried, for the cost of a sort. Source: Chao, Changpinyo, Gong and Sha, "An empirical study
    and analysis of generalized zero-shot learning for object recognition in the wild", ECCV 2016; the harmonic mean as
    criterion is that of Xian et al., TPAMI 2019.

    Args:
        scores: (M, K) of drawings for the candidates.
        labels: (M,) places among the candidates.
        new: (K,) bool, the candidates that stand for unseen classes, and were not learned from.

    Returns:
        γ; 0 where no value gives a harmonic mean above 0. It may be negative.
    """
    old_best, old_place = _best(scores, ~new)
    new_best, new_place = _best(scores, new)
    edges = old_best - new_best
    weights = 1 / np.bincount(labels, minlength=len(new))[labels]
    of_new = new[labels]
    gained = np.where(of_new & (new_place == labels), weights, 0) / len(np.unique(labels[of_new]))
    lost = np.where(~of_new & (old_place == labels), weights, 0) / len(np.unique(labels[~of_new]))
    order = np.argsort(edges, kind="stable")
    edges = edges[order]
    # The i-th of M + 1 values of γ lies above the i smallest differences: those drawings go to new classes.
    unseen = np.concatenate([[0], np.cumsum(gained[order])])
    seen = lost.sum() - np.concatenate([[0], np.cumsum(lost[order])])
    harmonic = 2 * unseen * seen / np.maximum(unseen + seen, 1e-300)
    values = np.concatenate([[edges[0] - 1], (edges[:-1] + edges[1:]) / 2, [edges[-1] + 1]])
    # Between equal differences there is no room.
    harmonic[1:-1][edges[:-1] == edges[1:]] = 0
    best = int(harmonic.argmax())
    return float(values[best]) if harmonic[best] > 1e-12 else 0.0


def _best(scores: npt.NDArray[np.floating[Any]], chosen: npt.NDArray[np.bool_]) -> tuple[Matrix, Labels]:
    places = np.flatnonzero(chosen)
    part = scores[:, places].astype(np.float64)
    winners = part.argmax(axis=1)
    return part[np.arange(len(part)), winners], places[winners]


#: Learns from a training set with each of some constants, in any order, sharing work.
Learn: TypeAlias = Callable[[TrainingSet, Sequence[Constants]], Iterator[ZeroShotRecogniser]]

#: The most validation drawings of a class, and their share of a class that is learned from.
_MOST_HELD_OUT, _SHARE_HELD_OUT = 100, 0.2


@dataclass(frozen=True, kw_only=True)
class ZeroShotMethod:
    """An entry of the table of methods.

    Attributes:
        learn: Yields a recogniser for each of some constants.
        constants: The constants without validation classes.
        grid: The constants that validation classes choose from.
        source: The paper.
        device: Where its networks learn.
    """

    learn: Learn
    constants: Constants
    grid: tuple[Constants, ...]
    source: str
    device: str = "cpu"

    def on(self, device: str) -> ZeroShotMethod:
        """Return the same method, with its networks on a device: `cpu`, `cuda`, `cuda:1`."""
        return replace(self, device=device)

    def fit(
        self,
        features: Features,
        labels: npt.NDArray[np.integer[Any]],
        vectors: npt.NDArray[np.floating[Any]],
        seen: Sequence[int] | Labels,
        validation: Sequence[int] | Labels = (),
        seed: int = 0,
    ) -> ZeroShotRecogniser:
        """Learn from drawings of seen classes; on the CPU the same seed gives the same recogniser.

        Args:
            features: (N, F) floats, not copied: memory-mapped ones stay on disk.
            labels: (N,) places in the class table, of seen classes only.
            vectors: (L, S) semantic vectors of all classes.
            seen: The classes to learn from.
            validation: Seen classes by which constants and γ are chosen, before the method learns from all seen
                classes.
                Choices are honest where the features' own network did not learn from them either.
            seed: From 0.

        Raises:
            ConfigError: As for `make_training_set`; a validation class is not a seen one, or there is just one, or
                fewer
                than two others are left to learn from.
        """
        data = make_training_set(features, labels, vectors, seen, seed, self.device)
        held_out = check_classes(validation, len(vectors), "validation")
        if not len(held_out):
            return next(self.learn(data, (self.constants,)))
        known, validation_set = hold_out(data, held_out)
        examined = ((validation_set.hit(recogniser), recogniser) for recogniser in self.learn(known, self.grid))
        hit, best = max(examined, key=itemgetter(0))
        final = next(self.learn(data, (best.constants,)))
        return replace(final, gamma=validation_set.gamma(best), validation_hit=hit)


@dataclass(frozen=True, kw_only=True, eq=False)
class ValidationSet:
    """Drawings that measure a recogniser which did not learn from them.

    Attributes:
        features: (M, F).
        labels: (M,) places in the class table.
        validation: The classes among them that were not learned from either.
        learned: The other ones.
    """

    features: Features
    labels: Labels
    validation: Labels
    learned: Labels

    def hit(self, recogniser: ZeroShotRecogniser) -> float:
        """Return the share of drawings of validation classes that are recognised among these: the mean of classes."""
        chosen = np.isin(self.labels, self.validation)
        places = np.searchsorted(self.validation, self.labels[chosen])
        scores = recogniser.scores(self.features[chosen])[:, self.validation]
        right = scores.argmax(axis=1) == places
        return float((np.bincount(places, right) / np.bincount(places)).mean())

    def gamma(self, recogniser: ZeroShotRecogniser) -> float:
        """Return γ of calibrated stacking, with validation classes in the place of unseen ones."""
        candidates = np.sort(np.concatenate([self.validation, self.learned]))
        if np.isin(self.labels, self.validation).all():
            return 0.0
        scores = recogniser.scores(self.features)[:, candidates]
        places = np.searchsorted(candidates, self.labels)
        return choose_gamma(scores, places, np.isin(candidates, self.validation))


def hold_out(data: TrainingSet, validation: Labels) -> tuple[TrainingSet, ValidationSet]:
    """Divide a training set into one without validation classes, and a validation set.

    The validation set has at most 100 drawings of each validation class, and of each other class a fifth of its
    drawings and at most 100 (one of two to nine, none of one).

    Raises:
        ConfigError: A validation class is not a seen one, or there is just one, or fewer than two others are left.
    """
    learned = np.setdiff1d(data.seen, validation)
    if len(np.intersect1d(data.seen, validation)) < len(validation):
        raise ConfigError("validation classes are chosen among the seen ones, and some of these are not seen")
    if len(validation) < 2 or len(learned) < 2:
        raise ConfigError(
            f"at least two validation classes and two others are needed, not {len(validation)} and {len(learned)}"
        )
    labels = data.labels[data.rows]
    of_validation = np.isin(labels, validation)
    sizes = np.bincount(labels, minlength=len(data.vectors))[labels]
    few = np.where(sizes > 1, np.maximum(sizes * _SHARE_HELD_OUT, 1), 0).astype(np.int64)
    most = np.minimum(np.where(of_validation, sizes, few), _MOST_HELD_OUT)
    # Each class in a random order of its own: its first drawings are held out.
    shuffled = np.random.default_rng(data.seed).permutation(len(labels))
    order = shuffled[np.argsort(labels[shuffled], kind="stable")]
    counts = np.bincount(labels)
    turns = np.empty(len(labels), np.int64)
    turns[order] = np.arange(len(labels)) - (np.cumsum(counts) - counts)[labels[order]]
    held_out = turns < most
    validation_set = ValidationSet(
        features=data.features[data.rows[held_out]], labels=labels[held_out], validation=validation, learned=learned
    )
    return replace(data, rows=data.rows[~held_out & ~of_validation], seen=learned), validation_set
