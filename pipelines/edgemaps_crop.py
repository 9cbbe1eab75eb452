"""Crop the objects in collected photos: from PHOTOS to CROPS, one picture per annotation, without duplicates.

Two stages. `crop_photos` reads the photos whose sha256 begins with the same two digits and writes their crops; then
duplicates among all crops are removed; `gather_shard` writes the rest into shards, by class. Every annotation becomes a
crop, a duplicate, or an entry in the list of rejects.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sketchdata import __version__
from sketchdata.config import FOLDER, option, recorded
from sketchdata.engine import EngineOptions, Task, TaskResult, run_final
from sketchdata.engine import run as run_stage
from sketchdata.engine.output_folder import OutputFolder, publish
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.formats.files import FaultCounts
from sketchdata.names import names_in
from sketchdata.photos.collection import read_collection
from sketchdata.photos.crops import (
    ENCODINGS,
    NO_BOX,
    AnnotationRow,
    Crop,
    CropRules,
    Crops,
    DuplicateCounts,
    RejectedAnnotation,
    annotations_of,
    choose,
    count_duplicates,
    crop_photo,
    crops_card,
    read_chunk,
    read_crops,
    staying,
    write_chunk,
    write_duplicates,
    write_rejects,
)
from sketchdata.photos.near_duplicates import MOST_BITS
from sketchdata.storage import pictures
from sketchdata.storage.manifest import (
    MANIFEST_NAME,
    SCHEMA_VERSION,
    Manifest,
    ParentEntry,
    file_entry,
    hash_file,
    replacing,
)

NAME = "edgemap-crops"
DUPLICATES, REJECTS = "duplicates.csv", "rejects.jsonl"
BOX_FLAGS = ("group", "depiction", "inside", "occluded", "truncated", "difficult")

_FAULTS_SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class Config:
    """Options: cropping, duplicates, and output folder."""

    out: Path = option(help="Folder of the crops.", record=False, type=FOLDER)
    context: float = option(
        0.1, help="Margin on each side of a box, as a share of its width or height.", type=click.FloatRange(0, 10)
    )
    min_size: int = option(32, help="Minimum length in pixels of a box's longer side.", type=click.IntRange(1))
    no_box: str = option(
        "whole",
        help="Crop of a photo without a box: the whole photo, its salient region, or none.",
        type=click.Choice(NO_BOX),
    )
    longest_side: int = option(
        512, help="Longer side in pixels to which larger crops are resized.", type=click.IntRange(32, 8192)
    )
    format: str = option("jpeg", help="File format of crops; jpeg has quality 95.", type=click.Choice(list(ENCODINGS)))
    near: int | None = option(
        4,
        help=f"Bits in which perceptual hashes of near duplicates may differ, 0 to {MOST_BITS}; with none, only equal "
        "crops are duplicates.",
        type=lambda bits: None if bits == "none" else click.IntRange(0, MOST_BITS).convert(bits, None, None),
        metavar="BITS|none",
    )
    skip_flags: str = option(
        "group,depiction,inside",
        help=f"Comma-separated flags of boxes to leave out, of {', '.join(BOX_FLAGS)}; none leaves nothing out.",
        metavar="A,B,…|none",
    )
    overwrite: bool = option(False, help="Replace other crops in the folder.", record=False)

    def rules(self) -> CropRules:
        """Return the options of cropping a photo.

        Raises:
            ConfigError: A flag does not exist.
        """
        names = () if self.skip_flags == "none" else names_in(self.skip_flags) or ("",)
        if unknown := [name for name in names if name not in BOX_FLAGS]:
            shown = ", ".join(map(repr, unknown))
            raise ConfigError(f"--skip-flags takes {', '.join(BOX_FLAGS)} or none, and not {shown}")
        return CropRules(
            context=self.context,
            min_size=self.min_size,
            longest_side=self.longest_side,
            format=self.format,
            no_box=self.no_box,
            skip_flags=tuple(names),
        )


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Counts of annotations: crops, duplicates and rejects add up to their number."""

    crops: int
    duplicates: DuplicateCounts
    rejects: dict[str, int]

    @property
    def annotations(self) -> int:
        """All of them."""
        return self.crops + self.duplicates.exact + self.duplicates.near + sum(self.rejects.values())


def summarise(out: Path, manifest: Manifest) -> Summary:
    """Return the counts of finished crops."""
    return Summary(
        crops=manifest.splits[pictures.UNDIVIDED],
        duplicates=count_duplicates(out / DUPLICATES),
        rejects=manifest.rejects,
    )


