"""The folder `audit/` of a data set: writing an audit, and reading the audits that score every row.

The last file of an audit is its record: `audit.json` (entropy), `duplicates.json`, `summary.json`, `messiness.json`,
`labels.json`, `near.json`. A record contains the sha256 of the data set's manifest, so that an audit of another data
set, or of an earlier one in the same folder, is detected. An audit writes only its own files in `audit/`; curators'
decisions are there too.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import math
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, TypedDict

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from sketchdata import __version__
from sketchdata.curation.messiness import MEASURES, WORST
from sketchdata.drawings.drawing import DrawingBatch
from sketchdata.engine import Task, TaskResult
from sketchdata.errors import SketchDataError
from sketchdata.progress import console
from sketchdata.storage import parquet, pictures
from sketchdata.storage.manifest import (
    AUDIT_FOLDER,
    MANIFEST_NAME,
    FileEntry,
    Manifest,
    check_listed,
    file_entry,
    hash_file,
    read_manifest,
    replacing,
)
from sketchdata.storage.records import check_fields, check_inside, decode, fault

#: {kind of audit: its record}. The report and the curation use the entropy of drawings and the messiness of edge maps.
RECORDS = {
    "entropy": "audit.json",
    "duplicates": "duplicates.json",
    "summary": "summary.json",
    "messiness": "messiness.json",
    "labels": "labels.json",
    "near": "near.json",
}
ENTROPY_FILE, PERCENTILES_FILE = "entropy.parquet", "percentiles.csv"
MESSINESS_FILE, THRESHOLDS_FILE = "messiness.parquet", "thresholds.csv"
LABELS_FILE = "labels.parquet"
OK_FLAG, SUSPECT_FLAG = "ok", "suspect"
NORMAL_FLAG, NOISE_FLAG = "normal", "noise"
#: The values of the column `flag`; null where a class has no limits.
FLAGS = (NORMAL_FLAG, NOISE_FLAG)
#: The type of columns of splits and flags.
NAMES = pa.dictionary(pa.int8(), pa.string())

_RECORD_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class AuditRecord:
    """The record of an audit. It is written last, so its existence means that the audit is whole.

    Attributes:
        kind: A key of RECORDS.
        name: The data set's name.
        manifest: sha256 of the data set's manifest, which covers every row.
        options: The options that affect the bytes.
        counts: The results as numbers.
        files: The audit's files, with paths relative to `audit/`.
        version: The version of the record's layout.
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


class _AuditOptions(TypedDict, total=False):
    by_split: str
    distance: float
    epochs: int
    few: int
    folds: int
    high: float
    line_width: float
    low: float
    most_ink: float
    per_class: int
    run: str
    seed: int
    size: int
    weakest: int


class _Judged(TypedDict):
    drawings: int
    normal: int
    noise: int
    low: int
    high: int
    unjudged: int


class _EntropyCounts(_Judged):
    splits: dict[str, _Judged]
    classes_without_reference: int
    classes_with_few: int


class _Leakage(TypedDict):
    source: str
    into: str
    drawings: int
    same_class: int
    other_class: int


class _DuplicateCounts(TypedDict):
    groups: int
    drawings: int
    surplus: int
    groups_of_several_classes: int
    within: dict[str, int]
    leakage: list[_Leakage]


class _Statistics(TypedDict):
    drawings: int
    recognized: float | None
    countries: int
    top_country: str | None
    top_country_share: float | None
    strokes_mean: float | None
    points_mean: float | None


class _SummaryCounts(TypedDict):
    splits: dict[str, _Statistics]
    classes: dict[str, _Statistics]


class _MessinessCounts(TypedDict):
    edge_maps: int
    classes: int
    normal: int
    noise: int
    messy: int
    dense: int
    empty: int
    classes_with_few: int
    unjudged: int


class _LabelPair(TypedDict):
    word: str
    suggested: str
    suspects: int
    estimated_errors: float


