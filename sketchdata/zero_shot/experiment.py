"""What one recogniser says of drawings of unseen and of seen classes, with the classes by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sketchdata.errors import SketchDataError
from sketchdata.zero_shot.checks import Features, Labels
from sketchdata.zero_shot.measures import (
    accuracy_by_class,
    chance_of_hit,
    confusion_pairs,
    measure_zero_shot,
)
from sketchdata.zero_shot.store import KeptRecogniser

TRAINER = "zsl"
#: Confused pairs and hubs that are listed.
_PAIRS, _HUBS = 20, 10
_PARTS = {"zsl": "ZSL", "gzsl": "GZSL", "calibrated": "GZSL with γ"}
_SIDES = {"unseen": "U", "seen": "S", "harmonic": "H"}


@dataclass(frozen=True, kw_only=True)
class Roster:
    """The classes of a zero-shot experiment.

    Attributes:
        classes: All L, in the order of prototypes.
        seen: Those that were learnt from, validation classes among them.
        validation: Those by which choices were made.
        unseen: The others.
        left_out: Classes of the data that are none of these.
    """

    classes: tuple[str, ...]
    seen: tuple[str, ...]
    validation: tuple[str, ...]
    unseen: tuple[str, ...]
    left_out: tuple[str, ...]

    def places(self) -> Labels:
        """Return where the unseen classes stand: int64, ascending."""
        return np.flatnonzero(np.isin(self.classes, self.unseen)).astype(np.int64)


@dataclass(frozen=True, kw_only=True, eq=False)
class Asked:
    """N drawings that recognisers are asked about.

    Attributes:
        features: (N, F) float32.
        labels: (N,) int64, places in the classes of the roster.
        roster: The classes.
    """

    features: Features
    labels: Labels
    roster: Roster


def read_roster(record: Mapping[str, Any], run: Path) -> Roster:
    """Return the classes of a zero-shot experiment.

    Args:
        record: The run's record.
        run: Its folder, for the error.

    Raises:
        SketchDataError: The record is of another training, or its seen and unseen classes are not all of its classes.
    """
    try:
        found = {name: tuple(record["zero_shot"][name]) for name in Roster.__dataclass_fields__}
    except (KeyError, TypeError) as error:
        raise SketchDataError(f"{run} is no training of `sketchdata train zsl`: its record lacks {error}") from error
    roster = Roster(**found)
    if sorted(roster.seen + roster.unseen) != sorted(roster.classes) or not roster.unseen:
        raise SketchDataError(f"{run} is damaged: the seen and unseen classes of its record are not its classes")
    return roster


def measure_recogniser(kept: KeptRecogniser, asked: Asked) -> dict[str, Any]:
    """Measure one recogniser, as `measure_zero_shot` does, with classes by name and what it confuses.

    Returns:
        Plain values.

    Raises:
        ConfigError: There is no drawing of an unseen class.
    """
    roster, recogniser = asked.roster, kept.recogniser
    scores, unseen = recogniser.scores(asked.features), roster.places()
    values = measure_zero_shot(scores, asked.labels, unseen, recogniser.gamma)
    new = np.isin(asked.labels, unseen)
    whole, labels = scores[new], asked.labels[new]
    lowered = whole - recogniser.gamma * ~np.isin(np.arange(len(roster.classes)), unseen)
    predicted = unseen[whole[:, unseen].argmax(axis=1)]
    values |= {
        "source": kept.source,
        "method": kept.method,
        "validation_hit": recogniser.validation_hit,
        "constants": dict(recogniser.constants),
        "by_class": _by_class(predicted, {"gzsl": whole, "calibrated": lowered}, labels, roster),
        "confusions": [
            {
                "class": roster.classes[pair.label],
                "taken_for": roster.classes[pair.predicted],
                "drawings": pair.count,
                "share": pair.share,
            }
            for pair in confusion_pairs(predicted, labels, _PAIRS)
        ],
        "hubs": {
            "unseen": _hubs(predicted, labels, roster),
            "all": _hubs(whole.argmax(axis=1), labels, roster),
        },
    }
    values["chance"] = _chance(roster, len(labels))
    return {**values, "below_chance": _below_chance(values)}


def _by_class(
    predicted: Labels, scores: Mapping[str, npt.NDArray[np.floating[Any]]], labels: Labels, roster: Roster
) -> dict[str, dict[str, Any]]:
    """Return what each unseen class that has drawings reaches, and what it is taken for most often."""
    shares = {"zsl": accuracy_by_class(predicted, labels)}
    shares |= {name: accuracy_by_class(own.argmax(axis=1), labels) for name, own in scores.items()}
    # The first pair of a class is its most frequent one.
    pairs = {pair.label: pair for pair in reversed(confusion_pairs(predicted, labels, len(roster.classes) ** 2))}
    sizes = np.bincount(labels)
    return {
        roster.classes[place]: {
            "drawings": int(sizes[place]),
            **{name: own[place] for name, own in shares.items()},
            "taken_for": roster.classes[pairs[place].predicted] if place in pairs else None,
            "share": pairs[place].share if place in pairs else 0.0,
        }
        for place in shares["zsl"]
    }


def _hubs(predicted: Labels, labels: Labels, roster: Roster) -> list[dict[str, Any]]:
    """Return the classes that most drawings too many are taken for."""
    sizes, taken = (np.bincount(each, minlength=len(roster.classes)) for each in (labels, predicted))
    order = np.argsort(sizes - taken, kind="stable")[:_HUBS]
    return [
        {
            "class": roster.classes[place],
            "drawings": int(sizes[place]),
            "predicted": int(taken[place]),
            "seen": roster.classes[place] in roster.seen,
        }
        for place in order.tolist()
        if taken[place] > sizes[place]
    ]


def _chance(roster: Roster, drawings: int) -> dict[str, Any]:
    """Return what guessing gives, of measures that have no chance beside them."""
    candidates, validation = len(roster.unseen), len(roster.validation)
    return {
        "harmonic": chance_of_hit(1, len(roster.classes)),
        "validation": chance_of_hit(1, validation) if validation else None,
        "hubness": {f"N_{k}": chance_of_hubness(k, candidates, drawings) for k in (1, 10) if k < candidates},
    }


def chance_of_hubness(k: int, candidates: int, drawings: int) -> float:
    """Return the skewness of N_k where the k likeliest candidates of each drawing are random ones: a binomial's.

    Args:
        k: Below `candidates`.
        candidates: Classes.
        drawings: M, one at least.
    """
    share = k / candidates
    return float((1 - 2 * share) / np.sqrt(drawings * share * (1 - share)))


def _below_chance(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """List the shares that guessing would exceed."""
    found = [
        (f"{title} {name}", values[part][name], level)
        for part, title in _PARTS.items()
        for name, level in values[part]["chance"].items()
    ]
    for stack, ending in (("harmonic", ""), ("harmonic_calibrated", " with γ")):
        sides = values.get(stack, {})
        found += [(f"{_SIDES[name]}{ending}", value, values["chance"]["harmonic"]) for name, value in sides.items()]
    return [{"measure": name, "value": value, "chance": level} for name, value, level in found if value < level]
