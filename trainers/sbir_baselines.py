r"""Train what Doodle to Search is compared with, on the same data, networks and triplets.

    sketchdata train sbir --method centred --data data/sketchy --out runs/centred --weights imagenet --trunk frozen
    sketchdata train sbir --method sake --data data/sketchy --out runs/sake --weights imagenet

- `siamese`: pairs of a class near, others apart by a margin. Source: Hadsell, Chopra and LeCun, 2006.
- `triplet`: the triplet loss alone.
- `gn-triplet`: with a classifier of the seen classes. Source: Sangkloy et al., "The Sketchy database", 2016.
- `sake`: one network for both domains, which classifies the seen classes, and photos as the network of ImageNet did
  that it began as. Source: Liu et al., "Semantic-aware knowledge preservation for zero-shot sketch-based image
  retrieval", ICCV 2019; without their similarities of WordNet.
- `frozen`: the features of the pretrained network.
- `centred`: the same, less the mean of the seen classes' drawings, and of their photos.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sketchdata.classes.splits import ClassSplit
from sketchdata.cross_domain.dataset import PHOTOS
from sketchdata.cross_domain.encoder import SpaceEncoder
from sketchdata.cross_domain.experiment import SpaceExperiment, SpaceObjective, set_centres, train_space
from sketchdata.cross_domain.losses import contrastive_loss, soft_cross_entropy, triplet_loss
from sketchdata.cross_domain.networks import ATTENTION, feature_width
from sketchdata.cross_domain.sampling import TripletBatch
from sketchdata.errors import ConfigError
from sketchdata.storage.tensors import read_tensors, write_tensors
from sketchdata.trainers.options import SbirConfig as Config
from sketchdata.training.encoder import backbone_config
from sketchdata.training.options import TrainingOptions
from sketchdata.training.pretrained import pretrained_classifier

#: Of a run folder's stages.
_TEACHER = "teacher"
Learned = tuple[SpaceEncoder, list[dict[str, Any]]]


class MarginObjective(SpaceObjective):
    """A loss of triplets and, with a classifier, the cross entropy of all three pictures.

    Args:
        encoder: The network.
        loss: Of anchors, positives, negatives and a margin.
        margin: Its margin.
        classes: L, of the classifier; None for none.
    """

    def __init__(
        self, encoder: SpaceEncoder, loss: Callable[..., Tensor], margin: float, classes: int | None = None
    ) -> None:
        super().__init__(encoder)
        self.loss, self.margin = loss, margin
        self.classifier = None if classes is None else nn.Linear(encoder.width, classes)

    def forward(self, batch: TripletBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and its parts."""
        a, p, n = self.embed(batch)
        parts = {"margin": self.loss(a, p, n, self.margin)}
        if self.classifier is not None:
            parts["classes"] = _classification(self.classifier, (a, p, n), batch)
        return torch.stack(list(parts.values())).sum(), {name: part.detach() for name, part in parts.items()}


class PreservingObjective(SpaceObjective):
    """Cross entropy of the seen classes, and of photos to what the pretrained network took them for.

    Args:
        encoder: The network.
        classes: L.
        teacher: The pretrained classifier, with M classes.
        weight: Of the second part.
    """

    def __init__(self, encoder: SpaceEncoder, classes: int, teacher: nn.Linear, weight: float) -> None:
        super().__init__(encoder)
        self.weight = weight
        self.classifier = nn.Linear(encoder.width, classes)
        self.student = nn.Linear(encoder.width, teacher.out_features)
        self.teacher = nn.ModuleDict({"branch": copy.deepcopy(encoder.branch(PHOTOS)), "classifier": teacher})
        self.teacher.requires_grad_(False)

    def train(self, mode: bool = True) -> PreservingObjective:
        """Set the mode of all but the teacher, which never learns."""
        super().train(mode)
        self.teacher.eval()
        return self

    @torch.no_grad()
    def taught(self, photos: Tensor) -> Tensor:
        """Return the teacher's scores of photos: (B, …) as for `SpaceEncoder.forward` → (B, M)."""
        branch: Any = self.teacher["branch"]
        own = self.encoder
        features = photos.to(own.mean.device)
        if photos.dtype == torch.uint8:
            features = branch.features(own.normalised(photos))
        found: Tensor = self.teacher["classifier"](branch.pooled(features))
        return found.float()

    def forward(self, batch: TripletBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and its parts."""
        a, p, n = self.embed(batch)
        photos = torch.cat([p, n])
        taught = self.taught(torch.cat([batch.positives, batch.negatives]))
        parts = {
            "classes": _classification(self.classifier, (a, p, n), batch),
            "teacher": soft_cross_entropy(self.student(photos).float(), taught),
        }
        return parts["classes"] + self.weight * parts["teacher"], {name: part.detach() for name, part in parts.items()}


def _classification(classifier: nn.Module, embedded: tuple[Tensor, ...], batch: TripletBatch) -> Tensor:
    scores = classifier(torch.cat(embedded)).float()
    labels = torch.cat([batch.labels, batch.labels, batch.other_labels]).to(scores.device)
    return functional.cross_entropy(scores, labels)


def _features(experiment: SpaceExperiment, config: Config) -> Learned:
    width = feature_width(config.backbone, backbone_config(config.network, experiment.folder.path))
    encoder = experiment.new_encoder(head=False, shared=True, width=width, normalise=True)
    if config.method == "centred":
        seen = experiment.inputs(encoder, learning=True)
        set_centres(encoder, seen.drawings, seen.photos)
    return encoder, [{"stage": config.method, "epochs": 0, "best_epoch": 0, **experiment.validation_of(encoder)()}]


def _margin(experiment: SpaceExperiment, config: Config) -> Learned:
    encoder = experiment.new_encoder(attention=ATTENTION if config.attention else 0)
    loss = contrastive_loss if config.method == "siamese" else triplet_loss
    classes = len(encoder.classes) if config.method == "gn-triplet" else None
    objective = MarginObjective(encoder, loss, config.margin, classes)
    return encoder, [experiment.fit(config.method, objective, encoder)]


def _sake(experiment: SpaceExperiment, config: Config) -> Learned:
    encoder = experiment.new_encoder(attention=ATTENTION if config.attention else 0, shared=True, normalise=True)
    path, context = experiment.folder.stage_path(_TEACHER), experiment.context
    if context.is_main and not path.exists():
        classifier = pretrained_classifier(encoder.branch(PHOTOS).trunk, config.backbone, config.weights or "")
        write_tensors(path, classifier.state_dict(), {})
    context.barrier()
    tensors, _ = read_tensors(path)
    classes, width = tensors["weight"].shape
    teacher = nn.Linear(width, classes)
    teacher.load_state_dict(tensors)
    objective = PreservingObjective(encoder, len(encoder.classes), teacher, config.teacher_weight)
    return encoder, [experiment.fit(config.method, objective, encoder)]


#: {method: trains it}.
METHODS: dict[str, Callable[[SpaceExperiment, Config], Learned]] = {
    "triplet": _margin,
    "siamese": _margin,
    "gn-triplet": _margin,
    "sake": _sake,
    "frozen": _features,
    "centred": _features,
}


def run(config: Config, training: TrainingOptions, split: ClassSplit | None = None) -> dict[str, Any]:
    """Train, and return the report that is written beside the network; errors are those of `train_space`."""
    if config.method in ("sake", "frozen", "centred") and config.weights is None:
        raise ConfigError(f"--method {config.method} needs --weights, because it uses a pretrained network")
    return train_space(config, training, lambda experiment: METHODS[config.method](experiment, config), split)
