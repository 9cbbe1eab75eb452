"""The folder that a collection is made in: claimed before anything is written, finished by its manifest."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from sketchdata.collection.store import remove_others
from sketchdata.collection.tables import (
    BOXES_FILE,
    FAILED,
    OK,
    PHOTOS_FILE,
    PHOTOS_FOLDER,
    Collection,
    read_collection,
    write_table,
)
from sketchdata.errors import ConfigError
from sketchdata.formats.files import Fault
from sketchdata.manifest import MANIFEST_NAME, FileEntry, Manifest, claim_folder, file_entry, leftovers, replacing

WORK_FOLDER = ".collect"
REJECTS_FILE, SOURCES_FILE, CARD_FILE = "rejects.jsonl", "sources.csv", "README.md"

_BEGUN = "begun.json"
_OWN = frozenset(
    {MANIFEST_NAME, WORK_FOLDER, PHOTOS_FOLDER, PHOTOS_FILE, BOXES_FILE, REJECTS_FILE, SOURCES_FILE, CARD_FILE}
)


@dataclass(frozen=True, kw_only=True)
class CollectionFolder:
    """Where a collection is made.

    Attributes:
        out: The folder.
        plan: The manifest as far as it is known beforehand.
        limits: What photos may cost; outcomes under other limits would not be the same.
    """

    out: Path
    plan: Manifest
    limits: Mapping[str, int]

    @property
    def work(self) -> Path:
        """The folder for what is not finished; it stays after the end while failed photos may be asked for again."""
        return self.out / WORK_FOLDER

    def finished(self) -> Collection | None:
        """Return this very collection when it is there already.

        Raises:
            ConfigError: Another one is there.
            SketchDataError: It is damaged.
        """
        if not (self.out / MANIFEST_NAME).exists():
            return None
        found = read_collection(self.out)
        if (_plain(found.manifest.config), found.manifest.classes) != (_plain(self.plan.config), self.plan.classes):
            raise ConfigError(
                f"{self.out} holds a collection from other sources or with other options: choose another --out, or "
                "--overwrite it"
            )
        self._tidy(found)
        return found

    def claim(self, *, overwrite: bool) -> None:
        """Make the folder ready: new, empty, begun by an earlier try, or to be overwritten.

        Sources may come and go between two tries, since what is kept of an unfinished one is kept photo by photo.

        Raises:
            ConfigError: It holds something else, or was begun under other limits.
        """
        claim_folder(self.out, own=_OWN, overwrite=overwrite)
        note, limits = self.work / _BEGUN, _plain(self.limits)
        try:
            begun = orjson.loads(note.read_bytes())
        except (OSError, orjson.JSONDecodeError):
            begun = limits
        if begun != limits:
            if not overwrite:
                raise ConfigError(
                    f"{self.out} holds an unfinished collection under other limits ({_shown(begun)} instead of "
                    f"{_shown(limits)}): repeat the command that began it, choose another --out, or --overwrite it"
                )
            shutil.rmtree(self.work)
        with replacing(note) as file:
            file.write(orjson.dumps(limits))

    def reopen(self) -> None:
        """Take a finished collection back to unfinished, so that failed photos can be asked for again."""
        (self.out / MANIFEST_NAME).unlink()

    def write_tables(
        self, photos: pa.Table, boxes: pa.Table, rejects: Sequence[tuple[str, Fault]], sources: bytes
    ) -> list[FileEntry]:
        """Write everything but card and manifest, and return what was written.

        Args:
            photos: As from `tables.photos_table`.
            boxes: As from `tables.boxes_table`.
            rejects: The name of a source and what could not be read there.
            sources: The table of sources as CSV.
        """
        write_table(self.out / PHOTOS_FILE, photos)
        write_table(self.out / BOXES_FILE, boxes)
        with replacing(self.out / REJECTS_FILE) as file:
            file.writelines(_line(name, fault) for name, fault in rejects)
        with replacing(self.out / SOURCES_FILE) as file:
            file.write(sources)
        rows = {
            PHOTOS_FILE: len(photos),
            BOXES_FILE: len(boxes),
            REJECTS_FILE: len(rejects),
            SOURCES_FILE: sources.count(b"\n") - 1,
        }
        return [file_entry(self.out / name, self.out, records) for name, records in rows.items()]

    def finish(
        self, manifest: Manifest, photos: pa.Table, boxes: pa.Table, card: Callable[[Collection], str]
    ) -> Collection:
        """Write the card and, last, the manifest; then remove what unfinished runs left.

        Args:
            manifest: With the files of `write_tables`.
            photos: As written.
            boxes: As written.
            card: Makes the README.
        """
        collection = Collection(directory=self.out, manifest=manifest, photos=photos, boxes=boxes)
        with replacing(self.out / CARD_FILE) as file:
            file.write(card(collection).encode("utf-8"))
        files = [*manifest.files, file_entry(self.out / CARD_FILE, self.out, 0)]
        manifest = dataclasses.replace(manifest, files=tuple(sorted(files, key=lambda entry: entry.path)))
        manifest.write(self.out)
        collection = dataclasses.replace(collection, manifest=manifest)
        self._tidy(collection)
        return collection

    def _tidy(self, collection: Collection) -> None:
        """Remove what unfinished runs left, unless a failed photo may be asked for again.

        What is known of photos and the photos themselves go together: with the former there, the latter must be.
        """
        for path in leftovers(self.out):
            path.unlink()
        if failures(collection) or not self.work.exists():
            return
        there = collection.photos.filter(pc.equal(collection.photos.column("status"), OK))
        remove_others(self.out, set(there.column("path").to_pylist()))
        shutil.rmtree(self.work)


def failures(collection: Collection) -> int:
    """Return how many photos failed."""
    count: int = pc.sum(pc.equal(collection.photos.column("status"), FAILED)).as_py() or 0
    return count


def _plain(value: object) -> Any:
    """Return what a value is after having been written as JSON."""
    return orjson.loads(orjson.dumps(value, default=str))


def _shown(limits: object) -> str:
    return ", ".join(f"{name} {value}" for name, value in limits.items()) if isinstance(limits, dict) else f"{limits}"


def _line(name: str, fault: Fault) -> bytes:
    # A file's name on disk need not be UTF-8.
    values = {"source": name, **dataclasses.asdict(fault)}
    clean = {key: value.encode("utf-8", "backslashreplace").decode("utf-8") for key, value in values.items()}
    return orjson.dumps(clean, option=orjson.OPT_APPEND_NEWLINE)
