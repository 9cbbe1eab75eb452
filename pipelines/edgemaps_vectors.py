"""Compute the edge-map vector of each class: the mean of a trained classifier's features of its edge maps.

Source: Xu et al., "On Learning Semantic Representations for Million-Scale Free-Hand Sketches", section III-D.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sketchdata.classes.vectors import write_vectors
from sketchdata.config import FILE, option
from sketchdata.edges.dataset import TRAIN, open_edgemaps
from sketchdata.errors import ConfigError
from sketchdata.storage.manifest import MANIFEST_NAME, hash_file

#: Kind of the vectors, as recorded in the file.
KIND = "edge maps"


@dataclass(frozen=True, kw_only=True)
class Config:
    """Options: edge maps, and output file."""

    out: Path = option(help="File to write, such as edge-vectors.parquet.", type=FILE)
    split: str = option(TRAIN, help="Split of the edge maps.", metavar="NAME")
    allow_missing: bool = option(False, help="Leave out classes without an edge map, instead of an error.")
    device: str = option("auto", help="Device: auto, cpu, cuda, cuda:1.")


def run(run_folder: Path, data: Path, config: Config) -> dict[str, Any]:
    """Write the vectors, in the order of the class table, and return their description and origin.

    Returns:
        `kind`, `run` and `data` (sha256 of the model and of the manifest), `backbone`, `size`, `split` and `missing`
        (classes without edge maps), which are also in the file; and `out`, `classes`, `edge_maps` and `numbers`, the
        length of a vector.

    Raises:
        ConfigError: A class has no edge map, the split does not exist, or torch is not installed.
        SketchDataError: The training is unfinished, the data set is missing or damaged, or the file cannot be written.
    """
    try:
        from sketchdata.training.distributed import device_of
        from sketchdata.training.edgemap_classifier import mean_features, read_classifier
        from sketchdata.training.run_folder import MODEL
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"edge-map vectors need {error.name}, which is not installed: pip install 'sketchdata[train]'"
        ) from error
    classifier = read_classifier(run_folder)
    maps = open_edgemaps(data, size=classifier.size)
    counts = np.bincount(maps.entries(config.split).labels, minlength=len(maps.classes))
    missing = [word for word, count in zip(maps.classes, counts.tolist(), strict=False) if not count]
    if len(missing) == len(maps.classes):
        have = ", ".join(f"{count:,} in {split}" for split, count in maps.manifest.splits.items() if count)
        raise ConfigError(f"{maps.directory} has no edge map at all in {config.split}; it has {have or 'none'}")
    if missing and not config.allow_missing:
        raise ConfigError(
            f"{maps.directory} has no edge map in {config.split} of {len(missing):,} of its {len(maps.classes):,} "
            f"classes: {', '.join(missing)}; collect photos of them, or leave them out with --allow-missing"
        )
    vectors, counts = mean_features(classifier, maps, config.split, device_of(config.device))
    source = {
        "kind": KIND,
        "run": hash_file(run_folder / MODEL, "sha256"),
        "data": hash_file(data / MANIFEST_NAME, "sha256"),
        "backbone": classifier.backbone,
        "size": classifier.size,
        "split": config.split,
        "missing": missing,
    }
    has = counts > 0
    words = [word for word, known in zip(maps.classes, has.tolist(), strict=True) if known]
    write_vectors(config.out, words, vectors[has], counts[has], source)
    told = {"out": str(config.out), "classes": len(words), "edge_maps": int(counts.sum()), "width": vectors.shape[1]}
    return source | told
