"""Train the recogniser that the package ships, and measure it on drawings that it never saw.

    python benchmarks/default_recogniser.py prepare --quickdraw DATA/quickdraw --out runs/default
    python benchmarks/default_recogniser.py train --quickdraw DATA/quickdraw --out runs/default
    python benchmarks/default_recogniser.py measure --quickdraw DATA/quickdraw --out runs/default
    python benchmarks/default_recogniser.py spoil --quickdraw DATA/quickdraw --out runs/default

DATA/quickdraw has `full/simplified/*.ndjson` and `pool/*.ndjson`, files of the official simplified format. Drawings of
equal strokes are used once. A keyed hash of the key_id holds out a tenth of each class; the classes with many drawings
train with CAP of them. `train` writes `default_network.onnx`, which belongs beside `api/default_network.py`, and
`measure` and `spoil` print the tables of docs/results/default-recogniser.md.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from measure import machine, table
from pictures import KINDS, _read_back, _right
from torch import nn

from sketchdata.api.recogniser import Recogniser
from sketchdata.curation.duplicates import digests
from sketchdata.curation.labels import FEATURES, line_features
from sketchdata.drawings.drawing import DrawingBatch, concatenate
from sketchdata.drawings.raster import fit, raster
from sketchdata.drawings.sampling import ranks
from sketchdata.formats import ndjson
from sketchdata.storage.catalog import QUICKDRAW, read_class_table

SEED, CAP, BATCH, RATE, SMOOTHING, DECAY = 0, 1000, 256, 4e-3, 0.1, 0.995
HIDDEN, DROPOUT = 384, 0.3
#: Most held-out drawings of a class that are judged.
JUDGED = 40
#: Held-out drawings that are spoilt as files.
SPOILT = 60
_PART = 256


def read_all(quickdraw: Path) -> tuple[DrawingBatch, tuple[str, ...]]:
    """Return every drawing once, and the class names in the official order."""
    words = read_class_table(QUICKDRAW)
    parts = []
    for label, word in enumerate(words):
        for folder in ("full/simplified", "pool"):
            path = quickdraw / folder / f"{word}.ndjson"
            if path.is_file():
                parts.append(ndjson.parse(path.read_bytes().splitlines(), word=word, label=label).batch)
    batch = concatenate(parts)
    _, first = np.unique(digests(batch), return_index=True)
    batch = batch.take(np.sort(first))
    _, first = np.unique(batch.key_id, return_index=True)
    return batch.take(np.sort(first)), words


def divide(batch: DrawingBatch) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the rows to train with and those to judge."""
    rank = ranks(batch.key_id, SEED)
    held = rank % np.uint64(10) == 0
    train, test = list[npt.NDArray[np.int64]](), list[npt.NDArray[np.int64]]()
    for label in np.unique(batch.label):
        rows = np.flatnonzero(batch.label == label)
        rows = rows[np.argsort(rank[rows], kind="stable")]
        train.append(rows[~held[rows]][:CAP])
        test.append(rows[held[rows]][:JUDGED])
    return np.concatenate(train), np.concatenate(test)


def features(batch: DrawingBatch) -> npt.NDArray[np.uint8]:
    """Return `line_features` by parts, which is faster than at once."""
    starts = range(0, len(batch), _PART)
    return np.concatenate([line_features(batch.slice(at, min(at + _PART, len(batch)))) for at in starts])


def varied(batch: DrawingBatch, random: np.random.Generator) -> DrawingBatch:
    """Return the drawings rotated by up to 20°, sheared, stretched, a quarter mirrored, points moved a little."""
    count = len(batch)
    angle, shear, stretch = (random.uniform(-a, a, count) for a in (np.pi / 9, 0.2, 0.25))
    owner = np.repeat(np.arange(count), np.diff(batch.points[batch.strokes]))
    x, y = (each.astype(np.float64) + random.normal(0, 2, len(owner)) for each in (batch.x, batch.y))
    x = x * (np.exp(stretch) * np.where(random.random(count) < 0.25, -1, 1))[owner] + shear[owner] * y
    cos, sin = np.cos(angle)[owner], np.sin(angle)[owner]
    return replace(batch, x=(cos * x - sin * y).astype(np.float32), y=(sin * x + cos * y).astype(np.float32))


def network(classes: int) -> nn.Sequential:
    """Return the network: (B, FEATURES) in 0..1 to (B, classes) scores."""
    return nn.Sequential(nn.Linear(FEATURES, HIDDEN), nn.ReLU(), nn.Dropout(DROPOUT), nn.Linear(HIDDEN, classes))