class _LabelCounts(TypedDict):
    drawings: int
    suspects: int
    estimated_errors: float
    recognised: float
    pairs: list[_LabelPair]


class _NearCounts(TypedDict):
    pairs: dict[str, int]
    drawings: int
    leakage: list[dict[str, str | int]]


_COUNTS: dict[str, type[Mapping[str, Any]]] = {
    "entropy": _EntropyCounts,
    "duplicates": _DuplicateCounts,
    "summary": _SummaryCounts,
    "messiness": _MessinessCounts,
    "labels": _LabelCounts,
    "near": _NearCounts,
}


def record_path(directory: Path, kind: str) -> Path:
    """Return the path of the record of a data set's audit."""
    return directory / AUDIT_FOLDER / RECORDS[kind]


def command_of(kind: str, directory: Path) -> str:
    """Return the command that makes an audit, for messages."""
    return f"sketchdata {'edgemaps curate' if kind == 'messiness' else f'audit {kind}'} {directory}"


def read_record(directory: Path, kind: str) -> AuditRecord:
    """Read the record of a data set's audit, and check that it belongs to this data set and its files are intact.

    Raises:
        SketchDataError: The data set or the audit does not exist, the audit is of another data set, or a file is
            damaged.
    """
    path, again = record_path(directory, kind), f"run `{command_of(kind, directory)}`"
    if not path.is_file():
        read_manifest(directory)
        raise SketchDataError(f"{directory} has no finished {kind} audit (there is no {path}): {again}")
    record = decode(path.read_bytes(), AuditRecord, path, again)
    if record.version != _RECORD_VERSION:
        raise SketchDataError(f"{path} has layout version {record.version}, not {_RECORD_VERSION}: {again}")
    if record.kind != kind:
        raise SketchDataError(f"{path} is the record of another audit, {record.kind}: {again}")
    manifest = directory / MANIFEST_NAME
    if not manifest.is_file() or record.manifest != hash_file(manifest, "sha256"):
        raise SketchDataError(f"{path} is stale, the data set in {directory} has changed: {again}")
    for number, file in enumerate(record.files):
        check_inside(file.path, f"files[{number}].path", path, again)
        place = path.parent / file.path
        if not place.is_file() or place.stat().st_size != file.bytes or hash_file(place, "sha256") != file.sha256:
            raise SketchDataError(f"{place} is missing or is not the file that {path} lists: {again}")
    options = check_fields(record.options, _AuditOptions, path, again, "options.")
    counts = check_fields(record.counts, _COUNTS[kind], path, again, "counts.")
    return dataclasses.replace(record, options=options, counts=counts)


