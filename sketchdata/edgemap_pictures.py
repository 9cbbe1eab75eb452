"""Edge maps as what a network learns from: read once, at the side that it wants, onto the device where they fit."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sketchdata.bitmaps import PackedBitmaps
from sketchdata.edgemaps import EdgeMaps, Images
from sketchdata.errors import ConfigError
from sketchdata.packed import relabelled
from sketchdata.progress import task_bar

_CPU = torch.device("cpu")
#: Shares of the free memory that pictures may take: a network at work needs much of a GPU's for itself.
_SHARE, _SHARE_OF_GPU = 0.9, 0.5
_MEMORY = Path("/proc/meminfo")


@dataclass(frozen=True, kw_only=True, eq=False)
class PackedEdgeMaps(PackedBitmaps):
    """N edge maps on one device, (N, S, S): to those that make batches of pictures, the same as bitmaps.

    Attributes:
        key_ids: (N,) int64, the bits of the uint64 key_ids.
    """

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
            ValueError: There is no such class.
        """
        rows, labels = relabelled(self.labels, self.classes, words)
        return PackedEdgeMaps(images=self.images[rows], labels=labels, classes=tuple(words), key_ids=self.key_ids[rows])


def with_white_ink(images: Images, maps: EdgeMaps) -> Images:
    """Return edge maps as networks take them, ink 255 on background 0, whichever way they are stored."""
    return images if maps.ink == "white" else 255 - images


def read_edge_maps(maps: EdgeMaps, split: str, words: Sequence[str], device: torch.device = _CPU) -> PackedEdgeMaps:
    """Read the edge maps of some classes of a split, which become the class table, in the data set's order.

    Args:
        maps: Opened at the side S that is wanted, with 1 channel.
        split: Its name.
        words: The classes, in any order.
        device: Where the pictures shall lie; no more than some batches are in main memory at a time.

    Raises:
        ConfigError: There is no such split, or none of its edge maps is of these classes.
        SketchDataError: The data set is damaged.
        ValueError: There is no such class.
    """
    labels = [maps.classes.index(word) for word in words]
    entries = maps.entries(split, labels)
    if not len(entries):
        raise ConfigError(f"{maps.directory} has no edge map in {split} of the {len(words):,} classes to be learned")
    images = torch.empty((len(entries), maps.size, maps.size), dtype=torch.uint8, device=device)
    at = 0
    with task_bar() as bar:
        shown = bar.add_task(f"Reading {split}", total=len(entries))
        for batch in maps.batches(split, labels=labels):
            images[at : at + len(batch)] = torch.from_numpy(with_white_ink(batch.images[:, 0], maps))
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
    """Return where so many edge maps may lie: on the device, or in main memory where a GPU has no room for them.

    Args:
        count: Their number N.
        side: Their side S in pixels; each takes S² bytes.
        device: Where the network computes.

    Raises:
        ConfigError: They fit nowhere; it says what they need, and what is free.
    """
    needed = count * side * side
    if device.type == "cuda" and needed <= _SHARE_OF_GPU * torch.cuda.mem_get_info(device)[0]:
        return device
    free = free_bytes()
    if free is not None and needed > _SHARE * free:
        raise ConfigError(
            f"{count:,} edge maps of {side} × {side} pixels need {needed / 1e9:,.1f} GB of memory, and "
            f"{free / 1e9:,.1f} GB are free: take a smaller --size, or a machine with more"
        )
    return _CPU if device.type == "cuda" else device


def free_bytes() -> int | None:
    """Return how many bytes of main memory can be had without swapping; None where the system does not tell."""
    try:
        lines = dict(line.split(":", 1) for line in _MEMORY.read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None
