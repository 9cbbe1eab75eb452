"""Edge detectors: each maps a photo (H, W, 3) uint8 RGB to its edge strength (H, W) uint8; one file per detector."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from sketchdata.edges.filters import canny, load_structured, sobel, xdog
from sketchdata.errors import ConfigError, FormatError
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

#: (H, W), 0 without an edge.
Strength = npt.NDArray[np.uint8]
Detector = Callable[[Photo], Strength]

#: The detectors without weights.
EDGE_DETECTORS: dict[str, Detector] = {"canny": canny, "sobel": sobel, "xdog": xdog}
#: The detectors whose edges are one pixel wide.
THIN_DETECTORS = frozenset({"canny"})
#: Networks, each in the module of its name, which needs torch and is imported on use.
NETWORKS = ("learned", "tin", "pidinet")
#: The detectors with a file of weights. The package contains only the weights of learned, which reads others, too.
WEIGHTED_DETECTORS = ("structured", "tin", "pidinet")


def detector_names() -> list[str]:
    """Return the names of the detectors that come with the package."""
    return list(dict.fromkeys([*EDGE_DETECTORS, *NETWORKS, *WEIGHTED_DETECTORS]))


def detector(
    name: str,
    weights: Path | None = None,
    sha256: str | None = None,
    *,
    scales: Sequence[float] = (1.0,),
    device: str = "cpu",
) -> Detector:
    """Return a detector by its name, or a user's own as `module:function`.

    Args:
        name: Name of a detector of the package, or `module:function` of an importable one.
        weights: The file of weights, for a detector that has one.
        sha256: The hash of that file. The published weights of tin and pidinet are known; other weights for them are
            read only with a hash. The files of other detectors are checked if it is given.
        scales: Scales of the photo at which a network runs; the results are averaged.
        device: Torch device of the network: cpu, cuda, cuda:1.

    Raises:
        ConfigError: The detector does not exist, its weights are missing, superfluous or wrong, it does not take scales
            or a device, or it needs torch, which is not installed.
    """
    if name in WEIGHTED_DETECTORS and weights is None:
        raise ConfigError(f"the detector {name} needs a file of weights: give --weights FILE")
    if weights is not None and name not in (*WEIGHTED_DETECTORS, *NETWORKS):
        raise ConfigError(f"the detector {name} takes no file of weights, and {weights} was given")
    if name in NETWORKS:
        try:
            module = importlib.import_module(f"sketchdata.edges.{name}")
        except ImportError as error:
            raise ConfigError(
                f"the detector {name} is a network and needs torch, which cannot be imported ({error}): "
                "pip install 'sketchdata[train]'"
            ) from error
        load: Callable[..., Detector] = getattr(module, f"load_{name}")
        files = () if weights is None else (weights, sha256)
        return load(*files, scales=tuple(scales), device=device)
    if tuple(scales) != (1.0,) or device != "cpu":
        raise ConfigError(f"scales and devices are for networks only: {', '.join(NETWORKS)}, not {name}")
    if name == "structured" and weights is not None:
        return load_structured(weights, sha256)
    return EDGE_DETECTORS[name] if name in EDGE_DETECTORS else _imported(name)


def line_finder(name: str, find: Detector, threshold: int | None = None) -> Detector:
    """Return a detector whose edges are one pixel wide, given its name and what `detector` returned.

    Edges weaker than a threshold are dropped: by default 5 % of the scale, and for canny its own thresholds.
    """
    if name in THIN_DETECTORS:
        if threshold is None:
            return find
        return lambda photo: np.where((edges := find(photo)) >= threshold, edges, np.uint8(0))
    weakest = WEAKEST if threshold is None else threshold
    return lambda photo: thin(find(photo), weakest)


def _imported(name: str) -> Detector:
    module, colon, function = name.partition(":")
    if not (module and colon and function):
        known = ", ".join(detector_names())
        raise ConfigError(f"no edge detector is named {name!r}; there are {known}, or your own as module:function")
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
        if not isinstance(edges, np.ndarray) or edges.shape != photo.shape[:2] or edges.dtype != np.uint8:
            told = f"{edges.shape} {edges.dtype}" if isinstance(edges, np.ndarray) else type(edges).__name__
            expected = f"{photo.shape[:2]} uint8"
            raise ConfigError(f"the edge detector {name} returned {told}, where an edge map, {expected}, was expected")
        return edges

    return find


#: Standard deviation, in pixels, of the smoothing before an edge's direction is computed: that of the triangle filter
#: of #: radius 4 of Structured Edges.
_DIRECTION_SIGMA = 2.0
#: A pixel is kept if it is within 1 % of its neighbours, as by `m` of Structured Edges.
_TOLERANCE = 1.01
#: Default threshold: 5 % of 255.
WEAKEST = 13


def thin(edges: Strength, weakest: int = WEAKEST) -> Strength:
    """Keep the ridges of an edge map, one pixel wide, with their strength.

    Args:
        edges: (H, W) uint8 edge strength.
        weakest: The threshold below which edges are dropped; by default 5 % of 255.

    Returns:
        (H, W) uint8, 0 where there is no edge.

    Source: non-maximum suppression as in Dollár and Zitnick's `edgesNms`, where the direction across the edge is that
    of the largest curvature of the smoothed map, by its Hessian; Zhang and Suen's thinning (1984) for plateaus.
    """
    # Imported here, so that `--help` does not import it.
    from skimage.morphology import skeletonize

    skeleton: Callable[[npt.NDArray[np.bool_]], npt.NDArray[np.bool_]] = skeletonize
    strength = edges.astype(np.float32)
    dx, dy = cv2.polarToCart(np.ones_like(strength), _across(strength))
    y, x = np.indices(strength.shape, dtype=np.float32, sparse=True)
    one, other = (
        np.asarray(cv2.remap(strength, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
        for at in ((x + dx, y + dy), (x - dx, y - dy))
    )
    ridge = (strength * _TOLERANCE >= np.maximum(one, other)) & (edges >= weakest)
    # OpenCV's thinning is four times slower and ignores the outermost pixels.
    return np.where(skeleton(ridge), edges, np.uint8(0))


def _across(strength: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the angle in radians, (H, W) float32, of the largest absolute curvature of the strength."""
    smooth = cv2.GaussianBlur(strength, (0, 0), _DIRECTION_SIGMA)
    xx, xy, yy = (np.asarray(cv2.Sobel(smooth, cv2.CV_32F, *order, ksize=3)) for order in ((2, 0), (1, 1), (0, 2)))
    # Half of the phase is the direction of the larger eigenvalue. On a crest, where the sum of both is below 0, the
    # smaller # one has the larger absolute value; at the foot of an edge it would point along the edge.
    turn = np.where(xx + yy < 0, np.float32(np.pi / 2), np.float32(0))
    double = np.asarray(cv2.phase(cv2.subtract(xx, yy), cv2.add(xy, xy)), np.float32)
    angle: npt.NDArray[np.float32] = double / 2 + turn
    return angle


