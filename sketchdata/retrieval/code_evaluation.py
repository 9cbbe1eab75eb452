"""How well the binary codes of a trained network find drawings: of classes that it learned, and of others."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sketchdata.bitmaps import Packed, read_split
from sketchdata.charts import Curve
from sketchdata.codes import Codes
from sketchdata.encoder import Trained
from sketchdata.encoding import codes_of, outputs
from sketchdata.errors import ConfigError
from sketchdata.retrieval import score_codes
from sketchdata.sampling import chosen_words
from sketchdata.search_cost import search_cost
from sketchdata.spread import class_spread

GALLERY, QUERY = "gallery", "query"
#: Of one class, everything found would be right.
LEAST_UNSEEN = 2
_SOME = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """A network, and the data about which it is asked.

    Attributes:
        trained: The network.
        data: A built data set, or bitmaps.
        device: Where to compute.
        batch_size: Drawings at a time.
    """

    trained: Trained
    data: Path
    device: str
    batch_size: int

    def drawings(self, split: str, words: Sequence[str]) -> Packed:
        """Return the drawings of some classes, which become the class table.

        Raises:
            ConfigError: There is no such split, the data lacks one of the classes, or there are no drawings.
        """
        packed = read_split(self.data, split)
        missing = [word for word in words if word not in packed.classes]
        if missing:
            raise ConfigError(
                f"the network knows {len(words):,} classes, and {len(missing):,} of them ({_some(missing)}) are not "
                f"among the {len(packed.classes):,} of {self.data}: take the data set that it learned from"
            )
        found = packed.of_classes(words)
        if not len(found):
            raise ConfigError(f"{self.data} has no drawings of {_some(words)} in {split}")
        return found

    def encoded(self, split: str, words: Sequence[str]) -> Encoded:
        """Return drawings with what the network makes of them.

        Raises:
            ConfigError: As of `drawings`.
        """
        packed = self.drawings(split, words)
        numbers = outputs(self.trained, packed, device=self.device, batch_size=self.batch_size)
        return Encoded(packed=packed, numbers=numbers, codes=codes_of(numbers, self.trained.threshold, packed))


@dataclass(frozen=True, kw_only=True, eq=False)
class Encoded:
    """N drawings, and what a network makes of them.

    Attributes:
        packed: The drawings.
        numbers: (N, D) float32, of the code layer.
        codes: N codes.
    """

    packed: Packed
    numbers: npt.NDArray[np.float32]
    codes: Codes


def unseen_classes(
    learned: Sequence[str], table: Sequence[str], held: Sequence[str], count: int | None
) -> tuple[str, ...]:
    """Choose the classes that zero-shot retrieval is measured on.

    Args:
        learned: The classes that the network learned.
        table: Those of the data.
        held: Those that its training held out.
        count: How many; by the hash by which trainings hold classes out, so that a training with `--unseen` of as many
            or more on this data has held out all of them. None for those that the training held out.

    Returns:
        The classes in the order of the table; none where none were asked for and fewer than two were held out.

    Raises:
        ConfigError: Fewer classes than asked for are unknown to the network.
    """
    if count is None:
        words = tuple(word for word in table if word in held)
        return words if len(words) >= LEAST_UNSEEN else ()
    strange = [word for word in table if word not in learned]
    if len(strange) < count:
        raise ConfigError(
            f"--unseen {count}: of the {len(table):,} classes of the data the network has learned all but "
            f"{len(strange):,}; train with --unseen {count}, which holds classes out, or take --data with more classes"
        )
    return chosen_words(strange, count)


def evaluate_codes(subject: Subject, unseen: Sequence[str]) -> tuple[dict[str, Any], Encoded]:
    """Search the gallery for each query: for classes that the network learned, and for others.

    Args:
        subject: A network whose numbers are thresholded to codes.
        unseen: The other classes; none leaves them out.

    Returns:
        Plain values, as `Retrieval.values` gives them: `retrieval`, `spread`, `cost`, and `zero_shot` where there are
        other classes; and the gallery of the classes learned.

    Raises:
        ConfigError: The data lacks a class or a split.
    """
    gallery, query = (subject.encoded(split, subject.trained.classes) for split in (GALLERY, QUERY))
    values = {
        "retrieval": score_codes(query.codes, gallery.codes).values(),
        "spread": _spread(gallery, subject.trained),
        "cost": search_cost(query.codes, gallery.codes),
    }
    if unseen:
        others, asked = (subject.encoded(split, unseen).codes for split in (GALLERY, QUERY))
        values["zero_shot"] = {"unseen": list(unseen), **score_codes(asked, others).values()}
    return values, gallery


def _spread(gallery: Encoded, trained: Trained) -> dict[str, Any]:
    d1, d2 = class_spread(gallery.numbers, gallery.codes.labels)
    return {
        "d1": d1,
        "d2": d2,
        # A network that gives the same numbers for all has not spread them.
        "ratio": d1 / d2 if d2 else None,
        "numbers": trained.encoder.fusion.activation,
        "drawings": len(gallery.codes),
    }


def curves_of(values: dict[str, Any], learned: int) -> dict[str, Curve]:
    """Return the curves among what `evaluate_codes` gave for a network of so many classes, named after the classes."""
    curves = {f"{learned:,} learned classes": values["retrieval"]}
    if "zero_shot" in values:
        curves[f"{len(values['zero_shot']['unseen']):,} unseen classes"] = values["zero_shot"]
    return {name: Curve(chance=found["chance"], **found["curve"]) for name, found in curves.items()}


def curves_csv(curves: Mapping[str, Curve]) -> str:
    """Return one or more named curves as CSV: a line for each distance of each."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["classes", "distance", "recall", "precision"])
    for name, curve in curves.items():
        for row in zip(curve.distance, curve.recall, curve.precision, strict=True):
            writer.writerow([name, *row])
    return file.getvalue()


def _some(words: Sequence[str]) -> str:
    return ", ".join(words[:_SOME]) + ("…" if len(words) > _SOME else "")
