"""Build a set of edge maps for training: curated, split by photo, in WebDataset tars with an index.

Two stages. `examine_shard` decodes every map of a Parquet shard once and writes the undamaged ones to an Arrow file,
with access to single rows. Then `lay_out` decides which maps the curation removes, the split of each photo, and the
order of rows, in which classes are mixed; its plan is an Arrow file too. `write_tar_shard` writes a part of the plan.
So nothing is read more than twice, and no task holds more than one tar.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from sketchdata.config import FOLDER, option
from sketchdata.curation.audit import map_table, write_columns
from sketchdata.curation.plan import CURATION_FILE, Curation, read_curation, removals
from sketchdata.drawings.sampling import mix_classes, ranks
from sketchdata.edges import dataset
from sketchdata.edges.dataset import (
    ATTRIBUTION_COLUMNS,
    ATTRIBUTION_FILE,
    DEFAULT_SIDE,
    INDEX_FOLDER,
    SPLITS,
    TARS_FOLDER,
    VAL,
    tars_of,
)
from sketchdata.engine import EngineOptions, Task, TaskResult, run_final
from sketchdata.engine import run as run_stage
from sketchdata.engine.output_folder import OutputFolder, publish
from sketchdata.errors import ConfigError, FormatError, SketchDataError
from sketchdata.formats.files import FaultCounts
from sketchdata.progress import console
from sketchdata.storage import pictures
from sketchdata.storage.cards import fill, size_category
from sketchdata.storage.dataset import Parent, open_parent
from sketchdata.storage.manifest import FileEntry, Manifest, file_entry, hash_file, replacing
from sketchdata.storage.tars import write_members

REJECTS_FILE, CLASSES_FILE = "rejects.jsonl", "classes.csv"
_NAMES = frozenset({TARS_FOLDER, INDEX_FOLDER, ATTRIBUTION_FILE, CURATION_FILE, REJECTS_FILE, CLASSES_FILE})
_DECIMALS = 6


@dataclass(frozen=True, kw_only=True)
class Config:
    """Options: selection, split, and output folder."""

    edges: Path = option(help="Folder that `sketchdata edgemaps extract` made.", record=False, type=FOLDER)
    out: Path = option(help="Folder of the data set.", record=False, type=FOLDER)
    val_share: str = option(
        "26626/290281",
        help="Share of the photos in val, such as 1/10 or 0.1; the default is the paper's.",
        metavar="SHARE",
    )
    seed: int = option(0, help="Seed of the split and of the order of rows.", type=click.IntRange(0, 2**64 - 1))
    no_curation: bool = option(False, help="Take every edge map; apply neither audit nor decisions.")
    no_noise: bool = option(False, help="Keep flagged items, and apply the decisions alone.")
    maps_per_shard: int = option(
        10_000,
        help="Maximum number of edge maps in a tar; all tars of a split have equally many.",
        type=click.IntRange(1, 100_000),
    )
    overwrite: bool = option(False, help="Replace another data set of this kind in the output folder.", record=False)

    def share(self) -> Fraction:
        """Return the share of `val`.

        Raises:
            ConfigError: It is not a number from 0 to 1.
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
        SketchDataError: The edge maps are missing or damaged, have no audit, or none would be left.
        ConfigError: The options contradict each other, or the output folder is not empty.
    """
    parent = open_parent(config.edges.absolute(), None, config.out)
    curation = _curation(parent, config)
    applied = curation and {
        "noise": not config.no_noise,
        "decisions": curation.decisions,
        "audit": dict(curation.audit.record.options),
    }
    plan = Manifest(
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
    folder = OutputFolder(out=config.out.absolute(), plan=plan, names=_NAMES, noun="EdgeMap-345C")
    if (finished := folder.begin(overwrite=config.overwrite, check=parent.check_files)) is not None:
        return finished
    shards = [shard for split in parent.splits for shard in parent.manifest.shards(split)]
    examining = [
        Task(
            id=shard.path,
            output=folder.work / "examined" / f"{PurePosixPath(shard.path).stem}.arrow",
            inputs={shard.path: shard.sha256},
            config={
                "shard": str(parent.directory / shard.path),
                "classes": list(parent.manifest.classes),
                "side": parent.manifest.config.get("size", DEFAULT_SIDE),
            },
        )
        for shard in shards
    ]
    if (examined := run_stage(examine_shard, examining, engine, title="Examining edge maps")) is None:
        return None
    rejects = [reject for result in examined for reject in result.facts["rejects"]]
    lines = b"".join(orjson.dumps(reject, option=orjson.OPT_APPEND_NEWLINE) for reject in rejects)
    listed = folder.put(REJECTS_FILE, lines, len(rejects))
    if rejects and not any(result.files[0].records for result in examined):
        reasons = FaultCounts.of_lines(rejects)
        raise SketchDataError(f"no edge map can be read: {reasons}; {folder.out / REJECTS_FILE} lists them")
    paths = [task.output for task in examining]
    layout = lay_out(paths, folder.work / "plan.arrow", parent.manifest.classes, config, curation)
    tasks = _tar_tasks(parent, folder, layout, config.maps_per_shard)
    if (written := run_final(write_tar_shard, tasks, engine, title="Writing tars")) is None:
        return None
    return _finish(folder, layout, rejects, listed, written)


def _curation(parent: Parent, config: Config) -> Curation | None:
    if config.no_curation and config.no_noise:
        raise ConfigError("--no-curation already excludes the audit and the decisions: give either it or --no-noise")
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
    if curation.unknown_ids:
        note = f"note: {curation.unknown_ids:,} decisions are about edge maps that are not in {parent.directory}"
        console.print(note, soft_wrap=True, highlight=False)
    return curation


# ---- first stage: one task per shard of the edge maps ----------------------------------------------------------------


def examine_shard(task: Task) -> TaskResult:
    """Keep the maps of one shard that decode to the requested side; count the others by reason."""
    tables, rejects, classes = [], [], task.config["classes"]
    for table in pictures.read_shard(Path(task.config["shard"])):
        for label, word in zip(table.column("label").to_pylist(), table.column("word").to_pylist(), strict=True):
            if label >= len(classes) or classes[label] != word:
                raise SketchDataError(
                    f"{task.config['shard']} has label {label} with word {word!r}, which is not so in the class table "
                    "of its manifest: extract the edge maps again"
                )
        whole = []
        for row, png in enumerate(pictures.image_bytes(table)):
            try:
                dataset.decode_map(png, task.config["side"])
                whole.append(row)
            except FormatError as error:
                told = {name: str(table.column(name)[row]) for name in ("key_id", "word", "photo")}
                rejects.append({**told, "reason": error.reason, "detail": error.detail})
        tables.append(table.take(pa.array(whole, pa.int64())))
    kept = pa.concat_tables(tables) if tables else pictures.schema().empty_table()
    # The word follows from the label, and an Arrow file needs one dictionary for all of its batches.
    columns = {name: kept.column(name) for name in kept.column_names if name != "word"}
    result = write_columns(task, {**columns, "image": pa.array(pictures.image_bytes(kept), pa.binary())})
    reasons = Counter(reject["reason"] for reject in rejects)
    return dataclasses.replace(result, rejects=dict(sorted(reasons.items())), facts={"rejects": rejects})


# ---- the plan --------------------------------------------------------------------------------------------------------

#: Effects of a curation on a map: removed as noise, dropped by a decision, or noise kept by a decision.
CURATED = ("noise", "dropped", "kept")
#: Name of the audit's score; the other scores are its measures.
SCORE = "messiness"


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The order of edge maps in a data set.

    Attributes:
        stored: The plan as an Arrow file: `shard` and `row` of each map, in the order of the data set, and its scores.
        sha256: Hash of that file.
        paths: The Arrow files of edge maps, indexed by `shard`.
        counts: {split: {class: maps}}.
        curated: {one of CURATED: {class: maps}}.
        scores: Names of the scores that at least one map has.
        complete: Names of the scores that every map has.
    """

    stored: Path
    sha256: str
    paths: tuple[Path, ...]
    counts: dict[str, dict[str, int]]
    curated: dict[str, dict[str, int]]
    scores: tuple[str, ...]
    complete: tuple[str, ...]


