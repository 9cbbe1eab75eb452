"""What the trainers of drawings share: run folders, data, the two-branch network, its stages and their validation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sketchdata.classes.splits import draw_classes
from sketchdata.config import recorded
from sketchdata.curation.plan import normal_rows
from sketchdata.errors import ConfigError
from sketchdata.storage.manifest import hash_file
from sketchdata.storage.tensors import read_tensors, write_tensors
from sketchdata.training.bitmaps import PackedSplit, holds_bitmaps, identity, read_split
from sketchdata.training.distributed import DistributedContext, distributed
from sketchdata.training.encoder import (
    Activation,
    Architecture,
    SketchEncoder,
    backbone_config,
    pictures_of,
    recorded_weights,
    start_pretrained,
    view_of,
    weights_record,
    write_encoder,
)
from sketchdata.training.loader import Batch, Order, PackedLoader, View
from sketchdata.training.loop import TrainingStage, fit
from sketchdata.training.losses import CenterLoss, CodeLoss, class_centers, codes
from sketchdata.training.options import NetworkOptions, TrainingOptions
from sketchdata.training.packed import Augmentation
from sketchdata.training.run_folder import (
    METRICS,
    MODEL,
    RunFolder,
    open_run,
    read_record,
    stage_seconds,
    usable_stages,
)

TRAIN, VAL = "train", "val"
_CENTERS = "class-centers"
#: Options that decide what comes after the fusion, and after the branches.
_AFTER_FUSION = frozenset(
    {"loss", "method", "center_weight", "code_weight", "center_epochs", "code_epochs", "ql_refresh"}
)
_AFTER_BRANCHES = _AFTER_FUSION | {"branch", "width", "bits", "fusion_epochs"}
#: {stage: the options on which it does not depend}, of those that several trainings can share.
INDEPENDENT: Mapping[str, Set[str]] = {
    "cnn": _AFTER_BRANCHES | {"rnn_epochs", "hidden", "layers", "max_points"},
    "rnn": _AFTER_BRANCHES
    | {"cnn_epochs", "cnn_learning_rate", "backbone", "weights", "size", "line_width", "channels"},
    "fusion": _AFTER_FUSION,
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Experiment:
    """All that the stages of a training share."""

    folder: RunFolder
    training: TrainingOptions
    data: Path
    table: Path | None
    train: PackedSplit
    val: PackedSplit
    architecture: Architecture
    augment: Augmentation | None

    @property
    def context(self) -> DistributedContext:
        """This process among those that train together."""
        return self.folder.context

    def view(self, *, learning: bool = False) -> View:
        """Return what the network reads of a drawing, augmented for learning where that is asked for."""
        changes = self.augment if learning else None
        return view_of(self.architecture.network, self.architecture.scale, changes)

    def validation(self, scores: Callable[[Batch], dict[str, Tensor]]) -> Validation:
        """Return what measures a network on `val`."""
        return Validation(loader_of(self.val, self.view(), self.training, self.context), self.context, scores)

    def fit(self, name: str, epochs: int, objective: nn.Module, rate: float, **settings: Any) -> dict[str, Any]:
        """Train an objective, its picture branch at a rate of its own, with further `settings` of the stage."""
        slow: list[nn.Parameter] = []
        rest: list[nn.Parameter] = []
        for parameter_name, parameter in objective.named_parameters():
            if parameter.requires_grad:
                (slow if "picture" in parameter_name.split(".") else rest).append(parameter)
        stage = TrainingStage(
            name=name,
            epochs=epochs,
            objective=objective,
            groups=[(group, peak) for group, peak in ((rest, self.training.learning_rate), (slow, rate)) if group],
            loader=loader_of(self.train, self.view(learning=True), self.training, self.context, shuffle=True),
            **settings,
        )
        return fit(stage, self.folder, self.training)


def loader_of(
    packed: PackedSplit, view: View, training: TrainingOptions, context: DistributedContext, *, shuffle: bool = False
) -> PackedLoader:
    """Return this process's share of the batches of a split."""
    order = Order(
        count=len(packed),
        batch_size=min(training.batch_size, len(packed)),
        seed=training.seed,
        shuffle=shuffle,
        rank=context.rank,
        world_size=context.world_size,
    )
    return PackedLoader(packed=packed, order=order, view=view)


# ---- from options to a run folder with a network ---------------------------------------------------------------------


