r"""Train the dual-branch network to recognise drawings.

    sketchdata train recognition --data data/quickdraw-3.8m --out runs/recognition
    sketchdata train recognition --data data/quickdraw-3.8m --out runs/recognition --resume       # after a stop
    sketchdata train recognition --data data/small --out runs/small --backbone small --size 32 --hidden 64 \
        --cnn-epochs 3 --rnn-epochs 3 --fusion-epochs 2 --center-epochs 2                         # about a minute
    sketchdata train recognition --data data/quickdraw --out runs/bitmaps --branch cnn --loss cel     # official bitmaps
    torchrun --nproc-per-node 8 -m sketchdata train recognition --data … --out …                  # eight GPUs
    sketchdata evaluate runs/recognition

Source: Xu et al., "On Learning Semantic Representations for Million-Scale Free-Hand Sketches", Algorithm 1, steps 1 to
4. Each branch learns on its own; the fusion layer joins them and all learn together; then the class centres are
computed, and drawings are drawn to them. `val` chooses the best epoch of each stage; `gallery` and `query` are never
looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set
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
from sketchdata.trainers.options import RecognitionConfig as Config
from sketchdata.training.augmentation import Augmentation
from sketchdata.training.bitmaps import Packed, holds_bitmaps, identity, read_split
from sketchdata.training.checkpoints import read_tensors, write_tensors
from sketchdata.training.distributed import Ranks, joined
from sketchdata.training.encoder import (
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
from sketchdata.training.loop import Stage, fit
from sketchdata.training.losses import CenterLoss, CodeLoss, class_centers
from sketchdata.training.models import Activation
from sketchdata.training.options import NetworkOptions, TrainingOptions
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
_AFTER_FUSION = frozenset({"loss", "method", "center_weight", "code_weight", "center_epochs", "code_epochs"})
_AFTER_BRANCHES = _AFTER_FUSION | {"branch", "width", "bits", "fusion_epochs"}
#: {stage: the options on which it does not depend}, of those that several trainings can share.
INDEPENDENT: Mapping[str, Set[str]] = {
    "cnn": _AFTER_BRANCHES | {"rnn_epochs", "hidden", "layers", "max_points"},
    "rnn": _AFTER_BRANCHES
    | {"cnn_epochs", "cnn_learning_rate", "backbone", "weights", "size", "line_width", "channels"},
    "fusion": _AFTER_FUSION,
}


# ---- the data and the network ----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, eq=False)
class Experiment:
    """All that the stages share."""

    folder: RunFolder
    training: TrainingOptions
    data: Path
    train: Packed
    val: Packed
    architecture: Architecture
    augment: bool

    @property
    def ranks(self) -> Ranks:
        """Who this process is."""
        return self.folder.ranks

    def loader(self, packed: Packed, *, learning: bool) -> PackedLoader:
        """Return this process's batches: mixed and changed for learning, in their order and as they are otherwise."""
        size, world = min(self.training.batch_size, len(packed)), self.ranks.world
        order = Order(
            count=len(packed),
            batch_size=size,
            seed=self.training.seed,
            shuffle=learning,
            rank=self.ranks.rank,
            world=world,
        )
        return PackedLoader(packed=packed, order=order, view=self.view(learning=learning))

    def view(self, *, learning: bool = False) -> View:
        """Return what the network reads of a drawing: changed a little for learning, if that is wanted."""
        changes = Augmentation() if learning and self.augment else None
        return view_of(self.architecture.network, self.architecture.scale, changes)

    def validation(self, answers: Callable[[Batch], dict[str, Tensor]]) -> Validation:
        """Return what measures a network on `val`."""
        return Validation(self.loader(self.val, learning=False), self.ranks, answers)

    def fit(self, name: str, epochs: int, objective: nn.Module, rate: float, **validation: Any) -> dict[str, Any]:
        """Train an objective, its picture branch at a rate of its own; return the stage's record."""
        trained = {each_name: each for each_name, each in objective.named_parameters() if each.requires_grad}
        slow = [each for each_name, each in trained.items() if "picture" in each_name.split(".")]
        rest = [each for each_name, each in trained.items() if "picture" not in each_name.split(".")]
        stage = Stage(
            name=name,
            epochs=epochs,
            objective=objective,
            groups=[(group, peak) for group, peak in ((rest, self.training.learning_rate), (slow, rate)) if group],
            loader=self.loader(self.train, learning=True),
            **validation,
        )
        return fit(stage, self.folder, self.training)


