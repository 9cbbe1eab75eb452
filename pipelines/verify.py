"""Check a data set against its manifest and against the rules of its split.

Every statement of a manifest is recomputed from the files: sizes and hashes, then their content. There is a function
for each kind of data set: drawings, codes and indexes, sets of edge maps, collections of photos, and pictures.
"""

from __future__ import annotations

import csv
import os
import tarfile
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from sketchdata.cross_domain.layouts import DOMAINS, DRAWINGS, GROUPS, VECTORS, class_split, classes_of, is_two_domains
from sketchdata.drawings.sampling import mix_classes, ranks
from sketchdata.edges import dataset
from sketchdata.edges.dataset import ATTRIBUTION_FILE, VAL, holds_pictures, is_edgemaps, noun_of
from sketchdata.errors import FormatError, SketchDataError
from sketchdata.photos import collection
from sketchdata.photos.collection import read_collection
from sketchdata.photos.image import decode
from sketchdata.progress import task_bar
from sketchdata.retrieval.code_folder import CodeFolder, file_name
from sketchdata.retrieval.index import CODES, KEY_IDS, KINDS, LABELS, open_index
from sketchdata.retrieval.vector_folder import VectorFolder, is_vectors
from sketchdata.retrieval.vector_index import is_vector_index, open_vector_index
from sketchdata.storage import parquet, pictures
from sketchdata.storage.dataset import file_faults
from sketchdata.storage.manifest import AUDIT_FOLDER, MANIFEST_NAME, FileEntry, Manifest, read_manifest

Read = TypeVar("Read")


@dataclass(frozen=True, kw_only=True)
class FailedCheck:
    """One kind of fault: a message about the first case, and the number of cases."""

    kind: str
    first: str
    count: int


@dataclass
class Verification:
    """The result of a check.

    Attributes:
        files: Files whose size and hash were checked.
        records: Rows or photos that were checked.
        noun: Noun for the records in messages.
        checks: Kinds of fault that were checked.
    """

    files: int = 0
    records: int = 0
    noun: str = "drawings"
    checks: list[str] = field(default_factory=list)
    _faults: dict[str, list[str]] = field(default_factory=dict)

    @property
    def faults(self) -> list[FailedCheck]:
        """Every kind of fault that was found, in the order of the checks."""
        return [
            FailedCheck(kind=k, first=self._faults[k][0], count=len(self._faults[k]))
            for k in self.checks
            if k in self._faults
        ]

    def check(self, kind: str, faults: Iterable[str]) -> bool:
        """Record a check and its finding; return True if there is none."""
        found = list(faults)
        if kind not in self.checks:
            self.checks.append(kind)
        if found:
            self._faults.setdefault(kind, []).extend(found)
        return not found

    def attempt(self, kind: str, read: Callable[[], Read]) -> Read | None:
        """Return the result of a reader; None, and record the reason, if it fails."""
        try:
            found = read()
        except SketchDataError as error:
            self.check(kind, [str(error)])
            return None
        self.check(kind, [])
        return found


def run(directory: Path) -> Verification:
    """Check a data set.

    Raises:
        SketchDataError: The data set has no manifest.
    """
    manifest = read_manifest(directory)
    verification = Verification(noun="pictures" if is_two_domains(manifest) else noun_of(manifest))
    if manifest.name == collection.NAME:
        _check_collection(directory, manifest, verification)
        return verification
    verification.check("unlisted file", _unlisted(directory, manifest.files))
    whole = _check_files(directory, manifest.files, verification)
    if is_two_domains(manifest):
        check = _check_two_domains
    elif is_edgemaps(manifest):
        check = _check_edgemaps
    elif holds_pictures(manifest):
        check = _check_pictures
    elif is_vectors(manifest) or is_vector_index(manifest):
        check = _check_vectors
    elif "bits" in manifest.config and ("splits" in manifest.config or manifest.config.get("kind") in KINDS):
        check = _check_codes
    else:
        check = _check_drawings
    check(directory, manifest, whole, verification)
    return verification


# ---- checks of every kind --------------------------------------------------------------------------------------------


def _unlisted(directory: Path, listed: Iterable[FileEntry]) -> Iterator[str]:
    names = {entry.path for entry in listed} | {MANIFEST_NAME}
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory).as_posix()
        # Audits are written after the data set and are not part of it; each has its own record.
        if path.is_file() and name not in names and not name.startswith(f"{AUDIT_FOLDER}/"):
            yield f"{name} is not in the manifest"


