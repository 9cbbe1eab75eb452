"""Build a set of edge maps for training: curated, split by photo, in WebDataset tars with an index.

Two stages. `examine_shard` decodes every map of a Parquet shard once and keeps those that are whole in an Arrow file,
out of which single rows can be taken. Then, here: what the curation removes, which split each map's photo falls into,
and the order of rows, in which classes are mixed: a plan of which map stands where. `write_tar_shard` carries a part of
it out. So nothing is read more than twice, and no task holds more than one tar.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any

import click
import numpy as np
import orjson
import pyarrow as pa

from sketchdata.config import option
from sketchdata.curation.audit_folder import map_table, write_columns
from sketchdata.curation.plan import CURATION_FILE, Curation, read_curation
from sketchdata.edges import dataset
from sketchdata.edges.dataset import ATTRIBUTION_FILE, SPLITS
from sketchdata.edges.release import (
    Choice,
    EdgeMapPlan,
    attribution_list,
    class_list,
    curation_list,
    edgemap_card,
    lay_out,
    store,
)
from sketchdata.engine import EngineOptions, Task, TaskResult, run_final
from sketchdata.engine import run as run_stage
from sketchdata.engine.exports import Parent, open_parent
from sketchdata.engine.output_folder import OutputFolder, publish
from sketchdata.errors import ConfigError, FormatError, SketchDataError
from sketchdata.progress import console
from sketchdata.storage import pictures
from sketchdata.storage.manifest import FileEntry, Manifest, file_entry
from sketchdata.storage.tars import write_members

REJECTS_FILE, CLASSES_FILE = "rejects.jsonl", "classes.csv"
_NAMES = frozenset(
    {dataset.TARS_FOLDER, dataset.INDEX_FOLDER, ATTRIBUTION_FILE, CURATION_FILE, REJECTS_FILE, CLASSES_FILE}
)
_DECIMALS = 6


@dataclass(frozen=True, kw_only=True)
class Config:
    """Which edge maps are taken, how they are split, and where they go."""

    edges: Path = option(
        help="The edge maps: what `sketchdata edgemaps extract` made.",
        record=False,
        type=click.Path(file_okay=False, path_type=Path),
    )
    out: Path = option(help="Folder of the data set.", record=False, type=click.Path(file_okay=False, path_type=Path))
    val_share: str = option(
        "26626/290281",
        help="Share of the photos that val gets, such as 1/10 or 0.1; the paper's by default.",
        metavar="SHARE",
    )
    seed: int = option(0, help="Seed of the split and of the order of rows.", type=click.IntRange(0, 2**64 - 1))
    no_curation: bool = option(False, help="Take every edge map, without audit and decisions.")
    no_noise: bool = option(False, help="Leave in what the audit flags, and apply the decisions alone.")
    maps_per_shard: int = option(
        10_000, help="Edge maps in a tar at most; all of a split are equal.", type=click.IntRange(1, 100_000)
    )
    overwrite: bool = option(False, help="Replace another such data set in the folder.", record=False)

    def share(self) -> Fraction:
        """Return val's share.

        Raises:
            ConfigError: It is no number, or not one from 0 to 1.
        """
        try:
            share = Fraction(self.val_share)
        except (ValueError, ZeroDivisionError):
            share = Fraction(-1)
        if not 0 <= share <= 1:
            raise ConfigError(f"--val-share must be a number from 0 to 1, such as 1/10 or 0.1, not {self.val_share!r}")
        return share


def run(config: Config, engine: EngineOptions) -> Manifest | None:
    """Build the data set and return its manifest; None in an unfinished share of a job array.

    Raises:
        SketchDataError: The edge maps are missing or damaged, they have no audit, or nothing would be left.
        ConfigError: The options do not go together, or the output folder is not free.
    """
    parent = open_parent(config.edges.absolute(), None, config.out)
    curation = _curation(parent, config)
    folder = OutputFolder(
        out=config.out.absolute(), plan=_plan(parent, config, curation), names=_NAMES, noun="EdgeMap-345C"
    )
    if (finished := folder.begin(overwrite=config.overwrite, check=parent.check_files)) is not None:
        return finished
    if (examined := _examine(parent, folder, engine)) is None:
        return None
    choice = Choice(seed=config.seed, share=config.share(), curation=curation)
    maps = lay_out(examined.paths, folder.work / "plan.arrow", parent.manifest.classes, choice)
    tasks = [_tar_task(parent, folder, maps, span) for span in _spans(maps.counts, config.maps_per_shard)]
    if (written := run_final(write_tar_shard, tasks, engine, title="Writing tars")) is None:
        return None
    return _finish(folder, maps, examined, written)


def _curation(parent: Parent, config: Config) -> Curation | None:
    if config.no_curation and config.no_noise:
        raise ConfigError("--no-curation applies neither the audit nor decisions: give it, or --no-noise")
    if "detector" not in parent.manifest.config:
        raise ConfigError(
            f"--edges {parent.directory} holds {parent.manifest.name}, and edge maps were expected: give the folder "
            "that `sketchdata edgemaps extract` made"
        )
    if config.no_curation:
        return None
    try:
        curation = read_curation(parent.directory, "messiness", noise=not config.no_noise)
    except SketchDataError as error:
        raise SketchDataError(f"{error}; or take every edge map with --no-curation") from error
    if curation.strangers:
        note = f"note: {curation.strangers:,} decisions are about edge maps that are not in {parent.directory}"
        console.print(note, soft_wrap=True, highlight=False)
    return curation


def _plan(parent: Parent, config: Config, curation: Curation | None) -> Manifest:
    """Return the manifest as far as it is known beforehand."""
    applied = curation and {
        "noise": not config.no_noise,
        "decisions": curation.decisions,
        "audit": dict(curation.audit.record.options),
    }
    return Manifest(
        name=dataset.NAME,
        config={
            "val_share": str(config.share()),
            "seed": config.seed,
            "maps_per_shard": config.maps_per_shard,
            "curation": applied,
            "edges": parent.manifest.config,
        },
        classes=parent.manifest.classes,
        counts={},
        rejects={},
        sources=parent.manifest.sources,
        files=(),
        parent=parent.entry,
    )


# ---- first stage: one task a shard of the edge maps ------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Examined:
    """The shards once they were examined: each one's Arrow file, and what came of it."""

    paths: tuple[Path, ...]
    results: tuple[TaskResult, ...]


