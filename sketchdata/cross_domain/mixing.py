"""Drawings, photos and edge maps of the same classes under one classifier: their samples, and the network that learns.

Source: Wang, Bai, Fu, Yang and Bai, "Deep sketch feature for cross-domain image retrieval", Neurocomputing 2016,
sections 3.3, 4.1 and 4.2. A drawing is seen in one of 18 views; a photo is squeezed to 256² pixels, of which a patch of
227² is seen, one of nine and their mirror images; so is the binarised edge map of a photo.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from sketchdata.cross_domain.dataset import DRAWINGS, DrawingPictures, Pictures, is_two_domains, read_classes
from sketchdata.cross_domain.encoder import SpaceEncoder, read_space
from sketchdata.cross_domain.options import MixOptions
from sketchdata.cross_domain.sampling import Inputs
from sketchdata.drawings.resize import resize_ink
from sketchdata.drawings.sampling import splitmix64
from sketchdata.edges import Detector
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.progress import task_bar
from sketchdata.storage.dataset import open_dataset
from sketchdata.storage.manifest import read_manifest, replacing
from sketchdata.training.encoder import DrawingNetwork
from sketchdata.training.experiment import accuracy
from sketchdata.training.loader import Batch, Order, View, generator
from sketchdata.training.packed import Augmentation, pack, relabelled
from sketchdata.training.voting import RandomView, Views

_WHITE = 255
#: Side of a photo, and of the patches of it: the paper's.
WHOLE, PATCH = 256, 227
#: Patches along each axis.
PATCHES = 3
#: Side at which photos are searched for edges: smaller, detectors find little.
EDGE_SIDE = 256
#: Set apart from other uses of the same hash; any numbers would do, but they must never change.
_FOLD_KEY, _VALIDATION_KEY = np.uint64(0x64736620666F6C64), np.uint64(0x647366202076616C)


# ---- which pictures --------------------------------------------------------------------------------------------------


def fold_of(key_ids: Tensor, folds: int) -> npt.NDArray[np.int64]:
    """Return the fold of pictures, 0..folds - 1, by a keyed hash: (N,) int64.

    Folds have equal sizes in expectation, and pictures that are added move no other one.
    """
    ranks = splitmix64(key_ids.cpu().numpy().view(np.uint64) ^ _FOLD_KEY)
    return (ranks % np.uint64(folds)).astype(np.int64)


def held_for_validation(key_ids: Tensor, share: float) -> npt.NDArray[np.bool_]:
    """Return which pictures are in a share for validation, by another keyed hash: (N,) bool."""
    ranks = splitmix64(key_ids.cpu().numpy().view(np.uint64) ^ _VALIDATION_KEY)
    return ranks < np.uint64(int(share * 2**64))


def parse_fold(text: str) -> tuple[int, int]:
    """Return `k/n` as (k, n).

    >>> parse_fold("1/3")
    (1, 3)

    Raises:
        ConfigError: It is something else.
    """
    first, _, last = text.partition("/")
    if not (first.isascii() and first.isdecimal() and last.isascii() and last.isdecimal() and len(text) < 10):
        raise ConfigError(f"--fold is the number of a fold and that of all folds, as in 1/3, not {text}")
    number, folds = int(first), int(last)
    if not 1 <= number <= folds or folds < 2:
        raise ConfigError(f"--fold {text}: there are at least 2 folds, and the first is 1")
    return number, folds


@dataclass(frozen=True, kw_only=True, eq=False)
class MixedData:
    """The drawings and photos of a data set, and which of them are learned from.

    Attributes:
        drawings: All drawings.
        photos: All photos; None for a data set of drawings alone.
        learned: (N,) int64, rows of drawings to learn from.
        validation: (N,) int64, rows of drawings that choose the epoch; empty without a share for them.
        held: (N,) int64, rows of drawings that are neither.
        learned_photos: (M,) int64, rows of photos to learn from.
        held_photos: (M,) int64, the others.
    """

    drawings: Pictures
    photos: Pictures | None
    learned: Tensor
    validation: Tensor
    held: Tensor
    learned_photos: Tensor
    held_photos: Tensor

    @property
    def classes(self) -> tuple[str, ...]:
        """The class table."""
        return self.drawings.classes


def read_mixed(
    data: Path,
    options: MixOptions,
    *,
    size: int,
    line_width: int,
    cache: Path | None = None,
    words: Sequence[str] | None = None,
) -> MixedData:
    """Read all classes of a data set, on the CPU, and divide its pictures.

    Args:
        data: A data set of two domains, whose groups of classes are all taken, or one of drawings alone.
        options: How to divide it.
        size: Side of photos that are kept decoded.
        line_width: Of drawings that are strokes, in pixels.
        cache: Folder where pictures are kept decoded.
        words: Classes to read, which become the class table; None for all.

    Raises:
        ConfigError: --fold is no fold.
        SketchDataError: There is no data set, or a shard is damaged.
    """
    manifest = read_manifest(data)
    photos: Pictures | None = None
    if is_two_domains(manifest):
        both = read_classes(data, words or manifest.classes, size=size, cache=cache, line_width=line_width)
        drawings, photos, splits = both.drawings, both.photos, None
    else:
        dataset = open_dataset(data, None)
        packed = pack(chain.from_iterable(map(dataset.batches, manifest.splits)), manifest.classes)
        splits = np.repeat(list(manifest.splits), list(manifest.splits.values()))
        if words is not None:
            splits = splits[relabelled(packed.labels, manifest.classes, words)[0].numpy()]
            packed = packed.of_classes(words)
        drawings = DrawingPictures(sketches=packed, line_width=line_width)
    held: npt.NDArray[np.bool_] = np.zeros(len(drawings), np.bool_)
    validation = held_for_validation(drawings.key_ids, options.validation_share)
    fold = None if options.fold is None else parse_fold(options.fold)
    if fold is not None:
        held = fold_of(drawings.key_ids, fold[1]) == fold[0] - 1
    elif splits is not None and {"train", "val"} <= set(splits):
        held, validation = ~np.isin(splits, ["train", "val"]), np.isin(splits, ["val"])
    learned = ~held & ~validation
    held_photos = np.zeros(0 if photos is None else len(photos), bool)
    if photos is not None and fold is not None and options.fold_photos:
        held_photos = fold_of(photos.key_ids, fold[1]) == fold[0] - 1
    rows = [torch.from_numpy(np.flatnonzero(each)) for each in (learned, validation & ~held, held)]
    photo_rows = [torch.from_numpy(np.flatnonzero(each)) for each in (~held_photos, held_photos)]
    return MixedData(
        drawings=drawings,
        photos=photos,
        learned=rows[0],
        validation=rows[1],
        held=rows[2],
        learned_photos=photo_rows[0],
        held_photos=photo_rows[1],
    )


# ---- what the network reads ------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, eq=False)
class DrawingViews:
    """Drawings as black lines on white, of which one of N views is learned from, and the upright one is measured.

    Attributes:
        pictures: The drawings.
        size: Side of the pictures in pixels.
        views: N, a key of VIEW_ANGLES.
        resize: How drawings that are pixels are resized, of RESIZES; strokes are rastered after they are turned.
    """

    pictures: Pictures
    size: int
    views: int
    resize: str

    def __len__(self) -> int:
        return len(self.pictures)

    def read(self, rows: Tensor, *place: int) -> Tensor:
        """Return (B, 3, S, S) uint8."""
        augment = RandomView(count=self.views, how=self.resize) if place else Views(count=1, how=self.resize)
        return self.pictures.pictures(rows, self.size, augment, generator(*(place or (0,))))


def whole_side(size: int) -> int:
    """Return the side of a photo of which patches of a size are cut."""
    return round(size * WHOLE / PATCH)


def cut_patches(pictures: Tensor, size: int, random: torch.Generator) -> Tensor:
    """Cut one of nine patches, evenly spaced, or of their mirror images, from each picture.

    Args:
        pictures: (B, C, W, W).
        size: S, at most W.
        random: Draws the patches.

    Returns:
        (B, C, S, S).
    """
    beyond = pictures.shape[-1] - size
    starts = [round(beyond * step / (PATCHES - 1)) for step in range(PATCHES)]
    chosen = torch.randint(2 * PATCHES**2, (len(pictures),), generator=random).tolist()
    found = []
    for picture, number in zip(pictures, chosen, strict=True):
        top, left = starts[number // 2 // PATCHES], starts[number // 2 % PATCHES]
        patch = picture[:, top : top + size, left : left + size]
        found.append(patch.flip(2) if number % 2 else patch)
    return torch.stack(found)


@dataclass(frozen=True, kw_only=True, eq=False)
class PhotoPatches:
    """Photos, of which a patch is learned from, and the whole is measured."""

    pictures: Pictures
    size: int
    patches: bool

    def __len__(self) -> int:
        return len(self.pictures)

    def read(self, rows: Tensor, *place: int) -> Tensor:
        """Return (B, 3, S, S) uint8."""
        if not place or not self.patches:
            return self.pictures.pictures(rows, self.size)
        return cut_patches(self.pictures.pictures(rows, whole_side(self.size)), self.size, generator(*place))


@dataclass(frozen=True, kw_only=True, eq=False)
class EdgeMaps:
    """The binarised edge maps of photos, black on white, each ink pixel in one bit.

    Attributes:
        bits: (N, ⌈W² / 8⌉) uint8.
        whole: W.
        size: Side of the pictures in pixels.
        patches: Whether patches are learned from.
    """

    bits: npt.NDArray[np.uint8]
    whole: int
    size: int
    patches: bool

    def __len__(self) -> int:
        return len(self.bits)

    def read(self, rows: Tensor, *place: int) -> Tensor:
        """Return (B, 3, S, S) uint8."""
        side = self.whole
        ink = np.unpackbits(self.bits[rows.cpu().numpy()], axis=1, count=side * side).reshape(-1, side, side) * _WHITE
        if place and self.patches:
            cut = cut_patches(torch.from_numpy(ink)[:, None], self.size, generator(*place))
        else:
            cut = torch.from_numpy(resize_ink(ink, self.size))[:, None]
        return (_WHITE - cut).expand(-1, 3, -1, -1)


def binarised(strength: npt.NDArray[np.uint8], threshold: float) -> npt.NDArray[np.uint8]:
    """Return where an edge map has at least a share of its maximum: (H, W) uint8 → (H, W) uint8, 255 there, else 0."""
    most = int(strength.max(initial=0))
    found = (strength >= threshold * most) & (strength > 0)
    return found.astype(np.uint8) * np.uint8(_WHITE)


def find_edges(path: Path, photos: Pictures, find: Detector, threshold: float, size: int, *, patches: bool) -> EdgeMaps:
    """Find the edges of all photos, unless the file has them.

    Args:
        path: A `.npy` of bits, written whole or not at all.
        photos: The photos.
        find: The detector.
        threshold: As for `binarised`.
        size: Side of the pictures in pixels.
        patches: Whether patches are learned from.

    Raises:
        SketchDataError: A photo cannot be read.
    """
    whole = whole_side(size)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = []
        with task_bar() as bar:
            shown = bar.add_task("Finding edges", total=len(photos))
            for some in torch.split(torch.arange(len(photos)), 16):
                pictures = photos.pictures(some, max(EDGE_SIDE, whole)).permute(0, 2, 3, 1).contiguous().cpu().numpy()
                ink = np.stack([binarised(find(picture), threshold) for picture in pictures])
                rows.append(np.packbits(resize_ink(ink, whole).reshape(len(ink), -1) > 0, axis=1))
                bar.advance(shown, len(some))
        with replacing(path) as file:
            np.save(file, np.concatenate(rows), allow_pickle=False)
    return EdgeMaps(bits=np.load(path, mmap_mode="r"), whole=whole, size=size, patches=patches)


@dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """Pictures of one domain that are learned from.

    Attributes:
        name: Of the domain.
        inputs: The pictures.
        rows: (N,) int64, those that are learned from.
        labels: (N,) int64, their classes.
        times: How often each comes in an epoch.
    """

    name: str
    inputs: Inputs
    rows: Tensor
    labels: Tensor
    times: int = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class MixedBatch:
    """B pictures of all domains.

    Attributes:
        pictures: (B, 3, S, S) uint8.
        labels: (B,) int64.
        domains: (B,) int64, indices into the sources.
    """

    pictures: Tensor
    labels: Tensor
    domains: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class MixedLoader:
    """The batches of a training on several domains: all pictures of an epoch in one shuffled order."""

    sources: Sequence[Source]
    order: Order

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return self.order.steps

    @property
    def batch_size(self) -> int:
        """Pictures of all ranks together in a step."""
        return self.order.batch_size

    def batches(self, epoch: int, start: int = 0) -> Iterator[MixedBatch]:
        """Yield the batches of an epoch from step `start` on."""
        for step, indices in enumerate(self.order.indices(epoch, start), start):
            pictures, labels, domains, first = [], [], [], 0
            for number, source in enumerate(self.sources):
                count = len(source.rows) * source.times
                own = indices[(indices >= first) & (indices < first + count)] - first
                first += count
                if not len(own):
                    continue
                own = own % len(source.rows)
                place = (self.order.seed, epoch, step, self.order.rank, number)
                pictures.append(source.inputs.read(source.rows[own], *place))
                labels.append(source.labels[own])
                domains.append(torch.full((len(own),), number))
            device = pictures[0].device
            yield MixedBatch(
                pictures=torch.cat([each.to(device) for each in pictures]),
                labels=torch.cat(labels),
                domains=torch.cat(domains),
            )


# ---- the network -----------------------------------------------------------------------------------------------------


class MixedObjective(nn.Module):
    """The cross entropy of one classifier of all domains."""

    def __init__(self, encoder: SpaceEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, batch: MixedBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss, and the accuracy."""
        scores = class_scores(self.encoder, batch.pictures)
        labels = batch.labels.to(scores.device)
        return functional.cross_entropy(scores, labels), {"accuracy": accuracy(scores, labels)}


