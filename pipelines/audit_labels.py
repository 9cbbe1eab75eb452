"""Audit the labels of a data set of drawings: drawings that are probably of another class.

`measure_shard` computes the features of a shard's drawings; `train_fold` trains a network on the drawings outside one
fold; `rate_shard` and `classify_shard` give each drawing to the network of its fold, first for its self-confidence,
from which the thresholds of the classes are computed, then for its confident class. No step holds the probabilities of
all drawings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sketchdata.config import FOLDER, option, recorded
from sketchdata.curation.audit import (
    LABELS_FILE,
    NAMES,
    OK_FLAG,
    SUSPECT_FLAG,
    AuditFolder,
    AuditRecord,
    map_columns,
    map_table,
    name_column,
    open_audit,
    read_shard,
    write_columns,
)
from sketchdata.curation.labels import (
    FEATURES,
    Probabilities,
    Recogniser,
    calibrated_joint,
    class_thresholds,
    confident_class,
    confident_joint,
    folds_of,
    line_features,
    normalised_margin,
    self_confidence,
    train_recogniser,
)
from sketchdata.drawings.sampling import first_of_each, ranks
from sketchdata.engine import EngineOptions, Task, TaskResult, run_final
from sketchdata.engine import run as run_stage
from sketchdata.errors import ConfigError, needs_extra
from sketchdata.storage.manifest import file_entry, hash_file, read_manifest, replacing

SUSPECTS_FILE, JOINT_FILE = "suspects.csv", "label_errors.csv"
#: The values of the column `flag`.
LABEL_FLAGS = (OK_FLAG, SUSPECT_FLAG)
#: The record lists so many pairs of classes.
_PAIRS = 20

LABELS_SCHEMA = pa.schema(
    [
        pa.field("key_id", pa.uint64(), nullable=False),
        pa.field("split", NAMES, nullable=False),
        pa.field("label", pa.uint16(), nullable=False),
        pa.field("confidence", pa.float32(), nullable=False),
        pa.field("margin", pa.float32(), nullable=False),
        pa.field("suggested", pa.uint16(), nullable=False),
        pa.field("suggested_confidence", pa.float32(), nullable=False),
        pa.field("flag", NAMES, nullable=False),
    ]
)
SUSPECT_COLUMNS = ("key_id", "split", "word", "suggested", "confidence", "suggested_confidence", "margin")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Options: the folds and the training of their networks, or a trained run."""

    folds: int = option(
        3, help="Number of folds; each is judged by a network of the others.", type=click.IntRange(2, 20)
    )
    epochs: int = option(20, help="Passes of each training over its drawings.", type=click.IntRange(1, 1000))
    per_class: int = option(
        1000, help="At most so many drawings per class train a network.", type=click.IntRange(1, 1_000_000)
    )
    seed: int = option(0, help="Seed of the folds and of the networks.", type=click.IntRange(0, 2**64 - 1))
    run: Path | None = option(
        None,
        help="Use the probabilities of this run of `train recognition` instead. It must not have seen the drawings.",
        record=False,
        type=FOLDER,
    )


def audit_labels(directory: Path, config: Config, engine: EngineOptions) -> AuditRecord | None:
    """Audit the labels and return the record of the audit; None in an unfinished share of a job array.

    Raises:
        SketchDataError: The data set is missing or damaged, or a raw drawing is not finite.
        ConfigError: The drawings are of one class, a fold leaves no drawing to train on, or the run does not know a
            class.
    """
    model = None if config.run is None else _check_run(directory, config.run)
    options = recorded(config) if model is None else {"run": model}
    folder = open_audit(directory, "labels", options)
    if (finished := folder.finished()) is not None:
        return finished
    present = sum(1 for word in folder.manifest.classes if any(c[word] for c in folder.manifest.counts.values()))
    if present < 2:
        raise ConfigError(f"{directory} has drawings of {present} class, and labels are audited between classes")
    settings: dict[str, Any] = {"folds": config.folds, "seed": config.seed}
    inputs: dict[str, str] = {}
    if model is None:
        trained = _train(folder, config, engine)
        if trained is None:
            return None
        inputs = {f"fold {number}": result.files[0].sha256 for number, result in enumerate(trained)}
        settings["networks"] = [str(_network(folder, number)) for number in range(config.folds)]
    else:
        settings |= {"run": str(Path(str(config.run)).absolute()), "directory": str(folder.directory)}
        inputs = {"run": model}
    rated = _tasks(folder, "rated", settings, inputs)
    if run_stage(rate_shard, rated, engine, title="Rating labels") is None:
        return None
    label, confidence = _joined([task.output for task in rated], "label", "confidence")
    thresholds = class_thresholds(confidence, label, len(folder.manifest.classes))
    path = folder.work / "thresholds.npy"
    with replacing(path) as file:
        np.save(file, thresholds)
    inputs["thresholds"] = hash_file(path, "sha256")
    found = _tasks(folder, "found", {**settings, "thresholds": str(path)}, inputs)
    if run_final(classify_shard, found, engine, title="Comparing labels") is None:
        return None
    return _finish(folder)


