"""Which edge map stands where in a data set: what a curation removes, what falls into which split, and the order.

The plan lies in an Arrow file, so that tasks on any machine can each carry out a part of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sketchdata.audit_folder import map_table
from sketchdata.curation import Curation
from sketchdata.errors import SketchDataError
from sketchdata.exports.edgemap_lists import CURATED
from sketchdata.manifest import hash_file, replacing
from sketchdata.sampling import mix_classes, ranks
from sketchdata.shards import edgemaps, pictures
from sketchdata.shards.edgemaps import SPLITS, VAL

#: Name of the audit's score among the scores; the others are its measures.
SCORE = "messiness"

_READ = ["key_id", "label", "photo_sha256"]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What decides where an edge map stands.

    Attributes:
        seed: Of the split and of the order of rows.
        share: Of the photos that val gets.
        curation: What is removed; None when every map is taken.
    """

    seed: int
    share: Fraction
    curation: Curation | None


@dataclass(frozen=True, kw_only=True)
class EdgeMapPlan:
    """The plan of a data set.

    Attributes:
        stored: The plan as an Arrow file: `shard` and `row` of each map, in the order of the data set, and its scores.
        sha256: Of that file.
        paths: The Arrow files of edge maps that `shard` counts.
        counts: {split: {class: maps}}.
        curated: {one of CURATED: {class: maps}}.
        scores: Names of the scores that some map has.
        complete: Names of those that every map has.
    """

    stored: Path
    sha256: str
    paths: tuple[Path, ...]
    counts: dict[str, dict[str, int]]
    curated: dict[str, dict[str, int]]
    scores: tuple[str, ...]
    complete: tuple[str, ...]


def lay_out(paths: Sequence[Path], stored: Path, classes: Sequence[str], choice: Choice) -> EdgeMapPlan:
    """Decide about every edge map, and write down which stand where.

    Args:
        paths: Arrow files of edge maps.
        stored: Where the plan goes.
        classes: The class table.
        choice: What decides.

    Raises:
        SketchDataError: A key_id stands twice, the audit lacks one, or nothing would be left.
    """
    tables = [map_table(path).select(_READ) for path in paths]
    whole = pa.concat_tables(tables)
    key_id, label = whole.column("key_id").to_numpy(), whole.column("label").to_numpy()
    if repeated := pictures.repeated(key_id):
        raise SketchDataError(f"the edge maps have key_id {repeated[0]} twice: extract them again")
    curated, scores = _curated(key_id, choice.curation)
    stays = ~(curated["noise"] | curated["dropped"])
    if not stays.any():
        raise SketchDataError(f"of {len(key_id):,} edge maps that could be read, none would be left")
    in_val = edgemaps.falls_into_val(whole.column("photo_sha256").to_pylist(), choice.seed, choice.share)
    chosen = {split: np.flatnonzero(stays & (in_val == (split == VAL))) for split in SPLITS}
    order = np.concatenate(
        [rows[mix_classes(label[rows], ranks(key_id[rows], choice.seed))] for rows in chosen.values()]
    )
    told = {name: values[order] for name, values in scores.items() if not np.isnan(values[order]).all()}
    store(stored, {**{name: place[order] for name, place in _places(tables).items()}, **told})
    return EdgeMapPlan(
        stored=stored,
        sha256=hash_file(stored, "sha256"),
        paths=tuple(paths),
        counts={split: _count(label[rows], classes) for split, rows in chosen.items()},
        curated={name: _count(label[mask], classes) for name, mask in curated.items()},
        scores=tuple(told),
        complete=tuple(name for name, values in told.items() if not np.isnan(values).any()),
    )


def _curated(
    key_id: npt.NDArray[np.uint64], curation: Curation | None
) -> tuple[dict[str, npt.NDArray[np.bool_]], dict[str, npt.NDArray[np.float32]]]:
    """Return what the curation did, {name: (N,) bool}, and what the audit measured of N maps, {name: (N,)}."""
    if curation is None:
        return dict.fromkeys(CURATED, np.zeros(len(key_id), np.bool_)), {}
    rows = curation.audit.rows_of(key_id)
    found = {SCORE: curation.audit.score, **curation.audit.measures}
    scores = {name: values[rows].astype(np.float32) for name, values in found.items()}
    return {name: getattr(curation, name)[rows] for name in CURATED}, scores


def _places(tables: Sequence[pa.Table]) -> dict[str, npt.NDArray[np.int64]]:
    """Return in which file and where in it each map lies: two columns (N,)."""
    sizes = [table.num_rows for table in tables]
    row = np.concatenate([np.empty(0, np.int64), *map(np.arange, sizes)])
    return {"shard": np.repeat(np.arange(len(sizes)), sizes), "row": row}


def _count(label: npt.NDArray[np.uint16], classes: Sequence[str]) -> dict[str, int]:
    return dict(zip(classes, np.bincount(label, minlength=len(classes)).tolist(), strict=True))


def store(path: Path, columns: Mapping[str, Any]) -> Path:
    """Write columns as an Arrow file, to be mapped by `map_table`, whole or not at all; return its path."""
    table = pa.table(dict(columns))
    with replacing(path) as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    return path
