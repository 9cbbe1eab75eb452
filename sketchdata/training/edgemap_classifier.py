"""Edge maps in memory, and the network that classifies them: its file in a run folder, and its features of a class."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypedDict

import numpy as np
import numpy.typing as npt
import torch
from msgspec import Meta
from torch import Tensor

from sketchdata.edges.dataset import EdgeMaps, Images
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.progress import task_bar
from sketchdata.storage.records import check_fields
from sketchdata.storage.tensors import read_tensors, write_tensors
from sketchdata.training.backbones import build
from sketchdata.training.bitmaps import PackedBitmaps
from sketchdata.training.networks import PictureNetwork
from sketchdata.training.packed import relabelled
from sketchdata.training.run_folder import MODEL

_CPU = torch.device("cpu")
#: Shares of the free memory that pictures may take: a network at work needs much of a GPU's for itself.
_SHARE, _SHARE_OF_GPU = 0.9, 0.5
_MEMORY = Path("/proc/meminfo")


@dataclass(frozen=True, kw_only=True, eq=False)
class PackedEdgeMaps(PackedBitmaps):
    """N edge maps on one device, (N, S, S), with the methods of bitmaps and (N,) int64 bits of uint64 key_ids."""

    key_ids: Tensor

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return super().nbytes + self.key_ids.nbytes

    def to(self, device: torch.device | str) -> PackedEdgeMaps:
        """Return the same edge maps on another device."""
        moved = {name: getattr(self, name).to(device) for name in ("images", "labels", "key_ids")}
        return dataclasses.replace(self, **moved)

    def of_classes(self, words: Sequence[str]) -> PackedEdgeMaps:
        """Return the edge maps of some classes, which become the class table.

        Raises:
            ValueError: The class does not exist.
        """
        rows, labels = relabelled(self.labels, self.classes, words)
        return PackedEdgeMaps(images=self.images[rows], labels=labels, classes=tuple(words), key_ids=self.key_ids[rows])


def _with_white_ink(images: Images, maps: EdgeMaps) -> Images:
    return images if maps.ink == "white" else 255 - images


def read_edge_maps(maps: EdgeMaps, split: str, words: Sequence[str], device: torch.device = _CPU) -> PackedEdgeMaps:
    """Read the edge maps of some classes of a split, which become the class table, in the data set's order.

    Args:
        maps: Opened at the side S that is wanted, with 1 channel.
        split: Its name.
        words: The classes, in any order.
        device: Device of the pictures; main memory holds only a few batches at a time.

    Raises:
        ConfigError: The split does not exist, or none of its edge maps is of these classes.
        SketchDataError: The data set is damaged.
        ValueError: The class does not exist.
    """
    labels = [maps.classes.index(word) for word in words]
    entries = maps.entries(split, labels)
    if not len(entries):
        have = ", ".join(f"{count:,} in {name}" for name, count in maps.manifest.splits.items() if count)
        raise ConfigError(
            f"{maps.directory} has no edge map in {split} of the {len(words):,} classes to be learned; of all classes "
            f"it has {have or 'none'}"
        )
    images = torch.empty((len(entries), maps.size, maps.size), dtype=torch.uint8, device=device)
    at = 0
    with task_bar() as bar:
        shown = bar.add_task(f"Reading {split}", total=len(entries))
        for batch in maps.batches(split, labels=labels):
            images[at : at + len(batch)] = torch.from_numpy(_with_white_ink(batch.images[:, 0], maps))
            at += len(batch)
            bar.update(shown, completed=at)
    own = np.full(len(maps.classes), -1, np.int16)
    own[labels] = np.arange(len(labels))
    return PackedEdgeMaps(
        images=images,
        labels=torch.from_numpy(own[entries.labels]).to(device),
        classes=tuple(words),
        key_ids=torch.from_numpy(entries.key_ids.view(np.int64)).to(device),
    )


def place_for(count: int, side: int, device: torch.device) -> torch.device:
    """Return where `count` edge maps of side² bytes fit: the network's device, or main memory beside a full GPU.

    Raises:
        ConfigError: They fit nowhere.
    """
    needed = count * side * side
    if device.type == "cuda" and needed <= _SHARE_OF_GPU * torch.cuda.mem_get_info(device)[0]:
        return device
    free = free_bytes()
    if free is not None and needed > _SHARE * free:
        raise ConfigError(
            f"{count:,} edge maps of {side} × {side} pixels need {needed / 1e9:,.1f} GB of memory, and "
            f"{free / 1e9:,.1f} GB are free: use a smaller --size, or a machine with more"
        )
    return _CPU if device.type == "cuda" else device


def free_bytes() -> int | None:
    """Return the bytes of main memory that are available without swapping; None where the system does not say."""
    try:
        lines = dict(line.split(":", 1) for line in _MEMORY.read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None


#: What the file's facts are kept under.
_FACTS = "edgemap"
_INK = 255
#: Edge maps of a batch. Fixed, as the last bits of a network's features may depend on it.
_AT_ONCE = 256


@dataclass(frozen=True, kw_only=True, eq=False)
class EdgeMapClassifier:
    """A classifier of edge maps, (B, 1, S, S) float32, ink 1 on background 0, and how to build it again."""

    network: PictureNetwork
    backbone: str
    size: int
    classes: tuple[str, ...]


def new_classifier(
    backbone: str, size: int, classes: tuple[str, ...], config: Mapping[str, Any] | None = None
) -> EdgeMapClassifier:
    """Return a classifier with random weights; its one channel says as much as the paper's three equal ones.

    Raises:
        ConfigError: The backbone does not exist.
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