def lay_out(
    paths: Sequence[Path], stored: Path, classes: Sequence[str], config: Config, curation: Curation | None
) -> Layout:
    """Decide about every edge map in Arrow files, and store their order.

    Raises:
        SketchDataError: A key_id occurs twice, the audit lacks one, or no map would be left.
    """
    tables = [map_table(path).select(["key_id", "label", "photo_sha256"]) for path in paths]
    whole = pa.concat_tables(tables)
    key_id, label = whole.column("key_id").to_numpy(), whole.column("label").to_numpy()
    if repeated := pictures.repeated(key_id):
        raise SketchDataError(f"the edge maps have key_id {repeated[0]} twice: extract them again")
    curated, scores = dict.fromkeys(CURATED, np.zeros(len(key_id), np.bool_)), {}
    if curation is not None:
        rows = curation.audit.rows_of(key_id)
        curated = {name: getattr(curation, name)[rows] for name in CURATED}
        measured = {SCORE: curation.audit.score, **curation.audit.measures}
        scores = {name: values[rows].astype(np.float32) for name, values in measured.items()}
    stays = ~(curated["noise"] | curated["dropped"])
    if not stays.any():
        raise SketchDataError(
            f"of {len(key_id):,} edge maps that could be read, none would be left: "
            f"{removals(key_id, curated['noise'], curated['dropped'])}"
        )
    in_val = dataset.falls_into_val(whole.column("photo_sha256").to_pylist(), config.seed, config.share())
    chosen = {split: np.flatnonzero(stays & (in_val == (split == VAL))) for split in SPLITS}
    order = np.concatenate(
        [rows[mix_classes(label[rows], ranks(key_id[rows], config.seed))] for rows in chosen.values()]
    )
    told = {name: values[order] for name, values in scores.items() if not np.isnan(values[order]).all()}
    sizes = [table.num_rows for table in tables]
    row = np.concatenate([np.empty(0, np.int64), *map(np.arange, sizes)])
    _store(stored, {"shard": np.repeat(np.arange(len(sizes)), sizes)[order], "row": row[order], **told})

    def count(rows: npt.NDArray[np.generic]) -> dict[str, int]:
        return dict(zip(classes, np.bincount(label[rows], minlength=len(classes)).tolist(), strict=True))

    return Layout(
        stored=stored,
        sha256=hash_file(stored, "sha256"),
        paths=tuple(paths),
        counts={split: count(rows) for split, rows in chosen.items()},
        curated={name: count(mask) for name, mask in curated.items()},
        scores=tuple(told),
        complete=tuple(name for name, values in told.items() if not np.isnan(values).any()),
    )


