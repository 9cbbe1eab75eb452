"""Choose few drawings of each class of a data set: diverse, typical, difficult or random ones, as a list of key_ids."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt

from sketchdata.config import FILE, option
from sketchdata.curation.audit import csv_text
from sketchdata.curation.labels import line_features
from sketchdata.curation.selection import WAYS, choose
from sketchdata.errors import ConfigError
from sketchdata.progress import task_bar
from sketchdata.storage.dataset import open_dataset
from sketchdata.storage.manifest import replacing


@dataclass(frozen=True, kw_only=True)
class Config:
    """Options: how many, by what, and where the list goes."""

    per_class: int = option(help="Drawings to choose per class.", type=click.IntRange(1, 100_000))
    by: str = option("diversity", help="What to choose by.", type=click.Choice(WAYS))
    out: Path = option(help="CSV file of the chosen drawings: key_id, word, place in the class.", type=FILE)
    split: str = option("train", help="Split to choose from.", metavar="SPLIT")
    seed: int = option(0, help="Seed of the hash and of the networks.", type=click.IntRange(0, 2**64 - 1))


def select(directory: Path, config: Config) -> dict[str, int]:
    """Write the list and return {class: chosen drawings}.

    Raises:
        ConfigError: The split does not exist or is empty, or the list cannot be written there.
        SketchDataError: The data set is missing or damaged.
    """
    dataset = open_dataset(directory)
    total = dataset.manifest.splits.get(config.split, 0)
    if not total:
        raise ConfigError(f"{directory} has no drawings in the split {config.split!r} to choose from")
    if not config.out.absolute().parent.is_dir():
        raise ConfigError(f"--out {config.out}: the folder {config.out.absolute().parent} does not exist")
    features: list[npt.NDArray[np.uint8]] = []
    label: list[npt.NDArray[np.uint16]] = []
    key_id: list[npt.NDArray[np.uint64]] = []
    with task_bar() as bar:
        row = bar.add_task("Measuring drawings", total=total)
        for batch in dataset.batches(config.split):
            features.append(line_features(batch))
            label.append(batch.label)
            key_id.append(batch.key_id)
            bar.update(row, advance=len(batch))
    classes = dataset.manifest.classes
    labels, key_ids = np.concatenate(label), np.concatenate(key_id)
    rows = choose(config.by, np.concatenate(features), labels, key_ids, config.per_class, config.seed)
    counts = np.zeros(len(classes), np.int64)
    lines: list[tuple[object, ...]] = [("key_id", "word", "place")]
    for chosen in rows.tolist():
        own = int(labels[chosen])
        lines.append((int(key_ids[chosen]), classes[own], int(counts[own])))
        counts[own] += 1
    with replacing(config.out) as file:
        file.write(csv_text(lines).encode("utf-8"))
    return dict(zip(classes, counts.tolist(), strict=True))
