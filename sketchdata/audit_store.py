"""Audits on disk: the folder `audit/` of a data set, and what `sketchdata audit entropy` found, as columns.

Each audit ends by writing its record: `audit.json` (entropy), `duplicates.json`, `summary.json`. A record names the
data set by its manifest's sha256, so an audit of another data set, or of an earlier one in the same folder, is noticed.
"""

from __future__ import annotations

import csv
import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from sketchdata.errors import SketchDataError
from sketchdata.manifest import MANIFEST_NAME, FileEntry, Manifest, hash_file, read_manifest, replacing
from sketchdata.version import __version__

AUDIT_FOLDER = "audit"
#: {kind of audit: its record}. The entropy is what the report and the curation start from.
RECORDS = {"entropy": "audit.json", "duplicates": "duplicates.json", "summary": "summary.json"}
ENTROPY_FILE, PERCENTILES_FILE = "entropy.parquet", "percentiles.csv"
NORMAL_FLAG, NOISE_FLAG = "normal", "noise"
#: The words of the column `flag`; null where a class has no drawings to be judged by.
FLAGS = (NORMAL_FLAG, NOISE_FLAG)

_RECORD_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class AuditRecord:
    """What an audit consists of. It is written last, so its existence means that the audit is whole.

    Attributes:
        kind: `entropy`, `duplicates` or `summary`.
        name: The data set's name.
        manifest: sha256 of the data set's manifest, and so of every drawing in it.
        options: The options that decided the bytes.
        counts: What was found, in numbers.
        files: The audit's files; paths relative to `audit/`.
        version: The record's layout.
        tool: The version of sketchdata that wrote it.
    """

    kind: str
    name: str
    manifest: str
    options: Mapping[str, Any]
    counts: Mapping[str, Any]
    files: tuple[FileEntry, ...]
    version: int = _RECORD_VERSION
    tool: str = field(default_factory=lambda: f"sketchdata {__version__}")

    def write(self, directory: Path) -> None:
        """Write the record into a data set's `audit/`, whole or not at all."""
        content = orjson.dumps(dataclasses.asdict(self), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        with replacing(record_path(directory, self.kind)) as file:
            file.write(content)


def record_path(directory: Path, kind: str) -> Path:
    """Return where a data set's audit of some kind has its record."""
    return directory / AUDIT_FOLDER / RECORDS[kind]


def read_record(directory: Path, kind: str) -> AuditRecord:
    """Read the record of a data set's audit, and see that it is of this very data set and that its files are whole.

    Raises:
        SketchDataError: There is no data set, no such audit, it is of another data set, or a file is damaged.
    """
    path, again = record_path(directory, kind), f"run `sketchdata audit {kind} {directory}`"
    if not path.is_file():
        read_manifest(directory)
        raise SketchDataError(f"{directory} has no finished {kind} audit (there is no {path}): {again}")
    record = _parse_record(path, kind, again)
    if not (directory / MANIFEST_NAME).is_file() or record.manifest != hash_file(directory / MANIFEST_NAME, "sha256"):
        raise SketchDataError(
            f"{path} is stale: it was made of another data set than the one that is in {directory} now: {again}"
        )
    for file in record.files:
        place = path.parent / file.path
        if not place.is_file() or place.stat().st_size != file.bytes or hash_file(place, "sha256") != file.sha256:
            raise SketchDataError(f"{place} is missing or is not the file that {path} lists: {again}")
    return record


def _parse_record(path: Path, kind: str, again: str) -> AuditRecord:
    try:
        values = orjson.loads(path.read_bytes())
        if values["version"] != _RECORD_VERSION:
            raise SketchDataError(f"{path} has layout version {values['version']}, not {_RECORD_VERSION}: {again}")
        record = AuditRecord(**{**values, "files": tuple(FileEntry(**entry) for entry in values["files"])})
        if record.kind != kind:
            raise SketchDataError(f"{path} is the record of another audit, {record.kind}: {again}")
        return record
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise SketchDataError(f"{path} is not the record of an audit ({error}): {again}") from error


# ---- the entropy audit as columns -----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Audit:
    """The entropy audit of N drawings of C classes, in the order of the data set's rows: split by split.

    Attributes:
        directory: The data set's folder.
        manifest: The data set's manifest.
        record: The options and the counts.
        splits: The splits that have drawings, in order.
        classes: The class table; a label is an index into it.
        split: (N,) uint8, an index into `splits`.
        key_id: (N,) uint64.
        label: (N,) uint16.
        entropy: (N,) float64, bits a pixel.
        rank: (N,) float32, percentile rank among the class's drawings of the reference split; NaN where it has none.
        noise: (N,) bool, outside of the class's limits.
        judged: (N,) bool, whether the class has limits at all; a drawing is normal when it is judged and not noise.
        p_low: (C,) float64, the class's lower limit; NaN where the class has no drawings in the reference split.
        p_median: (C,) float64.
        p_high: (C,) float64, the upper limit.
    """

    directory: Path
    manifest: Manifest
    record: AuditRecord
    splits: tuple[str, ...]
    classes: tuple[str, ...]
    split: npt.NDArray[np.uint8]
    key_id: npt.NDArray[np.uint64]
    label: npt.NDArray[np.uint16]
    entropy: npt.NDArray[np.float64]
    rank: npt.NDArray[np.float32]
    noise: npt.NDArray[np.bool_]
    judged: npt.NDArray[np.bool_]
    p_low: npt.NDArray[np.float64]
    p_median: npt.NDArray[np.float64]
    p_high: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.key_id)

    def rows(self, split: str) -> slice:
        """Return where a split's drawings stand; row i of it is row i of the split's shards, one after the other."""
        first, last = np.searchsorted(self.split, [self.splits.index(split), self.splits.index(split) + 1]).tolist()
        return slice(first, last)

    def limits(self, low: float, high: float) -> npt.NDArray[np.float64]:
        """Return each class's limits for other percents than those of the audit.

        Returns:
            (C, 2) float64, NaN for a class without drawings in the reference split.
        """
        found = np.full((len(self.classes), 2), math.nan)
        rows = self.rows(self.record.options["by_split"])
        label, entropy = self.label[rows], self.entropy[rows]
        order = np.argsort(label, kind="stable")
        bounds = np.searchsorted(label[order], np.arange(len(self.classes) + 1))
        for each in np.flatnonzero(np.diff(bounds)).tolist():
            found[each] = np.percentile(entropy[order[bounds[each] : bounds[each + 1]]], [low, high])
        return found


