r"""Train a classifier of edge maps, whose features give the classes' edge-map vectors.

    sketchdata train edgemap --data data/edgemap-345c --out runs/edgemap
    sketchdata train edgemap --data data/edgemap-345c --out runs/edgemap --resume                 # after a stop
    sketchdata train edgemap --data data/small --out runs/small --backbone small --size 32 --epochs 10
    sketchdata edgemaps vectors runs/edgemap data/edgemap-345c --out edge-vectors.parquet

Source: Xu et al., "On Learning Semantic Representations for Million-Scale Free-Hand Sketches", section III-D and Table
VIII: networks designed for ImageNet are trained from scratch on the edge maps of EdgeMap-345C. `val` chooses the epoch.
The paper gives neither the number of epochs nor the augmentation.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sketchdata.config import recorded
from sketchdata.edges.dataset import TRAIN, VAL, EdgeMaps, open_edgemaps
from sketchdata.errors import ConfigError
from sketchdata.storage.manifest import MANIFEST_NAME, hash_file
from sketchdata.trainers.options import EdgeMapNetworkConfig as Config
from sketchdata.training.distributed import DistributedContext, distributed
from sketchdata.training.edgemap_classifier import (
    EdgeMapClassifier,
    new_classifier,
    place_for,
    read_edge_maps,
    to_input,
    write_classifier,
)
from sketchdata.training.encoder import backbone_config, recorded_weights, start_pretrained, weights_record
from sketchdata.training.experiment import Validation, accuracy, loader_of
from sketchdata.training.loader import Batch, View
from sketchdata.training.loop import TrainingStage, fit
from sketchdata.training.options import NetworkOptions, TrainingOptions
from sketchdata.training.packed import Augmentation
from sketchdata.training.run_folder import METRICS, MODEL, RunFolder, open_run, read_record, stage_seconds

#: The only stage.
STAGE = "edgemap"
#: Augmentation without rotation, which would blur the pixels.
_CHANGES = Augmentation(rotate=0.0)


def known_classes(maps: EdgeMaps) -> tuple[str, ...]:
    """Return the classes that have edge maps in `train`, in the order of the class table.

    Raises:
        ConfigError: There are fewer than two such classes, or `val` has no edge maps of them.
    """
    counts, val = (maps.manifest.counts.get(split, {}) for split in (TRAIN, VAL))
    found = tuple(word for word in maps.classes if counts.get(word))
    if len(found) < 2:
        raise ConfigError(f"{maps.directory} has edge maps in {TRAIN} of {len(found)} classes: at least 2 are needed")
    if not any(val.get(word) for word in found):
        raise ConfigError(f"{maps.directory} has no edge map in {VAL} to choose an epoch by: build it with --val-share")
    return found


def check_batches(network: nn.Module, count: int, batch_size: int, world_size: int) -> None:
    """Refuse batches of one edge map, with which batch normalisation cannot be trained.

    Raises:
        ConfigError: An epoch would have such a batch.
    """
    whole = min(batch_size, count)
    rest = count % whole
    # A last batch with fewer maps than processes is skipped.
    smallest = min([whole // world_size, *([rest // world_size] if rest >= world_size else [])])
    if smallest < 2 and any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in network.modules()):
        raise ConfigError(
            f"--batch-size {batch_size} gives a process a batch of one edge map, of {count:,}, with which the "
            "network's batch normalisation cannot be trained: choose another"
        )


def prepare(
    config: Config, training: TrainingOptions, maps: EdgeMaps, context: DistributedContext
) -> tuple[RunFolder, EdgeMapClassifier]:
    """Build the network, check options and memory, and open the run folder.

    Raises:
        ConfigError: Options, data, memory and folder do not match.
    """
    network = NetworkOptions(branch="cnn", backbone=config.backbone, weights=config.weights, size=config.size)
    network.check()
    weights = weights_record(network, config.out)
    classes = known_classes(maps)
    torch.manual_seed(training.seed)
    classifier = new_classifier(config.backbone, config.size, classes, backbone_config(network, config.out))
    check_batches(classifier.network, maps.splits[TRAIN], training.batch_size, context.world_size)
    facts = {
        "trainer": "edgemap",
        "options": recorded(config) | recorded(training) | recorded_weights(weights),
        "weights": weights,
        "classes": list(classes),
        "manifest": hash_file(config.data / MANIFEST_NAME, "sha256"),
        "data": str(config.data.resolve()),
    }
    _place(maps, context)
    folder = open_run(config.out, facts, resume=training.resume, context=context)
    if folder.report() is None:
        start_pretrained(network, folder, classifier.network)
    return folder, classifier


def _place(maps: EdgeMaps, context: DistributedContext) -> torch.device:
    return place_for(maps.splits[TRAIN] + maps.splits.get(VAL, 0), maps.size, context.device)


class Classification(nn.Module):
    """A network with the cross entropy of its scores as loss."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def scores(self, batch: Batch) -> dict[str, Tensor]:
        """Return the (B, L) scores of a batch: {name of the measure: scores}."""
        assert batch.raster is not None  # noqa: S101 - the view makes one
        device = next(self.network.parameters()).device
        scores: Tensor = self.network(to_input(batch.raster.to(device)))
        return {"accuracy": scores.float()}

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the cross entropy and the accuracy."""
        scores = self.scores(batch)["accuracy"]
        labels = batch.labels.to(scores.device)
        return functional.cross_entropy(scores, labels), {"accuracy": accuracy(scores, labels)}


def run(config: Config, training: TrainingOptions) -> dict[str, Any]:
    """Train the classifier, write it and its report, and return the report.

    Raises:
        ConfigError: Folders, options, data, memory and device do not match.
        SketchDataError: The data is damaged, the training diverged, or the disk is full.
        InterruptedRunError: Ctrl-C; `--resume` continues.
    """
    with distributed(training.device) as context:
        maps = open_edgemaps(config.data, size=config.size)
        folder, classifier = prepare(config, training, maps, context)
        if (report := folder.report()) is not None:
            return report
        place = _place(maps, context)
        train, val = (read_edge_maps(maps, split, classifier.classes, place) for split in (TRAIN, VAL))
        network: Any = classifier.network.to(context.device)
        if training.compile:
            network.forward = torch.compile(network.forward)
        objective = Classification(network)
        view = View(size=classifier.size, max_points=None)
        learning = replace(view, augment=_CHANGES if config.augment else None)
        stage = TrainingStage(
            name=STAGE,
            epochs=config.epochs,
            objective=objective,
            groups=[(list(network.parameters()), training.learning_rate)],
            loader=loader_of(train, learning, training, context, shuffle=True),
            validate=Validation(loader_of(val, view, training, context), context, objective.scores),
        )
        record = fit(stage, folder, training)
        if context.is_main:
            write_classifier(folder.path, classifier)
        context.barrier()
        return folder.finish(
            {
                "trainer": "edgemap",
                "options": read_record(folder.path)["options"],
                "stages": [record],
                "classes": len(classifier.classes),
                "chance": 1 / len(classifier.classes),
                "edge_maps": {TRAIN: len(train), VAL: len(val)},
                # Edge maps of `val` of classes without edge maps in `train`.
                "val_left_out": maps.splits[VAL] - len(val),
                "parameters": sum(each.numel() for each in network.parameters()),
                "seconds": round(sum(stage_seconds(folder.path / METRICS).values()), 1),
                "sha256": hash_file(folder.path / MODEL, "sha256"),
            }
        )
