"""Assembly of a data set from its classes: interleaved Parquet shards, then lists, card and manifest.

A pipeline that makes a data set of drawings first writes the selected drawings of each class to one Arrow file in the
work folder, split by split, in ascending order of rank. This module does the rest.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sketchdata import __version__
from sketchdata.drawings.drawing import concatenate
from sketchdata.drawings.sampling import places_of_rows, ranks, row_order, rows_before
from sketchdata.engine import EngineOptions, Stage, Task, TaskResult, run, run_final
from sketchdata.engine.output_folder import OutputFolder
from sketchdata.errors import SketchDataError
from sketchdata.formats.files import FaultCounts
from sketchdata.storage import parquet
from sketchdata.storage.manifest import SCHEMA_VERSION, FileEntry, Manifest, file_entry, replacing
from sketchdata.storage.selection import cross_class_duplicates

#: Maximum number of rows in a shard: about 10 MB, so that workers need little memory; QuickDraw-3.8M has 40 shards.
SHARD_ROWS = 100_000

_NAMES = frozenset({"data", "key_ids", "classes.csv", "curation.csv", "rejects.jsonl"})
#: Suffix of a curated data set's name.
CURATED = "-curated"


def drawings_folder(out: Path, plan: Manifest, same: tuple[str, ...] = ("config", "classes", "parent")) -> OutputFolder:
    """Return the output folder of a data set of drawings.

    `plan` is the manifest as far as it is known in advance; its `config` has the `seed` of the ranks. `same` are the
    fields that must be equal for a finished data set to be this one.
    """
    name = plan.name.removesuffix(CURATED)
    return OutputFolder(
        # Workers on other machines may have another current folder.
        out=out.absolute(),
        plan=plan,
        names=_NAMES,
        noun="data set of drawings",
        work_name=".build",
        same=same,
        # Each task checks whether an earlier run left its output.
        limits={},
        replaces=frozenset({name, name + CURATED}),
    )


def selected(folder: OutputFolder, word: str) -> Path:
    """Return the path of a class's selected drawings."""
    return folder.work / "select" / f"{word}.arrow"


def select_classes(
    folder: OutputFolder,
    classes: Sequence[str],
    task_of: Callable[[int, str, Mapping[int, str]], Task],
    stage: Stage,
    engine: EngineOptions,
) -> list[TaskResult] | None:
    """Select the drawings of all classes, each in one class only; None in an unfinished share of a job array.

    `task_of(label, word, taken)` returns the task of a class, which writes `selected(folder, word)` and does not select
    drawings in `taken`, {key_id: the class that has it}.
    """
    taken: dict[str, dict[int, str]] = {word: {} for word in classes}
    while True:
        tasks = [task_of(label, word, taken[word]) for label, word in enumerate(classes)]
        results = run(stage, tasks, engine, title="Selecting drawings")
        if results is None:
            return None
        twice = cross_class_duplicates({word: parquet.map_arrow(selected(folder, word)).key_id for word in classes})
        if not twice:
            return results
        # The later class in the table drops the drawing and takes its next one.
        for word, key_ids in twice.items():
            taken[word] |= key_ids


def count_rejects(results: Sequence[TaskResult]) -> dict[str, int]:
    """Return {reason: number of rejected records} over all results."""
    counts = sum((Counter(result.rejects) for result in results), Counter[str]())
    return dict(sorted(counts.items()))


def check_rejects(rejects: Mapping[str, int], examined: int, most: float, listed: Path) -> None:
    """Check that at most a share `most` of the examined records was rejected; `listed` is the file that lists them.

    Raises:
        SketchDataError: The share is larger.
    """
    bad = sum(rejects.values())
    if bad > most * examined:
        reasons = FaultCounts.of_list(listed, rejects)
        raise SketchDataError(
            f"{bad:,} of {examined:,} examined records are bad ({bad / examined:.2%}; --max-bad-fraction allows "
            f"{most:.2%}): {reasons}. {listed} lists them"
        )


