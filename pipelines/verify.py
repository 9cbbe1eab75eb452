"""Check a data set against its manifest and against the rules of its split.

Everything that a manifest promises is recomputed from the files: sizes and hashes, then what the Parquet shards hold.
"""

from __future__ import annotations

import csv
import os
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from sketchdata.drawings.sampling import mix_classes, ranks
from sketchdata.edges import dataset
from sketchdata.edges.dataset import ATTRIBUTION_FILE, VAL, holds_pictures, is_edgemaps, noun_of
from sketchdata.errors import FormatError, SketchDataError
from sketchdata.photos import collection
from sketchdata.photos.collection import Collection, read_collection
from sketchdata.photos.image import decode
from sketchdata.progress import task_bar
from sketchdata.retrieval.code_folder import CodeFolder, file_name
from sketchdata.retrieval.index import CODES, KEY_IDS, KINDS, LABELS, open_index
from sketchdata.storage import parquet, pictures
from sketchdata.storage.manifest import MANIFEST_NAME, FileEntry, Manifest, read_manifest
from sketchdata.storage.parquet import read_facts
from sketchdata.storage.verification import Verification, check_counts, check_files, unlisted

# Check a folder of codes, or an index over codes, against its manifest.


def holds_codes(manifest: Manifest) -> bool:
    """Tell whether a manifest is that of a folder of codes or of an index over codes."""
    return "bits" in manifest.config and ("splits" in manifest.config or manifest.config.get("kind") in KINDS)


def check_codes(directory: Path, manifest: Manifest, whole: set[str], verification: Verification) -> None:
    """Check the codes of each split, or of the one split of an index.

    Args:
        directory: The folder.
        manifest: Its manifest.
        whole: Files whose size and hash are as they should be.
        verification: Where to note what is found.
    """
    for split, told in manifest.counts.items():
        try:
            if "kind" in manifest.config:
                labels = open_index(directory).labels if {CODES, KEY_IDS, LABELS} <= whole else None
            else:
                read = CodeFolder(path=directory, manifest=manifest).read
                labels = read(split).labels if file_name(split) in whole else None
        except SketchDataError as error:
            verification.check("unreadable codes", [str(error)])
            continue
        verification.check("unreadable codes", [])
        if labels is not None:
            verification.records += len(labels)
            check_counts(np.bincount(labels, minlength=len(told)).tolist(), told, split, verification)


# Check a finished set of edge maps: its tars against its index, and its index against the rules of its split.

#: What a sample's JSON has in common with its row of the index, as text.
_SAME = ("key_id", "word", "label", "photo", "photo_sha256", "source")


def check_edgemaps(directory: Path, manifest: Manifest, whole: set[str], verification: Verification) -> None:
    """Check every split's index and tars, then the splits against each other and the photos that are named."""
    indexes = {split: _read_index(directory, split, whole, verification) for split in manifest.counts}
    found = {split: index for split, index in indexes.items() if index is not None}
    for split, index in found.items():
        _check_split(manifest, split, index, verification)
        listed = set(index.column("tar").to_pylist())
        tars = dataset.tars_of(manifest, split)
        strangers = [f"the index of {split} has no rows of {tar.path}" for tar in tars if tar.path not in listed]
        verification.check("tars of the index", strangers)
        _check_tars(directory, manifest, [tar for tar in tars if tar.path in whole], index, verification)
    if len(found) == len(manifest.counts):
        verification.check("key_id twice", _twice(found))
        verification.check("photos across splits", _photos_across(found))
        if ATTRIBUTION_FILE in whole:
            verification.check("attribution", _wrong_attribution(directory / ATTRIBUTION_FILE, found))


def _read_index(directory: Path, split: str, whole: set[str], verification: Verification) -> pa.Table | None:
    name = dataset.index_name(split)
    if name not in whole:
        return None
    try:
        index = dataset.read_index(directory / name)
        verification.check("unreadable index", [])
    except SketchDataError as error:
        verification.check("unreadable index", [str(error)])
        return None
    verification.records += len(index)
    return index


