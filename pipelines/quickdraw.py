"""Build QuickDraw-3.8M: from official files to a split, sharded and listed data set.

Two stages. `select_category` reads one category's file, from disk or as it streams in, and keeps the drawings with the
smallest ranks; `write_shard` interleaves the categories into one Parquet shard. Both write to temporary names, so that
a build may be killed at any moment and goes on from there; the manifest comes last.
"""

from __future__ import annotations

import dataclasses
import math
import shutil
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import click
import numpy as np
import orjson

from sketchdata.card import quickdraw_card
from sketchdata.catalog import BUCKET, OfficialFile, choose_classes, official_path, read_classes, read_official_files
from sketchdata.config import option, recorded
from sketchdata.drawing import concatenate
from sketchdata.engine import EngineOptions, Task, TaskResult
from sketchdata.engine import run as run_stage
from sketchdata.errors import ConfigError, FetchError, SketchDataError
from sketchdata.formats.ndjson_scan import BLOCK_BYTES
from sketchdata.manifest import (
    MANIFEST_NAME,
    FileEntry,
    Manifest,
    SourceEntry,
    claim_folder,
    file_entry,
    read_manifest,
    replacing,
)
from sketchdata.recipes import manifest_path
from sketchdata.sampling import SPLITS, places_of_rows, ranks, row_order, rows_before, scale_to_fit
from sketchdata.selection import READERS, Reject, Rules, Selection, select
from sketchdata.shards import parquet
from sketchdata.sources import Source, SourceFile, describe_missing, open_source, read_content
from sketchdata.version import SCHEMA_VERSION, __version__

NAME = "quickdraw-3.8m"
#: Where `sketchdata download quickdraw` puts files unless told otherwise.
DOWNLOADED = Path("data/quickdraw")
#: Rows in a shard at most: about 10 MB, so that a worker holds little and 40 of them make the whole data set.
SHARD_ROWS = 100_000

_WORK = ".build"
_OWN = {MANIFEST_NAME, _WORK, "data", "key_ids", "README.md", "classes.csv", "rejects.jsonl"}
_HEADS_AT_ONCE = 8
#: No category has so many drawings, and no rank more bits.
_SIZE, _SEED = click.IntRange(0, 10_000_000), click.IntRange(0, 2**64 - 1)


@dataclass(frozen=True, kw_only=True)
class Config:
    """What to build, from what, and where to."""

    source: str | None = option(
        None,
        help="Folder, http(s) address or gs:// bucket that is laid out like the official one. "
        f"Default: {DOWNLOADED} when it exists, else the official bucket, read in one pass without storing it.",
        record=False,
        metavar="DIR|URL",
    )
    out: Path = option(
        Path("data/quickdraw-3.8m"),
        help="Folder of the data set.",
        record=False,
        type=click.Path(file_okay=False, path_type=Path),
    )
    seed: int = option(0, help="Seed of the hash that splits; 0 is the published one.", type=_SEED)
    train: int = option(9000, help="Drawings a category for training.", type=_SIZE)
    val: int = option(1000, help="Drawings a category for validation.", type=_SIZE)
    gallery: int = option(1000, help="Drawings a category in the gallery, to be searched.", type=_SIZE)
    query: int = option(100, help="Drawings a category to search the gallery with.", type=_SIZE)
    categories: str | None = option(
        None, help="Comma-separated names. Default: all 345.", record=False, metavar="A,B,…"
    )
    recognized_only: bool = option(False, help="Take only drawings that the game recognized.")
    input_format: str = option(
        "simplified", help="Which of the official formats to read.", type=click.Choice(list(READERS))
    )
    scale_to_fit: bool = option(
        False, help="Give a category with too few drawings smaller splits in the same proportions, instead of an error."
    )
    check_all: bool = option(False, help="Parse every record, not only the chosen ones, and list all that is wrong.")
    max_bad_fraction: float = option(
        0.001, help="Fail when a larger share of the examined records is bad.", type=click.FloatRange(0, 1)
    )
    overwrite: bool = option(False, help="Replace another data set in the output folder.", record=False)

    def sizes(self) -> dict[str, int]:
        """Drawings a category in each split."""
        return {split: getattr(self, split) for split in SPLITS}


