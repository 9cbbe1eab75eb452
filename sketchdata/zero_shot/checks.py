"""What is asked of the arrays that zero-shot methods are given, before anything is learnt from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from sketchdata.errors import ConfigError

Features: TypeAlias = npt.NDArray[np.floating[Any]]
Labels: TypeAlias = npt.NDArray[np.int64]

#: Numbers in double at a time: 64 MB.
CELLS_AT_ONCE = 1 << 23


def check_classes(chosen: Sequence[int] | Labels, classes: int, name: str) -> Labels:
    """Return places in the class table, ascending.

    Raises:
        ConfigError: One stands there twice, or is none.
    """
    places = np.sort(np.asarray(chosen, np.int64).reshape(-1))
    if len(np.unique(places)) < len(places) or (len(places) and not 0 <= places[0] <= places[-1] < classes):
        raise ConfigError(f"{name} classes are different places in 0..{classes - 1}, not {list_places(places)}")
    return places


def check_vectors(vectors: npt.NDArray[np.floating[Any]]) -> int:
    """Return how many classes there are, L.

    Raises:
        ConfigError: The vectors are not (L, S), or a class has none: only zeros, or numbers that are not finite.
    """
    if vectors.ndim != 2 or not vectors.size:
        raise ConfigError(f"semantic vectors are (L, S), a row for each class, not {vectors.shape}")
    missing = np.flatnonzero(~(np.isfinite(vectors).all(axis=1) & vectors.any(axis=1)))
    if len(missing):
        raise ConfigError(
            f"{len(missing):,} classes have no vector, or one of zeros or of no finite numbers: places "
            f"{list_places(missing)}; leave these classes out, or take vectors that cover them"
        )
    return len(vectors)


def check_drawings(features: Features, labels: npt.NDArray[np.integer[Any]]) -> None:
    """Look at features (N, F) and labels (N,).

    Raises:
        ConfigError: There are none, they do not fit one another, or a feature is not a finite number.
    """
    if features.ndim != 2 or labels.shape != features.shape[:1] or not features.size:
        raise ConfigError(f"(N, F) features with (N,) labels are needed, not {features.shape} with {labels.shape}")
    if not np.issubdtype(labels.dtype, np.integer):
        raise ConfigError(f"labels are whole numbers, places in the class table, not {labels.dtype}")
    check_finite(features)


def check_finite(features: Features) -> None:
    """Look at all features, some rows at a time.

    Raises:
        ConfigError: One of them is not a finite number.
    """
    step = max(1, CELLS_AT_ONCE // features.shape[1])
    for start in range(0, len(features), step):
        finite = np.isfinite(features[start : start + step]).all(axis=1)
        if not finite.all():
            row = start + int(np.argmin(finite))
            raise ConfigError(f"features should be finite numbers, and row {row:,} (from 0) has others")


def check_all_drawn(labels: npt.NDArray[np.integer[Any]], classes: Labels) -> None:
    """Look for a drawing of each class.

    Raises:
        ConfigError: A class has none.
    """
    empty = np.setdiff1d(classes, labels)
    if len(empty):
        raise ConfigError(f"each class to learn from needs drawings, and there are none of places {list_places(empty)}")


def list_places(places: Labels) -> str:
    """Return the first few places of the class table for a message."""
    return ", ".join(map(str, places[:8].tolist())) + ("…" if len(places) > 8 else "")
