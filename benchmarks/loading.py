"""Feeding a network with pictures of drawings: sketchdata against the loaders that people use, on the same drawings.

    python benchmarks/loading.py [--classes 60] [--train 500] [--sizes 64 224] [--runs 3]

Generated drawings are built, and their pictures are stored as each library recommends: PNG files for the DataLoader of
torch, tars for webdataset, Parquet with an image column for HF datasets (Arrow, memory-mapped, and streamed), and a
Lance data set. sketchdata draws from the strokes instead, with two threads. Each way yields one shuffled epoch of uint8
batches of 256 with labels on two workers, in a process of its own; all decode with OpenCV, a batch at a time where the
library can. Measured are, as medians of --runs runs, the drawings per second after the first batch, and the seconds to
the first batch from the start of the loader; besides, the largest memory of all processes together (proportional set
size), and the bytes on disk.

Lance is left out unless `pylance` is installed. Only ratios of the same run mean something on another machine.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from measure import machine, run_command, run_process, table, tree_bytes
from plain_loader import Files, plain_batches, write_pictures
from torch.utils.data import DataLoader

from sketchdata.storage.catalog import manifest_path
from sketchdata.training.loader import Order, PackedLoader, View
from sketchdata.training.packed import read_packed

BATCH, WORKERS = 256, 2
#: Batches of pictures and labels.
Batches = Iterator[tuple[torch.Tensor, torch.Tensor]]


def main() -> None:
    """Store the pictures in every form, run each way through an epoch, print one table per size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, default=60)
    parser.add_argument("--train", type=int, default=500, help="drawings per class")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 224])
    parser.add_argument("--runs", type=int, default=3, help="of each way, whose median counts")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--folder", type=Path, help="where to store; default: a temporary folder")
    parser.add_argument("--run", nargs=2, metavar=("WAY", "SIZE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        print(json.dumps(_epoch(WAYS[arguments.run[0]], arguments.folder, int(arguments.run[1]))))
        return
    folder = Path(tempfile.mkdtemp(dir=arguments.folder))
    try:
        _build(folder, arguments.classes, arguments.train)
        print(f"{machine()}, torch {torch.__version__}; {arguments.classes} × {arguments.train} drawings")
        for size in arguments.sizes:
            print(f"\n{size} pixels\n\n{_report(folder, size, arguments.ways, arguments.runs)}", flush=True)
    finally:
        shutil.rmtree(folder)


def _build(folder: Path, classes: int, train: int) -> None:
    source, sizes = folder / "source", [f"--train={train}", *(f"--{each}=1" for each in ("val", "gallery", "query"))]
    words = manifest_path("quickdraw-categories.txt").read_text().splitlines()[:classes]
    chosen = ["--categories", ",".join(words)]
    run_command(["synth", "--out", str(source), "--drawings", str(train + 50), *chosen])
    run_command(["build", "quickdraw-3.8m", "--source", str(source), "--out", str(folder / "data"), *sizes, *chosen])


def _report(folder: Path, size: int, ways: Sequence[str], runs: int) -> str:
    found = {}
    for name in ways:
        way = WAYS[name]
        if way.needs and importlib.util.find_spec(way.needs) is None:
            continue
        stored = folder / "data" / "data"
        if way.store is not None:
            stored = folder / f"{way.form}-{size}"
            if not stored.exists():
                way.store(folder, stored, size)
        command = [sys.executable, __file__, "--folder", str(folder), "--run", name, str(size)]
        ran = [run_process(command) for _ in range(runs)]
        values = [json.loads(run.output.splitlines()[-1]) for run in ran]
        middle = {key: statistics.median(each[key] for each in values) for key in ("rate", "first")}
        found[name] = middle, max(run.peak_bytes for run in ran), tree_bytes(stored)
    ours = found[ways[0]][0]["rate"]
    rows = [
        [
            WAYS[name].title,
            f"{values['rate']:,.0f}",
            f"{ours / values['rate']:.1f}",
            f"{values['first']:.2f}",
            f"{peak / 2**20:,.0f}",
            f"{disk / 1e6:,.1f}",
        ]
        for name, (values, peak, disk) in found.items()
    ]
    return table(["way", "drawings/s", "the first is faster by", "first batch, s", "peak MiB", "MB on disk"], rows)


@dataclass(frozen=True, kw_only=True)
class Way:
    """A way to feed: `store(root, folder, size)` writes its form, `load(root, folder, size)` yields an epoch."""

    title: str
    form: str
    load: Callable[[Path, Path, int], Batches]
    store: Callable[[Path, Path, int], None] | None = None
    needs: str = ""


def _epoch(way: Way, root: Path, size: int) -> dict[str, float]:
    torch.set_num_threads(1)
    if way.needs:
        # The import of a library is not the start of its loader.
        importlib.import_module(way.needs)
    started = time.perf_counter()
    batches = way.load(root, root / f"{way.form}-{size}", size)
    pictures, labels = next(batches)
    first = time.perf_counter() - started
    if pictures.shape != (BATCH, 1, size, size) or pictures.dtype != torch.uint8 or labels.shape != (BATCH,):
        raise SystemExit(f"{way.title} yields {tuple(pictures.shape)} {pictures.dtype}, {tuple(labels.shape)}")
    started = time.perf_counter()
    count = sum(len(labels) for _, labels in batches)
    return {"first": first, "rate": count / (time.perf_counter() - started)}


# ---- sketchdata -----------------------------------------------------------------------------------------------------


def _packed(root: Path, _: Path, size: int) -> Batches:
    packed = read_packed(root / "data", "train")
    order = Order(count=len(packed), batch_size=BATCH)
    for batch in PackedLoader(packed=packed, order=order, view=View(size=size, max_points=None)).batches(0):
        yield batch.raster, batch.labels


# ---- the others -----------------------------------------------------------------------------------------------------


def _pictures(root: Path, folder: Path, size: int) -> tuple[list[Path], list[int]]:
    packed = read_packed(root / "data", "train")
    folder.mkdir(parents=True)
    rows = torch.arange(len(packed))
    return write_pictures(packed, rows, size, folder), packed.labels.tolist()


def _store_files(root: Path, folder: Path, size: int) -> None:
    _, labels = _pictures(root, folder, size)
    (folder / "labels.json").write_text(json.dumps(labels))


def _files(_: Path, folder: Path, _size: int) -> Batches:
    labels = torch.tensor(json.loads((folder / "labels.json").read_text()))
    dataset = Files(labels=labels, pictures=[folder / f"{row}.png" for row in range(len(labels))], sequences=None)
    endless = plain_batches(dataset, BATCH, WORKERS, torch.device("cpu"))
    for _ in range(len(labels) // BATCH):
        batch = next(endless)
        yield batch.raster, batch.labels


def _rows(root: Path, size: int) -> Iterator[dict[str, Any]]:
    """Yield PNG bytes and labels in an order mixed over the classes, as a data set is published."""
    with tempfile.TemporaryDirectory(dir=root) as folder:
        paths, labels = _pictures(root, Path(folder) / "png", size)
        for row in np.random.default_rng(0).permutation(len(paths)).tolist():
            yield {"image": paths[row].read_bytes(), "label": labels[row]}


def _store_tars(root: Path, folder: Path, size: int) -> None:
    import webdataset

    folder.mkdir()
    with webdataset.ShardWriter(str(folder / "%04d.tar"), maxcount=1000, verbose=0) as writer:
        for number, row in enumerate(_rows(root, size)):
            writer.write({"__key__": f"{number:08d}", "png": row["image"], "cls": row["label"]})


def _tars(_: Path, folder: Path, _size: int) -> Batches:
    import webdataset

    shards = sorted(map(str, folder.glob("*.tar")))
    dataset = (
        webdataset.WebDataset(shards, shardshuffle=len(shards), seed=0)
        .shuffle(1000)
        .map(lambda sample: (_decoded(sample["png"]), int(sample["cls"])))
        .batched(BATCH, partial=False, collation_fn=_stacked)
    )
    yield from webdataset.WebLoader(dataset, batch_size=None, num_workers=WORKERS)


def _store_parquet(root: Path, folder: Path, size: int) -> None:
    import datasets

    folder.mkdir()
    datasets.disable_progress_bars()
    rows = list(_rows(root, size))
    columns = {"image": [{"bytes": row["image"], "path": None} for row in rows], "label": [r["label"] for r in rows]}
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    made = datasets.Dataset.from_dict(columns, features=features)
    shards = 8
    for number in range(shards):
        made.shard(shards, number).to_parquet(folder / f"train-{number:05d}.parquet")


def _opened(folder: Path, *, streaming: bool) -> Any:
    import datasets

    datasets.disable_progress_bars()
    files = sorted(map(str, folder.glob("*.parquet")))
    cache = str(folder.parent / "cache")
    made = datasets.load_dataset("parquet", data_files=files, split="train", streaming=streaming, cache_dir=cache)
    return made.cast_column("image", datasets.Image(decode=False))


def _mapped(_: Path, folder: Path, _size: int) -> Batches:
    dataset = _opened(folder, streaming=False).with_transform(_decoded_columns)
    yield from DataLoader(dataset, BATCH, shuffle=True, drop_last=True, num_workers=WORKERS, collate_fn=_collated_dicts)


def _streamed(_: Path, folder: Path, _size: int) -> Batches:
    dataset = _opened(folder, streaming=True).shuffle(seed=0, buffer_size=1000).map(_decoded_row)
    yield from DataLoader(dataset, BATCH, drop_last=True, num_workers=WORKERS, collate_fn=_collated_dicts)


def _store_lance(root: Path, folder: Path, size: int) -> None:
    import lance
    import pyarrow as pa

    rows = list(_rows(root, size))
    columns = {"image": pa.array([row["image"] for row in rows], pa.binary()), "label": [row["label"] for row in rows]}
    lance.write_dataset(pa.table(columns), str(folder))


class _LanceRows(torch.utils.data.Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Rows of a Lance data set, a batch at a time; a worker opens it on its first batch."""

    def __init__(self, folder: Path) -> None:
        import lance

        self.folder, self.dataset = folder, None
        self.count = lance.dataset(str(folder)).count_rows()

    def __len__(self) -> int:
        return self.count

    def __getitems__(self, rows: list[int]) -> list[tuple[torch.Tensor, int]]:
        import lance

        self.dataset = self.dataset or lance.dataset(str(self.folder))
        found = self.dataset.take(rows).to_pydict()
        return [(_decoded(png), label) for png, label in zip(found["image"], found["label"], strict=True)]


def _lance(_: Path, folder: Path, _size: int) -> Batches:
    # Lance has threads, which a forked process loses.
    yield from DataLoader(
        _LanceRows(folder),
        BATCH,
        shuffle=True,
        drop_last=True,
        num_workers=WORKERS,
        collate_fn=_stacked,
        multiprocessing_context="spawn",
    )


def _decoded(png: bytes) -> torch.Tensor:
    return torch.from_numpy(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE))[None]


def _decoded_row(row: dict[str, Any]) -> dict[str, Any]:
    return {"image": _decoded(row["image"]["bytes"]), "label": row["label"]}


def _decoded_columns(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    return {"image": [_decoded(each["bytes"]) for each in columns["image"]], "label": columns["label"]}


def _stacked(samples: Sequence[tuple[torch.Tensor, int]]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.stack([picture for picture, _ in samples]), torch.tensor([label for _, label in samples])


def _collated_dicts(rows: Sequence[dict[str, Any]]) -> tuple[torch.Tensor, torch.Tensor]:
    return _stacked([(row["image"], row["label"]) for row in rows])


WAYS = {
    "packed": Way(title="**sketchdata**, drawn from strokes", form="data", load=_packed),
    "files": Way(title="DataLoader, PNG files", form="files", load=_files, store=_store_files),
    "webdataset": Way(title="webdataset, tars of PNG", form="tars", load=_tars, store=_store_tars, needs="webdataset"),
    "datasets": Way(title="HF datasets, Arrow", form="parquet", load=_mapped, store=_store_parquet, needs="datasets"),
    "streaming": Way(
        title="HF datasets, streaming", form="parquet", load=_streamed, store=_store_parquet, needs="datasets"
    ),
    "lance": Way(title="Lance, take", form="lance", load=_lance, store=_store_lance, needs="lance"),
}

if __name__ == "__main__":
    main()
