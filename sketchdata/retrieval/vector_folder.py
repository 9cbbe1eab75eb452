"""Vectors of drawings and photos on disk: a Parquet file per split, and a manifest, written last.

{split}.parquet     key_id uint64 · label uint16 · vector fixed_size_binary, D little-endian numbers;
                    rows in the split's order
manifest.json       `config` has the `width` D, the `precision` (float32 or float16), the sha256 of the `model` and the
                    `splits`; `parent` is the data set

The splits have the names of the data set's splits, such as `unseen-photos`; the key_id identifies a picture in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sketchdata.engine.output_folder import OutputFolder
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.storage.manifest import (
    MANIFEST_NAME,
    Manifest,
    ParentEntry,
    check_listed,
    hash_file,
    read_manifest,
    replacing,
)
from sketchdata.storage.parquet import ROW_GROUP_ROWS, read_row_groups

#: {precision: type of the stored numbers}.
PRECISIONS: Mapping[str, npt.DTypeLike] = {"float32": np.float32, "float16": np.float16}
_REMEDY = "encode the data set again"
_NOUN = "folder of vectors"

#: (N, D) float32 or float16.
VectorRows = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class PictureVectors:
    """N vectors of drawings or photos.

    Attributes:
        rows: (N, D) float32 or float16, finite.
        labels: (N,) uint16, indices into the class table.
        key_ids: (N,) uint64.
        classes: The class table.

    Raises:
        SketchDataError: The shapes of the arrays do not match, or a value is not a finite number.
    """

    rows: VectorRows
    labels: npt.NDArray[np.uint16]
    key_ids: npt.NDArray[np.uint64]
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.rows.ndim != 2 or not len(self.rows) == len(self.labels) == len(self.key_ids):
            raise SketchDataError(
                f"vectors of shape {self.rows.shape} do not fit {len(self.labels):,} labels and {len(self.key_ids):,} "
                "key_ids"
            )
        if broken := int((~np.isfinite(self.rows).all(axis=1)).sum()):
            raise SketchDataError(
                f"{broken:,} of {len(self):,} vectors have values that are no finite numbers in {self.rows.dtype}, so "
                "nothing can be ranked by them: the training diverged, or float16 is too small for its values"
            )
        if len(self) and int(self.labels.max()) >= len(self.classes):
            raise SketchDataError(f"vectors have labels beyond the {len(self.classes):,} classes of their table")

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: npt.NDArray[np.integer[Any]]) -> PictureVectors:
        """Return some of the vectors, in the order of `rows`."""
        return PictureVectors(
            rows=self.rows[rows], labels=self.labels[rows], key_ids=self.key_ids[rows], classes=self.classes
        )


def vector_folder(
    out: Path, *, data: ParentEntry, classes: tuple[str, ...], splits: Sequence[str], facts: Mapping[str, Any]
) -> OutputFolder:
    """Return the output folder of vectors, without writing anything.

    Args:
        out: The folder.
        data: The data set: its name and the sha256 of its manifest.
        classes: The class table.
        splits: The splits to encode.
        facts: `width`, `precision` and `model`, the sha256 of the network's file.
    """
    plan = Manifest(
        name=f"{data.name}-vectors",
        config={**facts, "splits": list(splits)},
        classes=classes,
        counts={split: {} for split in splits},
        rejects={},
        sources=(),
        files=(),
        parent=data,
    )
    return OutputFolder(out=out, plan=plan, names=frozenset(f"{split}.parquet" for split in splits), noun=_NOUN)


def write_vectors(
    folder: OutputFolder, splits: Mapping[str, Callable[[], PictureVectors]], *, overwrite: bool
) -> Manifest:
    """Write the vectors of some splits, whole or not at all; equal vectors give equal bytes.

    A split that an earlier run of the same command has finished is not computed again.

    Args:
        folder: From `vector_folder`.
        splits: {split: function that returns its vectors}.
        overwrite: Whether other vectors in the folder may be replaced.

    Raises:
        ConfigError: The folder has something else.
        SketchDataError: A vector has a value that is not a finite number.
    """
    if (finished := folder.begin(overwrite=overwrite)) is not None:
        return finished
    dtype = np.dtype(PRECISIONS[folder.plan.config["precision"]])
    width, classes, counts = int(folder.plan.config["width"]), folder.plan.classes, {}
    for split, vectors in splits.items():
        path = folder.work / f"{split}.parquet"
        if not path.exists():
            _write_split(path, vectors(), dtype)
        labels = _read_file(path, width, dtype)[1]
        counts[split] = dict(zip(classes, np.bincount(labels, minlength=len(classes)).tolist(), strict=True))
    entries = [folder.publish(f"{split}.parquet", sum(own.values())) for split, own in counts.items()]
    return folder.finish(entries, _card, counts=counts)


def _write_split(path: Path, vectors: PictureVectors, dtype: np.dtype[Any]) -> None:
    with np.errstate(over="ignore"):
        rows = np.ascontiguousarray(vectors.rows.astype(dtype))
    vectors = PictureVectors(rows=rows, labels=vectors.labels, key_ids=vectors.key_ids, classes=vectors.classes)
    kind = pa.binary(rows.shape[1] * dtype.itemsize)
    column = pa.Array.from_buffers(kind, len(vectors), [None, pa.py_buffer(rows)])
    table = pa.Table.from_arrays(
        [pa.array(vectors.key_ids), pa.array(vectors.labels), column], schema=_schema(rows.shape[1], dtype)
    )
    with replacing(path) as file:
        # Floating point numbers are hardly compressible, and are read faster uncompressed.
        pq.write_table(table, file, row_group_size=ROW_GROUP_ROWS, compression="none", use_dictionary=["label"])


def _schema(width: int, dtype: np.dtype[Any]) -> pa.Schema:
    kinds = {"key_id": pa.uint64(), "label": pa.uint16(), "vector": pa.binary(width * dtype.itemsize)}
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in kinds.items()])


def _read_file(
    path: Path, width: int, dtype: np.dtype[Any]
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint16], VectorRows]:
    table = pa.concat_tables([_schema(width, dtype).empty_table(), *read_row_groups(path)])
    if not table.schema.equals(_schema(width, dtype)):
        raise SketchDataError(f"{path} does not hold {dtype} vectors of {width:,} values: {_REMEDY}")
    size = width * dtype.itemsize
    pieces = [
        np.frombuffer(chunk.buffers()[1], np.uint8, len(chunk) * size, chunk.offset * size)
        for chunk in table.column("vector").chunks
        if len(chunk)
    ]
    joined = np.concatenate([np.empty(0, np.uint8), *pieces])
    # Copied: Arrow's memory is read-only.
    key_ids, labels = (table.column(name).to_numpy().copy() for name in ("key_id", "label"))
    return key_ids, labels, joined.view(dtype).reshape(-1, width)


def _card(manifest: Manifest) -> str:
    config, parent = manifest.config, manifest.parent
    rows = "\n".join(f"| {split} | {count:,} |" for split, count in manifest.splits.items())
    made_from = "" if parent is None else f" of {parent.name} (sha256 of its manifest:\n`{parent.sha256}`)"
    return f"""# {manifest.name}

