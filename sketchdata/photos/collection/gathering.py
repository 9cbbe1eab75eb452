"""Annotations of many sources put together: every photo once, every box once, and a count of all that is left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sketchdata.annotations.record import Annotation, Box, Reading
from sketchdata.collection.tables import OUTCOME_COLUMNS
from sketchdata.formats.files import Fault

#: What is known of a photo before it is fetched or read.
_FACTS = ("page", "author", "licence", "title")
_EDGES = ("x0", "y0", "x1", "y1")


@dataclass(frozen=True, kw_only=True)
class Origin:
    """One source of photos as the user named it.

    Attributes:
        source: Its kind, one of `tables.SOURCES`.
        name: What it is called; the first part of its photos' ids when they are local.
        sha256: Of a list that is one file; None for folders and searches.
        unlisted: Reasons of faults that are counted and not listed, since they are no faults of this kind of source.
    """

    source: str
    name: str
    sha256: str | None = None
    unlisted: Sequence[str] = ()


@dataclass(kw_only=True)
class Tally:
    """What one source named.

    Attributes:
        annotations: All that were read.
        boxes: Those that were taken.
        left_out: Those of no class that is wanted, or of photos that the folder need not have.
        repeated: Those that name a photo's class and box once more.
        rejects: Those that could not be read, and are listed.
        photos: Photos that this source is the first to name.
        named_before: Photos that another source named before.
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
    """Photos and boxes in the order in which they were read.

    Attributes:
        report: Is handed every fault that belongs into the list of rejects.
        strangers: {a source's class name: how often it stood for no class that is wanted}.
        tallies: {source: what it named}.
        files: {photo: its file} of local photos.
        addresses: The photos that are addresses.
    """

    report: Callable[[Origin, Fault], object]
    strangers: Counter[str] = field(default_factory=Counter)
    tallies: dict[Origin, Tally] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    addresses: list[str] = field(default_factory=list)
    _rows: dict[str, int] = field(default_factory=dict)
    _origins: list[Origin] = field(default_factory=list)
    _facts: list[tuple[str | None, ...]] = field(default_factory=list)
    _boxes: dict[tuple[int, str, Box | None], tuple[str, frozenset[str], str]] = field(default_factory=dict)

    def add(
        self,
        origin: Origin,
        readings: Iterable[Reading],
        word_of: Callable[[str], str | None],
        locate: Callable[[str], tuple[str, Path]] | None = None,
    ) -> None:
        """Take in what a source says.

        Args:
            origin: The source.
            readings: Its annotations, under its own class names.
            word_of: Gives the class of a name; None when it is not wanted.
            locate: Gives the id and the file of a local photo; without it photos are addresses.
        """
        tally, others = self.tallies.setdefault(origin, Tally()), set()
        for reading in readings:
            tally.annotations += 1
            if isinstance(reading, Fault):
                self._refuse(origin, tally, reading)
                continue
            word = word_of(reading.category)
            photo, file = (reading.photo, None) if locate is None else locate(reading.photo)
            if word is None:
                tally.left_out += 1
                self.strangers[reading.category] += 1
            elif not _is_text(photo):
                fault = Fault(where=ascii(reading.where), reason="name not UTF-8", detail=ascii(photo))
                self._refuse(origin, tally, fault)
            else:
                row = self._row(origin, photo, file, reading)
                if self._origins[row] is not origin:
                    others.add(row)
                self._take(tally, row, word, reading)
        tally.named_before += len(others)

    def _refuse(self, origin: Origin, tally: Tally, fault: Fault) -> None:
        if fault.reason in origin.unlisted:
            tally.left_out += 1
        else:
            tally.rejects += 1
            self.report(origin, fault)

    def _row(self, origin: Origin, photo: str, file: Path | None, first: Annotation) -> int:
        """Return a photo's row, a new one with its first annotation's facts where need be."""
        row = self._rows.setdefault(photo, len(self._rows))
        if row == len(self._origins):
            self._origins.append(origin)
            self._facts.append(tuple(getattr(first, name) for name in _FACTS))
            self.tallies[origin].photos += 1
            if file is None:
                self.addresses.append(photo)
            else:
                self.files[photo] = file
        return row

    def _take(self, tally: Tally, row: int, word: str, reading: Annotation) -> None:
        key = (row, word, reading.box)
        if key in self._boxes:
            tally.repeated += 1
        else:
            tally.boxes += 1
            self._boxes[key] = (reading.category, reading.flags, reading.where)

    def photo_columns(self, outcome: Callable[[str], Sequence[Any]]) -> dict[str, list[Any]]:
        """Return photos as columns of `tables.PHOTOS_SCHEMA`.

        Args:
            outcome: Gives a photo's values of `tables.OUTCOME_COLUMNS`.
        """
        columns: dict[str, list[Any]] = {"photo": list(self._rows), "source": [each.source for each in self._origins]}
        columns.update({name: [facts[at] for facts in self._facts] for at, name in enumerate(_FACTS)})
        outcomes = [outcome(photo) for photo in self._rows]
        return {**columns, **{name: [each[at] for each in outcomes] for at, name in enumerate(OUTCOME_COLUMNS)}}

    def box_columns(self) -> dict[str, list[Any]]:
        """Return boxes as columns of `tables.BOXES_SCHEMA`."""
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

    def photos(self) -> Iterator[tuple[str, Origin]]:
        """Yield each photo and the source that named it first."""
        return zip(self._rows, self._origins, strict=True)

    def __len__(self) -> int:
        return len(self._rows)


def _is_text(name: str) -> bool:
    """Tell whether a name can be written as UTF-8; a file's name on disk need not be."""
    try:
        return name.isascii() or bool(name.encode())
    except UnicodeEncodeError:
        return False