def train_encoder(
    trainer: str,
    config: Any,
    network: NetworkOptions,
    training: TrainingOptions,
    learn: Callable[[Experiment, SketchEncoder, Any], Iterable[dict[str, Any]]],
    code_layer: tuple[int, Activation],
) -> dict[str, Any]:
    """Train a network in a run folder, write it, and return the report that is written beside it.

    Args:
        trainer: Its name in the record.
        config: The trainer's own options.
        network: The branches.
        training: How the loop learns.
        learn: Trains the stages and returns their records.
        code_layer: Its width D and its activation.

    Raises:
        ConfigError: Folders, options or the device do not fit.
        SketchDataError: The data is damaged, the training diverged, or the disk is full.
        InterruptedRunError: Ctrl-C; `--resume` goes on.
    """
    with distributed(training.device) as context:
        facts = facts_of(trainer, config, network, training)
        unseen = draw_classes(facts["classes"], config.unseen, leave=2)
        facts |= {"classes": [word for word in facts["classes"] if word not in unseen], "unseen": list(unseen)}
        folder = begin(config, facts, training.resume, context)
        if (report := folder.report()) is None:
            experiment = read_experiment(folder, config, network, training, code_layer)
            encoder = new_encoder(experiment)
            records = list(learn(experiment, encoder, config))
            report = folder.finish(write_network(experiment, encoder, records, facts))
        return report


def facts_of(trainer: str, config: Any, network: NetworkOptions, training: TrainingOptions) -> dict[str, Any]:
    """Return what is recorded of a training on all classes of its data.

    Raises:
        ConfigError: The options do not fit one another or the data.
        SketchDataError: There is no data set.
    """
    network.check()
    weights = weights_record(network, config.out)
    if holds_bitmaps(config.data):
        _check_for_bitmaps(network, getattr(config, "loss", "cel"))
    classes, manifest = identity(config.data, config.classes)
    return {
        "trainer": trainer,
        "options": recorded(config) | recorded(network) | recorded(training) | recorded_weights(weights),
        "weights": weights,
        "classes": list(classes),
        "manifest": manifest,
        "data": str(config.data.resolve()),
        **({} if config.classes is None else {"table": str(config.classes.resolve())}),
    }


def _check_for_bitmaps(network: NetworkOptions, loss: str) -> None:
    if network.branch != "cnn":
        raise ConfigError(f"bitmaps have no points for --branch {network.branch}: use --branch cnn")
    if network.channels != "ink":
        raise ConfigError(f"bitmaps do not say when a pixel was drawn, for --channels {network.channels}: use ink")
    if network.line_width != 1:
        raise ConfigError(f"the lines of bitmaps cannot be widened: use --line-width 1, not {network.line_width}")
    if "scl" in loss.split("+"):
        raise ConfigError(
            f"--loss {loss} needs the image entropy of drawings, for its centres: use --loss cel or cel+cl"
        )


def begin(
    config: Any,
    facts: dict[str, Any],
    resume: bool,
    context: DistributedContext,
    independent: Mapping[str, Set[str]] = INDEPENDENT,
) -> RunFolder:
    """Open the run folder with the stages that `--pretrained` has for it, which are added to the facts.

    Args:
        config: Names the folders.
        facts: What is recorded.
        resume: Whether to go on with a training.
        context: This process.
        independent: {stage that may be copied: the options on which it does not depend}.

    Raises:
        ConfigError: The folder holds something else, or the other training has nothing that fits.
    """
    if (other := getattr(config, "pretrained", None)) is not None:
        facts["pretrained"] = usable_stages(other, facts, independent)
    folder = open_run(config.out, facts, resume=resume, context=context)
    if other is not None and folder.report() is None:
        folder.copy_stages(other, facts["pretrained"])
    return folder


def read_experiment(
    folder: RunFolder,
    config: Any,
    network: NetworkOptions,
    training: TrainingOptions,
    code_layer: tuple[int, Activation],
) -> Experiment:
    """Pack the drawings or bitmaps of the learned classes onto the device, and settle the network's architecture.

    Raises:
        ConfigError: A split is missing or empty.
        SketchDataError: A file cannot be read.
    """
    seen = read_record(folder.path)["classes"]
    # The files of packed drawings lie beside the checkpoints, and have no names.
    train, val = (
        read_split(config.data, split, config.classes, folder.path).of_classes(seen).to(folder.context.device)
        for split in (TRAIN, VAL)
    )
    architecture = Architecture(
        network=network,
        width=code_layer[0],
        activation=code_layer[1],
        scale=train.offset_scale(),
        classes=train.classes,
        config=backbone_config(network, folder.path),
    )
    return Experiment(
        folder=folder,
        training=training,
        data=config.data,
        table=config.classes,
        train=train,
        val=val,
        architecture=architecture,
        augment=Augmentation(rotate=config.rotate) if config.augment else None,
    )


