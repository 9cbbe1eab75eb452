"""What a page shows: an audit, its rows as items, and where their pictures come from."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image

from sketchdata.curation.audit import Audit, read_audit
from sketchdata.curation.messiness import WORST, decode_map, ink_of
from sketchdata.errors import ConfigError, FormatError, SketchDataError
from sketchdata.photos.image import decode, resize
from sketchdata.progress import console
from sketchdata.storage import parquet
from sketchdata.storage.manifest import MANIFEST_NAME, Manifest, hash_file, read_manifest
from sketchdata.storage.parquet import RowGroups
from sketchdata.storage.pictures import UNDIVIDED, image_bytes
from sketchdata.web.items import (
    EDGE_MAPS,
    Fact,
    Items,
    audited_drawings,
    items_of,
    named_fact,
    read_facts,
    shard_paths,
    split_fact,
)
from sketchdata.web.pictures import DrawingPictures, Picture, Pictures

# Edge maps as items, and their pictures: each edge map with the photo beside it.

_NOT_STATED = "not stated"
_CREDITS = ["title", "author", "licence", "source", "page"]


def audited_edge_maps(audit: Audit) -> Items:
    """Return the edge maps of a messiness audit as items.

    Raises:
        SketchDataError: A shard cannot be read, or has other pictures than the audit.
    """
    table = read_facts(audit, ("source", "licence"))
    facts = [
        named_fact("source", "Source", table.column("source"), said=True),
        named_fact("licence", "Licence", table.column("licence"), unknown=_NOT_STATED, said=True),
    ]
    return items_of(audit, EDGE_MAPS, [*_splits(audit), *facts], certain=audit.score >= WORST)


def _splits(audit: Audit) -> list[Fact]:
    """Return the splits as a fact, if there is more than one to choose from."""
    return [split_fact(audit)] if len(audit.splits) > 1 else []


# ---- the photos ------------------------------------------------------------------------------------------------------


def find_crops(directory: Path, edges: Manifest, given: Path | None) -> Path | None:
    """Return the folder of the crops that edge maps were made from: the one given, or one beside them.

    Args:
        directory: The folder of the edge maps.
        edges: Their manifest, which names the crops by the sha256 of their manifest.
        given: Where the user says they are.

    Raises:
        SketchDataError: There are no finished crops in the folder given.
        ConfigError: Other edge maps were made from those.
    """
    wanted = None if edges.parent is None else edges.parent.sha256
    if given is not None:
        read_manifest(given)
        if hash_file(given / MANIFEST_NAME, "sha256") != wanted:
            raise ConfigError(f"{given} holds other photos than those that the edge maps of {directory} were made from")
        return given
    for manifest in sorted(directory.absolute().parent.glob(f"*/{MANIFEST_NAME}")):
        if hash_file(manifest, "sha256") == wanted:
            return manifest.parent
    note = f"note: the photos of {directory} are not in a folder beside it, so edge maps are shown alone; see --photos"
    console.print(note, soft_wrap=True, highlight=False)
    return None


@dataclass(frozen=True, kw_only=True)
class _Form:
    """How pictures are sent: whether edge maps as they are stored, and photos of which longer side and WebP quality."""

    stored: bool
    side: int
    quality: int


_PAGE = _Form(stored=True, side=128, quality=80)
#: Thousands of them stand in one file.
_FILE = _Form(stored=False, side=88, quality=50)
_GREYS = (0, 85, 170, 255)


class EdgeMapPictures:
    """Pictures of edge maps, read from their shards, with photos from the crops' shards. Safe to use from threads.

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
        self.photo_rows = _rows_in(paths, audit.key_id)

    def read(self, rows: Sequence[int]) -> list[Picture]:
        """Return the edge maps of some rows as they are stored, with their photos made small, in the order asked for.

        Raises:
            SketchDataError: A shard cannot be read, or a photo or an edge map is damaged.
        """
        return self._read(np.asarray(rows, np.int64), _PAGE)

    def read_all(self, rows: Sequence[int]) -> list[Picture]:
        """Return very many pictures: edge maps at half their side in four greys, and photos that are smaller still.

        Raises:
            SketchDataError: A shard cannot be read, or a photo or an edge map is damaged.
        """
        return self._read(np.asarray(rows, np.int64), _FILE)

    def _read(self, rows: npt.NDArray[np.int64], form: _Form) -> list[Picture]:
        photos = self._photos(rows, form)
        found: list[Picture] = [{}] * len(rows)
        for places, table in self.edges.take(rows, keep=form.stored):
            credit = [_credit(each) for each in table.select(_CREDITS).to_pylist()]
            for place, content, words in zip(places, image_bytes(table), credit, strict=True):
                edges = content if form.stored else self._in_four_greys(content)
                data = {"edges": _url("png", edges), "photo": photos.get(place), **words}
                found[place] = {"kind": EDGE_MAPS.kind, "data": data}
        return found

    def _photos(self, rows: npt.NDArray[np.int64], form: _Form) -> dict[int, str]:
        """Return {place among `rows`: address of the photo's data}, for those that there are."""
        known = np.flatnonzero(self.photo_rows[rows] >= 0)
        found = {}
        for places, table in self.photos.take(self.photo_rows[rows[known]], keep=form.stored):
            for place, content in zip(known[places].tolist(), image_bytes(table), strict=True):
                found[place] = _url("webp", _thumbnail(content, form))
        return found

    def _in_four_greys(self, content: bytes) -> bytes:
        """Write an edge map again at half its side in black ink, as a PNG of two bits a pixel."""
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


