r"""Train a classifier of edge maps, of which the features are the classes' edge-map vectors.

    sketchdata train edgemap --data data/edgemap-345c --out runs/edgemap
    sketchdata train edgemap --data data/edgemap-345c --out runs/edgemap --resume                 # after a stop
    sketchdata train edgemap --data data/small --out runs/small --backbone small --size 32 --epochs 10
    sketchdata edgemaps vectors runs/edgemap data/edgemap-345c --out edge-vectors.parquet

Source: Xu et al., "On Learning Semantic Representations for Million-Scale Free-Hand Sketches", section III-D and Table
VIII: ImageNet's networks, from scratch, on the edge maps of EdgeMap-345C. `val` chooses the epoch. The paper gives
neither the number of epochs nor changes of the pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sketchdata.config import recorded
from sketchdata.edges.dataset import TRAIN, VAL, EdgeMaps, open_edgemaps
from sketchdata.errors import ConfigError
from sketchdata.storage.manifest import MANIFEST_NAME, hash_file
from sketchdata.trainers import recognition
from sketchdata.trainers.options import EdgeMapNetworkConfig as Config
from sketchdata.training.augmentation import Augmentation
from sketchdata.training.distributed import Ranks, joined
from sketchdata.training.edgemap_classifier import (
    EdgeMapClassifier,
    PackedEdgeMaps,
    new_classifier,
    place_for,
    read_edge_maps,
    to_input,
    write_classifier,
)
from sketchdata.training.encoder import backbone_config, recorded_weights, start_pretrained, weights_record
from sketchdata.training.loader import Batch, Order, PackedLoader, View
from sketchdata.training.loop import Stage, fit
from sketchdata.training.options import NetworkOptions, TrainingOptions
from sketchdata.training.run_folder import METRICS, MODEL, RunFolder, open_run, read_record, stage_seconds

#: The one stage.
STAGE = "edgemap"
#: Edge maps are pixels already, which turning would blur.
_CHANGES = Augmentation(rotate=0.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Experiment:
    """All that the training works with."""

    folder: RunFolder
    training: TrainingOptions
    train: PackedEdgeMaps
    val: PackedEdgeMaps
    classifier: EdgeMapClassifier
    augment: bool

    @property
    def ranks(self) -> Ranks:
        """Who this process is."""
        return self.folder.ranks

    def loader(self, packed: PackedEdgeMaps, *, learning: bool) -> PackedLoader:
        """Return this process's batches: mixed and changed for learning, in their order and as they are otherwise."""
        order = Order(
            count=len(packed),
            batch_size=min(self.training.batch_size, len(packed)),
            seed=self.training.seed,
            shuffle=learning,
            rank=self.ranks.rank,
            world=self.ranks.world,
        )
        changes = _CHANGES if learning and self.augment else None
        view = View(size=self.classifier.size, max_points=None, augment=changes)
        return PackedLoader(packed=packed, order=order, view=view)


# ---- before anything is written --------------------------------------------------------------------------------------


def known_classes(maps: EdgeMaps) -> tuple[str, ...]:
    """Return the classes that have edge maps to learn from, in the order of the class table.

    Raises:
        ConfigError: There are fewer than two, and nothing could be told apart; or `val` has no edge map of any.
    """
    counts, val = (maps.manifest.counts.get(split, {}) for split in (TRAIN, VAL))
    found = tuple(word for word in maps.classes if counts.get(word))
    if len(found) < 2:
        raise ConfigError(
            f"{maps.directory} has edge maps to learn from of {len(found)} classes: 2 are needed at least"
        )
    if not any(val.get(word) for word in found):
        raise ConfigError(f"{maps.directory} has no edge map in {VAL} to choose an epoch by: build it with --val-share")
    return found


