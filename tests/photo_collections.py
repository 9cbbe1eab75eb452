"""Miniature folders of generated photos and of crops, laid out as `edgemaps collect` and `edgemaps crop` leave them."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from sketchdata.engine import EngineOptions
from sketchdata.photos.collection import (
    BOXES_FILE,
    NAME,
    PHOTOS_FILE,
    PHOTOS_SCHEMA,
    boxes_table,
    photos_table,
    store_photo,
    write_table,
)
from sketchdata.photos.image import DEFAULT_LIMITS, Photo, crop, perceptual_hash
from sketchdata.pipelines import edgemaps_crop
from sketchdata.storage import pictures
from sketchdata.storage.catalog import manifest_path, read_classes
from sketchdata.storage.manifest import Manifest, ParentEntry, file_entry
from tests.builds import IN_PROCESS

CLASSES = read_classes(manifest_path("quickdraw-categories.txt"))
_ORIENTATION = 0x0112
#: Crops of a few classes, of which one has a space in its name.
CROPS = {"apple": 5, "cat": 6, "ice cream": 4}


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A photo of one object, and the box that just holds the object."""

    photo: Photo
    box: pictures.Box


def scene(kind: int, number: int, size: tuple[int, int] = (320, 240)) -> Scene:
    """Draw a striped polygon or star on a ground of soft, noisy colours.

    Args:
        kind: Decides the number of corners: one kind a class.
        number: Decides everything else: place, turn, colours.
        size: Width and height of the photo.
    """
    chance, (width, height) = np.random.default_rng([kind, number]), size
    photo = cv2.resize(chance.integers(70, 190, (4, 5, 3), np.uint8), size, interpolation=cv2.INTER_CUBIC)
    radius = min(size) * chance.uniform(0.18, 0.32)
    middle = chance.uniform(radius, np.array(size) - radius)
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [_outline(kind, middle, radius, chance)], 1)
    photo[mask > 0] = _stripes(size, radius, chance)[mask > 0]
    photo = np.clip(photo + chance.normal(0, 4, photo.shape), 0, 255).astype(np.uint8)
    left, top, wide, high = cv2.boundingRect(mask)
    return Scene(photo=photo, box=(left, top, left + wide, top + high))


def _outline(kind: int, middle: Any, radius: float, chance: np.random.Generator) -> Any:
    corners = 3 + kind % 5
    angles = chance.uniform(0, 2 * np.pi) + np.arange(2 * corners) * np.pi / corners
    reach = np.where(np.arange(2 * corners) % 2, radius * chance.uniform(0.4, 0.95), radius)
    points = middle + reach[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return np.rint(points).astype(np.int32)


def _stripes(size: tuple[int, int], radius: float, chance: np.random.Generator) -> Photo:
    """Return (H, W, 3) stripes between a dark and a bright colour."""
    x, y = np.meshgrid(*map(np.arange, size))
    turn, width = chance.uniform(0, np.pi), radius * chance.uniform(0.3, 0.9)
    wave = np.sin((x * np.cos(turn) + y * np.sin(turn)) * np.pi / width + chance.uniform(0, 6)) > 0
    dark, bright = chance.integers(0, 50, 3, np.uint8), chance.integers(205, 255, 3, np.uint8)
    return np.where(wave[:, :, None], bright, dark)


def encoded(photo: Photo, suffix: str = ".png") -> bytes:
    """Encode (H, W, 3) RGB or (H, W) grey."""
    done, content = cv2.imencode(suffix, photo if photo.ndim == 2 else cv2.cvtColor(photo, cv2.COLOR_RGB2BGR))
    assert done
    return bytes(content.tobytes())


# ---- PHOTOS ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Shot:
    """A photo to be collected, and what is said of it.

    Attributes:
        content: The file; None for a photo that could not be downloaded.
        annotations: (class, box) each, None standing for the whole photo.
        flags: Of all its boxes.
        size: Width and height of one that is damaged, and could not be stored today.
    """

    content: bytes | None
    annotations: Sequence[tuple[str, pictures.Box | None]]
    flags: tuple[str, ...] = ()
    size: tuple[int, int] | None = None


def shot(word: str, number: int, *, orientation: int = 1, boxed: bool = True, flags: tuple[str, ...] = ()) -> Shot:
    """Return a photo of one object of a class, as a PNG file.

    Args:
        word: The class.
        number: Which one of it.
        orientation: Of EXIF, 1, 3 or 6; the file's pixels are turned so that the photo is the same when upright.
        boxed: Whether its box is known.
        flags: Of its box.
    """
    made = scene(CLASSES.index(word), number)
    stored = {1: made.photo, 3: made.photo[::-1, ::-1], 6: np.rot90(made.photo)}[orientation]
    exif, file = Image.Exif(), io.BytesIO()
    exif[_ORIENTATION] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(file, "PNG", exif=exif, compress_level=1)
    return Shot(content=file.getvalue(), annotations=[(word, made.box if boxed else None)], flags=flags)


def make_photos(out: Path, shots: Mapping[str, Shot]) -> Manifest:
    """Write a folder of photos as `edgemaps collect` lays it out, and return its manifest.

    Args:
        out: The folder.
        shots: {photo's name: photo}.
    """
    photos = [_photo_row(out, name, each) for name, each in shots.items()]
    boxes = [_box_row(name, each, *pair) for name, each in shots.items() for pair in each.annotations]
    tables = {PHOTOS_FILE: photos_table(_columns(photos)), BOXES_FILE: boxes_table(_columns(boxes))}
    for name, table in tables.items():
        write_table(out / name, table)
    words = Counter(row["word"] for row in boxes)
    manifest = Manifest(
        name=NAME,
        config={},
        classes=CLASSES,
        counts={pictures.UNDIVIDED: {word: words[word] for word in CLASSES}},
        rejects={},
        sources=(),
        files=tuple(file_entry(out / name, out, len(table)) for name, table in sorted(tables.items())),
    )
    manifest.write(out)
    return manifest


def _photo_row(out: Path, name: str, made: Shot) -> dict[str, Any]:
    row = dict.fromkeys(PHOTOS_SCHEMA.names, None)
    row |= {"photo": name, "source": "voc", "page": f"https://photos.example/{name}", "licence": "CC BY 4.0"}
    row["fetched"] = datetime.date(2024, 5, 6)
    if made.content is None:
        return row | {"status": "failed", "error": "http 404"}
    if made.size is None:
        return row | {"status": "ok", **dataclasses.asdict(store_photo(made.content, out, DEFAULT_LIMITS))}
    sha256 = hashlib.sha256(made.content).hexdigest()
    path = f"photos/{sha256[:2]}/{sha256}.png"
    (out / path).parent.mkdir(parents=True, exist_ok=True)
    (out / path).write_bytes(made.content)
    found = {"sha256": sha256, "path": path, "width": made.size[0], "height": made.size[1]}
    return row | {"status": "ok", "bytes": len(made.content), "format": "PNG", **found}


def _box_row(name: str, made: Shot, word: str, box: pictures.Box | None) -> dict[str, Any]:
    edges = dict(zip(("x0", "y0", "x1", "y1"), box or [None] * 4, strict=True))
    return {"photo": name, "word": word, "category": f"a {word}", **edges, "flags": made.flags, "where": f"{name}.xml"}


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in rows[0]}


