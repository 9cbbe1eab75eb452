"""Merging the annotations of many sources: each photo and each box once, and counts of all that is skipped."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from sketchdata import __version__
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.formats.files import Fault, FaultCounts
from sketchdata.photos.annotations.layouts import (
    LabelledPhotos,
    open_coco,
    open_folders,
    open_imagenet,
    open_open_images,
    open_voc,
    open_yolo,
)
from sketchdata.photos.annotations.record import Annotation, PixelBox, Reading
from sketchdata.photos.collection import OUTCOME_COLUMNS, SOURCES_FILE, STATUSES, Collection
from sketchdata.storage.cards import fill
from sketchdata.storage.manifest import hash_file

#: Columns of a photo that are known before it is fetched or read.
_FACTS = ("page", "author", "licence", "title")
_EDGES = ("x0", "y0", "x1", "y1")


@dataclass(frozen=True, kw_only=True)
class PhotoSource:
    """One source of photos that the user gives.

    Attributes:
        kind: One of `collection.SOURCES`.
        name: Its name; the first part of the ids of local photos.
        sha256: The hash of a list that is one file; None for folders and searches.
        unlisted: Reasons of faults that are only counted, because they are common in this kind of source.
    """

    kind: str
    name: str
    sha256: str | None = None
    unlisted: Sequence[str] = ()


@dataclass(kw_only=True)
class SourceCounts:
    """The numbers of one source; boxes, left_out, repeated and rejects add up to annotations.

    Attributes:
        annotations: All annotations.
        boxes: The annotations that are used.
        left_out: Annotations of other classes, or of photos that the folder need not have.
        repeated: Annotations that repeat a photo's class and box.
        rejects: Annotations that could not be read, and are listed.
        photos: Photos that this source has first.
        named_before: Photos that an earlier source has.
    """

    annotations: int = 0
    boxes: int = 0
    left_out: int = 0
    repeated: int = 0
    rejects: int = 0
    photos: int = 0
    named_before: int = 0


@dataclass(kw_only=True)
class Gathering:
    """Photos and boxes in the order of reading.

    Attributes:
        report: Called with every fault for the list of rejects.
        unmatched: {a source's class name: number of annotations}, for names that match none of the classes.
        faults: All faults, listed or not, by their reasons.
        counts: {source: its numbers}.
        files: {photo: its file} for local photos.
        addresses: The photos that are URLs.
    """

    report: Callable[[PhotoSource, Fault], object]
    unmatched: Counter[str] = field(default_factory=Counter)
    faults: FaultCounts = field(default_factory=FaultCounts)
    counts: dict[PhotoSource, SourceCounts] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    addresses: list[str] = field(default_factory=list)
    _rows: dict[str, int] = field(default_factory=dict)
    _sources: list[PhotoSource] = field(default_factory=list)
    _facts: list[tuple[str | None, ...]] = field(default_factory=list)
    _boxes: dict[tuple[int, str, PixelBox | None], tuple[str, frozenset[str], str]] = field(default_factory=dict)

    def add(
        self,
        source: PhotoSource,
        readings: Iterable[Reading],
        word_of: Callable[[str], str | None],
        locate: Callable[[str], tuple[str, Path]] | None = None,
    ) -> None:
        """Add the annotations of a source.

        Args:
            source: The source.
            readings: Its annotations, with the source's class names.
            word_of: Returns the class for a name, or None.
            locate: Returns the id and the file of a local photo; None if photos are URLs.
        """
        counts, others = self.counts.setdefault(source, SourceCounts()), set()
        for reading in readings:
            counts.annotations += 1
            if isinstance(reading, Fault):
                self._refuse(source, reading)
                continue
            word = word_of(reading.category)
            photo, file = (reading.photo, None) if locate is None else locate(reading.photo)
            if word is None:
                counts.left_out += 1
                self.unmatched[reading.category] += 1
            elif not photo.isascii() and any("\ud800" <= letter <= "\udfff" for letter in photo):
                # A file name need not be UTF-8.
                fault = Fault(where=ascii(reading.where), reason="name not UTF-8", detail=ascii(photo))
                self._refuse(source, fault)
            else:
                row = self._row(source, photo, file, reading)
                if self._sources[row] is not source:
                    others.add(row)
                key = (row, word, reading.box)
                if key in self._boxes:
                    counts.repeated += 1
                else:
                    counts.boxes += 1
                    self._boxes[key] = (reading.category, reading.flags, reading.where)
        counts.named_before += len(others)

    def _refuse(self, source: PhotoSource, fault: Fault) -> None:
        self.faults.add(fault)
        if fault.reason in source.unlisted:
            self.counts[source].left_out += 1
        else:
            self.counts[source].rejects += 1
            self.report(source, fault)

    def _row(self, source: PhotoSource, photo: str, file: Path | None, first: Annotation) -> int:
        row = self._rows.setdefault(photo, len(self._rows))
        if row == len(self._sources):
            self._sources.append(source)
            self._facts.append(tuple(getattr(first, name) for name in _FACTS))
            self.counts[source].photos += 1
            if file is None:
                self.addresses.append(photo)
            else:
                self.files[photo] = file
        return row

    def photo_columns(self, outcome: Callable[[str], Sequence[Any]]) -> dict[str, list[Any]]:
        """Return photos as columns of `collection.PHOTOS_SCHEMA`; `outcome` gives a photo's OUTCOME_COLUMNS."""
        columns: dict[str, list[Any]] = {"photo": list(self._rows), "source": [each.kind for each in self._sources]}
        columns.update({name: [facts[at] for facts in self._facts] for at, name in enumerate(_FACTS)})
        outcomes = [outcome(photo) for photo in self._rows]
        return {**columns, **{name: [each[at] for each in outcomes] for at, name in enumerate(OUTCOME_COLUMNS)}}

    def box_columns(self) -> dict[str, list[Any]]:
        """Return boxes as columns of `collection.BOXES_SCHEMA`."""
        photos = list(self._rows)
        sides = [(None,) * 4 if box is None else box for _, _, box in self._boxes]
        return {
            "photo": [photos[row] for row, _, _ in self._boxes],
            "word": [word for _, word, _ in self._boxes],
            "category": [category for category, _, _ in self._boxes.values()],
            **{name: [side[at] for side in sides] for at, name in enumerate(_EDGES)},
            "flags": [sorted(flags) for _, flags, _ in self._boxes.values()],
            "where": [where for _, _, where in self._boxes.values()],
        }

    def photos(self) -> Iterator[tuple[str, PhotoSource]]:
        """Yield each photo and its first source."""
        return zip(self._rows, self._sources, strict=True)

    def __len__(self) -> int:
        return len(self._rows)


# Local sources: folders of labelled photos.

_OPENERS: dict[str, Callable[[Path], LabelledPhotos]] = {
    "imagenet": open_imagenet,
    "folders": open_folders,
    "voc": open_voc,
    "yolo": open_yolo,
    "open_images": open_open_images,
}
#: Open Images' tables list millions of photos, of which users usually have a part.
_UNLISTED = {"open_images": ("photo missing",)}


@dataclass(frozen=True, kw_only=True)
class LocalSource:
    """A folder of labelled photos, and the function that opens it."""

    source: PhotoSource
    root: Path
    open: Callable[[], LabelledPhotos]

    def locator(self, photos: Path) -> Callable[[str], tuple[str, Path]]:
        """Return a function from a photo's path in the folder `photos` of this source to its id and file."""
        inner = photos.relative_to(self.root).as_posix()
        start = self.source.name if inner == "." else f"{self.source.name}/{inner}"
        return lambda photo: (f"{start}/{photo}", photos / photo)


def local_sources(folders: Mapping[str, Sequence[Path]], coco: Sequence[str]) -> Iterator[LocalSource]:
    """Yield the local sources with unique names: the folder's name, numbered if it is not unique.

    Args:
        folders: {kind of source: folders}.
        coco: COCO's files and folders as `JSON=DIR`.

    Raises:
        ConfigError: A text does not have that form, or its file cannot be read.
    """
    named: Counter[str] = Counter()

    def name(root: Path) -> str:
        name = root.resolve().name or "photos"
        named[name] += 1
        return name if named[name] == 1 else f"{name}-{named[name]}"

    for kind, roots in folders.items():
        for root in roots:
            source = PhotoSource(kind=kind, name=name(root), unlisted=_UNLISTED.get(kind, ()))
            yield LocalSource(source=source, root=root, open=partial(_OPENERS[kind], root))
    for text in coco:
        path, _, folder = text.partition("=")
        if not (path and folder):
            raise ConfigError(f"--coco {text}: expected JSON=DIR, such as instances_val2017.json=val2017")
        source = PhotoSource(kind="coco", name=name(Path(folder)), sha256=hash_of_list(Path(path)))
        yield LocalSource(source=source, root=Path(folder), open=partial(open_coco, Path(path), Path(folder)))


def hash_of_list(path: Path) -> str:
    """Return the sha256 of a user's file.

    Raises:
        ConfigError: The file cannot be read.
    """
    try:
        return hash_file(path, "sha256")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error


# Counts and README of a collection.

_NUMBERS = (*(field.name for field in fields(SourceCounts)), *STATUSES)
_COLUMNS = ("source", "name", "sha256", *_NUMBERS)


def source_rows(gathering: Gathering, status_of: Callable[[str], str]) -> list[dict[str, Any]]:
    """Return one row per source, in the order of reading: its numbers of annotations, and of photos by status."""
    found: dict[PhotoSource, dict[str, int]] = {source: dict.fromkeys(STATUSES, 0) for source in gathering.counts}
    for photo, source in gathering.photos():
        found[source][status_of(photo)] += 1
    return [
        {"source": source.kind, "name": source.name, "sha256": source.sha256 or "", **asdict(counts), **found[source]}
        for source, counts in gathering.counts.items()
    ]


def sources_csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Return the rows of `source_rows` as CSV."""
    lines = io.StringIO()
    writer = csv.DictWriter(lines, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return lines.getvalue().encode("utf-8")


def read_sources(directory: Path) -> list[dict[str, Any]]:
    """Read a file of `sources_csv`.

    Raises:
        SketchDataError: The file cannot be read.
    """
    path = directory / SOURCES_FILE
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
        return [{**row, **{name: int(row[name]) for name in _NUMBERS}} for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, ValueError, TypeError) as error:
        raise SketchDataError(f"{path} cannot be read ({error}): collect the photos again") from error


def summarise(collection: Collection, sources: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a collection's counts, with the rows of its sources, as plain data for JSON."""
    photos, boxes = collection.photos, collection.boxes
    statuses = _counted(photos.column("status"))
    there = photos.filter(pc.equal(photos.column("status"), "ok"))
    return {
        "name": collection.manifest.name,
        "photos": {"asked": len(photos), **{status: statuses.get(status, 0) for status in STATUSES}},
        "files": len(pc.unique(there.column("path"))),
        "boxes": len(boxes),
        "classes": len(pc.unique(boxes.column("word"))),
        "class_table": len(collection.manifest.classes),
        "sources": [dict(row) for row in sources],
        "errors": _counted(photos.column("error")),
        "licences": _counted(there.column("licence"), none="not stated"),
        "rejected": sum(collection.manifest.rejects.values()),
        "rejects": dict(collection.manifest.rejects),
    }


def _counted(column: Any, none: str = "") -> dict[str, int]:
    """Return {value: count} of a column, the most frequent first; null becomes `none` or is omitted."""
    found = [(each["values"], each["counts"]) for each in pc.value_counts(column).to_pylist()]
    named: list[tuple[str, int]] = [(value or none, count) for value, count in found if value or none]
    return dict(sorted(named, key=lambda pair: (-pair[1], pair[0])))


_LISTED = 30


def collection_card(counts: Mapping[str, Any]) -> str:
    """Return the README of a collection with the counts of `summarise`: Markdown."""
    photos, sources = counts["photos"], counts["sources"]
    rows = [
        (f"{each['source']}: {each['name']}", *(each[key] for key in ("photos", "ok", "failed", "refused", "boxes")))
        for each in sources
    ]
    numbers = {name: f"{counts[name]:,}" for name in ("boxes", "classes", "class_table", "rejected")}
    tables = {
        "sources": _table(("source", "photos", "there", "failed", "refused", "annotations"), rows),
        "licences": _table(("licence", "photos"), list(counts["licences"].items())[:_LISTED]),
        "errors": _table(("why not", "photos"), list(counts["errors"].items())),
    }
    asked = {name: f"{photos[name]:,}" for name in ("ok", "asked")}
    return fill("photos", {"name": counts["name"], "version": __version__, **numbers, **asked, **tables})


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    if not rows:
        return "None."
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *([_cell(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: object) -> str:
    """Return a table cell with Markdown and HTML escaped."""
    if isinstance(value, int):
        return f"{value:,}"
    text = "".join(f"\\{letter}" if letter in "\\`*_[]<>|&#!" else letter for letter in str(value))
    return " ".join(text.split())
