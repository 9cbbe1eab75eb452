"""Edge maps: every detector that is at hand, and what a notebook would use, on the same photos in the same run.

    python benchmarks/edges.py [--photos 6000] [--network-photos 32] [--structured model.yml.gz]

Photos have 480 × 320 pixels, as JPEG of quality 95: those of BSDS500 where SKETCHDATA_REAL_DATA names a folder of them,
else generated ones. The steps of one photo are in milliseconds of one core's processor time, the best of three rounds;
thinning is left out where a detector's edges are thin already. The whole command goes from Parquet to Parquet with two
workers, and their start is included: photos per second by the clock, and processor time per photo of all processes.
Weights of tin and pidinet come from the same folder. Only ratios of the same run mean something on another machine.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from measure import Run, machine, measure, table
from skimage.color import rgb2gray
from skimage.feature import canny as skimage_canny

from sketchdata.edges import EDGE_DETECTORS, THIN_DETECTORS, Detector, centre, detector, learned, thin
from sketchdata.engine import EngineOptions
from sketchdata.photos.image import Photo, decode
from sketchdata.pipelines import edgemaps_extract as recipe
from sketchdata.storage import pictures
from sketchdata.storage.catalog import manifest_path, read_classes
from sketchdata.storage.manifest import Manifest, file_entry

WIDTH, HEIGHT = 480, 320
REPEATS, WORKERS = 3, 2
STEPS = ("decode", "detect", "thin", "centre", "encode")
BASELINES: dict[str, Callable[[Photo], object]] = {
    "cv2.Canny on grey, 100/200": lambda photo: cv2.Canny(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), 100, 200),
    "skimage.feature.canny on grey, σ = √2": lambda photo: skimage_canny(rgb2gray(photo), sigma=2**0.5),
}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A detector to be measured: what the table calls it, its own name, its weights."""

    title: str
    name: str
    weights: Path | None = None

    def make(self) -> Detector:
        return detector(self.name, self.weights)


