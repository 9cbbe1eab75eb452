"""Crops of photos: one per annotation or the reason why it is rejected, and the removal of duplicates."""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from sketchdata.errors import FormatError, SketchDataError
from sketchdata.photos.image import DEFAULT_LIMITS, Photo, PhotoLimits, crop, decode, hamming, perceptual_hash, resize
from sketchdata.photos.near_duplicates import THUMBNAIL_BYTES, Hashes, Thumbnails, kept_of, thumbnail
from sketchdata.photos.saliency import salient_box
from sketchdata.storage import pictures
from sketchdata.storage.cards import fill, picture_card_head, reject_rows
from sketchdata.storage.manifest import Manifest, replacing
from sketchdata.storage.pictures import Box, picture_id

#: {name: suffix, parameters for OpenCV}. JPEG has full chroma resolution, because detectors also use colour edges.
ENCODINGS: dict[str, tuple[str, tuple[int, ...]]] = {
    "jpeg": (
        ".jpg",
        (cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
    ),
    "png": (".png", ()),
}
NO_BOX = ("whole", "saliency", "skip")

#: One annotation with the columns of its photo, a row of `annotations_of`.
AnnotationRow = Mapping[str, Any]
#: One crop with the columns of `pictures.schema` and DUPLICATE_MEASURES, but without `label`.
Crop = dict[str, Any]

#: {flag of an annotation: counter-clockwise quarter turns of its crop}.
_TURNS = {"turn90": 1, "turn180": 2, "turn270": 3}
_EDGES = ("x0", "y0", "x1", "y1")
#: Columns of an annotation and its photo that a crop also has.
_COPIED = ("word", "category", "photo", "source", "page", "author", "licence", "title", "fetched")


@dataclass(frozen=True, kw_only=True)
class CropRules:
    """How photos are cropped.

    Attributes:
        context: The margin on each side of a box, as a share of its width or height.
        min_size: The minimum length of a box's longer side, in pixels.
        longest_side: The maximum length of a crop's longer side, in pixels; larger crops are scaled down.
        format: A key of ENCODINGS.
        no_box: One of NO_BOX: how an annotation without a box is handled.
        skip_flags: Annotations with one of these flags are skipped.
    """

    context: float
    min_size: int
    longest_side: int
    format: str
    no_box: str
    skip_flags: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class RejectedAnnotation:
    """An annotation without a crop: the reason, in words that can be counted, and what was found."""

    annotation: AnnotationRow
    reason: str
    detail: str = ""

    def line(self) -> dict[str, Any]:
        """Return the line for the list of rejects."""
        place = {name: self.annotation[name] for name in ("photo", "word", "category", "where")}
        return {**place, "box": _stated_box(self.annotation), "reason": self.reason, "detail": self.detail}


def crop_photo(
    data: bytes, annotations: Sequence[AnnotationRow], rules: CropRules
) -> Iterator[Crop | RejectedAnnotation]:
    """Yield a crop or a reject for each annotation of one photo, which is decoded at most once.

    Args:
        data: The content of the photo's file.
        annotations: All annotations of the photo, under all its names.
        rules: How to crop.
    """
    boxed = {row["word"] for row in annotations if _stated_box(row) is not None}
    wanted = []
    for row in annotations:
        reason = _refusal(row, rules, boxed)
        if reason is None:
            wanted.append(row)
        else:
            yield RejectedAnnotation(annotation=row, reason=reason)
    if not wanted:
        return
    # Photos that were accepted in the collection, possibly with other limits, are accepted here.
    pixels = (wanted[0]["width"] or 0) * (wanted[0]["height"] or 0)
    limits = PhotoLimits(bytes=max(len(data), DEFAULT_LIMITS.bytes), pixels=max(pixels, DEFAULT_LIMITS.pixels))
    try:
        photo = decode(data, limits)
    except FormatError as error:
        yield from (RejectedAnnotation(annotation=row, reason=error.reason, detail=error.detail) for row in wanted)
        return
    for row in wanted:
        try:
            yield _crop(photo, row, rules)
        except FormatError as error:
            yield RejectedAnnotation(annotation=row, reason=error.reason, detail=error.detail)


def _stated_box(row: AnnotationRow) -> Box | None:
    return None if row["x0"] is None else (row["x0"], row["y0"], row["x1"], row["y1"])


def _refusal(row: AnnotationRow, rules: CropRules, boxed: set[str]) -> str | None:
    """Return why an annotation is skipped before its photo is decoded, or None."""
    flags = [flag for flag in rules.skip_flags if flag in (row["flags"] or ())]
    if flags:
        return f"flagged {flags[0]}"
    if _stated_box(row) is not None:
        return None
    if rules.no_box == "skip":
        return "no box"
    # The whole photo would repeat the content of the box, or show what the box was skipped for.
    return "boxed already" if row["word"] in boxed else None


def _crop(photo: Photo, row: AnnotationRow, rules: CropRules) -> Crop:
    box, context = _stated_box(row), rules.context
    shown = box
    if shown is None and rules.no_box == "saliency":
        shown = salient_box(photo)
    if shown is None:
        shown, context = (0, 0, photo.shape[1], photo.shape[0]), 0.0
    part = crop(photo, shown, context=context, min_size=rules.min_size)
    turns = sum(quarters for flag, quarters in _TURNS.items() if flag in (row["flags"] or ()))
    part = np.ascontiguousarray(np.rot90(part, turns))
    if box is not None:
        # Boxes of URL lists were not clipped, because the photo's size was unknown.
        box = max(box[0], 0), max(box[1], 0), min(box[2], photo.shape[1]), min(box[3], photo.shape[0])
    height, width = part.shape[:2]
    picture = resize(part, rules.longest_side) if max(height, width) > rules.longest_side else part
    image = encode(picture, rules.format)
    return {
        **{name: row[name] for name in _COPIED},
        **dict(zip(_EDGES, box or (None,) * 4, strict=True)),
        "photo_sha256": row["sha256"],
        "key_id": picture_id(row["sha256"], box, row["word"]),
        "image": image,
        "width": picture.shape[1],
        "height": picture.shape[0],
        "phash": perceptual_hash(picture),
        "thumbnail": thumbnail(picture),
        "area": height * width,
        # A hash of the pixels.
        "content": int.from_bytes(hashlib.sha256(image).digest()[:8], "big"),
    }


def encode(picture: Photo, format: str) -> bytes:
    """Encode (H, W, 3) uint8 RGB in a format of ENCODINGS; equal pixels give equal bytes.

    Raises:
        FormatError: OpenCV fails.
    """
    suffix, parameters = ENCODINGS[format]
    encoded, content = cv2.imencode(suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), parameters)
    if not encoded:
        raise FormatError("not encodable", f"{picture.shape[1]} × {picture.shape[0]} pixels as {format}")
    return bytes(content.tobytes())