def _check_run(directory: Path, run: Path) -> str:
    """Return the sha256 of a run's model, which must know every class of the data set."""
    with needs_extra("--run", "train"):
        from sketchdata.training.encoder import read_encoder
        from sketchdata.training.run_folder import MODEL
    known, manifest = set(read_encoder(run).classes), read_manifest(directory)
    if unknown := [word for word in manifest.classes if word not in known]:
        raise ConfigError(
            f"--run {run} does not know {len(unknown):,} of the {len(manifest.classes):,} classes, such as "
            f"{unknown[0]}: leave --run out, and the audit trains its own networks"
        )
    return hash_file(run / MODEL, "sha256")


def _network(folder: AuditFolder, number: int) -> Path:
    return folder.work / "networks" / f"{number}.npz"


def _tasks(folder: AuditFolder, part: str, config: Mapping[str, Any], inputs: Mapping[str, str]) -> list[Task]:
    """Return the tasks of a stage that applies the networks, one per shard."""
    tasks = []
    for _, shard in folder.shards():
        task = folder.task(shard, {**config, "features": str(folder.output(shard, "features"))}, part)
        tasks.append(Task(id=task.id, output=task.output, inputs={**task.inputs, **inputs}, config=task.config))
    return tasks


# ---- out-of-fold probabilities ---------------------------------------------------------------------------------------


def _train(folder: AuditFolder, config: Config, engine: EngineOptions) -> list[TaskResult] | None:
    measured = [folder.task(shard, {}, "features") for _, shard in folder.shards()]
    if (results := run_stage(measure_shard, measured, engine, title="Measuring drawings")) is None:
        return None
    (key_id,) = _joined([task.output for task in measured], "key_id")
    taken = np.bincount(folds_of(key_id, config.folds, config.seed), minlength=config.folds)
    if (taken == len(key_id)).any():
        raise ConfigError(
            f"{folder.directory} has {len(key_id):,} drawings, all in one of the {config.folds} folds: more are needed"
        )
    tasks = [
        Task(
            id=f"fold {number}",
            output=_network(folder, number),
            inputs={result.task_id: result.files[0].sha256 for result in results},
            config={
                "features": [str(task.output) for task in measured],
                "classes": len(folder.manifest.classes),
                "number": number,
                **recorded(config),
            },
        )
        for number in range(config.folds)
    ]
    return run_stage(train_fold, tasks, engine, title="Training networks")


def measure_shard(task: Task) -> TaskResult:
    """Compute the features of a shard's drawings, in the order of its rows."""
    columns: dict[str, list[npt.NDArray[Any]]] = {"key_id": [], "label": [], "features": []}
    for batch in read_shard(task):
        columns["key_id"].append(batch.key_id)
        columns["label"].append(batch.label)
        columns["features"].append(line_features(batch))
    features = np.concatenate(columns.pop("features"))
    stored = pa.Array.from_buffers(pa.binary(FEATURES), len(features), [None, pa.py_buffer(features.tobytes())])
    return write_columns(task, {**{name: np.concatenate(own) for name, own in columns.items()}, "features": stored})


def train_fold(task: Task) -> TaskResult:
    """Train the network that judges one fold, on the drawings of the others."""
    settings, features, labels, order = task.config, [], [], []
    for path in map(Path, settings["features"]):
        columns = map_columns(path, ["key_id", "label"])
        others = folds_of(columns["key_id"], settings["folds"], settings["seed"]) != settings["number"]
        features.append(_features(path)[others])
        labels.append(columns["label"][others])
        order.append(ranks(columns["key_id"][others], settings["seed"]))
    label = np.concatenate(labels)
    rows = first_of_each(label, settings["per_class"], np.concatenate(order))
    network = train_recogniser(
        np.concatenate(features)[rows],
        label[rows],
        settings["classes"],
        epochs=settings["epochs"],
        seed=settings["seed"] + settings["number"],
    )
    network.write(task.output)
    return TaskResult(task_id=task.id, files=(file_entry(task.output, task.output.parent, len(rows)),))


def _features(path: Path) -> npt.NDArray[np.uint8]:
    chunks = map_table(path).column("features").chunks
    parts = [np.frombuffer(chunk.buffers()[1], np.uint8).reshape(-1, FEATURES) for chunk in chunks if len(chunk)]
    return np.concatenate([np.empty((0, FEATURES), np.uint8), *parts])


def _shard_probabilities(task: Task) -> Iterator[tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint16], Probabilities]]:
    """Yield key_ids, labels and (N, C) probabilities of a shard's drawings, in the order of its rows."""
    if "run" in task.config:
        yield from _run_probabilities(task)
        return
    path = Path(task.config["features"])
    columns, features = map_columns(path, ["key_id", "label"]), _features(path)
    fold = folds_of(columns["key_id"], task.config["folds"], task.config["seed"])
    found = np.empty((len(fold), task.config["classes"]), np.float32)
    for number, network in enumerate(task.config["networks"]):
        found[fold == number] = Recogniser.read(Path(network)).probabilities(features[fold == number])
    yield columns["key_id"], columns["label"], found