def _check_files(directory: Path, entries: Collection[FileEntry], verification: Verification) -> set[str]:
    for kind in ("missing file", "size", "sha256"):
        verification.check(kind, [])
    whole: set[str] = set()
    with task_bar() as bar:
        row = bar.add_task("Hashing files", total=len(entries))
        for entry, fault in file_faults(directory, entries):
            if fault is None:
                whole.add(entry.path)
            else:
                verification.check(fault[0], [f"{entry.path} {fault[1]}"])
            bar.advance(row)
    verification.files += len(entries)
    return whole


def _check_counts(
    labels: npt.NDArray[np.integer[Any]], manifest: Manifest, split: str, verification: Verification
) -> None:
    counts = np.bincount(labels, minlength=len(manifest.classes)).tolist()
    told = manifest.counts[split]
    where = "the data set" if split == pictures.UNDIVIDED else split
    faults = [
        f"{where} has {found:,} {verification.noun} of {word} instead of {told.get(word, 0):,}"
        for found, word in zip(counts, manifest.classes, strict=False)
        if found != told.get(word, 0)
    ]
    verification.check("class balance", faults)


def _wrong_words(table: pa.Table, manifest: Manifest, where: str) -> Iterator[str]:
    label, encoded = table.column("label").to_numpy(), table.column("word").combine_chunks().dictionary_encode()
    words = np.array(encoded.dictionary.to_pylist(), object)[encoded.indices.to_numpy()]
    expected = np.array([*manifest.classes, None], object)[np.minimum(label, len(manifest.classes))]
    for row in np.flatnonzero(words != expected).tolist():
        yield f"{where}: key_id {table.column('key_id')[row]} has label {label[row]} and word {words[row]!r}"


def _disorder(label: npt.NDArray[Any], key_id: npt.NDArray[np.uint64], seed: int, split: str) -> Iterator[str]:
    wrong = np.flatnonzero(mix_classes(label, ranks(key_id, seed)) != np.arange(len(label)))
    if len(wrong):
        yield f"{split}: row {wrong[0]:,} (key_id {key_id[wrong[0]]}) is not the one that the ranks put there"


def _repeated(key_ids: Mapping[str, npt.NDArray[np.uint64]]) -> Iterator[str]:
    """Yield the key_ids that are in two splits or twice in one."""
    ids = np.concatenate([np.empty(0, np.uint64), *key_ids.values()])
    splits = np.repeat(list(key_ids), [len(own) for own in key_ids.values()])
    order = np.argsort(ids, kind="stable")
    for at in np.flatnonzero(ids[order[1:]] == ids[order[:-1]]).tolist():
        yield f"key_id {ids[order[at]]} is in {splits[order[at]]} and in {splits[order[at + 1]]}"


def _wrong_rows(shard: FileEntry, rows: int) -> list[str]:
    return [] if rows == shard.records else [f"{shard.path} has {rows:,} rows instead of {shard.records:,}"]


# ---- codes, and indexes over them ------------------------------------------------------------------------------------


def _check_codes(directory: Path, manifest: Manifest, whole: set[str], verification: Verification) -> None:
    def read(split: str) -> npt.NDArray[np.uint16]:
        if "kind" in manifest.config:
            return open_index(directory).labels
        return CodeFolder(path=directory, manifest=manifest).read(split).labels

    for split in manifest.counts:
        needed = {CODES, KEY_IDS, LABELS} if "kind" in manifest.config else {file_name(split)}
        labels = verification.attempt("unreadable codes", partial(read, split)) if needed <= whole else None
        if labels is not None:
            verification.records += len(labels)
            _check_counts(labels, manifest, split, verification)


def _check_vectors(directory: Path, manifest: Manifest, whole: set[str], verification: Verification) -> None:
    if is_vectors(manifest):
        for split in manifest.counts:
            read = partial(VectorFolder(path=directory, manifest=manifest).read, split)
            vectors = verification.attempt("unreadable vectors", read) if f"{split}.parquet" in whole else None
            if vectors is not None:
                verification.records += len(vectors)
                _check_counts(vectors.labels, manifest, split, verification)
    elif {entry.path for entry in manifest.files} <= whole:
        index = verification.attempt("unreadable vectors", partial(open_vector_index, directory))
        verification.records += 0 if index is None else len(index)


# ---- sets of edge maps: tars against their index, and the index against the rules of its split ----------------------

#: Fields that a sample's JSON shares with its row of the index, as text.
_SAME = ("key_id", "word", "label", "photo", "photo_sha256", "source")


