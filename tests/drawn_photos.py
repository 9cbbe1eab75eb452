"""A folder like that of BSDS500, of generated photos and drawings, and the real one where it is at hand."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import scipy.io

Mask = npt.NDArray[np.bool_]
#: Of 0.0075 of its diagonal, 1.3 pixels, a neighbour is within reach.
SHAPE = (96, 144)


def rectangle(top: int, left: int, bottom: int, right: int, shape: tuple[int, int] = SHAPE) -> Mask:
    """Return the outline of a rectangle, one pixel wide, without the corners, which thinning would take."""
    outline = np.zeros(shape, np.uint8)
    cv2.rectangle(outline, (left, top), (right, bottom), 1)
    outline[[top, top, bottom, bottom], [left, right, left, right]] = 0
    return outline > 0


def mat_file(drawings: list[Mask], path: Path, *, compressed: bool = True) -> None:
    """Write drawings as BSDS500 has them: a cell a person, in it a struct of Segmentation and Boundaries."""
    people = np.empty((1, len(drawings)), object)
    for number, drawing in enumerate(drawings):
        people[0, number] = {"Segmentation": np.ones(drawing.shape, np.uint16), "Boundaries": drawing.astype(np.uint8)}
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, {"groundTruth": people}, do_compression=compressed)


def small_bsds(folder: Path, photos: int = 3, split: str = "test") -> Path:
    """Write photos of a light rectangle on a dark, grained ground, with the drawings of two people who agree."""
    rng = np.random.default_rng(0)
    for number in range(photos):
        top, left = 16 + number % 7, 20 + number % 11
        pixels = rng.normal(60, 4, (*SHAPE, 3))
        pixels[top : top + 56, left : left + 90] += 120
        place = folder / "images" / split / f"{number:03}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(place), np.clip(pixels, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 95])
        drawing = rectangle(top, left, top + 55, left + 89)
        mat_file([drawing, drawing], folder / "groundTruth" / split / f"{number:03}.mat")
    return folder


def real_bsds() -> Path:
    """Return the folder of the real photos, or skip the test."""
    folder = Path(os.environ.get("SKETCHDATA_REAL_DATA", "")) / "photos" / "bsds500"
    if not os.environ.get("SKETCHDATA_REAL_DATA") or not folder.is_dir():
        pytest.skip("SKETCHDATA_REAL_DATA names no folder with photos/bsds500")
    return folder
