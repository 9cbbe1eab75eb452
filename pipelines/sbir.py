"""Build a data set of two domains, drawings and photos of the same classes, for cross-domain retrieval.

    sketchdata build sbir --layout folders --drawings sketches --photos photos --seen 26 --out data/sbir

Drawings that are strokes are read and chosen as those of `sketchdata build drawings`; photos, and drawings that are
pixels, by `read_pictures`, one task per class. Then it is decided which classes and pictures stay and which group of
classes each belongs to, and one stage writes the shards of every group and domain. No file has anything of two groups.
"""

from __future__ import annotations

import csv
import dataclasses
import datetime
import hashlib
import io
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import click
import numpy as np
import orjson
import pyarrow as pa

from sketchdata import __version__
from sketchdata.classes.lists import ClassLists, read_folder
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
    QUICKDRAW_EXTENDED,
    SAKE,
    UNSEEN,
    VALIDATION,
    VECTORS,
    class_files,
    class_name,
    class_split,
    classes_of,
    imagenet_classes,
    key_ids_of,
    listed_files,
    listed_key_ids,
    photo_stem,
    root_of,
)
from sketchdata.drawings.drawing import Words, concatenate
from sketchdata.drawings.raster import raster
from sketchdata.drawings.sampling import ranks
from sketchdata.edges.dataset import holds_pictures, stored_pictures
from sketchdata.engine import EngineOptions, Task, TaskResult, assembly, run, run_final
from sketchdata.engine.output_folder import OutputFolder, publish
from sketchdata.errors import ConfigError, FormatError, SketchDataError
from sketchdata.files import regular
from sketchdata.formats.files import FORMATS, Fault, FaultCounts, read_svg
from sketchdata.photos import collection
from sketchdata.photos.annotations.record import PHOTO_SUFFIXES, is_picture
from sketchdata.photos.crops import encode
from sketchdata.photos.image import DEFAULT_LIMITS, Photo, decode, perceptual_hash, resize, sniff
from sketchdata.pipelines import drawings as own_drawings
from sketchdata.progress import console, one_opencv_thread
from sketchdata.storage import parquet, pictures
from sketchdata.storage.cards import OWN_FILES, fill, reject_rows, size_category
from sketchdata.storage.catalog import choose_classes, manifest_path
from sketchdata.storage.dataset import Dataset
from sketchdata.storage.manifest import (
    MANIFEST_NAME,
    SCHEMA_VERSION,
    FileEntry,
    Manifest,
    SourceEntry,
    file_entry,
    read_manifest,
    replacing,
)

PAIRS_FOLDER = "pairs"
#: Drawings, and as many photos, in a row of a contact sheet.
SIDE_BY_SIDE = 4
_NAMES = frozenset({"data", "key_ids", PAIRS_FOLDER, "classes.csv", "rejects.jsonl"})
#: What is found while the data set is made: keys of its config that no option gives.
_FOUND = frozenset({DRAWINGS, VALIDATION, UNSEEN, IMAGENET})
_COUNT = click.IntRange(1, 10_000_000)
_FOLDER = click.Path(file_okay=False, path_type=Path)
_SVG = ".svg"
#: Side of drawings that are strokes among others that are pixels, and the width of their lines.
_DRAWN_SIDE, _DRAWN_WIDTH = 256, 3
_ROWS_AT_ONCE = 64
_CREDITS = ("source", "page", "author", "licence", "title", "fetched")
_EDGES = ("x0", "y0", "x1", "y1")
#: Reasons for which something that could be read is left out, so that it is not bad.
_DOUBLE, _OTHER_GROUP = "same file as another", "photo of a class of another group"
_WITHOUT, _TOO_FEW, _NO_CLASS = "class without the other domain", "class with too few", "class that no list has"
_MISSING, _UNLISTED = "missing file", "listed drawing that the files do not have"
_LEFT_OUT = frozenset({_DOUBLE, _OTHER_GROUP, _WITHOUT, _TOO_FEW, _NO_CLASS})


