"""Rastering: sketchdata against what a notebook would use, on the same drawings in the same run.

    python benchmarks/raster.py [--drawings 20000] [--slow-drawings 2000]

At 224 pixels, lines 1 pixel wide: PIL's `line` a stroke, cairo's `line_to` a point, skimage's `line` a segment. At 28:
the published recipe of the official bitmaps, also a call a point. Every way starts from the same Arrow table; one more
row gives PIL lists of numbers that were made beforehand. Drawings are generated ones and, where SKETCHDATA_REAL_DATA
names a folder of them, real ones. Rates are drawings per second of one core's processor time, and with all cores by the
clock, the best of three rounds; only ratios of the same run mean something on another machine.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import cairocffi
import numpy as np
import pyarrow as pa
from measure import Run, machine, measure, table
from PIL import Image, ImageDraw
from skimage.draw import line as skimage_line

from sketchdata import synth
from sketchdata.drawings.drawing import DrawingBatch, concatenate
from sketchdata.drawings.raster import ink_counts, raster
from sketchdata.drawings.raster_cairo import official_raster
from sketchdata.formats import ndjson
from sketchdata.storage import parquet

SIZE = 224
SCALE = (SIZE - 1) / 255
SLICE = 128
WORDS = ("airplane", "cat", "house", "star", "umbrella")
REPEATS = 3

FAST, INK, OFFICIAL = "**fast**, 224, one core", "**ink counts**, 224, one core", "**official**, 28, one core"
RECIPE, CLOCK = "the official recipe as published, 28", "threads, by the clock"


def main() -> None:
    """Run every way on generated and on real drawings, print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drawings", type=int, default=20_000)
    parser.add_argument("--slow-drawings", type=int, default=2_000, help="drawings for the slow ways")
    arguments = parser.parse_args()
    columns = {"generated": _rates(_generated(arguments.drawings), arguments.slow_drawings)}
    if "SKETCHDATA_REAL_DATA" in os.environ:
        folder = Path(os.environ["SKETCHDATA_REAL_DATA"]) / "quickdraw" / "full" / "simplified"
        columns["real"] = _rates(_real(folder, arguments.drawings), arguments.slow_drawings)
    head = ["drawings/s", *(name for kind in columns for name in (kind, "sketchdata is faster by"))]
    ways = next(iter(columns.values()))
    rows = [[way, *(cell for rates in columns.values() for cell in _cells(way, rates))] for way in ways]
    print(f"{machine()}\n\n{table(head, rows)}")


