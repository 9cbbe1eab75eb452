"""Edge detectors without a network: canny, sobel, XDoG and Structured Edges, and their common gradient."""

from __future__ import annotations

import functools
import gzip
import hashlib
import math
import re
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from sketchdata.errors import ConfigError
from sketchdata.photos.image import Photo

#: Derivatives are integers in fractions 1/FINENESS of a grey level: precise enough, and four times as fast as float32.
FINENESS = 8

#: (H, W, 3) int16, in 1/FINENESS of a grey level.
Derivatives = npt.NDArray[np.int16]


def derivatives(photo: Photo, sigma: float) -> tuple[Derivatives, Derivatives]:
    """Return ∂x and ∂y of every channel, smoothed by a Gaussian of `sigma` pixels: (H, W, 3) int16, in 1/FINENESS.

    The scale is that of steps: at a straight step of c grey levels the magnitude peaks at about c, for any sigma.
    """
    across, along = _kernels(sigma)
    dx = cv2.sepFilter2D(photo, cv2.CV_16S, across, along, borderType=cv2.BORDER_REFLECT)
    dy = cv2.sepFilter2D(photo, cv2.CV_16S, along, across, borderType=cv2.BORDER_REFLECT)
    return np.asarray(dx, np.int16), np.asarray(dy, np.int16)


@functools.cache
def _kernels(sigma: float) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the filters across an edge and along it: a Gaussian of three deviations to either side, then Sobel's."""
    gaussian = np.asarray(cv2.getGaussianKernel(2 * round(3 * sigma) + 1, sigma), np.float64)[:, 0]
    # Sobel's 3 × 3 kernel gives four times the difference of the neighbours at ±1, which for a unit step smoothed by
    # sigma is erf(1 / (σ √2)).
    scale = FINENESS / (4 * math.erf(1 / (sigma * math.sqrt(2))))
    across, along = np.convolve(gaussian, np.array([-scale, 0, scale])), np.convolve(gaussian, np.array([1.0, 2, 1]))
    return across.astype(np.float32), along.astype(np.float32)


def steepness(dx: Derivatives, dy: Derivatives) -> npt.NDArray[np.uint8]:
    """Return the magnitude of each pixel's steepest channel, as in Canny's detector for colour: (H, W) uint8."""
    channels = zip(cv2.split(dx), cv2.split(dy), strict=True)
    steepest, *others = (cv2.magnitude(x.astype(np.float32), y.astype(np.float32)) for x, y in channels)
    for other in others:
        steepest = cv2.max(steepest, other)
    return np.asarray(cv2.convertScaleAbs(steepest, alpha=1 / FINENESS), np.uint8)


def to_uint8(values: npt.ArrayLike) -> npt.NDArray[np.uint8]:
    """Round and clip to 0..255; the shape is unchanged."""
    rounded: npt.NDArray[np.uint8] = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return rounded


#: Smoothing in pixels: Canny's usual √2.
SIGMA = math.sqrt(2)
#: Steps below this many grey levels are sensor noise or compression artefacts, so that a blank photo has no edges.
LEAST_STEP = 6


