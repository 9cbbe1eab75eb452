"""Photos of BSDS500 and how several people divided each of them into parts.

Source: Arbeláez, Maire, Fowlkes and Malik, "Contour detection and hierarchical image segmentation", PAMI 2011; the
folders `images` and `groundTruth` of its data, where a MATLAB file holds every person's Segmentation and Boundaries.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.io import loadmat  # type: ignore[import-untyped]
from scipy.io.matlab import MatReadError  # type: ignore[import-untyped]

from sketchdata.errors import ConfigError, FormatError, SketchDataError
from sketchdata.photos import DAMAGE, Photo, decode


@dataclass(frozen=True, kw_only=True)
class Divided:
    """A photo and its people's drawings.

    Attributes:
        name: The photo's file name without suffix, such as 100007.
        photo: (H, W, 3) uint8 RGB.
        segments: (H, W) uint16 for each person, the parts numbered.
        boundaries: (H, W) bool for each person, the lines between them, one pixel wide.
    """

    name: str
    photo: Photo
    segments: tuple[npt.NDArray[np.uint16], ...]
    boundaries: tuple[npt.NDArray[np.bool_], ...]


def read_split(data: Path, split: str) -> list[Divided]:
    """Read all photos of a split (train, val or test), sorted by name.

    Raises:
        ConfigError: There are none.
        SketchDataError: A photo or its drawings are missing or damaged.
    """
    photos = data / "images" / split
    paths = sorted(photos.glob("*.jpg"))
    if not paths:
        raise ConfigError(f"no photos in {photos}: expected BSDS500's folder of images/ and groundTruth/, found {data}")
    return [_read_divided(path, data / "groundTruth" / split / f"{path.stem}.mat") for path in paths]


def _read_divided(path: Path, drawings: Path) -> Divided:
    try:
        photo = decode(path.read_bytes())
        people = loadmat(io.BytesIO(drawings.read_bytes()))["groundTruth"].ravel()
        segments = tuple(each["Segmentation"][0, 0].astype(np.uint16) for each in people)
        boundaries = tuple(each["Boundaries"][0, 0] != 0 for each in people)
    except FormatError as error:
        raise SketchDataError(f"{path} cannot be read: {error}; fetch BSDS500 again") from error
    except FileNotFoundError as error:
        raise SketchDataError(f"{path} has no drawings: {drawings} was expected") from error
    except (*DAMAGE, NotImplementedError, MatReadError) as error:
        raise SketchDataError(f"{drawings} is no file of drawings of BSDS500: {error}; fetch it again") from error
    shapes = {each.shape for each in (*segments, *boundaries)}
    if shapes != {photo.shape[:2]}:
        raise SketchDataError(f"{drawings}: expected drawings of {photo.shape[:2]}, as {path} is, and found {shapes}")
    return Divided(name=path.stem, photo=photo, segments=segments, boundaries=boundaries)


def boundaries_between(segments: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint8]:
    """Return (H, W) uint8, 1 where the pixel to the right or below belongs to another of the (H, W) segments."""
    found = np.zeros(segments.shape, np.uint8)
    found[:, :-1] |= segments[:, :-1] != segments[:, 1:]
    found[:-1] |= segments[:-1] != segments[1:]
    return found
