"""Exact evaluation of a retrieval: sketchdata against faiss and numpy, on the same codes in the same run.

    python benchmarks/retrieval.py [--bits 16 64] [--classes 345] [--queries 100] [--gallery 1000] [--plain-queries 40]

34,500 queries rank 345,000 items, by codes that are made here: a random centre a class, one item in five at the centre
of one of five classes, 6 % of bits flipped. Ours gives every measure, with bounds and intervals, in a process of its
own, whose largest resident memory is read from the kernel; what it held before that (Python, libraries, codes) is told
beside it. The other ways give one mAP each, of some queries, and their time for all queries is extrapolated:

- numpy as in much published code: one product of ±1 codes and one argsort a query, ties as the sort leaves them;
- numpy with ties: exclusive or, np.bitwise_count and two np.bincount a query, then the expected AP;
- faiss: a search of IndexBinaryFlat for all N items, then AP in the order that it gives.

Seconds are processor time of all threads; only ratios of the same run mean something on another machine.
"""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np
from measure import Run, machine, measure, table

from sketchdata.formats.codes import Codes, pack_bits, unpack_bits
from sketchdata.retrieval import metrics
from sketchdata.retrieval.metrics import TieGroups
from sketchdata.retrieval.scores import Retrieval, score_codes

CONFUSED, NEAR, FLIPPED = 0.2, 5, 0.06