# ---- writing an audit ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class AuditFolder:
    """An audit in progress: one task per shard, the results in a work folder, the record written last.

    Attributes:
        directory: The data set's folder.
        kind: A key of RECORDS.
        manifest: The data set's manifest.
        sha256: The manifest's hash.
        options: The options of the audit that affect its bytes.
    """

    directory: Path
    kind: str
    manifest: Manifest
    sha256: str
    options: Mapping[str, Any]

    @property
    def path(self) -> Path:
        """The folder of all audits."""
        return self.directory / AUDIT_FOLDER

    @property
    def work(self) -> Path:
        """The folder of unfinished results; `finish` deletes it."""
        return self.path / ".work" / self.kind

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that have rows, in order."""
        return _splits_of(self.manifest)

    def shards(self) -> list[tuple[str, FileEntry]]:
        """Return (split, shard) of all shards, in the order of their rows."""
        return [(split, shard) for split in self.splits for shard in self.manifest.shards(split)]

    def finished(self) -> AuditRecord | None:
        """Return the record if this audit, with the same options, is finished; else None."""
        if not record_path(self.directory, self.kind).exists():
            return None
        with contextlib.suppress(SketchDataError):
            record = read_record(self.directory, self.kind)
            if self._record({}, ()).tool == record.tool and dict(record.options) == dict(self.options):
                console.print(f"{self.path} has this {self.kind} audit already, and its files are whole")
                return record
        # A damaged, stale or different audit can be replaced: it contains no manual work.
        return None

    def task(self, shard: FileEntry, config: Mapping[str, Any], part: str = "") -> Task:
        """Return the task of one shard; its output is in the work folder."""
        return Task(
            id=shard.path,
            output=self.output(shard, part),
            inputs={shard.path: shard.sha256},
            config={
                "shard": str(self.directory / shard.path),
                "sha256": shard.sha256,
                "classes": len(self.manifest.classes),
                **config,
            },
        )

    def output(self, shard: FileEntry, part: str = "") -> Path:
        """Return the output path of a shard's task; `part` distinguishes the stages of an audit."""
        return self.work / part / f"{PurePosixPath(shard.path).stem}.arrow"

    def begin(self) -> None:
        """Remove the record of an earlier audit of this kind before its files are replaced."""
        record_path(self.directory, self.kind).unlink(missing_ok=True)

    def write_csv(self, name: str, rows: Iterable[Sequence[object]]) -> None:
        """Write one of the audit's files."""
        with replacing(self.path / name) as file:
            file.write(csv_text(rows).encode("utf-8"))

    def finish(self, files: Mapping[str, int], counts: Mapping[str, Any]) -> AuditRecord:
        """Write the record of an audit whose files, {name: number of rows}, exist; delete the work folder."""
        entries = tuple(file_entry(self.path / name, self.path, records) for name, records in files.items())
        record = self._record(counts, entries)
        record.write(self.directory)
        shutil.rmtree(self.work, ignore_errors=True)
        # The common folder remains while another audit uses it.
        with contextlib.suppress(OSError):
            self.work.parent.rmdir()
        return record

    def _record(self, counts: Mapping[str, Any], files: tuple[FileEntry, ...]) -> AuditRecord:
        return AuditRecord(
            kind=self.kind,
            name=self.manifest.name,
            manifest=self.sha256,
            options=self.options,
            counts=counts,
            files=files,
        )


def open_audit(directory: Path, kind: str, options: Mapping[str, Any]) -> AuditFolder:
    """Start the audit of a data set.

    Raises:
        SketchDataError: The data set does not exist, or has no Parquet shards.
    """
    manifest = read_manifest(directory)
    if not any(manifest.shards(split) for split in manifest.counts):
        maker = "sketchdata edgemaps extract" if kind == "messiness" else "sketchdata build"
        raise SketchDataError(
            f"{directory} ({manifest.name}) has no Parquet shards: audit what `{maker}` made, not an export"
        )
    sha256 = hash_file(directory / MANIFEST_NAME, "sha256")
    # Workers on other machines may have another current folder.
    return AuditFolder(directory=directory.absolute(), kind=kind, manifest=manifest, sha256=sha256, options=options)


def read_shard(task: Task) -> Iterator[DrawingBatch]:
    """Check the sha256 of a task's shard, then yield its drawings, one row group at a time.

    Raises:
        SketchDataError: The shard is missing, damaged or unreadable, or a label exceeds the class table.
    """
    path, expected = Path(task.config["shard"]), task.config["sha256"]
    # Parquet's Zstandard frames have no checksum: without this check, a flipped bit would give a wrong drawing.
    check_listed(path, expected, "build the data set again")
    for table in parquet.read_row_groups(path):
        batch = parquet.from_table(table)
        _check_labels(path, batch.label, task.config["classes"])
        yield batch


