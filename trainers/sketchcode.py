r"""Train our own recipe for binary codes of drawings: one small network, no recurrent branch, two stages.

    sketchdata train sketchcode --data data/quickdraw-3.8m --out runs/sketchcode-64 --bits 64 --augment
    sketchdata train sketchcode --data data/quickdraw-3.8m --out runs/sketchcode-64 --bits 64 --augment --resume
    sketchdata train sketchcode --data data/small --out runs/small --size 32 --proxy-epochs 3 --code-epochs 5

Replacements of the paper's parts:

1. *Strokes as channels.* The picture has the ink, order and direction of each pixel, so that a convolutional network
   reads the input of the recurrent branch at a fraction of the cost (`--channels ink` leaves out order and direction).
2. *Proxies.* Scores are cosines between a drawing's normalised code layer and a learned direction of its class, minus a
   margin for the drawing's class (Hoe et al., NeurIPS 2021); `--margin 0` leaves the margin out.
3. *Similar codes for similar classes.* The learned directions are rotated for a small quantisation error of their signs
   (ITQ); the signs, changed where two classes have the same, become the fixed codes of the classes (`--centers`).
4. *Self-distillation.* A classifier before the code layer is the teacher of the code's scores (`--distillation 0`
   leaves it out).

The best epoch is the one with the highest retrieval score of the codes of `val`; `gallery` and `query` are not used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sketchdata.retrieval.code_evaluation import CodeValidation
from sketchdata.retrieval.hash_centers import hadamard_centers, random_centers, semantic_centers
from sketchdata.storage.tensors import read_tensors, write_tensors
from sketchdata.trainers.options import SketchcodeConfig as Config
from sketchdata.trainers.options import SketchcodeNetwork as Network
from sketchdata.training.encoder import THRESHOLDS, SketchEncoder, pictures_of
from sketchdata.training.experiment import Experiment, accuracy, train_encoder
from sketchdata.training.loader import Batch
from sketchdata.training.losses import MarginLoss, distillation, quantisation_angle
from sketchdata.training.options import TrainingOptions

_CENTERS_FILE = "hash-centers"


class ProxyObjective(nn.Module):
    """The losses of the network and of a teacher, which classifies the input features of the code layer."""

    def __init__(
        self, encoder: SketchEncoder, teacher: nn.Linear, margin: MarginLoss, quantisation: float, distillation: float
    ) -> None:
        super().__init__()
        self.encoder, self.teacher, self.margin = encoder, teacher, margin
        self.quantisation, self.distillation = quantisation, distillation

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss, its unweighted parts, and the accuracy."""
        fusion = self.encoder.fusion
        device = fusion.fuse.weight.device
        sequence = None if batch.sequence is None else batch.sequence.to(device)
        features = fusion.extract(pictures_of(batch, device), sequence, batch.lengths)
        u = fusion.embed(features).float()
        scores, y = fusion.classifier(u), batch.labels.to(device)
        loss, parts = self.margin(u, scores, y)
        parts["angle"] = quantisation_angle(u)
        loss = loss + self.quantisation * parts["angle"]
        if self.distillation:
            taught = self.teacher(features).float()
            parts["teacher"] = nn.functional.cross_entropy(taught, y)
            parts["distillation"] = distillation(scores, taught)
            loss = loss + parts["teacher"] + self.distillation * parts["distillation"]
        shown = {name: part.detach() for name, part in parts.items()}
        return loss, {**shown, "accuracy": accuracy(scores, y)}


def run(config: Config, network: Network, training: TrainingOptions) -> dict[str, Any]:
    """Train proxies, then codes; errors and report are those of `train_encoder`."""
    return train_encoder("sketchcode", config, network, training, _learn, (int(config.bits), "cosine"))


def _learn(experiment: Experiment, encoder: SketchEncoder, config: Config) -> Iterator[dict[str, Any]]:
    fusion, rate = encoder.fusion, experiment.training.learning_rate
    teacher = nn.Linear(fusion.feature_size, len(experiment.architecture.classes)).to(experiment.context.device)
    teacher.requires_grad_(config.distillation > 0)
    validate = CodeValidation(experiment.val, encoder, experiment.view(), THRESHOLDS[fusion.activation])

    def fit(name: str, epochs: int, smoothing: float) -> dict[str, Any]:
        margin = MarginLoss(float(fusion.classifier.scale), config.margin, smoothing)
        objective = ProxyObjective(encoder, teacher, margin, config.quantisation, config.distillation)
        return experiment.fit(name, epochs, objective, rate, validate=validate, chooser="map")

    yield fit("proxies", config.proxy_epochs, config.smoothing)
    if config.code_epochs:
        if config.centers != "learned":
            _fix_centers(experiment, encoder, config)
        yield fit("codes", config.code_epochs, 0.0)


@torch.no_grad()
def _fix_centers(experiment: Experiment, encoder: SketchEncoder, config: Config) -> None:
    """Compute the binary code of every class, once per training, and rotate the code layer towards these codes."""
    fusion, path = encoder.fusion, experiment.folder.stage_path(_CENTERS_FILE)
    if experiment.context.is_main and not path.exists():
        proxies, bits = fusion.classifier.weight, fusion.classifier.weight.shape[1]
        if config.centers == "semantic":
            centers, rotation = semantic_centers(proxies.cpu().double().numpy())
        else:
            make = hadamard_centers if config.centers == "hadamard" else random_centers
            centers, rotation = make(len(proxies), bits, experiment.training.seed), np.eye(bits)
        write_tensors(path, {"centers": torch.from_numpy(centers), "rotation": torch.from_numpy(rotation)}, {})
    experiment.context.barrier()
    found = {name: each.to(fusion.fuse.weight) for name, each in read_tensors(path)[0].items()}
    fusion.classifier.weight.copy_(found["centers"])
    fusion.classifier.weight.requires_grad_(False)
    # Values are normalised one by one after the layer, so that rotating the layer rotates them with a small error.
    fusion.fuse.weight.copy_(found["rotation"].T @ fusion.fuse.weight)
