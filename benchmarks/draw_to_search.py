"""The page to draw on over many photos: each kind of index, and what a person waits for, in the same run.

    python benchmarks/draw_to_search.py [--count 100000] [--width 1280] [--k 24] [--queries 50] [--photos DIR]

Vectors are made here: 345 classes, each a centre and deviations from it, of length 1 and with the i-th direction's
variance falling as 1 / i, which is about how features of convolutional networks fall; drawings lie farther from their
centre, and beside it by what all drawings share. Times of a search are of one query, in processor time of one thread,
the median; recall@k is the share of the k found that the flat index finds too.

Then the page's server answers drawings of one to eight lines over HTTP, from a data set of so many photos: the JPEGs of
--photos in turn, or generated ones, each with a credit of its own. `answer` is what the page waits for before it shows
results: the drawing through EfficientNet-Lite0 at 224 pixels, the search and the credits, asked by this process, too.
`pictures` are the thumbnails, which are then asked for by six connections, as a browser does; those in memory are
forgotten before. Processor time is that of the whole process, which on an idle machine is about the time of an answer.

Only ratios of the same run mean something on another machine.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import faiss
import httpx
import numpy as np
import torch
import uvicorn
from measure import machine, measure, table, tree_bytes

from sketchdata.cross_domain.dataset import DOMAINS, GROUPS
from sketchdata.cross_domain.encoder import SpaceArchitecture, SpaceEncoder, write_space
from sketchdata.retrieval.vector_folder import PictureVectors
from sketchdata.retrieval.vector_index import VECTOR_KINDS, VectorIndex, make_vector_index, write_vector_arrays
from sketchdata.storage import pictures
from sketchdata.storage.catalog import manifest_path, read_classes
from sketchdata.storage.manifest import Manifest, file_entry, hash_file
from sketchdata.synth.photos import jpeg
from sketchdata.training.run_folder import MODEL, RECORD, write_json
from sketchdata.web.finder import PhotoFinder
from sketchdata.web.search_server import create_app

SPLIT, CLASSES, WITHIN, BETWEEN_DOMAINS = "unseen-photos", 345, 1.0, 0.5
CONNECTIONS, SIZE = 6, 224


def main() -> None:
    """Measure the kinds, then the page, and print a table of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--width", type=int, default=1280, help="of the vectors")
    parser.add_argument("--k", type=int, default=24)
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--kinds", default=",".join(VECTOR_KINDS))
    parser.add_argument("--photos", type=Path, help="a folder of JPEGs, at any depth, instead of generated ones")
    arguments = parser.parse_args()
    faiss.omp_set_num_threads(1)
    torch.set_num_threads(1)
    vectors, queries = _made_up(arguments.count, arguments.width, arguments.queries)
    print(f"{machine()}, faiss {faiss.__version__}, numpy {np.__version__}, torch {torch.__version__}")
    print(f"{arguments.count:,} vectors of {arguments.width:,} values, {len(queries)} queries, k {arguments.k}\n")
    with tempfile.TemporaryDirectory() as folder:
        indexes, rows = {}, []
        for kind in arguments.kinds.split(","):
            index, row = _kind(kind, vectors, queries, arguments.k, indexes.get("flat"), Path(folder) / kind)
            indexes[kind] = index
            rows.append(row)
        print(table(["kind", f"recall@{arguments.k}", "ms per query", "s to build", "MB on disk"], rows))
        data, run = Path(folder) / "data", Path(folder) / "run"
        sources = sorted(path for path in arguments.photos.rglob("*.jp*g")) if arguments.photos else []
        _write_data(data, vectors, [path.read_bytes() for path in sources])
        _write_run(run, arguments.width)
        facts = {
            "model": hash_file(run / MODEL, "sha256"),
            "splits": [SPLIT],
            "data": {"sha256": hash_file(data / "manifest.json", "sha256")},
        }
        size = tree_bytes(data) / arguments.count / 1e3
        print(f"\nmedian milliseconds on the page, over photos of {size:.0f} kB\n")
        rows = []
        for kind, index in indexes.items():
            object.__setattr__(index, "facts", facts)
            rows.append([f"`{kind}`", *_page(PhotoFinder(index, run, data), arguments.queries, arguments.k)])
        head = ["kind", "answer, processor", "answer", f"{arguments.k} pictures, processor", "pictures"]
        print(table(head, rows))


def _made_up(count: int, width: int, asked: int) -> tuple[PictureVectors, np.ndarray]:
    random = np.random.default_rng(0)
    scale = (1 / np.sqrt(np.arange(1, width + 1))).astype(np.float32)
    centres = scale * random.standard_normal((CLASSES, width), np.float32)
    labels = random.integers(0, CLASSES, count)

    def around(labels: np.ndarray, spread: float) -> np.ndarray:
        rows = random.standard_normal((len(labels), width), np.float32)
        rows *= spread * scale
        rows += centres[labels]
        return rows

    def of_length_1(rows: np.ndarray) -> np.ndarray:
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return rows

    shared = BETWEEN_DOMAINS * scale * random.standard_normal(width, np.float32)
    drawings = of_length_1(around(random.integers(0, CLASSES, asked), 1.3 * WITHIN) + shared)
    return PictureVectors(
        rows=of_length_1(around(labels, WITHIN)),
        labels=labels.astype(np.uint16),
        key_ids=random.permutation(count).astype(np.uint64),
        classes=tuple(f"class {label}" for label in range(CLASSES)),
    ), drawings