def _examine(parent: Parent, folder: OutputFolder, engine: EngineOptions) -> _Examined | None:
    shards = [shard for split in parent.splits for shard in parent.manifest.shards(split)]
    tasks = [
        Task(
            id=shard.path,
            output=folder.work / "examined" / f"{PurePosixPath(shard.path).stem}.arrow",
            inputs={shard.path: shard.sha256},
            config={
                "shard": str(parent.directory / shard.path),
                "classes": list(parent.manifest.classes),
                "side": parent.manifest.config.get("size", dataset.DEFAULT_SIDE),
            },
        )
        for shard in shards
    ]
    results = run_stage(examine_shard, tasks, engine, title="Examining edge maps")
    if results is None:
        return None
    return _Examined(paths=tuple(task.output for task in tasks), results=tuple(results))


def examine_shard(task: Task) -> TaskResult:
    """Keep the maps of one shard that decode to the side asked for; count the others, and say why."""
    tables, rejects = [], []
    for table in pictures.read_shard(Path(task.config["shard"])):
        _check_words(task, table)
        faults = [_fault(png, task.config["side"]) for png in pictures.image_bytes(table)]
        tables.append(table.filter(pa.array([fault is None for fault in faults])))
        for row, fault in enumerate(faults):
            if fault is not None:
                rejects.append(_reject(table.slice(row, 1), fault))
    kept = pa.concat_tables(tables) if tables else pictures.schema().empty_table()
    # The word follows from the label, and an Arrow file wants one dictionary for all of its batches.
    columns = {name: kept.column(name) for name in kept.column_names if name != "word"}
    result = write_columns(task, {**columns, "image": pa.array(pictures.image_bytes(kept), pa.binary())})
    reasons = Counter(reject["reason"] for reject in rejects)
    return dataclasses.replace(result, rejects=dict(sorted(reasons.items())), facts={"rejects": rejects})