def _check_split(manifest: Manifest, split: str, index: pa.Table, verification: Verification) -> None:
    seed, share = manifest.config["seed"], Fraction(manifest.config["val_share"])
    key_id, label = index.column("key_id").to_numpy(), index.column("label").to_numpy()
    told = {word: manifest.counts[split].get(word, 0) for word in manifest.classes}
    check_counts(np.bincount(label, minlength=len(told))[: len(told)].tolist(), told, split, verification)
    words = index.column("word").to_pylist()
    known = dict(enumerate(manifest.classes))
    wrong = [row for row, word in enumerate(words) if known.get(int(label[row])) != word]
    verification.check(
        "word and label",
        [f"{split}: key_id {key_id[row]} has label {label[row]} and word {words[row]!r}" for row in wrong],
    )
    moved = np.flatnonzero(mix_classes(label, ranks(key_id, seed)) != np.arange(len(index)))
    verification.check(
        "order of rows", [f"{split}: row {row:,} is not the one of that rank" for row in moved[:1].tolist()]
    )
    in_val = dataset.falls_into_val(index.column("photo_sha256").to_pylist(), seed, share)
    strays = np.flatnonzero(in_val != (split == VAL)).tolist()
    verification.check("split by photo", [f"key_id {key_id[row]} does not belong to {split}" for row in strays])


# ---- tars against the index ------------------------------------------------------------------------------------------


def _check_tars(
    directory: Path, manifest: Manifest, tars: list[FileEntry], index: pa.Table, verification: Verification
) -> None:
    names = np.array(index.column("tar").to_pylist(), object)
    side = manifest.config["edges"].get("size", dataset.DEFAULT_SIDE)
    with task_bar() as bar:
        row = bar.add_task("Reading tars", total=len(tars))
        for tar in tars:
            rows = index.take(pa.array(np.flatnonzero(names == tar.path))).to_pylist()
            wrong = (
                [] if len(rows) == tar.records else [f"{tar.path} has {len(rows):,} rows, and {tar.records:,} are told"]
            )
            verification.check("rows of the index", wrong)
            try:
                verification.check("members of the tar", _wrong_members(directory / tar.path, tar.path, rows))
                verification.check("picture", _wrong_pictures(directory / tar.path, rows, side))
            except (tarfile.TarError, OSError, EOFError) as error:
                verification.check("members of the tar", [f"{tar.path} cannot be read as a tar: {error}"])
            bar.advance(row)


def _wrong_members(path: Path, name: str, rows: list[dict[str, Any]]) -> Iterator[str]:
    """Compare a tar's members with its rows of the index, in order: names, places, and what the JSONs say."""
    with tarfile.open(path) as file:
        members = file.getmembers()
        expected = [f"{row['key_id']}.{kind}" for row in rows for kind in ("png", "json")]
        if (found := [member.name for member in members]) != expected:
            first = next((i for i, pair in enumerate(zip(found, expected, strict=False)) if pair[0] != pair[1]), None)
            yield f"{name} has {len(found):,} members, the index {len(expected):,}, and they differ from " + (
                f"number {min(len(found), len(expected)) if first is None else first:,} on"
            )
            return
        for row, png, text in zip(rows, members[::2], members[1::2], strict=True):
            if (png.offset_data, png.size) != (row["offset"], row["bytes"]):
                yield f"{name}: {png.name} lies at {png.offset_data:,}, and the index says {row['offset']:,}"
            content = file.extractfile(text)
            yield from () if content is None else _wrong_sample(content.read(), row, f"{name}: {text.name}")


def _wrong_sample(content: bytes, row: Mapping[str, Any], where: str) -> Iterator[str]:
    try:
        sample = orjson.loads(content)
        told = {key: str(sample[key]) for key in _SAME}
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        yield f"{where} is not a sample's JSON: {error!r}"
        return
    for key, value in told.items():
        if value != str(row[key]):
            yield f"{where} has {key} {value!r}, and the index {str(row[key])!r}"


