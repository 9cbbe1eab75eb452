"""Tar shards for WebDataset, and drawings in them: `{key_id}.cls`, `{key_id}.json` and, where asked, `{key_id}.png`.

A tar member costs at least 1 KiB and a drawing about 100 bytes, so this is an export and Parquet stays the store.
Format: github.com/webdataset/webdataset; files of one sample follow each other and share the name before the first dot.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import orjson

from sketchdata.drawings.drawing import DrawingBatch, concatenate
from sketchdata.drawings.raster import raster
from sketchdata.errors import SketchDataError
from sketchdata.formats import ndjson
from sketchdata.storage.manifest import replacing

# Of the five strategies, RLE is the fastest (4,900 a second of 224 pixels a side) and within a tenth of the smallest
# for line drawings. Both settings are named because OpenCV's defaults are its own to change.
_PNG_SETTINGS = [cv2.IMWRITE_PNG_COMPRESSION, 6, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
#: Pixels rastered at once: 16 MB, whatever the pictures' size.
_PIXELS_AT_ONCE = 1 << 24
_ROWS_AT_ONCE, _ROWS_READ_AT_ONCE = 1000, 10_000


@dataclass(frozen=True, kw_only=True)
class Picture:
    """How a sample's PNG is drawn: 8-bit grey, black ink on white paper unless `white_on_black`."""

    size: int
    line_width: int = 1
    white_on_black: bool = False


class Member(NamedTuple):
    """Where in a tar a member's content lies: `bytes` of them, from `offset` on."""

    name: str
    offset: int
    bytes: int


def write_members(path: Path, contents: Iterable[tuple[str, bytes]]) -> list[Member]:
    """Write files as one USTAR file, whole or not at all; the same names and contents give the same bytes.

    Owner 0, group 0, time 0 and mode 0644 are fixed.

    `contents` are (name, content) of each file in order, those of one sample together. Returns where they lie.
    """
    # It imports torch, where there is one.
    from webdataset import TarWriter

    written = []
    with replacing(path) as file, TarWriter(file, user="", group="", mode=0o644, mtime=0, encoder=False) as writer:
        for name, content in contents:
            key, _, kind = name.partition(".")
            # Sample by sample, it would sort the files of each by their names.
            writer.write({"__key__": key, kind: content})
            padded = len(content) + -len(content) % tarfile.BLOCKSIZE
            written.append(Member(name=name, offset=writer.tarstream.offset - padded, bytes=len(content)))
            # The list of what was written is of no use, and would grow with the tar.
            writer.tarstream.members.clear()
    return written


def write_tar(path: Path, batches: Iterable[DrawingBatch], classes: Sequence[str], picture: Picture | None) -> int:
    """Write drawings as one tar and return their number. PNG bytes are those of the OpenCV version in use.

    `batches` are the rows in order, in pieces that fit into memory; without `picture`, no PNGs are written.
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
    """Yield drawings as plain data: the fields of the official record, as it writes them, and `label`."""
    labels = batch.label.tolist()
    official = ndjson.records(batch, (classes[label] for label in labels))
    return ({**record, "label": label} for record, label in zip(official, labels, strict=True))


def read_tar(path: Path, classes: Sequence[str]) -> Iterator[DrawingBatch]:
    """Yield the drawings of a tar that `write_tar` wrote, in their order, some thousands at a time.

    Raises:
        SketchDataError: The file cannot be read, or holds something else than drawings of `classes`.
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
            f"{path} holds a record that is not a drawing with a label of its class table: export it again"
        ) from error
    batches = []
    for label, own in rows.items():
        # The parser takes the lines of one class, and checks the word of each.
        found = ndjson.parse([lines[row] for row in own], word=classes[label], label=label, raw=raw)
        if found.faults:
            raise SketchDataError(f"{path} holds something else than drawings: {found.faults[0][1]}; export it again")
        batches.append(found.batch)
    return concatenate(batches).take(np.argsort(np.concatenate([np.array(own, np.int64) for own in rows.values()])))
