"""`sketchdata evaluate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from sketchdata.cli.output import echo_json
from sketchdata.config import option, options
from sketchdata.errors import ConfigError, needs_extra
from sketchdata.storage.manifest import MANIFEST_NAME

_FOLDER = click.Path(file_okay=False, path_type=Path)
#: As in sketchdata/hashing_evaluation.py, which is not imported before it is needed.
_LEAST_UNSEEN = 2
#: What every run folder has: as in sketchdata/run_folder.py, likewise.
_RECORD = "run.json"
#: What a zero-shot training calls itself there, as in sketchdata/zero_shot/experiment.py.
_ZERO_SHOT = "zsl"


@dataclass(frozen=True, kw_only=True)
class Config:
    """What the network is asked about."""

    data: Path | None = option(
        None, help="Data set or bitmaps. Default: what the network learned from.", type=click.Path(path_type=Path)
    )
    split: str = option("gallery", help="Split to recognise.")
    unseen: int | None = option(
        None,
        help="Zero-shot retrieval of so many classes that the network did not learn. Default: those its training held "
        "out.",
        type=click.IntRange(_LEAST_UNSEEN),
    )
    batch_size: int = option(512, help="Drawings at a time.", type=click.IntRange(1))
    device: str = option("auto", help="Where to compute: auto, cpu, cuda, cuda:1.")


@click.command()
@click.argument("run", type=_FOLDER)
@options(config=Config)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON on standard output.")
def evaluate(run: Path, config: Config, as_json: bool) -> None:
    """Measure how well a trained network recognises drawings, and how well its binary codes find them.

    Writes into the run's folder evaluation.json, evaluation.md (accuracies beside chance, the most confused classes,
    a table of all classes) and reliability.svg. The split is `gallery`, as in the paper; no training looks at it.

    Networks that make codes search `gallery` for each drawing of `query` as well: mAP and P@200 with what the best and
    the worst order of equal distances would give, how far the classes are apart, what a search costs, and
    precision-recall.svg and .csv. Classes that the training held out (`--unseen` of `sketchdata train`) are searched
    for among themselves.

    Zero-shot trainings (`sketchdata train zsl`) are asked about their own unseen and seen classes: hit@k of every
    recogniser among unseen classes (ZSL) and among all (GZSL), the averages of classes U, S and H without and with γ,
    hubs and confusions, each beside chance. The recogniser that is shown was chosen by validation classes. There,
    embeddings.svg shows drawings and prototypes in the place of reliability.svg.

    RUN may be a folder of codes as well (`sketchdata encode`, `sketchdata import codes`): anybody's codes are measured
    as ours are. Its `query` is searched in its `gallery`, and nothing is written.

    Example: sketchdata evaluate runs/recognition

    Example: sketchdata evaluate runs/hashing-64 --data data/quickdraw-3.8m --unseen 20

    Example: sketchdata evaluate runs/zsl
    """
    if not (run / _RECORD).exists() and (run / MANIFEST_NAME).exists():
        _evaluate_codes(run, config, as_json)
        return
    with needs_extra("evaluating", "train"):
        from sketchdata.retrieval.evaluation import TABLE_FILE, evaluate_run
        from sketchdata.training.distributed import device_of
        from sketchdata.training.run_folder import read_record

    if read_record(run).get("trainer") == _ZERO_SHOT:
        _evaluate_zero_shot(run, config, as_json)
        return
    found = evaluate_run(
        run,
        config.data,
        config.split,
        device=str(device_of(config.device)),
        batch_size=config.batch_size,
        unseen=config.unseen,
    )
    if as_json:
        echo_json(found)
        return
    click.echo(f"{found['drawings']:,} drawings of {len(found['classes']):,} classes ({config.split})")
    click.echo(f"top-1 {found['top1']:.4f} (chance {found['top1_chance']:.4f})")
    click.echo(f"top-5 {found['top5']:.4f} (chance {found['top5_chance']:.4f})")
    click.echo(f"expected calibration error {found['ece']:.4f}")
    for title, name in (("", "retrieval"), ("zero-shot ", "zero_shot")):
        if name in found:
            _say_retrieval(title, found[name])
    if "retrieval" in found:
        click.echo(found["retrieval"]["definition"])
    click.echo(f"see {run / TABLE_FILE}")


def _evaluate_zero_shot(run: Path, config: Config, as_json: bool) -> None:
    from sketchdata.retrieval.evaluation import TABLE_FILE
    from sketchdata.training.distributed import device_of
    from sketchdata.zero_shot.evaluation import evaluate_zero_shot

    if config.unseen is not None:
        raise ConfigError(
            f"--unseen is for networks that make binary codes; {run} is a zero-shot training, which has unseen classes "
            "of its own: leave it out"
        )
    found = evaluate_zero_shot(
        run, config.data, config.split, device=str(device_of(config.device)), batch_size=config.batch_size
    )
    if as_json:
        echo_json(found)
        return
    drawings, classes = found["drawings"], found["classes"]
    click.echo(
        f"{drawings['unseen']:,} drawings of {len(classes['unseen']):,} unseen classes, {drawings['seen']:,} of "
        f"{len(classes['seen']):,} seen ones ({config.split})"
    )
    own = found["recognisers"][found["chosen"]]
    chosen = "by validation classes" if own["validation_hit"] is not None else "as the first: no validation classes"
    click.echo(f"{found['chosen']}, chosen from {len(found['recognisers'])} {chosen}")
    for name, level in own["zsl"]["chance"].items():
        if name in ("hit@1", "hit@5"):
            click.echo(f"ZSL {name} {own['zsl'][name]:.4f} (chance {level:.4f})")
    for stack, title in (("harmonic", "GZSL"), ("harmonic_calibrated", "GZSL with γ")):
        if stack in own:
            sides = " ".join(f"{side[0].upper()} {own[stack][side]:.4f}" for side in ("unseen", "seen", "harmonic"))
            click.echo(f"{title} {sides} (chance {own['chance']['harmonic']:.4f} each)")
    for each in own["below_chance"]:
        click.echo(f"below chance: {each['measure']} {each['value']:.4f} (chance {each['chance']:.4f})")
    click.echo(f"see {run / TABLE_FILE}")


def _evaluate_codes(folder: Path, config: Config, as_json: bool) -> None:
    from sketchdata.retrieval.code_folder import read_codes
    from sketchdata.retrieval.scores import score_codes

    if config != Config():
        raise ConfigError(f"{folder} holds codes, and the options are for networks: leave them out")
    scored = score_codes(read_codes(folder, "query"), read_codes(folder, "gallery"))
    found = {"retrieval": scored.values()}
    if as_json:
        echo_json(found)
        return
    _say_retrieval("", found["retrieval"])
    click.echo(scored.definition)


def _say_retrieval(title: str, found: dict[str, Any]) -> None:
    about = f"{found['queries']:,} queries in {found['gallery']:,} drawings, chance {found['chance']:.4f}"
    for name, own in (("mAP", found["map"]), (f"P@{found['k']}", found["precision_at_k"])):
        bounds = f"{own['pessimistic']:.4f} to {own['optimistic']:.4f} by the order of ties"
        click.echo(f"{title}{name} {own['expected']:.4f} ({bounds}; {about})")
