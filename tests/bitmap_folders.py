"""Folders of bitmaps laid out like the official ones: bars, frames and slopes of a few lines of code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

CLASSES = ("The Frame", "bar", "slope")
SIDE = 28


def generated_bitmaps(count: int, kind: str = "bar", seed: int = 1) -> npt.NDArray[np.uint8]:
    """Return bitmaps of a kind, each of its own place and grey, (N, 784) uint8."""
    random = np.random.default_rng([seed, len(kind)])
    bitmaps = np.zeros((count, SIDE, SIDE), np.uint8)
    for bitmap in bitmaps:
        y, x, size = random.integers(1, 10, 2).tolist() + random.integers(8, 17, 1).tolist()
        part = bitmap[y : y + size, x : x + size]
        if kind == "slope":
            np.fill_diagonal(part, 255)
        else:
            part[0] = 255
            part[1] = random.integers(1, 255, size)
        if kind == "The Frame":
            part[-1], part[:, 0], part[:, -1] = 255, 255, 255
    return bitmaps.reshape(count, SIDE * SIDE)


def bitmap_folder(folder: Path, count: int = 200, **others: Any) -> Path:
    """Write `{class}.npy` of three classes, or of the arrays that are given; return the folder."""
    folder.mkdir(parents=True)
    for name, array in (others or {kind: generated_bitmaps(count, kind) for kind in CLASSES}).items():
        np.save(folder / f"{name}.npy", array)
    return folder
