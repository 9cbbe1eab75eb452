"""The oracle: nearest class means of drawings of all classes. It is no zero-shot method but what none can be above."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sketchdata.errors import ConfigError
from sketchdata.zero_shot.checks import Features, Labels, check_all_drawn, check_classes, check_drawings
from sketchdata.zero_shot.embeddings import Embedding
from sketchdata.zero_shot.lesson import Lesson
from sketchdata.zero_shot.recogniser import Recogniser


def fit_oracle(
    features: Features, labels: npt.NDArray[np.integer[Any]], vectors: npt.NDArray[np.floating[Any]], seen: Labels
) -> Recogniser:
    """Take the mean of each class, of unseen ones as well, for its prototype, and compare by Euclidean distance.

    With squared errors, no prototype does better on average than the mean; so this bounds what prototypes of these
    features can reach, and says nothing about recognition without drawings. Report it as the bound that it is.

    Args:
        features: (N, F), training drawings of all classes, not those that are recognised later.
        labels: (N,) places in the class table.
        vectors: (L, S), of which the number of classes alone is used.
        seen: The classes that other methods see.

    Raises:
        ConfigError: A class has no drawings, all classes are seen, a number is not finite, or arrays do not fit one
            another.
    """
    every, chosen = np.arange(len(vectors)), check_classes(seen, len(vectors), "seen")
    if len(chosen) == len(every):
        raise ConfigError(f"all {len(every):,} classes are seen ones: there is no unseen class to recognise")
    check_drawings(features, labels)
    check_all_drawn(labels, every)
    check_classes(np.unique(labels), len(vectors), "drawn")
    lesson = Lesson(
        features=features,
        labels=labels.astype(np.int64),
        rows=np.arange(len(labels)),
        vectors=vectors.astype(np.float32),
        seen=every,
        seed=0,
        device="cpu",
    )
    return Recogniser(
        embed=Embedding(),
        prototypes=lesson.means,
        compare="distance",
        seen=chosen,
        width=lesson.width,
    )
