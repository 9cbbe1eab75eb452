"""All drawings of QuickDraw-3.8M in memory: how long reading them takes, how large they are, how fast batches come.

    python benchmarks/packed.py [--folder DIR | --data BUILT] [--train 9000] [--plain 4000] [--seconds 180]

Generated drawings, 345 × 9,000 for training, are built and packed in this process, whose largest resident memory is
read from the kernel. Batches of 256 are those of an epoch of training: shuffled, drawn at 224 pixels, 128 points at
most; an epoch is left after --seconds. Beside them, in the same run, what one would write in an afternoon:
`pandas.read_parquet` of one shard, and PIL in a torch DataLoader with a worker a core over some of its rows. Building
needs 3 GB of disk; --data takes a data set that is there already.
"""

from __future__ import annotations

import argparse
import itertools
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import psutil
import torch
from measure import machine, measure, run_command, table
from plain_loader import Frame, plain_batches

from sketchdata.training.loader import Batch, Order, PackedLoader, View
from sketchdata.training.options import TrainingOptions
from sketchdata.training.packed import PackedSketches, read_packed

OTHER_SPLITS, SPARE = 100, 100
SIZE = TrainingOptions().batch_size


def main() -> None:
    """Build where need be, read, run through an epoch of each view, print two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where to build; default: a temporary folder")
    parser.add_argument("--data", type=Path, help="a built data set, instead of building one")
    parser.add_argument("--train", type=int, default=9000, help="training drawings of each of the 345 classes")
    parser.add_argument("--plain", type=int, default=4000, help="drawings for the plain way")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch; OpenCV draws with one a core")
    parser.add_argument("--seconds", type=float, default=180, help="of an epoch, at most")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    folder = Path(tempfile.mkdtemp(dir=arguments.folder))
    try:
        _measure(arguments.data or _built(folder, arguments.train), arguments.plain, arguments.seconds)
    finally:
        shutil.rmtree(folder)


def _built(folder: Path, train: int) -> Path:
    source, out, least = folder / "source", folder / "data", train + 3 * OTHER_SPLITS + SPARE
    sizes = ["--train", str(train), *(f"--{split}={OTHER_SPLITS}" for split in ("val", "gallery", "query"))]
    run_command(["synth", "--out", str(source), "--drawings", str(least)])
    run_command(["build", "quickdraw-3.8m", "--source", str(source), "--out", str(out), *sizes])
    shutil.rmtree(source)
    return out


def _measure(data: Path, plain: int, seconds: float) -> None:
    threads = f"torch {torch.__version__} on {torch.get_num_threads()} thread(s), batches of {SIZE}"
    packed, reading = _reading(data)
    frame, plain_reading = _plain_reading(data)
    head = ["reading", "drawings", "seconds", "drawings/s", "bytes per drawing", "MB", "peak MB of the process"]
    print(f"{machine()}, {threads}\n\n{table(head, [reading, plain_reading])}\n", flush=True)
    view = View(scale=packed.offset_scale())
    views = {"sequence": replace(view, size=None), "raster": replace(view, max_points=None), "both": view}
    rows = [_rates(what, packed, frame.iloc[:plain], each, seconds) for what, each in views.items()]
    head = ["batches alone", "of an epoch", "seconds", "drawings/s", "plain, drawings/s", "faster by"]
    print(f"{table(head, rows)}\n\nPeak of the process at the end: {_peak_mb():,.0f} MB")


def _reading(data: Path) -> tuple[PackedSketches, list[str]]:
    before = _now_mb()
    run = measure(lambda: read_packed(data, "train"))
    packed = run.value
    assert isinstance(packed, PackedSketches)
    return packed, [
        f"**read_packed** (before it: {before:,.0f} MB)",
        *_reading_cells(len(packed), run.wall, packed.nbytes),
        f"{_peak_mb():,.0f}",
    ]


def _plain_reading(data: Path) -> tuple[pd.DataFrame, list[str]]:
    """Read one shard by pandas, and count what the process grew by."""
    shard = min((data / "data").glob("train-*.parquet"))
    before = _now_mb()
    run = measure(lambda: pd.read_parquet(shard))
    frame = run.value
    assert isinstance(frame, pd.DataFrame)
    grown = round((_now_mb() - before) * 1e6)
    return frame, [
        "pandas.read_parquet of one shard",
        *_reading_cells(len(frame), run.wall, grown),
        f"{_peak_mb():,.0f}",
    ]


def _reading_cells(count: int, seconds: float, size: int) -> list[str]:
    return [f"{count:,}", f"{seconds:.1f}", f"{count / seconds:,.0f}", f"{size / count:,.0f}", f"{size / 1e6:,.0f}"]


def _rates(what: str, packed: PackedSketches, frame: pd.DataFrame, view: View, seconds: float) -> list[str]:
    loader = PackedLoader(packed=packed, order=Order(count=len(packed), batch_size=SIZE), view=view)
    own = _run_through(loader.batches(0), seconds)
    workers = len(os.sched_getaffinity(0))
    batches = plain_batches(Frame(frame=frame, view=view), SIZE, workers, torch.device("cpu"))
    # The first batch waits for the workers' start.
    next(batches)
    plain = _run_through(itertools.islice(batches, len(frame) // SIZE - 1), seconds)
    return [
        what,
        f"{own.drawings / len(packed):.0%}",
        f"{own.seconds:.1f}",
        f"{own.rate:,.0f}",
        f"{plain.rate:,.0f}",
        f"{own.rate / plain.rate:.0f}",
    ]


@dataclass(frozen=True)
class Passage:
    """Drawings that came as batches, and the seconds that they took."""

    drawings: int
    seconds: float

    @property
    def rate(self) -> float:
        return self.drawings / self.seconds


def _run_through(batches: Iterator[Batch], limit: float) -> Passage:
    drawings, start = 0, time.perf_counter()
    for batch in batches:
        drawings += len(batch.labels)
        if time.perf_counter() - start > limit:
            break
    return Passage(drawings, time.perf_counter() - start)


def _now_mb() -> float:
    return psutil.Process().memory_info().rss / 1e6


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


if __name__ == "__main__":
    main()
