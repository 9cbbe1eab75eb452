"""Miniature folders of edge maps, as `edgemaps extract` leaves them, each beside the crops that it was made from.

The edge maps are generated drawings with lines of one pixel, and among them messy ones: the same drawings under loose
ends and speckle, as a photo's background leaves them. The crops show the drawing's outline filled with colours.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sketchdata.drawings.raster import raster
from sketchdata.edges import centre
from sketchdata.photos.image import Photo, perceptual_hash
from sketchdata.storage import pictures
from sketchdata.storage.catalog import manifest_path, read_classes
from sketchdata.storage.manifest import MANIFEST_NAME, Manifest, ParentEntry, file_entry, hash_file
from sketchdata.synth import generate

CLASSES = read_classes(manifest_path("quickdraw-categories.txt"))
#: Two classes with enough edge maps for percentiles, one with few, of which one has a space in its name.
EDGE_MAPS = {"apple": 40, "ice cream": 30, "star": 8}
#: Every so many edge maps of a class one is messy.
MESSY_EVERY = 8
SHARD_ROWS = 32
SOURCES = ("voc", "openverse", "urls")
LICENCES = ("CC BY 4.0", "CC0 1.0", "CC BY-SA 2.0", None)

_PHOTO_SIDE = 160


@dataclass(frozen=True, kw_only=True)
class EdgeMapSet:
    """A folder of edge maps beside its crops.

    Attributes:
        edges: The folder of the edge maps.
        crops: The folder of the crops.
        manifest: Of the edge maps.
        messy: key_ids of the edge maps that were made messy.
    """

    edges: Path
    crops: Path
    manifest: Manifest
    messy: frozenset[int]


def make_edge_maps(folder: Path, counts: Mapping[str, int] = EDGE_MAPS, *, seed: int = 0) -> EdgeMapSet:
    """Write `folder/edges` and `folder/crops`.

    Every third photo of a class has two crops, so that photos and pictures differ.

    Args:
        folder: Where to.
        counts: {class: edge maps}.
        seed: Another one gives other pictures.
    """
    rows = [row for word, count in counts.items() for row in _class_rows(word, count, seed)]
    rows.sort(key=lambda row: (row["label"], row["key_id"]))
    crops = _write(folder / "crops", "edgemap-crops", [{**row, **_picture(row["crop"], ".jpg")} for row in rows], None)
    parent = ParentEntry(name=crops.name, sha256=hash_file(folder / "crops" / MANIFEST_NAME, "sha256"))
    edges = [{**row, **_picture(row["edges"], ".png")} for row in rows]
    return EdgeMapSet(
        edges=folder / "edges",
        crops=folder / "crops",
        manifest=_write(folder / "edges", "edgemap-edges", edges, parent),
        messy=frozenset(row["key_id"] for row in rows if row["messy"]),
    )


def messy_lines(shape: tuple[int, int], chance: np.random.Generator) -> Any:
    """Draw loose ends and speckle: (H, W) uint8 of 0 and 255."""
    height, width = shape
    noise = np.where(chance.random(shape) < 0.015, 255, 0).astype(np.uint8)
    for _ in range(60):
        x, y = chance.integers(0, width), chance.integers(0, height)
        dx, dy = chance.integers(-14, 15, 2)
        cv2.line(noise, (int(x), int(y)), (int(x + dx), int(y + dy)), 255)
    return noise


def _class_rows(word: str, count: int, seed: int) -> list[dict[str, Any]]:
    label = CLASSES.index(word)
    drawn = generate(word, 2 * count + 20, seed=seed, label=label)
    # What the game would not have guessed is mostly noise already.
    ink = raster(drawn.take(np.flatnonzero(drawn.recognized)[:count]))
    return [_row(word, label, number, ink[number], seed) for number in range(count)]


def _row(word: str, label: int, number: int, ink: Any, seed: int) -> dict[str, Any]:
    chance = np.random.default_rng([seed, label, number])
    messy = number % MESSY_EVERY == MESSY_EVERY - 1
    # Two crops come of photo 0, 3, 6, …; the second one is the row after it.
    photo = number - 1 if number % 3 == 1 else number
    photo_sha256 = hashlib.sha256(f"{seed} {word} {photo}".encode()).hexdigest()
    box = (10 * (number - photo), 5, 150, 155)
    return {
        "key_id": pictures.picture_id(photo_sha256, box, word),
        "label": label,
        "edges": centre(np.maximum(ink, messy_lines(ink.shape, chance)) if messy else ink),
        "crop": _photo_of(ink, chance),
        "messy": messy,
        "photo": f"https://photos.example/{word}/{photo}.jpg",
        "photo_sha256": photo_sha256,
        **dict(zip(("x0", "y0", "x1", "y1"), box, strict=True)),
        "category": word,
        "source": SOURCES[photo // 3 % len(SOURCES)],
        "page": f"https://photos.example/pages/{photo}",
        "author": f"photographer {photo % 5}",
        "licence": LICENCES[photo % len(LICENCES)],
        "title": f"{word} {photo}",
        "fetched": datetime.date(2024, 5, 6),
    }


def _photo_of(ink: Any, chance: np.random.Generator) -> Photo:
    """Return (H, W, 3): the drawing's outlines filled, on a soft ground."""
    shape = ink.shape[::-1]
    photo = cv2.resize(chance.integers(150, 220, (3, 3, 3), np.uint8), shape, interpolation=cv2.INTER_CUBIC)
    outlines, _ = cv2.findContours(ink, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(photo, outlines, -1, chance.integers(20, 120, 3).tolist(), cv2.FILLED)
    return np.asarray(cv2.resize(photo, (_PHOTO_SIDE, _PHOTO_SIDE * 3 // 4), interpolation=cv2.INTER_AREA), np.uint8)


def _picture(picture: Any, suffix: str) -> dict[str, Any]:
    encoded, content = cv2.imencode(suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    assert encoded
    height, width = picture.shape[:2]
    return {"image": content.tobytes(), "width": width, "height": height, "phash": perceptual_hash(picture)}


def _write(out: Path, name: str, rows: Sequence[Mapping[str, Any]], parent: ParentEntry | None) -> Manifest:
    columns = {key: [row[key] for row in rows] for key in pictures.schema().names if key != "word"}
    table, shards, files = pictures.to_table(columns, CLASSES), -(-len(rows) // SHARD_ROWS), []
    for shard in range(shards):
        path = out / pictures.shard_name(pictures.UNDIVIDED, shard, shards)
        pictures.write_shard(path, table.slice(shard * SHARD_ROWS, SHARD_ROWS), {"name": name})
        files.append(file_entry(path, out, min(SHARD_ROWS, len(rows) - shard * SHARD_ROWS)))
    for extra in ("README.md", "rejects.jsonl"):
        (out / extra).write_text("" if extra.endswith("l") else f"# {name}\n", encoding="utf-8")
        files.append(file_entry(out / extra, out, 0))
    found = np.bincount(table.column("label").to_numpy(), minlength=len(CLASSES)).tolist()
    config = {"detector": "canny", "size": 224, "fill": 0.9, "ink": "black", "channels": 3} if parent else {}
    manifest = Manifest(
        name=name,
        config=config,
        classes=CLASSES,
        counts={pictures.UNDIVIDED: dict(zip(CLASSES, found, strict=True))},
        rejects={},
        sources=(),
        files=tuple(sorted(files, key=lambda entry: entry.path)),
        parent=parent,
    )
    manifest.write(out)
    return manifest