def _generated(count: int) -> DrawingBatch:
    parts = [synth.generate(word, count // len(WORDS), seed=0, label=i) for i, word in enumerate(WORDS)]
    batch = concatenate(parts)
    return batch.take(np.random.default_rng(0).permutation(len(batch)))


def _real(folder: Path, count: int) -> DrawingBatch:
    parts = [
        ndjson.parse(path.read_bytes().splitlines(), word=path.stem, label=0).batch
        for path in sorted(folder.glob("*.ndjson"))
    ]
    batch = concatenate(parts)
    return batch.take(np.random.default_rng(0).permutation(len(batch))[:count])


Rates = dict[str, float]


def _rates(batch: DrawingBatch, slow_count: int) -> Rates:
    columns = parquet.to_table(batch, [""] * 345)
    few = columns.slice(0, slow_count)
    lists = [[_scaled(stroke).ravel().tolist() for stroke in strokes] for strokes in _strokes(few)]
    cores = len(os.sched_getaffinity(0))
    ways: dict[str, tuple[Callable[[], object], int]] = {
        FAST: (lambda: _fast(columns, threads=1), len(batch)),
        f"**fast**, 224, {cores} {CLOCK}": (lambda: _fast(columns), len(batch)),
        INK: (lambda: ink_counts(parquet.from_table(columns), threads=1), len(batch)),
        "PIL, 224": (
            lambda: [_pil([_scaled(s).ravel().tolist() for s in strokes]) for strokes in _strokes(few)],
            len(few),
        ),
        "PIL, 224, lists made beforehand": (lambda: [_pil(strokes) for strokes in lists], len(few)),
        "cairo, 224": (lambda: [_cairo([_scaled(s).tolist() for s in strokes]) for strokes in _strokes(few)], len(few)),
        "skimage, 224": (lambda: [_skimage(strokes) for strokes in _strokes(few)], len(few)),
        OFFICIAL: (lambda: official_raster(parquet.from_table(columns), threads=1), len(batch)),
        f"**official**, 28, {cores} {CLOCK}": (lambda: official_raster(parquet.from_table(columns)), len(batch)),
        RECIPE: (lambda: [_recipe(strokes) for strokes in _strokes(few)], len(few)),
    }
    # Round by round, so that a neighbour on the machine does not hit one way alone.
    rounds: list[dict[str, Run]] = [{way: measure(work) for way, (work, _) in ways.items()} for _ in range(REPEATS)]
    return {
        way: count / min(each[way].wall if CLOCK in way else each[way].cpu for each in rounds)
        for way, (_, count) in ways.items()
    }


def _cells(way: str, rates: Rates) -> list[str]:
    """Return a way's rate, and how many times those of `fast` and `official` it is below them."""
    own = OFFICIAL if way == RECIPE else FAST
    ratio = "" if way.startswith("**") else f"{rates[own] / rates[way]:.1f}"
    return [f"{rates[way]:,.0f}", ratio]


def _strokes(columns: pa.Table) -> Iterator[tuple[np.ndarray, ...]]:
    return (drawing.strokes for drawing in parquet.from_table(columns).drawings([""] * 345))


def _scaled(stroke: np.ndarray) -> np.ndarray:
    return stroke * SCALE


def _fast(columns: pa.Table, threads: int | None = None) -> None:
    batch = parquet.from_table(columns)
    # Each thread deserves a few slices of its own at a time.
    rows = SLICE if threads == 1 else 8 * SLICE
    memory = np.empty((rows, SIZE, SIZE), np.uint8)
    for start in range(0, len(batch), rows):
        stop = min(start + rows, len(batch))
        raster(batch.slice(start, stop), size=SIZE, threads=threads, out=memory[: stop - start])


def _pil(strokes: Sequence[list[float]]) -> np.ndarray:
    image = Image.new("L", (SIZE, SIZE))
    draw = ImageDraw.Draw(image)
    for stroke in strokes:
        draw.line(stroke, fill=255, width=1)
    return np.asarray(image)


def _skimage(strokes: Sequence[np.ndarray]) -> np.ndarray:
    image = np.zeros((SIZE, SIZE), np.uint8)
    for stroke in strokes:
        for (x0, y0), (x1, y1) in pairwise(np.rint(_scaled(stroke)).astype(int).tolist()):
            image[skimage_line(y0, x0, y1, x1)] = 255
    return image


def _cairo(strokes: Sequence[list[list[float]]]) -> np.ndarray:
    surface = cairocffi.ImageSurface(cairocffi.FORMAT_A8, SIZE, SIZE)
    context = cairocffi.Context(surface)
    context.set_line_width(1)
    return _painted(surface, context, strokes)


def _recipe(strokes: Sequence[np.ndarray]) -> np.ndarray:
    surface = cairocffi.ImageSurface(cairocffi.FORMAT_ARGB32, 28, 28)
    context = cairocffi.Context(surface)
    context.set_antialias(cairocffi.ANTIALIAS_BEST)
    context.set_line_cap(cairocffi.LINE_CAP_ROUND)
    context.set_line_join(cairocffi.LINE_JOIN_ROUND)
    context.set_line_width(16)
    context.scale(28 / 304, 28 / 304)
    context.translate(24, 24)
    shift = (256.0 - np.concatenate(strokes).max(axis=0)) / 2
    moved = [(stroke + shift).tolist() for stroke in strokes]
    context.set_source_rgb(1, 1, 1)
    return _painted(surface, context, moved)


def _painted(
    surface: cairocffi.ImageSurface, context: cairocffi.Context, strokes: Sequence[list[list[float]]]
) -> np.ndarray:
    for stroke in strokes:
        context.move_to(*stroke[0])
        for x, y in stroke[1:]:
            context.line_to(x, y)
        context.stroke()
    surface.flush()
    return np.frombuffer(surface.get_data(), np.uint8).copy()


if __name__ == "__main__":
    main()