@dataclass(frozen=True, kw_only=True)
class Config:
    """What to build, from what, and where to."""

    layout: str = option(
        "folders",
        help="How drawings and photos lie on disk: a published data set, the lists of SAKE and ZSE-SBIR, or a folder "
        "a class.",
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
        help="Folder of lists: of sake its pictures; of quickdraw-extended the key_ids of the drawings to take, or its "
        "folders of drawings, which are named after them.",
        record=False,
        type=_FOLDER,
    )
    out: Path = option(help="Folder of the data set.", record=False, type=_FOLDER)
    name: str | None = option(None, help="The data set's name. Default: sbir- and the layout.", record=False)
    drawings_per_class: int | None = option(
        None, help="Drawings per class at most, chosen by a keyed hash. Default: all.", type=_COUNT
    )
    photos_per_class: int | None = option(
        None, help="Photos per class at most, chosen by a keyed hash. Default: all.", type=_COUNT
    )
    min_drawings: int = option(1, help="Drawings that a class must have; else it is left out.", type=_COUNT)
    min_photos: int = option(1, help="Photos that a class must have; else it is left out.", type=_COUNT)
    longest_side: int = option(
        512,
        help="Longer side in pixels to which larger pictures are resized; others are stored as given, photos as JPEG.",
        type=click.IntRange(32, 8192),
    )
    seed: int = option(0, help="Seed of the hashes that choose pictures.", type=click.IntRange(0, 2**64 - 1))
    max_bad_fraction: float = option(
        0.01, help="Fail when a larger share of the files and records is unreadable.", type=click.FloatRange(0, 1)
    )
    overwrite: bool = option(False, help="Replace another data set in the output folder.", record=False)


@dataclass(frozen=True, kw_only=True)
class _Unit:
    """Pictures that one task reads.

    Attributes:
        name: What the task and the data set's source are called.
        word: The class as the source names it.
        root: The folder below which the files lie.
        files: Paths of files; a shard of crops is the only one.
        credits: {column: value} of each file; empty where nothing is known.
    """

    name: str
    word: str
    root: Path
    files: Sequence[str]
    credits: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, kw_only=True)
class _Inputs:
    """What there is to read.

    Attributes:
        strokes: Files of drawings that are strokes; None where drawings are pixels.
        pixels: Units of drawings that are pixels.
        photos: Units of photos.
        key_ids: {class: key_ids} of drawings that take no others.
        known: The classes that the lists name; None for all.
        rejected: Lines of files that lists name and that are not there.
        lists: The lists.
    """

    strokes: Sequence[own_drawings.SourceUnit] | None
    pixels: Sequence[_Unit]
    photos: Sequence[_Unit]
    key_ids: Mapping[str, Sequence[int]] = field(default_factory=dict)
    known: Sequence[str] | None = None
    rejected: Sequence[Mapping[str, str]] = ()
    lists: ClassLists | None = None


def build(config: Config, options: SplitOptions, engine: EngineOptions) -> Manifest | None:
    """Build the data set and return its manifest; None when other shares of a job array must finish first.

    Raises:
        ConfigError: A folder or a list is not there, the split cannot be, or the output folder is not free.
        SketchDataError: No class has drawings and photos, too much is unreadable, or tasks failed.
    """
    published = manifest_path("splits")
    names = read_all(options.class_split, published) if options.class_split else None
    folder = _folder(config, options, names)
    scanned: list[_Inputs] = []
    finished = folder.begin(overwrite=config.overwrite, check=lambda: scanned.append(_scan(config)))
    if finished is not None:
        return finished
    (inputs,) = scanned
    if options.seen is None and names is None and inputs.lists is not None:
        names = SplitNames(seen=inputs.lists.seen, unseen=inputs.lists.unseen)
    strokes = _read_strokes(inputs, folder, engine)
    if inputs.strokes is not None and strokes is None:
        return None
    table = _class_table(inputs, strokes or [], config, folder)
    # So early, a mistake in the split costs no time.
    _split(table.classes, options, names, table.left_out)
    own = partial(_picture_tasks, folder, config, table)
    tasks = [*own(DRAWINGS, inputs.pixels), *own(PHOTOS, inputs.photos)]
    if (read := run(read_pictures, tasks, engine, title="Reading pictures")) is None:
        return None
    found = _Found(folder=folder, results=read)
    table = _enough(table, found, config, folder)
    split, unknown = _split(table.classes, options, names, table.left_out)
    if unknown:
        note = f"ignored {len(unknown):,} names of the split that no class has: {_shown(unknown)}"
        console.print(note, soft_wrap=True, highlight=False)
    group_of = {word: group for group in GROUPS for word in classes_of(split, group)}
    found.choose(group_of, config)
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
        # A file's content may change while its name stays.
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


