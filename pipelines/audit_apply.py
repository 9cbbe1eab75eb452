"""Apply an audit and the decisions of its curators: from a data set to a curated one of the same layout.

Three stages precede the assembly of shards, which is that of a build. `group_shard` drops removed drawings, relabels
others and groups the rest by class; with --refill, `refill_class` takes the next drawings of each class from its
official file; `gather_class` joins both. An interrupted run resumes, and the manifest is written last.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import orjson

from sketchdata.config import FOLDER, option
from sketchdata.curation.audit import read_shard
from sketchdata.curation.entropy import drawing_entropies
from sketchdata.curation.plan import (
    CURATION_FILE,
    Counts,
    Curation,
    KeyIds,
    Mask,
    Stored,
    contains,
    curated_card,
    curation_table,
    read_curation,
    removals,
    write_ids,
)
from sketchdata.drawings.drawing import DrawingBatch, concatenate, empty_batch
from sketchdata.drawings.sampling import ranks
from sketchdata.engine import EngineOptions, Task, TaskResult
from sketchdata.engine import run as run_stage
from sketchdata.engine.assembly import CURATED, drawings_folder, finish, selected, write_shards
from sketchdata.engine.output_folder import OutputFolder
from sketchdata.errors import ConfigError, FetchError, SketchDataError
from sketchdata.progress import console
from sketchdata.storage import parquet
from sketchdata.storage.catalog import official_path
from sketchdata.storage.manifest import AUDIT_FOLDER, Manifest, ParentEntry, file_entry, replacing
from sketchdata.storage.selection import Accept, Rules, cross_class_duplicates, select
from sketchdata.storage.sources import Source, SourceFile, find_files, location_of, open_source, read_content

_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Config:
    """Options: removals, replacements, and the folder of the curated data set."""

    out: Path = option(help="Folder of the curated data set.", record=False, type=FOLDER)
    splits: str | None = option(
        None, help="Comma-separated names of the splits to curate. Default: all.", metavar="A,B,…"
    )
    no_noise: bool = option(False, help="Keep flagged items, and apply the decisions alone.")
    refill: bool = option(False, help="Replace removed drawings by each class's next drawings that are not noise.")
    source: str | None = option(
        None,
        help="With --refill: the folder, address or bucket that DIR was built from. Default: as for build.",
        record=False,
        metavar="DIR|URL",
    )
    overwrite: bool = option(False, help="Replace another data set in the output folder.", record=False)


def run(directory: Path, config: Config, engine: EngineOptions) -> Manifest | None:
    """Build the curated data set and return its manifest; None if other shares of a job array must finish first.

    Raises:
        SketchDataError: The data set has no audit, a shard is damaged, or no drawing would be left.
        ConfigError: The options contradict each other, or the output folder is not empty.
    """
    if config.source is not None and not config.refill:
        raise ConfigError("--source is for --refill: give both or neither")
    curation = read_curation(directory.absolute(), "entropy", splits=config.splits, noise=not config.no_noise)
    folder = drawings_folder(config.out, _plan(curation, config))
    if (finished := folder.begin(overwrite=config.overwrite, check=partial(_check, curation, config))) is not None:
        return finished
    if (grouped := _group(curation, folder, engine)) is None:
        return None
    location = location_of(config.source)
    if (refills := _refill(curation, folder.work / "refill", location, engine) if config.refill else {}) is None:
        return None
    if (gathered := _gather(curation, folder, engine, grouped, refills)) is None:
        return None
    return _finish(curation, folder, engine, gathered, refills)


def _plan(curation: Curation, config: Config) -> Manifest:
    parent = curation.parent
    options = {
        "splits": list(curation.splits),
        "noise": not config.no_noise,
        "refill": config.refill,
        "decisions": curation.decisions,
        "audit": dict(curation.audit.record.options),
    }
    if moved := int(curation.moved.sum()):
        options["relabelled"] = moved
    return Manifest(
        name=parent.name.removesuffix(CURATED) + CURATED,
        config={**parent.config, "curation": options},
        classes=parent.classes,
        counts={},
        rejects={},
        sources=parent.sources,
        files=(),
        parent=ParentEntry(name=parent.name, sha256=curation.audit.record.manifest),
    )


def _check(curation: Curation, config: Config) -> None:
    directory, parent = curation.audit.directory, curation.parent
    if directory.resolve() in (config.out.resolve(), *config.out.resolve().parents):
        raise ConfigError(
            f"the curated data set cannot lie in the one it is made from, {directory}: choose another --out"
        )
    if config.refill and parent.parent is not None:
        raise ConfigError(
            f"{directory} is itself curated, and does not list the drawings that were skipped: "
            f"--refill the data set that it was made from, {parent.parent.name}"
        )
    if config.refill:
        # A missing source must not destroy the data set to overwrite.
        open_source(location_of(config.source))
    if config.no_noise and not len(curation.keep) + len(curation.drop) + len(curation.relabel):
        raise ConfigError(f"--no-noise applies decisions alone, and there are none in {directory / AUDIT_FOLDER}")
    if curation.removed.all():
        reasons = removals(curation.audit.key_id, curation.noise, curation.dropped)
        raise SketchDataError(
            f"all {len(curation.removed):,} drawings of {directory} would be removed, so none was: {reasons}"
        )
    if curation.unknown_ids:
        note = f"note: {curation.unknown_ids:,} decisions are about drawings that are not in {directory}"
        console.print(note, soft_wrap=True, highlight=False)


# ---- first stage: one task per shard of the parent -------------------------------------------------------------------


def _group(curation: Curation, folder: OutputFolder, engine: EngineOptions) -> dict[str, list[Stored]] | None:
    """Return {split: non-empty groups, in the order of the parent's rows}."""
    parent = curation.parent
    removed = write_ids(folder.work / "removed.npy", np.sort(curation.audit.key_id[curation.removed]))
    rows = np.flatnonzero(curation.moved)
    rows = rows[np.argsort(curation.audit.key_id[rows])]
    # Two rows: sorted key_ids, and their new labels.
    both = np.stack([curation.audit.key_id[rows], curation.label[rows].astype(np.uint64)])
    moved = write_ids(folder.work / "moved.npy", both)
    shards = [(split, shard) for split in parent.counts for shard in parent.shards(split)]
    tasks = [
        Task(
            id=shard.path,
            output=folder.work / "grouped" / f"{PurePosixPath(shard.path).stem}.arrow",
            inputs={shard.path: shard.sha256, "removed": removed[1], "moved": moved[1]},
            config={
                "shard": str(curation.audit.directory / shard.path),
                "sha256": shard.sha256,
                "classes": len(parent.classes),
                "words": list(parent.classes),
                "removed": removed[0],
                "moved": moved[0],
            },
        )
        for _, shard in shards
    ]
    results = run_stage(group_shard, tasks, engine, title="Removing drawings")
    if results is None:
        return None
    groups: dict[str, list[Stored]] = {split: [] for split in parent.counts}
    for (split, _), task, result in zip(shards, tasks, results, strict=True):
        if result.files[0].records:
            groups[split].append((str(task.output), result.files[0].sha256))
    return groups


def group_shard(task: Task) -> TaskResult:
    """Group the kept drawings of one Parquet shard by class, after relabelling."""
    removed: KeyIds = np.load(task.config["removed"], mmap_mode="r")
    staying = [batch.take(np.flatnonzero(~contains(removed, batch.key_id))) for batch in read_shard(task)]
    batch = concatenate(staying)
    moved, labels = np.load(task.config["moved"])
    rows = np.flatnonzero(contains(moved, batch.key_id))
    if len(rows):
        label = batch.label.copy()
        label[rows] = labels[np.searchsorted(moved, batch.key_id[rows])]
        batch = dataclasses.replace(batch, label=label)
    # Without drawings there are no groups to read.
    write = parquet.write_grouped if len(batch) else parquet.write_arrow
    write(task.output, batch, task.config["words"])
    return TaskResult(task_id=task.id, files=(file_entry(task.output, task.output.parent, len(batch)),))


# ---- second stage, with --refill: one task per class -----------------------------------------------------------------


def _refill(curation: Curation, work: Path, location: str, engine: EngineOptions) -> dict[str, TaskResult] | None:
    """Return {class: result} of the incomplete classes; no new drawing is in two classes or already in the data set.

    The results are `{class}.arrow` in ascending rank, and `{class}.rejects.jsonl`.
    """
    if "recognized_only" not in curation.parent.config:
        raise ConfigError(
            f"--refill takes the next drawings of official files, and {curation.parent.name} was not built from "
            f"official files: leave it out"
        )
    removed = curation.count(curation.removed | curation.moved)
    holes = {word: {split: counts[word] for split, counts in removed.items()} for word in curation.audit.classes}
    holes = {word: splits for word, splits in holes.items() if any(splits.values())}
    source = open_source(location)
    files = find_files(source, [official_path(curation.parent.config["input_format"], word) for word in holes])
    known = np.unique(np.concatenate([curation.audit.key_id, curation.drop, curation.relabel]))
    lists = {"known": write_ids(work / "known.npy", known), "keep": write_ids(work / "keep.npy", curation.keep)}
    taken: dict[str, dict[int, str]] = {word: {} for word in holes}
    while True:
        rules = _rules(curation, holes, taken)
        tasks = [
            _refill_task(curation, work, (source, file), rule, lists) for file, rule in zip(files, rules, strict=True)
        ]
        results = run_stage(refill_class, tasks, engine, title="Refilling")
        if results is None:
            return None
        twice = cross_class_duplicates({task.id: parquet.map_arrow(task.output).key_id for task in tasks})
        if not twice:
            return {result.task_id: result for result in results}
        for word, key_ids in twice.items():
            taken[word] |= key_ids


def _rules(
    curation: Curation, holes: Mapping[str, Mapping[str, int]], taken: Mapping[str, Mapping[int, str]]
) -> list[Rules]:
    options, audit = curation.parent.config, curation.audit
    last = np.zeros(len(audit.classes), np.uint64)
    np.maximum.at(last, audit.label, ranks(audit.key_id, options["seed"]))
    return [
        Rules(
            word=word,
            label=audit.classes.index(word),
            input_format=options["input_format"],
            keep_raw=curation.parent.is_raw,
            count=sum(splits.values()),
            seed=options["seed"],
            recognized_only=options["recognized_only"],
            after=int(last[audit.classes.index(word)]),
            taken=taken[word],
        )
        for word, splits in holes.items()
    ]


def _refill_task(
    curation: Curation, work: Path, stored: tuple[Source, SourceFile], rules: Rules, lists: Mapping[str, Stored]
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
    """Read the official file of a class once and keep its next good drawings, in rank order."""
    settings = task.config
    source = open_source(settings["source"])
    file = source.find(settings["path"])
    if file is None or file.identity != settings["identity"]:
        raise FetchError(f"{settings['path']} at {source.location} changed in the meantime: run the command again")
    rules = Rules(**settings["rules"])
    selection = select(lambda: read_content(source, file), rules, md5=file.content_md5, accept=_accept(settings))
    if selection.md5 != settings["md5"]:
        raise SketchDataError(
            f"{file.location} has md5 {selection.md5}, and the data set was built from a file with {settings['md5']}: "
            "the next drawings would differ; give the --source of the build"
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
    """Return the filter of new drawings: not in the data set, not dropped, and not noise unless kept."""
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


# ---- third stage: one task per class ---------------------------------------------------------------------------------


def _gather(
    curation: Curation,
    folder: OutputFolder,
    engine: EngineOptions,
    groups: Mapping[str, Sequence[Stored]],
    refills: Mapping[str, TaskResult],
) -> list[TaskResult] | None:
    removed, here = curation.count(curation.removed | curation.moved), curation.count(curation.moved, curation.label)
    tasks = []
    for label, word in enumerate(curation.audit.classes):
        parts = {
            split: {
                "groups": [path for path, _ in groups[split]],
                "stays": curation.parent.counts[split][word] - removed[split][word] + here[split][word],
                "holes": removed[split][word],
            }
            for split in groups
        }
        inputs = {path: sha256 for stored in groups.values() for path, sha256 in stored}
        refill = str(folder.work / "refill" / f"{word}.arrow") if word in refills else None
        if refill is not None:
            inputs[refill] = refills[word].files[0].sha256
        config = {
            "label": label,
            "words": list(curation.audit.classes),
            "raw": curation.parent.is_raw,
            "parts": parts,
            "refill": refill,
            # Relabelled drawings stand among the others by their ranks.
            "by_rank": curation.parent.config.get("seed") if any(here[split][word] for split in here) else None,
        }
        tasks.append(Task(id=word, output=selected(folder, word), inputs=inputs, config=config))
    return run_stage(gather_class, tasks, engine, title="Gathering classes")


def gather_class(task: Task) -> TaskResult:
    """Join the drawings of one class, split by split: kept drawings, then replacements."""
    settings = task.config
    none = empty_batch(raw=settings["raw"])
    refill = none if settings["refill"] is None else parquet.map_arrow(Path(settings["refill"]))
    pieces, counts, used = [none], {}, 0
    for split, part in settings["parts"].items():
        staying = [parquet.read_class(Path(path), settings["label"]) for path in part["groups"]]
        found = sum(map(len, staying))
        if settings["by_rank"] is not None and found:
            joined = concatenate(staying)
            staying = [joined.take(np.argsort(ranks(joined.key_id, settings["by_rank"]), kind="stable"))]
        if found != part["stays"]:
            raise SketchDataError(
                f"{found:,} drawings of {task.id} in {split} stay, and by the audit it should be {part['stays']:,}: "
                "the data set does not fit its audit; run `sketchdata verify`, then audit it again"
            )
        filled = min(part["holes"], len(refill) - used)
        pieces += [*staying, refill.slice(used, used + filled)]
        used, counts[split] = used + filled, found + filled
    batch = concatenate(pieces)
    parquet.write_arrow(task.output, batch, settings["words"])
    return TaskResult(task_id=task.id, files=(file_entry(task.output, task.output.parent, len(batch)),), counts=counts)


# ---- the end: shards, lists, manifest -------------------------------------------------------------------------------


def _finish(
    curation: Curation,
    folder: OutputFolder,
    engine: EngineOptions,
    gathered: Sequence[TaskResult],
    refills: Mapping[str, TaskResult],
) -> Manifest | None:
    counts = {split: {result.task_id: result.counts[split] for result in gathered} for split in curation.parent.counts}
    inputs = {result.task_id: result.files[0].sha256 for result in gathered}
    if (shards := write_shards(folder, counts, inputs, engine)) is None:
        return None
    rejects = sum((Counter(result.rejects) for result in refills.values()), Counter[str]())
    paths = [folder.work / "refill" / f"{word}.rejects.jsonl" for word in refills]
    table = curation_table(curation, counts)
    lists = [
        folder.join("rejects.jsonl", paths, rejects.total()),
        folder.put(CURATION_FILE, table.encode("utf-8"), table.count("\n") - 1),
    ]
    _warn(curation, counts, refilled=folder.plan.config["curation"]["refill"])
    facts = {"counts": counts, "rejects": dict(sorted(rejects.items()))}
    return finish(folder, shards, card=curated_card, lists=lists, **facts)


def _warn(curation: Curation, counts: Counts, *, refilled: bool) -> None:
    """Warn about classes that could not be refilled, and classes that lost all drawings of a split."""
    before = curation.parent.counts
    short, empty = [], []
    for split, classes in counts.items():
        for word, drawings in classes.items():
            if refilled and drawings < before[split][word]:
                short.append(f"{word} ({split} {drawings:,} of {before[split][word]:,})")
            if not drawings and before[split][word]:
                empty.append(f"{word} ({split})")
    for found, what in ((short, "the source has too few further drawings for"), (empty, "no drawing is left of")):
        if found:
            more = f" and {len(found) - _SHOWN:,} more" if len(found) > _SHOWN else ""
            console.print(f"warning: {what} {', '.join(found[:_SHOWN])}{more}", soft_wrap=True, highlight=False)
