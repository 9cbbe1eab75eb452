r"""Train zero-shot sketch-image hashing: binary codes by which drawings find photos of classes no one drew.

    sketchdata train zsih --data data/sketchy --words words.parquet --out runs/zsih --weights imagenet --trunk frozen
    sketchdata train zsih … --bits 128 --preset paper --weights alexnet-owt-7be5be79.pth
    sketchdata train zsih … --fusion concat                                              # Table 3, row 1

Source: Shen, Liu, Shen and Shao, "Zero-shot sketch-image hashing", CVPR 2018. A network that sees pairs of a drawing
and a photo of one class learns codes from which the vector of the class's word can be decoded; the encoder of drawings
and that of photos learn to give the same codes from one picture alone. Only the encoders are kept.

Of the authors' code, which differs from the paper, `--code-entropy min` is offered: its sign of log q is the opposite.

Neither drawings, photos nor words of unseen classes are used; the validation classes choose the epoch by the mAP of
their codes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from sketchdata.classes.splits import ClassSplit
from sketchdata.cross_domain.dataset import DRAWINGS, PHOTOS
from sketchdata.cross_domain.encoder import SpaceEncoder
from sketchdata.cross_domain.experiment import SpaceExperiment, train_space
from sketchdata.cross_domain.hashing_networks import (
    ConcatFusion,
    FactorisedFusion,
    GraphConvolution,
    KroneckerFusion,
    WordDecoder,
    batch_graph,
    bit_regularisation,
    class_adjacency,
    log_chance,
    stochastic_bits,
)
from sketchdata.cross_domain.sampling import Inputs, PairBatch
from sketchdata.errors import ConfigError
from sketchdata.trainers.options import ZsihConfig as Config
from sketchdata.training.options import TrainingOptions

#: Standard deviation of the dense layers' input. At 1, the first steps at a usual learning rate saturate the sigmoids.
_SPREAD = 0.1
#: Lower limit of a feature's deviation.
_LEAST_DEVIATION = 1e-3
_AT_ONCE = 64
#: Sign of log q in the loss: the paper's, which makes codes more random, and that of the authors' code.
_ENTROPY_SIGNS = {"max": 1.0, "min": -1.0, "none": 0.0}


class HashingObjective(nn.Module):
    """The loss of equation 7, as the mean over the pairs of a batch, and its variants of Table 3.

    Args:
        encoder: Of drawings and photos, with branches of `HashingBranch`.
        words: (L, S) float32 of the seen classes; None if the options use none.
        config: Options of the method.
    """

    words: Tensor
    adjacency: Tensor

    def __init__(self, encoder: SpaceEncoder, words: npt.NDArray[np.float32] | None, config: Config) -> None:
        super().__init__()
        self.encoder, self.config = encoder, config
        bits, inputs = encoder.width, (encoder.branch(DRAWINGS).attended_width, encoder.branch(PHOTOS).attended_width)
        if words is not None:
            self.register_buffer("words", torch.from_numpy(words))
            self.register_buffer("adjacency", class_adjacency(words, config.temperature))
        beside = self.words.shape[1] if config.graph == "words" else 0
        self.fusion: KroneckerFusion | ConcatFusion | FactorisedFusion
        if config.fusion == "kron":
            self.fusion = KroneckerFusion(*inputs, config.kron_width, config.kron_sketch)
        elif config.fusion == "concat":
            self.fusion = ConcatFusion(*inputs, config.kron_width)
        else:
            self.fusion = FactorisedFusion(*inputs, config.kron_width)
        self.first = GraphConvolution(self.fusion.width + beside, config.graph_width)
        self.second = GraphConvolution(config.graph_width + beside, bits)
        self.decoder: WordDecoder | nn.Linear
        if config.decoder == "words":
            self.decoder = WordDecoder(bits, self.words.shape[1])
            # The decoder of small targets learns too fast for the bits to follow.
            self.scale = self.words.square().mean().rsqrt().item() if config.standardise else 1.0
            if config.standardise:
                self.decoder.start(self.words * self.scale)
        else:
            self.decoder = nn.Linear(bits, len(encoder.classes))

    def scores(self, drawings: Tensor, photos: Tensor, labels: Tensor) -> Tensor:
        """Return the chances of bits before their sigmoid, of attended features: (B, H), (B, H), (B,) → (B, M)."""
        graph = batch_graph(self.adjacency, labels) if self.config.graph == "on" else None
        hidden = self._beside(self.fusion(drawings, photos), labels)
        hidden = self._beside(self.first(hidden, graph).relu(), labels)
        found: Tensor = self.second(hidden, graph).float()
        return found

    def _beside(self, hidden: Tensor, labels: Tensor) -> Tensor:
        return torch.cat([hidden, self.words[labels]], 1) if self.config.graph == "words" else hidden

    def forward(self, batch: PairBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and its parts."""
        encoder, config = self.encoder, self.config
        inputs = {DRAWINGS: batch.drawings, PHOTOS: batch.photos}
        attended = {
            domain: encoder.branch(domain).attended(encoder.read(own, domain)) for domain, own in inputs.items()
        }
        labels = batch.labels.to(attended[PHOTOS].device)
        scores = self.scores(attended[DRAWINGS], attended[PHOTOS], labels)
        parts = {}
        if config.neurons == "stochastic":
            bits = stochastic_bits(scores.sigmoid())
            if sign := _ENTROPY_SIGNS[config.code_entropy]:
                parts["entropy"] = sign * log_chance(bits, scores).mean()
        else:
            bits = scores.sigmoid()
            parts["regularisation"] = config.regularisation_weight * bit_regularisation(bits)
        if isinstance(self.decoder, WordDecoder):
            parts["words"] = -self.decoder(bits, self.words[labels] * self.scale).mean()
        else:
            parts["classes"] = functional.cross_entropy(self.decoder(bits).to(scores.dtype), labels)
        for domain, name in ((PHOTOS, "photos"), (DRAWINGS, "drawings")):
            values = encoder.branch(domain).values(attended[domain])
            parts[name] = (values - bits).square().sum(1).mean() / (2 * encoder.width)
        return torch.stack(list(parts.values())).sum(), {name: part.detach() for name, part in parts.items()}