def _store(path: Path, columns: Mapping[str, Any]) -> None:
    """Write columns atomically as an Arrow file, to be mapped by `map_table`."""
    table = pa.table(dict(columns))
    with replacing(path) as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


# ---- second stage: one task per tar ----------------------------------------------------------------------------------


def _tar_tasks(parent: Parent, folder: OutputFolder, layout: Layout, maps_per_shard: int) -> list[Task]:
    tasks, before = [], 0
    for split, classes in layout.counts.items():
        rows = sum(classes.values())
        tars = math.ceil(rows / maps_per_shard)
        for tar in range(tars):
            name = dataset.tar_name(split, tar)
            tasks.append(
                Task(
                    id=name,
                    output=folder.out / name,
                    inputs={"edge maps": parent.sha256, "plan": layout.sha256},
                    config={
                        "plan": str(layout.stored),
                        "start": before + rows * tar // tars,
                        "stop": before + rows * (tar + 1) // tars,
                        "examined": [str(path) for path in layout.paths],
                        "classes": list(parent.manifest.classes),
                        "detector": parent.manifest.config["detector"],
                        "scores": list(layout.complete),
                        "written": str(folder.work / name),
                        "index": str(_index_part(folder, name)),
                    },
                    markers=folder.work / "done",
                )
            )
        before += rows
    return tasks