def _kind(
    kind: str, vectors: PictureVectors, queries: np.ndarray, k: int, flat: VectorIndex | None, folder: Path
) -> tuple[VectorIndex, list[str]]:
    started = time.process_time()
    index = make_vector_index(vectors, kind)
    built = time.process_time() - started
    folder.mkdir()
    write_vector_arrays(index, folder)
    index.search(queries[:1], k)
    found, took = [], []
    for query in queries:
        started = time.thread_time()
        (near,) = index.search(query[None], k)
        took.append(time.thread_time() - started)
        found.append(near.rows)
    exact = found if flat is None else [near.rows for near in flat.search(queries, k)]
    recall = np.mean([len(np.intersect1d(own, true)) / k for own, true in zip(found, exact, strict=True)])
    ms = 1000 * statistics.median(took)
    return index, [f"`{kind}`", f"{recall:.3f}", f"{ms:.1f}", f"{built:.0f}", f"{tree_bytes(folder) / 1e6:,.0f}"]


def _write_data(out: Path, vectors: PictureVectors, images: list[bytes]) -> None:
    """Write a data set of two domains that has the photos of an index, and nothing else."""
    images = images or [
        jpeg(word, 0, seed=0, side=400) for word in read_classes(manifest_path("quickdraw-categories.txt"))
    ]
    order, files = np.lexsort((vectors.key_ids, vectors.labels)), []
    spans = pictures.shard_spans(len(order))
    for shard, (start, stop) in enumerate(spans):
        rows = order[start:stop]
        labels, count = vectors.labels[rows], stop - start
        columns: dict[str, Any] = {name: [None] * count for name in pictures.schema().names} | {
            "key_id": vectors.key_ids[rows],
            "label": labels,
            "image": [images[row % len(images)] for row in rows.tolist()],
            "width": [400] * count,
            "height": [400] * count,
            "phash": np.zeros(count, np.uint64),
            **{name: [f"{row:064x}" for row in rows.tolist()] for name in ("photo", "photo_sha256")},
            "category": [vectors.classes[label] for label in labels.tolist()],
            "source": ["benchmark"] * count,
            "author": [f"person {row % 9973}" for row in rows.tolist()],
            "licence": ["CC BY 4.0"] * count,
            "page": [f"https://example.org/photos/{row}" for row in rows.tolist()],
        }
        path = out / pictures.shard_name(SPLIT, shard, len(spans))
        pictures.write_shard(path, pictures.to_table(columns, vectors.classes), {"split": SPLIT})
        files.append(file_entry(path, out, count))
    counts = np.bincount(vectors.labels, minlength=CLASSES).tolist()
    config = {"layout": "folders", "drawings": "vectors", "validation": [], "unseen": list(vectors.classes)}
    Manifest(
        name="sbir-benchmark",
        config={**config, "imagenet": []},
        classes=vectors.classes,
        counts={
            f"{group}-{domain}": dict(zip(vectors.classes, counts, strict=True))
            if f"{group}-{domain}" == SPLIT
            else dict.fromkeys(vectors.classes, 0)
            for group in GROUPS
            for domain in DOMAINS
        },
        rejects={},
        sources=(),
        files=tuple(files),
    ).write(out)


def _write_run(folder: Path, width: int) -> None:
    torch.manual_seed(0)
    folder.mkdir()
    write_space(
        folder,
        SpaceEncoder(
            SpaceArchitecture(
                backbone="efficientnet_lite0",
                size=SIZE,
                width=width,
                classes=("cat",),
                shared=True,
                head=width != 1280,
                normalise=True,
            )
        ),
    )
    write_json(folder / RECORD, {"trainer": "sbir", "options": {}, "classes": ["cat"], "manifest": "0" * 64})


def _page(finder: PhotoFinder, asked: int, k: int) -> list[str]:
    """Ask for drawings as the page does; return what its columns say."""
    random, times = np.random.default_rng(1), []
    with _served(create_app(finder, k=k)) as address, httpx.Client(base_url=address, trust_env=False) as client:

        def answer() -> list[dict[str, Any]]:
            question = {"strokes": _strokes(random)}
            response = client.post("/api/search", headers={"Origin": address}, json=question)
            found: list[dict[str, Any]] = response.raise_for_status().json()["results"]
            return found

        answer()
        with ThreadPoolExecutor(CONNECTIONS) as connections:
            for _ in range(asked):
                finder.store.thumbnail.cache_clear()
                answered = measure(answer)
                addresses = [each["data"] for each in answered.value]
                shown = measure(lambda addresses=addresses: list(connections.map(client.get, addresses)))
                for response in shown.value:
                    response.raise_for_status()
                times.append((answered.cpu, answered.wall, shown.cpu, shown.wall))
    return [f"{1000 * statistics.median(column):.0f}" for column in zip(*times, strict=True)]


def _strokes(random: np.random.Generator) -> list[list[list[float]]]:
    """Return one to eight lines of some forty points each."""
    walks = random.normal(0, 12, (int(random.integers(1, 9)), 40, 2)).cumsum(axis=1) + 256
    return [[walk[:, 0].tolist(), walk[:, 1].tolist()] for walk in walks]


@contextmanager
def _served(app: Callable[..., Any]) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


if __name__ == "__main__":
    main()