def _check_words(task: Task, table: pa.Table) -> None:
    classes = task.config["classes"]
    for label, word in zip(table.column("label").to_pylist(), table.column("word").to_pylist(), strict=True):
        if label >= len(classes) or classes[label] != word:
            raise SketchDataError(
                f"{task.config['shard']} has label {label} with word {word!r}, which is not so in the class table of "
                "its manifest: extract the edge maps again"
            )


def _fault(png: bytes, side: int) -> FormatError | None:
    try:
        dataset.decode_map(png, side)
    except FormatError as error:
        return error
    return None


def _reject(row: pa.Table, fault: FormatError) -> dict[str, str]:
    values = {name: str(row.column(name)[0]) for name in ("key_id", "word", "photo")}
    return {**values, "reason": fault.reason, "detail": fault.detail}


# ---- second stage: one task a tar ------------------------------------------------------------------------------------


_Span = tuple[str, int, int]


def _spans(counts: Mapping[str, Mapping[str, int]], maps_per_shard: int) -> list[_Span]:
    """Return (tar's path, first row of the plan, last row + 1) of each tar."""
    spans, before = [], 0
    for split, classes in counts.items():
        rows = sum(classes.values())
        tars = math.ceil(rows / maps_per_shard)
        bounds = [before + rows * tar // tars for tar in range(tars)] + [before + rows]
        spans += [(dataset.tar_name(split, tar), bounds[tar], bounds[tar + 1]) for tar in range(tars)]
        before += rows
    return spans


def _tar_task(parent: Parent, folder: OutputFolder, maps: EdgeMapPlan, span: _Span) -> Task:
    name, start, stop = span
    return Task(
        id=name,
        output=folder.out / name,
        inputs={"edge maps": parent.sha256, "plan": maps.sha256},
        config={
            "plan": str(maps.stored),
            "start": start,
            "stop": stop,
            "examined": [str(path) for path in maps.paths],
            "classes": list(parent.manifest.classes),
            "detector": parent.manifest.config["detector"],
            "scores": list(maps.complete),
            "written": str(folder.work / name),
            "index": str(_index_part(folder, name)),
        },
        markers=folder.work / "done",
    )


def _index_part(folder: OutputFolder, tar: str) -> Path:
    """Return where the rows of the index lie that are about one tar."""
    return folder.work / "index" / f"{PurePosixPath(tar).stem}.arrow"


def write_tar_shard(task: Task) -> TaskResult:
    """Write the maps of a part of the plan as one tar, and beside it, in the work folder, their rows of the index."""
    settings = task.config
    plan = map_table(Path(settings["plan"])).slice(settings["start"], settings["stop"] - settings["start"])
    provenance, pngs = _gather(plan, [Path(path) for path in settings["examined"]])
    members = write_members(Path(settings["written"]), _members(settings, plan, provenance, pngs))[::2]
    columns = {name: provenance.column(name) for name in provenance.column_names}
    columns |= {name: plan.column(name) for name in plan.column_names if name not in ("shard", "row")}
    places = {"offset": [member.offset for member in members], "bytes": [member.bytes for member in members]}
    store(Path(settings["index"]), {**columns, **places})
    publish(Path(settings["written"]), task.output)
    return TaskResult(task_id=task.id, files=(file_entry(task.output, task.output.parent, len(pngs)),))


def _members(
    settings: Mapping[str, Any], plan: pa.Table, provenance: pa.Table, pngs: Sequence[bytes]
) -> Iterator[tuple[str, bytes]]:
    """Yield (name, content) of a tar's members: each map's PNG, then its JSON."""
    scores = plan.select(settings["scores"]).to_pylist()
    for row, png, values in zip(provenance.to_pylist(), pngs, scores, strict=True):
        row["word"] = settings["classes"][row["label"]]
        rounded = {name: round(value, _DECIMALS) for name, value in values.items()}
        yield f"{row['key_id']}.png", png
        yield f"{row['key_id']}.json", dataset.sample(row, rounded, settings["detector"])


def _gather(plan: pa.Table, paths: Sequence[Path]) -> tuple[pa.Table, list[bytes]]:
    """Take a plan's maps out of the Arrow files: their columns and, apart, their PNGs, in the plan's order."""
    shard, row = plan.column("shard").to_numpy(), plan.column("row").to_numpy()
    by_shard = np.argsort(shard, kind="stable")
    pngs, parts = [b""] * len(shard), []
    for number in np.unique(shard).tolist():
        places = by_shard[slice(*np.searchsorted(shard[by_shard], [number, number + 1]))]
        taken = map_table(paths[number]).take(pa.array(row[places]))
        for place, png in zip(places.tolist(), taken.column("image").to_pylist(), strict=True):
            pngs[place] = png
        parts.append(taken.select([name for name in dataset.provenance_columns() if name != "word"]))
    return pa.concat_tables(parts).take(pa.array(np.argsort(by_shard))), pngs


# ---- the end: index, lists, card, manifest ---------------------------------------------------------------------------


def _finish(folder: OutputFolder, maps: EdgeMapPlan, examined: _Examined, written: Sequence[TaskResult]) -> Manifest:
    rejects = [reject for result in examined.results for reject in result.facts["rejects"]]
    reasons = Counter(reject["reason"] for reject in rejects)
    tars = [dataclasses.replace(file, path=result.task_id) for result in written for file in result.files]
    facts: dict[str, Any] = {"counts": maps.counts, "rejects": dict(sorted(reasons.items()))}
    plan = dataclasses.replace(folder.plan, files=tuple(tars), **facts)
    indexes = {split: _index(folder, plan, maps.scores, split) for split in SPLITS}
    refused = Counter(reject["word"] for reject in rejects)
    lists = {
        ATTRIBUTION_FILE: attribution_list(indexes.values()),
        CLASSES_FILE: class_list(plan),
        CURATION_FILE: curation_list(plan, refused, maps.curated),
    }
    files = [_write_index(folder, split, table) for split, table in indexes.items()]
    files += [_write_list(folder, name, rows) for name, rows in lists.items()]
    lines = b"".join(orjson.dumps(reject, option=orjson.OPT_APPEND_NEWLINE) for reject in rejects)
    files.append(folder.put(REJECTS_FILE, lines, len(rejects)))
    sweep = (dataset.TARS_FOLDER, dataset.INDEX_FOLDER)
    return folder.finish([*tars, *files], edgemap_card, sweep=sweep, **facts)


def _index(folder: OutputFolder, plan: Manifest, scores: Sequence[str], split: str) -> pa.Table:
    """Return a split's index: the rows that the tars' tasks left, one tar after the other."""
    schema, classes = dataset.index_schema(scores), plan.classes
    names = [tar.path for tar in dataset.tars_of(plan, split)]
    parts = [map_table(_index_part(folder, name)) for name in names]
    if not parts:
        return schema.empty_table()
    rows = pa.concat_tables(parts).combine_chunks()
    tar = np.repeat(np.arange(len(parts), dtype=np.int32), [part.num_rows for part in parts])
    made = {
        "word": pa.DictionaryArray.from_arrays(rows.column("label").combine_chunks().cast(pa.int16()), list(classes)),
        "tar": pa.DictionaryArray.from_arrays(pa.array(tar), names),
    }
    columns = [made[field.name] if field.name in made else rows.column(field.name).cast(field.type) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def _write_index(folder: OutputFolder, split: str, table: pa.Table) -> FileEntry:
    name = dataset.index_name(split)
    facts = {"name": folder.plan.name, "split": split, "seed": folder.plan.config["seed"]}
    dataset.write_index(folder.work / name, table, facts)
    return folder.publish(name, table.num_rows)


def _write_list(folder: OutputFolder, name: str, rows: Sequence[Sequence[object]]) -> FileEntry:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return folder.put(name, text.getvalue().encode("utf-8"), len(rows) - 1)