@torch.no_grad()
def _standardise(encoder: SpaceEncoder, inputs: Inputs, domain: str) -> None:
    branch = encoder.branch(domain).eval()
    rows = torch.split(torch.arange(len(inputs)), _AT_ONCE)
    found = torch.cat([branch.attended(encoder.read(inputs.read(some), domain)).float() for some in rows])
    branch.mean.copy_(found.mean(0))
    branch.deviation.copy_(found.std(0).clamp(min=_LEAST_DEVIATION) / _SPREAD)


def run(config: Config, training: TrainingOptions, split: ClassSplit | None = None) -> dict[str, Any]:
    """Train, and return the report that is written beside the network; errors are those of `train_space`."""
    if config.words is None and (config.decoder == "words" or config.graph != "off"):
        raise ConfigError(
            "the graph and the decoder need the vectors of the classes' words: give --words VECTORS, as `sketchdata "
            "import vectors` writes them, or use --graph off with --decoder classifier"
        )

    def learn(experiment: SpaceExperiment) -> tuple[SpaceEncoder, list[dict[str, Any]]]:
        encoder = experiment.new_encoder(branch="hashing")
        # Features of a network that learns do not keep their mean.
        if config.standardise and experiment.frozen:
            seen = experiment.inputs(encoder, learning=True)
            _standardise(encoder, seen.drawings, DRAWINGS)
            _standardise(encoder, seen.photos, PHOTOS)
        objective = HashingObjective(encoder, experiment.words, config)
        # Attention reads unscaled maps: at the rate of the dense layers it is left with one place after a few steps.
        slow = [
            parameter
            for domain in (DRAWINGS, PHOTOS)
            for part in (encoder.branch(domain).pooling, *([] if experiment.frozen else [encoder.branch(domain).trunk]))
            if part is not None
            for parameter in part.parameters()
        ]
        return encoder, [experiment.fit("zsih", objective, encoder, slow=slow, pairs=True)]

    return train_space(config, training, learn, split, trainer="zsih")