def _wrong_pictures(path: Path, rows: list[dict[str, Any]], side: int) -> Iterator[str]:
    """Decode every PNG from where the index says that it lies."""
    with path.open("rb") as file, ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:

        def fault(row: Mapping[str, Any]) -> str | None:
            try:
                dataset.decode_map(os.pread(file.fileno(), row["bytes"], row["offset"]), side)
            except FormatError as error:
                return str(error)
            return None

        for row, found in zip(rows, pool.map(fault, rows), strict=True):
            if found is not None:
                yield f"{row['tar']}: {row['key_id']}.png: {found}"


# ---- splits against each other ---------------------------------------------------------------------------------------


def _twice(indexes: Mapping[str, pa.Table]) -> Iterator[str]:
    key_ids = np.concatenate([index.column("key_id").to_numpy() for index in indexes.values()])
    yield from (f"key_id {key_id} stands twice" for key_id in pictures.repeated(key_ids))


def _photos_across(indexes: Mapping[str, pa.Table]) -> Iterator[str]:
    owner: dict[str, str] = {}
    for split, index in indexes.items():
        for sha256 in dict.fromkeys(index.column("photo_sha256").to_pylist()):
            if owner.setdefault(sha256, split) != split:
                yield f"the photo with sha256 {sha256[:16]}… has maps in {owner[sha256]} and in {split}"


def _wrong_attribution(path: Path, indexes: Mapping[str, pa.Table]) -> Iterator[str]:
    """Compare the photos that are named with those of which there are maps."""
    counted: Counter[tuple[str, str]] = Counter()
    for index in indexes.values():
        counted.update(zip(*(index.column(name).to_pylist() for name in ("photo", "photo_sha256")), strict=True))
    named: Counter[tuple[str, str]] = Counter()
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                named[row["photo"], row["sha256"]] += int(row["maps"])
    except (KeyError, ValueError, TypeError, csv.Error) as error:
        yield f"{path.name} cannot be read as a list of photos: {error!r}"
        return
    for photo, sha256 in sorted(set(counted) | set(named)):
        maps, told = counted[photo, sha256], named[photo, sha256]
        if maps != told:
            yield f"{path.name} has {told:,} maps of {photo}, and the index {maps:,}"


# Check what the stages of `sketchdata edgemaps` hand over: collections of photos, crops of them, and edge maps.

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
    side = manifest.config.get("size", dataset.DEFAULT_SIDE) if "detector" in manifest.config else None
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
        verification.check("picture", _wrong_pictures_verify_pictures(table, shard, side))
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


def _wrong_pictures_verify_pictures(table: pa.Table, shard: FileEntry, side: int | None) -> Iterator[str]:
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
        picture = decode(content) if side is None else dataset.decode_map(content, side)
    except FormatError as error:
        return str(error)
    height, width = picture.shape[:2]
    return None if (width, height) == size else f"it is {width} × {height}, and {size[0]} × {size[1]} is told"


Check = Callable[[Path, Manifest, set[str], Verification], None]


def run(directory: Path) -> Verification:
    """Check a data set.

    Raises:
        SketchDataError: There is no manifest to check against.
    """
    manifest = read_manifest(directory)
    verification = Verification(noun=noun_of(manifest))
    if manifest.name == collection.NAME:
        check_collection(directory, manifest, verification)
        return verification
    verification.check("unlisted file", unlisted(directory, manifest.files))
    whole = check_files(directory, manifest.files, verification)
    _check_of(manifest)(directory, manifest, whole, verification)
    return verification


def _check_of(manifest: Manifest) -> Check:
    """Return what looks into the files of a data set of this kind."""
    kinds: dict[Check, bool] = {
        check_edgemaps: is_edgemaps(manifest),
        check_pictures: holds_pictures(manifest),
        check_codes: holds_codes(manifest),
    }
    return next((check for check, holds in kinds.items() if holds), _check_drawings)


