"""A few drawings of each class, to compare other pictures with: from a built data set or from official files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sketchdata.catalog import official_path
from sketchdata.dataset import open_dataset
from sketchdata.drawing import DrawingBatch, Words, concatenate, empty_batch
from sketchdata.errors import ConfigError
from sketchdata.formats.files import read_ndjson
from sketchdata.manifest import MANIFEST_NAME
from sketchdata.sources import FolderSource, read_content

#: Official files are read in pieces of some hundred drawings, since a few are wanted of each.
_PIECE_BYTES = 1 << 17


@dataclass(frozen=True, kw_only=True)
class DrawingSample:
    """Drawings of some classes.

    Attributes:
        origin: The data set's name, or `ndjson` for official files.
        classes: {class: its drawings}, of the classes that have any.
    """

    origin: str
    classes: dict[str, DrawingBatch]

    @property
    def sha256(self) -> str:
        """A hash of the very drawings."""
        digest = hashlib.sha256()
        for word, batch in self.classes.items():
            digest.update(word.encode())
            for column in (batch.key_id, batch.strokes, batch.points, batch.x, batch.y):
                digest.update(np.ascontiguousarray(column).tobytes())
        return digest.hexdigest()


def sample_drawings(directory: Path, wanted: Sequence[str], count: int) -> DrawingSample:
    """Take the first recognized drawings of each class; in a built data set those are a random sample of its train.

    Args:
        directory: A data set that `sketchdata build` made, or a folder of official ndjson files, simplified or raw.
        wanted: Class names. Classes of which it has none are left out.
        count: Drawings a class at most.

    Raises:
        ConfigError: It has no drawings of any of the classes.
        SketchDataError: A file cannot be read.
    """
    built = (directory / MANIFEST_NAME).is_file()
    found = _from_dataset(directory, wanted, count) if built else _from_files(directory, wanted, count)
    sample = {word: found[word] for word in wanted if word in found and len(found[word])}
    if not sample:
        raise ConfigError(
            f"{directory} has no drawings of {', '.join(wanted[:5])}{' …' if len(wanted) > 5 else ''}: give a data set "
            "that `sketchdata build` made, or a folder of official files, laid out like the bucket"
        )
    return DrawingSample(origin=open_dataset(directory).manifest.name if built else "ndjson", classes=sample)


def _from_dataset(directory: Path, wanted: Sequence[str], count: int) -> dict[str, DrawingBatch]:
    dataset = open_dataset(directory)
    classes, split = dataset.manifest.classes, next(iter(dataset.manifest.counts))
    missing = {classes.index(word): count for word in wanted if word in classes}
    parts: dict[str, list[DrawingBatch]] = {classes[label]: [] for label in missing}
    for batch in dataset.batches(split):
        for label, more in list(missing.items()):
            rows = np.flatnonzero((batch.label == label) & batch.recognized)[:more]
            parts[classes[label]].append(batch.take(rows))
            missing[label] = more - len(rows)
        missing = {label: more for label, more in missing.items() if more}
        if not missing:
            break
    return {word: concatenate(batches) for word, batches in parts.items() if batches}


def _from_files(directory: Path, wanted: Sequence[str], count: int) -> dict[str, DrawingBatch]:
    if not directory.is_dir():
        raise ConfigError(f"{directory} is not a folder: give a built data set or a folder of official ndjson files")
    source = FolderSource(location=str(directory))
    files = {word: source.find(official_path("simplified", word)) for word in wanted}
    return {
        word: _first_of_file(_pieces(read_content(source, file)), word, count) for word, file in files.items() if file
    }


def _pieces(blocks: Iterator[bytes]) -> Iterator[bytes]:
    for block in blocks:
        yield from (block[start : start + _PIECE_BYTES] for start in range(0, len(block), _PIECE_BYTES))


def _first_of_file(blocks: Iterator[bytes], word: str, count: int) -> DrawingBatch:
    batches = []
    for portion in read_ndjson(blocks, Words(), word):
        batches.append(portion.batch.take(np.flatnonzero(portion.batch.recognized)))
        if sum(map(len, batches)) >= count:
            break
    found = concatenate(batches) if batches else empty_batch()
    return found.slice(0, min(count, len(found)))
