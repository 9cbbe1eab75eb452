"""The folder of BSDS500: photos, and for each a MATLAB file of what four to nine people drew on it.

    images/{train,val,test}/NAME.jpg         200, 100 and 200 photos of 481 × 321 or 321 × 481
    groundTruth/{train,val,test}/NAME.mat    `groundTruth`: a cell a person, of a struct of two (H, W) arrays:
                                             `Segmentation` uint16, the parts numbered, and `Boundaries` uint8, 1 on
                                             the lines between them

Source: https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/resources.html.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from sketchdata.boundaries.mat5 import Value, read_variable
from sketchdata.boundaries.matching import Mask
from sketchdata.errors import ConfigError, FormatError, SketchDataError
from sketchdata.photos import Photo, decode

SPLITS = ("train", "val", "test")

_PHOTOS, _DRAWINGS = "images", "groundTruth"

Content = TypeVar("Content")
Segments = npt.NDArray[np.uint16]


@dataclass(frozen=True, kw_only=True)
class DrawnPhoto:
    """A photo of the data set and its drawings, by their paths."""

    name: str
    photo: Path
    drawings: Path


@dataclass(frozen=True, kw_only=True)
class Divided:
    """A photo, and how several people divided it into parts.

    Attributes:
        name: The photo's file name without suffix, such as 100007.
        photo: (H, W, 3) uint8 RGB.
        segments: (H, W) uint16 for each person, the parts numbered.
    """

    name: str
    photo: Photo
    segments: tuple[Segments, ...]


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


def read_split(directory: Path, split: str) -> list[Divided]:
    """Read all photos of a split (train, val or test) and their segments, in the order of their names.

    Raises:
        ConfigError: The folder has no photos of that split, or some of them have no drawings.
        SketchDataError: A photo or its drawings are damaged, or differ in size.
    """
    return [_read_divided(each) for each in drawn_photos(directory, split)]


def _read_divided(drawn: DrawnPhoto) -> Divided:
    photo, segments = read_file(drawn.photo, decode), read_file(drawn.drawings, read_segments)
    if segments[0].shape != photo.shape[:2]:
        raise SketchDataError(
            f"{drawn.drawings}: expected drawings of {photo.shape[:2]}, as {drawn.photo} is, and found "
            f"{segments[0].shape}; fetch BSDS500 again"
        )
    return Divided(name=drawn.name, photo=photo, segments=tuple(segments))


def read_file(path: Path, reader: Callable[[bytes], Content]) -> Content:
    """Return what a reader makes of a file's bytes.

    Raises:
        SketchDataError: The file cannot be read, or is damaged; the message names it.
    """
    try:
        return reader(path.read_bytes())
    except (FormatError, OSError) as error:
        raise SketchDataError(f"{path}: {error}; fetch it again") from error


def read_drawings(data: bytes) -> list[Mask]:
    """Return what each person drew on a photo, from a file's bytes: (H, W) bool, all of one shape.

    Raises:
        FormatError: `damaged drawings` or `no drawings`.
    """
    return [np.not_equal(drawing, 0) for drawing in _people(data, "Boundaries")]


def read_segments(data: bytes) -> list[Segments]:
    """Return the parts that each person saw in a photo, from a file's bytes: (H, W) uint16, all of one shape.

    Raises:
        FormatError: `damaged drawings` or `no drawings`.
    """
    people = _people(data, "Segmentation")
    if kinds := sorted({str(each.dtype) for each in people if each.dtype.kind not in "iu"}):
        raise FormatError("damaged drawings", f"segments of {', '.join(kinds)} where whole numbers were expected")
    return [segments.astype(np.uint16) for segments in people]


def boundaries_between(segments: Segments) -> npt.NDArray[np.uint8]:
    """Return (H, W) uint8, 1 where the pixel to the right or below belongs to another of the (H, W) segments."""
    found = np.zeros(segments.shape, np.uint8)
    found[:, :-1] |= segments[:, :-1] != segments[:, 1:]
    found[:-1] |= segments[:-1] != segments[1:]
    return found


def _people(data: bytes, field: str) -> list[npt.NDArray[np.generic]]:
    """Return one field of each person's struct: (H, W), all of one shape."""
    try:
        people = read_variable(data, "groundTruth")
        found = [_field_of(person, field) for person in (people if isinstance(people, list) else [people])]
    except ValueError as error:
        raise FormatError("damaged drawings", f"{error}, where BSDS500's groundTruth was expected") from error
    if not found or not found[0].size:
        raise FormatError("no drawings", "where those of at least one person were expected")
    if len({each.shape for each in found}) > 1:
        raise FormatError("damaged drawings", f"of several shapes, {sorted({each.shape for each in found})}")
    return found


def _field_of(person: Value | dict[str, Value], field: str) -> npt.NDArray[np.generic]:
    if isinstance(person, list) and len(person) == 1 and isinstance(fields := person[0], dict):
        found = fields.get(field)
        if isinstance(found, np.ndarray) and found.ndim == 2:
            return found
    raise ValueError(f"a person's cell without a struct of two-dimensional {field}")