class _Config(TypedDict, total=False):
    config: dict[str, Any] | None


class _ClassifierFacts(_Config):
    backbone: str
    size: Annotated[int, Meta(ge=1)]
    classes: list[str]


def read_classifier(folder: Path) -> EdgeMapClassifier:
    """Return the classifier of a run folder, on the CPU and in evaluation mode.

    Raises:
        SketchDataError: Its training is not whole or was of something else, or the file is damaged.
    """
    path = folder / MODEL
    if not path.is_file():
        raise SketchDataError(
            f"{folder} has no {MODEL}: give the folder of a finished `train edgemap`, or continue with --resume"
        )
    weights, facts = read_tensors(path)
    if _FACTS not in facts:
        raise SketchDataError(
            f"{path} is not a classifier of edge maps: give the folder of a finished `sketchdata train edgemap`"
        )
    values = check_fields(facts[_FACTS], _ClassifierFacts, path, prefix=f"{_FACTS}.")
    try:
        found = new_classifier(values["backbone"], values["size"], tuple(values["classes"]), values.get("config"))
        found.network.load_state_dict(weights)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise SketchDataError(f"{path} has weights that do not fit the network that it describes: {error}") from error
    found.network.eval()
    return found


def to_input(images: Tensor) -> Tensor:
    """Return the network's input: (B, 1, S, S) uint8, ink 255 on background 0 → float32, ink 1."""
    return images.float() / _INK


@torch.no_grad()
def mean_features(
    classifier: EdgeMapClassifier, maps: EdgeMaps, split: str, device: torch.device
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return the edge-map vectors: the mean features of each class's edge maps, summed in float64 in their order.

    Source: Xu et al., section III-D, with the 1,280 features of MobileNet V2.

    Args:
        classifier: It need not know the classes.
        maps: N edge maps of L classes, opened at its size with 1 channel.
        split: Split to read.
        device: Where to compute.

    Returns:
        (L, F) float32, zeros for a class without edge maps; and (L,) int64, the number of edge maps of each.

    Raises:
        ConfigError: The split does not exist.
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
            images = torch.from_numpy(_with_white_ink(batch.images, maps)).to(device)
            np.add.at(sums, batch.labels, network.extract(to_input(images)).double().cpu().numpy())
            np.add.at(counts, batch.labels, 1)
            bar.update(shown, advance=len(batch))
    return (sums / counts.clip(1)[:, None]).astype(np.float32), counts
