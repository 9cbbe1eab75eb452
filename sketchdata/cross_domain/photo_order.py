"""Comparison of the order in which a network ranks photos for a drawing with the order that people gave them.

The measure is Kendall's τ_b of Eitz, Hildebrand, Boubekeur and Alexa, "Sketch-based image retrieval: benchmark and
bag-of-features descriptors", TVCG 2011, whose benchmark has 31 drawings with 40 photos each. The layout of the authors'
package is not read here: a folder has `order.csv`, with columns `drawing`, `photo` and `rank`. The first two are paths
of pictures in the folder, and photos of a drawing with a lower rank look more like it; ranks may be tied.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import kendalltau

from sketchdata.cross_domain.dataset import DRAWINGS, PHOTOS, PhotoPictures
from sketchdata.cross_domain.encoder import SpaceEncoder, read_space
from sketchdata.cross_domain.mixed_evaluation import drawing_inputs, embed_rows
from sketchdata.cross_domain.mixing import PhotoPatches
from sketchdata.errors import ConfigError, FormatError, SketchDataError
from sketchdata.photos.image import decode

ORDER_FILE = "order.csv"
_COLUMNS = ("drawing", "photo", "rank")
#: {drawing: {photo: rank}}.
PhotoRanks = dict[str, dict[str, float]]


def read_order(folder: Path) -> PhotoRanks:
    """Read the order of photos that people gave.

    Raises:
        ConfigError: There is no `order.csv`.
        SketchDataError: A line is malformed, names a pair twice or a file that does not exist, or all photos of a
            drawing have the same rank.
    """
    path = folder / ORDER_FILE
    if not path.is_file():
        raise ConfigError(f"{folder} has no {ORDER_FILE} with the columns {', '.join(_COLUMNS)}")
    found: PhotoRanks = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.DictReader(file)
            if not set(_COLUMNS) <= set(lines.fieldnames or ()):
                raise SketchDataError(f"{path}: expected the columns {', '.join(_COLUMNS)}, got {lines.fieldnames}")
            for line in lines:
                _add(found, line, f"{path}, line {lines.line_num}", folder)
    except (UnicodeDecodeError, csv.Error) as error:
        raise SketchDataError(f"{path} is not a CSV file in UTF-8: {error}") from error
    if not found:
        raise SketchDataError(f"{path} has no lines")
    for drawing, ranks in found.items():
        if len(set(ranks.values())) < 2:
            raise SketchDataError(f"{path}: {drawing} needs at least two photos of different ranks")
    return found


def _add(found: PhotoRanks, line: dict[str, Any], where: str, folder: Path) -> None:
    drawing, photo, text = (line[name] or "" for name in _COLUMNS)
    try:
        rank = float(text)
    except ValueError:
        rank = math.nan
    if not math.isfinite(rank):
        raise SketchDataError(f"{where}: expected a number as rank, got {text!r}")
    for name in (drawing, photo):
        if "\0" in name or not (folder / name).is_file():
            raise SketchDataError(f"{where}: {name!r} is not a file in {folder}")
    if photo in found.setdefault(drawing, {}):
        raise SketchDataError(f"{where}: {drawing} and {photo} were ranked before")
    found[drawing][photo] = rank


def rank_correlation(ranks: Sequence[float], distances: npt.NDArray[np.floating[Any]]) -> float:
    """Compute Kendall's τ_b between ranks and distances of the same photos; 0 if all distances are equal.

    >>> rank_correlation([1, 2, 3], np.array([0.1, 0.5, 0.9]))
    1.0
    """
    found = float(kendalltau(ranks, distances).statistic)
    return 0.0 if math.isnan(found) else found


def compare_order(run: Path, folder: Path, *, layer: str | None = None, device: str = "cpu") -> dict[str, Any]:
    """Rank the photos of each drawing by a run of `train dsf`, and compare their order with that of people.

    Args:
        run: The folder of the run.
        folder: Has `order.csv` and the pictures that it names.
        layer: Of LAYERS; None for that of the run.
        device: Where to compute.

    Returns:
        `tau`, the mean of τ_b over the drawings; `chance`, 0, the expected value of a random order; and `drawings`,
        the τ_b of each.

    Raises:
        ConfigError: There is no `order.csv`, the run is of another trainer, or it has no such layer.
        SketchDataError: A file is damaged.
    """
    ranks, encoder = read_order(folder), read_space(run, layer)
    if encoder.architecture.branch != "classifier":
        raise ConfigError(f"{run} is not a run of `sketchdata train dsf`")
    encoder.to(device)
    vectors = _embed(encoder, folder, list(ranks), DRAWINGS)
    names = list(dict.fromkeys(photo for own in ranks.values() for photo in own))
    photos = dict(zip(names, _embed(encoder, folder, names, PHOTOS), strict=True))
    found = {}
    for vector, (drawing, own) in zip(vectors, ranks.items(), strict=True):
        distances = np.linalg.norm(np.stack([photos[name] for name in own]) - vector, axis=1)
        found[drawing] = rank_correlation(list(own.values()), distances)
    return {
        "layer": encoder.layer,
        "tau": float(np.mean(list(found.values()))),
        "chance": 0.0,
        "photos": len(names),
        "drawings": found,
    }


def _embed(encoder: SpaceEncoder, folder: Path, names: Sequence[str], domain: str) -> npt.NDArray[np.float32]:
    images = [(folder / name).read_bytes() for name in names]
    for name, image in zip(names, images, strict=True):
        try:
            decode(image)
        except FormatError as error:
            raise SketchDataError(f"{folder / name} is not a picture that can be read: {error}") from error
    read = PhotoPictures.of_encoded(
        images,
        np.zeros(len(names), np.int64),
        np.arange(len(names), dtype=np.uint64),
        ("?",),
        drawn=domain == DRAWINGS,
    ).to(encoder.mean.device)
    inputs = (
        drawing_inputs(encoder, read)
        if domain == DRAWINGS
        else PhotoPatches(pictures=read, size=encoder.size, patches=False)
    )
    return embed_rows(encoder, inputs, torch.arange(len(names)), domain)
