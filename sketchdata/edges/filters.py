"""Structured Edges, the detector behind EdgeMap-345C, by OpenCV, with a model file of the user's.

Source: Dollár and Zitnick, "Fast edge detection using structured forests", PAMI 2015; `cv2.ximgproc`. OpenCV's model is
testdata/cv/ximgproc/model.yml.gz of github.com/opencv/opencv_extra. No publisher states its hash, so none is pinned
here: whoever fetches it says which file is expected.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from sketchdata.edges.gradient import to_uint8
from sketchdata.errors import ConfigError
from sketchdata.photos import Photo

#: The options stand first in the file.
_HEAD_BYTES = 1 << 16


def load_structured(model: Path, sha256: str | None = None) -> Callable[[Photo], npt.NDArray[np.uint8]]:
    """Return the detector of a model file; it maps (H, W, 3) uint8 RGB to (H, W) uint8, not thinned.

    Args:
        model: The forest as OpenCV stores it, `model.yml.gz`.
        sha256: The file's hash in hexadecimal digits, if it shall be checked.

    Raises:
        ConfigError: The file is absent, is another than its hash says, or is no such model.
    """
    if not model.is_file():
        raise ConfigError(
            f"no Structured Edges model at {model}; github.com/opencv/opencv_extra has it as "
            "testdata/cv/ximgproc/model.yml.gz, and --detector canny needs none"
        )
    if sha256 is not None:
        _check(model, sha256)
    _check_head(model)
    try:
        forest = cv2.ximgproc.createStructuredEdgeDetection(str(model))
    except cv2.error as error:
        raise ConfigError(f"{model} is not a Structured Edges model of OpenCV (model.yml.gz): {error.err}") from error

    def structured(photo: Photo) -> npt.NDArray[np.uint8]:
        return to_uint8(255 * forest.detectEdges(photo.astype(np.float32) / 255))

    return structured


def _check_head(model: Path) -> None:
    """Refuse YAML without a forest: OpenCV would divide by its number of trees, and the process would die."""
    try:
        with gzip.open(model) if model.suffix == ".gz" else model.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigError(f"{model} cannot be read as a Structured Edges model: {error}; fetch it again") from error
    if re.search(rb"\bnumberOfTrees: *[1-9]", head) is None:
        raise ConfigError(f"{model} is not a Structured Edges model of OpenCV: its head names no numberOfTrees")


def _check(model: Path, sha256: str) -> None:
    found = hashlib.sha256(model.read_bytes()).hexdigest()
    if found != sha256.lower():
        raise ConfigError(f"{model} has sha256 {found} where {sha256.lower()} was expected; fetch it again")