# ---- what there is to read -------------------------------------------------------------------------------------------


def _scan(config: Config) -> _Inputs:
    layout = config.layout
    if layout == SAKE:
        if config.lists is None:
            raise ConfigError("--layout sake needs --lists, the folder of lists")
        return _scan_lists(config, config.lists)
    if config.lists is not None and layout != QUICKDRAW_EXTENDED:
        raise ConfigError(f"--layout {layout} has no lists: leave out --lists")
    strokes, pixels = _scan_drawings(config)
    inputs = _Inputs(strokes=strokes, pixels=pixels, photos=_scan_photos(config))
    if config.lists is None:
        return inputs
    if strokes is None:
        raise ConfigError(
            f"{config.drawings} has pictures of drawings, and --lists chooses drawings by their key_id: give the "
            "official .ndjson files or a data set of drawings"
        )
    try:
        lists = read_folder(config.lists)
    except FormatError:
        # QuickDraw_sketches_final itself.
        files = {word: paths for word, paths in class_files(config.lists).items() if paths}
        if not files:
            raise
        key_ids = {word: key_ids_of(paths) for word, paths in files.items()}
        return dataclasses.replace(inputs, key_ids=key_ids, known=tuple(files))
    return dataclasses.replace(inputs, key_ids=listed_key_ids(lists), known=(*lists.seen, *lists.unseen), lists=lists)


def _scan_lists(config: Config, place: Path) -> _Inputs:
    lists, rejected = read_folder(place), list[Mapping[str, str]]()
    units = {
        domain: [
            _Unit(name=f"{domain}/{word}", word=word, root=root, files=_there(root, domain, paths, rejected))
            for word, paths in listed_files(lists, domain).items()
        ]
        for domain, root in ((DRAWINGS, config.drawings), (PHOTOS, config.photos))
    }
    return _Inputs(
        strokes=None,
        pixels=[unit for unit in units[DRAWINGS] if unit.files],
        photos=[unit for unit in units[PHOTOS] if unit.files],
        known=(*lists.seen, *lists.unseen),
        rejected=rejected,
        lists=lists,
    )


def _there(root: Path, domain: str, paths: Sequence[str], rejected: list[Mapping[str, str]]) -> list[str]:
    """Return the files that exist, and list the others."""
    if not root.is_dir():
        raise ConfigError(f"--{domain} {root} is not a folder: give the one in which the paths of the lists begin")
    there = [path for path in paths if (root / path).is_file()]
    lost = set(paths) - set(there)
    rejected += [
        {"file": f"{domain}/{path}", "where": "the file", "reason": _MISSING, "detail": "a list names it"}
        for path in paths
        if path in lost
    ]
    return there


