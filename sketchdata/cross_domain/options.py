"""The options of trainings on drawings and photos, without torch, so that a command's help is quick."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from sketchdata.config import option
from sketchdata.errors import ConfigError
from sketchdata.training.options import (
    BACKBONE_HELP,
    COLOURS,
    MAX_SIZE,
    NetworkOptions,
    TrainingOptions,
    weights_option,
)

_FOLDER, _POSITIVE = click.Path(file_okay=False, path_type=Path), click.FloatRange(0, 1e6, min_open=True)
_COUNT = click.IntRange(1, 1_000_000)
FROZEN, TRAINED = "frozen", "trained"


@dataclass(frozen=True, kw_only=True)
class TwoDomainConfig:
    """The data and the network of every training on drawings and photos."""

    data: Path = option(help="Folder that `sketchdata build sbir` made.", record=False, type=_FOLDER)
    out: Path = option(help="Folder for checkpoints, metrics and the network.", record=False, type=_FOLDER)
    words: Path | None = option(
        None,
        help="Word vectors of the classes, as `sketchdata import vectors` writes them.",
        record=False,
        type=click.Path(dir_okay=False, path_type=Path),
    )
    unit_words: bool = option(
        True,
        help="Bring word vectors to length 1; the authors' code of Doodle to Search takes them as they are stored.",
        param_decls=["--unit-words/--stored-words"],
    )
    backbone: str = option("efficientnet_lite0", help=f"Picture network: {BACKBONE_HELP}", metavar="NAME")
    weights: str | None = weights_option()
    trunk: str = option(
        TRAINED,
        help="Whether the picture network learns; frozen, it reads each picture once, so that a CPU is enough.",
        type=click.Choice([TRAINED, FROZEN]),
    )
    size: int = option(224, help="Side of the pictures in pixels.", type=click.IntRange(16, MAX_SIZE))
    line_width: int = option(1, help="Width of drawn lines in pixels.", type=click.IntRange(1, 64))
    epochs: int = option(40, help="Number of epochs; each has every drawing once.", type=click.IntRange(0, 1_000_000))
    patience: int | None = option(
        None, help="Stop after so many epochs without a better mAP of validation classes.", type=_COUNT
    )
    trunk_learning_rate: float = option(1e-4, help="Largest learning rate of the picture network.", type=_POSITIVE)
    constant_rate: bool = option(False, help="Keep the learning rates constant, instead of half a cosine down to 0.")
    augment: bool = option(
        False,
        help="Augment pictures: rotate, stretch, shift and mirror them; only mirror them for a frozen picture network.",
    )
    cache: Path | None = option(
        None,
        help="Folder that keeps the features of a frozen picture network, or decoded photos, for other trainings too.",
        record=False,
        type=_FOLDER,
    )

    @property
    def network(self) -> NetworkOptions:
        """The picture network's own options."""
        return NetworkOptions(
            branch="cnn",
            backbone=self.backbone,
            weights=self.weights,
            size=self.size,
            line_width=self.line_width,
            channels=COLOURS,
        )

    def check(self) -> None:
        """Raise ConfigError if options contradict each other."""
        self.network.check()
        if self.trunk == FROZEN and self.weights is None:
            raise ConfigError(
                f"--trunk {FROZEN} needs --weights, as random features show nothing: give a file of weights, or "
                "--weights imagenet with --backbone efficientnet_lite0"
            )


@dataclass(frozen=True, kw_only=True)
class SpaceConfig(TwoDomainConfig):
    """Options of trainings of a space of vectors."""

    width: int = option(256, help="Width D of the space.", type=click.IntRange(1, 65_536))


@dataclass(frozen=True, kw_only=True)
class SpaceTraining(TrainingOptions):
    """Options of the loop of a training on drawings and photos."""

    batch_size: int = option(64, help="Triplets of a step, over all processes.", type=_COUNT)


@dataclass(frozen=True, kw_only=True)
class PairTraining(TrainingOptions):
    """Options of the loop of a training on pairs."""

    batch_size: int = option(
        250, help="Pairs of a step, over all processes; the graph joins those of one process.", type=_COUNT
    )


def preset(**values: Any) -> dict[str, dict[str, Any]]:
    """Return the preset `paper` of Dey et al. (section 4), updated with further values.

    VGG-16, SGD without a schedule or gradient clipping, and early stopping after 20 epochs without a better mAP.
    """
    own = {
        "backbone": "vgg16",
        "optimizer": "sgd",
        "learning_rate": 1e-4,
        "trunk_learning_rate": 1e-4,
        "weight_decay": 5e-4,
        "batch_size": 20,
        "epochs": 40,
        "patience": 20,
        "constant_rate": True,
        "warm_up": 0,
        "clip": 1e6,
    }
    return {"paper": own | values}