def prepare(
    trainer: str,
    config: Any,
    network: NetworkOptions,
    training: TrainingOptions,
    ranks: Ranks,
) -> tuple[RunFolder, dict[str, Any]]:
    """Open the run folder; return it, and what it records.

    Raises:
        ConfigError: The folder or the options do not fit.
        SketchDataError: There is no data set.
    """
    facts = facts_of(trainer, config, network, training)
    classes = facts["classes"]
    unseen = draw_classes(classes, config.unseen, leave=2)
    facts |= {"classes": [word for word in classes if word not in unseen], "unseen": list(unseen)}
    return begin(config, facts, training.resume, ranks), facts


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
    classes, manifest = identity(config.data)
    return {
        "trainer": trainer,
        "options": recorded(config) | recorded(network) | recorded(training) | recorded_weights(weights),
        "weights": weights,
        "classes": list(classes),
        "manifest": manifest,
        "data": str(config.data.resolve()),
    }


def begin(
    config: Any,
    facts: dict[str, Any],
    resume: bool,
    ranks: Ranks,
    independent: Mapping[str, Set[str]] = INDEPENDENT,
) -> RunFolder:
    """Open the run folder with what `--pretrained` has for it, which is added to the facts.

    Args:
        config: Names the folders.
        facts: What is recorded.
        resume: Whether to go on with a training.
        ranks: Who this process is.
        independent: {stage that may be taken over: the options on which it does not depend}.

    Raises:
        ConfigError: The folder holds something else, or the other training has nothing that fits.
    """
    if (other := getattr(config, "pretrained", None)) is not None:
        facts["pretrained"] = usable_stages(other, facts, independent)
    folder = open_run(config.out, facts, resume=resume, ranks=ranks)
    if other is not None and folder.report() is None:
        folder.take(other, facts["pretrained"])
    return folder


def _check_for_bitmaps(network: NetworkOptions, loss: str) -> None:
    """Refuse what only drawings can give, before anything is read or written."""
    if network.branch != "cnn":
        raise ConfigError(f"bitmaps have no points for --branch {network.branch}: take --branch cnn")
    if network.channels != "ink":
        raise ConfigError(f"bitmaps do not say when a pixel was drawn, for --channels {network.channels}: take ink")
    if network.line_width != 1:
        raise ConfigError(f"bitmaps have their lines already: take --line-width 1, not {network.line_width}")
    if "scl" in loss.split("+"):
        raise ConfigError(
            f"--loss {loss} needs the image entropy of drawings, for its centres: take --loss cel or cel+cl"
        )


def read_experiment(
    folder: RunFolder,
    config: Any,
    network: NetworkOptions,
    training: TrainingOptions,
    width: int,
    activation: Activation = "sigmoid",
) -> Experiment:
    """Pack drawings or bitmaps of the classes to be learned onto the device, and settle the network's architecture.

    Raises:
        ConfigError: A split is missing or empty.
        SketchDataError: A file cannot be read.
    """
    seen = read_record(folder.path)["classes"]
    train, val = (read_split(config.data, split).of_classes(seen).to(folder.ranks.device) for split in (TRAIN, VAL))
    architecture = Architecture(
        network=network,
        width=width,
        activation=activation,
        scale=train.offset_scale(),
        classes=train.classes,
        config=backbone_config(network, folder.path),
    )
    return Experiment(
        folder=folder,
        training=training,
        data=config.data,
        train=train,
        val=val,
        architecture=architecture,
        augment=config.augment,
    )


