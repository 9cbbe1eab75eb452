"""Score the messiness of every edge map within its class, so that curators see the worst ones first.

Two stages: with --drawings, `prepare_class` prepares the drawings of a class for comparison; `measure_shard` measures
the edge maps of a shard. Then scores and limits are computed per class, and a flag for every edge map.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sketchdata.config import FOLDER, option, recorded
from sketchdata.curation.audit import (
    FLAGS,
    MESSINESS_FILE,
    NOISE_FLAG,
    NORMAL_FLAG,
    THRESHOLDS_FILE,
    AuditFolder,
    AuditRecord,
    map_columns,
    open_audit,
    read_pictures,
    write_columns,
)
from sketchdata.curation.entropy import HIGH, UNJUDGED, ClassLimits, Reference, reference
from sketchdata.curation.messiness import (
    FEW,
    MEASURES,
    WORST,
    Ink,
    Templates,
    decode_map,
    drawing_distances,
    ink_of,
    measure,
    score,
    templates,
)
from sketchdata.drawings.drawing import DrawingBatch, Words, concatenate, empty_batch
from sketchdata.drawings.raster import raster
from sketchdata.engine import EngineOptions, Task, TaskResult, run_final
from sketchdata.engine import run as run_stage
from sketchdata.errors import ConfigError, FormatError, SketchDataError
from sketchdata.formats.files import read_ndjson
from sketchdata.progress import console
from sketchdata.storage import parquet, pictures
from sketchdata.storage.catalog import official_path
from sketchdata.storage.dataset import open_dataset
from sketchdata.storage.manifest import MANIFEST_NAME, file_entry, replacing
from sketchdata.storage.sources import FolderSource, read_content

# A few drawings per class for comparison with edge maps, from a built data set or from official files.

#: Official files are read in pieces of some hundred drawings, since few are needed.
_PIECE_BYTES = 1 << 17


@dataclass(frozen=True, kw_only=True)
class DrawingSample:
    """Drawings of some classes.

    Attributes:
        origin: Name of the data set, or `ndjson` for official files.
        classes: {class: its drawings} of the classes with drawings.
    """

    origin: str
    classes: dict[str, DrawingBatch]

    @property
    def sha256(self) -> str:
        """A hash of these drawings."""
        digest = hashlib.sha256()
        for word, batch in self.classes.items():
            digest.update(word.encode())
            for column in (batch.key_id, batch.strokes, batch.points, batch.x, batch.y):
                digest.update(np.ascontiguousarray(column).tobytes())
        return digest.hexdigest()


def sample_drawings(directory: Path, wanted: Sequence[str], count: int) -> DrawingSample:
    """Return the first recognized drawings of each class; in a built data set they are a random sample of `train`.

    Args:
        directory: A data set of `sketchdata build`, or a folder of official ndjson files, simplified or raw.
        wanted: Class names; those without a drawing are left out.
        count: Maximum number of drawings per class.

    Raises:
        ConfigError: None of the classes has drawings.
        SketchDataError: A file cannot be read.
    """
    built = (directory / MANIFEST_NAME).is_file()
    found = _from_dataset(directory, wanted, count) if built else _from_files(directory, wanted, count)
    sample = {word: found[word] for word in wanted if word in found and len(found[word])}
    if not sample:
        raise ConfigError(
            f"{directory} has no drawings of {', '.join(wanted[:5])}{' …' if len(wanted) > 5 else ''}: give a data set "
            "that `sketchdata build` made, or a folder of official files, laid out like the bucket"
        )
    return DrawingSample(origin=open_dataset(directory).manifest.name if built else "ndjson", classes=sample)


def _from_dataset(directory: Path, wanted: Sequence[str], count: int) -> dict[str, DrawingBatch]:
    dataset = open_dataset(directory)
    classes, split = dataset.manifest.classes, next(iter(dataset.manifest.counts))
    missing = {classes.index(word): count for word in wanted if word in classes}
    parts: dict[str, list[DrawingBatch]] = {classes[label]: [] for label in missing}
    for batch in dataset.batches(split):
        for label, more in list(missing.items()):
            rows = np.flatnonzero((batch.label == label) & batch.recognized)[:more]
            parts[classes[label]].append(batch.take(rows))
            missing[label] = more - len(rows)
        missing = {label: more for label, more in missing.items() if more}
        if not missing:
            break
    return {word: concatenate(batches) for word, batches in parts.items() if batches}


def _from_files(directory: Path, wanted: Sequence[str], count: int) -> dict[str, DrawingBatch]:
    if not directory.is_dir():
        raise ConfigError(f"{directory} is not a folder: give a built data set or a folder of official ndjson files")
    source, found = FolderSource(location=str(directory)), {}
    for word in wanted:
        if file := source.find(official_path("simplified", word)):
            found[word] = _first_of_file(read_content(source, file), word, count)
    return found


def _first_of_file(blocks: Iterator[bytes], word: str, count: int) -> DrawingBatch:
    pieces = (block[start : start + _PIECE_BYTES] for block in blocks for start in range(0, len(block), _PIECE_BYTES))
    batches = []
    for portion in read_ndjson(pieces, Words(), word):
        batches.append(portion.batch.take(np.flatnonzero(portion.batch.recognized)))
        if sum(map(len, batches)) >= count:
            break
    found = concatenate(batches) if batches else empty_batch()
    return found.slice(0, min(count, len(found)))


_NAMES = pa.dictionary(pa.int8(), pa.string())
SCHEMA = pa.schema(
    [
        pa.field("key_id", pa.uint64(), nullable=False),
        pa.field("split", _NAMES, nullable=False),
        pa.field("label", pa.uint16(), nullable=False),
        *(pa.field(name, pa.float64(), nullable=name == "distance") for name in MEASURES),
        pa.field("score", pa.float64(), nullable=False),
        pa.field("percentile", pa.float32()),
        pa.field("flag", _NAMES),
    ]
)
THRESHOLD_COLUMNS = ("label", "word", "n", "p_median", "p_high", "pictures", "noise", "empty", "dense", "noise_share")

#: Number of edge maps compared with the drawings of their class at a time.
_AT_ONCE = 128
_ROW_GROUP_ROWS = 1 << 16
_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Config:
    """Options: threshold of ink, limits of messiness, and drawings for comparison."""

    high: float = option(
        90.0, help="Percentile of its class above which an edge map is noise.", type=click.FloatRange(0, 100)
    )
    most_ink: float = option(
        0.35, help="Share of the pixels above which an edge map is noise in any class.", type=click.FloatRange(0, 1)
    )
    weakest: int = option(
        16, help="Minimum strength of an edge that counts as ink, 1 to 255.", type=click.IntRange(1, 255)
    )
    drawings: Path | None = option(
        None,
        help="Built data set of drawings, or folder of official ndjson files, to compare the edge maps with.",
        record=False,
        type=FOLDER,
        metavar="DIR",
    )
    drawings_per_class: int = option(
        256, help="Number of drawings of the class to compare with.", type=click.IntRange(1, 4096)
    )
    nearest: int = option(
        5, help="Number of nearest drawings over which the distance is averaged.", type=click.IntRange(1, 4096)
    )


def run(directory: Path, config: Config, engine: EngineOptions) -> AuditRecord | None:
    """Audit a folder of edge maps and return the record of the audit; None in an unfinished share of a job array.

    Raises:
        SketchDataError: The folder is missing or damaged, or its pictures are not edge maps.
        ConfigError: It is not an output of `edgemaps extract`, or there are no drawings for comparison.
    """
    folder, sample = _open(directory, config)
    if (finished := folder.finished()) is not None:
        return finished
    drawings = {} if sample is None else _prepare(folder, sample, engine)
    if drawings is None:
        return None
    settings = {
        "size": folder.manifest.config["size"],
        "black": folder.manifest.config["ink"] == "black",
        "weakest": config.weakest,
        "nearest": config.nearest,
        "sample": None if sample is None else sample.sha256,
        "drawings": {str(label): path for label, path in drawings.items()},
    }
    tasks = [folder.task(shard, settings) for _, shard in folder.shards()]
    if run_final(measure_shard, tasks, engine, title="Measuring edge maps") is None:
        return None
    found = _classify(folder, config)
    folder.begin()
    _write_table(folder, found)
    classes = _write_thresholds(folder, found)
    return folder.finish({MESSINESS_FILE: len(found.flag), THRESHOLDS_FILE: classes}, _counts(folder, found))


def _open(directory: Path, config: Config) -> tuple[AuditFolder, DrawingSample | None]:
    """Open the folder, and sample the drawings for comparison, if any."""
    folder = open_audit(directory, "messiness", {})
    if "ink" not in folder.manifest.config:
        raise ConfigError(
            f"{directory} ({folder.manifest.name}) holds no edge maps: curate what `sketchdata edgemaps extract` made"
        )
    words = [word for word in folder.manifest.classes if any(each[word] for each in folder.manifest.counts.values())]
    sample = None if config.drawings is None else sample_drawings(config.drawings, words, config.drawings_per_class)
    options = recorded(config) | {"few": FEW, "drawings": None}
    if sample is not None:
        options |= {"drawings": {"name": sample.origin, "sha256": sample.sha256, "classes": len(sample.classes)}}
        if missing := [word for word in words if word not in sample.classes]:
            more = f" and {len(missing) - _SHOWN:,} more" if len(missing) > _SHOWN else ""
            note = f"note: {config.drawings} has no drawings of {', '.join(missing[:_SHOWN])}{more}: scored without a "
            console.print(f"{note}distance", soft_wrap=True, highlight=False)
    return dataclasses.replace(folder, options=options), sample


# ---- first stage: the drawings of each class -------------------------------------------------------------------------


def _prepare(folder: AuditFolder, sample: DrawingSample, engine: EngineOptions) -> dict[int, str] | None:
    """Return {label: file of the templates of its class}; None in an unfinished share of a job array."""
    words = list(sample.classes)
    path = folder.work / "drawings.arrow"
    batches = [
        dataclasses.replace(batch, label=np.full(len(batch), number, np.uint16))
        for number, batch in enumerate(sample.classes.values())
    ]
    parquet.write_grouped(path, concatenate(batches), words)
    config = {name: folder.manifest.config[name] for name in ("size", "fill")}
    tasks = [
        Task(
            id=word,
            output=folder.work / "drawings" / f"{word}.npy",
            inputs={"drawings": sample.sha256},
            config={"drawings": str(path), "number": number, **config},
        )
        for number, word in enumerate(words)
    ]
    if run_stage(prepare_class, tasks, engine, title="Preparing drawings") is None:
        return None
    return {folder.manifest.classes.index(task.id): str(task.output) for task in tasks}


def prepare_class(task: Task) -> TaskResult:
    """Raster the drawings of a class like edge maps, and compute the distance of each pixel from their ink."""
    from sketchdata.edges import centre  # heavy, and only needed with --drawings

    batch = parquet.read_class(Path(task.config["drawings"]), task.config["number"])
    size, fill = task.config["size"], task.config["fill"]
    drawn = (raster(batch.slice(row, row + 1), size=size, threads=1)[0] for row in range(len(batch)))
    found = templates([ink_of(centre(each, size, fill, "white", 1), black=False, weakest=1) for each in drawn])
    with replacing(task.output) as file:
        np.save(file, np.stack([found.ink, found.distance]))
    return TaskResult(task_id=task.id, files=(file_entry(task.output, task.output.parent, len(batch)),))


# ---- second stage: measures of each edge map -------------------------------------------------------------------------


def measure_shard(task: Task) -> TaskResult:
    """Measure the edge maps of a shard, in the order of its rows."""
    size, black, weakest = (task.config[name] for name in ("size", "black", "weakest"))
    key_ids, labels, maps = [], [], list[Ink]()
    for table in read_pictures(task, ("key_id", "label", "image")):
        key_ids.append(table.column("key_id").to_numpy())
        labels.append(table.column("label").to_numpy())
        contents = zip(key_ids[-1].tolist(), pictures.image_bytes(table), strict=True)
        maps += [ink_of(_decode(key_id, content, size), black=black, weakest=weakest) for key_id, content in contents]
    label = np.concatenate(labels)
    distance = _distances(task, maps, label)
    columns = {"key_id": np.concatenate(key_ids), "label": label, **measure(maps), "distance": distance}
    return write_columns(task, columns)


def _decode(key_id: int, content: bytes, size: int) -> npt.NDArray[np.uint8]:
    try:
        picture = decode_map(content)
    except FormatError as error:
        raise SketchDataError(f"the picture {key_id} is {error}: extract the edge maps again") from error
    if len(picture) != size:
        raise SketchDataError(f"the picture {key_id} has a side of {len(picture)} pixels, and the manifest says {size}")
    return picture


def _distances(task: Task, maps: Sequence[Ink], label: npt.NDArray[np.uint16]) -> npt.NDArray[np.float64]:
    """Return the distance of each edge map from the drawings of its class, NaN if there are none."""
    found = np.full(len(maps), math.nan)
    for each in np.unique(label).tolist():
        if (path := task.config["drawings"].get(str(each))) is None:
            continue
        ink, distance = np.load(path)
        drawings = Templates(ink=ink, distance=distance, side=task.config["size"])
        rows = np.flatnonzero(label == each)
        for part in np.split(rows, range(_AT_ONCE, len(rows), _AT_ONCE)):
            own = [maps[row] for row in part.tolist()]
            found[part] = drawing_distances(own, drawings, nearest=task.config["nearest"])
    return found


# ---- scores, limits, flags -------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Found:
    """The measures of N edge maps of C classes, in the order of their rows.

    `columns` are those of SCHEMA except `split` and `flag`; `flag` (N,) int8 indexes FLAGS, −1 without a limit; `empty`
    and `dense` (N,) bool mark edge maps beyond the absolute limits.
    """

    columns: Mapping[str, npt.NDArray[Any]]
    split: npt.NDArray[np.int8]
    flag: npt.NDArray[np.int8]
    empty: npt.NDArray[np.bool_]
    dense: npt.NDArray[np.bool_]
    limits: ClassLimits


def _classify(folder: AuditFolder, config: Config) -> _Found:
    """Join the measures of the shards, and compare every edge map with the others of its class."""
    parts = [map_columns(folder.output(shard)) for _, shard in folder.shards()]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in ("key_id", "label", *MEASURES)}
    sizes = [len(part["label"]) for part in parts]
    split = np.repeat(np.array([folder.splits.index(split) for split, _ in folder.shards()], np.int8), sizes)
    label, density = columns["label"], columns["density"]
    empty, dense = density == 0, density > config.most_ink
    scores = score(columns, label, empty | dense)
    limits = ClassLimits.fit(_references(folder, label, scores), low=0, high=config.high)
    rank, verdict = limits.classify(label, scores)
    noise = (verdict == HIGH) | empty | dense
    flag = np.where(noise, FLAGS.index(NOISE_FLAG), np.where(verdict == UNJUDGED, -1, FLAGS.index(NORMAL_FLAG)))
    return _Found(
        columns={**columns, "score": scores, "percentile": rank},
        split=split,
        flag=flag.astype(np.int8),
        empty=empty,
        dense=dense,
        limits=limits,
    )


def _references(folder: AuditFolder, label: npt.NDArray[np.uint16], scores: npt.NDArray[np.float64]) -> list[Reference]:
    """Return the scores of each class within the absolute limits; none for a class with few edge maps."""
    rows = np.flatnonzero(scores < WORST)
    rows = rows[np.argsort(label[rows], kind="stable")]
    bounds = np.searchsorted(label[rows], np.arange(len(folder.manifest.classes) + 1)).tolist()
    own = [scores[rows[a:b]] if b - a >= FEW else np.empty(0) for a, b in pairwise(bounds)]
    return [reference(each, np.ones(len(each), np.int64)) for each in own]


def _write_table(folder: AuditFolder, found: _Found) -> None:
    arrays: dict[str, pa.Array] = {
        name: pa.array(values, mask=np.isnan(values) if values.dtype.kind == "f" else None)
        for name, values in found.columns.items()
    }
    for name, codes, words in (("split", found.split, folder.splits), ("flag", found.flag, FLAGS)):
        texts = pa.array(list(words), pa.string())
        arrays[name] = pa.DictionaryArray.from_arrays(pa.array(codes, mask=codes < 0), texts)
    with replacing(folder.path / MESSINESS_FILE) as file:
        pq.write_table(
            pa.Table.from_arrays([arrays[field.name] for field in SCHEMA], schema=SCHEMA),
            file,
            row_group_size=_ROW_GROUP_ROWS,
            compression="zstd",
            use_dictionary=["split", "label", "flag"],
            write_statistics=["key_id", "label"],
        )


def _write_thresholds(folder: AuditFolder, found: _Found) -> int:
    label, classes = found.columns["label"], folder.manifest.classes
    noise = found.flag == FLAGS.index(NOISE_FLAG)
    counts = [
        np.bincount(label[mask], minlength=len(classes)).tolist()
        for mask in (np.ones_like(noise), noise, found.empty, found.dense)
    ]
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(THRESHOLD_COLUMNS)
    rows = zip(classes, found.limits.references, found.limits.bounds.tolist(), *counts, strict=True)
    for number, (word, own, limits, pictures_, noisy, empty, dense) in enumerate(rows):
        share = noisy / pictures_ if pictures_ else math.nan
        texts = ["" if math.isnan(value) else repr(value) for value in (*limits[1:], share)]
        writer.writerow([number, word, len(own), *texts[:2], pictures_, noisy, empty, dense, texts[2]])
    with replacing(folder.path / THRESHOLDS_FILE) as file:
        file.write(lines.getvalue().encode("utf-8"))
    return len(classes)


def _counts(folder: AuditFolder, found: _Found) -> dict[str, Any]:
    label, unmeasured = found.columns["label"], np.isnan(found.columns["distance"])
    sizes = np.bincount(label, minlength=len(folder.manifest.classes))
    limited = np.array([len(own) > 0 for own in found.limits.references])
    noise = found.flag == FLAGS.index(NOISE_FLAG)
    return {
        "edge_maps": len(label),
        "normal": int((found.flag == FLAGS.index(NORMAL_FLAG)).sum()),
        "noise": int(noise.sum()),
        "messy": int((noise & ~found.empty & ~found.dense).sum()),
        "empty": int(found.empty.sum()),
        "dense": int(found.dense.sum()),
        "unjudged": int((found.flag < 0).sum()),
        "classes": int((sizes > 0).sum()),
        "classes_with_few": int(((sizes > 0) & ~limited).sum()),
        "classes_without_distance": len(np.unique(label[unmeasured])),
    }