def _check_edgemaps(directory: Path, manifest: Manifest, whole: set[str], verification: Verification) -> None:
    indexes = {split: _read_index(directory, split, whole, verification) for split in manifest.counts}
    found = {split: index for split, index in indexes.items() if index is not None}
    for split, index in found.items():
        _check_index(manifest, split, index, verification)
        listed = set(index.column("tar").to_pylist())
        tars = dataset.tars_of(manifest, split)
        unmatched = [f"the index of {split} has no rows of {tar.path}" for tar in tars if tar.path not in listed]
        verification.check("tars of the index", unmatched)
        _check_tars(directory, manifest, [tar for tar in tars if tar.path in whole], index, verification)
    if len(found) == len(manifest.counts):
        verification.check(
            "key_id twice", _repeated({s: index.column("key_id").to_numpy() for s, index in found.items()})
        )
        verification.check("photos across splits", _photos_across(found))
        if ATTRIBUTION_FILE in whole:
            verification.check("attribution", _wrong_attribution(directory / ATTRIBUTION_FILE, found))


def _read_index(directory: Path, split: str, whole: set[str], verification: Verification) -> pa.Table | None:
    name = dataset.index_name(split)
    if name not in whole:
        return None
    index = verification.attempt("unreadable index", lambda: dataset.read_index(directory / name))
    verification.records += 0 if index is None else len(index)
    return index


def _check_index(manifest: Manifest, split: str, index: pa.Table, verification: Verification) -> None:
    seed, share = manifest.config["seed"], Fraction(manifest.config["val_share"])
    key_id, label = index.column("key_id").to_numpy(), index.column("label").to_numpy()
    _check_counts(label, manifest, split, verification)
    verification.check("word and label", _wrong_words(index, manifest, split))
    verification.check("order of rows", _disorder(label, key_id, seed, split))
    in_val = dataset.falls_into_val(index.column("photo_sha256").to_pylist(), seed, share)
    strays = np.flatnonzero(in_val != (split == VAL)).tolist()
    verification.check("split by photo", [f"key_id {key_id[row]} does not belong to {split}" for row in strays])


def _check_tars(
    directory: Path, manifest: Manifest, tars: list[FileEntry], index: pa.Table, verification: Verification
) -> None:
    names = np.array(index.column("tar").to_pylist(), object)
    side = manifest.config["edges"].get("size", dataset.DEFAULT_SIDE)
    with task_bar() as bar:
        row = bar.add_task("Reading tars", total=len(tars))
        for tar in tars:
            rows = index.take(pa.array(np.flatnonzero(names == tar.path))).to_pylist()
            verification.check("rows of the index", _wrong_rows(tar, len(rows)))
            try:
                verification.check("members of the tar", _wrong_members(directory / tar.path, tar.path, rows))
                verification.check("picture", _wrong_pictures(directory / tar.path, rows, side))
            except (tarfile.TarError, OSError, EOFError) as error:
                verification.check("members of the tar", [f"{tar.path} cannot be read as a tar: {error}"])
            bar.advance(row)


def _wrong_members(path: Path, name: str, rows: list[dict[str, Any]]) -> Iterator[str]:
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


def _photos_across(indexes: Mapping[str, pa.Table]) -> Iterator[str]:
    owner: dict[str, str] = {}
    for split, index in indexes.items():
        for sha256 in dict.fromkeys(index.column("photo_sha256").to_pylist()):
            if owner.setdefault(sha256, split) != split:
                yield f"the photo with sha256 {sha256[:16]}… has maps in {owner[sha256]} and in {split}"


def _wrong_attribution(path: Path, indexes: Mapping[str, pa.Table]) -> Iterator[str]:
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


# ---- collections of photos -------------------------------------------------------------------------------------------


