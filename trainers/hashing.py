r"""Train the dual-branch network to compute binary codes of drawings, for search among millions.

    sketchdata train hashing --data data/quickdraw-3.8m --out runs/hashing-64 --bits 64
    sketchdata train hashing --data data/quickdraw-3.8m --out runs/hashing-64 --bits 64 --resume      # after a stop
    sketchdata train hashing --data data/quickdraw-3.8m --out runs/hashing-16 --bits 16 --pretrained runs/hashing-64
    sketchdata train hashing --data data/quickdraw-3.8m --out runs/dlbhc --branch cnn --loss cel      # a baseline
    sketchdata train hashing --data data/small --out runs/small --backbone small --size 32 --hidden 64 \
        --cnn-epochs 3 --rnn-epochs 3 --fusion-epochs 2 --center-epochs 2 --code-epochs 2             # about a minute

Source: Xu et al., "On Learning Semantic Representations for Million-Scale Free-Hand Sketches", Algorithm 1. Steps 1
to 4 are those of the trainer `recognition`, with a code layer of one value per bit; step 5 moves these values towards
0 and 1. From the fusion stage on, the best epoch is chosen by the accuracy of its binary codes.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from torch import Tensor

from sketchdata.progress import console
from sketchdata.trainers.options import HashingConfig as Config
from sketchdata.training.encoder import SketchEncoder
from sketchdata.training.experiment import CodeObjective, Experiment, HeldCodes, center_loss, pretrain, train_encoder
from sketchdata.training.loader import Batch
from sketchdata.training.losses import CodeLoss, codes
from sketchdata.training.options import NetworkOptions, TrainingOptions


def run(config: Config, network: NetworkOptions, training: TrainingOptions) -> dict[str, Any]:
    """Train stage by stage; errors and report are those of `train_encoder`."""
    later = {"fusion": config.fusion_epochs}
    later |= {"center": config.center_epochs} if config.loss != "cel" else {}
    later |= {"code": config.code_epochs} if config.loss.endswith("ql") else {}
    if not any(later.values()):
        named = ", ".join(f"--{name}-epochs 0" for name in later)
        console.print(f"{named}: the code layer stays untrained, and codes are random", soft_wrap=True)
    return train_stages(config, network, training)


def train_stages(config: Config, network: NetworkOptions, training: TrainingOptions) -> dict[str, Any]:
    """Train like `run`, for other trainers: also branches alone, without a warning about an untrained code layer."""
    return train_encoder("hashing", config, network, training, _learn, (int(config.bits), "sigmoid"))


def _learn(experiment: Experiment, encoder: SketchEncoder, config: Config) -> Iterator[dict[str, Any]]:
    def scores(batch: Batch) -> dict[str, Tensor]:
        f, found = encoder(batch)
        return {"accuracy": found, "code_accuracy": encoder.fusion.classifier(codes(f))}

    def fit(name: str, epochs: int, loss: CodeLoss, held: HeldCodes | None = None) -> dict[str, Any]:
        objective, rate = CodeObjective(encoder, loss, held), config.cnn_learning_rate
        refresh = None if held is None else partial(held.refresh, experiment, encoder)
        settings = {"validate": experiment.validation(scores), "chooser": "code_accuracy", "refresh": refresh}
        return experiment.fit(name, epochs, objective, rate, **settings)

    yield from pretrain(experiment, encoder, config)
    yield fit("fusion", config.fusion_epochs, CodeLoss())
    if config.loss != "cel":
        loss = center_loss(experiment, encoder, config.loss, config.center_weight)
        yield fit("centers", config.center_epochs, loss)
    if config.loss.endswith("ql"):
        total = CodeLoss(loss.centers, center_weight=config.center_weight, code_weight=config.code_weight)
        held = HeldCodes(len(experiment.train), int(config.bits)) if config.ql_refresh == "epoch" else None
        yield fit("codes", config.code_epochs, total, held)
