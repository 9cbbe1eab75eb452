"""The options of trainings: frozen dataclasses, without torch, so that a command's help is quick."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from sketchdata.config import FILE, FOLDER, PATH, option
from sketchdata.errors import ConfigError

OPTIMISER_NAMES = ("adamw", "adam", "rmsprop", "sgd")
#: {name: side of its smallest pictures}, of the networks in `backbones`.
BACKBONES = {
    "alexnet": 63,
    "alexnet-torchvision": 63,
    "densenet121": 32,
    "densenet161": 32,
    "densenet169": 32,
    "densenet201": 32,
    "efficientnet_lite0": 32,
    "inception_v3": 75,
    "mobilenet_v1": 32,
    "mobilenet_v2": 32,
    "resnet18": 32,
    "resnet34": 32,
    "resnet50": 32,
    "resnet152": 32,
    "sketch-a-net": 81,
    "small": 16,
    "thin": 16,
    "vgg11": 32,
    "vgg16": 32,
}
#: The backbone that is an image encoder from a folder of transformers.
TRANSFORMERS = "transformers"
BACKBONE_HELP = f"{', '.join(BACKBONES)}, timm:NAME, or {TRANSFORMERS} with --weights FOLDER."
#: `NetworkOptions.channels` of networks that read photos: red, green and blue.
COLOURS = "colours"
#: Methods of zero-shot recognition, in the order of `zero_shot.ZERO_SHOT_METHODS`.
ZERO_SHOT_NAMES = (
    "eve",
    "eve_reversed",
    "recipe",
    "sae",
    "sae_reversed",
    "dem",
    "dem_reversed",
    "relation",
    "eszsl",
    "conse",
)
#: The method of the paper, and ours.
PAPER, OURS = "eve", "recipe"
EVERY = "all"
#: {number of views: angles in degrees} of voting; 2 and more views are each angle and its mirror image.
VIEW_ANGLES: dict[int, tuple[float, ...]] = {
    1: (0.0,),
    2: (0.0,),
    10: (-45.0, -22.5, 0.0, 22.5, 45.0),
    18: (-45.0, -33.75, -22.5, -11.25, 0.0, 11.25, 22.5, 33.75, 45.0),
}
#: Largest side of a picture, as in `raster`.
MAX_SIZE = 4096
#: Weights of the sketch centre loss and of the quantisation loss: Xu et al., Eq. 7.
SCL_WEIGHT, QL_WEIGHT = 0.01, 0.0001

#: Presets: what Xu et al. say of their trainings that is not the default here. Adam in section IV-A; RMSprop for all
#: zero-shot experiments, without validation classes, in IV-B. They give neither a learning rate nor a decay.
PAPER_ADAM = {"paper": {"optimizer": "adam", "weight_decay": 0.0}}
PAPER_EDGE_MAPS = {"paper": {"optimizer": "rmsprop", "weight_decay": 0.0}}
PAPER_ZERO_SHOT = {"paper": {**PAPER_EDGE_MAPS["paper"], "validation_share": 0.0, "methods": PAPER}}
#: {backbone: side of its pictures in pixels, where it is not 224}: Yu et al., "Sketch-a-Net that beats humans", 2015.
SIDES = {"sketch-a-net": 225}

#: Lengths of codes.
BITS = ("16", "24", "32", "64")

_SIDE = click.IntRange(16, MAX_SIZE)
_POSITIVE, _COUNT = click.FloatRange(0, 1e6, min_open=True), click.IntRange(1, 1_000_000)
_FOLDER, _EPOCHS = FOLDER, click.IntRange(0, 1_000_000)


def weights_option() -> Any:
    """Return the option `--weights`, which is recorded as a sha256."""
    return option(
        None,
        help="Pretrained weights of the picture network: a file of torchvision's or timm's (safetensors "
        "or .pth), a folder of transformers, or `imagenet` for efficientnet_lite0.",
        record=False,
        metavar="FILE|FOLDER|imagenet",
    )


def views_option() -> Any:
    """Return the option `--views` of classifiers of drawings."""
    return option(
        1,
        help=f"Views of each drawing whose probabilities are averaged: {', '.join(map(str, VIEW_ANGLES))}; N cost N "
        "times as much. 18 are angles from -45° to 45° by 11.25°, each with its mirror image.",
        type=click.IntRange(1, max(VIEW_ANGLES)),
    )


@dataclass(frozen=True, kw_only=True)
class DrawingsConfig:
    """The data of all trainers of drawings."""

    data: Path = option(
        help="Data set or tars of drawings, with train and val, or bitmaps: a folder of CLASS.npy files or an .npz "
        "file.",
        record=False,
        type=PATH,
    )
    classes: Path | None = option(
        None,
        help="Class table of tars without a manifest, one name per line, in the order of the labels. Default: "
        "classes.txt beside them, or the words in their JSON.",
        record=False,
        type=FILE,
    )
    out: Path = option(help="Folder for checkpoints, metrics and the network.", record=False, type=_FOLDER)
    augment: bool = option(
        False, help="Augment drawings: rotate, stretch, shift and mirror them a little; the paper does not."
    )
    rotate: float = option(
        8.0,
        help="Largest angle of --augment in degrees; 45 for networks that vote over 18 views.",
        type=click.FloatRange(0, 180),
    )


@dataclass(frozen=True, kw_only=True)
class DataConfig(DrawingsConfig):
    """The data of recognition and hashing."""

    unseen: int = option(
        0, help="Classes to hold out, chosen by a hash of their names, for zero-shot evaluation.", type=_EPOCHS
    )


@dataclass(frozen=True, kw_only=True)
class SharedStages:
    """What is copied from another training."""

    pretrained: Path | None = option(
        None,
        help="Folder of another training on this data; stages with equal options are reused.",
        record=False,
        type=_FOLDER,
    )


@dataclass(frozen=True, kw_only=True)
class BranchesConfig:
    """How long the branches of the dual-branch network learn, alone and together."""

    # Deep dense layers without normalisation tolerate less than the rest.
    cnn_learning_rate: float = option(3e-4, help="Largest learning rate of the picture branch.", type=_POSITIVE)
    # The paper's "20, 5, 5", in the order of its algorithm; of the last stage it says nothing.
    cnn_epochs: int = option(20, help="Epochs of the picture branch alone.", type=_EPOCHS)
    rnn_epochs: int = option(5, help="Epochs of the point branch alone.", type=_EPOCHS)
    fusion_epochs: int = option(5, help="Epochs of both branches together.", type=_EPOCHS)


@dataclass(frozen=True, kw_only=True)
class EpochsConfig(BranchesConfig, DataConfig):
    """How long the paper's stages learn, in recognition, hashing and their comparison."""

    center_weight: float = option(SCL_WEIGHT, help="Weight of the centre loss.", type=click.FloatRange(0))
    center_epochs: int = option(5, help="Epochs with the centre loss.", type=_EPOCHS)


