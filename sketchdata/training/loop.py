"""The training loop of all trainers, which can be stopped at any moment and resumed.

A stage is an objective (a module that returns its loss), its batches, and a measure by which its best epoch is chosen.
 Everything random is a function of seed, stage and step, so a stage that goes on from a checkpoint ends
as if it had not been stopped: on the CPU, to the bit.
"""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from sketchdata.errors import InterruptedRunError, SketchDataError
from sketchdata.progress import console, task_bar
from sketchdata.storage.records import convert
from sketchdata.storage.tensors import read_tensors, write_tensors
from sketchdata.training.distributed import stop_signals
from sketchdata.training.loader import BatchLoader, generator
from sketchdata.training.options import TrainingOptions
from sketchdata.training.run_folder import CHECKPOINTS, METRICS, CheckpointFolder, RunFolder, opened_log

OPTIMISERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adamw": torch.optim.AdamW,
    "adam": torch.optim.Adam,
    "rmsprop": torch.optim.RMSprop,
    "sgd": partial(torch.optim.SGD, momentum=0.9, nesterov=True),
}
#: Xu et al. in their earlier paper: 0.01, and a tenth of it after every 10 epochs.
_PAPER_RATE, _PAPER_EPOCHS = 0.01, 10
_NETWORK, _OPTIMISER = "network.", "optimiser."
#: A short stage warms up for this share of its steps.
_WARM_UP_SHARE = 0.1


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingStage:
    """One part of a training, with an optimiser of its own.

    Attributes:
        name: Name of its files and metrics.
        epochs: 0 leaves the weights as they are.
        objective: Takes a batch and returns the loss, a scalar, and scalars to be shown, by name. Its state is all
            that the stage changes.
        groups: (parameters, largest learning rate) of what is trained.
        loader: The training batches.
        validate: Returns measures by name.
        chooser: The measure whose highest value chooses the epoch.
        refresh: Is called before the first step of every epoch; what it changes is part of the objective's state.
        constant: Whether learning rates stay the same after the warm-up.
        patience: After how many epochs that are no better than the best one the stage ends; None for all epochs.
    """

    name: str
    epochs: int
    objective: nn.Module
    groups: Sequence[tuple[Sequence[nn.Parameter], float]]
    loader: BatchLoader
    validate: Callable[[], dict[str, float]]
    chooser: str = "accuracy"
    refresh: Callable[[], None] | None = None
    constant: bool = False
    patience: int | None = None

    @property
    def steps(self) -> int:
        """Steps of all epochs."""
        return self.epochs * self.loader.steps


def fit(stage: TrainingStage, folder: RunFolder, options: TrainingOptions) -> dict[str, Any]:
    """Train a stage to its end, and load its best weights into its objective.

    Returns:
        Its record: `stage`, `epochs`, `best_epoch`, and the measures of that epoch's validation.

    Raises:
        SketchDataError: The loss is not finite, or a checkpoint is damaged or cannot be written.
        InterruptedRunError: Ctrl-C; a checkpoint was written.
    """
    path = folder.stage_path(stage.name)
    stage.objective.to(folder.context.device)
    if not path.exists():
        _Loop(stage, folder, options).run()
        folder.context.barrier()
    tensors, facts = read_tensors(path)
    restore(tensors, path, stage.objective)
    return facts


