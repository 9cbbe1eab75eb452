"""`sketchdata train …`."""

from __future__ import annotations

from typing import Any

import click

from sketchdata.classes.splits import SplitOptions
from sketchdata.cli.output import echo_json
from sketchdata.config import options
from sketchdata.errors import needs_extra
from sketchdata.trainers import options as trainers
from sketchdata.training.options import NetworkOptions, TrainingOptions

_NEEDS = "training", "train"
_JSON = click.option("--json", "as_json", is_flag=True, help="Print the training's report as JSON on standard output.")


@click.command("edge-detector")
@options(config=trainers.EdgeDetectorConfig)
@_JSON
def edge_detector(config: trainers.EdgeDetectorConfig, as_json: bool) -> None:
    """Train the small edge detector `learned` on the photos and human drawings of BSDS500.

    Writes the weights, a report and a line of metrics a step. A training that was stopped, by Ctrl-C or otherwise, goes
    on with --resume and ends with the same weights; on the CPU, to the bit. BSDS500 is for non-commercial research, and
    so are weights that come from it.

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
@options(config=trainers.RecognitionConfig, network=NetworkOptions, training=TrainingOptions)
@_JSON
def recognition(
    config: trainers.RecognitionConfig, network: NetworkOptions, training: TrainingOptions, as_json: bool
) -> None:
    """Train the dual-branch network to recognise drawings.

    The picture branch learns alone, then the point branch, then both together, and last with the sketch centre loss.
    The defaults are the paper's sizes, for a GPU. `val` chooses the best epoch of each stage. A training that
    was stopped, by Ctrl-C or otherwise, goes on with --resume and ends with the same network; on the CPU, to the bit.

    Example: sketchdata train recognition --data data/quickdraw-3.8m --out runs/recognition

    Example: sketchdata train recognition --data data/small --out runs/small --backbone small --size 32 --hidden 64

    Example: torchrun --nproc-per-node 8 -m sketchdata train recognition --data data/quickdraw-3.8m --out runs/eight
    """
    with needs_extra(*_NEEDS):
        from sketchdata.trainers import recognition as trainer
    _say(trainer.run(config, network, training), config.out, as_json)


@click.command("hashing")
@options(config=trainers.HashingConfig, network=NetworkOptions, training=TrainingOptions)
@_JSON
def hashing(config: trainers.HashingConfig, network: NetworkOptions, training: TrainingOptions, as_json: bool) -> None:
    """Train the dual-branch network to give drawings binary codes.

    The branches learn alone, then together, then with the sketch centre loss, and last with the quantisation loss;
    `--loss` tells how far to go, and `--branch cnn` leaves the points out. The defaults are the paper's sizes, for a
    GPU. A training that was stopped goes on with --resume and ends with the same network; on the CPU, to the bit.

    Example: sketchdata train hashing --data data/quickdraw-3.8m --out runs/hashing-64 --bits 64

    Example: sketchdata train hashing --data data/quickdraw-3.8m --out runs/dlbhc --branch cnn --loss cel
    """
    with needs_extra(*_NEEDS):
        from sketchdata.trainers import hashing as trainer
    _say(trainer.run(config, network, training), config.out, as_json)


@click.command("hashing-baselines")
@options(config=trainers.BaselinesConfig, network=NetworkOptions, training=TrainingOptions)
@_JSON
def hashing_baselines(
    config: trainers.BaselinesConfig, network: NetworkOptions, training: TrainingOptions, as_json: bool
) -> None:
    """Train other deep hashing methods, on the same network and data.

    DSH-Supervised (dsh-pair), DSH-Sketch in its reduced form (dsh-sketch, which needs word vectors), GreedyHash, CSQ
    and OrthoHash. Each begins with the branches trained by cross entropy, which --pretrained takes from another run.

    Example: sketchdata train hashing-baselines --data data/quickdraw-3.8m --out runs/csq --branch cnn --method csq
    """
    with needs_extra(*_NEEDS):
        from sketchdata.trainers import hashing_baselines as trainer
    _say(trainer.run(config, network, training), config.out, as_json)


@click.command("sketchcode")
@options(config=trainers.SketchcodeConfig, network=trainers.SketchcodeNetwork, training=TrainingOptions)
@_JSON
def sketchcode(
    config: trainers.SketchcodeConfig, network: trainers.SketchcodeNetwork, training: TrainingOptions, as_json: bool
) -> None:
    """Train our own recipe for binary codes: one small network that reads strokes as channels of a picture.

    First the classes get learned directions, then binary codes that keep alike classes near one another. A training
    that was stopped goes on with --resume and ends with the same network; on the CPU, to the bit.

    Example: sketchdata train sketchcode --data data/quickdraw-3.8m --out runs/sketchcode-64 --bits 64 --augment
    """
    with needs_extra(*_NEEDS):
        from sketchdata.trainers import sketchcode as trainer
    _say(trainer.run(config, network, training), config.out, as_json)


@click.command("edgemap")
@options(config=trainers.EdgeMapNetworkConfig, training=TrainingOptions)
@_JSON
def edgemap(config: trainers.EdgeMapNetworkConfig, training: TrainingOptions, as_json: bool) -> None:
    """Train a network to tell the classes of edge maps apart, from scratch.

    Learned are the classes of the data set that have edge maps in `train`; `val` chooses the epoch. All edge maps lie
    in memory, SIZE × SIZE bytes each. A training that was stopped, by Ctrl-C or otherwise, goes on with --resume and
    ends with the same network; on the CPU, to the bit.

    Example: sketchdata train edgemap --data data/edgemap-345c --out runs/edgemap

    Example: sketchdata train edgemap --data data/small --out runs/small --backbone small --size 32 --epochs 10
    """
    with needs_extra(*_NEEDS):
        from sketchdata.trainers import edgemap as trainer
    _say(trainer.run(config, training), config.out, as_json)


@click.command("zsl")
@options(config=trainers.ZeroShotConfig, splits=SplitOptions, network=NetworkOptions, training=TrainingOptions)
@_JSON
def zsl(
    config: trainers.ZeroShotConfig,
    splits: SplitOptions,
    network: NetworkOptions,
    training: TrainingOptions,
    as_json: bool,
) -> None:
    """Train zero-shot recognition: of classes of which no drawing is ever seen, from vectors of their edge maps.

    The network of drawings learns from seen classes as in `train recognition`, under a layer of ReLUs, and is frozen;
    then each of --methods learns to place the classes' vectors among the drawings, or drawings among the vectors.
    A fifth of the seen classes is kept back from the network for choosing constants (--validation-share; 0 is the
    paper's). No drawing of an unseen class is looked at. A training that was stopped goes on with --resume and ends
    the same; on the CPU, to the bit. The report's figures are of validation classes; `sketchdata evaluate` asks about
    unseen ones, and `sketchdata recognise` about a drawing of yours.

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
    chance = report["chance_of_validation"]
    for found in report["recognisers"]:
        hit = found["validation_hit"]
        told = (
            "no validation classes" if hit is None else f"hit@1 {hit:.4f} of validation classes (chance {chance:.4f})"
        )
        click.echo(f"{found['method']}, from {found['source']}: {told}")


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