@dataclass(frozen=True, kw_only=True)
class StagedConfig(SharedStages, EpochsConfig):
    """The options of recognition and hashing."""


@dataclass(frozen=True, kw_only=True)
class EdgeMapConfig:
    """The data and epochs of a network of edge maps, and of the comparison of many."""

    data: Path = option(help="Folder that `sketchdata build edgemap-345c` made.", record=False, type=_FOLDER)
    out: Path = option(help="Folder for checkpoints, metrics and the network.", record=False, type=_FOLDER)
    size: int = option(224, help="Side of the edge maps in pixels.", type=click.IntRange(16, MAX_SIZE))
    epochs: int = option(30, help="Number of epochs.", type=_EPOCHS)
    augment: bool = option(
        False, help="Augment edge maps: mirror, stretch and shift them a little; the paper does not."
    )


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How the loop learns, writes metrics and stops."""

    batch_size: int = option(256, help="Drawings per step, over all processes.", type=_COUNT)
    optimizer: str = option(
        "adamw", help="Optimiser; sgd has Nesterov's momentum of 0.9.", type=click.Choice(OPTIMISER_NAMES)
    )
    learning_rate: float = option(1e-3, help="Largest learning rate.", type=_POSITIVE)
    # The earlier paper's 0.01 is more than AlexNet tolerates under Adam; the later one does not give a rate.
    paper_lr: bool = option(False, help="Use the paper's learning rates: 0.01, divided by 10 every 10 epochs.")
    weight_decay: float = option(0.01, help="Weight decay.", type=click.FloatRange(0))
    warm_up: int = option(1000, help="Steps of linear warm-up, at most a tenth of a stage.", type=click.IntRange(0))
    clip: float = option(1.0, help="Maximum norm of the gradient; larger ones are clipped.", type=_POSITIVE)
    amp: str = option("auto", help="Compute in bf16; auto: on CUDA only.", type=click.Choice(["auto", "on", "off"]))
    compile: bool = option(False, help="Compile the picture branch, which takes a minute or two at first.")
    seed: int = option(0, help="Seed of initial weights, order and augmentation.", type=click.IntRange(0, 2**63 - 1))
    device: str = option("auto", help="Device: auto, cpu, cuda, cuda:1.", record=False)
    log_every: int = option(20, help="Steps between lines of metrics.", record=False, type=_COUNT)
    save_minutes: float = option(
        15.0, help="Minutes between checkpoints within an epoch.", record=False, type=click.FloatRange(0)
    )
    keep: int = option(3, help="Number of newest checkpoints to keep, beside the best one.", record=False, type=_COUNT)
    tensorboard: bool = option(False, help="Write TensorBoard's files as well.", record=False)
    resume: bool = option(False, help="Continue the training in --out.", record=False)


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """The branches, and what they read; the defaults are those of Xu et al., section IV-A."""

    branch: str = option(
        "cr", help="Branches: cnn for pictures, rnn for points, cr for both.", type=click.Choice(["cnn", "rnn", "cr"])
    )
    backbone: str = option("alexnet", help=f"Picture branch: {BACKBONE_HELP}", metavar="NAME")
    weights: str | None = weights_option()
    size: int = option(
        None, help="Side of the picture in pixels; default: 225 for sketch-a-net, 224 for others.", type=_SIDE
    )
    line_width: int = option(1, help="Width of the picture's lines in pixels.", type=click.IntRange(1, 64))
    channels: str = option(
        "ink",
        help="Channels of the picture: ink, or strokes, which add the time and the direction of drawing of each pixel.",
        type=click.Choice(["ink", "strokes"]),
    )
    hidden: int = option(512, help="Width of the GRU in each direction.", type=click.IntRange(1, 8192))
    layers: int = option(2, help="Layers of the GRU.", type=click.IntRange(1, 16))
    # The paper does not say how long; simplified drawings of more points are rare.
    max_points: int = option(
        128, help="Maximum number of points of a drawing that the GRU reads.", type=click.IntRange(1, 65_536)
    )

    def __post_init__(self) -> None:
        if not self.size:
            object.__setattr__(self, "size", SIDES.get(self.backbone, 224))

    def check(self) -> None:
        """Raise ConfigError where the options do not fit one another, as pictures too small for the backbone."""
        if self.branch == "rnn" and self.weights is not None:
            raise ConfigError("--branch rnn has no picture branch for --weights: leave out one of them")
        if self.branch != "rnn" and self.backbone == TRANSFORMERS and self.weights is None:
            raise ConfigError(f"--backbone {TRANSFORMERS} needs --weights FOLDER, one of transformers with safetensors")
        least = BACKBONES.get(self.backbone, 1)
        if self.branch != "rnn" and self.size < least:
            raise ConfigError(f"--backbone {self.backbone} needs pictures of --size {least} at least, not {self.size}")


@dataclass(frozen=True, kw_only=True)
class PrototypeOptions:
    """How prototypes are learned."""

    vectors: tuple[Path, ...] = option(
        help="Parquet file of class vectors; repeatable: each is used alone, and all concatenated.",
        record=False,
        multiple=True,
        required=True,
        type=FILE,
    )
    allow_missing: bool = option(False, help="Leave out classes without a vector, instead of an error.")
    methods: str = option(
        PAPER, help=f"Comma-separated methods, or `all`: {', '.join(ZERO_SHOT_NAMES)}.", metavar="A,B,…"
    )
    recipe: bool = option(False, help="Add our own method, `recipe`, to --methods.")
    width: int = option(4096, help="Width of the fusion layer.", type=click.IntRange(1, 65_536))
    # A class mean of so many hardly moves with more, and all 1.8 million drawings of the paper would be 29 GB.
    drawings: int = option(
        500, help="Maximum number of drawings of each seen class to learn prototypes from.", type=click.IntRange(2)
    )