def _run_probabilities(task: Task) -> Iterator[tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint16], Probabilities]]:
    from sketchdata.training.encoder import embed, probabilities, read_encoder
    from sketchdata.training.packed import pack

    trained = read_encoder(Path(task.config["run"]))
    classes = read_manifest(Path(task.config["directory"])).classes
    places = [trained.classes.index(word) for word in classes]
    for batch in read_shard(task):
        found = probabilities(trained, embed(trained, pack([batch], classes)))[:, places]
        yield batch.key_id, batch.label, found / np.maximum(found.sum(axis=1, keepdims=True), 1e-12)


# ---- confident learning ----------------------------------------------------------------------------------------------


def rate_shard(task: Task) -> TaskResult:
    """Compute the self-confidence of a shard's drawings."""
    columns: dict[str, list[npt.NDArray[Any]]] = {"label": [], "confidence": []}
    for _, label, found in _shard_probabilities(task):
        columns["label"].append(label)
        columns["confidence"].append(self_confidence(found, label))
    return write_columns(task, {name: np.concatenate(own) for name, own in columns.items()})


def classify_shard(task: Task) -> TaskResult:
    """Find the confident class of a shard's drawings, and the class to suggest."""
    thresholds, parts = np.load(task.config["thresholds"]), []
    for key_id, label, found in _shard_probabilities(task):
        confident = confident_class(found, thresholds)
        others = found.copy()
        others[np.arange(len(label)), label] = -1
        suspect = (confident >= 0) & (confident != label)
        suggested = np.where(suspect, confident, others.argmax(axis=1))
        parts.append(
            {
                "key_id": key_id,
                "label": label,
                "confidence": self_confidence(found, label),
                "margin": normalised_margin(found, label),
                "confident": confident,
                "suggested": suggested.astype(np.uint16),
                "suggested_confidence": found[np.arange(len(label)), suggested],
            }
        )
    return write_columns(task, {name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def _joined(paths: Sequence[Path], *names: str) -> list[npt.NDArray[Any]]:
    parts = [map_columns(path, list(names)) for path in paths]
    return [np.concatenate([part[name] for part in parts]) for name in names]


def _finish(folder: AuditFolder) -> AuditRecord:
    classes = folder.manifest.classes
    outputs = [folder.output(shard, "found") for _, shard in folder.shards()]
    folder.begin()
    suspects: list[tuple[float, Sequence[object]]] = []
    rows = recognised = 0
    with (
        replacing(folder.path / LABELS_FILE) as file,
        pq.ParquetWriter(file, LABELS_SCHEMA, compression="zstd", use_dictionary=["split", "label", "flag"]) as writer,
    ):
        for (split, _), path in zip(folder.shards(), outputs, strict=True):
            columns = map_columns(path)
            flag = (columns["confident"] >= 0) & (columns["confident"] != columns["label"])
            names = ("key_id", "label", "confidence", "margin", "suggested", "suggested_confidence")
            arrays = {name: pa.array(columns[name]).cast(LABELS_SCHEMA.field(name).type) for name in names}
            arrays["split"] = name_column(np.full(len(flag), folder.splits.index(split)), folder.splits)
            arrays["flag"] = name_column(flag.astype(np.int8), LABEL_FLAGS)
            writer.write_table(pa.table([arrays[name] for name in LABELS_SCHEMA.names], schema=LABELS_SCHEMA))
            rows += len(flag)
            # A label with a positive margin, stored as above one half, is the most probable one.
            recognised += int((columns["margin"] > 0.5).sum())
            for row in np.flatnonzero(flag).tolist():
                own = {name: column[row].item() for name, column in columns.items()}
                words = classes[own["label"]], classes[own["suggested"]]
                numbers = (f"{own[name]:.4f}" for name in ("confidence", "suggested_confidence", "margin"))
                suspects.append((own["confidence"], [own["key_id"], split, *words, *numbers]))
    suspects.sort(key=lambda each: each[0])
    folder.write_csv(SUSPECTS_FILE, [SUSPECT_COLUMNS, *(row for _, row in suspects)])
    label, confident = _joined(outputs, "label", "confident")
    joint = confident_joint(label, confident, len(classes))
    estimated = calibrated_joint(joint, label)
    np.fill_diagonal(joint, 0)
    pairs = sorted(zip(*np.nonzero(joint), strict=True), key=lambda pair: (-joint[pair], pair))
    lines = [[classes[a], classes[b], int(joint[a, b]), f"{estimated[a, b]:.2f}"] for a, b in pairs]
    folder.write_csv(JOINT_FILE, [("word", "suggested", "suspects", "estimated_errors"), *lines])
    errors = float(estimated.sum() - np.trace(estimated))
    counts = {
        "drawings": rows,
        "suspects": len(suspects),
        "estimated_errors": round(errors, 1),
        "recognised": round(recognised / max(rows, 1), 4),
        "pairs": [
            {"word": word, "suggested": other, "suspects": count, "estimated_errors": float(estimate)}
            for word, other, count, estimate in lines[:_PAIRS]
        ],
    }
    return folder.finish({LABELS_FILE: rows, SUSPECTS_FILE: len(suspects), JOINT_FILE: len(lines)}, counts)