# Chunks: the crops of some photos on disk before duplicates are removed, an Arrow file and a list of rejects.

#: Columns of a chunk, for finding duplicates, that a shard does not have.
DUPLICATE_MEASURES = {"area": pa.uint32(), "content": pa.uint64(), "thumbnail": pa.binary(THUMBNAIL_BYTES)}
#: Number of leading digits of a photo's sha256 that determine its chunk, independently of other photos: with 256
#: chunks, a chunk of a full-sized data set has about 1,200 photos.
PREFIX_DIGITS = 2

_ROWS_AT_ONCE = 64


def annotations_of(photos: pa.Table, boxes: pa.Table) -> pa.Table:
    """Return the annotations with the columns of their photos and `prefix`, of their sha256.

    For missing photos the columns are null, except those with the reason.
    """
    rows = pc.index_in(boxes["photo"], value_set=photos["photo"].combine_chunks())
    joined = boxes
    for name in photos.column_names:
        if name not in boxes.column_names:
            joined = joined.append_column(name, photos[name].take(rows))
    # A failed photo may have the hash of rejected content.
    sha256 = pc.if_else(pc.equal(joined["status"], "ok"), joined["sha256"], pa.scalar(None, pa.string()))
    return joined.append_column("prefix", pc.utf8_slice_codeunits(sha256, 0, PREFIX_DIGITS))


