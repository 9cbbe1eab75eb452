"""Search in binary codes: sketchdata's flat index against faiss' and against plain numpy, on the same codes in one run.

    python benchmarks/search.py [--codes DIR] [--queries 200] [--k 200] [--bits 64] [--items 345000] [--exact]

Without --codes, the codes are made up: 345 classes in groups of five that are alike, 1,000 drawings each, a fifth of
them coded as a class of the same group, and 6 of 100 bits flipped. Times are of one query on one thread, in processor
time, the best of three passes; with enough queries in one call, numba compiles the loop of `flat`. Recall is the share
of the k found that are no farther than the true k-th, so that ties at the cut make no difference. Plain numpy is what a
notebook does: count, and sort all of them. The paper (Xu et al., Table IV) gives 286 ms for a query among 345,000 codes
of 64 bits; Shen et al., Table 2, give 0.065 ms for 64 bits, without the number of photos or the machine. Only ratios of
the same run mean something on another machine.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from measure import machine, table

from sketchdata.formats.codes import Codes, pack_bits
from sketchdata.pipelines import index as recipe
from sketchdata.retrieval import hamming
from sketchdata.retrieval.code_folder import CodeOrigin, code_folder, read_codes, write_codes
from sketchdata.retrieval.hamming import to_words, word_distances
from sketchdata.retrieval.index import KINDS, Index, make_index
from sketchdata.storage.manifest import ParentEntry

PAPER_MS, ZSIH_MS = 286, 0.065
CLASSES, GROUP, EACH = 345, 5, 1000
#: A search: a query's packed code → rows.
Search = Callable[[np.ndarray], np.ndarray]


def main() -> None:
    """Search every way, print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codes", type=Path, help="a folder of codes with gallery and query, instead of made-up ones")
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--k", type=int, default=200)
    parser.add_argument("--bits", type=int, default=64, help="of made-up codes")
    parser.add_argument(
        "--items", type=int, default=CLASSES * EACH, help="codes of the gallery, at most those there are"
    )
    parser.add_argument("--exact", action="store_true", help="leave approximate kinds of index out")
    arguments = parser.parse_args()
    faiss.omp_set_num_threads(1)
    if arguments.codes is None:
        gallery, queries = _made_up(arguments.bits)
    else:
        gallery, queries = (read_codes(arguments.codes, split) for split in ("gallery", "query"))
    asked = queries.packed[:: max(len(queries) // arguments.queries, 1)][: arguments.queries]
    gallery = gallery.take(np.arange(min(arguments.items, len(gallery))))
    print(_report(gallery, asked, arguments.k, exact=arguments.exact))


def _made_up(bits: int) -> tuple[Codes, Codes]:
    random = np.random.default_rng(0)
    groups = random.random((CLASSES // GROUP, bits)) < 0.5
    centres = np.repeat(groups, GROUP, axis=0) ^ (random.random((CLASSES, bits)) < 0.2)

    def draw(each: int) -> Codes:
        labels = random.permutation(np.repeat(np.arange(CLASSES), each))
        confused = random.random(len(labels)) < 0.2
        seen = np.where(confused, labels // GROUP * GROUP + random.integers(0, GROUP, len(labels)), labels)
        packed = pack_bits(centres[seen] ^ (random.random((len(labels), bits)) < 0.06))
        key_ids = random.permutation(len(labels)).astype(np.uint64)
        names = tuple(f"class {label}" for label in range(CLASSES))
        return Codes(bits=bits, packed=packed, labels=labels.astype(np.uint16), key_ids=key_ids, classes=names)

    return draw(EACH), draw(1)


def _report(gallery: Codes, asked: np.ndarray, k: int, *, exact: bool) -> str:
    flat = make_index(gallery, "flat")
    limits = [int(found.distances[-1]) for found in flat.search(asked, k)]
    naive = _time(_plain(flat, k), asked[:10], 1)
    rows = [["numpy, argsort of all", "", f"{naive:.3f}", "1.0", "1.0000"]]
    for name, make in _ways(gallery, k, exact=exact).items():
        started = time.process_time()
        search = make()
        built = time.process_time() - started
        ms, recall = _time(search, asked, 3), _recall(flat, search, asked, limits, k)
        rows.append([name, f"{built:.1f}", f"{ms:.3f}", f"{naive / ms:.1f}", f"{recall:.4f}"])
    many = np.resize(asked, (hamming.COMPILE_FROM // len(gallery) + 1, asked.shape[1]))
    flat.search(many, k)
    started = time.process_time()
    flat.search(many, k)
    ms = 1000 * (time.process_time() - started) / len(many)
    rows.append([f"sketchdata flat, {len(many):,} queries at once", "", f"{ms:.3f}", f"{naive / ms:.1f}", "1.0000"])
    head = ["way", "s to build", "ms per query", "faster than numpy by", f"recall@{k}"]
    facts = [
        f"{machine()}, faiss {faiss.__version__}, numpy {np.__version__}",
        f"{len(gallery):,} codes of {gallery.bits} bits, {len(asked):,} queries, k {k}; "
        f"Xu et al.: {PAPER_MS} ms, Shen et al.: {ZSIH_MS} ms",
        f"the flat index's arrays take {flat.nbytes / 2**20:.1f} MiB; {_memory(gallery, k)}",
    ]
    return "\n".join([*facts, "", table(head, rows)])


def _ways(gallery: Codes, k: int, *, exact: bool) -> dict[str, Callable[[], Search]]:
    ways = {
        f"sketchdata {kind}": lambda kind=kind: _ours(make_index(gallery, kind), k)
        for kind in KINDS
        if not exact or kind == "flat"
    }
    return {**ways, "faiss IndexBinaryFlat, counting": lambda: _faiss_flat(gallery, k)}


def _ours(index: Index, k: int) -> Search:
    return lambda query: index.search(query[None], k)[0].rows


def _faiss_flat(gallery: Codes, k: int) -> Search:
    ordered = gallery.take(np.argsort(gallery.key_ids, kind="stable"))
    index: Any = faiss.IndexBinaryFlat(8 * ordered.packed.shape[1])
    index.add(ordered.packed)
    index.use_heap = False
    return lambda query: index.search(query[None], k)[1][0]


def _plain(index: Index, k: int) -> Search:
    def search(query: np.ndarray) -> np.ndarray:
        counts = np.bitwise_count(index.words ^ to_words(query[None])).sum(axis=0, dtype=np.uint8)
        return np.argsort(counts, kind="stable")[:k]

    return search


def _time(search: Search, asked: np.ndarray, passes: int) -> float:
    """Return milliseconds a query, in processor time."""
    search(asked[0])
    best = float("inf")
    for _ in range(passes):
        started = time.process_time()
        for query in asked:
            search(query)
        best = min(best, time.process_time() - started)
    return 1000 * best / len(asked)


def _recall(flat: Index, search: Search, asked: np.ndarray, limits: list[int], k: int) -> float:
    shares = []
    for query, limit in zip(asked, limits, strict=True):
        near = word_distances(to_words(query[None]), flat.words[:, search(query)])[0] <= limit
        shares.append(near.sum() / k)
    return float(np.mean(shares))


#: Opens an index in a process of its own, asks it, and tells the memory before and after.
MEMORY = """
import sys, psutil, numpy
from pathlib import Path
from sketchdata.retrieval.index import open_index
from sketchdata.pipelines import search
resident = lambda: psutil.Process().memory_info().rss
before = resident()
index = open_index(Path(sys.argv[1]))
for row in range(10):
    index.search(index.code(row)[None], int(sys.argv[2]))
print(before, resident())
"""


def _memory(gallery: Codes, k: int) -> str:
    """Return what a flat index takes of a process's memory, beside Python and its modules."""
    with tempfile.TemporaryDirectory() as folder:
        codes, out = Path(folder) / "codes", Path(folder) / "index"
        data = ParentEntry(name="benchmark", sha256="0" * 64)
        origin = CodeOrigin(data=data, bits=gallery.bits, classes=gallery.classes, model=None)
        write_codes(code_folder(codes, origin, ["gallery"]), {"gallery": lambda: gallery}, overwrite=False)
        recipe.run(codes, recipe.Config(out=out))
        command = [sys.executable, "-c", MEMORY, str(out), str(k)]
        before, after = map(int, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    return f"opened and asked, {(after - before) / 2**20:.1f} MiB beside {before / 2**20:.0f} of Python"


if __name__ == "__main__":
    main()