def _check_collection(directory: Path, manifest: Manifest, verification: Verification) -> None:
    verification.noun = "photos"
    whole = _check_files(directory, manifest.files, verification)
    if not {collection.PHOTOS_FILE, collection.BOXES_FILE} <= whole:
        return
    found = verification.attempt("unreadable table", lambda: read_collection(directory))
    if found is None:
        return
    # Several addresses can lead to the same photo.
    there = found.photos.filter(pc.is_valid(found.photos.column("path")))
    columns = (there.column(name).to_pylist() for name in ("path", "bytes", "sha256"))
    files = {path: (size, sha256) for path, size, sha256 in zip(*columns, strict=True)}
    photos = [FileEntry(path=path, bytes=size, sha256=sha256, records=1) for path, (size, sha256) in files.items()]
    _check_files(directory, photos, verification)
    # Unfinished photos may be tried again and have their own folder.
    extra = _unlisted(directory, [*manifest.files, *photos])
    verification.check("unlisted file", [name for name in extra if not name.startswith(".")])
    folder = collection.PHOTOS_FOLDER
    unnamed = [p.path for p in photos if not p.path.startswith(f"{folder}/{p.sha256[:2]}/{p.sha256}.")]
    verification.check("file name", [f"{path} is not named after its sha256" for path in unnamed])
    known = set(found.photos.column("photo").to_pylist())
    unknown = [photo for photo in dict.fromkeys(found.boxes.column("photo").to_pylist()) if photo not in known]
    message = f"which {collection.PHOTOS_FILE} does not have"
    verification.check("unknown photo", [f"boxes are of {photo}, {message}" for photo in unknown])
    words = Counter(found.boxes.column("word").to_pylist())
    verification.check(
        "unknown class", [f"{word} is not a class" for word in sorted(set(words) - set(manifest.classes))]
    )
    told = manifest.counts[pictures.UNDIVIDED].items()
    verification.check(
        "class balance",
        [f"the collection has {words[w]:,} photos of {w} instead of {n:,}" for w, n in told if words[w] != n],
    )
    verification.records = len(photos)


# ---- crops and edge maps ---------------------------------------------------------------------------------------------


def _check_pictures(directory: Path, manifest: Manifest, whole: set[str], verification: Verification) -> None:
    tables = []
    side = manifest.config.get("size", dataset.DEFAULT_SIDE) if "detector" in manifest.config else None
    shards = [shard for shard in manifest.shards(pictures.UNDIVIDED) if shard.path in whole]
    with task_bar() as bar:
        row = bar.add_task("Decoding pictures", total=len(shards))
        for shard in shards:
            tables += _check_picture_shard(directory, manifest, shard, side, verification)
            bar.advance(row)
    if len(tables) < len(manifest.shards(pictures.UNDIVIDED)):
        return
    rows = pa.concat_tables(tables)
    label, key_id = rows.column("label").to_numpy(), rows.column("key_id").to_numpy()
    verification.records = len(rows)
    verification.check("key_id twice", _repeated({"the data set": key_id}))
    wrong = np.flatnonzero(pictures.row_numbers(label, key_id) != np.arange(len(rows)))
    verification.check("order of rows", [f"row {each:,} is out of order" for each in wrong[:1].tolist()])
    _check_counts(label, manifest, pictures.UNDIVIDED, verification)


def _check_two_domains(directory: Path, manifest: Manifest, whole: set[str], verification: Verification) -> None:
    """Check both domains; no class, and no two crops of one photo, may be in two groups of classes."""
    split = class_split(manifest)
    key_ids: dict[str, npt.NDArray[np.uint64]] = {}
    owner: dict[str, str] = {}
    for domain in DOMAINS:
        for group in GROUPS:
            name, words = f"{group}-{domain}", set(classes_of(split, group))
            shards = [shard for shard in manifest.shards(name) if shard.path in whole]
            missing = bool(manifest.splits[name]) != bool(manifest.shards(name))
            verification.check("no shards", [f"{name} has pictures and no shards, or the reverse"] if missing else [])
            others = [word for word, count in manifest.counts[name].items() if count and word not in words]
            verification.check("class of another group", [f"{name} has {word}" for word in others])
            if domain == DRAWINGS and manifest.config[DRAWINGS] == VECTORS:
                if shards and (rows := _read_split(directory, manifest, name, whole, verification)) is not None:
                    _check_counts(rows.label, manifest, name, verification)
                    disorder = _disorder(rows.label, rows.key_id, manifest.config["seed"], name)
                    verification.check("order of rows", disorder)
                    verification.check("key_id list", _wrong_list(directory, name, rows))
                    key_ids[name] = rows.key_id
                continue
            tables = [
                table
                for shard in shards
                for table in _check_picture_shard(directory, manifest, shard, None, verification)
            ]
            if not tables or len(tables) < len(manifest.shards(name)):
                continue
            found = pa.concat_tables(tables)
            label, key_id = found.column("label").to_numpy(), found.column("key_id").to_numpy()
            verification.records += len(found)
            out_of_order = np.flatnonzero(pictures.row_numbers(label, key_id) != np.arange(len(found)))
            verification.check("order of rows", [f"{name}: row {row:,}" for row in out_of_order[:1].tolist()])
            _check_counts(label, manifest, name, verification)
            verification.check("key_id list", _wrong_list(directory, name, _Rows(key_id=key_id, label=label)))
            key_ids[name] = key_id
            across = []
            for shard in shards:
                for table in pictures.read_shard(directory / shard.path, columns=["photo_sha256"]):
                    for sha256 in table.column("photo_sha256").to_pylist():
                        if owner.setdefault(f"{domain} {sha256}", group) != group:
                            across.append(f"the file with sha256 {sha256[:16]}… is in two groups of classes")
            verification.check("file in two groups", across)
    verification.check("key_id twice", _repeated(key_ids))


