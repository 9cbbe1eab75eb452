"""The content of the report and the curation page: an audit, its rows as items, and their pictures."""

from __future__ import annotations

import base64
import io
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image

from sketchdata.curation.audit import Audit, read_audit
from sketchdata.curation.messiness import WORST, decode_map, ink_of
from sketchdata.drawings.drawing import DrawingBatch
from sketchdata.drawings.raster import fit
from sketchdata.errors import ConfigError, FormatError, SketchDataError
from sketchdata.photos.image import decode, resize
from sketchdata.progress import console
from sketchdata.storage import parquet
from sketchdata.storage.manifest import MANIFEST_NAME, Manifest, hash_file, read_manifest
from sketchdata.storage.parquet import RowGroups
from sketchdata.storage.pictures import UNDIVIDED, image_bytes
from sketchdata.web.items import (
    EDGE_MAPS,
    Items,
    audited_drawings,
    items_of,
    named_fact,
    read_facts,
    shard_paths,
    split_fact,
)

_NOT_STATED = "not stated"
_CREDITS = ["title", "author", "licence", "source", "page"]
_GREYS = (0, 85, 170, 255)

#: {"kind": the name of a renderer in `pictures.js`, "data": the argument of that renderer}
Picture = Mapping[str, Any]


class Pictures(Protocol):
    """A source of the pictures of items."""

    def read(self, rows: Sequence[int], *, small: bool = False) -> list[Picture]:
        """Return the pictures of some items, in the order of `rows`.

        Args:
            rows: `Items.row` of the items.
            small: Whether to make pictures of few bytes and cache nothing, for a file that contains many.

        Raises:
            SketchDataError: A shard cannot be read, or a picture is damaged.
        """


@dataclass(frozen=True, kw_only=True)
class Exhibit:
    """An audit with its items and their pictures; both pages are made from it."""

    audit: Audit
    items: Items
    pictures: Pictures


def exhibit_drawings(directory: Path) -> Exhibit:
    """Return the drawings that `sketchdata audit entropy` scored.

    Raises:
        SketchDataError: There is no finished audit of this data set, or a shard cannot be read.
    """
    audit = read_audit(directory)
    return Exhibit(audit=audit, items=audited_drawings(audit), pictures=DrawingPictures(audit))


def encode_strokes(batch: DrawingBatch) -> list[bytes]:
    """Encode each drawing as bytes: for each stroke the number of points (LEB128), all x, then all y, one byte each.

    Raw drawings are scaled to 0..255 and rounded, and repeated points are left out; simplified drawings are encoded
    without loss.

    Raises:
        FormatError: A raw coordinate is not a finite number.
    """
    xy = np.rint(fit(batch)).astype(np.uint8) if batch.is_raw else np.stack([batch.x, batch.y], axis=1)
    strokes = []
    for first, last in itertools.pairwise(batch.points.tolist()):
        stroke = xy[first:last]
        if batch.is_raw:
            stroke = stroke[np.concatenate([[True], (np.diff(stroke.astype(np.int16), axis=0) != 0).any(axis=1)])]
        number, length = len(stroke), bytearray()
        while number > 127:
            length.append(number & 127 | 128)
            number >>= 7
        strokes.append(bytes([*length, number]) + stroke.T.tobytes())
    return [b"".join(strokes[first:last]) for first, last in itertools.pairwise(batch.strokes.tolist())]


class DrawingPictures:
    """Strokes of a data set's drawings, read from the Parquet shards.

    Raises:
        SketchDataError: A shard cannot be read.
    """

    def __init__(self, audit: Audit) -> None:
        self.rows = RowGroups(shard_paths(audit))

    def read(self, rows: Sequence[int], *, small: bool = False) -> list[Picture]:
        """See `Pictures`."""
        found: list[Picture] = [{}] * len(rows)
        for places, table in self.rows.take(np.asarray(rows, np.int64), keep=not small):
            for place, data in zip(places, encode_strokes(parquet.from_table(table)), strict=True):
                found[place] = {"kind": "strokes", "data": base64.b64encode(data).decode("ascii")}
        return found


def exhibit_edge_maps(directory: Path, photos: Path | None = None) -> Exhibit:
    """Return the edge maps that `sketchdata edgemaps curate` scored, each with the photo that it was made from.

    Args:
        directory: The edge maps.
        photos: The crops that they were made from. Default: a folder beside them, if it is there; otherwise the edge
            maps are shown alone.

    Raises:
        SketchDataError: There is no finished audit of the edge maps, or a shard cannot be read.
        ConfigError: Other edge maps were made from the crops in `photos`.
    """
    audit = read_audit(directory, "messiness")
    crops = _find_crops(directory, audit.manifest, photos)
    return Exhibit(audit=audit, items=audited_edge_maps(audit), pictures=EdgeMapPictures(audit, crops))