def _scan_drawings(config: Config) -> tuple[list[own_drawings.SourceUnit] | None, list[_Unit]]:
    root = root_of(config.layout, DRAWINGS, config.drawings)
    if (root / MANIFEST_NAME).is_file():
        manifest = read_manifest(root)
        shards = [shard for split in manifest.counts for shard in manifest.shards(split)]
        if not shards or "input_format" not in manifest.config or manifest.is_raw:
            raise ConfigError(f"--drawings {root} holds {manifest.name}, and a data set of drawings was expected")
        return [
            own_drawings.SourceUnit(name=OWN_FILES + shard.path, path=root / shard.path, identity=shard.sha256)
            for shard in shards
        ], []
    files = class_files(root)
    if not any(is_picture(root / path, PHOTO_SUFFIXES) for paths in files.values() for path in paths):
        return own_drawings.units_of(root, "--drawings"), []
    strange = [
        path for path in root.rglob("*") if path.suffix.lower().removeprefix(".") in set(FORMATS) - {"svg", "npy"}
    ]
    if strange:
        raise ConfigError(
            f"--drawings {root} has pictures, and {min(strange).relative_to(root)} has strokes: keep one kind, or SVG "
            "files beside pictures, which are drawn as pixels"
        )
    return None, _units(root, DRAWINGS, files, PHOTO_SUFFIXES | {_SVG})


def _scan_photos(config: Config) -> list[_Unit]:
    root = root_of(config.layout, PHOTOS, config.photos)
    if not (root / MANIFEST_NAME).is_file():
        return _units(root, PHOTOS, class_files(root), PHOTO_SUFFIXES)
    manifest = read_manifest(root)
    if holds_pictures(manifest) and "context" in manifest.config:
        shards = manifest.shards(pictures.UNDIVIDED)
        return [_Unit(name=f"{PHOTOS}/{shard.path}", word="", root=root, files=[shard.path]) for shard in shards]
    if manifest.name != collection.NAME:
        raise ConfigError(
            f"--photos {root} holds {manifest.name}: expected what `edgemaps crop` or `edgemaps collect` made, or a "
            "folder for each class"
        )
    found = collection.read_collection(root)
    photos = {row["photo"]: row for row in found.photos.to_pylist() if row["status"] == collection.OK}
    words: dict[str, dict[str, None]] = {}
    for photo, word in zip(*(found.boxes.column(name).to_pylist() for name in ("photo", "word")), strict=True):
        if photo in photos:
            words.setdefault(word, {})[photo] = None
    return [
        _Unit(
            name=f"{PHOTOS}/{word}",
            word=word,
            root=root,
            files=[photos[name]["path"] for name in names],
            credits=[
                {"photo": name, **{each: photos[name][each] for each in _CREDITS}}
                | {"fetched": str(photos[name]["fetched"] or "")}
                for name in names
            ],
        )
        for word, names in sorted(words.items())
    ]


def _units(root: Path, domain: str, files: Mapping[str, Sequence[str]], suffixes: frozenset[str]) -> list[_Unit]:
    passed_over, units = FaultCounts(), []
    for word, paths in files.items():
        own = []
        for path in paths:
            if is_picture(root / path, suffixes):
                own.append(path)
            else:
                kind = f"{Path(path).suffix.lower()} files" if Path(path).suffix else "files without suffix"
                passed_over.add(Fault(where=path, reason=kind, detail=""))
        if own:
            units.append(_Unit(name=f"{domain}/{word}", word=word, root=root, files=own))
    if not units:
        there = f"; there are {passed_over}" if passed_over.counts else ""
        raise ConfigError(
            f"--{domain} {root} holds no {domain}: expected a folder for each class, such as {root}/cat{there}"
        )
    if passed_over.counts:
        note = f"{root}: passed over {passed_over.counts.total():,} files that are not {domain}: {passed_over}"
        console.print(note, markup=False, highlight=False, soft_wrap=True)
    return units


# ---- drawings that are strokes ---------------------------------------------------------------------------------------


