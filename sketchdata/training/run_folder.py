"""The folder of a training: what is trained there, how far it has come, and what came of it.

run.json                  what is trained, on which data, with which options
metrics.jsonl             a line every few steps, and one an epoch
checkpoints/              of the stage at work
stages/{stage}.safetensors    the best weights of a finished stage
model.safetensors         the network
training.json             the report, written last: its existence means that the training is whole
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import orjson
import torch

from sketchdata.engine.output_folder import claim_folder
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.storage.manifest import hash_file, replacing
from sketchdata.training.checkpoints import SUFFIX
from sketchdata.training.distributed import Ranks
from sketchdata.version import __version__

# The metrics of a training: a JSON object a line, and TensorBoard's files where they are wanted.


class MetricsLog:
    """A stage's lines, added to those of the stages before it."""

    def __init__(self, file: BinaryIO, stage: str, board: Any) -> None:
        self._file, self._stage, self._board = file, stage, board

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        """Add a line: `stage`, `step`, and numbers by name; a line that ends an epoch has `epoch` among them."""
        self._file.write(
            orjson.dumps({"stage": self._stage, "step": step, **numbers}, option=orjson.OPT_APPEND_NEWLINE)
        )
        if self._board is not None:
            for name, value in numbers.items():
                self._board.add_scalar(f"{self._stage}/{name}", value, step)

    def flush(self) -> None:
        """See to it that what was written is in the file."""
        self._file.flush()
        if self._board is not None:
            self._board.flush()


@contextmanager
def opened_log(path: Path, stage: str, *, step: int, epochs: int, board: Path | None) -> Iterator[MetricsLog]:
    """Open the log of a stage that goes on after some steps; what later steps wrote goes, as they are taken again.

    Args:
        path: The file; it need not exist.
        stage: The stage's name.
        step: Steps that count.
        epochs: Epochs that were brought to their end.
        board: Folder for TensorBoard's files; None writes none.

    Raises:
        ConfigError: TensorBoard is wanted and not installed.
    """
    kept = [line for line in read_lines(path) if line["stage"] != stage or _counts(line, step, epochs)]
    writer = None if board is None else _board(board, stage, step)
    with replacing(path) as file:
        file.writelines(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in kept)
    try:
        with path.open("ab") as file:
            yield MetricsLog(file, stage, writer)
    finally:
        if writer is not None:
            writer.close()


def _counts(line: Mapping[str, Any], step: int, epochs: int) -> bool:
    return bool(line["epoch"] <= epochs if "epoch" in line else line["step"] <= step)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a log; one that a kill cut off is left out."""
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return [orjson.loads(line) for line in lines if line.endswith(b"}\n")]


def _board(folder: Path, stage: str, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError as error:
        raise ConfigError("--tensorboard needs tensorboard, which is not installed: pip install tensorboard") from error
    writer: Any = SummaryWriter
    return writer(log_dir=str(folder / stage), purge_step=step)


def stage_seconds(path: Path) -> dict[str, float]:
    """Return how long each stage took, pauses left out: {stage: seconds}."""
    return {line["stage"]: float(line["seconds"]) for line in read_lines(path) if "seconds" in line}


RECORD, REPORT, METRICS, MODEL = "run.json", "training.json", "metrics.jsonl", f"model{SUFFIX}"
CHECKPOINTS, STAGES = "checkpoints", "stages"


@dataclass(frozen=True, kw_only=True)
class RunFolder:
    """A training's folder, as one of its processes sees it.

    Attributes:
        path: Where it is.
        ranks: Who this process is.
    """

    path: Path
    ranks: Ranks

    def stage_path(self, name: str) -> Path:
        """Return where a finished stage has its best weights."""
        return _stage_path(self.path, name)

    def take(self, other: Path, stages: Iterable[str]) -> None:
        """Copy finished stages of another training, unless they are here already."""
        for stage in stages:
            if self.ranks.leads and not self.stage_path(stage).exists():
                with replacing(self.stage_path(stage)) as file:
                    file.write(_stage_path(other, stage).read_bytes())
        self.ranks.wait()

    def report(self) -> dict[str, Any] | None:
        """Return the report of a training that is whole already; None of any other."""
        return read_json(self.path / REPORT) if (self.path / REPORT).exists() else None

    def finish(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Write the report, which makes the training whole, and return it."""
        whole = {
            **facts,
            "device": str(self.ranks.device),
            "processes": self.ranks.world,
            "torch": torch.__version__,
            "version": __version__,
        }
        if self.ranks.leads:
            _write_json(self.path / REPORT, whole)
        return whole


def _stage_path(run: Path, name: str) -> Path:
    return run / STAGES / f"{name}{SUFFIX}"