def read_audit(directory: Path) -> Audit:
    """Read what `sketchdata audit entropy` found.

    Raises:
        SketchDataError: There is no data set or no finished audit of it, it is of another data set, or it is damaged.
    """
    record = read_record(directory, "entropy")
    manifest = read_manifest(directory)
    splits = tuple(split for split, drawings in manifest.splits.items() if drawings)
    folder = directory / AUDIT_FOLDER
    table = _read_table(folder / ENTROPY_FILE)
    flags = _codes(table, "flag", FLAGS)
    columns = {name: table.column(name).to_numpy() for name in ("key_id", "label", "entropy", "percentile")}
    limits = _read_limits(folder / PERCENTILES_FILE, len(manifest.classes))
    return Audit(
        directory=directory,
        manifest=manifest,
        record=record,
        splits=splits,
        classes=manifest.classes,
        split=_codes(table, "split", splits).astype(np.uint8),
        key_id=columns["key_id"],
        label=columns["label"],
        entropy=columns["entropy"],
        rank=columns["percentile"],
        noise=flags == FLAGS.index(NOISE_FLAG),
        judged=flags >= 0,
        p_low=limits[0],
        p_median=limits[1],
        p_high=limits[2],
    )


def _read_table(path: Path) -> pa.Table:
    try:
        table: pa.Table = pq.read_table(path, partitioning=None)
    except (pa.ArrowException, OSError) as error:
        raise SketchDataError(f"{path} cannot be read as an audit of sketchdata: {error}") from error
    return table


def _codes(table: pa.Table, name: str, names: tuple[str, ...]) -> npt.NDArray[np.int8]:
    """Return a dictionary column as indices into `names`, −1 for null."""
    chunks = table.column(name).chunks
    codes = [
        np.array([names.index(word) for word in chunk.dictionary.to_pylist()] + [-1], np.int8)[
            chunk.indices.fill_null(len(chunk.dictionary)).to_numpy()
        ]
        for chunk in chunks
    ]
    return np.concatenate([np.empty(0, np.int8), *codes])


def _read_limits(path: Path, classes: int) -> npt.NDArray[np.float64]:
    """Return (3, C) float64: p_low, p_median and p_high of each class."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        limits = [[float(row[name] or math.nan) for row in rows] for name in ("p_low", "p_median", "p_high")]
    except (OSError, UnicodeDecodeError, KeyError, ValueError) as error:
        raise SketchDataError(f"{path} cannot be read as the percentiles of an audit: {error!r}") from error
    if len(rows) != classes:
        raise SketchDataError(f"{path} has {len(rows):,} classes, and the data set has {classes:,}: audit it again")
    return np.array(limits, np.float64)