def _read_strokes(inputs: _Inputs, folder: OutputFolder, engine: EngineOptions) -> list[TaskResult] | None:
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
        path=task.id, bytes=path.stat().st_size, md5=_md5(path.read_bytes()), records=len(batch), official=False
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


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _select(
    folder: OutputFolder,
    strokes: Sequence[TaskResult],
    table: _ClassTable,
    inputs: _Inputs,
    config: Config,
    engine: EngineOptions,
) -> list[TaskResult] | None:
    known = {own: word for own, word in table.drawings.items() if word in set(table.classes)}
    classes = by_spelling(table.classes)
    only = {word: ids for name, ids in inputs.key_ids.items() if (word := find(name, classes)) is not None}
    # By key_ids alone, so that no drawing comes with them that the lists do not name.
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
        classes: As the drawings spell them.
        drawings: {class as the drawings name it: class}.
        photos: {class as the photos name it: class}.
        counts: {class: drawings}, where drawings are strokes.
        left_out: Lines of classes that only one domain has, or that have too few.
    """

    classes: tuple[str, ...]
    drawings: Mapping[str, str]
    photos: Mapping[str, str]
    counts: Mapping[str, int]
    left_out: Sequence[Mapping[str, str]]


def _left_out(domain: str, name: str, count: int, reason: str) -> dict[str, str]:
    return {"file": f"{domain}/{name}", "where": f"{count:,} {domain}", "reason": reason, "detail": name}


def _class_table(inputs: _Inputs, strokes: Sequence[TaskResult], config: Config, folder: OutputFolder) -> _ClassTable:
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


def _crop_counts(unit: _Unit) -> Counter[str]:
    tables = pictures.read_shard(unit.root / unit.files[0], columns=["word"])
    return Counter(word for table in tables for word in table.column("word").to_pylist())


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    return ", ".join(map(repr, names[:3])) + more


def _enough(table: _ClassTable, found: _Found, config: Config, folder: OutputFolder) -> _ClassTable:
    """Leave out the classes that have too few pictures of a domain."""
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
    classes: Sequence[str], options: SplitOptions, names: SplitNames | None, left_out: Sequence[Mapping[str, str]]
) -> tuple[ClassSplit, tuple[str, ...]]:
    try:
        if names is None or options.seen is not None:
            split, unknown = options.choose(classes, manifest_path("splits"))
        else:
            share, seed = options.validation_share, options.split_seed
            split, unknown = split_by_names(
                classes, names, validation_share=share, seed=seed, allow_unknown=options.allow_unknown
            )
    except ConfigError as error:
        out = sorted({line["detail"] for line in left_out})
        why = f" (left out for too few drawings or photos: {_shown(out)})" if out else ""
        raise ConfigError(f"{error}{why}") from error
    return split, unknown


# ---- photos, and drawings that are pixels ----------------------------------------------------------------------------


def _picture_tasks(
    folder: OutputFolder, config: Config, table: _ClassTable, domain: str, units: Sequence[_Unit]
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
    """Read the pictures of a class, or a shard of crops, and keep those that can be decoded, as they are stored."""
    rejected: list[dict[str, str]] = []
    source = _Source()
    rows = _crop_rows if not task.config["category"] else _file_rows
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


class _Source:
    def __init__(self) -> None:
        self.bytes, self.records = 0, 0
        self.md5 = hashlib.md5(usedforsecurity=False)

    def add(self, content: bytes) -> None:
        self.bytes += len(content)
        self.records += 1
        self.md5.update(content)


def _file_rows(task: Task, source: _Source, rejected: list[dict[str, str]]) -> Iterator[dict[str, Any]]:
    settings = task.config
    category = settings["category"]
    for number, name in enumerate(settings["files"]):
        try:
            with regular(Path(settings["root"]) / name).open("rb") as file:
                # One byte more than is accepted is enough to know.
                content = file.read(DEFAULT_LIMITS.bytes + 1)
            source.add(content)
            row = _picture(content, settings, is_svg=name.lower().endswith(_SVG))
        except FormatError as error:
            rejected.append(_reject(settings, name, error.reason, error.detail))
            continue
        except OSError as error:
            rejected.append(_reject(settings, name, "unreadable file", error.strerror or str(error)))
            continue
        sha256, word = hashlib.sha256(content).hexdigest(), settings["classes"][category]
        known = settings["credits"][number] if settings["credits"] else {}
        fetched = known.get("fetched") or None
        yield {
            **row,
            **dict.fromkeys((*_EDGES, *_CREDITS)),
            "photo": name,
            "source": settings["source"],
            **known,
            "fetched": fetched and datetime.date.fromisoformat(fetched),
            "word": word,
            "category": category,
            "photo_sha256": sha256,
            "key_id": pictures.picture_id(sha256, None, word),
        }


def _crop_rows(task: Task, source: _Source, rejected: list[dict[str, str]]) -> Iterator[dict[str, Any]]:
    settings = task.config
    (name,) = settings["files"]
    for table in pictures.read_shard(Path(settings["root"]) / name):
        for row in table.to_pylist():
            content = row["image"]["bytes"]
            source.add(content)
            if row["word"] not in settings["classes"]:
                continue
            word, box = settings["classes"][row["word"]], tuple(row[edge] for edge in _EDGES)
            try:
                made = _picture(content, settings, is_svg=False)
            except FormatError as error:
                rejected.append(_reject(settings, f"{name}, key_id {row['key_id']}", error.reason, error.detail))
                continue
            key_id = pictures.picture_id(row["photo_sha256"], None if None in box else box, word)
            yield {**row, **made, "word": word, "key_id": key_id}


def _reject(settings: Mapping[str, Any], name: str, reason: str, detail: str) -> dict[str, str]:
    return {"file": f"{settings['domain']}/{name}", "where": "the file", "reason": reason, "detail": detail}


def _picture(content: bytes, settings: Mapping[str, Any], *, is_svg: bool) -> dict[str, Any]:
    """Return what is stored of a picture: the file as given where its format and size allow."""
    kind = "jpeg" if settings["domain"] == PHOTOS else "png"
    picture = _drawn(content) if is_svg else decode(content)
    large = max(picture.shape[:2]) > settings["longest_side"]
    if large:
        picture = resize(picture, settings["longest_side"])
    as_given = not large and sniff(content) == kind.upper()
    return {
        "image": content if as_given else encode(picture, kind),
        "width": picture.shape[1],
        "height": picture.shape[0],
        "phash": perceptual_hash(picture),
    }


def _drawn(content: bytes) -> Photo:
    (portion,) = read_svg(iter([content]), Words(), "drawing", name="")
    if portion.faults:
        raise FormatError(portion.faults[0].reason, portion.faults[0].detail)
    batch, faults = own_drawings.simplified(portion)
    if faults:
        raise FormatError(faults[0].reason, faults[0].detail)
    ink = raster(concatenate([batch]), size=_DRAWN_SIDE, line_width=_DRAWN_WIDTH, threads=1)[0]
    return np.repeat(255 - ink[:, :, None], 3, axis=2)


class _Found:
    """The pictures that were read, of both domains, of which some are chosen."""

    def __init__(self, folder: OutputFolder, results: Sequence[TaskResult]) -> None:
        self.rejected: list[dict[str, str]] = []
        self.results = results
        names = ["key_id", "word", "photo", "photo_sha256", "x0", "y0", "x1", "y1"]
        self.chunks = {
            domain: {
                str(folder.work / "read" / result.files[0].path): result.files[0].sha256
                for result in results
                if result.facts["domain"] == domain and result.files[0].records
            }
            for domain in DOMAINS
        }
        self.rows: dict[str, list[dict[str, Any]]] = {domain: [] for domain in DOMAINS}
        for domain, paths in self.chunks.items():
            for path in paths:
                table = pa.ipc.open_file(pa.memory_map(path)).read_all().select(names)
                rows = table.to_pylist()
                self.rows[domain] += [row | {"chunk": path, "row": number} for number, row in enumerate(rows)]
            self._drop_doubles(domain)

    def _drop_doubles(self, domain: str) -> None:
        """Keep one of equal files, that of the alphabetically first class and name."""
        first: dict[tuple[Any, ...], dict[str, Any]] = {}
        kept = []
        for row in sorted(self.rows[domain], key=lambda row: (row["word"], row["photo"], row["key_id"])):
            other = first.setdefault((row["photo_sha256"], *(row[edge] for edge in _EDGES)), row)
            if other is row:
                kept.append(row)
            else:
                self._reject(domain, row, _DOUBLE, f"{other['photo']} of {other['word']}")
        self.rows[domain] = kept

    def _reject(self, domain: str, row: Mapping[str, Any], reason: str, detail: str) -> None:
        where = f"key_id {row['key_id']} of {row['word']}"
        self.rejected.append({"file": f"{domain}/{row['photo']}", "where": where, "reason": reason, "detail": detail})

    def choose(self, group_of: Mapping[str, str], config: Config) -> None:
        """Keep the pictures of the classes, and of a class those with the smallest ranks.

        Of a photo with crops of classes of several groups, those of the unseen ones stay, else those for validation.
        """
        for domain, most in ((DRAWINGS, config.drawings_per_class), (PHOTOS, config.photos_per_class)):
            rows = [row for row in self.rows[domain] if row["word"] in group_of]
            last: dict[str, int] = {}
            for row in rows:
                place = GROUPS.index(group_of[row["word"]])
                last[row["photo_sha256"]] = max(last.get(row["photo_sha256"], 0), place)
            kept: dict[str, list[dict[str, Any]]] = {}
            for row in rows:
                if GROUPS[last[row["photo_sha256"]]] == group_of[row["word"]]:
                    kept.setdefault(row["word"], []).append(row)
                else:
                    self._reject(domain, row, _OTHER_GROUP, GROUPS[last[row["photo_sha256"]]])
            self.rows[domain] = []
            for own in kept.values():
                order = np.argsort(
                    ranks(np.array([row["key_id"] for row in own], np.uint64), config.seed), kind="stable"
                )
                self.rows[domain] += [own[place] for place in order.tolist()[:most]]

    def shard_tasks(self, folder: OutputFolder, counts: dict[str, dict[str, int]]) -> list[Task]:
        """Return the tasks that write the shards, and count what is in them."""
        tasks, classes = [], folder.plan.classes
        group_of = {word: group for group, words in group_classes(folder.plan).items() for word in words}
        for domain in DOMAINS:
            for group in GROUPS:
                split = f"{group}-{domain}"
                rows = [row for row in self.rows[domain] if group_of[row["word"]] == group]
                counts[split].update(Counter(row["word"] for row in rows))
                rows.sort(key=lambda row: (classes.index(row["word"]), row["key_id"]))
                spans = pictures.shard_spans(len(rows))
                for shard, (start, stop) in enumerate(spans):
                    parts: dict[str, list[int]] = {}
                    for row in rows[start:stop]:
                        parts.setdefault(row["chunk"], []).append(row["row"])
                    name = pictures.shard_name(split, shard, len(spans))
                    facts = {"name": folder.plan.name, "version": SCHEMA_VERSION, "tool": __version__, "split": split}
                    tasks.append(
                        Task(
                            id=Path(name).name,
                            output=folder.out / name,
                            inputs={Path(path).name: self.chunks[domain][path] for path in parts},
                            config={
                                "parts": parts,
                                "classes": list(classes),
                                "facts": facts,
                                "written": str(folder.work / "written" / Path(name).name),
                            },
                            markers=folder.work / "shards",
                        )
                    )
        return tasks


def group_classes(manifest: Manifest) -> dict[str, tuple[str, ...]]:
    """Return the classes of each group."""
    split = class_split(manifest)
    return {group: classes_of(split, group) for group in GROUPS}


def write_shard(task: Task) -> TaskResult:
    """Write a shard of drawings that are strokes, or of pictures out of several chunks, by class and key_id."""
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
    """Return an error with the commonest reasons, after all of them were listed."""
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


def _pairs(folder: OutputFolder, found: _Found, group_of: Mapping[str, str]) -> list[FileEntry]:
    """Write the photo behind each drawing of Sketchy, one file per group of classes; nothing for other names."""
    # Of an earlier try.
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


def sbir_card(manifest: Manifest) -> str:
    """Return the README of a data set of two domains: Markdown with the front matter that `datasets` reads."""
    config, counts = manifest.config, manifest.splits
    patterns = "".join(
        f"  - config_name: {domain}\n    data_files:\n"
        + "".join(
            f"      - split: {group}\n        path: data/{group}-{domain}-*.parquet\n"
            for group in GROUPS
            if counts[f"{group}-{domain}"]
        )
        for domain in DOMAINS
    )
    rows = "\n".join(
        f"| {group} | {len(classes):,} | " + " | ".join(f"{counts[f'{group}-{domain}']:,}" for domain in DOMAINS) + " |"
        for group, classes in group_classes(manifest).items()
    )
    is_drawn = config[DRAWINGS] == VECTORS
    values = {
        "name": manifest.name,
        "tool": manifest.tool,
        "size_category": size_category(sum(counts.values())),
        "configs": f"configs:\n{patterns}",
        "classes": f"{len(manifest.classes):,}",
        "layout": config["layout"],
        "rows": rows,
        "kind": "strokes: `drawing` is a list of strokes, each a list of points {x, y} in 0..255"
        if is_drawn
        else "encoded pictures, as the photos are",
        "longest_side": config["longest_side"],
        "overlap": f"{len(config[IMAGENET]):,}",
        "unseen_overlap": f"{len(set(config[IMAGENET]) & set(config[UNSEEN])):,} of {len(config[UNSEEN]):,}",
        "reject_rows": reject_rows(manifest),
    }
    return fill("sbir", values)


# ---- looking at it ---------------------------------------------------------------------------------------------------


def side_by_side(
    directory: Path, manifest: Manifest, group: str, count: int, word: str | None
) -> tuple[list[Photo], list[str]]:
    """Return drawings beside photos, SIDE_BY_SIDE of each in a row and at least one row per class, with captions.

    Where a class has too few, there are white pictures without a caption.

    Args:
        directory: The data set.
        manifest: Its manifest.
        group: The group of classes.
        count: Pictures in all, at most.
        word: A class; None for as many as there is room for.

    Raises:
        ConfigError: The group or the class does not exist.
        SketchDataError: A file is missing or damaged.
    """
    rows = max(count // (2 * SIDE_BY_SIDE), 1)
    chosen = choose_classes(classes_of(class_split(manifest), group), word)[:rows]
    shown: list[Photo] = []
    titles: list[str] = []
    white = np.full((_DRAWN_SIDE, _DRAWN_SIDE, 3), 255, np.uint8)
    for name in chosen:
        most = rows * SIDE_BY_SIDE if word else SIDE_BY_SIDE
        both = [_first(directory, manifest, f"{group}-{domain}", most, name) for domain in DOMAINS]
        for start in range(0, max(map(len, both)), SIDE_BY_SIDE):
            for own in both:
                part = own[start : start + SIDE_BY_SIDE]
                missing = SIDE_BY_SIDE - len(part)
                shown += [*part, *[white] * missing]
                titles += [name] * len(part) + [""] * missing
    return shown, titles


def _first(directory: Path, manifest: Manifest, split: str, count: int, word: str) -> list[Photo]:
    if split.endswith(DRAWINGS) and manifest.config[DRAWINGS] == VECTORS:
        batch = Dataset(directory=directory, manifest=manifest).first(split, count, word)
        ink = raster(batch, size=_DRAWN_SIDE, line_width=_DRAWN_WIDTH)
        return [np.repeat(255 - drawn[:, :, None], 3, axis=2) for drawn in ink]
    return stored_pictures(directory, manifest, split, count, manifest.classes.index(word)).pictures
