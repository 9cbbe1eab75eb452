"""Folders of generated photos with boxes, in the formats that `edgemaps collect` reads, and the command itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sketchdata.engine import EngineOptions
from sketchdata.photos.crawl import CrawlOptions
from sketchdata.pipelines import edgemaps_collect
from tests.photo_servers import PhotoServer, photo_of
from tests.photos.labelled_photos import voc, voc_object, write

#: So that days do not differ: 2024-05-06.
EPOCH = {"SOURCE_DATE_EPOCH": "1714953600"}
SIDE = 64
#: Of a loopback server, quickly.
NEARBY: dict[str, Any] = {"allow_private": True, "delay": 0.0, "fetch_retries": 0, "contact": "me@example.org"}
IN_PROCESS = EngineOptions(workers=0)


def yolo_folder(folder: Path, names: Sequence[str] = ("cat", "person", "teddy bear"), photos: int = 6) -> Path:
    """Write a YOLO folder: photo n has boxes of the classes n and n + 1, in turn."""
    for number in range(photos):
        write(folder / "images" / "train" / f"{number}.jpg", photo_of(f"/{folder.name}/{number}.jpg", SIDE))
        lines = [f"{(number + more) % len(names)} 0.5 0.5 0.{5 + more} 0.5" for more in (0, 1)]
        write(folder / "labels" / "train" / f"{number}.txt", "\n".join(lines) + "\n")
    write(folder / "data.yaml", "names:\n" + "".join(f"  {at}: {name}\n" for at, name in enumerate(names)))
    return folder


def voc_folder(folder: Path, name: str = "raccoon", photos: int = 3) -> Path:
    """Write a PASCAL VOC folder with one box a photo."""
    for number in range(photos):
        write(folder / "images" / f"{name}-{number}.jpg", photo_of(f"/{folder.name}/{number}.jpg", SIDE))
        thing = voc_object(name, (5, 6, 50, 60))
        write(folder / "annotations" / f"{name}-{number}.xml", voc(f"{name}-{number}.jpg", thing, size=(SIDE, SIDE)))
    return folder


def url_list(path: Path, server: PhotoServer, names: Sequence[str], category: str = "cat") -> Path:
    """Write a list of a server's photos, all of one class."""
    rows = "".join(f"{server.url(name)},{category},{server.url('/page')},Ann,CC BY 4.0\n" for name in names)
    return write(path, f"url,class,page,author,licence\n{rows}")


def collect(
    out: Path, *, engine: EngineOptions = IN_PROCESS, crawl: dict[str, Any] | None = None, **options: Any
) -> Any:
    """Collect in this process; options are fields of Config, and lists of sources may be one path."""
    many = ("imagenet", "folders", "voc", "coco", "yolo", "open_images", "urls")
    chosen = {
        name: (value,) if name in many and isinstance(value, str | Path) else value for name, value in options.items()
    }
    crawling = CrawlOptions(**{**NEARBY, **(crawl or {})})
    return edgemaps_collect.run(edgemaps_collect.Config(out=out, **chosen), crawling, engine)


def command(*arguments: object) -> list[str]:
    """Return the command line, quick with a loopback server."""
    quick = ["--allow-private", "--delay", "0", "--contact", "me@example.org"]
    return [sys.executable, "-m", "sketchdata", "edgemaps", "collect", *map(str, arguments), *quick]


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    return subprocess.run(
        command(*arguments), env={**os.environ, **EPOCH, **environment}, capture_output=True, text=True, timeout=120
    )