def new_encoder(experiment: Experiment) -> SketchEncoder:
    """Return the network with the first weights that the seed gives, or pretrained ones for the picture branch."""
    torch.manual_seed(experiment.training.seed)
    encoder = SketchEncoder(experiment.architecture)
    start_pretrained(experiment.architecture.network, experiment.folder, encoder.fusion.picture)
    if encoder.fusion.points is not None:
        # The same beside any picture branch, or none, so that trainings can share this branch.
        torch.manual_seed(experiment.training.seed)
        encoder.fusion.points.gru.reset_parameters()
    encoder.to(experiment.context.device)
    if experiment.training.compile and encoder.fusion.picture is not None:
        # The point branch is one call of cuDNN already, of a length that changes with every batch.
        encoder.fusion.picture.extract = torch.compile(encoder.fusion.picture.extract)
    return encoder


def write_network(
    experiment: Experiment, encoder: SketchEncoder, records: list[dict[str, Any]], facts: dict[str, Any]
) -> dict[str, Any]:
    """Write the network into the run folder, and return what the report says of it."""
    folder = experiment.folder
    if folder.context.is_main:
        write_encoder(folder.path, encoder)
    folder.context.barrier()
    return {
        "trainer": facts["trainer"],
        "options": facts["options"],
        "pretrained": read_record(folder.path).get("pretrained", {}),
        "stages": records,
        "classes": len(experiment.architecture.classes),
        "drawings": len(experiment.train),
        "parameters": sum(each.numel() for each in encoder.parameters() if each.requires_grad),
        "seconds": round(sum(stage_seconds(folder.path / METRICS).values()), 1),
        "sha256": hash_file(folder.path / MODEL, "sha256"),
    }


# ---- Algorithm 1, steps 1 and 2: each branch alone -------------------------------------------------------------------


class BranchObjective(nn.Module):
    """One branch, `picture` or `points`, with a classifier of its own, which the fusion leaves behind."""

    def __init__(self, encoder: SketchEncoder, name: str, classes: int) -> None:
        super().__init__()
        branch = getattr(encoder.fusion, name)
        self.picture: Any = branch if name == "picture" else None
        self.points: Any = branch if name == "points" else None
        self.classifier = nn.Linear(int(branch.feature_size), classes)

    def scores(self, batch: Batch) -> Tensor:
        """Return (B, L) scores of a batch."""
        device = self.classifier.weight.device
        if self.points is not None:
            assert batch.sequence is not None  # noqa: S101 - the view makes one for this branch
            features = self.points(batch.sequence.to(device), batch.lengths)
        else:
            features = self.picture.extract(pictures_of(batch, device))
        scores: Tensor = self.classifier(features)
        return scores.float()

    def accuracy_scores(self, batch: Batch) -> dict[str, Tensor]:
        """Return the same, as `Validation` takes them."""
        return {"accuracy": self.scores(batch)}

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the cross entropy, Eq. 1, and the accuracy."""
        scores = self.scores(batch)
        labels = batch.labels.to(scores.device)
        return functional.cross_entropy(scores, labels), {"accuracy": accuracy(scores, labels)}


def accuracy(scores: Tensor, labels: Tensor) -> Tensor:
    """Return the share of drawings whose own class has the highest score: (B, L) and (B,) → a scalar."""
    return (scores.detach().argmax(1) == labels).float().mean()


def pretrain(experiment: Experiment, encoder: SketchEncoder, config: Any) -> Iterator[dict[str, Any]]:
    """Train each branch of a network alone; yield the stages' records."""
    for name, branch, epochs in (("cnn", "picture", config.cnn_epochs), ("rnn", "points", config.rnn_epochs)):
        if getattr(encoder.fusion, branch) is None:
            continue
        torch.manual_seed(experiment.training.seed)
        objective = BranchObjective(encoder, branch, len(experiment.architecture.classes))
        validate = experiment.validation(objective.accuracy_scores)
        yield experiment.fit(name, epochs, objective, config.cnn_learning_rate, validate=validate)


# ---- Algorithm 1, steps 3 and 4: together, then with centres ---------------------------------------------------------


