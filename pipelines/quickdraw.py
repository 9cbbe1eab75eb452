"""Build QuickDraw-3.8M: from official files to a data set with splits, shards and lists.

Two stages. `select_category` reads the file of one category, from disk or as a stream, and keeps the drawings with the
smallest ranks; `sketchdata.engine.assembly` interleaves the categories into shards. Both write to temporary names, so a
build can be killed at any moment and resumes; the manifest is written last.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import orjson

from sketchdata.config import FOLDER, option, recorded
from sketchdata.drawings.sampling import SPLITS, scale_to_fit
from sketchdata.engine import EngineOptions, Task, TaskResult
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
from sketchdata.errors import ConfigError, FetchError, SketchDataError
from sketchdata.formats.files import FaultCounts
from sketchdata.storage import parquet
from sketchdata.storage.cards import dataset_card
from sketchdata.storage.catalog import (
    BUCKET,
    OfficialFile,
    choose_classes,
    manifest_path,
    official_path,
    read_classes,
    read_official_files,
)
from sketchdata.storage.manifest import Manifest, SourceEntry, file_entry, replacing
from sketchdata.storage.selection import READERS, Rules, Selection, select
from sketchdata.storage.sources import (
    DOWNLOADED,
    Source,
    SourceFile,
    find_files,
    location_of,
    open_source,
    read_content,
)

NAME = "quickdraw-3.8m"

#: Bits of a rank; no category has that many drawings.
_SIZE, _SEED = click.IntRange(0, 10_000_000), click.IntRange(0, 2**64 - 1)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Options: sources, selection and output folder."""

    source: str | None = option(
        None,
        help="Folder, http(s) address or gs:// bucket that is laid out like the official one. "
        f"Default: {DOWNLOADED} when it exists, else the official bucket, read in one pass without storing it.",
        record=False,
        metavar="DIR|URL",
    )
    out: Path = option(Path("data/quickdraw-3.8m"), help="Folder of the data set.", record=False, type=FOLDER)
    seed: int = option(0, help="Seed of the hash that splits; 0 gives the published split.", type=_SEED)
    train: int = option(9000, help="Drawings per category for training.", type=_SIZE)
    val: int = option(1000, help="Drawings per category for validation.", type=_SIZE)
    gallery: int = option(1000, help="Drawings per category in the gallery, which is searched.", type=_SIZE)
    query: int = option(100, help="Drawings per category that search the gallery.", type=_SIZE)
    categories: str | None = option(
        None, help="Comma-separated names. Default: all 345.", record=False, metavar="A,B,…"
    )
    recognized_only: bool = option(False, help="Take only drawings that the game recognized.")
    input_format: str = option("simplified", help="Official format to read.", type=click.Choice(list(READERS)))
    keep_raw: bool = option(
        False, help="With raw input, keep the player's pixels and times; otherwise raw drawings are simplified."
    )
    scale_to_fit: bool = option(
        False, help="Give a category with too few drawings smaller splits in the same proportions, instead of an error."
    )
    check_all: bool = option(False, help="Parse every record, not only the chosen ones, and list all faults.")
    max_bad_fraction: float = option(
        0.001, help="Fail when a larger share of the examined records is bad.", type=click.FloatRange(0, 1)
    )
    overwrite: bool = option(False, help="Replace another data set in the output folder.", record=False)

    def sizes(self) -> dict[str, int]:
        """Drawings per category in each split."""
        return {split: getattr(self, split) for split in SPLITS}


def run(config: Config, engine: EngineOptions) -> Manifest | None:
    """Build the data set and return its manifest; None if other shares of a job array must finish first.

    Raises:
        SketchDataError: Files are missing, a category is too small, too many records are bad, or tasks failed.
    """
    if not sum(config.sizes().values()):
        raise ConfigError("the splits are all empty: give --train, --val, --gallery or --query")
    if config.keep_raw and config.input_format != "raw":
        raise ConfigError(f"--keep-raw needs --input-format raw: {config.input_format} files hold no raw drawings")
    classes = choose_classes(read_classes(manifest_path("quickdraw-categories.txt")), config.categories)
    plan = Manifest(name=NAME, config=recorded(config), classes=classes, counts={}, rejects={}, sources=(), files=())
    folder = drawings_folder(config.out, plan)
    located: list[tuple[Source, SourceFile]] = []

    def locate() -> None:
        source = open_source(location_of(config.source))
        files = find_files(source, [official_path(config.input_format, word) for word in classes])
        located.extend((source, file) for file in files)

    if (finished := folder.begin(overwrite=config.overwrite, check=locate)) is not None:
        return finished
    if (found := _select(config, folder, engine, located)) is None:
        return None
    # Written before the checks that can fail because of its records.
    reasons = count_rejects(found)
    lists = [selected(folder, word).with_suffix(".rejects.jsonl") for word in classes]
    rejects = folder.join("rejects.jsonl", lists, sum(reasons.values()))
    examined = sum(result.counts["examined"] for result in found)
    check_rejects(reasons, examined, config.max_bad_fraction, config.out / "rejects.jsonl")
    sizes = _split_sizes(config, found, reasons)
    counts = {split: {word: sizes[word][split] for word in classes} for split in SPLITS}
    inputs = {result.task_id: result.files[0].sha256 for result in found}
    if (shards := write_shards(folder, counts, inputs, engine)) is None:
        return None
    sources = tuple(SourceEntry(**result.facts["source"]) for result in found)
    facts = {"counts": counts, "rejects": reasons, "sources": sources}
    return finish(folder, shards, card=dataset_card, lists=[rejects], **facts)