def run(config: Config, engine: EngineOptions) -> Manifest | None:
    """Build the data set and return its manifest; None when other shares of a job array must finish first.

    Raises:
        SketchDataError: Files are missing, categories are too small, too much is bad, or tasks failed.
    """
    if not sum(config.sizes().values()):
        raise ConfigError("the splits are all empty: give --train, --val, --gallery or --query")
    classes = choose_classes(read_classes(manifest_path("quickdraw-categories.txt")), config.categories)
    # Workers on other machines may start in other folders.
    config = dataclasses.replace(config, out=config.out.absolute())
    if (finished := _finished(config, classes)) is not None:
        return finished
    own = _OWN | {path.name for path in _leftovers(config.out)}
    # Strangers are refused before --overwrite removes anything.
    claim_folder(config.out, own=own, overwrite=False)
    claim_folder(config.out, own=own, overwrite=config.overwrite)
    if (selected := _select(config, engine, classes)) is None:
        return None
    _write_rejects(config, classes)
    rejects = _check_rejects(config, selected)
    sizes = _split_sizes(config, selected)
    if (shards := _write_shards(engine, _shard_tasks(config, selected, sizes))) is None:
        return None
    manifest = Manifest(
        name=NAME,
        config=recorded(config),
        classes=classes,
        counts={split: {word: sizes[word][split] for word in classes} for split in SPLITS},
        rejects=rejects,
        sources=tuple(SourceEntry(**result.facts["source"]) for result in selected),
        files=(),
    )
    return _finish(config, manifest, shards)


def _finished(config: Config, classes: Sequence[str]) -> Manifest | None:
    """Return the data set when it is already there.

    Raises:
        ConfigError: Another one is there.
    """
    if config.overwrite or not (config.out / MANIFEST_NAME).exists():
        return None
    manifest = read_manifest(config.out)
    if manifest.config != recorded(config) or manifest.classes != tuple(classes):
        raise ConfigError(f"{config.out} holds a data set with other options: choose another --out, or --overwrite it")
    shutil.rmtree(config.out / _WORK, ignore_errors=True)
    click.echo(f"{config.out} is built already; --overwrite builds it again", err=True)
    return manifest


def _leftovers(out: Path) -> list[Path]:
    """Return the temporary files of `replacing` beside the manifest that a killed run left."""
    return [path for path in out.glob(".*.tmp") if path.name[1:].rsplit(".", 2)[0] in _OWN]


# ---- first stage: one task a category -------------------------------------------------------------------------------


def _select(config: Config, engine: EngineOptions, classes: Sequence[str]) -> list[TaskResult] | None:
    """Choose every category's drawings; no drawing is in two categories afterwards."""
    source = open_source(_location(config))
    files = _find(source, [official_path(config.input_format, word) for word in classes])
    taken: dict[str, dict[int, str]] = {word: {} for word in classes}
    while True:
        tasks = [_select_task(config, source, file, classes, taken) for file in files]
        results = run_stage(select_category, tasks, engine, title="Selecting drawings")
        if results is None:
            return None
        twice = _taken_twice(config, classes)
        if not twice:
            return results
        # The later category in the class table gives the drawing up and takes its next one.
        for word, key_ids in twice.items():
            taken[word] |= key_ids


def _location(config: Config) -> str:
    if config.source is None:
        return str(DOWNLOADED.absolute()) if DOWNLOADED.is_dir() else BUCKET
    return config.source if "://" in config.source else str(Path(config.source).absolute())


def _find(source: Source, paths: Sequence[str]) -> list[SourceFile]:
    with ThreadPoolExecutor(_HEADS_AT_ONCE) as pool:
        found = list(pool.map(source.find, paths))
    missing = [path for path, file in zip(paths, found, strict=True) if file is None]
    if missing:
        raise ConfigError(describe_missing(source, missing, len(paths)))
    return [file for file in found if file is not None]


def _selected_path(config: Config, word: str) -> Path:
    return config.out / _WORK / "select" / f"{word}.arrow"


def _select_task(
    config: Config, source: Source, file: SourceFile, classes: Sequence[str], taken: Mapping[str, Mapping[int, str]]
) -> Task:
    word = PurePosixPath(file.path).stem
    rules = Rules(
        word=word,
        label=classes.index(word),
        input_format=config.input_format,
        count=sum(config.sizes().values()),
        seed=config.seed,
        recognized_only=config.recognized_only,
        check_all=config.check_all,
        taken=taken[word],
    )
    return Task(
        id=word,
        output=_selected_path(config, word),
        inputs={file.path: file.identity},
        config={
            "source": source.location,
            "path": file.path,
            "identity": file.identity,
            "rules": dataclasses.asdict(rules),
            "classes": list(classes),
        },
    )


