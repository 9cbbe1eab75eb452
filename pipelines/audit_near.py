"""Find near duplicates: drawings with the same ink, and similar drawings of the same class, within and across splits.

`measure_shard` computes the features and hashes of a shard's drawings; `compare_class` pairs the drawings of a class.
Drawings of different classes are compared by their ink alone.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sketchdata.config import Real, option, recorded
from sketchdata.curation.audit import (
    NAMES,
    AuditFolder,
    AuditRecord,
    map_columns,
    map_table,
    name_column,
    open_audit,
    read_shard,
    write_columns,
)
from sketchdata.curation.duplicates import digests, ink_digests, near_pairs
from sketchdata.curation.labels import FEATURES, line_features
from sketchdata.drawings.raster import fit
from sketchdata.engine import EngineOptions, Task, TaskResult, run_final
from sketchdata.engine import run as run_stage
from sketchdata.storage.manifest import replacing
from sketchdata.storage.parquet import RowGroups, from_table

NEAR_FILE, PAIRS_PAGE = "near_duplicates.parquet", "near_duplicates.html"
#: Equal points, the same ink, or near.
KINDS = ("equal", "same ink", "near")
#: The page shows so many pairs.
SHOWN = 200

NEAR_SCHEMA = pa.schema(
    [
        pa.field("kind", NAMES, nullable=False),
        pa.field("distance", pa.float32(), nullable=False),
        *(
            pa.field(f"{name}_{place}", kind, nullable=False)
            for place in ("a", "b")
            for name, kind in (("key_id", pa.uint64()), ("split", NAMES), ("label", pa.uint16()))
        ),
    ]
)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Options: how similar near duplicates are."""

    distance: float = option(
        0.03, help="Largest distance of a pair: 1 − cosine of the drawings' features.", type=Real(0, 1)
    )


def audit_near(directory: Path, config: Config, engine: EngineOptions) -> AuditRecord | None:
    """Find near duplicates and return the record of the audit; None in an unfinished share of a job array.

    Raises:
        SketchDataError: The data set is missing or damaged, or a raw drawing is not finite.
    """
    folder = open_audit(directory, "near", recorded(config))
    if (finished := folder.finished()) is not None:
        return finished
    measured = [folder.task(shard, {}, "features") for _, shard in folder.shards()]
    if (results := run_stage(measure_shard, measured, engine, title="Measuring drawings")) is None:
        return None
    splits = [folder.splits.index(split) for split, _ in folder.shards()]
    tasks = [
        Task(
            id=word,
            output=folder.work / "pairs" / f"{label}.arrow",
            inputs={result.task_id: result.files[0].sha256 for result in results},
            config={
                "label": label,
                "features": [str(task.output) for task in measured],
                "splits": splits,
                **recorded(config),
            },
        )
        for label, word in enumerate(folder.manifest.classes)
    ]
    if run_final(compare_class, tasks, engine, title="Comparing drawings") is None:
        return None
    return _finish(folder, [task.output for task in measured], [task.output for task in tasks])


def measure_shard(task: Task) -> TaskResult:
    """Compute the features and the hashes of a shard's drawings, in the order of its rows."""
    columns: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in ("key_id", "label", "digest", "ink", "features")}
    for batch in read_shard(task):
        columns["key_id"].append(batch.key_id)
        columns["label"].append(batch.label)
        columns["digest"].append(digests(batch))
        columns["ink"].append(ink_digests(batch))
        columns["features"].append(line_features(batch))
    features = np.concatenate(columns.pop("features"))
    stored = pa.Array.from_buffers(pa.binary(FEATURES), len(features), [None, pa.py_buffer(features.tobytes())])
    return write_columns(task, {**{name: np.concatenate(own) for name, own in columns.items()}, "features": stored})


def compare_class(task: Task) -> TaskResult:
    """Pair the near drawings of one class; rows are those of the data set."""
    features, rows, splits, before = [np.empty((0, FEATURES), np.uint8)], [], [], 0
    for path, split in zip(task.config["features"], task.config["splits"], strict=True):
        table = map_table(Path(path))
        own = np.flatnonzero(table.column("label").to_numpy() == task.config["label"])
        for chunk in table.column("features").take(pa.array(own)).chunks:
            start = chunk.offset * FEATURES
            content = np.frombuffer(chunk.buffers()[1], np.uint8)[start : start + len(chunk) * FEATURES]
            features.append(content.reshape(-1, FEATURES))
        rows.append(own + before)
        splits.append(np.full(len(own), split, np.int64))
        before += table.num_rows
    place = np.concatenate(rows)
    found = near_pairs(np.concatenate(features), np.concatenate(splits), task.config["distance"])
    return write_columns(task, {"first": place[found.first], "second": place[found.second], "distance": found.distance})