def class_scores(encoder: SpaceEncoder, pictures: Tensor) -> Tensor:
    """Return the scores of pictures of any domain: (B, 3, S, S) uint8 → (B, L) float32."""
    found: Tensor = encoder.branch(DRAWINGS).scores(encoder.normalised(pictures))
    return found.float()


class MixedClassifier(DrawingNetwork):
    """The network of `train dsf` as one that recognises drawings, in `evaluate` and `recognise`.

    Args:
        encoder: Its branch is a classifier.
    """

    def __init__(self, encoder: SpaceEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    @property
    def view(self) -> View:
        """What the network reads of a drawing."""
        architecture = self.encoder.architecture
        return View(
            size=architecture.size,
            line_width=architecture.line_width,
            max_points=None,
            augment=Views(count=1, how=str(architecture.settings["resize"])),
        )

    @property
    def classes(self) -> tuple[str, ...]:
        """The class table of its training data."""
        return self.encoder.classes

    @property
    def width(self) -> int:
        """Width D of the classifier's input."""
        return int(self.encoder.branch(DRAWINGS).trunk.feature_size)

    @property
    def classifier(self) -> nn.Module:
        """The last layer."""
        found: nn.Module = self.encoder.branch(DRAWINGS).classifier
        return found

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the classifier's input and the scores of each drawing: (B, D), (B, L) float32."""
        assert batch.raster is not None  # noqa: S101 - the view makes one
        pictures = (_WHITE - batch.raster).expand(-1, 3, -1, -1)
        branch = self.encoder.branch(DRAWINGS)
        features = branch.trunk.extract(self.encoder.normalised(pictures))
        return features.float(), branch.classifier(features).float()


def holds_classifier(folder: Path) -> bool:
    """Tell whether a run folder that holds a space has a classifier of its drawings: whether `train dsf` made it."""
    return read_space(folder).architecture.branch == "classifier"


def read_classifier(folder: Path) -> MixedClassifier:
    """Return the network of a run of `train dsf` as one that recognises drawings, in evaluation mode.

    Raises:
        SketchDataError: Its training is not whole or of another kind, or the file is damaged.
    """
    encoder = read_space(folder)
    if encoder.architecture.branch != "classifier":
        raise SketchDataError(
            f"{folder} holds a space of drawings and photos without a classifier: take a run of `sketchdata train dsf` "
            "or `sketchdata train recognition`"
        )
    return MixedClassifier(encoder).eval()


@dataclass(frozen=True, kw_only=True, eq=False)
class DrawnSplit:
    """Some rows of the drawings of a data set of two domains, as networks of drawings take them.

    Attributes:
        pictures: All drawings.
        rows: (N,) int64.
        classes: The class table, which has all classes of `pictures`.
    """

    pictures: Pictures
    rows: Tensor
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def labels(self) -> Tensor:
        """(N,) int16, indices into the class table."""
        own = self.pictures.labels[self.rows.to(self.pictures.labels.device)]
        places = torch.tensor([self.classes.index(word) for word in self.pictures.classes], dtype=torch.int16)
        return places.to(own.device)[own.long()]

    @property
    def device(self) -> torch.device:
        """Where batches are made."""
        return self.pictures.labels.device

    def to(self, device: torch.device | str) -> DrawnSplit:
        """Return the same drawings on another device."""
        return DrawnSplit(pictures=self.pictures.to(device), rows=self.rows, classes=self.classes)

    def raster(
        self,
        indices: Tensor,
        size: int,
        line_width: int,
        augment: Augmentation | None = None,
        random: torch.Generator | None = None,
    ) -> Tensor:
        """Return (B, 1, S, S) uint8, ink up to 255 on background 0; lines are as wide as those of `pictures`."""
        del line_width
        return _WHITE - self.pictures.pictures(self.rows[indices.cpu()], size, augment, random)[:, :1]

    def stroke_picture(
        self,
        indices: Tensor,
        size: int,
        line_width: int,
        augment: Augmentation | None = None,
        random: torch.Generator | None = None,
    ) -> Tensor:
        """Raise ConfigError."""
        raise ConfigError("a network of drawings and photos reads ink alone")

    def sequence(
        self,
        indices: Tensor,
        max_points: int,
        scale: float,
        augment: Augmentation | None = None,
        random: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Raise ConfigError."""
        raise ConfigError("a network of drawings and photos reads no points")
