"""A small folder in the layout of BSDS500: generated photos of plain shapes, and what several people saw in them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.io import savemat

from sketchdata.edges.bsds import boundaries_between

PEOPLE = 3
SHAPE = (80, 96)


def divided_folder(folder: Path, photos: Mapping[str, int]) -> Path:
    """Write so many photos of each split with their drawings, the same ones every time; return the folder."""
    for split, number in photos.items():
        for place in range(number):
            write_divided(folder, split, f"{split}{place:03d}", seed=place)
    return folder


def write_divided(folder: Path, split: str, name: str, *, seed: int) -> None:
    """Write one photo of a rectangle and a disc, and its drawings, of which the last person's misses the disc."""
    photo, segments = _shapes(seed)
    place = folder / "images" / split
    place.mkdir(parents=True, exist_ok=True)
    Image.fromarray(photo).save(place / f"{name}.jpg", quality=95)
    write_drawings(folder, split, name, [segments] * (PEOPLE - 1) + [np.minimum(segments, 2)])


def write_drawings(
    folder: Path, split: str, name: str, drawings: list[npt.NDArray[np.uint16]], *, compressed: bool = False
) -> Path:
    """Write people's segments as BSDS500 does: a row of cells, each a struct; return the file."""
    path = folder / "groundTruth" / split / f"{name}.mat"
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = np.empty((1, len(drawings)), object)
    for place, segments in enumerate(drawings):
        cells[0, place] = {"Segmentation": segments, "Boundaries": boundaries_between(segments)}
    savemat(path, {"groundTruth": cells}, do_compression=compressed)
    return path


def _shapes(seed: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint16]]:
    rng = np.random.default_rng(seed)
    segments = np.ones(SHAPE, np.uint16)
    left, top = (int(rng.integers(5, 40)) for _ in range(2))
    segments[top : top + 30, left : left + 40] = 2
    disc = cv2.circle(np.zeros(SHAPE, np.uint8), (int(rng.integers(30, 70)), int(rng.integers(30, 50))), 15, 1, -1)
    segments[disc > 0] = 3
    colours = rng.permutation(np.array([[30, 40, 60], [120, 160, 90], [230, 200, 180], [200, 80, 90]]))
    photo = colours[segments] + rng.normal(0, 4, (*SHAPE, 3))
    return np.clip(photo, 0, 255).astype(np.uint8), segments
