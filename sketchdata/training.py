"""The one loop of all trainers: it learns a stage from its batches, and survives being stopped at any moment.

A stage is an objective (a module that returns its loss), the batches that it learns from, and numbers by which its best
epoch is chosen. Everything random is a function of seed, stage and step, so a stage that goes on from a checkpoint ends
as if it had not been stopped: on the CPU, to the bit.
"""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from sketchdata.checkpoints import CheckpointFolder, read_tensors, restore, state_of, write_tensors
from sketchdata.config import option
from sketchdata.errors import InterruptedRunError, SketchDataError
from sketchdata.loader import PackedLoader, generator
from sketchdata.losses import SCL_WEIGHT
from sketchdata.metrics_log import opened_log
from sketchdata.progress import console, task_bar
from sketchdata.ranks import wishes_to_stop
from sketchdata.raster import MAX_SIZE
from sketchdata.run_folder import CHECKPOINTS, METRICS, RunFolder

OPTIMISERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adamw": torch.optim.AdamW,
    "adam": torch.optim.Adam,
    "rmsprop": torch.optim.RMSprop,
}
#: Xu et al. in their earlier paper: 0.01, and a tenth of it after every 10 epochs.
_PAPER_RATE, _PAPER_EPOCHS = 0.01, 10
#: A short stage warms up for this share of its steps.
_WARM_UP_SHARE = 0.1

#: Lengths of codes.
BITS = ("16", "24", "32", "64")

_POSITIVE, _COUNT = click.FloatRange(0, min_open=True), click.IntRange(1)
_FOLDER, _EPOCHS = click.Path(file_okay=False, path_type=Path), click.IntRange(0)


@dataclass(frozen=True, kw_only=True)
class DrawingsConfig:
    """What is learned from: in common to all trainers of drawings."""

    data: Path = option(
        help="A built data set with train and val, or bitmaps: a folder of CLASS.npy or an npz.",
        record=False,
        type=click.Path(path_type=Path),
    )
    out: Path = option(help="Folder for checkpoints, metrics and the network.", record=False, type=_FOLDER)
    augment: bool = option(False, help="Turn, stretch, shift and mirror drawings a little; the paper does not.")


@dataclass(frozen=True, kw_only=True)
class DataConfig(DrawingsConfig):
    """The same, and how many of the classes: in common to recognition and hashing."""

    unseen: int = option(
        0, help="Classes to hold out, chosen by a hash of their names, for zero-shot evaluation.", type=_EPOCHS
    )


@dataclass(frozen=True, kw_only=True)
class SharedStages:
    """What is taken over from another training."""

    pretrained: Path | None = option(
        None,
        help="Folder of another training on this data: its stages that would come out the same are taken over.",
        record=False,
        type=_FOLDER,
    )


@dataclass(frozen=True, kw_only=True)
class BranchesConfig:
    """For how long the branches learn, alone and together: in common to all trainers of the dual-branch network."""

    # Deep dense layers without normalisation bear less than the rest.
    cnn_learning_rate: float = option(3e-4, help="Largest rate of the picture branch.", type=_POSITIVE)
    # The paper's "20, 5, 5", in the order of its algorithm; of the last stage it says nothing.
    cnn_epochs: int = option(20, help="Epochs of the picture branch alone.", type=_EPOCHS)
    rnn_epochs: int = option(5, help="Epochs of the point branch alone.", type=_EPOCHS)
    fusion_epochs: int = option(5, help="Epochs of all together.", type=_EPOCHS)


@dataclass(frozen=True, kw_only=True)
class EpochsConfig(BranchesConfig, DataConfig):
    """For how long the paper's stages learn: in common to recognition, hashing and their comparison."""

    center_weight: float = option(SCL_WEIGHT, help="Weight of the centre loss.", type=click.FloatRange(0))
    center_epochs: int = option(5, help="Epochs with the centre loss.", type=_EPOCHS)


@dataclass(frozen=True, kw_only=True)
class StagedConfig(SharedStages, EpochsConfig):
    """Both, as recognition and hashing have them."""


