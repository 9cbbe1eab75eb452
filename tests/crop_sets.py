"""Small sets of crops, as `edgemaps crop` leaves them, of generated photos and of whatever bytes a test wants."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from sketchdata.storage import pictures
from sketchdata.storage.catalog import manifest_path, read_classes
from sketchdata.storage.manifest import Manifest, file_entry

CLASSES = read_classes(manifest_path("quickdraw-categories.txt"))
CROPS = {"apple": 7, "ice cream": 5, "star": 6}
SHARD_ROWS = 8


def shape_photo(number: int, size: tuple[int, int] = (120, 160)) -> npt.NDArray[np.uint8]:
    """Return (H, W, 3): an ellipse, each number of another place, colour and slant, on a shaded ground with grain."""
    chance, (height, width) = np.random.default_rng(number), size
    ground = cv2.resize(chance.integers(150, 220, (3, 3, 3), np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)
    middle = (int(width * chance.uniform(0.4, 0.6)), int(height * chance.uniform(0.4, 0.6)))
    axes = (int(width * chance.uniform(0.15, 0.3)), int(height * chance.uniform(0.15, 0.3)))
    colour = chance.integers(10, 100, 3).tolist()
    cv2.ellipse(ground, middle, axes, chance.uniform(0, 180), 0, 360, colour, cv2.FILLED, cv2.LINE_AA)
    grainy = ground + chance.normal(0, 2, ground.shape)
    return np.clip(grainy, 0, 255).astype(np.uint8)


def jpeg(photo: npt.NDArray[np.uint8]) -> bytes:
    encoded, content = cv2.imencode(".jpg", photo[:, :, ::-1], (cv2.IMWRITE_JPEG_QUALITY, 95))
    assert encoded
    return content.tobytes()


def make_crops(
    out: Path,
    counts: Mapping[str, int] = CROPS,
    *,
    odd: Mapping[int, bytes] | None = None,
    shard_rows: int = SHARD_ROWS,
) -> Manifest:
    """Write a set of crops.

    Args:
        out: Where to.
        counts: {class: crops}.
        odd: {row: bytes} that take the place of the crop in that row.
        shard_rows: Rows in a shard at most.
    """
    rows = [_row(word, number) for word, count in counts.items() for number in range(count)]
    rows.sort(key=lambda row: (row["label"], row["key_id"]))
    for row, content in (odd or {}).items():
        rows[row]["image"] = content
    return _write(out, rows, shard_rows)


def _row(word: str, number: int) -> dict[str, Any]:
    label = CLASSES.index(word)
    photo = shape_photo(1000 * label + number, (100 + 10 * (number % 3), 160 - 30 * (number % 4)))
    sha256, box = hashlib.sha256(f"{word} {number}".encode()).hexdigest(), (number, 5, 150, 115) if number % 2 else None
    return {
        "key_id": pictures.picture_id(sha256, box, word),
        "label": label,
        "image": jpeg(photo),
        "width": photo.shape[1],
        "height": photo.shape[0],
        "photo": f"https://photos.example/{word}/{number}.jpg",
        "photo_sha256": sha256,
        "phash": 977 * number + label,
        **dict(zip(("x0", "y0", "x1", "y1"), box or (None,) * 4, strict=True)),
        "category": word,
        "source": "voc",
        "page": f"https://photos.example/pages/{number}",
        "author": f"photographer {number % 3}",
        "licence": "CC BY 4.0" if number % 2 else None,
        "title": None,
        "fetched": datetime.date(2024, 5, 6),
    }


def _write(out: Path, rows: Sequence[Mapping[str, Any]], shard_rows: int) -> Manifest:
    columns = {name: [row[name] for row in rows] for name in pictures.schema().names if name != "word"}
    table, shards, files = pictures.to_table(columns, CLASSES), -(-len(rows) // shard_rows), []
    for shard in range(shards):
        path = out / pictures.shard_name(pictures.UNDIVIDED, shard, shards)
        part = table.slice(shard * shard_rows, shard_rows)
        pictures.write_shard(path, part, {"name": "edgemap-crops"})
        files.append(file_entry(path, out, part.num_rows))
    found = np.bincount(table.column("label").to_numpy(), minlength=len(CLASSES)).tolist()
    manifest = Manifest(
        name="edgemap-crops",
        config={"context": 0.1},
        classes=CLASSES,
        counts={pictures.UNDIVIDED: dict(zip(CLASSES, found, strict=True))},
        rejects={},
        sources=(),
        files=tuple(files),
    )
    manifest.write(out)
    return manifest