def new_encoder(experiment: Experiment) -> SketchEncoder:
    """Return the network with the first weights that the seed gives, or pretrained ones for the picture branch."""
    torch.manual_seed(experiment.training.seed)
    encoder = experiment.architecture.encoder()
    start_pretrained(experiment.architecture.network, experiment.folder, encoder.fusion.picture)
    if encoder.fusion.points is not None:
        # Beside whatever picture branch, or none: so that trainings can share this branch.
        torch.manual_seed(experiment.training.seed)
        encoder.fusion.points.gru.reset_parameters()
    encoder.to(experiment.ranks.device)
    if experiment.training.compile and encoder.fusion.picture is not None:
        # The points' branch is one call of cuDNN's already, of a length that changes with every batch.
        encoder.fusion.picture.extract = torch.compile(encoder.fusion.picture.extract)
    return encoder


# ---- steps 1 and 2: each branch alone --------------------------------------------------------------------------------


class BranchObjective(nn.Module):
    """One branch with a classifier of its own, which is left behind when both are joined.

    Args:
        encoder: The network that the branch belongs to.
        name: `picture` or `points`.
        classes: Number of classes L.
    """

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

    def answers(self, batch: Batch) -> dict[str, Tensor]:
        """Return the same, named for what is measured by them."""
        return {"accuracy": self.scores(batch)}

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the cross entropy, Eq. 1, and the share that is recognised."""
        scores = self.scores(batch)
        labels = batch.labels.to(scores.device)
        return functional.cross_entropy(scores, labels), {"accuracy": share(scores, labels)}


def share(scores: Tensor, labels: Tensor) -> Tensor:
    """Return the share of drawings whose own class has the highest score, of (B, L) and (B,)."""
    return (scores.detach().argmax(1) == labels).float().mean()


def pretrain(experiment: Experiment, encoder: SketchEncoder, config: Any) -> Iterator[dict[str, Any]]:
    """Train each branch of a network alone; yield the stages' records."""
    classes = len(experiment.architecture.classes)
    for name, branch, epochs in (("cnn", "picture", config.cnn_epochs), ("rnn", "points", config.rnn_epochs)):
        if getattr(encoder.fusion, branch) is None:
            continue
        torch.manual_seed(experiment.training.seed)
        objective = BranchObjective(encoder, branch, classes)
        validate = experiment.validation(objective.answers)
        yield experiment.fit(name, epochs, objective, config.cnn_learning_rate, validate=validate)


# ---- steps 3 and 4: together, then with centres ----------------------------------------------------------------------


class CodeObjective(nn.Module):
    """The whole network and the loss of its codes.

    Args:
        encoder: The network.
        loss: What is added up.
    """

    def __init__(self, encoder: SketchEncoder, loss: CodeLoss) -> None:
        super().__init__()
        self.encoder, self.loss = encoder, loss

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss, its parts, and the share that is recognised."""
        f, scores = self.encoder(batch)
        labels = batch.labels.to(f.device)
        loss, parts = self.loss(f, scores, labels)
        return loss, {**parts, "accuracy": share(scores, labels)}


def fine_tune(
    experiment: Experiment, encoder: SketchEncoder, name: str, epochs: int, loss: CodeLoss, rate: float
) -> dict[str, Any]:
    """Train the whole network; return the stage's record."""
    validate = experiment.validation(lambda batch: {"accuracy": encoder(batch)[1]})
    return experiment.fit(name, epochs, CodeObjective(encoder, loss), rate, validate=validate)


def center_loss(experiment: Experiment, encoder: SketchEncoder, loss: str, weight: float) -> CodeLoss:
    """Return the loss with the centre loss that `loss` names: `scl` of Xu et al., or `cl` of Wen et al."""
    if "scl" in loss.split("+"):
        return CodeLoss(centers(experiment, encoder), center_weight=weight)
    common = CenterLoss(len(experiment.architecture.classes), experiment.architecture.width)
    return CodeLoss(common=common, center_weight=weight)