@dataclass(frozen=True, kw_only=True)
class EdgeMapConfig:
    """From which edge maps is learned, and for how long: in common to one network and to the comparison of many."""

    data: Path = option(help="What `sketchdata build edgemap-345c` made.", record=False, type=_FOLDER)
    out: Path = option(help="Folder for checkpoints, metrics and the network.", record=False, type=_FOLDER)
    size: int = option(224, help="Side of the edge maps in pixels.", type=click.IntRange(16, MAX_SIZE))
    epochs: int = option(30, help="Epochs.", type=_EPOCHS)
    augment: bool = option(False, help="Mirror, stretch and shift edge maps a little; the paper does not.")


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How the loop learns, and how it is watched and stopped."""

    batch_size: int = option(256, help="Drawings of a step, of all processes together.", type=_COUNT)
    optimizer: str = option("adamw", help="Rule by which weights move.", type=click.Choice(list(OPTIMISERS)))
    learning_rate: float = option(1e-3, help="Largest rate.", type=_POSITIVE)
    # The earlier paper's 0.01 is more than AlexNet bears under Adam; the later one does not give a rate.
    paper_lr: bool = option(False, help="The paper's rates instead: 0.01, a tenth of it every 10 epochs.")
    weight_decay: float = option(0.01, help="Decay of the weights.", type=click.FloatRange(0))
    warm_up: int = option(1000, help="Steps of rising rate, at most a tenth of a stage.", type=click.IntRange(0))
    clip: float = option(1.0, help="Largest norm of a step's gradient.", type=_POSITIVE)
    amp: str = option("auto", help="Compute in bf16; auto: on CUDA alone.", type=click.Choice(["auto", "on", "off"]))
    compile: bool = option(False, help="Compile the picture branch; takes a minute or two at first.")
    seed: int = option(0, help="Decides first weights, order and changes of drawings.", type=click.IntRange(0))
    device: str = option("auto", help="Where to compute: auto, cpu, cuda, cuda:1.", record=False)
    log_every: int = option(20, help="Steps between lines of metrics.", record=False, type=_COUNT)
    save_minutes: float = option(
        15.0, help="Minutes between checkpoints within an epoch.", record=False, type=click.FloatRange(0)
    )
    keep: int = option(3, help="Newest checkpoints to keep, beside the best one.", record=False, type=_COUNT)
    tensorboard: bool = option(False, help="Write TensorBoard's files as well.", record=False)
    resume: bool = option(False, help="Go on with the training in --out.", record=False)


@dataclass(frozen=True, kw_only=True, eq=False)
class Stage:
    """One part of a training, with an optimiser of its own.

    Attributes:
        name: Of its files and metrics.
        epochs: How often all drawings are seen; 0 leaves the weights as they are.
        objective: Takes a Batch and returns the loss, a scalar, and scalars to be shown, by name. Its state is all
            that the stage changes.
        groups: (parameters, largest rate) of what is trained.
        loader: What is learned from.
        validate: Returns numbers by name.
        chooser: The number of these whose highest value chooses the epoch.
    """

    name: str
    epochs: int
    objective: nn.Module
    groups: Sequence[tuple[Sequence[nn.Parameter], float]]
    loader: PackedLoader
    validate: Callable[[], dict[str, float]]
    chooser: str = "accuracy"

    @property
    def steps(self) -> int:
        """Steps of all epochs."""
        return self.epochs * self.loader.steps


def fit(stage: Stage, folder: RunFolder, options: TrainingOptions) -> dict[str, Any]:
    """Train a stage from where it is to its end, and leave its best weights in its objective.

    Returns:
        Its record: `stage`, `epochs`, `best_epoch`, and the numbers of that epoch's validation.

    Raises:
        SketchDataError: The loss is no number any more, or a checkpoint is damaged or cannot be written.
        InterruptedRunError: Ctrl-C; a checkpoint is there.
    """
    path = folder.stage_path(stage.name)
    stage.objective.to(folder.ranks.device)
    if not path.exists():
        _Loop(stage, folder, options).run()
        folder.ranks.wait()
    tensors, facts = read_tensors(path)
    restore(tensors, path, stage.objective)
    return facts


def learning_rate(peak: float, step: int, stage: Stage, options: TrainingOptions) -> float:
    """Return the rate of a step: a straight rise and a half cosine down to zero, or the paper's stairs."""
    if options.paper_lr:
        return float(_PAPER_RATE * 0.1 ** (step // stage.loader.steps // _PAPER_EPOCHS))
    rise = min(options.warm_up, int(_WARM_UP_SHARE * stage.steps))
    if step < rise:
        return peak * (step + 1) / rise
    return peak * (1 + math.cos(math.pi * (step - rise) / (stage.steps - rise))) / 2


@dataclass(kw_only=True)
class _Progress:
    """How far a stage has come: steps, validated epochs, seconds, and the best epoch's step and numbers."""

    step: int = 0
    epochs: int = 0
    seconds: float = 0.0
    best: int | None = None
    numbers: dict[str, float] = field(default_factory=dict)


class _Loop:
    """One stage at work."""

    def __init__(self, stage: Stage, folder: RunFolder, options: TrainingOptions) -> None:
        self.stage, self.folder, self.options, self.ranks = stage, folder, options, folder.ranks
        groups = [{"params": list(parameters), "peak": peak} for parameters, peak in stage.groups]
        make = OPTIMISERS[options.optimizer]
        self.optimiser = make(groups, lr=options.learning_rate, weight_decay=options.weight_decay)
        self.parameters = [parameter for parameters, _ in stage.groups for parameter in parameters]
        self.model = stage.objective if self.ranks.world == 1 else DistributedDataParallel(stage.objective)
        self.amp = options.amp == "on" or (options.amp == "auto" and self.ranks.device.type == "cuda")
        self.checkpoints = CheckpointFolder(directory=folder.path / CHECKPOINTS, stage=stage.name, keep=options.keep)
        self.at = _Progress()
        self.last: dict[str, Tensor] = {}
        self.started = self.saved = time.monotonic()

    def run(self) -> None:
        """Train what is left, and write the best weights.

        Raises:
            SketchDataError: As `fit`.
            InterruptedRunError: Ctrl-C.
        """
        self._go_on()
        board = self.folder.path / "tensorboard" if self.options.tensorboard else None
        log = opened_log(
            self.folder.path / METRICS, self.stage.name, step=self.at.step, epochs=self.at.epochs, board=board
        )
        with wishes_to_stop() as wishes, log if self.ranks.leads else nullcontext() as self.log, task_bar() as self.bar:
            self.shown = self.bar.add_task(self.stage.name, total=self.stage.steps, completed=self.at.step)
            while self.at.epochs < self.stage.epochs:
                self._epoch(wishes)
        self._finish()

    def _go_on(self) -> None:
        """Take up the newest checkpoint, if there is any."""
        found = self.checkpoints.newest()
        if found is not None:
            path, tensors, facts = found
            restore(tensors, path, self.stage.objective, self.optimiser)
            self.at = _Progress(**facts["progress"])
        self.started -= self.at.seconds
        # No process writes before all have read.
        self.ranks.wait()

    def _epoch(self, wishes: list[int]) -> None:
        """Learn from every drawing once, or from those that are left; then validate, and keep what is best."""
        first = self.at.epochs * self.stage.loader.steps
        self.model.train()
        for batch in self.stage.loader.batches(self.at.epochs, self.at.step - first):
            self._step(batch)
            if self.at.step % self.options.log_every == 0:
                self._write_line()
            stopping = self._agreed(wishes)
            if stopping or time.monotonic() - self.saved >= 60 * self.options.save_minutes:
                self._save()
            if stopping:
                raise self._stopped()
        self._validate()
        self._save()
        if self._agreed(wishes):
            raise self._stopped()

    def _step(self, batch: Any) -> None:
        """Move the weights once."""
        # Dropout draws from torch's own generator, which must not depend on what ran before.
        torch.manual_seed(self._seed())
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(group["peak"], self.at.step, self.stage, self.options)
        with torch.autocast(self.ranks.device.type, torch.bfloat16, enabled=self.amp):
            loss, shown = self.model(batch)
        self.optimiser.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.parameters, self.options.clip)
        self.optimiser.step()
        self.at.step += 1
        self.last = {"loss": loss.detach(), **shown, "gradient": norm}

    def _seed(self) -> int:
        path = (zlib.crc32(self.stage.name.encode()), self.at.step, self.ranks.rank)
        return generator(self.options.seed, *path).initial_seed()

    def _numbers(self) -> dict[str, float]:
        """Return the last step's numbers, which are looked at only now: a GPU need not wait for it at every step.

        Raises:
            SketchDataError: They are not finite, so the weights are no good any more.
        """
        numbers = {name: float(value) for name, value in self.last.items()}
        if not all(math.isfinite(numbers.get(name, 0.0)) for name in ("loss", "gradient")):
            kept = self.checkpoints.steps()
            raise SketchDataError(
                f"the training diverged in stage {self.stage.name} by step {self.at.step:,}: loss {numbers['loss']}, "
                f"gradient {numbers['gradient']}; "
                + (f"the checkpoint of step {kept[-1]:,} is kept" if kept else "there was no checkpoint yet")
                + "; try a smaller --learning-rate in another --out"
            )
        return numbers

    def _write_line(self) -> None:
        numbers = self._numbers()
        seconds = self._seconds()
        rate = (self.at.step * self.stage.loader.order.batch_size) / seconds
        accuracy = f", accuracy {numbers['accuracy']:.1%}" if "accuracy" in numbers else ""
        text = f"{self.stage.name}: loss {numbers['loss']:.4f}{accuracy}, {rate:,.0f} drawings/s"
        self.bar.update(self.shown, completed=self.at.step, description=text)
        if self.log is not None:
            lr = max(group["lr"] for group in self.optimiser.param_groups)
            self.log.write(self.at.step, {**numbers, "learning_rate": lr, "seconds": round(seconds, 3)})

    def _validate(self) -> None:
        """Score the weights as they are, and remember whether they are the best so far."""
        self.model.eval()
        found = self.stage.validate()
        self.at.epochs += 1
        if self.at.best is None or found[self.stage.chooser] > self.at.numbers[self.stage.chooser]:
            self.at.best, self.at.numbers = self.at.step, found
        if self.log is None:
            return
        numbers = {**found, "epoch": self.at.epochs, "seconds": round(self._seconds(), 3)}
        self.log.write(self.at.step, numbers)
        console.print(
            f"{self.stage.name}: epoch {self.at.epochs} of {self.stage.epochs}, "
            + ", ".join(f"{name} {value:.4f}" for name, value in found.items()),
            highlight=False,
            soft_wrap=True,
        )

    def _agreed(self, wishes: list[int]) -> bool:
        """Tell whether any process was asked to stop; all of them stop after the same step."""
        return self.ranks.total(len(wishes))[0] > 0

    def _stopped(self) -> InterruptedRunError:
        return InterruptedRunError(
            f"stopped in stage {self.stage.name} after step {self.at.step:,}; go on with --resume"
        )

    def _seconds(self) -> float:
        return time.monotonic() - self.started

    def _save(self) -> None:
        """Write a checkpoint, unless the weights are no good any more."""
        if self.last:
            self._numbers()
        self.at.seconds, self.saved = self._seconds(), time.monotonic()
        if self.log is not None:
            self.log.flush()
            state = state_of(self.stage.objective, self.optimiser)
            self.checkpoints.save(self.at.step, state, {"progress": asdict(self.at)}, self.at.best)

    def _finish(self) -> None:
        """Write the weights of the best epoch; the checkpoints have served."""
        if not self.ranks.leads:
            return
        state = state_of(self.stage.objective, self.optimiser)
        if self.at.best is not None and self.at.best != self.at.step:
            state, _ = self.checkpoints.read(self.at.best)
        weights = {name: value for name, value in state.items() if not name.startswith("optimiser.")}
        epoch = (self.at.best or 0) // self.stage.loader.steps
        facts = {"stage": self.stage.name, "epochs": self.stage.epochs, "best_epoch": epoch, **self.at.numbers}
        write_tensors(self.folder.stage_path(self.stage.name), weights, facts)
        self.checkpoints.clear()
