"""`sketchdata train …`."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from sketchdata.classes.splits import SplitOptions
from sketchdata.cli.output import JSON, echo_json
from sketchdata.config import options
from sketchdata.cross_domain.layouts import open_two_domains, other_split
from sketchdata.cross_domain.options import PairTraining, SpaceTraining, preset
from sketchdata.errors import needs_extra
from sketchdata.trainers import options as trainers
from sketchdata.training.options import PAPER_ADAM, PAPER_EDGE_MAPS, PAPER_ZERO_SHOT, NetworkOptions, TrainingOptions

_NEEDS = "training", "train"


@click.command("edge-detector")
@options(trainers.PAPER_EDGES, config=trainers.EdgeDetectorConfig)
@JSON
def edge_detector(config: trainers.EdgeDetectorConfig, as_json: bool) -> None:
    """Train the small edge detector `learned` on the photos and human drawings of BSDS500.

    Writes the weights, a report and the metrics of each step. --resume continues an interrupted training and ends with
    the same weights; on the CPU, to the bit. BSDS500 is for non-commercial research, and so are weights trained on it.

    Example: sketchdata train edge-detector --data photos/bsds500 --out runs/edges

    Example: sketchdata train edge-detector --data photos/bsds500 --out runs/edges --resume
    """
    with needs_extra(*_NEEDS):
        from sketchdata.trainers import edge_detector as trainer
    report = trainer.run(config)
    if as_json:
        echo_json(report)
        return
    click.echo(
        f"{config.out / trainer.WEIGHTS}: {report['parameters']:,} parameters, after {report['photos']:,} photos in "
        f"{report['hours']:.2f} hours; last loss {report['loss']:.4f}"
    )


@click.command("recognition")
@options(PAPER_ADAM, config=trainers.RecognitionConfig, network=NetworkOptions, training=TrainingOptions)
@JSON
def recognition(
    config: trainers.RecognitionConfig, network: NetworkOptions, training: TrainingOptions, as_json: bool
) -> None:
    """Train the dual-branch network to recognise drawings.

    First the picture branch is trained alone, then the point branch, then both together, and last with the sketch
    centre loss. The defaults are the paper's sizes, for a GPU. `val` chooses the best epoch of each stage. --resume
    continues an interrupted training and ends with the same network; on the CPU, to the bit.

    Example: sketchdata train recognition --data data/quickdraw-3.8m --out runs/recognition

    Example: sketchdata train recognition --data data/small --out runs/small --backbone small --size 32 --hidden 64

    Example: torchrun --nproc-per-node 8 -m sketchdata train recognition --data data/quickdraw-3.8m --out runs/eight
    """
    with needs_extra(*_NEEDS):
        from sketchdata.trainers import recognition as trainer
    _say(trainer.run(config, network, training), config.out, as_json)


@click.command("hashing")
@options(PAPER_ADAM, config=trainers.HashingConfig, network=NetworkOptions, training=TrainingOptions)
@JSON
def hashing(config: trainers.HashingConfig, network: NetworkOptions, training: TrainingOptions, as_json: bool) -> None:
    """Train the dual-branch network to turn drawings into binary codes.

    The branches are trained alone, then together, then with the sketch centre loss, and last with the quantisation
    loss; `--loss` sets the last of these stages, and `--branch cnn` leaves the points out. The defaults are the paper's
    sizes, for a GPU. --resume continues an interrupted training and ends with the same network; on the CPU, to the bit.

    Example: sketchdata train hashing --data data/quickdraw-3.8m --out runs/hashing-64 --bits 64

    Example: sketchdata train hashing --data data/quickdraw-3.8m --out runs/dlbhc --branch cnn --loss cel
    """
    with needs_extra(*_NEEDS):
        from sketchdata.trainers import hashing as trainer
    _say(trainer.run(config, network, training), config.out, as_json)


@click.command("hashing-baselines")
@options(PAPER_ADAM, config=trainers.BaselinesConfig, network=NetworkOptions, training=TrainingOptions)
@JSON
def hashing_baselines(
    config: trainers.BaselinesConfig, network: NetworkOptions, training: TrainingOptions, as_json: bool
) -> None:
    """Train other deep hashing methods, on the same network and data.

    The methods are DSH-Supervised (dsh-pair), DSH-Sketch in its reduced form (dsh-sketch, which needs word vectors),
    GreedyHash, CSQ and OrthoHash. Each starts from branches trained by cross entropy, which --pretrained takes from
    another run.

    Example: sketchdata train hashing-baselines --data data/quickdraw-3.8m --out runs/csq --branch cnn --method csq
    """
    with needs_extra(*_NEEDS):
        from sketchdata.trainers import hashing_baselines as trainer
    _say(trainer.run(config, network, training), config.out, as_json)


@click.command("sketchcode")
@options(
    trainers.PAPER_SKETCHCODE,
    config=trainers.SketchcodeConfig,
    network=trainers.SketchcodeNetwork,
    training=TrainingOptions,
)
@JSON
def sketchcode(
    config: trainers.SketchcodeConfig, network: trainers.SketchcodeNetwork, training: TrainingOptions, as_json: bool
) -> None:
    """Train our own recipe for binary codes: one small network that reads strokes as channels of a picture.

    The first stage learns a direction for each class; the second one learns binary codes in which similar classes are
    near one another. --resume continues an interrupted training and ends with the same network; on the CPU, to the bit.

    Example: sketchdata train sketchcode --data data/quickdraw-3.8m --out runs/sketchcode-64 --bits 64 --augment
    """
    with needs_extra(*_NEEDS):
        from sketchdata.trainers import sketchcode as trainer
    _say(trainer.run(config, network, training), config.out, as_json)


@click.command("edgemap")
@options(PAPER_EDGE_MAPS, config=trainers.EdgeMapNetworkConfig, training=TrainingOptions)
@JSON
def edgemap(config: trainers.EdgeMapNetworkConfig, training: TrainingOptions, as_json: bool) -> None:
    """Train a classifier of edge maps from scratch.

    It learns the classes of the data set that have edge maps in `train`; `val` chooses the epoch. All edge maps are
    held in memory, SIZE × SIZE bytes each. --resume continues an interrupted training and ends with the same network;
    on the CPU, to the bit.

    Example: sketchdata train edgemap --data data/edgemap-345c --out runs/edgemap

    Example: sketchdata train edgemap --data data/small --out runs/small --backbone small --size 32 --epochs 10
    """
    with needs_extra(*_NEEDS):
        from sketchdata.trainers import edgemap as trainer
    _say(trainer.run(config, training), config.out, as_json)


@click.command("zsl")
@options(
    PAPER_ZERO_SHOT,
    config=trainers.ZeroShotConfig,
    splits=SplitOptions,
    network=NetworkOptions,
    training=TrainingOptions,
)
@JSON
def zsl(
    config: trainers.ZeroShotConfig,
    splits: SplitOptions,
    network: NetworkOptions,
    training: TrainingOptions,
    as_json: bool,
) -> None:
    """Train zero-shot recognition of classes without training drawings, from vectors of their edge maps.

    The network of drawings learns the seen classes as in `train recognition`, with a last layer of ReLUs, and is
    frozen; then each of --methods learns to map the classes' vectors to the drawings' embeddings, or the embeddings to
    the vectors. A fifth of the seen classes is kept for validation, to choose constants (--validation-share; the paper
    uses 0). No drawing of an unseen class is used. --resume continues an interrupted training and ends with the same
    recognisers; on the CPU, to the bit. The report's figures are of validation classes; `sketchdata evaluate` measures
    unseen ones, and `sketchdata recognise` recognises your own drawings.

    Example: sketchdata train zsl --data data/quickdraw-3.8m --vectors edge-vectors.parquet --seen 200 --out runs/zsl

    Example: sketchdata train zsl --data small --vectors edges.parquet --vectors words.parquet --methods all
    --class-split quickdraw-30 --branch cnn --backbone thin --channels strokes --out runs/small
    """
    with needs_extra(*_NEEDS):
        from sketchdata.trainers import zsl as trainer
    report = trainer.run(config, splits, network, training)
    _say(report, config.out, as_json)
    if as_json:
        return
    chance = report["chance_of_validation"] or 0
    for found in report["recognisers"]:
        hit = found["validation_hit"]
        told = (
            "no validation classes" if hit is None else f"hit@1 {hit:.4f} of validation classes (chance {chance:.4f})"
        )
        click.echo(f"{found['method']}, from {found['source']}: {told}")


@click.command("sbir")
@options(preset(), config=trainers.SbirConfig, splits=SplitOptions, training=SpaceTraining)
@JSON
def sbir(config: trainers.SbirConfig, splits: SplitOptions, training: SpaceTraining, as_json: bool) -> None:
    """Train networks that embed drawings and photos in one space, so that a drawing finds photos of unseen classes.

    Doodle to Search learns from triplets, word vectors and a domain classifier. Sketchspace learns to place drawings
    where a pretrained network places photos of their classes. The other methods are baselines. Validation classes
    choose the epoch by their mAP; unseen classes are not used. With --trunk frozen the picture network reads each
    picture only once, which takes minutes on a CPU; the default trains it, on a GPU. --resume continues an interrupted
    training and ends with the same network; on the CPU, to the bit. --seen or --class-split replaces the split that the
    data set was built with.

    Example: sketchdata train sbir --data data/sketchy --words words.parquet --weights imagenet --out runs/d2s

    Example: sketchdata train sbir --data data/sketchy --words words.parquet --weights imagenet --trunk frozen --out
    runs/d2s-cpu

    Example: sketchdata train sbir --data data/sketchy --method sketchspace --weights imagenet --trunk frozen --out
    runs/space

    Example: sketchdata train sbir --data data/sketchy --method centred --weights imagenet --trunk frozen --out
    runs/centred
    """
    with needs_extra(*_NEEDS):
        trainer: Any = import_module(f"sketchdata.trainers.{trainers.SBIR_TRAINERS[config.method]}")
    report: dict[str, Any] = trainer.run(config, training, other_split(open_two_domains(config.data), splits))
    _say_space(report, config.out, as_json)


@click.command("zsih")
@options(trainers.PAPER_ZSIH, config=trainers.ZsihConfig, splits=SplitOptions, training=PairTraining)
@JSON
def zsih(config: trainers.ZsihConfig, splits: SplitOptions, training: PairTraining, as_json: bool) -> None:
    """Train networks that give drawings and photos binary codes, so that a drawing finds photos of unseen classes.

    Zero-shot sketch-image hashing (ZSIH) fuses pairs of a drawing and a photo into codes from which the word vector of
    the class can be decoded. One encoder per domain learns to give these codes. Each row of the paper's ablation is an
    option. Validation classes choose the epoch by the mAP of their codes; unseen classes are not used. --preset paper
    takes the paper's sizes, for a GPU; the layer behind the Kronecker products then needs 1.1 GB. --resume continues an
    interrupted training and ends with the same network; on the CPU, to the bit.

    Example: sketchdata train zsih --data data/sketchy --words words.parquet --weights imagenet --trunk frozen --bits 64
    --out runs/zsih

    Example: sketchdata train zsih --data data/sketchy --words words.parquet --weights alexnet.pth --preset paper --out
    runs/zsih-paper
    """
    with needs_extra(*_NEEDS):
        from sketchdata.trainers import zsih as trainer
    report = trainer.run(config, training, other_split(open_two_domains(config.data), splits))
    _say_space(report, config.out, as_json)


@click.command("dsf")
@options(trainers.PAPER_DSF, config=trainers.DsfConfig, training=TrainingOptions)
@JSON
def dsf(config: trainers.DsfConfig, training: TrainingOptions, as_json: bool) -> None:
    """Train the deep sketch feature: one classifier of drawings, photos and edge maps, whose layers compare them.

    The network is trained on 18 views of the drawings, and on nine patches of the photos and their binarised edge maps,
    with mirror images. --fold 1/3 leaves out a third of the drawings, by a keyed hash; `sketchdata evaluate RUN --views
    18` recognises them, and `sketchdata encode RUN DATA --layer fc6+fc7` makes vectors for `index build` and `search`.
    All classes of the data are learned. --preset paper has AlexNet and its settings, for a GPU. --resume continues an
    interrupted training and ends with the same network; on the CPU, to the bit.

    Example: sketchdata train dsf --data data/tu-berlin --fold 1/3 --weights imagenet --out runs/dsf

    Example: sketchdata train dsf --data data/tu-berlin --preset paper --weights alexnet.pth --fold 1/3 --out runs/paper

    Example: sketchdata train dsf --data data/drawings --mix s --backbone small --size 64 --out runs/small
    """
    with needs_extra(*_NEEDS):
        from sketchdata.trainers import deep_sketch_feature as trainer
    report = trainer.run(config, training)
    if as_json:
        echo_json(report)
        return
    for stage in report["stages"]:
        found = ", ".join(f"{name} {value:.4f}" for name, value in stage.items() if isinstance(value, float))
        click.echo(f"{stage['stage']}: best epoch {stage['best_epoch']} of {stage['epochs']}: {found}")
    numbers = ", ".join(f"{report[name]:,} {name}" for name in ("drawings", "photos", "edges") if report[name])
    click.echo(
        f"{config.out}: {report['parameters']:,} parameters, {numbers} of {report['classes']:,} classes, "
        f"{report['seconds']:,.1f} s; {report['held_drawings']:,} drawings left out"
    )


def _say_space(report: dict[str, Any], out: Any, as_json: bool) -> None:
    if as_json:
        echo_json(report)
        return
    for stage in report["stages"]:
        click.echo(f"{stage['stage']}: best epoch {stage['best_epoch']} of {stage['epochs']}: mAP {stage['map']:.4f}")
    found = report["validation"]
    click.echo(
        f"mAP is of {found['drawings']:,} drawings that search {found['photos']:,} photos of {found['classes']} "
        f"validation classes (chance {found['chance']:.4f})"
    )
    click.echo(
        f"{out}: {report['parameters']:,} parameters, {report['drawings']:,} drawings and {report['photos']:,} "
        f"photos of {report['classes']:,} classes, {report['seconds']:,.1f} s"
    )


def _say(report: dict[str, Any], out: Any, as_json: bool) -> None:
    if as_json:
        echo_json(report)
        return
    for stage in report["stages"]:
        found = ", ".join(f"{name} {value:.4f}" for name, value in stage.items() if isinstance(value, float))
        click.echo(f"{stage['stage']}: best epoch {stage['best_epoch']} of {stage['epochs']}: {found}")
    edge_maps = report.get("edge_maps")
    learned = f"{edge_maps['train']:,} edge maps" if edge_maps else f"{report['drawings']:,} drawings"
    learned = f"{learned} of {report['classes']:,} classes"
    click.echo(f"{out}: {report['parameters']:,} parameters, {learned}, {report['seconds']:,.1f} s")
