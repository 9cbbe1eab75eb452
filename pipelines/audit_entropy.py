"""Audit a data set's image entropy: which drawings have too little or too much ink for their class.

One stage: `measure_shard` rasters a shard's drawings and counts their ink. Then, here: each class's percentiles over
the reference split, and every drawing judged by them, shard by shard. No step holds all drawings.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sketchdata.config import option, recorded
from sketchdata.curation.audit import ENTROPY_FILE, FLAGS, NOISE_FLAG, NORMAL_FLAG, PERCENTILES_FILE, AuditRecord
from sketchdata.curation.audit_folder import AuditFolder, map_columns, open_audit, read_shard, write_columns
from sketchdata.curation.entropy import (
    HIGH,
    LOW,
    NORMAL,
    UNJUDGED,
    VERDICTS,
    Judge,
    Reference,
    entropies,
    judge_of,
    reference,
)
from sketchdata.curation.statistics import add, tally
from sketchdata.drawings.raster import DEFAULT_SIZE, MAX_LINE_WIDTH, MAX_SIZE, ink_counts
from sketchdata.engine import EngineOptions, Task, TaskResult, run_final
from sketchdata.errors import ConfigError
from sketchdata.progress import task_bar
from sketchdata.storage.manifest import replacing

_PERCENT = click.FloatRange(0, 100)
#: Of fewer drawings, the 5th percentile lies between the two outermost and says little.
FEW = 20

_NAMES = pa.dictionary(pa.int8(), pa.string())
SCHEMA = pa.schema(
    [
        pa.field("key_id", pa.uint64(), nullable=False),
        pa.field("split", _NAMES, nullable=False),
        pa.field("label", pa.uint16(), nullable=False),
        pa.field("entropy", pa.float64(), nullable=False),
        pa.field("percentile", pa.float32()),
        pa.field("flag", _NAMES),
    ]
)
PERCENTILE_COLUMNS = (
    *("label", "word", "n", "p_low", "p_median", "p_high"),
    *("drawings", "noise_low", "noise_high", "noise_share"),
)
#: By verdict, an index into FLAGS; −1 is null.
_FLAG_OF_VERDICT = np.array([FLAGS.index(NOISE_FLAG), FLAGS.index(NORMAL_FLAG), FLAGS.index(NOISE_FLAG), -1], np.int8)

#: (S, C, VERDICTS) int64: drawings by split, class and verdict.
Tallies = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Config:
    """How drawings are rastered, and which of a class are normal."""

    size: int = option(DEFAULT_SIZE, help="Side of the raster in pixels.", type=click.IntRange(1, MAX_SIZE))
    line_width: int = option(1, help="Width of the lines in pixels.", type=click.IntRange(1, MAX_LINE_WIDTH))
    low: float = option(5.0, help="Percentile below which a drawing is noise.", type=_PERCENT)
    high: float = option(95.0, help="Percentile above which a drawing is noise.", type=_PERCENT)
    by_split: str = option("train", help="Split whose drawings give each class's percentiles.", metavar="SPLIT")


def run(directory: Path, config: Config, engine: EngineOptions) -> AuditRecord | None:
    """Audit a data set and return the audit's record; None in an unfinished share of a job array.

    Raises:
        SketchDataError: The data set is missing or damaged, or a raw drawing is not finite.
        ConfigError: The percentiles are in the wrong order, or the reference split has no drawings.
    """
    if config.low >= config.high:
        raise ConfigError(f"--low must be smaller than --high, and {config.low:g} is not smaller than {config.high:g}")
    folder = open_audit(directory, "entropy", recorded(config))
    _check_split(folder, config.by_split)
    if (finished := folder.finished()) is not None:
        return finished
    settings = {"size": config.size, "line_width": config.line_width}
    tasks = [folder.task(shard, settings) for _, shard in folder.shards()]
    if run_final(measure_shard, tasks, engine, title="Measuring entropy") is None:
        return None
    judge = judge_of(_references(folder, config), low=config.low, high=config.high)
    folder.begin()
    found = _write_entropies(folder, config, judge)
    _write_percentiles(folder, judge, found)
    files = {ENTROPY_FILE: int(found.sum()), PERCENTILES_FILE: len(judge.references)}
    return folder.finish(files, _counts(judge, folder.splits, found))


def _check_split(folder: AuditFolder, split: str) -> None:
    if split not in folder.splits:
        raise ConfigError(
            f"--by-split {split}: there are no drawings of that split to take percentiles from; "
            f"{folder.directory} has {', '.join(folder.splits)}"
        )


# ---- the stage: ink pixels of each drawing ---------------------------------------------------------------------------


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


# ---- the percentiles of each class -----------------------------------------------------------------------------------


def _references(folder: AuditFolder, config: Config) -> list[Reference]:
    """Return each class's entropies in the reference split, from a tally of ink: small for any number of drawings."""
    tallies = []
    for shard in folder.manifest.shards(config.by_split):
        columns = map_columns(folder.output(shard))
        tallies.append(tally(columns["label"], columns["ink"]))
    total = add(tallies)
    ink = [total.of(label) for label in range(len(folder.manifest.classes))]
    return [reference(entropies(values, pixels=config.size**2), drawings) for values, drawings in ink]


