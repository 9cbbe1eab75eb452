"""Audits on disk: the folder `audit/` of a data set, and the audits that score every row, as columns.

Each audit ends by writing its record: `audit.json` (entropy), `duplicates.json`, `summary.json`, `messiness.json`. A
record names the data set by its manifest's sha256, so an audit of another data set, or of an earlier one in the same
folder, is noticed.
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

from sketchdata import __version__
from sketchdata.curation.messiness import MEASURES, WORST
from sketchdata.errors import SketchDataError
from sketchdata.storage.manifest import (
    AUDIT_FOLDER,
    MANIFEST_NAME,
    FileEntry,
    Manifest,
    hash_file,
    read_manifest,
    replacing,
)

#: {kind of audit: its record}. The entropy of drawings, and the messiness of edge maps, are what the report and the
#: curation start from.
RECORDS = {
    "entropy": "audit.json",
    "duplicates": "duplicates.json",
    "summary": "summary.json",
    "messiness": "messiness.json",
}
ENTROPY_FILE, PERCENTILES_FILE = "entropy.parquet", "percentiles.csv"
MESSINESS_FILE, THRESHOLDS_FILE = "messiness.parquet", "thresholds.csv"
NORMAL_FLAG, NOISE_FLAG = "normal", "noise"
#: The words of the column `flag`; null where a class has no drawings to be judged by.
FLAGS = (NORMAL_FLAG, NOISE_FLAG)

_RECORD_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class AuditRecord:
    """What an audit consists of. It is written last, so its existence means that the audit is whole.

    Attributes:
        kind: A key of RECORDS.
        name: The data set's name.
        manifest: sha256 of the data set's manifest, and so of every row in it.
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


def command_of(kind: str, directory: Path) -> str:
    """Return the command that makes an audit of some kind, for messages."""
    command = "edgemaps curate" if kind == "messiness" else f"audit {kind}"
    return f"sketchdata {command} {directory}"


def read_record(directory: Path, kind: str) -> AuditRecord:
    """Read the record of a data set's audit, and see that it is of this very data set and that its files are whole.

    Raises:
        SketchDataError: There is no data set, no such audit, it is of another data set, or a file is damaged.
    """
    path, again = record_path(directory, kind), f"run `{command_of(kind, directory)}`"
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