def run(directory: Path, config: Config, engine: EngineOptions) -> Manifest | None:
    """Write the crops and return their manifest; None if other shares of a job array must finish first.

    Args:
        directory: A collection of `sketchdata edgemaps collect`.
        config: Options of the crops.
        engine: Options of the engine.

    Raises:
        SketchDataError: Photos are missing or damaged, nothing could be cropped, or tasks failed.
        ConfigError: An option is invalid, or the folder is not empty.
    """
    # Workers on other machines can have other working directories.
    directory, rules = directory.absolute(), config.rules()
    collection = read_collection(directory)
    folder = _folder(directory, collection.manifest, config)
    if (finished := folder.begin(overwrite=config.overwrite)) is not None:
        return finished
    annotations = annotations_of(collection.photos, collection.boxes)
    tasks = _chunk_tasks(directory, annotations, folder, rules)
    if (chunks := run_stage(crop_photos, tasks, engine, title="Cropping photos")) is None:
        return None
    rejects = _write_rejects(annotations, folder, chunks)
    if not sum(chunk.counts["crops"] for chunk in chunks):
        reasons = FaultCounts.of_list(folder.out / REJECTS)
        raise SketchDataError(
            f"nothing in {directory} can be cropped: {reasons if rejects else 'there are no annotations'}; see "
            f"{folder.out / REJECTS}"
        )
    chosen = _choose(folder, chunks, config.near)
    if (shards := run_final(gather_shard, _shard_tasks(folder, chosen), engine, title="Writing shards")) is None:
        return None
    return _finish(folder, chosen, rejects, shards)


def _folder(directory: Path, photos: Manifest, config: Config) -> OutputFolder:
    out = config.out.absolute()
    if directory.resolve() in (out.resolve(), *out.resolve().parents):
        raise ConfigError(
            f"crops cannot lie in {directory}, with the photos that they are made from: choose another --out"
        )
    plan = Manifest(
        name=NAME,
        config=recorded(config),
        classes=photos.classes,
        counts={},
        rejects={},
        sources=photos.sources,
        files=(),
        parent=ParentEntry(name=photos.name, sha256=hash_file(directory / MANIFEST_NAME, "sha256")),
    )
    return OutputFolder(out=out, plan=plan, names=frozenset({"data", DUPLICATES, REJECTS}), noun="set of crops")


def _chunk_tasks(directory: Path, annotations: pa.Table, folder: OutputFolder, rules: CropRules) -> list[Task]:
    manifest = hash_file(directory / MANIFEST_NAME, "sha256")
    settings = {
        "directory": str(directory),
        "manifest": manifest,
        "rules": dataclasses.asdict(rules),
        "classes": list(folder.plan.classes),
    }
    return [
        Task(
            id=prefix,
            output=folder.work / "crops" / f"{prefix}.arrow",
            inputs={MANIFEST_NAME: manifest},
            config=settings,
        )
        for prefix in sorted(pc.unique(annotations["prefix"]).drop_null().to_pylist())
    ]


def crop_photos(task: Task) -> TaskResult:
    """Crop the photos whose sha256 begins with the id of the task, in the order of the hashes."""
    settings, rejects, faults = task.config, list[RejectedAnnotation](), list[str]()
    directory, rules = Path(settings["directory"]), CropRules(**settings["rules"])
    table = _annotations(settings["directory"], settings["manifest"])
    rows = sorted(table.filter(pc.equal(table["prefix"], task.id)).to_pylist(), key=_sha256)

    def crops() -> Iterator[Crop]:
        for _, group in groupby(rows, _sha256):
            annotations = list(group)
            data = _read_photo(directory, annotations[0], faults)
            for made in crop_photo(data, annotations, rules) if data is not None else ():
                if isinstance(made, RejectedAnnotation):
                    rejects.append(made)
                else:
                    yield made

    with replacing(task.output) as file:
        written = write_chunk(file, crops(), settings["classes"])
        if faults:
            more = f"\n  and {len(faults) - _FAULTS_SHOWN:,} more" if len(faults) > _FAULTS_SHOWN else ""
            lines = "\n  ".join(faults[:_FAULTS_SHOWN])
            raise SketchDataError(f"photos in {directory} are missing or damaged: collect them again\n  {lines}{more}")
    listed = write_rejects(task.output.with_suffix(".rejects.jsonl"), rejects)
    root = task.output.parent
    return TaskResult(
        task_id=task.id,
        files=(file_entry(task.output, root, written), file_entry(listed, root, len(rejects))),
        counts={"crops": written},
        rejects=dict(Counter(reject.reason for reject in rejects)),
    )


@lru_cache(maxsize=1)
def _annotations(directory: str, manifest: str) -> pa.Table:
    """Read the annotations, once per worker; raise SketchDataError if they do not match the manifest."""
    collection = read_collection(Path(directory))
    if hash_file(Path(directory) / MANIFEST_NAME, "sha256") != manifest:
        raise SketchDataError(f"{directory} changed while it was cropped: run the command again")
    return annotations_of(collection.photos, collection.boxes)


def _sha256(row: AnnotationRow) -> str:
    return str(row["sha256"])


