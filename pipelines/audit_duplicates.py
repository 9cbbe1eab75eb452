"""Audit a data set's duplicates: exactly equal drawings, within and across splits.

Two stages over the shards. `digest_shard` hashes every drawing; digests that occur twice make candidates.
`collect_shard` reads the candidates' drawings again, so that in the end drawings are compared and not their hashes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sketchdata.curation.audit import AuditRecord
from sketchdata.curation.audit_folder import AuditFolder, map_columns, map_table, open_audit, read_shard, write_columns
from sketchdata.curation.duplicates import Members, digests, leakage, mixed_groups, normal_forms, repeated, within
from sketchdata.drawings.drawing import empty_batch
from sketchdata.engine import EngineOptions, Task, TaskResult, run_final
from sketchdata.engine import run as run_stage
from sketchdata.storage.manifest import hash_file, replacing

DUPLICATES_FILE = "duplicates.parquet"

#: Drawings compared at once at most: some 150 MB.
AT_ONCE = 500_000

_NAMES = pa.dictionary(pa.int8(), pa.string())
SCHEMA = pa.schema(
    [
        pa.field("group", pa.uint32(), nullable=False),
        pa.field("key_id", pa.uint64(), nullable=False),
        pa.field("split", _NAMES, nullable=False),
        pa.field("label", pa.uint16(), nullable=False),
    ]
)


def run(directory: Path, engine: EngineOptions) -> AuditRecord | None:
    """Audit a data set and return the audit's record; None in an unfinished share of a job array.

    Raises:
        SketchDataError: The data set is missing or damaged.
    """
    folder = open_audit(directory, "duplicates", {})
    if (finished := folder.finished()) is not None:
        return finished
    tasks = [folder.task(shard, {}, "digests") for _, shard in folder.shards()]
    if run_stage(digest_shard, tasks, engine, title="Hashing drawings") is None:
        return None
    tasks = _collect_tasks(folder, tasks)
    if run_final(collect_shard, tasks, engine, title="Comparing drawings") is None:
        return None
    members = _members(folder)
    folder.begin()
    with replacing(folder.path / DUPLICATES_FILE) as file:
        pq.write_table(_table(members, folder.splits), file, compression="zstd")
    return folder.finish({DUPLICATES_FILE: len(members)}, _counts(members, folder.splits))


# ---- first stage: a hash of each drawing -----------------------------------------------------------------------------


def digest_shard(task: Task) -> TaskResult:
    """Hash a shard's drawings, in the order of its rows."""
    return write_columns(task, {"digest": np.concatenate([digests(batch) for batch in read_shard(task)])})


# ---- second stage: the drawings whose hash occurs twice --------------------------------------------------------------


def _collect_tasks(folder: AuditFolder, hashed: Sequence[Task]) -> list[Task]:
    """Write the hashes that occur twice, and return the tasks that read their drawings."""
    every = np.concatenate([map_columns(task.output)["digest"] for task in hashed])
    path = folder.work / "repeated.npy"
    with replacing(path) as file:
        np.save(file, repeated(every))
    settings = {"repeated": str(path), "sha256_of_repeated": hash_file(path, "sha256")}
    digests_at = [{"digests": str(task.output)} for task in hashed]
    shards = [shard for _, shard in folder.shards()]
    return [folder.task(shard, {**settings, **at}, "forms") for shard, at in zip(shards, digests_at, strict=True)]


def collect_shard(task: Task) -> TaskResult:
    """Collect the drawings of a shard whose hash occurs twice in the data set, in the form in which they compare."""
    digest, twice = map_columns(Path(task.config["digests"]))["digest"], np.load(task.config["repeated"])
    wanted = np.flatnonzero(np.isin(digest, twice))
    parts, forms, before = [empty_batch()], [], 0
    for batch in read_shard(task) if len(wanted) else ():
        rows = wanted[(wanted >= before) & (wanted < before + len(batch))] - before
        chosen = batch.take(rows)
        forms += list(normal_forms(chosen))
        parts.append(chosen)
        before += len(batch)
    columns = {
        "digest": digest[wanted],
        "key_id": np.concatenate([part.key_id for part in parts]),
        "label": np.concatenate([part.label for part in parts]),
        "form": pa.array(forms, pa.binary()),
    }
    return write_columns(task, columns)


# ---- the groups of equal drawings ------------------------------------------------------------------------------------


def _members(folder: AuditFolder) -> Members:
    shards = [(folder.splits.index(split), folder.output(shard, "forms")) for split, shard in folder.shards()]
    columns = [map_columns(path, ["digest", "key_id", "label"]) for _, path in shards]
    sizes = [len(part["digest"]) for part in columns]
    joined = {name: np.concatenate([part[name] for part in columns]) for name in ("digest", "key_id", "label")}
    firsts = _firsts([path for _, path in shards], joined["digest"])
    _, group, counts = np.unique(firsts, return_inverse=True, return_counts=True)
    # A group of one: another drawing had the same hash.
    equal = counts[group] > 1
    _, group = np.unique(firsts[equal], return_inverse=True)
    return Members(
        group=group.astype(np.uint32),
        key_id=joined["key_id"][equal],
        split=np.repeat([code for code, _ in shards], sizes).astype(np.uint8)[equal],
        label=joined["label"][equal],
    )


def _firsts(paths: Sequence[Path], digest: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Return, for each of M candidates, the number of the first that is equal to it: (M,) int64.

    The drawings themselves are compared, as keys of a dict; so many at a time as fit into memory.
    """
    firsts, rounds = np.empty(len(digest), np.int64), len(digest) // AT_ONCE + 1
    turn = digest % np.uint64(rounds)
    for number in range(rounds):
        seen: dict[bytes, int] = {}
        before = 0
        for path in paths:
            forms = map_table(path).column("form")
            rows = np.flatnonzero(turn[before : before + len(forms)] == number)
            found = forms.take(pa.array(rows)).to_pylist()
            firsts[before + rows] = [
                seen.setdefault(f, r) for f, r in zip(found, (before + rows).tolist(), strict=True)
            ]
            before += len(forms)
    return firsts


def _table(members: Members, splits: Sequence[str]) -> pa.Table:
    order = np.argsort(members.group, kind="stable")
    names = pa.array(list(splits), pa.string())
    arrays = [
        pa.array(members.group[order]),
        pa.array(members.key_id[order]),
        pa.DictionaryArray.from_arrays(pa.array(members.split[order].astype(np.int8)), names),
        pa.array(members.label[order]),
    ]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def _counts(members: Members, splits: Sequence[str]) -> dict[str, Any]:
    groups = int(members.group.max(initial=0)) + 1 if len(members) else 0
    return {
        "groups": groups,
        "drawings": len(members),
        "surplus": len(members) - groups,
        "groups_of_several_classes": mixed_groups(members),
        "within": {split: within(members, code) for code, split in enumerate(splits)},
        "leakage": [dataclasses.asdict(each) for each in leakage(members, splits)],
    }
