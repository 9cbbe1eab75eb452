"""Build a data set of two domains, drawings and photos of the same classes, for cross-domain retrieval.

    sketchdata build sbir --layout folders --drawings sketches --photos photos --seen 26 --out data/sbir

Drawings stored as strokes are read and selected as by `sketchdata build drawings`; photos, and drawings stored as
pixels, by `read_pictures`, one task per class. Then classes and pictures are selected and assigned to groups of
classes, and one stage writes the shards of every group and domain. No file has data of two groups.

This module has the options, the stages and the class table; `sbir_inputs` finds the files, and `sbir_pictures` reads
and selects pictures. Done-markers contain the module of a stage, so a stage that moves to another module runs again.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import click
import numpy as np
import orjson
import pyarrow as pa

from sketchdata.classes.spellings import by_spelling, find
from sketchdata.classes.splits import ClassSplit, SplitNames, SplitOptions, dump, read_all, split_by_names
from sketchdata.config import option, recorded
from sketchdata.cross_domain.layouts import (
    DOMAINS,
    DRAWINGS,
    GROUPS,
    IMAGENET,
    LAYOUTS,
    MERGED,
    PHOTOS,
    PIXELS,
    UNSEEN,
    VALIDATION,
    VECTORS,
    class_name,
    classes_of,
    imagenet_classes,
    photo_stem,
)
from sketchdata.cross_domain.overview import sbir_card
from sketchdata.engine import EngineOptions, Task, TaskResult, assembly, run, run_final
from sketchdata.engine.output_folder import OutputFolder, publish
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.formats.files import FaultCounts
from sketchdata.pipelines import drawings as own_drawings
from sketchdata.pipelines.sbir_inputs import Inputs, NoPicturesError, Unit, scan
from sketchdata.pipelines.sbir_pictures import DOUBLE, OTHER_GROUP, Found, Source, crop_rows, file_rows
from sketchdata.progress import console, one_opencv_thread
from sketchdata.storage import parquet, pictures
from sketchdata.storage.cards import OWN_FILES
from sketchdata.storage.catalog import manifest_path
from sketchdata.storage.manifest import (
    FileEntry,
    Manifest,
    SourceEntry,
    file_entry,
    read_manifest,
    replacing,
)

PAIRS_FOLDER = "pairs"
_NAMES = frozenset({"data", "key_ids", PAIRS_FOLDER, "classes.csv", "rejects.jsonl"})
#: Keys of the config that no option sets, determined by the build.
_FOUND = frozenset({DRAWINGS, VALIDATION, UNSEEN, IMAGENET})
_COUNT = click.IntRange(1, 10_000_000)
_FOLDER = click.Path(file_okay=False, path_type=Path)
_ROWS_AT_ONCE = 64
#: Reasons to leave out readable records, which do not count as bad.
_WITHOUT, _TOO_FEW, _NO_CLASS = "class without the other domain", "class with too few", "class that no list has"
_LEFT_OUT = frozenset({DOUBLE, OTHER_GROUP, _WITHOUT, _TOO_FEW, _NO_CLASS})
_UNLISTED = "listed drawing that the files do not have"


@dataclass(frozen=True, kw_only=True)
class Config:
    """Options: sources, selection and output folder."""

    layout: str = option(
        "folders",
        help="Layout of the input: one folder per class, a published data set, or the lists of SAKE and ZSE-SBIR.",
        type=click.Choice(LAYOUTS),
    )
    drawings: Path = option(
        help="Folder of drawings: CLASS/FILE.svg or .png, CLASS.ndjson, …; a data set of drawings; or where the layout "
        "has them.",
        record=False,
        type=_FOLDER,
    )
    photos: Path = option(
        help="Folder of photos: CLASS/FILE.jpg; what `edgemaps crop` or `edgemaps collect` made; or where the layout "
        "has them.",
        record=False,
        type=_FOLDER,
    )
    lists: Path | None = option(
        None,
        help="Folder of lists. For sake: the lists of pictures. For quickdraw-extended: lists of the key_ids to take, "
        "or folders of pictures that are named by key_id.",
        record=False,
        type=_FOLDER,
    )
    out: Path = option(help="Folder of the data set.", record=False, type=_FOLDER)
    name: str | None = option(None, help="The data set's name. Default: sbir- and the layout.", record=False)
    drawings_per_class: int | None = option(
        None, help="Maximum number of drawings per class, chosen by a keyed hash. Default: all.", type=_COUNT
    )
    photos_per_class: int | None = option(
        None, help="Maximum number of photos per class, chosen by a keyed hash. Default: all.", type=_COUNT
    )
    min_drawings: int = option(1, help="Leave out classes with fewer drawings.", type=_COUNT)
    min_photos: int = option(1, help="Leave out classes with fewer photos.", type=_COUNT)
    longest_side: int = option(
        512,
        help="Maximum length of a picture's longer side in pixels; larger pictures are resized.",
        type=click.IntRange(32, 8192),
    )
    seed: int = option(0, help="Seed of the hashes that choose pictures.", type=click.IntRange(0, 2**64 - 1))
    max_bad_fraction: float = option(
        0.01, help="Fail when a larger share of the files and records is unreadable.", type=click.FloatRange(0, 1)
    )
    overwrite: bool = option(False, help="Replace another data set in the output folder.", record=False)


def build(config: Config, options: SplitOptions, engine: EngineOptions) -> Manifest | None:
    """Build the data set and return its manifest; None if other shares of a job array must finish first.

    Raises:
        ConfigError: A folder or list does not exist, the split is invalid, or the output folder is not empty.
        SketchDataError: No class has drawings and photos, too many files are unreadable, or tasks failed.
    """
    published = manifest_path("splits")
    names = read_all(options.class_split, published) if options.class_split else None
    folder = _folder(config, options, names)
    scanned: list[Inputs] = []
    finished = folder.begin(overwrite=config.overwrite, check=lambda: scanned.append(_scan(config, folder)))
    if finished is not None:
        return finished
    (inputs,) = scanned
    if options.seen is None and names is None and inputs.lists is not None:
        names = SplitNames(seen=inputs.lists.seen, unseen=inputs.lists.unseen)
    strokes = _read_strokes(inputs, folder, engine)
    if inputs.strokes is not None and strokes is None:
        return None
    table = _class_table(inputs, strokes or [], config, folder)
    # Checked this early, so that a mistake in the split costs no time.
    _split(table, options, names, folder)
    own = partial(_picture_tasks, folder, config, table)
    tasks = [*own(DRAWINGS, inputs.pixels), *own(PHOTOS, inputs.photos)]
    if (read := run(read_pictures, tasks, engine, title="Reading pictures")) is None:
        return None
    found = Found(folder=folder, results=read)
    table = _enough(table, found, config, folder)
    split, unknown = _split(table, options, names, folder)
    if unknown:
        note = f"ignored {len(unknown):,} names of the split that no class has: {_shown(unknown)}"
        console.print(note, soft_wrap=True, highlight=False)
    group_of = {word: group for group in GROUPS for word in classes_of(split, group)}
    found.choose(group_of, {DRAWINGS: config.drawings_per_class, PHOTOS: config.photos_per_class}, config.seed)
    rejected = [*inputs.rejected, *table.left_out, *found.rejected]
    folder = dataclasses.replace(
        folder,
        plan=dataclasses.replace(
            folder.plan,
            classes=table.classes,
            config={
                **folder.plan.config,
                DRAWINGS: PIXELS if strokes is None else VECTORS,
                VALIDATION: list(split.validation),
                UNSEEN: list(split.unseen),
                IMAGENET: list(imagenet_classes(table.classes)),
            },
        ),
    )
    counts = {f"{group}-{domain}": dict.fromkeys(table.classes, 0) for group in GROUPS for domain in DOMAINS}
    tasks = found.shard_tasks(folder, counts)
    if strokes is not None:
        chosen = _select(folder, strokes, table, inputs, config, engine)
        if chosen is None:
            return None
        for result in chosen:
            counts[f"{group_of[result.task_id]}-{DRAWINGS}"][result.task_id] = result.counts["drawings"]
            rejected += [line | {"file": result.task_id} for line in result.facts["rejected"]]
            rejected += [
                {"file": result.task_id, "where": f"key_id {key_id}", "reason": _UNLISTED, "detail": ""}
                for key_id in result.facts["missing"]
            ]
        shards = {f"{group}-{DRAWINGS}": counts[f"{group}-{DRAWINGS}"] for group in GROUPS}
        tasks += assembly.shard_tasks(folder, shards, {r.task_id: r.files[0].sha256 for r in chosen})
    rejected += [line for result in [*(strokes or []), *read] for line in result.facts["rejected"]]
    listed, rejects = _list_rejects(folder, rejected)
    examined = sum(result.counts["records"] for result in [*(strokes or []), *read])
    examined += sum(map(len, inputs.key_ids.values())) + len(inputs.rejected)
    bad = {reason: count for reason, count in rejects.items() if reason not in _LEFT_OUT}
    assembly.check_rejects(bad, examined, config.max_bad_fraction, config.out / "rejects.jsonl")
    if (written := run_final(write_shard, tasks, engine, title="Writing shards")) is None:
        return None
    return assembly.finish(
        folder,
        written,
        card=sbir_card,
        lists=[listed, *_pairs(folder, found, group_of)],
        classes=table.classes,
        counts=counts,
        rejects=rejects,
        sources=tuple(SourceEntry(**result.facts["source"]) for result in [*(strokes or []), *read]),
        config=folder.plan.config,
    )


def _folder(config: Config, options: SplitOptions, names: SplitNames | None) -> OutputFolder:
    chosen = recorded(options) | {"class_split": [Path(name).name for name in options.class_split]}
    if names is not None:
        # The content of a file can change under the same name.
        chosen["class_split_sha256"] = hashlib.sha256(dump(names).encode()).hexdigest()
    name = config.name or f"sbir-{config.layout}"
    plan = Manifest(
        name=name,
        config={**recorded(config), "input_format": "files", "split": chosen},
        classes=(),
        counts={},
        rejects={},
        sources=(),
        files=(),
    )
    return OutputFolder(
        out=config.out.absolute(),
        plan=plan,
        names=_NAMES,
        noun="data set of drawings and photos",
        work_name=".build",
        same=("name", "config"),
        limits={},
        found=_FOUND,
        replaces=frozenset(f"sbir-{layout}" for layout in LAYOUTS),
    )


def _scan(config: Config, folder: OutputFolder) -> Inputs:
    try:
        return scan(config.layout, drawings=config.drawings, photos=config.photos, lists=config.lists)
    except NoPicturesError as error:
        try:
            folder.claim(overwrite=False)
        except ConfigError:
            # A folder that holds something else gets no list of rejects.
            raise error from None
        raise _nothing_left(folder, error.message, error.lines) from error


# ---- drawings that are strokes ---------------------------------------------------------------------------------------


def _read_strokes(inputs: Inputs, folder: OutputFolder, engine: EngineOptions) -> list[TaskResult] | None:
    if inputs.strokes is None:
        return None
    tasks = own_drawings.read_tasks(inputs.strokes, folder, "auto")
    return run(read_strokes, tasks, engine, title="Reading drawings")


def read_strokes(task: Task) -> TaskResult:
    """Read a file of drawings, or a shard of a data set of them, and group its drawings by class."""
    path = Path(task.config["path"])
    if path.suffix != ".parquet":
        return own_drawings.read_source(task)
    manifest = read_manifest(path.parents[1])
    batch = parquet.read_shard(path)
    parquet.write_grouped(task.output, batch, manifest.classes)
    counts = np.bincount(batch.label, minlength=len(manifest.classes)).tolist()
    source = SourceEntry(
        path=task.id,
        bytes=path.stat().st_size,
        md5=hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest(),
        records=len(batch),
        official=False,
    )
    return TaskResult(
        task_id=task.id,
        files=(file_entry(task.output, task.output.parent, len(batch)),),
        counts={"records": len(batch)},
        facts={
            "words": {word: count for word, count in zip(manifest.classes, counts, strict=True) if count},
            "labels": {word: label for label, word in enumerate(manifest.classes)},
            "rejected": [],
            "notes": [],
            "source": dataclasses.asdict(source),
        },
    )


def _select(
    folder: OutputFolder,
    strokes: Sequence[TaskResult],
    table: _ClassTable,
    inputs: Inputs,
    config: Config,
    engine: EngineOptions,
) -> list[TaskResult] | None:
    known = {own: word for own, word in table.drawings.items() if word in set(table.classes)}
    classes = by_spelling(table.classes)
    only = {word: ids for name, ids in inputs.key_ids.items() if (word := find(name, classes)) is not None}
    # Only by key_ids, so that no drawing outside the lists is included.
    known |= {own: word for own, word in MERGED.items() if own not in known and word in only}
    if inputs.known is not None and (unlisted := [word for word in table.classes if word not in only]) and only:
        note = f"--lists has no drawings of {len(unlisted):,} classes, {unlisted[0]} among them: all of them are taken"
        console.print(note, soft_wrap=True, highlight=False)
    most = 2**31 - 1 if config.drawings_per_class is None else config.drawings_per_class
    chosen = own_drawings.select(folder, strokes, known, most, engine, only)
    if chosen is not None and (empty := [result.task_id for result in chosen if not result.counts["drawings"]]):
        raise _nothing_left(
            folder,
            f"{', '.join(map(repr, empty))} has no drawings after duplicates and unlisted ones were removed: leave the "
            "class out, by its folder or by --min-drawings",
            [line | {"file": result.task_id} for result in chosen for line in result.facts["rejected"]],
        )
    return chosen


# ---- classes ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _ClassTable:
    """Classes that both domains have, in alphabetical order.

    Attributes:
        classes: Class names in the spelling of the drawings.
        drawings: {class name in the source of drawings: class}.
        photos: {class name in the source of photos: class}.
        counts: {class: number of drawings}, if drawings are strokes.
        left_out: Lines of classes with only one domain or too few pictures.
    """

    classes: tuple[str, ...]
    drawings: Mapping[str, str]
    photos: Mapping[str, str]
    counts: Mapping[str, int]
    left_out: Sequence[Mapping[str, str]]


def _left_out(domain: str, name: str, count: int, reason: str) -> dict[str, str]:
    return {"file": f"{domain}/{name}", "where": f"{count:,} {domain}", "reason": reason, "detail": name}


def _class_table(inputs: Inputs, strokes: Sequence[TaskResult], config: Config, folder: OutputFolder) -> _ClassTable:
    drawn = Counter[str]()
    for result in strokes:
        drawn.update(result.facts["words"])
    for unit in inputs.pixels:
        drawn[unit.word] += len(unit.files)
    shot = Counter[str]()
    for unit in inputs.photos:
        shot.update({unit.word: len(unit.files)} if unit.word else _crop_counts(unit))
    for word in drawn:
        own_drawings.check_name(word)
    known = None if inputs.known is None else by_spelling(inputs.known)
    words = by_spelling(sorted(word for word in drawn if known is None or find(word, known) is not None))
    photos = {own: name for own in sorted(shot) if (name := find(class_name(config.layout, own), words)) is not None}
    classes = tuple(word for word in words.values() if word in set(photos.values()))

    def why(name: str) -> str:
        return _WITHOUT if known is None or find(name, known) is not None else _NO_CLASS

    left_out = [_left_out(DRAWINGS, word, drawn[word], why(word)) for word in sorted(drawn) if word not in set(classes)]
    left_out += [_left_out(PHOTOS, name, shot[name], why(name)) for name in sorted(shot) if name not in photos]
    if not classes:
        raise _nothing_left(
            folder,
            f"no class has drawings and photos: {_shown(sorted(drawn))} of --drawings and {_shown(sorted(shot))} of "
            "--photos have no name in common",
            [*inputs.rejected, *left_out, *(line for result in strokes for line in result.facts["rejected"])],
        )
    return _ClassTable(
        classes=classes,
        drawings={word: word for word in classes},
        photos=photos,
        counts={word: drawn[word] for word in classes} if inputs.strokes is not None else {},
        left_out=left_out,
    )


def _crop_counts(unit: Unit) -> Counter[str]:
    tables = pictures.read_shard(unit.root / unit.files[0], columns=["word"])
    return Counter(word for table in tables for word in table.column("word").to_pylist())


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    return ", ".join(map(repr, names[:3])) + more


def _enough(table: _ClassTable, found: Found, config: Config, folder: OutputFolder) -> _ClassTable:
    """Leave out the classes with too few pictures of a domain."""
    classes, left_out, least = [], list(table.left_out), (config.min_drawings, config.min_photos)
    counts = {domain: Counter(row["word"] for row in found.rows[domain]) for domain in DOMAINS}
    counts[DRAWINGS].update(table.counts)
    for word in table.classes:
        own = [counts[domain][word] for domain in DOMAINS]
        if all(count >= few for count, few in zip(own, least, strict=True)):
            classes.append(word)
        else:
            left_out += [_left_out(domain, word, n, _TOO_FEW) for domain, n in zip(DOMAINS, own, strict=True)]
    if not classes:
        most = " and ".join(f"{max(own.values(), default=0):,} {domain}" for domain, own in counts.items())
        raise _nothing_left(
            folder,
            f"no class has {least[0]:,} drawings and {least[1]:,} photos; the most are {most}",
            [*left_out, *found.rejected, *(line for read in found.results for line in read.facts["rejected"])],
        )
    return dataclasses.replace(table, classes=tuple(classes), left_out=left_out)


def _split(
    table: _ClassTable, options: SplitOptions, names: SplitNames | None, folder: OutputFolder
) -> tuple[ClassSplit, tuple[str, ...]]:
    classes, why = table.classes, ""
    try:
        if names is None or options.seen is not None:
            split, unknown = options.choose(classes, manifest_path("splits"))
        else:
            share, seed = options.validation_share, options.split_seed
            split, unknown = split_by_names(
                classes, names, validation_share=share, seed=seed, allow_unknown=options.allow_unknown
            )
    except ConfigError as error:
        if table.left_out:
            _list_rejects(folder, table.left_out)
            out = sorted({line["detail"] for line in table.left_out})
            why = f" (left out for too few drawings or photos: {_shown(out)}; see {folder.out / 'rejects.jsonl'})"
        raise ConfigError(f"{error}{why}") from error
    return split, unknown


# ---- photos, and drawings that are pixels ----------------------------------------------------------------------------


def _picture_tasks(
    folder: OutputFolder, config: Config, table: _ClassTable, domain: str, units: Sequence[Unit]
) -> list[Task]:
    classes = table.drawings if domain == DRAWINGS else table.photos
    tasks = []
    for unit in units:
        if unit.word and unit.word not in classes:
            continue
        paths = [unit.root / file for file in unit.files]
        tasks.append(
            Task(
                id=unit.name,
                output=folder.work / "read" / f"{hashlib.sha256(unit.name.encode()).hexdigest()[:32]}.arrow",
                inputs={unit.name: own_drawings.identity(paths)},
                config={
                    "domain": domain,
                    "root": str(unit.root.absolute()),
                    "files": list(unit.files),
                    "credits": [dict(each) for each in unit.credits],
                    "source": config.layout,
                    "category": unit.word,
                    "classes": {unit.word: classes[unit.word]} if unit.word else dict(classes),
                    "longest_side": config.longest_side,
                },
            )
        )
    return tasks


def read_pictures(task: Task) -> TaskResult:
    """Read the pictures of a class, or a shard of crops, and keep the decodable ones in their stored form."""
    rejected: list[dict[str, str]] = []
    source = Source()
    rows = crop_rows if not task.config["category"] else file_rows
    words = sorted(set(task.config["classes"].values()))
    with one_opencv_thread(), replacing(task.output) as file, pa.ipc.new_file(file, pictures.schema()) as writer:
        made, count = rows(task, source, rejected), 0
        while some := list(islice(made, _ROWS_AT_ONCE)):
            columns = {name: [row[name] for row in some] for name in some[0]}
            columns["label"] = [words.index(word) for word in columns["word"]]
            writer.write_table(pictures.to_table(columns, words))
            count += len(some)
    entry = SourceEntry(
        path=f"{OWN_FILES}{task.id}/",
        bytes=source.bytes,
        md5=source.md5.hexdigest(),
        records=source.records,
        official=False,
    )
    return TaskResult(
        task_id=task.id,
        files=(file_entry(task.output, task.output.parent, count),),
        counts={"records": source.records},
        facts={"rejected": rejected, "source": dataclasses.asdict(entry), "domain": task.config["domain"]},
    )


def write_shard(task: Task) -> TaskResult:
    """Write a shard of drawings stored as strokes, or of pictures from several chunks, by class and key_id."""
    if "parts" not in task.config:
        return assembly.write_shard(task)
    classes, written = task.config["classes"], Path(task.config["written"])
    labels = {word: label for label, word in enumerate(classes)}
    tables = [
        pa.ipc.open_file(pa.memory_map(path)).read_all().take(rows) for path, rows in task.config["parts"].items()
    ]
    columns = {
        name: pa.chunked_array([chunk for table in tables for chunk in table.column(name).chunks]).combine_chunks()
        for name in pictures.schema().names
        if name not in ("word", "label")
    }
    words = [word for table in tables for word in table.column("word").to_pylist()]
    columns["label"] = np.array([labels[word] for word in words], np.uint16)
    table = pictures.to_table(columns, classes)
    table = table.take(pictures.row_numbers(columns["label"], table["key_id"].to_numpy()))
    pictures.write_shard(written, table, task.config["facts"])
    publish(written, task.output)
    return TaskResult(task_id=task.id, files=(file_entry(task.output, task.output.parent, len(table)),))


# ---- beside the shards -----------------------------------------------------------------------------------------------


def _nothing_left(folder: OutputFolder, message: str, rejected: Sequence[Mapping[str, str]]) -> SketchDataError:
    """List all rejects, and return an error with the most frequent reasons."""
    if not rejected:
        return SketchDataError(message)
    _list_rejects(folder, rejected)
    return SketchDataError(f"{message}. {FaultCounts.of_lines(rejected)}; see {folder.out / 'rejects.jsonl'}")


def _list_rejects(folder: OutputFolder, rejected: Iterable[Mapping[str, str]]) -> tuple[FileEntry, dict[str, int]]:
    """Write rejects.jsonl, and count its lines by reason."""
    lines = sorted(rejected, key=lambda line: (line["file"], line["where"], line["reason"], line["detail"]))
    content = b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines)
    counts = Counter(line["reason"] for line in lines)
    return folder.put("rejects.jsonl", content, len(lines)), dict(sorted(counts.items()))


def _pairs(folder: OutputFolder, found: Found, group_of: Mapping[str, str]) -> list[FileEntry]:
    """Write the photo of each drawing of Sketchy, one file per group of classes; nothing for other names."""
    # Files of an earlier run.
    shutil.rmtree(folder.out / PAIRS_FOLDER, ignore_errors=True)
    photos: dict[tuple[str, str], tuple[str, int]] = {}
    for row in found.rows[PHOTOS]:
        taken = (row["word"], Path(row["photo"]).stem)
        photos[taken] = min(photos.get(taken, (row["photo"], row["key_id"])), (row["photo"], row["key_id"]))
    pairs: dict[str, list[tuple[int, int]]] = {}
    for row in found.rows[DRAWINGS]:
        key = (row["word"], photo_stem(row["photo"]) or "")
        if key in photos:
            pairs.setdefault(group_of[row["word"]], []).append((row["key_id"], photos[key][1]))
    entries = []
    for group in [each for each in GROUPS if each in pairs]:
        text = io.StringIO()
        lines = csv.writer(text, lineterminator="\n")
        lines.writerows([("drawing", "photo"), *sorted(pairs[group])])
        entries.append(folder.put(f"{PAIRS_FOLDER}/{group}.csv", text.getvalue().encode("ascii"), len(pairs[group])))
    return entries
