"""How a method is fitted: its constants are chosen on validation classes, then it learns from all seen ones.

Validation classes are seen classes that are kept back for a while. The method learns from the others with every
constant that it might take, and is asked to tell the validation classes apart, as it will be asked for unseen ones. So
no unseen class is looked at for any choice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from sketchdata.errors import ConfigError
from sketchdata.zero_shot.recogniser import Constants, Recogniser
from sketchdata.zero_shot.training_set import Features, Labels, Lesson, Matrix, check_classes, check_lesson

# Calibrated stacking: how much to take off the scores of seen classes, so that unseen ones get their turn.


def choose_gamma(scores: npt.NDArray[np.floating[Any]], labels: Labels, new: npt.NDArray[np.bool_]) -> float:
    """Return the γ with the highest harmonic mean of the class-averaged accuracies on old and new classes.

    A drawing changes sides where γ passes the difference between its highest score of an old class and that of a new
    one; so all values that matter are tried, at the price of a sort. Source: Chao, Changpinyo, Gong and Sha, "An
    empirical study and analysis of generalized zero-shot learning for object recognition in the wild", ECCV 2016; the
    harmonic mean as criterion is that of Xian et al., TPAMI 2019.

    Args:
        scores: (M, K) of drawings for the candidates.
        labels: (M,) places among the candidates.
        new: (K,) bool, the candidates that stand for unseen classes, and were not learnt from.

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
    """Return the highest score among chosen candidates, and whose it is."""
    places = np.flatnonzero(chosen)
    part = scores[:, places].astype(np.float64)
    winners = part.argmax(axis=1)
    return part[np.arange(len(part)), winners], places[winners]


#: Learns from a lesson with each of some constants, sharing what work it can, in whatever order.
Learn: TypeAlias = Callable[[Lesson, Sequence[Constants]], Iterator[Recogniser]]

#: Drawings of a class that choices are made by, at most, and the share of a class that is learnt from among them.
_MOST_ASKED, _SHARE_ASKED = 100, 0.2


@dataclass(frozen=True, kw_only=True)
class Method:
    """An entry of the table of methods.

    Attributes:
        learn: Yields a recogniser for each of some constants.
        constants: Those that it takes where there are no validation classes.
        grid: Those that it chooses from by validation classes.
        source: The paper.
        device: Where its networks learn.
    """

    learn: Learn
    constants: Constants
    grid: tuple[Constants, ...]
    source: str
    device: str = "cpu"

    def on(self, device: str) -> Method:
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
    ) -> Recogniser:
        """Learn from drawings of seen classes; on the CPU the same seed gives the same recogniser.

        Args:
            features: (N, F) floats, taken as they are: memory-mapped ones stay on disk.
            labels: (N,) places in the class table, of seen classes only.
            vectors: (L, S) semantic vectors of all classes.
            seen: The classes to learn from.
            validation: Those of them by which constants and γ are chosen, before all seen classes are learnt from.
                Choices are honest where the features' own network did not learn from these either.
            seed: From 0.

        Raises:
            ConfigError: As for `check_lesson`; a validation class is not a seen one, or there is just one, or fewer
                than two others are left to learn from.
        """
        lesson = check_lesson(features, labels, vectors, seen, seed, self.device)
        kept_back = check_classes(validation, len(vectors), "validation")
        if not len(kept_back):
            return next(self.learn(lesson, (self.constants,)))
        known, exam = hold_back(lesson, kept_back)
        examined = ((exam.hit(recogniser), recogniser) for recogniser in self.learn(known, self.grid))
        hit, best = max(examined, key=itemgetter(0))
        final = next(self.learn(lesson, (best.constants,)))
        return replace(final, gamma=exam.gamma(best), validation_hit=hit)


@dataclass(frozen=True, kw_only=True, eq=False)
class Exam:
    """Drawings by which a recogniser is judged that did not learn from them.

    Attributes:
        features: (M, F).
        labels: (M,) places in the class table.
        validation: The classes among them that were not learnt from either.
        learnt: The other ones.
    """

    features: Features
    labels: Labels
    validation: Labels
    learnt: Labels

    def hit(self, recogniser: Recogniser) -> float:
        """Return the share of drawings of validation classes that are recognised among these: the mean of classes."""
        asked = np.isin(self.labels, self.validation)
        places = np.searchsorted(self.validation, self.labels[asked])
        scores = recogniser.scores(self.features[asked])[:, self.validation]
        right = scores.argmax(axis=1) == places
        return float((np.bincount(places, right) / np.bincount(places)).mean())

    def gamma(self, recogniser: Recogniser) -> float:
        """Return γ of calibrated stacking, with validation classes in the place of unseen ones."""
        candidates = np.sort(np.concatenate([self.validation, self.learnt]))
        if np.isin(self.labels, self.validation).all():
            return 0.0
        scores = recogniser.scores(self.features)[:, candidates]
        places = np.searchsorted(candidates, self.labels)
        return choose_gamma(scores, places, np.isin(candidates, self.validation))


def hold_back(lesson: Lesson, validation: Labels) -> tuple[Lesson, Exam]:
    """Divide a lesson: what is learnt from without validation classes, and what is asked afterwards.

    Asked are at most 100 drawings of each validation class, and of each other class a fifth of its drawings and at
    most 100 (one of two to nine, none of one), which are not learnt from.

    Raises:
        ConfigError: A validation class is not a seen one, or there is just one, or fewer than two others are left.
    """
    learnt = np.setdiff1d(lesson.seen, validation)
    if len(np.intersect1d(lesson.seen, validation)) < len(validation):
        raise ConfigError("validation classes are chosen among the seen ones, and some of these are not seen")
    if len(validation) < 2 or len(learnt) < 2:
        raise ConfigError(
            f"two validation classes and two others are needed at least, not {len(validation)} and {len(learnt)}"
        )
    labels = lesson.labels[lesson.rows]
    of_validation = np.isin(labels, validation)
    sizes = np.bincount(labels, minlength=len(lesson.vectors))[labels]
    few = np.where(sizes > 1, np.maximum(sizes * _SHARE_ASKED, 1), 0).astype(np.int64)
    most = np.minimum(np.where(of_validation, sizes, few), _MOST_ASKED)
    asked = _turns(labels, lesson.seed) < most
    exam = Exam(
        features=lesson.features[lesson.rows[asked]],
        labels=labels[asked],
        validation=validation,
        learnt=learnt,
    )
    return lesson.of_rows(lesson.rows[~asked & ~of_validation], learnt), exam


def _turns(labels: Labels, seed: int) -> Labels:
    """Return at which turn each drawing of a class comes in a random order of that class: (n,) int64, from 0."""
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    order = shuffled[np.argsort(labels[shuffled], kind="stable")]
    counts = np.bincount(labels)
    starts = (np.cumsum(counts) - counts)[labels[order]]
    turns = np.empty(len(labels), np.int64)
    turns[order] = np.arange(len(labels)) - starts
    return turns
