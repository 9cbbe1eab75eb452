"""Image entropy: sketchdata against PIL with skimage.measure.shannon_entropy, on the same drawings in the same run.

    python benchmarks/entropy.py [--dataset DIR] [--drawings 200000] [--plain-drawings 4000]

The drawings come from Parquet in every way: generated ones, or those of a built data set. The plain way is what a
notebook does: for each row, ImageDraw.line on a 224 × 224 image and shannon_entropy of it. Rates are per second of
processor time; only ratios of the same run mean something on another machine. With --dataset, the whole audit of it is
timed too, by the clock, on a copy of links in --folder.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from measure import machine, measure, run_command, table
from PIL import Image, ImageDraw
from skimage.measure import shannon_entropy

from sketchdata import synth
from sketchdata.curation.entropy import drawing_entropies
from sketchdata.drawings.drawing import DrawingBatch, concatenate
from sketchdata.drawings.raster import raster
from sketchdata.storage import parquet
from sketchdata.storage.dataset import open_dataset

SIZE = 224
SCALE = (SIZE - 1) / 255
WORDS = ("airplane", "cat", "house", "star")


def main() -> None:
    """Run every way, print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, help="a built data set; its whole audit is timed too")
    parser.add_argument("--drawings", type=int, default=200_000)
    parser.add_argument("--plain-drawings", type=int, default=4_000, help="drawings for the slow ways")
    parser.add_argument("--folder", type=Path, help="where to put temporary files")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=arguments.folder))
    try:
        few, many = folder / "few.parquet", folder / "many.parquet"
        batch = _drawings(arguments.drawings, arguments.dataset)
        for path, count in ((few, arguments.plain_drawings), (many, arguments.drawings)):
            parquet.write_shard(path, batch.slice(0, min(count, len(batch))), [""] * 345, {})
        print(_report(many, few))
        if arguments.dataset is not None:
            print(_whole_audit(arguments.dataset, folder / "dataset"))
    finally:
        shutil.rmtree(folder)


def _drawings(count: int, dataset: Path | None) -> DrawingBatch:
    """Return the first drawings of a data set's training rows, or generated ones with the classes mixed."""
    if dataset is None:
        each = -(-count // len(WORDS))
        parts = [synth.generate(word, each, seed=0, start=0, label=label) for label, word in enumerate(WORDS)]
        return concatenate(parts).take(np.arange(each * len(WORDS)).reshape(len(WORDS), each).T.ravel())
    batches, rows = [], 0
    for batch in open_dataset(dataset).batches("train"):
        batches.append(batch)
        rows += len(batch)
        if rows >= count:
            break
    return concatenate(batches)


def _report(many: Path, few: Path) -> str:
    ways: dict[str, tuple[Callable[[Path], np.ndarray], Path]] = {
        "sketchdata": (_sketchdata, many),
        "sketchdata's bitmaps, shannon_entropy": (_bitmaps_and_skimage, few),
        "PIL, shannon_entropy": (_plain, few),
    }
    runs = {name: (measure(lambda way=way, path=path: way(path)), path) for name, (way, path) in ways.items()}
    rates = {name: pq.read_metadata(path).num_rows / run.cpu for name, (run, path) in runs.items()}
    expected = _sketchdata(few)
    rows = [
        [
            name,
            f"{rate:,.0f}",
            f"{rates['sketchdata'] / rate:.1f}",
            f"{float(np.abs(run.value[: len(expected)] - expected).max()):.1g}",
        ]
        for (name, rate), (run, _) in zip(rates.items(), runs.values(), strict=True)
    ]
    sizes = [pq.read_metadata(path).num_rows for path in (many, few)]
    head = ["way", "drawings/s of one core", "sketchdata is faster by", "largest difference in bits"]
    return f"{machine()}\n{sizes[0]:,} drawings; the slow ways got {sizes[1]:,} of them\n\n{table(head, rows)}"


def _sketchdata(path: Path) -> np.ndarray:
    groups = parquet.read_row_groups(path)
    return np.concatenate([drawing_entropies(parquet.from_table(group), threads=1) for group in groups])


def _bitmaps_and_skimage(path: Path) -> np.ndarray:
    return np.array([shannon_entropy(bitmap) for bitmap in raster(parquet.read_shard(path))])


def _plain(path: Path) -> np.ndarray:
    found = []
    for drawing in pq.read_table(path, partitioning=None).column("drawing").to_pylist():
        image = Image.new("L", (SIZE, SIZE))
        pen = ImageDraw.Draw(image)
        for stroke in drawing:
            pen.line([(round(p["x"] * SCALE), round(p["y"] * SCALE)) for p in stroke], fill=255)
        found.append(shannon_entropy(np.asarray(image)))
    return np.array(found)


def _whole_audit(dataset: Path, copy: Path) -> str:
    # Links: the audit writes beside the data, and the benchmark must not.
    shutil.copytree(dataset, copy, copy_function=os.link, ignore=shutil.ignore_patterns("audit"))
    rows = []
    for kind in ("entropy", "duplicates", "summary"):
        run = run_command(["audit", kind, str(copy)])
        rows.append([f"audit {kind}", f"{run.wall:.1f}", f"{run.cpu:.1f}", f"{run.peak_bytes / 2**20:,.0f}"])
    return f"\n{dataset.name}\n\n{table(['whole data set', 's', 'of it on all cores', 'peak MiB'], rows)}"


if __name__ == "__main__":
    main()