def crops_of(photos: Path, out: Path, engine: EngineOptions = IN_PROCESS, **options: Any) -> Manifest:
    """Crop a folder of photos in this process, and return the crops' manifest."""
    manifest = edgemaps_crop.run(photos, edgemaps_crop.Config(out=out, **options), engine)
    assert manifest is not None
    return manifest


# ---- CROPS, without having been cropped ------------------------------------------------------------------------------


def make_crops(out: Path, counts: Mapping[str, int] = CROPS, *, size: tuple[int, int] = (320, 240)) -> Manifest:
    """Write a folder of crops as `edgemaps crop` lays it out, and return its manifest.

    Args:
        out: The folder.
        counts: {class: crops}.
        size: Of the photos that are cropped, width and height.
    """
    rows = [_crop_row(word, number, size) for word, count in counts.items() for number in range(count)]
    table = pictures.to_table(_columns(rows), CLASSES)
    order = pictures.row_numbers(table.column("label").to_numpy(), table.column("key_id").to_numpy())
    table, spans = table.take(order), pictures.shard_spans(len(rows))
    files = []
    for shard, (start, stop) in enumerate(spans):
        path = out / pictures.shard_name(pictures.UNDIVIDED, shard, len(spans))
        pictures.write_shard(path, table.slice(start, stop - start), {"name": "edgemap-crops"})
        files.append(file_entry(path, out, stop - start))
    for name, text in (("README.md", "# Crops\n"), ("duplicates.csv", ""), ("rejects.jsonl", "")):
        (out / name).write_text(text, encoding="utf-8")
        files.append(file_entry(out / name, out, 0))
    manifest = Manifest(
        name="edgemap-crops",
        config={"context": 0.1, "min_size": 32},
        classes=CLASSES,
        counts={pictures.UNDIVIDED: {word: counts.get(word, 0) for word in CLASSES}},
        rejects={},
        sources=(),
        files=tuple(sorted(files, key=lambda entry: entry.path)),
        parent=ParentEntry(name="edgemap-photos", sha256="ab" * 32),
    )
    manifest.write(out)
    return manifest


def _crop_row(word: str, number: int, size: tuple[int, int]) -> dict[str, Any]:
    label = CLASSES.index(word)
    made = scene(label, number, size)
    photo_sha256 = hashlib.sha256(encoded(made.photo)).hexdigest()
    picture = crop(made.photo, made.box)
    name = f"photos/{word}/{number}.png"
    return {
        "key_id": pictures.picture_id(photo_sha256, made.box, word),
        "label": label,
        "image": encoded(picture, ".jpg"),
        "width": picture.shape[1],
        "height": picture.shape[0],
        "photo": name,
        "photo_sha256": photo_sha256,
        "phash": perceptual_hash(picture),
        **dict(zip(("x0", "y0", "x1", "y1"), made.box, strict=True)),
        "category": word,
        "source": "voc",
        "page": f"https://photos.example/{number}",
        "author": f"photographer {number}",
        "licence": "CC BY 4.0",
        "title": f"{word} {number}",
        "fetched": datetime.date(2024, 5, 6),
    }