def check_batches(network: nn.Module, count: int, batch_size: int, world: int) -> None:
    """Refuse batches of one edge map, of which batch normalisation makes nothing.

    Raises:
        ConfigError: An epoch would have one.
    """
    whole = min(batch_size, count)
    rest = count % whole
    # A last batch of fewer maps than processes is left out.
    smallest = min([whole // world, *([rest // world] if rest >= world else [])])
    if smallest < 2 and any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in network.modules()):
        raise ConfigError(
            f"--batch-size {batch_size} leaves a process a batch of one edge map, of {count:,}, which this network's "
            "batch normalisation cannot learn from: take another"
        )


def prepare(
    config: Config, training: TrainingOptions, maps: EdgeMaps, ranks: Ranks
) -> tuple[RunFolder, EdgeMapClassifier]:
    """Build the network, see to it that it can learn here, and open the run folder.

    Raises:
        ConfigError: Options, data, memory and folder do not fit.
    """
    network = NetworkOptions(branch="cnn", backbone=config.backbone, weights=config.weights, size=config.size)
    network.check()
    weights = weights_record(network, config.out)
    classes = known_classes(maps)
    torch.manual_seed(training.seed)
    classifier = new_classifier(config.backbone, config.size, classes, backbone_config(network, config.out))
    check_batches(classifier.network, maps.splits[TRAIN], training.batch_size, ranks.world)
    facts = {
        "trainer": "edgemap",
        "options": recorded(config) | recorded(training) | recorded_weights(weights),
        "weights": weights,
        "classes": list(classes),
        "manifest": hash_file(config.data / MANIFEST_NAME, "sha256"),
        "data": str(config.data.resolve()),
    }
    _place(maps, ranks)
    folder = open_run(config.out, facts, resume=training.resume, ranks=ranks)
    if folder.report() is None:
        start_pretrained(network, folder, classifier.network)
    return folder, classifier


def _place(maps: EdgeMaps, ranks: Ranks) -> torch.device:
    """Return where the edge maps of both splits lie."""
    return place_for(maps.splits[TRAIN] + maps.splits.get(VAL, 0), maps.size, ranks.device)


# ---- learning --------------------------------------------------------------------------------------------------------


class Classification(nn.Module):
    """A network and the cross entropy of its scores.

    Args:
        network: Gives scores.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def answers(self, batch: Batch) -> dict[str, Tensor]:
        """Return (B, L) scores of a batch, named for what is measured by them."""
        assert batch.raster is not None  # noqa: S101 - the view makes one
        device = next(self.network.parameters()).device
        scores: Tensor = self.network(to_input(batch.raster.to(device)))
        return {"accuracy": scores.float()}

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the cross entropy, and the share that is recognised."""
        scores = self.answers(batch)["accuracy"]
        labels = batch.labels.to(scores.device)
        return functional.cross_entropy(scores, labels), {"accuracy": recognition.share(scores, labels)}


def run(config: Config, training: TrainingOptions) -> dict[str, Any]:
    """Train the classifier, write it, and return the report that is written beside it.

    Raises:
        ConfigError: Folders, options, memory or the device do not fit.
        SketchDataError: The data is damaged, the training diverged, or the disk is full.
        InterruptedRunError: Ctrl-C; `--resume` goes on.
    """
    with joined(training.device) as ranks:
        maps = open_edgemaps(config.data, size=config.size)
        folder, classifier = prepare(config, training, maps, ranks)
        if (report := folder.report()) is not None:
            return report
        place = _place(maps, ranks)
        train, val = (read_edge_maps(maps, split, classifier.classes, place) for split in (TRAIN, VAL))
        experiment = Experiment(
            folder=folder, training=training, train=train, val=val, classifier=classifier, augment=config.augment
        )
        record = learn(experiment, config.epochs)
        return _conclude(experiment, record, left_out=maps.splits[VAL] - len(val))


def learn(experiment: Experiment, epochs: int) -> dict[str, Any]:
    """Train the network; return the stage's record."""
    training, network = experiment.training, experiment.classifier.network.to(experiment.ranks.device)
    if training.compile:
        network.forward = torch.compile(network.forward)
    objective = Classification(network)
    val = experiment.loader(experiment.val, learning=False)
    stage = Stage(
        name=STAGE,
        epochs=epochs,
        objective=objective,
        groups=[(list(network.parameters()), training.learning_rate)],
        loader=experiment.loader(experiment.train, learning=True),
        validate=recognition.Validation(val, experiment.ranks, objective.answers),
    )
    return fit(stage, experiment.folder, training)


def _conclude(experiment: Experiment, record: dict[str, Any], left_out: int) -> dict[str, Any]:
    """Write the network, and last the report; return the report."""
    folder, classifier = experiment.folder, experiment.classifier
    if folder.ranks.leads:
        write_classifier(folder.path, classifier)
    folder.ranks.wait()
    return folder.finish(
        {
            "trainer": "edgemap",
            "options": read_record(folder.path)["options"],
            "stages": [record],
            "classes": len(classifier.classes),
            "chance": 1 / len(classifier.classes),
            "edge_maps": {TRAIN: len(experiment.train), VAL: len(experiment.val)},
            # Of classes that have none to learn from.
            "val_left_out": left_out,
            "parameters": sum(each.numel() for each in classifier.network.parameters()),
            "seconds": round(sum(stage_seconds(folder.path / METRICS).values()), 1),
            "sha256": hash_file(folder.path / MODEL, "sha256"),
        }
    )
