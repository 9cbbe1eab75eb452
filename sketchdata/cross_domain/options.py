"""Options of trainings on drawings and photos, in a module without torch, so that `--help` is quick."""

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
class PictureConfig:
    """Options of every training on drawings and photos: the data and the picture network."""

    data: Path = option(help="Folder that `sketchdata build sbir` made.", record=False, type=_FOLDER)
    out: Path = option(help="Folder for checkpoints, metrics and the network.", record=False, type=_FOLDER)
    backbone: str = option("efficientnet_lite0", help=f"Picture network: {BACKBONE_HELP}", metavar="NAME")
    weights: str | None = weights_option()
    size: int = option(224, help="Side of the pictures in pixels.", type=click.IntRange(16, MAX_SIZE))
    line_width: int = option(1, help="Width of drawn lines in pixels.", type=click.IntRange(1, 64))
    epochs: int = option(
        40, help="Number of epochs. In each, every drawing is used once.", type=click.IntRange(0, 1_000_000)
    )
    patience: int | None = option(
        None, help="Stop after this many epochs without a better validation result.", type=_COUNT
    )
    trunk_learning_rate: float = option(1e-4, help="Largest learning rate of the picture network.", type=_POSITIVE)
    constant_rate: bool = option(
        False, help="Keep the learning rates constant, instead of lowering them to 0 along half a cosine."
    )
    cache: Path | None = option(
        None,
        help="Folder that keeps features of a frozen picture network, photos or edge maps, for later trainings.",
        record=False,
        type=_FOLDER,
    )

    @property
    def network(self) -> NetworkOptions:
        """The options of the picture network."""
        return NetworkOptions(
            branch="cnn",
            backbone=self.backbone,
            weights=self.weights,
            size=self.size,
            line_width=self.line_width,
            channels=COLOURS,
        )

    def check(self) -> None:
        """Raise ConfigError where the options do not fit one another."""
        self.network.check()


@dataclass(frozen=True, kw_only=True)
class TwoDomainConfig(PictureConfig):
    """Further options of trainings of a space of drawings and photos."""

    words: Path | None = option(
        None,
        help="Word vectors of the classes, as `sketchdata import vectors` writes them.",
        record=False,
        type=click.Path(dir_okay=False, path_type=Path),
    )
    unit_words: bool = option(
        True,
        help="Scale word vectors to length 1, or use them as stored, as the authors' code of Doodle to Search does.",
        param_decls=["--unit-words/--stored-words"],
    )
    photo_size: int | None = option(
        None, help="Side of photos in pixels, if it is not that of drawings.", type=click.IntRange(16, MAX_SIZE)
    )
    trunk: str = option(
        TRAINED,
        help="Whether the picture network is trained. A frozen one reads each picture only once, so a CPU is enough.",
        type=click.Choice([TRAINED, FROZEN]),
    )
    augment: bool = option(
        False,
        help="Augment pictures: rotate, stretch, shift and mirror them; only mirror them for a frozen picture network.",
    )

    def check(self) -> None:
        """Raise ConfigError where the options do not fit one another."""
        super().check()
        if self.trunk == FROZEN and self.weights is None:
            raise ConfigError(
                f"--trunk {FROZEN} needs --weights, because random features are useless: give a file of weights, or "
                "--weights imagenet with --backbone efficientnet_lite0"
            )


@dataclass(frozen=True, kw_only=True)
class PartOptions:
    """Which photos `train dsf` leaves out, and how it chooses the epoch."""

    fold_photos: bool = option(
        False,
        help="Leave out the photos of that fold too, to measure search on new photos; the paper trains on all.",
        param_decls=["--fold-photos/--all-photos"],
    )
    validation_share: float = option(
        0.1,
        help="Share of the other drawings that chooses the epoch; with 0, training drawings choose it.",
        type=click.FloatRange(0, 0.5),
    )


@dataclass(frozen=True, kw_only=True)
class MixOptions(PartOptions):
    """Which drawings and photos `train dsf` learns from."""

    fold: str | None = option(
        None,
        help="Leave out the drawings of fold K of N, by a keyed hash: 1/3, 2/3, 3/3. Default: train on all drawings "
        "or, for a data set of drawings alone, on its split train.",
        metavar="K/N",
    )


@dataclass(frozen=True, kw_only=True)
class PhotoOrderConfig:
    """How `bench photo-order` compares photos."""

    layer: str | None = option(
        None,
        help="Layer that is compared: fc6, fc7 or fc6+fc7. Default: that of the run, fc6+fc7 where it has both.",
        type=click.Choice(["fc6", "fc7", "fc6+fc7"]),
    )
    device: str = option("auto", help="Device: auto, cpu, cuda, cuda:1.")


@dataclass(frozen=True, kw_only=True)
class SpaceConfig(TwoDomainConfig):
    """Options of trainings of a space of vectors."""

    width: int = option(256, help="Width D of the space.", type=click.IntRange(1, 65_536))


@dataclass(frozen=True, kw_only=True)
class SpaceTraining(TrainingOptions):
    """Options of the training loop with triplets."""

    batch_size: int = option(64, help="Triplets per step, over all processes.", type=_COUNT)


@dataclass(frozen=True, kw_only=True)
class PairTraining(TrainingOptions):
    """Options of the training loop with pairs."""

    learning_rate: float = option(3e-3, help="Largest learning rate.", type=_POSITIVE)
    batch_size: int = option(
        250, help="Pairs per step, over all processes; the graph joins pairs of the same process.", type=_COUNT
    )


def preset(**values: Any) -> dict[str, dict[str, Any]]:
    """Return the preset `paper` of Dey et al., section 4, with further values.

    VGG-16, SGD without a schedule or clipping, and the end after 20 epochs without a better mAP.
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