def _check_picture_shard(
    directory: Path, manifest: Manifest, shard: FileEntry, side: int | None, verification: Verification
) -> list[pa.Table]:
    """Check one shard; return its labels and key_ids, which are empty if it cannot be used."""
    try:
        schema, _ = parquet.read_facts(directory / shard.path)
        same = schema == pictures.schema()
        if not verification.check("schema", [] if same else [f"{shard.path} has other columns: {schema}"]):
            return []
        groups = list(pictures.read_shard(directory / shard.path))
        verification.check("unreadable shard", [])
    except SketchDataError as error:
        verification.check("unreadable shard", [str(error)])
        return []
    for table in groups:
        verification.check("word and label", _wrong_words(table, manifest, shard.path))
        verification.check("key_id", _wrong_key_ids(table, shard))
        verification.check("picture", _wrong_stored_pictures(table, shard, side))
    rows = sum(table.num_rows for table in groups)
    verification.check("rows", _wrong_rows(shard, rows))
    empty = pa.schema([("label", pa.uint16()), ("key_id", pa.uint64())]).empty_table()
    kept = [table.select(["label", "key_id"]).cast(empty.schema) for table in groups]
    return [pa.concat_tables([empty, *kept])]


def _wrong_key_ids(table: pa.Table, shard: FileEntry) -> Iterator[str]:
    columns = (table.column(name).to_pylist() for name in ("key_id", "photo_sha256", "word"))
    for (key_id, sha256, word), box in zip(zip(*columns, strict=True), pictures.boxes(table), strict=True):
        if key_id != (expected := pictures.picture_id(sha256, box, word)):
            yield f"{shard.path}: key_id {key_id} of {word} should be {expected} by its photo, box and class"


def _wrong_stored_pictures(table: pa.Table, shard: FileEntry, side: int | None) -> Iterator[str]:
    key_ids = table.column("key_id").to_pylist()
    sizes = zip(table.column("width").to_pylist(), table.column("height").to_pylist(), strict=True)

    def fault(content: bytes, size: tuple[int, int]) -> str | None:
        try:
            picture = decode(content) if side is None else dataset.decode_map(content, side)
        except FormatError as error:
            return str(error)
        height, width = picture.shape[:2]
        return None if (width, height) == size else f"it is {width} × {height}, expected {size[0]} × {size[1]}"

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        faults = pool.map(fault, pictures.image_bytes(table), sizes)
        for key_id, found in zip(key_ids, faults, strict=True):
            if found is not None:
                yield f"{shard.path}: key_id {key_id}: {found}"


# ---- drawings --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Rows:
    """The key_ids, (N,) uint64, and labels, (N,) uint16, of rows."""

    key_id: npt.NDArray[np.uint64]
    label: npt.NDArray[np.uint16]


def _check_drawings(directory: Path, manifest: Manifest, whole: set[str], verification: Verification) -> None:
    # An export has its own files, whose rows are checked in its parent. A curated data set has a parent too.
    if manifest.parent is not None and not any(manifest.shards(split) for split in manifest.counts):
        return
    missing = [name for name in ("seed", "input_format") if name not in manifest.config]
    if missing:
        raise SketchDataError(
            f"{directory / MANIFEST_NAME} does not record {' and '.join(missing)}, so the split cannot be checked: "
            "build the data set again"
        )
    splits = [split for split, drawings in manifest.splits.items() if drawings or manifest.shards(split)]
    verification.check("no shards", [f"{s} has drawings and no shards" for s in splits if not manifest.shards(s)])
    complete: dict[str, _Rows] = {}
    for split in splits:
        if (rows := _read_split(directory, manifest, split, whole, verification)) is not None:
            complete[split] = rows
            _check_counts(rows.label, manifest, split, verification)
            order = _disorder(rows.label, rows.key_id, manifest.config["seed"], split)
            verification.check("order of rows", order)
            verification.check("key_id list", _wrong_list(directory, split, rows))
    if complete:
        verification.check("key_id twice", _repeated({split: rows.key_id for split, rows in complete.items()}))
        # A refill gives train drawings ranks above all those in query, and the rank of a relabelled drawing fits the
        # splits of its old class.
        curation = manifest.config.get("curation", {})
        if not curation.get("refill", False) and not curation.get("relabelled", 0):
            verification.check("ranks across splits", _ranks_across(complete, manifest))