def _check_drawings(directory: Path, manifest: Manifest, whole: set[str], verification: Verification) -> None:
    splits = _splits(directory, manifest)
    verification.check("no shards", [f"{s} has drawings and no shards" for s in splits if not manifest.shards(s)])
    rows = {split: _Rows.read(directory, manifest, split, whole, verification) for split in splits}
    for split, split_rows in rows.items():
        if split_rows is not None:
            _check_split_verify(directory, manifest, split, split_rows, verification)
    complete = {split: split_rows for split, split_rows in rows.items() if split_rows is not None}
    if complete:
        verification.check("key_id twice", _twice_verify(complete))
        # What fills the holes of train ranks behind all that was in query before.
        if not manifest.config.get("curation", {}).get("refill", False):
            verification.check("ranks across splits", _ranks_across(complete, manifest))


def _splits(directory: Path, manifest: Manifest) -> list[str]:
    """Return the splits that should lie in Parquet shards.

    Raises:
        SketchDataError: The manifest does not say how the data set was split.
    """
    # An export has files of its own, whose rows were checked where they came from. A curated data set has a parent too.
    if manifest.parent is not None and not any(manifest.shards(split) for split in manifest.counts):
        return []
    missing = [name for name in ("seed", "input_format") if name not in manifest.config]
    if missing:
        raise SketchDataError(
            f"{directory / MANIFEST_NAME} does not record {' and '.join(missing)}, so the split cannot be checked: "
            "build the data set again"
        )
    return [split for split, drawings in manifest.splits.items() if drawings or manifest.shards(split)]


@dataclass(frozen=True, kw_only=True)
class _Rows:
    """What the checks need of a split's N rows, and where each shard's rows begin."""

    key_id: npt.NDArray[np.uint64]
    label: npt.NDArray[np.uint16]

    @staticmethod
    def read(
        directory: Path, manifest: Manifest, split: str, whole: set[str], verification: Verification
    ) -> _Rows | None:
        """Read a split's shards, checking each by itself; None when one of them cannot be used."""
        parts, usable = [], True
        for shard in manifest.shards(split):
            if shard.path not in whole:
                usable = False
                continue
            try:
                parts.append(_read_shard(directory, manifest, split, shard, verification))
                verification.check("unreadable shard", [])
            except SketchDataError as error:
                usable = verification.check("unreadable shard", [str(error)])
        if not usable or not parts:
            return None
        key_ids, labels = zip(*parts, strict=True)
        verification.records += sum(map(len, labels))
        return _Rows(key_id=np.concatenate(key_ids), label=np.concatenate(labels))


def _read_shard(
    directory: Path, manifest: Manifest, split: str, shard: FileEntry, verification: Verification
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint16]]:
    """Check one shard's columns, metadata and rows; return its key_ids and labels."""
    schema, facts = parquet.read_facts(directory / shard.path)
    expected = parquet.schema(raw=manifest.is_raw)
    if not verification.check(
        "schema", [] if schema.equals(expected) else [f"{shard.path} has other columns: {schema}"]
    ):
        raise SketchDataError(f"{shard.path} was not read, since its columns are others")
    told = {"split": split, "seed": manifest.config["seed"], "version": manifest.version, "tool": manifest.tool}
    found = {**facts, "tool": f"sketchdata {facts.get('tool')}"}
    differing = [
        f"{name} is {found.get(name)!r} instead of {value!r}"
        for name, value in told.items()
        if found.get(name) != value
    ]
    verification.check("metadata", [f"{shard.path}: {', '.join(differing)}"] if differing else [])
    key_ids, labels = [np.empty(0, np.uint64)], [np.empty(0, np.uint16)]
    for table in parquet.read_row_groups(directory / shard.path, ["key_id", "word", "label", "drawing"]):
        key_ids.append(table.column("key_id").to_numpy())
        labels.append(table.column("label").to_numpy())
        verification.check("word and label", _wrong_words_verify(table, manifest, shard))
        verification.check("empty drawing", _empty(table, shard))
    rows = sum(map(len, labels))
    verification.check(
        "rows", [] if rows == shard.records else [f"{shard.path} has {rows:,} rows instead of {shard.records:,}"]
    )
    return np.concatenate(key_ids), np.concatenate(labels)