def _index_part(folder: OutputFolder, tar: str) -> Path:
    """Return the path of the index rows of one tar."""
    return folder.work / "index" / f"{PurePosixPath(tar).stem}.arrow"


def write_tar_shard(task: Task) -> TaskResult:
    """Write the maps of a part of the plan as one tar, and their rows of the index to the work folder."""
    settings = task.config
    plan = map_table(Path(settings["plan"])).slice(settings["start"], settings["stop"] - settings["start"])
    provenance, pngs = _gather(plan, [Path(path) for path in settings["examined"]])
    members = write_members(Path(settings["written"]), _members(settings, plan, provenance, pngs))[::2]
    columns = {name: provenance.column(name) for name in provenance.column_names}
    columns |= {name: plan.column(name) for name in plan.column_names if name not in ("shard", "row")}
    places = {"offset": [member.offset for member in members], "bytes": [member.bytes for member in members]}
    _store(Path(settings["index"]), {**columns, **places})
    publish(Path(settings["written"]), task.output)
    return TaskResult(task_id=task.id, files=(file_entry(task.output, task.output.parent, len(pngs)),))


def _members(
    settings: Mapping[str, Any], plan: pa.Table, provenance: pa.Table, pngs: Sequence[bytes]
) -> Iterator[tuple[str, bytes]]:
    scores = plan.select(settings["scores"]).to_pylist()
    for row, png, values in zip(provenance.to_pylist(), pngs, scores, strict=True):
        row["word"] = settings["classes"][row["label"]]
        rounded = {name: round(value, _DECIMALS) for name, value in values.items()}
        yield f"{row['key_id']}.png", png
        yield f"{row['key_id']}.json", dataset.sample(row, rounded, settings["detector"])


def _gather(plan: pa.Table, paths: Sequence[Path]) -> tuple[pa.Table, list[bytes]]:
    """Read the maps of a plan from the Arrow files: their columns and, separately, their PNGs, in its order."""
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


def _finish(
    folder: OutputFolder,
    layout: Layout,
    rejects: Sequence[Mapping[str, Any]],
    listed: FileEntry,
    written: Sequence[TaskResult],
) -> Manifest:
    reasons = Counter(reject["reason"] for reject in rejects)
    tars = [dataclasses.replace(file, path=result.task_id) for result in written for file in result.files]
    facts: dict[str, Any] = {"counts": layout.counts, "rejects": dict(sorted(reasons.items()))}
    plan = dataclasses.replace(folder.plan, files=tuple(tars), **facts)
    indexes, files = {split: _index(folder, plan, layout.scores, split) for split in SPLITS}, []
    for split, table in indexes.items():
        name = dataset.index_name(split)
        about = {"name": plan.name, "split": split, "seed": plan.config["seed"]}
        dataset.write_index(folder.work / name, table, about)
        files.append(folder.publish(name, table.num_rows))
    refused = Counter(reject["word"] for reject in rejects)
    classes: list[list[object]] = [["label", "word", *plan.counts]]
    # All maps: those refused, removed as noise or dropped, and those in the splits.
    curated: list[list[object]] = [["label", "word", "found", "refused", *CURATED, *plan.counts]]
    for label, word in enumerate(plan.classes):
        left, gone = [counts[word] for counts in plan.counts.values()], [layout.curated[name][word] for name in CURATED]
        found = refused[word] + sum(gone[:2]) + sum(left)
        classes.append([label, word, *left])
        curated.append([label, word, found, refused[word], *gone, *left])
    lists = {ATTRIBUTION_FILE: _attribution_rows(indexes.values()), CLASSES_FILE: classes, CURATION_FILE: curated}
    for name, rows in lists.items():
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        files.append(folder.put(name, text.getvalue().encode("utf-8"), len(rows) - 1))
    files.append(listed)
    sweep = (TARS_FOLDER, INDEX_FOLDER)
    return folder.finish([*tars, *files], _card, sweep=sweep, **facts)


def _index(folder: OutputFolder, plan: Manifest, scores: Sequence[str], split: str) -> pa.Table:
    schema, classes = dataset.index_schema(scores), plan.classes
    names = [tar.path for tar in tars_of(plan, split)]
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


