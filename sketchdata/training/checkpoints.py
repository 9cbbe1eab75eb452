"""Checkpoints: all that a training has changed, in files that arrive whole or not at all.

A file is safetensors, of which nothing is ever run, with the facts that are no tensors as JSON in its header. It holds
no state of random numbers: batches and dropout are functions of seed, epoch and step.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from sketchdata.errors import SketchDataError
from sketchdata.progress import console
from sketchdata.storage.manifest import leftovers, replacing

SUFFIX = ".safetensors"
_FACTS = "facts"
_NETWORK, _OPTIMISER = "network.", "optimiser."


def write_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write named tensors and facts to one file, which takes its place as a whole.

    Raises:
        SketchDataError: It cannot be written, as on a full disk; what was at `path` before is untouched.
    """
    # Copies on the CPU: on a GPU the weights of a GRU are views of one memory, which the format refuses.
    whole = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    # One entry of metadata alone: the format does not keep the order of several, and so not the bytes.
    content = save(whole, {_FACTS: orjson.dumps(facts).decode()})
    try:
        with replacing(path) as file:
            file.write(content)
    except OSError as error:
        raise SketchDataError(
            f"{path} ({len(content) / 1e6:,.1f} MB) cannot be written: {error.strerror or error}; what was written "
            "before is kept: make room and go on with --resume"
        ) from error


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `write_tensors` wrote, onto the CPU.

    Raises:
        SketchDataError: It is absent, damaged, or something else, such as a pickle.
    """
    if not path.is_file():
        raise SketchDataError(f"{path} does not exist")
    try:
        with safe_open(path, framework="pt") as file:
            facts = orjson.loads((file.metadata() or {})[_FACTS])
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118 - no dict
    except (SafetensorError, OSError, KeyError, orjson.JSONDecodeError) as error:
        raise SketchDataError(f"{path} is no safetensors file of a training of sketchdata: {error}") from error


def state_of(network: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the tensors of a network and of its optimiser under one roof."""
    tensors = {f"{_NETWORK}{name}": value for name, value in network.state_dict().items()}
    for place, memory in optimiser.state_dict()["state"].items():
        tensors |= {f"{_OPTIMISER}{place}.{key}": value for key, value in memory.items()}
    return tensors


def restore(
    tensors: Mapping[str, Tensor], source: Path, network: nn.Module, optimiser: torch.optim.Optimizer | None = None
) -> None:
    """Bring a network, and an optimiser unless only the weights are wanted, to what `state_of` returned.

    Args:
        tensors: What it returned.
        source: The file that they come from, for the error.
        network: Gets the weights.
        optimiser: Gets its memory.

    Raises:
        SketchDataError: They are of another network.
    """
    weights = {name.removeprefix(_NETWORK): value for name, value in tensors.items() if name.startswith(_NETWORK)}
    own = {name: value.shape for name, value in network.state_dict().items()}
    odd = sorted(
        name for name in own.keys() | weights.keys() if name not in weights or own.get(name) != weights[name].shape
    )
    if odd:
        raise SketchDataError(f"{source} is of another network: {odd[0]} does not fit; begin again in another --out")
    network.load_state_dict(weights)
    if optimiser is None:
        return
    memories: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith(_OPTIMISER):
            place, _, key = name.removeprefix(_OPTIMISER).partition(".")
            memories.setdefault(int(place), {})[key] = value
    optimiser.load_state_dict({"state": memories, "param_groups": optimiser.state_dict()["param_groups"]})


@dataclass(frozen=True, kw_only=True)
class CheckpointFolder:
    """The checkpoints of one stage of a training, numbered by the steps taken.

    Attributes:
        directory: Where they are; other stages' may be there as well.
        stage: The stage's name.
        keep: How many of the newest to keep.
    """

    directory: Path
    stage: str
    keep: int = 3

    def save(self, step: int, tensors: Mapping[str, Tensor], facts: Mapping[str, Any], best: int | None) -> None:
        """Write a checkpoint, and only then remove the oldest ones; the best one always stays.

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
        """Read the newest checkpoint that is whole: its path, tensors and facts; None when there is none at all.

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
            raise SketchDataError(f"{damage}; no other checkpoint is left: begin again in another --out")
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