Ink = Literal["black", "white"]


def centre(
    edges: Strength, size: int = 224, fill: float = 0.9, ink: Ink = "black", channels: Literal[1, 3] = 3
) -> Strength:
    """Scale the edges' bounding box so that its longer side is `fill` of the side of a square picture, and centre it.

    Lines do not fade in a smaller picture, where each pixel takes its strongest edge, nor become thicker in a larger
    one, which is thinned again.

    Args:
        edges: (H, W) uint8 edge strength, thinned, and 0 without an edge; otherwise the box includes noise.
        size: Side of the picture in pixels.
        fill: Share of the side, above 0 and at most 1. EdgeMap-345C: about 0.9.
        ink: `black` on white, as drawings are, or `white` on black.
        channels: 3 for three equal channels, or 1.

    Returns:
        (size, size, 3) or (size, size) uint8.

    Raises:
        FormatError: `no edges`.
        ConfigError: An argument is outside its range.
    """
    if size < 1 or not 0 < fill <= 1 or ink not in ("black", "white") or channels not in (1, 3):
        raise ConfigError(
            f"expected a size of at least 1, a fill in (0, 1], black or white ink and 1 or 3 channels, "
            f"not {size}, {fill}, {ink}, {channels}"
        )
    rows, columns = np.flatnonzero(edges.any(axis=1)), np.flatnonzero(edges.any(axis=0))
    if not len(rows):
        raise FormatError("no edges", f"on a picture of {edges.shape[1]} × {edges.shape[0]}")
    scaled = _scaled(edges[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], max(round(fill * size), 1))
    height, width = scaled.shape
    top, left = (size - height) // 2, (size - width) // 2
    picture = np.zeros((size, size), np.uint8)
    picture[top : top + height, left : left + width] = scaled
    picture = picture if ink == "white" else 255 - picture
    return picture if channels == 1 else np.repeat(picture[:, :, None], 3, axis=2)


def _scaled(edges: Strength, longer: int) -> Strength:
    height, width = edges.shape
    scale = longer / max(height, width)
    high, wide = max(round(height * scale), 1), max(round(width * scale), 1)
    if scale > 1:
        enlarged = np.asarray(cv2.resize(edges, (wide, high), interpolation=cv2.INTER_LINEAR), np.uint8)
        return thin(enlarged, weakest=1)
    scaled = np.zeros((high, wide), np.uint8)
    y, x = np.nonzero(edges)
    np.maximum.at(scaled, (y * high // height, x * wide // width), edges[y, x])
    return scaled
