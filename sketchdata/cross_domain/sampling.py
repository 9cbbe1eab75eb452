"""Pairs and triplets of drawings and photos, as functions of seed, epoch and step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sketchdata.errors import ConfigError
from sketchdata.training.loader import Order, generator

#: t of exp(−‖s_i − s_j‖² / t), which prefers classes with similar words. Source: the code of Dey et al.
TEMPERATURE = 0.1


def negative_probabilities(
    classes: int, vectors: npt.NDArray[np.float32] | None = None, temperature: float = TEMPERATURE
) -> npt.NDArray[np.float64]:
    """Return the probability that class j is the negative class of an anchor of class i.

    Args:
        classes: L, at least 2.
        vectors: (L, S) of their words; None makes all other classes equally probable.
        temperature: t.

    Returns:
        (L, L) float64, p_ij ∝ exp(−‖s_i − s_j‖² / t), whose rows sum to 1, 0 on the diagonal.

    Raises:
        ConfigError: There is only one class.
    """
    if classes < 2:
        raise ConfigError(f"triplets need photos of another class, and there are {classes} classes: 2 are needed")
    logits = np.zeros((classes, classes))
    if vectors is not None:
        exact = vectors.astype(np.float64)
        logits = -np.square(exact[:, None] - exact[None]).sum(2) / temperature
    np.fill_diagonal(logits, -np.inf)
    # The nearest class gets exp(0), so that rows of distant (unnormalised) vectors do not underflow to 0.
    weights: npt.NDArray[np.float64] = np.exp(logits - logits.max(1, keepdims=True))
    probabilities: npt.NDArray[np.float64] = weights / weights.sum(1, keepdims=True)
    return probabilities


@dataclass(frozen=True, kw_only=True, eq=False)
class TripletRows:
    """The rows of B triplets: `anchors` of drawings, `positives` and `negatives` of photos, each (B,) int64."""

    anchors: Tensor
    positives: Tensor
    negatives: Tensor


class _DrawingOrder:
    """The drawings of a training, each once per epoch, and the photos of each class.

    Args:
        drawings: (N,) classes of the drawings.
        photos: (M,) classes of the photos.
        classes: L.
        batch_size: Drawings per step, over all ranks.
        seed: Seed of the order and of the photos.
        rank: Rank of this process.
        world_size: Number of processes.

    Raises:
        ConfigError: A class has drawings and no photo.
    """

    def __init__(  # noqa: PLR0913 - as in `Order`
        self,
        drawings: Tensor,
        photos: Tensor,
        classes: int,
        *,
        batch_size: int,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.labels, self.photo_labels = drawings.long().cpu(), photos.long().cpu()
        self.seed, self.rank, self.world_size = seed, rank, world_size
        self.order = Order(count=len(drawings), batch_size=min(batch_size, len(drawings)), seed=seed)
        # Photos are sorted by class, so that the photos of a class are a range.
        self.photos = self.photo_labels.argsort(stable=True)
        self.counts = torch.bincount(self.photo_labels, minlength=classes)
        self.starts = self.counts.cumsum(0) - self.counts
        if (empty := self.counts[self.labels] == 0).any():
            raise ConfigError(f"class {int(self.labels[empty][0])} has drawings and no photo to learn from")

    @property
    def steps(self) -> int:
        """Number of steps per epoch; a last batch with fewer drawings than ranks is skipped."""
        whole, rest = divmod(self.order.count, self.order.batch_size)
        return whole + (rest >= self.world_size)

    def _photo(self, labels: Tensor, random: Tensor) -> Tensor:
        counts = self.counts[labels]
        return self.photos[self.starts[labels] + torch.minimum((random * counts).long(), counts - 1)]


class PairOrder(_DrawingOrder):
    """The pairs of a training: every drawing once per epoch, with a random photo of its class."""

    def rows(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield this rank's rows of drawings and of photos, both (B,) int64, from step `start` of an epoch on."""
        for step, drawings in enumerate(self.order.indices(epoch, start), start):
            if step == self.steps:
                return
            # Of all ranks, so that a step has the same pairs on any number of them.
            random = torch.rand(len(drawings), generator=generator(self.seed, epoch, step), dtype=torch.float64)
            photos = self._photo(self.labels[drawings], random)
            yield drawings[self.rank :: self.world_size], photos[self.rank :: self.world_size]


