"""The folder of BSDS500: photos, and for each a MATLAB file of what four to nine people drew on it.

    images/{train,val,test}/NAME.jpg         200, 100 and 200 photos of 481 × 321 or 321 × 481
    groundTruth/{train,val,test}/NAME.mat    `groundTruth`: a cell a person, of a struct with `Boundaries` (H, W) uint8

Source: https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/resources.html.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sketchdata.boundaries.mat5 import Value, read_variable
from sketchdata.boundaries.matching import Mask
from sketchdata.errors import ConfigError, FormatError

SPLITS = ("train", "val", "test")

_PHOTOS, _DRAWINGS = "images", "groundTruth"


@dataclass(frozen=True, kw_only=True)
class DrawnPhoto:
    """A photo of the data set and its drawings, by their paths."""

    name: str
    photo: Path
    drawings: Path


def drawn_photos(directory: Path, split: str) -> list[DrawnPhoto]:
    """Return a split's photos in the order of their names.

    Raises:
        ConfigError: The folder has no photos of that split, or some of them have no drawings.
    """
    photos = sorted((directory / _PHOTOS / split).glob("*.jpg"), key=lambda path: path.stem)
    if not photos:
        raise ConfigError(
            f"{directory} is not the folder of BSDS500: {directory / _PHOTOS / split} has no .jpg photos; "
            "give the folder that holds images/ and groundTruth/"
        )
    found = [
        DrawnPhoto(name=path.stem, photo=path, drawings=directory / _DRAWINGS / split / f"{path.stem}.mat")
        for path in photos
    ]
    missing = [each.drawings.name for each in found if not each.drawings.is_file()]
    if missing:
        raise ConfigError(
            f"{directory / _DRAWINGS / split} lacks the drawings of {len(missing):,} of {len(found):,} photos, "
            f"{', '.join(missing[:5])} among them: fetch BSDS500 again"
        )
    return found


def read_drawings(data: bytes) -> list[Mask]:
    """Return what each person drew on a photo, from a file's bytes: (H, W) bool, all of one shape.

    Raises:
        FormatError: `damaged drawings` or `no drawings`.
    """
    try:
        people = read_variable(data, "groundTruth")
        found = [_boundaries(person) for person in people]
    except ValueError as error:
        raise FormatError("damaged drawings", f"{error}, where BSDS500's groundTruth was expected") from error
    if not found or not found[0].size:
        raise FormatError("no drawings", "where those of at least one person were expected")
    if len({drawing.shape for drawing in found}) > 1:
        raise FormatError("damaged drawings", f"of several shapes, {sorted({each.shape for each in found})}")
    return found


def _boundaries(person: Value | dict[str, Value]) -> Mask:
    """Return one person's drawing, of an array of one struct.

    Raises:
        ValueError: There is none.
    """
    match person:
        case [{"Boundaries": np.ndarray() as drawing}] if drawing.ndim == 2:
            return np.not_equal(drawing, 0)
    raise ValueError("a person's cell without a struct of two-dimensional Boundaries")
