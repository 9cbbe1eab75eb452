"""Reading a data set of two domains: drawings and photos of the same classes, which are seen, validation or unseen.

On disk it is a data set with splits named `{group}-{domain}`, such as `unseen-photos`. Code that reads the seen classes
therefore opens no file with pictures of unseen classes.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from numpy.lib import format as npy_format
from torch import Tensor

from sketchdata.classes.splits import ClassSplit
from sketchdata.cross_domain.layouts import (
    DOMAINS,
    DRAWINGS,
    GROUPS,
    PHOTOS,
    PIXELS,
    SEEN,
    UNSEEN,
    VALIDATION,
    VECTORS,
    class_split,
    classes_of,
    is_two_domains,
    open_two_domains,
    other_split,
)
from sketchdata.drawings.resize import resize_ink
from sketchdata.errors import ConfigError, FormatError, SketchDataError
from sketchdata.photos.image import Photo, decode
from sketchdata.progress import console, task_bar
from sketchdata.storage import parquet, pictures
from sketchdata.storage.dataset import Dataset
from sketchdata.storage.manifest import MANIFEST_NAME, Manifest, check_listed, hash_file, replacing
from sketchdata.training.bitmaps import moved_pixels
from sketchdata.training.packed import BILINEAR, THINNED, Augmentation, PackedSketches, pack, relabelled

__all__ = [
    "DOMAINS",
    "DRAWINGS",
    "GROUPS",
    "PHOTOS",
    "PIXELS",
    "SEEN",
    "UNSEEN",
    "VALIDATION",
    "VECTORS",
    "DrawingPictures",
    "PhotoPictures",
    "Pictures",
    "TwoDomains",
    "class_split",
    "classes_of",
    "is_two_domains",
    "open_two_domains",
    "other_split",
    "read_classes",
    "read_group",
    "read_shards",
    "squeeze",
]

_WHITE = 255
_THREADS = 8
#: Number of pictures that are decoded at a time while a cache is written.
_AT_ONCE = 256
#: Bytes that remain free on the cache's disk.
_RESERVE = 1 << 30


class Pictures(Protocol):
    """N pictures of one domain.

    Attributes:
        labels: (N,) int16, indices into the class table.
        key_ids: (N,) int64, the bits of the unsigned key_ids.
        classes: The class table.
    """

    @property
    def labels(self) -> Tensor: ...  # noqa: D102 - see above
    @property
    def key_ids(self) -> Tensor: ...  # noqa: D102
    @property
    def classes(self) -> tuple[str, ...]: ...  # noqa: D102

    def __len__(self) -> int: ...

    def pictures(
        self,
        indices: Tensor,
        size: int,
        augment: Augmentation | None = None,
        random: torch.Generator | None = None,
    ) -> Tensor:
        """Return some of the pictures as input of a picture network.

        Args:
            indices: (B,) integers.
            size: Side S in pixels; photos are resized to a square.
            augment: Random changes; pictures that are not strokes ignore the option to leave out strokes.
            random: Generator on the CPU; required with `augment`.

        Returns:
            (B, 3, S, S) uint8 RGB on the device of the pictures; drawings are black on white.

        Raises:
            ConfigError: `augment` without `random`.
            SketchDataError: A stored picture is damaged.
        """

    def of_classes(self, words: Sequence[str]) -> Pictures:
        """Return the pictures of some classes, which become the class table.

        Raises:
            ValueError: A class does not exist.
        """

    def to(self, device: torch.device | str) -> Pictures:
        """Return the same pictures, with batches on another device."""


@dataclass(frozen=True, kw_only=True, eq=False)
class DrawingPictures:
    """Drawings that are strokes, rastered on their device whenever they are needed.

    Attributes:
        sketches: The strokes.
        line_width: Width of lines in pixels.
    """

    sketches: PackedSketches
    line_width: int = 1

    @property
    def labels(self) -> Tensor:
        """(N,) int16, indices into the class table."""
        return self.sketches.labels

    @property
    def key_ids(self) -> Tensor:
        """(N,) int64, the bits of the unsigned key_ids."""
        return self.sketches.key_ids

    @property
    def classes(self) -> tuple[str, ...]:
        """The class table."""
        return self.sketches.classes

    def __len__(self) -> int:
        return len(self.sketches)

    def pictures(
        self,
        indices: Tensor,
        size: int,
        augment: Augmentation | None = None,
        random: torch.Generator | None = None,
    ) -> Tensor:
        """Draw some of them; see `Pictures.pictures`."""
        ink = self.sketches.raster(indices, size, self.line_width, augment, random)
        return (_WHITE - ink).expand(-1, 3, -1, -1)

    def of_classes(self, words: Sequence[str]) -> DrawingPictures:
        """Return the drawings of some classes, which become the class table."""
        return DrawingPictures(sketches=self.sketches.of_classes(words), line_width=self.line_width)

    def to(self, device: torch.device | str) -> DrawingPictures:
        """Return the same drawings on another device."""
        return DrawingPictures(sketches=self.sketches.to(device), line_width=self.line_width)


class _Store(Protocol):
    """A source of pictures; `rows` (B,) int64 → (B, S, S, 3) uint8."""

    def read(self, rows: npt.NDArray[np.int64], size: int) -> npt.NDArray[np.uint8]: ...

    def originals(self, rows: npt.NDArray[np.int64]) -> list[Photo]: ...


@dataclass(frozen=True, kw_only=True, eq=False)
class PhotoPictures:
    """Pictures that are pixels: photos, and drawings of data sets that have no strokes.

    `of_encoded` makes them from files in memory, `read_group` from a data set.

    Attributes:
        store: Source of the pictures, encoded or memory-mapped.
        rows: (N,) int64, rows in the store.
        labels: (N,) int16, indices into the class table.
        key_ids: (N,) int64, the bits of the unsigned key_ids.
        classes: The class table.
        table: Source and author of each: the columns of `storage.pictures.schema` without `image`; None if unknown.
        drawn: Whether they are drawings, which are padded with white; photos are padded by reflection.
        device: Device of the batches.
    """

    store: _Store
    rows: Tensor
    labels: Tensor
    key_ids: Tensor
    classes: tuple[str, ...]
    table: pa.Table | None = None
    drawn: bool = False
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def __len__(self) -> int:
        return len(self.labels)

    def pictures(
        self,
        indices: Tensor,
        size: int,
        augment: Augmentation | None = None,
        random: torch.Generator | None = None,
    ) -> Tensor:
        """Decode some of them; see `Pictures.pictures`."""
        rows = self.rows[indices.cpu()].numpy()
        if self.drawn and augment is not None and augment.resize != BILINEAR:
            return self._moved_ink(rows, size, augment, random).to(self.device)
        pixels = torch.from_numpy(self.store.read(rows, size)).to(self.device).permute(0, 3, 1, 2)
        if augment is None:
            return pixels.contiguous()
        if random is None:
            raise ConfigError("an augmentation needs a random generator, so that a run can be repeated")
        affine, floats = augment.affine(len(rows), random), pixels.to(torch.float32)
        if self.drawn:
            floats = _WHITE - moved_pixels(_WHITE - floats, affine)
        else:
            floats = moved_pixels(floats, affine, beyond="reflection")
        return floats.round_().clamp_(0, _WHITE).to(torch.uint8)

    def _moved_ink(
        self, rows: npt.NDArray[np.int64], size: int, augment: Augmentation, random: torch.Generator | None
    ) -> Tensor:
        if random is None:
            raise ConfigError("an augmentation needs a random generator, so that a run can be repeated")
        maps, found = augment.affine(len(rows), random).numpy(), np.empty((len(rows), size, size), np.uint8)
        for place, picture in enumerate(self.store.originals(rows)):
            ink = _WHITE - np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)
            thinned, own = augment.resize == THINNED, maps[place : place + 1]
            found[place] = _WHITE - resize_ink(ink[None], size, thinned=thinned, affine=own)[0]
        return torch.from_numpy(found)[:, None].expand(-1, 3, -1, -1)

    def of_classes(self, words: Sequence[str]) -> PhotoPictures:
        """Return the pictures of some classes, which become the class table."""
        chosen, labels = relabelled(self.labels, self.classes, words)
        return PhotoPictures(
            store=self.store,
            rows=self.rows[chosen],
            labels=labels,
            key_ids=self.key_ids[chosen],
            classes=tuple(words),
            table=None if self.table is None else self.table.take(chosen.numpy()),
            drawn=self.drawn,
            device=self.device,
        )

    def to(self, device: torch.device | str) -> PhotoPictures:
        """Return the same pictures, with batches sent to another device."""
        return dataclasses.replace(self, device=torch.device(device))

    @classmethod
    def of_array(
        cls, pixels: npt.NDArray[np.uint8], labels: Tensor, key_ids: Tensor, classes: tuple[str, ...]
    ) -> PhotoPictures:
        """Return drawings that are decoded: (N, S, S, 3) uint8, with what `PhotoPictures` says of them."""
        store = _Mapped(arrays=[pixels])
        rows = torch.arange(len(labels))
        return cls(store=store, rows=rows, labels=labels, key_ids=key_ids, classes=classes, drawn=True)

    @classmethod
    def of_encoded(
        cls,
        images: Sequence[bytes],
        labels: npt.NDArray[np.integer],
        key_ids: npt.NDArray[np.uint64],
        classes: Sequence[str],
        *,
        table: pa.Table | None = None,
        drawn: bool = False,
    ) -> PhotoPictures:
        """Return pictures that are decoded on each access, by a few threads.

        Args:
            images: N files: JPEG, PNG, WebP, BMP or GIF.
            labels: (N,), indices into the class table.
            key_ids: (N,).
            classes: The class table.
            table: N rows with the source of each.
            drawn: Whether they are drawings.
        """
        return cls(
            store=_Encoded(images=images, names=key_ids.tolist()),
            rows=torch.arange(len(images)),
            labels=torch.from_numpy(labels.astype(np.int16)),
            key_ids=torch.from_numpy(key_ids.astype(np.uint64).view(np.int64)),
            classes=tuple(classes),
            table=table,
            drawn=drawn,
        )


def squeeze(photo: Photo, size: int) -> Photo:
    """Resize (H, W, 3) uint8 to (S, S, 3), by averages if it shrinks and linearly otherwise."""
    if photo.shape[:2] == (size, size):
        return photo
    shrinks = photo.shape[0] * photo.shape[1] > size * size
    scaled = cv2.resize(photo, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(scaled, np.uint8)


def _decoders() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(min(_THREADS, len(os.sched_getaffinity(0))))


@dataclass(frozen=True, kw_only=True)
class _Encoded:
    """Encoded pictures in memory; `names` are for messages."""

    images: Sequence[bytes]
    names: Sequence[object]
    directory: Path | None = None

    def read(self, rows: npt.NDArray[np.int64], size: int) -> npt.NDArray[np.uint8]:
        """Decode some pictures by a few threads."""
        found = np.empty((len(rows), size, size, 3), np.uint8)

        def fill(place: int) -> None:
            found[place] = squeeze(self._decode(int(rows[place])), size)

        with _decoders() as pool:
            for _ in pool.map(fill, range(len(rows))):
                pass
        return found

    def originals(self, rows: npt.NDArray[np.int64]) -> list[Photo]:
        """Decode some pictures in their own sizes."""
        with _decoders() as pool:
            return list(pool.map(self._decode, rows.tolist()))

    def _decode(self, row: int) -> Photo:
        try:
            return decode(self.images[row])
        except FormatError as error:
            remedy = "" if self.directory is None else f": run `sketchdata verify {self.directory}`"
            raise SketchDataError(f"picture {self.names[row]} cannot be decoded ({error}){remedy}") from error


@dataclass(frozen=True, kw_only=True)
class _Mapped:
    """Decoded pictures on disk, one array after the other: (n, S, S, 3) uint8 each."""

    arrays: Sequence[npt.NDArray[np.uint8]]

    def read(self, rows: npt.NDArray[np.int64], size: int) -> npt.NDArray[np.uint8]:
        """Copy some pictures, reduced to a smaller size than that of the cache if one is asked for."""
        side = self.arrays[0].shape[1]
        if size > side:
            raise ConfigError(f"the cache has pictures of {side} pixels, not of {size}: read the group with that size")
        found = np.empty((len(rows), side, side, 3), np.uint8)
        start = 0
        for array in self.arrays:
            own = (rows >= start) & (rows < start + len(array))
            found[own] = array[rows[own] - start]
            start += len(array)
        return found if side == size else np.stack([squeeze(each, size) for each in found])

    def originals(self, rows: npt.NDArray[np.int64]) -> list[Photo]:
        """Copy some pictures in the size of the cache."""
        return list(self.read(rows, self.arrays[0].shape[1]))


@dataclass(frozen=True, kw_only=True, eq=False)
class TwoDomains:
    """Drawings and photos of the same classes, with one class table.

    Attributes:
        drawings: The drawings.
        photos: The photos.
        classes: The class table of both.
    """

    drawings: Pictures
    photos: Pictures
    classes: tuple[str, ...]


def read_group(
    directory: Path,
    group: str,
    *,
    size: int,
    cache: Path | None = None,
    line_width: int = 1,
    split: ClassSplit | None = None,
) -> TwoDomains:
    """Read the drawings and photos of the seen, the validation or the unseen classes, on the CPU.

    Args:
        directory: Folder that `sketchdata build sbir` made.
        group: One of GROUPS; `seen` is without validation classes.
        size: Side of the pictures in the cache.
        cache: Folder for decoded pictures, which are memory-mapped, if its disk has room. Without it, pictures are
            decoded on each access.
        line_width: Line width in pixels of drawings that are strokes.
        split: Split of the classes that replaces that of the data set. Files of every group with one of the wanted
            classes are opened.

    Returns:
        Both domains, with a class table of that group only.

    Raises:
        ConfigError: The group does not exist or has no classes, or the split names an unknown class.
        SketchDataError: The folder has no data set of two domains, or a shard is damaged.
    """
    manifest = open_two_domains(directory)
    words = classes_of(split or class_split(manifest), group)
    if unknown := [word for word in words if word not in set(manifest.classes)]:
        raise ConfigError(f"{directory} has no class {unknown[0]!r}, which the split names")
    if not words:
        raise ConfigError(f"{directory} has no {group} classes: build it, or split it, with some")
    return read_classes(directory, words, size=size, cache=cache, line_width=line_width)


def read_classes(
    directory: Path, words: Sequence[str], *, size: int, cache: Path | None = None, line_width: int = 1
) -> TwoDomains:
    """Read the drawings and photos of some classes, of any group, on the CPU.

    Args are those of `read_group`; `words` become the class table.

    Raises:
        ValueError: There is no such class.
        SketchDataError: There is no data set of two domains, or a shard is damaged.
    """
    manifest = open_two_domains(directory)
    own = class_split(manifest)
    stored = [each for each in GROUPS if set(classes_of(own, each)) & set(words)]
    kept = None if cache is None else _Cache(folder=cache, size=size)
    drawings: Pictures
    if manifest.config[DRAWINGS] == VECTORS:
        dataset = Dataset(directory=directory, manifest=manifest)
        batches = chain.from_iterable(dataset.batches(f"{each}-{DRAWINGS}") for each in stored)
        packed = pack(batches, manifest.classes).of_classes(words)
        drawings = DrawingPictures(sketches=packed, line_width=line_width)
    else:
        drawings = _read_pixels(directory, manifest, stored, DRAWINGS, kept).of_classes(words)
    photos = _read_pixels(directory, manifest, stored, PHOTOS, kept).of_classes(words)
    return TwoDomains(drawings=drawings, photos=photos, classes=tuple(words))


def read_shards(
    directory: Path, manifest: Manifest, split: str, *, line_width: int = 1
) -> Iterator[DrawingPictures | PhotoPictures]:
    """Yield the pictures of each shard of a split, such as `unseen-photos`, with the class table of the data set.

    Only one shard is in memory at a time.

    Raises:
        SketchDataError: A shard is missing or damaged.
    """
    drawn = split.endswith(f"-{DRAWINGS}")
    for shard in manifest.shards(split):
        path = directory / shard.path
        if drawn and manifest.config[DRAWINGS] == VECTORS:
            check_listed(path, shard.sha256, "make the data set again")
            sketches = pack([parquet.read_shard(path)], manifest.classes)
            yield DrawingPictures(sketches=sketches, line_width=line_width)
            continue
        table = pa.concat_tables(pictures.read_shard(path, shard.sha256, ["key_id", "label", "image"]))
        yield PhotoPictures.of_encoded(
            pictures.image_bytes(table),
            table.column("label").to_numpy(),
            table.column("key_id").to_numpy(),
            manifest.classes,
            drawn=drawn,
        )


@dataclass(frozen=True, kw_only=True)
class _Cache:
    folder: Path
    size: int


def _read_pixels(
    directory: Path, manifest: Manifest, groups: Sequence[str], domain: str, cache: _Cache | None
) -> PhotoPictures:
    splits = [f"{group}-{domain}" for group in groups]
    shards = {split: [directory / shard.path for shard in manifest.shards(split)] for split in splits}
    columns = [name for name in pictures.schema().names if name != "image"]
    paths = list(chain.from_iterable(shards.values()))
    tables = [table for path in paths for table in pictures.read_shard(path, columns=columns)]
    table = pa.concat_tables([pictures.schema().empty_table().select(columns), *tables]).combine_chunks()
    key_ids = table.column("key_id").to_numpy()
    store = None if cache is None else _cached(directory, manifest, shards, cache)
    if store is None:
        store = _Encoded(images=list(_images(paths)), names=key_ids.tolist(), directory=directory)
    return PhotoPictures(
        store=store,
        rows=torch.arange(len(table)),
        labels=torch.from_numpy(table.column("label").to_numpy().astype(np.int16)),
        key_ids=torch.from_numpy(key_ids.view(np.int64).copy()),
        classes=manifest.classes,
        table=table,
        drawn=domain == DRAWINGS,
    )


def _images(paths: Iterable[Path]) -> Iterable[bytes]:
    for path in paths:
        for table in pictures.read_shard(path, columns=["image"]):
            yield from pictures.image_bytes(table)


def _cached(directory: Path, manifest: Manifest, shards: dict[str, list[Path]], cache: _Cache) -> _Store | None:
    """Return memory-mapped decoded pictures, writing missing ones first; None if the disk has no room."""
    digest = hash_file(directory / MANIFEST_NAME, "sha256")
    arrays = []
    for split, paths in shards.items():
        path, count = cache.folder / f"{digest[:16]}-{split}-{cache.size}.npy", manifest.splits[split]
        shape = (count, cache.size, cache.size, 3)
        if not count:
            continue
        if not _is_array(path, shape):
            cache.folder.mkdir(parents=True, exist_ok=True)
            needed, free = int(np.prod(shape)), shutil.disk_usage(cache.folder).free
            if needed + _RESERVE > free:
                console.print(
                    f"{cache.folder} has room for {free / 1e9:,.1f} GB, and the decoded pictures of {split} take "
                    f"{needed / 1e9:,.1f} GB: they are decoded whenever they are needed",
                    soft_wrap=True,
                    highlight=False,
                )
                return None
            _write_array(path, shape, paths, directory)
        arrays.append(np.load(path, mmap_mode="r"))
    return _Mapped(arrays=arrays) if arrays else None


def _is_array(path: Path, shape: tuple[int, ...]) -> bool:
    try:
        array = np.load(path, mmap_mode="r")
    except (OSError, ValueError):
        return False
    return bool(array.shape == shape and array.dtype == np.uint8)


def _write_array(path: Path, shape: tuple[int, ...], shards: Sequence[Path], directory: Path) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    with replacing(path) as file, task_bar() as bar:
        npy_format.write_array_header_1_0(file, header)  # type: ignore[no-untyped-call]
        row = bar.add_task("Decoding pictures", total=shape[0])
        waiting: list[bytes] = []

        def write() -> None:
            store = _Encoded(images=waiting, names=range(len(waiting)), directory=directory)
            file.write(store.read(np.arange(len(waiting)), shape[1]).tobytes())
            bar.advance(row, len(waiting))
            waiting.clear()

        for image in _images(shards):
            waiting.append(image)
            if len(waiting) == _AT_ONCE:
                write()
        write()