def _attribution_rows(indexes: Iterable[pa.Table]) -> list[list[object]]:
    """Return one row per photo that has maps, by source and photo, with the number of its maps."""
    columns = list(ATTRIBUTION_COLUMNS)
    photos = pa.concat_tables([index.select(columns) for index in indexes])
    counted = photos.group_by(columns).aggregate([([], "count_all")])
    keys = ["source", "photo", "photo_sha256", *(name for name in columns if name not in ("source", "photo"))]
    counted = counted.sort_by([(name, "ascending") for name in dict.fromkeys(keys)])
    values = [counted.column(name).to_pylist() for name in (*columns, "count_all")]
    head = ["photo", "page", "author", "licence", "title", "source", "sha256", "maps"]
    return [head, *([*row] for row in zip(*values, strict=True))]


# ---- the card --------------------------------------------------------------------------------------------------------

_BSDS = "trained on BSDS500, which is for non-commercial research and education"
#: Limits on the use of maps made with a detector's weights; detectors not listed here have no weights.
_WEIGHTS = {
    "learned": f"were {_BSDS}",
    "pidinet": f"were published for research only, and {_BSDS}",
    "structured": f"were {_BSDS}; see also the licence of the model file",
    "tin": f"are under the MIT licence, and were {_BSDS}",
}


def _card(manifest: Manifest) -> str:
    config, edges, curation = manifest.config, manifest.config["edges"], manifest.config["curation"]
    parent, detector = manifest.parent, str(edges["detector"])
    filled = [split for split in manifest.counts if tars_of(manifest, split)]
    curated = "Not at all: every map that the detector made is here."
    if curation is not None:
        noise = "what the messiness audit flags, unless a curator kept it, and " if curation["noise"] else ""
        curated = (
            f"Removed were {noise}what a curator dropped (sha256 of the decisions: `{curation['decisions']}`). "
            f"`{CURATION_FILE}` counts it by class."
        )
    rows = []
    for split, maps in manifest.splits.items():
        classes = sum(1 for count in manifest.counts[split].values() if count)
        rows.append(f"| {split} | {maps:,} | {classes:,} | {len(tars_of(manifest, split)):,} |")
    values = {
        "name": manifest.name,
        "size_category": size_category(sum(manifest.splits.values())),
        "paths": "\n".join(f"      - split: {split}\n        path: {TARS_FOLDER}/{split}-*.tar" for split in filled),
        "maps": f"{sum(manifest.splits.values()):,}",
        "side": edges.get("size", DEFAULT_SIDE),
        "photos": f"{next(file.records for file in manifest.files if file.path == ATTRIBUTION_FILE):,}",
        "present": f"{sum(any(counts[word] for counts in manifest.counts.values()) for word in manifest.classes):,}",
        "classes": f"{len(manifest.classes):,}",
        "tool": manifest.tool,
        "origin": "" if parent is None else f" from {parent.name} (sha256 of its manifest: `{parent.sha256}`)",
        "rows": "\n".join(rows),
        "ink": "white edges on black" if edges.get("ink") == "white" else "black edges on white",
        "channels": "grey" if edges.get("channels") == 1 else "red, green and blue of equal values",
        "scores": ", and the audit's `scores`" if curation else "",
        "address": f"{TARS_FOLDER}/{filled[0]}-{{000000..{len(tars_of(manifest, filled[0])) - 1:06d}}}.tar",
        "split": filled[0],
        "detector": detector,
        "curated": curated,
        "val_share": config["val_share"],
        "seed": config["seed"],
        "weights": f" The weights of the detector `{detector}` {_WEIGHTS[detector]}." if detector in _WEIGHTS else "",
        "rejected": f"{sum(manifest.rejects.values()):,}",
    }
    # Tables, lists, code and headings are not wrapped.
    blocks = (
        block
        if block.startswith(("|", "-", "`" * 3, "#"))
        else textwrap.fill(block, 120, break_long_words=False, break_on_hyphens=False)
        for block in fill("edgemap-345c", values).rstrip("\n").split("\n\n")
    )
    return "\n\n".join(blocks) + "\n"