def write_shards(
    folder: OutputFolder, counts: Mapping[str, Mapping[str, int]], inputs: Mapping[str, str], engine: EngineOptions
) -> list[TaskResult] | None:
    """Write the shards; None when this call is a share of a job array. See `shard_tasks`."""
    return run_final(write_shard, shard_tasks(folder, counts, inputs), engine, title="Writing shards")


def shard_tasks(folder: OutputFolder, counts: Mapping[str, Mapping[str, int]], inputs: Mapping[str, str]) -> list[Task]:
    """Return the tasks of `write_shard`.

    `counts` are {split: {class: drawings}}, in the order of splits and class table; `inputs` are the sha256 of
    each class's Arrow file.
    """
    classes, tasks = list(inputs), []
    firsts = dict.fromkeys(classes, 0)
    for split, sizes in counts.items():
        settings = {
            "classes": classes,
            "counts": [sizes[word] for word in classes],
            "firsts": [firsts[word] for word in classes],
            "selected": [str(selected(folder, word)) for word in classes],
            "facts": {
                "name": folder.plan.name,
                "version": SCHEMA_VERSION,
                "tool": __version__,
                "seed": folder.plan.config["seed"],
                "split": split,
            },
        }
        rows = sum(sizes[word] for word in classes)
        shards = math.ceil(rows / SHARD_ROWS)
        for shard in range(shards):
            name = f"{split}-{shard:05d}-of-{shards:05d}.parquet"
            span = {"start": rows * shard // shards, "stop": rows * (shard + 1) // shards}
            output, markers = folder.out / "data" / name, folder.work / "shards"
            tasks.append(Task(id=name, output=output, inputs=inputs, config={**settings, **span}, markers=markers))
        firsts = {word: firsts[word] + sizes[word] for word in classes}
    return tasks


def finish(
    folder: OutputFolder,
    shards: Sequence[TaskResult],
    *,
    card: Callable[[Manifest], str],
    lists: Sequence[FileEntry],
    **facts: Any,
) -> Manifest:
    """Write the other files, the manifest last, and delete the work folder.

    `lists` are existing files, such as the rejects; `facts` are the fields of the manifest, such as `counts`, that the
    plan did not have.
    """
    files = [dataclasses.replace(f, path=f"data/{f.path}") for result in shards for f in result.files]
    manifest = dataclasses.replace(folder.plan, files=tuple(files), **facts)
    files += lists
    for split in manifest.counts:
        # The published split: its key_ids, one per line, in the order of its rows.
        name, records = f"key_ids/{split}.txt", 0
        with replacing(folder.work / name) as lines:
            for shard in manifest.shards(split):
                for table in parquet.read_row_groups(folder.out / shard.path, ["key_id"]):
                    key_ids = table.column("key_id").to_pylist()
                    lines.write("".join(f"{key_id}\n" for key_id in key_ids).encode("ascii"))
                    records += len(key_ids)
        files.append(folder.publish(name, records))
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["label", "word", *manifest.counts])
    for label, word in enumerate(manifest.classes):
        writer.writerow([label, word, *(counts[word] for counts in manifest.counts.values())])
    files.append(folder.put("classes.csv", table.getvalue().encode("utf-8"), len(manifest.classes)))
    return folder.finish(files, card, sweep=("data", "key_ids"), **facts)


def write_shard(task: Task) -> TaskResult:
    """Write rows start..stop of a split to a Parquet shard, interleaving the classes' drawings."""
    settings = task.config
    counts = np.array(settings["counts"], np.int64)
    low, high = places_of_rows(counts, settings["start"], settings["stop"])
    batches, places = [], []
    for path, count, first in zip(settings["selected"], settings["counts"], settings["firsts"], strict=True):
        stop = min(high, count)
        if low < stop:
            batches.append(parquet.map_arrow(Path(path)).slice(first + low, first + stop))
            places.append(np.arange(low, stop))
    batch = concatenate(batches)
    order = row_order(np.concatenate(places), ranks(batch.key_id, settings["facts"]["seed"]))
    before = rows_before(counts, low)
    rows = order[settings["start"] - before : settings["stop"] - before]
    parquet.write_shard(task.output, batch.take(rows), settings["classes"], settings["facts"])
    return TaskResult(task_id=task.id, files=(file_entry(task.output, task.output.parent, len(rows)),))