def _read_split(
    directory: Path, manifest: Manifest, split: str, whole: set[str], verification: Verification
) -> _Rows | None:
    """Read and check the shards of a split; None if one of them cannot be used."""
    shards = manifest.shards(split)
    parts = []
    for shard in shards:
        if shard.path in whole:
            read = partial(_read_shard, directory, manifest, split, shard, verification)
            if (part := verification.attempt("unreadable shard", read)) is not None:
                parts.append(part)
    if not parts or len(parts) < len(shards):
        return None
    rows = _Rows(
        key_id=np.concatenate([part.key_id for part in parts]), label=np.concatenate([part.label for part in parts])
    )
    verification.records += len(rows.label)
    return rows


def _read_shard(directory: Path, manifest: Manifest, split: str, shard: FileEntry, verification: Verification) -> _Rows:
    schema, facts = parquet.read_facts(directory / shard.path)
    same = schema.equals(parquet.schema(raw=manifest.is_raw))
    if not verification.check("schema", [] if same else [f"{shard.path} has other columns: {schema}"]):
        raise SketchDataError(f"{shard.path} was not read, because it has other columns")
    told = {"split": split, "seed": manifest.config["seed"], "version": manifest.version, "tool": manifest.tool}
    found = {**facts, "tool": f"sketchdata {facts.get('tool')}"}
    differing = [f"{name} is {found.get(name)!r} instead of {v!r}" for name, v in told.items() if found.get(name) != v]
    verification.check("metadata", [f"{shard.path}: {', '.join(differing)}"] if differing else [])
    key_ids, labels = [np.empty(0, np.uint64)], [np.empty(0, np.uint16)]
    for table in parquet.read_row_groups(directory / shard.path, ["key_id", "word", "label", "drawing"]):
        key_ids.append(table.column("key_id").to_numpy())
        labels.append(table.column("label").to_numpy())
        verification.check("word and label", islice(_wrong_words(table, manifest, shard.path), 1))
        drawings = table.column("drawing").combine_chunks()
        strokes = pc.list_value_length(drawings).to_numpy()
        points = pc.list_value_length(drawings.flatten()).to_numpy()
        empty = strokes.min(initial=1) < 1 or points.min(initial=1) < 1
        fault = f"{shard.path} has a drawing without strokes or a stroke without points"
        verification.check("empty drawing", [fault] if empty else [])
    verification.check("rows", _wrong_rows(shard, sum(map(len, labels))))
    return _Rows(key_id=np.concatenate(key_ids), label=np.concatenate(labels))


def _wrong_list(directory: Path, split: str, rows: _Rows) -> Iterator[str]:
    path = directory / "key_ids" / f"{split}.txt"
    try:
        listed = path.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError) as error:
        yield f"{path.name} cannot be read: {error}"
        return
    held = map(str, rows.key_id.tolist())
    differing = (line for line, (one, other) in enumerate(zip_longest(listed, held), 1) if one != other)
    if (line := next(differing, None)) is not None:
        yield f"key_ids/{split}.txt differs from the shards in line {line:,}"


def _ranks_across(rows: dict[str, _Rows], manifest: Manifest) -> Iterator[str]:
    """The ranks of a class rise from split to split: all of train are below all of val, and so on."""
    seed, classes = manifest.config["seed"], len(manifest.classes)
    highest, owner = np.zeros(classes, np.uint64), np.full(classes, "", object)
    for split, split_rows in rows.items():
        # Labels beyond the class table are reported by another check.
        known = split_rows.label < classes
        labels, own = split_rows.label[known], ranks(split_rows.key_id[known], seed)
        lowest = np.full(classes, np.uint64(2**64 - 1))
        np.minimum.at(lowest, labels, own)
        for label in np.flatnonzero((lowest < highest) & (owner != "")).tolist():
            yield f"{manifest.classes[label]}: a drawing of {split} has a smaller rank than one of {owner[label]}"
        np.maximum.at(highest, labels, own)
        owner[np.unique(labels)] = split
