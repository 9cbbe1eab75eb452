"""The folder of a training: what is trained there, how far it has come, and what came of it.

run.json                  what is trained, on which data, with which options
metrics.jsonl             a line every few steps, and one an epoch
checkpoints/              of the stage at work
stages/{stage}.safetensors    the best weights of a finished stage
model.safetensors         the network
training.json             the report, written last: its existence means that the training is whole
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import torch

from sketchdata.checkpoints import SUFFIX
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.manifest import replacing
from sketchdata.ranks import Ranks
from sketchdata.version import __version__

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
        return self.path / STAGES / f"{name}{SUFFIX}"

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
    elif path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ConfigError(f"{path} is not empty, and has no {RECORD} of a training: choose another --out")
    elif resume:
        raise ConfigError(f"--resume: there is no training in {path}; leave out --resume to begin")
    # No process writes before all have looked.
    ranks.wait()
    if ranks.leads and not record.exists():
        _write_json(record, facts)
    return RunFolder(path=path, ranks=ranks)


def _check_same(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    classes, own = before.get("classes") or [], list(now["classes"])
    if before.get("trainer") != now["trainer"]:
        raise ConfigError(f"{path} holds a training of another kind, {before.get('trainer')}: choose another --out")
    if classes != own:
        raise ConfigError(
            f"{path} holds a training on another class table, {_some(classes)}, and the data set has {_some(own)}: "
            "take its own --data, or another --out"
        )
    then, options = before.get("options") or {}, now["options"]
    changed = [f"--{name.replace('_', '-')} {then.get(name)}" for name in options if then.get(name) != options[name]]
    if changed:
        raise ConfigError(f"{path} holds a training with {', '.join(changed)}: take that, or another --out")
    if before.get("manifest") != now["manifest"]:
        raise ConfigError(f"{path} holds a training on another data set of these classes: take that, or another --out")


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