def open_run(path: Path, facts: Mapping[str, Any], *, resume: bool, ranks: Ranks) -> RunFolder:
    """Begin a training in a folder, or go on with it.

    Args:
        path: New, empty, or the folder of this very training.
        facts: What makes the training what it is: `trainer`, `options`, `classes`, `manifest`.
        resume: Whether to go on with one that was stopped.
        ranks: Who this process is.

    Raises:
        ConfigError: The folder holds something else, another training, or one that was stopped without `resume`; or
            there is nothing to go on with.
        SketchDataError: Its record is damaged.
    """
    record = path / RECORD
    if record.exists():
        _check_same(path, read_json(record), facts)
        if not resume and not (path / REPORT).exists():
            raise ConfigError(f"{path} holds a training that was stopped: take --resume, or another --out")
    elif resume and not (path.is_dir() and any(path.iterdir())):
        raise ConfigError(f"--resume: there is no training in {path}; leave out --resume to begin")
    else:
        claim_folder(path, own=())
    # No process writes before all have looked.
    ranks.wait()
    if ranks.leads and not record.exists():
        _write_json(record, facts)
    # And none reads the record before it is there.
    ranks.wait()
    return RunFolder(path=path, ranks=ranks)


def _check_same(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    classes, own = before.get("classes") or [], list(now["classes"])
    if before.get("trainer") != now["trainer"]:
        raise ConfigError(f"{path} holds a training of another kind, {before.get('trainer')}: choose another --out")
    then, options = before.get("options") or {}, now["options"]
    changed = [f"--{name.replace('_', '-')} {then.get(name)}" for name in options if then.get(name) != options[name]]
    if changed:
        raise ConfigError(f"{path} holds a training with {', '.join(changed)}: take that, or another --out")
    if classes != own:
        raise ConfigError(
            f"{path} holds a training on another class table, {_some(classes)}, and the data set has {_some(own)}: "
            "take its own --data, or another --out"
        )
    if before.get("zero_shot") != now.get("zero_shot"):
        raise ConfigError(
            f"{path} holds a training with other seen and unseen classes, or other class vectors: take those, or "
            "another --out"
        )
    if before.get("manifest") != now["manifest"]:
        raise ConfigError(f"{path} holds a training on another data set of these classes: take that, or another --out")


def usable_stages(other: Path, facts: Mapping[str, Any], without: Mapping[str, Set[str]]) -> dict[str, str]:
    """Return which finished stages of another training would come out the same here.

    Args:
        other: The other training's folder, finished or not.
        facts: What is trained here, as `open_run` takes it.
        without: {stage: the options on which it does not depend}.

    Returns:
        {stage: sha256 of its file}.

    Raises:
        ConfigError: There is none; it says what differs.
        SketchDataError: The folder is no training's, or its record is damaged.
    """
    before = read_record(other)
    finished = {stage: path for stage in without if (path := _stage_path(other, stage)).is_file()}
    differing = {stage: _differing(before, facts, without[stage]) for stage in finished}
    usable = {stage: hash_file(path, "sha256") for stage, path in finished.items() if not differing[stage]}
    if not usable:
        names = sorted({name for stage in differing.values() for name in stage})
        reason = f"it has another {', '.join(names)}" if names else "it has finished none yet"
        raise ConfigError(f"--pretrained {other}: none of its stages can be used here, since {reason}")
    return usable


def _differing(before: Mapping[str, Any], now: Mapping[str, Any], ignored: Set[str]) -> list[str]:
    """Return what differs between two trainings, but for some options."""
    then, options = before.get("options") or {}, now["options"]
    data = ["--data"] if (before.get("manifest"), before.get("classes")) != (now["manifest"], now["classes"]) else []
    names = (set(then) | set(options)) - ignored
    return data + [f"--{name.replace('_', '-')}" for name in sorted(names) if then.get(name) != options.get(name)]


def _some(classes: list[str]) -> str:
    more = ", …" if len(classes) > 3 else ""
    return f"{len(classes):,} classes ({', '.join(classes[:3])}{more})"


def read_record(path: Path) -> dict[str, Any]:
    """Return what a run folder says of its training: trainer, options, classes and data.

    Raises:
        SketchDataError: It is no run folder.
    """
    if not (path / RECORD).is_file():
        raise SketchDataError(f"{path} is no folder of a training: it has no {RECORD}")
    return read_json(path / RECORD)


def read_json(path: Path) -> dict[str, Any]:
    """Return the values in a file of a run folder.

    Raises:
        SketchDataError: It is damaged.
    """
    try:
        return dict(orjson.loads(path.read_bytes()))
    except (ValueError, TypeError) as error:
        raise SketchDataError(f"{path} is damaged ({error}): begin again in another --out") from error


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    with replacing(path) as file:
        file.write(orjson.dumps(values, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