class HeldCodes(nn.Module):
    """The binary codes b of N training drawings, held while an epoch trains the weights: Algorithm 1, steps 6 and 7.

    They are a buffer, so that a checkpoint within an epoch has them.
    """

    packed: Tensor

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.register_buffer("packed", torch.zeros(count, math.ceil(width / 8), dtype=torch.uint8))

    def forward(self, indices: Tensor) -> Tensor:
        """Return the codes of some drawings: (B,) int64 → (B, D) float32 of 0 and 1."""
        found = self.packed[indices.to(self.packed.device)]
        bits = (found[:, :, None] >> torch.arange(8, dtype=torch.uint8, device=found.device)) & 1
        return bits.flatten(1)[:, : self.width].float()

    @torch.no_grad()
    def refresh(self, experiment: Experiment, encoder: SketchEncoder) -> None:
        """Compute the codes of all training drawings with the weights as they are, Eq. 5; processes divide the work."""
        self.packed.zero_()
        context = experiment.context
        rows = torch.arange(context.rank, len(experiment.train), context.world_size)
        for indices, f in _embeddings(experiment, encoder, rows):
            bits = functional.pad(codes(f), (0, 8 * self.packed.shape[1] - self.width)).view(len(f), -1, 8)
            packed = (bits.to(torch.uint8) << torch.arange(8, dtype=torch.uint8, device=f.device)).sum(2)
            self.packed[indices.to(f.device)] = packed.to(torch.uint8)
        context.add_up(self.packed)


class CodeObjective(nn.Module):
    """The whole network and the loss of its codes, to which `held` codes are drawn, if there are any."""

    def __init__(self, encoder: SketchEncoder, loss: CodeLoss, held: HeldCodes | None = None) -> None:
        super().__init__()
        self.encoder, self.loss, self.held = encoder, loss, held
        # They are the same in all processes, and too many to be sent at every step.
        self._ddp_params_and_buffers_to_ignore = ["held.packed"]

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss, its parts, and the accuracy."""
        f, scores = self.encoder(batch)
        labels = batch.labels.to(f.device)
        held = None if self.held is None else self.held(batch.indices)
        loss, parts = self.loss(f, scores, labels, held)
        return loss, {**parts, "accuracy": accuracy(scores, labels)}


def fine_tune(
    experiment: Experiment, encoder: SketchEncoder, name: str, epochs: int, loss: CodeLoss, rate: float
) -> dict[str, Any]:
    """Train the whole network; return the stage's record."""
    validate = experiment.validation(lambda batch: {"accuracy": encoder(batch)[1]})
    return experiment.fit(name, epochs, CodeObjective(encoder, loss), rate, validate=validate)


def center_loss(experiment: Experiment, encoder: SketchEncoder, loss: str, weight: float) -> CodeLoss:
    """Return the loss with the centre loss that `loss` names: `scl` of Xu et al., or `cl` of Wen et al."""
    if "scl" in loss.split("+"):
        return CodeLoss(_centers(experiment, encoder), center_weight=weight)
    common = CenterLoss(len(experiment.architecture.classes), experiment.architecture.width)
    return CodeLoss(common=common, center_weight=weight)


def _centers(experiment: Experiment, encoder: SketchEncoder) -> Tensor:
    """Return the class centres, Eq. 3, (L, D) float32 on the device, computed once in a training."""
    path = experiment.folder.stage_path(_CENTERS)
    if experiment.context.is_main and not path.exists():
        classes = experiment.architecture.classes
        rows = torch.from_numpy(np.flatnonzero(normal_rows(experiment.data, classes, experiment.table)))
        labels = experiment.train.labels.long()
        normal = (
            (f, labels[rows.to(labels.device)].to(f.device)) for rows, f in _embeddings(experiment, encoder, rows)
        )
        write_tensors(path, {_CENTERS: class_centers(normal, len(classes))}, {})
    experiment.context.barrier()
    return read_tensors(path)[0][_CENTERS].to(experiment.context.device)


@torch.no_grad()
def _embeddings(experiment: Experiment, encoder: SketchEncoder, rows: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    encoder.eval()
    for indices in torch.split(rows, experiment.training.batch_size):
        f, _ = encoder(experiment.view().batch(experiment.train, indices))
        yield indices, f


class Validation:
    """Measures accuracy on `val`.

    Args:
        loader: The batches of `val`.
        context: The processes that count together.
        scores: Returns (B, L) scores of a batch, of one or several kinds, by the name of the measure.
    """

    def __init__(
        self, loader: PackedLoader, context: DistributedContext, scores: Callable[[Batch], dict[str, Tensor]]
    ) -> None:
        self.loader, self.context, self.scores = loader, context, scores

    @torch.no_grad()
    def __call__(self) -> dict[str, float]:
        """Return the share of drawings whose class has the highest score, of each kind of scores."""
        right: dict[str, float] = {}
        count = 0
        for batch in self.loader.batches(0):
            count += len(batch.labels)
            for name, scores in self.scores(batch).items():
                found = int((scores.argmax(1) == batch.labels.to(scores.device)).sum())
                right[name] = right.get(name, 0) + found
        count_of_all, *sums = self.context.sum(count, *right.values())
        return {name: value / count_of_all for name, value in zip(right, sums, strict=True)}
