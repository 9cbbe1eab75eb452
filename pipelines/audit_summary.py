"""Audit what a data set's drawings are like: strokes, points, countries and the recognized share, by class and split.

One stage: `tally_shard` counts a shard's drawings by class and value. The tallies of all shards, added up, are small.
"""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from sketchdata.curation.audit import AuditRecord
from sketchdata.curation.audit_folder import AuditFolder, map_columns, open_audit, read_shard, write_columns
from sketchdata.curation.statistics import MEASURES, Statistics, Tally, add, describe, measure
from sketchdata.engine import EngineOptions, Task, TaskResult, run_final
from sketchdata.storage.manifest import replacing

SUMMARY_FILE = "summary.csv"
#: The name under which a class's splits together stand.
ALL = "all"
COLUMNS = ("label", "word", "split", *(field.name for field in dataclasses.fields(Statistics)))


def run(directory: Path, engine: EngineOptions) -> AuditRecord | None:
    """Summarize a data set and return the audit's record; None in an unfinished share of a job array.

    Raises:
        SketchDataError: The data set is missing or damaged.
    """
    folder = open_audit(directory, "summary", {})
    if (finished := folder.finished()) is not None:
        return finished
    tasks = [folder.task(shard, {}) for _, shard in folder.shards()]
    if run_final(tally_shard, tasks, engine, title="Counting") is None:
        return None
    tallies = _tallies(folder)
    folder.begin()
    rows = _write_table(folder, tallies)
    counts = {
        "splits": {split: dataclasses.asdict(describe(found)) for split, found in tallies.items()},
        "classes": {
            word: dataclasses.asdict(describe(tallies[ALL], label))
            for label, word in enumerate(folder.manifest.classes)
        },
    }
    return folder.finish({SUMMARY_FILE: rows}, counts)


def tally_shard(task: Task) -> TaskResult:
    """Tally a shard's drawings by class and value of each measure."""
    parts = [measure(batch) for batch in read_shard(task)]
    found = [add([part[name] for part in parts]) for name in MEASURES]
    columns = {
        "measure": np.repeat(np.arange(len(MEASURES), dtype=np.uint8), [len(each.label) for each in found]),
        "label": np.concatenate([each.label for each in found]),
        "value": np.concatenate([each.value for each in found]),
        "drawings": np.concatenate([each.drawings for each in found]),
    }
    return write_columns(task, columns)


def _tallies(folder: AuditFolder) -> dict[str, dict[str, Tally]]:
    """Return {split: {measure: tally}} of the splits that have drawings, and of all together."""
    found = {}
    for split in folder.splits:
        parts = [_read_tallies(folder.output(shard)) for shard in folder.manifest.shards(split)]
        found[split] = _add_up(parts)
    return {**found, ALL: _add_up(list(found.values()))}


def _add_up(parts: list[dict[str, Tally]]) -> dict[str, Tally]:
    return {name: add([part[name] for part in parts]) for name in MEASURES}


def _read_tallies(path: Path) -> dict[str, Tally]:
    columns = map_columns(path)
    return {
        name: Tally(**{key: columns[key][columns["measure"] == code] for key in ("label", "value", "drawings")})
        for code, name in enumerate(MEASURES)
    }


def _write_table(folder: AuditFolder, tallies: Mapping[str, Mapping[str, Tally]]) -> int:
    """Write a row a class and split, and one a class for all splits; return how many."""
    lines, rows = io.StringIO(), 0
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(COLUMNS)
    for label, word in enumerate(folder.manifest.classes):
        for split, found in tallies.items():
            statistics = dataclasses.astuple(describe(found, label))
            writer.writerow([label, word, split, *("" if value is None else value for value in statistics)])
            rows += 1
    with replacing(folder.path / SUMMARY_FILE) as file:
        file.write(lines.getvalue().encode("utf-8"))
    return rows