def _wrong_words_verify(table: pa.Table, manifest: Manifest, shard: FileEntry) -> Iterator[str]:
    words, labels = table.column("word").combine_chunks(), table.column("label").to_numpy()
    names = np.array(words.dictionary.to_pylist(), object)[words.indices.to_numpy()]
    classes = np.array([*manifest.classes, None], object)
    expected = classes[np.minimum(labels, len(manifest.classes))]
    for row in np.flatnonzero(names != expected)[:1].tolist():
        yield f"{shard.path}: key_id {table.column('key_id')[row]} has label {labels[row]} and word {names[row]!r}"


def _empty(table: pa.Table, shard: FileEntry) -> Iterator[str]:
    drawings = table.column("drawing").combine_chunks()
    strokes = pc.list_value_length(drawings).to_numpy()
    points = pc.list_value_length(drawings.flatten()).to_numpy()
    if strokes.min(initial=1) < 1 or points.min(initial=1) < 1:
        yield f"{shard.path} has a drawing without strokes or a stroke without points"


def _check_split_verify(
    directory: Path, manifest: Manifest, split: str, rows: _Rows, verification: Verification
) -> None:
    counts = np.bincount(rows.label, minlength=len(manifest.classes))
    told = {word: manifest.counts[split].get(word, 0) for word in manifest.classes}
    check_counts(counts[: len(told)].tolist(), told, split, verification)
    verification.check("order of rows", _disorder(split, rows, manifest.config["seed"]))
    verification.check("key_id list", _wrong_list(directory, split, rows))


def _disorder(split: str, rows: _Rows, seed: int) -> Iterator[str]:
    wrong = np.flatnonzero(mix_classes(rows.label, ranks(rows.key_id, seed)) != np.arange(len(rows.label)))
    if len(wrong):
        yield f"{split}: row {wrong[0]:,} (key_id {rows.key_id[wrong[0]]}) is not the one that the ranks put there"


def _wrong_list(directory: Path, split: str, rows: _Rows) -> Iterator[str]:
    path = directory / "key_ids" / f"{split}.txt"
    try:
        listed = path.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError) as error:
        yield f"{path.name} cannot be read: {error}"
        return
    held = [str(key_id) for key_id in rows.key_id.tolist()]
    if listed != held:
        line = next(
            (i for i, pair in enumerate(zip(listed, held, strict=False)) if pair[0] != pair[1]),
            min(len(listed), len(held)),
        )
        yield f"key_ids/{split}.txt differs from the shards in line {line + 1:,}"


def _twice_verify(rows: dict[str, _Rows]) -> Iterator[str]:
    key_ids = np.concatenate([split_rows.key_id for split_rows in rows.values()])
    splits = np.repeat(list(rows), [len(split_rows.key_id) for split_rows in rows.values()])
    order = np.argsort(key_ids, kind="stable")
    for at in np.flatnonzero(key_ids[order[1:]] == key_ids[order[:-1]]).tolist():
        first, second = order[at], order[at + 1]
        yield f"key_id {key_ids[first]} is in {splits[first]} and in {splits[second]}"


def _ranks_across(rows: dict[str, _Rows], manifest: Manifest) -> Iterator[str]:
    """A class's ranks rise from split to split: all of train lie below all of val, and so on."""
    seed, classes = manifest.config["seed"], len(manifest.classes)
    highest, owner = np.zeros(classes, np.uint64), np.full(classes, "", object)
    for split, split_rows in rows.items():
        # Labels beyond the class table are another check's fault.
        known = split_rows.label < classes
        labels, own = split_rows.label[known], ranks(split_rows.key_id[known], seed)
        lowest = np.full(classes, np.uint64(2**64 - 1))
        np.minimum.at(lowest, labels, own)
        for label in np.flatnonzero((lowest < highest) & (owner != "")).tolist():
            yield f"{manifest.classes[label]}: a drawing of {split} has a smaller rank than one of {owner[label]}"
        np.maximum.at(highest, labels, own)
        owner[np.unique(labels)] = split
