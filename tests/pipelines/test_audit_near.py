"""The audit of near duplicates finds copies with another order of strokes or small changes, across splits too."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import orjson
import pyarrow.parquet as pq
import pytest

from sketchdata.curation.audit import read_record
from sketchdata.engine import EngineOptions
from sketchdata.pipelines import audit_near as audit
from sketchdata.pipelines import verify
from tests.audits import audit_files, build_in_shards, data_sha256
from tests.commands import sketchdata
from tests.quickdraw_builds import IN_PROCESS, lines_of, write_lines

COPIES = 30


def plant(source: Path) -> None:
    """Give some houses the drawing of the first house with its strokes reversed, and some cats a shaken first cat."""
    for word in ("house", "cat", "star"):
        lines = lines_of(source, word)
        first = orjson.loads(lines_of(source, "house" if word == "star" else word)[0])["drawing"]
        for number in range(1 if word == "star" else COPIES):
            record = orjson.loads(lines[7 * number])
            record["drawing"] = (
                [
                    [[min(max(v + (i * number) % 3 - 1, 0), 255) for i, v in enumerate(axis)] for axis in stroke]
                    for stroke in first
                ]
                if word == "cat"
                else first[:: 1 if number % 2 else -1]
            )
            record["countrycode"] = "XX"
            lines[7 * number] = orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
        write_lines(source, word, lines)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_in_shards(tmp_path_factory.mktemp("near"), change=plant)


@pytest.fixture(scope="module")
def audited(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = Path(shutil.copytree(built, tmp_path_factory.mktemp("audited") / "out"))
    assert audit.audit_near(copy, audit.Config(), IN_PROCESS) is not None
    return copy


def planted(directory: Path, word: str) -> list[tuple[str, int]]:
    """Return (split, key_id) of the planted drawings of a class."""
    found = []
    for shard in sorted(directory.glob("*/*.parquet")):
        if shard.parent.name != "audit":
            rows = pq.read_table(shard, columns=["key_id", "countrycode", "word"]).to_pylist()
            found += [
                (shard.stem.split("-")[0], r["key_id"]) for r in rows if r["countrycode"] == "XX" and r["word"] == word
            ]
    return found


def test_planted_copies_are_paired_by_kind(audited: Path) -> None:
    pairs = pq.read_table(audited / "audit" / "near_duplicates.parquet")
    assert pairs.schema.equals(audit.NEAR_SCHEMA, check_metadata=False)
    kinds: dict[str, set[int]] = {}
    for row in pairs.to_pylist():
        kinds.setdefault(row["kind"], set()).update((row["key_id_a"], row["key_id_b"]))
        assert row["distance"] <= 0.03
    houses, cats = ({key_id for _, key_id in planted(audited, word)} for word in ("house", "cat"))
    assert len(houses) > 5
    assert len(cats) > 5
    assert houses <= kinds["equal"] | kinds["same ink"]
    assert houses & kinds["same ink"]
    assert cats <= kinds["near"] | kinds["equal"]


def test_leaks_are_counted_for_each_pair_of_splits(audited: Path) -> None:
    counts = read_record(audited, "near").counts
    rows = pq.read_table(audited / "audit" / "near_duplicates.parquet").to_pylist()
    assert counts["pairs"] == {kind: sum(row["kind"] == kind for row in rows) for kind in audit.KINDS}
    for each in counts["leakage"]:
        for kind in audit.KINDS:
            own = {
                row["key_id_b"]
                for row in rows
                if (row["split_a"], row["split_b"], row["kind"]) == (each["source"], each["into"], kind)
            }
            assert each[kind] == len(own)
    assert any(each[kind] for each in counts["leakage"] for kind in audit.KINDS)


def test_the_page_shows_pairs_that_differ(audited: Path) -> None:
    page = (audited / "audit" / "near_duplicates.html").read_text(encoding="utf-8")
    rows = pq.read_table(audited / "audit" / "near_duplicates.parquet").to_pylist()
    differing = [row for row in rows if row["kind"] != "equal"]
    assert page.count("<figure>") == min(len(differing), audit.SHOWN)
    assert str(differing[0]["key_id_a"]) in page


@pytest.mark.slow
def test_workers_change_no_byte_and_the_data_set_stays(audited: Path, built: Path, tmp_path: Path) -> None:
    dataset = Path(shutil.copytree(built, tmp_path / "out"))
    before = data_sha256(dataset)
    assert audit.audit_near(dataset, audit.Config(), EngineOptions(workers=2)) is not None
    assert audit_files(dataset) == audit_files(audited)
    assert data_sha256(dataset) == before
    assert verify.run(dataset).faults == []


@pytest.mark.slow
def test_the_command_prints_a_table_or_json(audited: Path) -> None:
    told = sketchdata("audit", "near", audited)
    assert "drawings are in a pair" in told.stdout
    told = sketchdata("audit", "near", audited, "--json")
    assert json.loads(told.stdout)["options"] == {"distance": 0.03}