def centers(experiment: Experiment, encoder: SketchEncoder) -> Tensor:
    """Return the class centres, Eq. 3, (L, D) float32 on the device, computed once in a training."""
    path = experiment.folder.stage_path(_CENTERS)
    if experiment.ranks.leads and not path.exists():
        classes = len(experiment.architecture.classes)
        write_tensors(path, {_CENTERS: class_centers(_normal_outputs(experiment, encoder), classes)}, {})
    experiment.ranks.wait()
    return read_tensors(path)[0][_CENTERS].to(experiment.ranks.device)


@torch.no_grad()
def _normal_outputs(experiment: Experiment, encoder: SketchEncoder) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the outputs and labels of the training drawings of normal entropy."""
    encoder.eval()
    rows = torch.from_numpy(np.flatnonzero(normal_rows(experiment.data, experiment.architecture.classes)))
    view = experiment.view()
    for indices in torch.split(rows, experiment.training.batch_size):
        batch = view.batch(experiment.train, indices)
        f, _ = encoder(batch)
        yield f, batch.labels.to(f.device)


# ---- how good it is --------------------------------------------------------------------------------------------------


class Validation:
    """Measures a network on `val`.

    Args:
        loader: Gives the batches of `val`.
        ranks: Who counts together.
        answers: Gives (B, L) scores of a batch, of one or several kinds, by the name of what is measured.
    """

    def __init__(self, loader: PackedLoader, ranks: Ranks, answers: Callable[[Batch], dict[str, Tensor]]) -> None:
        self.loader, self.ranks, self.answers = loader, ranks, answers

    @torch.no_grad()
    def __call__(self) -> dict[str, float]:
        """Return the share of drawings whose class has the highest score, of each kind of scores."""
        right: dict[str, float] = {}
        count = 0
        for batch in self.loader.batches(0):
            count += len(batch.labels)
            for name, scores in self.answers(batch).items():
                found = int((scores.argmax(1) == batch.labels.to(scores.device)).sum())
                right[name] = right.get(name, 0) + found
        count_of_all, *totals = self.ranks.total(count, *right.values())
        return {name: total / count_of_all for name, total in zip(right, totals, strict=True)}


# ---- from the drawings to the network --------------------------------------------------------------------------------


def run(config: Config, network: NetworkOptions, training: TrainingOptions) -> dict[str, Any]:
    """Train stage by stage, write the network, and return the report that is written beside it.

    Raises:
        ConfigError: Folders, options or the device do not fit.
        SketchDataError: The data is damaged, the training diverged, or the disk is full.
        InterruptedRunError: Ctrl-C; `--resume` goes on.
    """
    with joined(training.device) as ranks:
        folder, facts = prepare("recognition", config, network, training, ranks)
        if (report := folder.report()) is not None:
            return report
        experiment = read_experiment(folder, config, network, training, config.width)
        encoder, rate = new_encoder(experiment), config.cnn_learning_rate
        records = list(pretrain(experiment, encoder, config))
        records += [fine_tune(experiment, encoder, "fusion", config.fusion_epochs, CodeLoss(), rate)]
        if config.loss != "cel":
            loss = center_loss(experiment, encoder, config.loss, config.center_weight)
            records += [fine_tune(experiment, encoder, "centers", config.center_epochs, loss, rate)]
        return conclude(experiment, encoder, records, facts)


def conclude(
    experiment: Experiment, encoder: SketchEncoder, records: list[dict[str, Any]], facts: dict[str, Any]
) -> dict[str, Any]:
    """Write the network, and last the report; return the report."""
    return experiment.folder.finish(keep(experiment, encoder, records, facts))


def keep(
    experiment: Experiment, encoder: SketchEncoder, records: list[dict[str, Any]], facts: dict[str, Any]
) -> dict[str, Any]:
    """Write the network, and return what the report is to say of it."""
    folder = experiment.folder
    if folder.ranks.leads:
        write_encoder(folder.path, encoder, experiment.architecture)
    folder.ranks.wait()
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
