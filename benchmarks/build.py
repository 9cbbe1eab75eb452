"""Building a category's shards: sketchdata against the plain way and against parsing everything with orjson.

    python benchmarks/build.py [--categories 14] [--plain-categories 2] [--folder DIR]

Every way gets the same generated ndjson, 13 times as many lines as are chosen, in one process, and writes the chosen
11,100 drawings a category as Parquet. The plain way is what a notebook does: ndjson.load, a DataFrame, to_parquet.
Also: the scan for lines and key_ids, and the whole select stage with its own md5, against `md5sum` of the same files.
Only sketchdata splits, checks and records what it refuses. Rates are per second of processor time, from one run; only
ratios of the same run mean something on another machine.
"""

from __future__ import annotations

import argparse
import gc
import shutil
import subprocess
import tempfile
from pathlib import Path

import ndjson
import numpy as np
import orjson
import pandas as pd
from measure import machine, measure, table

from sketchdata import synth
from sketchdata.drawings.drawing import DrawingBatch
from sketchdata.drawings.sampling import ranks
from sketchdata.formats import ndjson as ndjson_scan
from sketchdata.formats import ndjson as official
from sketchdata.storage import parquet
from sketchdata.storage.selection import Rules, select

CHOSEN = 11_100
LINES = 13 * CHOSEN


def main() -> None:
    """Generate, run every way, print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--categories", type=int, default=14, help="files of 144,300 lines; 14 are 1 GB")
    parser.add_argument("--plain-categories", type=int, default=2, help="files for the two slow ways")
    parser.add_argument("--folder", type=Path, help="where to put 1 GB; default: a temporary folder")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=arguments.folder))
    try:
        files = [_generate(folder, f"category {i}", i) for i in range(arguments.categories)]
        print(_report(files, files[: arguments.plain_categories], folder))
    finally:
        shutil.rmtree(folder)


def _generate(folder: Path, word: str, label: int) -> Path:
    path = folder / f"{word}.ndjson"
    with path.open("wb") as file:
        for start in range(0, LINES, 10_000):
            count = min(10_000, LINES - start)
            file.write(official.dump(synth.generate(word, count, seed=0, start=start, label=label), word))
    return path


def _report(files: list[Path], few: list[Path], folder: Path) -> str:
    size = sum(path.stat().st_size for path in files)
    ways = {
        "sketchdata, of files that its download has checked": (_sketchdata, files),
        "sketchdata, hashing the files too": (_sketchdata_and_md5, files),
        "orjson over every line, then as sketchdata": (_orjson, few),
        "plain: ndjson.load, pandas, to_parquet": (_plain, few),
    }
    rates: dict[str, float] = {}
    for name, (way, paths) in ways.items():
        gc.collect()
        run = measure(lambda way=way, paths=paths: [way(path, folder / "out.parquet") for path in paths])
        rates[name] = len(paths) * LINES / run.cpu
    ours = next(iter(rates.values()))
    rows = [[name, f"{rate:,.0f}", f"{ours / rate:.1f}"] for name, rate in rates.items()]
    first = table(["way", "lines/s of one core", "sketchdata is faster by"], rows)
    readers = {
        "md5sum": lambda: subprocess.run(["md5sum", *map(str, files)], check=True, capture_output=True),
        "scan for lines and key_ids": lambda: [_scan(path) for path in files],
        "scan, and choice of the smallest ranks": lambda: [_choose(path) for path in files],
    }
    speeds = {name: size / measure(reader).cpu for name, reader in readers.items()}
    rows = [[name, f"{speed / 1e6:,.0f}", f"{speed / speeds['md5sum']:.2f}"] for name, speed in speeds.items()]
    second = table(["reading every byte", "MB/s of one core", "of md5sum's rate"], rows)
    lines = f"{len(files)} files, {size / 1e9:.2f} GB, {len(files) * LINES:,} generated lines, 1 in 13 chosen"
    return f"{machine()}\n{lines}; the slow ways got {len(few)} of the files\n\n{first}\n\n{second}"


def _blocks(path: Path):
    with path.open("rb", buffering=0) as file:
        while block := file.read(ndjson_scan.BLOCK_BYTES):
            yield block


def _select(path: Path, count: int, md5: str | None = None) -> DrawingBatch:
    rules = Rules(word=path.stem, label=0, input_format="simplified", count=count, seed=0)
    return select(lambda: _blocks(path), rules, md5=md5, size=path.stat().st_size).batch


def _sketchdata(path: Path, out: Path) -> None:
    _write(_select(path, CHOSEN, md5="known from the download"), path, out)


def _sketchdata_and_md5(path: Path, out: Path) -> None:
    _write(_select(path, CHOSEN), path, out)


def _write(batch: DrawingBatch, path: Path, out: Path) -> None:
    parquet.write_shard(out, batch, [path.stem], {})


def _orjson(path: Path, out: Path) -> None:
    # At its best: each record is let go at once, or Python's search for cycles would take ten times as long.
    with path.open("rb") as file:
        lines = file.read().splitlines()
    own = ranks(np.array([int(orjson.loads(line)["key_id"]) for line in lines], np.uint64), 0)
    chosen = [lines[i] for i in np.argsort(own)[:CHOSEN].tolist()]
    _write(official.parse(chosen, word=path.stem, label=0).batch, path, out)


def _plain(path: Path, out: Path) -> None:
    with path.open() as file:
        records = ndjson.load(file)
    pd.DataFrame(records).sample(n=CHOSEN, random_state=0).to_parquet(out)


def _scan(path: Path) -> int:
    return sum(len(block) for block in ndjson_scan.scan(_blocks(path)))


def _choose(path: Path) -> None:
    # A count of 1 leaves the parsing out: what remains is reading, ranking and keeping the smallest.
    _select(path, 1, md5="known from the download")


if __name__ == "__main__":
    main()
