"""Accuracy of a small network on few chosen drawings per class, for docs/results/selection.md.

    SKETCHDATA_REAL_DATA=… python benchmarks/select_drawings.py

Real drawings: 30 classes × 500, of which 300 per class can be chosen and 200 are for the test. The network is that of
`audit labels`, with as many steps for each number of drawings. Seeds divide the drawings and start the networks.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from sketchdata.curation.labels import line_features, train_recogniser
from sketchdata.curation.selection import WAYS, choose
from sketchdata.drawings.drawing import concatenate
from sketchdata.drawings.sampling import ranks
from sketchdata.formats.ndjson import parse

CLASSES, DRAWINGS, POOL, STEPS = 30, 500, 300, 700


def main() -> None:
    """Print one JSON line per way and number of drawings: mean and deviation over three seeds."""
    batches: list = []
    for path in sorted(Path(os.environ["SKETCHDATA_REAL_DATA"], "quickdraw/pool").glob("*.ndjson")):
        lines = path.read_bytes().splitlines()[:DRAWINGS]
        if len(lines) == DRAWINGS and len(batches) < CLASSES:
            batches.append(parse(lines, word=path.stem, label=len(batches)).batch)
    batch = concatenate(batches)
    features, label = line_features(batch), batch.label.astype(np.int64)
    for count in (10, 30, 100):
        for by in WAYS:
            found = []
            for seed in range(3):
                pool = np.zeros(len(label), np.bool_)
                order = ranks(batch.key_id, seed + 100)
                for each in range(CLASSES):
                    own = np.flatnonzero(label == each)
                    pool[own[np.argsort(order[own])][:POOL]] = True
                rows = np.flatnonzero(pool)
                chosen = rows[choose(by, features[rows], label[rows], batch.key_id[rows], count, seed)]
                epochs = max(round(STEPS * 128 / len(chosen)), 1)
                network = train_recogniser(features[chosen], label[chosen], CLASSES, epochs=epochs, seed=seed)
                guess = network.probabilities(features[~pool]).argmax(axis=1)
                found.append(float((guess == label[~pool]).mean()))
            figures = {"top1": round(float(np.mean(found)), 4), "deviation": round(float(np.std(found)), 4)}
            print(json.dumps({"per_class": count, "by": by, **figures}), flush=True)


if __name__ == "__main__":
    main()
