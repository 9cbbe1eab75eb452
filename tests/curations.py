"""Data sets that were audited and are to be curated: decisions about them, and what came of it."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sketchdata.curation.decisions import DECISIONS_FILE, Decision, DecisionLog
from sketchdata.engine import EngineOptions
from sketchdata.pipelines import audit_apply, verify
from sketchdata.pipelines.audit import EntropyConfig, audit_entropy
from sketchdata.storage.manifest import Manifest, read_manifest
from tests.audits import SHARD_ROWS, build_in_shards
from tests.quickdraw_builds import IN_PROCESS


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of four classes in shards of 100 rows, audited, beside its source; nobody has decided anything."""
    directory = build_in_shards(tmp_path_factory.mktemp("audited"))
    audit(directory)
    return directory


@pytest.fixture
def dataset(audited: Path, tmp_path: Path) -> Path:
    """A copy of it to decide about."""
    return Path(shutil.copytree(audited, tmp_path / "dataset"))


@pytest.fixture(autouse=True)
def short_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut what is made in this process into as short shards as the data set's own."""
    monkeypatch.setattr("sketchdata.engine.assembly.SHARD_ROWS", SHARD_ROWS)


def source_of(audited: Path) -> Path:
    return audited.parent / "source"


def audit(directory: Path, **options: object) -> None:
    assert audit_entropy(directory, EntropyConfig(**options), IN_PROCESS) is not None


def decide(directory: Path, verdict: str, *key_ids: int, word: str | None = None) -> None:
    log = DecisionLog(directory / "audit" / DECISIONS_FILE)
    log.append([Decision(who="ada", key_id=key_id, verdict=verdict, word=word) for key_id in key_ids])


def apply(directory: Path, out: Path, engine: EngineOptions = IN_PROCESS, **options: object) -> Manifest:
    manifest = audit_apply.run(directory, audit_apply.Config(out=out, **options), engine)
    assert manifest is not None
    return manifest


def flags(directory: Path) -> dict[str, dict[int, str]]:
    """Return {split: {key_id: what the audit says}}, read without sketchdata."""
    found: dict[str, dict[int, str]] = {}
    for row in pq.read_table(directory / "audit" / "entropy.parquet").to_pylist():
        found.setdefault(row["split"], {})[row["key_id"]] = row["flag"]
    return found


def noise(directory: Path, split: str = "train") -> list[int]:
    return [key_id for key_id, flag in flags(directory)[split].items() if flag == "noise"]


def normal(directory: Path, split: str = "train") -> list[int]:
    return [key_id for key_id, flag in flags(directory)[split].items() if flag == "normal"]


def table(out: Path) -> list[dict[str, str]]:
    with (out / "curation.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def totals(out: Path) -> dict[str, int]:
    names = ("parent", "noise", "dropped", "kept", "refilled", "drawings")
    return {name: sum(int(row[name]) for row in table(out)) for name in names}


def assert_verifies(out: Path) -> list[str]:
    verification = verify.run(out)
    assert verification.faults == []
    assert verification.records == sum(read_manifest(out).splits.values())
    return list(verification.checks)
