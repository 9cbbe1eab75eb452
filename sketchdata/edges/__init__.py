"""Edge detectors: each maps a photo (H, W, 3) uint8 RGB to its edge strength (H, W) uint8; one file a detector."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sketchdata.edges.canny import canny
from sketchdata.edges.centring import centre
from sketchdata.edges.sobel import sobel
from sketchdata.edges.structured import load_structured
from sketchdata.edges.thinning import thin
from sketchdata.edges.xdog import xdog
from sketchdata.errors import ConfigError
from sketchdata.photos import Photo

__all__ = ["EDGE_DETECTORS", "WEIGHTED_DETECTORS", "Detector", "centre", "detector", "thin"]

Detector = Callable[[Photo], npt.NDArray[np.uint8]]

#: Those that need nothing but the photo.
EDGE_DETECTORS: dict[str, Detector] = {"canny": canny, "sobel": sobel, "xdog": xdog}
#: Those made from a file of weights, whose sha256 is checked if given.
WEIGHTED_DETECTORS: dict[str, Callable[[Path, str | None], Detector]] = {"structured": load_structured}


def detector(name: str, weights: Path | None = None, sha256: str | None = None) -> Detector:
    """Return a detector by its name, or one's own as `module:function`.

    Args:
        name: A key of one of the registries, or `module:function` of an importable one.
        weights: The file, for a detector that is made from one.
        sha256: The hash of that file, if it shall be checked.

    Raises:
        ConfigError: There is no such detector, or its weights are missing, superfluous or wrong.
    """
    if name in WEIGHTED_DETECTORS:
        if weights is None:
            raise ConfigError(f"the detector {name} is made from a file of weights: say which")
        return WEIGHTED_DETECTORS[name](weights, sha256)
    if weights is not None:
        raise ConfigError(f"the detector {name} takes no file of weights, and {weights} was given")
    return EDGE_DETECTORS[name] if name in EDGE_DETECTORS else _imported(name)


def _imported(name: str) -> Detector:
    module, colon, function = name.partition(":")
    if not (module and colon and function):
        known = ", ".join([*EDGE_DETECTORS, *WEIGHTED_DETECTORS])
        raise ConfigError(f"no edge detector is named {name!r}; there are {known}, and one's own as module:function")
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"the edge detector {name} cannot be imported: {error}") from error
    if not callable(found):
        raise ConfigError(f"{name} is {found!r}, where a function from a photo to its edges was expected")
    imported: Detector = found
    return imported