def canny(photo: Photo) -> npt.NDArray[np.uint8]:
    """Return the gradient's magnitude in grey levels where Canny finds an edge, 0 elsewhere.

    Source: Canny, "A computational approach to edge detection", PAMI 1986. The high threshold is Otsu's ("A threshold
    selection method from gray-level histograms", 1979) and the low one half of it, as in Fang, Yue and Yu ("The study
    on an application of Otsu method in Canny operator", ISIP 2009, pp. 109-112); here Otsu's method is applied to the
    magnitudes that the thresholds are compared with. It separates edges from background whether there are many edges,
    as in a street, or few, as in a cut-out on white, where a fixed percentile would include noise.

    Args:
        photo: (H, W, 3) uint8 RGB.

    Returns:
        (H, W) uint8; edges are already thin.
    """
    dx, dy = derivatives(photo, SIGMA)
    magnitude = steepness(dx, dy)
    otsu, _ = cv2.threshold(magnitude, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    high = FINENESS * max(float(otsu), LEAST_STEP)
    # OpenCV's Canny also uses the steepest channel.
    edges = cv2.Canny(dx, dy, high / 2, high, L2gradient=True)
    return np.asarray(cv2.bitwise_and(magnitude, edges), np.uint8)


#: Smoothing in pixels, enough to remove the grain of a photo.
SIGMA_SOBEL = 1.0


def sobel(photo: Photo) -> npt.NDArray[np.uint8]:
    """Return the gradient's magnitude in grey levels: (H, W, 3) uint8 RGB → (H, W) uint8, not thinned.

    Source: Sobel and Feldman, "A 3×3 isotropic gradient operator for image processing", 1968.
    """
    return steepness(*derivatives(photo, SIGMA_SOBEL))


SIGMA_XDOG = 1.4
#: The ratio of the two Gaussians at which their difference best approximates Marr and Hildreth's Laplacian.
K = 1.6
#: Sharpening p: lines appear where a pixel is darker than its surroundings by more than 1/p of its brightness.
P = 20.0
#: With 0 flat areas have no ink, however dark: only lines, as in an edge map.
EPSILON = 0.0
#: Slope of the ink's soft threshold.
PHI = 4.0


def xdog(photo: Photo) -> npt.NDArray[np.uint8]:
    """Return the ink of the extended difference of Gaussians: (H, W, 3) uint8 RGB → (H, W) uint8, not thinned.

    Source: Winnemöller, Kyprianidis and Olsen, "XDoG: an eXtended difference-of-Gaussians compendium including advanced
    image stylization", Computers & Graphics 36(6), 2012, pp. 740-753, in the parameters of its section 2.5. With T the
    brightness of its picture, the edge strength is the ink, 1 - T.
    """
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    fine, coarse = (cv2.GaussianBlur(grey, (0, 0), sigma) for sigma in (SIGMA_XDOG, K * SIGMA_XDOG))
    sharpened = (1 + P) * fine - P * coarse
    return to_uint8(-255 * np.tanh(PHI * np.minimum(sharpened - EPSILON, 0)))


#: The options are at the start of the file.
_HEAD_BYTES = 1 << 16


def load_structured(model: Path, sha256: str | None = None) -> Callable[[Photo], npt.NDArray[np.uint8]]:
    """Return the detector of a model file; it maps (H, W, 3) uint8 RGB to (H, W) uint8, not thinned.

    Source: Dollár and Zitnick, "Fast edge detection using structured forests", PAMI 2015; `cv2.ximgproc`. It is the
    detector of EdgeMap-345C.

    Args:
        model: The forest as OpenCV stores it, `model.yml.gz`.
        sha256: The file's hash in hexadecimal digits, to check it; no publisher states one.

    Raises:
        ConfigError: The file does not exist, does not match the hash, or is not such a model.
    """
    absent = (
        f"no Structured Edges model at {model}; github.com/opencv/opencv_extra has it as "
        "testdata/cv/ximgproc/model.yml.gz, and --detector canny needs none"
    )
    read_weights(model, sha256, absent)
    try:
        with gzip.open(model) if model.suffix == ".gz" else model.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigError(f"{model} cannot be read as a Structured Edges model: {error}; fetch it again") from error
    # For YAML without a forest OpenCV would divide by zero trees and crash the process.
    if re.search(rb"\bnumberOfTrees: *[1-9]", head) is None:
        raise ConfigError(f"{model} is not a Structured Edges model of OpenCV: its head names no numberOfTrees")
    try:
        forest = cv2.ximgproc.createStructuredEdgeDetection(str(model))
    except cv2.error as error:
        raise ConfigError(f"{model} is not a Structured Edges model of OpenCV (model.yml.gz): {error.err}") from error

    def structured(photo: Photo) -> npt.NDArray[np.uint8]:
        return to_uint8(255 * forest.detectEdges(photo.astype(np.float32) / 255))

    return structured


def read_weights(path: Path, sha256: str | None, absent: str) -> tuple[bytes, str]:
    """Return a file's content and its sha256.

    Raises:
        ConfigError: The file does not exist (with the message `absent`), or does not match the given hash.
    """
    if not path.is_file():
        raise ConfigError(absent)
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if sha256 is not None and found != sha256.lower():
        raise ConfigError(f"{path} has sha256 {found} where {sha256.lower()} was expected; fetch it again")
    return data, found
