"""Edge detectors: each maps a photo (H, W, 3) uint8 RGB to its edge strength (H, W) uint8; one file a detector."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sketchdata.edges.filters import canny, load_structured, sobel, xdog
from sketchdata.edges.lines import WEAKEST, centre, thin
from sketchdata.errors import ConfigError
from sketchdata.photos.image import Photo

__all__ = [
    "EDGE_DETECTORS",
    "NETWORKS",
    "THIN_DETECTORS",
    "WEIGHTED_DETECTORS",
    "Detector",
    "centre",
    "detector",
    "detector_names",
    "line_finder",
    "thin",
]

Detector = Callable[[Photo], npt.NDArray[np.uint8]]

#: Those that need nothing but the photo.
EDGE_DETECTORS: dict[str, Detector] = {"canny": canny, "sobel": sobel, "xdog": xdog}
#: Of these the edges are one pixel wide already.
THIN_DETECTORS = frozenset({"canny"})
#: Networks, each in the module of its name, which needs torch and is imported when the network is asked for.
NETWORKS = ("learned", "tin", "pidinet")
#: Those that are made from a file of weights. Only learned's travel with the package, and it takes others too.
WEIGHTED_DETECTORS = ("structured", "tin", "pidinet")


def detector_names() -> list[str]:
    """Return the names of all detectors that come with the package."""
    return list(dict.fromkeys([*EDGE_DETECTORS, *NETWORKS, *WEIGHTED_DETECTORS]))


def detector(
    name: str,
    weights: Path | None = None,
    sha256: str | None = None,
    *,
    scales: Sequence[float] = (1.0,),
    device: str = "cpu",
) -> Detector:
    """Return a detector by its name, or one's own as `module:function`.

    Args:
        name: Of one that comes with the package, or `module:function` of an importable one.
        weights: The file, for a detector that is made from one.
        sha256: The hash of that file. The published weights of tin and pidinet are known; others of theirs are read
            only if their hash is given. Files of the other detectors are checked if it is.
        scales: At which a network sees the photo; its results are averaged.
        device: On which a network runs, as torch names it: cpu, cuda, cuda:1.

    Raises:
        ConfigError: There is no such detector, its weights are missing, superfluous or wrong, scales or device are not
            for it, or it needs torch, which is not installed.
    """
    if name in WEIGHTED_DETECTORS and weights is None:
        raise ConfigError(f"the detector {name} is made from a file of weights: say which (--weights)")
    if weights is not None and name not in (*WEIGHTED_DETECTORS, *NETWORKS):
        raise ConfigError(f"the detector {name} takes no file of weights, and {weights} was given")
    if name in NETWORKS:
        files = () if weights is None else (weights, sha256)
        return _network_loader(name)(*files, scales=tuple(scales), device=device)
    if tuple(scales) != (1.0,) or device != "cpu":
        raise ConfigError(f"scales and devices are for networks ({', '.join(NETWORKS)}), and {name} is none")
    if name == "structured" and weights is not None:
        return load_structured(weights, sha256)
    return EDGE_DETECTORS[name] if name in EDGE_DETECTORS else _imported(name)


def line_finder(name: str, find: Detector, threshold: int | None = None) -> Detector:
    """Return a detector whose edges are one pixel wide.

    Args:
        name: Of the detector, as given to `detector`.
        find: What `detector` returned.
        threshold: Edges weaker than that are dropped; None for 5 % of the scale, and for what canny itself holds to be
            an edge.
    """
    if name in THIN_DETECTORS:
        return find if threshold is None else lambda photo: _strong(find(photo), threshold)
    weakest = WEAKEST if threshold is None else threshold
    return lambda photo: thin(find(photo), weakest)


def _strong(edges: npt.NDArray[np.uint8], weakest: int) -> npt.NDArray[np.uint8]:
    return np.where(edges >= weakest, edges, np.uint8(0))


def _network_loader(name: str) -> Callable[..., Detector]:
    try:
        module = importlib.import_module(f"sketchdata.edges.{name}")
    except ImportError as error:
        raise ConfigError(
            f"the detector {name} is a network and needs torch, which cannot be imported ({error}): "
            "pip install 'sketchdata[train]'"
        ) from error
    loader: Callable[..., Detector] = getattr(module, f"load_{name}")
    return loader


def _imported(name: str) -> Detector:
    module, colon, function = name.partition(":")
    if not (module and colon and function):
        known = ", ".join(detector_names())
        raise ConfigError(f"no edge detector is named {name!r}; there are {known}, and one's own as module:function")
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"the edge detector {name} cannot be imported: {error}") from error
    if not callable(found):
        raise ConfigError(f"{name} is {found!r}, where a function from a photo to its edges was expected")

    def find(photo: Photo) -> npt.NDArray[np.uint8]:
        try:
            edges = found(photo)
        except Exception as error:
            seen = f"on a photo of {photo.shape[1]} × {photo.shape[0]}"
            raise ConfigError(f"the edge detector {name} failed {seen}: {type(error).__name__}: {error}") from error
        return _checked(name, edges, photo)

    return find


def _checked(name: str, edges: object, photo: Photo) -> npt.NDArray[np.uint8]:
    """Return what somebody's own detector found, if it is an edge map."""
    if not isinstance(edges, np.ndarray) or edges.shape != photo.shape[:2] or edges.dtype != np.uint8:
        found = f"{edges.shape} {edges.dtype}" if isinstance(edges, np.ndarray) else type(edges).__name__
        expected = f"{photo.shape[:2]} uint8"
        raise ConfigError(f"the edge detector {name} returned {found}, where an edge map, {expected}, was expected")
    return edges
