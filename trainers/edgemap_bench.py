r"""Compare classifiers of edge maps, with the published figures of the paper's Table VIII.

    sketchdata bench edgemap --data data/edgemap-345c --out bench-edgemap
    sketchdata bench edgemap --data data/small --out bench-edgemap --rows mobilenet_v2,resnet18 --size 64 --epochs 10

A row is a network trained from scratch, as by `sketchdata train edgemap`. Its results are one file, so that a stopped
comparison can be resumed, and two commands with different rows can share a folder. Rows with other data or other
options have other files.

Source: Xu et al., "On Learning Semantic Representations for Million-Scale Free-Hand Sketches", section IV-B and Table
VIII.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import orjson
import torch

from sketchdata.config import FOLDER, option, recorded
from sketchdata.edges.dataset import TRAIN, VAL, open_edgemaps
from sketchdata.errors import ConfigError
from sketchdata.names import names_in
from sketchdata.progress import console
from sketchdata.storage.manifest import MANIFEST_NAME, hash_file, replacing
from sketchdata.trainers import edgemap, options
from sketchdata.training.backbones import MODELS, build
from sketchdata.training.options import EdgeMapConfig, TrainingOptions
from sketchdata.training.run_folder import METRICS, RECORD, read_json, stage_seconds, write_json

RESULTS_FILE, TABLE_FILE = "edgemap.json", "edgemap.md"
#: Table VIII: {row: (title, validation accuracy)}.
PUBLISHED = {
    "mobilenet_v1": ("MobileNet V1", 0.6108),
    "mobilenet_v2": ("MobileNet V2", 0.5971),
    "resnet18": ("ResNet-18", 0.5943),
    "resnet34": ("ResNet-34", 0.5931),
    "resnet50": ("ResNet-50", 0.5896),
    "resnet152": ("ResNet-152", 0.5829),
    "densenet121": ("DenseNet-121", 0.6153),
    "densenet161": ("DenseNet-161", 0.5518),
    "densenet169": ("DenseNet-169", 0.5177),
    "densenet201": ("DenseNet-201", 0.5514),
    "inception_v3": ("GoogLeNet Inception V3", 0.6237),
    "vgg11": ("VGG-11", 0.6132),
}
#: The paper's data: number of classes, and of edge maps in each split.
PUBLISHED_ON = {"classes": 345, TRAIN: 263_655, VAL: 26_626}
_NONE = "–"


@dataclass(frozen=True, kw_only=True)
class Config(EdgeMapConfig):
    """Options of `bench edgemap`."""

    out: Path = option(
        Path("edgemap-bench"), help="Folder of runs and results; finished ones are reused.", record=False, type=FOLDER
    )
    rows: str = option(
        "all",
        help="Comma-separated rows, or `all` of Table VIII; --list-rows lists them.",
        record=False,
        metavar="A,B,…",
    )


@dataclass(frozen=True, kw_only=True)
class NetworkRow:
    """A network; `published` is its validation accuracy in Table VIII, None if the table does not have it."""

    name: str
    title: str
    published: float | None = None

    def side(self, size: int) -> int:
        """Return the side of the edge maps in pixels: `size`, or the network's minimum if that is larger."""
        return max(size, MODELS[self.name].least)


def all_rows() -> list[NetworkRow]:
    """Return the twelve rows of Table VIII, then rows of the other networks of sketchdata."""
    rows = [NetworkRow(name=name, title=title, published=value) for name, (title, value) in PUBLISHED.items()]
    return rows + [NetworkRow(name=name, title=name) for name in MODELS if name not in PUBLISHED]


def chosen_rows(names: str) -> list[NetworkRow]:
    """Return the rows with comma-separated names, or for `all` the twelve of Table VIII, in the order of `all_rows`.

    Raises:
        ConfigError: A row does not exist, or no row is named.
    """
    rows = {row.name: row for row in all_rows()}
    wanted = set(names_in(names))
    if "all" in wanted:
        wanted = wanted - {"all"} | set(PUBLISHED)
    unknown = sorted(wanted - set(rows))
    if unknown or not wanted:
        problem = f"there is no row {unknown[0]!r}" if unknown else "--rows names no row"
        raise ConfigError(f"{problem}: choose from {', '.join(rows)}, or all")
    return [row for row in rows.values() if row.name in wanted]


def lacking(row: NetworkRow) -> str | None:
    """Return why a row's network is not available, or None if it is."""
    try:
        # On the device `meta`, weights need no memory.
        with torch.device("meta"):
            build(row.name, classes=2, channels=1)
    except ConfigError as error:
        return str(error)
    return None


def run(config: Config, training: TrainingOptions) -> dict[str, Any]:
    """Train the missing rows, and write and return the results.

    Raises:
        ConfigError: A row does not exist, or options, data, memory and device do not match.
        SketchDataError: The data is damaged, a training diverged, or the disk is full.
        InterruptedRunError: Ctrl-C; the same command resumes.
    """
    rows = chosen_rows(config.rows)
    if not config.epochs:
        raise ConfigError("--epochs 0 trains no network: use at least 1")
    facts = _facts(config, training)
    # Networks that are not available are reported before the training.
    left_out = {row.name: reason for row in rows if (reason := lacking(row))}
    for name, reason in left_out.items():
        console.print(f"{name} is left out: {reason}", highlight=False, soft_wrap=True)
    possible = [row for row in rows if row.name not in left_out]
    if not possible:
        raise ConfigError(f"no network of --rows {config.rows} is installed: {'; '.join(left_out.values())}")
    facts |= {"left_out": left_out}
    measured: list[dict[str, Any]] = []
    for row in possible:
        measured.append(_measure(row, config, training, facts["manifest"]))
        results = {**facts, "rows": measured}
        write_json(config.out / RESULTS_FILE, results)
        with replacing(config.out / TABLE_FILE) as file:
            file.write(markdown(results).encode())
    return results


