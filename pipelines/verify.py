"""Check a data set against its manifest and against the rules of its split.

Everything that a manifest promises is recomputed from the files: sizes and hashes, then what the Parquet shards hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sketchdata import collection
from sketchdata.edgemaps import holds_pictures, is_edgemaps, noun_of
from sketchdata.errors import SketchDataError
from sketchdata.manifest import MANIFEST_NAME, FileEntry, Manifest, read_manifest
from sketchdata.pipelines.verify_codes import check_codes, holds_codes
from sketchdata.pipelines.verify_edgemaps import check_edgemaps
from sketchdata.pipelines.verify_pictures import check_collection, check_pictures
from sketchdata.sampling import mix_classes, ranks
from sketchdata.shards import parquet
from sketchdata.verification import Verification, check_counts, check_files, unlisted

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
            _check_split(directory, manifest, split, split_rows, verification)
    complete = {split: split_rows for split, split_rows in rows.items() if split_rows is not None}
    if complete:
        verification.check("key_id twice", _twice(complete))
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
        verification.check("word and label", _wrong_words(table, manifest, shard))
        verification.check("empty drawing", _empty(table, shard))
    rows = sum(map(len, labels))
    verification.check(
        "rows", [] if rows == shard.records else [f"{shard.path} has {rows:,} rows instead of {shard.records:,}"]
    )
    return np.concatenate(key_ids), np.concatenate(labels)


def _wrong_words(table: pa.Table, manifest: Manifest, shard: FileEntry) -> Iterator[str]:
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


def _check_split(directory: Path, manifest: Manifest, split: str, rows: _Rows, verification: Verification) -> None:
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


def _twice(rows: dict[str, _Rows]) -> Iterator[str]:
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
