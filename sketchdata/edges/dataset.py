"""Reading a finished set of edge maps as batches of pixels: by index, in order or shuffled, decoded by threads.

    maps = open_edgemaps("data/edgemap-345c", size=112)
    for epoch in range(30):
        for batch in maps.batches("train", batch_size=256, seed=epoch):
            batch.images, batch.labels        # (256, 1, 112, 112) uint8, (256,) uint16

The tars need not be unpacked, and each map can be read independently; `webdataset` reads the same tars as streams. The
columns of an index are those of the pictures (`storage.pictures`) without the picture, then one float32 column per
score, then `tar` (its path in the data set), `offset` and `bytes` of the PNG in it.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from sketchdata.drawings.sampling import below_share, mix_classes, ranks
from sketchdata.errors import ConfigError, FormatError, SketchDataError
from sketchdata.photos import collection
from sketchdata.photos.image import Photo, decode, sniff
from sketchdata.storage import pictures
from sketchdata.storage.catalog import choose_classes
from sketchdata.storage.manifest import FileEntry, Manifest, check_listed, read_manifest, replacing
from sketchdata.storage.parquet import METADATA_KEY

NAME = "edgemap-345c"
SPLITS = TRAIN, VAL = "train", "val"
TARS_FOLDER, INDEX_FOLDER = "shards", "index"
ATTRIBUTION_FILE = "ATTRIBUTION.csv"
#: Columns of ATTRIBUTION.csv about a photo; `maps` follows.
ATTRIBUTION_COLUMNS = ("photo", "page", "author", "licence", "title", "source", "photo_sha256")
#: Side in pixels if the options of the edge maps do not have it. Source: 224 × 224 × 3 in the paper.
DEFAULT_SIDE = 224

_PICTURE_COLUMNS = ("image", "width", "height")
_PLACE = (
    pa.field("tar", pa.dictionary(pa.int32(), pa.string()), nullable=False),
    pa.field("offset", pa.uint64(), nullable=False),
    pa.field("bytes", pa.uint32(), nullable=False),
)
_DICTIONARY_COLUMNS = ["word", "label", "category", "source", "author", "licence", "fetched", "tar"]
_ROW_GROUP_ROWS = 20_000
_TEXTS = ("category", "source", "photo", "page", "author", "licence", "title", "photo_sha256")

Mask = npt.NDArray[np.bool_]


def tar_name(split: str, number: int) -> str:
    """Return a tar's path in the data set."""
    return f"{TARS_FOLDER}/{split}-{number:06d}.tar"


def tars_of(manifest: Manifest, split: str) -> list[FileEntry]:
    """Return a split's tars, in order."""
    return [file for file in manifest.files if file.path.startswith(f"{TARS_FOLDER}/{split}-")]


def index_name(split: str) -> str:
    """Return the path of a split's index in the data set."""
    return f"{INDEX_FOLDER}/{split}.parquet"


def decode_map(png: bytes, side: int) -> Photo:
    """Decode an edge map to (side, side, 3) uint8.

    Raises:
        FormatError: `not a PNG`, `another size`, or a reason of `photos.decode`.
    """
    if (kind := sniff(png)) != "PNG":
        raise FormatError("not a PNG", f"{kind or 'no picture'} of {len(png):,} bytes")
    found = decode(png)
    if found.shape[:2] != (side, side):
        height, width = found.shape[:2]
        raise FormatError("another size", f"{width} × {height} where {side} × {side} was expected")
    return found


def falls_into_val(photo_sha256: Sequence[str], seed: int, share: Fraction) -> Mask:
    """Return which pictures belong to val, those whose photo ranks below the share: (N,) bool.

    The split depends only on the photo, so all crops of a photo are in one split, and new photos do not move others.

    Args:
        photo_sha256: (N,) hexadecimal; the first 8 bytes are ranked (`sampling.ranks`).
        seed: Seed of the ranks.
        share: Expected share of the photos in val.

    Raises:
        SketchDataError: A hash is invalid.
    """
    try:
        ids = np.array([int(sha256[:16], 16) for sha256 in photo_sha256], np.uint64)
    except (ValueError, OverflowError) as error:
        raise SketchDataError(f"expected the sha256 of each photo, from which its split follows: {error}") from error
    return below_share(ranks(ids, seed), share)


def sample(row: Mapping[str, Any], scores: Mapping[str, float], detector: str) -> bytes:
    """Return a map's JSON.

    Every sample has the same keys with values of the same types, since `datasets` takes the types from the first five:
    an unknown text is empty, 64-bit numbers are strings as in the official files, and the box is
    `left,top,right,bottom` in pixels of the upright photo, or `whole`.

    Args:
        row: A row of pictures, without the picture.
        scores: The scores of the audit, with the same names in every sample.
        detector: The edge detector.
    """
    box = [row[edge] for edge in ("x0", "y0", "x1", "y1")]
    content = {
        "key_id": str(row["key_id"]),
        "word": row["word"],
        "label": row["label"],
        "detector": detector,
        "box": "whole" if None in box else ",".join(map(str, box)),
        "phash": f"{row['phash']:016x}",
        **{name: row[name] or "" for name in _TEXTS},
        "fetched": "" if row["fetched"] is None else row["fetched"].isoformat(),
        "scores": dict(scores),
    }
    return orjson.dumps(content)