Vectors of {config["width"]:,} {config["precision"]} values{made_from}, by the network of sha256
`{config["model"]}`. Written by {manifest.tool}.

| split | vectors |
|---|--:|
{rows}

`{{split}}.parquet` has `key_id`, `label` and `vector` of each drawing or photo; a vector is its values, little-endian,
one after the other. The picture of a key_id is in the same split of the data set. `manifest.json` has the
class table that the labels index, and lists every file with its sha256; `sketchdata verify` checks them.
"""


@dataclass(frozen=True, kw_only=True)
class VectorFolder:
    """A finished folder of vectors: its path and its manifest."""

    path: Path
    manifest: Manifest

    @property
    def entry(self) -> ParentEntry:
        """Its entry in the manifest of an index."""
        return ParentEntry(name=self.manifest.name, sha256=hash_file(self.path / MANIFEST_NAME, "sha256"))

    @property
    def data(self) -> ParentEntry:
        """The data set of the vectors.

        Raises:
            SketchDataError: The manifest does not have it.
        """
        if self.manifest.parent is None:
            raise SketchDataError(f"{self.path} does not name the data set that it was made from: {_REMEDY}")
        return self.manifest.parent

    @property
    def width(self) -> int:
        """D."""
        return int(self.manifest.config["width"])

    def read(self, split: str) -> PictureVectors:
        """Return the vectors of a split, in the order of its rows.

        Raises:
            ConfigError: The split does not exist.
            SketchDataError: The file is missing or damaged, or has vectors of another width or class table.
        """
        listed = {entry.path: entry for entry in self.manifest.files}
        entry = listed.get(f"{split}.parquet")
        if entry is None or split not in self.manifest.counts:
            raise ConfigError(f"there is no split {split!r}; {self.path} has {', '.join(self.manifest.counts)}")
        path = self.path / entry.path
        check_listed(path, entry.sha256, _REMEDY)
        dtype = np.dtype(PRECISIONS[self.manifest.config["precision"]])
        key_ids, labels, rows = _read_file(path, self.width, dtype)
        if len(rows) != entry.records:
            raise SketchDataError(
                f"{path} holds {len(rows):,} vectors, and the manifest says {entry.records:,}: {_REMEDY}"
            )
        try:
            return PictureVectors(rows=rows, labels=labels, key_ids=key_ids, classes=self.manifest.classes)
        except SketchDataError as error:
            raise SketchDataError(f"{path}: {error}: {_REMEDY}") from error


def is_vectors(manifest: Manifest) -> bool:
    """Return whether a manifest is that of a folder of vectors."""
    config = manifest.config
    return {"width", "precision", "model", "splits"} <= config.keys() and config["precision"] in PRECISIONS


def open_vectors(path: Path) -> VectorFolder:
    """Open a folder of vectors.

    Raises:
        SketchDataError: The folder is missing, unfinished, of another layout version, or has something else.
    """
    manifest = read_manifest(path)
    if not is_vectors(manifest):
        raise SketchDataError(
            f"{path} holds {manifest.name}, which is not a {_NOUN}: make one with `sketchdata encode`"
        )
    return VectorFolder(path=path, manifest=manifest)
