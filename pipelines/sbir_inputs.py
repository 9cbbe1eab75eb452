"""Find the inputs of `sketchdata build sbir`: files of drawings and photos per class, and lists.

`cross_domain/layouts.py` defines the folders of each layout. This module lists their files; it decodes no picture.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sketchdata.classes.lists import ClassLists, read_folder
from sketchdata.cross_domain.layouts import (
    DRAWINGS,
    PHOTOS,
    QUICKDRAW_EXTENDED,
    SAKE,
    class_files,
    key_ids_of,
    listed_files,
    listed_key_ids,
    root_of,
)
from sketchdata.edges.dataset import holds_pictures
from sketchdata.errors import ConfigError, FormatError
from sketchdata.formats.files import FORMATS, FaultCounts
from sketchdata.photos import collection
from sketchdata.photos.annotations.record import PHOTO_SUFFIXES, is_picture
from sketchdata.pipelines import drawings as own_drawings
from sketchdata.progress import console
from sketchdata.storage import pictures
from sketchdata.storage.cards import OWN_FILES
from sketchdata.storage.manifest import MANIFEST_NAME, read_manifest

#: Columns known of a photo of a collection.
CREDITS = ("source", "page", "author", "licence", "title", "fetched")
#: Suffix of drawings stored as strokes that can be mixed with pictures.
SVG = ".svg"
_MISSING = "missing file"


class NoPicturesError(ConfigError):
    """A folder has files, but no pictures.

    Attributes:
        lines: One for each of the files, as in rejects.jsonl.
    """

    def __init__(self, message: str, lines: Sequence[Mapping[str, str]]) -> None:
        super().__init__(f"{message}. {FaultCounts.of_lines(lines)}" if lines else message)
        self.message, self.lines = message, lines


@dataclass(frozen=True, kw_only=True)
class Unit:
    """The pictures of one task.

    Attributes:
        name: Name of the task and of the source in the manifest.
        word: Class name in the source.
        root: Folder of the files.
        files: Paths of files; only one for a shard of crops.
        credits: {column: value} of each file; empty if unknown.
    """

    name: str
    word: str
    root: Path
    files: Sequence[str]
    credits: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The inputs of a build.

    Attributes:
        strokes: Files of drawings stored as strokes; None if drawings are pixels.
        pixels: Units of drawings stored as pixels.
        photos: Units of photos.
        key_ids: {class: key_ids} of classes restricted to these drawings.
        known: The classes in the lists; None for all.
        rejected: Lines of listed files that do not exist.
        lists: The lists.
    """

    strokes: Sequence[own_drawings.SourceUnit] | None
    pixels: Sequence[Unit]
    photos: Sequence[Unit]
    key_ids: Mapping[str, Sequence[int]] = field(default_factory=dict)
    known: Sequence[str] | None = None
    rejected: Sequence[Mapping[str, str]] = ()
    lists: ClassLists | None = None


def scan(layout: str, *, drawings: Path, photos: Path, lists: Path | None) -> Inputs:
    """Find the files of drawings and photos, by the layout.

    Args:
        layout: Name of the layout.
        drawings: The user's folder of drawings.
        photos: The user's folder of photos.
        lists: The folder of lists, for layouts with lists.

    Raises:
        NoPicturesError: A folder has only files of other kinds.
        ConfigError: A folder or list does not exist or has other content than expected.
        FormatError: The lists are damaged.
    """
    if layout == SAKE:
        if lists is None:
            raise ConfigError("--layout sake needs --lists, the folder of lists")
        return _scan_lists(lists, drawings, photos)
    if lists is not None and layout != QUICKDRAW_EXTENDED:
        raise ConfigError(f"--layout {layout} has no lists: leave out --lists")
    strokes, pixels = _scan_drawings(layout, drawings)
    inputs = Inputs(strokes=strokes, pixels=pixels, photos=_scan_photos(layout, photos))
    if lists is None:
        return inputs
    if strokes is None:
        raise ConfigError(
            f"{drawings} has pictures of drawings, and --lists chooses drawings by their key_id: give the "
            "official .ndjson files or a data set of drawings"
        )
    try:
        found = read_folder(lists)
    except FormatError:
        # The user gave QuickDraw_sketches_final itself.
        files = {word: paths for word, paths in class_files(lists).items() if paths}
        if not files:
            raise
        key_ids = {word: key_ids_of(paths) for word, paths in files.items()}
        return dataclasses.replace(inputs, key_ids=key_ids, known=tuple(files))
    return dataclasses.replace(inputs, key_ids=listed_key_ids(found), known=(*found.seen, *found.unseen), lists=found)


