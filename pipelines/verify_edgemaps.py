"""Check a finished set of edge maps: its tars against its index, and its index against the rules of its split."""

from __future__ import annotations

import csv
import os
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from sketchdata.errors import FormatError, SketchDataError
from sketchdata.manifest import FileEntry, Manifest
from sketchdata.progress import task_bar
from sketchdata.sampling import mix_classes, ranks
from sketchdata.shards import edgemaps, pictures
from sketchdata.shards.edgemaps import ATTRIBUTION_FILE, VAL
from sketchdata.verification import Verification, check_counts

#: What a sample's JSON has in common with its row of the index, as text.
_SAME = ("key_id", "word", "label", "photo", "photo_sha256", "source")


def check_edgemaps(directory: Path, manifest: Manifest, whole: set[str], verification: Verification) -> None:
    """Check every split's index and tars, then the splits against each other and the photos that are named."""
    indexes = {split: _read_index(directory, split, whole, verification) for split in manifest.counts}
    found = {split: index for split, index in indexes.items() if index is not None}
    for split, index in found.items():
        _check_split(manifest, split, index, verification)
        listed = set(index.column("tar").to_pylist())
        tars = edgemaps.tars_of(manifest, split)
        strangers = [f"the index of {split} has no rows of {tar.path}" for tar in tars if tar.path not in listed]
        verification.check("tars of the index", strangers)
        _check_tars(directory, manifest, [tar for tar in tars if tar.path in whole], index, verification)
    if len(found) == len(manifest.counts):
        verification.check("key_id twice", _twice(found))
        verification.check("photos across splits", _photos_across(found))
        if ATTRIBUTION_FILE in whole:
            verification.check("attribution", _wrong_attribution(directory / ATTRIBUTION_FILE, found))


def _read_index(directory: Path, split: str, whole: set[str], verification: Verification) -> pa.Table | None:
    name = edgemaps.index_name(split)
    if name not in whole:
        return None
    try:
        index = edgemaps.read_index(directory / name)
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
    in_val = edgemaps.falls_into_val(index.column("photo_sha256").to_pylist(), seed, share)
    strays = np.flatnonzero(in_val != (split == VAL)).tolist()
    verification.check("split by photo", [f"key_id {key_id[row]} does not belong to {split}" for row in strays])


# ---- tars against the index ------------------------------------------------------------------------------------------


def _check_tars(
    directory: Path, manifest: Manifest, tars: list[FileEntry], index: pa.Table, verification: Verification
) -> None:
    names = np.array(index.column("tar").to_pylist(), object)
    side = manifest.config["edges"].get("size", edgemaps.DEFAULT_SIDE)
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
                edgemaps.decode_map(os.pread(file.fileno(), row["bytes"], row["offset"]), side)
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
