"""The network that tells the classes of edge maps apart: its file in a run folder, and what it sees of each class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sketchdata.checkpoints import read_tensors, write_tensors
from sketchdata.edgemap_pictures import with_white_ink
from sketchdata.edgemaps import EdgeMaps, Images
from sketchdata.errors import SketchDataError
from sketchdata.models import build
from sketchdata.progress import task_bar
from sketchdata.run_folder import MODEL

#: What the file's facts are kept under.
_FACTS = "edgemap"
_INK = 255
#: Edge maps that are looked at together. Fixed, as the last bits of a network's numbers may depend on it.
_AT_ONCE = 256


@dataclass(frozen=True, kw_only=True, eq=False)
class EdgeMapClassifier:
    """A classifier of edge maps, and how to build it again.

    Attributes:
        network: Takes (B, 1, S, S) float32, ink 1 on background 0; has `feature_size` and `extract`.
        backbone: Its name in the table of models.
        size: The side S in pixels.
        classes: The class table of its scores.
    """

    network: Any
    backbone: str
    size: int
    classes: tuple[str, ...]


def new_classifier(
    backbone: str, size: int, classes: tuple[str, ...], config: Mapping[str, Any] | None = None
) -> EdgeMapClassifier:
    """Return a classifier with random weights. One channel says as much as the paper's three equal ones.

    Args:
        backbone: Its name in the table of models.
        size: Side of the edge maps in pixels.
        classes: The class table.
        config: Of an encoder of transformers.

    Raises:
        ConfigError: There is no such backbone.
    """
    network = build(backbone, classes=len(classes), channels=1, config=config)
    return EdgeMapClassifier(network=network, backbone=backbone, size=size, classes=classes)


def write_classifier(folder: Path, classifier: EdgeMapClassifier) -> None:
    """Write `model.safetensors` into a run folder: the weights, and how to build what they fit.

    Raises:
        SketchDataError: It cannot be written.
    """
    facts = {"backbone": classifier.backbone, "size": classifier.size, "classes": classifier.classes}
    if (config := getattr(classifier.network, "config", None)) is not None:
        facts["config"] = config
    write_tensors(folder / MODEL, classifier.network.state_dict(), {_FACTS: facts})


def read_classifier(folder: Path) -> EdgeMapClassifier:
    """Return the classifier of a run folder, on the CPU and ready to be asked.

    Raises:
        SketchDataError: Its training is not whole or was of something else, or the file is damaged.
    """
    path = folder / MODEL
    if not path.is_file():
        raise SketchDataError(
            f"{folder} has no {MODEL}: give the folder of a finished `sketchdata train edgemap`, or go on with --resume"
        )
    weights, facts = read_tensors(path)
    if _FACTS not in facts:
        raise SketchDataError(
            f"{path} is no classifier of edge maps: give the folder of a finished `sketchdata train edgemap`"
        )
    try:
        values = facts[_FACTS]
        found = new_classifier(
            str(values["backbone"]), int(values["size"]), tuple(values["classes"]), values.get("config")
        )
        found.network.load_state_dict(weights)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise SketchDataError(f"{path} does not hold the network that it says it holds: {error}") from error
    found.network.eval()
    return found


def to_input(images: Tensor) -> Tensor:
    """Return what the network takes: (B, 1, S, S) uint8, ink 255 on background 0 → float32, ink 1."""
    return images.float() / _INK


@torch.no_grad()
def mean_features(
    classifier: EdgeMapClassifier, maps: EdgeMaps, split: str, device: torch.device
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return the mean of what the classifier sees of each class's edge maps: the edge-map vectors.

    Source: Xu et al., section III-D: of MobileNet V2, 1,280 numbers a class. They are summed in float64, in the data
    set's order.

    Args:
        classifier: Whose features; it need not know the classes.
        maps: N edge maps of L classes, opened at its size with 1 channel.
        split: Of which.
        device: Where to compute.

    Returns:
        (L, F) float32, zeros for a class without edge maps; and (L,) int64, of how many each is the mean.

    Raises:
        ConfigError: There is no such split.
        SketchDataError: The data set is damaged.
    """
    network = classifier.network.to(device).eval()
    sums = np.zeros((len(maps.classes), network.feature_size))
    counts = np.zeros(len(maps.classes), np.int64)
    with task_bar() as bar:
        shown = bar.add_task("Looking at edge maps", total=maps.splits.get(split))
        for batch in maps.batches(split, batch_size=_AT_ONCE):
            if batch.labels.max() >= len(sums):
                raise SketchDataError(
                    f"{maps.directory} has edge maps with label {batch.labels.max()}, and {len(sums):,} classes: run "
                    f"`sketchdata verify {maps.directory}`"
                )
            np.add.at(sums, batch.labels, _features(network, with_white_ink(batch.images, maps), device))
            np.add.at(counts, batch.labels, 1)
            bar.update(shown, advance=len(batch))
    return (sums / counts.clip(1)[:, None]).astype(np.float32), counts


def _features(network: Any, images: Images, device: torch.device) -> npt.NDArray[np.float64]:
    found: npt.NDArray[np.float64] = (
        network.extract(to_input(torch.from_numpy(images).to(device))).double().cpu().numpy()
    )
    return found
