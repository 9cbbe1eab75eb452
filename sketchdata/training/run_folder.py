"""The folder of a training: what is trained there, how far it has come, and what came of it.

run.json                  what is trained, on which data, with which options
metrics.jsonl             a line every few steps, and one per epoch
checkpoints/              of the stage at work
stages/{stage}.safetensors    the best weights of a finished stage
model.safetensors         the network
training.json             the report, written last: its existence means that the training has finished
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, BinaryIO, TypedDict

import orjson
import torch
from msgspec import Meta
from torch import Tensor

from sketchdata import __version__
from sketchdata.engine.output_folder import claim_folder
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.progress import console
from sketchdata.storage.manifest import hash_file, leftovers, replacing
from sketchdata.storage.records import Fields, decode_fields
from sketchdata.storage.tensors import SUFFIX, read_tensors, write_tensors
from sketchdata.training.distributed import DistributedContext


class MetricsLog:
    """A stage's lines, added to those of the stages before it: JSON, and TensorBoard's files where they are wanted."""

    def __init__(self, file: BinaryIO, stage: str, board: Any) -> None:
        self._file, self._stage, self._board = file, stage, board

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Add a line: `stage`, `step`, and values by name; a line that ends an epoch has `epoch` among them."""
        line = {"stage": self._stage, "step": step, **values}
        self._file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(f"{self._stage}/{name}", value, step)

    def flush(self) -> None:
        """Write what is buffered to the file."""
        self._file.flush()
        if self._board is not None:
            self._board.flush()


@contextmanager
def opened_log(path: Path, stage: str, *, step: int, epochs: int, board: Path | None) -> Iterator[MetricsLog]:
    """Open the log of a stage that goes on, without the lines of steps that will be taken again.

    Args:
        path: The file; it need not exist.
        stage: The stage's name.
        step: Steps that were taken.
        epochs: Epochs that were finished.
        board: Folder for TensorBoard's files; None writes none.

    Raises:
        ConfigError: TensorBoard is wanted and not installed.
    """
    kept = [
        line
        for line in read_lines(path)
        if line["stage"] != stage or (line["epoch"] <= epochs if "epoch" in line else line["step"] <= step)
    ]
    writer: Any = None
    if board is not None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ModuleNotFoundError as error:
            raise ConfigError(
                "--tensorboard needs tensorboard, which is not installed: pip install tensorboard"
            ) from error
        make: Any = SummaryWriter
        writer = make(log_dir=str(board / stage), purge_step=step)
    with replacing(path) as file:
        file.writelines(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in kept)
    try:
        with path.open("ab") as file:
            yield MetricsLog(file, stage, writer)
    finally:
        if writer is not None:
            writer.close()


class _MetricsLine(TypedDict, total=False):
    stage: str
    epoch: int
    step: int
    seconds: float


def read_lines(path: Path) -> list[Fields]:
    """Return the lines of a log; one that a kill cut off is left out."""
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    whole = [line for line in lines if line.endswith(b"}\n")]
    return [decode_fields(line, _MetricsLine, f"{path}, line {number}") for number, line in enumerate(whole, 1)]


def stage_seconds(path: Path) -> dict[str, float]:
    """Return how long each stage took, pauses left out: {stage: seconds}."""
    return {line["stage"]: float(line["seconds"]) for line in read_lines(path) if "seconds" in line}


