"""Batches for training: shuffled by a seed, divided among ranks, and reproducible from any step of an epoch on.

Nothing here has a state: batch `step` of `epoch` is a function of the seed, so a resumed run gets the same batches with
the same augmentation.
"""

from __future__ import annotations

import dataclasses
import math
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import orjson
import torch
import torch.utils.data
from torch import Tensor

from sketchdata.drawings.drawing import DrawingBatch, empty_batch, offsets_of
from sketchdata.drawings.raster import DEFAULT_SIZE, raster
from sketchdata.drawings.sampling import splitmix64
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.training.bitmaps import PackedSplit
from sketchdata.training.packed import Augmentation, pack

#: What the channels of a bitmap hold.
Channels = Literal["ink", "strokes"]
#: Drawings of a stream that are shuffled at a time.
_STREAM_DRAWINGS = 65_536


@dataclass(frozen=True, kw_only=True)
class Order:
    """The order in which N items come, epoch by epoch.

    Attributes:
        count: N.
        batch_size: Items of all ranks together in a step; the last step of an epoch has fewer.
        seed: Of the shuffling.
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
        line_width: In pixels.
        channels: Of the bitmap: ink alone, or also the order and direction of each pixel.
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

    def batch(self, packed: PackedSplit, indices: Tensor, *place: int) -> Batch:
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
        line_width: In pixels, 1..64.
        dtype: Of the (1, S, S) images: torch.float32 (None), ink 1; or torch.uint8, ink 255.
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


@dataclass(frozen=True, kw_only=True, eq=False)
class StreamedLoader:
    """The same over WebDataset shards, for a split that does not fit: `sketchdata export webdataset` makes them.

    Each epoch goes through the shards in another order; 65,536 drawings at a time are shuffled and packed on the
    device. An epoch that begins at a later step reads over what comes before it.

    Attributes:
        shards: The tar files.
        order: Its `count` is the number of all drawings in them.
        view: What is made of each drawing.
        classes: The class table.
        device: Where batches are made.
    """

    shards: Sequence[Path]
    order: Order
    view: View
    classes: tuple[str, ...]
    device: torch.device | str = "cpu"

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return sum(self._order(chunk, 0).steps for chunk in range(math.ceil(self.order.count / self._chunk)))

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch from step `start` on.

        Raises:
            SketchDataError: A shard cannot be read, or there are more or fewer drawings than `order.count`.
        """
        step = 0
        for chunk, samples in enumerate(self._read(epoch)):
            order = self._order(chunk, epoch)
            if len(samples) != order.count:
                raise SketchDataError(f"the shards hold another number of drawings than {self.order.count:,}")
            if step + order.steps > start:
                packed = pack([_to_batch(samples)], self.classes).to(self.device)
                for indices in order.indices(0, max(start - step, 0)):
                    place = max(start, step)
                    yield self.view.batch(packed, indices, self.order.seed, epoch, place, self.order.rank)
                    start = place + 1
            step += order.steps

    @property
    def _chunk(self) -> int:
        return max(_STREAM_DRAWINGS // self.order.batch_size, 1) * self.order.batch_size

    def _order(self, chunk: int, epoch: int) -> Order:
        count = min(self._chunk, self.order.count - chunk * self._chunk)
        seed = generator(self.order.seed, epoch, chunk).initial_seed()
        return dataclasses.replace(self.order, count=count, seed=seed)

    def _read(self, epoch: int) -> Iterator[list[dict[str, Any]]]:
        """Yield all drawings, a chunk at a time; the last one is never empty."""
        shards = Order(
            count=len(self.shards), batch_size=len(self.shards), seed=self.order.seed, shuffle=self.order.shuffle
        )
        samples: list[dict[str, Any]] = []
        for shard in next(shards.indices(epoch)).tolist():
            for sample in read_samples(self.shards[shard]):
                samples.append(sample)
                if len(samples) == self._chunk:
                    yield samples
                    samples = []
        if samples:
            yield samples


def read_samples(shard: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of a tar of `sketchdata export webdataset`.

    Raises:
        SketchDataError: It cannot be read.
    """
    from webdataset.tariterators import tar_file_iterator

    try:
        with shard.open("rb") as file:
            for member in tar_file_iterator(file, select_files=lambda name: name.endswith(".json")):
                yield orjson.loads(member["data"])
    except (tarfile.TarError, OSError, EOFError, orjson.JSONDecodeError) as error:
        raise SketchDataError(f"{shard} cannot be read as a shard of drawings: {error}") from error


def _to_batch(samples: list[dict[str, Any]]) -> DrawingBatch:
    try:
        strokes = [stroke for sample in samples for stroke in sample["drawing"]]
        x, y = (np.frombuffer(b"".join(bytes(stroke[axis]) for stroke in strokes), np.uint8) for axis in (0, 1))
        points = offsets_of(np.array([len(stroke[0]) for stroke in strokes], np.int64))
        if len(x) != points[-1] or len(y) != points[-1]:
            raise ValueError("a stroke has more x than y, or fewer")
        return dataclasses.replace(
            empty_batch(),
            key_id=np.array([int(sample["key_id"]) for sample in samples], np.uint64),
            label=np.array([sample["label"] for sample in samples], np.uint16),
            strokes=offsets_of(np.array([len(sample["drawing"]) for sample in samples], np.int64)),
            points=points,
            x=x,
            y=y,
        )
    except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
        raise SketchDataError(f"a shard holds something else than simplified drawings: {error}") from error