class TripletOrder(_DrawingOrder):
    """The triplets of a training; every drawing is the anchor of one triplet per epoch.

    Args:
        drawings: (N,) classes of the drawings.
        photos: (M,) classes of the photos.
        negatives: (L, L) probabilities of the negative class, of `negative_probabilities`.
        **options: Of `_DrawingOrder`.

    Raises:
        ConfigError: A class has drawings and no photo.
    """

    def __init__(self, drawings: Tensor, photos: Tensor, negatives: npt.NDArray[np.float64], **options: int) -> None:
        super().__init__(drawings, photos, len(negatives), **options)
        self.cumulated = torch.from_numpy(negatives * (self.counts > 0).numpy()).cumsum(1)

    def rows(self, epoch: int, start: int = 0) -> Iterator[TripletRows]:
        """Yield this rank's triplets of the steps of an epoch, from step `start` on."""
        for step, anchors in enumerate(self.order.indices(epoch, start), start):
            if step == self.steps:
                return
            # Of all ranks, so that a step has the same triplets on any number of them.
            random = torch.rand(3, len(anchors), generator=generator(self.seed, epoch, step), dtype=torch.float64)
            own = self.labels[anchors]
            cumulated = self.cumulated[own]
            other = torch.searchsorted(cumulated, random[1][:, None] * cumulated[:, -1:], right=True).flatten()
            found = (anchors, self._photo(own, random[0]), self._photo(other, random[2]))
            chosen = (rows[self.rank :: self.world_size] for rows in found)
            yield TripletRows(**dict(zip(("anchors", "positives", "negatives"), chosen, strict=True)))


class Inputs(Protocol):
    """The network's input of one domain: pictures or features."""

    def __len__(self) -> int: ...

    def read(self, rows: Tensor, *place: int) -> Tensor:
        """Return pictures, or their features by a frozen picture network.

        Args:
            rows: (B,) int64.
            place: Seeds the augmentation; without values there is none.
        """


@dataclass(frozen=True, kw_only=True, eq=False)
class TripletBatch:
    """B triplets as an objective takes them.

    Attributes:
        epoch: From 0.
        step: Within the epoch, from 0.
        labels: (B,) int64, classes of the anchors and of the positive photos.
        other_labels: (B,) int64, classes of the negative photos.
        anchors: (B, …) of drawings.
        positives: (B, …) of photos.
        negatives: (B, …) of photos.
    """

    epoch: int
    step: int
    labels: Tensor
    other_labels: Tensor
    anchors: Tensor
    positives: Tensor
    negatives: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class TripletLoader:
    """The triplets of a training, of an order, with what the network takes of drawings and photos."""

    order: TripletOrder
    drawings: Inputs
    photos: Inputs

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return self.order.steps

    @property
    def batch_size(self) -> int:
        """Triplets of all ranks together in a step."""
        return self.order.order.batch_size

    def batches(self, epoch: int, start: int = 0) -> Iterator[TripletBatch]:
        """Yield the batches of an epoch from step `start` on."""
        order = self.order
        for step, rows in enumerate(order.rows(epoch, start), start):
            place = (order.seed, epoch, step, order.rank)
            yield TripletBatch(
                epoch=epoch,
                step=step,
                labels=order.labels[rows.anchors],
                other_labels=order.photo_labels[rows.negatives],
                anchors=self.drawings.read(rows.anchors, *place, 0),
                positives=self.photos.read(rows.positives, *place, 1),
                negatives=self.photos.read(rows.negatives, *place, 2),
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class PairBatch:
    """B pairs as an objective takes them.

    Attributes:
        labels: (B,) int64, classes of the pairs.
        drawings: (B, …).
        photos: (B, …).
    """

    labels: Tensor
    drawings: Tensor
    photos: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class PairLoader:
    """The pairs of a training, of an order, with what the network takes of drawings and photos."""

    order: PairOrder
    drawings: Inputs
    photos: Inputs

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return self.order.steps

    @property
    def batch_size(self) -> int:
        """Pairs of all ranks together in a step."""
        return self.order.order.batch_size

    def batches(self, epoch: int, start: int = 0) -> Iterator[PairBatch]:
        """Yield the batches of an epoch from step `start` on."""
        order = self.order
        for step, (drawings, photos) in enumerate(order.rows(epoch, start), start):
            place = (order.seed, epoch, step, order.rank)
            yield PairBatch(
                labels=order.labels[drawings],
                drawings=self.drawings.read(drawings, *place, 0),
                photos=self.photos.read(photos, *place, 1),
            )
