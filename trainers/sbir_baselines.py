r"""Train what Doodle to Search is compared with, on the same data, networks and triplets.

    sketchdata train sbir --method centred --data data/sketchy --out runs/centred --weights imagenet --trunk frozen
    sketchdata train sbir --method sake --data data/sketchy --out runs/sake --weights imagenet

- `siamese`: pairs of a class near, others apart by a margin. Source: Hadsell, Chopra and LeCun, 2006.
- `triplet`: the triplet loss alone.
- `gn-triplet`: with a classifier of the seen classes. Source: Sangkloy et al., "The Sketchy database", 2016.
- `softmax`: a classifier of the seen classes alone, whose input is the space.
- `devise`: nearer to the word's vector than to other words' by --margin, for which the paper has .1; here for both
  domains. Source: Frome et al., "DeViSE: a deep visual-semantic embedding model", NeurIPS 2013.
- `dsh`: codes of --width bits, from which a linear map gives the word's vector. Source: Liu et al., "Deep sketch
  hashing", CVPR 2017, in the reduced form of `training.losses.FactorLoss`; here for both domains.
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
from sketchdata.training.losses import FactorLoss
from sketchdata.training.options import TrainingOptions
from sketchdata.training.pretrained import pretrained_classifier

#: Of a run folder's stages.
_TEACHER = "teacher"
Learned = tuple[SpaceEncoder, list[dict[str, Any]]]


class MarginObjective(SpaceObjective):
    """A loss of triplets, the cross entropy of all three pictures, or both.

    Args:
        encoder: The network.
        loss: Of anchors, positives, negatives and a margin; None for the cross entropy alone.
        margin: Its margin.
        classes: L, of the classifier; None for none.
    """

    def __init__(
        self, encoder: SpaceEncoder, loss: Callable[..., Tensor] | None, margin: float, classes: int | None = None
    ) -> None:
        super().__init__(encoder)
        self.loss, self.margin = loss, margin
        self.classifier = None if classes is None else nn.Linear(encoder.width, classes)

    def forward(self, batch: TripletBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and its parts."""
        a, p, n = self.embed(batch)
        parts = {} if self.loss is None else {"margin": self.loss(a, p, n, self.margin)}
        if self.classifier is not None:
            parts["classes"] = _classification(self.classifier, (a, p, n), batch)
        return torch.stack(list(parts.values())).sum(), {name: part.detach() for name, part in parts.items()}


class WordObjective(SpaceObjective):
    """The hinge loss of DeViSE over the words of all seen classes, of all three pictures.

    Args:
        encoder: The network, whose embeddings have length 1 and as many values as vectors of words.
        words: (L, S) float32, of length 1.
        margin: Of the hinge.
    """

    words: Tensor

    def __init__(self, encoder: SpaceEncoder, words: Tensor, margin: float) -> None:
        super().__init__(encoder)
        self.register_buffer("words", words)
        self.margin = margin

    def forward(self, batch: TripletBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and its parts."""
        scores = torch.cat(self.embed(batch)) @ self.words.T
        labels = _three_labels(batch).to(scores.device)
        own = scores.gather(1, labels[:, None])
        others = ~functional.one_hot(labels, len(self.words)).bool()
        loss = ((self.margin + scores - own).clamp(min=0) * others).sum(1).mean()
        return loss, {"hinge": loss.detach()}


class FactorObjective(SpaceObjective):
    """Deep sketch hashing in its reduced form, of all three pictures.

    Args:
        encoder: With branches of `HashingBranch`, whose values u = 2 f − 1 are drawn to −1 and 1.
        words: (L, S) float32.
    """

    def __init__(self, encoder: SpaceEncoder, words: Tensor) -> None:
        super().__init__(encoder)
        self.factors = FactorLoss(words, encoder.width)

    def forward(self, batch: TripletBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and its parts."""
        u = 2 * torch.cat(self.embed(batch)) - 1
        loss, parts = self.factors(u, u, _three_labels(batch).to(u.device))
        return loss, {name: part.detach() for name, part in parts.items()}


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
    return functional.cross_entropy(scores, _three_labels(batch).to(scores.device))


def _three_labels(batch: TripletBatch) -> Tensor:
    return torch.cat([batch.labels, batch.labels, batch.other_labels])


def _features(experiment: SpaceExperiment, config: Config) -> Learned:
    width = feature_width(config.backbone, backbone_config(config.network, experiment.folder.path))
    encoder = experiment.new_encoder(head=False, shared=True, width=width, normalise=True)
    if config.method == "centred":
        seen = experiment.inputs(encoder, learning=True)
        set_centres(encoder, seen.drawings, seen.photos)
    return encoder, [{"stage": config.method, "epochs": 0, "best_epoch": 0, **experiment.validation_of(encoder)()}]


def _margin(experiment: SpaceExperiment, config: Config) -> Learned:
    encoder = experiment.new_encoder(attention=ATTENTION if config.attention else 0)
    losses = {"siamese": contrastive_loss, "softmax": None}
    classes = len(encoder.classes) if config.method in ("gn-triplet", "softmax") else None
    objective = MarginObjective(encoder, losses.get(config.method, triplet_loss), config.margin, classes)
    return encoder, [experiment.fit(config.method, objective, encoder)]


def _devise(experiment: SpaceExperiment, config: Config) -> Learned:
    words = _words(experiment)
    encoder = experiment.new_encoder(width=words.shape[1], normalise=True)
    return encoder, [experiment.fit(config.method, WordObjective(encoder, words, config.margin), encoder)]


def _dsh(experiment: SpaceExperiment, config: Config) -> Learned:
    encoder = experiment.new_encoder(branch="hashing")
    return encoder, [experiment.fit(config.method, FactorObjective(encoder, _words(experiment)), encoder)]


def _words(experiment: SpaceExperiment) -> Tensor:
    assert experiment.words is not None  # noqa: S101 - `run` has refused options without
    return torch.from_numpy(experiment.words)


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
    "softmax": _margin,
    "devise": _devise,
    "dsh": _dsh,
    "sake": _sake,
    "frozen": _features,
    "centred": _features,
}


def run(config: Config, training: TrainingOptions, split: ClassSplit | None = None) -> dict[str, Any]:
    """Train, and return the report that is written beside the network; errors are those of `train_space`."""
    if config.method in ("sake", "frozen", "centred") and config.weights is None:
        raise ConfigError(f"--method {config.method} needs --weights, because it uses a pretrained network")
    if config.method in ("devise", "dsh") and config.words is None:
        raise ConfigError(f"--method {config.method} needs --words, the vectors of the classes' words")
    return train_space(config, training, lambda experiment: METHODS[config.method](experiment, config), split)