def index_schema(scores: Iterable[str]) -> pa.Schema:
    """Return the schema of an index with these scores."""
    provenance = [field for field in pictures.schema() if field.name not in _PICTURE_COLUMNS]
    return pa.schema([*provenance, *(pa.field(name, pa.float32()) for name in scores), *_PLACE])


def provenance_columns() -> list[str]:
    """Return the names of the columns that an index has in common with the pictures it was made of."""
    return [name for name in pictures.schema().names if name not in _PICTURE_COLUMNS]


def score_columns(schema: pa.Schema) -> list[str]:
    """Return the names of an index's scores."""
    known = set(index_schema(()).names)
    return [name for name in schema.names if name not in known]


def write_index(path: Path, table: pa.Table, facts: Mapping[str, Any]) -> None:
    """Write an index, whole or not at all; the same rows give the same bytes."""
    metadata = {METADATA_KEY: orjson.dumps(dict(facts), option=orjson.OPT_SORT_KEYS)}
    with replacing(path) as file:
        pq.write_table(
            # In one chunk, because the number of chunks affects the bytes.
            table.unify_dictionaries().combine_chunks().replace_schema_metadata(metadata),
            file,
            row_group_size=_ROW_GROUP_ROWS,
            compression="zstd",
            use_dictionary=_DICTIONARY_COLUMNS,
            write_statistics=["key_id", "label"],
        )


def read_index(path: Path, sha256: str | None = None, columns: Sequence[str] | None = None) -> pa.Table:
    """Read an index, or some of its columns, after checking its sha256 if given.

    Raises:
        SketchDataError: The index is missing or damaged, or has other columns.
    """
    check_listed(path, sha256, "build the data set again")
    try:
        schema = pq.read_schema(path)
        if schema.remove_metadata() != index_schema(score_columns(schema)):
            raise SketchDataError(f"{path} is not an index of edge maps of this version: it has other columns")
        table: pa.Table = pq.read_table(path, columns=columns, partitioning=None)
        return table
    except (pa.ArrowException, OSError) as error:
        raise SketchDataError(f"{path} cannot be read as Parquet: {error}") from error


#: (B, C, S, S) uint8.
Images = npt.NDArray[np.uint8]

_MAX_SIZE = 4096


@dataclass(frozen=True, kw_only=True)
class EdgeMapBatch:
    """B edge maps.

    Attributes:
        images: (B, C, S, S) uint8, as stored: by default black edges on white; `EdgeMaps.ink` says which.
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
    """N edge maps of a split, and the positions of their PNGs.

    Attributes:
        key_ids: (N,) uint64.
        labels: (N,) uint16.
        tars: (N,) int32, indices into `names`.
        offsets: (N,) uint64, offset of each PNG in its tar.
        sizes: (N,) uint32, size of each PNG in bytes.
        names: The tars' paths in the data set.
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
        """Return the edge maps at some rows, in the order of the row numbers."""
        columns = {name: getattr(self, name)[rows] for name in ("key_ids", "labels", "tars", "offsets", "sizes")}
        return Entries(names=self.names, **columns)


