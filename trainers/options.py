"""The options of every trainer, in a module without torch, so that `--help` is quick."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from sketchdata.config import FOLDER, PATH, option
from sketchdata.cross_domain.options import MixOptions, PartOptions, PictureConfig, SpaceConfig, TwoDomainConfig
from sketchdata.errors import ConfigError
from sketchdata.training.options import (
    BACKBONE_HELP,
    BITS,
    QL_WEIGHT,
    VIEW_ANGLES,
    BranchesConfig,
    DataConfig,
    DrawingsConfig,
    EdgeMapConfig,
    NetworkOptions,
    PrototypeOptions,
    SharedStages,
    StagedConfig,
    weights_option,
)

#: Losses that select the last stage of Algorithm 1.
LOSSES = ("cel", "cel+cl", "cel+scl", "cel+scl+ql")
CENTERS = ("semantic", "hadamard", "random", "learned")
#: Other deep hashing methods, as in `hashing_baselines.METHODS`.
BASELINES = ("dsh-pair", "dsh-sketch", "greedyhash", "csq", "orthohash")

_FOLDER, _COUNT = FOLDER, click.IntRange(1, 1_000_000)
_POSITIVE, _NOT_NEGATIVE = click.FloatRange(0, 1e6, min_open=True), click.FloatRange(0, 1e6)
_SHARE = click.FloatRange(0, 1, max_open=True)


@dataclass(frozen=True, kw_only=True)
class RecognitionConfig(StagedConfig):
    """Options of `train recognition`."""

    width: int = option(2048, help="Width of the fusion layer.", type=click.IntRange(1, 65_536))
    loss: str = option("cel+scl", help="Loss of the last stage.", type=click.Choice(["cel", "cel+cl", "cel+scl"]))


@dataclass(frozen=True, kw_only=True)
class HashingConfig(StagedConfig):
    """Options of `train hashing`."""

    bits: str = option("64", help="Bits of a code.", type=click.Choice(BITS))
    loss: str = option(
        "cel+scl+ql", help="Losses of the last stage, in the order of Algorithm 1.", type=click.Choice(LOSSES)
    )
    code_weight: float = option(QL_WEIGHT, help="Weight of the quantisation loss.", type=click.FloatRange(0))
    code_epochs: int = option(5, help="Epochs with the quantisation loss as well.", type=click.IntRange(0, 1_000_000))
    ql_refresh: str = option(
        "epoch",
        help="How long the codes of the quantisation loss are held: for an epoch, as in the paper, or a step.",
        type=click.Choice(["epoch", "step"]),
    )


@dataclass(frozen=True, kw_only=True)
class BaselinesConfig(SharedStages, DataConfig):
    """Options of `train hashing-baselines`."""

    method: str = option("greedyhash", help="Method of the loss.", type=click.Choice(BASELINES))
    bits: str = option("64", help="Bits of a code.", type=click.Choice(BITS))
    vectors: Path | None = option(
        None, help="Word vectors for dsh-sketch: a .npy file with one row per word.", record=False, type=PATH
    )
    vector_words: Path | None = option(None, help="Words of --vectors, one per line.", record=False, type=PATH)
    cnn_learning_rate: float = option(
        3e-4, help="Largest learning rate of the picture branch.", type=click.FloatRange(0, min_open=True)
    )
    cnn_epochs: int = option(20, help="Epochs of the picture branch alone.", type=click.IntRange(0, 1_000_000))
    rnn_epochs: int = option(5, help="Epochs of the point branch alone.", type=click.IntRange(0, 1_000_000))
    code_epochs: int = option(10, help="Epochs with the method's own loss.", type=click.IntRange(1, 1_000_000))


#: Picture size and epochs of the paper's full hashing network: 20 of the picture branch, and 5 each of fusion, sketch
#: centre loss and quantisation loss. The recipe itself is ours.
PAPER_SKETCHCODE = {"paper": {"size": 224, "proxy_epochs": 20, "code_epochs": 15}}


@dataclass(frozen=True, kw_only=True)
class SketchcodeNetwork(NetworkOptions):
    """The network of `train sketchcode`."""

    branch: str = option(
        "cnn", help="Branches: cnn for pictures, rnn for points, cr for both.", type=click.Choice(["cnn", "rnn", "cr"])
    )
    backbone: str = option("thin", help="Picture branch, as in the other trainers.", metavar="NAME")
    size: int = option(64, help="Side of the picture in pixels.", type=click.IntRange(16, 1024))
    channels: str = option(
        "strokes", help="Channels of the picture: ink, or strokes.", type=click.Choice(["ink", "strokes"])
    )


@dataclass(frozen=True, kw_only=True)
class SketchcodeConfig(DataConfig):
    """Options of `train sketchcode`."""

    bits: str = option("64", help="Bits of a code.", type=click.Choice(BITS))
    margin: float = option(
        0.2, help="Margin by which the cosine with the right class exceeds the others.", type=click.FloatRange(0, 1)
    )
    smoothing: float = option(0.1, help="Label smoothing of the first stage.", type=click.FloatRange(0, 1))
    centers: str = option("semantic", help="Class codes of the second stage.", type=click.Choice(CENTERS))
    quantisation: float = option(
        0.1, help="Weight of the angle between code values and their signs.", type=_NOT_NEGATIVE
    )
    distillation: float = option(0.1, help="Weight of the distillation from the classifier.", type=_NOT_NEGATIVE)
    proxy_epochs: int = option(4, help="Epochs with learned class directions.", type=click.IntRange(1, 1_000_000))
    code_epochs: int = option(8, help="Epochs with fixed class codes.", type=click.IntRange(0, 1_000_000))


@dataclass(frozen=True, kw_only=True)
class EdgeMapNetworkConfig(EdgeMapConfig):
    """Options of `train edgemap`."""

    backbone: str = option("mobilenet_v2", help=f"Network: {BACKBONE_HELP}", metavar="NAME")
    weights: str | None = weights_option()


#: The loss, the batch and the number of steps of RCF (Liu et al., "Richer Convolutional Features for Edge Detection",
#: CVPR 2017), from which the loss comes, as in the authors' code. `consensus`: RCF-PyTorch, dataset.py, half of 255.
#: `balance`: RCF, sigmoid_cross_entropy_loss_layer.cpp. `side_weight`: train_vgg16.prototxt, `loss_weight` of each
#: output. `batch`: solver.prototxt, `iter_size`. `steps`: solve.py. Network, optimiser and its decay stay ours.
PAPER_EDGES = {"paper": {"consensus": 0.5, "balance": 1.1, "side_weight": 1.0, "batch": 10, "steps": 40_000}}


@dataclass(frozen=True, kw_only=True)
class EdgeDetectorConfig:
    """Options of `train edge-detector`."""

    data: Path = option(help="Folder of BSDS500: images/ and groundTruth/.", record=False, type=_FOLDER)
    out: Path = option(help="Folder for weights, checkpoint and metrics.", record=False, type=_FOLDER)
    splits: str = option("train,val", help="Splits to train on.", metavar="NAMES")
    # 160 passes over 300 photos: somewhat more than an hour on two cores.
    steps: int = option(12_000, help="Steps of the optimiser.", type=_COUNT)
    batch: int = option(4, help="Photos per step.", type=_COUNT)
    # About the height of a photo of BSDS500, 481 × 321: much context, at moderate cost.
    size: int = option(320, help="Side in pixels of the square crops.", type=click.IntRange(32, 4096))
    learning_rate: float = option(3e-3, help="AdamW's largest rate, after the warm-up.", type=_POSITIVE)
    weight_decay: float = option(0.01, help="AdamW's decay of weights, not of biases.", type=_NOT_NEGATIVE)
    # Without normalisation, a training without warm-up may diverge in its first steps.
    warm_up: float = option(0.03, help="Share of the steps in which the rate rises.", type=_SHARE)
    clip: float = option(1.0, help="Maximum norm of the gradient; larger ones are clipped.", type=_POSITIVE)
    average: float = option(0.998, help="Decay of the averaged weights.", type=_SHARE)
    # RCF's η and λ: pixels that fewer annotators marked are ignored, and background weighs a little more than edges.
    consensus: float = option(0.3, help="Share of annotators above which a pixel is an edge.", type=_SHARE)
    balance: float = option(1.1, help="Weight of background against edges.", type=_POSITIVE)
    side_weight: float = option(
        0.5, help="Weight of a side output's loss relative to the final output's.", type=_NOT_NEGATIVE
    )
    smallest: float = option(0.6, help="Smallest scale of a photo.", type=_POSITIVE)
    largest: float = option(1.6, help="Largest scale of a photo.", type=_POSITIVE)
    tilt: float = option(
        6.0, help="Standard deviation of the rotation in degrees, in addition to quarter turns.", type=_NOT_NEGATIVE
    )
    colour: float = option(0.8, help="Share of photos whose colours are changed.", type=click.FloatRange(0, 1))
    seed: int = option(0, help="Seed of initial weights, order and augmentation.", type=click.IntRange(0, 2**63 - 1))
    device: str = option("cpu", help="Device: cpu, cuda, cuda:1.", record=False)
    # Each photo is computed by one thread, so that the weights do not depend on the number of threads.
    threads: int = option(2, help="Number of threads that prepare photos.", record=False, type=click.IntRange(1, 1024))
    save_minutes: float = option(3.0, help="Minutes between checkpoints.", record=False, type=_NOT_NEGATIVE)
    resume: bool = option(False, help="Continue from the checkpoint in --out.", record=False)


#: Methods of `train sbir` of `sbir_baselines.METHODS`.
SBIR_BASELINES = ("triplet", "siamese", "gn-triplet", "softmax", "devise", "dsh", "sake", "frozen", "centred")
#: {method of `train sbir`: its module of `sketchdata.trainers`, whose `run` takes options, loop and class split}.
SBIR_TRAINERS = {
    "doodle2search": "doodle2search",
    "sketchspace": "sketchspace",
    **dict.fromkeys(SBIR_BASELINES, "sbir_baselines"),
}
SBIR_METHODS = tuple(SBIR_TRAINERS)


@dataclass(frozen=True, kw_only=True)
class SbirConfig(SpaceConfig):
    """Options of `train sbir`."""

    method: str = option(
        "doodle2search",
        help=f"Method: {', '.join(SBIR_METHODS)}.",
        metavar="NAME",
        type=click.Choice(SBIR_METHODS),
    )
    attention: bool | None = option(
        None,
        help="Soft attention over the maps of the picture network. Default: only for doodle2search.",
        param_decls=["--attention/--no-attention"],
    )
    margin: float = option(
        1.0, help="Margin of the triplet or contrastive loss, or of devise's hinge loss.", type=_POSITIVE
    )
    domain_weight: float = option(1.0, help="Weight of the domain loss of doodle2search.", type=_NOT_NEGATIVE)
    domain_ramp: str = option(
        "epoch",
        help="Whether the strength of the reversed gradient rises with the epoch, or with the step within each epoch, "
        "as in the authors' code.",
        type=click.Choice(["epoch", "batch"]),
    )
    semantic_weight: float = option(
        1.0, help="Weight of the semantic loss of doodle2search; the authors' code has 3.", type=_NOT_NEGATIVE
    )
    teacher_weight: float = option(1.0, help="Weight of the pretrained classifier in sake.", type=_NOT_NEGATIVE)
    temperature: float = option(0.07, help="Temperature of the similarities in sketchspace.", type=_POSITIVE)
    edge_detector: str = option(
        "learned",
        help="Detector of the edge maps of photos, which sketchspace learns from like drawings: canny, learned, "
        "pidinet, …; or none.",
        metavar="NAME",
    )
    edge_weight: float = option(1.0, help="Weight of the edge maps in sketchspace.", type=_NOT_NEGATIVE)
    word_weight: float = option(
        1.0, help="Weight in sketchspace of the class proxies made from --words.", type=_NOT_NEGATIVE
    )
    further: Path | None = option(
        None,
        help="Data set of drawings, such as `sketchdata build drawings` makes, from whose split train sketchspace "
        "learns further classes by words or ImageNet. Classes that --data has, also unseen ones, are left out.",
        record=False,
        type=_FOLDER,
    )
    classifier_weight: float = option(
        0.0,
        help="Weight in sketchspace of the classification of drawings by the classes of ImageNet that the pretrained "
        "network knows.",
        type=_NOT_NEGATIVE,
    )
    soft_margin: float = option(
        0.0,
        help="Largest margin in sketchspace by which drawings must be nearer to photos of their class; it is smaller "
        "for a photo that resembles other classes.",
        type=click.FloatRange(0, 2),
    )


#: Shen et al., sections 2 and 3.1; they give neither a learning rate nor a number of epochs, and their code has 5e-4.
PAPER_ZSIH = {
    "paper": {
        "backbone": "alexnet-torchvision",
        "size": 227,
        "kron_width": 256,
        "standardise": False,
        "optimizer": "adam",
        "learning_rate": 5e-4,
        "trunk_learning_rate": 5e-4,
        "weight_decay": 0.0,
        "batch_size": 250,
        "constant_rate": True,
        "warm_up": 0,
        "clip": 1e6,
    }
}


@dataclass(frozen=True, kw_only=True)
class ZsihConfig(TwoDomainConfig):
    """Options of `train zsih`."""

    bits: str = option("64", help="Bits of a code.", type=click.Choice(["16", "32", "64", "128"]))
    fusion: str = option(
        "kron",
        help="Fusion of a drawing and a photo: the Kronecker product, concatenation, or multi-modal factorised "
        "bilinear pooling.",
        type=click.Choice(["kron", "concat", "mfb"]),
    )
    kron_width: int = option(
        64,
        help="Number K of values of each picture that are fused. The layer behind the K² products has K² × "
        "--graph-width weights, which Adam and gradients hold in memory four times: 4.2 million and 67 MB at 64, 67 "
        "million and 1.1 GB at the paper's 256.",
        type=click.IntRange(1, 1024),
    )
    standardise: bool = option(
        True,
        help="With --trunk frozen, standardise the input of the dense layers by the seen pictures of each domain; "
        "scale the decoder's word vectors to a mean square of 1, and start it at their mean and variance.",
        param_decls=["--standardise/--no-standardise"],
    )
    kron_sketch: int | None = option(None, help="Size of a count sketch that replaces the K² products.", type=_COUNT)
    graph: str = option(
        "on",
        help="Graph convolutions that join pairs with similar words: on, off (dense layers), or words (dense layers "
        "that also read the word vectors).",
        type=click.Choice(["on", "off", "words"]),
    )
    temperature: float = option(0.1, help="Temperature t of the graph, exp(−‖s_j − s_k‖² / t).", type=_POSITIVE)
    graph_width: int = option(1024, help="Width of the first graph convolution.", type=click.IntRange(1, 65_536))
    neurons: str = option(
        "stochastic",
        help="Bits during training: stochastic samples them, regularised penalises their quantisation error and "
        "correlation.",
        type=click.Choice(["stochastic", "regularised"]),
    )
    regularisation_weight: float = option(1.0, help="Weight of --neurons regularised.", type=_NOT_NEGATIVE)
    decoder: str = option(
        "words",
        help="Target of the decoder: the word's vector, or the class.",
        type=click.Choice(["words", "classifier"]),
    )
    code_entropy: str = option(
        "max",
        help="Term for the entropy of the codes: max raises it, as in the paper; min lowers it, as in the authors' "
        "code; none.",
        type=click.Choice(["max", "min", "none"]),
    )

    @property
    def width(self) -> int:
        """Values of the encoders."""
        return int(self.bits)

    @property
    def method(self) -> str:
        """The method's name in a report."""
        return "zsih"

    def check(self) -> None:
        """Raise ConfigError where the options do not fit one another."""
        super().check()
        if self.kron_sketch is not None and self.fusion != "kron":
            raise ConfigError(f"--kron-sketch works with --fusion kron, not {self.fusion}: leave it out")


