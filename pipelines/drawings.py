"""Build a data set from a user's drawings: a folder of SVG, ndjson, CSV, binary or sketch-rnn files, of any classes.

    sketchdata build drawings --source tu-berlin --out data/tu-berlin

`read_source` reads a file, or the SVG files of a folder, and groups its drawings by class; `select_class` joins the
drawings of a class from all sources and keeps those with the smallest ranks. Splits, shards, lists and manifest have
the layout of `sketchdata build quickdraw-3.8m`, so the same programs read both.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, cast

import click
import numpy as np
import orjson

from sketchdata.classes.spellings import plain
from sketchdata.config import FILE, FOLDER, option, recorded
from sketchdata.drawings.drawing import DrawingBatch, Parsed, Words, concatenate, empty_batch
from sketchdata.drawings.sampling import SPLITS, ranks, scale_to_fit
from sketchdata.drawings.simplify import simplify_records
from sketchdata.engine import EngineOptions, Task, TaskResult, run
from sketchdata.engine.assembly import (
    check_rejects,
    count_rejects,
    drawings_folder,
    finish,
    select_classes,
    selected,
    write_shards,
)
from sketchdata.engine.output_folder import OutputFolder
from sketchdata.errors import ConfigError, FormatError, SketchDataError
from sketchdata.formats.files import (
    FORMATS,
    SCALES,
    Fault,
    FaultCounts,
    Portion,
    Reader,
    read_npz,
    read_svg_folder,
    unpacked_blocks,
)
from sketchdata.progress import console
from sketchdata.storage import parquet
from sketchdata.storage.cards import OWN_FILES, dataset_card
from sketchdata.storage.catalog import category_of, read_class_table
from sketchdata.storage.manifest import FileEntry, Manifest, SourceEntry, file_entry

#: Number of bits of a rank.
_SIZE, _SEED = click.IntRange(0, 10_000_000), click.IntRange(0, 2**64 - 1)
_SVG, _GZIP = ".svg", ".gz"
_DUPLICATE, _UNLISTED = "duplicate key_id", "not in the class table"


@dataclass(frozen=True, kw_only=True)
class Config:
    """Options: sources, selection and output folder."""

    source: Path = option(
        help="Folder of drawings, at any depth: CLASS/FILE.svg, CLASS.npz, CLASS.bin, and .ndjson or Kaggle's .csv, "
        "whose records name their class.",
        record=False,
        type=FOLDER,
    )
    out: Path = option(help="Folder of the data set.", record=False, type=FOLDER)
    name: str | None = option(None, help="The data set's name. Default: the source's.", record=False)
    classes: Path | None = option(
        None,
        help="Class table, one name per line, in the order of the labels; drawings of other classes are refused. "
        "Default: all classes found, in alphabetical order.",
        record=False,
        type=FILE,
    )
    seed: int = option(0, help="Seed of the hash that splits.", type=_SEED)
    train: int = option(
        9000,
        help="Drawings per class for training; if a class has too few drawings, all of its splits shrink in "
        "proportion.",
        type=_SIZE,
    )
    val: int = option(1000, help="Drawings per class for validation.", type=_SIZE)
    gallery: int = option(1000, help="Drawings per class in the gallery, which is searched.", type=_SIZE)
    query: int = option(100, help="Drawings per class that search the gallery.", type=_SIZE)
    max_bad_fraction: float = option(
        0.01, help="Fail when a larger share of the records is refused.", type=click.FloatRange(0, 1)
    )
    scale: str = option(
        "auto",
        help="How the drawings of an .npz file are placed in the 0..255 square. "
        + "; ".join(f"{name}: {meaning}" for name, meaning in SCALES.items())
        + ".",
        type=click.Choice(list(SCALES)),
    )
    overwrite: bool = option(False, help="Replace another data set in the output folder.", record=False)


@dataclass(frozen=True, kw_only=True)
class SourceUnit:
    """A file, or a folder whose SVG files are read; `name` is its path below the source."""

    name: str
    path: Path
    identity: str


def build(config: Config, engine: EngineOptions) -> Manifest | None:
    """Build the data set and return its manifest; None if other shares of a job array must finish first.

    Raises:
        SketchDataError: There are no drawings, too many are refused, a class has no name, or tasks failed.
    """
    sizes = {split: getattr(config, split) for split in SPLITS}
    if not sum(sizes.values()):
        raise ConfigError("the splits are all empty: give --train, --val, --gallery or --query")
    table = () if config.classes is None else read_class_table(config.classes)
    for word in table:
        check_name(word)
    plan = Manifest(
        name=config.name or config.source.absolute().name or "drawings",
        config={**recorded(config), "input_format": "files"},
        classes=table,
        counts={},
        rejects={},
        sources=(),
        files=(),
    )
    folder = drawings_folder(config.out, plan, ("config", "classes", "parent") if table else ("config", "parent"))
    units: list[SourceUnit] = []
    finished = folder.begin(overwrite=config.overwrite, check=lambda: units.extend(units_of(config.source)))
    if finished is not None:
        return finished
    read = run(read_source, read_tasks(units, folder, config.scale), engine, title="Reading drawings")
    if read is None:
        return None
    for note, names in _notes(read).items():
        files = names[0] if len(names) == 1 else f"{len(names):,} files, {names[0]} among them"
        console.print(f"{files}: {note}", markup=False, highlight=False, soft_wrap=True)
    if table:
        known = {plain(word): word for word in table} | {word: word for word in table}
    else:
        found = sorted({word for result in read for word in result.facts["words"]})
        known = {word: word for word in found}
        for word in found:
            check_name(word)
    folder = dataclasses.replace(folder, plan=dataclasses.replace(plan, classes=table or tuple(known)))
    chosen = select(folder, read, known, sum(sizes.values()), engine)
    if chosen is None:
        return None
    rejects, listed = _list_rejects([*read, *chosen], known, folder)
    examined = sum(result.counts["records"] for result in read)
    check_rejects(rejects, examined, config.max_bad_fraction, config.out / "rejects.jsonl")
    drawings = {result.task_id: scale_to_fit(sizes, result.counts["drawings"]) for result in chosen}
    if not any(sum(each.values()) for each in drawings.values()):
        listed_in = folder.out / "rejects.jsonl"
        reasons = f": {FaultCounts.of_list(listed_in, rejects)}; see {listed_in}" if rejects else ""
        raise SketchDataError(f"{config.source} has no drawings of these classes{reasons}")
    counts = {split: {word: drawings[word][split] for word in folder.plan.classes} for split in SPLITS}
    inputs = {result.task_id: result.files[0].sha256 for result in chosen}
    if (shards := write_shards(folder, counts, inputs, engine)) is None:
        return None
    facts = {
        "classes": folder.plan.classes,
        "counts": counts,
        "rejects": dict(sorted(rejects.items())),
        "sources": tuple(SourceEntry(**result.facts["source"]) for result in read),
    }
    return finish(folder, shards, card=dataset_card, lists=[listed], **facts)


def _notes(results: Sequence[TaskResult]) -> dict[str, list[str]]:
    """Return the notes of readers about whole files: {note: file names}."""
    notes: dict[str, list[str]] = {}
    for result in results:
        for note in result.facts["notes"]:
            notes.setdefault(note, []).append(result.task_id)
    return notes


def _list_rejects(
    results: Sequence[TaskResult], known: Mapping[str, str], folder: OutputFolder
) -> tuple[Counter[str], FileEntry]:
    """Write rejects.jsonl, with one line per file and unlisted class, and count records by reason."""
    rejects, lines = Counter(count_rejects(results)), []
    for result in results:
        lines += result.facts["rejected"]
        for word, count in result.facts.get("words", {}).items():
            if _class_of(word, known) is None:
                rejects[_UNLISTED] += count
                lines.append(
                    {"file": result.task_id, "where": f"{count:,} drawings", "reason": _UNLISTED, "detail": word}
                )
    content = b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines)
    return rejects, folder.put("rejects.jsonl", content, len(lines))


def check_name(word: str) -> None:
    """Check a class name.

    Raises:
        ConfigError: The name cannot be used for files, folders or columns.
    """
    # Class names become names of files and folders, and cells of text tables.
    if word in ("", ".", "..") or "/" in word or not word.isprintable() or len(word.encode(errors="replace")) > 200:
        raise ConfigError(
            f"{word!r} cannot be the name of a class: it must be printable, have no / and at most 200 bytes"
        )


# ---- sources ---------------------------------------------------------------------------------------------------------


def units_of(source: Path, option: str = "--source") -> list[SourceUnit]:
    """Return the files of drawings and the folders of SVG files, sorted by name.

    Raises:
        ConfigError: There are none, or SVG files lie outside of a class folder; `option` is named in the message.
    """
    if not source.is_dir():
        raise ConfigError(f"{option} {source} is not a folder: give one that holds drawings")
    units: list[SourceUnit] = []
    passed_over = FaultCounts()
    for folder, names in _walk(source):
        pictures = []
        for name in names:
            path = folder / name
            suffix = path.with_name(name.removesuffix(_GZIP)).suffix.lower()
            if not path.is_file() or suffix == ".npy" or suffix.removeprefix(".") not in FORMATS:
                kind = suffix or "without suffix"
                passed_over.add(Fault(where=str(path.relative_to(source)), reason=kind, detail=""))
            elif suffix == _SVG:
                _below(source, path)
                pictures.append(path)
            else:
                units.append(SourceUnit(name=_below(source, path), path=path, identity=identity([path])))
        if pictures and folder == source:
            raise ConfigError(
                f"{pictures[0]} lies in {option} itself: SVG files are expected in a folder named after their class, "
                f"such as {source / 'cat' / pictures[0].name}"
            )
        if pictures:
            units.append(SourceUnit(name=f"{_below(source, folder)}/", path=folder, identity=identity(pictures)))
    if not units:
        known = ", ".join(f".{name}" for name, each in FORMATS.items() if each.read is not None)
        there = f"; found {passed_over}" if passed_over.counts else ""
        raise ConfigError(f"{option} {source} holds no drawings: files of {known} were expected, at any depth{there}")
    if passed_over.counts:
        note = f"skipped files that are not drawings: {passed_over}"
        console.print(note, markup=False, highlight=False, soft_wrap=True)
    return sorted(units, key=lambda unit: unit.name)


def _walk(source: Path) -> Iterator[tuple[Path, list[str]]]:
    seen = set()
    for place, folders, names in os.walk(source, followlinks=True):
        status = Path(place).stat()
        # A symbolic link can lead back to a parent folder.
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield Path(place), sorted(name for name in names if not name.startswith("."))


def _below(source: Path, path: Path) -> str:
    name = f"{OWN_FILES}{path.relative_to(source).as_posix()}"
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"the name of {name!r} is not UTF-8: rename it") from error
    return name


def identity(paths: Sequence[Path]) -> str:
    """Hash the names, sizes and modification times of files, to detect changes."""
    digest = hashlib.sha256()
    for path in paths:
        status = path.stat()
        digest.update(f"{path.name} {status.st_size} {status.st_mtime_ns}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


# ---- first stage: one task per file or folder ------------------------------------------------------------------------


def read_tasks(units: Sequence[SourceUnit], folder: OutputFolder, scale: str) -> list[Task]:
    """Return the tasks of `read_source`."""
    return [
        Task(
            id=unit.name,
            output=folder.work / "read" / f"{hashlib.sha256(unit.name.encode()).hexdigest()[:32]}.arrow",
            inputs={unit.name: unit.identity},
            config={"path": str(unit.path.absolute()), "name": unit.name, "scale": scale},
        )
        for unit in units
    ]


def read_source(task: Task) -> TaskResult:
    """Read a file, or the SVG files of a folder, and group its drawings by class; raw ones are simplified."""
    path, name = Path(task.config["path"]), task.config["name"]
    words, batches, rejected = Words(), [empty_batch()], []
    reader, notes = _Hashed(), list[str]()
    records = 0
    try:
        for portion in _portions(path, words, reader, task.config["scale"]):
            notes += [portion.note] if portion.note else []
            records += len(portion.batch) + len(portion.faults)
            batch, faults = simplified(portion)
            batches.append(batch)
            rejected += [{"file": name, **dataclasses.asdict(fault)} for fault in faults]
    except FormatError as error:
        records += 1
        rejected.append({"file": name, "where": "the file", "reason": error.reason, "detail": error.detail})
    batch = concatenate(batches)
    # Without drawings there are no groups, and nothing reads them.
    write = parquet.write_grouped if len(batch) else parquet.write_arrow
    write(task.output, batch, words.names)
    counts = np.bincount(batch.label, minlength=len(words.names)).tolist()
    source = SourceEntry(path=name, bytes=reader.bytes, md5=reader.md5.hexdigest(), records=records, official=False)
    return TaskResult(
        task_id=task.id,
        files=(file_entry(task.output, task.output.parent, len(batch)),),
        counts={"records": records},
        rejects=dict(Counter(each["reason"] for each in rejected)),
        facts={
            "words": {word: count for word, count in zip(words.names, counts, strict=True) if count},
            "labels": {word: label for label, word in enumerate(words.names)},
            "rejected": rejected,
            "notes": notes,
            "source": dataclasses.asdict(source),
        },
    )


class _Hashed:
    """Counts and hashes the bytes read through it."""

    def __init__(self) -> None:
        self.bytes, self.md5 = 0, hashlib.md5(usedforsecurity=False)

    def __call__(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        for block in blocks:
            self.bytes += len(block)
            self.md5.update(block)
            yield block


def _portions(path: Path, words: Words, hashed: _Hashed, scale: str) -> Iterator[Portion]:
    if path.is_dir():
        for each in sorted(path.iterdir()):
            if each.suffix.lower() == _SVG and each.is_file() and not each.name.startswith("."):
                for _ in hashed([each.read_bytes()]):
                    pass
        yield from read_svg_folder(path, words, path.name)
        return
    known = FORMATS[path.with_name(path.name.removesuffix(_GZIP)).suffix.lower().removeprefix(".")]
    word = None if known.names_word else category_of(path.name)
    with path.open("rb") as file:
        blocks = hashed(unpacked_blocks(cast(BinaryIO, file), path.name))
        read = partial(read_npz, scale=scale) if known.name == "npz" else cast(Reader, known.read)
        yield from read(blocks, words, word)


def simplified(portion: Portion) -> tuple[DrawingBatch, list[Fault]]:
    """Return the drawings of a portion, simplified if raw, and the faults of reading and simplification."""
    if not portion.batch.is_raw:
        return portion.batch, portion.faults
    ids = portion.batch.key_id
    parsed = simplify_records(Parsed(batch=portion.batch, rows=np.arange(len(portion.batch)), faults=[]))
    faults = [
        Fault(where=f"key_id {ids[row]}", reason=error.reason, detail=error.detail) for row, error in parsed.faults
    ]
    return parsed.batch, [*portion.faults, *faults]


# ---- second stage: one task per class --------------------------------------------------------------------------------


def _class_of(word: str, known: Mapping[str, str]) -> str | None:
    return known.get(word) or known.get(plain(word))


def select(
    folder: OutputFolder,
    read: Sequence[TaskResult],
    known: Mapping[str, str],
    count: int,
    engine: EngineOptions,
    only: Mapping[str, Sequence[int]] = MappingProxyType({}),
) -> list[TaskResult] | None:
    """Select the drawings of each class from all that were read; None in an unfinished share of a job array.

    Args:
        folder: Output folder, whose plan has the class table.
        read: The results of `read_source`.
        known: {word in the source: class}.
        count: Maximum number of drawings per class.
        engine: Options of the engine.
        only: {class: key_ids} of classes restricted to these drawings.
    """
    parts: dict[str, list[tuple[str, int, str]]] = {word: [] for word in folder.plan.classes}
    for result in read:
        (file,) = result.files
        for word in result.facts["words"]:
            if (name := _class_of(word, known)) is not None:
                place = str(folder.work / "read" / file.path)
                parts[name].append((place, result.facts["labels"][word], file.sha256))

    def task_of(label: int, word: str, taken: Mapping[int, str]) -> Task:
        return Task(
            id=word,
            output=selected(folder, word),
            inputs={f"{place} {own}": sha256 for place, own, sha256 in parts[word]},
            config={
                "parts": [[place, own] for place, own, _ in parts[word]],
                "label": label,
                "classes": list(folder.plan.classes),
                "count": count,
                "seed": folder.plan.config["seed"],
                "taken": {str(key_id): other for key_id, other in taken.items()},
                **({"only": sorted(only[word])} if word in only else {}),
            },
        )

    return select_classes(folder, folder.plan.classes, task_of, select_class, engine)


def select_class(task: Task) -> TaskResult:
    """Join the drawings of a class from all files and keep those with the smallest ranks, in rank order."""
    settings = task.config
    batch = concatenate([empty_batch(), *(parquet.read_class(Path(place), own) for place, own in settings["parts"])])
    wanted = np.array(settings.get("only", []), np.uint64)
    missing = np.setdiff1d(wanted, batch.key_id)
    if "only" in settings:
        batch = batch.take(np.flatnonzero(np.isin(batch.key_id, wanted)))
    _, first = np.unique(batch.key_id, return_index=True)
    again = np.setdiff1d(np.arange(len(batch)), first)
    elsewhere = np.isin(batch.key_id[first], np.array([int(each) for each in settings["taken"]], np.uint64))
    refused = np.concatenate([again, first[elsewhere]])
    rejected = [
        {
            "file": "",
            "where": f"key_id {key_id}",
            "reason": _DUPLICATE,
            "detail": settings["taken"].get(str(key_id), ""),
        }
        for key_id in batch.key_id[refused].tolist()
    ]
    rows = first[~elsewhere]
    rows = rows[np.argsort(ranks(batch.key_id[rows], settings["seed"]), kind="stable")][: settings["count"]]
    chosen = dataclasses.replace(batch.take(rows), label=np.full(len(rows), settings["label"], np.uint16))
    parquet.write_arrow(task.output, chosen, settings["classes"])
    return TaskResult(
        task_id=task.id,
        files=(file_entry(task.output, task.output.parent, len(chosen)),),
        counts={"drawings": len(chosen)},
        rejects={_DUPLICATE: len(rejected)} if rejected else {},
        facts={"rejected": rejected, "missing": missing.tolist()},
    )
