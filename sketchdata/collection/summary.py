"""What a collection holds, in numbers."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from sketchdata.collection.gathering import Gathering, Origin, Tally
from sketchdata.collection.tables import SOURCES_FILE, STATUSES, Collection
from sketchdata.errors import SketchDataError

_NAMED = [field.name for field in fields(Tally)]
_COLUMNS = ("source", "name", "sha256", *_NAMED, *STATUSES)
_NUMBERS = (*_NAMED, *STATUSES)


def source_rows(gathering: Gathering, status_of: Callable[[str], str]) -> list[dict[str, Any]]:
    """Return a row a source, in the order in which they were read: what it named and what became of it.

    Args:
        gathering: All that was read.
        status_of: Gives the status of a photo.
    """
    found: dict[Origin, dict[str, int]] = {origin: dict.fromkeys(STATUSES, 0) for origin in gathering.tallies}
    for photo, origin in gathering.photos():
        found[origin][status_of(photo)] += 1
    return [
        {"source": origin.source, "name": origin.name, "sha256": origin.sha256 or "", **asdict(tally), **found[origin]}
        for origin, tally in gathering.tallies.items()
    ]


def sources_csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Return the rows of `source_rows` as CSV."""
    lines = io.StringIO()
    writer = csv.DictWriter(lines, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return lines.getvalue().encode("utf-8")


def read_sources(directory: Path) -> list[dict[str, Any]]:
    """Read back what `sources_csv` wrote.

    Raises:
        SketchDataError: It cannot be read.
    """
    path = directory / SOURCES_FILE
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
        return [{**row, **{name: int(row[name]) for name in _NUMBERS}} for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, ValueError, TypeError) as error:
        raise SketchDataError(f"{path} cannot be read ({error}): collect the photos again") from error


def summarise(collection: Collection, sources: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a collection's counts, as plain data for JSON.

    Args:
        collection: The collection; of its manifest only name, classes, counts and rejects are looked at.
        sources: The rows of its sources.
    """
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
    """Return how often each value stands in a column, the most frequent first; null is called `none` or left out."""
    found = [(each["values"], each["counts"]) for each in pc.value_counts(column).to_pylist()]
    named: list[tuple[str, int]] = [(value or none, count) for value, count in found if value or none]
    return dict(sorted(named, key=lambda pair: (-pair[1], pair[0])))
