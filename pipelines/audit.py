"""Audit a data set of drawings: image entropy, duplicates and statistics.

Each audit runs tasks over the shards, writes their results to the work folder, and then combines them. No step holds
all drawings.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sketchdata.config import option, recorded
from sketchdata.curation.audit import (
    ENTROPY_FILE,
    FLAGS,
    NAMES,
    NOISE_FLAG,
    NORMAL_FLAG,
    PERCENTILES_FILE,
    AuditFolder,
    AuditRecord,
    map_columns,
    map_table,
    name_column,
    open_audit,
    read_shard,
    write_columns,
)
from sketchdata.curation.duplicates import Members, digests, leakage, mixed_groups, normal_forms, repeated, within
from sketchdata.curation.entropy import HIGH, LOW, NORMAL, UNJUDGED, VERDICTS, ClassLimits, entropies, reference
from sketchdata.curation.statistics import MEASURES, ClassStatistics, ValueTally, add, describe, measure, tally
from sketchdata.drawings.drawing import empty_batch
from sketchdata.drawings.raster import DEFAULT_SIZE, MAX_LINE_WIDTH, MAX_SIZE, ink_counts
from sketchdata.engine import EngineOptions, Task, TaskResult, run_final
from sketchdata.engine import run as run_stage
from sketchdata.errors import ConfigError
from sketchdata.progress import task_bar
from sketchdata.storage.manifest import hash_file, replacing

DUPLICATES_FILE, SUMMARY_FILE = "duplicates.parquet", "summary.csv"

_PERCENT = click.FloatRange(0, 100)
#: With fewer drawings, the 5th percentile lies between the two smallest values and means little.
FEW = 20

ENTROPY_SCHEMA = pa.schema(
    [
        pa.field("key_id", pa.uint64(), nullable=False),
        pa.field("split", NAMES, nullable=False),
        pa.field("label", pa.uint16(), nullable=False),
        pa.field("entropy", pa.float64(), nullable=False),
        pa.field("percentile", pa.float32()),
        pa.field("flag", NAMES),
    ]
)
PERCENTILE_COLUMNS = (
    *("label", "word", "n", "p_low", "p_median", "p_high"),
    *("drawings", "noise_low", "noise_high", "noise_share"),
)
#: {verdict: index into FLAGS}; −1 is null.
_FLAG_OF_VERDICT = np.array([FLAGS.index(NOISE_FLAG), FLAGS.index(NORMAL_FLAG), FLAGS.index(NOISE_FLAG), -1], np.int8)

#: (S, C, VERDICTS) int64: drawings by split, class and verdict.
VerdictCounts = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class EntropyConfig:
    """Options: the raster of the drawings, and the normal range of a class."""

    size: int = option(DEFAULT_SIZE, help="Side of the raster in pixels.", type=click.IntRange(1, MAX_SIZE))
    line_width: int = option(1, help="Width of the lines in pixels.", type=click.IntRange(1, MAX_LINE_WIDTH))
    low: float = option(5.0, help="Percentile below which a drawing is noise.", type=_PERCENT)
    high: float = option(95.0, help="Percentile above which a drawing is noise.", type=_PERCENT)
    by_split: str = option("train", help="Split whose drawings give each class's percentiles.", metavar="SPLIT")


def audit_entropy(directory: Path, config: EntropyConfig, engine: EngineOptions) -> AuditRecord | None:
    """Audit the image entropy and return the record of the audit; None in an unfinished share of a job array.

    Raises:
        SketchDataError: The data set is missing or damaged, or a raw drawing is not finite.
        ConfigError: The percentiles are in the wrong order, or the reference split has no drawings.
    """
    if config.low >= config.high:
        raise ConfigError(f"--low must be smaller than --high, and {config.low:g} is not smaller than {config.high:g}")
    folder = open_audit(directory, "entropy", recorded(config))
    if config.by_split not in folder.splits:
        raise ConfigError(
            f"--by-split {config.by_split}: there are no drawings of that split to take percentiles from; "
            f"{folder.directory} has {', '.join(folder.splits)}"
        )
    if (finished := folder.finished()) is not None:
        return finished
    settings = {"size": config.size, "line_width": config.line_width}
    tasks = [folder.task(shard, settings) for _, shard in folder.shards()]
    if run_final(measure_shard, tasks, engine, title="Measuring entropy") is None:
        return None
    # A tally of ink pixels is small for any number of drawings.
    columns = [map_columns(folder.output(shard)) for shard in folder.manifest.shards(config.by_split)]
    total = add([tally(column["label"], column["ink"]) for column in columns])
    ink = [total.of(label) for label in range(len(folder.manifest.classes))]
    references = [reference(entropies(values, pixels=config.size**2), drawings) for values, drawings in ink]
    limits = ClassLimits.fit(references, low=config.low, high=config.high)
    folder.begin()
    found = _write_entropies(folder, config, limits)
    _write_percentiles(folder, limits, found)
    sizes = [len(own) for own in references]
    counts = {
        **_verdict_counts(found.sum(axis=(0, 1))),
        "splits": {split: _verdict_counts(found[code].sum(axis=0)) for code, split in enumerate(folder.splits)},
        "classes_without_reference": sum(size == 0 for size in sizes),
        "classes_with_few": sum(0 < size < FEW for size in sizes),
    }
    return folder.finish({ENTROPY_FILE: int(found.sum()), PERCENTILES_FILE: len(sizes)}, counts)


def measure_shard(task: Task) -> TaskResult:
    """Count the ink pixels of a shard's drawings, in the order of its rows."""
    size, line_width = task.config["size"], task.config["line_width"]
    key_ids, labels, ink = [], [], []
    for batch in read_shard(task):
        key_ids.append(batch.key_id)
        labels.append(batch.label)
        ink.append(ink_counts(batch, size=size, line_width=line_width, threads=1).astype(np.uint32))
    columns = {"key_id": np.concatenate(key_ids), "label": np.concatenate(labels), "ink": np.concatenate(ink)}
    return write_columns(task, columns)


