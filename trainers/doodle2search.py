r"""Train Doodle to Search: drawings and photos in one space, where drawings find photos of unseen classes.

    sketchdata train sbir --data data/sketchy --words words.parquet --out runs/d2s --weights imagenet
    sketchdata train sbir --data data/sketchy --words words.parquet --out runs/d2s --weights imagenet --trunk frozen
    sketchdata train sbir … --preset paper --weights vgg16-397923af.pth
    sketchdata train sbir … --no-attention --domain-weight 0 --semantic-weight 0        # Table 3, row 1

Source: Dey, Riba, Dutta, Lladós and Song, "Doodle to search: practical zero-shot sketch-based image retrieval", CVPR
2019. Two networks with soft attention embed drawings and photos. They learn from triplets of a drawing, a photo of its
class and a photo of another class, preferably one with a similar word. A domain classifier behind a gradient reversal
makes the domains similar, and a semantic loss predicts the word vectors of the classes. The authors' code differs from
the paper: `--domain-ramp batch`, `--stored-words` and `--semantic-weight 3` choose what the code does.

Neither drawings, photos nor words of unseen classes are used; the validation classes choose the epoch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sketchdata.classes.splits import ClassSplit
from sketchdata.cross_domain.encoder import SpaceEncoder
from sketchdata.cross_domain.experiment import SpaceExperiment, SpaceObjective, train_space
from sketchdata.cross_domain.losses import DomainLoss, SemanticLoss, domain_ramp, triplet_loss
from sketchdata.cross_domain.networks import ATTENTION
from sketchdata.cross_domain.sampling import TripletBatch
from sketchdata.errors import ConfigError
from sketchdata.trainers.options import SbirConfig as Config
from sketchdata.training.options import TrainingOptions


class DoodleObjective(SpaceObjective):
    """The loss L = L_t + L_d + L_s; the last two terms have weights and can be left out.

    Args:
        encoder: The network.
        words: (L, S) float32 word vectors of the seen classes; None leaves out the semantic loss.
        config: Weights, margin, and the schedule of the gradient reversal.
    """

    def __init__(self, encoder: SpaceEncoder, words: Tensor | None, config: Config) -> None:
        super().__init__(encoder)
        self.config = config
        self.domain = DomainLoss(encoder.width) if config.domain_weight else None
        self.semantic = SemanticLoss(words, encoder.width) if config.semantic_weight and words is not None else None

    def forward(self, batch: TripletBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and its parts."""
        a, p, n = self.embed(batch)
        parts = {"triplet": triplet_loss(a, p, n, self.config.margin)}
        loss = parts["triplet"]
        if self.domain is not None:
            reversal = domain_ramp(batch.epoch if self.config.domain_ramp == "epoch" else batch.step)
            parts["domain"] = self.domain(a, p, n, reversal)
            loss = loss + self.config.domain_weight * parts["domain"]
        if self.semantic is not None:
            parts["semantic"] = self.semantic(a, p, n, batch.labels.to(a.device))
            loss = loss + self.config.semantic_weight * parts["semantic"]
        return loss, {name: part.detach() for name, part in parts.items()}


def run(config: Config, training: TrainingOptions, split: ClassSplit | None = None) -> dict[str, Any]:
    """Train, and return the report that is written beside the network; errors are those of `train_space`."""
    if config.semantic_weight and config.words is None:
        raise ConfigError(
            "the semantic loss needs the vectors of the classes' words: give --words VECTORS, as `sketchdata import "
            "vectors` writes them, or use --semantic-weight 0"
        )

    def learn(experiment: SpaceExperiment) -> tuple[SpaceEncoder, list[dict[str, Any]]]:
        encoder = experiment.new_encoder(attention=ATTENTION if config.attention in (None, True) else 0)
        words = None if experiment.words is None else torch.from_numpy(experiment.words)
        objective = DoodleObjective(encoder, words, config)
        return encoder, [experiment.fit("doodle2search", objective, encoder)]

    return train_space(config, training, learn, split)
