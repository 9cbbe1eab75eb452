"""Check what the stages of `sketchdata edgemaps` hand over: collections of photos, crops of them, and edge maps."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sketchdata import collection
from sketchdata.collection import Collection, read_collection
from sketchdata.errors import FormatError, SketchDataError
from sketchdata.manifest import FileEntry, Manifest
from sketchdata.photos import decode
from sketchdata.progress import task_bar
from sketchdata.shards import edgemaps, pictures
from sketchdata.shards.parquet import read_facts
from sketchdata.verification import Verification, check_counts, check_files, unlisted

# ---- photos ----------------------------------------------------------------------------------------------------------


def check_collection(directory: Path, manifest: Manifest, verification: Verification) -> None:
    """Check a collection's tables, then every photo that they list against its sha256."""
    verification.noun = "photos"
    whole = check_files(directory, manifest.files, verification)
    if not {collection.PHOTOS_FILE, collection.BOXES_FILE} <= whole:
        return
    try:
        found = read_collection(directory)
    except SketchDataError as error:
        verification.check("unreadable table", [str(error)])
        return
    verification.check("unreadable table", [])
    photos = _photo_files(found)
    check_files(directory, photos, verification)
    # What is not finished may be tried again, and lies in a folder of its own.
    strangers = unlisted(directory, [*manifest.files, *photos])
    verification.check("unlisted file", [name for name in strangers if not name.startswith(".")])
    verification.check("file name", [f"{e.path} is not named after its sha256" for e in photos if not _is_named(e)])
    verification.check("unknown photo", _unknown_photos(found))
    words = Counter(found.boxes.column("word").to_pylist())
    verification.check("unknown class", [f"{word} is no class" for word in sorted(set(words) - set(manifest.classes))])
    told = manifest.counts[pictures.UNDIVIDED]
    check_counts([words[word] for word in told], told, "the collection", verification)
    verification.records = len(photos)


def _photo_files(found: Collection) -> list[FileEntry]:
    """Return the files of the photos that are there, each once: several addresses may lead to the same photo."""
    there = found.photos.filter(pc.is_valid(found.photos.column("path")))
    columns = (there.column(name).to_pylist() for name in ("path", "bytes", "sha256"))
    files = {path: (size, sha256) for path, size, sha256 in zip(*columns, strict=True)}
    return [FileEntry(path=path, bytes=size, sha256=sha256, records=1) for path, (size, sha256) in files.items()]


def _is_named(photo: FileEntry) -> bool:
    return photo.path.startswith(f"{collection.PHOTOS_FOLDER}/{photo.sha256[:2]}/{photo.sha256}.")


def _unknown_photos(found: Collection) -> Iterator[str]:
    known = set(found.photos.column("photo").to_pylist())
    for photo in dict.fromkeys(found.boxes.column("photo").to_pylist()):
        if photo not in known:
            yield f"boxes are of {photo}, which {collection.PHOTOS_FILE} does not have"


# ---- crops and edge maps ---------------------------------------------------------------------------------------------


def check_pictures(directory: Path, manifest: Manifest, whole: set[str], verification: Verification) -> None:
    """Check shards of crops or edge maps: columns, key_ids, classes, order, and that every picture decodes."""
    tables = []
    side = manifest.config.get("size", edgemaps.DEFAULT_SIDE) if "detector" in manifest.config else None
    shards = [shard for shard in manifest.shards(pictures.UNDIVIDED) if shard.path in whole]
    with task_bar() as bar:
        row = bar.add_task("Decoding pictures", total=len(shards))
        for shard in shards:
            tables += _check_shard(directory, manifest, shard, side, verification)
            bar.advance(row)
    if len(tables) < len(manifest.shards(pictures.UNDIVIDED)):
        return
    rows = pa.concat_tables(tables)
    label, key_id = rows.column("label").to_numpy(), rows.column("key_id").to_numpy()
    verification.records = len(rows)
    verification.check("key_id twice", [f"key_id {each} stands twice" for each in pictures.repeated(key_id)])
    wrong = np.flatnonzero(pictures.row_numbers(label, key_id) != np.arange(len(rows)))
    verification.check("order of rows", [f"row {each:,} is out of order" for each in wrong[:1].tolist()])
    told = manifest.counts[pictures.UNDIVIDED]
    check_counts(np.bincount(label, minlength=len(told))[: len(told)].tolist(), told, "the data set", verification)


def _check_shard(
    directory: Path, manifest: Manifest, shard: FileEntry, side: int | None, verification: Verification
) -> list[pa.Table]:
    """Check one shard by itself; return its labels and key_ids, nothing when it cannot be used."""
    try:
        schema, _ = read_facts(directory / shard.path)
        same = schema == pictures.schema()
        if not verification.check("schema", [] if same else [f"{shard.path} has other columns: {schema}"]):
            return []
        groups = list(pictures.read_shard(directory / shard.path))
        verification.check("unreadable shard", [])
    except SketchDataError as error:
        verification.check("unreadable shard", [str(error)])
        return []
    for table in groups:
        verification.check("word and label", _wrong_words(table, manifest, shard))
        verification.check("key_id", _wrong_key_ids(table, shard))
        verification.check("picture", _wrong_pictures(table, shard, side))
    rows = sum(table.num_rows for table in groups)
    wrong = [] if rows == shard.records else [f"{shard.path} has {rows:,} rows instead of {shard.records:,}"]
    verification.check("rows", wrong)
    empty = pa.schema([("label", pa.uint16()), ("key_id", pa.uint64())]).empty_table()
    kept = [table.select(["label", "key_id"]).cast(empty.schema) for table in groups]
    return [pa.concat_tables([empty, *kept])]


def _wrong_words(table: pa.Table, manifest: Manifest, shard: FileEntry) -> Iterator[str]:
    known = dict(enumerate(manifest.classes))
    columns = (table.column(name).to_pylist() for name in ("key_id", "label", "word"))
    for key_id, label, word in zip(*columns, strict=True):
        if known.get(label) != word:
            yield f"{shard.path}: key_id {key_id} has label {label} and word {word!r}"


def _wrong_key_ids(table: pa.Table, shard: FileEntry) -> Iterator[str]:
    columns = (table.column(name).to_pylist() for name in ("key_id", "photo_sha256", "word"))
    for (key_id, sha256, word), box in zip(zip(*columns, strict=True), pictures.boxes(table), strict=True):
        if key_id != (expected := pictures.picture_id(sha256, box, word)):
            yield f"{shard.path}: key_id {key_id} of {word} should be {expected} by its photo, box and class"


def _wrong_pictures(table: pa.Table, shard: FileEntry, side: int | None) -> Iterator[str]:
    """Yield what is wrong with pictures: crops must have the size that is told, edge maps be PNGs of one side."""
    key_ids = table.column("key_id").to_pylist()
    sizes = zip(table.column("width").to_pylist(), table.column("height").to_pylist(), strict=True)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        faults = pool.map(_picture_fault, pictures.image_bytes(table), sizes, [side] * len(key_ids))
        for key_id, fault in zip(key_ids, faults, strict=True):
            if fault is not None:
                yield f"{shard.path}: key_id {key_id}: {fault}"


def _picture_fault(content: bytes, size: tuple[int, int], side: int | None) -> str | None:
    try:
        picture = decode(content) if side is None else edgemaps.decode_map(content, side)
    except FormatError as error:
        return str(error)
    height, width = picture.shape[:2]
    return None if (width, height) == size else f"it is {width} × {height}, and {size[0]} × {size[1]} is told"