@dataclass(frozen=True, kw_only=True)
class EdgeMaps:
    """A finished set of edge maps, read as pictures of `size` × `size` pixels with 1 or 3 channels."""

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
        """The number of edge maps in each split."""
        return self.manifest.splits

    @property
    def ink(self) -> str:
        """`black` on white, or `white` on black."""
        return str(self.manifest.config["edges"].get("ink", "black"))

    def entries(self, split: str, labels: Sequence[int] | None = None) -> Entries:
        """Return a split's edge maps, of some or all classes, in stored order: any prefix is a random sample.

        Raises:
            ConfigError: The split does not exist.
            SketchDataError: The index is missing or damaged.
        """
        if split not in self.manifest.counts:
            raise ConfigError(f"there is no split {split!r}; {self.directory} has {', '.join(self.manifest.counts)}")
        columns = ["key_id", "label", "tar", "offset", "bytes"]
        table = read_index(self.directory / index_name(split), columns=columns)
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
            ConfigError: The class does not exist; the message offers the nearest ones.
        """
        return [self.classes.index(word) for word in choose_classes(self.classes, words)]

    def read(self, entries: Entries) -> EdgeMapBatch:
        """Read and decode some edge maps, in their order.

        Raises:
            SketchDataError: A tar is missing or truncated, or a PNG is damaged.
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
        self, split: str, *, batch_size: int = 256, labels: Sequence[int] | None = None, seed: int | None = None
    ) -> Iterator[EdgeMapBatch]:
        """Yield every edge map of a split once, with read-ahead; the last batch may be smaller.

        Args:
            split: Its name.
            batch_size: Number B of edge maps per batch.
            labels: Labels of the classes to read; None for all.
            seed: Seed of the shuffling, different for each epoch; None keeps the order of the data set.

        Raises:
            ConfigError: The split does not exist, or a batch would be empty.
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
                # A caller that stops early, or after an error, need not wait for the read-ahead.
                for future in ahead:
                    future.cancel()

    def _decode(self, png: bytes, where: str, *, complete: bool) -> Images:
        flags = cv2.IMREAD_GRAYSCALE if self.channels == 1 else cv2.IMREAD_COLOR
        image = cv2.imdecode(np.frombuffer(png, np.uint8), flags) if complete else None
        if image is None:
            fault = "cannot be decoded" if complete else "is cut off"
            raise SketchDataError(f"{where} {fault}: run `sketchdata verify {self.directory}`")
        if image.shape[:2] != (self.size, self.size):
            image = cv2.resize(image, (self.size, self.size), interpolation=cv2.INTER_AREA)
        # OpenCV's channel order is blue, green, red.
        return np.asarray(image[None] if self.channels == 1 else np.moveaxis(image[:, :, ::-1], 2, 0), np.uint8)


def open_edgemaps(
    directory: Path | str, *, size: int | None = None, channels: int = 1, threads: int | None = None
) -> EdgeMaps:
    """Open a data set that `sketchdata build edgemap-345c` made.

    Args:
        directory: Its folder.
        size: The side of the pictures in pixels, resized by area averaging; None for the stored size.
        channels: 1 for grey, 3 for red, green and blue, regardless of the stored channels.
        threads: Number of decoding threads; None for one per usable processor, at most 8.

    Raises:
        ConfigError: An option is out of its range.
        SketchDataError: The data set does not exist, is not finished, or is of another kind.
    """
    directory = Path(directory)
    manifest = read_manifest(directory)
    if "edges" not in manifest.config:
        raise SketchDataError(
            f"{directory} holds {manifest.name}, and a set of edge maps was expected: give the folder that "
            "`sketchdata build edgemap-345c` made"
        )
    side = int(manifest.config["edges"].get("size", DEFAULT_SIDE)) if size is None else size
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
    """Return crops or edge maps of a split, of one class or of all: a fixed random sample.

    key_ids are hashes, so the smallest ones of each class are a random sample; classes are interleaved.

    Raises:
        ConfigError: The split or class does not exist, or the data set does not have pictures of classes.
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
    return stored_pictures(directory, manifest, split, count, label)


def stored_pictures(
    directory: Path, manifest: Manifest, split: str, count: int, label: int | None = None
) -> PictureSample:
    """Return pictures in a split's Parquet shards, of one class or of all, as `first_pictures` does.

    Raises:
        SketchDataError: A file is missing or damaged.
    """
    shards = [directory / shard.path for shard in manifest.shards(split)]
    tables = [pa.concat_tables(pictures.read_shard(path, columns=["key_id", "label"])) for path in shards]
    labels, key_id = (
        np.concatenate([table.column(name).to_numpy() for table in tables]) for name in ("label", "key_id")
    )
    order = mix_classes(labels, key_id)
    chosen = (order if label is None else order[labels[order] == label])[:count]
    ends = np.cumsum([len(table) for table in tables])
    decoded: dict[int, Photo] = {}
    for shard in np.unique(np.searchsorted(ends, chosen, side="right")).tolist():
        start = int(ends[shard]) - len(tables[shard])
        rows = np.sort(chosen[(chosen >= start) & (chosen < ends[shard])])
        whole = pa.concat_tables(pictures.read_shard(shards[shard], columns=["image"]))
        contents = pictures.image_bytes(whole.take(pa.array(rows - start)))
        decoded |= {row: decode(content) for row, content in zip(rows.tolist(), contents, strict=True)}
    return PictureSample(
        pictures=[decoded[row] for row in chosen.tolist()], label=labels[chosen], key_id=key_id[chosen]
    )


def is_edgemaps(manifest: Manifest) -> bool:
    """Return whether a data set is a finished set of edge maps, in tars with an index."""
    return "edges" in manifest.config


def holds_pictures(manifest: Manifest) -> bool:
    """Return whether a data set has crops of photos or edge maps in Parquet shards."""
    return tuple(manifest.counts) == (pictures.UNDIVIDED,) and bool(manifest.shards(pictures.UNDIVIDED))


def noun_of(manifest: Manifest) -> str:
    """Return what a data set's `counts` count, such as `drawings`."""
    if manifest.name == collection.NAME:
        return "annotations"
    if is_edgemaps(manifest) or "detector" in manifest.config:
        return "edge maps"
    return "crops" if holds_pictures(manifest) else "drawings"