@dataclass(frozen=True, kw_only=True)
class CheckpointFolder:
    """The checkpoints of one stage of a training, numbered by the steps taken.

    Attributes:
        directory: Their folder, in which other stages may have theirs.
        stage: The stage's name.
        keep: How many of the newest to keep.
    """

    directory: Path
    stage: str
    keep: int = 3

    def save(self, step: int, tensors: Mapping[str, Tensor], facts: Mapping[str, Any], best: int | None) -> None:
        """Write a checkpoint, then remove the oldest ones; the checkpoint of the step `best` always stays.

        Raises:
            SketchDataError: It cannot be written; the earlier ones are all there.
        """
        write_tensors(self._path(step), tensors, {**facts, "stage": self.stage, "step": step})
        for old in self.steps()[: -self.keep]:
            if old != best:
                self._path(old).unlink()
        self._sweep()

    def read(self, step: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Read the checkpoint after some steps.

        Raises:
            SketchDataError: It is not there, or damaged.
        """
        return read_tensors(self._path(step))

    def newest(self) -> tuple[Path, dict[str, Tensor], dict[str, Any]] | None:
        """Read the newest checkpoint that is whole: its path, tensors and facts; None when none is whole.

        Raises:
            SketchDataError: There are some, and all of them are damaged.
        """
        damage = None
        for step in reversed(self.steps()):
            try:
                found = self.read(step)
            except SketchDataError as error:
                damage = damage or error
                continue
            if damage:
                console.print(f"{damage}; going on from the checkpoint of step {step:,}", soft_wrap=True)
            return self._path(step), *found
        if damage:
            raise SketchDataError(f"{damage}; no other checkpoint is left: start again in another --out")
        return None

    def steps(self) -> list[int]:
        """Return after how many steps there are checkpoints, rising."""
        name = re.compile(rf"{re.escape(self.stage)}-(\d+){re.escape(SUFFIX)}")
        found = (name.fullmatch(path.name) for path in self.directory.glob(f"*{SUFFIX}"))
        return sorted(int(match[1]) for match in found if match)

    def clear(self) -> None:
        """Remove all checkpoints of the stage."""
        for step in self.steps():
            self._path(step).unlink()
        self._sweep()

    def _path(self, step: int) -> Path:
        return self.directory / f"{self.stage}-{step:08d}{SUFFIX}"

    def _sweep(self) -> None:
        for path in leftovers(self.directory):
            path.unlink(missing_ok=True)


RECORD, REPORT, METRICS, MODEL = "run.json", "training.json", "metrics.jsonl", f"model{SUFFIX}"
CHECKPOINTS, STAGES = "checkpoints", "stages"


class _Weights(TypedDict):
    source: str
    sha256: str


class _ZeroShot(TypedDict, total=False):
    classes: list[str]
    seen: list[str]
    validation: list[str]
    unseen: list[str]
    left_out: list[str]


class _Record(TypedDict, total=False):
    trainer: str
    options: dict[str, Any]
    classes: list[str]
    data: Annotated[str, Meta(pattern=r"^[^\0]*$")]
    table: Annotated[str, Meta(pattern=r"^[^\0]*$")]
    unseen: list[str]
    weights: _Weights | None
    pretrained: dict[str, str]
    zero_shot: _ZeroShot | None


class _Stage(TypedDict):
    stage: Any
    best_epoch: Any
    epochs: Any


class _Recogniser(TypedDict):
    method: str
    source: str
    validation_hit: float | None


class _TrainingReport(TypedDict, total=False):
    stages: list[_Stage]
    edge_maps: dict[str, int]
    drawings: int
    classes: int
    parameters: int
    seconds: float
    chance_of_validation: float | None
    recognisers: list[_Recogniser]


@dataclass(frozen=True, kw_only=True)
class RunFolder:
    """A training's folder, as one of its processes sees it."""

    path: Path
    context: DistributedContext

    def stage_path(self, name: str) -> Path:
        """Return the file of a finished stage's best weights."""
        return _stage_path(self.path, name)

    def copy_stages(self, other: Path, stages: Iterable[str]) -> None:
        """Copy finished stages of another training, unless they are here already."""
        for stage in stages:
            if self.context.is_main and not self.stage_path(stage).exists():
                with replacing(self.stage_path(stage)) as file:
                    file.write(_stage_path(other, stage).read_bytes())
        self.context.barrier()

    def report(self) -> dict[str, Any] | None:
        """Return the report of a finished training; None of any other."""
        return read_json(self.path / REPORT, _TrainingReport) if (self.path / REPORT).exists() else None

    def finish(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Write the report, which finishes the training, and return it."""
        whole = {
            **facts,
            "device": str(self.context.device),
            "processes": self.context.world_size,
            "torch": torch.__version__,
            "version": __version__,
        }
        if self.context.is_main:
            write_json(self.path / REPORT, whole)
        return whole


def _stage_path(run: Path, name: str) -> Path:
    return run / STAGES / f"{name}{SUFFIX}"


def open_run(path: Path, facts: Mapping[str, Any], *, resume: bool, context: DistributedContext) -> RunFolder:
    """Begin a training in a folder, or go on with it.

    Args:
        path: New, empty, or the folder of this very training.
        facts: What must be the same to go on: `trainer`, `options`, `classes`, `manifest`.
        resume: Whether to go on with a training that was stopped.
        context: This process.

    Raises:
        ConfigError: The folder holds something else, another training, or one that was stopped without `resume`; or
            there is nothing to go on with.
        SketchDataError: Its record is damaged.
    """
    record = path / RECORD
    if record.exists():
        _check_same(path, read_json(record, _Record), facts)
        if not resume and not (path / REPORT).exists():
            raise ConfigError(f"{path} holds a training that was stopped: use --resume, or another --out")
    elif resume and not (path.is_dir() and any(path.iterdir())):
        raise ConfigError(f"--resume: there is no training in {path}; leave out --resume to begin")
    else:
        claim_folder(path, own=())
    # No process writes before all have looked.
    context.barrier()
    if context.is_main and not record.exists():
        write_json(record, facts)
    # And none reads the record before it is there.
    context.barrier()
    return RunFolder(path=path, context=context)


def _check_same(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    classes, own = before.get("classes") or [], list(now["classes"])
    if before.get("trainer") != now["trainer"]:
        raise ConfigError(f"{path} holds a training of another kind, {before.get('trainer')}: choose another --out")
    then, options = before.get("options") or {}, now["options"]
    changed = [f"--{name.replace('_', '-')} {then.get(name)}" for name in options if then.get(name) != options[name]]
    if changed:
        raise ConfigError(f"{path} holds a training with {', '.join(changed)}: use that, or another --out")
    if classes != own:
        raise ConfigError(
            f"{path} holds a training on another class table, {_some(classes)}, and the data set has {_some(own)}: "
            "use its own --data, or another --out"
        )
    if before.get("zero_shot") != now.get("zero_shot"):
        raise ConfigError(
            f"{path} holds a training with other seen and unseen classes, or other class vectors: take those, or "
            "another --out"
        )
    if before.get("manifest") != now["manifest"]:
        raise ConfigError(f"{path} holds a training on another data set of these classes: use that, or another --out")


def usable_stages(other: Path, facts: Mapping[str, Any], without: Mapping[str, Set[str]]) -> dict[str, str]:
    """Return the finished stages of another training that would come out the same here: {stage: sha256 of its file}.

    Args:
        other: The other training's folder, finished or not.
        facts: What is trained here, as `open_run` takes it.
        without: {stage: the options on which it does not depend}.

    Raises:
        ConfigError: There is none; it says what differs.
        SketchDataError: The folder is not that of a training, or its record is damaged.
    """
    before = read_record(other)
    finished = {stage: path for stage in without if (path := _stage_path(other, stage)).is_file()}
    then, options = before.get("options") or {}, facts["options"]
    data = (
        ["--data"] if (before.get("manifest"), before.get("classes")) != (facts["manifest"], facts["classes"]) else []
    )
    changed = [name for name in sorted({*then, *options}) if then.get(name) != options.get(name)]
    differing = {
        stage: data + [f"--{name.replace('_', '-')}" for name in changed if name not in without[stage]]
        for stage in finished
    }
    usable = {stage: hash_file(path, "sha256") for stage, path in finished.items() if not differing[stage]}
    if not usable:
        names = sorted({name for stage in differing.values() for name in stage})
        reason = f"it has another {', '.join(names)}" if names else "it has finished none yet"
        raise ConfigError(f"--pretrained {other}: none of its stages can be used here, since {reason}")
    return usable


def _some(classes: list[str]) -> str:
    more = ", …" if len(classes) > 3 else ""
    return f"{len(classes):,} classes ({', '.join(classes[:3])}{more})"


def read_record(path: Path) -> Fields:
    """Return what a run folder says of its training: trainer, options, classes and data.

    Raises:
        SketchDataError: It is not a run folder.
    """
    if not (path / RECORD).is_file():
        raise SketchDataError(f"{path} is not the folder of a training: it has no {RECORD}")
    return read_json(path / RECORD, _Record)


def table_of(record: Mapping[str, Any]) -> Path | None:
    """Return the class table that a training was given for its tars."""
    return Path(record["table"]) if "table" in record else None


def read_json(path: Path, kind: type[Mapping[str, Any]] = dict[str, Any]) -> Fields:
    """Return the fields in a file of a run folder, those of a TypedDict with its types.

    Raises:
        SketchDataError: It is damaged.
    """
    return decode_fields(path.read_bytes(), kind, path, "start again in another --out")


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write values as indented JSON, whole or not at all."""
    with replacing(path) as file:
        file.write(orjson.dumps(values, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
