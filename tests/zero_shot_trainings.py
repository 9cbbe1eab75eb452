"""Small data sets and class vectors for trainings of zero-shot recognition."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sketchdata.classes.splits import ClassSplit, SplitOptions, split_classes
from sketchdata.classes.vectors import write_vectors
from sketchdata.pipelines import quickdraw, synth
from sketchdata.trainers import zsl
from tests.builds import IN_PROCESS

CLASSES = ("apple", "cat", "circle", "cloud", "envelope", "fish", "house", "moon", "square", "star")
SPLITS = SplitOptions(seen=7, validation_share=0.3)
SPLIT: ClassSplit = split_classes(CLASSES, 7, validation_share=0.3)
SIZES = {"train": 24, "val": 8, "gallery": 8, "query": 4}
EPOCHS = {"cnn_epochs": 1, "rnn_epochs": 1, "fusion_epochs": 1}


def generated_drawings(folder: Path, *, seed: int = 0) -> Path:
    """Generate drawings of all classes in the official format; return their folder."""
    synth.run(synth.Config(out=folder, drawings=60, categories=",".join(CLASSES), seed=seed), IN_PROCESS)
    return folder


def built(source: Path, out: Path) -> Path:
    """Build a data set of generated drawings; return its folder."""
    quickdraw.run(quickdraw.Config(source=str(source), out=out, categories=",".join(CLASSES), **SIZES), IN_PROCESS)
    return out


def vectors_file(path: Path, width: int = 6, *, seed: int = 0, words: tuple[str, ...] = CLASSES) -> Path:
    """Write random vectors of classes, as those of edge maps are: from 0 on; return the file."""
    vectors = np.random.default_rng(seed).random((len(words), width)).astype(np.float32)
    write_vectors(path, words, vectors, np.ones(len(words), np.int64), {"kind": "random"})
    return path


def config(data: Path, out: Path, *vectors: Path, **others: Any) -> zsl.Config:
    """Return the options of a short training, some of them changed."""
    return zsl.Config(data=data, out=out, vectors=vectors, **{**EPOCHS, "width": 16, "drawings": 20, **others})