# ---- an audit that scores every row, as columns ----------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Audit:
    """An audit that scored the N rows of a data set of C classes, in the order of the rows: split by split.

    The entropy audit of drawings scores by image entropy and has two limits a class; the messiness audit of edge maps
    scores by messiness and has the upper limit alone.

    Attributes:
        directory: The data set's folder.
        manifest: The data set's manifest.
        record: The options and the counts.
        splits: The splits that have rows, in order.
        classes: The class table; a label is an index into it.
        split: (N,) uint8, an index into `splits`.
        key_id: (N,) uint64.
        label: (N,) uint16.
        score: (N,) float64: image entropy in bits a pixel, or messiness, 0..1.
        rank: (N,) float32, percentile rank of the score among those that give the class's limits; NaN where none do.
        noise: (N,) bool, outside of the limits.
        judged: (N,) bool, whether there are limits at all; a row is normal when it is judged and not noise.
        reference: (N,) bool, whether the row is one of those that give the class's limits.
        measures: {name: (N,) float64} of what the score was made from, NaN where it was not measured.
        p_low: (C,) float64, the class's lower limit; NaN where there is none.
        p_median: (C,) float64.
        p_high: (C,) float64, the upper limit; NaN where the class has too few rows to give one.
    """

    directory: Path
    manifest: Manifest
    record: AuditRecord
    splits: tuple[str, ...]
    classes: tuple[str, ...]
    split: npt.NDArray[np.uint8]
    key_id: npt.NDArray[np.uint64]
    label: npt.NDArray[np.uint16]
    score: npt.NDArray[np.float64]
    rank: npt.NDArray[np.float32]
    noise: npt.NDArray[np.bool_]
    judged: npt.NDArray[np.bool_]
    reference: npt.NDArray[np.bool_]
    measures: Mapping[str, npt.NDArray[np.float64]]
    p_low: npt.NDArray[np.float64]
    p_median: npt.NDArray[np.float64]
    p_high: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.key_id)

    @property
    def entropy(self) -> npt.NDArray[np.float64]:
        """The scores of an entropy audit, by their own name."""
        return self.score

    def rows(self, split: str) -> slice:
        """Return where a split's rows stand; row i of it is row i of the split's shards, one after the other."""
        first, last = np.searchsorted(self.split, [self.splits.index(split), self.splits.index(split) + 1]).tolist()
        return slice(first, last)

    def rows_of(self, key_ids: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        """Return the row of each of some key_ids, (M,) → (M,) int64, with which to look into the columns.

        Raises:
            SketchDataError: One of them is not in the audit.
        """
        order = np.argsort(self.key_id)
        places = np.searchsorted(self.key_id, key_ids, sorter=order)
        known = places < len(order)
        rows: npt.NDArray[np.int64] = order[np.where(known, places, 0)] if known.any() else np.zeros(len(key_ids), int)
        known[known] = self.key_id[rows[known]] == key_ids[known]
        if not known.all():
            raise SketchDataError(
                f"the {self.record.kind} audit of {self.directory} has no row with key_id {int(key_ids[~known][0])}: "
                f"run `{command_of(self.record.kind, self.directory)}`"
            )
        return rows

    def limits(self, low: float, high: float) -> npt.NDArray[np.float64]:
        """Return each class's limits for other percents than those of the audit.

        Returns:
            (C, 2) float64, NaN for a class of which no rows give limits.
        """
        found = np.full((len(self.classes), 2), math.nan)
        label, score = self.label[self.reference], self.score[self.reference]
        order = np.argsort(label, kind="stable")
        bounds = np.searchsorted(label[order], np.arange(len(self.classes) + 1))
        for each in np.flatnonzero(np.diff(bounds)).tolist():
            found[each] = np.percentile(score[order[bounds[each] : bounds[each + 1]]], [low, high])
        return found


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """In which files and columns a kind of audit keeps scores and limits."""

    table: str
    score: str
    measures: tuple[str, ...]
    limits: str
    limit_columns: tuple[str, ...]


_LAYOUTS = {
    "entropy": _Layout(
        table=ENTROPY_FILE,
        score="entropy",
        measures=(),
        limits=PERCENTILES_FILE,
        limit_columns=("p_low", "p_median", "p_high"),
    ),
    "messiness": _Layout(
        table=MESSINESS_FILE,
        score="score",
        measures=MEASURES,
        limits=THRESHOLDS_FILE,
        limit_columns=("p_median", "p_high"),
    ),
}


def read_audit(directory: Path, kind: str = "entropy") -> Audit:
    """Read what `sketchdata audit entropy` or, for `messiness`, `sketchdata edgemaps curate` found.

    Raises:
        SketchDataError: There is no data set or no finished audit of it, it is of another data set, or it is damaged.
    """
    record, layout = read_record(directory, kind), _LAYOUTS[kind]
    manifest = read_manifest(directory)
    splits = tuple(split for split, rows in manifest.splits.items() if rows)
    folder = directory / AUDIT_FOLDER
    table = _read_table(folder / layout.table)
    flags = _codes(table, "flag", FLAGS)
    limits = _read_limits(folder / layout.limits, layout.limit_columns, len(manifest.classes))
    none = np.full(len(manifest.classes), math.nan)
    found = Audit(
        directory=directory,
        manifest=manifest,
        record=record,
        splits=splits,
        classes=manifest.classes,
        split=_codes(table, "split", splits).astype(np.uint8),
        key_id=table.column("key_id").to_numpy(),
        label=table.column("label").to_numpy(),
        score=table.column(layout.score).to_numpy(),
        rank=table.column("percentile").to_numpy(),
        noise=flags == FLAGS.index(NOISE_FLAG),
        judged=flags >= 0,
        reference=np.zeros(table.num_rows, np.bool_),
        measures={name: table.column(name).to_numpy().astype(np.float64) for name in layout.measures},
        p_low=limits.get("p_low", none),
        p_median=limits["p_median"],
        p_high=limits["p_high"],
    )
    return dataclasses.replace(found, reference=_reference(found))


def _reference(audit: Audit) -> npt.NDArray[np.bool_]:
    """Tell which rows give the limits: those of one split, or edge maps that are not beyond the absolute limits."""
    if audit.record.kind == "entropy":
        rows: npt.NDArray[np.bool_] = audit.split == audit.splits.index(audit.record.options["by_split"])
    else:
        rows = ~np.isnan(audit.p_high)[audit.label] & (audit.score < WORST)
    return rows


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


def _read_limits(path: Path, names: tuple[str, ...], classes: int) -> dict[str, npt.NDArray[np.float64]]:
    """Return {name: (C,) float64} of the limits of each class."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        limits = {name: np.array([float(row[name] or math.nan) for row in rows], np.float64) for name in names}
    except (OSError, UnicodeDecodeError, KeyError, ValueError) as error:
        raise SketchDataError(f"{path} cannot be read as the percentiles of an audit: {error!r}") from error
    if len(rows) != classes:
        raise SketchDataError(f"{path} has {len(rows):,} classes, and the data set has {classes:,}: audit it again")
    return limits
