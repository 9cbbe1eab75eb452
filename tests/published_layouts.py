"""Miniature trees of published data sets of drawings and photos, with the true names of folders and files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import orjson

from sketchdata.photos.image import Photo
from tests.builds import official_line

SKETCHY = ("airplane", "car_(sedan)", "hot-air_balloon", "jack-o-lantern", "zebra")
#: {folder of the drawings: folder of the photos}.
TU_BERLIN = {
    "alarm clock": "alarmclock",
    "chandelier": "chandeler",
    "crane (machine)": "cranemachine",
    "diamond": "diamod",
    "giraffe": "griaffe",
    "hot-dog": "hotdog",
    "mouse (animal)": "mouse",
    "pipe (for smoking)": "pipe",
    "space shuttle": "spacesshuttle",
    "spider": "spidar",
    "trombone": "tromobone",
    "wrist-watch": "wristwatching",
}
_WNID = "n02691156"


def picture(name: str, suffix: str, side: int = 32) -> bytes:
    """Return a small picture of soft blots; other names give other pictures."""
    chance = np.random.default_rng(list(hashlib.sha256(name.encode()).digest()[:8]))
    blots: Photo = chance.integers(0, 256, (4, 4, 3), np.uint8)
    done, content = cv2.imencode(suffix, cv2.resize(blots, (side, side), interpolation=cv2.INTER_CUBIC))
    assert done
    return content.tobytes()


def put(path: Path, content: bytes | None = None) -> Path:
    """Write a file, by default a picture that its path decides; return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    suffix = ".jpg" if path.suffix.lower() in (".jpg", ".jpeg") else path.suffix
    path.write_bytes(picture("/".join(path.parts[-2:]), suffix) if content is None else content)
    return path


def sketchy(root: Path, classes: Sequence[str] = SKETCHY, photos: int = 3) -> Path:
    """Write Sketchy: two drawings of each photo in two renderings, and photos that nobody drew."""
    for word in classes:
        for number in range(photos):
            stem = f"{_WNID}_{hashlib.sha256(f'{word}{number}'.encode()).digest()[0]}{number}"
            put(root / "EXTEND_image_sketchy" / word / f"{stem}.jpg")
            put(root / "256x256" / "photo" / "tx_000000000000" / word / f"{stem}.jpg")
            put(root / "EXTEND_image_sketchy" / word / f"ext_{number}.jpg")
            for drawing in (1, 2):
                for rendering in ("tx_000000000000", "tx_000100000000"):
                    put(root / "256x256" / "sketch" / rendering / word / f"{stem}-{drawing}.png")
    return root


def tu_berlin(root: Path, count: int = 2) -> Path:
    """Write TU-Berlin's drawings and the photos that belong to them, whose folders are spelled otherwise."""
    for place, (drawn, shot) in enumerate(TU_BERLIN.items()):
        for number in range(count):
            put(root / "png" / drawn / f"{80 * place + number + 1}.png")
            put(root / "ImageResized" / shot / f"n0{place}_{number}.JPEG")
    return root


def quickdraw_extended(root: Path, classes: Sequence[str], unseen: Sequence[str], listed: int = 6) -> Path:
    """Write official drawings, photos, and the key_ids of the unseen classes as ZSE-SBIR lists them; two do not exist.

    Args:
        root: Folder of all of it.
        classes: All classes.
        unseen: Those of them that have lists.
        listed: Drawings per class that are listed, of 10.
    """
    lines = []
    for word in classes:
        records = [orjson.loads(official_line(word, number)) for number in range(10)]
        put(root / "full" / "simplified" / f"{word}.ndjson", b"".join(orjson.dumps(each) + b"\n" for each in records))
        for number in range(3):
            put(root / "QuickDraw_images_final" / word.replace(" ", "_") / f"{number}.jpg")
        if word in unseen:
            ids = [record["key_id"] for record in records[:listed]]
            lines += [f"sketches/{word}/{key_id}.png {unseen.index(word)}\n" for key_id in ids]
    lines += [f"sketches/{unseen[0]}/{key_id}.png 0\n" for key_id in (17, 18)]
    seen = [word for word in classes if word not in unseen]
    for name, words in (("cname_cid.txt", seen), ("cname_cid_zero.txt", unseen)):
        put(root / "lists" / name, "".join(f"{word} {cid}\n" for cid, word in enumerate(words)).encode())
    put(root / "lists" / "sketch_zero.txt", "".join(lines).encode())
    return root


def sake(
    root: Path, seen: Sequence[str] = ("airplane", "car_(sedan)", "zebra"), unseen: Sequence[str] = ("bat",)
) -> Path:
    """Write Sketchy as SAKE's lists name it: `root`/zeroshot1 has the lists, and one listed photo is not there."""
    drawings, photos = "256x256/sketch/tx_000000000000_ready", "EXTEND_image_sketchy_ready"
    lists = root / "zeroshot1"
    seen, unseen = ("airplane", "car_(sedan)", "zebra"), ("bat",)
    for name, words in (("cname_cid.txt", seen), ("cname_cid_zero.txt", unseen)):
        put(lists / name, "".join(f"{word} {cid}\n" for cid, word in enumerate(words)).encode())
    for part, words in (("train", seen), ("zero", unseen)):
        texts = {"sketch_tx_000000000000_ready_filelist": "", "all_photo_filelist": ""}
        for cid, word in enumerate(words):
            for number in range(2):
                stem = f"{_WNID}_{cid}{number}"
                for name, path in zip(
                    texts, (f"{drawings}/{word}/{stem}-1.png", f"{photos}/{word}/{stem}.jpg"), strict=True
                ):
                    put(root / path)
                    texts[name] += f"{path} {cid}\n"
        texts["all_photo_filelist"] += f"{photos}/{words[0]}/lost_{part}.jpg 0\n"
        for name, text in texts.items():
            put(lists / f"{name}_{part}.txt", text.encode())
    return root