def _select(
    config: Config, folder: OutputFolder, engine: EngineOptions, located: Sequence[tuple[Source, SourceFile]]
) -> list[TaskResult] | None:
    classes = folder.plan.classes
    settings = {
        "input_format": config.input_format,
        "keep_raw": config.keep_raw,
        "count": sum(config.sizes().values()),
        "seed": config.seed,
        "recognized_only": config.recognized_only,
        "check_all": config.check_all,
    }

    def task_of(label: int, word: str, taken: Mapping[int, str]) -> Task:
        source, file = located[label]
        return Task(
            id=word,
            output=selected(folder, word),
            inputs={file.path: file.identity},
            config={
                "source": source.location,
                "path": file.path,
                "identity": file.identity,
                "rules": {**settings, "word": word, "label": label, "taken": dict(taken)},
                "classes": list(classes),
            },
        )

    return select_classes(folder, classes, task_of, select_category, engine)


def select_category(task: Task) -> TaskResult:
    """Read the file of one category once and keep the drawings with the smallest ranks, in rank order."""
    source = open_source(task.config["source"])
    file = source.find(task.config["path"])
    if file is None or file.identity != task.config["identity"]:
        raise FetchError(f"{task.config['path']} at {source.location} changed during the build: run the command again")
    official = read_official_files(manifest_path("quickdraw-files.csv")).get(file.path)
    selection = _select_checked(source, file, Rules(**task.config["rules"]), official)
    parquet.write_arrow(task.output, selection.batch, task.config["classes"])
    rejects = task.output.with_suffix(".rejects.jsonl")
    with replacing(rejects) as lines:
        for reject in selection.rejects:
            record = {"file": file.path, **dataclasses.asdict(reject)}
            lines.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))
    entry = SourceEntry(
        path=file.path,
        bytes=selection.bytes,
        md5=selection.md5,
        records=selection.records,
        official=official is not None and (official.bytes, official.md5) == (selection.bytes, selection.md5),
    )
    root = task.output.parent
    return TaskResult(
        task_id=task.id,
        files=(file_entry(task.output, root, len(selection.batch)), file_entry(rejects, root, len(selection.rejects))),
        counts={"drawings": len(selection.batch), "examined": selection.examined, "passed_over": selection.passed_over},
        rejects=dict(Counter(reject.reason for reject in selection.rejects)),
        facts={"source": dataclasses.asdict(entry)},
    )


def _select_checked(source: Source, file: SourceFile, rules: Rules, official: OfficialFile | None) -> Selection:
    """Select drawings, and check the stream against the announced size and hash; read it again once if they differ."""
    # The published list binds only the official bucket: a mirror may have another edition, which the manifest records.
    expected = official.md5 if official is not None and source.location.rstrip("/") == BUCKET else file.md5
    size = None if file.gzipped else file.bytes
    selection = select(lambda: read_content(source, file), rules, md5=file.content_md5, size=size)
    if expected is None or file.gzipped or selection.md5 == expected:
        return selection
    selection = select(lambda: read_content(source, file), rules, size=size)
    if selection.md5 != expected:
        raise FetchError(f"{file.location} has md5 {selection.md5}, twice, but should have {expected}")
    return selection


def _split_sizes(
    config: Config, results: Sequence[TaskResult], rejects: Mapping[str, int]
) -> dict[str, dict[str, int]]:
    """Return {category: {split: drawings}}."""
    sizes, need = config.sizes(), sum(config.sizes().values())
    have = {result.task_id: result.counts["drawings"] for result in results}
    # Scaling down never reaches zero drawings.
    short = {word: count for word, count in have.items() if count < (1 if config.scale_to_fit else need)}
    if short:
        lines = [f"  {word}: {count:,} of {need:,}" for word, count in short.items()]
        kind = "recognized drawings" if config.recognized_only else "drawings"
        head = f"{len(short)} of {len(have)} categories have too few {kind} (--scale-to-fit makes do with fewer):"
        listed = config.out / "rejects.jsonl"
        refused = f"  refused: {FaultCounts.of_list(listed, rejects)}; see {listed}"
        raise SketchDataError("\n".join([head, *lines, *([refused] if rejects else [])]))
    return {word: scale_to_fit(sizes, count) for word, count in have.items()}