def read_pictures(task: Task, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Check a task's shard of pictures, then yield some of its columns, with `label`, one row group at a time.

    Raises:
        SketchDataError: The shard is missing, damaged or not of pictures, or a label exceeds the class table.
    """
    path = Path(task.config["shard"])
    for table in pictures.read_shard(path, task.config["sha256"], columns):
        _check_labels(path, table.column("label").to_numpy(), task.config["classes"])
        yield table


def _check_labels(path: Path, label: npt.NDArray[np.uint16], classes: int) -> None:
    if label.max(initial=0) >= classes:
        raise SketchDataError(f"{path} has label {label.max()}, beyond the data set's class table")


def write_columns(task: Task, columns: Mapping[str, Any]) -> TaskResult:
    """Write columns as a task's output, an uncompressed Arrow file for memory-mapping, whole or not at all."""
    table = pa.table(dict(columns))
    with replacing(task.output) as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    return TaskResult(task_id=task.id, files=(file_entry(task.output, task.output.parent, table.num_rows),))


def map_table(path: Path) -> pa.Table:
    """Memory-map a file of `write_columns`; only the parts that are used are read."""
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


def map_columns(path: Path, names: Sequence[str] | None = None) -> dict[str, npt.NDArray[Any]]:
    """Memory-map numeric columns of such a file, by default all, as numpy arrays."""
    table = map_table(path)
    return {name: table.column(name).to_numpy() for name in names or table.column_names}


def name_column(codes: npt.NDArray[np.integer], names: Sequence[str]) -> pa.DictionaryArray:
    """Return (N,) indices into `names` as a column of type NAMES; negative ones become null."""
    indices = pa.array(codes.astype(np.int8), mask=codes < 0)
    return pa.DictionaryArray.from_arrays(indices, pa.array(list(names), pa.string()))


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Return rows as CSV text with line feeds."""
    lines = io.StringIO()
    csv.writer(lines, lineterminator="\n").writerows(rows)
    return lines.getvalue()


def _splits_of(manifest: Manifest) -> tuple[str, ...]:
    return tuple(split for split, rows in manifest.splits.items() if rows)


# ---- reading an audit that scores every row --------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Audit:
    """An audit that scores the N rows of a data set with C classes, in the order of the rows: split by split.

    The entropy audit of drawings scores by image entropy and has two limits per class; the messiness audit of edge maps
    scores by messiness and has only the upper limit.

    Attributes:
        directory: The data set's folder.
        manifest: The data set's manifest.
        record: The options and the counts.
        splits: The splits that have rows, in order.
        classes: The class table; a label is an index into it.
        split: (N,) uint8, an index into `splits`.
        key_id: (N,) uint64.
        label: (N,) uint16.
        score: (N,) float64: image entropy in bits per pixel, or messiness, 0..1.
        rank: (N,) float32, percentile rank of the score among the class's reference rows; NaN without such rows.
        noise: (N,) bool, whether the score is beyond the limits.
        judged: (N,) bool, whether the class has limits; a row is normal if it is judged and not noise.
        reference: (N,) bool, whether the class's limits are computed from the row.
        measures: {name: (N,) float64} from which the score is computed; NaN if not measured.
        p_low: (C,) float64, the class's lower limit, or NaN.
        p_median: (C,) float64, the median of the class's reference rows.
        p_high: (C,) float64, the upper limit; NaN if the class has too few rows.
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
        """The scores of an entropy audit."""
        return self.score

    def rows(self, split: str) -> slice:
        """Return the rows of a split, which are in the order of its shards."""
        first, last = np.searchsorted(self.split, [self.splits.index(split), self.splits.index(split) + 1]).tolist()
        return slice(first, last)

    def rows_of(self, key_ids: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        """Return the row numbers of (M,) key_ids: (M,) int64.

        Raises:
            SketchDataError: A key_id is not in the audit.
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
        """Return each class's limits at the given percentiles: (C, 2) float64, NaN without limits."""
        found = np.full((len(self.classes), 2), math.nan)
        label, score = self.label[self.reference], self.score[self.reference]
        order = np.argsort(label, kind="stable")
        bounds = np.searchsorted(label[order], np.arange(len(self.classes) + 1))
        for each in np.flatnonzero(np.diff(bounds)).tolist():
            found[each] = np.percentile(score[order[bounds[each] : bounds[each + 1]]], [low, high])
        return found


class _AuditLayout(NamedTuple):
    table: str
    score: str
    measures: tuple[str, ...]
    limits: str
    limit_columns: tuple[str, ...]


#: {kind of audit: its files and their columns}
_LAYOUTS = {
    "entropy": _AuditLayout(ENTROPY_FILE, "entropy", (), PERCENTILES_FILE, ("p_low", "p_median", "p_high")),
    "messiness": _AuditLayout(MESSINESS_FILE, "score", MEASURES, THRESHOLDS_FILE, ("p_median", "p_high")),
}


def read_audit(directory: Path, kind: str = "entropy") -> Audit:
    """Read the result of `sketchdata audit entropy` or, for `messiness`, of `sketchdata edgemaps curate`.

    Raises:
        SketchDataError: The data set or its finished audit does not exist, or the audit is damaged or of another data
            set.
    """
    record, layout = read_record(directory, kind), _LAYOUTS[kind]
    manifest = read_manifest(directory)
    splits = _splits_of(manifest)
    path = directory / AUDIT_FOLDER / layout.table
    try:
        table = pq.read_table(path, partitioning=None)
    except (pa.ArrowException, OSError) as error:
        raise SketchDataError(f"{path} cannot be read as an audit of sketchdata: {error}") from error
    flags, split, label = _codes(table, "flag", FLAGS), _codes(table, "split", splits), table.column("label").to_numpy()
    score = table.column(layout.score).to_numpy()
    limits = _read_limits(path.parent / layout.limits, layout.limit_columns, len(manifest.classes))
    if kind == "entropy":
        if (by_split := record.options["by_split"]) not in splits:
            expected = f"one of {', '.join(splits)}"
            raise fault(record_path(directory, kind), "options.by_split", expected, repr(by_split))
        reference = split == splits.index(by_split)
    else:  # edge maps that are not beyond the absolute limits
        reference = ~np.isnan(limits["p_high"])[label] & (score < WORST)
    return Audit(
        directory=directory,
        manifest=manifest,
        record=record,
        splits=splits,
        classes=manifest.classes,
        split=split.astype(np.uint8),
        key_id=table.column("key_id").to_numpy(),
        label=label,
        score=score,
        rank=table.column("percentile").to_numpy(),
        noise=flags == FLAGS.index(NOISE_FLAG),
        judged=flags >= 0,
        reference=reference,
        measures={name: table.column(name).to_numpy().astype(np.float64) for name in layout.measures},
        p_low=limits.get("p_low", np.full(len(manifest.classes), math.nan)),
        p_median=limits["p_median"],
        p_high=limits["p_high"],
    )


def _codes(table: pa.Table, name: str, names: tuple[str, ...]) -> npt.NDArray[np.int8]:
    chunks = table.column(name).chunks
    codes = [
        np.array([names.index(word) for word in chunk.dictionary.to_pylist()] + [-1], np.int8)[
            chunk.indices.fill_null(len(chunk.dictionary)).to_numpy()
        ]
        for chunk in chunks
    ]
    return np.concatenate([np.empty(0, np.int8), *codes])


def _read_limits(path: Path, names: tuple[str, ...], classes: int) -> dict[str, npt.NDArray[np.float64]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        limits = {name: np.array([float(row[name] or math.nan) for row in rows], np.float64) for name in names}
    except (OSError, UnicodeDecodeError, KeyError, ValueError) as error:
        raise SketchDataError(f"{path} cannot be read as the percentiles of an audit: {error!r}") from error
    if len(rows) != classes:
        raise SketchDataError(f"{path} has {len(rows):,} classes, and the data set has {classes:,}: audit it again")
    return limits
