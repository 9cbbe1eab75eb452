"""A tiny data set of drawings and photos of the same classes, all of them generated."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sketchdata import synth
from sketchdata.classes.vectors import write_vectors
from sketchdata.cross_domain.dataset import DOMAINS, DRAWINGS, GROUPS, PHOTOS, UNSEEN, VALIDATION, VECTORS
from sketchdata.drawings.drawing import concatenate
from sketchdata.drawings.raster import raster
from sketchdata.photos.crops import encode
from sketchdata.photos.image import decode, perceptual_hash
from sketchdata.storage import parquet, pictures
from sketchdata.storage.manifest import Manifest, file_entry
from sketchdata.synth.photos import jpeg

#: {group: classes}. One has a space in its name.
GROUP_CLASSES = {"seen": ("cat", "star", "house"), "validation": ("airplane",), "unseen": ("ice cream", "apple")}


def make_two_domains(
    out: Path,
    groups: Mapping[str, Sequence[str]] = GROUP_CLASSES,
    *,
    drawings: int = 8,
    photos: int = 5,
    side: int = 64,
    kind: str = VECTORS,
) -> Manifest:
    """Write a data set of two domains as `sketchdata build sbir` lays it out, and return its manifest.

    Args:
        out: Its folder.
        groups: {group: classes} of all three groups; the class table is by the alphabet.
        drawings: Drawings per class.
        photos: Photos per class.
        side: Of the photos, and of drawings that are pixels.
        kind: `vectors` or `pixels`, of the drawings.
    """
    classes = sorted(word for own in groups.values() for word in own)
    files, counts = [], {}
    for group in GROUPS:
        words = sorted(groups[group])
        labels = [classes.index(word) for word in words]
        made = [synth.generate(word, drawings, seed=0, label=label) for word, label in zip(words, labels, strict=True)]
        for domain in DOMAINS:
            split = f"{group}-{domain}"
            path, number = out / pictures.shard_name(split, 0, 1), drawings if domain == DRAWINGS else photos
            if domain == DRAWINGS and kind == VECTORS:
                parquet.write_shard(path, concatenate(made), classes, {"split": split})
            else:
                rows = []
                for word, label, own in zip(words, labels, made, strict=True):
                    if domain == PHOTOS:
                        images = [jpeg(word, each, seed=0, side=side) for each in range(photos)]
                    else:
                        images = [encode(np.stack([255 - ink] * 3, 2), "png") for ink in raster(own, size=side)]
                    rows += [_row(word, label, number, image) for number, image in enumerate(images)]
                columns = {name: [row[name] for row in rows] for name in pictures.schema().names}
                pictures.write_shard(path, pictures.to_table(columns, classes), {"split": split})
            files.append(file_entry(path, out, number * len(words)))
            counts[split] = {word: number if word in words else 0 for word in classes}
    manifest = Manifest(
        name="sbir-generated",
        config={
            "layout": "folders",
            "drawings": kind,
            VALIDATION: sorted(groups[VALIDATION]),
            UNSEEN: sorted(groups[UNSEEN]),
            "imagenet": [],
        },
        classes=tuple(classes),
        counts=counts,
        rejects={},
        sources=(),
        files=tuple(sorted(files, key=lambda entry: entry.path)),
    )
    manifest.write(out)
    return manifest


def _row(word: str, label: int, number: int, image: bytes) -> dict[str, Any]:
    picture, sha256 = decode(image), hashlib.sha256(image).hexdigest()
    row = dict.fromkeys(pictures.schema().names, None)
    return row | {
        "key_id": pictures.picture_id(sha256, None, word),
        "label": label,
        "image": image,
        "width": picture.shape[1],
        "height": picture.shape[0],
        "photo": f"{word}/{number}",
        "photo_sha256": sha256,
        "phash": perceptual_hash(picture),
        "category": word,
        "source": "generated",
        "author": "sketchdata",
        "licence": "CC0",
    }


def write_random_words(path: Path, groups: Mapping[str, Sequence[str]], **changed: float) -> Path:
    """Write a random vector of each class; those of some classes are multiplied by a number, or left out by 0."""
    words = sorted(word for own in groups.values() for word in own if changed.get(word, 1))
    rows = [np.random.default_rng(sum(word.encode())).normal(size=5) * changed.get(word, 1) for word in words]
    write_vectors(path, words, np.array(rows, np.float32), np.ones(len(words), np.int64), {})
    return path
