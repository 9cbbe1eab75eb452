"""Put a data set together from its classes: interleaved Parquet shards, then lists, card and manifest.

A build, and whatever else makes a data set of drawings, chooses each class's drawings and writes them to one Arrow file
a class in the work folder, those of the first split first, each split by rising rank. The rest happens here.
"""

from __future__ import annotations

import dataclasses
import math
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from sketchdata.drawing import concatenate
from sketchdata.engine import EngineOptions, Task, TaskResult
from sketchdata.engine import run as run_stage
from sketchdata.errors import ConfigError
from sketchdata.manifest import (
    MANIFEST_NAME,
    FileEntry,
    Manifest,
    claim_folder,
    file_entry,
    leftovers,
    read_manifest,
    replacing,
)
from sketchdata.sampling import places_of_rows, ranks, row_order, rows_before
from sketchdata.shards import parquet
from sketchdata.version import SCHEMA_VERSION, __version__

#: Rows in a shard at most: about 10 MB, so that a worker holds little and 40 of them make QuickDraw-3.8M.
SHARD_ROWS = 100_000

_WORK = ".build"
_OWN = {MANIFEST_NAME, _WORK, "data", "key_ids", "README.md", "classes.csv", "curation.csv", "rejects.jsonl"}


@dataclass(frozen=True, kw_only=True)
class Assembly:
    """A data set of drawings in the making.

    Attributes:
        out: Its folder.
        name: Its name.
        seed: Of the ranks.
    """

    out: Path
    name: str
    seed: int

    @property
    def work(self) -> Path:
        """The folder for what is not finished; it goes away at the end."""
        return self.out / _WORK

    def selected(self, word: str) -> Path:
        """Return where a class's chosen drawings belong."""
        return self.work / "select" / f"{word}.arrow"

    def finished(self, plan: Manifest) -> Manifest | None:
        """Return the data set's manifest when it is there already.

        Args:
            plan: The manifest as it would be: its options, classes and parent must be the same.

        Raises:
            ConfigError: Another data set is there.
        """
        if not (self.out / MANIFEST_NAME).exists():
            return None
        found = read_manifest(self.out)
        if (found.config, found.classes, found.parent) != (plan.config, plan.classes, plan.parent):
            raise ConfigError(
                f"{self.out} holds a data set with other options: choose another --out, or --overwrite it"
            )
        shutil.rmtree(self.work, ignore_errors=True)
        click.echo(f"{self.out} is built already; --overwrite builds it again", err=True)
        return found

    def claim(self, *, overwrite: bool) -> None:
        """Make the folder ready.

        Raises:
            ConfigError: It holds something else.
        """
        claim_folder(self.out, own=_OWN, overwrite=overwrite)

    def write_shards(
        self, counts: Mapping[str, Mapping[str, int]], inputs: Mapping[str, str], engine: EngineOptions
    ) -> list[TaskResult] | None:
        """Write the shards; None when this call is a share of a job array.

        Args:
            counts: {split: {class: drawings}}, in the order of the splits and of the class table.
            inputs: {class: sha256 of its Arrow file}.
            engine: Who does it.
        """
        tasks = self._tasks(counts, inputs)
        if engine.share()[1] == 1:
            return run_stage(write_shard, tasks, engine, title="Writing shards")
        # A share never ends the job: two that did so at once would clear the work folder away under each other.
        if run_stage(write_shard, tasks, dataclasses.replace(engine, wait=0.0), title="Writing shards") is not None:
            click.echo("all shards are written: the same command without a task range finishes the data set", err=True)
        return None

    def _tasks(self, counts: Mapping[str, Mapping[str, int]], inputs: Mapping[str, str]) -> list[Task]:
        classes, tasks = list(inputs), []
        firsts = dict.fromkeys(classes, 0)
        for split, sizes in counts.items():
            settings = {
                "classes": classes,
                "counts": [sizes[word] for word in classes],
                "firsts": [firsts[word] for word in classes],
                "selected": [str(self.selected(word)) for word in classes],
                "facts": {
                    "name": self.name,
                    "version": SCHEMA_VERSION,
                    "tool": __version__,
                    "seed": self.seed,
                    "split": split,
                },
            }
            rows = sum(sizes[word] for word in classes)
            shards = math.ceil(rows / SHARD_ROWS)
            for shard in range(shards):
                name = f"{split}-{shard:05d}-of-{shards:05d}.parquet"
                span = {"start": rows * shard // shards, "stop": rows * (shard + 1) // shards}
                output, markers = self.out / "data" / name, self.work / "shards"
                tasks.append(Task(id=name, output=output, inputs=inputs, config={**settings, **span}, markers=markers))
            firsts = {word: firsts[word] + sizes[word] for word in classes}
        return tasks

    def finish(
        self,
        manifest: Manifest,
        shards: Sequence[TaskResult],
        *,
        card: Callable[[Manifest], str],
        lists: Collection[FileEntry] = (),
    ) -> Manifest:
        """Write everything beside the shards, the manifest last, and clear the work folder away.

        Args:
            manifest: All but the files.
            shards: What `write_shards` returned.
            card: Makes the README.
            lists: Files that are there already, such as the list of rejects.
        """
        files = [dataclasses.replace(f, path=f"data/{f.path}") for result in shards for f in result.files]
        manifest = dataclasses.replace(manifest, files=tuple(files))
        files += [*lists, *(_write_key_ids(self.out, manifest, split) for split in manifest.counts)]
        files.append(_write_text(self.out, "classes.csv", _class_table(manifest), len(manifest.classes)))
        files.append(_write_text(self.out, "README.md", card(manifest), 0))
        manifest = dataclasses.replace(manifest, files=tuple(sorted(files, key=lambda file: file.path)))
        self._sweep({file.path for file in files})
        manifest.write(self.out)
        shutil.rmtree(self.work)
        return manifest

    def _sweep(self, listed: Collection[str]) -> None:
        """Remove what killed runs and runs with other options left: temporary files, and shards by other names."""
        within = [path for folder in ("data", "key_ids") for path in (self.out / folder).iterdir()]
        for path in [*leftovers(self.out), *within]:
            if path.relative_to(self.out).as_posix() not in listed:
                path.unlink()


def write_shard(task: Task) -> TaskResult:
    """Interleave the classes' drawings into one Parquet shard: rows start..stop of a split."""
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


def _write_key_ids(out: Path, manifest: Manifest, split: str) -> FileEntry:
    """List a split's key_ids, one a line, in the order of its rows: the split, published."""
    path, records = out / "key_ids" / f"{split}.txt", 0
    with replacing(path) as lines:
        for shard in manifest.shards(split):
            for table in parquet.read_row_groups(out / shard.path, ["key_id"]):
                key_ids = table.column("key_id").to_pylist()
                lines.write("".join(f"{key_id}\n" for key_id in key_ids).encode("ascii"))
                records += len(key_ids)
    return file_entry(path, out, records)


def _class_table(manifest: Manifest) -> str:
    head = ",".join(["label", "word", *manifest.counts])
    rows = [
        ",".join([str(label), word, *(str(classes[word]) for classes in manifest.counts.values())])
        for label, word in enumerate(manifest.classes)
    ]
    return "\n".join([head, *rows, ""])


def _write_text(out: Path, name: str, text: str, records: int) -> FileEntry:
    with replacing(out / name) as file:
        file.write(text.encode("utf-8"))
    return file_entry(out / name, out, records)
