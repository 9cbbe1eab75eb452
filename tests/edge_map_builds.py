"""Sets of edge maps built from generated ones, curated or not, and what lies in them."""

from __future__ import annotations

import csv
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from sketchdata.curation.decisions import DECISIONS_FILE, Decision, DecisionLog
from sketchdata.engine import EngineOptions
from sketchdata.pipelines import edgemap, edgemaps_curate
from sketchdata.storage.manifest import Manifest

IN_PROCESS = EngineOptions(workers=0)
#: A larger share than the paper's, so that a few dozen photos fill both splits.
VAL_SHARE = "1/4"
#: Several tars a split.
MAPS_PER_SHARD = 20


def build(edges: Path, out: Path, engine: EngineOptions = IN_PROCESS, **options: Any) -> Manifest:
    """Build in this process; options are fields of the build's Config."""
    settings = {"val_share": VAL_SHARE, "maps_per_shard": MAPS_PER_SHARD, "no_curation": True, **options}
    manifest = edgemap.run(edgemap.Config(edges=edges, out=out, **settings), engine)
    assert manifest is not None
    return manifest


def build_command(edges: Path, out: Path, *more: object) -> list[str]:
    """Return the words of the same build's command line."""
    where = ["--edges", str(edges), "--out", str(out), "--val-share", VAL_SHARE, "--maps-per-shard", MAPS_PER_SHARD]
    return [str(word) for word in ["build", "edgemap-345c", *where, "--no-curation", *more]]


def curate(edges: Path) -> None:
    """Audit edge maps for messiness."""
    assert edgemaps_curate.run(edges, edgemaps_curate.Config(), IN_PROCESS) is not None


def decide(edges: Path, verdict: str, *key_ids: int) -> None:
    log = DecisionLog(edges / "audit" / DECISIONS_FILE)
    log.append([Decision(who="ada", key_id=key_id, verdict=verdict) for key_id in key_ids])


def stored(edges: Path) -> list[dict[str, Any]]:
    """Return the rows of crops or edge maps, with their encoded pictures as `image`."""
    tables = [pq.read_table(path, partitioning=None) for path in sorted((edges / "data").glob("*.parquet"))]
    rows = pa.concat_tables(table.replace_schema_metadata(None) for table in tables).to_pylist()
    return [{**row, "image": row["image"]["bytes"]} for row in rows]


def samples(out: Path, split: str) -> list[dict[str, Any]]:
    """Return a split's samples as the tars hold them: {"key": …, "png": bytes, "json": plain data}."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted((out / "shards").glob(f"{split}-*.tar")):
        with tarfile.open(path) as file:
            for member in file:
                key, _, kind = member.name.partition(".")
                content = file.extractfile(member)
                assert content is not None
                found.setdefault(key, {"key": key})[kind] = content.read()
    return [{**sample, "json": orjson.loads(sample["json"])} for sample in found.values()]


def index(out: Path, split: str) -> list[dict[str, Any]]:
    return pq.read_table(out / "index" / f"{split}.parquet", partitioning=None).to_pylist()


def key_ids(out: Path, splits: Sequence[str] = ("train", "val")) -> list[int]:
    return [row["key_id"] for split in splits for row in index(out, split)]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