def audited_edge_maps(audit: Audit) -> Items:
    """Return the edge maps of a messiness audit as items.

    Raises:
        SketchDataError: A shard cannot be read, or has other pictures than the audit.
    """
    table = read_facts(audit, ("source", "licence"))
    facts = [
        # With one split there is nothing to choose.
        *([split_fact(audit)] if len(audit.splits) > 1 else []),
        named_fact("source", "Source", table.column("source"), said=True),
        named_fact("licence", "Licence", table.column("licence"), unknown=_NOT_STATED, said=True),
    ]
    return items_of(audit, EDGE_MAPS, facts, certain=audit.score >= WORST)


def _find_crops(directory: Path, edges: Manifest, given: Path | None) -> Path | None:
    wanted = None if edges.parent is None else edges.parent.sha256
    if given is not None:
        read_manifest(given)
        if hash_file(given / MANIFEST_NAME, "sha256") != wanted:
            raise ConfigError(f"the edge maps of {directory} were made from other photos than those in {given}")
        return given
    for manifest in sorted(directory.absolute().parent.glob(f"*/{MANIFEST_NAME}")):
        if hash_file(manifest, "sha256") == wanted:
            return manifest.parent
    note = f"note: the photos of {directory} are not in a folder beside it, so edge maps are shown alone; see --photos"
    console.print(note, soft_wrap=True, highlight=False)
    return None


class EdgeMapPictures:
    """Edge maps from their shards, with photos from the crops' shards. Safe to use from threads.

    Small ones are edge maps at half their side in four greys, and photos of fewer pixels and lower quality.

    Args:
        audit: The edge maps and the order of their rows.
        crops: The folder of the photos that they were made from; None shows the edge maps alone.

    Raises:
        SketchDataError: A shard cannot be read.
    """

    def __init__(self, audit: Audit, crops: Path | None) -> None:
        self.edges = RowGroups(shard_paths(audit), ["image", *_CREDITS])
        self.black = audit.manifest.config.get("ink") == "black"
        self.weakest = int(audit.record.options["weakest"])
        paths = [] if crops is None else [crops / shard.path for shard in read_manifest(crops).shards(UNDIVIDED)]
        self.photos = RowGroups(paths, ["image"])
        #: (N,) The row of each edge map's photo among the photos, −1 if there is none.
        self.photo_rows: npt.NDArray[np.int64] = np.full(len(audit), -1, np.int64)
        if tables := [table for path in paths for table in parquet.read_row_groups(path, ["key_id"])]:
            there = pa.concat_tables(tables).column("key_id").to_numpy()
            order = np.argsort(there)
            rows = order[np.minimum(np.searchsorted(there, audit.key_id, sorter=order), len(order) - 1)]
            self.photo_rows = np.where(there[rows] == audit.key_id, rows, -1)

    def read(self, rows: Sequence[int], *, small: bool = False) -> list[Picture]:
        """See `Pictures`."""
        photo_rows = self.photo_rows[np.asarray(rows, np.int64)]
        known = np.flatnonzero(photo_rows >= 0)
        photos = {}
        for places, table in self.photos.take(photo_rows[known], keep=not small):
            for place, content in zip(known[places].tolist(), image_bytes(table), strict=True):
                photos[place] = _data_url("webp", _thumbnail(content, *((88, 50) if small else (128, 80))))
        found: list[Picture] = [{}] * len(rows)
        for places, table in self.edges.take(np.asarray(rows, np.int64), keep=not small):
            credit = [_credit(row) for row in table.select(_CREDITS).to_pylist()]
            for place, content, words in zip(places, image_bytes(table), credit, strict=True):
                edges = _data_url("png", self._in_four_greys(content) if small else content)
                found[place] = {"kind": EDGE_MAPS.kind, "data": {"edges": edges, "photo": photos.get(place), **words}}
        return found

    def _in_four_greys(self, content: bytes) -> bytes:
        """Return an edge map at half its side, in black ink, as a PNG of two bits per pixel."""
        try:
            ink = ink_of(decode_map(content), black=self.black, weakest=self.weakest)
        except FormatError as error:
            raise SketchDataError(f"an edge map is damaged, {error}: extract the edge maps again") from error
        side = max(len(ink) // 2, 1)
        small = np.asarray(cv2.resize(255 * (1 - ink), (side, side), interpolation=cv2.INTER_AREA))
        picture = Image.fromarray(np.rint(small / _GREYS[1]).astype(np.uint8))
        picture.putpalette([grey for grey in _GREYS for _ in "RGB"])
        with io.BytesIO() as file:
            picture.save(file, "PNG", bits=2, optimize=True)
            return file.getvalue()


def _thumbnail(content: bytes, side: int, quality: int) -> bytes:
    try:
        photo = decode(content)
    except FormatError as error:
        raise SketchDataError(f"a photo is damaged, {error}: crop the photos again") from error
    with io.BytesIO() as file:
        Image.fromarray(resize(photo, min(side, max(photo.shape[:2])))).save(file, "WEBP", quality=quality)
        return file.getvalue()


def _data_url(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _credit(row: Mapping[str, str | None]) -> dict[str, str | None]:
    words = [row["title"], row["author"] and f"by {row['author']}", row["licence"] or _NOT_STATED, row["source"]]
    page = row["page"] or ""
    return {
        "credit": ", ".join(word for word in words if word),
        "page": page if page.startswith(("https://", "http://")) else None,
    }
