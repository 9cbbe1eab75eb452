"""A finished set of edge maps as batches of pixels: read by the index, in order or shuffled, decoded by threads.

    maps = open_edgemaps("data/edgemap-345c", size=112)
    for epoch in range(30):
        for batch in maps.batches("train", batch_size=256, seed=epoch):
            batch.images, batch.labels        # (256, 1, 112, 112) uint8, (256,) uint16

numpy alone; the tars need not be unpacked, and any map can be had by itself. Those who train from afar, or want no
random access, read the same tars with `webdataset`.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sketchdata import collection
from sketchdata.catalog import choose_classes
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.manifest import Manifest, read_manifest
from sketchdata.photos import Photo, decode
from sketchdata.sampling import mix_classes
from sketchdata.shards import edgemaps, pictures

#: (B, C, S, S) uint8.
Images = npt.NDArray[np.uint8]

_MAX_SIZE = 4096


@dataclass(frozen=True, kw_only=True)
class EdgeMapBatch:
    """B edge maps.

    Attributes:
        images: (B, C, S, S) uint8, as stored: by default black edges on white; `EdgeMaps.ink` tells.
        labels: (B,) uint16, indices into the class table.
        key_ids: (B,) uint64.
    """

    images: Images
    labels: npt.NDArray[np.uint16]
    key_ids: npt.NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, kw_only=True)
class Entries:
    """N edge maps of a split: what they are, and where their PNGs lie.

    Attributes:
        key_ids: (N,) uint64.
        labels: (N,) uint16.
        tars: (N,) int32, indices into `names`.
        offsets: (N,) uint64, of each PNG in its tar.
        sizes: (N,) uint32, bytes of each PNG.
        names: The tars' paths within the data set.
    """

    key_ids: npt.NDArray[np.uint64]
    labels: npt.NDArray[np.uint16]
    tars: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.uint64]
    sizes: npt.NDArray[np.uint32]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: npt.NDArray[np.int64]) -> Entries:
        """Return some of them, in the order of the row numbers."""
        columns = {name: getattr(self, name)[rows] for name in ("key_ids", "labels", "tars", "offsets", "sizes")}
        return Entries(names=self.names, **columns)


@dataclass(frozen=True, kw_only=True)
class EdgeMaps:
    """A finished set of edge maps, and how its pictures are wanted.

    Attributes:
        directory: Its folder.
        manifest: Its manifest.
        size: The side S of the pictures in pixels.
        channels: 1 or 3.
        threads: How many decode at once.
    """

    directory: Path
    manifest: Manifest
    size: int
    channels: int
    threads: int

    @property
    def classes(self) -> tuple[str, ...]:
        """The class table that the labels index."""
        return self.manifest.classes

    @property
    def splits(self) -> dict[str, int]:
        """Edge maps in each split."""
        return self.manifest.splits

    @property
    def ink(self) -> str:
        """`black` on white, or `white` on black."""
        return str(self.manifest.config["edges"].get("ink", "black"))

    def entries(self, split: str, labels: Sequence[int] | None = None) -> Entries:
        """Return a split's edge maps, of some classes or of all, in the data set's order: any prefix is a fair sample.

        Raises:
            ConfigError: There is no such split.
            SketchDataError: The index is missing or damaged.
        """
        if split not in self.manifest.counts:
            raise ConfigError(f"there is no split {split!r}; {self.directory} has {', '.join(self.manifest.counts)}")
        columns = ["key_id", "label", "tar", "offset", "bytes"]
        table = edgemaps.read_index(self.directory / edgemaps.index_name(split), columns=columns)
        tars = table.column("tar").combine_chunks()
        found = Entries(
            key_ids=table.column("key_id").to_numpy(),
            labels=table.column("label").to_numpy(),
            tars=tars.indices.to_numpy().astype(np.int32),
            offsets=table.column("offset").to_numpy(),
            sizes=table.column("bytes").to_numpy(),
            names=tuple(tars.dictionary.to_pylist()),
        )
        return found if labels is None else found.take(np.flatnonzero(np.isin(found.labels, labels)))

    def labels_of(self, words: str) -> list[int]:
        """Return the labels of some classes, named in a comma-separated list.

        Raises:
            ConfigError: There is no such class; the message offers the nearest ones.
        """
        return [self.classes.index(word) for word in choose_classes(self.classes, words)]

    def read(self, entries: Entries) -> EdgeMapBatch:
        """Read and decode some edge maps, in their order.

        Raises:
            SketchDataError: A tar is missing or cut off, or one of the PNGs is damaged.
        """
        images = np.empty((len(entries), self.channels, self.size, self.size), np.uint8)
        for tar in np.unique(entries.tars).tolist():
            path = self.directory / entries.names[tar]
            try:
                file = os.open(path, os.O_RDONLY)
            except OSError as error:
                raise SketchDataError(f"{path} cannot be read: {error.strerror}; build the data set again") from error
            try:
                for row in np.flatnonzero(entries.tars == tar).tolist():
                    size, key_id = int(entries.sizes[row]), int(entries.key_ids[row])
                    png = os.pread(file, size, int(entries.offsets[row]))
                    images[row] = self._decode(png, f"{path}: {key_id}.png", complete=len(png) == size)
            finally:
                os.close(file)
        return EdgeMapBatch(images=images, labels=entries.labels, key_ids=entries.key_ids)

    def batches(
        self,
        split: str,
        *,
        batch_size: int = 256,
        labels: Sequence[int] | None = None,
        seed: int | None = None,
    ) -> Iterator[EdgeMapBatch]:
        """Yield every edge map of a split once; the last batch may be smaller. A few batches are read ahead.

        Args:
            split: Its name.
            batch_size: The edge maps B in a batch.
            labels: Of the classes that are wanted; None for all.
            seed: Shuffles, the same for the same seed; None keeps the data set's order. Give each epoch its own.

        Raises:
            ConfigError: There is no such split, or a batch would be empty.
            SketchDataError: The data set is damaged.
        """
        if batch_size < 1:
            raise ConfigError(f"a batch has at least 1 edge map, not {batch_size}")
        entries = self.entries(split, labels)
        rows = np.arange(len(entries)) if seed is None else np.random.default_rng(seed).permutation(len(entries))
        ahead: deque[Future[EdgeMapBatch]] = deque()
        with ThreadPoolExecutor(self.threads) as pool:
            try:
                for start in range(0, len(rows), batch_size):
                    ahead.append(pool.submit(self.read, entries.take(rows[start : start + batch_size])))
                    if len(ahead) > self.threads:
                        yield ahead.popleft().result()
                while ahead:
                    yield ahead.popleft().result()
            finally:
                # Whoever stops early, or meets damage, need not wait for what was read ahead.
                for future in ahead:
                    future.cancel()

    def _decode(self, png: bytes, where: str, *, complete: bool) -> Images:
        """Decode a PNG to (C, S, S)."""
        flags = cv2.IMREAD_GRAYSCALE if self.channels == 1 else cv2.IMREAD_COLOR
        image = cv2.imdecode(np.frombuffer(png, np.uint8), flags) if complete else None
        if image is None:
            fault = "cannot be decoded" if complete else "is cut off"
            raise SketchDataError(f"{where} {fault}: run `sketchdata verify {self.directory}`")
        if image.shape[:2] != (self.size, self.size):
            image = cv2.resize(image, (self.size, self.size), interpolation=cv2.INTER_AREA)
        # OpenCV has blue first.
        return np.asarray(image[None] if self.channels == 1 else np.moveaxis(image[:, :, ::-1], 2, 0), np.uint8)


def open_edgemaps(
    directory: Path | str, *, size: int | None = None, channels: int = 1, threads: int | None = None
) -> EdgeMaps:
    """Open what `sketchdata build edgemap-345c` made.

    Args:
        directory: Its folder.
        size: The side of the pictures in pixels; None for that of the stored ones, of which others are made by
            averaging over areas.
        channels: 1 for grey, 3 for red, green and blue, whatever is stored.
        threads: How many decode at once; None for as many as this process has processors, 8 at most.

    Raises:
        ConfigError: An option is out of its range.
        SketchDataError: The data set is not there, not finished, or another one.
    """
    directory = Path(directory)
    manifest = read_manifest(directory)
    if "edges" not in manifest.config:
        raise SketchDataError(
            f"{directory} holds {manifest.name}, and a set of edge maps was expected: give the folder that "
            "`sketchdata build edgemap-345c` made"
        )
    side = int(manifest.config["edges"].get("size", edgemaps.DEFAULT_SIDE)) if size is None else size
    if not 1 <= side <= _MAX_SIZE:
        raise ConfigError(f"edge maps have sides of 1 to {_MAX_SIZE:,} pixels, not {side}")
    if channels not in (1, 3):
        raise ConfigError(f"edge maps have 1 or 3 channels, not {channels}")
    if threads is not None and threads < 1:
        raise ConfigError(f"at least 1 thread must decode, not {threads}")
    processors = min(len(os.sched_getaffinity(0)), 8)
    return EdgeMaps(directory=directory, manifest=manifest, size=side, channels=channels, threads=threads or processors)


@dataclass(frozen=True, kw_only=True)
class PictureSample:
    """N pictures: (H, W, 3) uint8 each, of any sizes; (N,) labels; (N,) key_ids."""

    pictures: list[Photo]
    label: npt.NDArray[np.uint16]
    key_id: npt.NDArray[np.uint64]


def first_pictures(directory: Path, manifest: Manifest, split: str, count: int, word: str | None) -> PictureSample:
    """Return crops or edge maps of a split, of one class or of all: a random sample, the same always.

    key_ids are hashes, so the smallest ones of each class are a random sample; classes are mixed.

    Raises:
        ConfigError: There is no such split or class, or the data set holds no pictures of classes.
        SketchDataError: A file is missing or damaged.
    """
    if split not in manifest.counts:
        raise ConfigError(f"there is no split {split!r}; {directory} has {', '.join(manifest.counts)}")
    label = None if word is None else manifest.classes.index(choose_classes(manifest.classes, word)[0])
    if is_edgemaps(manifest):
        maps = open_edgemaps(directory, channels=3)
        entries = maps.entries(split, None if label is None else [label])
        found = maps.read(entries.take(np.arange(min(count, len(entries)))))
        shown = [np.moveaxis(image, 0, 2) for image in found.images]
        return PictureSample(pictures=shown, label=found.labels, key_id=found.key_ids)
    if not holds_pictures(manifest):
        raise ConfigError(f"{directory} holds {manifest.name}, which has no pictures of classes to show")
    return _first_of_shards(directory, [shard.path for shard in manifest.shards(split)], count, label)


def _first_of_shards(directory: Path, shards: Sequence[str], count: int, wanted: int | None) -> PictureSample:
    columns = ["key_id", "label"]
    tables = [pa.concat_tables(pictures.read_shard(directory / path, columns=columns)) for path in shards]
    label, key_id = (
        np.concatenate([table.column(name).to_numpy() for table in tables]) for name in ("label", "key_id")
    )
    order = mix_classes(label, key_id)
    chosen = (order if wanted is None else order[label[order] == wanted])[:count]
    ends = np.cumsum([len(table) for table in tables])
    shown: dict[int, Photo] = {}
    for shard in np.unique(np.searchsorted(ends, chosen, side="right")).tolist():
        start = int(ends[shard]) - len(tables[shard])
        rows = np.sort(chosen[(chosen >= start) & (chosen < ends[shard])])
        whole = pa.concat_tables(pictures.read_shard(directory / shards[shard], columns=["image"]))
        contents = pictures.image_bytes(whole.take(pa.array(rows - start)))
        shown |= {row: decode(content) for row, content in zip(rows.tolist(), contents, strict=True)}
    return PictureSample(pictures=[shown[row] for row in chosen.tolist()], label=label[chosen], key_id=key_id[chosen])


def is_edgemaps(manifest: Manifest) -> bool:
    """Tell whether a data set is a finished set of edge maps, in tars with an index."""
    return "edges" in manifest.config


def holds_pictures(manifest: Manifest) -> bool:
    """Tell whether a data set holds crops of photos or edge maps in Parquet shards."""
    return tuple(manifest.counts) == (pictures.UNDIVIDED,) and bool(manifest.shards(pictures.UNDIVIDED))


def noun_of(manifest: Manifest) -> str:
    """Return what people call that which a data set's `counts` count."""
    if manifest.name == collection.NAME:
        return "annotations"
    if is_edgemaps(manifest) or "detector" in manifest.config:
        return "edge maps"
    return "crops" if holds_pictures(manifest) else "drawings"
