r"""Compare methods that retrieve photos by drawings over draws of unseen classes: Doodle to Search, Tables 2 and 3.

    sketchdata bench sbir --data data/sbir --words words.parquet --weights imagenet --trunk frozen --seen 26 --out bench
    sketchdata bench sbir --data data/sketchy --words words.parquet --weights imagenet --draws 1 --out bench

One data set serves all draws of seen and unseen classes. A cell is a row, a draw and a seed: a training on the seen
classes, and a search of unseen photos by unseen drawings. Finished cells are stored, so that a stopped comparison
can be resumed, and two commands with different rows can share a folder. Without --seen and --class-split the split is
the data set's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import torch

from sketchdata.classes.splits import ClassSplit, SplitOptions
from sketchdata.comparisons.sbir import MeasuredRow, SbirRow, chosen_rows, difference, markdown, table
from sketchdata.config import FOLDER, option, recorded
from sketchdata.cross_domain.dataset import (
    DOMAINS,
    DRAWINGS,
    GROUPS,
    PHOTOS,
    SEEN,
    UNSEEN,
    TwoDomains,
    class_split,
    open_two_domains,
    other_split,
    read_group,
)
from sketchdata.cross_domain.encoder import read_space
from sketchdata.cross_domain.evaluation import (
    NAMED_MEASURES,
    EmbeddedPictures,
    SpaceMeasures,
    measure_space,
)
from sketchdata.cross_domain.experiment import (
    CACHE,
    embed_kept,
    kept_inputs,
    read_words,
    set_centres,
)
from sketchdata.cross_domain.options import FROZEN, SpaceConfig
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.progress import console
from sketchdata.storage.manifest import MANIFEST_NAME, hash_file, replacing
from sketchdata.trainers.options import SBIR_METHODS, SBIR_TRAINERS, SbirConfig
from sketchdata.training.distributed import device_of
from sketchdata.training.encoder import recorded_weights, weights_record
from sketchdata.training.options import TrainingOptions
from sketchdata.training.run_folder import RECORD, read_json, read_record, write_json

RESULTS_FILE, TABLE_FILE, CELLS_FILE = "sbir.json", "sbir.md", "sbir.csv"
CELLS, RUNS = "cells", "runs"
_COUNT = click.IntRange(1, 1000)
#: Options that choose cells and do not change their values.
_CHOICES = frozenset({"rows", "draws", "seeds", "seed"})


@dataclass(frozen=True, kw_only=True)
class Config(SpaceConfig):
    """Options of `bench sbir`."""

    out: Path = option(
        Path("sbir-bench"), help="Folder of runs and results; finished ones are reused.", record=False, type=FOLDER
    )
    epochs: int = option(
        40,
        help="Epochs of every row that is trained. In each, every drawing is used once.",
        type=click.IntRange(1, 1_000_000),
    )
    rows: str = option("all", help="Comma-separated rows, or `all`; --list-rows lists them.", metavar="A,B,…")
    draws: int = option(5, help="Draws of seen and unseen classes, with seeds from --split-seed on.", type=_COUNT)
    seeds: int = option(1, help="Seeds of every row in each draw, from --seed on.", type=_COUNT)
    generalised: bool = option(False, help="Also search galleries with seen classes, in each published form.")


def run(config: Config, splits: SplitOptions, training: TrainingOptions) -> dict[str, Any]:
    """Train the missing cells, measure them, and write and return the results.

    Raises:
        ConfigError: A row does not exist, or options do not match the data or the results in the folder.
        SketchDataError: The data is damaged, a training diverged, or the disk is full.
        InterruptedRunError: Ctrl-C; the same command resumes.
    """
    bench = _SbirBench(config, splits, replace(training, resume=False))
    cells: dict[str, dict[tuple[int, int], dict[str, Any]]] = {row.name: {} for row in bench.rows}
    for draw in bench.draws:
        for seed in range(training.seed, training.seed + config.seeds):
            for row in bench.rows:
                cells[row.name][draw, seed] = bench.measure(row, draw, seed)
        bench.write(cells)
    return bench.write(cells)


class _SbirBench:
    def __init__(self, config: Config, splits: SplitOptions, training: TrainingOptions) -> None:
        self.config, self.training = config, training
        config.check()
        if config.patience is not None:
            raise ConfigError("--patience would give the rows different numbers of epochs: leave it out")
        self.rows = list(self._possible(chosen_rows(config.rows, SBIR_METHODS)))
        if not self.rows:
            raise ConfigError("--rows leaves nothing to compare")
        self.manifest = hash_file(config.data / MANIFEST_NAME, "sha256")
        # Check all draws before the training: the last one may be impossible.
        self.draws = dict(self._draws(splits))
        weights = weights_record(config.network, config.out)
        facts = recorded(config) | recorded(training) | recorded_weights(weights)
        #: The options that a stored cell must have.
        self.options = {name: value for name, value in facts.items() if name not in _CHOICES}
        self.options["words"] = None if config.words is None else hash_file(config.words, "sha256")
        self.cache = config.cache or (config.out / CACHE if config.trunk == FROZEN else None)
        self.read: dict[tuple[int, str], TwoDomains] = {}

    def _possible(self, rows: Sequence[SbirRow]) -> Iterator[SbirRow]:
        for row in rows:
            if row.needs_words and self.config.words is None:
                console.print(f"{row.name} is left out: it needs --words", highlight=False)
            elif row.needs_weights and self.config.weights is None:
                console.print(f"{row.name} is left out: it needs --weights", highlight=False)
            else:
                yield row

    def _draws(self, splits: SplitOptions) -> Iterator[tuple[int, ClassSplit]]:
        config, manifest = self.config, open_two_domains(self.config.data)
        if config.draws > 1 and splits.seen is None:
            given = "--class-split" if splits.class_split else "the data set's own split"
            raise ConfigError(f"{given} is one draw of classes: use --draws 1, or --seen for random draws")
        for domain in DOMAINS:
            counts = [manifest.counts[f"{group}-{domain}"] for group in GROUPS]
            if empty := [word for word in manifest.classes if not sum(each.get(word, 0) for each in counts)]:
                raise ConfigError(
                    f"{config.data} has no {domain} of {', '.join(empty[:5])}{', …' if empty[5:] else ''}: build it "
                    "without these classes"
                )
        for draw in range(splits.split_seed, splits.split_seed + config.draws):
            split = other_split(manifest, replace(splits, split_seed=draw)) or class_split(manifest)
            for part, least in (("validation", split.validation), ("unseen", split.unseen)):
                if len(least) < 2:
                    raise ConfigError(f"draw {draw} has {len(least)} {part} classes, and needs 2 at least")
            if config.words is not None:
                read_words(config.words, split.learned, unit=config.unit_words)
            yield draw, split

    def measure(self, row: SbirRow, draw: int, seed: int) -> dict[str, Any]:
        """Return the values of a cell, stored or computed."""
        name, split = f"{row.name}-{draw}-{seed}", self.draws[draw]
        path = self.config.out / CELLS / f"{name}.json"
        same = {"row": row.name, "manifest": self.manifest, "options": self.options, "split": _plain(split)}
        if path.exists():
            kept = read_json(path)
            if all(kept.get(key) == value for key, value in same.items()):
                return kept
        console.print(f"{row.name}, draw {draw}, seed {seed}", highlight=False)
        # Rows that differ only in their centres share the training of the features.
        folder = self.config.out / RUNS / (f"{row.method}-{draw}-{seed}" if row.transductive else name)
        report = self._train(row, folder, split, seed)
        epochs = sum(stage["epochs"] for stage in report["stages"])
        if epochs not in (0, self.config.epochs):
            raise SketchDataError(f"{row.name} learned for {epochs} epochs, and --epochs is {self.config.epochs}")
        values = {
            **same,
            "method": row.method,
            "draw": draw,
            "seed": seed,
            "epochs": epochs,
            "seconds": report["seconds"],
            "parameters": report["parameters"],
            "validation": report["validation"] | ({} if row.transductive else {"map": report["stages"][-1]["map"]}),
            "drawings": report["drawings"],
            "photos": report["photos"],
            "model": report["sha256"],
            **self._evaluated(row, folder, draw),
        }
        write_json(path, values)
        return read_json(path)

    def _train(self, row: SbirRow, folder: Path, split: ClassSplit, seed: int) -> dict[str, Any]:
        shared = {field.name: getattr(self.config, field.name) for field in fields(SpaceConfig)}
        own = SbirConfig(
            **{**shared, "out": folder, "cache": self.cache or self.config.cache, "method": row.method, **row.changed}
        )
        training = replace(self.training, seed=seed, resume=(folder / RECORD).exists())
        trainer: Any = import_module(f"sketchdata.trainers.{SBIR_TRAINERS[row.method]}")
        report: dict[str, Any] = trainer.run(own, training, split)
        return report

    def _evaluated(self, row: SbirRow, folder: Path, draw: int) -> dict[str, Any]:
        encoder, record = read_space(folder), read_record(folder)
        device = str(device_of(self.training.device))
        unseen = self._group(draw, UNSEEN)
        measures = SpaceMeasures(generalised=self.config.generalised, device=device)
        seen = self._group(draw, SEEN) if measures.needs_seen else None
        kept = self.config.trunk == FROZEN

        inputs = partial(kept_inputs, encoder, record, self.cache or folder, device=device)

        def embedded(pictures: TwoDomains) -> dict[str, EmbeddedPictures]:
            return embed_kept(encoder, inputs(pictures), pictures)

        if row.transductive:
            if not kept:
                raise ConfigError(f"--rows {row.name} needs --trunk {FROZEN}")
            own = inputs(unseen)
            set_centres(encoder.to(device), own[DRAWINGS], own[PHOTOS])
        found = measure_space(encoder, unseen, seen, measures, embedded if kept else None).values
        return {name: found[name] for name in ("retrieval", "generalised") if name in found}

    def _group(self, draw: int, group: str) -> TwoDomains:
        if (draw, group) not in self.read:
            config = self.config
            # Groups of earlier draws are no longer needed.
            self.read = {key: value for key, value in self.read.items() if key[0] == draw}
            self.read[draw, group] = read_group(
                config.data, group, size=config.size, line_width=config.line_width, split=self.draws[draw]
            )
        return self.read[draw, group]

    def write(self, cells: Mapping[str, Mapping[tuple[int, int], Mapping[str, Any]]]) -> dict[str, Any]:
        """Write and return the results of the finished cells."""
        measured = [MeasuredRow(row=row, cells=cells[row.name]) for row in self.rows if cells[row.name]]
        rows = {each.row.name: each for each in measured}
        manifest = open_two_domains(self.config.data)
        facts = {
            "data": manifest.name,
            "manifest": self.manifest,
            "classes": len(manifest.classes),
            "draws": len({draw for each in measured for draw, _ in each.cells}),
            "seeds": self.config.seeds,
            "splits": [
                {"draw": draw, "seen": len(s.seen), "validation": len(s.validation), "unseen": len(s.unseen)}
                | {"unseen_classes": list(s.unseen)}
                for draw, s in self.draws.items()
            ],
            **{name: self.options[name] for name in ("epochs", "backbone", "size", "trunk")},
            "options": self.options,
            "device": str(device_of(self.training.device)),
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
        }
        results = {
            **facts,
            "rows": [
                {
                    **asdict(each.row),
                    "map": {str(draw): value for draw, value in each.by_draw("retrieval", "map", "expected").items()},
                    "difference": {
                        other: difference(each, rows[other])
                        for other in ("doodle2search", "triplet")
                        if other in rows and other != each.row.name
                    },
                    "cells": [_without_classes(cell) for cell in each.cells.values()],
                }
                for each in measured
            ],
        }
        write_json(self.config.out / RESULTS_FILE, results)
        pages = {
            TABLE_FILE: markdown(facts, measured, NAMED_MEASURES),
            CELLS_FILE: table(measured, NAMED_MEASURES),
        }
        for name, text in pages.items():
            with replacing(self.config.out / name) as file:
                file.write(text.encode())
        return read_json(self.config.out / RESULTS_FILE)


def _plain(split: ClassSplit) -> dict[str, list[str]]:
    return {name: list(own) for name, own in asdict(split).items()}


def _without_classes(cell: Mapping[str, Any]) -> dict[str, Any]:
    left_out = ("classes", "confused", "curve", "seconds")
    retrieval = {name: own for name, own in cell["retrieval"].items() if name not in left_out}
    return {**{name: own for name, own in cell.items() if name != "options"}, "retrieval": retrieval}
