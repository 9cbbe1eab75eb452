r"""Train the dual-branch network to recognise drawings.

    sketchdata train recognition --data data/quickdraw-3.8m --out runs/recognition
    sketchdata train recognition --data data/quickdraw-3.8m --out runs/recognition --resume       # after a stop
    sketchdata train recognition --data data/small --out runs/small --backbone small --size 32 --hidden 64 \
        --cnn-epochs 3 --rnn-epochs 3 --fusion-epochs 2 --center-epochs 2                         # about a minute
    sketchdata train recognition --data data/quickdraw --out runs/bitmaps --branch cnn --loss cel     # official bitmaps
    torchrun --nproc-per-node 8 -m sketchdata train recognition --data … --out …                  # eight GPUs
    sketchdata evaluate runs/recognition

Source: Xu et al., "On Learning Semantic Representations for Million-Scale Free-Hand Sketches", Algorithm 1, steps 1 to
4. Each branch is trained alone, then both together with the fusion layer; then class centres are computed, and the
centre loss moves embeddings towards them. `val` chooses the best epoch of each stage; `gallery` and `query` are not
used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sketchdata.progress import console
from sketchdata.trainers.options import RecognitionConfig as Config
from sketchdata.training.encoder import SketchEncoder
from sketchdata.training.experiment import Experiment, center_loss, fine_tune, pretrain, train_encoder
from sketchdata.training.losses import CodeLoss
from sketchdata.training.options import NetworkOptions, TrainingOptions


def run(config: Config, network: NetworkOptions, training: TrainingOptions) -> dict[str, Any]:
    """Train stage by stage; errors and report are those of `train_encoder`."""
    return train_encoder("recognition", config, network, training, _learn, (config.width, "sigmoid"))


def _learn(experiment: Experiment, encoder: SketchEncoder, config: Config) -> Iterator[dict[str, Any]]:
    rate = config.cnn_learning_rate
    if not config.fusion_epochs and (config.loss == "cel" or not config.center_epochs):
        # The branches have other classifiers, so the accuracies of their stages do not show it.
        console.print("--fusion-epochs 0 leaves the classifier of the network untrained: it guesses", soft_wrap=True)
    yield from pretrain(experiment, encoder, config)
    yield fine_tune(experiment, encoder, "fusion", config.fusion_epochs, CodeLoss(), rate)
    if config.loss != "cel":
        loss = center_loss(experiment, encoder, config.loss, config.center_weight)
        yield fine_tune(experiment, encoder, "centers", config.center_epochs, loss, rate)