def learning_rate(peak: float, step: int, stage: TrainingStage, options: TrainingOptions) -> float:
    """Return the learning rate of a step.

    It rises linearly, then falls by half a cosine to 0, or stays where the stage's is constant; or it is the paper's.
    """
    if options.paper_lr:
        return float(_PAPER_RATE * 0.1 ** (step // stage.loader.steps // _PAPER_EPOCHS))
    rise = min(options.warm_up, int(_WARM_UP_SHARE * stage.steps))
    if step < rise:
        return peak * (step + 1) / rise
    if stage.constant:
        return peak
    return peak * (1 + math.cos(math.pi * (step - rise) / (stage.steps - rise))) / 2


def state_of(network: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the tensors of a network and of its optimiser in one dict."""
    tensors = {f"{_NETWORK}{name}": value for name, value in network.state_dict().items()}
    for place, memory in optimiser.state_dict()["state"].items():
        tensors |= {f"{_OPTIMISER}{place}.{key}": value for key, value in memory.items()}
    return tensors


def restore(
    tensors: Mapping[str, Tensor], source: Path, network: nn.Module, optimiser: torch.optim.Optimizer | None = None
) -> None:
    """Load what `state_of` returned, read from `source`, into a network and, if it is given, its optimiser.

    Raises:
        SketchDataError: The tensors are of another network.
    """
    weights = {name.removeprefix(_NETWORK): value for name, value in tensors.items() if name.startswith(_NETWORK)}
    own = {name: value.shape for name, value in network.state_dict().items()}
    odd = sorted(
        name for name in own.keys() | weights.keys() if name not in weights or own.get(name) != weights[name].shape
    )
    if odd:
        raise SketchDataError(f"{source} is of another network: {odd[0]} does not fit; start again in another --out")
    network.load_state_dict(weights)
    if optimiser is None:
        return
    memories: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith(_OPTIMISER):
            place, _, key = name.removeprefix(_OPTIMISER).partition(".")
            memories.setdefault(int(place), {})[key] = value
    optimiser.load_state_dict({"state": memories, "param_groups": optimiser.state_dict()["param_groups"]})


@dataclass(kw_only=True)
class _Progress:
    """How far a stage has come: steps, validated epochs, seconds, and the best epoch's step and measures."""

    step: int = 0
    epochs: int = 0
    seconds: float = 0.0
    best: int | None = None
    measures: dict[str, float] = field(default_factory=dict)


class _Loop:
    def __init__(self, stage: TrainingStage, folder: RunFolder, options: TrainingOptions) -> None:
        self.stage, self.folder, self.options, self.context = stage, folder, options, folder.context
        groups = [{"params": list(parameters), "peak": peak} for parameters, peak in stage.groups]
        make = OPTIMISERS[options.optimizer]
        self.optimiser = make(groups, lr=options.learning_rate, weight_decay=options.weight_decay)
        self.parameters = [parameter for parameters, _ in stage.groups for parameter in parameters]
        self.model = stage.objective if self.context.world_size == 1 else DistributedDataParallel(stage.objective)
        self.amp = options.amp == "on" or (options.amp == "auto" and self.context.device.type == "cuda")
        self.checkpoints = CheckpointFolder(directory=folder.path / CHECKPOINTS, stage=stage.name, keep=options.keep)
        self.at = _Progress()
        self.last: dict[str, Tensor] = {}
        self.started = self.saved = time.monotonic()

    def run(self) -> None:
        found = self.checkpoints.newest()
        if found is not None:
            path, tensors, facts = found
            restore(tensors, path, self.stage.objective, self.optimiser)
            self.at = convert(facts["progress"], _Progress, path, prefix="progress.")
        self.started -= self.at.seconds
        # No process writes before all have read.
        self.context.barrier()
        board = self.folder.path / "tensorboard" if self.options.tensorboard else None
        log: Any = nullcontext()
        if self.context.is_main:
            metrics, at = self.folder.path / METRICS, self.at
            log = opened_log(metrics, self.stage.name, step=at.step, epochs=at.epochs, board=board)
        with stop_signals() as signals, log as self.log, task_bar() as self.bar:
            self.shown = self.bar.add_task(self.stage.name, total=self.stage.steps, completed=self.at.step)
            while self.at.epochs < self.stage.epochs and not self._lost_patience():
                self._epoch(signals)
        self._finish()

    def _epoch(self, signals: list[int]) -> None:
        first = self.at.epochs * self.stage.loader.steps
        if self.stage.refresh is not None and self.at.step == first:
            self.stage.refresh()
        self.model.train()
        for batch in self.stage.loader.batches(self.at.epochs, self.at.step - first):
            self._step(batch)
            if self.at.step % self.options.log_every == 0:
                self._write_line()
            stopping = self._agreed(signals)
            if stopping or time.monotonic() - self.saved >= 60 * self.options.save_minutes:
                self._save()
            if stopping:
                raise self._stopped()
        self._validate()
        self._save()
        if self._agreed(signals):
            raise self._stopped()

    def _lost_patience(self) -> bool:
        if self.stage.patience is None or self.at.best is None:
            return False
        return self.at.epochs - self.at.best // self.stage.loader.steps >= self.stage.patience

    def _step(self, batch: Any) -> None:
        # Dropout draws from torch's own generator, which must not depend on what ran before.
        place = (zlib.crc32(self.stage.name.encode()), self.at.step, self.context.rank)
        torch.manual_seed(generator(self.options.seed, *place).initial_seed())
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(group["peak"], self.at.step, self.stage, self.options)
        with torch.autocast(self.context.device.type, torch.bfloat16, enabled=self.amp):
            loss, shown = self.model(batch)
        self.optimiser.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.parameters, self.options.clip)
        self.optimiser.step()
        self.at.step += 1
        self.last = {"loss": loss.detach(), **shown, "gradient": norm}

    def _last_values(self) -> dict[str, float]:
        # Read only now, so that a GPU need not be waited for at every step.
        values = {name: float(value) for name, value in self.last.items()}
        if not all(math.isfinite(values.get(name, 0.0)) for name in ("loss", "gradient")):
            kept = self.checkpoints.steps()
            raise SketchDataError(
                f"the training diverged in stage {self.stage.name} by step {self.at.step:,}: loss {values['loss']}, "
                f"gradient {values['gradient']}; "
                + (f"the checkpoint of step {kept[-1]:,} is kept" if kept else "there was no checkpoint yet")
                + "; try a smaller --learning-rate in another --out"
            )
        return values

    def _write_line(self) -> None:
        values = self._last_values()
        seconds = self._seconds()
        rate = (self.at.step * self.stage.loader.batch_size) / seconds
        accuracy = f", accuracy {values['accuracy']:.1%}" if "accuracy" in values else ""
        text = f"{self.stage.name}: loss {values['loss']:.4f}{accuracy}, {rate:,.0f} drawings/s"
        self.bar.update(self.shown, completed=self.at.step, description=text)
        if self.log is not None:
            lr = max(group["lr"] for group in self.optimiser.param_groups)
            self.log.write(self.at.step, {**values, "learning_rate": lr, "seconds": round(seconds, 3)})

    def _validate(self) -> None:
        self.model.eval()
        found = self.stage.validate()
        self.at.epochs += 1
        if self.at.best is None or found[self.stage.chooser] > self.at.measures[self.stage.chooser]:
            self.at.best, self.at.measures = self.at.step, found
        if self.log is None:
            return
        values = {**found, "epoch": self.at.epochs, "seconds": round(self._seconds(), 3)}
        self.log.write(self.at.step, values)
        console.print(
            f"{self.stage.name}: epoch {self.at.epochs} of {self.stage.epochs}, "
            + ", ".join(f"{name} {value:.4f}" for name, value in found.items()),
            highlight=False,
            soft_wrap=True,
        )

    def _agreed(self, signals: list[int]) -> bool:
        # All processes stop after the same step, whichever of them got the signal.
        return self.context.sum(len(signals))[0] > 0

    def _stopped(self) -> InterruptedRunError:
        return InterruptedRunError(
            f"stopped in stage {self.stage.name} after step {self.at.step:,}; continue with --resume"
        )

    def _seconds(self) -> float:
        return time.monotonic() - self.started

    def _save(self) -> None:
        if self.last:
            self._last_values()
        self.at.seconds, self.saved = self._seconds(), time.monotonic()
        if self.log is not None:
            self.log.flush()
            state = state_of(self.stage.objective, self.optimiser)
            self.checkpoints.save(self.at.step, state, {"progress": asdict(self.at)}, self.at.best)

    def _finish(self) -> None:
        if not self.context.is_main:
            return
        state = state_of(self.stage.objective, self.optimiser)
        if self.at.best is not None and self.at.best != self.at.step:
            state, _ = self.checkpoints.read(self.at.best)
        weights = {name: value for name, value in state.items() if not name.startswith("optimiser.")}
        epoch = (self.at.best or 0) // self.stage.loader.steps
        facts = {"stage": self.stage.name, "epochs": self.stage.epochs, "best_epoch": epoch, **self.at.measures}
        write_tensors(self.folder.stage_path(self.stage.name), weights, facts)
        self.checkpoints.clear()
