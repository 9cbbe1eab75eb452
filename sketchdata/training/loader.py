"""Batches for training: shuffled by a seed, divided among ranks, and reproducible from any step of an epoch on.

Nothing here has a state: batch `step` of `epoch` is a function of the seed, so a resumed run gets the same batches with
the same augmentation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch
import torch.utils.data
from torch import Tensor

from sketchdata.drawings.drawing import DrawingBatch, empty_batch
from sketchdata.drawings.raster import DEFAULT_SIZE, raster
from sketchdata.drawings.sampling import splitmix64
from sketchdata.errors import ConfigError
from sketchdata.training.bitmaps import DrawingSplit, PackedSplit
from sketchdata.training.packed import Augmentation

#: What the channels of a bitmap hold.
Channels = Literal["ink", "strokes"]


@dataclass(frozen=True, kw_only=True)
class Order:
    """The order in which N items come, epoch by epoch.

    Attributes:
        count: N.
        batch_size: Items of all ranks together in a step; the last step of an epoch has fewer.
        seed: Seed of the shuffling.
        shuffle: Whether to.
        rank: This process's number.
        world_size: How many there are; each takes every world_size-th item of a batch.
    """

    count: int
    batch_size: int
    seed: int = 0
    shuffle: bool = True
    rank: int = 0
    world_size: int = 1

    @property
    def steps(self) -> int:
        """Steps of an epoch; a last batch of fewer items than ranks is left out."""
        whole, rest = divmod(self.count, self.batch_size)
        return whole + (rest >= self.world_size)

    def indices(self, epoch: int, start: int = 0) -> Iterator[Tensor]:
        """Yield the int64 items of this rank's batches, from step `start` of an epoch on."""
        if self.shuffle:
            order = torch.randperm(self.count, generator=generator(self.seed, epoch))
        else:
            order = torch.arange(self.count)
        for step in range(start, self.steps):
            yield order[step * self.batch_size : (step + 1) * self.batch_size][self.rank :: self.world_size]


def generator(seed: int, *path: int) -> torch.Generator:
    """Return a generator on the CPU whose stream depends on a place in a run, such as (epoch, step)."""
    state = splitmix64(np.array([seed], np.uint64))
    for number in path:
        state = splitmix64(state ^ np.uint64(number))
    return torch.Generator().manual_seed(int(state[0] >> np.uint64(1)))


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """B drawings as the networks take them.

    Attributes:
        indices: (B,) int64, their rows in the split.
        labels: (B,) int64.
        raster: (B, C, S, S) uint8, ink 255 on background 0, or with the channels of strokes; None without pictures.
        sequence: (B, L, 4) float32; None without sequences.
        lengths: (B,) int64 on the CPU; None without sequences.
    """

    indices: Tensor
    labels: Tensor
    raster: Tensor | None = None
    sequence: Tensor | None = None
    lengths: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class View:
    """What a network reads of each drawing.

    Attributes:
        size: Side of the bitmap in pixels; None makes none.
        line_width: Width in pixels.
        channels: Channels of the bitmap: ink alone, or also the order and direction of each pixel.
        max_points: Longest sequence; None makes none.
        scale: Divisor of the sequence's offsets.
        augment: How drawings are changed first; bitmap and sequence of a drawing are changed alike.
    """

    size: int | None = DEFAULT_SIZE
    line_width: int = 1
    channels: Channels = "ink"
    max_points: int | None = 128
    scale: float = 1.0
    augment: Augmentation | None = None

    def batch(self, packed: DrawingSplit, indices: Tensor, *place: int) -> Batch:
        """Return a batch of the drawings at (B,) indices; `place`, seed, epoch, step and rank, decides the changes."""
        raster = sequence = lengths = None
        if self.size is not None:
            random = generator(*place) if self.augment else None
            draw = packed.raster if self.channels == "ink" else packed.stroke_picture
            raster = draw(indices, self.size, self.line_width, self.augment, random)
        if self.max_points is not None:
            random = generator(*place) if self.augment else None
            sequence, lengths = packed.sequence(indices, self.max_points, self.scale, self.augment, random)
        labels = packed.labels[indices.to(packed.device)].to(torch.int64)
        return Batch(indices=indices, labels=labels, raster=raster, sequence=sequence, lengths=lengths)


class BatchLoader(Protocol):
    """The batches of a training, each a function of epoch and step.

    Attributes:
        steps: Steps of an epoch.
        batch_size: Items of all ranks together in a step, but for the last one.
    """

    @property
    def steps(self) -> int: ...  # noqa: D102 - see above
    @property
    def batch_size(self) -> int: ...  # noqa: D102

    def batches(self, epoch: int, start: int = 0) -> Iterator[Any]:
        """Yield the batches of an epoch from step `start` on."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PackedLoader:
    """Batches of a split that is packed on a device."""

    packed: PackedSplit
    order: Order
    view: View

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return self.order.steps

    @property
    def batch_size(self) -> int:
        """Items of all ranks together in a step."""
        return self.order.batch_size

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch from step `start` on."""
        for step, indices in enumerate(self.order.indices(epoch, start), start):
            yield self.view.batch(self.packed, indices, self.order.seed, epoch, step, self.order.rank)


class DrawingRows(Protocol):
    """Drawings that are read by their rows, as of `sketchdata.DrawingDataset`."""

    classes: tuple[str, ...]

    def __len__(self) -> int: ...

    def take(self, rows: Sequence[int]) -> DrawingBatch:
        """Return some drawings in the order of `rows`."""


class DrawingImages(torch.utils.data.Dataset[tuple[Any, Tensor]]):
    """Drawings as (image, label), rastered on access; `sketchdata.DrawingDataset.to_torch` makes it.

    Args:
        drawings: Their source.
        size: The side S in pixels, 1..4096.
        line_width: Width in pixels, 1..64.
        dtype: Type of the (1, S, S) images: torch.float32 (None), ink 1; or torch.uint8, ink 255.
        transform: Takes each image and returns what replaces it.

    Raises:
        ConfigError: An option is out of its range.
    """

    def __init__(
        self,
        drawings: DrawingRows,
        *,
        size: int = DEFAULT_SIZE,
        line_width: int = 1,
        dtype: torch.dtype | None = None,
        transform: Callable[[Tensor], Any] | None = None,
    ) -> None:
        if dtype not in (None, torch.float32, torch.uint8):
            raise ConfigError(f"images are torch.float32 or torch.uint8, not {dtype}")
        raster(empty_batch(), size=size, line_width=line_width)  # refuses what is out of range before anything is read
        self.drawings, self.size, self.line_width, self.dtype = drawings, size, line_width, dtype
        self.transform = transform

    @property
    def classes(self) -> tuple[str, ...]:
        """The class table: a label is an index into it."""
        return self.drawings.classes

    def __len__(self) -> int:
        return len(self.drawings)

    def __getitem__(self, row: int) -> tuple[Any, Tensor]:
        return self.__getitems__([row])[0]

    def __getitems__(self, rows: Sequence[int]) -> list[tuple[Any, Tensor]]:
        """Return some items at once, as a DataLoader asks for a batch."""
        batch = self.drawings.take(rows)
        # One thread: DataLoaders have workers for more.
        bitmaps = torch.from_numpy(raster(batch, size=self.size, line_width=self.line_width, threads=1))[:, None]
        images = bitmaps if self.dtype == torch.uint8 else bitmaps.float() / 255
        labels = torch.from_numpy(batch.label.astype(np.int64))
        return [
            (image if self.transform is None else self.transform(image), label)
            for image, label in zip(images, labels, strict=True)
        ]