def select_category(task: Task) -> TaskResult:
    """Read one category's file once and keep its drawings with the smallest ranks, in rank order."""
    source = open_source(task.config["source"])
    file = source.find(task.config["path"])
    if file is None or file.identity != task.config["identity"]:
        raise FetchError(f"{task.config['path']} at {source.location} changed during the build: run the command again")
    official = read_official_files(manifest_path("quickdraw-files.csv")).get(file.path)
    selection = _select_checked(source, file, Rules(**task.config["rules"]), official)
    parquet.write_arrow(task.output, selection.batch, task.config["classes"])
    rejects = task.output.with_suffix(".rejects.jsonl")
    with replacing(rejects) as lines:
        lines.writelines(_reject_line(file.path, reject) for reject in selection.rejects)
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
    """Select, and see that what streamed by is what the publisher or the server announced; if not, read it once more.

    Raises:
        FetchError: The md5 is wrong twice.
    """
    # The published list binds the official bucket alone: a mirror may hold another edition, and the manifest says so.
    expected = official.md5 if official is not None and source.location.rstrip("/") == BUCKET else file.md5
    selection = select(lambda: _content(source, file), rules)
    if expected is None or file.gzipped or selection.md5 == expected:
        return selection
    selection = select(lambda: _content(source, file), rules)
    if selection.md5 != expected:
        raise FetchError(f"{file.location} has md5 {selection.md5}, twice, but should have {expected}")
    return selection


def _content(source: Source, file: SourceFile) -> Iterable[bytes]:
    if file.local is None or file.gzipped:
        return read_content(source, file)
    return _blocks(file.local)


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb", buffering=0) as file:
        while block := file.read(BLOCK_BYTES):
            yield block


def _reject_line(path: str, reject: Reject) -> bytes:
    return orjson.dumps({"file": path, **dataclasses.asdict(reject)}, option=orjson.OPT_APPEND_NEWLINE)


def _taken_twice(config: Config, classes: Sequence[str]) -> dict[str, dict[int, str]]:
    """Return {category: {key_id: the earlier category that has it too}}."""
    key_ids = [parquet.map_arrow(_selected_path(config, word)).key_id for word in classes]
    joined, labels = np.concatenate(key_ids), np.repeat(np.arange(len(classes)), [len(ids) for ids in key_ids])
    order = np.argsort(joined, kind="stable")
    again = np.flatnonzero(joined[order[1:]] == joined[order[:-1]])
    twice: dict[str, dict[int, str]] = {}
    for first, second in zip(order[again].tolist(), order[again + 1].tolist(), strict=True):
        twice.setdefault(classes[labels[second]], {})[int(joined[second])] = classes[labels[first]]
    return twice


# ---- between the stages: enough drawings, and few bad ones ----------------------------------------------------------


def _write_rejects(config: Config, classes: Sequence[str]) -> None:
    """Join the categories' lists, before anything may fail because of what is on them."""
    with replacing(config.out / "rejects.jsonl") as joined:
        for word in classes:
            joined.write(_selected_path(config, word).with_suffix(".rejects.jsonl").read_bytes())


def _check_rejects(config: Config, results: Sequence[TaskResult]) -> dict[str, int]:
    """Return {reason: records}.

    Raises:
        SketchDataError: They are a larger share of the examined records than allowed.
    """
    rejects = sum((Counter(result.rejects) for result in results), Counter[str]())
    bad, examined = rejects.total(), sum(result.counts["examined"] for result in results)
    if bad > config.max_bad_fraction * examined:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in rejects.most_common())
        raise SketchDataError(
            f"{bad:,} of {examined:,} examined records are bad ({bad / examined:.2%}; --max-bad-fraction allows "
            f"{config.max_bad_fraction:.2%}): {reasons}. {config.out / 'rejects.jsonl'} lists them"
        )
    return dict(sorted(rejects.items()))


def _split_sizes(config: Config, results: Sequence[TaskResult]) -> dict[str, dict[str, int]]:
    """Return {category: {split: drawings}}.

    Raises:
        SketchDataError: Categories have too few drawings, all of which are named.
    """
    sizes, need = config.sizes(), sum(config.sizes().values())
    have = {result.task_id: result.counts["drawings"] for result in results}
    # Nothing can be scaled down to no drawings at all.
    short = {word: count for word, count in have.items() if count < (1 if config.scale_to_fit else need)}
    if short:
        lines = [f"  {word}: {count:,} of {need:,}" for word, count in short.items()]
        kind = "recognized drawings" if config.recognized_only else "drawings"
        head = f"{len(short)} of {len(have)} categories have too few {kind} (--scale-to-fit makes do with fewer):"
        raise SketchDataError("\n".join([head, *lines]))
    return {word: scale_to_fit(sizes, count) for word, count in have.items()}