def to_input(part: npt.NDArray[np.uint8]) -> torch.Tensor:
    """Return features as the network's input."""
    return torch.from_numpy(part).float() / 255


def prepare(quickdraw: Path, out: Path) -> None:
    """Compute the features of the drawings, and of two variations of each drawing to train with."""
    batch, words = read_all(quickdraw)
    rows, test = divide(batch)
    print(f"{len(batch):,} drawings, {len(words)} classes, {len(rows):,} to train with, {len(test):,} to judge")
    out.mkdir(parents=True, exist_ok=True)
    made, random = batch.take(rows), np.random.default_rng(SEED)
    views = np.stack([features(made), features(varied(made, random)), features(varied(made, random))])
    np.savez(
        out / "features.npz",
        words=np.array(words),
        views=views,
        label=made.label,
        judged=features(batch.take(test)),
        judged_label=batch.label[test],
    )


def train(out: Path, epochs: int) -> None:
    """Train for about two minutes of one core, and write the ONNX file."""
    torch.manual_seed(SEED)
    with np.load(out / "features.npz") as kept:
        inputs, judged, truth = kept["views"], kept["judged"], kept["judged_label"]
        words, label = tuple(kept["words"].tolist()), torch.from_numpy(kept["label"].astype(np.int64))
    rows = len(label)
    share = np.bincount(label.numpy(), minlength=len(words))[label.numpy()] ** -0.5
    net = network(len(words))
    mean = copy.deepcopy(net).eval()
    steps = epochs * (rows // BATCH)
    optimiser = torch.optim.AdamW(net.parameters(), RATE, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps, pct_start=0.15)
    started = time.perf_counter()
    for epoch in range(epochs):
        net.train()
        random, total = np.random.default_rng((SEED, epoch)), 0.0
        order = random.choice(rows, rows, p=share / share.sum())
        for at in range(0, len(order) - BATCH + 1, BATCH):
            chosen = order[at : at + BATCH]
            part = inputs[random.integers(0, len(inputs), BATCH), chosen]
            loss = nn.functional.cross_entropy(net(to_input(part)), label[chosen], label_smoothing=SMOOTHING)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item()
            with torch.no_grad():
                for own, other in zip(mean.state_dict().values(), net.state_dict().values(), strict=True):
                    own.lerp_(other, 1 - DECAY) if own.is_floating_point() else own.copy_(other)
        right = (scores(mean, judged).argmax(1) == truth).mean()
        seconds = time.perf_counter() - started
        print(f"epoch {epoch + 1}: loss {total / (len(order) // BATCH):.3f}, held out {right:.4f}, {seconds:.0f} s")
    write(mean, words, out / "default_network.onnx")


def scores(net: nn.Module, judged: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return the scores of features."""
    with torch.no_grad():
        return np.concatenate([net(to_input(judged[at : at + 512])).numpy() for at in range(0, len(judged), 512)])


def write(net: nn.Module, words: tuple[str, ...], path: Path) -> None:
    """Write the network as ONNX, with the class names in the metadata."""
    import onnx

    torch.onnx.export(
        net.eval(),
        (torch.zeros(1, FEATURES),),
        str(path),
        input_names=["lines"],
        output_names=["scores"],
        dynamic_axes={"lines": {0: "batch"}, "scores": {0: "batch"}},
        opset_version=13,
        dynamo=False,
    )
    model = onnx.load(str(path))
    onnx.helper.set_model_props(model, {"classes": "\n".join(words), "source": "Quick, Draw! by Google, CC BY 4.0"})
    onnx.save(model, str(path))
    print(f"{path}: {path.stat().st_size:,} bytes")


def nearest(train: DrawingBatch, judged: DrawingBatch) -> float:
    """Return the macro accuracy of the nearest neighbour by cosine, on 28 × 28 rasters of lines two pixels wide."""
    known, asked = (_unit(raster(each, size=28, line_width=2)) for each in (train, judged))
    places = np.concatenate([(asked[at : at + 256] @ known.T).argmax(1) for at in range(0, len(asked), 256)])
    return macro(train.label[places] == judged.label, judged.label)


def _unit(pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    flat = pictures.reshape(len(pictures), -1).astype(np.float32)
    return np.asarray(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6))


def macro(right: npt.NDArray[np.bool_], label: npt.NDArray[np.integer]) -> float:
    """Return the mean of the classes' accuracies."""
    count = np.bincount(label)
    own = np.bincount(label, right)[count > 0] / count[count > 0]
    return float(own.mean())


def _edited(batch: DrawingBatch, change: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]) -> DrawingBatch:
    points = change(np.stack([batch.x, batch.y], 1).astype(np.float64)).astype(np.float32)
    points = np.rint(fit(replace(batch, x=points[:, 0], y=points[:, 1]))).astype(np.uint8)
    return replace(batch, x=points[:, 0], y=points[:, 1])


def _turn(degrees: float) -> npt.NDArray[np.float64]:
    angle = np.radians(degrees)
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def measure(quickdraw: Path) -> None:
    """Print the tables of docs/results/default-recogniser.md."""
    batch, words = read_all(quickdraw)
    rows, test = divide(batch)
    judged, recogniser = batch.take(test), Recogniser.default()
    drawings = list(judged.drawings(words))
    trained = np.bincount(batch.label[rows], minlength=len(words))[judged.label]
    found = recogniser.scores(drawings)
    best = np.argsort(-found, axis=1)[:, :5] == judged.label[:, None]
    groups = {"all classes": trained > 0, "≥ 500 to train with": trained >= 500, "≤ 25 to train with": trained <= 25}
    table_rows = [
        [
            name,
            f"{len(np.unique(judged.label[own]))}",
            f"{own.sum():,}",
            *(f"{macro(hit[own], judged.label[own]):.4f}" for hit in (best[:, 0], best.any(1))),
        ]
        for name, own in groups.items()
    ]
    print(f"{machine()}\n\n{table(['', 'classes', 'drawings', 'top-1', 'top-5'], table_rows)}\n")
    print(f"nearest neighbour: {nearest(batch.take(rows), judged):.4f}\n")
    hits = np.bincount(judged.label, best[:, 0], len(words)).astype(int)
    counts = np.bincount(judged.label, minlength=len(words))
    print(", ".join(f"{word} {hit}/{count}" for word, hit, count in zip(words, hits, counts, strict=True)))


def spoil(quickdraw: Path) -> None:
    """Print the table of held-out drawings that are spoilt in many ways, as drawings and as files."""
    batch, words = read_all(quickdraw)
    _, test = divide(batch)
    judged, recogniser = batch.take(test), Recogniser.default()
    everyone = list(judged.drawings(words))
    random = np.random.default_rng(1)
    edits = {
        **{f"rotated by {a}°": _edited(judged, lambda p, a=a: p @ _turn(a)) for a in (-30, -15, 15, 30)},
        "mirrored": _edited(judged, lambda p: p * [-1, 1]),
        "points moved by 5 of 255": _edited(judged, lambda p: p + random.normal(0, 5, p.shape)),
        "half as wide": _edited(judged, lambda p: p * [0.5, 1]),
    }
    changed = {
        "as drawn": everyone,
        **{name: list(edited.drawings(words)) for name, edited in edits.items()},
        "last stroke missing": [replace(one, strokes=one.strokes[:-1] or one.strokes) for one in everyone],
    }
    lines = [[name, f"{_right(recogniser, everyone, those) / len(everyone):.3f}"] for name, those in changed.items()]
    print(table([f"{len(everyone):,} drawings as strokes", "right at first guess"], lines), "\n")
    own = [everyone[row] for row in np.random.default_rng(0).permutation(len(test))[:SPOILT].tolist()]
    lines = [["as strokes", f"{_right(recogniser, own, own) / len(own):.3f}", "0"]]
    for kind, (margin, suffix, damage) in KINDS.items():
        read = _read_back(own, margin, suffix, damage)
        kept = [(one, other) for one, other in zip(own, read, strict=True) if other is not None]
        right = _right(recogniser, [one for one, _ in kept], [other for _, other in kept])
        lines.append([kind, f"{right / len(own):.3f}", f"{len(own) - len(kept)}"])
        print(lines[-1], file=sys.stderr)
    print(table([f"{len(own)} drawings as files", "right at first guess", "refused"], lines))


def main() -> None:
    """Prepare, train or measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", choices=["prepare", "train", "measure", "spoil"])
    parser.add_argument("--quickdraw", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=14)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.work == "prepare":
        prepare(arguments.quickdraw, arguments.out)
    elif arguments.work == "train":
        train(arguments.out, arguments.epochs)
    elif arguments.work == "measure":
        measure(arguments.quickdraw)
    else:
        spoil(arguments.quickdraw)


if __name__ == "__main__":
    main()