def write_chunk(file: Any, crops: Iterator[Crop], classes: Sequence[str]) -> int:
    """Write a stream of crops, with few in memory at a time; return their number.

    Raises:
        SketchDataError: A class is not in the class table.
    """
    measures = [pa.field(name, kind, nullable=False) for name, kind in DUPLICATE_MEASURES.items()]
    labels = {word: label for label, word in enumerate(classes)}
    rows = 0
    with pa.ipc.new_file(file, pa.schema([*pictures.schema(), *measures])) as writer:
        while some := list(islice(crops, _ROWS_AT_ONCE)):
            if unknown := [crop["word"] for crop in some if crop["word"] not in labels]:
                raise SketchDataError(f"{unknown[0]!r} is not a class of the photos' class table: collect again")
            columns = {name: [crop[name] for crop in some] for name in some[0]}
            table = pictures.to_table({**columns, "label": [labels[word] for word in columns["word"]]}, classes)
            for field in measures:
                table = table.append_column(field, pa.array(columns[field.name], field.type))
            writer.write_table(table)
            rows += len(some)
    return rows


def write_rejects(path: Path, rejects: Iterable[RejectedAnnotation]) -> Path:
    """Write rejects, one per line, whole or not at all; return the path."""
    with replacing(path) as file:
        file.writelines(orjson.dumps(reject.line(), option=orjson.OPT_APPEND_NEWLINE) for reject in rejects)
    return path


def read_chunk(path: Path, columns: Sequence[str]) -> pa.Table:
    """Memory-map some columns of a chunk; data is read on use."""
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all().select(list(columns))


# Removal of duplicates.

DUPLICATE_COLUMNS = ("key_id", "word", "kept_key_id", "kept_word", "bits", "kind", "photo", "kept_photo")
EXACT, NEAR = "exact", "near"

_READ = ("key_id", "label", "phash", "photo", "x0", "area", "content", "thumbnail")


@dataclass(frozen=True, kw_only=True)
class Crops:
    """All N crops, including duplicates, chunk by chunk.

    Attributes:
        key_id: (N,) uint64.
        label: (N,) uint16.
        phash: (N,) uint64.
        boxed: (N,) bool, whether there is an annotated box.
        area: (N,) uint32, of the crops in the photos, in pixels.
        content: (N,) uint64, a hash of the pixels.
        thumbnail: (N, 256) uint8.
        photo: (N,) strings.
        starts: (chunks + 1,) int64, offsets of the chunks' rows.
    """

    key_id: npt.NDArray[np.uint64]
    label: npt.NDArray[np.uint16]
    phash: Hashes
    boxed: npt.NDArray[np.bool_]
    area: npt.NDArray[np.uint32]
    content: npt.NDArray[np.uint64]
    thumbnail: Thumbnails
    photo: pa.ChunkedArray
    starts: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.key_id)


def read_crops(paths: Sequence[Path]) -> Crops:
    """Read the columns of all chunks for finding duplicates, without the pictures."""
    tables = [read_chunk(path, _READ) for path in paths]
    table = pa.concat_tables(tables)
    thumbnails = [
        np.frombuffer(chunk.buffers()[1], np.uint8).reshape(-1, THUMBNAIL_BYTES)[: len(chunk)]
        for chunk in table["thumbnail"].chunks
    ]
    return Crops(
        **{name: table[name].to_numpy() for name in ("key_id", "label", "phash", "area", "content")},
        boxed=table["x0"].is_valid().to_numpy(),
        thumbnail=np.concatenate(thumbnails),
        photo=table["photo"],
        starts=np.cumsum([0, *map(len, tables)]),
    )


