"""Filling the holes of a curated data set with each class's next drawings, by rank, from its official file."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from sketchdata.curation.entropy import drawing_entropies
from sketchdata.curation.plan import Curation, Mask, Stored, contains, write_ids
from sketchdata.drawings.drawing import DrawingBatch
from sketchdata.drawings.sampling import ranks
from sketchdata.engine import EngineOptions, Task, TaskResult
from sketchdata.engine import run as run_stage
from sketchdata.errors import FetchError, SketchDataError
from sketchdata.storage import parquet
from sketchdata.storage.catalog import official_path
from sketchdata.storage.manifest import file_entry, replacing
from sketchdata.storage.selection import Accept, Rules, cross_class_duplicates, select
from sketchdata.storage.sources import Source, SourceFile, find_files, open_source, read_content


def refill(curation: Curation, work: Path, location: str, engine: EngineOptions) -> dict[str, TaskResult] | None:
    """Choose what fills the holes, class by class; no drawing is in two classes, nor in the data set already.

    Args:
        curation: What is removed.
        work: Folder of the results: `{class}.arrow` by rising rank, and `{class}.rejects.jsonl`.
        location: Of the source that the data set was built from.
        engine: Who does it.

    Returns:
        {class: result} of the classes with holes; None when this call is a share of a job array.

    Raises:
        SketchDataError: The source is not there, or is another one than that of the build.
    """
    holes = _holes(curation)
    source = open_source(location)
    files = find_files(source, [official_path(curation.parent.config["input_format"], word) for word in holes])
    known = np.unique(np.concatenate([curation.audit.key_id, curation.drop]))
    lists = {
        "known": write_ids(work / "known.npy", known),
        "keep": write_ids(work / "keep.npy", curation.keep),
    }
    taken: dict[str, dict[int, str]] = {word: {} for word in holes}
    while True:
        rules = _rules(curation, holes, taken)
        tasks = [_task(curation, work, (source, file), rule, lists) for file, rule in zip(files, rules, strict=True)]
        results = run_stage(refill_class, tasks, engine, title="Refilling")
        if results is None:
            return None
        twice = cross_class_duplicates({task.id: parquet.map_arrow(task.output).key_id for task in tasks})
        if not twice:
            return {result.task_id: result for result in results}
        for word, key_ids in twice.items():
            taken[word] |= key_ids


def _holes(curation: Curation) -> dict[str, dict[str, int]]:
    """Return {class: {split: drawings removed}} of the classes that lost any."""
    removed = curation.count(curation.removed)
    holes = {word: {split: counts[word] for split, counts in removed.items()} for word in curation.audit.classes}
    return {word: splits for word, splits in holes.items() if any(splits.values())}


def _rules(
    curation: Curation, holes: Mapping[str, Mapping[str, int]], taken: Mapping[str, Mapping[int, str]]
) -> Iterator[Rules]:
    options, audit = curation.parent.config, curation.audit
    last = np.zeros(len(audit.classes), np.uint64)
    np.maximum.at(last, audit.label, ranks(audit.key_id, options["seed"]))
    for word, splits in holes.items():
        label = audit.classes.index(word)
        yield Rules(
            word=word,
            label=label,
            input_format=options["input_format"],
            keep_raw=curation.parent.is_raw,
            count=sum(splits.values()),
            seed=options["seed"],
            recognized_only=options["recognized_only"],
            after=int(last[label]),
            taken=taken[word],
        )


def _task(
    curation: Curation,
    work: Path,
    stored: tuple[Source, SourceFile],
    rules: Rules,
    lists: Mapping[str, Stored],
) -> Task:
    source, file = stored
    audit = curation.audit
    entries = {entry.path: entry for entry in curation.parent.sources}
    return Task(
        id=rules.word,
        output=work / f"{rules.word}.arrow",
        inputs={file.path: file.identity, **{name: sha256 for name, (_, sha256) in lists.items()}},
        config={
            "source": source.location,
            "path": file.path,
            "identity": file.identity,
            "md5": entries[file.path].md5,
            "rules": dataclasses.asdict(rules),
            "words": list(audit.classes),
            "raster": {name: audit.record.options[name] for name in ("size", "line_width")},
            "limits": curation.limits(rules.label),
            **{name: path for name, (path, _) in lists.items()},
        },
    )


def refill_class(task: Task) -> TaskResult:
    """Read a class's official file once and keep its next good drawings, in rank order."""
    settings = task.config
    source = open_source(settings["source"])
    file = source.find(settings["path"])
    if file is None or file.identity != settings["identity"]:
        raise FetchError(f"{settings['path']} at {source.location} changed meanwhile: run the command again")
    rules = Rules(**settings["rules"])
    selection = select(lambda: read_content(source, file), rules, md5=file.content_md5, accept=_accept(settings))
    if selection.md5 != settings["md5"]:
        raise SketchDataError(
            f"{file.location} has md5 {selection.md5}, and the data set was built from a file with {settings['md5']}: "
            "its next drawings would be others; give the --source of the build"
        )
    parquet.write_arrow(task.output, selection.batch, settings["words"])
    rejects = task.output.with_suffix(".rejects.jsonl")
    with replacing(rejects) as lines:
        for reject in selection.rejects:
            line = {"file": file.path, **dataclasses.asdict(reject)}
            lines.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
    files = [file_entry(task.output, task.output.parent, len(selection.batch))]
    return TaskResult(
        task_id=task.id,
        files=(*files, file_entry(rejects, task.output.parent, len(selection.rejects))),
        counts={"drawings": len(selection.batch), "passed_over": selection.passed_over},
        rejects=dict(Counter(reject.reason for reject in selection.rejects)),
    )


def _accept(settings: Mapping[str, Any]) -> Accept:
    """Return the judgement of new drawings: not in the data set, not dropped, and no noise or kept."""
    known, keep = (np.load(settings[name], mmap_mode="r") for name in ("known", "keep"))

    def accept(batch: DrawingBatch) -> Mask:
        new = ~contains(known, batch.key_id)
        if settings["limits"] is None:
            return new
        low, high = settings["limits"]
        entropy = drawing_entropies(batch, **settings["raster"])
        normal: Mask = (low <= entropy) & (entropy <= high)
        return new & (normal | contains(keep, batch.key_id))

    return accept