def _finish(folder: AuditFolder, measured: Sequence[Path], compared: Sequence[Path]) -> AuditRecord:
    parts = [map_columns(path, ["key_id", "label", "digest", "ink"]) for path in measured]
    rows = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    codes = [folder.splits.index(split) for split, _ in folder.shards()]
    rows["split"] = np.repeat(np.array(codes, np.int64), [len(part["label"]) for part in parts])
    pairs = [map_columns(path) for path in compared]
    first, second, distance = (np.concatenate([part[name] for part in pairs]) for name in pairs[0])
    across = _same_ink_across(rows)
    first, second = np.concatenate([first, across[:, 0]]), np.concatenate([second, across[:, 1]])
    distance = np.concatenate([distance, np.zeros(len(across), np.float32)])
    same = rows["ink"][first] == rows["ink"][second]
    equal = rows["digest"][first] == rows["digest"][second]
    kind = np.where(equal, 0, np.where(same, 1, 2))
    order = np.lexsort((second, first, distance, kind))
    first, second, distance, kind = (values[order] for values in (first, second, distance, kind))
    folder.begin()
    columns: dict[str, Any] = {"kind": name_column(kind, KINDS), "distance": pa.array(distance.astype(np.float32))}
    for place, own in (("a", first), ("b", second)):
        columns[f"key_id_{place}"] = pa.array(rows["key_id"][own])
        columns[f"split_{place}"] = name_column(rows["split"][own], folder.splits)
        columns[f"label_{place}"] = pa.array(rows["label"][own])
    table = pa.table([columns[name] for name in NEAR_SCHEMA.names], schema=NEAR_SCHEMA)
    with replacing(folder.path / NEAR_FILE) as file:
        pq.write_table(table, file, compression="zstd")
    # Equal drawings look equal: the page shows the others.
    shown = np.flatnonzero(kind > 0)[:SHOWN]
    rows_shown = np.concatenate([first[shown], second[shown]])
    with replacing(folder.path / PAIRS_PAGE) as file:
        file.write(_page(folder, table.take(pa.array(shown)).to_pylist(), rows_shown).encode("utf-8"))
    split = rows["split"]
    counts = {
        "pairs": {name: int((kind == code).sum()) for code, name in enumerate(KINDS)},
        "drawings": len(np.unique(np.concatenate([first, second]))),
        "leakage": [
            {
                "source": folder.splits[source],
                "into": folder.splits[into],
                **{
                    name: len(np.unique(second[(split[first] == source) & (split[second] == into) & (kind == code)]))
                    for code, name in enumerate(KINDS)
                },
            }
            for source, into in combinations(range(len(folder.splits)), 2)
        ],
    }
    return folder.finish({NEAR_FILE: len(table), PAIRS_PAGE: len(shown)}, counts)


def _same_ink_across(rows: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.int64]:
    """Return (P, 2) rows of the same ink in different classes: each with the first of each other class and split."""
    order = np.argsort(rows["ink"], kind="stable")
    ink = rows["ink"][order]
    starts = np.flatnonzero(np.concatenate([[True], ink[1:] != ink[:-1]])) if len(ink) else np.empty(0, np.int64)
    found = []
    for group in np.split(order, starts[1:]):
        if len(group) < 2 or len(np.unique(rows["label"][group])) < 2:
            continue
        firsts: dict[tuple[int, int], int] = {}
        for row in group.tolist():
            label, split = int(rows["label"][row]), int(rows["split"][row])
            found += [(other, row) for (theirs, _), other in firsts.items() if theirs != label]
            firsts.setdefault((label, split), row)
    return np.array(found, np.int64).reshape(-1, 2)


def _page(folder: AuditFolder, pairs: Sequence[Mapping[str, Any]], rows: npt.NDArray[np.int64]) -> str:
    """Draw pairs on each other; `rows` are those of their drawings, over all shards."""
    classes, paths = folder.manifest.classes, dict[int, str]()
    groups = RowGroups([folder.directory / shard.path for _, shard in folder.shards()])
    for _, table in groups.take(np.unique(rows), keep=False):
        own = from_table(table)
        points = fit(own)
        for row, key_id in enumerate(own.key_id.tolist()):
            first, last = own.strokes[row : row + 2].tolist()
            lines = np.split(
                points[own.points[first] : own.points[last]], own.points[first + 1 : last] - own.points[first]
            )
            paths[key_id] = "".join(f"M{' '.join(f'{x:g} {y:g}' for x, y in line)}" for line in lines if len(line))
    figures = []
    for pair in pairs:
        words = [classes[pair[f"label_{place}"]] for place in ("a", "b")]
        texts = [
            f"{word}, {pair[f'split_{place}']}, {pair[f'key_id_{place}']}"
            for word, place in zip(words, "ab", strict=True)
        ]
        head = f"{pair['kind']}, distance {pair['distance']:.4f}"
        figures.append(
            f'<figure><svg viewBox="-5 -5 265 265" role="img" aria-label="{html.escape("; ".join(texts))}">'
            f'<path class="a" d="{paths[pair["key_id_a"]]}"/><path class="b" d="{paths[pair["key_id_b"]]}"/></svg>'
            f"<figcaption>{head}<br><i class=a>{html.escape(texts[0])}</i><br><i class=b>{html.escape(texts[1])}</i>"
            "</figcaption></figure>"
        )
    title = html.escape(f"Near duplicates in {folder.manifest.name}")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"<h1>{title}</h1><p>The {len(pairs):,} nearest pairs that are not equal. Lines of one drawing alone are blue "
        f"or orange; where both lie, the line is dark.</p><main>{''.join(figures)}</main></html>\n"
    )


_STYLE = (
    "body{font:14px sans-serif;background:#fff;color:#111;margin:1rem}main{display:flex;flex-wrap:wrap;gap:1rem}"
    "figure{margin:0;width:15rem}svg{width:15rem;border:1px solid #ccc}"
    "path{fill:none;stroke-width:3;stroke-linecap:round;mix-blend-mode:multiply}i{font-style:normal}"
    "path.a{stroke:#1f77ff}path.b{stroke:#ff8c1a}i.a{color:#0b4fb8}i.b{color:#9a4a00}"
)