def choose(crops: Crops, near: int | None) -> npt.NDArray[np.int64]:
    """Return for each crop the one that is kept: itself, or an exact or near duplicate. (N,) int64.

    Among duplicates, crops with an annotated box have precedence, then larger ones, then those with a smaller key_id.
    Duplicates in different classes are kept in one of them.

    Args:
        crops: All crops.
        near: Maximum number of bits in which hashes of near duplicates differ; None for exact duplicates only.

    Raises:
        SketchDataError: Two different crops that are kept have the same key_id.
    """
    order = np.lexsort((crops.key_id, -crops.area.astype(np.int64), ~crops.boxed))
    _, first, which = np.unique(crops.content[order], return_index=True, return_inverse=True)
    kept: npt.NDArray[np.int64] = np.empty(len(crops), np.int64)
    kept[order] = order[first[which]]
    if near is not None:
        unlike = order[np.sort(first)]
        stays = kept_of(crops.phash[unlike], crops.thumbnail[unlike], near)
        stays_for = np.arange(len(crops))
        stays_for[unlike] = unlike[stays]
        kept = stays_for[kept]
    if twice := pictures.repeated(crops.key_id[staying(kept)].tolist()):
        raise SketchDataError(f"different crops have the key_id {twice[0]}: another --context or --min-size may help")
    return kept


def staying(kept: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the rows that are kept, in ascending order."""
    found: npt.NDArray[np.int64] = np.flatnonzero(kept == np.arange(len(kept)))
    return found


def write_duplicates(path: Path, crops: Crops, kept: npt.NDArray[np.int64], classes: Sequence[str]) -> int:
    """Write the removed crops, by class and key_id, each with the one that is kept; return their number."""
    gone = np.flatnonzero(kept != np.arange(len(kept)))
    gone = gone[np.lexsort((gone, crops.key_id[gone], crops.label[gone]))]
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(DUPLICATE_COLUMNS)
    for row, other in zip(gone.tolist(), kept[gone].tolist(), strict=True):
        bits = hamming(int(crops.phash[row]), int(crops.phash[other]))
        kind = EXACT if crops.content[row] == crops.content[other] else NEAR
        first, second = ([crops.key_id[each], classes[crops.label[each]]] for each in (row, other))
        lines.writerow([*first, *second, bits, kind, crops.photo[row].as_py(), crops.photo[other].as_py()])
    with replacing(path) as file:
        file.write(text.getvalue().encode("utf-8"))
    return len(gone)


@dataclass(frozen=True, kw_only=True)
class DuplicateCounts:
    """Numbers of removed crops: exact and near duplicates, and those of a crop in another class."""

    exact: int
    near: int
    across_classes: int


def count_duplicates(path: Path) -> DuplicateCounts:
    """Count the rows of a list of duplicates; an unreadable one is a SketchDataError."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
            kinds = Counter(row["kind"] for row in rows)
            across = sum(row["word"] != row["kept_word"] for row in rows)
    except (OSError, UnicodeDecodeError, csv.Error, KeyError) as error:
        raise SketchDataError(f"{path} cannot be read as a list of duplicates: {error}") from error
    return DuplicateCounts(exact=kinds[EXACT], near=kinds[NEAR], across_classes=across)


# The card of a data set of crops.

_NO_BOX = {
    "whole": "Photos without a box are there as a whole.",
    "saliency": "Photos without a box are cropped to what stands out of them (geodesic saliency).",
    "skip": "Photos without a box were left out.",
}


def crops_card(manifest: Manifest) -> str:
    """Return the README of a data set of crops: Markdown with front matter for `datasets`."""
    config = manifest.config
    near = (
        "Of equal crops one stayed"
        if config["near"] is None
        else f"Of equal crops, and of those whose 64-bit perceptual hashes differ in at most {config['near']} bits and "
        "whose\nthumbnails correlate, one stayed"
    )
    values = {
        "head": picture_card_head(manifest, "crops"),
        "context": f"{config['context']:g}",
        "format": config["format"].upper(),
        "no_box": _NO_BOX[config["no_box"]],
        "near": near,
        "rejected": f"{sum(manifest.rejects.values()):,}",
        "reject_rows": reject_rows(manifest),
    }
    return fill("crops", {**config, **values})