def _write_entropies(folder: AuditFolder, config: EntropyConfig, limits: ClassLimits) -> VerdictCounts:
    """Classify every drawing and write `entropy.parquet`, one row group per shard."""
    classes = len(limits.references)
    found = np.zeros((len(folder.splits), classes, VERDICTS), np.int64)
    with (
        replacing(folder.path / ENTROPY_FILE) as file,
        pq.ParquetWriter(
            file,
            ENTROPY_SCHEMA,
            compression="zstd",
            use_dictionary=["split", "label", "entropy", "flag"],
            write_statistics=["key_id", "label"],
        ) as writer,
        task_bar() as bar,
    ):
        for split, shard in bar.track(folder.shards(), description="Classifying drawings"):
            columns, code = map_columns(folder.output(shard)), folder.splits.index(split)
            label, entropy = columns["label"], entropies(columns["ink"].astype(np.int64), pixels=config.size**2)
            rank, verdict = limits.classify(label, entropy)
            cells = np.bincount(label * np.int64(VERDICTS) + verdict, minlength=classes * VERDICTS)
            found[code] += cells.reshape(classes, VERDICTS)
            arrays = [
                pa.array(columns["key_id"]),
                name_column(np.full(len(label), code), folder.splits),
                pa.array(label),
                pa.array(entropy),
                pa.array(rank, mask=np.isnan(rank)),
                name_column(_FLAG_OF_VERDICT[verdict], FLAGS),
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=ENTROPY_SCHEMA))
    return found


def _write_percentiles(folder: AuditFolder, limits: ClassLimits, found: VerdictCounts) -> None:
    rows: list[Sequence[object]] = [PERCENTILE_COLUMNS]
    classes = zip(folder.manifest.classes, limits.references, limits.bounds.tolist(), found.sum(axis=0), strict=True)
    for label, (word, own, bounds, verdicts) in enumerate(classes):
        counts = _verdict_counts(verdicts)
        drawings = counts["drawings"]
        share = counts["noise"] / drawings if drawings > counts["unjudged"] else math.nan
        numbers = ["" if math.isnan(number) else repr(number) for number in [*bounds, share]]
        rows.append([label, word, len(own), *numbers[:3], drawings, counts["low"], counts["high"], numbers[3]])
    folder.write_csv(PERCENTILES_FILE, rows)


