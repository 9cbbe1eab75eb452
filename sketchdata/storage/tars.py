"""Tar shards for WebDataset with drawings: `{key_id}.cls`, `{key_id}.json` and, optionally, `{key_id}.png`.

A tar member takes at least 1 KiB and a drawing about 100 bytes, so tars are only an export, and data sets are Parquet.
Format: github.com/webdataset/webdataset; files of one sample follow each other and share the name before the first dot.
"""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import orjson

from sketchdata.drawings.drawing import DrawingBatch, Words, concatenate
from sketchdata.drawings.raster import raster
from sketchdata.drawings.simplify import simplify_records
from sketchdata.errors import FormatError, SketchDataError
from sketchdata.files import regular
from sketchdata.formats import ndjson
from sketchdata.formats.files import Fault, FaultCounts, are_raw, parse_lines
from sketchdata.storage.manifest import replacing

# Of the five strategies, RLE is the fastest (4,900 pictures of 224 × 224 per second), and at most a tenth larger than
# the smallest for line drawings. Both settings are explicit because OpenCV's defaults may change.
_PNG_SETTINGS = [cv2.IMWRITE_PNG_COMPRESSION, 6, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
#: Number of pixels rasterized at a time: 16 MB for pictures of any size.
_PIXELS_AT_ONCE = 1 << 24
_ROWS_AT_ONCE, _ROWS_READ_AT_ONCE = 1000, 10_000


@dataclass(frozen=True, kw_only=True)
class Picture:
    """How a sample's PNG is drawn: 8-bit grey, black ink on white unless `white_on_black`."""

    size: int
    line_width: int = 1
    white_on_black: bool = False


class Member(NamedTuple):
    """The position of a member's content in a tar: `bytes` bytes from `offset` on."""

    name: str
    offset: int
    bytes: int


def write_members(path: Path, contents: Iterable[tuple[str, bytes]]) -> list[Member]:
    """Write files as one USTAR file, whole or not at all; equal names and contents give equal bytes.

    Owner 0, group 0, time 0 and mode 0644 are fixed.

    `contents` are (name, content) of each file in order, sample by sample. Returns their positions.
    """
    # Imported here, because it imports torch if installed.
    from webdataset import TarWriter

    written = []
    with replacing(path) as file, TarWriter(file, user="", group="", mode=0o644, mtime=0, encoder=False) as writer:
        for name, content in contents:
            key, _, kind = name.partition(".")
            # Written file by file, since it would sort the files of a sample by name.
            writer.write({"__key__": key, kind: content})
            padded = len(content) + -len(content) % tarfile.BLOCKSIZE
            written.append(Member(name=name, offset=writer.tarstream.offset - padded, bytes=len(content)))
            # The list of written members is not needed, and would grow with the tar.
            writer.tarstream.members.clear()
    return written


def write_tar(path: Path, batches: Iterable[DrawingBatch], classes: Sequence[str], picture: Picture | None) -> int:
    """Write drawings as one tar and return their number. PNG bytes depend on the version of OpenCV.

    `batches` are the rows in order, in blocks that fit into memory; without `picture`, no PNGs are written.
    """
    written = write_members(path, (member for batch in batches for member in members(batch, classes, picture)))
    return sum(member.name.endswith(".json") for member in written)


def members(batch: DrawingBatch, classes: Sequence[str], picture: Picture | None) -> Iterator[tuple[str, bytes]]:
    """Yield (name, content) of every member, sample by sample, the same kinds of member in each."""
    rows = min(_ROWS_AT_ONCE, max(1, _PIXELS_AT_ONCE // picture.size**2)) if picture else _ROWS_AT_ONCE
    for start in range(0, len(batch), rows):
        part = batch.slice(start, min(start + rows, len(batch)))
        bitmaps = None if picture is None else raster(part, size=picture.size, line_width=picture.line_width, threads=1)
        for row, record in enumerate(records(part, classes)):
            yield f"{record['key_id']}.cls", str(record["label"]).encode()
            yield f"{record['key_id']}.json", orjson.dumps(record)
            if picture is not None and bitmaps is not None:
                pixels = bitmaps[row] if picture.white_on_black else 255 - bitmaps[row]
                encoded, content = cv2.imencode(".png", pixels, _PNG_SETTINGS)
                if not encoded:
                    size = f"{picture.size} × {picture.size}"
                    raise SketchDataError(f"OpenCV could not encode a picture of {size} pixels as PNG")
                yield f"{record['key_id']}.png", content.tobytes()


def records(batch: DrawingBatch, classes: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield drawings as plain data: the fields of the official record and `label`."""
    labels = batch.label.tolist()
    official = ndjson.records(batch, (classes[label] for label in labels))
    return ({**record, "label": label} for record, label in zip(official, labels, strict=True))


def read_tar(path: Path, classes: Sequence[str]) -> Iterator[DrawingBatch]:
    """Yield the drawings of a tar that `write_tar` wrote, in their order, some thousands at a time.

    Raises:
        SketchDataError: The file cannot be read, or has something other than drawings of `classes`.
    """
    from webdataset.tariterators import tar_file_iterator

    lines: list[bytes] = []
    try:
        with path.open("rb") as file:
            for member in tar_file_iterator(file, select_files=lambda name: name.endswith(".json")):
                lines.append(member["data"])
                if len(lines) == _ROWS_READ_AT_ONCE:
                    yield _parsed(path, lines, classes)
                    lines = []
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise SketchDataError(f"{path} cannot be read as a tar of drawings: {error}; export it again") from error
    if lines:
        yield _parsed(path, lines, classes)


def _parsed(path: Path, lines: list[bytes], classes: Sequence[str]) -> DrawingBatch:
    rows: dict[int, list[int]] = {}
    try:
        records = [orjson.loads(line) for line in lines]
        raw = any(len(stroke) == 3 for record in records for stroke in record["drawing"][:1])
        for row, record in enumerate(records):
            rows.setdefault(range(len(classes)).index(record["label"]), []).append(row)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise SketchDataError(
            f"{path} holds a record that is not a drawing of a class of its class table: export it again"
        ) from error
    batches = []
    for label, own in rows.items():
        # The parser takes lines of one class, and checks their word.
        found = ndjson.parse([lines[row] for row in own], word=classes[label], label=label, raw=raw)
        if found.faults:
            raise SketchDataError(f"{path} holds something other than drawings: {found.faults[0][1]}; export it again")
        batches.append(found.batch)
    return concatenate(batches).take(np.argsort(np.concatenate([np.array(own, np.int64) for own in rows.values()])))


# ---- tars of other programs ------------------------------------------------------------------------------------------

_TAR = (".tar", ".tar.gz", ".tgz")
#: {required field of a record: default value}.
_DEFAULTS = {"countrycode": None, "timestamp": "1970-01-01 00:00:00 UTC", "recognized": True}


def find_tars(directory: Path) -> tuple[Path, ...]:
    """Return the tars below a folder, sorted by name; empty for an unfinished export of ours."""
    if not directory.is_dir() or (directory / ".export").exists():
        return ()
    found = (path for path in directory.rglob("*") if path.name.lower().endswith(_TAR) and path.is_file())
    return tuple(sorted(path for path in found if not path.name.startswith(".")))


class SampleReader:
    """Reads samples of drawings whose class is a number or a name in `.cls`, or `word` or `label` in `.json`.

    Args:
        directory: The folder of the tars.
        table: The class table; None to collect the classes while reading.

    Attributes:
        refused: Number of samples that are not drawings of a class, counted in each reading.
    """

    def __init__(self, directory: Path, table: tuple[str, ...] | None) -> None:
        self.directory, self.table, self.refused = directory, table, FaultCounts()
        self._words = Words()
        self._numbers: dict[str, int] = {}
        self._known = {each: name for name in reversed(table or ()) for each in (_folded(name), name)}

    def classes(self) -> tuple[str, ...]:
        """Return the class table: the given one, or the collected classes, by number or else in alphabetical order."""
        if self.table is not None:
            return self.table
        names = self._words.names
        numbered = len(set(self._numbers.values())) == len(names) and self._numbers.keys() == set(names)
        return tuple(sorted(names, key=self._numbers.__getitem__ if numbered else None))

    def labels(self, classes: Sequence[str]) -> npt.NDArray[np.uint16]:
        """Return the index in the class table for every label of `read`."""
        return np.array([classes.index(name) for name in self._words.names], np.uint16)

    def read(self, path: Path) -> Iterator[DrawingBatch]:
        """Yield the drawings of a tar in their order, some thousands at a time, with labels of this reader.

        Raises:
            SketchDataError: The file is not a readable tar.
        """
        samples = self._samples(path)
        raw: bool | None = None
        while some := list(islice(samples, _ROWS_READ_AT_ONCE)):
            lines, places = zip(*some, strict=True)
            raw = are_raw(lines) if raw is None else raw
            parsed = parse_lines(lines, self._words, None, raw=bool(raw))
            if parsed.batch.is_raw:
                parsed = simplify_records(parsed)
            for row, error in parsed.faults:
                self.refused.add(Fault(where=places[row], reason=error.reason, detail=error.detail))
            yield parsed.batch

    def _samples(self, path: Path) -> Iterator[tuple[bytes, str]]:
        """Yield each sample as an official line, with its place."""
        name = path.relative_to(self.directory).as_posix()
        for key, members in groupby(_members(path), lambda member: _key(member[0])):
            place, parts = f"{name}: {key}", dict[str, bytes]()
            for member, content in members:
                parts[member.rpartition(".")[2].lower()] = content
            try:
                yield self._line(key, parts), place
            except FormatError as error:
                self.refused.add(Fault(where=place, reason=error.reason, detail=error.detail))

    def _line(self, key: str, parts: Mapping[str, bytes]) -> bytes:
        if "json" not in parts:
            raise FormatError("no drawing", "expected a .json member with the strokes")
        try:
            record = orjson.loads(parts["json"])
        except orjson.JSONDecodeError as error:
            raise FormatError("broken JSON", str(error)) from error
        if not isinstance(record, dict) or "drawing" not in record:
            raise FormatError("no drawing", "expected `drawing` in the .json member, a list of strokes")
        stated = parts.get("cls", b"").decode("utf-8", "replace").strip() or record.get("label")
        number = int(stated) if isinstance(stated, int) or (stated and stated.isascii() and stated.isdigit()) else None
        name = record.get("word") or (stated if number is None else None)
        if self.table is not None and isinstance(name, str):
            if (name := self._known.get(name) or self._known.get(_folded(name))) is None:
                raise FormatError("not in the class table", f"{record.get('word') or stated!r:.60}")
        elif self.table is not None and number is not None and number < len(self.table):
            name = self.table[number]
        if not isinstance(name, str) or not name:
            raise FormatError(
                "no class",
                f"{stated!r:.60} in .cls, and no `word` in .json: give --classes FILE, or put classes.txt here",
            )
        if number is not None:
            self._numbers.setdefault(name, number)
        key_id = record.get("key_id", key if key.isascii() and key.isdigit() else None)
        if key_id is None:
            key_id = int.from_bytes(hashlib.sha256(key.encode(errors="replace")).digest()[:8], "big")
        return orjson.dumps({**_DEFAULTS, **record, "word": name, "key_id": str(key_id)})


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    from webdataset.tariterators import tar_file_iterator

    try:
        with regular(path).open("rb") as file:
            for member in tar_file_iterator(file, select_files=lambda name: name.lower().endswith((".json", ".cls"))):
                yield member["fname"], member["data"]
    except (tarfile.TarError, OSError, EOFError, ValueError, zlib.error) as error:
        raise SketchDataError(f"{path} cannot be read as a tar of drawings: {error}") from error


def _key(member: str) -> str:
    folder, _, name = member.rpartition("/")
    return f"{folder}/{name.partition('.')[0]}".lstrip("/")


def _folded(name: str) -> str:
    return name.casefold().replace("_", " ")