#: What `train dsf` learns from: drawings, photos, edge maps.
MIXES = ("s", "s+i", "s+e", "s+i+e")
#: Wang et al., sections 3.3 and 4.3: AlexNet's settings but for the rate. They do not give the number of epochs.
PAPER_DSF = {
    "paper": {
        "backbone": "alexnet",
        "size": 227,
        "optimizer": "sgd",
        "learning_rate": 1e-3,
        "trunk_learning_rate": 1e-3,
        "weight_decay": 5e-4,
        "batch_size": 128,
        "constant_rate": True,
        "warm_up": 0,
        "clip": 1e6,
        "validation_share": 0.0,
    }
}


@dataclass(frozen=True, kw_only=True)
class DsfTraining(PartOptions, PictureConfig):
    """How `train dsf` learns, for each mix of domains."""

    data: Path = option(
        help="Folder that `sketchdata build sbir` made; for --mix s also a data set of drawings.",
        record=False,
        type=_FOLDER,
    )
    views: int = option(
        18,
        help=f"Views of a drawing, one of which is learned from at a time: {', '.join(map(str, VIEW_ANGLES))}.",
        type=click.IntRange(1, max(VIEW_ANGLES)),
    )
    patches: bool = option(
        True,
        help="Train on nine patches of a photo or edge map and their mirror images, or on the whole picture.",
        param_decls=["--patches/--whole"],
    )
    edge_detector: str = option("learned", help="Detector of the edge maps of photos.", metavar="NAME")
    edge_threshold: float = option(
        0.9,
        help="Pixels above this share of a map's strongest edge are ink. The paper says 0.9, but not of what.",
        type=click.FloatRange(0, 1, min_open=True),
    )
    repeat_photos: int = option(
        1, help="How often each photo and edge map is used per epoch, if they are few.", type=click.IntRange(1, 10_000)
    )


@dataclass(frozen=True, kw_only=True)
class DsfConfig(MixOptions, DsfTraining):
    """Options of `train dsf`."""

    mix: str = option(
        "s+i+e",
        help="Training data of the classifier: drawings (s), photos (i) and edge maps of the photos (e).",
        type=click.Choice(MIXES),
    )
    resize: str = option(
        "ink",
        help="How drawings that are pixels are resized and turned: by moving ink pixels (ink), by moving them after "
        "thinning (thinned), or by interpolation (bilinear). The paper's text thins; the caption of its Figure 1 does "
        "not.",
        type=click.Choice(["ink", "thinned", "bilinear"]),
    )


@dataclass(frozen=True, kw_only=True)
class ZeroShotConfig(PrototypeOptions, SharedStages, BranchesConfig, DrawingsConfig):
    """Options of `train zsl`."""