def _verdict_counts(verdicts: npt.NDArray[np.int64]) -> dict[str, int]:
    low, normal, high, unjudged = (int(verdicts[v]) for v in (LOW, NORMAL, HIGH, UNJUDGED))
    counts = {"normal": normal, "noise": low + high, "low": low, "high": high, "unjudged": unjudged}
    return {"drawings": int(verdicts.sum()), **counts}


#: Maximum number of drawings compared at a time: about 150 MB.
AT_ONCE = 500_000

DUPLICATES_SCHEMA = pa.schema(
    [
        pa.field("group", pa.uint32(), nullable=False),
        pa.field("key_id", pa.uint64(), nullable=False),
        pa.field("split", NAMES, nullable=False),
        pa.field("label", pa.uint16(), nullable=False),
    ]
)


def audit_duplicates(directory: Path, engine: EngineOptions) -> AuditRecord | None:
    """Find equal drawings and return the record of the audit; None in an unfinished share of a job array.

    `digest_shard` hashes every drawing; drawings with equal hashes are candidates. `collect_shard` reads the candidates
    again, so that drawings are compared and not only their hashes.

    Raises:
        SketchDataError: The data set is missing or damaged.
    """
    folder = open_audit(directory, "duplicates", {})
    if (finished := folder.finished()) is not None:
        return finished
    shards = [shard for _, shard in folder.shards()]
    hashed = [folder.task(shard, {}, "digests") for shard in shards]
    if run_stage(digest_shard, hashed, engine, title="Hashing drawings") is None:
        return None
    path = folder.work / "repeated.npy"
    with replacing(path) as file:
        np.save(file, repeated(np.concatenate([map_columns(task.output)["digest"] for task in hashed])))
    settings = {"repeated": str(path), "sha256_of_repeated": hash_file(path, "sha256")}
    tasks = [
        folder.task(shard, {**settings, "digests": str(task.output)}, "forms")
        for shard, task in zip(shards, hashed, strict=True)
    ]
    if run_final(collect_shard, tasks, engine, title="Comparing drawings") is None:
        return None
    members = _members(folder)
    folder.begin()
    order = np.argsort(members.group, kind="stable")
    arrays = [
        pa.array(members.group[order]),
        pa.array(members.key_id[order]),
        name_column(members.split[order], folder.splits),
        pa.array(members.label[order]),
    ]
    with replacing(folder.path / DUPLICATES_FILE) as file:
        pq.write_table(pa.Table.from_arrays(arrays, schema=DUPLICATES_SCHEMA), file, compression="zstd")
    groups = int(members.group.max(initial=0)) + 1 if len(members) else 0
    counts = {
        "groups": groups,
        "drawings": len(members),
        "surplus": len(members) - groups,
        "groups_of_several_classes": mixed_groups(members),
        "within": {split: within(members, code) for code, split in enumerate(folder.splits)},
        "leakage": [dataclasses.asdict(each) for each in leakage(members, folder.splits)],
    }
    return folder.finish({DUPLICATES_FILE: len(members)}, counts)


def digest_shard(task: Task) -> TaskResult:
    """Hash a shard's drawings, in the order of its rows."""
    return write_columns(task, {"digest": np.concatenate([digests(batch) for batch in read_shard(task)])})


def collect_shard(task: Task) -> TaskResult:
    """Collect the drawings of a shard whose hash occurs more than once in the data set, in normal form."""
    digest, twice = map_columns(Path(task.config["digests"]))["digest"], np.load(task.config["repeated"])
    wanted = np.flatnonzero(np.isin(digest, twice))
    parts, forms, before = [empty_batch()], [], 0
    for batch in read_shard(task) if len(wanted) else ():
        rows = wanted[(wanted >= before) & (wanted < before + len(batch))] - before
        chosen = batch.take(rows)
        forms += list(normal_forms(chosen))
        parts.append(chosen)
        before += len(batch)
    columns = {
        "digest": digest[wanted],
        "key_id": np.concatenate([part.key_id for part in parts]),
        "label": np.concatenate([part.label for part in parts]),
        "form": pa.array(forms, pa.binary()),
    }
    return write_columns(task, columns)


