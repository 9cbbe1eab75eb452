"""Planted label errors: `audit labels`, `audit entropy` and the game's `recognized`, for docs/results/labels.md.

    SKETCHDATA_REAL_DATA=… python benchmarks/label_errors.py [--seeds 3] [--share 0.02]

Of real drawings, 30 classes × 250, a share is given another class at random, once per seed. Each method ranks all
drawings; the planted ones are to come first. A planted drawing keeps the flag `recognized` that it got in its own
class. Other labels of the data are wrong too, so that precision against the planted ones is a lower bound.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import orjson
import pyarrow.parquet as pq
from sklearn.metrics import average_precision_score

from sketchdata.engine import EngineOptions
from sketchdata.pipelines import drawings
from sketchdata.pipelines.audit import EntropyConfig, audit_entropy
from sketchdata.pipelines.audit_labels import Config, audit_labels
from sketchdata.storage.dataset import open_dataset

CLASSES, DRAWINGS = 30, 250


def main() -> None:
    """Print one JSON line per seed and method, then the means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--share", type=float, default=0.02)
    wanted = parser.parse_args()
    lines = real_lines()
    print(f"{len(lines)} classes: {', '.join(lines)}")
    rows: dict[str, list[dict[str, float]]] = {}
    for seed in range(wanted.seeds):
        with tempfile.TemporaryDirectory() as folder:
            for method, figures in measure(lines, wanted.share, seed, Path(folder)).items():
                print(json.dumps({"seed": seed, "method": method, **figures}))
                rows.setdefault(method, []).append(figures)
    for method, found in rows.items():
        means = {name: round(float(np.mean([each[name] for each in found])), 4) for name in found[0]}
        spread = round(float(np.std([each["average_precision"] for each in found])), 4)
        print(json.dumps({"method": method, **means, "spread_of_average_precision": spread}))


def real_lines() -> dict[str, list[bytes]]:
    """Return {class: its first lines}, of the classes with the most drawings."""
    found = {}
    for path in sorted(Path(os.environ["SKETCHDATA_REAL_DATA"], "quickdraw/full/simplified").glob("*.ndjson")):
        lines = path.read_bytes().splitlines(keepends=True)[:DRAWINGS]
        if len(lines) == DRAWINGS and len(found) < CLASSES:
            found[path.stem] = lines
    return found


def measure(lines: dict[str, list[bytes]], share: float, seed: int, folder: Path) -> dict[str, dict[str, float]]:
    """Plant errors, audit, and return {method: figures}."""
    random, words = np.random.default_rng(seed), list(lines)
    records = [orjson.loads(line) for own in lines.values() for line in own]
    planted = set()
    for place in random.choice(len(records), round(share * len(records)), replace=False).tolist():
        record = records[place]
        record["word"] = str(random.choice([word for word in words if word != record["word"]]))
        planted.add(int(record["key_id"]))
    (folder / "source").mkdir()
    content = b"".join(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE) for record in records)
    (folder / "source/drawings.ndjson").write_bytes(content)
    data, engine = folder / "data", EngineOptions(workers=0)
    drawings.build(drawings.Config(source=folder / "source", out=data, val=0, gallery=0, query=0), engine)
    started = time.process_time()
    audit_labels(data, Config(seed=seed), engine)
    seconds = time.process_time() - started
    audit_entropy(data, EntropyConfig(), engine)
    labels, entropy = (pq.read_table(data / f"audit/{name}.parquet") for name in ("labels", "entropy"))
    wrong = np.isin(labels.column("key_id").to_numpy(), np.array(sorted(planted), np.uint64))
    recognized = np.concatenate([batch.recognized for batch in open_dataset(data).batches("train")])
    percentile = entropy.column("percentile").to_numpy()
    suspect = np.array(labels.column("flag").to_pylist()) == "suspect"
    noise = np.array(entropy.column("flag").to_pylist()) == "noise"
    margin, confidence = (labels.column(name).to_numpy() for name in ("margin", "confidence"))
    return {
        "labels": {**figures(wrong, suspect, -confidence), "seconds": round(seconds, 1)},
        "labels, by margin": figures(wrong, suspect, -margin),
        "entropy": figures(wrong, noise, np.abs(percentile - 50)),
        "not recognized": figures(wrong, ~recognized, ~recognized),
        "chance": figures(wrong, np.ones(len(wrong), np.bool_), random.random(len(wrong))),
    }


def figures(wrong: np.ndarray, listed: np.ndarray, score: np.ndarray) -> dict[str, float]:
    """Return precision and recall of a list, and measures of a ranking, against (N,) whether an error was planted."""
    first = np.argsort(-score.astype(np.float64), kind="stable")[: int(wrong.sum())]
    return {
        "listed": int(listed.sum()),
        "precision": round(float(wrong[listed].mean()), 4),
        "recall": round(float(listed[wrong].mean()), 4),
        "precision_at_planted": round(float(wrong[first].mean()), 4),
        "average_precision": round(float(average_precision_score(wrong, score)), 4),
    }


if __name__ == "__main__":
    main()
