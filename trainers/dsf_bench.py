r"""Compare mixes of domains, ways of resizing and numbers of views: Table 1 of the deep sketch feature.

    sketchdata bench dsf --data data/tu-berlin --weights imagenet --folds 1/3,2/3,3/3 --out bench
    sketchdata bench dsf --data data/small --rows s,s+e --folds 1/3 --seeds 3 --backbone small --size 64

A cell is a row, a fold and a seed. Finished cells are kept, so that a comparison that was stopped goes on.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import click
import torch

from sketchdata.comparisons.dsf import ROWS, DsfRow, markdown
from sketchdata.config import FOLDER, option, recorded
from sketchdata.cross_domain.dataset import DRAWINGS, PIXELS, is_two_domains
from sketchdata.cross_domain.experiment import CACHE
from sketchdata.cross_domain.mixed_evaluation import evaluate_mixed
from sketchdata.cross_domain.mixing import parse_fold
from sketchdata.errors import ConfigError
from sketchdata.names import names_in
from sketchdata.progress import console
from sketchdata.storage.manifest import MANIFEST_NAME, hash_file, read_manifest, replacing
from sketchdata.trainers import deep_sketch_feature
from sketchdata.trainers.options import DsfConfig, DsfTraining
from sketchdata.training.distributed import device_of
from sketchdata.training.encoder import recorded_weights, weights_record
from sketchdata.training.options import TrainingOptions
from sketchdata.training.run_folder import RECORD, read_json, write_json
from sketchdata.training.voting import check_views

RESULTS_FILE, TABLE_FILE = "dsf.json", "dsf.md"
CELLS, RUNS = "cells", "runs"
_CHOICES = frozenset({"rows", "folds", "seeds", "seed"})


@dataclass(frozen=True, kw_only=True)
class Config(DsfTraining):
    """What is compared, on which data, and where the results go."""

    out: Path = option(
        Path("dsf-bench"), help="Folder of runs and results; finished ones are reused.", record=False, type=FOLDER
    )
    rows: str = option("all", help="Comma-separated rows, or `all`; --list-rows lists them.", metavar="A,B,…")
    folds: str = option("1/3,2/3,3/3", help="Comma-separated folds, which are left out in turn.", metavar="K/N,…")
    seeds: int = option(1, help="Seeds of every row and fold, from --seed on.", type=click.IntRange(1, 1000))


def run(config: Config, training: TrainingOptions) -> dict[str, Any]:
    """Train what is missing, measure it, and write and return the results.

    Raises:
        ConfigError: There is no such row or fold, or options do not fit the data.
        SketchDataError: The data is damaged, a training diverged, or the disk is full.
        InterruptedRunError: Ctrl-C; the same command goes on.
    """
    config.check()
    check_views(config.views)
    if config.patience is not None:
        raise ConfigError("--patience would give the rows different numbers of epochs: leave it out")
    if config.views == 1:
        raise ConfigError("bench dsf compares one view with several: take --views 2, 10 or 18")
    folds = names_in(config.folds)
    for fold in folds:
        parse_fold(fold)
    rows = _rows(config)
    if not rows or not folds:
        raise ConfigError("--rows and --folds leave nothing to compare")
    training = replace(training, resume=False)
    facts = recorded(config) | recorded(training) | recorded_weights(weights_record(config.network, config.out))
    #: What a kept cell must have been made with.
    same = {
        "manifest": hash_file(config.data / MANIFEST_NAME, "sha256"),
        "options": {name: value for name, value in facts.items() if name not in _CHOICES},
    }
    cells: dict[str, list[dict[str, Any]]] = {}
    results: dict[str, Any] = {}
    for seed in range(training.seed, training.seed + config.seeds):
        for fold in folds:
            for row in rows:
                cells.setdefault(row.name, []).append(_measure(row, fold, replace(training, seed=seed), config, same))
            results = _write(config, folds, cells, same)
    return results


def _rows(config: Config) -> list[DsfRow]:
    wanted, manifest = names_in(config.rows), read_manifest(config.data)
    if unknown := [name for name in wanted if name not in ("all", *(row.name for row in ROWS))]:
        raise ConfigError(
            f"--rows: there is no row {unknown[0]!r}; there are {', '.join(row.name for row in ROWS)}, and all"
        )
    photos = is_two_domains(manifest)
    pixels = photos and manifest.config[DRAWINGS] == PIXELS
    found = []
    for row in ROWS:
        lacking = "photos" if row.mix != "s" and not photos else "drawings that are pixels"
        fits = (pixels or not row.needs_pixels) and (photos or row.mix == "s")
        if row.name in wanted and not fits:
            raise ConfigError(f"--rows {row.name} needs {lacking}, which {config.data} does not have: leave it out")
        if "all" in wanted and not fits:
            console.print(f"{row.name} is left out: {config.data} has no {lacking}", highlight=False)
        elif row.name in wanted or "all" in wanted:
            found.append(row)
    return found


def _measure(row: DsfRow, fold: str, training: TrainingOptions, config: Config, same: dict[str, Any]) -> dict[str, Any]:
    name = f"{row.name}-{fold.replace('/', 'of')}-{training.seed}"
    path, folder = config.out / CELLS / f"{name}.json", config.out / RUNS / name
    if path.exists():
        kept = read_json(path)
        if all(kept.get(key) == value for key, value in same.items()):
            return kept
    console.print(f"{row.name}, fold {fold}, seed {training.seed}", highlight=False)
    shared = {each.name: getattr(config, each.name) for each in fields(DsfTraining)}
    shared |= {"out": folder, "cache": config.cache or config.out / CACHE}
    own = DsfConfig(**shared, fold=fold, mix=row.mix, resize=row.resize)
    report = deep_sketch_feature.run(own, replace(training, resume=(folder / RECORD).exists()))
    values = evaluate_mixed(folder, None, device=str(device_of(training.device)), views=config.views)
    cell = {
        **same,
        "row": row.name,
        "fold": fold,
        "seed": training.seed,
        "one_view": values["one_view"]["top1"],
        "voting": values["top1"],
        "chance": values["top1_chance"],
        "layers": values.get("layers"),
        **{fact: report[fact] for fact in ("drawings", "photos", "edges", "held_drawings", "parameters", "seconds")},
    }
    write_json(path, cell)
    return read_json(path)


def _write(
    config: Config, folds: tuple[str, ...], cells: dict[str, list[dict[str, Any]]], same: dict[str, Any]
) -> dict[str, Any]:
    manifest = read_manifest(config.data)
    results = {
        "data": manifest.name,
        "manifest": same["manifest"],
        "classes": len(manifest.classes),
        "folds": list(folds),
        "seeds": len({cell["seed"] for own in cells.values() for cell in own}),
        **{name: same["options"][name] for name in ("epochs", "backbone", "size", "views")},
        "options": same["options"],
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "rows": [
            {
                "name": row.name,
                "title": row.title,
                "published": row.published,
                "cells": [{key: own for key, own in cell.items() if key not in same} for cell in cells[row.name]],
            }
            for row in ROWS
            if row.name in cells
        ],
    }
    write_json(config.out / RESULTS_FILE, results)
    with replacing(config.out / TABLE_FILE) as file:
        file.write(markdown(results).encode())
    return read_json(config.out / RESULTS_FILE)
