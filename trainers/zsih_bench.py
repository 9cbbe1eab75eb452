r"""Compare binary codes of drawings and photos over draws of unseen classes: Tables 1 and 3 of ZSIH.

    sketchdata bench zsih --data data/sbir --words words.parquet --weights imagenet --trunk frozen --seen 26 --out bench

One data set serves all draws of seen and unseen classes. A cell is a row, a number of bits, a draw and a seed. Finished
cells are kept, so that a comparison that was stopped goes on. Rows of closed form are fitted to the seen classes'
features: those of the pretrained network, or for `ours` and `ours-pca` the vectors of a training of sketchspace.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from sketchdata.classes.splits import ClassSplit, SplitOptions
from sketchdata.comparisons.zsih import ROWS, ZsihRow, markdown
from sketchdata.config import FOLDER, option, recorded
from sketchdata.cross_domain.dataset import (
    DRAWINGS,
    PHOTOS,
    SEEN,
    UNSEEN,
    class_split,
    open_two_domains,
    other_split,
    read_group,
)
from sketchdata.cross_domain.encoder import SpaceEncoder, read_space
from sketchdata.cross_domain.evaluation import EmbeddedPictures, SpaceMeasures, embed_domains, measure_space
from sketchdata.cross_domain.experiment import CACHE, embed_kept, kept_inputs
from sketchdata.cross_domain.options import FROZEN, SpaceTraining, TwoDomainConfig
from sketchdata.errors import ConfigError
from sketchdata.names import names_in
from sketchdata.progress import console
from sketchdata.retrieval.cross_modal_hashing import CROSS_MODAL_HASHERS
from sketchdata.storage.manifest import MANIFEST_NAME, hash_file, replacing
from sketchdata.trainers import sbir_baselines, sketchspace, zsih
from sketchdata.trainers.options import SbirConfig, ZsihConfig
from sketchdata.training.distributed import device_of
from sketchdata.training.encoder import recorded_weights, weights_record
from sketchdata.training.options import TrainingOptions
from sketchdata.training.run_folder import RECORD, read_json, read_record, write_json

RESULTS_FILE, TABLE_FILE = "zsih.json", "zsih.md"
CELLS, RUNS = "cells", "runs"
_COUNT = click.IntRange(1, 1000)
_CHOICES = frozenset({"rows", "draws", "seeds", "seed", "bits"})


@dataclass(frozen=True, kw_only=True)
class Config(TwoDomainConfig):
    """What is compared, on which data, and where the results go."""

    out: Path = option(
        Path("zsih-bench"), help="Folder of runs and results; finished ones are reused.", record=False, type=FOLDER
    )
    rows: str = option("all", help="Comma-separated rows, or `all`; --list-rows lists them.", metavar="A,B,…")
    bits: str = option("64", help="Comma-separated bits of codes: 16, 32, 64, 128.", metavar="A,B,…")
    kron_width: int = option(64, help="As for `train zsih`.", type=click.IntRange(1, 1024))
    graph_width: int = option(1024, help="As for `train zsih`.", type=click.IntRange(1, 65_536))
    edge_detector: str = option(
        "learned",
        help="For rows that train sketchspace, as for `train sbir`: canny, learned, …; or none.",
        metavar="NAME",
    )
    space_learning_rate: float = option(
        3e-4, help="Largest learning rate of rows that train sketchspace.", type=click.FloatRange(0, min_open=True)
    )
    draws: int = option(5, help="Draws of seen and unseen classes, with seeds from --split-seed on.", type=_COUNT)
    seeds: int = option(1, help="Seeds of every row in each draw, from --seed on.", type=_COUNT)


def run(config: Config, splits: SplitOptions, training: TrainingOptions) -> dict[str, Any]:
    """Train or fit what is missing, measure it, and write and return the results.

    Raises:
        ConfigError: There is no such row, or options do not fit the data or what is in the folder.
        SketchDataError: The data is damaged, a training diverged, or the disk is full.
        InterruptedRunError: Ctrl-C; the same command goes on.
    """
    bench = _ZsihBench(config, splits, replace(training, resume=False))
    cells: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for draw in bench.draws:
        for seed in range(training.seed, training.seed + config.seeds):
            for row in bench.rows:
                for bits in bench.bits:
                    cells.setdefault((row.name, bits), []).append(bench.measure(row, bits, draw, seed))
        results = bench.write(cells)
    return results


class _ZsihBench:
    def __init__(self, config: Config, splits: SplitOptions, training: TrainingOptions) -> None:
        config.check()
        if config.patience is not None:
            raise ConfigError("--patience would give the rows different numbers of epochs: leave it out")
        if config.weights is None or config.words is None:
            raise ConfigError("bench zsih needs --weights and --words")
        self.config, self.training = config, training
        wanted = names_in(config.rows)
        if unknown := [name for name in wanted if name not in ("all", *(row.name for row in ROWS))]:
            raise ConfigError(
                f"--rows: there is no row {unknown[0]!r}; there are {', '.join(row.name for row in ROWS)}, and all"
            )
        self.rows = [row for row in ROWS if row.name in wanted or "all" in wanted]
        if unknown := [name for name in names_in(config.bits) if name not in ("16", "32", "64", "128")]:
            raise ConfigError(f"--bits {unknown[0]}: expected some of 16, 32, 64, 128")
        self.bits = [int(name) for name in names_in(config.bits)]
        if not self.rows or not self.bits:
            raise ConfigError("--rows and --bits leave nothing to compare")
        self.place = open_two_domains(config.data)
        if config.draws > 1 and splits.seen is None:
            raise ConfigError("a given split is one draw of classes: use --draws 1, or --seen for random draws")
        first = splits.split_seed
        self.draws: dict[int, ClassSplit] = {
            draw: other_split(self.place, replace(splits, split_seed=draw)) or class_split(self.place)
            for draw in range(first, first + config.draws)
        }
        self.manifest = hash_file(config.data / MANIFEST_NAME, "sha256")
        facts = recorded(config) | recorded(training) | recorded_weights(weights_record(config.network, config.out))
        #: What a kept cell must have been made with.
        self.options = {name: value for name, value in facts.items() if name not in _CHOICES}
        self.options["words"] = hash_file(config.words, "sha256")
        self.cache = config.cache or config.out / CACHE

    def measure(self, row: ZsihRow, bits: int, draw: int, seed: int) -> dict[str, Any]:
        """Return the values of a cell, which are kept."""
        name, split = f"{row.name}-{bits}-{draw}-{seed}", self.draws[draw]
        path = self.config.out / CELLS / f"{name}.json"
        classes = {part: list(own) for part, own in asdict(split).items()}
        same = {"row": row.name, "manifest": self.manifest, "options": self.options, "split": classes}
        if path.exists():
            kept = read_json(path)
            if all(kept.get(key) == value for key, value in same.items()):
                return kept
        console.print(f"{row.name}, {bits} bits, draw {draw}, seed {seed}", highlight=False)
        search = self._fitted if row.fitted else self._trained
        found = search(row, bits, draw, seed)
        values = {
            **same,
            "bits": bits,
            "draw": draw,
            "seed": seed,
            "unseen": len(split.unseen),
            "map": {bound: found["map"][bound] for bound in ("expected", "pessimistic", "optimistic")},
            "precision_at_100": found["precision_at"]["100"]["expected"],
            **{fact: found[fact] for fact in ("chance", "queries", "gallery")},
        }
        write_json(path, values)
        return read_json(path)

    def _options(self, folder: Path) -> dict[str, Any]:
        shared = {each.name: getattr(self.config, each.name) for each in fields(TwoDomainConfig)}
        return shared | {"out": folder, "cache": self.cache}

    def _resumed(self, folder: Path, seed: int) -> TrainingOptions:
        return replace(self.training, seed=seed, resume=(folder / RECORD).exists())

    def _trained(self, row: ZsihRow, bits: int, draw: int, seed: int) -> Mapping[str, Any]:
        folder = self.config.out / RUNS / f"{row.name}-{bits}-{draw}-{seed}"
        widths = {"kron_width": self.config.kron_width, "graph_width": self.config.graph_width}
        own = ZsihConfig(**{**self._options(folder), "bits": str(bits), **widths, **row.changed})
        zsih.run(own, self._resumed(folder, seed), self.draws[draw])
        encoder = read_space(folder)
        measures = SpaceMeasures(device=str(device_of(self.training.device)))
        embedded = partial(self._embedded, encoder, folder)
        found: Mapping[str, Any] = measure_space(encoder, self._group(draw, UNSEEN), None, measures, embedded).values[
            "retrieval"
        ]
        return found

    def _fitted(self, row: ZsihRow, bits: int, draw: int, seed: int) -> Mapping[str, Any]:
        frozen = row.features == "frozen"
        folder = self.config.out / RUNS / (f"features-{draw}" if frozen else f"{row.features}-{draw}-{seed}")
        own = SbirConfig(
            # The measured recipe of sketchspace is without words.
            **{
                **self._options(folder),
                "method": row.features,
                "edge_detector": self.config.edge_detector,
                "words": None,
            }
        )
        # The batch size and rate of pairs are those of ZSIH.
        rates = {"batch_size": SpaceTraining().batch_size, "learning_rate": self.config.space_learning_rate}
        training = SpaceTraining(**{**vars(self._resumed(folder, 0 if frozen else seed)), **rates})
        (sbir_baselines if frozen else sketchspace).run(own, training, self.draws[draw])
        encoder = read_space(folder)
        seen, unseen = (self._embedded(encoder, folder, self._group(draw, group)) for group in (SEEN, UNSEEN))
        hasher = CROSS_MODAL_HASHERS[row.fitted or ""].fit(
            seen[DRAWINGS].vectors,
            seen[PHOTOS].vectors,
            seen[DRAWINGS].labels,
            seen[PHOTOS].labels,
            bits=bits,
            seed=seed,
        )
        coded = {
            domain: replace(each, vectors=hasher.encode(each.vectors, domain).astype(np.float32))
            for domain, each in unseen.items()
        }
        # The squared Euclidean distance of codes of 0 and 1 is their Hamming distance.
        measures = SpaceMeasures(device=str(device_of(self.training.device)))
        measured = measure_space(encoder, self._group(draw, UNSEEN), None, measures, lambda _: coded)
        found: Mapping[str, Any] = measured.values["retrieval"]
        return found

    def _group(self, draw: int, group: str) -> Any:
        config = self.config
        return read_group(config.data, group, size=config.size, line_width=config.line_width, split=self.draws[draw])

    def _embedded(self, encoder: SpaceEncoder, folder: Path, pictures: Any) -> dict[str, EmbeddedPictures]:
        device = str(device_of(self.training.device))
        if self.config.trunk != FROZEN:
            return embed_domains(encoder, pictures, device=device)
        inputs = kept_inputs(encoder, read_record(folder), self.cache, pictures, device=device)
        return embed_kept(encoder, inputs, pictures)

    def write(self, cells: Mapping[tuple[str, int], list[dict[str, Any]]]) -> dict[str, Any]:
        """Write the results so far, and return them."""
        rows = {row.name: row for row in self.rows}
        results = {
            "data": self.place.name,
            "manifest": self.manifest,
            "classes": len(self.place.classes),
            "draws": len({cell["draw"] for own in cells.values() for cell in own}),
            "seeds": self.config.seeds,
            **{name: self.options[name] for name in ("epochs", "backbone", "size", "trunk")},
            "options": self.options,
            "device": str(device_of(self.training.device)),
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "rows": [
                {
                    "name": name,
                    "title": rows[name].title,
                    "bits": bits,
                    "published": rows[name].published,
                    "cells": [{key: own for key, own in cell.items() if key != "options"} for cell in found],
                }
                for (name, bits), found in cells.items()
            ],
        }
        write_json(self.config.out / RESULTS_FILE, results)
        with replacing(self.config.out / TABLE_FILE) as file:
            file.write(markdown(results).encode())
        return read_json(self.config.out / RESULTS_FILE)