def _rows_in(paths: Sequence[Path], key_ids: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Return in which row of some shards each key_id stands, −1 where it does not."""
    tables = [table for path in paths for table in parquet.read_row_groups(path, ["key_id"])]
    if not tables:
        return np.full(len(key_ids), -1, np.int64)
    there = pa.concat_tables(tables).column("key_id").to_numpy()
    order = np.argsort(there)
    rows = order[np.minimum(np.searchsorted(there, key_ids, sorter=order), len(order) - 1)]
    return np.where(there[rows] == key_ids, rows, -1)


def _thumbnail(content: bytes, form: _Form) -> bytes:
    try:
        photo = decode(content)
    except FormatError as error:
        raise SketchDataError(f"a photo is damaged, {error}: crop the photos again") from error
    small = resize(photo, min(form.side, max(photo.shape[:2])))
    with io.BytesIO() as file:
        Image.fromarray(small).save(file, "WEBP", quality=form.quality)
        return file.getvalue()


def _url(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _credit(row: Mapping[str, str | None]) -> dict[str, str | None]:
    """Return who made a photo, in words, and its page, if that is one of the web: nothing else becomes a link."""
    words = [row["title"], row["author"] and f"by {row['author']}", row["licence"] or _NOT_STATED, row["source"]]
    page = row["page"] or ""
    return {
        "credit": ", ".join(word for word in words if word),
        "page": page if page.startswith(("https://", "http://")) else None,
    }


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


def exhibit_edge_maps(directory: Path, photos: Path | None = None) -> Exhibit:
    """Return the edge maps that `sketchdata edgemaps curate` scored, each with the photo that it was made from.

    Args:
        directory: The edge maps.
        photos: The crops that they were made from. Default: a folder beside them, if it is there; otherwise the edge
            maps are shown alone.

    Raises:
        SketchDataError: There is no finished audit of the edge maps, or a shard cannot be read.
        ConfigError: `photos` holds other crops than those.
    """
    audit = read_audit(directory, "messiness")
    crops = find_crops(directory, audit.manifest, photos)
    return Exhibit(audit=audit, items=audited_edge_maps(audit), pictures=EdgeMapPictures(audit, crops))