# ---- second stage: one task a shard ---------------------------------------------------------------------------------


def _shard_tasks(config: Config, results: Sequence[TaskResult], sizes: Mapping[str, Mapping[str, int]]) -> list[Task]:
    inputs = {result.task_id: result.files[0].sha256 for result in results}
    classes = [result.task_id for result in results]
    work, tasks = config.out / _WORK, []
    for number, split in enumerate(SPLITS):
        counts = [sizes[word][split] for word in classes]
        firsts = [sum(sizes[word][earlier] for earlier in SPLITS[:number]) for word in classes]
        rows, shards = sum(counts), math.ceil(sum(counts) / SHARD_ROWS)
        for shard in range(shards):
            name = f"{split}-{shard:05d}-of-{shards:05d}.parquet"
            span = {"start": rows * shard // shards, "stop": rows * (shard + 1) // shards}
            parts = {"classes": classes, "counts": counts, "firsts": firsts, "work": str(work / "select")}
            facts = {"name": NAME, "version": SCHEMA_VERSION, "tool": __version__, "seed": config.seed, "split": split}
            settings, output = {**span, **parts, "facts": facts}, config.out / "data" / name
            tasks.append(Task(id=name, output=output, inputs=inputs, config=settings, markers=work / "shards"))
    return tasks


def _write_shards(engine: EngineOptions, tasks: Sequence[Task]) -> list[TaskResult] | None:
    if engine.share()[1] == 1:
        return run_stage(write_shard, tasks, engine, title="Writing shards")
    # A share never ends the build: two that did so at once would clear the work folder away under each other.
    if run_stage(write_shard, tasks, dataclasses.replace(engine, wait=0.0), title="Writing shards") is not None:
        click.echo("all shards are written: the same command without a task range finishes the data set", err=True)
    return None


def write_shard(task: Task) -> TaskResult:
    """Interleave the categories' drawings into one Parquet shard: rows start..stop of a split."""
    settings = task.config
    counts, firsts = np.array(settings["counts"], np.int64), settings["firsts"]
    low, high = places_of_rows(counts, settings["start"], settings["stop"])
    batches, places = [], []
    for word, count, first in zip(settings["classes"], settings["counts"], firsts, strict=True):
        stop = min(high, count)
        if low < stop:
            selected = parquet.map_arrow(Path(settings["work"]) / f"{word}.arrow")
            batches.append(selected.slice(first + low, first + stop))
            places.append(np.arange(low, stop))
    batch = concatenate(batches)
    order = row_order(np.concatenate(places), ranks(batch.key_id, settings["facts"]["seed"]))
    before = rows_before(counts, low)
    rows = order[settings["start"] - before : settings["stop"] - before]
    parquet.write_shard(task.output, batch.take(rows), settings["classes"], settings["facts"])
    return TaskResult(task_id=task.id, files=(file_entry(task.output, task.output.parent, len(rows)),))


# ---- the end: lists, card, manifest ---------------------------------------------------------------------------------


def _finish(config: Config, manifest: Manifest, shards: Sequence[TaskResult]) -> Manifest:
    """Write everything beside the shards, the manifest last, and clear the work folder away."""
    out = config.out
    files = [dataclasses.replace(f, path=f"data/{f.path}") for result in shards for f in result.files]
    manifest = dataclasses.replace(manifest, files=tuple(files))
    files += [_write_key_ids(out, manifest, split) for split in SPLITS]
    files.append(file_entry(out / "rejects.jsonl", out, sum(manifest.rejects.values())))
    files.append(_write_text(out, "classes.csv", _class_table(manifest), len(manifest.classes)))
    files.append(_write_text(out, "README.md", quickdraw_card(manifest), 0))
    manifest = dataclasses.replace(manifest, files=tuple(sorted(files, key=lambda file: file.path)))
    _sweep(out, {file.path for file in files})
    manifest.write(out)
    shutil.rmtree(out / _WORK)
    return manifest


def _sweep(out: Path, listed: Collection[str]) -> None:
    """Remove what killed runs and runs with other options left: temporary files, and shards by other names."""
    within = [path for folder in ("data", "key_ids") for path in (out / folder).iterdir()]
    for path in [*_leftovers(out), *within]:
        if path.relative_to(out).as_posix() not in listed:
            path.unlink()


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
