"""A tiny data set of drawings and photos, a network of random weights, its vectors and the index over the photos."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sketchdata.cross_domain.encoder import SpaceArchitecture, SpaceEncoder, write_space
from sketchdata.pipelines import encode, index
from sketchdata.training.run_folder import RECORD, REPORT, write_json
from tests.two_domains import GROUP_CLASSES, make_two_domains


def make_space_run(
    folder: Path,
    data: Path,
    classes: tuple[str, ...] = GROUP_CLASSES["seen"],
    *,
    seed: int = 0,
    architecture: Mapping[str, Any] | None = None,
    **facts: Any,
) -> Path:
    """Write a run with a tiny network of random weights; `architecture` and `facts` differ from the usual ones."""
    torch.manual_seed(seed)
    small: dict[str, Any] = {"backbone": "small", "size": 16, "width": 6, "classes": classes}
    encoder = SpaceEncoder(SpaceArchitecture(**(small | dict(architecture or {}))))
    folder.mkdir()
    write_space(folder, encoder)
    record = {"trainer": "sbir", "options": {}, "classes": list(classes), "data": str(data), "manifest": "0" * 64}
    write_json(folder / RECORD, record | facts)
    return folder


def make_classifier_run(folder: Path, data: Path) -> Path:
    """Write a run of `train dsf` with a tiny network of random weights."""
    architecture = {
        "width": 192,
        "shared": True,
        "branch": "classifier",
        "head": False,
        "normalise": True,
        "settings": {"layer": "fc6+fc7", "resize": "ink"},
    }
    options = {"fold": None, "fold_photos": False, "validation_share": 0.1}
    run = make_space_run(folder, data, architecture=architecture, trainer="dsf", options=options)
    write_json(run / REPORT, {})
    return run


@dataclass(frozen=True, kw_only=True)
class Space:
    """Folders: the data set, the run, its vectors of everything, and the flat index over all 24 photos."""

    data: Path
    run: Path
    vectors: Path
    index: Path


def make_space(folder: Path) -> Space:
    """Make all of them."""
    data, out = folder / "data", folder / "vectors"
    make_two_domains(data, drawings=6, photos=4)
    run = make_space_run(folder / "run", data)
    encode.run(run, data, encode.Config(out=out, splits="all", device="cpu"))
    index.run(out, index.Config(out=folder / "index"))
    return Space(data=data, run=run, vectors=out, index=folder / "index")