def main() -> None:
    """Measure every detector, print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=6000)
    parser.add_argument("--network-photos", type=int, default=32, help="photos for networks, which are slow")
    parser.add_argument("--structured", type=Path, help="model of Structured Edges: model.yml.gz")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    contents, kind = _photos(arguments.photos)
    head = [
        "ms per photo",
        *STEPS,
        "all",
        "photos/s, one core",
        "by two workers",
        "ms of processor time, all in all",
        "detect, as multiple of ours",
    ]
    rows, canny_seconds = [], 0.0
    for entry in _entries(arguments.structured):
        some = contents[: arguments.network_photos] if entry.name not in EDGE_DETECTORS else contents
        seconds = _steps(entry, some[: max(len(some) // 4, 8)])
        canny_seconds = canny_seconds or seconds["detect"]
        run = _whole_command(entry, some)
        whole = (f"{len(some) / run.wall:.0f}", f"{1e3 * run.cpu / len(some):.2f}")
        multiple = f"{seconds['detect'] / canny_seconds:.2f}"
        rows.append([entry.title, *_cells(seconds), *whole, multiple])
        print(" ".join(rows[-1]), file=sys.stderr)
    for title, find in BASELINES.items():
        seconds = _best(find, [decode(content) for content in contents[:64]])
        rows.append([title, "", f"{1e3 * seconds:.2f}", *[""] * 7, f"{seconds / canny_seconds:.2f}"])
    print(f"{machine()}; {kind} photos of {WIDTH} × {HEIGHT}\n\n{table(head, rows)}")


def _photos(count: int) -> tuple[list[bytes], str]:
    """Return JPEGs, as many as are wanted, and what they show."""
    if "SKETCHDATA_REAL_DATA" in os.environ:
        folder = Path(os.environ["SKETCHDATA_REAL_DATA"]) / "photos" / "bsds500" / "images" / "test"
        read = [decode(path.read_bytes()) for path in sorted(folder.glob("*.jpg"))]
        different, kind = [_landscape(photo) for photo in read], "real"
    else:
        different, kind = [_generated(number) for number in range(64)], "generated"
    contents = [_jpeg(photo) for photo in different]
    return [contents[number % len(contents)] for number in range(count)], kind


def _landscape(photo: Photo) -> Photo:
    upright = photo if photo.shape[1] >= photo.shape[0] else np.rot90(photo)
    return np.asarray(cv2.resize(upright, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA), np.uint8)


def _generated(number: int) -> Photo:
    """Return ellipses of many sizes on a shaded ground with grain."""
    chance = np.random.default_rng(number)
    ground = chance.integers(60, 220, (4, 6, 3), np.uint8)
    photo = cv2.resize(ground, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    for _ in range(40):
        middle = (int(chance.integers(WIDTH)), int(chance.integers(HEIGHT)))
        axes = tuple(int(axis) for axis in chance.integers(4, 70, 2))
        cv2.ellipse(
            photo, middle, axes, chance.uniform(0, 180), 0, 360, chance.integers(0, 256, 3).tolist(), cv2.FILLED
        )
    return np.clip(photo + chance.normal(0, 4, photo.shape), 0, 255).astype(np.uint8)


def _jpeg(photo: Photo) -> bytes:
    _, content = cv2.imencode(".jpg", photo[:, :, ::-1], (cv2.IMWRITE_JPEG_QUALITY, 95))
    return content.tobytes()


def _entries(structured: Path | None) -> list[Entry]:
    """Return the detectors for which all is at hand; canny first."""
    entries = [Entry(title=name, name=name) for name in EDGE_DETECTORS]
    if learned.WEIGHTS.is_file():
        entries.append(Entry(title="learned", name="learned"))
    if "SKETCHDATA_REAL_DATA" in os.environ:
        folder = Path(os.environ["SKETCHDATA_REAL_DATA"]) / "edge_weights"
        entries += [
            Entry(title=path.stem.removeprefix("table5_"), name=path.parent.name, weights=path)
            for path in sorted(folder.glob("*/*.pth"))
        ]
    if structured is not None:
        entries.append(Entry(title="structured", name="structured", weights=structured))
    return entries


def _best(work: Callable[[object], object], items: Sequence[object]) -> float:
    """Return the processor seconds an item, in the best of some rounds."""
    rounds = []
    for _ in range(REPEATS):
        started = time.process_time()
        for item in items:
            work(item)
        rounds.append((time.process_time() - started) / len(items))
    return min(rounds)


def _steps(entry: Entry, contents: Sequence[bytes]) -> dict[str, float]:
    """Return the seconds per photo that each step takes; each gets what the one before it made."""
    find, seconds, items = entry.make(), {}, list(contents)
    works: dict[str, Callable[..., object]] = dict(
        zip(STEPS, (decode, find, None if entry.name in THIN_DETECTORS else thin, centre, recipe.png), strict=True)
    )
    for step, work in works.items():
        if work is not None:
            seconds[step] = _best(work, items)
            items = [work(item) for item in items]
    return seconds


def _cells(seconds: dict[str, float]) -> list[str]:
    steps = [f"{1e3 * seconds[step]:.2f}" if step in seconds else "–" for step in STEPS]
    total = sum(seconds.values())
    return [*steps, f"{1e3 * total:.2f}", f"{1 / total:.0f}"]


def _whole_command(entry: Entry, contents: Sequence[bytes]) -> Run:
    """Run what `edgemaps extract` runs, over a set of crops with two workers."""
    folder = Path(tempfile.mkdtemp())
    try:
        _write_crops(folder / "crops", contents)
        weights = None if entry.weights is None else str(entry.weights)
        config = recipe.Config(out=folder / "edges", detector=entry.name, weights=weights)
        return measure(lambda: recipe.run(folder / "crops", config, EngineOptions(workers=WORKERS)))
    finally:
        shutil.rmtree(folder)


def _write_crops(out: Path, contents: Sequence[bytes]) -> None:
    """Write a set of crops in shards enough for every worker."""
    classes, count = read_classes(manifest_path("quickdraw-categories.txt")), len(contents)
    same = {"label": 0, "width": WIDTH, "height": HEIGHT, "phash": 0, "photo_sha256": "00" * 32, "source": "benchmark"}
    columns = {name: [same.get(name)] * count for name in pictures.schema().names if name != "word"}
    columns |= {"key_id": list(range(count)), "photo": [f"{row}.jpg" for row in range(count)], "image": list(contents)}
    rows = pictures.to_table({**columns, "category": ["none"] * count}, classes)
    shards, files = 2 * WORKERS, []
    for shard in range(shards):
        start, stop = count * shard // shards, count * (shard + 1) // shards
        path = out / pictures.shard_name(pictures.UNDIVIDED, shard, shards)
        pictures.write_shard(path, rows.slice(start, stop - start), {})
        files.append(file_entry(path, out, stop - start))
    counts = {pictures.UNDIVIDED: {classes[0]: count}}
    parts = {"config": {}, "rejects": {}, "sources": (), "classes": classes, "counts": counts, "files": tuple(files)}
    Manifest(name="edgemap-crops", **parts).write(out)


if __name__ == "__main__":
    main()