def _read_photo(directory: Path, row: AnnotationRow, faults: list[str]) -> bytes | None:
    """Return the bytes of a photo; None, and record a fault, if it is not the collected one."""
    try:
        data = (directory / str(row["path"])).read_bytes()
    except OSError as error:
        faults.append(f"{row['path']} cannot be read: {error.strerror}")
        return None
    found = hashlib.sha256(data).hexdigest()
    if found == row["sha256"]:
        return data
    faults.append(f"{row['path']} is damaged: it has sha256 {found[:16]}… instead of {row['sha256'][:16]}…")
    return None


def _write_rejects(annotations: pa.Table, folder: OutputFolder, chunks: Sequence[TaskResult]) -> dict[str, int]:
    without = [
        RejectedAnnotation(annotation=row, reason="photo not collected", detail=row["error"] or "")
        for row in annotations.filter(annotations["prefix"].is_null()).to_pylist()
    ]
    counts = sum((Counter(chunk.rejects) for chunk in chunks), Counter(reject.reason for reject in without))
    listed = write_rejects(folder.work / "not-collected.jsonl", without)
    paths = [listed, *(folder.work / "crops" / chunk.files[1].path for chunk in chunks)]
    folder.join(REJECTS, paths, sum(counts.values()))
    return dict(sorted(counts.items()))


@dataclass(frozen=True, kw_only=True)
class _Chosen:
    """The kept crops: `rows` of `crops`, in the order of the data set, stored in `chunks`, {path: sha256}."""

    crops: Crops
    rows: npt.NDArray[np.int64]
    chunks: dict[str, str]


def _choose(folder: OutputFolder, chunks: Sequence[TaskResult], near: int | None) -> _Chosen:
    files = [chunk.files[0] for chunk in chunks]
    paths = [folder.work / "crops" / file.path for file in files]
    crops = read_crops(paths)
    kept = choose(crops, near)
    write_duplicates(folder.work / DUPLICATES, crops, kept, folder.plan.classes)
    publish(folder.work / DUPLICATES, folder.out / DUPLICATES)
    rows = staying(kept)
    rows = rows[pictures.row_numbers(crops.label[rows], crops.key_id[rows])]
    return _Chosen(
        crops=crops, rows=rows, chunks={str(path): file.sha256 for path, file in zip(paths, files, strict=True)}
    )


def _shard_tasks(folder: OutputFolder, chosen: _Chosen) -> list[Task]:
    tasks, paths, spans = [], list(chosen.chunks), pictures.shard_spans(len(chosen.rows))
    for shard, (start, stop) in enumerate(spans):
        name, rows = pictures.shard_name(pictures.UNDIVIDED, shard, len(spans)), np.sort(chosen.rows[start:stop])
        chunk = np.searchsorted(chosen.crops.starts, rows, side="right") - 1
        parts = {
            paths[number]: (rows[chunk == number] - chosen.crops.starts[number]).tolist()
            for number in np.unique(chunk).tolist()
        }
        task = Task(
            id=name,
            output=folder.out / name,
            inputs={Path(path).name: chosen.chunks[path] for path in parts},
            config={
                "parts": parts,
                "classes": list(folder.plan.classes),
                "facts": {"name": NAME, "version": SCHEMA_VERSION, "tool": __version__, "split": pictures.UNDIVIDED},
                "written": str(folder.work / "shards" / Path(name).name),
            },
            markers=folder.work / "shards",
        )
        tasks.append(task)
    return tasks


def gather_shard(task: Task) -> TaskResult:
    """Gather crops from several chunks into one shard, by class and key_id."""
    names, written = pictures.schema().names, Path(task.config["written"])
    parts = [read_chunk(Path(path), names).take(rows) for path, rows in task.config["parts"].items()]
    table = pa.concat_tables(parts).combine_chunks()
    table = table.take(pictures.row_numbers(table["label"].to_numpy(), table["key_id"].to_numpy()))
    pictures.write_shard(written, table, task.config["facts"])
    publish(written, task.output)
    return TaskResult(task_id=task.id, files=(file_entry(task.output, task.output.parent, len(table)),))


def _finish(folder: OutputFolder, chosen: _Chosen, rejects: dict[str, int], shards: Sequence[TaskResult]) -> Manifest:
    counts = Counter(chosen.crops.label[chosen.rows].tolist())
    files = [dataclasses.replace(entry, path=f"data/{entry.path}") for shard in shards for entry in shard.files]
    removed = len(chosen.crops) - len(chosen.rows)
    lists = {DUPLICATES: removed, REJECTS: sum(rejects.values())}
    files += [file_entry(folder.out / name, folder.out, records) for name, records in lists.items()]
    by_class = {pictures.UNDIVIDED: {word: counts[label] for label, word in enumerate(folder.plan.classes)}}
    return folder.finish(files, crops_card, counts=by_class, rejects=rejects)