def main() -> None:
    """Run every way at every length, print one table a length."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bits", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--classes", type=int, default=345)
    parser.add_argument("--queries", type=int, default=100, help="queries of each class")
    parser.add_argument("--gallery", type=int, default=1000, help="items of each class")
    parser.add_argument("--plain-queries", type=int, default=40, help="queries for the other ways")
    parser.add_argument("--workers", type=int, default=0, help="threads of ours; default: one a processor")
    arguments = parser.parse_args()
    print(machine())
    for bits in arguments.bits:
        size = Size(bits=bits, classes=arguments.classes, queries=arguments.queries, gallery=arguments.gallery)
        print(_report(size, arguments.plain_queries, arguments.workers), flush=True)


@dataclass(frozen=True, kw_only=True)
class Size:
    """Codes that are made: their length, classes, queries and items of each class."""

    bits: int
    classes: int
    queries: int
    gallery: int


def make(size: Size, each: int, seed: int) -> Codes:
    """Make `each` codes of every class, a class at a time: all bits at once would take more than an evaluation."""
    centres = np.random.default_rng(0).random((size.classes, size.bits)) < 0.5
    random = np.random.default_rng(seed)
    packed = []
    for label in range(size.classes):
        other = (label // NEAR) * NEAR + random.integers(0, NEAR, each)
        source = np.where(random.random(each) < CONFUSED, np.minimum(other, size.classes - 1), label)
        packed.append(pack_bits(centres[source] ^ (random.random((each, size.bits)) < FLIPPED)))
    return Codes(
        bits=size.bits,
        packed=np.concatenate(packed),
        labels=np.repeat(np.arange(size.classes), each).astype(np.uint16),
        key_ids=np.arange(size.classes * each, dtype=np.uint64),
        classes=tuple(f"class {label}" for label in range(size.classes)),
    )


def both(size: Size) -> tuple[Codes, Codes]:
    return make(size, size.queries, seed=1), make(size, size.gallery, seed=2)


@dataclass(frozen=True, kw_only=True)
class Own:
    """What ours took and found; memory is the largest resident one, before and after, in bytes."""

    run: Run
    counting: Run
    before: int
    after: int


def own(size: Size, workers: int) -> Own:
    """Evaluate in this process."""
    from sketchdata.retrieval.hamming import count_distances

    queries, gallery = both(size)
    before = _peak_bytes()
    # The first call of anything loads something.
    few = np.arange(min(64, len(queries)))
    score_codes(queries.take(few), gallery, workers=workers)
    run = measure(lambda: score_codes(queries, gallery, workers=workers))
    after = _peak_bytes()
    counting = measure(lambda: len(count_distances(queries, gallery, workers=workers)))
    return Own(run=run, counting=counting, before=before, after=after)


def _peak_bytes() -> int:
    # getrusage would count what the process that started this one held at that time.
    return next(
        int(line.split()[1]) * 1024 for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line
    )


def _report(size: Size, plain_queries: int, workers: int) -> str:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        ours = pool.submit(own, size, workers).result()
    found = ours.run.value
    assert isinstance(found, Retrieval)
    queries, gallery = both(size)
    rows = np.random.default_rng(3).permutation(len(queries))[:plain_queries]
    bounds = [found.measures["map", ties][rows].mean() for ties in ("expected", "pessimistic", "optimistic")]
    told = "{:.4f} ({:.4f} to {:.4f})".format(*bounds)
    lines = [
        [*_line("**sketchdata**, every measure", len(queries), ours.run, len(queries), ours.run), told],
        [*_line("of it, counting distances", len(queries), ours.counting, len(queries), ours.run), ""],
    ]
    for name, way in WAYS.items():
        run = measure(lambda way=way: way(queries.take(rows), gallery))
        lines.append([*_line(name, len(rows), run, len(queries), ours.run), f"{run.value:.4f}"])
    head = [
        "way",
        "queries",
        "s",
        "core-seconds",
        "core-seconds for all",
        "ours is faster by",
        "mAP of the same queries",
    ]
    memory = f"{ours.after / 2**20:,.0f} MiB, {ours.before / 2**20:,.0f} of them before the evaluation"
    sizes = f"{size.bits} bits, {len(queries):,} queries, {len(gallery):,} items"
    return f"\n{sizes}; ours took {memory}\n\n{table(head, lines)}"


def _line(name: str, count: int, run: Run, queries: int, ours: Run) -> list[str]:
    everything = run.cpu / count * queries
    ratio = everything / ours.cpu
    return [name, f"{count:,}", f"{run.wall:.2f}", f"{run.cpu:.2f}", f"{everything:,.1f}", f"{ratio:,.1f}"]


def _argsort(queries: Codes, gallery: Codes) -> float:
    """Rank as published code does: ±1 codes as float32, argsort, and AP of the order that comes out."""
    asked, items = (unpack_bits(codes.packed, codes.bits) * np.float32(2) - 1 for codes in (queries, gallery))
    found = []
    for code, label in zip(asked, queries.labels, strict=True):
        order = np.argsort((queries.bits - items @ code) / 2)
        found.append(_average_precision(gallery.labels[order] == label))
    return float(np.mean(found))


def _bincounts(queries: Codes, gallery: Codes) -> float:
    """Count distances of 64-bit words as one would with numpy alone, and take the expected AP."""
    asked, items = (
        np.pad(codes.packed, ((0, 0), (0, -codes.packed.shape[1] % 8))).view(np.uint64) for codes in (queries, gallery)
    )
    counts = []
    for code, label in zip(asked, queries.labels, strict=True):
        distances = np.bitwise_count(items ^ code).sum(axis=1, dtype=np.uint8)
        relevant = distances[gallery.labels == label]
        counts.append([np.bincount(each, minlength=queries.bits + 1) for each in (distances, relevant)])
    both = np.array(counts)
    return float(metrics.average_precision(TieGroups(items=both[:, 0], relevant=both[:, 1])).mean())


def _faiss(queries: Codes, gallery: Codes) -> float:
    """Search by faiss for everything, in codes filled up to whole bytes."""
    index = faiss.IndexBinaryFlat(8 * gallery.packed.shape[1])
    index.add(gallery.packed)
    _, orders = index.search(queries.packed, len(gallery))
    relevant = gallery.labels[orders] == queries.labels[:, None]
    return float(np.mean([_average_precision(row) for row in relevant]))


def _average_precision(relevant: np.ndarray) -> float:
    ranks = np.flatnonzero(relevant) + 1
    return float((np.arange(1, len(ranks) + 1) / ranks).mean())


WAYS: dict[str, Callable[[Codes, Codes], float]] = {
    "numpy, argsort a query": _argsort,
    "numpy, bitwise_count and bincount": _bincounts,
    "faiss IndexBinaryFlat, everything": _faiss,
}


if __name__ == "__main__":
    main()
