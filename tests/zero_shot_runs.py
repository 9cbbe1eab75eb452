"""Finished zero-shot trainings for tests, put together by hand: a tiny network, and recognisers of its numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sketchdata.training.bitmaps import read_split
from sketchdata.training.encoder import Architecture, SketchEncoder, embed, read_encoder, write_encoder
from sketchdata.training.run_folder import RECORD, REPORT
from sketchdata.zero_shot import ZERO_SHOT_METHODS
from sketchdata.zero_shot.recogniser import KeptRecogniser, write_recogniser
from tests.trainings import CLASSES, network

#: Of `trainings.CLASSES`.
UNSEEN = ("star",)
SEEN = tuple(word for word in CLASSES if word not in UNSEEN)
WIDTH = 24


def write_zero_shot_run(folder: Path, data: Path, kept: Mapping[tuple[str, str], Mapping[str, Any]]) -> Path:
    """Write the folder of a zero-shot training; return it.

    Args:
        folder: Where.
        data: A data set of three classes, as `trainings.generated_dataset` makes it.
        kept: {(source of vectors, method): what to change in the fitted recogniser}.
    """
    folder.mkdir()
    torch.manual_seed(0)
    options = network(branch="cnn")
    built = Architecture(network=options, width=WIDTH, activation="relu", scale=1.0, classes=SEEN)
    write_encoder(folder, SketchEncoder(built))
    features, labels = numbers_of(folder, data, SEEN)
    for number, ((source, method), changes) in enumerate(kept.items()):
        vectors = np.random.default_rng(number).normal(size=(len(CLASSES), 5)).astype(np.float32)
        seen = [CLASSES.index(word) for word in SEEN]
        fitted = ZERO_SHOT_METHODS[method].fit(features, labels, vectors, seen)
        one = KeptRecogniser(source=source, method=method, classes=CLASSES, recogniser=replace(fitted, **dict(changes)))
        write_recogniser(folder, one)
    record = {
        "trainer": "zsl",
        "options": {},
        "classes": list(SEEN),
        "data": str(data),
        "manifest": "",
        "zero_shot": {"classes": list(CLASSES), "seen": list(SEEN), "validation": [], "unseen": list(UNSEEN)},
    }
    (folder / RECORD).write_text(json.dumps(record))
    (folder / REPORT).write_text("{}")
    return folder


def numbers_of(folder: Path, data: Path, words: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return what the network of a run makes of the training drawings of some classes, and their labels."""
    packed = read_split(data, "train").of_classes(tuple(words))
    labels = np.array([CLASSES.index(packed.classes[label]) for label in packed.labels.tolist()])
    return embed(read_encoder(folder), packed), labels
