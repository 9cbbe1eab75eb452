r"""Train deep hashing methods of the paper's comparison, and later ones, on the network of `hashing`.

    sketchdata train hashing-baselines --data data/quickdraw-3.8m --out runs/greedyhash --branch cnn --method greedyhash
    sketchdata train hashing-baselines --data data/quickdraw-3.8m --out runs/csq --branch cnn --method csq \
        --pretrained runs/greedyhash                                                      # the same branch, once

Source of the comparison: Xu et al., "On Learning Semantic Representations for Million-Scale Free-Hand Sketches",
section IV-A: all methods use the same branch. Each trains the branch by cross entropy, as `hashing` does, and then uses
its loss of `sketchdata/training/losses.py`, which names the source. DLBHC is the trainer `hashing` with
`--branch cnn --loss cel`. The best epoch is the one with the highest retrieval score of the codes of `val`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from sketchdata.classes.vectors import read_class_vectors
from sketchdata.errors import ConfigError
from sketchdata.retrieval.code_evaluation import CodeValidation, class_means
from sketchdata.retrieval.hash_centers import hadamard_centers, random_centers
from sketchdata.trainers.options import BaselinesConfig as Config
from sketchdata.training.encoder import THRESHOLDS, Activation, SketchEncoder
from sketchdata.training.experiment import Experiment, pretrain, train_encoder
from sketchdata.training.loader import Batch
from sketchdata.training.losses import CentralLoss, FactorLoss, GreedyLoss, MarginLoss, PairLoss
from sketchdata.training.options import NetworkOptions, TrainingOptions

#: {method: activation of its code layer}.
METHODS: dict[str, Activation] = {
    "dsh-pair": "identity",
    "dsh-sketch": "identity",
    "greedyhash": "identity",
    "csq": "sigmoid",
    "orthohash": "cosine",
}
#: Hoe et al.: a margin of 0.2 to 0.3 and the square root of D.
_MARGIN = 0.2


class MethodObjective(nn.Module):
    """The network with a loss of its (B, D) embeddings, (B, L) scores and (B,) labels."""

    def __init__(self, encoder: SketchEncoder, loss: nn.Module) -> None:
        super().__init__()
        self.encoder, self.loss = encoder, loss

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and its parts."""
        u, scores = self.encoder(batch)
        loss, parts = self.loss(u, scores, batch.labels.to(u.device))
        return loss, {name: part.detach() for name, part in parts.items()}


def run(config: Config, network: NetworkOptions, training: TrainingOptions) -> dict[str, Any]:
    """Train the branches, then the codes; write the network and its report, and return the report.

    Raises:
        ConfigError: Folders, options, data and device do not match.
        SketchDataError: The data is damaged, the training diverged, or the disk is full.
        InterruptedRunError: Ctrl-C; `--resume` continues.
    """
    if config.method == "dsh-sketch" and (config.vectors is None or config.vector_words is None):
        raise ConfigError("--method dsh-sketch needs word vectors: give --vectors and --vector-words")
    code_layer = int(config.bits), METHODS[config.method]
    return train_encoder("hashing-baselines", config, network, training, _learn, code_layer)


def _learn(experiment: Experiment, encoder: SketchEncoder, config: Config) -> Iterator[dict[str, Any]]:
    yield from pretrain(experiment, encoder, config)
    yield _learn_codes(experiment, encoder, config)
    if config.method.startswith("dsh"):
        # DSH learns no classifier, so it gets a nearest-class-mean classifier.
        means = class_means(experiment.train, encoder, experiment.view())
        encoder.fusion.classifier.weight.data.copy_(2 * means)
        encoder.fusion.classifier.bias.data.copy_(-means.square().sum(1))


def _learn_codes(experiment: Experiment, encoder: SketchEncoder, config: Config) -> dict[str, Any]:
    objective = MethodObjective(encoder, _loss(experiment, encoder, config))
    measure = CodeValidation(experiment.val, encoder, experiment.view(), THRESHOLDS[encoder.fusion.activation])
    # DSH has no classifier before the end of the training, and therefore no accuracy.
    names = ("map",) if config.method.startswith("dsh") else ("map", "accuracy")

    def validate() -> dict[str, float]:
        found = measure()
        return {name: found[name] for name in names}

    rate = config.cnn_learning_rate
    return experiment.fit("codes", config.code_epochs, objective, rate, validate=validate, chooser="map")


def _loss(experiment: Experiment, encoder: SketchEncoder, config: Config) -> nn.Module:
    """Return the method's loss; set and freeze the classifier of methods that do not learn one."""
    classes, bits, seed = len(experiment.architecture.classes), int(config.bits), experiment.training.seed
    classifier = encoder.fusion.classifier
    if config.method == "greedyhash":
        return GreedyLoss(classifier)
    classifier.requires_grad_(False)
    if config.method == "dsh-pair":
        return PairLoss()
    if config.method == "dsh-sketch":
        assert config.vectors is not None  # noqa: S101 - `run` has looked
        assert config.vector_words is not None  # noqa: S101
        vectors, _ = read_class_vectors(config.vectors, config.vector_words, experiment.architecture.classes)
        return FactorLoss(torch.from_numpy(vectors), bits)
    make = hadamard_centers if config.method == "csq" else random_centers
    centers = torch.from_numpy(make(classes, bits, seed)).float().to(experiment.context.device)
    classifier.weight.data.copy_(centers)
    if config.method == "csq":
        # Up to a constant, the score of a class is the number of bits that equal those of its centre.
        classifier.bias.data.copy_(-centers.sum(1) / 2)
        return CentralLoss(centers)
    classifier.scale.fill_(bits**0.5)
    return MarginLoss(bits**0.5, _MARGIN)