def _facts(config: Config, training: TrainingOptions) -> dict[str, Any]:
    maps = open_edgemaps(config.data)
    classes = edgemap.known_classes(maps)
    counts = maps.manifest.counts
    return {
        "data": config.data.name,
        "manifest": hash_file(config.data / MANIFEST_NAME, "sha256"),
        "classes": len(classes),
        "chance": 1 / len(classes),
        "edge_maps": {split: sum(counts[split].get(word, 0) for word in classes) for split in (TRAIN, VAL)},
        "epoch_chosen_by": VAL,
        "published_on": PUBLISHED_ON,
        "options": recorded(config) | recorded(training),
    }


def _measure(row: NetworkRow, config: Config, training: TrainingOptions, manifest: str) -> dict[str, Any]:
    own = options.EdgeMapNetworkConfig(
        **{field.name: getattr(config, field.name) for field in fields(EdgeMapConfig)}, backbone=row.name
    )
    own = replace(own, size=row.side(config.size))
    made_with = {"manifest": manifest, "options": recorded(own) | recorded(training)}
    digest = hashlib.sha256(orjson.dumps(made_with, option=orjson.OPT_SORT_KEYS)).hexdigest()
    name = f"{row.name}-{digest[:12]}"
    path, folder = config.out / "rows" / f"{name}.json", config.out / "runs" / name
    if not path.exists():
        console.print(f"{row.name}: {row.title}, {own.size} pixels", highlight=False, soft_wrap=True)
        report = edgemap.run(replace(own, out=folder), replace(training, resume=(folder / RECORD).exists()))
        (stage,) = report["stages"]
        seconds = sum(stage_seconds(folder / METRICS).values())
        learned = stage["epochs"] * report["edge_maps"][TRAIN]
        found = {
            "accuracy": stage["accuracy"],
            "best_epoch": stage["best_epoch"],
            "epochs": stage["epochs"],
            "chance": report["chance"],
            "edge_maps": report["edge_maps"],
            "parameters": report["parameters"],
            "seconds": round(seconds, 1),
            # The seconds include validations.
            "edge_maps_per_second": round(learned / seconds, 1) if seconds else None,
            "device": report["device"],
            "processes": report["processes"],
            "threads": torch.get_num_threads(),
            "torch": report["torch"],
            "model": report["sha256"],
        }
        write_json(path, {**asdict(row), **made_with, **found})
    return read_json(path)


def markdown(results: Mapping[str, Any]) -> str:
    """Return the table of the finished rows, with notes on how to read it."""
    lines = ["# Networks on edge maps (Table VIII)", "", *_notes(results), "", *_table(results["rows"])]
    left_out = results["left_out"]
    if left_out:
        lines += ["", "Left out, because their networks are not installed:", ""]
        lines += [f"- {name}: {reason}" for name, reason in left_out.items()]
    return "\n".join(lines) + "\n"


def _notes(results: Mapping[str, Any]) -> Iterator[str]:
    edge_maps, options = results["edge_maps"], results["options"]
    on = results["published_on"]
    yield (
        f"{results['classes']:,} classes: {edge_maps[TRAIN]:,} edge maps of train, {edge_maps[VAL]:,} of val. "
        f"Chance is {results['chance']:.4f}. Accuracy is the share of val whose class has the highest score, at the "
        "epoch that val itself chose, as in the paper's validation accuracy: accuracy on new edge maps is probably "
        "lower. All networks are trained from scratch, one seed each."
    )
    yield ""
    yield (
        f"The paper's figures are of its own data, {on[TRAIN]:,} and {on[VAL]:,} edge maps of {on['classes']} classes, "
        f"chance {1 / on['classes']:.4f}, and cannot be compared with others."
    )
    yield ""
    yield (
        f"{options['epochs']} epochs in batches of {options['batch_size']}, "
        f"{options['optimizer']}, rate {options['learning_rate']:g}, seed {options['seed']}, "
        f"{'with' if options['augment'] else 'without'} changes of the edge maps. Seconds are those of training, "
        "validations included; edge maps/s are those learned from."
    )


def _table(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    columns = ("network", "parameters", "pixels", "val accuracy", "epoch", "chance", "paper's", "seconds")
    yield f"| {' | '.join(columns)} | edge maps/s | computed by |"
    yield f"|---|{'--:|' * len(columns)}---|"
    for row in rows:
        published, rate = row["published"], row["edge_maps_per_second"]
        threads = f", threads: {row['threads']}" if row["device"] == "cpu" else ""
        yield (
            f"| {row['title']} | {row['parameters']:,} | {row['options']['size']} | {row['accuracy']:.4f} | "
            f"{row['best_epoch']} of {row['epochs']} | {row['chance']:.4f} | "
            f"{_NONE if published is None else f'{published:.4f}'} | {row['seconds']:,.0f} | "
            f"{_NONE if rate is None else f'{rate:,.1f}'} | {row['device']}{threads} |"
        )
