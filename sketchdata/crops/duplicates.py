"""Which crops stay, of those that show the same."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sketchdata.crops.chunk import read_chunk
from sketchdata.errors import SketchDataError
from sketchdata.manifest import replacing
from sketchdata.near_duplicates import THUMBNAIL_BYTES, Hashes, Thumbnails, kept_of
from sketchdata.photos import hamming
from sketchdata.shards import pictures

COLUMNS = ("key_id", "word", "kept_key_id", "kept_word", "bits", "kind", "photo", "kept_photo")
EXACT, NEAR = "exact", "near"

_READ = ("key_id", "label", "phash", "photo", "x0", "area", "content", "thumbnail")


@dataclass(frozen=True, kw_only=True)
class Crops:
    """All N crops, duplicates among them, chunk after chunk.

    Attributes:
        key_id: (N,) uint64.
        label: (N,) uint16.
        phash: (N,) uint64.
        boxed: (N,) bool: whether there is an annotated box.
        area: (N,) uint32, of the crops in the photos, in pixels.
        content: (N,) uint64, equal for equal pictures.
        thumbnail: (N, 256) uint8.
        photo: (N,) strings.
        starts: (chunks + 1,) int64, where each chunk's rows begin.
    """

    key_id: npt.NDArray[np.uint64]
    label: npt.NDArray[np.uint16]
    phash: Hashes
    boxed: npt.NDArray[np.bool_]
    area: npt.NDArray[np.uint32]
    content: npt.NDArray[np.uint64]
    thumbnail: Thumbnails
    photo: pa.ChunkedArray
    starts: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.key_id)


def read_crops(paths: Sequence[Path]) -> Crops:
    """Read of all chunks what finding duplicates needs; the pictures stay on disk."""
    tables = [read_chunk(path, _READ) for path in paths]
    table = pa.concat_tables(tables)
    return Crops(
        **{name: table[name].to_numpy() for name in ("key_id", "label", "phash", "area", "content")},
        boxed=table["x0"].is_valid().to_numpy(),
        thumbnail=np.concatenate([_bytes(chunk) for chunk in table["thumbnail"].chunks]),
        photo=table["photo"],
        starts=np.cumsum([0, *map(len, tables)]),
    )


def _bytes(thumbnails: pa.FixedSizeBinaryArray) -> Thumbnails:
    """Return (n,) fixed-size binary values as (n, 256) uint8, without a copy."""
    return np.frombuffer(thumbnails.buffers()[1], np.uint8).reshape(-1, THUMBNAIL_BYTES)[: len(thumbnails)]


def choose(crops: Crops, near: int | None) -> npt.NDArray[np.int64]:
    """Return for each crop which one stays for it: itself, or an equal or nearly equal one. (N,) int64.

    Of those that show the same, the one stays that has an annotated box, then the larger one, then that of the smallest
    key_id. The class does not matter: what two classes claim goes to one of them.

    Args:
        crops: All of them.
        near: In how many bits the hashes of near duplicates may differ; None: only equal pictures are duplicates.

    Raises:
        SketchDataError: Two different crops that stay have one key_id.
    """
    order = np.lexsort((crops.key_id, -crops.area.astype(np.int64), ~crops.boxed))
    _, first, which = np.unique(crops.content[order], return_index=True, return_inverse=True)
    kept: npt.NDArray[np.int64] = np.empty(len(crops), np.int64)
    kept[order] = order[first[which]]
    if near is not None:
        unlike = order[np.sort(first)]
        stays = kept_of(crops.phash[unlike], crops.thumbnail[unlike], near)
        stays_for = np.arange(len(crops))
        stays_for[unlike] = unlike[stays]
        kept = stays_for[kept]
    if twice := pictures.repeated(crops.key_id[staying(kept)].tolist()):
        raise SketchDataError(f"different crops have the key_id {twice[0]}: another --context or --min-size may help")
    return kept


def staying(kept: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the rows that stay for themselves, rising."""
    found: npt.NDArray[np.int64] = np.flatnonzero(kept == np.arange(len(kept)))
    return found


def write_duplicates(path: Path, crops: Crops, kept: npt.NDArray[np.int64], classes: Sequence[str]) -> int:
    """List the crops that go, by class and key_id, each with the one that stays for it; return how many there are."""
    gone = np.flatnonzero(kept != np.arange(len(kept)))
    gone = gone[np.lexsort((gone, crops.key_id[gone], crops.label[gone]))]
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(COLUMNS)
    for row, other in zip(gone.tolist(), kept[gone].tolist(), strict=True):
        lines.writerow(_line(crops, row, other, classes))
    with replacing(path) as file:
        file.write(text.getvalue().encode("utf-8"))
    return len(gone)


def _line(crops: Crops, row: int, other: int, classes: Sequence[str]) -> list[Any]:
    return [
        crops.key_id[row],
        classes[crops.label[row]],
        crops.key_id[other],
        classes[crops.label[other]],
        hamming(int(crops.phash[row]), int(crops.phash[other])),
        EXACT if crops.content[row] == crops.content[other] else NEAR,
        crops.photo[row].as_py(),
        crops.photo[other].as_py(),
    ]


@dataclass(frozen=True, kw_only=True)
class DuplicateCounts:
    """How many crops went: as exact and as near duplicates, and how many of either for one of another class."""

    exact: int
    near: int
    across_classes: int


def count_duplicates(path: Path) -> DuplicateCounts:
    """Count what a list of duplicates has.

    Raises:
        SketchDataError: It cannot be read.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
            kinds = Counter(row["kind"] for row in rows)
            across = sum(row["word"] != row["kept_word"] for row in rows)
    except (OSError, UnicodeDecodeError, csv.Error, KeyError) as error:
        raise SketchDataError(f"{path} cannot be read as a list of duplicates: {error}") from error
    return DuplicateCounts(exact=kinds[EXACT], near=kinds[NEAR], across_classes=across)
