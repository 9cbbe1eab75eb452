r"""Compare methods of zero-shot recognition over several draws of unseen classes: the paper's Tables IX and X.

    sketchdata bench zsl --data data/quickdraw-3.8m --vectors edge-vectors.parquet --vectors words.parquet --seen 200
    sketchdata bench zsl --data data/small --vectors edges.parquet --seen 60 --splits 3 --networks cr,thin --width 512 \
        --backbone small --size 64 --hidden 64 --max-points 64

A network is trained for each draw of seen and unseen classes, each method learns prototypes from each source of class
vectors, and drawings of unseen classes are recognised. Finished parts are stored, so that a stopped comparison can be
resumed, and two commands with different networks can share a folder.

CR, CNN and RNN are the paper's networks; THIN is ours, a small convolutional network that reads strokes as channels.
The upper bound uses the mean of each class's training drawings as its prototype, also for unseen classes, so it is not
a zero-shot method.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import orjson
import torch

from sketchdata.classes.splits import SplitOptions
from sketchdata.classes.vectors import read_source
from sketchdata.comparisons.zero_shot import ZeroShotRow, markdown, summarise
from sketchdata.config import FOLDER, option, recorded
from sketchdata.drawings.sampling import first_of_each
from sketchdata.errors import ConfigError
from sketchdata.names import names_in
from sketchdata.progress import console
from sketchdata.retrieval.evaluation import JSON_FILE
from sketchdata.storage.manifest import replacing
from sketchdata.trainers import options, zsl
from sketchdata.training.bitmaps import holds_bitmaps, identity, read_split
from sketchdata.training.distributed import device_of
from sketchdata.training.encoder import embed, read_encoder, recorded_weights, weights_record
from sketchdata.training.options import (
    EVERY,
    OURS,
    PAPER,
    BranchesConfig,
    DrawingsConfig,
    NetworkOptions,
    PrototypeOptions,
    TrainingOptions,
)
from sketchdata.training.run_folder import RECORD, read_json, read_record, write_json
from sketchdata.zero_shot import ZERO_SHOT_METHODS, chosen_methods, fit_upper_bound
from sketchdata.zero_shot.evaluation import (
    PAPER_SPLIT,
    EvaluationSet,
    evaluate_zero_shot,
    measure_recogniser,
    read_class_table,
)
from sketchdata.zero_shot.recogniser import KeptRecogniser, read_recognisers

RESULTS_FILE, TABLE_FILE = "zsl.json", "zsl.md"
UPPER_BOUND = "upper-bound"
#: Kind of class vectors of edge maps, in contrast to word vectors.
_OF_EDGE_MAPS = "edge maps"
#: Methods of each network. The paper's single branches use its method in both directions; our network also uses ours.
_ABLATED, _OWN = (PAPER, f"{PAPER}_reversed"), (PAPER, OURS)
_NETWORKS = {"cr": None, "cnn": _ABLATED, "rnn": _ABLATED, "thin": _OWN}
_BATCH = 512


@dataclass(frozen=True, kw_only=True)
class Config(PrototypeOptions, BranchesConfig, DrawingsConfig):
    """Options of `bench zsl`."""

    out: Path = option(
        Path("zsl-bench"), help="Folder of runs and results; finished ones are reused.", record=False, type=FOLDER
    )
    methods: str = option(
        EVERY, help=f"Comma-separated methods, or `all`: {', '.join(ZERO_SHOT_METHODS)}.", metavar="A,B,…"
    )
    splits: int = option(
        5,
        help="Number of draws of seen and unseen classes, with seeds from --split-seed on.",
        type=click.IntRange(1, 1000),
    )
    networks: str = option(
        ",".join(_NETWORKS), help=f"Comma-separated networks of drawings: {', '.join(_NETWORKS)}.", metavar="A,B,…"
    )
    split: str = option(PAPER_SPLIT, help="Split whose drawings are recognised; the paper's is `val`.")
    upper_bound: bool = option(False, help="Add the upper bound: class means of training drawings as prototypes.")
    thin_size: int | None = option(None, help="Side of thin's picture. Default: --size.", type=click.IntRange(16, 1024))
    thin_epochs: int | None = option(
        None, help="Epochs of thin's picture branch. Default: --cnn-epochs.", type=click.IntRange(0)
    )


def run(config: Config, splits: SplitOptions, network: NetworkOptions, training: TrainingOptions) -> dict[str, Any]:
    """Train the missing parts, measure them, and write and return the results.

    Raises:
        ConfigError: A network or method does not exist, or options do not match the data or the results in the folder.
        SketchDataError: The data is damaged, a training diverged, or the disk is full.
        InterruptedRunError: Ctrl-C; the same command resumes.
    """
    if splits.class_split and config.splits > 1:
        raise ConfigError("--class-split is one draw of classes: use --splits 1")
    networks = chosen_networks(config)
    drawn = [replace(splits, split_seed=splits.split_seed + number) for number in range(config.splits)]
    bench = _ZeroShotBench(config, network, replace(training, resume=False))
    # Check all draws before the training: the last one may be impossible.
    for split in drawn:
        zsl.plan(config, split, bench.classes)
    found: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for split in drawn:
        for name in networks:
            for key, values in bench.measure(name, split):
                found.setdefault(key, []).append({"split_seed": split.split_seed, **values})
            bench.write(found)
    return bench.write(found)


def chosen_networks(config: Config) -> list[str]:
    """Return the networks that --networks names and the data allow, in the order of `_NETWORKS`.

    Raises:
        ConfigError: A network does not exist, or none remains.
    """
    asked = set(names_in(config.networks))
    if unknown := asked - set(_NETWORKS):
        raise ConfigError(f"--networks: there is no {', '.join(sorted(unknown))}; there are {', '.join(_NETWORKS)}")
    allowed = [name for name in _NETWORKS if name in asked]
    if holds_bitmaps(config.data):
        for name in {"cr", "rnn"} & asked:
            console.print(f"{name} is left out: bitmaps have no points")
        allowed = [name for name in allowed if name not in ("cr", "rnn")]
    if not allowed:
        raise ConfigError(f"--networks leaves nothing to compare: there are {', '.join(_NETWORKS)}")
    return allowed


class _ZeroShotBench:
    def __init__(self, config: Config, network: NetworkOptions, training: TrainingOptions) -> None:
        self.config, self.network, self.training = config, network, training
        self.classes, self.manifest = identity(config.data, config.classes)
        self.methods = list(chosen_methods(config, training.optimizer))
        self.weights = {} if network.weights is None else recorded_weights(weights_record(network))

    def measure(self, name: str, split: SplitOptions) -> Iterator[tuple[tuple[str, str, str], dict[str, Any]]]:
        methods = [each for each in self.methods if each in (_NETWORKS[name] or self.methods)]
        if not methods:
            return
        folder = self._train(name, split, methods)
        evaluation = self._evaluated(folder)
        for kept in read_recognisers(folder):
            yield (name.upper(), kept.source, kept.method), evaluation["recognisers"][kept.name]
        if self.config.upper_bound and name in ("cr", "cnn"):
            yield (name.upper(), "drawings", UPPER_BOUND), self._upper_bound(folder)

    def _train(self, name: str, split: SplitOptions, methods: Sequence[str]) -> Path:
        out = self._folder(name, split)
        shared = {field.name for field in fields(options.ZeroShotConfig)} & {
            field.name for field in fields(self.config)
        }
        changed: dict[str, Any] = {"out": out, "methods": ",".join(methods), "recipe": False}
        if name in ("cnn", "rnn") and (self._folder("cr", split) / RECORD).exists():
            changed["pretrained"] = self._folder("cr", split)
        if name == "thin" and self.config.thin_epochs is not None:
            changed["cnn_epochs"] = self.config.thin_epochs
        own = options.ZeroShotConfig(**{**{each: getattr(self.config, each) for each in shared}, **changed})
        console.print(f"{name}, split seed {split.split_seed}", highlight=False)
        resume = (out / RECORD).exists()
        zsl.run(own, split, self._network(name), replace(self.training, resume=resume))
        return out

    def _folder(self, name: str, split: SplitOptions) -> Path:
        return self.config.out / "runs" / f"{name}-{split.split_seed}"

    def _network(self, name: str) -> NetworkOptions:
        if name != "thin":
            return replace(self.network, branch=name, weights=None if name == "rnn" else self.network.weights)
        channels = "ink" if holds_bitmaps(self.config.data) else "strokes"
        size = self.config.thin_size or self.network.size
        return replace(
            self.network, branch="cnn", backbone="thin", weights=None, channels=channels, line_width=1, size=size
        )

    def _evaluated(self, folder: Path) -> Mapping[str, Any]:
        path, split = folder / JSON_FILE, self.config.split
        if path.exists():
            values: Mapping[str, Any] = read_json(path)
            same = (values["split"], values["manifest"]) == (split, self.manifest)
            if same and set(values["recognisers"]) == {kept.name for kept in read_recognisers(folder)}:
                return values
        device = str(device_of(self.training.device))
        values = evaluate_zero_shot(folder, self.config.data, split, device=device, batch_size=_BATCH)
        # The same values as those read from the file.
        return dict(orjson.loads(orjson.dumps(values)))

    def _upper_bound(self, folder: Path) -> dict[str, Any]:
        """Return the results with class means of training drawings as prototypes, also for unseen classes."""
        table, trained = read_class_table(read_record(folder), folder), read_encoder(folder)
        device = str(device_of(self.training.device))

        def described(split: str, most: int | None) -> tuple[Any, Any]:
            packed = read_split(self.config.data, split, self.config.classes).of_classes(table.classes)
            labels = packed.labels.numpy().astype(np.int64)
            rows = np.arange(len(labels)) if most is None else np.sort(first_of_each(labels, most))
            return embed(trained, packed, rows=rows, device=device), labels[rows]

        features, labels = described("train", self.config.drawings)
        seen = np.setdiff1d(np.arange(len(table.classes)), table.places())
        best = fit_upper_bound(features, labels, np.eye(len(table.classes)), seen)
        kept = KeptRecogniser(source="drawings", method=UPPER_BOUND, classes=table.classes, recogniser=best)
        features, labels = described(self.config.split, None)
        return measure_recogniser(kept, EvaluationSet(features=features, labels=labels, table=table))

    def write(self, found: Mapping[tuple[str, str, str], Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
        rows = [
            ZeroShotRow(features=features, source=source, method=method, summary=summarise(values))
            for (features, source, method), values in found.items()
        ]
        results = {
            "data": self.config.data.name,
            "manifest": self.manifest,
            "options": recorded(self.config) | recorded(self.network) | recorded(self.training) | self.weights,
            "device": str(device_of(self.training.device)),
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "rows": [{**asdict(row), "draws": list(values)} for row, values in zip(rows, found.values(), strict=True)],
        }
        write_json(self.config.out / RESULTS_FILE, results)
        kinds = {path.stem: read_source(path).get("kind") for path in self.config.vectors}
        of_edge_maps = [name for name, kind in kinds.items() if kind == _OF_EDGE_MAPS]
        of_words = [name for name, kind in kinds.items() if kind != _OF_EDGE_MAPS]
        page = markdown(rows, words=of_words, edge_maps=of_edge_maps)
        with replacing(self.config.out / TABLE_FILE) as file:
            file.write(page.rstrip("\n").encode() + b"\n")
        return results