def _members(folder: AuditFolder) -> Members:
    shards = [(folder.splits.index(split), folder.output(shard, "forms")) for split, shard in folder.shards()]
    columns = [map_columns(path, ["digest", "key_id", "label"]) for _, path in shards]
    sizes = [len(part["digest"]) for part in columns]
    joined = {name: np.concatenate([part[name] for part in columns]) for name in ("digest", "key_id", "label")}
    firsts = _firsts([path for _, path in shards], joined["digest"])
    _, group, counts = np.unique(firsts, return_inverse=True, return_counts=True)
    # A group of one: a hash collision with a different drawing.
    equal = counts[group] > 1
    _, group = np.unique(firsts[equal], return_inverse=True)
    return Members(
        group=group.astype(np.uint32),
        key_id=joined["key_id"][equal],
        split=np.repeat([code for code, _ in shards], sizes).astype(np.uint8)[equal],
        label=joined["label"][equal],
    )


def _firsts(paths: Sequence[Path], digest: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Return, for each of M candidates, the index of the first candidate equal to it: (M,) int64.

    Drawings are compared as keys of a dict, in rounds that fit into memory.
    """
    firsts, rounds = np.empty(len(digest), np.int64), len(digest) // AT_ONCE + 1
    turn = digest % np.uint64(rounds)
    for number in range(rounds):
        seen: dict[bytes, int] = {}
        before = 0
        for path in paths:
            forms = map_table(path).column("form")
            rows = np.flatnonzero(turn[before : before + len(forms)] == number)
            found = forms.take(pa.array(rows)).to_pylist()
            firsts[before + rows] = [
                seen.setdefault(f, r) for f, r in zip(found, (before + rows).tolist(), strict=True)
            ]
            before += len(forms)
    return firsts


#: Name of all splits together.
ALL = "all"
SUMMARY_COLUMNS = ("label", "word", "split", *(field.name for field in dataclasses.fields(ClassStatistics)))


def audit_summary(directory: Path, engine: EngineOptions) -> AuditRecord | None:
    """Summarise the drawings and return the record of the audit; None in an unfinished share of a job array.

    Raises:
        SketchDataError: The data set is missing or damaged.
    """
    folder = open_audit(directory, "summary", {})
    if (finished := folder.finished()) is not None:
        return finished
    tasks = [folder.task(shard, {}) for _, shard in folder.shards()]
    if run_final(tally_shard, tasks, engine, title="Counting") is None:
        return None
    tallies = {}
    for split in folder.splits:
        shards = [map_columns(folder.output(shard)) for shard in folder.manifest.shards(split)]
        tallies[split] = _add_up([_tallies_in(columns) for columns in shards])
    tallies[ALL] = _add_up(list(tallies.values()))
    folder.begin()
    rows: list[Sequence[object]] = []
    for label, word in enumerate(folder.manifest.classes):
        for split, found in tallies.items():
            statistics = dataclasses.astuple(describe(found, label))
            rows.append([label, word, split, *("" if value is None else value for value in statistics)])
    folder.write_csv(SUMMARY_FILE, [SUMMARY_COLUMNS, *rows])
    counts = {
        "splits": {split: dataclasses.asdict(describe(found)) for split, found in tallies.items()},
        "classes": {
            word: dataclasses.asdict(describe(tallies[ALL], label))
            for label, word in enumerate(folder.manifest.classes)
        },
    }
    return folder.finish({SUMMARY_FILE: len(rows)}, counts)


def tally_shard(task: Task) -> TaskResult:
    """Count the drawings of a shard by class and value of each measure."""
    found = list(_add_up([measure(batch) for batch in read_shard(task)]).values())
    columns = {
        "measure": np.repeat(np.arange(len(MEASURES), dtype=np.uint8), [len(each.label) for each in found]),
        "label": np.concatenate([each.label for each in found]),
        "value": np.concatenate([each.value for each in found]),
        "drawings": np.concatenate([each.drawings for each in found]),
    }
    return write_columns(task, columns)


def _add_up(parts: Sequence[Mapping[str, ValueTally]]) -> dict[str, ValueTally]:
    return {name: add([part[name] for part in parts]) for name in MEASURES}


def _tallies_in(columns: Mapping[str, npt.NDArray[Any]]) -> dict[str, ValueTally]:
    return {
        name: ValueTally(**{key: columns[key][columns["measure"] == code] for key in ("label", "value", "drawings")})
        for code, name in enumerate(MEASURES)
    }
