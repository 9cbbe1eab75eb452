r"""Train sketchspace: drawings learn to lie where a pretrained picture network has photos of their classes.

    sketchdata train sbir --method sketchspace --data data/sketchy --out runs/space --weights imagenet --trunk frozen
    sketchdata train sbir --method sketchspace … --words words.parquet         # and near their words
    sketchdata train sbir --method sketchspace … --edge-detector none          # without edge maps
    sketchdata train sbir --method sketchspace … --further data/drawings --classifier-weight 1   # and further classes

The photos keep the features of the pretrained network, which already tell classes apart that nobody trained it for; a
network that learns from few photos of few classes loses that. Only the upper layers of the drawings' network learn.
Features are standardised by the mean and the deviation of each domain over the seen classes.

- A drawing is compared with all photos of the seen classes at once, and those of its class are to be the nearest
  (`bank_loss`): as the photos' features do not change, every photo is a negative, and no memory or mining is needed.
  With a soft margin they are to be nearer by the margin, which is smaller for a photo that resembles other classes.
- Edge maps of the photos are a bridge between the domains: the drawings' network reads them as drawings, and for each
  the photo is known that it must lie beside.
- With words, a linear map makes a proxy of each class's vector, by which drawings, edge maps and photos are classified.
- The pretrained classifier's weights are proxies of ImageNet's classes, by which drawings of these are classified.
  Source: Liu et al., "Semantic-aware knowledge preservation for zero-shot sketch-based image retrieval", ICCV 2019,
  who preserve the classifier's scores of photos.
- By both kinds of proxies, the network learns from drawings of further classes, which have no photos.

Neither drawings, photos nor words of unseen classes are used; the validation classes choose the epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sketchdata.classes.spellings import by_spelling, find
from sketchdata.classes.splits import ClassSplit
from sketchdata.cross_domain.dataset import DRAWINGS, PHOTOS, DrawingPictures, Pictures, open_two_domains
from sketchdata.cross_domain.encoder import SpaceEncoder
from sketchdata.cross_domain.experiment import (
    SpaceExperiment,
    SpaceObjective,
    embed_inputs,
    read_words,
    train_space,
)
from sketchdata.cross_domain.layouts import imagenet_labels
from sketchdata.cross_domain.losses import bank_loss, own_shares
from sketchdata.cross_domain.networks import feature_width
from sketchdata.cross_domain.sampling import Inputs, TripletBatch
from sketchdata.edges import Detector, centre, detector, line_finder
from sketchdata.errors import ConfigError, FormatError
from sketchdata.trainers.options import SbirConfig as Config
from sketchdata.training.encoder import backbone_config
from sketchdata.training.loader import generator
from sketchdata.training.options import TrainingOptions
from sketchdata.training.packed import Augmentation, read_packed
from sketchdata.training.pretrained import pretrained_classifier

#: Side at which photos are searched for edges: smaller, detectors find little.
_EDGE_SIDE = 256
#: Below it, a feature that hardly changes would be divided by nearly nothing.
_LEAST_DEVIATION = 1e-3
#: Set the random numbers of edge maps and of further drawings apart from those of the pictures' augmentation.
_EDGES, _FURTHER = 3, 4
#: Classes of the pretrained classifier.
_IMAGENET = 1000


@dataclass(frozen=True, kw_only=True, eq=False)
class EdgePictures:
    """The edge maps of photos, black on white and cropped to the edges as drawings are to their ink."""

    photos: Pictures
    find: Detector

    @property
    def labels(self) -> Tensor:
        """Classes of the photos, (N,) int16."""
        return self.photos.labels

    @property
    def key_ids(self) -> Tensor:
        """Those of the photos, (N,) int64."""
        return self.photos.key_ids

    @property
    def classes(self) -> tuple[str, ...]:
        """The class table."""
        return self.photos.classes

    def __len__(self) -> int:
        return len(self.photos)

    def pictures(
        self,
        indices: Tensor,
        size: int,
        augment: Augmentation | None = None,
        random: torch.Generator | None = None,
    ) -> Tensor:
        """Return the edge maps of some photos, (B, 3, S, S) uint8; of a photo without edges a white picture."""
        photos = self.photos.pictures(indices, _EDGE_SIDE, augment, random)
        found = np.full((len(photos), size, size, 3), 255, np.uint8)
        for place, photo in enumerate(photos.permute(0, 2, 3, 1).contiguous().cpu().numpy()):
            try:
                found[place] = centre(self.find(photo), size)
            except FormatError:
                continue
        return torch.from_numpy(found).permute(0, 3, 1, 2).to(photos.device)

    def of_classes(self, words: Sequence[str]) -> EdgePictures:
        """Return the edge maps of the photos of some classes."""
        return EdgePictures(photos=self.photos.of_classes(words), find=self.find)

    def to(self, device: torch.device | str) -> EdgePictures:
        """Return the same edge maps, with batches on another device."""
        return EdgePictures(photos=self.photos.to(device), find=self.find)


@dataclass(frozen=True, kw_only=True, eq=False)
class FurtherDrawings:
    """Drawings of classes without photos.

    Attributes:
        inputs: What the network takes of them.
        labels: (N,) int64, classes of the drawings, counted from the number of seen classes on.
        classes: Their names.
    """

    inputs: Inputs
    labels: Tensor
    classes: tuple[str, ...]


class SketchspaceObjective(SpaceObjective):
    """L = L_drawings + w_e (L_edges + L_photo) + w_w L_words + w_c L_classifier; all but the first can be left out.

    Args:
        encoder: The network, whose branch of photos does not learn.
        photos: (M, D) float32 embeddings of the photos of the seen classes.
        labels: (M,) int64, their classes.
        edges: The edge maps of these photos; None leaves them out.
        words: (L, S) float32 of the seen classes and the further ones; None leaves them out.
        further: Drawings of further classes; None for none.
        classifier: (1000, D) float32, directions of ImageNet's classes in the space; None leaves them out.
        config: Weights and temperature.
        seed: Chooses the edge maps and the further drawings of a step.
    """

    bank: Tensor
    bank_labels: Tensor
    words: Tensor
    classifier: Tensor
    imagenet: Tensor
    margins: Tensor | None

    def __init__(  # noqa: PLR0913
        self,
        encoder: SpaceEncoder,
        photos: Tensor,
        labels: Tensor,
        edges: Inputs | None,
        words: Tensor | None,
        further: FurtherDrawings | None,
        classifier: Tensor | None,
        config: Config,
        seed: int,
    ) -> None:
        super().__init__(encoder)
        self.config, self.edges, self.further, self.seed = config, edges, further, seed
        # Computed again by a training that resumes, so checkpoints need not have them.
        self.register_buffer("bank", photos, persistent=False)
        self.register_buffer("bank_labels", labels, persistent=False)
        self.proxies: nn.Linear | None = None
        if words is not None:
            self.register_buffer("words", words, persistent=False)
            self.proxies = nn.Linear(words.shape[1], encoder.width)
        self.classifies = classifier is not None
        if classifier is not None:
            self.register_buffer("classifier", classifier, persistent=False)
            found = imagenet_labels([*encoder.classes, *(further.classes if further else ())])
            known = torch.tensor([-1 if label is None else label for label in found])
            self.register_buffer("imagenet", known, persistent=False)
        margins = None
        if config.soft_margin:
            margins = config.soft_margin / config.temperature * own_shares(photos, labels, config.temperature)
        self.register_buffer("margins", margins, persistent=False)

    def train(self, mode: bool = True) -> SketchspaceObjective:
        """Set the mode of all but the encoder, whose normalisations keep the statistics of the pretrained network.

        Those of small batches of few classes differ from the running ones by which a drawing is embedded later.
        """
        super().train(mode)
        self.encoder.eval()
        return self

    def forward(self, batch: TripletBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and its parts."""
        labels, config = batch.labels.to(self.bank.device), self.config
        inputs, rows = batch.anchors, torch.empty(0, dtype=torch.int64)
        others = rows
        if self.edges is not None:
            place = (self.seed, batch.epoch, batch.step, _EDGES)
            rows = torch.randint(len(self.edges), (max(len(labels) // 2, 1),), generator=generator(*place))
            inputs = torch.cat([inputs, self.edges.read(rows, *place).to(inputs.device)])
        if self.further is not None:
            place = (self.seed, batch.epoch, batch.step, _FURTHER)
            chosen = torch.randint(len(self.further.labels), (len(labels),), generator=generator(*place))
            inputs = torch.cat([inputs, self.further.inputs.read(chosen, *place).to(inputs.device)])
            others = self.further.labels[chosen]
        embedded = self.encoder(inputs, DRAWINGS)
        count, rows, others = len(labels), rows.to(labels.device), others.to(labels.device)
        scores = embedded[: count + len(rows)] @ self.bank.T / config.temperature
        parts = {"drawings": bank_loss(scores[:count], labels, self.bank_labels, self.margins)}
        loss = parts["drawings"]
        if len(rows):
            parts["edges"] = bank_loss(scores[count:], self.bank_labels[rows], self.bank_labels)
            parts["photo"] = functional.cross_entropy(scores[count:], rows)
            loss = loss + config.edge_weight * (parts["edges"] + parts["photo"])
        all_labels = torch.cat([labels, self.bank_labels[rows], others])
        if self.proxies is not None:
            proxies = functional.normalize(self.proxies(self.words))
            both = torch.cat([embedded, self.bank]) @ proxies.T / config.temperature
            parts["words"] = functional.cross_entropy(both, torch.cat([all_labels, self.bank_labels]))
            loss = loss + config.word_weight * parts["words"]
        if self.classifies:
            known = self.imagenet[all_labels]
            found = embedded @ self.classifier.T / config.temperature
            # The mean over all drawings, so that a batch with few known classes does not weigh more.
            sums = functional.cross_entropy(found, known, ignore_index=-1, reduction="sum")
            parts["classifier"] = sums / len(known)
            loss = loss + config.classifier_weight * parts["classifier"]
        return loss, {name: part.detach() for name, part in parts.items()}


def _standardise(encoder: SpaceEncoder, inputs: Inputs, domain: str) -> None:
    features = embed_inputs(encoder, inputs, domain, raw=True).astype(np.float64)
    branch = encoder.branch(domain)
    branch.mean.copy_(torch.from_numpy(features.mean(0)))
    branch.deviation.copy_(torch.from_numpy(features.std(0)).clamp(min=_LEAST_DEVIATION))


def _further(experiment: SpaceExperiment, encoder: SpaceEncoder, config: Config) -> FurtherDrawings | None:
    """Read the drawings of further classes; those that the data set has itself, also unseen ones, are left out."""
    if config.further is None:
        return None
    sketches = read_packed(config.further, "train")
    own = by_spelling(open_two_domains(config.data).classes)
    classes = tuple(word for word in sketches.classes if find(word, own) is None)
    if not classes:
        raise ConfigError(f"{config.further} has only classes that {config.data} has, too: give drawings of others")
    pictures = DrawingPictures(sketches=sketches.of_classes(classes), line_width=config.line_width)
    augment, device = config.augment, experiment.context.device
    inputs = experiment.inputs_of(encoder, pictures.to(device), DRAWINGS, augment=augment, name="further")
    labels = pictures.labels.long() + len(encoder.classes)
    return FurtherDrawings(inputs=inputs, labels=labels, classes=classes)


def _directions(experiment: SpaceExperiment, encoder: SpaceEncoder, config: Config) -> Tensor:
    """Return the weights of the pretrained classifier as directions of standardised features: (1000, D), length 1."""
    branch = encoder.branch(PHOTOS)
    weight = pretrained_classifier(branch.trunk, config.backbone, config.weights or "").weight.detach()
    if len(weight) != _IMAGENET:
        raise ConfigError(
            f"--classifier-weight needs a classifier of ImageNet's {_IMAGENET:,} classes, and --weights has one of "
            f"{len(weight):,}: set it to 0"
        )
    return functional.normalize(weight.to(experiment.context.device) * branch.deviation)


def run(config: Config, training: TrainingOptions, split: ClassSplit | None = None) -> dict[str, Any]:
    """Train, and return the report that is written beside the network.

    Raises:
        ConfigError: No weights are given, there is no such detector, or as `train_space`.
        SketchDataError: As `train_space`.
        InterruptedRunError: As `train_space`.
    """
    if config.further is not None and config.words is None and not config.classifier_weight:
        raise ConfigError("--further needs --words or --classifier-weight, because its classes have no photos")
    if config.weights is None:
        raise ConfigError(
            "--method sketchspace needs --weights, because photos keep the features of a pretrained network"
        )
    bridge = config.edge_detector != "none" and config.edge_weight > 0
    find = line_finder(config.edge_detector, detector(config.edge_detector)) if bridge else None

    def learn(experiment: SpaceExperiment) -> tuple[SpaceEncoder, list[dict[str, Any]]]:
        width = feature_width(config.backbone, backbone_config(config.network, experiment.folder.path))
        encoder = experiment.new_encoder(head=False, branch="transfer", width=width, normalise=True)
        encoder.branch(PHOTOS).requires_grad_(False)
        seen = experiment.inputs(encoder, learning=True)
        _standardise(encoder, seen.drawings, DRAWINGS)
        _standardise(encoder, seen.photos, PHOTOS)
        photos = torch.from_numpy(embed_inputs(encoder, seen.photos, PHOTOS))
        edges = None
        if find is not None:
            pictures = EdgePictures(photos=seen.pictures.photos, find=find)
            name = f"edges-{config.edge_detector.replace(':', '.')}"
            edges = experiment.inputs_of(encoder, pictures, DRAWINGS, augment=config.augment, name=name, keep=True)
        further = _further(experiment, encoder, config)
        words = None
        if config.word_weight and experiment.words is not None:
            words = torch.from_numpy(experiment.words)
            if further is not None and config.words is not None:
                others = read_words(config.words, further.classes, unit=config.unit_words)
                words = torch.cat([words, torch.from_numpy(others)])
        classifier = _directions(experiment, encoder, config) if config.classifier_weight else None
        labels = seen.pictures.photos.labels.long().cpu()
        objective = SketchspaceObjective(
            encoder, photos, labels, edges, words, further, classifier, config, training.seed
        ).to(experiment.context.device)
        return encoder, [experiment.fit("sketchspace", objective, encoder)]

    others = {} if config.further is None else {"further": config.further}
    return train_space(config, training, learn, split, others=others)
