"""Collect photos of the 345 classes: from folders with boxes, from lists of addresses, and by searching the web.

Sources are read one after another into one table of photos and one of annotations. One stage, `import_photos`, copies
local photos; the crawler (`sketchdata.photos.crawl`) fetches those from the web. The status of each photo is written
to disk at once, so the same command resumes after any interruption; the manifest is written last.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import orjson
import pyarrow.compute as pc

from sketchdata.config import FILE, FOLDER, option, recorded
from sketchdata.engine import EngineOptions, Task, TaskResult, run_final
from sketchdata.engine.output_folder import OutputFolder
from sketchdata.errors import ConfigError, FormatError, SketchDataError
from sketchdata.formats.files import Fault, FaultCounts
from sketchdata.photos.annotations.url_list import read_url_list
from sketchdata.photos.classes import ClassNames, read_class_names, read_photo_classes
from sketchdata.photos.collection import (
    BOXES_FILE,
    DECODING_FAULTS,
    FAILED,
    NAME,
    OK,
    OUTCOME_COLUMNS,
    PHOTOS_FILE,
    PHOTOS_FOLDER,
    REFUSED,
    REJECTS_FILE,
    SOURCES_FILE,
    WORK_FOLDER,
    Collection,
    boxes_table,
    photos_table,
    read_collection,
    remove_others,
    store_photo,
    write_table,
)
from sketchdata.photos.crawl import CrawlOptions, PhotoOutcome, crawl
from sketchdata.photos.crawl.outcomes import format_outcome, parse_outcome, today
from sketchdata.photos.gathering import (
    Gathering,
    PhotoSource,
    collection_card,
    hash_of_list,
    local_sources,
    read_sources,
    source_rows,
    sources_csv,
    summarise,
)
from sketchdata.photos.image import PhotoLimits
from sketchdata.photos.search import (
    FREE,
    NO_PHOTO,
    OTHER_LICENCE,
    SEARCHES,
    PhotoSearch,
    SearchSettings,
    find_photos,
    parse_filter,
)
from sketchdata.progress import console, task_bar
from sketchdata.storage.catalog import choose_classes, manifest_path, read_classes
from sketchdata.storage.manifest import MANIFEST_NAME, FileEntry, Manifest, file_entry, hash_file, leftovers, replacing

_FOLDER: dict[str, Any] = {
    "record": False,
    "multiple": True,
    "type": FOLDER,
    "metavar": "DIR",
}
_NAMES_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Config:
    """Options: sources, classes, and output folder."""

    out: Path = option(help="Folder of the photos.", record=False, type=FOLDER)
    imagenet: tuple[Path, ...] = option(
        (), help="Folder with ImageNet's synset folders and the XML files of their boxes.", **_FOLDER
    )
    folders: tuple[Path, ...] = option(
        (), help="Folder with one folder of photos per class, named after the class or its synset.", **_FOLDER
    )
    voc: tuple[Path, ...] = option((), help="Folder with PASCAL VOC's XML files and photos.", **_FOLDER)
    coco: tuple[str, ...] = option(
        (),
        help="COCO's JSON file of instances and the folder of its photos.",
        record=False,
        multiple=True,
        metavar="JSON=DIR",
    )
    yolo: tuple[Path, ...] = option((), help="Folder with YOLO's images, labels and class names.", **_FOLDER)
    open_images: tuple[Path, ...] = option(
        (), help="Folder with Open Images' tables and with all or some of its photos.", **_FOLDER
    )
    urls: tuple[Path, ...] = option(
        (),
        help="List of addresses and classes: .csv, .tsv, .jsonl or .parquet with columns url and class, and if known "
        "box, page, author, licence, title.",
        record=False,
        multiple=True,
        type=FILE,
        metavar="FILE",
    )
    openverse: bool = option(
        False, help="Search Openverse; OPENVERSE_TOKEN in the environment allows more.", record=False
    )
    wikimedia: bool = option(False, help="Search Wikimedia Commons.", record=False)
    flickr: bool = option(False, help="Search Flickr, with FLICKR_API_KEY in the environment.", record=False)
    categories: str | None = option(
        None, help="Comma-separated names. Default: all 345.", record=False, metavar="A,B,…"
    )
    per_class: int = option(
        100, help="Maximum number of photos per class from each search.", record=False, type=click.IntRange(1, 10_000)
    )
    licence: str = option(
        ",".join(FREE),
        help="Licences to accept from searches, of cc0, pdm, by, by-sa, by-nd, by-nc, by-nc-sa, by-nc-nd; or `any`.",
        record=False,
        metavar="A,B,…",
    )
    class_map: Path | None = option(
        None,
        help="CSV file with columns category,word that assigns names of the sources to the 345 classes.",
        record=False,
        param_decls=["--map"],
        type=FILE,
        metavar="FILE",
    )
    max_failed_fraction: float = option(
        0.5, help="Fail when a larger share of the photos failed.", record=False, type=click.FloatRange(0, 1)
    )
    overwrite: bool = option(False, help="Replace another collection in the folder.", record=False)

    def searches(self) -> list[str]:
        """Return the names of the enabled searches."""
        return [name for name in SEARCHES if getattr(self, name)]


@dataclass(frozen=True, kw_only=True)
class Collected:
    """A finished collection, its counts, and the counts of source class names that match no requested class."""

    collection: Collection
    counts: Mapping[str, Any]
    unmatched: Mapping[str, int]


def run(config: Config, options: CrawlOptions, engine: EngineOptions) -> Collected | None:
    """Collect the photos; None in a share of a job array, which only copies local photos.

    Raises:
        ConfigError: No source is given, a source is of another kind, or the folder has other content.
        FetchError: A search service does not answer.
        SketchDataError: A source cannot be read, no photo could be fetched or copied, or too many could not.
    """
    classes = read_classes(manifest_path("quickdraw-categories.txt"))
    sources = _Sources(config=config, options=options, classes=choose_classes(classes, config.categories))
    plan = Manifest(
        name=NAME, config=sources.recorded(), classes=tuple(classes), counts={}, rejects={}, sources=(), files=()
    )
    folder = OutputFolder(
        out=config.out.absolute(),
        plan=plan,
        names=frozenset({PHOTOS_FOLDER, PHOTOS_FILE, BOXES_FILE, REJECTS_FILE, SOURCES_FILE}),
        noun="collection",
        work_name=WORK_FOLDER,
        same=("config", "classes"),
        # Sources may change between two runs, so the state of an unfinished collection is kept per photo.
        limits=dataclasses.asdict(options.limits),
    )
    finished = None if config.overwrite or folder.finished() is None else read_collection(folder.out)
    if finished is not None:
        _tidy(finished)
        failed = _failures(finished)
        if not (options.retry_failed and failed):
            hint = f"; --retry-failed asks again for the {failed:,} photos that failed" if failed else ""
            console.print(f"{folder.out} is collected already{hint}", highlight=False, soft_wrap=True)
            return Collected(collection=finished, counts=summarise(finished, read_sources(folder.out)), unmatched={})
    # Opened first, so that a missing package is an error before any work.
    settings = SearchSettings(
        folder=folder.work / "search",
        user_agent=options.user_agent,
        licences=sources.licences,
        delay=options.delay,
        environment=os.environ,
    )
    searches = {name: SEARCHES[name](settings) for name in config.searches()}
    if finished is not None:
        # Marked as unfinished, so that failed photos can be requested again.
        (folder.out / MANIFEST_NAME).unlink()
    folder.claim(overwrite=config.overwrite)
    return _collect(sources, folder, searches, engine)


def _collect(
    sources: _Sources, folder: OutputFolder, searches: Mapping[str, PhotoSearch], engine: EngineOptions
) -> Collected | None:
    rejects: list[tuple[str, Fault]] = []
    gathering = Gathering(report=lambda source, fault: rejects.append((source.name, fault)))
    for local in sources.local:
        opened = local.open()
        locate = local.locator(opened.photos.root)
        gathering.add(local.source, opened.readings, sources.word_of(local.source.kind), locate)
    tasks = _import_tasks(gathering.files, folder, sources.options.limits)
    if run_final(import_photos, tasks, engine, title="Copying photos") is None:
        return None
    found = [parse_outcome(line) for task in tasks for line in task.output.read_bytes().splitlines()]
    outcomes = {outcome.url: outcome for outcome in found}
    _read_the_web(sources, gathering, searches)
    if not len(gathering):
        hint = ""
        if gathering.unmatched:
            names = ", ".join(list(gathering.unmatched)[:_NAMES_SHOWN])
            hint = f"; their class names, such as {names}, match none of them: --map FILE gives them one"
        if gathering.faults.counts:
            _put_rejects(folder, rejects)
            total = gathering.faults.counts.total()
            hint += (
                f"; {total:,} annotations or files were refused: {gathering.faults}; see {folder.out / REJECTS_FILE}"
            )
        raise SketchDataError(f"no photo of the classes is named by the sources{hint}")
    if gathering.addresses:
        if sources.options.contact is None:
            console.print("no --contact is given: server owners cannot contact you when something is wrong")
        outcomes |= crawl(gathering.addresses, folder.out, sources.options)
    return _finish(sources.config, folder, gathering, outcomes, rejects)


# ---- the sources -----------------------------------------------------------------------------------------------------


class _Sources:
    """The sources given by the options, and the class of each of their names.

    Raises:
        ConfigError: There is no source, or an option is invalid.
    """

    def __init__(self, *, config: Config, options: CrawlOptions, classes: Sequence[str]) -> None:
        self.config, self.options, self.classes = config, options, classes
        photo_classes = read_photo_classes(manifest_path("edgemap-345c.csv"))
        words = [photo_class.word for photo_class in photo_classes]
        own = {} if config.class_map is None else read_class_names(config.class_map, words)
        self._names = ClassNames(photo_classes, own)
        self.searched = [photo_class for photo_class in photo_classes if photo_class.word in classes]
        self.licences = parse_filter(config.licence)
        folders = {kind: getattr(config, kind) for kind in ("imagenet", "folders", "voc", "yolo", "open_images")}
        self.local = list(local_sources(folders, config.coco))
        self.lists = [
            (PhotoSource(kind="urls", name=path.name, sha256=hash_of_list(path)), path) for path in config.urls
        ]
        if not (self.local or self.lists or config.searches()):
            raise ConfigError(
                "there is nothing to collect: give a source, such as --yolo DIR, --urls FILE, --openverse"
            )

    def word_of(self, kind: str) -> Callable[[str], str | None]:
        """Return a function from class names in sources of a kind to requested classes."""
        find, wanted = self._names.of(kind), frozenset(self.classes)
        return lambda category: word if (word := find(category)) in wanted else None

    def recorded(self) -> dict[str, Any]:
        """Return the options that determine the collection, for its manifest."""
        config = self.config
        sources = [local.source for local in self.local] + [source for source, _ in self.lists]
        named = [{"source": each.kind, "name": each.name, "sha256": each.sha256} for each in sources]
        search = {"searches": config.searches(), "per_class": config.per_class, "licence": sorted(self.licences or [])}
        return {
            "sources": named,
            **(search if config.searches() else {}),
            "categories": list(self.classes) if config.categories is not None else None,
            "map": None if config.class_map is None else hash_file(config.class_map, "sha256"),
            **recorded(self.options),
        }


def _read_the_web(sources: _Sources, gathering: Gathering, searches: Mapping[str, PhotoSearch]) -> None:
    for source, path in sources.lists:
        gathering.add(source, read_url_list(path), sources.word_of("urls"))
    todo = [(name, search, each) for name, search in searches.items() for each in sources.searched]
    with task_bar() as bar:
        for name, search, each in bar.track(todo, description="Searching"):
            source = PhotoSource(kind=name, name=name, unlisted=(OTHER_LICENCE, NO_PHOTO))
            found = find_photos(search, each.word, each.search_words, sources.config.per_class)
            gathering.add(source, found, lambda word: word)


# ---- the stage: local photos are copied and measured -----------------------------------------------------------------


def _import_tasks(files: Mapping[str, Path], folder: OutputFolder, limits: PhotoLimits) -> list[Task]:
    chunks: dict[str, dict[str, Path]] = {}
    for photo, file in files.items():
        # The chunk of a photo does not depend on other photos, so most chunks stay the same when photos are added.
        chunks.setdefault(hashlib.sha256(photo.encode()).hexdigest()[:2], {})[photo] = file.absolute()
    return [
        Task(
            id=chunk,
            output=folder.work / "import" / f"{chunk}.jsonl",
            inputs={photo: _identity(file) for photo, file in sorted(chunks[chunk].items())},
            config={
                "files": {photo: str(file) for photo, file in sorted(chunks[chunk].items())},
                "folder": str(folder.out),
                "limits": dataclasses.asdict(limits),
            },
        )
        for chunk in sorted(chunks)
    ]


def _identity(file: Path) -> str:
    """Return a fingerprint of a file without reading it."""
    try:
        status = file.stat()
    except OSError as error:
        return f"{error.strerror}"
    return f"{status.st_size} bytes, {status.st_mtime_ns}"


def import_photos(task: Task) -> TaskResult:
    """Copy photos into the collection and write the status of each, one JSON object per line."""
    folder, limits = Path(task.config["folder"]), PhotoLimits(**task.config["limits"])
    with replacing(task.output) as file:
        for photo, path in task.config["files"].items():
            file.write(format_outcome(_import_photo(photo, Path(path), folder, limits)))
    return TaskResult(task_id=task.id, files=(file_entry(task.output, task.output.parent, len(task.config["files"])),))


def _import_photo(photo: str, path: Path, folder: Path, limits: PhotoLimits) -> PhotoOutcome:
    values: dict[str, Any] = {"status": FAILED}
    try:
        with path.open("rb") as file:
            values = {"status": OK, **dataclasses.asdict(store_photo(file.read(limits.bytes + 1), folder, limits))}
    except FormatError as error:
        status, reason = DECODING_FAULTS[error.reason]
        values = {"status": status, "error": reason, "detail": error.detail}
    except FileNotFoundError as error:
        values |= {"error": "file missing", "detail": str(error)}
    except PermissionError as error:
        values |= {"error": "file not readable", "detail": str(error)}
    return PhotoOutcome(url=photo, fetched=today(), **values)


# ---- tables, card and manifest ---------------------------------------------------------------------------------------


def _finish(
    config: Config,
    folder: OutputFolder,
    gathering: Gathering,
    outcomes: Mapping[str, PhotoOutcome],
    rejects: Sequence[tuple[str, Fault]],
) -> Collected:
    photos = photos_table(
        gathering.photo_columns(lambda photo: [getattr(outcomes[photo], name) for name in OUTCOME_COLUMNS])
    )
    boxes = boxes_table(gathering.box_columns())
    rows = source_rows(gathering, lambda photo: outcomes[photo].status)
    write_table(folder.work / PHOTOS_FILE, photos)
    write_table(folder.work / BOXES_FILE, boxes)
    files = [
        folder.publish(PHOTOS_FILE, len(photos)),
        folder.publish(BOXES_FILE, len(boxes)),
        _put_rejects(folder, rejects),
        folder.put(SOURCES_FILE, sources_csv(rows), len(rows)),
    ]
    _check_outcomes(folder, [outcomes[photo] for photo, _ in gathering.photos()], config)
    words = Counter(boxes.column("word").to_pylist())

    def counts(manifest: Manifest) -> dict[str, Any]:
        return summarise(Collection(directory=folder.out, manifest=manifest, photos=photos, boxes=boxes), rows)

    manifest = folder.finish(
        files,
        lambda manifest: collection_card(counts(manifest)),
        keep_work=True,
        counts={"all": {word: words[word] for word in folder.plan.classes}},
        rejects=dict(sorted(Counter(fault.reason for _, fault in rejects).items())),
    )
    collection = Collection(directory=folder.out, manifest=manifest, photos=photos, boxes=boxes)
    _tidy(collection)
    return Collected(collection=collection, counts=counts(manifest), unmatched=dict(gathering.unmatched.most_common()))


def _tidy(collection: Collection) -> None:
    """Remove the files of unfinished runs, unless a failed photo may be requested again.

    The statuses and the photos are kept or removed together, since a status requires its photo.
    """
    for path in leftovers(collection.directory):
        path.unlink()
    work = collection.directory / WORK_FOLDER
    if _failures(collection) or not work.exists():
        return
    there = collection.photos.filter(pc.equal(collection.photos.column("status"), OK))
    remove_others(collection.directory, set(there.column("path").to_pylist()))
    shutil.rmtree(work)


def _failures(collection: Collection) -> int:
    count: int = pc.sum(pc.equal(collection.photos.column("status"), FAILED)).as_py() or 0
    return count


def _put_rejects(folder: OutputFolder, rejects: Sequence[tuple[str, Fault]]) -> FileEntry:
    lines = []
    for name, fault in rejects:
        values = {"source": name, **dataclasses.asdict(fault)}
        # File names on disk need not be UTF-8.
        clean = {key: value.encode("utf-8", "backslashreplace").decode("utf-8") for key, value in values.items()}
        lines.append(orjson.dumps(clean, option=orjson.OPT_APPEND_NEWLINE))
    return folder.put(REJECTS_FILE, b"".join(lines), len(lines))


def _check_outcomes(folder: OutputFolder, outcomes: Sequence[PhotoOutcome], config: Config) -> None:
    """Raise SketchDataError if there is no photo or too many failed."""
    statuses = Counter(outcome.status for outcome in outcomes)
    asked, failed = len(outcomes), statuses[FAILED]
    if statuses[OK] and failed <= config.max_failed_fraction * asked:
        return
    share = f"{failed / asked:.1%}; --max-failed-fraction allows {config.max_failed_fraction:.0%}"
    reasons = FaultCounts(
        Fault(where=outcome.url, reason=outcome.error or "", detail=outcome.detail or "")
        for outcome in outcomes
        if outcome.status != OK
    )
    raise SketchDataError(
        f"of {asked:,} photos {failed:,} failed ({share}) and {statuses[REFUSED]:,} were refused: "
        f"{reasons}. {folder.out / PHOTOS_FILE} says why. What is there is kept; --retry-failed tries again"
    )