def _scan_lists(place: Path, drawings: Path, photos: Path) -> Inputs:
    lists, rejected = read_folder(place), list[Mapping[str, str]]()
    units = {
        domain: [
            Unit(name=f"{domain}/{word}", word=word, root=root, files=_there(root, domain, paths, rejected))
            for word, paths in listed_files(lists, domain).items()
        ]
        for domain, root in ((DRAWINGS, drawings), (PHOTOS, photos))
    }
    return Inputs(
        strokes=None,
        pixels=[unit for unit in units[DRAWINGS] if unit.files],
        photos=[unit for unit in units[PHOTOS] if unit.files],
        known=(*lists.seen, *lists.unseen),
        rejected=rejected,
        lists=lists,
    )


def _there(root: Path, domain: str, paths: Sequence[str], rejected: list[Mapping[str, str]]) -> list[str]:
    """Return the existing files, and record the missing ones."""
    if not root.is_dir():
        raise ConfigError(f"--{domain} {root} is not a folder: give the one in which the paths of the lists begin")
    there = [path for path in paths if (root / path).is_file()]
    lost = set(paths) - set(there)
    rejected += [
        {"file": f"{domain}/{path}", "where": "the file", "reason": _MISSING, "detail": "a list names it"}
        for path in paths
        if path in lost
    ]
    return there


def _scan_drawings(layout: str, directory: Path) -> tuple[list[own_drawings.SourceUnit] | None, list[Unit]]:
    root = root_of(layout, DRAWINGS, directory)
    if (root / MANIFEST_NAME).is_file():
        manifest = read_manifest(root)
        shards = [shard for split in manifest.counts for shard in manifest.shards(split)]
        if not shards or "input_format" not in manifest.config or manifest.is_raw:
            raise ConfigError(f"--drawings {root} holds {manifest.name}, and a data set of drawings was expected")
        return [
            own_drawings.SourceUnit(name=OWN_FILES + shard.path, path=root / shard.path, identity=shard.sha256)
            for shard in shards
        ], []
    files = class_files(root)
    if not any(is_picture(root / path, PHOTO_SUFFIXES) for paths in files.values() for path in paths):
        return own_drawings.units_of(root, "--drawings"), []
    strange = [
        path for path in root.rglob("*") if path.suffix.lower().removeprefix(".") in set(FORMATS) - {"svg", "npy"}
    ]
    if strange:
        raise ConfigError(
            f"--drawings {root} has pictures, and {min(strange).relative_to(root)} has strokes: keep one kind, or SVG "
            "files beside pictures, which are drawn as pixels"
        )
    return None, _units(root, DRAWINGS, files, PHOTO_SUFFIXES | {SVG})


def _scan_photos(layout: str, directory: Path) -> list[Unit]:
    root = root_of(layout, PHOTOS, directory)
    if not (root / MANIFEST_NAME).is_file():
        return _units(root, PHOTOS, class_files(root), PHOTO_SUFFIXES)
    manifest = read_manifest(root)
    if holds_pictures(manifest) and "context" in manifest.config:
        shards = manifest.shards(pictures.UNDIVIDED)
        return [Unit(name=f"{PHOTOS}/{shard.path}", word="", root=root, files=[shard.path]) for shard in shards]
    if manifest.name != collection.NAME:
        raise ConfigError(
            f"--photos {root} holds {manifest.name}: expected what `edgemaps crop` or `edgemaps collect` made, or a "
            "folder for each class"
        )
    found = collection.read_collection(root)
    photos = {row["photo"]: row for row in found.photos.to_pylist() if row["status"] == collection.OK}
    words: dict[str, dict[str, None]] = {}
    for photo, word in zip(*(found.boxes.column(name).to_pylist() for name in ("photo", "word")), strict=True):
        if photo in photos:
            words.setdefault(word, {})[photo] = None
    return [
        Unit(
            name=f"{PHOTOS}/{word}",
            word=word,
            root=root,
            files=[photos[name]["path"] for name in names],
            credits=[
                {"photo": name, **{each: photos[name][each] for each in CREDITS}}
                | {"fetched": str(photos[name]["fetched"] or "")}
                for name in names
            ],
        )
        for word, names in sorted(words.items())
    ]


def _units(root: Path, domain: str, files: Mapping[str, Sequence[str]], suffixes: frozenset[str]) -> list[Unit]:
    passed_over, units = list[dict[str, str]](), []
    for word, paths in files.items():
        own = []
        for path in paths:
            if is_picture(root / path, suffixes):
                own.append(path)
            else:
                kind = Path(path).suffix.lower() or "without suffix"
                passed_over.append({"file": path, "where": "", "reason": kind, "detail": ""})
        if own:
            units.append(Unit(name=f"{domain}/{word}", word=word, root=root, files=own))
    if not units:
        raise NoPicturesError(
            f"--{domain} {root} holds no {domain}: expected a folder for each class, such as {root}/cat", passed_over
        )
    if passed_over:
        note = f"{root}: skipped files that are not {domain}: {FaultCounts.of_lines(passed_over)}"
        console.print(note, markup=False, highlight=False, soft_wrap=True)
    return units
