"""Exact evaluation of drawings that search photos: sketchdata against numpy with the whole matrix, in the same run.

    python benchmarks/cross_domain.py [--queries 92291] [--gallery 54151] [--width 512] [--plain-queries 200]

The default is QuickDraw-Extended: 92,291 drawings of 30 unseen classes search 54,151 photos. Vectors are made here: a
random centre a class, and noise. Ours gives every measure with bounds and the nearest photo's class, in a process of
its own, whose largest resident memory is read from the kernel; what it held before (Python, libraries, vectors) is told
beside it. The other way holds the whole matrix of scores, as public code does, and sorts it by argsort: mAP alone, with
ties as the sort leaves them. It is timed on some queries, and its time and memory for all are extrapolated.

Seconds of the processor are of all threads; only ratios of the same run mean something on another machine.
"""

from __future__ import annotations

import argparse
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from measure import Run, machine, measure, table

from sketchdata.cross_domain.evaluation import DomainSearch, EmbeddedPictures, search_vectors

CLASSES, SPREAD = 30, 0.35


@dataclass(frozen=True, kw_only=True)
class Size:
    queries: int
    gallery: int
    width: int
    workers: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=92_291)
    parser.add_argument("--gallery", type=int, default=54_151)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--plain-queries", type=int, default=200, help="queries of the other way")
    parser.add_argument("--workers", type=int, default=0, help="threads that sort; default: one a processor")
    arguments = parser.parse_args()
    size = Size(queries=arguments.queries, gallery=arguments.gallery, width=arguments.width, workers=arguments.workers)
    print(machine())
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        run, before, after, found = pool.submit(own, size).result()
    queries, gallery = both(size)
    few = queries.take(np.random.default_rng(3).permutation(len(queries))[: arguments.plain_queries])
    plain = measure(lambda: whole_matrix(few, gallery))
    ours = search_vectors(few, gallery, resamples=2).retrieval.mean("map", "expected")
    share = len(queries) / len(few)
    print(
        f"\n{size.queries:,} × {size.gallery:,} of {size.width} values: mAP {found:.4f}; ours took at most "
        f"{after / 2**20:,.0f} MiB, {before / 2**20:,.0f} of them before; the whole matrix would be "
        f"{size.queries * size.gallery * 4 / 2**30:,.1f} GiB of scores and twice that of places\n"
    )
    head = ["way", "queries", "s", "core-seconds", "core-seconds for all", "ratio", "mAP of the same queries"]
    lines = [
        [*_line("**sketchdata**, every measure", len(queries), run, 1.0, run.cpu), f"{ours:.6f}"],
        [*_line("numpy, whole matrix and argsort, mAP", len(few), plain, share, run.cpu), f"{plain.value:.6f}"],
    ]
    print(table(head, lines))


def _line(name: str, count: int, run: Run, share: float, ours: float) -> list[str]:
    whole = run.cpu * share
    return [name, f"{count:,}", f"{run.wall:.1f}", f"{run.cpu:.1f}", f"{whole:,.1f}", f"{whole / ours:.2f}"]


def both(size: Size) -> tuple[EmbeddedPictures, EmbeddedPictures]:
    """Make the queries and the gallery."""
    centres = np.random.default_rng(0).standard_normal((CLASSES, size.width), np.float32)

    def make(domain: str, count: int, seed: int) -> EmbeddedPictures:
        random = np.random.default_rng(seed)
        labels = random.integers(0, CLASSES, count)
        vectors = random.standard_normal((count, size.width), np.float32)
        for start in range(0, count, 4096):
            vectors[start : start + 4096] += SPREAD * centres[labels[start : start + 4096]]
        classes = tuple(f"class {label}" for label in range(CLASSES))
        return EmbeddedPictures(domain=domain, vectors=vectors, labels=labels, classes=classes)

    return make("drawings", size.queries, 1), make("photos", size.gallery, 2)


def own(size: Size) -> tuple[Run, int, int, float]:
    """Evaluate in this process; return the run, the memory before and after in bytes, and the mAP."""
    queries, gallery = both(size)
    # The first call of anything loads something.
    search_vectors(queries.take(np.arange(64)), gallery, resamples=2)
    before = _peak_bytes()
    run = measure(lambda: search_vectors(queries, gallery, workers=size.workers))
    assert isinstance(run.value, DomainSearch)
    found = run.value.retrieval.mean("map", "expected")
    return Run(run.wall, run.cpu, None), before, _peak_bytes(), found


def _peak_bytes() -> int:
    # getrusage would count what the process that started this one held at that time.
    return next(
        int(line.split()[1]) * 1024 for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line
    )


def whole_matrix(queries: EmbeddedPictures, gallery: EmbeddedPictures) -> float:
    """Rank as public code does: all distances, argsort, and AP of the order that comes out."""
    g, q = gallery.vectors, queries.vectors
    distances = np.square(q).sum(axis=1)[:, None] - 2 * q @ g.T + np.square(g).sum(axis=1)
    relevant = gallery.labels[np.argsort(distances, axis=1)] == queries.labels[:, None]
    precisions = np.cumsum(relevant, axis=1) / np.arange(1, relevant.shape[1] + 1)
    return float(((precisions * relevant).sum(axis=1) / relevant.sum(axis=1)).mean())


if __name__ == "__main__":
    main()