# ---- every drawing judged --------------------------------------------------------------------------------------------


def _write_entropies(folder: AuditFolder, config: Config, judge: Judge) -> Tallies:
    """Write `entropy.parquet`, a row group a shard; return (S, C, VERDICTS), drawings by split, class and verdict."""
    classes = len(judge.references)
    found = np.zeros((len(folder.splits), classes, VERDICTS), np.int64)
    with _entropy_writer(folder.path / ENTROPY_FILE) as writer, task_bar() as bar:
        for split, shard in bar.track(folder.shards(), description="Judging drawings"):
            columns, code = map_columns(folder.output(shard)), folder.splits.index(split)
            label, entropy = columns["label"], entropies(columns["ink"].astype(np.int64), pixels=config.size**2)
            rank, verdict = judge.judge(label, entropy)
            cells = np.bincount(label * np.int64(VERDICTS) + verdict, minlength=classes * VERDICTS)
            found[code] += cells.reshape(classes, VERDICTS)
            arrays = [
                pa.array(columns["key_id"]),
                _words(np.full(len(label), code, np.int8), folder.splits),
                pa.array(label),
                pa.array(entropy),
                pa.array(rank, mask=np.isnan(rank)),
                _words(_FLAG_OF_VERDICT[verdict], FLAGS),
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=SCHEMA))
    return found


@contextmanager
def _entropy_writer(path: Path) -> Iterator[pq.ParquetWriter]:
    with (
        replacing(path) as file,
        pq.ParquetWriter(
            file,
            SCHEMA,
            compression="zstd",
            use_dictionary=["split", "label", "entropy", "flag"],
            write_statistics=["key_id", "label"],
        ) as writer,
    ):
        yield writer


def _words(codes: npt.NDArray[np.int8], words: Sequence[str]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(codes, mask=codes < 0), pa.array(list(words), pa.string()))


# ---- the table of classes, and the numbers of the record -------------------------------------------------------------


def _write_percentiles(folder: AuditFolder, judge: Judge, found: Tallies) -> None:
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(PERCENTILE_COLUMNS)
    rows = zip(folder.manifest.classes, judge.references, judge.limits.tolist(), found.sum(axis=0), strict=True)
    for label, (word, own, limits, verdicts) in enumerate(rows):
        low, _, high, unjudged = (int(verdicts[v]) for v in (LOW, NORMAL, HIGH, UNJUDGED))
        drawings = int(verdicts.sum())
        share = (low + high) / drawings if drawings > unjudged else math.nan
        numbers = ["" if math.isnan(number) else repr(number) for number in [*limits, share]]
        writer.writerow([label, word, len(own), *numbers[:3], drawings, low, high, numbers[3]])
    with replacing(folder.path / PERCENTILES_FILE) as file:
        file.write(lines.getvalue().encode("utf-8"))


def _counts(judge: Judge, splits: Sequence[str], found: Tallies) -> dict[str, Any]:
    """Return the record's counts: of all drawings, and of each split's."""
    sizes = [len(own) for own in judge.references]
    return {
        **_verdict_counts(found.sum(axis=(0, 1))),
        "splits": {split: _verdict_counts(found[code].sum(axis=0)) for code, split in enumerate(splits)},
        "classes_without_reference": sum(size == 0 for size in sizes),
        "classes_with_few": sum(0 < size < FEW for size in sizes),
    }


def _verdict_counts(verdicts: npt.NDArray[np.int64]) -> dict[str, int]:
    low, normal, high, unjudged = (int(verdicts[v]) for v in (LOW, NORMAL, HIGH, UNJUDGED))
    counts = {"normal": normal, "noise": low + high, "low": low, "high": high, "unjudged": unjudged}
    return {"drawings": int(verdicts.sum()), **counts}
